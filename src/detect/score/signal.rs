//! One signal of a deployment: what was seen, what was expected, and the rhythm it is expected by.
//!
//! Hours are counted from the deployment's first slot, so that nothing here depends on a clock. The expected
//! value of a slot is the profile of its hour of the week, brought to the level of the last two days.

use serde::{Deserialize, Serialize};

use super::clocks::Moved;
use super::observed::Grid;
use super::ring::Ring;
use super::seasons::Seasons;
use super::statistics::{log_ratio, mean, median};
use crate::detect::baseline::{LEVEL_CLIP, LEVEL_SHARE, as_float, robust_centre};

/// Hours that are learnt from: four weeks.
const LEARNT_HOURS: i64 = 28 * 24;
/// Hours whose profile is remembered: as far back as a shift of level is looked for.
const PROFILE_HOURS: i64 = 5 * 24;
/// Hours the level is taken over.
const LEVEL_HOURS: i64 = 48;
/// Days from which the hour of the week is used rather than the hour of the day.
const WEEKLY_FROM_DAYS: i64 = 8;
/// Weeks looked back.
const WEEKS: i64 = 3;
/// Two hours of the day are not alike where one brought on no day of two weeks as much as the other does on the
/// mean, by this log ratio (a factor of 3.7), with this share of the usual amount added to both.
const UNLIKE: f64 = 1.3;
const UNLIKE_DAYS: i64 = 14;
const UNLIKE_SHARE: f64 = 0.25;
/// An hour beside brings far more, or far less, by this log ratio (a factor of 2), with this share of the usual
/// amount added to both.
const EDGE: f64 = 0.7;
const EDGE_SHARE: f64 = 0.1;
/// Share of the usual amount that keeps quiet hours out of the search for a shift.
const SHIFT_SHARE: f64 = 0.25;
/// Hours of each half of a shift of level: together less than the two days after which it must be accepted.
pub(super) const HALF_SHIFT_HOURS: i64 = 22;

/// Share of the usual amount from which an hour is one of work, and the share of it that must have come where work has
/// begun.
const BUSY_SHARE: f64 = 0.5;
const BEGUN_SHARE: f64 = 0.7;

/// Hours for which a level that was accepted may end without a word: an attack that was taken for the new level
/// ends, or work comes back.
const RETURN_HOURS: i64 = 7 * 24;

/// What is remembered of one signal.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Signal {
    /// Smallest amount that is worth a ratio.
    unit: f64,
    /// Seen, by slot.
    slots: Ring,
    /// Expected by slot, where a rise and where a fall is looked for.
    high: Ring,
    low: Ring,
    /// By hour, with what was expected in place of what must not be learnt.
    learnt: Ring,
    /// By hour, as it was, or would have been without a holiday.
    seen: Ring,
    /// Expected by hour before the level, one hour ahead of what has begun.
    profile: Ring,
    /// What the day brings by its seasons.
    seasons: Seasons,
    /// Logarithm of how far the last two days lie from their profile.
    level: f64,
    /// Logarithm of how far levels that were accepted of late moved what is expected, and the hour of the last.
    accepted: f64,
    accepted_at: i64,
    /// Usual amount per slot.
    usual: f64,
    /// Of the hour that has begun.
    hour_learnt: f64,
    hour_seen: f64,
}

impl Signal {
    /// A signal of which less than `unit` is never worth a ratio, for windows of at most `longest` seconds together
    /// with what lies before them.
    #[must_use]
    pub fn new(grid: Grid, unit: f64, longest: i64) -> Self {
        let slots = grid.slots(longest) + 1;
        let mut profile = Ring::new(PROFILE_HOURS);
        (0..2).for_each(|_| profile.push(0.0));
        Self {
            unit,
            slots: Ring::new(slots),
            high: Ring::new(slots),
            low: Ring::new(slots),
            learnt: Ring::new(LEARNT_HOURS),
            seen: Ring::new(2 * HALF_SHIFT_HOURS + 2),
            profile,
            seasons: Seasons::default(),
            level: 0.0,
            accepted: 0.0,
            accepted_at: -RETURN_HOURS,
            usual: 0.0,
            hour_learnt: 0.0,
            hour_seen: 0.0,
        }
    }

