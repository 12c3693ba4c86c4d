//! Rules about accounts and deployments themselves (`TW-P03` to `P07`, `P15`, `P16`).
//!
//! What changed is known only where the state before was logged; a rule about a change says nothing of the
//! first record of a resource, and what a record leaves out changes nothing.

use std::collections::BTreeSet;

use super::act::{Act, Log, name_of as who_is};
use super::state::is_wider;
use super::{Scene, Verdict, account_of, command, name_of};
use crate::event::control::{AccountState, Changed, DeploymentState, NetworkState, Target, Verb};
use crate::incident::{Response, Severity};
use crate::money::Grouped;

/// The account as it was and as the act sets it; `None` where one of them is not known.
fn account<'a>(scene: &Scene<'a>) -> Option<(&'a AccountState, &'a AccountState)> {
    let is_write = scene.act.did(Target::Account, Verb::Write);
    match (scene.before(), scene.act.sets()) {
        (Some(Changed::Account(before)), Some(Changed::Account(after))) if is_write => {
            Some((before, after))
        }
        (Some(_) | None, Some(_) | None) => None,
    }
}

fn deployment<'a>(scene: &Scene<'a>) -> Option<(&'a DeploymentState, &'a DeploymentState)> {
    let is_write = scene.act.did(Target::Deployment, Verb::Write);
    match (scene.before(), scene.act.sets()) {
        (Some(Changed::Deployment(before)), Some(Changed::Deployment(after))) if is_write => {
            Some((before, after))
        }
        (Some(_) | None, Some(_) | None) => None,
    }
}

/// One difference: words, and the setting that undoes it.
struct Difference {
    words: String,
    undo: Option<String>,
}

fn difference(words: impl Into<String>, undo: impl Into<String>) -> Difference {
    Difference { words: words.into(), undo: Some(undo.into()) }
}

/// TW-P03: a deployment may take far more tokens than before, or from a wider place; or a quota grew.
pub(super) fn capacity_raised(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-P03";
    let act = scene.act;
    if act.did(Target::Quota, Verb::Write) {
        let fact = format!("a quota was asked for or set: {}", name_of(&act.resource));
        let look = "Shows what was set.";
        return scene
            .alarm(RULE, &act.resource, fact)
            .step(look, command::show(&act.resource))
            .raise("");
    }
    let (before, after) = deployment(scene)?;
    let mut found = Vec::new();
    let mut is_lower = false;
    if let Some((was, is)) = before.capacity.zip(after.capacity) {
        is_lower = is < was;
        if is_much_more(scene, (was, is), after) {
            found.push(difference(
                format!("capacity {} → {}", grouped(was), grouped(is)),
                format!("sku.capacity={was}"),
            ));
        }
    }
    if !before.sku.is_empty() && reach(&after.sku) > reach(&before.sku) {
        let words = format!("sku {} → {}", before.sku, after.sku);
        found.push(difference(words, format!("sku.name={}", before.sku)));
    }
    if found.is_empty() {
        let why = "capacity was lowered".to_owned();
        return is_lower.then(|| Verdict::Clear { rule: RULE, scope: act.resource.clone(), why });
    }
    raise(scene, RULE, &format!("deployment {}", name_of(&act.resource)), &found)?
        .with("Capacity counts thousands of tokens a minute, or provisioned units")
        .raise(", or as soon as capacity is lowered")
}

#[expect(clippy::cast_precision_loss, reason = "capacities are far below 2^53")]
fn is_much_more(scene: &Scene<'_>, (was, is): (u64, u64), after: &DeploymentState) -> bool {
    let more = is.saturating_sub(was) as f64;
    let by_tokens = !after.sku.to_lowercase().contains("provisioned")
        && more >= scene.threshold("TW-P03", "thousand_tokens_per_minute");
    (was > 0 && is as f64 >= scene.threshold("TW-P03", "factor") * was as f64) || by_tokens
}

/// How far away a kind of capacity may be served, from its region to anywhere.
fn reach(sku: &str) -> u8 {
    let sku = sku.to_lowercase();
    if sku.starts_with("global") { 2 } else { u8::from(sku.starts_with("datazone")) }
}

