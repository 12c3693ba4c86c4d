//! How far calls usually lie from what is expected of them.
//!
//! ```text
//! distance = max(mean |seen − expected|, least × mean of what is seen where there is anything)
//! ```
//!
//! The mean lies between the bulk, by which every burst of a bursty series is odd, and the tail, by which none is once
//! one was seen. What is seen where there is anything keeps series of mostly nothing from calling each of their values
//! odd.

use serde::{Deserialize, Serialize};

use super::ring::single;
use crate::detect::baseline::as_float;

/// Days after which a slot counts a third (1/e).
const DAYS: f64 = 14.0;
/// Share of what is usually seen below which no distance is believed.
const LEAST: f64 = 0.2;
/// Seen before a distance is believed: slots as a share of a day, and slots with anything.
const ENOUGH_DAYS: f64 = 0.9;
const ENOUGH_ACTIVE: f64 = 12.0;

/// What slots add up to, and how many there were.
type Sum = [f32; 2];

/// Sums over the slots that were learnt, old ones counting less.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Distance {
    /// Distances.
    strayed: Sum,
    /// What was seen, of slots with anything.
    active: Sum,
}

impl Distance {
    /// Adds a slot that has closed.
    pub fn add(&mut self, seen: f64, expected: f64, slots_per_day: i64) {
        let kept = (-1.0 / (DAYS * as_float(slots_per_day))).exp();
        add(&mut self.strayed, (seen - expected).abs(), kept);
        if seen > 0.0 {
            add(&mut self.active, seen, kept);
        }
    }

    /// The distance of a slot, above zero; `None` where too little was seen.
    #[must_use]
    pub fn usual(&self, slots_per_day: i64) -> Option<f64> {
        let [[strayed, slots], [seen, active]] =
            [self.strayed, self.active].map(|sum| sum.map(f64::from));
        let enough = slots >= ENOUGH_DAYS * as_float(slots_per_day) && active >= ENOUGH_ACTIVE;
        let usual = (strayed / slots).max(LEAST * seen / active);
        (enough && usual > 0.0).then_some(usual)
    }

    /// Brings what was seen so far to another level.
    pub fn rescale(&mut self, factor: f64) {
        for [sum, _] in [&mut self.strayed, &mut self.active] {
            *sum = single(f64::from(*sum) * factor);
        }
    }
}

fn add(sum: &mut Sum, value: f64, kept: f64) {
    let [total, count] = sum.map(f64::from);
    *sum = [total * kept + value, count * kept + 1.0].map(single);
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(values: impl IntoIterator<Item = f64>, expected: f64) -> Distance {
        let mut distance = Distance::default();
        values.into_iter().for_each(|seen| distance.add(seen, expected, 24));
        distance
    }

    #[test]
    fn it_is_the_mean_and_forgets() {
        let strayed =
            |by: f64| (0..24 * 60).map(move |hour| 10.0 + if hour % 2 == 0 { by } else { -by });
        let mut distance = fed(strayed(4.0), 10.0);
        assert!((distance.usual(24).unwrap() - 4.0).abs() < 1e-3);
        strayed(8.0).for_each(|seen| distance.add(seen, 10.0, 24));
        assert!(
            (distance.usual(24).unwrap() - 8.0).abs() < 0.1,
            "two months are four times 14 days"
        );
        distance.rescale(2.0);
        assert!((distance.usual(24).unwrap() - 16.0).abs() < 0.2);
    }

    #[test]
    fn what_is_mostly_nothing_is_judged_by_what_there_is() {
        let rare = (0..24 * 60).map(|hour| if hour % 50 == 0 { 30.0 } else { 0.0 });
        assert!((fed(rare, 0.0).usual(24).unwrap() - 0.2 * 30.0).abs() < 1e-3);
    }

    #[test]
    fn little_says_nothing() {
        assert_eq!(fed((0..20).map(|_| 5.0), 4.0).usual(24), None);
        let seldom = (0..24 * 9).map(|hour| if hour % 24 == 0 { 5.0 } else { 0.0 });
        assert_eq!(fed(seldom, 0.0).usual(24), None, "nine values");
        assert_eq!(fed((0..24 * 9).map(|_| 0.0), 0.0).usual(24), None);
    }
}
