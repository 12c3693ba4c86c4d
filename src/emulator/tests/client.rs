//! What Microsoft's Rust client sees: the cases that `tests/peers` also asks other languages.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use azure_core_amqp::message::AmqpMessageBody;
use azure_core_amqp::{AmqpList, AmqpMessage, AmqpValue};
use azure_messaging_eventhubs::models::{ReceivedEventData, StartPositions};
use azure_messaging_eventhubs::processor::PartitionClient;
use azure_messaging_eventhubs::{
    BufferedProducerClient, ConsumerClient, EnqueueEventOptions, EventDataBatchOptions,
    EventProcessor, InMemoryCheckpointStore, OpenReceiverOptions, ProcessorStrategy, StartLocation,
    StartPosition,
};
use futures_util::StreamExt as _;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use super::Emulator;
use super::tests::{
    Events, at, consumer, emulator, fill, no_retries, owned, producer, receiver, take, within,
};

fn earliest() -> OpenReceiverOptions {
    at(StartPosition { location: StartLocation::Earliest, inclusive: false })
}

/// The next `count` events of a partition, from the first on.
async fn read(emulator: &Emulator, partition: usize, count: usize) -> Vec<ReceivedEventData> {
    let client = consumer(emulator).await;
    let opened = client.open_receiver_on_partition(partition.to_string(), Some(earliest()));
    let receiver = within("open a receiver", opened).await.unwrap();
    let events = receiver.stream_events().take(count).map(Result::unwrap).collect();
    within("events", events).await
}

/// Number of events in each partition.
fn counts(emulator: &Emulator) -> Vec<usize> {
    let received = emulator.control().received("logs");
    received.into_iter().map(|count| usize::try_from(count).unwrap()).collect()
}

fn body_text(event: &ReceivedEventData) -> String {
    String::from_utf8(event.event_data().body().unwrap().to_vec()).unwrap()
}

fn to_partition(partition: &str) -> Option<EventDataBatchOptions> {
    let partition_id = Some(partition.to_owned());
    Some(EventDataBatchOptions { partition_id, ..EventDataBatchOptions::default() })
}

#[tokio::test]
async fn a_batch_is_filled_to_a_mebibyte_and_stored_whole() {
    let emulator = emulator(2).await;
    let producer = producer(&emulator).await;
    let batch = within("batch", producer.create_batch(to_partition("1"))).await.unwrap();
    assert!(!batch.try_add_event_data(vec![0; 1_048_576], None).unwrap());
    let event = |number: usize| format!("{number} {}", ".".repeat(990)).into_bytes();
    let mut count = 0;
    while batch.try_add_event_data(event(count), None).unwrap() {
        count += 1;
    }
    assert!((1_046_000..=1_048_576).contains(&batch.size()), "{}", batch.size());
    within("send", producer.send_batch(batch, None)).await.unwrap();
    assert_eq!(counts(&emulator), [0, count]);
    for (number, received) in read(&emulator, 1, count).await.iter().enumerate() {
        assert_eq!(received.event_data().body(), Some(event(number).as_slice()));
        assert_eq!(received.sequence_number(), i64::try_from(number).ok());
    }
}

#[tokio::test]
async fn events_go_round_robin_or_by_key() {
    let emulator = emulator(4).await;
    let producer = producer(&emulator).await;
    for _ in 0..4 {
        within("send", producer.send_event("any", None)).await.unwrap();
    }
    assert_eq!(counts(&emulator), [1; 4]);
    for key in ["tenant", "a", "tenant", "a"] {
        let partition_key = Some(key.to_owned());
        let options = EventDataBatchOptions { partition_key, ..EventDataBatchOptions::default() };
        let batch = within("batch", producer.create_batch(Some(options))).await.unwrap();
        assert!(batch.try_add_event_data(key, None).unwrap());
        within("send", producer.send_batch(batch, None)).await.unwrap();
    }
    // Where JavaScript's buffered producer sends these keys: see `key`.
    assert_eq!(counts(&emulator), [3, 3, 1, 1]);
    for (partition, key) in [(0, "a"), (1, "tenant")] {
        for event in &read(&emulator, partition, 3).await[1..] {
            assert_eq!(
                (event.partition_key().as_deref(), body_text(event).as_str()),
                (Some(key), key)
            );
        }
    }
}

