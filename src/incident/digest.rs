//! Several incidents told in one message.

use std::collections::BTreeMap;

use super::{Announcement, Severity};
use crate::time::ArrivalTime;

/// Why incidents are told together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gathering {
    /// The route groups them by labels they share.
    Group,
    /// More came than the receiver's storm limit allows.
    Storm,
}

/// Several incidents told in one message.
#[derive(Debug, Clone, PartialEq)]
pub struct Digest {
    /// Stable over retries and restarts: the group and the number of its message.
    pub key: String,
    /// Which group; the same for all its messages.
    pub group: String,
    /// Why together.
    pub gathering: Gathering,
    /// Arrival time of the decision.
    pub at: ArrivalTime,
    /// Labels that all of them share.
    pub labels: BTreeMap<String, String>,
    /// Every incident of the message with the reason it is in it, worst first; at least two.
    pub announcements: Vec<Announcement>,
}

impl Digest {
    /// The highest severity in it.
    #[must_use]
    pub fn severity(&self) -> Severity {
        let severities = self.announcements.iter().map(|told| told.incident.severity);
        severities.max().unwrap_or_default()
    }

    /// True when all of its incidents are over.
    #[must_use]
    pub fn is_over(&self) -> bool {
        self.announcements.iter().all(|told| !told.incident.state.is_live())
    }
}
