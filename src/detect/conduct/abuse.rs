//! What is asked for, and how it is answered (`TW-A`).

use std::collections::{BTreeMap, BTreeSet};

use super::past::{BAD_SLOTS, CLONE_SLOTS, DENIED_SLOTS, count, sums};
use super::scene::{Visit, numbers, ranked, usual, whole};
use super::{Answer, Scene, Sign};
use crate::aggregate::names::{NONE, OTHER};
use crate::detect::baseline::as_float;
use crate::detect::series::{SLOT_MIN, SLOTS_PER_DAY, Slot};
use crate::detect::table::Profile;
use crate::event::operation::Operation;
use crate::severity::Severity;
use crate::time::EventTime;

/// Certainty where nothing says what is usual.
const NO_PAST: f64 = 0.4;
/// Days that faults and sizes are compared with, at least.
const FAULT_DAYS: usize = 3;
/// Said of every network.
const MASKED: &str = "a network stands for up to 256 addresses: Azure masks the last part";

/// TW-A01: most calls to a deployment are of one size, and far more than on most days. A job that has always
/// asked the same is no news.
pub(super) fn clones(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let [least, share, factor, minutes] =
        ["calls", "share", "factor", "minutes"].map(|name| profile.threshold(name));
    let judge = |deployment: u32| {
        let sizes = scene.conduct.sizes(deployment, scene.slot, CLONE_SLOTS);
        let (alike, bytes) = sizes.most()?;
        let (seen, all) = (f64::from(alike), f64::from(sizes.calls()));
        let days = scene.conduct.past().days(deployment, scene.slot);
        let (expected, _) = usual(days, FAULT_DAYS, |day| day.most_clones)?;
        let bound = least.max(factor * expected);
        if seen < bound || seen < share * all {
            return None;
        }
        let mut visits = scene.networks_on(deployment, minutes);
        visits.retain(|_, visit| visit.served > 0);
        let callers = ranked(visits, |visit| visit.served);
        let mut evidence = vec![format!(
            "{alike} of {} calls in {minutes} min had a request of about {bytes} bytes; most days have at \
             most {expected} of one size",
            sizes.calls()
        )];
        evidence.extend(
            scene.sentences(&callers, |visit| format!("was served {} times", visit.served)),
        );
        Some(Sign {
            deployment: Some(deployment),
            severity: profile.severity,
            confidence: 0.6,
            observed: seen,
            expected,
            bound,
            unit: format!("calls of about one size in {minutes} min"),
            networks: numbers(&callers),
            evidence,
            answer: Answer::Quota,
        })
    };
    let called: BTreeSet<u32> = scene.within(minutes).map(|deed| deed.deployment).collect();
    called.into_iter().filter(|deployment| *deployment != NONE).filter_map(judge).collect()
}

/// TW-A02: a new network sends small faulty calls, then one that works. A call made to fail proves for free
/// that a key works. A known network, a large faulty call or a fault after the success is not it.
pub(super) fn validity_probe(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let [refused, length, minutes] =
        ["refused", "max_length", "minutes"].map(|name| profile.threshold(name));
    let visits = scene.networks(minutes).into_iter();
    let probes = visits.filter(|(network, visit)| {
        visit.small >= whole(refused)
            && visit.was_served_after(visit.first_small)
            && scene.is_new(*network)
    });
    let probes = ranked(probes, |visit| visit.small);
    let Some((_, worst)) = probes.first() else { return Vec::new() };
    let mut evidence = scene.sentences(&probes, |visit| {
        let Visit { small, served, keyed, .. } = visit;
        format!(
            "sent {small} calls of less than {length} bytes that were refused as faulty (400), then \
             {served} that were served, {keyed} of them without an identity"
        )
    });
    evidence.push("the account had not seen the network before the last 24 hours".to_owned());
    evidence.push(MASKED.to_owned());
    vec![Sign {
        deployment: None,
        severity: profile.severity,
        confidence: 0.7,
        observed: as_float(worst.small),
        expected: 0.0,
        bound: refused,
        unit: format!("small faulty calls of a new network in {minutes} min"),
        networks: numbers(&probes),
        evidence,
        answer: Answer::Keys,
    }]
}

