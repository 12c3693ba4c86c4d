//! Public networks that are served by an account which lets none in, through the real pipeline: any cut, and a
//! new start at any moment.

use serde_json::{Value, json};
use tokenwatch::incident::{Incident, State};
use tokenwatch::severity::Severity;

use crate::harness::{Folder, dealt_in_order, read_in_parts, same};
use crate::records::{ACCOUNT, MORNING, at, request, usage};

const HOUR: i64 = 3_600;
const PUBLIC: &str = "203.0.113.***";
const PRIVATE: &str = "10.20.30.***";

/// The account written with this public access.
fn written(second: i64, access: &str) -> (i64, Value) {
    let body = json!({ "location": "eastus2", "kind": "AIServices", "properties": {
        "publicNetworkAccess": access, "networkAcls": { "bypass": "None" },
    } });
    let record = json!({
        "time": at(second), "resourceId": ACCOUNT, "category": "Administrative",
        "operationName": "MICROSOFT.COGNITIVESERVICES/ACCOUNTS/WRITE",
        "resultType": "Success", "resultSignature": "Succeeded.OK", "durationMs": "0",
        "callerIpAddress": "198.51.100.7", "correlationId": format!("c-{second}"),
        "properties": { "eventCategory": "Administrative", "responseBody": body.to_string() },
    });
    (second + 300, record)
}

/// Calls from a network every minute of some hours.
fn calls(hours: std::ops::Range<i64>, network: &str) -> Vec<(i64, Value)> {
    let minutes = hours.start * 60..hours.end * 60;
    let call = |minute: i64| {
        let (second, id) = (minute * 60, format!("{network}-{minute}"));
        [
            (second + 30, request(second, &id, network, "", 200)),
            (second + 30, usage(second, &id, [500, 0, 50])),
        ]
    };
    minutes.flat_map(call).collect()
}

fn found(incidents: &[Incident]) -> Vec<&Incident> {
    incidents.iter().filter(|incident| incident.rule == "TW-I06").collect()
}

async fn read(rows: Vec<(i64, Value)>, parts: (usize, usize)) -> Vec<Incident> {
    let folder = Folder::new();
    read_in_parts(&folder.path("db"), &dealt_in_order(rows), parts, 9 * HOUR).await
}

#[tokio::test]
async fn a_public_caller_is_found_after_the_shutting_however_it_is_read() {
    let mut known: Option<Vec<String>> = None;
    for parts in [(100, 99), (97, 13), (31, 1), (10_000, 99)] {
        let mut rows = vec![written(2 * HOUR, "Disabled")];
        rows.extend(calls(0..4, PUBLIC));
        rows.extend(calls(4..6, PRIVATE));
        let incidents = read(rows, parts).await;
        let found = found(&incidents);
        let plain = |incident: &&Incident| {
            let key = incident.key.rsplit_once('|').unwrap().0.to_owned();
            serde_json::to_string(&Incident { key, ..(**incident).clone() }).unwrap()
        };
        let told: Vec<String> = found.iter().map(plain).collect();
        if let Some(known) = &known {
            same(&format!("{parts:?}"), known, &told);
            continue;
        }
        known = Some(told);
        let [incident] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!((incident.severity, incident.state), (Severity::High, State::Resolved));
        // From a quarter of an hour after the shutting to the last call from outside.
        let [first, last] = [incident.first_window, incident.last_window].map(|at| at.0 / 1_000);
        assert_eq!((first - MORNING, last - MORNING), (2 * HOUR + 900, 4 * HOUR));
        assert_eq!(incident.callers.first().unwrap().network, "203.0.113.0/24");
        assert!(incident.evidence.iter().any(|fact| fact.contains("Disabled")), "{incident:#?}");
        let steps: Vec<&str> = incident.response.iter().map(|step| &*step.command).collect();
        assert!(
            steps.iter().any(|step| step.contains("publicNetworkAccess=Disabled")),
            "{steps:?}"
        );
    }
}

#[tokio::test]
async fn calls_before_the_shutting_and_after_the_opening_are_lawful() {
    let mut rows = vec![written(2 * HOUR, "Disabled"), written(3 * HOUR, "Enabled")];
    rows.extend(calls(0..2, PUBLIC));
    rows.extend(calls(3..6, PUBLIC));
    assert_eq!(found(&read(rows, (97, 13)).await), Vec::<&Incident>::new());
}
