//! Amounts as they are shown: in the operator's currency, and so that rows add up to their total.

use std::cmp::Reverse;

use crate::money::{Grouped, NANO_PER_USD, NanoUsd};
use crate::price::amount::{Rate, half_even};

/// 10⁻⁶ in a whole, the unit of [`Rate::micros`].
const MILLION: i128 = 1_000_000;
/// 10⁻⁹ of a currency in a hundredth of it.
const CENT: i128 = 10_000_000;
/// A base below it (in nano-USD: a cent) makes no percentage.
const TINY_BASE: i128 = CENT;
/// A change of so many times is no percentage anybody can read.
const MANYFOLD: i128 = 100;

/// The currency of a report. One rate for all its amounts, earlier weeks too: a change of the rate
/// must not look like a change of spend.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Currency {
    /// Its code (ISO 4217).
    pub code: String,
    /// USD for one unit.
    pub rate: Rate,
}

impl Default for Currency {
    fn default() -> Self {
        Self { code: "USD".to_owned(), rate: Rate::ONE }
    }
}

impl Currency {
    /// An amount by itself: two decimals, under one unit as many as three significant digits need.
    #[must_use]
    pub fn show(&self, amount: NanoUsd) -> String {
        let unit = unit_of(self.exact(i128::from(amount.0)), self.per_unit(1));
        self.write(half_even(self.exact(i128::from(amount.0)), self.per_unit(unit)), unit)
    }

    /// An amount and its sign, `+$12.00` or `-$0.0125`.
    #[must_use]
    pub fn signed(&self, amount: NanoUsd) -> String {
        let text = self.show(amount);
        if amount.0 > 0 { format!("+{text}") } else { text }
    }

    /// Whole units from ten on, for a headline.
    #[must_use]
    pub fn short(&self, amount: NanoUsd) -> String {
        let exact = self.exact(i128::from(amount.0));
        if exact.abs() < self.per_unit(1_000 * CENT) {
            return self.show(amount);
        }
        self.write(half_even(exact, self.per_unit(100 * CENT)), 100 * CENT)
    }

    /// To three significant digits with a suffix, for a forecast: `$19.6k`.
    #[must_use]
    pub fn about(&self, amount: NanoUsd) -> String {
        let whole = half_even(self.exact(i128::from(amount.0)), self.per_unit(100 * CENT));
        for (size, suffix) in [(1_000_000_000, "bn"), (1_000_000, "M"), (1_000, "k")] {
            if whole.abs() >= size {
                let hundredths = half_even(whole * 100, size);
                let sign = if hundredths < 0 { "-" } else { "" };
                let text = three_digits(hundredths.abs());
                let text = if text.contains('.') { text.trim_end_matches('0') } else { &text };
                let text = text.trim_end_matches('.');
                return format!("{sign}{}{text}{suffix}", self.symbol());
            }
        }
        self.short(amount)
    }

    /// Amounts that add up to `total` as shown: each is cut down to the unit of the total, and what is
    /// missing goes to the largest remainders (Hamilton's method). `parts` must add up to `total`.
    #[must_use]
    pub fn column(&self, parts: &[NanoUsd], total: NanoUsd) -> Vec<String> {
        let unit = unit_of(self.exact(i128::from(total.0)), self.per_unit(1));
        let shown = self.units(parts, unit);
        shown.into_iter().map(|units| self.write(units, unit)).collect()
    }

    /// The same with a sign before what is more.
    #[must_use]
    pub fn signed_column(&self, parts: &[NanoUsd], total: NanoUsd) -> Vec<String> {
        let unit = unit_of(self.exact(i128::from(total.0)), self.per_unit(1));
        let shown = self.units(parts, unit).into_iter().map(|units| {
            let text = self.write(units, unit);
            if units > 0 { format!("+{text}") } else { text }
        });
        shown.collect()
    }

    /// Amounts in 10⁻⁹ of the currency that add up to their total in it, for files.
    #[must_use]
    pub fn nanos(&self, parts: &[NanoUsd]) -> Vec<i128> {
        self.units(parts, 1)
    }

    /// Whole `unit`s (in 10⁻⁹ of the currency) of each part; they add up to the rounded sum.
    fn units(&self, parts: &[NanoUsd], unit: i128) -> Vec<i128> {
        let per_unit = self.per_unit(unit);
        let exact: Vec<i128> = parts.iter().map(|part| self.exact(i128::from(part.0))).collect();
        let mut units: Vec<i128> = exact.iter().map(|part| part.div_euclid(per_unit)).collect();
        let total = half_even(exact.iter().sum(), per_unit);
        let missing = usize::try_from(total - units.iter().sum::<i128>()).unwrap_or(0);
        let mut by_remainder: Vec<(Reverse<i128>, usize)> = exact
            .iter()
            .enumerate()
            .map(|(place, part)| (Reverse(part.rem_euclid(per_unit)), place))
            .collect();
        by_remainder.sort_unstable();
        for (_, place) in by_remainder.into_iter().take(missing) {
            if let Some(units) = units.get_mut(place) {
                *units += 1;
            }
        }
        units
    }

