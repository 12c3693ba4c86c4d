//! The join: rows meet on their correlation id, minutes apart, and each call counts once for the
//! whole dedupe horizon.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeInclusive;

use super::call::{self, Booking, Merged, RowFacts, Terms};
use super::gateway::LinkSpan;
use super::names::Names;
use super::rollup::Class;
use crate::event::operation::Operation;
use crate::event::{RowKind, Tokens};
use crate::time::{ArrivalTime, EventTime, HOUR_MS, MINUTE_MS, Minute};

/// Limits and spans of the join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JoinSettings {
    /// A call may still learn who made it for this long after its first row.
    pub attribution_ms: i64,
    /// A row later than this after its own end cannot be deduplicated and goes to the ledger
    /// (4 h is the longest delay known for these logs).
    pub horizon_ms: i64,
    /// Most calls kept with all their rows; above it the oldest settle early.
    pub max_open: usize,
    /// Most calls remembered at all; above it the oldest are forgotten early.
    pub max_known: usize,
}

impl Default for JoinSettings {
    fn default() -> Self {
        Self {
            attribution_ms: 10 * MINUTE_MS,
            horizon_ms: 4 * HOUR_MS,
            max_open: 500_000,
            max_known: 2_000_000,
        }
    }
}

impl JoinSettings {
    /// Minute after which no row of a call can come any more whose latest row so far ended at `end`: others end within
    /// the time of attribution after it, and each comes within the horizon of its own end.
    #[must_use]
    pub const fn needed_until(&self, end: EventTime) -> Minute {
        let last = end.0.saturating_add(self.attribution_ms);
        self.counted_until(EventTime(last))
    }

    /// Minute after which a row that ended at `end` comes too late to be counted.
    const fn counted_until(&self, end: EventTime) -> Minute {
        Minute(end.0.saturating_add(self.horizon_ms).div_euclid(MINUTE_MS) + 1)
    }
}

/// Rows kept apart per open call; more distinct ones than this settle it.
const MAX_ROWS: usize = 64;

/// Calls of one account within the horizon.
#[derive(Debug, Default)]
pub struct Calls {
    settings: JoinSettings,
    known: HashMap<u128, Call>,
    open: usize,
    /// Open calls to look at once the watermark has reached the minute.
    settling: BTreeMap<i64, Vec<u128>>,
    /// Settled calls to forget once everything up to the minute has been read.
    forgetting: BTreeMap<i64, Vec<u128>>,
    /// Calls whose minute of forgetting is at most this may be forgotten: a row of an unknown one
    /// might count twice.
    forgotten_to: i64,
    /// Calls settled or forgotten before their time because a limit was reached.
    pub early: u64,
}

#[derive(Debug)]
enum Call {
    /// All rows, so that the order of arrival does not matter.
    Open(Vec<RowFacts>),
    /// Every row that could be on time has been seen; what comes now is a late correction.
    Settled(Merged),
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is new and must be saved.
    New,
    /// The same row was seen before.
    Copy,
    /// The same row was seen before, but the hub took this one sooner: it takes the place of the
    /// other, which was enqueued then, and must be saved.
    Sooner(ArrivalTime),
    /// It came too late to tell whether its call was counted.
    BeyondHorizon,
}

impl Calls {
    /// An empty join.
    #[must_use]
    pub fn new(settings: JoinSettings) -> Self {
        Self { settings, ..Self::default() }
    }

