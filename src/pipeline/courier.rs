//! From the outbox to the destinations: one courier each, so that a slow one holds up nobody.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::task::TaskTracker;

use super::Clock;
use crate::config::ResponseSettings;
use crate::engine::respond::AUTOMATION;
use crate::failpoint;
use crate::incident::Kind;
use crate::notify::deliver::{self, Next, Outcome};
use crate::notify::{Channel, Destination, Invalid, Notification, SendError};
use crate::store::outbox::{Mark, Pending};
use crate::store::{Store, StoreError};
use crate::time::MINUTE_MS;

/// Notifications in hand per destination; the rest waits in the database.
const IN_HAND: u32 = 16;
/// How long letters in hand may take at the end.
const FINISH_WITHIN: Duration = Duration::from_secs(5);

/// An attempt that has ended.
pub(super) struct Delivered {
    pending: Pending,
    outcome: Outcome,
}

/// The couriers and what they carry.
pub(super) struct Couriers {
    desks: BTreeMap<String, mpsc::Sender<Pending>>,
    delivered: mpsc::UnboundedReceiver<Delivered>,
    in_hand: HashSet<String>,
    tasks: TaskTracker,
    /// Destinations that refused something for good since the last look.
    pub(super) given_up: Vec<String>,
    /// A call to the automation that is not taken so long after its confirmation is given up.
    within_ms: i64,
}

impl Couriers {
    /// One courier per destination, and one to the automation, where there is any.
    pub(super) fn start(
        destinations: &[Destination],
        automation: Option<&ResponseSettings>,
        clock: &Clock,
    ) -> Result<Self, Invalid> {
        let mut channels = Vec::new();
        for destination in destinations {
            channels.push((destination.name.clone(), destination.connect()?));
        }
        if let Some(settings) = automation {
            channels.push((AUTOMATION.to_owned(), settings.connect()?));
        }
        let within_ms = automation.map_or(i64::MAX, |settings| settings.rules.within_ms);
        Ok(Self::carrying(channels, within_ms, clock))
    }

    /// One courier per channel.
    fn carrying(channels: Vec<(String, Box<dyn Channel>)>, within_ms: i64, clock: &Clock) -> Self {
        let (tell, delivered) = mpsc::unbounded_channel();
        let tasks = TaskTracker::new();
        let mut desks = BTreeMap::new();
        for (name, channel) in channels {
            let (desk, letters) = mpsc::channel(IN_HAND as usize * 2);
            desks.insert(name, desk);
            tasks.spawn(carry(channel, letters, tell.clone(), clock.clone()));
        }
        let (in_hand, given_up) = (HashSet::new(), Vec::new());
        Self { desks, delivered, in_hand, tasks, given_up, within_ms }
    }

    /// Hands what is due to the couriers. A notification whose destination no longer exists stays.
    pub(super) async fn dispatch(
        &mut self,
        store: &mut Store,
        clock: &Clock,
    ) -> Result<(), StoreError> {
        if self.desks.is_empty() {
            return Ok(());
        }
        let now_ms = clock();
        for pending in store.pending(IN_HAND).await? {
            let ready = pending.not_before_ms <= now_ms && !self.in_hand.contains(&pending.row.key);
            let Some(desk) = self.desks.get(&pending.row.destination).filter(|_| ready) else {
                continue;
            };
            if pending.row.destination == AUTOMATION
                && now_ms.saturating_sub(pending.row.created.0) > self.within_ms
            {
                let minutes = self.within_ms / MINUTE_MS;
                let reason = format!(
                    "temporary failure: not taken within {minutes} min of its confirmation"
                );
                tracing::error!(
                    reason,
                    key = pending.row.key,
                    "a call to the automation is given up"
                );
                store.mark(&pending.row.key, &Mark::Dead { reason }).await?;
                continue;
            }
            failpoint::reached("before-send");
            let key = pending.row.key.clone();
            if desk.try_send(pending).is_ok() {
                self.in_hand.insert(key);
            }
        }
        Ok(())
    }

