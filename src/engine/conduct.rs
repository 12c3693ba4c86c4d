//! What rules about conduct notice at the close of a slot, as incidents of the account.

use std::collections::{BTreeMap, BTreeSet};

use super::Env;
use super::account::{Account, Moment};
use crate::aggregate::names::{KEY_TEXT, NONE};
use crate::aggregate::rollup::Amount;
use crate::detect::conduct::{Answer, RULES, Rule, Scene, Sign, is_rule};
use crate::detect::series::{SLOTS_PER_HOUR, Slot};
use crate::detect::{is_story, table};
use crate::incident::tracker::{self, Cause, Changes, Hearing, Sighting, Verdict, Weight};
use crate::incident::{CallerShare, Incident, Response, State, respond};
use crate::money::NanoUsd;

/// Judges what callers did up to the end of `slot`, which closes, and learns from it.
pub(super) fn close(account: &mut Account, slot: Slot, moment: Moment, env: &Env) -> Changes {
    let mut seen: BTreeMap<Cause, Sighting> = BTreeMap::new();
    // By what was told when the slot was closed, however far was read since.
    let told = account.revoked.iter().filter(|revoked| revoked.told <= moment.now);
    let linked = account.egress.iter().filter(|(_, linked)| **linked <= moment.now);
    let scene = Scene::new(slot, &account.conduct, &account.series, &account.names, &env.known)
        .with_revoked(told.map(|revoked| revoked.at).collect())
        .with_models(&account.models)
        .with_gateways(
            account.is_gateway_only.then(|| linked.map(|(network, _)| *network).collect()),
        );
    if !scene.is_idle() {
        for rule in RULES {
            let profile = env.settings.tuning.of(rule.id, &account.resource);
            for sign in profile.map(|profile| rule.judge(&scene, profile)).unwrap_or_default() {
                let sighting = describe(account, rule, &sign, (slot, moment), env);
                seen.insert(cause_of(account, rule, &sign), sighting);
            }
        }
    }
    let mut changes = Changes::default();
    let open = account.tracker.all_open().map(|(cause, _)| cause);
    let over: Vec<Cause> =
        open.filter(|cause| is_rule(cause.rule) && !seen.contains_key(cause)).cloned().collect();
    for cause in over {
        let enough = table::profile(cause.rule).quiet_slots;
        changes.extend(account.tracker.quiet(&cause, enough, moment.now));
    }
    for (cause, sighting) in seen {
        changes.extend(tell(account, &cause, sighting));
    }
    account.conduct.close(slot);
    changes
}

/// Tells of it, but for what is part of the story that a rule about volume already tells of the same callers:
/// that one takes over its severity and its first fact.
fn tell(account: &mut Account, cause: &Cause, sighting: Sighting) -> Changes {
    let tracker = &mut account.tracker;
    let Incident { deployment, callers, first_window, .. } = &sighting.incident;
    // A story that is told early may begin after what is judged here: another order would not know it yet.
    let is_same = |story: &Incident| {
        let mut theirs = story.callers.iter().map(|caller| caller.network.as_str());
        story.first_window <= *first_window
            && (deployment.is_none() || *deployment == story.deployment)
            && theirs.any(|network| callers.iter().any(|caller| caller.network == network))
    };
    let story = tracker.all_open().find(|(other, tracked)| {
        is_story(other.rule) && tracked.is_told() && is_same(&tracked.incident)
    });
    let Some(story) = story.map(|(story, _)| story.clone()) else {
        return tracker.found(cause, sighting);
    };
    let mut changes = tracker.confirm(&story, &sighting);
    changes.extend(tracker.found(cause, Sighting { hearing: Hearing::Inhibited, ..sighting }));
    changes.extend(tracker.link(&story, cause));
    changes
}

fn cause_of(account: &Account, rule: &Rule, sign: &Sign) -> Cause {
    let scope = match sign.deployment {
        Some(deployment) => format!("{}/{}", account.name(), account.names.text(deployment)),
        None => account.name().to_owned(),
    };
    Cause { rule: rule.id, scope }
}

