//! What people do about incidents and silences, as data: the same from every way in.
//!
//! An action is written down first, with who and why, and applied by the service in its next step;
//! the answer is saved in the transaction of what it changed. So everything that people did, and what
//! became of it, can be read later, and nothing is half done.

use serde::{Deserialize, Serialize};

use crate::time::ArrivalTime;

/// What a person says about an incident. Detectors read it; precision is counted from it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Feedback {
    /// Lawful and passing, such as a load test: not learnt, and not told again while it lasts unless
    /// it becomes critical.
    Expected,
    /// Lawful and here to stay: the level is accepted, and learnt from now on.
    NewNormal,
    /// Not lawful: never learnt.
    Abuse,
}

impl Feedback {
    /// Every verdict.
    pub const ALL: [Self; 3] = [Self::Expected, Self::NewNormal, Self::Abuse];

    /// The word used in commands, output and storage.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Expected => "expected",
            Self::NewNormal => "new-normal",
            Self::Abuse => "abuse",
        }
    }
}

/// A reversible step of the answer to an incident, which the operator's own automation can take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// No key is accepted any more.
    DisableKeys,
    /// Networks without a rule are kept out.
    CloseNetwork,
    /// No public network is let in, whatever the rules say.
    ClosePublicAccess,
    /// Calls to the outside are limited to the allowed names.
    RestrictOutbound,
}

impl Step {
    /// Every step.
    pub const ALL: [Self; 4] =
        [Self::DisableKeys, Self::CloseNetwork, Self::ClosePublicAccess, Self::RestrictOutbound];

    /// The word used in commands, configuration, output and storage.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::DisableKeys => "disable-keys",
            Self::CloseNetwork => "close-network",
            Self::ClosePublicAccess => "close-public-access",
            Self::RestrictOutbound => "restrict-outbound",
        }
    }
}

/// What is asked about a step: nothing leaves before it was proposed and, later, confirmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Ask {
    /// That it be taken.
    Propose,
    /// That it be undone, once it was taken.
    ProposeUndo,
    /// That what was proposed be done now.
    Confirm,
    /// That what was proposed be forgotten.
    Cancel,
}

/// What is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "kebab-case")]
pub enum Deed {
    /// Somebody takes the incident: no more reminders until it gets worse.
    Acknowledge {
        /// Key of the incident.
        incident: String,
    },
    /// The incident is over, as far as its author knows. If it goes on, it opens again.
    Resolve {
        /// Key of the incident.
        incident: String,
    },
    /// A word for those who come later.
    Note {
        /// Key of the incident.
        incident: String,
    },
    /// Whether the incident was what it said it was.
    Judge {
        /// Key of the incident.
        incident: String,
        /// The verdict.
        feedback: Feedback,
    },
    /// The operator's automation is to take a step, or to undo it.
    Respond {
        /// Key of the incident.
        incident: String,
        /// Which step.
        step: Step,
        /// What about it.
        ask: Ask,
    },
    /// Nothing that matches is told for a while.
    Silence {
        /// Matchers, such as `account=contoso-ai`; all must match.
        matchers: Vec<String>,
        /// From when, milliseconds since 1970.
        from_ms: i64,
        /// Until when (exclusive), milliseconds since 1970.
        until_ms: i64,
    },
    /// The end of a silence.
    Unsilence {
        /// Its number.
        silence: i64,
    },
}

impl Deed {
    /// The word used in output and storage.
    #[must_use]
    pub const fn word(&self) -> &'static str {
        match self {
            Self::Acknowledge { .. } => "acknowledge",
            Self::Resolve { .. } => "resolve",
            Self::Note { .. } => "note",
            Self::Judge { .. } => "feedback",
            Self::Respond { .. } => "respond",
            Self::Silence { .. } => "silence",
            Self::Unsilence { .. } => "unsilence",
        }
    }

    /// Key of the incident it is about.
    #[must_use]
    pub fn incident(&self) -> Option<&str> {
        match self {
            Self::Acknowledge { incident }
            | Self::Resolve { incident }
            | Self::Note { incident }
            | Self::Respond { incident, .. }
            | Self::Judge { incident, .. } => Some(incident),
            Self::Silence { .. } | Self::Unsilence { .. } => None,
        }
    }
}

/// One deed with its author.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Action {
    /// Number given when it was written down; the number of a silence is that of its action.
    pub id: i64,
    /// When it was written down, by the clock of that machine.
    pub at: ArrivalTime,
    /// Who.
    pub author: String,
    /// Why; empty when nothing was said.
    pub reason: String,
    /// What.
    pub deed: Deed,
}

/// What became of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Number of the action.
    pub action: i64,
    /// What it did, or why it did nothing.
    pub outcome: Result<String, String>,
}
