//! Time as data: event time, arrival time, minutes and windows. Nothing here reads a clock.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Milliseconds in a minute.
pub const MINUTE_MS: i64 = 60_000;
/// Milliseconds in an hour.
pub const HOUR_MS: i64 = 60 * MINUTE_MS;
/// Milliseconds in a day.
pub const DAY_MS: i64 = 24 * HOUR_MS;

/// When a call happened: milliseconds since 1970-01-01T00:00:00Z, by the record's own clock.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct EventTime(pub i64);

/// When the event hub enqueued a record: milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct ArrivalTime(pub i64);

/// A minute of event time: minutes since 1970-01-01T00:00Z.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Minute(pub i64);

impl EventTime {
    /// The minute this moment lies in; correct before 1970 too.
    #[must_use]
    pub const fn minute(self) -> Minute {
        Minute(self.0.div_euclid(MINUTE_MS))
    }
}

impl Minute {
    /// First millisecond of the minute.
    #[must_use]
    pub const fn start(self) -> EventTime {
        EventTime(self.0 * MINUTE_MS)
    }

    /// The epoch-aligned window of `size` minutes that holds this minute.
    #[must_use]
    pub const fn window(self, size: i64) -> Window {
        Window { start: Self(self.0.div_euclid(size) * size), size }
    }
}

/// A half-open, epoch-aligned span of event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Window {
    /// First minute inside.
    pub start: Minute,
    /// Length in minutes.
    pub size: i64,
}

impl Window {
    /// First minute after the window.
    #[must_use]
    pub const fn end(self) -> Minute {
        Minute(self.start.0 + self.size)
    }

    /// The window that begins where this one ends.
    #[must_use]
    pub const fn next(self) -> Self {
        Self { start: self.end(), size: self.size }
    }
}

impl fmt::Display for EventTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_rfc3339(f, self.0)
    }
}

impl fmt::Display for ArrivalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_rfc3339(f, self.0)
    }
}

fn write_rfc3339(f: &mut fmt::Formatter<'_>, at_ms: i64) -> fmt::Result {
    let (year, month, day) = civil_from_days(at_ms.div_euclid(DAY_MS));
    let ms = at_ms.rem_euclid(DAY_MS);
    let (hour, minute) = (ms / HOUR_MS, ms / MINUTE_MS % 60);
    let (second, fraction) = (ms / 1000 % 60, ms % 1000);
    write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}")?;
    if fraction != 0 {
        write!(f, ".{fraction:03}")?;
    }
    f.write_str("Z")
}

/// Reads the times Azure writes, as milliseconds since 1970 UTC.
///
/// Takes `2026-11-24T10:00:00.1234567Z` with any number of fraction digits, an offset such as
/// `+02:00`, no zone at all (read as UTC), a space for the `T`, and the American form
/// `11/24/2026 10:00:00 AM` with or without the half of the day. `None` for anything else.
#[must_use]
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.trim().as_bytes();
    if bytes.get(4) == Some(&b'-') { parse_iso(bytes) } else { parse_american(bytes) }
}

fn parse_iso(bytes: &[u8]) -> Option<i64> {
    let year = number(bytes.get(0..4)?)?;
    let month = number(bytes.get(5..7)?)?;
    let day = number(bytes.get(8..10)?)?;
    if bytes.get(7) != Some(&b'-') || !matches!(bytes.get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let (ms_of_day, rest) = clock(bytes.get(11..)?)?;
    Some(days_from_civil(year, month, day)? * DAY_MS + ms_of_day - offset_ms(rest)?)
}

/// Reads `hh:mm:ss[.fraction]` and returns milliseconds of the day and what follows.
fn clock(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let hour = number(bytes.get(0..2)?)?;
    let minute = number(bytes.get(3..5)?)?;
    if bytes.get(2) != Some(&b':') || hour > 24 || minute > 59 {
        return None;
    }
    let (second, mut rest) = match bytes.get(5) {
        Some(b':') => (number(bytes.get(6..8)?)?, bytes.get(8..)?),
        _ => (0, bytes.get(5..)?),
    };
    if second > 60 {
        return None;
    }
    let mut fraction_ms = 0;
    if let Some((b'.' | b',', digits)) = rest.split_first() {
        let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
        for place in 0..3 {
            let digit = if place < count { i64::from(*digits.get(place)? - b'0') } else { 0 };
            fraction_ms = fraction_ms * 10 + digit;
        }
        rest = digits.get(count..)?;
    }
    Some((((hour * 60 + minute) * 60 + second) * 1000 + fraction_ms, rest))
}

fn offset_ms(rest: &[u8]) -> Option<i64> {
    match rest {
        [] | [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), digits @ ..] => {
            let hours = number(digits.get(0..2)?)?;
            let minutes = match digits.get(2..)? {
                [] => 0,
                [b':', tail @ ..] | tail => number(tail.get(0..2)?)?,
            };
            let size = (hours * 60 + minutes) * MINUTE_MS;
            Some(if *sign == b'-' { -size } else { size })
        }
        _ => None,
    }
}

