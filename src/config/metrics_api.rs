//! `[[metrics_api]]`: accounts whose metrics are asked for by REST.

use reqwest::Url;

use super::section::{Section, Walk};
use crate::azure::{Identity, origin};
use crate::event::account_of;
use crate::source::metrics_api::{METRICS, MetricsSettings, subscription_of};
use crate::time::{HOUR_MS, MINUTE_MS};

pub(super) const KEYS: &[&str] = &[
    "name",
    "region",
    "endpoint",
    "accounts",
    "auth",
    "client_id",
    "metrics",
    "every",
    "lag",
    "overlap",
    "backfill",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Managed,
    Workload,
    Cli,
}

const AUTH: &[(&str, Kind)] =
    &[("managed", Kind::Managed), ("workload", Kind::Workload), ("cli", Kind::Cli)];

/// Example of an account.
const ACCOUNT: &str = "\"/subscriptions/ID/resourceGroups/GROUP/providers/Microsoft.CognitiveServices/accounts/NAME\"";
/// Most metrics of one source: three questions.
const MAX_METRICS: usize = 60;

/// Reads one source; `None` when it has no address, which has been reported.
pub(super) fn read(section: &Section<'_>, walk: &mut Walk<'_>) -> Option<MetricsSettings> {
    section.require("name", "\"eastus2-metrics\"", walk);
    section.require("accounts", &format!("[{ACCOUNT}]"), walk);
    let mut span = |key, range, default| section.duration(key, range, walk).unwrap_or(default);
    // Azure has a point a minute, about one to three minutes later.
    let every_ms = span("every", ("1s", "1h"), MINUTE_MS);
    let lag_ms = span("lag", ("0s", "1h"), 2 * MINUTE_MS);
    let overlap_ms = span("overlap", ("1m", "1h"), 5 * MINUTE_MS);
    let backfill_ms = span("backfill", ("0s", "30d"), HOUR_MS);
    let endpoint = endpoint(section, walk);
    let (name, accounts) = (super::hub::name(section, walk), accounts(section, walk));
    let (identity, metrics) = (identity(section, walk), metrics(section, walk));
    let overlap_ms = overlap_ms - overlap_ms % MINUTE_MS;
    Some(MetricsSettings {
        name,
        endpoint: endpoint?,
        accounts,
        identity,
        metrics,
        every_ms,
        lag_ms,
        overlap_ms,
        backfill_ms,
    })
}

/// Who we are to Entra ID.
pub(super) fn identity(section: &Section<'_>, walk: &mut Walk<'_>) -> Identity {
    let kind = section.choice("auth", AUTH, walk);
    // An unreadable `auth` has been reported; what depends on it is not held against the user.
    if section.has("client_id") && kind.is_some_and(|kind| kind != Kind::Managed) {
        let message = "`client_id` is used with auth = \"managed\" only";
        let mend = "write auth = \"managed\", or remove client_id";
        walk.findings.report(section.key_at("client_id"), message, mend);
    }
    let client_id = section.text("client_id", walk);
    match kind.unwrap_or(Kind::Managed) {
        Kind::Managed => Identity::Managed { client_id },
        Kind::Workload => Identity::Workload,
        Kind::Cli => Identity::Cli,
    }
}

/// The address of the region, or another one; `None` when there is none that can be used.
fn endpoint(section: &Section<'_>, walk: &mut Walk<'_>) -> Option<Url> {
    match (section.has("region"), section.has("endpoint")) {
        (true, true) => {
            let message = "`region` and `endpoint` both say where to ask";
            walk.findings.report(section.key_at("region"), message, "remove one of them");
            None
        }
        (false, true) => https(section, "endpoint", walk),
        (true, false) => region(section, walk),
        (false, false) => {
            section.require("region", "\"eastus2\"", walk);
            None
        }
    }
}

/// An address that our tokens may be sent to.
pub(super) fn https(section: &Section<'_>, key: &str, walk: &mut Walk<'_>) -> Option<Url> {
    let text = section.text(key, walk)?;
    let url = origin(&text);
    if url.is_none() {
        // At the key: an address may hold a password.
        let message = format!("`{key}` is not https:// and the name of a host");
        let mend = "write \"https://HOST\" or \"https://HOST:PORT\": it is sent our tokens";
        walk.findings.report(section.key_at(key), message, mend);
    }
    url
}

fn region(section: &Section<'_>, walk: &mut Walk<'_>) -> Option<Url> {
    let region = section.text("region", walk)?;
    if !region.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()) {
        let message = format!("`region`: {region:?} is not the short name of a region");
        let mend = "write it as `az account list-locations` does, such as \"eastus2\"";
        walk.findings.report(section.value_at("region"), message, mend);
        return None;
    }
    Url::parse(&format!("https://{region}.metrics.monitor.azure.com")).ok()
}

fn accounts(section: &Section<'_>, walk: &mut Walk<'_>) -> Vec<String> {
    let mut found: Vec<String> = Vec::new();
    let Some(texts) = section.texts("accounts", walk) else { return found };
    let at = section.value_at("accounts");
    if texts.is_empty() {
        let mend = format!("write accounts = [{ACCOUNT}]");
        walk.findings.report(at.clone(), "`accounts` is empty", mend);
    }
    for text in texts {
        let id = text.trim().trim_end_matches('/').to_ascii_lowercase();
        if subscription_of(&id).is_empty() || account_of(&id) != Some(id.as_str()) {
            let message = format!("`accounts`: {text:?} is not the resource id of an AI account");
            walk.findings.report(at.clone(), message, format!("write it as {ACCOUNT}"));
        } else if found.contains(&id) {
            let message = format!("`accounts`: {text:?} is there twice");
            walk.findings.report(at.clone(), message, "remove one of them");
        } else {
            found.push(id);
        }
    }
    found
}

fn metrics(section: &Section<'_>, walk: &mut Walk<'_>) -> Vec<String> {
    let Some(names) = section.texts("metrics", walk) else {
        return METRICS.map(str::to_owned).to_vec();
    };
    let is_name = |name: &String| {
        (1..=128).contains(&name.len())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    if names.is_empty() || names.len() > MAX_METRICS || !names.iter().all(is_name) {
        let message = format!("`metrics` is not a list of 1 to {MAX_METRICS} names of metrics");
        let mend = "write names as the REST API has them, such as [\"InputTokens\"], or remove it";
        walk.findings.report(section.value_at("metrics"), message, mend);
    }
    names
}
