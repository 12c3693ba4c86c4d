//! Metrics by REST: what diagnostic settings do not export, asked for minute by minute.
//!
//! Azure Monitor's batch API gives a metric of up to 50 accounts of one subscription and region,
//! split by deployment. Each subscription is a log of its own, with a position: answers are numbered
//! and carry the end of the newest minute they cover. Every round also asks again for the last few
//! minutes, because Azure still changes them (the last number holds), and moves forward by no more
//! than that, so that a round cut off by a crash is read again as a whole.

mod cut;
mod poll;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use reqwest::Url;
use tokio::sync::{OnceCell, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Source, SourceError};
use crate::azure::{Client, Clock, Identity, Pace, RestError, Service};
use crate::event::{Arrival, Batch, PartitionKey, Position, Trouble};
use crate::time::{ArrivalTime, MINUTE_MS};
use poll::Poller;

/// Answers told and not yet taken; each has a quarter of a MiB at most, but for one long series.
const MAX_WAITING: usize = 64;
/// Answers per batch.
const BATCH_ANSWERS: usize = 64;
/// A batch is handed over after this long.
const FLUSH: Duration = Duration::from_secs(1);
/// Audience of tokens in Azure's public cloud.
const PUBLIC_AUDIENCE: &str = "https://metrics.monitor.azure.com";

/// Metrics that are asked for where nothing else is said. The first six are of all publishers, the
/// next three of OpenAI models alone, the last four cannot be had in another way.
pub const METRICS: [&str; 13] = [
    "InputTokens",
    "OutputTokens",
    "cacheReadInputTokens",
    "ephemeral5mInputTokens",
    "ephemeral1hInputTokens",
    "ModelRequests",
    "ProcessedPromptTokens",
    "GeneratedTokens",
    "ActiveTokens",
    "AzureOpenAIProvisionedManagedUtilizationV2",
    "ProvisionedUtilization",
    "AzureOpenAIAvailabilityRate",
    "ModelAvailabilityRate",
];

/// Accounts of one region whose metrics are asked for.
#[derive(Debug, Clone)]
pub struct MetricsSettings {
    /// What the source is called in the configuration and the database.
    pub name: String,
    /// `https://REGION.metrics.monitor.azure.com`.
    pub endpoint: Url,
    /// Resource ids of the accounts, lower case; of any number of subscriptions.
    pub accounts: Vec<String>,
    /// Who we are.
    pub identity: Identity,
    /// Names of metrics as Azure writes them.
    pub metrics: Vec<String>,
    /// How often is asked, in milliseconds.
    pub every_ms: i64,
    /// A minute is asked for this long after its end, in milliseconds.
    pub lag_ms: i64,
    /// Minutes before the last one that are asked for again, in milliseconds.
    pub overlap_ms: i64,
    /// How far back an account begins that was never asked for, in milliseconds.
    pub backfill_ms: i64,
}

impl MetricsSettings {
    /// What tokens are for: the cloud of the endpoint.
    fn scope(&self) -> String {
        let host = self.endpoint.host_str().unwrap_or_default();
        let cloud = host.split_once('.').map(|(_, cloud)| cloud);
        match cloud.filter(|cloud| cloud.starts_with("metrics.monitor.azure.")) {
            Some(cloud) => format!("https://{cloud}/.default"),
            None => format!("{PUBLIC_AUDIENCE}/.default"),
        }
    }

    /// The accounts by subscription, in order.
    fn subscriptions(&self) -> BTreeMap<String, Vec<String>> {
        let mut found: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for account in &self.accounts {
            found.entry(subscription_of(account).to_owned()).or_default().push(account.clone());
        }
        found
    }
}

/// The subscription a resource id names; empty when it names none.
#[must_use]
pub fn subscription_of(resource: &str) -> &str {
    let rest = resource.strip_prefix("/subscriptions/").unwrap_or_default();
    rest.split('/').next().unwrap_or_default()
}

/// What the pollers tell.
enum Told {
    Members(PartitionKey),
    Answer(Arrival),
    Passed(PartitionKey, ArrivalTime),
    Trouble(Trouble),
}

/// What every poller of a source shares.
struct Shared {
    settings: MetricsSettings,
    pace: Pace,
    clock: Clock,
    client: OnceCell<Client>,
    tell: mpsc::Sender<Told>,
}

