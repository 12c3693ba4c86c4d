//! A receiver of our own webhooks: for the demo, for checking a set-up, and for tests.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, State};
use axum::http::{HeaderMap, StatusCode};
use secrecy::{ExposeSecret as _, SecretString};
use standardwebhooks::{
    HEADER_WEBHOOK_ID, HEADER_WEBHOOK_SIGNATURE, HEADER_WEBHOOK_TIMESTAMP, Webhook,
};
use tokio::net::TcpListener;
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Deliveries kept; the oldest make room.
pub const DELIVERIES_MAX: usize = 1_024;
/// Largest body taken; ours are below 20 kB.
const BODY_MAX: usize = 256 * 1024;
/// Seconds a timestamp may be off before a request is a replay (Standard Webhooks: five minutes).
pub const TOLERANCE_S: i64 = 5 * 60;
/// Longest wait for requests in hand when it stops.
pub const STOP_MAX: Duration = Duration::from_secs(5);

/// Why a listener did not start.
#[derive(Debug, thiserror::Error)]
pub enum ListenerError {
    /// It would be reachable from a network.
    #[error("{0} is not a loopback address")]
    NotLoopback(SocketAddr),
    /// Not a secret of Standard Webhooks.
    #[error("secret: not whsec_ and base64")]
    Secret,
    /// The port is taken or forbidden.
    #[error("listen on {address}: {source}")]
    Bind {
        /// Where it was to listen.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// One request as it came in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// `webhook-id`: the same for every repetition. Empty when missing.
    pub id: String,
    /// True when one of its signatures was made with our secret over id, timestamp and body.
    pub verified: bool,
    /// `webhook-timestamp`, seconds since 1970; 0 when missing.
    pub timestamp_s: i64,
    /// The bytes that were signed.
    pub body: Vec<u8>,
    /// What was answered.
    pub status: u16,
}

impl Delivery {
    /// True when the timestamp is within [`TOLERANCE_S`] of `now_s`; an older one is a replay.
    #[must_use]
    pub const fn is_fresh(&self, now_s: i64) -> bool {
        now_s.saturating_sub(self.timestamp_s).saturating_abs() <= TOLERANCE_S
    }
}

/// A running receiver; dropped, it stops at once.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    shared: Arc<Shared>,
    incoming: broadcast::Receiver<Delivery>,
    stop: CancellationToken,
    server: JoinHandle<io::Result<()>>,
}

struct Shared {
    verifier: Webhook,
    /// Status for requests that are verified.
    reply: AtomicU16,
    kept: Mutex<VecDeque<Delivery>>,
    outgoing: broadcast::Sender<Delivery>,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").field("reply", &self.reply).finish_non_exhaustive()
    }
}

impl Listener {
    /// Listens on `listen` (port 0 picks one) and answers 204 to what is signed with `secret`.
    ///
    /// Anything else is answered 401 and kept as unverified.
    ///
    /// # Errors
    ///
    /// [`ListenerError`]; only loopback addresses are allowed.
    pub async fn start(listen: SocketAddr, secret: &SecretString) -> Result<Self, ListenerError> {
        if !listen.ip().is_loopback() {
            return Err(ListenerError::NotLoopback(listen));
        }
        let verifier = Webhook::new(secret.expose_secret()).map_err(|_| ListenerError::Secret)?;
        let bind = |source| ListenerError::Bind { address: listen, source };
        let socket = TcpListener::bind(listen).await.map_err(bind)?;
        let address = socket.local_addr().map_err(bind)?;
        let (outgoing, incoming) = broadcast::channel(DELIVERIES_MAX);
        let shared = Arc::new(Shared {
            verifier,
            reply: AtomicU16::new(204),
            kept: Mutex::new(VecDeque::new()),
            outgoing,
        });
        let router = Router::new()
            .fallback(receive)
            .layer(DefaultBodyLimit::max(BODY_MAX))
            .with_state(Arc::clone(&shared));
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let server = tokio::spawn(async move {
            axum::serve(socket, router).with_graceful_shutdown(stopped).await
        });
        Ok(Self { address, shared, incoming, stop, server })
    }

    /// Where to send to.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// What came in so far, oldest first; the newest [`DELIVERIES_MAX`].
    #[must_use]
    pub fn deliveries(&self) -> Vec<Delivery> {
        let kept = self.shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().cloned().collect()
    }

    /// Waits for the next delivery not yet returned; `None` once the server has ended.
    ///
    /// Whoever falls more than [`DELIVERIES_MAX`] behind goes on with the oldest one kept. Cancel
    /// safe.
    pub async fn next_delivery(&mut self) -> Option<Delivery> {
        loop {
            match self.incoming.recv().await {
                Ok(delivery) => return Some(delivery),
                Err(broadcast::error::RecvError::Lagged(_)) => {}
                Err(broadcast::error::RecvError::Closed) => return None,
            }
        }
    }

    /// Answers verified requests with `status` from now on; a number that is none becomes 500.
    pub fn reply_with(&self, status: u16) {
        self.shared.reply.store(status, Ordering::Relaxed);
    }

    /// Takes no more requests, answers those in hand for at most [`STOP_MAX`], and ends.
    pub async fn stop(mut self) {
        self.stop.cancel();
        // Whoever is still sending then is cut off when `self` is dropped.
        if tokio::time::timeout(STOP_MAX, &mut self.server).await.is_err() {
            tracing::debug!("webhook listener was stopped with requests in hand");
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.stop.cancel();
        self.server.abort();
    }
}

async fn receive(State(shared): State<Arc<Shared>>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let id = text(HEADER_WEBHOOK_ID).to_owned();
    let timestamp = text(HEADER_WEBHOOK_TIMESTAMP).parse::<i64>().ok();
    let signatures = text(HEADER_WEBHOOK_SIGNATURE);
    let verified = timestamp
        .and_then(|timestamp_s| shared.verifier.sign(&id, timestamp_s, &body).ok())
        .is_some_and(|expected| signatures.split(' ').any(|given| is_same(given, &expected)));
    let status = if verified { shared.reply.load(Ordering::Relaxed) } else { 401 };
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let delivery = Delivery {
        id,
        verified,
        timestamp_s: timestamp.unwrap_or(0),
        body: body.to_vec(),
        status: status.as_u16(),
    };
    let mut kept = shared.kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.len() >= DELIVERIES_MAX {
        kept.pop_front();
    }
    kept.push_back(delivery.clone());
    // Sent under the lock, so that both orders are one; nobody listening is no fault.
    if shared.outgoing.send(delivery).is_err() {
        tracing::trace!("webhook delivery kept, nobody waits for it");
    }
    status
}

/// Compares in a time that does not depend on where the texts differ.
fn is_same(given: &str, expected: &str) -> bool {
    let difference = given.bytes().zip(expected.bytes()).fold(0, |sum, (a, b)| sum | (a ^ b));
    given.len() == expected.len() && difference == 0
}
