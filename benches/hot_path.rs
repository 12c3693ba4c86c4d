//! Measures the hot path on simulated records: decode, engine step, commit, whole replay, memory; and
//! the statistical detector on a simulated fleet.
//!
//! ```text
//! cargo bench --bench hot_path                      48 simulated hours
//! cargo bench --bench hot_path -- --quick           6 hours, one round: does it still run?
//! cargo bench --bench hot_path -- --instructions    and instructions per record, under valgrind
//! ```
//!
//! Times are wall-clock on one core, the median of the rounds; nothing is asserted about them.
//! Of bodies made to be costly the memory is, and with `--instructions` the instructions.
//! What needs a process of its own (peak memory, instruction counts) runs this program again.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::hint::black_box;
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use tempfile::TempDir;
use tokenwatch::decode;
use tokenwatch::detect::score::{Around, Grid, Memory, Observed, ScoreSettings};
use tokenwatch::detect::table as detectors;
use tokenwatch::detect::tuning::{Change, Tuned, Tuning};
use tokenwatch::engine::effects::{Effects, Saved};
use tokenwatch::engine::{Engine, EngineSettings, Env};
use tokenwatch::event::{Arrival, Batch, PartitionKey};
use tokenwatch::pipeline::{self, Core};
use tokenwatch::price::PriceBook;
use tokenwatch::simulate::series::{self, Preset, Settings, Slot};
use tokenwatch::simulate::{self, HubEvent, Options, Scenario, Simulation};
use tokenwatch::source::replay::Replay;
use tokenwatch::store::Store;
use tokenwatch::time::{ArrivalTime, MINUTE_MS};
use tokio_util::sync::CancellationToken;

/// Events of a full batch, as the live source hands over at most.
const FULL_BATCH: usize = 5_000;
/// Events of a small batch, such as one second of a busy hub.
const SMALL_BATCH: usize = 100;
/// Records whose instructions are counted; a counted program runs about fifty times slower.
const COUNTED_RECORDS: usize = 400;
/// Calls younger than this are all open: the join keeps them for ten minutes.
const OPEN_SPAN_MS: i64 = 9 * MINUTE_MS;

/// Most memory that decoding a body may take beside it, in bytes per byte.
const MAX_GROWTH: f64 = 8.0;
/// Most instructions per byte of a body: 50 ms per MiB at 8 instructions a nanosecond, which is
/// what two and a half of them per cycle give at 3.2 GHz.
const MAX_INSTRUCTIONS: usize = 380;

#[path = "../fuzz/shapes.rs"]
mod shapes;

/// How much is measured.
#[derive(Clone, Copy)]
struct Size {
    hours: u32,
    calls_per_hour: f64,
    rounds: usize,
    /// Calls per hour of the input that counts open calls.
    burst: f64,
    /// Deployments of the detector: those with a history of their own, and with their copies.
    histories: usize,
    deployments: usize,
}

const FULL: Size = Size {
    hours: 48,
    calls_per_hour: 240.0,
    rounds: 5,
    burst: 12_000.0,
    histories: 48,
    deployments: 10_000,
};
const QUICK: Size = Size {
    hours: 6,
    calls_per_hour: 120.0,
    rounds: 1,
    burst: 3_000.0,
    histories: 4,
    deployments: 100,
};

fn main() -> anyhow::Result<()> {
    // `cargo bench` adds `--bench`; it says nothing new.
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [child, what, passes, file] = args.as_slice()
        && child == "--child"
    {
        return measured_alone(what, passes, Path::new(file));
    }
    if let Some(unknown) = args.iter().find(|arg| !["--quick", "--instructions"].contains(&&***arg))
    {
        bail!("unknown argument {unknown}; there are --quick and --instructions");
    }
    let has = |name: &str| args.iter().any(|arg| arg == name);
    let size = if has("--quick") { QUICK } else { FULL };
    let input = Input::simulate(size)?;
    let mut table = Table::new(&input);
    measure_decode(&input, size, &mut table);
    measure_engine(&input, size, &mut table)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for events in [FULL_BATCH, SMALL_BATCH] {
        runtime.block_on(measure_commit(&input, events, size, &mut table))?;
    }
    measure_replay(&input, &mut table)?;
    measure_open_calls(&input, size, &mut table)?;
    measure_detector(size, &mut table)?;
    measure_costly(&input, has("--instructions"), &mut table)?;
    if has("--instructions") {
        measure_instructions(&input, &mut table)?;
    }
    table.print()
}