/// TW-A03: a new network calls many deployments, lists what there is, or asks for what is not there. An
/// inventory tool that has called for long is no news.
pub(super) fn enumeration(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let names = ["deployments", "listings", "not_found"];
    let least = names.map(|name| profile.threshold(name));
    let [deployments, listings, missing] = least;
    let minutes = profile.threshold("minutes");
    let score = |visit: &Visit| {
        let deployments = i64::try_from(visit.deployments.len()).unwrap_or(i64::MAX);
        let seen = [deployments, visit.listings, visit.missing].map(as_float);
        seen.into_iter().zip(least).map(|(seen, least)| seen / least).fold(0.0, f64::max)
    };
    let visits = scene.networks(minutes).into_iter();
    let found = visits.filter(|(network, visit)| score(visit) >= 1.0 && scene.is_new(*network));
    let found = ranked(found, |visit| whole(1_000.0 * score(visit)));
    let Some((_, worst)) = found.first() else { return Vec::new() };
    let mut evidence = scene.sentences(&found, |visit| {
        let Visit { deployments, listings, missing, served, .. } = visit;
        format!(
            "called {} deployments, listed {listings} times and asked {missing} times for what is not \
             there (404) in {minutes} min; {served} calls were served",
            deployments.len()
        )
    });
    evidence.push(MASKED.to_owned());
    vec![Sign {
        deployment: None,
        severity: profile.severity,
        // Whom nothing was served has found nothing.
        confidence: if worst.served > 0 { 0.6 } else { NO_PAST },
        observed: score(worst),
        expected: 0.0,
        bound: 1.0,
        unit: format!(
            "times the limit of {deployments} deployments, {listings} listings or {missing} misses"
        ),
        networks: numbers(&found),
        evidence,
        answer: Answer::Networks,
    }]
}

/// TW-A04: many calls are refused for want of a right. Graver where a new network was served after it was
/// refused: a key that was tried out fits. An expired secret of one's own comes from a known network.
pub(super) fn denied_burst(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let [refused, factor, minutes] =
        ["refused", "factor", "minutes"].map(|name| profile.threshold(name));
    let all = sums(scene.conduct.deeds(scene.slot, DENIED_SLOTS), |tally| tally.denied);
    let seen = f64::from(count(all.get(&NONE).copied().unwrap_or(0)));
    let days = || scene.conduct.past().days(NONE, scene.slot);
    let known = usual(days(), 1, |day| day.most_denied);
    let expected = known.map_or(0.0, |(middle, _)| middle);
    let bound = refused.max(factor * expected);
    if seen < bound {
        return Vec::new();
    }
    let denied = scene.networks(60.0).into_iter().filter(|(_, visit)| visit.denied > 0);
    let denied = ranked(denied, |visit| visit.denied);
    let fits = |(network, visit): &&(u32, Visit)| {
        visit.was_served_after(visit.first_denied) && scene.is_new(*network)
    };
    let fitted = denied.iter().find(fits);
    let mut evidence = vec![match known {
        Some(_) => format!(
            "{seen} calls were refused (401, 403) in {minutes} min; on most days never more than {expected}"
        ),
        None => format!(
            "{seen} calls were refused (401, 403) in {minutes} min; no day before to compare with"
        ),
    }];
    evidence.extend(fitted.map(|(network, visit)| {
        let did = format!("was refused and then served {} times, and is new here", visit.served);
        scene.sentence(*network, &did)
    }));
    evidence.extend(scene.sentences(&denied, |visit| {
        format!("was refused {} times in the last hour", visit.denied)
    }));
    evidence.push(MASKED.to_owned());
    vec![Sign {
        deployment: None,
        severity: if fitted.is_some() { Severity::High } else { profile.severity },
        confidence: match (fitted, known) {
            (Some(_), _) => 0.8,
            (None, Some(_)) => 0.6,
            (None, None) => NO_PAST,
        },
        observed: seen,
        expected,
        bound,
        unit: format!("refused calls in {minutes} min"),
        networks: numbers(&denied),
        evidence,
        answer: Answer::Keys,
    }]
}

