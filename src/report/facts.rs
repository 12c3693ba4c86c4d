//! Plain rows that a report is made of: what [`gather`](super::gather::gather) read, and nothing else.

use std::collections::BTreeMap;

use serde::Serialize;

use super::guess::Guess;
use super::period::Week;
use crate::aggregate::metrics::Compared;
use crate::days::{Date, Period, Zone};
use crate::incident::Incident;
use crate::known::owner::{Owner, Owners};
use crate::money::NanoUsd;
use crate::price::reconcile::Covered;
use crate::price::spend::{MeterSpend, Spend};
use crate::store::callers::CallerTotal;
use crate::store::report::Told;
use crate::time::{ArrivalTime, Minute};

/// What has a line of its own in the sums.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Azure resource id of the account, lower case.
    pub account: String,
    /// Deployment, lower case; empty when no record named one.
    pub deployment: String,
    /// Model as `name@version` or `name`; empty when no record named one.
    pub model: String,
}

impl Key {
    /// The deployment without its model.
    #[must_use]
    pub fn place(&self) -> Place {
        (self.account.clone(), self.deployment.clone())
    }
}

/// Account (resource id) and deployment.
pub type Place = (String, String);

/// What was used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sum {
    /// By the logs.
    pub spend: Spend,
    /// What no row told, by the metrics: beside the spend, never in it.
    pub guess: Guess,
}

impl Sum {
    /// Both together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { spend: self.spend.plus(other.spend), guess: self.guess.plus(other.guess) }
    }

    /// What the tokens with a known price cost.
    #[must_use]
    pub fn cost(self) -> NanoUsd {
        self.spend.cost()
    }

    /// Tokens of all meters.
    #[must_use]
    pub fn tokens(self) -> i64 {
        self.spend.over_meters(|meter| meter.tokens)
    }

    /// Tokens that were priced by the token.
    #[must_use]
    pub fn priced_tokens(self) -> i64 {
        self.spend.over_meters(priced)
    }

    /// As it stands in JSON.
    #[must_use]
    pub fn amounts(self) -> Amounts {
        let [input, cached, output] = self.spend.meters.map(|meter| meter.tokens);
        Amounts {
            calls: self.spend.calls,
            tokens_input: input,
            tokens_cached: cached,
            tokens_output: output,
            cost_nano_usd: self.cost(),
            unpriced_tokens: self.spend.over_meters(|meter| meter.unpriced),
            provisioned_tokens: self.spend.over_meters(|meter| meter.provisioned),
            calls_without_tokens: self.spend.untold,
            attributed_tokens: self.spend.attributed_tokens,
            attributed_nano_usd: NanoUsd(self.spend.attributed_nano),
            estimated_tokens_input: self.guess.tokens.input,
            estimated_tokens_output: self.guess.tokens.output,
            estimated_nano_usd: self.guess.known_cost(),
        }
    }
}

/// Tokens of a meter that were priced by the token.
#[must_use]
pub const fn priced(meter: MeterSpend) -> i64 {
    meter.tokens.saturating_sub(meter.unpriced).saturating_sub(meter.provisioned)
}

/// Sums under the names that JSON and CSV have for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Amounts {
    /// Calls, failed ones included.
    pub calls: i64,
    /// Prompt tokens not from the cache.
    pub tokens_input: i64,
    /// Prompt tokens from the cache.
    pub tokens_cached: i64,
    /// Generated tokens.
    pub tokens_output: i64,
    /// Cost of the tokens with a known price.
    pub cost_nano_usd: NanoUsd,
    /// Tokens without a known price: no part of the cost.
    pub unpriced_tokens: i64,
    /// Tokens of capacity that is paid by the hour: no part of the cost.
    pub provisioned_tokens: i64,
    /// Successful calls of which no record told the tokens: no part of the cost.
    pub calls_without_tokens: i64,
    /// Tokens that only the log of callers told.
    pub attributed_tokens: i64,
    /// Their part of the cost.
    pub attributed_nano_usd: NanoUsd,
    /// Prompt tokens that metrics count and no log tells: no part of the cost.
    pub estimated_tokens_input: i64,
    /// Generated tokens of that kind.
    pub estimated_tokens_output: i64,
    /// What those may have cost; `None` when a price is unknown.
    pub estimated_nano_usd: Option<NanoUsd>,
}

