//! What time it is at a hub, without asking our own wall clock.

use std::sync::Mutex;

use crate::time::ArrivalTime;

/// The newest enqueued time seen on any partition, and monotonic time since then.
#[derive(Debug)]
pub(super) struct HubClock {
    scale: f64,
    newest: Mutex<Option<(ArrivalTime, tokio::time::Instant)>>,
}

impl HubClock {
    /// A hub whose clock runs `scale` times as fast as ours.
    pub(super) const fn new(scale: f64) -> Self {
        Self { scale, newest: Mutex::new(None) }
    }

    /// An event, or the hub itself, says it was at least `enqueued`.
    pub(super) fn saw(&self, enqueued: ArrivalTime) {
        let now = self.now();
        if now.is_none_or(|now| enqueued > now)
            && let Ok(mut newest) = self.newest.lock()
        {
            *newest = Some((enqueued, tokio::time::Instant::now()));
        }
    }

    /// At most the hub's own time; `None` before anything was seen. What is enqueued after this
    /// call gets a later time.
    #[expect(clippy::cast_possible_truncation, reason = "milliseconds of elapsed time")]
    pub(super) fn now(&self) -> Option<ArrivalTime> {
        let newest = *self.newest.lock().ok()?;
        let (at, since) = newest?;
        let elapsed_ms = since.elapsed().as_secs_f64() * 1000.0 * self.scale;
        Some(ArrivalTime(at.0.saturating_add(elapsed_ms as i64)))
    }
}
