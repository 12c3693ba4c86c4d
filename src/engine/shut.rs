//! Calls of public networks that an account served although it lets none in (`TW-I06`): where calls and
//! posture meet.
//!
//! A slot is judged half an hour after its end, when the activity log has had time to tell that the account was
//! opened, with what had been told until then: neither batches nor partitions change what is found. What is
//! known of an account begins when it was told to be shut; calls before that were let in.

use std::collections::{BTreeMap, BTreeSet};

use super::account::Account;
use super::control::{Watch, found, incident_of};
use super::effects::Effects;
use super::watch::MAX_CATCH_UP_DAYS;
use super::{Engine, Env};
use crate::aggregate::names::{NONE, OTHER};
use crate::aggregate::rollup::{Amount, CallerParts};
use crate::detect::baseline::as_float;
use crate::detect::series::{SLOTS_PER_DAY, SLOTS_PER_HOUR, Slot};
use crate::detect::table;
use crate::event::control::{Changed, NetworkState};
use crate::event::operation::Operation;
use crate::incident::tracker::{Cause, Changes};
use crate::incident::{CallerShare, Response, respond};
use crate::known::{About, Class};
use crate::money::NanoUsd;
use crate::rules::inventory::GRACE_MS;
use crate::rules::memory::{Memory, State};
use crate::rules::{Alarm, command, minutes_ms, name_of};
use crate::time::{ArrivalTime, EventTime};

/// The rule.
pub const RULE: &str = "TW-I06";
/// Autonomous systems of Microsoft (the block that ARIN calls MICROSOFT-CORP-MSN-AS-BLOCK): trusted services
/// of Azure call from there.
const MICROSOFT: std::ops::RangeInclusive<u32> = 8068..=8075;
/// Networks that an incident names.
const MAX_CALLERS: usize = 10;
/// Networks that have a sentence.
const MAX_NAMED: usize = 3;
/// Certainty: what address a log shows of a caller through a private endpoint, nobody has told.
const CONFIDENCE: f64 = 0.6;

/// An account that lets no public network in, and how it is set.
struct Shut<'a> {
    account: &'a Account,
    since: EventTime,
    network: &'a NetworkState,
}

/// What one public network was served in a slot.
#[derive(Debug, Default)]
struct Visit {
    served: i64,
    keyed: i64,
}

/// Networks that were served, and calls of which nobody can tell whether they were lawful.
#[derive(Debug, Default)]
struct Visits {
    by: BTreeMap<u32, Visit>,
    untold: i64,
}

impl Engine {
    /// Judges the slots whose turn comes before `until`.
    pub(super) fn judge_shut(&mut self, until: ArrivalTime, effects: &mut Effects) {
        let wait_ms = GRACE_MS.max(self.env.settings.lateness_ms);
        let end = Slot::of(EventTime(until.0.saturating_sub(wait_ms + 1)).minute());
        let memory = self.control.memory();
        let first = self.control.judged_to.or_else(|| first_shut(&self.accounts, memory));
        let Some(first) = first.filter(|first| *first < end) else { return };
        let first = first.0.max(end.0 - MAX_CATCH_UP_DAYS * SLOTS_PER_DAY);
        for slot in (first..end.0).map(Slot) {
            let told = ArrivalTime(slot.end().start().0 + wait_ms);
            let changes = self.judge_slot(slot, told);
            effects.take(changes);
        }
        self.control.judge_to(end);
    }

