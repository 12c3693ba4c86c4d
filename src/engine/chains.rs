//! Chains of findings in one account, told as one: what came first, what followed, and what it costs.
//!
//! Openings of incidents are looked at in the order in which they were told, once every hub has been read as
//! far, so that neither batches nor partitions change what is found. Nothing of it is saved: after a restart
//! all openings are looked at again, and what a chain has already told of is not told twice.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use super::account::Account;
use super::effects::Effects;
use super::{Engine, Env};
use crate::detect::table::{self, Profile};
use crate::incident::tracker::{Cause, Hearing, Sighting, Tracked, Tracker, Verdict};
use crate::incident::{CallerShare, Incident, Response, Severity, State, short_id};
use crate::money::NanoUsd;
use crate::rules::act::Act;
use crate::rules::chain::{CHAINS, Chain, DEFENDER, Opening, is_chain};
use crate::rules::memory::Memory;
use crate::rules::{account_of, minutes_ms};
use crate::time::{ArrivalTime, DAY_MS, HOUR_MS};

/// Openings older than this are looked at no more: longer than any chain.
const OLDEST_MS: i64 = 8 * DAY_MS;
/// Callers and steps that an incident names.
const MAX_CALLERS: usize = 10;
const MAX_STEPS: usize = 6;
/// Findings that a time line names; of more, the newest are only counted.
const MAX_STORY: usize = 20;
/// Members of a chain; what comes then speaks for itself.
const MAX_MEMBERS: usize = 200;
/// Stands for every account among those to be looked at: what concerns the whole pipeline.
const ALL: &str = "";

/// Accounts to be looked at again, each as of the moment something was told of it.
#[derive(Debug, Default)]
pub(super) struct Chains {
    waiting: BTreeSet<(ArrivalTime, String)>,
    /// Openings up to here have been looked at.
    done: Option<ArrivalTime>,
}

impl Chains {
    fn hear(&mut self, resource: &str, incident: &Incident) {
        if is_chain(&incident.rule) || self.done.is_some_and(|done| incident.opened_at < done) {
            return;
        }
        let resource = if account_of(resource).is_some() { resource } else { ALL };
        self.waiting.insert((incident.opened_at, resource.to_owned()));
    }
}

/// Everything about one account at one moment.
struct Look<'a> {
    account: &'a Account,
    estate: &'a Tracker,
    memory: &'a Memory,
    env: &'a Env,
    until: ArrivalTime,
}

/// A member of a chain that is an incident.
type Part<'a> = (&'a Cause, &'a Tracked);

impl<'a> Look<'a> {
    /// Incidents of the account and those of the estate that are about it.
    fn incidents(&self) -> impl Iterator<Item = Part<'a>> {
        let resource = self.account.resource.as_str();
        let concerns = move |(cause, tracked): &Part<'_>| {
            let about = tracked.incident.resource_id.as_deref();
            cause.rule == "TW-P11" || about == Some(resource)
        };
        let all = self.account.tracker.all().chain(self.estate.all().filter(concerns));
        all.filter(|(cause, _)| !is_chain(cause.rule))
    }

    /// Alerts of Defender about the account.
    fn alerts(&self) -> impl Iterator<Item = &'a Act> {
        let resource = self.account.resource.as_str();
        let recent = self.memory.between(i64::MIN, i64::MAX - 1).map(|recent| &recent.act);
        recent.filter(move |act| act.is_alert() && account_of(&act.resource) == Some(resource))
    }

    /// What was told up to its moment, in this order.
    fn openings(&self) -> Vec<Opening<'a>> {
        let oldest = self.until.0.saturating_sub(OLDEST_MS);
        let incidents = self.incidents().map(|(cause, Tracked { incident, .. })| Opening {
            opened: incident.opened_at,
            key: Cow::Borrowed(&*incident.key),
            rule: cause.rule,
            begun: incident.first_window,
            deployment: incident.deployment.as_deref(),
        });
        let alerts = self.alerts().map(|act| Opening {
            opened: act.told,
            key: Cow::Owned(act.identity()),
            rule: DEFENDER,
            begun: act.at,
            deployment: act.resource.split_once("/deployments/").map(|(_, name)| name),
        });
        let mut all: Vec<Opening<'a>> = incidents.chain(alerts).collect();
        all.retain(|opening| (oldest..=self.until.0).contains(&opening.opened.0));
        all.sort_by(|a, b| (a.opened, &a.key).cmp(&(b.opened, &b.key)));
        all
    }

    /// The chains that were completed at its moment, each with the keys of its members.
    fn complete(&self) -> Vec<(&'static Chain, Vec<String>)> {
        let told = self.openings();
        let first = told.partition_point(|opening| opening.opened < self.until);
        let mut found = Vec::new();
        for last in first..told.len() {
            // What was told at the same moment has no order.
            let mut told = told.clone();
            let moved = told.remove(last);
            told.push(moved);
            for chain in CHAINS {
                let profile = self.env.settings.tuning.of(chain.id, &self.account.resource);
                let members = profile.and_then(|profile| chain.members(&told, reach_ms(profile)));
                let keys = |opening: &&Opening<'_>| opening.key.clone().into_owned();
                found.extend(members.map(|all| (chain, all.iter().map(keys).collect())));
            }
        }
        found
    }
}

