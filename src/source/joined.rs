//! Hubs and what is asked for beside them, as one source.

use super::event_hubs::EventHubs;
use super::metrics_api::MetricsApi;
use super::resource_graph::poll::ResourceGraph;
use super::{Source, SourceError};
use crate::event::Batch;

/// Batches of hubs, with the answers to our questions added as they come.
pub struct Joined {
    /// The hubs, which also set the pace: a batch every second.
    pub hubs: EventHubs,
    /// Metrics by REST.
    pub metrics: MetricsApi,
    /// What there is.
    pub inventory: ResourceGraph,
}

impl Joined {
    /// Ends all.
    pub async fn close(self) {
        self.metrics.close().await;
        self.inventory.close().await;
        self.hubs.close().await;
    }
}

impl Source for Joined {
    async fn next_batch(&mut self) -> Result<Option<Batch>, SourceError> {
        // Cancel safe: nothing is waited for once the hubs' batch is in hand.
        let batch = self.hubs.next_batch().await?;
        Ok(batch.map(|mut batch| {
            self.metrics.ready(&mut batch);
            self.inventory.ready(&mut batch);
            batch
        }))
    }
}