/// Simulated records, in memory and as a file.
struct Input {
    events: Vec<HubEvent>,
    bytes: usize,
    records: usize,
    folder: TempDir,
    capture: PathBuf,
}

impl Input {
    fn simulate(size: Size) -> anyhow::Result<Self> {
        let simulation = Simulation::new(Options {
            scenario: Scenario::Quiet,
            history_hours: size.hours,
            live_minutes: 0,
            calls_per_hour: size.calls_per_hour,
            ..Options::default()
        });
        let folder = tempfile::tempdir()?;
        let capture = folder.path().join("events.jsonl");
        let mut file = BufWriter::new(File::create(&capture)?);
        simulate::write_file(&simulation, &mut file, &mut |_, _| {})?;
        let events: Vec<HubEvent> = simulation.events().collect();
        let bytes = events.iter().map(|event| event.body.len()).sum();
        let records = events.iter().map(|event| records_in(&event.body)).sum();
        Ok(Self { events, bytes, records, folder, capture })
    }

    /// The events in batches of `size`, as a source would hand them over.
    fn batches(&self, size: usize) -> Vec<Batch> {
        let mut sequences: BTreeMap<u32, i64> = BTreeMap::new();
        let partitions: BTreeSet<u32> = self.events.iter().map(|event| event.partition).collect();
        let mut members: Vec<PartitionKey> = partitions.into_iter().map(partition).collect();
        let chunks = self.events.chunks(size).map(|chunk| {
            let arrivals = chunk.iter().map(|event| {
                let next = sequences.entry(event.partition).or_default();
                *next += 1;
                Arrival {
                    partition: partition(event.partition),
                    sequence: *next - 1,
                    enqueued: ArrivalTime(event.enqueued_ms),
                    body: event.body.clone(),
                }
            });
            let arrivals = arrivals.collect();
            Batch { members: std::mem::take(&mut members), arrivals, ..Batch::default() }
        });
        chunks.collect()
    }
}

fn partition(number: u32) -> PartitionKey {
    PartitionKey { hub: "bench".to_owned(), incarnation: 0, partition: number.to_string() }
}

fn records_in(body: &[u8]) -> usize {
    decode::decode(body).records()
}

fn env() -> anyhow::Result<Env> {
    Ok(Env::new(EngineSettings::default(), PriceBook::built_in()?))
}

fn engine(env: &Env) -> Engine {
    Engine::restore(Saved { lineage: "bench".to_owned(), ..Saved::default() }, env.clone())
}

fn measure_decode(input: &Input, size: Size, table: &mut Table) {
    let time = median(size.rounds, || {
        let start = Instant::now();
        for event in &input.events {
            black_box(decode::decode(&event.body));
        }
        start.elapsed()
    });
    table.row("decode", "MB/s", per_second(input.bytes, time) / 1e6);
    table.row("decode", "records/s", per_second(input.records, time));
    table.row("decode", "ns/record", time.as_secs_f64() * 1e9 / float(input.records));
}

/// The same with every rule switched off: what they count is counted all the same, and nothing is judged.
fn without_rules() -> anyhow::Result<Env> {
    let mut env = env()?;
    let off = |profile| Tuned::new(profile, Change::default());
    env.settings.tuning = Tuning::new(detectors::all().iter().map(off).collect());
    Ok(env)
}

fn measure_engine(input: &Input, size: Size, table: &mut Table) -> anyhow::Result<()> {
    let (all, none, batches) = (env()?, without_rules()?, input.batches(FULL_BATCH));
    let step = |env: &Env| {
        let mut engine = engine(env);
        let start = Instant::now();
        for batch in &batches {
            black_box(engine.apply(batch));
        }
        start.elapsed()
    };
    // In turns, so that both have the same weather.
    let times = (0..size.rounds).map(|_| (step(&all), step(&none)));
    let (times, bare): (Vec<_>, Vec<_>) = times.unzip();
    let (time, bare) = (middle(times), middle(bare));
    let times_as_long = time.as_secs_f64() / bare.as_secs_f64().max(f64::MIN_POSITIVE);
    table.row("engine step, rules on against off", "times as long", times_as_long);
    table.row("engine step, decode included", "events/s", per_second(input.events.len(), time));
    table.row("engine step, decode included", "records/s", per_second(input.records, time));
    Ok(())
}

