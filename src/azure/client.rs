//! One service of Azure over HTTPS: with our token, at a measured pace, and nowhere else.

use std::time::Duration;

use azure_core::credentials::Secret;
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Response, Url};

use super::{Clock, Identity, Limit, Pace, RestError, Tokens};
use crate::decode::text;

/// Largest answer that is read.
const MAX_ANSWER_BYTES: usize = 16 * 1024 * 1024;
/// Largest part of an error's body that is read.
const MAX_ERROR_BYTES: usize = 16 * 1024;

/// What is asked, and as whom.
#[derive(Debug, Clone)]
pub struct Service {
    /// `https://HOST`, to which every question and the token go.
    pub base: Url,
    /// What the token is for, such as `https://metrics.monitor.azure.com/.default`.
    pub scope: String,
    /// Who we are.
    pub identity: Identity,
    /// What the identity needs, in words, such as "the role Monitoring Reader on the subscription".
    pub needs: &'static str,
}

/// A client of one service. Cheap questions of many tasks share its pace and its token.
pub struct Client {
    http: reqwest::Client,
    service: Service,
    clock: Clock,
    limit: Limit,
    tokens: Tokens,
}

impl Client {
    /// A client without redirects and proxies; https alone is spoken.
    ///
    /// # Errors
    /// No certificate is trusted on this machine.
    pub fn new(service: Service, pace: Pace, clock: Clock) -> Result<Self, RestError> {
        let http = reqwest::Client::builder()
            .https_only(true)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .connect_timeout(pace.connect)
            .timeout(pace.answer)
            .user_agent(concat!("tokenwatch/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(RestError::of_transport)?;
        let limit = Limit::new(pace.distance);
        let tokens = Tokens::new(&service.scope, service.identity.clone(), pace.answer);
        Ok(Self { http, service, clock, limit, tokens })
    }

    /// Posts a JSON body to `path` below the service's address and reads the whole answer. A token
    /// that is not taken is renewed once. No other attempt is made: see [`super::Pauses`].
    ///
    /// Cancel safe in that nothing is held by a question that was dropped.
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn post(
        &self,
        path: &str,
        query: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<Vec<u8>, RestError> {
        let (url, body) = (self.address(path, query), Some(body));
        self.ask(&Question { url: &url, body, needs: self.service.needs }).await
    }

    /// Reads the whole answer to a GET of `url`, which is from [`Client::address`] or
    /// [`Client::follow`]. `needs` is the role it takes, in words; the rest as in [`Client::post`].
    ///
    /// # Errors
    /// Why there is no answer.
    pub async fn get(&self, url: &Url, needs: &str) -> Result<Vec<u8>, RestError> {
        self.ask(&Question { url, body: None, needs }).await
    }

    /// The address of `path` at this service.
    #[must_use]
    pub fn address(&self, path: &str, query: &[(&str, &str)]) -> Url {
        let mut url = self.service.base.clone();
        url.set_path(path);
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        url
    }

    /// The address a link in an answer leads to.
    ///
    /// # Errors
    /// It is no address, or one of another service: our token goes nowhere else.
    pub fn follow(&self, link: &str) -> Result<Url, RestError> {
        let refused = |what: &str| RestError::Refused {
            reason: format!("the list goes on {what}, which is not followed"),
        };
        let url = Url::parse(link).map_err(|_| refused("at what is no address"))?;
        if url.origin() != self.service.base.origin() || !url.username().is_empty() {
            let host = text::clean(url.host_str().unwrap_or_default(), text::MAX_NAME_CHARS);
            return Err(refused(&format!("at another host ({host})")));
        }
        Ok(url)
    }

    async fn ask(&self, question: &Question<'_>) -> Result<Vec<u8>, RestError> {
        let token = self.tokens.token((self.clock)()).await?;
        let answer = self.send(question, &token).await;
        let Err(RestError::Unauthorized { .. }) = answer else { return answer };
        self.tokens.forget(&token).await;
        let token = self.tokens.token((self.clock)()).await?;
        match self.send(question, &token).await {
            Err(RestError::Unauthorized { reason }) => Err(RestError::Refused {
                reason: format!(
                    "{reason}, with a fresh token too (is the identity of the tenant of the \
                     subscription, and the endpoint of its cloud?)"
                ),
            }),
            answer => answer,
        }
    }

    async fn send(&self, question: &Question<'_>, token: &Secret) -> Result<Vec<u8>, RestError> {
        self.limit.turn().await;
        let request = match &question.body {
            None => self.http.get(question.url.clone()),
            Some(body) => self
                .http
                .post(question.url.clone())
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone()),
        };
        let request = request.bearer_auth(token.secret());
        let mut answer = request.send().await.map_err(RestError::of_transport)?;
        let status = answer.status();
        if status.is_success() {
            return read(&mut answer, MAX_ANSWER_BYTES).await;
        }
        let after = retry_after(answer.headers(), (self.clock)());
        // The status stands already: a body that cannot be read only costs its words.
        let body = read(&mut answer, MAX_ERROR_BYTES).await.unwrap_or_default();
        Err(RestError::of_status(status, after, &body, question.needs))
    }
}

/// One request.
struct Question<'a> {
    url: &'a Url,
    /// Posted as JSON; a GET without.
    body: Option<Vec<u8>>,
    needs: &'a str,
}

async fn read(answer: &mut Response, most: usize) -> Result<Vec<u8>, RestError> {
    let mut body = Vec::new();
    while let Some(bytes) = answer.chunk().await.map_err(RestError::of_transport)? {
        if body.len() + bytes.len() > most {
            return Err(RestError::TooLarge { mib: most / (1024 * 1024) });
        }
        body.extend_from_slice(&bytes);
    }
    Ok(body)
}

/// How long `Retry-After` asks to wait: seconds, or a date (RFC 9110, section 10.2.3).
pub(crate) fn retry_after(headers: &HeaderMap, now_ms: i64) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
    let ms = at.as_millisecond().saturating_sub(now_ms);
    Some(Duration::from_millis(u64::try_from(ms).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use reqwest::header::HeaderValue;

    use super::*;

    #[test]
    fn a_wait_is_asked_for_in_seconds_or_until_a_date() {
        let now_ms = 1_791_278_100_000; // 2026-10-06T09:15:00Z
        for (text, expected) in [
            ("120", Some(120)),
            (" 0 ", Some(0)),
            ("Tue, 06 Oct 2026 09:16:30 GMT", Some(90)),
            ("Tue, 06 Oct 2026 09:10:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(text));
            assert_eq!(
                retry_after(&headers, now_ms).map(|wait| wait.as_secs()),
                expected,
                "{text}"
            );
        }
        assert_eq!(retry_after(&HeaderMap::new(), now_ms), None);
    }
}
