//! Local days, weeks and months as ranges of whole UTC hours, which is how sums are kept.
//!
//! A local day begins at the first moment whose local date is that day or a later one, and ends where
//! the next begins. So days never overlap and leave nothing out, whatever the clocks of a zone do: a
//! day of 23 or 25 hours, a clock put back over midnight (the hour counts to the day already begun), a
//! day that never was (no period).
//!
//! An hour of UTC belongs to the local day in which it begins. Where a zone lies whole hours from UTC
//! that is exact. In the others (India, Nepal, Lord Howe in winter) sums of hours cannot be cut at
//! midnight: the day is taken to begin up to 59 minutes later, the same minutes every day, and
//! [`Period::shift_min`] says how many.

use std::fmt;

pub use jiff::civil::{Date, Weekday};
use jiff::tz::{AmbiguousOffset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp, ToSpan as _};

use crate::time::{EventTime, HOUR_MS, MINUTE_MS, Minute};

/// Most periods one question may ask for: every hour of thirteen months.
pub const MOST_PERIODS: usize = 10_000;

/// Why there are no periods.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DaysError {
    /// The IANA database knows no such zone.
    #[error("unknown time zone {0:?}: write a name such as Europe/Berlin, or UTC")]
    UnknownZone(String),
    /// More than [`MOST_PERIODS`].
    #[error("more than {MOST_PERIODS} lines: ask for a shorter time or longer steps")]
    TooMany,
    /// A date beyond the calendar.
    #[error("a date is out of range")]
    OutOfRange,
}

impl From<jiff::Error> for DaysError {
    fn from(_: jiff::Error) -> Self {
        Self::OutOfRange
    }
}

/// A time zone by the rules that this program brings along, not by those of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Zone {
    name: String,
    rules: TimeZone,
}

/// How time is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// UTC hours, shown in local time.
    Hour,
    /// Local days.
    Day,
    /// Local weeks from Monday (ISO 8601).
    Week,
    /// Local months.
    Month,
}

/// A local day, week or month, or one hour.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Period {
    /// What it is called: `2026-10-25`, `2026-W43`, `2026-10` or `2026-10-25T02:00+02:00`.
    pub name: String,
    /// When it begins by the local clock.
    pub begins: EventTime,
    /// First minute of the first UTC hour that counts to it.
    pub from: Minute,
    /// First minute of the first UTC hour after it.
    pub until: Minute,
    /// True when the question began or ended within it, so that it is not whole.
    pub is_cut: bool,
}

impl Period {
    /// UTC hours in it.
    #[must_use]
    pub const fn hours(&self) -> i64 {
        (self.until.0 - self.from.0) / 60
    }

    /// Minutes by which it is taken to begin later than it does: 0 where the zone lies whole hours
    /// from UTC.
    #[must_use]
    pub const fn shift_min(&self) -> i64 {
        (self.from.start().0 - self.begins.0).div_euclid(MINUTE_MS)
    }
}

impl Zone {
    /// The zone of this IANA name, in any case.
    ///
    /// # Errors
    /// There is none.
    pub fn named(name: &str) -> Result<Self, DaysError> {
        let unknown = |_| DaysError::UnknownZone(name.to_owned());
        let rules = TimeZoneDatabase::bundled().get(name).map_err(unknown)?;
        let name = rules.iana_name().unwrap_or(name).to_owned();
        Ok(Self { name, rules })
    }

    /// Coordinated Universal Time.
    #[must_use]
    pub fn utc() -> Self {
        Self { name: "UTC".to_owned(), rules: TimeZone::UTC }
    }

    /// Its IANA name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The local day that `at` belongs to.
    ///
    /// # Errors
    /// A moment beyond the calendar.
    pub fn day_of(&self, at: EventTime) -> Result<Date, DaysError> {
        let mut day = self.rules.to_datetime(Timestamp::from_millisecond(at.0)?).date();
        // A clock that was put back over midnight shows the date of a day that is over.
        while self.day_begins(day.tomorrow()?)? <= at {
            day = day.tomorrow()?;
        }
        Ok(day)
    }

