//! Posts to one address for every channel that speaks HTTP: bounded in time and in what is read,
//! without redirects and proxies, only where the [guard](super::guard) allows, and no more often
//! than the receiver asks for.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use reqwest::dns::Resolve;
use reqwest::header::HeaderMap;
use reqwest::{Certificate, Client, Response, StatusCode, Url};
use secrecy::{ExposeSecret as _, SecretString};

use super::SendError;
use super::deliver::SEND_MAX;
use super::guard::{self, Guard, Guarded, SystemNames};
use super::settings::Problem;
use crate::azure::retry_after;

/// Bytes read of an answer; the rest is not waited for.
const ANSWER_MAX: usize = 64 * 1024;
/// Longest wait for those bytes once the status is known.
const ANSWER_WAIT: Duration = Duration::from_secs(1);
/// Longest wait for a connection, TLS included: time is left for the answer.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// Longest word of an answer that is told on; see [`word`].
const WORD_MAX: usize = 40;

/// Where one destination is posted to.
#[derive(Debug, Clone)]
pub struct HttpSettings {
    /// Address; `https`, or `http` on loopback. May carry a secret, so it is never shown.
    pub url: SecretString,
    /// PEM file with certificates trusted beside those of the system.
    pub ca_file: Option<PathBuf>,
    /// Internal networks that may be reached, such as `10.1.0.0/16`. An address whose host is
    /// written as loopback reaches loopback, and nothing else, without being named here.
    pub allow_internal: Vec<String>,
}

impl HttpSettings {
    /// An address, by the certificates of the system and to public networks alone.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { url: url.into(), ca_file: None, allow_internal: Vec::new() }
    }

    /// The same for an address that paths are put below.
    #[must_use]
    pub fn base_problems(&self) -> Vec<Problem> {
        let url = self.url.expose_secret();
        let parts = Problem::Setting {
            field: "url",
            reason: "it has a query or a fragment",
            mend: "write the address alone, as far as the path below it",
        };
        self.problems().into_iter().chain(url.contains(['?', '#']).then_some(parts)).collect()
    }

    /// What is reached the same way at `path` below the address.
    #[must_use]
    pub fn below(&self, path: &str) -> Self {
        let base = self.url.expose_secret().trim_end_matches('/');
        Self { url: format!("{base}/{path}").into(), ..self.clone() }
    }

    /// What is wrong, found without touching network or disk.
    #[must_use]
    pub fn problems(&self) -> Vec<Problem> {
        let url = guard::url_problem(self.url.expose_secret(), &self.allow_internal);
        url.into_iter().chain(guard::network_problems(&self.allow_internal)).collect()
    }
}

/// What a receiver that took a message said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status, 200 to 299.
    pub status: u16,
    /// The first 64 KiB of the body, or what came of it within a second.
    pub body: Vec<u8>,
}

/// Posts to one address.
///
/// What the receiver asks for is kept: after `429` or `503` with `Retry-After` nothing is sent
/// before that time, and after `410` nothing at all. A new one, made at the next start, forgets both.
pub struct Poster {
    client: Client,
    url: Url,
    /// Nothing is sent before this moment, in milliseconds of the caller's clock.
    not_before_ms: AtomicI64,
    /// The receiver said that it is gone for good.
    gone: AtomicBool,
}

/// Hides the address, which may hold a secret.
impl fmt::Debug for Poster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poster").field("host", &self.url.host_str()).finish_non_exhaustive()
    }
}

impl Poster {
    /// Builds the client.
    ///
    /// # Errors
    ///
    /// The address, a network or the certificates cannot be used.
    pub fn new(settings: &HttpSettings) -> Result<Self, Problem> {
        Self::with_names(settings, Arc::new(SystemNames))
    }

