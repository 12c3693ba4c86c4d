//! Every field of every kind of record, filled by somebody who means harm.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use tokenwatch::decode;
use tokenwatch::decode::envelope::{self, Piece};
use tokenwatch::event::Event;

use crate::fuzz::targets;
use crate::harness::{Folder, replay};

/// A record of every kind, at least.
fn records() -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/samples");
    let mut paths: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut records = Vec::new();
    for path in paths {
        let body = std::fs::read(path).unwrap();
        envelope::open(&body, &mut |piece| {
            let Piece::Record(text, _) = piece else { return };
            let decoded = decode::decode(text.as_bytes());
            if !decoded.events.is_empty() {
                records.push(opened(serde_json::from_str(text).unwrap()));
            }
        })
        .unwrap();
    }
    records
}

/// The record with objects where it had texts of them, so that every field can be reached.
fn opened(value: Value) -> Value {
    let nested = value.as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    if let Some(nested) = nested.filter(|value| value.is_object() || value.is_array()) {
        return opened(nested);
    }
    match value {
        Value::Array(items) => items.into_iter().map(opened).collect(),
        Value::Object(members) => {
            Value::Object(members.into_iter().map(|(name, value)| (name, opened(value))).collect())
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value,
    }
}

/// Pointers to everything in `value` that is neither array nor object, and not empty.
fn leaves(value: &Value, at: &str, found: &mut Vec<String>) {
    match value {
        Value::Array(items) => {
            items
                .iter()
                .enumerate()
                .for_each(|(n, item)| leaves(item, &format!("{at}/{n}"), found));
        }
        Value::Object(members) => members.iter().for_each(|(name, member)| {
            let name = name.replace('~', "~0").replace('/', "~1");
            leaves(member, &format!("{at}/{name}"), found);
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.push(at.to_owned());
        }
    }
}

/// The record with `by` in place of one of its fields.
fn with(record: &Value, pointer: &str, by: &Value) -> String {
    let mut changed = record.clone();
    *changed.pointer_mut(pointer).unwrap() = by.clone();
    changed.to_string()
}

/// What the record counts as: 1, or its points where it is an answer with many.
fn points(record: &str) -> usize {
    targets::body(record.as_bytes()).records()
}

/// Gives every record with every field replaced by `by` to `check`, with the field's pointer.
fn each(by: &Value, check: &mut dyn FnMut(&str, &str, &[Event])) {
    let records = records();
    assert!(records.len() > 70, "{}", records.len());
    for record in &records {
        let mut pointers = Vec::new();
        leaves(record, "", &mut pointers);
        // An answer with many points may gain one thing that cannot be read.
        let most = match points(&record.to_string()) {
            1 => 1,
            points => points + 1,
        };
        for pointer in pointers {
            let text = with(record, &pointer, by);
            let decoded = targets::body(text.as_bytes());
            assert!((1..=most).contains(&decoded.records()), "{text}");
            check(&pointer, &text, &decoded.events);
        }
    }
}

#[test]
fn markup_line_breaks_and_hidden_characters_in_any_field_do_no_harm() {
    for hostile in [
        "\u{1b}[2J\u{1b}[31mred\r\nSubject: x\r\n\r\n",
        "\u{202e}gpj.exe\u{2066}\u{200b}\u{feff}\u{e0041}",
        "a\u{0}b\u{7f}\u{85}\u{2028}",
    ] {
        let mut events = 0;
        each(&json!(hostile), &mut |_, _, found| {
            found.iter().for_each(targets::texts);
            events += found.len();
        });
        assert!(events > 1_000, "{events}");
    }
    // Markup is escaped where it is shown; here it must only be short and on one line.
    let long = "<script>alert(1)</script>&\"'".repeat(100);
    each(&json!(long), &mut |_, _, found| found.iter().for_each(targets::texts));
}

#[test]
fn impossible_values_in_any_field_are_refused_or_unknown() {
    for hostile in [
        json!(-1),
        json!("-1"),
        json!(u64::MAX),
        json!("18446744073709551616"),
        json!(1.5e300),
        json!("1e400"),
        json!("NaN"),
        json!("-inf"),
        json!(true),
        json!([]),
        json!([[1]]),
        json!({}),
        json!({"a": {"b": []}}),
        json!("{}"),
        json!("["),
        json!("\"\""),
    ] {
        each(&hostile, &mut |_, _, found| found.iter().for_each(targets::texts));
    }
}

#[test]
fn numbers_written_in_other_ways_say_the_same() {
    let usage = |tokens: &str| {
        format!(
            r#"{{"category":"AzureOpenAIRequestUsage","time":"2026-10-01T10:00:00Z","resourceId":"/S/R/ACCOUNTS/A","properties":{{"promptTokens":{tokens}}}}}"#
        )
    };
    let input = |tokens: &str| {
        let decoded = decode::decode(usage(tokens).as_bytes());
        let row = decoded.rows().next().map(|row| row.tokens.map(|tokens| tokens.input));
        row.ok_or(decoded.rejected.len())
    };
    for twelve in ["12", "\"12\"", "12.0", "1.2e1", "[12]", "[\"12\"]", "\"[12]\"", "\" 12 \""] {
        assert_eq!(input(twelve), Ok(Some(12)), "{twelve}");
    }
    for absent in ["null", "[]", "[null]", "\"[]\""] {
        assert_eq!(input(absent), Ok(None), "{absent}");
    }
    for wrong in ["-1", "1e400", "1.5", "18446744073709551616", "\"NaN\"", "[1,2]", "{}", "NaN"] {
        assert_eq!(input(wrong), Err(1), "{wrong}");
    }
    // Of two members of one name the first holds, in whatever case.
    assert_eq!(input("5,\"promptTokens\":7"), Ok(Some(5)));
    assert_eq!(input("5,\"PROMPTTOKENS\":-1"), Ok(Some(5)));
    assert_eq!(input("null,\"PromptTokens\":7"), Ok(None));
}

#[test]
fn bytes_that_are_no_text_cost_their_body_only() {
    for record in records() {
        let text = record.to_string();
        for at in [0, text.len() / 3, text.len() - 1] {
            for bad in [&b"\xff"[..], b"\xc3(", b"\xed\xa0\x80", b"\xf0\x9f"] {
                let mut body = text.clone().into_bytes();
                body.splice(
                    text.floor_char_boundary(at)..text.floor_char_boundary(at),
                    bad.to_vec(),
                );
                let decoded = decode::decode(&body);
                assert_eq!((decoded.events.len(), decoded.rejected.len()), (0, 1));
                assert!(decoded.rejected.iter().all(|rejected| rejected.reason.contains("UTF-8")));
            }
        }
    }
}

#[test]
fn nesting_in_any_field_costs_one_record_at_most() {
    let deep =
        |open: &str, close: &str| format!("{}1{}", open.repeat(20_000), close.repeat(20_000));
    let records: Vec<String> = records().iter().map(Value::to_string).collect();
    for nested in [deep("[", "]"), deep("{\"a\":", "}")] {
        for record in &records {
            let mut pointers = Vec::new();
            let value: Value = serde_json::from_str(record).unwrap();
            leaves(&value, "", &mut pointers);
            let points = points(record);
            // A sixth of the fields: each takes a while.
            for pointer in pointers.iter().step_by(6) {
                let text = with(&value, pointer, &json!("@@")).replace("\"@@\"", &nested);
                let body = format!("{{\"records\":[{record},{text},{record}]}}");
                let decoded = decode::decode(body.as_bytes());
                assert!((2 * points..=3 * points).contains(&decoded.events.len()), "{pointer}");
                assert!((2 * points + 1..=3 * points).contains(&decoded.records()), "{pointer}");
            }
        }
    }
}

/// Names of fields whose text reaches an event: names, ids and words that Azure or an operator chose.
const KEPT: &str = "
    API ID, AlertDisplayName, AlertType, AppRoleName, AzureResourceId, DeploymentName,
    DisplayName, Id, IndexName, Intent, ModelName, Name, Operation ID, OperationName,
    PrincipalId, PrincipalType, ResourceId, RoleDefinitionId, Scope, Status, Subscription ID,
    SystemAlertId, apiId, apimSubscriptionId, appid, authType, backendId, basePolicyName,
    bypass, callerObjectId, category, correlationId, deploymentName, displayName,
    endUserId, endpointName, eventHubAuthorizationRuleId, eventHubName, event_hub,
    exemptionCategory,
    format, gatewayName, http://schemas.microsoft.com/claims/authnmethodsreferences,
    http://schemas.microsoft.com/identity/claims/objectidentifier,
    http://schemas.microsoft.com/identity/claims/tenantid, id, kind, location, metricName, mode,
    model, modelDeploymentName, modelName, modelVersion, name, namespace, objectId, of, oid, operationId,
    operationName, policyAssignmentId, policyDefinitionEffect, policyDefinitionId,
    policyDefinitionReferenceId, productId, productName, raiPolicyName, rai_policy, resource, resourceId,
    resourceid, role, sends, sku,
    severityThreshold, source, status, statusCode, subject, subscription, subscriptionId, tenantId,
    upgrade, userId, value,
    version, versionUpgradeOption
";

#[test]
fn only_names_ids_and_words_reach_an_event() {
    let mut kept = BTreeSet::new();
    each(&json!("zwetschgendatschi"), &mut |pointer, _, found| {
        if format!("{found:?}").to_lowercase().contains("zwetschgendatschi") {
            let name = pointer.rsplit('/').find(|part| part.parse::<usize>().is_err());
            kept.insert(name.unwrap_or_default().replace("~1", "/"));
        }
    });
    let expected: BTreeSet<_> = KEPT.split(',').map(|name| name.trim().to_owned()).collect();
    assert_eq!(kept, expected);
}

#[test]
fn users_of_a_gateway_and_callers_are_not_kept_as_they_are() {
    each(&json!("eve@contoso.example"), &mut |pointer, text, found| {
        let name = pointer.rsplit('/').next().unwrap().to_lowercase().replace(' ', "");
        if ["userid", "enduserid", "subscriptionid", "apimsubscriptionid", "appid"]
            .contains(&&*name)
        {
            let is_log = !text.contains("\"claims\"");
            assert!(!(is_log && format!("{found:?}").contains("eve@")), "{pointer}");
        }
    });
    each(&json!("203.0.113.57"), &mut |pointer, _, found| {
        let name = pointer.rsplit('/').next().unwrap().to_lowercase().replace(' ', "");
        if name.ends_with("ip") || name.contains("ipaddr") || name.ends_with("address") {
            assert!(!format!("{found:?}").contains("203.0.113.57"), "{pointer}");
        }
    });
}

/// Calls counted, records whose clock was not believed, and records in quarantine, of one row that
/// arrives at ten past ten with `fields`.
fn clock(fields: &str) -> [i64; 3] {
    let folder = Folder::new();
    let body = format!(
        r#"{{"category":"RequestResponse","correlationId":"1","resourceId":"/S/R/ACCOUNTS/A",{fields}}}"#
    );
    let captured = json!({
        "partition": "0", "sequence": 0, "enqueued": "2026-10-01T10:10:00Z", "body": body
    });
    let file = folder.write("one.jsonl", captured.to_string().as_bytes());
    let found = replay(&[&file], &folder.path("db"));
    let list = |name: &str| found.get(name).and_then(Value::as_array).unwrap().clone();
    let number = |row: &Value, name: &str| row.get(name).and_then(Value::as_i64).unwrap();
    let calls = list("deployments").iter().map(|row| number(row, "calls")).sum();
    let suspect = list("ledger").iter().map(|row| number(row, "records")).sum();
    [calls, suspect, found.get("quarantined").and_then(Value::as_i64).unwrap()]
}

#[test]
fn forged_times_count_at_their_arrival_and_are_noted() {
    let time = |time: &str| {
        clock(&format!(
            r#""time":{time},"properties":{{"modelDeploymentName":"d","promptTokens":1}}"#
        ))
    };
    for believed in [
        "\"2026-10-01T10:09:00.1234567Z\"",
        "\"2026-10-01T12:09:00+02:00\"",
        "\"2026-10-01T10:09:00.123456789\"",
        "\"10/1/2026 10:09:00 AM\"",
        "\"2026-10-01T10:14:59Z\"",
        "\"2026-10-01T06:10:01Z\"",
    ] {
        assert_eq!(time(believed), [1, 0, 0], "{believed}");
    }
    for forged in [
        "\"0001-01-01T00:00:00Z\"",
        "\"9999-12-31T23:59:59.9999999Z\"",
        "\"2026-10-01T10:15:01Z\"",
        "\"2026-09-30T10:09:00Z\"",
        "\"1/9/2007 9:41:00 AM\"",
    ] {
        assert_eq!(time(forged), [1, 1, 0], "{forged}");
    }
    for wrong in ["\"now\"", "5", "\"\"", "null", "{}", "\"2026-13-01T00:00:00Z\"", "1e400"] {
        assert_eq!(time(wrong), [0, 0, 1], "{wrong}");
    }
    let ticks = |ticks: &str| {
        clock(&format!(
            r#""time":"2026-10-01T10:09:00Z","properties":{{"modelDeploymentName":"d","promptTokens":1,"responseTime":{ticks}}}"#
        ))
    };
    // What is no number of ticks leaves the record's own time.
    for other in
        ["0", "-1", "\"x\"", "null", "1e400", "639264461400000000", "\"17908493400000000\""]
    {
        assert_eq!(ticks(other), [1, 0, 0], "{other}");
    }
    for forged in ["1", "9223372036854775807", "630000000000000000"] {
        assert_eq!(ticks(forged), [1, 1, 0], "{forged}");
    }
}