    /// Takes one row and adds what it changes to `out`.
    pub fn take(
        &mut self,
        call: u128,
        row: RowFacts,
        terms: &impl Terms,
        out: &mut Vec<Booking>,
    ) -> Taken {
        if row.enqueued.0 > row.end.0.saturating_add(self.settings.horizon_ms)
            || (self.settings.counted_until(row.end).0 <= self.forgotten_to
                && !self.known.contains_key(&call))
        {
            return Taken::BeyondHorizon;
        }
        let due = self.settle_at(&row, terms);
        match self.known.get_mut(&call) {
            None => {
                out.extend(call::bookings(&[row], terms));
                self.known.insert(call, Call::Open(vec![row]));
                self.open += 1;
                self.settling.entry(due).or_default().push(call);
            }
            Some(Call::Open(rows)) => {
                let copy = rows
                    .iter()
                    .position(|known| RowFacts { enqueued: row.enqueued, ..*known } == row);
                let earlier =
                    |at: usize| rows.get(at).is_some_and(|known| known.enqueued <= row.enqueued);
                if copy.is_some_and(earlier) {
                    return Taken::Copy;
                }
                let before = call::bookings(rows, terms);
                out.extend(before.into_iter().map(|old| old.reversed(old.class)));
                let replaced = match copy.and_then(|at| rows.get_mut(at)) {
                    Some(known) => Some(std::mem::replace(&mut known.enqueued, row.enqueued)),
                    None => {
                        rows.push(row);
                        None
                    }
                };
                out.extend(call::bookings(rows, terms));
                if rows.len() > MAX_ROWS {
                    self.settle(call, terms);
                }
                if let Some(other) = replaced {
                    return Taken::Sooner(other);
                }
            }
            Some(Call::Settled(merged)) => {
                let with = merged.with(Merged::of(&row), terms.names());
                if with == *merged {
                    return Taken::Copy;
                }
                let old = merged.booking(terms, Class::Late);
                let new = with.booking(terms, Class::Late);
                if old != new {
                    out.extend([old.reversed(Class::Late), new]);
                }
                *merged = with;
            }
        }
        Taken::New
    }

    /// Adds what changes in the calls of a deployment when the second terms take the place of the
    /// first. Of calls that have settled the on-time part stays, as everywhere.
    pub fn reprice<T: Terms>(&self, deployment: u32, terms: &[T; 2], out: &mut Vec<Booking>) {
        let [before, after] = terms;
        let is_on = |call: &Call| match call {
            Call::Open(rows) => rows.iter().any(|row| row.deployment == deployment),
            Call::Settled(merged) => merged.is_on(deployment),
        };
        let mut calls: Vec<_> = self.known.iter().filter(|(_, call)| is_on(call)).collect();
        // Callers are admitted in the order of bookings: not in that of a hash map.
        calls.sort_unstable_by_key(|(call, _)| **call);
        for (_, call) in calls {
            let booked = |terms: &T| match call {
                Call::Open(rows) => call::bookings(rows, terms),
                Call::Settled(merged) => vec![merged.booking(terms, Class::Late)],
            };
            let (old, new) = (booked(before), booked(after));
            if old != new {
                out.extend(old.into_iter().map(|old| old.reversed(old.class)));
                out.extend(new);
            }
        }
    }

    /// Minute at which a call with this row may settle.
    fn settle_at(&self, row: &RowFacts, terms: &impl Terms) -> i64 {
        let judged = call::judged_at(row.end.minute(), terms.lateness_ms()).0;
        let attribution_ms = self.settings.attribution_ms;
        let attributed = row.enqueued.0.saturating_add(attribution_ms);
        // Until gateways have been linked, what was known at which moment must still be told apart.
        let linked = LinkSpan::last_for(row.end).linked_at(attribution_ms).0;
        judged.max(attributed).max(linked).div_euclid(MINUTE_MS) + 1
    }

    /// Settles what the watermark has passed, forgets what was enqueued before `seen`, and keeps
    /// within the limits.
    ///
    /// `seen` is what every partition has passed, those too that the watermark no longer waits for:
    /// a stalled one may still hold a row of any call since.
    pub fn pass(&mut self, watermark: ArrivalTime, seen: ArrivalTime, terms: &impl Terms) {
        let minute = watermark.0.div_euclid(MINUTE_MS);
        while let Some(entry) = self.settling.first_entry().filter(|e| *e.key() <= minute) {
            for call in entry.remove() {
                self.look_at(call, minute, terms);
            }
        }
        let minute = seen.0.div_euclid(MINUTE_MS);
        while let Some(entry) = self.forgetting.first_entry().filter(|e| *e.key() <= minute) {
            let (at, calls) = entry.remove_entry();
            self.forget(at, &calls);
        }
        while self.open > self.settings.max_open
            && let Some((_, oldest)) = self.settling.pop_first()
        {
            self.settle_early(&oldest, terms);
        }
        while self.known.len() > self.settings.max_known {
            if let Some((at, oldest)) = self.forgetting.pop_first() {
                self.early += oldest.len() as u64;
                self.forget(at, &oldest);
            } else if let Some((_, oldest)) = self.settling.pop_first() {
                self.settle_early(&oldest, terms);
            } else {
                break;
            }
        }
    }

