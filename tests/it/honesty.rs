//! What the data say about themselves is the same however they are handed over, and survives a stop.

use std::path::Path;

use serde_json::{Value, json};
use tokenwatch::event::{Arrival, Batch};
use tokenwatch::store::read::Reader;
use tokenwatch::time::{ArrivalTime, DAY_MS, HOUR_MS, MINUTE_MS, Minute};

use crate::harness::{Folder, digest, idle, members, open, partition, same, step};
use crate::hour::{Hour, point, points};
use crate::interleaving::{Handing, Order, PLAIN, outcome};

const ACCOUNT: &str = "/subscriptions/s/resourcegroups/g/providers/microsoft.cognitiveservices/\
                       accounts/a";
/// 2026-10-01T00:00:00Z.
const START_MS: i64 = 1_790_812_800_000;

/// One row of a call at `at_ms`.
fn row(at_ms: i64, call: usize, caller: &str) -> Value {
    json!({
        "category": "RequestResponse", "correlationId": format!("call-{call}"),
        "time": ArrivalTime(at_ms).to_string(), "resourceId": ACCOUNT.to_uppercase(),
        "callerIpAddress": "203.0.113.***", "resultSignature": "200",
        "properties": { "modelDeploymentName": "d", "modelName": "gpt-4o", "promptTokens": call,
                        "completionTokens": 1, "callerObjectId": caller }
    })
}

/// Events numbered by partition, as a hub does.
fn numbered(mut events: Vec<(i64, u32, Vec<Value>)>) -> Vec<Arrival> {
    events.sort_by_key(|(at_ms, partition, _)| (*at_ms, *partition));
    let mut next = std::collections::BTreeMap::new();
    let arrival = |(at_ms, number, records): (i64, u32, Vec<Value>)| {
        let sequence = next.entry(number).or_insert(0_i64);
        *sequence += 1;
        Arrival {
            partition: partition(number),
            sequence: *sequence - 1,
            enqueued: ArrivalTime(at_ms),
            body: json!({ "records": records }).to_string().into_bytes(),
        }
    };
    events.into_iter().map(arrival).collect()
}

const KNOWN: &str = "c2b7a1d0-5e6f-4a7b-8c9d-0e1f2a3b4c5d";

/// Five days of ten calls an hour on two partitions, each with its metrics on a third. On the third
/// day nobody is named; in one hour of the fourth there are many calls and every row comes twice.
fn days() -> Vec<Arrival> {
    let mut events = Vec::new();
    for hour in 0..5 * 24 {
        let start_ms = START_MS + hour * HOUR_MS;
        let (day, is_doubled) = (hour / 24, hour == 3 * 24 + 9);
        let calls = if is_doubled { 60 } else { 10 };
        for call in 0..calls {
            let at_ms = start_ms + call * 50_000;
            let number = usize::try_from(hour * 100 + call + 1).unwrap();
            let row = row(at_ms, number, if day == 2 { "" } else { KNOWN });
            let place = u32::try_from(call % 2).unwrap();
            events.push((at_ms + 60_000, place, vec![row.clone()]));
            if is_doubled {
                events.push((at_ms + 70_000, 1 - place, vec![row]));
            }
        }
        let minute = Minute(start_ms / MINUTE_MS);
        // The first value is wrong and told again; the second family is never added to the first.
        let first = point(ACCOUNT, minute, ("InputTokens", 7));
        events.push((start_ms + 4 * MINUTE_MS, 2, vec![first]));
        events.push((start_ms + 9 * MINUTE_MS, 3, points(ACCOUNT, minute, [900, 10, 10])));
    }
    numbered(events)
}

#[tokio::test]
async fn verdicts_and_sums_are_the_same_in_any_order() {
    let arrivals = days();
    let expected = outcome(&arrivals, PLAIN).await;
    let incidents: Vec<&String> =
        expected.iter().filter(|line| line.starts_with("incident TW-S0")).collect();
    let (second, third) = (START_MS + 2 * DAY_MS, START_MS + (3 * 24 + 9) * HOUR_MS);
    assert_eq!(
        incidents,
        [
            &format!("incident TW-S08|a/RequestResponse|1|{third}|low"),
            &format!("incident TW-S09|RequestResponse|1|{second}|low"),
        ]
    );
    let hours = expected.iter().filter(|line| line.starts_with("metric_hour "));
    let hours: Vec<_> = hours.map(|line| line.ends_with("|900|10|10")).collect();
    assert_eq!(hours, vec![true; 5 * 24]);
    let sized = Handing { batch: 97, tail_batch: 7, ..PLAIN };
    let mixed = Handing { order: Order::OneByOne, batch: 300, seed: 1, ..PLAIN };
    let rough = Handing { order: Order::Runs(30), batch: 80, twice: 3, cut: 3, seed: 2, ..PLAIN };
    for handing in [sized, mixed, rough] {
        same(&format!("{handing:?}"), &expected, &outcome(&arrivals, handing).await);
    }
}

