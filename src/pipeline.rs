//! The data path on one page: source, engine, store, notifications; the one place that knows all.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::engine::effects::Effects;
use crate::engine::{Engine, Env};
use crate::event::PartitionKey;
use crate::source::{Source, SourceError};
use crate::store::commit::OutboxRow;
use crate::store::{Store, StoreError};

/// Why the pipeline stopped before it was told to.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The source cannot go on.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The database cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Pauses before each new attempt at a failed transaction.
const RETRY_AFTER: [Duration; 5] = [
    Duration::from_millis(50),
    Duration::from_millis(200),
    Duration::from_secs(1),
    Duration::from_secs(3),
    Duration::from_secs(10),
];

/// Engine and store, in step with each other.
pub struct Core {
    /// The database.
    pub store: Store,
    engine: Engine,
}

impl Core {
    /// The state the database holds.
    ///
    /// # Errors
    /// What the database says.
    pub async fn restore(
        mut store: Store,
        env: Env,
    ) -> Result<(Self, Vec<PartitionKey>), StoreError> {
        let saved = store.load().await?;
        let known = saved.partitions.iter().map(|(key, _, _)| key.clone()).collect();
        Ok((Self { store, engine: Engine::restore(saved, env) }, known))
    }

    /// The next sequence number to read of a partition.
    #[must_use]
    pub fn next_sequence(&self, key: &PartitionKey) -> Option<i64> {
        self.engine.next_sequence(key)
    }

    /// One step: apply, render, save. `render` turns announcements into outbox rows.
    ///
    /// A failed transaction is tried again with the same effects on a new connection; after the
    /// last attempt the process must end, and the next start resumes from the database.
    ///
    /// # Errors
    /// The database refused for good.
    pub async fn step(
        &mut self,
        batch: &crate::event::Batch,
        render: &(dyn Fn(&Effects) -> Vec<OutboxRow> + Send + Sync),
    ) -> Result<Effects, StoreError> {
        let effects = self.engine.apply(batch);
        if effects.is_empty() {
            return Ok(effects);
        }
        let rows = render(&effects);
        let Err(mut error) = self.store.commit(&effects, &rows).await else { return Ok(effects) };
        for pause in RETRY_AFTER {
            if matches!(error, StoreError::Fenced { .. }) {
                return Err(error);
            }
            tracing::warn!(%error, retry_ms = pause.as_millis(), "cannot save a step");
            tokio::time::sleep(pause).await;
            match self.store.recommit(&effects, &rows).await {
                Ok(()) => return Ok(effects),
                Err(again) => error = again,
            }
        }
        Err(error)
    }
}

/// Runs `source` to its end or until `stop`, calling `after` once a batch is saved.
///
/// # Errors
/// The source or the database gave up.
pub async fn drain<S: Source>(
    core: &mut Core,
    source: &mut S,
    stop: &CancellationToken,
    after: &mut (dyn FnMut(&S, &Effects) + Send),
) -> Result<(), PipelineError> {
    loop {
        let batch = tokio::select! {
            biased;
            () = stop.cancelled() => return Ok(()),
            batch = source.next_batch() => batch?,
        };
        let Some(batch) = batch else { return Ok(()) };
        let effects = core.step(&batch, &|_| Vec::new()).await?;
        after(source, &effects);
    }
}
