//! What each deployment cost, and how it was used.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::money::{Grouped, NanoUsd};
use crate::price::amount::half_even;
use crate::report::amount::{Currency, count, percent_change, share};
use crate::report::facts::{Amounts, Facts, Place, Sum, short, total};
use crate::report::view::{Change, Row, Section, Unarmed, named, rows};

/// Deployments with a line of their own.
const MOST: usize = 10;

/// The block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deployments {
    /// Dearest first.
    pub rows: Vec<Deployment>,
    /// Those beyond the first ten, together.
    pub others: Option<Others>,
    /// All of them: the total of the week.
    pub total: Amounts,
}

/// One deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deployment {
    /// Resource id of the account.
    pub account: String,
    /// Its name; empty where no record named one.
    pub deployment: String,
    /// Its models, dearest first.
    pub models: Vec<String>,
    /// How it was bought, where that is known.
    pub sku: Option<String>,
    /// Who answers for it.
    pub owner: Option<String>,
    /// What was used.
    pub amounts: Amounts,
    /// The cost of the week before; `None` when unknown.
    pub last_week_nano_usd: Option<NanoUsd>,
    /// What a thousand calls cost; `None` without calls.
    pub per_thousand_calls_nano_usd: Option<NanoUsd>,
    /// Failed calls.
    pub errors: i64,
}

/// Deployments without a line of their own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Others {
    /// How many.
    pub deployments: usize,
    /// What they used.
    pub amounts: Amounts,
}

impl Deployments {
    /// Computes it.
    #[must_use]
    pub fn new(facts: &Facts) -> Self {
        let mut lines = by_place(facts, 0);
        let before = by_place(facts, 1);
        let total = total(&lines.iter().map(|(place, (sum, _))| (place.clone(), *sum)).collect());
        let last_week = facts.is_known(1);
        for place in before.keys().filter(|_| last_week) {
            lines.entry(place.clone()).or_default();
        }
        let mut lines: Vec<(Place, (Sum, Vec<String>))> = lines.into_iter().collect();
        let old = |place: &Place| before.get(place).map_or(NanoUsd(0), |(sum, _)| sum.cost());
        lines.sort_by_key(|(place, (sum, _))| {
            (std::cmp::Reverse((sum.cost(), sum.tokens(), old(place))), place.clone())
        });
        let rest = lines.split_off(lines.len().min(MOST));
        let others = rest.iter().fold(Sum::default(), |all, (_, (sum, _))| all.plus(*sum));
        let row = |(place, (sum, models)): (Place, (Sum, Vec<String>))| Deployment {
            sku: facts.skus.get(&place).cloned(),
            owner: facts.owners.of(&place.0, &place.1).map(|owner| owner.name.clone()),
            last_week_nano_usd: last_week.then(|| old(&place)),
            per_thousand_calls_nano_usd: per_thousand(sum),
            errors: facts.calls.get(&place).map_or(0, |(_, errors)| *errors),
            amounts: sum.amounts(),
            account: place.0,
            deployment: place.1,
            models,
        };
        Self {
            others: (!rest.is_empty())
                .then(|| Others { deployments: rest.len(), amounts: others.amounts() }),
            rows: lines.into_iter().map(row).collect(),
            total: total.amounts(),
        }
    }

    /// As people read it.
    #[must_use]
    pub fn section(&self, currency: &Currency) -> Section {
        let mut lines: Vec<(String, NanoUsd)> = self
            .rows
            .iter()
            .map(|row| (place_text(&row.account, &row.deployment), row.amounts.cost_nano_usd))
            .collect();
        if let Some(others) = &self.others {
            let name =
                format!("{} others", Grouped(i64::try_from(others.deployments).unwrap_or(0)));
            lines.push((name, others.amounts.cost_nano_usd));
        }
        let mut shown = rows(lines, self.total.cost_nano_usd, currency);
        for (row, deployment) in shown.iter_mut().zip(&self.rows) {
            row.change = deployment
                .last_week_nano_usd
                .map(|before| Change::percent(deployment.amounts.cost_nano_usd, before));
            row.details = deployment.details(currency);
        }
        Section {
            title: "By deployment",
            rows: shown,
            total: Some(Row {
                name: "all deployments".to_owned(),
                amount: currency.show(self.total.cost_nano_usd),
                ..Row::default()
            }),
            unarmed: vec![
                Unarmed {
                    what: "95th percentile of tokens per call",
                    needs: "sketches of calls (detectors of cost)",
                },
                Unarmed { what: "quota headroom", needs: "quotas read from Azure" },
            ],
            ..Section::default()
        }
    }
}

impl Deployment {
    fn details(&self, currency: &Currency) -> Vec<String> {
        let Amounts { tokens_input, tokens_cached, tokens_output, calls, .. } = self.amounts;
        let mut details = vec![named(&self.models.join(", "))];
        if let Some(sku) = &self.sku {
            details.push(sku.clone());
        }
        details.push(format!("{} calls, {} failed", count(calls), share(self.errors, calls)));
        let prompt = tokens_input.saturating_add(tokens_cached);
        details.push(format!(
            "{} in ({} cached), {} out",
            count(prompt),
            share(tokens_cached, prompt),
            count(tokens_output)
        ));
        if let Some(each) = self.per_thousand_calls_nano_usd {
            details.push(format!("{} per 1,000 calls", currency.show(each)));
        }
        let cost = self.amounts.cost_nano_usd;
        if let Some(before) = self.last_week_nano_usd.filter(|before| *before != cost) {
            details.push(format!("{} in a week", currency.signed(cost.plus(-before))));
        }
        details.push(
            self.owner
                .as_ref()
                .map_or_else(|| "no owner".to_owned(), |owner| format!("owner {owner}")),
        );
        details.retain(|detail| !detail.is_empty());
        details
    }

    /// Change against the week before in percent, or `new`.
    #[must_use]
    pub fn percent(&self) -> Option<String> {
        self.last_week_nano_usd.map(|before| percent_change(self.amounts.cost_nano_usd, before))
    }
}

/// Sums and models (dearest first) of every deployment in the week `weeks` before.
pub(super) fn by_place(facts: &Facts, weeks: usize) -> BTreeMap<Place, (Sum, Vec<String>)> {
    let mut models: BTreeMap<Place, Vec<(NanoUsd, String)>> = BTreeMap::new();
    let mut places: BTreeMap<Place, (Sum, Vec<String>)> = BTreeMap::new();
    for (key, sum) in facts.lines(weeks) {
        let place = key.place();
        if !key.model.is_empty() {
            models.entry(place.clone()).or_default().push((sum.cost(), key.model));
        }
        let (all, _) = places.entry(place).or_default();
        *all = all.plus(sum);
    }
    for (place, mut named) in models {
        named.sort_by(|a, b| b.cmp(a));
        if let Some((_, models)) = places.get_mut(&place) {
            *models = named.into_iter().map(|(_, model)| model).collect();
        }
    }
    places
}

/// `account/deployment` as it is shown.
#[must_use]
pub fn place_text(account: &str, deployment: &str) -> String {
    let deployment = if deployment.is_empty() { "(no deployment)" } else { deployment };
    named(&format!("{}/{deployment}", short(account)))
}

fn per_thousand(sum: Sum) -> Option<NanoUsd> {
    let calls = sum.spend.calls;
    let nano = i128::from(sum.cost().0) * 1000;
    let each = (calls > 0).then(|| half_even(nano, i128::from(calls)))?;
    i64::try_from(each).ok().map(NanoUsd)
}
