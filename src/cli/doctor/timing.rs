//! How late records come, against the lateness that windows wait for.

use super::facts::Facts;
use super::findings::{Finding, Setup, percent};
use crate::aggregate::delay::Histogram;
use crate::event::RowKind;
use crate::severity::Severity;
use crate::time::MINUTE_MS;

/// Late rows from which a longer lateness is proposed: at most one in a hundred should amend what
/// was judged.
const LATE_PER_MILLE: i64 = 10;
/// Fewest rows from which anything is proposed.
const ENOUGH: i64 = 200;
/// Longest lateness that the configuration takes, in minutes.
const MAX_MIN: i64 = 60;

/// Delays of the rows that windows wait for.
pub(super) fn of_rows(facts: &Facts) -> Histogram {
    let mut rows = Histogram::default();
    let waited = facts.delays.iter().filter(|delay| RowKind::from_name(&delay.kind).is_some());
    waited.for_each(|delay| rows.merge(&delay.to_hub));
    rows
}

/// The shortest whole minutes of lateness with which at most one row in a hundred is late.
pub(super) fn proposed_min(rows: &Histogram) -> Option<i64> {
    let p99 = rows.quantile(1_000 - LATE_PER_MILLE).filter(|_| rows.records() >= ENOUGH)?;
    Some((p99.saturating_add(MINUTE_MS - 1) / MINUTE_MS).clamp(1, MAX_MIN))
}

/// A lateness that too many rows exceed.
pub(super) fn lateness(facts: &Facts, setup: &Setup) -> Option<Finding> {
    let rows = of_rows(facts);
    let late = rows.per_mille_above(setup.lateness_ms);
    let proposed = proposed_min(&rows).filter(|_| late > LATE_PER_MILLE)?;
    let now = span(setup.lateness_ms);
    if proposed * MINUTE_MS <= setup.lateness_ms {
        return None;
    }
    Some(Finding {
        severity: Severity::Low,
        topic: "lateness",
        about: "engine.lateness".to_owned(),
        what: format!("{} of the rows come later than the lateness of {now}", percent(late)),
        why: vec![format!(
            "Their windows have been judged without them and are amended afterwards; totals are \
             right, but a spike may be seen late. 99 % come within {proposed} min: write \
             lateness = \"{proposed}m\" under [engine]. Every alert that waits for the close of a \
             window then waits that long."
        )],
        commands: Vec::new(),
    })
}

/// A span of time for people.
pub(in crate::cli) fn span(ms: i64) -> String {
    match ms {
        ..1_000 => format!("{ms} ms"),
        1_000..60_000 => format!("{}.{} s", ms / 1_000, ms % 1_000 / 100),
        60_000..3_600_000 => format!("{}:{:02} min", ms / 60_000, ms / 1_000 % 60),
        _ => format!("{}:{:02} h", ms / 3_600_000, ms / 60_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        for (ms, expected) in
            [(64, "64 ms"), (1_500, "1.5 s"), (305_000, "5:05 min"), (7_260_000, "2:01 h")]
        {
            assert_eq!(span(ms), expected);
        }
    }

    #[test]
    fn the_proposal_covers_ninety_nine_of_a_hundred() {
        let mut rows = Histogram::default();
        assert_eq!(proposed_min(&rows), None);
        (0..990).for_each(|_| rows.add(100_000));
        (0..10).for_each(|_| rows.add(3_000_000));
        assert_eq!(proposed_min(&rows), Some(2));
        (0..30).for_each(|_| rows.add(3_000_000));
        assert!(proposed_min(&rows).is_some_and(|min| (40..=60).contains(&min)));
    }
}