    /// The numerator of an amount of nano-USD over [`Currency::per_unit`].
    fn exact(&self, nano_usd: i128) -> i128 {
        nano_usd.saturating_mul(MILLION)
    }

    /// What `unit` (in 10⁻⁹ of the currency) is worth, in 10⁻⁶ nano-USD.
    fn per_unit(&self, unit: i128) -> i128 {
        i128::from(self.rate.micros()).saturating_mul(unit)
    }

    fn symbol(&self) -> String {
        match self.code.as_str() {
            "USD" => "$".to_owned(),
            "EUR" => "€".to_owned(),
            "GBP" => "£".to_owned(),
            other => format!("{other} "),
        }
    }

    /// `units` of `unit` each (in 10⁻⁹ of the currency), grouped, with the decimals of the unit.
    fn write(&self, units: i128, unit: i128) -> String {
        let nano = units.saturating_mul(unit);
        let (sign, size) = (if nano < 0 { "-" } else { "" }, nano.unsigned_abs());
        let one = NANO_PER_USD.unsigned_abs();
        let whole = Grouped(i64::try_from(size / u128::from(one)).unwrap_or(i64::MAX));
        let fraction = format!("{:09}", size % u128::from(one));
        let decimals = decimals(unit);
        let fraction = fraction.get(..decimals).unwrap_or_default();
        let point = if decimals == 0 { "" } else { "." };
        format!("{sign}{}{whole}{point}{fraction}", self.symbol())
    }
}

/// The unit (in 10⁻⁹ of the currency) in which an amount has two decimals, or three significant digits
/// where it is smaller than one.
fn unit_of(exact: i128, per_nano: i128) -> i128 {
    let nano = half_even(exact, per_nano).abs();
    let mut unit = CENT;
    while nano > 0 && nano < unit * 100 && unit > 1 {
        unit /= 10;
    }
    unit
}

/// Decimals of the currency that a unit shows.
fn decimals(unit: i128) -> usize {
    let mut decimals = 9;
    let mut left = unit;
    while left >= 10 && decimals > 0 {
        left /= 10;
        decimals -= 1;
    }
    decimals
}

/// A change as people read it: `+18 %`, `-3.2 %`, `±0 %`; `×137` from a hundredfold on; `new` where the
/// base is less than a cent, so that neither says anything.
#[must_use]
pub fn percent_change(now: NanoUsd, base: NanoUsd) -> String {
    let (now, base) = (i128::from(now.0), i128::from(base.0));
    if now == base {
        return "±0 %".to_owned();
    }
    if base < TINY_BASE {
        return if now < base { "-".to_owned() } else { "new".to_owned() };
    }
    if now > base.saturating_mul(MANYFOLD) {
        let times = i64::try_from(half_even(now, base)).unwrap_or(i64::MAX);
        return format!("×{}", Grouped(times));
    }
    let tenths = half_even((now - base) * 1000, base);
    let sign = match tenths.signum() {
        0 => return "±0 %".to_owned(),
        1 => "+",
        _ => "-",
    };
    match tenths.abs() {
        size if size >= 100 => {
            let whole = i64::try_from(half_even(size, 10)).unwrap_or(i64::MAX);
            format!("{sign}{} %", Grouped(whole))
        }
        size => format!("{sign}{}.{} %", size / 10, size % 10),
    }
}

/// A part of a whole in percent: `12 %`, `0.4 %`; nothing of nothing is `-`.
#[must_use]
pub fn share(part: i64, whole: i64) -> String {
    if whole == 0 {
        return "-".to_owned();
    }
    let tenths = half_even(i128::from(part) * 1000, i128::from(whole).abs());
    match tenths {
        0 if part != 0 => "<0.1 %".to_owned(),
        tenths if tenths.abs() >= 100 || tenths % 10 == 0 => {
            format!("{} %", half_even(tenths, 10))
        }
        tenths => format!(
            "{}{}.{} %",
            if tenths < 0 { "-" } else { "" },
            tenths.abs() / 10,
            tenths.abs() % 10
        ),
    }
}

/// A count of tokens or calls to three digits: `482`, `12.3k`, `1.05M`.
#[must_use]
pub fn count(value: i64) -> String {
    let size = value.unsigned_abs();
    for (unit, suffix) in [(1_000_000_000_u64, "bn"), (1_000_000, "M"), (1_000, "k")] {
        if size >= unit {
            let text = three_digits(half_even(i128::from(size) * 100, i128::from(unit)));
            let sign = if value < 0 { "-" } else { "" };
            return format!("{sign}{text}{suffix}");
        }
    }
    value.to_string()
}

