//! `AzureOpenAIRequestUsage`: exact tokens with the cached part, but not who called.

use super::Record;
use super::field::FieldError;
use crate::event::{Row, RowKind, Tokens};

/// Reads one row. Its own time stands for the end of the call.
///
/// # Errors
/// No resource, no time, or a token count that is none.
pub fn decode(record: &Record<'_>) -> Result<Row, FieldError> {
    let properties = &record.properties;
    let input = properties.tokens("promptTokens")?;
    let cached = properties.tokens("cachedTokens")?;
    let output = properties.tokens("generatedTokens")?;
    let tokens = match (input, cached, output) {
        (None, None, None) => None,
        (input, cached, output) => Some(Tokens {
            input: input.unwrap_or(0),
            cached: cached.unwrap_or(0),
            output: output.unwrap_or(0),
        }),
    };
    Ok(Row { tokens, end: record.time()?, ..record.row(RowKind::Usage)? })
}