async fn measure_commit(
    input: &Input,
    events: usize,
    size: Size,
    table: &mut Table,
) -> anyhow::Result<()> {
    let mut engine = engine(&env()?);
    let steps: Vec<Effects> =
        input.batches(events).iter().map(|batch| engine.apply(batch)).collect();
    let rows: usize = steps.iter().map(rollup_rows).sum();
    let mut times = Vec::new();
    for round in 0..size.rounds {
        let path = input.folder.path().join(format!("commit-{events}-{round}.db"));
        let mut store = Store::open(&path).await?;
        let start = Instant::now();
        for effects in &steps {
            store.commit(effects, &[]).await?;
        }
        times.push(start.elapsed());
        store.close().await?;
    }
    let time = middle(times);
    let what = format!("commit, steps of {events} events");
    table.row(&what, "steps/s", per_second(steps.len(), time));
    table.row(&what, "rollup rows/s", per_second(rows, time));
    Ok(())
}

/// Rows a step adds to the three rollups.
fn rollup_rows(effects: &Effects) -> usize {
    let count = |size: i64| {
        let keys = effects.accounts.iter().flat_map(|(account, saved)| {
            let keys = saved.deltas.minutes.keys();
            keys.map(move |key| {
                (key.minute.window(size).start, account, key.deployment, key.caller)
            })
        });
        keys.collect::<BTreeSet<_>>().len()
    };
    count(1) + count(5) + count(60)
}

fn measure_replay(input: &Input, table: &mut Table) -> anyhow::Result<()> {
    let [nanos, peak_kib] = child("replay", 1, &input.capture)?;
    let time = Duration::from_nanos(nanos);
    let size = usize::try_from(std::fs::metadata(&input.capture)?.len())?;
    table.row("replay of a file into a database", "MB/s", per_second(size, time) / 1e6);
    table.row("replay of a file into a database", "records/s", per_second(input.records, time));
    let peak = usize::try_from(peak_kib)?;
    table.row("replay of a file into a database", "MiB peak memory", float(peak) / 1024.0);
    Ok(())
}

/// Resident memory an open call adds: its rows, its share of the rollups and of the maps.
fn measure_open_calls(input: &Input, size: Size, table: &mut Table) -> anyhow::Result<()> {
    let simulation = Simulation::new(Options {
        scenario: Scenario::Quiet,
        history_hours: 1,
        live_minutes: 0,
        calls_per_hour: size.burst,
        ..Options::default()
    });
    let until = simulation.span().0 + OPEN_SPAN_MS;
    let file = input.folder.path().join("burst.jsonl");
    write_bodies(&file, simulation.events().take_while(|event| event.enqueued_ms < until))?;
    let [calls, bytes] = child("open", 1, &file)?;
    let (calls, bytes) = (usize::try_from(calls)?, usize::try_from(bytes)?);
    table.row("open calls", "calls", float(calls));
    table.row("open calls", "bytes/call", float(bytes) / float(calls.max(1)));
    Ok(())
}

