//! The same spend cut otherwise: by model, by how it was bought, by caller.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::money::NanoUsd;
use crate::report::amount::{Currency, count};
use crate::report::facts::{Amounts, Facts, Sum, total};
use crate::report::view::{Row, Section, Unarmed, named, rows};
use crate::store::callers::{CallerTotal, Identity};

/// Models and callers with a line of their own.
const MOST: usize = 8;

/// The block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slices {
    /// By model, dearest first; the last may be `others`.
    pub models: Vec<Slice>,
    /// By what deployments were bought as.
    pub skus: Vec<Slice>,
    /// By caller.
    pub callers: Vec<Caller>,
    /// The total of models and of skus.
    pub total: Amounts,
    /// The total of callers; the same, as long as no caller's rows were removed.
    pub callers_total_nano_usd: NanoUsd,
}

/// One model or way of buying.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Slice {
    /// Which.
    pub name: String,
    /// What was used.
    pub amounts: Amounts,
}

/// One caller over all deployments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Caller {
    /// Name of the identity, its object id, or what is known instead.
    pub who: String,
    /// How sure that is: `identity`, `key`, `network`, `nobody`.
    pub attribution: &'static str,
    /// Network; `None` where this report does not show networks, or none was told.
    pub network: Option<String>,
    /// What is known of the network: the operator's name, a list, the system it belongs to.
    pub about: Option<String>,
    /// Calls.
    pub calls: i64,
    /// Tokens of all kinds.
    pub tokens: i64,
    /// Cost of those with a known price.
    pub cost_nano_usd: NanoUsd,
}

impl Slices {
    /// Computes it; networks of callers are shown with `networks` only.
    #[must_use]
    pub fn new(facts: &Facts, networks: Networks) -> Self {
        let lines = facts.lines(0);
        let (mut models, mut skus) = (BTreeMap::<String, Sum>::new(), BTreeMap::new());
        for (key, sum) in &lines {
            let model = if key.model.is_empty() { "model not told" } else { &key.model };
            add(&mut models, model, *sum);
            let sku = facts.skus.get(&key.place()).map_or("not known how bought", String::as_str);
            add(&mut skus, sku, *sum);
        }
        let [callers, _] = &facts.callers;
        Self {
            models: slices(models),
            skus: slices(skus),
            callers_total_nano_usd: callers
                .iter()
                .fold(NanoUsd(0), |sum, caller| sum.plus(NanoUsd(caller.amount.cost_nano))),
            callers: by_caller(callers, &facts.names, networks),
            total: total(&lines).amounts(),
        }
    }

    /// By model and way of buying, as people read it.
    #[must_use]
    pub fn section(&self, currency: &Currency) -> Section {
        let all = self.total.cost_nano_usd;
        let cut = |slices: &[Slice]| {
            let lines =
                slices.iter().map(|slice| (named(&slice.name), slice.amounts.cost_nano_usd));
            let mut rows = rows(lines.collect(), all, currency);
            for (row, slice) in rows.iter_mut().zip(slices) {
                let Amounts { calls, tokens_input, tokens_cached, tokens_output, .. } =
                    slice.amounts;
                let tokens =
                    tokens_input.saturating_add(tokens_cached).saturating_add(tokens_output);
                row.details.push(format!("{} tokens, {} calls", count(tokens), count(calls)));
            }
            rows
        };
        let mut shown = cut(&self.models);
        let bought = cut(&self.skus);
        let notes =
            bought.iter().map(|row| format!("{}: {}", row.name, row.amount)).collect::<Vec<_>>();
        if shown.is_empty() {
            shown.push(Row {
                name: "nothing".to_owned(),
                amount: currency.show(all),
                ..Row::default()
            });
        }
        Section {
            title: "By model",
            rows: shown,
            notes: vec![format!("By how it was bought: {}.", notes.join("; "))],
            unarmed: vec![Unarmed {
                what: "by region",
                needs: "locations of accounts (inventory)",
            }],
            ..Section::default()
        }
    }

    /// By caller, as people read it.
    #[must_use]
    pub fn callers_section(&self, currency: &Currency) -> Section {
        let lines = self.callers.iter().map(|caller| (named(&caller.who), caller.cost_nano_usd));
        let mut shown = rows(lines.collect(), self.callers_total_nano_usd, currency);
        for (row, caller) in shown.iter_mut().zip(&self.callers) {
            let place = [caller.network.clone(), caller.about.clone()];
            let place =
                place.into_iter().flatten().map(|text| named(&text)).collect::<Vec<_>>().join(", ");
            if let (Some(network), true) = (&caller.network, caller.attribution.starts_with("key"))
            {
                row.name = format!("{} from {}", row.name, named(network));
            }
            row.details = vec![
                place,
                format!("{} tokens, {} calls", count(caller.tokens), count(caller.calls)),
                format!("known by {}", caller.attribution),
            ];
            row.details.retain(|detail| !detail.is_empty());
        }
        let off = self.total.cost_nano_usd.plus(-self.callers_total_nano_usd);
        let note = format!(
            "{} of the total has no caller any more: rows of callers were removed.",
            currency.show(off)
        );
        let notes = if off.0 == 0 { Vec::new() } else { vec![note] };
        Section { title: "By caller", rows: shown, notes, ..Section::default() }
    }
}

