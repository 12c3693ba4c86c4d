//! What goes wrong when: a list of actions with their times, as text.
//!
//! ```text
//! at 10 s: cut; at 12 s: refuse for 5 s
//! at 20 s: detach logs/0 amqp:link:stolen   # a comment
//! every 30 s: cut
//! ```

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use super::action::{Action, Span};
use super::control::Control;
use super::grammar::Cursor;

/// Most steps of a script; nobody writes so many by hand.
const MAX_STEPS: usize = 1_000;

/// Shortest period of a repeated step; a shorter one would keep a core busy.
const MIN_PERIOD: Duration = Duration::from_millis(10);

/// Actions and when they happen. Times count from the start of the script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Script {
    steps: Vec<Step>,
}

/// One line of a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When it happens.
    pub when: When,
    /// What happens.
    pub action: Action,
}

/// When a step happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// Once, after a span.
    At(Duration),
    /// Again and again, first after the span; at least 10 ms.
    Every(Duration),
}

/// What cannot be read in a script, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}: found {found}; possible here: {possible}")]
pub struct ScriptError {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What stands there, shortened.
    pub found: String,
    /// What may stand there.
    pub possible: String,
}

impl Script {
    /// The steps, in the order they were written.
    #[must_use]
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// What is to be done at once, and the rest.
    pub(super) fn split(self) -> (Vec<Action>, Self) {
        let (now, later): (Vec<_>, Vec<_>) =
            self.steps.into_iter().partition(|step| step.when == When::At(Duration::ZERO));
        (now.into_iter().map(|step| step.action).collect(), Self { steps: later })
    }

    /// Does what the script says, beginning now. Ends after the last step, with a repeated one
    /// never. What misses, such as a hub that does not exist, is logged. Cancel safe: dropped, it
    /// does nothing more, and what stands stays.
    pub async fn run(&self, control: &Control) {
        let began = Instant::now();
        let mut due: Vec<(Instant, &Step)> =
            self.steps.iter().map(|step| (began + step.when.first(), step)).collect();
        // The earliest step; of several the one that was written first.
        while let Some(next) = (0..due.len()).min_by_key(|index| due.get(*index).map(|d| d.0)) {
            let Some((at, step)) = due.get(next).copied() else { return };
            sleep_until(at).await;
            if let Err(error) = control.apply(step.action.clone()) {
                tracing::warn!(%error, action = %step.action, "fault missed");
            }
            match step.when {
                When::At(_) => drop(due.remove(next)),
                When::Every(period) => {
                    // Late by more than a period, it leaves out what it has missed.
                    let again = (at + period).max(Instant::now());
                    due.get_mut(next).into_iter().for_each(|due| due.0 = again);
                }
            }
        }
    }
}

impl When {
    const fn first(self) -> Duration {
        match self {
            Self::At(span) | Self::Every(span) => span,
        }
    }
}

impl FromStr for Script {
    type Err = ScriptError;

    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let mut words = Cursor::new(text);
        let mut steps = Vec::new();
        words.skip_separators();
        while steps.is_empty() || !words.is_at_end() {
            if steps.len() == MAX_STEPS {
                return Err(words.error(&format!("at most {MAX_STEPS} steps")));
            }
            let when = when(&mut words)?;
            let also: &[&str] = if when.is_none() { &["at", "every"] } else { &[] };
            let action = words.action(also)?;
            steps.push(Step { when: when.unwrap_or(When::At(Duration::ZERO)), action });
            if !words.skip_separators() && !words.is_at_end() {
                return Err(words.error("`;`, the end of the line"));
            }
        }
        Ok(Self { steps })
    }
}

fn when(words: &mut Cursor<'_>) -> Result<Option<When>, ScriptError> {
    let when = if words.takes("at") {
        When::At(words.span()?)
    } else if words.takes("every") {
        let before = words.error("a span of 10 ms or more");
        let period = words.span()?;
        if period < MIN_PERIOD {
            return Err(before);
        }
        When::Every(period)
    } else {
        return Ok(None);
    };
    words.colon()?;
    Ok(Some(when))
}

impl FromStr for Action {
    type Err = ScriptError;

    /// Reads one action, without a time.
    fn from_str(text: &str) -> Result<Self, ScriptError> {
        let mut words = Cursor::new(text);
        let action = words.action(&[])?;
        if !words.is_at_end() {
            return Err(words.error("the end"));
        }
        Ok(action)
    }
}

