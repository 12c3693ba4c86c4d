//! What the configuration says of detectors: switched off, another severity, other thresholds, for all
//! accounts or for some.

use std::collections::BTreeMap;

use super::DetectSettings;
use super::table::{self, Profile};
use crate::known::owner::{is_account, subscription_of};
use crate::severity::Severity;

/// One entry of the configuration about one detector.
#[derive(Debug, Clone, PartialEq)]
pub struct Tuned {
    accounts: Vec<String>,
    subscriptions: Vec<String>,
    enabled: bool,
    thresholds: BTreeMap<String, f64>,
    /// The table's words with the severity and the thresholds of the entry.
    profile: Profile,
}

/// What an entry changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Change {
    /// Whose accounts, by name or resource id in lower case; with no subscriptions either: all.
    pub accounts: Vec<String>,
    /// Ids of subscriptions, lower case.
    pub subscriptions: Vec<String>,
    /// False: it never speaks there.
    pub enabled: bool,
    /// Severity before money and confidence have their say.
    pub severity: Option<Severity>,
    /// Thresholds by name.
    pub thresholds: BTreeMap<String, f64>,
}

impl Tuned {
    /// A detector of the table with a change.
    #[must_use]
    pub fn new(profile: &Profile, change: Change) -> Self {
        let Change { accounts, subscriptions, enabled, severity, thresholds } = change;
        let mut profile = profile.clone();
        profile.severity = severity.unwrap_or(profile.severity);
        profile.defaults.extend(thresholds.clone());
        Self { accounts, subscriptions, enabled, thresholds, profile }
    }

    /// How narrowly it names a resource: 3 by account, 2 by subscription, 1 as one of all; 0: not at all.
    fn fit(&self, resource: &str) -> u8 {
        let Self { accounts, subscriptions, .. } = self;
        let subscription = || subscription_of(resource);
        if accounts.iter().any(|name| is_account(resource, name)) {
            3
        } else if subscription().is_some_and(|id| subscriptions.iter().any(|named| named == id)) {
            2
        } else {
            u8::from(accounts.is_empty() && subscriptions.is_empty())
        }
    }
}

/// What may be made, in lower case; an empty list allows anything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Allowed {
    /// Regions, by their short names.
    pub regions: Vec<String>,
    /// Kinds of accounts, such as `aiservices`.
    pub kinds: Vec<String>,
    /// Tiers of accounts and kinds of capacity, such as `s0` and `globalstandard`.
    pub skus: Vec<String>,
    /// Who may make something: sign-in names, object ids or application ids.
    pub creators: Vec<String>,
}

impl Allowed {
    /// Whether everything is allowed.
    #[must_use]
    pub fn is_anything(&self) -> bool {
        *self == Self::default()
    }
}

/// Every entry, in the order of the configuration; and what may be made.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Tuning(Vec<Tuned>, Allowed);

impl Tuning {
    /// Of these entries.
    #[must_use]
    pub fn new(entries: Vec<Tuned>) -> Self {
        Self(entries, Allowed::default())
    }

    /// The same where only this may be made.
    #[must_use]
    pub fn allowing(self, allowed: Allowed) -> Self {
        Self(self.0, allowed)
    }

    /// What may be made.
    #[must_use]
    pub const fn allowed(&self) -> &Allowed {
        &self.1
    }

    /// Whether the configuration has no entry.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The narrowest entry about a detector that names a resource (id in lower case); of two as narrow the
    /// later one. It holds as a whole: entries do not mix.
    fn find(&self, id: &str, resource: &str) -> Option<&Tuned> {
        let named = self.0.iter().filter(|entry| entry.profile.id == id);
        let fitting = named.filter(|entry| entry.fit(resource) > 0);
        fitting.max_by_key(|entry| entry.fit(resource))
    }

    /// A detector as it is for a resource (id in lower case); `None` where it is switched off.
    #[must_use]
    pub fn of(&self, id: &str, resource: &str) -> Option<&Profile> {
        if self.0.is_empty() {
            return Some(table::profile(id));
        }
        match self.find(id, resource) {
            Some(entry) => entry.enabled.then_some(&entry.profile),
            None => Some(table::profile(id)),
        }
    }

    /// The thresholds of statistics for an account, where they are not those of all.
    #[must_use]
    pub fn settings(&self, all: &DetectSettings, resource: &str) -> Option<Box<DetectSettings>> {
        let mut settings = all.clone();
        for (id, name, field) in settings.of_table() {
            let entry = self.find(id, resource);
            if let Some(value) = entry.and_then(|entry| entry.thresholds.get(name)) {
                *field = *value;
            }
        }
        (settings != *all).then(|| Box::new(settings))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCOUNT: &str = "/subscriptions/s-1/resourcegroups/rg/providers/x/accounts/aif";

    fn entry(id: &str, accounts: &[&str], subscriptions: &[&str], value: f64) -> Tuned {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let profile = table::profile(id);
        let name = profile.defaults.keys().next().unwrap().clone();
        let change = Change {
            accounts: owned(accounts),
            subscriptions: owned(subscriptions),
            enabled: value > 0.0,
            severity: None,
            thresholds: BTreeMap::from([(name, value)]),
        };
        Tuned::new(profile, change)
    }

    #[test]
    fn the_narrowest_entry_holds_and_of_two_the_later() {
        let tuning = Tuning::new(vec![
            entry("TW-A06", &["aif"], &[], 7.0),
            entry("TW-A06", &[], &[], 5.0),
            entry("TW-A06", &[], &["s-1"], 6.0),
            entry("TW-A06", &[], &["s-1"], 8.0),
            entry("TW-A06", &["off"], &[], 0.0),
        ]);
        let calls = |resource: &str| tuning.of("TW-A06", resource).map(|p| p.threshold("calls"));
        let of = |name: &str| ACCOUNT.replace("aif", name);
        assert_eq!(calls(ACCOUNT), Some(7.0));
        assert_eq!(calls(&of("other")), Some(8.0));
        assert_eq!(calls("/subscriptions/s-2/accounts/b"), Some(5.0));
        assert_eq!(calls(&of("off")), None);
        let others = tuning.of("TW-A07", ACCOUNT);
        assert_eq!(others, Some(table::profile("TW-A07")));
    }

    #[test]
    fn statistics_take_what_an_entry_says_and_nothing_else() {
        let all = DetectSettings { ceiling_usd_per_hour: 250.0, ..DetectSettings::default() };
        let change = Change {
            accounts: vec!["aif".to_owned()],
            enabled: true,
            thresholds: BTreeMap::from([("usd_per_day".to_owned(), 9_000.0)]),
            ..Change::default()
        };
        let tuning = Tuning::new(vec![Tuned::new(table::profile("TW-C04"), change)]);
        let settings = tuning.settings(&all, ACCOUNT).unwrap();
        let expected = DetectSettings { ceiling_usd_per_day: 9_000.0, ..all.clone() };
        assert_eq!(*settings, expected);
        assert_eq!(tuning.settings(&all, "/subscriptions/s-1/accounts/b"), None);
    }
}