    /// Waits for the end of an attempt; for ever when there is no courier. Cancel safe.
    pub(super) async fn delivered(&mut self) -> Delivered {
        match self.delivered.recv().await {
            Some(delivered) => delivered,
            None => std::future::pending().await,
        }
    }

    /// Records how an attempt ended.
    pub(super) async fn settle(
        &mut self,
        delivered: Delivered,
        store: &mut Store,
        clock: &Clock,
    ) -> Result<(), StoreError> {
        let Delivered { pending, outcome } = delivered;
        let now_ms = clock();
        self.in_hand.remove(&pending.row.key);
        let destination = &pending.row.destination;
        let mark = match &outcome.result {
            Ok(()) => {
                failpoint::reached("before-mark");
                tracing::info!(
                    destination,
                    key = outcome.key,
                    kind = pending.row.kind,
                    "delivered"
                );
                let said = outcome.said.clone().filter(|_| destination == AUTOMATION);
                Mark::Sent { at_ms: now_ms, said }
            }
            Err(error) => after_failure(&pending, error, now_ms),
        };
        store.mark(&outcome.key, &mark).await?;
        // What the automation refuses, its incident tells.
        if matches!(mark, Mark::Dead { .. }) && destination != AUTOMATION {
            self.given_up.push(destination.clone());
        }
        if matches!(mark, Mark::Sent { .. }) && pending.attempt > 0 {
            store.wake(destination).await?;
        }
        Ok(())
    }

    /// Lets letters in hand arrive, for a while, and records what became of them.
    pub(super) async fn finish(mut self, store: &mut Store, clock: &Clock) {
        self.desks.clear();
        self.tasks.close();
        let tasks = self.tasks.clone();
        if tokio::time::timeout(FINISH_WITHIN, tasks.wait()).await.is_err() {
            tracing::warn!(
                "letters in hand did not arrive in time; they leave again at the next start"
            );
        }
        while let Ok(delivered) = self.delivered.try_recv() {
            if let Err(error) = self.settle(delivered, store, clock).await {
                tracing::warn!(%error, "a delivery is not recorded; it leaves again at the next start");
                return;
            }
        }
    }
}

/// When to try again, if ever.
fn after_failure(pending: &Pending, error: &SendError, now_ms: i64) -> Mark {
    let destination = &pending.row.destination;
    let age_ms = now_ms - pending.first_failed_ms.unwrap_or(now_ms);
    let reason = error.to_string();
    match deliver::next(pending.attempt + 1, age_ms, error, &pending.row.key) {
        Next::Again { delay_ms } => {
            tracing::warn!(destination, reason, delay_ms, "not delivered, trying again");
            Mark::Again { at_ms: now_ms, not_before_ms: now_ms + delay_ms, reason }
        }
        Next::Dead => {
            tracing::error!(destination, reason, key = pending.row.key, "given up");
            Mark::Dead { reason }
        }
    }
}

/// Sends letters one after the other, so that no resolve overtakes its open.
async fn carry(
    channel: Box<dyn Channel>,
    mut letters: mpsc::Receiver<Pending>,
    tell: mpsc::UnboundedSender<Delivered>,
    clock: Clock,
) {
    while let Some(pending) = letters.recv().await {
        let row = &pending.row;
        let notification = Notification {
            key: row.key.clone(),
            incident_key: row.incident_key.clone(),
            destination: row.destination.clone(),
            kind: Kind::ALL.into_iter().find(|kind| kind.word() == row.kind).unwrap_or(Kind::Test),
            created: row.created,
            body: row.body.clone(),
        };
        let outcome = deliver::attempt(&*channel, &notification, clock() / 1000).await;
        if tell.send(Delivered { pending, outcome }).is_err() {
            return;
        }
    }
}

#[cfg(test)]
#[path = "courier_tests.rs"]
mod tests;
