//! Rules about how a deployment is used, beside how much: long answers, prompts no longer found in the
//! cache, use in hours that have none.
//!
//! The [statistical detector](super::statistic) holds inputs, outputs and cached tokens not apart; the sums
//! of the learnt hours do, and are kept for four weeks anyway. So a habit is read from them, at the same
//! expectation by hour and behind the same least money, and nothing more is remembered.

use std::ops::Range;

use super::baseline::{as_float, median};
use super::series::{
    KEEP_HOURS, KEEP_SLOTS, LEARN_LAG_HOURS, SLOT_MIN, SLOTS_PER_HOUR, Series, Signal, Slot, values,
};
use super::statistic::{Excess, span};
use super::{Detector, EARLY_MARGIN, Finding, Judge, Phase, Profile, table};
use crate::aggregate::rollup::Amount;
use crate::money::Grouped;

/// A rule about a habit.
#[derive(Debug)]
pub struct Habit {
    id: &'static str,
    look: fn(&Series, Slot, &Judge<'_>) -> Option<Broken>,
    /// Whether more calls can only raise the score, so that an open slot may be judged.
    fires_early: bool,
}

/// Answers far longer than their prompts usually make them.
pub static OUTPUT: Habit = Habit { id: "TW-C06", look: output, fires_early: false };

/// Prompts that the cache no longer serves.
pub static CACHE: Habit = Habit { id: "TW-C08", look: cache, fires_early: false };

/// Use in an hour of the week that has none.
pub static OFF_HOURS: Habit = Habit { id: "TW-C09", look: off_hours, fires_early: true };

/// A habit that was broken.
struct Broken {
    signal: Option<Signal>,
    observed: f64,
    expected: f64,
    bound: f64,
    unit: String,
    score: f64,
    evidence: String,
    /// What of it is above the habit, per hour.
    excess: Excess,
}

/// Hours with calls that make a habit.
const ENOUGH_HOURS: usize = 24;
/// Smallest spread believed of the logarithm of a ratio, and of a share.
const LEAST_RATIO_SPREAD: f64 = 0.1;
const LEAST_SHARE_SPREAD: f64 = 0.03;
/// Makes the MAD estimate the standard deviation of normal data (1 / Φ⁻¹(3/4); Rousseeuw & Croux 1993).
const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;
/// Calls of a window below which a share says nothing.
const MIN_CALLS: i64 = 20;
/// Calls of the window against those expected that are still as many as ever.
const STABLE: std::ops::RangeInclusive<f64> = 0.5..=2.0;
/// Spreads by which the cached share must have fallen, too.
const FALL_SPREADS: f64 = 3.0;
/// Share of the tokens of a mean day below which an hour has none.
const NEXT_TO_NOTHING: f64 = 0.002;
/// Calls that the quiet hours would hold if calls came at any hour: with fewer, rare calls make an hour
/// quiet by chance.
const CALLS_FOREGONE: f64 = 12.0;
/// Weeks that are compared at most: of the fourth, only a part is kept.
const MAX_WEEKS: i64 = (KEEP_HOURS - 24) / WEEK_HOURS;
/// Hours in a week.
const WEEK_HOURS: i64 = 168;

impl Detector for Habit {
    fn profile(&self) -> &'static Profile {
        table::profile(self.id)
    }

    fn judge(&self, series: &Series, slot: Slot, judge: &Judge<'_>) -> Option<Finding> {
        let is_open = judge.phase == Phase::Open;
        if is_open && !self.fires_early {
            return None;
        }
        let broken = (self.look)(series, slot, judge)?;
        let margin = if is_open { EARLY_MARGIN } else { 1.0 };
        if broken.score < margin || !broken.excess.is_enough(judge.settings) {
            return None;
        }
        let Broken { signal, observed, expected, bound, unit, score, evidence, .. } = broken;
        let (confidence, evidence) = (0.7, vec![evidence]);
        Some(Finding { signal, observed, expected, bound, unit, score, confidence, evidence })
    }
}

