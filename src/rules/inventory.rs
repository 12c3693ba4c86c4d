//! How resources were found to be set, poll by poll: versions, and what changed between two polls.
//!
//! What a poll finds is held against what is [remembered](Memory) of the same resource, which is what the
//! activity log told or an earlier poll found, whichever is newer. Where they contradict each other, the
//! difference becomes an operation that the same rules judge. A first sight is no change, what could not be
//! read says nothing, and what is missing once may only be late: it is gone after two polls in a row.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::act::{Act, Effect, Log};
use super::memory::{Kind, MAX_STATES, Memory, Row, keeps_state, written};
use super::{Alarm, age, state};
use crate::detect::tuning::Tuning;
use crate::event::control::{Basis, Change, Changed, Principal, Target, Verb};
use crate::event::inventory::{Found, List, Snapshot};
use crate::time::{ArrivalTime, EventTime, MINUTE_MS};

/// A poll is judged this long after it was read: the activity log takes 3 to 20 minutes to tell (Azure's own
/// words), and what it tells is not to be told twice.
pub const GRACE_MS: i64 = 30 * MINUTE_MS;
/// What the activity log told this shortly before a poll stands against what the poll found: Resource Manager
/// answers for a while with what was.
const SETTLE_MS: i64 = 10 * MINUTE_MS;
/// Polls in a row that must miss a resource before it is gone.
const GONE_AFTER: u32 = 2;
/// Most resources whose version is known; those found beyond are counted and left out.
const MAX_LIVE: usize = MAX_STATES;
/// Most lists known to have been read to their ends.
const MAX_LISTS: usize = MAX_STATES;

/// How a resource was found over a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// The list it is in.
    pub list: List,
    /// How it is set.
    pub to: Changed,
    /// When the resource was made, if Azure says so.
    pub created: Option<EventTime>,
    /// The last poll that did not find it so; `None` at the first sight.
    pub after: Option<EventTime>,
    /// When it was certainly not there yet; `None` where it was found by the first poll that looked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<EventTime>,
    /// The first poll that found it so.
    pub since: EventTime,
    /// The last poll that found it so.
    pub seen: EventTime,
    /// Polls in a row that should have found it and did not.
    pub missed: u32,
    /// The poll that found it otherwise or gone; `None` while it holds.
    pub until: Option<EventTime>,
    /// Whether it ended because the resource was gone.
    pub gone: bool,
    /// Of accounts: since when its keys had been what they were when that was told to be long.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_since: Option<EventTime>,
}

/// A version of the resource with this id, as it is to be saved.
pub type VersionRow = (String, Version);

/// How far a poll has been taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Progress {
    at: EventTime,
    /// The part that comes next; `None` once one was missing.
    next: Option<u32>,
}

/// Versions that hold, and what is known of lists.
#[derive(Debug, Clone, Default)]
pub struct Versions {
    live: BTreeMap<String, Version>,
    /// When each list was last read to its end.
    lists: BTreeMap<List, EventTime>,
    /// By subscription.
    polls: BTreeMap<String, Progress>,
    ended: Vec<VersionRow>,
    moved: BTreeSet<String>,
    dirty: BTreeSet<(Kind, String)>,
    /// Resources and lists that were left out to keep a bound, since the last look.
    pub dropped: i64,
}

impl Versions {
    /// Puts back a version that holds.
    pub fn restore_version(&mut self, (resource, version): VersionRow) {
        self.live.insert(resource, version);
    }

    /// Puts back a saved row; one that cannot be read any more is left out.
    pub fn restore(&mut self, kind: Kind, key: &str, body: &str) {
        match kind {
            Kind::List => {
                let list = serde_json::from_str(key).ok();
                if let Some((list, at)) = list.zip(serde_json::from_str(body).ok()) {
                    self.lists.insert(list, at);
                }
            }
            Kind::Poll => {
                if let Ok(progress) = serde_json::from_str(body) {
                    self.polls.insert(key.to_owned(), progress);
                }
            }
            Kind::Pending
            | Kind::Heard
            | Kind::Actor
            | Kind::State
            | Kind::Recent
            | Kind::Revoked
            | Kind::Egress
            | Kind::Judged => {}
        }
    }

