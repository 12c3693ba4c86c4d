//! Our sums against the bill: by account, UTC day and meter, and what cannot be compared.

use std::collections::{BTreeMap, BTreeSet};

use super::contract::Contract;
use super::focus::{Charge, Class, Kind, class_of};
use super::meter::Meter;
use super::span::Span;
use super::spend::{Spend, SpendHour};
use crate::money::NanoUsd;
use crate::time::{DAY_MS, EventTime, HOUR_MS, MINUTE_MS};

/// Records of a day come up to this long after it (the longest delay known for these logs).
const LATEST_MS: i64 = 4 * HOUR_MS;
/// Differences up to this are rounding of the bill, which has its own decimals.
const SMALL: NanoUsd = NanoUsd(10_000_000);
/// Meters named among what cannot be compared; the rest are counted.
const MAX_NAMES: usize = 20;
/// Models with these beginnings are billed through the marketplace and not on the account.
const MARKETPLACE: [&str; 1] = ["claude"];

/// What was compared and what was not.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// By account, day and meter; the whole day after its meters.
    pub lines: Vec<Compared>,
    /// What was left out, with its money where it has any.
    pub left_out: Vec<LeftOut>,
}

/// One comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Account, lower-case resource id.
    pub account: String,
    /// Days since 1970-01-01 UTC.
    pub day: i64,
    /// What is compared.
    pub what: What,
    /// Our side.
    pub ours: Side,
    /// The bill's.
    pub billed: Side,
    /// What comes of it.
    pub verdict: Verdict,
}

/// What a comparison is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum What {
    /// Tokens of a meter the logs tell apart; meters hidden in it are billed with it.
    Meter(Meter),
    /// Capacity paid by the hour.
    Provisioned,
    /// All of these together.
    Day,
}

/// One side of a comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Side {
    /// Tokens; `None` where they are not told.
    pub tokens: Option<i64>,
    /// Cost; `None` where it is not known.
    pub cost: Option<NanoUsd>,
}

/// What comes of a comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Within the tolerance.
    Agrees,
    /// Outside it, and in what.
    Drifts(Drift),
    /// It cannot be said, and why.
    Open(String),
}

/// In what two sides differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drift {
    /// As many tokens at another price.
    Price,
    /// Other tokens at the same price.
    Tokens,
    /// Both, or the one that is known.
    Cost,
}

/// Something that was not compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeftOut {
    /// What and why.
    pub what: String,
    /// How many rows or hours.
    pub count: i64,
    /// Its cost by currency, in 10⁻⁹ of each.
    pub nano: BTreeMap<String, i128>,
    /// On our side, or on the bill's.
    pub ours: bool,
}

/// What our side covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Covered {
    /// The first hour anything is known of.
    pub from: EventTime,
    /// Everything the hubs took until here has been read.
    pub until: EventTime,
}

/// Sums of the bill, built row by row.
#[derive(Debug)]
pub struct Bill<'a> {
    contract: &'a Contract,
    days: BTreeMap<(String, i64), BilledDay>,
    accounts: BTreeSet<String>,
    left_out: BTreeMap<String, LeftOut>,
    names: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct BilledDay {
    meters: BTreeMap<Meter, (i64, NanoUsd)>,
    provisioned: Option<NanoUsd>,
    /// Tokens of meters whose name does not say what they count.
    unclear: Option<NanoUsd>,
    /// Charges of the day in a currency without a rate.
    foreign: bool,
}

impl<'a> Bill<'a> {
    /// An empty bill, read under the given terms.
    #[must_use]
    pub const fn new(contract: &'a Contract) -> Self {
        Self {
            contract,
            days: BTreeMap::new(),
            accounts: BTreeSet::new(),
            left_out: BTreeMap::new(),
            names: BTreeSet::new(),
        }
    }

    /// Adds one charge.
    pub fn take(&mut self, charge: &Charge) {
        let Some(account) = charge.account.clone() else {
            return self.leave_out("charges of other resources", charge);
        };
        if !self.accounts.contains(&account) {
            self.accounts.insert(account.clone());
        }
        let why = match &charge.kind {
            Kind::Usage => return self.take_usage((account, charge.day), charge),
            Kind::Correction => "corrections of earlier charges".to_owned(),
            Kind::SeveralDays => "usage over more than one day".to_owned(),
            Kind::Other(category) => format!("charges of category {category}"),
        };
        self.leave_out(&why, charge);
    }

