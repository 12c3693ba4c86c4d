//! Measures the way from the hub to decoded rows against a receiver that only receives.
//!
//! ```text
//! cargo bench --bench hub               five rounds of 96 MB each
//! cargo bench --bench hub -- --quick    one round of 12 MB: does it still run?
//! ```
//!
//! The same retained events are read again and again over AMQP on loopback, by turns: by a bare
//! receiver of the AMQP library, by the source, and by the source with every body decoded. The
//! emulator takes its share of the same cores each time. Rates are the median of the rounds, from
//! the first event to the last; ratios are to the bare receiver. Nothing is asserted about them.
#![expect(clippy::disallowed_methods, reason = "a benchmark measures time")]

use std::collections::HashMap;
use std::hint::black_box;
use std::io::Write as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use fe2o3_amqp::connection::Connection;
use fe2o3_amqp::link::Receiver;
use fe2o3_amqp::link::receiver::CreditMode;
use fe2o3_amqp::sasl_profile::SaslProfile;
use fe2o3_amqp::session::Session;
use fe2o3_amqp_types::messaging::{Body, FilterSet, Source as LinkSource};
use fe2o3_amqp_types::primitives::{Symbol, Value};
use tokenwatch::decode;
use tokenwatch::emulator::{Emulator, EmulatorClock, HubSpec};
use tokenwatch::source::Source as _;
use tokenwatch::source::event_hubs::{Auth, EventHubs, HubSettings, Pace, Start, Transport};
use tokio::runtime::{Builder, Runtime};

const HUB: &str = "logs";
/// Events a link may have on the way, alike for all.
const PREFETCH: u32 = 300;
const SHAPES: [(usize, u32); 6] =
    [(1024, 1), (1024, 4), (16 * 1024, 1), (16 * 1024, 4), (256 * 1024, 1), (256 * 1024, 4)];

/// How the events are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    Bare,
    Source,
    Decoded,
}

fn main() -> anyhow::Result<()> {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let Some(unknown) = args.iter().find(|arg| *arg != "--quick") {
        bail!("unknown argument {unknown}; there is --quick");
    }
    let (rounds, bytes) = if args.is_empty() { (5, 96 << 20) } else { (1, 12 << 20) };
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    // Runtimes of their own, so that neither side's tasks wait behind the other's.
    let (hub_side, our_side) = (runtime()?, runtime()?);
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "body KiB  partitions  bare events/s  MB/s  source ratio  decoded ratio  records/s"
    )?;
    for (size, partitions) in SHAPES {
        let body = body(size);
        let records = decode::decode(&body).rows().count();
        let events = bytes / size;
        let emulator = hub_side.block_on(filled(partitions, events, &body))?;
        let mut rates: HashMap<&str, Vec<f64>> = HashMap::new();
        for _ in 0..rounds {
            for (name, way) in
                [("bare", Way::Bare), ("source", Way::Source), ("decoded", Way::Decoded)]
            {
                let rate = our_side.block_on(read(&emulator, partitions, events, way))?;
                rates.entry(name).or_default().push(rate);
            }
        }
        let [bare, source, decoded] = ["bare", "source", "decoded"]
            .map(|name| median(rates.remove(name).unwrap_or_default()));
        writeln!(
            out,
            "{:8}  {partitions:10}  {bare:13.0}  {:4.0}  {:12.2}  {:13.2}  {:9.0}",
            size / 1024,
            bare * as_float(size) / 1e6,
            source / bare,
            decoded / bare,
            decoded * as_float(records)
        )?;
        hub_side.block_on(emulator.stop());
    }
    Ok(())
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).enable_all().build()
}

/// An event of `size` bytes: as many usage records as fit, and room after them.
fn body(size: usize) -> Vec<u8> {
    const RECORD: &str = r#"{"time":"2026-10-15T00:25:24.1234567Z","resourceId":"/SUBSCRIPTIONS/00000000-0000-0000-0000-000000000000/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.COGNITIVESERVICES/ACCOUNTS/AIF-CONTOSO","category":"AzureOpenAIRequestUsage","operationName":"ChatCompletions_Create","correlationId":"0f0e0d0c-0000-4000-8000-000000000000","properties":{"modelDeploymentName":"chat-prod","modelName":"gpt-4o","modelVersion":"2024-08-06","promptTokens":1200,"completionTokens":300,"cachedTokens":800}}"#;
    let fits = (size - 16) / (RECORD.len() + 1);
    let records = vec![RECORD; fits.max(1)].join(",");
    let mut body = format!("{{\"records\":[{records}]}}").into_bytes();
    body.resize(size, b' ');
    body
}

