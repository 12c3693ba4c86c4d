//! Signed HTTP requests (Standard Webhooks).

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook,
};

use crate::incident::{Announcement, Digest, Kind};

use super::deliver::SEND_MAX;
use super::settings::{Label, Problem, Settings, is_forbidden, is_secret, url_problem};
use super::{Channel, Notification, RenderError, SendError, Sending, payload};

/// Bytes read of an answer; the rest is not waited for.
const ANSWER_MAX: usize = 64 * 1024;
/// Longest wait for those bytes once the status is known.
const ANSWER_WAIT: Duration = Duration::from_secs(1);

/// A receiver of signed HTTP requests (Standard Webhooks).
#[derive(Clone)]
pub struct WebhookSettings {
    /// Address; `https`, or `http` on loopback. May carry a secret, so it is never logged.
    pub url: String,
    /// `whsec_` and the key in base64.
    pub secret: SecretString,
    /// The secret before this one, while receivers change over; requests then carry both signatures.
    pub previous_secret: Option<SecretString>,
    /// PEM file with certificates trusted beside those of the system.
    pub ca_file: Option<PathBuf>,
}

impl Settings for WebhookSettings {
    fn word(&self) -> &'static str {
        "webhook"
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = url_problem(&self.url).into_iter().collect();
        let secrets = std::iter::once(&self.secret).chain(&self.previous_secret);
        if !secrets.into_iter().all(is_secret) {
            problems.push(Problem::Secret);
        }
        problems
    }

    fn hears(&self, kind: Kind) -> bool {
        match kind {
            Kind::Open
            | Kind::Escalate
            | Kind::Reopen
            | Kind::Acknowledge
            | Kind::Repeat
            | Kind::Resolve
            | Kind::Test => true,
        }
    }

    fn body(&self, told: &Announcement, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        payload::body(told, label.key)
    }

    fn digest(&self, digest: &Digest, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        payload::digest(digest, label.key)
    }

    fn connect(&self) -> Result<Box<dyn Channel>, Problem> {
        Ok(Box::new(WebhookChannel::new(self)?))
    }
}

/// Hides path and query, which may hold a secret.
impl fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = Url::parse(&self.url).ok();
        f.debug_struct("WebhookSettings")
            .field("host", &url.as_ref().and_then(Url::host_str))
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

/// Posts stored bodies to one address.
struct WebhookChannel {
    client: Client,
    url: Url,
    /// The current secret, then the one before it.
    signers: Vec<Webhook>,
}

