//! A silent change at Azure's side is seen as falling coverage.

use serde_json::{Value, json};

use crate::harness::{Folder, replay, run};

/// A captured row of the day, which names its caller or not.
fn line(sequence: i64, day: &str, caller: &str) -> String {
    let body = json!({
        "category": "RequestResponse", "correlationId": sequence.to_string(),
        "time": format!("{day}T10:00:00Z"), "resourceId": "/S/R/ACCOUNTS/A",
        "callerIpAddress": "203.0.113.***",
        "properties": {"modelDeploymentName": "d", "promptTokens": 1, "completionTokens": 1, "callerObjectId": caller}
    });
    json!({
        "partition": "0", "sequence": sequence, "enqueued": format!("{day}T10:01:00Z"),
        "body": body
    })
    .to_string()
}

fn entry(found: &Value, day: &str) -> [i64; 5] {
    let list = found.get("coverage").and_then(Value::as_array).unwrap();
    let entry = list.iter().find(|entry| entry.get("day") == Some(&Value::from(day))).unwrap();
    assert_eq!(entry.get("kind"), Some(&Value::from("RequestResponse")));
    ["records", "with_tokens", "with_identity", "with_deployment", "with_network"]
        .map(|name| entry.get(name).and_then(Value::as_i64).unwrap())
}

#[test]
fn identities_that_vanish_show_as_falling_coverage() {
    let folder = Folder::new();
    let (first, second) = ("2026-10-01", "2026-10-02");
    let known = "c2b7a1d0-5e6f-4a7b-8c9d-0e1f2a3b4c5d";
    let lines = [
        line(0, first, known),
        line(1, first, known),
        line(2, first, ""),
        line(3, second, ""),
        line(4, second, ""),
    ];
    let (file, db) = (folder.write("lines", lines.join("\n").as_bytes()), folder.path("db"));
    let found = replay(&[&file], &db);
    assert_eq!(entry(&found, first), [3, 3, 2, 3, 3]);
    assert_eq!(entry(&found, second), [2, 2, 0, 2, 2]);
    assert_eq!(replay(&[&file], &db), found, "the same file again changes nothing");
    let table = run(&["replay", &file, "--db", &db]).out;
    let row = table.lines().find(|line| line.contains("RequestResponse")).unwrap();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells, ["RequestResponse", "5", "100", "%", "40", "%", "100", "%", "100", "%"]);
}
