//! One partition: its retained events, who reads them, and the faults injected into it.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use fe2o3_amqp_types::definitions::Error as AmqpError;
use fe2o3_amqp_types::messaging::{ApplicationProperties, Body, Properties};
use fe2o3_amqp_types::primitives::Value;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::EmulatorClock;
use super::fault;
use super::log::Log;
use super::position::{Bound, Location, Position};
use super::segment::Head;
use super::standing::Standing;
use super::storage::{DataFolder, PartitionFiles, StorageError};

/// What a producer wrote, without what the broker adds.
#[derive(Debug, PartialEq)]
pub(super) struct Content {
    pub(super) body: Body<Value>,
    pub(super) properties: Option<Properties>,
    pub(super) application_properties: Option<ApplicationProperties>,
    pub(super) partition_key: Option<String>,
}

impl Content {
    /// An event of one data section, as the monitoring exports write them.
    pub(super) fn data(body: Vec<u8>) -> Self {
        Self {
            body: Body::Data(vec![body.into()].into()),
            properties: None,
            application_properties: None,
            partition_key: None,
        }
    }

    pub(super) fn size_bytes(&self) -> i64 {
        let size = match &self.body {
            Body::Data(sections) => sections.iter().map(|section| section.0.len()).sum(),
            // Rare: only clients that do not write for Event Hubs send these.
            Body::Value(_) | Body::Sequence(_) | Body::Empty => 0_usize,
        };
        i64::try_from(size).unwrap_or(i64::MAX)
    }
}

/// An event in the log. Shared by all its readers.
#[derive(Debug, PartialEq)]
pub(super) struct StoredEvent {
    pub(super) sequence: i64,
    pub(super) offset: i64,
    pub(super) enqueued_ms: i64,
    pub(super) content: Content,
}

/// What `$management` tells about a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PartitionState {
    pub(super) begin_sequence: i64,
    /// -1 before the first event.
    pub(super) last_sequence: i64,
    pub(super) last_offset: i64,
    pub(super) last_enqueued_ms: i64,
    pub(super) is_empty: bool,
    pub(super) events: usize,
}

/// A reader's registration; the link task watches it.
#[derive(Debug)]
pub(super) struct ReaderLink {
    group: String,
    epoch: Option<i64>,
    stop: watch::Sender<Option<AmqpError>>,
    replay: AtomicUsize,
}

impl ReaderLink {
    /// Waits until the broker wants the link closed, and says why. Cancel safe.
    pub(super) async fn stopped(&self) -> AmqpError {
        let mut stop = self.stop.subscribe();
        loop {
            if let Some(error) = stop.borrow_and_update().clone() {
                return error;
            }
            if stop.changed().await.is_err() {
                return fault::error("amqp:link:detach-forced", "the emulator stops");
            }
        }
    }

    /// How many events the link shall deliver once more; asking resets it.
    pub(super) fn take_replay(&self) -> usize {
        self.replay.swap(0, Ordering::Relaxed)
    }

    fn close(&self, error: &AmqpError) {
        self.stop.send_if_modified(|slot| {
            let first = slot.is_none();
            if first {
                *slot = Some(error.clone());
            }
            first
        });
    }
}

/// How old events may get, and by which clock.
#[derive(Debug, Clone)]
pub(super) struct MaxAge {
    pub(super) clock: EmulatorClock,
    pub(super) age: Duration,
}

/// A partition of a hub.
#[derive(Debug)]
pub(super) struct Partition {
    log: Mutex<Log>,
    retention: usize,
    max_age: Mutex<Option<MaxAge>>,
    changed: watch::Sender<()>,
    pub(super) freeze: Standing<()>,
    /// Events a second and link.
    pub(super) slow: Standing<NonZeroU32>,
    links: Mutex<Vec<Arc<ReaderLink>>>,
}

impl Partition {
    pub(super) fn new(retention: usize) -> Self {
        Self::with_log(Log::default(), retention)
    }

    /// A partition that is kept in a folder, with what is kept there already.
    pub(super) fn open(
        folder: &DataFolder,
        head: Head,
        retention: usize,
    ) -> Result<Self, StorageError> {
        let mut log = Log::default();
        let mut files = folder.partition(head, &mut |entry| {
            log.restore(entry)?;
            log.keep_newest(retention);
            Ok(())
        })?;
        files.trim(log.mark().begin);
        log.files = Some(files);
        Ok(Self::with_log(log, retention))
    }

