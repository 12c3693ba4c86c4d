//! TW-P12: a deployment that is always busy has gone silent: an outage, or logging switched off.

use super::series::{Series, Signal, Slot};
use super::{Detector, Finding, Judge, Phase, Profile};
use crate::severity::Severity;

/// Silence of a busy deployment.
pub struct Silence;

static PROFILE: Profile = Profile {
    id: "TW-P12",
    name: "Log silence",
    severity: Severity::Medium,
    about_cost: false,
    techniques: &["T1562.008"],
    needs: "RequestResponse or AzureOpenAIRequestUsage",
    cannot_know: "whether the calls or only their records have stopped",
    quiet_slots: 1,
};

/// Shortest silence, in slots: half an hour.
const MIN_SLOTS: u32 = 6;
/// A silence is unusual from this multiple of the longest seen so far.
const LONGEST_FACTOR: f64 = 4.0;

impl Detector for Silence {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn judge(&self, series: &Series, slot: Slot, judge: &Judge<'_>) -> Option<Finding> {
        let [_, _, calls] = series.expected(slot)?;
        if judge.phase == Phase::Open || series.slot(slot).calls > 0 {
            return None;
        }
        let missed = series.quiet.run + calls;
        let slots = series.quiet.slots.saturating_add(1);
        let bound = judge.settings.silence_min_calls.max(LONGEST_FACTOR * series.quiet.longest);
        (missed >= bound && slots >= MIN_SLOTS).then(|| Finding {
            signal: Some(Signal::Calls),
            observed: 0.0,
            expected: missed,
            bound,
            unit: format!("calls in {} min", i64::from(slots) * 5),
            score: missed / bound,
            confidence: (1.0 - (-missed / bound).exp()).clamp(0.0, 0.99),
            evidence: vec![format!(
                "no call for {} minutes in which about {missed:.0} were expected; the longest such \
                 silence before would have held {:.0}",
                i64::from(slots) * 5,
                series.quiet.longest,
            )],
        })
    }
}
