//! `CloudEvents` 1.0 in structured mode: one JSON object with the attributes beside the data.

use serde_json::{Value, json};

use super::data::{Gathered, Told};
use super::native::{digest_data, incident_data};
use super::{Format, Written};

/// What event grids, brokers and serverless functions take.
pub(super) const FORMAT: Format = Format {
    name: "cloudevents",
    content_type: "application/cloudevents+json; charset=utf-8",
    what: "CloudEvents 1.0, structured; `data` is that of the native format",
    incident,
    digest,
};

/// Who says it: a URI reference, with which an id is unique.
const SOURCE: &str = "/tokenwatch";
/// Where the data of an incident and of a digest are described.
const SCHEMA: &str = "urn:tokenwatch:webhook:v1";

/// The attributes: our names of types end in a version, as the specification's primer advises.
struct Event<'a> {
    id: &'a str,
    what: &'a str,
    subject: String,
    time: String,
    schema: &'a str,
    severity: &'a str,
}

fn incident(told: &Told<'_>) -> Written {
    let event = Event {
        id: told.label.key,
        what: told.announcement.kind.word(),
        subject: told.core.resource().unwrap_or_else(|| told.core.place()),
        time: told.announcement.at.to_string(),
        schema: "incident",
        severity: told.core.severity,
    };
    Ok(event.with(&serde_json::to_value(incident_data(told))?))
}

fn digest(gathered: &Gathered<'_>) -> Written {
    let event = Event {
        id: gathered.label.key,
        what: "digest",
        subject: gathered.digest.group.clone(),
        time: gathered.digest.at.to_string(),
        schema: "digest",
        severity: gathered.digest.severity().word(),
    };
    Ok(event.with(&serde_json::to_value(digest_data(gathered))?))
}

impl Event<'_> {
    fn with(&self, data: &Value) -> Value {
        json!({
            "specversion": "1.0",
            "id": self.id,
            "source": SOURCE,
            "type": format!("io.tokenwatch.incident.{}.v1", self.what),
            "subject": subject(&self.subject),
            "time": self.time,
            "datacontenttype": "application/json",
            "dataschema": format!("{SCHEMA}#/$defs/{}", self.schema),
            "severity": self.severity,
            "data": data,
        })
    }
}

/// A subject must not be empty and holds no control characters.
fn subject(text: &str) -> String {
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    if text.is_empty() { "unknown".to_owned() } else { text }
}
