//! Wrong files, wrong databases and hostile records: a clear word, nothing half done, nothing lost.

use std::io::Write as _;

use serde_json::Value;
use sqlx::Connection as _;
use tokenwatch::simulate::Scenario;

use crate::harness::{Folder, Ran, capture, connect, dump, replay, run, short};

/// The run failed with one line of error that names all of `words`.
#[track_caller]
fn check_refused(ran: &Ran, words: &[&str]) {
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    let errors: Vec<_> = ran.err.lines().filter(|line| line.starts_with("error: ")).collect();
    assert_eq!(errors.len(), 1, "{}", ran.err);
    assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
    for word in words {
        assert!(ran.err.contains(word), "{word} is not in: {}", ran.err);
    }
    assert_eq!(ran.out, "");
}

/// A small database in use, and a file to replay.
fn used(folder: &Folder) -> (String, String) {
    let (events, _) = capture(short(Scenario::Quiet, 1));
    let lines = events.split_inclusive(|byte| *byte == b'\n').take(200).collect::<Vec<_>>();
    let (file, db) = (folder.write("events.jsonl", &lines.concat()), folder.path("db"));
    replay(&[&file], &db);
    (file, db)
}

#[tokio::test]
async fn files_that_cannot_be_read_leave_the_database_alone() {
    let folder = Folder::new();
    let (file, db) = used(&folder);
    let before = dump(&db).await;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&std::fs::read(&file).unwrap()).unwrap();
    let gzip = gzip.finish().unwrap();
    let half = gzip.get(..gzip.len() / 2).unwrap();
    let mut damaged = gzip.clone();
    damaged.get_mut(40..80).unwrap().fill(0x55);
    let bad_time = br#"{"partition":"0","sequence":1,"enqueued":"yesterday","body":{}}"#;
    for (path, words) in [
        (folder.path("absent.jsonl"), ["absent.jsonl", "No such file"]),
        (folder.path(""), ["cannot read", "not a file"]),
        (folder.write("half.gz", half), ["half.gz", "cannot read"]),
        (folder.write("damaged.gz", &damaged), ["damaged.gz", "cannot read"]),
        (folder.write("time.jsonl", bad_time), ["time.jsonl line 1", "\"enqueued\""]),
    ] {
        check_refused(&run(&["replay", &path, "--db", &db]), &words);
        check_refused(&run(&["replay", &file, &path, "--db", &db]), &words);
        assert_eq!(before, dump(&db).await, "{path}");
    }
    let fresh = folder.path("fresh.db");
    check_refused(&run(&["replay", &folder.path("absent"), "--db", &fresh]), &["absent"]);
    assert!(!std::fs::exists(&fresh).unwrap(), "a database was made for nothing");
}

#[tokio::test]
async fn databases_that_cannot_be_used_are_left_alone() {
    let folder = Folder::new();
    let (file, db) = used(&folder);
    let text = folder.write("notes.txt", &b"no database but my notes\n".repeat(100));
    let missing = folder.path("missing/folder/db");
    for (path, words) in [
        (&text, ["notes.txt", "not a database"]),
        (&missing, ["missing/folder", "does not exist"]),
        (&folder.path("."), ["cannot open database", "it is a folder"]),
    ] {
        check_refused(&run(&["replay", &file, "--db", path]), &words);
    }
    assert_eq!(std::fs::read(&text).unwrap(), b"no database but my notes\n".repeat(100));
    assert!(!std::fs::exists(folder.path("missing")).unwrap());
    for path in [&text, &missing, &folder.path("absent")] {
        check_refused(&run(&["incidents", "--db", path]), &[path]);
        assert!(!std::fs::exists(folder.path("absent")).unwrap());
    }
    let mut other = connect(&db).await;
    sqlx::query(
        "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
         values (99990101000000, 'the future', 1, x'00', 0)",
    )
    .execute(&mut other)
    .await
    .unwrap();
    other.close().await.unwrap();
    let before = dump(&db).await;
    let ran = run(&["replay", &file, "--db", &db]);
    check_refused(&ran, &["newer tokenwatch", "99990101000000", &db]);
    assert_eq!(before, dump(&db).await);
}

#[tokio::test]
async fn a_locked_database_is_said_to_be_locked() {
    let folder = Folder::new();
    let (file, db) = used(&folder);
    let before = dump(&db).await;
    let mut other = connect(&db).await;
    sqlx::query("begin exclusive").execute(&mut other).await.unwrap();
    let ran = run(&["replay", &file, "--db", &db]);
    check_refused(&ran, &["locked by another process", &db]);
    sqlx::query("rollback").execute(&mut other).await.unwrap();
    other.close().await.unwrap();
    assert_eq!(before, dump(&db).await);
}

#[test]
fn wrong_calls_end_with_two() {
    let check = |args: &[&str]| {
        let ran = run(args);
        assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""), "{args:?}: {}", ran.err);
    };
    check(&[]);
    check(&["replay"]);
    check(&["replay", "file"]);
    check(&["replay", "file", "--db", "db", "--format", "xml"]);
    check(&["incidents"]);
    check(&["simulate", "--scenario", "sunshine", "--out", "-"]);
    check(&["no-such-command"]);
}

/// A usage row as Azure writes it, with `tokens` as the text of its prompt tokens.
fn usage(deployment: &str, correlation: &str, tokens: &str) -> String {
    format!(
        r#"{{"category":"AzureOpenAIRequestUsage","correlationId":"{correlation}","time":"2026-10-01T10:00:00Z","resourceId":"/S/R/ACCOUNTS/A","properties":{{"modelDeploymentName":"{deployment}","modelName":"gpt-4o","promptTokens":{tokens},"generatedTokens":[1]}}}}"#
    )
}

