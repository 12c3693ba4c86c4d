//! The program and its parts as the tests use them: folders, runs, steps and dumps.

use std::collections::{BTreeMap, HashSet};
use std::io::Write as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use tokenwatch::engine::effects::Effects;
use tokenwatch::engine::{EngineSettings, Env};
use tokenwatch::event::{Arrival, Batch, PartitionKey};
use tokenwatch::incident::Incident;
use tokenwatch::pipeline::Core;
use tokenwatch::price::PriceBook;
use tokenwatch::simulate::{Options, Scenario, Simulation, Truth};
use tokenwatch::store::Store;
use tokenwatch::store::read::Reader;
use tokenwatch::time::ArrivalTime;
use tokio::time::{sleep, timeout};

use crate::records::MORNING;

/// A temporary folder; paths are text, because that is what a command line takes.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_str().unwrap().to_owned()
    }

    pub(crate) fn write(&self, name: &str, content: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }
}

/// A running service, which ends when the test does.
pub(crate) struct Running(Child);

impl Running {
    /// Starts the program.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        Self(command.spawn().unwrap())
    }

    /// True while it has not ended by itself.
    pub(crate) fn is_running(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// Ends it as a container does; it must end well.
    pub(crate) async fn stop(mut self) {
        let signalled = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status();
        assert!(signalled.unwrap().success());
        let ended = async {
            while self.is_running() {
                sleep(Duration::from_millis(20)).await;
            }
        };
        timeout(Duration::from_secs(60), ended).await.unwrap();
        assert_eq!(self.0.wait().unwrap().code(), Some(0));
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // After a failed assertion it still runs; otherwise there is nothing left to kill.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// What a run of the program left.
pub(crate) struct Ran {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// It went well, and its answer has this part.
#[track_caller]
pub(crate) fn says(ran: &Ran, part: &str) {
    assert_eq!((ran.code, ran.err.as_str()), (Some(0), ""), "{}", ran.out);
    assert!(ran.out.contains(part), "{}", ran.out);
}

/// It failed, and says why in words that have this part.
#[track_caller]
pub(crate) fn refuses(ran: &Ran, part: &str) {
    assert_eq!(ran.code, Some(1), "{}", ran.out);
    assert!(ran.err.contains(part), "{}", ran.err);
}

/// The real program: that of `TOKENWATCH_RELEASE`, which `./test` names because it is many times as fast, or the one
/// that was built with the tests.
pub(crate) fn program() -> &'static str {
    static PROGRAM: LazyLock<String> = LazyLock::new(|| {
        let release =
            std::env::var_os("TOKENWATCH_RELEASE").map(|path| path.into_string().unwrap());
        release.unwrap_or_else(|| env!("CARGO_BIN_EXE_tokenwatch").to_owned())
    });
    &PROGRAM
}

/// Runs the real program with `input` on standard input.
pub(crate) fn run_with(args: &[&str], input: &[u8]) -> Ran {
    let mut child = Command::new(program())
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    std::thread::scope(|scope| {
        scope.spawn(move || {
            // A program that fails early does not read to the end.
            drop(stdin.write_all(input));
        });
        let output = child.wait_with_output().unwrap();
        Ran {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    })
}

/// Runs the real program without input.
pub(crate) fn run(args: &[&str]) -> Ran {
    run_with(args, b"")
}

/// `replay` of `files` into `db`, which must succeed; its JSON.
#[track_caller]
pub(crate) fn replay(files: &[&str], db: &str) -> Value {
    let mut args = vec!["replay", "--db", db, "--format", "json"];
    args.extend(files);
    let ran = run(&args);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

/// A short simulation; everything not named is as in the program.
pub(crate) fn short(scenario: Scenario, seed: u64) -> Options {
    Options {
        scenario,
        seed,
        history_hours: 24,
        live_minutes: 90,
        calls_per_hour: 30.0,
        ..Options::default()
    }
}

/// The events of a simulation as a capture file, and its truth.
pub(crate) fn capture(options: Options) -> (Vec<u8>, Truth) {
    let simulation = Simulation::new(options);
    let mut file = Vec::new();
    tokenwatch::simulate::write_file(&simulation, &mut file, &mut |_, _| {}).unwrap();
    (file, simulation.truth())
}

/// The events of a simulation, partition by partition as a hub numbers them.
pub(crate) fn arrivals(options: Options) -> Vec<Arrival> {
    numbered(&Simulation::new(options))
}

/// The same of a simulation that was made otherwise.
pub(crate) fn numbered(simulation: &Simulation) -> Vec<Arrival> {
    let mut next = BTreeMap::new();
    let numbered = simulation.events().map(|event| {
        let sequence = next.entry(event.partition).or_insert(0_i64);
        *sequence += 1;
        Arrival {
            partition: partition(event.partition),
            sequence: *sequence - 1,
            enqueued: ArrivalTime(event.enqueued_ms),
            body: event.body,
        }
    });
    numbered.collect()
}

/// Records, each with the second of [`MORNING`] in which its hub took it, one after the other to two partitions.
/// An alert of Defender is a body of its own.
pub(crate) fn dealt(rows: &[(i64, Value)]) -> Vec<Arrival> {
    let mut next = [0_i64; 2];
    let arrive = |(place, (told, row)): (usize, &(i64, Value))| {
        let number = place % 2;
        let sequence = next.get_mut(number).unwrap();
        *sequence += 1;
        let is_alert = row.get("AlertType").is_some();
        let body = if is_alert { row.clone() } else { json!({ "records": [row] }) };
        Arrival {
            partition: partition(u32::try_from(number).unwrap()),
            sequence: *sequence - 1,
            enqueued: ArrivalTime((MORNING + told) * 1_000),
            body: body.to_string().into_bytes(),
        }
    };
    rows.iter().enumerate().map(arrive).collect()
}

/// The same in the order in which they were taken.
pub(crate) fn dealt_in_order(mut rows: Vec<(i64, Value)>) -> Vec<Arrival> {
    rows.sort_by_key(|(told, _)| *told);
    dealt(&rows)
}

pub(crate) fn partition(number: u32) -> PartitionKey {
    PartitionKey { hub: "hub".to_owned(), incarnation: 0, partition: number.to_string() }
}

pub(crate) fn env() -> Env {
    Env::new(EngineSettings::default(), PriceBook::built_in().unwrap())
}

/// Engine and store on the database at `path`, as after a start.
pub(crate) async fn open(path: &str) -> Core {
    let store = Store::open(Path::new(path)).await.unwrap();
    Core::restore(store, env()).await.unwrap()
}

/// One step without notifications.
pub(crate) async fn step(core: &mut Core, batch: &Batch) -> Effects {
    core.step(batch, &mut |_| Vec::new()).await.unwrap()
}

/// What the first batch says: these partitions are read from now on.
pub(crate) fn members(arrivals: &[Arrival]) -> Batch {
    let mut members: Vec<_> = arrivals.iter().map(|arrival| arrival.partition.clone()).collect();
    members.sort();
    members.dedup();
    Batch { members, ..Batch::default() }
}

/// What the last batch says: nothing unread is left in any partition.
pub(crate) fn idle(arrivals: &[Arrival]) -> Batch {
    let newest = arrivals.iter().map(|arrival| arrival.enqueued).max().unwrap();
    let idle = members(arrivals).members.into_iter().map(|key| (key, newest)).collect();
    Batch { idle, ..Batch::default() }
}

/// Reads arrivals in batches of so many, with a new start after every `cut`-th; then `idle_s` seconds pass. The
/// incidents, by key.
pub(crate) async fn read_in_parts(
    db: &str,
    arrivals: &[Arrival],
    (batch, cut): (usize, usize),
    idle_s: i64,
) -> Vec<Incident> {
    let mut core = open(db).await;
    step(&mut core, &members(arrivals)).await;
    for (place, part) in arrivals.chunks(batch).enumerate() {
        step(&mut core, &Batch { arrivals: part.to_vec(), ..Batch::default() }).await;
        if place % cut == cut - 1 {
            core.store.close().await.unwrap();
            core = open(db).await;
            step(&mut core, &members(arrivals)).await;
        }
    }
    let newest = arrivals.iter().map(|arrival| arrival.enqueued.0).max().unwrap();
    let passed = ArrivalTime(newest + idle_s * 1_000);
    let idle = vec![(partition(0), passed), (partition(1), passed)];
    step(&mut core, &Batch { idle, ..Batch::default() }).await;
    core.store.close().await.unwrap();
    let mut all = Reader::open(Path::new(db)).await.unwrap().incidents().await.unwrap();
    all.sort_by(|a, b| a.key.cmp(&b.key));
    all
}

/// Calls and tokens (in, cached, out) of each deployment that had any.
pub(crate) type Sums = BTreeMap<String, [i64; 4]>;

/// What the database at `path` has counted.
pub(crate) async fn stored_sums(path: &Path) -> Sums {
    let mut sums = Sums::new();
    for total in Reader::open(path).await.unwrap().totals().await.unwrap().deployments {
        let amount = total.split.total();
        let sum = sums.entry(total.deployment).or_default();
        let values = [amount.calls, amount.input, amount.cached, amount.output];
        sum.iter_mut().zip(values).for_each(|(sum, value)| *sum += value);
    }
    sums.retain(|_, sum| *sum != [0; 4]);
    sums
}

/// What a simulation really had.
pub(crate) fn true_sums(truth: &Truth) -> Sums {
    let deployments = truth.deployments.iter();
    deployments
        .map(|d| (d.deployment.clone(), [d.calls, d.tokens_in, d.tokens_cached, d.tokens_out]))
        .collect()
}

pub(crate) async fn digest(path: &str) -> Vec<String> {
    Reader::open(Path::new(path)).await.unwrap().digest().await.unwrap()
}

/// The two sides of the double entry.
pub(crate) async fn double_entry(path: &str) -> (i64, i64) {
    Reader::open(Path::new(path)).await.unwrap().double_entry().await.unwrap()
}

/// Another process at the same database.
pub(crate) async fn connect(path: &str) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).disable_statement_logging().connect().await.unwrap()
}

/// Every table with every value of every row, as SQL literals.
pub(crate) async fn dump(path: &str) -> Vec<String> {
    let mut connection = connect(path).await;
    let tables = sqlx::query("select name from sqlite_master where type = 'table' order by name")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    let mut lines = Vec::new();
    for table in tables {
        let table: String = table.get(0);
        let columns = sqlx::query("select name from pragma_table_info($1)")
            .bind(&table)
            .fetch_all(&mut connection)
            .await
            .unwrap();
        let quoted = columns.iter().map(|column| {
            let column: String = column.get(0);
            format!("quote(\"{column}\")")
        });
        let row = quoted.collect::<Vec<_>>().join(" || ',' || ");
        let rows = sqlx::query(AssertSqlSafe(format!("select {row} from \"{table}\"")))
            .fetch_all(&mut connection)
            .await
            .unwrap();
        lines.extend(rows.iter().map(|row| format!("{table} {}", row.get::<String, _>(0))));
    }
    connection.close().await.unwrap();
    lines.sort_unstable();
    lines
}

/// Fails on the first difference, without printing thousands of equal lines.
#[track_caller]
pub(crate) fn same(what: &str, expected: &[String], found: &[String]) {
    let [before, after] = [expected, found].map(|lines| lines.iter().collect::<HashSet<_>>());
    let lost: Vec<_> = before.difference(&after).take(3).collect();
    let new: Vec<_> = after.difference(&before).take(3).collect();
    assert!(lost.is_empty() && new.is_empty(), "{what}: lost {lost:#?}, new {new:#?}");
    assert_eq!(expected.len(), found.len(), "{what}");
}
