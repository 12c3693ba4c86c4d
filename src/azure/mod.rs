//! Azure's REST APIs: who we are, a client that is modest and patient, and what an answer means.

mod answer;
mod client;
pub mod directory;
mod list;
mod pace;
mod tokens;
mod trust;

use std::sync::Arc;

use azure_core::credentials::TokenCredential;
use azure_identity::{
    AzureCliCredential, ManagedIdentityCredential, ManagedIdentityCredentialOptions,
    UserAssignedId, WorkloadIdentityCredential,
};
use reqwest::Url;

pub use answer::RestError;
pub(crate) use client::retry_after;
pub use client::{Client, Service};
pub use directory::{Directory, DirectorySettings, NamesById};
pub use list::{Bounds, Listing};
pub use pace::{Limit, Pace, Pauses};
pub use tokens::Tokens;
pub use trust::distrust;

/// Wall clock in milliseconds since 1970; the pipeline reads it, tests pass their own.
pub type Clock = Arc<dyn Fn() -> i64 + Send + Sync>;

/// An address that our tokens may be sent to: `https://HOST` or `https://HOST:PORT`, and nothing else.
#[must_use]
pub fn origin(text: &str) -> Option<Url> {
    Url::parse(text).ok().filter(|url| {
        url.scheme() == "https"
            && url.host_str().is_some()
            && url.username().is_empty()
            && url.password().is_none()
            && url.path() == "/"
            && url.query().is_none()
            && url.fragment().is_none()
    })
}

/// How to prove to Entra ID who we are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The managed identity of the container; with several, the client id of ours.
    Managed {
        /// Client id of a user-assigned identity.
        client_id: Option<String>,
    },
    /// Federated token of a Kubernetes or GitHub workload.
    Workload,
    /// Whoever is logged in with `az login`.
    Cli,
}

impl Identity {
    /// What hands out tokens for this identity.
    ///
    /// # Errors
    /// What the environment lacks.
    pub fn credential(&self) -> azure_core::Result<Arc<dyn TokenCredential>> {
        match self {
            Self::Managed { client_id } => {
                let user_assigned_id = client_id.clone().map(UserAssignedId::ClientId);
                let options =
                    ManagedIdentityCredentialOptions { user_assigned_id, ..Default::default() };
                ManagedIdentityCredential::new(Some(options)).map(|made| made as _)
            }
            Self::Workload => WorkloadIdentityCredential::new(None).map(|made| made as _),
            Self::Cli => AzureCliCredential::new(None).map(|made| made as _),
        }
    }
}
