//! An Event Hubs broker inside the process, for `demo` and as the fault-injecting peer of tests.
//!
//! Speaks AMQP 1.0 on a loopback port, on TCP and in WebSockets, with TLS or without, and keeps
//! events in memory, or also in a [`DataFolder`]. Microsoft's clients read, write and ask for
//! properties: those for Rust, Python and JavaScript do so in the tests. What the service has beyond
//! is in [`NOT_EMULATED`]. A [`Control`] appends events directly and makes the broker misbehave by
//! [`Action`]s: cut connections, detach links, freeze, repeat, skip and drop events.
//!
//! ```text
//! server (connections, sessions, attaches) ─┬─ reader    events out, from a position on
//!                                           ├─ writer    events in
//!                                           └─ request   $cbs and $management
//! broker ── key (key to partition) ── partition (log, epochs) ── standing (faults), token
//! storage (a folder for the log) ── segment (entries as bytes)
//! http, script (what goes wrong when) ── grammar ── action
//! stream (cuts the socket) ── silence (half-open) ── wire (TLS) ── websocket ── shape (pads frames,
//!                                                           holds back detaches) ── frame
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::sync::DropGuard;

pub use self::action::{Action, ClockChange, Lasts, Place, Reach};
pub use self::certificate::{CertificateError, EmulatorTls};
pub use self::clock::EmulatorClock;
pub use self::control::{Control, Refuse};
pub use self::entities::{Entities, EntityProblem};
pub use self::script::{Script, ScriptError, Step, When};
pub use self::storage::{DataFolder, StorageError};

mod action;
mod clock;
mod control;
mod address;
mod broker;
mod certificate;
mod entities;
mod fault;
mod frame;
mod http;
mod key;
mod log;
mod partition;
mod position;
mod reader;
mod request;
mod grammar;
mod script;
mod segment;
mod server;
mod shape;
mod silence;
mod standing;
mod state;
mod storage;
mod stream;
mod token;
mod websocket;
mod wire;
mod writer;

/// What the service has and the emulator has not, each with what happens instead.
///
/// What a client can ask for is answered with `amqp:not-implemented`, or by the status 501 of a
/// management operation; the rest has no place where it could be asked for.
pub const NOT_EMULATED: &[(&str, &str)] = &[
    ("geo-replication and disaster recovery", "one namespace, in one process"),
    ("schema registry", "management operations answer 501; its HTTP interface is not served"),
    ("Kafka with its transactions, and publishing by HTTPS", "AMQP 1.0, over TCP or WebSocket"),
    ("idempotent publishing", "the attach of such a writer is refused"),
    ("Capture to storage", "captured events as files (`--load`, `--data`)"),
    ("throughput units and quotas", "nobody is slowed down unless a fault says so"),
    (
        "Entra ID, access policies, signatures",
        "any token; the fault `enforce-tokens` checks expiry",
    ),
    ("Azure Resource Manager", "flags, the entity file, and the control"),
    ("other machines", "loopback only"),
];

/// Events a partition keeps when the [`HubSpec`] does not say.
const DEFAULT_RETENTION: usize = 1_000_000;

/// Most partitions of a hub; the largest number the service sells.
const MAX_PARTITIONS: u32 = 1024;

/// Longest names of hubs and consumer groups; those of the service.
const MAX_HUB_NAME: usize = 256;
const MAX_GROUP_NAME: usize = 50;

/// The consumer group that every hub has.
const DEFAULT_GROUP: &str = "$Default";

/// How long [`Emulator::stop`] waits for its tasks, which have nothing left to do.
const STOP_LIMIT: Duration = Duration::from_secs(2);

/// A hub to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubSpec {
    /// Name of the hub; compared without case.
    pub name: String,
    /// Number of partitions, at least 1.
    pub partitions: u32,
    /// Events retained per partition; the oldest are dropped beyond.
    pub retention: usize,
    /// Consumer groups that may read, beside `$Default`; compared without case. When none is
    /// listed any group may.
    pub consumer_groups: Vec<String>,
}

impl HubSpec {
    /// A hub that retains a million events per partition and is read by any consumer group.
    pub fn new(name: impl Into<String>, partitions: u32) -> Self {
        Self {
            name: name.into(),
            partitions,
            retention: DEFAULT_RETENTION,
            consumer_groups: Vec::new(),
        }
    }

    fn check(&self) -> Result<(), EmulatorError> {
        if !is_hub_name(&self.name) {
            return Err(EmulatorError::HubName { name: self.name.clone() });
        }
        let mut groups = BTreeSet::new();
        for group in &self.consumer_groups {
            let fine = group.eq_ignore_ascii_case(DEFAULT_GROUP) || is_name(group, MAX_GROUP_NAME);
            if !fine || !groups.insert(group.to_lowercase()) {
                return Err(EmulatorError::ConsumerGroup { group: group.clone() });
            }
        }
        if !(1..=MAX_PARTITIONS).contains(&self.partitions) {
            return Err(EmulatorError::PartitionCount { text: self.partitions.to_string() });
        }
        Ok(())
    }
}

