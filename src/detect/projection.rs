//! TW-C02: a day that will cost far more than such a day costs, judged when an hour ends.
//!
//! The day is the last 18 hours and the next six. What it should cost is the [`Outlook`] of the hour with
//! which it began, so that what happens within it does not raise what is expected of it. The next six
//! hours cost what they should, and once more what the last six cost too much, or six times what the last
//! one did, whichever is lower: like the day of a [ceiling](super::ceiling), a projection never reaches
//! further ahead than what it is made of. Nothing is said once the last hour costs what it should, nor
//! before every hour of the week is known: new deployments are a rule's of their own
//! ([TW-C10](super::newcomer)), and a ceiling needs no history.

use super::baseline::as_float;
use super::outlook::Outlook;
use super::series::{Series, Signal, Slot};
use super::{Detector, Finding, Judge, Phase, Profile, table};
use crate::money::NanoUsd;

/// Hours of the day that are past, and that are to come.
const PAST_HOURS: i64 = 18;
const AHEAD_HOURS: i64 = 6;

/// The projected cost of a day against what such a day costs.
pub struct Projection;

/// A day, in USD.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Day {
    past: f64,
    ahead: f64,
    expected: f64,
    /// What the last hour cost above what was expected of it.
    last_hour_excess: f64,
}

impl Detector for Projection {
    fn profile(&self) -> &'static Profile {
        table::profile("TW-C02")
    }

    fn judge(&self, series: &Series, slot: Slot, judge: &Judge<'_>) -> Option<Finding> {
        let [factor, min_excess] =
            ["factor", "min_excess_usd"].map(|name| judge.profile.threshold(name));
        let ends_hour = slot.end() == Slot::of_hour(slot.hour() + 1).start();
        // An hour that costs less than its part of the least excess has not that excess either.
        let least = min_excess / 24.0;
        if judge.phase == Phase::Open || !ends_hour || series.spent(slot, 1) < least {
            return None;
        }
        let day = Day::of(series, slot)?;
        let Day { past, ahead, expected, .. } = day;
        let (observed, bound) = (past + ahead, (factor * expected).max(expected + min_excess));
        if observed < bound || day.last_hour_excess < least {
            return None;
        }
        let said = NanoUsd::from_usd;
        Some(Finding {
            signal: Some(Signal::Cost),
            observed,
            expected,
            bound,
            unit: "USD a projected day".to_owned(),
            score: observed / bound,
            confidence: 0.8,
            evidence: vec![format!(
                "{} within {PAST_HOURS} hours and, as they went last, {} in the next {AHEAD_HOURS}, \
                 where such a day costs about {}",
                said(past),
                said(ahead),
                said(expected),
            )],
        })
    }
}

