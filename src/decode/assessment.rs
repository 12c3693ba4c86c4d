//! Recommendations of Microsoft Defender for Cloud, findings under them, and secure scores.

use super::alert::level;
use super::field::{FieldError, Fields, nested_of};
use super::{Decoder, Read, Record, text};
use crate::event::Event;
use crate::event::signal::{Posture, PostureChange, PostureSource, Standing};
use crate::time::{self, EventTime};

/// Recommendations, findings and scores of Defender for Cloud.
pub(super) const DECODER: Decoder = Decoder {
    name: "Defender assessment",
    is: |category, _| source(category).is_some(),
    read: Read::With(decode),
    reads: "rule, resource, verdict and severity of recommendations and findings; points of secure scores",
    cannot_tell: "who caused it; it is judged hours later, and repeated weekly as a snapshot",
};

/// Provider of every type.
const PREFIX: &str = "Microsoft.Security/";

/// What the record's type says it is; `None` for types of others.
fn source(category: &str) -> Option<PostureSource> {
    if !text::begins(category, PREFIX) {
        return None;
    }
    let kind = category.get(PREFIX.len()..)?.to_ascii_lowercase();
    if kind.contains("subassessments") {
        Some(PostureSource::SubAssessment)
    } else if kind.starts_with("assessments") {
        Some(PostureSource::Assessment)
    } else if kind.starts_with("securescore") {
        Some(PostureSource::SecureScore)
    } else {
        None
    }
}

/// Reads one verdict.
///
/// # Errors
/// No id.
fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    let kind = record.fields.first_text(&["type"]).unwrap_or_default();
    let properties = &record.properties;
    let mut posture = blank(source(&kind).unwrap_or(PostureSource::Assessment), record)?;
    let status = properties.nested("status");
    if let Some(status) = status.as_deref().and_then(Fields::read) {
        posture.state = standing(&status.text("code").unwrap_or_default());
        posture.severity = level(&status.text("severity").unwrap_or_default());
        let changed = status.first_text(&["statusChangeDate"]);
        posture.at = changed.and_then(|text| time::parse(&text)).map(EventTime).or(posture.at);
    }
    let metadata = properties.nested("metadata");
    if let Some(metadata) = metadata.as_deref().and_then(Fields::read) {
        let named = metadata.text("severity").map(|word| level(&word));
        posture.severity = posture.severity.max(named.unwrap_or(posture.severity));
        if posture.name.is_empty() {
            let name = metadata.text("displayName").unwrap_or_default();
            posture.name = text::clean(&name, text::MAX_NAME_CHARS);
        }
    }
    let details = properties.nested("resourceDetails");
    let details = details.as_deref().and_then(Fields::read);
    if let Some(id) = details.and_then(|details| details.first_text(&["id", "resourceId"])) {
        posture.resource = text::resource(&id);
    }
    let score = properties.nested("score");
    posture.share = score.as_deref().and_then(Fields::read).and_then(|score| share(&score));
    posture.failed = properties.count("unhealthyResourceCount");
    Ok(Event::Posture(Box::new(posture)))
}

/// What every export of Defender has: id, name, and whether it is news.
///
/// # Errors
/// No id.
pub(super) fn blank(source: PostureSource, record: &Record<'_>) -> Result<Posture, FieldError> {
    let id = record.fields.first_text(&["id"]);
    let id = text::resource(&id.ok_or_else(|| FieldError::new("id", "is missing"))?);
    let (resource, _) = id.split_once("/providers/microsoft.security/").unwrap_or((&id, ""));
    let (mut change, mut snapshot) = (PostureChange::Set, false);
    for (name, value) in record.fields.members() {
        if !name.to_ascii_lowercase().ends_with("eventdataenrichment") {
            continue;
        }
        let Some(held) = nested_of(value) else { continue };
        let Some(enrichment) = Fields::read(&held) else { continue };
        snapshot |= enrichment.boolean("isSnapshot").unwrap_or(false);
        if enrichment.text("action").is_some_and(|action| action.eq_ignore_ascii_case("Delete")) {
            change = PostureChange::Deleted;
        }
    }
    let at = record.find(&["timeGenerated", "time"]);
    Ok(Posture {
        source,
        change,
        resource: resource.to_owned(),
        rule: text::name(&record.fields.first_text(&["name"]).unwrap_or_default()),
        name: record
            .properties
            .first_text(&["displayName"])
            .map_or_else(String::new, |name| text::clean(&name, text::MAX_NAME_CHARS)),
        state: Standing::Unknown,
        severity: level(""),
        assignment: String::new(),
        at: at.and_then(|text| time::parse(&text)).map(EventTime),
        share: None,
        failed: None,
        snapshot,
    })
}

/// A verdict by its word.
pub(super) fn standing(word: &str) -> Standing {
    match word.trim().to_ascii_lowercase().as_str() {
        "healthy" | "passed" | "compliant" => Standing::Healthy,
        "unhealthy" | "failed" | "noncompliant" => Standing::Unhealthy,
        "notapplicable" | "skipped" | "unsupported" | "exempt" => Standing::NotApplicable,
        _ => Standing::Unknown,
    }
}

/// The share of the points reached.
fn share(score: &Fields<'_>) -> Option<f64> {
    let points = || Some(score.number("current")? / score.number("max").filter(|max| *max > 0.0)?);
    let share = score.number("percentage").or_else(points)?;
    (0.0..=1.0).contains(&share).then_some(share)
}
