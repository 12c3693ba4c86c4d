//! When clocks change by an hour.
//!
//! Hours are counted in UTC, so who works by a clock comes an hour early after the change of spring and an hour
//! late after that of autumn, until the hours are learnt anew. Nobody's time zone is known, so where a change is
//! possible, the hour beside is as normal as the hour itself.
//!
//! Europe: last Sundays of March and October (Directive 2000/84/EC). United States and Canada: second Sunday of
//! March, first of November (Energy Policy Act of 2005). Australia: first Sundays of April and October.

use jiff::ToSpan as _;
use jiff::civil::{Date, Weekday, date};

/// Days until the same hours of two weeks are those of the new clock, which is most of three.
const LEARNT_DAYS: i64 = 15;
/// A Sunday in Australia begins on Saturday in UTC.
const AHEAD_DAYS: i64 = 1;

/// How traffic may have moved against UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Moved {
    /// An hour earlier.
    pub earlier: bool,
    /// An hour later.
    pub later: bool,
}

impl Moved {
    /// On the day with this number, counted in UTC from 1970.
    #[must_use]
    pub fn on(day: i64) -> Self {
        let days = day - LEARNT_DAYS + 1..=day + AHEAD_DAYS;
        days.filter_map(|day| change(date(1970, 1, 1).checked_add(day.days()).ok()?)).fold(
            Self::default(),
            |moved, change| Self {
                earlier: moved.earlier || change == Change::Forward,
                later: moved.later || change == Change::Back,
            },
        )
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    Forward,
    Back,
}

/// What clocks somewhere are set to on a date.
fn change(date: Date) -> Option<Change> {
    if date.weekday() != Weekday::Sunday {
        return None;
    }
    let (nth, is_last) = ((date.day() + 6) / 7, date.day() + 7 > date.days_in_month());
    match (date.month(), nth) {
        (3, 2) | (10, 1) => Some(Change::Forward),
        (3, _) if is_last => Some(Change::Forward),
        (4 | 11, 1) => Some(Change::Back),
        (10, _) if is_last => Some(Change::Back),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(day: Date) -> (bool, bool) {
        let since = date(1970, 1, 1).until(day).unwrap();
        let Moved { earlier, later } = Moved::on(i64::from(since.get_days()));
        (earlier, later)
    }

    #[test]
    fn an_hour_is_moved_from_a_change_until_it_is_learnt() {
        for (day, expected) in [
            // 8 March 2026: United States; 29 March: Europe; 5 April: Australia.
            (date(2026, 3, 6), (false, false)),
            (date(2026, 3, 7), (true, false)),
            (date(2026, 3, 22), (true, false)),
            (date(2026, 3, 23), (false, false)),
            (date(2026, 3, 29), (true, false)),
            (date(2026, 4, 5), (true, true)),
            (date(2026, 4, 13), (false, true)),
            (date(2026, 4, 20), (false, false)),
            (date(2026, 7, 5), (false, false)),
            // 4 October: Australia; 25 October: Europe; 1 November: United States.
            (date(2026, 10, 4), (true, false)),
            (date(2026, 10, 25), (false, true)),
            (date(2026, 11, 15), (false, true)),
            (date(2026, 11, 16), (false, false)),
            // The last Sunday of October is the last day of it.
            (date(2027, 10, 31), (false, true)),
            (date(2027, 3, 28), (true, false)),
        ] {
            assert_eq!(on(day), expected, "{day}");
        }
    }
}
