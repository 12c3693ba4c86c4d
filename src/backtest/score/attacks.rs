//! Labelled attacks: which were found, how soon, and how often an alert was false.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::super::attacks::Info;
use super::super::table::{Table, find};
use super::{Moment, Moments};
use crate::detect::baseline::as_float;
use crate::problem::Problems;

/// Alerts of a series within so many seconds of the first one are one episode, as a pager would repeat it.
pub const EPISODE_S: i64 = 6 * 3_600;
/// An alert so long after the end of an attack is still about it.
const GRACE_S: f64 = 3_600.0;
/// And for so long after that, an alert is neither right nor wrong: the same incident goes on.
const RESIDUE_S: f64 = 86_400.0;
/// Seconds in a week.
pub const WEEK_S: f64 = 604_800.0;
/// Rates of false alerts per series and week that a sweep looks for.
pub const BUDGETS: [f64; 6] = [0.05, 0.1, 0.25, 0.5, 1.0, 2.0];

/// What was injected.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// First second.
    pub start: f64,
    /// Last second.
    pub end: f64,
    /// What it is called.
    pub kind: String,
    /// Whether it should be found; what is lawful is neutral.
    pub attack: bool,
}

/// Alerts and what they are held against.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Exam {
    /// What was injected, by series.
    pub events: BTreeMap<String, Vec<Event>>,
    /// What changed lawfully, by series: an alert there is false like any other, and counted apart too.
    pub lawful: BTreeMap<String, Vec<Event>>,
    /// What was said.
    pub scores: Moments,
    /// First and last second that count.
    pub span: (f64, f64),
    /// Weeks of all series together.
    pub weeks: f64,
}

/// How good alerts were at one threshold.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Marks {
    /// From which score on a moment was an alert.
    pub threshold: f64,
    /// Share of the attacks that were found.
    pub recall: f64,
    /// Mean of that over the kinds.
    pub macro_recall: f64,
    /// Attacks found among attacks found and false alerts.
    pub precision: f64,
    /// Harmonic mean of recall and precision.
    pub f1: f64,
    /// Episodes that open outside every attack, its residue and neutral spans.
    pub false_alerts: u32,
    /// The same per series and week.
    pub false_alerts_per_week: f64,
    /// Attacks found.
    pub detected: u32,
    /// All of them.
    pub events: u32,
    /// Minutes from the start of an attack to its first alert, of those found: median.
    pub minutes_to_detect_median: Option<f64>,
    /// And 95th percentile.
    pub minutes_to_detect_p95: Option<f64>,
    /// Mean share of an attack that was over when the first alert came; 1 where none came.
    pub burn: f64,
    /// The same by kind.
    pub kinds: BTreeMap<String, KindMarks>,
    /// Lawful changes by kind; empty where the track names none.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub lawful: BTreeMap<String, LawfulMarks>,
}

/// How often one kind of lawful change raised an alert.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct LawfulMarks {
    /// How many changes there were.
    pub events: u32,
    /// How many raised at least one alert that opens within their span.
    pub alerted: u32,
    /// Alerts that open within their spans.
    pub alerts: u32,
}

/// How good alerts were about one kind of attack.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct KindMarks {
    /// How many there were.
    pub events: u32,
    /// How many were found.
    pub detected: u32,
    /// Share found.
    pub recall: f64,
    /// Minutes to the first alert: median.
    pub minutes_to_detect_median: Option<f64>,
}

/// What an episode was.
enum Episode {
    Right,
    Neutral,
    False,
}

impl Exam {
    /// Of a track of attacks with its labels.
    ///
    /// # Errors
    ///
    /// All that is wrong with the labels.
    pub fn of(folder: &Path, track: &str, info: Info, scores: Moments) -> Result<Self, Problems> {
        let span = (as_float(info.score_from), as_float(info.score_to));
        let weeks = as_float(info.series) * (span.1 - span.0) / WEEK_S;
        let events = labels(
            &find(folder, &format!("{track}_labels.csv")),
            &[("attack", true), ("neutral", false)],
        )?;
        let path = find(folder, &format!("{track}_lawful.csv"));
        let lawful =
            if path.exists() { labels(&path, &[("lawful", false)])? } else { BTreeMap::new() };
        Ok(Self { events, lawful, scores, span, weeks })
    }

    /// Takes what was injected into the series of another draw, which are called `name` here.
    pub fn add(&mut self, draw: &Self, name: impl Fn(&str) -> String) {
        let ((from, to), (other_from, other_to)) = (self.span, draw.span);
        let is_first = self.weeks == 0.0;
        self.span = if is_first { draw.span } else { (from.min(other_from), to.max(other_to)) };
        self.weeks += draw.weeks;
        for (all, more) in [(&mut self.events, &draw.events), (&mut self.lawful, &draw.lawful)] {
            all.extend(more.iter().map(|(series, events)| (name(series), events.clone())));
        }
    }

