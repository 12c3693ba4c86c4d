use super::*;
use crate::route::calendar::{Times, days, minute};
use crate::route::matcher::Matcher;
use crate::route::silence::{Inhibit, Maintenance, When};
use crate::route::{GroupBy, Receiver, Storm};

const MINUTE: i64 = MINUTE_MS;

fn receiver(name: &str, min_severity: Severity) -> Receiver {
    Receiver { name: name.to_owned(), min_severity }
}

fn plan() -> Plan {
    Plan::everybody(vec![receiver("mail", Severity::Low)])
}

fn matchers(texts: &[&str]) -> Vec<Matcher> {
    texts.iter().map(|text| Matcher::parse(text).unwrap()).collect()
}

fn incident(key: &str, severity: Severity) -> Incident {
    let mut parts = key.split('|');
    let mut next = || parts.next().unwrap_or_default().to_owned();
    Incident { key: key.to_owned(), rule: next(), account: next(), severity, ..Incident::default() }
}

/// A router with a clock, and what it has said so far.
struct Desk {
    router: Router,
    now_ms: i64,
    actions: i64,
    /// What the last action let go.
    told: Vec<String>,
}

impl Desk {
    fn new(plan: Plan) -> Self {
        Self {
            router: Router::restore(plan, State::default()),
            now_ms: 0,
            actions: 0,
            told: Vec::new(),
        }
    }

    /// What leaves, as `receiver kind[step] key`, with digests in brackets.
    fn step(&mut self, told: &[(Kind, u32, &Incident)], actions: &[Action]) -> Vec<String> {
        let incidents: Vec<&Incident> = told.iter().map(|(_, _, incident)| *incident).collect();
        let announcements: Vec<Announcement> = told
            .iter()
            .map(|(kind, step, incident)| Announcement {
                kind: *kind,
                step: *step,
                at: ArrivalTime(self.now_ms),
                written: None,
                incident: (*incident).clone(),
            })
            .collect();
        let moment = Moment {
            now_ms: self.now_ms,
            incidents: &incidents,
            announcements: &announcements,
            actions,
        };
        let routed = self.router.step(&moment);
        routed.messages.iter().map(said).collect()
    }

    fn tell(&mut self, kind: Kind, incident: &Incident) -> Vec<String> {
        self.step(&[(kind, 0, incident)], &[])
    }

    fn wait(&mut self, ms: i64) -> Vec<String> {
        self.now_ms += ms;
        self.step(&[], &[])
    }

    fn ask(&mut self, deed: Deed) -> Result<String, String> {
        self.actions += 1;
        let action = Action {
            id: self.actions,
            at: ArrivalTime(self.now_ms),
            author: "ann".to_owned(),
            reason: "test".to_owned(),
            deed,
        };
        let actions = [action];
        let moment =
            Moment { now_ms: self.now_ms, incidents: &[], announcements: &[], actions: &actions };
        let mut routed = self.router.step(&moment);
        self.told = routed.messages.iter().map(said).collect();
        routed.answers.remove(0).outcome
    }

    /// The same router from what it saved, as after a restart.
    fn restart(&mut self) {
        let none = BTreeMap::new();
        let groups = changed(&none, &self.router.groups);
        let groups = groups.into_iter().filter_map(|(id, text)| Some((id, text?))).collect();
        let silences = self.router.silences.iter().map(|armed| armed.silence.clone()).collect();
        let incidents = self.router.live.values().cloned().collect();
        let state = State { groups, silences, incidents };
        self.router = Router::restore(self.router.plan.clone(), state);
    }
}

fn said(message: &Message) -> String {
    let one = |told: &Announcement| {
        let step = if told.step == 0 { String::new() } else { told.step.to_string() };
        format!("{}{step} {}", told.kind.word(), told.incident.key)
    };
    match &message.content {
        Content::One(told) => format!("{} {}", message.receiver, one(told)),
        Content::Many(digest) => {
            let all: Vec<String> = digest.announcements.iter().map(one).collect();
            format!("{} {:?}[{}]", message.receiver, digest.gathering, all.join(", "))
        }
    }
}

fn over(incident: &Incident) -> Incident {
    Incident { state: crate::incident::State::Resolved, ..incident.clone() }
}

