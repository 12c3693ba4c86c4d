//! Rules about what guards accounts: filters, logs, policies, and our own pipeline (`TW-P08` to `P11`, `P14`).

use super::act::{Act, Effect, Log};
use super::memory::actor_key;
use super::{Alarm, Scene, Verdict, account_of, command, name_of};
use crate::event::control::{
    Changed, DiagnosticState, LockState, NetworkState, Principal, RaiFilter, RaiState, Target, Verb,
};
use crate::incident::Severity;
use crate::incident::respond::{list_settings, quoted};

/// Whether a scope can hold AI accounts: an account, a group, a subscription or a management group.
pub(super) fn is_ai_scope(scope: &str) -> bool {
    let above = "/providers/microsoft.management/managementgroups/";
    match scope.split_once("/providers/") {
        Some(_) => account_of(scope).is_some() || scope.starts_with(above),
        None => scope.is_empty() || scope.starts_with("/subscriptions/") || scope == "/",
    }
}

/// The scope that something below it is assigned to.
fn scope_of(resource: &str) -> &str {
    let end = resource.rfind("/providers/microsoft.authorization/").unwrap_or(resource.len());
    resource.get(..end).unwrap_or(resource)
}

/// Deployments named that use a policy.
const MAX_USERS: usize = 5;

/// TW-P08: a content filter looks at less or lets more pass, or was taken off a deployment.
pub(super) fn filter_weakened(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-P08";
    let act = scene.act;
    let account = account_of(&act.resource)?;
    let name = name_of(&act.resource);
    let facts = match (scene.before(), act.sets()) {
        (None, None) | (Some(_), None) if act.did(Target::RaiPolicy, Verb::Delete) => {
            vec!["it was deleted".to_owned()]
        }
        (Some(Changed::RaiPolicy(before)), Some(Changed::RaiPolicy(after))) => {
            weaker(before, after)
        }
        (_, Some(Changed::RaiPolicy(after))) => after.lets_pass(),
        (Some(Changed::Deployment(before)), Some(Changed::Deployment(after))) => {
            let (was, is) = (&before.rai_policy, &after.rai_policy);
            let moved = !was.is_empty() && !is.is_empty() && !was.eq_ignore_ascii_case(is);
            moved.then(|| format!("it was moved from policy {was} to {is}")).into_iter().collect()
        }
        (Some(_) | None, Some(_) | None) => return None,
    };
    if facts.is_empty() || act.effect == Effect::Refused || is_by_microsoft(scene) {
        return None;
    }
    let what = if act.target == Target::Deployment { "deployment" } else { "content filter" };
    let fact = format!("{what} {name} of {}: {}", name_of(account), facts.join("; "));
    let mut alarm = scene.alarm(RULE, &act.resource, fact);
    account.clone_into(&mut alarm.resource);
    if act.target == Target::RaiPolicy && scene.before().is_none() && act.verb != Verb::Delete {
        if act.log == Log::Inventory && scene.memory.state(&act.resource).is_none() {
            alarm = alarm.with("It is new: the reading before did not have it");
        } else {
            alarm = alarm.with("How the policy was before, no record has said");
            alarm.confidence = 0.6;
        }
    }
    if act.target == Target::RaiPolicy {
        alarm = alarm.with(users(scene, account));
    }
    if let (Some(Changed::Deployment(before)), Some(Changed::Deployment(after))) =
        (scene.before(), act.sets())
    {
        alarm.evidence.extend(moved(scene, account, (&before.rai_policy, &after.rai_policy)));
        let undo = format!("properties.raiPolicyName={}", before.rai_policy);
        alarm = alarm.step("Undoes it.", command::set(&act.resource, &[&undo]));
    }
    alarm
        .step(
            "Shows the policies as they are; set the filters again to block at Medium.",
            format!(
                "az rest --method get --url {}",
                quoted(&format!("{account}/raiPolicies?api-version=2025-06-01"))
            ),
        )
        .raise("")
}

