//! What was not read, not understood, not counted or not priced.

use std::collections::BTreeMap;

use super::facts::Facts;
use super::findings::Finding;
use crate::incident::respond::quoted;
use crate::money::Grouped;
use crate::severity::Severity;
use crate::time::MINUTE_MS;

/// Windows no longer wait for a partition after this (the service's own limit).
const STALLED_MS: i64 = 15 * MINUTE_MS;

/// Events that hubs no longer had, and partitions far behind their siblings.
pub(super) fn of_hubs(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (hub, lost) in &facts.condition.lost {
        findings.push(Finding {
            severity: Severity::High,
            topic: "lost-events",
            about: hub.clone(),
            what: format!("{} event(s) of hub {hub} were never seen", Grouped(*lost)),
            why: vec![
                "They were removed before they were read: the service was down for longer \
                       than the hub keeps events. Totals of that time are too low."
                    .to_owned(),
            ],
            commands: Vec::new(),
        });
    }
    for hub in &facts.condition.hubs {
        let Some(fastest) = hub.fastest else { continue };
        let behind = hub.slowest.is_none_or(|slowest| slowest.0 + STALLED_MS < fastest.0);
        if behind && hub.partitions > 1 {
            let since = hub
                .slowest
                .map_or_else(|| "never read".to_owned(), |at| format!("read up to {at}"));
            findings.push(Finding {
                severity: Severity::Medium,
                topic: "partition-behind",
                about: hub.hub.clone(),
                what: format!("A partition of hub {} is behind: {since}", hub.hub),
                why: vec![format!("Others were read up to {fastest}; what it holds comes late.")],
                commands: Vec::new(),
            });
        }
    }
    findings
}

/// Tokens and calls that have no price.
pub(super) fn money(facts: &Facts) -> Vec<Finding> {
    let totals = &facts.totals;
    let mut unpriced: BTreeMap<&str, i64> = BTreeMap::new();
    let mut untold: BTreeMap<&str, i64> = BTreeMap::new();
    for total in &totals.deployments {
        *unpriced.entry(&total.model).or_default() += total.split.total().unpriced;
        *untold.entry(&total.account).or_default() += total.spend.untold;
    }
    let unpriced = unpriced.into_iter().filter(|(_, tokens)| *tokens > 0);
    let unpriced = unpriced.map(|(model, tokens)| Finding {
        severity: Severity::Medium,
        topic: "unpriced-tokens",
        about: model.to_owned(),
        what: format!("{} tokens of model {model:?} have no price", Grouped(tokens)),
        why: vec!["They are counted; their cost is unknown and in no amount.".to_owned()],
        commands: vec![format!(
            "tokenwatch prices explain --model {} --input 1000 --output 1000",
            quoted(model)
        )],
    });
    let untold = untold.into_iter().filter(|(_, calls)| *calls > 0);
    let untold = untold.map(|(account, calls)| Finding {
        severity: Severity::Medium,
        topic: "untold-calls",
        about: account.to_owned(),
        what: format!(
            "{} successful call(s) of account {account} came without tokens",
            Grouped(calls)
        ),
        why: {
            let known = "No record told how many, so their cost is unknown. AzureOpenAIRequestUsage \
                         tells them for OpenAI models.";
            let estimated = facts.estimated.get(account).filter(|tokens| **tokens > 0);
            let estimated = estimated.map(|tokens| {
                format!(
                    "Azure's metrics count {} tokens beyond the logs; they are shown as estimated.",
                    Grouped(*tokens)
                )
            });
            std::iter::once(known.to_owned()).chain(estimated).collect()
        },
        commands: Vec::new(),
    });
    unpriced.chain(untold).collect()
}

/// What each ledger means; ledgers without words here are shown under their name.
const LEDGERS: [(&str, Severity, &str); 4] = [
    (
        "beyond_dedupe",
        Severity::Medium,
        "came later than a call is remembered (join.horizon), so nobody knows whether they were \
         counted: they are in no total",
    ),
    (
        "clock_suspect",
        Severity::Low,
        "said a time more than a day before or 5 minutes after their arrival: they count for the \
         minute they arrived in",
    ),
    (
        "settled_early",
        Severity::Low,
        "were closed before their time because too many were open (join.max_open, join.max_known): \
         a late row may count them twice. Raise the limit if memory allows",
    ),
    (
        "cost_above_limit",
        Severity::Low,
        "cost more than price.max_usd_per_call: the amount was cut there",
    ),
];

