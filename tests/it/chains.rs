//! Findings that mean more together, through the real pipeline: any cut, and a new start at any moment.

use serde_json::{Value, json};
use tokenwatch::incident::{Incident, State};
use tokenwatch::severity::Severity;

use crate::harness::{Folder, dealt_in_order, read_in_parts, same};
use crate::records::{ACCOUNT, at, request, twin, usage};

const APP: &str = "c2b7a1d0-5e6f-4a7b-8c9d-0e1f2a3b4c5d";
const OFFICE: &str = "198.18.0.***";
const THIEF: &str = "203.0.113.***";
const HOUR: i64 = 3_600;
/// When it begins: after eight days of nothing but the application's calls.
const BEGIN: i64 = 8 * 24 * HOUR + 600;

/// A record of the activity log.
fn act(second: i64, what: &str, outcome: &str, who: &str) -> (i64, Value) {
    let record = json!({
        "time": at(second), "resourceId": ACCOUNT, "category": "Administrative",
        "operationName": format!("MICROSOFT.COGNITIVESERVICES/{what}"),
        "resultType": outcome, "resultSignature": "", "durationMs": "0",
        "callerIpAddress": "198.51.100.7", "correlationId": format!("c-{what}-{second}"),
        "identity": { "claims": {
            "appid": "04b07795-8ddb-461a-bbee-02f9e1bf7b46", "appidacr": "0",
            "http://schemas.microsoft.com/identity/claims/objectidentifier": who,
        } },
        "properties": { "eventCategory": "Administrative" },
    });
    (second + 240, record)
}

/// What Defender says of the account.
fn alert(second: i64) -> (i64, Value) {
    let record = json!({
        "AlertType": "AI.Azure_DOWVolumeAnomaly", "SystemAlertId": "2516_7c1d", "Severity": "Medium",
        "Status": "New", "Intent": "Impact", "AzureResourceId": ACCOUNT,
        "AlertDisplayName": "Suspected wallet attack - volume anomaly",
        "StartTimeUtc": at(second - HOUR), "EndTimeUtc": at(second), "TimeGenerated": at(second),
    });
    (second + 300, record)
}

/// The rows of one answered call, half a minute after it.
fn call(
    second: i64,
    id: &str,
    (network, identity): (&str, &str),
    tokens: u32,
) -> [(i64, Value); 3] {
    [
        (second + 30, twin(second, id, network)),
        (second + 31, request(second, id, network, identity, 200)),
        (second + 32, usage(second, id, [tokens, 0, tokens / 10])),
    ]
}

/// Three calls an hour of an application, and one deployment long ago by whoever deploys.
fn quiet() -> Vec<(i64, Value)> {
    let mut rows = vec![act(60, "ACCOUNTS/DEPLOYMENTS/WRITE", "Success", "pipeline-object")];
    for n in 0..3 * (8 * 24 + 4) {
        rows.extend(call(n * HOUR / 3, &format!("app-{n}"), (OFFICE, APP), 2_000));
    }
    rows
}

/// Somebody lists the keys; within the hour a new network uses one at length; Defender notices later.
fn theft(keys_listed: bool) -> Vec<(i64, Value)> {
    let mut rows = quiet();
    if keys_listed {
        rows.push(act(BEGIN, "ACCOUNTS/LISTKEYS/ACTION", "Success", "eve-object"));
    }
    for n in 0..240 {
        let second = BEGIN + 2_400 + 5 * n;
        rows.extend(call(second, &format!("theft-{n}"), (THIEF, ""), 60_000));
    }
    rows.push(alert(BEGIN + 2 * HOUR));
    rows
}

/// The diagnostic settings go; the same day many calls are refused.
fn blind() -> Vec<(i64, Value)> {
    let mut rows = quiet();
    let (told, mut gone) = act(BEGIN, "-", "Success", "eve-object");
    if let Some(fields) = gone.as_object_mut() {
        let what = "MICROSOFT.INSIGHTS/DIAGNOSTICSETTINGS/DELETE";
        fields.insert("operationName".to_owned(), json!(what));
        let which = format!("{ACCOUNT}/providers/microsoft.insights/diagnosticSettings/to-hub");
        fields.insert("resourceId".to_owned(), json!(which));
    }
    rows.push((told, gone));
    for n in 0..40 {
        let second = BEGIN + HOUR + n;
        rows.push((second + 30, request(second, &format!("refused-{n}"), THIEF, "", 401)));
    }
    rows
}

