//! What was purged is nowhere in the file any more, and what was not still adds up.

use std::path::Path;

use serde_json::Value;
use sqlx::{Connection as _, Row as _};
use tokenwatch::event::Batch;
use tokenwatch::simulate::Scenario;

use crate::harness::{
    self, Folder, connect, double_entry, dump, env, open, run, same, stored_sums,
};

/// The thief's network and a deployment of the simulation (`StolenKey`).
const THIEF: &str = "203.0.113.0/24";

/// A database of a simulated theft, closed.
async fn database(folder: &Folder) -> String {
    let arrivals = harness::arrivals(harness::short(Scenario::StolenKey, 8));
    let db = folder.path("purge.db");
    let mut core = open(&db).await;
    harness::step(&mut core, &harness::members(&arrivals)).await;
    for arrivals in arrivals.chunks(500) {
        let batch = Batch { arrivals: arrivals.to_vec(), ..Batch::default() };
        harness::step(&mut core, &batch).await;
    }
    harness::step(&mut core, &harness::idle(&arrivals)).await;
    core.store.close().await.unwrap();
    db
}

/// An Entra object id that the database knows.
async fn some_identity(db: &str) -> String {
    let mut connection = connect(db).await;
    let row = sqlx::query("select text from name where kind = 3 and length(text) > 30 limit 1")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    row.get(0)
}

/// True when the text stands anywhere in the file or what lies beside it, in use or not.
fn holds(db: &str, text: &str) -> bool {
    ["", "-wal", "-journal"].iter().any(|suffix| {
        let bytes = std::fs::read(format!("{db}{suffix}")).unwrap_or_default();
        bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
    })
}

#[track_caller]
fn purge(db: &str, more: &[&str]) -> Value {
    let mut args = vec!["purge", "--db", db, "--yes", "--format", "json"];
    args.extend(more);
    let ran = run(&args);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    serde_json::from_str(&ran.out).unwrap()
}

/// Rows of the totals of any grain, and of the totals by life-time.
async fn totals(db: &str) -> Vec<String> {
    let mut lines = dump(db).await;
    lines.retain(|line| {
        let (table, row) = line.split_once(' ').unwrap();
        let is_total = row.split(',').nth(2) == Some("-1");
        table.contains("total")
            || table == "spend_hour"
            || (table.starts_with("rollup") && is_total)
    });
    assert!(lines.len() > 1_000, "{}", lines.len());
    lines
}

/// Tokens of callers by the hour, which must stay those of the totals.
async fn caller_tokens(db: &str) -> [i64; 2] {
    let mut connection = connect(db).await;
    let mut sums = [0; 2];
    for (sum, whose) in sums.iter_mut().zip(["caller <> -1", "caller = -1"]) {
        let row = sqlx::query(sqlx::AssertSqlSafe(format!(
            "select sum(tokens_in + late_tokens_in) from rollup_hour where {whose}"
        )))
        .fetch_one(&mut connection)
        .await
        .unwrap();
        *sum = row.get(0);
    }
    sums
}

#[tokio::test]
async fn a_purged_caller_is_nowhere_in_the_file_and_the_totals_stay() {
    let folder = Folder::new();
    let db = database(&folder).await;
    let identity = some_identity(&db).await;
    assert!(holds(&db, THIEF) && holds(&db, &identity));
    let (before, sums) = (totals(&db).await, stored_sums(Path::new(&db)).await);
    // What was known of them beside, and what the directory said.
    let mut connection = connect(&db).await;
    let named = sqlx::query(
        "update incident set body = replace(body, $1, $1 || ',\"name\":\"Mallory Name\"') \
         where instr(body, $1) > 0",
    )
    .bind(format!("\"network\":\"{THIEF}\""))
    .execute(&mut connection)
    .await
    .unwrap();
    assert!(named.rows_affected() > 0 && holds(&db, "Mallory Name"));
    connection.close().await.unwrap();
    let other = "00000000-0000-4000-8000-000000000001";
    let entry = serde_json::json!({"name": "Somebody", "at_ms": 1});
    let names = serde_json::json!({identity.clone(): entry, other: entry});
    let names_file = folder.write("purge.db.names.json", names.to_string().as_bytes());
    let removed = purge(&db, &["--caller", THIEF, "--caller", &identity.to_uppercase()]);
    let names = std::fs::read_to_string(&names_file).unwrap();
    assert!(names.contains(other) && !names.contains(&identity), "{names}");
    assert!(!holds(&db, "Mallory Name"), "the name is still in the file");
    assert_eq!(removed.get("names").and_then(Value::as_i64), Some(2), "{removed}");
    assert!(!holds(&db, THIEF), "the network is still in the file");
    assert!(!holds(&db, &identity), "the identity is still in the file");
    same("totals", &before, &totals(&db).await);
    assert_eq!(sums, stored_sums(Path::new(&db)).await);
    let [callers, all] = caller_tokens(&db).await;
    assert_eq!(callers, all, "callers add up to the totals");
    let incidents = run(&["incidents", "--db", &db]);
    assert!(incidents.out.contains("(purged)"), "{}", incidents.out);
    assert_eq!(purge(&db, &["--caller", THIEF]), serde_json::json!({}));
    // The service goes on with it, and sees the caller again when it calls again.
    let arrivals = harness::arrivals(harness::short(Scenario::StolenKey, 8));
    let mut core = open(&db).await;
    harness::step(&mut core, &harness::idle(&arrivals)).await;
    core.store.close().await.unwrap();
    let (partitions, total) = double_entry(&db).await;
    assert_eq!(partitions, total);
}

