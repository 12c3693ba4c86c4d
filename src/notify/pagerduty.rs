//! PagerDuty, by its Events API v2: one alert an incident, triggered, acknowledged and resolved
//! under one key.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};

use crate::incident::{Announcement, Digest, Incident, Kind, Severity};

use super::brief::Brief;
use super::facts::{LIMITS, Limits, place};
use super::http::{HttpSettings, Poster};
use super::lines::Lines;
use super::settings::{Label, Problem, Settings};
use super::{Channel, Notification, RenderError, SendError, Sending, clean, hex_sha256};

/// Where events of accounts in the United States go; `https://events.eu.pagerduty.com` in Europe.
pub const PAGERDUTY: &str = "https://events.pagerduty.com";
/// Longest summary, in characters.
const SUMMARY_MAX: usize = 1_024;
/// Longest key that alerts are told apart by.
const DEDUP_MAX: usize = 255;
/// Incidents of a digest that its alert names.
const LINES_MAX: usize = 40;

/// An integration of type "Events API v2" of a PagerDuty service.
#[derive(Debug, Clone)]
pub struct PagerDutySettings {
    /// Where to: the address without a path, such as [`PAGERDUTY`].
    pub http: HttpSettings,
    /// Key of the integration.
    pub routing_key: SecretString,
}

impl Settings for PagerDutySettings {
    fn word(&self) -> &'static str {
        "pagerduty"
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.http.base_problems();
        let key = self.routing_key.expose_secret();
        if key.is_empty() || !key.chars().all(|c| c.is_ascii_graphic()) {
            problems.push(Problem::Setting {
                field: "routing_key",
                reason: "not the key of an integration",
                mend: "copy the integration key of type \"Events API v2\" (32 characters)",
            });
        }
        problems
    }

    fn body(&self, told: &Announcement, _label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        let incident = &told.incident;
        let brief = Brief::new(told, &LIMITS[0]);
        let summary = format!("{}: {} {}", place(incident, 60), brief.badge, brief.sentence);
        let payload = json!({
            "summary": clean::line(&summary, SUMMARY_MAX),
            "source": place(incident, 120),
            "severity": severity(told.kind, incident.severity),
            "timestamp": told.at.to_string(),
            "component": clean::untrusted(incident.deployment.as_deref().unwrap_or_default(), 120),
            "group": clean::untrusted(&incident.account, 120),
            "class": clean::untrusted(&incident.rule, 120),
            "custom_details": details(incident, &brief, &LIMITS[0]),
        });
        Ok(serde_json::to_vec(&event(action(told.kind), &incident.key, &payload))?)
    }

    fn digest(&self, digest: &Digest, _label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        let lines = Lines::new(digest, LINES_MAX);
        let kind = if digest.is_over() { Kind::Resolve } else { Kind::Open };
        let incidents = lines.shown.iter().map(|line| {
            let text = format!("{} {}: {}", line.badge, line.place, line.said());
            json!({ "incident": line.key, "what": text })
        });
        let payload = json!({
            "summary": clean::line(&lines.title, SUMMARY_MAX),
            "source": "tokenwatch",
            "severity": severity(kind, digest.severity()),
            "timestamp": digest.at.to_string(),
            "class": "digest",
            "custom_details": {
                "why": lines.why,
                "incidents": incidents.collect::<Vec<_>>(),
                "more": lines.more,
            },
        });
        Ok(serde_json::to_vec(&event(action(kind), &digest.group, &payload))?)
    }

    fn connect(&self) -> Result<Box<dyn Channel>, Problem> {
        let http = self.http.below("v2/enqueue");
        let routing_key = Value::from(self.routing_key.expose_secret()).to_string().into();
        Ok(Box::new(PagerDutyChannel { poster: Poster::new(&http)?, routing_key }))
    }
}

/// An event without its routing key, which no outbox may hold.
fn event(action: &'static str, incident_key: &str, payload: &Value) -> Value {
    json!({
        "event_action": action,
        "dedup_key": dedup_key(incident_key),
        "client": "tokenwatch",
        "payload": payload,
    })
}

/// The incident's own key where PagerDuty takes it, else its hash.
fn dedup_key(incident_key: &str) -> String {
    let fits = incident_key.len() <= DEDUP_MAX && incident_key.chars().all(|c| !c.is_control());
    if fits && !incident_key.is_empty() {
        incident_key.to_owned()
    } else {
        hex_sha256(incident_key)
    }
}

/// What becomes of the alert.
const fn action(kind: Kind) -> &'static str {
    match kind {
        Kind::Open | Kind::Escalate | Kind::Reopen | Kind::Repeat | Kind::Test => "trigger",
        Kind::Acknowledge => "acknowledge",
        Kind::Resolve => "resolve",
    }
}

const fn severity(kind: Kind, severity: Severity) -> &'static str {
    match (kind, severity) {
        (Kind::Test, _) | (_, Severity::Info | Severity::Low) => "info",
        (_, Severity::Medium) => "warning",
        (_, Severity::High) => "error",
        (_, Severity::Critical) => "critical",
    }
}

fn details(incident: &Incident, brief: &Brief, limits: &Limits) -> Value {
    let numbers: serde_json::Map<String, Value> =
        brief.numbers.iter().map(|(name, value)| ((*name).to_owned(), json!(value))).collect();
    let steps = brief.steps.iter().map(|step| match &step.command {
        Some(command) => format!("{} {command}", step.what),
        None => step.what.clone(),
    });
    json!({
        "incident": brief.key,
        "rule": clean::untrusted(&incident.rule_name, limits.text),
        "where": brief.place,
        "numbers": numbers,
        "callers": brief.callers,
        "evidence": brief.evidence,
        "what to do": steps.collect::<Vec<_>>(),
        "not known": brief.unknowns,
    })
}

/// Posts stored events with the routing key put in.
struct PagerDutyChannel {
    poster: Poster,
    /// As JSON, quotes included.
    routing_key: SecretString,
}

/// Hides the routing key.
impl std::fmt::Debug for PagerDutyChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PagerDutyChannel").field("poster", &self.poster).finish_non_exhaustive()
    }
}

impl Channel for PagerDutyChannel {
    fn send<'a>(&'a self, notification: &'a Notification, now_s: i64) -> Sending<'a> {
        Box::pin(async move {
            let rest = notification.body.strip_prefix(b"{");
            let rest = rest.ok_or_else(|| SendError::give_up("not an event"))?;
            let routing_key = self.routing_key.expose_secret();
            let mut body = format!("{{\"routing_key\":{routing_key},").into_bytes();
            body.extend_from_slice(rest);
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            self.poster.post(headers, body, now_s).await.map(drop)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_that_pagerduty_does_not_take_become_hashes() {
        assert_eq!(dedup_key("TW-C01|a|1|x"), "TW-C01|a|1|x");
        for odd in [String::new(), "a\nb".to_owned(), "ä".repeat(128)] {
            assert_eq!(dedup_key(&odd).len(), 64, "{odd}");
        }
    }
}
