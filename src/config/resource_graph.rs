//! `[resource_graph]`: subscriptions whose AI resources are read through Azure Resource Manager.

use std::collections::BTreeSet;
use std::time::Duration;

use reqwest::Url;

use super::metrics_api::{https, identity};
use super::section::{Section, Walk};
use crate::azure::Bounds;
use crate::source::resource_graph::{InventorySettings, PUBLIC, subscription_id};
use crate::time::DAY_MS;

pub(super) const KEYS: &[&str] = &["subscriptions", "endpoint", "auth", "client_id", "every"];

/// Example of a subscription.
const SUBSCRIPTION: &str = "\"3f0c0000-0000-4000-8000-000000000001\"";
/// Subscriptions that one service reads.
const MAX_SUBSCRIPTIONS: usize = 100;

/// Reads the section; `None` when it has no address that can be used, which has been reported.
pub(super) fn read(
    section: &Section<'_>,
    walk: &mut Walk<'_>,
) -> Option<(InventorySettings, Duration)> {
    section.require("subscriptions", &format!("[{SUBSCRIPTION}]"), walk);
    let subscriptions = subscriptions(section, walk);
    let identity = identity(section, walk);
    // A poll asks a few questions of each account; what was written is read soon after in any case.
    let every_ms = section.duration("every", ("15m", "7d"), walk).unwrap_or(DAY_MS);
    let endpoint = match section.has("endpoint") {
        true => https(section, "endpoint", walk),
        false => Url::parse(PUBLIC).ok(),
    };
    // Nobody waits: what is not answered now is asked for again in the next poll.
    let bounds = Bounds::default();
    let every = Duration::from_millis(u64::try_from(every_ms).unwrap_or(0));
    Some((InventorySettings { endpoint: endpoint?, identity, subscriptions, bounds }, every))
}

fn subscriptions(section: &Section<'_>, walk: &mut Walk<'_>) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let Some(texts) = section.texts("subscriptions", walk) else { return found };
    let at = section.value_at("subscriptions");
    if texts.is_empty() || texts.len() > MAX_SUBSCRIPTIONS {
        let message = format!("`subscriptions` is not a list of 1 to {MAX_SUBSCRIPTIONS} ids");
        let mend = format!("write subscriptions = [{SUBSCRIPTION}]");
        walk.findings.report(at.clone(), message, mend);
    }
    for text in texts {
        let Some(id) = subscription_id(&text) else {
            let message = format!("`subscriptions`: {text:?} is not the id of a subscription");
            let mend = format!("write it as `az account list` does, such as {SUBSCRIPTION}");
            walk.findings.report(at.clone(), message, mend);
            continue;
        };
        if !found.insert(id) {
            let message = format!("`subscriptions`: {text:?} is there twice");
            walk.findings.report(at.clone(), message, "remove one of them");
        }
    }
    found
}
