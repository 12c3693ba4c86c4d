//! The body of a webhook: `{type, timestamp, data}` in JSON (Standard Webhooks).

use std::collections::BTreeMap;

use serde::Serialize;

use crate::incident::{Announcement, Digest, Incident};
use crate::known::About;

use super::RenderError;
use super::clean;
use super::facts::{LIMITS, Limits};

/// Most bytes of a body; Standard Webhooks asks for less than 20 kB.
pub(super) const BODY_MAX: usize = 20_000;

#[derive(Serialize)]
struct Envelope<'a> {
    r#type: String,
    timestamp: String,
    data: Data<'a>,
}

/// Numbers that are not finite become `null`, which is also what unknown costs are.
#[derive(Serialize)]
struct Data<'a> {
    key: &'a str,
    rule: String,
    rule_name: String,
    account: String,
    deployment: Option<String>,
    model: Option<String>,
    resource_id: Option<String>,
    severity: &'static str,
    state: &'static str,
    first_window: String,
    last_window: String,
    opened_at: String,
    resolved_at: Option<String>,
    observed: f64,
    expected: f64,
    bound: f64,
    unit: String,
    cost_nano_usd: Option<i64>,
    cost_per_day_nano_usd: Option<i64>,
    callers: Vec<Caller>,
    evidence: Vec<String>,
    response: Vec<Step>,
    confidence: f64,
    delay_azure_s: Option<i64>,
    idempotency_key: &'a str,
}

#[derive(Serialize)]
struct Caller {
    network: String,
    identity: String,
    tokens: i64,
    cost_nano_usd: Option<i64>,
    new: bool,
    /// Absent when nobody said one.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// Absent when nothing is known.
    #[serde(skip_serializing_if = "About::is_empty")]
    about: About,
}

#[derive(Serialize)]
struct Step {
    what: String,
    /// Empty when the step is no command; `null` when the command is too long to be sent whole.
    command: Option<String>,
}

/// The bytes that are signed and sent; at most [`BODY_MAX`] unless the incident's own key is longer.
pub(super) fn body(announcement: &Announcement, key: &str) -> Result<Vec<u8>, RenderError> {
    let mut body = Vec::new();
    for limits in &LIMITS {
        body = serde_json::to_vec(&envelope(announcement, key, limits))?;
        if body.len() <= BODY_MAX {
            break;
        }
    }
    Ok(body)
}

/// Most incidents of a digest's body.
const DIGEST_MAX: usize = 40;

#[derive(Serialize)]
struct DigestEnvelope<'a> {
    r#type: &'static str,
    timestamp: String,
    data: DigestData<'a>,
}

#[derive(Serialize)]
struct DigestData<'a> {
    group: &'a str,
    severity: &'static str,
    labels: BTreeMap<String, String>,
    /// Worst first.
    incidents: Vec<DigestLine<'a>>,
    /// Those that did not fit.
    more: usize,
    idempotency_key: &'a str,
}

#[derive(Serialize)]
struct DigestLine<'a> {
    kind: &'static str,
    key: &'a str,
    rule: String,
    severity: &'static str,
    state: &'static str,
    account: String,
    deployment: Option<String>,
    cost_nano_usd: Option<i64>,
    cost_per_day_nano_usd: Option<i64>,
}

/// The bytes about several incidents; as many of the worst as fit into [`BODY_MAX`].
pub(super) fn digest(digest: &Digest, key: &str) -> Result<Vec<u8>, RenderError> {
    let mut most = DIGEST_MAX;
    loop {
        let body = serde_json::to_vec(&digest_envelope(digest, key, most))?;
        if body.len() <= BODY_MAX || most <= 1 {
            return Ok(body);
        }
        most /= 2;
    }
}

