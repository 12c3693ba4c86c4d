//! What people say about an incident reaches the baseline.

use tokenwatch::action::{Action, Deed, Feedback};
use tokenwatch::engine::Engine;
use tokenwatch::engine::effects::{Effects, Saved};
use tokenwatch::event::{Arrival, Batch};
use tokenwatch::incident::{Incident, Kind};
use tokenwatch::time::ArrivalTime;

use crate::harness::{env, partition};
use crate::records::{MORNING, request, usage};

/// Calls of one deployment, one every five minutes, in batches of an hour.
struct Calls {
    engine: Engine,
    hour: i64,
    sequence: i64,
    told: Vec<(i64, Kind, Incident)>,
}

impl Calls {
    fn new() -> Self {
        let mut engine = Engine::restore(Saved::default(), env());
        engine.apply(&Batch { members: vec![partition(0)], ..Batch::default() });
        Self { engine, hour: 0, sequence: 0, told: Vec::new() }
    }

    /// `hours` hours in which each call has `tokens` prompt tokens.
    fn go_on(&mut self, hours: i64, tokens: u32) {
        for _ in 0..hours {
            let arrivals = (0..12).map(|slot| self.arrival(slot, tokens)).collect();
            let effects = self.engine.apply(&Batch { arrivals, ..Batch::default() });
            self.note(effects);
            self.sequence += 12;
            self.hour += 1;
        }
    }

    fn arrival(&self, slot: i64, tokens: u32) -> Arrival {
        let second = self.hour * 3600 + slot * 300;
        let id = format!("{second}");
        let records =
            [request(second, &id, "203.0.113.0", "", 200), usage(second, &id, [tokens, 0, 100])];
        let body = serde_json::json!({ "records": records });
        Arrival {
            partition: partition(0),
            sequence: self.sequence + slot,
            enqueued: ArrivalTime((MORNING + second + 60) * 1000),
            body: body.to_string().into_bytes(),
        }
    }

    fn note(&mut self, effects: Effects) {
        let told = effects.announcements.into_iter();
        let told = told.filter(|told| told.incident.rule == "TW-C01");
        self.told.extend(told.map(|told| (self.hour, told.kind, told.incident)));
    }

    fn judge(&mut self, feedback: Feedback) {
        let (_, _, incident) = self.told.last().unwrap();
        let action = Action {
            id: 1,
            at: ArrivalTime(0),
            author: "ann".to_owned(),
            reason: String::new(),
            deed: Deed::Judge { incident: incident.key.clone(), feedback },
        };
        let effects = self.engine.apply(&Batch { actions: vec![action], ..Batch::default() });
        assert_eq!(effects.answers.len(), 1);
        assert!(effects.answers.iter().all(|answer| answer.outcome.is_ok()), "{effects:?}");
        self.note(effects);
    }

    fn kinds(&self) -> Vec<(i64, Kind)> {
        self.told.iter().map(|(hour, kind, _)| (*hour, *kind)).collect()
    }
}

const USUAL: u32 = 20_000;
/// Younger deployments are judged with more caution.
const LEARNT: i64 = 16 * 24;

#[test]
fn a_new_normal_ends_the_incident_and_the_next_rise_is_seen() {
    let mut calls = Calls::new();
    calls.go_on(LEARNT, USUAL);
    assert_eq!(calls.kinds(), []);
    calls.go_on(2, 15 * USUAL);
    assert_eq!(calls.kinds(), [(LEARNT, Kind::Open)]);
    calls.judge(Feedback::NewNormal);
    calls.go_on(10, 15 * USUAL);
    let kinds = calls.kinds();
    let ended = kinds.last().copied().unwrap();
    assert_eq!(ended.1, Kind::Resolve, "{kinds:?}");
    assert!(ended.0 <= LEARNT + 7, "{kinds:?}");
    let told = kinds.len();
    calls.go_on(24, 15 * USUAL);
    assert_eq!(calls.kinds().len(), told, "it stays normal: {:?}", calls.kinds());
    calls.go_on(2, 90 * USUAL);
    let again = (LEARNT + 36, Kind::Open);
    assert!(calls.kinds().contains(&again), "{:?}", calls.kinds());
}

#[test]
fn without_a_word_the_same_rise_goes_on_for_longer() {
    let mut calls = Calls::new();
    calls.go_on(LEARNT, USUAL);
    calls.go_on(8, 15 * USUAL);
    let kinds = calls.kinds();
    assert!(kinds.iter().all(|(_, kind)| *kind != Kind::Resolve), "{kinds:?}");
}

#[test]
fn abuse_is_never_learnt() {
    let attacked = |feedback: Option<Feedback>| {
        let mut calls = Calls::new();
        calls.go_on(LEARNT, USUAL);
        calls.go_on(10, 15 * USUAL);
        if let Some(feedback) = feedback {
            calls.judge(feedback);
        }
        calls.go_on(20, USUAL);
        // The same again a day later: what was expected of it, and what does its chart say was?
        calls.go_on(2, 15 * USUAL);
        let (hour, _, incident) = calls.told.last().unwrap();
        assert!(*hour >= LEARNT + 30, "{:?}", calls.kinds());
        let chart = incident.chart.as_ref().unwrap();
        (incident.expected / incident.observed, chart.expected.iter().flatten().sum::<f64>())
    };
    let [unsaid, abuse] = [None, Some(Feedback::Abuse)].map(attacked);
    // What was alerted is left out whatever people say; the picture's expectation needs to be told.
    let usual = (f64::from(USUAL) + 100.0) / (15.0 * f64::from(USUAL) + 100.0);
    for (expected, _) in [unsaid, abuse] {
        assert!((expected / usual - 1.0).abs() < 0.1, "{expected} of {usual}");
    }
    assert!(abuse.1 < unsaid.1 * 0.9, "abuse {abuse:?}, nothing said {unsaid:?}");
}
