//! What counts to one budget, by hour and by deployment.

use std::collections::BTreeMap;

use crate::detect::series::{KEEP_HOURS, LEARN_LAG_HOURS};
use crate::money::NanoUsd;

/// Hours after which nothing more comes for an hour, but what a purchase told late reprices.
pub const SETTLE_HOURS: i64 = LEARN_LAG_HOURS;

/// Sums of one hour. They only ever add, so that rows may come in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HourSum {
    /// Cost in nano-USD of what was enqueued on time.
    pub on_time: i64,
    /// Cost in nano-USD of everything later, corrections included.
    pub late: i64,
    /// Tokens whose price is unknown.
    pub unpriced: i64,
    /// Successful calls of which no record told the tokens.
    pub untold: i64,
}

/// Which of an hour's sums are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Everything known.
    All,
    /// What every batching knows when this hour begins: of hours that may still grow, only what was
    /// on time.
    Closed(i64),
}

impl HourSum {
    /// The sum of both, stopping at the ends of the range.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            on_time: self.on_time.saturating_add(other.on_time),
            late: self.late.saturating_add(other.late),
            unpriced: self.unpriced.saturating_add(other.unpriced),
            untold: self.untold.saturating_add(other.untold),
        }
    }

    /// What `hour` has cost, as far as `view` counts it.
    #[must_use]
    pub const fn cost(self, hour: i64, view: View) -> NanoUsd {
        match view {
            View::Closed(now) if hour > now - SETTLE_HOURS => NanoUsd(self.on_time),
            View::Closed(_) | View::All => NanoUsd(self.on_time.saturating_add(self.late)),
        }
    }
}

/// Sums of the last weeks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ledger {
    hours: BTreeMap<i64, HourSum>,
    /// By hour and deployment (numbers of account and name), for the largest of them.
    deployments: BTreeMap<(i64, u32, u32), i64>,
}

impl Ledger {
    /// Adds to an hour (hours since 1970).
    pub fn add(&mut self, hour: i64, (account, deployment): (u32, u32), sum: HourSum) {
        let known = self.hours.entry(hour).or_default();
        *known = known.plus(sum);
        let cost = sum.on_time.saturating_add(sum.late);
        if cost != 0 {
            // By day: who spent is asked of days and periods only.
            let day = hour.div_euclid(24);
            let known = self.deployments.entry((day, account, deployment)).or_default();
            *known = known.saturating_add(cost);
        }
    }

    /// Sums of the hours from `from` until before `until`.
    pub fn range(&self, from: i64, until: i64) -> impl Iterator<Item = (i64, HourSum)> {
        let hours = self.hours.range(from..until.max(from));
        hours.map(|(hour, sum)| (*hour, *sum))
    }

    /// What an hour has cost with everything in it.
    #[must_use]
    pub fn hour(&self, hour: i64) -> f64 {
        self.hours.get(&hour).map_or(0.0, |sum| sum.cost(hour, View::All).usd())
    }

    /// The first hour with anything in it.
    #[must_use]
    pub fn first_hour(&self) -> Option<i64> {
        self.hours.first_key_value().map(|(hour, _)| *hour)
    }

    /// Cost by deployment (numbers of account and name) in the UTC days that hold these hours,
    /// largest first.
    #[must_use]
    pub fn largest(&self, from: i64, until: i64) -> Vec<((u32, u32), NanoUsd)> {
        let days = (from.div_euclid(24), 0, 0)..((until - 1).div_euclid(24) + 1, 0, 0);
        let mut sums: BTreeMap<(u32, u32), NanoUsd> = BTreeMap::new();
        if until > from {
            for ((_, account, deployment), cost) in self.deployments.range(days) {
                *sums.entry((*account, *deployment)).or_default() += NanoUsd(*cost);
            }
        }
        let mut sums: Vec<_> = sums.into_iter().filter(|(_, cost)| cost.0 > 0).collect();
        sums.sort_by_key(|(place, cost)| (std::cmp::Reverse(*cost), *place));
        sums
    }

    /// Drops what nothing asks for any more: everything before `oldest`, but never what profiles are
    /// made of.
    pub fn forget(&mut self, now: i64, oldest: i64) {
        let oldest = oldest.min(now - KEEP_HOURS);
        self.hours = self.hours.split_off(&oldest);
        self.deployments = self.deployments.split_off(&(oldest.div_euclid(24), 0, 0));
    }
}
