//! Who falls quiet together: a holiday empties the offices of a region at once, and is no outage.
//!
//! Deployments are peers when their weeks look alike: those that rest at weekends, by the hour of their day's
//! centre (which is the time zone of the people behind them), and all others together. Where many peers fall
//! at once, the fall of each is the fleet's and not its own.

use serde::{Deserialize, Serialize};

use super::observed::Grid;
use super::ring::Ring;
use super::verdict::Verdict;
use crate::detect::baseline::as_float;

/// Hours of the centre told apart.
const HOURS: usize = 24;
/// Days looked at: two weeks.
const DAYS: i64 = 14;
/// A pair of days with less than this share of the others' mean is a weekend.
const WEEKEND: f64 = 0.65;
/// Below this a day has no centre: length of the mean vector of its hours.
const CENTRED: f64 = 0.15;
/// Peers are those within this many hours either way.
const NEAR: usize = 2;
/// Fewer peers say nothing.
const ENOUGH_PEERS: u32 = 4;

/// Which deployments a deployment is compared with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Rhythm {
    /// Less than two weeks are known.
    #[default]
    Unknown,
    /// Works on weekdays, the day centred on this hour, UTC.
    Weekdays(u8),
    /// Any other.
    Other,
}

impl Rhythm {
    /// From calls by hour; `first` is the hour of day, UTC, at which the ring's hour 0 began.
    pub(super) fn of(calls: &Ring, first: i64, grid: Grid) -> Self {
        let (end, day) = (calls.next(), grid.hours_per_day());
        let start = end - DAYS * day;
        if start < calls.oldest() {
            return Self::Unknown;
        }
        let mut days = [0.0; 7];
        let (mut x, mut y, mut sum) = (0.0, 0.0, 0.0);
        for hour in start..end {
            let value = calls.at(hour);
            let clock = hour + first;
            let angle = as_float(clock.rem_euclid(day)) / as_float(day) * std::f64::consts::TAU;
            x += value * angle.cos();
            y += value * angle.sin();
            sum += value;
            let weekday = usize::try_from(clock.div_euclid(day).rem_euclid(7)).unwrap_or(0);
            if let Some(total) = days.get_mut(weekday) {
                *total += value;
            }
        }
        let all: f64 = days.iter().sum();
        let next = days.iter().cycle().skip(1);
        let rest = days.iter().zip(next).map(|(one, other)| one + other).fold(f64::MAX, f64::min);
        let is_weekly = rest / 2.0 < WEEKEND * (all - rest) / 5.0;
        if sum <= 0.0 || !is_weekly || x.hypot(y) < CENTRED * sum {
            return Self::Other;
        }
        let hour = (y.atan2(x) / std::f64::consts::TAU * 24.0).rem_euclid(24.0);
        let below = (0..24_u8).rfind(|each| f64::from(*each) <= hour);
        Self::Weekdays(below.unwrap_or(0))
    }
}

/// Deployments and how many of them have fallen, in one slot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    weekdays: [Count; HOURS],
    other: Count,
}

/// Deployments of one rhythm.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Count {
    fallen: u32,
    all: u32,
}

impl Fleet {
    /// Counts one deployment by its verdict on the slot.
    pub fn hear(&mut self, verdict: &Verdict) {
        self.note(verdict.peers, verdict.fallen);
    }

    fn note(&mut self, rhythm: Rhythm, fallen: bool) {
        let count = match rhythm {
            Rhythm::Unknown => return,
            Rhythm::Weekdays(hour) => self.weekdays.get_mut(usize::from(hour)),
            Rhythm::Other => Some(&mut self.other),
        };
        if let Some(count) = count {
            count.all += 1;
            count.fallen += u32::from(fallen);
        }
    }

    /// Adds the counts of another part of the fleet.
    pub fn merge(&mut self, other: &Self) {
        let pairs = self.weekdays.iter_mut().zip(&other.weekdays);
        for (count, more) in pairs.chain([(&mut self.other, &other.other)]) {
            count.all += more.all;
            count.fallen += more.fallen;
        }
    }

    /// Share of the peers of a rhythm that have fallen, 0 to 1; `None` where there are fewer than four.
    #[must_use]
    pub fn share(&self, rhythm: Rhythm) -> Option<f64> {
        let count = match rhythm {
            Rhythm::Unknown => Count::default(),
            Rhythm::Other => self.other,
            Rhythm::Weekdays(hour) => {
                let first = usize::from(hour) + HOURS - NEAR;
                let near = self.weekdays.iter().cycle().skip(first).take(2 * NEAR + 1);
                near.fold(Count::default(), |sum, count| Count {
                    fallen: sum.fallen + count.fallen,
                    all: sum.all + count.all,
                })
            }
        };
        let enough = count.all >= ENOUGH_PEERS;
        enough.then(|| f64::from(count.fallen) / f64::from(count.all))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rhythm(of: impl Fn(i64, i64) -> f64) -> Rhythm {
        let mut ring = Ring::new(28 * 24);
        (0..20 * 24).for_each(|hour: i64| ring.push(of(hour.div_euclid(24) % 7, hour % 24)));
        Rhythm::of(&ring, 0, Grid::FIVE_MINUTES)
    }

    #[test]
    fn offices_are_told_apart_by_their_hours() {
        let office = |noon: i64| {
            move |day: i64, hour: i64| {
                let rest = if day >= 5 { 0.1 } else { 1.0 };
                if (hour - noon).abs() <= 4 { rest } else { 0.0 }
            }
        };
        assert_eq!(rhythm(office(12)), Rhythm::Weekdays(12));
        assert!(matches!(rhythm(office(6)), Rhythm::Weekdays(5 | 6)));
        assert_eq!(rhythm(|_, _| 1.0), Rhythm::Other);
        assert_eq!(rhythm(|_, hour| if hour > 18 { 1.0 } else { 0.1 }), Rhythm::Other);
    }

    #[test]
    fn a_holiday_is_seen_by_those_who_have_it() {
        let mut fleet = Fleet::default();
        for (hour, fallen) in [(11, true), (12, true), (12, true), (13, false), (20, false)] {
            fleet.note(Rhythm::Weekdays(hour), fallen);
        }
        (0..9).for_each(|_| fleet.note(Rhythm::Other, false));
        assert_eq!(fleet.share(Rhythm::Weekdays(12)), Some(0.75));
        assert_eq!(fleet.share(Rhythm::Weekdays(20)), None, "too few to say");
        assert_eq!(fleet.share(Rhythm::Other), Some(0.0));
        let mut twice = fleet.clone();
        twice.merge(&fleet);
        assert_eq!(twice.share(Rhythm::Weekdays(12)), fleet.share(Rhythm::Weekdays(12)));
    }
}
