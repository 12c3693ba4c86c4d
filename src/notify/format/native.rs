//! Our own: `{type, timestamp, data}` (Standard Webhooks), described by `docs/webhook.schema.json`.

use std::collections::BTreeMap;

use serde::Serialize;

use super::data::{Caller, Core, Gathered, Step, Told};
use super::{Format, Written};
use crate::incident::Feedback;

/// JSON without a standard behind it, but with a schema.
pub(super) const FORMAT: Format = Format {
    name: "native",
    content_type: "application/json",
    what: "ours, by a JSON Schema that `tokenwatch schema webhook` prints",
    incident,
    digest,
};

#[derive(Serialize)]
struct Envelope<D> {
    r#type: String,
    timestamp: String,
    data: D,
}

/// One incident.
#[derive(Serialize)]
pub(super) struct IncidentData<'a> {
    #[serde(flatten)]
    core: &'a Core<'a>,
    labels: BTreeMap<String, String>,
    callers: Vec<Caller>,
    callers_before: Vec<Caller>,
    evidence: Vec<String>,
    response: Vec<Step>,
    confidence: f64,
    delay_azure_s: Option<i64>,
    first_call: Option<String>,
    first_arrival: Option<String>,
    history: Vec<Moment>,
    feedback: Option<&'static str>,
    parent: Option<&'a str>,
    children: Vec<&'a str>,
    idempotency_key: &'a str,
}

#[derive(Serialize)]
struct Moment {
    at: String,
    author: String,
    what: String,
}

/// Several incidents.
#[derive(Serialize)]
pub(super) struct DigestData<'a> {
    key: &'a str,
    group: &'a str,
    gathering: &'static str,
    summary: &'a str,
    severity: &'static str,
    state: &'static str,
    labels: &'a BTreeMap<String, String>,
    incidents: Vec<Line<'a>>,
    /// Those that did not fit.
    more: usize,
    idempotency_key: &'a str,
}

#[derive(Serialize)]
struct Line<'a> {
    kind: &'static str,
    #[serde(flatten)]
    core: &'a Core<'a>,
}

/// What is said of one incident.
pub(super) fn incident_data<'a>(told: &'a Told<'a>) -> IncidentData<'a> {
    let incident = told.incident();
    let moments = incident.history.iter().rev().take(told.limits.evidence).rev();
    IncidentData {
        core: &told.core,
        labels: told.labels(),
        callers: told.callers(&incident.callers),
        callers_before: told.callers(&incident.callers_before),
        evidence: told.evidence(),
        response: told.steps(),
        confidence: incident.confidence,
        delay_azure_s: incident.delay_azure_s,
        first_call: incident.first_call.map(|at| at.to_string()),
        first_arrival: incident.first_arrival.map(|at| at.to_string()),
        history: moments
            .map(|entry| Moment {
                at: entry.at.to_string(),
                author: told.text(&entry.author),
                what: told.text(&entry.what),
            })
            .collect(),
        feedback: incident.feedback.map(Feedback::word),
        parent: incident.parent.as_deref(),
        children: incident.children.iter().take(told.limits.evidence).map(String::as_str).collect(),
        idempotency_key: told.label.key,
    }
}

/// What is said of several.
pub(super) fn digest_data<'a>(gathered: &'a Gathered<'a>) -> DigestData<'a> {
    let lines = gathered.told.iter().map(|(told, core)| Line { kind: told.kind.word(), core });
    DigestData {
        key: &gathered.digest.key,
        group: &gathered.digest.group,
        gathering: gathered.gathering(),
        summary: &gathered.summary,
        severity: gathered.digest.severity().word(),
        state: gathered.state().word(),
        labels: &gathered.labels,
        incidents: lines.collect(),
        more: gathered.more,
        idempotency_key: gathered.label.key,
    }
}

fn incident(told: &Told<'_>) -> Written {
    serde_json::to_value(Envelope {
        r#type: format!("incident.{}", told.announcement.kind.word()),
        timestamp: told.announcement.at.to_string(),
        data: incident_data(told),
    })
}

fn digest(gathered: &Gathered<'_>) -> Written {
    serde_json::to_value(Envelope {
        r#type: "incident.digest".to_owned(),
        timestamp: gathered.digest.at.to_string(),
        data: digest_data(gathered),
    })
}
