//! The emulator under Microsoft's own client.
//!
//! Client and emulator share one thread: the client's sender notes a delivery after it has handed
//! it on, and its session forgets its links after it has detached them, so that on more threads a
//! busy machine decides what it makes of the answers.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use azure_messaging_eventhubs::models::{EventData, EventHubProperties, ReceivedEventData};
use azure_messaging_eventhubs::{
    ConsumerClient, EventDataBatchOptions, EventReceiver, OpenReceiverOptions, ProducerClient,
    RetryOptions, SendEventOptions, StartLocation, StartPosition,
};
use futures_util::{Stream, StreamExt as _};
use tokio::time::{sleep, timeout};

use super::*;

mod client;
mod faults;
mod http;
mod storage;
mod wire;

const LIMIT: Duration = Duration::from_secs(30);

pub(super) type Events<'a> =
    Pin<Box<dyn Stream<Item = azure_messaging_eventhubs::Result<ReceivedEventData>> + Send + 'a>>;

pub(super) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(LIMIT, future).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

pub(super) async fn emulator(partitions: u32) -> Emulator {
    // The client builds its TLS configuration even for plain connections.
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let listen = "127.0.0.1:0".parse().unwrap();
    let hubs = vec![HubSpec::new("logs", partitions)];
    Emulator::start(listen, hubs, EmulatorClock::fixed(1_700_000_000_000)).await.unwrap()
}

pub(super) fn no_retries() -> RetryOptions {
    RetryOptions { max_retries: 0, ..RetryOptions::default() }
}

pub(super) async fn consumer(emulator: &Emulator) -> ConsumerClient {
    let secret = emulator.connection_string("logs");
    let opened = ConsumerClient::builder()
        .with_custom_endpoint(emulator.endpoint())
        .with_retry_options(no_retries())
        .open_with_connection_string(&secret, None);
    within("open a consumer", opened).await.unwrap()
}

pub(super) async fn producer(emulator: &Emulator) -> ProducerClient {
    let secret = emulator.connection_string("logs");
    let opened = ProducerClient::builder()
        .with_custom_endpoint(emulator.endpoint())
        .with_retry_options(no_retries())
        .open_with_connection_string(&secret, None);
    within("open a producer", opened).await.unwrap()
}

pub(super) fn after(sequence: i64) -> OpenReceiverOptions {
    let location = StartLocation::SequenceNumber(sequence);
    at(StartPosition { location, inclusive: false })
}

pub(super) fn at(position: StartPosition) -> OpenReceiverOptions {
    OpenReceiverOptions { start_position: Some(position), ..OpenReceiverOptions::default() }
}

pub(super) fn owned(owner_level: i64) -> OpenReceiverOptions {
    OpenReceiverOptions { owner_level: Some(owner_level), ..after(-1) }
}

pub(super) async fn receiver(
    client: &ConsumerClient,
    options: OpenReceiverOptions,
) -> EventReceiver {
    let opened = client.open_receiver_on_partition("0".to_owned(), Some(options));
    within("open a receiver", opened).await.unwrap()
}

/// Sequence numbers of the next `count` events.
pub(super) async fn take(events: &mut Events<'_>, count: usize) -> Vec<i64> {
    let mut sequences = Vec::new();
    while sequences.len() < count {
        let event = within("next event", events.next()).await.unwrap().unwrap();
        sequences.push(event.sequence_number().unwrap());
    }
    sequences
}

/// The text of the error that ends the stream; events before it are skipped.
pub(super) async fn failure(events: &mut Events<'_>) -> String {
    loop {
        match within("failure", events.next()).await {
            Some(Ok(_)) => {}
            Some(Err(error)) => return format!("{error:?}"),
            None => return "end".to_owned(),
        }
    }
}

pub(super) async fn silent(events: &mut Events<'_>) -> bool {
    timeout(Duration::from_millis(50), events.next()).await.is_err()
}

pub(super) fn apply(emulator: &Emulator, action: &str) {
    emulator.control().apply(action.parse().unwrap()).unwrap();
}

pub(super) fn fill(emulator: &Emulator, count: i64) {
    for number in 0..count {
        emulator.control().append("logs", 0, number.to_string().into_bytes()).unwrap();
    }
}