#[tokio::test]
async fn captured_hours_are_the_same_in_any_order() {
    let lines = Hour::new().doubled().0;
    let mut places: Vec<&str> = Vec::new();
    let mut events = Vec::new();
    for line in &lines {
        let text = |name: &str| line.get(name).and_then(Value::as_str).unwrap();
        let at_ms = tokenwatch::time::parse(text("enqueued")).unwrap();
        let known = places.iter().position(|place| *place == text("partition"));
        let place = known.unwrap_or_else(|| {
            places.push(text("partition"));
            places.len() - 1
        });
        let records = line.pointer("/body/records").and_then(Value::as_array).unwrap();
        events.push((at_ms, u32::try_from(place).unwrap(), records.clone()));
    }
    let arrivals = numbered(events);
    let expected = outcome(&arrivals, PLAIN).await;
    assert!(expected.iter().any(|line| line.starts_with("incident TW-S08|")), "{expected:#?}");
    let cut = Handing { order: Order::Runs(50), batch: 100, twice: 4, cut: 3, seed: 3, ..PLAIN };
    same("cut", &expected, &outcome(&arrivals, cut).await);
}

#[tokio::test]
async fn an_account_that_sends_metrics_alone_holds_no_window_back() {
    let folder = Folder::new();
    let db = folder.path("db");
    let at = |minutes: i64| START_MS + minutes * MINUTE_MS;
    let other = "/subscriptions/s/resourcegroups/g/providers/microsoft.storage/accounts/b";
    let minute = Minute(START_MS / MINUTE_MS);
    let events = vec![
        (at(4), 0, points(ACCOUNT, minute, [5, 1, 1])),
        // Another type of resource is nobody's account, and a point of next week is none.
        (at(5), 0, points(other, minute, [5, 1, 1])),
        (at(6), 0, points(ACCOUNT, Minute(minute.0 + 7 * 24 * 60), [5, 1, 1])),
    ];
    let arrivals = numbered(events);
    let mut core = open(&db).await;
    step(&mut core, &members(&arrivals)).await;
    let batch = Batch { arrivals: arrivals.clone(), ..Batch::default() };
    let effects = step(&mut core, &batch).await;
    assert_eq!(effects.counters.get("unbelievable_metric_points"), Some(&6));
    step(&mut core, &idle(&arrivals)).await;
    core.store.close().await.unwrap();
    let lines = digest(&db).await;
    let of_metrics: Vec<_> = lines.iter().filter(|line| line.starts_with("metric_hour")).collect();
    assert_eq!(of_metrics, [&format!("metric_hour {ACCOUNT}|{}|5|1|1", minute.0)]);
    assert_eq!(lines.iter().filter(|line| line.starts_with("sent ")).count(), 1, "{lines:#?}");
    let connection = &mut crate::harness::connect(&db).await;
    let hubs = sqlx::query("select 1 from account_hub").fetch_all(connection).await.unwrap();
    assert_eq!(hubs.len(), 0, "metrics do not make a hub feed an account");
}

#[tokio::test]
async fn delays_are_told_by_leg() {
    let folder = Folder::new();
    let db = folder.path("db");
    let events = (0..100).map(|n| {
        let end_ms = START_MS + n * 1_000;
        (end_ms + 40_000, 0, vec![row(end_ms, usize::try_from(n).unwrap(), KNOWN)])
    });
    let arrivals = numbered(events.collect());
    let mut core = open(&db).await;
    let newest = arrivals.last().unwrap().enqueued;
    // Our clock: two seconds after the last of them, so 2 to 101 s after each.
    let clock = Some(ArrivalTime(newest.0 + 2_000));
    let batch = Batch { arrivals: arrivals.clone(), clock, ..Batch::default() };
    step(&mut core, &batch).await;
    core.store.close().await.unwrap();
    let mut reader = Reader::open(Path::new(&db)).await.unwrap();
    let delays = reader.delays(0).await.unwrap();
    assert_eq!(delays.len(), 1);
    let delay = delays.first().unwrap();
    assert_eq!((delay.hub.as_str(), delay.kind.as_str()), ("hub", "RequestResponse"));
    let near = |read: Option<i64>, exact: i64| {
        let read = read.unwrap();
        assert!((read - exact).abs() <= exact / 4, "{read} for {exact}");
    };
    assert_eq!((delay.to_hub.records(), delay.to_us.records()), (100, 100));
    near(delay.to_hub.quantile(500), 40_000);
    near(delay.to_us.quantile(500), 51_000);
    near(delay.to_us.quantile(950), 96_000);
}
