//! Who used what, largest first.

use serde_json::json;

use super::prices::table;
use super::replay::printable;
use crate::known::Known;
use crate::money::{Grouped, NanoUsd};
use crate::store::callers::CallerTotal;

/// Callers shown on a terminal.
const SHOWN: usize = 10;
/// Callers in JSON; there may be 100,000 networks and as many identities.
const LISTED: usize = 10_000;

/// One entry a caller.
pub(super) fn to_json(callers: &[CallerTotal], known: &Known) -> serde_json::Value {
    let entries = callers.iter().take(LISTED).map(|caller| {
        let amount = caller.amount;
        let about = known.about(&caller.network);
        json!({
            "account": caller.account,
            "deployment": caller.deployment,
            "network": caller.network,
            "about": (!about.is_empty()).then(|| about.to_string()),
            "identity": caller.identity.text(),
            "name": known.name_of(caller.identity.text()),
            "operation": caller.operation,
            "calls": amount.calls,
            "errors": amount.errors,
            "tokens_in": amount.input,
            "tokens_cached": amount.cached,
            "tokens_out": amount.output,
            "cost_nano_usd": (amount.unpriced == 0).then_some(amount.cost_nano),
            "unpriced_tokens": amount.unpriced,
        })
    });
    entries.collect()
}

/// The largest callers, a line each.
pub(super) fn to_table(callers: &[CallerTotal], known: &Known) -> String {
    if callers.is_empty() {
        return String::new();
    }
    let head = ["caller", "identity", "asked for", "of", "calls", "tokens", "cost"];
    let mut table = table(&head, &[4, 5, 6]);
    for caller in callers.iter().take(SHOWN) {
        let amount = caller.amount;
        let or_dash = |text: &str| if text.is_empty() { "-".to_owned() } else { printable(text) };
        let network = match known.about(&caller.network).short() {
            Some(about) => format!("{} ({about})", caller.network),
            None => caller.network.clone(),
        };
        let identity = caller.identity.text();
        table.add_row([
            or_dash(&network),
            or_dash(known.name_of(identity).unwrap_or(identity)),
            or_dash(caller.operation),
            printable(&format!("{}/{}", caller.account, caller.deployment)),
            Grouped(amount.calls).to_string(),
            Grouped(amount.tokens()).to_string(),
            match amount.unpriced {
                0 => NanoUsd(amount.cost_nano).to_string(),
                _ => "unknown".to_owned(),
            },
        ]);
    }
    let more = callers.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!("and {more} callers more\n") } else { String::new() };
    format!("\n{table}\n{more}")
}
