//! Measures a start with many deployments: reading what was saved, putting it back with the slots that are
//! shown again, and the first slot that closes after it.
//!
//! ```text
//! cargo bench --bench restart               10,000 deployments in 300 accounts, four weeks behind them
//! cargo bench --bench restart -- --quick    400 in 12, sixteen days: does it still run?
//! ```
//!
//! The database has the schema of the program and rows of simulated series, copied to many deployments by
//! SQL; the detector's states are made by the series themselves. Times are wall-clock, once each; nothing is
//! asserted about them.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::io::Write as _;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context as _, bail};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _};
use tokenwatch::aggregate::rollup::{Amount, Caller, Split};
use tokenwatch::detect::score::{Around, ScoreSettings};
use tokenwatch::detect::series::{SLOT_MIN, SLOTS_PER_DAY, SLOTS_PER_HOUR, Series, Slot};
use tokenwatch::engine::{Engine, EngineSettings, Env};
use tokenwatch::event::operation::Operation;
use tokenwatch::event::{Arrival, Batch, PartitionKey};
use tokenwatch::price::PriceBook;
use tokenwatch::simulate::series::{self, Preset, Profile, Settings};
use tokenwatch::store::Store;
use tokenwatch::time::{ArrivalTime, MINUTE_MS};

/// First slot of the histories: a Monday's midnight.
const BASE: i64 = 20_454 * SLOTS_PER_DAY;
/// Days of sums by five minutes that are written: as many as a start looks back for networks.
const FINE_DAYS: i64 = 3;
/// The last history is of deployments so many days old, which are new in their accounts.
const YOUNG_DAYS: i64 = 3;
/// Numbers of names: the model, networks from the first on, deployments from the first on.
const MODEL: u32 = 2;
const FIRST_NETWORK: u32 = 3;
const NETWORKS: u64 = 3;
const FIRST_DEPLOYMENT: u32 = 6;
/// Rows of a statement: 500 × 7 columns stay below SQLite's 32,766 variables.
const ROWS_PER_STATEMENT: usize = 500;

/// How much is measured.
#[derive(Clone, Copy)]
struct Size {
    accounts: u32,
    deployments: u32,
    days: i64,
    /// Different deployments, of which all are copies.
    histories: u32,
}

const FULL: Size = Size { accounts: 300, deployments: 10_000, days: 28, histories: 12 };
const QUICK: Size = Size { accounts: 12, deployments: 400, days: 16, histories: 4 };

impl Size {
    /// First slot not yet judged.
    const fn end(self) -> i64 {
        BASE + self.days * SLOTS_PER_DAY
    }

    /// Account, number in it, and history of each deployment.
    fn places(self) -> impl Iterator<Item = (u32, u32, u32)> {
        (0..self.deployments).map(move |place| {
            let number = FIRST_DEPLOYMENT + place / self.accounts;
            (1 + place % self.accounts, number, place % self.histories)
        })
    }
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let Some(unknown) = args.iter().find(|arg| *arg != "--quick") {
        bail!("unknown argument {unknown}; there is --quick");
    }
    let size = if args.is_empty() { FULL } else { QUICK };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(measure(size))
}

async fn measure(size: Size) -> anyhow::Result<()> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("restart.db");
    let told = |what: &str, value: f64, unit: &str| {
        writeln!(std::io::stdout(), "{what:<44} {value:>10.2} {unit}")
    };
    let start = Instant::now();
    let rows = build(&path, size).await?;
    told("deployments", f64::from(size.deployments), "")?;
    told("database, rows of sums", float(rows) / 1e6, "million")?;
    told("database, made in", start.elapsed().as_secs_f64(), "s")?;
    let mut store = Store::open(&path).await?;
    let start = Instant::now();
    let saved = store.load().await?;
    told("load", start.elapsed().as_secs_f64(), "s")?;
    told("load, peak memory", memory_mib("VmHWM:")?, "MiB")?;
    let rows = saved.accounts.iter().map(|account| account.slots.len()).sum::<usize>();
    told("load, rows of five minutes", float(rows) / 1e6, "million")?;
    let mut settings = EngineSettings::default();
    let start = Instant::now();
    let engine = Engine::restore(saved, Env::new(settings.clone(), PriceBook::built_in()?));
    told("restore and replay", start.elapsed().as_secs_f64(), "s")?;
    told("restore and replay, peak memory", memory_mib("VmHWM:")?, "MiB")?;
    told("one slot closes", close_slot(engine, size)?, "s")?;
    // Without the rule about newcomers, nobody looks for them.
    settings.detect.new_deployment_usd_per_day = 0.0;
    let saved = store.load().await?;
    let engine = Engine::restore(saved, Env::new(settings, PriceBook::built_in()?));
    told("one slot closes, newcomers not looked for", close_slot(engine, size)?, "s")?;
    Ok(store.close().await?)
}

