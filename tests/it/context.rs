//! What an incident says beside its finding: chart, callers before and since, the first call.

use std::collections::BTreeMap;

use tokenwatch::decode;
use tokenwatch::event::{Arrival, Batch, Event};
use tokenwatch::incident::{Announcement, Chart, Incident, Kind};
use tokenwatch::simulate::{Options, Scenario, Simulation};
use tokenwatch::time::{self, HOUR_MS, MINUTE_MS};

use crate::harness::{Folder, arrivals, idle, members, open, step};

/// Most bytes of a chart in the stored incident.
const CHART_MAX: usize = 4_000;

fn options(scenario: Scenario) -> Options {
    Options {
        scenario,
        seed: 3,
        history_hours: 384,
        live_minutes: 210,
        calls_per_hour: 15.0,
        deployments: 2,
        ..Options::default()
    }
}

/// Everything announced when the stream comes in batches of `size`, with a restart after every
/// `cut`th of the last ones.
async fn announced(arrivals: &[Arrival], size: usize, cut: usize) -> Vec<Announcement> {
    let folder = Folder::new();
    let db = folder.path("db");
    let mut core = open(&db).await;
    step(&mut core, &members(arrivals)).await;
    let mut told = Vec::new();
    let (head, tail) = arrivals.split_at(arrivals.len().saturating_sub(2_000));
    let batches = head.chunks(4_000).chain(tail.chunks(size)).enumerate();
    for (number, chunk) in batches {
        let batch = Batch { arrivals: chunk.to_vec(), ..Batch::default() };
        told.extend(step(&mut core, &batch).await.announcements);
        if cut > 0 && number % cut == 0 {
            drop(core);
            core = open(&db).await;
            step(&mut core, &members(arrivals)).await;
        }
    }
    // Three hours later nothing more has come: what was found is over.
    let mut later = idle(arrivals);
    later.idle.iter_mut().for_each(|(_, until)| until.0 += 3 * HOUR_MS);
    told.extend(step(&mut core, &later).await.announcements);
    core.store.close().await.unwrap();
    told
}

fn find(told: &[Announcement], rule: &str, kind: Kind) -> Incident {
    let is_it = |told: &&Announcement| told.kind == kind && told.incident.rule == rule;
    let found = told.iter().find(is_it);
    let kinds = || told.iter().map(|t| (t.kind, &t.incident.rule)).collect::<Vec<_>>();
    found.ok_or_else(kinds).unwrap().incident.clone()
}

/// Calls of each five minutes of one deployment, as its rows say.
fn calls(arrivals: &[Arrival], deployment: &str) -> BTreeMap<i64, f64> {
    let mut ends: BTreeMap<u128, i64> = BTreeMap::new();
    let events = arrivals.iter().flat_map(|arrival| decode::decode(&arrival.body).events);
    for event in events {
        let Event::Row(row) = event else { continue };
        if row.deployment == deployment {
            let end = ends.entry(row.call).or_insert(row.end.0);
            *end = (*end).min(row.end.0);
        }
    }
    let mut sums = BTreeMap::new();
    for end in ends.into_values() {
        *sums.entry(end.div_euclid(5 * MINUTE_MS)).or_insert(0.0) += 1.0;
    }
    sums
}

/// What a chart shows beside what was there, step by step.
fn beside(chart: &Chart, there: &BTreeMap<i64, f64>) -> Vec<(f64, f64)> {
    let first = chart.start.0.div_euclid(5 * MINUTE_MS);
    let slots = (first..).map(|slot| there.get(&slot).copied().unwrap_or(0.0));
    chart.observed.iter().copied().zip(slots).collect()
}

#[track_caller]
fn check_chart(chart: &Chart) {
    let steps = chart.observed.len();
    assert!((1..=48).contains(&steps), "{steps}");
    assert_eq!((chart.expected.len(), chart.upper.len()), (steps, steps));
    assert!(chart.from < chart.until && chart.until <= steps, "{chart:?}");
    let json = serde_json::to_string(chart).unwrap();
    assert!(json.len() < CHART_MAX, "{}", json.len());
    assert_eq!(&serde_json::from_str::<Chart>(&json).unwrap(), chart);
}

#[tokio::test]
async fn a_stolen_key_is_told_with_its_picture_and_its_first_call() {
    let options = options(Scenario::StolenKey);
    let truth = Simulation::new(options).truth();
    let attack = truth.attack.unwrap();
    let arrivals = arrivals(options);
    let told = announced(&arrivals, 40, 0).await;
    let incident = find(&told, "TW-C01", Kind::Open);

    let chart = incident.chart.clone().unwrap();
    check_chart(&chart);
    assert!(
        chart.expected.iter().all(Option::is_some),
        "sixteen days are enough to expect something"
    );
    let there = beside(&chart, &calls(&arrivals, &attack.deployment));
    for (seen, there) in there.iter().take(chart.from) {
        assert_eq!(*seen > 0.0, *there > 0.0, "money is seen where calls were");
    }

    let began = time::parse(&attack.start).unwrap();
    let (call, hub) = (incident.first_call.unwrap(), incident.first_arrival.unwrap());
    assert!((began..began + 10 * MINUTE_MS).contains(&call.0), "{call} of {}", attack.start);
    assert!(call.0 <= hub.0 && hub <= incident.opened_at, "{call} {hub} {}", incident.opened_at);
    let is_attacker = |network: &str| attack.callers.iter().any(|caller| caller == network);
    assert!(incident.callers.first().is_some_and(|first| is_attacker(&first.network)));
    assert!(!incident.callers_before.is_empty());
    assert!(!incident.callers_before.iter().any(|before| is_attacker(&before.network)));

    let over = find(&told, "TW-C01", Kind::Resolve);
    let chart = over.chart.unwrap();
    check_chart(&chart);
    let upper = chart.upper.last().copied().flatten().unwrap();
    assert!(chart.observed.last().is_some_and(|last| *last < upper), "how it ended: {chart:?}");
    assert_eq!(over.callers_before, incident.callers_before);
    assert_eq!(over.first_call, incident.first_call);
}

#[tokio::test]
async fn restarts_change_nothing_of_it() {
    let arrivals = arrivals(options(Scenario::StolenKey));
    let whole = find(&announced(&arrivals, 100, 0).await, "TW-C01", Kind::Resolve);
    let cut = find(&announced(&arrivals, 100, 3).await, "TW-C01", Kind::Resolve);
    assert_eq!(cut.chart, whole.chart);
    assert_eq!(cut.callers_before, whole.callers_before);
    assert_eq!((cut.first_call, cut.first_arrival), (whole.first_call, whole.first_arrival));
}

#[tokio::test]
async fn a_silence_is_drawn_from_its_beginning() {
    let busy = Options { calls_per_hour: 40.0, ..options(Scenario::Outage) };
    let arrivals = arrivals(busy);
    let incident = find(&announced(&arrivals, 40, 0).await, "TW-P12", Kind::Open);
    let chart = incident.chart.unwrap();
    check_chart(&chart);
    assert_eq!(chart.unit, "calls in 5 min");
    for (seen, there) in beside(&chart, &calls(&arrivals, &incident.deployment.unwrap())) {
        assert!((seen - there).abs() < 0.5, "{seen} of {there} calls");
    }
    let marked = chart.observed.get(chart.from..chart.until).unwrap();
    assert!(marked.len() >= 6 && marked.iter().all(|calls| *calls == 0.0), "{chart:?}");
    assert!(chart.observed.get(chart.from - 1).is_some_and(|calls| *calls > 0.0), "{chart:?}");
    assert_eq!((incident.first_call, incident.first_arrival), (None, None));
}
