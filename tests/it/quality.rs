//! The statistical detector against labels: not worse than what `models/README.md` records.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::harness::{Folder, program, run};

/// How far recall may fall and the realised rate rise without a word in the record.
const TOLERANCE: f64 = 0.02;
/// Where recall and rates are recorded, and the heading of the table.
const RECORD: (&str, &str) = ("models/README.md", "## Detection: what is measured");

/// What is recorded of a track at a set rate.
struct Recorded {
    recall: f64,
    false_alerts_per_week: f64,
}

/// What is measured of a track at a set rate: means over its draws.
#[derive(Debug)]
struct Measured {
    recall: f64,
    false_alerts_per_week: f64,
}

pub(crate) fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/detection")
}

/// A fresh draw of the program's own generator.
fn simulated(folder: &Folder, track: &str, seed: u32, deployments: u32) -> PathBuf {
    let (path, seed) = (folder.path(&format!("{track}-{seed}")), seed.to_string());
    let deployments = deployments.to_string();
    let options = ["--track", track, "--seed", &seed, "--deployments", &deployments];
    let ran = run(&[["simulate", "--series", &path].as_slice(), &options].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    path.into()
}

/// The row of the record about a track at a set rate.
#[track_caller]
fn recorded(track: &str, alerts_per_week: f64) -> Recorded {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join(RECORD.0)).unwrap();
    let lines = text.lines().skip_while(|line| *line != RECORD.1);
    let rows = lines.filter(|line| line.starts_with('|')).map(|line| {
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>()
    });
    let number =
        |cells: &[String], place: usize| cells.get(place).and_then(|cell| cell.parse::<f64>().ok());
    let about = |cells: &Vec<String>| {
        cells.first().is_some_and(|name| name == track)
            && number(cells, 1).is_some_and(|rate| (rate - alerts_per_week).abs() < 1e-9)
    };
    let found: Vec<Vec<String>> = rows.filter(about).collect();
    assert_eq!(found.len(), 1, "rows about {track} at {alerts_per_week} in {RECORD:?}");
    let cells = found.first().unwrap();
    let recall = number(cells, 2).unwrap();
    Recorded { recall, false_alerts_per_week: number(cells, 3).unwrap() }
}

/// How good a program finds the detector on a track of attacks at a set rate.
fn marks(folder: &Path, track: &str, alerts_per_week: f64) -> Measured {
    let (data, rate) = (folder.display().to_string(), alerts_per_week.to_string());
    let mut command = Command::new(program());
    command.args(["backtest", "--data", &data, "--track", track, "--alerts-per-week", &rate]);
    command.args(["--score", "--format", "json"]);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let marks: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let fires = marks.get("at_1").unwrap();
    let number = |name: &str| fires.get(name).and_then(serde_json::Value::as_f64).unwrap();
    Measured { recall: number("recall"), false_alerts_per_week: number("false_alerts_per_week") }
}

/// Compares the means over the draws of a track with the record, at both rates.
#[track_caller]
fn check((row, track): (&str, &str), draws: &[PathBuf]) {
    for alerts_per_week in [0.1, 0.25] {
        let all: Vec<Measured> =
            draws.iter().map(|folder| marks(folder, track, alerts_per_week)).collect();
        let count = f64::from(u32::try_from(all.len()).unwrap());
        let mean = |of: fn(&Measured) -> f64| all.iter().map(of).sum::<f64>() / count;
        let measured = Measured {
            recall: mean(|marks| marks.recall),
            false_alerts_per_week: mean(|marks| marks.false_alerts_per_week),
        };
        let recorded = recorded(row, alerts_per_week);
        assert!(measured.recall >= recorded.recall - TOLERANCE, "{row}: {measured:?}");
        assert!(
            measured.false_alerts_per_week <= recorded.false_alerts_per_week + TOLERANCE,
            "{row}: {measured:?}"
        );
    }
}

#[test]
fn recall_at_the_set_rate_is_what_the_record_says() {
    let folder = Folder::new();
    for track in ["servegen", "msft"] {
        check((&format!("{track}, dev"), track), &[data()]);
    }
    // Whole fleets take minutes without optimisation.
    if std::env::var_os("TOKENWATCH_RELEASE").is_some() {
        for track in ["fleet", "young", "abrupt"] {
            let draws = [1, 2, 3].map(|seed| simulated(&folder, track, seed, 200));
            check((&format!("{track}, seeds 1 to 3"), track), &draws);
        }
    } else {
        for track in ["fleet", "young", "abrupt"] {
            let draw = simulated(&folder, track, 4, 20);
            check((&format!("{track} of 20, seed 4"), track), &[draw]);
        }
    }
}