impl Shared {
    async fn client(&self) -> Result<&Client, RestError> {
        let make = || {
            let service = Service {
                base: self.settings.endpoint.clone(),
                scope: self.settings.scope(),
                identity: self.settings.identity.clone(),
                needs: "the role Monitoring Reader on the subscription",
            };
            Client::new(service, self.pace, Arc::clone(&self.clock))
        };
        self.client.get_or_try_init(|| std::future::ready(make())).await
    }

    /// The end of the last minute that may be asked for.
    fn last_minute(&self) -> i64 {
        let until = (self.clock)().saturating_sub(self.settings.lag_ms);
        until - until.rem_euclid(MINUTE_MS)
    }
}

/// Asks for metrics until dropped or closed.
pub struct MetricsApi {
    told: mpsc::Receiver<Told>,
    gone: Vec<PartitionKey>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl MetricsApi {
    /// Starts asking at the positions `known`. Returns at once; errors arrive with the batches.
    #[must_use]
    pub fn start(
        sources: Vec<MetricsSettings>,
        known: &HashMap<PartitionKey, Position>,
        pace: Pace,
        clock: &Clock,
    ) -> Self {
        let (tell, told) = mpsc::channel(MAX_WAITING);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let mut gone: Vec<_> =
            known.keys().filter(|key| key.is_polled() && !key.is_inventory()).cloned().collect();
        for settings in sources {
            let subscriptions = settings.subscriptions();
            let shared = Arc::new(Shared {
                settings,
                pace,
                clock: Arc::clone(clock),
                client: OnceCell::new(),
                tell: tell.clone(),
            });
            for (subscription, accounts) in subscriptions {
                let poller = Poller::new(Arc::clone(&shared), subscription, accounts, known);
                gone.retain(|key| key != poller.key());
                let stop = stop.clone();
                tasks.spawn(async move { stop.run_until_cancelled(poller.run()).await });
            }
        }
        gone.sort();
        Self { told, gone, stop, tasks }
    }

    /// Adds what has been told to `batch`, without waiting.
    pub fn ready(&mut self, batch: &mut Batch) {
        batch.gone.append(&mut self.gone);
        let mut answers = 0;
        while answers < BATCH_ANSWERS
            && let Ok(told) = self.told.try_recv()
        {
            answers += usize::from(matches!(told, Told::Answer(_)));
            note(told, batch);
        }
    }

    /// Ends all pollers.
    pub async fn close(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

fn note(told: Told, batch: &mut Batch) {
    match told {
        Told::Members(key) => batch.members.push(key),
        Told::Answer(arrival) => batch.arrivals.push(arrival),
        Told::Passed(key, until) => batch.idle.push((key, until)),
        Told::Trouble(trouble) => batch.troubles.push(trouble),
    }
}

impl Source for MetricsApi {
    async fn next_batch(&mut self) -> Result<Option<Batch>, SourceError> {
        let mut batch = Batch::default();
        let due = Instant::now() + FLUSH;
        // Cancel safe: nothing stands between what is received and its return.
        match tokio::time::timeout_at(due, self.told.recv()).await {
            Ok(Some(told)) => note(told, &mut batch),
            Ok(None) => return Ok(None),
            Err(_) => {}
        }
        self.ready(&mut batch);
        Ok(Some(batch))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_for_the_cloud_of_the_endpoint() {
        for (endpoint, scope) in [
            (
                "https://eastus2.metrics.monitor.azure.com",
                "https://metrics.monitor.azure.com/.default",
            ),
            (
                "https://chinanorth.metrics.monitor.azure.cn",
                "https://metrics.monitor.azure.cn/.default",
            ),
            (
                "https://usgovvirginia.metrics.monitor.azure.us/",
                "https://metrics.monitor.azure.us/.default",
            ),
            ("https://localhost:4443", "https://metrics.monitor.azure.com/.default"),
            ("https://x.metrics.monitor.example", "https://metrics.monitor.azure.com/.default"),
        ] {
            let settings = MetricsSettings {
                name: "m".to_owned(),
                endpoint: Url::parse(endpoint).unwrap(),
                accounts: Vec::new(),
                identity: Identity::Workload,
                metrics: Vec::new(),
                every_ms: 0,
                lag_ms: 0,
                overlap_ms: 0,
                backfill_ms: 0,
            };
            assert_eq!(settings.scope(), scope);
        }
    }
}
