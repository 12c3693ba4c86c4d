//! The seasonal curve shown beside observations, and the forecast of the day: augurs' MSTL.
//!
//! For people, never for a score: on the labelled series it lost to the plain seasonal band, and it
//! costs a hundred times as much.

use augurs::mstl::MSTLModel;
use augurs::{Fit as _, Predict as _};

use super::series::{SLOTS_PER_HOUR, Series, Signal, Slot};

/// Hours of history needed for a weekly season: two of them.
const WEEKLY_FROM: usize = 336;
/// Hours needed for a daily season.
const DAILY_FROM: usize = 48;

/// Expected values per hour.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve {
    /// Hours since 1970 of the first value.
    pub first_hour: i64,
    /// One value per hour, in the unit of the signal, never negative.
    pub values: Vec<f64>,
}

/// The curve of the learnt hours and `ahead` hours after them; `None` with under two days of
/// history. The series is decomposed as ln(1 + x), the trend continued as it stands.
#[must_use]
pub fn curve(series: &Series, slot: Slot, signal: Signal, ahead: usize) -> Option<Curve> {
    let learnt = series.learnt(slot);
    let first_hour = learnt.start;
    let history: Vec<f64> = learnt
        .map(|hour| series.hour(hour).get(signal as usize).copied().unwrap_or(0.0).max(0.0).ln_1p())
        .collect();
    let periods = match history.len() {
        0..DAILY_FROM => return None,
        DAILY_FROM..WEEKLY_FROM => vec![24],
        _ => vec![24, 168],
    };
    let fitted = MSTLModel::naive(periods).fit(&history).ok()?;
    let past = fitted.predict_in_sample(None).ok()?;
    let future = fitted.predict(ahead, None).ok()?;
    let values = past.point.iter().chain(&future.point);
    let values = values.map(|value| value.exp_m1().clamp(0.0, 1e15)).collect();
    Some(Curve { first_hour, values })
}

/// What the 24 hours from the hour of `slot` are expected to bring.
#[must_use]
pub fn forecast_day(series: &Series, slot: Slot, signal: Signal) -> Option<f64> {
    let from = slot.0.div_euclid(SLOTS_PER_HOUR);
    let curve = curve(series, slot, signal, 32)?;
    let skip = usize::try_from(from - curve.first_hour).ok()?;
    let day: Vec<f64> = curve.values.iter().skip(skip).take(24).copied().collect();
    (day.len() == 24).then(|| day.iter().sum())
}
