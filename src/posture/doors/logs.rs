//! Whether what is needed goes to an event hub that is there, and that is read.

use super::{Look, Verdict};
use crate::event::control::DiagnosticState;
use crate::incident::respond::quoted;
use crate::posture::inventory::{Cause, Kind, Part, Unread, destination};
use crate::posture::listed;

/// The category of platform metrics; every other is one of logs.
const METRICS: &str = "AllMetrics";

/// The categories that detectors live on.
fn needed(look: &Look<'_>) -> Vec<&'static str> {
    match look.resource.kind {
        // Other kinds of accounts have no models that the usage log is written for.
        Kind::Account if look.resource.serves_models() => {
            vec!["RequestResponse", "AzureOpenAIRequestUsage", "Audit", METRICS]
        }
        Kind::Account => vec!["RequestResponse", "Audit", METRICS],
        Kind::Search => vec!["OperationLogs", METRICS],
        Kind::Workspace => vec!["AmlOnlineEndpointTrafficLog", METRICS],
    }
}

/// What becomes of the events of one setting.
enum Fate {
    /// They reach a hub, and if our configuration is known, one that is read.
    Read,
    /// They reach a hub that the configuration does not name.
    Elsewhere,
    /// The hub is gone or switched off.
    Lost,
    /// Whether the hub is there could not be read.
    Unknown(String),
    /// It sends to no hub.
    NoHub,
}

pub(super) fn judge(look: &Look<'_>) -> Verdict {
    let part = &look.resource.settings;
    let Some(settings) = part.value() else {
        let why = part.lack().unwrap_or_default();
        return Verdict::unknown(format!("Diagnostic settings could not be read: {why}."));
    };
    let (mut read, mut doubtful, mut notes, mut why) = (vec![], vec![], vec![], part.lack());
    for (name, setting) in settings {
        match fate(look, setting) {
            Fate::Read => read.push(setting),
            Fate::Elsewhere => notes.push(format!(
                "Setting \"{name}\" sends to a hub that the configuration does not read."
            )),
            Fate::Lost => notes
                .push(format!("Setting \"{name}\" sends to a hub that is gone or takes nothing.")),
            Fate::Unknown(reason) => {
                doubtful.push(setting);
                why.get_or_insert(format!("of the hub of \"{name}\": {reason}"));
            }
            Fate::NoHub => {}
        }
    }
    let lacks = |settings: &[&DiagnosticState]| -> Vec<&'static str> {
        let sent = |category: &str| settings.iter().any(|setting| sends(setting, category));
        needed(look).into_iter().filter(|category| !sent(category)).collect()
    };
    let missing = lacks(&read);
    let mut verdict = if missing.is_empty() {
        Verdict::ok(format!("{} reach an event hub.", listed(&needed(look))))
    } else {
        doubtful.extend(&read);
        let certain = lacks(&doubtful);
        match why {
            Some(why) if certain.is_empty() || part.lack().is_some() => Verdict::unknown(format!(
                "Whether {} reach an event hub is not known: {why}.",
                listed(&missing)
            )),
            _ => switch_on(look, &missing),
        }
    };
    verdict.notes.extend(notes);
    verdict
}

fn fate(look: &Look<'_>, setting: &DiagnosticState) -> Fate {
    if setting.namespace.is_empty() {
        return Fate::NoHub;
    }
    let hubs = &look.own.hubs;
    if !hubs.is_empty() {
        let host = setting.namespace.rsplit('/').next().unwrap_or_default();
        let reads = |(namespace, hub): &(String, String)| {
            (namespace.is_empty() || namespace == host)
                && (setting.event_hub.is_empty() || hub.eq_ignore_ascii_case(&setting.event_hub))
        };
        if !hubs.iter().any(reads) {
            return Fate::Elsewhere;
        }
    }
    match look.inventory.hubs.get(&destination(setting)) {
        Some(Part::Read(true) | Part::Cut { value: true, .. }) => Fate::Read,
        Some(Part::Read(false) | Part::Cut { value: false, .. }) => Fate::Lost,
        Some(Part::Unread(Unread { cause: Cause::Gone, .. })) => Fate::Lost,
        Some(Part::Unread(unread)) => Fate::Unknown(unread.reason.clone()),
        None => Fate::Unknown("it was not looked at".to_owned()),
    }
}

