//! What only programs do: loops (`TW-C14`), sweeps that go on for hours (`TW-A09`), a fixed beat (`TW-A10`).

use std::collections::{BTreeMap, BTreeSet};

use super::habit::{Hour, evenness};
use super::pace::Course;
use super::past::{CLONE_SLOTS, Day};
use super::scene::{numbers, ranked, usual, whole};
use super::{Answer, Scene, Sign};
use crate::aggregate::names::NONE;
use crate::detect::baseline::as_float;
use crate::detect::table::Profile;

/// Days that loops are compared with, at least.
const LOOP_DAYS: usize = 3;
/// Calls in an hour of an account whose networks never called that much: those that habits begin with.
const FEW_CALLS: f64 = 12.0;
/// Variance that a fixed beat has at most, in calls of a slot: it falls now before, now after the end of one,
/// and a call may be told late.
const BEAT_VARIANCE: f64 = 0.5;

/// Hours of which tokens are kept by caller.
const TOKEN_HOURS: usize = 4;

/// A caller of one deployment: numbers of network and identity.
type Who = (u32, u32);

/// TW-C14: one caller asks again and again, in ever longer requests or with the same one, far more than on most
/// days. An agent that works so every day is no news.
pub(super) fn agent_loop(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let called: BTreeSet<u32> = scene.within(10.0).map(|deed| deed.deployment).collect();
    let called = called.into_iter().filter(|deployment| *deployment != NONE);
    called.filter_map(|deployment| loop_on(scene, profile, deployment)).collect()
}

fn loop_on(scene: &Scene<'_>, profile: &Profile, deployment: u32) -> Option<Sign> {
    let [least, factor, minutes] =
        ["calls", "factor", "minutes"].map(|name| profile.threshold(name));
    let [share, growth] = ["rising_share", "growth"].map(|name| profile.threshold(name));
    let expected = |of: fn(&Day) -> u32| {
        let days = scene.conduct.past().days(deployment, scene.slot);
        usual(days, LOOP_DAYS, of).map(|(middle, _)| middle)
    };
    let (rises, repeats) = (expected(|day| day.most_rising)?, expected(|day| day.most_clones)?);
    let [rises_from, repeats_from] = [rises, repeats].map(|usual| least.max(factor * usual));
    let mut found: Vec<(Who, Course, bool)> = Vec::new();
    for (who, course) in scene.conduct.courses(deployment, scene.slot, CLONE_SLOTS) {
        let calls = as_float(course.calls);
        let is_rising = course.is_rising(share, growth) && calls >= rises_from;
        if is_rising || (course.is_one_size && calls >= repeats_from) {
            found.push((who, course, is_rising));
        }
    }
    found.sort_by_key(|(who, course, _)| (std::cmp::Reverse(course.calls), *who));
    let ((network, identity), worst, is_rising) = found.first().copied()?;
    let (expected, bound) = if is_rising { (rises, rises_from) } else { (repeats, repeats_from) };
    let Course { calls, rising, growth, bytes, .. } = worst;
    let name = if identity == NONE { "nobody named" } else { scene.text(identity) };
    let did = if is_rising {
        format!(
            "({name}) called {calls} times in {minutes} min; in {:.0} % of the minutes its requests were larger \
             than in the one before, {growth:.1} times by the end",
            100.0 * rising
        )
    } else {
        format!(
            "({name}) called {calls} times in {minutes} min, each time with about {bytes:.0} bytes"
        )
    };
    let mut evidence = vec![scene.sentence(network, &did)];
    evidence
        .push(format!("on most days one caller makes at most {expected} such calls in that time"));
    if found.len() > 1 {
        evidence.push(format!("{} more callers do the like", found.len() - 1));
    }
    let networks: BTreeMap<u32, i64> =
        found.iter().rev().map(|((network, _), course, _)| (*network, course.calls)).collect();
    let networks = networks.into_iter().filter(|(network, _)| *network != NONE);
    Some(Sign {
        deployment: Some(deployment),
        severity: profile.severity,
        confidence: 0.6,
        observed: as_float(calls),
        expected,
        bound,
        unit: format!("calls of one caller in {minutes} min"),
        networks: numbers(&ranked(networks, |calls| *calls)),
        evidence,
        answer: if identity == NONE { Answer::Quota } else { Answer::Identity(identity) },
    })
}

