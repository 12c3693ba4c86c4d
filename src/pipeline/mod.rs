//! The data path on one page: source, engine, store, notifications; the one place that knows all
//! stages, joins them and reads the clock.

pub mod courier;
mod heartbeat;
mod informed;
mod lookout;
pub mod reports;
mod teller;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::azure::Directory;
use crate::config::{HeartbeatSettings, ResponseSettings};
use crate::engine::effects::Effects;
use crate::engine::{Engine, Env};
use crate::event::{Batch, PartitionKey, Position, TroubleKind};
use crate::files::Files;
use crate::known::Known;
use crate::notify::{self, Destination};
use crate::route::Plan;
use crate::source::{Source, SourceError};
use crate::store::commit::OutboxRow;
use crate::store::{Store, StoreError};
use crate::time::ArrivalTime;
use courier::Couriers;
use heartbeat::{Heartbeat, Pulse};
use informed::Informed;
use lookout::Lookout;
use reports::{Maker, Reports};
use teller::Teller;

/// Why the pipeline stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The source cannot go on.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A destination's settings are wrong.
    #[error(transparent)]
    Destination(#[from] notify::Invalid),
}

/// How often actions and waiting notifications are looked after.
const TICK: Duration = Duration::from_secs(1);
/// Pauses before each new attempt at a failed transaction.
const RETRY_AFTER: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
];

/// Engine and store, in step with each other.
pub struct Core {
    /// The database.
    pub store: Store,
    engine: Engine,
}

impl Core {
    /// The state the database holds.
    ///
    /// # Errors
    /// What the database says.
    pub async fn restore(mut store: Store, env: Env) -> Result<Self, StoreError> {
        let mut saved = store.load().await?;
        saved.budgets = store.load_budgets(&env.settings).await?;
        Ok(Self { store, engine: Engine::restore(saved, env) })
    }

    /// Where a source goes on.
    #[must_use]
    pub fn positions(&self) -> HashMap<PartitionKey, Position> {
        self.engine.positions()
    }

    /// What is known about networks and identities from the next step on.
    pub fn know(&mut self, known: Arc<Known>) {
        self.engine.know(known);
    }

    /// One step: apply, tell, save. `tell` turns announcements into outbox rows, and notes in the effects
    /// what it must remember.
    ///
    /// A failed transaction is tried again with the same effects on a new connection; after the
    /// last attempt the process must end, and the next start resumes from the database.
    ///
    /// # Errors
    /// The database refused for good.
    pub async fn step(
        &mut self,
        batch: &Batch,
        tell: &mut (dyn FnMut(&mut Effects) -> Vec<OutboxRow> + Send),
    ) -> Result<Effects, StoreError> {
        let mut effects = self.engine.apply(batch);
        let rows = tell(&mut effects);
        if effects.is_empty() && rows.is_empty() {
            return Ok(effects);
        }
        self.save(&effects, &rows).await?;
        // What the database has forgotten is told before the next batch can refer to it.
        self.engine.forget(&self.store.take_forgotten());
        Ok(effects)
    }

    async fn save(&mut self, effects: &Effects, rows: &[OutboxRow]) -> Result<(), StoreError> {
        let Err(mut error) = self.store.commit(effects, rows).await else { return Ok(()) };
        for pause in RETRY_AFTER {
            if matches!(error, StoreError::Fenced { .. }) {
                return Err(error);
            }
            tracing::warn!(%error, retry_ms = pause.as_millis(), "cannot save a step");
            tokio::time::sleep(pause).await;
            match self.store.recommit(effects, rows).await {
                Ok(()) => return Ok(()),
                Err(again) => error = again,
            }
        }
        Err(error)
    }
}

/// Runs `source` to its end or until `stop`, calling `after` once a batch is saved.
///
/// # Errors
/// The source or the database gave up.
pub async fn drain<S: Source>(
    core: &mut Core,
    source: &mut S,
    stop: &CancellationToken,
    after: &mut (dyn FnMut(&S, &Effects) + Send),
) -> Result<(), PipelineError> {
    loop {
        let batch = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            batch = source.next_batch() => batch?,
        };
        let Some(mut batch) = batch else { return Ok(()) };
        batch.storage = core.store.measured().await?;
        let effects = core.step(&batch, &mut |_| Vec::new()).await?;
        after(source, &effects);
    }
}

/// Wall clock in milliseconds since 1970; tests pass their own.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// The wall clock of this machine. Used for pauses between attempts and for signatures, never for
/// a window, a score or an incident.
#[must_use]
pub fn wall_clock() -> Clock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    let now = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    Arc::new(move || now().map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX)))
}