impl WebhookChannel {
    /// Builds the client: no redirects, no proxies, no answer from where credentials are handed out.
    ///
    /// # Errors
    ///
    /// The address, a secret or the certificates cannot be used.
    fn new(settings: &WebhookSettings) -> Result<Self, Problem> {
        let url = Url::parse(&settings.url).map_err(|_| Problem::Url)?;
        let secrets = std::iter::once(&settings.secret).chain(&settings.previous_secret);
        let signers = secrets
            .map(|secret| Webhook::new(secret.expose_secret()).map_err(|_| Problem::Secret))
            .collect::<Result<Vec<_>, _>>()?;
        let mut builder = Client::builder()
            .timeout(SEND_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("tokenwatch/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(PublicOrLoopback { plain: url.scheme() == "http" }));
        if let Some(path) = &settings.ca_file {
            let ca_file = |reason: String| Problem::CaFile { reason };
            let pem = std::fs::read(path).map_err(|error| ca_file(error.to_string()))?;
            let certificates = Certificate::from_pem_bundle(&pem);
            builder =
                builder.tls_certs_merge(certificates.map_err(|error| ca_file(error.to_string()))?);
        }
        let client = builder.build().map_err(|error| Problem::Client { reason: chain(&error) })?;
        Ok(Self { client, url, signers })
    }

    fn signature(&self, notification: &Notification, now_s: i64) -> Result<String, SendError> {
        let sign = |signer: &Webhook| signer.sign(&notification.key, now_s, &notification.body);
        let signatures = self.signers.iter().map(sign).collect::<Result<Vec<_>, _>>();
        let signatures = signatures.map_err(|error| SendError::give_up(error.to_string()))?;
        Ok(signatures.join(" "))
    }
}

/// Hides the address, which may hold a secret.
impl fmt::Debug for WebhookChannel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebhookChannel").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

impl Channel for WebhookChannel {
    fn send<'a>(&'a self, notification: &'a Notification, now_s: i64) -> Sending<'a> {
        Box::pin(async move {
            let request = self
                .client
                .post(self.url.clone())
                .header("content-type", "application/json")
                .header(HEADER_WEBHOOK_ID, &notification.key)
                .header(HEADER_WEBHOOK_TIMESTAMP, now_s)
                .header(HEADER_WEBHOOK_SIGNATURE, self.signature(notification, now_s)?)
                .body(notification.body.clone());
            let lost = |error: reqwest::Error| SendError::retry(chain(&error.without_url()));
            let mut answer = request.send().await.map_err(lost)?;
            let verdict = verdict(answer.status());
            // The verdict stands already, so neither a failure nor the end of this wait matters: the
            // body is read only for the connection to be used again.
            if tokio::time::timeout(ANSWER_WAIT, drain(&mut answer)).await.is_err() {
                tracing::debug!(
                    destination = notification.destination,
                    "answer was not read to its end"
                );
            }
            verdict
        })
    }
}

async fn drain(answer: &mut Response) {
    let mut read = 0;
    while read < ANSWER_MAX {
        match answer.chunk().await {
            Ok(Some(bytes)) => read += bytes.len(),
            Ok(None) | Err(_) => return,
        }
    }
}

/// What a status means for the notification.
fn verdict(status: StatusCode) -> Result<(), SendError> {
    let reason = format!("answered {}", status.as_u16());
    match status.as_u16() {
        200..=299 => Ok(()),
        408 | 409 | 425 | 429 | 500..=599 => Err(SendError::retry(reason)),
        _ => Err(SendError::give_up(reason)),
    }
}

/// The error and what caused it, without the address.
fn chain(error: &reqwest::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

/// Looks names up at each connection and drops forbidden addresses, so that a name cannot be
/// pointed at a metadata service after the settings were checked. `plain` (http) keeps loopback only.
struct PublicOrLoopback {
    plain: bool,
}

impl Resolve for PublicOrLoopback {
    fn resolve(&self, name: Name) -> Resolving {
        let plain = self.plain;
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), 0)).await?;
            let kept = move |at: &SocketAddr| {
                !is_forbidden(at.ip()) && (!plain || at.ip().to_canonical().is_loopback())
            };
            let kept: Vec<SocketAddr> = found.filter(kept).collect();
            if kept.is_empty() {
                return Err("no address that may be called".into());
            }
            let addresses: Addrs = Box::new(kept.into_iter());
            Ok(addresses)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let settings = crate::notify::sample::hook("https://x.example/");
        let channel = WebhookChannel::new(&settings).unwrap();
        let notification = Notification {
            key: "msg_1".to_owned(),
            incident_key: String::new(),
            destination: "hook".to_owned(),
            kind: crate::incident::Kind::Test,
            created: crate::time::ArrivalTime(0),
            body: br#"{"test": 2432232314}"#.to_vec(),
        };
        // Python: hmac.new(bytes(32), b'msg_1.1614265330.{"test": 2432232314}', sha256)
        let expected = "v1,Bl1a0SVt78DCV06Rvr6oSEMbCaFysVu27en9cW0mNBI=";
        assert_eq!(channel.signature(&notification, 1_614_265_330).as_deref(), Ok(expected));
    }

    #[test]
    fn every_status_has_a_verdict() {
        for status in 100..=999_u16 {
            let verdict = verdict(StatusCode::from_u16(status).unwrap());
            let retry = matches!(verdict, Err(SendError::Retry { .. }));
            assert_eq!(verdict.is_ok(), (200..300).contains(&status), "{status}");
            let again = matches!(status, 408 | 409 | 425 | 429) || (500..600).contains(&status);
            assert_eq!(retry, again, "{status}");
        }
    }

    #[tokio::test]
    async fn names_are_not_resolved_to_forbidden_addresses() {
        let check = async |name: &str, plain, found: bool| {
            let resolved = PublicOrLoopback { plain }.resolve(name.parse().unwrap()).await;
            assert_eq!(resolved.is_ok(), found, "{name}");
        };
        check("localhost", true, true).await;
        check("localhost", false, true).await;
        check("169.254.169.254", false, false).await;
        check("203.0.113.9", true, false).await;
        check("203.0.113.9", false, true).await;
    }
}
