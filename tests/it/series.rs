//! `simulate --series` from outside: files for a scorer, never written over by mistake.

use tokenwatch::simulate::series::{Kind, ORACLE_FILE, files};

use crate::harness::{Folder, run};

/// The bytes of every file of both tracks.
fn bytes(folder: &str) -> Vec<Vec<u8>> {
    let names = [Kind::Fleet, Kind::Callers].into_iter().flat_map(files);
    names.map(|name| std::fs::read(format!("{folder}/{name}")).unwrap()).collect()
}

#[test]
fn series_are_written_once_and_again_the_same_when_forced() {
    let folder = Folder::new();
    let path = folder.path("deep/series");
    let call = ["simulate", "--series", &path, "--deployments", "4", "--seed"];
    let ran = run(&[&call[..], &["5"]].concat());
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), ""), "{}", ran.err);
    for said in ["fleet", "callers", "series=4"] {
        assert!(ran.err.contains(said), "{said}: {}", ran.err);
    }
    let first = bytes(&path);

    let ran = run(&[&call[..], &["6", "--track", "fleet"]].concat());
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.err.contains("fleet_labels.csv") && ran.err.contains("--force"), "{}", ran.err);
    assert!(!ran.err.contains("callers_labels.csv"), "{}", ran.err);
    assert_eq!(bytes(&path), first);

    let ran = run(&[&call[..], &["6", "--force"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_ne!(bytes(&path), first);
    let ran = run(&[&call[..], &["5", "--force"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert_eq!(bytes(&path), first);
}

#[test]
fn what_an_oracle_may_know_is_written_only_when_asked_for() {
    let folder = Folder::new();
    let path = folder.path("series");
    let file = format!("{path}/{ORACLE_FILE}");
    let call = ["simulate", "--series", &path, "--deployments", "2", "--track", "fleet"];
    assert_eq!(run(&call).code, Some(0));
    assert!(!std::fs::exists(&file).unwrap());
    assert_eq!(run(&[&call[..], &["--force", "--oracle"]].concat()).code, Some(0));
    assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), 2);
}

#[test]
fn options_of_series_and_of_events_do_not_mix() {
    let folder = Folder::new();
    let path = folder.path("series");
    let check = |args: &[&str]| {
        let ran = run(&[&["simulate"], args].concat());
        assert_eq!((ran.code, ran.out.is_empty()), (Some(2), true), "{args:?}: {}", ran.err);
    };
    check(&[]);
    check(&["--series", &path, "--out", "-"]);
    check(&["--series", &path, "--truth", &path]);
    check(&["--series", &path, "--scenario", "quiet"]);
    check(&["--out", "-", "--track", "fleet"]);
    check(&["--force"]);
    check(&["--out", "-", "--oracle"]);
    check(&["--series", &path, "--deployments", "0"]);
    check(&["--series", &path, "--deployments", "2001"]);
    check(&["--series", &path, "--preset", "sunny"]);
}