fn chains(incidents: &[Incident]) -> Vec<(&str, Severity)> {
    let chains = incidents.iter().filter(|incident| incident.rule.starts_with("TW-X"));
    chains.map(|incident| (incident.rule.as_str(), incident.severity)).collect()
}

#[tokio::test]
async fn a_theft_is_told_with_its_time_line_however_it_is_read() {
    let folder = Folder::new();
    let arrivals = dealt_in_order(theft(true));
    let mut known: Option<Vec<String>> = None;
    for (batch, cut) in [(100_000, 99), (97, 13), (1_009, 1)] {
        let db = folder.path(&format!("{batch}.db"));
        let incidents = read_in_parts(&db, &arrivals, (batch, cut), 48 * HOUR).await;
        let told = incidents.iter().filter(|incident| incident.rule.starts_with("TW-X"));
        let told: Vec<String> = told
            .map(|incident| {
                let key = incident.key.rsplit_once('|').unwrap().0.to_owned();
                let children = incident.children.len();
                let plain = Incident {
                    key,
                    children: Vec::new(),
                    evidence: Vec::new(),
                    ..incident.clone()
                };
                format!("{children} {}", serde_json::to_string(&plain).unwrap())
            })
            .collect();
        if let Some(known) = &known {
            same(&format!("{batch}-{cut}"), known, &told);
            continue;
        }
        known = Some(told);
        assert_eq!(
            chains(&incidents),
            [("TW-X01", Severity::Critical), ("TW-X04", Severity::High)]
        );
        let theft = incidents.iter().find(|incident| incident.rule == "TW-X01").unwrap();
        assert_eq!(theft.state, State::Resolved);
        let story: Vec<&str> = ["TW-K01", "TW-I01", "TW-C01"]
            .into_iter()
            .filter(|rule| theft.evidence.iter().any(|fact| fact.contains(&format!("({rule}, "))))
            .collect();
        assert_eq!(story, ["TW-K01", "TW-I01", "TW-C01"], "{theft:#?}");
        assert!(theft.evidence.is_sorted(), "{theft:#?}");
        assert!(theft.cost.is_some_and(|cost| cost.usd() > 20.0), "{theft:#?}");
        let thief = theft.callers.first().unwrap();
        assert_eq!((thief.network.as_str(), thief.new), ("203.0.113.0/24", true));
        let steps: Vec<&str> = theft.response.iter().map(|step| step.command.as_str()).collect();
        assert!(steps.iter().any(|step| step.contains("keys regenerate")), "{steps:?}");
        // What led to it is part of it; what goes on costing speaks for itself.
        let parts: Vec<&str> = incidents
            .iter()
            .filter(|incident| incident.parent.as_deref() == Some(&*theft.key))
            .map(|incident| incident.rule.as_str())
            .collect();
        assert!(parts.contains(&"TW-K01") && !parts.contains(&"TW-C01"), "{parts:?}");
    }
}

#[tokio::test]
async fn volume_of_a_new_network_without_a_listing_is_no_theft_of_keys() {
    let folder = Folder::new();
    let mut rows = theft(false);
    rows.retain(|(_, row)| row.get("AlertType").is_none());
    let incidents =
        read_in_parts(&folder.path("db"), &dealt_in_order(rows), (100_000, 99), 48 * HOUR).await;
    assert!(incidents.iter().any(|incident| incident.rule == "TW-C01"), "{incidents:#?}");
    assert_eq!(chains(&incidents), []);
}

#[tokio::test]
async fn refusals_on_the_day_the_log_was_switched_off_are_told_together() {
    let folder = Folder::new();
    let incidents =
        read_in_parts(&folder.path("db"), &dealt_in_order(blind()), (997, 3), 48 * HOUR).await;
    assert_eq!(chains(&incidents), [("TW-X03", Severity::Critical)], "{incidents:#?}");
}
