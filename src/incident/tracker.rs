//! The life of incidents: n-th of a rule and scope, opened by a finding, escalated by severity,
//! resolved by silence.

use std::collections::BTreeMap;

use super::life::{self, Refused};
pub use super::weight::{DOUBT, ONE_STEP_USD, TRIFLE_USD, TWO_STEPS_USD, Weight, severity};
use super::{
    Announcement, Chart, Entry, Feedback, HISTORY_MAX, Incident, Kind, Severity, short_id,
};
use crate::action::{Action, Deed};
use crate::money::NanoUsd;
use crate::time::ArrivalTime;

/// Which incident: rule and scope, such as `TW-C01` and `account/deployment`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cause {
    /// Detector.
    pub rule: &'static str,
    /// What it is about.
    pub scope: String,
}

/// One incident with what the tracker needs to go on with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracked {
    /// What people are told.
    pub incident: Incident,
    /// Counts the incidents of this cause, from 1.
    pub n: i64,
    /// Highest severity seen when a window closed: the one that is compared between runs.
    pub closing_severity: Option<Severity>,
    /// Highest severity announced.
    pub announced: Severity,
    /// Cost in USD when it was last announced.
    pub announced_usd: f64,
    /// Escalations announced.
    pub escalations: u32,
    /// Closed slots without a finding, in a row.
    pub quiet: u32,
    /// Score of the finding that is shown.
    pub score: f64,
    /// USD above what was expected in the slots closed since the incident began.
    pub banked_usd: f64,
}

impl Tracked {
    /// Notes a moment of its life in the incident and for the audit trail.
    fn note(&mut self, changes: &mut Changes, entry: Entry) {
        let history = &mut self.incident.history;
        if history.len() >= HISTORY_MAX {
            // The beginning and the newest are what people look for.
            history.remove(HISTORY_MAX / 2);
        }
        history.push(entry.clone());
        changes.entries.push((self.incident.key.clone(), entry));
    }

    /// Moves along the table of [`life`] and notes the moment; what the table refuses changes nothing.
    fn step(&mut self, event: life::Event, changes: &mut Changes, entry: Entry) -> Option<Refused> {
        match life::after(self.incident.state, event) {
            Ok(state) => self.incident.state = state,
            Err(refused) => return Some(refused),
        }
        self.note(changes, entry);
        None
    }

    /// Whether a destination has ever heard of it.
    #[must_use]
    pub const fn is_told(&self) -> bool {
        !matches!(self.announced, Severity::Info) || self.escalations > 0
    }

    fn usd(&self) -> f64 {
        self.incident.cost.map_or(0.0, NanoUsd::usd)
    }
}

/// A finding on its way into an incident.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// The incident as seen now: without key, times of opening and resolution, and with the
    /// severity of this moment.
    pub incident: Incident,
    /// How far outside the band.
    pub score: f64,
    /// Whether the window may still change.
    pub verdict: Verdict,
    /// Whether destinations hear of it.
    pub hearing: Hearing,
}

/// Whether a verdict may still change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// An open window already exceeds its band.
    Early,
    /// The window has closed.
    Closing,
}

/// Whether destinations hear of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hearing {
    /// They do.
    Announce,
    /// A parent incident speaks for it.
    Inhibited,
}

/// What changed, to be stored and told.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Changes {
    /// Incidents that are new or different.
    pub incidents: Vec<(Cause, Tracked)>,
    /// What destinations are told.
    pub announcements: Vec<Announcement>,
    /// Moments for the audit trail, each with the incident's key.
    pub entries: Vec<(String, Entry)>,
}

impl Changes {
    /// Takes over the other's.
    pub fn extend(&mut self, other: Self) {
        self.incidents.extend(other.incidents);
        self.announcements.extend(other.announcements);
        self.entries.extend(other.entries);
    }

    fn save(&mut self, cause: &Cause, tracked: &Tracked) {
        self.incidents.push((cause.clone(), tracked.clone()));
    }

    fn tell(&mut self, kind: Kind, step: u32, at: ArrivalTime, incident: &Incident) {
        self.announcements.push(Announcement {
            kind,
            step,
            at,
            written: None,
            incident: incident.clone(),
        });
    }
}

