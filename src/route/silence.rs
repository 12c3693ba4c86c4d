//! What is not told for a while: silences that people set, maintenance that is planned, and
//! incidents that stand behind others.

use super::calendar::Times;
use super::matcher::{Labels, Matcher, all_match};
use crate::time::EventTime;

/// A silence as it is saved; its number is that of the action that made it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Silence {
    /// Its number.
    pub id: i64,
    /// Conditions as they were written; all must hold.
    pub matchers: Vec<String>,
    /// From when, milliseconds since 1970.
    pub from_ms: i64,
    /// Until when, exclusive.
    pub until_ms: i64,
    /// Who set it.
    pub author: String,
    /// Why.
    pub reason: String,
}

/// A silence that can be asked.
#[derive(Debug, Clone)]
pub(super) struct Armed {
    pub(super) silence: Silence,
    matchers: Vec<Matcher>,
}

impl Armed {
    /// # Errors
    /// What is wrong with its matchers or its times.
    pub(super) fn new(silence: Silence) -> Result<Self, String> {
        let matchers = Matcher::parse_all(&silence.matchers)?;
        if matchers.is_empty() {
            return Err("a silence needs a matcher: what would stay to be told?".to_owned());
        }
        if silence.until_ms <= silence.from_ms {
            return Err("it ends before it begins".to_owned());
        }
        Ok(Self { silence, matchers })
    }

    pub(super) fn holds(&self, labels: &Labels, now_ms: i64) -> bool {
        (self.silence.from_ms..self.silence.until_ms).contains(&now_ms)
            && all_match(&self.matchers, labels)
    }
}

/// When maintenance takes place.
#[derive(Debug, Clone)]
pub enum When {
    /// Every week.
    Weekly(Times),
    /// Once: from and until (exclusive), milliseconds since 1970.
    Once(i64, i64),
}

/// A planned time in which what matches is not told.
#[derive(Debug, Clone)]
pub struct Maintenance {
    /// What it is called.
    pub name: String,
    /// What it is about; all must hold.
    pub matchers: Vec<Matcher>,
    /// When.
    pub when: When,
}

impl Maintenance {
    /// Whether it is about these labels now.
    #[must_use]
    pub fn holds(&self, labels: &Labels, now_ms: i64) -> bool {
        let now = match &self.when {
            When::Once(from, until) => (*from..*until).contains(&now_ms),
            When::Weekly(times) => times.contains(EventTime(now_ms)).unwrap_or(false),
        };
        now && all_match(&self.matchers, labels)
    }
}

/// While an incident that matches `source` goes on, others that match `target` and have the same
/// values of the labels `equal` are not told.
#[derive(Debug, Clone)]
pub struct Inhibit {
    /// The incident that speaks.
    pub source: Vec<Matcher>,
    /// Those that keep quiet.
    pub target: Vec<Matcher>,
    /// Labels that must be the same, missing ones included.
    pub equal: Vec<String>,
}

impl Inhibit {
    /// Whether `source` keeps `target` quiet.
    #[must_use]
    pub fn holds(&self, source: &Labels, target: &Labels) -> bool {
        all_match(&self.source, source)
            && all_match(&self.target, target)
            && self.equal.iter().all(|label| source.get(label) == target.get(label))
    }
}
