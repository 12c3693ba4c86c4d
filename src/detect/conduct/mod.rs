//! What callers do, beside how much: how their calls were answered, from where, with what right.
//!
//! Every call gives one [`Tally`] to its five minutes, deployment and caller, from the same bookings as the
//! sums: what a later row corrects is taken back and given again, and only what was on time counts. So the
//! tallies of a closed slot are the same for every order and cut of the rows. Listings and refused calls
//! that belong to no deployment are tallied too, under no deployment. Who has no row of their own (see
//! [`CallerCap`](crate::aggregate::cap::CallerCap)) is tallied as one, whom no rule about networks reads.
//!
//! A [`Rule`] looks at the account when a slot has closed and reads back an hour at most. "Then" is told to
//! the slot, not within one. What was usual is in [`Past`]: days, and hours of networks that call much, kept
//! small and saved every hour; the slots since then come back from the rows of calls that are saved anyway.
//!
//! A network alone is never a reason to wake somebody: rules about new ones ask for money or a key as well.

mod abuse;
mod callers;
mod habit;
mod pace;
mod lengths;
mod past;
mod programs;
mod scene;
mod sizes;

use std::collections::BTreeMap;

use super::series::{SLOTS_PER_HOUR, Slot};
use super::table::Profile;
use crate::aggregate::call::Booking;
use crate::aggregate::names::{NONE, OTHER};
use crate::aggregate::rollup::{Caller, CallerParts, Class};
use crate::event::operation::Operation;
use crate::severity::Severity;
pub use habit::{Habits, Hour, MOST_HOURS};
use lengths::Lengths;
pub use pace::{Course, Pace};
pub use past::Past;
pub use scene::Scene;
use sizes::Sizes;

/// Slots kept behind the newest closed one: the hour of the longest window.
const KEEP_SLOTS: i64 = SLOTS_PER_HOUR;

/// One way of noticing.
#[derive(Debug)]
pub struct Rule {
    /// Identifier in the table of detectors.
    pub id: &'static str,
    judge: fn(&Scene<'_>, &Profile) -> Vec<Sign>,
}

impl Rule {
    /// What it has to say of the slot that closes, with the thresholds of `profile`; at most one sign of
    /// each scope.
    #[must_use]
    pub fn judge(&self, scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
        (self.judge)(scene, profile)
    }
}

/// Every rule, in the order of the manual's table.
pub const RULES: &[Rule] = &[
    Rule { id: "TW-C07", judge: lengths::giant_inputs },
    Rule { id: "TW-C14", judge: programs::agent_loop },
    Rule { id: "TW-A01", judge: abuse::clones },
    Rule { id: "TW-A02", judge: abuse::validity_probe },
    Rule { id: "TW-A03", judge: abuse::enumeration },
    Rule { id: "TW-A04", judge: abuse::denied_burst },
    Rule { id: "TW-A05", judge: abuse::revoked_key },
    Rule { id: "TW-A06", judge: abuse::rate_limited },
    Rule { id: "TW-A07", judge: abuse::filter_storm },
    Rule { id: "TW-A08", judge: abuse::new_operation },
    Rule { id: "TW-A09", judge: programs::sweep },
    Rule { id: "TW-A10", judge: programs::beat },
    Rule { id: "TW-I02", judge: callers::hosting },
    Rule { id: "TW-I03", judge: callers::listed },
    Rule { id: "TW-I04", judge: callers::country },
    Rule { id: "TW-I07", judge: callers::bypass },
    Rule { id: "TW-I08", judge: callers::distant },
    Rule { id: "TW-K06", judge: callers::key_switch },
];

/// True when an incident of this rule is about conduct.
#[must_use]
pub fn is_rule(id: &str) -> bool {
    RULES.iter().any(|rule| rule.id == id)
}

/// What a rule has noticed.
#[derive(Debug, Clone, PartialEq)]
pub struct Sign {
    /// Number of the deployment it is about; `None` for the whole account.
    pub deployment: Option<u32>,
    /// Before money and doubt have their say.
    pub severity: Severity,
    /// Certainty, 0 to 1.
    pub confidence: f64,
    /// What was seen, in `unit`.
    pub observed: f64,
    /// What was usual, in `unit`; 0 where nothing was.
    pub expected: f64,
    /// What had to be reached, in `unit`.
    pub bound: f64,
    /// Such as `refused calls in 10 min`.
    pub unit: String,
    /// Numbers of the networks that did it, the worst first, at most [`MAX_NETWORKS`].
    pub networks: Vec<u32>,
    /// Facts, one sentence each.
    pub evidence: Vec<String>,
    /// What can be done about it.
    pub answer: Answer,
}

/// Networks that a sign names.
pub const MAX_NETWORKS: usize = 10;

/// What can be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// Make keys worthless, close the network.
    Keys,
    /// Close the network, then look at the keys.
    Networks,
    /// Look at quota and deployments.
    Quota,
    /// Look at what an identity may do; the number of its name.
    Identity(u32),
}

