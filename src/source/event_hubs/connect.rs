//! Opening clients: identity or connection string, and what an error means for the next attempt.

use std::time::Duration;

use azure_messaging_eventhubs::{ConsumerClient, RetryOptions};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use super::Shared;
use super::answer::{self, Answer};
use crate::azure::{Identity, distrust};
use crate::event::TroubleKind;

/// How to prove who we are.
#[derive(Debug, Clone)]
pub enum Auth {
    /// By a token of Entra ID.
    Entra(Identity),
    /// Shared access key, for development.
    ConnectionString(SecretString),
}

/// Why a hub gives no answer.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No answer in time.
    #[error("no answer to {what} within {}s", within.as_secs())]
    TimedOut {
        /// What was asked.
        what: &'static str,
        /// How long was waited.
        within: Duration,
    },
    /// The credential itself is unusable.
    #[error("cannot use the identity: {0}")]
    Identity(String),
    /// The hub refuses us or does not exist.
    #[error("{reason}")]
    Refused {
        /// The hub's words and the mend.
        reason: String,
    },
    /// Another reader of our consumer group has the same or a higher owner level.
    #[error("{reason}")]
    Taken {
        /// The hub's words.
        reason: String,
    },
    /// The hub asks for patience.
    #[error("{reason}")]
    Busy {
        /// The hub's words.
        reason: String,
    },
    /// Anything that may pass.
    #[error("{0}")]
    Passing(String),
}

impl ConnectError {
    /// True when trying again would give the same answer.
    #[must_use]
    pub const fn is_hopeless(&self) -> bool {
        match self {
            Self::Identity(_) => true,
            Self::TimedOut { .. }
            | Self::Refused { .. }
            | Self::Taken { .. }
            | Self::Busy { .. }
            | Self::Passing(_) => false,
        }
    }

    /// What an incident calls it.
    pub(super) const fn kind(&self) -> TroubleKind {
        match self {
            Self::Identity(_) | Self::Refused { .. } => TroubleKind::Refused,
            Self::Taken { .. } => TroubleKind::Taken,
            Self::TimedOut { .. } | Self::Busy { .. } | Self::Passing(_) => {
                TroubleKind::Unreachable
            }
        }
    }

    /// An error of the client, with a mend where there is one. The text holds no secret: the
    /// client names hosts and conditions only.
    pub(super) fn of(error: &azure_messaging_eventhubs::EventHubsError) -> Self {
        Self::lacking("Azure Event Hubs Data Receiver", error)
    }

    /// The same of somebody who needs this role.
    pub(super) fn lacking(role: &str, error: &azure_messaging_eventhubs::EventHubsError) -> Self {
        let (answer, text) = answer::read(error);
        if let Some(reason) = distrust("the hub's", &text) {
            return Self::Refused { reason };
        }
        match answer {
            Answer::Unauthorized => Self::Refused {
                reason: format!("{text} (does the identity have the role {role} on the hub?)"),
            },
            Answer::NotFound => Self::Refused {
                reason: format!("{text} (are the names of hub and consumer group right?)"),
            },
            Answer::Taken => Self::Taken {
                reason: format!("{text} (does anything else read with our consumer group?)"),
            },
            Answer::Busy => Self::Busy { reason: text },
            Answer::Other => Self::Passing(text),
        }
    }
}

/// A client for one partition, without retries of its own.
pub(super) async fn client(shared: &Shared) -> Result<ConsumerClient, ConnectError> {
    let settings = &shared.settings;
    let builder = ConsumerClient::builder()
        .with_application_id("tokenwatch".to_owned())
        .with_consumer_group(settings.consumer_group.clone())
        .with_transport(settings.transport.of_client())
        .with_retry_options(RetryOptions { max_retries: 0, ..RetryOptions::default() });
    let builder = match &settings.custom_endpoint {
        Some(endpoint) => builder.with_custom_endpoint(endpoint.clone()),
        None => builder,
    };
    let opening = async {
        match &settings.auth {
            Auth::ConnectionString(secret) => {
                let hub = settings.unless_named_by(secret);
                builder.open_with_connection_string(secret.expose_secret(), hub).await
            }
            Auth::Entra(identity) => {
                let credential = identity.credential();
                let credential =
                    credential.map_err(|error| ConnectError::Identity(error.to_string()))?;
                builder.open(&settings.namespace, settings.hub.clone(), credential).await
            }
        }
        .map_err(|error| ConnectError::of(&error))
    };
    shared.answered("connect", opening).await?
}

/// Ids of the hub's partitions.
pub(super) async fn partition_ids(shared: &Shared) -> Result<Vec<String>, ConnectError> {
    let client = client(shared).await?;
    let asked = shared.answered("the hub's properties", client.get_eventhub_properties()).await;
    close(client).await;
    let properties = asked?.map_err(|error| ConnectError::of(&error))?;
    Ok(properties.partition_ids)
}

/// Closes a client whatever state it is in.
pub(super) async fn close(client: ConsumerClient) {
    match timeout(Duration::from_secs(1), client.close()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::trace!(%error, "client closed with an error"),
        Err(_) => tracing::trace!("client did not close in time"),
    }
}
