//! Everything that makes the emulator misbehave, as data.
//!
//! Tests hand an [`Action`] to [`Control::apply`](super::Control::apply); scripts and the HTTP
//! control read it from text. [`Display`](fmt::Display) writes the text that scripts read.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use jiff::Timestamp;

/// Something that makes the emulator misbehave.
///
/// What stands for a time ends by itself, on tokio's clock. A later action of the same kind (and,
/// where there is one, the same place) replaces the earlier: one for no time ends it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Resets all TCP connections; new ones are served.
    Cut,
    /// Closes new TCP connections at once; those that exist stay.
    Refuse {
        /// How long.
        lasts: Lasts,
    },
    /// Connections neither read, write nor close, as if the peer had lost its power; nothing
    /// queued is lost. [`Cut`](Self::Cut) still ends them.
    HalfOpen {
        /// Which connections.
        reach: Reach,
        /// How long.
        lasts: Lasts,
    },
    /// Closes all connections as the service does with those that were idle for too long.
    IdleClose,
    /// Detaches the readers of the place.
    Detach {
        /// Whose readers.
        at: Place,
        /// An AMQP error condition, such as `amqp:link:stolen`.
        condition: String,
    },
    /// Detaches all readers as a throttled namespace does; refuses attaches, sends and
    /// `$management` requests.
    ServerBusy {
        /// How long.
        lasts: Lasts,
    },
    /// `$cbs` takes no token, and no reader or writer attaches; links that exist stay.
    Unauthorized {
        /// How long.
        lasts: Lasts,
    },
    /// The tokens of this moment end after a while: then links are detached whose connection has
    /// not put a new one.
    ExpireTokens {
        /// When the tokens end, from now.
        after: Duration,
    },
    /// Tokens must be live by the emulator's clock and be for the entity they are put for; links
    /// are detached when theirs ends. Signatures are not checked.
    EnforceTokens {
        /// How long.
        lasts: Lasts,
    },
    /// Stops deliveries. Events can still be appended, `$management` answers and links stay.
    Freeze {
        /// Where.
        at: Place,
        /// How long.
        lasts: Lasts,
    },
    /// Delivers at most so many events a second on each link, and accepts at most so many
    /// deliveries a second from each writer. Writers keep the credit they have.
    Slow {
        /// Where.
        at: Place,
        /// Events a second and link.
        events_per_s: NonZeroU32,
        /// How long.
        lasts: Lasts,
    },
    /// Delivers the last events that each current link has been given once more, with the same
    /// sequence numbers.
    Duplicate {
        /// Where.
        at: Place,
        /// How many a link.
        events: usize,
    },
    /// Leaves out sequence numbers before the next event.
    Skip {
        /// Where.
        at: Place,
        /// How many a partition.
        sequences: u32,
    },
    /// Drops retained events.
    Expire {
        /// Where.
        at: Place,
        /// Sequence number of the first event that stays.
        below: i64,
    },
    /// Drops events as they reach an age by the emulator's clock, now and from now on.
    Retain {
        /// Where.
        at: Place,
        /// How old events may get; `None` for any age.
        age: Option<Duration>,
    },
    /// Makes the hub as if deleted and created again: no events, sequence numbers from 0, readers
    /// detached with `amqp:not-found`. A reader that comes back with an old position is refused
    /// with `com.microsoft:argument-error`, as by the service.
    Recreate {
        /// The hub.
        hub: String,
    },
    /// Adds partitions; does nothing when the hub has that many.
    Grow {
        /// The hub.
        hub: String,
        /// How many it has then.
        partitions: u32,
    },
    /// Moves the emulator's clock.
    Clock(ClockChange),
    /// Ends everything that stands for a time. The clock and what events may become old stay.
    End,
}

impl Action {
    /// The hub it names, if it names one.
    pub(super) fn hub(&self) -> Option<&str> {
        match self {
            Self::Detach { at, .. }
            | Self::Freeze { at, .. }
            | Self::Slow { at, .. }
            | Self::Duplicate { at, .. }
            | Self::Skip { at, .. }
            | Self::Expire { at, .. }
            | Self::Retain { at, .. } => match at {
                Place::Everywhere => None,
                Place::Hub(hub) | Place::Partition(hub, _) => Some(hub),
            },
            Self::Recreate { hub } | Self::Grow { hub, .. } => Some(hub),
            Self::Cut
            | Self::Refuse { .. }
            | Self::HalfOpen { .. }
            | Self::IdleClose
            | Self::ServerBusy { .. }
            | Self::Unauthorized { .. }
            | Self::ExpireTokens { .. }
            | Self::EnforceTokens { .. }
            | Self::Clock(_)
            | Self::End => None,
        }
    }
}

