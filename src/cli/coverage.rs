//! Records read of each kind, and the share of them that says what.

use std::collections::BTreeMap;

use serde_json::json;

use super::prices::table;
use crate::event::Seen;
use crate::money::Grouped;
use crate::time::{DAY_MS, EventTime};

/// One entry a day and kind, with counts.
pub(super) fn to_json(coverage: &[(i64, String, Seen)]) -> serde_json::Value {
    let entries = coverage.iter().map(|(day, kind, seen)| {
        let day = EventTime(day.saturating_mul(DAY_MS)).to_string();
        json!({
            "day": day.split('T').next(),
            "kind": kind,
            "records": seen.records,
            "with_tokens": seen.tokens,
            "with_identity": seen.identity,
            "with_deployment": seen.deployment,
            "with_network": seen.caller,
        })
    });
    entries.collect()
}

/// One row a kind, with shares; a dash where no record said it, as most kinds never do.
pub(super) fn to_table(coverage: &[(i64, String, Seen)]) -> String {
    let mut kinds: BTreeMap<&str, Seen> = BTreeMap::new();
    for (_, kind, seen) in coverage {
        let sum = kinds.entry(kind).or_default();
        *sum = sum.merged(*seen);
    }
    if kinds.is_empty() {
        return String::new();
    }
    let head = ["records read", "count", "tokens", "identity", "deployment", "network"];
    let mut table = table(&head, &[1, 2, 3, 4, 5]);
    for (kind, seen) in kinds {
        let share = |part: i64| match part {
            0 => "-".to_owned(),
            part => format!("{} %", part.saturating_mul(100) / seen.records.max(1)),
        };
        let [tokens, identity, deployment, network] =
            [seen.tokens, seen.identity, seen.deployment, seen.caller].map(share);
        let count = Grouped(seen.records).to_string();
        table.add_row([kind.to_owned(), count, tokens, identity, deployment, network]);
    }
    format!("\n{table}\n")
}
