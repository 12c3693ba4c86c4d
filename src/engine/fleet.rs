//! The fleet gate: what fell together when a slot closed, by the hubs that accounts share.
//!
//! A holiday or an outage of many deployments is one event of the fleet. Accounts that are fed by the
//! same hubs share a watermark, so their slots close together, and what fell in one slot is known before
//! any of them is judged by the next.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::detect::score::{Around, Fleet, Rhythm};
use crate::detect::series::{SLOTS_PER_HOUR, Slot};

/// Slots remembered: more than a day, where a restart shows at most five hours again.
pub const KEEP_SLOTS: i64 = 26 * SLOTS_PER_HOUR;

/// The hubs that feed an account, in order.
pub type Hubs = Arc<[String]>;

/// What is known of a slot that has closed.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Closed {
    /// Whether everything that belongs to it had been read.
    pub complete: bool,
    /// Deployments judged, and how many of them had fallen.
    pub fleet: Fleet,
}

/// The newest closed slots of accounts that share their hubs.
#[derive(Debug, Clone, Default)]
pub struct Group {
    slots: BTreeMap<Slot, Closed>,
}

impl Group {
    /// What bears on a deployment of this rhythm in `slot`; a slot of which nothing is known any more
    /// counts as complete.
    #[must_use]
    pub fn around(&self, slot: Slot, rhythm: Rhythm) -> Around {
        let complete = self.slots.get(&slot).is_none_or(|closed| closed.complete);
        let before = self.slots.get(&Slot(slot.0 - 1));
        Around { fall: before.and_then(|before| before.fleet.fall(rhythm)), complete }
    }

    /// Opens the book of a slot that closes; false where it was closed before, by others of the group:
    /// what is written of it stays.
    pub fn begin(&mut self, slot: Slot, complete: bool) -> bool {
        if self.slots.last_key_value().is_some_and(|(newest, _)| *newest >= slot) {
            return false;
        }
        self.slots.insert(slot, Closed { complete, fleet: Fleet::default() });
        let oldest = Slot(slot.0 - KEEP_SLOTS);
        while self.slots.first_key_value().is_some_and(|(first, _)| *first < oldest) {
            self.slots.pop_first();
        }
        true
    }

    /// Counts the deployments of an account in a slot.
    pub fn note(&mut self, slot: Slot, fleet: &Fleet) {
        if let Some(closed) = self.slots.get_mut(&slot) {
            closed.fleet.merge(fleet);
        }
    }

    /// Puts back a saved slot.
    pub fn restore(&mut self, slot: Slot, closed: Closed) {
        self.slots.insert(slot, closed);
    }

    /// What is remembered from `slot` on.
    pub fn since(&self, slot: Slot) -> impl Iterator<Item = (Slot, &Closed)> {
        self.slots.range(slot..).map(|(slot, closed)| (*slot, closed))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::score::Verdict;

    #[test]
    fn a_slot_is_judged_by_what_fell_in_the_one_before() {
        let rhythm = Rhythm::Other;
        let mut group = Group::default();
        assert!(group.begin(Slot(7), true));
        for place in 0..100 {
            let mut fleet = Fleet::default();
            let fall = Some(if place < 90 { -1.0 } else { 0.0 });
            fleet.hear(&Verdict { fall, peers: rhythm, ..Verdict::default() });
            group.note(Slot(7), &fleet);
        }
        assert!(group.begin(Slot(8), false));
        let fall = |slot| group.around(Slot(slot), rhythm).fall;
        assert!(fall(8).unwrap() < -0.5 && fall(7).is_none() && fall(9).is_none());
        assert!(!group.around(Slot(8), rhythm).complete && group.around(Slot(7), rhythm).complete);
    }

    #[test]
    fn what_was_closed_stays_and_what_is_old_goes() {
        let mut group = Group::default();
        assert!(group.begin(Slot(7), false));
        assert!(!group.begin(Slot(7), true) && !group.begin(Slot(6), true));
        assert_eq!(
            group
                .since(Slot(0))
                .map(|(slot, closed)| (slot.0, closed.complete))
                .collect::<Vec<_>>(),
            [(7, false)]
        );
        assert!(group.begin(Slot(8 + KEEP_SLOTS), true));
        assert_eq!(group.since(Slot(0)).count(), 1);
    }
}
