//! Reads the entity file of Microsoft's own Event Hubs emulator (`Config.json`) as it is.

use std::fmt;

use serde_json::{Map, Value};

use super::HubSpec;

/// What an entity file says.
#[derive(Debug, PartialEq, Eq)]
pub struct Entities {
    /// The hubs, at least one, in the order of the file.
    pub hubs: Vec<HubSpec>,
    /// JSON paths of fields that mean nothing here.
    pub ignored: Vec<String>,
}

/// Something wrong with an entity file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntityProblem {
    /// JSON path, such as `$.UserConfig.NamespaceConfig[0].Entities[1].Name`.
    pub place: String,
    /// What is wrong and, where it is not plain, how to mend it.
    pub reason: String,
}

impl fmt::Display for EntityProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

impl Entities {
    /// Reads the text of an entity file.
    ///
    /// `PartitionCount` is a number or text. Names of fields are compared without case. The name
    /// of the namespace and `LoggingConfig` change nothing: any name is served, and the log goes
    /// to standard error.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str) -> Result<Self, Vec<EntityProblem>> {
        let text = text.trim_start_matches('\u{feff}');
        let root: Value = serde_json::from_str(text).map_err(|error| {
            vec![EntityProblem { place: "$".to_owned(), reason: format!("not JSON: {error}") }]
        })?;
        let mut walk = Walk::default();
        let hubs = walk.root(&root);
        if walk.problems.is_empty() {
            Ok(Self { hubs, ignored: walk.ignored })
        } else {
            Err(walk.problems)
        }
    }
}

#[derive(Default)]
struct Walk {
    problems: Vec<EntityProblem>,
    ignored: Vec<String>,
}

impl Walk {
    fn root(&mut self, root: &Value) -> Vec<HubSpec> {
        let mut hubs: Vec<HubSpec> = Vec::new();
        let Some(root) = self.object("$", root, &["UserConfig"]) else { return hubs };
        let Some((path, user)) = self.needed("$", root, "UserConfig") else { return hubs };
        let known = ["NamespaceConfig", "LoggingConfig"];
        let Some(user) = self.object(&path, user, &known) else { return hubs };
        let namespaces = self.list(&path, user, "NamespaceConfig");
        if namespaces.len() > 1 {
            self.wrong(&format!("{path}.NamespaceConfig"), "more than one namespace; keep one");
        }
        for (path, namespace) in namespaces {
            let known = ["Type", "Name", "Entities"];
            let Some(namespace) = self.object(&path, namespace, &known) else { continue };
            match field(namespace, "Type") {
                None => {}
                Some(Value::String(kind)) if kind.eq_ignore_ascii_case("EventHub") => {}
                Some(other) => {
                    self.wrong(&format!("{path}.Type"), &format!("{other} is not \"EventHub\""));
                }
            }
            for (path, entity) in self.list(&path, namespace, "Entities") {
                let Some(hub) = self.hub(&path, entity) else { continue };
                if hubs.iter().any(|other| other.name.eq_ignore_ascii_case(&hub.name)) {
                    self.wrong(
                        &format!("{path}.Name"),
                        &format!("hub `{}` is there twice", hub.name),
                    );
                }
                hubs.push(hub);
            }
        }
        hubs
    }

    fn hub(&mut self, path: &str, entity: &Value) -> Option<HubSpec> {
        let entity = self.object(path, entity, &["Name", "PartitionCount", "ConsumerGroups"])?;
        let name = self.name(path, entity);
        let partitions = self.needed(path, entity, "PartitionCount").and_then(|(path, count)| {
            let found = number(count);
            if found.is_none() {
                self.wrong(&path, &format!("{count} is not a number of partitions"));
            }
            found
        });
        let groups = match field(entity, "ConsumerGroups") {
            None => Vec::new(),
            Some(Value::Array(groups)) => self.groups(&format!("{path}.ConsumerGroups"), groups),
            Some(_) => {
                self.wrong(&format!("{path}.ConsumerGroups"), "not a list");
                Vec::new()
            }
        };
        let hub = HubSpec { consumer_groups: groups, ..HubSpec::new(name?, partitions?) };
        // Name, number and groups are judged by the same rules as those of the command line.
        if let Err(error) = hub.check() {
            self.wrong(path, &error.to_string());
        }
        Some(hub)
    }

    fn groups(&mut self, path: &str, groups: &[Value]) -> Vec<String> {
        let mut names = Vec::new();
        for (place, group) in groups.iter().enumerate() {
            let path = format!("{path}[{place}]");
            let Some(group) = self.object(&path, group, &["Name"]) else { continue };
            names.extend(self.name(&path, group));
        }
        names
    }

    fn name(&mut self, path: &str, object: &Map<String, Value>) -> Option<String> {
        let (path, name) = self.needed(path, object, "Name")?;
        let found = name.as_str().map(str::to_owned);
        if found.is_none() {
            self.wrong(&path, "not a text");
        }
        found
    }