/// TW-A05: a network that was served with a key before keys became worthless goes on with one that is refused:
/// it shows who still holds the old key. Whoever never had one that worked only guesses.
pub(super) fn revoked_key(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let [days, refused] = ["days", "refused"].map(|name| profile.threshold(name));
    let reach = whole(days).saturating_mul(SLOTS_PER_DAY);
    let mut holders: BTreeMap<u32, (i64, EventTime)> = BTreeMap::new();
    for at in scene.revoked() {
        let since = Slot::of(at.minute());
        if scene.slot.0 - since.0 > reach {
            continue;
        }
        // What was refused within the slot may have been before.
        let after = scene.within(60.0).filter(|deed| deed.slot > since && deed.is_nameless());
        let mut counts: BTreeMap<u32, i64> = BTreeMap::new();
        for (network, deed) in after.filter_map(|deed| deed.network().map(|n| (n, deed))) {
            *counts.entry(network).or_default() += i64::from(deed.tally.denied);
        }
        for (network, count) in counts {
            let known = scene.conduct.past().keyed(network);
            let had_one =
                known.is_some_and(|(first, last)| first < since && last.0 >= since.0 - reach);
            if had_one && as_float(count) >= refused && network != OTHER {
                holders.insert(network, (count, at));
            }
        }
    }
    let holders = ranked(holders, |(count, _)| *count);
    let Some((_, (worst, _))) = holders.first() else { return Vec::new() };
    let mut evidence = scene.sentences(&holders, |(count, at)| {
        format!("was served with a key until {at}, when one became worthless, and was refused {count} times since")
    });
    evidence.push(MASKED.to_owned());
    vec![Sign {
        deployment: None,
        severity: profile.severity,
        confidence: 0.6,
        observed: as_float(*worst),
        expected: 0.0,
        bound: refused,
        unit: "refused calls of a network in 1 h".to_owned(),
        networks: numbers(&holders),
        evidence,
        answer: Answer::Networks,
    }]
}

/// TW-A06: in each slot of a quarter of an hour a large share of a deployment's calls is refused because the
/// quota is used up, and that is not usual.
pub(super) fn rate_limited(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let [share, least, usual_share, minutes] =
        ["share", "calls", "usual_share", "minutes"].map(|name| profile.threshold(name));
    let slots = whole(minutes).div_euclid(SLOT_MIN);
    let mut of: BTreeMap<u32, BTreeMap<i64, (i64, i64)>> = BTreeMap::new();
    for deed in scene.within(minutes).filter(|deed| deed.deployment != NONE) {
        let (limited, calls) =
            of.entry(deed.deployment).or_default().entry(deed.slot.0).or_default();
        *limited += i64::from(deed.tally.limited);
        *calls += i64::from(deed.tally.calls());
    }
    let judge = |(deployment, by_slot): (u32, BTreeMap<i64, (i64, i64)>)| {
        let is_high =
            |(limited, calls): &(i64, i64)| as_float(*limited) >= share * as_float((*calls).max(1));
        let all = i64::try_from(by_slot.len()).is_ok_and(|seen| seen == slots);
        if !all || !by_slot.values().all(is_high) {
            return None;
        }
        let (limited, calls) =
            by_slot.values().fold((0, 0), |sum, slot| (sum.0 + slot.0, sum.1 + slot.1));
        let days = scene.conduct.past().days(deployment, scene.slot);
        let (was_limited, were) = days.fold((0, 0), |(limited, calls), day| {
            (limited + i64::from(day.limited), calls + i64::from(day.calls))
        });
        // Without a day before nobody knows whether this is how it is used.
        if as_float(calls) < least || were == 0 {
            return None;
        }
        let usually = as_float(was_limited) / as_float(were);
        let now = as_float(limited) / as_float(calls);
        (usually < usual_share)
            .then(|| limited_sign(scene, profile, deployment, (now, usually, limited)))
    };
    of.into_iter().filter_map(judge).collect()
}

fn limited_sign(
    scene: &Scene<'_>,
    profile: &Profile,
    deployment: u32,
    (now, usually, limited): (f64, f64, i64),
) -> Sign {
    let minutes = profile.threshold("minutes");
    let mut visits: BTreeMap<u32, Visit> = scene.networks_on(deployment, minutes);
    visits.retain(|_, visit| visit.served + visit.limited > 0);
    let callers = ranked(visits, |visit| visit.served + visit.limited);
    let mut evidence = vec![format!(
        "{limited} calls were refused (429) in {minutes} min, {:.0} % of all; in the days before {:.1} %",
        100.0 * now,
        100.0 * usually
    )];
    evidence.extend(scene.sentences(&callers, |visit| {
        format!("was served {} times and refused {} times", visit.served, visit.limited)
    }));
    Sign {
        deployment: Some(deployment),
        severity: profile.severity,
        confidence: 0.8,
        observed: 100.0 * now,
        expected: 100.0 * usually,
        bound: 100.0 * profile.threshold("share"),
        unit: format!("% of calls refused in {minutes} min"),
        networks: numbers(&callers),
        evidence,
        answer: Answer::Quota,
    }
}