/// TW-A09: a network calls for hours far more than it ever did, evenly as a program does, with requests of many
/// sizes. Of one without a past the busiest of the others is the measure.
pub(super) fn sweep(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let [hours, factor, least] =
        ["hours", "factor", "calls_per_hour"].map(|name| profile.threshold(name));
    let [rate, sizes] = ["variation", "size_variation"].map(|name| profile.threshold(name));
    if !scene.has_history() {
        return Vec::new();
    }
    let (count, habits) = (whole(hours), scene.conduct.past().habits());
    let busiest = habits.busiest().unwrap_or(FEW_CALLS);
    let mut found: BTreeMap<u32, (Hour, f64)> = BTreeMap::new();
    for (network, each) in habits.steady(scene.slot, count) {
        let usual = habits.usual(network).unwrap_or(busiest);
        let bound = least.max(factor * usual);
        let sum = each.iter().fold(Hour::default(), |sum, hour| sum.plus(*hour));
        let (mean, variance) = evenness(sum.calls, count);
        let is_even = variance.sqrt() < rate * mean;
        let is_diverse = sum.size_variation().is_some_and(|strays| strays >= sizes);
        if is_even && is_diverse && each.iter().all(|hour| as_float(hour.calls.0) >= bound) {
            found.insert(network, (sum, usual));
        }
    }
    let found = ranked(found, |(sum, _)| sum.calls.0);
    let Some((_, (worst, expected))) = found.first() else { return Vec::new() };
    let evidence = scene.sentences(&found, |(sum, usual)| {
        let (mean, variance) = evenness(sum.calls, count);
        format!(
            "called {} times in {hours} hours, {usual:.0} an hour being usual; its rate strays {:.0} % from its \
             mean, its sizes {:.0} %",
            sum.calls.0,
            100.0 * variance.sqrt() / mean,
            100.0 * sum.size_variation().unwrap_or(0.0)
        )
    });
    vec![Sign {
        deployment: None,
        severity: profile.severity,
        confidence: 0.5,
        observed: as_float(worst.calls.0) / hours,
        expected: *expected,
        bound: least.max(factor * expected),
        unit: format!("calls an hour of one network for {hours} h"),
        networks: numbers(&found),
        evidence,
        answer: Answer::Keys,
    }]
}

/// TW-A10: a new network asks a store (threads, files, responses) at a fixed beat for hours, with next to no
/// tokens. Whoever works with it asks when there is something to do.
pub(super) fn beat(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let [hours, jitter] = ["hours", "jitter"].map(|name| profile.threshold(name));
    let [least, most] = ["calls_per_hour", "tokens_per_call"].map(|name| profile.threshold(name));
    let count = whole(hours);
    let mut found: BTreeMap<u32, (i64, f64)> = BTreeMap::new();
    for (network, each) in scene.conduct.past().habits().steady(scene.slot, count) {
        let sum = each.iter().fold(Hour::default(), |sum, hour| sum.plus(*hour));
        let (mean, variance) = evenness(sum.store, count);
        let strays = jitter * mean;
        let is_beat = as_float(sum.store.0) >= least * hours
            && variance <= strays.mul_add(strays, BEAT_VARIANCE);
        if !is_beat || !scene.is_new(network) {
            continue;
        }
        let recent = each.iter().rev().take(TOKEN_HOURS);
        let (hours, calls) =
            recent.fold((0, 0), |(hours, calls), hour| (hours + 1, calls + hour.store.0));
        let tokens = scene.store_tokens(network, hours) / as_float(calls.max(1));
        if tokens <= most {
            found.insert(network, (sum.store.0, tokens));
        }
    }
    let found = ranked(found, |(calls, _)| *calls);
    let Some((_, (worst, _))) = found.first() else { return Vec::new() };
    let mut evidence = scene.sentences(&found, |(calls, tokens)| {
        let every = 3_600.0 * hours / as_float(*calls);
        format!(
            "asked for threads, files or responses {calls} times in {hours} hours, once in about {every:.0} s, \
             with {tokens:.0} tokens a call"
        )
    });
    evidence.push("the account had not seen the network before the last 24 hours".to_owned());
    vec![Sign {
        deployment: None,
        severity: profile.severity,
        confidence: 0.5,
        observed: as_float(*worst) / hours,
        expected: 0.0,
        bound: least,
        unit: format!("calls an hour to stores at one beat for {hours} h"),
        networks: numbers(&found),
        evidence,
        answer: Answer::Keys,
    }]
}
