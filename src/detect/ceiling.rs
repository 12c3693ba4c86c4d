//! TW-C04: costs that are never normal, in an hour, in six, and in a day. A baseline can be taught, a
//! ceiling cannot: none of this needs history.
//!
//! With the hour's ceiling H and the day's ceiling D, all in USD:
//!
//! - an hour: the last hour costs at least H;
//! - six hours: they cost at least D/2, twice the pace that D allows;
//! - a day: the last 18 hours and the next six cost at least D, if these go on at the pace of the last six
//!   hours or of the last one, whichever is lower.
//!
//! The two longer ones speak only while the last hour costs at least D/24: they end when the spending
//! does, and not a day later. (Several windows, of which the short one lets a long one end: Site
//! Reliability Workbook, chapter 5.) A projection never reaches further ahead than what it is made of: a
//! burst, however short, is counted on once more and no oftener. So it takes D/2 to be found at all, and a
//! burst that is over is not projected.

use super::outlook::Outlook;
use super::series::{SLOTS_PER_HOUR, Series, Signal, Slot, values};
use super::{DetectSettings, Detector, EARLY_MARGIN, Finding, Judge, Phase, Profile, table};
use crate::money::NanoUsd;

/// Hours at the ceiling of an hour that make a day's, where nothing is said of days: one hour in six.
pub const HOURS_PER_DAY: f64 = 4.0;

/// The hard ceilings of a deployment.
pub struct Ceiling;

/// A ceiling that was reached.
struct Reached {
    observed: f64,
    bound: f64,
    unit: &'static str,
    /// Hours whose expectation stands beside it.
    hours: i64,
    evidence: String,
}

impl Detector for Ceiling {
    fn profile(&self) -> &'static Profile {
        table::profile("TW-C04")
    }

    fn judge(&self, series: &Series, slot: Slot, judge: &Judge<'_>) -> Option<Finding> {
        let margin = if judge.phase == Phase::Open { EARLY_MARGIN } else { 1.0 };
        let mut reached: Vec<Reached> = windows(series, slot, judge.settings)
            .into_iter()
            .filter(|window| window.bound > 0.0 && window.observed >= window.bound * margin)
            .collect();
        reached.sort_by(|a, b| (b.observed / b.bound).total_cmp(&(a.observed / a.bound)));
        let highest = reached.first()?;
        Some(Finding {
            signal: Some(Signal::Cost),
            observed: highest.observed,
            expected: expected(series, slot, highest.hours),
            bound: highest.bound,
            unit: highest.unit.to_owned(),
            score: highest.observed / highest.bound,
            confidence: 0.95,
            evidence: reached.iter().map(|window| window.evidence.clone()).collect(),
        })
    }
}

/// What the three windows hold; nothing of the longer ones where the last hour costs too little.
fn windows(series: &Series, slot: Slot, settings: &DetectSettings) -> Vec<Reached> {
    let per_day = settings.ceiling_usd_per_day;
    let [_, hour, _] = values(series.trailing(slot, SLOTS_PER_HOUR));
    let six = series.spent(slot, 6);
    let said = NanoUsd::from_usd;
    let mut windows = vec![Reached {
        observed: hour,
        bound: settings.ceiling_usd_per_hour,
        unit: "USD in 1 h",
        hours: 1,
        evidence: format!(
            "{} within one hour, above the ceiling of {} that is never learnt away",
            said(hour),
            said(settings.ceiling_usd_per_hour),
        ),
    }];
    if hour < per_day / 24.0 {
        return windows;
    }
    windows.push(Reached {
        observed: six,
        bound: per_day / 2.0,
        unit: "USD in 6 h",
        hours: 6,
        evidence: format!(
            "{} within six hours, above half of the ceiling of {} a day that is never learnt away",
            said(six),
            said(per_day),
        ),
    });
    let past = series.spent(slot, 18);
    let ahead = six.min(6.0 * hour);
    windows.push(Reached {
        observed: past + ahead,
        bound: per_day,
        unit: "USD a projected day",
        hours: 24,
        evidence: format!(
            "{} within 18 hours and, at the pace of the last {}, {} in the next six: above the \
             ceiling of {} a day that is never learnt away",
            said(past),
            if six <= 6.0 * hour { "six hours" } else { "hour" },
            said(ahead),
            said(per_day),
        ),
    });
    windows
}

