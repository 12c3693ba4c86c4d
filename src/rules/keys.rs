//! Rules about keys and the rights to get at them (`TW-K`).

use std::collections::BTreeSet;

use super::act::{Act, ELEVATE, Effect, Log, name_of as who_is};
use super::memory::{KeysOn, Recent, actor_key};
use super::{Scene, Verdict, command, is_same, name_of};
use crate::event::control::{Changed, Target, Verb};
use crate::incident::Severity;
use crate::time::EventTime;

/// TW-K01: an account's keys were listed by an identity or from a network that had not done so lately.
pub(super) fn listed_by_someone_new(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-K01";
    let act = scene.act;
    if !act.did(Target::Account, Verb::ListKeys)
        || !scene.memory.watched_for(act, scene.threshold(RULE, "history_days"))
    {
        return None;
    }
    let days = scene.threshold(RULE, "known_days");
    let new = newcomer(scene, days)?;
    let account = name_of(&act.resource);
    let who = who_is(&act.principal);
    let fact = match new {
        New::Identity => {
            format!("the keys of {account} were listed by {who}, who had not in {days} days")
        }
        New::Network => format!(
            "{who} listed the keys of {account} from {}, from where nobody had in {days} days",
            act.principal.network
        ),
    };
    let scope = format!(
        "{}/{}",
        act.resource,
        if act.principal.object.is_empty() {
            &act.principal.network
        } else {
            &act.principal.object
        }
    );
    let mut alarm = scene.alarm(RULE, &scope, fact);
    alarm.unit = "listing";
    if new == New::Network {
        // An egress that moved looks so too: never a page by itself.
        (alarm.severity, alarm.confidence) = (Severity::Medium, 0.5);
    }
    let refused = refusals(scene, act).count();
    if refused > 0 {
        alarm = alarm.with(format!(
            "{refused} listing(s) of these keys were refused within the hour before"
        ));
    }
    alarm = match act.log {
        Log::Activity => alarm.with("Whether Key1 or Key2 is used from now on, no record says"),
        Log::Audit | Log::Defender => alarm.with(
            "told by the account's audit log alone: from where, and whether it succeeded, is not said",
        ),
        Log::Inventory => alarm,
    };
    alarm.weight = if act.log == Log::Activity { 2.0 } else { 1.0 };
    alarm
        .step(
            "Replaces the second key, to which clients should be moved first; then the first.",
            command::regenerate(&act.resource, "Key2"),
        )
        .step(
            "Then the first key. Clients that still use it break.",
            command::regenerate(&act.resource, "Key1"),
        )
        .step(
            "Makes all keys worthless at once; Entra ID still works. Breaks clients that use keys.",
            command::set(&act.resource, &["properties.disableLocalAuth=true"]),
        )
        .step("Shows what else it did.", command::activity_of(&who, &act.resource))
        .raise("")
}

/// What is new about whoever did an act.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum New {
    Identity,
    Network,
}

fn newcomer(scene: &Scene<'_>, days: f64) -> Option<New> {
    let act = scene.act;
    let is_new = |what: &str, value: &str| {
        !value.is_empty() && scene.memory.is_new(&actor_key(act, what, value), act.at, days)
    };
    if is_new("object", &act.principal.object) {
        Some(New::Identity)
    } else {
        is_new("network", &act.principal.network).then_some(New::Network)
    }
}

/// Refused listings of an account's keys within the hour before `act`.
fn refusals<'a>(scene: &Scene<'a>, act: &Act) -> impl Iterator<Item = &'a Recent> {
    let (resource, at) = (act.resource.clone(), act.at);
    let near = scene.around(at, scene.threshold("TW-K03", "minutes"));
    near.filter(move |recent| {
        let other = &recent.act;
        other.effect == Effect::Refused && other.resource == resource && other.at <= at
    })
}