/// One local day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Day {
    /// Its hours.
    pub period: Period,
    /// Its date.
    pub date: Date,
    /// What was used in it.
    pub lines: BTreeMap<Key, Sum>,
}

impl Day {
    /// Everything of it.
    #[must_use]
    pub fn total(&self) -> Sum {
        total(&self.lines)
    }
}

/// Everything together.
#[must_use]
pub fn total<K>(lines: &BTreeMap<K, Sum>) -> Sum {
    lines.values().fold(Sum::default(), |sum, line| sum.plus(*line))
}

/// Calls of one hour of a week, by what has a line of its own.
pub type Hours = BTreeMap<Key, Vec<(Minute, Spend)>>;

/// A model that would have done the same for less, perhaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cheaper {
    /// What was used.
    pub key: Key,
    /// The other model.
    pub model: String,
    /// What the mean call would have cost with it, times the calls.
    pub cost: NanoUsd,
}

/// How a budget stood at the end of the week.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BudgetLine {
    /// Its name.
    pub name: String,
    /// Its period: `2026-11`.
    pub period: String,
    /// Owners it is for; none where it is for something else.
    pub owners: Vec<String>,
    /// True when its period is a month.
    pub is_monthly: bool,
    /// True when it is for everything.
    pub is_whole: bool,
    /// What may be spent in the period.
    pub limit: NanoUsd,
    /// What was.
    pub spent: NanoUsd,
    /// What will have been spent at its end, by the profile of each deployment.
    pub projected: Option<NanoUsd>,
    /// The 80 % range of a forecast from daily sums.
    pub band: Option<(NanoUsd, NanoUsd)>,
    /// When it was or will be used up, by the budget's local clock; `None` for not in this period.
    pub crossing: Option<String>,
}

/// What the hub and the metrics say of how complete the week is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Quality {
    /// Logs against metrics over the hours of the week of which metrics tell, by account, with the
    /// number of those hours and of the complete ones among them.
    pub compared: BTreeMap<String, (Compared, i64, i64)>,
    /// Records' way to the hub since the week began: kind, median and 95th percentile in milliseconds,
    /// and how many.
    pub delays: Vec<(String, Option<i64>, Option<i64>, i64)>,
    /// Events that were never seen, by hub, over the life of the database.
    pub lost: BTreeMap<String, i64>,
    /// Records that could not be read, over the life of the database.
    pub quarantined: i64,
    /// What could not be counted: account (name), deployment, reason, records and tokens.
    pub ledger: Vec<(String, String, String, i64, i64)>,
}

/// Everything a report is computed from.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The week.
    pub week: Week,
    /// Whose days these are.
    pub zone: Zone,
    /// The days of the four weeks before and of the week, oldest first.
    pub days: Vec<Day>,
    /// The week by hour.
    pub hours: Hours,
    /// Calls and failed calls of the week, by place.
    pub calls: BTreeMap<Place, (i64, i64)>,
    /// Callers of the week, and of the week before.
    pub callers: [Vec<CallerTotal>; 2],
    /// Names of their object ids, and what is known of their networks.
    pub names: BTreeMap<String, String>,
    /// Incidents that were going on in the week, oldest first.
    pub incidents: Vec<Incident>,
    /// How deployments were bought at the end of the week, as far as anybody says.
    pub skus: BTreeMap<Place, String>,
    /// What capacity paid by the hour cost in the week, by account; `None` where its price is unknown.
    pub provisioned: BTreeMap<String, Option<NanoUsd>>,
    /// Models that would have cost less.
    pub cheaper: Vec<Cheaper>,
    /// How complete it is.
    pub quality: Quality,
    /// What was told of this and earlier weeks, newest week first.
    pub told: Vec<Told>,
    /// The span that the database tells of.
    pub covered: Option<Covered>,
    /// Everything enqueued up to here was read, on every partition.
    pub slowest: Option<ArrivalTime>,
    /// Edition of the price book.
    pub book: String,
    /// Who answers for what.
    pub owners: Owners,
    /// How every budget stood at the end of the week.
    pub budgets: Vec<BudgetLine>,
}