async fn filled(partitions: u32, events: usize, body: &[u8]) -> anyhow::Result<Emulator> {
    let listen = "127.0.0.1:0".parse()?;
    let hubs = vec![HubSpec::new(HUB, partitions)];
    let emulator = Emulator::start(listen, hubs, EmulatorClock::real()).await?;
    for (place, partition) in (0..events).zip((0..partitions).cycle()) {
        let at_ms = i64::try_from(place)?;
        emulator.control().append_at(HUB, partition, body.to_vec(), at_ms)?;
    }
    Ok(emulator)
}

/// Events a second from the first to the last.
async fn read(
    emulator: &Emulator,
    partitions: u32,
    events: usize,
    way: Way,
) -> anyhow::Result<f64> {
    let reading = async {
        match way {
            Way::Bare => read_bare(emulator, partitions, events).await,
            Way::Source | Way::Decoded => read_source(emulator, events, way).await,
        }
    };
    tokio::time::timeout(Duration::from_mins(2), reading).await.context("reading stands still")?
}

async fn read_source(emulator: &Emulator, events: usize, way: Way) -> anyhow::Result<f64> {
    let hub = HubSettings {
        name: HUB.to_owned(),
        namespace: "localhost".to_owned(),
        hub: HUB.to_owned(),
        consumer_group: "tokenwatch".to_owned(),
        auth: Auth::ConnectionString(emulator.connection_string(HUB).into()),
        custom_endpoint: Some(emulator.endpoint()),
        transport: Transport::Amqp,
        start: Start::Earliest,
        prefetch: PREFETCH,
    };
    let pace = Pace { flush: Duration::from_millis(5), ..Pace::default() };
    let mut source = EventHubs::start(vec![hub], &HashMap::new(), 1, pace);
    let (mut seen, mut first) = (0, None);
    while seen < events {
        let batch = source.next_batch().await?.context("the source has ended")?;
        if first.is_none() && !batch.arrivals.is_empty() {
            first = Some((Instant::now(), batch.arrivals.len()));
        }
        seen += batch.arrivals.len();
        if way == Way::Decoded {
            for arrival in &batch.arrivals {
                black_box(decode::decode(&arrival.body));
            }
        }
    }
    let (began, before) = first.context("no events")?;
    let rate = as_float(events - before) / began.elapsed().as_secs_f64();
    source.close().await;
    Ok(rate)
}

async fn read_bare(emulator: &Emulator, partitions: u32, events: usize) -> anyhow::Result<f64> {
    let mut connection = Connection::builder()
        .container_id("bare")
        .sasl_profile(SaslProfile::Anonymous)
        .open(emulator.endpoint().as_str())
        .await?;
    let mut readers = tokio::task::JoinSet::new();
    let share = |partition: u32| {
        let (events, of) = (events, partitions as usize);
        events / of + usize::from((partition as usize) < events % of)
    };
    let mut sessions = Vec::new();
    for partition in 0..partitions {
        let mut session = Session::begin(&mut connection).await?;
        let mut receiver = attach(&mut session, partition).await?;
        sessions.push(session);
        let wanted = share(partition);
        readers.spawn(async move {
            let mut first = None;
            for place in 0..wanted {
                // The library renews credit for what is settled by us, and these came settled.
                if place % (PREFETCH as usize / 2) == 0 {
                    receiver.set_credit(PREFETCH).await?;
                }
                let delivery = receiver.recv::<Body<Value>>().await?;
                black_box(&delivery);
                first.get_or_insert_with(Instant::now);
            }
            anyhow::Ok((first, Instant::now()))
        });
    }
    let mut span: Option<(Instant, Instant)> = None;
    while let Some(read) = readers.join_next().await {
        let (first, last) = read??;
        let first = first.context("a partition without events")?;
        span = Some(span.map_or((first, last), |(a, b)| (a.min(first), b.max(last))));
    }
    let (first, last) = span.context("no partitions")?;
    connection.close().await.ok();
    Ok(as_float(events) / (last - first).as_secs_f64())
}

/// A receiver from the first event on, without a token: the emulator takes any, or none.
async fn attach(
    session: &mut fe2o3_amqp::session::SessionHandle<()>,
    partition: u32,
) -> anyhow::Result<Receiver> {
    let selector = Value::String("amqp.annotation.x-opt-offset > '-1'".to_owned());
    let mut filters = FilterSet::new();
    filters.insert(Symbol::from("apache.org:selector-filter:string"), selector);
    let address = format!("{HUB}/ConsumerGroups/$Default/Partitions/{partition}");
    let source = LinkSource { filter: Some(filters), ..LinkSource::from(address) };
    let receiver = Receiver::builder()
        .name(format!("bare-{partition}"))
        .source(source)
        .credit_mode(CreditMode::Manual)
        .attach(session)
        .await?;
    Ok(receiver)
}

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates.get(rates.len() / 2).copied().unwrap_or_default()
}

#[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
const fn as_float(count: usize) -> f64 {
    count as f64
}
