//! What stays a little too high for days: thirty per cent more show in no hour and in no day, and in two or three
//! days they do.
//!
//! ```text
//! r      = ln((block + floor) / (usual + floor)) held within −0.3 and 0.4
//! raised = mean of r over the last one, two and three days
//! score  = the largest of (raised − middle / 2) / spread
//! ```
//!
//! A block is three hours. Its usual is the geometric median of the same three hours on the days of its kind in the
//! three weeks that ended four days before, so that what is judged is not among it. Days are of two kinds where
//! two days of the week in a row differ from the others by more than a seventh: the rest of offices, the weekends
//! of consumers. So a usual is the middle of six or fifteen days and not of three, and one holiday
//! or one wild day moves it little. The bounds keep a holiday from hiding what comes after it, and one burst from
//! being a raised level; thirty per cent lie within.
//!
//! `middle` and `spread` are those of the deployment's own past: the median of what each mean was twice a day up
//! to three weeks, and the median absolute deviation from it, drawn towards what ordinary deployments have. Half
//! of the middle is taken off, for half of it is chance: so who grows by trend is compared with its trend.
//!
//! A level that has been accepted is brought to the blocks before it and not told of, if it is more than thirty per
//! cent: less than that is what is looked for here. What was alerted is told again within ten days only where it has
//! become clearly more.

use serde::{Deserialize, Serialize};

use super::observed::Grid;
use super::ring::{Ring, single};
use super::statistics::{log_ratio, median};
use crate::detect::baseline::{as_float, count_as_float};

/// Length of a block, in seconds.
const BLOCK_SECONDS: i64 = 3 * 3600;
/// Blocks of a day, at most.
const DAY_BLOCKS: i64 = 8;
/// Days that are judged together.
const SPANS: [i64; 3] = [1, 2, 3];
const LONGEST: i64 = 3;
/// Weeks a block is compared with, and days between them and it.
const WEEKS: i64 = 3;
const APART_DAYS: i64 = 4;
/// Days of a rest, and the log ratio to other days from which they are of another kind.
const REST_DAYS: i64 = 2;
const REST: f64 = 0.15;
/// How far below and above a single block counts.
const CLIP: (f64, f64) = (-0.3, 0.4);
/// Share of a mean block, and calls, added to both sides of a ratio, so that little is never loud.
const SHARE: f64 = 0.1;
const FLOOR: f64 = 2.0;
/// Days of past means, and the newest ones that are left out: they hold what is judged.
const PAST_DAYS: i64 = 21;
const LEFT_OUT_DAYS: i64 = 3;
/// Past means needed: four days of them.
const ENOUGH: usize = 8;
/// Share of the own middle that is taken off.
const MIDDLE_SHARE: f64 = 0.5;
/// The standard deviation of a mean of two days that ordinary deployments have, and how many such independent
/// means it counts for.
const ORDINARY: (f64, f64) = (0.1, 4.0);
/// Of a normal distribution the median absolute deviation is 0.6745 standard deviations.
const MAD_TO_SIGMA: f64 = 1.482_602_2;
/// After an alert a score is told within ten days only where it has risen by this much.
const STEP: f64 = 1.5;
const HOLD_DAYS: i64 = 10;
/// Log ratio of an accepted level from which the days before are brought to it: a factor of 1.39.
const ACCEPTED: f64 = 0.33;

/// Calls by block, as they were seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Raised {
    blocks: Ring,
    /// Of the block that has begun: calls, and calls without a holiday.
    block: f64,
    level: f64,
    /// Log ratio to the usual, by block.
    ratios: Ring,
    /// Where in the week the days of the other kind begin, in blocks; none where all days are alike.
    rest: Option<i64>,
    /// The last score that was alerted, and the block it was alerted of; none before the first.
    alerted: Option<(f32, i64)>,
}

impl Default for Raised {
    fn default() -> Self {
        let blocks = Ring::new((7 * WEEKS + APART_DAYS) * DAY_BLOCKS);
        let ratios = Ring::new((PAST_DAYS + LEFT_OUT_DAYS + LONGEST) * DAY_BLOCKS);
        Self { blocks, block: 0.0, level: 0.0, ratios, rest: None, alerted: None }
    }
}

