//! Where a reader starts: the selector filter of an attach, parsed.

use std::str::FromStr;

/// What the selector compares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Location {
    /// Before the first retained event (`'-1'`).
    Earliest,
    /// After the last event of the moment of the attach (`'@latest'`).
    Latest,
    /// Sequence number.
    Sequence(i64),
    /// Byte position of the event in its partition.
    Offset(i64),
    /// Enqueued time, milliseconds since 1970 UTC.
    EnqueuedMs(i64),
}

/// How the selector compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bound {
    /// `>`: the event at the location is not wanted.
    Exclusive,
    /// `>=`: the event at the location is wanted.
    Inclusive,
}

/// A parsed selector such as `amqp.annotation.x-opt-sequence-number > '41'`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Position {
    pub(super) location: Location,
    pub(super) bound: Bound,
}

impl Position {
    /// The position of a reader that names none: only events that arrive from now on.
    pub(super) const LATEST: Self = Self { location: Location::Latest, bound: Bound::Exclusive };
}

/// The selector is not one that Event Hubs understands.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("selector `{0}` is not `amqp.annotation.x-opt-<field> > '<value>'`")]
pub(super) struct BadSelector(String);

impl FromStr for Position {
    type Err = BadSelector;

    fn from_str(text: &str) -> Result<Self, BadSelector> {
        parse(text).ok_or_else(|| BadSelector(text.to_owned()))
    }
}

fn parse(text: &str) -> Option<Position> {
    let (field, rest) = text.split_once('>')?;
    let (bound, value) = match rest.strip_prefix('=') {
        Some(value) => (Bound::Inclusive, value),
        None => (Bound::Exclusive, rest),
    };
    let value = unquote(value.trim())?;
    let field = field.trim().strip_prefix("amqp.annotation.")?;
    let location = match (field, value) {
        ("x-opt-offset" | "x-opt-sequence-number", "@latest") => Location::Latest,
        ("x-opt-offset" | "x-opt-sequence-number", "-1") => Location::Earliest,
        ("x-opt-offset", offset) => Location::Offset(offset.parse().ok()?),
        ("x-opt-sequence-number", sequence) => Location::Sequence(sequence.parse().ok()?),
        ("x-opt-enqueued-time", at_ms) => Location::EnqueuedMs(at_ms.parse().ok()?),
        _ => return None,
    };
    Some(Position { location, bound })
}

/// The JavaScript client writes numbers without quotes.
fn unquote(value: &str) -> Option<&str> {
    match value.strip_prefix('\'') {
        Some(rest) => rest.strip_suffix('\''),
        None => value.bytes().all(|b| b.is_ascii_digit() || b == b'-').then_some(value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, location: Option<Location>, bound: Bound) {
        let expected = location.map(|location| Position { location, bound });
        assert_eq!(text.parse::<Position>().ok(), expected, "{text}");
    }

    #[test]
    fn selectors_of_the_clients_are_understood() {
        use Bound::{Exclusive, Inclusive};
        let prefix = "amqp.annotation.x-opt-";
        let at = |rest: &str| format!("{prefix}{rest}");
        check(&at("offset > '-1'"), Some(Location::Earliest), Exclusive);
        check(&at("offset > '@latest'"), Some(Location::Latest), Exclusive);
        check(&at("offset >='512'"), Some(Location::Offset(512)), Inclusive);
        check(&at("sequence-number >'41'"), Some(Location::Sequence(41)), Exclusive);
        check(&at("sequence-number >= '41'"), Some(Location::Sequence(41)), Inclusive);
        check(&at("sequence-number > 41"), Some(Location::Sequence(41)), Exclusive);
        check(
            &at("enqueued-time > '1700000000000'"),
            Some(Location::EnqueuedMs(1_700_000_000_000)),
            Exclusive,
        );
    }

    #[test]
    fn other_selectors_are_refused() {
        for text in [
            "",
            ">",
            "amqp.annotation.x-opt-offset",
            "amqp.annotation.x-opt-offset < '1'",
            "amqp.annotation.x-opt-offset = '1'",
            "amqp.annotation.x-opt-offset > '1",
            "amqp.annotation.x-opt-offset > 'one'",
            "amqp.annotation.x-opt-sequence-number > ''",
            "amqp.annotation.x-opt-enqueued-time > '@latest'",
            "amqp.annotation.x-opt-partition-key > '1'",
            "x-opt-offset > '1'",
        ] {
            check(text, None, Bound::Exclusive);
        }
    }
}