/// What was expected of the `hours` that end with `slot`, in USD; 0 where nothing is learnt yet.
fn expected(series: &Series, slot: Slot, hours: i64) -> f64 {
    if hours == 1 {
        return series.expected_trailing(slot, SLOTS_PER_HOUR).map_or(0.0, |[_, usd, _]| usd);
    }
    let hour = slot.hour();
    let outlook = Outlook::of_cost(series, hour).filter(|outlook| outlook.learnt);
    outlook.map_or(0.0, |outlook| (hour - hours + 1..=hour).map(|each| outlook.at(each)).sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::rollup::{Amount, Caller, Split};
    use crate::detect::score::Verdict;
    use crate::detect::series::SLOTS_PER_DAY;

    /// A day's first slot.
    const FIRST: i64 = 20_003 * SLOTS_PER_DAY;

    /// What was found in which slot of a series that costs so many USD in each.
    fn found(usd: &[f64], settings: &DetectSettings) -> Vec<(i64, Finding)> {
        let mut series = Series::default();
        let verdict = Verdict::default();
        let (profile, phase) = (Ceiling.profile(), Phase::Closed);
        let judge = Judge { settings, profile, phase, verdict: &verdict, newcomer: None };
        let mut found = Vec::new();
        for (place, usd) in (0..).zip(usd) {
            let slot = Slot(FIRST + place);
            let NanoUsd(cost_nano) = NanoUsd::from_usd(*usd);
            let on_time = Amount { calls: 1, cost_nano, ..Amount::default() };
            series.add(slot.start(), Caller::TOTAL, Split { on_time, late: Amount::default() });
            series.prepare(slot);
            found.extend(Ceiling.judge(&series, slot, &judge).map(|finding| (place, finding)));
            series.forget(slot);
        }
        found
    }

    /// `hours` of so many USD an hour.
    fn steady(hours: usize, usd: f64) -> Vec<f64> {
        vec![usd / 12.0; hours * 12]
    }

    /// First and last slot, and what the first one says.
    #[track_caller]
    fn check(usd: &[f64], slots: (i64, i64), unit: &str) {
        let found = found(usd, &DetectSettings::default());
        let [Some((first, finding)), Some((last, _))] = [found.first(), found.last()] else {
            panic!("nothing found");
        };
        assert_eq!(((*first, *last), finding.unit.as_str()), (slots, unit), "{finding:?}");
        assert!(finding.evidence.iter().all(|e| e.contains("never learnt away")), "{finding:?}");
    }

    #[test]
    fn each_pace_is_found_by_its_window_and_ends_with_the_spending() {
        let stopped = |hours, usd| [steady(hours, usd), steady(24, 0.1)].concat();
        // 20 an hour: 18 hours and six more make 400 after 14 hours. Until the last hour costs 400/24.
        check(&stopped(20, 20.0), (14 * 12 - 1, 20 * 12 + 1), "USD a projected day");
        check(&stopped(20, 17.0), (210, 20 * 12 - 1), "USD a projected day");
        // 45 an hour: both longer windows are reached in the fifth hour.
        check(&stopped(8, 45.0), (53, 8 * 12 + 6), "USD in 6 h");
        check(&stopped(8, 120.0), (9, 8 * 12 + 9), "USD in 1 h");
    }

    #[test]
    fn what_is_over_or_short_or_below_the_pace_of_a_day_is_not_found() {
        let none = |usd: &[f64]| assert_eq!(found(usd, &DetectSettings::default()), []);
        // Ten minutes, a batch at night, both; and every hour of the day below 400/24.
        none(&[steady(6, 0.0), vec![49.0; 2], steady(20, 0.5)].concat());
        none(&[steady(1, 0.0), steady(6, 32.0), steady(20, 0.5)].concat());
        none(&[steady(6, 14.0), vec![40.0; 2], steady(20, 0.5)].concat());
        none(&steady(72, 16.5));
        // Never more than half of the ceiling of a day, however it is spread over six hours.
        none(&[vec![99.0], steady(3, 0.0), vec![99.0], steady(40, 0.0)].concat());
    }

    #[test]
    fn a_burst_that_is_over_is_not_projected() {
        // 264 in 18 hours, 174 of it in the last six, and the last hour costs 17.
        let bursts = [vec![90.0], steady(6, 0.0), vec![70.0], steady(2, 0.0), vec![70.0]].concat();
        let usd = [bursts.clone(), steady(1, 0.0), steady(2, 17.0), steady(24, 0.0)].concat();
        assert_eq!(found(&usd, &DetectSettings::default()), []);
        // It goes on: 18 hours cost 298 after two hours more, and the next six 102.
        let usd = [bursts, steady(1, 0.0), steady(6, 17.0)].concat();
        check(&usd, (158, 182), "USD a projected day");
    }

    #[test]
    fn a_window_counts_as_long_as_it_is() {
        let mut series = Series::default();
        for slot in (0..30 * 12).map(|place| Slot(FIRST + place)) {
            let on_time = Amount { cost_nano: 1_000_000_000, ..Amount::default() };
            series.add(slot.start(), Caller::TOTAL, Split { on_time, late: Amount::default() });
            // What is late is not counted: it would come to a slot that was judged before.
            series.add(
                slot.start(),
                Caller::TOTAL,
                Split { late: on_time, on_time: Amount::default() },
            );
        }
        for place in 25 * 12..30 * 12 {
            for hours in [1, 6, 18, 24] {
                let spent = series.spent(Slot(FIRST + place), hours);
                assert!((spent - 12.0 * NanoUsd(1_000_000_000 * hours).usd()).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn an_open_slot_is_found_a_little_beyond_and_nothing_where_ceilings_are_off() {
        let off = DetectSettings {
            ceiling_usd_per_hour: 0.0,
            ceiling_usd_per_day: 0.0,
            ..DetectSettings::default()
        };
        assert_eq!(found(&steady(30, 500.0), &off), []);
        let day = DetectSettings { ceiling_usd_per_hour: 0.0, ..DetectSettings::default() };
        let mut series = Series::default();
        let verdict = Verdict::default();
        let [closed, open] = [Phase::Closed, Phase::Open].map(|phase| Judge {
            settings: &day,
            profile: Ceiling.profile(),
            phase,
            verdict: &verdict,
            newcomer: None,
        });
        for (place, expected) in [(0, [false; 2]), (1, [true, false]), (2, [true; 2])] {
            let slot = Slot(FIRST + place);
            let cost_nano = if place == 0 { 195_000_000_000 } else { 9_000_000_000 };
            let on_time = Amount { cost_nano, ..Amount::default() };
            series.add(slot.start(), Caller::TOTAL, Split { on_time, late: Amount::default() });
            let found = [&closed, &open].map(|judge| Ceiling.judge(&series, slot, judge).is_some());
            assert_eq!(found, expected, "{place}");
        }
    }
}