/// Incidents of one account or of the estate: those that go on, and the newest past ones of each cause.
#[derive(Debug, Clone, Default)]
pub struct Tracker {
    lineage: String,
    reopen_ms: i64,
    /// True once people have said what an incident was.
    judged: bool,
    live: BTreeMap<Cause, Tracked>,
    past: BTreeMap<Cause, Vec<Tracked>>,
}

impl Tracker {
    /// A tracker for a database with this lineage. A cause that is seen again within `reopen_ms` of
    /// event time after the last anomalous window of its incident opens that incident again; 0: never.
    #[must_use]
    pub fn new(lineage: &str, reopen_ms: i64) -> Self {
        Self { lineage: lineage.to_owned(), reopen_ms, ..Self::default() }
    }

    /// Puts back a saved incident.
    pub fn restore(&mut self, cause: Cause, tracked: Tracked) {
        self.judged |= tracked.incident.feedback.is_some();
        if tracked.incident.state.is_live() {
            self.live.insert(cause, tracked);
        } else {
            self.remember(cause, tracked);
        }
    }

    fn remember(&mut self, cause: Cause, tracked: Tracked) {
        let past = self.past.entry(cause).or_default();
        past.push(tracked);
        past.sort_by_key(|tracked| tracked.n);
        if past.len() > PAST_MAX {
            past.remove(0);
        }
    }

    /// The incident of a cause that goes on.
    #[must_use]
    pub fn open(&self, cause: &Cause) -> Option<&Tracked> {
        self.live.get(cause)
    }

    /// Every incident that goes on.
    pub fn all_open(&self) -> impl Iterator<Item = (&Cause, &Tracked)> {
        self.live.iter()
    }

    /// Every incident that goes on, and the newest past ones of each cause.
    pub fn all(&self) -> impl Iterator<Item = (&Cause, &Tracked)> {
        let past = self.past.iter().flat_map(|(cause, past)| past.iter().map(move |p| (cause, p)));
        self.live.iter().chain(past)
    }

    /// A finding: opens an incident, opens the last one again, or goes on with the open one.
    pub fn found(&mut self, cause: &Cause, sighting: Sighting) -> Changes {
        let Sighting { incident: seen, score, verdict, hearing } = sighting;
        let at = seen.opened_at;
        let mut changes = Changes::default();
        let tracked = match self.live.get_mut(cause) {
            Some(tracked) => {
                merge(tracked, seen, score);
                tracked
            }
            None => self.begin(cause, seen, score, &mut changes),
        };
        if verdict == Verdict::Closing {
            tracked.quiet = 0;
            let now = tracked.incident.severity;
            tracked.closing_severity = Some(tracked.closing_severity.map_or(now, |s| s.max(now)));
        }
        if hearing == Hearing::Announce {
            announce(tracked, at, &mut changes);
        }
        changes.save(cause, tracked);
        changes
    }

    fn begin(
        &mut self,
        cause: &Cause,
        mut seen: Incident,
        score: f64,
        changes: &mut Changes,
    ) -> &mut Tracked {
        let at = seen.opened_at;
        let past = self.past.get_mut(cause);
        let newest = past.as_ref().and_then(|past| past.last());
        let n = newest.map_or(0, |newest| newest.n) + 1;
        let again = newest.is_some_and(|newest| returns(newest, &seen, self.reopen_ms));
        let tracked = match past.and_then(|past| past.pop_if(|_| again)) {
            Some(mut past) => {
                past.incident.returns += 1;
                past.incident.resolved_at = None;
                past.quiet = 0;
                let entry = moment(at, "opened again".to_owned());
                past.step(life::Event::Return, changes, entry);
                merge(&mut past, seen, score);
                if past.is_told() {
                    past.announced = past.announced.max(past.incident.severity);
                    let step = past.incident.returns.saturating_sub(1);
                    changes.tell(Kind::Reopen, step, at, &past.incident);
                }
                past
            }
            None => {
                seen.key = format!("{}|{}|{n}|{}", cause.rule, cause.scope, self.lineage);
                let severity = seen.severity;
                let mut tracked = Tracked {
                    incident: seen,
                    n,
                    closing_severity: None,
                    announced: Severity::Info,
                    announced_usd: 0.0,
                    escalations: 0,
                    quiet: 0,
                    score,
                    banked_usd: 0.0,
                };
                tracked.note(changes, moment(at, format!("opened, {severity}")));
                tracked
            }
        };
        self.live.entry(cause.clone()).or_insert(tracked)
    }