/// True when a setting sends this category, by its own name or in a group.
fn sends(setting: &DiagnosticState, category: &str) -> bool {
    let has = |word: &str| setting.sends.iter().any(|sent| sent.eq_ignore_ascii_case(word));
    has(category)
        || (category != METRICS && has("allLogs"))
        || (category == "Audit" && has("audit"))
}

fn switch_on(look: &Look<'_>, missing: &[&str]) -> Verdict {
    let reach = if missing.len() == 1 { "reaches" } else { "reach" };
    let finding = format!("{} {reach} no event hub.", listed(missing));
    let list = |is_metric: bool| {
        let chosen = missing.iter().filter(|name| (**name == METRICS) == is_metric);
        let each = chosen.map(|name| format!("{{\"category\":\"{name}\",\"enabled\":true}}"));
        each.collect::<Vec<_>>().join(",")
    };
    let (hub, namespace) = target(look);
    let mut command = format!(
        "az monitor diagnostic-settings create --name tokenwatch-missing --resource {} \
         --event-hub {} --event-hub-rule {}",
        quoted(look.id),
        quoted(&hub),
        quoted(&format!("{namespace}/authorizationrules/RootManageSharedAccessKey"))
    );
    for (option, list) in [("--logs", list(false)), ("--metrics", list(true))] {
        if !list.is_empty() {
            command.push_str(&format!(" {option} '[{list}]'"));
        }
    }
    Verdict::open(finding).step(
        "Sends exactly what is missing; the hub must be in the region of the resource (words in \
         capitals are yours).",
        command,
    )
}

