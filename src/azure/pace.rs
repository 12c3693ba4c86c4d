//! How often a service is asked, and how long is waited after it did not answer.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

use super::RestError;

/// Longest wait that a service is granted by its `Retry-After`.
const LONGEST_WAIT: Duration = Duration::from_hours(1);

/// How fast things happen; only tests differ from the default.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Longest wait for a connection.
    pub connect: Duration,
    /// Longest wait for a whole answer, and for a token.
    pub answer: Duration,
    /// First and longest pause before a new attempt.
    pub backoff: (Duration, Duration),
    /// Questions to one host follow each other at this distance, after a first few.
    pub distance: Duration,
    /// A refusal that lasts this long is told; silence, after five times as long.
    pub trouble: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(60),
            backoff: (Duration::from_secs(1), Duration::from_mins(5)),
            // Far below what Azure allows to one subscription: others ask there too.
            distance: Duration::from_millis(200),
            trouble: Duration::from_mins(1),
        }
    }
}

/// Spreads questions in time: a few at once, then one every so often (the generic cell rate
/// algorithm of ITU-T I.371).
#[derive(Debug)]
pub struct Limit {
    distance: Duration,
    /// When the next question would be due if all came at the distance.
    due: Mutex<Option<Instant>>,
}

impl Limit {
    /// Questions that may come at once after a rest.
    const BURST: u32 = 5;

    /// One question every `distance`.
    #[must_use]
    pub const fn new(distance: Duration) -> Self {
        Self { distance, due: Mutex::new(None) }
    }

    /// Waits for our turn.
    pub async fn turn(&self) {
        let at = self.reserve(Instant::now());
        tokio::time::sleep_until(at).await;
    }

    fn reserve(&self, now: Instant) -> Instant {
        let Ok(mut due) = self.due.lock() else { return now };
        let mine = due.map_or(now, |due| due.max(now));
        *due = Some(mine + self.distance);
        let early = self.distance * (Self::BURST - 1);
        mine.checked_sub(early).map_or(now, |at| at.max(now))
    }
}

/// Pauses between attempts: they double while nothing comes of it.
#[derive(Debug)]
pub struct Pauses {
    backoff: (Duration, Duration),
    next: Duration,
}

impl Pauses {
    /// Beginning with the first pause of `pace`.
    #[must_use]
    pub const fn new(pace: &Pace) -> Self {
        Self { backoff: pace.backoff, next: pace.backoff.0 }
    }

    /// The pause after `error`: half of it is certain, half of it chance, and never shorter than
    /// the service asked for.
    pub fn after(&mut self, error: &RestError) -> Duration {
        let pause = self.next.mul_f64(0.5 + fastrand::f64() / 2.0);
        self.next = (self.next * 2).min(self.backoff.1);
        match error {
            RestError::Busy { after: Some(after), .. } => pause.max((*after).min(LONGEST_WAIT)),
            RestError::Busy { after: None, .. }
            | RestError::Identity(_)
            | RestError::Unauthorized { .. }
            | RestError::Forbidden { .. }
            | RestError::NotFound { .. }
            | RestError::Refused { .. }
            | RestError::Misunderstood { .. }
            | RestError::TooLarge { .. }
            | RestError::Passing(_) => pause,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_few_come_at_once_and_the_rest_at_a_distance() {
        let limit = Limit::new(Duration::from_millis(200));
        let began = Instant::now();
        let mut at = Vec::new();
        for _ in 0..8 {
            limit.turn().await;
            at.push(began.elapsed().as_millis());
        }
        assert_eq!(at, [0, 0, 0, 0, 0, 200, 400, 600]);
        tokio::time::sleep(Duration::from_mins(1)).await;
        let rested = Instant::now();
        for _ in 0..5 {
            limit.turn().await;
        }
        assert_eq!(rested.elapsed(), Duration::ZERO);
    }

    #[test]
    fn pauses_double_up_to_a_limit_and_obey_the_service() {
        let pace = Pace::default();
        let mut pauses = Pauses::new(&pace);
        let passing = RestError::Passing("cut".to_owned());
        let all: Vec<_> = (0..20).map(|_| pauses.after(&passing)).collect();
        assert!((pace.backoff.0 / 2..=pace.backoff.0).contains(&all[0]), "{all:?}");
        assert!((pace.backoff.1 / 2..=pace.backoff.1).contains(&all[19]), "{all:?}");
        for (seconds, expected) in [(7, 7), (10_000_000, 3_600)] {
            let after = Some(Duration::from_secs(seconds));
            let busy = RestError::Busy { reason: String::new(), after };
            assert_eq!(Pauses::new(&pace).after(&busy), Duration::from_secs(expected));
        }
    }
}
