//! Detection: what a deployment does now against what it did before.
//!
//! A detector looks at one series at one slot and returns a [`Finding`] or nothing. Upper tails may
//! be judged while the slot is still open, because counts only grow; the verdict at the close is
//! the one that counts. Everything a score reads is closed or learnt before the slot it judges, so
//! changing the future never changes a past score (a test holds it to that).

pub mod band;
pub mod baseline;
pub mod ceiling;
pub mod closing;
pub mod conduct;
pub mod habit;
pub mod lesson;
pub mod metered;
pub mod network;
pub mod newcomer;
pub mod outlook;
pub mod projection;
pub mod score;
pub mod seasonal;
pub mod series;
pub mod statistic;
pub mod table;
pub mod tuning;
pub mod window;

use newcomer::Newcomer;
use score::{ScoreSettings, Verdict};
use series::{Series, Signal, Slot};
pub use table::Profile;

/// Thresholds a user may change; the defaults hold where nothing is said.
#[derive(Debug, Clone, PartialEq)]
pub struct DetectSettings {
    /// How often the statistical detector may be wrong.
    pub score: ScoreSettings,
    /// Excess in USD per hour below which a spike is not worth an incident.
    pub min_excess_usd_per_hour: f64,
    /// Excess in tokens per hour that stands in for money where the price is unknown.
    pub min_excess_tokens_per_hour: f64,
    /// Cost in USD per hour and deployment that is never normal, whatever was learnt; 0: any is.
    pub ceiling_usd_per_hour: f64,
    /// The same per day, and half of it within six hours; 0: any is.
    pub ceiling_usd_per_day: f64,
    /// Cost in USD per day that no deployment has in its first week; 0: any may.
    pub new_deployment_usd_per_day: f64,
    /// Cost in USD within one hour that makes a new network worth a note.
    pub new_network_usd: f64,
    /// New networks within one hour that make more callers than usual a fan-out.
    pub fan_out_networks: f64,
    /// Expected calls in a row that must be missing before a deployment counts as silent.
    pub silence_min_calls: f64,
}

impl Default for DetectSettings {
    fn default() -> Self {
        let mut settings = Self {
            score: ScoreSettings::default(),
            min_excess_usd_per_hour: 0.0,
            min_excess_tokens_per_hour: 0.0,
            ceiling_usd_per_hour: 0.0,
            ceiling_usd_per_day: 0.0,
            new_deployment_usd_per_day: 0.0,
            new_network_usd: 0.0,
            fan_out_networks: 0.0,
            silence_min_calls: 0.0,
        };
        for (id, threshold, field) in settings.of_table() {
            *field = table::profile(id).threshold(threshold);
        }
        settings
    }
}

impl DetectSettings {
    /// What stands in the table of detectors: detector, name there, and the setting.
    pub fn of_table(&mut self) -> [(&'static str, &'static str, &mut f64); 8] {
        [
            ("TW-C01", "min_excess_usd_per_hour", &mut self.min_excess_usd_per_hour),
            ("TW-C01", "min_excess_tokens_per_hour", &mut self.min_excess_tokens_per_hour),
            ("TW-C04", "usd_per_hour", &mut self.ceiling_usd_per_hour),
            ("TW-C04", "usd_per_day", &mut self.ceiling_usd_per_day),
            ("TW-C10", "usd_per_day", &mut self.new_deployment_usd_per_day),
            ("TW-I01", "usd_per_hour", &mut self.new_network_usd),
            ("TW-I05", "new_networks", &mut self.fan_out_networks),
            ("TW-P12", "min_calls", &mut self.silence_min_calls),
        ]
    }
}

/// Whether a slot may still grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Records for it may still arrive: only upper tails may speak, and only with a margin.
    Open,
    /// Judged: what arrives later is late data.
    Closed,
}

/// What a detector found in one slot.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// What a chart of it shows of the whole deployment; `None` where that would mislead.
    pub signal: Option<Signal>,
    /// What was seen, in `unit`.
    pub observed: f64,
    /// What was expected, in `unit`.
    pub expected: f64,
    /// End of the band held normal, in `unit`.
    pub bound: f64,
    /// Such as `tokens in 15 min`.
    pub unit: String,
    /// How far outside; at least 1 for a finding, no unit.
    pub score: f64,
    /// Certainty, 0 to 1.
    pub confidence: f64,
    /// Facts, one sentence each.
    pub evidence: Vec<String>,
}

/// One way of noticing. Pure: the same series and slot give the same answer.
pub trait Detector: Sync {
    /// What it is.
    fn profile(&self) -> &'static Profile;

    /// Judges `slot` of `series`; `None` when all is as expected or the history is too short.
    fn judge(&self, series: &Series, slot: Slot, judge: &Judge<'_>) -> Option<Finding>;
}

/// What a judgement may depend on beside the series.
#[derive(Debug, Clone, Copy)]
pub struct Judge<'a> {
    /// Thresholds that several detectors share, or that the configuration names beside the table.
    pub settings: &'a DetectSettings,
    /// The detector as it is set for the account, with its other thresholds.
    pub profile: &'a Profile,
    /// Whether the slot may still grow.
    pub phase: Phase,
    /// What the statistical detector says of the slot.
    pub verdict: &'a Verdict,
    /// What is known of the deployment when it is new; only of slots that have closed.
    pub newcomer: Option<&'a Newcomer>,
}

/// Every detector, in the order of the manual's table.
pub const DETECTORS: &[&dyn Detector] = &[
    &statistic::USAGE,
    &projection::Projection,
    &statistic::RAMP,
    &ceiling::Ceiling,
    &habit::OUTPUT,
    &habit::CACHE,
    &habit::OFF_HOURS,
    &newcomer::ColdStart,
    &statistic::WAKE,
    &network::NewNetwork,
    &statistic::FAN_OUT,
    &statistic::SILENCE,
];

/// Rules that tell the whole story of a deployment that costs too much, the surest first.
///
/// While one of them is told, what later ones and the other rules about cost find is part of it, and what an
/// earlier one finds that was not told before.
pub const STORIES: &[&dyn Detector] =
    &[&statistic::USAGE, &newcomer::ColdStart, &projection::Projection];

/// True when an incident of this rule tells such a story.
#[must_use]
pub fn is_story(rule: &str) -> bool {
    STORIES.iter().any(|story| story.profile().id == rule)
}

/// An early verdict must clear the bound by this factor, because a correction of the call's minute
/// can still take a little away.
pub const EARLY_MARGIN: f64 = 1.05;

#[cfg(test)]
mod tests;
