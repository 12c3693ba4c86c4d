//! What nobody logged, estimated from metrics, and priced.

use std::collections::BTreeMap;

use serde_json::json;

use super::replay::printable;
use crate::aggregate::estimate::Estimated;
use crate::engine::bought;
use crate::money::{Grouped, NanoUsd};
use crate::price::PriceBook;
use crate::store::StoreError;
use crate::store::estimates::EstimatedHour;
use crate::store::read::Reader;
use crate::time::Minute;

/// Tokens of calls that no row told, and what they may have cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Guess {
    /// Calls these are the tokens of; 0 where no log tells of any.
    pub(super) calls: i64,
    /// The tokens.
    pub(super) tokens: Estimated,
    /// Cost of those whose price is known.
    pub(super) cost: NanoUsd,
    /// Tokens whose price is unknown.
    pub(super) unpriced: i64,
}

impl Guess {
    /// Both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            calls: self.calls.saturating_add(other.calls),
            tokens: Estimated {
                input: self.tokens.input.saturating_add(other.tokens.input),
                output: self.tokens.output.saturating_add(other.tokens.output),
            },
            cost: self.cost.plus(other.cost),
            unpriced: self.unpriced.saturating_add(other.unpriced),
        }
    }

    /// The cost of all of it; `None` when some of it is unknown.
    pub(super) fn known_cost(self) -> Option<NanoUsd> {
        (self.unpriced == 0).then_some(self.cost)
    }
}

/// Everything estimated in the hours from `from` until before `until`, priced as calls of their moment
/// are priced.
pub(super) async fn between(
    reader: &mut Reader,
    (from, until): (Minute, Minute),
    book: &PriceBook,
) -> Result<Vec<(EstimatedHour, Guess)>, StoreError> {
    let hours = reader.estimates(from, until).await?;
    let mut priced = Vec::with_capacity(hours.len());
    for hour in hours {
        let lives = match book.contract.lives(&hour.account, &hour.deployment) {
            [] => bought::lives(&reader.purchases(&hour.account, &hour.deployment).await?),
            said => said.to_vec(),
        };
        let rates = book.rates_of(&hour.account, &lives, &hour.model);
        let Estimated { input, output } = hour.tokens;
        let (cost, unpriced) = rates.of_many(hour.calls, [input, output], hour.start.start());
        let guess = Guess { calls: hour.calls, tokens: hour.tokens, cost, unpriced };
        priced.push((hour, guess));
    }
    Ok(priced)
}

/// Estimates by account (name), deployment and model.
pub(super) struct Estimates(BTreeMap<(String, String, String), Guess>);

/// Everything the database lets estimate.
pub(super) async fn of_all(reader: &mut Reader, book: &PriceBook) -> Result<Estimates, StoreError> {
    let mut sums: BTreeMap<(String, String, String), Guess> = BTreeMap::new();
    for (hour, guess) in between(reader, (Minute(i64::MIN), Minute(i64::MAX)), book).await? {
        let account = hour.account.rsplit('/').next().unwrap_or_default().to_owned();
        let sum = sums.entry((account, hour.deployment, hour.model)).or_default();
        *sum = sum.plus(guess);
    }
    Ok(Estimates(sums))
}

impl Estimates {
    /// One entry an account, deployment and model.
    pub(super) fn to_json(&self) -> serde_json::Value {
        let entries = self.0.iter().map(|((account, deployment, model), sum)| {
            json!({
                "account": account,
                "deployment": deployment,
                "model": model,
                "calls": sum.calls,
                "tokens_in": sum.tokens.input,
                "tokens_out": sum.tokens.output,
                "cost_nano_usd": sum.known_cost().map(|cost| cost.0),
                "unpriced_tokens": sum.unpriced,
                "basis": "estimated",
            })
        });
        entries.collect()
    }

    /// A line each.
    pub(super) fn to_text(&self) -> String {
        let mut text = String::new();
        for ((account, deployment, model), sum) in &self.0 {
            let whose = match sum.calls {
                0 => format!("{} by its metrics, in no log", printable(account)),
                calls => format!(
                    "{} call(s) without tokens of {}/{} ({})",
                    Grouped(calls),
                    printable(account),
                    printable(deployment),
                    printable(model)
                ),
            };
            let cost = match sum.known_cost() {
                Some(cost) => format!("about {cost}"),
                None => "cost unknown".to_owned(),
            };
            text.push_str(&format!(
                "estimated: {} prompt and {} generated tokens of {whose}; {cost}\n",
                Grouped(sum.tokens.input),
                Grouped(sum.tokens.output),
            ));
        }
        text
    }
}