    /// What is expected of slot `place` of the hour that has begun, of so many slots, where a rise and where a fall is
    /// looked for, with the shapes of the same slot of the hour before, of this one and of the one after. A level or
    /// lift that has risen counts for rises alone and one that has fallen for falls alone, so that after a holiday
    /// ordinary traffic is not a rise, and after an attack not a fall. Where clocks have changed, or (with `edges`)
    /// the hour beside brings far more or far less, it counts on its side too: work may begin early and end late.
    #[must_use]
    pub fn expected(
        &self,
        at: (i64, i64),
        [before, own, after]: [f64; 3],
        (moved, edges): (Moved, bool),
    ) -> (f64, f64) {
        let own = self.slot(0, at) * own;
        let floor = self.floor(1, EDGE_SHARE);
        let (mut most, mut least) = (own, own);
        for (moved, by, shape) in [(moved.earlier, 1, after), (moved.later, -1, before)] {
            let beside = self.slot(by, at) * shape;
            if moved || edges && log_ratio(beside, own, floor).abs() > EDGE {
                most = most.max(beside);
                least = least.min(beside);
            }
        }
        // The profile holds half of the lift of the last day, being the mean of two.
        let (level, lift) = (LEVEL_SHARE * self.level, 0.5 * self.seasons.lift());
        let moved = self.accepted_by(self.learnt.next());
        let high = most * (level.max(0.0) - lift.min(0.0) - moved.min(0.0)).exp();
        (high, least * (level.min(0.0) - lift.max(0.0) - moved.max(0.0)).exp())
    }

    /// What is expected of slot `place` of the hour that has begun by its profile and the level alone.
    #[must_use]
    pub fn plain(&self, at: (i64, i64)) -> f64 {
        self.slot(0, at) * (LEVEL_SHARE * self.level).exp()
    }

    /// Logarithm of how far levels that may still end moved what is expected.
    fn accepted_by(&self, hour: i64) -> f64 {
        if hour - self.accepted_at < RETURN_HOURS { self.accepted } else { 0.0 }
    }

    /// The profile of slot `place` of the hour that has begun, or of one `by` hours beside it.
    fn slot(&self, by: i64, (place, per_hour): (i64, i64)) -> f64 {
        let offset = (as_float(place) + 0.5) / as_float(per_hour) - 0.5;
        self.between(self.learnt.next() + by, offset) / as_float(per_hour)
    }

    /// The profile `offset` of an hour beside the centre of `hour`: straight lines between centres, as far as
    /// the profile is known.
    fn between(&self, hour: i64, offset: f64) -> f64 {
        let neighbour = if offset < 0.0 { hour - 1 } else { hour + 1 };
        let last = self.profile.next() - 1;
        let [here, there] = [hour, neighbour].map(|each| self.profile.at(each.clamp(0, last)));
        let weight = offset.abs();
        here * (1.0 - weight) + there * weight
    }

    /// Takes a slot that has closed, with the share of theirs that peers kept; `frozen` where it must not be learnt.
    /// A holiday is no new level: what fell with the peers counts for one as it would have been without it.
    pub fn push(&mut self, seen: f64, (high, low): (f64, f64), (kept, frozen): (f64, bool)) {
        self.slots.push(seen);
        self.high.push(high);
        self.low.push(low);
        self.hour_seen += without_holiday(seen, low, kept);
        self.hour_learnt += if frozen { f64::midpoint(high, low) } else { seen };
    }

    /// Ends the hour.
    pub fn end_hour(&mut self) {
        self.learnt.push(std::mem::take(&mut self.hour_learnt));
        self.seen.push(std::mem::take(&mut self.hour_seen));
    }

    /// Computes what is expected of the hour after the one that begins, and the level.
    pub fn begin_hour(&mut self, grid: Grid) {
        let hour = self.learnt.next();
        self.profile.push(self.profile_of(hour + 1, grid));
        let mean = self.usual * as_float(grid.per_hour());
        let from = (hour - LEVEL_HOURS).max(grid.hours_per_day());
        let (mut seen, mut known) = (0.0, 0.0);
        for each in from..hour {
            let profile = self.profile.at(each);
            seen += self.learnt.at(each).min(6.0 * profile + mean);
            known += profile;
        }
        let floor = (6.0 * mean).max(1e-9);
        self.level = log_ratio(seen, known, floor).clamp(-LEVEL_CLIP, LEVEL_CLIP);
    }

    /// Computes the usual amount per slot: the larger of the median and half the mean of the last two weeks'
    /// daily means; and what the seasons say of the day.
    pub fn begin_day(&mut self, grid: Grid) {
        let (hour, day) = (self.learnt.next(), grid.hours_per_day());
        let days = (hour / day).min(14);
        let ends = (0..days).map(|back| hour - back * day);
        let slots = as_float(grid.per_day());
        let mut daily: Vec<f64> = ends.map(|end| self.learnt.sum(end - day, end) / slots).collect();
        self.usual = (0.5 * mean(&daily)).max(median(&mut daily));
        self.seasons = Seasons::of(&self.learnt, grid);
    }

