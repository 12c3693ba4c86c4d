//! The statistical detector: one deployment's slots in, scores out. (A stand-in: the mean of two days.)

pub mod observed;
pub mod verdict;

use serde::{Deserialize, Serialize};

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

/// Peers in the fleet gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Rhythm(u8);

/// Counts of one slot over a fleet.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Fleet {
    judged: u32,
    fallen: u32,
}

impl Fleet {
    /// Counts a deployment.
    pub fn note(&mut self, _rhythm: Rhythm, fallen: bool) {
        self.judged += 1;
        self.fallen += u32::from(fallen);
    }

    /// Share of its peers that have fallen.
    #[must_use]
    pub fn share(&self, _rhythm: Rhythm) -> f64 {
        f64::from(self.fallen) / f64::from(self.judged.max(1))
    }
}

/// What people said about a span of slots.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Heed {
    /// These hours are put back to what was expected.
    Exclude {
        /// First slot.
        from: i64,
        /// First slot after.
        until: i64,
    },
    /// Everything before is brought to another level.
    Level {
        /// First slot of the new level.
        from: i64,
        /// Of tokens, calls and callers.
        factors: [f64; 3],
    },
}

/// Everything remembered of one deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct Memory {
    first: i64,
    next: i64,
    tokens: f64,
    calls: f64,
    hour: [f64; 12],
    falling: f64,
    quiet: f64,
}

const NONE: i64 = i64::MIN;

impl Memory {
    /// Of a deployment nobody has seen yet.
    #[must_use]
    pub const fn new(_grid: Grid) -> Self {
        Self {
            first: NONE,
            next: NONE,
            tokens: 0.0,
            calls: 0.0,
            hour: [0.0; 12],
            falling: 0.0,
            quiet: 0.0,
        }
    }

    /// Judges the closed `slot` and learns from it.
    pub fn close(
        &mut self,
        slot: i64,
        seen: &Observed,
        around: &Around,
        settings: &ScoreSettings,
    ) -> Verdict {
        if self.first == NONE {
            (self.first, self.next) = (slot, slot);
        }
        (self.next..slot).for_each(|_| self.push(0.0));
        let mut verdict = self.peek(std::slice::from_ref(seen), settings);
        self.quiet = if seen.calls > 0.0 { 0.0 } else { self.quiet + 1.0 };
        let (missed, bound) = (self.quiet * self.calls, 4.0);
        if slot - self.first > 288 && around.complete && self.quiet >= 6.0 {
            verdict.parts.push(Scored {
                part: Part::Silence,
                slots: i64::from(self.quiet as u32),
                score: missed / bound * (1.0 - around.falling / 2.0),
                observed: 0.0,
                expected: missed,
                low: bound,
                high: f64::INFINITY,
            });
        }
        verdict.parts.sort_by(|a, b| b.score.total_cmp(&a.score));
        verdict.fallen = missed > 1.0;
        self.falling += around.falling;
        self.push(seen.tokens());
        if verdict.score() < 1.0 && around.complete {
            let share = 0.002_f64.max(1.0 / ((slot - self.first + 1) as f64));
            self.tokens += share * (seen.tokens() - self.tokens);
            self.calls += share * (seen.calls - self.calls);
        }
        self.next = slot + 1;
        verdict
    }

    fn push(&mut self, tokens: f64) {
        self.hour.rotate_left(1);
        self.hour[11] = tokens;
    }

    /// Judges slots that may still grow.
    #[must_use]
    pub fn peek(&self, open: &[Observed], _settings: &ScoreSettings) -> Verdict {
        if self.next - self.first < 3 * 288 {
            return Verdict::default();
        }
        let closed = self.hour.iter().rev().take(12_usize.saturating_sub(open.len()));
        let observed = closed.sum::<f64>() + open.iter().map(Observed::tokens).sum::<f64>();
        let expected = 12.0 * self.tokens;
        let high = 6.0 * expected + 1.0 + self.falling * 1e-3;
        let (part, score) = (Part::Tokens, observed / high);
        let tokens = Scored { part, slots: 12, score, observed, expected, low: 0.0, high };
        Verdict { parts: vec![tokens], fallen: false }
    }

    /// The slot that is expected next.
    #[must_use]
    pub fn next(&self) -> Option<i64> {
        (self.next != NONE).then_some(self.next)
    }

    /// True right after the close that ended a day of its own.
    #[must_use]
    pub const fn is_day_done(&self) -> bool {
        self.next != NONE && (self.next - self.first) % 288 == 0
    }

    /// Peers in the fleet gate.
    #[must_use]
    pub const fn rhythm(&self) -> Rhythm {
        Rhythm(24)
    }

    /// Heeds what people said.
    pub fn heed(&mut self, lesson: Heed) {
        match lesson {
            Heed::Exclude { .. } => {}
            Heed::Level { factors, .. } => {
                self.tokens *= factors[0];
                self.calls *= factors[1];
            }
        }
    }

    /// As bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let numbers = [self.tokens, self.calls, self.falling, self.quiet].into_iter();
        let whole = [self.first, self.next].map(i64::to_le_bytes).into_iter();
        whole.chain(numbers.chain(self.hour).map(f64::to_le_bytes)).flatten().collect()
    }

    /// The inverse of [`Memory::to_bytes`].
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (chunks, []) = bytes.as_chunks::<8>() else { return None };
        let chunks: [[u8; 8]; 18] = chunks.try_into().ok()?;
        let number = |at: usize| f64::from_le_bytes(chunks[at]);
        Some(Self {
            first: i64::from_le_bytes(chunks[0]),
            next: i64::from_le_bytes(chunks[1]),
            tokens: number(2),
            calls: number(3),
            falling: number(4),
            quiet: number(5),
            hour: std::array::from_fn(|at| number(6 + at)),
        })
    }
}
