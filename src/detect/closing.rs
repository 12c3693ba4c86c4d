//! Closing a slot: what the statistical detector is shown of it, and what is kept to go on after a stop.
//!
//! Everything shown is on time, so it never changes once the slot has closed, and the same rows of the
//! database show the same again.

use std::collections::BTreeMap;

use super::baseline::{as_float, count_as_float};
use super::score::{Around, Fresh, Grid, Heed, Memory, Observed, Rhythm, ScoreSettings, Verdict};
use super::series::{KEEP_SLOTS, SLOT_MIN, SLOTS_PER_DAY, SLOTS_PER_HOUR, Series, Slot, values};
use crate::action::Feedback;
use crate::aggregate::names::NONE;
use crate::aggregate::rollup::{Amount, Caller};
use crate::time::Minute;

/// Slots of history before a caller can be told to be new: seven days.
const KNOWN_AFTER: i64 = 7 * SLOTS_PER_DAY;
/// A caller is fresh for a day after its network was first seen.
const FRESH_SLOTS: i64 = SLOTS_PER_DAY;
/// Slots between two savings of a state, counted from the first with calls: those that a start reads for
/// windows anyway, so no other need be read to be shown again.
const SAVE_SLOTS: i64 = KEEP_SLOTS;
/// First byte of a saved state; other forms are not read.
const FORM: u8 = 1;
/// Open slots shown at once, at most: an hour ahead of the watermark and its lateness.
const MAX_OPEN: i64 = 3 * SLOTS_PER_HOUR;

/// What the statistical detector remembers of a deployment, from its first slot with calls on time.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    memory: Memory,
    first: Slot,
    /// Whether a caller has ever been told.
    named: bool,
    /// Whether it has come to a point at which it is saved.
    due: bool,
}

impl Scores {
    fn new(first: Slot) -> Self {
        Self { memory: Memory::new(Grid::FIVE_MINUTES), first, named: false, due: true }
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORM, u8::from(self.named)];
        bytes.extend(self.first.0.to_le_bytes());
        bytes.extend(self.memory.to_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let ([FORM, named], rest) = bytes.split_first_chunk()? else { return None };
        let (first, memory) = rest.split_first_chunk()?;
        let (first, memory) = (Slot(i64::from_le_bytes(*first)), Memory::from_bytes(memory)?);
        Some(Self { memory, first, named: *named == 1, due: false })
    }

    fn next(&self) -> Slot {
        Slot(self.memory.next().unwrap_or(self.first.0))
    }

    /// The first slot that must be shown to a saved state before it can go on; `None` where the state
    /// is of a form that is not read.
    #[must_use]
    pub fn saved_next(bytes: &[u8]) -> Option<Slot> {
        Self::from_bytes(bytes).map(|scores| scores.next())
    }
}

impl Series {
    /// Judges a slot that has just closed and learns from it; says nothing before the first slot with
    /// calls. `around` tells what bears on deployments of a rhythm in that slot.
    pub fn close(
        &mut self,
        slot: Slot,
        around: impl Fn(Rhythm) -> Around,
        settings: &ScoreSettings,
    ) -> Verdict {
        if self.scores.is_none() && self.slot(slot) == Amount::default() {
            return Verdict::default();
        }
        let mut scores = self.scores.take().unwrap_or_else(|| Scores::new(slot));
        self.heed(&mut scores, slot);
        let callers = self.callers(slot, slot);
        scores.named |= callers.iter().any(|(caller, amount)| person(*caller, *amount).is_some());
        let seen = self.observed(slot, &callers, &scores);
        let around = around(scores.memory.rhythm());
        let verdict = scores.memory.close(slot.0, &seen, &around, settings);
        scores.due |= (scores.next().0 - scores.first.0) % SAVE_SLOTS == 0;
        self.scores = Some(scores);
        let with_calls = callers.iter().filter(|(_, amount)| amount.calls > 0);
        for parts in with_calls.filter_map(|(caller, _)| caller.parts()) {
            self.saw_network(parts.network, slot.start());
        }
        verdict
    }

    /// The first closed slot with calls on time.
    #[must_use]
    pub fn begun(&self) -> Option<Slot> {
        self.scores.as_ref().map(|scores| scores.first)
    }

    /// Judges `slot`, which is open, by what was seen so far: upper tails alone.
    #[must_use]
    pub fn peek(&self, slot: Slot, settings: &ScoreSettings) -> Verdict {
        let Some(scores) = &self.scores else { return Verdict::default() };
        let first = scores.next();
        if !(first.0..first.0 + MAX_OPEN).contains(&slot.0) {
            return Verdict::default();
        }
        let seen = (first.0..=slot.0).map(Slot).map(|each| {
            let callers = self.callers(each, each);
            self.observed(each, &callers, scores)
        });
        scores.memory.peek(&seen.collect::<Vec<_>>(), settings)
    }

