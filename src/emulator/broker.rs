//! What all connections share: the hubs, the clock, and the switches of the fault injection.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::key;
use super::partition::{MaxAge, Partition};
use super::segment::{Head, Mark};
use super::standing::Faults;
use super::storage::{DataFolder, StorageError};
use super::token::Expiry;
use super::{DEFAULT_GROUP, EmulatorClock, EmulatorError, HubSpec};

/// A hub with its partitions.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) name: String,
    created_ms: AtomicI64,
    retention: usize,
    max_age: Mutex<Option<MaxAge>>,
    groups: Vec<String>,
    folder: Option<Arc<DataFolder>>,
    partitions: RwLock<Vec<Arc<Partition>>>,
    turn: AtomicUsize,
}

impl Hub {
    fn new(
        spec: HubSpec,
        created_ms: i64,
        folder: Option<Arc<DataFolder>>,
    ) -> Result<Self, StorageError> {
        let hub = Self {
            name: spec.name,
            created_ms: AtomicI64::new(created_ms),
            retention: spec.retention,
            max_age: Mutex::new(None),
            groups: spec.consumer_groups,
            folder,
            partitions: RwLock::new(Vec::new()),
            turn: AtomicUsize::new(0),
        };
        hub.grow(spec.partitions)?;
        let kept = hub.partition(0).and_then(|partition| partition.created_ms());
        hub.created_ms.store(kept.unwrap_or(created_ms), Ordering::Relaxed);
        Ok(hub)
    }

    /// Never after an event: one may be put in with a time of the past, and a hub that is younger
    /// than its events is not the one they were read from.
    pub(super) fn created_ms(&self) -> i64 {
        let oldest = self.partitions().iter().filter_map(|one| one.oldest_ms()).min();
        let created_ms = self.created_ms.load(Ordering::Relaxed);
        let created_ms = oldest.map_or(created_ms, |oldest| oldest.min(created_ms));
        self.created_ms.fetch_min(created_ms, Ordering::Relaxed);
        created_ms
    }

    /// As if deleted and created again at `created_ms`: partitions are empty and begin at 0.
    pub(super) fn recreate(&self, created_ms: i64) -> Result<(), StorageError> {
        self.created_ms.store(created_ms, Ordering::Relaxed);
        self.partitions().iter().try_for_each(|partition| partition.clear(created_ms))
    }

    /// Whether readers of this consumer group are served.
    pub(super) fn has_group(&self, group: &str) -> bool {
        let mut listed = self.groups.iter();
        self.groups.is_empty()
            || group.eq_ignore_ascii_case(DEFAULT_GROUP)
            || listed.any(|listed| listed.eq_ignore_ascii_case(group))
    }

    pub(super) fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn partition(&self, number: u32) -> Option<Arc<Partition>> {
        let index = usize::try_from(number).ok()?;
        self.partitions.read().unwrap_or_else(PoisonError::into_inner).get(index).cloned()
    }

    /// Adds partitions until there are `total`; there is no way back, as in the service.
    pub(super) fn grow(&self, total: u32) -> Result<(), StorageError> {
        let mut partitions = self.partitions.write().unwrap_or_else(PoisonError::into_inner);
        for number in u32::try_from(partitions.len()).unwrap_or(u32::MAX)..total {
            let partition = self.open(number)?;
            partition.retain(self.max_age().as_ref());
            partitions.push(Arc::new(partition));
        }
        Ok(())
    }

    fn open(&self, partition: u32) -> Result<Partition, StorageError> {
        let Some(folder) = &self.folder else { return Ok(Partition::new(self.retention)) };
        let head = Head {
            hub: self.name.clone(),
            partition,
            // Not the method: the list of partitions is being changed.
            created_ms: self.created_ms.load(Ordering::Relaxed),
            anew: false,
            mark: Mark::default(),
        };
        Partition::open(folder, head, self.retention)
    }

    /// How old events may get, in partitions to come too.
    pub(super) fn retain(&self, max_age: Option<&MaxAge>) {
        *self.max_age() = max_age.cloned();
        for partition in self.partitions() {
            partition.retain(max_age);
        }
    }

    fn max_age(&self) -> MutexGuard<'_, Option<MaxAge>> {
        self.max_age.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The partition for an event sent to the hub as a whole, and its number: by key, else each
    /// in turn.
    pub(super) fn choose(&self, partition_key: Option<&str>) -> Option<(u32, Arc<Partition>)> {
        let partitions = self.partitions();
        let index = match partition_key {
            Some(key) => key::partition_of(key, partitions.len()),
            None => self.turn.fetch_add(1, Ordering::Relaxed).checked_rem(partitions.len())?,
        };
        Some((u32::try_from(index).ok()?, partitions.get(index)?.clone()))
    }
}

/// Counts what lives as long as its ticket.
#[derive(Debug, Default)]
pub(super) struct Gauge(Arc<()>);