/// Whether Microsoft did it: a policy that Microsoft keeps was found to differ, and no write of it was told.
/// Azure says whose a policy is, and a customer cannot; its name counts only where Azure does not.
fn is_by_microsoft(scene: &Scene<'_>) -> bool {
    let act = scene.act;
    let says = |state: Option<&Changed>| match state {
        Some(Changed::RaiPolicy(state)) => state.by_microsoft,
        Some(_) | None => None,
    };
    let name = name_of(&act.resource);
    let version = name.strip_prefix("microsoft.default").unwrap_or("none");
    let is_named = version.is_empty()
        || version
            .strip_prefix('v')
            .is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()));
    act.target == Target::RaiPolicy
        && act.log == Log::Inventory
        && act.principal == Principal::default()
        && says(act.sets()).or_else(|| says(scene.before())).unwrap_or(is_named)
}

/// Which deployments use the policy that the act is about, in words.
fn users(scene: &Scene<'_>, account: &str) -> String {
    let policy = name_of(&scene.act.resource);
    let all = scene.memory.states_below(account).filter_map(|(id, state)| {
        let Changed::Deployment(state) = &state.to else { return None };
        state.rai_policy.eq_ignore_ascii_case(policy).then(|| name_of(id))
    });
    let all: Vec<&str> = all.collect();
    let named = all.iter().take(MAX_USERS).copied().collect::<Vec<_>>().join(", ");
    match all.len() {
        0 => "No deployment is known to use it".to_owned(),
        count if count > MAX_USERS => format!("{count} deployments use it: {named} and others"),
        count => format!("{count} deployment(s) use it: {named}"),
    }
}

/// What a deployment's new policy lets pass, where it is known.
fn moved(scene: &Scene<'_>, account: &str, (from, to): (&str, &str)) -> Option<String> {
    let policy = |name: &str| {
        let id = format!("{account}/raipolicies/{}", name.to_lowercase());
        let Changed::RaiPolicy(state) = &scene.memory.state(&id)?.to else { return None };
        Some(state)
    };
    let after = policy(to)?;
    let (facts, than) = match policy(from) {
        Some(before) => (weaker(before, after), format!(" beside {from}")),
        None => (after.lets_pass(), String::new()),
    };
    Some(match facts.is_empty() {
        true => format!("Nothing is known that {to} lets pass{than}"),
        false => format!("What {to} lets pass{than}: {}", facts.join("; ")),
    })
}

/// How lax a threshold is.
fn laxity(filter: &RaiFilter) -> u8 {
    match filter.threshold.to_ascii_lowercase().as_str() {
        "low" => 1,
        "medium" => 2,
        "high" => 3,
        _ => 0,
    }
}

/// What lets more pass than before.
fn weaker(before: &RaiState, after: &RaiState) -> Vec<String> {
    let mut facts = Vec::new();
    if after.is_asynchronous() && !before.is_asynchronous() && !before.mode.is_empty() {
        facts.push(format!("mode {} → {}", before.mode, after.mode));
    }
    for filter in &after.filters {
        let known = before.filters.iter().find(|known| {
            known.name.eq_ignore_ascii_case(&filter.name)
                && known.source.eq_ignore_ascii_case(&filter.source)
        });
        let Some(known) = known else { continue };
        let name = filter.words();
        if (known.enabled, filter.enabled) == (Some(true), Some(false)) {
            facts.push(format!("{name} switched off"));
        }
        if (known.blocking, filter.blocking) == (Some(true), Some(false)) {
            facts.push(format!("{name} no longer blocks"));
        }
        if laxity(known) > 0 && laxity(filter) > laxity(known) {
            facts.push(format!(
                "{name} acts from {} instead of {}",
                filter.threshold, known.threshold
            ));
        }
    }
    if before.blocklists.zip(after.blocklists).is_some_and(|(was, is)| is < was) {
        facts.push("fewer block lists".to_owned());
    }
    facts
}

