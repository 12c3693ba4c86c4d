//! `simulate` and `replay` from outside: what comes out is what happened, however it went in.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde_json::Value;
use sqlx::Row as _;
use tokenwatch::simulate::{Scenario, Truth};

use crate::harness::{self, Folder, capture, digest, replay, run, run_with, same, short};

/// Account and deployment to calls, tokens in, cached and out, and nano-USD.
type Sums = BTreeMap<(String, String), [Option<i64>; 5]>;

const COLUMNS: [&str; 5] = ["calls", "tokens_in", "tokens_cached", "tokens_out", "cost_nano_usd"];

/// The sums of the list `deployments` of a truth file or of `replay`.
fn sums(json: &Value) -> Sums {
    let rows = json.get("deployments").and_then(Value::as_array).unwrap();
    let text = |row: &Value, name| row.get(name).and_then(Value::as_str).unwrap().to_owned();
    let each = rows.iter().map(|row| {
        let numbers = COLUMNS.map(|name| row.get(name).and_then(Value::as_i64));
        ((text(row, "account"), text(row, "deployment")), numbers)
    });
    each.collect()
}

#[track_caller]
fn check(scenario: Scenario) {
    let folder = Folder::new();
    let (events, truth) = (folder.path("events.jsonl"), folder.path("truth.json"));
    let ran = run(&[
        "simulate",
        "--scenario",
        scenario.word(),
        "--seed",
        "11",
        "--history-hours",
        "26",
        "--live-minutes",
        "90",
        "--calls-per-hour",
        "30",
        "--out",
        &events,
        "--truth",
        &truth,
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let found = replay(&[&events], &folder.path("db"));
    let truth: Value = serde_json::from_slice(&std::fs::read(&truth).unwrap()).unwrap();
    assert!(sums(&truth).len() >= 6, "{scenario}");
    assert_eq!(sums(&truth), sums(&found), "{scenario}");
    assert_eq!(found.get("quarantined"), Some(&Value::from(0)), "{scenario}");
    assert_eq!(found.get("ledger"), Some(&Value::Array(Vec::new())), "{scenario}");
}

#[test]
fn totals_of_an_attack_from_outside_and_inside_are_exact() {
    check(Scenario::StolenKey);
    check(Scenario::RunawayLoop);
}

#[test]
fn totals_of_growth_outage_and_quiet_are_exact() {
    check(Scenario::SlowRamp);
    check(Scenario::Outage);
    check(Scenario::Quiet);
}

/// The rollups by hour, summed by the names of the callers.
async fn by_caller(db: &str) -> BTreeMap<[String; 4], [i64; 5]> {
    let mut connection = harness::connect(db).await;
    let rows = sqlx::query(
        "select a.resource, coalesce(d.text, ''), coalesce(n.text, ''), coalesce(i.text, ''), \
         sum(calls + late_calls), sum(tokens_in + late_tokens_in), \
         sum(tokens_cached + late_tokens_cached), sum(tokens_out + late_tokens_out), \
         sum(cost_nano + late_cost_nano) \
         from rollup_hour join account a on a.id = series >> 32 \
         left join name d on d.account = a.id and d.id = series & 4294967295 \
         left join name n on n.account = a.id and n.id = (caller >> 32) & 16777215 \
         left join name i on i.account = a.id and i.id = caller & 4294967295 \
         where caller <> -1 group by 1, 2, 3, 4",
    )
    .fetch_all(&mut connection)
    .await
    .unwrap();
    let each = rows.iter().map(|row| {
        let resource: String = row.get(0);
        let account = resource.rsplit('/').next().unwrap().to_owned();
        let names = [account, row.get(1), row.get(2), row.get(3)];
        (names, [4, 5, 6, 7, 8].map(|place: usize| row.get::<i64, _>(place)))
    });
    each.filter(|(_, sums)| *sums != [0; 5]).collect()
}

#[tokio::test]
async fn every_caller_gets_what_it_used() {
    let folder = Folder::new();
    let (events, truth) = capture(short(Scenario::StolenKey, 3));
    replay(&[&folder.write("events.jsonl", &events)], &folder.path("db"));
    assert!(truth.by_caller().len() > 12);
    assert_eq!(truth.by_caller(), by_caller(&folder.path("db")).await);
}

#[tokio::test]
async fn replaying_again_changes_nothing() {
    let folder = Folder::new();
    let (events, _) = capture(short(Scenario::RunawayLoop, 4));
    let (file, db) = (folder.write("events.jsonl", &events), folder.path("db"));
    let (first, before) = (replay(&[&file], &db), digest(&db).await);
    let (second, after) = (replay(&[&file], &db), digest(&db).await);
    assert!(before.len() > 1_000);
    assert_eq!(first, second);
    same("a second time", &before, &after);
    let (partitions, totals) = harness::double_entry(&db).await;
    assert!(totals > 0);
    assert_eq!(partitions, totals);
}

#[tokio::test]
async fn a_file_in_parts_gives_what_it_gives_whole() {
    let folder = Folder::new();
    let (events, _) = capture(short(Scenario::StolenKey, 5));
    let whole = folder.path("whole.db");
    let total = replay(&[&folder.write("events.jsonl", &events)], &whole);
    let expected = digest(&whole).await;
    let ends: Vec<usize> =
        events.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at).collect();
    for share in [2, 3, 10] {
        let cut = ends.get(ends.len() / share).unwrap() + 1;
        let (first, second) = events.split_at_checked(cut).unwrap();
        let db = folder.path(&format!("parts-{share}.db"));
        replay(&[&folder.write("first.jsonl", first)], &db);
        let parts = replay(&[&folder.write("second.jsonl", second)], &db);
        assert_eq!(total, parts);
        same("in two parts", &expected, &digest(&db).await);
        let (partitions, totals) = harness::double_entry(&db).await;
        assert_eq!(partitions, totals);
    }
}

#[tokio::test]
async fn compressed_files_and_standard_input_give_the_same() {
    let folder = Folder::new();
    let (events, _) = capture(short(Scenario::Quiet, 6));
    let plain = replay(&[&folder.write("events.jsonl", &events)], &folder.path("plain.db"));
    let expected = digest(&folder.path("plain.db")).await;

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&events).unwrap();
    let gzip = folder.write("events.jsonl.gz", &gzip.finish().unwrap());
    assert_eq!(plain, replay(&[&gzip], &folder.path("gz.db")));
    same("gz", &expected, &digest(&folder.path("gz.db")).await);

    let zstd = zstd::encode_all(events.as_slice(), 1).unwrap();
    let zstd = folder.write("events.jsonl.zst", &zstd);
    assert_eq!(plain, replay(&[&zstd], &folder.path("zst.db")));
    same("zst", &expected, &digest(&folder.path("zst.db")).await);

    let db = folder.path("stdin.db");
    let ran = run_with(&["replay", "-", "--db", &db, "--format", "json"], &events);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(plain, serde_json::from_str::<Value>(&ran.out).unwrap());
    same("standard input", &expected, &digest(&db).await);
}

