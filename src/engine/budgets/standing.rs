//! How a budget stands at the end of an hour: spent, burn, what is to come and when it is used up.

use super::ledger::{Ledger, View};
use super::scope::{Budget, Purse};
use crate::days::Period;
use crate::detect::baseline::as_float;
use crate::money::NanoUsd;
use crate::time::{EventTime, Minute};

/// The two windows in hours in which a burn is measured, each with the multiple of the allowed rate
/// from which it is told of: at these the budget of a month is used up within 2 and 5 days (Google SRE
/// Workbook, chapter 5).
pub const BURNS: [(i64, f64); 2] = [(1, 14.4), (6, 6.0)];
/// A burn that is less than this multiple of what was expected of its hours is the usual rhythm.
const UNUSUAL: f64 = 2.0;
/// Without a profile nothing is foretold before this many hours were seen, or a quarter of the period.
const SEEN_HOURS: i64 = 24;

/// A budget at the end of an hour. All amounts are in USD; the [purse](Self::purse) shows them.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The period.
    pub period: Period,
    /// The amount and its currency.
    pub purse: Purse,
    /// First hour that is not counted (hours since 1970), at most the end of the period.
    pub until_hour: i64,
    /// Spent in the period so far, of what has a price.
    pub spent: NanoUsd,
    /// Tokens in the period whose price is unknown: their cost is not in `spent`.
    pub unpriced: i64,
    /// Successful calls in the period of which no record told the tokens: not in `spent` either.
    pub untold: i64,
    /// Multiples of the allowed rate in the windows of [`BURNS`]; `None` for a budget of nothing.
    pub burn: [Option<Burn>; 2],
    /// What will have been spent at the end; `None` before anything was learnt.
    pub projection: Option<Projection>,
    /// When the amount was, or will be, used up: the end of that hour. `None` for not in this period.
    pub crossing: Option<EventTime>,
    /// Thresholds that have been reached, each with the end of the hour in which it was.
    pub reached: Vec<(u32, EventTime)>,
    /// First hour with anything that counts, in this period or before; `None` for none.
    pub first_hour: Option<i64>,
}

/// How fast money goes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Burn {
    /// Times the rate that uses the amount up exactly at the end of the period.
    pub times: f64,
    /// True when it is at least twice what was expected of these hours.
    pub unusual: bool,
}

/// What will have been spent at the end of the period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Projection {
    /// Spent so far and what is expected of the rest.
    pub total: NanoUsd,
    /// False while some of it has no profile yet, so that the mean of what was seen stands in.
    pub learnt: bool,
}

/// What is expected of an hour in USD, and whether all of it comes from profiles; `None` where
/// nothing was learnt at all.
pub type Expected<'a> = Option<(&'a dyn Fn(i64) -> f64, bool)>;

impl Standing {
    /// How `budget` stands when everything before `until_hour` is counted.
    #[must_use]
    pub fn of(
        budget: &Budget,
        (period, purse): (Period, Purse),
        (ledger, view): (&Ledger, View),
        until_hour: i64,
        expected: Expected<'_>,
    ) -> Self {
        let (from, end) = hours_of(&period);
        let until_hour = until_hour.clamp(from, end);
        let mut sum = NanoUsd(0);
        let (mut unpriced, mut untold) = (0_i64, 0_i64);
        let mut reached = Vec::new();
        let mut crossing = None;
        let mut thresholds = budget.thresholds.iter().peekable();
        for (hour, part) in ledger.range(from, until_hour) {
            sum += part.cost(hour, view);
            unpriced = unpriced.saturating_add(part.unpriced);
            untold = untold.saturating_add(part.untold);
            let at = Minute((hour + 1) * 60).start();
            while let Some(percent) = thresholds.next_if(|percent| purse.reaches(sum, **percent)) {
                reached.push((*percent, at));
            }
            if crossing.is_none() && purse.reaches(sum, 100) {
                crossing = Some(at);
            }
        }
        // What later rows have taken back is not reached.
        reached.retain(|(percent, _)| purse.reaches(sum, *percent));
        let crossing = crossing.filter(|_| purse.reaches(sum, 100));
        let mut standing = Self {
            period,
            purse,
            until_hour,
            spent: sum,
            unpriced: unpriced.max(0),
            untold: untold.max(0),
            burn: [None; 2],
            projection: None,
            crossing,
            reached,
            first_hour: ledger.first_hour(),
        };
        standing.burn = standing.burns(ledger, view, expected);
        standing.look_ahead(expected);
        standing
    }

