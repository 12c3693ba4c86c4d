//! Real arrivals and sizes: two hours of Azure's own traffic, written as the log rows Azure would
//! have written, through the engine and through the hub.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use tokenwatch::emulator::{Emulator, EmulatorClock, HubSpec};
use tokenwatch::event::{Arrival, Batch};
use tokenwatch::pipeline::Core;
use tokenwatch::source::Source as _;
use tokenwatch::source::event_hubs::{Auth, EventHubs, HubSettings, Pace, Start, Transport};
use tokenwatch::store::read::Reader;
use tokenwatch::time::{self, ArrivalTime};

use crate::harness::{self, Folder, idle, members, open, step};

/// Deployment to calls, tokens in and tokens out.
type Sums = BTreeMap<String, [i64; 3]>;

const PARTITIONS: u32 = 8;
const MINUTE_MS: i64 = 60_000;
/// Rows later than 4 h cannot be told from new calls; bodies add up to 10 s.
const LATEST_MS: i64 = 239 * MINUTE_MS;
/// Rows that arrive within this span share a body.
const FLUSH_MS: i64 = 10_000;

fn expected() -> Sums {
    [("code", [8_819, 18_059_974, 245_896]), ("conv", [19_366, 22_361_870, 4_088_665])]
        .map(|(name, sums)| (name.to_owned(), sums))
        .into()
}

/// One request of a trace.
pub(crate) struct Request {
    deployment: &'static str,
    pub(crate) number: usize,
    pub(crate) end_ms: i64,
    pub(crate) input: i64,
    pub(crate) output: i64,
}

pub(crate) fn requests(deployment: &'static str) -> Vec<Request> {
    let name = format!("tests/data/traces/AzureLLMInferenceTrace_{deployment}.csv");
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap();
    let each = text.lines().skip(1).enumerate().map(|(number, line)| {
        let fields: Vec<_> = line.split(',').collect();
        let [at, input, output] = fields.as_slice() else { unreachable!("{line}") };
        let end_ms = time::parse(&format!("{}Z", at.replace(' ', "T"))).unwrap();
        let (input, output) = (input.parse().unwrap(), output.parse().unwrap());
        Request { deployment, number, end_ms, input, output }
    });
    each.collect()
}

impl Request {
    fn head(&self, category: &str) -> String {
        format!(
            "{{\"category\":\"{category}\",\"correlationId\":\"{}-{:012}\",\"time\":\"{}\",\
             \"resourceId\":\"/SUBSCRIPTIONS/S/RESOURCEGROUPS/R/PROVIDERS/\
             MICROSOFT.COGNITIVESERVICES/ACCOUNTS/TRACES\"",
            self.deployment,
            self.number,
            ArrivalTime(self.end_ms)
        )
    }

    /// Who called and with what result.
    fn request_row(&self) -> String {
        format!(
            "{},\"callerIpAddress\":\"198.51.100.***\",\"resultSignature\":\"200\",\"properties\":\
             \"{{\\\"modelDeploymentName\\\":\\\"{}\\\",\\\"modelName\\\":\\\"gpt-4o\\\",\
             \\\"responseTime\\\":{},\\\"promptTokens\\\":{},\\\"completionTokens\\\":{}}}\"}}",
            self.head("RequestResponse"),
            self.deployment,
            self.end_ms * 10_000,
            self.input,
            self.output
        )
    }

    /// Exact tokens.
    fn usage_row(&self) -> String {
        format!(
            "{},\"properties\":{{\"modelDeploymentName\":\"{}\",\"modelName\":\"gpt-4o\",\
             \"promptTokens\":[{}],\"cachedTokens\":[0],\"generatedTokens\":[{}]}}}}",
            self.head("AzureOpenAIRequestUsage"),
            self.deployment,
            self.input,
            self.output
        )
    }

    /// Both rows with their arrival: one in a hundred comes twice, one in a hundred hours late.
    fn rows(&self, random: &mut fastrand::Rng) -> Vec<(i64, String)> {
        let mut rows = Vec::with_capacity(3);
        for text in [self.request_row(), self.usage_row()] {
            let late = random.u32(0..100) == 0;
            let delays = if late { 5 * MINUTE_MS..LATEST_MS } else { 5_000..90_000 };
            let delay_ms = random.i64(delays);
            if random.u32(0..100) == 0 {
                let again_ms = (delay_ms + random.i64(0..MINUTE_MS)).min(LATEST_MS);
                rows.push((self.end_ms + again_ms, text.clone()));
            }
            rows.push((self.end_ms + delay_ms, text));
        }
        rows
    }
}

/// Both traces as a hub holds them: partition, enqueued time (monotone in each) and body.
fn events() -> Vec<(u32, i64, Vec<u8>)> {
    let mut random = fastrand::Rng::with_seed(2023);
    let mut rows: Vec<(i64, String)> = Vec::new();
    for request in requests("code").iter().chain(&requests("conv")) {
        rows.extend(request.rows(&mut random));
    }
    rows.sort();
    let mut rows = VecDeque::from(rows);
    let mut events = Vec::new();
    while let Some((first_ms, first)) = rows.pop_front() {
        let mut body = format!("{{\"records\":[{first}");
        let mut enqueued_ms = first_ms;
        for _ in 1..random.usize(1..=40) {
            let near = rows.front().is_some_and(|(at_ms, _)| *at_ms <= first_ms + FLUSH_MS);
            let Some((at_ms, row)) = near.then(|| rows.pop_front()).flatten() else { break };
            enqueued_ms = at_ms;
            write!(body, ",{row}").unwrap();
        }
        body.push_str("]}");
        events.push((random.u32(0..PARTITIONS), enqueued_ms, body.into_bytes()));
    }
    events
}