#[test]
fn hubs_are_read_from_text() {
    let spec: HubSpec = "insights-logs=4".parse().unwrap();
    assert_eq!(spec, HubSpec::new("insights-logs", 4));
    assert_eq!(spec.to_string(), "insights-logs=4");
    for text in ["", "logs", "=4", "logs=", "logs=0", "logs=-1", "logs=2000", "a/b=1", "logs=x"] {
        let error = text.parse::<HubSpec>().unwrap_err().to_string();
        assert!(error.chars().next().unwrap().is_lowercase(), "{error}");
    }
}

#[tokio::test]
async fn only_loopback_is_served() {
    let listen = "0.0.0.0:0".parse().unwrap();
    let started = Emulator::start(listen, vec![], EmulatorClock::real()).await;
    assert!(matches!(started, Err(EmulatorError::NotLoopback { .. })));
    let hubs = vec![HubSpec::new("logs", 1), HubSpec::new("Logs", 1)];
    let started =
        Emulator::start("127.0.0.1:0".parse().unwrap(), hubs, EmulatorClock::real()).await;
    assert!(matches!(started, Err(EmulatorError::HubTwice { .. })));
}

#[tokio::test]
async fn events_are_read_from_a_sequence_number_on() {
    let emulator = emulator(1).await;
    fill(&emulator, 10);
    emulator.control().append_at("logs", 0, b"late".to_vec(), 1_700_000_005_000).unwrap();
    let client = consumer(&emulator).await;
    let receiver = receiver(&client, after(6)).await;
    let mut events: Events<'_> = Box::pin(receiver.stream_events());
    assert_eq!(take(&mut events, 3).await, [7, 8, 9]);
    let event = within("last", events.next()).await.unwrap().unwrap();
    assert_eq!(event.event_data().body(), Some(b"late".as_slice()));
    let enqueued = event.enqueued_time().unwrap();
    let since_1970 = enqueued.duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(since_1970.as_millis(), 1_700_000_005_000);
    assert_eq!(event.offset().as_deref(), Some("650"));
    // What arrives later is delivered too.
    fill(&emulator, 2);
    assert_eq!(take(&mut events, 2).await, [11, 12]);
    assert_eq!(emulator.control().attach_count(), 1);
    within("stop", emulator.stop()).await;
}

#[tokio::test]
async fn other_positions_are_understood() {
    let emulator = emulator(1).await;
    for at_ms in 1..=5 {
        emulator.control().append_at("logs", 0, vec![b'x'; 36], at_ms * 1_000).unwrap();
    }
    let second = Duration::from_secs(1);
    for (location, inclusive, first) in [
        (StartLocation::Earliest, false, 0),
        (StartLocation::Offset("200".to_owned()), true, 2),
        (StartLocation::Offset("200".to_owned()), false, 3),
        (StartLocation::EnqueuedTime(std::time::UNIX_EPOCH + second * 4), true, 3),
        (StartLocation::EnqueuedTime(std::time::UNIX_EPOCH + second * 4), false, 4),
    ] {
        let client = consumer(&emulator).await;
        let receiver = receiver(&client, at(StartPosition { location, inclusive })).await;
        let mut events: Events<'_> = Box::pin(receiver.stream_events());
        assert_eq!(take(&mut events, 1).await, [first]);
    }
}

#[tokio::test]
async fn properties_of_hub_and_partitions_are_told() {
    let emulator = emulator(2).await;
    fill(&emulator, 3);
    apply(&emulator, "expire logs/0 1");
    let client = consumer(&emulator).await;
    let hub = within("hub", client.get_eventhub_properties()).await.unwrap();
    assert_eq!((hub.name.as_str(), hub.partition_ids), ("logs", vec!["0".into(), "1".into()]));
    let first = within("partition", client.get_partition_properties("0")).await.unwrap();
    assert_eq!((first.beginning_sequence_number, first.last_enqueued_sequence_number), (1, 2));
    assert_eq!((first.last_enqueued_offset.as_str(), first.is_empty), ("130", false));
    let second = within("partition", client.get_partition_properties("1")).await.unwrap();
    assert_eq!((second.last_enqueued_sequence_number, second.is_empty), (-1, true));
    assert!(within("none", client.get_partition_properties("2")).await.is_err());
    apply(&emulator, "grow logs 3");
    let third = within("partition", client.get_partition_properties("2")).await.unwrap();
    assert!(third.is_empty);
}

