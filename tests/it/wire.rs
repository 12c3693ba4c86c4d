//! The service over real AMQP while the hub misbehaves: totals stay exact, and what is lost is said.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use tokenwatch::emulator::{Control, Emulator, EmulatorClock, HubSpec, Refuse};
use tokenwatch::engine::{EngineSettings, Env};
use tokenwatch::pipeline::{Core, Service, Unwatched, wall_clock};
use tokenwatch::price::PriceBook;
use tokenwatch::simulate::{HubEvent, Options, Scenario, Simulation, Truth};
use tokenwatch::source::event_hubs::{Auth, EventHubs, HubSettings, Pace, Start, Transport};
use tokenwatch::store::Store;
use tokenwatch::store::read::Reader;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::harness::{Sums, stored_sums, true_sums};

const HUB: &str = "logs";
const PATIENCE: Duration = Duration::from_secs(40);

struct World {
    folder: tempfile::TempDir,
    emulator: Emulator,
    emulator_clock: EmulatorClock,
    events: Vec<HubEvent>,
    truth: Truth,
}

struct Running {
    stop: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn stop(self) {
        self.stop.cancel();
        timeout(PATIENCE, self.task).await.unwrap().unwrap();
    }
}

impl World {
    async fn new() -> Self {
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
            emulator_clock: clock,
            events: simulation.events().collect(),
            truth: simulation.truth(),
        }
    }

    fn control(&self) -> Control {
        self.emulator.control()
    }

    fn database(&self) -> PathBuf {
        self.folder.path().join("tokenwatch.db")
    }

    fn append(&self, part: std::ops::Range<usize>) {
        for event in self.events.get(part).unwrap() {
            let body = event.body.clone();
            self.control().append_at(HUB, event.partition, body, event.enqueued_ms).unwrap();
        }
    }

    fn half(&self) -> usize {
        self.events.len() / 2
    }

    async fn start(&self) -> Running {
        let env = Env { settings: EngineSettings::default(), book: PriceBook::built_in().unwrap() };
        let store = Store::open(&self.database()).await.unwrap();
        let core = Core::restore(store, env).await.unwrap();
        let hub = HubSettings {
            name: "east".to_owned(),
            namespace: "localhost".to_owned(),
            hub: HUB.to_owned(),
            consumer_group: "tokenwatch".to_owned(),
            auth: Auth::ConnectionString(self.emulator.connection_string(HUB).into()),
            custom_endpoint: Some(self.emulator.endpoint()),
            transport: Transport::Amqp,
            start: Start::Earliest,
            prefetch: 50,
        };
        let pace = Pace {
            time_scale: 0.0,
            flush: Duration::from_millis(20),
            probe: Duration::from_millis(150),
            answer: Duration::from_secs(5),
            backoff: (Duration::from_millis(20), Duration::from_millis(200)),
            busy: Duration::from_millis(50),
            trouble: Duration::from_mins(1),
            stalled: Duration::from_mins(15),
        };
        let source = EventHubs::start(vec![hub], &core.positions(), core.store.epoch, pace);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let task = tokio::spawn(async move {
            let service = Service { core, source, destinations: Vec::new(), clock: wall_clock() };
            service.run(&stopped, &mut Unwatched).await.unwrap().close().await;
        });
        Running { stop, task }
    }

    /// Waits until every event the hub ever held of `incarnation` is behind us.
    async fn applied(&self, incarnation: i64) {
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
    async fn sums(&self) -> (Sums, Sums) {
        (stored_sums(&self.database()).await, true_sums(&self.truth))
    }

    async fn assert_exact(&self) {
        let (stored, truth) = self.sums().await;
        assert_eq!(stored, truth);
        let mut reader = Reader::open(&self.database()).await.unwrap();
        let (partitions, totals) = reader.double_entry().await.unwrap();
        assert_eq!(partitions, totals);
    }

    async fn rules(&self) -> Vec<String> {
        let mut reader = Reader::open(&self.database()).await.unwrap();
        let mut rules: Vec<_> =
            reader.incidents().await.unwrap().into_iter().map(|incident| incident.rule).collect();
        rules.sort();
        rules
    }
}

