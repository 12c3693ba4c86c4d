//! Between whole numbers and floats, and the rounding of the files.

/// A count as a float; the counts here are far below 2⁵³.
#[expect(clippy::cast_precision_loss, reason = "counts of slots, days and callers")]
pub(super) const fn real(count: usize) -> f64 {
    count as f64
}

/// The whole part; negative values give 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a conversion that saturates is what is wanted"
)]
pub(super) const fn whole(value: f64) -> u64 {
    value as u64
}

/// The whole part as a place in a list; negative values give 0.
pub(super) fn place(value: f64) -> usize {
    usize::try_from(whole(value)).unwrap_or(usize::MAX)
}

/// Rounded to three significant digits, halves to even: far finer than the noise, and the files
/// stay small.
pub(super) fn three_digits(value: f64) -> u64 {
    let mut unit = 1.0;
    while value >= 1000.0 * unit && unit < 1e15 {
        unit *= 10.0;
    }
    whole((value / unit).round_ties_even() * unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_are_kept() {
        let check = |value: f64, expected| assert_eq!(three_digits(value), expected, "{value}");
        check(-3.0, 0);
        check(0.4, 0);
        check(2.5, 2);
        check(999.0, 999);
        check(1000.0, 1000);
        check(1235.0, 1240);
        check(1225.0, 1220);
        check(999_900.0, 1_000_000);
        check(123_456_789.0, 123_000_000);
    }
}