/// What the service takes as a name: letters, digits, `.`, `-` and `_`, the first and the last a
/// letter or a digit.
fn is_name(name: &str, longest: usize) -> bool {
    let ends = |c: char| c.is_ascii_alphanumeric();
    let inside = |c: char| ends(c) || matches!(c, '.' | '-' | '_');
    name.len() <= longest
        && name.starts_with(ends)
        && name.ends_with(ends)
        && name.chars().all(inside)
}

/// What may name a hub.
fn is_hub_name(name: &str) -> bool {
    is_name(name, MAX_HUB_NAME)
}

impl fmt::Display for HubSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.partitions)
    }
}

impl FromStr for HubSpec {
    type Err = EmulatorError;

    /// Reads `NAME=PARTITIONS`.
    fn from_str(text: &str) -> Result<Self, EmulatorError> {
        let Some((name, count)) = text.split_once('=') else {
            return Err(EmulatorError::HubSpec { text: text.to_owned() });
        };
        let Ok(partitions) = count.trim().parse() else {
            return Err(EmulatorError::PartitionCount { text: count.to_owned() });
        };
        let spec = Self::new(name.trim(), partitions);
        spec.check()?;
        Ok(spec)
    }
}

/// Why the emulator does not start, or does not do what a [`Control`] asks.
#[derive(Debug, thiserror::Error)]
pub enum EmulatorError {
    /// It takes any token, so nobody else may reach it.
    #[error("address {address} is not on the loopback interface")]
    NotLoopback {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Most likely the port is taken.
    #[error("cannot listen on {address}: {source}")]
    Listen {
        /// The address asked for.
        address: SocketAddr,
        /// What the system says.
        source: std::io::Error,
    },
    /// A hub specification without an equals sign.
    #[error("hub `{text}` is not of the form NAME=PARTITIONS")]
    HubSpec {
        /// The whole specification.
        text: String,
    },
    /// A name the service would not take either.
    #[error(
        "hub name `{name}` is not made of up to {MAX_HUB_NAME} letters, digits, `.`, `-` and `_` \
         with a letter or digit at both ends"
    )]
    HubName {
        /// The name.
        name: String,
    },
    /// A name the service would not take either, or one that is there twice.
    #[error(
        "consumer group `{group}` is there twice, or is not made of up to {MAX_GROUP_NAME} letters, \
         digits, `.`, `-` and `_` with a letter or digit at both ends"
    )]
    ConsumerGroup {
        /// The name.
        group: String,
    },
    /// Names are compared without case.
    #[error("hub `{name}` is specified twice")]
    HubTwice {
        /// The name.
        name: String,
    },
    /// Too few, too many, or not a number.
    #[error("partition count `{text}` is not a number from 1 to {MAX_PARTITIONS}")]
    PartitionCount {
        /// The count as written.
        text: String,
    },
    /// Somebody starts scripts and does not end them.
    #[error("too many scripts run; end them first")]
    TooManyScripts,
    /// No hub of this name is served.
    #[error("no hub `{hub}`")]
    NoHub {
        /// The name asked for.
        hub: String,
    },
    /// The hub lists its consumer groups, and this is none of them.
    #[error("no consumer group `{group}` in hub `{hub}`")]
    NoConsumerGroup {
        /// The hub asked for.
        hub: String,
        /// The group asked for.
        group: String,
    },
    /// The folder of the data cannot be used, or not for these hubs.
    #[error(transparent)]
    Storage(#[from] StorageError),
    /// The hub has fewer partitions.
    #[error("no partition {partition} in hub `{hub}`")]
    NoPartition {
        /// The hub asked for.
        hub: String,
        /// The partition asked for.
        partition: u32,
    },
}

/// What an emulator is started with.
#[derive(Debug)]
pub struct Setup {
    /// Where to listen, on loopback; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The hubs to serve.
    pub hubs: Vec<HubSpec>,
    /// Stamps the enqueued time.
    pub clock: EmulatorClock,
    /// TLS from the first byte on, and nothing without; `None` for plain TCP.
    pub tls: Option<EmulatorTls>,
    /// Keeps the events across restarts.
    pub folder: Option<DataFolder>,
}

/// An emulator. Dropping it ends it, [`stop`](Self::stop) also waits for the end.
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    has_tls: bool,
    broker: Arc<broker::Broker>,
    /// Taken by [`serve`](Self::serve).
    waiting: Option<(TcpListener, Option<EmulatorTls>)>,
    _stop_on_drop: DropGuard,
}

