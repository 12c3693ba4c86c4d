//! Which week a report is about: seven local days, half open, named by the ISO week of its middle.

use crate::days::{Date, DaysError, Period, Step, Weekday, Zone};
use crate::time::{EventTime, Minute};

/// A local week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Week {
    /// `2026-W47`: the ISO week of its fourth day, so that weeks that begin on another day than Monday
    /// have names of their own too.
    pub name: String,
    /// Its first local day.
    pub begins: Date,
    /// The local day after its last.
    pub ends: Date,
    /// Its days; six or seven (a zone that crosses the date line skips one).
    pub days: Vec<Period>,
}

/// Why there is no such week.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WeekError {
    /// Neither `last` nor a week.
    #[error("{0:?} is no week: write last, or 2026-W47")]
    Text(String),
    /// Beyond the calendar.
    #[error(transparent)]
    Days(#[from] DaysError),
}

impl Week {
    /// The week that holds the local day `day`, of weeks that begin on `first`.
    ///
    /// # Errors
    /// A date beyond the calendar.
    pub fn holding(zone: &Zone, first: Weekday, day: Date) -> Result<Self, DaysError> {
        let mut begins = day;
        while begins.weekday() != first {
            begins = begins.yesterday().map_err(DaysError::from)?;
        }
        Self::from(zone, begins)
    }

    fn from(zone: &Zone, begins: Date) -> Result<Self, DaysError> {
        let (fourth, ends) = (later(begins, 3)?, later(begins, 7)?);
        let days = zone.periods(Step::Day, begins, ends)?;
        let week = fourth.iso_week_date();
        let name = format!("{:04}-W{:02}", week.year(), week.week());
        Ok(Self { name, begins, ends, days })
    }

    /// The newest week that is over at `at`.
    ///
    /// # Errors
    /// A moment beyond the calendar.
    pub fn last(zone: &Zone, first: Weekday, at: EventTime) -> Result<Self, DaysError> {
        Self::holding(zone, first, zone.day_of(at)?)?.before(zone)
    }

    /// The week of this name, such as `2026-W47`.
    ///
    /// # Errors
    /// There is none.
    pub fn named(zone: &Zone, first: Weekday, name: &str) -> Result<Self, WeekError> {
        let wrong = || WeekError::Text(name.to_owned());
        let (year, week) = name.split_once("-W").ok_or_else(wrong)?;
        let year: i16 = year.parse().map_err(|_| wrong())?;
        let nth: i64 = week.parse().map_err(|_| wrong())?;
        let january = Date::new(year, 1, 4).map_err(|_| wrong())?;
        // 4 January always lies in the first ISO week; the middle of ours lies in the named one.
        let thursday = later(Step::Week.begin(january)?, (nth - 1) * 7 + 3)?;
        let mut begins = thursday;
        for _ in 0..3 {
            begins = begins.yesterday().map_err(DaysError::from)?;
        }
        // Of the seven weeks that begin within three days of that Monday one begins on `first`.
        let mut candidates = (-3..=3).map(|off| later(begins, off));
        let begins = candidates
            .find(|day| day.as_ref().is_ok_and(|day| day.weekday() == first))
            .ok_or_else(wrong)??;
        let found = Self::from(zone, begins)?;
        if found.name == name { Ok(found) } else { Err(wrong()) }
    }

    /// The week before.
    ///
    /// # Errors
    /// A date beyond the calendar.
    pub fn before(&self, zone: &Zone) -> Result<Self, DaysError> {
        Self::from(zone, later(self.begins, -7)?)
    }

    /// First minute of its first UTC hour.
    #[must_use]
    pub fn from_minute(&self) -> Minute {
        self.days.first().map_or(Minute(0), |day| day.from)
    }

    /// First minute of the first UTC hour after it.
    #[must_use]
    pub fn until_minute(&self) -> Minute {
        self.days.last().map_or(Minute(0), |day| day.until)
    }

    /// UTC hours in it: 168, or 167 and 169 when clocks change.
    #[must_use]
    pub fn hours(&self) -> i64 {
        self.days.iter().map(Period::hours).sum()
    }