/// TW-K02: one identity listed within an hour the keys of several accounts whose keys it had not listed lately.
pub(super) fn listed_of_several(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-K02";
    let act = scene.act;
    // In the first week nobody is known yet.
    if !act.did(Target::Account, Verb::ListKeys)
        || act.principal.object.is_empty()
        || !scene.memory.watched_for(act, scene.threshold(RULE, "history_days"))
    {
        return None;
    }
    let minutes = scene.threshold(RULE, "minutes");
    let days = scene.threshold(RULE, "known_days");
    // Whoever deploys lists the same keys every night.
    let is_new = |other: &Act| {
        let key = actor_key(other, "object", &other.principal.object);
        scene.memory.is_new(&key, other.at, days)
    };
    let near: Vec<&Recent> = scene
        .around(act.at, minutes)
        .filter(|recent| {
            recent.act.did(Target::Account, Verb::ListKeys)
                && is_same(&recent.act.principal, &act.principal)
                && is_new(&recent.act)
        })
        .collect();
    let (accounts, first, last) = busiest(&near, minutes)?;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand accounts at most")]
    let count = accounts.len() as f64;
    if count < scene.threshold(RULE, "accounts") {
        return None;
    }
    let names: Vec<&str> = accounts.iter().map(|account| name_of(account)).take(10).collect();
    let who = who_is(&act.principal);
    let fact = format!(
        "{who} listed the keys of {} accounts within {minutes} min: {}",
        accounts.len(),
        names.join(", ")
    );
    let mut alarm = scene.alarm(RULE, &act.principal.object, fact);
    (alarm.observed, alarm.unit, alarm.span) = (count, "accounts", (first, last));
    alarm.weight = count;
    for account in accounts.iter().take(3) {
        let what = format!(
            "Replaces the first key of {}. Clients must fetch the new one.",
            name_of(account)
        );
        alarm = alarm.step(&what, command::regenerate(account, "Key1"));
    }
    alarm
        .step(
            "Lists what this identity may do.",
            command::roles_of(&act.principal.object, &act.resource),
        )
        .step("Shows what else it did.", command::activity_of(&who, &act.resource))
        .raise("")
}

/// The window of so many minutes with the most accounts, and its first and last listing.
fn busiest<'a>(
    near: &[&'a Recent],
    minutes: f64,
) -> Option<(BTreeSet<&'a str>, EventTime, EventTime)> {
    let reach = super::minutes_ms(minutes);
    let windows = near.iter().map(|begin| {
        let from = begin.act.at;
        let inside = near.iter().filter(|r| r.act.at >= from && r.act.at.0 - from.0 <= reach);
        let inside: Vec<_> = inside.collect();
        let last = inside.iter().map(|recent| recent.act.at).max().unwrap_or(from);
        let accounts: BTreeSet<&str> = inside.iter().map(|r| r.act.resource.as_str()).collect();
        (accounts, from, last)
    });
    // The first of equals, whatever the order of arrival.
    windows.min_by_key(|(accounts, from, _)| (std::cmp::Reverse(accounts.len()), *from))
}

/// TW-K03: an account that refused keys accepts them again; critical once they were listed.
pub(super) fn allowed_again(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-K03";
    let act = scene.act;
    if act.target != Target::Account {
        return None;
    }
    if let Some(Changed::Account(after)) = act.sets()
        && after.local_auth_disabled == Some(true)
    {
        let (scope, why) = (act.resource.clone(), "keys are refused again".to_owned());
        return Some(Verdict::Clear { rule: RULE, scope, why });
    }
    let near = scene.around(act.at, scene.threshold(RULE, "minutes"));
    let chains = near.filter(|recent| recent.act.resource == act.resource);
    let chains = chains.filter_map(|flip| Chain::of(scene, flip));
    let chain = chains.filter(|chain| chain.holds(act)).max_by_key(|chain| chain.flip.act.at)?;
    let (flip, listed) = (&chain.flip.act, &chain.listed);
    let fact =
        format!("{} accepts keys again: disableLocalAuth true → false", name_of(&act.resource));
    let mut alarm = scene.alarm(RULE, &act.resource, fact);
    alarm.evidence.truncate(1);
    let moments = chain.moments();
    let ends = moments.first().zip(moments.last());
    alarm.span = ends.map_or(alarm.span, |((first, _), (last, _))| (*first, *last));
    #[expect(clippy::cast_precision_loss, reason = "at most the operations of two hours")]
    let weight = moments.len() as f64;
    alarm.weight = weight;
    // Of many the beginning and the end are enough.
    let (count, shown) = (moments.len(), MOMENTS / 2);
    let kept = moments.into_iter().enumerate();
    let kept = kept.filter(|(place, _)| *place < shown || place + shown >= count);
    alarm.evidence.extend(kept.map(|(_, (_, line))| line));
    if chain.flip.keys_on == Some(KeysOn::Perhaps) {
        alarm.confidence = 0.7;
        alarm = alarm.with(
            "That keys were refused before is inferred from the refused listing: no record says it",
        );
    }
    alarm.severity = scene.severity(RULE, 1);
    if !listed.is_empty() {
        alarm.severity = Severity::Critical;
        alarm =
            alarm.with("Whoever listed the keys can use them from anywhere, without an identity");
    }
    let who = who_is(&flip.principal);
    alarm
        .step(
            "Undoes it: no key is accepted any more, Entra ID still is.",
            command::set(&act.resource, &["properties.disableLocalAuth=true"]),
        )
        .step(
            "Replaces the first key, for the day keys are allowed.",
            command::regenerate(&act.resource, "Key1"),
        )
        .step("And the second.", command::regenerate(&act.resource, "Key2"))
        .step(
            "Shows what else was done by who allowed keys.",
            command::activity_of(&who, &act.resource),
        )
        .raise(", or as soon as keys are refused again")
}

