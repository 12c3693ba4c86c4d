//! Puts the simulated events into the hub: history at once, the live part over AMQP in its time.

use std::time::Duration;

use azure_messaging_eventhubs::models::EventData;
use azure_messaging_eventhubs::{ProducerClient, RetryOptions, SendEventOptions};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{HUB, Parts};
use crate::detect::baseline::as_float;
use crate::emulator::{Control, EmulatorClock, EmulatorError};
use crate::simulate::Simulation;

/// Longest wait for the emulator to take one event.
const SEND_WITHIN: Duration = Duration::from_secs(20);

/// Why an event did not get into the hub.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The emulator refused.
    #[error("emulator: {0}")]
    Emulator(#[from] EmulatorError),
    /// The producer could not send.
    #[error("producer: {0}")]
    Producer(String),
}

/// Everything enqueued before the live part, with its own enqueued times; returns how many.
pub(super) fn history(
    control: &Control,
    clock: &EmulatorClock,
    simulation: &Simulation,
    hub: &str,
) -> Result<u64, FeedError> {
    let (_, live, _) = simulation.span();
    let mut count = 0;
    for event in simulation.events().take_while(|event| event.enqueued_ms < live) {
        control.append_at(hub, event.partition, event.body, event.enqueued_ms)?;
        count += 1;
    }
    clock.set(live);
    Ok(count)
}

/// Sends the live part through Microsoft's producer, each event in its time at `speed`; returns how
/// many were sent. The hub's clock is moved along with the events, so that a slow machine makes the
/// demo slower and no event late.
pub(super) async fn live(
    parts: &Parts,
    speed: f64,
    stop: &CancellationToken,
) -> Result<u64, FeedError> {
    let mut lanes = Vec::new();
    let mut senders = Vec::new();
    for partition in 0..parts.simulation.options().partitions {
        let (lane, events) = mpsc::channel::<Vec<u8>>(1);
        let producer = producer(parts).await?;
        senders.push(tokio::spawn(send(producer, partition.to_string(), events)));
        lanes.push(lane);
    }
    let (_, live, _) = parts.simulation.span();
    let began = Instant::now();
    let mut count = 0;
    for event in parts.simulation.events().skip_while(|event| event.enqueued_ms < live) {
        let since_s = as_float(event.enqueued_ms - live) / 1000.0 / speed;
        tokio::select! {
            () = stop.cancelled() => break,
            () = sleep_until(began + Duration::from_secs_f64(since_s)) => {}
        }
        parts.clock.set(event.enqueued_ms);
        let place = usize::try_from(event.partition).unwrap_or(0);
        if let Some(lane) = lanes.get(place) {
            let gone = |_| FeedError::Producer("the sender has ended".to_owned());
            lane.send(event.body).await.map_err(gone)?;
            count += 1;
        }
    }
    drop(lanes);
    for sender in senders {
        sender.await.map_err(|error| FeedError::Producer(error.to_string()))??;
    }
    Ok(count)
}

async fn producer(parts: &Parts) -> Result<ProducerClient, FeedError> {
    let secret = parts.emulator.connection_string(HUB);
    let opening = ProducerClient::builder()
        .with_custom_endpoint(parts.emulator.endpoint())
        .with_retry_options(RetryOptions { max_retries: 3, ..RetryOptions::default() })
        .open_with_connection_string(&secret, None);
    match timeout(SEND_WITHIN, opening).await {
        Ok(opened) => opened.map_err(|error| FeedError::Producer(error.to_string())),
        Err(_) => Err(FeedError::Producer("no connection".to_owned())),
    }
}

async fn send(
    producer: ProducerClient,
    partition: String,
    mut events: mpsc::Receiver<Vec<u8>>,
) -> Result<(), FeedError> {
    while let Some(body) = events.recv().await {
        let event = EventData::builder().with_body(body).build();
        let options = SendEventOptions { partition_id: Some(partition.clone()) };
        match timeout(SEND_WITHIN, producer.send_event(event, Some(options))).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => return Err(FeedError::Producer(error.to_string())),
            Err(_) => return Err(FeedError::Producer("an event was not taken".to_owned())),
        }
    }
    if timeout(Duration::from_secs(2), producer.close()).await.is_err() {
        tracing::debug!("a producer did not close in time");
    }
    Ok(())
}
