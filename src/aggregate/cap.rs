//! A bound on callers per deployment and hour that never hides a large one.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Range;

use super::rollup::Caller;

/// Callers waiting for admission that are counted; the smallest makes room.
const MAX_WAITING: usize = 512;
/// A waiting caller is let in from this share of the hour's tokens: at most 200 can reach it.
const ADMIT_SHARE: i64 = 200;

/// Which callers have a row of their own, by hour and deployment.
#[derive(Debug, Clone)]
pub struct CallerCap {
    limit: usize,
    hours: BTreeMap<(i64, u32), Admitted>,
}

#[derive(Debug, Clone, Default)]
struct Admitted {
    callers: HashSet<Caller>,
    tokens: i64,
    waiting: HashMap<Caller, i64>,
}

impl CallerCap {
    /// At most `limit` callers per deployment and hour, and 200 large ones beyond.
    #[must_use]
    pub fn new(limit: usize) -> Self {
        Self { limit, hours: BTreeMap::new() }
    }

    /// The row to which `tokens` of `caller` belong: its own or [`Caller::OTHER`].
    ///
    /// The first `limit` callers of an hour get a row. A later one gets it once it has brought half
    /// a percent of the hour's tokens, so nobody above one percent is hidden for long; what it
    /// brought before stays in `other`, and the total of the rows is always exact.
    pub fn label(&mut self, hour: i64, deployment: u32, caller: Caller, tokens: i64) -> Caller {
        let admitted = self.hours.entry((hour, deployment)).or_default();
        admitted.tokens = admitted.tokens.saturating_add(tokens);
        if admitted.callers.contains(&caller) {
            return caller;
        }
        if admitted.callers.len() < self.limit {
            admitted.callers.insert(caller);
            return caller;
        }
        if admitted.waits(caller, tokens).saturating_mul(ADMIT_SHARE) > admitted.tokens {
            admitted.waiting.remove(&caller);
            if admitted.callers.len() < self.limit + 200 {
                admitted.callers.insert(caller);
                return caller;
            }
        }
        Caller::OTHER
    }

    /// Puts back a caller that has a row already.
    pub fn restore(&mut self, hour: i64, deployment: u32, caller: Caller, tokens: i64) {
        let admitted = self.hours.entry((hour, deployment)).or_default();
        admitted.tokens = admitted.tokens.saturating_add(tokens);
        if caller != Caller::OTHER {
            admitted.callers.insert(caller);
        }
    }

    /// Callers with a row of their own in some hours, each once, in order.
    pub fn callers(&self, hours: Range<i64>) -> impl Iterator<Item = Caller> {
        let admitted = self.hours.range((hours.start, 0)..(hours.end, 0));
        let all: BTreeSet<Caller> =
            admitted.flat_map(|(_, admitted)| admitted.callers.iter().copied()).collect();
        all.into_iter()
    }

    /// Drops hours before `hour`.
    pub fn forget(&mut self, hour: i64) {
        self.hours = self.hours.split_off(&(hour, 0));
    }
}

impl Admitted {
    /// Tokens counted for a waiting caller, never too few (Metwally et al. 2005, Space-Saving).
    fn waits(&mut self, caller: Caller, tokens: i64) -> i64 {
        if let Some(sum) = self.waiting.get_mut(&caller) {
            *sum = sum.saturating_add(tokens);
            return *sum;
        }
        let mut inherited = 0;
        if self.waiting.len() >= MAX_WAITING
            && let Some((_, smallest)) = self.waiting.iter().map(|(c, sum)| (*sum, *c)).min()
        {
            inherited = self.waiting.remove(&smallest).unwrap_or(0);
        }
        let sum = tokens.saturating_add(inherited);
        self.waiting.insert(caller, sum);
        sum
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::operation::Operation;

    fn caller(network: u32) -> Caller {
        Caller::new(network, 0, Operation::Chat)
    }

    #[test]
    fn a_flood_of_small_callers_does_not_hide_a_large_one() {
        let mut cap = CallerCap::new(100);
        let mut rows: HashMap<Caller, i64> = HashMap::new();
        let mut total = 0;
        for n in 0..100_000 {
            for (caller, tokens) in [(caller(n), 10), (caller(999_999), 2)] {
                if n >= 200 || tokens == 10 {
                    *rows.entry(cap.label(0, 1, caller, tokens)).or_default() += tokens;
                    total += tokens;
                }
            }
        }
        assert!(rows.len() <= 301, "{}", rows.len());
        assert_eq!(rows.values().sum::<i64>(), total);
        let large = rows.get(&caller(999_999)).copied().unwrap_or(0);
        assert!(large > 190_000, "{large}");
    }
}
