//! What was done to resources: bought deployments are told to their accounts, and rules judge the rest.
//!
//! An operation waits until every hub has been read as far as it was told, so that rules see operations
//! in the order of their arrival however batches are cut and partitions interleaved.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Engine;
use super::bought::Purchase;
use super::effects::Effects;
use super::exposure::{self, Exposure};
use super::shut::RULE;
use crate::detect::series::Slot;
use crate::detect::table;
use crate::event::Arrival;
use crate::event::control::{Control, KeyRead, Outcome, Target, Verb};
use crate::event::inventory::Snapshot;
use crate::event::signal::Alert;
use crate::incident::tracker::{Cause, Changes, Hearing, Sighting, Tracker};
use crate::incident::{CallerShare, Incident, State, tracker};
use crate::rules::act::Act;
use crate::rules::inventory::{GRACE_MS, VersionRow, Versions};
use crate::rules::memory::{Kind, Memory, Row, subscription_of, written};
use crate::rules::revoked::Revoked;
use crate::rules::{self, Alarm, QUIET_MS, Verdict, account_of, name_of};
use crate::time::ArrivalTime;

/// Operations that wait; later ones are counted and dropped.
const MAX_PENDING: usize = 20_000;
/// Parts of the inventory that wait, each a quarter of a MiB at most; later ones are counted and dropped.
const MAX_PARTS: usize = 256;

/// Where a record was read: the order in which rules see operations.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    told: ArrivalTime,
    partition: String,
    sequence: i64,
    record: u32,
}

impl Place {
    /// Of the n-th record of an event.
    pub(super) fn of(arrival: &Arrival, told: ArrivalTime, record: u32) -> Self {
        let key = &arrival.partition;
        let partition = format!("{}/{}/{}", key.hub, key.incarnation, key.partition);
        Self { told, partition, sequence: arrival.sequence, record }
    }

    /// Sorts as the place does.
    fn key(&self) -> String {
        format!("{:020}/{}/{:020}/{:06}", self.told.0, self.partition, self.sequence, self.record)
    }
}

/// What waits for its turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
enum Waiting {
    /// An operation.
    Act(Box<Act>),
    /// A part of an inventory.
    Snapshot(Box<Snapshot>),
}

/// What is remembered and what waits.
#[derive(Debug, Default)]
pub struct Watch {
    pending: BTreeMap<Place, Waiting>,
    /// Parts of the inventory among what waits.
    parts: usize,
    /// Places whose row is not as it is saved.
    moved: BTreeSet<Place>,
    memory: Memory,
    pub(super) versions: Versions,
    /// The first slot whose calls have not been held against how accounts are shut; `None` while none was.
    pub(super) judged_to: Option<Slot>,
    pub(super) is_judged_moved: bool,
}

impl Watch {
    /// As the database left it.
    pub(super) fn restore(rows: Vec<Row>, versions: Vec<VersionRow>) -> Self {
        let mut watch = Self::default();
        versions.into_iter().for_each(|version| watch.versions.restore_version(version));
        for Row { kind, key, body } in rows {
            let Some(body) = body else { continue };
            if kind == Kind::Judged {
                watch.judged_to = body.parse().ok().map(Slot);
            } else if kind == Kind::Pending {
                if let Ok((place, waiting)) = serde_json::from_str(&body) {
                    watch.parts += usize::from(matches!(waiting, Waiting::Snapshot(_)));
                    watch.pending.insert(place, waiting);
                }
            } else {
                watch.versions.restore(kind, &key, &body);
                watch.memory.restore(kind, key, &body);
            }
        }
        watch
    }

    /// False when there is no room.
    fn wait(&mut self, place: &Place, waiting: Waiting) -> bool {
        let is_part = matches!(waiting, Waiting::Snapshot(_));
        if self.pending.len() >= MAX_PENDING || (is_part && self.parts >= MAX_PARTS) {
            return false;
        }
        self.parts += usize::from(is_part);
        self.moved.insert(place.clone());
        self.pending.insert(place.clone(), waiting);
        true
    }

