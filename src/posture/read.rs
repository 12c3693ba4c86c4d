//! From the bodies that Azure Resource Manager answers with to an inventory.
//!
//! Each function reads one element of a list; `None` is what cannot be read.

use super::inventory::{
    About, Assignment, Budget, Definition, Kind, Part, Quota, Resource, Unread, scope_of,
};
use crate::decode::arm::{self, Named};
use crate::decode::field::{Fields, elements, rounded};
use crate::decode::text;
use crate::event::control::{
    Changed, ConnectionState, DeploymentState, DiagnosticState, LockState, RaiState, RoleState,
    Target,
};

/// An account, service or workspace with its id; what is asked for separately is yet `later`.
#[must_use]
pub fn resource(body: &str, kind: Kind, later: &Unread) -> Option<(String, Resource)> {
    let named = arm::named(body)?;
    let mut state = match kind {
        Kind::Account => arm::ai_account(body)?,
        Kind::Search => arm::search_service(body)?,
        Kind::Workspace => arm::workspace(body)?,
    };
    // Some services write a region's name for people, such as East US 2.
    state.location.retain(|c| c != ' ');
    let resource = Resource {
        name: named.name,
        kind,
        created: named.created,
        state,
        endpoints: arm::connections(body),
        filters: None,
        deployments: None,
        connections: None,
        settings: Part::Unread(later.clone()),
    };
    Some((named.id, resource))
}

/// What an element is called, and how it is set.
fn named(body: &str, target: Target) -> Option<(Named, Changed)> {
    Some((arm::named(body)?, arm::state(body, target)?))
}

/// A deployment by name.
#[must_use]
pub fn deployment(body: &str) -> Option<(String, DeploymentState)> {
    let (named, Changed::Deployment(state)) = named(body, Target::Deployment)? else { return None };
    Some((named.name, state))
}

/// A content filter policy by name.
#[must_use]
pub fn filter(body: &str) -> Option<(String, RaiState)> {
    let (named, Changed::RaiPolicy(state)) = named(body, Target::RaiPolicy)? else { return None };
    Some((named.name, state))
}

/// A connection by name. Its key and what else it signs in with are not asked for.
#[must_use]
pub fn connection(body: &str) -> Option<(String, ConnectionState)> {
    let (named, Changed::Connection(state)) = named(body, Target::Connection)? else { return None };
    Some((named.name, state))
}

/// A project of an account: its id.
#[must_use]
pub fn project(body: &str) -> Option<String> {
    Some(arm::named(body)?.id)
}

/// A diagnostic setting by name.
#[must_use]
pub fn setting(body: &str) -> Option<(String, DiagnosticState)> {
    let found = named(body, Target::DiagnosticSetting)?;
    let (named, Changed::Diagnostic(state)) = found else { return None };
    Some((named.name, state))
}

/// An assignment of a role by id.
#[must_use]
pub fn role(body: &str) -> Option<(String, RoleState)> {
    let (named, Changed::Role(state)) = named(body, Target::RoleAssignment)? else { return None };
    Some((named.id, state))
}

/// A lock by id.
#[must_use]
pub fn lock(body: &str) -> Option<(String, LockState)> {
    let (named, Changed::Lock(state)) = named(body, Target::Lock)? else { return None };
    Some((named.id, state))
}

/// An assignment of a policy by id.
#[must_use]
pub fn assignment(body: &str) -> Option<(String, Assignment)> {
    let found = named(body, Target::PolicyAssignment)?;
    let (named, Changed::Assignment(state)) = found else { return None };
    let fields = Fields::read(body)?;
    let held = fields.nested("properties")?;
    let properties = Fields::read(&held)?;
    let display = properties.first_text(&["displayName"]).unwrap_or_default();
    let display = text::clean(&display, text::MAX_NAME_CHARS);
    let scope = text::resource(&properties.text("scope").unwrap_or_default());
    let assignment = Assignment {
        name: if display.is_empty() { named.name } else { display },
        scope: if scope.is_empty() { scope_of(&named.id).to_owned() } else { scope },
        excluded: excluded(&properties),
        effect: effect_of(&properties),
        state,
    };
    Some((named.id, assignment))
}

fn excluded(properties: &Fields<'_>) -> Vec<String> {
    let mut scopes = Vec::new();
    if let Some(list) = properties.nested("notScopes") {
        elements(&list, Assignment::MAX_EXCLUDED, &mut |scope| {
            scopes.push(text::resource(scope.trim_matches('"')));
        });
    }
    scopes
}

/// The value an assignment gives to the parameter `effect`.
fn effect_of(properties: &Fields<'_>) -> String {
    let effect = || {
        let parameters = properties.nested("parameters")?;
        let effect = Fields::read(&parameters)?.nested("effect")?.into_owned();
        Some(Fields::read(&effect)?.text("value")?.into_owned())
    };
    text::clean(&effect().unwrap_or_default(), text::MAX_ID_CHARS)
}