fn digest_envelope<'a>(digest: &'a Digest, key: &'a str, most: usize) -> DigestEnvelope<'a> {
    let text = |text: &str| clean::line(text, 120);
    let incidents = digest.announcements.iter().take(most).map(|told| DigestLine {
        kind: told.kind.word(),
        key: &told.incident.key,
        rule: text(&told.incident.rule),
        severity: told.incident.severity.word(),
        state: told.incident.state.word(),
        account: text(&told.incident.account),
        deployment: told.incident.deployment.as_deref().map(text),
        cost_nano_usd: told.incident.cost.map(|cost| cost.0),
        cost_per_day_nano_usd: told.incident.cost_per_day.map(|cost| cost.0),
    });
    let labels = digest.labels.iter().take(20).map(|(name, value)| (text(name), text(value)));
    DigestEnvelope {
        r#type: "digest",
        timestamp: digest.at.to_string(),
        data: DigestData {
            group: &digest.group,
            severity: digest.severity().word(),
            labels: labels.collect(),
            incidents: incidents.collect(),
            more: digest.announcements.len().saturating_sub(most),
            idempotency_key: key,
        },
    }
}

fn envelope<'a>(announcement: &'a Announcement, key: &'a str, limits: &Limits) -> Envelope<'a> {
    Envelope {
        r#type: format!("incident.{}", announcement.kind.word()),
        timestamp: announcement.at.to_string(),
        data: data(&announcement.incident, key, limits),
    }
}

fn data<'a>(incident: &'a Incident, key: &'a str, limits: &Limits) -> Data<'a> {
    let text = |text: &str| clean::line(text, limits.text);
    Data {
        key: &incident.key,
        rule: text(&incident.rule),
        rule_name: text(&incident.rule_name),
        account: text(&incident.account),
        deployment: incident.deployment.as_deref().map(text),
        model: incident.model.as_deref().map(text),
        // Resource ids of Azure are far longer than other names, and useless when cut.
        resource_id: incident.resource_id.as_deref().map(|id| clean::line(id, limits.command)),
        severity: incident.severity.word(),
        state: incident.state.word(),
        first_window: incident.first_window.to_string(),
        last_window: incident.last_window.to_string(),
        opened_at: incident.opened_at.to_string(),
        resolved_at: incident.resolved_at.map(|at| at.to_string()),
        observed: incident.observed,
        expected: incident.expected,
        bound: incident.bound,
        unit: text(&incident.unit),
        cost_nano_usd: incident.cost.map(|cost| cost.0),
        cost_per_day_nano_usd: incident.cost_per_day.map(|cost| cost.0),
        callers: callers(incident, limits),
        evidence: incident.evidence.iter().take(limits.evidence).map(|e| text(e)).collect(),
        response: steps(incident, limits),
        confidence: incident.confidence,
        delay_azure_s: incident.delay_azure_s,
        idempotency_key: key,
    }
}

fn callers(incident: &Incident, limits: &Limits) -> Vec<Caller> {
    let shown = incident.callers.iter().take(limits.callers);
    shown
        .map(|caller| Caller {
            network: clean::line(&caller.network, limits.text),
            identity: clean::line(&caller.identity, limits.text),
            tokens: caller.tokens,
            cost_nano_usd: caller.cost.map(|cost| cost.0),
            new: caller.new,
            name: caller.name.as_deref().map(|name| clean::line(name, limits.text)),
            about: about(&caller.about, limits),
        })
        .collect()
}

/// The same with clean texts.
fn about(about: &About, limits: &Limits) -> About {
    let mut about = about.clone();
    let names = about.named.iter_mut().map(|named| &mut named.name);
    let lists = about.listed.iter_mut().map(|listed| &mut listed.list);
    for text in names.chain(lists).chain(&mut about.as_name).chain(&mut about.country) {
        *text = clean::line(text, limits.text);
    }
    about
}

fn steps(incident: &Incident, limits: &Limits) -> Vec<Step> {
    let shown = incident.response.iter().take(limits.responses);
    shown
        .map(|response| Step {
            what: clean::line(&response.what, limits.text),
            command: clean::command(&response.command, limits.command),
        })
        .collect()
}
