//! The life of incidents: n-th of a rule and scope, opened by a finding, escalated by severity,
//! resolved by silence.

use std::collections::BTreeMap;

use super::{Announcement, Incident, Kind, Severity, State};
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
    /// Escalations announced.
    pub escalations: u32,
    /// Closed slots without a finding, in a row.
    pub quiet: u32,
    /// Score of the finding that is shown.
    pub score: f64,
    /// USD above what was expected in the slots closed since the incident began.
    pub banked_usd: f64,
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
}

impl Changes {
    /// Takes over the other's.
    pub fn extend(&mut self, other: Self) {
        self.incidents.extend(other.incidents);
        self.announcements.extend(other.announcements);
    }
}

/// Open incidents and the count of past ones, of one account or of the estate.
#[derive(Debug, Clone, Default)]
pub struct Tracker {
    lineage: String,
    counts: BTreeMap<Cause, i64>,
    open: BTreeMap<Cause, Tracked>,
}

impl Tracker {
    /// A tracker for a database with this lineage.
    #[must_use]
    pub fn new(lineage: &str) -> Self {
        Self { lineage: lineage.to_owned(), ..Self::default() }
    }

    /// Puts back a saved incident.
    pub fn restore(&mut self, cause: Cause, tracked: Tracked) {
        let count = self.counts.entry(cause.clone()).or_default();
        *count = (*count).max(tracked.n);
        if tracked.incident.state.is_live() {
            self.open.insert(cause, tracked);
        }
    }

    /// The open incident of a cause.
    #[must_use]
    pub fn open(&self, cause: &Cause) -> Option<&Tracked> {
        self.open.get(cause)
    }

    /// Every open incident.
    pub fn all_open(&self) -> impl Iterator<Item = (&Cause, &Tracked)> {
        self.open.iter()
    }

    /// A finding: opens an incident or goes on with the open one.
    pub fn found(&mut self, cause: &Cause, sighting: Sighting) -> Changes {
        let Sighting { incident: seen, score, verdict, hearing } = sighting;
        let at = seen.opened_at;
        let mut changes = Changes::default();
        let tracked = match self.open.get_mut(cause) {
            Some(tracked) => {
                merge(tracked, seen, score);
                tracked
            }
            None => self.begin(cause, seen, score),
        };
        if verdict == Verdict::Closing {
            tracked.quiet = 0;
            let now = tracked.incident.severity;
            tracked.closing_severity = Some(tracked.closing_severity.map_or(now, |s| s.max(now)));
        }
        let first = tracked.announced == Severity::Info && tracked.escalations == 0;
        if hearing == Hearing::Announce && (first || tracked.incident.severity > tracked.announced)
        {
            let kind = if first { Kind::Open } else { Kind::Escalate };
            tracked.announced = tracked.incident.severity.max(Severity::Low);
            let step = tracked.escalations;
            if !first || tracked.incident.severity == Severity::Info {
                tracked.escalations += 1;
            }
            let incident = tracked.incident.clone();
            changes.announcements.push(Announcement { kind, step, at, incident });
        }
        changes.incidents.push((cause.clone(), tracked.clone()));
        changes
    }

    fn begin(&mut self, cause: &Cause, mut seen: Incident, score: f64) -> &mut Tracked {
        let n = self.counts.entry(cause.clone()).or_default();
        *n += 1;
        seen.key = format!("{}|{}|{n}|{}", cause.rule, cause.scope, self.lineage);
        let tracked = Tracked {
            incident: seen,
            n: *n,
            closing_severity: None,
            announced: Severity::Info,
            escalations: 0,
            quiet: 0,
            score,
            banked_usd: 0.0,
        };
        self.open.entry(cause.clone()).or_insert(tracked)
    }

    /// Another rule found the same: the open incident of `cause` takes its severity and says so.
    pub fn confirm(&mut self, cause: &Cause, by: &Sighting) -> Changes {
        let mut changes = Changes::default();
        let Some(tracked) = self.open.get_mut(cause) else { return changes };
        let raised = by.incident.severity;
        if raised <= tracked.incident.severity {
            return changes;
        }
        let incident = &mut tracked.incident;
        incident.severity = raised;
        incident.evidence.extend(by.incident.evidence.iter().take(1).cloned());
        tracked.closing_severity = tracked.closing_severity.max(Some(raised));
        tracked.announced = raised;
        let (step, at) = (tracked.escalations, by.incident.opened_at);
        tracked.escalations += 1;
        let incident = tracked.incident.clone();
        changes.announcements.push(Announcement { kind: Kind::Escalate, step, at, incident });
        changes.incidents.push((cause.clone(), tracked.clone()));
        changes
    }

    /// Tells again of an open incident that grew worse in a way its severity does not show.
    pub fn escalate(&mut self, cause: &Cause, at: ArrivalTime) -> Changes {
        let mut changes = Changes::default();
        let Some(tracked) = self.open.get_mut(cause) else { return changes };
        let (kind, step) = (Kind::Escalate, tracked.escalations);
        tracked.escalations += 1;
        let incident = tracked.incident.clone();
        changes.announcements.push(Announcement { kind, step, at, incident });
        changes.incidents.push((cause.clone(), tracked.clone()));
        changes
    }

    /// Adds the excess of a slot that has closed.
    pub fn bank(&mut self, cause: &Cause, usd: f64) {
        if let Some(tracked) = self.open.get_mut(cause) {
            tracked.banked_usd += usd;
        }
    }

    /// A closed slot without a finding; the incident resolves after `enough` of them in a row.
    pub fn quiet(&mut self, cause: &Cause, enough: u32, at: ArrivalTime) -> Changes {
        let mut changes = Changes::default();
        let Some(tracked) = self.open.get_mut(cause) else { return changes };
        tracked.quiet += 1;
        if tracked.quiet >= enough
            && let Some(mut tracked) = self.open.remove(cause)
        {
            tracked.incident.state = State::Resolved;
            tracked.incident.resolved_at = Some(at);
            if tracked.announced > Severity::Info || tracked.escalations > 0 {
                let incident = tracked.incident.clone();
                changes.announcements.push(Announcement {
                    kind: Kind::Resolve,
                    step: 0,
                    at,
                    incident,
                });
            }
            changes.incidents.push((cause.clone(), tracked));
        }
        changes
    }
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
mod tests {
    use super::*;

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
        let mut tracker = Tracker::new("lineage");
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
    }

    #[test]
    fn what_a_parent_tells_is_not_told_twice() {
        let mut tracker = Tracker::new("l");
        let cause = Cause { rule: "TW-C04", scope: "a/d".to_owned() };
        let found = |tracker: &mut Tracker, hearing| {
            tracker.found(&cause, sighting(Severity::High, Verdict::Closing, hearing))
        };
        assert_eq!(kinds(&found(&mut tracker, Hearing::Inhibited)), []);
        assert_eq!(kinds(&found(&mut tracker, Hearing::Announce)), [(Kind::Open, 0)]);
    }

    #[test]
    fn a_confirmation_raises_the_parent_once() {
        let mut tracker = Tracker::new("l");
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
