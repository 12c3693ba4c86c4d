//! The pure whole: a batch goes in, everything to save and to tell comes out.

pub mod account;
mod actions;
pub mod bought;
mod chains;
pub mod budgets;
mod conduct;
pub mod context;
pub mod control;
pub mod effects;
pub mod estate;
mod exposure;
pub mod fleet;
pub mod gateways;
pub mod honesty;
mod metered;
pub mod mismatch;
pub mod newcomers;
pub mod respond;
mod settings;
pub mod shed;
pub mod shut;
mod told;
pub mod watch;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::decode::{self, DECODERS, Decoded};
use crate::event::gateway::GatewayCall;
use crate::event::{Arrival, Batch, Event, PartitionKey, Position};
use crate::known::Known;
use crate::time::ArrivalTime;
use account::{Account, AccountRow, Moment, Step, Turn};
use budgets::Budgets;
use chains::Chains;
use control::{Place, Watch};
use effects::{Effects, Gap, PositionMove, Saved};
use estate::{Estate, News};
use fleet::{Group, Hubs};
use gateways::{Gateways, Taken, ToLink};
use honesty::Honesty;
use respond::Responses;
pub use settings::{EngineSettings, Env};
use shed::Shed;

/// Categories counted by name; later ones share one.
const MAX_CATEGORIES: usize = 256;
/// Rejected records kept as samples per step; all are counted.
const MAX_SAMPLES: usize = 50;

/// Positions, accounts and estate: a cache of the database that only this process changes.
#[derive(Debug)]
pub struct Engine {
    env: Env,
    lineage: String,
    partitions: BTreeMap<PartitionKey, Partition>,
    hubs: BTreeMap<String, Passed>,
    accounts: BTreeMap<String, Account>,
    categories: BTreeSet<String>,
    estate: Estate,
    honesty: Honesty,
    budgets: Budgets,
    gateways: Gateways,
    control: Watch,
    responses: Responses,
    chains: Chains,
    fleets: BTreeMap<Hubs, Group>,
    /// What every hub that windows wait for has passed: until then gateways are linked.
    linked: ArrivalTime,
    now: ArrivalTime,
}

/// Rows by account (resource id), each with where it was read.
type Rows<'b> = BTreeMap<String, Vec<(AccountRow, &'b PartitionKey)>>;

/// How far a hub was read.
#[derive(Debug, Clone, Copy)]
struct Passed {
    /// By every partition that windows wait for: its watermark.
    waited_for: ArrivalTime,
    /// By every partition that may still be read, stalled ones too.
    seen: ArrivalTime,
}

#[derive(Debug, Clone)]
struct Partition {
    next: Option<i64>,
    saved_next: Option<i64>,
    passed: ArrivalTime,
    waited_for: bool,
    /// Of a hub that was recreated or is no longer configured: nothing more comes.
    gone: bool,
    moved: bool,
    events: i64,
    tokens: i64,
}

impl Partition {
    const fn at(next: Option<i64>, passed: ArrivalTime) -> Self {
        Self {
            next,
            saved_next: next,
            passed,
            waited_for: true,
            gone: false,
            moved: false,
            events: 0,
            tokens: 0,
        }
    }

    const fn leave(&mut self) {
        (self.gone, self.waited_for) = (true, false);
    }
}

