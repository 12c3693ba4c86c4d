//! State changes of Azure Policy, which Event Grid routes to an event hub.

use super::field::{FieldError, Fields};
use super::{Decoder, Read, Record, assessment, text};
use crate::event::Event;
use crate::event::signal::{Level, Posture, PostureChange, PostureSource};
use crate::time::{self, EventTime};

/// Policy state changes by Event Grid, in its own schema or as a cloud event.
pub(super) const DECODER: Decoder = Decoder {
    name: "Policy state change",
    is: |category, _| text::begins(category, PREFIX),
    read: Read::With(decode),
    reads: "resource, policy, assignment, and whether the resource complies now",
    cannot_tell: "who changed what; it comes minutes to hours later",
};

/// Start of the event types: …`Created`, …`Changed`, …`Deleted`.
const PREFIX: &str = "Microsoft.PolicyInsights.PolicyState";

/// Reads one change.
///
/// # Errors
/// No subject or no data.
fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    let fields = &record.fields;
    let subject = fields.first_text(&["subject"]);
    let subject = subject.ok_or_else(|| FieldError::new("subject", "is missing"))?;
    let held = fields.nested("data");
    let data = held.as_deref().and_then(Fields::read);
    let data = data.ok_or_else(|| FieldError::new("data", "is not an object"))?;
    let lower = |name| text::resource(&data.text(name).unwrap_or_default());
    let at = data.first_text(&["timestamp"]).or_else(|| fields.first_text(&["eventTime", "time"]));
    let kind = fields.first_text(&["eventType", "type"]).unwrap_or_default();
    let deleted = kind.to_ascii_lowercase().ends_with("deleted");
    Ok(Event::Posture(Box::new(Posture {
        source: PostureSource::Policy,
        change: if deleted { PostureChange::Deleted } else { PostureChange::Set },
        resource: text::resource(&subject),
        rule: match lower("policyDefinitionReferenceId") {
            reference if reference.is_empty() => lower("policyDefinitionId"),
            reference => format!("{}#{reference}", lower("policyDefinitionId")),
        },
        name: String::new(),
        state: assessment::standing(&data.text("complianceState").unwrap_or_default()),
        severity: Level::Unknown,
        assignment: lower("policyAssignmentId"),
        at: at.and_then(|text| time::parse(&text)).map(EventTime),
        share: None,
        failed: None,
        snapshot: false,
    })))
}