/// The last days against what they usually are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Raise {
    /// How many days.
    pub days: i64,
    /// Their calls.
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
    /// Judges the days that end with a slot of so many calls, and so many [without a holiday](super::signal::without_holiday);
    /// `None` unless it ends a block, with too little history, or where about as much was alerted lately.
    #[must_use]
    pub fn judge(&self, (calls, level): (f64, f64), age: i64, grid: Grid) -> Option<Raise> {
        let blocks = Blocks::of(grid);
        if (age + 1) % blocks.slots != 0 {
            return None;
        }
        let newest = self.block + calls;
        let ratio = self.ratio(self.level + level, blocks)?;
        let raises = SPANS.into_iter().filter_map(|days| self.raise(days, (newest, ratio), blocks));
        let raise = raises.max_by(|one, other| one.score().total_cmp(&other.score()))?;
        let score = raise.score();
        let again = self.alerted.is_some_and(|(alerted, at)| {
            let lately = self.blocks.next() - at <= HOLD_DAYS * blocks.per_day;
            lately && score < f64::from(alerted) + STEP
        });
        (!again && score > 0.0).then_some(raise)
    }

    /// Takes a slot that has closed, the one with this age, and whether it was alerted because the level is raised.
    pub fn add(&mut self, (calls, level): (f64, f64), age: i64, grid: Grid, alerted: bool) {
        let blocks = Blocks::of(grid);
        if let Some(raise) = self.judge((calls, level), age, grid).filter(|_| alerted) {
            self.alerted = Some((single(raise.score()), self.blocks.next()));
        }
        self.block += calls;
        self.level += level;
        if (age + 1) % blocks.slots != 0 {
            return;
        }
        let block = std::mem::take(&mut self.block);
        let level = std::mem::take(&mut self.level);
        // Ratios are numbered from the first block that had a usual.
        if let Some(ratio) = self.ratio(level, blocks) {
            self.ratios.push(ratio);
        }
        self.blocks.push(block);
        if self.blocks.next() % blocks.per_day == 0 {
            self.rest = self.rest_of_week(blocks);
        }
    }

    /// A level was accepted: what lies more than so many hours back is brought to it.
    pub fn accept(&mut self, factor: f64, hours: i64, grid: Grid) {
        let level = factor.ln();
        if level.abs() >= ACCEPTED {
            let since = hours * grid.per_hour() / Blocks::of(grid).slots;
            self.blocks.scale(0, self.blocks.next() - since, factor);
            let (low, high) = CLIP;
            for at in (self.ratios.next() - since).max(0)..self.ratios.next() {
                self.ratios.set(at, (self.ratios.at(at) - level).clamp(low, high));
            }
            self.alerted = Some((f32::MAX, self.blocks.next()));
        }
    }

    /// The last `days` days, of which the newest block has `newest` calls and this log ratio.
    fn raise(&self, days: i64, (newest, ratio): (f64, f64), blocks: Blocks) -> Option<Raise> {
        let span = days * blocks.per_day;
        let (first, next) = (self.ratios.oldest(), self.ratios.next());
        let until = next - LEFT_OUT_DAYS * blocks.per_day;
        let from = (first + span).max(until - PAST_DAYS * blocks.per_day);
        let step = usize::try_from(blocks.per_day / 2).unwrap_or(1).max(1);
        let mean_before = |end: i64| self.ratios.sum(end - span, end) / as_float(span);
        let mut past: Vec<f64> = (from..=until).rev().step_by(step).map(mean_before).collect();
        if past.len() < ENOUGH {
            return None;
        }
        let independent = count_as_float(past.len()) / as_float(2 * days);
        let middle = median(&mut past);
        past.iter_mut().for_each(|value| *value = (*value - middle).abs());
        let own = MAD_TO_SIGMA * median(&mut past);
        let (of_two, weight) = ORDINARY;
        let ordinary = of_two * of_two * 2.0 / as_float(days);
        let variance = (own * own * independent + ordinary * weight) / (independent + weight);
        let raised = (self.ratios.newest(span - 1) + ratio) / as_float(span);
        let seen = newest + self.blocks.newest(span - 1);
        let expected = seen * (MIDDLE_SHARE * middle - raised).exp();
        Some(Raise { days, seen, expected, spread: variance.sqrt() })
            .filter(|raise| raise.seen > 0.0)
    }

    /// The log ratio of the block that ends, with so many calls, to its usual; `None` without a week to compare with.
    fn ratio(&self, calls: f64, blocks: Blocks) -> Option<f64> {
        let block = self.blocks.next();
        let is_alike = |other: &i64| self.is_rest(*other, blocks) == self.is_rest(block, blocks);
        let days =
            (APART_DAYS + 1..=APART_DAYS + 7 * WEEKS).map(|day| block - day * blocks.per_day);
        let known = days.filter(|each| *each >= self.blocks.oldest());
        let (alike, other): (Vec<i64>, Vec<i64>) = known.partition(is_alike);
        if alike.len() + other.len() < 7 {
            return None;
        }
        let mut usual: Vec<f64> = alike.into_iter().map(|each| self.blocks.at(each)).collect();
        let (low, high) = CLIP;
        Some(log_ratio(calls, median(&mut usual), self.floor()).clamp(low, high))
    }

    fn is_rest(&self, block: i64, blocks: Blocks) -> bool {
        let week = 7 * blocks.per_day;
        self.rest.is_some_and(|rest| (block - rest).rem_euclid(week) < REST_DAYS * blocks.per_day)
    }

    fn floor(&self) -> f64 {
        let known = self.blocks.next() - self.blocks.oldest();
        SHARE * self.blocks.newest(known) / as_float(known.max(1)) + FLOOR
    }

    /// The two days in a row that differ most from the same hours of the other five, by the medians of three weeks;
    /// `None` where they differ little, or with less than a week.
    fn rest_of_week(&self, blocks: Blocks) -> Option<i64> {
        let (week, day) = (7 * blocks.per_day, blocks.per_day);
        let until = self.blocks.next() - (APART_DAYS - 1) * day;
        let from = (until - WEEKS * week).max(self.blocks.oldest());
        if until - from < week {
            return None;
        }
        let floor = self.floor();
        let usual = |place: i64| {
            let first = from + (place - from).rem_euclid(week);
            let same = (first..until).step_by(usize::try_from(week).unwrap_or(1));
            let mut same: Vec<f64> = same.map(|block| self.blocks.at(block)).collect();
            (median(&mut same) + floor).ln()
        };
        let usual: Vec<f64> = (0..week).map(usual).collect();
        let all = usual.iter().sum::<f64>();
        let rest = REST_DAYS * day;
        let apart = |start: i64| {
            let from = usize::try_from(start).unwrap_or(0);
            let count = usize::try_from(rest).unwrap_or(0);
            let within: f64 = usual.iter().cycle().skip(from).take(count).sum();
            let (of_rest, of_others) =
                (within / as_float(rest), (all - within) / as_float(week - rest));
            (of_rest - of_others).abs()
        };
        let most = (0..week).map(|start| (start, apart(start)));
        let most = most.max_by(|one, other| one.1.total_cmp(&other.1))?;
        (most.1 > REST).then_some(most.0)
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

    /// Scores of at least 2.5, alerted as they come, with their day, of so many days; calls of a slot by day.
    fn told(days: i64, calls: impl Fn(i64) -> f64) -> Vec<(i64, f64)> {
        let mut raised = Raised::default();
        let mut told = Vec::new();
        for age in 0..days * 288 {
            let seen = calls(age / 288);
            let raise = raised.judge((seen, seen), age, GRID).filter(|raise| raise.score() >= 2.5);
            told.extend(raise.map(|raise| (age / 288, raise.score())));
            raised.add((seen, seen), age, GRID, raise.is_some());
        }
        told
    }

    #[test]
    fn thirty_per_cent_more_are_told_within_three_days_and_not_again_and_again() {
        let found = told(35, |day| if day >= 26 { 13.0 } else { 10.0 });
        let day = found.first().map(|first| first.0);
        assert!(day.is_some_and(|day| (26..=28).contains(&day)), "{found:?}");
        assert!(found.len() <= 2, "{found:?}");
    }

    #[test]
    fn ordinary_weeks_holidays_and_one_wild_day_are_not_told() {
        let week = |day: i64| if day % 7 < 5 { 10.0 } else { 2.0 };
        assert_eq!(told(35, week), []);
        assert_eq!(told(35, |day| if day == 20 { 2.0 } else { week(day) }), []);
        assert_eq!(told(35, |day| if day == 24 { 1.2 * week(day) } else { week(day) }), []);
    }

    #[test]
    fn days_of_rest_are_found_wherever_they_begin_and_have_their_own_usual() {
        // Weekends of quiet days and of busy ones, that begin with any block of the week.
        for (rest, start) in [(2.0, 5.0), (17.0, 5.0), (2.0, 3.375), (2.0, 6.5)] {
            let mut raised = Raised::default();
            for age in 0..35 * 288 {
                let day = as_float(age) / 288.0 - start;
                let seen = if day.rem_euclid(7.0) < 2.0 { rest } else { 10.0 };
                raised.add((seen, seen), age, GRID, false);
            }
            let blocks = as_float(raised.rest.unwrap()) / as_float(DAY_BLOCKS);
            assert!((blocks - start).abs() < 0.2, "{blocks} for {start}");
            let ratios = raised.ratios.oldest()..raised.ratios.next();
            let most = ratios.map(|at| raised.ratios.at(at).abs()).fold(0.0, f64::max);
            assert!(most < 0.05, "{rest} {start}: {most}");
        }
        let mut flat = Raised::default();
        (0..35 * 288).for_each(|age| flat.add((10.0, 10.0), age, GRID, false));
        assert_eq!(flat.rest, None);
    }

    #[test]
    fn an_accepted_level_is_not_told_of() {
        let mut raised = Raised::default();
        for age in 0..38 * 288 {
            if age == 28 * 288 {
                raised.accept(2.0, 48, GRID);
            }
            let seen = if age >= 26 * 288 { 20.0 } else { 10.0 };
            let raise = raised.judge((seen, seen), age, GRID).filter(|_| age >= 28 * 288);
            assert!(raise.is_none_or(|raise| raise.score() < 1.0), "{age} {raise:?}");
            raised.add((seen, seen), age, GRID, false);
        }
    }
}