/// How calls were answered; signed, because a booking may be taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Below 400.
    pub served: i32,
    /// 400, with a request so small that it can hardly have been meant.
    pub small: i32,
    /// 400 otherwise, sizes that were not told too.
    pub bad: i32,
    /// 401 and 403.
    pub denied: i32,
    /// 404.
    pub missing: i32,
    /// 429.
    pub limited: i32,
    /// Any other from 400.
    pub failed: i32,
}

impl Tally {
    /// Of one call with this status and size of the request; nothing where no status was told.
    const fn of(status: u16, sent: u32, sign: i32, small_below: u32) -> Self {
        let none =
            Self { served: 0, small: 0, bad: 0, denied: 0, missing: 0, limited: 0, failed: 0 };
        match status {
            0 => none,
            1..400 => Self { served: sign, ..none },
            400 if sent > 0 && sent < small_below => Self { small: sign, ..none },
            400 => Self { bad: sign, ..none },
            401 | 403 => Self { denied: sign, ..none },
            404 => Self { missing: sign, ..none },
            429 => Self { limited: sign, ..none },
            _ => Self { failed: sign, ..none },
        }
    }

    /// The sum of both.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            served: self.served.saturating_add(other.served),
            small: self.small.saturating_add(other.small),
            bad: self.bad.saturating_add(other.bad),
            denied: self.denied.saturating_add(other.denied),
            missing: self.missing.saturating_add(other.missing),
            limited: self.limited.saturating_add(other.limited),
            failed: self.failed.saturating_add(other.failed),
        }
    }

    /// Calls whose answer was told.
    #[must_use]
    pub fn calls(self) -> i32 {
        let Self { served, small, bad, denied, missing, limited, failed } = self;
        [served, small, bad, denied, missing, limited, failed]
            .into_iter()
            .fold(0, i32::saturating_add)
    }
}

/// The calls of one caller to one deployment in one slot.
#[derive(Debug, Clone, Copy)]
pub struct Deed {
    /// When.
    pub slot: Slot,
    /// Number of the deployment; [`NONE`] where none was named.
    pub deployment: u32,
    /// Who; `None` for all without a row of their own.
    pub who: Option<CallerParts>,
    /// How they were answered.
    pub tally: Tally,
}

impl Deed {
    /// Number of the caller's network; `None` where it is not known.
    #[must_use]
    pub fn network(&self) -> Option<u32> {
        self.who.map(|who| who.network).filter(|network| *network != NONE)
    }

    /// True where nobody was named: of a refused call a key, or a token that was none.
    #[must_use]
    pub fn is_nameless(&self) -> bool {
        self.who.is_some_and(|who| who.identity == NONE)
    }

    /// What was asked for.
    #[must_use]
    pub fn operation(&self) -> Operation {
        self.who.map_or(Operation::Untold, |who| who.operation)
    }

    /// Served calls of which the log that names callers has spoken, without an identity: made with a key,
    /// as far as was told on time.
    #[must_use]
    pub fn keyed(&self) -> i32 {
        self.told(|who| who.identity == NONE)
    }