#[test]
fn without_a_plan_everything_is_told_at_once_and_once() {
    let mut desk = Desk::new(plan());
    let mut seen = incident("R|a|1", Severity::High);
    assert_eq!(desk.tell(Kind::Open, &seen), ["mail open R|a|1"]);
    assert!(desk.wait(24 * 60 * MINUTE).is_empty(), "nobody asked to be reminded");
    seen.severity = Severity::Critical;
    assert_eq!(desk.step(&[(Kind::Escalate, 3, &seen)], &[]), ["mail escalate3 R|a|1"]);
    assert_eq!(desk.tell(Kind::Resolve, &over(&seen)), ["mail resolve R|a|1"]);
    let mut again = seen.clone();
    again.returns = 1;
    assert_eq!(desk.tell(Kind::Reopen, &again), ["mail reopen R|a|1"]);
    assert_eq!(desk.tell(Kind::Resolve, &over(&again)), ["mail resolve1 R|a|1"]);
    assert!(desk.router.groups.is_empty() && desk.router.live.is_empty());
}

#[test]
fn a_restart_at_any_moment_tells_nothing_twice_and_forgets_nothing() {
    let mut plan = plan();
    (plan.root.group_wait_ms, plan.root.repeat_ms) = (MINUTE, 60 * MINUTE);
    let run = |restarts: bool| {
        let mut desk = Desk::new(plan.clone());
        let mut log = Vec::new();
        let mut seen = incident("R|a|1", Severity::High);
        let mut note = |desk: &mut Desk, said: Vec<String>| {
            log.extend(said);
            if restarts {
                desk.restart();
            }
        };
        let said = desk.tell(Kind::Open, &seen);
        note(&mut desk, said);
        for _ in 0..150 {
            let said = desk.wait(MINUTE);
            note(&mut desk, said);
        }
        seen.state = crate::incident::State::Acknowledged;
        let said = desk.tell(Kind::Acknowledge, &seen);
        note(&mut desk, said);
        let said = desk.wait(300 * MINUTE);
        note(&mut desk, said);
        let said = desk.tell(Kind::Resolve, &over(&seen));
        note(&mut desk, said);
        let said = desk.wait(MINUTE);
        note(&mut desk, said);
        log
    };
    let told = [
        "mail open R|a|1",
        "mail repeat61 R|a|1",
        "mail repeat121 R|a|1",
        "mail acknowledge R|a|1",
        "mail resolve R|a|1",
    ];
    assert_eq!(run(false), told);
    assert_eq!(run(true), told);
}

#[test]
fn after_a_change_of_plan_what_goes_on_is_told_where_it_is_routed_now() {
    let mut desk = Desk::new(plan());
    let seen = incident("R|a|1", Severity::High);
    desk.tell(Kind::Open, &seen);
    desk.router.plan = Plan::everybody(vec![receiver("pager", Severity::Low)]);
    desk.restart();
    assert_eq!(desk.wait(MINUTE), ["pager open R|a|1"]);
    assert_eq!(desk.tell(Kind::Resolve, &over(&seen)), ["pager resolve R|a|1"]);
}

#[test]
fn a_group_waits_rests_and_lets_what_is_critical_through() {
    let mut plan = plan();
    plan.root.group_by = GroupBy::Labels(vec!["account".to_owned()]);
    (plan.root.group_wait_ms, plan.root.group_interval_ms) = (MINUTE, 5 * MINUTE);
    let mut desk = Desk::new(plan);
    let [first, second, other, fourth] =
        ["R|a|1", "S|a|1", "R|b|1", "T|a|1"].map(|key| incident(key, Severity::Medium));
    assert!(desk.tell(Kind::Open, &first).is_empty());
    assert!(desk.tell(Kind::Open, &second).is_empty());
    assert!(desk.tell(Kind::Open, &other).is_empty());
    let told = desk.wait(MINUTE);
    assert_eq!(told, ["mail Group[open R|a|1, open S|a|1]", "mail open R|b|1"]);
    assert!(desk.tell(Kind::Open, &fourth).is_empty());
    assert!(desk.wait(4 * MINUTE).is_empty(), "it rests");
    assert_eq!(desk.wait(MINUTE), ["mail open T|a|1"]);
    let burning = incident("U|a|1", Severity::Critical);
    assert_eq!(desk.tell(Kind::Open, &burning), ["mail open U|a|1"]);
}

