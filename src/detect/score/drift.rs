//! What creeps: two days against the same two days of the weeks before.
//!
//! An hour can hide thirty per cent more, two days cannot. The scale is the deployment's own: how far its days
//! usually lie from the same days a week before.

use super::observed::Grid;
use super::signal::Signal;
use super::statistics::{MAD_TO_SIGMA, log_ratio, median};
use crate::detect::baseline::as_float;

/// Days that are compared.
const DAYS: i64 = 2;
/// Weeks they are compared with: the middle one of three, so that one holiday changes nothing.
const WEEKS: i64 = 3;
/// Days whose distance from the same day of the week before makes the scale, the newest left out.
const SCALE_DAYS: std::ops::Range<i64> = 3..17;
/// Distances needed.
const ENOUGH: usize = 5;
/// What five such days are assumed to have been: 12 %.
const PRIOR: (f64, f64) = (5.0, 0.12);

/// What drift is judged by.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Drift {
    /// Calls of the last two days.
    pub seen: f64,
    /// Of the same two days before.
    pub usual: f64,
    /// What keeps the ratio of little quiet.
    pub floor: f64,
    /// One standard deviation of a day's log ratio.
    pub sigma: f64,
}

impl Drift {
    /// When an hour has just been filled by `hour` calls; `None` with less than three weeks of history.
    pub(super) fn of(calls: &Signal, hour: f64, grid: Grid) -> Option<Self> {
        let (learnt, day) = (calls.learnt(), grid.hours_per_day());
        let (end, week) = (learnt.next(), 7 * day);
        let an_hour = calls.usual() * as_float(grid.per_hour());
        let span = DAYS * day - 1;
        let before = (1..=WEEKS).map(|back| (end - span - back * week, end + 1 - back * week));
        let mut before: Vec<f64> = before
            .filter(|(from, _)| *from >= learnt.oldest())
            .map(|(from, to)| learnt.sum(from, to))
            .collect();
        if before.len() < 2 {
            return None;
        }
        let usual = match *before.as_slice() {
            [one, other] => one.max(other),
            _ => median(&mut before),
        };
        let days = SCALE_DAYS.map(|back| end - back * day);
        let known = days.filter(|to| to - day - week >= learnt.oldest());
        let mut apart: Vec<f64> = known
            .map(|to| {
                let [one, other] = [to, to - week].map(|to| learnt.sum(to - day, to));
                log_ratio(one, other, an_hour)
            })
            .collect();
        if apart.len() < ENOUGH {
            return None;
        }
        let (weight, prior) = PRIOR;
        let count = as_float(i64::try_from(apart.len()).unwrap_or(1));
        // What all of them have in common is growth, not restlessness.
        let common = median(&mut apart);
        apart.iter_mut().for_each(|each| *each = (*each - common).abs());
        let own = MAD_TO_SIGMA * median(&mut apart);
        let variance = (own * own * count + prior * prior * weight) / (count + weight);
        let seen = learnt.sum(end - span, end) + hour;
        let floor = an_hour * as_float(DAYS);
        Some(Self { seen, usual, floor, sigma: variance.sqrt() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found when as many days end, with calls of a slot by day.
    fn found(days: i64, calls: impl Fn(i64) -> f64) -> Option<Drift> {
        let grid = Grid::FIVE_MINUTES;
        let mut signal = Signal::new(grid, 0.3);
        for hour in 0..days * 24 - 1 {
            (0..12).for_each(|_| signal.push(calls(hour.div_euclid(24)), (0.0, 0.0), false));
            signal.end_hour();
            if hour % 24 == 23 {
                signal.begin_day(grid);
            }
        }
        Drift::of(&signal, 12.0 * calls(days - 1), grid)
    }

    fn sigmas(drift: &Drift) -> f64 {
        log_ratio(drift.seen, drift.usual, drift.floor) / drift.sigma
    }

    #[test]
    fn a_third_more_over_two_days_is_seen_of_the_calm_alone() {
        let calm = |day: i64| 10.0 + as_float(day % 2);
        assert_eq!(found(15, calm), None, "too young");
        assert!(sigmas(&found(28, calm).unwrap()).abs() < 0.5);
        let raised = |day: i64| calm(day) * if day >= 26 { 1.5 } else { 1.0 };
        let wild = |day: i64| 10.0 * if day / 7 % 2 == 0 { 2.5 } else { 1.0 };
        let wilder = |day: i64| wild(day) * if day >= 26 { 1.5 } else { 1.0 };
        let (calm, wild) = (found(28, raised).unwrap(), found(28, wilder).unwrap());
        assert!(sigmas(&calm) > 2.0, "{calm:?}");
        assert!(wild.sigma > 3.0 * calm.sigma, "{wild:?}");
    }

    #[test]
    fn one_holiday_among_the_weeks_changes_nothing() {
        let plain = found(28, |_| 10.0).unwrap();
        let holiday = found(28, |day| if day == 19 { 1.0 } else { 10.0 }).unwrap();
        assert!((plain.usual - holiday.usual).abs() < 1e-6 && plain.usual > 5_000.0);
    }
}
