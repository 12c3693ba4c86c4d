//! What decoding yields: typed events with every field either known or absent, and the batches they
//! come in.
//!
//! Text in an event is short, on one line and without invisible characters; addresses are networks
//! (/24, /48). Prompts, answers, keys and tokens are in none of them.

pub mod control;
pub mod gateway;
pub mod inventory;
pub mod operation;
pub mod signal;

use crate::action::Action;
use crate::time::{ArrivalTime, EventTime};
use control::{Control, KeyRead};
use gateway::{GatewayCall, TokenMeter};
use inventory::Snapshot;
use signal::{Alert, EndpointCall, Metric, Opaque, Posture, SearchCall};

/// Everything a record can say. Boxed, so that a batch of small records stays small.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A row of a call to an AI account.
    Row(Box<Row>),
    /// A point of a platform metric, of an account or a deployment.
    Metric(Box<Metric>),
    /// A call through an API gateway, or the tokens of one.
    Gateway(Box<GatewayCall>),
    /// Tokens a gateway metered into Application Insights.
    Meter(Box<TokenMeter>),
    /// Something was done, or tried, to a resource.
    Control(Box<Control>),
    /// The keys of an account were read, as the account itself tells it.
    KeyRead(Box<KeyRead>),
    /// Defender for Cloud raised or changed an alert.
    Alert(Box<Alert>),
    /// How a resource stands against a rule of Defender for Cloud or Azure Policy.
    Posture(Box<Posture>),
    /// A call to an online endpoint of Azure Machine Learning.
    Endpoint(Box<EndpointCall>),
    /// An operation of AI Search.
    Search(Box<SearchCall>),
    /// A part of what a poll of the inventory found.
    Inventory(Box<Snapshot>),
    /// A record of a known kind whose content says nothing to us.
    Opaque(Box<Opaque>),
}

impl Event {
    /// When it happened by the record's own clock; `None` when the record does not say.
    #[must_use]
    pub fn at(&self) -> Option<EventTime> {
        match self {
            Self::Row(row) => Some(row.end),
            Self::Metric(metric) => Some(metric.start),
            Self::Gateway(call) => call.at,
            Self::Meter(meter) => Some(meter.at),
            Self::Control(control) => Some(control.at),
            Self::KeyRead(read) => Some(read.at),
            Self::Alert(alert) => alert.at,
            Self::Posture(posture) => posture.at,
            Self::Endpoint(call) => Some(call.at),
            Self::Search(call) => Some(call.at),
            Self::Inventory(snapshot) => Some(snapshot.at),
            Self::Opaque(opaque) => opaque.at,
        }
    }
}

/// How many records of a kind there were, and how many of them said what: a silent change at
/// Azure's side shows as a falling share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Seen {
    /// Records.
    pub records: i64,
    /// Of them, with token counts.
    pub tokens: i64,
    /// Of them, with who called: an Entra object id, or a gateway's subscription.
    pub identity: i64,
    /// Of them, with a deployment.
    pub deployment: i64,
    /// Of them, with the caller's network.
    pub caller: i64,
}

impl Seen {
    /// One record.
    #[must_use]
    pub fn of(event: &Event) -> Self {
        let has = |text: &str| !text.is_empty();
        let (tokens, identity, deployment, caller) = match event {
            Event::Row(row) => (
                row.tokens.is_some() && !row.partial,
                has(&row.identity),
                has(&row.deployment),
                has(&row.network),
            ),
            Event::Gateway(call) => (
                call.tokens.is_some(),
                has(&call.subscription),
                has(&call.backend.deployment),
                has(&call.network),
            ),
            Event::Meter(meter) => {
                (true, has(&meter.subscription), has(&meter.deployment), has(&meter.network))
            }
            Event::Control(control) => {
                let principal = &control.principal;
                (false, has(&principal.object), false, has(&principal.network))
            }
            Event::KeyRead(read) => (false, has(&read.identity), false, false),
            Event::Alert(alert) => (
                false,
                !alert.identities.is_empty(),
                has(&alert.deployment),
                !alert.networks.is_empty(),
            ),
            Event::Endpoint(call) => (false, has(&call.identity), has(&call.deployment), false),
            Event::Metric(metric) => (false, false, has(&metric.deployment), false),
            Event::Posture(_) | Event::Search(_) | Event::Inventory(_) | Event::Opaque(_) => {
                (false, false, false, false)
            }
        };
        Self {
            records: 1,
            tokens: i64::from(tokens),
            identity: i64::from(identity),
            deployment: i64::from(deployment),
            caller: i64::from(caller),
        }
    }

    /// Both together.
    #[must_use]
    pub const fn merged(self, other: Self) -> Self {
        Self {
            records: self.records.saturating_add(other.records),
            tokens: self.tokens.saturating_add(other.tokens),
            identity: self.identity.saturating_add(other.identity),
            deployment: self.deployment.saturating_add(other.deployment),
            caller: self.caller.saturating_add(other.caller),
        }
    }
}

