//! How the deployments of one account were bought, as the activity log tells it, and their prices.
//!
//! What is told late still holds from its moment on: the calls since then that are remembered are
//! priced anew. So the sums do not depend on the order in which partitions were read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::Env;
use crate::aggregate::names::Names;
use crate::event::account_of;
use crate::event::control::{Changed, Control, Outcome, Target, Verb};
use crate::price::PriceBook;
use crate::price::contract::Deployed;
use crate::price::rates::Rates;
use crate::price::sku::{AZURE_SKUS, Sku};
use crate::price::span::Span;
use crate::time::{ArrivalTime, EventTime};

/// Pairs of deployment and model whose prices are kept at hand; those of later ones are looked up
/// each time. Azure allows 32 deployments per account by default, with one model each at a time.
const MAX_RATES: usize = 4_096;
/// Purchases kept of one deployment; above it the oldest is forgotten. People change what they buy
/// by the month.
const MAX_PURCHASES: usize = 64;

/// A deployment was made or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purchase {
    /// From when on it is bought this way.
    pub at: EventTime,
    /// When the hub took the record that says so (made monotone per partition).
    pub told: ArrivalTime,
    /// Azure's word for what it is bought as.
    pub sku: &'static str,
}

impl Purchase {
    /// What a record of the activity log says about buying: account, deployment and purchase.
    /// `None` for other operations, for what was only tried, and for words nobody knows.
    #[must_use]
    pub fn read(control: &Control, told: ArrivalTime) -> Option<(&str, &str, Self)> {
        let done = control.target == Target::Deployment
            && control.verb == Verb::Write
            && control.outcome == Outcome::Succeeded;
        let change = control.change.as_ref().filter(|_| done)?;
        let Changed::Deployment(state) = &change.to else { return None };
        let account = account_of(&control.resource)?;
        let (_, deployment) = control.resource.rsplit_once("/deployments/")?;
        Some((account, deployment, Self { at: control.at, told, sku: known(&state.sku)? }))
    }

    fn meaning(self) -> Sku {
        let found = AZURE_SKUS.iter().find(|(word, _)| *word == self.sku);
        found.map_or_else(Sku::default, |(_, sku)| *sku)
    }
}

/// Azure's own spelling of a word for buying; `None` for words it does not use.
#[must_use]
pub fn known(sku: &str) -> Option<&'static str> {
    AZURE_SKUS.iter().map(|(word, _)| *word).find(|word| word.eq_ignore_ascii_case(sku))
}

/// How a deployment was bought, by time, as told by purchases in the order of their times.
#[must_use]
pub fn lives(purchases: &[Purchase]) -> Vec<Arc<Deployed>> {
    let ends = purchases.iter().skip(1).map(|next| next.at).chain([Span::ALWAYS.until]);
    let lives = purchases.iter().zip(ends).map(|(purchase, until)| {
        let valid = Span { from: purchase.at, until };
        Arc::new(Deployed { sku: purchase.meaning(), valid, ..Deployed::default() })
    });
    lives.collect()
}

/// Purchases and prices of one account.
#[derive(Debug, Clone, Default)]
pub struct Bought {
    /// By deployment, in the order of their times and words.
    purchases: BTreeMap<u32, Vec<Purchase>>,
    /// Prices at hand: what holds by what was told until a moment, in the order of these moments.
    rates: HashMap<(u32, u32), Vec<(ArrivalTime, Rates)>>,
}

/// Where prices are looked up.
#[derive(Debug, Clone, Copy)]
pub struct Shelf<'a> {
    /// The account.
    pub resource: &'a str,
    /// Its names.
    pub names: &'a Names,
    /// The list and the terms.
    pub book: &'a PriceBook,
}

impl<'a> Shelf<'a> {
    /// The prices of an account.
    #[must_use]
    pub const fn of(resource: &'a str, names: &'a Names, env: &'a Env) -> Self {
        Self { resource, names, book: &env.book }
    }
}

impl Bought {
    /// Notes a purchase; true when it is news. What the configuration says of a deployment stands.
    pub fn add(&mut self, deployment: u32, purchase: Purchase, shelf: Shelf<'_>) -> bool {
        let name = shelf.names.text(deployment);
        if !shelf.book.contract.lives(shelf.resource, name).is_empty() {
            return false;
        }
        let known = self.purchases.entry(deployment).or_default();
        let order = |purchase: &Purchase| (purchase.at, purchase.sku);
        match known.binary_search_by_key(&order(&purchase), order) {
            Ok(place) => match known.get_mut(place) {
                Some(same) if purchase.told < same.told => same.told = purchase.told,
                Some(_) | None => return false,
            },
            Err(place) => known.insert(place, purchase),
        }
        if known.len() > MAX_PURCHASES {
            known.remove(0);
        }
        let models: Vec<u32> =
            self.rates.keys().filter(|(d, _)| *d == deployment).map(|(_, m)| *m).collect();
        for model in models {
            self.rates.remove(&(deployment, model));
            self.know(deployment, model, shelf);
        }
        true
    }

    /// Keeps the prices of a model on a deployment at hand.
    pub fn know(&mut self, deployment: u32, model: u32, shelf: Shelf<'_>) {
        if self.rates.len() >= MAX_RATES || self.rates.contains_key(&(deployment, model)) {
            return;
        }
        let mut moments = BTreeSet::from([ArrivalTime(i64::MIN)]);
        moments.extend(self.of(deployment).iter().map(|purchase| purchase.told));
        let rates =
            moments.into_iter().map(|by| (by, self.look_up((deployment, model), by, shelf)));
        let rates = rates.collect();
        self.rates.insert((deployment, model), rates);
    }

    /// Prices of a model on a deployment by what was told until a moment.
    #[must_use]
    pub fn rates(&self, pair: (u32, u32), by: ArrivalTime, shelf: Shelf<'_>) -> Rates {
        let at_hand = self.rates.get(&pair).and_then(|rates| {
            let held = rates.iter().rev().find(|(told, _)| *told <= by);
            held.map(|(_, rates)| rates.clone())
        });
        // Rows of one call may name the one without the other.
        at_hand.unwrap_or_else(|| self.look_up(pair, by, shelf))
    }

    fn look_up(&self, (deployment, model): (u32, u32), by: ArrivalTime, shelf: Shelf<'_>) -> Rates {
        let [name, model] = [deployment, model].map(|name| shelf.names.text(name));
        let told: Vec<Purchase> =
            self.of(deployment).iter().filter(|purchase| purchase.told <= by).copied().collect();
        if told.is_empty() {
            return shelf.book.rates(shelf.resource, name, model);
        }
        shelf.book.rates_of(shelf.resource, &lives(&told), model)
    }

    fn of(&self, deployment: u32) -> &[Purchase] {
        self.purchases.get(&deployment).map_or(&[], Vec::as_slice)
    }
}
