//! What a judgement says.

use super::measure::{Component, Regime};
use super::rhythm::Rhythm;

/// What people are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// More calls than the hour of the week and the last hours explain.
    Calls,
    /// More distinct callers.
    Callers,
    /// More callers than so many calls usually come from.
    FanOut,
    /// More tokens per call.
    Size,
    /// More tokens than were ever seen in such a window.
    MostTokens,
    /// More calls than were ever seen in such a window.
    MostCalls,
    /// More for days than the weeks before had.
    Raised,
    /// Traffic where there was none for weeks.
    Wake,
    /// Volume of callers first seen within a day.
    Fresh,
    /// Less than usual, but not nothing.
    Drop,
    /// Nothing, for longer than ever.
    Silence,
}

impl Part {
    /// A short name, for files and tables.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Calls => "calls",
            Self::Callers => "callers",
            Self::FanOut => "fan-out",
            Self::Size => "size",
            Self::MostTokens => "most-tokens",
            Self::MostCalls => "most-calls",
            Self::Raised => "raised",
            Self::Wake => "wake",
            Self::Fresh => "fresh",
            Self::Drop => "drop",
            Self::Silence => "silence",
        }
    }

    /// True where less than [`Scored::low`] is what was found, and not more than [`Scored::high`].
    #[must_use]
    pub const fn is_lower(self) -> bool {
        matches!(self, Self::Drop)
    }
}

/// One part of the score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Which.
    pub component: Component,
    /// What people are told of it.
    pub part: Part,
    /// Length of its window in slots.
    pub slots: i64,
    /// At least 1 fires; 0.5 more is ten times rarer.
    pub score: f64,
    /// What was seen in the window, in the unit of the part.
    pub observed: f64,
    /// What was expected.
    pub expected: f64,
    /// Lower end of the band held normal; 0 where there is none.
    pub low: f64,
    /// Upper end of the band; infinite where there is none.
    pub high: f64,
    /// The score before it is compared with others: in spreads, standard deviations or multiples.
    pub raw: f64,
    /// Logarithm to base ten of how often a deployment reaches `raw`, per week.
    pub rate: f64,
}

/// The judgement of one slot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Every part that could be judged, the highest score first.
    pub parts: Vec<Scored>,
    /// What kind of deployment it was before the slot.
    pub regime: Regime,
    /// How far calls of an hour have fallen, as a log ratio, which the fleet counts; `None` where too few were expected
    /// to say.
    pub fall: Option<f64>,
    /// Among which peers it counts.
    pub peers: Rhythm,
}

impl Verdict {
    /// The fused score: that of the highest part; it fires at 1. Zero where nothing could be judged.
    #[must_use]
    pub fn score(&self) -> f64 {
        self.parts.first().map_or(0.0, |part| part.score)
    }
}
