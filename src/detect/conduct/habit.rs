//! How much and how evenly networks call, hour by hour: what takes longer to see than calls are kept.
//!
//! Sums of the last hours of every network that called enough to matter, and of the hours before a mean.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::pace::variation;
use crate::detect::baseline::as_float;
use crate::detect::series::{SLOTS_PER_HOUR, Slot};

/// Hours kept one by one, and the most that a rule may look back.
const KEEP_HOURS: i64 = 8;
/// The same as a threshold.
pub const MOST_HOURS: f64 = 8.0;
/// Networks of which an hour is kept: those with the most calls.
const MAX_NETWORKS: usize = 512;
/// Calls in an hour that are worth to be kept: one for each slot.
const LEAST_CALLS: i64 = SLOTS_PER_HOUR;
/// Networks whose mean is kept; beyond it those with the fewest hours go.
const MAX_USUAL: usize = 1024;
/// Hours that a mean counts before they are halved, so that it follows what changes: two weeks.
const MAX_HOURS: u32 = 14 * 24;

/// Sums over the slots of an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Hour {
    /// Calls, and the sum of the squares of those of each slot.
    pub calls: (i64, i64),
    /// The same of calls to stores: threads, files, responses.
    pub store: (i64, i64),
    /// Calls whose size was told, the bytes of their requests, and the sum of the squares of these.
    pub sizes: (i64, i64, i64),
}

impl Hour {
    /// The sum of both; of a slot and an hour, of which it becomes part.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        const fn pair(a: (i64, i64), b: (i64, i64)) -> (i64, i64) {
            (a.0.saturating_add(b.0), a.1.saturating_add(b.1))
        }
        let (sizes, more) = (self.sizes, other.sizes);
        let (of_two, of_three) =
            (pair((sizes.0, sizes.1), (more.0, more.1)), sizes.2.saturating_add(more.2));
        Self {
            calls: pair(self.calls, other.calls),
            store: pair(self.store, other.store),
            sizes: (of_two.0, of_two.1, of_three),
        }
    }

    /// How far requests stray from their mean size, in that mean; `None` where no size was told.
    #[must_use]
    pub fn size_variation(&self) -> Option<f64> {
        let (count, sum, squares) = self.sizes;
        variation(count, sum, squares)
    }
}

/// Mean calls of a slot and their variance, of a sum over slots and one of squares; slots without calls count.
#[must_use]
pub(super) fn evenness((calls, squares): (i64, i64), hours: i64) -> (f64, f64) {
    let slots = as_float(hours * SLOTS_PER_HOUR);
    let mean = as_float(calls) / slots;
    (mean, (as_float(squares) / slots - mean * mean).max(0.0))
}

/// The hours of networks.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Habits {
    /// By hour and network.
    hours: Vec<(i64, u32, Hour)>,
    /// Of hours no longer kept: how many, and their calls.
    usual: BTreeMap<u32, (u32, i64)>,
}

impl Habits {
    /// Adds what networks did in a slot that has closed; at the end of an hour keeps what matters of it.
    pub fn learn(&mut self, slot: Slot, seen: BTreeMap<u32, Hour>) {
        let now = slot.hour();
        for (network, sum) in seen {
            match self.hours.binary_search_by_key(&(now, network), |(hour, of, _)| (*hour, *of)) {
                Ok(place) => {
                    if let Some((_, _, known)) = self.hours.get_mut(place) {
                        *known = known.plus(sum);
                    }
                }
                Err(place) => self.hours.insert(place, (now, network, sum)),
            }
        }
        if slot.0 + 1 == Slot::of_hour(now + 1).0 {
            self.end_hour(now);
        }
    }

