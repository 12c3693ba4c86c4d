//! The real program under `kill -9`: nothing counted twice, nothing lost, no page lost.
//!
//! Kills at random and at four named places, each at least twenty times; then the database is
//! compared with that of a run that was never disturbed. The negative control saves positions in a
//! second transaction and must be caught, or this harness proves nothing.

#![expect(
    clippy::disallowed_methods,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a harness measures time, is told its size by the environment and prints its counts"
)]

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use secrecy::SecretString;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{Connection as _, Row as _};
use tokenwatch::emulator::{Control, Emulator, EmulatorClock, HubSpec};
use tokenwatch::notify::listener::Listener;
use tokenwatch::simulate::{HubEvent, Options, Scenario, Simulation};
use tokenwatch::store::Store;
use tokenwatch::store::commit::OutboxRow;
use tokenwatch::store::read::Reader;
use tokenwatch::time::ArrivalTime;

const HUB: &str = "logs";
const SECRET: &str = "whsec_Y3Jhc2gtdGVzdHMtb25seS1ub3QtYS1zZWNyZXQtMDAwMA==";
const POINTS: [&str; 4] = ["in-commit", "before-send", "before-mark", "attach"];
/// How often each point must be hit in a full run.
const EACH: u32 = 20;

/// Hub, receiver and configuration that the program under test meets.
struct World {
    folder: tempfile::TempDir,
    emulator: Emulator,
    listener: Listener,
    events: Vec<HubEvent>,
    live_ms: i64,
    appended: usize,
}

impl World {
    async fn new(options: Options) -> Self {
        let simulation = Simulation::new(options);
        let (start, live_ms, _) = simulation.span();
        let hub = HubSpec::new(HUB, simulation.options().partitions);
        let loopback = "127.0.0.1:0".parse().unwrap();
        let emulator =
            Emulator::start(loopback, vec![hub], EmulatorClock::fixed(start)).await.unwrap();
        let listener = Listener::start(loopback, &SecretString::from(SECRET)).await.unwrap();
        let events = simulation.events().collect();
        let folder = tempfile::tempdir().unwrap();
        Self { folder, emulator, listener, events, live_ms, appended: 0 }
    }

    fn control(&self) -> Control {
        self.emulator.control()
    }

    /// Puts events up to `until` into the hub.
    fn append(&mut self, until: usize) {
        let control = self.control();
        for event in &self.events[self.appended..until.min(self.events.len())] {
            let body = event.body.clone();
            control.append_at(HUB, event.partition, body, event.enqueued_ms).unwrap();
        }
        self.appended = until.min(self.events.len()).max(self.appended);
    }

    /// A folder with a configuration for one run.
    fn state(&self, name: &str) -> State {
        let folder = self.folder.path().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("hub.secret"), self.emulator.connection_string(HUB)).unwrap();
        std::fs::write(folder.join("webhook.secret"), SECRET).unwrap();
        let config = format!(
            "database = \"tokenwatch.db\"\n[[hub]]\nname = \"east\"\nnamespace = \"localhost.localdomain\"\n\
             hub = \"{HUB}\"\nconsumer_group = \"tokenwatch\"\nauth = \"connection-string\"\n\
             connection_string = {{ file = \"hub.secret\" }}\ncustom_endpoint = \"{}\"\n\
             [[notify.webhook]]\nname = \"siem\"\nurl = \"{}\"\nsecret = {{ file = \"webhook.secret\" }}\n\
             min_severity = \"low\"\n",
            self.emulator.endpoint(),
            self.listener.url()
        );
        std::fs::write(folder.join("tokenwatch.toml"), config).unwrap();
        State { folder }
    }

    /// First slot not judged once everything has passed.
    fn judged_to(&self) -> i64 {
        let newest = self.events.iter().map(|event| event.enqueued_ms).max().unwrap();
        tokenwatch::engine::account::closed_before(ArrivalTime(newest), 5 * 60_000).0
    }
}

/// One database and the program that writes it.
struct State {
    folder: PathBuf,
}

impl State {
    fn database(&self) -> PathBuf {
        self.folder.join("tokenwatch.db")
    }