/// Whether networks of callers may be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Networks {
    /// As Azure masks them: /24 or /48.
    Shown,
    /// Not at all.
    Hidden,
}

fn add(sums: &mut BTreeMap<String, Sum>, name: &str, sum: Sum) {
    let all = sums.entry(name.to_owned()).or_default();
    *all = all.plus(sum);
}

/// Dearest first, the rest in one.
fn slices(sums: BTreeMap<String, Sum>) -> Vec<Slice> {
    let mut sums: Vec<(String, Sum)> = sums.into_iter().collect();
    sums.sort_by_key(|(name, sum)| (std::cmp::Reverse((sum.cost(), sum.tokens())), name.clone()));
    let rest = sums.split_off(sums.len().min(MOST));
    if !rest.is_empty() {
        let all = rest.iter().fold(Sum::default(), |all, (_, sum)| all.plus(*sum));
        sums.push((format!("{} others", rest.len()), all));
    }
    sums.into_iter().map(|(name, sum)| Slice { name, amounts: sum.amounts() }).collect()
}

fn by_caller(
    callers: &[CallerTotal],
    names: &BTreeMap<String, String>,
    networks: Networks,
) -> Vec<Caller> {
    let mut found: BTreeMap<(String, &'static str, Option<String>), Caller> = BTreeMap::new();
    for total in callers {
        let shown = networks == Networks::Shown && !total.network.is_empty();
        let network = shown.then(|| total.network.clone());
        let (who, attribution) = match &total.identity {
            Identity::Object(id) => {
                (names.get(id).cloned().unwrap_or_else(|| id.clone()), "identity")
            }
            Identity::Key => ("a key".to_owned(), "key and network"),
            Identity::Untold if total.network.is_empty() => ("nobody told".to_owned(), "nothing"),
            Identity::Untold => ("identity not told".to_owned(), "network"),
            Identity::Others => ("callers beyond those kept apart".to_owned(), "nothing"),
        };
        let about = names.get(&total.network).cloned();
        let place = network.clone().or_else(|| about.clone());
        let caller = found.entry((who.clone(), attribution, place)).or_insert(Caller {
            who,
            attribution,
            network,
            about,
            calls: 0,
            tokens: 0,
            cost_nano_usd: NanoUsd(0),
        });
        caller.calls = caller.calls.saturating_add(total.amount.calls);
        caller.tokens = caller.tokens.saturating_add(total.amount.tokens());
        caller.cost_nano_usd += NanoUsd(total.amount.cost_nano);
    }
    let mut callers: Vec<Caller> = found.into_values().collect();
    callers.sort_by_key(|caller| {
        let place = (caller.who.clone(), caller.network.clone(), caller.about.clone());
        (std::cmp::Reverse((caller.cost_nano_usd, caller.tokens)), place)
    });
    let rest = callers.split_off(callers.len().min(MOST));
    if !rest.is_empty() {
        let sum = |field: fn(&Caller) -> i64| rest.iter().map(field).fold(0, i64::saturating_add);
        callers.push(Caller {
            who: format!("{} others", rest.len()),
            attribution: "various",
            network: None,
            about: None,
            calls: sum(|caller| caller.calls),
            tokens: sum(|caller| caller.tokens),
            cost_nano_usd: NanoUsd(sum(|caller| caller.cost_nano_usd.0)),
        });
    }
    callers
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::aggregate::rollup::Amount;

    fn caller(identity: Identity, network: &str, cost_nano: i64) -> CallerTotal {
        CallerTotal {
            account: "/x/accounts/prod".to_owned(),
            deployment: "chat".to_owned(),
            network: network.to_owned(),
            identity,
            operation: "chat",
            amount: Amount { calls: 1, cost_nano, ..Amount::default() },
        }
    }

    #[test]
    fn callers_add_up_and_hide_their_networks_where_they_must() {
        let all: Vec<CallerTotal> = (0..20_u8)
            .map(|n| caller(Identity::Key, &format!("198.18.{n}.0/24"), i64::from(n) + 1))
            .chain([caller(Identity::Object("id".to_owned()), "198.18.1.0/24", 500)])
            .chain([caller(Identity::Object("id".to_owned()), "198.18.1.0/24", 7)])
            .collect();
        let names = BTreeMap::from([("id".to_owned(), "Build agent".to_owned())]);
        let sum = |callers: &[Caller]| callers.iter().map(|c| c.cost_nano_usd.0).sum::<i64>();
        let shown = by_caller(&all, &names, Networks::Shown);
        assert_eq!((shown.len(), sum(&shown)), (MOST + 1, 210 + 507));
        assert_eq!((shown[0].who.as_str(), shown[0].cost_nano_usd), ("Build agent", NanoUsd(507)));
        assert_eq!(shown[1].network.as_deref(), Some("198.18.19.0/24"));
        let hidden = by_caller(&all, &names, Networks::Hidden);
        assert_eq!((hidden.len(), sum(&hidden)), (2, 210 + 507));
        assert!(hidden.iter().all(|caller| caller.network.is_none()), "{hidden:?}");
    }
}
