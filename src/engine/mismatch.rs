//! Logs against metrics (`TW-P13`): hours of an account in which its logs hold fewer or more calls than Azure's
//! own metrics count.
//!
//! An hour is judged an hour after its end, by what had arrived until then, so that neither batches nor
//! partitions change what is found. Calls count by the hour in which they ended, as metrics do.

use std::collections::{BTreeMap, BTreeSet};

use super::Engine;
use super::effects::Effects;
use crate::aggregate::metrics::{Family, PointKey, Quantity};
use crate::detect::baseline::as_float;
use crate::detect::table::{self, Profile};
use crate::incident::tracker::{Cause, Changes, Hearing, Sighting, Tracked, Tracker, Verdict};
use crate::incident::{Incident, State, respond};
use crate::money::Grouped;
use crate::rules::name_of;
use crate::time::{ArrivalTime, EventTime, HOUR_MS, Minute};

/// The rule.
pub const RULE: &str = "TW-P13";
/// Hours of points that are kept: those that a judgement reads, and those that are open.
pub const KEEP_HOURS: i64 = 8;
/// An account that has logged nothing for so many hours does not export its logs: that is told elsewhere.
const EXPORTED_HOURS: i64 = 24;
/// Minutes of an hour that must have points before logs can be said to hold more than metrics.
const WHOLE_HOUR_MIN: usize = 54;
/// Hours within the bounds after which the incident is over.
const QUIET_HOURS: u32 = 2;
/// What tells the same with its cause: a setting that was reduced, our own pipeline, records lost, a hub that was
/// made anew, stalls or cannot be read.
const TOLD_BY: [&str; 6] = ["TW-P10", "TW-P11", "TW-S01", "TW-S02", "TW-S03", "TW-S06"];

/// Requests of a minute by one metric, as first told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Requests {
    enqueued: ArrivalTime,
    count: i64,
}

/// Calls by hour, by logs and by metrics. Bounded by hours, accounts, and deployments that have a name.
#[derive(Debug, Clone, Default)]
pub struct Sides {
    /// By account number, hour in which calls ended and hour of arrival.
    logged: BTreeMap<(u32, i64, i64), i64>,
    metered: BTreeMap<(u32, Minute, u32, Family), Requests>,
}

/// Calls of an account in an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Hour {
    logged: i64,
    metered: i64,
    /// Whether metrics tell of models of every publisher, and of every minute.
    is_whole: bool,
}

/// An account whose sides differ, the newest hour first.
#[derive(Debug, PartialEq)]
struct Differs {
    hours: Vec<Hour>,
    share: f64,
    bound: f64,
}

impl Sides {
    /// Adds calls that `account` logged of an hour, as they arrived.
    pub fn log(&mut self, (account, hour, arrived): (u32, i64, i64), calls: i64) {
        let sum = self.logged.entry((account, hour, arrived)).or_default();
        *sum = sum.saturating_add(calls);
    }

    /// Adds what an account's step has logged.
    pub(super) fn log_all(&mut self, account: u32, logged: &BTreeMap<(i64, i64), i64>) {
        for ((hour, arrived), calls) in logged {
            self.log((account, *hour, *arrived), *calls);
        }
    }

    /// Takes a point; of one told again, the first counts.
    pub fn meter(&mut self, account: u32, key: &PointKey, count: i64, enqueued: ArrivalTime) {
        if key.quantity != Quantity::Requests {
            return;
        }
        let told = Requests { enqueued, count };
        let known = self.metered.entry((account, key.start, key.deployment, key.family));
        known.and_modify(|known| *known = told.min(*known)).or_insert(told);
    }

    /// Drops what no hour from `hour` on asks for.
    fn forget(&mut self, hour: i64) {
        self.logged.retain(|(_, ended, _), _| *ended >= hour - EXPORTED_HOURS - KEEP_HOURS);
        let oldest = Minute((hour - KEEP_HOURS) * 60);
        self.metered.retain(|(_, start, ..), _| *start >= oldest);
    }