/// The AI account a resource id names or lies in; `None` when it is of another type.
///
/// `resource` is lower case, as in every event; projects, deployments and assignments count to their
/// account.
#[must_use]
pub fn account_of(resource: &str) -> Option<&str> {
    let after = resource.find("/accounts/")? + "/accounts/".len();
    let provider = resource.get(..after)?;
    if !provider.ends_with("/microsoft.cognitiveservices/accounts/") {
        return None;
    }
    let name = resource.get(after..)?.split('/').next().filter(|name| !name.is_empty())?;
    resource.get(..after + name.len())
}

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

impl RowKind {
    /// The category, as Azure calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Request => "RequestResponse",
            Self::Usage => "AzureOpenAIRequestUsage",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Request, Self::Usage].into_iter().find(|kind| kind.name() == name)
    }
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
    /// Name of the operation as Azure writes it, such as `ChatCompletions_Create`; empty when
    /// absent. Most operations are no inference: only tokens or a deployment say so.
    pub operation: String,
    /// Tokens; `None` when the row carries none (which is not zero).
    pub tokens: Option<Tokens>,
    /// A count that goes with those in `tokens` is missing, so that they are not all: a field that
    /// Azure renames must not count as zero. Embeddings generate nothing and are complete.
    pub partial: bool,
    /// Caller's network, such as `203.0.113.0/24`; empty when absent or unreadable.
    pub network: String,
    /// Entra object id of the caller; empty when absent.
    pub identity: String,
    /// HTTP status; 0 when absent.
    pub status: u16,
    /// How long the call took, in milliseconds; `None` when absent or negative.
    pub duration_ms: Option<u32>,
    /// Size of the request's body in bytes; `None` when absent. Bytes are not tokens.
    pub request_bytes: Option<u64>,
    /// Size of the response's body in bytes; `None` when absent.
    pub response_bytes: Option<u64>,
    /// Whether the answer was streamed; `None` when absent.
    pub streamed: Option<bool>,
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
    /// How partitions of what we ask for ourselves begin, metrics and inventory; those of hubs are numbers.
    const POLLED: [&str; 2] = ["metrics:", "inventory:"];

    /// The log of our own questions about the metrics of one subscription.
    #[must_use]
    pub fn polled(source: String, subscription: &str) -> Self {
        let partition = format!("{}{subscription}", Self::POLLED[0]);
        Self { hub: source, incarnation: 0, partition }
    }

    /// The log of our own questions about what there is in one subscription.
    #[must_use]
    pub fn inventory(subscription: &str) -> Self {
        let partition = format!("{}{subscription}", Self::POLLED[1]);
        Self { hub: "resource_graph".to_owned(), incarnation: 0, partition }
    }

    /// True for a log of what there is.
    #[must_use]
    pub fn is_inventory(&self) -> bool {
        self.partition.starts_with(Self::POLLED[1])
    }

    /// True for a log of our own questions. Its times are our own too: no window waits for it, and
    /// it does not tell what time it is at a hub.
    #[must_use]
    pub fn is_polled(&self) -> bool {
        Self::names_polled(&self.partition)
    }

    /// The same of the name of a partition alone.
    #[must_use]
    pub fn names_polled(partition: &str) -> bool {
        Self::POLLED.iter().any(|begin| partition.starts_with(begin))
    }

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
    /// Lists and files beside the configuration that cannot be used now, all of them; `None` when
    /// nobody has looked since the last batch.
    pub lists: Option<Vec<ListTrouble>>,
    /// Our own clock, for the one case that no hub has ever told the time.
    pub clock: Option<ArrivalTime>,
    /// What people have asked for since the last batch.
    pub actions: Vec<Action>,
    /// What became of calls to the operator's automation.
    pub responded: Vec<Responded>,
    /// How full the database is, measured every so often where it has a limit.
    pub storage: Option<Storage>,
}

/// What became of a call to the operator's automation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Responded {
    /// Key of the call.
    pub key: String,
    /// What the automation said, or that it said nothing in time.
    pub outcome: Responding,
}

/// The answer of the operator's automation, each with what it said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Responding {
    /// It took the call.
    Accepted(String),
    /// It did not want it.
    Refused(String),
    /// It did not answer in time.
    Failed(String),
}

/// How full the database is, and what had to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Storage {
    /// Bytes in use: pages that are not free, and the write-ahead log.
    pub used: u64,
    /// Bytes it may use.
    pub limit: u64,
    /// Rows of callers removed since this process began: by minute, five minutes and hour.
    pub removed: [u64; 3],
}

impl Storage {
    /// How full it is in percent, rounded down; may be above 100.
    #[must_use]
    pub const fn percent(&self) -> u64 {
        self.used.saturating_mul(100) / if self.limit == 0 { 1 } else { self.limit }
    }
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

/// Why a list is not used as it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListTrouble {
    /// The list, as named in the configuration.
    pub list: String,
    /// What kind.
    pub kind: ListTroubleKind,
    /// What is wrong, what is used instead, and the mend.
    pub reason: String,
}

/// What may be wrong with a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListTroubleKind {
    /// The file cannot be read or believed.
    Broken,
    /// The file is older than it may be.
    Old,
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
