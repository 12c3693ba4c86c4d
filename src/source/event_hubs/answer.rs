//! What the hub's answer means, read from the client's errors.

use std::error::Error as StdError;

use azure_core::http::StatusCode;
use azure_core_amqp::error::{AmqpErrorCondition, AmqpErrorKind};
use azure_core_amqp::{AmqpDescribedError, AmqpError};
use azure_messaging_eventhubs::EventHubsError;
use azure_messaging_eventhubs::error::ErrorKind;

/// Errors within errors that are looked through; the client nests four or five.
const MAX_DEPTH: usize = 16;

/// What an answer means for the next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    /// Our token is not good enough, or no longer.
    Unauthorized,
    /// No such hub, partition or consumer group.
    NotFound,
    /// A reader with the same or a higher owner level has the partition.
    Taken,
    /// Come back later.
    Busy,
    /// Anything else.
    Other,
}

/// Reads an error of the client: what it means, and the hub's own words where it has any.
pub(super) fn read(error: &EventHubsError) -> (Answer, String) {
    if let ErrorKind::ConsumerDisconnected(described) = &error.kind {
        let words = described.as_ref().map(words);
        return (Answer::Taken, words.unwrap_or_else(|| "taken by another reader".to_owned()));
    }
    let mut cause: Option<&(dyn StdError + 'static)> = Some(error);
    for _ in 0..MAX_DEPTH {
        let Some(current) = cause else { break };
        if let Some(told) = current.downcast_ref::<AmqpError>().and_then(of_amqp) {
            return told;
        }
        cause = current.source();
    }
    let text = error.to_string();
    (of_text(&text), text)
}

fn of_amqp(error: &AmqpError) -> Option<(Answer, String)> {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the client's own, which may grow")]
    match error.kind() {
        AmqpErrorKind::AmqpDescribedError(described) => {
            Some((of_condition(&described.condition), words(described)))
        }
        AmqpErrorKind::ManagementStatusCode(status, description) => {
            let text = description.clone().unwrap_or_else(|| format!("status {status}"));
            Some((of_status(*status), text))
        }
        _ => None,
    }
}

fn words(described: &AmqpDescribedError) -> String {
    let condition: &str = described.condition.as_ref();
    match described.description.as_deref() {
        Some(description) if !description.is_empty() => format!("{condition}: {description}"),
        Some(_) | None => condition.to_owned(),
    }
}

fn of_condition(condition: &AmqpErrorCondition) -> Answer {
    #[expect(clippy::wildcard_enum_match_arm, reason = "the client's own, which may grow")]
    match condition {
        AmqpErrorCondition::UnauthorizedAccess => Answer::Unauthorized,
        AmqpErrorCondition::NotFound
        | AmqpErrorCondition::ResourceDeleted
        | AmqpErrorCondition::EntityDisabledError => Answer::NotFound,
        AmqpErrorCondition::LinkStolen | AmqpErrorCondition::PartitionNotOwnedError => {
            Answer::Taken
        }
        AmqpErrorCondition::ServerBusyError | AmqpErrorCondition::ResourceLimitExceeded => {
            Answer::Busy
        }
        _ => Answer::Other,
    }
}

fn of_status(status: StatusCode) -> Answer {
    match u16::from(status) {
        401 | 403 => Answer::Unauthorized,
        404 | 410 => Answer::NotFound,
        429 | 503 => Answer::Busy,
        _ => Answer::Other,
    }
}

/// For what the client tells in words alone, such as a refused token.
fn of_text(text: &str) -> Answer {
    let lower = text.to_lowercase();
    // As a number of its own, not as part of a port.
    let has = |code: &str| lower.split(|c: char| !c.is_ascii_digit()).any(|number| number == code);
    if lower.contains("unauthorized") || has("401") {
        Answer::Unauthorized
    } else if lower.contains("not-found") || lower.contains("not found") || has("404") {
        Answer::NotFound
    } else {
        Answer::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(kind: AmqpErrorKind, answer: Answer, text: &str) {
        let error = EventHubsError::from(ErrorKind::AmqpError(AmqpError::from(kind)));
        assert_eq!(read(&error), (answer, text.to_owned()));
    }

    fn described(condition: &str) -> AmqpErrorKind {
        AmqpErrorKind::AmqpDescribedError(AmqpDescribedError::new(
            condition.parse().unwrap(),
            Some("why".to_owned()),
            Default::default(),
        ))
    }

    #[test]
    fn conditions_are_told_apart() {
        for (condition, answer) in [
            ("amqp:unauthorized-access", Answer::Unauthorized),
            ("amqp:not-found", Answer::NotFound),
            ("amqp:link:stolen", Answer::Taken),
            ("com.microsoft:server-busy", Answer::Busy),
            ("amqp:internal-error", Answer::Other),
        ] {
            check(described(condition), answer, &format!("{condition}: why"));
        }
    }

    #[test]
    fn statuses_of_management_are_told_apart() {
        for (status, answer) in
            [(401, Answer::Unauthorized), (404, Answer::NotFound), (503, Answer::Busy)]
        {
            let kind = AmqpErrorKind::ManagementStatusCode(
                StatusCode::from(status),
                Some("no".to_owned()),
            );
            check(kind, answer, "no");
        }
    }

    #[test]
    fn words_are_the_last_resort() {
        for (text, answer) in [
            ("Unauthorized", Answer::Unauthorized),
            ("put-token failed: 401", Answer::Unauthorized),
            ("cannot connect to 127.0.0.1:40123", Answer::Other),
            ("status code 404, no such hub", Answer::NotFound),
        ] {
            let error = EventHubsError::from(ErrorKind::SimpleMessage(text.into()));
            assert_eq!(read(&error).0, answer, "{text}");
        }
    }
}