/// TW-A07: far more calls are refused as faulty than on the worst half hour of most days. Azure's log does not
/// say whether a filter refused them or they were malformed; small ones are not counted, filters look at texts.
pub(super) fn filter_storm(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let [z, refused, minutes] = ["z", "refused", "minutes"].map(|name| profile.threshold(name));
    let seen = sums(scene.conduct.deeds(scene.slot, BAD_SLOTS), |tally| tally.bad);
    let judge = |(deployment, seen): (u32, i32)| {
        let seen = f64::from(count(seen));
        let days = scene.conduct.past().days(deployment, scene.slot);
        let (expected, spread) = usual(days, FAULT_DAYS, |day| day.most_bad)?;
        let bound = refused.max(expected + z * spread);
        if seen < bound {
            return None;
        }
        let mut visits = scene.networks_on(deployment, minutes);
        visits.retain(|_, visit| visit.bad > 0);
        let callers = ranked(visits, |visit| visit.bad);
        let mut evidence = vec![
            format!(
                "{seen} calls were refused as faulty (400) in {minutes} min; the worst half hour of most \
                 days has {expected}"
            ),
            "the log does not say why: a content filter or a malformed request".to_owned(),
        ];
        evidence.extend(scene.sentences(&callers, |visit| {
            format!("was refused {} times and served {} times", visit.bad, visit.served)
        }));
        Some(Sign {
            deployment: Some(deployment),
            severity: profile.severity,
            confidence: 0.5,
            observed: seen,
            expected,
            bound,
            unit: format!("faulty calls in {minutes} min"),
            networks: numbers(&callers),
            evidence,
            answer: Answer::Networks,
        })
    };
    seen.into_iter().filter(|(deployment, _)| *deployment != NONE).filter_map(judge).collect()
}

/// TW-A08: calls of a family that the account was never served before. Graver where a new network makes images
/// with a key: what stolen keys are sold for.
pub(super) fn new_operation(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let least = profile.threshold("calls");
    let is_telling = |family: Operation| {
        !matches!(family, Operation::Untold | Operation::Listing | Operation::Other)
    };
    if !scene.has_history() {
        return Vec::new();
    }
    let mut served: BTreeMap<Operation, BTreeMap<u32, (i64, i64)>> = BTreeMap::new();
    for deed in scene.within(60.0).filter(|deed| is_telling(deed.operation())) {
        let by_network = served.entry(deed.operation()).or_default();
        let (calls, keyed) = by_network.entry(deed.network().unwrap_or(NONE)).or_default();
        *calls += i64::from(deed.tally.served);
        *keyed += i64::from(deed.keyed());
    }
    served.retain(|family, by_network| {
        let calls: i64 = by_network.values().map(|(calls, _)| calls).sum();
        let first = scene.conduct.past().first_served(*family);
        as_float(calls) >= least && scene.is_recent(first)
    });
    let (mut evidence, mut callers, mut most) = (Vec::new(), BTreeMap::new(), 0);
    let mut severity = profile.severity;
    for (family, by_network) in served {
        let calls: i64 = by_network.values().map(|(calls, _)| calls).sum();
        most = most.max(calls);
        evidence.push(format!(
            "{calls} calls for {} were served within the hour; the account had never been used for that",
            family.word()
        ));
        let is_stolen = |(network, (_, keyed)): (&u32, &(i64, i64))| {
            *network != NONE && *keyed > 0 && scene.is_new(*network)
        };
        if family == Operation::Images && by_network.iter().any(is_stolen) {
            severity = Severity::High;
            evidence
                .push("they came without an identity, from a network that is new here".to_owned());
        }
        for (network, (calls, _)) in by_network.into_iter().filter(|(network, _)| *network != NONE)
        {
            *callers.entry(network).or_insert(0) += calls;
        }
    }
    if evidence.is_empty() {
        return Vec::new();
    }
    let callers = ranked(callers, |calls| *calls);
    evidence.extend(scene.sentences(&callers, |calls| format!("made {calls} of them")));
    vec![Sign {
        deployment: None,
        severity,
        confidence: 0.6,
        observed: as_float(most),
        expected: 0.0,
        bound: least,
        unit: "calls of a new kind in 1 h".to_owned(),
        networks: numbers(&callers),
        evidence,
        answer: Answer::Keys,
    }]
}
