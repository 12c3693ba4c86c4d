//! `backtest` and `explain`: the same results on any number of threads, nothing from the future, and
//! problems told by place; and our scorer against the benchmark's own.

use std::io::{Read as _, Write as _};
use std::path::Path;

use flate2::read::GzDecoder;
use serde_json::Value;
use tokenwatch::backtest::score::nab::{NabExam, PROFILES};
use tokenwatch::backtest::score::{Exam, Marks, moments, msft};
use tokenwatch::backtest::{Alert, Layout, Track};
use tokenwatch::detect::score::Fresh;

use crate::harness::{Folder, Ran, run};
use crate::quality::data;

/// Slots of the small fleet; the detector needs a day before it says anything.
const SLOTS: i64 = 4_932;
/// Traffic of the small fleet jumps here, for an hour, in its second deployment.
const JUMP: i64 = 4_732;

/// Calls of a deployment in a slot; none at night.
fn calls(deployment: i64, slot: i64) -> i64 {
    let hour = slot / 12 % 24;
    let usual = if hour < 6 { 0 } else { 20 + 7 * deployment + (slot * (deployment + 3)) % 11 };
    if deployment == 1 && (JUMP..JUMP + 12).contains(&slot) { usual * 40 + 500 } else { usual }
}

/// A fleet of four deployments, its values after a slot changed by `change`.
fn fleet(folder: &Folder, after: i64, change: impl Fn(i64) -> i64) {
    let mut rows = "series,slot,requests,tokens_in,tokens_out,callers\n".to_owned();
    for deployment in 0..4 {
        for slot in 0..SLOTS {
            let seen = calls(deployment, slot);
            let values = [seen, seen * 700, seen * 90, seen.min(3 + deployment)];
            let [calls, input, output, callers] =
                values.map(|value| if slot < after { value } else { change(value) });
            if calls > 0 {
                rows.push_str(&format!(
                    "dep-{deployment},{slot},{calls},{input},{output},{callers}\n"
                ));
            }
        }
    }
    folder.write("small.csv", rows.as_bytes());
    let meta = "series,model,usd_in,usd_out,profile\ndep-0,gpt,2,8,x\ndep-1,gpt,2,8,x\n\
                dep-2,gpt,2,8,x\ndep-3,gpt,,,x\nidle,gpt,2,8,x\n";
    folder.write("small_meta.csv", meta.as_bytes());
    folder.write("small_info.json", INFO.as_bytes());
    let labels = format!(
        "track,series,start,end,type,kind,magnitude\nsmall,dep-1,{},{},spike_x50,attack,50\n",
        JUMP * 300,
        (JUMP + 12) * 300
    );
    folder.write("small_labels.csv", labels.as_bytes());
}

const INFO: &str = r#"{"track": "small", "slot_seconds": 300, "slots": 4932, "series": 5,
 "score_from": 86400, "score_to": 1479600}"#;

#[track_caller]
fn backtest(folder: &Folder, more: &[&str]) -> Ran {
    let data = folder.path("");
    let mut args = vec!["backtest", "--data", &data, "--track", "small"];
    args.extend(more);
    let ran = run(&args);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    ran
}

/// Rows of alerts, without the heading.
fn rows(csv: &str) -> Vec<&str> {
    assert!(csv.starts_with(
        "series,timestamp,score,component,window,observed,expected,low,high,reason\n"
    ));
    csv.lines().skip(1).collect()
}

/// Seconds and score of a row.
fn moment(row: &str) -> (i64, f64) {
    let mut cells = row.split(',').skip(1);
    (cells.next().unwrap().parse().unwrap(), cells.next().unwrap().parse().unwrap())
}

