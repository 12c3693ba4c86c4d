//! `RequestResponse`: who called, with what result and, since 2026, how many tokens.

use super::field::FieldError;
use super::{Record, caller};
use crate::event::{Row, RowKind, Tokens};
use crate::time::EventTime;

/// 100 ns ticks from 0001-01-01 to 1970-01-01 (.NET `DateTime.UnixEpoch.Ticks`).
const UNIX_EPOCH_TICKS: i64 = 621_355_968_000_000_000;

/// Reads one row; rows of control calls carry no deployment.
///
/// # Errors
/// No resource, no time, or a token count that is none.
pub fn decode(record: &Record<'_>) -> Result<Row, FieldError> {
    let properties = &record.properties;
    let input = properties.tokens("promptTokens")?;
    let output = properties.tokens("completionTokens")?;
    let tokens = match (input, output) {
        (None, None) => None,
        (input, output) => {
            Some(Tokens { input: input.unwrap_or(0), cached: 0, output: output.unwrap_or(0) })
        }
    };
    let end = match properties.integer("responseTime").and_then(from_ticks) {
        Some(end) => end,
        None => record.time()?,
    };
    let status = record.fields.text("resultSignature").and_then(|text| text.trim().parse().ok());
    let address = record.fields.text("callerIpAddress").unwrap_or_default();
    let identity = properties.first_text(&["callerObjectId", "objectId"]).unwrap_or_default();
    Ok(Row {
        tokens,
        end,
        network: caller::network(&address).unwrap_or_default(),
        identity: identity.trim().to_ascii_lowercase(),
        status: status.unwrap_or(0),
        ..record.row(RowKind::Request)?
    })
}

/// Ticks of 100 ns since year 1 or since 1970, told apart by size: the first are about 6.4 × 10¹⁷
/// today, the second 1.8 × 10¹⁶.
fn from_ticks(ticks: i64) -> Option<EventTime> {
    let since_1970 = if ticks > UNIX_EPOCH_TICKS { ticks - UNIX_EPOCH_TICKS } else { ticks };
    (since_1970 > 0).then_some(EventTime(since_1970 / 10_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_kinds_of_ticks_name_the_same_moment() {
        let moment = Some(EventTime(1_791_278_102_435));
        assert_eq!(from_ticks(639_268_749_024_350_000), moment);
        assert_eq!(from_ticks(17_912_781_024_350_000), moment);
        assert_eq!(from_ticks(0), None);
        assert_eq!(from_ticks(-5), None);
    }
}
