//! `Audit`: an account's own view of who listed its keys.

use super::field::FieldError;
use super::{Decoder, Read, Record, opaque, text};
use crate::event::Event;
use crate::event::control::KeyRead;

/// `Audit` of an AI account.
pub(super) const DECODER: Decoder = Decoder {
    name: "Audit",
    is: |category, _| category.eq_ignore_ascii_case("Audit"),
    read: Read::With(decode),
    reads: "that the keys of an account were listed, and the Entra object id that did it",
    cannot_tell: "from where, whether it succeeded, and the correlation id; the activity log tells the same act with them",
};

/// Reads one listing of keys; other operations are only counted.
///
/// # Errors
/// No resource or no time.
fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    let operation = record.lower(&["operationName"]);
    if !(operation.contains("list") && operation.contains("key")) {
        return Ok(opaque::decode(record));
    }
    let identity = record.find(&["objectId", "callerObjectId"]).unwrap_or_default();
    Ok(Event::KeyRead(Box::new(KeyRead {
        resource: record.resource()?,
        at: record.time()?,
        identity: text::id(&identity),
    })))
}
