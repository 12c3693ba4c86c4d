//! Nothing at all, for longer than ever: calls that were expected since the last one.

use serde::{Deserialize, Serialize};

use super::ring::Ring;

/// Slots until an old silence excuses half as much: about 24 days of five minutes.
const KEPT_PER_SLOT: f64 = 0.9999;
/// Expected calls whose absence means nothing.
const LEAST: f64 = 4.0;
/// Days looked at for whether a deployment is in use, and how many of four must have had calls.
const DAYS: i64 = 14;
const ENOUGH_DAYS: i64 = 3;

/// The silence since the last call, and the longest before it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Silence {
    /// Calls expected since the last one.
    run: f64,
    /// The same of the longest silence, slowly forgotten.
    longest: f64,
    /// Whether there were calls, by day; 1 or 0.
    days: Ring,
    today: bool,
}

impl Default for Silence {
    fn default() -> Self {
        Self { run: 0.0, longest: 0.0, days: Ring::new(DAYS), today: false }
    }
}

impl Silence {
    /// Expected calls missed by the end of a slot without any, and the number that was missed before (at least
    /// 4); `None` while calls come, or where fewer than three of four days have calls.
    #[must_use]
    pub fn judge(&self, calls: f64, expected: f64) -> Option<(f64, f64)> {
        let days = self.days.next() - self.days.oldest();
        let busy = 4.0 * self.days.newest(days);
        let in_use = days >= ENOUGH_DAYS && busy >= 3.0 * crate::detect::baseline::as_float(days);
        (in_use && calls <= 0.0).then(|| (self.run + expected, self.longest.max(LEAST)))
    }

    /// Takes a closed slot; a silence that is alerted (`frozen`) excuses no later one.
    pub fn add(&mut self, calls: f64, expected: f64, frozen: bool) {
        if calls > 0.0 {
            let run = if frozen { 0.0 } else { self.run };
            self.longest = (self.longest * KEPT_PER_SLOT).max(run);
            self.run = 0.0;
            self.today = true;
        } else {
            self.run += expected;
        }
    }

    /// Ends the day.
    pub fn end_day(&mut self) {
        self.days.push(if std::mem::take(&mut self.today) { 1.0 } else { 0.0 });
    }

    /// Days in a row without calls, at most fourteen.
    #[must_use]
    pub fn quiet_days(&self) -> i64 {
        let days = (self.days.oldest()..self.days.next()).rev();
        let quiet = days.take_while(|day| self.days.at(*day) <= 0.0).count();
        i64::try_from(quiet).unwrap_or(DAYS)
    }
}