/// What is usual of a number that the calls of an hour make.
struct Usual {
    middle: f64,
    spread: f64,
}

impl Usual {
    /// Over the learnt hours in which `of` says something, for a window of so many calls: with fewer than an
    /// hour usually has, chance moves it further. `None` where there are too few hours.
    fn of(
        series: &Series,
        (slot, calls): (Slot, i64),
        of: impl Fn(Amount) -> Option<f64>,
        least: f64,
    ) -> Option<Self> {
        let learnt = series.learnt_amounts(slot);
        let hours: Vec<(f64, f64)> =
            learnt.filter_map(|seen| Some((of(seen)?, as_float(seen.calls)))).collect();
        if hours.len() < ENOUGH_HOURS {
            return None;
        }
        let (mut seen, mut busy): (Vec<f64>, Vec<f64>) = hours.into_iter().unzip();
        let middle = median(&mut seen)?;
        let mut off: Vec<f64> = seen.iter().map(|seen| (seen - middle).abs()).collect();
        let own = (MAD_TO_SIGMA * median(&mut off)?).max(least);
        let fewer = median(&mut busy)? / as_float(calls.max(1));
        Some(Self { middle, spread: own * fewer.max(1.0).sqrt() })
    }
}

/// TW-C06: the ratio of output to input lies far above the usual one, and there is far more output than
/// this hour of the week has.
fn output(series: &Series, slot: Slot, judge: &Judge<'_>) -> Option<Broken> {
    let [z, factor, minutes] =
        ["ratio_z", "output_factor", "minutes"].map(|name| judge.profile.threshold(name));
    let slots = slots_of(minutes);
    let seen = worth_a_look(series, (slot, slots), judge)?;
    let [tokens, _, _] = series.expected_trailing(slot, slots)?;
    let [input, output] = [seen.input, seen.output].map(as_float);
    let usual = Usual::of(series, (slot, seen.calls), ratio, LEAST_RATIO_SPREAD)?;
    let above = ratio(seen)? - usual.middle;
    let times = usual.middle.exp();
    let expected = tokens * times / (1.0 + times);
    let bound = (factor * expected).max(input * (usual.middle + z * usual.spread).exp());
    let usual_for_prompts = input * times;
    let share = (output - expected.max(usual_for_prompts)).max(0.0) / (input + output);
    Some(Broken {
        signal: Some(Signal::Tokens),
        observed: output,
        expected,
        bound,
        unit: format!("generated tokens in {}", span(slots)),
        score: output / bound,
        evidence: format!(
            "{} tokens generated for {} of prompts in {}, {:.1} times as many for a prompt as usual \
             ({:.1} spreads above), where this hour of the week has about {}",
            grouped(output),
            grouped(input),
            span(slots),
            above.exp(),
            above / usual.spread,
            grouped(expected),
        ),
        excess: Excess::share_of(seen, share, slots),
    })
}

/// Logarithm of generated over prompt tokens; `None` where there are none of either.
fn ratio(seen: Amount) -> Option<f64> {
    let is_told = seen.calls > 0 && seen.input > 0 && seen.output > 0;
    is_told.then(|| (as_float(seen.output) / as_float(seen.input)).ln())
}

