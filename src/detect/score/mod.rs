//! The statistical detector: one deployment's slots in, scores out. (Being written.)

pub mod observed;
pub mod verdict;

pub use observed::{Around, Fresh, Grid, Observed};
pub use verdict::{Part, Scored, Verdict};

/// What the operator may set.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct ScoreSettings {
    /// False alerts accepted per deployment and week.
    pub alerts_per_week: f64,
}

impl Default for ScoreSettings {
    fn default() -> Self {
        Self { alerts_per_week: 0.1 }
    }
}

/// Everything remembered of one deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    grid: Grid,
    mean: f64,
    seen: i64,
}

impl Memory {
    /// Of a deployment nobody has seen yet.
    #[must_use]
    pub const fn new(grid: Grid) -> Self {
        Self { grid, mean: 0.0, seen: 0 }
    }

    /// Judges the closed `slot` and learns from it.
    pub fn close(
        &mut self,
        slot: i64,
        seen: &Observed,
        _around: &Around,
        settings: &ScoreSettings,
    ) -> Verdict {
        let verdict = self.peek(slot, seen, settings);
        self.seen += 1;
        self.mean += 0.001 * (seen.tokens() - self.mean);
        verdict
    }

    /// Judges a slot that may still grow.
    #[must_use]
    pub fn peek(&self, _slot: i64, so_far: &Observed, _settings: &ScoreSettings) -> Verdict {
        if self.seen < self.grid.slots(86_400) {
            return Verdict::default();
        }
        let (observed, expected) = (so_far.tokens(), self.mean);
        let score = observed / (10.0 * expected + 1.0);
        let high = 10.0 * expected + 1.0;
        let part = Part::Tokens;
        let tokens = Scored { part, slots: 1, score, observed, expected, low: 0.0, high };
        Verdict { parts: vec![tokens], fallen: false }
    }

    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        Vec::new()
    }

    /// The inverse of [`Memory::to_bytes`].
    #[must_use]
    pub const fn from_bytes(_bytes: &[u8]) -> Option<Self> {
        None
    }
}
