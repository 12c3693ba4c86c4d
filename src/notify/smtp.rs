//! Mail over SMTP, a connection for each message.

use lettre::address::Envelope;
use lettre::message::Mailbox;
use lettre::transport::smtp::authentication::Credentials;
use lettre::transport::smtp::client::{Certificate, Tls as ClientTls, TlsParameters};
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Tokio1Executor};
use secrecy::ExposeSecret as _;

use super::deliver::SEND_MAX;
use super::settings::{EmailSettings, Problem, Tls};
use super::{Channel, Notification, SendError};

/// Sends stored messages to one list of recipients.
#[derive(Debug)]
pub struct SmtpChannel {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    envelope: Envelope,
}

impl SmtpChannel {
    /// Prepares the way without connecting.
    ///
    /// # Errors
    ///
    /// The certificates cannot be read, or an address is none.
    pub fn new(settings: EmailSettings) -> Result<Self, Problem> {
        let envelope = envelope(&settings)?;
        let tls = tls(&settings)?;
        let mut builder = AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(&settings.host)
            .port(settings.port)
            .timeout(Some(SEND_MAX))
            .tls(tls);
        if let (Some(username), Some(password)) = (settings.username, settings.password) {
            let password = password.expose_secret().to_owned();
            builder = builder.credentials(Credentials::new(username, password));
        }
        Ok(Self { transport: builder.build(), envelope })
    }
}

impl Channel for SmtpChannel {
    async fn send(&self, notification: &Notification, _now_s: i64) -> Result<(), SendError> {
        let sent = self.transport.send_raw(&self.envelope, &notification.body).await;
        sent.map(drop).map_err(|error| {
            // Only the server's own "no" is final; everything else may be gone in a minute.
            if error.is_permanent() {
                SendError::give_up(error.to_string())
            } else {
                SendError::retry(error.to_string())
            }
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