#[test]
fn what_is_over_before_anybody_heard_of_it_is_not_told() {
    let mut plan = plan();
    plan.root.group_wait_ms = MINUTE;
    let mut desk = Desk::new(plan);
    let seen = incident("R|a|1", Severity::Medium);
    desk.tell(Kind::Open, &seen);
    desk.tell(Kind::Resolve, &over(&seen));
    assert!(desk.wait(MINUTE).is_empty());
    assert!(desk.router.groups.is_empty());
}

fn silence(matcher: &str, until_ms: i64) -> Deed {
    Deed::Silence { matchers: vec![matcher.to_owned()], from_ms: 0, until_ms }
}

#[test]
fn a_silence_holds_back_what_it_names_until_it_ends() {
    let mut desk = Desk::new(plan());
    let [seen, other] = ["R|a|1", "R|b|1"].map(|key| incident(key, Severity::Critical));
    assert!(desk.ask(silence("account=a", 10 * MINUTE)).unwrap().contains("holds until"));
    assert!(desk.tell(Kind::Open, &seen).is_empty());
    assert_eq!(desk.tell(Kind::Open, &other), ["mail open R|b|1"]);
    desk.restart();
    assert!(desk.wait(10 * MINUTE - 1).is_empty());
    assert_eq!(desk.wait(RECHECK_MS), ["mail open R|a|1"], "it still goes on");
    desk.ask(silence("account=b", 60 * MINUTE)).unwrap();
    assert!(desk.tell(Kind::Resolve, &over(&other)).is_empty());
    assert!(desk.ask(Deed::Unsilence { silence: 2 }).unwrap().contains("is over"));
    assert_eq!(desk.told, ["mail resolve R|b|1"], "its end was kept");
    for (deed, part) in [
        (silence("acount=b", 60 * MINUTE), "no label"),
        (silence("account=b", 1), "over already"),
        (Deed::Silence { matchers: Vec::new(), from_ms: 0, until_ms: i64::MAX }, "needs a matcher"),
        (Deed::Unsilence { silence: 2 }, "no silence 2"),
    ] {
        let error = desk.ask(deed).unwrap_err();
        assert!(error.contains(part), "{error}");
    }
}

#[test]
fn quiet_hours_hold_back_until_morning_but_never_what_is_critical() {
    let mut plan = plan();
    let nights = Times {
        zone: crate::days::Zone::utc(),
        days: days(&["every".to_owned()]).unwrap(),
        from: minute("00:00").unwrap(),
        until: minute("07:00").unwrap(),
    };
    plan.times.insert("nights".to_owned(), nights);
    plan.root.mute.push("nights".to_owned());
    let mut desk = Desk::new(plan);
    let mut seen = incident("R|a|1", Severity::High);
    assert!(desk.tell(Kind::Open, &seen).is_empty());
    let burning = incident("R|b|1", Severity::Critical);
    assert_eq!(desk.tell(Kind::Open, &burning), ["mail open R|b|1"]);
    assert!(desk.wait(60 * MINUTE).is_empty());
    seen.severity = Severity::Critical;
    assert_eq!(desk.tell(Kind::Escalate, &seen), ["mail open R|a|1"], "it got worse");
    let calm = incident("R|c|1", Severity::Low);
    assert!(desk.tell(Kind::Open, &calm).is_empty());
    assert_eq!(desk.wait(6 * 60 * MINUTE), ["mail open R|c|1"]);
}

#[test]
fn maintenance_inhibition_and_parents_hold_back() {
    let mut plan = plan();
    plan.maintenance.push(Maintenance {
        name: "test".to_owned(),
        matchers: matchers(&["account=m"]),
        when: When::Once(0, 10 * MINUTE),
    });
    plan.inhibit.push(Inhibit {
        source: matchers(&["rule=DOWN"]),
        target: matchers(&["rule!=DOWN"]),
        equal: vec!["account".to_owned()],
    });
    let mut desk = Desk::new(plan);
    let maintained = incident("R|m|1", Severity::High);
    assert!(desk.tell(Kind::Open, &maintained).is_empty());
    assert_eq!(desk.wait(10 * MINUTE), ["mail open R|m|1"]);

    let down = incident("DOWN|a|1", Severity::High);
    let [behind, elsewhere] = ["R|a|1", "R|b|1"].map(|key| incident(key, Severity::High));
    assert_eq!(desk.tell(Kind::Open, &down), ["mail open DOWN|a|1"]);
    assert!(desk.tell(Kind::Open, &behind).is_empty());
    assert_eq!(desk.tell(Kind::Open, &elsewhere), ["mail open R|b|1"]);
    assert_eq!(desk.tell(Kind::Resolve, &over(&down)), ["mail resolve DOWN|a|1"]);
    assert_eq!(desk.wait(RECHECK_MS), ["mail open R|a|1"]);

    let child = Incident { parent: Some("R|b|1".to_owned()), ..incident("S|b|1", Severity::High) };
    assert!(desk.tell(Kind::Open, &child).is_empty());
    desk.tell(Kind::Resolve, &over(&elsewhere));
    assert_eq!(desk.wait(RECHECK_MS), ["mail open S|b|1"]);
}

