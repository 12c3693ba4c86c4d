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

/// Sums of one account, deployment and model.
#[derive(Debug, Clone, Copy, Default)]
struct Sum {
    calls: i64,
    tokens: Estimated,
    cost: NanoUsd,
    unpriced: i64,
}

/// Estimates by account (name), deployment and model.
pub(super) struct Estimates(BTreeMap<(String, String, String), Sum>);

/// Everything the database lets estimate.
pub(super) async fn of_all(reader: &mut Reader, book: &PriceBook) -> Result<Estimates, StoreError> {
    let hours = reader.estimates(Minute(i64::MIN), Minute(i64::MAX)).await?;
    priced(reader, &hours, book).await
}

/// Prices the hours as calls of their moment are priced, and sums them up.
pub(super) async fn priced(
    reader: &mut Reader,
    hours: &[EstimatedHour],
    book: &PriceBook,
) -> Result<Estimates, StoreError> {
    let mut sums: BTreeMap<(String, String, String), Sum> = BTreeMap::new();
    for hour in hours {
        let lives = match book.contract.lives(&hour.account, &hour.deployment) {
            [] => bought::lives(&reader.purchases(&hour.account, &hour.deployment).await?),
            said => said.to_vec(),
        };
        let rates = book.rates_of(&hour.account, &lives, &hour.model);
        let Estimated { input, output } = hour.tokens;
        let (cost, unpriced) = rates.of_many(hour.calls, [input, output], hour.start.start());
        let account = hour.account.rsplit('/').next().unwrap_or_default().to_owned();
        let sum = sums.entry((account, hour.deployment.clone(), hour.model.clone())).or_default();
        sum.calls = sum.calls.saturating_add(hour.calls);
        sum.tokens.input = sum.tokens.input.saturating_add(input);
        sum.tokens.output = sum.tokens.output.saturating_add(output);
        sum.cost = sum.cost.plus(cost);
        sum.unpriced = sum.unpriced.saturating_add(unpriced);
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
                "cost_nano_usd": (sum.unpriced == 0).then_some(sum.cost.0),
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
            let cost = match sum.unpriced {
                0 => format!("about {}", sum.cost),
                _ => "cost unknown".to_owned(),
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
