//! Everything of one AI account and nothing else: the shard.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::bought::{Bought, Purchase, Shelf};
use super::effects::{AccountClock, AccountEffects, HourSum, SavedAccount};
use super::fleet::{Group, Hubs};
use super::gateways::ToLink;
use super::{Env, metered, watch};
use crate::aggregate::call::{Booking, RowFacts, Terms};
use crate::aggregate::cap::CallerCap;
use crate::aggregate::gateway::SKEW_MS;
use crate::aggregate::join::{self, Calls, Taken};
use crate::aggregate::link::{self, Behind, BehindKey, Direct, Link};
use crate::aggregate::names::{NONE, NameKind, Names};
use crate::aggregate::rollup::{Caller, Class, RollupKey, Split};
use crate::detect::conduct::Conduct;
use crate::detect::metered::Metered;
use crate::detect::series::{SLOT_MIN, Series, Slot};
use crate::detect::{DetectSettings, table};
use crate::event::operation::Operation;
use crate::event::{Row, RowKind};
use crate::incident::tracker::{Changes, Tracker};
use crate::known::owner::is_account;
use crate::price::rates::{Rates, Why};
use crate::rules::revoked::Revoked;
use crate::time::{ArrivalTime, DAY_MS, EventTime, HOUR_MS, MINUTE_MS, Minute};

/// One row on its way into an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountRow {
    /// What was decoded.
    pub row: Row,
    /// When the hub took it, made monotone per partition.
    pub enqueued: ArrivalTime,
}

/// Joins, sums and judges the calls of one account.
#[derive(Debug)]
pub struct Account {
    /// Its number.
    pub id: u32,
    /// Azure resource id, lower case.
    pub resource: String,
    pub(super) names: Names,
    pub(super) series: BTreeMap<u32, Series>,
    pub(super) models: BTreeMap<u32, u32>,
    pub(super) tracker: Tracker,
    pub(super) judged_to: Option<Slot>,
    /// The same of the step before: the slots that it closed are kept for rules that judge later.
    pub(super) let_go_to: Option<Slot>,
    pub(super) watermark: ArrivalTime,
    pub(super) delay_ms: Option<i64>,
    bought: Bought,
    told: Vec<(String, Purchase)>,
    pub(super) calls: Calls,
    pub(super) cap: CallerCap,
    pub(super) conduct: Conduct,
    /// When its keys became worthless, as far as was told.
    pub(super) revoked: Vec<Revoked>,
    /// Networks of gateways that call it, each as of the moment its first call was linked; those that are news.
    pub(super) egress: BTreeMap<u32, ArrivalTime>,
    pub(super) new_egress: Vec<u32>,
    /// Whether it should be called through gateways alone.
    pub(super) is_gateway_only: bool,
    pub(super) metered: Metered,
    /// Thresholds of statistics, where they are not those of all.
    tuned: Option<Box<DetectSettings>>,
    hubs: Hubs,
    /// Whether the account came to another group of hubs: what a restart would show its series again
    /// was judged with the old one.
    moved: bool,
}

/// A moment as the account sees it.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// Everything enqueued up to here on the account's hubs has been seen.
    pub watermark: ArrivalTime,
    /// As the watermark, but also on partitions that it no longer waits for.
    pub seen: ArrivalTime,
    /// Gateways are linked with what was enqueued up to here.
    pub linked: ArrivalTime,
    /// Newest arrival known: the time line of `opened_at`.
    pub now: ArrivalTime,
}

/// What an account is handed at once.
#[derive(Debug, Clone, Copy)]
pub struct Step<'a> {
    /// Rows of its calls.
    pub rows: &'a [AccountRow],
    /// Calls of gateways to be linked with calls of its own, in order of time.
    pub links: &'a [ToLink],
}