/// TW-C08: the cached share of prompts has fallen in each hour of the window, while as many calls come as
/// ever. Judged when an hour ends.
fn cache(series: &Series, slot: Slot, judge: &Judge<'_>) -> Option<Broken> {
    let points = judge.profile.threshold("points") / 100.0;
    let slots = slots_of(60.0 * judge.profile.threshold("hours"));
    let seen = worth_a_look(series, (slot, slots), judge)?;
    let now = cached_share(seen)?;
    let ends_hour = slot.end() == Slot::of_hour(slot.hour() + 1).start();
    if !ends_hour || seen.calls < MIN_CALLS || now > 1.0 - points {
        return None;
    }
    let [_, _, calls] = series.expected_trailing(slot, slots)?;
    let usual = Usual::of(series, (slot, seen.calls), cached_share, LEAST_SHARE_SPREAD)?;
    let fall = usual.middle - now;
    let bound = usual.middle - points.max(FALL_SPREADS * usual.spread);
    let hours = (0..slots / SLOTS_PER_HOUR).map(|back| Slot(slot.0 - back * SLOTS_PER_HOUR));
    let mut hours = hours.map(|end| cached_share(series.trailing(end, SLOTS_PER_HOUR)));
    let all_fell = hours.all(|share| share.is_some_and(|share| share <= usual.middle - points));
    if !all_fell || !STABLE.contains(&(as_float(seen.calls) / calls)) {
        return None;
    }
    let percent = |share: f64| 100.0 * share;
    let share = fall * as_float(seen.input) / as_float(seen.tokens().max(1));
    Some(Broken {
        signal: None,
        observed: percent(now),
        expected: percent(usual.middle),
        bound: percent(bound),
        unit: format!("% of prompt tokens cached in {}", span(slots)),
        score: fall / (usual.middle - bound),
        evidence: format!(
            "{:.0} % of {} prompt tokens came from the cache in {}, where {:.0} % usually do; {} calls, \
             where about {} were expected",
            percent(now),
            Grouped(seen.input),
            span(slots),
            percent(usual.middle),
            Grouped(seen.calls),
            grouped(calls),
        ),
        excess: Excess::share_of(seen, share, slots),
    })
}

/// Cached over all prompt tokens; `None` where there are none.
fn cached_share(seen: Amount) -> Option<f64> {
    let is_told = seen.calls > 0 && seen.input > 0;
    is_told.then(|| as_float(seen.cached) / as_float(seen.input))
}

/// TW-C09: tokens in an hour of the week which, like its neighbours, has next to none.
fn off_hours(series: &Series, slot: Slot, judge: &Judge<'_>) -> Option<Broken> {
    let hour = slot.hour();
    let slots = slot.0 - Slot::of_hour(hour).0 + 1;
    let seen = worth_a_look(series, (slot, slots), judge)?;
    let [tokens, _, _] = values(seen);
    let least_weeks = judge.profile.threshold("weeks");
    let weeks = (1..=MAX_WEEKS).find(|weeks| as_float(*weeks) >= least_weeks)?;
    let known = (hour - weeks * WEEK_HOURS)..hour - LEARN_LAG_HOURS + 1;
    if tokens <= 0.0 || series.first_hour? > known.start {
        return None;
    }
    // Clocks change, and people come an hour early.
    let usual = |beside: i64| {
        let hours = (1..=weeks).map(|week| hour + beside - week * WEEK_HOURS);
        let mut tokens: Vec<f64> = hours
            .filter(|each| known.contains(each))
            .map(|each| series.hour(each).first().copied().unwrap_or(0.0))
            .collect();
        median(&mut tokens).unwrap_or(f64::INFINITY)
    };
    let expected = usual(0);
    if expected >= tokens {
        return None;
    }
    let (day_tokens, calls) = per_day(series, known.clone());
    let nothing = NEXT_TO_NOTHING * day_tokens;
    let is_quiet = [-1, 0, 1].into_iter().all(|beside| usual(beside) <= nothing);
    let foregone = calls / 24.0 * 3.0 * as_float(weeks);
    if !is_quiet || foregone < CALLS_FOREGONE {
        return None;
    }
    let bound = (judge.profile.threshold("share_of_day") * day_tokens).max(f64::MIN_POSITIVE);
    Some(Broken {
        signal: Some(Signal::Tokens),
        observed: tokens,
        expected,
        bound,
        unit: "tokens in 1 h".to_owned(),
        score: tokens / bound,
        evidence: format!(
            "{} tokens in an hour of the week that had next to none in the {weeks} weeks before, nor had \
             the hours beside it; a mean day has {}",
            grouped(tokens),
            grouped(day_tokens),
        ),
        excess: Excess::share_of(seen, 1.0, SLOTS_PER_HOUR),
    })
}