fn reach_ms(profile: &Profile) -> i64 {
    minutes_ms(60.0 * (profile.threshold("hours") + 24.0 * profile.threshold("days")))
}

impl Engine {
    /// After a restart everything that a chain may reach is looked at again.
    pub(super) fn recall_chains(&mut self) {
        let Self { accounts, estate, control, chains, .. } = self;
        for (_, tracked) in estate.tracker().all() {
            let resource = tracked.incident.resource_id.as_deref();
            chains.hear(resource.unwrap_or(ALL), &tracked.incident);
        }
        for account in accounts.values() {
            account.tracker.all().for_each(|(_, t)| chains.hear(&account.resource, &t.incident));
        }
        for act in control.alerts() {
            chains.waiting.insert((act.told, account_of(&act.resource).unwrap_or(ALL).to_owned()));
        }
        if let Some((newest, _)) = chains.waiting.last() {
            let oldest = ArrivalTime(newest.0.saturating_sub(OLDEST_MS));
            chains.waiting = chains.waiting.split_off(&(oldest, String::new()));
        }
    }

    /// Looks for chains that what this step has told completes, and brings those that go on up to date.
    pub(super) fn link_chains(&mut self, alerts: &[Act], effects: &mut Effects) {
        let changed: BTreeSet<String> =
            effects.all_incidents().map(|incident| incident.key.clone()).collect();
        for incident in effects.all_incidents() {
            self.chains.hear(incident.resource_id.as_deref().unwrap_or(ALL), incident);
        }
        for act in alerts {
            let resource = account_of(&act.resource).unwrap_or(ALL).to_owned();
            self.chains.waiting.insert((act.told, resource));
        }
        while let Some((told, resource)) = self.chains.waiting.first().cloned() {
            if told > self.linked {
                break;
            }
            self.chains.waiting.pop_first();
            self.end_chains(told, effects);
            let all = self.accounts.keys().filter(|key| resource == ALL || **key == resource);
            for resource in all.cloned().collect::<Vec<_>>() {
                self.look(&resource, told, effects);
            }
        }
        self.chains.done = Some(self.linked).filter(|linked| linked.0 > i64::MIN);
        if !changed.is_empty() {
            self.refresh_chains(&changed, effects);
        }
        self.end_chains(self.linked, effects);
    }

