//! What the total does not hold, or holds without an owner: beside it, never in it.

use serde::Serialize;

use crate::money::{Grouped, NanoUsd};
use crate::report::amount::{Currency, count, share};
use crate::report::facts::Facts;
use crate::report::view::{Row, Section};
use crate::store::callers::{CallerTotal, Identity};

/// The block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unattributed {
    /// Tokens of callers without an Entra identity: keys, and calls of which nobody was told.
    pub tokens_without_identity: i64,
    /// Their part of the cost.
    pub nano_usd_without_identity: NanoUsd,
    /// Tokens of all callers.
    pub tokens: i64,
    /// The same two of the week before.
    pub last_week: (i64, i64),
    /// Tokens of callers beyond those that are kept apart.
    pub tokens_of_others: i64,
    /// Tokens without a known price.
    pub unpriced_tokens: i64,
    /// Successful calls of which no record told the tokens.
    pub calls_without_tokens: i64,
    /// Tokens that metrics count and no log tells.
    pub estimated_tokens: i64,
    /// What those may have cost; `None` when a price is unknown.
    pub estimated_nano_usd: Option<NanoUsd>,
    /// Tokens that only the log of callers told; they are in the total.
    pub attributed_tokens: i64,
    /// Their part of the cost.
    pub attributed_nano_usd: NanoUsd,
}

impl Unattributed {
    /// Computes it.
    #[must_use]
    pub fn new(facts: &Facts) -> Self {
        let amounts = facts.total(0).amounts();
        let [now, before] = &facts.callers;
        let (without, tokens) = without_identity(now);
        let cost = now.iter().filter(|caller| !is_named(caller));
        let others = now.iter().filter(|caller| caller.identity == Identity::Others);
        Self {
            tokens_without_identity: without,
            nano_usd_without_identity: cost
                .fold(NanoUsd(0), |sum, caller| sum.plus(NanoUsd(caller.amount.cost_nano))),
            tokens,
            last_week: without_identity(before),
            tokens_of_others: others.map(|caller| caller.amount.tokens()).sum(),
            unpriced_tokens: amounts.unpriced_tokens,
            calls_without_tokens: amounts.calls_without_tokens,
            estimated_tokens: amounts
                .estimated_tokens_input
                .saturating_add(amounts.estimated_tokens_output),
            estimated_nano_usd: amounts.estimated_nano_usd,
            attributed_tokens: amounts.attributed_tokens,
            attributed_nano_usd: amounts.attributed_nano_usd,
        }
    }

    /// As people read it.
    #[must_use]
    pub fn section(&self, currency: &Currency) -> Section {
        let mut rows = Vec::new();
        let (before, before_all) = self.last_week;
        rows.push(Row {
            name: "without an Entra identity".to_owned(),
            amount: currency.show(self.nano_usd_without_identity),
            details: vec![
                format!("{} of the tokens", share(self.tokens_without_identity, self.tokens)),
                format!("{} a week before", share(before, before_all)),
                "in the total".to_owned(),
            ],
            ..Row::default()
        });
        if self.attributed_tokens > 0 {
            rows.push(Row {
                name: "told by the log of callers only".to_owned(),
                amount: currency.show(self.attributed_nano_usd),
                details: vec![
                    format!("{} tokens, cached ones priced in full", count(self.attributed_tokens)),
                    "in the total".to_owned(),
                ],
                ..Row::default()
            });
        }
        rows.extend(self.beside(currency));
        let notes = if rows.len() == 1 {
            vec!["Every call told its tokens and every token has a price.".to_owned()]
        } else {
            Vec::new()
        };
        Section { title: "Unattributed and unpriced", rows, notes, ..Section::default() }
    }

    /// What no total holds.
    fn beside(&self, currency: &Currency) -> Vec<Row> {
        let mut rows = Vec::new();
        let mut beside = |name: &str, amount: String, what: String| {
            rows.push(Row {
                name: name.to_owned(),
                amount,
                details: vec![what, "beside the total".to_owned()],
                ..Row::default()
            });
        };
        if self.unpriced_tokens > 0 {
            let what = format!("{} tokens without a price", count(self.unpriced_tokens));
            beside("unpriced", "unknown".to_owned(), what);
        }
        if self.calls_without_tokens > 0 {
            let what = format!("{} calls", Grouped(self.calls_without_tokens));
            beside("calls that did not tell their tokens", "unknown".to_owned(), what);
        }
        if self.estimated_tokens > 0 {
            let cost = self.estimated_nano_usd;
            let cost = cost.map_or_else(
                || "unknown".to_owned(),
                |cost| format!("about {}", currency.show(cost)),
            );
            let what = format!(
                "{} tokens that metrics count and no log tells",
                count(self.estimated_tokens)
            );
            beside("estimated", cost, what);
        }
        rows
    }
}

fn is_named(caller: &CallerTotal) -> bool {
    matches!(caller.identity, Identity::Object(_))
}

/// Tokens without an identity, and all.
fn without_identity(callers: &[CallerTotal]) -> (i64, i64) {
    callers.iter().fold((0, 0), |(without, all), caller| {
        let tokens = caller.amount.tokens();
        (if is_named(caller) { without } else { without + tokens }, all + tokens)
    })
}
