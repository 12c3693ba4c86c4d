//! Mail over SMTP, a connection for each message.

use std::path::PathBuf;

use lettre::address::Envelope;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls as ClientTls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::{ExposeSecret as _, SecretString};

use crate::incident::{Announcement, Digest};

use super::deliver::SEND_MAX;
use super::guard::is_loopback;
use super::settings::{Addresses, Label, Problem, Settings};
use super::{Channel, Notification, RenderError, SendError, Sending, mail, mail_digest};

/// A mail server and who is written to.
#[derive(Debug, Clone)]
pub struct EmailSettings {
    /// Sender, such as `tokenwatch <alerts@contoso.example>`.
    pub from: String,
    /// Recipients, at least one.
    pub to: Vec<String>,
    /// Mail server.
    pub host: String,
    /// Its port; 465 is usual for [`Tls::Implicit`], 587 for [`Tls::StartTls`].
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// Account at the server; `None` sends without logging in.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// PEM file with certificates trusted beside those of the system.
    pub ca_file: Option<PathBuf>,
}

/// How a connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// From the first byte.
    Implicit,
    /// By `STARTTLS`, and never without.
    StartTls,
    /// Not at all; loopback only.
    None,
}

impl EmailSettings {
    fn addresses<'a>(&'a self, label: Label<'a>) -> Addresses<'a> {
        Addresses { destination: label.destination, from: &self.from, to: &self.to }
    }
}

impl Settings for EmailSettings {
    fn word(&self) -> &'static str {
        "email"
    }

    fn mail(&self) -> Option<(&str, &[String])> {
        Some((&self.from, &self.to))
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.addresses(Label { destination: "", key: "" }).problems();
        if self.host.is_empty() || self.host.chars().any(|c| c.is_whitespace() || c.is_control()) {
            problems.push(Problem::Host);
        } else if self.tls == Tls::None && !is_loopback(&self.host) {
            problems.push(Problem::PlainMail { host: self.host.clone() });
        }
        if self.username.is_some() != self.password.is_some() {
            problems.push(Problem::HalfLogin);
        }
        problems
    }

    fn body(&self, told: &Announcement, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        mail::message(told, label.key, self.addresses(label))
    }

    fn digest(&self, digest: &Digest, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        mail_digest::message(digest, label.key, self.addresses(label))
    }

    fn connect(&self) -> Result<Box<dyn Channel>, Problem> {
        Ok(Box::new(SmtpChannel::new(self)?))
    }
}

/// Sends stored messages to one list of recipients.
#[derive(Debug)]
struct SmtpChannel {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    envelope: Envelope,
}

impl SmtpChannel {
    /// Prepares the way without connecting.
    ///
    /// # Errors
    ///
    /// The certificates cannot be read, or an address is none.
    fn new(settings: &EmailSettings) -> Result<Self, Problem> {
        let envelope = envelope(settings)?;
        let tls = tls(settings)?;
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .timeout(Some(SEND_MAX))
            .tls(tls);
        if let (Some(username), Some(password)) = (&settings.username, &settings.password) {
            let password = password.expose_secret().to_owned();
            builder = builder.credentials(Credentials::new(username.clone(), password));
        }
        Ok(Self { transport: builder.build(), envelope })
    }
}

impl Channel for SmtpChannel {
    fn send<'a>(&'a self, notification: &'a Notification, _now_s: i64) -> Sending<'a> {
        Box::pin(async move {
            let sent = self.transport.send_raw(&self.envelope, &notification.body).await;
            sent.map(drop).map_err(|error| {
                // Only the server's own "no" is final; everything else may be gone in a minute.
                if error.is_permanent() {
                    SendError::give_up(error.to_string())
                } else {
                    SendError::retry(error.to_string())
                }
            })
        })
    }
}

fn envelope(settings: &EmailSettings) -> Result<Envelope, Problem> {
    let address = |field: &'static str, text: &String| {
        let problem = || Problem::Address { field, text: text.clone() };
        text.parse::<Mailbox>().map(|mailbox| mailbox.email).map_err(|_| problem())
    };
    let from = address("from", &settings.from)?;
    let to: Result<Vec<_>, _> = settings.to.iter().map(|to| address("to", to)).collect();
    Envelope::new(Some(from), to?).map_err(|_| Problem::NoRecipient)
}

fn tls(settings: &EmailSettings) -> Result<ClientTls, Problem> {
    let wrap = match settings.tls {
        Tls::None => return Ok(ClientTls::None),
        Tls::Implicit => ClientTls::Wrapper,
        Tls::StartTls => ClientTls::Required,
    };
    let ca_file = |reason: String| Problem::CaFile { reason };
    let mut parameters = TlsParameters::builder(settings.host.clone());
    if let Some(path) = &settings.ca_file {
        let pem = std::fs::read(path).map_err(|error| ca_file(error.to_string()))?;
        let certificate =
            Certificate::from_pem(&pem).map_err(|error| ca_file(error.to_string()))?;
        parameters = parameters.add_root_certificate(certificate);
    }
    let built = parameters.build();
    built.map(wrap).map_err(|error| Problem::Client { reason: error.to_string() })
}