/// A hub that others in this region send to, or what the configuration says of one.
fn target(look: &Look<'_>) -> (String, String) {
    let region = &look.resource.state.location;
    let near =
        look.inventory.resources().filter(|(.., resource)| resource.state.location == *region);
    let settings = near.filter_map(|(.., resource)| resource.settings.value());
    let mut reading = settings.flat_map(|settings| settings.values()).filter(|setting| {
        matches!(fate(look, setting), Fate::Read) && !setting.event_hub.is_empty()
    });
    if let Some(setting) = reading.next() {
        return (setting.event_hub.clone(), setting.namespace.clone());
    }
    let (namespace, hub) =
        look.own.hubs.first().map_or(("", ""), |(namespace, hub)| (namespace, hub));
    let or = |word: &str, instead: &str| {
        if word.is_empty() { instead.to_owned() } else { word.to_owned() }
    };
    let namespace = format!(
        "/subscriptions/HUB_SUBSCRIPTION/resourceGroups/HUB_GROUP/providers/Microsoft.EventHub/\
         namespaces/{}",
        or(namespace, "HUB_NAMESPACE")
    );
    (or(hub, "HUB"), namespace)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::posture::sample::{NAMESPACE, World};
    use crate::posture::{Own, State};

    const ALL: [&str; 4] = ["RequestResponse", "AzureOpenAIRequestUsage", "Audit", METRICS];

    fn setting(sends: &[&str], namespace: &str) -> DiagnosticState {
        DiagnosticState {
            sends: sends.iter().map(|name| (*name).to_owned()).collect(),
            event_hub: "logs".to_owned(),
            namespace: namespace.to_owned(),
            ..DiagnosticState::default()
        }
    }

    fn world(settings: &[DiagnosticState]) -> World {
        let mut world = World::new();
        let named =
            settings.iter().enumerate().map(|(n, setting)| (n.to_string(), setting.clone()));
        world.account().settings = Part::Read(named.collect::<BTreeMap<_, _>>());
        world
    }

    #[track_caller]
    fn check(settings: &[DiagnosticState], state: State, words: &str) -> Verdict {
        let verdict = world(settings).look(Kind::Account, judge);
        assert_eq!(verdict.state, state, "{}", verdict.finding);
        let said = format!("{} {}", verdict.finding, verdict.notes.join(" "));
        assert!(said.contains(words), "{said}");
        verdict
    }

    #[test]
    fn ok_is_that_everything_needed_reaches_a_hub() {
        check(&[setting(&ALL, NAMESPACE)], State::Ok, "and AllMetrics reach");
        let groups = [setting(&["allLogs"], NAMESPACE), setting(&["allmetrics"], NAMESPACE)];
        check(&groups, State::Ok, "RequestResponse,");
        for (kind, category) in
            [(Kind::Search, "OperationLogs"), (Kind::Workspace, "AmlOnlineEndpointTrafficLog")]
        {
            let mut world = World::new();
            let sends = setting(&[category, METRICS], NAMESPACE);
            world.resource(kind).settings = Part::Read([("x".to_owned(), sends)].into());
            assert_eq!(world.look(kind, judge).state, State::Ok);
        }
        let mut speech = world(&[setting(&["RequestResponse", "audit", METRICS], NAMESPACE)]);
        speech.account().state.kind = "SpeechServices".to_owned();
        assert_eq!(speech.look(Kind::Account, judge).state, State::Ok);
    }

    #[test]
    fn open_is_what_reaches_no_hub_and_the_command_sends_exactly_that() {
        let verdict =
            check(&[setting(&ALL[..2], NAMESPACE)], State::Open, "Audit and AllMetrics reach no");
        assert_eq!(
            verdict.steps[0].command,
            format!(
                "az monitor diagnostic-settings create --name tokenwatch-missing --resource {} \
                 --event-hub logs --event-hub-rule {NAMESPACE}/authorizationrules/RootManageSharedAccessKey \
                 --logs '[{{\"category\":\"Audit\",\"enabled\":true}}]' \
                 --metrics '[{{\"category\":\"AllMetrics\",\"enabled\":true}}]'",
                World::id(Kind::Account)
            )
        );
        let none = check(&[], State::Open, "reach no event hub");
        assert!(none.steps[0].command.contains("--event-hub HUB "));
        check(&[setting(&ALL, "")], State::Open, "reach no event hub");
        check(&[setting(&ALL, "/gone")], State::Open, "sends to a hub that is gone");
    }

    #[test]
    fn unknown_is_a_hub_or_a_list_that_could_not_be_read() {
        check(&[setting(&ALL, "/elsewhere")], State::Unknown, "it was not looked at");
        check(&[setting(&ALL[..2], "/elsewhere")], State::Open, "reach no event hub");
        let mut world = world(&[]);
        world.account().settings = world.forbidden();
        let verdict = world.look(Kind::Account, judge);
        assert_eq!(verdict.state, State::Unknown);
        assert!(verdict.finding.contains("answered 403"), "{}", verdict.finding);
        let limit = "page 2 could not be read: answered 500".to_owned();
        world.account().settings = Part::Cut { value: BTreeMap::new(), limit };
        assert_eq!(world.look(Kind::Account, judge).state, State::Unknown);
    }

    #[test]
    fn with_a_configuration_the_hub_must_be_one_that_is_read() {
        let world = world(&[setting(&ALL, NAMESPACE)]);
        let own = |namespace: &str, hub: &str| Own {
            hubs: vec![(namespace.to_owned(), hub.to_owned())],
            ..Own::default()
        };
        for (namespace, hub, state) in [
            ("contoso-logs", "logs", State::Ok),
            ("", "logs", State::Ok),
            ("contoso-logs", "other", State::Open),
            ("another", "logs", State::Open),
        ] {
            let verdict = world.look_with(Kind::Account, judge, &own(namespace, hub));
            assert_eq!(verdict.state, state, "{namespace}/{hub}");
            let told = verdict.notes.iter().any(|note| note.contains("does not read"));
            assert_eq!(told, state == State::Open);
        }
    }
}
