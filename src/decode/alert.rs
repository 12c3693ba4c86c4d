//! Alerts of Microsoft Defender for Cloud, exported one bare object per event.

use super::field::{FieldError, Fields, MAX_ELEMENTS, elements, text_of};
use super::{Decoder, Read, Record, caller, text};
use crate::event::Event;
use crate::event::signal::{Alert, Level};
use crate::time::{self, EventTime};

/// Alerts of Defender for Cloud.
pub(super) const DECODER: Decoder = Decoder {
    name: "Defender alert",
    is: |category, fields| {
        let has = |name| fields.raw(name).is_some();
        (has("AlertType") && has("SystemAlertId"))
            || (text::begins(category, "Microsoft.Security/")
                && category.to_ascii_lowercase().ends_with("/alerts"))
    },
    read: Read::With(decode),
    reads: "type, severity, status, stage, resource, deployment and the networks and object ids of its entities",
    cannot_tell: "what Defender saw (texts of prompts are dropped); it needs the paid plan and comes minutes to hours later",
};

/// Reads one alert.
///
/// # Errors
/// No id or no type.
fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    let missing = |field: &str| FieldError::new(field, "is missing");
    let id = record.find(&["SystemAlertId"]).map(|id| text::clean(&id, text::MAX_ID_CHARS));
    let kind = record.name(&["AlertType"]);
    if kind.is_empty() {
        return Err(missing("AlertType"));
    }
    let time =
        |names: &[&str]| record.find(names).and_then(|text| time::parse(&text)).map(EventTime);
    let start = time(&["StartTimeUtc", "StartTime"]);
    let end = time(&["EndTimeUtc", "EndTime"]);
    let mut alert = Alert {
        id: id.ok_or_else(|| missing("SystemAlertId"))?,
        kind,
        name: record.name(&["AlertDisplayName", "AlertName", "DisplayName"]),
        severity: level(&record.find(&["Severity", "AlertSeverity"]).unwrap_or_default()),
        status: record.name(&["Status"]),
        intent: record.name(&["Intent"]),
        at: time(&["TimeGenerated", "TimeGeneratedUtc", "ProcessingEndTime"]).or(end).or(start),
        start,
        end,
        resource: resource(record),
        deployment: String::new(),
        networks: Vec::new(),
        identities: Vec::new(),
    };
    for fields in [&record.fields, &record.properties] {
        if let Some(list) = fields.nested("Entities") {
            elements(&list, MAX_ELEMENTS, &mut |entity| add_entity(entity, &mut alert));
        }
        if let Some(extended) = fields.nested("ExtendedProperties") {
            add_extended(&extended, &mut alert);
        }
    }
    Ok(Event::Alert(Box::new(alert)))
}

/// The resource, or the first one among the identifiers.
fn resource(record: &Record<'_>) -> String {
    let mut found = record.find(&["AzureResourceId", "ResourceId"]).map(|id| text::resource(&id));
    for fields in [&record.fields, &record.properties] {
        let Some(list) = fields.nested("ResourceIdentifiers") else { continue };
        elements(&list, MAX_ELEMENTS, &mut |item| {
            if found.is_none() {
                let id = Fields::read(item).and_then(|item| {
                    item.first_text(&["AzureResourceId"]).map(|id| text::resource(&id))
                });
                found = id;
            }
        });
    }
    found.unwrap_or_default()
}

/// Keeps an address as its network and an Entra object id; everything else of an entity is dropped.
fn add_entity(entity: &str, alert: &mut Alert) {
    let Some(fields) = Fields::read(entity) else { return };
    if let Some(address) = fields.first_text(&["Address"]) {
        add(caller::network(&address).unwrap_or_default(), &mut alert.networks);
    }
    if let Some(object) = fields.first_text(&["AadUserId", "ObjectGuid", "ObjectId"]) {
        add(text::id(&object), &mut alert.identities);
    }
}

/// Free-form properties with names for people; only addresses and the deployment are looked for.
fn add_extended(extended: &str, alert: &mut Alert) {
    let Some(fields) = Fields::read(extended) else { return };
    for (name, value) in fields.members() {
        let lower = name.to_ascii_lowercase();
        let Some(value) = text_of(value) else { continue };
        if lower.contains("ip address") || lower.ends_with("ipaddress") {
            for address in value.split([',', ';', ' ']) {
                add(caller::network(address).unwrap_or_default(), &mut alert.networks);
            }
        } else if lower.contains("deployment") && alert.deployment.is_empty() {
            alert.deployment = text::name(&value);
        }
    }
}

fn add(text: String, list: &mut Vec<String>) {
    if !text.is_empty() && list.len() < Alert::MAX_ENTITIES && !list.contains(&text) {
        list.push(text);
    }
}

/// A severity by its word.
pub(super) fn level(word: &str) -> Level {
    match word.trim().to_ascii_lowercase().as_str() {
        "informational" | "information" => Level::Informational,
        "low" => Level::Low,
        "medium" => Level::Medium,
        "high" | "critical" => Level::High,
        _ => Level::Unknown,
    }
}