    fn take_usage(&mut self, key: (String, i64), charge: &Charge) {
        let noon = EventTime(charge.day.saturating_mul(DAY_MS) + DAY_MS / 2);
        let rate = self.contract.rate(&charge.currency, noon);
        let Some(cost) = rate.and_then(|rate| rate.exchange(charge.nano)) else {
            self.days.entry(key).or_default().foreign = true;
            let why = format!("usage billed in {}, which has no rate", charge.currency);
            return self.leave_out(&why, charge);
        };
        let pinned = self.contract.bill_meters.get(&charge.meter_id);
        let class = pinned.map_or_else(|| class_of(&charge.meter), |meter| Class::Tokens(*meter));
        match (class, charge.tokens) {
            (Class::Tokens(meter), Some(tokens)) if meter != Meter::Router => {
                let day = self.days.entry(key).or_default();
                let sum = day.meters.entry(meter).or_default();
                *sum = (sum.0.saturating_add(tokens), sum.1.plus(cost));
            }
            (Class::Provisioned, _) => {
                let day = self.days.entry(key).or_default();
                day.provisioned = Some(day.provisioned.unwrap_or_default().plus(cost));
            }
            (Class::Unknown, Some(_)) => {
                let day = self.days.entry(key).or_default();
                day.unclear = Some(day.unclear.unwrap_or_default().plus(cost));
                let why = self.named("meters whose name does not say what they count", charge);
                self.leave_out(&why, charge);
            }
            (Class::Tokens(_) | Class::Unknown, _) => {
                let why = self.named("meters of no tokens", charge);
                self.leave_out(&why, charge);
            }
        }
    }

    /// The reason with the meter's name and id, as long as there are not too many of them.
    fn named(&mut self, why: &str, charge: &Charge) -> String {
        let name = format!("{why}: {:?} {}", charge.meter, charge.meter_id);
        if self.names.contains(&name) || self.names.len() < MAX_NAMES {
            self.names.insert(name.clone());
            return name;
        }
        format!("{why}: others")
    }

    fn leave_out(&mut self, why: &str, charge: &Charge) {
        let entry = self.left_out.entry(why.to_owned()).or_insert_with(|| LeftOut {
            what: why.to_owned(),
            count: 0,
            nano: BTreeMap::new(),
            ours: false,
        });
        entry.count += 1;
        let sum = entry.nano.entry(charge.currency.clone()).or_default();
        *sum = sum.saturating_add(charge.nano);
    }

    /// Compares the bill, which is about `days` (the second exclusive), with our sums.
    #[must_use]
    pub fn compare(
        self,
        ours: &[SpendHour],
        covered: Option<Covered>,
        days: (i64, i64),
        tolerance: f64,
    ) -> Report {
        let mut report = Report::default();
        let sums = self.our_days(ours, days, &mut report);
        let none = (BilledDay::default(), Spend::default());
        let mut keys: Vec<_> = self.days.keys().chain(sums.keys()).collect();
        keys.sort_unstable();
        keys.dedup();
        for key in keys {
            let billed = self.days.get(key).unwrap_or(&none.0);
            let spend = sums.get(key).unwrap_or(&none.1);
            let judge = Judge { open: why_open(covered, key.1, billed), tolerance };
            report.lines.extend(self.day(key, spend, billed, &judge));
        }
        report.left_out.extend(self.left_out.into_values());
        report
    }

