//! `backtest fit`: the detector's tails, counted on series that are usual but for one attack.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokenwatch::backtest::score::{Exam, moments};
use tokenwatch::backtest::{Alert, Draw, Draws, Fit, Layout, Run, Track};
use tokenwatch::detect::score::{ScoreSettings, Tails};

use crate::harness::{Folder, Ran, run};
use crate::quality::data;

/// A draw; every second deployment is idle by night.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub deployments: i64,
    /// First day that is scored, and days in all.
    pub days: (i64, i64),
    /// Whether it is known what new callers did.
    pub fresh: bool,
    /// Whether callers are known.
    pub callers: bool,
}

/// Fifteen days to grow up in, and five scored weeks.
const GROWN: Size = Size { deployments: 16, days: (15, 50), fresh: false, callers: true };
/// Hours of the attack on the first deployment.
const ATTACK: std::ops::Range<i64> = 900..904;

/// A number from 0 to 1 that follows from others alone (`SplitMix64`).
#[expect(clippy::cast_precision_loss, reason = "any number from 0 to 1 will do")]
fn draw(seed: i64, deployment: i64, hour: i64, what: i64) -> f64 {
    let place = ((seed * 1_000 + deployment) * 10_000 + hour) * 10 + what;
    let mut bits = place.cast_unsigned().wrapping_mul(0x9e37_79b9_7f4a_7c15);
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Calls and callers of an hour: by day more than by night, now and then twice as much as usual.
fn traffic(seed: i64, deployment: i64, hour: i64) -> (f64, f64) {
    let (is_day, is_idle) = ((8..18).contains(&(hour % 24)), deployment % 2 == 1);
    let usual = match (is_idle, is_day) {
        (true, false) => return (0.0, 0.0),
        (true, true) => 6.0,
        (false, true) => 90.0,
        (false, false) => 30.0,
    };
    let of = |what| draw(seed, deployment, hour, what);
    let noise = of(0) + of(1) + of(2) - 1.5;
    let burst = if of(3) < 0.01 { 1.0 + 2.0 * of(4) } else { 1.0 };
    let attack = if deployment == 0 && ATTACK.contains(&hour) { 60.0 } else { 1.0 };
    let calls = (usual * (0.8 * noise).exp() * burst * attack).round();
    (calls, (calls / 3.0 * (0.4 * of(5) + 0.8)).ceil())
}

/// Writes a draw of the track `hours`.
pub(crate) fn write(folder: &Folder, seed: i64, labels: &str, size: Size) {
    let heading = "series,slot,requests,tokens_in,tokens_out,callers\n";
    let (mut rows, mut meta) = (heading.to_owned(), "series,usd_in,usd_out\n".to_owned());
    let mut of_new = "series,slot,calls,tokens_in,tokens_out,callers\n".to_owned();
    let (first, days) = size.days;
    for deployment in 0..size.deployments {
        meta.push_str(&format!("dep-{deployment},2,8\n"));
        for hour in 0..days * 24 {
            let (calls, callers) = traffic(seed, deployment, hour);
            let callers = if size.callers { callers } else { 0.0 };
            if calls > 0.0 {
                let per_call = (700.0 * (0.8 + 0.4 * draw(seed, deployment, hour, 6))).round();
                let input = calls * per_call;
                rows.push_str(&format!("dep-{deployment},{hour},{calls},{input},0,{callers}\n"));
                let new = (input * draw(seed, deployment, hour, 7).powi(6)).round();
                of_new.push_str(&format!("dep-{deployment},{hour},1,{new},0,1\n"));
            }
        }
    }
    folder.write("hours.csv", rows.as_bytes());
    folder.write("hours_meta.csv", meta.as_bytes());
    folder.write("hours_labels.csv", format!("series,start,end,type,kind\n{labels}").as_bytes());
    folder.write("hours_info.json", info(size, first).as_bytes());
    if size.fresh {
        folder.write("hours_fresh.csv", of_new.as_bytes());
    }
}

/// What a draw is, scored from a day on.
fn info(size: Size, from: i64) -> String {
    let (hours, series) = (size.days.1 * 24, size.deployments);
    format!(
        "{{\"slot_seconds\": 3600, \"slots\": {hours}, \"series\": {series}, \
         \"score_from\": {}, \"score_to\": {}}}",
        from * 86_400,
        hours * 3_600
    )
}

pub(crate) fn label() -> String {
    format!("dep-0,{},{},spike,attack\n", ATTACK.start * 3_600, ATTACK.end * 3_600)
}

#[track_caller]
fn fit(data: &[&Folder], out: &str, more: &[&str]) -> Ran {
    let folders: Vec<String> = data.iter().map(|folder| folder.path("")).collect();
    let folders = folders.join(",");
    let mut args = vec!["backtest", "fit", "--data", &folders, "--track", "hours", "--out", out];
    args.extend(more);
    run(&args)
}

/// Points by name and regime, of a table that the detector understands.
#[track_caller]
fn rows(path: &str) -> BTreeMap<String, Vec<f64>> {
    let text = std::fs::read_to_string(path).unwrap();
    assert_eq!(Tails::parse(path, &text).unwrap().to_table(), text);
    let rows = text.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (name, points) =
            line.match_indices(',').nth(1).map(|(at, _)| line.split_at(at)).unwrap();
        let points = points.split(',').skip(1).map(|point| point.parse().unwrap());
        (name.to_owned(), points.collect())
    });
    rows.collect()
}

