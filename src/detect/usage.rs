//! TW-C01: more tokens or money than the hour of the week, the level of the last days and the
//! deployment's own restlessness explain.

use statrs::distribution::{ContinuousCDF as _, StudentsT};

use super::baseline::as_float;
use super::calibration::{Residuals, SIGNALS, WINDOWS};
use super::series::{SLOTS_PER_HOUR, Series, Signal, Slot, values};
use super::{Detector, EARLY_MARGIN, Finding, Judge, Phase, Profile};
use crate::money::{Grouped, NanoUsd};
use crate::severity::Severity;

/// Volume and spend against the seasonal baseline.
pub struct UsageSpike;

static PROFILE: Profile = Profile {
    id: "TW-C01",
    name: "Usage spike",
    severity: Severity::Medium,
    about_cost: true,
    techniques: &["T1496.004", "AML.T0034"],
    needs: "AzureOpenAIRequestUsage (or RequestResponse with token counts)",
    cannot_know: "whether the extra calls were wanted: a launch looks like a theft",
    quiet_slots: 12,
};

/// Smallest spread of log ratios believed: a deployment calmer than ± 25 % is treated as that.
const SPREAD_FLOOR: f64 = 0.25;
/// Whatever the score, less than this multiple of the expectation is no spike.
const MIN_RATIO: f64 = 1.5;
/// Share of the usual amount added to both sides of a ratio, so that quiet hours do not shout.
const USUAL_SHARE: f64 = 0.25;
/// The same in absolute terms per window: tokens and USD that are never worth a ratio.
const UNIT: [f64; SIGNALS] = [600.0, 0.01];

/// The scored window of one signal.
struct Scored {
    signal: usize,
    window: usize,
    score: f64,
    observed: f64,
    expected: f64,
}

impl Detector for UsageSpike {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn judge(&self, series: &Series, slot: Slot, judge: &Judge<'_>) -> Option<Finding> {
        if !is_material(series, slot, judge) {
            return None;
        }
        let margin = if judge.phase == Phase::Open { EARLY_MARGIN } else { 1.0 };
        let best = (0..SIGNALS)
            .flat_map(|signal| (0..WINDOWS.len()).map(move |window| (signal, window)))
            .filter_map(|(signal, window)| scored(series, slot, signal, window))
            .filter(|scored| scored.observed >= MIN_RATIO * scored.expected)
            .max_by(|a, b| a.score.total_cmp(&b.score))?;
        (best.score >= judge.settings.score * margin).then(|| describe(series, &best, judge))
    }
}

fn scored(series: &Series, slot: Slot, signal: usize, window: usize) -> Option<Scored> {
    let count = *WINDOWS.get(window)?;
    let expected = *series.expected_trailing(slot, count)?.get(signal)?;
    let observed = *values(series.trailing(slot, count)).get(signal)?;
    let residual = log_ratio(observed, expected, floor(series, signal, count));
    let score = series.calibration.upper_score(signal, window, residual, SPREAD_FLOOR);
    Some(Scored { signal, window, score, observed, expected })
}

/// ln((observed + c) / (expected + c)).
fn log_ratio(observed: f64, expected: f64, floor: f64) -> f64 {
    ((observed.max(0.0) + floor) / (expected + floor)).ln()
}

fn floor(series: &Series, signal: usize, count: i64) -> f64 {
    let usual = series.usual().get(signal).copied().unwrap_or(0.0);
    let unit = UNIT.get(signal).copied().unwrap_or(0.0);
    USUAL_SHARE * usual * as_float(count) + unit
}

/// Upper end of the band around `expected`, for a signal and a window.
fn upper_end(series: &Series, (signal, window): (usize, usize), expected: f64, score: f64) -> f64 {
    let count = WINDOWS.get(window).copied().unwrap_or(1);
    let floor = floor(series, signal, count);
    let ratio = series.calibration.bound(signal, window, score, SPREAD_FLOOR).exp();
    ((expected + floor) * ratio - floor).max(expected)
}