    fn with_log(log: Log, retention: usize) -> Self {
        Self {
            log: Mutex::new(log),
            retention,
            max_age: Mutex::new(None),
            changed: watch::Sender::new(()),
            freeze: Standing::default(),
            slow: Standing::default(),
            links: Mutex::new(Vec::new()),
        }
    }

    /// When the hub was created, where that is kept.
    pub(super) fn created_ms(&self) -> Option<i64> {
        self.log().files.as_ref().map(PartitionFiles::created_ms)
    }

    /// Appends events in order and returns the last sequence number, -1 when there was none.
    ///
    /// Fails when they cannot be kept; then none is there.
    pub(super) fn append(
        &self,
        events: impl IntoIterator<Item = (Content, i64)>,
    ) -> Result<i64, StorageError> {
        let mut log = self.log();
        let last = log.push(events)?;
        log.keep_newest(self.retention);
        self.drop_old(&mut log);
        drop(log);
        self.changed.send_replace(());
        Ok(last)
    }

    /// How many events are retained.
    pub(super) fn event_count(&self) -> usize {
        self.log().events.len()
    }

    /// Sequence number of the first event a reader at `position` wants.
    ///
    /// A position before the retained events means the first retained one. One beyond the end is
    /// refused, as the service does: it belongs to a hub that was deleted and made again.
    pub(super) fn resolve(&self, position: &Position) -> Result<i64, AmqpError> {
        let log = self.retained();
        let next = match (&position.location, position.bound) {
            (Location::Earliest, _) => log.first(|_| false),
            (Location::Latest, _) => log.next_sequence,
            (Location::Sequence(at), Bound::Exclusive) => at.saturating_add(1),
            (Location::Sequence(at), Bound::Inclusive) => *at,
            (Location::Offset(at), Bound::Exclusive) => log.first(|event| event.offset <= *at),
            (Location::Offset(at), Bound::Inclusive) => log.first(|event| event.offset < *at),
            (Location::EnqueuedMs(at), Bound::Exclusive) => {
                log.first(|event| event.enqueued_ms <= *at)
            }
            (Location::EnqueuedMs(at), Bound::Inclusive) => {
                log.first(|event| event.enqueued_ms < *at)
            }
        };
        let (last_sequence, last_offset, _) = log.last.unwrap_or((-1, -1, 0));
        match position.location {
            Location::Sequence(at) if next > log.next_sequence => Err(fault::error(
                fault::ARGUMENT_ERROR,
                &format!(
                    "The supplied sequence number '{at}' is invalid. The last sequence number in \
                     the system is '{last_sequence}'"
                ),
            )),
            Location::Offset(at) if at > last_offset.max(log.next_offset) => Err(fault::error(
                fault::ARGUMENT_ERROR,
                &format!(
                    "The supplied offset '{at}' is invalid. The last offset in the system is \
                     '{last_offset}'"
                ),
            )),
            Location::Earliest
            | Location::Latest
            | Location::Sequence(_)
            | Location::Offset(_)
            | Location::EnqueuedMs(_) => Ok(next),
        }
    }

    /// At most `limit` events from sequence number `from` on.
    pub(super) fn read(&self, from: i64, limit: usize) -> Vec<Arc<StoredEvent>> {
        let log = self.retained();
        let start = log.events.partition_point(|event| event.sequence < from);
        log.events.range(start..).take(limit).cloned().collect()
    }

    /// The last `count` retained events with `first <= sequence < end`, oldest first.
    pub(super) fn read_back(&self, first: i64, end: i64, count: usize) -> Vec<Arc<StoredEvent>> {
        let log = self.retained();
        let start = log.events.partition_point(|event| event.sequence < first);
        let stop = log.events.partition_point(|event| event.sequence < end);
        let start = start.max(stop.saturating_sub(count)).min(stop);
        log.events.range(start..stop).cloned().collect()
    }

    pub(super) fn state(&self) -> PartitionState {
        let log = self.retained();
        let (last_sequence, last_offset, last_enqueued_ms) = log.last.unwrap_or((-1, -1, 0));
        PartitionState {
            begin_sequence: log.first(|_| false),
            last_sequence,
            last_offset,
            last_enqueued_ms,
            is_empty: log.events.is_empty(),
            events: log.events.len(),
        }
    }

