//! The hand of a test inside the emulator: puts events in and makes things go wrong.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::action::{Action, ClockChange, Lasts, Place};
use super::broker::Broker;
use super::fault;
use super::partition::{Content, MaxAge, Partition};
use super::script::Script;
use super::standing::HalfOpen;
use super::state::{Page, State};
use super::{EmulatorError, MAX_PARTITIONS};

/// Most scripts that run at a time; each takes a task.
const MAX_SCRIPTS: usize = 16;

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

    /// Does one thing wrong, at once; what stands for a time ends by itself. The only way to make
    /// the emulator misbehave.
    ///
    /// # Errors
    /// When there is no such hub or partition, a hub would grow beyond what the service sells, or
    /// what is to outlast a restart cannot be kept.
    pub fn apply(&self, action: Action) -> Result<(), EmulatorError> {
        let (broker, faults) = (&*self.broker, &self.broker.faults);
        match action {
            Action::Cut => broker.cut_connections(),
            Action::Refuse { lasts } => faults.refuse.begin((), lasts),
            Action::HalfOpen { reach, lasts } => {
                let before = broker.accepted.load(Ordering::Acquire);
                faults.half_open.begin(HalfOpen { before, reach }, lasts);
            }
            Action::IdleClose => broker.idle.send_replace(()),
            Action::Detach { at, condition } => {
                let error = fault::error(&condition, "detached on request");
                self.each(&at, |partition| partition.detach(&error))?;
            }
            Action::ServerBusy { lasts } => {
                faults.busy.begin((), lasts);
                if faults.busy.is_on() {
                    self.each(&Place::Everywhere, |partition| partition.detach(&fault::busy()))?;
                }
            }
            Action::Unauthorized { lasts } => faults.unauthorized.begin((), lasts),
            Action::ExpireTokens { after } => broker.expire_tokens(after),
            Action::EnforceTokens { lasts } => faults.enforce_tokens.begin((), lasts),
            Action::Freeze { at, lasts } => {
                self.each(&at, |partition| partition.freeze.begin((), lasts))?;
            }
            Action::Slow { at, events_per_s, lasts } => {
                self.each(&at, |partition| partition.slow.begin(events_per_s, lasts))?;
            }
            Action::Duplicate { at, events } => self.each(&at, |p| p.duplicate(events))?,
            Action::Skip { at, sequences } => {
                for partition in self.partitions(&at)? {
                    partition.skip_sequences(sequences)?;
                }
            }
            Action::Expire { at, below } => {
                for partition in self.partitions(&at)? {
                    partition.expire(below)?;
                }
            }
            Action::Retain { at, age } => self.retain(&at, age)?,
            Action::Recreate { hub } => self.delete_and_create(&hub)?,
            Action::Grow { hub, partitions } => self.grow(&hub, partitions)?,
            Action::Clock(change) => self.move_clock(change),
            Action::End => broker.end_faults(),
        }
        Ok(())
    }

    /// Reader links attached since the start, of all hubs, refused ones included.
    #[must_use]
    pub fn attach_count(&self) -> u64 {
        self.broker.attaches.load(Ordering::Relaxed)
    }

    /// TCP connections accepted since the start.
    #[must_use]
    pub fn connection_count(&self) -> u64 {
        self.broker.accepted.load(Ordering::Relaxed)
    }

    /// WebSockets opened since the start.
    #[must_use]
    pub fn websocket_count(&self) -> u64 {
        self.broker.websockets.load(Ordering::Relaxed)
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

    /// Begins to do what a script says, and ends with the emulator, by [`end`](Self::end), or
    /// after its last step. What is due at once is done on return.
    ///
    /// # Errors
    /// When a hub it names does not exist, too many scripts run, or a first step fails; of a later
    /// one the log tells.
    pub fn play(&self, script: Script) -> Result<(), EmulatorError> {
        for step in script.steps() {
            if let Some(hub) = step.action.hub() {
                self.broker.hub(hub)?;
            }
        }
        let (now, later) = script.split();
        for action in now {
            self.apply(action)?;
        }
        if later.steps().is_empty() {
            return Ok(());
        }
        let running = self.broker.scripts.ticket();
        if self.broker.scripts.count() > MAX_SCRIPTS {
            return Err(EmulatorError::TooManyScripts);
        }
        let (control, end) = (self.clone(), self.broker.script_token());
        self.spawn(async move {
            end.run_until_cancelled(later.run(&control)).await;
            drop(running);
        });
        Ok(())
    }

    /// Ends all scripts and all that stands, see [`Action::End`].
    pub fn end(&self) {
        self.broker.end_scripts();
        self.broker.end_faults();
    }

    /// Appends an event for a partition key or none, to a partition or where the key or the turn
    /// says; returns partition and sequence number.
    pub(super) fn publish(
        &self,
        hub: &str,
        partition: Option<u32>,
        key: Option<String>,
        body: Vec<u8>,
    ) -> Result<(u32, i64), EmulatorError> {
        let (number, partition) = match partition {
            Some(number) => (number, self.broker.partition(hub, number)?),
            None => {
                let chosen = self.broker.hub(hub)?.choose(key.as_deref());
                chosen.ok_or_else(|| EmulatorError::NoHub { hub: hub.to_owned() })?
            }
        };
        let content = Content { partition_key: key, ..Content::data(body) };
        Ok((number, partition.append([(content, self.broker.clock.now_ms())])?))
    }

    pub(super) fn page(
        &self,
        hub: &str,
        partition: u32,
        from: i64,
        limit: usize,
    ) -> Result<Page, EmulatorError> {
        Ok(Page::of(&*self.broker.partition(hub, partition)?, from, limit))
    }

    pub(super) fn state(&self) -> State {
        State::of(&self.broker)
    }

    pub(super) fn stop_token(&self) -> CancellationToken {
        self.broker.stop.clone()
    }

    /// Runs a task of the emulator, to its end or that of the emulator.
    pub(super) fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        let stop = self.stop_token();
        self.broker.tasks.spawn(async move { stop.run_until_cancelled(task).await });
    }

    fn each(&self, at: &Place, act: impl Fn(&Partition)) -> Result<(), EmulatorError> {
        self.partitions(at)?.iter().for_each(|partition| act(partition));
        Ok(())
    }

    fn partitions(&self, at: &Place) -> Result<Vec<Arc<Partition>>, EmulatorError> {
        Ok(match at {
            Place::Everywhere => self.broker.hubs().flat_map(|hub| hub.partitions()).collect(),
            Place::Hub(hub) => self.broker.hub(hub)?.partitions(),
            Place::Partition(hub, number) => vec![self.broker.partition(hub, *number)?],
        })
    }

    fn retain(&self, at: &Place, age: Option<Duration>) -> Result<(), EmulatorError> {
        let max_age = age.map(|age| MaxAge { clock: self.broker.clock.clone(), age });
        let max_age = max_age.as_ref();
        match at {
            Place::Everywhere => self.broker.hubs().for_each(|hub| hub.retain(max_age)),
            Place::Hub(hub) => self.broker.hub(hub)?.retain(max_age),
            Place::Partition(..) => self.each(at, |partition| partition.retain(max_age))?,
        }
        Ok(())
    }

    fn delete_and_create(&self, hub: &str) -> Result<(), EmulatorError> {
        let error = fault::error(fault::NOT_FOUND, "the hub was deleted");
        let hub = self.broker.hub(hub)?;
        hub.recreate(self.broker.clock.now_ms())?;
        for partition in hub.partitions() {
            partition.detach(&error);
        }
        Ok(())
    }

    fn grow(&self, hub: &str, partitions: u32) -> Result<(), EmulatorError> {
        let hub = self.broker.hub(hub)?;
        if partitions > MAX_PARTITIONS {
            return Err(EmulatorError::PartitionCount { text: partitions.to_string() });
        }
        Ok(hub.grow(partitions)?)
    }

    fn move_clock(&self, change: ClockChange) {
        let clock = &self.broker.clock;
        let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
        match change {
            ClockChange::Forward(span) => clock.advance(ms(span)),
            ClockChange::Back(span) => clock.advance(-ms(span)),
            ClockChange::To(at_ms) => clock.set(at_ms),
        }
    }

    // --- short words for tests; all go through `apply` ---

    /// [`Action::Cut`].
    pub fn cut_connections(&self) {
        self.must(Action::Cut);
    }

    /// [`Action::Refuse`], on or off.
    pub fn refuse(&self, refuse: Refuse) {
        let lasts = if refuse == Refuse::Off { Lasts::OVER } else { Lasts::UntilEnded };
        self.must(Action::Refuse { lasts });
    }

    /// [`Action::Detach`].
    pub fn detach(&self, hub: &str, partition: u32, condition: &str) {
        let at = Place::Partition(hub.to_owned(), partition);
        self.must(Action::Detach { at, condition: condition.to_owned() });
    }

    /// [`Action::Freeze`] until [`thaw`](Self::thaw).
    pub fn freeze(&self, hub: &str, partition: u32) {
        let at = Place::Partition(hub.to_owned(), partition);
        self.must(Action::Freeze { at, lasts: Lasts::UntilEnded });
    }

    /// Ends [`freeze`](Self::freeze); readers go on where they were.
    pub fn thaw(&self, hub: &str, partition: u32) {
        let at = Place::Partition(hub.to_owned(), partition);
        self.must(Action::Freeze { at, lasts: Lasts::OVER });
    }

    /// [`Action::Duplicate`].
    pub fn duplicate(&self, hub: &str, partition: u32, last: usize) {
        let at = Place::Partition(hub.to_owned(), partition);
        self.must(Action::Duplicate { at, events: last });
    }

    /// [`Action::Skip`].
    pub fn skip_sequences(&self, hub: &str, partition: u32, count: u32) {
        let at = Place::Partition(hub.to_owned(), partition);
        self.must(Action::Skip { at, sequences: count });
    }

    /// [`Action::Expire`].
    pub fn expire(&self, hub: &str, partition: u32, up_to_sequence: i64) {
        let at = Place::Partition(hub.to_owned(), partition);
        self.must(Action::Expire { at, below: up_to_sequence });
    }

    /// [`Action::Recreate`].
    pub fn recreate(&self, hub: &str) {
        self.must(Action::Recreate { hub: hub.to_owned() });
    }

    /// [`Action::Grow`].
    pub fn add_partitions(&self, hub: &str, total: u32) {
        self.must(Action::Grow { hub: hub.to_owned(), partitions: total });
    }

    fn must(&self, action: Action) {
        if let Err(error) = self.apply(action) {
            tracing::warn!(%error, "fault injection missed");
        }
    }
}
