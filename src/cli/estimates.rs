//! What nobody logged, estimated from metrics, and priced.

use std::collections::BTreeMap;

use serde_json::json;

use super::replay::printable;
use crate::money::Grouped;
use crate::price::PriceBook;
use crate::report::guess::{Guess, between};
use crate::store::StoreError;
use crate::store::read::Reader;
use crate::time::Minute;

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
