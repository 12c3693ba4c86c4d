//! Opening clients: identity or connection string, and what an error means for the next attempt.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::TokenCredential;
use azure_core_amqp::AmqpTransport;
use azure_identity::{
    AzureCliCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential,
};
use azure_messaging_eventhubs::{ConsumerClient, RetryOptions};
use secrecy::{ExposeSecret as _, SecretString};
use tokio::time::timeout;

use super::answer::{self, Answer};
use super::{Shared, Transport};
use crate::event::TroubleKind;

/// How to prove who we are.
#[derive(Debug, Clone)]
pub enum Auth {
    /// The managed identity of the container; with several, the client id of ours.
    Managed {
        /// Client id of a user-assigned identity.
        client_id: Option<String>,
    },
    /// Federated token of a Kubernetes or GitHub workload.
    Workload,
    /// Whoever is logged in with `az login`.
    Cli,
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
        let (answer, text) = answer::read(error);
        if let Some(reason) = distrust(&text) {
            return Self::Refused { reason };
        }
        match answer {
            Answer::Unauthorized => Self::Refused {
                reason: format!(
                    "{text} (does the identity have the role Azure Event Hubs Data Receiver on \
                     the hub?)"
                ),
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

/// What to do about a certificate that was not accepted; `None` when it is something else.
fn distrust(text: &str) -> Option<String> {
    /// Replaces what the system trusts, so what else is to be trusted must be named too.
    const TRUST: &str = "set SSL_CERT_FILE to a PEM file of the authorities to trust (it takes the \
                         place of the system's; SSL_CERT_DIR=/etc/ssl/certs beside it keeps them)";
    if text.contains("CA certificates") {
        return Some(format!(
            "no certificate can be checked, because none is trusted here: {TRUST}"
        ));
    }
    let (_, cause) = text.split_once("invalid peer certificate: ")?;
    let (problem, mend) = if cause.starts_with("UnknownIssuer") {
        ("is by an authority that is not trusted here", TRUST)
    } else if cause.starts_with("BadSignature") {
        // Two authorities of one name, such as one that was made anew.
        ("is not by the authority of that name that is trusted here", TRUST)
    } else if cause.starts_with("certificate not valid for name") {
        ("is for another host name", "connect by a name that it holds, or have one made for this")
    } else if cause.starts_with("certificate expired") {
        ("has expired", "have it renewed; is the clock of this machine right?")
    } else if cause.starts_with("certificate not valid yet") {
        ("is not valid yet", "is the clock of this machine right?")
    } else {
        ("is not accepted", "have another made")
    };
    Some(format!("the hub's certificate {problem}: {mend} ({text})"))
}

/// A client for one partition, without retries of its own.
pub(super) async fn client(shared: &Shared) -> Result<ConsumerClient, ConnectError> {
    let settings = &shared.settings;
    let builder = ConsumerClient::builder()
        .with_application_id("tokenwatch".to_owned())
        .with_consumer_group(settings.consumer_group.clone())
        .with_transport(match settings.transport {
            Transport::Amqp => AmqpTransport::Tcp,
            Transport::WebSocket => AmqpTransport::WebSocket,
        })
        .with_retry_options(RetryOptions { max_retries: 0, ..RetryOptions::default() });
    let builder = match &settings.custom_endpoint {
        Some(endpoint) => builder.with_custom_endpoint(endpoint.clone()),
        None => builder,
    };
    let opening = async {
        match &settings.auth {
            Auth::ConnectionString(secret) => {
                let secret = secret.expose_secret();
                let named = secret.to_ascii_lowercase().contains("entitypath=");
                let hub = (!named).then_some(settings.hub.as_str());
                builder.open_with_connection_string(secret, hub).await
            }
            Auth::Managed { .. } | Auth::Workload | Auth::Cli => {
                let credential = credential(&settings.auth)?;
                builder.open(&settings.namespace, settings.hub.clone(), credential).await
            }
        }
        .map_err(|error| ConnectError::of(&error))
    };
    shared.answered("connect", opening).await?
}

fn credential(auth: &Auth) -> Result<Arc<dyn TokenCredential>, ConnectError> {
    let made: azure_core::Result<Arc<dyn TokenCredential>> = match auth {
        Auth::Managed { client_id } => {
            let user_assigned_id = client_id.clone().map(UserAssignedId::ClientId);
            let options =
                ManagedIdentityCredentialOptions { user_assigned_id, ..Default::default() };
            ManagedIdentityCredential::new(Some(options)).map(|made| made as _)
        }
        Auth::Workload => WorkloadIdentityCredential::new(None).map(|made| made as _),
        Auth::Cli | Auth::ConnectionString(_) => {
            AzureCliCredential::new(None).map(|made| made as _)
        }
    };
    made.map_err(|error| ConnectError::Identity(error.to_string()))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong_with_a_certificate_is_said_with_its_mend() {
        let said =
            |cause: &str| distrust(&format!("AMQP Error: invalid peer certificate: {cause}"));
        for (cause, problem, mend) in [
            ("UnknownIssuer", "not trusted here", "SSL_CERT_FILE"),
            ("certificate not valid for name \"a\"; certificate is", "another host name", "a name"),
            ("certificate expired: verification time 1", "has expired", "renewed"),
            ("certificate not valid yet: verification", "not valid yet", "clock"),
            ("BadSignature", "that name that is trusted here", "SSL_CERT_FILE"),
            ("Revoked", "not accepted", "another"),
        ] {
            let text = said(cause).unwrap();
            assert!(text.contains(problem) && text.contains(mend), "{text}");
        }
        let text = distrust("General(\"No CA certificates were loaded from the system\")").unwrap();
        assert!(text.contains("SSL_CERT_FILE"), "{text}");
        for text in ["connection refused", "ExpiredToken", "com.microsoft:timeout"] {
            assert_eq!(distrust(text), None);
        }
    }
}
