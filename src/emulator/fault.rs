//! Errors as the service words them on the wire.

use fe2o3_amqp_types::definitions::{Error as AmqpError, ErrorCondition};
use fe2o3_amqp_types::primitives::Symbol;

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
    AmqpError::new(ErrorCondition::Custom(Symbol::from(condition)), description.to_owned(), None)
}

/// The answer to whoever asks for `feature`.
pub(super) fn not_emulated(feature: &str) -> AmqpError {
    error(NOT_IMPLEMENTED, &format!("the emulator does not offer {feature}"))
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
