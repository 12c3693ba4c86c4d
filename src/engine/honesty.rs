//! What the data say about themselves: what each account sends, how late, how often, and what of it
//! is less than it was.
//!
//! Everything is counted by arrival and judged when every hub has been read beyond the end of an
//! hour, so that neither batches nor interleaving change a verdict.

use std::collections::BTreeMap;

use super::Engine;
use super::effects::Effects;
use super::mismatch::Sides;
use crate::aggregate::coverage::{Coverage, Fall, HISTORY_DAYS};
use crate::aggregate::delay::{Delays, Leg};
use crate::aggregate::metrics::{self, PointKey, Points, Reading};
use crate::aggregate::names::{self, NameKind};
use crate::aggregate::repeats::Told;
use crate::decode::DECODERS;
use crate::event::{Event, PartitionKey, RowKind, Seen, account_of};
use crate::time::{ArrivalTime, HOUR_MS, MINUTE_MS};

/// What one step learnt about the data.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HonestyEffects {
    /// Points of metrics by account number.
    pub points: BTreeMap<u32, Points>,
    /// What accounts sent, by account number and kind.
    pub sent: BTreeMap<(u32, &'static str), Sent>,
    /// Delays of records.
    pub delays: Delays,
    /// First hour not yet judged (hours since 1970), when it moved.
    pub closed_hour: Option<i64>,
}

/// Records of one kind that an account sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sent {
    /// How many, and how many of them said what.
    pub seen: Seen,
    /// First arrival.
    pub first: ArrivalTime,
    /// Last arrival.
    pub last: ArrivalTime,
}

impl Sent {
    /// Both together.
    #[must_use]
    pub fn merged(self, other: Self) -> Self {
        Self {
            seen: self.seen.merged(other.seen),
            first: self.first.min(other.first),
            last: self.last.max(other.last),
        }
    }
}

/// What is judged when its hour has closed. Bounded by open hours, accounts and kinds.
#[derive(Debug, Clone, Default)]
pub struct Honesty {
    /// First hour not yet judged.
    pub closed_hour: Option<i64>,
    /// Records of the last days.
    pub coverage: Coverage,
    /// Rows and copies of open hours, by account number.
    pub repeats: BTreeMap<(i64, u32, RowKind), Told>,
    /// Calls by logs and by metrics.
    pub sides: Sides,
}

/// What an hour has shown once it has closed.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdicts {
    /// The hour (hours since 1970).
    pub hour: i64,
    /// Streams told twice in it, by account number.
    pub doubled: Vec<(u32, RowKind, Told)>,
    /// Where the hour ends a day: kinds whose records say less than on the days before.
    pub fallen: Option<Vec<(&'static str, Vec<Fall>)>>,
}

/// Hours in a day.
const DAY_HOURS: i64 = 24;
/// Most hours judged one by one after a jump of time.
const MAX_HOURS: i64 = 60 * DAY_HOURS;

impl Honesty {
    /// Judges every hour before `hour`, in order.
    pub fn close(&mut self, hour: i64) -> Vec<Verdicts> {
        let oldest = self.repeats.keys().next().map(|(hour, _, _)| *hour);
        let day = self.coverage.iter().next().map(|(day, _, _)| day * DAY_HOURS);
        let first = self.closed_hour.or_else(|| oldest.into_iter().chain(day).min());
        let first = first.unwrap_or(hour).max(hour - MAX_HOURS);
        let verdicts = (first..hour).map(|hour| self.judge(hour)).collect();
        self.repeats = self.repeats.split_off(&(hour, 0, RowKind::Request));
        self.coverage.forget(hour.div_euclid(DAY_HOURS) - HISTORY_DAYS);
        self.closed_hour = Some(hour);
        verdicts
    }

    fn judge(&self, hour: i64) -> Verdicts {
        let of_hour =
            self.repeats.range((hour, 0, RowKind::Request)..(hour + 1, 0, RowKind::Request));
        let doubled = of_hour.filter(|(_, told)| told.is_doubled());
        let doubled = doubled.map(|((_, account, kind), told)| (*account, *kind, *told)).collect();
        let ends_day = (hour + 1).rem_euclid(DAY_HOURS) == 0;
        let fallen = ends_day.then(|| {
            let day = hour.div_euclid(DAY_HOURS);
            let falls = self.coverage.kinds(day).map(|kind| (kind, self.coverage.falls(day, kind)));
            falls.filter(|(_, falls)| !falls.is_empty()).collect()
        });
        Verdicts { hour, doubled, fallen }
    }
}

