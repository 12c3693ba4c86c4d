//! Tokens of one identity for one service, kept until shortly before they end.

use std::sync::Arc;
use std::time::Duration;

use azure_core::credentials::{AccessToken, Secret, TokenCredential};
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::{Identity, RestError};
use crate::time::MINUTE_MS;

/// A token is renewed this long before it ends, so that none ends on its way.
const MARGIN_MS: i64 = 5 * MINUTE_MS;

/// Hands out tokens; many tasks share one.
pub struct Tokens {
    scope: String,
    identity: Identity,
    /// Longest wait for a token.
    within: Duration,
    held: Mutex<Held>,
}

/// Hides the token.
impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("scope", &self.scope).finish_non_exhaustive()
    }
}

/// What proves who we are, as far as we have it.
#[derive(Default)]
struct Held {
    credential: Option<Arc<dyn TokenCredential>>,
    token: Option<AccessToken>,
}

impl Tokens {
    /// Of `identity` for `scope`, such as `https://monitor.azure.com/.default`.
    #[must_use]
    pub fn new(scope: &str, identity: Identity, within: Duration) -> Self {
        Self { scope: scope.to_owned(), identity, within, held: Mutex::default() }
    }

    /// Forgets a token that was not taken, unless another has replaced it.
    pub async fn forget(&self, refused: &Secret) {
        let mut held = self.held.lock().await;
        if held.token.as_ref().is_some_and(|token| token.token == *refused) {
            // The credential keeps tokens too, so it goes with the token.
            *held = Held::default();
        }
    }

    /// A token that at `now_ms` (since 1970) is good for some minutes yet.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn token(&self, now_ms: i64) -> Result<Secret, RestError> {
        let mut held = self.held.lock().await;
        if let Some(token) = &held.token
            && ends_ms(token) > now_ms.saturating_add(MARGIN_MS)
        {
            return Ok(token.token.clone());
        }
        let credential = match &held.credential {
            Some(credential) => Arc::clone(credential),
            None => {
                let made = self.identity.credential();
                let made = made.map_err(|error| RestError::of_identity(&error))?;
                Arc::clone(held.credential.insert(made))
            }
        };
        let scopes = [self.scope.as_str()];
        let asking = timeout(self.within, credential.get_token(&scopes, None)).await;
        let within = self.within.as_secs();
        let token = asking
            .map_err(|_| RestError::Identity(format!("no answer within {within}s")))?
            .map_err(|error| RestError::of_identity(&error))?;
        Ok(held.token.insert(token).token.clone())
    }
}

fn ends_ms(token: &AccessToken) -> i64 {
    token.expires_on.unix_timestamp().saturating_mul(1_000)
}
