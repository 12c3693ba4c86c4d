//! `simulate --series` from outside: files for a scorer, never written over by mistake.

use std::collections::BTreeMap;

use serde_json::Value;
use tokenwatch::backtest::{Layout, Track};
use tokenwatch::simulate::series::{DAY, Kind, ORACLE_FILE, files};

use crate::harness::{Folder, run};

/// The bytes of every file of both tracks.
fn bytes(folder: &str) -> Vec<Vec<u8>> {
    let names = [Kind::Fleet, Kind::Young, Kind::Callers].into_iter().flat_map(files);
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

/// Calls and tokens of a span: seen, and as the oracle has them.
#[derive(Debug, Default, Clone, Copy)]
struct Sums {
    calls: [f64; 2],
    tokens: [f64; 2],
    /// Squares of how far calls lie from what was expected in the slot, and three hours later.
    apart: [f64; 2],
}

fn list(law: &Value, name: &str) -> Vec<f64> {
    let values = law.get(name).and_then(Value::as_array).unwrap();
    values.iter().map(|value| value.as_f64().unwrap()).collect()
}

fn number(law: &Value, name: &str) -> f64 {
    law.get(name).and_then(Value::as_f64).unwrap()
}

/// Labelled spans by series: first slot, slot after the last, type.
fn labels(path: &str) -> BTreeMap<String, Vec<(usize, usize, String)>> {
    let text = std::fs::read_to_string(format!("{path}/fleet_labels.csv")).unwrap();
    let mut spans: BTreeMap<String, Vec<(usize, usize, String)>> = BTreeMap::new();
    for line in text.lines().skip(1) {
        let cells: Vec<&str> = line.split(',').collect();
        let [_, series, start, end, what, ..] = cells.as_slice() else { unreachable!("{line}") };
        let slot = |seconds: &str| seconds.parse::<usize>().unwrap() / 300;
        let span = (slot(start), slot(end), (*what).to_owned());
        spans.entry((*series).to_owned()).or_default().push(span);
    }
    spans
}

#[test]
fn the_oracle_says_what_the_series_were_drawn_from() {
    let folder = Folder::new();
    let path = folder.path("series");
    let call = ["simulate", "--series", &path, "--deployments", "16", "--track", "fleet", "--seed"];
    let oracle = || std::fs::read(format!("{path}/{ORACLE_FILE}")).unwrap();
    assert_eq!(run(&[&call[..], &["9", "--oracle"]].concat()).code, Some(0));
    let laws = oracle();
    let track = Track::open(path.as_ref(), "fleet").unwrap();
    let Layout::Attacks(info) = track.layout else { unreachable!("a fleet is traffic") };
    let slots = usize::try_from(info.slots).unwrap();
    let labels = labels(&path);
    let laws_text = String::from_utf8(laws.clone()).unwrap();
    assert_eq!(laws_text.lines().count(), track.series.len());
    let (mut quiet, mut outage, mut spike) = (Sums::default(), Sums::default(), Sums::default());
    for (line, series) in laws_text.lines().zip(&track.series) {
        let law: Value = serde_json::from_str(line).unwrap();
        assert_eq!(law.get("series").and_then(Value::as_str), Some(&*series.name));
        let (expected, modulation) = (list(&law, "expected"), list(&law, "modulation"));
        assert_eq!((expected.len(), modulation.len()), (slots, slots));
        let expected: Vec<f64> = expected.iter().zip(&modulation).map(|(a, b)| a * b).collect();
        let per_call = number(&law, "input") + number(&law, "output");
        let spans = labels.get(&series.name).cloned().unwrap_or_default();
        let mut own = Sums::default();
        for (slot, expected_now) in expected.iter().enumerate() {
            let (seen, _) = series.observed(i64::try_from(slot).unwrap());
            let inside = |(from, until, what): &&(usize, usize, String)| {
                // A lawful growth stays.
                *from <= slot && (slot < *until || what == "growth")
            };
            let later = expected.get(slot + 36).unwrap_or(expected_now);
            let sums = match spans.iter().find(inside).map(|(_, _, what)| what.as_str()) {
                None => &mut own,
                Some("outage") => &mut outage,
                Some("spike_x50") => &mut spike,
                Some(_) => continue,
            };
            sums.calls = [sums.calls[0] + seen.calls, sums.calls[1] + expected_now];
            let tokens = [seen.tokens(), expected_now * per_call];
            sums.tokens = [sums.tokens[0] + tokens[0], sums.tokens[1] + tokens[1]];
            let apart = [seen.calls - expected_now, seen.calls - later].map(|far| far * far);
            sums.apart = [sums.apart[0] + apart[0], sums.apart[1] + apart[1]];
        }
        let ratio = own.calls[0] / own.calls[1].max(1.0);
        assert!(
            own.calls[1] < 2_000.0 || (0.95..1.05).contains(&ratio),
            "{}: {own:?}",
            series.name
        );
        quiet.calls = [quiet.calls[0] + own.calls[0], quiet.calls[1] + own.calls[1]];
        quiet.tokens = [quiet.tokens[0] + own.tokens[0], quiet.tokens[1] + own.tokens[1]];
        quiet.apart = [quiet.apart[0] + own.apart[0], quiet.apart[1] + own.apart[1]];
    }
    assert!(quiet.calls[1] > 10_000.0 && slots == 35 * DAY, "{quiet:?}");
    assert!((0.9..1.1).contains(&(quiet.tokens[0] / quiet.tokens[1])), "{quiet:?}");
    // Not a few slots early or late.
    assert!(quiet.apart[0] < 0.5 * quiet.apart[1], "{quiet:?}");
    assert!(outage.calls[0] == 0.0 && outage.calls[1] > 0.0, "{outage:?}");
    assert!(spike.calls[0] > 10.0 * spike.calls[1] && spike.calls[1] > 0.0, "{spike:?}");
    assert_eq!(run(&[&call[..], &["9", "--oracle", "--force"]].concat()).code, Some(0));
    assert!(laws == oracle(), "the same seed, other bytes");
    assert_eq!(run(&[&call[..], &["10", "--oracle", "--force"]].concat()).code, Some(0));
    assert!(laws != oracle(), "another seed, the same bytes");
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
