//! The parts of a score: each looks at one window in one way.

use super::calibration::{Load, Spread};
use super::extreme::Extreme;
use super::signal::Open;
use super::statistics::{log_ratio, seen_at};
use super::verdict::Part;

/// Kinds of deployments whose tails differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Regime {
    /// Calls in most slots.
    Busy,
    /// Calls in fewer than six of ten slots.
    Idle,
    /// Known for less than a week: neither its weekend nor its own spreads are known.
    #[default]
    New,
    /// Known for less than two weeks: its own spreads are not to be trusted yet.
    Young,
    /// As old as these two, and perhaps one client alone, which erupts where the calls of many add up to something
    /// calm: of its callers one at a time is seen, or none; or its hours stray far already.
    Wild,
    /// Of which calls are known, and neither tokens nor callers ever were.
    Bare,
}

impl Regime {
    /// Every regime, by its name in `models/detection.csv`.
    pub const ALL: [(Self, &str); 6] = [
        (Self::Busy, "busy"),
        (Self::Idle, "idle"),
        (Self::New, "new"),
        (Self::Young, "young"),
        (Self::Wild, "wild"),
        (Self::Bare, "bare"),
    ];
}

/// One way of looking, in the order of [`COMPONENTS`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Component {
    /// Calls of a slot against the rhythm and the last hours.
    CallsSlot,
    /// The same of an hour.
    CallsHour,
    /// Distinct callers of an hour against the rhythm.
    CallersHour,
    /// More callers in an hour than so many calls usually come from.
    FanOut,
    /// Tokens per call in a slot and in an hour, against the last week.
    Size,
    /// Tokens of an hour against the most there ever were.
    MostTokens,
    /// Calls of an hour against the most there ever were.
    MostCalls,
    /// For days more than the weeks before had.
    Raised,
    /// Fewer calls in eight hours than the rhythm has.
    Drop,
    /// Fewer calls in an hour than the rhythm has, where calls are all that is known.
    Fall,
    /// Nothing, for longer than ever.
    Silence,
    /// Calls after two weeks of none.
    Wake,
    /// Tokens in an hour from callers first seen within a day.
    Fresh,
    /// Calls of a slot against the rhythm by how far they usually lie from it, where calls are all that is known, and
    /// of one client alone.
    Season,
    /// More calls, from few callers where they are known, than the level that is followed slot by slot explains.
    OddsRise,
    /// Fewer calls for an hour than that level explains.
    OddsFall,
}

impl Component {
    /// True where more calls can only raise the score, so that a slot that still grows may be judged.
    #[must_use]
    pub const fn fires_early(self) -> bool {
        match self {
            Self::CallsSlot
            | Self::CallsHour
            | Self::MostTokens
            | Self::MostCalls
            | Self::Wake
            | Self::Fresh
            | Self::Season => true,
            Self::CallersHour
            | Self::FanOut
            | Self::Size
            | Self::Raised
            | Self::Drop
            | Self::Fall
            | Self::OddsRise
            | Self::OddsFall
            | Self::Silence => false,
        }
    }
}

/// Shares of the false alerts: what thirty per cent more do for days hardly stands out, and gets 2.5 times as many;
/// what silence or dear calls do stands far out, and needs no more than 0.4 times as many.
const MORE: f64 = 0.4;
const LESS: f64 = -0.4;

/// What a component is called, where it belongs and how long it looks.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// Which.
    pub id: Component,
    /// Its name in `models/detection.csv`.
    pub name: &'static str,
    /// What people are told.
    pub part: Part,
    /// Length of its window in seconds.
    pub seconds: i64,
}

impl Kind {
    /// True where the largest scores of earlier days say nothing: what creeps would become its own yardstick.
    #[must_use]
    pub const fn is_absolute(&self) -> bool {
        matches!(self.id, Component::Raised | Component::Wake | Component::Season)
    }

