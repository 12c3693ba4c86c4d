//! A call as a function of the set of its rows, never of their order.

use super::names::{NONE, Names};
use super::rollup::{Amount, Class};
use crate::event::operation::Operation;
use crate::event::{RowKind, Tokens};
use crate::price::rates::{Rates, Why};
use crate::price::spend::Spend;
use crate::time::{ArrivalTime, EventTime, MINUTE_MS, Minute};

/// A row with its names as numbers and its time checked against its arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowFacts {
    /// Which log it came from.
    pub kind: RowKind,
    /// When the call ended, or the arrival where the record's clock cannot be right.
    pub end: EventTime,
    /// When the hub took the row (made monotone per partition).
    pub enqueued: ArrivalTime,
    /// Number of the deployment's name.
    pub deployment: u32,
    /// Number of the model's name.
    pub model: u32,
    /// Number of the caller's network.
    pub network: u32,
    /// Number of the caller's identity.
    pub identity: u32,
    /// Tokens, if the row carries any.
    pub tokens: Option<Tokens>,
    /// Some of its tokens are not told.
    pub partial: bool,
    /// HTTP status; 0 when absent.
    pub status: u16,
    /// What was asked for, as the log of callers names it.
    pub operation: Operation,
    /// Size of the request in bytes; 0 when absent.
    pub sent: u32,
    /// Size of the response in bytes; 0 when absent.
    pub received: u32,
}

/// Everything known of a call from some of its rows. Absorbing is a maximum in every field, so it
/// is associative, commutative and idempotent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Merged {
    /// Earliest end among the rows: its minute is the call's minute.
    pub first_end: EventTime,
    /// Latest end among the rows: how long the call must be remembered.
    pub last_end: EventTime,
    tokens: Option<Tokens>,
    /// A row has told all of its tokens.
    whole: bool,
    usage_seen: bool,
    deployment: Ranked,
    model: Ranked,
    network: u32,
    identity: u32,
    status: u16,
    operation: Operation,
    sent: u32,
    received: u32,
}

/// A name and how far its row is trusted for it: usage row 3, row with tokens 2, other rows 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Ranked {
    rank: u8,
    name: u32,
}

impl Ranked {
    /// The more trusted of the two; among equals the alphabetically first.
    fn best(self, other: Self, names: &Names) -> Self {
        let other_wins = other.name != NONE
            && (self.name == NONE
                || other.rank > self.rank
                || (other.rank == self.rank && names.text(other.name) < names.text(self.name)));
        if other_wins { other } else { self }
    }
}

/// Where an amount belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Booking {
    /// The call's minute.
    pub minute: Minute,
    /// Number of the deployment's name.
    pub deployment: u32,
    /// Number of the model's name.
    pub model: u32,
    /// Number of the caller's network.
    pub network: u32,
    /// Number of the caller's identity.
    pub identity: u32,
    /// What was asked for.
    pub operation: Operation,
    /// HTTP status; 0 when no row has told it.
    pub status: u16,
    /// Size of the request in bytes; 0 when no row has told it.
    pub sent: u32,
    /// 1, or -1 where an earlier booking is taken back.
    pub sign: i32,
    /// Which column.
    pub class: Class,
    /// How much; negative where an earlier booking is taken back.
    pub amount: Amount,
    /// The same by meter.
    pub spend: Spend,
    /// The limit for one call took some of its cost away.
    pub is_cut: bool,
    /// Why some of its tokens have no price.
    pub unpriced_why: Option<Why>,
}

impl Booking {
    /// Takes the booking back, in `class`.
    #[must_use]
    pub fn reversed(self, class: Class) -> Self {
        let (amount, spend) = (self.amount.negated(), self.spend.negated());
        Self { amount, spend, sign: -self.sign, class, ..self }
    }

    /// True for a call that belongs to no deployment and uses no tokens, such as a listing: nothing of it
    /// is summed.
    #[must_use]
    pub const fn is_control(&self) -> bool {
        self.deployment == NONE && self.amount.calls == 0
    }

    const fn with_class(self, class: Class) -> Self {
        Self { class, ..self }
    }
}

/// What pricing and naming a call needs.
pub trait Terms {
    /// The account's names.
    fn names(&self) -> &Names;
    /// Prices of a model for a deployment, by the numbers of their names, as far as was told until a
    /// moment how the deployment was bought.
    fn rates(&self, deployment: u32, model: u32, by: ArrivalTime) -> Rates;
    /// A window is judged this long after its end.
    fn lateness_ms(&self) -> i64;
}

impl Merged {
    /// Number of the deployment the call is booked on.
    #[must_use]
    pub const fn deployment(&self) -> u32 {
        self.deployment.name
    }

    /// True when the call is booked on this deployment.
    #[must_use]
    pub const fn is_on(&self, deployment: u32) -> bool {
        self.deployment.name == deployment
    }

    /// Number of the caller's network; [`NONE`] while no row has told it.
    #[must_use]
    pub const fn network(&self) -> u32 {
        self.network
    }

    /// Tokens, if any row carries them.
    #[must_use]
    pub const fn tokens(&self) -> Option<Tokens> {
        self.tokens
    }

    /// HTTP status; 0 while no row has told it.
    #[must_use]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// Bytes of request and response; 0 while no row has told them.
    #[must_use]
    pub fn bytes(&self) -> (u64, u64) {
        (self.sent.into(), self.received.into())
    }