#[test]
fn an_attack_is_told_at_the_end_of_its_first_slot() {
    let folder = Folder::new();
    fleet(&folder, SLOTS, |value| value);
    let ran = backtest(&folder, &[]);
    let rows = rows(&ran.out);
    let fired: Vec<&&str> = rows.iter().filter(|row| moment(row).1 >= 1.0).collect();
    let first = fired.first().unwrap();
    assert!(first.starts_with(&format!("dep-1,{},", (JUMP + 1) * 300)), "{first}");
    assert!(first.contains("were expected"), "{first}");
    assert!(ran.err.starts_with("small: 5 series, 24,660 slots judged."), "{}", ran.err);
    assert!(rows.iter().all(|row| moment(row).1 >= 0.5), "{rows:?}");
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let folder = Folder::new();
    fleet(&folder, SLOTS, |value| value);
    let one = backtest(&folder, &["--threads", "1", "--min-score", "0.001"]).out;
    assert!(rows(&one).len() > 20, "{one}");
    for threads in ["2", "3", "16"] {
        let more = backtest(&folder, &["--threads", threads, "--min-score", "0.001"]).out;
        assert!(more == one, "{threads} threads");
    }
}

#[test]
fn what_comes_later_changes_no_score_before() {
    let (folder, changed) = (Folder::new(), Folder::new());
    let cut = JUMP + 5;
    fleet(&folder, SLOTS, |value| value);
    fleet(&changed, cut, |value| value * 7 + 50);
    let all = |folder| backtest(folder, &["--min-score", "0.001"]).out;
    let (before, after) = (all(&folder), all(&changed));
    assert_ne!(before, after);
    let until_cut = |csv: &str| -> Vec<String> {
        let known = rows(csv).into_iter().filter(|row| moment(row).0 <= cut * 300);
        known.map(str::to_owned).collect()
    };
    assert!(until_cut(&before).len() > 5, "{}", until_cut(&before).len());
    assert_eq!(until_cut(&before), until_cut(&after));
}

#[test]
fn what_comes_later_changes_no_score_of_values_before() {
    let value = |row: i64| row * 37 % 23 + i64::from(row > 300 && row % 97 == 0) * 4_000;
    let write = |folder: &Folder, change: fn(i64) -> i64| {
        let mut text = "timestamp,value\n".to_owned();
        for row in 0..600 {
            let (day, hour) = (1 + row / 24, row % 24);
            let seen = if row < 500 { value(row) } else { change(value(row)) };
            text.push_str(&format!(
                "2026-{:02}-{:02} {hour:02}:00:00,{seen}\n",
                9 + day / 29,
                1 + day % 28
            ));
        }
        let file = folder.write("one.csv", text.as_bytes());
        run(&["backtest", "--file", &file])
    };
    let folder = Folder::new();
    let (before, after) = (write(&folder, |value| value), write(&folder, |value| value * 7 + 50));
    let lower = write(&folder, |value| value - 900);
    for ran in [&before, &after, &lower] {
        assert_eq!(ran.code, Some(0), "{}", ran.err);
    }
    assert_ne!(before.out, after.out);
    let early = |csv: &str| -> Vec<String> {
        let known = |row: &&str| row.split(',').nth(1).is_some_and(|at| at < "2026-09-22");
        rows(csv).into_iter().filter(known).map(str::to_owned).collect()
    };
    assert!(!early(&before.out).is_empty(), "{}", before.out);
    assert_eq!(early(&before.out), early(&after.out));
    assert_eq!(early(&before.out), early(&lower.out));
}

#[test]
fn an_incident_is_one_row_of_values_without_labels_and_all_of_those_with() {
    let folder = Folder::new();
    let fired = |label: &str| {
        let mut text = format!("timestamp,value{}\n", if label.is_empty() { "" } else { ",label" });
        for row in 0..400 {
            let seen = 100 + row * 37 % 23 + if (396..400).contains(&row) { 4_000 } else { 0 };
            let (day, hour) = (1 + row / 24, row % 24);
            text.push_str(&format!("2026-09-{day:02} {hour:02}:00:00,{seen}{label}\n"));
        }
        let ran = run(&["backtest", "--file", &folder.write("one.csv", text.as_bytes())]);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let score = |row: &&str| row.split(',').nth(2).unwrap().parse::<f64>().unwrap() >= 1.0;
        rows(&ran.out).into_iter().filter(score).count()
    };
    assert_eq!((fired(""), fired(",0")), (1, 4));
}