    /// Our sums by account and day, of what the bill can be expected to hold.
    fn our_days(
        &self,
        ours: &[SpendHour],
        (first, end): (i64, i64),
        report: &mut Report,
    ) -> BTreeMap<(String, i64), Spend> {
        let mut sums: BTreeMap<(String, i64), Spend> = BTreeMap::new();
        let mut left: BTreeMap<String, (i64, NanoUsd)> = BTreeMap::new();
        for hour in ours {
            let day = (hour.start.0 * MINUTE_MS).div_euclid(DAY_MS);
            let why = if day < first || day >= end {
                Some("hours outside the days of the export".to_owned())
            } else if MARKETPLACE.iter().any(|name| hour.model.starts_with(name)) {
                Some(format!("hours of {}: billed through the marketplace", hour.model))
            } else if !self.accounts.contains(&hour.account) {
                Some(format!("hours of {}: not in the export", hour.account))
            } else {
                None
            };
            match why {
                None => {
                    let sum = sums.entry((hour.account.clone(), day)).or_default();
                    *sum = sum.plus(hour.spend);
                }
                Some(why) => {
                    let sum = left.entry(why).or_default();
                    *sum = (sum.0 + 1, sum.1.plus(hour.spend.cost()));
                }
            }
        }
        report.left_out.extend(left.into_iter().map(|(what, (count, cost))| LeftOut {
            what,
            count,
            nano: [("USD".to_owned(), i128::from(cost.0))].into(),
            ours: true,
        }));
        sums
    }

    /// The comparisons of one account and day.
    fn day(
        &self,
        (account, day): &(String, i64),
        spend: &Spend,
        billed: &BilledDay,
        judge: &Judge,
    ) -> Vec<Compared> {
        let mut lines = Vec::new();
        for (meter, ours) in Meter::LOGGED.into_iter().zip(spend.meters) {
            let parts = billed.meters.iter().filter(|(part, _)| logged_as(**part) == meter);
            let (tokens, cost) =
                parts.fold((0, NanoUsd(0)), |sum, (_, part)| (sum.0 + part.0, sum.1.plus(part.1)));
            // What provisioned capacity served is not billed by the token.
            let paid = ours.tokens.saturating_sub(ours.provisioned);
            let known = ours.unpriced == 0 && spend.untold == 0;
            let ours = Side {
                tokens: (spend.untold == 0).then_some(paid),
                cost: known.then_some(NanoUsd(ours.cost_nano)),
            };
            let theirs = Side { tokens: Some(tokens), cost: Some(cost) };
            lines.push((What::Meter(meter), ours, theirs));
        }
        lines.retain(|(_, ours, billed)| {
            let nothing = Side { tokens: Some(0), cost: Some(NanoUsd(0)) };
            *ours != nothing || *billed != nothing
        });
        let hours = Span { from: EventTime(day * DAY_MS), until: EventTime((day + 1) * DAY_MS) };
        let provisioned = self.contract.provisioned(account, hours);
        let whole = whole_day(&lines, provisioned, billed);
        if billed.provisioned.is_some() || provisioned != Some(NanoUsd(0)) {
            let theirs = billed.provisioned.unwrap_or_default();
            let sides = (Side { tokens: None, cost: provisioned }, theirs);
            let theirs = Side { tokens: None, cost: Some(sides.1) };
            lines.push((What::Provisioned, sides.0, theirs));
        }
        lines.push((What::Day, whole.0, whole.1));
        let compared = lines.into_iter().map(|(what, ours, billed)| Compared {
            account: account.clone(),
            day: *day,
            what,
            ours,
            billed,
            verdict: judge.verdict(what, ours, billed),
        });
        compared.collect()
    }
}

/// Both sides of a whole day: meters, capacity, and what the bill does not name clearly.
fn whole_day(
    lines: &[(What, Side, Side)],
    provisioned: Option<NanoUsd>,
    billed: &BilledDay,
) -> (Side, Side) {
    let ours = lines
        .iter()
        .map(|(_, ours, _)| ours.cost)
        .chain([provisioned])
        .try_fold(NanoUsd(0), |sum, cost| Some(sum.plus(cost?)));
    let theirs = lines.iter().filter_map(|(_, _, billed)| billed.cost);
    let theirs = theirs.chain(billed.provisioned).chain(billed.unclear);
    let theirs = theirs.fold(NanoUsd(0), NanoUsd::plus);
    (Side { tokens: None, cost: ours }, Side { tokens: None, cost: Some(theirs) })
}

/// The meter under which the logs count what the bill counts under `meter`.
const fn logged_as(meter: Meter) -> Meter {
    match meter {
        Meter::Input
        | Meter::CacheWrite
        | Meter::CacheWriteHour
        | Meter::AudioInput
        | Meter::ImageInput
        | Meter::Router => Meter::Input,
        Meter::Cached => Meter::Cached,
        Meter::Output | Meter::AudioOutput | Meter::ImageOutput => Meter::Output,
    }
}

