//! How far a deployment's own scores reach on an ordinary day.
//!
//! Two deployments with the same spread can have very different tails: a person's chat never does what a
//! batch client does every other day. So a score is measured once more, by the largest scores of the days
//! before: their median, and how far the upper half lies above it. What is left is one tail that deployments
//! of all kinds share well enough to be pooled.

use serde::{Deserialize, Serialize};

use super::ring::Ring;
use super::statistics::{mean, median};

/// Days that are remembered.
const DAYS: i64 = 21;
/// Days that must have been seen; before that a deployment is taken for an ordinary one.
const ENOUGH_DAYS: usize = 4;
/// What an ordinary deployment has: the middle of its daily largest scores, and their upper spread.
const ORDINARY: (f64, f64) = (1.2, 0.4);
/// Days that the ordinary spread counts for, against those that were seen.
const PRIOR_DAYS: f64 = 3.0;
/// Smallest spread believed.
const LEAST: f64 = 0.4;

/// The largest score of each of the last days, of one component.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Own {
    days: Ring,
    today: f32,
    /// As of the last midnight.
    middle: f32,
    spread: f32,
}

impl Own {
    /// Of a component whose past is asked for, or of one whose past says nothing.
    #[must_use]
    pub fn new(asked: bool) -> Self {
        let (middle, spread) = ORDINARY;
        let [middle, spread] = [middle, spread].map(super::ring::single);
        Self { days: Ring::new(if asked { DAYS } else { 1 }), today: 0.0, middle, spread }
    }

    /// Takes the score of a slot that may be learnt.
    pub fn add(&mut self, raw: f64) {
        self.today = self.today.max(super::ring::single(raw));
    }

    /// Ends the day.
    pub fn end_day(&mut self) {
        self.days.push(f64::from(std::mem::take(&mut self.today)));
        let (middle, spread) = ORDINARY;
        let mut days: Vec<f64> =
            (self.days.oldest()..self.days.next()).map(|day| self.days.at(day)).collect();
        if days.len() < ENOUGH_DAYS {
            return;
        }
        let own = median(&mut days);
        let upper: Vec<f64> = days.iter().rev().take(days.len() / 2).map(|day| day - own).collect();
        let count = crate::detect::baseline::count_as_float(days.len());
        let shrunk = (mean(&upper) * count + spread * PRIOR_DAYS) / (count + PRIOR_DAYS);
        self.middle = super::ring::single(own.max(middle));
        self.spread = super::ring::single(shrunk.max(LEAST));
    }

    /// A score in upper spreads above the middle of the daily largest.
    #[must_use]
    pub fn standard(&self, raw: f64) -> f64 {
        (raw - f64::from(self.middle)) / f64::from(self.spread)
    }

    /// The inverse of [`Own::standard`].
    #[must_use]
    pub fn raw(&self, standard: f64) -> f64 {
        f64::from(self.middle) + standard * f64::from(self.spread)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wild_deployment_needs_more() {
        let after = |largest: [f64; 4]| {
            let mut own = Own::new(true);
            for day in 0..20 {
                own.add(largest[day % 4]);
                own.end_day();
            }
            own
        };
        let (calm, wild) = (after([0.9, 1.0, 1.1, 1.2]), after([1.0, 1.2, 3.0, 5.0]));
        assert!(calm.standard(3.0) > 3.0 * wild.standard(3.0));
        assert!((wild.raw(wild.standard(2.5)) - 2.5).abs() < 1e-6);
    }
}