impl Engine {
    /// The engine as the database left it.
    #[must_use]
    pub fn restore(saved: Saved, env: Env) -> Self {
        let mut estate = Estate::new(&saved.lineage);
        for (cause, tracked) in saved.incidents {
            estate.restore(cause, tracked);
        }
        let lineage = saved.lineage;
        let mut fleets: BTreeMap<Hubs, Group> = BTreeMap::new();
        for (hubs, slot, closed) in saved.fleets {
            fleets.entry(hubs).or_default().restore(slot, closed);
        }
        let accounts = saved.accounts.into_iter().map(|account| {
            let mut account = Account::restore(account, &lineage, &env);
            account.replay(fleets.get(&account.group()).unwrap_or(&Group::default()), &env);
            (account.resource.clone(), account)
        });
        let accounts = accounts.collect();
        let budgets = Budgets::restore(saved.budgets, &accounts, &env);
        let (rows, linked_to) = saved.gateways;
        let gateways = Gateways::restore(&rows, linked_to, env.settings.join.attribution_ms);
        let mut engine = Self {
            env,
            lineage: lineage.clone(),
            partitions: BTreeMap::new(),
            hubs: BTreeMap::new(),
            accounts,
            categories: saved.categories.into_iter().collect(),
            estate,
            honesty: saved.honesty,
            budgets,
            gateways,
            control: Watch::restore(saved.control, saved.versions),
            responses: Responses::restore(saved.standings),
            chains: Chains::default(),
            fleets,
            linked: ArrivalTime(i64::MIN),
            now: ArrivalTime(i64::MIN),
        };
        for (key, next, passed) in saved.partitions {
            let told = if key.is_polled() { engine.now } else { passed };
            engine.now = engine.now.max(told);
            engine.partitions.insert(key, Partition::at(next, passed));
        }
        let keys: Vec<PartitionKey> = engine.partitions.keys().cloned().collect();
        keys.iter().for_each(|key| engine.leave_older(key));
        for (resource, account) in &mut engine.accounts {
            account.recall_egress(engine.control.memory().egress(resource));
        }
        engine.recall_chains();
        engine.recall_sides();
        engine
    }

    /// How far every partition was read.
    #[must_use]
    pub fn positions(&self) -> HashMap<PartitionKey, Position> {
        let at = |p: &Partition| Position { next: p.next, passed: p.passed };
        self.partitions.iter().map(|(key, partition)| (key.clone(), at(partition))).collect()
    }

    /// What is known about networks and identities from the next step on. Incidents keep what was
    /// known when they were last seen.
    pub fn know(&mut self, known: Arc<Known>) {
        self.env.known = known;
    }

    /// Forgets the texts of names that no row refers to any more, by account and number: their
    /// callers, seen again, are new ones. To be told right after the commit that forgot them.
    pub fn forget(&mut self, names: &[(u32, u32)]) {
        let mut forgotten: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for (account, number) in names {
            forgotten.entry(*account).or_default().push(*number);
        }
        for account in self.accounts.values_mut() {
            for number in forgotten.remove(&account.id).unwrap_or_default() {
                account.names.forget(number);
            }
        }
    }

    /// Applies one batch. Pure: no clock, no I/O, no randomness; the same batches in the same
    /// order give the same effects, and batches cut or interleaved otherwise the same state.
    pub fn apply(&mut self, batch: &Batch) -> Effects {
        let mut effects = Effects::default();
        let mut news = News::default();
        for key in &batch.members {
            self.join_in(key, &mut news);
        }
        for key in &batch.gone {
            self.partitions.entry(key.clone()).and_modify(Partition::leave);
        }
        let mut rows = Rows::new();
        for arrival in &batch.arrivals {
            self.read(arrival, batch.clock, &mut rows, &mut effects);
        }
        for (key, until) in &batch.idle {
            if let Some(partition) = self.partitions.get_mut(key)
                && *until > partition.passed
            {
                partition.passed = *until;
                partition.waited_for = true;
            }
        }
        for key in &batch.stalled {
            if let Some(partition) = self.partitions.get_mut(key)
                && std::mem::replace(&mut partition.waited_for, false)
            {
                news.stalled.push(key.clone());
            }
        }
        news.troubles.clone_from(&batch.troubles);
        news.undeliverable.clone_from(&batch.undeliverable);
        news.lists.clone_from(&batch.lists);
        self.move_watermarks();
        self.step_accounts(rows, &mut effects, &mut news);
        let alerts = self.judge_control(&mut effects);
        self.link_chains(&alerts, &mut effects);
        self.act(&batch.actions, batch.clock, &mut effects);
        self.take_answers(&batch.responded, batch.clock, &mut effects);
        self.close_hours(&mut effects);
        self.heed_budgets(&mut effects);
        news.gaps.clone_from(&effects.gaps);
        let told_by_hubs = self.now > ArrivalTime(i64::MIN);
        let now = if told_by_hubs { self.now } else { batch.clock.unwrap_or(self.now) };
        news.storage = batch.storage;
        effects.shed = batch.storage.and_then(|storage| Shed::of(&storage, now));
        let changes = self.estate.apply(&news, now);
        effects.take(changes);
        if !effects.is_empty() || self.partitions.values().any(|p| p.next != p.saved_next) {
            effects.positions = self.take_positions();
        }
        effects
    }