    /// Served calls of an identity.
    #[must_use]
    pub fn named(&self) -> i32 {
        self.told(|who| who.identity != NONE)
    }

    fn told(&self, is_it: impl Fn(&CallerParts) -> bool) -> i32 {
        let told = |who: &CallerParts| who.operation != Operation::Untold && is_it(who);
        self.who.filter(told).map_or(0, |_| self.tally.served)
    }
}

/// What one account's callers did lately, and what is usual.
#[derive(Debug, Clone)]
pub struct Conduct {
    slots: BTreeMap<(i64, u32, Caller), Tally>,
    sizes: BTreeMap<(i64, u32), Sizes>,
    paces: BTreeMap<(i64, u32, Caller), Pace>,
    lengths: BTreeMap<(i64, u32), Lengths>,
    past: Past,
    /// Requests of fewer bytes are small.
    small_below: u32,
}

impl Conduct {
    /// Nothing yet, of an account for which `probe` is how TW-A02 is set.
    #[must_use]
    pub fn new(probe: &Profile) -> Self {
        let small_below = scene::whole(probe.threshold("max_length"));
        Self {
            slots: BTreeMap::new(),
            sizes: BTreeMap::new(),
            paces: BTreeMap::new(),
            lengths: BTreeMap::new(),
            past: Past::default(),
            small_below: u32::try_from(small_below).unwrap_or(0),
        }
    }

    /// Tallies what was booked for `caller`.
    pub fn add(&mut self, booking: &Booking, caller: Caller) {
        let Booking { minute, deployment, status, sent, sign, class, .. } = *booking;
        if class == Class::Late {
            return;
        }
        if status < 400 && deployment != NONE {
            let tokens = u32::try_from(booking.amount.input.unsigned_abs()).unwrap_or(u32::MAX);
            let lengths = self.lengths.entry((Slot::of(minute).0, deployment)).or_default();
            lengths.add(tokens, sent, sign);
        }
        if status == 0 {
            return;
        }
        let tally = Tally::of(status, sent, sign, self.small_below);
        let sum = self.slots.entry((Slot::of(minute).0, deployment, caller)).or_default();
        *sum = sum.plus(tally);
        if sent > 0 && deployment != NONE {
            self.sizes.entry((Slot::of(minute).0, deployment)).or_default().add(sent, sign);
            let key = (Slot::of(minute).0, deployment, caller);
            self.paces.entry(key).or_default().add(minute, sent, sign);
        }
    }

    /// How large the requests to a deployment were in the `count` slots that end with `slot`.
    #[must_use]
    pub fn sizes(&self, deployment: u32, slot: Slot, count: i64) -> Sizes {
        let slots =
            (slot.0 - count + 1..=slot.0).filter_map(|slot| self.sizes.get(&(slot, deployment)));
        slots.fold(Sizes::default(), Sizes::plus)
    }

    /// How the callers of a deployment, by numbers of network and identity, went on in the `count` slots that
    /// end with `slot`.
    #[must_use]
    pub fn courses(&self, deployment: u32, slot: Slot, count: i64) -> BTreeMap<(u32, u32), Course> {
        let mut paces: BTreeMap<(u32, u32), BTreeMap<i64, Pace>> = BTreeMap::new();
        for slot in slot.0 - count + 1..=slot.0 {
            let first = (slot, deployment, Caller(i64::MIN));
            for ((_, _, caller), pace) in
                self.paces.range(first..=(slot, deployment, Caller(i64::MAX)))
            {
                let who = caller.parts().map(|who| (who.network, who.identity));
                if let Some(who) = who.filter(|who| *who != (NONE, NONE)) {
                    let sum = paces.entry(who).or_default().entry(slot).or_default();
                    *sum = sum.plus(pace);
                }
            }
        }
        let courses =
            paces.into_iter().filter_map(|(who, slots)| Some((who, Course::of(slots.values())?)));
        courses.collect()
    }

