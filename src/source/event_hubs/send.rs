//! Sends events to a hub that we otherwise only read, to prove that what arrives there is noticed.

use std::time::Duration;

use azure_messaging_eventhubs::models::EventData;
use azure_messaging_eventhubs::{ProducerClient, RetryOptions, SendEventOptions};
use secrecy::ExposeSecret as _;
use tokio::time::timeout;

use super::{Auth, ConnectError, HubSettings};

/// Longest wait for the connection, and for the hub to take one event.
const WITHIN: Duration = Duration::from_secs(20);
/// Every hub has it.
const PARTITION: &str = "0";
/// What sending needs.
const ROLE: &str = "Azure Event Hubs Data Sender";

/// Sends bodies to one partition of a hub, in their order, and calls `sent` after each.
///
/// # Errors
/// The hub gives no answer or refuses; what was sent before stays.
pub async fn send(
    settings: &HubSettings,
    bodies: impl Iterator<Item = Vec<u8>>,
    sent: &mut dyn FnMut(),
) -> Result<(), ConnectError> {
    let producer = answered("connect", open(settings)).await??;
    let mut outcome = Ok(());
    for body in bodies {
        let event = EventData::builder().with_body(body).build();
        let options = SendEventOptions { partition_id: Some(PARTITION.to_owned()) };
        outcome = match answered("send", producer.send_event(event, Some(options))).await {
            Ok(taken) => taken.map_err(|error| ConnectError::lacking(ROLE, &error)),
            Err(error) => Err(error),
        };
        if outcome.is_err() {
            break;
        }
        sent();
    }
    if timeout(Duration::from_secs(2), producer.close()).await.is_err() {
        tracing::debug!("the producer did not close in time");
    }
    outcome
}

async fn open(settings: &HubSettings) -> Result<ProducerClient, ConnectError> {
    let builder = ProducerClient::builder()
        .with_application_id("tokenwatch".to_owned())
        .with_transport(settings.transport.of_client())
        .with_retry_options(RetryOptions { max_retries: 3, ..RetryOptions::default() });
    let builder = match &settings.custom_endpoint {
        Some(endpoint) => builder.with_custom_endpoint(endpoint.clone()),
        None => builder,
    };
    let opened = match &settings.auth {
        Auth::ConnectionString(secret) => {
            let hub = settings.unless_named_by(secret);
            builder.open_with_connection_string(secret.expose_secret(), hub).await
        }
        Auth::Entra(identity) => {
            let credential = identity.credential();
            let credential =
                credential.map_err(|error| ConnectError::Identity(error.to_string()))?;
            builder.open(&settings.namespace, &settings.hub, credential).await
        }
    };
    opened.map_err(|error| ConnectError::lacking(ROLE, &error))
}

async fn answered<T>(
    what: &'static str,
    asked: impl Future<Output = T>,
) -> Result<T, ConnectError> {
    let within = WITHIN;
    timeout(within, asked).await.map_err(|_| ConnectError::TimedOut { what, within })
}