    fn settle_early(&mut self, calls: &[u128], terms: &impl Terms) {
        for call in calls {
            if matches!(self.known.get(call), Some(Call::Open(_))) {
                self.early += 1;
                self.settle(*call, terms);
            }
        }
    }

    /// Looks at a call whose minute of settling has come.
    fn look_at(&mut self, call: u128, minute: i64, terms: &impl Terms) {
        let Some(Call::Open(rows)) = self.known.get(&call) else { return };
        let latest = rows.iter().map(|row| self.settle_at(row, terms)).max();
        match latest.filter(|latest| *latest > minute) {
            Some(latest) => self.settling.entry(latest).or_default().push(call),
            None => self.settle(call, terms),
        }
    }

    /// Forgets `calls`, which were due at minute `at`, but for those that a later row has moved on.
    fn forget(&mut self, at: i64, calls: &[u128]) {
        self.forgotten_to = self.forgotten_to.max(at);
        for call in calls {
            let Some(Call::Settled(merged)) = self.known.get(call) else { continue };
            let due = self.settings.needed_until(merged.last_end).0;
            if due <= at {
                self.known.remove(call);
            } else {
                self.forgetting.entry(due).or_default().push(*call);
            }
        }
    }

    fn settle(&mut self, call: u128, terms: &impl Terms) {
        let Some(Call::Open(rows)) = self.known.get(&call) else { return };
        let merged = rows.iter().map(Merged::of).reduce(|a, b| a.with(b, terms.names()));
        self.open -= 1;
        let Some(merged) = merged else { return };
        let due = self.settings.needed_until(merged.last_end).0;
        self.forgetting.entry(due).or_default().push(call);
        self.known.insert(call, Call::Settled(merged));
    }

    /// Calls that ended within `span` (both ends in it), as the rows enqueued up to `until` tell
    /// them, in the order of their fingerprints. Looks at every call that is remembered.
    #[must_use]
    pub fn ended(
        &self,
        span: &RangeInclusive<EventTime>,
        until: ArrivalTime,
        names: &Names,
    ) -> Vec<(u128, Merged)> {
        let seen = |call: &Call| match call {
            Call::Settled(merged) => Some(*merged),
            Call::Open(rows) => {
                let rows = rows.iter().filter(|row| row.enqueued <= until);
                rows.map(Merged::of).reduce(|a, b| a.with(b, names))
            }
        };
        let known = self.known.iter().filter_map(|(call, rows)| Some((*call, seen(rows)?)));
        let mut ended: Vec<_> = known.filter(|(_, m)| span.contains(&m.first_end)).collect();
        ended.sort_unstable_by_key(|(call, _)| *call);
        ended
    }

    /// The call that ended first within `span` (both ends in it) among those that `is_one` takes, and
    /// when the hub took its first row; `None` for that once the call has settled. Looks at every
    /// call that is remembered.
    #[must_use]
    pub fn earliest(
        &self,
        span: &RangeInclusive<EventTime>,
        names: &Names,
        is_one: impl Fn(&Merged) -> bool,
    ) -> Option<(EventTime, Option<ArrivalTime>)> {
        let seen = |(id, call): (&u128, &Call)| {
            let (merged, taken) = match call {
                Call::Settled(merged) => (*merged, None),
                Call::Open(rows) => {
                    let merged = rows.iter().map(Merged::of).reduce(|a, b| a.with(b, names))?;
                    (merged, rows.iter().map(|row| row.enqueued).min())
                }
            };
            let is_in = span.contains(&merged.first_end) && is_one(&merged);
            is_in.then_some((merged.first_end, *id, taken))
        };
        self.known.iter().filter_map(seen).min().map(|(ended, _, taken)| (ended, taken))
    }

