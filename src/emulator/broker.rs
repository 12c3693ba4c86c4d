//! What all connections share: the hubs, the clock, and the switches of the fault injection.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::partition::Partition;
use super::segment::{Head, Mark};
use super::storage::{DataFolder, StorageError};
use super::{DEFAULT_GROUP, EmulatorClock, EmulatorError, HubSpec};

/// A hub with its partitions.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) name: String,
    pub(super) created_ms: i64,
    retention: usize,
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
        let mut hub = Self {
            name: spec.name,
            created_ms,
            retention: spec.retention,
            groups: spec.consumer_groups,
            folder,
            partitions: RwLock::new(Vec::new()),
            turn: AtomicUsize::new(0),
        };
        hub.grow(spec.partitions)?;
        let kept = hub.partition(0).and_then(|partition| partition.created_ms());
        hub.created_ms = kept.unwrap_or(created_ms);
        Ok(hub)
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
            partitions.push(Arc::new(self.open(number)?));
        }
        Ok(())
    }

    fn open(&self, partition: u32) -> Result<Partition, StorageError> {
        let Some(folder) = &self.folder else { return Ok(Partition::new(self.retention)) };
        let head = Head {
            hub: self.name.clone(),
            partition,
            created_ms: self.created_ms,
            anew: false,
            mark: Mark::default(),
        };
        Partition::open(folder, head, self.retention)
    }

    /// The partition for an event sent to the hub as a whole: by key, else each in turn.
    pub(super) fn choose(&self, partition_key: Option<&str>) -> Option<Arc<Partition>> {
        let partitions = self.partitions();
        let number = match partition_key {
            Some(key) => {
                let mut hasher = DefaultHasher::new();
                key.hash(&mut hasher);
                usize::try_from(hasher.finish() >> 32).unwrap_or_default()
            }
            None => self.turn.fetch_add(1, Ordering::Relaxed),
        };
        let index = number.checked_rem(partitions.len())?;
        partitions.get(index).cloned()
    }
}

/// Shared by all tasks of an emulator.
#[derive(Debug)]
pub(super) struct Broker {
    pub(super) clock: EmulatorClock,
    /// Ends everything.
    pub(super) stop: CancellationToken,
    pub(super) tasks: TaskTracker,
    pub(super) refuses_connections: AtomicBool,
    pub(super) attaches: AtomicU64,
    hubs: BTreeMap<String, Arc<Hub>>,
    connections: Mutex<CancellationToken>,
}

impl Broker {
    pub(super) fn new(
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
        let connections = Mutex::new(stop.child_token());
        Ok(Self {
            clock,
            stop,
            tasks: TaskTracker::new(),
            refuses_connections: AtomicBool::new(false),
            attaches: AtomicU64::new(0),
            hubs: hubs?,
            connections,
        })
    }

    pub(super) fn hub(&self, name: &str) -> Result<Arc<Hub>, EmulatorError> {
        let found = self.hubs.get(&name.to_lowercase()).cloned();
        found.ok_or_else(|| EmulatorError::NoHub { hub: name.to_owned() })
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
        self.connections.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn cut_connections(&self) {
        let mut current = self.connections.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *current, self.stop.child_token()).cancel();
    }
}