    /// True when the period goes on beyond what is counted.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.until_hour < hours_of(&self.period).1
    }

    /// Share of the period that is over, 0 to 1.
    #[must_use]
    pub fn elapsed(&self) -> f64 {
        let (from, end) = hours_of(&self.period);
        as_float(self.until_hour - from) / as_float((end - from).max(1))
    }

    /// What will be above the amount at the end; zero when nothing, `None` when nobody knows.
    #[must_use]
    pub fn overrun(&self) -> Option<NanoUsd> {
        let total = self.projection?.total;
        Some(NanoUsd(total.0.saturating_sub(self.purse.amount.0).max(0)))
    }

    /// What of the overrun is still to come within the next 24 hours; `None` when nobody knows.
    #[must_use]
    pub fn at_risk(&self) -> Option<NanoUsd> {
        let spent = self.spent.max(self.purse.amount);
        let to_come = self.projection?.total.0.saturating_sub(spent.0).max(0);
        let hours = (hours_of(&self.period).1 - self.until_hour).max(24);
        let per_day = i128::from(to_come) * 24 / i128::from(hours);
        i64::try_from(per_day).ok().map(NanoUsd)
    }

    /// True when the projection passes this percentage of the amount, and enough is known to say so.
    #[must_use]
    pub fn foretells(&self, percent: u32) -> bool {
        let Some(projection) = self.projection else { return false };
        let (from, end) = hours_of(&self.period);
        let seen = self.until_hour - self.first_hour.unwrap_or(self.until_hour);
        let enough = projection.learnt || seen >= SEEN_HOURS.min((end - from) / 4);
        let whole = i128::from(self.purse.amount.0) * i128::from(percent);
        enough && self.is_running() && i128::from(projection.total.0) * 100 > whole
    }

    fn burns(&self, ledger: &Ledger, view: View, expected: Expected<'_>) -> [Option<Burn>; 2] {
        let (from, end) = hours_of(&self.period);
        let allowed = self.purse.amount.usd() / as_float((end - from).max(1));
        BURNS.map(|(hours, _)| {
            if allowed <= 0.0 {
                return None;
            }
            let start = (self.until_hour - hours).max(from);
            let parts = ledger.range(start, self.until_hour);
            let spent: f64 = parts.map(|(hour, part)| part.cost(hour, view).usd()).sum();
            let usual: f64 = match expected {
                Some((of, true)) => (start..self.until_hour).map(of).sum(),
                Some((_, false)) | None => 0.0,
            };
            let times = spent / (allowed * as_float(hours));
            Some(Burn { times, unusual: spent >= UNUSUAL * usual })
        })
    }

    fn look_ahead(&mut self, expected: Expected<'_>) {
        let Some((of, learnt)) = expected else {
            if !self.is_running() {
                self.projection = Some(Projection { total: self.spent, learnt: true });
            }
            return;
        };
        let end = hours_of(&self.period).1;
        let (mut rest, spent, amount) = (0.0, self.spent.usd(), self.purse.amount.usd());
        for hour in self.until_hour..end {
            rest += of(hour);
            if self.crossing.is_none() && rest > 0.0 && spent + rest >= amount {
                self.crossing = Some(Minute((hour + 1) * 60).start());
            }
        }
        let total = self.spent.plus(NanoUsd::from_usd(rest));
        self.projection = Some(Projection { total, learnt: learnt || !self.is_running() });
    }
}

/// First hour of a period and first after it (hours since 1970).
#[must_use]
pub const fn hours_of(period: &Period) -> (i64, i64) {
    (period.from.0.div_euclid(60), period.until.0.div_euclid(60))
}