    /// Usual value of an hour: 0.7 median + 0.3 min(mean, 2 median) of the same hour and its two neighbours, where
    /// they are alike, in the three weeks before; with little history of the same hour of the days before. Where the
    /// seasons say something and the hour is not one of rare calls, the geometric mean of both.
    fn profile_of(&self, hour: i64, grid: Grid) -> f64 {
        let (end, day) = (self.learnt.next(), grid.hours_per_day());
        let is_weekly = end >= WEEKLY_FROM_DAYS * day;
        let (period, back, around) = if is_weekly { (7 * day, WEEKS, 1) } else { (day, 8, 0) };
        let centres = (1..=back).map(|step| hour - step * period);
        let alike: Vec<i64> = (-around..=around)
            .filter(|by| *by == 0 || self.are_alike([hour, hour + by], grid))
            .collect();
        let near = centres.flat_map(|centre| alike.iter().map(move |by| centre + by));
        let known = near.filter(|each| (self.learnt.oldest()..end).contains(each));
        let mut pool: Vec<f64> = known.map(|each| self.learnt.at(each)).collect();
        let limit = 2.0 * self.usual * as_float(grid.per_hour());
        let is_rare = median(&mut pool) <= 0.0;
        if is_rare {
            return mean(&pool).min(limit);
        }
        let near = robust_centre(&mut pool);
        self.seasons.at(hour).map_or(near, |season| (near * season).sqrt())
    }

    /// Whether two hours of the day say anything of each other. Where work begins or ends at the same moment every
    /// day they do not; where the moment varies, the quieter one has seen days as busy.
    fn are_alike(&self, hours: [i64; 2], grid: Grid) -> bool {
        let (end, day) = (self.learnt.next(), grid.hours_per_day());
        let floor = self.floor(grid.per_hour(), UNLIKE_SHARE);
        let [(one, most_of_one), (other, most_of_other)] = hours.map(|hour| {
            let last = end - 1 - (end - 1 - hour).rem_euclid(day);
            let days = (0..UNLIKE_DAYS).map(|back| last - back * day);
            let known = days.filter(|each| *each >= self.learnt.oldest());
            let seen: Vec<f64> = known.map(|each| self.learnt.at(each)).collect();
            (mean(&seen), seen.iter().copied().fold(0.0, f64::max))
        });
        let never = |usual: f64, most: f64| log_ratio(usual, most, floor) >= UNLIKE;
        !never(one, most_of_other) && !never(other, most_of_one)
    }

    /// Log ratios of the hours `from..to` to their profile, weighted by what was expected of them: those below
    /// which 30, 50 and 70 % of the weight lie. So an event of some hours moves none of them.
    fn hours_ratio(&self, (from, to): (i64, i64), grid: Grid) -> [f64; 3] {
        let floor = self.floor(grid.per_hour(), SHIFT_SHARE);
        let hour = |each: i64| {
            let expected = self.profile.at(each);
            (log_ratio(self.seen.at(each), expected, floor), expected)
        };
        let mut hours: Vec<(f64, f64)> = (from..to).map(hour).collect();
        hours.sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
        let all: f64 = hours.iter().map(|(_, weight)| weight).sum();
        [0.3, 0.5, 0.7].map(|share| {
            let mut below = 0.0;
            let reached = hours.iter().find(|(_, weight)| {
                below += weight;
                below >= share * all
            });
            reached.filter(|_| all > 0.0).map_or(0.0, |(ratio, _)| *ratio)
        })
    }

    /// [Weighted log ratios](Self::hours_ratio) of the older and the newer half of the last [`HALF_SHIFT_HOURS`]
    /// twice.
    #[must_use]
    pub fn shift(&self, grid: Grid) -> [[f64; 3]; 2] {
        let hour = self.learnt.next();
        let middle = hour - HALF_SHIFT_HOURS;
        [(middle - HALF_SHIFT_HOURS, middle), (middle, hour)]
            .map(|half| self.hours_ratio(half, grid))
    }

