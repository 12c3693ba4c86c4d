//! What was done to resources: bought deployments are told to their accounts, and rules judge the rest.
//!
//! An operation waits until every hub has been read as far as it was told, so that rules see operations
//! in the order of their arrival however batches are cut and partitions interleaved.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::Engine;
use super::bought::Purchase;
use super::effects::Effects;
use crate::detect::table;
use crate::event::Arrival;
use crate::event::control::{Control, KeyRead};
use crate::event::signal::Alert;
use crate::incident::tracker::{Cause, Changes, Hearing, Sighting, Tracker};
use crate::incident::{Incident, State, tracker};
use crate::rules::act::Act;
use crate::rules::memory::{Kind, Memory, Row, subscription_of, written};
use crate::rules::{self, Alarm, QUIET_MS, Verdict, account_of, name_of};
use crate::time::ArrivalTime;

/// Operations that wait; later ones are counted and dropped.
const MAX_PENDING: usize = 20_000;

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

/// What is remembered and what waits.
#[derive(Debug, Default)]
pub struct Watch {
    pending: BTreeMap<Place, Act>,
    /// Places whose row is not as it is saved.
    moved: BTreeSet<Place>,
    memory: Memory,
}

impl Watch {
    /// As the database left it.
    pub(super) fn restore(rows: Vec<Row>) -> Self {
        let mut watch = Self::default();
        for Row { kind, key, body } in rows {
            let Some(body) = body else { continue };
            if kind == Kind::Pending {
                if let Ok((place, act)) = serde_json::from_str(&body) {
                    watch.pending.insert(place, act);
                }
            } else {
                watch.memory.restore(kind, key, &body);
            }
        }
        watch
    }

    /// False when there is no room.
    fn wait(&mut self, place: &Place, act: Act) -> bool {
        if self.pending.len() >= MAX_PENDING {
            return false;
        }
        self.moved.insert(place.clone());
        self.pending.insert(place.clone(), act);
        true
    }

    /// The next operation told up to `until`.
    fn next(&mut self, until: ArrivalTime) -> Option<Act> {
        let first = self.pending.first_entry().filter(|entry| entry.key().told <= until)?;
        let (place, act) = first.remove_entry();
        // One that came in this very step was never saved.
        if !self.moved.remove(&place) {
            self.moved.insert(place);
        }
        Some(act)
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
            let body = self.pending.get(&place).and_then(|act| written(&(&place, act)));
            Row { kind: Kind::Pending, key: place.key(), body }
        });
        let mut rows: Vec<Row> = pending.collect();
        rows.extend(self.memory.take_rows());
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
        if let Some(subscription) = subscription_of(&control.resource) {
            self.control.memory.hear(subscription, place.told);
        }
        if let Some(act) = Act::of_control(control, place.told) {
            self.let_wait(place, act, effects);
        }
    }

    /// Takes a listing of keys from an account's own audit log.
    pub(super) fn hear_read(&mut self, read: &KeyRead, place: &Place, effects: &mut Effects) {
        self.control.memory.hear(&read.resource, place.told);
        self.let_wait(place, Act::of_key_read(read, place.told), effects);
    }

    /// Takes an alert of Defender: nobody is told of it for itself.
    pub(super) fn hear_alert(&mut self, alert: &Alert, place: &Place, effects: &mut Effects) {
        if let Some(act) = Act::of_alert(alert, place.told) {
            self.let_wait(place, act, effects);
        }
    }

    fn let_wait(&mut self, place: &Place, act: Act, effects: &mut Effects) {
        if !self.control.wait(place, act) {
            *effects.counters.entry("control_records_too_many").or_default() += 1;
        }
    }

    /// Judges the operations whose turn has come, and ends what has been quiet for long enough. Returns the
    /// alerts of Defender among them.
    pub(super) fn judge_control(&mut self, effects: &mut Effects) -> Vec<Act> {
        let until = self.linked;
        let mut alerts = Vec::new();
        while let Some(act) = self.control.next(until) {
            let (tracker, settings) = (self.estate.tracker(), &self.env.settings);
            effects.take(calm(tracker, act.told));
            let verdicts = rules::judge(
                &act,
                &mut self.control.memory,
                (&settings.pipeline, &settings.tuning),
            );
            alerts.extend(Some(act.clone()).filter(Act::is_alert));
            for verdict in verdicts {
                effects.take(match verdict {
                    Verdict::Raise(alarm) => found(tracker, *alarm, act.told),
                    Verdict::Clear { rule, scope, why } => {
                        taken_back(tracker, &Cause { rule, scope }, why, &act)
                    }
                });
            }
        }
        if until > ArrivalTime(i64::MIN) {
            effects.take(calm(self.estate.tracker(), until));
        }
        let dropped = std::mem::take(&mut self.control.memory.dropped);
        if dropped > 0 {
            *effects.counters.entry("control_memory_dropped").or_default() += dropped;
        }
        effects.control = self.control.take_rows();
        alerts
    }
}

/// An alarm as the incident it opens or goes on with.
fn found(tracker: &mut Tracker, alarm: Alarm, told: ArrivalTime) -> Changes {
    let profile = table::profile(alarm.rule);
    let cause = Cause { rule: alarm.rule, scope: alarm.scope };
    let account = account_of(&alarm.resource).unwrap_or(&alarm.resource);
    let deployment = alarm.resource.split_once("/deployments/").map(|(_, name)| name.to_owned());
    let incident = Incident {
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
        evidence: alarm.evidence,
        response: alarm.steps,
        confidence: alarm.confidence,
        delay_azure_s: Some(told.0.saturating_sub(alarm.span.1.0).div_euclid(1_000).max(0)),
        ..Incident::default()
    };
    let (verdict, hearing) = (tracker::Verdict::Closing, Hearing::Announce);
    tracker.found(&cause, Sighting { incident, score: alarm.weight, verdict, hearing })
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
    let open = tracker.all_open().filter(|(cause, _)| rules::find(cause.rule).is_some());
    let ripe = open.map(|(cause, tracked)| (due(tracked.incident.last_window.0), cause.clone()));
    let mut ripe: Vec<(i64, Cause)> = ripe.filter(|(due, _)| *due <= now.0).collect();
    ripe.sort();
    let mut changes = Changes::default();
    for (due, cause) in ripe {
        changes.extend(tracker.quiet(&cause, 1, ArrivalTime(due)));
    }
    changes
}