/// Lines about single moments that an incident shows.
const MOMENTS: usize = 10;

/// Keys allowed again, with what came before and after.
struct Chain<'a> {
    flip: &'a Recent,
    refused: Vec<&'a Recent>,
    listed: Vec<&'a Recent>,
}

impl<'a> Chain<'a> {
    /// `None` when the operation did not allow keys again, or they were refused again before any listing.
    fn of(scene: &Scene<'a>, flip: &'a Recent) -> Option<Self> {
        let keys_on = flip.keys_on.filter(|set| *set != KeysOn::Off)?;
        let refused: Vec<_> = refusals(scene, &flip.act).collect();
        if keys_on == KeysOn::Perhaps && refused.is_empty() {
            return None;
        }
        let near = scene.around(flip.act.at, scene.threshold("TW-K03", "minutes"));
        let after = near.filter(|recent| {
            recent.act.resource == flip.act.resource && recent.act.at >= flip.act.at
        });
        let (off, others): (Vec<_>, Vec<_>) =
            after.partition(|recent| recent.keys_on == Some(KeysOn::Off));
        let off = off.iter().map(|recent| recent.act.at).min();
        let listed = others.into_iter().filter(|recent| {
            let other = &recent.act;
            other.did(Target::Account, Verb::ListKeys)
                && other.log == Log::Activity
                && off.is_none_or(|off| other.at <= off)
        });
        let listed: Vec<_> = listed.collect();
        (off.is_none() || !listed.is_empty()).then_some(Self { flip, refused, listed })
    }

    /// Whether an operation is part of it.
    fn holds(&self, act: &Act) -> bool {
        let id = act.identity();
        let parts = self.refused.iter().chain(&self.listed).chain([&self.flip]);
        parts.into_iter().any(|recent| recent.act.identity() == id)
    }

    /// Its moments in words, oldest first.
    fn moments(&self) -> Vec<(EventTime, String)> {
        let told = |recent: &Recent, what: &str| {
            let act = &recent.act;
            (act.at, format!("{} {what} {}", act.at, act.who()))
        };
        let refused = self.refused.iter().map(|recent| told(recent, "the keys were refused to"));
        let flip = told(self.flip, "keys were allowed again by");
        let listed = self.listed.iter().map(|recent| told(recent, "the keys were listed by"));
        let mut moments: Vec<_> = refused.chain([flip]).chain(listed).collect();
        moments.sort();
        moments
    }
}

/// TW-K04: a key was made anew by somebody who usually does not.
pub(super) fn regenerated(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-K04";
    let act = scene.act;
    let days = scene.threshold(RULE, "known_days");
    if !act.did(Target::Account, Verb::RegenerateKey)
        || !scene.memory.watched_for(act, scene.threshold(RULE, "history_days"))
        || newcomer(scene, days) != Some(New::Identity)
    {
        return None;
    }
    let who = who_is(&act.principal);
    let fact = format!(
        "a key of {} was made anew by {who}, who had not in {days} days",
        name_of(&act.resource)
    );
    let scope = format!("{}/{}", act.resource, act.principal.object);
    scene
        .alarm(RULE, &scope, fact)
        .with("Whether a rotation was planned is not known: none is declared; which key it was, no record says")
        .step("Takes the key back from whoever made it; do it once your clients use the other one.",
            command::regenerate(&act.resource, "Key1"))
        .step("Shows what else it did.", command::activity_of(&who, &act.resource))
        .raise("")
}