/// TW-P09: a block list, Defender's plan for AI or its alerts were switched off.
pub(super) fn abuse_guard_removed(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-P09";
    let act = scene.act;
    let name = name_of(&act.resource);
    // The other plans guard other things.
    let is_ai_plan =
        act.target == Target::DefenderForAi || (act.target == Target::DefenderPlan && name == "ai");
    let enabled = match act.sets() {
        Some(Changed::Defender(state)) if is_ai_plan => state.enabled,
        Some(_) | None => None,
    };
    if is_ai_plan && enabled == Some(true) {
        let (scope, why) = (act.resource.clone(), "it is on again".to_owned());
        return Some(Verdict::Clear { rule: RULE, scope, why });
    }
    let (fact, step) = if act.did(Target::RaiBlocklist, Verb::Delete) {
        let fact = format!("block list {name} was deleted, or an entry of it");
        (fact, ("Shows the account; the list must be made anew.", command::show(&act.resource)))
    } else if is_ai_plan && (enabled == Some(false) || act.verb == Verb::Delete) {
        let on = if act.target == Target::DefenderPlan {
            "az security pricing create --name AI --tier Standard".to_owned()
        } else {
            command::set(&act.resource, &["properties.state=Enabled"])
        };
        ("Defender's plan for AI was switched off".to_owned(), ("Switches it on again.", on))
    } else if act.did(Target::AlertSuppression, Verb::Write) {
        let off = command::delete(&act.resource);
        (format!("alerts of Defender are hidden by rule {name}"), ("Takes the rule away.", off))
    } else {
        return None;
    };
    let mut alarm = scene.alarm(RULE, &act.resource, fact);
    if let Some(account) = account_of(&act.resource) {
        account.clone_into(&mut alarm.resource);
    }
    alarm.step(step.0, step.1).raise("")
}

/// Raises the severity when the same identity did something else that a rule speaks of.
fn with_second_signal(scene: &Scene<'_>, mut alarm: Alarm) -> Alarm {
    if scene.has_second_signal() {
        alarm.severity = scene.severity(alarm.rule, 2);
        alarm =
            alarm.with("the same identity did something else within a day that a rule speaks of");
    }
    alarm
}

/// TW-P10: an AI account, or the activity log itself, sends fewer records or none to where it did.
pub(super) fn diagnostics_reduced(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-P10";
    let act = scene.act;
    let setting = name_of(&act.resource);
    let source = act.resource.split("/providers/microsoft.insights/").next().unwrap_or_default();
    if act.target != Target::DiagnosticSetting || !is_ai_scope(source) {
        return None;
    }
    let before = match scene.before() {
        Some(Changed::Diagnostic(before)) => Some(before),
        Some(_) | None => None,
    };
    let (facts, undo) = match (before, act.sets()) {
        (before, _) if act.verb == Verb::Delete => {
            let to = before.map_or_else(
                || "; where it sent to, no record has said".to_owned(),
                |before| {
                    format!("; it sent {} to {}", before.sends.join(", "), destination(before))
                },
            );
            (vec![format!("deleted{to}")], before)
        }
        (Some(before), Some(Changed::Diagnostic(after))) => (reduced(before, after), Some(before)),
        (None, Some(Changed::Diagnostic(_))) => (Vec::new(), None),
        (Some(_) | None, Some(_) | None) => return None,
    };
    let account = account_of(source).unwrap_or(source);
    if facts.is_empty() {
        let why = "the setting sends again".to_owned();
        return sends_more(before, act).then(|| Verdict::Clear {
            rule: RULE,
            scope: act.resource.clone(),
            why,
        });
    }
    let fact =
        format!("diagnostic setting {setting} of {}: {}", name_of(account), facts.join("; "));
    let mut alarm = scene.alarm(RULE, &act.resource, fact);
    alarm.resource = account.to_owned();
    if before.is_some_and(|before| before.namespace.is_empty()) {
        alarm.severity = Severity::Medium;
        alarm = alarm.with("it did not send to an event hub: what we read goes on");
    } else {
        alarm = with_second_signal(scene, alarm);
    }
    if let Some(command) = undo.and_then(|before| create_setting(source, setting, before)) {
        alarm = alarm.step(
            "Makes the setting as it was; the name of the hub's authorization rule is not kept, so put yours.",
            command,
        );
    }
    alarm
        .step("Lists the settings as they are now.", list_settings(source))
        .raise(", or as soon as the setting sends again")
}