    fn join_in(&mut self, key: &PartitionKey, news: &mut News) {
        if self.partitions.contains_key(key) {
            return;
        }
        let older = |known: &PartitionKey| known.is_earlier_life_of(key);
        if self.partitions.keys().any(older) && !news.recreated.contains(&key.hub) {
            news.recreated.push(key.hub.clone());
        }
        self.leave_older(key);
        // Saved with the next step even if nothing has been read from it: after a restart windows
        // must wait for it before the source has named it again.
        let fresh = Partition { moved: true, ..Partition::at(None, ArrivalTime(i64::MIN)) };
        self.partitions.insert(key.clone(), fresh);
    }

    /// Of earlier lives of the hub nothing more comes.
    fn leave_older(&mut self, key: &PartitionKey) {
        for (known, partition) in &mut self.partitions {
            if known.is_earlier_life_of(key) {
                partition.leave();
            }
        }
    }

    fn read<'b>(
        &mut self,
        arrival: &'b Arrival,
        clock: Option<ArrivalTime>,
        rows: &mut Rows<'b>,
        effects: &mut Effects,
    ) {
        let key = &arrival.partition;
        let fresh = || Partition::at(None, ArrivalTime(i64::MIN));
        let partition = match self.partitions.get_mut(key) {
            Some(known) => known,
            None => self.partitions.entry(key.clone()).or_insert_with(fresh),
        };
        match partition.next {
            Some(next) if arrival.sequence < next => {
                *effects.counters.entry("duplicate_events").or_default() += 1;
                return;
            }
            Some(next) if arrival.sequence > next => {
                effects.gaps.push(Gap { key: key.clone(), from: next, to: arrival.sequence });
            }
            Some(_) | None => {}
        }
        partition.next = Some(arrival.sequence.saturating_add(1));
        partition.passed = partition.passed.max(arrival.enqueued);
        partition.waited_for = true;
        partition.moved = true;
        partition.events += 1;
        let enqueued = partition.passed;
        self.now = if key.is_polled() { self.now } else { self.now.max(enqueued) };
        let decoded = decode::decode(&arrival.body);
        self.count(&decoded, enqueued, effects);
        for (place, (event, kind)) in (0..).zip(decoded.events.into_iter().zip(decoded.kinds)) {
            self.weigh(&event, kind, (key, enqueued, clock), effects);
            // What nobody uses yet is counted all the same.
            match &event {
                Event::Control(control) => {
                    self.hear(control, &Place::of(arrival, enqueued, place), effects);
                }
                Event::KeyRead(read) => {
                    self.hear_read(read, &Place::of(arrival, enqueued, place), effects);
                }
                Event::Alert(alert) => {
                    self.hear_alert(alert, &Place::of(arrival, enqueued, place), effects);
                }
                Event::Metric(metric) => self.meter(metric, enqueued, effects),
                Event::Gateway(call) => self.await_link(call, enqueued, effects),
                Event::Inventory(found) => self.hear_inventory(found, (arrival, enqueued), effects),
                Event::Row(_)
                | Event::Meter(_)
                | Event::Posture(_)
                | Event::Endpoint(_)
                | Event::Search(_)
                | Event::Opaque(_) => {}
            }
            let Event::Row(row) = event else { continue };
            let row = AccountRow { row: *row, enqueued };
            match rows.get_mut(&row.row.account) {
                Some(known) => known.push((row, key)),
                None => {
                    rows.insert(row.row.account.clone(), vec![(row, key)]);
                }
            }
        }
        for rejected in decoded.rejected {
            if effects.quarantine.len() < MAX_SAMPLES {
                effects.quarantine.push(rejected);
            }
        }
    }

    /// Lets a record of a gateway wait for the calls it is about.
    fn await_link(&mut self, call: &GatewayCall, enqueued: ArrivalTime, effects: &mut Effects) {
        let counter = match self.gateways.take(call, enqueued, &mut effects.gateways) {
            Taken::Waits | Taken::Nothing => return,
            Taken::Copy => "gateway_records_twice",
            Taken::TooLate => "gateway_records_too_late",
            Taken::TooMany => "gateway_records_too_many",
        };
        *effects.counters.entry(counter).or_default() += 1;
    }

    /// The calls of gateways that accounts are to link in this step, by account.
    fn due_links(&mut self, effects: &mut Effects) -> BTreeMap<String, Vec<ToLink>> {
        if !self.gateways.are_due(self.linked) {
            return BTreeMap::new();
        }
        let Self { gateways, accounts, env, linked, .. } = self;
        let mut named: HashMap<&str, Option<&str>> = HashMap::new();
        for account in accounts.values() {
            // Names are not unique: which of two was meant, nobody can tell.
            let known = named.entry(account.name());
            known.and_modify(|known| *known = None).or_insert(Some(&account.resource));
        }
        let mapped =
            env.settings.backends.iter().map(|(name, resource)| (&**name, Some(&**resource)));
        named.extend(mapped);
        let account_of = |name: &str| named.get(name).copied().flatten().map(str::to_owned);
        let mut lost = 0;
        let due = gateways.due(*linked, &account_of, &mut effects.gateways, &mut lost);
        if lost > 0 {
            *effects.counters.entry("gateway_calls_without_account").or_default() += lost;
        }
        due
    }

    /// Notes how many records of each kind were read, and how many could not be.
    fn count(&mut self, decoded: &Decoded, enqueued: ArrivalTime, effects: &mut Effects) {
        for (decoder, seen) in DECODERS.iter().zip(decoded.read) {
            effects.coverage.add(enqueued, decoder.name, seen);
        }
        for (category, count) in &decoded.unknown {
            let name = self.category(category.clone());
            *effects.categories.entry(name).or_default() += i64::from(*count);
        }
        let rejected = i64::try_from(decoded.rejected.len()).unwrap_or(i64::MAX);
        let quarantined = rejected.saturating_add(i64::from(decoded.more_rejected));
        for (name, count) in
            [("repaired_bodies", i64::from(decoded.repaired)), ("quarantined", quarantined)]
        {
            if count > 0 {
                *effects.counters.entry(name).or_default() += count;
            }
        }
    }

    fn category(&mut self, name: String) -> String {
        if !self.categories.contains(&name) {
            if self.categories.len() >= MAX_CATEGORIES {
                return "(other)".to_owned();
            }
            self.categories.insert(name.clone());
        }
        name
    }

    /// A hub's watermark is what its slowest waited-for partition has passed; it never goes back.
    fn move_watermarks(&mut self) {
        let mut slowest: BTreeMap<&str, Passed> = BTreeMap::new();
        let tells =
            |(key, partition): &(&PartitionKey, &Partition)| !partition.gone && !key.is_polled();
        for (key, partition) in self.partitions.iter().filter(tells) {
            let last = Passed { waited_for: ArrivalTime(i64::MAX), seen: ArrivalTime(i64::MAX) };
            let hub = slowest.entry(&key.hub).or_insert(last);
            hub.seen = hub.seen.min(partition.passed);
            if partition.waited_for {
                hub.waited_for = hub.waited_for.min(partition.passed);
                self.now = self.now.max(partition.passed);
            }
        }
        // Where every partition is stalled, time stands still; nobody else waits for such a hub.
        let mut linked = ArrivalTime(i64::MAX);
        for (hub, passed) in slowest.into_iter().filter(|(_, p)| p.waited_for.0 < i64::MAX) {
            let known = match self.hubs.get_mut(hub) {
                Some(known) => known,
                None => self.hubs.entry(hub.to_owned()).or_insert(passed),
            };
            known.waited_for = known.waited_for.max(passed.waited_for);
            known.seen = known.seen.max(passed.seen);
            linked = linked.min(known.waited_for);
        }
        if linked < ArrivalTime(i64::MAX) {
            self.linked = self.linked.max(linked);
        }
    }

    fn step_accounts(&mut self, mut rows: Rows<'_>, effects: &mut Effects, news: &mut News) {
        for (resource, rows) in &rows {
            self.admit(resource, rows, effects);
        }
        let links = self.due_links(effects);
        let mut turns: BTreeMap<Hubs, Vec<Turn<'_>>> = BTreeMap::new();
        for (resource, account) in &mut self.accounts {
            let links = links.get(resource).map(Vec::as_slice).unwrap_or_default();
            let (rows, origin): (Vec<_>, Vec<_>) =
                rows.remove(resource).unwrap_or_default().into_iter().unzip();
            let hubs = || account.hubs().filter_map(|hub| self.hubs.get(hub));
            let watermark = hubs().map(|hub| hub.waited_for).min();
            let seen = hubs().map(|hub| hub.seen).min();
            let [watermark, seen] =
                [watermark, seen].map(|time| time.unwrap_or(ArrivalTime(i64::MIN)));
            let moment = Moment { watermark, seen, linked: self.linked, now: self.now };
            account.note_revoked(self.control.memory().revoked(resource));
            let group = account.group();
            let turn = account.begin(Step { rows: &rows, links }, moment, &self.env);
            for (key, tokens) in origin.iter().zip(&turn.outcome.row_tokens) {
                if let Some(partition) = self.partitions.get_mut(key) {
                    partition.tokens = partition.tokens.saturating_add(*tokens);
                }
            }
            turns.entry(group).or_default().push(turn);
        }
        for (hubs, turns) in &mut turns {
            let group = self.fleets.entry(Arc::clone(hubs)).or_default();
            if let Some(first) = watch::close(turns, group, &self.env) {
                let closed = group.since(first);
                let closed = closed.map(|(slot, closed)| (Arc::clone(hubs), slot, closed.clone()));
                effects.fleets.extend(closed);
            }
        }
        let mut turns: Vec<Turn<'_>> = turns.into_values().flatten().collect();
        turns.sort_unstable_by(|a, b| a.account.resource.cmp(&b.account.resource));
        turns.into_iter().for_each(|turn| end_turn(turn, &self.env, effects, news));
        for (resource, account) in &mut self.accounts {
            for (network, linked) in account.take_egress() {
                self.control.note_egress(resource, (&network, linked));
            }
        }
    }

    /// Makes room for an account on first sight and notes the hubs that feed it.
    fn admit(
        &mut self,
        resource: &str,
        rows: &[(AccountRow, &PartitionKey)],
        effects: &mut Effects,
    ) {
        if !self.accounts.contains_key(resource) {
            // Not the next in number: accounts may have been purged.
            let newest = self.accounts.values().map(|account| account.id).max().unwrap_or(0);
            let next = newest.saturating_add(1);
            if self.accounts.len() >= self.env.settings.max_accounts {
                *effects.counters.entry("rows_of_too_many_accounts").or_default() +=
                    i64::try_from(rows.len()).unwrap_or(i64::MAX);
                return;
            }
            let account = Account::new(next, resource, &self.lineage, &self.env);
            self.accounts.insert(resource.to_owned(), account);
            effects.accounts.entry(next).or_default().created = Some(resource.to_owned());
        }
        if let Some(account) = self.accounts.get_mut(resource) {
            for (_, key) in rows {
                if account.seen_on(&key.hub) {
                    effects.accounts.entry(account.id).or_default().hubs.push(key.hub.clone());
                }
            }
        }
    }

    /// Every partition that moved since the last save.
    fn take_positions(&mut self) -> Vec<PositionMove> {
        let mut moves = Vec::new();
        for (key, partition) in &mut self.partitions {
            if partition.moved || partition.passed > ArrivalTime(i64::MIN) {
                moves.push(PositionMove {
                    key: key.clone(),
                    from: partition.saved_next,
                    to: partition.next,
                    passed: partition.passed,
                    events: std::mem::take(&mut partition.events),
                    tokens: std::mem::take(&mut partition.tokens),
                });
                partition.saved_next = partition.next;
                partition.moved = false;
            }
        }
        moves
    }
}

/// Ends an account's turn and takes over what came of it.
fn end_turn(turn: Turn<'_>, env: &Env, effects: &mut Effects, news: &mut News) {
    let (account, outcome) = turn.end(env);
    for (model, unpriced) in outcome.unpriced {
        news.unpriced.insert((account.name().to_owned(), model), unpriced);
    }
    effects.take(outcome.changes);
    let created = effects.accounts.remove(&account.id);
    let mut saved = outcome.effects;
    if let Some(created) = created {
        saved.created = created.created;
        saved.hubs = created.hubs;
    }
    if saved != effects::AccountEffects::default() {
        effects.accounts.insert(account.id, saved);
    }
}

#[cfg(test)]
mod tests;