/// One slot of many deployments with 22 days behind them: each slot of an hour, the last of which ends the
/// day too and is the worst there is.
fn measure_detector(size: Size, table: &mut Table) -> anyhow::Result<()> {
    let fleet = series::draw(
        &Settings { deployments: size.histories, days: 22, ..Settings::new(Preset::Dev, 1) },
        &|| (),
    );
    let settings = ScoreSettings::default();
    let close = |memory: &mut Memory, slots: &[Slot], at: usize| {
        let seen = slots.get(at).map(observed).unwrap_or_default();
        black_box(memory.close(slot(at), &seen, &Around::default(), &settings));
    };
    let last_hour = 22 * series::DAY - series::HOUR..22 * series::DAY;
    let known = fleet.series.iter().map(|series| {
        let mut memory = Memory::new(Grid::FIVE_MINUTES);
        (0..last_hour.start).for_each(|at| close(&mut memory, &series.slots, at));
        (memory, series.slots.as_slice())
    });
    let known: Vec<(Memory, &[Slot])> = known.collect();
    measure_saving(&known.iter().map(|(memory, _)| memory), size, table)?;
    let before = memory_kib("VmRSS:")?;
    let mut all: Vec<_> = known.iter().cycle().take(size.deployments).cloned().collect();
    let grown = usize::try_from(memory_kib("VmRSS:")?.saturating_sub(before))? * 1024;
    let times = last_hour.map(|at| {
        let start = Instant::now();
        all.iter_mut().for_each(|(memory, slots)| close(memory, slots, at));
        start.elapsed()
    });
    let times: Vec<Duration> = times.collect();
    let worst = times.iter().max().copied().unwrap_or_default();
    for (what, time) in [("detector, a slot", middle(times)), ("detector, the worst slot", worst)] {
        let each = time.as_secs_f64() / float(all.len());
        table.row(what, "µs/deployment", each * 1e6);
        table.row(what, "core-seconds for 10,000 deployments", each * 1e4);
    }
    // With few copies the process need not grow at all.
    if grown > 0 {
        table.row("detector, in memory", "bytes/deployment", float(grown) / float(all.len()));
    }
    Ok(())
}

/// What a deployment's memory is saved as, and how long that takes.
fn measure_saving<'m>(
    memories: &(impl Iterator<Item = &'m Memory> + Clone),
    size: Size,
    table: &mut Table,
) -> anyhow::Result<()> {
    let saved: Vec<Vec<u8>> = memories.clone().map(Memory::to_bytes).collect();
    let bytes = saved.iter().map(Vec::len).sum::<usize>();
    for (memory, bytes) in memories.clone().zip(&saved) {
        let read = Memory::from_bytes(bytes);
        anyhow::ensure!(read.as_ref() == Some(memory), "a memory is not read as it was saved");
    }
    let write = median(size.rounds, || {
        let start = Instant::now();
        memories.clone().for_each(|memory| drop(black_box(memory.to_bytes())));
        start.elapsed()
    });
    let read = median(size.rounds, || {
        let start = Instant::now();
        saved.iter().for_each(|bytes| drop(black_box(Memory::from_bytes(bytes))));
        start.elapsed()
    });
    table.row("detector, saved", "bytes/deployment", float(bytes) / float(saved.len()));
    for (what, time) in [("detector, saving", write), ("detector, reading back", read)] {
        table.row(what, "µs/deployment", time.as_secs_f64() * 1e6 / float(saved.len()));
    }
    Ok(())
}

fn observed(slot: &Slot) -> Observed {
    let Slot { calls, input, output, callers } = *slot;
    let [calls, input, output, callers] =
        [calls, input, output, callers].map(|count| float(usize::try_from(count).unwrap_or(0)));
    Observed { calls, input, output, callers: Some(callers), ..Observed::default() }
}

fn slot(at: usize) -> i64 {
    i64::try_from(at).unwrap_or(i64::MAX)
}

/// Bodies of a mebibyte made to cost as much as they can: the worst of each number, and its shape.
fn measure_costly(input: &Input, counted: bool, table: &mut Table) -> anyhow::Result<()> {
    let file = input.folder.path().join("costly.json");
    let (mut slowest, mut largest, mut longest) = ((0, ""), (0, ""), (0, ""));
    for (name, body) in shapes::bodies() {
        std::fs::write(&file, &body)?;
        let [nanos, grown_kib] = child("costly", 1, &file)?;
        slowest = slowest.max((usize::try_from(nanos)?, name));
        largest = largest.max((usize::try_from(grown_kib)? * 1024, name));
        if counted {
            let (none, one) =
                (instructions("costly", 0, &file)?, instructions("costly", 1, &file)?);
            longest = longest.max((usize::try_from(one.saturating_sub(none))? / body.len(), name));
        }
    }
    let growth = float(largest.0) / float(shapes::BYTES);
    table.row(&format!("costliest body: {}", slowest.1), "ms/MiB", float(slowest.0) / 1e6);
    table.row(&format!("largest body: {}", largest.1), "bytes/byte", growth);
    anyhow::ensure!(growth <= MAX_GROWTH, "{} takes {growth} times its size", largest.1);
    if counted {
        table.row(&format!("costliest body: {}", longest.1), "instructions/byte", float(longest.0));
        anyhow::ensure!(longest.0 <= MAX_INSTRUCTIONS, "{}: {} a byte", longest.1, longest.0);
    }
    Ok(())
}

