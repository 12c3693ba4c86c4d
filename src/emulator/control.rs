//! The hand of a test inside the emulator: puts events in and makes things go wrong.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::EmulatorError;
use super::broker::Broker;
use super::fault;
use super::partition::{Content, Partition};
use super::storage::StorageError;

/// What the emulator does with new TCP connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refuse {
    /// Serves them.
    Off,
    /// Closes them at once.
    Connections,
}

/// Controls a running emulator from the same process. Clones control the same one.
///
/// Faults aimed at a hub or partition that does not exist do nothing but log a warning.
#[derive(Debug, Clone)]
pub struct Control {
    broker: Arc<Broker>,
}

impl Control {
    pub(super) const fn new(broker: Arc<Broker>) -> Self {
        Self { broker }
    }

    /// Appends an event enqueued now, by the emulator's clock, and returns its sequence number.
    ///
    /// # Errors
    /// When there is no such hub or partition, or the event cannot be kept.
    pub fn append(&self, hub: &str, partition: u32, body: Vec<u8>) -> Result<i64, EmulatorError> {
        self.append_at(hub, partition, body, self.broker.clock.now_ms())
    }

    /// Appends an event enqueued at `enqueued_ms` since 1970 UTC, or at the enqueued time of the
    /// event before it if that is later, and returns its sequence number.
    ///
    /// # Errors
    /// When there is no such hub or partition, or the event cannot be kept.
    pub fn append_at(
        &self,
        hub: &str,
        partition: u32,
        body: Vec<u8>,
        enqueued_ms: i64,
    ) -> Result<i64, EmulatorError> {
        let partition = self.broker.partition(hub, partition)?;
        Ok(partition.append([(Content::data(body), enqueued_ms)])?)
    }

    /// Appends many events, each a body and its enqueued time, under one lock.
    ///
    /// # Errors
    /// When there is no such hub or partition, or the event cannot be kept.
    pub fn append_many(
        &self,
        hub: &str,
        partition: u32,
        events: Vec<(Vec<u8>, i64)>,
    ) -> Result<(), EmulatorError> {
        let partition = self.broker.partition(hub, partition)?;
        partition.append(events.into_iter().map(|(body, at_ms)| (Content::data(body), at_ms)))?;
        Ok(())
    }

    /// Closes all TCP connections abruptly; new ones are served.
    pub fn cut_connections(&self) {
        self.broker.cut_connections();
    }

    /// Detaches every reader of the partition with an error condition, such as
    /// `amqp:unauthorized-access`, `amqp:link:stolen` or `com.microsoft:server-busy`.
    pub fn detach(&self, hub: &str, partition: u32, condition: &str) {
        let error = fault::error(condition, "detached by the test");
        self.with(hub, partition, |partition| partition.detach(&error));
    }

    /// Says what happens to new TCP connections. Those that exist stay.
    pub fn refuse(&self, refuse: Refuse) {
        self.broker.refuses_connections.store(refuse == Refuse::Connections, Ordering::Release);
    }

    /// Stops the deliveries of a partition. Events can still be appended and `$management` tells
    /// their sequence numbers; links stay attached.
    pub fn freeze(&self, hub: &str, partition: u32) {
        self.with(hub, partition, Partition::freeze);
    }

    /// Ends [`freeze`](Self::freeze); readers go on where they were.
    pub fn thaw(&self, hub: &str, partition: u32) {
        self.with(hub, partition, Partition::thaw);
    }

    /// Delivers the last `last` events that each current link of the partition has been given
    /// once more, with the same sequence numbers.
    pub fn duplicate(&self, hub: &str, partition: u32, last: usize) {
        self.with(hub, partition, |partition| partition.duplicate(last));
    }

    /// Leaves out `count` sequence numbers before the next event.
    pub fn skip_sequences(&self, hub: &str, partition: u32, count: i64) {
        self.with(hub, partition, |partition| kept(partition.skip_sequences(count)));
    }

    /// Drops the retained events with a sequence number below `up_to_sequence`.
    pub fn expire(&self, hub: &str, partition: u32, up_to_sequence: i64) {
        self.with(hub, partition, |partition| kept(partition.expire(up_to_sequence)));
    }

    /// Makes the hub as if deleted and created again: no events, sequence numbers from 0, readers
    /// detached with `amqp:not-found`. A reader that comes back with an old position is refused
    /// with `com.microsoft:argument-error`, as by the service.
    pub fn recreate(&self, hub: &str) {
        let Some(hub) = self.found(self.broker.hub(hub)) else { return };
        let error = fault::error(fault::NOT_FOUND, "the hub was deleted");
        for partition in hub.partitions() {
            kept(partition.clear());
            partition.detach(&error);
        }
    }

    /// Grows the hub to `total` partitions; does nothing when it has that many.
    pub fn add_partitions(&self, hub: &str, total: u32) {
        if let Some(hub) = self.found(self.broker.hub(hub)) {
            kept(hub.grow(total));
        }
    }

    /// Reader links attached since the start, of all hubs, refused ones included.
    #[must_use]
    pub fn attach_count(&self) -> u64 {
        self.broker.attaches.load(Ordering::Relaxed)
    }

    /// The next sequence number of each partition, which is the number of events received while
    /// no sequence numbers were skipped. Empty for an unknown hub.
    #[must_use]
    pub fn received(&self, hub: &str) -> Vec<i64> {
        let partitions = self.broker.hub(hub).map(|hub| hub.partitions()).unwrap_or_default();
        partitions.iter().map(|partition| partition.next_sequence()).collect()
    }

    /// Events retained, of all partitions; 0 for an unknown hub.
    #[must_use]
    pub fn retained(&self, hub: &str) -> usize {
        let partitions = self.broker.hub(hub).map(|hub| hub.partitions()).unwrap_or_default();
        partitions.iter().map(|partition| partition.event_count()).sum()
    }

    fn with(&self, hub: &str, partition: u32, act: impl FnOnce(&Partition)) {
        if let Some(partition) = self.found(self.broker.partition(hub, partition)) {
            act(&partition);
        }
    }

    fn found<T>(&self, result: Result<T, EmulatorError>) -> Option<T> {
        result.inspect_err(|error| tracing::warn!(%error, "fault injection missed")).ok()
    }
}

/// A fault is injected even if the folder of the data cannot be told of it.
fn kept(result: Result<(), StorageError>) {
    if let Err(error) = result {
        tracing::error!(%error, "a restart will not know of an injected fault");
    }
}
