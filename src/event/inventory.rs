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

impl List {
    /// How ids go on from what a list is of to its members, lower case; what is not here belongs to a subscription
    /// and is known by its own id.
    const FOLDERS: [(Target, &str); 5] = [
        (Target::Deployment, "/deployments/"),
        (Target::PrivateEndpoint, "/privateendpointconnections/"),
        (Target::DiagnosticSetting, "/providers/microsoft.insights/diagnosticsettings/"),
        (Target::RaiPolicy, "/raipolicies/"),
        (Target::Connection, "/connections/"),
    ];

    fn folder(target: Target) -> Option<&'static str> {
        Self::FOLDERS.iter().find(|(of, _)| *of == target).map(|(_, folder)| *folder)
    }

    /// The id of a member by its name; what is known by its id keeps it.
    #[must_use]
    pub fn member(&self, name: &str) -> String {
        match Self::folder(self.target).filter(|_| !name.starts_with('/')) {
            Some(folder) => format!("{}{folder}{}", self.of, name.to_lowercase()),
            None => name.to_owned(),
        }
    }
}

impl Found {
    /// The list that it is in when `subscription` is read.
    #[must_use]
    pub fn list(&self, subscription: &str) -> List {
        let folder = List::folder(self.target);
        let parent = folder.and_then(|folder| self.resource.rsplit_once(folder));
        let of = match parent {
            // Those of an account's projects are in the one list of the account.
            Some((parent, _)) if self.target == Target::Connection => before(parent, "/projects/"),
            Some((parent, _)) => parent.to_owned(),
            None => format!("/subscriptions/{subscription}"),
        };
        List { target: self.target, of }
    }
}

fn before(id: &str, folder: &str) -> String {
    id.rsplit_once(folder).map_or(id, |(parent, _)| parent).to_owned()
}