impl Day {
    /// The day of which `slot` ends the past; `None` before every hour of the week is known.
    fn of(series: &Series, slot: Slot) -> Option<Self> {
        let hour = slot.hour();
        let outlook = Outlook::of_cost(series, hour - PAST_HOURS + 1)?;
        if !outlook.knows_weeks() {
            return None;
        }
        let usual = |hours: std::ops::RangeInclusive<i64>| -> f64 {
            hours.map(|each| outlook.at(each)).sum()
        };
        let past = series.spent(slot, PAST_HOURS);
        let last_hour_excess = series.spent(slot, 1) - outlook.at(hour);
        let lately = series.spent(slot, AHEAD_HOURS) - usual(hour - AHEAD_HOURS + 1..=hour);
        let goes_on = lately.min(as_float(AHEAD_HOURS) * last_hour_excess).max(0.0);
        let coming = usual(hour + 1..=hour + AHEAD_HOURS);
        Some(Self {
            past,
            ahead: coming + goes_on,
            expected: usual(hour - PAST_HOURS + 1..=hour) + coming,
            last_hour_excess,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::rollup::{Amount, Caller, Split};
    use crate::detect::DetectSettings;
    use crate::detect::score::Verdict;
    use crate::detect::series::SLOTS_PER_HOUR;

    /// Midnight before a Monday.
    const MONDAY: i64 = 20_007 * 24;

    /// 1 USD an hour on weekdays, next to nothing at weekends.
    fn usual(hour: i64) -> f64 {
        if (hour - MONDAY).div_euclid(24).rem_euclid(7) < 5 { 1.0 } else { 0.05 }
    }

    /// Hours, counted from the Monday, at whose end something is found: `days` of the rhythm and then what
    /// `cost` makes of it.
    fn found(days: i64, cost: impl Fn(i64) -> f64) -> Vec<(i64, Finding)> {
        let (settings, verdict) = (DetectSettings::default(), Verdict::default());
        let mut series = Series::default();
        let mut found = Vec::new();
        for hour in MONDAY - days * 24..MONDAY + 48 {
            let usd = if hour < MONDAY { usual(hour) } else { cost(hour - MONDAY) };
            for slot in (0..SLOTS_PER_HOUR).map(|place| Slot(hour * SLOTS_PER_HOUR + place)) {
                let NanoUsd(cost_nano) = NanoUsd::from_usd(usd / as_float(SLOTS_PER_HOUR));
                let on_time = Amount { calls: 1, cost_nano, ..Amount::default() };
                let split = Split { on_time, late: Amount::default() };
                series.add(slot.start(), Caller::TOTAL, split);
                for phase in [Phase::Open, Phase::Closed] {
                    let (settings, profile) = (&settings, Projection.profile());
                    let judge =
                        Judge { settings, profile, phase, verdict: &verdict, newcomer: None };
                    let finding = Projection.judge(&series, slot, &judge);
                    found.extend(finding.map(|finding| (hour - MONDAY, finding)));
                }
                series.forget(slot);
            }
        }
        found
    }

    #[track_caller]
    fn check(days: i64, cost: impl Fn(i64) -> f64, hours: Option<(i64, i64)>) -> Vec<Finding> {
        let found = found(days, cost);
        let span = found.first().zip(found.last()).map(|((first, _), (last, _))| (*first, *last));
        assert_eq!(span, hours, "{found:?}");
        found.into_iter().map(|(_, finding)| finding).collect()
    }

    #[test]
    fn a_day_that_runs_away_is_found_by_noon_and_told_until_it_stops() {
        // 11 USD an hour from six on: 10 too much, as much again ahead, so 50 after three hours.
        let told =
            check(21, |hour| if (6..16).contains(&hour) { 11.0 } else { 1.0 }, Some((8, 15)));
        assert!(told.iter().all(|finding| finding.observed >= finding.bound), "{told:?}");
        // A theft that goes on for two days is not taken for what such days cost.
        check(21, |hour| if hour >= 6 { 9.0 } else { 1.0 }, Some((9, 47)));
    }

    #[test]
    fn a_usual_week_and_a_burst_that_is_over_are_not_found() {
        check(21, |_| 1.0, None);
        check(9, |_| 1.0, None);
        check(21, |hour| if hour == 6 { 22.0 } else { 1.0 }, None);
        // Twice as much, but less than 50 USD more.
        check(21, |_| 2.9, None);
        // Fifty more, but far less than twice.
        check(21, |hour| if hour < 1 { 1.0 } else { 1.9 }, None);
    }

    #[test]
    fn a_short_history_says_nothing() {
        check(5, |_| 30.0, None);
        assert!(!found(9, |_| 30.0).is_empty());
    }

    #[test]
    fn a_day_is_what_it_is_made_of() {
        let mut series = Series::default();
        for hour in MONDAY - 21 * 24..MONDAY + 18 {
            let NanoUsd(cost_nano) = NanoUsd::from_usd(if hour < MONDAY { 1.0 } else { 3.0 });
            let on_time = Amount { calls: 1, cost_nano, ..Amount::default() };
            let slot = Slot::of_hour(hour);
            let split = Split { on_time, late: Amount::default() };
            series.add(slot.start(), Caller::TOTAL, split);
        }
        let day = Day::of(&series, Slot((MONDAY + 18) * SLOTS_PER_HOUR - 1)).unwrap();
        let Day { past, ahead, expected, last_hour_excess } = day;
        let off = [(past, 54.0), (ahead, 18.0), (expected, 24.0), (last_hour_excess, 2.0)]
            .map(|(is, wanted)| f64::abs(is - wanted));
        assert!(off.iter().all(|off| *off < 1e-6), "{day:?}");
    }
}
