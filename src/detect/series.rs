//! What the detectors remember of one deployment: recent slots, learnt hours, callers.

use std::collections::{BTreeMap, HashMap};

use super::baseline;
use super::closing::Scores;
use super::lesson::{self, Lesson};
use crate::aggregate::rollup::{Amount, Caller, Split};
use crate::money::NanoUsd;
use crate::time::Minute;

/// Minutes in a slot.
pub const SLOT_MIN: i64 = 5;
/// Slots in an hour.
pub const SLOTS_PER_HOUR: i64 = 60 / SLOT_MIN;
/// Slots in a day.
pub const SLOTS_PER_DAY: i64 = 24 * SLOTS_PER_HOUR;
/// An hour is learnt once the watermark is this many hours past its start: the hour itself and the
/// four of the longest delay known.
pub const LEARN_LAG_HOURS: i64 = 5;
/// Hours kept.
pub const KEEP_HOURS: i64 = 28 * 24;
/// Slots kept behind the newest closed one: the four hours of the longest window, and one more.
pub const KEEP_SLOTS: i64 = 5 * SLOTS_PER_HOUR;
/// Hours behind the newest whose cost on time is kept: a day.
const SPENT_HOURS: i64 = 24;
/// Networks remembered per deployment; beyond it the oldest are forgotten.
const MAX_NETWORKS: usize = 4096;

/// Five minutes of event time, counted from 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub i64);

impl Slot {
    /// The slot of a minute.
    #[must_use]
    pub const fn of(minute: Minute) -> Self {
        Self(minute.0.div_euclid(SLOT_MIN))
    }

    /// The first slot of an hour since 1970.
    #[must_use]
    pub const fn of_hour(hour: i64) -> Self {
        Self(hour * SLOTS_PER_HOUR)
    }

    /// First minute.
    #[must_use]
    pub const fn start(self) -> Minute {
        Minute(self.0 * SLOT_MIN)
    }

    /// First minute after.
    #[must_use]
    pub const fn end(self) -> Minute {
        Minute((self.0 + 1) * SLOT_MIN)
    }

    /// Hours since 1970.
    #[must_use]
    pub const fn hour(self) -> i64 {
        self.0.div_euclid(SLOTS_PER_HOUR)
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// Input and output tokens.
    Tokens = 0,
    /// USD.
    Cost = 1,
    /// Calls.
    Calls = 2,
}

impl Signal {
    /// Every signal, in the order of [`Values`].
    pub const ALL: [Self; 3] = [Self::Tokens, Self::Cost, Self::Calls];

    /// The unit it is measured in.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Tokens => "tokens",
            Self::Cost => "USD",
            Self::Calls => "calls",
        }
    }

    /// The signal of a unit such as `tokens in 5 min`.
    #[must_use]
    pub fn of_unit(unit: &str) -> Option<Self> {
        let of = |signal: &Self| unit.split(' ').next() == Some(signal.unit());
        Self::ALL.into_iter().find(of)
    }
}

/// The three signals of an amount, in the order of [`Signal`].
pub type Values = [f64; 3];

/// An amount as signals: tokens, USD, calls.
#[expect(clippy::cast_precision_loss, reason = "statistics start here; sums stay integers")]
#[must_use]
pub fn values(amount: Amount) -> Values {
    let usd = NanoUsd(amount.cost_nano).usd();
    [amount.tokens() as f64, usd, amount.calls as f64]
}

/// One deployment as the detectors see it.
#[derive(Debug, Clone, Default)]
pub struct Series {
    /// Hour of the first call ever.
    pub first_hour: Option<i64>,
    /// On-time sums of recent slots.
    slots: BTreeMap<i64, Amount>,
    /// Sums of hours with everything in them.
    hours: BTreeMap<i64, Amount>,
    /// On-time cost of the hours of the last day, in nano-USD.
    spent: BTreeMap<i64, i64>,
    /// On-time sums of recent slots by caller.
    callers: BTreeMap<(i64, Caller), Amount>,
    /// First minute of the closed slot each network was first seen in, on time.
    networks: HashMap<u32, Minute>,
    /// What the statistical detector remembers; `None` before the first slot with calls has closed.
    pub(super) scores: Option<Scores>,
    /// What people said about spans, oldest first.
    pub lessons: Vec<Lesson>,
    expected: baseline::Cache,
}

