//! Tells people and machines about incidents: renders once, signs, sends, and says when to retry.
//!
//! [`render`] turns an [`Announcement`] into one [`Notification`] for each destination, which the
//! store keeps in the transaction of the incident. From then on only those bytes travel: a
//! [`Channel`] sends them, [`deliver::attempt`] bounds the time, [`deliver::next`] decides what
//! follows a failure. Receivers drop repetitions by [`Notification::key`].

use std::fmt::{self, Write as _};
use std::pin::Pin;

use sha2::{Digest as _, Sha256};

use crate::incident::{Announcement, Digest, Incident, Kind};
use crate::route::Receiver;
use crate::time::ArrivalTime;

mod alertmanager;
mod brief;
pub mod chart;
pub mod clean;
pub mod deliver;
mod eml;
mod facts;
pub mod format;
mod graph;
mod guard;
mod http;
mod lines;
pub mod letter;
pub mod listener;
mod mail;
mod mail_digest;
mod number;
mod pagerduty;
mod sentinel;
mod people;
mod settings;
mod slack;
mod smtp;
mod teams;
mod story;
mod text;
mod timeline;
mod webhook;

pub use alertmanager::{AlertmanagerSettings, ENDS_AFTER_MS};
pub use eml::EmlSettings;
pub use format::Body;
pub use http::{Answer, HttpSettings, Poster};
pub use pagerduty::{PAGERDUTY, PagerDutySettings};
pub use sentinel::SentinelSettings;
pub use settings::{Destination, Invalid, Label, Problem, Settings};
pub use slack::SlackSettings;
pub use smtp::{EmailSettings, Tls};
pub use teams::TeamsSettings;
pub use webhook::WebhookSettings;

/// One row of the outbox: rendered once, then only these bytes are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// What receivers recognise a repetition by: [`idempotency_key`] in hexadecimal.
    pub key: String,
    /// The incident this is about.
    pub incident_key: String,
    /// Name of the destination.
    pub destination: String,
    /// Why it leaves.
    pub kind: Kind,
    /// When it was decided.
    pub created: ArrivalTime,
    /// The complete message (RFC 5322) or the webhook's body (JSON).
    pub body: Vec<u8>,
}

/// Why an announcement has no body.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// An address of the destination is none; [`Destination::validate`] finds it at the start.
    #[error("destination {destination}: {address:?} is not an address")]
    Address {
        /// Name of the destination.
        destination: String,
        /// What was configured.
        address: String,
    },
    /// The message could not be put together.
    #[error("destination {destination}: message: {source}")]
    Message {
        /// Name of the destination.
        destination: String,
        /// What the mail builder says.
        source: lettre::error::Error,
    },
    /// The template failed.
    #[error("template: {0}")]
    Template(#[from] askama::Error),
    /// The payload could not be written.
    #[error("payload: {0}")]
    Payload(#[from] serde_json::Error),
}

/// Why a notification was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Worth another attempt: time-out, refused connection, 429 or 5xx of HTTP, 4xx of SMTP.
    #[error("temporary failure: {reason}")]
    Retry {
        /// What happened, at most 200 characters, without the address of a webhook.
        reason: String,
        /// How long the receiver asks to be left alone, at most [`deliver::ASKED_MAX_MS`].
        after_ms: Option<i64>,
    },
    /// No attempt is likely to succeed: other 4xx and 3xx of HTTP, 5xx of SMTP.
    #[error("permanent failure: {reason}")]
    GiveUp {
        /// What happened, at most 200 characters, without the address of a webhook.
        reason: String,
    },
    /// The receiver wants nothing any more: 410 of HTTP. Nothing more is sent to it until the next
    /// start, and what was to be sent is a dead letter at once.
    #[error("the receiver is gone for good: {reason}")]
    Gone {
        /// What happened, at most 200 characters, without the address of a webhook.
        reason: String,
    },
}

impl SendError {
    fn retry(reason: impl AsRef<str>) -> Self {
        Self::Retry { reason: clean::line(reason.as_ref(), facts::TEXT_MAX), after_ms: None }
    }

    /// Worth another attempt, but not within `after_ms`.
    fn after(reason: impl AsRef<str>, after_ms: i64) -> Self {
        let reason = clean::line(reason.as_ref(), facts::TEXT_MAX);
        Self::Retry { reason, after_ms: Some(after_ms.clamp(0, deliver::ASKED_MAX_MS)) }
    }

    fn give_up(reason: impl AsRef<str>) -> Self {
        Self::GiveUp { reason: clean::line(reason.as_ref(), facts::TEXT_MAX) }
    }

    fn gone(reason: impl AsRef<str>) -> Self {
        Self::Gone { reason: clean::line(reason.as_ref(), facts::TEXT_MAX) }
    }

    /// How long the receiver asks to be left alone.
    #[must_use]
    pub const fn after_ms(&self) -> Option<i64> {
        match self {
            Self::Retry { after_ms, .. } => *after_ms,
            Self::GiveUp { .. } | Self::Gone { .. } => None,
        }
    }
}

