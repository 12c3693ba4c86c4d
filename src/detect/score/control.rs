//! What the operator sets is a rate: false alerts per deployment and week. This turns it into the level at which
//! one deployment fires.
//!
//! The pooled tails say how rare a score is over all deployments. A deployment they do not describe well would
//! fire again and again; so each alert halves what its deployment may spend for a while, as in alpha investing
//! (Foster & Stine 2008): the level of a slot is fixed by slots that have closed, an early alert uses it, and
//! it is charged once, when its slot closes.

use serde::{Deserialize, Serialize};

/// An alert is charged again after this long, as a pager would repeat it: six hours, in seconds.
const REPEAT_SECONDS: i64 = 6 * 3600;
/// A charge counts half after two weeks.
const HALF_LIFE_SECONDS: f64 = 14.0 * 86_400.0;
/// What a score gains where a part is ten times rarer.
pub const PER_DECADE: f64 = 0.5;
/// Charges that count at most: the level never falls below an eighth.
const MOST: f64 = 3.0;

/// What one deployment has spent.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Control {
    /// Alerts charged, old ones counting less.
    charged: f64,
    /// Seconds of slots since the last was charged; `None` before the first.
    since: Option<i64>,
}

impl Control {
    /// Logarithm to base ten of the share of the set rate that this deployment may spend now.
    #[must_use]
    pub fn share(&self) -> f64 {
        -std::f64::consts::LOG10_2 * self.charged.min(MOST)
    }

    /// Closes a slot.
    pub fn close(&mut self, slot_seconds: i64, fired: bool) {
        let seconds = crate::detect::baseline::as_float(slot_seconds);
        self.charged *= (-seconds * std::f64::consts::LN_2 / HALF_LIFE_SECONDS).exp();
        self.since = self.since.map(|since| since.saturating_add(slot_seconds));
        if fired && self.since.is_none_or(|since| since >= REPEAT_SECONDS) {
            self.charged += 1.0;
            self.since = Some(0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_charged_once_and_slowly_forgiven() {
        let mut control = Control::default();
        let mut shares = vec![control.share()];
        for slot in 0..14 * 288 {
            control.close(300, slot < 12);
            shares.push(control.share());
        }
        assert!(shares[0].abs() < 1e-9);
        assert!((shares[1] + 0.301).abs() < 0.001 && (shares[12] - shares[1]).abs() < 0.001);
        assert!((shares[shares.len() - 1] + 0.1505).abs() < 0.001);
        (0..9 * 288).for_each(|_| control.close(300, true));
        assert!((control.share() + 0.903).abs() < 0.001, "{}", control.share());
    }
}
