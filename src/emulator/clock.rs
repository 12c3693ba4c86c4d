//! The clock that stamps the enqueued time of events: real, scaled or standing still.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::{Instant, sleep};

/// Longest sleep before the wall clock is looked at again; somebody may have set it.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// Stamps the enqueued time, in milliseconds since 1970-01-01T00:00:00Z.
///
/// Clones share the same clock, so a test keeps one and moves the time of a running emulator.
#[derive(Clone)]
pub struct EmulatorClock(Arc<Shared>);

struct Shared {
    mode: Mutex<Mode>,
    moved: watch::Sender<()>,
}

enum Mode {
    Real,
    Scaled { origin_ms: i64, since: Instant, speed: f64 },
}

impl EmulatorClock {
    /// The wall clock of the machine.
    #[must_use]
    pub fn real() -> Self {
        Self::new(Mode::Real)
    }

    /// Starts at `origin_ms` and runs `speed` times as fast as real time.
    ///
    /// A speed that is negative or not a number makes the clock stand still.
    #[must_use]
    pub fn scaled(origin_ms: i64, speed: f64) -> Self {
        Self::new(Mode::Scaled { origin_ms, since: Instant::now(), speed })
    }

    fn new(mode: Mode) -> Self {
        Self(Arc::new(Shared { mode: Mutex::new(mode), moved: watch::Sender::new(()) }))
    }

    /// Stands still at `ms` until [`set`](Self::set) or [`advance`](Self::advance) moves it.
    #[must_use]
    pub fn fixed(ms: i64) -> Self {
        Self::scaled(ms, 0.0)
    }

    /// Milliseconds since 1970-01-01T00:00:00Z by this clock.
    #[must_use]
    pub fn now_ms(&self) -> i64 {
        self.lock().now_ms()
    }

    /// Moves the clock to `ms`; it goes on from there at its speed (a real clock at speed 1).
    pub fn set(&self, ms: i64) {
        let mut mode = self.lock();
        let speed = mode.speed();
        *mode = Mode::Scaled { origin_ms: ms, since: Instant::now(), speed };
        drop(mode);
        self.0.moved.send_replace(());
    }

    /// Moves the clock forward by `ms`, back when that is negative.
    pub fn advance(&self, ms: i64) {
        let mut mode = self.lock();
        let (origin_ms, speed) = (mode.now_ms().saturating_add(ms), mode.speed());
        *mode = Mode::Scaled { origin_ms, since: Instant::now(), speed };
        drop(mode);
        self.0.moved.send_replace(());
    }

    /// Changes how fast the clock runs, without a jump.
    pub fn set_speed(&self, speed: f64) {
        let mut mode = self.lock();
        *mode = Mode::Scaled { origin_ms: mode.now_ms(), since: Instant::now(), speed };
        drop(mode);
        self.0.moved.send_replace(());
    }

    /// Waits until the clock shows `ms` or more. Cancel safe.
    pub(super) async fn reached(&self, ms: i64) {
        let mut moved = self.0.moved.subscribe();
        loop {
            let (now_ms, speed) = {
                let mode = self.lock();
                (mode.now_ms(), mode.speed())
            };
            if now_ms >= ms {
                return;
            }
            let wait = Duration::from_millis(ms.abs_diff(now_ms)).as_secs_f64() / speed;
            // Endless for a clock that stands still.
            let wait = Duration::try_from_secs_f64(wait).unwrap_or(Duration::MAX).min(LOOK_AGAIN);
            tokio::select! {
                _ = moved.changed() => {}
                () = sleep(wait) => {}
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Mode> {
        self.0.mode.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for EmulatorClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("EmulatorClock").field(&self.now_ms()).finish()
    }
}

impl Mode {
    fn now_ms(&self) -> i64 {
        match self {
            Self::Real => wall_clock_ms(),
            Self::Scaled { origin_ms, since, speed } => {
                origin_ms.saturating_add(scaled_ms(since.elapsed(), *speed))
            }
        }
    }

    const fn speed(&self) -> f64 {
        match self {
            Self::Real => 1.0,
            Self::Scaled { speed, .. } => *speed,
        }
    }
}

fn scaled_ms(elapsed: Duration, speed: f64) -> i64 {
    // Refuses negative and infinite spans and NaN: such a clock stands still.
    let scaled = Duration::try_from_secs_f64(elapsed.as_secs_f64() * speed).unwrap_or_default();
    i64::try_from(scaled.as_millis()).unwrap_or(i64::MAX)
}

#[expect(
    clippy::disallowed_methods,
    reason = "the emulator is a peer with its own clock; this is the one place that reads it"
)]
fn wall_clock_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_is_scaled() {
        let second = Duration::from_secs(1);
        assert_eq!(scaled_ms(second, 60.0), 60_000);
        assert_eq!(scaled_ms(second, 0.5), 500);
        for speed in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(scaled_ms(second, speed), 0, "{speed}");
        }
    }

    #[test]
    fn a_fixed_clock_moves_only_when_told() {
        let clock = EmulatorClock::fixed(5);
        assert_eq!(clock.now_ms(), 5);
        clock.advance(7);
        assert_eq!(clock.now_ms(), 12);
        clock.set(3);
        assert_eq!(clock.clone().now_ms(), 3);
    }

    #[test]
    fn a_change_of_speed_does_not_jump() {
        let clock = EmulatorClock::scaled(1_000, 1_000_000.0);
        let began_ms = clock.now_ms();
        std::thread::sleep(Duration::from_millis(2));
        clock.set_speed(0.0);
        let stopped_ms = clock.now_ms();
        assert!(stopped_ms >= began_ms + 2_000_000, "{stopped_ms}");
        assert_eq!(clock.now_ms(), stopped_ms);
    }
}
