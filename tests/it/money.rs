//! Rules about money that need no history of the deployment itself: ceilings of an hour, six hours and a
//! day, and the first week of a new deployment, from records to what is told.

use serde_json::json;
use tokenwatch::engine::effects::Effects;
use tokenwatch::event::{Arrival, Batch};
use tokenwatch::incident::{Incident, Kind, Severity};
use tokenwatch::time::{ArrivalTime, HOUR_MS, MINUTE_MS};

use crate::harness::{Folder, connect, members, open, partition, same, step};

/// A Monday, midnight.
const START_MS: i64 = 1_791_158_400_000;

/// What a deployment costs in each hour of a span, by one call every ten minutes.
#[derive(Clone)]
struct Use {
    account: &'static str,
    deployment: String,
    model: &'static str,
    hours: std::ops::Range<i64>,
    usd: f64,
}

fn uses(deployment: &str, hours: std::ops::Range<i64>, usd: f64) -> Use {
    Use { account: "a", deployment: deployment.to_owned(), model: "gpt-4o", hours, usd }
}

/// The records of an hour, in the order in which they are made; 2.50 USD a million tokens.
fn records(all: &[Use], hour: i64) -> Vec<(i64, String)> {
    let mut records = Vec::new();
    for minute in (hour * 60..hour * 60 + 60).step_by(10) {
        for each in all.iter().filter(|each| each.hours.contains(&hour)) {
            let Use { account, deployment, model, usd, .. } = each;
            let at = START_MS + minute * MINUTE_MS;
            let tokens = usd / 6.0 / 2.5 * 1e6;
            let record = json!({
                "category": "RequestResponse", "time": ArrivalTime(at).to_string(),
                "correlationId": format!("{account}-{deployment}-{minute}"),
                "resourceId": format!("/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/{account}"),
                "callerIpAddress": "203.0.113.***", "resultSignature": "200",
                "properties": { "modelDeploymentName": deployment, "modelName": model,
                    "promptTokens": tokens.round(), "completionTokens": 0 },
            });
            records.push((at, record.to_string()));
        }
    }
    records
}

/// One batch an hour.
fn batches(all: &[Use]) -> Vec<Batch> {
    let last = all.iter().map(|each| each.hours.end).max().unwrap();
    let mut sequence = 0;
    let mut batch = |hour: i64| {
        let arrivals = records(all, hour).into_iter().map(|(at, body)| {
            sequence += 1;
            Arrival {
                partition: partition(0),
                sequence: sequence - 1,
                enqueued: ArrivalTime(at),
                body: body.into_bytes(),
            }
        });
        let arrivals = arrivals.collect();
        let until = ArrivalTime(START_MS + (hour + 1) * HOUR_MS);
        Batch { arrivals, idle: vec![(partition(0), until)], ..Batch::default() }
    };
    // Hours in which an incident ends.
    (0..last + 4).map(&mut batch).collect()
}

/// The effects of every hour; with `cut` each one in so many is followed by a stop and a start.
async fn run(all: &[Use], cut: usize) -> Vec<Effects> {
    take(&batches(all), cut).await
}

async fn take(batches: &[Batch], cut: usize) -> Vec<Effects> {
    let folder = Folder::new();
    let db = folder.path("db");
    open(&db).await.store.close().await.unwrap();
    // The random part of incidents' keys.
    let mut connection = connect(&db).await;
    let lineage = sqlx::query("update meta set value = 'same' where key = 'lineage'");
    assert_eq!(lineage.execute(&mut connection).await.unwrap().rows_affected(), 1);
    drop(connection);
    let arrivals: Vec<Arrival> = batches.iter().flat_map(|batch| batch.arrivals.clone()).collect();
    let mut core = open(&db).await;
    step(&mut core, &members(&arrivals)).await;
    let mut effects = Vec::new();
    for (place, batch) in batches.iter().enumerate() {
        effects.push(step(&mut core, batch).await);
        if cut > 0 && place % cut == 0 {
            drop(core);
            core = open(&db).await;
            step(&mut core, &members(&arrivals)).await;
        }
    }
    core.store.close().await.unwrap();
    effects
}