/// The table of the program.
fn of_program() -> String {
    Tails::of_program().to_table()
}

#[test]
fn a_fleet_fills_the_rows_of_busy_and_idle_on_any_number_of_threads() {
    let (one, two) = (Folder::new(), Folder::new());
    write(&one, 1, &label(), GROWN);
    write(&two, 2, &label(), GROWN);
    let before = one.write("before.csv", of_program().as_bytes());
    let before = rows(&before);
    let mut tables = Vec::new();
    for threads in ["1", "3"] {
        let out = one.path(&format!("{threads}.csv"));
        let ran = fit(&[&one, &two], &out, &["--threads", threads, "--rounds", "1"]);
        assert_eq!((ran.code, &*ran.out), (Some(0), ""), "{}", ran.err);
        assert!(
            ran.err.contains("counted 80.0 weeks of busy deployments and 80.0 "),
            "{}",
            ran.err
        );
        assert!(ran.err.contains("weeks of idle deployments in 2 draws"), "{}", ran.err);
        tables.push(std::fs::read(&out).unwrap());
        let after = rows(&out);
        let fitted = |name: &str| before.get(name) != after.get(name);
        for name in ["calls-5m,busy", "calls-5m,idle", "fused,busy", "fused,idle"] {
            assert!(after.contains_key(name) && fitted(name), "{name}");
        }
        let is_other = |name: &str| {
            let mut others = ["new", "young", "wild", "bare"].into_iter();
            name.starts_with("fresh") || others.any(|regime| name.ends_with(regime))
        };
        let others = before.keys().filter(|name| is_other(name));
        others.for_each(|name| assert!(!fitted(name), "{name}"));
    }
    assert!(tables.first() == tables.last());
}

