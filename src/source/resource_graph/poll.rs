//! Reads what there is again and again.
//!
//! At the start, every day, and soon after somebody wrote to an AI account. Each subscription is a log of its own, with a position; what cannot be read is asked for again,
//! and stops nothing else.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc};
use tokio::time::{Instant, sleep_until, timeout_at};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{InventorySettings, Reader, client};
use crate::azure::{Clock, Pace, Pauses, RestError};
use crate::event::{Arrival, Batch, PartitionKey, Position, Trouble, TroubleKind};
use crate::posture::inventory::{Cause, Part, Subscription, Unread};
use crate::posture::snapshot;
use crate::time::{ArrivalTime, EventTime};

/// Parts told and not yet taken, each a quarter of a MiB at most.
const MAX_WAITING: usize = 16;

/// How often is read; only tests differ from the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// From the beginning of one poll to that of the next.
    pub every: Duration,
    /// A poll follows a write after this long: until then Resource Manager may answer with what was, and more
    /// may be written.
    pub after_write: Duration,
    /// Polls because of writes begin this far apart at least.
    pub apart: Duration,
}

impl Rhythm {
    /// Every so often, and two minutes after a write, but not more often than every quarter of an hour.
    #[must_use]
    pub const fn every(every: Duration) -> Self {
        let (after_write, apart) = (Duration::from_mins(2), Duration::from_mins(15));
        Self { every, after_write, apart }
    }
}

/// Tells pollers that something was written.
#[derive(Debug, Clone, Default)]
pub struct Nudge(Arc<HashMap<String, Arc<Notify>>>);

impl Nudge {
    /// Somebody wrote to AI accounts of these subscriptions.
    pub fn touched(&self, subscriptions: &BTreeSet<String>) {
        for notify in subscriptions.iter().filter_map(|id| self.0.get(id)) {
            notify.notify_one();
        }
    }
}

/// What the pollers tell.
enum Told {
    Members(PartitionKey),
    Part(Arrival),
    Trouble(Trouble),
}