#[tokio::test]
async fn single_events_and_batches_are_stored() {
    let emulator = emulator(2).await;
    let producer = producer(&emulator).await;
    let options = SendEventOptions { partition_id: Some("1".to_owned()) };
    within("send", producer.send_event("one", Some(options))).await.unwrap();
    for _ in 0..4 {
        within("send", producer.send_event("anywhere", None)).await.unwrap();
    }
    assert_eq!(emulator.control().received("logs"), [2, 3]);

    let options = EventDataBatchOptions {
        partition_key: Some("tenant".to_owned()),
        ..EventDataBatchOptions::default()
    };
    let batch = within("batch", producer.create_batch(Some(options))).await.unwrap();
    for number in 0..50 {
        let event = EventData::builder().with_body(format!("b{number}").into_bytes()).build();
        assert!(batch.try_add_event_data(event, None).unwrap());
    }
    within("send", producer.send_batch(batch, None)).await.unwrap();
    let received = emulator.control().received("logs");
    assert_eq!(received.iter().sum::<i64>(), 55, "{received:?}");
    assert!(received.contains(&2) || received.contains(&3), "a key stays in one partition");

    let (number, _) = received.iter().enumerate().max_by_key(|(_, next)| **next).unwrap();
    let client = consumer(&emulator).await;
    let options = Some(at(StartPosition { location: StartLocation::Earliest, inclusive: false }));
    let opened = client.open_receiver_on_partition(number.to_string(), options);
    let receiver = within("open", opened).await.unwrap();
    let mut events: Events<'_> = Box::pin(receiver.stream_events());
    let mut bodies = BTreeMap::new();
    for _ in 0..received[number] {
        let event = within("event", events.next()).await.unwrap().unwrap();
        let body = String::from_utf8(event.event_data().body().unwrap().to_vec()).unwrap();
        bodies.insert(body, event.partition_key().clone());
    }
    assert_eq!(bodies["b0"].as_deref(), Some("tenant"));
    assert_eq!(bodies["b49"].as_deref(), Some("tenant"));
    assert_eq!(bodies["anywhere"], None);
}

#[tokio::test]
async fn a_large_body_crosses_frames() {
    let emulator = emulator(1).await;
    let body = vec![7_u8; 300_000];
    emulator.control().append("logs", 0, body.clone()).unwrap();
    let producer = producer(&emulator).await;
    within("send", producer.send_event(body.clone(), None)).await.unwrap();
    let client = consumer(&emulator).await;
    let receiver = receiver(&client, after(-1)).await;
    let mut events: Events<'_> = Box::pin(receiver.stream_events());
    for _ in 0..2 {
        let event = within("event", events.next()).await.unwrap().unwrap();
        assert_eq!(event.event_data().body(), Some(body.as_slice()));
    }
}

#[tokio::test]
async fn a_higher_epoch_steals_the_link_and_a_lower_one_is_refused() {
    let emulator = emulator(1).await;
    fill(&emulator, 1);
    let (one, two, three) =
        (consumer(&emulator).await, consumer(&emulator).await, consumer(&emulator).await);
    let (low, high, late) = (
        receiver(&one, owned(1)).await,
        receiver(&two, owned(2)).await,
        receiver(&three, owned(1)).await,
    );
    let mut low: Events<'_> = Box::pin(low.stream_events());
    assert_eq!(take(&mut low, 1).await, [0]);
    let mut high: Events<'_> = Box::pin(high.stream_events());
    assert_eq!(take(&mut high, 1).await, [0]);
    let error = failure(&mut low).await;
    assert!(error.contains("LinkStolen"), "{error}");
    let mut late: Events<'_> = Box::pin(late.stream_events());
    let error = failure(&mut late).await;
    assert!(error.contains("LinkStolen"), "{error}");
    fill(&emulator, 1);
    assert_eq!(take(&mut high, 1).await, [1]);
}