fn parse_american(bytes: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(bytes).ok()?;
    let (date, rest) = text.split_once(' ')?;
    let mut parts = date.split('/').map(|part| number(part.as_bytes()));
    let (month, day, year) = (parts.next()??, parts.next()??, parts.next()??);
    if year < 1000 || parts.next().is_some() {
        return None;
    }
    let (clock_text, half) = rest.split_once(' ').map_or((rest, None), |(a, b)| (a, Some(b)));
    let padded = if clock_text.as_bytes().get(1) == Some(&b':') {
        format!("0{clock_text}")
    } else {
        clock_text.to_owned()
    };
    let (mut ms, tail) = clock(padded.as_bytes())?;
    let hour = ms / HOUR_MS;
    match half.map(str::trim) {
        None | Some("Z" | "") => {}
        Some(half) if half.eq_ignore_ascii_case("am") && hour == 12 => ms -= 12 * HOUR_MS,
        Some(half) if half.eq_ignore_ascii_case("am") => {}
        Some(half) if half.eq_ignore_ascii_case("pm") && hour < 12 => ms += 12 * HOUR_MS,
        Some(half) if half.eq_ignore_ascii_case("pm") => {}
        Some(_) => return None,
    }
    Some(days_from_civil(year, month, day)? * DAY_MS + ms - offset_ms(tail)?)
}

fn number(digits: &[u8]) -> Option<i64> {
    if digits.is_empty() || digits.len() > 9 {
        return None;
    }
    digits.iter().try_fold(0_i64, |sum, digit| {
        digit.is_ascii_digit().then(|| sum * 10 + i64::from(digit - b'0'))
    })
}

/// Days since 1970-01-01 of a proleptic Gregorian date
/// (H. Hinnant, "chrono-compatible low-level date algorithms", `days_from_civil`).
fn days_from_civil(year: i64, month: i64, day: i64) -> Option<i64> {
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let shifted = if month <= 2 { year - 1 } else { year };
    let era = shifted.div_euclid(400);
    let year_of_era = shifted.rem_euclid(400);
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    Some(era * 146_097 + day_of_era - 719_468)
}

/// The inverse of [`days_from_civil`]: (year, month, day).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_shifted + 2) / 5 + 1;
    let month = if month_shifted < 10 { month_shifted + 3 } else { month_shifted - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, rfc3339: Option<&str>) {
        assert_eq!(parse(text).map(|ms| EventTime(ms).to_string()).as_deref(), rfc3339, "{text}");
    }

    #[test]
    fn azure_times_are_read() {
        check("2026-11-24T10:00:00.1234567Z", Some("2026-11-24T10:00:00.123Z"));
        check("2026-11-24T10:00:00Z", Some("2026-11-24T10:00:00Z"));
        check("2026-11-24T10:00:00", Some("2026-11-24T10:00:00Z"));
        check("2026-11-24 10:00:00.5+02:00", Some("2026-11-24T08:00:00.500Z"));
        check("2026-11-24T10:00:00-0130", Some("2026-11-24T11:30:00Z"));
        check("11/24/2026 1:02:03 PM", Some("2026-11-24T13:02:03Z"));
        check("11/24/2026 12:02:03 AM", Some("2026-11-24T00:02:03Z"));
        check("11/24/2026 10:00:00", Some("2026-11-24T10:00:00Z"));
        check("1969-12-31T23:59:59.999Z", Some("1969-12-31T23:59:59.999Z"));
        check("2024-02-29T00:00:00Z", Some("2024-02-29T00:00:00Z"));
    }

    #[test]
    fn other_texts_are_not_times() {
        for text in
            ["", "now", "2026-13-01T00:00:00Z", "2026-11-24", "24.11.2026 10:00:00", "1/2/3"]
        {
            check(text, None);
        }
    }

    #[test]
    fn windows_are_aligned_to_the_epoch() {
        assert_eq!(EventTime(-1).minute().window(5).start, Minute(-5));
        assert_eq!(EventTime(299_999).minute().window(5), Window { start: Minute(0), size: 5 });
        assert_eq!(Minute(4).window(5).next().start, Minute(5));
    }
}
