//! What the coming hours are expected to bring, from the same profile and level that a slot is judged
//! by ([`baseline`](super::baseline)), continued for as long as is asked.

use std::ops::Range;

use super::baseline::{
    LEVEL_CLIP, LEVEL_HOURS, LEVEL_SHARE, MIN_LEARNT_HOURS, WEEK_HOURS, WEEKLY_FROM_HOURS,
    as_float, median, robust_centre,
};
use super::series::{KEEP_HOURS, LEARN_LAG_HOURS, Series, Signal};

/// Sums by hour, and since when there have been any.
pub struct History<'a> {
    /// The sum of an hour (hours since 1970), in the unit of the caller; 0 where nothing happened.
    pub hour: &'a dyn Fn(i64) -> f64,
    /// The first hour with anything in it.
    pub first: i64,
}

/// What each hour after the learnt ones is expected to bring.
#[derive(Debug, Clone, PartialEq)]
pub struct Outlook {
    /// Hour of the first value.
    first: i64,
    /// A week of values or, with little history, a day; one value where there is no profile yet.
    cycle: Vec<f64>,
    /// True when `cycle` is a profile and not the mean of what was seen.
    pub learnt: bool,
}

impl Outlook {
    /// From what was learnt when `hour` began; `None` where nothing was.
    #[must_use]
    pub fn of(history: &History<'_>, hour: i64) -> Option<Self> {
        let learnt = history.learnt(hour);
        let count = learnt.end - learnt.start;
        if count <= 0 {
            return None;
        }
        if count < MIN_LEARNT_HOURS {
            let sum: f64 = learnt.map(history.hour).sum();
            let cycle = vec![(sum / as_float(count)).max(0.0)];
            return Some(Self { first: hour, cycle, learnt: false });
        }
        let (period, _) = season(count);
        let level = (LEVEL_SHARE * history.level(hour)).exp();
        let first = learnt.end;
        let values = (first..first + period).map(|each| level * history.profile(each, &learnt));
        Some(Self { first, cycle: values.collect(), learnt: true })
    }

    /// From what a deployment has cost, in USD, at the levels that people have accepted.
    #[must_use]
    pub fn of_cost(series: &Series, hour: i64) -> Option<Self> {
        let value = |each: i64| {
            let heeded = series.heeded(each, hour).unwrap_or_else(|| series.hour(each));
            heeded.get(Signal::Cost as usize).copied().unwrap_or(0.0)
        };
        Self::of(&History { hour: &value, first: series.first_hour? }, hour)
    }

    /// Whether every hour of the week has been seen: a day is not held against the day before it alone.
    #[must_use]
    pub const fn knows_weeks(&self) -> bool {
        self.learnt && self.cycle.len() > 24
    }

    /// What is expected of an hour, at today's level; never negative.
    #[must_use]
    pub fn at(&self, hour: i64) -> f64 {
        let length = i64::try_from(self.cycle.len()).unwrap_or(1).max(1);
        let place = usize::try_from((hour - self.first).rem_euclid(length)).unwrap_or(0);
        self.cycle.get(place).copied().unwrap_or(0.0).max(0.0)
    }
}

/// Length of the season in hours, and how many of them are looked back.
const fn season(learnt_hours: i64) -> (i64, i64) {
    if learnt_hours >= WEEKLY_FROM_HOURS { (WEEK_HOURS, 3) } else { (24, 7) }
}