/// The definition of a policy. What it is about is told by the names in its rule: Azure has no
/// other way to say which resources a rule is for.
#[must_use]
pub fn definition(body: &str) -> Option<Definition> {
    let fields = Fields::read(body)?;
    let held = fields.nested("properties")?;
    let properties = Fields::read(&held)?;
    let rule = properties.nested("policyRule")?;
    let then = Fields::read(&rule)?.nested("then")?.into_owned();
    let said = Fields::read(&then)?.text("effect").map(std::borrow::Cow::into_owned);
    let said = said.unwrap_or_default();
    let effect = if said.contains("parameters(") { default_effect(&properties) } else { said };
    let condition = Fields::read(&rule)?.nested("if")?.to_ascii_lowercase();
    let about = [
        ("microsoft.cognitiveservices", About::Account),
        ("microsoft.search/", About::Search),
        ("microsoft.machinelearningservices", About::Workspace),
    ];
    let mut about: Vec<About> = about
        .iter()
        .filter(|(word, _)| condition.contains(word))
        .map(|(_, about)| *about)
        .collect();
    if about.is_empty() {
        let judges = |field: &str| condition.contains(&format!("\"{field}\""));
        about.extend(judges("location").then_some(About::Region));
        about.extend((judges("type") && condition.contains("parameters(")).then_some(About::Type));
    }
    Some(Definition { effect: text::clean(&effect, text::MAX_ID_CHARS), about })
}

fn default_effect(properties: &Fields<'_>) -> String {
    let default = || {
        let parameters = properties.nested("parameters")?;
        let effect = Fields::read(&parameters)?.nested("effect")?.into_owned();
        Some(Fields::read(&effect)?.text("defaultValue")?.into_owned())
    };
    default().unwrap_or_default()
}

/// A quota; `None` too for those without a limit.
#[must_use]
pub fn quota(body: &str) -> Option<Quota> {
    let fields = Fields::read(body)?;
    let name = fields.nested("name")?;
    let name = Fields::read(&name)?.text("value").map(std::borrow::Cow::into_owned)?;
    let whole = |member: &str| fields.number(member).and_then(rounded).map(u64::from);
    let name = text::clean(&name, text::MAX_NAME_CHARS);
    Some(Quota { name, used: whole("currentValue")?, limit: whole("limit")? })
}

/// A budget by id.
#[must_use]
pub fn budget(body: &str) -> Option<(String, Budget)> {
    let named = arm::named(body)?;
    let fields = Fields::read(body)?;
    let held = fields.nested("properties")?;
    let properties = Fields::read(&held)?;
    let spent = properties.nested("currentSpend");
    let spent = spent.as_deref().and_then(Fields::read).unwrap_or_default();
    let filter = properties.nested("filter");
    let budget = Budget {
        name: named.name,
        amount: properties.number("amount").and_then(rounded),
        spent: spent.number("amount").and_then(rounded),
        currency: text::clean(&spent.text("unit").unwrap_or_default(), text::MAX_ID_CHARS),
        filtered: filter.as_deref().and_then(Fields::read).is_some_and(|held| !held.is_empty()),
        notifications: notifications(&properties),
    };
    Some((named.id, budget))
}

fn notifications(properties: &Fields<'_>) -> Option<u32> {
    let held = properties.nested("notifications")?;
    let notifications = Fields::read(&held)?;
    let on = notifications.members().filter(|(_, notification)| {
        let fields = Fields::read(notification.get());
        fields.is_some_and(|fields| fields.boolean("enabled") == Some(true))
    });
    u32::try_from(on.count()).ok()
}

