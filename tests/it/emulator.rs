//! `emulator` from outside: what it prints, what a kill leaves, what it refuses.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use azure_messaging_eventhubs::models::{EventData, ReceivedEventData};
use azure_messaging_eventhubs::{
    ConsumerClient, EventDataBatchOptions, OpenReceiverOptions, ProducerClient, RetryOptions,
    SendEventOptions, StartLocation, StartPosition,
};
use futures_util::StreamExt as _;
use serde_json::Value;
use tokio::time::timeout;

use crate::harness::{Folder, program, run_with};

const LIMIT: Duration = Duration::from_secs(30);

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = timeout(LIMIT, future).await;
    assert!(done.is_ok(), "{what} takes too long");
    done.unwrap()
}

/// The program while it serves; killed when dropped.
struct Hub {
    child: Child,
    facts: Value,
    errors: Option<BufReader<std::process::ChildStderr>>,
}

impl Hub {
    fn start(args: &[&str]) -> Self {
        // The client builds its TLS configuration even for plain connections.
        drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
        let mut child = Command::new(program())
            .args(["emulator", "--listen", "127.0.0.1:0", "--format", "json"])
            .args(args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut errors = BufReader::new(child.stderr.take().unwrap());
        if line.is_empty() {
            errors.read_to_string(&mut line).unwrap();
        }
        let facts = serde_json::from_str(&line);
        assert!(facts.is_ok(), "not served: {line}");
        let facts = facts.unwrap();
        Self { child, facts, errors: Some(errors) }
    }

    /// `kill -9`; returns what was on standard error.
    fn kill(mut self) -> String {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        let mut text = String::new();
        self.errors.take().unwrap().read_to_string(&mut text).unwrap();
        text
    }

    fn text(&self, pointer: &str) -> &str {
        self.facts.pointer(pointer).unwrap().as_str().unwrap()
    }

    async fn producer(&self) -> ProducerClient {
        let opened = ProducerClient::builder()
            .with_custom_endpoint(self.text("/endpoint").to_owned())
            .with_retry_options(RetryOptions { max_retries: 0, ..RetryOptions::default() })
            .open_with_connection_string(self.text("/hubs/0/connection_string"), None);
        within("a producer", opened).await.unwrap()
    }

    async fn consumer(&self, group: &str) -> ConsumerClient {
        let opened = ConsumerClient::builder()
            .with_custom_endpoint(self.text("/endpoint").to_owned())
            .with_retry_options(RetryOptions { max_retries: 0, ..RetryOptions::default() })
            .with_consumer_group(group.to_owned())
            .open_with_connection_string(self.text("/hubs/0/connection_string"), None);
        within("a consumer", opened).await.unwrap()
    }

    /// Everything in a partition, or why it cannot be read.
    async fn read(&self, group: &str, partition: &str) -> Result<Vec<ReceivedEventData>, String> {
        let client = self.consumer(group).await;
        let state = client.get_partition_properties(partition);
        let state = within("properties", state).await.unwrap();
        let start = StartPosition { location: StartLocation::Earliest, ..StartPosition::default() };
        let options =
            OpenReceiverOptions { start_position: Some(start), ..OpenReceiverOptions::default() };
        let opened = client.open_receiver_on_partition(partition.to_owned(), Some(options));
        let receiver = within("a receiver", opened).await.unwrap();
        let mut stream = Box::pin(receiver.stream_events());
        let mut events: Vec<ReceivedEventData> = Vec::new();
        let last = state.last_enqueued_sequence_number;
        // Without events one is awaited all the same, for the error that may come instead.
        while events.last().and_then(ReceivedEventData::sequence_number) != Some(last) {
            match within("an event", stream.next()).await {
                Some(Ok(event)) => events.push(event),
                Some(Err(error)) => return Err(format!("{error:?}")),
                None => return Err("the end".to_owned()),
            }
        }
        Ok(events)
    }
}

impl Drop for Hub {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// All that a reader sees of an event, as text.
fn seen(event: &ReceivedEventData) -> String {
    let data = event.event_data();
    let mut properties: Vec<_> = data.properties().into_iter().flatten().collect();
    properties.sort_by_key(|(name, _)| *name);
    format!(
        "{:?} {:?} {:?} {:?} {:?} {properties:?} {:?} {:?} {:?}",
        event.sequence_number(),
        event.offset(),
        event.enqueued_time(),
        event.partition_key(),
        data.body(),
        data.content_type(),
        data.message_id(),
        data.correlation_id(),
    )
}

fn rich(number: u32) -> EventData {
    EventData::builder()
        .with_body(format!("body {number}").into_bytes())
        .with_content_type("text/plain".to_owned())
        .with_message_id(u64::from(number))
        .with_correlation_id("corr")
        .add_property("number".to_owned(), i64::from(number))
        .add_property("größe".to_owned(), "voll")
        .build()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_a_kill_with_all_that_goes_with_it() {
    let folder = Folder::new();
    let data = folder.path("data");
    let args = ["--hub", "orders=2", "--data", &data];
    let hub = Hub::start(&args);
    let producer = hub.producer().await;
    for number in 0..5 {
        let options = SendEventOptions { partition_id: Some("0".to_owned()) };
        within("send", producer.send_event(rich(number), Some(options))).await.unwrap();
    }
    for partition in ["0", "1"] {
        let options = EventDataBatchOptions {
            partition_id: Some(partition.to_owned()),
            ..EventDataBatchOptions::default()
        };
        let batch = within("batch", producer.create_batch(Some(options))).await.unwrap();
        for number in 10..60 {
            assert!(batch.try_add_event_data(rich(number), None).unwrap());
        }
        within("send", producer.send_batch(batch, None)).await.unwrap();
    }
    let options = EventDataBatchOptions {
        partition_key: Some("tenant-7".to_owned()),
        ..EventDataBatchOptions::default()
    };
    let batch = within("batch", producer.create_batch(Some(options))).await.unwrap();
    assert!(batch.try_add_event_data(rich(99), None).unwrap());
    within("send", producer.send_batch(batch, None)).await.unwrap();
    let mut before = Vec::new();
    for partition in ["0", "1"] {
        before.extend(hub.read("$Default", partition).await.unwrap().iter().map(seen));
    }
    assert_eq!(before.len(), 106);
    assert!(before.iter().any(|event| event.contains("tenant-7")), "the key is missing");
    assert!(before[0].contains("größe") && before[0].contains("text/plain"), "{}", before[0]);
    hub.kill();

    let hub = Hub::start(&args);
    let mut after = Vec::new();
    for partition in ["0", "1"] {
        after.extend(hub.read("$Default", partition).await.unwrap().iter().map(seen));
    }
    assert_eq!(after, before);
    let options = SendEventOptions { partition_id: Some("1".to_owned()) };
    let producer = hub.producer().await;
    within("send", producer.send_event(rich(100), Some(options))).await.unwrap();
    let numbers: Vec<_> = hub.read("$Default", "1").await.unwrap();
    let numbers: Vec<_> = numbers.iter().filter_map(ReceivedEventData::sequence_number).collect();
    let expected: Vec<_> = (0..).take(numbers.len()).collect();
    assert_eq!(numbers, expected, "numbers go on where they were");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kills_in_the_middle_of_sending_lose_nothing_acknowledged() {
    let folder = Folder::new();
    let data = folder.path("data");
    let args = ["--hub", "orders=1", "--data", &data];
    let mut acknowledged = Vec::new();
    for round in 0..5_u32 {
        let hub = Hub::start(&args);
        let producer = hub.producer().await;
        let enough = acknowledged.len() + 3;
        let (told, mut heard) = tokio::sync::mpsc::channel(1_000);
        let sending = tokio::spawn(async move {
            for number in 0..1_000_u32 {
                let body = format!("{round}/{number}/{}", "x".repeat(50_000));
                let sent = producer.send_event(body.clone(), None);
                if within("send", sent).await.is_err() {
                    return;
                }
                told.send(body).await.unwrap();
            }
        });
        while acknowledged.len() < enough {
            acknowledged.push(within("an acknowledgement", heard.recv()).await.unwrap());
        }
        hub.kill();
        // The client may not notice that its peer has gone; what it was told until then counts.
        sending.abort();
        while let Ok(body) = heard.try_recv() {
            acknowledged.push(body);
        }
    }
    let hub = Hub::start(&args);
    let kept = hub.read("$Default", "0").await.unwrap();
    let kept: Vec<_> = kept
        .iter()
        .map(|event| String::from_utf8(event.event_data().body().unwrap().to_vec()).unwrap())
        .collect();
    let lost: Vec<_> = acknowledged.iter().filter(|body| !kept.contains(body)).collect();
    assert!(lost.is_empty(), "{} of {} are lost", lost.len(), acknowledged.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_torn_tail_is_cut_off_with_a_warning_and_the_rest_is_read() {
    let folder = Folder::new();
    let data = folder.path("data");
    let args = ["--hub", "orders=1", "--data", &data];
    let hub = Hub::start(&args);
    let producer = hub.producer().await;
    for number in 0..3 {
        within("send", producer.send_event(rich(number), None)).await.unwrap();
    }
    hub.kill();
    let file = format!("{data}/hubs/orders/0/00000000.log");
    let bytes = std::fs::read(&file).unwrap();
    std::fs::write(&file, &bytes[..bytes.len() - 3]).unwrap();
    let hub = Hub::start(&args);
    assert_eq!(hub.read("$Default", "0").await.unwrap().len(), 2);
    let warnings = hub.kill();
    assert!(warnings.contains("WARN") && warnings.contains("00000000.log"), "{warnings}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_that_an_entity_file_does_not_list_are_refused() {
    let folder = Folder::new();
    let file = folder.write(
        "Config.json",
        br#"{"UserConfig":{"NamespaceConfig":[{"Type":"EventHub","Name":"emulatorNs1","Entities":
            [{"Name":"eh1","PartitionCount":"2","ConsumerGroups":[{"Name":"cg1"}],"Note":1}]}],
            "LoggingConfig":{"Type":"File"}}}"#,
    );
    let hub = Hub::start(&["--config", &file]);
    assert_eq!(hub.facts["hubs"][0]["partitions"], 2);
    let producer = hub.producer().await;
    let options = SendEventOptions { partition_id: Some("1".to_owned()) };
    within("send", producer.send_event("one", Some(options))).await.unwrap();
    for group in ["$Default", "cg1", "CG1"] {
        assert_eq!(hub.read(group, "1").await.unwrap().len(), 1, "{group}");
    }
    let error = hub.read("cg2", "1").await.unwrap_err();
    assert!(error.contains("not-found") || error.contains("NotFound"), "{error}");
    assert!(error.contains("no consumer group `cg2`"), "{error}");
    assert!(hub.kill().contains("Entities[0].Note"), "ignored fields are named");
    let any = Hub::start(&["--hub", "eh1=1"]);
    let producer = any.producer().await;
    within("send", producer.send_event("one", None)).await.unwrap();
    assert_eq!(any.read("whoever", "0").await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn captured_lines_come_in_order_with_their_times() {
    let folder = Folder::new();
    let simulated = folder.path("events.jsonl");
    let args = ["simulate", "--scenario", "quiet", "--history-hours", "3", "--live-minutes", "5"];
    let ran = run_with(&[&args[..], &["--partitions", "2", "--out", &simulated]].concat(), b"");
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let lines = std::fs::read_to_string(&simulated).unwrap();
    let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let other =
        folder.write("other.jsonl", br#"{"partition":0,"sequence":7,"enqueued":1000,"body":"x"}"#);
    let load = format!("LOGS={simulated}");
    let (first, second) = (format!("other={other}"), load.as_str());
    let hub =
        Hub::start(&["--hub", "logs=3", "--hub", "other=1", "--load", &first, "--load", second]);
    assert_eq!(hub.facts["hubs"][0]["events"], lines.len());
    assert_eq!(hub.facts["hubs"][1]["events"], 1);
    for partition in ["0", "1"] {
        let events = hub.read("$Default", partition).await.unwrap();
        let wanted: Vec<_> = lines.iter().filter(|line| line["partition"] == partition).collect();
        assert!(!wanted.is_empty() && events.len() == wanted.len(), "{}", wanted.len());
        for (event, line) in events.iter().zip(wanted) {
            let body: Value = serde_json::from_slice(event.event_data().body().unwrap()).unwrap();
            assert_eq!(body, line["body"]);
            assert_eq!(event.sequence_number(), line["sequence"].as_i64());
            let enqueued = event.enqueued_time().unwrap();
            let enqueued = enqueued.duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
            let wanted = tokenwatch::time::parse(line["enqueued"].as_str().unwrap()).unwrap();
            assert_eq!(i64::try_from(enqueued).unwrap(), wanted);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn standard_output_is_one_line_of_facts_and_the_ready_file_says_the_same() {
    let folder = Folder::new();
    let ready = folder.write("ready.json", b"stale");
    let mut hub = Hub::start(&["--ready-file", &ready]);
    assert_eq!(hub.facts["hubs"][0]["name"], "hub");
    assert_eq!(hub.facts["hubs"][0]["partitions"], 4);
    assert_eq!(hub.facts["pid"], hub.child.id());
    let port = hub.facts["port"].as_u64().unwrap();
    assert_eq!(hub.text("/endpoint"), format!("amqp://127.0.0.1:{port}"));
    let secret = hub.text("/connection_string");
    assert!(secret.contains(&format!("sb://localhost:{port};")) && !secret.contains("EntityPath"));
    let of_hub = hub.text("/hubs/0/connection_string");
    assert_eq!(of_hub, format!("{secret}EntityPath=hub"));
    let written = async {
        loop {
            let text = std::fs::read_to_string(&ready).unwrap_or_default();
            if text != "stale" && !text.is_empty() {
                return text;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let written: Value = serde_json::from_str(&within("ready file", written).await).unwrap();
    assert_eq!(written, hub.facts);
    let signalled = Command::new("kill").args(["-TERM", &hub.child.id().to_string()]).status();
    assert!(signalled.unwrap().success());
    assert_eq!(hub.child.wait().unwrap().code(), Some(0));
    assert!(hub.kill().contains("serving `hub` with 4 partitions"));
}

#[test]
fn two_processes_do_not_share_a_folder() {
    let folder = Folder::new();
    let data = folder.path("data");
    let first = Hub::start(&["--hub", "a=1", "--data", &data]);
    refused(&["--hub", "a=1", "--data", &data], 1, &["is in use by another emulator"]);
    first.kill();
    drop(Hub::start(&["--data", &data]));
}

#[track_caller]
fn refused(args: &[&str], code: i32, words: &[&str]) {
    let all = [&["emulator", "--listen", "127.0.0.1:0"], args].concat();
    let ran = run_with(&all, b"");
    assert_eq!(ran.code, Some(code), "{args:?}: {}", ran.err);
    assert_eq!(ran.out, "", "{args:?}");
    for word in words {
        assert!(ran.err.contains(word), "{args:?}: {:?} lacks {word:?}", ran.err);
    }
}

#[test]
fn what_cannot_be_served_is_told_and_nothing_starts() {
    let folder = Folder::new();
    let config = folder.write(
        "Config.json",
        br#"{"UserConfig":{"NamespaceConfig":[{"Entities":[{"Name":"a/b","PartitionCount":"0"},{}]}]}}"#,
    );
    let entity = "$.UserConfig.NamespaceConfig[0].Entities";
    let words = [
        &format!("{entity}[0]"),
        &format!("{entity}[1].Name"),
        &format!("{entity}[1].PartitionCount"),
    ];
    let words: Vec<&str> = words.iter().map(|word| word.as_str()).collect();
    let data = folder.path("data");
    refused(&["--config", &config, "--data", &data], 3, &words);
    assert!(!Path::new(&data).exists());
    refused(&["--config", &folder.path("none")], 3, &["cannot read"]);

    let foreign = folder.path("foreign");
    std::fs::create_dir(&foreign).unwrap();
    std::fs::write(format!("{foreign}/thesis.doc"), "").unwrap();
    refused(&["--data", &foreign], 1, &["thesis.doc", "name a new or empty one"]);

    let bare = folder.write("bare.json", b"{\"records\":[]}\n");
    refused(&["--load", &bare], 1, &["bare bodies"]);
    let line = br#"{"partition":"9","sequence":0,"enqueued":0,"body":{}}"#;
    let line = folder.write("line.jsonl", line);
    refused(&["--hub", "a=2", "--load", &line], 1, &["partition `9`", "2 partitions"]);
    refused(&["--hub", "a=2", "--hub", "b=2", "--load", &line], 2, &["which hub", "a, b"]);
    refused(&["--hub", "a=2", "--hub", "A=3"], 1, &["specified twice"]);
    refused(&["--hub", "a=0"], 2, &["partition count"]);
}

#[test]
fn a_load_into_a_folder_that_has_events_is_refused() {
    let folder = Folder::new();
    let data = folder.path("data");
    let line = br#"{"partition":"0","sequence":0,"enqueued":0,"body":{}}"#;
    let line = folder.write("line.jsonl", line);
    let args = ["--hub", "a=1", "--data", &data, "--load", &line];
    Hub::start(&args).kill();
    refused(&args, 1, &["has events already"]);
    let again = Hub::start(&["--data", &data]);
    assert_eq!(again.facts["hubs"][0]["events"], 1);
}
