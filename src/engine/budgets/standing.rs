//! How a budget stands at the end of an hour: spent, burn, what is to come and when it is used up.

use super::ledger::{Ledger, View};
use super::scope::{Budget, Purse};
use crate::days::Period;
use crate::detect::baseline::as_float;
use crate::money::NanoUsd;
use crate::time::{EventTime, Minute};

/// Windows in hours, each with the multiple of the allowed rate from which a burn is told of.
///
/// At these the budget of a month is used up within 2 and 5 days (Google SRE Workbook, chapter 5).
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
        standing.burn = standing.burns((ledger, view), until_hour, expected);
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

    /// How fast money went in the hours before `end_hour`.
    pub(super) fn burns(
        &self,
        (ledger, view): (&Ledger, View),
        end_hour: i64,
        expected: Expected<'_>,
    ) -> [Option<Burn>; 2] {
        let (from, end) = hours_of(&self.period);
        let allowed = self.purse.amount.usd() / as_float((end - from).max(1));
        BURNS.map(|(hours, _)| {
            if allowed <= 0.0 {
                return None;
            }
            let start = (end_hour - hours).max(from);
            let parts = ledger.range(start, end_hour);
            let spent = parts.fold(NanoUsd(0), |sum, (hour, part)| sum.plus(part.cost(hour, view)));
            let spent = spent.usd();
            let usual: f64 = match expected {
                Some((of, true)) => (start..end_hour).map(of).sum(),
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::days::{Step, Zone};
    use crate::engine::budgets::ledger::HourSum;
    use crate::engine::budgets::scope::Scope;
    use crate::price::amount::Rate;

    /// First hour of 2026-11-02, a Monday, UTC.
    const MONDAY: i64 = 498_216;

    fn budget(usd: i64) -> Budget {
        Budget {
            name: "b".to_owned(),
            amount: usd * 1_000_000_000,
            currency: "USD".to_owned(),
            step: Step::Week,
            zone: Zone::utc(),
            thresholds: vec![50, 80, 100],
            forecast: Some(100),
            page: true,
            scope: Scope::default(),
        }
    }

    fn ledger(sums: &[(i64, i64)]) -> Ledger {
        let mut ledger = Ledger::default();
        for (hour, cents) in sums {
            let sum = HourSum { on_time: cents * 10_000_000, ..HourSum::default() };
            ledger.add(MONDAY + hour, (1, 2), sum);
        }
        ledger
    }

    #[track_caller]
    fn standing(usd: i64, ledger: &Ledger, hours: i64, expected: Expected<'_>) -> Standing {
        let budget = budget(usd);
        let period = budget.period(MONDAY).unwrap();
        assert_eq!((period.name.as_str(), period.from.0), ("2026-W45", MONDAY * 60));
        let amount = NanoUsd(budget.amount);
        let purse = Purse { currency: "USD".to_owned(), rate: Rate::ONE, amount };
        Standing::of(&budget, (period, purse), (ledger, View::All), MONDAY + hours, expected)
    }

    proptest! {
        #[test]
        fn spent_is_the_sum_of_the_hours_of_the_period_whatever_their_order(
            sums in prop::collection::vec((-200_i64..400, -500_i64..1_000), 0..80),
            hours in 0_i64..200,
        ) {
            let mut turned = sums.clone();
            turned.reverse();
            let [one, other] = [&sums, &turned].map(|sums| standing(100, &ledger(sums), hours, None));
            prop_assert_eq!(&one, &other);
            let until = hours.min(168);
            let inside = sums.iter().filter(|(hour, _)| (0..until).contains(hour));
            let cents: i64 = inside.map(|(_, cents)| cents).sum();
            prop_assert_eq!(one.spent, NanoUsd(cents * 10_000_000));
            let reached: Vec<u32> = one.reached.iter().map(|(percent, _)| *percent).collect();
            let truly = [50, 80, 100].into_iter().filter(|p| cents > 0 && cents >= i64::from(*p) * 100);
            prop_assert_eq!(reached, truly.collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_projection_is_what_was_spent_and_what_is_expected_of_the_rest() {
        let seen = ledger(&[(0, 1_000), (1, 500)]);
        let one = |_: i64| 1.0;
        let now = standing(100, &seen, 24, Some((&one, true)));
        assert_eq!(now.projection.unwrap().total, NanoUsd::from_usd(15.0 + 144.0));
        assert_eq!(now.overrun(), Some(NanoUsd::from_usd(59.0)));
        assert!(now.foretells(100) && now.foretells(158) && !now.foretells(159));
        // 85 dollars are left on Tuesday at midnight, at one an hour.
        assert_eq!(now.crossing, Some(Minute((MONDAY + 24 + 85) * 60).start()));
        // Of 59 dollars above the amount, those of one of the six days that are left.
        assert_eq!(now.at_risk(), Some(NanoUsd(59_000_000_000 * 24 / 144)));
        let over = standing(10, &seen, 168, Some((&one, true)));
        assert_eq!(over.crossing, Some(Minute((MONDAY + 1) * 60).start()));
        assert!(!over.is_running() && !over.foretells(100));
        assert_eq!(over.projection.unwrap().total, over.spent);
        assert_eq!(standing(100, &seen, 24, None).projection, None);
    }

    #[test]
    fn a_mean_must_have_seen_a_day_before_it_foretells() {
        let (seen, one) = (ledger(&[(0, 1_000)]), |_: i64| 1.0);
        assert!(!standing(100, &seen, 23, Some((&one, false))).foretells(100));
        assert!(standing(100, &seen, 24, Some((&one, false))).foretells(100));
        assert!(standing(100, &seen, 2, Some((&one, true))).foretells(100));
    }

    #[test]
    fn a_burn_that_its_rhythm_expects_is_not_unusual() {
        // Allowed are 10 dollars an hour.
        let seen = ledger(&[(29, 20_000)]);
        let nightly = |hour: i64| if (hour - MONDAY) % 24 == 5 { 150.0 } else { 0.0 };
        let [one, six] =
            standing(1_680, &seen, 30, Some((&nightly, true))).burn.map(Option::unwrap);
        assert!((one.times - 20.0).abs() < 1e-9 && (six.times - 20.0 / 6.0).abs() < 1e-9);
        assert!(!one.unusual && !six.unusual);
        let quiet = |_: i64| 1.0;
        assert!(standing(1_680, &seen, 30, Some((&quiet, true))).burn[0].unwrap().unusual);
        assert_eq!(standing(0, &seen, 30, None).burn, [None; 2]);
        // Hours before the period do not count to it.
        let before = ledger(&[(-1, 20_000)]);
        assert!(standing(1_680, &before, 1, None).burn.iter().all(|b| b.unwrap().times == 0.0));
    }

    #[test]
    fn what_was_late_counts_for_everybody_at_once_or_when_its_hour_has_settled() {
        let mut ledger = Ledger::default();
        ledger.add(10, (1, 2), HourSum { on_time: 3, late: 4, ..HourSum::default() });
        let cost =
            |view| ledger.range(0, 20).map(|(hour, sum)| sum.cost(hour, view).0).sum::<i64>();
        assert_eq!(cost(View::All), 7);
        assert_eq!(cost(View::Closed(14)), 3);
        assert_eq!(cost(View::Closed(15)), 7);
    }
}
