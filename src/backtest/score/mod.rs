//! How good alerts are, by the definitions of the benchmark: one scorer for every kind of label.

pub mod attacks;
pub mod msft;
pub mod nab;

use std::collections::BTreeMap;

pub use attacks::{Event, Exam, Marks};

use super::alert::Alert;
use crate::detect::baseline::as_float;
use crate::time;

/// A score at a moment, in seconds of the exam.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Moment {
    /// When it could first be raised.
    pub at: f64,
    /// At least the threshold fires.
    pub score: f64,
}

/// Scores by series, in the order of time.
pub type Moments = BTreeMap<String, Vec<Moment>>;

/// Alerts by series, with the seconds that `at` makes of series and timestamp; those of which it makes
/// none are left out.
#[must_use]
pub fn moments(alerts: &[Alert], at: impl Fn(&str, &str) -> Option<f64>) -> Moments {
    let mut found = Moments::new();
    for Alert { series, timestamp, score, .. } in alerts {
        if let Some(at) = at(series, timestamp) {
            found.entry(series.clone()).or_default().push(Moment { at, score: *score });
        }
    }
    for moments in found.values_mut() {
        moments.sort_by(|a, b| a.at.total_cmp(&b.at).then(a.score.total_cmp(&b.score)));
    }
    found
}

/// Alerts as a pager would count them: those of a series within six hours of the first are one.
#[must_use]
pub fn episodes(alerts: &[Alert]) -> u32 {
    let seconds = |text: &str| {
        let number = text.parse().ok();
        number.or_else(|| Some(as_float(time::parse(text)?.div_euclid(1_000))))
    };
    let fired = |moment: &&Moment| moment.score >= 1.0;
    let count = |moments: &Vec<Moment>| {
        attacks::openings(moments.iter().filter(fired).map(|moment| moment.at)).count()
    };
    let found = moments(alerts, |_, timestamp| seconds(timestamp));
    found.values().map(count).map(|count| u32::try_from(count).unwrap_or(u32::MAX)).sum()
}
