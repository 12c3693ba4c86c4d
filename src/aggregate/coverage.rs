//! Schema coverage: how many records of each kind said what, by the day they arrived.

use std::collections::BTreeMap;

use crate::event::Seen;
use crate::time::{ArrivalTime, DAY_MS};

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
            let day = self.days.entry((arrived.0.div_euclid(DAY_MS), kind)).or_default();
            *day = day.merged(seen);
        }
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
