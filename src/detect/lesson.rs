//! What people said about spans of a deployment, as the baseline reads it.

use serde::{Deserialize, Serialize};

use super::series::Values;
use crate::action::Feedback;

/// A level is accepted within this factor of the old one, either way.
const LEVEL_MAX: f64 = 1_000.0;

/// One span and what it was. Hours are counted from 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Lesson {
    /// What it was.
    pub feedback: Feedback,
    /// First hour of the span.
    pub from: i64,
    /// First hour after it.
    pub until: i64,
    /// First hour whose expectation heeds it: none that was computed before it was said.
    pub known_from: i64,
    /// For a new normal, observed over expected by signal; 1 where nothing had been expected.
    pub level: Values,
}

impl Lesson {
    /// The factors by which a new level differs from what was expected.
    #[must_use]
    pub fn level(observed: Values, expected: Values) -> Values {
        std::array::from_fn(|signal| {
            let of = |values: &Values| values.get(signal).copied().unwrap_or(0.0);
            let ratio = of(&observed) / of(&expected);
            if of(&expected) > 0.0 { ratio.clamp(LEVEL_MAX.recip(), LEVEL_MAX) } else { 1.0 }
        })
    }
}

/// What an hour counts for in an expectation for the hour `by`: nothing where it is not to be learnt,
/// and brought to today's level where a newer one was accepted.
#[must_use]
pub fn heeded(lessons: &[Lesson], hour: i64, seen: Values, by: i64) -> Option<Values> {
    let mut values = seen;
    for lesson in lessons.iter().filter(|lesson| lesson.known_from <= by) {
        match lesson.feedback {
            Feedback::Expected | Feedback::Abuse => {
                if (lesson.from..lesson.until).contains(&hour) {
                    return None;
                }
            }
            Feedback::NewNormal if hour < lesson.from => {
                values = std::array::from_fn(|signal| {
                    let of = |values: &Values| values.get(signal).copied().unwrap_or(0.0);
                    of(&values) * of(&lesson.level)
                });
            }
            Feedback::NewNormal => {}
        }
    }
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lesson(feedback: Feedback) -> Lesson {
        Lesson { feedback, from: 10, until: 12, known_from: 20, level: [3.0, 2.0, 1.0] }
    }

    #[test]
    fn abuse_and_load_tests_are_left_out_once_known() {
        for feedback in [Feedback::Abuse, Feedback::Expected] {
            let lessons = [lesson(feedback)];
            for (hour, by, kept) in
                [(9, 20, true), (10, 20, false), (11, 20, false), (12, 20, true), (10, 19, true)]
            {
                let heeded = heeded(&lessons, hour, [1.0; 3], by);
                assert_eq!(heeded, kept.then_some([1.0; 3]), "{hour} {by}");
            }
        }
    }

    #[test]
    fn what_came_before_a_new_normal_is_brought_to_its_level() {
        let lessons = [lesson(Feedback::NewNormal)];
        assert_eq!(heeded(&lessons, 9, [1.0; 3], 20), Some([3.0, 2.0, 1.0]));
        assert_eq!(heeded(&lessons, 10, [1.0; 3], 20), Some([1.0; 3]));
        assert_eq!(heeded(&lessons, 9, [1.0; 3], 19), Some([1.0; 3]));
        let level = Lesson::level([6.0, 0.0, 5.0], [2.0, 2.0, 0.0]);
        let off = level.iter().zip([3.0, 0.001, 1.0]).map(|(is, wanted)| (is - wanted).abs());
        assert!(off.sum::<f64>() < 1e-12, "{level:?}");
    }
}