    /// Logarithm to base ten of its share of the false alerts, against parts that have 0. Of deployments younger than
    /// two weeks, and of rises of bare ones, too little is known to tell parts apart.
    #[must_use]
    pub const fn share(&self, regime: Regime) -> f64 {
        let is_grown = matches!(regime, Regime::Busy | Regime::Idle);
        match self.id {
            Component::Fall => LESS,
            _ if !is_grown => 0.0,
            Component::Raised if matches!(regime, Regime::Busy) => MORE,
            Component::Raised
            | Component::FanOut
            | Component::Size
            | Component::MostTokens
            | Component::Silence => LESS,
            Component::CallsSlot
            | Component::CallsHour
            | Component::CallersHour
            | Component::MostCalls
            | Component::Drop
            | Component::Wake
            | Component::Fresh
            | Component::OddsRise
            | Component::OddsFall
            | Component::Season => 0.0,
        }
    }

    /// True where chance plays no part, so that there is no tail.
    #[must_use]
    pub const fn is_certain(&self) -> bool {
        matches!(self.id, Component::Wake)
    }
}

const fn kind(id: Component, name: &'static str, part: Part, seconds: i64) -> Kind {
    Kind { id, name, part, seconds }
}

/// Every component; `models/README.md` has the table of what is lost without it.
pub static COMPONENTS: [Kind; 16] = [
    kind(Component::CallsSlot, "calls-5m", Part::Calls, 300),
    kind(Component::CallsHour, "calls-1h", Part::Calls, 3600),
    kind(Component::CallersHour, "callers-1h", Part::Callers, 3600),
    kind(Component::FanOut, "fan-out-1h", Part::FanOut, 3600),
    kind(Component::Size, "size-1h", Part::Size, 3600),
    kind(Component::MostTokens, "most-tokens-1h", Part::MostTokens, 3600),
    kind(Component::MostCalls, "most-calls-1h", Part::MostCalls, 3600),
    kind(Component::Raised, "raised", Part::Raised, 3 * 86_400),
    kind(Component::Drop, "drop-8h", Part::Drop, 8 * 3600),
    kind(Component::Fall, "drop-1h", Part::Drop, 3600),
    kind(Component::Silence, "silence", Part::Silence, 300),
    kind(Component::Wake, "wake-1h", Part::Wake, 3600),
    kind(Component::Fresh, "fresh-1h", Part::Fresh, 3600),
    kind(Component::Season, "season-5m", Part::Calls, 300),
    kind(Component::OddsRise, "odds-rise", Part::Calls, 300),
    kind(Component::OddsFall, "odds-fall", Part::Drop, 300),
];

/// Odds of so many natural logarithms count 1: an ordinary deployment reaches that every day.
const NATS: f64 = 3.0;

/// By what a window is measured.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Yardstick {
    /// Own upper spreads above the middle.
    Above(Spread),
    /// Own lower spreads below the middle.
    Below(Spread),
    /// Multiples of a distance; of one below zero where little is what is looked for.
    Distance(f64),
    /// Half as much again as the most there was.
    Most,
    /// Multiples of a log ratio.
    Log(f64),
    /// Multiples of what is expected.
    Times,
    /// The logarithm of the odds that each of what lies beyond the expected adds, in [`NATS`].
    Odds(f64),
    /// By nothing yet: it is only learnt from.
    Unknown,
}

/// One window as one component sees it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Measured {
    /// Which component.
    pub id: Component,
    /// Length of the window in slots.
    pub slots: i64,
    /// What was seen.
    pub seen: f64,
    /// What is expected.
    pub expected: f64,
    /// What is added to both before they are compared.
    pub floor: f64,
    /// Smallest spread that is believed.
    pub least: f64,
    /// By what it is measured.
    pub by: Yardstick,
}

impl Measured {
    /// The log ratio of what was seen to what is expected.
    pub(super) fn ratio(&self) -> f64 {
        log_ratio(self.seen, self.expected, self.floor)
    }