/// Upper end of the band of the `count` slots that end with `slot`; `None` where nothing was
/// expected, for windows that are not judged and for calls, which have no band.
#[must_use]
pub fn bound(series: &Series, slot: Slot, count: i64, signal: Signal, score: f64) -> Option<f64> {
    let window = WINDOWS.iter().position(|window| *window == count)?;
    let signal = Some(signal as usize).filter(|signal| *signal < SIGNALS)?;
    let expected = *series.expected_trailing(slot, count)?.get(signal)?;
    Some(upper_end(series, (signal, window), expected, score))
}

/// Log ratios of a closed slot, for the calibration.
#[must_use]
pub fn residuals(series: &Series, slot: Slot) -> Residuals {
    std::array::from_fn(|signal| {
        std::array::from_fn(|window| {
            let count = *WINDOWS.get(window)?;
            let expected = *series.expected_trailing(slot, count)?.get(signal)?;
            let observed = *values(series.trailing(slot, count)).get(signal)?;
            Some(log_ratio(observed, expected, floor(series, signal, count)))
        })
    })
}

/// True when the last hour cost enough above what was expected to bother somebody.
fn is_material(series: &Series, slot: Slot, judge: &Judge<'_>) -> bool {
    let Some([tokens, cost, _]) = series.expected_trailing(slot, SLOTS_PER_HOUR) else {
        return false;
    };
    let hour = series.trailing(slot, SLOTS_PER_HOUR);
    let [seen_tokens, seen_cost, _] = values(hour);
    let unpriced =
        hour.unpriced > 0 && seen_tokens - tokens >= judge.settings.min_excess_tokens_per_hour;
    unpriced || seen_cost - cost >= judge.settings.min_excess_usd_per_hour
}

fn describe(series: &Series, best: &Scored, judge: &Judge<'_>) -> Finding {
    let count = WINDOWS.get(best.window).copied().unwrap_or(1);
    let bound = upper_end(series, (best.signal, best.window), best.expected, judge.settings.score);
    let (noun, unit) = match best.signal {
        0 => (Signal::Tokens, "tokens"),
        _ => (Signal::Cost, "USD"),
    };
    let span = match count * 5 {
        240 => "4 h".to_owned(),
        60 => "1 h".to_owned(),
        minutes => format!("{minutes} min"),
    };
    let times = best.observed / best.expected;
    let times = if times.is_finite() { format!(": {times:.1} times") } else { String::new() };
    Finding {
        signal: Some(noun),
        observed: best.observed,
        expected: best.expected,
        bound,
        unit: format!("{unit} in {span}"),
        score: best.score / judge.settings.score,
        confidence: confidence(best.score),
        evidence: vec![
            format!(
                "{} in {span} where {} were expected for this hour of the week{times}",
                shown(noun, best.observed),
                shown(noun, best.expected),
            ),
            format!(
                "the deployment's own band ends at {}; the score is {:.1} where {:.1} is the limit",
                shown(noun, bound),
                best.score,
                judge.settings.score,
            ),
        ],
    }
}

/// Share of ordinary residuals below this score, if they are as heavy-tailed as Student's t with two
/// degrees of freedom: traffic has outliers that a normal distribution would call impossible.
fn confidence(score: f64) -> f64 {
    StudentsT::new(0.0, 1.0, 2.0).map_or(0.5, |tail| tail.cdf(score))
}

/// A value of a signal for people.
#[expect(clippy::cast_possible_truncation, reason = "shown to people; saturates")]
fn shown(signal: Signal, value: f64) -> String {
    match signal {
        Signal::Tokens => format!("{} tokens", Grouped(value.round() as i64)),
        Signal::Cost => NanoUsd::from_usd(value).to_string(),
        Signal::Calls => format!("{} calls", Grouped(value.round() as i64)),
    }
}