#[tokio::test]
async fn a_cut_ends_the_connection_and_the_next_one_is_served() {
    let emulator = emulator(1).await;
    fill(&emulator, 2);
    let client = consumer(&emulator).await;
    let first = receiver(&client, after(-1)).await;
    let mut events: Events<'_> = Box::pin(first.stream_events());
    assert_eq!(take(&mut events, 2).await, [0, 1]);
    apply(&emulator, "cut");
    assert_ne!(failure(&mut events).await, "");
    let again = consumer(&emulator).await;
    let second = receiver(&again, after(0)).await;
    let mut events: Events<'_> = Box::pin(second.stream_events());
    assert_eq!(take(&mut events, 1).await, [1]);
    assert_eq!(emulator.control().attach_count(), 2);

    apply(&emulator, "refuse");
    apply(&emulator, "cut");
    assert_ne!(failure(&mut events).await, "");
    let secret = emulator.connection_string("logs");
    let refused = ConsumerClient::builder()
        .with_custom_endpoint(emulator.endpoint())
        .with_retry_options(no_retries())
        .open_with_connection_string(&secret, None);
    assert!(within("refusal", refused).await.is_err());
    apply(&emulator, "refuse for 0 s");
    let again = consumer(&emulator).await;
    let hub = within("hub", again.get_eventhub_properties()).await.unwrap();
    assert_eq!(hub.partition_ids.len(), 1);
}

#[tokio::test]
async fn a_detach_carries_its_condition() {
    let emulator = emulator(1).await;
    fill(&emulator, 1);
    for condition in ["amqp:unauthorized-access", "amqp:link:stolen"] {
        let client = consumer(&emulator).await;
        let receiver = receiver(&client, after(-1)).await;
        let mut events: Events<'_> = Box::pin(receiver.stream_events());
        assert_eq!(take(&mut events, 1).await, [0]);
        apply(&emulator, &format!("detach logs/0 {condition}"));
        let error = failure(&mut events).await;
        let word = if condition.ends_with("stolen") { "LinkStolen" } else { "nauthorized" };
        assert!(error.contains(word), "{condition}: {error}");
    }
}

#[tokio::test]
async fn a_frozen_partition_is_silent_while_management_answers() {
    let emulator = emulator(1).await;
    fill(&emulator, 1);
    let client = consumer(&emulator).await;
    let receiver = receiver(&client, after(-1)).await;
    let mut events: Events<'_> = Box::pin(receiver.stream_events());
    assert_eq!(take(&mut events, 1).await, [0]);
    apply(&emulator, "freeze logs/0");
    fill(&emulator, 3);
    assert!(silent(&mut events).await);
    let state = within("partition", client.get_partition_properties("0")).await.unwrap();
    assert_eq!(state.last_enqueued_sequence_number, 3);
    apply(&emulator, "freeze logs/0 for 0 s");
    assert_eq!(take(&mut events, 3).await, [1, 2, 3]);
}

#[tokio::test]
async fn duplicates_gaps_and_expiry_reach_the_reader() {
    let emulator = emulator(1).await;
    fill(&emulator, 3);
    let client = consumer(&emulator).await;
    let reader = receiver(&client, after(-1)).await;
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    assert_eq!(take(&mut events, 3).await, [0, 1, 2]);
    apply(&emulator, "duplicate logs/0 2");
    assert_eq!(take(&mut events, 2).await, [1, 2]);
    apply(&emulator, "skip logs/0 10");
    fill(&emulator, 1);
    assert_eq!(take(&mut events, 1).await, [13]);
    apply(&emulator, "expire logs/0 2");
    let late = consumer(&emulator).await;
    let late = receiver(&late, after(-1)).await;
    let mut late: Events<'_> = Box::pin(late.stream_events());
    assert_eq!(take(&mut late, 2).await, [2, 13]);
}