#[tokio::test]
async fn a_purged_account_is_nowhere_in_the_file_and_the_books_balance() {
    let folder = Folder::new();
    let db = database(&folder).await;
    assert!(holds(&db, "aif-contoso-lab"));
    purge(&db, &["--account", "aif-contoso-lab"]);
    assert!(!holds(&db, "aif-contoso-lab"));
    let left = stored_sums(Path::new(&db)).await;
    assert!(left.contains_key("chat-prod") && !left.contains_key("code-review"), "{left:?}");
    let (partitions, total) = double_entry(&db).await;
    assert_eq!(partitions, total);
    // When it comes back it gets a number of its own.
    let arrivals = harness::arrivals(harness::short(Scenario::Quiet, 9));
    let moved = arrivals.into_iter().map(|mut arrival| {
        arrival.partition.hub = "other".to_owned();
        arrival
    });
    let moved: Vec<_> = moved.collect();
    let mut core = open(&db).await;
    harness::step(&mut core, &harness::members(&moved)).await;
    harness::step(&mut core, &Batch { arrivals: moved, ..Batch::default() }).await;
    core.store.close().await.unwrap();
    let (partitions, total) = double_entry(&db).await;
    assert_eq!(partitions, total);
    assert!(stored_sums(Path::new(&db)).await.contains_key("code-review"));
}

#[tokio::test]
async fn what_is_old_goes_and_totals_of_a_life_time_stay() {
    let folder = Folder::new();
    let db = database(&folder).await;
    let refused = run(&["purge", "--db", &db, "--before", "2100-01-01", "--yes"]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("the last two days may still change"), "{}", refused.err);
    let mut connection = connect(&db).await;
    // As if two months had passed since.
    sqlx::query("update partition_state set passed_ms = passed_ms + 5184000000")
        .execute(&mut connection)
        .await
        .unwrap();
    sqlx::Connection::close(connection).await.unwrap();
    let sums = stored_sums(Path::new(&db)).await;
    let removed = purge(&db, &["--before", "2026-10-20"]);
    assert!(removed.get("sums").and_then(Value::as_i64) > Some(1_000), "{removed}");
    assert_eq!(sums, stored_sums(Path::new(&db)).await);
    let rollups = dump(&db).await.into_iter().filter(|line| line.starts_with("rollup"));
    assert_eq!(rollups.count(), 0);
}

#[tokio::test]
async fn a_database_in_use_is_left_alone() {
    let folder = Folder::new();
    let db = database(&folder).await;
    let before = dump(&db).await;
    let mut core = open(&db).await;
    let refused = run(&["purge", "--db", &db, "--caller", THIEF, "--yes"]);
    assert_eq!(refused.code, Some(1), "{}", refused.err);
    assert!(refused.err.contains("another process uses it: stop it first"), "{}", refused.err);
    // The service was not fenced either.
    core.store.check_owner().await.unwrap();
    let saved = core.store.load().await.unwrap();
    assert_eq!(tokenwatch::engine::Engine::restore(saved, env()).positions().len(), 4);
    core.store.close().await.unwrap();
    let mut after = dump(&db).await;
    let mut before = before;
    // The start of the service took the next epoch.
    for lines in [&mut before, &mut after] {
        lines.retain(|line| !line.starts_with("meta") && !line.starts_with("partition_state"));
    }
    same("a refused purge", &before, &after);
}

#[tokio::test]
async fn without_a_yes_nothing_goes() {
    let folder = Folder::new();
    let db = database(&folder).await;
    let before = dump(&db).await;
    let ran = run(&["purge", "--db", &db, "--caller", THIEF]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.out.contains("sums of the caller, moved to all others"), "{}", ran.out);
    assert!(ran.err.contains("nothing was removed"), "{}", ran.err);
    same("an abandoned purge", &before, &dump(&db).await);
    let nothing = run(&["purge", "--db", &db]);
    assert_eq!(nothing.code, Some(2), "{}", nothing.err);
    let other = folder.write("other.db", b"no database");
    let none = run(&["purge", "--db", &other, "--quarantine", "--yes"]);
    assert_eq!(none.code, Some(1), "{}", none.err);
}