/// Hundredths as a number of three digits: `1.05`, `19.6`, `482`.
fn three_digits(hundredths: i128) -> String {
    match hundredths {
        h if h >= 10_000 => half_even(h, 100).to_string(),
        h if h >= 1_000 => {
            let tenths = half_even(h, 10);
            format!("{}.{}", tenths / 10, tenths % 10)
        }
        h => format!("{}.{:02}", h / 100, h % 100),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn euro(rate: &str) -> Currency {
        Currency { code: "EUR".to_owned(), rate: Rate::parse(rate).unwrap() }
    }

    #[test]
    fn amounts_have_two_decimals_or_three_digits() {
        let usd = Currency::default();
        let check = |nano, text: &str| assert_eq!(usd.show(NanoUsd(nano)), text);
        check(4_812_345_678_901, "$4,812.35");
        check(1_000_000_000, "$1.00");
        check(999_999_999, "$1.000");
        check(123_456_789, "$0.123");
        check(1_234_567, "$0.00123");
        check(123, "$0.000000123");
        check(1, "$0.000000001");
        check(0, "$0.00");
        check(-12_345_678, "-$0.0123");
        assert_eq!(usd.short(NanoUsd(4_812_345_678_901)), "$4,812");
        assert_eq!(usd.short(NanoUsd(9_530_000_000)), "$9.53");
        assert_eq!(usd.about(NanoUsd(19_640_000_000_000)), "$19.6k");
        assert_eq!(usd.about(NanoUsd(20_000_000_000_000)), "$20k");
        assert_eq!(usd.about(NanoUsd(812_000_000_000)), "$812");
        assert_eq!(euro("1.08").show(NanoUsd(1_080_000_000)), "€1.00");
        let francs = Currency { code: "CHF".to_owned(), rate: Rate::ONE };
        assert_eq!(francs.show(NanoUsd(2_500_000_000)), "CHF 2.50");
    }

    #[test]
    fn a_column_adds_up_to_its_total() {
        let usd = Currency::default();
        let third = NanoUsd(333_333_333_333);
        let shown =
            usd.column(&[third, third, NanoUsd(333_333_333_334)], NanoUsd(NANO_PER_USD * 1000));
        assert_eq!(shown, ["$333.33", "$333.33", "$333.34"]);
        let parts = [NanoUsd(-5_000_001), NanoUsd(5_000_000), NanoUsd(1_000_000_000)];
        let shown = usd.signed_column(&parts, NanoUsd(999_999_999));
        assert_eq!(shown, ["-$0.005", "+$0.005", "+$1.000"]);
    }

    #[test]
    fn percentages_of_next_to_nothing_are_new() {
        let check = |now, base, text: &str| {
            let cents = |cents: i64| NanoUsd(cents * 10_000_000);
            assert_eq!(percent_change(cents(now), cents(base)), text, "{now} from {base}");
        };
        check(118, 100, "+18 %");
        check(1_032, 1_000, "+3.2 %");
        check(50, 100, "-50 %");
        check(0, 100, "-100 %");
        check(100, 100, "±0 %");
        check(0, 0, "±0 %");
        check(5, 0, "new");
        check(13_700, 100, "×137");
        check(2_500, 100, "+2,400 %");
        check(5, -5, "new");
        check(-5, 0, "-");
        assert_eq!(percent_change(NanoUsd(700), NanoUsd(7)), "new");
    }

    #[test]
    fn shares_and_counts_are_short() {
        let shares = [(1, 8), (1, 250), (1, 100_000), (0, 5), (5, 0), (5, 5)];
        let shown = shares.map(|(part, whole)| share(part, whole));
        assert_eq!(shown, ["12 %", "0.4 %", "<0.1 %", "0 %", "-", "100 %"]);
        let counts = [482, 12_345, 1_048_576, 999_999, -2_500].map(count);
        assert_eq!(counts, ["482", "12.3k", "1.05M", "1000k", "-2.50k"]);
    }

    /// The whole units that a text shows.
    fn read(text: &str) -> i64 {
        let digits: String = text.chars().filter(|c| c.is_ascii_digit() || *c == '-').collect();
        digits.parse().unwrap()
    }

    proptest! {
        #[test]
        fn rows_add_up_to_the_total_in_every_currency(
            parts in prop::collection::vec(-10_000_000_000_000_i64..1_000_000_000_000_000, 1..30),
            rate in 1_i64..1_000_000_000,
        ) {
            let rate = format!("{}.{:06}", rate / 1_000_000, rate % 1_000_000);
            let currency = euro(&rate);
            let parts: Vec<NanoUsd> = parts.into_iter().map(NanoUsd).collect();
            let total = NanoUsd(parts.iter().map(|part| part.0).sum());
            let shown = currency.column(&parts, total);
            let sum: i64 = shown.iter().map(|text| read(text)).sum();
            prop_assert_eq!(sum, read(&currency.show(total)));
            let nanos = currency.nanos(&parts);
            let exact = half_even(i128::from(total.0) * MILLION, i128::from(currency.rate.micros()));
            prop_assert_eq!(nanos.iter().sum::<i128>(), exact);
        }
    }
}
