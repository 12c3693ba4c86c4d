//! What there was when somebody looked: parts of a poll of one subscription, each small enough for one body.

use serde::{Deserialize, Serialize};

use super::control::{Changed, Target};
use crate::time::EventTime;

/// A part of what a poll found. Parts of one poll have its time and follow each other by number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// Subscription id, lower case.
    pub subscription: String,
    /// When the poll began: everything found was so then or a little later.
    pub at: EventTime,
    /// Number of the part, from 0.
    pub part: u32,
    /// Resources, each with how it was set.
    pub found: Vec<Found>,
    /// Lists that were read to their ends and whose resources are all in this part or an earlier one: what
    /// belongs to one of them and was not found was not there.
    pub whole: Vec<List>,
}

impl Snapshot {
    /// The category our own bodies say.
    pub const CATEGORY: &str = "tokenwatch.inventory";

    /// As a body that the decoder reads; `None` never happens to what was read.
    #[must_use]
    pub fn body(&self) -> Option<Vec<u8>> {
        let body = serde_json::json!({ "category": Self::CATEGORY, "snapshot": self });
        serde_json::to_vec(&body).ok()
    }
}

/// A resource that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    /// Azure resource id, lower case.
    pub resource: String,
    /// What kind of thing it is.
    pub target: Target,
    /// When it was made, if Azure says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<EventTime>,
    /// How it is set.
    pub to: Changed,
}

/// A list of things of one kind below a subscription or a resource.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct List {
    /// What they are.
    pub target: Target,
    /// The subscription, as `/subscriptions/ID`, or the resource they belong to; lower case.
    pub of: String,
}

impl Found {
    /// The list that it is in when `subscription` is read.
    #[must_use]
    pub fn list(&self, subscription: &str) -> List {
        let parent = match self.target {
            Target::Deployment => self.before("/deployments/"),
            Target::PrivateEndpoint => self.before("/privateendpointconnections/"),
            Target::DiagnosticSetting => self.before("/providers/microsoft.insights/"),
            Target::Account
            | Target::DeletedAccount
            | Target::Project
            | Target::RaiPolicy
            | Target::RaiBlocklist
            | Target::DefenderForAi
            | Target::Connection
            | Target::CapabilityHost
            | Target::CommitmentPlan
            | Target::ManagedNetwork
            | Target::RoleAssignment
            | Target::RoleDefinition
            | Target::PolicyAssignment
            | Target::PolicyExemption
            | Target::PolicyDefinition
            | Target::PolicyEvaluation
            | Target::Lock
            | Target::DefenderPlan
            | Target::AlertSuppression
            | Target::DefenderAlert
            | Target::EventHub
            | Target::Storage
            | Target::ContainerApp
            | Target::KeyVault
            | Target::Quota
            | Target::Gateway
            | Target::Search
            | Target::MachineLearning
            | Target::Group
            | Target::Other => None,
        };
        let of = parent.map_or_else(|| format!("/subscriptions/{subscription}"), str::to_owned);
        List { target: self.target, of }
    }

    fn before(&self, folder: &str) -> Option<&str> {
        self.resource.rsplit_once(folder).map(|(parent, _)| parent)
    }
}
