//! The most that a window ever held: batch jobs and sparse deployments have no rhythm, but they have a size.

use serde::{Deserialize, Serialize};

use super::ring::Ring;
use super::statistics::log_ratio;

/// Days that are remembered.
const DAYS: i64 = 21;
/// Days that must have been seen.
const ENOUGH_DAYS: i64 = 3;
/// A log ratio of 0.4, half as much again, counts as one.
const SCALE: f64 = 0.4;

/// The largest sum of a window on each of the last days.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Extreme {
    days: Ring,
    today: f64,
}

impl Default for Extreme {
    fn default() -> Self {
        Self { days: Ring::new(DAYS), today: 0.0 }
    }
}

impl Extreme {
    /// Takes the sum of a window that has closed.
    pub fn add(&mut self, sum: f64) {
        self.today = self.today.max(sum);
    }

    /// Ends the day.
    pub fn end_day(&mut self) {
        self.days.push(std::mem::take(&mut self.today));
    }

    /// The second largest day: the largest may have been an accident. `None` before there were three.
    #[must_use]
    pub fn usual(&self) -> Option<f64> {
        let days = self.days.oldest()..self.days.next();
        let mut sums: Vec<f64> = days.map(|day| self.days.at(day)).collect();
        sums.sort_unstable_by(f64::total_cmp);
        let second = i64::try_from(sums.len()).is_ok_and(|days| days >= ENOUGH_DAYS);
        sums.iter().rev().nth(1).copied().filter(|_| second)
    }

    /// 1 + ln((sum + floor) / (usual + floor)) / 0.4, never negative: 1 where it was as large before.
    #[must_use]
    pub fn score(&self, sum: f64, floor: f64) -> Option<f64> {
        Some((1.0 + log_ratio(sum, self.usual()?, floor) / SCALE).max(0.0))
    }

    /// The log ratio to [`Extreme::usual`] at which [`Extreme::score`] reaches `score`.
    #[must_use]
    pub fn ratio(score: f64) -> f64 {
        (score - 1.0) * SCALE
    }

    /// Follows an accepted level; a lower one changes nothing.
    pub fn rescale(&mut self, factor: f64) {
        self.days.scale(0, self.days.next(), factor.max(1.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_there_before_scores_one() {
        let mut extreme = Extreme::default();
        for sum in [100.0, 900.0, 80.0, 120.0] {
            assert!(extreme.days.next() >= 3 || extreme.score(1.0, 1.0).is_none());
            extreme.add(sum);
            extreme.end_day();
        }
        let score = |sum| extreme.score(sum, 10.0).unwrap();
        assert!((score(120.0) - 1.0).abs() < 1e-9);
        assert!(score(1_200.0) > 6.0 && score(10.0) < 0.1);
    }
}
