//! A caller is network, identity and what was asked for; a key is said only when it is sure.

use serde_json::{Value, json};

use crate::records::{at, cells, replayed, request, twin, usage};

const SOMEONE: &str = "c2b7a1d0-5e6f-4a7b-8c9d-0e1f2a3b4c5d";
/// Something of another day, so that every window of the first has passed.
const NEXT_DAY: i64 = 86_400;

fn later() -> (i64, Value) {
    (
        NEXT_DAY,
        json!({"category": "Audit", "operationName": "ListKey", "time": at(NEXT_DAY),
        "resourceId": crate::records::ACCOUNT, "properties": {}}),
    )
}

#[track_caller]
fn check(records: &[(i64, Value)], expected: &[&str]) {
    let members = ["network", "identity", "operation", "calls", "errors", "tokens_in"];
    assert_eq!(cells(&replayed(records), "callers", &members), expected);
}

#[test]
fn an_identity_on_one_row_is_the_identity_of_the_call() {
    let records = [
        (1, usage(0, "a", [100, 0, 10])),
        (30, twin(0, "a", "203.0.113.***")),
        (200, request(0, "a", "203.0.113.***", SOMEONE, 200)),
        later(),
    ];
    check(&records, &[&format!("203.0.113.0/24 {SOMEONE} chat 1 0 100")]);
}

#[test]
fn a_successful_call_without_identity_on_any_row_was_made_with_a_key() {
    let records = [
        (1, usage(0, "a", [100, 0, 10])),
        (30, twin(0, "a", "203.0.113.***")),
        (31, request(0, "a", "203.0.113.***", "", 200)),
        later(),
    ];
    check(&records, &["203.0.113.0/24 key chat 1 0 100"]);
}

#[test]
fn a_refused_call_says_nothing_about_keys() {
    let records = [(30, request(0, "a", "203.0.113.***", "", 401)), later()];
    check(&records, &["203.0.113.0/24  chat 1 1 0"]);
}

#[test]
fn usage_alone_says_nothing_about_keys() {
    let records = [(1, usage(0, "a", [100, 0, 10])), later()];
    check(&records, &["   1 0 100"]);
}

#[test]
fn while_rows_may_still_come_nobody_says_key() {
    let row = request(0, "a", "203.0.113.***", "", 200);
    let waiting = |until: i64| [(30, row.clone()), (until, request(until, "b", "", SOMEONE, 200))];
    let first = |until| {
        let found = replayed(&waiting(until));
        let callers = cells(&found, "callers", &["network", "identity"]);
        callers.into_iter().find(|caller| caller.starts_with("203")).unwrap()
    };
    assert_eq!(first(600), "203.0.113.0/24 ");
    assert_eq!(first(1_200), "203.0.113.0/24 key");
}

#[test]
fn a_count_that_is_missing_is_not_zero() {
    let mut renamed = usage(0, "a", [100, 0, 10]);
    let properties = renamed.get_mut("properties").and_then(Value::as_object_mut).unwrap();
    let generated = properties.remove("generatedTokens").unwrap();
    properties.insert("outputTokens".to_owned(), generated);
    let members = ["tokens_in", "tokens_out", "calls_without_tokens", "cost_nano_usd", "basis"];
    let of = |records: &[(i64, Value)]| cells(&replayed(records), "deployments", &members);
    assert_eq!(of(&[(1, renamed.clone())]), ["100 0 1 null incomplete"]);
    // Another row that tells it makes the call whole.
    let records = [(1, renamed.clone()), (9, usage(0, "a", [100, 0, 10]))];
    assert_eq!(of(&records), ["100 10 0 350000 exact"]);
    // Embeddings generate nothing.
    let properties = renamed.get_mut("properties").and_then(Value::as_object_mut).unwrap();
    properties.insert("modelName".to_owned(), json!("text-embedding-3-small"));
    properties.insert("modelVersion".to_owned(), json!("1"));
    assert_eq!(of(&[(1, renamed)]), ["100 0 0 2200 exact"]);
}

#[test]
fn what_only_the_log_of_callers_told_is_attributed() {
    let mut told = request(0, "a", "203.0.113.***", "", 200);
    let properties = told.get_mut("properties").and_then(Value::as_object_mut).unwrap();
    properties.insert("promptTokens".to_owned(), json!(1000));
    properties.insert("completionTokens".to_owned(), json!(100));
    let records = [(30, told), (31, usage(1, "b", [100, 0, 10])), later()];
    let found = replayed(&records);
    let members = ["tokens_in", "attributed_tokens", "attributed_nano_usd", "cost_nano_usd"];
    // gpt-4o: 2.50 USD a million in, 10 out.
    assert_eq!(cells(&found, "deployments", &members), ["1100 1100 3500000 3850000"]);
}
