//! `AzureOpenAIRequestUsage`: exact tokens with the cached part, but not who called.

use super::field::{FieldError, rounded};
use super::{Decoder, Read, Record};
use crate::event::{Event, Row, RowKind};

/// `AzureOpenAIRequestUsage` of an AI account.
pub(super) const DECODER: Decoder = Decoder {
    name: "AzureOpenAIRequestUsage",
    is: |category, _| category.eq_ignore_ascii_case("AzureOpenAIRequestUsage"),
    read: Read::With(decode),
    reads: "exact prompt, cached and generated tokens, deployment and model, seconds after the call",
    cannot_tell: "who called and with what result; publishers other than OpenAI; it is off by default and billed",
};

/// Reads one row. Its own time stands for the end of the call.
///
/// # Errors
/// No resource, no time, or a token count that is none.
fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    let properties = &record.properties;
    let input = properties.tokens("promptTokens")?;
    let cached = properties.tokens("cachedTokens")?;
    let output = match properties.tokens("generatedTokens")? {
        None => properties.tokens("completionTokens")?,
        generated => generated,
    };
    Ok(Event::Row(Box::new(Row {
        end: record.time()?,
        duration_ms: properties.number("timeToLastTokenMs").and_then(rounded),
        ..record.row(RowKind::Usage)?.with_tokens([input, cached, output])
    })))
}
