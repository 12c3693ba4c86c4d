//! Logs that hold fewer calls than metrics count, through the real pipeline: any cut, and a new start at any moment.

use serde_json::{Value, json};
use tokenwatch::incident::{Incident, State};
use tokenwatch::time::Minute;

use crate::harness::{Folder, dealt_in_order, read_in_parts, same};
use crate::hour::point;
use crate::records::{ACCOUNT, MORNING, at, request, usage};

const HOUR: i64 = 3_600;
const NETWORK: &str = "198.18.0.***";
/// Calls a minute.
const CALLS: i64 = 3;

/// Seven hours of calls with their metrics; of some hours one call of three is not logged.
fn calls(holes: std::ops::Range<i64>) -> Vec<(i64, Value)> {
    let mut rows = Vec::new();
    for minute in 0..7 * 60 {
        let second = minute * 60;
        for call in 0..CALLS {
            if call == 0 && holes.contains(&(minute / 60)) {
                continue;
            }
            let id = format!("{minute}-{call}");
            rows.push((second + 40, request(second + 10 * call, &id, NETWORK, "", 200)));
            rows.push((second + 41, usage(second + 10 * call, &id, [300, 0, 30])));
        }
        let start = Minute((MORNING + second) / 60);
        rows.push((second + 270, point(ACCOUNT, start, ("ModelRequests", CALLS))));
    }
    rows
}

/// A diagnostic setting of the account goes.
fn blinded(second: i64) -> (i64, Value) {
    let setting = format!("{ACCOUNT}/providers/microsoft.insights/diagnosticSettings/to-hub");
    let record = json!({
        "time": at(second), "resourceId": setting, "category": "Administrative",
        "operationName": "MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE",
        "resultType": "Success", "resultSignature": "", "durationMs": "0",
        "callerIpAddress": "198.51.100.7", "correlationId": "c-1",
        "properties": { "eventCategory": "Administrative" },
    });
    (second + 240, record)
}

async fn read(rows: Vec<(i64, Value)>, parts: (usize, usize)) -> Vec<Incident> {
    let arrivals = dealt_in_order(rows);
    let folder = Folder::new();
    let mut incidents = read_in_parts(&folder.path("db"), &arrivals, parts, 12 * HOUR).await;
    incidents.retain(|incident| ["TW-P13", "TW-P10"].contains(&&*incident.rule));
    incidents
}

#[tokio::test]
async fn three_hours_with_holes_are_told_however_they_are_read() {
    let mut known: Option<Vec<String>> = None;
    for parts in [(100, 99), (97, 13), (31, 1)] {
        let found = read(calls(2..6), parts).await;
        let plain = |incident: &Incident| {
            let key = incident.key.rsplit_once('|').unwrap().0.to_owned();
            serde_json::to_string(&Incident { key, ..incident.clone() }).unwrap()
        };
        let told: Vec<String> = found.iter().map(plain).collect();
        if let Some(known) = &known {
            same(&format!("{parts:?}"), known, &told);
            continue;
        }
        known = Some(told);
        let [incident] = found.as_slice() else { panic!("{found:#?}") };
        assert_eq!((&*incident.rule, incident.state), ("TW-P13", State::Resolved));
        assert_eq!((incident.observed.round(), incident.parent.as_deref()), (67.0, None));
        // From the first hour with holes to the last; known an hour after the third.
        let hours = [incident.first_window.0, incident.last_window.0, incident.opened_at.0];
        let hours = hours.map(|at| (at / 1_000 - MORNING) / HOUR);
        assert_eq!(hours, [2, 6, 6]);
        assert!(
            incident.evidence.iter().any(|fact| fact.contains("120 calls in the logs, 180 by"))
        );
    }
}

#[tokio::test]
async fn two_hours_with_holes_are_not_told() {
    assert_eq!(read(calls(2..4), (97, 13)).await, []);
}

#[tokio::test]
async fn holes_that_a_reduced_setting_explains_are_a_part_of_it() {
    let mut rows = calls(2..6);
    rows.push(blinded(2 * HOUR));
    let found = read(rows, (97, 13)).await;
    let of = |rule: &str| found.iter().find(|incident| incident.rule == rule).unwrap();
    assert_eq!(of("TW-P13").parent.as_ref(), Some(&of("TW-P10").key), "{found:#?}");
}