impl Emulator {
    /// Listens and serves in the background until stopped or dropped. Port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is not loopback or cannot be listened on, or a hub is ill-specified.
    pub async fn start(
        listen: SocketAddr,
        hubs: Vec<HubSpec>,
        clock: EmulatorClock,
    ) -> Result<Self, EmulatorError> {
        let mut emulator =
            Self::prepare(Setup { listen, hubs, clock, tls: None, folder: None }).await?;
        emulator.serve();
        Ok(emulator)
    }

    /// Takes the port and opens the hubs. Clients wait until [`serve`](Self::serve) is called, so
    /// that events can be put in before anybody reads.
    ///
    /// # Errors
    /// When the address is not loopback or cannot be listened on, a hub is ill-specified, or the
    /// folder cannot be used for these hubs.
    pub async fn prepare(setup: Setup) -> Result<Self, EmulatorError> {
        let Setup { listen, hubs, clock, tls, folder } = setup;
        let mut names = BTreeSet::new();
        for hub in &hubs {
            hub.check()?;
            if !names.insert(hub.name.to_lowercase()) {
                return Err(EmulatorError::HubTwice { name: hub.name.clone() });
            }
        }
        if let Some(folder) = &folder {
            folder.check(&hubs)?;
        }
        let (listener, address) = bind(listen)?;
        let broker = Arc::new(broker::Broker::open(hubs, clock, folder)?);
        let stop_on_drop = broker.stop.clone().drop_guard();
        Ok(Self {
            address,
            has_tls: tls.is_some(),
            broker,
            waiting: Some((listener, tls)),
            _stop_on_drop: stop_on_drop,
        })
    }

    /// Serves in the background; a second call changes nothing.
    pub fn serve(&mut self) {
        if let Some((listener, tls)) = self.waiting.take() {
            let acceptor = tls.map(|tls| tls.acceptor);
            self.broker.tasks.spawn(server::listen(listener, acceptor, Arc::clone(&self.broker)));
            tracing::debug!(address = %self.address, "event hubs emulator listens");
        }
    }

    /// Where it listens, with the real port.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The custom endpoint for a client: `amqp://127.0.0.1:PORT`, or `amqps://localhost:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        if self.has_tls {
            return format!("amqps://localhost:{}", self.address.port());
        }
        format!("amqp://{}", self.address)
    }

    /// Where AMQP over WebSocket is served, on the same port.
    #[must_use]
    pub fn websocket_endpoint(&self) -> String {
        format!("{}{}", self.endpoint().replace("amqp", "ws"), websocket::PATH)
    }

    /// A connection string for the namespace, with a key that is no secret: any token is taken.
    #[must_use]
    pub fn namespace_connection_string(&self) -> String {
        // Python's and JavaScript's clients take this word for "without TLS".
        let plain = if self.has_tls { "" } else { "UseDevelopmentEmulator=true;" };
        format!(
            "Endpoint=sb://localhost:{};SharedAccessKeyName=emulator;\
             SharedAccessKey=bm90LWEtc2VjcmV0LWtleQ==;{plain}",
            self.address.port(),
        )
    }

    /// A connection string for a hub.
    #[must_use]
    pub fn connection_string(&self, hub: &str) -> String {
        format!("{}EntityPath={hub}", self.namespace_connection_string())
    }

    /// Serves the control over HTTP too, as long as the emulator runs, and says where. `GET /`
    /// there tells the rest. Port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is not loopback or cannot be listened on.
    pub async fn serve_control(&self, listen: SocketAddr) -> Result<SocketAddr, EmulatorError> {
        let (listener, address) = bind(listen)?;
        let control = self.control();
        control.spawn(http::listen(listener, self.control()));
        tracing::debug!(%address, "emulator control listens");
        Ok(address)
    }

    /// The hand inside.
    #[must_use]
    pub fn control(&self) -> Control {
        Control::new(Arc::clone(&self.broker))
    }

    /// Cuts all connections, frees the port and waits for the tasks to end, at most two seconds.
    pub async fn stop(self) {
        self.broker.stop.cancel();
        self.broker.tasks.close();
        if tokio::time::timeout(STOP_LIMIT, self.broker.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.broker.tasks.len(), "emulator tasks linger after the stop");
        }
    }
}

/// Listens where only this machine reaches.
fn bind(listen: SocketAddr) -> Result<(TcpListener, SocketAddr), EmulatorError> {
    if !listen.ip().is_loopback() {
        return Err(EmulatorError::NotLoopback { address: listen });
    }
    let failed = |source| EmulatorError::Listen { address: listen, source };
    let listener = server::bind(listen).map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

#[cfg(test)]
mod tests;
