//! Tokens put through `$cbs`: what a connection may do, and until when.

use std::collections::BTreeMap;
use std::future::pending;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fe2o3_amqp_types::definitions::Error as AmqpError;
use reqwest::Url;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::broker::Broker;
use super::fault;

/// Entities a connection may hold tokens for. Clients put one a link; a session takes 8,192 links.
const MAX_AUDIENCES: usize = 8_192;

/// The longest token looked at; tokens of Entra ID with many groups have some 10 kB.
const MAX_TOKEN_BYTES: usize = 65_536;

/// What can be read in a token without its key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Token {
    /// When it ends, milliseconds since 1970 UTC; `None` when it does not say.
    ends_ms: Option<i64>,
    /// The path it is for, see [`path`]; `None` when it does not say.
    audience: Option<String>,
}

/// The tokens of a moment end at another; see [`Action::ExpireTokens`](super::Action).
#[derive(Debug, Clone, Copy)]
pub(super) struct Expiry {
    /// Counts the expiries, so that a token put later is known as such.
    pub(super) number: u64,
    /// `None` before the first.
    pub(super) at: Option<Instant>,
}

/// The tokens of one connection.
#[derive(Debug)]
pub(super) struct Tokens {
    broker: Arc<Broker>,
    table: watch::Sender<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// Number of the last expiry before the last token.
    expiry: u64,
    tokens: BTreeMap<String, Token>,
}

impl Tokens {
    pub(super) fn new(broker: Arc<Broker>) -> Self {
        Self { broker, table: watch::Sender::default() }
    }

    pub(super) const fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// Takes a token for the entity `name`, or says what `$cbs` answers instead.
    pub(super) fn put(&self, name: &str, token: &str) -> Result<(), String> {
        if self.broker.faults.unauthorized.is_on() {
            return Err(fault::BAD_SIGNATURE.to_owned());
        }
        let (token, entity) = (Token::parse(token), path(name));
        if self.broker.faults.enforce_tokens.is_on() {
            if let Some(ends_ms) = token.ends_ms.filter(|at| *at <= self.broker.clock.now_ms()) {
                return Err(fault::expired_token(ends_ms));
            }
            if token.audience.as_ref().is_some_and(|audience| !covers(audience, &entity)) {
                return Err(fault::BAD_AUDIENCE.to_owned());
            }
        }
        let expiry = self.broker.expiry.borrow().number;
        let mut taken = false;
        self.table.send_if_modified(|table| {
            taken = table.tokens.len() < MAX_AUDIENCES || table.tokens.contains_key(&entity);
            if taken {
                table.expiry = expiry;
                table.tokens.insert(entity, token);
            }
            taken
        });
        if taken { Ok(()) } else { Err(fault::BAD_SIGNATURE.to_owned()) }
    }

    /// When the longest token for the entity ends, by the emulator's clock.
    fn ends(&self, entity: Option<&str>) -> Ends {
        let table = self.table.borrow();
        let fitting = table.tokens.iter().filter(|(audience, _)| {
            // `$management` is named without its hub.
            entity.is_none_or(|entity| covers(audience, entity))
        });
        let never = i64::MAX;
        match fitting.map(|(_, token)| token.ends_ms.unwrap_or(never)).max() {
            Some(ends_ms) if ends_ms == never => Ends::Never,
            Some(ends_ms) => Ends::At(ends_ms),
            None => Ends::NotBegun,
        }
    }

    fn is_void(&self, expiry: Expiry) -> bool {
        self.table.borrow().expiry < expiry.number
    }
}

/// How long a link is covered by a token.
enum Ends {
    NotBegun,
    At(i64),
    Never,
}

/// What a link may do as long as the tokens of its connection cover it.
#[derive(Debug, Clone)]
pub(super) struct Grant {
    tokens: Arc<Tokens>,
    /// Needed claim and path of the entity; `None` for `$cbs`, which is open to all.
    needs: Option<(&'static str, Option<String>)>,
}

impl Grant {
    pub(super) const fn open(tokens: Arc<Tokens>) -> Self {
        Self { tokens, needs: None }
    }

    /// For a link that needs `claim` for the entity of an address, `$management` when `None`.
    pub(super) fn new(tokens: Arc<Tokens>, claim: &'static str, address: Option<&str>) -> Self {
        Self { tokens, needs: Some((claim, address.map(path))) }
    }

    pub(super) fn broker(&self) -> &Broker {
        self.tokens.broker()
    }