impl History<'_> {
    /// Hours that were complete when `hour` began.
    fn learnt(&self, hour: i64) -> Range<i64> {
        let end = hour - LEARN_LAG_HOURS + 1;
        let start = self.first.max(end - KEEP_HOURS);
        start..end.max(start)
    }

    /// The usual value of `hour`, of which nothing but `learnt` is known.
    fn profile(&self, hour: i64, learnt: &Range<i64>) -> f64 {
        let (period, back) = season(learnt.end - learnt.start);
        let centres = (1..=back).map(|step| hour - step * period);
        let near = centres.flat_map(|centre| centre - 1..=centre + 1);
        let mut pool: Vec<f64> = near.filter(|at| learnt.contains(at)).map(self.hour).collect();
        robust_centre(&mut pool)
    }

    /// Logarithm of how far the last two learnt days lie from their profile.
    fn level(&self, hour: i64) -> f64 {
        let end = hour - LEARN_LAG_HOURS + 1;
        let start = (end - LEVEL_HOURS).max(self.first + 24);
        let mean = self.usual(hour);
        let (mut seen, mut known) = (0.0, 0.0);
        for each in start..end {
            let profile = self.profile(each, &self.learnt(each));
            seen += (self.hour)(each).min(6.0 * profile + mean);
            known += profile;
        }
        let ratio: f64 = (seen + 6.0 * mean) / (known + 6.0 * mean);
        if ratio > 0.0 { ratio.ln().clamp(-LEVEL_CLIP, LEVEL_CLIP) } else { 0.0 }
    }

    /// Usual amount per hour: the larger of the median and half the mean of the daily means of the
    /// last two weeks.
    fn usual(&self, hour: i64) -> f64 {
        let learnt = self.learnt(hour);
        let days = ((learnt.end - learnt.start) / 24).min(14);
        let ends = (0..days).map(|day| learnt.end - day * 24);
        let mut daily: Vec<f64> =
            ends.map(|end| (end - 24..end).map(self.hour).sum::<f64>() / 24.0).collect();
        let mean = daily.iter().sum::<f64>() / as_float(days.max(1));
        median(&mut daily).unwrap_or(0.0).max(0.5 * mean)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::rollup::{Amount, Caller, Split};
    use crate::detect::series::{SLOTS_PER_HOUR, Slot};
    use crate::money::NanoUsd;

    /// 1 USD by night, 5 by day, nothing on Sundays (1970 began on a Thursday).
    fn rhythm(hour: i64) -> f64 {
        match (hour.rem_euclid(24), (hour.div_euclid(24) + 4).rem_euclid(7)) {
            (_, 0) => 0.0,
            (8..=17, _) => 5.0,
            _ => 1.0,
        }
    }

    #[test]
    fn a_steady_rhythm_goes_on() {
        let history = History { hour: &rhythm, first: 0 };
        let now = 28 * 24 + 5;
        let outlook = Outlook::of(&history, now).unwrap();
        assert!(outlook.learnt);
        let (expected, truth) = (now..now + 30 * 24)
            .fold((0.0, 0.0), |(e, t), hour| (e + outlook.at(hour), t + rhythm(hour)));
        assert!((expected / truth - 1.0).abs() < 0.05, "{expected} of {truth}");
    }

    #[test]
    fn the_future_is_not_read() {
        let now = 500;
        let outlook = |later: f64| {
            let hour = move |hour: i64| if hour > now - 5 { later } else { rhythm(hour) };
            Outlook::of(&History { hour: &hour, first: 0 }, now).unwrap()
        };
        assert_eq!(outlook(0.0), outlook(1e6));
    }

    #[test]
    fn before_three_days_the_mean_is_taken_and_said() {
        let history = History { hour: &|hour| if hour < 10 { 2.0 } else { 4.0 }, first: 0 };
        let outlook = Outlook::of(&history, 24).unwrap();
        assert!(!outlook.learnt);
        assert!((outlook.at(24) - (20.0 + 40.0) / 20.0).abs() < 1e-9, "{}", outlook.at(24));
        assert!((outlook.at(24) - outlook.at(999)).abs() < 1e-12);
        assert_eq!(Outlook::of(&history, 3), None);
    }

    #[test]
    fn it_expects_what_a_slot_is_judged_by() {
        let mut series = Series::default();
        for hour in 0..20 * 24 {
            let on_time = Amount {
                cost_nano: NanoUsd::from_usd(rhythm(hour)).0,
                calls: 1,
                ..Amount::default()
            };
            let split = Split { on_time, late: Amount::default() };
            series.add(Slot(hour * SLOTS_PER_HOUR).start(), Caller::TOTAL, split);
        }
        let now = 20 * 24;
        let slots = (now * SLOTS_PER_HOUR..(now + 1) * SLOTS_PER_HOUR).map(Slot);
        series.prepare(Slot(now * SLOTS_PER_HOUR));
        let judged: f64 = slots.map(|slot| series.expected(slot).unwrap()[1]).sum();
        let outlook = Outlook::of_cost(&series, now).unwrap().at(now);
        assert!((judged / outlook - 1.0).abs() < 0.15, "{judged} and {outlook}");
    }
}
