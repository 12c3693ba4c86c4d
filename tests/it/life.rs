//! The life of incidents by the real program: people take, judge, silence and end them.

use std::path::Path;
use std::time::Duration;

use tokenwatch::incident::State;
use tokio::time::{sleep, timeout};

use crate::harness::{Folder, Ran, refuses, run, says};
use crate::lists::{serve, start, until};

const MAILS: &str = "[[notify.eml]]\nname = \"folder\"\nfolder = \"mails\"\n\
    from = \"a@example.com\"\nto = [\"b@example.com\"]\n";

/// Subjects of the mails, once there are as many.
async fn subjects(folder: &Folder, count: usize) -> Vec<String> {
    let mails = folder.path("mails");
    let look = || {
        let entries = std::fs::read_dir(&mails).into_iter().flatten().flatten();
        let texts = entries.filter_map(|entry| {
            let path = entry.path();
            let is_mail = path.extension().is_some_and(|extension| extension == "eml");
            is_mail.then(|| std::fs::read(path).ok()).flatten()
        });
        let parser = mail_parser::MessageParser::default();
        let subjects = texts.filter_map(|text| Some(parser.parse(&text)?.subject()?.to_owned()));
        let mut subjects: Vec<String> = subjects.collect();
        subjects.sort();
        subjects
    };
    let waiting = async {
        loop {
            let subjects = look();
            if subjects.len() >= count {
                return subjects;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    let found = timeout(Duration::from_secs(60), waiting).await;
    let found = found.unwrap_or_else(|_| look());
    assert_eq!(found.len(), count, "{found:#?}");
    found
}

fn ask(folder: &Folder, args: &[&str]) -> Ran {
    let db = folder.path("live.db");
    let mut all = args.to_vec();
    all.extend(["--db", &db, "--by", "ann"]);
    run(&all)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_take_judge_silence_and_end_incidents() {
    let folder = Folder::new();
    let (_emulator, running) = start(&folder, "203.0.113.0/24\n", MAILS).await;
    let db = folder.path("live.db");
    let database = Path::new(&db);
    until(database, &[]).await;
    folder.write("list", b"not a list\n");
    let open = until(database, &[State::Open]).await;
    let id = open.first().unwrap().id();
    subjects(&folder, 1).await;

    says(&ask(&folder, &["incidents", "ack", &id, "--reason", "looking"]), "acknowledged");
    until(database, &[State::Acknowledged]).await;
    subjects(&folder, 2).await;
    refuses(&ask(&folder, &["incidents", "ack", &id]), "acknowledged already");
    refuses(&ask(&folder, &["incidents", "ack", "ffff0000"]), "there is no incident ffff0000");
    refuses(&ask(&folder, &["incidents", "note", &id]), "--reason");
    says(&ask(&folder, &["incidents", "note", &id, "--reason", "provider told"]), "noted");
    says(&ask(&folder, &["incidents", "feedback", &id, "expected"]), "noted: expected");

    let shown = run(&["incidents", "show", &id, "--db", &db]);
    for part in ["opened, low", "acknowledged: looking (ann)", "note: provider told (ann)"] {
        says(&shown, part);
    }
    let stats = run(&["incidents", "stats", "--db", &db, "--weeks", "520", "--format", "json"]);
    let stats: serde_json::Value = serde_json::from_str(&stats.out).unwrap();
    let rule = stats.pointer("/0").unwrap();
    let of = |pointer: &str| rule.pointer(pointer).and_then(serde_json::Value::as_i64);
    assert_eq!(
        (of("/incidents"), of("/messages"), of("/feedback/expected")),
        (Some(1), Some(2), Some(1))
    );
    assert!(of("/median_ms_to_acknowledge").is_some(), "{rule}");

    // A silence holds the end back, and gives it free.
    let silence = ["silence", "add", "--match", "rule=TW-S07", "--for", "1h"];
    says(&ask(&folder, &silence), "holds until");
    let list = run(&["silence", "list", "--db", &db, "--format", "json"]);
    let list: serde_json::Value = serde_json::from_str(&list.out).unwrap();
    let number = list.pointer("/0/id").unwrap().to_string();
    folder.write("list", b"203.0.113.0/24\n");
    until(database, &[State::Resolved]).await;
    sleep(Duration::from_secs(2)).await;
    subjects(&folder, 2).await;
    says(&ask(&folder, &["silence", "end", &number]), "is over");
    subjects(&folder, 3).await;
    refuses(&ask(&folder, &["silence", "end", &number]), "no silence");
    refuses(&ask(&folder, &["incidents", "resolve", &id]), "the incident is over");

    // What is asked for while no service runs takes effect when one does.
    drop(running);
    says(&ask(&folder, &["incidents", "feedback", &id, "abuse"]), "no service answers");
    let running = serve(&folder);
    let judged = async {
        loop {
            let shown = run(&["incidents", "show", &id, "--db", &db, "--format", "json"]);
            if shown.out.contains("\"feedback\":\"abuse\"") {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(60), judged).await.unwrap();
    drop(running);
    subjects(&folder, 3).await;
}

#[test]
fn what_is_wrong_is_said_before_anything_is_written_down() {
    let folder = Folder::new();
    let ran =
        run(&["silence", "add", "--match", "acount=x", "--for", "1h", "--db", "x", "--by", "a"]);
    refuses(&ran, "there is no label \"acount\"");
    let ran = run(&["silence", "add", "--match", "account=x", "--for", "soon", "--db", "x"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.err.contains("no span of time"), "{}", ran.err);
    refuses(&ask(&folder, &["incidents", "ack", "x"]), "there is no such file");
}
