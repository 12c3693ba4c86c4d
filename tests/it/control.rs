//! The control plane through the real pipeline: records as Azure writes them, copies of them, any order,
//! any cut, and a new start at any moment.

use std::path::Path;

use serde_json::{Value, json};
use tokenwatch::event::{Arrival, Batch};
use tokenwatch::incident::{Incident, State};
use tokenwatch::severity::Severity;
use tokenwatch::store::read::Reader;
use tokenwatch::time::ArrivalTime;

use crate::harness::{Folder, digest, members, open, partition, replay, same, step};

const ACCOUNT: &str =
    "/SUBSCRIPTIONS/S-1/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.COGNITIVESERVICES/ACCOUNTS/AIF";
const MINUTE_MS: i64 = 60_000;
const DAY_MIN: i64 = 24 * 60;

fn at_ms(minute: i64) -> i64 {
    tokenwatch::time::parse("2026-10-06T09:00:00Z").unwrap() + minute * MINUTE_MS
}

/// A record of the activity log; `what` follows the provider's name.
fn record(minute: i64, what: &str, outcome: &str, body: Option<Value>) -> Value {
    let time = tokenwatch::time::EventTime(at_ms(minute)).to_string();
    let mut properties = json!({ "eventCategory": "Administrative" });
    if let (Some(body), Some(fields)) = (body, properties.as_object_mut()) {
        fields.insert("responseBody".to_owned(), json!(body.to_string()));
    }
    json!({
        "time": time, "resourceId": ACCOUNT, "category": "Administrative",
        "operationName": format!("MICROSOFT.COGNITIVESERVICES/{what}"),
        "resultType": outcome, "resultSignature": "", "durationMs": "0",
        "callerIpAddress": "198.51.100.7",
        // One operation has one id, whatever its records say.
        "correlationId": format!("c-{what}-{}", minute.div_euclid(10)),
        "identity": { "claims": {
            "appid": "04b07795-8ddb-461a-bbee-02f9e1bf7b46", "appidacr": "0",
            "http://schemas.microsoft.com/identity/claims/objectidentifier": "eve-object",
            "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": "eve@contoso.example",
        } },
        "properties": properties,
    })
}

fn keys_on(on: bool) -> Option<Value> {
    Some(json!({ "properties": { "disableLocalAuth": !on, "publicNetworkAccess": "Enabled" } }))
}

/// Listing of the keys is refused, keys are allowed again, the keys are listed: each operation with the
/// records of its course. A week and more before, somebody made a deployment.
fn foundry_key_exfiltration() -> Vec<Value> {
    vec![
        record(-9 * DAY_MIN, "ACCOUNTS/DEPLOYMENTS/WRITE", "Success", None),
        record(0, "ACCOUNTS/LISTKEYS/ACTION", "Start", None),
        record(1, "ACCOUNTS/LISTKEYS/ACTION", "Failure", None),
        record(10, "ACCOUNTS/WRITE", "Start", keys_on(true)),
        record(11, "ACCOUNTS/WRITE", "Accept", None),
        record(12, "ACCOUNTS/WRITE", "Success", None),
        record(20, "ACCOUNTS/LISTKEYS/ACTION", "Start", None),
        record(21, "ACCOUNTS/LISTKEYS/ACTION", "Success", None),
    ]
}

/// Every record by two diagnostic settings, on two partitions, in the order of arrival.
fn twice(records: &[Value]) -> Vec<Arrival> {
    let mut arrivals = Vec::new();
    for (place, record) in (0..).zip(records) {
        let time = record.get("time").and_then(Value::as_str).unwrap();
        let told = tokenwatch::time::parse(time).unwrap() + 4 * MINUTE_MS;
        for copy in 0..2_u32 {
            // The first copy is now on one partition, now on the other.
            let number = (copy + u32::try_from(place).unwrap()) % 2;
            arrivals.push(Arrival {
                partition: partition(number),
                sequence: place,
                enqueued: ArrivalTime(told + i64::from(copy) * 1_000 + place),
                body: json!({ "records": [record] }).to_string().into_bytes(),
            });
        }
    }
    arrivals
}

async fn incidents(db: &str) -> Vec<Incident> {
    let mut all = Reader::open(Path::new(db)).await.unwrap().incidents().await.unwrap();
    all.sort_by(|a, b| a.key.cmp(&b.key));
    all
}

/// What people read of an incident, without the random part of its key.
fn told(incident: &Incident) -> String {
    let key = incident.key.rsplit_once('|').unwrap().0.to_owned();
    serde_json::to_string(&Incident { key, ..incident.clone() }).unwrap()
}

/// Reads arrivals in batches of so many, with a new start after every `cut`-th; then time passes.
async fn read(db: &str, arrivals: &[Arrival], (batch, cut): (usize, usize), idle_min: i64) {
    let mut core = open(db).await;
    step(&mut core, &members(arrivals)).await;
    for (place, part) in arrivals.chunks(batch).enumerate() {
        if place % cut == cut - 1 {
            core.store.close().await.unwrap();
            core = open(db).await;
            // A source says at its start what it reads.
            step(&mut core, &members(arrivals)).await;
        }
        step(&mut core, &Batch { arrivals: part.to_vec(), ..Batch::default() }).await;
    }
    let newest = arrivals.iter().map(|arrival| arrival.enqueued.0).max().unwrap();
    let passed = ArrivalTime(newest + idle_min * MINUTE_MS);
    let idle = vec![(partition(0), passed), (partition(1), passed)];
    step(&mut core, &Batch { idle, ..Batch::default() }).await;
    core.store.close().await.unwrap();
}

