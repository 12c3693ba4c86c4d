//! The eight doors, in the order of the table that people see.

mod auth;
mod encryption;
mod logs;
mod network;
mod outbound;
mod policy;
mod private;
mod spend;

use super::{Door, Look, Verdict};
use crate::severity::Severity;

/// Every door.
pub static DOORS: [Door; 8] = [
    Door {
        word: "policy",
        name: "Policy and sprawl",
        why: "Whoever may write here can place another account, in any region and of any price, \
              where nobody looks.",
        severity: Severity::Medium,
        judge: policy::judge,
    },
    Door {
        word: "network",
        name: "Network",
        why: "A stolen key works from any address that is let in.",
        severity: Severity::High,
        judge: network::judge,
    },
    Door {
        word: "private",
        name: "Private endpoints",
        why: "Without an approved private endpoint your own traffic needs the public address, so \
              it cannot be shut.",
        severity: Severity::Medium,
        judge: private::judge,
    },
    Door {
        word: "auth",
        name: "Authentication",
        why: "A key is all a thief needs: it names nobody, does not expire, and works for whoever \
              holds it.",
        severity: Severity::High,
        judge: auth::judge,
    },
    Door {
        word: "outbound",
        name: "Outbound restriction",
        why: "Whoever steers the resource can make it fetch from and send to any host.",
        severity: Severity::Low,
        judge: outbound::judge,
    },
    Door {
        word: "encryption",
        name: "Encryption with your own key",
        why: "Data at rest cannot be made unreadable by you when it must be.",
        severity: Severity::Low,
        judge: encryption::judge,
    },
    Door {
        word: "logs",
        name: "Diagnostics",
        why: "What is not sent to an event hub cannot be noticed, by tokenwatch or by anybody.",
        severity: Severity::High,
        judge: logs::judge,
    },
    Door {
        word: "spend",
        name: "Spend guard",
        why: "Nobody hears that the money is going before the invoice comes.",
        severity: Severity::Medium,
        judge: spend::judge,
    },
];
