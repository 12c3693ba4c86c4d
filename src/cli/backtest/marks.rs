//! How good alerts are, as a table or as JSON.

use std::path::Path;

use serde::Serialize;
use serde_json::json;

use super::super::prices::table;
use crate::backtest::score::attacks::BUDGETS;
use crate::backtest::score::nab::{NabExam, NabMarks, PROFILES};
use crate::backtest::score::{Exam, Marks, moments, msft};
use crate::backtest::{Alert, Layout, Track};
use crate::problem::{Problem, Problems};

/// How good alerts are, by the kind of labels there are.
pub(super) enum Scores {
    /// Events: at a score of 1, and at the lowest threshold within each budget.
    Events { fixed: Marks, budgets: Vec<(f64, Marks)> },
    /// Windows: each profile at a score of 1 and at its best threshold.
    Windows(Vec<(NabMarks, NabMarks)>),
}

/// Holds alerts against the labels of a track.
pub(super) fn of(folder: &Path, track: &Track, alerts: &[Alert]) -> Result<Scores, Problems> {
    if let Layout::Attacks(info) = track.layout {
        let scores = moments(alerts, |_, timestamp| timestamp.parse().ok());
        return Ok(Scores::events(&Exam::of(folder, &track.name, info, scores)?));
    }
    if let Some(exam) = msft::exam(track, alerts) {
        return Ok(Scores::events(&exam));
    }
    let file = folder.join(format!("{}_windows.json", track.name));
    if file.exists() {
        let exam = NabExam::of(folder, track, alerts)?;
        let marks =
            PROFILES.map(|profile| (exam.marks(&profile, Some(1.0)), exam.marks(&profile, None)));
        return Ok(Scores::Windows(marks.into()));
    }
    Err(Problems(vec![Problem {
        file: file.display().to_string(),
        line: 1,
        column: 1,
        message: "no labels".to_owned(),
        mend: "write this file, or add a column label (0 or 1) to the values".to_owned(),
        source: String::new(),
        width: 1,
    }]))
}

impl Scores {
    fn events(exam: &Exam) -> Self {
        let budgets = BUDGETS.map(|budget| (budget, exam.within(budget)));
        Self::Events { fixed: exam.at(1.0), budgets: budgets.into() }
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        /// What was reached within a budget.
        #[derive(Serialize)]
        struct Within<'a> {
            budget: f64,
            #[serde(flatten)]
            marks: &'a Marks,
        }
        match self {
            Self::Events { fixed, budgets } => {
                let budgets =
                    budgets.iter().map(|(budget, marks)| Within { budget: *budget, marks });
                json!({ "at_1": fixed, "within": budgets.collect::<Vec<_>>() })
            }
            Self::Windows(profiles) => {
                let profile =
                    |(fixed, best): &(NabMarks, NabMarks)| json!({ "at_1": fixed, "best": best });
                profiles.iter().map(profile).collect()
            }
        }
    }

    pub(super) fn to_table(&self) -> String {
        match self {
            Self::Events { fixed, budgets } => {
                format!("{}\n\n{}\n", by_budget(fixed, budgets), by_kind(fixed))
            }
            Self::Windows(profiles) => {
                let head = ["profile", "windows", "score at 1", "best", "its threshold"];
                let mut table = table(&head, &[1, 2, 3, 4]);
                for (fixed, best) in profiles {
                    table.add_row([
                        fixed.profile.to_owned(),
                        fixed.windows.to_string(),
                        format!("{:.1}", fixed.score),
                        format!("{:.1}", best.score),
                        format!("{:.3}", best.threshold),
                    ]);
                }
                format!("{table}\n")
            }
        }
    }
}

fn by_budget(fixed: &Marks, budgets: &[(f64, Marks)]) -> comfy_table::Table {
    let head = [
        "false alerts",
        "threshold",
        "recall",
        "macro",
        "per week",
        "precision",
        "F1",
        "median min",
        "p95 min",
        "burn",
    ];
    let mut table = table(&head, &[1, 2, 3, 4, 5, 6, 7, 8, 9]);
    let mut row = |what: String, marks: &Marks| {
        table.add_row([
            what,
            format!("{:.3}", marks.threshold),
            format!("{:.3}", marks.recall),
            format!("{:.3}", marks.macro_recall),
            format!("{:.3}", marks.false_alerts_per_week),
            format!("{:.3}", marks.precision),
            format!("{:.3}", marks.f1),
            minutes(marks.minutes_to_detect_median),
            minutes(marks.minutes_to_detect_p95),
            format!("{:.3}", marks.burn),
        ]);
    };
    row("as it fires".to_owned(), fixed);
    for (budget, marks) in budgets {
        row(format!("≤ {budget} a week"), marks);
    }
    table
}

fn by_kind(fixed: &Marks) -> comfy_table::Table {
    let mut table =
        table(&["as it fires", "events", "found", "recall", "median min"], &[1, 2, 3, 4]);
    for (kind, marks) in &fixed.kinds {
        table.add_row([
            kind.clone(),
            marks.events.to_string(),
            marks.detected.to_string(),
            format!("{:.3}", marks.recall),
            minutes(marks.minutes_to_detect_median),
        ]);
    }
    table
}

fn minutes(minutes: Option<f64>) -> String {
    minutes.map_or_else(|| "-".to_owned(), |minutes| format!("{minutes:.0}"))
}
