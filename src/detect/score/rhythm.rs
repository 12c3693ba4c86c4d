//! Who falls quiet together: a holiday empties the offices of a region at once, and is no outage.
//!
//! Deployments are peers when their weeks look alike: those that rest at weekends, by the hour of their day's
//! centre (which is the time zone of the people behind them), and all others together. Where many peers fall
//! at once, the fall of each is the fleet's and not its own.

use serde::{Deserialize, Serialize};

use super::observed::Grid;
use super::ring::Ring;
use super::verdict::Verdict;
use crate::detect::baseline::{as_float, count_as_float};

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
/// Log ratios told apart: from the first on, in steps.
const BINS: usize = 18;
const LOWEST: f64 = -2.4;
const WIDTH: f64 = 0.15;
/// How far below 0 the lower quartile of the log ratios of peers lies on an ordinary day.
const ORDINARY: f64 = 0.25;
/// By how much more than the lower quartile of its peers a deployment may fall with them: a holiday empties some
/// offices more than others.
const STRENGTH: f64 = 1.5;

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

/// How far the deployments of a fleet have fallen in one slot.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fleet {
    weekdays: [Ratios; HOURS],
    other: Ratios,
}

/// How many deployments of one rhythm have which log ratio of what is seen to what is expected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Ratios([u32; BINS]);

impl Fleet {
    /// Counts one deployment by its verdict on the slot.
    pub fn hear(&mut self, verdict: &Verdict) {
        let Some(fall) = verdict.fall else { return };
        match verdict.peers {
            Rhythm::Unknown => {}
            Rhythm::Weekdays(hour) => {
                if let Some(ratios) = self.weekdays.get_mut(usize::from(hour)) {
                    ratios.note(fall);
                }
            }
            Rhythm::Other => self.other.note(fall),
        }
    }

    /// Adds the counts of another part of the fleet.
    pub fn merge(&mut self, other: &Self) {
        self.weekdays.iter_mut().zip(&other.weekdays).for_each(|(one, more)| one.merge(more));
        self.other.merge(&other.other);
    }

    /// How far the peers of a rhythm have fallen together, by a log ratio of 0 and less; `None` where there are
    /// fewer than four.
    #[must_use]
    pub fn fall(&self, rhythm: Rhythm) -> Option<f64> {
        match rhythm {
            Rhythm::Unknown => None,
            Rhythm::Other => self.other.common(),
            Rhythm::Weekdays(hour) => {
                let first = usize::from(hour) + HOURS - NEAR;
                let mut sum = Ratios::default();
                let near = self.weekdays.iter().cycle().skip(first).take(2 * NEAR + 1);
                near.for_each(|ratios| sum.merge(ratios));
                sum.common()
            }
        }
    }
}

impl Ratios {
    fn merge(&mut self, more: &Self) {
        self.0.iter_mut().zip(more.0).for_each(|(count, more)| *count += more);
    }

    fn note(&mut self, ratio: f64) {
        let edges = (1..BINS).map(|bin| LOWEST + WIDTH * count_as_float(bin));
        let bin = edges.take_while(|edge| ratio >= *edge).count();
        if let Some(count) = self.0.get_mut(bin) {
            *count += 1;
        }
    }

    /// The lower quartile, less what it is on an ordinary day; one deployment alone, that which asks, moves it little.
    fn common(&self) -> Option<f64> {
        let all: u32 = self.0.iter().sum();
        if all < ENOUGH_PEERS {
            return None;
        }
        let rank = 1.0 + f64::from(all - 1) / 4.0;
        let (mut below, mut quartile) = (0.0, LOWEST);
        for (bin, count) in self.0.iter().enumerate() {
            let count = f64::from(*count);
            if below + count >= rank {
                quartile = LOWEST + WIDTH * (count_as_float(bin) + (rank - below) / count);
                break;
            }
            below += count;
        }
        Some(STRENGTH * (quartile + ORDINARY).min(0.0))
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
        let mut hear = |peers, fall| {
            fleet.hear(&Verdict { fall: Some(fall), peers, ..Verdict::default() });
        };
        let falls = [-1.4, -1.2, -1.0, -0.9, 0.1];
        falls.into_iter().for_each(|fall| hear(Rhythm::Weekdays(12), fall));
        hear(Rhythm::Weekdays(20), -1.4);
        (0..9).for_each(|_| hear(Rhythm::Other, 0.0));
        let common = fleet.fall(Rhythm::Weekdays(13)).unwrap();
        assert!(
            (-1.8..-1.2).contains(&common),
            "half as far again as the lower quartile: {common}"
        );
        assert_eq!(fleet.fall(Rhythm::Weekdays(20)), None, "too few to say");
        assert_eq!(fleet.fall(Rhythm::Other), Some(0.0));
        let mut twice = fleet.clone();
        twice.merge(&fleet);
        let merged = twice.fall(Rhythm::Weekdays(12)).unwrap();
        assert!((merged - common).abs() < 0.2, "{merged} {common}");
    }

    #[test]
    fn one_that_falls_alone_moves_its_peers_little() {
        let mut fleet = Fleet::default();
        for fall in [-3.0, 0.1, 0.0, -0.1, 0.2, 0.0] {
            fleet.hear(&Verdict { fall: Some(fall), peers: Rhythm::Other, ..Verdict::default() });
        }
        assert_eq!(fleet.fall(Rhythm::Other), Some(0.0));
    }
}
