//! What the emulator holds and does at a moment, for people and programs outside.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fe2o3_amqp_types::messaging::Body;
use jiff::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use super::action::{Action, Lasts, Place};
use super::broker::{Broker, Hub};
use super::partition::{Partition, StoredEvent};

/// Most bytes of bodies in one answer, after the first event.
const MAX_BODY_BYTES: usize = 4 * 1024 * 1024;

/// Everything but the events. Times are by the emulator's clock, RFC 3339 in UTC.
#[derive(Debug, Serialize)]
pub(super) struct State {
    clock: String,
    clock_ms: i64,
    connections: usize,
    /// Reader links attached since the start, refused ones included.
    attaches: u64,
    /// Scripts that have steps to come.
    scripts: usize,
    faults: Vec<InForce>,
    hubs: Vec<HubState>,
}

#[derive(Debug, Serialize)]
struct InForce {
    fault: String,
    /// `null` when it stands until it is ended.
    remaining_ms: Option<u64>,
}

#[derive(Debug, Serialize)]
struct HubState {
    name: String,
    created: String,
    partitions: Vec<PartitionState>,
}

#[derive(Debug, Serialize)]
struct PartitionState {
    id: String,
    first_sequence: i64,
    next_sequence: i64,
    events: usize,
    /// `null` before the first event.
    last_enqueued: Option<String>,
    max_age_ms: Option<u64>,
    readers: Vec<ReaderState>,
}

#[derive(Debug, Serialize)]
struct ReaderState {
    consumer_group: String,
    epoch: Option<i64>,
}

/// A part of what a partition retains.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    first_sequence: i64,
    next_sequence: i64,
    events: Vec<Event>,
}

#[derive(Debug, Serialize)]
struct Event {
    sequence: i64,
    offset: String,
    enqueued: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// A body of UTF-8; all other bodies of bytes are in base64, and other bodies left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
}

impl State {
    pub(super) fn of(broker: &Broker) -> Self {
        let clock_ms = broker.clock.now_ms();
        Self {
            clock: moment(clock_ms),
            clock_ms,
            connections: broker.connections.count(),
            attaches: broker.attaches.load(Ordering::Relaxed),
            scripts: broker.scripts.count(),
            faults: in_force(broker),
            hubs: broker.hubs().map(|hub| HubState::of(hub)).collect(),
        }
    }
}

impl HubState {
    fn of(hub: &Hub) -> Self {
        let partitions = hub.partitions();
        Self {
            name: hub.name.clone(),
            created: moment(hub.created_ms()),
            partitions: (0..).zip(&partitions).map(|(id, p)| PartitionState::of(id, p)).collect(),
        }
    }
}

impl PartitionState {
    fn of(id: u32, partition: &Partition) -> Self {
        let state = partition.state();
        let readers = partition.readers().into_iter();
        Self {
            id: id.to_string(),
            first_sequence: state.begin_sequence,
            next_sequence: partition.next_sequence(),
            events: state.events,
            last_enqueued: (state.last_sequence >= 0).then(|| moment(state.last_enqueued_ms)),
            max_age_ms: partition.max_age().map(ms),
            readers: readers
                .map(|(consumer_group, epoch)| ReaderState { consumer_group, epoch })
                .collect(),
        }
    }
}

impl Page {
    /// At most `limit` events from sequence number `from` on, and fewer when they are large.
    pub(super) fn of(partition: &Partition, from: i64, limit: usize) -> Self {
        let mut bytes = 0_usize;
        let mut events = Vec::new();
        for event in partition.read(from, limit) {
            let event = Event::of(&event);
            let size = |body: &Option<String>| body.as_ref().map_or(0, String::len);
            bytes = bytes.saturating_add(size(&event.text)).saturating_add(size(&event.base64));
            if bytes > MAX_BODY_BYTES && !events.is_empty() {
                break;
            }
            events.push(event);
        }
        Self {
            first_sequence: partition.state().begin_sequence,
            next_sequence: partition.next_sequence(),
            events,
        }
    }
}

impl Event {
    fn of(event: &Arc<StoredEvent>) -> Self {
        let (text, base64) = match &event.content.body {
            Body::Data(sections) => {
                let bytes: Vec<u8> = sections.iter().flat_map(|s| s.0.iter().copied()).collect();
                match String::from_utf8(bytes) {
                    Ok(text) => (Some(text), None),
                    Err(error) => (None, Some(STANDARD.encode(error.as_bytes()))),
                }
            }
            Body::Value(_) | Body::Sequence(_) | Body::Empty => (None, None),
        };
        Self {
            sequence: event.sequence,
            offset: event.offset.to_string(),
            enqueued: moment(event.enqueued_ms),
            key: event.content.partition_key.clone(),
            text,
            base64,
        }
    }
}

/// What stands, as the actions that would make it stand until it is ended.
fn in_force(broker: &Broker) -> Vec<InForce> {
    let faults = &broker.faults;
    let lasts = Lasts::UntilEnded;
    let mut found: Vec<(Action, Option<Duration>)> = Vec::new();
    let mut add = |action: Action, remaining| found.push((action, remaining));
    if let Some((_, remaining)) = faults.refuse.remaining() {
        add(Action::Refuse { lasts }, remaining);
    }
    if let Some((half_open, remaining)) = faults.half_open.remaining() {
        add(Action::HalfOpen { reach: half_open.reach, lasts }, remaining);
    }
    if let Some((_, remaining)) = faults.busy.remaining() {
        add(Action::ServerBusy { lasts }, remaining);
    }
    if let Some((_, remaining)) = faults.unauthorized.remaining() {
        add(Action::Unauthorized { lasts }, remaining);
    }
    if let Some((_, remaining)) = faults.enforce_tokens.remaining() {
        add(Action::EnforceTokens { lasts }, remaining);
    }
    let tokens_end =
        broker.expiry.borrow().at.and_then(|at| at.checked_duration_since(Instant::now()));
    if let Some(after) = tokens_end.filter(|after| !after.is_zero()) {
        add(Action::ExpireTokens { after: Duration::ZERO }, Some(after));
    }
    for hub in broker.hubs() {
        for (number, partition) in (0..).zip(hub.partitions()) {
            let at = Place::Partition(hub.name.clone(), number);
            if let Some((_, remaining)) = partition.freeze.remaining() {
                add(Action::Freeze { at: at.clone(), lasts }, remaining);
            }
            if let Some((events_per_s, remaining)) = partition.slow.remaining() {
                add(Action::Slow { at, events_per_s, lasts }, remaining);
            }
        }
    }
    found
        .into_iter()
        .map(|(action, remaining)| InForce {
            fault: action.to_string(),
            remaining_ms: remaining.map(ms),
        })
        .collect()
}

fn moment(at_ms: i64) -> String {
    let clamped = at_ms.clamp(Timestamp::MIN.as_millisecond(), Timestamp::MAX.as_millisecond());
    Timestamp::from_millisecond(clamped).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

fn ms(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
