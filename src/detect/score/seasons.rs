//! What the next day should bring by the seasons of the last four weeks.
//!
//! ```text
//! ln(1 + amount) = level + day + week + rest
//! ```
//!
//! `day` is the median, by hour of the day, of how far an hour lies from the mean of the week around it; `week`
//! is the median, by hour of the week, of what then is left; `level` is the mean of what remains of the last day
//! when both are taken away, and `lift` how far it lies above the median of the last week. Medians, so that an attack of some hours or a holiday moves neither. This is the
//! decomposition of STL (Cleveland et al. 1990) with medians in place of smoothing by
//! loess: MSTL itself found less on the labelled fleets and takes far longer, as `models/README.md` records.

use std::iter::zip;

use serde::{Deserialize, Serialize};

use super::observed::Grid;
use super::ring::{Ring, single};
use super::statistics::{mean, median};
use crate::detect::baseline::count_as_float;

/// Weeks of history without which nothing is said.
const MIN_WEEKS: usize = 2;
/// Hours said beyond a day: what is expected is asked for an hour ahead, and once more between two hours.
const BEYOND: usize = 2;
/// Larger than any amount of an hour, so that nothing overflows.
const MOST: f64 = 1e15;

/// Amounts of the hours after those that were learnt, for a day.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Seasons {
    /// The first hour; all as [`Ring`] counts them.
    first: i64,
    amounts: Vec<f32>,
    lift: f32,
}

impl Seasons {
    /// What follows on `learnt`; nothing with less than two weeks of it.
    #[must_use]
    pub fn of(learnt: &Ring, grid: Grid) -> Self {
        let first = learnt.next();
        let day = usize::try_from(grid.hours_per_day()).unwrap_or(24).max(1);
        let week = 7 * day;
        let mut rest: Vec<f64> =
            (learnt.oldest()..first).map(|hour| learnt.at(hour).max(0.0).ln_1p()).collect();
        if rest.len() < MIN_WEEKS * week {
            return Self { first, ..Self::default() };
        }
        let logarithms = rest.clone();
        let trend = centred(&rest, week);
        zip(&mut rest, trend).for_each(|(value, mean)| *value -= mean);
        let daily = take_season(&mut rest, day);
        let weekly = take_season(&mut rest, week);
        let season = |at: usize| {
            let of = |season: &[f64]| season.get(at % season.len().max(1)).copied().unwrap_or(0.0);
            of(&daily) + of(&weekly)
        };
        let end = logarithms.len();
        let rest_of = |hours: usize| -> Vec<f64> {
            let newest = logarithms.iter().enumerate().skip(end - hours);
            newest.map(|(at, value)| value - season(at)).collect()
        };
        let (level, usual) = (mean(&rest_of(day)), median(&mut rest_of(week)));
        let amount = |at: usize| single((level + season(at)).exp_m1().clamp(0.0, MOST));
        Self {
            first,
            amounts: (end..end + day + BEYOND).map(amount).collect(),
            lift: single(level - usual),
        }
    }

    /// Amount of `hour`; `None` where nothing is said.
    #[must_use]
    pub fn at(&self, hour: i64) -> Option<f64> {
        let place = usize::try_from(hour - self.first).ok()?;
        self.amounts.get(place).copied().map(f64::from)
    }

    /// Logarithm of how far the last day lies above the usual day of its week; 0 where nothing is said.
    #[must_use]
    pub fn lift(&self) -> f64 {
        f64::from(self.lift)
    }
}

/// Mean of the `width` values around each; at the ends, of the first and of the last `width`.
fn centred(values: &[f64], width: usize) -> Vec<f64> {
    let mut sums = vec![0.0];
    let mut sum = 0.0;
    for value in values {
        sum += value;
        sums.push(sum);
    }
    let means: Vec<f64> = zip(&sums, sums.iter().skip(width))
        .map(|(from, to)| (to - from) / count_as_float(width))
        .collect();
    let last = means.len().saturating_sub(1);
    let around = |at: usize| means.get(at.saturating_sub(width / 2).min(last)).copied();
    (0..values.len()).map(|at| around(at).unwrap_or(0.0)).collect()
}

/// Takes the median of each place in a period of `length` away from the values, and returns the medians.
fn take_season(values: &mut [f64], length: usize) -> Vec<f64> {
    let mut of_place = Vec::with_capacity(values.len() / length + 1);
    let mut season = Vec::with_capacity(length);
    for place in 0..length {
        of_place.clear();
        of_place.extend(values.iter().skip(place).step_by(length));
        let middle = median(&mut of_place);
        values.iter_mut().skip(place).step_by(length).for_each(|value| *value -= middle);
        season.push(middle);
    }
    season
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid::FIVE_MINUTES;

    fn office(hour: i64) -> f64 {
        let busy = hour.div_euclid(24) % 7 < 5 && (8..18).contains(&(hour % 24));
        if busy { 200.0 } else { 20.0 }
    }

    fn after(hours: i64, amount: impl Fn(i64) -> f64) -> Seasons {
        let mut learnt = Ring::new(28 * 24);
        (0..hours).for_each(|hour| learnt.push(amount(hour)));
        Seasons::of(&learnt, GRID)
    }

    #[test]
    fn says_the_rhythm_of_days_and_weeks_again_for_a_day_and_no_longer() {
        for days in [14, 21, 25, 28, 40] {
            let seasons = after(days * 24, office);
            for hour in days * 24..days * 24 + 26 {
                let said = seasons.at(hour).unwrap();
                assert!((said / office(hour) - 1.0).abs() < 0.05, "{days} {hour} {said}");
            }
            assert_eq!(seasons.at(days * 24 - 1), None);
            assert_eq!(seasons.at(days * 24 + 26), None);
        }
        assert_eq!(after(14 * 24 - 1, office).at(14 * 24 - 1), None);
    }

    #[test]
    fn an_attack_of_a_day_and_a_holiday_move_no_season() {
        let usual = after(28 * 24, office);
        let hit = |hour: i64| if (240..264).contains(&hour) { 30.0 } else { 1.0 };
        let attacked = after(28 * 24, |hour| office(hour) * hit(hour));
        let off = |hour: i64| if hour / 24 == 15 { 20.0 } else { office(hour) };
        let holiday = after(28 * 24, off);
        for hour in 28 * 24..29 * 24 {
            let [usual, attacked, holiday] =
                [&usual, &attacked, &holiday].map(|seasons| seasons.at(hour).unwrap());
            assert!((attacked / usual).ln().abs() < 0.1, "{hour} {attacked} {usual}");
            assert!((holiday / usual).ln().abs() < 0.1, "{hour} {holiday} {usual}");
        }
    }

    #[test]
    fn the_level_is_that_of_the_last_day() {
        let doubled = |hour: i64| office(hour) * if hour >= 27 * 24 { 2.0 } else { 1.0 };
        let (usual, doubled) = (after(28 * 24, office), after(28 * 24, doubled));
        for hour in 28 * 24..29 * 24 {
            let ratio = doubled.at(hour).unwrap() / usual.at(hour).unwrap();
            assert!((1.75..2.1).contains(&ratio), "{hour} {ratio}");
        }
        let lift = std::f64::consts::LN_2;
        assert!(usual.lift().abs() < 0.01 && (doubled.lift() / lift - 1.0).abs() < 0.1);
    }
}
