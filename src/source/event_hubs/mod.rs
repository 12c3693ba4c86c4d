//! Event hubs: every partition of every hub, read by our own loop from the database's positions.
//!
//! One client per partition, because the SDK's recovery of one clears its siblings and re-attaches
//! at the original position. Every wait has an end, sequence numbers are checked by the engine, and
//! a probe notices a partition that has gone quiet although it holds unread events.

mod answer;
mod clock;
mod connect;
mod partition;
mod send;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use azure_core_amqp::AmqpTransport;
use secrecy::{ExposeSecret as _, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Source, SourceError};
use crate::event::{Arrival, Batch, PartitionKey, Position, Trouble, TroubleKind};
use crate::time::ArrivalTime;
use clock::HubClock;
pub use connect::{Auth, ConnectError};
use partition::Reader;
pub use send::send;

/// Events per batch.
const BATCH_EVENTS: usize = 5_000;
/// Bytes read but not yet applied, over all partitions, in KiB.
const MAX_UNAPPLIED_KIB: u32 = 64 * 1024;
/// How often a hub is asked for new partitions.
const MEMBERS_EVERY: Duration = Duration::from_secs(30);

/// One hub to read.
#[derive(Debug, Clone)]
pub struct HubSettings {
    /// What it is called in the configuration and the database.
    pub name: String,
    /// `NAME.servicebus.windows.net`; unused with a connection string.
    pub namespace: String,
    /// The event hub.
    pub hub: String,
    /// Consumer group, ours alone.
    pub consumer_group: String,
    /// How to prove who we are.
    pub auth: Auth,
    /// Another address for the same protocol: an emulator, or a way around.
    pub custom_endpoint: Option<String>,
    /// How AMQP is carried.
    pub transport: Transport,
    /// Where a partition begins that was never read.
    pub start: Start,
    /// Events in flight per partition; each may have 1 MiB.
    pub prefetch: u32,
}

/// How AMQP is carried to the hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Transport {
    /// On TCP: port 5671.
    #[default]
    Amqp,
    /// In a WebSocket: port 443, always with TLS.
    WebSocket,
}

impl Transport {
    /// The client's word for it.
    const fn of_client(self) -> AmqpTransport {
        match self {
            Self::Amqp => AmqpTransport::Tcp,
            Self::WebSocket => AmqpTransport::WebSocket,
        }
    }
}

/// Where a partition begins that was never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// With everything the hub still holds.
    Earliest,
    /// With what comes from now on.
    Latest,
}

/// How fast things happen; only the demo and tests differ from the default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// How many times faster than ours the hub's clock runs.
    pub time_scale: f64,
    /// A batch is handed over after this long.
    pub flush: Duration,
    /// Silence after which a partition is asked what it holds.
    pub probe: Duration,
    /// Longest wait for any answer of the hub.
    pub answer: Duration,
    /// First and longest pause before a new attempt to connect.
    pub backoff: (Duration, Duration),
    /// Shortest pause when the hub is busy or another reader has the partition.
    pub busy: Duration,
    /// A refusal that lasts this long is told; silence of the whole hub, after five times as long.
    pub trouble: Duration,
    /// A partition neither read nor idle for this long is stalled.
    pub stalled: Duration,
}

impl HubSettings {
    /// The first part of the namespace's host in lower case, by which Azure's records name it; `None` where
    /// neither the namespace nor the connection string says it.
    #[must_use]
    pub fn namespace_name(&self) -> Option<String> {
        let host = match &self.auth {
            Auth::ConnectionString(secret) => {
                let text = secret.expose_secret().to_ascii_lowercase();
                let (_, host) = text.split_once("endpoint=sb://")?;
                host.split(['/', ';', ':']).next()?.to_owned()
            }
            Auth::Entra(_) => self.namespace.to_ascii_lowercase(),
        };
        let name = host.split('.').next().filter(|name| !name.is_empty())?;
        Some(name.to_owned())
    }
}

impl HubSettings {
    /// The hub's name, unless the connection string says it.
    fn unless_named_by(&self, secret: &SecretString) -> Option<&str> {
        let is_named = secret.expose_secret().to_ascii_lowercase().contains("entitypath=");
        (!is_named).then_some(self.hub.as_str())
    }
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            time_scale: 1.0,
            flush: Duration::from_secs(1),
            probe: Duration::from_secs(10),
            answer: Duration::from_secs(15),
            backoff: (Duration::from_millis(200), Duration::from_secs(30)),
            // The service asks for at least this much after `server-busy`.
            busy: Duration::from_secs(4),
            trouble: Duration::from_mins(1),
            stalled: Duration::from_mins(15),
        }
    }
}

