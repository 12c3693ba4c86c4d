//! Signed HTTP requests (Standard Webhooks).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook,
};

use crate::incident::{Announcement, Digest};

use super::http::{HttpSettings, Poster};
use super::settings::{Label, Problem, Settings};
use super::{Body, Channel, Hearing, Notification, RenderError, SendError, Sending};

/// Fewest bytes of a secret (Standard Webhooks asks for 24 to 64).
const SECRET_MIN: usize = 24;

/// A receiver of signed HTTP requests (Standard Webhooks).
#[derive(Debug, Clone)]
pub struct WebhookSettings {
    /// Where to.
    pub http: HttpSettings,
    /// `whsec_` and the key in base64.
    pub secret: SecretString,
    /// The secret before this one, while receivers change over; requests then carry both signatures.
    pub previous_secret: Option<SecretString>,
    /// What the bodies look like.
    pub body: Body,
}

impl Settings for WebhookSettings {
    fn word(&self) -> &'static str {
        "webhook"
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.http.problems();
        let secrets = std::iter::once(&self.secret).chain(&self.previous_secret);
        if !secrets.into_iter().all(is_secret) {
            problems.push(Problem::Secret);
        }
        problems
    }

    fn body(&self, told: &Announcement, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        self.body.incident(told, label)
    }

    fn digest(&self, digest: &Digest, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        self.body.digest(digest, label)
    }

    fn connect(&self) -> Result<Box<dyn Channel>, Problem> {
        Ok(Box::new(WebhookChannel::new(self)?))
    }
}

fn is_secret(secret: &SecretString) -> bool {
    let Some(text) = secret.expose_secret().strip_prefix("whsec_") else { return false };
    STANDARD.decode(text).is_ok_and(|key| key.len() >= SECRET_MIN)
}

/// Posts stored bodies to one address.
struct WebhookChannel {
    poster: Poster,
    content_type: HeaderValue,
    /// The current secret, then the one before it.
    signers: Vec<Webhook>,
}

impl WebhookChannel {
    /// Builds the client and the signers.
    ///
    /// # Errors
    ///
    /// The address, a secret or the certificates cannot be used.
    fn new(settings: &WebhookSettings) -> Result<Self, Problem> {
        let secrets = std::iter::once(&settings.secret).chain(&settings.previous_secret);
        let signers = secrets
            .map(|secret| Webhook::new(secret.expose_secret()).map_err(|_| Problem::Secret))
            .collect::<Result<Vec<_>, _>>()?;
        let content_type = HeaderValue::from_str(settings.body.content_type());
        let content_type =
            content_type.map_err(|_| Problem::Client { reason: "no type of a body".to_owned() })?;
        Ok(Self { poster: Poster::new(&settings.http)?, content_type, signers })
    }

    fn signature(&self, notification: &Notification, now_s: i64) -> Result<String, SendError> {
        let sign = |signer: &Webhook| signer.sign(&notification.key, now_s, &notification.body);
        let signatures = self.signers.iter().map(sign).collect::<Result<Vec<_>, _>>();
        let signatures = signatures.map_err(|error| SendError::give_up(error.to_string()))?;
        Ok(signatures.join(" "))
    }

    fn headers(&self, notification: &Notification, now_s: i64) -> Result<HeaderMap, SendError> {
        let signed = [
            (HEADER_WEBHOOK_ID, notification.key.clone()),
            (HEADER_WEBHOOK_TIMESTAMP, now_s.to_string()),
            (HEADER_WEBHOOK_SIGNATURE, self.signature(notification, now_s)?),
        ];
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, self.content_type.clone());
        for (name, value) in signed {
            let value = HeaderValue::from_str(&value);
            let value = value.map_err(|_| SendError::give_up(format!("{name} is no header")))?;
            headers.insert(HeaderName::from_static(name), value);
        }
        Ok(headers)
    }
}

/// Hides the secrets.
impl std::fmt::Debug for WebhookChannel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WebhookChannel").field("poster", &self.poster).finish_non_exhaustive()
    }
}

impl Channel for WebhookChannel {
    fn send<'a>(&'a self, notification: &'a Notification, now_s: i64) -> Sending<'a> {
        Box::pin(async move { self.send_and_hear(notification, now_s).await.map(drop) })
    }

    fn send_and_hear<'a>(&'a self, notification: &'a Notification, now_s: i64) -> Hearing<'a> {
        Box::pin(async move {
            let headers = self.headers(notification, now_s)?;
            let answer = self.poster.post(headers, notification.body.clone(), now_s).await?;
            Ok(Some(format!("answered {}", answer.status)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::Kind;

    #[test]
    fn signatures_are_those_of_standard_webhooks() {
        let settings = crate::notify::sample::hook("https://x.example/");
        let channel = WebhookChannel::new(&settings).unwrap();
        let notification = Notification {
            key: "msg_1".to_owned(),
            incident_key: String::new(),
            destination: "hook".to_owned(),
            kind: Kind::Test,
            created: crate::time::ArrivalTime(0),
            body: br#"{"test": 2432232314}"#.to_vec(),
        };
        // Python: hmac.new(bytes(32), b'msg_1.1614265330.{"test": 2432232314}', sha256)
        let expected = "v1,Bl1a0SVt78DCV06Rvr6oSEMbCaFysVu27en9cW0mNBI=";
        assert_eq!(channel.signature(&notification, 1_614_265_330).as_deref(), Ok(expected));
    }
}