    /// The same with another source of names.
    fn with_names(settings: &HttpSettings, names: Arc<dyn Resolve>) -> Result<Self, Problem> {
        if let Some(problem) = settings.problems().into_iter().next() {
            return Err(problem);
        }
        let url = Url::parse(settings.url.expose_secret()).map_err(|_| Problem::Url)?;
        let guard = Guard::new(&url, &settings.allow_internal)?;
        let mut builder = Client::builder()
            .timeout(SEND_MAX)
            .connect_timeout(CONNECT_MAX)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .user_agent(concat!("tokenwatch/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(Guarded::new(guard, names)));
        if let Some(path) = &settings.ca_file {
            let ca_file = |reason: String| Problem::CaFile { reason };
            let pem = std::fs::read(path).map_err(|error| ca_file(error.to_string()))?;
            let certificates = Certificate::from_pem_bundle(&pem);
            builder =
                builder.tls_certs_merge(certificates.map_err(|error| ca_file(error.to_string()))?);
        }
        let client = builder.build().map_err(|error| Problem::Client { reason: chain(&error) })?;
        Ok(Self { client, url, not_before_ms: AtomicI64::new(0), gone: AtomicBool::new(false) })
    }

    /// Posts once; `now_s` is seconds since 1970. The caller says the type of the body in `headers`.
    ///
    /// Not cancel safe in effect: dropped half-way, the receiver may or may not have taken it.
    ///
    /// # Errors
    ///
    /// [`SendError`]: 408, 409, 425, 429, 5xx and no answer are worth another attempt, 410 is the
    /// end of this receiver, any other answer than 2xx the end of this message.
    pub async fn post(
        &self,
        headers: HeaderMap,
        body: Vec<u8>,
        now_s: i64,
    ) -> Result<Answer, SendError> {
        if self.gone.load(Ordering::Relaxed) {
            return Err(SendError::gone("not sent: the receiver answered 410 before"));
        }
        let now_ms = now_s.saturating_mul(1_000);
        let wait_ms = self.not_before_ms.load(Ordering::Relaxed).saturating_sub(now_ms);
        if wait_ms > 0 {
            return Err(SendError::after("not sent: the receiver asked to wait", wait_ms));
        }
        let request = self.client.post(self.url.clone()).headers(headers).body(body);
        let lost = |error: reqwest::Error| SendError::retry(chain(&error.without_url()));
        let mut answer = request.send().await.map_err(lost)?;
        let status = answer.status();
        let asked = retry_after(answer.headers(), now_ms);
        let asked_ms = asked.map(|wait| i64::try_from(wait.as_millis()).unwrap_or(i64::MAX));
        let body = read(&mut answer).await;
        self.verdict(status, asked_ms, now_ms, &body)?;
        Ok(Answer { status: status.as_u16(), body })
    }

    /// What a status means for the message, and for those after it.
    fn verdict(
        &self,
        status: StatusCode,
        asked_ms: Option<i64>,
        now_ms: i64,
        body: &[u8],
    ) -> Result<(), SendError> {
        let mut reason = format!("answered {}", status.as_u16());
        if let Some(word) = word(body) {
            reason.push_str(": ");
            reason.push_str(word);
        }
        match status.as_u16() {
            200..=299 => Ok(()),
            410 => {
                self.gone.store(true, Ordering::Relaxed);
                Err(SendError::gone(reason))
            }
            408 | 409 | 425 | 429 | 500..=599 => match asked_ms {
                Some(asked_ms) => {
                    let error = SendError::after(reason, asked_ms);
                    let until_ms = now_ms.saturating_add(error.after_ms().unwrap_or(0));
                    self.not_before_ms.store(until_ms, Ordering::Relaxed);
                    Err(error)
                }
                None => Err(SendError::retry(reason)),
            },
            _ => Err(SendError::give_up(reason)),
        }
    }
}

/// The beginning of the body. The status stands already, so neither a failure nor the end of the
/// wait matters.
async fn read(answer: &mut Response) -> Vec<u8> {
    let mut body = Vec::new();
    let reading = async {
        while body.len() < ANSWER_MAX {
            let Ok(Some(bytes)) = answer.chunk().await else { return };
            body.extend_from_slice(bytes.get(..ANSWER_MAX - body.len()).unwrap_or(&bytes));
        }
    };
    if tokio::time::timeout(ANSWER_WAIT, reading).await.is_err() {
        tracing::debug!("answer was not read to its end");
    }
    body
}

/// The body when it is one word such as `invalid_blocks`. Anything longer may repeat the address,
/// a header or the message, and is not told on.
fn word(body: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(body).ok()?.trim();
    let is_word = |c: char| c.is_ascii_lowercase() || c == '_';
    ((1..=WORD_MAX).contains(&text.len()) && text.chars().all(is_word)).then_some(text)
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

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