#[test]
fn whoever_was_told_hears_how_it_goes_on_wherever_it_would_go_today() {
    let mut plan =
        Plan::everybody(vec![receiver("mail", Severity::Low), receiver("pager", Severity::Low)]);
    plan.root.receivers = vec!["mail".to_owned()];
    plan.root.routes.push(Route {
        path: "0.0".to_owned(),
        matchers: matchers(&["severity>=high"]),
        receivers: vec!["pager".to_owned()],
        ..plan.root.clone()
    });
    let mut desk = Desk::new(plan);
    let mut seen = incident("R|a|1", Severity::Medium);
    assert_eq!(desk.tell(Kind::Open, &seen), ["mail open R|a|1"]);
    seen.severity = Severity::High;
    assert_eq!(desk.tell(Kind::Escalate, &seen), ["mail escalate R|a|1", "pager open R|a|1"]);
    let ends = desk.tell(Kind::Resolve, &over(&seen));
    assert_eq!(ends, ["mail resolve R|a|1", "pager resolve R|a|1"]);
}

#[test]
fn a_storm_is_summed_up_and_what_costs_money_stays_single() {
    let mut plan = plan();
    plan.storm = Storm { limit: 3, window_ms: 10 * MINUTE, money_usd: 100.0 };
    let mut desk = Desk::new(plan);
    let all: Vec<Incident> =
        (0..8).map(|n| incident(&format!("R{n}|a|1"), Severity::Medium)).collect();
    let dear =
        Incident { cost: Some(NanoUsd::from_usd(250.0)), ..incident("D|a|1", Severity::Low) };
    for seen in all.iter().take(3) {
        assert_eq!(desk.tell(Kind::Open, seen).len(), 1);
    }
    let told: Vec<_> = all.iter().skip(3).take(3).map(|seen| (Kind::Open, 0, seen)).collect();
    let told = desk.step(&told, &[]);
    assert_eq!(told, ["mail Storm[open R3|a|1, open R4|a|1, open R5|a|1]"]);
    assert_eq!(desk.tell(Kind::Open, &dear), ["mail open D|a|1"]);
    for seen in all.iter().skip(6) {
        assert!(desk.tell(Kind::Open, seen).is_empty());
    }
    assert!(desk.wait(10 * MINUTE - 1).is_empty());
    assert_eq!(desk.wait(1), ["mail open R6|a|1", "mail open R7|a|1"], "few enough by then");
    let ends: Vec<Incident> = all.iter().map(over).collect();
    let ends: Vec<_> = ends.iter().map(|seen| (Kind::Resolve, 0, seen)).collect();
    let told = desk.step(&ends, &[]);
    assert!(told.len() == 1 && told[0].starts_with("mail Storm[resolve R0|a|1, "), "{told:?}");
    assert!(desk.router.groups.keys().all(|id| id.contains("D|a|1")), "all ends were told");
}

#[test]
fn receivers_hear_of_what_is_severe_enough_and_not_of_their_own_deafness() {
    let mut desk = Desk::new(Plan::everybody(vec![
        receiver("mail", Severity::High),
        receiver("hook", Severity::Low),
    ]));
    let deaf = incident("TW-S05|hook|1", Severity::High);
    assert_eq!(desk.tell(Kind::Open, &deaf), ["mail open TW-S05|hook|1"]);
    let small = incident("R|a|1", Severity::Low);
    assert_eq!(desk.tell(Kind::Open, &small), ["hook open R|a|1"]);
}
