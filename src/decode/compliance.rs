//! Regulatory compliance as Microsoft Defender for Cloud exports it.

use super::field::FieldError;
use super::{Decoder, Read, Record, assessment, text};
use crate::event::Event;
use crate::event::signal::{Posture, PostureSource};

/// Standards, controls and assessments of regulatory compliance.
pub(super) const DECODER: Decoder = Decoder {
    name: "Regulatory compliance",
    is: |category, _| text::begins(category, "Microsoft.Security/regulatoryCompliance"),
    read: Read::With(decode),
    reads: "standard, control and verdict, with the number of resources that passed and failed",
    cannot_tell: "which resources, and when it changed",
};

/// Reads one verdict.
///
/// # Errors
/// No id.
fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    let properties = &record.properties;
    let count = |names: [&str; 2]| names.iter().find_map(|name| properties.count::<u32>(name));
    let passed = count(["passedResources", "passedControls"]);
    let failed = count(["failedResources", "failedControls"]);
    let blank = assessment::blank(PostureSource::Compliance, record)?;
    let state = properties.text("state").unwrap_or_default();
    Ok(Event::Posture(Box::new(Posture {
        state: assessment::standing(&state),
        resource: standard(record).unwrap_or(blank.resource),
        share: passed.zip(failed).and_then(|(passed, failed)| share(passed, failed)),
        failed,
        ..blank
    })))
}

/// The standard and control in the id: they, and no resource, are what is judged.
fn standard(record: &Record<'_>) -> Option<String> {
    let id = text::resource(&record.fields.text("id")?);
    let (standard, _) = id.split_once("/regulatorycomplianceassessments").unwrap_or((&id, ""));
    Some(standard.to_owned())
}

fn share(passed: u32, failed: u32) -> Option<f64> {
    let all = f64::from(passed) + f64::from(failed);
    (all > 0.0).then(|| f64::from(passed) / all)
}
