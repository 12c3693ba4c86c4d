//! How much something matters, from a note to a page.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How much an incident matters, from a note to a page.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth recording.
    #[default]
    Info,
    /// Worth reading this week.
    Low,
    /// Worth reading today.
    Medium,
    /// Worth interrupting somebody.
    High,
    /// Worth waking somebody.
    Critical,
}

impl Severity {
    /// Every severity, from least to most.
    pub const ALL: [Self; 5] = [Self::Info, Self::Low, Self::Medium, Self::High, Self::Critical];

    /// The word used in output, storage and configuration.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }

    /// The severity named `word`; `None` when there is none.
    #[must_use]
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|severity| severity.word() == word)
    }

    /// `steps` higher (or lower when negative), staying on the scale.
    #[must_use]
    pub fn step(self, steps: i32) -> Self {
        let place = Self::ALL.iter().position(|severity| *severity == self).unwrap_or(0);
        let moved = i32::try_from(place).unwrap_or(0).saturating_add(steps).clamp(0, 4);
        Self::ALL.get(usize::try_from(moved).unwrap_or(0)).copied().unwrap_or(self)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}