impl fmt::Display for Script {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.steps.iter().enumerate() {
            let separator = if index == 0 { "" } else { "; " };
            write!(f, "{separator}{step}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.when, self.action)
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::At(span) => write!(f, "at {}", Span(*span)),
            Self::Every(period) => write!(f, "every {}", Span(*period)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;
    use std::sync::Arc;

    use proptest::prelude::*;
    use tokio::time::timeout;

    use super::*;
    use crate::emulator::broker::Broker;
    use crate::emulator::grammar::VERBS;
    use crate::emulator::{ClockChange, EmulatorClock, HubSpec, Lasts, Place, Reach};

    fn any_span() -> impl Strategy<Value = Duration> {
        (0_u64..3_000, prop::sample::select(vec![1, 1_000, 60_000, 3_600_000]))
            .prop_map(|(count, unit_ms)| Duration::from_millis(count * unit_ms))
    }

    fn any_lasts() -> impl Strategy<Value = Lasts> {
        prop_oneof![Just(Lasts::UntilEnded), any_span().prop_map(Lasts::For)]
    }

    fn any_place() -> impl Strategy<Value = Place> {
        let hub = "[a-zA-Z0-9]([a-zA-Z0-9._-]{0,10}[a-zA-Z0-9])?";
        prop_oneof![
            Just(Place::Everywhere),
            hub.prop_map(Place::Hub),
            (hub, 0_u32..1024).prop_map(|(hub, number)| Place::Partition(hub, number)),
        ]
    }

    fn any_change() -> impl Strategy<Value = ClockChange> {
        prop_oneof![
            any_span().prop_map(ClockChange::Forward),
            any_span().prop_map(ClockChange::Back),
            (-4_000_000_000_000_i64..200_000_000_000_000).prop_map(ClockChange::To),
        ]
    }

    fn any_connection_fault() -> impl Strategy<Value = Action> {
        let reach = prop::sample::select(vec![Reach::Existing, Reach::New]);
        prop_oneof![
            Just(Action::Cut),
            Just(Action::IdleClose),
            Just(Action::End),
            any_lasts().prop_map(|lasts| Action::Refuse { lasts }),
            (reach, any_lasts()).prop_map(|(reach, lasts)| Action::HalfOpen { reach, lasts }),
            any_lasts().prop_map(|lasts| Action::ServerBusy { lasts }),
            any_lasts().prop_map(|lasts| Action::Unauthorized { lasts }),
            any_lasts().prop_map(|lasts| Action::EnforceTokens { lasts }),
            any_span().prop_map(|after| Action::ExpireTokens { after }),
            any_change().prop_map(Action::Clock),
        ]
    }

    fn any_hub_fault() -> impl Strategy<Value = Action> {
        let name = "[a-zA-Z0-9]([a-zA-Z0-9._-]{0,10}[a-zA-Z0-9])?";
        let rate = (1..=u32::MAX).prop_map(|n| NonZeroU32::new(n).unwrap());
        prop_oneof![
            (any_place(), "[a-z.]{1,20}:[!-\"$-:<-~]{1,9}")
                .prop_map(|(at, condition)| Action::Detach { at, condition }),
            (any_place(), any_lasts()).prop_map(|(at, lasts)| Action::Freeze { at, lasts }),
            (any_place(), rate, any_lasts()).prop_map(|(at, events_per_s, lasts)| Action::Slow {
                at,
                events_per_s,
                lasts
            }),
            (any_place(), 1_usize..).prop_map(|(at, events)| Action::Duplicate { at, events }),
            (any_place(), 1_u32..).prop_map(|(at, sequences)| Action::Skip { at, sequences }),
            (any_place(), 0_i64..).prop_map(|(at, below)| Action::Expire { at, below }),
            (any_place(), prop::option::of(any_span()))
                .prop_map(|(at, age)| Action::Retain { at, age }),
            name.prop_map(|hub| Action::Recreate { hub }),
            (name, 1_u32..=1024).prop_map(|(hub, partitions)| Action::Grow { hub, partitions }),
        ]
    }

    fn any_script() -> impl Strategy<Value = Script> {
        let when = (any::<bool>(), any_span()).prop_map(|(once, span)| {
            if once { When::At(span) } else { When::Every(span.max(MIN_PERIOD)) }
        });
        let action = prop_oneof![any_connection_fault(), any_hub_fault()];
        let step = (when, action).prop_map(|(when, action)| Step { when, action });
        prop::collection::vec(step, 1..8).prop_map(|steps| Script { steps })
    }

    proptest! {
        #[test]
        fn a_script_reads_back_what_it_writes(script in any_script()) {
            prop_assert_eq!(script.to_string().parse::<Script>(), Ok(script));
        }

        #[test]
        fn no_text_makes_the_reader_fall_over(text in "[ -~\n§]{0,60}") {
            if let Err(error) = text.parse::<Script>() {
                prop_assert!(error.line <= text.lines().count() + 1, "{}", error);
                prop_assert!(error.column <= text.chars().count() + 1, "{}", error);
            }
        }
    }

    #[track_caller]
    fn check(text: &str, expected: &str) {
        let read = text.parse::<Script>().map(|script| script.to_string());
        assert_eq!(read.unwrap_or_else(|error| error.to_string()), expected, "{text}");
    }

    #[test]
    fn separators_comments_and_blanks_are_free() {
        check("cut", "at 0 s: cut");
        check(
            "# first\n at 10s:cut;;at 12 s: refuse for 5 s # then\r\n\n\tevery 90 s: cut;\n",
            "at 10 s: cut; at 12 s: refuse for 5 s; every 90 s: cut",
        );
        check("at 120000 ms: freeze * for 60 min", "at 2 min: freeze * for 1 h");
        check("clock 2026-01-31T13:00:00+01:00", "at 0 s: clock 2026-01-31T12:00:00Z");
        check("detach logs/0 amqp:link:stolen#x", "at 0 s: detach logs/0 amqp:link:stolen");
    }

    #[test]
    fn errors_say_where_what_and_what_else() {
        let verbs: Vec<_> = VERBS.iter().map(|verb| verb.name).collect();
        let verbs = verbs.join(", ");
        check("", &format!("line 1, column 1: found the end; possible here: at, every, {verbs}"));
        check("at 1 s: fly", &format!("line 1, column 9: found `fly`; possible here: {verbs}"));
        check(
            "cut\n  at ten: cut",
            "line 2, column 6: found `ten:`; possible here: a span such as `10 s`",
        );
        check("at 10: cut", "line 1, column 6: found `:`; possible here: ms, s, min, h");
        check("at 10 d: cut", "line 1, column 7: found `d:`; possible here: ms, s, min, h");
        check("at 10 s cut", "line 1, column 9: found `cut`; possible here: `:`");
        check(
            "at 9999 h: cut",
            "line 1, column 4: found `9999`; possible here: a span up to 8784 h",
        );
        check(
            "at 99999999999999999999 s: cut",
            "line 1, column 4: found `99999999999999999999`; possible here: a span such as `10 s`",
        );
        check(
            "every 9 ms: cut",
            "line 1, column 7: found `9`; possible here: a span of 10 ms or more",
        );
        check(
            "cut; cut cut",
            "line 1, column 10: found `cut`; possible here: `;`, the end of the line",
        );
        check(
            "freeze\ncut",
            "line 1, column 7: found the end of the line; possible here: `*`, a hub, HUB/PARTITION",
        );
        check(
            "freeze a/b",
            "line 1, column 8: found `a/b`; possible here: `*`, a hub, HUB/PARTITION",
        );
        check(
            "freeze a/1024",
            "line 1, column 8: found `a/1024`; possible here: `*`, a hub, HUB/PARTITION",
        );
        check(
            "slow * 0",
            "line 1, column 8: found `0`; possible here: events a second, a number from 1 to 4294967295",
        );
        check(
            "grow a 1025",
            "line 1, column 8: found `1025`; possible here: partitions, a number from 1 to 1024",
        );
        check("recreate *", "line 1, column 10: found `*`; possible here: a hub");
        check(
            "detach * stolen",
            "line 1, column 10: found `stolen`; possible here: an error condition such as amqp:link:stolen",
        );
        check(
            "retain *;",
            "line 1, column 9: found `;`; possible here: `all` or a span such as `10 s`",
        );
        check(
            "clock 5 s",
            "line 1, column 7: found `5`; possible here: +SPAN, -SPAN, a time such as 2026-01-31T12:00:00Z",
        );
        check("§", &format!("line 1, column 1: found `§`; possible here: at, every, {verbs}"));
        let long = "cut;".repeat(MAX_STEPS + 1);
        check(&long, "line 1, column 4001: found `cut`; possible here: at most 1000 steps");
    }

    #[test]
    fn one_action_is_read_without_a_time() {
        assert_eq!(
            "half-open new for 1 s".parse(),
            Ok(Action::HalfOpen { reach: Reach::New, lasts: Lasts::For(Duration::from_secs(1)) })
        );
        let error = "at 1 s: cut".parse::<Action>().unwrap_err();
        assert_eq!((error.column, error.found.as_str()), (1, "`at`"));
        assert_eq!("cut; cut".parse::<Action>().unwrap_err().column, 4);
    }

    #[tokio::test(start_paused = true)]
    async fn steps_happen_when_they_are_due() {
        let control = || {
            let hubs = vec![HubSpec::new("logs", 1)];
            Control::new(Arc::new(Broker::new(hubs, EmulatorClock::fixed(0))))
        };
        let script: Script =
            "at 25 s: skip logs 100; every 10 s: skip logs 1; at 5 s: skip gone 1".parse().unwrap();
        for (until_s, next) in [(9, 0), (11, 1), (21, 2), (24, 2), (26, 102), (31, 103)] {
            let control = control();
            let run = timeout(Duration::from_secs(until_s), script.run(&control)).await;
            assert!(run.is_err(), "a repeated step never ends");
            assert_eq!(control.received("logs"), [next], "{until_s}");
            // Dropped, it does nothing more.
            tokio::time::sleep(Duration::from_mins(1)).await;
            assert_eq!(control.received("logs"), [next], "{until_s}");
        }
        let began = Instant::now();
        "at 3 s: cut; at 2 s: cut".parse::<Script>().unwrap().run(&control()).await;
        assert_eq!(began.elapsed(), Duration::from_secs(3));
    }
}
