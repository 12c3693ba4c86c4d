//! Money and token counts as integers with checked arithmetic.

use std::fmt;
use std::ops::{AddAssign, Neg};

use serde::{Deserialize, Serialize};

/// Signed amount in nano-USD (10⁻⁹ USD); the range is ± 9.2 billion USD.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct NanoUsd(pub i64);

/// Nano-USD in one USD.
pub const NANO_PER_USD: i64 = 1_000_000_000;

impl NanoUsd {
    /// Sum that stops at the ends of the range instead of wrapping.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// Amount in USD, for arithmetic that is not book-keeping (rates, forecasts, charts).
    #[expect(clippy::cast_precision_loss, reason = "the one place money leaves the integers")]
    #[must_use]
    pub fn usd(self) -> f64 {
        self.0 as f64 / NANO_PER_USD as f64
    }

    /// The nearest amount to `usd`; not-a-number becomes zero and the range saturates.
    #[expect(clippy::cast_possible_truncation, reason = "float to integer casts saturate")]
    #[expect(clippy::cast_precision_loss, reason = "10⁹ is exact in a double")]
    #[must_use]
    pub fn from_usd(usd: f64) -> Self {
        Self((usd * NANO_PER_USD as f64).round() as i64)
    }
}

impl AddAssign for NanoUsd {
    fn add_assign(&mut self, other: Self) {
        *self = self.plus(other);
    }
}

impl Neg for NanoUsd {
    type Output = Self;

    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

/// For people: `$2,114.30`; below one cent four digits, so that small is not zero.
impl fmt::Display for NanoUsd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = self.0.unsigned_abs();
        let sign = if self.0 < 0 { "-" } else { "" };
        if size != 0 && size < 10_000_000 {
            return write!(f, "{sign}$0.{:04}", (size + 50_000) / 100_000);
        }
        let cents = (size + 5_000_000) / 10_000_000;
        let whole = cents / 100;
        write!(f, "{sign}${}.{:02}", Grouped(i64::try_from(whole).unwrap_or(i64::MAX)), cents % 100)
    }
}

/// An integer with a comma between each three digits: `1,234,567`.
#[derive(Debug, Clone, Copy)]
pub struct Grouped(pub i64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.unsigned_abs().to_string();
        if self.0 < 0 {
            f.write_str("-")?;
        }
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_read_well() {
        let check = |nano: i64, text: &str| assert_eq!(NanoUsd(nano).to_string(), text);
        check(0, "$0.00");
        check(1_234_567_890_000_000, "$1,234,567.89");
        check(-2_500_000_000, "-$2.50");
        check(1_500_000, "$0.0015");
        check(999_999_999, "$1.00");
    }

    #[test]
    fn sums_never_wrap() {
        assert_eq!(NanoUsd(i64::MAX).plus(NanoUsd(1)), NanoUsd(i64::MAX));
        assert_eq!(NanoUsd::from_usd(f64::NAN), NanoUsd(0));
        assert_eq!(NanoUsd::from_usd(1.5), NanoUsd(1_500_000_000));
    }
}
