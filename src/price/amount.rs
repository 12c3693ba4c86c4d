//! Exact arithmetic of money: prices, percentages and exchange rates are whole numbers, and an amount
//! is rounded once.

use std::fmt;

use crate::money::{Grouped, NANO_PER_USD, NanoUsd};

/// Parts in a whole for [`Percent`] and units for [`Rate`].
const MILLION: i64 = 1_000_000;

/// From 10⁻¹² of a currency, times [`Percent`], times [`Rate`], to 10⁻⁹ USD.
const SCALE: i128 = 1_000 * 1_000_000 * 1_000_000;

/// A price in 10⁻¹² of a currency per token, which is 10⁻⁶ of it per million tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Price(i64);

impl Price {
    /// Largest price believed, per million tokens: a whole unit of the currency for one token.
    pub const MOST: i64 = 1_000_000;

    /// Reads an amount per million tokens, such as `2.5`; `None` for more than six decimals, signs,
    /// exponents, other text and more than [`Price::MOST`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let micros = decimal(text, 6)?;
        (micros <= Self::MOST * MILLION).then_some(Self(micros))
    }

    /// In 10⁻¹² of the currency per token.
    #[must_use]
    pub const fn pico(self) -> i64 {
        self.0
    }

    /// This price as a multiple of another; `None` when the other is zero.
    #[must_use]
    pub fn ratio_to(self, other: Self) -> Option<f64> {
        (other.0 != 0).then(|| as_float(self.0) / as_float(other.0))
    }

    /// True when [`Price::times`] had to round.
    #[must_use]
    pub fn is_rounded(self, tokens: u32, discount: Percent, rate: Rate) -> bool {
        Self::exact(self, tokens, discount, rate).is_some_and(|exact| exact % SCALE != 0)
    }

    /// The amount in 10⁻²⁴ USD, which is 10⁻¹⁵ of a nano-USD.
    fn exact(self, tokens: u32, discount: Percent, rate: Rate) -> Option<i128> {
        i128::from(tokens)
            .checked_mul(i128::from(self.0))?
            .checked_mul(i128::from(MILLION - discount.0))?
            .checked_mul(i128::from(rate.0))
    }

    /// What `tokens` cost in nano-USD after a discount and an exchange, rounded half to even;
    /// `None` where that is more than an [`NanoUsd`] can hold.
    #[must_use]
    pub fn times(self, tokens: u32, discount: Percent, rate: Rate) -> Option<NanoUsd> {
        let exact = self.exact(tokens, discount, rate)?;
        i64::try_from(half_even(exact, SCALE)).ok().map(NanoUsd)
    }
}

/// Per million tokens, without zeros that say nothing: `2.5`.
impl fmt::Display for Price {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0, 6, 0)
    }
}

/// A share in 10⁻⁶, from nothing to all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Percent(i64);

impl Percent {
    /// Reads a percentage of 0 to 100 with at most four decimals.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let parts = decimal(text, 4)?;
        (parts <= MILLION).then_some(Self(parts))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0, 4, 0)?;
        f.write_str(" %")
    }
}

/// What one unit of a currency is worth, in 10⁻⁶ USD.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(i64);

impl Rate {
    /// The rate of USD.
    pub const ONE: Self = Self(MILLION);
    /// Largest rate believed, in USD (the dearest currency is worth about three).
    pub const MOST: i64 = 1000;

    /// Reads USD per unit with at most six decimals; above 0, at most [`Rate::MOST`].
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let micros = decimal(text, 6)?;
        (0 < micros && micros <= Self::MOST * MILLION).then_some(Self(micros))
    }

    /// In 10⁻⁶ USD for one unit.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// An amount of 10⁻⁹ of the currency in nano-USD, half to even; `None` beyond the range.
    #[must_use]
    pub fn exchange(self, nano: i128) -> Option<NanoUsd> {
        let exact = nano.checked_mul(i128::from(self.0))?;
        i64::try_from(half_even(exact, i128::from(MILLION))).ok().map(NanoUsd)
    }

    /// The inverse of [`Rate::exchange`]: an amount in USD as 10⁻⁹ of the currency, half to even.
    #[must_use]
    pub fn of_usd(self, amount: NanoUsd) -> i128 {
        half_even(i128::from(amount.0) * i128::from(MILLION), i128::from(self.0))
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_decimal(f, self.0, 6, 2)
    }
}

/// An amount with every digit it has, at least two decimals: `$0.001`, `$1,234.50`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exact(pub NanoUsd);

