//! Amounts, ratios, times and durations in the words of a person reading at night.

use crate::money::{Grouped, NANO_PER_USD, NanoUsd};
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS};

/// What stands where a cost is not known; unknown is never zero.
pub(super) const COST_UNKNOWN: &str = "unknown (no price for this model)";

/// A measured quantity: grouped and whole from 100 on, else at most two decimals.
pub(super) fn quantity(value: f64) -> String {
    if !value.is_finite() {
        return "unknown".to_owned();
    }
    if value.abs() >= 100.0 {
        return Grouped(whole(value)).to_string();
    }
    let text = format!("{value:.2}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short == "-0" { "0".to_owned() } else { short.to_owned() }
}

/// A number for the edge of a chart: `1.5M`, `250k`, `12`, to three digits.
pub(super) fn short(value: f64) -> String {
    if value.abs() >= 1e15 {
        return format!("{value:.1e}");
    }
    let scaled = [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")];
    let scale = scaled.into_iter().find(|(least, _)| value.abs() >= *least * 0.9995);
    let (value, suffix) = scale.map_or((value, ""), |(unit, suffix)| (value / unit, suffix));
    let shown = if value.abs() >= 100.0 {
        value.round()
    } else if value.abs() >= 10.0 {
        (value * 10.0).round() / 10.0
    } else {
        value
    };
    let digits =
        if suffix.is_empty() && shown.abs() < 0.1 { significant(shown) } else { quantity(shown) };
    format!("{digits}{suffix}")
}

/// Two digits that say something, however small.
fn significant(value: f64) -> String {
    let places = (1..12).find(|places| value.abs() >= 10_f64.powi(-*places)).unwrap_or(0);
    let places = usize::try_from(places + 1).unwrap_or(0);
    let text = format!("{value:.places$}");
    let short = text.trim_end_matches('0').trim_end_matches('.');
    if short.is_empty() { "0".to_owned() } else { short.to_owned() }
}

/// A count to three digits: `4.4M`.
pub(super) fn compact(count: i64) -> String {
    short(crate::detect::baseline::as_float(count))
}

/// How many times `expected` was seen: `14×`, `3.2×`, or for less than expected `12 % of`.
/// `None` when nothing was expected, or the numbers are none.
pub(super) fn ratio(observed: f64, expected: f64) -> Option<String> {
    let times = observed / expected;
    if !times.is_finite() || expected <= 0.0 || observed < 0.0 {
        return None;
    }
    Some(if times >= 10.0 {
        format!("{}×", Grouped(whole(times)))
    } else if times >= 1.0 {
        format!("{}×", quantity((times * 10.0).round() / 10.0))
    } else {
        format!("{} % of", whole(times * 100.0))
    })
}

/// The amount to the cent, or [`COST_UNKNOWN`].
pub(super) fn money(cost: Option<NanoUsd>) -> String {
    cost.map_or_else(|| COST_UNKNOWN.to_owned(), |cost| cost.to_string())
}

/// The amount in whole dollars from ten on, to the cent below.
pub(super) fn dollars(cost: NanoUsd) -> String {
    if cost.0.unsigned_abs() < 10 * NANO_PER_USD.unsigned_abs() {
        return cost.to_string();
    }
    grouped_dollars(cost.0.saturating_add(NANO_PER_USD / 2 * cost.0.signum()) / NANO_PER_USD)
}

/// The amount to two significant digits: a forecast knows no more.
pub(super) fn about(cost: NanoUsd) -> String {
    if cost.0.unsigned_abs() < 10 * NANO_PER_USD.unsigned_abs() {
        return cost.to_string();
    }
    let mut unit = NANO_PER_USD;
    while cost.0 / unit >= 100 || cost.0 / unit <= -100 {
        unit = unit.saturating_mul(10);
    }
    let rounded = cost.0.saturating_add(unit / 2 * cost.0.signum()) / unit;
    grouped_dollars(rounded.saturating_mul(unit / NANO_PER_USD))
}

/// `2026-11-24 03:05:12 UTC` from milliseconds since 1970.
pub(super) fn moment(at_ms: i64) -> String {
    let text = crate::time::EventTime(at_ms).to_string();
    let (date, clock) = text.split_once('T').unwrap_or((&text, ""));
    let clock = clock.split(['.', 'Z']).next().unwrap_or("");
    format!("{date} {clock} UTC")
}

/// `2026-11-24 03:05 UTC` from milliseconds since 1970.
pub(super) fn minute(at_ms: i64) -> String {
    let whole = moment(at_ms);
    whole.rsplit_once(':').map_or_else(String::new, |(minute, _)| format!("{minute} UTC"))
}

/// `2026-11-24` from milliseconds since 1970.
pub(super) fn date(at_ms: i64) -> String {
    let whole = moment(at_ms);
    whole.split(' ').next().unwrap_or_default().to_owned()
}

/// `03:05:12` (UTC) from milliseconds since 1970.
pub(super) fn clock_s(at_ms: i64) -> String {
    let whole = moment(at_ms);
    whole.split(' ').nth(1).unwrap_or_default().to_owned()
}

/// `03:05` (UTC) from milliseconds since 1970.
pub(super) fn clock(at_ms: i64) -> String {
    let clock = clock_s(at_ms);
    clock.rsplit_once(':').map_or_else(String::new, |(minute, _)| minute.to_owned())
}

/// `11-24 03:05` (UTC) from milliseconds since 1970.
pub(super) fn day_clock(at_ms: i64) -> String {
    let date = date(at_ms);
    let day = date.rsplitn(3, '-').take(2).collect::<Vec<_>>();
    let day = day.into_iter().rev().collect::<Vec<_>>().join("-");
    format!("{day} {}", clock(at_ms))
}

/// A length of time in its two largest units: `2 h 10 min`; a negative one reads as `0 s`.
pub(super) fn duration(ms: i64) -> String {
    let ms = ms.max(0);
    let two = |large: i64, large_unit: &str, small: i64, small_unit: &str| {
        if small == 0 {
            format!("{large} {large_unit}")
        } else {
            format!("{large} {large_unit} {small} {small_unit}")
        }
    };
    if ms < MINUTE_MS {
        format!("{} s", ms / 1000)
    } else if ms < HOUR_MS {
        two(ms / MINUTE_MS, "min", ms % MINUTE_MS / 1000, "s")
    } else if ms < DAY_MS {
        two(ms / HOUR_MS, "h", ms % HOUR_MS / MINUTE_MS, "min")
    } else {
        two(ms / DAY_MS, "d", ms % DAY_MS / HOUR_MS, "h")
    }
}

/// A share of one as whole percent, at least 0 and at most 100; not a number becomes 0.
pub(super) fn percent(share: f64) -> i64 {
    whole(share.clamp(0.0, 1.0) * 100.0)
}

fn grouped_dollars(dollars: i64) -> String {
    let sign = if dollars < 0 { "-" } else { "" };
    format!("{sign}${}", Grouped(dollars.saturating_abs()))
}

#[expect(clippy::cast_possible_truncation, reason = "float to integer casts saturate")]
fn whole(value: f64) -> i64 {
    value.round() as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_well() {
        let check = |value: f64, text: &str| assert_eq!(quantity(value), text);
        check(1_234_567.4, "1,234,567");
        check(12.345, "12.35");
        check(3.0, "3");
        check(-0.001, "0");
        check(0.0, "0");
        check(f64::NAN, "unknown");
        check(f64::INFINITY, "unknown");
    }

    #[test]
    fn edges_of_charts_are_short() {
        let check = |value: f64, text: &str| assert_eq!(short(value), text);
        check(5_000_000.0, "5M");
        check(2_500_000.0, "2.5M");
        check(160_000.0, "160k");
        check(999_999.0, "1M");
        check(600.0, "600");
        check(0.6, "0.6");
        check(0.008, "0.008");
        check(0.0004, "0.0004");
        check(1.26e20, "1.3e20");
        check(0.0, "0");
        assert_eq!(compact(4_402_118), "4.4M");
    }

    #[test]
    fn ratios_need_something_expected() {
        let check = |observed: f64, expected: f64, text: Option<&str>| {
            assert_eq!(ratio(observed, expected).as_deref(), text);
        };
        check(140.0, 10.0, Some("14×"));
        check(32.0, 10.0, Some("3.2×"));
        check(1.2, 10.0, Some("12 % of"));
        check(5.0, 0.0, None);
        check(f64::NAN, 1.0, None);
    }

    #[test]
    fn money_is_as_exact_as_it_is_known() {
        let check = |usd: f64, whole: &str, rough: &str| {
            assert_eq!(dollars(NanoUsd::from_usd(usd)), whole);
            assert_eq!(about(NanoUsd::from_usd(usd)), rough);
        };
        check(214.37, "$214", "$210");
        check(2_114.5, "$2,115", "$2,100");
        check(995.0, "$995", "$1,000");
        check(9.5, "$9.50", "$9.50");
        check(-214.37, "-$214", "-$210");
        check(f64::INFINITY, "$9,223,372,036", "$9,200,000,000");
        assert_eq!(money(None), COST_UNKNOWN);
    }

    #[test]
    fn times_read_well() {
        assert_eq!(moment(1_795_489_512_345), "2026-11-24 03:05:12 UTC");
        assert_eq!(minute(1_795_489_512_345), "2026-11-24 03:05 UTC");
        assert_eq!(date(1_795_489_512_345), "2026-11-24");
        assert_eq!(
            (clock(1_795_489_512_345), clock_s(1_795_489_512_345)),
            ("03:05".to_owned(), "03:05:12".to_owned())
        );
        assert_eq!(day_clock(1_795_489_512_345), "11-24 03:05");
        let check = |ms: i64, text: &str| assert_eq!(duration(ms), text);
        check(-5, "0 s");
        check(41_000, "41 s");
        check(20 * MINUTE_MS, "20 min");
        check(2 * HOUR_MS + 10 * MINUTE_MS, "2 h 10 min");
        check(3 * DAY_MS, "3 d");
    }
}