fn describe(
    account: &Account,
    rule: &Rule,
    sign: &Sign,
    (slot, moment): (Slot, Moment),
    env: &Env,
) -> Sighting {
    let profile = table::profile(rule.id);
    let deployment = sign.deployment.map(|number| account.names.text(number).to_owned());
    let callers = shares(account, sign, slot, env);
    // What the named callers spent within the hour, if they go on.
    let spent =
        callers.iter().try_fold(0_i64, |sum, caller| Some(sum.saturating_add(caller.cost?.0)));
    let per_day =
        spent.filter(|_| !callers.is_empty()).map(|nano| NanoUsd(nano.saturating_mul(24)));
    let owner =
        deployment.as_ref().and_then(|name| env.settings.owners.of(&account.resource, name));
    let model = sign.deployment.and_then(|number| account.models.get(&number));
    let model = model.map(|model| account.names.text(*model));
    let incident = Incident {
        rule: profile.id.clone(),
        rule_name: profile.name.clone(),
        account: account.name().to_owned(),
        resource_id: Some(account.resource.clone()),
        owner: owner.map(|owner| owner.name.clone()),
        model: model.map(|model| model.split('@').next().unwrap_or_default().to_owned()),
        severity: tracker::severity(Weight {
            base: sign.severity,
            about_cost: profile.about_cost,
            per_day,
            confidence: sign.confidence,
        }),
        state: State::Open,
        first_window: slot.start().start(),
        last_window: slot.end().start(),
        opened_at: moment.now,
        observed: sign.observed,
        expected: sign.expected,
        bound: sign.bound,
        unit: sign.unit.clone(),
        cost_per_day: per_day,
        response: answer(account, sign, deployment.as_deref()),
        deployment,
        callers,
        evidence: sign.evidence.clone(),
        confidence: sign.confidence,
        delay_azure_s: account.delay_ms.map(|ms| ms.div_euclid(1000)),
        ..Incident::default()
    };
    let score = if sign.bound > 0.0 { sign.observed / sign.bound } else { 1.0 };
    Sighting { incident, score, verdict: Verdict::Closing, hearing: Hearing::Announce }
}

/// The networks of a sign as callers, with what they used in the last hour.
fn shares(account: &Account, sign: &Sign, slot: Slot, env: &Env) -> Vec<CallerShare> {
    let scene = Scene::new(slot, &account.conduct, &account.series, &account.names, &env.known);
    let visits = scene.networks(60.0);
    let first = Slot(slot.0 - SLOTS_PER_HOUR + 1);
    let on = |deployment: u32| sign.deployment.is_none_or(|only| only == deployment);
    let series = account.series.iter().filter(|(deployment, _)| on(**deployment));
    let mut used: BTreeMap<u32, Amount> = BTreeMap::new();
    for (caller, amount) in series.flat_map(|(_, series)| series.callers(first, slot)) {
        if let Some(parts) = caller.parts().filter(|who| sign.networks.contains(&who.network)) {
            let sum = used.entry(parts.network).or_default();
            *sum = sum.plus(amount);
        }
    }
    let share = |network: &u32| {
        let text = account.names.text(*network);
        let amount = used.get(network).copied().unwrap_or_default();
        let visit = visits.get(network);
        let is_keyed = visit.is_some_and(|visit| visit.keyed > 0);
        let only = visit.map(|visit| &visit.identities).filter(|of| of.len() == 1);
        let identity = only.and_then(BTreeSet::first).copied().filter(|_| !is_keyed);
        let object = account.names.text(identity.unwrap_or(NONE));
        let without = visit.is_some_and(|visit| visit.keyed > 0 && visit.identities.is_empty());
        CallerShare {
            network: text.to_owned(),
            identity: if without { KEY_TEXT } else { object }.to_owned(),
            tokens: amount.tokens(),
            cost: (amount.unpriced == 0).then_some(NanoUsd(amount.cost_nano)),
            new: scene.is_new(*network),
            about: env.known.about(text),
            name: env.known.name_of(object).map(str::to_owned),
        }
    };
    sign.networks.iter().map(share).collect()
}

