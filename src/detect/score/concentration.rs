//! How many callers so many calls usually come from: a thief makes many calls with few addresses, and a
//! resold key few calls with many, while an ordinary burst brings its callers along.
//!
//! The resold key is told by a part of its own, the thief by the [odds](super::odds) of a rise.

use serde::{Deserialize, Serialize};

use super::ring::single;
use crate::detect::baseline::count_as_float;

/// Half octaves of calls per slot, up to 2²³.
const STEPS: usize = 48;
/// Slots that must have been seen before a step is believed.
const ENOUGH: f32 = 4.0;
/// A slot counts half after 46 days.
const KEPT_PER_DAY: f32 = 0.985;
/// Steps between the two points from which the curve is continued upwards.
const REACH: usize = 3;
/// Callers grow at most as calls do: ln 2 for two steps.
const STEEPEST: f64 = std::f64::consts::LN_2 / 2.0;

/// Mean callers by calls per slot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Concentration {
    /// Slots seen and the sum of their callers, by step.
    steps: Vec<(f32, f32)>,
}

impl Default for Concentration {
    fn default() -> Self {
        Self { steps: vec![(0.0, 0.0); STEPS] }
    }
}

impl Concentration {
    /// Learns from a slot with calls.
    pub fn add(&mut self, calls: f64, callers: f64) {
        if let Some(step) = self.steps.get_mut(step_of(place_of(calls))) {
            step.0 += 1.0;
            step.1 += single(callers);
        }
    }

    /// Lets the past fade; once a day.
    pub fn age(&mut self) {
        self.steps.iter_mut().for_each(|step| {
            *step = (step.0 * KEPT_PER_DAY, step.1 * KEPT_PER_DAY);
        });
    }

    /// Callers expected of a slot with so many calls, by straight lines in logarithms between the steps that
    /// were seen, and beyond the last as the curve went on before; `None` before anything was learnt.
    #[must_use]
    pub fn expected(&self, calls: f64) -> Option<f64> {
        if calls <= 0.0 {
            return Some(0.0);
        }
        let known = |step: &usize| self.log_mean(*step).is_some();
        let place = place_of(calls);
        let step = step_of(place);
        let last = (0..STEPS).rfind(known)?;
        let first = (0..STEPS).find(known)?;
        if step >= last {
            let beyond = (place - count_as_float(last) - 0.5).max(0.0);
            return Some((self.log_mean(last)? + self.slope(first, last) * beyond).exp());
        }
        if step < first {
            return Some(self.log_mean(first)?.exp().min(calls));
        }
        let below = (first..=step).rfind(known)?;
        let above = (below + 1..=last).find(known)?;
        let share =
            ((place - 0.5 - count_as_float(below)) / count_as_float(above - below)).clamp(0.0, 1.0);
        Some((self.log_mean(below)? * (1.0 - share) + self.log_mean(above)? * share).exp())
    }

    /// Callers of a slot that is as busy as any that was seen often enough; 0 before anything was learnt.
    #[must_use]
    pub fn most(&self) -> f64 {
        (0..STEPS).filter_map(|step| self.mean(step)).fold(0.0, f64::max)
    }

    fn slope(&self, first: usize, last: usize) -> f64 {
        let lower = (first..=last.saturating_sub(REACH))
            .rfind(|step| *step + REACH <= last && self.log_mean(*step).is_some());
        let ends = lower.and_then(|lower| {
            Some((self.log_mean(last)? - self.log_mean(lower)?) / count_as_float(last - lower))
        });
        ends.unwrap_or(0.0).clamp(0.0, STEEPEST)
    }

    fn log_mean(&self, step: usize) -> Option<f64> {
        self.mean(step).map(|callers| callers.max(0.1).ln())
    }

    fn mean(&self, step: usize) -> Option<f64> {
        let (slots, callers) = *self.steps.get(step)?;
        (slots >= ENOUGH).then(|| f64::from(callers / slots))
    }
}

/// Half octaves of a count, from 1 on.
fn place_of(calls: f64) -> f64 {
    (2.0 * calls.max(1.0).log2()).min(count_as_float(STEPS - 1))
}

#[expect(clippy::cast_possible_truncation, reason = "at most the number of steps")]
#[expect(clippy::cast_sign_loss, reason = "never negative")]
const fn step_of(place: f64) -> usize {
    place as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Calls of 40 people, of whom more come along the more calls there are.
    fn office() -> Concentration {
        let mut learnt = Concentration::default();
        for calls in 1..=200 {
            let calls = f64::from(calls);
            for _ in 0..5 {
                learnt.add(calls, 40.0 * (1.0 - (-calls / 60.0).exp()));
            }
        }
        learnt
    }

    #[test]
    fn an_ordinary_burst_brings_its_callers() {
        let learnt = office();
        for calls in [10.0_f64, 50.0, 150.0] {
            let truth = 40.0 * (1.0 - (-calls / 60.0).exp());
            let expected = learnt.expected(calls).unwrap();
            assert!((expected / truth).ln().abs() < 0.2, "{calls}: {expected} for {truth}");
        }
        let beyond = learnt.expected(2_000.0).unwrap();
        assert!((35.0..120.0).contains(&beyond), "{beyond}");
    }

    #[test]
    fn nothing_is_expected_before_anything_was_seen() {
        assert_eq!(Concentration::default().expected(5.0), None);
        assert_eq!(Concentration::default().expected(0.0), Some(0.0));
    }
}