    /// What is to be saved now; `None` where what was saved last is enough to go on from.
    pub fn take_state(&mut self) -> Option<Vec<u8>> {
        let scores = self.scores.as_mut().filter(|scores| scores.due)?;
        scores.due = false;
        Some(scores.to_bytes())
    }

    /// Lets it be saved at the next chance.
    pub const fn save_soon(&mut self) {
        if let Some(scores) = &mut self.scores {
            scores.due = true;
        }
    }

    /// Puts back what was saved. Nothing where its form is not read: all that the sums still tell is
    /// shown again.
    pub fn restore_state(&mut self, bytes: &[u8]) {
        self.scores = Scores::from_bytes(bytes);
    }

    /// Shows the closed slots that came after the state was saved: `until` is the first open one.
    pub fn replay(
        &mut self,
        until: Slot,
        around: impl Fn(Slot, Rhythm) -> Around,
        settings: &ScoreSettings,
    ) {
        let from = self.scores.as_ref().map(Scores::next).or_else(|| self.oldest_slot());
        for slot in (from.map_or(until.0, |slot| slot.0)..until.0).map(Slot) {
            // What it says was said when the slot closed.
            drop(self.close(slot, |rhythm| around(slot, rhythm), settings));
        }
        self.forget(Slot(until.0 - 1));
        self.let_go(Slot(until.0 - 1));
    }

    /// Tells the memory what people said, when the first hour begins that heeds it.
    fn heed(&self, scores: &mut Scores, slot: Slot) {
        let due = scores.next().0..slot.0 + 1;
        for lesson in &self.lessons {
            if !due.contains(&(lesson.known_from * SLOTS_PER_HOUR)) {
                continue;
            }
            let [from, until] = [lesson.from, lesson.until].map(|hour| hour * SLOTS_PER_HOUR);
            let [tokens, _, calls] = lesson.level;
            scores.memory.heed(match lesson.feedback {
                Feedback::Expected | Feedback::Abuse => Heed::Exclude { from, until },
                // How many callers are behind a new level, nobody has said.
                Feedback::NewNormal => Heed::Level { from, factors: [tokens, calls, 1.0] },
            });
            // The span may still grow: a later start must not read it again.
            scores.due = true;
        }
    }

    fn observed(
        &self,
        slot: Slot,
        callers: &BTreeMap<Caller, Amount>,
        scores: &Scores,
    ) -> Observed {
        let amount = self.slot(slot);
        let [_, usd, calls] = values(amount);
        let mut people: BTreeMap<Person, (Amount, bool)> = BTreeMap::new();
        for (caller, amount) in callers.iter().filter(|(_, amount)| amount.calls > 0) {
            let fresh = |network| network != NONE && self.is_fresh(network, slot);
            let (who, fresh) = match person(*caller, *amount) {
                Some(who) => (who, fresh(who.0)),
                None if *caller == Caller::OTHER => ((u32::MAX, u32::MAX), false),
                None => continue,
            };
            let sum = people.entry(who).or_default();
            *sum = (sum.0.plus(*amount), fresh);
        }
        let named = scores.named || !people.is_empty();
        let old_enough = slot.0 - scores.first.0 >= KNOWN_AFTER;
        let fresh = people.values().filter(|(_, fresh)| *fresh).fold(
            Fresh::default(),
            |sum, (amount, _)| {
                let [tokens, usd, calls] = values(*amount);
                Fresh {
                    calls: sum.calls + calls,
                    tokens: sum.tokens + tokens,
                    usd: sum.usd + usd,
                    callers: sum.callers + 1.0,
                }
            },
        );
        Observed {
            calls,
            errors: as_float(amount.errors),
            input: as_float(amount.input),
            output: as_float(amount.output),
            usd,
            callers: named.then(|| count_as_float(people.len())),
            fresh: (named && old_enough).then_some(fresh),
        }
    }

    /// True when `network` was first seen at most a day before the end of `slot`.
    fn is_fresh(&self, network: u32, slot: Slot) -> bool {
        let since = Minute(slot.end().0 - FRESH_SLOTS * SLOT_MIN);
        self.first_seen(network).is_none_or(|first| first >= since)
    }
}

/// Numbers of network and identity.
type Person = (u32, u32);

/// Who made these calls; `None` for calls of nobody known.
fn person(caller: Caller, amount: Amount) -> Option<Person> {
    let parts = caller.parts().filter(|_| amount.calls > 0)?;
    let who = (parts.network, parts.identity);
    (who != (NONE, NONE)).then_some(who)
}