/// Hour, rule and deployment of everything told, but for new networks.
fn told(effects: &[Effects], kind: Kind) -> Vec<(usize, String, String)> {
    let all = effects.iter().enumerate().flat_map(|(hour, effects)| {
        let told = effects.announcements.iter().filter(move |told| told.kind == kind);
        let told = told.filter(|told| told.incident.rule != "TW-I01");
        told.map(move |told| {
            let Incident { rule, deployment, .. } = &told.incident;
            (hour, rule.clone(), deployment.clone().unwrap_or_default())
        })
    });
    all.collect()
}

fn line(hour: usize, rule: &str, deployment: &str) -> (usize, String, String) {
    (hour, rule.to_owned(), deployment.to_owned())
}

#[tokio::test]
async fn a_slow_theft_on_the_first_day_is_found_by_the_ceiling_of_a_day() {
    let all = [uses("slow", 0..30, 20.0), uses("night", 1..7, 30.0), uses("usual", 0..30, 15.0)];
    let effects = run(&all, 0).await;
    assert_eq!(told(&effects, Kind::Open), [line(14, "TW-C04", "slow")]);
    // An hour and a half after the last call.
    assert_eq!(told(&effects, Kind::Resolve), [line(31, "TW-C04", "slow")]);
    let opened = effects.iter().flat_map(|effects| &effects.announcements).next().unwrap();
    let Incident { evidence, bound, severity, .. } = &opened.incident;
    assert!(
        evidence[0].contains("18 hours") && evidence[0].contains("$400.00 a day"),
        "{evidence:?}"
    );
    assert_eq!((*bound, *severity), (400.0, Severity::High));
}

/// Five peers at 4.80 USD a day and one at 24, all older than a week when others come.
fn grown(until: i64) -> Vec<Use> {
    let mut all: Vec<Use> =
        (0..5).map(|place| uses(&format!("peer-{place}"), 0..until, 0.2)).collect();
    all.push(uses("large", 0..until, 1.0));
    all
}

#[tokio::test]
async fn a_new_deployment_is_held_to_its_peers_or_to_the_cap() {
    let mut all = grown(250);
    // Another model: it has no peers.
    all.push(Use { model: "gpt-4.1", ..uses("other", 200..250, 1.0) });
    all.push(uses("like-its-peers", 200..250, 0.3));
    all.push(uses("runaway", 200..240, 2.1));
    // Gone before there are peers, and first seen within the first week: not told of.
    all.push(uses("early", 150..190, 3.0));
    let effects = run(&all, 0).await;
    let found = told(&effects, Kind::Open);
    assert_eq!(found, [line(211, "TW-C10", "runaway")], "{found:?}");
}

#[tokio::test]
async fn without_peers_the_cap_holds_and_a_ceiling_is_part_of_the_story() {
    let all = [uses("old", 0..220, 0.1), uses("theft", 200..214, 24.0)];
    let effects = run(&all, 0).await;
    assert_eq!(told(&effects, Kind::Open), [line(202, "TW-C10", "theft")]);
    // The day's ceiling, eight hours later, is told as the same incident that grew worse.
    let mut told = effects.iter().flat_map(|effects| &effects.announcements);
    let opened = &told.find(|told| told.incident.rule == "TW-C10").unwrap().incident;
    let said = opened.evidence.first().unwrap();
    assert!(said.contains("ago: above $50.00, the most that a new deployment may cost"), "{said}");
    assert_eq!(opened.severity, Severity::Medium);
    let rose = |effects: &Effects| {
        let mut told = effects.announcements.iter();
        told.any(|told| told.kind == Kind::Escalate && told.incident.severity == Severity::High)
    };
    assert_eq!(effects.iter().position(rose), Some(210));
    assert!(is_part(&effects, "TW-C04", &opened.key));
}

/// Whether an incident of `rule` was saved as part of the one with this key.
fn is_part(effects: &[Effects], rule: &str, key: &String) -> bool {
    let saved = effects.iter().flat_map(|effects| effects.accounts.values());
    let mut saved = saved.flat_map(|saved| &saved.incidents).map(|(_, tracked)| &tracked.incident);
    saved.any(|incident| incident.rule == rule && incident.parent.as_ref() == Some(key))
}

