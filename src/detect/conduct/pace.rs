//! How one caller asks, minute by minute: whether its requests grow, or are all of one size.
//!
//! Sums, so that calls can be taken back and come in any order; that of calls within a minute is not kept.

use crate::detect::baseline::{as_float, count_as_float};
use crate::detect::series::SLOT_MIN;
use crate::time::Minute;

/// Minutes of a slot, [`SLOT_MIN`].
const MINUTES: usize = 5;
/// A larger request counts as one of this size (16 MiB), so that squares do not overflow.
const MAX_BYTES: u32 = 1 << 24;
/// What days count as rising: as TW-C14 is set in the table.
pub(super) const RISING: (f64, f64) = (0.8, 3.0);
/// Minutes with calls below which nothing rises: of eight means in any order, six in seven rise in one of 160.
const LEAST_MINUTES: usize = 8;
/// Requests are of one size where sizes stray less than this from their mean: a changing time stamp does.
const ONE_SIZE: f64 = 0.02;

/// Calls of one caller to one deployment in one slot whose sizes were told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Pace {
    /// Calls and the bytes of their requests, by minute.
    minutes: [(i32, i64); MINUTES],
    /// Sum of the squares of these bytes.
    squares: i64,
}

impl Pace {
    /// Adds `sign` calls of so many bytes.
    pub fn add(&mut self, minute: Minute, bytes: u32, sign: i32) {
        let bytes = i64::from(bytes.min(MAX_BYTES));
        let place = usize::try_from(minute.0.rem_euclid(SLOT_MIN)).unwrap_or(0);
        if let Some((calls, sum)) = self.minutes.get_mut(place) {
            *calls = calls.saturating_add(sign);
            *sum = sum.saturating_add(bytes * i64::from(sign));
        }
        self.squares = self.squares.saturating_add(bytes * bytes * i64::from(sign));
    }

    /// The sum of both: of several operations of one caller in one slot.
    #[must_use]
    pub fn plus(mut self, other: &Self) -> Self {
        for ((calls, sum), (more, bytes)) in self.minutes.iter_mut().zip(other.minutes) {
            *calls = calls.saturating_add(more);
            *sum = sum.saturating_add(bytes);
        }
        self.squares = self.squares.saturating_add(other.squares);
        self
    }

    /// Calls, their bytes, and the sum of the squares of these.
    #[must_use]
    pub fn sums(&self) -> [i64; 3] {
        let (calls, bytes) = self.minutes.iter().fold((0_i64, 0_i64), |(calls, bytes), minute| {
            (calls + i64::from(minute.0), bytes.saturating_add(minute.1))
        });
        [calls, bytes, self.squares]
    }
}

/// How the requests of one caller went on over several slots in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Course {
    /// Calls whose sizes were told.
    pub calls: i64,
    /// Share of minutes, each compared with the one before, whose requests were larger on average; 0 to 1.
    pub rising: f64,
    /// Mean size in the last minute, in that of the first.
    pub growth: f64,
    /// Whether all are of about one size.
    pub is_one_size: bool,
    /// Minutes in which there were calls.
    pub minutes: usize,
    /// Mean size of all in bytes.
    pub bytes: f64,
}

impl Course {
    /// Whether requests grow: in at least `share` of the minutes, and `growth` times by the end.
    #[must_use]
    pub fn is_rising(&self, share: f64, growth: f64) -> bool {
        self.minutes >= LEAST_MINUTES && self.rising >= share && self.growth >= growth
    }

    /// Of slots in their order; `None` where nothing was sent.
    #[must_use]
    pub fn of<'a>(slots: impl IntoIterator<Item = &'a Pace>) -> Option<Self> {
        let (mut sums, mut means) = ([0_i64; 3], Vec::new());
        for pace in slots {
            for (sum, more) in sums.iter_mut().zip(pace.sums()) {
                *sum = sum.saturating_add(more);
            }
            let told = pace.minutes.iter().filter(|(calls, _)| *calls > 0);
            means.extend(told.map(|(calls, bytes)| as_float(*bytes) / f64::from(*calls)));
        }
        let [calls, bytes, squares] = sums;
        let (first, last) = (*means.first()?, *means.last()?);
        let pairs = means.iter().zip(means.iter().skip(1));
        let up = pairs.clone().filter(|(before, after)| after > before).count();
        let share = |part: usize, of: usize| {
            let [part, of] = [part, of].map(count_as_float);
            if of > 0.0 { part / of } else { 0.0 }
        };
        Some(Self {
            calls,
            rising: share(up, pairs.count()),
            growth: if first > 0.0 { last / first } else { 0.0 },
            is_one_size: variation(calls, bytes, squares).is_some_and(|strays| strays <= ONE_SIZE),
            minutes: means.len(),
            bytes: as_float(bytes) / as_float(calls.max(1)),
        })
    }
}

/// Standard deviation of sizes in their mean, from their number, sum and sum of squares; `None` for no size.
#[must_use]
pub(super) fn variation(count: i64, sum: i64, squares: i64) -> Option<f64> {
    let [count, sum, squares] = [count, sum, squares].map(as_float);
    if count < 1.0 || sum <= 0.0 {
        return None;
    }
    let mean = sum / count;
    Some((squares / count - mean * mean).max(0.0).sqrt() / mean)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of calls in minutes from 0 on, each with sizes.
    fn course(minutes: &[&[u32]]) -> Course {
        let mut slots = [Pace::default(); 2];
        for (minute, sizes) in (0_i64..).zip(minutes) {
            let slot = usize::try_from(minute / SLOT_MIN).unwrap();
            sizes.iter().for_each(|bytes| slots[slot].add(Minute(minute), *bytes, 1));
        }
        Course::of(&slots).unwrap()
    }

    #[test]
    fn a_course_rises_or_stays() {
        let rises = course(&[&[100, 300], &[400], &[500], &[], &[600], &[700], &[500], &[800]]);
        assert_eq!((rises.calls, rises.minutes), (8, 7));
        assert!((rises.rising - 5.0 / 6.0).abs() < 1e-9 && (rises.growth - 4.0).abs() < 1e-9);
        assert!(!rises.is_one_size && !rises.is_rising(0.8, 3.0));
        let longer = course(&[&[1], &[2], &[3], &[4], &[5], &[6], &[7], &[8]]);
        assert!(longer.is_rising(0.8, 3.0) && !longer.is_rising(0.8, 9.0));
        let falls = course(&[&[9], &[2], &[3], &[2], &[5], &[6], &[7], &[38]]);
        assert!(!falls.is_rising(0.8, 3.0));
        let stays = course(&[&[4_000, 4_001, 3_999], &[4_000]]);
        assert!(stays.is_one_size && stays.growth < 1.1);
        assert_eq!(Course::of(&[Pace::default()]), None);
    }

    #[test]
    fn what_is_taken_back_leaves_nothing() {
        let mut pace = Pace::default();
        for (bytes, sign) in [(700, 1), (u32::MAX, 1), (700, -1), (u32::MAX, -1)] {
            pace.add(Minute(-3), bytes, sign);
        }
        assert_eq!(pace, Pace::default());
        assert_eq!(i64::try_from(MINUTES), Ok(SLOT_MIN));
    }
}
