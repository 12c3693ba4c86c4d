//! How severe a finding is: its rule, the money at risk, and doubt.

use super::Severity;
use crate::money::NanoUsd;

/// Money at risk in the next 24 hours from which the severity rises by one step.
pub const ONE_STEP_USD: f64 = 1_000.0;
/// And by two.
pub const TWO_STEPS_USD: f64 = 10_000.0;
/// Below this, a finding about money loses one step.
pub const TRIFLE_USD: f64 = 5.0;
/// Below this confidence, a finding loses one step.
pub const DOUBT: f64 = 0.5;

/// What severity depends on.
#[derive(Debug, Clone, Copy)]
pub struct Weight {
    /// The rule's own.
    pub base: Severity,
    /// True when the rule is about money.
    pub about_cost: bool,
    /// What goes on costing per day; `None` when unknown.
    pub per_day: Option<NanoUsd>,
    /// Certainty, 0 to 1.
    pub confidence: f64,
}

/// Severity from the rule's base, money at risk and confidence. Never critical without money.
#[must_use]
pub fn severity(weight: Weight) -> Severity {
    let usd = weight.per_day.map(NanoUsd::usd);
    let by_money = match usd {
        Some(usd) if usd >= TWO_STEPS_USD => 2,
        Some(usd) if usd >= ONE_STEP_USD => 1,
        Some(usd) if usd < TRIFLE_USD && weight.about_cost => -1,
        Some(_) | None => 0,
    };
    let by_doubt = if weight.confidence < DOUBT { -1 } else { 0 };
    let raised = weight.base.step(by_money + by_doubt);
    if usd.is_none_or(|usd| usd < ONE_STEP_USD) { raised.min(Severity::High) } else { raised }
}
