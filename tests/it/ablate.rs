//! `backtest ablate`: what is lost without a part.

use serde_json::Value;

use crate::fit::{Size, label, write};
use crate::harness::{Folder, Ran, run};

/// Few deployments with one spike, and a night whose calls are five times as dear.
fn draw(seed: i64) -> Folder {
    let folder = Folder::new();
    let size = Size { deployments: 3, days: (15, 40), fresh: false, callers: true };
    let dear = 30 * 24..30 * 24 + 4;
    let labels =
        format!("{}dep-2,{},{},dear,attack\n", label(), dear.start * 3_600, dear.end * 3_600);
    write(&folder, seed, &labels, size);
    let text = std::fs::read_to_string(folder.path("hours.csv")).unwrap();
    let rows = text.lines().map(|line| match line.split(',').collect::<Vec<_>>()[..] {
        ["dep-2", hour, calls, tokens, output, callers]
            if dear.contains(&hour.parse().unwrap()) =>
        {
            let tokens = 5 * tokens.parse::<i64>().unwrap();
            format!("dep-2,{hour},{calls},{tokens},{output},{callers}\n")
        }
        _ => format!("{line}\n"),
    });
    folder.write("hours.csv", rows.collect::<String>().as_bytes());
    folder
}

fn ablate(draws: &[&Folder], more: &[&str]) -> Ran {
    let folders: Vec<String> = draws.iter().map(|folder| folder.path("")).collect();
    let folders = folders.join(",");
    let args = ["backtest", "ablate", "--data", &folders, "--track", "hours"];
    run(&[&args, more].concat())
}

/// Attacks of a kind found without a part.
fn found(row: &Value, kind: &str) -> u64 {
    row.pointer(&format!("/at/0/marks/kinds/{kind}/detected")).and_then(Value::as_u64).unwrap()
}

#[test]
fn dear_calls_are_lost_without_the_part_for_them_and_a_spike_without_none() {
    let (one, two) = (draw(1), draw(2));
    let ran = ablate(&[&one, &two], &["--alerts-per-week", "0.01", "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let rows: Vec<Value> = serde_json::from_str(&ran.out).unwrap();
    let all = rows.first().unwrap();
    assert_eq!(all["without"], Value::Null, "{all}");
    assert_eq!((found(all, "spike"), found(all, "dear")), (2, 2), "both draws count: {all}");
    for row in rows.iter().skip(1) {
        let is_size = row["without"] == "size-1h";
        assert_eq!(found(row, "dear"), if is_size { 0 } else { 2 }, "{row}");
        assert_eq!(found(row, "spike"), 2, "more than one part tells it: {row}");
    }
    assert_eq!(rows[1]["without"], "size-1h", "what is missed most comes first");
}

#[test]
fn people_read_a_table_and_what_is_wrong_with_every_draw() {
    let one = draw(1);
    let ran = ablate(&[&one], &["--alerts-per-week", "0.02,0.01"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let lines: Vec<&str> = ran.out.lines().map(str::trim_end).collect();
    let [head, all, size, ..] = lines[..] else { panic!("{lines:?}") };
    let words: Vec<&str> = head.split_whitespace().collect();
    assert_eq!(
        words.join(" "),
        "without recall at 0.02 burn at 0.02 recall at 0.01 burn at 0.01 found less"
    );
    let words: Vec<&str> = all.split_whitespace().collect();
    assert_eq!(words[..2], ["nothing", "1.000"], "{all}");
    assert!(size.trim_start().starts_with("size-1h") && size.ends_with("dear 1 of 1"), "{size}");
    assert!(size.contains("-0.500"), "{size}");

    let (two, three) = (Folder::new(), Folder::new());
    let ran = ablate(&[&one, &two, &three], &[]);
    assert_eq!((ran.code, &*ran.out), (Some(1), ""), "{}", ran.err);
    assert!(ran.err.contains(&two.path("")) && ran.err.contains(&three.path("")), "{}", ran.err);
}
