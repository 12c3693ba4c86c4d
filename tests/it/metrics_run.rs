//! `run` with metrics by REST, from outside: the real binary, its credentials and its trust.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tokenwatch::emulator::{Emulator, EmulatorClock, HubSpec};
use tokenwatch::pipeline::wall_clock;
use tokenwatch::time::MINUTE_MS;
use tokio::time::{sleep, timeout};

use crate::harness::{Running, program};
use crate::monitor::{AUDIENCE, Monitor, Points, absorb, account, expected, same};
use crate::rest_server::{Entra, TOKEN, serve};

const PATIENCE: Duration = Duration::from_secs(60);
const BACKFILL_MS: i64 = 10 * MINUTE_MS;
const OVERLAP_MS: i64 = 3 * MINUTE_MS;

/// An empty hub, Azure Monitor, Entra ID, and a folder with the configuration.
struct World {
    folder: tempfile::TempDir,
    entra: Entra,
    monitor: Arc<Monitor>,
    /// The configuration, but for the lag.
    config: String,
    _emulator: Emulator,
}

impl World {
    async fn new(auth: &str) -> Self {
        let entra = Entra::start(AUDIENCE).await;
        let monitor = Monitor::new(wall_clock());
        let server = Arc::clone(&monitor);
        let port = serve(Some(entra.acceptor()), Arc::new(move |request| server.reply(request)));
        let port = port.await;
        let (listen, hubs) = ("127.0.0.1:0".parse().unwrap(), vec![HubSpec::new("logs", 1)]);
        let clock = EmulatorClock::fixed(wall_clock()());
        let emulator = Emulator::start(listen, hubs, clock).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let secret = emulator.connection_string("logs");
        std::fs::write(folder.path().join("secret"), secret).unwrap();
        let accounts = [account(0, 0), account(1, 0)];
        let config = format!(
            "database = \"t.db\"\n[[hub]]\nname = \"east\"\nhub = \"logs\"\n\
             auth = \"connection-string\"\nconnection_string = {{ file = \"secret\" }}\n\
             custom_endpoint = \"{}\"\n\
             [[metrics_api]]\nname = \"m\"\nendpoint = \"https://localhost:{port}\"\n\
             accounts = {accounts:?}\nauth = \"{auth}\"\nevery = \"1s\"\n\
             overlap = \"3m\"\nbackfill = \"10m\"\n",
            emulator.endpoint()
        );
        Self { folder, entra, monitor, config, _emulator: emulator }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the service; `life` names its capture and its log.
    fn start(&self, life: &str, lag_minutes: i64) -> Running {
        let config = format!("{}lag = \"{lag_minutes}m\"\n", self.config);
        std::fs::write(self.path("tokenwatch.toml"), config).unwrap();
        let mut command = Command::new(program());
        command
            .args(["run", "-vv", "--flush-ms", "50", "--config"])
            .arg(self.path("tokenwatch.toml"))
            .arg("--capture")
            .arg(self.path(life))
            .stdout(Stdio::null())
            .stderr(File::create(self.path(&format!("{life}.log"))).unwrap());
        self.entra.environment(&mut command);
        Running::spawn(&mut command)
    }

    /// What was captured: partition, sequence, body.
    fn captured(&self, life: &str) -> Vec<(String, i64, String)> {
        let text = std::fs::read_to_string(self.path(life)).unwrap_or_default();
        // The last line may be half written.
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        let line = |line: &str| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |name: &str| line.get(name).unwrap().as_str().unwrap().to_owned();
            let sequence = line.get("sequence").unwrap().as_i64().unwrap();
            (text("partition"), sequence, line.get("body").unwrap().to_string())
        };
        whole.lines().map(line).collect()
    }

    /// Waits until both subscriptions have been asked to their ends and the answers are captured; the
    /// end of the last minute.
    async fn caught_up(&self, life: &str, lag_minutes: i64) -> i64 {
        let last = (wall_clock()() / MINUTE_MS - lag_minutes) * MINUTE_MS;
        let done = async {
            // Two questions each.
            while self.monitor.asked().iter().filter(|asked| asked.until >= last).count() < 4
                || self.captured(life).is_empty()
            {
                sleep(Duration::from_millis(50)).await;
            }
        };
        let log = || std::fs::read_to_string(self.path(&format!("{life}.log"))).unwrap();
        assert!(timeout(PATIENCE, done).await.is_ok(), "{}", log());
        // What the last questions were answered is on its way.
        sleep(Duration::from_secs(1)).await;
        last
    }
}

/// Two lives of the service: all points are there, each life goes on where the last one was, and
/// what it captured replays.
async fn check(auth: &str) {
    let world = World::new(auth).await;
    let began = wall_clock()();
    let service = world.start("one", 6);
    world.caught_up("one", 6).await;
    service.stop().await;
    let asked = world.monitor.asked();
    // Two minutes more may be asked for at once.
    let service = world.start("two", 4);
    let until = world.caught_up("two", 4).await;
    service.stop().await;
    for life in ["one", "two"] {
        let log = std::fs::read_to_string(world.path(&format!("{life}.log"))).unwrap();
        assert!(log.contains("DEBUG") && !log.contains(TOKEN), "{log}");
    }

    let (one, two) = (world.captured("one"), world.captured("two"));
    let mut points = Points::new();
    one.iter().chain(&two).for_each(|(_, _, body)| absorb(body.as_bytes(), &mut points));
    let from = asked.iter().map(|asked| asked.from).min().unwrap();
    let all = world.monitor.asked();
    // A minute that began since may have been told of one subscription and not of the other.
    points.retain(|(_, _, _, minute), _| *minute < until);
    assert!((from + BACKFILL_MS + 6 * MINUTE_MS - began).abs() <= 2 * MINUTE_MS);
    same(&points, &expected(&[account(0, 0), account(1, 0)], from, until, i64::MAX / 2));
    let second = all.get(asked.len()).unwrap();
    let same_log = asked.iter().filter(|asked| asked.subscription == second.subscription);
    let newest = same_log.map(|asked| asked.until).max().unwrap();
    // A minute that began as the first life ended may have been asked for and not been saved.
    let went_back = newest - OVERLAP_MS - second.from;
    assert!([0, MINUTE_MS].contains(&went_back), "{went_back} ms before what is read again");
    for subscription in all.iter().map(|asked| format!("metrics:{}", asked.subscription)) {
        let of = |lines: &[(String, i64, String)]| -> Vec<i64> {
            lines.iter().filter(|(name, ..)| *name == subscription).map(|(_, at, _)| *at).collect()
        };
        let numbers = [of(&one), of(&two)].concat();
        assert_eq!(numbers, (0..).take(numbers.len()).collect::<Vec<i64>>());
    }

    let replayed = Command::new(program())
        .arg("replay")
        .args([world.path("one"), world.path("two")])
        .arg("--db")
        .arg(world.path("again.db"))
        .args(["--format", "json"])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&replayed.stdout);
    assert!(replayed.status.success() && said.contains("Metrics by REST"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_workload_identity_reads_metrics_and_goes_on_after_a_restart() {
    check("workload").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_managed_identity_does_too() {
    check("managed").await;
}
