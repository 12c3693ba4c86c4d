//! Where events come from: event hubs, metrics asked for by REST, or files of what was once delivered;
//! and the inventory of subscriptions.

pub mod event_hubs;
pub mod joined;
pub mod metrics_api;
pub mod replay;
pub mod resource_graph;

use crate::event::Batch;

/// Why a source cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// A file cannot be read.
    #[error("cannot read {file}: {reason}")]
    File {
        /// Which, and where in it.
        file: String,
        /// Why.
        reason: String,
    },
    /// The hub cannot be used at all; waiting would not help.
    #[error("hub {hub}: {reason}")]
    Hub {
        /// Hub, as named in the configuration.
        hub: String,
        /// Why, and the mend.
        reason: String,
    },
}

/// Something that yields batches.
pub trait Source: Send {
    /// The next batch: at most 5,000 events, at least an empty one every second; `None` at the end.
    ///
    /// Cancel safe: a batch is either returned or kept for the next call.
    ///
    /// # Errors
    /// What cannot be waited out.
    fn next_batch(&mut self) -> impl Future<Output = Result<Option<Batch>, SourceError>> + Send;
}