    /// Says why a link is not attached, of tokens and throttling.
    pub(super) fn admit(&self) -> Result<(), AmqpError> {
        let Some((claim, entity)) = &self.needs else { return Ok(()) };
        let faults = &self.broker().faults;
        if faults.unauthorized.is_on() {
            return Err(unauthorized(claim, entity.as_deref()));
        }
        // A throttled `$management` says so in its answers.
        if faults.busy.is_on() && entity.is_some() {
            return Err(fault::busy());
        }
        self.failing().map_or(Ok(()), Err)
    }

    /// Waits until the link is to be detached for want of a token, and says why. Cancel safe.
    pub(super) async fn lost(&self) -> AmqpError {
        let Some((_, entity)) = &self.needs else { return pending().await };
        let broker = &self.tokens.broker;
        let (mut put, mut expiries) = (self.tokens.table.subscribe(), broker.expiry.subscribe());
        loop {
            put.mark_unchanged();
            let expiry = *expiries.borrow_and_update();
            let enforcing = broker.faults.enforce_tokens.changed();
            if let Some(error) = self.failing() {
                return error;
            }
            let end = async {
                match (broker.faults.enforce_tokens.is_on(), self.tokens.ends(entity.as_deref())) {
                    (true, Ends::At(ms)) => broker.clock.reached(ms).await,
                    (true, Ends::Never | Ends::NotBegun) | (false, _) => pending().await,
                }
            };
            let void = async {
                match expiry.at.filter(|_| self.tokens.is_void(expiry)) {
                    Some(at) => sleep_until(at).await,
                    None => pending().await,
                }
            };
            tokio::select! {
                _ = put.changed() => {}
                _ = expiries.changed() => {}
                () = enforcing => {}
                () = end => {}
                () = void => {}
            }
        }
    }

    fn failing(&self) -> Option<AmqpError> {
        let (claim, entity) = self.needs.as_ref()?;
        let broker = &self.tokens.broker;
        let expiry = *broker.expiry.borrow();
        let over = expiry.at.is_some_and(|at| at <= Instant::now());
        if over && self.tokens.is_void(expiry) {
            return Some(fault::token_ended(broker.clock.now_ms()));
        }
        if !broker.faults.enforce_tokens.is_on() {
            return None;
        }
        match self.tokens.ends(entity.as_deref()) {
            Ends::NotBegun => Some(unauthorized(claim, entity.as_deref())),
            Ends::At(ms) if ms <= broker.clock.now_ms() => Some(fault::token_ended(ms)),
            Ends::At(_) | Ends::Never => None,
        }
    }
}

fn unauthorized(claim: &str, entity: Option<&str>) -> AmqpError {
    fault::unauthorized(claim, entity.unwrap_or("$management"))
}

impl Token {
    /// Reads a shared access signature or a JWT; of another token nothing is known.
    fn parse(text: &str) -> Self {
        if text.len() > MAX_TOKEN_BYTES {
            return Self::default();
        }
        text.strip_prefix("SharedAccessSignature ")
            .map(Self::signature)
            .or_else(|| Self::jwt(text))
            .unwrap_or_default()
    }

    fn signature(fields: &str) -> Self {
        let mut token = Self::default();
        let Ok(url) = Url::parse(&format!("sas:?{fields}")) else { return token };
        for (name, value) in url.query_pairs() {
            if name == "se" {
                token.ends_ms = value.parse::<i64>().ok().map(|s| s.saturating_mul(1_000));
            } else if name == "sr" {
                token.audience = Some(path(&value));
            }
        }
        token
    }

