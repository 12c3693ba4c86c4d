//! What rules remember of the control plane: who did what before, how resources were last set, and the
//! operations of the last two days. Bounded, and saved row by row.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::act::{Act, Effect, Log};
use super::egress::Egress;
use super::revoked::{Noted, Revocations, Revoked};
use super::state;
use crate::event::control::{Changed, DeploymentState, Target, Verb};
use crate::time::{ArrivalTime, DAY_MS, EventTime, HOUR_MS};

/// Operations are kept this long (event time): copies that come later count as new.
pub const RECENT_MS: i64 = 2 * DAY_MS;
/// Most operations kept; of a day with more, the oldest go first.
pub const MAX_RECENT: usize = 5_000;
/// Most subscriptions and accounts whose first record is known.
pub const MAX_HEARD: usize = 10_000;
/// Most pairs of resource and actor; those not seen for longest go first.
pub const MAX_ACTORS: usize = 20_000;
/// Most resources whose last state is known; those not changed for longest go first.
pub const MAX_STATES: usize = 20_000;
/// Whoever was first seen this recently is still new: one act is told by several records.
const STILL_NEW_MS: i64 = HOUR_MS;
/// Actors are forgotten after this long without an act; the longest time a rule asks about.
const FORGET_MS: i64 = 120 * DAY_MS;

/// One row of what is saved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What it is.
    pub kind: Kind,
    /// Unique within its kind.
    pub key: String,
    /// JSON; `None` when the row is to go.
    pub body: Option<String>,
}

/// Kinds of saved rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// An operation that waits until everything told before it has been read.
    Pending,
    /// First record of a subscription or account.
    Heard,
    /// When somebody did something to a resource.
    Actor,
    /// How a resource was last set.
    State,
    /// An operation of the last two days.
    Recent,
    /// When a list of the inventory was last read to its end.
    List,
    /// How far a poll of the inventory has been taken.
    Poll,
    /// When keys of an account became worthless.
    Revoked,
    /// Networks from which gateways call an account.
    Egress,
    /// How far calls to accounts that let no public network in have been judged.
    Judged,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Heard,
        Self::Actor,
        Self::State,
        Self::Recent,
        Self::List,
        Self::Poll,
        Self::Revoked,
        Self::Egress,
        Self::Judged,
    ];

    /// The word used in storage.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Heard => "heard",
            Self::Actor => "actor",
            Self::State => "state",
            Self::Recent => "recent",
            Self::List => "list",
            Self::Poll => "poll",
            Self::Revoked => "revoked",
            Self::Egress => "egress",
            Self::Judged => "judged",
        }
    }
}

/// First and last act of somebody, the first one after a long absence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// First.
    pub first: EventTime,
    /// Last.
    pub last: EventTime,
}

/// How a resource was last set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Since when.
    pub at: EventTime,
    /// How, as far as records have said.
    pub to: Changed,
    /// Of accounts: since when no public network is let in, whatever else was written meanwhile; `None` where
    /// some are, and where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shut_since: Option<EventTime>,
}

/// An operation that is remembered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recent {
    /// What was done; what it set is kept of what was only asked for, until it is done.
    pub act: Act,
    /// Whether it was known what it set.
    pub has_body: bool,
    /// What it did to whether an account accepts keys.
    pub keys_on: Option<KeysOn>,
    /// Whether a rule spoke because of it.
    pub alarmed: bool,
}

/// What an operation did to whether an account accepts keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeysOn {
    /// They are accepted, and were known to be refused.
    Changed,
    /// They are accepted; what held before is not known.
    Perhaps,
    /// They are refused from now on.
    Off,
}

/// Everything remembered.
#[derive(Debug, Clone, Default)]
pub struct Memory {
    heard: BTreeMap<String, ArrivalTime>,
    actors: BTreeMap<String, Seen>,
    states: BTreeMap<String, State>,
    recent: BTreeMap<String, Recent>,
    order: BTreeSet<(EventTime, String)>,
    revoked: Revocations,
    egress: Egress,
    dirty: BTreeSet<(Kind, String)>,
    /// Entries that went to keep a bound, since the last look.
    pub dropped: i64,
}

