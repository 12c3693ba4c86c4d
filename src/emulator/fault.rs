//! Errors as the service words them on the wire.

use fe2o3_amqp_types::definitions::{Error as AmqpError, ErrorCondition, Fields};
use fe2o3_amqp_types::primitives::Symbol;

use super::EmulatorError;
use super::writer::MAX_MESSAGE_BYTES;

/// A value of the request cannot be used, such as a position beyond the end.
pub(super) const ARGUMENT_ERROR: &str = "com.microsoft:argument-error";
/// No such hub or partition.
pub(super) const NOT_FOUND: &str = "amqp:not-found";
/// The filter of an attach makes no sense.
pub(super) const INVALID_FIELD: &str = "amqp:invalid-field";

/// What is asked for is part of the service, not of the emulator.
pub(super) const NOT_IMPLEMENTED: &str = "amqp:not-implemented";
/// What was sent is not AMQP.
pub(super) const DECODE_ERROR: &str = "amqp:decode-error";

/// An error with any condition; the wire form does not depend on whether the library knows it.
pub(super) fn error(condition: &str, description: &str) -> AmqpError {
    let condition = ErrorCondition::Custom(Symbol::from(condition));
    // The Python client reads the third field, whether it is there or not.
    AmqpError::new(condition, description.to_owned(), Some(Fields::new()))
}

/// The answer to whoever asks for what does not exist.
pub(super) fn not_found(missing: &EmulatorError) -> AmqpError {
    error(NOT_FOUND, &not_found_text(missing))
}

/// Worded as the service does it: the JavaScript client goes by the text.
pub(super) fn not_found_text(missing: &EmulatorError) -> String {
    format!("The messaging entity asked for could not be found: {missing}")
}

/// A message of `size_bytes` is more than a writer was told it may send.
pub(super) fn too_large(delivery_id: u32, size_bytes: usize) -> AmqpError {
    error(
        "amqp:link:message-size-exceeded",
        &format!(
            "The received message (delivery-id:{delivery_id}, size:{size_bytes} bytes) exceeds \
             the limit ({MAX_MESSAGE_BYTES} bytes) currently allowed on the link."
        ),
    )
}

/// The answer to whoever asks for a feature that only the service has.
pub(super) fn not_emulated(feature: &str) -> AmqpError {
    error(NOT_IMPLEMENTED, &not_emulated_text(feature))
}

pub(super) fn not_emulated_text(feature: &str) -> String {
    format!("the emulator does not offer {feature}")
}

/// The link of epoch `loser` gives way to a reader of epoch `winner`.
pub(super) fn stolen(loser: Option<i64>, winner: Option<i64>) -> AmqpError {
    let word = |epoch: Option<i64>| epoch.map_or_else(|| "none".to_owned(), |e| e.to_string());
    error(
        "amqp:link:stolen",
        &format!(
            "receiver with epoch '{}' is disconnected by a receiver with epoch '{}'",
            word(loser),
            word(winner)
        ),
    )
}
