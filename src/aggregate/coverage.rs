//! Schema coverage: how many records of each kind said what, by the day they arrived.

use std::collections::BTreeMap;

use crate::event::Seen;
use crate::time::{ArrivalTime, DAY_MS};

/// Days before a day that say what is usual.
pub const HISTORY_DAYS: i64 = 7;
/// Fewest records of a kind that make its shares of a day worth comparing.
const ENOUGH: i64 = 200;
/// Shares below a fifth come and go with who calls; thousandths.
const USUAL_PER_MILLE: i64 = 200;

/// What a record may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// Token counts.
    Tokens,
    /// Who called.
    Identity,
    /// The deployment.
    Deployment,
    /// The caller's network.
    Network,
}

impl Field {
    /// All of them, the gravest loss first.
    pub const ALL: [Self; 4] = [Self::Tokens, Self::Deployment, Self::Network, Self::Identity];

    /// How it is called in output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Identity => "identity",
            Self::Deployment => "deployment",
            Self::Network => "network",
        }
    }

    /// Thousandths of the records that say it; 0 without records.
    #[must_use]
    pub fn per_mille(self, seen: &Seen) -> i64 {
        let part = match self {
            Self::Tokens => seen.tokens,
            Self::Identity => seen.identity,
            Self::Deployment => seen.deployment,
            Self::Network => seen.caller,
        };
        let share = i128::from(part) * 1_000 / i128::from(seen.records.max(1));
        i64::try_from(share).unwrap_or(0)
    }
}

/// A share that has fallen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fall {
    /// Of what.
    pub field: Field,
    /// Usual share in thousandths.
    pub usual: i64,
    /// Share of the day in thousandths.
    pub share: i64,
    /// Records of the day.
    pub records: i64,
}

/// Counts by day and kind. Days come from arrivals, which no record can forge, and kinds are those
/// of the table of decoders: nothing here grows with what records say.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Coverage {
    days: BTreeMap<(i64, &'static str), Seen>,
}

impl Coverage {
    /// Adds records of `kind` that arrived at `arrived`.
    pub fn add(&mut self, arrived: ArrivalTime, kind: &'static str, seen: Seen) {
        if seen.records > 0 {
            self.put(arrived.0.div_euclid(DAY_MS), kind, seen);
        }
    }

    /// Adds what `other` has counted.
    pub fn merge(&mut self, other: &Self) {
        for (day, kind, seen) in other.iter() {
            self.put(day, kind, seen);
        }
    }

    /// Adds counts of a day.
    pub fn put(&mut self, day: i64, kind: &'static str, seen: Seen) {
        let known = self.days.entry((day, kind)).or_default();
        *known = known.merged(seen);
    }

    /// Drops days before `day`.
    pub fn forget(&mut self, day: i64) {
        self.days = self.days.split_off(&(day, ""));
    }

    /// What records of `kind` said less of on `day` than on the days before it.
    ///
    /// A share that usually is at least a fifth has fallen when it is less than half of the usual
    /// one: the median of the [`HISTORY_DAYS`] days before, of those with enough records. Nothing is
    /// said of days with few records.
    #[must_use]
    pub fn falls(&self, day: i64, kind: &'static str) -> Vec<Fall> {
        let of = |day: i64| self.days.get(&(day, kind)).filter(|seen| seen.records >= ENOUGH);
        let Some(now) = of(day) else { return Vec::new() };
        let before: Vec<&Seen> = (day - HISTORY_DAYS..day).filter_map(of).collect();
        let fall = |field: &Field| {
            let mut usual: Vec<i64> = before.iter().map(|seen| field.per_mille(seen)).collect();
            usual.sort_unstable();
            // The lower of two middle ones: a fall is told late rather than without cause.
            let usual = *usual.get(usual.len().checked_sub(1)? / 2)?;
            let share = field.per_mille(now);
            let has_fallen = usual >= USUAL_PER_MILLE && share.saturating_mul(2) < usual;
            has_fallen.then_some(Fall { field: *field, usual, share, records: now.records })
        };
        Field::ALL.iter().filter_map(fall).collect()
    }

    /// Kinds of which a day counts anything.
    pub fn kinds(&self, day: i64) -> impl Iterator<Item = &'static str> {
        self.days.range((day, "")..(day + 1, "")).map(|((_, kind), _)| *kind)
    }

    /// Days since 1970, kinds and counts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, &'static str, Seen)> {
        self.days.iter().map(|((day, kind), seen)| (*day, *kind, *seen))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [&str; 2] = ["RequestResponse", "Audit"];

    fn seen(records: i64, tokens: i64) -> Seen {
        Seen { records, tokens, ..Seen::default() }
    }

    #[test]
    fn records_count_for_the_day_they_arrived() {
        let mut coverage = Coverage::default();
        for (at_ms, tokens) in [(0, 1), (DAY_MS - 1, 0), (DAY_MS, 1), (-1, 1)] {
            coverage.add(ArrivalTime(at_ms), "RequestResponse", seen(1, tokens));
        }
        coverage.add(ArrivalTime(0), "Audit", seen(0, 0));
        let found: Vec<_> = coverage.iter().map(|(day, _, seen)| (day, seen)).collect();
        assert_eq!(found, [(-1, seen(1, 1)), (0, seen(2, 1)), (1, seen(1, 1))]);
    }

    /// Days of 1,000 records with so many tokens each, the last of them judged.
    #[track_caller]
    fn check(records: i64, tokens: &[i64], expected: Option<(i64, i64)>) {
        let mut coverage = Coverage::default();
        let mut day = 0;
        for tokens in tokens {
            day += 1;
            coverage.put(day, "RequestResponse", seen(records, *tokens));
        }
        let falls = coverage.falls(day, "RequestResponse");
        let found: Vec<_> = falls.iter().map(|fall| (fall.usual, fall.share)).collect();
        assert_eq!(found, expected.into_iter().collect::<Vec<_>>(), "{tokens:?}");
    }

    #[test]
    fn a_share_that_falls_to_less_than_half_is_told() {
        check(1_000, &[500, 500, 500, 249], Some((500, 249)));
        check(1_000, &[500, 500, 500, 250], None);
        check(1_000, &[500, 0], Some((500, 0)));
        // Below a fifth nothing is usual, and one odd day before does not hide a fall.
        check(1_000, &[199, 199, 0], None);
        check(1_000, &[500, 500, 0, 500, 0], Some((500, 0)));
    }

    #[test]
    fn few_records_say_nothing() {
        check(199, &[150, 150, 0], None);
        check(200, &[150, 150, 0], Some((750, 0)));
        check(1_000, &[0], None);
    }

    #[test]
    fn a_level_that_stays_low_becomes_the_usual_one() {
        check(1_000, &[500, 500, 500, 500, 0, 0, 0, 0], Some((500, 0)));
        check(1_000, &[500, 500, 500, 500, 0, 0, 0, 0, 0], None);
    }

    proptest! {
        #[test]
        fn the_order_of_arrival_does_not_matter(
            mut arrivals in prop::collection::vec((0..5 * DAY_MS, 0_usize..2, 1_i64..9), 0..40)
        ) {
            let sum = |arrivals: &[(i64, usize, i64)]| {
                let mut coverage = Coverage::default();
                for (at_ms, kind, records) in arrivals {
                    coverage.add(ArrivalTime(*at_ms), KINDS[*kind], seen(*records, 1));
                }
                coverage
            };
            let forwards = sum(&arrivals);
            arrivals.reverse();
            prop_assert_eq!(forwards, sum(&arrivals));
        }
    }
}
