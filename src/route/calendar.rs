//! Times of the week in a time zone: quiet hours, office hours, maintenance.

use crate::days::{DaysError, Zone};
use crate::time::EventTime;

/// Minutes in a day.
const DAY_MIN: u16 = 24 * 60;
/// Days of the week from Monday, as they are written.
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

/// The same hours on some days of every week, by the local clock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// Whose clock.
    pub zone: Zone,
    /// Days on which the hours begin, from Monday.
    pub days: [bool; 7],
    /// Minute of the day at which they begin.
    pub from: u16,
    /// Minute of the day at which they end, on the next day where that is not later; `from` itself
    /// means a whole day.
    pub until: u16,
}

impl Times {
    /// Whether `at` lies within. Where the clock is put back, both passes of an hour count.
    ///
    /// # Errors
    /// A moment beyond the calendar.
    pub fn contains(&self, at: EventTime) -> Result<bool, DaysError> {
        let (day, minute) = self.zone.week_minute(at)?;
        let on = |day: usize| self.days.get(day % 7).copied().unwrap_or(false);
        Ok(if self.from < self.until {
            on(day) && (self.from..self.until).contains(&minute)
        } else {
            (on(day) && minute >= self.from) || (on(day + 6) && minute < self.until)
        })
    }
}

/// Days as they are written: `mon`, `mon-fri`, `sat-mon`, `every`.
///
/// # Errors
/// What is wrong, in words.
pub fn days(texts: &[String]) -> Result<[bool; 7], String> {
    let mut on = [false; 7];
    for text in texts {
        let text = text.to_ascii_lowercase();
        if text == "every" {
            return Ok([true; 7]);
        }
        let (first, last) = text.split_once('-').unwrap_or((&text, &text));
        let number = |word: &str| {
            let known = DAYS.iter().position(|day| *day == word.trim());
            known.ok_or_else(|| format!("{word:?} is no day: write mon, mon-fri or every"))
        };
        let (first, last) = (number(first)?, number(last)?);
        for step in 0..=(last + 7 - first) % 7 {
            if let Some(day) = on.get_mut((first + step) % 7) {
                *day = true;
            }
        }
    }
    Ok(on)
}

/// A time of the day, `HH:MM`, as its minute; `24:00` is the end of the day.
///
/// # Errors
/// What is wrong, in words.
pub fn minute(text: &str) -> Result<u16, String> {
    let read = text.split_once(':').and_then(|(hour, minute)| {
        let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
        let total = hour.checked_mul(60)?.checked_add(minute)?;
        (minute < 60 && total <= DAY_MIN && text.len() == 5).then_some(total % DAY_MIN)
    });
    read.ok_or_else(|| format!("{text:?} is no time of the day: write \"22:00\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> EventTime {
        let at: jiff::Timestamp = text.parse().unwrap();
        EventTime(at.as_millisecond())
    }

    fn texts(days: &[&str]) -> Vec<String> {
        days.iter().map(|day| (*day).to_owned()).collect()
    }

    #[test]
    fn a_night_belongs_to_the_day_it_begins_on() {
        let nights = Times {
            zone: Zone::named("Europe/Berlin").unwrap(),
            days: days(&texts(&["mon-fri"])).unwrap(),
            from: minute("22:00").unwrap(),
            until: minute("07:00").unwrap(),
        };
        // 2026-11-23 is a Monday; Berlin is an hour ahead.
        for (text, inside) in [
            ("2026-11-23T20:59:59Z", false),
            ("2026-11-23T21:00:00Z", true),
            ("2026-11-24T05:59:59Z", true),
            ("2026-11-24T06:00:00Z", false),
            ("2026-11-28T04:00:00Z", true), // Saturday morning ends Friday's night
            ("2026-11-28T22:00:00Z", false), // Saturday's night does not count
            ("2026-11-23T04:00:00Z", false), // nor does the end of Sunday's
        ] {
            assert_eq!(nights.contains(at(text)).unwrap(), inside, "{text}");
        }
    }

    #[test]
    fn local_hours_follow_the_clock_through_its_changes() {
        let hours = Times {
            zone: Zone::named("Europe/Berlin").unwrap(),
            days: [true; 7],
            from: minute("02:00").unwrap(),
            until: minute("03:00").unwrap(),
        };
        let minutes = |day: &str| {
            let start = at(day).0;
            let inside =
                (0..24 * 60).filter(|m| hours.contains(EventTime(start + m * 60_000)).unwrap());
            inside.count()
        };
        assert_eq!(minutes("2026-10-25T00:00:00Z"), 120, "the hour comes twice, once after 00:00Z");
        assert_eq!(minutes("2026-03-29T00:00:00Z"), 0, "the hour does not come");
        assert_eq!(minutes("2026-06-01T00:00:00Z"), 60);
    }

    #[test]
    fn days_and_times_are_read_or_refused_in_words() {
        assert_eq!(
            days(&texts(&["sat-mon"])).unwrap(),
            [true, false, false, false, false, true, true]
        );
        assert_eq!(days(&texts(&["every"])).unwrap(), [true; 7]);
        assert!(days(&texts(&["moon"])).unwrap_err().contains("\"moon\" is no day"));
        assert_eq!(minute("00:00"), Ok(0));
        assert_eq!(minute("24:00"), Ok(0));
        for wrong in ["24:01", "7:00", "12:60", "noon", "-1:00", ""] {
            assert!(minute(wrong).is_err(), "{wrong}");
        }
    }
}