    /// Both ends by the local clock: `2026-11-16T00:00:00+01:00`, and the first moment after.
    #[must_use]
    pub fn ends_by_clock(&self, zone: &Zone) -> [String; 2] {
        [self.from_minute(), self.until_minute()].map(|minute| zone.local(minute.start()))
    }
}

/// The day `days` after `day`.
pub(super) fn later(day: Date, days: i64) -> Result<Date, DaysError> {
    use jiff::ToSpan as _;
    Ok(day.checked_add(days.days())?)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    const DAYS: [Weekday; 7] = [
        Weekday::Monday,
        Weekday::Tuesday,
        Weekday::Wednesday,
        Weekday::Thursday,
        Weekday::Friday,
        Weekday::Saturday,
        Weekday::Sunday,
    ];
    const ZONES: [&str; 9] = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "America/St_Johns",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "Pacific/Apia",
        "Africa/Casablanca",
    ];

    #[test]
    fn weeks_in_which_clocks_change_are_an_hour_longer_or_shorter() {
        let berlin = Zone::named("Europe/Berlin").unwrap();
        let hours = |day| Week::holding(&berlin, Weekday::Monday, day).unwrap().hours();
        assert_eq!(hours(date(2026, 3, 29)), 167);
        assert_eq!(hours(date(2026, 10, 25)), 169);
        assert_eq!(hours(date(2026, 11, 18)), 168);
        let week = Week::named(&berlin, Weekday::Monday, "2026-W43").unwrap();
        let ends = ["2026-10-19T00:00:00+02:00", "2026-10-26T00:00:00+01:00"];
        assert_eq!(week.ends_by_clock(&berlin), ends);
    }

    #[test]
    fn a_week_is_named_by_the_middle_whatever_day_it_begins_on() {
        let utc = Zone::utc();
        for first in DAYS {
            let week = Week::named(&utc, first, "2026-W47").unwrap();
            assert_eq!((week.begins.weekday(), week.name.as_str()), (first, "2026-W47"));
        }
        let check = |name: &str| {
            let found = Week::named(&utc, Weekday::Monday, name);
            assert!(matches!(found, Err(WeekError::Text(_))), "{name}: {found:?}");
        };
        for wrong in ["", "47", "2026-W54", "2026-W00", "2025-W53", "2026-W1x", "x-W01"] {
            check(wrong);
        }
        let last = Week::named(&utc, Weekday::Monday, "2026-W53").unwrap();
        assert_eq!((last.begins, last.ends), (date(2026, 12, 28), date(2027, 1, 4)));
    }

    proptest! {
        #[test]
        fn weeks_of_any_zone_and_first_day_tile_time(
            zone in 0..ZONES.len(), first in 0..7_usize, days in 800_i64..24_000,
        ) {
            let (zone, first) = (Zone::named(ZONES[zone]).unwrap(), DAYS[first]);
            let day = later(date(1970, 1, 1), days).unwrap();
            let week = Week::holding(&zone, first, day).unwrap();
            let before = week.before(&zone).unwrap();
            prop_assert_eq!(before.until_minute(), week.from_minute());
            prop_assert_eq!(before.ends, week.begins);
            prop_assert_ne!(&before.name, &week.name);
            prop_assert!(week.begins <= day && day < week.ends);
            prop_assert_eq!(Week::named(&zone, first, &week.name).unwrap(), week.clone());
            let of_days: i64 = week.days.iter().map(Period::hours).sum();
            prop_assert_eq!(of_days * 60, week.until_minute().0 - week.from_minute().0);
            // The last week at any moment is over by then, and the next is not.
            let next = week.until_minute().start();
            let at = EventTime(next.0 - 1);
            // Off the hour the clock shows the next week before its first whole hour.
            if zone.moment(&format!("{}T00:00", week.ends)) == Some(next) {
                prop_assert_eq!(Week::last(&zone, first, at).unwrap(), before);
            }
            prop_assert_eq!(Week::last(&zone, first, next).unwrap(), week);
        }
    }
}
