//! What a step wants saved and told, and what a restart puts back.

use std::collections::{BTreeMap, BTreeSet};

use super::bought::Purchase;
use super::budgets::{BudgetEffects, SavedBudgets};
use super::fleet::{Closed, Hubs};
use super::gateways::GatewayEffects;
use super::honesty::{Honesty, HonestyEffects};
use super::respond::{Order, Standing};
use super::shed::Shed;
use crate::action::Answer;
use crate::aggregate::coverage::Coverage;
use crate::aggregate::gateway::{GatewayRow, LinkSpan};
use crate::aggregate::link::Behind;
use crate::aggregate::names::NameKind;
use crate::aggregate::repeats::Repeats;
use crate::aggregate::rollup::{Amount, Caller, Deltas};
use crate::detect::series::Slot;
use crate::event::{PartitionKey, Rejected};
use crate::incident::tracker::{Cause, Changes, Tracked};
use crate::incident::{Announcement, Entry, Incident};
use crate::route::Routing;
use crate::rules::inventory::VersionRow;
use crate::rules::memory::Row;
use crate::time::{ArrivalTime, Minute};

/// Everything one step changed. It is saved in one transaction or not at all.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// Positions, each to be compared with the stored one before it is replaced.
    pub positions: Vec<PositionMove>,
    /// Changes by account number.
    pub accounts: BTreeMap<u32, AccountEffects>,
    /// Records and bodies that could not be read.
    pub quarantine: Vec<Rejected>,
    /// Records read and what they said, by day and kind.
    pub coverage: Coverage,
    /// What else the records said about themselves.
    pub honesty: HonestyEffects,
    /// What budgets have told of.
    pub budgets: BudgetEffects,
    /// Records of categories nobody decodes.
    pub categories: BTreeMap<String, i64>,
    /// Plain counts: duplicates, repaired bodies.
    pub counters: BTreeMap<&'static str, i64>,
    /// Events that will never be seen.
    pub gaps: Vec<Gap>,
    /// Rows of gateways that wait to be linked.
    pub gateways: GatewayEffects,
    /// What rules about the control plane remember, as far as it changed.
    pub control: Vec<Row>,
    /// Versions of resources that are new, were seen again or ended.
    pub versions: Vec<VersionRow>,
    /// Subscriptions whose AI accounts were written to: what there is may be read again.
    pub touched: BTreeSet<String>,
    /// Incidents of the service itself.
    pub incidents: Vec<(Cause, Tracked)>,
    /// What destinations are told, in order.
    pub announcements: Vec<Announcement>,
    /// Moments of incidents' lives for the audit trail, each with the incident's key.
    pub life: Vec<(String, Entry)>,
    /// What became of what people asked for.
    pub answers: Vec<Answer>,
    /// Steps that were proposed, confirmed or answered, as they stand.
    pub standings: Vec<Standing>,
    /// Calls to the operator's automation that leave.
    pub orders: Vec<Order>,
    /// What routing wants saved.
    pub routing: Routing,
    /// What fell together in slots that have closed, by the hubs that accounts share.
    pub fleets: Vec<(Hubs, Slot, Closed)>,
    /// Callers' rows that may go, because the database is nearly full.
    pub shed: Option<Shed>,
}

impl Effects {
    /// Takes over what a tracker changed.
    pub fn take(&mut self, changes: Changes) {
        self.incidents.extend(changes.incidents);
        self.announcements.extend(changes.announcements);
        self.life.extend(changes.entries);
    }

    /// Every incident that is new or different, as it stands now: the last of each key counts.
    pub fn all_incidents(&self) -> impl Iterator<Item = &Incident> {
        let accounts = self.accounts.values().flat_map(|account| &account.incidents);
        accounts.chain(&self.incidents).map(|(_, tracked)| &tracked.incident)
    }

    /// True when there is nothing to save.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// A partition's step forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PositionMove {
    /// Which partition.
    pub key: PartitionKey,
    /// The next sequence number before; `None` when nothing had been read yet.
    pub from: Option<i64>,
    /// The next sequence number now; `None` while nothing has been read.
    pub to: Option<i64>,
    /// Everything enqueued up to here has been seen.
    pub passed: ArrivalTime,
    /// Events applied.
    pub events: i64,
    /// Tokens those events added to the rollups: the other side of the double entry.
    pub tokens: i64,
}

/// Sequence numbers that were never delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gap {
    /// Which partition.
    pub key: PartitionKey,
    /// First missing number.
    pub from: i64,
    /// First number that came after it.
    pub to: i64,
}