    /// Versions that are new, ended or were seen again since the last look.
    pub fn take_versions(&mut self) -> Vec<VersionRow> {
        let moved = std::mem::take(&mut self.moved);
        let mut rows = std::mem::take(&mut self.ended);
        let live =
            moved.into_iter().filter_map(|id| Some((id.clone(), self.live.get(&id)?.clone())));
        rows.extend(live);
        rows
    }

    /// Other rows that changed since the last look.
    pub fn take_rows(&mut self) -> Vec<Row> {
        let dirty = std::mem::take(&mut self.dirty);
        let row = |(kind, key): (Kind, String)| {
            let body = match kind {
                Kind::List => serde_json::from_str::<List>(&key)
                    .ok()
                    .and_then(|list| self.lists.get(&list))
                    .and_then(written),
                Kind::Poll => self.polls.get(&key).and_then(written),
                Kind::Pending
                | Kind::Heard
                | Kind::Actor
                | Kind::State
                | Kind::Recent
                | Kind::Revoked
                | Kind::Egress
                | Kind::Judged => None,
            };
            Row { kind, key, body }
        };
        dirty.into_iter().map(row).collect()
    }

    /// The version of a resource that holds.
    #[must_use]
    pub fn of(&self, resource: &str) -> Option<&Version> {
        self.live.get(resource)
    }