    /// Enqueued time of the oldest event that is kept.
    pub(super) fn oldest_ms(&self) -> Option<i64> {
        self.log().events.front().map(|event| event.enqueued_ms)
    }

    pub(super) fn next_sequence(&self) -> i64 {
        self.log().next_sequence
    }

    /// Fires after every change that may give a waiting reader something to do.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Waits until a link may be given an event that was given the one before at `last`: while
    /// the partition is frozen, and between events while it is slow. Cancel safe.
    pub(super) async fn may_deliver(&self, last: Option<Instant>) {
        self.pace(last).await;
        while self.freeze.is_on() {
            self.freeze.over().await;
            self.pace(last).await;
        }
    }

    /// Waits while the partition is slow and the last event of the link, at `last`, too recent.
    /// Cancel safe.
    pub(super) async fn pace(&self, last: Option<Instant>) {
        loop {
            let (changed, slow) = (self.slow.changed(), self.slow.get());
            let (Some(events_per_s), Some(last)) = (slow, last) else { return };
            let due = last + Duration::from_secs(1) / events_per_s.get();
            if due <= Instant::now() {
                return;
            }
            tokio::select! {
                () = sleep_until(due) => {}
                () = changed => {}
            }
        }
    }

    /// Whether events go out one by one, each after [`may_deliver`](Self::may_deliver).
    pub(super) fn holds_back(&self) -> bool {
        self.freeze.is_on() || self.slow.is_on()
    }

    pub(super) fn end_faults(&self) {
        self.freeze.end();
        self.slow.end();
    }

    /// Drops events as they reach an age, now and from now on; `None` ends it.
    pub(super) fn retain(&self, max_age: Option<&MaxAge>) {
        *self.max_age.lock().unwrap_or_else(PoisonError::into_inner) = max_age.cloned();
        drop(self.retained());
    }

    pub(super) fn max_age(&self) -> Option<Duration> {
        let max_age = self.max_age.lock().unwrap_or_else(PoisonError::into_inner);
        max_age.as_ref().map(|max_age| max_age.age)
    }

    fn drop_old(&self, log: &mut Log) {
        let max_age = self.max_age.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(MaxAge { clock, age }) = &*max_age else { return };
        let age_ms = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let oldest_ms = clock.now_ms().saturating_sub(age_ms);
        let gone = log.events.partition_point(|event| event.enqueued_ms < oldest_ms);
        if gone == 0 {
            return;
        }
        log.events.drain(..gone);
        if let Err(error) = log.write_mark() {
            tracing::error!(%error, "after a restart events will be there that are too old");
        }
    }

    pub(super) fn skip_sequences(&self, count: u32) -> Result<(), StorageError> {
        let mut log = self.log();
        log.next_sequence = log.next_sequence.saturating_add(i64::from(count));
        log.write_mark()
    }

    pub(super) fn expire(&self, up_to_sequence: i64) -> Result<(), StorageError> {
        let mut log = self.log();
        let gone = log.events.partition_point(|event| event.sequence < up_to_sequence);
        log.events.drain(..gone);
        log.write_mark()
    }

    /// Forgets everything; the hub is created again at `created_ms`.
    pub(super) fn clear(&self, created_ms: i64) -> Result<(), StorageError> {
        let mut log = self.log();
        let mut files = log.files.take();
        let kept = files.as_mut().map_or(Ok(()), |files| files.begin_anew(created_ms));
        *log = Log { files, ..Log::default() };
        kept
    }

    /// Delivers the last `count` events once more on every link of the partition.
    pub(super) fn duplicate(&self, count: usize) {
        for link in self.links().iter() {
            link.replay.fetch_add(count, Ordering::Relaxed);
        }
        self.changed.send_replace(());
    }

    /// Closes every reader with this error.
    pub(super) fn detach(&self, error: &AmqpError) {
        for link in self.links().iter() {
            link.close(error);
        }
    }

