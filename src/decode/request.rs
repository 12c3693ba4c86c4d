//! `RequestResponse`: who called, with what result and, since 2026, how many tokens.

use super::field::FieldError;
use super::{Decoder, Read, Record, text};
use crate::event::{Event, Row, RowKind};
use crate::time::EventTime;

/// `RequestResponse` of an AI account.
pub(super) const DECODER: Decoder = Decoder {
    name: "RequestResponse",
    is: |category, _| category.eq_ignore_ascii_case("RequestResponse"),
    read: Read::With(decode),
    reads: "caller's network, Entra object id, operation, status, duration, bytes, deployment and model; since 2026 tokens",
    cannot_tell: "single addresses (the last octet is masked), which key, cached tokens; it comes minutes late, in one to three rows a call",
};

/// 100 ns ticks from 0001-01-01 to 1970-01-01 (.NET `DateTime.UnixEpoch.Ticks`).
const UNIX_EPOCH_TICKS: i64 = 621_355_968_000_000_000;
/// 100 ns ticks in a millisecond.
const TICKS_PER_MS: i64 = 10_000;

/// Reads one row; rows of control calls carry no deployment.
///
/// # Errors
/// No resource, no time, or a token count that is none.
fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    let properties = &record.properties;
    let input = properties.tokens("promptTokens")?;
    let output = properties.tokens("completionTokens")?;
    let ticks = |name| properties.integer(name).and_then(from_ticks);
    let (start, end) = (ticks("requestTime"), ticks("responseTime"));
    let duration = start.zip(end).map(|(start, end)| end.0.saturating_sub(start.0));
    let duration_ms = record.fields.count("durationMs");
    let identity = properties.first_text(&["callerObjectId", "objectId"]).unwrap_or_default();
    let status = record.fields.text("resultSignature").and_then(|text| text.trim().parse().ok());
    Ok(Event::Row(Box::new(Row {
        end: match end {
            Some(end) => end,
            None => record.time()?,
        },
        network: record.network(&["callerIpAddress"]),
        identity: text::id(&identity),
        status: status.unwrap_or(0),
        duration_ms: duration_ms.or_else(|| u32::try_from(duration?).ok()),
        request_bytes: properties.count("requestLength"),
        response_bytes: properties.count("responseLength"),
        ..record.row(RowKind::Request)?.with_tokens([input, None, output])
    })))
}

/// Ticks of 100 ns since year 1 or since 1970, told apart by size: the first are about 6.4 × 10¹⁷
/// today, the second 1.8 × 10¹⁶.
fn from_ticks(ticks: i64) -> Option<EventTime> {
    let since_1970 = if ticks > UNIX_EPOCH_TICKS { ticks - UNIX_EPOCH_TICKS } else { ticks };
    (since_1970 > 0).then_some(EventTime(since_1970 / TICKS_PER_MS))
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
