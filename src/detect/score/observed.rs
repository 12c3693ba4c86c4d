//! What a deployment did in one slot, and what was going on around it.

use serde::{Deserialize, Serialize};

/// Length of the slots of a series. The service works with [`Grid::FIVE_MINUTES`]; a benchmark may bring
/// others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grid {
    /// Seconds in a slot; divides an hour, or is a whole number of hours up to a day.
    pub slot_seconds: i64,
}

impl Grid {
    /// What the service judges by.
    pub const FIVE_MINUTES: Self = Self { slot_seconds: 300 };

    /// Slots that cover `seconds`, at least one.
    #[must_use]
    pub const fn slots(self, seconds: i64) -> i64 {
        let slots = seconds / self.slot_seconds;
        if slots > 0 { slots } else { 1 }
    }

    /// Slots in an hour; an hour here is never shorter than a slot.
    #[must_use]
    pub const fn per_hour(self) -> i64 {
        self.slots(3600)
    }

    /// Hours in a day: 24, or fewer where a slot is longer than an hour.
    #[must_use]
    pub const fn hours_per_day(self) -> i64 {
        let hour = self.per_hour() * self.slot_seconds;
        if hour < 86_400 { 86_400 / hour } else { 1 }
    }

    /// Slots in a day.
    #[must_use]
    pub const fn per_day(self) -> i64 {
        self.per_hour() * self.hours_per_day()
    }
}

/// Sums of one slot, as they stood when it was judged.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Observed {
    /// Calls.
    pub calls: f64,
    /// Calls that failed.
    pub errors: f64,
    /// Prompt tokens.
    pub input: f64,
    /// Generated tokens.
    pub output: f64,
    /// USD; 0 where there is no price.
    pub usd: f64,
    /// Distinct callers; `None` where nobody knows them.
    pub callers: Option<f64>,
    /// The part that came from callers first seen here within a day; `None` where nobody knows them.
    pub fresh: Option<Fresh>,
}

impl Observed {
    /// Prompt and generated tokens together.
    #[must_use]
    pub const fn tokens(&self) -> f64 {
        self.input + self.output
    }
}

/// What callers did that were first seen here within a day.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Fresh {
    /// Calls.
    pub calls: f64,
    /// Prompt and generated tokens.
    pub tokens: f64,
    /// USD.
    pub usd: f64,
    /// How many callers.
    pub callers: f64,
}

/// What else bears on a judgement.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Around {
    /// How far its peers (see [`Rhythm`](super::Rhythm)) had fallen together when the slot before closed, as a log
    /// ratio of at most 0: a holiday or an outage of many is one event of the fleet. `None` where too few could tell.
    pub fall: Option<f64>,
    /// Whether everything that belongs to the slot was read: where it was not, silence says nothing and
    /// nothing is learnt.
    pub complete: bool,
}

impl Default for Around {
    fn default() -> Self {
        Self { fall: None, complete: true }
    }
}
