//! Events out: one task per reader link sends what its partition has from a position on.

use std::collections::VecDeque;
use std::sync::Arc;

use fe2o3_amqp::Sender;
use fe2o3_amqp::link::SendError;
use fe2o3_amqp::link::delivery::Sendable;
use fe2o3_amqp_types::messaging::annotations::OwnedKey;
use fe2o3_amqp_types::messaging::{
    Annotations, Body, DeliveryAnnotations, Message, MessageAnnotations,
};
use fe2o3_amqp_types::primitives::{Timestamp, Value};
use tokio::time::Instant;

use super::partition::{Partition, PartitionState, ReaderLink, StoredEvent};
use super::token::Grant;
use super::{EmulatorClock, server};

/// Events taken from the log at a time; the lock is held for as long as this takes.
const READ_EVENTS: usize = 128;

/// A reader's place in its partition.
pub(super) struct Reader {
    partition: Arc<Partition>,
    link: Arc<ReaderLink>,
    /// Sequence number of the first event given on this link.
    first: Option<i64>,
    /// Sequence number of the first event not yet given.
    next: i64,
    /// Events to be given once more.
    again: VecDeque<Arc<StoredEvent>>,
    /// When an event was last given.
    last: Option<Instant>,
    /// For a reader that wants to be told with every event which one is the last: the clock.
    metric: Option<EmulatorClock>,
}

impl Reader {
    pub(super) const fn new(
        partition: Arc<Partition>,
        link: Arc<ReaderLink>,
        next: i64,
        metric: Option<EmulatorClock>,
    ) -> Self {
        Self { partition, link, first: None, next, again: VecDeque::new(), last: None, metric }
    }

    /// Sends all there is and waits for more; returns when the link fails.
    async fn run(&mut self, sender: &mut Sender) -> Result<(), SendError> {
        let mut changed = self.partition.subscribe();
        loop {
            tokio::select! {
                biased;
                () = self.partition.may_deliver(self.last) => {}
                error = sender.on_detach() => {
                    tracing::debug!(%error, "reader left");
                    return Ok(());
                }
            }
            changed.mark_unchanged();
            self.take_replay();
            if let Some(event) = self.again.pop_front() {
                self.send(sender, &event).await?;
                continue;
            }
            if self.send_next(sender).await? {
                continue;
            }
            tokio::select! {
                _ = changed.changed() => {}
                error = sender.on_detach() => {
                    tracing::debug!(%error, "reader left");
                    return Ok(());
                }
            }
        }
    }

    /// Sends some of what was not yet given; false when there was none.
    async fn send_next(&mut self, sender: &mut Sender) -> Result<bool, SendError> {
        let events = self.partition.read(self.next, READ_EVENTS);
        let any = !events.is_empty();
        for event in events {
            self.send(sender, &event).await?;
            self.first.get_or_insert(event.sequence);
            self.next = event.sequence.saturating_add(1);
            // Between two events, so that nothing leaves after a freeze has begun but the one
            // event in hand.
            if self.partition.holds_back() {
                break;
            }
        }
        Ok(any)
    }

    fn take_replay(&mut self) {
        let (count, Some(first)) = (self.link.take_replay(), self.first) else { return };
        self.again.extend(self.partition.read_back(first, self.next, count));
    }

    async fn send(&mut self, sender: &mut Sender, event: &StoredEvent) -> Result<(), SendError> {
        let content = &event.content;
        let metric = self.metric.as_ref();
        let message: Message<&Body<Value>> = Message {
            header: None,
            delivery_annotations: metric.map(|clock| metric_of(&self.partition, clock)),
            message_annotations: Some(MessageAnnotations(annotations(event))),
            properties: content.properties.clone(),
            application_properties: content.application_properties.clone(),
            body: &content.body,
            footer: None,
        };
        let sendable = Sendable { message, message_format: 0, settled: Some(true) };
        // Should the peer insist on settling itself, its disposition interests nobody.
        drop(sender.send_batchable_ref(&sendable).await?);
        self.last = Some(Instant::now());
        Ok(())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.partition.deregister(&self.link);
    }
}

/// Serves a reader until it leaves, its connection or token ends, or the broker closes the link.
pub(super) async fn serve(mut sender: Sender, mut reader: Reader, grant: Grant) {
    let link = Arc::clone(&reader.link);
    let error = tokio::select! {
        biased;
        error = link.stopped() => error,
        error = grant.lost() => error,
        ended = reader.run(&mut sender) => {
            if let Err(error) = ended {
                tracing::debug!(%error, "reader link failed");
            }
            return;
        }
    };
    drop(reader);
    server::close_sender(sender, error).await;
}

/// What the broker adds to an event.
pub(super) fn annotations(event: &StoredEvent) -> Annotations {
    let mut annotations = Annotations::with_capacity(4);
    let mut put = |key: &str, value: Value| annotations.insert(OwnedKey::from(key), value);
    put("x-opt-sequence-number", Value::Long(event.sequence));
    put("x-opt-offset", Value::String(event.offset.to_string()));
    put("x-opt-enqueued-time", Value::Timestamp(Timestamp::from_milliseconds(event.enqueued_ms)));
    if let Some(key) = &event.content.partition_key {
        put("x-opt-partition-key", Value::String(key.clone()));
    }
    annotations
}

/// What a reader that asked for it is told beside the event.
fn metric_of(partition: &Partition, clock: &EmulatorClock) -> DeliveryAnnotations {
    let PartitionState { last_sequence, last_offset, last_enqueued_ms, .. } = partition.state();
    let time = |at_ms| Value::Timestamp(Timestamp::from_milliseconds(at_ms));
    let mut annotations = Annotations::with_capacity(4);
    let mut put = |key: &str, value: Value| annotations.insert(OwnedKey::from(key), value);
    put("last_enqueued_sequence_number", Value::Long(last_sequence));
    put("last_enqueued_offset", Value::String(last_offset.to_string()));
    put("last_enqueued_time_utc", time(last_enqueued_ms));
    put("runtime_info_retrieval_time_utc", time(clock.now_ms()));
    DeliveryAnnotations(annotations)
}