    /// The score, in the unit of the yardstick.
    pub(super) fn raw(&self) -> f64 {
        match self.by {
            Yardstick::Above(spread) => spread.above(self.ratio(), self.least),
            Yardstick::Below(spread) => spread.below(self.ratio(), self.least),
            Yardstick::Distance(unit) => (self.seen - self.expected) / unit,
            Yardstick::Most => (1.0 + self.ratio() / Extreme::ratio(2.0)).max(0.0),
            Yardstick::Log(unit) => self.ratio() / unit,
            Yardstick::Times => self.seen / self.expected,
            Yardstick::Odds(each) => (self.seen - self.expected) * each / NATS,
            Yardstick::Unknown => 0.0,
        }
    }

    /// What must be seen for [`Measured::raw`] to be `raw`.
    pub(super) fn bound(&self, raw: f64) -> f64 {
        let at = |ratio: f64| seen_at(ratio, self.expected, self.floor);
        match self.by {
            Yardstick::Above(spread) => at(spread.ratio_above(raw, self.least)),
            Yardstick::Below(spread) => at(spread.ratio_below(raw, self.least)),
            Yardstick::Distance(unit) => (self.expected + raw * unit).max(0.0),
            Yardstick::Most => at(Extreme::ratio(raw)),
            Yardstick::Log(unit) => at(raw * unit),
            Yardstick::Times => raw * self.expected,
            Yardstick::Odds(0.0) => f64::INFINITY,
            Yardstick::Odds(each) => (self.expected + raw * NATS / each).max(0.0),
            Yardstick::Unknown => f64::INFINITY,
        }
    }

    /// True where little is what is looked for.
    pub(super) const fn is_lower(&self) -> bool {
        match self.by {
            Yardstick::Below(_) => true,
            Yardstick::Odds(sign) | Yardstick::Distance(sign) => sign < 0.0,
            Yardstick::Above(_)
            | Yardstick::Most
            | Yardstick::Log(_)
            | Yardstick::Times
            | Yardstick::Unknown => false,
        }
    }
}

/// Sums of the slots that are open, for windows of at most `count` slots.
pub(super) fn open_sums(slots: &[[f64; 3]], count: i64) -> Open {
    let newest = usize::try_from(count).unwrap_or(0).min(slots.len());
    let sum = slots.iter().rev().take(newest).fold([0.0; 3], |sum, slot| {
        let [seen, high, low] = *slot;
        let [all, highs, lows] = sum;
        [all + seen, highs + high, lows + low]
    });
    let [seen, high, low] = sum;
    Open { count: i64::try_from(newest).unwrap_or(0), seen, high, low }
}

/// How busy a window was expected to be.
pub(super) fn load(expected: f64, usual: f64, slots: i64) -> Load {
    Load::of(expected, usual * crate::detect::baseline::as_float(slots))
}

#[cfg(test)]
mod tests {
    use super::super::calibration::Calibration;
    use super::*;

    fn spread() -> Spread {
        let mut calibration = Calibration::default();
        for n in 0..1_000 {
            calibration.add(Load::of(1.0, 1.0), f64::from(n % 21 - 10) / 12.0);
        }
        calibration.refit();
        calibration.spread(Load::of(1.0, 1.0), 288).unwrap()
    }

    #[test]
    fn a_bound_is_what_must_be_seen() {
        for by in [
            Yardstick::Above(spread()),
            Yardstick::Below(spread()),
            Yardstick::Odds(0.02),
            Yardstick::Odds(-0.06),
            Yardstick::Distance(15.0),
            Yardstick::Distance(-15.0),
            Yardstick::Most,
            Yardstick::Log(0.2),
            Yardstick::Times,
        ] {
            let measured = Measured {
                id: Component::CallsHour,
                slots: 12,
                seen: 0.0,
                expected: 120.0,
                floor: 10.0,
                least: 0.4,
                by,
            };
            for raw in [0.3, 1.0, 1.8] {
                let at = Measured { seen: measured.bound(raw), ..measured };
                assert!((at.raw() - raw).abs() < 1e-6, "{by:?}: {} for {raw}", at.raw());
            }
        }
    }
}