/// Where something happens. Hubs and partitions are those of the moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// All hubs.
    Everywhere,
    /// All partitions of a hub.
    Hub(String),
    /// One partition of a hub.
    Partition(String, u32),
}

/// How long something stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lasts {
    /// Until it is replaced or [ended](Action::End).
    UntilEnded,
    /// For a time; none ends it.
    For(Duration),
}

impl Lasts {
    /// No time: ends what stands.
    pub const OVER: Self = Self::For(Duration::ZERO);
}

/// Which connections a fault reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Those of this moment.
    Existing,
    /// Those of this moment, and those to come while it stands.
    New,
}

/// How a clock is moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClockChange {
    /// Forward by a span.
    Forward(Duration),
    /// Back by a span.
    Back(Duration),
    /// To a moment, in milliseconds since 1970-01-01T00:00:00Z.
    To(i64),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cut => f.write_str("cut"),
            Self::Refuse { lasts } => write!(f, "refuse{lasts}"),
            Self::HalfOpen { reach: Reach::Existing, lasts } => write!(f, "half-open{lasts}"),
            Self::HalfOpen { reach: Reach::New, lasts } => write!(f, "half-open new{lasts}"),
            Self::IdleClose => f.write_str("idle-close"),
            Self::Detach { at, condition } => write!(f, "detach {at} {condition}"),
            Self::ServerBusy { lasts } => write!(f, "server-busy{lasts}"),
            Self::Unauthorized { lasts } => write!(f, "unauthorized{lasts}"),
            Self::ExpireTokens { after: Duration::ZERO } => f.write_str("expire-tokens"),
            Self::ExpireTokens { after } => write!(f, "expire-tokens in {}", Span(*after)),
            Self::EnforceTokens { lasts } => write!(f, "enforce-tokens{lasts}"),
            Self::Freeze { at, lasts } => write!(f, "freeze {at}{lasts}"),
            Self::Slow { at, events_per_s, lasts } => write!(f, "slow {at} {events_per_s}{lasts}"),
            Self::Duplicate { at, events } => write!(f, "duplicate {at} {events}"),
            Self::Skip { at, sequences } => write!(f, "skip {at} {sequences}"),
            Self::Expire { at, below } => write!(f, "expire {at} {below}"),
            Self::Retain { at, age: Some(age) } => write!(f, "retain {at} {}", Span(*age)),
            Self::Retain { at, age: None } => write!(f, "retain {at} all"),
            Self::Recreate { hub } => write!(f, "recreate {hub}"),
            Self::Grow { hub, partitions } => write!(f, "grow {hub} {partitions}"),
            Self::Clock(change) => write!(f, "clock {change}"),
            Self::End => f.write_str("end"),
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Everywhere => f.write_str("*"),
            Self::Hub(hub) => f.write_str(hub),
            Self::Partition(hub, partition) => write!(f, "{hub}/{partition}"),
        }
    }
}

impl fmt::Display for Lasts {
    /// Begins with a space, since it follows something and may be nothing.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UntilEnded => Ok(()),
            Self::For(span) => write!(f, " for {}", Span(*span)),
        }
    }
}

impl fmt::Display for ClockChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Forward(span) => write!(f, "+{}", Span(*span)),
            Self::Back(span) => write!(f, "-{}", Span(*span)),
            Self::To(ms) => match Timestamp::from_millisecond(*ms) {
                Ok(at) => write!(f, "{at}"),
                // Beyond the year 9999, or before that of the year -9999.
                Err(_) => write!(f, "{ms}"),
            },
        }
    }
}

/// A span in the largest unit that needs no fraction; what is below a millisecond is cut off.
pub(super) struct Span(pub(super) Duration);

/// Units of spans in scripts with their length in milliseconds, the largest first.
pub(super) const UNITS: [(&str, u64); 4] =
    [("h", 3_600_000), ("min", 60_000), ("s", 1_000), ("ms", 1)];

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = self.0.as_millis();
        let fits =
            UNITS.iter().find(|(_, length)| ms != 0 && ms.is_multiple_of(u128::from(*length)));
        let (unit, length) = fits.unwrap_or(&("s", 1_000));
        write!(f, "{} {unit}", ms / u128::from(*length))
    }
}