    /// Another rule found the same: the open incident of `cause` takes its severity and says so.
    pub fn confirm(&mut self, cause: &Cause, by: &Sighting) -> Changes {
        let mut changes = Changes::default();
        let Some(tracked) = self.live.get_mut(cause) else { return changes };
        let raised = by.incident.severity;
        if raised <= tracked.incident.severity {
            return changes;
        }
        let incident = &mut tracked.incident;
        incident.severity = raised;
        incident.evidence.extend(by.incident.evidence.iter().take(1).cloned());
        tracked.closing_severity = tracked.closing_severity.max(Some(raised));
        announce(tracked, by.incident.opened_at, &mut changes);
        changes.save(cause, tracked);
        changes
    }

    /// `child` is part of the story of `parent`; both go on.
    pub fn link(&mut self, parent: &Cause, child: &Cause) -> Changes {
        let mut changes = Changes::default();
        let key = |cause| self.live.get(cause).map(|tracked| tracked.incident.key.clone());
        let (Some(above), Some(below)) = (key(parent), key(child)) else { return changes };
        if let Some(tracked) = self.live.get_mut(child)
            && tracked.incident.parent.as_ref() != Some(&above)
        {
            let at = tracked.incident.opened_at;
            tracked.note(&mut changes, moment(at, format!("part of {}", short_id(&above))));
            tracked.incident.parent = Some(above);
            changes.save(child, tracked);
        }
        if let Some(tracked) = self.live.get_mut(parent)
            && !tracked.incident.children.contains(&below)
            && tracked.incident.children.len() < MAX_CHILDREN
        {
            tracked.incident.children.push(below);
            changes.save(parent, tracked);
        }
        changes
    }

    /// Makes one of its incidents, perhaps a past one, part of a chain whose key is `chain`, unless it is part
    /// of another story already. Of two chains the first in the table tells it.
    pub fn adopt(&mut self, (cause, key): (&Cause, &str), chain: &str) -> Changes {
        let mut changes = Changes::default();
        let Some(tracked) = self.named(cause, key) else { return changes };
        let parent = &mut tracked.incident.parent;
        let is_free =
            parent.as_deref().is_none_or(|known| known.starts_with("TW-X") && chain < known);
        if is_free {
            *parent = Some(chain.to_owned());
            changes.save(cause, tracked);
        }
        changes
    }

    /// Tells again of an incident that grew worse in a way that neither its severity nor its cost
    /// shows; `what` says how.
    pub fn escalate(&mut self, cause: &Cause, at: ArrivalTime, what: String) -> Changes {
        let mut changes = Changes::default();
        let Some(tracked) = self.live.get_mut(cause) else { return changes };
        tracked.step(life::Event::Worse, &mut changes, moment(at, what));
        tracked.announced_usd = tracked.usd();
        if !is_lawful(&tracked.incident) {
            let step = tracked.escalations;
            tracked.escalations += 1;
            changes.tell(Kind::Escalate, step, at, &tracked.incident);
        }
        changes.save(cause, tracked);
        changes
    }

    /// Writes a moment into an open incident, without telling of it.
    pub fn remark(&mut self, cause: &Cause, at: ArrivalTime, what: String) -> Changes {
        let mut changes = Changes::default();
        if let Some(tracked) = self.live.get_mut(cause) {
            tracked.note(&mut changes, moment(at, what));
            changes.save(cause, tracked);
        }
        changes
    }

    /// Adds the excess of a slot that has closed.
    pub fn bank(&mut self, cause: &Cause, usd: f64) -> Changes {
        let mut changes = Changes::default();
        if let Some(tracked) = self.live.get_mut(cause) {
            tracked.banked_usd += usd;
            changes.save(cause, tracked);
        }
        changes
    }

    /// Takes a newer chart of an open incident, to be told with whatever is told next.
    pub fn redraw(&mut self, cause: &Cause, chart: Option<Chart>) {
        if let Some(tracked) = self.live.get_mut(cause) {
            tracked.incident.chart = chart;
        }
    }