/// One of those that a [`Gauge`] counts.
#[derive(Debug)]
pub(super) struct Ticket(#[expect(dead_code, reason = "counted while it is held")] Arc<()>);

impl Gauge {
    pub(super) fn ticket(&self) -> Ticket {
        Ticket(Arc::clone(&self.0))
    }

    pub(super) fn count(&self) -> usize {
        Arc::strong_count(&self.0) - 1
    }
}

/// Shared by all tasks of an emulator.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) clock: EmulatorClock,
    /// Ends everything.
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) faults: Faults,
    /// When the tokens of a moment end.
    pub(super) expiry: watch::Sender<Expiry>,
    /// Fires when all connections are to be closed as idle ones.
    pub(super) idle: watch::Sender<()>,
    pub(super) attaches: AtomicU64,
    /// Connections accepted so far.
    pub(super) accepted: AtomicU64,
    /// Connections that are open.
    pub(super) connections: Gauge,
    /// Scripts that have steps to come.
    pub(super) scripts: Gauge,
    script_end: Mutex<CancellationToken>,
    pub(super) websockets: AtomicU64,
    hubs: BTreeMap<String, Arc<Hub>>,
    cut: Mutex<CancellationToken>,
}

impl Broker {
    #[cfg(test)]
    pub(super) fn new(hubs: Vec<HubSpec>, clock: EmulatorClock) -> Self {
        Self::open(hubs, clock, None).unwrap()
    }

    /// With the hubs as `folder` keeps them, or empty ones in memory.
    pub(super) fn open(
        hubs: Vec<HubSpec>,
        clock: EmulatorClock,
        folder: Option<DataFolder>,
    ) -> Result<Self, StorageError> {
        let created_ms = clock.now_ms();
        let folder = folder.map(Arc::new);
        let hubs: Result<_, StorageError> = hubs
            .into_iter()
            .map(|spec| {
                let name = spec.name.to_lowercase();
                Ok((name, Arc::new(Hub::new(spec, created_ms, folder.clone())?)))
            })
            .collect();
        let stop = CancellationToken::new();
        let (cut, script_end) = (Mutex::new(stop.child_token()), Mutex::new(stop.child_token()));
        Ok(Self {
            clock,
            stop,
            tasks: TaskTracker::new(),
            faults: Faults::default(),
            expiry: watch::Sender::new(Expiry { number: 0, at: None }),
            idle: watch::Sender::default(),
            attaches: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            connections: Gauge::default(),
            scripts: Gauge::default(),
            script_end,
            websockets: AtomicU64::new(0),
            hubs: hubs?,
            cut,
        })
    }

    pub(super) fn hub(&self, name: &str) -> Result<Arc<Hub>, EmulatorError> {
        let found = self.hubs.get(&name.to_lowercase()).cloned();
        found.ok_or_else(|| EmulatorError::NoHub { hub: name.to_owned() })
    }

    pub(super) fn hubs(&self) -> impl Iterator<Item = &Arc<Hub>> {
        self.hubs.values()
    }

    /// The partition for a reader of a consumer group.
    pub(super) fn read_by(
        &self,
        group: &str,
        hub: &str,
        number: u32,
    ) -> Result<Arc<Partition>, EmulatorError> {
        if !self.hub(hub)?.has_group(group) {
            let (hub, group) = (hub.to_owned(), group.to_owned());
            return Err(EmulatorError::NoConsumerGroup { hub, group });
        }
        self.partition(hub, number)
    }

    pub(super) fn partition(
        &self,
        hub: &str,
        number: u32,
    ) -> Result<Arc<Partition>, EmulatorError> {
        let found = self.hub(hub)?.partition(number);
        found.ok_or_else(|| EmulatorError::NoPartition { hub: hub.to_owned(), partition: number })
    }

    /// Fires when the connections of this moment are to be cut.
    pub(super) fn connection_token(&self) -> CancellationToken {
        current(&self.cut).clone()
    }

    pub(super) fn cut_connections(&self) {
        std::mem::replace(&mut *current(&self.cut), self.stop.child_token()).cancel();
    }

    /// Fires when the scripts of this moment are to end.
    pub(super) fn script_token(&self) -> CancellationToken {
        current(&self.script_end).clone()
    }

    pub(super) fn end_scripts(&self) {
        std::mem::replace(&mut *current(&self.script_end), self.stop.child_token()).cancel();
    }

    pub(super) fn end_faults(&self) {
        self.faults.end();
        self.expiry.send_modify(|expiry| expiry.at = expiry.at.filter(|at| *at <= Instant::now()));
        for partition in self.hubs().flat_map(|hub| hub.partitions()) {
            partition.end_faults();
        }
    }

    pub(super) fn expire_tokens(&self, after: Duration) {
        let at = Instant::now().checked_add(after);
        self.expiry.send_modify(|expiry| *expiry = Expiry { number: expiry.number + 1, at });
    }
}

fn current(token: &Mutex<CancellationToken>) -> MutexGuard<'_, CancellationToken> {
    token.lock().unwrap_or_else(PoisonError::into_inner)
}