/// The sums of a window; `None` where even all of it were too little to speak of, before weeks are read.
fn worth_a_look(series: &Series, (slot, slots): (Slot, i64), judge: &Judge<'_>) -> Option<Amount> {
    let seen = series.trailing(slot, slots);
    Excess::share_of(seen, 1.0, slots).is_enough(judge.settings).then_some(seen)
}

/// Mean tokens and calls of a day.
fn per_day(series: &Series, hours: Range<i64>) -> (f64, f64) {
    let days = as_float(hours.end - hours.start) / 24.0;
    let [tokens, _, calls] = values(series.sum_of_hours(hours));
    (tokens / days, calls / days)
}

/// Slots in so many minutes, as many as are kept at most.
fn slots_of(minutes: f64) -> i64 {
    let is_within = |slots: &i64| as_float(slots * SLOT_MIN) <= minutes;
    (1..=KEEP_SLOTS).take_while(is_within).last().unwrap_or(1)
}

/// A count for people.
#[expect(clippy::cast_possible_truncation, reason = "shown to people; saturates")]
const fn grouped(value: f64) -> Grouped {
    Grouped(value.round() as i64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::rollup::{Caller, Split};
    use crate::detect::DetectSettings;
    use crate::detect::score::Verdict;

    /// Midnight before a Monday.
    const MONDAY: i64 = 20_007 * 24;

    /// Calls, prompt tokens, cached and generated ones of an hour.
    type Hour = [i64; 4];

    /// Hours, counted from the Monday, in which a rule finds something: so many weeks of `usual` before it and
    /// then two days of `changed`.
    fn found(
        habit: &Habit,
        weeks: i64,
        usual: impl Fn(i64) -> Hour,
        changed: impl Fn(i64) -> Hour,
    ) -> Vec<(i64, Finding)> {
        let (settings, verdict) = (DetectSettings::default(), Verdict::default());
        let mut noise = fastrand::Rng::with_seed(3);
        let mut series = Series::default();
        let mut found = Vec::new();
        for hour in MONDAY - weeks * WEEK_HOURS..MONDAY + 48 {
            let place = hour - MONDAY;
            let of_hour = if place < 0 { usual(place) } else { changed(place) };
            for slot in (0..SLOTS_PER_HOUR).map(|part| Slot(hour * SLOTS_PER_HOUR + part)) {
                let [calls, input, cached, output] =
                    of_hour.map(|count| count * noise.i64(90..110) / 100 / SLOTS_PER_HOUR);
                let cost_nano = input * 2_500 + output * 10_000;
                let on_time =
                    Amount { calls, input, cached, output, cost_nano, ..Amount::default() };
                if on_time != Amount::default() {
                    let split = Split { on_time, late: Amount::default() };
                    series.add(slot.start(), Caller::TOTAL, split);
                }
                series.prepare(slot);
                for phase in [Phase::Open, Phase::Closed] {
                    let (settings, profile) = (&settings, habit.profile());
                    let judge =
                        Judge { settings, profile, phase, verdict: &verdict, newcomer: None };
                    let finding = habit.judge(&series, slot, &judge);
                    found.extend(finding.map(|finding| (place, finding)));
                }
                series.forget(slot);
            }
        }
        found
    }

    #[track_caller]
    fn check(
        habit: &Habit,
        usual: impl Fn(i64) -> Hour,
        changed: impl Fn(i64) -> Hour,
        hours: Option<(i64, i64)>,
    ) {
        let found = found(habit, 5, usual, changed);
        let span = found.first().zip(found.last()).map(|((first, _), (last, _))| (*first, *last));
        assert_eq!(span, hours, "{:?}", found.first());
        assert!(found.iter().all(|(_, finding)| finding.score >= 1.0));
    }

    fn steady(_: i64) -> Hour {
        [120, 2_400_000, 1_200_000, 240_000]
    }

    #[test]
    fn answers_far_longer_than_usual_are_found_once_there_are_many() {
        let long = |hour: i64| {
            if (10..14).contains(&hour) { [120, 2_400_000, 0, 3_600_000] } else { steady(hour) }
        };
        check(&OUTPUT, steady, long, Some((10, 14)));
        // Longer prompts have longer answers; and few of them are not worth a word.
        let more =
            |hour: i64| if hour > 9 { steady(hour).map(|count| count * 9) } else { steady(hour) };
        check(&OUTPUT, steady, more, None);
        check(&OUTPUT, |_| [120, 2_400, 0, 240], |_| [120, 2_400, 0, 9_600], None);
        check(&OUTPUT, steady, |_| [12, 40_000, 0, 240_000], None);
        check(&OUTPUT, steady, steady, None);
    }

    #[test]
    fn a_habit_needs_a_past() {
        let long = |_| [120, 2_400_000, 0, 9_600_000];
        assert!(found(&OUTPUT, 0, steady, long).is_empty());
        assert!(!found(&OUTPUT, 1, steady, long).is_empty());
        let night = |hour: i64| if hour.rem_euclid(24) < 8 { [0; 4] } else { steady(hour) };
        assert!(found(&OFF_HOURS, 2, night, steady).is_empty());
    }

    #[test]
    fn a_cache_that_fails_is_found_after_two_hours_of_as_many_calls() {
        let cold = |hour: i64| {
            let [calls, input, _, output] = steady(hour);
            let is_cold = (10..20).contains(&hour);
            if is_cold { [calls, input, input / 10, output] } else { steady(hour) }
        };
        let found = found(&CACHE, 5, steady, cold);
        assert_eq!(found.first().map(|(hour, _)| *hour), Some(11), "{found:?}");
        // Four times the calls are somebody else's, and told elsewhere.
        let flood = |hour: i64| {
            let times = if (10..20).contains(&hour) { 4 } else { 1 };
            cold(hour).map(|count| count * times)
        };
        check(&CACHE, steady, flood, None);
        let warm = |hour: i64| {
            let [calls, input, _, output] = steady(hour);
            [calls, input, input * 3 / 10, output]
        };
        check(&CACHE, steady, warm, None);
        // Hours that differ by as much all the time have no share of their own.
        let wild = |hour: i64| {
            let [calls, input, _, output] = steady(hour);
            [calls, input, input * (hour.rem_euclid(5)) / 5, output]
        };
        check(&CACHE, wild, cold, None);
    }

    #[test]
    fn use_at_night_is_found_where_nights_have_none() {
        let office = |hour: i64| {
            let works = hour.div_euclid(24).rem_euclid(7) < 5;
            if works && (8..18).contains(&hour.rem_euclid(24)) { steady(hour) } else { [0; 4] }
        };
        let night = |hour: i64| if (2..5).contains(&hour) { steady(hour) } else { office(hour) };
        check(&OFF_HOURS, office, night, Some((2, 4)));
        // An hour late is no night, nor is a call or two.
        let late = |hour: i64| if hour == 18 { steady(hour) } else { office(hour) };
        check(&OFF_HOURS, office, late, None);
        let little = |hour: i64| {
            if hour == 3 { steady(hour).map(|count| count / 10) } else { office(hour) }
        };
        check(&OFF_HOURS, office, little, None);
        let weekly = |hour: i64| {
            if hour.rem_euclid(WEEK_HOURS) == 3 { steady(hour) } else { office(hour) }
        };
        check(&OFF_HOURS, weekly, weekly, None);
    }

    #[test]
    fn who_is_seldom_called_has_no_hours() {
        let rare = |hour: i64| {
            if hour.rem_euclid(37) == 0 { [12, 2_400_000, 0, 240_000] } else { [0; 4] }
        };
        check(&OFF_HOURS, |hour| rare(hour).map(|count| count / 12 * 12), rare, None);
    }
}
