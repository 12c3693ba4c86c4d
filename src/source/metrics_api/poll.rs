//! One subscription: ask for the next minutes and the last few again, hand the answers over, wait.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until};

use super::cut::{self, Cut};
use super::{Shared, Told};
use crate::azure::{Pauses, RestError};
use crate::decode::signal_of;
use crate::event::{Arrival, PartitionKey, Position, Trouble, TroubleKind};
use crate::time::{ArrivalTime, DAY_MS, EventTime};

/// Version of the API whose answers are understood.
const API_VERSION: &str = "2024-02-01";
/// Accounts in one question: the most Azure takes.
const MAX_ACCOUNTS: usize = 50;
/// Metrics in one question: the most Azure takes.
const MAX_METRICS: usize = 20;
/// Deployments of one account in an answer. Azure gives ten where nothing is said, and leaves the
/// others out without a word.
const TOP: usize = 1_000;
/// Azure keeps metrics for 93 days; older minutes than this are not asked for.
const OLDEST_MS: i64 = 30 * DAY_MS;
/// Different warnings given by one poller.
const MAX_WARNINGS: usize = 100;

/// Asks for the metrics of one subscription until stopped.
pub(super) struct Poller {
    shared: Arc<Shared>,
    key: PartitionKey,
    subscription: String,
    accounts: Vec<String>,
    /// Accounts in one question: fewer once an answer was too large to be read.
    at_once: usize,
    /// Metrics that one question may ask for, with what of them.
    groups: Vec<(&'static str, String)>,
    /// Number of the next answer.
    next: i64,
    /// End of the newest minute asked for; `None` before the first.
    passed: Option<i64>,
    failing_since: Option<Instant>,
    warned: BTreeSet<String>,
}

/// Nobody listens any more.
struct Closed;

/// Why a round did not end.
enum Broken {
    Closed,
    Failed(RestError),
}

impl From<Closed> for Broken {
    fn from(_: Closed) -> Self {
        Self::Closed
    }
}

impl From<RestError> for Broken {
    fn from(error: RestError) -> Self {
        Self::Failed(error)
    }
}

/// How a round ended.
#[derive(Debug, PartialEq, Eq)]
enum Round {
    /// Nothing is left to ask for.
    Done,
    /// There are more minutes.
    Behind,
}

/// What a question covers: half-open, in milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: i64,
    until: i64,
}

impl Poller {
    pub(super) fn new(
        shared: Arc<Shared>,
        subscription: String,
        accounts: Vec<String>,
        known: &HashMap<PartitionKey, Position>,
    ) -> Self {
        let hub = shared.settings.name.clone();
        let key = PartitionKey::polled(hub, &subscription);
        let Position { next, passed } = known.get(&key).copied().unwrap_or(Position::UNREAD);
        // A clock that was once wrong must not keep us waiting until it is right again.
        let passed = (passed.0 > i64::MIN).then(|| passed.0.min(shared.last_minute()));
        let groups = groups(&shared.settings.metrics);
        Self {
            shared,
            key,
            subscription,
            accounts,
            at_once: MAX_ACCOUNTS,
            groups,
            next: next.unwrap_or(0),
            passed,
            failing_since: None,
            warned: BTreeSet::new(),
        }
    }

    pub(super) const fn key(&self) -> &PartitionKey {
        &self.key
    }

    /// Runs until dropped, or until nobody listens.
    pub(super) async fn run(mut self) {
        if self.tell(Told::Members(self.key.clone())).await.is_err() {
            return;
        }
        let mut pauses = Pauses::new(&self.shared.pace);
        let every = self.shared.settings.every_ms;
        let every = Duration::from_millis(u64::try_from(every).unwrap_or(0));
        loop {
            let began = Instant::now();
            match self.round().await {
                Ok(Round::Behind) => self.recovered(&mut pauses),
                Ok(Round::Done) => {
                    self.recovered(&mut pauses);
                    sleep_until(began + every).await;
                }
                Err(Broken::Closed) => return,
                Err(Broken::Failed(error)) => {
                    if let RestError::TooLarge { .. } = error {
                        self.at_once = (self.at_once / 2).max(1);
                    }
                    let pause = pauses.after(&error);
                    let (hub, retry_ms) = (&self.key.hub, pause.as_millis());
                    tracing::warn!(hub, partition = self.key.partition, retry_ms, %error, "cannot read metrics");
                    if self.tell_trouble(&error).await.is_err() {
                        return;
                    }
                    sleep(pause).await;
                }
            }
        }
    }

    fn recovered(&mut self, pauses: &mut Pauses) {
        *pauses = Pauses::new(&self.shared.pace);
        self.failing_since = None;
    }

    async fn tell(&self, told: Told) -> Result<(), Closed> {
        self.shared.tell.send(told).await.map_err(|_| Closed)
    }

    /// Says that we cannot read, once that goes on for too long.
    async fn tell_trouble(&mut self, error: &RestError) -> Result<(), Closed> {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        let patience = match error.kind() {
            TroubleKind::Refused | TroubleKind::Taken => self.shared.pace.trouble,
            TroubleKind::Unreachable => self.shared.pace.trouble * 5,
        };
        if since.elapsed() < patience {
            return Ok(());
        }
        let trouble = Trouble {
            hub: self.key.hub.clone(),
            partition: Some(self.key.partition.clone()),
            kind: error.kind(),
            reason: match error {
                RestError::Misunderstood { reason } => {
                    format!("{reason} (if it names a metric, leave that one out of `metrics`)")
                }
                RestError::Identity(_)
                | RestError::Unauthorized { .. }
                | RestError::Forbidden { .. }
                | RestError::NotFound { .. }
                | RestError::Refused { .. }
                | RestError::TooLarge { .. }
                | RestError::Busy { .. }
                | RestError::Passing(_) => error.to_string(),
            },
        };
        self.tell(Told::Trouble(trouble)).await
    }

