//! Incidents: what a person is told about, with its evidence, money at risk and life cycle.

pub mod chart;
pub mod digest;
pub mod life;
pub mod respond;
pub mod tracker;
pub mod weight;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

pub use crate::action::Feedback;
use crate::detect::lesson::Lesson;
pub use chart::Chart;
pub use digest::Digest;

use crate::known::About;
use crate::money::NanoUsd;
pub use crate::severity::Severity;
use crate::time::{ArrivalTime, EventTime};

/// Where an incident is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Going on.
    #[default]
    Open,
    /// Going on, and somebody has taken it.
    Acknowledged,
    /// Over: the signal has been back inside its band for the time its rule asks.
    Resolved,
}

impl State {
    /// The word used in output and storage.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }

    /// True while the cause goes on, acknowledged or not.
    #[must_use]
    pub const fn is_live(self) -> bool {
        !matches!(self, Self::Resolved)
    }
}

/// One moment of an incident's life, as people read it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When, by the clock of whoever caused it.
    pub at: ArrivalTime,
    /// Who; empty for the service itself.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub author: String,
    /// What happened, such as `opened`, `severity rose to high` or `acknowledged: looking at it`.
    pub what: String,
}

/// One caller's part in an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CallerShare {
    /// Network prefix, such as `203.0.113.0/24`; Azure masks the last octet, so never one address.
    /// Empty when no record named one.
    pub network: String,
    /// Entra object id; `key` when successful calls had none on any row and none can come any more;
    /// empty when none was told (yet).
    pub identity: String,
    /// Tokens in the incident's windows, all kinds.
    pub tokens: i64,
    /// Price of those tokens; `None` when a price is unknown.
    pub cost: Option<NanoUsd>,
    /// True when the deployment had not seen this network before the incident's day.
    pub new: bool,
    /// What was known about the network when the incident was last seen.
    #[serde(default, skip_serializing_if = "About::is_empty")]
    pub about: About,
    /// Name of the identity; `None` when nobody said one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// What is known about one incident; the record people and receivers are told from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Incident {
    /// `rule | scope | n | lineage`: stable over retries, restarts and replays.
    pub key: String,
    /// Identifier of the detector, such as `TW-C01`.
    pub rule: String,
    /// What the rule is called, such as `Token volume spike`.
    pub rule_name: String,
    /// AI account (resource name, lower case); the hub's name for incidents of the service itself.
    pub account: String,
    /// Deployment (lower case); `None` for an incident of a whole account or of the service.
    pub deployment: Option<String>,
    /// Azure resource id of the account, when a record carried it.
    pub resource_id: Option<String>,
    /// Model the deployment serves, when known.
    pub model: Option<String>,
    /// Who answers for the deployment, by the configuration; `None` when nobody is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Highest severity so far.
    pub severity: Severity,
    /// Open or resolved.
    pub state: State,
    /// Start of the first anomalous window (event time).
    pub first_window: EventTime,
    /// End of the newest anomalous window (event time).
    pub last_window: EventTime,
    /// Arrival time at which the incident was opened.
    pub opened_at: ArrivalTime,
    /// Arrival time at which it was resolved.
    pub resolved_at: Option<ArrivalTime>,
    /// What was seen, in `unit`, over the window that was most anomalous.
    pub observed: f64,
    /// What was expected there, in `unit`.
    pub expected: f64,
    /// Upper (or, for a drop, lower) end of the band held normal, in `unit`.
    pub bound: f64,
    /// Unit of the three numbers, such as `tokens in 5 min`.
    pub unit: String,
    /// Cost above what was expected, from the first anomalous window until now;
    /// `None` when a price is unknown.
    pub cost: Option<NanoUsd>,
    /// What the excess costs a day if it goes on as in the last hour; `None` when unknown.
    pub cost_per_day: Option<NanoUsd>,
    /// Largest callers by tokens, at most ten.
    pub callers: Vec<CallerShare>,
    /// Facts that led to the verdict, one sentence each.
    pub evidence: Vec<String>,
    /// What to do, most effective first; each a sentence or one shell command.
    pub response: Vec<Response>,
    /// Certainty of the verdict, 0 to 1.
    pub confidence: f64,
    /// Seconds from the last call of the window to its record's arrival at the hub; `None` unknown.
    pub delay_azure_s: Option<i64>,
    /// The first call of the first anomalous window, by its own clock; `None` unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_call: Option<EventTime>,
    /// When the hub took that call's record; `None` unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_arrival: Option<ArrivalTime>,
    /// What was expected and observed around the incident.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chart: Option<Chart>,
    /// Largest callers in the hours before, at most ten: whom `callers` is compared with.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub callers_before: Vec<CallerShare>,
    /// What happened, oldest first, at most [`HISTORY_MAX`] entries; the audit trail keeps all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<Entry>,
    /// What people said about it; the last word holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub feedback: Option<Feedback>,
    /// What the baseline makes of the feedback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lesson: Option<Lesson>,
    /// How often it has come back soon after it was over.
    #[serde(default)]
    pub returns: u32,
    /// Key of the incident that tells this one's story.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Keys of incidents whose story this one tells.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub children: Vec<String>,
}