    /// How good they are where a score of `threshold` fires.
    #[must_use]
    pub fn at(&self, threshold: f64) -> Marks {
        let mut delays: BTreeMap<&str, (u32, Vec<f64>)> = BTreeMap::new();
        let mut burnt = Vec::new();
        for (series, events) in &self.events {
            let fired: Vec<f64> = self.fired(series, threshold).collect();
            for event in events.iter().filter(|event| event.attack) {
                let (count, found) = delays.entry(&event.kind).or_default();
                *count += 1;
                let delay = delay(event, &fired);
                found.extend(delay);
                let length = (event.end - event.start).max(1.0);
                burnt.push(delay.map_or(1.0, |delay| (delay / length).min(1.0)));
            }
        }
        self.marks(threshold, self.false_alerts_at(threshold), delays, mean(&burnt))
    }

    /// Episodes that are false where a score of `threshold` fires.
    #[must_use]
    pub fn false_alerts_at(&self, threshold: f64) -> u32 {
        self.scores.keys().map(|series| self.false_alerts(series, threshold)).sum()
    }

    /// Whether an alert of this series at this moment would be false.
    #[must_use]
    pub fn is_clear(&self, series: &str, at: f64) -> bool {
        let events = self.events.get(series).map_or(&[][..], Vec::as_slice);
        matches!(episode(at, events), Episode::False)
    }

    /// Lawful changes and the alerts that open within them, where a score of `threshold` fires.
    fn lawful(&self, threshold: f64) -> BTreeMap<String, LawfulMarks> {
        let mut kinds: BTreeMap<String, LawfulMarks> = BTreeMap::new();
        for (series, changes) in &self.lawful {
            let opened: Vec<f64> = openings(self.fired(series, threshold)).collect();
            for change in changes {
                let within = |at: &&f64| change.start < **at && **at <= change.end;
                let alerts =
                    u32::try_from(opened.iter().filter(within).count()).unwrap_or(u32::MAX);
                let marks = kinds.entry(change.kind.clone()).or_default();
                marks.events += 1;
                marks.alerted += u32::from(alerts > 0);
                marks.alerts = marks.alerts.saturating_add(alerts);
            }
        }
        kinds
    }

    /// The marks at the lowest threshold whose false alerts stay within `budget` per series and week; above
    /// every score where there is none.
    #[must_use]
    pub fn within(&self, budget: f64) -> Marks {
        let within = |moment: &&Moment| self.counts(moment.at);
        let mut scores: Vec<f64> =
            self.scores.values().flatten().filter(within).map(|moment| moment.score).collect();
        scores.sort_by(f64::total_cmp);
        scores.dedup();
        let Some(highest) = scores.last() else { return self.at(1.0) };
        // False alerts fall with the threshold but for episodes that come apart, which is rare.
        let too_many = scores.partition_point(|score| self.rate(*score) > budget);
        self.at(scores.get(too_many).copied().unwrap_or(highest * 1.0001 + 1e-12))
    }

    fn rate(&self, threshold: f64) -> f64 {
        f64::from(self.false_alerts_at(threshold)) / self.weeks
    }

    fn counts(&self, at: f64) -> bool {
        self.span.0 <= at && at <= self.span.1
    }