/// Half of the events, a fault, the other half: nothing is lost and nothing counts twice.
async fn check_harmless(fault: impl AsyncFn(&World)) {
    let world = World::new().await;
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    fault(&world).await;
    world.append(world.half()..world.events.len());
    world.applied(0).await;
    running.stop().await;
    world.assert_exact().await;
    assert_eq!(world.rules().await, Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undisturbed_hub_gives_the_truth() {
    check_harmless(async |_| {}).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cut_connections_lose_nothing() {
    check_harmless(async |world| {
        for _ in 0..5 {
            world.control().cut_connections();
            sleep(Duration::from_millis(40)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn detached_and_stolen_links_are_taken_again() {
    check_harmless(async |world| {
        for condition in
            ["amqp:link:stolen", "amqp:unauthorized-access", "com.microsoft:server-busy"]
        {
            world.control().detach(HUB, 0, condition);
            world.control().detach(HUB, 1, condition);
            sleep(Duration::from_millis(60)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_connections_are_waited_out() {
    check_harmless(async |world| {
        world.control().refuse(Refuse::Connections);
        world.control().cut_connections();
        sleep(Duration::from_millis(300)).await;
        world.control().refuse(Refuse::Off);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_delivered_twice_count_once() {
    check_harmless(async |world| {
        world.control().duplicate(HUB, 0, 500);
        world.control().duplicate(HUB, 1, 500);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_partition_is_noticed_and_read_again() {
    let world = World::new().await;
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    world.control().freeze(HUB, 0);
    world.append(world.half()..world.events.len());
    let before = world.control().attach_count();
    let attached_again = async {
        while world.control().attach_count() < before + 3 {
            sleep(Duration::from_millis(30)).await;
        }
    };
    timeout(PATIENCE, attached_again).await.unwrap();
    world.control().thaw(HUB, 0);
    world.applied(0).await;
    running.stop().await;
    world.assert_exact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn missing_events_raise_an_incident() {
    let world = World::new().await;
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    world.control().skip_sequences(HUB, 0, 7);
    world.append(world.half()..world.events.len());
    world.applied(0).await;
    running.stop().await;
    world.assert_exact().await;
    assert_eq!(world.rules().await, ["TW-S01"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_removed_before_they_were_read_raise_an_incident() {
    let world = World::new().await;
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    running.stop().await;
    world.append(world.half()..world.events.len());
    let next = world.control().received(HUB);
    world.control().expire(HUB, 0, next[0] - 2);
    let running = world.start().await;
    world.applied(0).await;
    running.stop().await;
    assert_eq!(world.rules().await, ["TW-S01"]);
    let (stored, truth) = world.sums().await;
    let calls = |sums: &Sums| sums.values().map(|sum| sum[0]).sum::<i64>();
    assert!(calls(&stored) < calls(&truth));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_recreated_hub_is_read_from_its_beginning() {
    let world = World::new().await;
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    world.control().recreate(HUB);
    // Fewer events than before, so that a naive reader would take them all for duplicates.
    let end = world.half() + world.half() / 2;
    world.append(world.half()..end);
    world.applied(1).await;
    world.append(end..world.events.len());
    world.applied(1).await;
    running.stop().await;
    world.assert_exact().await;
    assert!(world.rules().await.contains(&"TW-S02".to_owned()), "{:?}", world.rules().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_recreated_and_filled_while_we_were_away_is_read_from_its_beginning() {
    let world = World::new().await;
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    running.stop().await;
    let newest = world.events[world.half() - 1].enqueued_ms;
    world.emulator_clock.set(newest + 1);
    world.control().recreate(HUB);
    // More events than before: its sequence numbers alone tell nothing.
    world.append(world.half()..world.events.len());
    for partition in [0, 1] {
        for _ in 0..world.half() {
            world.control().append_at(HUB, partition, b"{}".to_vec(), newest).unwrap();
        }
    }
    let running = world.start().await;
    world.applied(1).await;
    running.stop().await;
    world.assert_exact().await;
    assert!(world.rules().await.contains(&"TW-S02".to_owned()), "{:?}", world.rules().await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn new_partitions_are_picked_up() {
    let world = World::new().await;
    let running = world.start().await;
    world.append(0..world.half());
    world.applied(0).await;
    world.control().add_partitions(HUB, 4);
    for (place, event) in world.events.iter().enumerate().skip(world.half()) {
        let partition = u32::try_from(place % 4).unwrap();
        let body = event.body.clone();
        world.control().append_at(HUB, partition, body, event.enqueued_ms).unwrap();
    }
    world.applied(0).await;
    running.stop().await;
    world.assert_exact().await;
}
