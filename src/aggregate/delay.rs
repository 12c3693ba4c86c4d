//! How long records take, as counts in fixed buckets: sums that merge in any order, from which
//! quantiles are read.

use std::collections::BTreeMap;

use crate::time::{ArrivalTime, DAY_MS};

/// Buckets per doubling: a bucket is at most a quarter as wide as it is far from zero.
const PER_OCTAVE: i64 = 4;
/// log₂ of [`PER_OCTAVE`].
const SUB_BITS: u32 = 2;
/// Width of the first bucket: 2⁶ = 64 ms, below which nobody waits for anything.
const FIRST_BITS: u32 = 6;
/// The last bucket is reached at 2³¹ ms, 24 days; what takes longer shares it.
const MAX_BITS: u32 = 31;
/// Buckets a histogram may have: 64 ms to 24 days in quarter octaves, and one below.
pub const BUCKETS: i64 = (MAX_BITS - FIRST_BITS) as i64 * PER_OCTAVE + 1;
/// Largest relative error of a quantile read from buckets (their width over their lower bound).
pub const MAX_ERROR: f64 = 0.25;
/// Largest absolute error of a quantile below the second bucket, in milliseconds.
pub const MIN_ERROR_MS: i64 = 1 << FIRST_BITS;

/// The way a delay was spent on; the number is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Leg {
    /// From the record's own end to the hub: Azure's part.
    ToHub = 0,
    /// From the hub to us: ours.
    ToUs = 1,
}

/// Records by delay. Equal in whatever order they came.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Histogram(BTreeMap<i64, i64>);

/// The bucket of a delay; one that is negative, by clocks that differ, counts as none at all.
#[must_use]
pub fn bucket(delay_ms: i64) -> i64 {
    let delay_ms = delay_ms.clamp(0, (1 << MAX_BITS) - 1);
    if delay_ms < MIN_ERROR_MS {
        return 0;
    }
    let octave = delay_ms.ilog2();
    let quarter = (delay_ms >> (octave - SUB_BITS)) & (PER_OCTAVE - 1);
    i64::from(octave - FIRST_BITS) * PER_OCTAVE + quarter + 1
}

/// Lower bound (inside) and upper bound (outside) of a bucket in milliseconds.
#[must_use]
pub fn bounds(bucket: i64) -> (i64, i64) {
    let Some(above) = bucket.clamp(0, BUCKETS - 1).checked_sub(1).filter(|above| *above >= 0)
    else {
        return (0, MIN_ERROR_MS);
    };
    let octave = MIN_ERROR_MS << (above / PER_OCTAVE);
    let width = octave / PER_OCTAVE;
    let low = octave + above % PER_OCTAVE * width;
    (low, low + width)
}

impl Histogram {
    /// Counts one record.
    pub fn add(&mut self, delay_ms: i64) {
        self.put(bucket(delay_ms), 1);
    }

    /// Adds `records` to a bucket.
    pub fn put(&mut self, bucket: i64, records: i64) {
        let known = self.0.entry(bucket).or_default();
        *known = known.saturating_add(records);
    }

    /// Buckets and records in order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, i64)> {
        self.0.iter().map(|(bucket, records)| (*bucket, *records))
    }

    /// Adds all of the other's.
    pub fn merge(&mut self, other: &Self) {
        other.iter().for_each(|(bucket, records)| self.put(bucket, records));
    }

    /// Records in all.
    #[must_use]
    pub fn records(&self) -> i64 {
        self.0.values().fold(0, |sum, records| sum.saturating_add(*records))
    }

    /// The delay that `per_mille` thousandths of the records do not exceed, in milliseconds, to
    /// within [`MAX_ERROR`] or [`MIN_ERROR_MS`], whichever is more; `None` without records.
    #[must_use]
    pub fn quantile(&self, per_mille: i64) -> Option<i64> {
        let records = i128::from(self.records());
        // Nearest rank: the smallest value with at least this share at or below it.
        let wanted = (records * i128::from(per_mille)).div_euclid(1_000);
        let is_whole = (records * i128::from(per_mille)).rem_euclid(1_000) == 0;
        let rank = (wanted + i128::from(!is_whole)).clamp(1, records.max(1));
        let mut below = 0_i128;
        for (bucket, count) in self.iter() {
            let count = i128::from(count);
            if below + count >= rank {
                let (low, high) = bounds(bucket);
                // The records of a bucket are taken to lie evenly in it.
                let into = (i128::from(high - low) * (2 * (rank - below) - 1)) / (2 * count);
                return Some(low.saturating_add(i64::try_from(into).ok()?));
            }
            below += count;
        }
        None
    }

    /// Thousandths of the records that took longer than `delay_ms`, as far as buckets tell: all of
    /// the bucket in which `delay_ms` lies count as within. 0 without records.
    #[must_use]
    pub fn per_mille_above(&self, delay_ms: i64) -> i64 {
        let edge = bucket(delay_ms);
        let above = self.iter().filter(|(bucket, _)| *bucket > edge).map(|(_, n)| i128::from(n));
        let share = above.sum::<i128>() * 1_000 / i128::from(self.records().max(1));
        i64::try_from(share).unwrap_or(1_000)
    }
}