impl Memory {
    /// Notes the first record of a subscription or account.
    pub fn hear(&mut self, whose: &str, told: ArrivalTime) {
        let known = self.heard.get(whose);
        if known.is_some_and(|known| *known <= told) {
            return;
        }
        if known.is_none() && self.heard.len() >= MAX_HEARD {
            self.dropped += 1;
            return;
        }
        self.heard.insert(whose.to_owned(), told);
        self.dirty.insert((Kind::Heard, whose.to_owned()));
    }

    /// Notes that keys of an account became worthless.
    pub fn revoke(&mut self, account: &str, revoked: Revoked) {
        match self.revoked.note(account, revoked) {
            Noted::New => drop(self.dirty.insert((Kind::Revoked, account.to_owned()))),
            Noted::Known => {}
            Noted::TooMany => self.dropped += 1,
        }
    }

    /// When keys of an account (lower case) became worthless, oldest first.
    #[must_use]
    pub fn revoked(&self, account: &str) -> &[Revoked] {
        self.revoked.of(account)
    }

    /// Notes that a gateway calls an account from a network, as of the moment its first call was linked.
    pub fn note_egress(&mut self, account: &str, network: &str, linked: ArrivalTime) {
        if self.egress.note(account, network, linked) {
            self.dirty.insert((Kind::Egress, account.to_owned()));
        }
    }

    /// Networks from which gateways call an account, each with that moment.
    pub fn egress(&self, account: &str) -> impl Iterator<Item = (&str, ArrivalTime)> {
        self.egress.of(account)
    }

    /// Whether the control plane of a resource had been watched for so long when `act` was told.
    #[must_use]
    pub fn watched_for(&self, act: &Act, days: f64) -> bool {
        let since = self.heard(&act.resource);
        since.is_some_and(|since| days_between(since.0, act.told.0) >= days)
    }

    /// Since when the control plane of a resource has been heard of; `None` where it was not.
    #[must_use]
    pub fn heard(&self, resource: &str) -> Option<EventTime> {
        let since = [subscription_of(resource), Some(resource)];
        let since = since.into_iter().flatten().filter_map(|whose| self.heard.get(whose)).min();
        since.map(|told| EventTime(told.0))
    }

    /// When a key of an account was last made anew, as far as that is remembered.
    #[must_use]
    pub fn made(&self, account: &str) -> Option<EventTime> {
        let begin = format!("made {account} ");
        let acts = self.actors.range(begin.clone()..);
        acts.take_while(|(key, _)| key.starts_with(&begin)).map(|(_, seen)| seen.last).max()
    }

    /// Whether somebody has not done this to the resource in the last `days`, the last hour aside.
    #[must_use]
    pub fn is_new(&self, key: &str, at: EventTime, days: f64) -> bool {
        self.actors.get(key).is_none_or(|seen| {
            let gone = days_between(seen.last.0, at.0) > days;
            gone || at.0.saturating_sub(seen.first.0) < STILL_NEW_MS
        })
    }

    fn act_of(&mut self, key: String, at: EventTime) {
        let seen = self.actors.entry(key.clone()).or_insert(Seen { first: at, last: at });
        if days_between(seen.last.0, at.0) > days_between(0, FORGET_MS) {
            seen.first = at;
        }
        seen.first = seen.first.min(at);
        seen.last = seen.last.max(at);
        self.dirty.insert((Kind::Actor, key));
    }

    /// How a resource was set before.
    #[must_use]
    pub fn state(&self, resource: &str) -> Option<&State> {
        self.states.get(resource)
    }