/// What came of a step, beside what is to be saved.
#[derive(Debug, Default)]
pub struct Outcome {
    /// To be saved.
    pub effects: AccountEffects,
    /// Incidents and announcements.
    pub changes: Changes,
    /// Tokens each row added, in the order of the rows.
    pub row_tokens: Vec<i64>,
    /// Models whose tokens have no price.
    pub unpriced: BTreeMap<String, Unpriced>,
    /// Detector state by deployment, as of the last moment it was to be saved.
    pub states: BTreeMap<u32, Vec<u8>>,
}

/// An account in a step: rows are taken, and slots are about to be closed.
#[derive(Debug)]
pub struct Turn<'a> {
    /// Which.
    pub account: &'a mut Account,
    /// The moment time passes to.
    pub moment: Moment,
    /// What came of it so far.
    pub outcome: Outcome,
    touched: BTreeSet<(Slot, u32)>,
    judged_to: Option<Slot>,
}

/// Tokens without a price that one step counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Unpriced {
    /// How many.
    pub tokens: i64,
    /// Why; where there are several reasons, the first of them in the order of [`Why`].
    pub why: Why,
}

struct Lookup<'a> {
    bought: &'a Bought,
    shelf: Shelf<'a>,
    lateness_ms: i64,
}

impl<'a> Lookup<'a> {
    const fn of(bought: &'a Bought, shelf: Shelf<'a>, env: &Env) -> Self {
        Self { bought, shelf, lateness_ms: env.settings.lateness_ms }
    }
}

impl Terms for Lookup<'_> {
    fn names(&self) -> &Names {
        self.shelf.names
    }

    fn rates(&self, deployment: u32, model: u32, by: ArrivalTime) -> Rates {
        self.bought.rates((deployment, model), by, self.shelf)
    }

    fn lateness_ms(&self) -> i64 {
        self.lateness_ms
    }
}

impl<'a> Turn<'a> {
    /// Looks into the open slots, and says everything that changed.
    pub fn end(self, env: &Env) -> (&'a Account, Outcome) {
        let Self { account, moment, mut outcome, touched, judged_to: before } = self;
        outcome.changes.extend(watch::look_ahead(account, &touched, moment, env));
        if account.judged_to != before
            && let Some(judged_to) = account.judged_to
        {
            account.cap.forget(judged_to.hour() - 26);
            let (judged_to, watermark) = (judged_to.0, account.watermark);
            let clock = AccountClock { judged_to, watermark, seen: moment.seen };
            outcome.effects.clock = Some(clock);
            if std::mem::take(&mut account.moved) {
                for (deployment, series) in &mut account.series {
                    series.save_soon();
                    outcome.states.extend(series.take_state().map(|state| (*deployment, state)));
                }
            }
        }
        outcome.changes.extend(metered::close(account, moment, env));
        outcome.effects.metered = account.metered.take_state();
        outcome.effects.states = std::mem::take(&mut outcome.states).into_iter().collect();
        outcome.effects.incidents = std::mem::take(&mut outcome.changes.incidents);
        (account, outcome)
    }
}

impl Account {
    /// An account nobody has seen before.
    #[must_use]
    pub fn new(id: u32, resource: &str, lineage: &str, env: &Env) -> Self {
        let tuning = &env.settings.tuning;
        Self {
            id,
            resource: resource.to_owned(),
            names: Names::default(),
            series: BTreeMap::new(),
            models: BTreeMap::new(),
            tracker: Tracker::new(lineage, env.settings.reopen_ms),
            judged_to: None,
            let_go_to: None,
            watermark: ArrivalTime(i64::MIN),
            delay_ms: None,
            bought: Bought::default(),
            told: Vec::new(),
            calls: Calls::new(env.settings.join),
            cap: CallerCap::new(env.settings.callers_per_hour),
            conduct: Conduct::new(
                tuning.of("TW-A02", resource).unwrap_or_else(|| table::profile("TW-A02")),
            ),
            revoked: Vec::new(),
            egress: BTreeMap::new(),
            new_egress: Vec::new(),
            is_gateway_only: env
                .settings
                .gateway_only
                .iter()
                .any(|name| is_account(resource, name)),
            metered: Metered::default(),
            tuned: tuning.settings(&env.settings.detect, resource),
            hubs: Hubs::default(),
            moved: false,
        }
    }

