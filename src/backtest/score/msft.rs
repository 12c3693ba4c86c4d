//! Labels beside values, as in Microsoft's Cloud Monitoring Dataset.

use std::collections::BTreeMap;

use super::super::alert::Alert;
use super::super::track::{Rows, Track};
use super::super::values::{Row, Values};
use super::attacks::WEEK_S;
use super::{Event, Exam, moments};
use crate::detect::baseline::as_float;

/// Labels at most so many rows apart are one event.
const JOINED_ROWS: usize = 3;
/// One part in so many of a series is there to learn from, and not scored.
const WARM_UP: usize = 4;

/// Alerts held against the labels of a track; `None` where it has none.
#[must_use]
pub fn exam(track: &Track, alerts: &[Alert]) -> Option<Exam> {
    let mut events = BTreeMap::new();
    let mut times = BTreeMap::new();
    let mut weeks = 0.0;
    for series in &track.series {
        let Rows::Values(values) = &series.rows else { return None };
        let rows = values.rows();
        let cut = rows.len() / WARM_UP;
        let (first, last) = (rows.get(cut)?, rows.last()?);
        first.label?;
        weeks += (seconds(last) - seconds(first)) / WEEK_S;
        events.insert(series.name.clone(), labelled(rows, cut));
        let at = rows.iter().map(|row| (row.timestamp.as_str(), seconds(row)));
        times.insert(series.name.as_str(), (seconds(first), at.collect::<BTreeMap<_, _>>()));
    }
    let scores = moments(alerts, |series, timestamp| {
        let (from, at) = times.get(series)?;
        at.get(timestamp).copied().filter(|at| at >= from)
    });
    Some(Exam {
        events,
        lawful: BTreeMap::new(),
        scores,
        span: (f64::NEG_INFINITY, f64::INFINITY),
        weeks,
    })
}

/// When the row came that closes a slot, in seconds since 1970; `None` of what is there to learn from.
#[must_use]
pub fn moment(values: &Values, slot: i64) -> Option<i64> {
    let rows = values.rows();
    let (cut, row) = (rows.get(rows.len() / WARM_UP)?, values.row(slot)?);
    (row.at_ms >= cut.at_ms).then(|| row.at_ms.div_euclid(1_000))
}

/// Runs of labels from row `cut` on.
fn labelled(rows: &[Row], cut: usize) -> Vec<Event> {
    let mut events: Vec<(Event, usize)> = Vec::new();
    for (place, row) in rows.iter().enumerate().skip(cut).filter(|(_, row)| row.label == Some(true))
    {
        match events.last_mut() {
            Some((event, last)) if place - *last <= JOINED_ROWS => {
                event.end = seconds(row);
                *last = place;
            }
            _ => {
                // A row is told at its own time, so an alert at the first one is in time.
                let (start, end) = (seconds(row) - 1.0, seconds(row));
                events.push((Event { start, end, kind: "msft".to_owned(), attack: true }, place));
            }
        }
    }
    events.into_iter().map(|(event, _)| event).collect()
}

fn seconds(row: &Row) -> f64 {
    as_float(row.at_ms.div_euclid(1_000))
}