impl Series {
    /// Adds what changed in one minute.
    pub fn add(&mut self, minute: Minute, caller: Caller, split: Split) {
        let slot = Slot::of(minute);
        if caller == Caller::TOTAL {
            add_to(&mut self.slots, slot.0, split.on_time);
            add_to(&mut self.hours, slot.hour(), split.total());
            self.spend(slot.hour(), split.on_time.cost_nano);
            self.first_hour = Some(self.first_hour.map_or(slot.hour(), |h| h.min(slot.hour())));
            return;
        }
        add_to(&mut self.callers, (slot.0, caller), split.on_time);
    }

    /// Notes that calls from `network` were made in a closed slot, which begins with `minute`.
    pub fn saw_network(&mut self, network: u32, minute: Minute) {
        let first = self.networks.entry(network).or_insert(minute);
        *first = (*first).min(minute);
        if self.networks.len() > MAX_NETWORKS
            && let Some(newest) = self.networks.iter().map(|(n, at)| (*at, *n)).max()
        {
            // The newest goes: an attacker who rotates networks must not make us forget the old.
            self.networks.remove(&newest.1);
        }
    }

    fn spend(&mut self, hour: i64, nano: i64) {
        if nano != 0 {
            let spent = self.spent.entry(hour).or_default();
            *spent = spent.saturating_add(nano);
        }
    }

    /// Puts back a saved hour: all of it, and what of it was on time in nano-USD.
    pub fn restore_hour(&mut self, hour: i64, total: Amount, on_time_nano: i64) {
        add_to(&mut self.hours, hour, total);
        self.spend(hour, on_time_nano);
        self.first_hour = Some(self.first_hour.map_or(hour, |first| first.min(hour)));
    }

    /// Puts back a saved slot.
    pub fn restore_slot(&mut self, slot: Slot, caller: Caller, on_time: Amount) {
        if caller == Caller::TOTAL {
            add_to(&mut self.slots, slot.0, on_time);
        } else {
            add_to(&mut self.callers, (slot.0, caller), on_time);
        }
    }

    /// The oldest slot remembered.
    #[must_use]
    pub fn oldest_slot(&self) -> Option<Slot> {
        self.slots.first_key_value().map(|(slot, _)| Slot(*slot))
    }

    /// The newest slot with calls.
    #[must_use]
    pub fn newest_slot(&self) -> Option<Slot> {
        self.slots.last_key_value().map(|(slot, _)| Slot(*slot))
    }

    /// On-time sums of one slot.
    #[must_use]
    pub fn slot(&self, slot: Slot) -> Amount {
        self.slots.get(&slot.0).copied().unwrap_or_default()
    }

    /// On-time sums of the `count` slots that end with `slot`.
    #[must_use]
    pub fn trailing(&self, slot: Slot, count: i64) -> Amount {
        let range = self.slots.range(slot.0 - count + 1..=slot.0);
        range.fold(Amount::default(), |sum, (_, amount)| sum.plus(*amount))
    }

    /// On-time cost in USD of the `hours` hours (at most 24) that end with `slot`. Of the hour in which
    /// they begin, the share that lies within them counts, as if it had cost the same all along.
    #[must_use]
    pub fn spent(&self, slot: Slot, hours: i64) -> f64 {
        let hour = slot.hour();
        let begun = slot.0 - hour * SLOTS_PER_HOUR + 1;
        let whole = self.spent.range(hour - hours + 1..hour);
        let within = whole
            .fold(self.trailing(slot, begun).cost_nano, |sum, (_, nano)| sum.saturating_add(*nano));
        let cut = self.spent.get(&(hour - hours)).copied().unwrap_or(0);
        let share = baseline::as_float(SLOTS_PER_HOUR - begun) / baseline::as_float(SLOTS_PER_HOUR);
        NanoUsd(within).usd() + share * NanoUsd(cut).usd()
    }

    /// On-time sums by caller of the slots `from..=to`; none where the end lies before the beginning.
    #[must_use]
    pub fn callers(&self, from: Slot, to: Slot) -> BTreeMap<Caller, Amount> {
        if to < from {
            return BTreeMap::new();
        }
        let range = self.callers.range((from.0, Caller(i64::MIN))..=(to.0, Caller(i64::MAX)));
        let mut sums = BTreeMap::new();
        for ((_, caller), amount) in range {
            add_to(&mut sums, *caller, *amount);
        }
        sums
    }

    /// First minute `network` was seen here; `None` if never (or forgotten).
    #[must_use]
    pub fn first_seen(&self, network: u32) -> Option<Minute> {
        self.networks.get(&network).copied()
    }

    /// Every network seen here, with its first minute, in no order.
    pub fn networks(&self) -> impl Iterator<Item = (u32, Minute)> {
        self.networks.iter().map(|(network, first)| (*network, *first))
    }

