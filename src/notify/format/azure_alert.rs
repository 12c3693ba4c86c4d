//! Azure Monitor's common alert schema, so that runbooks, Logic Apps and functions written for
//! Azure's own alerts take ours unchanged.

use serde_json::{Value, json};

use super::data::{Core, Gathered, Told};
use super::native::{digest_data, incident_data};
use super::{Format, Written};
use crate::incident::{Incident, Severity, State};

/// The common alert schema.
pub(super) const FORMAT: Format = Format {
    name: "azure-common-alert",
    content_type: "application/json; charset=utf-8",
    what: "Azure Monitor's common alert schema",
    incident,
    digest,
};

fn incident(told: &Told<'_>) -> Written {
    let (incident, core) = (told.incident(), &told.core);
    let mut description = vec![core.summary.clone()];
    description.extend(told.evidence());
    let mut essentials = json!({
        "alertId": core.key,
        "originAlertId": core.key,
        "alertRule": format!("{} {}", core.rule, core.rule_name),
        "severity": severity(incident.severity),
        "signalType": "Log",
        "monitorCondition": condition(incident.state),
        "monitoringService": "tokenwatch",
        "alertTargetIDs": core.resource().into_iter().collect::<Vec<_>>(),
        "configurationItems": [core.place()],
        "firedDateTime": core.opened_at,
        "description": description.join("\n"),
        "essentialsVersion": "1.0",
        "alertContextVersion": "1.0",
    });
    resolved(&mut essentials, core.resolved_at.as_deref());
    let custom = json!({
        "kind": told.announcement.kind.word(),
        "idempotencyKey": told.label.key,
        "whatToDo": told.advice(),
    });
    let context = json!({
        "condition": measured(incident, core),
        "incident": serde_json::to_value(incident_data(told))?,
    });
    Ok(envelope(&essentials, &context, &custom))
}

/// What was measured against what, in the words of Azure's metric alerts.
fn measured(incident: &Incident, core: &Core<'_>) -> Value {
    let falls = incident.bound < incident.expected;
    let dimensions: Vec<_> = [("deployment", &core.deployment), ("model", &core.model)]
        .into_iter()
        .filter_map(|(name, value)| Some(json!({"name": name, "value": value.as_ref()?})))
        .collect();
    json!({
        "windowStartTime": core.first_window,
        "windowEndTime": core.last_window,
        "allOf": [{
            "metricName": core.unit,
            "metricValue": core.observed,
            "operator": if falls { "LessThan" } else { "GreaterThan" },
            "threshold": core.bound,
            "timeAggregation": "Total",
            "dimensions": dimensions,
        }],
    })
}

fn digest(gathered: &Gathered<'_>) -> Written {
    let digest = gathered.digest;
    let resources = gathered.told.iter().filter_map(|(_, core)| core.resource());
    let mut resources: Vec<String> = resources.collect();
    resources.sort();
    resources.dedup();
    let fired = digest.announcements.iter().map(|told| told.incident.opened_at).min();
    let mut essentials = json!({
        "alertId": digest.key,
        "originAlertId": digest.key,
        "alertRule": "Several incidents",
        "severity": severity(digest.severity()),
        "signalType": "Log",
        "monitorCondition": condition(gathered.state()),
        "monitoringService": "tokenwatch",
        "alertTargetIDs": resources,
        "configurationItems": gathered.told.iter().map(|(_, core)| core.place()).collect::<Vec<_>>(),
        "firedDateTime": fired.unwrap_or(digest.at).to_string(),
        "description": format!("{}\n{}", gathered.summary, gathered.list()),
        "essentialsVersion": "1.0",
        "alertContextVersion": "1.0",
    });
    let over = digest.is_over().then(|| digest.at.to_string());
    resolved(&mut essentials, over.as_deref());
    let custom = json!({"kind": "digest", "idempotencyKey": gathered.label.key});
    let context = json!({"digest": serde_json::to_value(digest_data(gathered))?});
    Ok(envelope(&essentials, &context, &custom))
}

fn envelope(essentials: &Value, context: &Value, custom: &Value) -> Value {
    json!({
        "schemaId": "azureMonitorCommonAlertSchema",
        "data": {
            "essentials": essentials,
            "alertContext": context,
            "customProperties": custom,
        },
    })
}

/// The field is absent while an alert is fired.
fn resolved(essentials: &mut Value, at: Option<&str>) {
    if let (Some(at), Some(fields)) = (at, essentials.as_object_mut()) {
        fields.insert("resolvedDateTime".to_owned(), json!(at));
    }
}

/// Azure's scale: critical, error, warning, informational, verbose.
const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical => "Sev0",
        Severity::High => "Sev1",
        Severity::Medium => "Sev2",
        Severity::Low => "Sev3",
        Severity::Info => "Sev4",
    }
}

const fn condition(state: State) -> &'static str {
    match state {
        State::Open | State::Acknowledged => "Fired",
        State::Resolved => "Resolved",
    }
}
