//! What a change that nobody saw has exposed: who called the account since, and what it could cost.
//!
//! Told of the hours that had ended when the change was found, from what the account remembers of them.

use std::collections::{BTreeMap, BTreeSet};

use super::Env;
use super::account::Account;
use crate::aggregate::names::NONE;
use crate::aggregate::rollup::{Amount, Caller};
use crate::detect::network;
use crate::detect::series::Slot;
use crate::event::control::Changed;
use crate::incident::CallerShare;
use crate::money::{Grouped, NanoUsd};
use crate::price::PriceBook;
use crate::rules::costly;
use crate::rules::inventory::Version;
use crate::time::{ArrivalTime, EventTime, HOUR_MS};

/// Hours that are looked back at.
const HOURS: i64 = 24;
/// Networks named.
const MAX_CALLERS: usize = 10;
/// Tokens a day of a unit of capacity, which is a thousand a minute.
const TOKENS_PER_DAY: u64 = 1_000 * 60 * 24;

/// Who called, and what is said of it.
#[derive(Debug, PartialEq)]
pub(super) struct Exposure {
    /// The networks with most tokens; tokens and cost are those of the hours still known call by call.
    pub(super) callers: Vec<CallerShare>,
    /// A sentence.
    pub(super) fact: String,
}

impl Exposure {
    /// Of an account whose calls we do not read.
    pub(super) fn unheard() -> Self {
        let fact = "who called it is not known: no record of its calls has been read".to_owned();
        Self { callers: Vec::new(), fact }
    }
}

/// Who has called `account` since `from`, in the last 24 hours before `told`.
pub(super) fn callers(
    account: &Account,
    from: EventTime,
    told: ArrivalTime,
    env: &Env,
) -> Exposure {
    let until = told.0.div_euclid(HOUR_MS);
    let since = (until - HOURS).max(from.0.div_euclid(HOUR_MS));
    let mut sums: BTreeMap<u32, Amount> = BTreeMap::new();
    let mut identities: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    for parts in account.cap.callers(since..until).filter_map(Caller::parts) {
        sums.entry(parts.network).or_default();
        identities.entry(parts.network).or_default().insert(parts.identity);
    }
    let slots = (Slot::of_hour(since), Slot(Slot::of_hour(until).0 - 1));
    for (caller, amount) in
        account.series.values().flat_map(|series| series.callers(slots.0, slots.1))
    {
        let network = caller.parts().map(|parts| parts.network);
        if let Some(sum) = network.and_then(|network| sums.get_mut(&network)) {
            *sum = sum.plus(amount);
        }
    }
    sums.remove(&NONE);
    let is_new = |network: u32| {
        account.series.values().all(|series| network::is_new(series, network, slots.0))
    };
    let fresh = sums.keys().filter(|network| is_new(**network)).count();
    let mut ranked: Vec<(u32, Amount)> = sums.into_iter().collect();
    ranked.sort_by_key(|(network, amount)| (std::cmp::Reverse(amount.tokens()), *network));
    let hours = until - since;
    let fact = match ranked.len() {
        0 => format!("nobody whose network is known called it in the {hours} hours before"),
        count => format!(
            "{count} network(s) called it in the {hours} hours before, {fresh} of them new to it"
        ),
    };
    let share = |(network, amount): (u32, Amount)| {
        let text = account.names.text(network);
        let only = identities.get(&network).filter(|of| of.len() == 1).and_then(BTreeSet::first);
        let object = account.names.text(only.copied().unwrap_or(NONE));
        CallerShare {
            network: text.to_owned(),
            identity: object.to_owned(),
            tokens: amount.tokens(),
            cost: (amount.unpriced == 0 && amount.calls > 0).then_some(NanoUsd(amount.cost_nano)),
            new: is_new(network),
            about: env.known.about(text),
            name: env.known.name_of(object).map(str::to_owned),
        }
    };
    let callers = ranked.into_iter().take(MAX_CALLERS).map(share).collect();
    Exposure { callers, fact }
}

/// What the deployments of an account can cost a day at most, in words; by how they were found to be set.
pub(super) fn at_most<'a>(
    below: impl Iterator<Item = (&'a str, &'a Version)>,
    at: EventTime,
    book: &PriceBook,
) -> String {
    let (mut sum, mut priced, mut unknown) = (0_i64, 0, 0);
    for (id, version) in below {
        let Changed::Deployment(state) = &version.to else { continue };
        if costly::is_by_the_hour(state) {
            continue;
        }
        let dearest = costly::per_token(book, id, state, at);
        let tokens = state.capacity.map(|capacity| capacity.saturating_mul(TOKENS_PER_DAY));
        match dearest.zip(tokens.and_then(|tokens| i64::try_from(tokens).ok())) {
            Some((pico, tokens)) => {
                priced += 1;
                sum = sum.saturating_add(tokens.saturating_mul(pico) / 1_000);
            }
            None => unknown += 1,
        }
    }
    let rest = match unknown {
        0 => String::new(),
        count => format!("; of {} more the price or the capacity is not known", Grouped(count)),
    };
    match priced {
        0 => format!("what it can cost a day is not known{rest}"),
        count => format!(
            "its {count} deployment(s) paid by token can cost {} a day at most, at full capacity and list price{rest}",
            NanoUsd(sum)
        ),
    }
}