#[test]
fn compressed_files_json_and_a_file_of_alerts_say_the_same() {
    let folder = Folder::new();
    fleet(&folder, SLOTS, |value| value);
    let plain = backtest(&folder, &[]).out;
    let json = backtest(&folder, &["--format", "json"]).out;
    let alerts: Vec<Value> = json.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(alerts.len(), rows(&plain).len());
    for (alert, row) in alerts.iter().zip(rows(&plain)) {
        assert_eq!(alert.get("score").and_then(Value::as_f64), Some(moment(row).1));
    }

    let text = std::fs::read(folder.path("small.csv")).unwrap();
    let file = std::fs::File::create(folder.path("small.csv.gz")).unwrap();
    let mut packed = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    packed.write_all(&text).unwrap();
    packed.finish().unwrap();
    std::fs::remove_file(folder.path("small.csv")).unwrap();
    let out = folder.path("alerts.csv");
    let ran = backtest(&folder, &["--out", &out]);
    assert_eq!((ran.out.as_str(), std::fs::read_to_string(&out).unwrap()), ("", plain));
}

#[test]
fn score_prints_what_was_found() {
    let folder = Folder::new();
    fleet(&folder, SLOTS, |value| value);
    let text = backtest(&folder, &["--score"]).out;
    assert!(text.contains("as it fires") && text.contains("spike_x50"), "{text}");
    let json = backtest(&folder, &["--score", "--format", "json"]).out;
    let marks: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(marks.pointer("/at_1/recall").and_then(Value::as_f64), Some(1.0), "{json}");
    assert_eq!(marks.pointer("/at_1/minutes_to_detect_median").and_then(Value::as_f64), Some(5.0));
    assert_eq!(marks.pointer("/at_1/lawful"), None, "nobody told of lawful changes");
}

#[test]
fn score_tells_which_lawful_changes_raised_an_alert() {
    let folder = Folder::new();
    fleet(&folder, SLOTS, |value| value);
    // The jump, had it been lawful, and a quiet span of another deployment.
    let (from, until) = (JUMP * 300, (JUMP + 12) * 300);
    let lawful = format!(
        "track,series,start,end,type,kind,magnitude\n\
         small,dep-1,{from},{until},new_office,lawful,0.3\n\
         small,dep-0,90000,90300,egress,lawful,1\n"
    );
    folder.write("small_lawful.csv", lawful.as_bytes());
    let text = backtest(&folder, &["--score"]).out;
    assert!(text.contains("lawful change") && text.contains("egress"), "{text}");
    let json = backtest(&folder, &["--score", "--format", "json"]).out;
    let marks: Value = serde_json::from_str(&json).unwrap();
    let told = |name: &str| marks.pointer(&format!("/at_1/lawful/{name}")).and_then(Value::as_u64);
    assert_eq!(
        [told("new_office/events"), told("new_office/alerted")],
        [Some(1), Some(1)],
        "{json}"
    );
    assert_eq!([told("egress/events"), told("egress/alerts")], [Some(1), Some(0)], "{json}");
    let wrong = lawful.replace("egress,lawful", "egress,attack");
    folder.write("small_lawful.csv", wrong.as_bytes());
    let ran = run(&["backtest", "--data", &folder.path(""), "--track", "small", "--score"]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    let place = "small_lawful.csv:3:";
    assert!(ran.err.contains(place) && ran.err.contains("write lawful"), "{}", ran.err);
}

#[test]
fn callers_and_their_new_part_are_unknown_until_somebody_tells_them() {
    let folder = Folder::new();
    fleet(&folder, SLOTS, |value| value);
    let observed = |series: usize, slot: i64| {
        let track = Track::open(Path::new(&folder.path("")), "small").unwrap();
        track.series.get(series).unwrap().observed(slot).0
    };
    let seen = observed(0, 100);
    assert_eq!((seen.callers, seen.fresh), (Some(3.0), None));
    // 23 calls; 700 prompt and 90 generated tokens each, at 2 and 8 USD a million.
    assert_eq!((seen.calls, seen.tokens()), (23.0, 23.0 * 790.0));
    near(seen.usd, 23.0 * (1_400.0 + 720.0) / 1e6);
    // The nights before the first caller: nobody knows; after it, none came.
    assert_eq!(observed(0, 10).callers, None);
    assert_eq!(observed(4, 100).callers, Some(0.0));
    near(observed(3, 100).usd, 0.0);

    let fresh = "series,slot,calls,tokens_in,tokens_out,callers\ndep-0,100,4,1000,500,2\n";
    folder.write("small_fresh.csv", fresh.as_bytes());
    let new = observed(0, 100).fresh.unwrap();
    assert_eq!((new.calls, new.tokens, new.callers), (4.0, 1_500.0, 2.0));
    near(new.usd, 0.006);
    assert_eq!(observed(0, 101).fresh, Some(Fresh::default()));
    assert_eq!(observed(4, 100).fresh, Some(Fresh::default()));

    let track = Track::open(&data(), "servegen").unwrap();
    let callers = track.series.iter().map(|series| series.observed(2_000).0.callers);
    assert!(callers.into_iter().all(|callers| callers.is_none()));
}

/// What is told of a small fleet with one file written anew, and nothing on standard output.
#[track_caller]
fn refused(file: &str, content: &str, expected: &[&str]) {
    let folder = Folder::new();
    fleet(&folder, SLOTS, |value| value);
    folder.write(file, content.as_bytes());
    let out = folder.path("alerts.csv");
    let args = ["backtest", "--data", &folder.path(""), "--track", "small", "--out", &out];
    let ran = run(&args);
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""), "{}", ran.err);
    assert!(!Path::new(&out).exists());
    for part in expected {
        assert!(ran.err.contains(part), "{part} is not in\n{}", ran.err);
    }
}