/// The always-on service: one source, one core, one courier per destination.
pub struct Service<S> {
    /// Engine and store.
    pub core: Core,
    /// Where events come from.
    pub source: S,
    /// Where announcements go.
    pub destinations: Vec<Destination>,
    /// Who hears of what.
    pub plan: Plan,
    /// Whom to tell that the service is alive.
    pub heartbeat: Option<HeartbeatSettings>,
    /// The operator's automation, where it may be asked to take steps.
    pub automation: Option<ResponseSettings>,
    /// Wall clock.
    pub clock: Clock,
    /// Lists of networks and names of identities.
    pub files: Files,
    /// The directory, where it is asked for names of identities.
    pub directory: Option<Directory>,
    /// What makes the weekly report, where it is to leave by itself.
    pub reports: Option<Maker>,
}

impl<S: Source> Service<S> {
    /// A service that reads, counts and judges, and tells nobody.
    #[must_use]
    pub fn new(core: Core, source: S, clock: Clock) -> Self {
        Self {
            core,
            source,
            destinations: Vec::new(),
            plan: Plan::everybody(Vec::new()),
            heartbeat: None,
            automation: None,
            clock,
            files: Files::default(),
            directory: None,
            reports: None,
        }
    }

    /// The same that tells these destinations of everything.
    #[must_use]
    pub fn telling(self, destinations: Vec<Destination>) -> Self {
        let plan = Plan::everybody(notify::receivers(&destinations));
        Self { destinations, plan, ..self }
    }

    /// Runs until `stop` fires or the source ends; then lets letters in hand arrive and closes the
    /// database. `watch` sees every batch before it is applied and its effects once they are saved.
    ///
    /// # Errors
    /// A destination that cannot be used, a source or a database that gave up.
    pub async fn run(
        mut self,
        stop: &CancellationToken,
        watch: &mut (dyn Watch + Send),
    ) -> Result<S, PipelineError> {
        let mut couriers =
            Couriers::start(&self.destinations, self.automation.as_ref(), &self.clock)?;
        let files = std::mem::take(&mut self.files);
        self.core.know(files.known());
        let mut informed = Informed::new(self.directory.take(), files.known());
        let lookout = Lookout::start(files, Arc::clone(&self.clock));
        let state = self.core.store.load_routes((self.clock)()).await?;
        let teller = Teller::restore(self.plan.clone(), state, self.destinations.clone());
        let pulse = Pulse::new();
        let start = |settings| Heartbeat::start(settings, pulse.clone(), Arc::clone(&self.clock));
        let heartbeat = self.heartbeat.as_ref().map(start).transpose()?;
        let reports = Reports::start(self.reports.take(), &self.clock);
        let mut desk = Desk { teller, lookout, reports, pulse };
        let ended = self.follow(stop, watch, (&mut couriers, &mut desk, &mut informed)).await;
        drop(heartbeat);
        desk.reports.close().await;
        informed.close().await;
        couriers.finish(&mut self.core.store, &self.clock).await;
        self.core.store.close().await?;
        ended.map(|()| self.source)
    }

    async fn follow(
        &mut self,
        stop: &CancellationToken,
        watch: &mut (dyn Watch + Send),
        (couriers, desk, informed): (&mut Couriers, &mut Desk, &mut Informed),
    ) -> Result<(), PipelineError> {
        couriers.dispatch(&mut self.core.store, &self.clock).await?;
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let batch = tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                delivered = couriers.delivered() => {
                    couriers.settle(delivered, &mut self.core.store, &self.clock).await?;
                    couriers.dispatch(&mut self.core.store, &self.clock).await?;
                    continue;
                }
                made = desk.reports.made() => {
                    reports::save(&mut self.core.store, &made).await?;
                    couriers.dispatch(&mut self.core.store, &self.clock).await?;
                    continue;
                }
                batch = self.source.next_batch() => batch?, // cancel safe: see `Source`
                // What people ask for and what waits for its time does not wait for records.
                _ = tick.tick() => {
                    let actions = self.core.store.pending_actions().await?;
                    let responded = match self.automation {
                        Some(_) => self.core.store.responded().await?,
                        None => Vec::new(),
                    };
                    desk.pulse.beat();
                    let is_due = desk.teller.is_due((self.clock)());
                    if actions.is_empty() && responded.is_empty() && !is_due {
                        couriers.dispatch(&mut self.core.store, &self.clock).await?;
                        continue;
                    }
                    Some(Batch { actions, responded, ..Batch::default() })
                }
            };
            let Some(mut batch) = batch else { return Ok(()) };
            batch.undeliverable = std::mem::take(&mut couriers.given_up);
            batch.clock = Some(ArrivalTime((self.clock)()));
            let mut files = None;
            if let Some(look) = desk.lookout.latest() {
                files = look.known;
                batch.lists = Some(look.troubles);
            }
            if let Some(known) = informed.latest(files) {
                self.core.know(known);
            }
            batch.storage = self.core.store.measured().await?;
            if batch.troubles.iter().any(|trouble| trouble.kind == TroubleKind::Taken) {
                // Is the other reader a successor at this database? Then our time is over.
                self.core.store.check_owner().await?;
            }
            watch.arrived(&batch);
            let now_ms = (self.clock)();
            let mut tell =
                |effects: &mut Effects| desk.teller.tell(effects, &batch.actions, now_ms);
            let effects = self.core.step(&batch, &mut tell).await?;
            desk.pulse.beat();
            informed.ask(&effects);
            watch.saved(&effects);
            couriers.dispatch(&mut self.core.store, &self.clock).await?;
        }
    }
}