    fn judge_slot(&mut self, slot: Slot, told: ArrivalTime) -> Changes {
        let Self { env, accounts, control, estate, .. } = self;
        let mut changes = Changes::default();
        let mut seen = BTreeSet::new();
        for account in accounts.values() {
            let Some((alarm, callers)) = judge(account, slot, control.memory(), env) else {
                continue;
            };
            seen.insert(alarm.scope.clone());
            let cause = Cause { rule: RULE, scope: alarm.scope.clone() };
            let weight = alarm.weight;
            let mut incident = incident_of(alarm, callers, told);
            incident.delay_azure_s = account.delay_ms.map(|ms| ms.div_euclid(1_000));
            changes.extend(found(estate.tracker(), &cause, incident, weight));
        }
        let tracker = estate.tracker();
        let open = tracker.all_open().map(|(cause, _)| cause);
        let quiet = open.filter(|cause| cause.rule == RULE && !seen.contains(&cause.scope));
        let quiet: Vec<Cause> = quiet.cloned().collect();
        for cause in quiet {
            changes.extend(tracker.quiet(&cause, table::profile(RULE).quiet_slots, told));
        }
        changes
    }
}

impl Watch {
    /// Notes that the slots before `end` were judged.
    fn judge_to(&mut self, end: Slot) {
        self.judged_to = Some(end);
        self.is_judged_moved = true;
    }
}

/// The first slot after an account with calls was shut.
fn first_shut(accounts: &BTreeMap<String, Account>, memory: &Memory) -> Option<Slot> {
    let states = accounts.keys().filter_map(|resource| memory.state(resource));
    let since = states.filter_map(|state| state.shut_since).min()?;
    Some(Slot::of(since.minute()))
}

/// What is to be told of one account and slot.
fn judge(
    account: &Account,
    slot: Slot,
    memory: &Memory,
    env: &Env,
) -> Option<(Alarm, Vec<CallerShare>)> {
    let State { to, shut_since, .. } = memory.state(&account.resource)?;
    let (Changed::Account(state), Some(since)) = (to, *shut_since) else { return None };
    let profile = env.settings.tuning.of(RULE, &account.resource)?;
    let settled = since.0.saturating_add(minutes_ms(profile.threshold("minutes")));
    if slot.start().start().0 < settled {
        return None;
    }
    let shut = Shut { account, since, network: &state.network };
    let visits = shut.visits(slot, env);
    let served: i64 = visits.by.values().map(|visit| visit.served).sum();
    if served <= 0 || as_float(served) < profile.threshold("calls") {
        return None;
    }
    let mut ranked: Vec<(u32, &Visit)> =
        visits.by.iter().map(|(network, v)| (*network, v)).collect();
    ranked.sort_by_key(|(network, visit)| (std::cmp::Reverse(visit.served), *network));
    let callers = shut.callers(&ranked, slot, env);
    let alarm = Alarm {
        rule: RULE,
        scope: account.resource.clone(),
        resource: account.resource.clone(),
        severity: profile.severity,
        confidence: CONFIDENCE,
        observed: as_float(served),
        unit: "calls in 5 min from public networks",
        span: (slot.start().start(), slot.end().start()),
        evidence: shut.evidence(&ranked, (served, visits.untold), env),
        steps: steps(&account.resource),
        weight: as_float(served),
    };
    Some((alarm, callers))
}