fn measure_instructions(input: &Input, table: &mut Table) -> anyhow::Result<()> {
    let found = Command::new("valgrind").arg("--version").output();
    if !found.is_ok_and(|output| output.status.success()) {
        table.note("instructions: not counted, valgrind is not installed");
        return Ok(());
    }
    let file = input.folder.path().join("counted.jsonl");
    let mut records = 0;
    write_bodies(
        &file,
        input.events.iter().cloned().take_while(|event| {
            let wanted = records < COUNTED_RECORDS;
            records += if wanted { records_in(&event.body) } else { 0 };
            wanted
        }),
    )?;
    for (what, name) in [("decode", "decode"), ("engine", "engine step, decode included")] {
        // The difference of two runs leaves out the start of the program and the reading.
        let (one, three) = (instructions(what, 1, &file)?, instructions(what, 3, &file)?);
        let each = usize::try_from(three.saturating_sub(one) / 2)?;
        table.row(name, "instructions/record", float(each) / float(records.max(1)));
    }
    Ok(())
}

fn write_bodies(file: &Path, events: impl Iterator<Item = HubEvent>) -> anyhow::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    for event in events {
        out.write_all(&event.body)?;
        out.write_all(b"\n")?;
    }
    Ok(out.flush()?)
}

/// Instructions of this program run as a child, as callgrind counts them.
fn instructions(what: &str, passes: usize, file: &Path) -> anyhow::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--child", what, &passes.to_string()])
        .arg(file)
        .output()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected :"));
    let (_, count) = collected.with_context(|| format!("valgrind counted nothing: {text}"))?;
    Ok(count.trim().parse()?)
}

