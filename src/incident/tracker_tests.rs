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
    let mut find =
        |severity, verdict| tracker.found(&cause, sighting(severity, verdict, Hearing::Announce));
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
    let again = tracker.found(&cause, sighting(Severity::Low, Verdict::Closing, Hearing::Announce));
    assert_eq!(again.incidents[0].1.incident.key, "TW-C01|a/d|2|lineage");
    let said: Vec<&str> = over.incidents[0].1.incident.history.iter().map(|e| &*e.what).collect();
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
        (seen.incident.first_window, seen.incident.last_window) = (EventTime(at), EventTime(at));
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
    assert_eq!(act(&mut tracker, Deed::Note { incident: incident() }).1, Ok("noted".to_owned()));
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
    let [parent, child] = ["TW-C01", "TW-C04"].map(|rule| Cause { rule, scope: "a/d".to_owned() });
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
