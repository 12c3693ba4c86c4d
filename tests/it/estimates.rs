//! What no row tells is estimated: where metrics of the deployments themselves are there, by them.

use serde_json::{Value, json};

use crate::harness::{Folder, replay, run};
use crate::records::{ACCOUNT, at, cells, replayed, request};

/// A call of the deployment of which no row tells the tokens.
fn untold(second: i64, id: &str, deployment: &str) -> Value {
    let mut row = request(second, id, "203.0.113.*", "someone", 200);
    *row.pointer_mut("/properties/modelDeploymentName").unwrap() = json!(deployment);
    row
}

/// The account's own points of the first minute.
fn account_points([input, output]: [i64; 2]) -> Value {
    let point = |name: &str, total: i64| {
        json!({"metricName": name, "total": total, "count": 1, "timeGrain": "PT1M", "time": at(0),
            "resourceId": ACCOUNT})
    };
    json!({"records": [point("InputTokens", input), point("OutputTokens", output)]})
}

/// An answer of the metrics API about one deployment.
fn deployment_points(deployment: &str, [input, output]: [i64; 2]) -> Value {
    let metric = |name: &str, total: i64| {
        json!({
            "id": format!("{ACCOUNT}/providers/Microsoft.Insights/metrics/{name}"),
            "type": "Microsoft.Insights/metrics", "name": {"value": name}, "unit": "Count",
            "timeseries": [{
                "metadatavalues": [{"name": {"value": "modeldeploymentname"}, "value": deployment}],
                "data": [{"timeStamp": at(0), "total": total}]
            }]
        })
    };
    json!({
        "timespan": format!("{}/{}", at(0), at(60)), "interval": "PT1M",
        "namespace": "microsoft.cognitiveservices/accounts", "resourceregion": "eastus2",
        "value": [metric("InputTokens", input), metric("OutputTokens", output)]
    })
}

const MEMBERS: [&str; 5] = ["deployment", "calls", "tokens_in", "tokens_out", "basis"];

#[test]
fn untold_calls_share_what_the_account_counts_by_their_bytes() {
    let records = [
        (60, untold(1, "a", "chat")),
        (61, untold(2, "b", "other")),
        (300, account_points([1_000, 100])),
    ];
    let found = cells(&replayed(&records), "estimated", &MEMBERS);
    assert_eq!(found, ["chat 1 500 50 estimated", "other 1 500 50 estimated"]);
}

#[test]
fn metrics_of_a_deployment_come_first() {
    let records = [
        (60, untold(1, "a", "chat")),
        (61, untold(2, "b", "other")),
        (300, account_points([1_000, 100])),
        (301, deployment_points("chat", [900, 95])),
    ];
    let found = cells(&replayed(&records), "estimated", &MEMBERS);
    assert_eq!(found, ["chat 1 900 95 estimated", "other 1 100 5 estimated"]);
}

#[test]
fn spend_shows_estimates_beside_the_sums() {
    let folder = Folder::new();
    let records = [untold(1, "a", "chat"), account_points([1_000, 100])];
    let lines = records.iter().zip(0_i64..).map(|(body, sequence)| {
        json!({"partition": "0", "sequence": sequence, "enqueued": at(60 + sequence * 240),
            "body": body})
        .to_string()
    });
    let file = folder.write("capture", lines.collect::<Vec<_>>().join("\n").as_bytes());
    let db = folder.path("db");
    replay(&[&file], &db);
    let ran = run(&["spend", "--db", &db, "--format", "json"]);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    let total = |name: &str| found.pointer(&format!("/total/{name}")).cloned().unwrap();
    // gpt-4o: 2.50 USD a million in, 10 out.
    assert_eq!(total("estimated_nano_usd"), json!(3_500_000));
    assert_eq!((total("tokens_input"), total("known_cost_nano_usd")), (json!(0), json!(0)));
    assert_eq!((total("cost_nano_usd"), total("basis")), (Value::Null, json!("incomplete")));
    let table = run(&["spend", "--db", &db]).out;
    assert!(table.contains("about $0.0035") || table.contains("about $0.004"), "{table}");
}
