//! The webhook payload of Prometheus' Alertmanager, version 4, for receivers written for it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::data::{self, Core, Gathered, Told};
use super::{Format, Written};
use crate::incident::{Announcement, State};
use crate::notify::hex_sha256;

/// Version 4 of the payload, spoken since Alertmanager 0.5.
pub(super) const FORMAT: Format = Format {
    name: "alertmanager",
    content_type: "application/json",
    what: "the webhook payload of Alertmanager, version 4",
    incident,
    digest,
};

/// No time in Go: the end of an alert that goes on.
const NO_TIME: &str = "0001-01-01T00:00:00Z";
/// Digits of a fingerprint: 64 bits.
const FINGERPRINT: usize = 16;

type Labels = BTreeMap<String, String>;

/// What goes around the alerts.
struct Group<'a> {
    key: &'a str,
    receiver: &'a str,
    state: State,
    labels: Labels,
    common_labels: Labels,
    common_annotations: Labels,
    truncated: usize,
}

fn incident(told: &Told<'_>) -> Written {
    let labels = labels(told.announcement, &told.core);
    let mut annotations = annotations(&told.core);
    annotations.insert("description".to_owned(), told.evidence().join("\n"));
    annotations.insert("what_to_do".to_owned(), told.advice());
    let grouped = ["alertname", "account", "deployment"];
    let group = Group {
        key: &told.incident().key,
        receiver: told.label.destination,
        state: told.incident().state,
        labels: labels.clone().into_iter().filter(|(name, _)| grouped.contains(&&**name)).collect(),
        common_labels: labels.clone(),
        common_annotations: annotations.clone(),
        truncated: 0,
    };
    Ok(group.with(&[alert(told.announcement, &labels, &annotations)]))
}

fn digest(gathered: &Gathered<'_>) -> Written {
    let told = gathered.told.iter();
    let told: Vec<_> =
        told.map(|(told, core)| (*told, labels(told, core), annotations(core))).collect();
    let alerts: Vec<_> =
        told.iter().map(|(told, labels, notes)| alert(told, labels, notes)).collect();
    let group = Group {
        key: &gathered.digest.group,
        receiver: gathered.label.destination,
        state: gathered.state(),
        labels: gathered.labels.clone(),
        common_labels: common(told.iter().map(|(_, labels, _)| labels)),
        common_annotations: Labels::from([("summary".to_owned(), gathered.summary.clone())]),
        truncated: gathered.more,
    };
    Ok(group.with(&alerts))
}

impl Group<'_> {
    fn with(&self, alerts: &[Value]) -> Value {
        json!({
            "version": "4",
            "groupKey": self.key,
            "truncatedAlerts": self.truncated,
            "status": status(self.state),
            "receiver": self.receiver,
            "groupLabels": self.labels,
            "commonLabels": self.common_labels,
            "commonAnnotations": self.common_annotations,
            "externalURL": "",
            "alerts": alerts,
        })
    }
}

fn alert(told: &Announcement, labels: &Labels, annotations: &Labels) -> Value {
    let incident = &told.incident;
    let ends = incident.resolved_at.map_or_else(|| NO_TIME.to_owned(), |at| at.to_string());
    let fingerprint: String = hex_sha256(&incident.key).chars().take(FINGERPRINT).collect();
    json!({
        "status": status(incident.state),
        "labels": labels,
        "annotations": annotations,
        "startsAt": incident.first_window.to_string(),
        "endsAt": ends,
        "generatorURL": "",
        "fingerprint": fingerprint,
    })
}

/// The labels that routes match on, and the name that Alertmanager's users expect.
fn labels(told: &Announcement, core: &Core<'_>) -> Labels {
    let mut labels = data::labels_of(&told.incident);
    labels.insert("alertname".to_owned(), core.rule_name.clone());
    labels
}

fn annotations(core: &Core<'_>) -> Labels {
    let nano =
        |cost: Option<i64>| cost.map_or_else(|| "unknown".to_owned(), |cost| cost.to_string());
    let known = [
        ("summary", core.summary.clone()),
        ("incident", core.key.to_owned()),
        ("cost_nano_usd", nano(core.cost_nano_usd)),
        ("cost_per_day_nano_usd", nano(core.cost_per_day_nano_usd)),
    ];
    known.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Labels that all share.
fn common<'l>(mut all: impl Iterator<Item = &'l Labels>) -> Labels {
    let mut shared = all.next().cloned().unwrap_or_default();
    for labels in all {
        shared.retain(|name, value| labels.get(name) == Some(value));
    }
    shared
}

const fn status(state: State) -> &'static str {
    match state {
        State::Open | State::Acknowledged => "firing",
        State::Resolved => "resolved",
    }
}