    /// Deployments as they were last set, with their ids.
    pub fn deployments(&self) -> impl Iterator<Item = (&str, &DeploymentState)> {
        self.states.iter().filter_map(|(id, state)| match &state.to {
            Changed::Deployment(state) => Some((id.as_str(), state)),
            Changed::Account(_)
            | Changed::PrivateEndpoint(_)
            | Changed::RaiPolicy(_)
            | Changed::Defender(_)
            | Changed::Connection(_)
            | Changed::Diagnostic(_)
            | Changed::Role(_)
            | Changed::Assignment(_)
            | Changed::Exemption(_)
            | Changed::Lock(_)
            | Changed::Policies(_)
            | Changed::Network(_) => None,
        })
    }

    /// States of resources below one, with their ids.
    pub fn states_below<'a>(
        &'a self,
        resource: &str,
    ) -> impl Iterator<Item = (&'a str, &'a State)> {
        let folder = format!("{resource}/");
        let below = self.states.range(folder.clone()..);
        let below = below.take_while(move |(id, _)| id.starts_with(&folder));
        below.map(|(id, state)| (id.as_str(), state))
    }

    /// Operations from `from` to `to`, both included, oldest first.
    pub fn between(&self, from: i64, to: i64) -> impl Iterator<Item = &Recent> {
        let span =
            (EventTime(from), String::new())..(EventTime(to.saturating_add(1)), String::new());
        self.order.range(span).filter_map(|(_, id)| self.recent.get(id))
    }

    /// Whether the activity log told that this was done to a resource within a span, and what it set.
    #[must_use]
    pub fn is_told(&self, resource: &str, verb: Verb, span: RangeInclusive<i64>) -> bool {
        let mut found = self.done(resource, verb, span);
        found.any(|recent| recent.has_body || verb == Verb::Delete)
    }

    /// The last operation within a span that did this to a resource without a word of what it set.
    #[must_use]
    pub fn writer<'a>(
        &'a self,
        resource: &'a str,
        verb: Verb,
        span: RangeInclusive<i64>,
    ) -> Option<&'a Act> {
        let found = self.done(resource, verb, span);
        found.filter(|recent| !recent.has_body).last().map(|recent| &recent.act)
    }

    fn done<'a>(
        &'a self,
        resource: &'a str,
        verb: Verb,
        span: RangeInclusive<i64>,
    ) -> impl Iterator<Item = &'a Recent> {
        let near = self.between(*span.start(), *span.end());
        near.filter(move |recent| {
            let act = &recent.act;
            // To approve an endpoint is to write its connection.
            let verb_fits = act.verb == verb || (act.verb == Verb::Approve && verb == Verb::Write);
            act.log == Log::Activity
                && act.effect == Effect::Done
                && verb_fits
                && act.resource == resource
        })
    }

    /// Takes an operation among the recent ones; false for one that is there already.
    pub fn note(&mut self, act: &Act) -> bool {
        self.forget_before(act.told.0.saturating_sub(RECENT_MS));
        let id = act.identity();
        if self.recent.contains_key(&id) {
            return false;
        }
        let (keys_on, has_body) = (self.keys_on(act), act.change.is_some());
        let change = act.change.clone().filter(|_| act.effect == Effect::Asked);
        let act = Act { change, ..act.clone() };
        self.order.insert((act.at, id.clone()));
        self.recent.insert(id.clone(), Recent { act, has_body, keys_on, alarmed: false });
        self.dirty.insert((Kind::Recent, id));
        while self.order.len() > MAX_RECENT {
            self.forget_oldest();
            self.dropped += 1;
        }
        true
    }

    /// An operation whose end says nothing of what it set, with what its beginning said.
    #[must_use]
    pub fn with_body(&self, act: &Act) -> Act {
        let asked =
            || self.recent.get(&act.identity_as(Effect::Asked)).map(|r| r.act.change.clone());
        let change = act.change.clone().or_else(|| asked().flatten());
        Act { change, ..act.clone() }
    }

    /// The operation that was done without a word of what it set, if this record is its beginning.
    pub fn complete(&mut self, asked: &Act) -> Option<Act> {
        let id = asked.identity_as(Effect::Done);
        let done = self.recent.get(&id).filter(|recent| !recent.has_body)?;
        let act = Act { change: asked.change.clone(), told: asked.told, ..done.act.clone() };
        let keys_on = self.keys_on(&act);
        if let Some(recent) = self.recent.get_mut(&id) {
            (recent.has_body, recent.keys_on) = (true, keys_on);
        }
        self.dirty.insert((Kind::Recent, id));
        Some(act)
    }

    fn keys_on(&self, act: &Act) -> Option<KeysOn> {
        if act.effect != Effect::Done {
            return None;
        }
        let Some(Changed::Account(after)) = act.sets() else { return None };
        let before = self.state(&act.resource).map(|state| &state.to);
        let before = match before {
            Some(Changed::Account(before)) => before.local_auth_disabled,
            Some(_) | None => None,
        };
        match (before, after.local_auth_disabled) {
            (Some(true), Some(false)) => Some(KeysOn::Changed),
            (None, Some(false)) => Some(KeysOn::Perhaps),
            (Some(_) | None, Some(true)) => Some(KeysOn::Off),
            (Some(_) | None, None) | (Some(false), Some(false)) => None,
        }
    }

    fn forget_before(&mut self, oldest: i64) {
        while self.order.first().is_some_and(|(at, _)| at.0 < oldest) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, id)) = self.order.pop_first() {
            self.recent.remove(&id);
            self.dirty.insert((Kind::Recent, id));
        }
    }

    /// Notes that a rule spoke because of an operation.
    pub fn mark(&mut self, act: &Act) {
        let id = act.identity();
        if let Some(recent) = self.recent.get_mut(&id) {
            recent.alarmed = true;
            self.dirty.insert((Kind::Recent, id));
        }
    }

    /// Learns what an operation that was judged tells of who acts and of how things are set.
    pub fn learn(&mut self, act: &Act) {
        if act.effect != Effect::Done {
            return;
        }
        if matches!(act.verb, Verb::ListKeys | Verb::RegenerateKey) {
            for key in actor_keys(act) {
                self.act_of(key, act.at);
            }
        }
        if act.verb == Verb::Delete {
            if self.states.remove(&act.resource).is_some() {
                self.dirty.insert((Kind::State, act.resource.clone()));
            }
        } else if let Some(to) = act.sets().filter(|_| keeps_state(act.target)) {
            self.set(&act.resource, act.at, to);
        }
        self.keep_bounds();
    }

    /// Learns how a resource was found at a time, without any operation.
    pub fn seed(&mut self, target: Target, resource: &str, at: EventTime, to: &Changed) {
        if keeps_state(target) {
            self.set(resource, at, to);
            self.keep_bounds();
        }
    }

    /// What an older record says fills in what newer ones have not said.
    fn set(&mut self, resource: &str, at: EventTime, to: &Changed) {
        let known = self.states.get(resource);
        let (newest, to) = match known {
            Some(known) if known.at > at => (known.at, state::merged(&known.to, to)),
            Some(known) => (at, state::merged(to, &known.to)),
            None => (at, to.clone()),
        };
        let since = known.and_then(|known| known.shut_since).unwrap_or(at);
        let shut_since = state::is_shut(&to).then_some(since);
        let merged = State { at: newest, to, shut_since };
        if self.states.get(resource) != Some(&merged) {
            self.states.insert(resource.to_owned(), merged);
            self.dirty.insert((Kind::State, resource.to_owned()));
        }
    }

    fn keep_bounds(&mut self) {
        while self.actors.len() > MAX_ACTORS {
            let oldest = self.actors.iter().min_by_key(|(_, seen)| seen.last);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { return };
            self.actors.remove(&oldest);
            self.dirty.insert((Kind::Actor, oldest));
            self.dropped += 1;
        }
        while self.states.len() > MAX_STATES {
            let oldest = self.states.iter().min_by_key(|(_, state)| state.at);
            let Some(oldest) = oldest.map(|(key, _)| key.clone()) else { return };
            self.states.remove(&oldest);
            self.dirty.insert((Kind::State, oldest));
            self.dropped += 1;
        }
    }

    /// Rows that changed since the last look.
    pub fn take_rows(&mut self) -> Vec<Row> {
        let dirty = std::mem::take(&mut self.dirty);
        let row = |(kind, key): (Kind, String)| {
            let body = match kind {
                Kind::Pending | Kind::List | Kind::Poll | Kind::Judged => None,
                Kind::Heard => self.heard.get(&key).and_then(written),
                Kind::Actor => self.actors.get(&key).and_then(written),
                Kind::State => self.states.get(&key).and_then(written),
                Kind::Recent => self.recent.get(&key).and_then(written),
                Kind::Revoked => self.revoked.saved(&key),
                Kind::Egress => self.egress.saved(&key),
            };
            Row { kind, key, body }
        };
        dirty.into_iter().map(row).collect()
    }

    /// Puts back a saved row; one that cannot be read any more is left out.
    pub fn restore(&mut self, kind: Kind, key: String, body: &str) {
        match kind {
            Kind::Pending | Kind::List | Kind::Poll | Kind::Judged => {}
            Kind::Heard => put(&mut self.heard, key, body),
            Kind::Actor => put(&mut self.actors, key, body),
            Kind::State => put(&mut self.states, key, body),
            Kind::Revoked => self.revoked.restore(key, body),
            Kind::Egress => self.egress.restore(key, body),
            Kind::Recent => {
                put(&mut self.recent, key.clone(), body);
                if let Some(recent) = self.recent.get(&key) {
                    self.order.insert((recent.act.at, key));
                }
            }
        }
    }
}