    fn spawn(&self, stop_at: &str, variant: &str) -> Running {
        let mut child = Command::new(env!("CARGO_BIN_EXE_tokenwatch"))
            .args(["run", "--flush-ms", "40", "--hub-time-scale", "0"])
            .args(["--stop-at", stop_at, "--sabotage", variant, "--config"])
            .arg(self.folder.join("tokenwatch.toml"))
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let (tell, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in out.lines().map_while(Result::ok) {
                if tell.send(line).is_err() {
                    return;
                }
            }
        });
        Running { child, lines }
    }

    /// Runs undisturbed until everything is applied, judged and delivered.
    async fn finish(&self, world: &World, variant: &str) -> bool {
        let running = self.spawn(":0", variant);
        let deadline = Instant::now() + Duration::from_secs(120);
        while Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if self.done(world).await {
                running.kill();
                return true;
            }
        }
        running.kill();
        false
    }

    async fn done(&self, world: &World) -> bool {
        let Some(mut db) = connect(&self.database()).await else { return false };
        let mut next = BTreeMap::new();
        let rows = sqlx::query("select partition, next_seq from partition_state")
            .fetch_all(&mut db)
            .await
            .unwrap_or_default();
        for row in rows {
            let partition: String = row.get(0);
            next.insert(partition, row.get::<Option<i64>, _>(1).unwrap_or(0));
        }
        let read = world.control().received(HUB).iter().enumerate().all(|(partition, sequence)| {
            next.get(&partition.to_string()).copied().unwrap_or(0) == *sequence
        });
        let judged: i64 = sqlx::query("select coalesce(min(judged_to), 0) from account")
            .fetch_one(&mut db)
            .await
            .map_or(0, |row| row.get(0));
        let waiting: i64 = sqlx::query("select count(*) from outbox where state = 'pending'")
            .fetch_one(&mut db)
            .await
            .map_or(1, |row| row.get(0));
        read && judged == world.judged_to() && waiting == 0
    }

    async fn digest(&self) -> Vec<String> {
        Reader::open(&self.database()).await.unwrap().digest().await.unwrap()
    }

    async fn balanced(&self) -> bool {
        let Ok(mut reader) = Reader::open(&self.database()).await else { return true };
        let (partitions, totals) = reader.double_entry().await.unwrap();
        partitions == totals
    }

    /// Makes sure that something waits to be sent.
    async fn keep_waiting(&self, number: u32) {
        let Some(mut db) = connect(&self.database()).await else { return };
        let waiting: i64 = sqlx::query("select count(*) from outbox where state = 'pending'")
            .fetch_one(&mut db)
            .await
            .map_or(1, |row| row.get(0));
        db.close().await.unwrap();
        if waiting == 0 {
            let row = OutboxRow {
                key: format!("crash-test-{number}"),
                incident_key: format!("crash-test-{number}"),
                destination: "siem".to_owned(),
                kind: "test".to_owned(),
                created: ArrivalTime(i64::from(number)),
                body: format!("{{\"number\":{number}}}").into_bytes(),
            };
            let mut store = Store::open(&self.database()).await.unwrap();
            store.enqueue(&[row]).await.unwrap();
            store.close().await.unwrap();
        }
    }
}

async fn connect(database: &Path) -> Option<SqliteConnection> {
    let options = SqliteConnectOptions::new().filename(database).read_only(true);
    SqliteConnection::connect_with(&options).await.ok()
}

/// The program while it runs.
struct Running {
    child: Child,
    lines: mpsc::Receiver<String>,
}

impl Running {
    /// Waits until the program stands at its point; false when it does not get there in time.
    fn reaches(&self, point: &str, within: Duration) -> bool {
        let wanted = format!("at {point}");
        let deadline = Instant::now() + within;
        while let Ok(line) =
            self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))
        {
            if line == wanted {
                return true;
            }
        }
        false
    }

    /// `kill -9`.
    fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn options(seed: u64) -> Options {
    Options {
        scenario: Scenario::StolenKey,
        seed,
        history_hours: 84,
        live_minutes: 110,
        deployments: 3,
        calls_per_hour: 8.0,
        ..Options::default()
    }
}

