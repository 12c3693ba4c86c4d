//! What stays a little too high for days: thirty per cent more show in no hour and in no day, and in two days they
//! do.
//!
//! ```text
//! raised = mean over the last two days of r,  r = ln((block + floor) / (usual + floor)) held within −0.3 and 0.4
//! score  = (raised − middle) / spread
//! ```
//!
//! A block is three hours; its usual is the median of the same block one, two and three weeks before, so that one
//! holiday or one bad day there changes nothing. The bounds keep a holiday from hiding what comes after it, and one
//! burst from being a raised level; thirty per cent lie within. `middle` and `spread` are those of the deployment's
//! own past: the median of what it was twice a day up to three weeks, and the median absolute deviation from it,
//! drawn towards what ordinary deployments have. So who grows by trend is compared with its trend.
//!
//! A level that has been accepted is brought to the blocks before it and not told of, if it is more than thirty per
//! cent: less than that is what is looked for here. What was told is told again within ten days only where it has
//! become clearly more.

use serde::{Deserialize, Serialize};

use super::observed::Grid;
use super::ring::{Ring, single};
use super::statistics::{log_ratio, mean, median};
use crate::detect::baseline::as_float;

/// Length of a block, in seconds.
const BLOCK_SECONDS: i64 = 3 * 3600;
/// Blocks of a day, at most.
const DAY_BLOCKS: i64 = 8;
/// Days that are judged together, and weeks they are compared with.
const DAYS: i64 = 2;
const WEEKS: i64 = 3;
/// How far below and above a single block counts.
const CLIP: (f64, f64) = (-0.3, 0.4);
/// Share of a mean block, and calls, added to both sides of a ratio, so that little is never loud.
const SHARE: f64 = 0.1;
const FLOOR: f64 = 2.0;
/// Half days remembered, and those newest ones that are left out: they hold what is judged.
const HALF_DAYS: i64 = 42;
const LEFT_OUT: i64 = 6;
/// Half days needed: eight days of comparing, after nine to compare with.
const ENOUGH: i64 = 17;
/// The first half day at whose end two days have a week before them.
const FIRST: i64 = 17;
/// The standard deviation that ordinary deployments have, and how many independent spans of two days it counts
/// for.
const ORDINARY: (f64, f64) = (0.1, 3.0);
/// Of a normal distribution the median absolute deviation is 0.6745 standard deviations.
const MAD_TO_SIGMA: f64 = 1.482_602_2;
/// A score is told again within ten days where it has risen by this much.
const STEP: f64 = 0.3;
const HOLD_DAYS: i64 = 10;
/// Log ratio of an accepted level from which the days before are brought to it: a factor of 1.39.
const ACCEPTED: f64 = 0.33;

/// Calls by block, as they were seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Raised {
    blocks: Ring,
    block: f64,
    /// The mean log ratio of two days, twice a day.
    past: Ring,
    /// The last score that was told, and the block it was told of; none before the first.
    told: Option<(f32, i64)>,
}

impl Default for Raised {
    fn default() -> Self {
        let past = Ring::new(HALF_DAYS);
        let blocks = Ring::new((7 * WEEKS + DAYS) * DAY_BLOCKS);
        Self { blocks, block: 0.0, past, told: None }
    }
}

/// Two days against what they usually are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Raise {
    /// Calls of the last two days.
    pub seen: f64,
    /// What they would be at the usual level.
    pub expected: f64,
    /// Logarithm of the factor that is one own spread.
    pub spread: f64,
}

impl Raise {
    /// How many own spreads above the middle.
    fn score(&self) -> f64 {
        log_ratio(self.seen, self.expected, 0.0) / self.spread
    }
}

impl Raised {
    /// Judges the two days that end with a slot of so many calls; `None` unless it ends a block, with less than
    /// 17 days of history, or where as much was told of lately.
    #[must_use]
    pub fn judge(&self, calls: f64, age: i64, grid: Grid) -> Option<Raise> {
        let blocks = Blocks::of(grid);
        if (age + 1) % blocks.slots != 0 || self.past.next() < FIRST + ENOUGH {
            return None;
        }
        let raise = self.raise(self.block + calls, blocks)?;
        let score = raise.score();
        let again = self.told.is_some_and(|(told, at)| {
            self.blocks.next() - at <= HOLD_DAYS * blocks.per_day && score < f64::from(told) + STEP
        });
        (!again && score > 0.0).then_some(raise)
    }

    /// Takes a slot that has closed, the one with this age.
    pub fn add(&mut self, calls: f64, age: i64, grid: Grid) {
        let blocks = Blocks::of(grid);
        if let Some(raise) = self.judge(calls, age, grid) {
            self.told = Some((single(raise.score()), self.blocks.next()));
        }
        self.block += calls;
        if (age + 1) % blocks.slots != 0 {
            return;
        }
        let block = std::mem::take(&mut self.block);
        if (self.blocks.next() + 1) % (blocks.per_day / 2).max(1) == 0 {
            self.past.push(self.mean_ratio(block, blocks).unwrap_or(0.0));
        }
        self.blocks.push(block);
    }