/// Runs this program once more for one measurement; its two numbers.
fn child(what: &str, passes: usize, file: &Path) -> anyhow::Result<[u64; 2]> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--child", what, &passes.to_string()])
        .arg(file)
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let mut numbers = text.split_whitespace().map(str::parse::<u64>);
    match (output.status.success(), numbers.next(), numbers.next()) {
        (true, Some(Ok(first)), Some(Ok(second))) => Ok([first, second]),
        _ => bail!("measuring {what}: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// The other side of [`child`].
fn measured_alone(what: &str, passes: &str, file: &Path) -> anyhow::Result<()> {
    let passes: usize = passes.parse()?;
    let numbers = match what {
        "replay" => replay_alone(file)?,
        "open" => open_calls_alone(file)?,
        "costly" => costly_alone(file, passes)?,
        "decode" => {
            let bodies = read_bodies(file)?;
            for _ in 0..passes {
                for body in &bodies {
                    black_box(decode::decode(body));
                }
            }
            [0, 0]
        }
        "engine" => {
            let (env, batch) = (env()?, one_partition(read_bodies(file)?));
            for _ in 0..passes {
                black_box(engine(&env).apply(&batch));
            }
            [0, 0]
        }
        other => bail!("nothing to measure is called {other}"),
    };
    let [first, second] = numbers;
    Ok(writeln!(std::io::stdout(), "{first} {second}")?)
}

/// Nanoseconds, and the peak of resident memory in KiB.
fn replay_alone(file: &Path) -> anyhow::Result<[u64; 2]> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let start = Instant::now();
    runtime.block_on(async {
        let store = Store::open(&file.with_extension("db")).await?;
        let mut core = Core::restore(store, env()?).await?;
        let mut source = Replay::open(&[file.to_owned()])?;
        let stop = CancellationToken::new();
        pipeline::drain(&mut core, &mut source, &stop, &mut |_, _| {}).await?;
        core.store.close().await?;
        anyhow::Ok(())
    })?;
    let time = u64::try_from(start.elapsed().as_nanos())?;
    Ok([time, memory_kib("VmHWM:")?])
}

/// Nanoseconds of decoding one body, and the KiB of peak memory that it added.
fn costly_alone(file: &Path, passes: usize) -> anyhow::Result<[u64; 2]> {
    let body = std::fs::read(file)?;
    let before = memory_kib("VmHWM:")?;
    let start = Instant::now();
    for _ in 0..passes {
        black_box(decode::decode(&body));
    }
    let time = u64::try_from(start.elapsed().as_nanos())?;
    Ok([time, memory_kib("VmHWM:")?.saturating_sub(before)])
}

/// Open calls, and the bytes of resident memory they added.
fn open_calls_alone(file: &Path) -> anyhow::Result<[u64; 2]> {
    let mut engine = engine(&env()?);
    let (mut calls, mut start) = (HashSet::new(), None);
    let arrivals = one_partition(read_bodies(file)?).arrivals;
    for arrival in &arrivals {
        calls.extend(decode::decode(&arrival.body).rows().map(|row| row.call));
    }
    // `arrivals` outlives the loop, so that its memory is not handed to the calls unseen.
    for arrival in &arrivals {
        let batch = Batch { arrivals: vec![arrival.clone()], ..Batch::default() };
        black_box(engine.apply(&batch));
        // The first event brings what every process has once, such as the names.
        if start.is_none() {
            start = Some(memory_kib("VmRSS:")?);
        }
    }
    let grown = memory_kib("VmRSS:")?.saturating_sub(start.unwrap_or_default());
    Ok([u64::try_from(calls.len())?, grown * 1024])
}

fn read_bodies(file: &Path) -> anyhow::Result<Vec<Vec<u8>>> {
    Ok(BufReader::new(File::open(file)?).split(b'\n').collect::<Result<_, _>>()?)
}

/// Bodies as events of one partition that arrive as soon as their calls end.
fn one_partition(bodies: Vec<Vec<u8>>) -> Batch {
    let mut newest = ArrivalTime(0);
    let arrivals = bodies.into_iter().zip(0..).map(|(body, sequence)| {
        let end = decode::decode(&body).rows().map(|row| row.end.0).max();
        newest = newest.max(ArrivalTime(end.unwrap_or(0)));
        Arrival { partition: partition(0), sequence, enqueued: newest, body }
    });
    let arrivals = arrivals.collect();
    Batch { members: vec![partition(0)], arrivals, ..Batch::default() }
}

/// A line of `/proc/self/status` in KiB.
fn memory_kib(name: &str) -> anyhow::Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let size = line.and_then(|line| line.split_whitespace().next());
    Ok(size.with_context(|| format!("the system does not say {name}"))?.parse()?)
}

fn median(rounds: usize, mut round: impl FnMut() -> Duration) -> Duration {
    middle((0..rounds).map(|_| round()).collect())
}

fn middle(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn per_second(count: usize, time: Duration) -> f64 {
    float(count) / time.as_secs_f64().max(f64::MIN_POSITIVE)
}

#[expect(clippy::cast_precision_loss, reason = "shown to people")]
const fn float(count: usize) -> f64 {
    count as f64
}

/// What was measured, for people.
struct Table {
    table: comfy_table::Table,
    notes: Vec<String>,
}

impl Table {
    fn new(input: &Input) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["what", "value", "unit"]);
        let mut new = Self { table, notes: Vec::new() };
        new.row("input", "events", float(input.events.len()));
        new.row("input", "records", float(input.records));
        new.row("input", "MB", float(input.bytes) / 1e6);
        new
    }

    fn row(&mut self, what: &str, unit: &str, value: f64) {
        let digits = if value < 10.0 { 2 } else { 0 };
        self.table.add_row([what.to_owned(), format!("{value:.digits$}"), unit.to_owned()]);
    }

    fn note(&mut self, text: &str) {
        self.notes.push(text.to_owned());
    }

    fn print(mut self) -> anyhow::Result<()> {
        if let Some(column) = self.table.column_mut(1) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
        let mut out = std::io::stdout().lock();
        writeln!(out, "{}", self.table)?;
        for note in &self.notes {
            writeln!(out, "{note}")?;
        }
        Ok(())
    }
}