    /// The first moment whose local date is `day` or later. For a day that never was, when the next
    /// begins.
    fn day_begins(&self, day: Date) -> Result<EventTime, DaysError> {
        let midnight = self.rules.to_ambiguous_timestamp(day.at(0, 0, 0, 0));
        let begins = match midnight.offset() {
            AmbiguousOffset::Unambiguous { .. } | AmbiguousOffset::Fold { .. } => {
                midnight.earlier()?
            }
            // There was no midnight: the clock went past it at the last change before what would
            // have been midnight without it.
            AmbiguousOffset::Gap { .. } => {
                let without = midnight.later()?;
                let changes = self.rules.preceding(without.checked_add(1.nanosecond())?).next();
                changes.map_or(without, |change| change.timestamp())
            }
        };
        Ok(EventTime(begins.as_millisecond()))
    }

    /// Day of the week from Monday (0 to 6) and minute of the day, by the local clock.
    ///
    /// # Errors
    /// A moment beyond the calendar.
    pub fn week_minute(&self, at: EventTime) -> Result<(usize, u16), DaysError> {
        let local = self.rules.to_datetime(Timestamp::from_millisecond(at.0)?);
        let day = usize::try_from(local.weekday().to_monday_zero_offset()).unwrap_or(0);
        let minute = i16::from(local.hour()) * 60 + i16::from(local.minute());
        Ok((day, u16::try_from(minute).unwrap_or(0)))
    }

    /// The moment that a local date and time, such as `2026-12-01T22:00`, means: the first where the
    /// clock shows it twice, the change itself where never. `None` for anything else.
    #[must_use]
    pub fn moment(&self, local: &str) -> Option<EventTime> {
        let local: jiff::civil::DateTime = local.parse().ok()?;
        let at = self.rules.to_ambiguous_timestamp(local).compatible().ok()?;
        Some(EventTime(at.as_millisecond()))
    }

    /// `at` by the local clock, such as `2026-10-25T02:00:00+02:00`.
    #[must_use]
    pub fn local(&self, at: EventTime) -> String {
        Timestamp::from_millisecond(at.0).map_or_else(
            |_| at.to_string(),
            |at| at.display_with_offset(self.rules.to_offset(at)).to_string(),
        )
    }

    /// The periods from the local day `from` until before the local day `until`, in order, without
    /// overlap or hole. The first and last may be [cut](Period::is_cut).
    ///
    /// # Errors
    /// More than [`MOST_PERIODS`], or dates beyond the calendar.
    pub fn periods(&self, step: Step, from: Date, until: Date) -> Result<Vec<Period>, DaysError> {
        if step == Step::Hour {
            return self.hours(from, until);
        }
        let mut periods = Vec::new();
        let mut day = from;
        while day < until {
            let whole = step.begin(day)?;
            let next = step.after(whole)?;
            let begins = self.day_begins(day)?;
            let ends = self.day_begins(next.min(until))?;
            let period = Period {
                name: step.name(whole),
                begins,
                from: first_hour(begins),
                until: first_hour(ends),
                is_cut: whole < day || until < next,
            };
            day = next;
            if period.hours() > 0 {
                push(&mut periods, period)?;
            }
        }
        Ok(periods)
    }

    fn hours(&self, from: Date, until: Date) -> Result<Vec<Period>, DaysError> {
        let mut periods = Vec::new();
        let mut start = first_hour(self.day_begins(from)?);
        let end = first_hour(self.day_begins(until)?);
        while start < end {
            let next = start.window(60).next().start;
            let begins = start.start();
            let mut name = self.local(begins);
            if name.get(16..19) == Some(":00") {
                name.replace_range(16..19, "");
            }
            push(&mut periods, Period { name, begins, from: start, until: next, is_cut: false })?;
            start = next;
        }
        Ok(periods)
    }
}

