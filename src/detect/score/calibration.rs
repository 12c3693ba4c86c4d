//! How far a deployment usually strays from what is expected of it: a bursty one widens itself.
//!
//! Split conformal calibration (Vovk, Gammerman & Shafer 2005, ch. 4) in its simplest form: the log ratios of
//! past windows are kept as histograms, by how busy the deployment was expected to be, and a new ratio is
//! measured by their quantiles. What is left of the difference between deployments is the shape of their
//! tails, which is pooled (see `tails`).

use serde::{Deserialize, Serialize};

use super::ring::single;
use crate::detect::baseline::{as_float, count_as_float};

/// Bins of a histogram.
const BINS: usize = 96;
/// Log ratios from −3 to +3, a factor of 20 either way, in steps of 1/16.
const LOWEST: f64 = -3.0;
const WIDTH: f64 = 0.0625;
/// Loads told apart: see [`Load::of`].
const LOADS: usize = 4;
/// A ratio counts half after 46 days.
const KEPT_PER_DAY: f32 = 0.985;
/// What is left of a ratio that is forgotten: enough to judge by until others have come.
const FORGOTTEN: f32 = 0.05;
/// Share of a day that must have been seen before quantiles are believed.
const ENOUGH_DAYS: f64 = 0.7;

/// How busy a window was expected to be, against the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Load(usize);

impl Load {
    /// Below 0.3, 1 and 2 times the usual, or above.
    #[must_use]
    pub fn of(expected: f64, usual: f64) -> Self {
        let ratio = expected / usual.max(f64::MIN_POSITIVE);
        Self([0.3, 1.0, 2.0].iter().filter(|edge| ratio >= **edge).count())
    }
}

/// Quantiles of the log ratios of one load.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Spread {
    /// How many ratios there were, old ones counting less.
    count: f32,
    /// 0.5 %.
    low: f32,
    /// 50 %.
    middle: f32,
    /// 99.5 %.
    high: f32,
}

impl Spread {
    /// How far above the middle `ratio` lies, in units of the upper spread, at least `floor`.
    #[must_use]
    pub fn above(&self, ratio: f64, floor: f64) -> f64 {
        (ratio - f64::from(self.middle)) / f64::from(self.high - self.middle).max(floor)
    }

    /// How far below the middle, in units of the lower spread.
    #[must_use]
    pub fn below(&self, ratio: f64, floor: f64) -> f64 {
        (f64::from(self.middle) - ratio) / f64::from(self.middle - self.low).max(floor)
    }

    /// The ratio that lies `score` upper spreads above.
    #[must_use]
    pub fn ratio_above(&self, score: f64, floor: f64) -> f64 {
        f64::from(self.middle) + score * f64::from(self.high - self.middle).max(floor)
    }

    /// The ratio that lies `score` lower spreads below.
    #[must_use]
    pub fn ratio_below(&self, score: f64, floor: f64) -> f64 {
        f64::from(self.middle) - score * f64::from(self.middle - self.low).max(floor)
    }
}

/// Histograms of the log ratios of one window, by load, and their quantiles as of the last midnight.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    bins: Vec<f32>,
    spreads: [Spread; LOADS],
    whole: Spread,
}

impl Default for Calibration {
    fn default() -> Self {
        let spread = Spread::default();
        Self { bins: vec![0.0; LOADS * BINS], spreads: [spread; LOADS], whole: spread }
    }
}

impl Calibration {
    /// Adds the ratio of a closed window.
    pub fn add(&mut self, load: Load, ratio: f64) {
        if let Some(bin) = self.bins.get_mut(load.0 * BINS + bin_of(ratio)) {
            *bin += 1.0;
        }
    }

    /// The quantiles for this load, or of all loads together where it was seldom seen, with the further of the extreme
    /// ones of this load and the next to it: of a job that runs for some minutes of its hour, one load has all the runs, and
    /// the load that is a little higher hardly any, until one day. `None` before most of a day was seen.
    #[must_use]
    pub fn spread(&self, load: Load, slots_per_day: i64) -> Option<Spread> {
        let enough = single(ENOUGH_DAYS * as_float(slots_per_day));
        let own = self.spreads.get(load.0).copied();
        let spread = own.into_iter().chain([self.whole]).find(|spread| spread.count >= enough)?;
        let beside = [load.0.checked_sub(1), Some(load.0 + 1)].into_iter().flatten();
        let beside = beside.filter_map(|load| self.spreads.get(load));
        Some(beside.filter(|beside| beside.count >= enough).fold(spread, |spread, beside| Spread {
            low: spread.low.min(beside.low),
            high: spread.high.max(beside.high),
            ..spread
        }))
    }