#[tokio::test]
async fn bodies_that_are_not_data_survive() {
    let emulator = emulator(1).await;
    let producer = producer(&emulator).await;
    let list = |texts: &[&str]| {
        AmqpList::from(texts.iter().map(|text| AmqpValue::from(*text)).collect::<Vec<_>>())
    };
    let bodies = [
        AmqpMessageBody::Value(AmqpValue::Null),
        AmqpMessageBody::Value(AmqpValue::from("text")),
        AmqpMessageBody::Value(AmqpValue::from(-7_i64)),
        AmqpMessageBody::Sequence(vec![list(&["one", "two"])]),
        AmqpMessageBody::Sequence(vec![list(&["more"]), list(&["than", "one"])]),
        AmqpMessageBody::Binary(vec![b"two".to_vec(), b"sections".to_vec()]),
    ];
    for body in bodies.clone() {
        let message = AmqpMessage::builder().with_body(body).build();
        within("send", producer.send_message(message, None)).await.unwrap();
    }
    for (event, body) in read(&emulator, 0, bodies.len()).await.iter().zip(bodies) {
        assert_eq!(event.raw_amqp_message().body, body);
    }
}

#[tokio::test]
async fn consumer_groups_read_independently() {
    let emulator = emulator(1).await;
    fill(&emulator, 2);
    let secret = emulator.connection_string("logs");
    let mut readers = Vec::new();
    for (group, level) in [("$Default", 7), ("second", 1)] {
        let opened = ConsumerClient::builder()
            .with_custom_endpoint(emulator.endpoint())
            .with_retry_options(no_retries())
            .with_consumer_group(group.to_owned())
            .open_with_connection_string(&secret, None);
        let client = within("open a consumer", opened).await.unwrap();
        readers.push((receiver(&client, owned(level)).await, client));
    }
    let mut streams: Vec<Events<'_>> = Vec::new();
    for (reader, _) in &readers {
        streams.push(Box::pin(reader.stream_events()));
    }
    for stream in &mut streams {
        assert_eq!(take(stream, 2).await, [0, 1]);
    }
    fill(&emulator, 1);
    for stream in &mut streams {
        assert_eq!(take(stream, 1).await, [2]);
    }
}

#[tokio::test]
async fn a_reader_at_the_end_hears_only_what_comes() {
    let emulator = emulator(1).await;
    fill(&emulator, 3);
    let client = consumer(&emulator).await;
    let latest = StartPosition { location: StartLocation::Latest, inclusive: false };
    let reader = receiver(&client, at(latest)).await;
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    let mut next = events.next();
    // The first poll attaches; only then does the end mean anything.
    tokio::select! {
        event = &mut next => panic!("{event:?}"),
        () = attached(&emulator, 1) => {}
    }
    fill(&emulator, 1);
    let event = within("the event", next).await.unwrap().unwrap();
    assert_eq!(event.sequence_number(), Some(3));
}

/// Waits until so many readers have attached.
async fn attached(emulator: &Emulator, count: u64) {
    let attaches = async {
        while emulator.control().attach_count() < count {
            sleep(Duration::from_millis(5)).await;
        }
    };
    within("attach", attaches).await;
}

#[tokio::test]
async fn a_buffered_producer_sends_keys_where_the_emulator_would() {
    let emulator = emulator(4).await;
    let failures = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&failures);
    let secret = emulator.connection_string("logs");
    let opened = BufferedProducerClient::builder()
        .with_custom_endpoint(emulator.endpoint())
        .with_retry_options(no_retries())
        .with_on_send_failed(move |context| {
            seen.lock().unwrap().push(format!("{:?}", context.error));
            async {}
        })
        .open_with_connection_string(&secret, None);
    let client = within("open", opened).await.unwrap();
    for _ in 0..20 {
        for key in ["tenant", "a", "subscriptions/7/contoso-prod"] {
            let partition_key = Some(key.to_owned());
            let options = EnqueueEventOptions { partition_key, ..EnqueueEventOptions::default() };
            within("enqueue", client.enqueue_event(key, Some(options))).await.unwrap();
        }
    }
    within("flush", client.flush()).await.unwrap();
    within("close", client.close()).await.unwrap();
    assert_eq!(*failures.lock().unwrap(), [""; 0]);
    assert_eq!(counts(&emulator), [20, 20, 0, 20]);
    let event = &read(&emulator, 3, 1).await[0];
    assert_eq!(event.partition_key().as_deref(), Some("subscriptions/7/contoso-prod"));
}

