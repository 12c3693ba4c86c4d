//! When keys of an account became worthless: what rules about calls must know of the control plane.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::account_of;
use super::act::believed;
use crate::event::control::{Changed, Control, Outcome, Target, Verb};
use crate::time::{ArrivalTime, EventTime};

/// Moments kept of one account, the newest: keys are made anew by the month.
const MAX_MOMENTS: usize = 16;
/// Accounts of which moments are kept; of more, nothing is.
const MAX_ACCOUNTS: usize = 10_000;

/// A key was made anew, or no key is accepted any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revoked {
    /// When.
    pub at: EventTime,
    /// When the hub took the record that says so, the first of its copies.
    pub told: ArrivalTime,
}

impl Revoked {
    /// What a record of the activity log says about it, with the account (lower case). That keys are refused
    /// from now on is believed when it is asked for: what was asked is seldom in the record of the result.
    #[must_use]
    pub fn read(control: &Control, told: ArrivalTime) -> Option<(&str, Self)> {
        let sets = control.change.as_ref().map(|change| &change.to);
        let is_done = control.outcome == Outcome::Succeeded;
        let is_asked = matches!(control.outcome, Outcome::Started | Outcome::Accepted);
        let refuses =
            matches!(sets, Some(Changed::Account(to)) if to.local_auth_disabled == Some(true));
        let is_it = (control.verb == Verb::RegenerateKey && is_done)
            || (control.verb == Verb::Write && refuses && (is_done || is_asked));
        let account = account_of(&control.resource)?;
        let revoked = Self { at: believed(control.at, told), told };
        (is_it && control.target == Target::Account).then_some((account, revoked))
    }
}

/// Such moments by account, in the order of their times.
#[derive(Debug, Clone, Default)]
pub struct Revocations(BTreeMap<String, Vec<Revoked>>);

/// What became of a moment that was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// It is to be saved.
    New,
    /// It was known.
    Known,
    /// There is no room for another account.
    TooMany,
}

impl Revocations {
    /// Notes one; the order of tellings does not matter.
    pub fn note(&mut self, account: &str, revoked: Revoked) -> Noted {
        if !self.0.contains_key(account) && self.0.len() >= MAX_ACCOUNTS {
            return Noted::TooMany;
        }
        let known = self.0.entry(account.to_owned()).or_default();
        let before = known.clone();
        match known.binary_search_by_key(&revoked.at, |known| known.at) {
            Ok(place) => {
                if let Some(same) = known.get_mut(place) {
                    same.told = same.told.min(revoked.told);
                }
            }
            Err(place) => known.insert(place, revoked),
        }
        if known.len() > MAX_MOMENTS {
            known.remove(0);
        }
        if *known == before { Noted::Known } else { Noted::New }
    }

    /// Those of an account (lower case), oldest first.
    #[must_use]
    pub fn of(&self, account: &str) -> &[Revoked] {
        self.0.get(account).map(Vec::as_slice).unwrap_or_default()
    }

    /// As they are saved.
    #[must_use]
    pub fn saved(&self, account: &str) -> Option<String> {
        serde_json::to_string(self.0.get(account)?).ok()
    }

    /// Puts back what was saved; nothing where it cannot be read.
    pub fn restore(&mut self, account: String, body: &str) {
        if let Ok(known) = serde_json::from_str(body) {
            self.0.insert(account, known);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: i64) -> Revoked {
        Revoked { at: EventTime(minute * 60_000), told: ArrivalTime((minute + 9) * 60_000) }
    }

    #[test]
    fn the_newest_are_kept_in_whatever_order_they_are_told() {
        let mut orders = [(0..20).collect::<Vec<i64>>(), (0..20).rev().collect()].map(|order| {
            let mut all = Revocations::default();
            for minute in order {
                assert_ne!(all.note("aif", at(minute)), Noted::TooMany);
            }
            all
        });
        let [first, second] = &mut orders;
        assert_eq!(first.of("aif"), second.of("aif"));
        assert_eq!(first.of("aif").first().copied(), Some(at(4)));
        assert_eq!(first.of("other"), []);
        let late = Revoked { told: ArrivalTime(i64::MAX), ..at(7) };
        assert_eq!(first.note("aif", late), Noted::Known);
        let mut again = Revocations::default();
        again.restore("aif".to_owned(), &first.saved("aif").unwrap());
        assert_eq!(again.of("aif"), first.of("aif"));
    }

    #[test]
    fn accounts_are_bounded() {
        let mut all = Revocations::default();
        let noted = (0..=MAX_ACCOUNTS).map(|n| all.note(&format!("a{n}"), at(1)));
        assert_eq!(noted.last(), Some(Noted::TooMany));
    }
}
