//! The life of incidents: n-th of a rule and scope, opened by a finding, escalated by severity,
//! resolved by silence.

use std::collections::BTreeMap;

use super::life::{self, Refused};
use super::{
    Announcement, Chart, Entry, Feedback, HISTORY_MAX, Incident, Kind, Severity, short_id,
};
use crate::action::{Action, Deed};
use crate::money::NanoUsd;
use crate::time::ArrivalTime;

/// Money at risk in the next 24 hours from which the severity rises by one step.
pub const ONE_STEP_USD: f64 = 1_000.0;
/// And by two.
pub const TWO_STEPS_USD: f64 = 10_000.0;
/// Below this, a finding about money loses one step.
pub const TRIFLE_USD: f64 = 5.0;
/// Below this confidence, a finding loses one step.
pub const DOUBT: f64 = 0.5;

/// What severity depends on.
#[derive(Debug, Clone, Copy)]
pub struct Weight {
    /// The rule's own.
    pub base: Severity,
    /// True when the rule is about money.
    pub about_cost: bool,
    /// What goes on costing per day; `None` when unknown.
    pub per_day: Option<NanoUsd>,
    /// Certainty, 0 to 1.
    pub confidence: f64,
}

/// Severity from the rule's base, money at risk and confidence. Never critical without money.
#[must_use]
pub fn severity(weight: Weight) -> Severity {
    let usd = weight.per_day.map(NanoUsd::usd);
    let by_money = match usd {
        Some(usd) if usd >= TWO_STEPS_USD => 2,
        Some(usd) if usd >= ONE_STEP_USD => 1,
        Some(usd) if usd < TRIFLE_USD && weight.about_cost => -1,
        Some(_) | None => 0,
    };
    let by_doubt = if weight.confidence < DOUBT { -1 } else { 0 };
    let raised = weight.base.step(by_money + by_doubt);
    if usd.is_none_or(|usd| usd < ONE_STEP_USD) { raised.min(Severity::High) } else { raised }
}

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
    const fn is_told(&self) -> bool {
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
        self.announcements.push(Announcement { kind, step, at, incident: incident.clone() });
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

    /// Tells again of an open incident that grew worse in a way its severity does not show.
    pub fn escalate(&mut self, cause: &Cause, at: ArrivalTime) -> Changes {
        let mut changes = Changes::default();
        let Some(tracked) = self.live.get_mut(cause) else { return changes };
        let (kind, step) = (Kind::Escalate, tracked.escalations);
        tracked.escalations += 1;
        let incident = tracked.incident.clone();
        changes.announcements.push(Announcement { kind, step, at, incident });
        changes.incidents.push((cause.clone(), tracked.clone()));
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
        let past = self.past.iter().flat_map(|(cause, past)| past.iter().map(move |p| (cause, p)));
        let mut all = self.live.iter().chain(past);
        all.find(|(_, tracked)| tracked.incident.key == key).map(|(cause, _)| cause.clone())
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
            Deed::Silence { .. } | Deed::Unsilence { .. } => return None,
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
    seen.first_window.0 - past.incident.last_window.0 < reopen_ms
}

/// Says what is new: that it began, got worse, or costs much more than was told.
fn announce(tracked: &mut Tracked, at: ArrivalTime, changes: &mut Changes) {
    let first = !tracked.is_told();
    let severity = tracked.incident.severity;
    let grown = life::has_grown(tracked.announced_usd, tracked.usd()) && !first;
    let lawful =
        matches!(tracked.incident.feedback, Some(Feedback::Expected | Feedback::NewNormal));
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
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::incident::State;
    use crate::time::EventTime;

    fn incident(severity: Severity) -> Incident {
        Incident {
            rule: "TW-C01".to_owned(),
            account: "a".to_owned(),
            severity,
            opened_at: ArrivalTime(7),
            observed: 1.0,
            confidence: 1.0,
            ..Incident::default()
        }
    }

    fn sighting(severity: Severity, verdict: Verdict, hearing: Hearing) -> Sighting {
        Sighting { incident: incident(severity), score: 1.0, verdict, hearing }
    }

    fn kinds(changes: &Changes) -> Vec<(Kind, u32)> {
        changes.announcements.iter().map(|a| (a.kind, a.step)).collect()
    }

    #[test]
    fn an_incident_opens_once_escalates_and_resolves() {
        let mut tracker = Tracker::new("lineage", 0);
        let cause = Cause { rule: "TW-C01", scope: "a/d".to_owned() };
        let mut find = |severity, verdict| {
            tracker.found(&cause, sighting(severity, verdict, Hearing::Announce))
        };
        let first = find(Severity::Medium, Verdict::Early);
        assert_eq!(kinds(&first), [(Kind::Open, 0)]);
        assert_eq!(first.incidents[0].1.incident.key, "TW-C01|a/d|1|lineage");
        assert_eq!(kinds(&find(Severity::Medium, Verdict::Closing)), []);
        assert_eq!(kinds(&find(Severity::High, Verdict::Closing)), [(Kind::Escalate, 0)]);
        assert_eq!(kinds(&find(Severity::Critical, Verdict::Closing)), [(Kind::Escalate, 1)]);
        assert_eq!(kinds(&find(Severity::Low, Verdict::Closing)), []);
        assert_eq!(kinds(&tracker.quiet(&cause, 2, ArrivalTime(9))), []);
        let over = tracker.quiet(&cause, 2, ArrivalTime(10));
        assert_eq!(kinds(&over), [(Kind::Resolve, 0)]);
        assert_eq!(over.incidents[0].1.closing_severity, Some(Severity::Critical));
        assert_eq!(kinds(&tracker.quiet(&cause, 2, ArrivalTime(11))), []);
        let again =
            tracker.found(&cause, sighting(Severity::Low, Verdict::Closing, Hearing::Announce));
        assert_eq!(again.incidents[0].1.incident.key, "TW-C01|a/d|2|lineage");
        let said: Vec<&str> =
            over.incidents[0].1.incident.history.iter().map(|e| &*e.what).collect();
        let rose = ["severity rose from medium to high", "severity rose from high to critical"];
        assert_eq!(said, ["opened, medium", rose[0], rose[1], "over"]);
        let trail = [first, over].map(|changes| changes.entries.len());
        assert_eq!(trail, [1, 1], "each moment is in the audit trail once");
    }

    #[test]
    fn what_returns_soon_is_the_same_incident() {
        let mut tracker = Tracker::new("l", 1_000);
        let cause = Cause { rule: "TW-C01", scope: "a/d".to_owned() };
        let find = |tracker: &mut Tracker, at| {
            let mut seen = sighting(Severity::High, Verdict::Closing, Hearing::Announce);
            (seen.incident.first_window, seen.incident.last_window) =
                (EventTime(at), EventTime(at));
            let changes = tracker.found(&cause, seen);
            (kinds(&changes), changes.incidents[0].1.n)
        };
        assert_eq!(find(&mut tracker, 0), (vec![(Kind::Open, 0)], 1));
        assert_eq!(kinds(&tracker.quiet(&cause, 1, ArrivalTime(9))), [(Kind::Resolve, 0)]);
        assert_eq!(find(&mut tracker, 999), (vec![(Kind::Reopen, 0)], 1));
        assert_eq!(kinds(&tracker.quiet(&cause, 1, ArrivalTime(9))), [(Kind::Resolve, 1)]);
        assert_eq!(find(&mut tracker, 1_999), (vec![(Kind::Open, 0)], 2), "too late");
    }

    fn act(tracker: &mut Tracker, deed: Deed) -> (Vec<(Kind, u32)>, Result<String, String>) {
        let action = Action {
            id: 1,
            at: ArrivalTime(50),
            author: "ann".to_owned(),
            reason: "why".to_owned(),
            deed,
        };
        let (changes, outcome) = tracker.act(&action).unwrap();
        (kinds(&changes), outcome)
    }

    #[test]
    fn people_take_end_and_judge_incidents() {
        let mut tracker = Tracker::new("l", 0);
        let cause = Cause { rule: "TW-C01", scope: "a/d".to_owned() };
        let find = |tracker: &mut Tracker, severity| {
            kinds(&tracker.found(&cause, sighting(severity, Verdict::Closing, Hearing::Announce)))
        };
        find(&mut tracker, Severity::Medium);
        let incident = || "TW-C01|a/d|1|l".to_owned();
        let take = || Deed::Acknowledge { incident: incident() };
        let taken = act(&mut tracker, take());
        assert_eq!(taken, (vec![(Kind::Acknowledge, 0)], Ok("acknowledged".to_owned())));
        assert_eq!(act(&mut tracker, take()).1, Err(Refused::Taken.to_string()));
        assert_eq!(find(&mut tracker, Severity::Medium), []);
        assert_eq!(tracker.open(&cause).unwrap().incident.state, State::Acknowledged);
        assert_eq!(find(&mut tracker, Severity::High), [(Kind::Escalate, 0)]);
        assert_eq!(tracker.open(&cause).unwrap().incident.state, State::Open, "worse: look again");
        let judge = Deed::Judge { incident: incident(), feedback: Feedback::Expected };
        assert_eq!(act(&mut tracker, judge).1, Ok("noted: expected".to_owned()));
        let done = act(&mut tracker, Deed::Resolve { incident: incident() });
        assert_eq!(done, (vec![(Kind::Resolve, 0)], Ok("resolved".to_owned())));
        assert_eq!(act(&mut tracker, take()).1, Err(Refused::Over.to_string()));
        assert_eq!(
            act(&mut tracker, Deed::Note { incident: incident() }).1,
            Ok("noted".to_owned())
        );
        let elsewhere = Deed::Note { incident: "TW-C01|a/d|2|l".to_owned() };
        let unknown = Action {
            id: 2,
            at: ArrivalTime(0),
            author: String::new(),
            reason: String::new(),
            deed: elsewhere,
        };
        assert!(tracker.act(&unknown).is_none());
    }

    #[test]
    fn what_people_called_lawful_speaks_again_only_when_it_is_critical() {
        let mut tracker = Tracker::new("l", 0);
        let cause = Cause { rule: "TW-C01", scope: "a/d".to_owned() };
        let find = |tracker: &mut Tracker, severity, usd| {
            let mut seen = sighting(severity, Verdict::Closing, Hearing::Announce);
            seen.incident.cost = Some(NanoUsd::from_usd(usd));
            kinds(&tracker.found(&cause, seen))
        };
        assert_eq!(find(&mut tracker, Severity::Low, 10.0), [(Kind::Open, 0)]);
        assert_eq!(find(&mut tracker, Severity::Low, 109.0), []);
        assert_eq!(find(&mut tracker, Severity::Low, 110.0), [(Kind::Escalate, 0)], "money grew");
        let incident = "TW-C01|a/d|1|l".to_owned();
        let judge = Deed::Judge { incident, feedback: Feedback::NewNormal };
        assert!(act(&mut tracker, judge).1.is_ok());
        assert_eq!(find(&mut tracker, Severity::High, 900.0), []);
        assert_eq!(find(&mut tracker, Severity::Critical, 900.0), [(Kind::Escalate, 1)]);
    }

    #[test]
    fn a_child_knows_its_parent() {
        let mut tracker = Tracker::new("l", 0);
        let [parent, child] =
            ["TW-C01", "TW-C04"].map(|rule| Cause { rule, scope: "a/d".to_owned() });
        for cause in [&parent, &child] {
            let seen = sighting(Severity::High, Verdict::Closing, Hearing::Announce);
            tracker.found(cause, seen);
        }
        assert_eq!(tracker.link(&parent, &child).incidents.len(), 2);
        assert_eq!(tracker.link(&parent, &child), Changes::default(), "once");
        let [above, below] = [&parent, &child].map(|cause| &tracker.open(cause).unwrap().incident);
        assert_eq!(
            (below.parent.as_ref(), &above.children),
            (Some(&above.key), &vec![below.key.clone()])
        );
    }

    #[test]
    fn what_a_parent_tells_is_not_told_twice() {
        let mut tracker = Tracker::new("l", 0);
        let cause = Cause { rule: "TW-C04", scope: "a/d".to_owned() };
        let found = |tracker: &mut Tracker, hearing| {
            tracker.found(&cause, sighting(Severity::High, Verdict::Closing, hearing))
        };
        assert_eq!(kinds(&found(&mut tracker, Hearing::Inhibited)), []);
        assert_eq!(kinds(&found(&mut tracker, Hearing::Announce)), [(Kind::Open, 0)]);
    }

    #[test]
    fn a_confirmation_raises_the_parent_once() {
        let mut tracker = Tracker::new("l", 0);
        let cause = Cause { rule: "TW-C01", scope: "a/d".to_owned() };
        let high = sighting(Severity::Critical, Verdict::Closing, Hearing::Inhibited);
        assert_eq!(kinds(&tracker.confirm(&cause, &high)), []);
        let first = sighting(Severity::High, Verdict::Closing, Hearing::Announce);
        assert_eq!(kinds(&tracker.found(&cause, first)), [(Kind::Open, 0)]);
        assert_eq!(kinds(&tracker.confirm(&cause, &high)), [(Kind::Escalate, 0)]);
        assert_eq!(kinds(&tracker.confirm(&cause, &high)), []);
        assert_eq!(tracker.open(&cause).unwrap().closing_severity, Some(Severity::Critical));
    }

    #[test]
    fn money_and_doubt_move_the_severity() {
        let check = |usd: Option<f64>, confidence, about_cost, expected| {
            let per_day = usd.map(NanoUsd::from_usd);
            let weight = Weight { base: Severity::Medium, about_cost, per_day, confidence };
            assert_eq!(severity(weight), expected, "{usd:?} {confidence}");
        };
        check(Some(100.0), 0.9, true, Severity::Medium);
        check(Some(1_000.0), 0.9, true, Severity::High);
        check(Some(10_000.0), 0.9, true, Severity::Critical);
        check(Some(10_000.0), 0.4, true, Severity::High);
        check(Some(1.0), 0.9, true, Severity::Low);
        check(Some(1.0), 0.9, false, Severity::Medium);
        check(None, 0.9, true, Severity::Medium);
    }
}