    /// Versions that hold of resources below one, with their ids.
    pub fn below<'a>(&'a self, resource: &str) -> impl Iterator<Item = (&'a str, &'a Version)> {
        let folder = format!("{resource}/");
        let below = self.live.range(folder.clone()..);
        let below = below.take_while(move |(id, _)| id.starts_with(&folder));
        below.map(|(id, version)| (id.as_str(), version))
    }

    /// Takes a part of a poll whose turn has come at `told`: notes versions, teaches `memory` what it did not
    /// know, and gives what was changed without a word from the activity log, as operations to be judged.
    pub fn take(
        &mut self,
        snapshot: &Snapshot,
        told: ArrivalTime,
        memory: &mut Memory,
    ) -> Vec<Act> {
        let is_whole = self.advance(snapshot);
        let scene = Scene { at: snapshot.at, told };
        let mut acts = Vec::new();
        for found in &snapshot.found {
            let list = found.list(&snapshot.subscription);
            acts.extend(self.compare(found, &list, scene, memory));
            self.see(found, &list, snapshot.at);
        }
        if is_whole && !snapshot.whole.is_empty() {
            let whole: BTreeSet<&List> = snapshot.whole.iter().collect();
            acts.extend(self.miss(&whole, scene, memory));
            snapshot.whole.iter().for_each(|list| self.read(list, snapshot.at));
        }
        acts
    }

    /// Accounts of a part whose keys are old, each once for as long as they are what they are.
    pub fn old_keys(
        &mut self,
        snapshot: &Snapshot,
        memory: &Memory,
        tuning: &Tuning,
    ) -> Vec<Alarm> {
        let accounts = snapshot.found.iter().filter(|found| found.target == Target::Account);
        let mut alarms = Vec::new();
        for Found { resource, .. } in accounts {
            let Some(version) = self.live.get_mut(resource) else { continue };
            let Some(profile) = tuning.of(age::RULE, resource) else { continue };
            let old = age::old_keys((resource, version), memory, snapshot.at, profile);
            let Some((since, alarm)) = old else { continue };
            if version.old_since.replace(since) != Some(since) {
                self.moved.insert(resource.clone());
                alarms.push(alarm);
            }
        }
        alarms
    }

    /// Whether every part of the poll so far has come, in order.
    fn advance(&mut self, snapshot: &Snapshot) -> bool {
        let Snapshot { subscription, at, part, .. } = snapshot;
        let known = self.polls.get(subscription).filter(|progress| progress.at == *at);
        let expected = if *part == 0 { Some(0) } else { known.and_then(|progress| progress.next) };
        let is_next = expected == Some(*part);
        let next = is_next.then(|| part.saturating_add(1));
        self.polls.insert(subscription.clone(), Progress { at: *at, next });
        self.dirty.insert((Kind::Poll, subscription.clone()));
        is_next
    }

    /// When the resource was certainly not there yet: its list had been read to the end without it, or what it
    /// belongs to was made since.
    fn absent_at(&self, list: &List) -> Option<EventTime> {
        self.lists.get(list).copied().or_else(|| self.live.get(&list.of)?.absent)
    }

    /// What was changed, if the activity log has not told it; `memory` learns the rest.
    fn compare(
        &self,
        found: &Found,
        list: &List,
        scene: Scene,
        memory: &mut Memory,
    ) -> Option<Act> {
        let Found { resource, target, to, .. } = found;
        if !is_judged(*target) {
            return None;
        }
        let from = match self.sight(found, list, scene, memory) {
            Sight::First => {
                memory.seed(*target, resource, scene.at, to);
                return None;
            }
            Sight::Fits { at } => {
                // What it says beyond what is known fills that in, and does not make it newer.
                memory.seed(*target, resource, EventTime(at.0.saturating_sub(1)), to);
                return None;
            }
            Sight::Changed { from } => from,
        };
        let drift = Drift { resource, target: *target, verb: Verb::Write, from };
        if memory.state(resource).is_none() {
            if memory.is_told(resource, Verb::Write, drift.reach(scene)) {
                return None;
            }
            if let Some(version) = self.live.get(resource) {
                memory.seed(*target, resource, version.seen, &version.to);
            }
        }
        Some(drift.act(Some(to), scene, memory))
    }

    fn sight(&self, found: &Found, list: &List, scene: Scene, memory: &Memory) -> Sight {
        let Found { resource, to, .. } = found;
        let version = self.live.get(resource);
        let is_polled = |at: EventTime| version.is_some_and(|version| version.since == at);
        match (memory.state(resource), version) {
            (Some(state), _) if state.at.0 > scene.at.0 - SETTLE_MS && !is_polled(state.at) => {
                Sight::Fits { at: state.at }
            }
            (Some(state), _) if !contradict(to, &state.to) => Sight::Fits { at: state.at },
            (Some(state), version) => {
                Sight::Changed { from: version.map_or(state.at, |seen| seen.seen.max(state.at)) }
            }
            (None, Some(version)) if !contradict(to, &version.to) => {
                Sight::Fits { at: version.seen }
            }
            (None, Some(version)) => Sight::Changed { from: version.seen },
            // What there was no room for has been there before, perhaps.
            (None, None) if self.live.len() >= MAX_LIVE => Sight::First,
            (None, None) => {
                self.absent_at(list).map_or(Sight::First, |from| Sight::Changed { from })
            }
        }
    }

    /// Notes that a resource was found.
    fn see(&mut self, found: &Found, list: &List, at: EventTime) {
        let (absent, is_full) = (self.absent_at(list), self.live.len() >= MAX_LIVE);
        self.moved.insert(found.resource.clone());
        let fresh = |after| Version {
            list: list.clone(),
            to: found.to.clone(),
            created: found.created,
            after,
            absent,
            since: at,
            seen: at,
            missed: 0,
            until: None,
            gone: false,
            old_since: None,
        };
        match self.live.get_mut(&found.resource) {
            Some(known) if known.to == found.to => {
                (known.seen, known.missed) = (known.seen.max(at), 0);
                known.created = found.created.or(known.created);
            }
            Some(known) => {
                let Version { old_since, absent, .. } = *known;
                let next = Version { old_since, absent, ..fresh(Some(known.seen)) };
                let mut ended = std::mem::replace(known, next);
                ended.until = Some(at);
                self.ended.push((found.resource.clone(), ended));
            }
            None if is_full => self.dropped += 1,
            None => {
                self.live.insert(found.resource.clone(), fresh(absent));
            }
        }
    }

    /// Notes what belongs to one of the lists and was not found; what is gone is an operation, unless the
    /// activity log told it or what it belonged to is gone as well.
    fn miss(&mut self, whole: &BTreeSet<&List>, scene: Scene, memory: &Memory) -> Vec<Act> {
        let mut gone = BTreeSet::new();
        for (resource, version) in &mut self.live {
            let is_missing = version.seen < scene.at && whole.contains(&version.list);
            if !is_missing {
                continue;
            }
            version.missed += 1;
            self.moved.insert(resource.clone());
            let since = version.seen.0 - SETTLE_MS..=scene.at.0 + SETTLE_MS;
            if version.missed >= GONE_AFTER || memory.is_told(resource, Verb::Delete, since) {
                gone.insert(resource.clone());
            }
        }
        let is_below = |resource: &str, version: &Version| {
            gone.contains(&version.list.of) && !gone.contains(resource)
        };
        let orphans = self.live.iter().filter(|(id, version)| is_below(id, version));
        let orphans: Vec<String> = orphans.map(|(id, _)| id.clone()).collect();
        let mut acts = Vec::new();
        for resource in gone {
            let Some(version) = self.end(&resource, scene.at) else { continue };
            let Version { list: List { target, .. }, seen: from, .. } = version;
            let drift = Drift { resource: &resource, target, verb: Verb::Delete, from };
            // A deletion that was told has taken the state along.
            let is_told = keeps_state(target) && memory.state(&resource).is_none()
                || memory.is_told(&resource, Verb::Delete, drift.reach(scene));
            if is_judged(target) && !is_told {
                acts.push(drift.act(None, scene, memory));
            }
        }
        for resource in orphans {
            self.end(&resource, scene.at);
        }
        acts
    }

    fn end(&mut self, resource: &str, at: EventTime) -> Option<Version> {
        let mut version = self.live.remove(resource)?;
        (version.until, version.gone) = (Some(at), true);
        self.moved.remove(resource);
        self.ended.push((resource.to_owned(), version.clone()));
        let of = |list: &List| list.of == resource;
        let lists: Vec<List> = self.lists.keys().filter(|list| of(list)).cloned().collect();
        for list in lists {
            self.lists.remove(&list);
            self.dirty.extend(written(&list).map(|key| (Kind::List, key)));
        }
        Some(version)
    }

    /// Notes that a list was read to its end.
    fn read(&mut self, list: &List, at: EventTime) {
        if !self.lists.contains_key(list) && self.lists.len() >= MAX_LISTS {
            self.dropped += 1;
            return;
        }
        self.lists.insert(list.clone(), at);
        self.dirty.extend(written(list).map(|key| (Kind::List, key)));
    }
}