/// Whether a write makes a setting send what it did not.
fn sends_more(before: Option<&DiagnosticState>, act: &Act) -> bool {
    let Some(Changed::Diagnostic(after)) = act.sets() else { return false };
    let is_known = |category| before.is_some_and(|before| before.sends.contains(category));
    after.sends.iter().any(|category| !is_known(category))
}

fn destination(state: &DiagnosticState) -> String {
    match (state.namespace.as_str(), state.other_destination) {
        ("", true) => "a workspace or storage".to_owned(),
        ("", false) => "nowhere that is known".to_owned(),
        (namespace, _) => format!("event hub {} of {}", state.event_hub, name_of(namespace)),
    }
}

fn reduced(before: &DiagnosticState, after: &DiagnosticState) -> Vec<String> {
    let mut facts = Vec::new();
    let lost = before.sends.iter().filter(|category| !after.sends.contains(category));
    let lost: Vec<&str> = lost.map(String::as_str).collect();
    // A group stands for its categories.
    let has_all = after.sends.iter().any(|category| category.eq_ignore_ascii_case("allLogs"));
    if !lost.is_empty() && !has_all {
        facts.push(format!("no longer sends {}", lost.join(", ")));
    }
    if !before.namespace.is_empty()
        && (before.namespace != after.namespace
            || !before.event_hub.eq_ignore_ascii_case(&after.event_hub))
    {
        facts.push(format!("sends to {} instead of {}", destination(after), destination(before)));
    }
    facts
}

fn create_setting(source: &str, name: &str, before: &DiagnosticState) -> Option<String> {
    if before.namespace.is_empty() || before.sends.is_empty() {
        return None;
    }
    let entry = |category: &String| {
        let key = if category.to_ascii_lowercase().starts_with("all") && category != "AllMetrics" {
            "categoryGroup"
        } else {
            "category"
        };
        format!("{{\"{key}\":\"{category}\",\"enabled\":true}}")
    };
    let (metrics, logs): (Vec<&String>, Vec<&String>) =
        before.sends.iter().partition(|category| *category == "AllMetrics");
    let list = |categories: Vec<&String>| {
        quoted(&format!("[{}]", categories.into_iter().map(entry).collect::<Vec<_>>().join(",")))
    };
    let mut command = format!(
        "az monitor diagnostic-settings create --name {} --resource {} --event-hub {} \
         --event-hub-rule {}/authorizationRules/RootManageSharedAccessKey",
        quoted(name),
        quoted(source),
        quoted(&before.event_hub),
        quoted(&before.namespace)
    );
    if !logs.is_empty() {
        command.push_str(&format!(" --logs {}", list(logs)));
    }
    if !metrics.is_empty() {
        command.push_str(&format!(" --metrics {}", list(metrics)));
    }
    Some(command)
}

/// TW-P11: the event hub that we read was deleted, opened, or its keys were listed by someone new.
pub(super) fn pipeline_touched(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-P11";
    let act = scene.act;
    let namespace = namespace_of(&act.resource)?;
    if act.target != Target::EventHub || !scene.pipeline.iter().any(|name| name == namespace) {
        return None;
    }
    let what = name_of(&act.resource);
    let fact = match act.verb {
        Verb::Delete => format!("{what} of our event hub namespace {namespace} was deleted"),
        Verb::RegenerateKey => format!("a key of {what} in {namespace} was made anew"),
        Verb::ListKeys if act.effect == Effect::Done => {
            if !is_new_to_the_hub(scene) {
                return None;
            }
            format!("the keys of {what} in {namespace} were listed by somebody new")
        }
        Verb::Write => format!("the network of {namespace} was opened: {}", opened(scene)?),
        Verb::ListKeys
        | Verb::Approve
        | Verb::Start
        | Verb::Stop
        | Verb::Audit
        | Verb::Deny
        | Verb::Enforce
        | Verb::Other => return None,
    };
    let alarm = scene.alarm(RULE, &act.resource, fact);
    with_second_signal(scene, alarm)
        .with("From then on records may be read or kept back by others; what is missing, TW-S01 and TW-S06 say")
        .step("Shows the namespace as it is now.", format!(
            "az resource list --name {} --resource-type Microsoft.EventHub/namespaces",
            quoted(namespace)
        ))
        .step(
            "Replaces the first key of the rule; diagnostic settings and readers that use it need the new one.",
            format!("az rest --method post --url {} --body {}",
                quoted(&format!("{}/regenerateKeys?api-version=2024-01-01", act.resource)),
                quoted("{\"keyType\":\"PrimaryKey\"}")),
        )
        .raise("")
}