    /// What comes next of what was told up to `until`, and when it was.
    fn next(&mut self, until: ArrivalTime) -> Option<(ArrivalTime, Waiting)> {
        let first = self.pending.first_entry().filter(|entry| entry.key().told <= until)?;
        let (place, waiting) = first.remove_entry();
        self.parts -= usize::from(matches!(waiting, Waiting::Snapshot(_)));
        let told = place.told;
        // One that came in this very step was never saved.
        if !self.moved.remove(&place) {
            self.moved.insert(place);
        }
        Some((told, waiting))
    }

    /// Notes from which network a gateway calls an account.
    pub(super) fn note_egress(&mut self, account: &str, (network, linked): (&str, ArrivalTime)) {
        self.memory.note_egress(account, network, linked);
    }

    pub(super) const fn memory(&self) -> &Memory {
        &self.memory
    }

    /// Alerts of Defender that are remembered.
    pub(super) fn alerts(&self) -> impl Iterator<Item = &Act> {
        let recent = self.memory.between(i64::MIN, i64::MAX - 1).map(|recent| &recent.act);
        recent.filter(|act| act.is_alert())
    }

    fn take_rows(&mut self) -> Vec<Row> {
        let moved = std::mem::take(&mut self.moved).into_iter();
        let pending = moved.map(|place| {
            let body = self.pending.get(&place).and_then(|waiting| written(&(&place, waiting)));
            Row { kind: Kind::Pending, key: place.key(), body }
        });
        let mut rows: Vec<Row> = pending.collect();
        rows.extend(self.memory.take_rows());
        rows.extend(self.versions.take_rows());
        if std::mem::take(&mut self.is_judged_moved) {
            let body = self.judged_to.map(|slot| slot.0.to_string());
            rows.push(Row { kind: Kind::Judged, key: RULE.to_owned(), body });
        }
        rows
    }
}

impl Engine {
    /// Takes an operation: tells an account how one of its deployments was bought, and lets what rules
    /// are about wait for its turn.
    pub(super) fn hear(&mut self, control: &Control, place: &Place, effects: &mut Effects) {
        if let Some((account, deployment, purchase)) = Purchase::read(control, place.told) {
            self.admit(account, &[], effects);
            if let Some(account) = self.accounts.get_mut(account) {
                account.hear(deployment, purchase);
            }
        }
        if let Some((account, revoked)) = Revoked::read(control, place.told) {
            self.control.memory.revoke(account, revoked);
        }
        if let Some(subscription) = subscription_of(&control.resource) {
            self.control.memory.hear(subscription, place.told);
        }
        if writes_to_account(control)
            && let Some(subscription) = subscription_of(&control.resource)
        {
            let id = subscription.trim_start_matches("/subscriptions/");
            effects.touched.insert(id.to_owned());
        }
        if let Some(act) = Act::of_control(control, place.told) {
            self.let_wait(place, Waiting::Act(Box::new(act)), effects);
        }
    }

    /// Takes a part of the inventory, which waits until the activity log had time to tell of it. From a hub
    /// it would be somebody's invention.
    pub(super) fn hear_inventory(
        &mut self,
        snapshot: &Snapshot,
        (arrival, told): (&Arrival, ArrivalTime),
        effects: &mut Effects,
    ) {
        if !arrival.partition.is_inventory() {
            *effects.counters.entry("inventory_not_ours").or_default() += 1;
            return;
        }
        let due = ArrivalTime(told.0.saturating_add(GRACE_MS));
        let place = Place::of(arrival, due, 0);
        self.let_wait(&place, Waiting::Snapshot(Box::new(snapshot.clone())), effects);
    }

