//! The statistical detector: the slots of one deployment in, scores out.
//!
//! ```text
//! observed → signal (profile × shape × level) → measure (windows, by own calibration; odds) → tails (how rare) → control → verdict
//! ```
//!
//! [`Memory`] is everything remembered of one deployment. A slot that closes is first judged, by what was known
//! before it, and then learnt, unless it was anomalous. Each [component](measure::COMPONENTS) measures one
//! window by a yardstick of the deployment's own, or says by what [odds] an attack explains it better; the pooled
//! [tails] say how rarely such a score is reached; the rarest part is the score; and [control] turns the rate that
//! the operator set into the level at which this deployment fires. So the setting is a number of false alerts, and not a threshold.
//!
//! The formulae were found on labelled series; `models/README.md` has the figures.

mod belief;
pub mod calibration;
pub mod clocks;
pub mod concentration;
pub mod control;
pub mod distance;
pub mod extreme;
mod learn;
pub mod measure;
pub mod observed;
pub mod odds;
pub mod own;
pub mod raised;
pub mod rhythm;
pub mod ring;
pub mod seasons;
pub mod shape;
mod sight;
pub mod signal;
pub mod silence;
mod statistics;
mod tails;
#[cfg(test)]
mod tests;
pub mod verdict;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use learn::Heed;
pub use observed::{Around, Fresh, Grid, Observed};
pub use rhythm::{Fleet, Rhythm};
pub use tails::{Points, Tails};
pub use verdict::{Part, Scored, Verdict};

use calibration::Calibration;
use concentration::Concentration;
use control::Control;
use distance::Distance;
use extreme::Extreme;
use learn::Odd;
use measure::Component;
use odds::Odds;
use own::Own;
use raised::Raised;
use ring::Ring;
use shape::Shape;
use signal::Signal;
use silence::Silence;

/// What the operator may set, and what rarity is read from.
#[derive(Debug, Clone, PartialEq)]
pub struct ScoreSettings {
    /// False alerts accepted per deployment and week; 0.1 is one in ten weeks.
    pub alerts_per_week: f64,
    /// How rare scores are: those that are compiled in, but for fitting them anew.
    pub tails: Arc<Tails>,
}

impl Default for ScoreSettings {
    fn default() -> Self {
        Self { alerts_per_week: 0.1, tails: Tails::of_program() }
    }
}

/// Less than this is never worth a ratio, and seconds of the longest window: tokens, calls and callers of a slot.
const UNITS: [(f64, i64); 3] = [(300.0, 3600), (0.3, 8 * 3600), (0.3, 3600)];
/// Seconds for which a fall of the fleet excuses one: as long as the window of falls.
const FALLING_SECONDS: i64 = 7200;
/// Stands for a fall of the peers where too few could tell.
const ALONE: f64 = 1.0;
/// A fall of the peers, as a log ratio, from which on a slot that falls with them is not learnt.
const TOGETHER: f64 = -0.3;

/// A clear fall against the rhythm: to less than 60 %.
const FALLEN_RATIO: f64 = -0.5;

/// Days without a slot after which a deployment begins anew: as many as hours are learnt from.
const FORGOTTEN_DAYS: i64 = 28;

