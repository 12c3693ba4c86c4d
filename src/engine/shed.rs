//! What goes when the database has a limit and comes near it: callers' detail, oldest first. Totals
//! stay, and reading goes on even above the limit.

use crate::event::Storage;
use crate::time::{ArrivalTime, EventTime, Minute};

/// From how many percent of the limit on callers' detail goes.
pub const NEARLY_FULL: u64 = 80;
/// At how many percent nothing is held back but what a restart needs.
pub const FULL: u64 = 100;

/// Callers' rows that begin before these minutes may go: by minute, five minutes and hour, in this
/// order, an hour of them at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shed {
    /// Of the rows by minute.
    pub minutes: Minute,
    /// Of the rows by five minutes.
    pub fives: Minute,
    /// Of the rows by hour.
    pub hours: Minute,
}

/// Minutes of each kind that stay while nearly full: callers of a quarter of a day by minute, what
/// an investigation of yesterday needs by five minutes, and the month that keeps them anyway.
const NEARLY: [i64; 3] = [6 * 60, 48 * 60, 30 * 24 * 60];
/// The same when full: what a late record may still correct (see `JoinSettings::needed_until`), the
/// slots that detectors compare after a restart, and the day in which the cap counts.
const AT_LEAST: [i64; 3] = [4 * 60 + 10, 6 * 60, 28 * 60];

impl Shed {
    /// What may go at this fill; `None` while there is room. `now` is the newest arrival.
    #[must_use]
    pub const fn of(storage: &Storage, now: ArrivalTime) -> Option<Self> {
        let keep = match storage.percent() {
            0..NEARLY_FULL => return None,
            NEARLY_FULL..FULL => NEARLY,
            FULL.. => AT_LEAST,
        };
        let Minute(now) = EventTime(now.0).minute();
        let [minutes, fives, hours] = keep;
        Some(Self {
            minutes: Minute(now.saturating_sub(minutes)),
            fives: Minute(now.saturating_sub(fives)),
            hours: Minute(now.saturating_sub(hours)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuller_the_more_may_go() {
        let of = |used| {
            let storage = Storage { used, limit: 1_000, removed: [0; 3] };
            Shed::of(&storage, ArrivalTime(100 * 86_400_000))
        };
        assert_eq!(of(799), None);
        let (nearly, full) = (of(800).unwrap(), of(1_000).unwrap());
        assert_eq!(of(999), Some(nearly));
        assert_eq!(of(u64::MAX), Some(full));
        let day = 24 * 60;
        assert_eq!(nearly.hours, Minute(70 * day));
        assert!(nearly.minutes < full.minutes && nearly.fives < full.fives);
        assert!(nearly.hours < full.hours && full.hours < Minute(99 * day));
    }
}
