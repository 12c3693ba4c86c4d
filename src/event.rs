//! What decoding yields: one row of a call, with every field either known or absent.

use crate::time::{ArrivalTime, EventTime};

/// Token counts of a row or a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tokens {
    /// Prompt tokens, cached ones included.
    pub input: u32,
    /// Prompt tokens served from the prompt cache.
    pub cached: u32,
    /// Generated tokens.
    pub output: u32,
}

impl Tokens {
    /// The larger of the two in each field: how rows of one call combine.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            input: self.input.max(other.input),
            cached: self.cached.max(other.cached),
            output: self.output.max(other.output),
        }
    }

    /// Input and output together.
    #[must_use]
    pub const fn total(self) -> i64 {
        self.input as i64 + self.output as i64
    }
}

/// Which log a row came from; the order is the order of trust for names and tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RowKind {
    /// `RequestResponse`: who called and with what result.
    Request,
    /// `AzureOpenAIRequestUsage`: exact tokens and cache.
    Usage,
}

/// One row of a call. Two or three of them, on any partition, minutes apart, make the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Which log it came from.
    pub kind: RowKind,
    /// AI account: Azure resource id up to the account, lower case.
    pub account: String,
    /// What joins rows: hash of account and correlation id, or of the record when that is empty.
    pub call: u128,
    /// When the call ended, or the row's own time where that is not said.
    pub end: EventTime,
    /// Deployment, lower case; empty when the row does not name one.
    pub deployment: String,
    /// Model as `name@version` (or `name`), lower case; empty when absent.
    pub model: String,
    /// Tokens; `None` when the row carries none (which is not zero).
    pub tokens: Option<Tokens>,
    /// Caller's network, such as `203.0.113.0/24`; empty when absent or unreadable.
    pub network: String,
    /// Entra object id of the caller; empty when absent.
    pub identity: String,
    /// HTTP status; 0 when absent.
    pub status: u16,
}

/// A record that could not be understood, kept in quarantine; its siblings live.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// Category the record claims, or what kind of body it was in.
    pub category: String,
    /// Where in the record, such as `properties.promptTokens`.
    pub path: String,
    /// What is wrong there.
    pub reason: String,
    /// The record with long strings replaced by length and hash, at most 4 KiB.
    pub sample: String,
}

/// One event read from a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Where it was read.
    pub partition: PartitionKey,
    /// Its sequence number there.
    pub sequence: i64,
    /// When the hub took it.
    pub enqueued: ArrivalTime,
    /// The bytes Azure wrote.
    pub body: Vec<u8>,
}

/// An ordered log: one partition of one life of one hub.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// Hub, as named in the configuration.
    pub hub: String,
    /// Counts how often the hub was recreated under us, from 0.
    pub incarnation: i64,
    /// Partition id as the hub calls it.
    pub partition: String,
}

impl PartitionKey {
    /// True for a partition of the same hub before it was recreated.
    #[must_use]
    pub fn is_earlier_life_of(&self, other: &Self) -> bool {
        self.hub == other.hub && self.incarnation < other.incarnation
    }
}

/// How far a partition was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// The next sequence number; `None` before the first event.
    pub next: Option<i64>,
    /// Everything enqueued up to here has been seen.
    pub passed: ArrivalTime,
}

impl Position {
    /// Nothing has been read.
    pub const UNREAD: Self = Self { next: None, passed: ArrivalTime(i64::MIN) };
}

/// What a source hands over at once: the unit of one step and one transaction.
///
/// Empty ones come every second, so that time passes where nothing arrives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Partitions that are read from now on; no window closes before each has been heard of.
    pub members: Vec<PartitionKey>,
    /// Events in the order of reading.
    pub arrivals: Vec<Arrival>,
    /// Partitions known to hold nothing unread that was enqueued up to the given time.
    pub idle: Vec<(PartitionKey, ArrivalTime)>,
    /// Partitions that could neither be read nor found idle for too long: windows no longer wait
    /// for them.
    pub stalled: Vec<PartitionKey>,
    /// Partitions that are not read any more, because their hub is no longer configured.
    pub gone: Vec<PartitionKey>,
    /// Hubs that have not let themselves be read for a while, told again while it lasts.
    pub troubles: Vec<Trouble>,
    /// Destinations that will never take a notification they were sent.
    pub undeliverable: Vec<String>,
    /// Our own clock, for the one case that no hub has ever told the time.
    pub clock: Option<ArrivalTime>,
}

/// Why a hub is not read although this process is well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Trouble {
    /// Hub, as named in the configuration.
    pub hub: String,
    /// Partition, where it is not the hub as a whole.
    pub partition: Option<String>,
    /// What kind.
    pub kind: TroubleKind,
    /// The hub's words, and the mend where one is known.
    pub reason: String,
}

/// What keeps a hub from being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TroubleKind {
    /// It does not let us in, or is not there.
    Refused,
    /// Another reader has the same or a higher owner level.
    Taken,
    /// It does not answer, or breaks off.
    Unreachable,
}
