//! The emulator under Microsoft's Python and JavaScript clients, each in a process of its own.
//!
//! Runs when `TOKENWATCH_PEER_PYTHON` names a Python with azure-eventhub and `TOKENWATCH_PEER_NODE`
//! a folder whose `node_modules` has @azure/event-hubs, as `./test` sees to; a machine with Rust
//! alone says so and goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use azure_core_amqp::AmqpSimpleValue;

use azure_messaging_eventhubs::models::{EventData, MessageId, ReceivedEventData};
use azure_messaging_eventhubs::{
    ConsumerClient, EventDataBatchOptions, OpenReceiverOptions, ProducerClient, StartLocation,
    StartPosition,
};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use futures_util::StreamExt as _;

use crate::harness::program;

/// What every language must find: the names of the cases, and of the hubs they run on.
const CASES: [&str; 16] = [
    "hub_properties",
    "partition_properties",
    "send_to_partition",
    "send_by_key",
    "send_in_turn",
    "full_batch",
    "too_large",
    "round_trip",
    "bodies",
    "positions",
    "owner_levels",
    "consumer_groups",
    "last_enqueued",
    "buffered_producer",
    "event_processor",
    "missing",
];

/// Partitions of each hub; the scripts count on it.
const PARTITIONS: usize = 4;

/// Longest wait for one event; far above what two busy cores need.
const LIMIT: Duration = Duration::from_secs(60);

/// The program as an emulator; ends with the test.
struct Hubs {
    process: Child,
    endpoint: String,
    /// A connection string without a hub.
    connection: String,
}

impl Hubs {
    fn start<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        let mut command = Command::new(program());
        command.args(["emulator", "--listen", "127.0.0.1:0", "--format", "json"]);
        for name in names {
            command.arg("--hub").arg(format!("{name}={PARTITIONS}"));
        }
        let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let facts: serde_json::Value = serde_json::from_str(&line).unwrap();
        let word = |name: &str| facts.get(name).unwrap().as_str().unwrap().to_owned();
        let (endpoint, connection) = (word("endpoint"), word("connection_string"));
        Self { process, endpoint, connection }
    }

    fn connection_to(&self, hub: &str) -> String {
        format!("{}EntityPath={hub}", self.connection)
    }
}

impl Drop for Hubs {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// A language with Microsoft's client.
#[derive(Debug, Clone, Copy)]
enum Peer {
    Python,
    JavaScript,
}

impl Peer {
    /// The command that runs its script; `None`, with a line saying so, where it is not installed.
    fn command(self) -> Option<Command> {
        let (variable, what) = match self {
            Self::Python => ("TOKENWATCH_PEER_PYTHON", "python with azure-eventhub"),
            Self::JavaScript => ("TOKENWATCH_PEER_NODE", "folder with @azure/event-hubs"),
        };
        let Some(value) = std::env::var_os(variable) else {
            let line = format!("skipped: {variable} names no {what}\n");
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        };
        let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers");
        Some(match self {
            Self::Python => {
                let mut command = Command::new(value);
                command.arg(scripts.join("event_hubs.py"));
                command
            }
            Self::JavaScript => {
                let mut command = Command::new("node");
                command.arg(scripts.join("event_hubs.mjs")).arg(value);
                command
            }
        })
    }

    /// Runs the script to its end, which must be a good one, and returns what it prints.
    #[track_caller]
    fn run(self, hubs: &Hubs, arguments: &[&str]) -> Option<String> {
        let ran = self.command()?.arg(&hubs.connection).arg(events_file()).args(arguments).output();
        let ran = ran.unwrap();
        let (out, err) =
            [ran.stdout, ran.stderr].map(|text| String::from_utf8(text).unwrap()).into();
        assert!(ran.status.success(), "{self:?} {arguments:?}\n{out}\n{err}");
        Some(out)
    }

    #[track_caller]
    fn check_cases(self) {
        let hubs = Hubs::start(CASES.into_iter().chain(["asynchronous"]));
        let Some(out) = self.run(&hubs, &[]) else { return };
        let held: BTreeSet<_> = out.lines().filter_map(|line| line.strip_prefix("ok ")).collect();
        let missing: Vec<_> = CASES.into_iter().filter(|case| !held.contains(case)).collect();
        assert!(missing.is_empty(), "{self:?} says nothing of {missing:?}:\n{out}");
    }
}

fn events_file() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/events.json")
}

#[test]
fn the_python_client_believes_the_emulator() {
    Peer::Python.check_cases();
}

#[test]
fn the_javascript_client_believes_the_emulator() {
    Peer::JavaScript.check_cases();
}

#[tokio::test]
async fn what_one_language_writes_the_others_read() {
    let hubs = Hubs::start(["rust", "python", "javascript"]);
    write(&hubs, "rust").await;
    expect(&hubs, "rust").await;
    for (peer, own) in [(Peer::Python, "python"), (Peer::JavaScript, "javascript")] {
        if peer.run(&hubs, &["--write", own]).is_some() {
            expect(&hubs, own).await;
            peer.run(&hubs, &["--read", "rust"]);
        }
    }
    if Peer::Python.command().is_some() && Peer::JavaScript.command().is_some() {
        Peer::Python.run(&hubs, &["--read", "javascript"]);
        Peer::JavaScript.run(&hubs, &["--read", "python"]);
    }
}