/// Reads the inventory until dropped or closed.
pub struct ResourceGraph {
    told: mpsc::Receiver<Told>,
    gone: Vec<PartitionKey>,
    nudge: Nudge,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl ResourceGraph {
    /// Starts reading at the positions `known`; without settings there is nothing to read. Returns at once,
    /// errors arrive with the batches.
    #[must_use]
    pub fn start(
        settings: Option<(InventorySettings, Rhythm)>,
        known: &HashMap<PartitionKey, Position>,
        pace: Pace,
        clock: &Clock,
    ) -> Self {
        let (tell, told) = mpsc::channel(MAX_WAITING);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut gone: Vec<_> = known.keys().filter(|key| key.is_inventory()).cloned().collect();
        let mut nudges = HashMap::new();
        if let Some((settings, rhythm)) = settings {
            for id in settings.subscriptions.iter().map(|id| id.to_ascii_lowercase()) {
                let key = PartitionKey::inventory(&id);
                gone.retain(|other| *other != key);
                let written = Arc::new(Notify::new());
                nudges.insert(id.clone(), Arc::clone(&written));
                let next = known.get(&key).and_then(|position| position.next).unwrap_or(0);
                let clock = Arc::clone(clock);
                let poller = Poller {
                    settings: settings.clone(),
                    rhythm,
                    pace,
                    clock,
                    id,
                    key,
                    next,
                    written,
                    tell: tell.clone(),
                    failing_since: None,
                };
                let stop = stop.clone();
                tasks.spawn(async move { stop.run_until_cancelled(poller.run()).await });
            }
        }
        gone.sort();
        Self { told, gone, nudge: Nudge(Arc::new(nudges)), stop, tasks }
    }

    /// What tells that something was written.
    #[must_use]
    pub fn nudge(&self) -> Nudge {
        self.nudge.clone()
    }

    /// Adds what has been told to `batch`, without waiting.
    pub fn ready(&mut self, batch: &mut Batch) {
        batch.gone.append(&mut self.gone);
        while let Ok(told) = self.told.try_recv() {
            match told {
                Told::Members(key) => batch.members.push(key),
                Told::Part(arrival) => batch.arrivals.push(arrival),
                Told::Trouble(trouble) => batch.troubles.push(trouble),
            }
        }
    }

    /// Ends all pollers.
    pub async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

/// Reads one subscription until stopped.
struct Poller {
    settings: InventorySettings,
    rhythm: Rhythm,
    pace: Pace,
    clock: Clock,
    /// Subscription.
    id: String,
    key: PartitionKey,
    /// Number of the next part.
    next: i64,
    written: Arc<Notify>,
    tell: mpsc::Sender<Told>,
    failing_since: Option<Instant>,
}

/// Nobody listens any more.
struct Closed;

impl Poller {
    async fn run(mut self) {
        if self.say(Told::Members(self.key.clone())).await.is_err() {
            return;
        }
        let mut pauses = Pauses::new(&self.pace);
        loop {
            let began = Instant::now();
            let read = self.read().await;
            let next = match read {
                Ok(()) => {
                    pauses = Pauses::new(&self.pace);
                    self.failing_since = None;
                    began + self.rhythm.every
                }
                Err(Failed::Closed) => return,
                Err(Failed::Unread { kind, reason }) => {
                    let pause = pauses.after(&RestError::Passing(reason.clone()));
                    let retry_ms = pause.as_millis();
                    tracing::warn!(
                        subscription = self.id,
                        retry_ms,
                        reason,
                        "cannot read the inventory"
                    );
                    if self.say_trouble(kind, reason).await.is_err() {
                        return;
                    }
                    Instant::now() + pause
                }
            };
            self.wait(began, next).await;
        }
    }

    /// Waits for the next poll, or until one is due because something was written.
    async fn wait(&self, began: Instant, next: Instant) {
        if timeout_at(next, self.written.notified()).await.is_ok() {
            let due = (Instant::now() + self.rhythm.after_write).max(began + self.rhythm.apart);
            sleep_until(due.min(next)).await;
        }
    }

    async fn read(&mut self) -> Result<(), Failed> {
        let at = EventTime((self.clock)().div_euclid(1_000) * 1_000);
        let client = client(&self.settings, self.pace, &self.clock);
        let client = client
            .map_err(|error| Failed::Unread { kind: error.kind(), reason: error.to_string() })?;
        let read = Reader::new(client, self.settings.bounds, self.pace, &|_, _| {});
        let subscription = Box::pin(read.subscription(&self.id)).await;
        let (parts, left_out) = snapshot::parts(&self.id, &subscription, at);
        let lacks = subscription.lacks();
        tracing::info!(subscription = self.id, parts = parts.len(), lacks, "inventory read");
        if left_out > 0 {
            tracing::error!(subscription = self.id, left_out, "the inventory is too large");
        }
        if let Some(refusal) = refusal(&subscription) {
            return Err(refusal);
        }
        for part in parts {
            let Some(body) = part.body() else { continue };
            let arrival = Arrival {
                partition: self.key.clone(),
                sequence: self.next,
                enqueued: ArrivalTime((self.clock)()),
                body,
            };
            self.say(Told::Part(arrival)).await?;
            self.next += 1;
        }
        Ok(())
    }

    async fn say(&self, told: Told) -> Result<(), Closed> {
        self.tell.send(told).await.map_err(|_| Closed)
    }

    /// Says that we cannot read, once that goes on for too long.
    async fn say_trouble(&mut self, kind: TroubleKind, reason: String) -> Result<(), Closed> {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        let patience = match kind {
            TroubleKind::Refused | TroubleKind::Taken => self.pace.trouble,
            TroubleKind::Unreachable => self.pace.trouble * 5,
        };
        if since.elapsed() < patience {
            return Ok(());
        }
        let (hub, partition) = (self.key.hub.clone(), Some(self.key.partition.clone()));
        self.say(Told::Trouble(Trouble { hub, partition, kind, reason })).await
    }
}

/// Why a poll was none.
enum Failed {
    Closed,
    Unread { kind: TroubleKind, reason: String },
}

impl From<Closed> for Failed {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

/// Why the accounts could not be read, without which the rest says little.
fn refusal(subscription: &Subscription) -> Option<Failed> {
    let Part::Unread(Unread { cause, reason, mend, .. }) = &subscription.accounts else {
        return None;
    };
    let kind = match cause {
        Cause::Forbidden | Cause::Gone => TroubleKind::Refused,
        Cause::Failed => TroubleKind::Unreachable,
    };
    let mend = if mend.is_empty() { String::new() } else { format!("; {mend}") };
    Some(Failed::Unread { kind, reason: format!("AI accounts: {reason}{mend}") })
}