    /// Takes a listing of keys from an account's own audit log.
    pub(super) fn hear_read(&mut self, read: &KeyRead, place: &Place, effects: &mut Effects) {
        self.control.memory.hear(&read.resource, place.told);
        let act = Act::of_key_read(read, place.told);
        self.let_wait(place, Waiting::Act(Box::new(act)), effects);
    }

    /// Takes an alert of Defender: nobody is told of it for itself.
    pub(super) fn hear_alert(&mut self, alert: &Alert, place: &Place, effects: &mut Effects) {
        if let Some(act) = Act::of_alert(alert, place.told) {
            self.let_wait(place, Waiting::Act(Box::new(act)), effects);
        }
    }

    fn let_wait(&mut self, place: &Place, waiting: Waiting, effects: &mut Effects) {
        let counter = match waiting {
            Waiting::Act(_) => "control_records_too_many",
            Waiting::Snapshot(_) => "inventory_parts_too_many",
        };
        if !self.control.wait(place, waiting) {
            *effects.counters.entry(counter).or_default() += 1;
        }
    }

    /// Judges the operations whose turn has come, and ends what has been quiet for long enough. Returns the
    /// alerts of Defender among them.
    pub(super) fn judge_control(&mut self, effects: &mut Effects) -> Vec<Act> {
        let until = self.linked;
        let mut alerts = Vec::new();
        while let Some((told, waiting)) = self.control.next(until) {
            self.judge_shut(told, effects);
            effects.take(calm(self.estate.tracker(), told));
            let Watch { memory, versions, .. } = &mut self.control;
            let (acts, old) = match waiting {
                Waiting::Act(act) => (vec![*act], Vec::new()),
                Waiting::Snapshot(snapshot) => {
                    let acts = versions.take(&snapshot, told, memory);
                    let tuning = &self.env.settings.tuning;
                    (acts, versions.old_keys(&snapshot, memory, tuning))
                }
            };
            for alarm in old {
                effects.take(raised(self.estate.tracker(), alarm, Vec::new(), told));
            }
            acts.iter().for_each(|act| self.judge_act(act, effects));
            alerts.extend(acts.into_iter().filter(Act::is_alert));
        }
        if until > ArrivalTime(i64::MIN) {
            self.judge_shut(until, effects);
            effects.take(calm(self.estate.tracker(), until));
        }
        let Watch { memory, versions, .. } = &mut self.control;
        let dropped = [
            ("control_memory_dropped", &mut memory.dropped),
            ("inventory_dropped", &mut versions.dropped),
        ];
        for (counter, dropped) in dropped {
            let dropped = std::mem::take(dropped);
            if dropped > 0 {
                *effects.counters.entry(counter).or_default() += dropped;
            }
        }
        effects.versions = versions.take_versions();
        effects.control = self.control.take_rows();
        alerts
    }

    fn judge_act(&mut self, act: &Act, effects: &mut Effects) {
        let settings = &self.env.settings;
        let given = (&*settings.pipeline, &settings.tuning, &self.env.book);
        let verdicts = rules::judge(act, &mut self.control.memory, given);
        for verdict in verdicts {
            let changes = match verdict {
                Verdict::Raise(mut alarm) => {
                    let callers = self.expose(act, &mut alarm);
                    raised(self.estate.tracker(), *alarm, callers, act.told)
                }
                Verdict::Clear { rule, scope, why } => {
                    taken_back(self.estate.tracker(), &Cause { rule, scope }, why, act)
                }
            };
            effects.take(changes);
        }
    }

    /// Adds to what was found by drift who called the account since and the money at risk: nobody looked
    /// while it happened.
    fn expose(&self, act: &Act, alarm: &mut Alarm) -> Vec<CallerShare> {
        let Some((from, _)) = act.between else { return Vec::new() };
        let Some(resource) = account_of(&alarm.resource) else { return Vec::new() };
        let account = self.accounts.get(resource);
        let Exposure { callers, fact } = match account {
            Some(account) => exposure::callers(account, from, act.told, &self.env),
            None => Exposure::unheard(),
        };
        alarm.evidence.push(fact);
        let deployments = self.control.versions.below(resource);
        alarm.evidence.push(exposure::at_most(deployments, act.at, &self.env.book));
        callers
    }
}

