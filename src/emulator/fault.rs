//! Errors as the service words them on the wire.

use fe2o3_amqp_types::definitions::{Error as AmqpError, ErrorCondition, Fields};
use fe2o3_amqp_types::primitives::Symbol;
use jiff::Timestamp;

use super::EmulatorError;
use super::writer::MAX_MESSAGE_BYTES;

/// A value of the request cannot be used, such as a position beyond the end.
pub(super) const ARGUMENT_ERROR: &str = "com.microsoft:argument-error";
/// No such hub or partition.
pub(super) const NOT_FOUND: &str = "amqp:not-found";
/// The filter of an attach makes no sense.
pub(super) const INVALID_FIELD: &str = "amqp:invalid-field";

/// The namespace is throttled.
pub(super) const SERVER_BUSY: &str = "com.microsoft:server-busy";
/// What the throttled service writes; clients take the span to wait from nowhere else.
pub(super) const BUSY_TEXT: &str = "The request was terminated because the entity is being \
    throttled. Error code : 50002. Please wait 4 seconds and try again. To know more visit \
    https://aka.ms/sbResourceMgrExceptions";
/// `$cbs` takes no such token.
pub(super) const AUTH_FAILED: &str = "com.microsoft:auth-failed";
/// What `$cbs` writes about a token whose signature is wrong.
pub(super) const BAD_SIGNATURE: &str = "InvalidSignature: The token has an invalid signature.";
/// What `$cbs` writes about a token for another entity.
pub(super) const BAD_AUDIENCE: &str =
    "InvalidAudience: The authorization header contains a token with a wrong audience.";
/// The link has no token, or none that allows what it is for.
const UNAUTHORIZED: &str = "amqp:unauthorized-access";
/// Nothing the peer has done: the disk is full, say.
pub(super) const INTERNAL_ERROR: &str = "amqp:internal-error";
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

pub(super) fn busy() -> AmqpError {
    error(SERVER_BUSY, BUSY_TEXT)
}

/// A link that needs a claim (`Listen` or `Send`) its connection has not got for the entity.
pub(super) fn unauthorized(claim: &str, path: &str) -> AmqpError {
    error(
        UNAUTHORIZED,
        &format!(
            "Unauthorized access. '{claim}' claim(s) are required to perform this operation. \
             Resource: 'sb://localhost/{path}'."
        ),
    )
}

/// The token of a link has ended, by the emulator's clock.
pub(super) fn token_ended(at_ms: i64) -> AmqpError {
    error(UNAUTHORIZED, &expired_token(at_ms))
}

/// What the service writes about a token that ended at `at_ms`.
pub(super) fn expired_token(at_ms: i64) -> String {
    let at = Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::MIN);
    let at = at.strftime("%Y-%m-%d %H:%M:%SZ");
    format!("ExpiredToken: The token is expired. Expiration time: '{at}'")
}

/// A connection that did nothing for longer than the service waits.
pub(super) fn idle() -> AmqpError {
    error(
        "amqp:connection:forced",
        "The connection was inactive for more than the allowed 300000 milliseconds and is closed \
         by container 'LinkTracker'.",
    )
}