    /// A closed slot without a finding; the incident resolves after `enough` of them in a row.
    pub fn quiet(&mut self, cause: &Cause, enough: u32, at: ArrivalTime) -> Changes {
        let Some(tracked) = self.live.get_mut(cause) else { return Changes::default() };
        tracked.quiet += 1;
        if tracked.quiet < enough {
            let mut changes = Changes::default();
            changes.save(cause, tracked);
            return changes;
        }
        self.end(cause, life::Event::Calm, moment(at, "over".to_owned()))
    }

    fn end(&mut self, cause: &Cause, event: life::Event, entry: Entry) -> Changes {
        let mut changes = Changes::default();
        let Some(mut tracked) = self.live.remove(cause) else { return changes };
        let at = entry.at;
        tracked.step(event, &mut changes, entry);
        tracked.incident.resolved_at = Some(at);
        if tracked.is_told() {
            changes.tell(Kind::Resolve, tracked.incident.returns, at, &tracked.incident);
        }
        changes.save(cause, &tracked);
        self.remember(cause.clone(), tracked);
        changes
    }

    /// The cause of the incident with this key, live or the newest past one.
    fn cause_of(&self, key: &str) -> Option<Cause> {
        let named = self.all().find(|(_, tracked)| tracked.incident.key == key);
        named.map(|(cause, _)| cause.clone())
    }

    /// The incident with this key and cause.
    fn named(&mut self, cause: &Cause, key: &str) -> Option<&mut Tracked> {
        let past = self.past.get_mut(cause).into_iter().flatten();
        let mut all = self.live.get_mut(cause).into_iter().chain(past);
        all.find(|tracked| tracked.incident.key == key)
    }

    /// Does what a person asks of one incident; `None` when it is not one of these.
    pub fn act(&mut self, action: &Action) -> Option<(Changes, Result<String, String>)> {
        let key = action.deed.incident()?;
        let cause = self.cause_of(key)?;
        let goes_on = self.live.get(&cause).is_some_and(|tracked| tracked.incident.key == key);
        let mut changes = Changes::default();
        let said = |what: &str| match action.reason.as_str() {
            "" => what.to_owned(),
            reason => format!("{what}: {reason}"),
        };
        let entry = |what| Entry { at: action.at, author: action.author.clone(), what: said(what) };
        let outcome = match &action.deed {
            Deed::Acknowledge { .. } | Deed::Resolve { .. } if !goes_on => {
                Err(Refused::Over.to_string())
            }
            Deed::Acknowledge { .. } => {
                self.acknowledge(&cause, entry("acknowledged"), &mut changes)
            }
            Deed::Resolve { .. } => {
                changes = self.end(&cause, life::Event::Resolve, entry("resolved by hand"));
                Ok("resolved".to_owned())
            }
            Deed::Note { .. } => {
                self.write((&cause, key), entry("note"), None, &mut changes);
                Ok("noted".to_owned())
            }
            Deed::Judge { feedback, .. } => {
                let word = feedback.word();
                self.write((&cause, key), entry(word), Some(*feedback), &mut changes);
                Ok(format!("noted: {word}"))
            }
            // Steps are decided beside all trackers.
            Deed::Respond { .. } | Deed::Silence { .. } | Deed::Unsilence { .. } => return None,
        };
        Some((changes, outcome))
    }

    fn acknowledge(
        &mut self,
        cause: &Cause,
        entry: Entry,
        changes: &mut Changes,
    ) -> Result<String, String> {
        let Some(tracked) = self.live.get_mut(cause) else { return Err(Refused::Over.to_string()) };
        let at = entry.at;
        if let Some(refused) = tracked.step(life::Event::Acknowledge, changes, entry) {
            return Err(refused.to_string());
        }
        if tracked.is_told() {
            let taken = tracked.incident.history.iter().filter(|e| e.what.starts_with("acknow"));
            let step = u32::try_from(taken.count()).unwrap_or(u32::MAX).saturating_sub(1);
            changes.tell(Kind::Acknowledge, step, at, &tracked.incident);
        }
        changes.save(cause, tracked);
        Ok("acknowledged".to_owned())
    }

    fn write(
        &mut self,
        (cause, key): (&Cause, &str),
        entry: Entry,
        feedback: Option<Feedback>,
        changes: &mut Changes,
    ) {
        let Some(tracked) = self.named(cause, key) else { return };
        tracked.note(changes, entry);
        tracked.incident.feedback = feedback.or(tracked.incident.feedback);
        changes.save(cause, tracked);
        self.judged |= feedback.is_some();
    }