    /// Thresholds of statistics.
    pub(super) fn detect<'a>(&'a self, env: &'a Env) -> &'a DetectSettings {
        self.tuned.as_deref().unwrap_or(&env.settings.detect)
    }

    /// The account's own name: the last part of the resource id.
    #[must_use]
    pub fn name(&self) -> &str {
        self.resource.rsplit('/').find(|part| !part.is_empty()).unwrap_or(&self.resource)
    }

    /// Hubs the account was seen on; their watermarks bound its own.
    pub fn hubs(&self) -> impl Iterator<Item = &str> {
        self.hubs.iter().map(String::as_str)
    }

    /// Notes that the account is fed by `hub`; true when that is news.
    pub fn seen_on(&mut self, hub: &str) -> bool {
        let Err(place) = self.hubs.binary_search_by(|known| known.as_str().cmp(hub)) else {
            return false;
        };
        let mut hubs = self.hubs.to_vec();
        hubs.insert(place, hub.to_owned());
        self.hubs = hubs.into();
        self.moved = true;
        true
    }

    /// The group of accounts that it belongs to.
    #[must_use]
    pub fn group(&self) -> Hubs {
        Arc::clone(&self.hubs)
    }

    /// Takes a step; [`watch::close`] and [`Turn::end`] let time pass to `moment`. Pure: the same calls in
    /// the same order give the same answers.
    pub fn begin(&mut self, step: Step<'_>, moment: Moment, env: &Env) -> Turn<'_> {
        self.let_go();
        let mut outcome = Outcome::default();
        let mut blob = (Vec::new(), Minute(i64::MIN));
        let mut touched = BTreeSet::new();
        for booking in self.learn(env, &mut outcome.effects) {
            self.book(&booking, &mut outcome);
            touched.insert((Slot::of(booking.minute), booking.deployment));
        }
        for row in step.rows {
            let mut bookings = Vec::new();
            let fresh = self.take(row, env, &mut bookings, &mut outcome.effects);
            if let Some(facts) = fresh {
                join::write_row(row.row.call, &facts, &mut blob.0);
                blob.1 = blob.1.max(env.settings.join.needed_until(facts.end));
            }
            let tokens = bookings.iter().map(|booking| booking.amount.tokens()).sum();
            outcome.row_tokens.push(tokens);
            for booking in bookings {
                self.book(&booking, &mut outcome);
                if booking.deployment != NONE {
                    let ended = Slot::of(booking.minute).hour();
                    let arrived = row.enqueued.0.div_euclid(HOUR_MS);
                    let sum = outcome.effects.logged.entry((ended, arrived)).or_default();
                    *sum = sum.saturating_add(booking.amount.calls);
                }
                if !booking.is_control() {
                    touched.insert((Slot::of(booking.minute), booking.deployment));
                }
            }
        }
        outcome.effects.deltas.drop_zeros();
        outcome.effects.logged.retain(|_, calls| *calls != 0);
        outcome.effects.ledger.retain(|_, entry| *entry != (0, 0));
        if !blob.0.is_empty() {
            outcome.effects.rows = Some(blob);
        }
        for link in step.links {
            self.link(link, env, &mut outcome.effects.behind);
        }
        outcome.effects.names = self.names.take_new();
        self.pass(moment, env, &mut outcome);
        let judged_to = self.judged_to;
        Turn { account: self, moment, outcome, touched, judged_to }
    }

    fn pass(&mut self, moment: Moment, env: &Env, outcome: &mut Outcome) {
        self.watermark = self.watermark.max(moment.watermark);
        let terms = Lookup::of(&self.bought, Shelf::of(&self.resource, &self.names, env), env);
        self.calls.pass(self.watermark.min(moment.linked), moment.seen, &terms);
        let early = std::mem::take(&mut self.calls.early);
        if early > 0 {
            let settled = i64::try_from(early).unwrap_or(i64::MAX);
            outcome.effects.ledger.insert(("settled_early", 0), (settled, 0));
        }
    }

    /// Joins one row; returns it as facts when it is new and must be saved.
    fn take(
        &mut self,
        row: &AccountRow,
        env: &Env,
        bookings: &mut Vec<Booking>,
        effects: &mut AccountEffects,
    ) -> Option<RowFacts> {
        let facts = self.facts(row, env, effects);
        let terms = Lookup::of(&self.bought, Shelf::of(&self.resource, &self.names, env), env);
        let taken = self.calls.take(row.row.call, facts, &terms, bookings);
        effects.repeats.note(&facts, taken, env.settings.join.attribution_ms / 2);
        match taken {
            Taken::New | Taken::Sooner(_) => Some(facts),
            Taken::Copy => None,
            Taken::BeyondHorizon => {
                let tokens = facts.tokens.unwrap_or_default().total();
                add(effects, "beyond_dedupe", facts.deployment, tokens);
                None
            }
        }
    }

    /// Names become numbers, and a time that cannot be right becomes the arrival's.
    fn facts(&mut self, row: &AccountRow, env: &Env, effects: &mut AccountEffects) -> RowFacts {
        let AccountRow { row, enqueued } = row;
        let deployment = self.names.number(NameKind::Deployment, &row.deployment);
        let model = self.names.number(NameKind::Model, &row.model);
        self.know(deployment, model, env);
        let believed = enqueued.0 - DAY_MS..=enqueued.0 + 5 * MINUTE_MS;
        let end = if believed.contains(&row.end.0) {
            self.delay_ms = Some(enqueued.0 - row.end.0);
            row.end
        } else {
            add(effects, "clock_suspect", deployment, row.tokens.unwrap_or_default().total());
            EventTime(enqueued.0)
        };
        RowFacts {
            kind: row.kind,
            end,
            enqueued: *enqueued,
            deployment,
            model,
            network: self.names.number(NameKind::Network, &row.network),
            identity: self.names.number(NameKind::Identity, &row.identity),
            tokens: row.tokens,
            partial: row.partial,
            status: row.status,
            operation: match row.kind {
                RowKind::Request => Operation::of(&row.operation),
                RowKind::Usage => Operation::Untold,
            },
            sent: size(row.request_bytes),
            received: size(row.response_bytes),
        }
    }

    /// Finds the calls of gateways among the account's own.
    fn link(&mut self, link: &ToLink, env: &Env, behind: &mut Behind) {
        let due = link.calls.get(..link.due).unwrap_or_default();
        let ends = due.iter().map(|call| call.latest.0 + SKEW_MS);
        let starts = due.iter().map(|call| call.at.0 - SKEW_MS);
        let Some((first, last)) = starts.min().zip(ends.max()) else { return };
        let span = EventTime(first)..=EventTime(last);
        let ended = self.calls.ended(&span, link.until, &self.names);
        let direct: Vec<Direct> =
            ended.into_iter().map(|(call, merged)| Direct { call, merged }).collect();
        let number_of = |name: &str, names: &Names| names.known(NameKind::Deployment, name);
        let found = link::links(&direct, &link.calls, |name| number_of(name, &self.names));
        for (through, found) in due.iter().zip(found) {
            let linked = match found {
                Link::To(place) => direct.get(place).map(|direct| direct.merged),
                Link::Ambiguous | Link::Unmatched => None,
            };
            let hour = Minute(through.latest.minute().0.div_euclid(60) * 60);
            let deployment = match linked {
                Some(call) => call.deployment(),
                // A name that only a gateway's caller has written gets no number of its own.
                None => number_of(&through.deployment, &self.names).unwrap_or(NONE),
            };
            let gateway = self.names.number(NameKind::Gateway, &through.gateway);
            let share = behind.shares.entry((hour, deployment, gateway)).or_default();
            share.calls += 1;
            share.linked += i64::from(linked.is_some());
            share.ambiguous += i64::from(found == Link::Ambiguous);
            let Some(call) = linked else { continue };
            self.meet_gateway(call.network(), link.until);
            let key = BehindKey {
                hour: Minute(call.first_end.minute().0.div_euclid(60) * 60),
                deployment,
                gateway,
                network: self.names.number(NameKind::Network, &through.network),
                subject: self.names.number(NameKind::Subject, &through.subject),
            };
            let terms = Lookup::of(&self.bought, Shelf::of(&self.resource, &self.names, env), env);
            let booking = call.booking(&terms, Class::Late);
            if !booking.is_control() {
                let sum = behind.callers.entry(key).or_default();
                *sum = sum.plus(booking.amount);
            }
        }
    }

    /// Adds a booking to the rollups, the totals and what the detectors remember.
    fn book(&mut self, booking: &Booking, outcome: &mut Outcome) {
        let Booking { minute, deployment, model, class, amount, .. } = *booking;
        let hour = Slot::of(minute).hour();
        let caller = self.tally(booking, amount.tokens());
        if booking.is_control() {
            return;
        }
        let mut split = Split::default();
        split.add(class, amount);
        let series = self.series.entry(deployment).or_default();
        let deltas = &mut outcome.effects.deltas;
        for caller in [Caller::TOTAL, caller] {
            series.add(minute, caller, split);
            let slot = deltas.minutes.entry(RollupKey { minute, deployment, caller }).or_default();
            *slot = slot.merged(split);
        }
        let total = deltas.totals.entry((deployment, model)).or_default();
        *total = total.merged(split);
        let spend = deltas.spend.entry((Minute(hour * 60), deployment, model)).or_default();
        *spend = spend.plus(booking.spend);
        if booking.is_cut {
            // Taken back with the booking itself, so that the order of rows does not show.
            let entry = outcome.effects.ledger.entry(("cost_above_limit", deployment)).or_default();
            entry.0 = entry.0.saturating_add(amount.calls);
            entry.1 = entry.1.saturating_add(amount.tokens());
        }
        if let Some(why) = booking.unpriced_why.filter(|_| amount.unpriced > 0) {
            let unpriced = Unpriced { tokens: 0, why };
            let name = self.names.text(model).to_owned();
            let known = outcome.unpriced.entry(name).or_insert(unpriced);
            known.tokens = known.tokens.saturating_add(amount.unpriced);
            known.why = known.why.min(why);
        }
    }

    /// Tallies how a call was answered, and says to whose row it belongs, which brings `tokens`.
    fn tally(&mut self, booking: &Booking, tokens: i64) -> Caller {
        let caller = Caller::new(booking.network, booking.identity, booking.operation);
        let hour = Slot::of(booking.minute).hour();
        let caller = self.cap.label(hour, booking.deployment, caller, tokens);
        self.conduct.add(booking, caller);
        caller
    }

    /// Notes which model a deployment serves and keeps its prices at hand.
    fn know(&mut self, deployment: u32, model: u32, env: &Env) {
        if model != 0 {
            self.models.insert(deployment, model);
        }
        self.bought.know(deployment, model, Shelf::of(&self.resource, &self.names, env));
    }

    /// Takes note of a purchase of a deployment; it counts with the next step.
    pub fn hear(&mut self, deployment: &str, purchase: Purchase) {
        self.told.push((deployment.to_owned(), purchase));
    }

    /// Lets what was heard hold, and prices anew the calls it is about.
    fn learn(&mut self, env: &Env, effects: &mut AccountEffects) -> Vec<Booking> {
        let mut bookings = Vec::new();
        for (deployment, purchase) in std::mem::take(&mut self.told) {
            let deployment = self.names.number(NameKind::Deployment, &deployment);
            let shelf = Shelf::of(&self.resource, &self.names, env);
            let before = self.bought.clone();
            if self.bought.add(deployment, purchase, shelf) {
                effects.purchases.push((deployment, purchase));
                let terms = [&before, &self.bought].map(|bought| Lookup::of(bought, shelf, env));
                self.calls.reprice(deployment, &terms, &mut bookings);
            }
        }
        bookings
    }

    /// Puts a saved account back as it was.
    #[must_use]
    pub fn restore(saved: SavedAccount, lineage: &str, env: &Env) -> Self {
        let mut account = Self::new(saved.id, &saved.resource, lineage, env);
        for (kind, text) in saved.names {
            account.names.restore(kind, text);
        }
        account.hubs = saved.hubs.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
        for (deployment, hour, HourSum { total, on_time_nano }) in saved.hours {
            let series = account.series.entry(deployment).or_default();
            series.restore_hour(hour, total, on_time_nano);
        }
        for (deployment, slot, caller, amount) in saved.slots {
            let series = account.series.entry(deployment).or_default();
            series.restore_slot(Slot(slot), caller, amount);
        }
        for (deployment, hour, caller, tokens) in saved.caller_hours {
            account.cap.restore(hour, deployment, caller, tokens);
        }
        for (deployment, network, minute) in saved.networks {
            // Of slots that are open nothing is known yet.
            if saved.clock.is_some_and(|clock| Slot::of(minute).0 < clock.judged_to) {
                let minute = Slot::of(minute).start();
                account.series.entry(deployment).or_default().saw_network(network, minute);
            }
        }
        for (deployment, bytes) in saved.states {
            account.series.entry(deployment).or_default().restore_state(&bytes);
        }
        for (cause, tracked) in saved.incidents {
            account.tracker.restore(cause, tracked);
        }
        if let Some(clock) = saved.clock {
            account.judged_to = Some(Slot(clock.judged_to));
            account.watermark = clock.watermark;
        }
        // What they learn from feedback was saved with it.
        drop(account.learn_lessons());
        for (deployment, purchase) in saved.purchases {
            let shelf = Shelf::of(&account.resource, &account.names, env);
            account.bought.add(deployment, purchase, shelf);
        }
        for (deployment, model) in saved.models {
            account.know(deployment, model, env);
        }
        account.restore_calls(&saved.rows, env);
        if let Some(body) = &saved.conduct {
            account.conduct.restore(body);
        }
        if let Some(body) = &saved.metered {
            account.metered.restore(body);
        }
        account
    }

    /// Shows its series the closed slots that came after their states were saved.
    pub fn replay(&mut self, group: &Group, env: &Env) {
        let Some(until) = self.judged_to else { return };
        self.conduct.replay(until);
        for (_, series) in self.series.iter_mut().filter(|(deployment, _)| **deployment != 0) {
            series.replay(
                until,
                |slot, rhythm| group.around(slot, rhythm),
                &env.settings.detect.score,
            );
        }
    }

    /// Folds saved rows: what they book is already in the rollups.
    fn restore_calls(&mut self, blobs: &[(i64, Vec<u8>)], env: &Env) {
        for (call, row) in blobs.iter().flat_map(|(form, blob)| join::read_rows(*form, blob)) {
            self.know(row.deployment, row.model, env);
            let terms = Lookup::of(&self.bought, Shelf::of(&self.resource, &self.names, env), env);
            let mut bookings = Vec::new();
            self.calls.take(call, row, &terms, &mut bookings);
            for booking in bookings {
                // Its tokens were put back with the callers of their hour.
                self.tally(&booking, 0);
            }
        }
    }
}

/// A size as far as it is kept: 0 stands for absent.
fn size(bytes: Option<u64>) -> u32 {
    u32::try_from(bytes.unwrap_or(0)).unwrap_or(u32::MAX)
}

fn add(effects: &mut AccountEffects, reason: &'static str, deployment: u32, tokens: i64) {
    let entry = effects.ledger.entry((reason, deployment)).or_default();
    entry.0 += 1;
    entry.1 = entry.1.saturating_add(tokens);
}

/// The slots whose close the watermark has passed end before this one.
#[must_use]
pub fn closed_before(watermark: ArrivalTime, lateness_ms: i64) -> Slot {
    Slot((watermark.0.saturating_sub(lateness_ms)).div_euclid(SLOT_MIN * MINUTE_MS))
}
