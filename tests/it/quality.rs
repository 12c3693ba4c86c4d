//! The statistical detector against labels: not worse than what `models/README.md` records.

use std::path::{Path, PathBuf};

use tokenwatch::backtest::score::{Exam, Marks, moments};
use tokenwatch::backtest::{Alert, Layout, Run, Track};
use tokenwatch::detect::score::ScoreSettings;

use crate::harness::{Folder, run};

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

/// A fresh fleet of the program's own generator.
fn fleet(folder: &Folder, seed: u32) -> PathBuf {
    let (path, seed) = (folder.path(&seed.to_string()), seed.to_string());
    let ran = run(&["simulate", "--series", &path, "--track", "fleet", "--seed", &seed]);
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

/// How good the detector is on a track of attacks at a set rate.
fn marks(folder: &Path, name: &str, alerts_per_week: f64) -> Marks {
    let track = Track::open(folder, name).unwrap();
    let settings = ScoreSettings { alerts_per_week };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let run = Run { track: &track, settings, threads, until: None };
    let alerts = run.keep(|judged| Alert::of(judged, 1.0), &mut |_| {});
    let Layout::Attacks(info) = track.layout else {
        unreachable!("{name} has no attacks");
    };
    let scores = moments(&alerts, |_, timestamp| timestamp.parse().ok());
    Exam::of(folder, name, info, scores).unwrap().at(1.0)
}

/// Compares the means over the draws of a track with the record.
#[track_caller]
fn check(row: &str, track: &str, alerts_per_week: f64, draws: &[PathBuf]) {
    let all: Vec<Marks> =
        draws.iter().map(|folder| marks(folder, track, alerts_per_week)).collect();
    let count = f64::from(u32::try_from(all.len()).unwrap());
    let mean = |of: fn(&Marks) -> f64| all.iter().map(of).sum::<f64>() / count;
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

#[test]
fn recall_at_the_set_rate_is_what_the_record_says() {
    check("servegen, dev", "servegen", 0.1, &[data()]);
    let folder = Folder::new();
    check("fleet, seeds 1 to 3", "fleet", 0.1, &[1, 2, 3].map(|seed| fleet(&folder, seed)));
}