    /// What each known network did in a slot, as habits are made of it.
    fn hours(&self, slot: Slot) -> BTreeMap<u32, Hour> {
        let is_known = |network: &u32| ![NONE, OTHER].contains(network);
        let mut of: BTreeMap<u32, Hour> = BTreeMap::new();
        for deed in self.deeds(slot, 1) {
            let Some(network) = deed.network().filter(is_known) else { continue };
            let (hour, calls) = (of.entry(network).or_default(), i64::from(deed.tally.calls()));
            hour.calls.0 += calls;
            hour.store.0 += if deed.operation().is_store() { calls } else { 0 };
        }
        let first = (slot.0, 0, Caller(i64::MIN));
        for ((_, _, caller), pace) in self.paces.range(first..=(slot.0, u32::MAX, Caller(i64::MAX)))
        {
            let network = caller.parts().map(|who| who.network);
            if let Some(hour) = network.and_then(|network| of.get_mut(&network)) {
                let [calls, bytes, squares] = pace.sums();
                let sizes = (calls, bytes, squares);
                *hour = hour.plus(Hour { sizes, ..Hour::default() });
            }
        }
        of.retain(|_, hour| hour.calls.0 > 0);
        for hour in of.values_mut() {
            hour.calls.1 = hour.calls.0.saturating_mul(hour.calls.0);
            hour.store.1 = hour.store.0.saturating_mul(hour.store.0);
        }
        of
    }

    /// How long the prompts to a deployment were in the `count` slots that end with `slot`.
    #[must_use]
    pub fn lengths(&self, deployment: u32, slot: Slot, count: i64) -> Lengths {
        let slots =
            (slot.0 - count + 1..=slot.0).filter_map(|slot| self.lengths.get(&(slot, deployment)));
        slots.fold(Lengths::default(), Lengths::plus)
    }

    /// What was done in the `count` slots that end with `slot`.
    pub fn deeds(&self, slot: Slot, count: i64) -> impl Iterator<Item = Deed> {
        let first = (slot.0 - count + 1, 0, Caller(i64::MIN));
        let range = self.slots.range(first..=(slot.0, u32::MAX, Caller(i64::MAX)));
        range.map(|((slot, deployment, caller), tally)| Deed {
            slot: Slot(*slot),
            deployment: *deployment,
            who: caller.parts(),
            tally: *tally,
        })
    }

    /// The oldest slot in which something was done.
    #[must_use]
    pub fn oldest_slot(&self) -> Option<Slot> {
        self.slots.keys().next().map(|(slot, _, _)| Slot(*slot))
    }

    /// What is usual.
    #[must_use]
    pub const fn past(&self) -> &Past {
        &self.past
    }

    /// Learns from `slot`, which has been judged, and forgets what nothing will ask for again.
    pub fn close(&mut self, slot: Slot) {
        let mut past = std::mem::take(&mut self.past);
        past.learn(self, slot);
        self.past = past;
        self.slots = self.slots.split_off(&(slot.0 - KEEP_SLOTS, 0, Caller(i64::MIN)));
        self.lengths = self.lengths.split_off(&(slot.0 - KEEP_SLOTS, 0));
        self.sizes = self.sizes.split_off(&(slot.0 - past::CLONE_SLOTS, 0));
        let oldest = (slot.0 - past::CLONE_SLOTS, 0, Caller(i64::MIN));
        self.paces = self.paces.split_off(&oldest);
    }

    /// What is to be saved now; `None` where what was saved last is enough to go on from.
    pub fn take_state(&mut self) -> Option<String> {
        self.past.take_state()
    }

    /// Puts back what was saved; nothing where it cannot be read.
    pub fn restore(&mut self, body: &str) {
        self.past = Past::read(body).unwrap_or_default();
    }

    /// Learns from the closed slots that came after the state was saved: `until` is the first open one.
    pub fn replay(&mut self, until: Slot) {
        let oldest = self.oldest_slot().map_or(until.0, |slot| slot.0);
        let from = self.past.next().map_or(oldest, |next| next.max(oldest));
        (from..until.0).for_each(|slot| self.close(Slot(slot)));
    }
}

#[cfg(test)]
mod programs_tests;
#[cfg(test)]
mod tests;
