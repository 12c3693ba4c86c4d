//! Named places where the crash tests stop the process. Empty unless built with `sabotage`.

/// Says that the process is at `point`. With the feature `sabotage` and a plan that names the
/// point, prints it and waits to be killed; otherwise does nothing.
#[cfg(not(feature = "sabotage"))]
#[inline]
pub const fn reached(_point: &str) {}

/// Whether the deliberately wrong variant `name` was chosen; never in a release.
#[cfg(not(feature = "sabotage"))]
#[inline]
#[must_use]
pub const fn sabotaged(_name: &str) -> bool {
    false
}

#[cfg(feature = "sabotage")]
pub use planned::{plan, reached, sabotaged};

#[cfg(feature = "sabotage")]
mod planned {
    use std::io::Write as _;
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicU32, Ordering};

    struct Plan {
        point: String,
        at: u32,
        hits: AtomicU32,
        variant: String,
    }

    static PLAN: OnceLock<Plan> = OnceLock::new();

    /// Stops at the `at`-th time `point` is reached, and runs the wrong `variant` (may be empty).
    pub fn plan(point: &str, at: u32, variant: &str) {
        let plan = Plan {
            point: point.to_owned(),
            at,
            hits: AtomicU32::new(0),
            variant: variant.to_owned(),
        };
        // Set once at start-up; a second plan changes nothing.
        drop(PLAN.set(plan));
    }

    /// See the empty variant.
    pub fn reached(point: &str) {
        let Some(plan) = PLAN.get().filter(|plan| plan.point == point) else { return };
        if plan.hits.fetch_add(1, Ordering::SeqCst) + 1 == plan.at {
            let mut out = std::io::stdout();
            // The killer reads the line; if it is gone, waiting is all that is left anyway.
            drop(writeln!(out, "at {point}"));
            drop(out.flush());
            loop {
                std::thread::park();
            }
        }
    }

    /// See the empty variant.
    #[must_use]
    pub fn sabotaged(name: &str) -> bool {
        PLAN.get().is_some_and(|plan| plan.variant == name)
    }
}
