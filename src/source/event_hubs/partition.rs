//! One partition: attach at our position, read, notice silence, begin again after any error.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use azure_core_amqp::message::AmqpMessageBody;
use azure_messaging_eventhubs::models::ReceivedEventData;
use azure_messaging_eventhubs::{
    ConsumerClient, EventReceiver, OpenReceiverOptions, StartLocation, StartPosition,
};
use futures_util::StreamExt as _;
use tokio::time::{Instant, timeout};

use super::connect::{self, ConnectError};
use super::{Closed, Pauses, Shared, Start, Told};
use crate::event::{Arrival, PartitionKey, Position, TroubleKind};
use crate::failpoint;
use crate::time::ArrivalTime;

/// Reads one partition until told to stop.
pub(super) struct Reader {
    shared: Arc<Shared>,
    key: PartitionKey,
    /// First sequence number not yet handed over; `None` before the first event.
    next: Option<i64>,
    /// Newest time at which the hub we read was seen alive.
    passed: ArrivalTime,
    /// Last time the partition was read or found idle.
    alive: Instant,
    stall_told: bool,
    /// Where to begin without a position.
    start: Start,
    /// First failure of a series; one ends when an attachment holds for `Pace::trouble`.
    failing_since: Option<Instant>,
}

/// Why one attachment ended.
enum Ended {
    /// We were told to stop, or nobody listens.
    Stopped,
    /// Begin again after a pause.
    Broken(ConnectError),
    /// The hub's sequence numbers began again.
    Recreated,
}

/// What a partition says of itself.
struct Held {
    begin: i64,
    last: i64,
    empty: bool,
}

impl Reader {
    /// A reader at the position the database has, in the newest incarnation it knows.
    pub(super) fn new(shared: Arc<Shared>, id: &str) -> Self {
        let of_partition = |key: &&PartitionKey| key.partition == id;
        let newest = shared.known.keys().map(|key| key.incarnation).max().unwrap_or(0);
        let known = shared.known.keys().filter(of_partition).max_by_key(|key| key.incarnation);
        let key = known.cloned().unwrap_or_else(|| PartitionKey {
            hub: shared.settings.name.clone(),
            incarnation: newest,
            partition: id.to_owned(),
        });
        let Position { next, passed } = shared.known.get(&key).copied().unwrap_or(Position::UNREAD);
        let (alive, start) = (Instant::now(), shared.settings.start);
        Self { shared, key, next, passed, alive, stall_told: false, start, failing_since: None }
    }

    pub(super) const fn key(&self) -> &PartitionKey {
        &self.key
    }

