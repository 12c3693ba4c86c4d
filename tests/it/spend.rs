//! Spend by local days adds up, whatever the zone and its clocks.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{self, Folder, run};

const ACCOUNT: &str =
    "/SUBSCRIPTIONS/S/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.COGNITIVESERVICES/ACCOUNTS/AIF";
/// The first call, half past an hour of UTC: 2026-10-20T00:30Z.
const FIRST_MS: i64 = 1_792_456_200_000;
const HOUR_MS: i64 = 3_600_000;
/// Hours with one call each: until 2026-10-28T00:30Z, over the end of summer time in Europe.
const HOURS: i64 = 8 * 24;

/// One call an hour; the n-th has n tokens, so that no two days are alike.
fn database(folder: &Folder) -> String {
    let mut lines = String::new();
    for hour in 0..HOURS {
        let at = tokenwatch::time::EventTime(FIRST_MS + hour * HOUR_MS).to_string();
        let record = json!({
            "category": "AzureOpenAIRequestUsage", "correlationId": format!("call-{hour}"),
            "resourceId": ACCOUNT, "time": at,
            "properties": { "modelDeploymentName": "chat", "modelName": "gpt-4o",
                            "modelVersion": "2024-11-20", "promptTokens": [hour + 1],
                            "cachedTokens": [0], "generatedTokens": [0] } });
        lines.push_str(&format!("{}\n", json!({ "records": [record] })));
    }
    let (file, db) = (folder.write("calls.jsonl", lines.as_bytes()), folder.path("spend.db"));
    harness::replay(&[&file], &db);
    db
}

#[track_caller]
fn spend(db: &str, more: &[&str]) -> Value {
    let mut args = vec!["spend", "--db", db, "--format", "json"];
    args.extend(more);
    let ran = run(&args);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

fn number(value: &Value, path: &str) -> i64 {
    value.pointer(path).and_then(Value::as_i64).unwrap()
}

fn list(report: &Value) -> &Vec<Value> {
    report.pointer("/periods").and_then(Value::as_array).unwrap()
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value.get(name).and_then(Value::as_str).unwrap()
}

/// Calls and tokens of each period by its name.
fn by_name(report: &Value) -> BTreeMap<&str, (i64, i64)> {
    let sums = list(report).iter().map(|period| {
        let of = |name: &str| number(period, &format!("/total/{name}"));
        (text(period, "name"), (of("calls"), of("tokens_input")))
    });
    sums.collect()
}

#[test]
fn totals_over_days_are_the_totals_over_their_hours_in_every_zone() {
    let folder = Folder::new();
    let db = database(&folder);
    let whole = (HOURS, HOURS * (HOURS + 1) / 2);
    for zone in [
        "UTC",
        "Europe/Berlin",
        "America/Los_Angeles",
        "Asia/Tokyo",
        "Asia/Kolkata",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "America/St_Johns",
        "Pacific/Kiritimati",
        "Pacific/Pago_Pago",
    ] {
        let of = |by: &str| {
            let range = ["--from", "2026-10-12", "--to", "2026-11-02"];
            spend(&db, &[&["--by", by, "--timezone", zone], &range[..]].concat())
        };
        let hours = of("hour");
        for by in ["day", "week", "hour", "month"] {
            let report = of(by);
            let total = (number(&report, "/total/calls"), number(&report, "/total/tokens_input"));
            assert_eq!(total, whole, "{zone} by {by}");
            let sums = by_name(&report);
            let added = sums.values().fold((0, 0), |sum, of| (sum.0 + of.0, sum.1 + of.1));
            assert_eq!(added, whole, "{zone} by {by}");
            for period in list(&report) {
                let moment = |name: &str, of: &Value| tokenwatch::time::parse(text(of, name));
                let (from, until) = (moment("from", period), moment("until", period));
                let inside = list(&hours).iter().filter(|hour| {
                    let at = moment("from", hour);
                    from <= at && at < until
                });
                let tokens: i64 = inside.map(|hour| number(hour, "/total/tokens_input")).sum();
                assert_eq!(tokens, number(period, "/total/tokens_input"), "{zone} {period}");
            }
        }
    }
}

#[test]
fn a_day_on_which_clocks_go_back_has_twenty_five_hours() {
    let folder = Folder::new();
    let db = database(&folder);
    let range = ["--from", "2026-10-24", "--to", "2026-10-27", "--timezone", "Europe/Berlin"];
    let berlin = spend(&db, &range);
    let calls: Vec<_> =
        by_name(&berlin).into_iter().map(|(day, (calls, _))| (day, calls)).collect();
    assert_eq!(calls, [("2026-10-24", 24), ("2026-10-25", 25), ("2026-10-26", 24)]);
    assert_eq!(
        list(&berlin).first().map(|day| text(day, "from")),
        Some("2026-10-24T00:00:00+02:00")
    );
    assert_eq!(
        list(&berlin).last().map(|day| text(day, "until")),
        Some("2026-10-27T00:00:00+01:00")
    );
}

#[test]
fn the_last_seven_days_are_seven_and_the_newest_still_runs() {
    let folder = Folder::new();
    let db = database(&folder);
    for zone in ["UTC", "Asia/Tokyo", "America/Los_Angeles"] {
        let report = spend(&db, &["--timezone", zone]);
        let states: Vec<_> = list(&report).iter().map(|day| text(day, "state")).collect();
        assert_eq!(states.len(), 7, "{zone}");
        assert_eq!(states.last(), Some(&"running"), "{zone}");
        assert_eq!(states.first(), Some(&"whole"), "{zone}");
    }
    // The database begins with the hour of the first call: the days before are unknown, not free.
    let before =
        spend(&db, &["--from", "2026-10-18", "--to", "2026-10-21", "--timezone", "Asia/Tokyo"]);
    let states: Vec<_> = list(&before).iter().map(|day| text(day, "state")).collect();
    assert_eq!(states, ["no data", "no data", "partly"]);
}

#[test]
fn a_zone_off_the_hour_says_when_its_days_begin() {
    let folder = Folder::new();
    let db = database(&folder);
    let args = ["spend", "--db", &db, "--timezone", "Asia/Kolkata", "--to", "2026-10-26"];
    let ran = run(&args);
    let said = "Asia/Kolkata lies off the hour and sums are kept by UTC hours: 2026-10-19 begins at \
                2026-10-19T00:30:00+05:30";
    assert!(ran.out.contains(said), "{}", ran.out);
    let exact = run(&["spend", "--db", &db, "--timezone", "Asia/Tokyo", "--to", "2026-10-26"]);
    assert!(!exact.out.contains("off the hour"), "{}", exact.out);
}

#[test]
fn a_wrong_call_is_told() {
    let folder = Folder::new();
    let db = database(&folder);
    let check = |more: &[&str], said: &str| {
        let ran = run(&[&["spend", "--db", &db], more].concat());
        assert_eq!(ran.code, Some(2), "{}", ran.err);
        assert!(ran.err.contains(said), "{}", ran.err);
    };
    check(&["--timezone", "Mars/Olympus"], "unknown time zone \"Mars/Olympus\"");
    check(&["--from", "2026-10-02", "--to", "2026-10-02"], "--from is not before --to");
    check(&["--by", "hour", "--from", "2020-01-01"], "more than 10000 lines");
    let neither = run(&["spend"]);
    assert_eq!(neither.code, Some(2), "{}", neither.err);
}
