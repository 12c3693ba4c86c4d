//! What an answer of Azure means for the next attempt, in words with the mend.

use std::time::Duration;

use reqwest::StatusCode;

use super::trust::distrust;
use crate::decode::field::Fields;
use crate::decode::text;
use crate::event::TroubleKind;

/// Longest part of an answer's or a credential's own words that is passed on.
const MAX_WORDS_CHARS: usize = 400;

/// Why there is no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum RestError {
    /// No token could be had.
    #[error("cannot get a token: {0}")]
    Identity(String),
    /// The token was not good enough, though it should have been.
    #[error("{reason}")]
    Unauthorized {
        /// Azure's words.
        reason: String,
    },
    /// The identity lacks a role.
    #[error("{reason}")]
    Forbidden {
        /// Azure's words and the role.
        reason: String,
    },
    /// What was asked for is not there.
    #[error("{reason}")]
    NotFound {
        /// Azure's words and the mend.
        reason: String,
    },
    /// Refused for another reason that no repetition mends.
    #[error("{reason}")]
    Refused {
        /// Azure's words and the mend.
        reason: String,
    },
    /// The question itself is not understood.
    #[error("{reason}")]
    Misunderstood {
        /// Azure's words.
        reason: String,
    },
    /// More than may be read at once: the question should be smaller.
    #[error("the answer is larger than {mib} MiB")]
    TooLarge {
        /// How much may be read.
        mib: usize,
    },
    /// Azure asks for patience.
    #[error("{reason}")]
    Busy {
        /// Azure's words.
        reason: String,
        /// How long to wait at least; `None` when not said.
        after: Option<Duration>,
    },
    /// Anything that may pass: no connection, no answer in time, a fault at Azure's side.
    #[error("{0}")]
    Passing(String),
}

impl RestError {
    /// What an incident calls it.
    #[must_use]
    pub const fn kind(&self) -> TroubleKind {
        match self {
            Self::Identity(_)
            | Self::Unauthorized { .. }
            | Self::Forbidden { .. }
            | Self::NotFound { .. }
            | Self::Refused { .. }
            | Self::Misunderstood { .. } => TroubleKind::Refused,
            Self::TooLarge { .. } | Self::Busy { .. } | Self::Passing(_) => {
                TroubleKind::Unreachable
            }
        }
    }

    /// A token could not be had, in the words of the credential.
    pub(super) fn of_identity(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Identity(short(&chain(error)))
    }

    /// Nothing came back.
    pub(super) fn of_transport(error: reqwest::Error) -> Self {
        let text = chain(&error.without_url());
        match distrust("the service's", &text) {
            Some(reason) => Self::Refused { reason },
            None => Self::Passing(short(&text)),
        }
    }

    /// An answer that is not a success. `role` is what we may lack.
    pub(super) fn of_status(
        status: StatusCode,
        after: Option<Duration>,
        body: &[u8],
        role: &str,
    ) -> Self {
        let words = words(body);
        let reason = match words.is_empty() {
            true => format!("answered {}", status.as_u16()),
            false => format!("answered {}: {words}", status.as_u16()),
        };
        match status.as_u16() {
            401 => Self::Unauthorized { reason },
            403 => Self::Forbidden { reason: format!("{reason} (does the identity have {role}?)") },
            404 => Self::NotFound {
                reason: format!("{reason} (are the region and the resource ids right?)"),
            },
            429 | 503 => Self::Busy { reason, after },
            300..=399 => Self::Refused {
                reason: format!(
                    "{reason}: it points elsewhere, which is not followed (is the endpoint right?)"
                ),
            },
            408 | 500..=599 => Self::Passing(reason),
            400 => Self::Misunderstood { reason },
            _ => Self::Refused { reason },
        }
    }
}

/// Azure's own words in the body of an error: code and message.
fn words(body: &[u8]) -> String {
    let Ok(body) = std::str::from_utf8(body) else { return String::new() };
    let Some(outer) = Fields::read(body) else { return String::new() };
    let nested = outer.nested("error");
    let inner = nested.as_deref().and_then(Fields::read);
    let fields = inner.as_ref().unwrap_or(&outer);
    let [code, message] = ["code", "message"].map(|name| fields.text(name).unwrap_or_default());
    let both = match (code.is_empty(), message.is_empty()) {
        (false, false) => format!("{code}: {message}"),
        (true, _) => message.into_owned(),
        (false, true) => code.into_owned(),
    };
    short(&both)
}

/// On one line, and not too long.
fn short(text: &str) -> String {
    text::clean(&text.replace(['\r', '\n', '\t'], " "), MAX_WORDS_CHARS)
}

/// An error and what caused it, each once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(status: u16, body: &str) -> RestError {
        let status = StatusCode::from_u16(status).unwrap();
        RestError::of_status(status, None, body.as_bytes(), "the role Monitoring Reader")
    }

    #[test]
    fn an_answer_is_told_with_azures_words_and_the_mend() {
        for (status, body, kind, text) in [
            (
                403,
                r#"{"error":{"code":"AuthorizationFailed","message":"no"}}"#,
                TroubleKind::Refused,
                "answered 403: AuthorizationFailed: no (does the identity have the role Monitoring Reader?)",
            ),
            (
                400,
                r#"{"Code":"BadRequest","Message":"Failed to find\nmetric"}"#,
                TroubleKind::Refused,
                "answered 400: BadRequest: Failed to find metric",
            ),
            (
                404,
                "<html>",
                TroubleKind::Refused,
                "answered 404 (are the region and the resource ids right?)",
            ),
            (
                500,
                r#"{"error":{"message":"oops"}}"#,
                TroubleKind::Unreachable,
                "answered 500: oops",
            ),
            (504, "", TroubleKind::Unreachable, "answered 504"),
        ] {
            let error = of(status, body);
            assert_eq!((error.kind(), error.to_string().as_str()), (kind, text));
        }
        assert!(matches!(of(302, ""), RestError::Refused { .. }));
        assert!(matches!(of(401, ""), RestError::Unauthorized { .. }));
        for status in [429, 503] {
            assert!(matches!(of(status, ""), RestError::Busy { after: None, .. }), "{status}");
        }
    }

    #[test]
    fn words_of_others_are_short_and_on_one_line() {
        let body = format!(r#"{{"error":{{"message":"{}\u001b[31m"}}}}"#, "x".repeat(10_000));
        let text = of(400, &body).to_string();
        assert!(text.len() < 500 && !text.contains('\u{1b}'), "{text}");
    }
}
