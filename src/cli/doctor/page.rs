//! The findings and facts as one page, or as JSON.

use std::collections::BTreeMap;

use comfy_table::Table;
use serde_json::{Value, json};

use super::super::prices;
use super::super::replay::printable;
use super::facts::{Day, Facts};
use super::findings::{Finding, Setup, percent, short};
use super::timing::{self, span};
use crate::aggregate::delay::Histogram;
use crate::engine::honesty::Sent;
use crate::event::RowKind;
use crate::money::Grouped;
use crate::severity::Severity;
use crate::time::ArrivalTime;

/// Columns of text; commands are longer, because a wrapped one cannot be pasted.
const WIDTH: usize = 100;
/// Commands of one finding that a page shows.
const MAX_COMMANDS: usize = 5;

/// The page for people.
pub(super) fn to_text(facts: &Facts, findings: &[Finding], setup: &Setup) -> String {
    let (found, notes): (Vec<&Finding>, Vec<&Finding>) =
        findings.iter().partition(|finding| finding.severity > Severity::Info);
    let mut text = match found.len() {
        0 => format!("Nothing is missing, as far as records up to {} tell.\n", facts.passed),
        1 => format!("1 finding; records were read up to {}.\n", facts.passed),
        count => format!("{count} findings; records were read up to {}.\n", facts.passed),
    };
    for finding in &found {
        text.push('\n');
        text.push_str(&paragraph(finding));
    }
    if !notes.is_empty() {
        text.push_str("\nGood to know\n");
        for note in &notes {
            let words = [std::slice::from_ref(&note.what), &note.why].concat().join(". ");
            let words = words.replace("..", ".");
            text.push_str(&wrapped(&printable(&words), "  - ", "    "));
        }
    }
    let delay = format!(
        "Delay of the last 7 days: median to the hub and to us; late is beyond {}",
        span(setup.lateness_ms)
    );
    for (heading, table) in [
        ("Read", hubs(facts)),
        ("Sent", sent(facts)),
        (&delay, delays(facts, setup)),
        ("Logs against Azure's metrics, last day", compared(facts)),
        ("Use of provisioned throughput, last two days", provisioned(facts)),
    ] {
        if let Some(table) = table {
            text.push_str(&format!("\n{heading}\n{table}\n"));
        }
    }
    text
}

fn paragraph(finding: &Finding) -> String {
    let head = format!("{:<8} ", finding.severity.word());
    let mut text = wrapped(&printable(&finding.what), &head, &" ".repeat(head.len()));
    for sentence in &finding.why {
        text.push_str(&wrapped(&printable(sentence), "         ", "         "));
    }
    if !finding.commands.is_empty() {
        text.push('\n');
    }
    for command in finding.commands.iter().take(MAX_COMMANDS) {
        text.push_str(&format!("  {}\n", printable(command)));
    }
    let more = finding.commands.len().saturating_sub(MAX_COMMANDS);
    if more > 0 {
        text.push_str(&format!("  (and {more} more: --format json shows all)\n"));
    }
    text
}

