//! What grows too slowly for any hour to show it: the rhythm and the level follow it, and every day is only a
//! little more than the day before.
//!
//! Each day of the last two weeks is compared with the same day of the week before. The growth per week is the
//! log ratio that 70 % of these days reach. A step of level raises seven days of any fourteen and then none, an
//! event raises its own days, a holiday lowers one and raises one a week later: none of these moves the 30th
//! percentile, and what rises all the time does. The sums are as they were seen, so that it makes no difference
//! what the rhythm has accepted meanwhile.

use serde::{Deserialize, Serialize};

use super::observed::Grid;
use super::ring::Ring;
use super::statistics::log_ratio;

/// Days that are compared, each with the same day of the week before.
const DAYS: i64 = 14;
const WEEK: i64 = 7;
/// Of the days, sorted by ratio, the one that counts: ten of fourteen lie above it or at it.
const RANK: usize = 4;
/// Calls a day added to both sides, so that little is never loud.
const FLOOR: f64 = 20.0;
/// Log ratio per week that is one: a factor of 1.6 in three weeks.
pub(super) const UNIT: f64 = 0.156_667_876_5;

/// Calls by day of the deployment's own, as they were seen.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Growth {
    days: Ring,
    today: f64,
    /// The first day that is compared: growth that was told of is not told again.
    since: i64,
}

impl Default for Growth {
    fn default() -> Self {
        Self { days: Ring::new(DAYS + WEEK), today: 0.0, since: 0 }
    }
}

impl Growth {
    /// Takes a slot that has closed.
    pub fn add(&mut self, calls: f64) {
        self.today += calls;
    }

    /// Ends the day.
    pub fn end_day(&mut self) {
        self.days.push(std::mem::take(&mut self.today));
    }

    /// The growth up to this day has been told of.
    pub const fn tell(&mut self) {
        self.since = self.days.next() + 1;
    }

    /// Calls of the week that ends with a slot of so many calls, and what they would be without the growth of
    /// one week; `None` unless the slot ends the last of three whole weeks.
    #[must_use]
    pub fn judge(&self, calls: f64, age: i64, grid: Grid) -> Option<(f64, f64)> {
        let (today, last) = (self.days.next(), grid.per_day() - 1);
        if age.rem_euclid(grid.per_day()) != last || today + 1 < self.since + DAYS + WEEK {
            return None;
        }
        let newest = self.today + calls;
        let of = |day: i64| if day == today { newest } else { self.days.at(day) };
        let days = today + 1 - DAYS..=today;
        let mut ratios: Vec<f64> = days.map(|day| log_ratio(of(day), of(day - WEEK), FLOOR)).collect();
        ratios.sort_unstable_by(f64::total_cmp);
        let growth = ratios.get(RANK).copied()?;
        let week: f64 = (today + 1 - WEEK..=today).map(of).sum();
        Some((week, week * (-growth).exp()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::baseline::as_float;

    const GRID: Grid = Grid::FIVE_MINUTES;

    /// Growth per week, in the unit, at the end of the days whose calls of a slot are given.
    fn found(days: i64, calls: impl Fn(i64) -> f64) -> Option<f64> {
        let mut growth = Growth::default();
        for day in 0..days - 1 {
            (0..288).for_each(|_| growth.add(calls(day)));
            growth.end_day();
        }
        (0..287).for_each(|_| growth.add(calls(days - 1)));
        let (seen, expected) = growth.judge(calls(days - 1), 288 * days - 1, GRID)?;
        Some((seen / expected).ln() / UNIT)
    }

    fn office(day: i64) -> f64 {
        if day % 7 < 5 { 20.0 } else { 4.0 }
    }

    #[test]
    fn three_per_cent_a_day_are_found_before_they_double() {
        let creep = |day: i64| office(day) * 1.03_f64.powi(i32::try_from(day - 28).unwrap().max(0));
        let first = (21..70).find(|days| found(*days, creep).unwrap() >= 1.0).unwrap();
        assert!((28 + 14..28 + 23).contains(&first), "{first}");
        assert!(1.03_f64.powi(i32::try_from(first).unwrap() - 28) < 1.8);
    }

    #[test]
    fn steps_events_and_holidays_are_not_growth() {
        let never = |calls: &dyn Fn(i64) -> f64| {
            let most = (21..80).filter_map(|days| found(days, calls)).fold(0.0, f64::max);
            assert!(most < 0.3, "{most}");
        };
        never(&office);
        never(&|day| office(day) * if day >= 40 { 2.5 } else { 1.0 });
        never(&|day| office(day) * if day >= 40 { 0.4 } else { 1.0 });
        never(&|day| office(day) * if (40..43).contains(&day) { 30.0 } else { 1.0 });
        never(&|day| office(day) * if (40..44).contains(&day) { 0.1 } else { 1.0 });
        never(&|day| if day % 7 == 3 { as_float(day) } else { 0.0 });
    }

    #[test]
    fn what_was_told_is_not_told_before_three_more_weeks() {
        let mut growth = Growth::default();
        let mut told = Vec::new();
        for day in 0..90 {
            let calls = 100.0 * 1.03_f64.powi(day);
            (0..287).for_each(|_| growth.add(calls));
            let judged = growth.judge(calls, 288 * i64::from(day) + 287, GRID);
            let is_told = judged.is_some_and(|(seen, before)| (seen / before).ln() >= UNIT);
            growth.add(calls);
            if is_told {
                growth.tell();
                told.push(day);
            }
            growth.end_day();
        }
        assert_eq!(told, [20, 41, 62, 83]);
        assert_eq!(growth.judge(1.0, 288 * 90, GRID), None, "only where a day ends");
    }
}
