//! TW-C10: a deployment that costs much in its first week, while little is learnt of it.
//!
//! The statistical side judges a deployment from its fourth day on, and by its own days alone. Until then
//! its peers say what is usual: deployments of the same model in the same subscription that are older than
//! a week. With less than five of them a cap alone holds, and it always does.

use super::series::{SLOTS_PER_DAY, SLOTS_PER_HOUR, Series, Signal, Slot};
use super::{DetectSettings, Detector, Finding, Judge, Profile, table};
use crate::money::NanoUsd;

/// Slots for which a deployment is new, and for which its account must have been watched before: who
/// starts to watch finds everything new, and what is used once a week is seen within one.
const WEEK: i64 = 7 * SLOTS_PER_DAY;
/// With fewer peers the largest of them says nothing.
const MIN_PEERS: usize = 5;
/// Peers of a hundred that cost no more than what is held normal.
const PERCENT: usize = 95;
/// Share of the cap below which nothing is told, however little the peers cost.
const TRIFLE: f64 = 0.1;

/// A deployment that costs much before anything is learnt of it.
pub struct ColdStart;

/// A deployment that is new in an account that was watched before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Newcomer {
    /// Slots since the first with calls.
    pub age: i64,
    /// What its peers cost; `None` where there are too few of them.
    pub peers: Option<Peers>,
}

/// What older deployments of one model and subscription cost in a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Peers {
    count: usize,
    /// The middle one, in USD.
    middle: f64,
    /// 95 of 100 cost at most this, in USD.
    high: f64,
}

impl Peers {
    /// From the costs of a day in USD, one of each peer that was used; `None` where these are too few.
    #[must_use]
    pub fn of(mut costs: Vec<f64>) -> Option<Self> {
        let count = costs.len();
        if count < MIN_PEERS {
            return None;
        }
        costs.sort_unstable_by(f64::total_cmp);
        let rank = |percent: usize| costs.get((count * percent).div_ceil(100).max(1) - 1).copied();
        Some(Self { count, middle: rank(50)?, high: rank(PERCENT)? })
    }
}

/// How many slots old a deployment that began with slot `begun` is, in an account watched since `since`;
/// `None` where it is not new.
#[must_use]
pub const fn age(begun: Slot, since: Slot, now: Slot) -> Option<i64> {
    let age = now.0 - begun.0;
    if begun.0 - since.0 >= WEEK && age < WEEK { Some(age) } else { None }
}

/// Whether a deployment that began with slot `begun` is old enough to be a peer.
#[must_use]
pub const fn is_peer(begun: Slot, now: Slot) -> bool {
    now.0 - begun.0 >= WEEK
}

/// The cost of a day in USD below which no newcomer is told of; `None` where the rule is off.
#[must_use]
pub fn least(settings: &DetectSettings) -> Option<f64> {
    let cap = settings.new_deployment_usd_per_day;
    (cap > 0.0).then_some(TRIFLE * cap)
}

impl Detector for ColdStart {
    fn profile(&self) -> &'static Profile {
        table::profile("TW-C10")
    }

    fn judge(&self, series: &Series, slot: Slot, judge: &Judge<'_>) -> Option<Finding> {
        let Newcomer { age, peers } = *judge.newcomer?;
        let least = least(judge.settings)?;
        let cap = judge.settings.new_deployment_usd_per_day;
        let lower =
            peers.map(|peers| (peers, peers.high.max(least))).filter(|(_, high)| *high < cap);
        let bound = lower.map_or(cap, |(_, high)| high);
        let observed = series.spent(slot, 24);
        if observed < bound {
            return None;
        }
        let than = match lower {
            Some((Peers { count, .. }, _)) => format!(
                "what {PERCENT} % of the {count} others of its model in this subscription cost at most"
            ),
            None => "the most that a new deployment may cost".to_owned(),
        };
        Some(Finding {
            signal: Some(Signal::Cost),
            observed,
            expected: peers.map_or(0.0, |peers| peers.middle),
            bound,
            unit: "USD in 24 h".to_owned(),
            score: observed / bound,
            confidence: 0.7,
            evidence: vec![format!(
                "{} within 24 hours, first called {} ago: above {}, {than}",
                NanoUsd::from_usd(observed),
                ago(age),
                NanoUsd::from_usd(bound),
            )],
        })
    }
}

/// An age for people.
fn ago(slots: i64) -> String {
    let hours = slots / SLOTS_PER_HOUR;
    match hours {
        0 => "less than an hour".to_owned(),
        1 => "an hour".to_owned(),
        2..48 => format!("{hours} hours"),
        _ => format!("{} days", hours / 24),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(costs: &[f64], expected: Option<(f64, f64)>) {
        let peers = Peers::of(costs.to_vec());
        assert_eq!(peers.map(|peers| (peers.middle, peers.high)), expected);
    }

    #[test]
    fn peers_are_ranked_and_few_of_them_say_nothing() {
        check(&[1.0; 4], None);
        check(&[3.0, 1.0, 9.0, 2.0, 4.0], Some((3.0, 9.0)));
        let hundred: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        check(&hundred, Some((50.0, 95.0)));
    }

    #[test]
    fn new_is_what_comes_a_week_after_the_first_and_for_a_week() {
        let age = |begun, now| age(Slot(begun), Slot(100), Slot(now));
        assert_eq!(age(100, 101), None);
        assert_eq!(age(99 + WEEK, 100 + WEEK), None);
        assert_eq!(age(100 + WEEK, 100 + WEEK), Some(0));
        assert_eq!(age(100 + WEEK, 99 + 2 * WEEK), Some(WEEK - 1));
        assert_eq!(age(100 + WEEK, 100 + 2 * WEEK), None);
        assert!(!is_peer(Slot(100), Slot(99 + WEEK)) && is_peer(Slot(100), Slot(100 + WEEK)));
    }

    #[test]
    fn ages_are_told_in_words() {
        let told = [0, 12, 35, 47 * 12 + 11, 48 * 12, 7 * 288 - 1].map(ago);
        assert_eq!(
            told,
            ["less than an hour", "an hour", "2 hours", "47 hours", "2 days", "6 days"]
        );
    }
}