impl Engine {
    /// Counts an event for its account, and how long it took.
    pub(super) fn weigh(
        &mut self,
        event: &Event,
        kind: usize,
        (key, enqueued, clock): (&PartitionKey, ArrivalTime, Option<ArrivalTime>),
        effects: &mut Effects,
    ) {
        let Some(kind) = DECODERS.get(kind).map(|decoder| decoder.name) else { return };
        // When we ask is our own choice, and says nothing about how long records take.
        if !key.is_polled() {
            let (hub, delays) = (key.hub.as_str(), &mut effects.honesty.delays);
            if let Some(end) = end_of(event) {
                delays.add(hub, enqueued, (kind, Leg::ToHub), enqueued.0.saturating_sub(end));
            }
            if let Some(clock) = clock {
                delays.add(hub, enqueued, (kind, Leg::ToUs), clock.0.saturating_sub(enqueued.0));
            }
        }
        let (resource, point) = match event {
            Event::Row(row) => (row.account.as_str(), None),
            Event::Metric(metric) => match metrics::read(metric, enqueued) {
                Reading::Point(key, point) => (metric.resource.as_str(), Some((key, point))),
                Reading::OtherSignal => return,
                Reading::Unbelievable => {
                    *effects.counters.entry("unbelievable_metric_points").or_default() += 1;
                    return;
                }
            },
            Event::KeyRead(read) => (read.resource.as_str(), None),
            Event::Opaque(opaque) => (opaque.resource.as_str(), None),
            // Told by others about an account: it may send nothing itself.
            Event::Gateway(_)
            | Event::Meter(_)
            | Event::Control(_)
            | Event::Alert(_)
            | Event::Posture(_)
            | Event::Endpoint(_)
            | Event::Search(_)
            | Event::Inventory(_) => return,
        };
        let is_row = matches!(event, Event::Row(_));
        let resource = if is_row { Some(resource) } else { account_of(resource) };
        let Some(resource) = resource else { return };
        let Some(account) = self.number_of(resource, effects) else { return };
        let sent = Sent { seen: Seen::of(event), first: enqueued, last: enqueued };
        let known = effects.honesty.sent.entry((account, kind));
        known.and_modify(|known| *known = known.merged(sent)).or_insert(sent);
        let Some((key, point)) = point else { return };
        match self.series_of(event, resource) {
            Some(deployment) => {
                let key = PointKey { deployment, ..key };
                self.honesty.sides.meter(account, &key, point.value, point.enqueued);
                effects.honesty.points.entry(account).or_default().add(key, point);
            }
            None => *effects.counters.entry("points_of_too_many_deployments").or_default() += 1,
        }
    }

    /// The number of the deployment that a point is of, 0 for the whole account; `None` beyond the
    /// limit, where those of several deployments would take each other's place.
    fn series_of(&mut self, event: &Event, resource: &str) -> Option<u32> {
        let Event::Metric(metric) = event else { return Some(names::NONE) };
        let account = self.accounts.get_mut(resource)?;
        let number = account.names.number(NameKind::Deployment, &metric.deployment);
        (number != names::OTHER).then_some(number)
    }

    /// The number of an account, which is made room for on first sight; `None` beyond the limit.
    pub(super) fn number_of(&mut self, resource: &str, effects: &mut Effects) -> Option<u32> {
        if let Some(account) = self.accounts.get(resource) {
            return Some(account.id);
        }
        self.admit(resource, &[], effects);
        self.accounts.get(resource).map(|account| account.id)
    }

    /// Takes what the step counted and judges the hours that every hub has been read beyond.
    pub(super) fn close_hours(&mut self, effects: &mut Effects) {
        self.honesty.coverage.merge(&effects.coverage);
        for (account, saved) in &effects.accounts {
            self.honesty.sides.log_all(*account, &saved.logged);
            for (hour, kind, told) in saved.repeats.iter() {
                let known = self.honesty.repeats.entry((hour, *account, kind)).or_default();
                *known = known.plus(told);
            }
        }
        let slowest = self.hubs.values().map(|hub| hub.waited_for).min();
        let Some(slowest) = slowest.filter(|slowest| slowest.0 > i64::MIN) else { return };
        let hour = slowest.0.div_euclid(HOUR_MS);
        if self.honesty.closed_hour.is_some_and(|closed| closed >= hour) {
            return;
        }
        effects.honesty.closed_hour = Some(hour);
        let verdicts = self.honesty.close(hour);
        for verdict in &verdicts {
            let accounts = &self.accounts;
            let resource_of = |number: u32| {
                let found = accounts.values().find(|account| account.id == number);
                found.map(|account| account.resource.clone())
            };
            let changes = self.estate.hear(verdict, &resource_of);
            effects.take(changes);
            self.compare_sides(verdict.hour, effects);
        }
    }
}

/// When what a record tells of was over; `None` when it does not say.
fn end_of(event: &Event) -> Option<i64> {
    let span_ms = match event {
        Event::Metric(metric) => metric.grain_ms.unwrap_or(MINUTE_MS),
        Event::Row(_)
        | Event::Gateway(_)
        | Event::Meter(_)
        | Event::Control(_)
        | Event::KeyRead(_)
        | Event::Alert(_)
        | Event::Posture(_)
        | Event::Endpoint(_)
        | Event::Search(_)
        | Event::Inventory(_)
        | Event::Opaque(_) => 0,
    };
    event.at().map(|at| at.0.saturating_add(span_ms))
}