/// Delays by hub, day of arrival, kind and leg. Hubs come from the configuration, days from arrivals
/// and kinds from the table of decoders: nothing here grows with what records say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delays(BTreeMap<String, BTreeMap<(i64, &'static str, Leg), Histogram>>);

impl Delays {
    /// Counts one record of `kind` that the hub took at `enqueued`.
    pub fn add(
        &mut self,
        hub: &str,
        enqueued: ArrivalTime,
        (kind, leg): (&'static str, Leg),
        delay_ms: i64,
    ) {
        if !self.0.contains_key(hub) {
            self.0.insert(hub.to_owned(), BTreeMap::new());
        }
        if let Some(of_hub) = self.0.get_mut(hub) {
            of_hub.entry((enqueued.0.div_euclid(DAY_MS), kind, leg)).or_default().add(delay_ms);
        }
    }

    /// Hub, day, kind, leg and counts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64, &'static str, Leg, &Histogram)> {
        self.0.iter().flat_map(|(hub, of_hub)| {
            of_hub
                .iter()
                .map(move |((day, kind, leg), counts)| (hub.as_str(), *day, *kind, *leg, counts))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn buckets_follow_each_other_without_gap() {
        let mut end = 0;
        for number in 0..BUCKETS {
            let (low, high) = bounds(number);
            assert_eq!(low, end, "bucket {number}");
            assert_eq!((bucket(low), bucket(high - 1)), (number, number));
            end = high;
        }
        assert_eq!(end, 1 << MAX_BITS);
        assert_eq!((bucket(-5), bucket(i64::MAX)), (0, BUCKETS - 1));
    }

    #[test]
    fn nothing_has_no_quantile() {
        assert_eq!(Histogram::default().quantile(500), None);
        assert_eq!(Histogram::default().per_mille_above(0), 0);
    }

    proptest! {
        #[test]
        fn a_quantile_is_as_good_as_promised(
            mut delays in prop::collection::vec(
                prop_oneof![0_i64..200, 0_i64..600_000, 0_i64..(1 << MAX_BITS)], 1..300),
            per_mille in 1_i64..=1_000,
        ) {
            let mut histogram = Histogram::default();
            delays.iter().for_each(|delay_ms| histogram.add(*delay_ms));
            delays.sort_unstable();
            let count = i64::try_from(delays.len()).unwrap();
            let rank = (count * per_mille + 999) / 1_000;
            let exact = delays[usize::try_from(rank - 1).unwrap()];
            let read = histogram.quantile(per_mille).unwrap();
            // A quarter of the exact value, in integers.
            let allowed = (exact / PER_OCTAVE).max(MIN_ERROR_MS);
            prop_assert!((read - exact).abs() <= allowed, "{read} for {exact}");
        }

        #[test]
        fn the_order_of_arrival_does_not_matter(
            mut delays in prop::collection::vec((0_i64..3 * DAY_MS, 0_i64..900_000), 0..40)
        ) {
            let sum = |delays: &[(i64, i64)]| {
                let mut sum = Delays::default();
                for (at_ms, delay_ms) in delays {
                    sum.add("east", ArrivalTime(*at_ms), ("Audit", Leg::ToHub), *delay_ms);
                }
                sum
            };
            let forwards = sum(&delays);
            delays.reverse();
            prop_assert_eq!(forwards, sum(&delays));
        }
    }
}