#[tokio::test]
async fn the_chain_of_a_foundry_key_is_one_critical_incident_however_it_is_read() {
    let folder = Folder::new();
    let arrivals = twice(&foundry_key_exfiltration());
    let mut by_partition = arrivals.clone();
    by_partition.sort_by(|a, b| a.partition.cmp(&b.partition));
    let mut known: Option<(Vec<String>, Vec<String>)> = None;
    for (name, order) in [("arrival", &arrivals), ("partition", &by_partition)] {
        for handing in [(1_000, 99), (1, 99), (1, 1), (3, 2)] {
            let db = folder.path(&format!("{name}-{}-{}.db", handing.0, handing.1));
            read(&db, order, handing, 0).await;
            let incidents = incidents(&db).await;
            let lines: Vec<String> = incidents.iter().map(told).collect();
            let found = (lines, digest(&db).await);
            let Some((lines, rows)) = &known else {
                let chain = incidents.iter().find(|i| i.rule == "TW-K03").unwrap();
                assert_eq!(chain.severity, Severity::Critical);
                assert_eq!(chain.account, "aif");
                let story = chain.evidence.join("\n");
                for part in ["refused to eve@contoso.example", "allowed again by", "listed by eve"]
                {
                    assert!(story.contains(part), "{part}: {story}");
                }
                assert_eq!(story.matches("listed by").count(), 1, "{story}");
                let undo = chain.response.first().unwrap();
                assert!(
                    undo.command.ends_with("--set properties.disableLocalAuth=true"),
                    "{undo:?}"
                );
                let rules: Vec<&str> = incidents.iter().map(|i| i.rule.as_str()).collect();
                assert_eq!(rules, ["TW-K01", "TW-K03"]);
                known = Some(found);
                continue;
            };
            assert_eq!(found.0, *lines, "{name} {handing:?}");
            same(&format!("{name} {handing:?}"), rows, &found.1);
        }
    }
}

#[tokio::test]
async fn without_the_success_nothing_happened() {
    let folder = Folder::new();
    let mut records = foundry_key_exfiltration();
    for record in &mut records {
        if record.get("resultType").is_some_and(|word| word == "Success") {
            *record.get_mut("resultType").unwrap() = json!("Failure");
        }
    }
    let db = folder.path("db");
    read(&db, &twice(&records), (2, 3), 0).await;
    assert_eq!(incidents(&db).await, []);
}

#[tokio::test]
async fn an_incident_ends_when_the_change_is_taken_back_or_after_a_day() {
    let folder = Folder::new();
    let chain = foundry_key_exfiltration();
    for (name, more, idle_min, over) in [
        ("open", None, 23 * 60, None),
        // The last operation was at 21 minutes.
        ("quiet", None, 25 * 60, Some(at_ms(21 + DAY_MIN))),
        (
            "undone",
            Some(record(90, "ACCOUNTS/WRITE", "Success", keys_on(false))),
            0,
            Some(at_ms(94)),
        ),
    ] {
        let db = folder.path(name);
        let records: Vec<Value> = chain.iter().cloned().chain(more).collect();
        let mut arrivals = twice(&records);
        if name != "undone" {
            arrivals.truncate(chain.len() * 2);
        }
        read(&db, &arrivals, (4, 2), idle_min).await;
        let found = incidents(&db).await;
        let k03 = found.iter().find(|incident| incident.rule == "TW-K03").unwrap();
        assert_eq!(k03.state == State::Resolved, over.is_some(), "{name}");
        let resolved = k03.resolved_at.map(|at| at.0 / 10_000);
        assert_eq!(resolved, over.map(|at| at / 10_000), "{name}");
    }
}

/// Two readings of one file in a row, as `replay` does it: the second changes nothing.
#[tokio::test]
async fn the_samples_of_the_activity_log_give_incidents_with_commands() {
    let folder = Folder::new();
    let samples = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/samples");
    let mut lines = Vec::new();
    let names = ["activity-guards", "activity-authorization", "activity-diagnosticsettings"];
    for (sequence, name) in names.iter().enumerate() {
        let text = std::fs::read_to_string(samples.join(format!("{name}.json"))).unwrap();
        let body: Value = serde_json::from_str(&text).unwrap();
        lines.push(
            json!({ "partition": 0, "sequence": sequence,
                           "enqueued": at_ms(60), "body": body.to_string() })
            .to_string(),
        );
    }
    let file = folder.write("capture.jsonl", lines.join("\n").as_bytes());
    let db = folder.path("db");
    replay(&[&file], &db);
    let found = incidents(&db).await;
    let rules: Vec<&str> = found.iter().map(|incident| incident.rule.as_str()).collect();
    for rule in ["TW-P05", "TW-P08", "TW-P09", "TW-P10", "TW-P14"] {
        assert!(rules.contains(&rule), "{rule} of {rules:?}");
    }
    for incident in &found {
        assert!(!incident.response.is_empty(), "{incident:?}");
        assert!(
            incident.evidence.iter().any(|line| line.contains("ada@contoso.example")),
            "{incident:?}"
        );
    }
    replay(&[&file], &db);
    assert_eq!(incidents(&db).await, found);
}