    fn look(&mut self, resource: &str, until: ArrivalTime, effects: &mut Effects) {
        let Self { accounts, estate, control, env, .. } = self;
        let Some(account) = accounts.get(resource) else { return };
        let (estate, memory) = (&*estate.tracker(), control.memory());
        let look = Look { account, estate, memory, env, until };
        let mut found = look.complete();
        found.retain(|(chain, keys)| {
            let mut told = estate.all().filter(|(cause, tracked)| {
                cause.rule == chain.id && tracked.incident.resource_id.as_deref() == Some(resource)
            });
            !told.any(|(_, told)| was_told(&told.incident, keys, until))
        });
        for (chain, mut keys) in found {
            let cause = Cause { rule: chain.id, scope: resource.to_owned() };
            let tracker = self.estate.tracker();
            if let Some(open) = tracker.open(&cause) {
                keys.extend(open.incident.children.iter().cloned());
            }
            self.tell_chain(
                &cause,
                keys.into_iter().collect(),
                (until, Hearing::Announce),
                effects,
            );
        }
    }

    /// Tells of a chain of these members as they are now, and makes them part of it.
    fn tell_chain(
        &mut self,
        cause: &Cause,
        keys: BTreeSet<String>,
        (at, hearing): (ArrivalTime, Hearing),
        effects: &mut Effects,
    ) {
        let Self { accounts, estate, control, env, .. } = self;
        let Some(account) = accounts.get_mut(&cause.scope) else { return };
        let look =
            Look { account, estate: estate.tracker(), memory: control.memory(), env, until: at };
        let sighting = describe(&look, cause, keys, hearing);
        let members: Vec<(Cause, String)> = look
            .incidents()
            .filter(|(_, tracked)| sighting.incident.children.contains(&tracked.incident.key))
            .map(|(cause, tracked)| (cause.clone(), tracked.incident.key.clone()))
            .collect();
        effects.take(estate.tracker().found(cause, sighting));
        let Some(parent) = estate.tracker().open(cause).map(|open| open.incident.key.clone())
        else {
            return;
        };
        // What costs money goes on telling how much by itself.
        for (member, key) in
            members.iter().filter(|(member, _)| !table::profile(member.rule).about_cost)
        {
            effects.take(estate.tracker().adopt((member, key), &parent));
            let mut changes = account.tracker.adopt((member, key), &parent);
            if !changes.incidents.is_empty() {
                let saved = effects.accounts.entry(account.id).or_default();
                saved.incidents.append(&mut changes.incidents);
            }
            effects.take(changes);
        }
    }

    /// Chains whose members have changed show them as they are now.
    fn refresh_chains(&mut self, changed: &BTreeSet<String>, effects: &mut Effects) {
        let live = self.estate.tracker().all_open().filter(|(cause, tracked)| {
            let children = &tracked.incident.children;
            is_chain(cause.rule) && children.iter().any(|child| changed.contains(child))
        });
        let stale: Vec<(Cause, Tracked)> =
            live.map(|(cause, tracked)| (cause.clone(), tracked.clone())).collect();
        for (cause, Tracked { incident, .. }) in stale {
            let keys = incident.children.into_iter().collect();
            // How much it costs by now is no news of the chain.
            self.tell_chain(&cause, keys, (incident.opened_at, Hearing::Inhibited), effects);
        }
    }

    /// Ends the chains all of whose members were over for good at `until`.
    fn end_chains(&mut self, until: ArrivalTime, effects: &mut Effects) {
        let Self { accounts, estate, control, env, .. } = self;
        let estate = &*estate.tracker();
        let margin = env.settings.reopen_ms.saturating_add(HOUR_MS);
        let mut over: Vec<(ArrivalTime, Cause)> = Vec::new();
        for (cause, tracked) in estate.all_open().filter(|(cause, _)| is_chain(cause.rule)) {
            let Some(account) = accounts.get(&cause.scope) else { continue };
            let look = Look { account, estate, memory: control.memory(), env, until };
            let children = &tracked.incident.children;
            let members = look.incidents().filter(|(_, t)| children.contains(&t.incident.key));
            let ends = members.map(|(_, tracked)| tracked.incident.resolved_at);
            let end = ends.collect::<Option<Vec<_>>>().map(|ends| {
                let last = ends.into_iter().max().unwrap_or(tracked.incident.opened_at);
                ArrivalTime(last.0.saturating_add(margin))
            });
            over.extend(end.filter(|end| *end <= until).map(|end| (end, cause.clone())));
        }
        over.sort();
        for (end, cause) in over {
            effects.take(self.estate.tracker().quiet(&cause, 1, end));
        }
    }
}