    /// What is expected of the less busy half of the last [`HALF_SHIFT_HOURS`] twice, as a share of the usual amount.
    #[must_use]
    pub fn at_work(&self, grid: Grid) -> f64 {
        let hour = self.learnt.next();
        let half = |until: i64| self.profile.sum(until - HALF_SHIFT_HOURS, until);
        let usual = self.usual * as_float(HALF_SHIFT_HOURS * grid.per_hour());
        half(hour).min(half(hour - HALF_SHIFT_HOURS)) / usual.max(f64::MIN_POSITIVE)
    }

    /// Whether work had begun: of some of so many last full hours half the usual amount was expected, and most of that
    /// came.
    #[must_use]
    pub fn had_begun(&self, hours: i64, grid: Grid) -> bool {
        let usual = self.usual * as_float(grid.per_hour());
        (self.learnt.next() - hours..self.learnt.next()).any(|hour| {
            let expected = self.profile.at(hour);
            expected > BUSY_SHARE * usual && self.seen.at(hour) >= BEGUN_SHARE * expected
        })
    }

    /// Brings everything before the last [`HALF_SHIFT_HOURS`] twice to a level `factor` times as high, and
    /// learns the hours since as they were, but for holidays.
    pub fn accept(&mut self, factor: f64, grid: Grid) {
        let hour = self.learnt.next();
        let since = hour - 2 * HALF_SHIFT_HOURS;
        self.accepted = self.accepted_by(hour) + factor.ln();
        self.accepted_at = hour;
        self.scale(since, factor);
        for each in since.max(0)..hour {
            self.learnt.set(each, self.seen.at(each));
        }
        self.expect_anew(grid);
    }

    /// Brings what was learnt before `hour`, and everything expected, to a level `factor` times as high.
    pub fn rescale(&mut self, hour: i64, factor: f64, grid: Grid) {
        self.scale(hour, factor);
        self.expect_anew(grid);
    }

    /// What history that has changed says of the hour that has begun and of the next: their profile was computed from
    /// the old one, in which a shift was half learnt.
    fn expect_anew(&mut self, grid: Grid) {
        self.seasons = Seasons::of(&self.learnt, grid);
        let hour = self.learnt.next();
        for each in [hour, hour + 1] {
            let profile = self.profile_of(each, grid);
            self.profile.set(each, profile);
        }
    }

    fn scale(&mut self, hour: i64, factor: f64) {
        self.learnt.scale(0, hour, factor);
        self.profile.scale(0, self.profile.next(), factor);
        self.usual *= factor;
    }

    /// Puts hours back to what was expected of them.
    pub fn exclude(&mut self, from: i64, to: i64, grid: Grid) {
        for hour in from.max(self.profile.oldest())..to.min(self.learnt.next()) {
            self.learnt.set(hour, self.profile.at(hour));
        }
        self.expect_anew(grid);
    }

    /// Sum of the newest `count` slots, with `open` after them in place of the oldest.
    #[must_use]
    pub fn trailing(&self, count: i64, open: &Open) -> f64 {
        self.slots.newest(count - open.count) + open.seen
    }

    /// What was expected of the newest `count` slots.
    #[must_use]
    pub fn expected_trailing(&self, count: i64, open: &Open) -> (f64, f64) {
        let closed = count - open.count;
        (self.high.newest(closed) + open.high, self.low.newest(closed) + open.low)
    }

    /// What was seen and expected in the `count` slots before the newest `after`.
    #[must_use]
    pub fn before(&self, count: i64, after: i64, open: &Open) -> (f64, f64) {
        let to = self.slots.next() + open.count - after;
        (self.slots.sum(to - count, to), self.high.sum(to - count, to))
    }

    /// What keeps ratios of windows of `slots` slots from being loud about little: a share of the usual amount
    /// and twice the unit.
    #[must_use]
    pub fn floor(&self, slots: i64, share: f64) -> f64 {
        share * self.usual * as_float(slots) + 2.0 * self.unit
    }

    /// Usual amount per slot.
    #[must_use]
    pub const fn usual(&self) -> f64 {
        self.usual
    }

    /// By hour, what is learnt from.
    #[must_use]
    pub const fn learnt(&self) -> &Ring {
        &self.learnt
    }

    /// Newest slots as they were seen.
    #[must_use]
    pub const fn slots(&self) -> &Ring {
        &self.slots
    }
}

/// What would have been seen if peers had not kept but this share of theirs.
#[must_use]
pub fn without_holiday(seen: f64, expected: f64, kept: f64) -> f64 {
    if seen < expected { (seen / kept).min(expected) } else { seen }
}