/// An attempt in progress.
pub type Sending<'a> = Pin<Box<dyn Future<Output = Result<(), SendError>> + Send + 'a>>;

/// An attempt in progress that tells what the receiver said, such as `answered 202`, where the channel knows.
pub type Hearing<'a> = Pin<Box<dyn Future<Output = Result<Option<String>, SendError>> + Send + 'a>>;

/// A way to one destination, ready to send.
pub trait Channel: fmt::Debug + Send + Sync {
    /// Hands `notification` over; `now_s` (seconds since 1970) is the time a signature carries.
    ///
    /// Not cancel safe in effect: dropped half-way, the receiver may or may not have taken it, so
    /// the caller sends it again and the receiver recognises the key.
    ///
    /// # Errors
    ///
    /// [`SendError`] says whether another attempt makes sense.
    fn send<'a>(&'a self, notification: &'a Notification, now_s: i64) -> Sending<'a>;

    /// The same, and what the receiver said.
    ///
    /// # Errors
    ///
    /// As [`Channel::send`].
    fn send_and_hear<'a>(&'a self, notification: &'a Notification, now_s: i64) -> Hearing<'a> {
        Box::pin(async move { self.send(notification, now_s).await.map(|()| None) })
    }
}

/// SHA-256 of `incident key|kind|step|destination` in hexadecimal.
///
/// The same announcement made again after a crash gets the same key. Names of destinations hold
/// no `|` (see [`Destination::validate`]), so no two announcements share one.
#[must_use]
pub fn idempotency_key(incident_key: &str, kind: Kind, step: u32, destination: &str) -> String {
    hex_sha256(&format!("{incident_key}|{}|{step}|{destination}", kind.word()))
}

/// Renders for every destination that is to hear of it, in their order.
///
/// A destination hears of incidents whose highest severity so far reaches its `min_severity`;
/// severity never falls, so the end of an incident goes wherever its beginning went. What a
/// receiver can do nothing with ([`Settings::hears`]) is left out. A [`Kind::Test`] goes everywhere. Pure: the same announcement gives the same bytes.
///
/// # Errors
///
/// [`RenderError`], which validated destinations do not meet.
pub fn render(
    announcement: &Announcement,
    destinations: &[Destination],
) -> Result<Vec<Notification>, RenderError> {
    let incident = &announcement.incident;
    let mut notifications = Vec::new();
    for destination in destinations {
        let hears = incident.severity >= destination.min_severity
            && destination.settings.hears(announcement.kind);
        if !hears && announcement.kind != Kind::Test {
            continue;
        }
        let name = &destination.name;
        let key = idempotency_key(&incident.key, announcement.kind, announcement.step, name);
        let label = Label { destination: name, key: &key };
        let body = destination.settings.body(announcement, label)?;
        notifications.push(Notification {
            key,
            incident_key: incident.key.clone(),
            destination: name.clone(),
            kind: announcement.kind,
            created: announcement.at,
            body,
        });
    }
    Ok(notifications)
}

/// Renders several incidents as one message for one destination, which is to hear of it.
///
/// Its `incident_key` is the group, so that messages of one group keep their order. Pure.
///
/// # Errors
///
/// [`RenderError`], which validated destinations do not meet.
pub fn render_digest(
    digest: &Digest,
    destination: &Destination,
) -> Result<Notification, RenderError> {
    let name = &destination.name;
    let key = hex_sha256(&format!("{}|digest|{name}", digest.key));
    let label = Label { destination: name, key: &key };
    let body = destination.settings.digest(digest, label)?;
    Ok(Notification {
        key,
        incident_key: digest.group.clone(),
        destination: name.clone(),
        kind: if digest.is_over() { Kind::Resolve } else { Kind::Open },
        created: digest.at,
        body,
    })
}

/// An incident in words, as the text part of a mail says it.
#[must_use]
pub fn as_text(incident: &Incident) -> String {
    let kind = if incident.state.is_live() { Kind::Open } else { Kind::Resolve };
    let at = incident.resolved_at.unwrap_or(incident.opened_at);
    let announcement =
        Announcement { kind, step: 0, at, written: None, incident: incident.clone() };
    let [limits, ..] = &facts::LIMITS;
    text::part(&facts::Facts::new(&announcement, limits))
}

/// Destinations as routing sees them.
#[must_use]
pub fn receivers(destinations: &[Destination]) -> Vec<Receiver> {
    let receiver = |destination: &Destination| Receiver {
        name: destination.name.clone(),
        min_severity: destination.min_severity,
    };
    destinations.iter().map(receiver).collect()
}

fn hex_sha256(text: &str) -> String {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(text.as_bytes()) {
        // Writing to a string cannot fail.
        if write!(hex, "{byte:02x}").is_err() {
            break;
        }
    }
    hex
}

#[cfg(test)]
mod mail_tests;
#[cfg(test)]
mod sample;
#[cfg(test)]
mod tests;