impl Facts {
    /// The part of it that one team answers for. What counts for an account as a whole (completeness,
    /// capacity paid by the hour) is theirs when all of it is.
    #[must_use]
    pub fn of(&self, owner: &Owner) -> Self {
        let holds = |account: &str, deployment: &str| {
            let found = self.owners.of(account, deployment);
            found.is_some_and(|found| found.name == owner.name)
        };
        let key = |key: &Key| holds(&key.account, &key.deployment);
        let place = |(account, deployment): &Place| holds(account, deployment);
        let mut part = self.clone();
        for day in &mut part.days {
            day.lines.retain(|line, _| key(line));
        }
        part.hours.retain(|line, _| key(line));
        part.calls.retain(|line, _| place(line));
        for callers in &mut part.callers {
            callers.retain(|caller| holds(&caller.account, &caller.deployment));
        }
        part.incidents.retain(|incident| {
            let account = incident.resource_id.as_deref().unwrap_or(&incident.account);
            holds(&account.to_lowercase(), incident.deployment.as_deref().unwrap_or(""))
        });
        part.skus.retain(|line, _| place(line));
        part.provisioned.retain(|account, _| holds(account, ""));
        part.cheaper.retain(|cheaper| key(&cheaper.key));
        part.quality.compared.retain(|account, _| holds(account, ""));
        let mine = |account: &str, deployment: &str| {
            part.skus
                .keys()
                .chain(part.calls.keys())
                .any(|(resource, name)| short(resource) == account && name == deployment)
        };
        part.budgets.retain(|budget| budget.owners.contains(&owner.name));
        part.quality.ledger = std::mem::take(&mut part.quality.ledger)
            .into_iter()
            .filter(|(account, deployment, ..)| mine(account, deployment))
            .collect();
        part
    }

    /// The days of the week.
    pub fn week_days(&self) -> impl Iterator<Item = &Day> {
        self.days.iter().filter(|day| day.date >= self.week.begins)
    }

    /// What was used in the week `weeks` before, by what has a line of its own; 0 is the week itself.
    #[must_use]
    pub fn lines(&self, weeks: usize) -> BTreeMap<Key, Sum> {
        let mut lines: BTreeMap<Key, Sum> = BTreeMap::new();
        for day in self.days_of(weeks) {
            for (key, sum) in &day.lines {
                let line = lines.entry(key.clone()).or_default();
                *line = line.plus(*sum);
            }
        }
        lines
    }

    /// What was used in all in the week `weeks` before.
    #[must_use]
    pub fn total(&self, weeks: usize) -> Sum {
        self.days_of(weeks).fold(Sum::default(), |sum, day| sum.plus(day.total()))
    }

    fn days_of(&self, weeks: usize) -> impl Iterator<Item = &Day> {
        let weeks = i32::try_from(weeks).unwrap_or(i32::MAX);
        let begins = self.week.begins;
        self.days.iter().filter(move |day| {
            let since = day.date.since(begins).map_or(0, |span| span.get_days());
            since.div_euclid(7) == -weeks
        })
    }

    /// True when the database tells of the whole week `weeks` before.
    #[must_use]
    pub fn is_known(&self, weeks: usize) -> bool {
        let first = self.days_of(weeks).next();
        let from = self.covered.map(|covered| covered.from);
        first.zip(from).is_some_and(|(day, from)| from <= day.period.from.start())
    }
}

/// An account's own name: the last part of its resource id.
#[must_use]
pub fn short(account: &str) -> &str {
    account.rsplit('/').next().unwrap_or(account)
}
