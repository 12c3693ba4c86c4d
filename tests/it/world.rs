//! A hub of simulated events on the emulator, and the service that reads it into a database.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::time::Duration;

use tokenwatch::emulator::{Control, Emulator, EmulatorClock, HubSpec};
use tokenwatch::engine::{EngineSettings, Env};
use tokenwatch::pipeline::{Core, PipelineError, Service, Unwatched, wall_clock};
use tokenwatch::price::PriceBook;
use tokenwatch::simulate::{HubEvent, Options, Scenario, Simulation, Truth};
use tokenwatch::source::event_hubs::{Auth, EventHubs, HubSettings, Pace, Start, Transport};
use tokenwatch::store::Store;
use tokenwatch::store::read::Reader;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::harness::{Sums, stored_sums, true_sums};

pub(crate) const HUB: &str = "logs";
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// The hub and what went into it.
pub(crate) struct World {
    folder: tempfile::TempDir,
    emulator: Emulator,
    pub(crate) clock: EmulatorClock,
    pub(crate) pace: Pace,
    pub(crate) events: Vec<HubEvent>,
    truth: Truth,
}

/// A service that reads the hub.
pub(crate) struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<Result<(), PipelineError>>,
}

impl Running {
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.ended().await.unwrap();
    }

    /// Waits until it ends by itself.
    pub(crate) async fn ended(self) -> Result<(), PipelineError> {
        timeout(PATIENCE, self.task).await.unwrap().unwrap()
    }
}

/// Everything as in the program, but a hundred times faster.
const fn pace() -> Pace {
    Pace {
        time_scale: 0.0,
        flush: Duration::from_millis(20),
        probe: Duration::from_millis(150),
        answer: Duration::from_millis(1_500),
        backoff: (Duration::from_millis(20), Duration::from_millis(200)),
        busy: Duration::from_millis(50),
        trouble: Duration::from_mins(1),
        stalled: Duration::from_mins(15),
    }
}

impl World {
    pub(crate) async fn new() -> Self {
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let simulation = Simulation::new(Options {
            scenario: Scenario::Quiet,
            seed: 5,
            history_hours: 5,
            live_minutes: 30,
            deployments: 3,
            calls_per_hour: 25.0,
            partitions: 2,
            ..Options::default()
        });
        let (start, _, _) = simulation.span();
        let listen = "127.0.0.1:0".parse().unwrap();
        let hubs = vec![HubSpec::new(HUB, 2)];
        let clock = EmulatorClock::fixed(start);
        let emulator = Emulator::start(listen, hubs, clock.clone()).await.unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            emulator,
            clock,
            pace: pace(),
            events: simulation.events().collect(),
            truth: simulation.truth(),
        }
    }

    pub(crate) fn control(&self) -> Control {
        self.emulator.control()
    }

    /// Does one thing wrong, in the words of a script.
    pub(crate) fn apply(&self, action: &str) {
        self.control().apply(action.parse().unwrap()).unwrap();
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.folder.path().join("tokenwatch.db")
    }

    pub(crate) fn append(&self, part: std::ops::Range<usize>) {
        for event in self.events.get(part).unwrap() {
            let body = event.body.clone();
            self.control().append_at(HUB, event.partition, body, event.enqueued_ms).unwrap();
        }
    }

    pub(crate) fn half(&self) -> usize {
        self.events.len() / 2
    }

    pub(crate) async fn start(&self) -> Running {
        let env = Env::new(EngineSettings::default(), PriceBook::built_in().unwrap());
        let store = Store::open(&self.database()).await.unwrap();
        let core = Core::restore(store, env).await.unwrap();
        let source =
            EventHubs::start(vec![self.hub()], &core.positions(), core.store.epoch, self.pace);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let service = Service::new(core, source, wall_clock());
            service.run(&stopped, &mut Unwatched).await?.close().await;
            Ok(())
        });
        Running { stop, task }
    }

    /// Another reader of our consumer group that knows nothing of our database.
    pub(crate) fn rival(&self, owner_level: i64) -> EventHubs {
        EventHubs::start(vec![self.hub()], &HashMap::new(), owner_level, self.pace)
    }

    fn hub(&self) -> HubSettings {
        HubSettings {
            name: "east".to_owned(),
            namespace: "localhost".to_owned(),
            hub: HUB.to_owned(),
            consumer_group: "tokenwatch".to_owned(),
            auth: Auth::ConnectionString(self.emulator.connection_string(HUB).into()),
            custom_endpoint: Some(self.emulator.endpoint()),
            transport: Transport::Amqp,
            start: Start::Earliest,
            prefetch: 50,
        }
    }

    /// Waits until an incident of this rule is stored.
    pub(crate) async fn told(&self, rule: &str) {
        let waiting = async {
            while !self.rules().await.iter().any(|told| told == rule) {
                sleep(Duration::from_millis(30)).await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap();
    }

    /// Waits until every event the hub ever held of `incarnation` is behind us.
    pub(crate) async fn applied(&self, incarnation: i64) {
        let wanted = self.control().received(HUB);
        let waiting = async {
            loop {
                if let Ok(mut reader) = Reader::open(&self.database()).await {
                    let positions = reader.positions().await.unwrap();
                    let next: BTreeMap<_, _> = positions
                        .into_iter()
                        .filter(|(key, _)| key.incarnation == incarnation)
                        .map(|(key, next)| (key.partition, next.unwrap_or(0)))
                        .collect();
                    let behind = wanted.iter().enumerate().any(|(partition, sequence)| {
                        next.get(&partition.to_string()).copied().unwrap_or(0) < *sequence
                    });
                    if !behind {
                        return;
                    }
                }
                sleep(Duration::from_millis(30)).await;
            }
        };
        timeout(PATIENCE, waiting).await.unwrap();
    }

    /// Calls and tokens by deployment, as stored and as they were.
    pub(crate) async fn sums(&self) -> (Sums, Sums) {
        (stored_sums(&self.database()).await, true_sums(&self.truth))
    }

    pub(crate) async fn assert_exact(&self) {
        let (stored, truth) = self.sums().await;
        assert_eq!(stored, truth);
        let mut reader = Reader::open(&self.database()).await.unwrap();
        let (partitions, totals) = reader.double_entry().await.unwrap();
        assert_eq!(partitions, totals);
    }

    /// The rules of all incidents, each once.
    pub(crate) async fn rules(&self) -> Vec<String> {
        let mut reader = Reader::open(&self.database()).await.unwrap();
        let mut rules: Vec<_> =
            reader.incidents().await.unwrap().into_iter().map(|incident| incident.rule).collect();
        rules.sort();
        rules.dedup();
        rules
    }
}