/// The rule about destinations that refuse for good; its account is the destination, which need not
/// be told.
pub const UNDELIVERABLE: &str = "TW-S05";

/// Moments kept in an incident itself.
pub const HISTORY_MAX: usize = 20;

impl Incident {
    /// Eight hexadecimal digits that stand for the key where people type.
    #[must_use]
    pub fn id(&self) -> String {
        short_id(&self.key)
    }

    /// What routes, silences and inhibitions match on. What is unknown is absent.
    ///
    /// `rule`, `rule_name`, `severity`, `account`, and where known `deployment`, `model`,
    /// `subscription`, `resource_group`, `owner`.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<&'static str, String> {
        let segment = |name: &str| {
            let resource = self.resource_id.as_deref()?;
            let mut segments = resource.split('/');
            segments.find(|segment| segment.eq_ignore_ascii_case(name))?;
            segments.next().filter(|value| !value.is_empty()).map(str::to_owned)
        };
        let known = [
            ("rule", Some(self.rule.clone())),
            ("rule_name", Some(self.rule_name.clone())),
            ("severity", Some(self.severity.word().to_owned())),
            ("account", Some(self.account.clone())),
            ("deployment", self.deployment.clone()),
            ("model", self.model.clone()),
            ("subscription", segment("subscriptions")),
            ("resource_group", segment("resourcegroups")),
            ("owner", self.owner.clone()),
        ];
        known.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// Eight hexadecimal digits that stand for an incident's key: the beginning of its SHA-256.
#[must_use]
pub fn short_id(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect()
}

/// One step of the answer to an incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// What the step does, and what it breaks.
    pub what: String,
    /// The command to paste; empty when there is none.
    pub command: String,
}

/// Why a notification leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The incident began.
    Open,
    /// Its severity rose, or the money at risk grew.
    Escalate,
    /// It had been over for a while only.
    Reopen,
    /// Somebody has taken it.
    Acknowledge,
    /// It has been going on for as long as the route asks to be reminded after.
    Repeat,
    /// It is over.
    Resolve,
    /// Somebody asked whether this channel works.
    Test,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 7] = [
        Self::Open,
        Self::Escalate,
        Self::Reopen,
        Self::Acknowledge,
        Self::Repeat,
        Self::Resolve,
        Self::Test,
    ];

    /// The word used in keys, storage and payloads.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Escalate => "escalate",
            Self::Reopen => "reopen",
            Self::Acknowledge => "acknowledge",
            Self::Repeat => "repeat",
            Self::Resolve => "resolve",
            Self::Test => "test",
        }
    }
}

/// A moment in an incident's life that destinations are told about.
#[derive(Debug, Clone, PartialEq)]
pub struct Announcement {
    /// Why.
    pub kind: Kind,
    /// Counts the announcements of one kind within one incident, from 0.
    pub step: u32,
    /// Arrival time of the decision; the `Date` of a mail and the `timestamp` of a payload.
    pub at: ArrivalTime,
    /// When the message was written, by our own clock; `None` where that is not on one time line with
    /// the hub's, as in a simulation.
    pub written: Option<ArrivalTime>,
    /// The incident as it stood.
    pub incident: Incident,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn callers_saved_before_anything_was_known_about_them_can_be_read() {
        let saved =
            r#"{"network":"203.0.113.0/24","identity":"","tokens":7,"cost":null,"new":true}"#;
        let share: CallerShare = serde_json::from_str(saved).unwrap();
        assert!(share.about.is_empty() && share.name.is_none());
        assert_eq!(serde_json::to_string(&share).unwrap(), saved);
    }
}