    /// Calls remembered now.
    #[must_use]
    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// True when no call is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.known.is_empty()
    }
}

/// Bytes of one row in a saved blob of today's form.
pub const ROW_BYTES: usize = FIRST_ROW_BYTES + 1 + 2 * 4;
/// Bytes of one row in the first form, which had neither operation nor sizes.
const FIRST_ROW_BYTES: usize = 16 + 1 + 8 + 8 + 4 * 4 + 1 + 3 * 4 + 2;
/// Number of the form that [`write_row`] writes; it is stored beside the blob.
pub const ROW_FORM: i64 = 2;
/// Bits of a row's second field.
const USAGE: u8 = 1;
const PARTIAL: u8 = 2;

/// Appends `row` of `call` to a blob of rows. Folding blobs in any order gives the same calls.
pub fn write_row(call: u128, row: &RowFacts, blob: &mut Vec<u8>) {
    blob.extend_from_slice(&call.to_le_bytes());
    let kind = match row.kind {
        RowKind::Request => 0,
        RowKind::Usage => USAGE,
    };
    blob.push(kind | if row.partial { PARTIAL } else { 0 });
    blob.extend_from_slice(&row.end.0.to_le_bytes());
    blob.extend_from_slice(&row.enqueued.0.to_le_bytes());
    for name in [row.deployment, row.model, row.network, row.identity] {
        blob.extend_from_slice(&name.to_le_bytes());
    }
    let tokens = row.tokens.unwrap_or_default();
    blob.push(u8::from(row.tokens.is_some()));
    for count in [tokens.input, tokens.cached, tokens.output] {
        blob.extend_from_slice(&count.to_le_bytes());
    }
    blob.extend_from_slice(&row.status.to_le_bytes());
    blob.push(row.operation as u8);
    for size in [row.sent, row.received] {
        blob.extend_from_slice(&size.to_le_bytes());
    }
}

/// Reads the rows of a blob of the given form back; a torn tail is ignored (the database never
/// writes one).
#[must_use]
pub fn read_rows(form: i64, blob: &[u8]) -> Vec<(u128, RowFacts)> {
    let length = if form < ROW_FORM { FIRST_ROW_BYTES } else { ROW_BYTES };
    blob.chunks_exact(length).filter_map(read_row).collect()
}

fn read_row(bytes: &[u8]) -> Option<(u128, RowFacts)> {
    let mut rest = bytes;
    let call = u128::from_le_bytes(take(&mut rest)?);
    let [kind] = take::<1>(&mut rest)?;
    let end = EventTime(i64::from_le_bytes(take(&mut rest)?));
    let enqueued = ArrivalTime(i64::from_le_bytes(take(&mut rest)?));
    let mut number = || take(&mut rest).map(u32::from_le_bytes);
    let (deployment, model) = (number()?, number()?);
    let (network, identity) = (number()?, number()?);
    let [has_tokens] = take::<1>(&mut rest)?;
    let mut number = || take(&mut rest).map(u32::from_le_bytes);
    let tokens = Tokens { input: number()?, cached: number()?, output: number()? };
    let status = u16::from_le_bytes(take(&mut rest)?);
    let operation = take::<1>(&mut rest).map_or(0, |[number]| number);
    let mut size = || take(&mut rest).map_or(0, u32::from_le_bytes);
    let row = RowFacts {
        kind: if kind & USAGE == 0 { RowKind::Request } else { RowKind::Usage },
        partial: kind & PARTIAL != 0,
        end,
        enqueued,
        deployment,
        model,
        network,
        identity,
        tokens: (has_tokens == 1).then_some(tokens),
        status,
        operation: Operation::from_number(operation),
        sent: size(),
        received: size(),
    };
    Some((call, row))
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (head, tail) = rest.split_first_chunk::<N>()?;
    *rest = tail;
    Some(*head)
}

#[cfg(test)]
#[path = "join_tests.rs"]
mod tests;