/// TW-K05 is over: a key was made anew, or none is accepted any more. It is found by [its age](super::age).
pub(super) fn rotated(scene: &Scene<'_>) -> Option<Verdict> {
    let act = scene.act;
    let is_refused = matches!(act.sets(), Some(Changed::Account(after))
        if act.did(Target::Account, Verb::Write) && after.local_auth_disabled == Some(true));
    let why = if act.did(Target::Account, Verb::RegenerateKey) {
        "a key was made anew"
    } else if act.did(Target::Account, Verb::Delete) {
        "the account was deleted"
    } else if is_refused {
        "keys are refused"
    } else {
        return None;
    };
    let (scope, why) = (act.resource.clone(), why.to_owned());
    Some(Verdict::Clear { rule: super::age::RULE, scope, why })
}

/// Roles that can list keys or give rights away, by the id of their definition (Azure's built-in roles).
const ROLES: [(&str, &str, Severity); 6] = [
    ("8e3af657-a8ff-443c-a75c-2fe8c4bcb635", "Owner", Severity::High),
    ("18d7d88d-d35e-4fb5-a5c3-7773c20a72d9", "User Access Administrator", Severity::High),
    (
        "f58310d9-a9f6-439a-9e8d-f62e7b41a168",
        "Role Based Access Control Administrator",
        Severity::High,
    ),
    ("b24988ac-6180-42a0-ab88-20f7382dd24c", "Contributor", Severity::Medium),
    ("25fbc0a9-bd7c-42a3-aa1a-3b75d497ee68", "Cognitive Services Contributor", Severity::Medium),
    (
        "a001fd3d-188f-4b5d-821b-7da978bf7442",
        "Cognitive Services OpenAI Contributor",
        Severity::Medium,
    ),
];

/// TW-K07: somebody got a role that opens AI accounts.
pub(super) fn privileged_role(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-K07";
    let act = scene.act;
    if act.operation == ELEVATE && act.effect == Effect::Done {
        let fact = format!(
            "{} took the rights over all subscriptions of the tenant",
            who_is(&act.principal)
        );
        let mut alarm = scene.alarm(RULE, &act.principal.object, fact);
        alarm.severity = Severity::High;
        return alarm
            .step(
                "Lists who holds these rights; take them away from whoever needs them no longer.",
                "az role assignment list --scope / --role 'User Access Administrator'".to_owned(),
            )
            .raise("");
    }
    if act.did(Target::RoleAssignment, Verb::Delete) {
        let (scope, why) = (act.resource.clone(), "the role was taken away".to_owned());
        return Some(Verdict::Clear { rule: RULE, scope, why });
    }
    let Some(Changed::Role(role)) =
        act.sets().filter(|_| act.did(Target::RoleAssignment, Verb::Write))
    else {
        return None;
    };
    let (_, name, severity) = ROLES.iter().find(|(id, ..)| *id == role.role)?;
    let told = act.resource.split("/providers/microsoft.authorization/").next().unwrap_or_default();
    let scope = if role.scope.is_empty() { told } else { role.scope.as_str() };
    if !super::guard::is_ai_scope(scope) {
        return None;
    }
    let whom = match role.principal_kind.as_str() {
        "" => role.principal.clone(),
        kind => format!("{kind} {}", role.principal),
    };
    let fact = format!("{whom} got the role {name} on {}", name_of(scope));
    let mut alarm = scene.alarm(RULE, &act.resource, fact);
    alarm.severity = *severity;
    alarm.resource = scope.to_owned();
    alarm
        .with(format!("The scope is {scope}: the role holds for everything below it"))
        .step("Takes the role away again.", command::revoke(&act.resource))
        .step("Lists what else it may do.", command::roles_of(&role.principal, scope))
        .raise(", or as soon as the role is taken away")
}
