//! A step that could not be saved is saved later, once; and only its owner saves anything.

use std::path::Path;
use std::process::Command;

use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use tokenwatch::engine::Engine;
use tokenwatch::engine::effects::Effects;
use tokenwatch::event::{Arrival, Batch};
use tokenwatch::simulate::{Options, Scenario};
use tokenwatch::store::{Store, StoreError};

use crate::harness::{
    Folder, arrivals, capture, connect, digest, dump, env, idle, members, partition, program,
    replay, same, short,
};

/// Engine and store side by side, so that a test decides what is saved and when.
async fn open(db: &str) -> (Store, Engine) {
    let mut store = Store::open(Path::new(db)).await.unwrap();
    let saved = store.load().await.unwrap();
    (store, Engine::restore(saved, env()))
}

fn batch(arrivals: &[Arrival]) -> Batch {
    Batch { arrivals: arrivals.to_vec(), ..Batch::default() }
}

/// Three steps: an ordinary one, a small one to be disturbed, and the rest.
fn steps() -> Vec<Batch> {
    let options = Options {
        history_hours: 3,
        live_minutes: 60,
        calls_per_hour: 20.0,
        ..short(Scenario::Quiet, 1)
    };
    let arrivals = arrivals(options);
    let (first, rest) = arrivals.split_at(arrivals.len() / 2);
    let (small, rest) = rest.split_at(15);
    let first = Batch { members: members(&arrivals).members, ..batch(first) };
    vec![first, batch(small), Batch { idle: idle(&arrivals).idle, ..batch(rest) }]
}

/// What the steps leave when nothing goes wrong.
async fn undisturbed(folder: &Folder) -> Vec<String> {
    let db = folder.path("undisturbed.db");
    let (mut store, mut engine) = open(&db).await;
    for step in steps() {
        let effects = engine.apply(&step);
        store.commit(&effects, &[]).await.unwrap();
    }
    store.close().await.unwrap();
    digest(&db).await
}

/// Makes the `n`-th row written from now on fail, whatever its table: triggers in the database
/// itself count down.
async fn fail_at(db: &str, n: i64) {
    let mut other = connect(db).await;
    let tables = sqlx::query(
        "select name from sqlite_master where type = 'table' and name not like '\\_%' escape '\\' \
         and name not like 'sqlite%' and name <> 'fuse'",
    )
    .fetch_all(&mut other)
    .await
    .unwrap();
    let mut script =
        "create table if not exists fuse (left integer); delete from fuse; ".to_owned();
    for table in tables {
        let table: String = table.get(0);
        for change in ["insert", "update", "delete"] {
            script.push_str(&format!(
                "create trigger if not exists {change}_{table} after {change} on {table} begin \
                 update fuse set left = left - 1; \
                 select raise(abort, 'the disk says no') from fuse where left = 0; end; "
            ));
        }
    }
    script.push_str(&format!("insert into fuse values ({n});"));
    sqlx::raw_sql(AssertSqlSafe(script)).execute(&mut other).await.unwrap();
    other.close().await.unwrap();
}

#[tokio::test]
async fn a_failure_at_any_row_leaves_nothing_and_is_made_good() {
    let folder = Folder::new();
    let expected = undisturbed(&folder).await;
    let db = folder.path("db");
    let (mut store, mut engine) = open(&db).await;
    let mut steps = steps().into_iter();
    let first = engine.apply(&steps.next().unwrap());
    store.commit(&first, &[]).await.unwrap();
    let effects = engine.apply(&steps.next().unwrap());
    let before = digest(&db).await;
    let mut failures = 0;
    loop {
        fail_at(&db, failures + 1).await;
        let kept = effects.clone();
        match store.recommit(&effects, &[]).await {
            Ok(()) => break,
            Err(StoreError::Sql { source, .. }) => {
                assert!(source.to_string().contains("the disk says no"), "{source}");
            }
            Err(other) => unreachable!("{other}"),
        }
        assert_eq!(kept, effects);
        assert_eq!(before, digest(&db).await, "after a failure at row {failures}");
        failures += 1;
    }
    assert!(failures > 40, "only {failures} rows were written");
    fail_at(&db, i64::MAX).await;
    let last = engine.apply(&steps.next().unwrap());
    store.commit(&last, &[]).await.unwrap();
    store.close().await.unwrap();
    same("after every failure", &expected, &digest(&db).await);
}