fn push(periods: &mut Vec<Period>, period: Period) -> Result<(), DaysError> {
    if periods.len() >= MOST_PERIODS {
        return Err(DaysError::TooMany);
    }
    periods.push(period);
    Ok(())
}

/// The first UTC hour that begins at `at` or later.
const fn first_hour(at: EventTime) -> Minute {
    Minute(-(-at.0).div_euclid(HOUR_MS) * 60)
}

impl Step {
    /// The first day of the period that holds `day`.
    ///
    /// # Errors
    /// A date beyond the calendar.
    pub fn begin(self, day: Date) -> Result<Date, DaysError> {
        match self {
            Self::Hour | Self::Day => Ok(day),
            Self::Week => {
                let since_monday = i64::from(day.weekday().to_monday_zero_offset());
                Ok(day.checked_sub(since_monday.days())?)
            }
            Self::Month => Ok(day.first_of_month()),
        }
    }

    /// The first day of the period after the one that begins with `begin`.
    ///
    /// # Errors
    /// A date beyond the calendar.
    pub fn after(self, begin: Date) -> Result<Date, DaysError> {
        let span = match self {
            Self::Hour | Self::Day => 1.day(),
            Self::Week => 1.week(),
            Self::Month => 1.month(),
        };
        Ok(begin.checked_add(span)?)
    }