    /// The audience of a JWT is the service, not the entity.
    fn jwt(text: &str) -> Option<Self> {
        let payload = URL_SAFE_NO_PAD.decode(text.split('.').nth(1)?).ok()?;
        let claims: serde_json::Value = serde_json::from_slice(&payload).ok()?;
        let ends_ms = claims.get("exp")?.as_i64()?.saturating_mul(1_000);
        Some(Self { ends_ms: Some(ends_ms), audience: None })
    }
}

/// The path of an entity without scheme and host, in small letters, `logs/partitions/0`.
fn path(address: &str) -> String {
    let path = match address.split_once("://") {
        Some((_scheme, rest)) => rest.split_once('/').map_or("", |(_host, path)| path),
        None => address,
    };
    path.replace("%24", "$").trim_matches('/').to_lowercase()
}

/// A token for an entity is one for all below it.
fn covers(audience: &str, entity: &str) -> bool {
    audience.is_empty()
        || entity
            .strip_prefix(audience)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::emulator::action::Lasts;
    use crate::emulator::{EmulatorClock, HubSpec};

    const LOGS: &str = "amqps://localhost/logs/ConsumerGroups/$Default/Partitions/0";
    const NOW_MS: i64 = 1_700_000_000_000;

    fn tokens() -> Arc<Tokens> {
        let broker = Broker::new(vec![HubSpec::new("logs", 1)], EmulatorClock::fixed(NOW_MS));
        Arc::new(Tokens::new(Arc::new(broker)))
    }

    fn enforced() -> Arc<Tokens> {
        let tokens = tokens();
        tokens.broker().faults.enforce_tokens.begin((), Lasts::UntilEnded);
        tokens
    }

    fn jwt(claims: &str) -> String {
        let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
        format!("{}.{}.c2ln", part(r#"{"alg":"none"}"#), part(claims))
    }

    fn signature(resource: &str, ends_s: i64) -> String {
        format!("SharedAccessSignature sr={resource}&sig=abc%3d&se={ends_s}&skn=root")
    }

    #[track_caller]
    fn check(text: &str, ends_ms: Option<i64>, audience: Option<&str>) {
        let token = Token { ends_ms, audience: audience.map(str::to_owned) };
        assert_eq!(Token::parse(text), token, "{text}");
    }

    #[test]
    fn ends_and_audiences_are_read() {
        let logs = Some("logs/partitions/0");
        check(&signature("sb%3a%2f%2fhost%2fLogs%2fPartitions%2f0", 7), Some(7_000), logs);
        check(&signature("amqps://host/logs/Partitions/0/", 7), Some(7_000), logs);
        check(&signature("http%3A%2F%2Fhost%2F", 7), Some(7_000), Some(""));
        check("SharedAccessSignature sr=x&se=soon", None, Some("x"));
        check(&signature("x", i64::MAX), Some(i64::MAX), Some("x"));
        check(
            &jwt(r#"{"aud":"https://eventhubs.azure.net/","exp":1700000000}"#),
            Some(NOW_MS),
            None,
        );
        for text in ["", "secret", "a.b.c", &jwt("{}"), &jwt(r#"{"exp":"x"}"#), &jwt("{"), "..."] {
            check(text, None, None);
        }
        check(&signature(&"x".repeat(MAX_TOKEN_BYTES), 7), None, None);
    }

    #[test]
    fn any_token_is_taken_unless_they_are_enforced() {
        let (old, other) =
            (signature("sb://host/logs", 1), signature("sb://host/log", 4_000_000_000));
        for token in [old.as_str(), &other, ""] {
            tokens().put(LOGS, token).unwrap();
        }
        let said = enforced().put(LOGS, &old).unwrap_err();
        let expected =
            "ExpiredToken: The token is expired. Expiration time: '1970-01-01 00:00:01Z'";
        assert_eq!(said, expected);
        assert_eq!(enforced().put(LOGS, &other).unwrap_err(), fault::BAD_AUDIENCE);
        enforced().put(LOGS, &signature("sb://host/", 4_000_000_000)).unwrap();
        enforced().put(LOGS, "opaque").unwrap();
    }

    #[test]
    fn a_link_needs_a_token_for_its_entity_or_one_above() {
        let tokens = enforced();
        let admits = |address: Option<&str>| {
            Grant::new(Arc::clone(&tokens), "Listen", address).admit().is_ok()
        };
        assert!(!admits(Some(LOGS)) && !admits(None));
        assert!(Grant::open(Arc::clone(&tokens)).admit().is_ok());
        tokens.put("sb://host/logs", &signature("sb://host/logs", 4_000_000_000)).unwrap();
        assert!(admits(Some(LOGS)) && admits(Some("logs")) && admits(None));
        assert!(!admits(Some("sb://host/logs2")) && !admits(Some("sb://host/")));
        tokens.broker().clock.set(4_000_000_000_000);
        assert!(!admits(Some(LOGS)) && !admits(None));
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_is_lost_when_its_last_token_ends() {
        let tokens = enforced();
        let ends_s = NOW_MS / 1_000 + 60;
        tokens.put("sb://host/logs", &signature("sb://host/logs", ends_s)).unwrap();
        let grant = Grant::new(Arc::clone(&tokens), "Listen", Some(LOGS));
        let moves = async {
            tokio::task::yield_now().await;
            tokens.put(LOGS, &signature("sb://host/logs", ends_s + 60)).unwrap();
            tokens.broker().clock.advance(100_000);
            tokio::task::yield_now().await;
            assert!(grant.admit().is_ok());
            tokens.broker().clock.advance(20_000);
        };
        let (error, ()) = tokio::join!(grant.lost(), moves);
        assert!(error.description.unwrap().contains("'2023-11-14 22:15:20Z'"));
    }

    #[test]
    fn a_connection_holds_so_many_tokens_and_no_more() {
        let tokens = tokens();
        for number in 0..MAX_AUDIENCES {
            tokens.put(&format!("hub{number}"), "").unwrap();
        }
        assert!(tokens.put("one-more", "").is_err());
        tokens.put("hub0", "").unwrap();
    }
}