fn answer(account: &Account, sign: &Sign, deployment: Option<&str>) -> Vec<Response> {
    let resource = &account.resource;
    match sign.answer {
        Answer::Keys => {
            let mut steps = respond::stop_keys(resource);
            steps.extend(respond::close_network(resource));
            steps
        }
        Answer::Networks => {
            let mut steps = respond::close_network(resource);
            steps.extend(respond::stop_keys(resource));
            steps
        }
        Answer::Quota => respond::look_at_quota(resource, deployment),
        Answer::Identity(identity) => {
            let mut steps = respond::look_at_identity(resource, account.names.text(identity));
            steps.extend(respond::close_network(resource));
            steps
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineSettings;
    use crate::incident::Kind;
    use crate::price::PriceBook;
    use crate::severity::Severity;
    use crate::time::{EventTime, MINUTE_MS};

    fn sighting(severity: Severity, deployment: Option<&str>, network: &str) -> Sighting {
        let caller = CallerShare {
            network: network.to_owned(),
            identity: String::new(),
            tokens: 1,
            cost: None,
            new: true,
            about: crate::known::About::default(),
            name: None,
        };
        let incident = Incident {
            severity,
            deployment: deployment.map(str::to_owned),
            callers: vec![caller],
            evidence: vec!["three small calls".to_owned()],
            ..Incident::default()
        };
        let (verdict, hearing) = (Verdict::Closing, Hearing::Announce);
        Sighting { incident, score: 1.0, verdict, hearing }
    }

    /// An account with a usage spike of `chat`.
    fn spiked(seen: Sighting) -> (Account, Cause) {
        let env = Env::new(EngineSettings::default(), PriceBook::built_in().unwrap());
        let mut account = Account::new(1, "/subscriptions/s/accounts/aif", "l", &env);
        let spike = Cause { rule: "TW-C01", scope: "aif/chat".to_owned() };
        drop(account.tracker.found(&spike, seen));
        (account, spike)
    }

    /// What is told of a probe from `network` beside a spike of `chat` by 203.0.113.0/24.
    #[track_caller]
    fn check(deployment: Option<&str>, network: &str, expected: &[(Kind, &str)], is_part: bool) {
        let seen = sighting(Severity::Medium, Some("chat"), "203.0.113.0/24");
        let (mut account, _) = spiked(seen);
        let probe = Cause { rule: "TW-A02", scope: "aif".to_owned() };
        let told = tell(&mut account, &probe, sighting(Severity::High, deployment, network));
        let told: Vec<(Kind, &str)> = told
            .announcements
            .iter()
            .map(|told| (told.kind, told.incident.key.split('|').next().unwrap()))
            .collect();
        assert_eq!(told, expected);
        let parent = account.tracker.open(&probe).unwrap().incident.parent.clone();
        assert_eq!(parent.is_some(), is_part);
    }

    #[test]
    fn what_a_spike_tells_of_the_same_callers_is_not_told_twice() {
        let part = [(Kind::Escalate, "TW-C01")];
        check(None, "203.0.113.0/24", &part, true);
        check(Some("chat"), "203.0.113.0/24", &part, true);
        check(Some("other"), "203.0.113.0/24", &[(Kind::Open, "TW-A02")], false);
        check(None, "198.51.100.0/24", &[(Kind::Open, "TW-A02")], false);
    }

    #[test]
    fn what_comes_before_a_spike_that_was_told_early_is_told_of_itself() {
        let mut seen = sighting(Severity::Medium, Some("chat"), "203.0.113.0/24");
        seen.incident.first_window = EventTime(5 * MINUTE_MS);
        seen.verdict = Verdict::Early;
        let (mut account, spike) = spiked(seen);
        let probe = |minute: i64| {
            let mut probe = sighting(Severity::High, None, "203.0.113.0/24");
            probe.incident.first_window = EventTime(minute * MINUTE_MS);
            probe
        };
        let cause = Cause { rule: "TW-A02", scope: "aif".to_owned() };
        drop(tell(&mut account, &cause, probe(0)));
        assert_eq!(account.tracker.open(&spike).unwrap().incident.severity, Severity::Medium);
        drop(tell(&mut account, &cause, probe(5)));
        assert_eq!(account.tracker.open(&spike).unwrap().incident.severity, Severity::High);
    }
}
