//! What the facts mean, in words, the gravest first.

use std::collections::BTreeSet;

use super::facts::Facts;
use super::mend::Target;
use super::{armed, automation, categories, gateways, losses, timing};
use crate::severity::Severity;
use crate::source::event_hubs::HubSettings;

/// One thing that is wrong or worth knowing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    /// How much it matters; [`Severity::Info`] is only worth knowing.
    pub(super) severity: Severity,
    /// A word for programs, such as `missing-category`.
    pub(super) topic: &'static str,
    /// The account, hub or kind it is about.
    pub(super) about: String,
    /// What is the matter, in one sentence.
    pub(super) what: String,
    /// What follows and what to do, a sentence or two each.
    pub(super) why: Vec<String>,
    /// Commands that mend it or show more, one a resource.
    pub(super) commands: Vec<String>,
}

/// What findings are measured against.
#[derive(Debug, Clone, Default)]
pub(super) struct Setup {
    /// Hubs of the configuration; empty without one.
    pub(super) hubs: Vec<HubSettings>,
    /// The lateness in effect, in milliseconds.
    pub(super) lateness_ms: i64,
    /// What the configuration gives detectors beside records; `None` without one.
    pub(super) given: Option<BTreeSet<&'static str>>,
    /// Whether the configuration has a table `[response]`.
    pub(super) responds: bool,
}

/// Everything there is to say, the gravest first and equal ones in a fixed order.
pub(super) fn of(facts: &Facts, setup: &Setup) -> Vec<Finding> {
    let mut findings = losses::of_hubs(facts);
    findings.extend(categories::missing(facts, setup));
    findings.extend(categories::silent(facts));
    findings.extend(categories::no_activity_log(facts, setup));
    findings.extend(categories::incomplete(facts));
    findings.extend(categories::says_less(facts));
    findings.extend(categories::doubled(facts));
    findings.extend(timing::lateness(facts, setup));
    findings.extend(gateways::unexplained(facts, &Target::of(&setup.hubs, std::iter::empty())));
    findings.extend(losses::money(facts));
    findings.extend(losses::ledgers(facts));
    findings.extend(losses::unreadable(facts));
    findings.extend(armed::blind(facts, setup));
    findings.extend(automation::reached(&facts.responses, setup.responds));
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// The last part of a resource id.
pub(super) fn short(resource: &str) -> &str {
    resource.rsplit('/').find(|part| !part.is_empty()).unwrap_or(resource)
}

/// Thousandths in percent with one decimal.
pub(super) fn percent(per_mille: i64) -> String {
    format!("{}.{} %", per_mille / 10, per_mille % 10)
}