    fn end_hour(&mut self, hour: i64) {
        let first = self.hours.partition_point(|(known, _, _)| *known < hour);
        let mut ended = self.hours.split_off(first);
        ended.retain(|(_, _, sum)| sum.calls.0 >= LEAST_CALLS);
        ended.sort_by_key(|(_, network, sum)| (std::cmp::Reverse(sum.calls.0), *network));
        ended.truncate(MAX_NETWORKS);
        ended.sort_by_key(|(_, network, _)| *network);
        self.hours.append(&mut ended);
        let old = self.hours.partition_point(|(known, _, _)| *known <= hour - KEEP_HOURS);
        for (_, network, sum) in self.hours.drain(..old) {
            let (hours, calls) = self.usual.entry(network).or_default();
            (*hours, *calls) = (*hours + 1, calls.saturating_add(sum.calls.0));
            if *hours >= MAX_HOURS {
                (*hours, *calls) = (*hours / 2, *calls / 2);
            }
        }
        while self.usual.len() > MAX_USUAL {
            let fewest = self
                .usual
                .iter()
                .map(|(network, (hours, _))| (*hours, std::cmp::Reverse(*network)));
            let Some((_, std::cmp::Reverse(fewest))) = fewest.min() else { return };
            self.usual.remove(&fewest);
        }
    }

    /// What networks did in each of the `count` whole hours before the one that holds `slot`; only of those
    /// that called enough in every one of them.
    #[must_use]
    pub fn steady(&self, slot: Slot, count: i64) -> BTreeMap<u32, Vec<Hour>> {
        let hours = slot.hour() - count..slot.hour();
        let mut steady: BTreeMap<u32, Vec<Hour>> = BTreeMap::new();
        for (_, network, sum) in self.hours.iter().filter(|(hour, _, _)| hours.contains(hour)) {
            steady.entry(*network).or_default().push(*sum);
        }
        steady.retain(|_, hours| i64::try_from(hours.len()) == Ok(count));
        steady
    }

    /// Mean calls of a network in an hour in which it calls, of more than [`KEEP_HOURS`] ago; `None`
    /// where it never called that much.
    #[must_use]
    pub fn usual(&self, network: u32) -> Option<f64> {
        let (hours, calls) = self.usual.get(&network)?;
        Some(as_float(*calls) / f64::from((*hours).max(1)))
    }

    /// The largest of these means.
    #[must_use]
    pub fn busiest(&self) -> Option<f64> {
        let means = self.usual.keys().filter_map(|network| self.usual(*network));
        means.reduce(f64::max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(count: i64) -> Hour {
        Hour { calls: (count, count * count), ..Hour::default() }
    }

    /// Habits of an hour after another, in each slot of which networks call so often.
    fn after(hours: i64, of: impl Fn(i64) -> BTreeMap<u32, Hour>) -> Habits {
        let mut habits = Habits::default();
        (0..hours * SLOTS_PER_HOUR).for_each(|slot| habits.learn(Slot(slot), of(slot)));
        habits
    }

    #[test]
    fn hours_are_kept_and_then_become_a_mean() {
        let habits = after(20, |slot| {
            let idle = if slot % SLOTS_PER_HOUR == 0 { 11 } else { 0 };
            BTreeMap::from([(2, calls(5)), (3, calls(idle)), (4, calls(slot % 2 * 2))])
        });
        let now = Slot::of_hour(20);
        let steady = habits.steady(now, 6);
        assert_eq!(steady.keys().copied().collect::<Vec<_>>(), [2, 4]);
        assert_eq!(steady.get(&2).unwrap()[5].calls, (60, 300));
        assert_eq!(habits.usual(2), Some(60.0));
        assert_eq!((habits.usual(3), habits.busiest()), (None, Some(60.0)));
        assert_eq!(habits.steady(Slot::of_hour(21), 6), BTreeMap::new());
        assert!((as_float(KEEP_HOURS) - MOST_HOURS).abs() < f64::EPSILON);
        assert_eq!(habits.steady(now, KEEP_HOURS).len(), 2);
        assert_eq!(evenness((60, 300), 1), (5.0, 0.0));
        assert_eq!(evenness((12, 24), 1), (1.0, 1.0));
    }

    #[test]
    fn what_a_caller_controls_is_bounded() {
        let many = |slot: i64| {
            let first = u32::try_from(slot / SLOTS_PER_HOUR).unwrap() * 1_000;
            (first..first + 1_000)
                .map(|network| (network, calls(1)))
                .chain([(7, calls(9))])
                .collect()
        };
        let habits = after(12, many);
        assert_eq!(habits.hours.len(), 8 * MAX_NETWORKS);
        assert_eq!(habits.usual.len(), MAX_USUAL);
        assert!(habits.usual(7).is_some() && habits.steady(Slot::of_hour(12), 6).contains_key(&7));
    }
}