#[test]
fn wrong_cells_are_told_all_at_once_by_line_and_column() {
    let heading = "series,slot,requests,tokens_in,tokens_out,callers\n";
    refused(
        "small.csv",
        &format!(
            "{heading}dep-0,0,5,many,3,1\ndep-0,1,5,-4,3,1\ndep-9,2,5,4,3,1\ndep-0,4932,1,1,1,1\n\
             dep-0,3,1,1,1\ndep-1,7,1,1,1,1\ndep-1,7,1,1,1,1\n"
        ),
        &[
            "6 problem(s) with the data; nothing was started",
            "small.csv:2:11: \"many\" is no number in range\n    dep-0,0,5,many,3,1\n              ^^^^\n    mend: ",
            "small.csv:3:11: \"-4\" is no number in range",
            "small.csv:4:1: \"dep-9\" is not in the meta file",
            "small.csv:5:7: \"4932\" is no whole number in range",
            "mend: write a whole number from 0 to 4931",
            "small.csv:6:1: 5 cells where the heading has 6",
            "small.csv:8:7: slot 7 does not come after the one before",
        ],
    );
    let many = "dep-0,x,1,1,1,1\n".repeat(30);
    refused(
        "small.csv",
        &format!("{heading}{many}"),
        &["20 problem(s)", "small.csv:21:7", "(10 more problems of this file)"],
    );
}