    /// Writes into the incident with this key, live or the newest past one; `None` when it is not here.
    pub fn tell_of(&mut self, key: &str, entry: Entry) -> Option<Changes> {
        let cause = self.cause_of(key)?;
        let mut changes = Changes::default();
        self.write((&cause, key), entry, None, &mut changes);
        Some(changes)
    }

    /// Whether people have said what an incident was.
    #[must_use]
    pub const fn is_judged(&self) -> bool {
        self.judged
    }

    /// Every incident with feedback and its lesson, to be worked out or brought up to date.
    pub fn lessons(&mut self) -> impl Iterator<Item = (&Cause, &mut Tracked)> {
        let past = self
            .past
            .iter_mut()
            .flat_map(|(cause, past)| past.iter_mut().map(move |tracked| (cause, tracked)));
        let all = self.live.iter_mut().chain(past);
        all.filter(|(_, tracked)| tracked.incident.feedback.is_some())
    }
}

/// Past incidents of one cause that can still be judged or opened again.
const PAST_MAX: usize = 20;
/// Incidents named as parts of another.
const MAX_CHILDREN: usize = 20;

const fn moment(at: ArrivalTime, what: String) -> Entry {
    Entry { at, author: String::new(), what }
}

/// Whether what is seen is the past incident going on.
fn returns(past: &Tracked, seen: &Incident, reopen_ms: i64) -> bool {
    let gap = seen.first_window.0.saturating_sub(past.incident.last_window.0);
    reopen_ms > 0 && gap < reopen_ms
}

/// Whether people called it lawful.
const fn is_lawful(incident: &Incident) -> bool {
    matches!(incident.feedback, Some(Feedback::Expected | Feedback::NewNormal))
}

/// Says what is new: that it began, got worse, or costs much more than was told.
fn announce(tracked: &mut Tracked, at: ArrivalTime, changes: &mut Changes) {
    let first = !tracked.is_told();
    let severity = tracked.incident.severity;
    let grown = life::has_grown(tracked.announced_usd, tracked.usd()) && !first;
    let lawful = is_lawful(&tracked.incident);
    // What people called lawful speaks again only when it is worth waking somebody.
    let worse = severity > tracked.announced && (!lawful || severity == Severity::Critical);
    if !(first || worse || (grown && !lawful)) {
        return;
    }
    tracked.announced_usd = tracked.usd();
    let (kind, step) = if first { (Kind::Open, 0) } else { (Kind::Escalate, tracked.escalations) };
    if !first {
        let what = if worse {
            format!("severity rose from {} to {severity}", tracked.announced)
        } else {
            format!("cost grew to {:.0} USD", tracked.usd())
        };
        tracked.step(life::Event::Worse, changes, moment(at, what));
    }
    tracked.announced = severity.max(tracked.announced).max(Severity::Low);
    if !first || severity == Severity::Info {
        tracked.escalations += 1;
    }
    changes.tell(kind, step, at, &tracked.incident);
}

/// Goes on with an incident: the worst finding is shown, spans and sums grow.
fn merge(tracked: &mut Tracked, seen: Incident, score: f64) {
    let known = &mut tracked.incident;
    known.first_window = known.first_window.min(seen.first_window);
    known.last_window = known.last_window.max(seen.last_window);
    known.severity = known.severity.max(seen.severity);
    known.cost = seen.cost;
    known.cost_per_day = seen.cost_per_day;
    known.callers = seen.callers;
    if !seen.children.is_empty() {
        known.children = seen.children;
    }
    known.confidence = known.confidence.max(seen.confidence);
    known.delay_azure_s = known.delay_azure_s.or(seen.delay_azure_s);
    known.chart = seen.chart;
    if known.first_call.is_none_or(|known| seen.first_call.is_some_and(|seen| seen < known)) {
        (known.first_call, known.first_arrival) = (seen.first_call, seen.first_arrival);
    }
    if score > tracked.score {
        tracked.score = score;
        known.observed = seen.observed;
        known.expected = seen.expected;
        known.bound = seen.bound;
        known.unit = seen.unit;
        known.evidence = seen.evidence;
        known.response = seen.response;
    }
}

#[cfg(test)]
#[path = "tracker_tests.rs"]
mod tests;
