//! What the faults do to Microsoft's own client.

use std::num::NonZeroU32;
use std::time::Duration;

use azure_messaging_eventhubs::ConsumerClient;
use tokio::time::{Instant, timeout};

use super::*;

/// Long enough to say that nothing comes.
const A_MOMENT: Duration = Duration::from_millis(150);

fn apply(emulator: &Emulator, action: &str) {
    emulator.control().apply(action.parse().unwrap()).unwrap();
}

/// Whether a client that starts afresh gets the first event.
async fn reads(emulator: &Emulator) -> bool {
    let client = consumer(emulator).await;
    let receiver = receiver(&client, after(-1)).await;
    let mut events: Events<'_> = Box::pin(receiver.stream_events());
    matches!(within("first event", futures_util::StreamExt::next(&mut events)).await, Some(Ok(_)))
}

async fn why_not(emulator: &Emulator) -> String {
    let client = consumer(emulator).await;
    let receiver = receiver(&client, after(-1)).await;
    let mut events: Events<'_> = Box::pin(receiver.stream_events());
    failure(&mut events).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_server_turns_everybody_away_until_it_is_over() {
    let emulator = emulator(1).await;
    fill(&emulator, 1);
    let (client, producer) = (consumer(&emulator).await, producer(&emulator).await);
    let reader = receiver(&client, after(-1)).await;
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    assert_eq!(take(&mut events, 1).await, [0]);
    within("send", producer.send_event("before", None)).await.unwrap();
    within("hub", client.get_eventhub_properties()).await.unwrap();
    apply(&emulator, "server-busy");
    let mut said = vec![failure(&mut events).await, why_not(&emulator).await];
    let sent = within("send", producer.send_event("lost", None)).await;
    said.push(format!("{:?}", sent.unwrap_err()));
    let asked = within("partition", client.get_partition_properties("0")).await;
    said.push(format!("{:?}", asked.unwrap_err()));
    for error in said {
        assert!(error.contains("50002") && error.contains("wait 4 seconds"), "{error}");
        let named = ["server-busy", "ServerBusy", "503"].iter().any(|name| error.contains(name));
        assert!(named, "{error}");
    }
    apply(&emulator, "server-busy for 0 s");
    within("send", producer.send_event("after", None)).await.unwrap();
    assert_eq!(emulator.control().received("logs"), [3]);
    assert!(reads(&emulator).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_tokens_keep_new_links_out_and_leave_the_old_ones() {
    let emulator = emulator(1).await;
    fill(&emulator, 1);
    let client = consumer(&emulator).await;
    let reader = receiver(&client, after(-1)).await;
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    assert_eq!(take(&mut events, 1).await, [0]);
    apply(&emulator, "unauthorized");
    let error = why_not(&emulator).await;
    assert!(error.contains("401") || error.contains("nauthorized"), "{error}");
    fill(&emulator, 1);
    assert_eq!(take(&mut events, 1).await, [1]);
    apply(&emulator, "unauthorized for 0 s");
    assert!(reads(&emulator).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ended_tokens_detach_the_links_of_connections_without_a_new_one() {
    let emulator = emulator(2).await;
    fill(&emulator, 1);
    let (idle, renewing) = (consumer(&emulator).await, consumer(&emulator).await);
    let (one, two) = (receiver(&idle, after(-1)).await, receiver(&renewing, after(-1)).await);
    let mut one: Events<'_> = Box::pin(one.stream_events());
    let mut two: Events<'_> = Box::pin(two.stream_events());
    assert_eq!((take(&mut one, 1).await, take(&mut two, 1).await), (vec![0], vec![0]));
    apply(&emulator, "expire-tokens in 400 ms");
    assert!(silent(&mut one).await);
    // Puts a token for `$management`.
    within("partition", renewing.get_partition_properties("1")).await.unwrap();
    let error = failure(&mut one).await;
    assert!(error.contains("ExpiredToken") && error.contains("nauthorized"), "{error}");
    fill(&emulator, 1);
    assert_eq!(take(&mut two, 1).await, [1]);
    apply(&emulator, "expire-tokens");
    let error = failure(&mut two).await;
    assert!(error.contains("ExpiredToken"), "{error}");
    assert!(reads(&emulator).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn enforced_tokens_end_by_the_clock_of_the_emulator() {
    let emulator = emulator(1).await;
    fill(&emulator, 1);
    apply(&emulator, "enforce-tokens");
    let (client, producer) = (consumer(&emulator).await, producer(&emulator).await);
    let reader = receiver(&client, after(-1)).await;
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    assert_eq!(take(&mut events, 1).await, [0]);
    within("send", producer.send_event("live", None)).await.unwrap();
    assert_eq!(take(&mut events, 1).await, [1]);
    within("partition", client.get_partition_properties("0")).await.unwrap();
    apply(&emulator, "clock 2096-01-01T00:00:00Z");
    let error = failure(&mut events).await;
    assert!(error.contains("ExpiredToken: The token is expired. Expiration time: '20"), "{error}");
    let sent = within("send", producer.send_event("late", None)).await;
    assert!(format!("{:?}", sent.unwrap_err()).contains("ExpiredToken"));
    // A token put now has ended before it is put.
    let error = why_not(&emulator).await;
    assert!(error.contains("401") || error.contains("nauthorized"), "{error}");
    apply(&emulator, "clock 2024-01-01T00:00:00Z");
    assert!(reads(&emulator).await);
    apply(&emulator, "clock 2096-01-01T00:00:00Z");
    apply(&emulator, "end");
    assert!(reads(&emulator).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn idle_connections_are_closed_with_a_reason() {
    let emulator = emulator(1).await;
    fill(&emulator, 1);
    let client = consumer(&emulator).await;
    let reader = receiver(&client, after(-1)).await;
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    assert_eq!(take(&mut events, 1).await, [0]);
    apply(&emulator, "idle-close");
    let error = failure(&mut events).await;
    assert_ne!(error, "end");
    assert!(reads(&emulator).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_partition_delivers_and_accepts_at_its_pace() {
    let emulator = emulator(1).await;
    fill(&emulator, 8);
    apply(&emulator, "slow logs/0 20");
    let client = consumer(&emulator).await;
    let reader = receiver(&client, after(-1)).await;
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    assert_eq!(take(&mut events, 1).await, [0]);
    let began = Instant::now();
    assert_eq!(take(&mut events, 5).await, [1, 2, 3, 4, 5]);
    assert!(began.elapsed() > Duration::from_millis(4 * 50), "{:?}", began.elapsed());
    let producer = producer(&emulator).await;
    let began = Instant::now();
    for _ in 0..3 {
        within("send", producer.send_event("one", None)).await.unwrap();
    }
    assert!(began.elapsed() >= Duration::from_millis(3 * 50), "{:?}", began.elapsed());
    apply(&emulator, "slow logs/0 1");
    apply(&emulator, "duplicate * 3");
    apply(&emulator, "end");
    let began = Instant::now();
    while take(&mut events, 1).await != [10] {}
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
}

async fn opened(emulator: &Emulator) -> Result<(), String> {
    let secret = emulator.connection_string("logs");
    let client = ConsumerClient::builder()
        .with_custom_endpoint(emulator.endpoint())
        .with_retry_options(no_retries())
        .open_with_connection_string(&secret, None)
        .await
        .map_err(|error| error.to_string())?;
    client.get_eventhub_properties().await.map(drop).map_err(|error| error.to_string())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_half_open_connection_is_silent_and_loses_nothing() {
    let emulator = emulator(1).await;
    fill(&emulator, 1);
    let client = consumer(&emulator).await;
    let reader = receiver(&client, after(-1)).await;
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    assert_eq!(take(&mut events, 1).await, [0]);
    apply(&emulator, "half-open");
    fill(&emulator, 3);
    assert!(timeout(A_MOMENT, take(&mut events, 1)).await.is_err());
    // Others are served.
    assert!(reads(&emulator).await);
    apply(&emulator, "half-open for 0 s");
    assert_eq!(take(&mut events, 3).await, [1, 2, 3]);

    apply(&emulator, "half-open new for 1 s");
    let (mut late, began) = (Box::pin(opened(&emulator)), Instant::now());
    assert!(timeout(A_MOMENT, &mut late).await.is_err());
    within("the end of the silence", late).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1) - Duration::from_millis(50));
    fill(&emulator, 1);
    assert_eq!(take(&mut events, 1).await, [4]);
    apply(&emulator, "half-open");
    apply(&emulator, "cut");
    assert_ne!(failure(&mut events).await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_freeze_ends_by_itself() {
    let emulator = emulator(2).await;
    fill(&emulator, 1);
    let client = consumer(&emulator).await;
    let reader = receiver(&client, after(-1)).await;
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    assert_eq!(take(&mut events, 1).await, [0]);
    let began = Instant::now();
    apply(&emulator, "freeze logs for 300 ms");
    apply(&emulator, "duplicate logs 1");
    fill(&emulator, 2);
    assert_eq!(take(&mut events, 3).await, [0, 1, 2]);
    assert!(began.elapsed() >= Duration::from_millis(300), "{:?}", began.elapsed());
    apply(&emulator, "freeze *");
    fill(&emulator, 1);
    assert!(silent(&mut events).await);
    apply(&emulator, "end");
    assert_eq!(take(&mut events, 1).await, [3]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_too_old_are_gone_for_readers_too() {
    let emulator = emulator(1).await;
    let control = emulator.control();
    let now_ms = 1_700_000_000_000;
    for minute in 0..5 {
        let at_ms = now_ms - (5 - minute) * 60_000;
        control.append_at("logs", 0, vec![b'x'], at_ms).unwrap();
    }
    let first = || emulator.broker.partition("logs", 0).unwrap().state().begin_sequence;
    assert_eq!(first(), 0);
    apply(&emulator, "retain logs 3 min");
    assert_eq!(first(), 2, "an event as old as that stays");
    apply(&emulator, "clock +1 min");
    let client = consumer(&emulator).await;
    let reader = receiver(&client, after(-1)).await;
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    assert_eq!(take(&mut events, 2).await, [3, 4]);
    apply(&emulator, "grow logs 2");
    control.append_at("logs", 1, vec![b'x'], now_ms - 60_000 * 3).unwrap();
    assert!(emulator.broker.partition("logs", 1).unwrap().state().is_empty);
    apply(&emulator, "retain * all");
    apply(&emulator, "clock +1 h");
    assert_eq!(first(), 3);
    apply(&emulator, "retain logs/0 1 h");
    assert_eq!(first(), 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_clock_jumps() {
    let emulator = emulator(1).await;
    let now_ms = || emulator.broker.clock.now_ms();
    apply(&emulator, "clock +1 min");
    assert_eq!(now_ms(), 1_700_000_060_000);
    apply(&emulator, "clock -2 min");
    assert_eq!(now_ms(), 1_699_999_940_000);
    apply(&emulator, "clock 2026-01-01T00:00:00Z");
    assert_eq!(now_ms(), 1_767_225_600_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_exist_cannot_misbehave() {
    let emulator = emulator(1).await;
    let rate = NonZeroU32::MIN;
    let partition = Place::Partition("logs".to_owned(), 1);
    for action in [
        Action::Freeze { at: Place::Hub("other".to_owned()), lasts: Lasts::UntilEnded },
        Action::Slow { at: partition, events_per_s: rate, lasts: Lasts::UntilEnded },
        Action::Recreate { hub: "other".to_owned() },
        Action::Grow { hub: "logs".to_owned(), partitions: 1025 },
        Action::Retain { at: Place::Hub("other".to_owned()), age: None },
    ] {
        let text = format!("{action:?}");
        assert!(emulator.control().apply(action).is_err(), "{text}");
    }
}
