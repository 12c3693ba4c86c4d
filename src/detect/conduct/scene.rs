//! What rules about conduct look at: an account when one of its slots has closed.

use std::collections::{BTreeMap, BTreeSet};

use super::{Conduct, Deed, MAX_NETWORKS, past};
use crate::aggregate::names::{NONE, Names, OTHER};
use crate::aggregate::rollup::Caller;
use crate::detect::baseline::as_float;
use crate::detect::series::{SLOT_MIN, SLOTS_PER_DAY, SLOTS_PER_HOUR, Series, Slot, values};
use crate::event::operation::Operation;
use crate::known::{About, Known};
use crate::money::NanoUsd;
use crate::time::EventTime;

/// Slots the log that names callers must have spoken for before anything is new: seven days.
const KNOWN_AFTER: i64 = 7 * SLOTS_PER_DAY;
/// What was first seen within so many slots is new: a day.
const NEW_FOR: i64 = SLOTS_PER_DAY;
/// Networks that a sentence names.
const MAX_NAMED: usize = 3;

/// An account at the close of a slot.
#[derive(Debug)]
pub struct Scene<'a> {
    /// The slot.
    pub slot: Slot,
    /// What its callers did.
    pub conduct: &'a Conduct,
    series: &'a BTreeMap<u32, Series>,
    names: &'a Names,
    known: &'a Known,
    hour: Vec<Deed>,
    revoked: Vec<EventTime>,
    gateways: Option<BTreeSet<u32>>,
    models: Option<&'a BTreeMap<u32, u32>>,
}

impl<'a> Scene<'a> {
    /// The account with these tallies, deployments and names.
    #[must_use]
    pub fn new(
        slot: Slot,
        conduct: &'a Conduct,
        series: &'a BTreeMap<u32, Series>,
        names: &'a Names,
        known: &'a Known,
    ) -> Self {
        let hour = conduct.deeds(slot, SLOTS_PER_HOUR).collect();
        let (revoked, gateways, models) = (Vec::new(), None, None);
        Self { slot, conduct, series, names, known, hour, revoked, gateways, models }
    }

    /// The same where keys became worthless at these times.
    #[must_use]
    pub fn with_revoked(self, revoked: Vec<EventTime>) -> Self {
        Self { revoked, ..self }
    }

    /// The same of an account that should be called through gateways alone, and through these networks is.
    #[must_use]
    pub fn with_gateways(self, gateways: Option<BTreeSet<u32>>) -> Self {
        Self { gateways, ..self }
    }

    /// The same where these are the models of deployments, by the numbers of their names.
    #[must_use]
    pub fn with_models(self, models: &'a BTreeMap<u32, u32>) -> Self {
        Self { models: Some(models), ..self }
    }

    /// The model of a deployment with its version, as the logs wrote it; `None` where none did.
    #[must_use]
    pub fn model(&self, deployment: u32) -> Option<&str> {
        self.models?.get(&deployment).map(|model| self.names.text(*model))
    }

    /// Networks of gateways; `None` where the account may be called by anybody.
    #[must_use]
    pub const fn gateways(&self) -> Option<&BTreeSet<u32>> {
        self.gateways.as_ref()
    }

    /// When keys became worthless, as far as was told when the slot closed.
    pub fn revoked(&self) -> impl Iterator<Item = EventTime> {
        self.revoked.iter().copied()
    }

