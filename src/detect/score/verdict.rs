//! What a judgement says.

/// What gave the highest score.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Part {
    /// More tokens than the hour of the week explains.
    Tokens,
    /// More calls.
    Calls,
    /// More distinct callers.
    Callers,
    /// More calls than so few callers ever made.
    Concentration,
    /// More tokens per call.
    Size,
    /// More than was ever seen in a window of that length.
    Extreme,
    /// A level that stays raised for days, or creeps up.
    Drift,
    /// Traffic where there was none for weeks.
    Wake,
    /// Volume of callers first seen within a day.
    Fresh,
    /// Less than usual, but not nothing.
    Drop,
    /// Nothing, for longer than ever.
    Silence,
    /// More failed calls.
    Errors,
}

/// One part of the score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored {
    /// Which.
    pub part: Part,
    /// Length of its window in slots.
    pub slots: i64,
    /// At least 1 fires.
    pub score: f64,
    /// What was seen in the window, in the unit of the part.
    pub observed: f64,
    /// What was expected.
    pub expected: f64,
    /// Lower end of the band held normal; 0 where there is none.
    pub low: f64,
    /// Upper end of the band; infinite where there is none.
    pub high: f64,
}

/// The judgement of one slot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Verdict {
    /// Every part that could be judged, the highest score first.
    pub parts: Vec<Scored>,
    /// Whether traffic has fallen clearly: what the fleet's share counts.
    pub fallen: bool,
}

impl Verdict {
    /// The fused score: that of the highest part; it fires at 1. Zero where nothing could be judged.
    #[must_use]
    pub fn score(&self) -> f64 {
        self.parts.first().map_or(0.0, |part| part.score)
    }
}
