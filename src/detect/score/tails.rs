//! How rare a score is: the pooled tails of each part, from `models/detection.csv`.
//!
//! A score that is measured by a deployment's own spread still has a tail of its own kind: sums of an hour fall
//! off faster than slots, deployments that are mostly idle slower than busy ones. The tails are those of
//! thousands of simulated deployment-weeks without attacks, as straight lines between a few points in the
//! logarithm of the rate, continued beyond the last as they fell before. `models/README.md` says how they are
//! made.

use std::sync::LazyLock;

use super::measure::{COMPONENTS, Component, Regime};

/// Points of a tail: one alert per deployment in 1, 3.2, 10, 32 and 100 weeks.
pub(super) const POINTS: usize = 5;
/// Decades between two points.
const STEP: f64 = 0.5;
/// Kinds of deployments.
const REGIMES: usize = Regime::ALL.len();
/// No alert at all: a score below the first point.
const NEVER: f64 = 9.0;

/// The table that is compiled in.
const TABLE: &str = include_str!("../../../models/detection.csv");

static TAILS: LazyLock<Tails> = LazyLock::new(|| Tails::read(TABLE));

/// Scores by how often they are reached.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tails {
    /// By component and regime.
    parts: Vec<[[f64; POINTS]; REGIMES]>,
    /// Of all parts together: the logarithm of the rate of the rarest part, by how often it is reached, by
    /// regime.
    fused: [[f64; POINTS]; REGIMES],
}

impl Tails {
    /// Those that are compiled in.
    pub(super) fn of_program() -> &'static Self {
        &TAILS
    }

    /// Reads lines of name, regime and points; what is not understood has no tail and never fires.
    fn read(table: &str) -> Self {
        let mut tails = Self {
            parts: vec![[[f64::MAX; POINTS]; REGIMES]; COMPONENTS.len()],
            fused: [[-NEVER; POINTS]; REGIMES],
        };
        for line in table.lines().filter(|line| !line.starts_with('#')) {
            let mut fields = line.split(',');
            let (Some(name), Some(regime)) = (fields.next(), fields.next()) else { continue };
            let mut points = [f64::MAX; POINTS];
            for (point, field) in points.iter_mut().zip(fields) {
                *point = field.trim().parse().unwrap_or(f64::MAX);
            }
            let Some(regime) = Regime::ALL.iter().position(|(_, known)| *known == regime) else {
                continue;
            };
            let place = COMPONENTS.iter().position(|component| component.name == name);
            let row = match place {
                Some(place) => tails.parts.get_mut(place),
                None => Some(&mut tails.fused).filter(|_| name == "fused"),
            };
            if let Some(tail) = row.and_then(|row| row.get_mut(regime)) {
                *tail = points;
            }
        }
        tails
    }

    /// Logarithm to base ten of how often a deployment reaches `score` in this part, per week.
    pub(super) fn rate(&self, component: Component, regime: Regime, score: f64) -> f64 {
        self.points(component, regime).map_or(NEVER, |points| rate_at(points, score))
    }

    /// The score of this part that is reached as often as 10^`rate` per week; infinite where none is.
    pub(super) fn score(&self, component: Component, regime: Regime, rate: f64) -> f64 {
        self.points(component, regime).map_or(f64::INFINITY, |points| score_at(points, rate))
    }

    /// The rate of the rarest part at which all parts together fire as often as 10^`rate` per week.
    pub(super) fn level(&self, regime: Regime, rate: f64) -> f64 {
        // Rates of parts fall as scores rise.
        let points = self.fused.get(regime as usize).copied().unwrap_or([-NEVER; POINTS]);
        -score_at(&points.map(|point| -point), rate)
    }

    fn points(&self, component: Component, regime: Regime) -> Option<&[f64; POINTS]> {
        let regimes = self.parts.get(component as usize)?;
        regimes.get(regime as usize).filter(|points| points.iter().all(|p| *p < f64::MAX))
    }
}

/// Where `score` lies between points that stand half a decade apart, from once a week on.
fn rate_at(points: &[f64; POINTS], score: f64) -> f64 {
    let [first, ..] = *points;
    if score < first {
        return NEVER;
    }
    let mut rate = 0.0;
    let mut last = (first, slope(points));
    for pair in points.windows(2) {
        let &[from, to] = pair else { continue };
        if score < to {
            return rate - STEP * (score - from) / (to - from).max(1e-9);
        }
        rate -= STEP;
        last.0 = to;
    }
    rate - STEP * (score - last.0) / last.1
}

/// The inverse of [`rate_at`], as far as it has one.
fn score_at(points: &[f64; POINTS], rate: f64) -> f64 {
    let [first, ..] = *points;
    let mut at = 0.0;
    let mut last = first;
    for pair in points.windows(2) {
        let &[from, to] = pair else { continue };
        if rate > at - STEP {
            return from + (to - from) * ((at - rate) / STEP).max(0.0);
        }
        at -= STEP;
        last = to;
    }
    last + slope(points) * (at - rate) / STEP
}

/// Scores per half decade beyond the last point: as over the last decade.
fn slope(points: &[f64; POINTS]) -> f64 {
    let [.., before, _, last] = *points;
    ((last - before) / 2.0).max(0.02)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_scores_are_each_others_inverse() {
        let points = [1.0, 1.5, 2.0, 2.2, 2.6];
        for score in [1.0, 1.2, 1.9, 2.3, 2.6, 4.0, 9.0] {
            let rate = rate_at(&points, score);
            assert!((score_at(&points, rate) - score).abs() < 1e-9, "{score} {rate}");
        }
        assert!((rate_at(&points, 2.0) + 1.0).abs() < 1e-9);
        assert!(rate_at(&points, 0.9) > 1.0, "more often than once a week is never rare");
    }

    #[test]
    fn every_part_has_its_tails() {
        let tails = Tails::of_program();
        for component in COMPONENTS {
            let known = tails.points(component.id, Regime::Busy).is_some();
            assert!(known || component.is_certain(), "{}", component.name);
        }
        for (regime, name) in Regime::ALL {
            assert!(tails.level(regime, -1.0) < tails.level(regime, 0.0), "{name}");
        }
    }
}
