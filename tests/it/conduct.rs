//! What callers do, through the real pipeline: rows as Azure writes them, any cut, and a new start at any
//! moment.

use serde_json::{Value, json};
use tokenwatch::incident::{Incident, State};
use tokenwatch::severity::Severity;

use crate::harness::{Folder, dealt, digest, read_in_parts, same};
use crate::records::{ACCOUNT, at, request, twin};

const APP: &str = "c2b7a1d0-5e6f-4a7b-8c9d-0e1f2a3b4c5d";
const OFFICE: &str = "198.18.0.***";
const THIEF: &str = "203.0.113.***";
const HOUR: i64 = 3_600;
/// Days in which nothing happens but the application's calls.
const DAYS: i64 = 8;

/// A row that was refused, with the size of its request.
fn refused(second: i64, id: &str, network: &str, (status, length): (u16, u32)) -> Value {
    let mut row = request(second, id, network, "", status);
    if let Some(properties) = row.get_mut("properties").and_then(Value::as_object_mut) {
        properties.insert("requestLength".to_owned(), json!(length));
    }
    row
}

/// Hourly calls of an application and a day's worth of nothing else; then somebody at `network` sends three
/// calls made to fail, is refused twenty-five times, and gets one answer. Listings in between name nothing.
fn rows(network: &str) -> Vec<(i64, Value)> {
    let mut rows = Vec::new();
    for hour in 0..DAYS * 24 + 3 {
        let (second, id) = (hour * HOUR, format!("app-{hour}"));
        rows.push((second + 30, twin(second, &id, OFFICE)));
        rows.push((second + 31, request(second, &id, OFFICE, APP, 200)));
    }
    let start = DAYS * 24 * HOUR + 600;
    for n in 0..3 {
        let row = refused(start + n, &format!("probe-{n}"), network, (400, 120));
        rows.push((start + 40 + n, row));
    }
    for n in 0..25 {
        let row = refused(start + 10 + n, &format!("denied-{n}"), network, (401, 900));
        rows.push((start + 60 + n, row));
    }
    let works = start + 301;
    rows.push((works + 30, twin(works, "works", network)));
    rows.push((works + 31, request(works, "works", network, "", 200)));
    rows.sort_by_key(|(told, _)| *told);
    rows
}

/// What people read of incidents, without the random part of their keys.
fn told(incidents: &[Incident]) -> Vec<String> {
    let told = |incident: &Incident| {
        let key = incident.key.rsplit_once('|').unwrap().0.to_owned();
        serde_json::to_string(&Incident { key, ..incident.clone() }).unwrap()
    };
    incidents.iter().map(told).collect()
}

/// The incidents of these rows, which are the same however they are read.
async fn however_read(rows: &[(i64, Value)], expected: &[(&str, Severity)]) -> Vec<Incident> {
    let (folder, arrivals) = (Folder::new(), dealt(rows));
    let mut known: Option<(Vec<String>, Vec<String>)> = None;
    let mut first = Vec::new();
    for (batch, cut) in [(1_000, 99), (7, 9), (29, 1)] {
        let db = folder.path(&format!("{batch}-{cut}.db"));
        let incidents = read_in_parts(&db, &arrivals, (batch, cut), 3 * HOUR).await;
        let found = (told(&incidents), digest(&db).await);
        assert!(found.1.iter().any(|line| line.starts_with("usual day")), "{:?}", found.1);
        let Some((lines, rows)) = &known else {
            let rules: Vec<_> = incidents.iter().map(|i| (i.rule.as_str(), i.severity)).collect();
            assert_eq!(rules, expected);
            assert!(incidents.iter().all(|i| i.state == State::Resolved), "{incidents:#?}");
            (known, first) = (Some(found), incidents);
            continue;
        };
        same(&format!("{batch}-{cut}: told"), lines, &found.0);
        same(&format!("{batch}-{cut}: rows"), rows, &found.1);
    }
    first
}

#[tokio::test]
async fn a_probe_and_a_key_that_fits_are_told_however_they_are_read() {
    let expected = [("TW-A02", Severity::High), ("TW-A04", Severity::High)];
    for incident in however_read(&rows(THIEF), &expected).await {
        let caller = incident.callers.first().unwrap();
        assert_eq!((caller.network.as_str(), caller.identity.as_str()), ("203.0.113.0/24", "key"));
        assert!(caller.new, "{incident:#?}");
        assert!(incident.evidence.iter().any(|fact| fact.contains("masks")));
        let commands: Vec<_> = incident.response.iter().map(|step| &step.command).collect();
        assert!(commands.iter().all(|command| command.starts_with("az ")), "{commands:?}");
        assert!(commands.iter().any(|command| command.ends_with("--key-name Key2")));
        assert!(commands.iter().any(|command| command.ends_with("defaultAction=Deny")));
    }
}