    /// A level was accepted: what lies more than so many hours back is brought to it.
    pub fn accept(&mut self, factor: f64, hours: i64, grid: Grid) {
        if factor.ln().abs() >= ACCEPTED {
            let since = self.blocks.next() - hours * grid.per_hour() / Blocks::of(grid).slots;
            self.blocks.scale(0, since, factor);
            self.told = Some((f32::MAX, self.blocks.next()));
        }
    }

    fn raise(&self, newest: f64, blocks: Blocks) -> Option<Raise> {
        let raised = self.mean_ratio(newest, blocks)?;
        let until = self.past.next() - LEFT_OUT;
        let mut past: Vec<f64> =
            (self.past.oldest().max(FIRST)..until).map(|at| self.past.at(at)).collect();
        let count = as_float(i64::try_from(past.len()).unwrap_or(0)) / as_float(2 * DAYS);
        let middle = median(&mut past);
        past.iter_mut().for_each(|value| *value = (*value - middle).abs());
        let own = MAD_TO_SIGMA * median(&mut past);
        let (ordinary, weight) = ORDINARY;
        let variance = (own * own * count + ordinary * ordinary * weight) / (count + weight);
        let span = DAYS * blocks.per_day;
        let seen = newest + self.blocks.newest(span - 1);
        let expected = seen * (middle - raised).exp();
        Some(Raise { seen, expected, spread: variance.sqrt() }).filter(|raise| raise.seen > 0.0)
    }

    /// The mean log ratio of the last two days, of which the newest block has `newest` calls; `None` without a
    /// week before them.
    fn mean_ratio(&self, newest: f64, blocks: Blocks) -> Option<f64> {
        let (last, week) = (self.blocks.next(), 7 * blocks.per_day);
        let first = last + 1 - DAYS * blocks.per_day;
        if first - week < 0 {
            return None;
        }
        let known = last - self.blocks.oldest();
        let floor = SHARE * self.blocks.newest(known) / as_float(known.max(1)) + FLOOR;
        let ratio = |block: i64| {
            let before = (1..=WEEKS).map(|weeks| block - weeks * week);
            let mut before: Vec<f64> = before
                .filter(|each| *each >= self.blocks.oldest())
                .map(|each| self.blocks.at(each))
                .collect();
            let seen = if block == last { newest } else { self.blocks.at(block) };
            let (low, high) = CLIP;
            log_ratio(seen, median(&mut before), floor).clamp(low, high)
        };
        Some(mean(&(first..=last).map(ratio).collect::<Vec<_>>()))
    }
}

/// Blocks of a grid.
#[derive(Clone, Copy)]
struct Blocks {
    slots: i64,
    per_day: i64,
}

impl Blocks {
    fn of(grid: Grid) -> Self {
        let slots = grid.slots(BLOCK_SECONDS);
        Self { slots, per_day: (grid.per_day() / slots).max(1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid::FIVE_MINUTES;

    /// Scores that were told, with their day, of so many days; calls of a slot by day.
    fn told(days: i64, calls: impl Fn(i64) -> f64) -> Vec<(i64, f64)> {
        let mut raised = Raised::default();
        let mut told = Vec::new();
        for age in 0..days * 288 {
            let seen = calls(age / 288);
            let raise = raised.judge(seen, age, GRID).filter(|raise| raise.score() >= 2.0);
            told.extend(raise.map(|raise| (age / 288, raise.score())));
            raised.add(seen, age, GRID);
        }
        told
    }

    #[test]
    fn thirty_per_cent_more_are_told_within_two_days() {
        let found = told(30, |day| if day >= 24 { 13.0 } else { 10.0 });
        let (day, _) = *found.first().unwrap();
        assert!((24..=25).contains(&day), "{found:?}");
        assert!(found.is_sorted_by(|one, next| next.1 >= one.1 + STEP - 1e-5), "{found:?}");
    }

    #[test]
    fn ordinary_weeks_holidays_and_one_wild_day_are_not_told() {
        let week = |day: i64| if day % 7 < 5 { 10.0 } else { 2.0 };
        assert_eq!(told(35, week), []);
        assert_eq!(told(35, |day| if day == 20 { 2.0 } else { week(day) }), []);
        assert_eq!(told(35, |day| if day == 24 { 1.15 * week(day) } else { week(day) }), []);
    }

    #[test]
    fn an_accepted_level_is_not_told_of() {
        let mut raised = Raised::default();
        for age in 0..35 * 288 {
            if age == 26 * 288 {
                raised.accept(2.0, 48, GRID);
            }
            let seen = if age >= 24 * 288 { 20.0 } else { 10.0 };
            let raise = raised.judge(seen, age, GRID).filter(|_| age >= 26 * 288);
            assert!(raise.is_none_or(|raise| raise.score() < 1.0), "{age} {raise:?}");
            raised.add(seen, age, GRID);
        }
    }
}