/// Calls, tokens in, and records in quarantine that the lines give.
fn outcome(lines: &[String]) -> [i64; 3] {
    let folder = Folder::new();
    let json = replay(&[&folder.write("file", lines.join("\n").as_bytes())], &folder.path("db"));
    let rows = json.get("deployments").and_then(Value::as_array).unwrap();
    let sum = |name| rows.iter().filter_map(|row| row.get(name)?.as_i64()).sum();
    [sum("calls"), sum("tokens_in"), json.get("quarantined").and_then(Value::as_i64).unwrap()]
}

/// One record between two good siblings of 10 tokens each, in one body.
#[track_caller]
fn check_number(tokens: &str, expected: [i64; 3]) {
    let (before, after) = (usage("d", "before", "10"), usage("d", "after", "10"));
    let body = format!("{{\"records\":[{before},{},{after}]}}", usage("d", "it", tokens));
    assert_eq!(outcome(&[body]), expected, "{tokens}");
}

#[test]
fn forged_numbers_have_a_defined_outcome_and_siblings_live() {
    for tokens in ["12", "\"12\"", "12.0", "1.2e1", "[12]", "\" 12 \"", "[\"12\"]"] {
        check_number(tokens, [3, 32, 0]);
    }
    for tokens in ["null", "[]", "[null]"] {
        check_number(tokens, [3, 20, 0]);
    }
    for tokens in [
        "1e400",
        "-1",
        "18446744073709551616",
        "9007199254740993",
        "\"NaN\"",
        "\"1e400\"",
        "1.5",
        "{}",
    ] {
        check_number(tokens, [2, 20, 1]);
    }
    // A bare NaN is no JSON: the body cannot be taken apart, but the next one lives.
    let next = usage("d", "next", "10");
    assert_eq!(outcome(&[usage("d", "it", "NaN"), next.clone()]), [1, 10, 1]);
    assert_eq!(outcome(&[next.clone(), usage("d", "it", "Infinity"), next]), [1, 10, 1]);
}

#[test]
fn deep_nesting_costs_one_record_at_most() {
    let deep =
        |open: &str, close: &str| format!("{}1{}", open.repeat(100_000), close.repeat(100_000));
    for nested in [deep("[", "]"), deep("{\"a\":", "}")] {
        check_number(&nested, [2, 20, 1]);
        let next = usage("d", "next", "10");
        // The envelope itself: one body lost at most, none of its neighbours.
        let [calls, tokens, _] = outcome(&[next.clone(), nested, next]);
        assert_eq!([calls, tokens], [1, 10]);
    }
}

#[test]
fn a_line_of_two_mebibytes_costs_itself_only() {
    let next = |name: &str| usage("d", name, "10");
    let padding = " ".repeat(2 * 1024 * 1024);
    let long = format!("{{\"records\":[{}{padding}]}}", next("long"));
    assert_eq!(outcome(&[next("a"), long, next("b")]), [2, 20, 1]);
}

#[tokio::test]
async fn floods_of_names_are_bounded_and_their_totals_exact() {
    const COUNT: usize = 100_000;
    let folder = Folder::new();
    let mut file = Vec::new();
    for first in (0..COUNT).step_by(1_000) {
        let records: Vec<_> = (first..first + 1_000).map(flood).collect();
        writeln!(file, "{{\"records\":[{}]}}", records.concat().trim_end_matches(',')).unwrap();
    }
    let (file, db) = (folder.write("flood.jsonl", &file), folder.path("db"));
    let json = replay(&[&file], &db);
    let rows = json.get("deployments").and_then(Value::as_array).unwrap();
    let sum = |name| rows.iter().filter_map(|row| row.get(name)?.as_i64()).sum::<i64>();
    assert_eq!([sum("calls"), sum("tokens_in"), sum("tokens_out")], [100_000, 700_000, 300_000]);
    assert_eq!(rows.len(), 2_001);
    let other = rows.iter().find(|row| row.get("deployment") == Some(&Value::from("(other)")));
    assert_eq!(other.and_then(|row| row.get("calls")?.as_i64()), Some(98_000));
    let categories = json.get("unknown_categories").and_then(Value::as_object).unwrap();
    assert!(categories.len() <= 257, "{}", categories.len());
    assert_eq!(categories.values().filter_map(Value::as_i64).sum::<i64>(), 100_000);
    let lines = dump(&db).await;
    let rows = lines.iter().filter(|line| line.starts_with("rollup_hour ")).count();
    // 2,000 deployments and (other), each with a total; a caller for each, and at most 700 of
    // (other).
    assert!(rows <= 2_001 + 2_000 + 701, "{rows}");
}

/// A call with its own deployment and network, and a record of its own category.
fn flood(n: usize) -> String {
    let (a, b, c) = (n / 65_536 + 1, n / 256 % 256, n % 256);
    format!(
        r#"{{"category":"RequestResponse","correlationId":"{n}","time":"2026-10-01T10:00:00Z","resourceId":"/S/R/ACCOUNTS/A","callerIpAddress":"{a}.{b}.{c}.*","properties":{{"modelDeploymentName":"d{n}","modelName":"gpt-4o","promptTokens":7,"completionTokens":3}}}},{{"category":"C{n}"}},"#
    )
}