    /// What one row alone says.
    #[must_use]
    pub fn of(row: &RowFacts) -> Self {
        let rank = match (row.kind, row.tokens) {
            (RowKind::Usage, _) => 3,
            (RowKind::Request, Some(_)) => 2,
            (RowKind::Request, None) => 1,
        };
        Self {
            first_end: row.end,
            last_end: row.end,
            tokens: row.tokens,
            whole: row.tokens.is_some() && !row.partial,
            usage_seen: row.kind == RowKind::Usage && row.tokens.is_some(),
            deployment: Ranked { rank, name: row.deployment },
            model: Ranked { rank, name: row.model },
            network: row.network,
            identity: row.identity,
            status: row.status,
            operation: row.operation,
            sent: row.sent,
            received: row.received,
        }
    }

    /// What both say together.
    #[must_use]
    pub fn with(self, other: Self, names: &Names) -> Self {
        let first = |a: u32, b: u32| match (a, b) {
            (NONE, name) | (name, NONE) => name,
            (a, b) if names.text(b) < names.text(a) => b,
            (a, _) => a,
        };
        let tokens = match (self.tokens, other.tokens) {
            (Some(a), Some(b)) => Some(a.max(b)),
            (tokens, None) | (None, tokens) => tokens,
        };
        Self {
            first_end: self.first_end.min(other.first_end),
            last_end: self.last_end.max(other.last_end),
            tokens,
            whole: self.whole || other.whole,
            usage_seen: self.usage_seen || other.usage_seen,
            deployment: self.deployment.best(other.deployment, names),
            model: self.model.best(other.model, names),
            network: first(self.network, other.network),
            identity: first(self.identity, other.identity),
            status: self.status.max(other.status),
            operation: self.operation.with(other.operation),
            sent: self.sent.max(other.sent),
            received: self.received.max(other.received),
        }
    }

    /// What is booked for the call; nothing but its status, size and caller for control calls, which
    /// belong to no deployment and use no tokens. What is on time knows no more than was told before the
    /// minute is judged.
    #[must_use]
    pub fn booking(&self, terms: &impl Terms, class: Class) -> Booking {
        let bare = Booking {
            minute: self.first_end.minute(),
            deployment: self.deployment.name,
            model: self.model.name,
            network: self.network,
            identity: self.identity,
            operation: self.operation,
            status: self.status,
            sent: self.sent,
            sign: 1,
            class,
            amount: Amount::default(),
            spend: Spend::default(),
            is_cut: false,
            unpriced_why: None,
        };
        if self.deployment.name == NONE && self.tokens.is_none() {
            return bare;
        }
        let tokens = self.tokens.unwrap_or_default();
        let by = match class {
            Class::OnTime => judged_at(self.first_end.minute(), terms.lateness_ms()),
            Class::Late => ArrivalTime(i64::MAX),
        };
        let rates = terms.rates(self.deployment.name, self.model.name, by);
        let bill = rates.bill(tokens, self.first_end);
        // A failed call uses nothing; of one that succeeded nobody knows.
        let untold = i64::from(!self.whole && self.status < 400);
        let attributed = i64::from(self.tokens.is_some() && !self.usage_seen);
        let amount = Amount {
            calls: 1,
            errors: i64::from(self.status >= 400),
            input: i64::from(tokens.input),
            cached: i64::from(tokens.cached),
            output: i64::from(tokens.output),
            cost_nano: bill.cost().0,
            unpriced: bill.unpriced(),
            attributed,
        };
        let spend = Spend {
            untold,
            untold_sent: untold * i64::from(self.sent),
            untold_received: untold * i64::from(self.received),
            attributed_tokens: attributed * amount.tokens(),
            attributed_nano: attributed * amount.cost_nano,
            ..bill.spend()
        };
        let (is_cut, unpriced_why) = (bill.is_cut(), bill.why());
        Booking { amount, spend, is_cut, unpriced_why, ..bare }
    }
}

/// Everything to book for a call with these rows.
///
/// A minute's on-time column is a function of the rows enqueued before that minute is judged and
/// of nothing else; the late column is what is missing to the truth. So both are the same for
/// every order in which rows arrive, and a judged window never changes.
#[must_use]
pub fn bookings(rows: &[RowFacts], terms: &impl Terms) -> Vec<Booking> {
    let merge = |until: ArrivalTime| {
        let merged = rows.iter().filter(|row| row.enqueued <= until).map(Merged::of);
        merged.reduce(|a, b| a.with(b, terms.names()))
    };
    let Some(all) = merge(ArrivalTime(i64::MAX)) else { return Vec::new() };
    let total = all.booking(terms, Class::Late);
    let mut booked: Vec<Booking> = Vec::with_capacity(2);
    for (place, row) in rows.iter().enumerate() {
        let minute = row.end.minute();
        let seen_before = rows.iter().take(place).any(|other| other.end.minute() == minute);
        if seen_before {
            continue;
        }
        let judged = merge(judged_at(minute, terms.lateness_ms()));
        let judged = judged.filter(|merged| merged.first_end.minute() == minute);
        booked.extend(judged.map(|merged| merged.booking(terms, Class::OnTime)));
    }
    if let [on_time] = booked.as_slice()
        && on_time.with_class(Class::Late) == total
    {
        return booked;
    }
    let corrections: Vec<_> = booked.iter().map(|booking| booking.reversed(Class::Late)).collect();
    booked.push(total);
    booked.extend(corrections);
    booked
}

/// The arrival time up to which rows count as on time for `minute`.
#[must_use]
pub const fn judged_at(minute: Minute, lateness_ms: i64) -> ArrivalTime {
    ArrivalTime((minute.0 + 1) * MINUTE_MS + lateness_ms)
}
