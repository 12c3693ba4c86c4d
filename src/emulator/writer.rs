//! Events in: one task per writer link stores single messages and batches.

use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp::Receiver;
use fe2o3_amqp::link::ReceiverDisposer;
use fe2o3_amqp::link::delivery::{Delivery, DeliveryInfo};
use fe2o3_amqp_types::messaging::annotations::OwnedKey;
use fe2o3_amqp_types::messaging::message::DecodeIntoMessage as _;
use fe2o3_amqp_types::messaging::{Body, Message, MessageAnnotations};
use fe2o3_amqp_types::primitives::Value;
use serde_amqp::read::SliceReader;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

use super::broker::{Broker, Hub};
use super::fault;
use super::partition::{Content, Partition};
use super::server;
use super::token::Grant;

/// Message format of a batch: every data section of the body is an encoded message.
const BATCH_FORMAT: u32 = 0x8001_3700;

/// How long a delivery waits for its disposition.
///
/// Senders of the Rust client 0.16 miss a disposition that comes before they have noted the
/// delivery, and then wait for ever. On two busy cores 3 ms were too short in one run of seven.
pub(super) const DISPOSITION_DELAY: Duration = Duration::from_millis(10);

/// Deliveries that may wait for their disposition; the link credit keeps it far below.
const WAITING_DELIVERIES: usize = 1_024;

/// Where the events of a writer go.
pub(super) struct Writer {
    destination: Destination,
    broker: Arc<Broker>,
}

enum Destination {
    Hub(Arc<Hub>),
    Partition(Arc<Partition>),
}

impl Writer {
    pub(super) const fn to_hub(hub: Arc<Hub>, broker: Arc<Broker>) -> Self {
        Self { destination: Destination::Hub(hub), broker }
    }

    pub(super) const fn to_partition(partition: Arc<Partition>, broker: Arc<Broker>) -> Self {
        Self { destination: Destination::Partition(partition), broker }
    }

    /// Stores what a delivery holds, and returns where.
    fn store(&self, format: Option<u32>, message: Message<Body<Value>>) -> Option<Arc<Partition>> {
        let key = partition_key(message.message_annotations.as_ref());
        let partition = match &self.destination {
            Destination::Hub(hub) => hub.choose(key.as_deref()).map(|(_, partition)| partition),
            Destination::Partition(partition) => Some(Arc::clone(partition)),
        };
        let partition = partition?;
        let now_ms = self.broker.clock.now_ms();
        let contents = contents(format, message, key.as_deref());
        partition.append(contents.into_iter().map(|content| (content, now_ms)));
        Some(partition)
    }
}

/// Serves a writer until it leaves, its connection ends or its token does.
pub(super) async fn serve(mut receiver: Receiver, writer: Writer, grant: Grant) {
    let (waiting, due) = mpsc::channel(WAITING_DELIVERIES);
    writer.broker.tasks.spawn(accept_when_due(receiver.disposer(), due));
    loop {
        let received = tokio::select! {
            biased;
            error = grant.lost() => return server::close_receiver(receiver, error).await,
            received = receiver.recv() => received, // cancel safe
        };
        let delivery: Delivery<Body<Value>> = match received {
            Ok(delivery) => delivery,
            Err(error) => return tracing::debug!(%error, "writer left"),
        };
        if writer.broker.faults.busy.is_on() {
            reject(&receiver, &delivery).await;
            continue;
        }
        let format = *delivery.message_format();
        let (info, message) = delivery.into_parts();
        if let Some(partition) = writer.store(format, message) {
            partition.pace(Some(Instant::now())).await;
        }
        if waiting.send((Instant::now() + DISPOSITION_DELAY, info)).await.is_err() {
            return;
        }
    }
}

async fn reject(receiver: &Receiver, delivery: &Delivery<Body<Value>>) {
    sleep(DISPOSITION_DELAY).await;
    if let Err(error) = receiver.reject(delivery, fault::busy()).await {
        tracing::debug!(%error, "cannot reject a delivery");
    }
}

async fn accept_when_due(
    disposer: ReceiverDisposer,
    mut due: mpsc::Receiver<(Instant, DeliveryInfo)>,
) {
    while let Some((at, delivery)) = due.recv().await {
        tokio::time::sleep_until(at).await;
        if let Err(error) = disposer.accept(delivery).await {
            return tracing::debug!(%error, "cannot accept a delivery");
        }
    }
}

fn contents(
    format: Option<u32>,
    message: Message<Body<Value>>,
    envelope_key: Option<&str>,
) -> Vec<Content> {
    if format != Some(BATCH_FORMAT) {
        return vec![content(message, envelope_key)];
    }
    let sections = match message.body {
        Body::Data(sections) => sections.into_inner(),
        Body::Value(_) | Body::Sequence(_) | Body::Empty => Vec::new(),
    };
    let mut contents = Vec::with_capacity(sections.len());
    for section in sections {
        match Body::<Value>::decode_message_from_reader(SliceReader::new(&section.0)) {
            Ok(message) => contents.push(content(message, envelope_key)),
            Err(error) => tracing::warn!(%error, "event of a batch is not a message; dropped"),
        }
    }
    contents
}

fn content(message: Message<Body<Value>>, envelope_key: Option<&str>) -> Content {
    let own_key = partition_key(message.message_annotations.as_ref());
    Content {
        body: message.body,
        properties: message.properties,
        application_properties: message.application_properties,
        partition_key: own_key.or_else(|| envelope_key.map(str::to_owned)),
    }
}

fn partition_key(annotations: Option<&MessageAnnotations>) -> Option<String> {
    let key = annotations?.0.get(&OwnedKey::from("x-opt-partition-key"))?;
    if let Value::Symbol(key) = key {
        return Some(key.as_str().to_owned());
    }
    let Value::String(key) = key else { return None };
    Some(key.clone())
}