    fn fired<'s>(&'s self, series: &str, threshold: f64) -> impl Iterator<Item = f64> + use<'s> {
        let moments = self.scores.get(series).map_or(&[][..], Vec::as_slice);
        let fires = move |moment: &&Moment| moment.score >= threshold && self.counts(moment.at);
        moments.iter().filter(fires).map(|moment| moment.at)
    }

    fn false_alerts(&self, series: &str, threshold: f64) -> u32 {
        let opened = openings(self.fired(series, threshold));
        let count = opened.filter(|at| self.is_clear(series, *at)).count();
        u32::try_from(count).unwrap_or(u32::MAX)
    }

    fn marks(
        &self,
        threshold: f64,
        false_alerts: u32,
        delays: BTreeMap<&str, (u32, Vec<f64>)>,
        burn: f64,
    ) -> Marks {
        let mut all: Vec<f64> = delays.values().flat_map(|(_, found)| found).copied().collect();
        let kinds: BTreeMap<String, KindMarks> = delays
            .into_iter()
            .map(|(kind, (events, mut found))| {
                let detected = u32::try_from(found.len()).unwrap_or(u32::MAX);
                let recall = f64::from(detected) / f64::from(events);
                let minutes_to_detect_median = minutes(&mut found, 0.5);
                let marks = KindMarks { events, detected, recall, minutes_to_detect_median };
                (kind.to_owned(), marks)
            })
            .collect();
        let events: u32 = kinds.values().map(|kind| kind.events).sum();
        let detected: u32 = kinds.values().map(|kind| kind.detected).sum();
        let recall = share(detected, events);
        let precision = share(detected, detected.saturating_add(false_alerts));
        let recalls: Vec<f64> = kinds.values().map(|kind| kind.recall).collect();
        let sum = precision + recall;
        Marks {
            threshold,
            recall,
            macro_recall: mean(&recalls),
            precision,
            f1: if sum > 0.0 { 2.0 * precision * recall / sum } else { 0.0 },
            false_alerts,
            false_alerts_per_week: f64::from(false_alerts) / self.weeks,
            detected,
            events,
            minutes_to_detect_median: minutes(&mut all, 0.5),
            minutes_to_detect_p95: minutes(&mut all, 0.95),
            burn,
            kinds,
            lawful: self.lawful(threshold),
        }
    }
}

/// The alerts that open an episode, of alerts in the order of time.
pub(super) fn openings(alerts: impl Iterator<Item = f64>) -> impl Iterator<Item = f64> {
    let mut open_until = f64::NEG_INFINITY;
    alerts.filter(move |at| {
        let opens = *at >= open_until;
        if opens {
            open_until = at + as_float(EPISODE_S);
        }
        opens
    })
}

/// Seconds to the first alert about an event. One at its very start saw nothing of it.
fn delay(event: &Event, fired: &[f64]) -> Option<f64> {
    let first = fired.get(fired.partition_point(|at| *at <= event.start))?;
    (*first <= event.end + GRACE_S).then_some(first - event.start)
}

fn episode(at: f64, events: &[Event]) -> Episode {
    let about = |event: &Event| event.attack && event.start < at && at <= event.end + GRACE_S;
    let near = |event: &Event| match event.attack {
        true => event.end + GRACE_S < at && at <= event.end + GRACE_S + RESIDUE_S,
        false => event.start < at && at <= event.end,
    };
    if events.iter().any(about) {
        Episode::Right
    } else if events.iter().any(near) {
        Episode::Neutral
    } else {
        Episode::False
    }
}

/// A quantile of seconds, in minutes, between the two nearest values; `None` of none.
fn minutes(seconds: &mut [f64], share: f64) -> Option<f64> {
    seconds.sort_by(f64::total_cmp);
    let last = u32::try_from(seconds.len().checked_sub(1)?).unwrap_or(u32::MAX);
    let place = share * f64::from(last);
    let below = (0..=last).rev().find(|rank| f64::from(*rank) <= place).unwrap_or(0);
    let at = |rank: u32| seconds.get(usize::try_from(rank).unwrap_or(usize::MAX)).copied();
    let (low, high) = (at(below)?, at((below + 1).min(last))?);
    Some((low + (high - low) * (place - f64::from(below))) / 60.0)
}

fn share(part: u32, whole: u32) -> f64 {
    if whole == 0 { 0.0 } else { f64::from(part) / f64::from(whole) }
}

fn mean(values: &[f64]) -> f64 {
    let count = u32::try_from(values.len()).unwrap_or(u32::MAX).max(1);
    values.iter().sum::<f64>() / f64::from(count)
}

/// Events by series from a file of labels; `kinds` are the words it may use, and which of them is an attack.
fn labels(path: &Path, kinds: &[(&str, bool)]) -> Result<BTreeMap<String, Vec<Event>>, Problems> {
    let mut table = Table::open(path, &["series", "start", "end", "type", "kind"], 5)?;
    let mut events: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    while table.next() {
        let (start, end) = (table.number(1), table.number(2));
        let word = table.text(4);
        let attack = kinds.iter().find(|(known, _)| *known == word).map(|(_, attack)| *attack);
        if attack.is_none() {
            let message = format!("{word:?} is no kind of event");
            let words: Vec<&str> = kinds.iter().map(|(known, _)| *known).collect();
            table.wrong(4, &message, &format!("write {}", words.join(" or ")));
        }
        if let (Some(start), Some(end), Some(attack)) = (start, end, attack) {
            let event = Event { start, end, kind: table.text(3).to_owned(), attack };
            events.entry(table.text(0).to_owned()).or_default().push(event);
        }
    }
    table.finish()?;
    Ok(events)
}
