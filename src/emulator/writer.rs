//! Events in: one task per writer link stores single messages and batches.

use std::sync::Arc;
use std::time::Duration;

use fe2o3_amqp::Receiver;
use fe2o3_amqp::link::ReceiverDisposer;
use fe2o3_amqp::link::delivery::{Delivery, DeliveryInfo};
use fe2o3_amqp_types::definitions::Error as AmqpError;
use fe2o3_amqp_types::messaging::annotations::OwnedKey;
use fe2o3_amqp_types::messaging::message::DecodeIntoMessage as _;
use fe2o3_amqp_types::messaging::{Body, Message, MessageAnnotations};
use fe2o3_amqp_types::primitives::Value;
use serde::Serialize;
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

/// Largest message, batch envelope included; the service's limit. Clients size batches by it.
pub(super) const MAX_MESSAGE_BYTES: u64 = 1_048_576;

/// Largest message that is read to its end, to be refused by a disposition; beyond, the link is
/// closed. The service does the same: the JavaScript client waits a minute for a disposition,
/// however the link ends.
pub(super) const ABSORBED_MESSAGE_BYTES: u64 = 2 * MAX_MESSAGE_BYTES;

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

    /// Stores a message, or all events of a batch; of a batch with a broken event none. Returns
    /// where.
    fn store(
        &self,
        format: Option<u32>,
        message: Message<Body<Value>>,
    ) -> Result<Option<Arc<Partition>>, AmqpError> {
        if self.broker.faults.busy.is_on() {
            return Err(fault::busy());
        }
        let key = partition_key(message.message_annotations.as_ref());
        let partition = match &self.destination {
            Destination::Hub(hub) => hub.choose(key.as_deref()).map(|(_, partition)| partition),
            Destination::Partition(partition) => Some(Arc::clone(partition)),
        };
        let contents = contents(format, message, key.as_deref())?;
        if let Some(partition) = &partition {
            let now_ms = self.broker.clock.now_ms();
            let events = contents.into_iter().map(|content| (content, now_ms));
            partition.append(events).map_err(|error| {
                tracing::error!(%error, "cannot keep what was sent");
                fault::error(fault::INTERNAL_ERROR, &error.to_string())
            })?;
        }
        Ok(partition)
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
        let format = *delivery.message_format();
        let (info, message) = delivery.into_parts();
        let stored =
            check_size(info.delivery_id(), &message).and_then(|()| writer.store(format, message));
        match stored {
            Ok(Some(partition)) => partition.pace(Some(Instant::now())).await,
            Ok(None) => {}
            Err(error) => {
                refuse(&receiver, info, error).await;
                continue;
            }
        }
        if waiting.send((Instant::now() + DISPOSITION_DELAY, info)).await.is_err() {
            return;
        }
    }
}

/// Tells a writer that its delivery was not taken, and why.
pub(super) async fn refuse(receiver: &Receiver, delivery: DeliveryInfo, error: AmqpError) {
    tracing::debug!(%error, "a delivery is refused");
    sleep(DISPOSITION_DELAY).await;
    if let Err(error) = receiver.reject(delivery, error).await {
        // The link itself has gone, as its next use will say.
        tracing::debug!(%error, "cannot refuse a delivery");
    }
}

fn check_size(delivery: u32, message: &Message<Body<Value>>) -> Result<(), AmqpError> {
    match size_bytes(message) {
        Ok(size) if u64::try_from(size).is_ok_and(|size| size <= MAX_MESSAGE_BYTES) => Ok(()),
        Ok(size) => Err(fault::too_large(delivery, size)),
        Err(error) => Err(fault::error(fault::DECODE_ERROR, &error.to_string())),
    }
}

/// Size of the encoded message, of which each section stands for itself.
fn size_bytes(message: &Message<Body<Value>>) -> Result<usize, serde_amqp::Error> {
    fn section(section: Option<&impl Serialize>) -> Result<usize, serde_amqp::Error> {
        section.map_or(Ok(0), serde_amqp::serialized_size)
    }
    Ok(section(message.header.as_ref())?
        + section(message.delivery_annotations.as_ref())?
        + section(message.message_annotations.as_ref())?
        + section(message.properties.as_ref())?
        + section(message.application_properties.as_ref())?
        + section(Some(&message.body))?
        + section(message.footer.as_ref())?)
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
) -> Result<Vec<Content>, AmqpError> {
    if format != Some(BATCH_FORMAT) {
        return Ok(vec![content(message, envelope_key)]);
    }
    let Body::Data(sections) = message.body else {
        return Err(fault::error(fault::DECODE_ERROR, "the body of a batch is not data"));
    };
    let mut contents = Vec::new();
    for section in sections.into_inner() {
        let message = Body::<Value>::decode_message_from_reader(SliceReader::new(&section.0))
            .map_err(|error| {
                let text =
                    format!("event {} of the batch is not a message: {error}", contents.len());
                fault::error(fault::DECODE_ERROR, &text)
            })?;
        contents.push(content(message, envelope_key));
    }
    Ok(contents)
}

/// The event in a message; the key of its batch holds where it has none of its own.
pub(super) fn content(message: Message<Body<Value>>, envelope_key: Option<&str>) -> Content {
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Whether a message with this many bytes in its body, of which 8 more are encoded, is taken.
    #[track_caller]
    fn check(body_bytes: usize, taken: bool) {
        let body: Body<Value> = Body::Data(vec![vec![7; body_bytes].into()].into());
        let message = Message::builder().body(body).build();
        let size = size_bytes(&message).unwrap();
        assert_eq!(size, body_bytes + 8);
        assert_eq!(check_size(3, &message).is_ok(), taken, "{size}");
        if let Err(error) = check_size(3, &message) {
            let error = format!("{error:?}");
            assert!(error.contains("amqp:link:message-size-exceeded"), "{error}");
            assert!(error.contains(&format!("delivery-id:3, size:{size} bytes")), "{error}");
        }
    }

    #[test]
    fn messages_of_a_mebibyte_are_taken_and_larger_ones_are_not() {
        check(1_000, true);
        check(1_048_568, true);
        check(1_048_569, false);
        check(2_000_000, false);
    }
}
