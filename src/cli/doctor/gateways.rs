//! How much of the traffic through gateways can be told apart, and what would tell more.

use super::facts::Facts;
use super::findings::{Finding, percent};
use super::mend::{Target, switch_on};
use crate::money::Grouped;
use crate::severity::Severity;
use crate::store::gateway::GatewayShare;

/// Below this many calls a share says nothing.
const ENOUGH_CALLS: i64 = 50;
/// A gateway of which fewer calls are told apart, in thousandths, is a finding.
const FEW_PER_MILLE: i64 = 800;
/// Resource ids of gateways are not kept: their place in a command.
const GATEWAY: &str = "/subscriptions/SUBSCRIPTION/resourceGroups/GROUP/providers/Microsoft.ApiManagement/service/GATEWAY";

/// Gateways most of whose calls are nobody's, and calls whose account is not known.
pub(super) fn unexplained(facts: &Facts, target: &Target) -> Vec<Finding> {
    let mut findings: Vec<Finding> = facts.gateways.iter().filter_map(few).collect();
    if records(facts, "GatewayLogs") > 0 && records(facts, "GatewayLlmLogs") == 0 {
        findings.push(Finding {
            severity: Severity::Low,
            topic: "missing-gateway-tokens",
            about: "GatewayLlmLogs".to_owned(),
            what: "GatewayLlmLogs never came, GatewayLogs did".to_owned(),
            why: vec![
                "Without tokens a call through a gateway is recognised by sizes and time alone, and \
                 more of them look alike. Switch the category on, and the logging of language models \
                 on each API of the gateway; leave messages out."
                    .to_owned(),
            ],
            commands: vec![switch_on(GATEWAY, &["GatewayLlmLogs"], target)],
        });
    }
    let lost = facts.condition.counters.get("gateway_calls_without_account").copied().unwrap_or(0);
    if lost > 0 {
        findings.push(Finding {
            severity: Severity::Low,
            topic: "gateway-account",
            about: "gateways".to_owned(),
            what: format!("{} call(s) through gateways went to accounts nobody knows", Grouped(lost)),
            why: vec![
                "The backend's host does not begin with the name of one account that sends logs. Name \
                 the account with [[backend]] in the configuration, or switch on its logs."
                    .to_owned(),
            ],
            commands: Vec::new(),
        });
    }
    findings
}

fn few(found: &GatewayShare) -> Option<Finding> {
    let share = found.share;
    let per_mille = share.linked.saturating_mul(1_000) / share.calls.max(1);
    (share.calls >= ENOUGH_CALLS && per_mille < FEW_PER_MILLE).then(|| {
        let unmatched = share.calls - share.linked - share.ambiguous;
        Finding {
            severity: Severity::Low,
            topic: "gateway-share",
            about: found.gateway.clone(),
            what: format!(
                "{} of the calls of gateway {} to {}/{} are told apart",
                percent(per_mille),
                found.gateway,
                found.account,
                if found.deployment.is_empty() { "(none)" } else { &found.deployment }
            ),
            why: vec![format!(
                "{} look like several calls of the account and {} like none. None means that the \
                 account's logs do not hold them, or came later than join.attribution.",
                Grouped(share.ambiguous),
                Grouped(unmatched)
            )],
            commands: Vec::new(),
        }
    })
}

fn records(facts: &Facts, kind: &str) -> i64 {
    let of_kind = facts.totals.coverage.iter().filter(|(_, name, _)| name == kind);
    of_kind.map(|(_, _, seen)| seen.records).sum()
}
