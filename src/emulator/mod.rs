//! An Event Hubs broker inside the process, for `demo` and as the fault-injecting peer of tests.
//!
//! Speaks AMQP 1.0 without TLS on a loopback port and keeps events in memory. Microsoft's clients
//! read, write and ask for properties: those for Rust, Python and JavaScript do so in the tests.
//! What the service has beyond is in [`NOT_EMULATED`]. A [`Control`] appends events directly and makes the broker
//! misbehave: cut connections, detach links, freeze, repeat, skip and drop events.
//!
//! ```text
//! server (connections, sessions, attaches) ─┬─ reader    events out, from a position on
//!                                           ├─ writer    events in
//!                                           └─ request   $cbs and $management
//! broker ── key (key to partition) ── partition (log, epochs, faults)
//! stream (cuts the socket) ── shape (pads frames, holds back detaches) ── frame
//! ```

use std::collections::BTreeSet;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::DropGuard;

pub use self::clock::EmulatorClock;
pub use self::control::{Control, Refuse};

mod clock;
mod control;
mod address;
mod broker;
mod fault;
mod frame;
mod key;
mod partition;
mod position;
mod reader;
mod request;
mod server;
mod shape;
mod stream;
mod writer;

/// What the service has and the emulator has not, each with what happens instead.
///
/// What a client can ask for is answered with `amqp:not-implemented`, or by the status 501 of a
/// management operation; the rest has no place where it could be asked for.
pub const NOT_EMULATED: &[(&str, &str)] = &[
    ("authorization", "any token is taken, and none expires"),
    ("idempotent publishing", "the attach of such a writer is refused"),
    ("geo-replication", "the capability is not offered; offsets are plain numbers"),
    ("schema registry", "its HTTP interface is not served; management operations answer 501"),
    ("Kafka with its transactions, and HTTPS", "events are sent and read by AMQP 1.0 alone"),
    (
        "Capture and Azure Resource Manager",
        "nothing is written to storage, and hubs are fixed at the start",
    ),
    ("throttling", "no throughput units: nobody is slowed down or answered server-busy"),
    ("quotas of the tiers", "any number of readers, connections and consumer groups"),
];

/// Events a partition keeps when the [`HubSpec`] does not say.
const DEFAULT_RETENTION: usize = 1_000_000;

/// Most partitions of a hub; the largest number the service sells.
const MAX_PARTITIONS: u32 = 1024;

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
}

impl HubSpec {
    /// A hub that retains a million events per partition.
    pub fn new(name: impl Into<String>, partitions: u32) -> Self {
        Self { name: name.into(), partitions, retention: DEFAULT_RETENTION }
    }

    fn check(&self) -> Result<(), EmulatorError> {
        let letters = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if self.name.is_empty() || !self.name.chars().all(letters) {
            return Err(EmulatorError::HubName { name: self.name.clone() });
        }
        if !(1..=MAX_PARTITIONS).contains(&self.partitions) {
            return Err(EmulatorError::PartitionCount { text: self.partitions.to_string() });
        }
        Ok(())
    }
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
    /// It has no TLS and takes any token, so nobody else may reach it.
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
    #[error("hub name `{name}` is not made of letters, digits, `.`, `-` and `_`")]
    HubName {
        /// The name.
        name: String,
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
    /// No hub of this name is served.
    #[error("no hub `{hub}`")]
    NoHub {
        /// The name asked for.
        hub: String,
    },
    /// The hub has fewer partitions.
    #[error("no partition {partition} in hub `{hub}`")]
    NoPartition {
        /// The hub asked for.
        hub: String,
        /// The partition asked for.
        partition: u32,
    },
}

/// A running emulator. Dropping it ends it, [`stop`](Self::stop) also waits for the end.
#[derive(Debug)]
pub struct Emulator {
    address: SocketAddr,
    broker: Arc<broker::Broker>,
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
        if !listen.ip().is_loopback() {
            return Err(EmulatorError::NotLoopback { address: listen });
        }
        let mut names = BTreeSet::new();
        for hub in &hubs {
            hub.check()?;
            if !names.insert(hub.name.to_lowercase()) {
                return Err(EmulatorError::HubTwice { name: hub.name.clone() });
            }
        }
        let failed = |source| EmulatorError::Listen { address: listen, source };
        let listener = server::bind(listen).map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let broker = Arc::new(broker::Broker::new(hubs, clock));
        broker.tasks.spawn(server::listen(listener, Arc::clone(&broker)));
        tracing::debug!(%address, "event hubs emulator listens");
        let stop_on_drop = broker.stop.clone().drop_guard();
        Ok(Self { address, broker, _stop_on_drop: stop_on_drop })
    }

    /// Where it listens, with the real port.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The custom endpoint for a client: `amqp://127.0.0.1:PORT`.
    #[must_use]
    pub fn endpoint(&self) -> String {
        format!("amqp://{}", self.address)
    }

    /// A connection string for a hub, with a key that is no secret: any token is taken.
    #[must_use]
    pub fn connection_string(&self, hub: &str) -> String {
        format!(
            "Endpoint=sb://localhost:{};SharedAccessKeyName=emulator;\
             SharedAccessKey=bm90LWEtc2VjcmV0LWtleQ==;UseDevelopmentEmulator=true;EntityPath={hub}",
            self.address.port(),
        )
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

#[cfg(test)]
mod client_tests;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod wire_tests;