/// The partitions' events in their own order, partitions shuffled among each other.
fn shuffled() -> Vec<Arrival> {
    let mut random = fastrand::Rng::with_seed(2024);
    let mut queues: BTreeMap<u32, VecDeque<(i64, Vec<u8>)>> = BTreeMap::new();
    for (partition, enqueued_ms, body) in events() {
        queues.entry(partition).or_default().push_back((enqueued_ms, body));
    }
    let mut sequences: BTreeMap<u32, i64> = BTreeMap::new();
    let mut mixed = Vec::new();
    while let Some(number) = random.choice(queues.keys().copied().collect::<Vec<_>>()) {
        let Some((enqueued_ms, body)) = queues.get_mut(&number).and_then(VecDeque::pop_front)
        else {
            queues.remove(&number);
            continue;
        };
        let sequence = sequences.entry(number).or_default();
        mixed.push(Arrival {
            partition: harness::partition(number),
            sequence: *sequence,
            enqueued: ArrivalTime(enqueued_ms),
            body,
        });
        *sequence += 1;
    }
    mixed
}

async fn sums(db: &str) -> Sums {
    let totals = Reader::open(Path::new(db)).await.unwrap().totals().await.unwrap();
    assert_eq!((totals.quarantined, totals.ledger.len()), (0, 0), "{:?}", totals.ledger);
    let mut sums = Sums::new();
    for row in totals.deployments {
        let total = row.split.total();
        let sum = sums.entry(row.deployment).or_default();
        *sum = [sum[0] + total.calls, sum[1] + total.input, sum[2] + total.output];
    }
    sums.retain(|_, sum| *sum != [0; 3]);
    sums
}

#[tokio::test]
async fn real_traffic_is_counted_to_the_token() {
    let folder = Folder::new();
    let db = folder.path("db");
    let arrivals = shuffled();
    let mut core = open(&db).await;
    step(&mut core, &members(&arrivals)).await;
    for chunk in arrivals.chunks(250) {
        step(&mut core, &Batch { arrivals: chunk.to_vec(), ..Batch::default() }).await;
    }
    step(&mut core, &idle(&arrivals)).await;
    core.store.close().await.unwrap();
    assert_eq!(expected(), sums(&db).await);
    let (partitions, totals) = harness::double_entry(&db).await;
    assert_eq!((partitions, totals), (44_756_405, 44_756_405));
}

/// The same events in a hub of the emulator, as the settings of a reader.
async fn hub() -> (Emulator, HubSettings) {
    let address = ([127, 0, 0, 1], 0).into();
    let hubs = vec![HubSpec::new("hub", PARTITIONS)];
    let emulator = Emulator::start(address, hubs, EmulatorClock::real()).await.unwrap();
    let mut logs: BTreeMap<u32, Vec<(Vec<u8>, i64)>> = BTreeMap::new();
    for (partition, enqueued_ms, body) in events() {
        logs.entry(partition).or_default().push((body, enqueued_ms));
    }
    for (partition, log) in logs {
        emulator.control().append_many("hub", partition, log).unwrap();
    }
    let settings = HubSettings {
        name: "hub".to_owned(),
        namespace: String::new(),
        hub: "hub".to_owned(),
        consumer_group: "$Default".to_owned(),
        auth: Auth::ConnectionString(emulator.connection_string("hub").into()),
        custom_endpoint: Some(emulator.endpoint()),
        transport: Transport::Amqp,
        start: Start::Earliest,
        prefetch: 300,
    };
    (emulator, settings)
}

async fn read_until_complete(core: &mut Core, source: &mut EventHubs, db: &str) {
    loop {
        let batch = source.next_batch().await.unwrap().unwrap();
        let read = !batch.arrivals.is_empty();
        step(core, &batch).await;
        if read && sums(db).await == expected() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_traffic_is_counted_to_the_token_over_amqp() {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let folder = Folder::new();
    let db = folder.path("db");
    let (emulator, settings) = hub().await;
    let mut core = open(&db).await;
    let pace = Pace {
        flush: Duration::from_millis(50),
        probe: Duration::from_millis(500),
        backoff: (Duration::from_millis(50), Duration::from_millis(500)),
        ..Pace::default()
    };
    let mut source = EventHubs::start(vec![settings], &HashMap::new(), core.store.epoch, pace);
    let reading = read_until_complete(&mut core, &mut source, &db);
    let read = tokio::time::timeout(Duration::from_mins(1), reading).await;
    assert!(read.is_ok(), "after a minute there were {:?}", sums(&db).await);
    source.close().await;
    core.store.close().await.unwrap();
    emulator.stop().await;
    let (partitions, totals) = harness::double_entry(&db).await;
    assert_eq!((partitions, totals), (44_756_405, 44_756_405));
}
