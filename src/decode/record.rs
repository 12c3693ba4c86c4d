//! One record with its properties opened, and what records of every kind have.

use std::borrow::Cow;

use sha2::{Digest as _, Sha256};

use super::caller;
use super::field::{FieldError, Fields};
use super::text::{self, MAX_NAME_CHARS};
use crate::event::operation::Operation;
use crate::event::{Row, RowKind, Tokens};
use crate::time::{self, EventTime};

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

impl<'a> Record<'a> {
    /// The first of several spellings that holds a non-empty string, in the properties or, as Log
    /// Analytics writes it, at the top.
    #[must_use]
    pub fn find(&self, names: &[&str]) -> Option<Cow<'_, str>> {
        self.properties.first_text(names).or_else(|| self.fields.first_text(names))
    }

    /// [`Record::find`] as a name: cleaned, as it is written; empty when absent.
    #[must_use]
    pub fn name(&self, names: &[&str]) -> String {
        text::clean(&self.find(names).unwrap_or_default(), MAX_NAME_CHARS)
    }

    /// [`Record::find`] as a name in lower case; empty when absent.
    #[must_use]
    pub fn lower(&self, names: &[&str]) -> String {
        text::name(&self.find(names).unwrap_or_default())
    }

    /// A whole number from 0 up, in the properties or at the top; `None` otherwise.
    #[must_use]
    pub fn count<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        self.properties.count(name).or_else(|| self.fields.count(name))
    }

    /// An HTTP status, in the properties or at the top; 0 when absent.
    #[must_use]
    pub fn status(&self, name: &str) -> u16 {
        self.count(name).unwrap_or(0)
    }

    /// The caller's network; empty when absent or unreadable.
    #[must_use]
    pub fn network(&self, names: &[&str]) -> String {
        let address = self.find(names).unwrap_or_default();
        caller::network(&address).unwrap_or_default()
    }

    /// The record's own time.
    ///
    /// # Errors
    /// Absent, or in a form Azure does not write.
    pub fn time(&self) -> Result<EventTime, FieldError> {
        let text = self.fields.first_text(&["time", "timeStamp", "TimeGenerated"]);
        let text = text.ok_or_else(|| FieldError::new("time", "is missing"))?;
        let read = time::parse(&text).map(EventTime);
        read.ok_or_else(|| FieldError::new("time", "is not a time"))
    }

    /// The resource's id in lower case.
    ///
    /// # Errors
    /// Absent.
    pub fn resource(&self) -> Result<String, FieldError> {
        let resource = self.fields.first_text(&["resourceId", "_ResourceId"]);
        let resource = resource.ok_or_else(|| FieldError::new("resourceId", "is missing"))?;
        Ok(text::resource(&resource))
    }

    /// What every row of a call has: account, call, deployment, model and operation.
    ///
    /// # Errors
    /// No resource id.
    pub fn row(&self, kind: RowKind) -> Result<Row, FieldError> {
        let account = account_part(self.resource()?);
        let correlation = self.fields.text("correlationId").unwrap_or_default();
        let call = match correlation.trim() {
            "" => fingerprint(&["record", self.text]),
            id => fingerprint(&["call", &account, id]),
        };
        let lower = |name| text::name(&self.properties.text(name).unwrap_or_default());
        let model = match (lower("modelName"), lower("modelVersion")) {
            (name, version) if version.is_empty() => name,
            (name, version) => text::name(&format!("{name}@{version}")),
        };
        let operation = self.fields.text("operationName").unwrap_or_default();
        let stream = self.properties.text("streamType").unwrap_or_default();
        Ok(Row {
            kind,
            account,
            call,
            end: EventTime::default(),
            deployment: lower("modelDeploymentName"),
            model,
            operation: text::clean(&operation, MAX_NAME_CHARS),
            tokens: None,
            partial: false,
            network: String::new(),
            identity: String::new(),
            status: 0,
            duration_ms: None,
            request_bytes: None,
            response_bytes: None,
            streamed: match stream.trim() {
                "" => None,
                word => Some(word.eq_ignore_ascii_case("Streaming")),
            },
        })
    }
}

impl Row {
    /// The row with these counts of tokens, as far as each was told.
    #[must_use]
    pub(super) fn with_tokens(self, counts: [Option<u32>; 3]) -> Self {
        let [input, cached, output] = counts;
        let generates_nothing = Operation::of(&self.operation) == Operation::Embeddings
            || self.model.contains("embedding");
        let tokens = counts.iter().any(Option::is_some).then(|| Tokens {
            input: input.unwrap_or(0),
            cached: cached.unwrap_or(0),
            output: output.unwrap_or(0),
        });
        let is_whole = input.is_some() && (output.is_some() || generates_nothing);
        Self { tokens, partial: tokens.is_some() && !is_whole, ..self }
    }
}

/// A resource id up to its account, whatever the provider: a Foundry project counts to its account.
fn account_part(mut resource: String) -> String {
    const SEGMENT: &str = "/accounts/";
    if let Some(at) = resource.find(SEGMENT) {
        let name = at + SEGMENT.len();
        let length = resource.get(name..).and_then(|rest| rest.find('/'));
        resource.truncate(length.map_or(resource.len(), |length| name + length));
    }
    resource
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