#[test]
fn other_wrong_files_are_told_too() {
    refused("small.csv", "series,slot,calls\n", &["small.csv:1:1: the heading lacks requests"]);
    refused("small_info.json", "{\n \"slots\": 900,\n}", &["small_info.json:3:1: cannot be read"]);
    let wrong = INFO.replace("300", "7").replace("1479600", "5");
    refused(
        "small_info.json",
        &wrong,
        &["small_info.json:1:20: slot_seconds is out of range", "score_to is out of range"],
    );
    refused(
        "small_meta.csv",
        "series,usd_in,usd_out\ndep-0,two,8\ndep-1,2,8\ndep-1,2,8\n",
        &["small_meta.csv:2:7: \"two\" is no number", "small_meta.csv:4:1: \"dep-1\" stands twice"],
    );
    refused("small_fresh.csv", "series,slot\n", &["small_fresh.csv:1:1: the heading lacks calls"]);

    let folder = Folder::new();
    let ran = run(&["backtest", "--data", &folder.path(""), "--track", "none"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("none.csv.gz:1:1: cannot be read"), "{}", ran.err);
    let file = folder.write("v.csv", b"timestamp,value\nnoon,1\n2026-10-01 00:00:00,1e99\n");
    let ran = run(&["backtest", "--file", &file]);
    assert!(ran.err.contains("v.csv:2:1: \"noon\" is no time"), "{}", ran.err);
    assert!(ran.err.contains("v.csv:3:21: \"1e99\" is no number in range"), "{}", ran.err);
    assert_eq!(run(&["backtest", "--data", &folder.path("")]).code, Some(2));
    assert_eq!(run(&["backtest", "--file", &file, "--alerts-per-week", "0"]).code, Some(2));
}

#[test]
fn explain_shows_band_parts_and_what_was_needed() {
    let folder = Folder::new();
    fleet(&folder, SLOTS, |value| value);
    let explain = |at: &str, more: &[&str]| {
        let data = folder.path("");
        let mut args = vec!["explain", "--data", &data, "--track", "small", "--series", "dep-1"];
        args.extend(["--at", at]);
        args.extend(more);
        run(&args)
    };
    let at = ((JUMP + 1) * 300).to_string();
    let ran = explain(&at, &[]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(ran.out.starts_with(&format!("dep-1 at {at}, slots of 5m: score ")), "{}", ran.out);
    for part in ["an alert\n", "part", "window", "observed", "expected", "an alert takes"] {
        assert!(ran.out.contains(part), "{part} is not in\n{}", ran.out);
    }
    let ran = explain(&at, &["--format", "json"]);
    let explained: Value = serde_json::from_str(&ran.out).unwrap();
    let alerts = backtest(&folder, &[]).out;
    let row = alerts.lines().find(|row| row.starts_with(&format!("dep-1,{at},"))).unwrap();
    assert_eq!(explained.get("score").and_then(Value::as_f64), Some(moment(row).1));
    assert!(explained.pointer("/parts/0/expected").is_some_and(Value::is_number), "{}", ran.out);
    assert!(explained.get("needed").is_some_and(Value::is_number), "{}", ran.out);
    // The slot that had closed last, whichever way the moment is written.
    let same = explain("1970-01-17T10:26:00Z", &["--format", "json"]);
    assert_eq!(same.out, ran.out, "{}", same.err);
    assert!(explain("600", &[]).out.contains("nothing could be judged"));
    let ran = explain("9999999", &[]);
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("write a moment from 300 to 1479600"), "{}", ran.err);
}

/// Alerts of a small file beside the data.
fn committed(file: &str) -> Vec<Alert> {
    let text = std::fs::read_to_string(data().join(file)).unwrap();
    let rows = text.lines().skip(1).map(|row| {
        let cells: Vec<&str> = row.split(',').collect();
        let [series, timestamp, score] = cells.try_into().unwrap();
        Alert {
            series: str::to_owned(series),
            timestamp: str::to_owned(timestamp),
            score: str::parse(score).unwrap(),
            component: "tokens",
            window: String::new(),
            observed: 0.0,
            expected: 0.0,
            low: 0.0,
            high: 0.0,
            reason: String::new(),
        }
    });
    rows.collect()
}

#[track_caller]
fn near(found: f64, expected: f64) {
    assert!((found - expected).abs() < 1e-6, "{found} instead of {expected}");
}

/// Threshold, recall, false alerts a week and burn.
#[track_caller]
fn check_marks(marks: &Marks, expected: [f64; 4]) {
    let found = [marks.threshold, marks.recall, marks.false_alerts_per_week, marks.burn];
    for (found, expected) in found.into_iter().zip(expected) {
        near(found, expected);
    }
}

/// Numbers from the benchmark's own scorer:
/// `score.py attacks --data . --track servegen --alerts servegen_alerts.csv --threshold 1` and `--sweep`.
#[test]
fn our_scorer_agrees_with_the_benchmarks_about_attacks() {
    let track = Track::open(&data(), "servegen").unwrap();
    let Layout::Attacks(info) = track.layout else { unreachable!("servegen has attacks") };
    let scores = moments(&committed("servegen_alerts.csv"), |_, timestamp| timestamp.parse().ok());
    let exam = Exam::of(&data(), "servegen", info, scores).unwrap();
    let marks = exam.at(1.0);
    check_marks(&marks, [1.0, 0.547_945_205, 0.756_756_757, 0.744_065_921]);
    near(marks.macro_recall, 0.572_839_506);
    near(marks.precision, 0.416_666_667);
    near(marks.f1, 0.473_372_781);
    near(marks.minutes_to_detect_median.unwrap(), 110.0);
    near(marks.minutes_to_detect_p95.unwrap(), 3_538.5);
    assert_eq!((marks.detected, marks.events, marks.false_alerts), (40, 73, 56));
    let wallet = marks.kinds.get("wallet").unwrap();
    assert_eq!((wallet.detected, wallet.events), (6, 9));
    near(wallet.minutes_to_detect_median.unwrap(), 50.0);
    check_marks(&exam.within(0.05), [1.51, 0.301_369_863, 0.040_540_541, 0.837_643_007]);
    check_marks(&exam.within(0.25), [1.41, 0.356_164_384, 0.243_243_243, 0.811_249_362]);
    check_marks(&exam.within(0.5), [1.21, 0.410_958_904, 0.5, 0.782_263_867]);
    check_marks(&exam.within(2.0), [0.5, 0.616_438_356, 1.108_108_108, 0.716_399_157]);
}

/// `score.py nab --data . --alerts nab_alerts.csv`, and the same with `--threshold 1`.
#[test]
fn our_scorer_agrees_with_the_benchmarks_about_windows() {
    let track = Track::open(&data(), "nab").unwrap();
    let alerts = committed("nab_alerts.csv");
    let exam = NabExam::of(&data(), &track, &alerts).unwrap();
    let expected = [
        (60.922_492_281, 53.435_665_415),
        (57.679_352_545, 51.671_126_675),
        (63.778_836_662, 55.962_759_994),
    ];
    for (profile, (best, fixed)) in PROFILES.iter().zip(expected) {
        let marks = exam.marks(profile, None);
        near(marks.score, best);
        near(marks.threshold, 0.51);
        assert_eq!(marks.windows, 59);
        near(exam.marks(profile, Some(1.0)).score, fixed);
    }
}

/// `score.py msft --data . --alerts msft_alerts.csv --threshold 1`, and `--sweep`.
#[test]
fn our_scorer_agrees_with_the_benchmarks_about_labelled_rows() {
    let track = Track::open(&data(), "msft").unwrap();
    let exam = msft::exam(&track, &committed("msft_alerts.csv")).unwrap();
    let marks = exam.at(1.0);
    check_marks(&marks, [1.0, 0.354_430_380, 0.264_232_472, 0.764_772_532]);
    assert_eq!((marks.detected, marks.events, marks.false_alerts), (28, 79, 31));
    near(marks.minutes_to_detect_p95.unwrap(), 579.016_666_667);
    check_marks(&exam.within(0.1), [1.42, 0.278_481_013, 0.093_759_909, 0.798_613_287]);
    check_marks(&exam.within(1.0), [0.5, 0.443_037_975, 0.400_610_522, 0.731_414_399]);
}

#[test]
fn every_row_of_the_data_is_read() {
    for (name, series) in [("servegen", 74), ("nab", 31), ("msft", 30)] {
        let track = Track::open(&data(), name).unwrap();
        assert_eq!(track.series.len(), series, "{name}");
        assert_eq!(track.counts_rows(), name == "nab", "{name}");
        let mut text = String::new();
        let file = std::fs::File::open(data().join(format!("{name}.csv.gz"))).unwrap();
        GzDecoder::new(file).read_to_string(&mut text).unwrap();
        let row = text.lines().next_back().unwrap().split(',').collect::<Vec<_>>();
        let last = track.series.iter().find(|series| Some(&&*series.name) == row.first()).unwrap();
        let (seen, complete) = last.observed(last.slots.end - 1);
        assert!(complete, "{name}");
        match track.layout {
            Layout::Attacks(_) => assert_eq!(last.slots, 0..2_016),
            Layout::Values => {
                let value: f64 = row.get(2).unwrap().parse().unwrap();
                near(seen.calls, value);
            }
        }
    }
}