/// What changed in one account.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct AccountEffects {
    /// Resource id, when the account is new.
    pub created: Option<String>,
    /// Names given.
    pub names: Vec<(u32, NameKind, String)>,
    /// Rollups and totals.
    pub deltas: Deltas,
    /// Rows of open calls (see `aggregate::join::write_row`) and the minute until which they are
    /// needed.
    pub rows: Option<(Vec<u8>, Minute)>,
    /// Detector state by deployment, where it is to be saved: every five hours of each.
    pub states: Vec<(u32, Vec<u8>)>,
    /// What is usual of its callers, where it is to be saved: every hour in which something was done.
    pub conduct: Option<String>,
    /// What metrics count of it by the piece, where that has changed.
    pub metered: Option<String>,
    /// First slot not yet judged and the watermark, when either moved over a slot.
    pub clock: Option<AccountClock>,
    /// Hubs the account was first seen on.
    pub hubs: Vec<String>,
    /// How deployments were bought, as far as that is news.
    pub purchases: Vec<(u32, Purchase)>,
    /// Callers behind gateways.
    pub behind: Behind,
    /// What could not be counted, by reason and deployment: records and tokens.
    pub ledger: BTreeMap<(&'static str, u32), (i64, i64)>,
    /// Rows and copies of them.
    pub repeats: Repeats,
    /// Calls of deployments, by the hours in which they ended and arrived; not saved.
    pub logged: BTreeMap<(i64, i64), i64>,
    /// Incidents that are new or different.
    pub incidents: Vec<(Cause, Tracked)>,
}

/// How far an account has been judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountClock {
    /// First slot not yet judged.
    pub judged_to: i64,
    /// Everything enqueued up to here on the account's hubs has been seen.
    pub watermark: ArrivalTime,
    /// As the watermark, but also on partitions that it no longer waits for; rows needed until
    /// before it may go.
    pub seen: ArrivalTime,
}

/// What a restart puts back.
#[derive(Debug, Clone, Default)]
pub struct Saved {
    /// Random id given to the database at its creation.
    pub lineage: String,
    /// Partitions: next sequence number and how far they have passed.
    pub partitions: Vec<(PartitionKey, Option<i64>, ArrivalTime)>,
    /// Accounts in the order of their numbers.
    pub accounts: Vec<SavedAccount>,
    /// What is judged when its hour has closed.
    pub honesty: Honesty,
    /// What was spent on budgets; empty where there are none.
    pub budgets: SavedBudgets,
    /// Categories counted so far.
    pub categories: Vec<String>,
    /// Rows of gateways, and the first span that is not linked.
    pub gateways: (Vec<GatewayRow>, Option<LinkSpan>),
    /// What rules about the control plane remember.
    pub control: Vec<Row>,
    /// The newest of every incident and step.
    pub standings: Vec<Standing>,
    /// Versions of resources that hold.
    pub versions: Vec<VersionRow>,
    /// Incidents of the service itself.
    pub incidents: Vec<(Cause, Tracked)>,
    /// What fell together in the newest closed slots, by the hubs that accounts share.
    pub fleets: Vec<(Hubs, Slot, Closed)>,
}

/// What is remembered of an hour of a deployment.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HourSum {
    /// On time and late.
    pub total: Amount,
    /// Cost of what was on time, in nano-USD.
    pub on_time_nano: i64,
}

/// One account as saved.
#[derive(Debug, Clone, Default)]
pub struct SavedAccount {
    /// Its number.
    pub id: u32,
    /// Resource id.
    pub resource: String,
    /// How far it was judged; `None` before the first slot closed.
    pub clock: Option<AccountClock>,
    /// Hubs it was seen on.
    pub hubs: Vec<String>,
    /// Names in the order of their numbers.
    pub names: Vec<(NameKind, String)>,
    /// How deployments were bought.
    pub purchases: Vec<(u32, Purchase)>,
    /// Which model each deployment serves.
    pub models: Vec<(u32, u32)>,
    /// Blobs of rows still within the horizon, each with its form.
    pub rows: Vec<(i64, Vec<u8>)>,
    /// Sums by deployment and hour.
    pub hours: Vec<(u32, i64, HourSum)>,
    /// On-time sums by deployment, slot and caller.
    pub slots: Vec<(u32, i64, Caller, Amount)>,
    /// Tokens by deployment, hour and caller, for the cap.
    pub caller_hours: Vec<(u32, i64, Caller, i64)>,
    /// First minute of each network by deployment.
    pub networks: Vec<(u32, u32, Minute)>,
    /// Detector state by deployment.
    pub states: Vec<(u32, Vec<u8>)>,
    /// What is usual of its callers.
    pub conduct: Option<String>,
    /// What metrics count of it by the piece.
    pub metered: Option<String>,
    /// Incidents, open and past.
    pub incidents: Vec<(Cause, Tracked)>,
}