impl fmt::Display for Exact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(NanoUsd(nano)) = *self;
        f.write_str(if nano < 0 { "-$" } else { "$" })?;
        let size = nano.unsigned_abs();
        let unit = NANO_PER_USD.unsigned_abs();
        write!(f, "{}", Grouped(i64::try_from(size / unit).unwrap_or(i64::MAX)))?;
        write_fraction(f, size % unit, 9, 2)
    }
}

/// `n / d` to the nearest whole number, halves to the even one; `d` is above 0.
#[must_use]
pub fn half_even(n: i128, d: i128) -> i128 {
    let (whole, rest) = (n.div_euclid(d), n.rem_euclid(d));
    // rest < d, so the subtraction cannot wrap where doubling could.
    let up = match rest.cmp(&(d - rest)) {
        std::cmp::Ordering::Less => false,
        std::cmp::Ordering::Equal => whole % 2 != 0,
        std::cmp::Ordering::Greater => true,
    };
    whole + i128::from(up)
}

/// Reads digits with at most `places` decimals as a whole number of 10^-`places`; `None` for more
/// digits, signs, exponents, spaces and other text.
#[must_use]
pub fn decimal(text: &str, places: usize) -> Option<i64> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, "0"));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if fraction.len() > places || !digits(whole) || !digits(fraction) {
        return None;
    }
    format!("{whole}{fraction:0<places$}").parse().ok()
}

/// Reads any decimal number as a program writes it, sign and exponent included, as a whole number of
/// 10^-`places`, half to even; `None` for other text and beyond 10³⁰ of these.
#[must_use]
pub fn loose_decimal(text: &str, places: i32) -> Option<i128> {
    const LONGEST: usize = 64;
    let text = text.trim();
    let (text, exponent) = match text.split_once(['e', 'E']) {
        Some((text, exponent)) => (text, exponent.parse::<i32>().ok()?),
        None => (text, 0),
    };
    let (negative, text) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = [whole, fraction].concat();
    if digits.is_empty() || digits.len() > LONGEST || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    // The value is `digits` × 10^(exponent - fraction digits); scaled to 10^-places.
    let shift = exponent.checked_add(places)?.checked_sub(i32::try_from(fraction.len()).ok()?)?;
    let scaled = scale(&digits, shift)?;
    Some(if negative { -scaled } else { scaled })
}

/// `digits` × 10^`shift`, half to even.
fn scale(digits: &str, shift: i32) -> Option<i128> {
    const MOST_DIGITS: usize = 30;
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return Some(0);
    }
    if let Ok(up) = usize::try_from(shift) {
        let length = digits.len().checked_add(up).filter(|length| *length <= MOST_DIGITS)?;
        return format!("{digits:0<length$}").parse().ok();
    }
    let down = usize::try_from(shift.unsigned_abs()).ok()?;
    let Some(cut) = digits.len().checked_sub(down) else { return Some(0) };
    let (kept, dropped) = digits.split_at_checked(cut)?;
    if kept.len() > MOST_DIGITS {
        return None;
    }
    let kept: i128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    let (first, rest) = dropped.split_at_checked(1)?;
    let more = rest.bytes().any(|byte| byte != b'0');
    let up = match first {
        "5" => more || kept % 2 != 0,
        first => first > "5",
    };
    Some(kept + i128::from(up))
}

fn write_decimal(f: &mut fmt::Formatter<'_>, value: i64, places: u32, least: usize) -> fmt::Result {
    let unit = 10_u64.pow(places);
    let size = value.unsigned_abs();
    write!(f, "{}", size / unit)?;
    write_fraction(f, size % unit, places, least)
}

/// Writes the `places` decimals of a fraction without trailing zeros, but at least `least` of them.
fn write_fraction(
    f: &mut fmt::Formatter<'_>,
    fraction: u64,
    places: u32,
    least: usize,
) -> fmt::Result {
    let width = usize::try_from(places).unwrap_or(0);
    let all = format!("{fraction:0width$}");
    let said = all.trim_end_matches('0').len().max(least);
    match all.get(..said).filter(|said| !said.is_empty()) {
        Some(said) => write!(f, ".{said}"),
        None => Ok(()),
    }
}