/// JSON of a saved value.
pub fn written<T: Serialize>(value: &T) -> Option<String> {
    serde_json::to_string(value).ok()
}

fn put<T: DeserializeOwned>(map: &mut BTreeMap<String, T>, key: String, body: &str) {
    if let Ok(value) = serde_json::from_str(body) {
        map.insert(key, value);
    }
}

/// Under which keys an act of listing or making keys is remembered: by who did it, and from where.
#[must_use]
pub fn actor_keys(act: &Act) -> Vec<String> {
    let who = [("object", &act.principal.object), ("network", &act.principal.network)];
    let told = who.into_iter().filter(|(_, value)| !value.is_empty());
    told.map(|(what, value)| actor_key(act, what, value)).collect()
}

/// The key of one actor; `what` is `object` or `network`.
#[must_use]
pub fn actor_key(act: &Act, what: &str, value: &str) -> String {
    let deed = if act.verb == Verb::RegenerateKey { "made" } else { "listed" };
    format!("{deed} {} {what} {value}", act.resource)
}

/// Whether it is remembered how such things were set.
#[must_use]
pub const fn keeps_state(target: Target) -> bool {
    matches!(
        target,
        Target::Account
            | Target::Deployment
            | Target::DiagnosticSetting
            | Target::RaiPolicy
            | Target::PrivateEndpoint
            | Target::Connection
            | Target::PolicyAssignment
            | Target::Lock
            | Target::EventHub
    )
}

/// The subscription of a resource, such as `/subscriptions/x`.
#[must_use]
pub fn subscription_of(resource: &str) -> Option<&str> {
    let rest = resource.strip_prefix("/subscriptions/")?;
    let end = rest.find('/').unwrap_or(rest.len());
    (end > 0).then(|| resource.get(.."/subscriptions/".len() + end)).flatten()
}

#[expect(clippy::cast_precision_loss, reason = "days of milliseconds are far below 2^53")]
fn days_between(from: i64, to: i64) -> f64 {
    to.saturating_sub(from) as f64 / DAY_MS as f64
}