    /// True when nothing was done within the hour.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.hour.is_empty()
    }

    /// What was done in the last `minutes`, at most an hour.
    pub fn within(&self, minutes: f64) -> impl Iterator<Item = &Deed> {
        let first = self.slot.0 - whole(minutes).div_euclid(SLOT_MIN);
        self.hour.iter().filter(move |deed| deed.slot.0 > first)
    }

    /// What each known network did in the last `minutes`, at most an hour.
    #[must_use]
    pub fn networks(&self, minutes: f64) -> BTreeMap<u32, Visit> {
        visits(self.within(minutes))
    }

    /// The same on one deployment.
    #[must_use]
    pub fn networks_on(&self, deployment: u32, minutes: f64) -> BTreeMap<u32, Visit> {
        visits(self.within(minutes).filter(|deed| deed.deployment == deployment))
    }

    /// True when the log that names callers has spoken for long enough to call anything new.
    #[must_use]
    pub fn has_history(&self) -> bool {
        let first = self.conduct.past().first();
        first.is_some_and(|first| self.slot.0 - first.0 >= KNOWN_AFTER)
    }

    /// True when the account first saw this network within a day, and is old enough to say so.
    #[must_use]
    pub fn is_new(&self, network: u32) -> bool {
        let listed = self.conduct.past().first_seen(network);
        let called = self.series.values().filter_map(|series| series.first_seen(network));
        let first = called.map(Slot::of).chain(listed).min();
        self.has_history() && self.is_recent(first)
    }

    /// True for what was first seen within a day, or never.
    pub(super) fn is_recent(&self, first: Option<Slot>) -> bool {
        first.is_none_or(|first| self.slot.0 - first.0 < NEW_FOR)
    }

    /// What is known about a network.
    pub fn about(&self, network: u32) -> About {
        self.known.about(self.names.text(network))
    }

    /// What `of` says of the networks that the account has known for more than a day.
    pub fn before<T: Ord>(&self, of: impl Fn(&About) -> Option<T>) -> BTreeSet<T> {
        let known = self.series.values().flat_map(Series::networks);
        let old: BTreeSet<u32> = known
            .filter(|(_, first)| !self.is_recent(Some(Slot::of(*first))))
            .map(|(network, _)| network)
            .collect();
        old.into_iter().filter_map(|network| of(&self.about(network))).collect()
    }

    /// USD that a network spent within the hour, as far as prices are known.
    pub fn usd(&self, network: u32) -> f64 {
        let first = Slot(self.slot.0 - SLOTS_PER_HOUR + 1);
        let callers = self.series.values().flat_map(|series| series.callers(first, self.slot));
        let own = callers.filter(|(who, _)| who.parts().is_some_and(|who| who.network == network));
        own.map(|(_, amount)| values(amount)[1]).sum()
    }

    /// Tokens that a network's calls to stores used in the `count` whole hours before that of the slot, of which
    /// at most four are kept.
    pub(super) fn store_tokens(&self, network: u32, count: i64) -> f64 {
        let hour = self.slot.hour();
        let slots = (Slot::of_hour(hour - count), Slot(Slot::of_hour(hour).0 - 1));
        let callers = self.series.values().flat_map(|series| series.callers(slots.0, slots.1));
        let is_own = |caller: &Caller| {
            caller.parts().is_some_and(|who| who.network == network && who.operation.is_store())
        };
        callers.filter(|(caller, _)| is_own(caller)).map(|(_, amount)| values(amount)[0]).sum()
    }

    /// As it reads.
    #[must_use]
    pub fn text(&self, name: u32) -> &str {
        self.names.text(name)
    }

    /// A network, what is known of it, and what it did.
    #[must_use]
    pub fn sentence(&self, network: u32, did: &str) -> String {
        let about = self.about(network);
        let about = if about.is_empty() { String::new() } else { format!(" ({about})") };
        format!("{}{about} {did}", self.text(network))
    }

    /// A sentence for each of the first few networks, and how many more there are.
    pub fn sentences<T>(&self, worst: &[(u32, T)], did: impl Fn(&T) -> String) -> Vec<String> {
        let named = worst.iter().take(MAX_NAMED);
        let mut sentences: Vec<String> =
            named.map(|(network, visit)| self.sentence(*network, &did(visit))).collect();
        if worst.len() > MAX_NAMED {
            sentences.push(format!("{} more networks did the like", worst.len() - MAX_NAMED));
        }
        sentences
    }
}

fn visits<'a>(deeds: impl Iterator<Item = &'a Deed>) -> BTreeMap<u32, Visit> {
    let mut visits: BTreeMap<u32, Visit> = BTreeMap::new();
    for deed in deeds {
        if let Some(network) = deed.network().filter(|network| *network != OTHER) {
            visits.entry(network).or_default().add(deed);
        }
    }
    visits
}

