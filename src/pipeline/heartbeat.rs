//! A sign of life to somebody outside, who raises an alarm when it stays away: that tokenwatch is
//! silent must not look like peace.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::HeaderMap;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::Clock;
use crate::config::HeartbeatSettings;
use crate::notify::{self, Poster, SendError};

/// Without a step for this long the loop is stuck, and no sign is given.
const STUCK_AFTER: Duration = Duration::from_mins(2);
/// Pauses double up to this after signs that did not arrive, and are never shorter than asked for.
const PAUSE_MAX: Duration = Duration::from_mins(5);

/// When the loop last did something that needs the database.
#[derive(Debug, Clone)]
pub(super) struct Pulse(Arc<Mutex<Instant>>);

impl Pulse {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(Instant::now())))
    }

    /// The loop is alive, and the database has just answered it.
    pub(super) fn beat(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    fn still_for(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }
}

/// A task that gives signs of life; dropped, it ends.
#[derive(Debug)]
pub(super) struct Heartbeat(JoinHandle<()>);

impl Drop for Heartbeat {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Heartbeat {
    /// Gives the first sign at once, if the loop is alive.
    pub(super) fn start(
        settings: &HeartbeatSettings,
        pulse: Pulse,
        clock: Clock,
    ) -> Result<Self, notify::Invalid> {
        let invalid = |problem| notify::Invalid {
            destination: "heartbeat".to_owned(),
            problems: vec![problem],
        };
        let poster = Arc::new(Poster::new(&settings.http).map_err(invalid)?);
        let every = settings.every;
        let sign = move || {
            let (poster, now_s) = (Arc::clone(&poster), clock() / 1_000);
            async move { poster.post(HeaderMap::new(), Vec::new(), now_s).await.map(drop) }
        };
        Ok(Self(tokio::spawn(keep(every, pulse, sign))))
    }
}

/// What the next sign is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Arrived,
    /// So many signs in a row did not.
    Lost(u32),
    /// None was given, for the loop is stuck.
    Withheld,
}

/// Gives signs for ever. A failure is logged when it begins and when it ends, and not in between.
async fn keep<S: Future<Output = Result<(), SendError>> + Send>(
    every: Duration,
    pulse: Pulse,
    sign: impl Fn() -> S + Send,
) {
    let mut last = Last::Arrived;
    loop {
        let still_s = pulse.still_for().as_secs();
        let next = if pulse.still_for() > STUCK_AFTER {
            Last::Withheld
        } else {
            match sign().await {
                Ok(()) => Last::Arrived,
                Err(error) => lost(last, &error),
            }
        };
        match (last, next) {
            (Last::Arrived | Last::Lost(_), Last::Withheld) => {
                tracing::error!(still_s, "no more signs of life: the loop makes no step");
            }
            (Last::Lost(_) | Last::Withheld, Last::Arrived) => {
                tracing::info!("signs of life arrive again");
            }
            (Last::Arrived, Last::Arrived | Last::Lost(_))
            | (Last::Lost(_) | Last::Withheld, Last::Lost(_))
            | (Last::Withheld, Last::Withheld) => {}
        }
        last = next;
        tokio::time::sleep(pause(every, last)).await;
    }
}

fn lost(last: Last, error: &SendError) -> Last {
    match last {
        Last::Lost(times) => Last::Lost(times.saturating_add(1)),
        Last::Arrived | Last::Withheld => {
            tracing::warn!(%error, "signs of life do not arrive");
            Last::Lost(1)
        }
    }
}

fn pause(every: Duration, last: Last) -> Duration {
    match last {
        Last::Arrived | Last::Withheld => every,
        Last::Lost(times) => {
            let doubled = every.saturating_mul(1 << times.saturating_sub(1).min(16));
            doubled.min(PAUSE_MAX.max(every))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Seconds at which signs were given within `during`, the loop beating until `stuck_s`.
    async fn signs(
        during_s: u64,
        stuck_s: u64,
        away: impl Fn(u64) -> bool + Send + 'static,
    ) -> Vec<u64> {
        let began = Instant::now();
        let pulse = Pulse::new();
        let told: Arc<Mutex<Vec<u64>>> = Arc::default();
        let kept = Arc::clone(&told);
        let sign = move || {
            let at_s = began.elapsed().as_secs();
            kept.lock().unwrap().push(at_s);
            let lost = away(at_s);
            async move {
                if lost {
                    return Err(SendError::Retry { reason: "away".to_owned(), after_ms: None });
                }
                Ok(())
            }
        };
        let beating = pulse.clone();
        let alive = async move {
            while began.elapsed().as_secs() < stuck_s {
                beating.beat();
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            std::future::pending::<()>().await;
        };
        let all = async { tokio::join!(alive, keep(Duration::from_secs(60), pulse, sign)) };
        drop(tokio::time::timeout(Duration::from_secs(during_s), all).await);
        told.lock().unwrap().clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_living_loop_gives_a_sign_each_minute() {
        let told = signs(301, 1_000, |_| false).await;
        assert_eq!(told, [0, 60, 120, 180, 240, 300]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stuck_loop_gives_none_after_two_minutes() {
        // The last beat is at 99 s: two minutes later nothing is said any more.
        let told = signs(3_600, 100, |_| false).await;
        assert_eq!(told, [0, 60, 120, 180]);
    }

    #[tokio::test(start_paused = true)]
    async fn signs_that_are_lost_come_at_growing_pauses_and_then_as_before() {
        let told = signs(2_000, 3_000, |at_s| (60..1_000).contains(&at_s)).await;
        assert_eq!(
            told,
            [
                0, 60, 120, 240, 480, 780, 1_080, 1_140, 1_200, 1_260, 1_320, 1_380, 1_440, 1_500,
                1_560, 1_620, 1_680, 1_740, 1_800, 1_860, 1_920, 1_980
            ]
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_loop_that_goes_on_gives_signs_again() {
        let (pulse, given) = (Pulse::new(), Arc::new(AtomicBool::new(false)));
        let told = Arc::clone(&given);
        let sign = move || {
            told.store(true, Ordering::Relaxed);
            async { Ok(()) }
        };
        let keeping = tokio::spawn(keep(Duration::from_secs(60), pulse.clone(), sign));
        tokio::time::sleep(Duration::from_secs(600)).await;
        given.store(false, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(!given.load(Ordering::Relaxed));
        pulse.beat();
        tokio::time::sleep(Duration::from_secs(61)).await;
        assert!(given.load(Ordering::Relaxed));
        keeping.abort();
    }
}
