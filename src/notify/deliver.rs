//! One attempt at a delivery, and the policy for what follows it.

use std::time::Duration;

use sha2::{Digest as _, Sha256};

use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS};

use super::{Channel, Notification, SendError};

/// Longest time one attempt takes, connection and answer included.
pub const SEND_MAX: Duration = Duration::from_secs(10);
/// Age below which no temporary failure is final.
pub const AGE_MAX_MS: i64 = 3 * DAY_MS;
/// Attempts after which a permanent failure is final.
pub const GIVE_UP_ATTEMPTS: u32 = 5;
/// Longest time a receiver may ask to be left alone; whoever asks for more is asked again then.
pub const ASKED_MAX_MS: i64 = HOUR_MS;
/// Pause after the first failure, before jitter.
const PAUSE_MIN_MS: i64 = 1_000;
/// Longest pause, jitter included.
const PAUSE_MAX_MS: i64 = 5 * MINUTE_MS;

/// What follows a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Try again.
    Again {
        /// After this many milliseconds.
        delay_ms: i64,
    },
    /// Never: the notification is a dead letter, which is an incident of its own.
    Dead,
}

/// Outcome of one attempt, for the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Key of the notification.
    pub key: String,
    /// Whether the destination took it.
    pub result: Result<(), SendError>,
    /// What it said when it did, where the channel tells.
    pub said: Option<String>,
}

/// Decides after the `attempt`-th failure (from 1) of a notification `age_ms` milliseconds old.
///
/// Pauses double from 1 s to 5 min. Jitter takes up to half of a pause away; it is drawn from
/// `key` and `attempt`, so that notifications that failed together do not come back together, and
/// the same notification always waits the same. A receiver that asked to be left alone is, for up
/// to [`ASKED_MAX_MS`].
#[must_use]
pub fn next(attempt: u32, age_ms: i64, error: &SendError, key: &str) -> Next {
    let dead = match error {
        SendError::Retry { .. } => age_ms >= AGE_MAX_MS,
        SendError::GiveUp { .. } => attempt >= GIVE_UP_ATTEMPTS,
        SendError::Gone { .. } => true,
    };
    if dead {
        return Next::Dead;
    }
    let doublings = attempt.saturating_sub(1).min(16);
    let pause_ms = (PAUSE_MIN_MS << doublings).min(PAUSE_MAX_MS);
    // The first pause is not shortened: less than a second helps nobody who just failed.
    let half_ms = if doublings == 0 { 0 } else { pause_ms / 2 };
    let asked_ms = error.after_ms().unwrap_or(0).min(ASKED_MAX_MS);
    Next::Again { delay_ms: asked_ms.max(pause_ms - jitter(key, attempt, half_ms)) }
}

/// A number from 0 to `max`, evenly drawn from the hash of `key` and `attempt`.
fn jitter(key: &str, attempt: u32, max: i64) -> i64 {
    let hash = Sha256::digest(format!("{key}|{attempt}").as_bytes());
    let draw = hash.iter().take(4).fold(0_i64, |sum, byte| sum << 8 | i64::from(*byte));
    draw % (max + 1)
}

/// Sends once, within [`SEND_MAX`].
///
/// Not cancel safe in effect: see [`Channel::send`]. `now_s` is seconds since 1970.
pub async fn attempt(channel: &dyn Channel, notification: &Notification, now_s: i64) -> Outcome {
    let sent = tokio::time::timeout(SEND_MAX, channel.send_and_hear(notification, now_s)).await;
    let late = || SendError::retry(format!("no answer within {} s", SEND_MAX.as_secs()));
    let (result, said) = match sent.unwrap_or_else(|_elapsed| Err(late())) {
        Ok(said) => (Ok(()), said),
        Err(error) => (Err(error), None),
    };
    Outcome { key: notification.key.clone(), result, said }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn retry() -> SendError {
        SendError::Retry { reason: "x".to_owned(), after_ms: None }
    }

    fn give_up() -> SendError {
        SendError::GiveUp { reason: "x".to_owned() }
    }

    #[track_caller]
    fn check(attempt: u32, age_ms: i64, error: &SendError, delay_ms: Option<(i64, i64)>) {
        for key in 0..200 {
            let key = format!("key {key}");
            let decided = next(attempt, age_ms, error, &key);
            assert_eq!(decided, next(attempt, age_ms, error, &key));
            match (decided, delay_ms) {
                (Next::Dead, None) => {}
                (Next::Again { delay_ms }, Some((least, most))) => {
                    assert!((least..=most).contains(&delay_ms), "{attempt}: {delay_ms}");
                }
                (decided, _) => panic!("attempt {attempt}, age {age_ms}: {decided:?}"),
            }
        }
    }

    #[test]
    fn pauses_double_from_a_second_to_five_minutes() {
        check(0, 0, &retry(), Some((1_000, 1_000)));
        check(1, 0, &retry(), Some((1_000, 1_000)));
        check(2, 0, &retry(), Some((1_000, 2_000)));
        check(3, 0, &retry(), Some((2_000, 4_000)));
        check(9, 0, &retry(), Some((128_000, 256_000)));
        check(10, 0, &retry(), Some((150_000, 300_000)));
        check(u32::MAX, 0, &retry(), Some((150_000, 300_000)));
    }

    #[test]
    fn temporary_failures_end_after_three_days_and_permanent_ones_after_five_tries() {
        check(900, AGE_MAX_MS - 1, &retry(), Some((150_000, 300_000)));
        check(900, AGE_MAX_MS, &retry(), None);
        check(4, AGE_MAX_MS * 2, &give_up(), Some((4_000, 8_000)));
        check(5, 0, &give_up(), None);
    }

    #[test]
    fn a_receiver_that_asks_for_time_gets_it_up_to_an_hour() {
        let asked = |after_ms| SendError::Retry { reason: String::new(), after_ms: Some(after_ms) };
        check(1, 0, &asked(90_000), Some((90_000, 90_000)));
        check(10, 0, &asked(90_000), Some((150_000, 300_000)));
        check(1, 0, &asked(0), Some((1_000, 1_000)));
        check(1, 0, &asked(-5), Some((1_000, 1_000)));
        check(1, 0, &asked(i64::MAX), Some((HOUR_MS, HOUR_MS)));
        check(1, AGE_MAX_MS, &asked(90_000), None);
    }

    #[test]
    fn a_receiver_that_is_gone_is_not_tried_again() {
        check(1, 0, &SendError::Gone { reason: String::new() }, None);
    }

    #[test]
    fn notifications_that_failed_together_do_not_come_back_together() {
        let pauses: std::collections::BTreeSet<i64> = (0..100)
            .filter_map(|key| match next(10, 0, &retry(), &key.to_string()) {
                Next::Again { delay_ms } => Some(delay_ms),
                Next::Dead => None,
            })
            .collect();
        assert!(pauses.len() > 90, "{}", pauses.len());
    }
}