/// What one network did.
#[derive(Debug, Clone, Default)]
pub struct Visit {
    /// Served calls.
    pub served: i64,
    /// Of them, those without an identity.
    pub keyed: i64,
    /// Small faulty calls.
    pub small: i64,
    /// Other faulty calls.
    pub bad: i64,
    /// Calls refused for want of a right.
    pub denied: i64,
    /// Calls for what is not there.
    pub missing: i64,
    /// Calls refused because the quota was used up.
    pub limited: i64,
    /// Listings that were answered.
    pub listings: i64,
    /// Deployments that were named.
    pub deployments: BTreeSet<u32>,
    /// Identities of served calls.
    pub identities: BTreeSet<u32>,
    /// First slot with a small faulty call, and with one refused for want of a right.
    pub first_small: Option<Slot>,
    pub(super) first_denied: Option<Slot>,
    /// Last slot with a served call.
    pub last_served: Option<Slot>,
}

impl Visit {
    fn add(&mut self, deed: &Deed) {
        let tally = deed.tally;
        self.served += i64::from(tally.served);
        self.keyed += i64::from(deed.keyed());
        self.small += i64::from(tally.small);
        self.bad += i64::from(tally.bad);
        self.denied += i64::from(tally.denied);
        self.missing += i64::from(tally.missing);
        self.limited += i64::from(tally.limited);
        let first = |known: Option<Slot>, seen: i32| known.or((seen > 0).then_some(deed.slot));
        self.first_small = first(self.first_small, tally.small);
        self.first_denied = first(self.first_denied, tally.denied);
        if tally.calls() > 0 && deed.deployment != NONE && deed.deployment != OTHER {
            self.deployments.insert(deed.deployment);
        }
        if tally.served <= 0 {
            return;
        }
        // Deeds come in the order of their slots.
        self.last_served = Some(deed.slot);
        if deed.operation() == Operation::Listing {
            self.listings += i64::from(tally.served);
        }
        if let Some(who) = deed.who.filter(|who| who.identity != NONE && who.identity != OTHER) {
            self.identities.insert(who.identity);
        }
    }

    /// True when a call was served in the slot `since` or later.
    #[must_use]
    pub fn was_served_after(&self, since: Option<Slot>) -> bool {
        since.is_some_and(|since| self.last_served.is_some_and(|last| last >= since))
    }
}

/// The worst first, by `weight`; the first seen first among equals.
pub(super) fn ranked<T>(
    found: impl IntoIterator<Item = (u32, T)>,
    weight: impl Fn(&T) -> i64,
) -> Vec<(u32, T)> {
    let mut ranked: Vec<(u32, T)> = found.into_iter().collect();
    ranked.sort_by_key(|(network, visit)| (std::cmp::Reverse(weight(visit)), *network));
    ranked
}

/// The numbers of the worst.
pub(super) fn numbers<T>(ranked: &[(u32, T)]) -> Vec<u32> {
    ranked.iter().take(MAX_NETWORKS).map(|(network, _)| *network).collect()
}

/// The median of what days had, and how far they usually are from it (as a standard deviation, at least
/// that of counts with this median); `None` for fewer than `least` days.
pub(super) fn usual(
    days: impl Iterator<Item = past::Day>,
    least: usize,
    of: impl Fn(&past::Day) -> u32,
) -> Option<(f64, f64)> {
    /// Scale that makes the MAD estimate the standard deviation of normal data (Rousseeuw & Croux 1993).
    const MAD_TO_SIGMA: f64 = 1.482_602_218_505_602;
    let mut counts: Vec<i64> = days.map(|day| i64::from(of(&day))).collect();
    if counts.len() < least.max(1) {
        return None;
    }
    let middle = median(&mut counts);
    let mut apart: Vec<i64> = counts.iter().map(|seen| (seen - middle).abs()).collect();
    let spread = MAD_TO_SIGMA * as_float(median(&mut apart));
    let middle = as_float(middle);
    Some((middle, spread.max(middle.sqrt()).max(1.0)))
}

/// The upper one of the two in the middle.
fn median(counts: &mut [i64]) -> i64 {
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied().unwrap_or(0)
}

/// A threshold as a whole number.
#[expect(clippy::cast_possible_truncation, reason = "a cast saturates, and thresholds are small")]
pub(super) fn whole(threshold: f64) -> i64 {
    threshold.round() as i64
}

/// An amount of dollars as people read it.
pub(super) fn money(usd: f64) -> String {
    NanoUsd::from_usd(usd).to_string()
}