/// Why nothing can be said of a day; `None` when both sides hold all of it.
fn why_open(covered: Option<Covered>, day: i64, billed: &BilledDay) -> Open {
    let (from, until) = (day * DAY_MS, (day + 1) * DAY_MS);
    let whole = match covered {
        None => Some("we have no records".to_owned()),
        Some(covered) if covered.from.0 > from => {
            Some(format!("our records begin at {}", covered.from))
        }
        Some(covered) if covered.until.0 < until + LATEST_MS => {
            Some(format!("our records end at {}", covered.until))
        }
        Some(_) if billed.foreign => {
            Some("some of it is billed in a currency without a rate".to_owned())
        }
        Some(_) => None,
    };
    let unclear = billed.unclear.map(|_| {
        "some meters of that day do not say what they count; name them in [price.meter]".to_owned()
    });
    Open { whole, meters: unclear }
}

struct Open {
    whole: Option<String>,
    meters: Option<String>,
}

struct Judge {
    open: Open,
    tolerance: f64,
}

impl Judge {
    fn verdict(&self, what: What, ours: Side, billed: Side) -> Verdict {
        let unclear = match what {
            What::Meter(_) => self.open.meters.as_ref(),
            What::Provisioned | What::Day => None,
        };
        if let Some(why) = self.open.whole.as_ref().or(unclear) {
            return Verdict::Open(why.clone());
        }
        let tokens = ours.tokens.zip(billed.tokens).map(|(a, b)| self.near(a, b, 0));
        let Some((a, b)) = ours.cost.zip(billed.cost) else {
            return match (tokens, what) {
                (Some(false), _) => Verdict::Drifts(Drift::Tokens),
                (_, What::Provisioned) => {
                    Verdict::Open("the price of capacity is not configured".to_owned())
                }
                (Some(true) | None, _) => Verdict::Open("some of our cost is unknown".to_owned()),
            };
        };
        let cost = self.near(a.0, b.0, SMALL.0);
        match (tokens, cost) {
            (Some(true) | None, true) => Verdict::Agrees,
            (Some(true), false) => Verdict::Drifts(Drift::Price),
            (None, false) => Verdict::Drifts(Drift::Cost),
            (Some(false), _) if self.same_price(ours, billed) => Verdict::Drifts(Drift::Tokens),
            (Some(false), _) => Verdict::Drifts(Drift::Cost),
        }
    }

    fn same_price(&self, ours: Side, billed: Side) -> bool {
        let price = |side: Side| {
            let tokens = side.tokens.filter(|tokens| *tokens != 0)?;
            Some(i128::from(side.cost?.0) * 1_000_000 / i128::from(tokens))
        };
        let pair = price(ours).zip(price(billed));
        pair.and_then(|(a, b)| Some((i64::try_from(a).ok()?, i64::try_from(b).ok()?)))
            .is_some_and(|(a, b)| self.near(a, b, 0))
    }

    /// True when two amounts differ by no more than the tolerance of the larger, or by `small`.
    fn near(&self, a: i64, b: i64, small: i64) -> bool {
        let far = a.abs_diff(b);
        let larger = a.unsigned_abs().max(b.unsigned_abs());
        far <= small.unsigned_abs() || as_float(far) <= self.tolerance / 100.0 * as_float(larger)
    }
}

/// How far ours lies from the bill, in percent of the bill; `None` where one is unknown, or the bill
/// is nothing.
#[must_use]
pub fn drift_percent(ours: Option<i64>, billed: Option<i64>) -> Option<f64> {
    let (ours, billed) = (ours?, billed?);
    let sign = if ours < billed { -1.0 } else { 1.0 };
    (billed != 0)
        .then(|| sign * as_float(ours.abs_diff(billed)) / as_float(billed.unsigned_abs()) * 100.0)
}

#[expect(
    clippy::cast_precision_loss,
    reason = "a ratio, shown to people and held against a tolerance"
)]
const fn as_float(value: u64) -> f64 {
    value as f64
}

#[cfg(test)]
#[path = "reconcile_tests.rs"]
mod tests;
