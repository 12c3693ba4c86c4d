//! When something holds: a half-open span of time.

use std::fmt;

use crate::time::EventTime;

/// From a moment on, until before another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// First moment inside.
    pub from: EventTime,
    /// First moment after it.
    pub until: EventTime,
}

impl Span {
    /// Always; also what is taken where nobody says when something holds.
    pub const ALWAYS: Self = Self { from: EventTime(i64::MIN), until: EventTime(i64::MAX) };

    /// True when `at` lies inside.
    #[must_use]
    pub fn holds(self, at: EventTime) -> bool {
        self.from <= at && at < self.until
    }

    /// True when both hold at some moment.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.from < other.until && other.from < self.until
    }
}

impl Default for Span {
    fn default() -> Self {
        Self::ALWAYS
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (from, until) = (Moment(self.from), Moment(self.until));
        match (*self == Self::ALWAYS, self.from == Self::ALWAYS.from, self.until.0 == i64::MAX) {
            (true, _, _) => f.write_str("no dates stated"),
            (false, true, _) => write!(f, "until {until}"),
            (false, false, true) => write!(f, "from {from}"),
            (false, false, false) => write!(f, "from {from} until {until}"),
        }
    }
}

/// A moment for people: a day where it begins one.
#[derive(Debug, Clone, Copy)]
pub struct Moment(pub EventTime);

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        f.write_str(text.strip_suffix("T00:00:00Z").unwrap_or(&text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(from: i64, until: i64) -> Span {
        Span { from: EventTime(from), until: EventTime(until) }
    }

    #[test]
    fn the_end_lies_outside() {
        let day = span(0, 10);
        assert_eq!([-1, 0, 9, 10].map(|at| day.holds(EventTime(at))), [false, true, true, false]);
        assert!(!day.overlaps(span(10, 20)) && !span(10, 20).overlaps(day));
        assert!(day.overlaps(span(9, 11)) && Span::ALWAYS.overlaps(day));
    }

    #[test]
    fn spans_read_well() {
        let day = 86_400_000;
        assert_eq!(Span::ALWAYS.to_string(), "no dates stated");
        assert_eq!(span(0, 2 * day).to_string(), "from 1970-01-01 until 1970-01-03");
        assert_eq!(span(1000, i64::MAX).to_string(), "from 1970-01-01T00:00:01Z");
        assert_eq!(span(i64::MIN, day).to_string(), "until 1970-01-02");
    }
}