/// What the readers tell.
enum Told {
    Members(Vec<PartitionKey>),
    Event(Arrival, OwnedSemaphorePermit),
    Idle(PartitionKey, ArrivalTime),
    Stalled(PartitionKey),
    Trouble(Trouble),
    Hopeless(SourceError),
}

/// What every reader of a hub shares.
struct Shared {
    settings: HubSettings,
    pace: Pace,
    /// Owner level of the receivers: the epoch of our database.
    epoch: i64,
    known: HashMap<PartitionKey, Position>,
    clock: HubClock,
    tell: mpsc::Sender<Told>,
    room: Arc<Semaphore>,
    stop: CancellationToken,
}

/// Reads hubs until dropped or closed.
pub struct EventHubs {
    told: mpsc::Receiver<Told>,
    pending: Batch,
    permits: Vec<OwnedSemaphorePermit>,
    due: Option<Instant>,
    flush: Duration,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl EventHubs {
    /// Starts reading `hubs` at the positions `known`, as the owner with number `epoch`. Returns at once; errors arrive with the batches.
    #[must_use]
    pub fn start(
        hubs: Vec<HubSettings>,
        known: &HashMap<PartitionKey, Position>,
        epoch: i64,
        pace: Pace,
    ) -> Self {
        let (tell, told) = mpsc::channel(1024);
        let room = Arc::new(Semaphore::new(MAX_UNAPPLIED_KIB as usize));
        let stop = CancellationToken::new();
        let tasks = TaskTracker::new();
        // What we ask for ourselves is of another source.
        let ours =
            |key: &&PartitionKey| key.is_polled() || hubs.iter().any(|hub| hub.name == key.hub);
        let gone = known.keys().filter(|key| !ours(key)).cloned().collect();
        for settings in hubs {
            let shared = Arc::new(Shared {
                known: known
                    .iter()
                    .filter(|(key, _)| key.hub == settings.name)
                    .map(|(key, position)| (key.clone(), *position))
                    .collect(),
                settings,
                pace,
                epoch,
                clock: HubClock::new(pace.time_scale),
                tell: tell.clone(),
                room: Arc::clone(&room),
                stop: stop.clone(),
            });
            tasks.spawn(keep_members(shared, tasks.clone()));
        }
        Self {
            told,
            pending: Batch { gone, ..Batch::default() },
            permits: Vec::new(),
            due: None,
            flush: pace.flush,
            stop,
            tasks,
        }
    }

    /// Ends all readers and closes their links; waits at most two seconds for the hub's answers.
    pub async fn close(mut self) {
        self.stop.cancel();
        self.told.close();
        self.tasks.close();
        if tokio::time::timeout(Duration::from_secs(2), self.tasks.wait()).await.is_err() {
            tracing::debug!("some links were not closed in time; the hub notices by itself");
        }
    }

    fn take(&mut self) -> Batch {
        self.due = None;
        self.permits.clear();
        std::mem::take(&mut self.pending)
    }

    fn note(&mut self, told: Told) -> Result<(), SourceError> {
        match told {
            Told::Members(members) => self.pending.members.extend(members),
            Told::Event(arrival, permit) => {
                self.pending.arrivals.push(arrival);
                self.permits.push(permit);
            }
            Told::Idle(key, until) => self.pending.idle.push((key, until)),
            Told::Stalled(key) => self.pending.stalled.push(key),
            Told::Trouble(trouble) => self.pending.troubles.push(trouble),
            Told::Hopeless(error) => return Err(error),
        }
        Ok(())
    }
}

impl Source for EventHubs {
    async fn next_batch(&mut self) -> Result<Option<Batch>, SourceError> {
        let flush = self.flush;
        let due = *self.due.get_or_insert_with(|| Instant::now() + flush);
        while self.pending.arrivals.len() < BATCH_EVENTS {
            // Cancel safe: what was received is in `pending` before the next wait.
            match tokio::time::timeout_at(due, self.told.recv()).await {
                Ok(Some(told)) => self.note(told)?,
                Ok(None) => return Ok(None),
                Err(_) => break,
            }
        }
        Ok(Some(self.take()))
    }
}

/// Learns which partitions a hub has, now and whenever it gets more, and reads each.
async fn keep_members(shared: Arc<Shared>, tasks: TaskTracker) {
    let mut reading: Vec<String> = Vec::new();
    let mut pauses = Pauses::new(&shared.pace);
    let mut silent_since = None;
    loop {
        let wait = match connect::partition_ids(&shared).await {
            Ok(ids) => {
                (pauses, silent_since) = (Pauses::new(&shared.pace), None);
                let new: Vec<String> = ids.into_iter().filter(|id| !reading.contains(id)).collect();
                let readers: Vec<Reader> =
                    new.iter().map(|id| Reader::new(Arc::clone(&shared), id)).collect();
                let members = readers.iter().map(|reader| reader.key().clone()).collect();
                if !new.is_empty() && shared.tell.send(Told::Members(members)).await.is_err() {
                    return;
                }
                for reader in readers {
                    tasks.spawn(reader.run());
                }
                reading.extend(new);
                MEMBERS_EVERY.min(shared.pace.probe * 6)
            }
            Err(error) if error.is_hopeless() => {
                let hub = shared.settings.name.clone();
                let hopeless = SourceError::Hub { hub, reason: error.to_string() };
                drop(shared.tell.send(Told::Hopeless(hopeless)).await);
                return;
            }
            Err(error) => {
                tracing::warn!(hub = shared.settings.name, %error, "cannot ask the hub");
                let since = *silent_since.get_or_insert_with(Instant::now);
                if shared.tell_trouble(None, &error, since).await.is_err() {
                    return;
                }
                pauses.after(&error)
            }
        };
        tokio::select! {
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(wait) => {}
        }
    }
}

impl Shared {
    /// Waits for an answer of the hub, but not for ever.
    async fn answered<T>(
        &self,
        what: &'static str,
        question: impl Future<Output = T>,
    ) -> Result<T, ConnectError> {
        let within = self.pace.answer;
        let answer = tokio::time::timeout(within, question).await;
        answer.map_err(|_| ConnectError::TimedOut { what, within })
    }