/// What a resource that was found is beside what was known of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// Nothing was known, and whether it is new neither.
    First,
    /// Nothing that is known since `at` stands against it.
    Fits { at: EventTime },
    /// It is otherwise than at `from`, or was not there then.
    Changed { from: EventTime },
}

/// Whether a rule is about changes of such things.
const fn is_judged(target: Target) -> bool {
    matches!(
        target,
        Target::Account
            | Target::Deployment
            | Target::PrivateEndpoint
            | Target::DiagnosticSetting
            | Target::RaiPolicy
            | Target::Connection
            | Target::RoleAssignment
            | Target::PolicyAssignment
            | Target::Lock
    )
}

/// When a poll began, and when it is judged.
#[derive(Debug, Clone, Copy)]
struct Scene {
    at: EventTime,
    told: ArrivalTime,
}

/// Something that changed between a time and a poll.
#[derive(Debug, Clone, Copy)]
struct Drift<'a> {
    resource: &'a str,
    target: Target,
    verb: Verb,
    from: EventTime,
}

impl Drift<'_> {
    /// Times of operations that may have done it.
    const fn reach(&self, scene: Scene) -> std::ops::RangeInclusive<i64> {
        self.from.0.saturating_sub(SETTLE_MS)..=scene.at.0.saturating_add(SETTLE_MS)
    }

    /// As an operation; by whom, where the activity log told of one that fits and not what it set.
    fn act(&self, to: Option<&Changed>, scene: Scene, memory: &Memory) -> Act {
        let fits = memory.writer(self.resource, self.verb, self.from.0..=scene.at.0 + SETTLE_MS);
        let between = Some((self.from, scene.at));
        let to = to.cloned();
        Act {
            resource: self.resource.to_owned(),
            at: fits.map_or(scene.at, |act| act.at),
            told: scene.told,
            target: self.target,
            verb: self.verb,
            effect: Effect::Done,
            log: Log::Inventory,
            operation: "inventory".to_owned(),
            correlation: format!("poll of {}", scene.at),
            principal: fits.map_or_else(Principal::default, |act| act.principal.clone()),
            change: to.map(|to| Box::new(Change { basis: Basis::Stated, to })),
            between,
        }
    }
}

/// Whether two states of one resource differ in something that both of them say.
fn contradict(newer: &Changed, older: &Changed) -> bool {
    state::merged(newer, older) != state::merged(older, newer)
}

#[cfg(test)]
#[path = "inventory_tests.rs"]
mod tests;