/// A day full of usual hours is told by its projection alone; the spike that follows a surer rule finds, and it is
/// the same story.
#[tokio::test]
async fn a_spike_after_a_costly_day_is_part_of_what_the_projection_told() {
    const THEFT: i64 = 24 * 24;
    let usd = |hour: i64| match hour - THEFT {
        12.. => 140.0,
        0.. => 8.0,
        _ if hour % 12 == 9 => 8.0,
        _ => 0.1,
    };
    let all: Vec<Use> =
        (0..THEFT + 14).map(|hour| uses("batch", hour..hour + 1, usd(hour))).collect();
    let effects = run(&all, 0).await;
    let hour = usize::try_from(THEFT).unwrap();
    assert_eq!(told(&effects, Kind::Open), [line(hour + 2, "TW-C02", "batch")]);
    let mut all = effects.iter().flat_map(|effects| &effects.announcements);
    let day = &all.find(|told| told.incident.rule == "TW-C02").unwrap().incident;
    assert!(is_part(&effects, "TW-C01", &day.key));
    let worse = told(&effects, Kind::Escalate);
    let by_spike = line(hour + 12, "TW-C02", "batch");
    assert!(!worse.is_empty() && worse.iter().all(|told| *told == by_spike), "{worse:?}");
}

#[tokio::test]
async fn who_begins_to_watch_finds_nothing_new() {
    let mut all = grown(200);
    all.iter_mut().for_each(|each| each.usd = 3.0);
    // An account whose diagnostic setting came later.
    let late =
        grown(215).into_iter().map(|each| Use { account: "b", hours: 180..215, usd: 3.0, ..each });
    all.extend(late);
    let effects = run(&all, 0).await;
    let found = told(&effects, Kind::Open);
    assert!(found.iter().all(|(_, rule, _)| rule != "TW-C10"), "{found:?}");
}

#[tokio::test]
async fn a_stop_at_any_hour_changes_nothing() {
    let mut all = grown(240);
    all.push(uses("runaway", 200..236, 2.0));
    all.push(uses("theft", 205..236, 24.0));
    let whole = run(&all, 0).await;
    let rules: Vec<String> =
        told(&whole, Kind::Open).into_iter().map(|(_, rule, _)| rule).collect();
    assert!(rules.iter().any(|rule| rule == "TW-C10"), "{rules:?}");
    let cut = run(&all, 3).await;
    for (hour, (whole, cut)) in whole.iter().zip(&cut).enumerate() {
        let lines = |effects: &Effects| {
            let told = effects.announcements.iter().map(|told| &told.incident);
            let saved = effects.accounts.values().flat_map(|account| &account.incidents);
            let all = told.chain(saved.map(|(_, tracked)| &tracked.incident));
            // Azure's delay is learnt from the next record.
            let all = all.map(|each| Incident { delay_azure_s: None, ..each.clone() });
            let text = format!("{:#?}", all.collect::<Vec<_>>());
            text.lines().map(str::to_owned).collect::<Vec<_>>()
        };
        same(&format!("hour {hour}"), &lines(whole), &lines(cut));
    }
}

#[tokio::test]
async fn however_batches_are_cut_a_newcomer_is_found_in_the_same_slot() {
    let mut all = grown(240);
    all.push(uses("runaway", 200..226, 2.0));
    let fine = batches(&all);
    let coarse = fine.chunks(7).map(|hours| Batch {
        arrivals: hours.iter().flat_map(|batch| batch.arrivals.clone()).collect(),
        idle: hours.last().map(|batch| batch.idle.clone()).unwrap_or_default(),
        ..Batch::default()
    });
    let coarse: Vec<Batch> = coarse.collect();
    let mut ends = Vec::new();
    for batches in [fine, coarse] {
        let effects = take(&batches, 0).await;
        let mut saved = effects.iter().rev().flat_map(|effects| effects.accounts.values());
        let found = saved.find_map(|saved| {
            let mut all = saved.incidents.iter().rev();
            all.find(|(cause, _)| cause.rule == "TW-C10").map(|(_, tracked)| tracked.clone())
        });
        let tracked = found.unwrap();
        let Incident { first_window, last_window, opened_at, evidence, .. } = tracked.incident;
        ends.push((tracked.closing_severity, first_window, last_window, opened_at, evidence));
    }
    assert_eq!(ends.first(), ends.last());
}