/// Kills `count` times while the events trickle in; returns the hits by point.
async fn storm(world: &mut World, state: &State, count: u32, variant: &str) -> Storm {
    let mut random = fastrand::Rng::with_seed(u64::from(count));
    let mut storm = Storm::default();
    let live = world.events.partition_point(|event| event.enqueued_ms < world.live_ms);
    let mut round = 0;
    // Three fifths of the rounds bring the history, the rest the live part.
    while round < count || (variant.is_empty() && storm.fewest() < EACH.min(count / 8)) {
        let (place, all) = (round as usize, count as usize);
        let until = if place < all * 3 / 5 {
            live * (place + 1) / (all * 3 / 5).max(1)
        } else {
            live + (world.events.len() - live) * (place + 1 - all * 3 / 5) / (all * 2 / 5).max(1)
        };
        world.append(until);
        let point = match round % 5 {
            4 => "",
            place => POINTS[place as usize],
        };
        let point = if variant.is_empty() { point } else { "in-commit" };
        if point.starts_with("before") {
            state.keep_waiting(round).await;
        }
        let at = if point.starts_with("before") { 1 } else { random.u32(1..=3) };
        let running = state.spawn(&format!("{point}:{at}"), variant);
        let within =
            Duration::from_millis(if point.is_empty() { random.u64(20..400) } else { 3000 });
        if running.reaches(point, within) {
            *storm.hits.entry(point).or_default() += 1;
        } else {
            storm.at_random += 1;
        }
        running.kill();
        storm.unbalanced += u32::from(!state.balanced().await);
        round += 1;
        assert!(round < count * 3 + 200, "points are not reached: {storm:?}");
    }
    world.append(usize::MAX);
    storm.kills = round;
    storm
}

#[derive(Debug, Default)]
struct Storm {
    kills: u32,
    at_random: u32,
    unbalanced: u32,
    hits: BTreeMap<&'static str, u32>,
}

impl Storm {
    fn fewest(&self) -> u32 {
        POINTS.iter().map(|point| self.hits.get(point).copied().unwrap_or(0)).min().unwrap_or(0)
    }
}

fn kills() -> u32 {
    let set = std::env::var("TOKENWATCH_KILLS");
    set.ok().and_then(|text| text.parse().ok()).unwrap_or(40)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_lose_nothing_and_count_nothing_twice() {
    let mut world = World::new(options(3)).await;
    let killed = world.state("killed");
    let storm = storm(&mut world, &killed, kills(), "").await;
    println!("{} kills: {:?}, {} at random moments", storm.kills, storm.hits, storm.at_random);
    assert_eq!(storm.unbalanced, 0, "the two sides of the double entry differ after a kill");
    assert!(storm.fewest() >= EACH.min(kills() / 8), "{storm:?}");
    assert!(killed.finish(&world, "").await, "not everything was applied and delivered");
    let deliveries = world.listener.deliveries();

    let calm = world.state("calm");
    assert!(calm.finish(&world, "").await);
    let (killed_digest, calm_digest) = (killed.digest().await, calm.digest().await);
    assert!(calm_digest.iter().any(|line| line.starts_with("incident TW-C01")), "no incident");
    assert_eq!(difference(&killed_digest, &calm_digest), Vec::<String>::new());
    assert!(killed.balanced().await && calm.balanced().await);

    let mut bodies: HashMap<String, Vec<u8>> = HashMap::new();
    for delivery in deliveries {
        assert!(delivery.verified);
        let known = bodies.entry(delivery.id.clone()).or_insert_with(|| delivery.body.clone());
        assert_eq!(*known, delivery.body, "a key came with other bytes: {}", delivery.id);
    }
    let outbox = Reader::open(&killed.database()).await.unwrap().outbox().await.unwrap();
    println!("{} notifications, {} keys delivered", outbox.len(), bodies.len());
    for (key, _, kind, state, body) in &outbox {
        assert_eq!(state, "sent", "{kind}");
        assert_eq!(bodies.get(key), Some(body), "{kind} was not delivered as stored");
    }
    assert_eq!(bodies.len(), outbox.len(), "something was delivered that is not in the database");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_expose_positions_saved_apart() {
    let mut world = World::new(options(4)).await;
    let broken = world.state("broken");
    let storm = storm(&mut world, &broken, kills().min(40), "split").await;
    let finished = broken.finish(&world, "split").await;
    let calm = world.state("calm");
    assert!(calm.finish(&world, "").await);
    let same = difference(&broken.digest().await, &calm.digest().await).is_empty();
    println!("negative control: {storm:?}, finished {finished}, same digest {same}");
    assert!(storm.unbalanced > 0 && !same, "the harness does not see the bug it is made for");
}

/// Lines that only one side has.
fn difference(a: &[String], b: &[String]) -> Vec<String> {
    let only = |from: &[String], other: &[String], mark: &str| {
        let missing = from.iter().filter(|line| other.binary_search(line).is_err());
        missing.take(20).map(|line| format!("{mark} {line}")).collect::<Vec<_>>()
    };
    let mut lines = only(a, b, "<");
    lines.extend(only(b, a, ">"));
    lines
}