    /// Accounts of which metrics tell anything.
    fn accounts(&self) -> BTreeSet<u32> {
        self.metered.keys().map(|(account, ..)| *account).collect()
    }

    fn logged(&self, account: u32, hours: std::ops::RangeInclusive<i64>, until: i64) -> i64 {
        let (first, last) = (*hours.start(), *hours.end());
        let own = self.logged.range((account, first, i64::MIN)..=(account, last, i64::MAX));
        let told = own.filter(|((_, _, arrived), _)| *arrived < until);
        told.fold(0, |sum, (_, calls)| sum.saturating_add(*calls))
    }

    /// An hour by what had arrived before the hour `until`; `None` where no metric tells of it.
    fn hour(&self, account: u32, hour: i64, until: i64) -> Option<Hour> {
        let (first, end) = (Minute(hour * 60), Minute((hour + 1) * 60));
        let points =
            self.metered.range((account, first, 0, Family::All)..(account, end, 0, Family::All));
        // Of a minute the metric over all publishers, else the other; of an hour the points of the whole
        // account, else those of its deployments.
        let mut minutes: BTreeMap<(Minute, u32), (Family, i64)> = BTreeMap::new();
        for ((_, start, deployment, family), told) in points {
            if told.enqueued.0 < until * HOUR_MS {
                minutes.entry((*start, *deployment)).or_insert((*family, told.count));
            }
        }
        let has_own = minutes.keys().any(|(_, deployment)| *deployment == 0);
        minutes.retain(|(_, deployment), _| (*deployment == 0) == has_own);
        if minutes.is_empty() {
            return None;
        }
        let metered = minutes.values().fold(0_i64, |sum, (_, n)| sum.saturating_add(*n));
        let starts: BTreeSet<Minute> = minutes.keys().map(|(start, _)| *start).collect();
        let is_of_all = minutes.values().all(|(family, _)| *family == Family::All);
        let is_whole = is_of_all && starts.len() >= WHOLE_HOUR_MIN;
        Some(Hour { logged: self.logged(account, hour..=hour, until), metered, is_whole })
    }

    /// Whether the hours that end with `hour` all differ, and in the same direction.
    fn judge(&self, account: u32, hour: i64, profile: &Profile) -> Option<Differs> {
        let [low, high, hours, least] =
            ["low", "high", "hours", "min_calls"].map(|name| profile.threshold(name));
        let until = hour + 2;
        let count = (1..=KEEP_HOURS - 2).find(|count| as_float(*count) >= hours)?;
        let newest_first = (hour - count + 1..=hour).rev();
        let hours: Option<Vec<Hour>> =
            newest_first.map(|hour| self.hour(account, hour, until)).collect();
        let hours = hours.filter(|hours| hours.iter().all(|h| as_float(h.metered) >= least))?;
        let share = |hour: &Hour| as_float(hour.logged) / as_float(hour.metered.max(1));
        let is_fewer = hours.iter().all(|hour| share(hour) < low);
        let is_more = hours.iter().all(|hour| share(hour) > high && hour.is_whole);
        // Up to the first of the hours: before an account began to export, metrics were alone.
        let exported = hour - EXPORTED_HOURS..=hour - count + 1;
        let exported = self.logged(account, exported, until) > 0;
        if !(is_fewer && exported || is_more) {
            return None;
        }
        let (logged, metered) =
            hours.iter().fold((0, 0), |sum, hour| (sum.0 + hour.logged, sum.1 + hour.metered));
        let share = as_float(logged) / as_float(metered.max(1));
        Some(Differs { hours, share, bound: if is_fewer { low } else { high } })
    }
}

