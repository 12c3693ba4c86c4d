//! Which call of an account a call through a gateway was: told only where there is one answer.
//!
//! A gateway has correlation ids of its own, so its calls are recognised by time, deployment and
//! tokens, or by sizes where tokens are not told. Two calls that look alike are nobody's.

use std::collections::{BTreeMap, HashMap};

use super::call::Merged;
use super::gateway::{SKEW_MS, ThroughGateway};
use super::rollup::Amount;
use crate::time::{EventTime, Minute};

/// How much larger a message may be on one side than on the other: headers, which one side counts.
/// A guess, until a captured hour tells.
const SIZE_TOLERANCE: u64 = 2_048;
/// Calls of the account looked at for one call of a gateway; beyond it there is no one answer.
const MAX_LOOKED_AT: usize = 1_000;

/// A call of the account.
#[derive(Debug, Clone)]
pub struct Direct {
    /// Which.
    pub call: u128,
    /// What its rows say.
    pub merged: Merged,
}

/// Sums of what was linked; they only ever add.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Behind {
    /// What callers behind gateways used: amounts of the account's own calls, basis *attributed*.
    pub callers: BTreeMap<BehindKey, Amount>,
    /// How much of the gateways' traffic that explains: first minute of the hour, numbers of
    /// deployment and gateway.
    pub shares: BTreeMap<(Minute, u32, u32), Share>,
}

/// A caller behind a gateway in one hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BehindKey {
    /// First minute of the hour.
    pub hour: Minute,
    /// Number of the deployment's name.
    pub deployment: u32,
    /// Number of the gateway's name.
    pub gateway: u32,
    /// Number of the caller's network.
    pub network: u32,
    /// Number of the gateway's name for the caller: subscription, product or user.
    pub subject: u32,
}

/// Calls of a gateway that went to a deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Share {
    /// All that reached the backend.
    pub calls: i64,
    /// Of them, those that are one call of the account's.
    pub linked: i64,
    /// Of them, those that could be several.
    pub ambiguous: i64,
}

/// What became of a call through a gateway.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// It is this one of the account's calls.
    To(usize),
    /// It could be several, or another call of a gateway could be the same one.
    Ambiguous,
    /// The account knows no such call.
    Unmatched,
}

/// Links each call of a gateway to one of the account's. `number_of` gives the number of a
/// deployment's name, `None` for one the account does not have.
#[must_use]
pub fn links(
    direct: &[Direct],
    through: &[ThroughGateway],
    number_of: impl Fn(&str) -> Option<u32>,
) -> Vec<Link> {
    let index = Index::of(direct);
    let mut wanted: HashMap<usize, u32> = HashMap::new();
    let mut found = Vec::with_capacity(through.len());
    for gateway in through {
        let deployment = match gateway.deployment.as_str() {
            "" => Some(None),
            name => number_of(name).map(Some),
        };
        let candidates = match deployment {
            Some(deployment) => index.candidates(direct, gateway, deployment),
            None => Candidates::Few(Vec::new()),
        };
        if let Candidates::Few(places) = &candidates {
            for place in places {
                *wanted.entry(*place).or_default() += 1;
            }
        }
        found.push(candidates);
    }
    let one_answer = |candidates: Candidates| match candidates {
        Candidates::Many => Link::Ambiguous,
        Candidates::Few(places) => match places.as_slice() {
            [] => Link::Unmatched,
            [place] if wanted.get(place) == Some(&1) => Link::To(*place),
            _ => Link::Ambiguous,
        },
    };
    found.into_iter().map(one_answer).collect()
}

enum Candidates {
    Few(Vec<usize>),
    Many,
}

/// The account's calls by when they ended, in all and by their tokens.
struct Index {
    by_end: Vec<(EventTime, usize)>,
    by_tokens: BTreeMap<(u32, u32), Vec<(EventTime, usize)>>,
}

impl Index {
    fn of(direct: &[Direct]) -> Self {
        let ends = direct.iter().enumerate().map(|(place, d)| (d.merged.first_end, place));
        let mut by_end: Vec<_> = ends.collect();
        by_end.sort_unstable();
        let mut by_tokens: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for (end, place) in &by_end {
            let tokens = direct.get(*place).and_then(|d| d.merged.tokens());
            if let Some(tokens) = tokens {
                by_tokens.entry((tokens.input, tokens.output)).or_default().push((*end, *place));
            }
        }
        Self { by_end, by_tokens }
    }

    fn candidates(
        &self,
        direct: &[Direct],
        gateway: &ThroughGateway,
        deployment: Option<u32>,
    ) -> Candidates {
        let alike: &[_] = match gateway.tokens {
            Some(tokens) => self.by_tokens.get(&tokens).map_or(&[], Vec::as_slice),
            None => &self.by_end,
        };
        let from = EventTime(gateway.at.0 - SKEW_MS);
        let until = EventTime(gateway.latest.0 + SKEW_MS);
        let start = alike.partition_point(|(end, _)| *end < from);
        let end = alike.partition_point(|(end, _)| *end <= until);
        let within = alike.get(start..end).unwrap_or_default();
        if within.len() > MAX_LOOKED_AT {
            return Candidates::Many;
        }
        let fits = |place: &usize| {
            direct.get(*place).is_some_and(|d| fits(&d.merged, gateway, deployment))
        };
        Candidates::Few(within.iter().map(|(_, place)| *place).filter(fits).collect())
    }
}

/// True when nothing speaks against the two being one call, and something for it.
fn fits(direct: &Merged, gateway: &ThroughGateway, deployment: Option<u32>) -> bool {
    let agree = |a: u16, b: u16| a == 0 || b == 0 || a == b;
    let alike = |a: u64, b: u64| a.abs_diff(b) <= SIZE_TOLERANCE;
    let (sent, received) = direct.bytes();
    let sized = || {
        let told = received > 0 && gateway.bytes.1 > 0;
        told && alike(sent, gateway.bytes.0) && alike(received, gateway.bytes.1)
    };
    deployment.is_none_or(|number| direct.is_on(number))
        && agree(direct.status(), gateway.status)
        && (gateway.tokens.is_some() || sized())
}

#[cfg(test)]
#[path = "link_tests.rs"]
mod tests;
