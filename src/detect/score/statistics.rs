//! Order statistics of small samples.

use crate::detect::baseline::count_as_float;

/// The middle value, or the mean of the two in the middle; 0 of nothing.
pub(super) fn median(values: &mut [f64]) -> f64 {
    crate::detect::baseline::median(values).unwrap_or(0.0)
}

/// The mean; 0 of nothing.
pub(super) fn mean(values: &[f64]) -> f64 {
    let count = count_as_float(values.len().max(1));
    values.iter().sum::<f64>() / count
}

/// ln((seen + floor) / (expected + floor)): a ratio that small numbers cannot make loud.
pub(super) fn log_ratio(seen: f64, expected: f64, floor: f64) -> f64 {
    ((seen.max(0.0) + floor) / (expected.max(0.0) + floor)).ln()
}

/// The inverse of [`log_ratio`]: what must be seen for the ratio to be `ratio`, at least 0.
pub(super) fn seen_at(ratio: f64, expected: f64, floor: f64) -> f64 {
    ((expected.max(0.0) + floor) * ratio.exp() - floor).max(0.0)
}
