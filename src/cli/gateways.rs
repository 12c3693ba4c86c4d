//! Who is behind the gateways, and how much of their traffic that explains.

use serde_json::json;

use super::prices::table;
use super::replay::printable;
use crate::money::{Grouped, NanoUsd};
use crate::store::gateway::{BehindTotal, GatewayShare};

/// Callers shown on a terminal.
const SHOWN: usize = 10;
/// Callers in JSON.
const LISTED: usize = 10_000;

/// One entry a gateway and deployment.
pub(super) fn shares_to_json(shares: &[GatewayShare]) -> serde_json::Value {
    let entries = shares.iter().map(|GatewayShare { account, deployment, gateway, share }| {
        json!({
            "account": account,
            "deployment": deployment,
            "gateway": gateway,
            "calls": share.calls,
            "linked": share.linked,
            "ambiguous": share.ambiguous,
        })
    });
    entries.collect()
}

/// One entry a caller.
pub(super) fn to_json(behind: &[BehindTotal]) -> serde_json::Value {
    let entries = behind.iter().take(LISTED).map(|caller| {
        let amount = caller.amount;
        json!({
            "account": caller.account,
            "deployment": caller.deployment,
            "gateway": caller.gateway,
            "network": caller.network,
            "subject": caller.subject,
            "calls": amount.calls,
            "tokens_in": amount.input,
            "tokens_cached": amount.cached,
            "tokens_out": amount.output,
            "cost_nano_usd": (amount.unpriced == 0).then_some(amount.cost_nano),
            "basis": "attributed",
        })
    });
    entries.collect()
}

/// The largest callers, a line each, and a line for each gateway.
pub(super) fn to_table(behind: &[BehindTotal], shares: &[GatewayShare]) -> String {
    let mut text = String::new();
    if !behind.is_empty() {
        let head = ["behind a gateway", "caller", "of", "calls", "tokens", "cost"];
        let mut table = table(&head, &[3, 4, 5]);
        for caller in behind.iter().take(SHOWN) {
            let amount = caller.amount;
            let who = match (caller.subject.as_str(), caller.network.as_str()) {
                ("", "") => "-".to_owned(),
                ("", network) => printable(network),
                (subject, "") => printable(subject),
                (subject, network) => printable(&format!("{subject} from {network}")),
            };
            table.add_row([
                printable(&caller.gateway),
                who,
                printable(&format!("{}/{}", caller.account, caller.deployment)),
                Grouped(amount.calls).to_string(),
                Grouped(amount.tokens()).to_string(),
                match amount.unpriced {
                    0 => NanoUsd(amount.cost_nano).to_string(),
                    _ => "unknown".to_owned(),
                },
            ]);
        }
        text.push_str(&format!("\n{table}\n"));
    }
    for GatewayShare { account, deployment, gateway, share } in shares {
        let percent = share.linked.saturating_mul(100) / share.calls.max(1);
        text.push_str(&format!(
            "gateway {}: {} of {} calls to {}/{} are told apart ({percent} %), {} could be several\n",
            printable(gateway),
            Grouped(share.linked),
            Grouped(share.calls),
            printable(account),
            printable(if deployment.is_empty() { "(none)" } else { deployment }),
            Grouped(share.ambiguous),
        ));
    }
    text
}