    /// The minutes to ask for next; `None` when there are none.
    fn span(&mut self) -> Option<Span> {
        let settings = &self.shared.settings;
        let last = self.shared.last_minute();
        let (from, passed) = match self.passed {
            Some(passed) if passed >= last => return None,
            Some(passed) => (passed.saturating_sub(settings.overlap_ms), passed),
            None => (last - settings.backfill_ms, last - settings.backfill_ms),
        };
        let oldest = last - OLDEST_MS;
        if passed < oldest {
            let since = EventTime(passed);
            tracing::error!(hub = settings.name, %since, "metrics are 30 days behind: what is older is not read");
            self.passed = Some(oldest);
        }
        let until = passed.max(oldest).saturating_add(settings.overlap_ms.max(1)).min(last);
        Some(Span { from: from.max(oldest), until })
    }

    /// Asks every question about the next minutes.
    async fn round(&mut self) -> Result<Round, Broken> {
        let Some(span) = self.span() else { return Ok(Round::Done) };
        let shared = Arc::clone(&self.shared);
        let client = shared.client().await?;
        let path = format!("/subscriptions/{}/metrics:getBatch", self.subscription);
        let [from, until] = [span.from, span.until].map(|at| EventTime(at).to_string());
        for accounts in self.accounts.clone().chunks(self.at_once) {
            let body = serde_json::json!({ "resourceids": accounts }).to_string().into_bytes();
            for (aggregation, metrics) in self.groups.clone() {
                let top = TOP.to_string();
                let query = [
                    ("api-version", API_VERSION),
                    ("metricnamespace", "Microsoft.CognitiveServices/accounts"),
                    ("metricnames", metrics.as_str()),
                    ("starttime", from.as_str()),
                    ("endtime", until.as_str()),
                    ("interval", "PT1M"),
                    ("aggregation", aggregation),
                    ("filter", "ModelDeploymentName eq '*'"),
                    ("top", top.as_str()),
                ];
                let answer = client.post(&path, &query, body.clone()).await?;
                let cut =
                    cut::cut(&answer, TOP).map_err(|what| RestError::Passing(what.to_owned()))?;
                self.warn(&cut, accounts.len());
                for body in cut.bodies {
                    self.hand_over(body, span.until).await?;
                }
            }
        }
        self.passed = Some(span.until);
        self.tell(Told::Passed(self.key.clone(), ArrivalTime(span.until))).await?;
        let behind = span.until < self.shared.last_minute();
        Ok(if behind { Round::Behind } else { Round::Done })
    }

    async fn hand_over(&mut self, body: Vec<u8>, until: i64) -> Result<(), Closed> {
        let arrival = Arrival {
            partition: self.key.clone(),
            sequence: self.next,
            enqueued: ArrivalTime(until),
            body,
        };
        self.tell(Told::Answer(arrival)).await?;
        self.next += 1;
        Ok(())
    }

    /// Says once what an answer leaves out.
    fn warn(&mut self, cut: &Cut, asked: usize) {
        let mut news = cut.full.clone();
        if cut.resources < asked {
            news.push(format!(
                "{} of {asked} accounts are not in the answer",
                asked - cut.resources
            ));
        }
        for what in news {
            if self.warned.len() < MAX_WARNINGS && self.warned.insert(what.clone()) {
                tracing::error!(hub = self.key.hub, what, "an answer is not complete");
            }
        }
    }
}

/// Metrics by what is asked of them, as many as fit into one question.
fn groups(metrics: &[String]) -> Vec<(&'static str, String)> {
    let (rates, sums): (Vec<_>, Vec<_>) =
        metrics.iter().map(String::as_str).partition(|name| signal_of(name).is_rate());
    let of = |aggregation, names: Vec<&str>| {
        let chunks: Vec<_> = names.chunks(MAX_METRICS).map(|names| names.join(",")).collect();
        chunks.into_iter().map(move |names| (aggregation, names))
    };
    of("total", sums).chain(of("average,maximum", rates)).collect()
}

#[cfg(test)]
mod tests {
    use super::super::METRICS;
    use super::*;

    #[test]
    fn sums_and_rates_are_asked_for_apart() {
        let metrics = METRICS.map(str::to_owned);
        let [sums, rates] = groups(&metrics).try_into().unwrap();
        assert_eq!(sums.0, "total");
        assert!(sums.1.starts_with("InputTokens,") && sums.1.ends_with(",ActiveTokens"));
        assert_eq!(rates.0, "average,maximum");
        assert!(rates.1.starts_with("AzureOpenAIProvisionedManagedUtilizationV2,"), "{}", rates.1);
        let many: Vec<_> = (0..45).map(|n| format!("m{n}")).collect();
        let counts =
            groups(&many).iter().map(|(_, names)| names.split(',').count()).collect::<Vec<_>>();
        assert_eq!(counts, [20, 20, 5]);
        assert!(groups(&[]).is_empty());
    }
}
