//! The seasonal baseline: what each hour of the week usually brings, at the level of the last days.

use std::collections::BTreeMap;
use std::ops::Range;

use super::series::{LEARN_LAG_HOURS, SLOTS_PER_HOUR, Series, Slot, Values};
use crate::action::Feedback;

/// Hours in a week.
pub(super) const WEEK_HOURS: i64 = 168;
/// Learnt hours below which nothing is expected: three days.
pub(super) const MIN_LEARNT_HOURS: i64 = 72;
/// Learnt hours from which the hour of the week is used rather than the hour of the day.
pub(super) const WEEKLY_FROM_HOURS: i64 = 8 * 24;
/// Hours the level is taken over.
pub(super) const LEVEL_HOURS: i64 = 48;
/// The level follows at most by this factor either way (e^1.6 ≈ 5).
pub(super) const LEVEL_CLIP: f64 = 1.6;
/// Share of the (logarithmic) level applied; 0.8 scored best on the development series.
pub(super) const LEVEL_SHARE: f64 = 0.8;

/// Expected values by hour, computed once and never again: an expectation that could still change
/// would let the future into a past score.
#[derive(Debug, Clone, Default)]
pub struct Cache {
    profile: BTreeMap<i64, Values>,
    level: BTreeMap<i64, Values>,
}

impl Cache {
    /// Computes what [`Cache::slot`] needs for `slot` and the four hours before it.
    pub fn prepare(&mut self, series: &Series, slot: Slot) {
        let hour = slot.hour();
        if self.level.contains_key(&hour) || !enough(series, hour) {
            return;
        }
        for each in hour - 5..=hour {
            if !self.level.contains_key(&each) && enough(series, each) {
                let level = self.level_of(series, each);
                self.level.insert(each, level);
            }
        }
        for each in hour - 6..=hour + 1 {
            self.profile_of(series, each);
        }
    }

    /// Computes what [`Cache::slot`] needs for all of `hours`, for people: no score reads that far back.
    pub fn look_back(&mut self, series: &Series, hours: Range<i64>) {
        for hour in hours.clone() {
            if !self.level.contains_key(&hour) && enough(series, hour) {
                let level = self.level_of(series, hour);
                self.level.insert(hour, level);
            }
        }
        for hour in hours.start - 1..=hours.end {
            self.profile_of(series, hour);
        }
    }

    /// What is expected of `slot`; `None` where nothing is.
    #[must_use]
    pub fn slot(&self, slot: Slot) -> Option<Values> {
        let hour = slot.hour();
        let level = self.level.get(&hour)?;
        // Straight lines between the centres of the hours.
        let place = as_float(slot.0 - hour * SLOTS_PER_HOUR) + 0.5;
        let offset = place / as_float(SLOTS_PER_HOUR) - 0.5;
        let neighbour = if offset < 0.0 { hour - 1 } else { hour + 1 };
        let (here, there) = (self.profile.get(&hour)?, self.profile.get(&neighbour)?);
        let weight = offset.abs();
        Some(std::array::from_fn(|signal| {
            let of = |values: &Values| values.get(signal).copied().unwrap_or(0.0);
            let hourly = of(here) * (1.0 - weight) + of(there) * weight;
            hourly * (LEVEL_SHARE * of(level)).exp() / as_float(SLOTS_PER_HOUR)
        }))
    }

    /// Drops what no window will ask for again.
    pub fn forget(&mut self, closed: Slot) {
        let oldest = closed.hour() - LEVEL_HOURS - LEARN_LAG_HOURS - 2;
        self.profile = self.profile.split_off(&oldest);
        self.level = self.level.split_off(&oldest);
    }

    /// Usual values of `hour`: 0.7 median + 0.3 min(mean, 2 median) of the same hour and its two
    /// neighbours in the three weeks (or, with little history, the seven days) before.
    fn profile_of(&mut self, series: &Series, hour: i64) -> Values {
        if let Some(known) = self.profile.get(&hour) {
            return *known;
        }
        // Only hours learnt when `hour` begins are read, whenever this runs.
        let learnt = series.learnt(Slot(hour * SLOTS_PER_HOUR));
        let history = learnt.end - learnt.start;
        let (period, back) = if history >= WEEKLY_FROM_HOURS { (WEEK_HOURS, 3) } else { (24, 7) };
        let mut pool: Vec<Values> = Vec::with_capacity(21);
        for step in 1..=back {
            let centre = hour - step * period;
            let near = (centre - 1..=centre + 1).filter(|each| learnt.contains(each));
            pool.extend(near.filter_map(|each| series.heeded(each, hour)));
        }
        let values = std::array::from_fn(|signal| {
            let mut column: Vec<f64> =
                pool.iter().filter_map(|values| values.get(signal).copied()).collect();
            robust_centre(&mut column)
        });
        self.profile.insert(hour, values);
        values
    }