    /// How far the largest ratios of all loads lie above the middle.
    #[must_use]
    pub fn width(&self) -> f64 {
        f64::from(self.whole.high - self.whole.middle)
    }

    /// Lets what was learnt so far count next to nothing, because what was expected was another thing then.
    pub fn forget(&mut self) {
        self.bins.iter_mut().for_each(|bin| *bin *= FORGOTTEN);
    }

    /// Takes the quantiles anew and lets the past fade; once a day.
    pub fn refit(&mut self) {
        let mut whole = [0.0; BINS];
        for (bins, spread) in self.bins.chunks_exact(BINS).zip(&mut self.spreads) {
            *spread = spread_of(bins);
            whole.iter_mut().zip(bins).for_each(|(sum, bin)| *sum += bin);
        }
        self.whole = spread_of(&whole);
        self.bins.iter_mut().for_each(|bin| *bin *= KEPT_PER_DAY);
    }
}

fn spread_of(bins: &[f32]) -> Spread {
    let count: f32 = bins.iter().sum();
    let [low, middle, high] = [0.005, 0.5, 0.995].map(|share| quantile(bins, share * count));
    Spread { count, low, middle, high }
}

/// The ratio below which `weight` lies, straight lines within a bin.
fn quantile(bins: &[f32], weight: f32) -> f32 {
    let mut below = 0.0;
    for (place, bin) in bins.iter().enumerate() {
        if *bin > 0.0 && below + bin >= weight {
            let edge = LOWEST + WIDTH * count_as_float(place);
            return single(edge + WIDTH * f64::from(((weight - below) / bin).clamp(0.0, 1.0)));
        }
        below += bin;
    }
    0.0
}

#[expect(clippy::cast_possible_truncation, reason = "clamped to the number of bins")]
#[expect(clippy::cast_sign_loss, reason = "clamped to be positive")]
#[expect(clippy::cast_precision_loss, reason = "96 is exact")]
fn bin_of(ratio: f64) -> usize {
    ((ratio - LOWEST) / WIDTH).clamp(0.0, (BINS - 1) as f64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fed(spread: f64) -> Spread {
        let mut calibration = Calibration::default();
        for n in 0..2000 {
            calibration.add(Load::of(1.0, 1.0), spread * f64::from(n % 101 - 50) / 50.0);
        }
        calibration.refit();
        calibration.spread(Load::of(1.0, 1.0), 288).unwrap()
    }

    #[test]
    fn a_bursty_deployment_widens_itself() {
        let (calm, bursty) = (fed(0.2), fed(1.5));
        assert!(calm.above(1.0, 0.1) > 4.0 * bursty.above(1.0, 0.1));
        assert!(calm.above(1.0, 2.0) < 0.6, "the floor holds");
        for score in [0.5, 1.0, 3.0] {
            let there = bursty.ratio_above(score, 0.1);
            assert!((bursty.above(there, 0.1) - score).abs() < 1e-6);
            let there = bursty.ratio_below(score, 0.1);
            assert!((bursty.below(there, 0.1) - score).abs() < 1e-6);
        }
    }

    #[test]
    fn what_the_next_load_does_is_not_odd() {
        let mut calibration = Calibration::default();
        let [calm, below, far] = [3.0, 1.5, 0.1].map(|expected| Load::of(expected, 1.0));
        for n in 0..2000 {
            let ratio = f64::from(n % 101 - 50) / 50.0;
            calibration.add(calm, 0.2 * ratio);
            calibration.add(below, ratio);
            calibration.add(far, 3.0 * ratio);
        }
        calibration.refit();
        let spread = calibration.spread(calm, 288).unwrap();
        assert!((spread.above(1.0, 0.1) - 1.0).abs() < 0.1, "{}", spread.above(1.0, 0.1));
        assert!((spread.below(-1.0, 0.1) - 1.0).abs() < 0.1, "{}", spread.below(-1.0, 0.1));
    }

    #[test]
    fn too_little_says_nothing_and_rare_loads_borrow() {
        let mut calibration = Calibration::default();
        let (usual, quiet) = (Load::of(1.5, 1.0), Load::of(0.1, 1.0));
        assert_ne!(usual, quiet);
        (0..100).for_each(|_| calibration.add(usual, 0.3));
        calibration.refit();
        assert_eq!(calibration.spread(usual, 288), None);
        (0..300).for_each(|_| calibration.add(usual, 0.3));
        calibration.refit();
        assert_eq!(calibration.spread(quiet, 288), calibration.spread(usual, 288));
    }
}
