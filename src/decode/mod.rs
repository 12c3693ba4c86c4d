//! From bytes to rows: envelopes are opened, records are looked up by category, and one bad record
//! never costs its siblings.

pub mod caller;
pub mod envelope;
pub mod field;
pub mod redact;
pub mod request;
pub mod usage;

use std::borrow::Cow;

use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};

use crate::event::{Rejected, Row, RowKind};
use crate::time::{self, EventTime};
use field::{FieldError, Fields, unquote};

/// Reads one record of a known category.
pub type Decode = fn(&Record<'_>) -> Result<Row, FieldError>;

/// Every log category the program understands, in the order of the manual's table.
pub const DECODERS: &[(&str, Decode)] =
    &[("RequestResponse", request::decode), ("AzureOpenAIRequestUsage", usage::decode)];

/// Longest category name kept for a category nobody knows.
const MAX_CATEGORY_CHARS: usize = 64;

/// What came out of one body.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Decoded {
    /// Rows of calls, in order.
    pub rows: Vec<Row>,
    /// Records that could not be read.
    pub rejected: Vec<Rejected>,
    /// Categories of records nobody decodes, one entry a record.
    pub unknown: Vec<String>,
    /// Bodies that were read only after repair: 0 or 1.
    pub repaired: u32,
}

/// One record with its properties opened.
#[derive(Debug)]
pub struct Record<'a> {
    /// The record as text.
    pub text: &'a str,
    /// Its top level.
    pub fields: Fields<'a>,
    /// The members of `properties`, which Azure writes as an object or as a string of one.
    pub properties: Fields<'a>,
}

/// Reads everything in `body`.
#[must_use]
pub fn decode(body: &[u8]) -> Decoded {
    let mut decoded = Decoded::default();
    let result = envelope::open(body, &mut |text| one_record(text, &mut decoded));
    match result {
        Ok(repaired) => decoded.repaired = repaired,
        Err(error) => decoded.rejected.push(Rejected {
            category: "(body)".to_owned(),
            path: String::new(),
            reason: error.to_string(),
            sample: redact::sample(&String::from_utf8_lossy(body)),
        }),
    }
    decoded
}

fn one_record(text: &str, decoded: &mut Decoded) {
    let fields = Fields::read(text).unwrap_or_default();
    let category = category(&fields);
    let found = DECODERS.iter().find(|(name, _)| name.eq_ignore_ascii_case(&category));
    let Some((name, decode)) = found else {
        decoded.unknown.push(category);
        return;
    };
    match read_record(text, fields, *decode) {
        Ok(row) => decoded.rows.push(row),
        Err(FieldError { path, reason }) => decoded.rejected.push(Rejected {
            category: (*name).to_owned(),
            path,
            reason,
            sample: redact::sample(text),
        }),
    }
}

fn read_record(text: &str, fields: Fields<'_>, decode: Decode) -> Result<Row, FieldError> {
    let held: Cow<'_, str> = match fields.raw("properties").map(RawValue::get) {
        Some(raw) if raw.starts_with('"') => unquote(raw).unwrap_or_default(),
        Some(raw) => Cow::Borrowed(raw),
        None => Cow::Borrowed("{}"),
    };
    let Some(properties) = Fields::read(&held) else {
        return Err(FieldError::new("properties", "is neither an object nor a string of one"));
    };
    decode(&Record { text, fields, properties })
}

/// The record's category; metrics have none and are known by `metricName`.
fn category(fields: &Fields<'_>) -> String {
    let named = fields.first_text(&["category", "Type"]);
    let name = match named {
        Some(name) => name,
        None if fields.raw("metricName").is_some() => Cow::Borrowed("(metric)"),
        None => Cow::Borrowed("(none)"),
    };
    name.chars().filter(|c| !c.is_control()).take(MAX_CATEGORY_CHARS).collect()
}

impl Record<'_> {
    /// The record's own time.
    ///
    /// # Errors
    /// Absent, or in a form Azure does not write.
    pub fn time(&self) -> Result<EventTime, FieldError> {
        let text = self.fields.first_text(&["time", "timeStamp"]);
        let text = text.ok_or_else(|| FieldError::new("time", "is missing"))?;
        let read = time::parse(&text).map(EventTime);
        read.ok_or_else(|| FieldError::new("time", "is not a time"))
    }

    /// What every row of a call has: account, call, deployment and model.
    ///
    /// # Errors
    /// No resource id.
    pub fn row(&self, kind: RowKind) -> Result<Row, FieldError> {
        let resource = self.fields.first_text(&["resourceId"]);
        let resource = resource.ok_or_else(|| FieldError::new("resourceId", "is missing"))?;
        let account = account_of(&resource);
        let correlation = self.fields.text("correlationId").unwrap_or_default();
        let call = match correlation.trim() {
            "" => fingerprint(&["record", self.text]),
            id => fingerprint(&["call", &account, id]),
        };
        let lower = |name| self.properties.text(name).unwrap_or_default().trim().to_lowercase();
        Ok(Row {
            kind,
            call,
            account,
            end: EventTime::default(),
            deployment: bounded(lower("modelDeploymentName")),
            model: bounded(match lower("modelVersion") {
                version if version.is_empty() => lower("modelName"),
                version => format!("{}@{version}", lower("modelName")),
            }),
            tokens: None,
            network: String::new(),
            identity: String::new(),
            status: 0,
        })
    }
}

/// Longest name of a deployment or model kept (Azure allows 64 characters for a deployment).
const MAX_NAME_CHARS: usize = 128;

fn bounded(name: String) -> String {
    if name.chars().count() <= MAX_NAME_CHARS && !name.contains(char::is_control) {
        return name;
    }
    name.chars().filter(|c| !c.is_control()).take(MAX_NAME_CHARS).collect()
}

/// The resource id up to the account, in lower case: a Foundry project counts to its account.
fn account_of(resource: &str) -> String {
    let lower = bounded_path(resource).to_lowercase();
    let mut segments = lower.split('/').scan(0_u8, |past, segment| {
        if *past == 2 {
            return None;
        }
        *past += u8::from(*past == 1 || segment == "accounts");
        Some(segment)
    });
    let mut account = segments.next().unwrap_or_default().to_owned();
    for segment in segments {
        account.push('/');
        account.push_str(segment);
    }
    account
}

fn bounded_path(resource: &str) -> String {
    resource.trim().chars().filter(|c| !c.is_control()).take(512).collect()
}

/// First 128 bits of the SHA-256 of `parts`, each preceded by its length.
#[must_use]
pub fn fingerprint(parts: &[&str]) -> u128 {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part.as_bytes());
    }
    let digest = hash.finalize();
    digest.iter().take(16).fold(0, |sum, byte| (sum << 8) | u128::from(*byte))
}

#[cfg(test)]
mod tests;