    fn name(self, begin: Date) -> String {
        match self {
            Self::Hour | Self::Day => begin.to_string(),
            Self::Week => {
                let week = begin.iso_week_date();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
            Self::Month => format!("{:04}-{:02}", begin.year(), begin.month()),
        }
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

#[cfg(test)]
mod tests {
    use jiff::civil::{Time, date};
    use proptest::prelude::*;

    use super::*;

    fn all() -> Vec<Zone> {
        let names = TimeZoneDatabase::bundled();
        let zones: Vec<_> =
            names.available().map(|name| Zone::named(name.as_str()).unwrap()).collect();
        assert!(zones.len() > 400, "only {} zones", zones.len());
        zones
    }

    fn zone(name: &str) -> Zone {
        Zone::named(name).unwrap()
    }

    /// The first moment of a day, by walking the clock minute by minute.
    fn walked(zone: &Zone, day: Date, near: EventTime) -> EventTime {
        let shown =
            |ms: i64| zone.rules.to_datetime(Timestamp::from_millisecond(ms).unwrap()).date();
        // Offsets of zones are whole minutes since 1972.
        let mut at = near.0 - 27 * HOUR_MS;
        while shown(at) < day {
            at += MINUTE_MS;
        }
        EventTime(at)
    }

    /// Days tile their week, every hour counts to the day in which it begins, and none is cut short.
    #[track_caller]
    fn check_week(zone: &Zone, any: Date, steps: &[Step]) {
        let monday = Step::Week.begin(any).unwrap();
        let next = monday.checked_add(1.week()).unwrap();
        let week = zone.periods(Step::Week, monday, next).unwrap();
        let [week] = week.as_slice() else { panic!("{zone} {monday}: {week:?}") };
        assert!(!week.is_cut);
        for step in steps {
            let parts = zone.periods(*step, monday, next).unwrap();
            assert_eq!(parts.first().unwrap().from, week.from, "{zone} {monday}");
            assert_eq!(parts.last().unwrap().until, week.until, "{zone} {monday}");
            assert!(parts.windows(2).all(|pair| pair[0].until == pair[1].from), "{zone} {monday}");
            assert_eq!(parts.iter().map(Period::hours).sum::<i64>(), week.hours());
        }
        for day in zone.periods(Step::Day, monday, next).unwrap() {
            assert!((0..60).contains(&day.shift_min()), "{zone} {day:?}");
            let begins = Timestamp::from_millisecond(day.begins.0).unwrap();
            if zone.rules.to_datetime(begins).time() == Time::MIN {
                let off_the_hour = zone.rules.to_offset(begins).seconds() % 3600 != 0;
                assert_eq!(day.shift_min() != 0, off_the_hour, "{zone} {day:?}");
            }
            assert!((1..=48).contains(&day.hours()), "{zone} {day:?}");
            for hour in [day.from.0, day.from.0 + 60, day.until.0 - 60] {
                let of = zone.day_of(Minute(hour).start()).unwrap();
                assert_eq!(of.to_string(), day.name, "{zone}");
            }
        }
    }

    #[test]
    fn days_tile_the_week_around_every_change_of_every_zone() {
        let (first, last) = (date(1972, 1, 10), date(2037, 12, 20));
        let mut checked = 0;
        for zone in all() {
            let mut seen = None;
            let start = Timestamp::from_millisecond(zone.day_begins(first).unwrap().0).unwrap();
            for change in zone.rules.following(start) {
                let day = zone.rules.to_datetime(change.timestamp()).date();
                if day > last {
                    break;
                }
                let monday = Step::Week.begin(day).unwrap();
                if seen.replace(monday) != Some(monday) {
                    check_week(&zone, day, &[Step::Day]);
                    checked += 1;
                }
            }
            check_week(&zone, date(2026, 11, 24), &[Step::Day]);
        }
        assert!(checked > 10_000, "{checked}");
    }

    #[test]
    fn a_day_begins_at_the_first_moment_of_its_date_around_every_change() {
        for zone in all().iter().step_by(7).chain(&["America/St_Johns", "Pacific/Apia"].map(zone)) {
            let start = "2005-01-01T00:00:00Z".parse().unwrap();
            for change in zone.rules.following(start).take(24) {
                let day = zone.rules.to_datetime(change.timestamp()).date();
                for day in [day, day.tomorrow().unwrap()] {
                    let begins = zone.day_begins(day).unwrap();
                    assert_eq!(begins, walked(zone, day, begins), "{zone} {day}");
                }
            }
        }
    }

    proptest! {
        #[test]
        fn days_tile_any_week_of_any_zone(place in any::<prop::sample::Index>(), days in 730_i64..24_800) {
            let zones = all();
            let day = date(1970, 1, 1).checked_add(days.days()).unwrap();
            check_week(place.get(&zones), day, &[Step::Day, Step::Hour]);
        }

        #[test]
        fn weeks_and_months_tile_the_days_asked_for(
            place in any::<prop::sample::Index>(), days in 730_i64..24_000, length in 1_i64..400,
        ) {
            let zones = all();
            let zone = place.get(&zones);
            let from = date(1970, 1, 1).checked_add(days.days()).unwrap();
            let until = from.checked_add(length.days()).unwrap();
            let of = |step| zone.periods(step, from, until).unwrap();
            let by_day = of(Step::Day);
            for parts in [of(Step::Week), of(Step::Month)] {
                prop_assert_eq!(parts[0].from, by_day[0].from);
                prop_assert_eq!(parts.last().unwrap().until, by_day.last().unwrap().until);
                prop_assert!(parts.windows(2).all(|pair| pair[0].until == pair[1].from));
                let inner = parts.get(1..parts.len().saturating_sub(1)).unwrap_or_default();
                prop_assert!(inner.iter().all(|part| !part.is_cut));
            }
        }
    }

    #[track_caller]
    fn check(name: &str, from: Date, until: Date, expected: &[(&str, i64)]) {
        let periods = zone(name).periods(Step::Day, from, until).unwrap();
        let found: Vec<_> = periods.iter().map(|p| (p.name.as_str(), p.hours())).collect();
        assert_eq!(found, expected, "{name}");
    }

    #[test]
    fn days_are_as_long_as_the_clocks_make_them() {
        let autumn = [("2026-10-24", 24), ("2026-10-25", 25), ("2026-10-26", 24)];
        check("Europe/Berlin", date(2026, 10, 24), date(2026, 10, 27), &autumn);
        let spring = [("2026-03-28", 24), ("2026-03-29", 23), ("2026-03-30", 24)];
        check("Europe/Berlin", date(2026, 3, 28), date(2026, 3, 31), &spring);
        check("UTC", date(2026, 3, 29), date(2026, 3, 30), &[("2026-03-29", 24)]);
        // Samoa went over the date line: there was no 30 December 2011.
        let samoa = [("2011-12-29", 24), ("2011-12-31", 24)];
        check("Pacific/Apia", date(2011, 12, 29), date(2012, 1, 1), &samoa);
        check("Pacific/Apia", date(2011, 12, 30), date(2011, 12, 31), &[]);
        // Clocks went from 00:01 back to 23:01: that hour counts to the day already begun.
        let newfoundland = [("2010-11-06", 24), ("2010-11-07", 25), ("2010-11-08", 24)];
        check("America/St_Johns", date(2010, 11, 6), date(2010, 11, 9), &newfoundland);
        // No midnight: from 23:59:59 to 01:00.
        let brazil = [("2018-11-03", 24), ("2018-11-04", 23)];
        check("America/Sao_Paulo", date(2018, 11, 3), date(2018, 11, 5), &brazil);
    }

    #[test]
    fn a_zone_off_the_hour_says_by_how_much_its_days_are_shifted() {
        let shift = |name: &str, day: Date| {
            let periods = zone(name).periods(Step::Day, day, day.tomorrow().unwrap()).unwrap();
            (periods[0].shift_min(), zone(name).local(periods[0].from.start()))
        };
        let on = |minute: &str| format!("2026-06-10T00:{minute}");
        assert_eq!(shift("Asia/Kolkata", date(2026, 6, 10)), (30, on("30:00+05:30")));
        assert_eq!(shift("Asia/Kathmandu", date(2026, 6, 10)), (45, on("45:00+05:45")));
        assert_eq!(shift("Australia/Lord_Howe", date(2026, 6, 10)), (30, on("30:00+10:30")));
        assert_eq!(shift("Australia/Lord_Howe", date(2026, 1, 10)).0, 0);
        assert_eq!(shift("Europe/Berlin", date(2026, 6, 10)).0, 0);
    }

    #[test]
    fn periods_have_names_and_say_when_they_are_not_whole() {
        let berlin = zone("europe/berlin");
        assert_eq!(berlin.name(), "Europe/Berlin");
        let names = |step, from, until| -> Vec<(String, bool)> {
            let periods = berlin.periods(step, from, until).unwrap();
            periods.into_iter().map(|period| (period.name, period.is_cut)).collect()
        };
        let owned = |name: &str, is_cut| (name.to_owned(), is_cut);
        let (from, until) = (date(2026, 12, 31), date(2027, 1, 11));
        let weeks = [owned("2026-W53", true), owned("2027-W01", false)];
        assert_eq!(names(Step::Week, from, until), weeks);
        let months = [owned("2026-12", true), owned("2027-01", true)];
        assert_eq!(names(Step::Month, from, until), months);
        let hours = names(Step::Hour, date(2026, 10, 25), date(2026, 10, 26));
        assert_eq!(hours.len(), 25);
        assert_eq!(hours[2].0, "2026-10-25T02:00+02:00");
        assert_eq!(hours[3].0, "2026-10-25T02:00+01:00");
    }

    #[test]
    fn what_cannot_be_answered_is_said() {
        let unknown = Zone::named("Mars/Olympus").unwrap_err();
        assert!(unknown.to_string().contains("unknown time zone \"Mars/Olympus\""), "{unknown}");
        let hours = Zone::utc().periods(Step::Hour, date(2020, 1, 1), date(2026, 1, 1));
        assert_eq!(hours, Err(DaysError::TooMany));
        let ages = Zone::utc().periods(Step::Month, date(9999, 12, 1), Date::MAX);
        assert_eq!(ages, Err(DaysError::OutOfRange));
    }
}