impl Engine {
    /// Judges the hour before the one that closes, at the end of the latter.
    pub(super) fn compare_sides(&mut self, closes: i64, effects: &mut Effects) {
        let hour = closes - 1;
        let now = ArrivalTime((closes + 1) * HOUR_MS);
        let mut told = BTreeSet::new();
        let mut changes = Changes::default();
        for number in self.honesty.sides.accounts() {
            let Some(account) = self.accounts.values().find(|account| account.id == number) else {
                continue;
            };
            let profile = self.env.settings.tuning.of(RULE, &account.resource);
            let differs = profile.and_then(|p| self.honesty.sides.judge(number, hour, p));
            let Some(differs) = differs else { continue };
            let cause = Cause { rule: RULE, scope: account.resource.clone() };
            let incident = describe(&cause.scope, &differs, (hour, now));
            let severity = profile.map_or(incident.severity, |profile| profile.severity);
            let incident = Incident { severity, ..incident };
            changes.extend(tell(self.estate.tracker(), &cause, incident, now));
            told.insert(cause.scope);
        }
        let tracker = self.estate.tracker();
        let open = tracker.all_open().map(|(cause, _)| cause);
        let over = open.filter(|cause| cause.rule == RULE && !told.contains(&cause.scope));
        let over: Vec<Cause> = over.cloned().collect();
        for cause in over {
            changes.extend(tracker.quiet(&cause, QUIET_HOURS, now));
        }
        effects.take(changes);
        self.honesty.sides.forget(hour);
    }

    /// Counts what accounts had logged before a restart.
    pub(super) fn recall_sides(&mut self) {
        let Some(closed) = self.honesty.closed_hour else { return };
        for account in self.accounts.values() {
            for (_, series) in account.series.iter().filter(|(number, _)| **number != 0) {
                for hour in closed - EXPORTED_HOURS - KEEP_HOURS..=closed + 1 {
                    let calls = series.calls(hour);
                    if calls > 0 {
                        self.honesty.sides.log((account.id, hour, i64::MIN), calls);
                    }
                }
            }
        }
    }
}

/// Opens the incident or goes on with it; where something that is told says why, it is a part of that.
fn tell(tracker: &mut Tracker, cause: &Cause, incident: Incident, now: ArrivalTime) -> Changes {
    let explains = |(other, tracked): &(&Cause, &Tracked)| {
        let Incident { resource_id, opened_at, .. } = &tracked.incident;
        let is_of_another =
            other.rule == "TW-P10" && resource_id.as_deref().is_some_and(|id| id != cause.scope);
        TOLD_BY.contains(&other.rule) && *opened_at <= now && !is_of_another
    };
    let story = tracker.all_open().find(explains).map(|(other, _)| other.clone());
    let hearing = if story.is_some() { Hearing::Inhibited } else { Hearing::Announce };
    let score = (1.0 - incident.observed / 100.0).abs();
    let sighting = Sighting { incident, score, verdict: Verdict::Closing, hearing };
    let mut changes = tracker.found(cause, sighting);
    if let Some(story) = story {
        changes.extend(tracker.link(&story, cause));
    }
    changes
}

