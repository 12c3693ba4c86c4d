//! How rare a score is: the pooled tails of each part, from `models/detection.csv`.
//!
//! A score that is measured by a deployment's own spread still has a tail of its own kind: sums of an hour fall
//! off faster than slots, deployments that are mostly idle slower than busy ones. The tails are those of
//! thousands of simulated deployment-weeks without attacks, as straight lines between a few points in the
//! logarithm of the rate, continued beyond the last as they fell before. `tokenwatch backtest fit` makes them, as
//! `models/README.md` says.

use std::sync::{Arc, LazyLock};

use super::measure::{COMPONENTS, Component, Regime};
use crate::problem::{Findings, Problems};

/// Points of a tail: one alert per deployment in 1, 3.2, 10, 32 and 100 weeks.
const POINTS: usize = 5;
/// Scores, or of the level logarithms of rates, at the points of a tail.
pub type Points = [f64; POINTS];
/// Decades between two points.
const STEP: f64 = 0.5;
/// Kinds of deployments.
const REGIMES: usize = Regime::ALL.len();
/// No alert at all: a score below the first point.
const NEVER: f64 = 9.0;

/// The table that is compiled in, and what it is called.
const TABLE: &str = include_str!("../../../models/detection.csv");
const FILE: &str = "models/detection.csv";
/// What a table begins with.
const HEADING: &str = "# Scores that a deployment reaches once in 1, 3.2, 10, 32 and 100 weeks; see README.md.\n\
    # name,regime,1,3.2,10,32,100\n";
/// The name of the rows about all parts together.
const FUSED: &str = "fused";

static TAILS: LazyLock<Arc<Tails>> =
    LazyLock::new(|| Arc::new(Tails::parse(FILE, TABLE).unwrap_or_default()));

/// Scores by how often they are reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Tails {
    /// By component and regime; a part without a tail never fires.
    parts: Vec<[Option<Points>; REGIMES]>,
    /// Of all parts together: the logarithm of the rate of the rarest part, by how often it is reached, by
    /// regime. Where it is not known, as if there were one part alone.
    fused: [Option<Points>; REGIMES],
}

impl Default for Tails {
    /// None at all.
    fn default() -> Self {
        Self { parts: vec![[None; REGIMES]; COMPONENTS.len()], fused: [None; REGIMES] }
    }
}

impl Tails {
    /// Logarithm to base ten of how often a deployment reaches each point, per week.
    pub const RATES: Points = [0.0, -STEP, -2.0 * STEP, -3.0 * STEP, -4.0 * STEP];

    /// Those that are compiled in.
    #[must_use]
    pub fn of_program() -> Arc<Self> {
        Arc::clone(&TAILS)
    }

    /// Reads lines of name, regime and points.
    ///
    /// # Errors
    ///
    /// Every line that is none.
    pub fn parse(file: &str, text: &str) -> Result<Self, Problems> {
        const MEND: &str = "write a part, busy, idle, new, young, wild or bare, and five numbers \
                            that rise (of fused: fall)";
        let mut findings = Findings::new(file, text);
        let mut tails = Self::default();
        let mut start = 0;
        for line in text.split_inclusive('\n') {
            let row = line.trim_end();
            if !row.is_empty() && !row.starts_with('#') && tails.read(row).is_none() {
                findings.report(start..start + row.len(), "this is no row of the tails", MEND);
            }
            start += line.len();
        }
        if findings.is_empty() { Ok(tails) } else { Err(findings.finish()) }
    }

    /// Takes one row; `None` if it is not understood.
    fn read(&mut self, row: &str) -> Option<()> {
        let mut fields = row.split(',');
        let (name, regime) = (fields.next()?, fields.next()?);
        let regime = Regime::ALL.iter().find(|(_, known)| *known == regime)?.0;
        let number =
            |field: &str| field.trim().parse().ok().filter(|number: &f64| number.is_finite());
        let points: Points = fields.map(number).collect::<Option<Vec<f64>>>()?.try_into().ok()?;
        if name == FUSED {
            self.set_level(regime, points);
            return points.iter().rev().is_sorted().then_some(());
        }
        let kind = COMPONENTS.iter().find(|kind| kind.name == name)?;
        self.set(kind.id, regime, Some(points));
        points.is_sorted().then_some(())
    }