/// What stands in ledgers beside the totals, and calls that came late.
pub(super) fn ledgers(facts: &Facts) -> Vec<Finding> {
    let mut sums: BTreeMap<&str, (i64, i64)> = BTreeMap::new();
    for (_, _, reason, records, tokens) in &facts.totals.ledger {
        let sum = sums.entry(reason).or_default();
        *sum = (sum.0.saturating_add(*records), sum.1.saturating_add(*tokens));
    }
    let mut findings: Vec<Finding> = sums
        .into_iter()
        .map(|(reason, (records, tokens))| {
            let known = LEDGERS.iter().find(|(name, _, _)| *name == reason);
            let (_, severity, words) =
                known.copied().unwrap_or(("", Severity::Low, "stand in this ledger"));
            Finding {
                severity,
                topic: "ledger",
                about: reason.to_owned(),
                what: format!("{} record(s) in the ledger {reason}", Grouped(records)),
                why: vec![format!("They {words}. Tokens: {}.", Grouped(tokens))],
                commands: Vec::new(),
            }
        })
        .collect();
    let late: i64 = facts.totals.deployments.iter().map(|t| t.split.late.calls.max(0)).sum();
    if late > 0 {
        findings.push(Finding {
            severity: Severity::Info,
            topic: "late-calls",
            about: "late".to_owned(),
            what: format!("{} call(s) came after their window was judged", Grouped(late)),
            why: vec![
                "They are in all totals; a window that had been judged was amended.".to_owned(),
            ],
            commands: Vec::new(),
        });
    }
    findings
}

/// Records that could not be read, categories nobody decodes, and what else was counted.
pub(super) fn unreadable(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    if facts.totals.quarantined > 0 {
        let reasons = facts.condition.quarantine.iter().map(|refusal| {
            let place = if refusal.path.is_empty() { "the record" } else { &refusal.path };
            format!("{}: {place} {} ({}).", refusal.category, refusal.reason, refusal.samples)
        });
        findings.push(Finding {
            severity: Severity::Medium,
            topic: "quarantine",
            about: "quarantine".to_owned(),
            what: format!("{} record(s) could not be read", Grouped(facts.totals.quarantined)),
            why: reasons.collect(),
            commands: Vec::new(),
        });
    }
    let unknown = facts.totals.unknown_categories.iter().map(|(name, count)| Finding {
        severity: Severity::Info,
        topic: "unknown-category",
        about: name.clone(),
        what: format!("{} record(s) of category {name}, which nobody decodes", Grouped(*count)),
        why: Vec::new(),
        commands: Vec::new(),
    });
    findings.extend(unknown);
    for (name, severity, what) in COUNTERS {
        if let Some(count) = facts.condition.counters.get(name).filter(|count| **count > 0) {
            findings.push(Finding {
                severity,
                topic: "counter",
                about: name.to_owned(),
                what: format!("{} {what}", Grouped(*count)),
                why: Vec::new(),
                commands: Vec::new(),
            });
        }
    }
    findings
}

/// Counters worth telling, and what they count.
const COUNTERS: [(&str, Severity, &str); 6] = [
    (
        "rows_of_too_many_accounts",
        Severity::High,
        "row(s) of accounts beyond engine.max_accounts were not counted: raise the limit",
    ),
    (
        "unbelievable_metric_points",
        Severity::Low,
        "metric point(s) were left out: no value, an impossible one, or a time far from their arrival",
    ),
    (
        "gateway_records_too_late",
        Severity::Low,
        "record(s) of gateways came after their calls were linked (join.attribution): who made those \
         calls is not told",
    ),
    (
        "gateway_records_too_many",
        Severity::Medium,
        "record(s) of gateways were left out because too many waited to be linked",
    ),
    (
        "repaired_bodies",
        Severity::Info,
        "event(s) were no valid JSON and could be read after repair",
    ),
    ("duplicate_events", Severity::Info, "event(s) were delivered again and counted once"),
];
