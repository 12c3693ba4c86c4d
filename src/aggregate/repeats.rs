//! Rows that came more than once: a redelivery now and then, or a stream that is sent twice.

use std::collections::BTreeMap;

use super::call::RowFacts;
use super::join::Taken;
use crate::event::RowKind;
use crate::time::{ArrivalTime, HOUR_MS};

/// Rows and how many of them had come before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Told {
    /// Rows, copies included.
    pub records: i64,
    /// Copies.
    pub copies: i64,
}

/// Fewest rows an hour must have before it says anything about the stream.
const ENOUGH: i64 = 50;
/// Copies from which a stream counts as doubled, in percent of its rows. A stream sent twice has
/// 50 %; at least once delivery repeats single batches, about 1 %.
const DOUBLED_PERCENT: i64 = 40;

impl Told {
    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            records: self.records.saturating_add(other.records),
            copies: self.copies.saturating_add(other.copies),
        }
    }

    /// True when so many rows are copies that the stream must be sent twice.
    #[must_use]
    pub const fn is_doubled(self) -> bool {
        self.records >= ENOUGH
            && self.copies.saturating_mul(100) >= self.records.saturating_mul(DOUBLED_PERCENT)
    }
}

/// Rows and copies by hour of arrival and kind, of one account. Hours come from arrivals.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Repeats(BTreeMap<(i64, RowKind), Told>);

impl Repeats {
    /// Counts a row that the join has taken; `within_ms` is how long after its end a row may come
    /// to be counted at all.
    ///
    /// Only rows with tokens or an identity count: the near-empty twins of one call are alike
    /// without being copies. And only rows of calls that cannot have settled, because a settled call
    /// takes every row that says nothing new for a copy.
    pub fn note(&mut self, row: &RowFacts, taken: Taken, within_ms: i64) {
        let tells = row.tokens.is_some() || row.identity != 0;
        let counts = |at: ArrivalTime| tells && at.0.saturating_sub(row.end.0) <= within_ms;
        let mut put = |at: ArrivalTime, told: Told| {
            if !counts(at) {
                return;
            }
            let known = self.0.entry((at.0.div_euclid(HOUR_MS), row.kind)).or_default();
            *known = known.plus(told);
        };
        put(row.enqueued, Told { records: 1, copies: 0 });
        match taken {
            Taken::New | Taken::BeyondHorizon => {}
            Taken::Copy => put(row.enqueued, Told { records: 0, copies: 1 }),
            Taken::Sooner(copy) => put(copy, Told { records: 0, copies: 1 }),
        }
    }

    /// Hours since 1970, kinds and counts, in order.
    pub fn iter(&self) -> impl Iterator<Item = (i64, RowKind, Told)> {
        self.0.iter().map(|((hour, kind), told)| (*hour, *kind, *told))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redelivery_is_no_doubled_stream() {
        for (records, copies, expected) in
            [(100, 1, false), (100, 39, false), (100, 40, true), (100, 50, true), (49, 24, false)]
        {
            assert_eq!(Told { records, copies }.is_doubled(), expected, "{copies} of {records}");
        }
    }
}