/// For ratios that people read.
#[expect(clippy::cast_precision_loss, reason = "a ratio of two prices, shown to people")]
const fn as_float(value: i64) -> f64 {
    value as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn prices_are_read_to_the_last_digit_or_not_at_all() {
        let check = |text: &str, pico: Option<i64>| {
            assert_eq!(Price::parse(text).map(Price::pico), pico, "{text}");
        };
        check("0.083", Some(83_000));
        check("2.5", Some(2_500_000));
        check("1000000", Some(1_000_000_000_000));
        check("0.000001", Some(1));
        for text in ["1000000.1", "1.0000001", "-1", "+1", "1e3", "", ".", "1.", ".5", " 1", "1,5"]
        {
            check(text, None);
        }
        let shown = ["2.5", "10", "0.083", "0"].map(|text| Price::parse(text).unwrap().to_string());
        assert_eq!(shown, ["2.5", "10", "0.083", "0"]);
    }

    #[test]
    fn percentages_and_rates_have_ends() {
        assert_eq!(Percent::parse("12.5").unwrap().to_string(), "12.5 %");
        assert_eq!(Percent::parse("100"), Some(Percent(MILLION)));
        assert_eq!([Percent::parse("100.1"), Percent::parse("0.00001")], [None, None]);
        assert_eq!(Rate::parse("1.08").unwrap().to_string(), "1.08");
        assert_eq!([Rate::parse("0"), Rate::parse("1000.5")], [None, None]);
    }

    #[test]
    fn halves_round_to_even() {
        let check = |n, d, expected| assert_eq!(half_even(n, d), expected, "{n} / {d}");
        for (n, expected) in [(1, 0), (3, 2), (5, 2), (7, 4), (-1, 0), (-3, -2), (-5, -2)] {
            check(n, 2, expected);
        }
        check(501, 1000, 1);
        check(499, 1000, 0);
        check(i128::MAX, 3, i128::MAX / 3);
    }

    #[test]
    fn numbers_of_other_programs_are_read_in_every_form() {
        let check = |text: &str, nano: Option<i128>| {
            assert_eq!(loose_decimal(text, 9), nano, "{text}");
        };
        check("12.4375", Some(12_437_500_000));
        check("4.6E-05", Some(46_000));
        check("-1.5", Some(-1_500_000_000));
        check("1e3", Some(1_000_000_000_000));
        check("0.0000000005", Some(0));
        check("0.0000000015", Some(2));
        check("0.00000000050000000000001", Some(1));
        check("1e-400", Some(0));
        check("0.00", Some(0));
        for text in ["", "-", "1e99", "NaN", "1,5", "0x1", "1.2.3", "1e"] {
            check(text, None);
        }
    }

    #[test]
    fn exact_amounts_show_every_digit() {
        let check = |nano, text: &str| assert_eq!(Exact(NanoUsd(nano)).to_string(), text);
        check(1_000_000, "$0.001");
        check(1_234_500_000_000, "$1,234.50");
        check(-1, "-$0.000000001");
        check(0, "$0.00");
        check(i64::MIN, "-$9,223,372,036.854775808");
    }

    proptest! {
        #[test]
        fn rounding_is_the_nearest_and_of_two_the_even(n in any::<i64>(), d in 1_i64..i64::MAX) {
            let (n, d) = (i128::from(n), i128::from(d));
            let rounded = half_even(n, d);
            let twice = (n - rounded * d).abs() * 2;
            prop_assert!(twice <= d);
            prop_assert!(twice < d || rounded % 2 == 0);
        }

        #[test]
        fn any_price_of_any_call_is_computed_without_wrapping(
            tokens in any::<u32>(),
            price in 0..=Price::MOST * MILLION,
            discount in 0..=MILLION,
            rate in 1..=Rate::MOST * MILLION,
        ) {
            let amount = Price(price).times(tokens, Percent(discount), Rate(rate));
            let exact = i128::from(tokens) * i128::from(price) * i128::from(MILLION - discount);
            let usd = exact * i128::from(rate) / 1_000_000_000_000_000;
            prop_assert_eq!(amount.is_some(), usd < i128::from(i64::MAX));
            prop_assert!(amount.is_none_or(|amount| (i128::from(amount.0) - usd).abs() <= 1));
        }

        #[test]
        fn more_discount_never_costs_more(
            tokens in any::<u32>(), price in 0..1_000_000_000_i64,
            less in 0..=MILLION, more in 0..=MILLION,
        ) {
            let (less, more) = (less.min(more), less.max(more));
            let cost = |share| Price(price).times(tokens, Percent(share), Rate::ONE).unwrap();
            prop_assert!(cost(more) <= cost(less));
            prop_assert_eq!(cost(MILLION), NanoUsd(0));
        }

        #[test]
        fn what_is_shown_is_read_back(nano in any::<i64>(), price in 0..=Price::MOST * MILLION) {
            let shown = Exact(NanoUsd(nano)).to_string().replace(['$', ','], "");
            prop_assert_eq!(loose_decimal(&shown, 9), Some(i128::from(nano)));
            prop_assert_eq!(Price::parse(&Price(price).to_string()), Some(Price(price)));
        }
    }
}