fn describe(resource: &str, differs: &Differs, (hour, now): (i64, ArrivalTime)) -> Incident {
    let profile = table::profile(RULE);
    let Differs { hours, share, bound } = differs;
    let count = i64::try_from(hours.len()).unwrap_or(i64::MAX);
    let is_fewer = share < bound;
    let line = |(back, sides): (i64, &Hour)| {
        format!(
            "hour of {}: {} calls in the logs, {} by metrics",
            EventTime((hour - back) * HOUR_MS),
            Grouped(sides.logged),
            Grouped(sides.metered)
        )
    };
    let mut evidence = vec![format!(
        "the logs of {} hold {:.0} % of the calls that its metrics count, for {count} hours in a row",
        name_of(resource),
        100.0 * share
    )];
    evidence.extend((0..).zip(hours).map(line));
    evidence.push(
        if is_fewer {
            "What is not logged is not watched: neither its tokens nor its callers are known"
        } else {
            "Calls are logged that Azure did not count: rows of another source, or metrics that are lost"
        }
        .to_owned(),
    );
    Incident {
        rule: profile.id.clone(),
        rule_name: profile.name.clone(),
        account: name_of(resource).to_owned(),
        resource_id: Some(resource.to_owned()),
        severity: profile.severity,
        state: State::Open,
        first_window: EventTime((hour - count + 1) * HOUR_MS),
        last_window: EventTime((hour + 1) * HOUR_MS),
        opened_at: now,
        observed: 100.0 * share,
        expected: 100.0,
        bound: 100.0 * bound,
        unit: format!("% of the calls that metrics count in {count} h"),
        evidence,
        response: respond::look_for_silence(resource),
        confidence: 0.8,
        ..Incident::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: u32 = 3;

    /// Hours of calls by logs and metrics, the last of them judged; minutes with points in each.
    #[track_caller]
    fn check(hours: &[(i64, i64)], minutes: i64, expected: Option<f64>) {
        let mut sides = Sides::default();
        for (hour, (logged, metered)) in (100..).zip(hours) {
            sides.log((ACCOUNT, hour, hour), *logged);
            sides.log((ACCOUNT + 1, hour, hour), 7);
            for minute in 0..minutes {
                let count = if minute == 0 { *metered } else { 0 };
                meter(&mut sides, hour, (minute, count), Family::All);
            }
        }
        let last = 99 + i64::try_from(hours.len()).unwrap();
        let found = sides.judge(ACCOUNT, last, table::profile(RULE));
        let share = found.map(|differs| (100.0 * differs.share).round());
        assert_eq!(share, expected, "{hours:?}");
    }

    fn meter(sides: &mut Sides, hour: i64, (minute, count): (i64, i64), family: Family) {
        let start = Minute(hour * 60 + minute);
        let key = PointKey { deployment: 0, start, quantity: Quantity::Requests, family };
        sides.meter(ACCOUNT, &key, count, ArrivalTime(start.start().0 + 240_000));
    }

    #[test]
    fn three_hours_on_one_side_are_told() {
        check(&[(500, 1_000); 3], 60, Some(50.0));
        check(&[(899, 1_000); 3], 60, Some(90.0));
        check(&[(900, 1_000); 3], 60, None);
        check(&[(1_101, 1_000); 3], 60, Some(110.0));
        check(&[(500, 1_000); 2], 60, None);
        check(&[(500, 1_000), (990, 1_000), (500, 1_000)], 60, None);
        check(&[(500, 1_000), (1_500, 1_000), (500, 1_000)], 60, None);
    }

    #[test]
    fn few_calls_and_missing_points_say_nothing() {
        check(&[(40, 99); 3], 60, None);
        // More than metrics count: only where metrics tell of the whole hour.
        check(&[(1_500, 1_000); 3], 53, None);
        check(&[(500, 1_000); 3], 53, Some(50.0));
        // An account that has never logged does not export its logs.
        check(&[(0, 1_000); 3], 60, None);
        check(&[(0, 1_000), (0, 1_000), (500, 1_000)], 60, None);
        check(&[(9, 0), (0, 1_000), (0, 1_000), (0, 1_000)], 60, Some(0.0));
    }

    #[test]
    fn what_arrives_after_the_judgement_does_not_count_and_the_first_telling_does() {
        let mut sides = Sides::default();
        for arrived in [100, 101, 102] {
            sides.log((ACCOUNT, 100, arrived), 50);
        }
        for (family, count) in [(Family::OpenAi, 900), (Family::All, 200), (Family::All, 300)] {
            meter(&mut sides, 100, (0, count), family);
        }
        let hour = sides.hour(ACCOUNT, 100, 102).unwrap();
        assert_eq!((hour.logged, hour.metered, hour.is_whole), (100, 200, false));
        assert_eq!(sides.hour(ACCOUNT, 101, 103), None);
    }
}