/// An event processor at work; ends with the test.
struct Processor {
    inner: Arc<EventProcessor>,
    task: JoinHandle<azure_messaging_eventhubs::Result<()>>,
}

impl Processor {
    async fn start(emulator: &Emulator, store: &Arc<InMemoryCheckpointStore>) -> Self {
        let built = EventProcessor::builder()
            .with_load_balancing_strategy(ProcessorStrategy::Greedy)
            .with_update_interval(azure_core::time::Duration::milliseconds(100))
            .with_start_positions(StartPositions {
                default: StartPosition { location: StartLocation::Earliest, inclusive: false },
                ..Default::default()
            })
            .build(consumer(emulator).await, Arc::clone(store) as _);
        let inner = within("build a processor", built).await.unwrap();
        let runs = Arc::clone(&inner);
        let task = tokio::spawn(async move { runs.run().await });
        Self { inner, task }
    }

    async fn partitions(&self, count: usize) -> Vec<Arc<PartitionClient>> {
        let mut clients = Vec::new();
        for _ in 0..count {
            let next = self.inner.next_partition_client();
            clients.push(within("a partition", next).await.unwrap());
        }
        clients
    }
}

impl Drop for Processor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One event in each of four partitions.
fn fill_each(emulator: &Emulator, body: &str) {
    for partition in 0..4 {
        emulator.control().append("logs", partition, body.as_bytes().to_vec()).unwrap();
    }
}

#[tokio::test]
async fn two_event_processors_share_the_partitions() {
    let emulator = emulator(4).await;
    let store = Arc::new(InMemoryCheckpointStore::new());
    let first = Processor::start(&emulator, &store).await;
    let all = first.partitions(4).await;
    let mut streams = BTreeMap::new();
    fill_each(&emulator, "before");
    for client in &all {
        let mut stream = Box::pin(client.stream_events());
        let event = within("event", stream.next()).await.unwrap().unwrap();
        assert_eq!(body_text(&event), "before");
        within("checkpoint", client.update_checkpoint(&event)).await.unwrap();
        streams.insert(client.get_partition_id().to_owned(), stream);
    }
    assert_eq!(streams.keys().collect::<Vec<_>>(), ["0", "1", "2", "3"]);

    // The second takes half of them and goes on after the checkpoints of the first.
    let second = Processor::start(&emulator, &store).await;
    let half = second.partitions(2).await;
    fill_each(&emulator, "after");
    for client in &half {
        let event = next_owned(client).await;
        assert_eq!((event.sequence_number(), body_text(&event).as_str()), (Some(1), "after"));
        let mut lost = streams.remove(client.get_partition_id()).unwrap();
        while let Some(Ok(_)) = within("the end", lost.next()).await {}
    }
    assert_eq!(streams.len(), 2);
    for stream in streams.values_mut() {
        let event = within("event", stream.next()).await.unwrap().unwrap();
        assert_eq!(body_text(&event), "after");
    }
}

/// The next event of a partition that was taken from another processor.
///
/// Both read at level 0, so that whoever attaches last has it; and the loser attaches once more
/// when it closes a receiver that it has lost already.
async fn next_owned(client: &PartitionClient) -> ReceivedEventData {
    for _ in 0..20 {
        let mut stream = Box::pin(client.stream_events());
        match within("event", stream.next()).await.unwrap() {
            Ok(event) => return event,
            Err(error) => assert!(format!("{error:?}").contains("LinkStolen"), "{error:?}"),
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the partition is always stolen");
}
