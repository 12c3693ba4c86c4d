//! Tracks of single values: `series,timestamp,value`, perhaps with a `label`, or one file of
//! `timestamp,value`.

use std::collections::HashMap;
use std::path::Path;

use super::table::{Table, at_start};
use super::track::{MAX_SLOTS, Rows, Series};
use crate::detect::score::Grid;
use crate::problem::Problems;
use crate::time;

/// Lengths of slots that fit an hour or a day, in seconds.
const LENGTHS: [i64; 18] = [
    60, 120, 180, 300, 360, 600, 720, 900, 1_200, 1_800, 3_600, 7_200, 10_800, 14_400, 21_600,
    28_800, 43_200, 86_400,
];
/// What is taken for the length of slots where one row tells no step.
const DEFAULT_STEP_MS: i64 = 300_000;

/// Values of one series.
#[derive(Debug, Clone, PartialEq)]
pub struct Values {
    /// Every row, in the order of the file.
    rows: Vec<Row>,
    /// Slots that have a row, in order, with the value of the last one.
    points: Vec<Point>,
}

/// One row.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// The text that alerts are told by.
    pub(super) timestamp: String,
    /// Milliseconds since 1970.
    pub(super) at_ms: i64,
    /// Whether people say that it is anomalous; `None` where nobody says anything.
    pub(super) label: Option<bool>,
    /// `None` where nothing was measured: a gap.
    value: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Point {
    slot: i64,
    /// Never negative: moved up by the smallest value so far.
    value: f64,
    /// Its row.
    row: usize,
}

impl Values {
    pub(super) fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The value of a slot; `None` in a gap.
    pub(super) fn at(&self, slot: i64) -> Option<f64> {
        self.point(slot).map(|point| point.value)
    }

    /// The text of a slot's last row; the slot is judged when that has come.
    pub(super) fn timestamp(&self, slot: i64) -> Option<&str> {
        Some(&self.row(slot)?.timestamp)
    }

    /// The row that closes a slot.
    pub(super) fn row(&self, slot: i64) -> Option<&Row> {
        self.rows.get(self.point(slot)?.row)
    }

    /// The last slot whose last row is not later than a moment.
    pub(super) fn closed_at(&self, moment: &str) -> Option<i64> {
        let row = self.rows.iter().rposition(|row| row.timestamp == moment);
        let row = match row {
            Some(row) => row,
            None => {
                let at_ms = seconds(moment)?.checked_mul(1_000)?;
                self.rows.iter().rposition(|row| row.at_ms <= at_ms)?
            }
        };
        self.points.iter().rev().find(|point| point.row <= row).map(|point| point.slot)
    }

    fn point(&self, slot: i64) -> Option<Point> {
        let found = self.points.binary_search_by_key(&slot, |point| point.slot).ok()?;
        self.points.get(found).copied()
    }
}

/// A moment as seconds: a number, or a time.
pub(super) fn seconds(moment: &str) -> Option<i64> {
    let number = moment.trim().parse().ok();
    number.or_else(|| time::parse(moment).map(|at_ms| at_ms.div_euclid(1_000)))
}

/// The series of a table, in the order of their first rows; a table without the column `series` is one.
pub(super) fn read(path: &Path) -> Result<Vec<Series>, Problems> {
    let alone = path.file_name().unwrap_or_default().to_string_lossy();
    let mut table = Table::open(path, &["timestamp", "value", "series", "label"], 2)?;
    let mut places: HashMap<String, usize> = HashMap::new();
    let mut found: Vec<(String, Vec<Row>)> = Vec::new();
    while table.next() {
        let Some(row) = row(&mut table) else { continue };
        let name = if table.text(2).is_empty() { &*alone } else { table.text(2) };
        match places.get(name).and_then(|place| found.get_mut(*place)) {
            Some((_, rows)) => rows.push(row),
            None => {
                places.insert(name.to_owned(), found.len());
                found.push((name.to_owned(), vec![row]));
            }
        }
    }
    table.finish()?;
    if found.is_empty() {
        return Err(at_start(path, "no rows".to_owned(), "write a row for every value"));
    }
    found.into_iter().map(|(name, rows)| series(path, name, rows)).collect()
}