/// What the loop asks in every round.
struct Desk {
    teller: Teller,
    lookout: Lookout,
    reports: Reports,
    pulse: Pulse,
}

/// Somebody who looks on: the demo, a capture, tests.
pub trait Watch {
    /// A batch is about to be applied.
    fn arrived(&mut self, batch: &Batch);
    /// Its effects are safe.
    fn saved(&mut self, effects: &Effects);
}

/// Nobody.
pub struct Unwatched;

impl Watch for Unwatched {
    fn arrived(&mut self, _batch: &Batch) {}

    fn saved(&mut self, _effects: &Effects) {}
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::EngineSettings;
    use crate::engine::effects::Saved;
    use crate::event::{Arrival, Trouble};
    use crate::incident::Severity;
    use crate::notify::EmlSettings;
    use crate::price::PriceBook;
    use crate::route;

    #[test]
    fn a_partition_nothing_was_read_from_is_remembered() {
        let env = Env::new(EngineSettings::default(), PriceBook::built_in().unwrap());
        let mut engine = Engine::restore(Saved::default(), env);
        let key = |partition: &str| PartitionKey {
            hub: "east".to_owned(),
            incarnation: 0,
            partition: partition.to_owned(),
        };
        engine.apply(&Batch { members: vec![key("0"), key("1")], ..Batch::default() });
        let arrival = Arrival {
            partition: key("0"),
            sequence: 0,
            enqueued: ArrivalTime(60_000),
            body: b"{}".to_vec(),
        };
        let effects = engine.apply(&Batch { arrivals: vec![arrival], ..Batch::default() });
        let saved: Vec<_> = effects.positions.iter().map(|p| (&*p.key.partition, p.to)).collect();
        assert_eq!(saved, [("0", Some(1)), ("1", None)]);
    }

    #[test]
    fn a_hub_that_never_let_us_in_is_told_by_our_own_clock_and_once() {
        let env = Env::new(EngineSettings::default(), PriceBook::built_in().unwrap());
        let mut engine = Engine::restore(Saved::default(), env);
        let trouble = Trouble {
            hub: "east".to_owned(),
            partition: None,
            kind: TroubleKind::Refused,
            reason: "amqp:unauthorized-access".to_owned(),
        };
        let clock = Some(ArrivalTime(1_700_000_000_000));
        let batch = Batch { troubles: vec![trouble], clock, ..Batch::default() };
        let told = engine.apply(&batch).announcements;
        assert_eq!(told.len(), 1);
        let incident = &told[0].incident;
        assert_eq!((incident.rule.as_str(), Some(incident.opened_at)), ("TW-S06", clock));
        assert!(incident.evidence[0].contains("hub east refuses us: amqp:unauthorized-access"));
        assert!(engine.apply(&batch).announcements.is_empty());
    }

    #[test]
    fn that_a_destination_is_deaf_is_told_to_the_others_once() {
        let env = Env::new(EngineSettings::default(), PriceBook::built_in().unwrap());
        let mut engine = Engine::restore(Saved::default(), env);
        let batch = Batch { undeliverable: vec!["siem".to_owned()], ..Batch::default() };
        let effects = engine.apply(&batch);
        let destinations = ["siem", "oncall"].map(|name| {
            let settings = EmlSettings {
                folder: "mails".into(),
                from: "a@example.com".to_owned(),
                to: vec!["b@example.com".to_owned()],
            };
            Destination::new(name, Severity::Low, settings)
        });
        let mut effects = effects;
        let plan = Plan::everybody(notify::receivers(&destinations));
        let mut teller = Teller::restore(plan, route::State::default(), destinations.to_vec());
        let rows = teller.tell(&mut effects, &[], 0);
        let told: Vec<&str> = rows.iter().map(|row| row.destination.as_str()).collect();
        assert_eq!(told, ["oncall"]);
        assert!(rows[0].incident_key.starts_with("TW-S05|siem|1|"), "{}", rows[0].incident_key);
        assert!(engine.apply(&batch).announcements.is_empty());
    }
}