impl Shut<'_> {
    /// Who was served in a slot that nothing known lets in.
    fn visits(&self, slot: Slot, env: &Env) -> Visits {
        let mut visits = Visits::default();
        let series = self.account.series.values();
        for (caller, amount) in series.flat_map(|series| series.callers(slot, slot)) {
            let Some(who) = caller.parts() else { continue };
            let served = amount.calls.saturating_sub(amount.errors);
            if served <= 0 || who.network == NONE || who.network == OTHER {
                continue;
            }
            let about = env.known.about(self.account.names.text(who.network));
            let is_keyed = who.identity == NONE && who.operation != Operation::Untold;
            if about.private {
                continue;
            }
            if !self.is_counted(who, &about) {
                visits.untold += served;
                continue;
            }
            let visit = visits.by.entry(who.network).or_default();
            visit.served += served;
            visit.keyed += if is_keyed { served } else { 0 };
        }
        visits
    }

    /// Trusted services of Azure pass where the account lets them: they have an identity, never a key, and call
    /// from Microsoft's networks. Where that cannot be ruled out, nothing is said.
    fn is_counted(&self, who: CallerParts, about: &About) -> bool {
        if self.network.bypass.eq_ignore_ascii_case("none") {
            return true;
        }
        let is_named = who.identity != NONE || who.operation == Operation::Untold;
        let elsewhere = about.class(Class::Azure).is_none()
            && about.asn.is_some_and(|asn| !MICROSOFT.contains(&asn));
        !is_named || elsewhere
    }

    fn evidence(
        &self,
        ranked: &[(u32, &Visit)],
        (served, untold): (i64, i64),
        env: &Env,
    ) -> Vec<String> {
        let NetworkState { public_access, bypass, .. } = self.network;
        let how = match public_access {
            Some(false) => "publicNetworkAccess is Disabled",
            Some(true) | None => "its default action is Deny and no address has a rule",
        };
        let mut evidence = vec![format!(
            "{} served {served} calls of {} public network(s) in 5 min, though {how} since {}",
            self.account.name(),
            ranked.len(),
            self.since
        )];
        for (network, visit) in ranked.iter().take(MAX_NAMED) {
            let text = self.account.names.text(*network);
            let about = env.known.about(text);
            let about = if about.is_empty() { String::new() } else { format!(" ({about})") };
            evidence.push(format!(
                "{text}{about} was served {} times, {} of them without an identity",
                visit.served, visit.keyed
            ));
        }
        evidence.push(match (bypass.as_str(), untold) {
            (_, 1..) => format!(
                "{untold} more calls of identities may be those of trusted Azure services, which may pass \
                 (networkAcls.bypass {bypass:?})"
            ),
            ("", _) => "whether trusted Azure services may pass is not known: calls of identities \
                        count where their network is known not to be Microsoft's"
                .to_owned(),
            (bypass, _) => format!("networkAcls.bypass is {bypass}"),
        });
        evidence.push(
            "Either the rules do not hold, or the account was opened and neither the activity log nor the \
             inventory has told it"
                .to_owned(),
        );
        evidence
    }

    /// The networks as callers, with what they used in the hour that ends with `slot`.
    fn callers(&self, ranked: &[(u32, &Visit)], slot: Slot, env: &Env) -> Vec<CallerShare> {
        let Self { account, .. } = self;
        let first = Slot(slot.0 - SLOTS_PER_HOUR + 1);
        let mut used: BTreeMap<u32, (Amount, BTreeSet<u32>)> = BTreeMap::new();
        let series = account.series.values();
        for (caller, amount) in series.flat_map(|series| series.callers(first, slot)) {
            if let Some(who) = caller.parts() {
                let (sum, identities) = used.entry(who.network).or_default();
                *sum = sum.plus(amount);
                identities.insert(who.identity);
            }
        }
        let share = |(network, _): &(u32, &Visit)| {
            let (amount, identities) = used.remove(network).unwrap_or_default();
            let text = account.names.text(*network);
            let only = identities.first().filter(|_| identities.len() == 1);
            let object = account.names.text(only.copied().unwrap_or(NONE));
            CallerShare {
                network: text.to_owned(),
                identity: object.to_owned(),
                tokens: amount.tokens(),
                cost: (amount.unpriced == 0).then_some(NanoUsd(amount.cost_nano)),
                new: false,
                about: env.known.about(text),
                name: env.known.name_of(object).map(str::to_owned),
            }
        };
        ranked.iter().take(MAX_CALLERS).map(share).collect()
    }
}

/// What to look at, and what closes the account for certain.
fn steps(resource: &str) -> Vec<Response> {
    let step = |what: &str, command: String| Response { what: what.to_owned(), command };
    let mut steps = vec![
        step(
            &format!("Shows how {} is set now, and which addresses are let in.", name_of(resource)),
            command::show(resource),
        ),
        step(
            "Lets no public network in, whatever the rules say.",
            command::set(resource, &["properties.publicNetworkAccess=Disabled"]),
        ),
    ];
    steps.extend(respond::stop_keys(resource).into_iter().take(1));
    steps
}

#[cfg(test)]
#[path = "shut_tests.rs"]
mod tests;
