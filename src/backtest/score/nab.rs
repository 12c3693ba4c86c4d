//! The score of the Numenta Anomaly Benchmark, by labelled windows.
//!
//! What an alert is worth falls with its distance from the beginning of its window (Lavin and Ahmad 2015,
//! "Evaluating Real-time Anomaly Detection Algorithms: the Numenta Anomaly Benchmark").

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::super::alert::Alert;
use super::super::table::{at_start, unreadable};
use super::super::track::{Rows, Track};
use super::super::values::Row;
use crate::problem::Problems;

/// Share of a series that is there to learn from, and not scored.
const PROBATION: f64 = 0.15;
/// Rows above which that share grows no more.
const PROBATION_ROWS: f64 = 5_000.0;
/// Characters of a time that tell rows apart: `2014-04-01 00:00:00`.
const TIME_LENGTH: usize = 19;

/// What a right alert, a false one and a missed window are worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Profile {
    /// What it is called.
    pub name: &'static str,
    hit: f64,
    false_alert: f64,
    miss: f64,
}

/// The benchmark's three profiles.
pub const PROFILES: [Profile; 3] = [
    Profile { name: "standard", hit: 1.0, false_alert: 0.11, miss: 1.0 },
    Profile { name: "reward low false positives", hit: 1.0, false_alert: 0.22, miss: 1.0 },
    Profile { name: "reward low false negatives", hit: 1.0, false_alert: 0.11, miss: 2.0 },
];

/// How good alerts were in one profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NabMarks {
    /// Which.
    pub profile: &'static str,
    /// 100 is perfect, 0 is what saying nothing earns.
    pub score: f64,
    /// From which score on a row was an alert.
    pub threshold: f64,
    /// Labelled windows.
    pub windows: u32,
}

/// Labelled windows by series: first and last time.
type Windows = BTreeMap<String, Vec<(String, String)>>;

/// A row that counts: its score, what an alert on it is worth, and its window.
struct Point<'a> {
    score: f64,
    worth: f64,
    window: Option<(&'a str, usize)>,
}

/// Alerts and the windows they are held against.
#[derive(Debug, Clone, PartialEq)]
pub struct NabExam<'a> {
    track: &'a Track,
    windows: Windows,
    scores: BTreeMap<(&'a str, &'a str), f64>,
}

impl<'a> NabExam<'a> {
    /// Of a track with its file `TRACK_windows.json`.
    ///
    /// # Errors
    ///
    /// What is wrong with that file.
    pub fn of(folder: &Path, track: &'a Track, alerts: &'a [Alert]) -> Result<Self, Problems> {
        let path = folder.join(format!("{}_windows.json", track.name));
        let text = std::fs::read_to_string(&path).map_err(|error| unreadable(&path, &error))?;
        let windows: Windows = serde_json::from_str(&text).map_err(|error| {
            let mend = "write a list of [first time, last time] for each series";
            at_start(&path, format!("cannot be read: {error}"), mend)
        })?;
        let absent = track.series.iter().find(|series| !windows.contains_key(&series.name));
        if let Some(series) = absent {
            let mend = "name every series there; one without windows has an empty list";
            return Err(at_start(&path, format!("{:?} is missing", series.name), mend));
        }
        let scores = alerts
            .iter()
            .map(|alert| ((alert.series.as_str(), alert.timestamp.as_str()), alert.score));
        Ok(Self { track, windows, scores: scores.collect() })
    }