    /// Sums of one hour, zero where nothing happened.
    #[must_use]
    pub fn hour(&self, hour: i64) -> Values {
        self.hours.get(&hour).copied().map_or([0.0; 3], values)
    }

    /// Calls of one hour, late ones too.
    #[must_use]
    pub fn calls(&self, hour: i64) -> i64 {
        self.hours.get(&hour).map_or(0, |sum| sum.calls)
    }

    /// What one hour counts for in an expectation for the hour `by`; `None` where people said that it
    /// is not to be learnt.
    #[must_use]
    pub fn heeded(&self, hour: i64, by: i64) -> Option<Values> {
        lesson::heeded(&self.lessons, hour, self.hour(hour), by)
    }

    /// Learnt hours before the one that holds `slot`, oldest first.
    #[must_use]
    pub fn learnt(&self, slot: Slot) -> std::ops::Range<i64> {
        let end = slot.hour() - LEARN_LAG_HOURS + 1;
        let start = self.first_hour.unwrap_or(end).max(end - KEEP_HOURS);
        start..end.max(start)
    }

    /// Sums of the [learnt](Series::learnt) hours in which something happened, but for those that people said
    /// are not to be learnt.
    pub fn learnt_amounts(&self, slot: Slot) -> impl Iterator<Item = Amount> {
        let (learnt, by) = (self.learnt(slot), slot.hour());
        // Not the oldest day: how much of it is still there, a restart does not tell exactly.
        let first = learnt.start.max(by - KEEP_HOURS + 24).min(learnt.end);
        let hours = self
            .hours
            .range(first..learnt.end)
            .filter(move |(hour, _)| self.lessons.is_empty() || self.heeded(**hour, by).is_some());
        hours.map(|(_, amount)| *amount)
    }

    /// The sum of some hours.
    #[must_use]
    pub fn sum_of_hours(&self, hours: std::ops::Range<i64>) -> Amount {
        self.hours.range(hours).fold(Amount::default(), |sum, (_, amount)| sum.plus(*amount))
    }

    /// Computes what is expected around `slot`, for [`Series::expected`].
    pub fn prepare(&mut self, slot: Slot) {
        let mut cache = std::mem::take(&mut self.expected);
        cache.prepare(self, slot);
        self.expected = cache;
    }

    /// Computes what was expected in all of `hours`, for a chart.
    pub fn look_back(&mut self, hours: std::ops::Range<i64>) {
        let mut cache = std::mem::take(&mut self.expected);
        cache.look_back(self, hours);
        self.expected = cache;
    }

    /// What was expected of one slot; `None` while fewer than three days are learnt.
    #[must_use]
    pub fn expected(&self, slot: Slot) -> Option<Values> {
        self.expected.slot(slot)
    }

    /// What was expected of the `count` slots that end with `slot`; `None` where part of it is not
    /// known.
    #[must_use]
    pub fn expected_trailing(&self, slot: Slot, count: i64) -> Option<Values> {
        (slot.0 - count + 1..=slot.0).try_fold([0.0; 3], |sum, each| {
            let expected = self.expected.slot(Slot(each))?;
            Some(std::array::from_fn(|signal| {
                let part = |values: &Values| values.get(signal).copied().unwrap_or(0.0);
                part(&sum) + part(&expected)
            }))
        })
    }

    /// Slots up to `slot` without a call, as far as slots are kept.
    #[must_use]
    pub fn silent_slots(&self, slot: Slot) -> i64 {
        let calls = |back: &i64| self.slot(Slot(slot.0 - back)).calls;
        (0..KEEP_SLOTS).take_while(|back| calls(back) <= 0).count().try_into().unwrap_or(KEEP_SLOTS)
    }

    /// Drops the slots that nothing will ask for again once everything up to `closed` has been judged.
    pub fn let_go(&mut self, closed: Slot) {
        let oldest = closed.0 - KEEP_SLOTS;
        self.slots = self.slots.split_off(&oldest);
        self.callers = self.callers.split_off(&(oldest, Caller(i64::MIN)));
    }

    /// Drops the hours that nothing will ask for again once `closed` has closed.
    pub fn forget(&mut self, closed: Slot) {
        self.hours = self.hours.split_off(&(closed.hour() - KEEP_HOURS));
        self.spent = self.spent.split_off(&(closed.hour() - SPENT_HOURS));
        self.expected.forget(closed);
    }
}

fn add_to<K: Ord>(sums: &mut BTreeMap<K, Amount>, key: K, amount: Amount) {
    let slot = sums.entry(key).or_default();
    *slot = slot.plus(amount);
}
