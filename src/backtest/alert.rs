//! What is written of a judgement that matters: score, part, band and one sentence.

use serde::Serialize;

use super::run::Judged;
use super::score::attacks::EPISODE_S;
use super::values::seconds;
use crate::detect::score::{Grid, Part, Scored};
use crate::money::Grouped;

/// Columns of the alerts, in order.
pub const COLUMNS: [&str; 10] = [
    "series",
    "timestamp",
    "score",
    "component",
    "window",
    "observed",
    "expected",
    "low",
    "high",
    "reason",
];

/// A judgement that may be an alert: it is one from a score of 1 on.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Alert {
    /// Which series.
    pub series: String,
    /// When it could first be raised: seconds since slot 0, or the text of the slot's last row.
    pub timestamp: String,
    /// At least 1 fires.
    pub score: f64,
    /// The part of the score that was the highest, as a word.
    pub component: &'static str,
    /// Length of its window, such as `15m`.
    pub window: String,
    /// What was seen in the window, in the unit of the part.
    pub observed: f64,
    /// What was expected.
    pub expected: f64,
    /// Lower end of what is held normal.
    pub low: f64,
    /// Upper end; infinite where there is none (`inf`, in JSON null).
    pub high: f64,
    /// The same as a sentence.
    pub reason: String,
}

impl Alert {
    /// Of a judgement with at least this score, and with more than none.
    #[must_use]
    pub fn of(judged: &Judged<'_>, min_score: f64) -> Option<Self> {
        let top = judged.verdict.parts.first()?;
        if top.score < min_score || top.score <= 0.0 {
            return None;
        }
        Some(Self {
            series: judged.series.name.clone(),
            timestamp: judged.series.timestamp(judged.slot)?,
            score: top.score,
            component: top.part.name(),
            window: window(top.slots, judged.series.grid),
            observed: top.observed,
            expected: top.expected,
            low: top.low,
            high: top.high,
            reason: reason(top, judged.series.nouns()(top.part), judged.series.grid),
        })
    }

    /// As cells under [`COLUMNS`]; floats in their shortest form that reads back the same.
    #[must_use]
    pub fn cells(&self) -> [String; 10] {
        [
            self.series.clone(),
            self.timestamp.clone(),
            self.score.to_string(),
            self.component.to_owned(),
            self.window.clone(),
            self.observed.to_string(),
            self.expected.to_string(),
            self.low.to_string(),
            self.high.to_string(),
            self.reason.clone(),
        ]
    }
}

/// The alerts that open an incident, and the rows between incidents.
///
/// For tracks of which [every row counts](super::Track::counts_rows): an incident of many rows would be as many alerts.
/// Rows of a series lie together and in order.
#[must_use]
pub fn openings(alerts: Vec<Alert>) -> Vec<Alert> {
    let mut told: Option<(String, i64)> = None;
    let is_new = |alert: &Alert| {
        let Some(at) = seconds(&alert.timestamp) else { return true };
        let within = |(series, since): &(String, i64)| {
            *series == alert.series && (0..EPISODE_S).contains(&(at - since))
        };
        if told.as_ref().is_some_and(within) {
            return false;
        }
        if alert.score >= 1.0 {
            told = Some((alert.series.clone(), at));
        }
        true
    };
    alerts.into_iter().filter(is_new).collect()
}

/// What a part counts, in the plural.
#[must_use]
pub(super) const fn noun(part: Part) -> &'static str {
    match part {
        Part::Calls | Part::MostCalls | Part::Raised | Part::Wake | Part::Drop => "calls",
        Part::Callers | Part::FanOut => "callers, counted by slot",
        Part::Size | Part::MostTokens => "tokens",
        Part::Fresh => "tokens of new callers",
        Part::Silence => "calls that should have come since the last one",
    }
}

/// Length of a window in its largest whole unit, such as `15m`, `4h` or `1d`.
#[must_use]
pub fn window(slots: i64, grid: Grid) -> String {
    let seconds = slots.saturating_mul(grid.slot_seconds);
    match seconds {
        s if s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s % 3_600 == 0 => format!("{}h", s / 3_600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

/// A score's highest part as a sentence.
fn reason(top: &Scored, what: &str, grid: Grid) -> String {
    let length = window(top.slots, grid);
    let normal = if top.part.is_lower() {
        format!("no fewer than {}", number(top.low))
    } else {
        format!("no more than {}", number(top.high))
    };
    let (observed, expected) = (number(top.observed), number(top.expected));
    format!("{observed} {what} in {length}: {expected} were expected, {normal} are normal.")
}

/// A number for people: whole from 100 on, else with three digits that count.
#[must_use]
#[expect(clippy::cast_possible_truncation, reason = "shown to people; saturates")]
pub fn number(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        "any".to_owned()
    } else if size >= 99.95 {
        Grouped(value.round() as i64).to_string()
    } else {
        let text = match size {
            s if s >= 9.995 => format!("{value:.1}"),
            s if s >= 0.995 => format!("{value:.2}"),
            _ => format!("{value:.3}"),
        };
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::score::measure::Component;

    #[test]
    fn numbers_read_well() {
        let check = |value: f64, text: &str| assert_eq!(number(value), text);
        check(0.0, "0");
        check(0.12345, "0.123");
        check(1.5, "1.5");
        check(99.96, "100");
        check(-12.34, "-12.3");
        check(1_234_567.8, "1,234,568");
        check(f64::INFINITY, "any");
    }

    #[test]
    fn an_incident_of_values_is_one_row() {
        let alert = |series: &str, hour: i64, score: f64| Alert {
            series: series.to_owned(),
            timestamp: (hour * 3_600).to_string(),
            score,
            component: "calls",
            window: "1h".to_owned(),
            observed: 9.0,
            expected: 1.0,
            low: 0.0,
            high: 3.0,
            reason: String::new(),
        };
        let rows = [("a", 0, 0.5), ("a", 1, 1.0), ("a", 2, 3.0), ("a", 6, 0.9), ("a", 7, 1.2)];
        let rows = rows.into_iter().chain([("b", 8, 1.1), ("b", 13, 2.0), ("b", 14, 0.2)]);
        let kept = openings(rows.map(|(series, hour, score)| alert(series, hour, score)).collect());
        let kept: Vec<f64> = kept.iter().map(|alert| alert.score).collect();
        assert_eq!(kept, [0.5, 1.0, 1.2, 1.1, 0.2]);
    }

    #[test]
    fn windows_are_told_in_their_largest_whole_unit() {
        let check = |slots, seconds, text: &str| {
            assert_eq!(window(slots, Grid { slot_seconds: seconds }), text);
        };
        check(1, 300, "5m");
        check(12, 300, "1h");
        check(288, 300, "1d");
        check(1, 30, "30s");
        check(9, 600, "90m");
    }

    #[test]
    fn a_reason_names_the_end_of_the_band_that_was_left() {
        let top = Scored {
            component: Component::MostTokens,
            part: Part::MostTokens,
            slots: 12,
            score: 2.0,
            observed: 812_000.0,
            expected: 54_000.0,
            low: 0.0,
            high: 120_000.0,
            raw: 2.0,
            rate: -1.5,
        };
        assert_eq!(
            reason(&top, noun(top.part), Grid::FIVE_MINUTES),
            "812,000 tokens in 1h: 54,000 were expected, no more than 120,000 are normal."
        );
        let drop = Scored { part: Part::Drop, observed: 3.0, low: 40.0, ..top };
        assert!(
            reason(&drop, noun(drop.part), Grid::FIVE_MINUTES)
                .ends_with("no fewer than 40 are normal.")
        );
    }
}