/// Words in lines of at most [`WIDTH`] columns.
pub(in crate::cli) fn wrapped(words: &str, first: &str, next: &str) -> String {
    let mut lines = vec![first.to_owned()];
    let mut is_empty = true;
    for word in words.split_whitespace() {
        let Some(line) = lines.last_mut() else { break };
        if !is_empty && line.chars().count() + 1 + word.chars().count() > WIDTH {
            lines.push(format!("{next}{word}"));
            continue;
        }
        if !is_empty {
            line.push(' ');
        }
        line.push_str(word);
        is_empty = false;
    }
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

/// A table whose columns from `left` on are numbers.
fn table(header: &[&str], left: usize) -> Table {
    prices::table(header, &(left..header.len()).collect::<Vec<_>>())
}

fn hubs(facts: &Facts) -> Option<Table> {
    let mut table = table(&["hub", "partitions", "events", "all read up to", "newest"], 1);
    let time = |at: Option<ArrivalTime>| at.map_or_else(|| "-".to_owned(), |at| at.to_string());
    for hub in &facts.condition.hubs {
        table.add_row([
            printable(&hub.hub),
            hub.partitions.to_string(),
            Grouped(hub.events).to_string(),
            time(hub.slowest),
            time(hub.fastest),
        ]);
    }
    (!facts.condition.hubs.is_empty()).then_some(table)
}

fn sent(facts: &Facts) -> Option<Table> {
    let mut table = table(
        &["account", "kind", "records", "tokens", "identity", "deployment", "network", "last came"],
        2,
    );
    for (resource, kinds) in &facts.sent {
        for (kind, Sent { seen, last, .. }) in kinds {
            let share = |part: i64| match part {
                0 => "-".to_owned(),
                part => format!("{} %", part.saturating_mul(100) / seen.records.max(1)),
            };
            table.add_row([
                printable(short(resource)),
                kind.clone(),
                Grouped(seen.records).to_string(),
                share(seen.tokens),
                share(seen.identity),
                share(seen.deployment),
                share(seen.caller),
                ArrivalTime(last.0 - last.0.rem_euclid(1_000)).to_string(),
            ]);
        }
    }
    facts.sent.values().any(|kinds| !kinds.is_empty()).then_some(table)
}

fn delays(facts: &Facts, setup: &Setup) -> Option<Table> {
    let header = ["hub", "kind", "to hub", "p95", "p99", "late", "to us", "p95"];
    let mut table = table(&header, 2);
    let at = |delays: &Histogram, per_mille: i64| {
        delays.quantile(per_mille).map_or_else(|| "-".to_owned(), span)
    };
    for delay in &facts.delays {
        let mut row = vec![printable(&delay.hub), delay.kind.clone()];
        row.extend([500, 950, 990].map(|per_mille| at(&delay.to_hub, per_mille)));
        // No window waits for the others.
        let late = RowKind::from_name(&delay.kind)
            .map(|_| percent(delay.to_hub.per_mille_above(setup.lateness_ms)));
        row.push(late.unwrap_or_else(|| "-".to_owned()));
        row.extend([500, 950].map(|per_mille| at(&delay.to_us, per_mille)));
        table.add_row(row);
    }
    (!facts.delays.is_empty()).then_some(table)
}

fn compared(facts: &Facts) -> Option<Table> {
    let header = ["account", "hours", "logged", "metered", "share", "state"];
    let mut table = table(&header, 1);
    let count =
        |number: Option<i64>| number.map_or_else(|| "-".to_owned(), |n| Grouped(n).to_string());
    for (resource, day) in &facts.compared {
        let sides = day.sums.sides();
        let logged = sides.map(|(logged, _)| logged).or(day.sums.logged.tokens());
        table.add_row([
            printable(short(resource)),
            hours(day).to_string(),
            count(logged),
            count(sides.map(|(_, metered)| metered)),
            day.sums.per_mille().map_or_else(|| "-".to_owned(), percent),
            day.sums.completeness().word().to_owned(),
        ]);
    }
    (!facts.compared.is_empty()).then_some(table)
}

fn provisioned(facts: &Facts) -> Option<Table> {
    let mut table = table(&["account", "deployment", "minutes", "mean", "highest"], 2);
    for used in &facts.provisioned {
        table.add_row([
            printable(short(&used.account)),
            printable(&used.deployment),
            Grouped(used.minutes).to_string(),
            percent(used.mean / 10),
            percent(used.highest / 10),
        ]);
    }
    (!facts.provisioned.is_empty()).then_some(table)
}

const fn hours(day: &Day) -> i64 {
    if day.with_metrics > 0 { day.with_metrics } else { day.without_metrics }
}

/// The same for programs. Delays are in milliseconds, shares in thousandths; unknown is null.
pub(super) fn to_json(facts: &Facts, findings: &[Finding], setup: &Setup) -> Value {
    let findings = findings.iter().map(|finding| {
        json!({
            "severity": finding.severity.word(), "topic": finding.topic, "about": finding.about,
            "what": finding.what, "why": finding.why, "commands": finding.commands,
        })
    });
    let hubs = facts.condition.hubs.iter().map(|hub| {
        json!({
            "hub": hub.hub, "partitions": hub.partitions, "events": hub.events,
            "slowest": hub.slowest.map(|at| at.to_string()),
            "fastest": hub.fastest.map(|at| at.to_string()),
        })
    });
    let sent = facts.sent.iter().map(|(resource, kinds)| {
        let kinds = kinds.iter().map(|(kind, sent)| (kind.clone(), kind_json(sent)));
        json!({ "account": resource, "kinds": kinds.collect::<BTreeMap<_, _>>() })
    });
    let delays = facts.delays.iter().map(|delay| {
        json!({
            "hub": delay.hub, "kind": delay.kind, "to_hub": leg_json(&delay.to_hub),
            "to_us": leg_json(&delay.to_us),
            "late_per_mille": delay.to_hub.per_mille_above(setup.lateness_ms),
        })
    });
    let compared = facts.compared.iter().map(|(resource, day)| {
        let counts = |counts: crate::aggregate::metrics::Counts| {
            json!({ "tokens_in": counts.input, "tokens_out": counts.output,
                    "requests": counts.requests })
        };
        json!({
            "account": resource, "hours": hours(day), "logged": counts(day.sums.logged),
            "metered": counts(day.sums.metered), "per_mille": day.sums.per_mille(),
            "state": day.sums.completeness().word(),
        })
    });
    let provisioned = facts.provisioned.iter().map(|used| {
        json!({
            "account": used.account, "deployment": used.deployment, "minutes": used.minutes,
            "mean_per_mille": used.mean / 10, "highest_per_mille": used.highest / 10,
        })
    });
    json!({
        "read_up_to": facts.passed.to_string(),
        "findings": findings.collect::<Vec<_>>(),
        "hubs": hubs.collect::<Vec<_>>(),
        "sent": sent.collect::<Vec<_>>(),
        "delays": delays.collect::<Vec<_>>(),
        "lateness_ms": setup.lateness_ms,
        "proposed_lateness_min": timing::proposed_min(&timing::of_rows(facts)),
        "completeness": compared.collect::<Vec<_>>(),
        "provisioned": provisioned.collect::<Vec<_>>(),
    })
}

fn kind_json(sent: &Sent) -> Value {
    json!({
        "records": sent.seen.records, "with_tokens": sent.seen.tokens,
        "with_identity": sent.seen.identity, "with_deployment": sent.seen.deployment,
        "with_network": sent.seen.caller, "first": sent.first.to_string(),
        "last": sent.last.to_string(),
    })
}

fn leg_json(delays: &Histogram) -> Value {
    json!({
        "records": delays.records(), "median_ms": delays.quantile(500),
        "p95_ms": delays.quantile(950), "p99_ms": delays.quantile(990),
    })
}