    /// Registers a reader by the rules of owner levels.
    ///
    /// An equal or higher epoch takes the partition from the readers of its consumer group. Fails
    /// when a higher epoch holds it, or any while the new reader has none.
    pub(super) fn register(
        &self,
        group: &str,
        epoch: Option<i64>,
    ) -> Result<Arc<ReaderLink>, AmqpError> {
        let mut links = self.links();
        let holder = links.iter().filter(|link| link.group == group).filter_map(|l| l.epoch).max();
        // `None` is lower than any epoch.
        if holder.is_some() && epoch < holder {
            return Err(fault::stolen(epoch, holder));
        }
        if epoch.is_some() {
            let error = fault::stolen(holder, epoch);
            links.retain(|link| {
                let rival = link.group == group;
                if rival {
                    link.close(&error);
                }
                !rival
            });
        }
        let link = Arc::new(ReaderLink {
            group: group.to_owned(),
            epoch,
            stop: watch::Sender::new(None),
            replay: AtomicUsize::new(0),
        });
        links.push(Arc::clone(&link));
        Ok(link)
    }

    /// Consumer group and epoch of each reader.
    pub(super) fn readers(&self) -> Vec<(String, Option<i64>)> {
        self.links().iter().map(|link| (link.group.clone(), link.epoch)).collect()
    }

    pub(super) fn deregister(&self, gone: &Arc<ReaderLink>) {
        self.links().retain(|link| !Arc::ptr_eq(link, gone));
    }

    /// The log without what has become too old.
    fn retained(&self) -> MutexGuard<'_, Log> {
        let mut log = self.log();
        self.drop_old(&mut log);
        log
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn links(&self) -> MutexGuard<'_, Vec<Arc<ReaderLink>>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(retention: usize, count: i64) -> Partition {
        let partition = Partition::new(retention);
        let events = (0..count).map(|at| (Content::data(vec![b'x'; 10]), at * 1_000));
        partition.append(events).unwrap();
        partition
    }

    #[track_caller]
    fn check(selector: &str, first: Option<i64>) {
        let position = format!("amqp.annotation.x-opt-{selector}").parse().unwrap();
        // Ten events, the first four already dropped: 4..=9, offsets 296, 370, …
        assert_eq!(filled(6, 10).resolve(&position).ok(), first, "{selector}");
    }

    #[test]
    fn positions_resolve_to_the_first_wanted_event() {
        check("offset > '-1'", Some(4));
        check("offset > '@latest'", Some(10));
        check("sequence-number > '6'", Some(7));
        check("sequence-number >= '6'", Some(6));
        check("sequence-number > '9'", Some(10));
        check("sequence-number >= '10'", Some(10));
        check("offset > '370'", Some(6));
        check("offset >= '370'", Some(5));
        check("offset > '0'", Some(4));
        check("enqueued-time > '7000'", Some(8));
        check("enqueued-time >= '7000'", Some(7));
        check("enqueued-time > '99000'", Some(10));
    }

    #[test]
    fn positions_beyond_the_end_are_refused() {
        check("sequence-number > '10'", None);
        check("sequence-number >= '11'", None);
        check("offset > '99999'", None);
    }

    #[test]
    fn reading_starts_at_the_first_retained_event() {
        let partition = filled(6, 10);
        let sequences = |events: Vec<Arc<StoredEvent>>| -> Vec<i64> {
            events.iter().map(|event| event.sequence).collect()
        };
        assert_eq!(sequences(partition.read(2, 3)), [4, 5, 6]);
        assert_eq!(sequences(partition.read_back(0, 8, 2)), [6, 7]);
        assert_eq!(sequences(partition.read_back(7, 8, 5)), [7]);
        assert_eq!(sequences(partition.read_back(8, 2, 5)), [0_i64; 0]);
    }

    #[test]
    fn enqueued_times_never_go_back() {
        let partition = filled(6, 3);
        partition.append([(Content::data(vec![]), 500)]).unwrap();
        assert_eq!(partition.state().last_enqueued_ms, 2_000);
    }

    #[test]
    fn a_lower_epoch_is_refused_and_a_higher_one_takes_over() {
        let partition = Partition::new(1);
        let none = partition.register("a", None).unwrap();
        let two = partition.register("a", Some(2)).unwrap();
        assert!(none.stop.borrow().is_some());
        assert!(partition.register("a", Some(1)).is_err());
        assert!(partition.register("a", None).is_err());
        assert!(partition.register("b", None).is_ok());
        partition.register("a", Some(2)).unwrap();
        assert!(two.stop.borrow().is_some());
    }
}