/// An event that every language writes and reads.
#[derive(Debug, serde::Deserialize)]
struct Shared {
    body: String,
    key: Option<String>,
    content_type: Option<String>,
    message_id: Option<String>,
    correlation_id: Option<String>,
    #[serde(default)]
    properties: BTreeMap<String, serde_json::Value>,
}

impl Shared {
    fn all() -> Vec<Self> {
        serde_json::from_slice(&std::fs::read(events_file()).unwrap()).unwrap()
    }

    fn event(&self) -> EventData {
        let mut event = EventData::builder().with_body(BASE64_STANDARD.decode(&self.body).unwrap());
        if let Some(content_type) = &self.content_type {
            event = event.with_content_type(content_type.clone());
        }
        if let Some(id) = &self.message_id {
            event = event.with_message_id(id.clone());
        }
        if let Some(id) = &self.correlation_id {
            event = event.with_correlation_id(id.clone());
        }
        for (name, value) in &self.properties {
            event = event.add_property(name.clone(), forms(value).remove(0));
        }
        event.build()
    }

    fn check(&self, event: &ReceivedEventData) {
        let data = event.event_data();
        assert_eq!(event.partition_key(), &self.key);
        assert_eq!(data.content_type(), self.content_type.as_deref());
        let id = |text: &Option<String>| text.clone().map(MessageId::String);
        assert_eq!(data.message_id().cloned(), id(&self.message_id));
        assert_eq!(data.correlation_id().cloned(), id(&self.correlation_id));
        let mut properties = data.properties().cloned().unwrap_or_default();
        for (name, wanted) in &self.properties {
            let seen = properties.remove(name).unwrap();
            assert!(forms(wanted).contains(&seen), "{name}: {seen:?}");
        }
        assert!(properties.is_empty(), "{properties:?}");
    }
}

/// A property as Rust writes it, then the other widths that languages choose for whole numbers.
fn forms(value: &serde_json::Value) -> Vec<AmqpSimpleValue> {
    if let Some(text) = value.as_str() {
        return vec![AmqpSimpleValue::String(text.to_owned())];
    }
    if let Some(yes) = value.as_bool() {
        return vec![AmqpSimpleValue::Boolean(yes)];
    }
    let Some(whole) = value.as_i64() else {
        return vec![AmqpSimpleValue::Double(value.as_f64().unwrap())];
    };
    let mut forms = vec![AmqpSimpleValue::Long(whole)];
    forms.extend(i32::try_from(whole).map(AmqpSimpleValue::Int));
    forms.extend(u32::try_from(whole).map(AmqpSimpleValue::UInt));
    forms.extend(u64::try_from(whole).map(AmqpSimpleValue::ULong));
    forms
}

async fn write(hubs: &Hubs, hub: &str) {
    let secret = hubs.connection_to(hub);
    let producer = ProducerClient::builder()
        .with_custom_endpoint(hubs.endpoint.clone())
        .open_with_connection_string(&secret, None)
        .await
        .unwrap();
    for shared in Shared::all() {
        let partition_id = shared.key.is_none().then(|| "0".to_owned());
        let options = EventDataBatchOptions {
            partition_key: shared.key.clone(),
            partition_id,
            ..EventDataBatchOptions::default()
        };
        let batch = producer.create_batch(Some(options)).await.unwrap();
        assert!(batch.try_add_event_data(shared.event(), None).unwrap());
        producer.send_batch(batch, None).await.unwrap();
    }
    producer.close().await.unwrap();
}

async fn expect(hubs: &Hubs, hub: &str) {
    let secret = hubs.connection_to(hub);
    let client = ConsumerClient::builder()
        .with_custom_endpoint(hubs.endpoint.clone())
        .open_with_connection_string(&secret, None)
        .await
        .unwrap();
    let mut found = BTreeMap::new();
    for partition in (0..PARTITIONS).map(|number| number.to_string()) {
        let state = client.get_partition_properties(&partition).await.unwrap();
        let count = usize::try_from(state.last_enqueued_sequence_number + 1).unwrap();
        let earliest = StartPosition { location: StartLocation::Earliest, inclusive: false };
        let options = OpenReceiverOptions { start_position: Some(earliest), ..Default::default() };
        let receiver = client.open_receiver_on_partition(partition, Some(options)).await.unwrap();
        let mut events = Box::pin(receiver.stream_events());
        for _ in 0..count {
            let event = tokio::time::timeout(LIMIT, events.next()).await.unwrap().unwrap().unwrap();
            let body = BASE64_STANDARD.encode(event.event_data().body().unwrap());
            assert!(found.insert(body, event).is_none());
        }
    }
    let shared = Shared::all();
    assert_eq!(found.len(), shared.len());
    for one in &shared {
        one.check(found.get(&one.body).unwrap());
    }
}