/// Whether an event hub or a namespace of them takes events; `None` when it does not say.
#[must_use]
pub fn hub(body: &str) -> Option<bool> {
    let fields = Fields::read(body)?;
    let held = fields.nested("properties")?;
    let properties = Fields::read(&held)?;
    let status = properties.first_text(&["status", "provisioningState"])?.to_ascii_lowercase();
    Some(matches!(status.as_str(), "active" | "succeeded" | "created"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_known_by_its_effect_and_by_what_its_rule_names() {
        let body = |condition: &str, effect: &str| {
            format!(
                r#"{{"properties":{{"parameters":{{"effect":{{"defaultValue":"Audit"}}}},
                "policyRule":{{"if":{condition},"then":{{"effect":"{effect}"}}}}}}}}"#
            )
        };
        let check = |condition: &str, effect: &str, expected: (&str, &[About])| {
            let found = definition(&body(condition, effect)).unwrap();
            assert_eq!((found.effect.as_str(), found.about.as_slice()), expected, "{condition}");
        };
        let location = r#"{"field":"location","notIn":"[parameters('allowed')]"}"#;
        check(location, "deny", ("deny", &[About::Region]));
        let types = r#"{"not":{"field":"type","in":"[parameters('allowed')]"}}"#;
        check(types, "[parameters('effect')]", ("Audit", &[About::Type]));
        let account = r#"{"allOf":[{"field":"type","equals":"Microsoft.CognitiveServices/accounts"},
            {"field":"location","equals":"x"}]}"#;
        check(account, "Deny", ("Deny", &[About::Account]));
        let other = r#"{"field":"type","equals":"Microsoft.Storage/storageAccounts"}"#;
        check(other, "Deny", ("Deny", &[]));
        assert_eq!(definition(r#"{"properties":{}}"#), None);
    }

    #[test]
    fn an_assignment_says_scope_exclusions_and_effect() {
        let body = r#"{"id":"/subscriptions/S/providers/Microsoft.Authorization/policyAssignments/a",
            "name":"a","properties":{"displayName":"Regions","policyDefinitionId":"/Providers/P/d",
            "notScopes":["/Subscriptions/S/resourceGroups/Lab"],"enforcementMode":"Default",
            "parameters":{"effect":{"value":"Deny"}}}}"#;
        let (_, found) = assignment(body).unwrap();
        assert_eq!((found.name.as_str(), found.scope.as_str()), ("Regions", "/subscriptions/s"));
        assert_eq!(found.excluded, ["/subscriptions/s/resourcegroups/lab"]);
        assert_eq!((found.effect.as_str(), found.state.excluded), ("Deny", Some(1)));
    }

    #[test]
    fn filters_and_connections_say_what_azure_says_and_no_more() {
        let body = r#"{"id":"/x/raiPolicies/Ours","name":"Ours","properties":{"type":"UserManaged",
            "basePolicyName":"Microsoft.Default","mode":"Asynchronous_filter","contentFilters":[
              {"name":"Hate","blocking":false,"enabled":true,"severityThreshold":"High","source":"Prompt"},
              {"name":"Jailbreak","source":"Prompt"}]}}"#;
        let (name, state) = filter(body).unwrap();
        assert_eq!((name.as_str(), state.by_microsoft), ("Ours", Some(false)));
        assert!(state.is_asynchronous() && state.blocklists.is_none());
        let said: Vec<_> = state
            .filters
            .iter()
            .map(|f| (f.words(), f.enabled, f.blocking, &*f.threshold))
            .collect();
        let jailbreak = ("Jailbreak (Prompt)".to_owned(), None, None, "");
        assert_eq!(
            said,
            [("Hate (Prompt)".to_owned(), Some(true), Some(false), "High"), jailbreak]
        );
        let (_, bare) = filter(r#"{"id":"/x","name":"Bare","properties":{}}"#).unwrap();
        assert_eq!(bare, RaiState::default());
        let body = r#"{"id":"/x/linkedaccounts/Tools","name":"Tools","properties":{"category":"RemoteTool",
            "target":"https://Tools.Example.net/mcp","authType":"CustomKeys","metadata":{"key":"secret"},
            "credentials":{"keys":{"x":"secret"}}}}"#;
        let (name, state) = connection(body).unwrap();
        assert_eq!((name.as_str(), state.host.as_str()), ("Tools", "tools.example.net"));
        assert!(!format!("{state:?}").contains("secret"));
    }

    #[test]
    fn budgets_quotas_locks_and_hubs_are_read_without_guessing() {
        let id = "/subscriptions/s/providers/Microsoft.Consumption/budgets/b";
        let body = |more: &str| format!(r#"{{"id":"{id}","name":"b","properties":{{{more}}}}}"#);
        let full = r#""amount":1000.0,"currentSpend":{"amount":123.6,"unit":"USD"},"filter":{},
            "notifications":{"a":{"enabled":true},"b":{"enabled":false}}"#;
        let (_, found) = budget(&body(full)).unwrap();
        assert_eq!(
            (found.amount, found.spent, found.notifications),
            (Some(1000), Some(124), Some(1))
        );
        assert!(!found.filtered);
        let (_, bare) = budget(&body(r#""filter":{"dimensions":{}}"#)).unwrap();
        assert_eq!((bare.amount, bare.spent, bare.notifications), (None, None, None));
        assert!(bare.filtered);
        let text =
            r#"{"name":{"value":"OpenAI.Standard.gpt-4o"},"currentValue":30.0,"limit":450.0}"#;
        assert_eq!(quota(text).map(|found| (found.used, found.limit)), Some((30, 450)));
        assert_eq!(quota(r#"{"name":{"value":"x"},"currentValue":1}"#), None);
        let held = r#"{"id":"/Subscriptions/S/resourceGroups/G/providers/Microsoft.Authorization/locks/l",
            "name":"l","properties":{"level":"ReadOnly"}}"#;
        let (id, state) = lock(held).unwrap();
        assert_eq!(scope_of(&id), "/subscriptions/s/resourcegroups/g");
        assert_eq!(state.level, "ReadOnly");
        assert_eq!(hub(r#"{"properties":{"status":"Active"}}"#), Some(true));
        assert_eq!(hub(r#"{"properties":{"status":"Disabled"}}"#), Some(false));
        assert_eq!(hub(r#"{"properties":{}}"#), None);
    }
}
