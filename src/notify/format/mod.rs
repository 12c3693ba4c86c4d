//! What the body of a webhook looks like: one file and one line of [`FORMATS`] for each format, and
//! [templates](Template) of the operator's.
//!
//! All say the same facts, [cleaned and bounded](data) once. Of an incident with more to say than
//! fits, less is said; of several incidents, fewer are told.

mod alertmanager;
mod azure_alert;
mod cloud_events;
mod data;
mod native;
mod ocsf;
mod template;

use std::fmt;

use serde_json::Value;

use super::RenderError;
use super::facts::LIMITS;
use super::settings::Label;
use crate::incident::{Announcement, Digest};
use data::{Gathered, Told};
pub use template::{CONTENT_TYPE, Template, TemplateProblem};

/// Most bytes of a body; Standard Webhooks asks for less than 20 kB.
pub(super) const BODY_MAX: usize = 20_000;
/// Most incidents that a body tells.
const TOLD_MAX: usize = 40;

/// Outcome of a format.
type Written = Result<Value, serde_json::Error>;

/// A format that the program knows.
pub struct Format {
    /// Word of `format` in a configuration.
    pub name: &'static str,
    /// Type of its bodies, as a header says it.
    pub content_type: &'static str,
    /// What it is, for the manual.
    pub what: &'static str,
    incident: fn(&Told<'_>) -> Written,
    digest: fn(&Gathered<'_>) -> Written,
}

impl fmt::Debug for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Every format, in the order of the manual's table; the first is used where none is named.
pub const FORMATS: [&Format; 5] = [
    &native::FORMAT,
    &cloud_events::FORMAT,
    &ocsf::FORMAT,
    &azure_alert::FORMAT,
    &alertmanager::FORMAT,
];

/// Word of `format` for a template, and what it is, for the manual.
pub const TEMPLATE: (&str, &str) = ("template", "what a template of yours makes of it");

/// JSON Schema of the native format.
pub const NATIVE_SCHEMA: &str = include_str!("../../../docs/webhook.schema.json");

/// What a webhook's bodies look like.
#[derive(Debug, Clone)]
pub enum Body {
    /// A format that the program knows.
    Format(&'static Format),
    /// A template of the operator's.
    Template(Template),
}

impl Default for Body {
    fn default() -> Self {
        Self::Format(&native::FORMAT)
    }
}

impl Body {
    /// Type of the bodies, as a header says it.
    pub(super) fn content_type(&self) -> &str {
        match self {
            Self::Format(format) => format.content_type,
            Self::Template(template) => template.content_type(),
        }
    }

    /// The bytes that are signed and sent about one incident; at most [`BODY_MAX`] unless the
    /// incident's own key, or a template's own text, is longer.
    pub(super) fn incident(
        &self,
        announcement: &Announcement,
        label: Label<'_>,
    ) -> Result<Vec<u8>, RenderError> {
        let mut body = Vec::new();
        for limits in &LIMITS {
            let told = Told::new(announcement, label, limits);
            body = match self {
                Self::Format(format) => serde_json::to_vec(&(format.incident)(&told)?)?,
                Self::Template(template) => template.body((native::FORMAT.incident)(&told)?)?,
            };
            if body.len() <= BODY_MAX {
                break;
            }
        }
        Ok(body)
    }

    /// The bytes about several incidents; as many of the worst as fit into [`BODY_MAX`].
    pub(super) fn digest(&self, digest: &Digest, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        let mut most = TOLD_MAX;
        loop {
            let gathered = Gathered::new(digest, label, most);
            let body = match self {
                Self::Format(format) => serde_json::to_vec(&(format.digest)(&gathered)?)?,
                Self::Template(template) => template.body((native::FORMAT.digest)(&gathered)?)?,
            };
            if body.len() <= BODY_MAX || most <= 1 {
                return Ok(body);
            }
            most /= 2;
        }
    }
}

#[cfg(test)]
mod tests;