/// Seconds of the step in which the next slot of all deployments closes.
fn close_slot(mut engine: Engine, size: Size) -> anyhow::Result<f64> {
    let lateness_ms = EngineSettings::default().lateness_ms;
    let enqueued = ArrivalTime((size.end() + 1) * SLOT_MIN * MINUTE_MS + lateness_ms);
    let arrivals =
        vec![Arrival { partition: partition(), sequence: 0, enqueued, body: b"{}".to_vec() }];
    let batch = Batch { members: vec![partition()], arrivals, ..Batch::default() };
    let start = Instant::now();
    let effects = engine.apply(&batch);
    let time = start.elapsed().as_secs_f64();
    let judged = effects.accounts.values().filter(|account| account.clock.is_some()).count();
    anyhow::ensure!(judged == size.accounts as usize, "a slot of {judged} accounts has closed");
    Ok(time)
}

fn partition() -> PartitionKey {
    PartitionKey { hub: "bench".to_owned(), incarnation: 0, partition: "0".to_owned() }
}

/// Makes the database; the number of rows of sums.
async fn build(path: &Path, size: Size) -> anyhow::Result<usize> {
    Store::open(path).await?.close().await?;
    let mut connection = SqliteConnectOptions::new().filename(path).connect().await?;
    let connection_ref = &mut connection;
    run(connection_ref, "pragma synchronous = off").await?;
    run(connection_ref, "pragma temp_store = memory").await?;
    run(
        connection_ref,
        "create temp table made (slot, history, caller, calls, input, output, nano)",
    )
    .await?;
    run(connection_ref, "create temp table deployment (series, history, state)").await?;
    run(connection_ref, "begin").await?;
    let fleet = series::draw(
        &Settings {
            deployments: 10 * size.histories as usize,
            days: usize::try_from(size.days)?,
            warmup_days: usize::try_from(size.days - 6)?,
            ..Settings::new(Preset::Dev, 1)
        },
        &|| (),
    );
    // The busiest kinds: all rows that there can be.
    let lively = fleet.series.iter().filter(|series| {
        matches!(series.profile, Profile::Business | Profile::Consumer | Profile::Flat)
    });
    let mut states = Vec::new();
    for (history, series) in (0..size.histories).zip(lively) {
        let (rows, state) = live(&series.slots, first_slot(history, size));
        insert_made(connection_ref, history, &rows).await?;
        states.push(state);
    }
    for (account, number, history) in size.places() {
        let state = states.get(history as usize).context("fewer histories than wanted")?;
        sqlx::query("insert into deployment values ($1, $2, $3)")
            .bind(i64::from(account) << 32 | i64::from(number))
            .bind(history)
            .bind(state)
            .execute(&mut *connection_ref)
            .await?;
    }
    run(connection_ref, "create index temp.by_history on deployment (history)").await?;
    name_all(connection_ref, size).await?;
    let rows = sum_all(connection_ref, size).await?;
    run(connection_ref, "commit").await?;
    connection.close().await?;
    Ok(rows)
}

/// Histories begin at different hours, so that states are saved at different ones.
fn first_slot(history: u32, size: Size) -> i64 {
    if history + 1 == size.histories {
        return size.end() - YOUNG_DAYS * SLOTS_PER_DAY + 7;
    }
    BASE + i64::from(history) * SLOTS_PER_DAY / i64::from(size.histories)
}

/// A row of a history: slot, caller, amount.
type Row = (i64, Caller, Amount);

/// The rows of a history from a slot on, and the state that the detector saved last.
fn live(slots: &[series::Slot], first: i64) -> (Vec<Row>, Vec<u8>) {
    let settings = ScoreSettings::default();
    let (mut rows, mut state, mut series) = (Vec::new(), Vec::new(), Series::default());
    for (at, slot) in (BASE..).zip(slots).filter(|(at, _)| *at >= first) {
        for (caller, on_time) in amounts(slot) {
            rows.push((at, caller, on_time));
            let split = Split { on_time, ..Split::default() };
            series.add(Slot(at).start(), caller, split);
        }
        drop(series.close(Slot(at), |_| Around::default(), &settings));
        state = series.take_state().unwrap_or(state);
        series.forget(Slot(at));
    }
    (rows, state)
}

/// The sum of a slot, and its shares by caller; nothing where there were no calls.
fn amounts(slot: &series::Slot) -> Vec<(Caller, Amount)> {
    let amount = |share: u64| {
        let part = |count: u64| i64::try_from(count / share).unwrap_or(0);
        let (input, output) = (part(slot.input), part(slot.output));
        let cost_nano = input * 2_500 + output * 10_000;
        Amount { calls: part(slot.calls), input, output, cost_nano, ..Amount::default() }
    };
    if slot.calls == 0 {
        return Vec::new();
    }
    let callers = slot.callers.clamp(1, NETWORKS.min(slot.calls));
    let each = (FIRST_NETWORK..)
        .zip(0..callers)
        .map(|(network, _)| (Caller::new(network, 0, Operation::Chat), amount(callers)));
    std::iter::once((Caller::TOTAL, amount(1))).chain(each).collect()
}

