//! Tells people and machines about incidents: renders once, signs, sends, and says when to retry.
//!
//! [`render`] turns an [`Announcement`] into one [`Notification`] for each destination, which the
//! store keeps in the transaction of the incident. From then on only those bytes travel: a
//! [`Channel`] sends them, [`deliver::attempt`] bounds the time, [`deliver::next`] decides what
//! follows a failure. Receivers drop repetitions by [`Notification::key`].

use std::fmt::Write as _;

use sha2::{Digest as _, Sha256};

use crate::incident::{Announcement, Kind};
use crate::time::ArrivalTime;

pub mod clean;
pub mod deliver;
mod eml;
mod facts;
pub mod letter;
pub mod listener;
mod mail;
mod number;
mod payload;
mod settings;
mod smtp;
mod text;
mod webhook;

pub use eml::EmlChannel;
pub use settings::{
    Destination, EmailSettings, EmlSettings, Invalid, Problem, Tls, WebhookSettings,
};
pub use smtp::SmtpChannel;
pub use webhook::WebhookChannel;

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
    },
    /// No attempt is likely to succeed: other 4xx and 3xx of HTTP, 5xx of SMTP.
    #[error("permanent failure: {reason}")]
    GiveUp {
        /// What happened, at most 200 characters, without the address of a webhook.
        reason: String,
    },
}

impl SendError {
    fn retry(reason: impl AsRef<str>) -> Self {
        Self::Retry { reason: clean::line(reason.as_ref(), facts::TEXT_MAX) }
    }

    fn give_up(reason: impl AsRef<str>) -> Self {
        Self::GiveUp { reason: clean::line(reason.as_ref(), facts::TEXT_MAX) }
    }
}

/// A way to one destination.
pub trait Channel: Send + Sync {
    /// Hands `notification` over; `now_s` (seconds since 1970) is the time a signature carries.
    ///
    /// Not cancel safe in effect: dropped half-way, the receiver may or may not have taken it, so
    /// the caller sends it again and the receiver recognises the key.
    ///
    /// # Errors
    ///
    /// [`SendError`] says whether another attempt makes sense.
    fn send(
        &self,
        notification: &Notification,
        now_s: i64,
    ) -> impl Future<Output = Result<(), SendError>> + Send;
}

/// Any of the channels, ready to send; built once per destination.
#[derive(Debug)]
pub enum AnyChannel {
    /// Mail over SMTP.
    Smtp(SmtpChannel),
    /// Signed HTTP.
    Webhook(WebhookChannel),
    /// Files in a folder.
    Eml(EmlChannel),
}

impl TryFrom<Destination> for AnyChannel {
    type Error = Invalid;

    /// Checks the settings, reads the certificates they name and builds the client.
    fn try_from(destination: Destination) -> Result<Self, Invalid> {
        destination.validate()?;
        let name = destination.name().to_owned();
        let built = match destination {
            Destination::Email(settings) => SmtpChannel::new(settings).map(Self::Smtp),
            Destination::Webhook(settings) => WebhookChannel::new(&settings).map(Self::Webhook),
            Destination::EmlFolder(settings) => Ok(Self::Eml(EmlChannel::new(settings))),
        };
        built.map_err(|problem| Invalid { destination: name, problems: vec![problem] })
    }
}

impl Channel for AnyChannel {
    async fn send(&self, notification: &Notification, now_s: i64) -> Result<(), SendError> {
        match self {
            Self::Smtp(channel) => channel.send(notification, now_s).await,
            Self::Webhook(channel) => channel.send(notification, now_s).await,
            Self::Eml(channel) => channel.send(notification, now_s).await,
        }
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
/// severity never falls, so the end of an incident goes wherever its beginning went. A
/// [`Kind::Test`] goes everywhere. Pure: the same announcement gives the same bytes.
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
        let hears = incident.severity >= destination.min_severity();
        if !hears && announcement.kind != Kind::Test {
            continue;
        }
        let name = destination.name();
        let key = idempotency_key(&incident.key, announcement.kind, announcement.step, name);
        let body = match destination {
            Destination::Email(to) => mail::message(announcement, &key, to.addresses())?,
            Destination::EmlFolder(to) => mail::message(announcement, &key, to.addresses())?,
            Destination::Webhook(_) => payload::body(announcement, &key)?,
        };
        notifications.push(Notification {
            key,
            incident_key: incident.key.clone(),
            destination: name.to_owned(),
            kind: announcement.kind,
            created: announcement.at,
            body,
        });
    }
    Ok(notifications)
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
mod sample;
#[cfg(test)]
mod tests;