    /// The table, as [`Tails::parse`] reads it: three digits after the point.
    #[must_use]
    pub fn to_table(&self) -> String {
        let parts = COMPONENTS.iter().map(|kind| kind.name).zip(&self.parts);
        let rows = parts.chain([(FUSED, &self.fused)]).flat_map(|(name, regimes)| {
            Regime::ALL.iter().zip(regimes).filter_map(move |((_, regime), points)| {
                let points = points.as_ref()?.map(|point| format!("{point:.3}")).join(",");
                Some(format!("{name},{regime},{points}\n"))
            })
        });
        [HEADING.to_owned()].into_iter().chain(rows).collect()
    }

    /// Replaces the tail of a part; `None` is a part that never fires.
    pub fn set(&mut self, component: Component, regime: Regime, points: Option<Points>) {
        let regimes = self.parts.get_mut(component as usize);
        if let Some(tail) = regimes.and_then(|regimes| regimes.get_mut(regime as usize)) {
            *tail = points;
        }
    }

    /// Replaces what [`Tails::level`] is read from.
    pub fn set_level(&mut self, regime: Regime, points: Points) {
        if let Some(level) = self.fused.get_mut(regime as usize) {
            *level = Some(points);
        }
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
    #[must_use]
    pub fn level(&self, regime: Regime, rate: f64) -> f64 {
        // Rates of parts fall as scores rise.
        let points = self.fused.get(regime as usize).copied().flatten().unwrap_or(Self::RATES);
        -score_at(&points.map(|point| -point), rate)
    }

    fn points(&self, component: Component, regime: Regime) -> Option<&Points> {
        self.parts.get(component as usize)?.get(regime as usize)?.as_ref()
    }
}

/// Where `score` lies between points that stand half a decade apart, from once a week on.
fn rate_at(points: &Points, score: f64) -> f64 {
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
fn score_at(points: &Points, rate: f64) -> f64 {
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
fn slope(points: &Points) -> f64 {
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
        let tails = Tails::parse(FILE, TABLE).unwrap();
        for component in COMPONENTS {
            let mut regimes = Regime::ALL.into_iter();
            let known = regimes.any(|(regime, _)| tails.points(component.id, regime).is_some());
            assert!(known || component.is_certain(), "{}", component.name);
        }
        for (regime, name) in Regime::ALL {
            assert!(tails.level(regime, -1.0) < tails.level(regime, 0.0), "{name}");
        }
    }

    #[test]
    fn a_table_is_read_as_it_was_written() {
        let tails = Tails::parse(FILE, TABLE).unwrap();
        let table = tails.to_table();
        assert_eq!(Tails::parse("written", &table).unwrap(), tails);
        let rows =
            |text: &str| text.lines().map(str::to_owned).collect::<std::collections::BTreeSet<_>>();
        assert_eq!(rows(&table), rows(TABLE));
    }

    #[test]
    fn every_line_that_is_no_row_is_told() {
        let check = |row: &str| {
            let text = format!("{HEADING}fused,busy,0,-1,-2,-3,-4\n{row}\n");
            let problems = Tails::parse("x.csv", &text).unwrap_err();
            let told: Vec<(usize, &str)> =
                problems.0.iter().map(|problem| (problem.line, &*problem.source)).collect();
            assert_eq!(told, [(4, row)]);
        };
        check("tokens-1y,busy,1,2,3,4,5");
        check("calls-1h,lazy,1,2,3,4,5");
        check("calls-1h,busy,1,2,3,4");
        check("calls-1h,busy,1,2,3,4,5,6");
        check("calls-1h,busy,1,2,three,4,5");
        check("calls-1h,busy,1,2,3,4,inf");
        check("calls-1h,busy,1,3,2,4,5");
        check("fused,young,0,-1,-2,-3,4");
        check("[detect]");
    }
}
