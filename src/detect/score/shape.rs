//! What an hour looks like inside: jobs that run for ten minutes of each, work that begins at half past eight.
//!
//! The profile knows hours. Of each slot of the day the calls seen and expected are summed, older days counting less:
//!
//! ```text
//! factor = (seen + few) / (expected + few)        few = 10 calls and a day of the usual amount
//! ```
//!
//! and 1 within a factor of 1.5 either way: that is chance where calls of few days are summed, and an hour of
//! ordinary work has no shape.

use serde::{Deserialize, Serialize};

use super::observed::Grid;
use super::ring::single;

/// Calls, and days of the usual amount, that the plain expectation counts for.
const FEW_CALLS: f64 = 10.0;
const FEW_DAYS: f64 = 1.0;
/// A factor nearer to 1 is chance.
const LEAST: f64 = 1.5;
/// What is left of a day one day later: about two weeks count.
const KEPT_PER_DAY: f32 = 0.93;

/// Calls by slot of the day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Shape {
    /// Seen and expected by the profile alone; nothing where a slot is no shorter than an hour.
    sums: Vec<[f32; 2]>,
}

impl Shape {
    /// Of a deployment nobody has seen yet.
    #[must_use]
    pub fn new(grid: Grid) -> Self {
        let slots = if grid.per_hour() > 1 { grid.per_day() } else { 0 };
        Self { sums: vec![[0.0; 2]; usize::try_from(slots).unwrap_or(0)] }
    }

    /// Takes a slot that may be learnt: calls seen, and expected by the profile alone.
    pub fn add(&mut self, slot: i64, seen: f64, expected: f64) {
        let place = self.place(slot);
        if let Some([all_seen, all_expected]) = place.and_then(|place| self.sums.get_mut(place)) {
            *all_seen += single(seen);
            *all_expected += single(expected);
        }
    }

    /// Ends the day.
    pub fn end_day(&mut self) {
        self.sums.as_flattened_mut().iter_mut().for_each(|sum| *sum *= KEPT_PER_DAY);
    }

    /// What the profile of a slot is multiplied by, where `usual` calls are usual for one.
    #[must_use]
    pub fn factor(&self, slot: i64, usual: f64) -> f64 {
        let Some([seen, expected]) = self.place(slot).and_then(|place| self.sums.get(place)) else {
            return 1.0;
        };
        let few = FEW_CALLS + FEW_DAYS * usual;
        let factor = (f64::from(*seen) + few) / (f64::from(*expected) + few);
        if (1.0 / LEAST..LEAST).contains(&factor) { 1.0 } else { factor }
    }

    /// Slots are counted from the deployment's first.
    fn place(&self, slot: i64) -> Option<usize> {
        let slots = i64::try_from(self.sums.len()).unwrap_or(i64::MAX);
        usize::try_from(slot.checked_rem_euclid(slots)?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 288;

    /// After two weeks in which so many calls come in each slot, where five are expected.
    fn after(seen: impl Fn(i64) -> f64) -> Shape {
        let mut shape = Shape::new(Grid::FIVE_MINUTES);
        for slot in 0..14 * DAY {
            shape.add(slot, seen(slot), 5.0);
            if slot % DAY == DAY - 1 {
                shape.end_day();
            }
        }
        shape
    }

    #[test]
    fn a_job_within_each_hour_has_its_minutes() {
        let shape = after(|slot| if slot % 12 < 2 { 30.0 } else { 0.0 });
        for slot in [0, 1, 13, DAY, 5 * DAY + 24] {
            let factor = shape.factor(slot, 5.0);
            assert!((4.0..6.0).contains(&factor), "{slot}: {factor}");
        }
        for slot in [-1, 2, 11, DAY + 7] {
            assert!(shape.factor(slot, 5.0) < 0.3, "{slot}: {}", shape.factor(slot, 5.0));
        }
    }

    #[test]
    fn ordinary_hours_have_none() {
        let mut random = fastrand::Rng::with_seed(5);
        let noise: Vec<f64> = (0..14 * DAY).map(|_| 1.5 + 7.0 * random.f64()).collect();
        let shape = after(|slot| noise[usize::try_from(slot).unwrap()]);
        let told = (0..DAY).filter(|slot| shape.factor(*slot, 5.0).to_bits() != 1.0_f64.to_bits());
        assert!(told.count() < 3);
    }

    #[test]
    fn one_day_is_not_enough_and_what_ends_is_forgotten() {
        let job = |slot: i64| if slot % 12 < 2 { 30.0 } else { 0.0 };
        let mut shape = Shape::new(Grid::FIVE_MINUTES);
        (0..DAY).for_each(|slot| shape.add(slot, job(slot), 5.0));
        assert!(shape.factor(2, 5.0) > 0.6, "{}", shape.factor(2, 5.0));
        let mut shape = after(job);
        for slot in 0..60 * DAY {
            shape.add(slot, 5.0, 5.0);
            if slot % DAY == DAY - 1 {
                shape.end_day();
            }
        }
        assert!((0..DAY).all(|slot| shape.factor(slot, 5.0).to_bits() == 1.0_f64.to_bits()));
    }

    #[test]
    fn slots_of_an_hour_have_no_shape() {
        let mut shape = Shape::new(Grid { slot_seconds: 3_600 });
        shape.add(5, 90.0, 1.0);
        assert!((shape.factor(5, 1.0) - 1.0).abs() < 1e-9);
    }
}