/// Everything remembered of one deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Memory {
    grid: Grid,
    /// The first slot ever closed, and the first with calls.
    awaited: Option<i64>,
    born: Option<i64>,
    /// Slots closed since.
    age: i64,
    tokens: Signal,
    calls: Signal,
    callers: Signal,
    /// Whether callers, and tokens, were ever known.
    knows_callers: bool,
    knows_tokens: bool,
    /// Callers expected for the calls of each slot.
    callers_for_calls: Ring,
    concentration: Concentration,
    shape: Shape,
    calibrations: Calibrations,
    /// How far calls usually lie from the rhythm.
    distance: Distance,
    most_tokens: Extreme,
    most_calls: Extreme,
    most_fresh: Extreme,
    raised: Raised,
    /// How far its peers fell in the last two hours; [`ALONE`] where too few could tell.
    falls: Ring,
    /// Calls expected of falls, as far as peers kept theirs, by slot.
    kept: Ring,
    /// Age at which some of them last could, and how far they fell then.
    last_fall: Option<(i64, f64)>,
    fresh: Ring,
    knows_fresh: bool,
    silence: Silence,
    odds: Odds,
    /// Calls after weeks of silence have been told of until the day ends.
    quiet_days: i64,
    /// Share of slots with calls, by day.
    active: Ring,
    active_today: f64,
    /// Tokens and calls of what was learnt lately, before the last two hours.
    lately: [f64; 2],
    /// The same of the hour that has begun, and of the one before.
    hours: [[f64; 2]; 2],
    /// Slots left out of learning in a row, and in days by day.
    frozen_run: i64,
    frozen: Ring,
    frozen_today: f64,
    /// Largest scores by day, in the order of the components.
    own: Vec<Own>,
    rhythm: Rhythm,
    control: Control,
}

/// How far each window usually strays.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
struct Calibrations {
    calls_slot: Calibration,
    calls_hour: Calibration,
    callers_hour: Calibration,
    mix: Calibration,
    size_slot: Calibration,
    size: Calibration,
    drop: Calibration,
}

impl Calibrations {
    fn all(&mut self) -> impl Iterator<Item = &mut Calibration> {
        let Self { calls_slot, calls_hour, callers_hour, mix, size_slot, size, drop } = self;
        [calls_slot, calls_hour, callers_hour, mix, size_slot, size, drop].into_iter()
    }
}

impl Memory {
    /// Of a deployment nobody has seen yet.
    #[must_use]
    pub fn new(grid: Grid) -> Self {
        let [tokens, calls, callers] =
            UNITS.map(|(unit, longest)| Signal::new(grid, unit, longest));
        Self {
            grid,
            awaited: None,
            born: None,
            age: 0,
            tokens,
            calls,
            callers,
            knows_callers: false,
            knows_tokens: false,
            callers_for_calls: Ring::new(grid.slots(3600) + 1),
            concentration: Concentration::default(),
            shape: Shape::new(grid),
            calibrations: Calibrations::default(),
            distance: Distance::default(),
            most_tokens: Extreme::default(),
            most_calls: Extreme::default(),
            most_fresh: Extreme::default(),
            raised: Raised::default(),
            falls: Ring::new(grid.slots(FALLING_SECONDS)),
            kept: Ring::new(grid.slots(UNITS[1].1)),
            last_fall: None,
            fresh: Ring::new(grid.slots(3600) + 1),
            knows_fresh: false,
            silence: Silence::default(),
            odds: Odds::new(grid),
            quiet_days: 0,
            active: Ring::new(14),
            active_today: 0.0,
            lately: [0.0; 2],
            hours: [[0.0; 2]; 2],
            frozen_run: 0,
            frozen: Ring::new(14),
            frozen_today: 0.0,
            own: measure::COMPONENTS.iter().map(|kind| Own::new(!kind.is_absolute())).collect(),
            rhythm: Rhythm::Unknown,
            control: Control::default(),
        }
    }

    /// Judges the slot, which has closed, and learns from it. Slots must come in order; those in between that
    /// are left out count as nothing seen, and a slot before the last is not judged.
    pub fn close(
        &mut self,
        slot: i64,
        seen: &Observed,
        around: &Around,
        settings: &ScoreSettings,
    ) -> Verdict {
        if let Some(next) =
            self.next().filter(|next| slot - next > FORGOTTEN_DAYS * self.grid.per_day())
        {
            // Nothing of the old rhythm is remembered over so long a gap, but that it was a gap is.
            *self = Self { awaited: Some(next), ..Self::new(self.grid) };
        }
        let Some(born) = self.born_by(slot, seen) else { return Verdict::default() };
        if slot < born + self.age {
            return Verdict::default();
        }
        while born + self.age < slot {
            self.step(&Observed::default(), &Around::default(), settings);
        }
        self.step(seen, around, settings)
    }