/// A chain as an incident: its members in the order of time.
fn describe(look: &Look<'_>, cause: &Cause, keys: BTreeSet<String>, hearing: Hearing) -> Sighting {
    let Look { account, env, .. } = look;
    let profile = table::profile(cause.rule);
    let mut parts: Vec<Part<'_>> =
        look.incidents().filter(|(_, t)| keys.contains(&t.incident.key)).collect();
    parts.sort_by(|a, b| {
        let place = |part: &Part<'_>| (part.1.incident.first_window, part.0.clone(), part.1.n);
        place(a).cmp(&place(b))
    });
    let severity = |(cause, _): &Part<'_>| {
        let tuned = env.settings.tuning.of(cause.rule, &account.resource);
        tuned.unwrap_or_else(|| table::profile(cause.rule)).severity
    };
    let most = env.settings.tuning.of(cause.rule, &account.resource).unwrap_or(profile).severity;
    let worst = parts.iter().map(severity).max().unwrap_or(Severity::Medium);
    let incidents = || parts.iter().map(|(_, tracked)| &tracked.incident);
    let named = |name: fn(&Incident) -> Option<&String>| incidents().find_map(name).cloned();
    let deployments: BTreeSet<&String> =
        incidents().filter_map(|i| i.deployment.as_ref()).collect();
    let alone = deployments.first().filter(|_| deployments.len() == 1);
    let incident = Incident {
        rule: profile.id.clone(),
        rule_name: profile.name.clone(),
        account: account.name().to_owned(),
        deployment: alone.map(|name| (*name).clone()),
        resource_id: Some(account.resource.clone()),
        owner: named(|incident| incident.owner.as_ref()),
        model: alone.and_then(|_| named(|incident| incident.model.as_ref())),
        severity: worst.step(1).min(most),
        state: State::Open,
        first_window: incidents().map(|i| i.first_window).min().unwrap_or_default(),
        last_window: incidents().map(|i| i.last_window).max().unwrap_or_default(),
        opened_at: look.until,
        observed: as_count(keys.len()),
        unit: "findings in this order".to_owned(),
        cost: sum(incidents().filter_map(|incident| incident.cost)),
        cost_per_day: at_risk(incidents()),
        callers: callers(incidents()),
        evidence: story(look, &parts, &keys),
        response: steps(&parts),
        confidence: 1.0 - incidents().map(|i| 1.0 - i.confidence).product::<f64>(),
        children: keys.into_iter().collect(),
        ..Incident::default()
    };
    let score = parts.iter().map(|(_, tracked)| 1.0 + tracked.score).sum();
    Sighting { incident, score, verdict: Verdict::Closing, hearing }
}

/// True when `chain` has the last of these findings, which is that chain looked at again, or has room for
/// no more.
fn was_told(chain: &Incident, keys: &[String], until: ArrivalTime) -> bool {
    let was_open =
        chain.opened_at <= until && chain.resolved_at.is_none_or(|resolved| until <= resolved);
    let is_full = chain.children.len() >= MAX_MEMBERS;
    (was_open && is_full) || keys.last().is_some_and(|last| chain.children.contains(last))
}

#[expect(clippy::cast_precision_loss, reason = "a few dozen")]
const fn as_count(count: usize) -> f64 {
    count as f64
}

fn sum(amounts: impl Iterator<Item = NanoUsd>) -> Option<NanoUsd> {
    let mut amounts = amounts.peekable();
    amounts.peek()?;
    Some(NanoUsd(amounts.fold(0, |sum, amount| sum.saturating_add(amount.0))))
}