#[tokio::test]
async fn the_same_from_a_network_that_has_called_for_long_is_no_probe() {
    let folder = Folder::new();
    let incidents =
        read_in_parts(&folder.path("db"), &dealt(&rows(OFFICE)), (1_000, 99), 2 * HOUR).await;
    let rules: Vec<_> = incidents.iter().map(|i| (i.rule.as_str(), i.severity)).collect();
    // Refused calls are told all the same, as one's own expired secret would be.
    assert_eq!(rules, [("TW-A04", Severity::Medium)]);
}

/// The activity log says that somebody made a key anew.
fn key_made(second: i64) -> Value {
    json!({
        "time": at(second), "resourceId": ACCOUNT, "category": "Administrative",
        "operationName": "MICROSOFT.COGNITIVESERVICES/ACCOUNTS/REGENERATEKEY/ACTION",
        "resultType": "Success", "resultSignature": "Succeeded.OK", "durationMs": "0",
        "callerIpAddress": "198.51.100.7", "correlationId": format!("made-{second}"),
        "identity": { "claims": {
            "http://schemas.microsoft.com/identity/claims/objectidentifier": "ops-object",
        } },
        "properties": { "eventCategory": "Administrative" },
    })
}

/// A partner calls with a key every six hours; then keys are made anew, and it is refused five times.
fn old_key(is_made: bool) -> Vec<(i64, Value)> {
    let mut rows = rows("");
    rows.retain(|(_, row)| row.get("callerIpAddress").is_some_and(|from| from == OFFICE));
    for quarter in 0..DAYS * 4 {
        let (second, id) = (quarter * 6 * HOUR + 700, format!("partner-{quarter}"));
        rows.push((second + 30, twin(second, &id, THIEF)));
        rows.push((second + 31, request(second, &id, THIEF, "", 200)));
    }
    let made = DAYS * 24 * HOUR + 600;
    if is_made {
        rows.push((made + 400, key_made(made)));
    }
    for n in 0..5 {
        let second = made + 300 + 60 * n;
        let row = refused(second, &format!("old-{n}"), THIEF, (401, 900));
        rows.push((second + 40, row));
    }
    rows.sort_by_key(|(told, _)| *told);
    rows
}

#[tokio::test]
async fn who_holds_an_old_key_is_told_however_it_is_read() {
    let incidents = however_read(&old_key(true), &[("TW-A05", Severity::Low)]).await;
    let caller = incidents.first().and_then(|incident| incident.callers.first()).unwrap();
    assert!(caller.network == "203.0.113.0/24" && !caller.new, "{caller:?}");
}

#[tokio::test]
async fn refused_calls_without_a_new_key_say_nothing_of_an_old_one() {
    let (folder, arrivals) = (Folder::new(), dealt(&old_key(false)));
    let db = folder.path("db");
    assert!(read_in_parts(&db, &arrivals, (1_000, 99), 2 * HOUR).await.is_empty());
}

/// The application's calls, and calls of others at these seconds of the last morning: named operation, size.
fn with_calls(calls: impl Iterator<Item = (i64, &'static str, i64)>) -> Vec<(i64, Value)> {
    let mut rows = rows("");
    rows.retain(|(_, row)| row.get("callerIpAddress").is_some_and(|from| from == OFFICE));
    for (place, (second, operation, bytes)) in calls.enumerate() {
        let second = DAYS * 24 * HOUR + second;
        let mut row = request(second, &format!("more-{place}"), THIEF, APP, 200);
        if let Some(fields) = row.as_object_mut() {
            fields.insert("operationName".to_owned(), json!(operation));
        }
        if let Some(fields) = row.get_mut("properties").and_then(Value::as_object_mut) {
            fields.insert("requestLength".to_owned(), json!(bytes));
        }
        rows.push((second + 31, row));
    }
    rows.sort_by_key(|(told, _)| *told);
    rows
}

#[tokio::test]
async fn a_loop_of_an_agent_is_told_however_it_is_read() {
    let grows = (0..120).map(|n| (600 + 10 * n, "ChatCompletions_Create", 1_000 + 100 * n));
    // It costs next to nothing.
    let incidents = however_read(&with_calls(grows), &[("TW-C14", Severity::Low)]).await;
    let facts = &incidents.first().unwrap().evidence;
    assert!(facts.iter().any(|fact| fact.contains("times by the end")), "{facts:?}");
}

#[tokio::test]
async fn a_beat_of_hours_is_told_however_it_is_read() {
    let beats = (0..240).map(|n| (60 * n, "Threads_ListMessages", 200));
    let expected = [("TW-A08", Severity::Medium), ("TW-A10", Severity::Medium)];
    let incidents = however_read(&with_calls(beats), &expected).await;
    let facts = &incidents.last().unwrap().evidence;
    assert!(facts.iter().any(|fact| fact.contains("once in about 60 s")), "{facts:?}");
}
