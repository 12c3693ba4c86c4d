//! Faults that stand for a time.

use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use super::action::{Lasts, Reach};

/// The faults that reach all hubs and connections.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) refuse: Standing<()>,
    pub(super) half_open: Standing<HalfOpen>,
    pub(super) busy: Standing<()>,
    pub(super) unauthorized: Standing<()>,
    pub(super) enforce_tokens: Standing<()>,
}

impl Faults {
    pub(super) fn end(&self) {
        self.refuse.end();
        self.half_open.end();
        self.busy.end();
        self.unauthorized.end();
        self.enforce_tokens.end();
    }
}

/// Connections that are silent.
#[derive(Debug, Clone, Copy)]
pub(super) struct HalfOpen {
    /// Number of the first connection that came after.
    pub(super) before: u64,
    pub(super) reach: Reach,
}

impl HalfOpen {
    pub(super) const fn reaches(&self, connection: u64) -> bool {
        match self.reach {
            Reach::Existing => connection < self.before,
            Reach::New => true,
        }
    }
}

/// A fault that stands until its time is over or it is ended.
#[derive(Debug)]
pub(super) struct Standing<T>(watch::Sender<Option<Stand<T>>>);

#[derive(Debug, Clone, Copy)]
struct Stand<T> {
    value: T,
    /// `None` until ended.
    until: Option<Instant>,
}

impl<T> Stand<T> {
    fn is_on(&self) -> bool {
        self.until.is_none_or(|until| Instant::now() < until)
    }
}

impl<T> Default for Standing<T> {
    fn default() -> Self {
        Self(watch::Sender::new(None))
    }
}

impl<T: Copy> Standing<T> {
    /// Begins, in place of what stood.
    pub(super) fn begin(&self, value: T, lasts: Lasts) {
        let until = match lasts {
            Lasts::UntilEnded => None,
            // A span beyond what the clock can hold has no end either.
            Lasts::For(span) => Instant::now().checked_add(span),
        };
        self.0.send_replace(Some(Stand { value, until }));
    }

    pub(super) fn end(&self) {
        self.0.send_replace(None);
    }

    pub(super) fn is_on(&self) -> bool {
        self.get().is_some()
    }

    pub(super) fn get(&self) -> Option<T> {
        self.0.borrow().as_ref().filter(|stand| stand.is_on()).map(|stand| stand.value)
    }

    /// How much is left: `None` when nothing stands, without a span until it is ended.
    pub(super) fn remaining(&self) -> Option<(T, Option<Duration>)> {
        let stand = (*self.0.borrow()).filter(Stand::is_on)?;
        Some((stand.value, stand.until.map(|until| until - Instant::now())))
    }

    /// Waits until nothing stands; at once when that is so. Cancel safe.
    pub(super) async fn over(&self) {
        loop {
            let changed = self.changed();
            if !self.is_on() {
                return;
            }
            changed.await;
        }
    }

    /// Waits until it may be otherwise than at the call: replaced, ended or over. Cancel safe.
    pub(super) fn changed(&self) -> impl Future<Output = ()> + use<T> {
        let mut changes = self.0.subscribe();
        let until = (*changes.borrow_and_update()).filter(Stand::is_on).and_then(|s| s.until);
        async move {
            match until {
                Some(until) => tokio::select! {
                    _ = changes.changed() => {}
                    () = sleep_until(until) => {}
                },
                // Fails when the emulator is gone, and then nobody waits.
                None => drop(changes.changed().await),
            }
        }
    }
}
#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_fault_ends_when_its_time_is_over() {
        let fault = Standing::default();
        assert!(!fault.is_on());
        fault.over().await;
        fault.begin(7, Lasts::For(Duration::from_secs(5)));
        assert_eq!(fault.get(), Some(7));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(fault.remaining(), Some((7, Some(Duration::from_secs(3)))));
        let began = Instant::now();
        fault.over().await;
        assert_eq!(began.elapsed().as_secs(), 3);
        assert_eq!(fault.get(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_later_fault_replaces_the_earlier() {
        let fault = Standing::default();
        fault.begin(1, Lasts::UntilEnded);
        assert_eq!(fault.remaining(), Some((1, None)));
        fault.begin(2, Lasts::For(Duration::from_secs(1)));
        assert_eq!(fault.get(), Some(2));
        fault.begin(3, Lasts::OVER);
        assert_eq!(fault.get(), None);
        fault.begin(4, Lasts::UntilEnded);
        let (began, over) = (Instant::now(), fault.over());
        let end = async {
            tokio::time::sleep(Duration::from_secs(9)).await;
            fault.end();
        };
        tokio::join!(over, end);
        assert_eq!(began.elapsed().as_secs(), 9);
    }
}