/// Sums of slots that have not closed yet, or of the one that is being closed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Open {
    /// How many.
    pub count: i64,
    /// What was seen in them.
    pub seen: f64,
    /// What is expected of them, for rises.
    pub high: f64,
    /// The same for falls.
    pub low: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid::FIVE_MINUTES;

    /// Calls of a slot for as many days as given, by day and hour.
    fn after(days: i64, calls: impl Fn(i64, i64) -> f64) -> Signal {
        let mut signal = Signal::new(GRID, 0.3, 8 * 3600);
        for hour in 0..days * 24 {
            for place in 0..12 {
                let expected = signal.expected((place, 12), [1.0; 3], (Moved::default(), true));
                signal.push(calls(hour.div_euclid(24), hour % 24), expected, (1.0, false));
            }
            signal.end_hour();
            if hour % 24 == 23 {
                signal.begin_day(GRID);
            }
            signal.begin_hour(GRID);
        }
        signal
    }

    fn office(day: i64, hour: i64) -> f64 {
        if day % 7 < 5 && (8..18).contains(&hour) { 20.0 } else { 2.0 }
    }

    /// Expected of the first slot at noon, in the hour that begins after 12 more hours of the same.
    fn at_noon(days: i64, calls: impl Fn(i64, i64) -> f64) -> (f64, f64) {
        let mut signal = after(days, &calls);
        for hour in 0..12 {
            (0..12).for_each(|_| signal.push(calls(days, hour), (0.0, 0.0), (1.0, false)));
            signal.end_hour();
            signal.begin_hour(GRID);
        }
        signal.expected((6, 12), [1.0; 3], (Moved::default(), true))
    }

    #[test]
    fn one_holiday_in_three_weeks_is_ignored() {
        let (usual, _) = at_noon(21, office);
        let holiday = |day, hour| if day == 7 { 2.0 } else { office(day, hour) };
        let (high, low) = at_noon(21, holiday);
        assert!((usual - 20.0).abs() < 0.5, "{usual}");
        // 0.7 median + 0.3 mean of two weeks with and one without.
        assert!(high > 0.85 * usual && low > 0.85 * usual, "{high} {low}");
    }

    /// What is expected of every hour of the day that follows so many days of the same.
    fn day_after(days: i64, calls: impl Fn(i64, i64) -> f64) -> Vec<f64> {
        let mut signal = after(days, &calls);
        let mut hours = Vec::new();
        for hour in 0..24 {
            hours.push(
                (0..12)
                    .map(|place| signal.expected((place, 12), [1.0; 3], (Moved::default(), true)).0)
                    .sum(),
            );
            (0..12).for_each(|_| signal.push(calls(days, hour), (0.0, 0.0), (1.0, false)));
            signal.end_hour();
            signal.begin_hour(GRID);
        }
        hours
    }

    #[test]
    fn an_hour_beside_one_without_work_is_expected_as_it_was() {
        let one_in_four = |_: i64, hour: i64| if hour % 4 == 2 { 10.0 } else { 0.0 };
        for days in [9, 12, 23] {
            let hours = day_after(days, one_in_four);
            let most: Vec<f64> = hours.iter().copied().skip(2).step_by(4).collect();
            // A quarter of it lies in the lines that lead to the hours beside.
            assert!(most.iter().all(|hour| (85.0..=121.0).contains(hour)), "{days}: {most:?}");
        }
    }

    #[test]
    fn where_the_beginning_varies_the_hours_beside_say_something() {
        let opens = |varies: i64| {
            let signal =
                after(23, |day, hour| if hour >= 8 - varies * (day % 2) { 10.0 } else { 0.0 });
            [5, 6, 7, 8].map(|hour| signal.are_alike([23 * 24 + hour, 23 * 24 + hour + 1], GRID))
        };
        assert_eq!(opens(0), [true, true, false, true]);
        assert_eq!(opens(1), [true, false, true, true]);
    }

    #[test]
    fn work_may_begin_an_hour_early_or_late_where_that_is_far_more_or_less() {
        let at_midnight = |calls: f64, edges: bool| {
            let signal = after(23, |_, hour| if hour == 0 { calls } else { 20.0 });
            signal.expected((6, 12), [1.0; 3], (Moved::default(), edges))
        };
        let (high, low) = at_midnight(0.0, true);
        assert!(high > 15.0 && low < 1.0, "{high} {low}");
        for (calls, edges) in [(15.0, true), (15.0, false), (0.0, false)] {
            let (high, low) = at_midnight(calls, edges);
            assert!(high < 18.0 && (high - low).abs() < 0.1, "{high} {low}");
        }
    }

    #[test]
    fn a_level_that_moved_counts_on_its_own_side_alone() {
        let (usual, _) = at_noon(21, office);
        let moved =
            |factor: f64| move |day, hour| office(day, hour) * if day >= 19 { factor } else { 1.0 };
        let (high, low) = at_noon(21, moved(2.0));
        assert!(high > 1.2 * usual && (low / usual - 1.0).abs() < 0.05, "{high} {low}");
        let (high, low) = at_noon(21, moved(0.2));
        assert!((high / usual - 1.0).abs() < 0.05 && low < 0.9 * usual, "{high} {low}");
    }

    #[test]
    fn a_level_that_was_accepted_may_end_for_a_week() {
        for factor in [2.0, 0.5] {
            let mut signal = after(23, |day, _| if day < 21 { 10.0 } else { 10.0 * factor });
            let begin = |signal: &mut Signal| {
                signal.end_hour();
                signal.begin_hour(GRID);
            };
            signal.accept(factor, GRID);
            begin(&mut signal);
            let at = |signal: &Signal| signal.expected((6, 12), [1.0; 3], (Moved::default(), true));
            let (high, low) = at(&signal);
            let (least, most) = (10.0_f64.min(10.0 * factor), 10.0_f64.max(10.0 * factor));
            assert!((high / most - 1.0).abs() < 0.2, "{factor}: {high} up to {most}");
            assert!((low / least - 1.0).abs() < 0.2, "{factor}: {low} down to {least}");
            for _ in 0..RETURN_HOURS {
                (0..12).for_each(|_| signal.push(10.0 * factor, (0.0, 0.0), (1.0, false)));
                begin(&mut signal);
            }
            let (high, low) = at(&signal);
            assert!((high / low - 1.0).abs() < 0.1, "{factor}: {low} to {high} after a week");
        }
    }

    #[test]
    fn what_falls_with_the_peers_is_no_shift() {
        let shift = |seen: f64, kept: f64| {
            let mut signal = after(21, |_, _| 10.0);
            for _ in 0..2 * HALF_SHIFT_HOURS {
                (0..12).for_each(|_| signal.push(seen, (10.0, 10.0), (kept, false)));
                signal.end_hour();
                signal.begin_hour(GRID);
            }
            let [_, [_, newer, _]] = signal.shift(GRID);
            newer
        };
        let [alone, with_peers, further] =
            [(3.0, 1.0), (3.0, 0.2), (3.0, 0.6)].map(|(seen, kept)| shift(seen, kept));
        assert!(alone < -0.5 && with_peers.abs() < 0.05, "{alone} {with_peers}");
        assert!(further < -0.3 && further > alone, "{further}: it fell further than they did");
        assert!(shift(20.0, 0.2) > 0.3, "a rise is one whatever the peers do");
    }

    #[test]
    fn an_hour_early_or_late_is_expected_where_clocks_have_changed() {
        // Seven hours into the last day; from hour to hour come a few more.
        let rising = |_: i64, hour: i64| 10.0 + as_float(2 * hour);
        let mut signal = after(21, rising);
        for hour in 0..7 {
            (0..12).for_each(|_| signal.push(rising(21, hour), (0.0, 0.0), (1.0, false)));
            signal.end_hour();
            signal.begin_hour(GRID);
        }
        let at = |earlier: bool, later: bool| {
            signal.expected((6, 12), [1.0; 3], (Moved { earlier, later }, true))
        };
        let [usual, early, late] = [at(false, false), at(true, false), at(false, true)];
        assert!(early.0 > usual.0 + 1.5 && (early.1 - usual.1).abs() < 1e-9, "{early:?} {usual:?}");
        assert!((late.0 - usual.0).abs() < 1e-9 && late.1 < usual.1 - 1.5, "{late:?} {usual:?}");
    }

    #[test]
    fn what_must_not_be_learnt_is_learnt_as_it_was_expected() {
        let mut signal = after(21, office);
        let before = signal.learnt().at(21 * 24 - 1);
        for place in 0..12 {
            let expected = signal.expected((place, 12), [1.0; 3], (Moved::default(), true));
            signal.push(900.0, expected, (1.0, true));
        }
        signal.end_hour();
        let learnt = signal.learnt().at(21 * 24);
        assert!((learnt - before).abs() < 0.1 * before, "{learnt} after {before}");
        assert!((signal.slots().newest(12) - 12.0 * 900.0).abs() < 1.0);
    }
}