    /// Usual values of `each` as an expectation for `hour` would have them: at the levels that have
    /// been accepted in between.
    fn at_levels(&mut self, series: &Series, (each, hour): (i64, i64)) -> Values {
        let between = series.lessons.iter().filter(|lesson| {
            lesson.feedback == Feedback::NewNormal && (each + 1..=hour).contains(&lesson.known_from)
        });
        between.fold(self.profile_of(series, each), |values, lesson| {
            std::array::from_fn(|signal| {
                let of = |values: &Values| values.get(signal).copied().unwrap_or(0.0);
                of(&values) * of(&lesson.level)
            })
        })
    }

    /// Logarithm of how far the last two learnt days lie from their profile.
    fn level_of(&mut self, series: &Series, hour: i64) -> Values {
        let end = hour - LEARN_LAG_HOURS + 1;
        let start = (end - LEVEL_HOURS).max(series.first_hour.unwrap_or(end) + 24);
        let heeded = (start..end).filter_map(|each| Some((each, series.heeded(each, hour)?)));
        let pairs: Vec<(Values, Values)> =
            heeded.map(|(each, seen)| (seen, self.at_levels(series, (each, hour)))).collect();
        let usual = usual(series, hour);
        std::array::from_fn(|signal| {
            let of = |values: &Values| values.get(signal).copied().unwrap_or(0.0);
            let mean = of(&usual) * as_float(SLOTS_PER_HOUR);
            let seen: f64 = pairs.iter().map(|(h, e)| of(h).min(6.0 * of(e) + mean)).sum();
            let known: f64 = pairs.iter().map(|(_, e)| of(e)).sum();
            let ratio = (seen + 6.0 * mean) / (known + 6.0 * mean);
            if ratio > 0.0 { ratio.ln().clamp(-LEVEL_CLIP, LEVEL_CLIP) } else { 0.0 }
        })
    }
}

fn enough(series: &Series, hour: i64) -> bool {
    let learnt = series.learnt(Slot(hour * SLOTS_PER_HOUR));
    learnt.end - learnt.start >= MIN_LEARNT_HOURS
}

/// Usual amount per slot: the larger of the median and half the mean of the daily means of the
/// last two weeks.
fn usual(series: &Series, hour: i64) -> Values {
    let learnt = series.learnt(Slot(hour * SLOTS_PER_HOUR));
    let days = ((learnt.end - learnt.start) / 24).min(14);
    let daily: Vec<Values> = (0..days)
        .map(|day| {
            let end = learnt.end - day * 24;
            let heeded: Vec<Values> =
                (end - 24..end).filter_map(|each| series.heeded(each, hour)).collect();
            let hours = i64::try_from(heeded.len()).unwrap_or(24).max(1);
            // Hours left out count as the mean of the others; a whole day is not touched.
            let whole = 24.0 / as_float(hours);
            heeded.iter().fold([0.0; 3], |sum, values| {
                std::array::from_fn(|signal| {
                    let of = |values: &Values| values.get(signal).copied().unwrap_or(0.0);
                    of(&sum) + of(values) / 24.0 * whole
                })
            })
        })
        .collect();
    std::array::from_fn(|signal| {
        let mut column: Vec<f64> =
            daily.iter().filter_map(|values| values.get(signal).copied()).collect();
        let mean = column.iter().sum::<f64>() / as_float(days.max(1));
        median(&mut column).unwrap_or(0.0).max(0.5 * mean) / as_float(SLOTS_PER_HOUR)
    })
}

/// 0.7 median + 0.3 min(mean, 2 median); the mean where the median is zero; zero of nothing.
pub(super) fn robust_centre(values: &mut [f64]) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let mean = values.iter().sum::<f64>() / count_as_float(values.len());
    match median(values) {
        Some(median) if median > 0.0 => 0.7 * median + 0.3 * mean.min(2.0 * median),
        _ => mean,
    }
}

/// The middle value, or the mean of the two in the middle.
pub(super) fn median(values: &mut [f64]) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let (low, high) = (values.len().checked_sub(1)? / 2, values.len() / 2);
    Some(f64::midpoint(*values.get(low)?, *values.get(high)?))
}

/// Small counts as floats.
#[expect(clippy::cast_precision_loss, reason = "counts of hours and slots are far below 2⁵³")]
pub const fn as_float(count: i64) -> f64 {
    count as f64
}

/// The same of what is held in memory.
#[expect(clippy::cast_precision_loss, reason = "nothing in memory is as many as 2⁵³")]
pub const fn count_as_float(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_centre_resists_outliers() {
        let centre = robust_centre(&mut [10.0, 10.0, 10.0, 10.0, 1000.0]);
        assert!((10.0..=13.1).contains(&centre), "{centre}");
        assert!(robust_centre(&mut [0.0, 0.0, 0.0, 9.0]) > 2.0);
        assert!(robust_centre(&mut []).abs() < f64::EPSILON);
    }
}
