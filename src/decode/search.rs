//! `OperationLogs` of AI Search: that an index was asked or written, never for what.

use super::field::FieldError;
use super::{Decoder, Read, Record};
use crate::event::Event;
use crate::event::signal::SearchCall;

/// Operations of a search service.
pub(super) const DECODER: Decoder = Decoder {
    name: "OperationLogs",
    is: |category, _| category.eq_ignore_ascii_case("OperationLogs"),
    read: Read::With(decode),
    reads: "operation, index, status, duration and number of documents of AI Search; the query is dropped",
    cannot_tell: "who asked and from where",
};

/// Reads one operation.
///
/// # Errors
/// No resource or no time.
fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    Ok(Event::Search(Box::new(SearchCall {
        resource: record.resource()?,
        at: record.time()?,
        operation: record.name(&["operationName"]),
        index: record.lower(&["IndexName"]),
        status: record.status("resultSignature"),
        duration_ms: record.count("durationMs"),
        documents: record.count("Documents"),
    })))
}
