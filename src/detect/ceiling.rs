//! TW-C04: a cost per hour that is never normal. A baseline can be taught, a ceiling cannot.

use super::series::{SLOTS_PER_HOUR, Series, Signal, Slot, values};
use super::{Detector, EARLY_MARGIN, Finding, Judge, Phase, Profile};
use crate::money::NanoUsd;
use crate::severity::Severity;

/// The hard ceiling in USD per hour and deployment.
pub struct Ceiling;

static PROFILE: Profile = Profile {
    id: "TW-C04",
    name: "Hard ceiling",
    severity: Severity::High,
    about_cost: true,
    techniques: &["T1499.003", "AML.T0029"],
    needs: "AzureOpenAIRequestUsage and a price for the model",
    cannot_know: "tokens whose price is unknown",
    quiet_slots: 12,
};

impl Detector for Ceiling {
    fn profile(&self) -> &'static Profile {
        &PROFILE
    }

    fn judge(&self, series: &Series, slot: Slot, judge: &Judge<'_>) -> Option<Finding> {
        let ceiling = judge.settings.ceiling_usd_per_hour;
        let margin = if judge.phase == Phase::Open { EARLY_MARGIN } else { 1.0 };
        let [_, observed, _] = values(series.trailing(slot, SLOTS_PER_HOUR));
        if ceiling <= 0.0 || observed < ceiling * margin {
            return None;
        }
        let expected =
            series.expected_trailing(slot, SLOTS_PER_HOUR).map_or(0.0, |[_, usd, _]| usd);
        Some(Finding {
            signal: Some(Signal::Cost),
            observed,
            expected,
            bound: ceiling,
            unit: "USD in 1 h".to_owned(),
            score: observed / ceiling,
            confidence: 0.95,
            evidence: vec![format!(
                "{} within one hour, above the ceiling of {} that is never learnt away",
                NanoUsd::from_usd(observed),
                NanoUsd::from_usd(ceiling),
            )],
        })
    }
}