#[tokio::test]
async fn a_recreated_hub_starts_at_zero_and_refuses_old_positions() {
    let emulator = emulator(1).await;
    fill(&emulator, 5);
    let client = consumer(&emulator).await;
    let reader = receiver(&client, after(2)).await;
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    assert_eq!(take(&mut events, 2).await, [3, 4]);
    apply(&emulator, "recreate logs");
    fill(&emulator, 1);
    let error = failure(&mut events).await;
    assert_ne!(error, "end");
    assert_eq!(emulator.control().received("logs"), [1]);
    let late = consumer(&emulator).await;
    let reader = receiver(&late, after(4)).await;
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    let error = failure(&mut events).await;
    assert!(error.contains("argument-error") || error.contains("ArgumentError"), "{error}");
    let fresh = consumer(&emulator).await;
    let reader = receiver(&fresh, after(-1)).await;
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    assert_eq!(take(&mut events, 1).await, [0]);
}

#[tokio::test]
async fn many_events_arrive_in_order() {
    const COUNT: i64 = 10_000;
    let emulator = emulator(1).await;
    let bodies = (0..COUNT).map(|number| (vec![b'x'; 200], number)).collect();
    emulator.control().append_many("logs", 0, bodies).unwrap();
    let client = consumer(&emulator).await;
    let reader = receiver(&client, after(-1)).await;
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    for sequence in 0..COUNT {
        assert_eq!(take(&mut events, 1).await, [sequence]);
    }
}

#[tokio::test]
async fn what_does_not_exist_is_refused() {
    let emulator = emulator(1).await;
    let producer = producer(&emulator).await;
    let options = SendEventOptions { partition_id: Some("1".to_owned()) };
    let error = within("send", producer.send_event("lost", Some(options))).await.unwrap_err();
    assert!(format!("{error:?}").contains("no partition 1"), "{error:?}");
    let client = consumer(&emulator).await;
    let opened = client.open_receiver_on_partition("1".to_owned(), Some(after(-1)));
    let reader = within("open", opened).await.unwrap();
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    let error = failure(&mut events).await;
    assert!(error.contains("no partition 1"), "{error}");
    let control = emulator.control();
    assert!(control.append("other", 0, vec![]).is_err());
    assert!(control.append_many("logs", 1, vec![]).is_err());
    assert!(control.received("other").is_empty());
    assert_eq!(control.received("LOGS"), [0]);
}

#[tokio::test]
async fn closed_clients_leave_no_task() {
    let emulator = emulator(1).await;
    fill(&emulator, 1);
    let idle = emulator.broker.tasks.len();
    for _ in 0..3 {
        let client = consumer(&emulator).await;
        let reader = receiver(&client, after(-1)).await;
        let mut events: Events<'_> = Box::pin(reader.stream_events());
        assert_eq!(take(&mut events, 1).await, [0]);
        drop(events);
        // On a busy machine the client trips over its own clean-up and says so; what counts is what
        // it leaves behind.
        drop(within("close", reader.close()).await);
        drop(within("close", client.close()).await);
        let producer = producer(&emulator).await;
        within("send", producer.send_event("one", None)).await.unwrap();
        drop(within("close", producer.close()).await);
    }
    within("the end of the tasks", async {
        while emulator.broker.tasks.len() > idle {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_stopped_emulator_frees_its_port_and_leaves_no_task() {
    let emulator = emulator(1).await;
    fill(&emulator, 1);
    let client = consumer(&emulator).await;
    let reader = receiver(&client, after(-1)).await;
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    assert_eq!(take(&mut events, 1).await, [0]);
    let (address, broker) = (emulator.address(), Arc::clone(&emulator.broker));
    within("stop", emulator.stop()).await;
    assert_eq!(broker.tasks.len(), 0);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn a_hub_is_never_younger_than_its_events() {
    let emulator = emulator(2).await;
    let created = |hub: EventHubProperties| hub.created_on.unwrap();
    let client = consumer(&emulator).await;
    let at = |ms: u64| std::time::UNIX_EPOCH + Duration::from_millis(ms);
    let before = within("hub", client.get_eventhub_properties()).await.unwrap();
    assert_eq!(created(before), at(1_700_000_000_000));
    emulator.control().append_at("logs", 1, b"old".to_vec(), 1_600_000_000_000).unwrap();
    let after = within("hub", client.get_eventhub_properties()).await.unwrap();
    assert_eq!(created(after), at(1_600_000_000_000));
}