/// The row a table is at; `None` after a problem was noted.
fn row(table: &mut Table) -> Option<Row> {
    let timestamp = table.text(0).to_owned();
    let Some(at_ms) = time::parse(&timestamp) else {
        let message = format!("{timestamp:?} is no time");
        table.wrong(0, &message, "write a time such as 2026-10-01 12:00:00");
        return None;
    };
    let value = if table.text(1).is_empty() { None } else { Some(table.number(1)?) };
    let label = Some(table.text(3)).filter(|label| !label.is_empty()).map(|label| label == "1");
    Some(Row { timestamp, at_ms, label, value })
}

fn series(path: &Path, name: String, rows: Vec<Row>) -> Result<Series, Problems> {
    let grid = grid(&rows);
    let points = points(&rows, grid);
    let slots = match (points.first(), points.last()) {
        (Some(first), Some(last)) => first.slot..last.slot + 1,
        _ => 0..0,
    };
    if slots.end - slots.start > MAX_SLOTS {
        let message = format!("{name:?} spans more than {MAX_SLOTS} slots of its usual step");
        return Err(at_start(path, message, "split it where its rows stop for long"));
    }
    Ok(Series { name, grid, slots, rows: Rows::Values(Values { rows, points }) })
}

/// The lawful length of slots that is nearest to the median step between rows.
fn grid(rows: &[Row]) -> Grid {
    let pairs = rows.iter().zip(rows.iter().skip(1));
    let mut steps: Vec<i64> =
        pairs.map(|(a, b)| b.at_ms - a.at_ms).filter(|step| *step > 0).collect();
    steps.sort_unstable();
    let step_ms = steps.get(steps.len() / 2).copied().unwrap_or(DEFAULT_STEP_MS);
    let nearest = LENGTHS.into_iter().min_by_key(|length| (length * 1_000 - step_ms).abs());
    Grid { slot_seconds: nearest.unwrap_or(Grid::FIVE_MINUTES.slot_seconds) }
}

/// Values by slot. Of several rows in a slot the last one holds, for it closes the slot; a row that is
/// older than the one before counts as of the same slot. Each value is moved up by the smallest one seen
/// up to then, if that is negative: never by a later one.
fn points(rows: &[Row], grid: Grid) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::with_capacity(rows.len());
    let mut lowest = 0.0_f64;
    for (row, Row { at_ms, value, .. }) in rows.iter().enumerate() {
        let Some(value) = value else { continue };
        lowest = lowest.min(*value);
        let last = points.last_mut();
        let slot = at_ms.div_euclid(grid.slot_seconds * 1_000);
        let slot = last.as_ref().map_or(slot, |last| slot.max(last.slot));
        let point = Point { slot, value: value - lowest, row };
        match last {
            Some(last) if last.slot == slot => *last = point,
            _ => points.push(point),
        }
    }
    points
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(at_s: i64, value: f64) -> Row {
        Row { timestamp: at_s.to_string(), at_ms: at_s * 1_000, label: None, value: Some(value) }
    }

    #[track_caller]
    fn check(rows: &[(i64, f64)], length: i64, expected: &[(i64, f64, usize)]) {
        let rows: Vec<Row> = rows.iter().map(|(at, value)| seen(*at, *value)).collect();
        let grid = grid(&rows);
        assert_eq!(grid.slot_seconds, length);
        let points = points(&rows, grid);
        let found: Vec<_> = points.iter().map(|at| (at.slot, at.value, at.row)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn the_grid_is_the_usual_step_and_gaps_have_no_point() {
        check(
            &[(0, 1.0), (300, 2.0), (603, 3.0), (1_800, 4.0)],
            300,
            &[(0, 1.0, 0), (1, 2.0, 1), (2, 3.0, 2), (6, 4.0, 3)],
        );
    }

    #[test]
    fn the_last_row_of_a_slot_closes_it_and_time_never_goes_back() {
        check(
            &[(0, 1.0), (3_600, 2.0), (3_700, 3.0), (7_200, 4.0), (60, 5.0), (10_800, 6.0)],
            3_600,
            &[(0, 1.0, 0), (1, 3.0, 2), (2, 5.0, 4), (3, 6.0, 5)],
        );
    }

    #[test]
    fn a_negative_value_moves_those_after_it_only() {
        check(
            &[(0, 1.0), (60, -2.0), (120, 1.0), (180, -5.0)],
            60,
            &[(0, 1.0, 0), (1, 0.0, 1), (2, 3.0, 2), (3, 0.0, 3)],
        );
    }
}