async fn insert_made(
    connection: &mut SqliteConnection,
    history: u32,
    rows: &[Row],
) -> anyhow::Result<()> {
    for chunk in rows.chunks(ROWS_PER_STATEMENT) {
        let mut query = sqlx::QueryBuilder::new("insert into made ");
        query.push_values(chunk, |mut row, (slot, caller, amount)| {
            row.push_bind(*slot).push_bind(history).push_bind(caller.0);
            let Amount { calls, input, output, cost_nano, .. } = *amount;
            for value in [calls, input, output, cost_nano] {
                row.push_bind(value);
            }
        });
        query.build().execute(&mut *connection).await?;
    }
    Ok(())
}

/// Accounts, names, states: all but sums.
async fn name_all(connection: &mut SqliteConnection, size: Size) -> anyhow::Result<()> {
    let watermark = size.end() * SLOT_MIN * MINUTE_MS + EngineSettings::default().lateness_ms;
    for account in 1..=size.accounts {
        let resource = format!(
            "/subscriptions/00000000-0000-0000-0000-00000000000{}/resourcegroups/rg/providers\
             /microsoft.cognitiveservices/accounts/account-{account:03}",
            account % 3
        );
        sqlx::query(
            "insert into account (id, resource, judged_to, watermark_ms) values ($1, $2, $3, $4)",
        )
        .bind(account)
        .bind(resource)
        .bind(size.end())
        .bind(watermark)
        .execute(&mut *connection)
        .await?;
    }
    let deployment = "insert into name select series >> 32, series & 4294967295, 0, 'chat-' || series from deployment";
    let networks = format!(
        "insert into name select id, n.column1, 2, '10.0.' || n.column1 || '.0/24' \
         from account, (values ({FIRST_NETWORK}), ({}), ({})) n",
        FIRST_NETWORK + 1,
        FIRST_NETWORK + 2
    );
    for sql in [
        "insert into account_hub select id, 'bench' from account",
        &format!("insert into name select id, {MODEL}, 1, 'gpt-4o@2024-08-06' from account"),
        &networks,
        deployment,
        "insert into series_state select series, state from deployment",
        &format!(
            "insert into partition_state (hub, incarnation, partition, passed_ms, epoch) \
                  values ('bench', 0, '0', {watermark}, 0)"
        ),
    ] {
        run(connection, sql).await?;
    }
    Ok(())
}

/// Sums of every deployment; the number of their rows.
async fn sum_all(connection: &mut SqliteConnection, size: Size) -> anyhow::Result<usize> {
    const LATE: &str = "0, 0, 0, 0, 0, 0, 0, 0";
    let five = format!(
        "insert into rollup_five select slot * {SLOT_MIN}, series, caller, calls, 0, input, 0, \
         output, nano, 0, 0, {LATE} from made cross join deployment using (history) \
         where slot >= {}",
        size.end() - FINE_DAYS * SLOTS_PER_DAY
    );
    let hours = format!(
        "insert into rollup_hour select start, series, caller, calls, 0, input, 0, output, nano, \
         0, 0, {LATE} from (select slot / {SLOTS_PER_HOUR} * 60 as start, history, caller, \
         sum(calls) as calls, sum(input) as input, sum(output) as output, sum(nano) as nano \
         from made group by 1, 2, 3) cross join deployment using (history)"
    );
    let total = format!(
        "insert into total select series, {MODEL}, 1, 0, 1, 0, 1, 1, 0, 0, {LATE} from deployment"
    );
    let mut rows = 0;
    for sql in [&five, &hours, &total] {
        rows += run(connection, sql).await?;
    }
    Ok(usize::try_from(rows)?)
}

/// Rows that a statement has changed.
async fn run(connection: &mut SqliteConnection, sql: &str) -> anyhow::Result<u64> {
    let statement = sqlx::query(sqlx::AssertSqlSafe(sql.to_owned()));
    Ok(statement.execute(connection).await.with_context(|| sql.to_owned())?.rows_affected())
}

/// A line of `/proc/self/status` in MiB.
fn memory_mib(name: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let size = line.and_then(|line| line.split_whitespace().next());
    let kib: u32 = size.with_context(|| format!("the system does not say {name}"))?.parse()?;
    Ok(f64::from(kib) / 1024.0)
}

#[expect(clippy::cast_precision_loss, reason = "shown to people")]
const fn float(count: usize) -> f64 {
    count as f64
}
