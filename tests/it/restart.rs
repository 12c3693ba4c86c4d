//! Stopped anywhere and started again, the service judges on exactly as if it had never stopped.

use tokenwatch::action::{Action, Deed, Feedback};
use tokenwatch::engine::effects::{AccountEffects, Effects};
use tokenwatch::event::{Arrival, Batch};
use tokenwatch::incident::{Announcement, Incident, Kind};
use tokenwatch::simulate::{Options, Scenario};
use tokenwatch::time::{ArrivalTime, HOUR_MS};

use crate::harness::{Folder, arrivals, connect, idle, members, open, same, step};

/// Hours that pass after the last call: silence is found, feedback is heeded, a day ends.
const HOURS_AFTER: i64 = 27;

/// Sixteen days, a theft, and more than a day without a call.
fn batches(arrivals: &[Arrival]) -> Vec<Batch> {
    let (head, tail) = arrivals.split_at(arrivals.len().saturating_sub(1_500));
    let chunks = head.chunks(900).chain(tail.chunks(60));
    let mut batches: Vec<Batch> =
        chunks.map(|chunk| Batch { arrivals: chunk.to_vec(), ..Batch::default() }).collect();
    for hour in 0..HOURS_AFTER {
        let mut later = idle(arrivals);
        later.idle.iter_mut().for_each(|(_, until)| until.0 += hour * HOUR_MS);
        batches.push(later);
    }
    batches
}

/// What a person says of the first spike, some batches after it was told.
struct Person {
    feedback: Feedback,
    patience: usize,
    spike: Option<String>,
}

impl Person {
    fn see(&mut self, effects: &Effects) -> Option<Action> {
        let opened =
            |told: &&Announcement| told.kind == Kind::Open && told.incident.rule == "TW-C01";
        if self.spike.is_none() {
            self.spike = effects.announcements.iter().find(opened).map(|t| t.incident.key.clone());
        }
        let incident = self.spike.clone()?;
        self.patience = self.patience.checked_sub(1)?;
        (self.patience == 0).then(|| Action {
            id: 1,
            at: ArrivalTime(0),
            author: "ann".to_owned(),
            reason: String::new(),
            deed: Deed::Judge { incident, feedback: self.feedback },
        })
    }
}

/// The effects of every batch; with `cut`, one in so many is followed by a stop and a start.
async fn run(arrivals: &[Arrival], feedback: Feedback, cut: usize) -> (Vec<Effects>, usize) {
    let folder = Folder::new();
    let db = folder.path("db");
    let mut random = fastrand::Rng::with_seed(5);
    open(&db).await.store.close().await.unwrap();
    // The random part of incidents' keys.
    let mut connection = connect(&db).await;
    let lineage = sqlx::query("update meta set value = 'same' where key = 'lineage'");
    assert_eq!(lineage.execute(&mut connection).await.unwrap().rows_affected(), 1);
    drop(connection);
    let mut core = open(&db).await;
    step(&mut core, &members(arrivals)).await;
    let mut person = Person { feedback, patience: 4, spike: None };
    let (mut all, mut said) = (Vec::new(), 0);
    for batch in batches(arrivals) {
        let effects = step(&mut core, &batch).await;
        let action = person.see(&effects);
        all.push(effects);
        if let Some(action) = action {
            said += 1;
            all.push(step(&mut core, &Batch { actions: vec![action], ..Batch::default() }).await);
        }
        if cut > 0 && random.usize(0..cut) == 0 {
            drop(core);
            core = open(&db).await;
            step(&mut core, &members(arrivals)).await;
        }
    }
    core.store.close().await.unwrap();
    (all, said)
}

async fn check(scenario: Scenario, feedback: Feedback) {
    let options = Options {
        scenario,
        seed: 3,
        history_hours: 384,
        live_minutes: 180,
        calls_per_hour: 15.0,
        deployments: 3,
        ..Options::default()
    };
    let arrivals = arrivals(options);
    let (whole, said) = run(&arrivals, feedback, 0).await;
    assert_eq!(said, 1, "nobody was asked");
    let told = |rule: &str| {
        let mut told = whole.iter().flat_map(|effects| &effects.announcements);
        told.any(|told| told.incident.rule == rule)
    };
    assert!(told("TW-C01") && told("TW-P12"), "a theft, and silence after it");
    let (cut, _) = run(&arrivals, feedback, 3).await;
    assert_eq!(whole.len(), cut.len());
    for (place, (whole, cut)) in whole.iter().zip(&cut).enumerate() {
        let what = format!("batch {place}");
        assert_eq!(whole.fleets, cut.fleets, "{what}");
        let told = |effects: &Effects| {
            let incidents = effects.announcements.iter().map(|told| told.incident.clone());
            lines(incidents)
        };
        let [before, after] = [whole, cut].map(told);
        same(&what, &before, &after);
        assert_eq!(whole.accounts.len(), cut.accounts.len(), "{what}");
        for (whole, cut) in whole.accounts.values().zip(cut.accounts.values()) {
            assert!(whole.states == cut.states, "states of {what}");
            let saved = |account: &AccountEffects| {
                lines(account.incidents.iter().map(|(_, tracked)| tracked.incident.clone()))
            };
            let [before, after] = [whole, cut].map(saved);
            same(&what, &before, &after);
        }
    }
}

/// What people are told, line by line, but for Azure's delay, which a start learns from the next record.
fn lines(incidents: impl Iterator<Item = Incident>) -> Vec<String> {
    let known = incidents.map(|incident| Incident { delay_azure_s: None, ..incident });
    format!("{:#?}", known.collect::<Vec<_>>()).lines().map(str::to_owned).collect()
}

#[tokio::test]
async fn with_abuse_left_out_nothing_differs() {
    check(Scenario::StolenKey, Feedback::Abuse).await;
}

#[tokio::test]
async fn with_a_new_normal_nothing_differs() {
    check(Scenario::StolenKey, Feedback::NewNormal).await;
}

/// A database of an older version: what its states hold is not read, the sums are.
#[tokio::test]
async fn states_of_another_form_are_learnt_again_from_the_sums() {
    let options =
        Options { history_hours: 384, live_minutes: 60, deployments: 2, ..Options::default() };
    let arrivals = arrivals(Options { calls_per_hour: 6.0, scenario: Scenario::Quiet, ..options });
    let folder = Folder::new();
    let db = folder.path("db");
    let mut core = open(&db).await;
    step(&mut core, &members(&arrivals)).await;
    let batches = batches(&arrivals);
    let (last, before) = batches.split_last().unwrap();
    for batch in before {
        step(&mut core, batch).await;
    }
    core.store.close().await.unwrap();
    let mut connection = connect(&db).await;
    let states = "select count(*) from series_state where length(body) > 1000";
    let saved: i64 = sqlx::query_scalar(states).fetch_one(&mut connection).await.unwrap();
    assert!(saved >= 2, "{saved}");
    let spoil = sqlx::query("update series_state set body = x''").execute(&mut connection).await;
    assert!(spoil.unwrap().rows_affected() >= 2);
    drop(connection);
    let mut core = open(&db).await;
    step(&mut core, &members(&arrivals)).await;
    let effects = step(&mut core, last).await;
    let states = effects.accounts.values().flat_map(|account| &account.states);
    assert!(states.filter(|(_, state)| state.len() > 1000).count() >= 2, "saved again at once");
    core.store.close().await.unwrap();
}