/// USD a day: of each deployment what its dearest finding says, because findings about it overlap.
fn at_risk<'a>(incidents: impl Iterator<Item = &'a Incident>) -> Option<NanoUsd> {
    let mut dearest: BTreeMap<Option<&str>, NanoUsd> = BTreeMap::new();
    for incident in incidents {
        if let Some(usd) = incident.cost_per_day {
            let known = dearest.entry(incident.deployment.as_deref()).or_insert(usd);
            known.0 = known.0.max(usd.0);
        }
    }
    sum(dearest.into_values())
}

/// The largest callers of all findings, each once.
fn callers<'a>(incidents: impl Iterator<Item = &'a Incident>) -> Vec<CallerShare> {
    let mut largest: BTreeMap<(&str, &str), &CallerShare> = BTreeMap::new();
    for caller in incidents.flat_map(|incident| &incident.callers) {
        let known = largest.entry((&caller.network, &caller.identity)).or_insert(caller);
        if caller.tokens > known.tokens {
            *known = caller;
        }
    }
    let mut callers: Vec<&CallerShare> = largest.into_values().collect();
    // Those that are new are what a chain is about.
    callers.sort_by_key(|caller| (!caller.new, -caller.tokens));
    callers.into_iter().take(MAX_CALLERS).cloned().collect()
}

/// The time line: one sentence for each member.
fn story(look: &Look<'_>, parts: &[Part<'_>], keys: &BTreeSet<String>) -> Vec<String> {
    let ours = parts.iter().map(|(_, Tracked { incident, .. })| {
        let Incident { first_window, rule, rule_name, key, evidence, .. } = incident;
        let fact = evidence.first().map(|fact| format!(": {fact}")).unwrap_or_default();
        (*first_window, format!("{first_window} {rule_name} ({rule}, {}){fact}", short_id(key)))
    });
    let theirs = look.alerts().filter(|act| keys.contains(&act.identity()));
    let theirs =
        theirs.map(|act| (act.at, format!("{} Defender for Cloud: {}", act.at, act.operation)));
    let mut all: Vec<_> = ours.chain(theirs).collect();
    all.sort();
    let more = all.len().saturating_sub(MAX_STORY);
    let said = all.into_iter().take(MAX_STORY).map(|(_, said)| said);
    said.chain((more > 0).then(|| format!("and {more} more findings"))).collect()
}

/// What to do, as the newest findings say, each step once.
fn steps(parts: &[Part<'_>]) -> Vec<Response> {
    let mut steps: Vec<Response> = Vec::new();
    for step in parts.iter().rev().flat_map(|(_, tracked)| tracked.incident.response.iter().take(2))
    {
        if steps.len() < MAX_STEPS && steps.iter().all(|known| known.command != step.command) {
            steps.push(step.clone());
        }
    }
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_that_is_full_or_has_its_last_member_is_told_no_more() {
        let told = |members: usize, resolved: Option<i64>| Incident {
            opened_at: ArrivalTime(10),
            resolved_at: resolved.map(ArrivalTime),
            children: (0..members).map(|n| n.to_string()).collect(),
            ..Incident::default()
        };
        let keys = ["0", "new"].map(str::to_owned);
        let again = |chain: &Incident, until| was_told(chain, &keys, ArrivalTime(until));
        assert!(!again(&told(2, None), 11));
        assert!(was_told(&told(2, None), &keys[..1], ArrivalTime(11)));
        assert!(again(&told(MAX_MEMBERS, None), 11));
        assert!(!again(&told(MAX_MEMBERS - 1, None), 11));
        // Another chain begins when the full one is over, and was there before it.
        assert!(again(&told(MAX_MEMBERS, Some(20)), 20));
        assert!(!again(&told(MAX_MEMBERS, Some(20)), 21));
        assert!(!again(&told(MAX_MEMBERS, Some(20)), 9));
    }
}