    /// The score in a profile where `threshold` fires; by the benchmark's own protocol, that of the best
    /// threshold, where it is `None`.
    #[must_use]
    pub fn marks(&self, profile: &Profile, threshold: Option<f64>) -> NabMarks {
        let mut points: Vec<Point<'_>> = Vec::new();
        let mut windows = 0;
        for series in &self.track.series {
            let (Rows::Values(values), Some(spans)) =
                (&series.rows, self.windows.get(&series.name))
            else {
                continue;
            };
            windows += u32::try_from(spans.len()).unwrap_or(u32::MAX);
            points.extend(self.points(&series.name, values.rows(), spans, profile));
        }
        points.sort_by(|a, b| b.score.total_cmp(&a.score));
        let mut hits: BTreeMap<(&str, usize), f64> = BTreeMap::new();
        for point in &points {
            hits.extend(point.window.map(|window| (window, -profile.miss)));
        }
        let nothing: f64 = hits.values().sum();
        let (mut reached, mut best) = (nothing, (nothing, 2.0));
        let mut rest = points.as_slice();
        while let Some(score) = rest.first().map(|point| point.score).filter(|score| *score > 0.0) {
            if threshold.is_some_and(|threshold| score < threshold) {
                break;
            }
            // Rows of one score fire together.
            let (now, later) = rest.split_at(rest.partition_point(|point| point.score >= score));
            reached += now.iter().map(|point| gain(point, &mut hits)).sum::<f64>();
            if reached > best.0 {
                best = (reached, score);
            }
            rest = later;
        }
        let (raw, threshold) = threshold.map_or(best, |threshold| (reached, threshold));
        let perfect = profile.hit * f64::from(windows);
        let score = 100.0 * (raw - nothing) / (perfect - nothing);
        NabMarks { profile: profile.name, score, threshold, windows }
    }

    /// The rows of a series that count.
    fn points<'s>(
        &'s self,
        series: &'s str,
        rows: &'s [Row],
        spans: &[(String, String)],
        profile: &Profile,
    ) -> Vec<Point<'s>> {
        let at: BTreeMap<&str, usize> =
            rows.iter().enumerate().map(|(place, row)| (row.timestamp.as_str(), place)).collect();
        let place = |time: &str| at.get(time.get(..TIME_LENGTH).unwrap_or(time)).copied();
        let spans: Vec<(usize, usize)> =
            spans.iter().filter_map(|(first, last)| place(first).zip(place(last))).collect();
        let probation = (PROBATION * count(rows.len())).floor().min(PROBATION * PROBATION_ROWS);
        let mut points = Vec::new();
        let (mut next, mut before) = (0, None);
        for (place, row) in rows.iter().enumerate() {
            let ahead = spans.get(next).copied();
            let within = ahead.filter(|(first, last)| (*first..=*last).contains(&place));
            let worth = match (within, before) {
                (Some((first, last)), _) => {
                    let left = count(last - place + 1) / count(last - first + 1);
                    scaled(-left) * profile.hit / scaled(-1.0)
                }
                (None, None) => -profile.false_alert,
                (None, Some((first, last))) => {
                    let length: usize = last - first;
                    let since = count(place - last) / count(length.max(1));
                    scaled(since) * profile.false_alert
                }
            };
            if count(place) >= probation {
                let score = self.scores.get(&(series, row.timestamp.as_str()));
                let score = score.copied().unwrap_or(0.0);
                points.push(Point { score, worth, window: within.map(|_| (series, next)) });
            }
            if let Some(span) = ahead.filter(|(_, last)| *last == place) {
                (before, next) = (Some(span), next + 1);
            }
        }
        points
    }
}

/// What a row adds: a false alert its cost, one in a window what it is better than the best so far.
fn gain<'s>(point: &Point<'s>, hits: &mut BTreeMap<(&'s str, usize), f64>) -> f64 {
    let best = point.window.and_then(|window| hits.get_mut(&window));
    match best {
        None => point.worth,
        Some(best) if point.worth > *best => {
            let gain = point.worth - *best;
            *best = point.worth;
            gain
        }
        Some(_) => 0.0,
    }
}

/// From 1 deep inside a window through 0 at its end to −1 three lengths behind it.
fn scaled(place: f64) -> f64 {
    if place > 3.0 { -1.0 } else { 2.0 / (1.0 + (5.0 * place).exp()) - 1.0 }
}

/// Rows as a float.
fn count(rows: usize) -> f64 {
    f64::from(u32::try_from(rows).unwrap_or(u32::MAX))
}