    pub(super) async fn run(mut self) {
        let mut pauses = Pauses::new(&self.shared.pace);
        loop {
            let (before, began) = (self.next, Instant::now());
            let error = match self.attach().await {
                Ended::Stopped => return,
                Ended::Recreated => {
                    self.key.incarnation += 1;
                    (self.next, self.start) = (None, Start::Earliest);
                    if self.tell(Told::Members(vec![self.key.clone()])).await.is_err() {
                        return;
                    }
                    continue;
                }
                Ended::Broken(error) => error,
            };
            let PartitionKey { hub, partition, .. } = &self.key;
            tracing::warn!(hub, partition, %error, "connecting again");
            if self.tell_failure(&error, began).await.is_err() {
                return;
            }
            if self.next != before && error.kind() != TroubleKind::Taken {
                pauses = Pauses::new(&self.shared.pace);
            }
            let pause = tokio::time::sleep(pauses.after(&error));
            if self.shared.stop.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }

    async fn tell(&self, told: Told) -> Result<(), Closed> {
        self.shared.tell.send(told).await.map_err(|_| Closed)
    }

    /// An attachment that began at `began` has failed: says so once that goes on for too long.
    async fn tell_failure(&mut self, error: &ConnectError, began: Instant) -> Result<(), Closed> {
        if began.elapsed() >= self.shared.pace.trouble {
            self.failing_since = None;
        }
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        match error.kind() {
            TroubleKind::Refused | TroubleKind::Taken => {
                self.shared.tell_trouble(Some(&self.key.partition), error, since).await?;
            }
            // Said as a stall, when windows stop to wait; and by the watch over the whole hub.
            TroubleKind::Unreachable => {}
        }
        self.tell_stall().await
    }

    /// Says once that windows should no longer wait for this partition.
    async fn tell_stall(&mut self) -> Result<(), Closed> {
        if !self.stall_told && self.alive.elapsed() > self.shared.pace.stalled {
            self.stall_told = true;
            return self.tell(Told::Stalled(self.key.clone())).await;
        }
        Ok(())
    }

    /// One client from opening to closing.
    async fn attach(&mut self) -> Ended {
        let stop = self.shared.stop.clone();
        let client = match stop.run_until_cancelled(connect::client(&self.shared)).await {
            Some(Ok(client)) => client,
            Some(Err(error)) => return Ended::Broken(error),
            None => return Ended::Stopped,
        };
        failpoint::reached("attach");
        let read = stop.run_until_cancelled(self.read(&client)).await;
        // Also when told to stop: a client that is only dropped goes on refreshing its token.
        connect::close(client).await;
        read.unwrap_or(Ended::Stopped)
    }

    async fn read(&mut self, client: &ConsumerClient) -> Ended {
        let held = match self.ask(client).await {
            Ok(held) => held,
            Err(error) => return Ended::Broken(error),
        };
        let created = match self.created(client).await {
            Ok(created) => created,
            Err(error) => return Ended::Broken(error),
        };
        // Younger than what we have read of it, or shorter: another hub of the same name.
        if self.next.is_some_and(|next| held.last < next - 1 || created > self.passed) {
            return Ended::Recreated;
        }
        let position = self.position(&held);
        let options = OpenReceiverOptions {
            owner_level: Some(self.shared.epoch),
            prefetch: Some(self.shared.settings.prefetch),
            start_position: Some(position),
            ..OpenReceiverOptions::default()
        };
        let opening = client.open_receiver_on_partition(self.key.partition.clone(), Some(options));
        let receiver = match self.shared.answered("attach", opening).await {
            Ok(Ok(receiver)) => receiver,
            Ok(Err(error)) => return Ended::Broken(ConnectError::of(&error)),
            Err(error) => return Ended::Broken(error),
        };
        let ended = self.follow(client, &receiver).await;
        // Dropping a receiver does not detach it; the next attachment must find the link free.
        if timeout(Duration::from_secs(1), receiver.close()).await.is_err() {
            tracing::trace!(partition = self.key.partition, "receiver did not close in time");
        }
        ended
    }

    /// Where to attach; `Latest` is made a number first, because the client would lose what comes
    /// between a broken link and the next.
    fn position(&mut self, held: &Held) -> StartPosition {
        if self.next.is_none() && self.start == Start::Latest && !held.empty {
            self.next = Some(held.last + 1);
        }
        // A position older than what is held would be refused by some services: begin at the
        // oldest, and let the engine see the gap.
        let from = self.next.map(|next| next.max(held.begin));
        match from {
            Some(from) if from > 0 && !held.empty => StartPosition {
                location: StartLocation::SequenceNumber(from - 1),
                inclusive: false,
            },
            Some(_) | None => StartPosition { location: StartLocation::Earliest, inclusive: false },
        }
    }

    async fn follow(&mut self, client: &ConsumerClient, receiver: &EventReceiver) -> Ended {
        let mut events = receiver.stream_events();
        let mut unanswered = 0;
        loop {
            match timeout(self.shared.pace.probe, events.next()).await {
                Ok(Some(Ok(event))) => {
                    unanswered = 0;
                    if self.hand_over(&event).await.is_err() {
                        return Ended::Stopped;
                    }
                }
                Ok(Some(Err(error))) => return Ended::Broken(ConnectError::of(&error)),
                Ok(None) => {
                    return Ended::Broken(ConnectError::Passing("the link has ended".to_owned()));
                }
                Err(_) => match self.probe(client).await {
                    Ok(Probed::Idle) => unanswered = 0,
                    Ok(Probed::Behind) if unanswered < 1 => unanswered += 1,
                    Ok(Probed::Behind) => {
                        let reason = "no events although some are unread".to_owned();
                        return Ended::Broken(ConnectError::Passing(reason));
                    }
                    Ok(Probed::Recreated) => return Ended::Recreated,
                    Ok(Probed::Gone) => return Ended::Stopped,
                    Err(error) => return Ended::Broken(error),
                },
            }
        }
    }

    /// Silence: is there nothing, or does nothing come?
    async fn probe(&mut self, client: &ConsumerClient) -> Result<Probed, ConnectError> {
        // Taken before the question, so that whatever the answer does not know is enqueued later.
        let asked_at = self.shared.clock.now();
        let held = self.ask(client).await?;
        let next = self.next.unwrap_or(held.begin);
        if self.next.is_some() && held.last < next - 1 {
            return Ok(Probed::Recreated);
        }
        if !held.empty && held.last >= next {
            return Ok(if self.tell_stall().await.is_err() {
                Probed::Gone
            } else {
                Probed::Behind
            });
        }
        self.alive = Instant::now();
        self.stall_told = false;
        let Some(until) = asked_at else { return Ok(Probed::Idle) };
        Ok(match self.tell(Told::Idle(self.key.clone(), until)).await {
            Ok(()) => Probed::Idle,
            Err(Closed) => Probed::Gone,
        })
    }

    async fn ask(&self, client: &ConsumerClient) -> Result<Held, ConnectError> {
        let asking = client.get_partition_properties(&self.key.partition);
        let asked = self.shared.answered("the partition's properties", asking).await?;
        let held = asked.map_err(|error| ConnectError::of(&error))?;
        if !held.is_empty
            && let Some(at) = held.last_enqueued_time_utc
        {
            self.shared.clock.saw(arrival_of(at));
        }
        Ok(Held {
            begin: held.beginning_sequence_number,
            last: held.last_enqueued_sequence_number,
            empty: held.is_empty,
        })
    }

    /// When the hub was created; long ago where it does not say.
    async fn created(&self, client: &ConsumerClient) -> Result<ArrivalTime, ConnectError> {
        let asking = client.get_eventhub_properties();
        let asked = self.shared.answered("the hub's properties", asking).await?;
        let hub = asked.map_err(|error| ConnectError::of(&error))?;
        Ok(hub.created_on.map_or(ArrivalTime(i64::MIN), arrival_of))
    }

    async fn hand_over(&mut self, event: &ReceivedEventData) -> Result<(), Closed> {
        let Some(sequence) = event.sequence_number() else {
            tracing::warn!(partition = self.key.partition, "event without a sequence number");
            return Ok(());
        };
        if self.next.is_some_and(|next| sequence < next) {
            return Ok(());
        }
        let body = body_of(event);
        let kib = u32::try_from(body.len() / 1024 + 1).unwrap_or(u32::MAX).min(4096);
        let room =
            Arc::clone(&self.shared.room).acquire_many_owned(kib).await.map_err(|_| Closed)?;
        let enqueued = event.enqueued_time().map_or(ArrivalTime(0), arrival_of);
        self.shared.clock.saw(enqueued);
        let arrival = Arrival { partition: self.key.clone(), sequence, enqueued, body };
        self.tell(Told::Event(arrival, room)).await?;
        self.next = Some(sequence + 1);
        self.passed = self.passed.max(enqueued);
        self.alive = Instant::now();
        self.stall_told = false;
        Ok(())
    }
}

/// What silence meant.
enum Probed {
    /// Nothing unread.
    Idle,
    /// Something unread does not come.
    Behind,
    /// The hub began again.
    Recreated,
    /// Nobody listens any more.
    Gone,
}

/// The bytes of an event; a body that is no bytes becomes an empty one, which is quarantined.
fn body_of(event: &ReceivedEventData) -> Vec<u8> {
    match &event.raw_amqp_message().body {
        AmqpMessageBody::Binary(parts) => parts.concat(),
        AmqpMessageBody::Sequence(_) | AmqpMessageBody::Value(_) | AmqpMessageBody::Empty => {
            Vec::new()
        }
    }
}

fn arrival_of(at: SystemTime) -> ArrivalTime {
    let since = at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    ArrivalTime(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