/// Whether an operation changed an AI account or something of it.
fn writes_to_account(control: &Control) -> bool {
    let is_change = matches!(control.verb, Verb::Write | Verb::Delete | Verb::Approve);
    is_change
        && control.outcome == Outcome::Succeeded
        && (account_of(&control.resource).is_some() || control.target == Target::RoleAssignment)
}

/// Opens the incident of an alarm or goes on with it.
fn raised(
    tracker: &mut Tracker,
    alarm: Alarm,
    callers: Vec<CallerShare>,
    told: ArrivalTime,
) -> Changes {
    let cause = Cause { rule: alarm.rule, scope: alarm.scope.clone() };
    let weight = alarm.weight;
    found(tracker, &cause, incident_of(alarm, callers, told), weight)
}

/// Opens an incident or goes on with it; of two findings the one with more weight is shown.
pub(super) fn found(
    tracker: &mut Tracker,
    cause: &Cause,
    incident: Incident,
    weight: f64,
) -> Changes {
    let (verdict, hearing) = (tracker::Verdict::Closing, Hearing::Announce);
    tracker.found(cause, Sighting { incident, score: weight, verdict, hearing })
}

/// An alarm as an incident.
pub(super) fn incident_of(alarm: Alarm, callers: Vec<CallerShare>, told: ArrivalTime) -> Incident {
    let profile = table::profile(alarm.rule);
    let account = account_of(&alarm.resource).unwrap_or(&alarm.resource);
    let deployment = alarm.resource.split_once("/deployments/").map(|(_, name)| name.to_owned());
    Incident {
        rule: profile.id.clone(),
        rule_name: profile.name.clone(),
        account: name_of(account).to_owned(),
        deployment,
        resource_id: Some(account.to_owned()),
        severity: match alarm.confidence {
            doubtful if doubtful < tracker::DOUBT => alarm.severity.step(-1),
            _ => alarm.severity,
        },
        state: State::Open,
        first_window: alarm.span.0,
        last_window: alarm.span.1,
        opened_at: told,
        observed: alarm.observed,
        unit: alarm.unit.to_owned(),
        callers,
        evidence: alarm.evidence,
        response: alarm.steps,
        confidence: alarm.confidence,
        delay_azure_s: Some(told.0.saturating_sub(alarm.span.1.0).div_euclid(1_000).max(0)),
        ..Incident::default()
    }
}

/// Ends the incident of a cause whose last operation is not after `act`.
fn taken_back(tracker: &mut Tracker, cause: &Cause, why: String, act: &Act) -> Changes {
    if tracker.open(cause).is_none_or(|open| open.incident.last_window > act.at) {
        return Changes::default();
    }
    let mut changes = tracker.remark(cause, act.told, why);
    changes.extend(tracker.quiet(cause, 1, act.told));
    changes
}

/// Ends incidents of rules whose last operation is long enough ago at `now`.
fn calm(tracker: &mut Tracker, now: ArrivalTime) -> Changes {
    let due = |last: i64| last.saturating_add(QUIET_MS);
    let open = tracker.all_open().filter(|(cause, _)| rules::ends_in_quiet(cause.rule));
    let ripe = open.map(|(cause, tracked)| (due(tracked.incident.last_window.0), cause.clone()));
    let mut ripe: Vec<(i64, Cause)> = ripe.filter(|(due, _)| *due <= now.0).collect();
    ripe.sort();
    let mut changes = Changes::default();
    for (due, cause) in ripe {
        changes.extend(tracker.quiet(&cause, 1, ArrivalTime(due)));
    }
    changes
}