    /// Tells what has kept us from reading since `since`, once that is long enough.
    async fn tell_trouble(
        &self,
        partition: Option<&str>,
        error: &ConnectError,
        since: Instant,
    ) -> Result<(), Closed> {
        let patience = match error.kind() {
            TroubleKind::Refused | TroubleKind::Taken => self.pace.trouble,
            TroubleKind::Unreachable => self.pace.trouble * 5,
        };
        if since.elapsed() < patience {
            return Ok(());
        }
        let trouble = Trouble {
            hub: self.settings.name.clone(),
            partition: partition.map(str::to_owned),
            kind: error.kind(),
            reason: error.to_string(),
        };
        self.tell.send(Told::Trouble(trouble)).await.map_err(|_| Closed)
    }
}

/// Nobody listens any more.
#[derive(Debug)]
struct Closed;

/// Pauses between attempts: they double while nothing comes of it.
struct Pauses {
    pace: Pace,
    next: Duration,
}

impl Pauses {
    const fn new(pace: &Pace) -> Self {
        Self { pace: *pace, next: pace.backoff.0 }
    }

    /// The pause after `error`: half of it is certain, half of it chance, so that many readers do
    /// not come back together.
    fn after(&mut self, error: &ConnectError) -> Duration {
        let patient = matches!(error, ConnectError::Busy { .. } | ConnectError::Taken { .. });
        let least = if patient { self.pace.busy } else { Duration::ZERO };
        let pause = self.next.max(least * 2);
        self.next = (pause * 2).min(self.pace.backoff.1.max(least * 2));
        pause.mul_f64(0.5 + fastrand::f64() / 2.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_limit_and_are_long_when_the_hub_is_busy() {
        let pace = Pace::default();
        let mut pauses = Pauses::new(&pace);
        let passing = ConnectError::Passing("cut".to_owned());
        let (mut first, mut last) = (Duration::ZERO, Duration::ZERO);
        for attempt in 0..20 {
            last = pauses.after(&passing);
            first = if attempt == 0 { last } else { first };
        }
        assert!((pace.backoff.0 / 2..=pace.backoff.0).contains(&first), "{first:?}");
        assert!((pace.backoff.1 / 2..=pace.backoff.1).contains(&last), "{last:?}");
        for error in [
            ConnectError::Busy { reason: "later".to_owned() },
            ConnectError::Taken { reason: "by another".to_owned() },
        ] {
            let pause = Pauses::new(&pace).after(&error);
            assert!((pace.busy..=pace.busy * 2).contains(&pause), "{pause:?}");
        }
    }
}