    /// The value as an object; members with other names than `known` are noted as ignored.
    fn object<'a>(
        &mut self,
        path: &str,
        value: &'a Value,
        known: &[&str],
    ) -> Option<&'a Map<String, Value>> {
        let Value::Object(members) = value else {
            self.wrong(path, "not an object");
            return None;
        };
        let foreign =
            members.keys().filter(|key| !known.iter().any(|k| k.eq_ignore_ascii_case(key)));
        self.ignored.extend(foreign.map(|key| format!("{path}.{key}")));
        Some(members)
    }

    /// The items of a list that must be there and hold something, with their paths.
    fn list<'a>(
        &mut self,
        path: &str,
        object: &'a Map<String, Value>,
        name: &str,
    ) -> Vec<(String, &'a Value)> {
        let Some((path, value)) = self.needed(path, object, name) else { return Vec::new() };
        let Some(items) = value.as_array().filter(|items| !items.is_empty()) else {
            self.wrong(&path, "not a list of at least one");
            return Vec::new();
        };
        items.iter().enumerate().map(|(at, item)| (format!("{path}[{at}]"), item)).collect()
    }

    /// A member that must be there, with its path.
    fn needed<'a>(
        &mut self,
        path: &str,
        object: &'a Map<String, Value>,
        name: &str,
    ) -> Option<(String, &'a Value)> {
        let path = format!("{path}.{name}");
        let found = field(object, name);
        if found.is_none() {
            self.wrong(&path, "missing");
        }
        found.map(|value| (path, value))
    }

    fn wrong(&mut self, place: &str, reason: &str) {
        self.problems.push(EntityProblem { place: place.to_owned(), reason: reason.to_owned() });
    }
}

fn field<'a>(object: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    object.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// A number, or text that is one.
fn number(value: &Value) -> Option<u32> {
    match value {
        Value::String(text) => text.trim().parse().ok(),
        Value::Number(number) => number.as_u64().and_then(|number| u32::try_from(number).ok()),
        Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The file that comes with Microsoft's emulator, with a second entity and foreign fields.
    const FILE: &str = r#"{
        "UserConfig": {
            "NamespaceConfig": [{
                "Type": "EventHub",
                "Name": "emulatorNs1",
                "Entities": [
                    {"Name": "eh1", "PartitionCount": "2", "ConsumerGroups": [{"Name": "cg1"}]},
                    {"Name": "eh2", "PartitionCount": 4, "ConsumerGroups": [], "Colour": "blue"}
                ]
            }],
            "LoggingConfig": {"Type": "File"}
        },
        "$schema": "x"
    }"#;

    #[test]
    fn microsofts_file_is_read_as_it_is() {
        let entities = Entities::parse(&format!("\u{feff}{FILE}")).unwrap();
        let first = HubSpec { consumer_groups: vec!["cg1".to_owned()], ..HubSpec::new("eh1", 2) };
        assert_eq!(entities.hubs, [first, HubSpec::new("eh2", 4)]);
        let colour = "$.UserConfig.NamespaceConfig[0].Entities[1].Colour";
        assert_eq!(entities.ignored, ["$.$schema", colour]);
    }

    #[track_caller]
    fn check(from: &str, to: &str, expected: &[&str]) {
        assert!(FILE.contains(from), "{from}");
        let problems = Entities::parse(&FILE.replace(from, to)).unwrap_err();
        let told: Vec<String> = problems.iter().map(ToString::to_string).collect();
        assert_eq!(told.len(), expected.len(), "{told:?}");
        for (told, expected) in told.iter().zip(expected) {
            assert!(told.starts_with(expected), "{told} is not {expected}");
        }
    }

    #[test]
    fn every_problem_is_told_with_its_place() {
        let entity = |rest: &str| format!("$.UserConfig.NamespaceConfig[0].Entities{rest}");
        check("UserConfig", "Config", &["$.UserConfig: missing"]);
        check("\"EventHub\"", "\"ServiceBus\"", &["$.UserConfig.NamespaceConfig[0].Type: \"S"]);
        check("\"2\"", "\"two\"", &[&entity("[0].PartitionCount: \"two\"")]);
        check("\"2\"", "0", &[&entity("[0]: partition count `0`")]);
        check("\"2\"", "-1", &[&entity("[0].PartitionCount: -1")]);
        check("eh2", "EH1", &[&entity("[1].Name: hub `EH1` is there twice")]);
        check("eh1", "..", &[&entity("[0]: hub name `..`")]);
        check("cg1", "c/1", &[&entity("[0]: consumer group `c/1`")]);
        check("{\"Name\": \"cg1\"}", "\"cg1\"", &[&entity("[0].ConsumerGroups[0]: not an object")]);
        let twice = "{\"Name\": \"cg1\"}, {\"Name\": \"CG1\"}";
        check("{\"Name\": \"cg1\"}", twice, &[&entity("[0]: consumer group `CG1`")]);
        check("\"Entities\": [", "\"Entities\": [7,", &[&entity("[0]: not an object")]);
        check(
            "\"LoggingConfig\"",
            "LoggingConfig",
            &["$: not JSON: key must be a string at line 11"],
        );
        let both = FILE.replace("\"eh1\"", "1").replace("4,", "[],");
        let problems = Entities::parse(&both).unwrap_err();
        let places: Vec<_> = problems.into_iter().map(|problem| problem.place).collect();
        assert_eq!(places, [entity("[0].Name"), entity("[1].PartitionCount")]);
    }

    #[test]
    fn a_file_without_entities_is_refused() {
        for text in ["", "[]", "{}", r#"{"UserConfig":{"NamespaceConfig":[]}}"#] {
            assert_eq!(Entities::parse(text).unwrap_err().len(), 1, "{text}");
        }
    }
}