    /// The first slot with calls. What lies before it is not history, but a long wait is remembered: traffic after
    /// it is a wake.
    fn born_by(&mut self, slot: i64, seen: &Observed) -> Option<i64> {
        let awaited = *self.awaited.get_or_insert(slot);
        let is_empty = seen.calls <= 0.0 && seen.tokens() <= 0.0;
        if self.born.is_none() && !is_empty {
            self.born = Some(slot);
            self.quiet_days = (slot - awaited) / self.grid.per_day();
        }
        self.born
    }

    /// Judges slots that may still grow: `open` are the sums so far of those from the first that has not closed
    /// on, and the last of them is judged. Upper tails of counts alone, since ratios may still fall; nothing
    /// where an earlier hour has an open slot, because its band would change with that hour.
    #[must_use]
    pub fn peek(&self, open: &[Observed], settings: &ScoreSettings) -> Verdict {
        let place = self.age.rem_euclid(self.grid.per_hour());
        let count = i64::try_from(open.len()).unwrap_or(i64::MAX);
        if self.born.is_none() || count == 0 || place + count > self.grid.per_hour() {
            return Verdict::default();
        }
        let frame = self.frame(open);
        let sights = self.sights(&frame, &Around { fall: None, complete: false });
        let early = sights.into_iter().filter(|sight| sight.measured.id.fires_early());
        let parts = self.scored(&early.collect::<Vec<_>>(), settings);
        Verdict { parts, regime: self.regime(), ..Verdict::default() }
    }

    /// The slot that closes next; `None` before the first.
    #[must_use]
    pub fn next(&self) -> Option<i64> {
        self.born.map(|born| born + self.age)
    }

    /// True right after the slot that ended a day of the deployment's own, which is counted from its first slot:
    /// the moment to save it.
    #[must_use]
    pub const fn is_day_done(&self) -> bool {
        self.age > 0 && self.age % self.grid.per_day() == 0
    }

    /// Its peers in the fleet.
    #[must_use]
    pub const fn rhythm(&self) -> Rhythm {
        self.rhythm
    }

    fn step(&mut self, seen: &Observed, around: &Around, settings: &ScoreSettings) -> Verdict {
        let together = around.fall.unwrap_or(ALONE);
        self.falls.push(together);
        self.last_fall = around.fall.map(|fall| (self.age, fall)).or(self.last_fall);
        let regime = self.regime();
        let mut frame = self.frame(&[*seen]);
        frame.together = self.together();
        frame.odds = Some(self.hear(&frame, seen, around.complete));
        let sights = self.sights(&frame, around);
        let parts = self.scored(&sights, settings);
        let fall = self.fallen(&frame).filter(|_| around.complete);
        let fired = parts.first().is_some_and(|part| part.score >= 1.0);
        let odd = fired
            || (together < TOGETHER && fall.is_some_and(|fall| fall < FALLEN_RATIO))
            || !around.complete;
        let raised =
            parts.iter().any(|part| part.component == Component::Raised && part.score >= 1.0);
        self.learn(seen, &frame, &sights, Odd { left_out: odd, raised });
        if around.complete {
            self.control.close(self.grid.slot_seconds, fired);
        }
        self.end_slot();
        Verdict { parts, regime, fall, peers: self.rhythm }
    }
}

impl Memory {
    /// As bytes, at most 32 KiB.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![FORM];
        if let Ok(body) = postcard::to_allocvec(self) {
            bytes.extend(body);
        }
        bytes
    }

    /// The inverse of [`Memory::to_bytes`]; `None` for what another version wrote.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (form, body) = bytes.split_first()?;
        if *form == FORM { postcard::from_bytes(body).ok() } else { None }
    }
}

/// First byte of a saved memory; another number where its shape has changed.
const FORM: u8 = 11;