#[tokio::test]
async fn a_step_waits_for_a_lock_and_is_made_good() {
    let folder = Folder::new();
    let expected = undisturbed(&folder).await;
    let db = folder.path("db");
    let (mut store, mut engine) = open(&db).await;
    for (place, step) in steps().iter().enumerate() {
        let effects = engine.apply(step);
        if place == 1 {
            let mut other = connect(&db).await;
            sqlx::query("begin exclusive").execute(&mut other).await.unwrap();
            let refused = store.commit(&effects, &[]).await;
            assert!(matches!(refused, Err(StoreError::Locked { .. })), "{refused:?}");
            sqlx::query("rollback").execute(&mut other).await.unwrap();
        }
        store.recommit(&effects, &[]).await.unwrap();
    }
    store.close().await.unwrap();
    same("after a lock", &expected, &digest(&db).await);
}

#[tokio::test]
async fn a_commit_of_unknown_outcome_takes_effect_once() {
    let folder = Folder::new();
    let expected = undisturbed(&folder).await;
    let db = folder.path("db");
    let (mut store, mut engine) = open(&db).await;
    for step in steps() {
        let effects = engine.apply(&step);
        store.commit(&effects, &[]).await.unwrap();
        store.recommit(&effects, &[]).await.unwrap();
    }
    store.close().await.unwrap();
    same("after saying it twice", &expected, &digest(&db).await);
}

/// Whatever the earlier owner wants to save, nothing of it is saved.
async fn check_fenced(effects: &Effects, store: &mut Store, db: &str) {
    assert!(!effects.is_empty());
    let before = dump(db).await;
    let refused = store.commit(effects, &[]).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    let refused = store.recommit(effects, &[]).await;
    assert!(matches!(refused, Err(StoreError::Fenced { .. })), "{refused:?}");
    assert_eq!(before, dump(db).await);
}

#[tokio::test]
async fn an_earlier_owner_changes_nothing() {
    let folder = Folder::new();
    let expected = undisturbed(&folder).await;
    let db = folder.path("db");
    let (mut old_store, mut old_engine) = open(&db).await;
    let steps = steps();
    let (first, rest) = steps.split_first().unwrap();
    let effects = old_engine.apply(first);
    old_store.commit(&effects, &[]).await.unwrap();
    let (mut store, mut engine) = open(&db).await;
    check_fenced(&old_engine.apply(rest.first().unwrap()), &mut old_store, &db).await;
    for step in rest {
        let effects = engine.apply(step);
        store.commit(&effects, &[]).await.unwrap();
    }
    check_fenced(&old_engine.apply(rest.last().unwrap()), &mut old_store, &db).await;
    store.close().await.unwrap();
    same("by two owners", &expected, &digest(&db).await);
}

#[tokio::test]
async fn an_earlier_owner_that_read_nothing_changes_nothing_either() {
    let folder = Folder::new();
    let db = folder.path("db");
    let (mut old_store, mut old_engine) = open(&db).await;
    let (_store, _) = open(&db).await;
    let stalled = vec![partition(0)];
    let effects =
        old_engine.apply(&Batch { members: stalled.clone(), stalled, ..Batch::default() });
    check_fenced(&effects, &mut old_store, &db).await;
}

/// Runs `replay` with files bounded to so many blocks of 512 bytes; exit code and log.
fn replay_bounded(blocks: u64, file: &str, db: &str) -> (Option<i32>, String) {
    let script = format!("trap '' XFSZ; ulimit -f {blocks}; exec \"$@\"");
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh", program(), "replay", file]);
    let output = command.args(["--db", db, "--batch", "100"]).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[tokio::test]
async fn a_full_disk_costs_nothing_but_time() {
    let folder = Folder::new();
    // Long enough that the bounds below lie above what empty tables take.
    let (events, _) = capture(Options { history_hours: 10, ..short(Scenario::Quiet, 2) });
    let (file, whole) = (folder.write("events.jsonl", &events), folder.path("whole.db"));
    let expected = replay(&[&file], &whole);
    let size = std::fs::metadata(&whole).unwrap().len() / 512;

    // The write-ahead log meets the bound; a new connection folds it and goes on.
    let db = folder.path("folded.db");
    let (code, log) = replay_bounded(size + 50, &file, &db);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("cannot save a step"), "{log}");
    same("after a full log", &digest(&whole).await, &digest(&db).await);

    // The database itself meets the bound: the run ends, and the next one goes on.
    let db = folder.path("full.db");
    let (code, log) = replay_bounded(size * 3 / 5, &file, &db);
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("error: database"), "{log}");
    assert_eq!(expected, replay(&[&file], &db));
    same("after a full disk", &digest(&whole).await, &digest(&db).await);
}