#[test]
fn scores_of_labelled_attacks_are_not_counted() {
    let last = |labels: &str| {
        let folder = Folder::new();
        write(&folder, 1, labels, GROWN);
        let out = folder.path("out.csv");
        let ran = fit(&[&folder], &out, &["--rounds", "1"]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        rows(&out).get("calls-5m,busy").and_then(|points| points.last()).copied().unwrap()
    };
    let (without, with) = (last(&label()), last(""));
    assert!(without < 6.0 && with > without + 2.0, "{without} without the attack, {with} with it");
}

#[test]
fn known_new_callers_fill_their_own_rows_alone() {
    let folder = Folder::new();
    write(&folder, 1, &label(), Size { fresh: true, ..GROWN });
    let out = folder.write("out.csv", b"# nothing yet\n\ndrop-8h,busy,1,2,3,4,5\n");
    // What a run that was stopped has left.
    let draft = folder.write("out.csv.draft", b"calls-1h,bu");
    let ran = fit(&[&folder], &out, &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(!std::fs::exists(draft).unwrap());
    let names: Vec<String> = rows(&out).into_keys().collect();
    assert_eq!(names, ["drop-8h,busy", "fresh-1h,busy", "fresh-1h,idle"]);
}

/// Parts with a row, by kind of deployment, after a fit to deployments that are three to fourteen days old.
fn fitted_to_young(callers: bool) -> (Ran, BTreeMap<String, Vec<f64>>) {
    let folder = Folder::new();
    write(&folder, 1, "", Size { deployments: 72, days: (3, 14), fresh: false, callers });
    let table = "drop-8h,wild,1,2,3,4,5\ncalls-1h,busy,1,2,3,4,5\ncallers-1h,young,1,2,3,4,5\n";
    let out = folder.write("out.csv", table.as_bytes());
    let ran = fit(&[&folder], &out, &["--rounds", "1"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let rows = rows(&out);
    assert_eq!(rows.get("calls-1h,busy").unwrap(), &[1.0, 2.0, 3.0, 4.0, 5.0]);
    (ran, rows)
}

#[test]
fn deployments_of_two_weeks_with_many_callers_fill_the_rows_of_new_and_young() {
    let (ran, rows) = fitted_to_young(true);
    assert!(ran.err.contains("no row any more for callers-1h young: "), "{}", ran.err);
    let falls = "odds-fall,young";
    for row in
        ["calls-1h,new", "calls-1h,young", "odds-rise,new", falls, "fused,new", "fused,young"]
    {
        assert!(rows.contains_key(row), "{row} is not in {rows:?}");
    }
    assert_eq!(rows.get("drop-8h,wild").unwrap(), &[1.0, 2.0, 3.0, 4.0, 5.0]);
    for row in ["calls-1h,wild", "drop-8h,young", "silence,new", "odds-fall,new"] {
        assert!(!rows.contains_key(row), "{row} is in {rows:?}");
    }
}

#[test]
fn without_callers_they_fill_those_of_wild_ones_and_none_about_odds() {
    let (ran, rows) = fitted_to_young(false);
    assert!(ran.err.contains("no row any more for drop-8h wild: "), "{}", ran.err);
    for row in ["season-5m,wild", "fused,wild", "callers-1h,young"] {
        assert!(rows.contains_key(row), "{row} is not in {rows:?}");
    }
    for row in ["silence,wild", "odds-rise,wild", "calls-1h,wild", "calls-1h,young"] {
        assert!(!rows.contains_key(row), "{row} is in {rows:?}");
    }
}

#[test]
fn single_values_fill_the_rows_of_bare_deployments() {
    let folder = Folder::new();
    let out = folder.write("out.csv", b"calls-1h,busy,1,2,3,4,5\n");
    let data = data().display().to_string();
    let fit = ["backtest", "fit", "--data", &data, "--track", "msft", "--out", &out];
    let ran = run(&[fit.as_slice(), &["--rounds", "1"]].concat());
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.err.contains("116.5 weeks of bare deployments"), "{}", ran.err);
    let rows = rows(&out);
    for part in ["season-5m,bare", "drop-1h,bare", "fused,bare", "calls-1h,busy"] {
        assert!(rows.contains_key(part), "{part} is not in {rows:?}");
    }
    assert!(!rows.contains_key("season-5m,busy"));
}

/// What the tails say of series that they were counted on.
#[test]
fn fitted_tails_keep_the_set_rate_where_they_were_counted() {
    let folders = [1, 2].map(|seed| {
        let folder = Folder::new();
        write(&folder, seed, &label(), GROWN);
        folder
    });
    let paths = folders.each_ref().map(|folder| folder.path(""));
    let draws = paths.each_ref().map(|path| Draw::open(path.as_ref(), "hours").unwrap());
    let fit = Fit { draws: Draws { all: &draws, threads: 2 }, rounds: 1 };
    let mut heard = 0;
    let fitted = fit.run(Tails::default(), &mut |judged| heard = judged).unwrap();
    assert_eq!(heard, fit.slots());
    let tails = Arc::new(fitted.tails);
    for set in [0.1, 0.25] {
        let settings = ScoreSettings { alerts_per_week: set, tails: Arc::clone(&tails) };
        let rates = draws.each_ref().map(|draw| realised(&draw.track, &settings));
        let mean = rates.iter().sum::<f64>() / 2.0;
        assert!((set / 1.6..set * 1.6).contains(&mean), "{mean} where {set} is set: {rates:?}");
    }
}

/// False alerts per deployment and week, of the labelled attack being all that is no false alert.
fn realised(track: &Track, settings: &ScoreSettings) -> f64 {
    let Layout::Attacks(info) = track.layout else { unreachable!("a draw is of traffic") };
    let run = Run { track, settings: settings.clone(), threads: 2, until: None };
    let alerts = run.keep(|judged| Alert::of(judged, 1.0), &mut |_| {});
    let scores = moments(&alerts, |_, timestamp| timestamp.parse().ok());
    let folder = Folder::new();
    folder.write("x_labels.csv", format!("series,start,end,type,kind\n{}", label()).as_bytes());
    let exam = Exam::of(folder.path("").as_ref(), "x", info, scores).unwrap();
    exam.at(1.0).false_alerts_per_week
}

#[test]
fn what_cannot_be_fitted_is_told_with_its_place() {
    let folder = Folder::new();
    let check = |track: &str, table: &str, code: i32, told: &str| {
        let out = folder.write("out.csv", table.as_bytes());
        let (here, data) = (folder.path(""), data().display().to_string());
        let folders = if track == "nab" { data } else { here };
        let args = ["--track", track, "--out", &out];
        let ran = run(&[["backtest", "fit", "--data", &folders].as_slice(), &args].concat());
        assert_eq!(ran.code, Some(code), "{}", ran.err);
        assert!(ran.err.contains(told), "{told:?} is not in {}", ran.err);
        assert_eq!(std::fs::read_to_string(&out).unwrap(), table, "nothing is written");
    };
    check("none", "", 1, "none.csv.gz:1:1: cannot be read");
    check("nab", "", 1, "nab.csv.gz:1:1: no scored span");
    check("none", "[detect]\nalerts_per_week = 1\n", 1, "out.csv:1:1: this is no row of the tails");
    write(&folder, 1, &label(), GROWN);
    check("hours,none", "", 1, "none.csv.gz:1:1: cannot be read");
    folder.write("hours_info.json", info(GROWN, GROWN.days.1 - 7).as_bytes());
    check("hours", "", 1, "8.0 scored weeks of busy deployments are too few");
    check("hours", "", 1, &format!("hours of {}", folder.path("")));
    std::fs::remove_file(folder.path("hours_labels.csv")).unwrap();
    check("hours", "", 1, "hours_labels.csv");
}