#[test]
fn bodies_without_a_capture_give_the_same_totals() {
    let folder = Folder::new();
    let simulation = tokenwatch::simulate::Simulation::new(short(Scenario::RunawayLoop, 8));
    let mut bodies = Vec::new();
    for event in simulation.events() {
        bodies.extend_from_slice(&event.body);
        bodies.push(b'\n');
    }
    let found = replay(&[&folder.write("bodies.json", &bodies)], &folder.path("db"));
    let truth: Truth = simulation.truth();
    assert_eq!(sums(&serde_json::to_value(&truth).unwrap()), sums(&found));
}

/// What a sample must give: calls and tokens over all deployments, and other categories.
#[track_caller]
fn check_sample(name: &str, calls: i64, tokens: i64, others: i64) {
    let folder = Folder::new();
    let path = format!("{}/tests/data/samples/{name}", env!("CARGO_MANIFEST_DIR"));
    let json = replay(&[&path], &folder.path("db"));
    let all = sums(&json);
    let column = |place: usize| all.values().filter_map(|row| *row.get(place)?).sum::<i64>();
    let unknown = json.get("unknown_categories").and_then(Value::as_object).unwrap();
    let unknown: i64 = unknown.values().filter_map(Value::as_i64).sum();
    assert_eq!([calls, tokens, others], [column(0), column(1) + column(3), unknown], "{name}");
    assert_eq!(json.get("quarantined"), Some(&Value::from(0)), "{name}");
}

#[test]
fn pretty_printed_samples_are_read() {
    check_sample("cognitive-audit-listkey.json", 0, 0, 0);
    check_sample("cognitive-azureopenairequestusage.json", 2, 138_652 + 622 + 211 + 96, 0);
    check_sample("cognitive-requestresponse-2024.json", 2, 0, 0);
    let tokens = 138_652 + 622 + 211 + 96 + 373 + 118;
    check_sample("cognitive-requestresponse-2026-tworows.json", 3, tokens, 0);
    check_sample("envelope-mixed-case.json", 0, 0, 3);
    check_sample("envelope-wrapped-array.json", 0, 0, 0);
    check_sample("metrics-allmetrics-diagnostic.json", 0, 0, 0);
}