fn is_new_to_the_hub(scene: &Scene<'_>) -> bool {
    let act = scene.act;
    let object = &act.principal.object;
    let days = scene.threshold("TW-P11", "known_days");
    !object.is_empty()
        && scene.memory.watched_for(act, scene.threshold("TW-P11", "history_days"))
        && scene.memory.is_new(&actor_key(act, "object", object), act.at, days)
}

fn namespace_of(resource: &str) -> Option<&str> {
    let (_, rest) = resource.split_once("/providers/microsoft.eventhub/namespaces/")?;
    rest.split('/').next().filter(|name| !name.is_empty())
}

fn opened(scene: &Scene<'_>) -> Option<&'static str> {
    let (Some(Changed::Network(before)), Some(Changed::Network(after))) =
        (scene.before(), scene.act.sets())
    else {
        return None;
    };
    let NetworkState { public_access, open_by_default, .. } = after;
    if (before.public_access, *public_access) == (Some(false), Some(true)) {
        Some("publicNetworkAccess Disabled → Enabled")
    } else if (before.open_by_default, *open_by_default) == (Some(false), Some(true)) {
        Some("defaultAction Deny → Allow")
    } else {
        None
    }
}

/// TW-P14: a policy assignment or a lock went, was exempted from, or is no longer enforced.
pub(super) fn policy_guard_removed(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-P14";
    let act = scene.act;
    let scope = scope_of(&act.resource);
    if !is_ai_scope(scope) || act.effect == Effect::Refused {
        return None;
    }
    let (name, place) = (name_of(&act.resource), name_of(scope));
    let (fact, undo) = removed((act, scene.before()), name, place)?;
    let mut alarm = scene.alarm(RULE, &act.resource, fact);
    alarm.resource = scope.to_owned();
    if let Some(Changed::Exemption(exemption)) = act.sets() {
        alarm = match exemption.until {
            Some(until) => alarm.with(format!("the exemption ends {until}")),
            None => alarm.with("no end of the exemption is said"),
        };
    }
    if let Some(undo) = undo {
        alarm = alarm.step("Undoes it.", undo);
    }
    alarm
        .step(
            "Lists the policies that hold there now.",
            format!(
                "az policy assignment list --disable-scope-strict-match --scope {}",
                quoted(scope)
            ),
        )
        .raise("")
}

fn removed(
    (act, before): (&Act, Option<&Changed>),
    name: &str,
    place: &str,
) -> Option<(String, Option<String>)> {
    if act.did(Target::PolicyAssignment, Verb::Delete) {
        return Some((format!("policy assignment {name} on {place} was deleted"), None));
    }
    if act.did(Target::Lock, Verb::Delete) {
        let level = match before {
            Some(Changed::Lock(LockState { level })) if !level.is_empty() => level.as_str(),
            Some(_) | None => "CanNotDelete",
        };
        let command = command::lock(name, level, scope_of(&act.resource));
        return Some((format!("lock {name} on {place} was deleted"), Some(command)));
    }
    if act.did(Target::PolicyExemption, Verb::Write) {
        let undo = command::delete(&act.resource);
        return Some((format!("{place} was exempted from a policy by {name}"), Some(undo)));
    }
    match act.sets() {
        Some(Changed::Assignment(state))
            if state.enforcement.eq_ignore_ascii_case("DoNotEnforce") =>
        {
            let undo = command::set(&act.resource, &["properties.enforcementMode=Default"]);
            Some((format!("policy assignment {name} on {place} is no longer enforced"), Some(undo)))
        }
        Some(_) | None => None,
    }
}