fn grouped(count: u64) -> Grouped {
    Grouped(i64::try_from(count).unwrap_or(i64::MAX))
}

/// TW-P04: an account can be reached from where it could not.
pub(super) fn public_access_opened(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-P04";
    let (before, after) = account(scene)?;
    let bits = widest_prefix(scene);
    let found = opened(&before.network, &after.network, bits);
    let act = scene.act;
    if found.is_empty() {
        let why = "public access is closed again".to_owned();
        let scope = act.resource.clone();
        return is_closed(&after.network, bits).then_some(Verdict::Clear {
            rule: RULE,
            scope,
            why,
        });
    }
    raise(scene, RULE, &format!("account {}", name_of(&act.resource)), &found)?
        .step("Shows which addresses are let in now.", command::network_rules(&act.resource))
        .with("Who called since then, the records of calls say; a key or an identity is needed all the same")
        .raise(", or as soon as public access is closed again")
}

fn opened(before: &NetworkState, after: &NetworkState, bits: u8) -> Vec<Difference> {
    let mut found = Vec::new();
    if (before.public_access, after.public_access) == (Some(false), Some(true)) {
        found.push(difference(
            "publicNetworkAccess Disabled → Enabled",
            "properties.publicNetworkAccess=Disabled",
        ));
    }
    if (before.open_by_default, after.open_by_default) == (Some(false), Some(true)) {
        found.push(difference(
            "networkAcls.defaultAction Deny → Allow",
            "properties.networkAcls.defaultAction=Deny",
        ));
    }
    if let Some((was, is)) = before.addresses.zip(after.addresses)
        && was.hash != is.hash
        && is_wider(&is, bits)
        && (is.widest < was.widest || was.widest.is_none() || is.widest_v6 < was.widest_v6)
    {
        let widest = is.widest.or(is.widest_v6).unwrap_or_default();
        let words =
            format!("address rules {} → {}, the widest now a /{widest}", was.count, is.count);
        found.push(Difference { words, undo: None });
    }
    let (was, is) = (&before.bypass, &after.bypass);
    if !was.is_empty()
        && !is.is_empty()
        && !was.eq_ignore_ascii_case(is)
        && !is.eq_ignore_ascii_case("none")
    {
        let words = format!("networkAcls.bypass {was} → {is}");
        found.push(difference(words, format!("properties.networkAcls.bypass={was}")));
    }
    found
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a prefix length")]
fn widest_prefix(scene: &Scene<'_>) -> u8 {
    scene.threshold("TW-P04", "widest_prefix") as u8
}

fn is_closed(after: &NetworkState, bits: u8) -> bool {
    let denies = after.open_by_default == Some(false);
    let narrow = after.addresses.is_none_or(|rules| !is_wider(&rules, bits));
    after.public_access == Some(false) || (denies && narrow)
}

/// TW-P05: a private endpoint went, or a foreign one came.
pub(super) fn private_endpoint_changed(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-P05";
    let act = scene.act;
    let name = name_of(&act.resource);
    let account = account_of(&act.resource)?;
    let after = match act.sets() {
        Some(Changed::PrivateEndpoint(after)) => Some(after),
        Some(_) | None => None,
    };
    let status = after.map_or("", |after| after.status.as_str());
    let ends = |word: &str| status.eq_ignore_ascii_case(word);
    let (fact, undo) = if act.did(Target::PrivateEndpoint, Verb::Delete) {
        (format!("private endpoint connection {name} of {} was deleted", name_of(account)), None)
    } else if !is_done(act) {
        return None;
    } else if ends("rejected") || ends("disconnected") {
        let fact =
            format!("private endpoint connection {name} of {} is now {status}", name_of(account));
        (fact, Some(connection("approve", &act.resource)))
    } else if let Some(after) =
        after.filter(|after| ends("approved") && is_foreign(&after.endpoint, account))
    {
        let fact = format!(
            "a private endpoint of another subscription was let in to {}: {}",
            name_of(account),
            after.endpoint
        );
        (fact, Some(connection("reject", &act.resource)))
    } else {
        return None;
    };
    let mut alarm = scene.alarm(RULE, &act.resource, fact);
    account.clone_into(&mut alarm.resource);
    if let Some(undo) = undo {
        alarm = alarm.step("Undoes it.", undo);
    }
    alarm
        .step(
            "Lists the private endpoints as they are now.",
            format!(
                "az network private-endpoint-connection list --id {}",
                crate::incident::respond::quoted(account)
            ),
        )
        .raise("")
}

fn is_done(act: &Act) -> bool {
    act.did(Target::PrivateEndpoint, Verb::Write) || act.did(Target::PrivateEndpoint, Verb::Approve)
}

fn connection(verb: &str, resource: &str) -> String {
    format!(
        "az network private-endpoint-connection {verb} --id {}",
        crate::incident::respond::quoted(resource)
    )
}

/// Whether an endpoint lies in another subscription; `false` where the record does not say.
fn is_foreign(endpoint: &str, account: &str) -> bool {
    let of = super::memory::subscription_of;
    of(endpoint).zip(of(account)).is_some_and(|(theirs, ours)| theirs != ours)
}

/// TW-P06: an account may send to more places.
pub(super) fn outbound_loosened(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-P06";
    let (before, after) = account(scene)?;
    let mut found = Vec::new();
    if (before.outbound_restricted, after.outbound_restricted) == (Some(true), Some(false)) {
        found.push(difference(
            "restrictOutboundNetworkAccess true → false",
            "properties.restrictOutboundNetworkAccess=true",
        ));
    }
    if let Some(((was, old), (is, new))) = before.allowed_names.zip(after.allowed_names)
        && old != new
        && is >= was
    {
        let words = format!("allowedFqdnList changed: {was} → {is} names");
        found.push(Difference { words, undo: None });
    }
    if found.is_empty() {
        let why = "outbound calls are restricted again".to_owned();
        let scope = scene.act.resource.clone();
        let again =
            after.outbound_restricted == Some(true) && before.outbound_restricted == Some(false);
        return again.then_some(Verdict::Clear { rule: RULE, scope, why });
    }
    raise(scene, RULE, &format!("account {}", name_of(&scene.act.resource)), &found)?
        .step("Shows which names are allowed now.", command::show(&scene.act.resource))
        .raise(", or as soon as outbound calls are restricted again")
}

/// TW-P07: an account no longer encrypts with the customer's own key.
pub(super) fn customer_key_removed(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-P07";
    let (before, after) = account(scene)?;
    let (was, is) = (before.customer_key, after.customer_key);
    let act = scene.act;
    if (was, is) == (Some(false), Some(true)) {
        let why = "the account encrypts with your key again".to_owned();
        return Some(Verdict::Clear { rule: RULE, scope: act.resource.clone(), why });
    }
    if (was, is) != (Some(true), Some(false)) {
        return None;
    }
    let words = "encryption.keySource Microsoft.KeyVault → Microsoft.CognitiveServices".to_owned();
    let found = vec![Difference { words, undo: None }];
    raise(scene, RULE, &format!("account {}", name_of(&act.resource)), &found)?
        .step(
            "Shows the encryption as it is now; set keyVaultProperties anew to encrypt with your key.",
            command::show(&act.resource),
        )
        .raise(", or as soon as your key is used again")
}

/// An alarm about differences, each with the command that undoes it.
fn raise(
    scene: &Scene<'_>,
    rule: &'static str,
    whose: &str,
    found: &[Difference],
) -> Option<super::Alarm> {
    let words: Vec<&str> = found.iter().map(|difference| difference.words.as_str()).collect();
    let fact = format!("{whose}: {}", words.join("; "));
    let since = scene.memory.state(&scene.act.resource)?.at;
    let alarm = scene.alarm(rule, &scene.act.resource, fact);
    let mut alarm = match scene.act.between {
        Some(_) => alarm,
        None => alarm.with(format!("The state before is of {since}")),
    };
    for undo in found.iter().filter_map(|difference| difference.undo.as_deref()) {
        let what = format!("Undoes it: {undo}.");
        alarm.steps.push(Response { what, command: command::set(&scene.act.resource, &[undo]) });
    }
    Some(alarm)
}

/// TW-P01: an account or deployment was made where, as what or by whom none should be. What was there before
/// the first record or reading is not told: `audit` shows it.
pub(super) fn outside_policy(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-P01";
    let (act, allowed) = (scene.act, scene.tuning.allowed());
    if act.did(Target::Account, Verb::Delete) || act.did(Target::Deployment, Verb::Delete) {
        let (scope, why) = (act.resource.clone(), "it was deleted".to_owned());
        return Some(Verdict::Clear { rule: RULE, scope, why });
    }
    let is_write =
        act.did(Target::Account, Verb::Write) || act.did(Target::Deployment, Verb::Write);
    if !is_write || allowed.is_anything() || scene.memory.state(&act.resource).is_some() {
        return None;
    }
    let (region, kind, sku) = match act.sets()? {
        Changed::Account(after) => {
            (after.location.as_str(), after.kind.as_str(), after.sku.as_str())
        }
        // A deployment stands where its account does, and that was judged.
        Changed::Deployment(after) => ("", "", after.sku.as_str()),
        Changed::PrivateEndpoint(_)
        | Changed::RaiPolicy(_)
        | Changed::Defender(_)
        | Changed::Connection(_)
        | Changed::Diagnostic(_)
        | Changed::Role(_)
        | Changed::Assignment(_)
        | Changed::Exemption(_)
        | Changed::Lock(_)
        | Changed::Policies(_)
        | Changed::Network(_) => return None,
    };
    let said = [
        ("region", &allowed.regions, region.replace(' ', "")),
        ("kind", &allowed.kinds, kind.to_owned()),
        ("SKU", &allowed.skus, sku.to_owned()),
    ];
    let mut facts: Vec<String> = said
        .iter()
        .filter(|(_, list, value)| is_outside(list, std::slice::from_ref(value)))
        .map(|(word, list, value)| format!("{word} {value} is not among {}", list.join(", ")))
        .collect();
    let who = &act.principal;
    let names = [who.user.clone(), who.object.clone(), who.application.clone()];
    if is_outside(&allowed.creators, &names) {
        facts.push(format!("{} is not among those who may", who_is(who)));
    }
    if facts.is_empty() {
        return None;
    }
    let what = if act.target == Target::Account { "account" } else { "deployment" };
    let fact = format!("{what} {} was made: {}", name_of(&act.resource), facts.join("; "));
    let mut alarm = scene.alarm(RULE, &act.resource, fact);
    if act.log == Log::Activity {
        alarm = alarm
            .with("It is the first record of it: whether it was made by it or changed, none says");
    }
    alarm
        .step("Shows what was made.", shown(&act.resource))
        .step("Takes it away, once you know that nobody needs it.", command::delete(&act.resource))
        .raise(", or as soon as it is deleted")
}

/// Whether none of the values that are known is on a list that says what is allowed.
fn is_outside(list: &[String], values: &[String]) -> bool {
    let known = || values.iter().filter(|value| !value.is_empty());
    let is_listed = |value: &String| list.contains(&value.to_lowercase());
    !list.is_empty() && known().next().is_some() && !known().any(is_listed)
}

/// TW-P15: several deployments or accounts deleted within minutes, or one for good.
pub(super) fn mass_delete(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-P15";
    let act = scene.act;
    if act.did(Target::DeletedAccount, Verb::Delete) {
        let fact =
            format!("deleted account {} was purged: it cannot be restored", name_of(&act.resource));
        return scene
            .alarm(RULE, &act.resource, fact)
            .step(
                "Shows what else was done.",
                command::activity_of(&who_is(&act.principal), &act.resource),
            )
            .raise("");
    }
    if !is_deleted(act) {
        return None;
    }
    let subscription = super::memory::subscription_of(&act.resource)?;
    let minutes = scene.threshold(RULE, "minutes");
    let near = scene.around(act.at, minutes).map(|recent| &recent.act);
    let near: Vec<&Act> = near
        .filter(|other| {
            is_deleted(other)
                && super::memory::subscription_of(&other.resource) == Some(subscription)
        })
        .collect();
    let reach = super::minutes_ms(minutes);
    let windows = near.iter().map(|begin| {
        let inside = near.iter().filter(|o| o.at >= begin.at && o.at.0 - begin.at.0 <= reach);
        let gone: BTreeSet<&str> = inside.map(|other| other.resource.as_str()).collect();
        (gone, begin.at)
    });
    let (gone, first) =
        windows.min_by_key(|(gone, from)| (std::cmp::Reverse(gone.len()), *from))?;
    #[expect(clippy::cast_precision_loss, reason = "a few thousand deletes at most")]
    let count = gone.len() as f64;
    if count < scene.threshold(RULE, "deletes") {
        return None;
    }
    let names: Vec<&str> = gone.iter().map(|resource| name_of(resource)).take(10).collect();
    let fact = format!(
        "{} deployments or accounts were deleted within {minutes} min: {}",
        gone.len(),
        names.join(", ")
    );
    let mut alarm = scene.alarm(RULE, subscription, fact);
    let last = near.iter().filter(|o| gone.contains(o.resource.as_str())).map(|o| o.at).max();
    alarm.span = (first, last.unwrap_or(act.at).max(first));
    (alarm.observed, alarm.unit, alarm.weight) = (count, "deletes", count);
    alarm.resource = subscription.to_owned();
    alarm
        .step(
            "Lists deleted accounts: they can be restored for 48 hours.",
            command::list_deleted(&act.resource),
        )
        .step(
            "Lists what this identity may do.",
            command::roles_of(&act.principal.object, &act.resource),
        )
        .raise("")
}

/// Of what was found missing it is not known when it went.
fn is_deleted(act: &Act) -> bool {
    if act.log == Log::Inventory {
        return false;
    }
    act.did(Target::Deployment, Verb::Delete) || act.did(Target::Account, Verb::Delete)
}

/// TW-P16: an account or project was connected to a place outside Azure, or its agents keep data elsewhere.
pub(super) fn connection_changed(scene: &Scene<'_>) -> Option<Verdict> {
    const RULE: &str = "TW-P16";
    let act = scene.act;
    let account = account_of(&act.resource)?;
    if act.did(Target::Connection, Verb::Delete) || act.did(Target::CapabilityHost, Verb::Delete) {
        let why = "it was deleted".to_owned();
        return Some(Verdict::Clear { rule: RULE, scope: act.resource.clone(), why });
    }
    if act.did(Target::CapabilityHost, Verb::Write) {
        let fact = format!("where agents of {} keep their data was set", name_of(account));
        let mut alarm = scene.alarm(RULE, &act.resource, fact);
        alarm.severity = Severity::Low;
        account.clone_into(&mut alarm.resource);
        return alarm
            .step("Shows what was set.", shown(&act.resource))
            .raise(", or as soon as it is deleted");
    }
    let Some(Changed::Connection(after)) =
        act.sets().filter(|_| act.did(Target::Connection, Verb::Write))
    else {
        return None;
    };
    if !after.leads_outside() || is_known(scene, account, &after.host) {
        return None;
    }
    let fact =
        format!("{} was connected to {}, which is outside Azure", name_of(account), after.host);
    let mut alarm = scene.alarm(RULE, &act.resource, fact);
    account.clone_into(&mut alarm.resource);
    let said = [("category", &after.category), ("signs in by", &after.auth)];
    for (word, value) in said.into_iter().filter(|(_, value)| !value.is_empty()) {
        alarm = alarm.with(format!("{word} {value}"));
    }
    if after.shared == Some(true) {
        alarm = alarm.with("every project of the account shares it");
    }
    alarm
        .step("Takes the connection away.", command::delete(&act.resource))
        .step("Shows what was set.", shown(&act.resource))
        .raise(", or as soon as it is deleted")
}

fn shown(resource: &str) -> String {
    format!("az resource show --ids {}", crate::incident::respond::quoted(resource))
}

/// Whether the account has or had a connection to this host.
fn is_known(scene: &Scene<'_>, account: &str, host: &str) -> bool {
    scene.memory.states_below(account).any(|(_, state)| match &state.to {
        Changed::Connection(known) => known.host == host,
        Changed::Account(_)
        | Changed::Deployment(_)
        | Changed::PrivateEndpoint(_)
        | Changed::RaiPolicy(_)
        | Changed::Defender(_)
        | Changed::Diagnostic(_)
        | Changed::Role(_)
        | Changed::Assignment(_)
        | Changed::Exemption(_)
        | Changed::Lock(_)
        | Changed::Policies(_)
        | Changed::Network(_) => false,
    })
}
