//! Routes by the real program: who would be told, and what is wrong with a plan.

use serde_json::Value;

use crate::harness::{Folder, Ran, run};

const BASE: &str = "[[hub]]\nname = \"a\"\nnamespace = \"n.servicebus.windows.net\"\nhub = \"h\"\n\
    [[notify.eml]]\nname = \"oncall\"\nfolder = \"m\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]\n\
    [[notify.eml]]\nname = \"team\"\nfolder = \"m\"\nfrom = \"a@b.example\"\nto = [\"c@d.example\"]\n\
    min_severity = \"medium\"\n";

const PLAN: &str = "[route]\nreceivers = [\"team\"]\ngroup_by = [\"account\"]\ngroup_wait = \"30s\"\n\
    repeat_interval = \"4h\"\n\
    [[route.routes]]\nmatch = [\"severity>=high\"]\nreceivers = [\"oncall\"]\ncontinue = true\n\
    group_by = [\"...\"]\ngroup_wait = \"0s\"\nmute = [\"nights\"]\n\
    [[route.routes]]\nmatch = [\"rule=~TW-S.*\"]\nreceivers = [\"oncall\", \"team\"]\n\
    [[time]]\nname = \"nights\"\ntimezone = \"Europe/Berlin\"\nfrom = \"22:00\"\nuntil = \"07:00\"\n\
    [[maintenance]]\nname = \"move\"\nmatch = [\"account=moving\"]\ntimezone = \"UTC\"\n\
    begin = \"2026-12-01T00:00\"\nend = \"2026-12-02T00:00\"\n";

fn test(folder: &Folder, labels: &str, at: &str) -> (Option<i32>, Vec<String>) {
    let config = folder.path("t.toml");
    let args =
        ["routes", "test", "--config", &config, "--labels", labels, "--at", at, "--format", "json"];
    let ran = run(&args);
    let told: Value = serde_json::from_str(&ran.out).unwrap_or_default();
    let line = |one: &Value| {
        let text = |name| one.get(name).and_then(Value::as_str).unwrap_or("-").to_owned();
        let after = one.get("told_after_ms").map(ToString::to_string).unwrap_or_default();
        format!("{} after {after}, {}, held: {}", text("receiver"), text("group"), text("held"))
    };
    (ran.code, told.as_array().into_iter().flatten().map(line).collect())
}

#[test]
fn who_would_be_told_and_why() {
    let folder = Folder::new();
    folder.write("t.toml", format!("{BASE}{PLAN}").as_bytes());
    let day = "2026-11-26T12:00:00Z";
    for (labels, at, expected) in [
        (
            "rule=TW-C01,severity=medium,account=x",
            day,
            vec!["team after 30000, with account=x, held: -"],
        ),
        ("rule=TW-C01,severity=high,account=x", day, vec!["oncall after 0, by itself, held: -"]),
        (
            "rule=TW-S01,severity=high",
            "2026-11-26T21:00:00Z",
            vec![
                "oncall after null, by itself, held: the route rests: nights",
                "oncall after 30000, with account=, held: -",
                "team after 30000, with account=, held: -",
            ],
        ),
        (
            "rule=TW-C01,severity=critical,account=x",
            "2026-11-26T21:00:00Z",
            vec!["oncall after 0, by itself, held: -"],
        ),
        (
            "rule=TW-C01,severity=low,account=moving",
            "2026-12-01T23:59:59Z",
            vec!["team after null, with account=moving, held: hears from medium on"],
        ),
        (
            "rule=TW-C01,severity=high,account=moving",
            "2026-12-01T12:00:00Z",
            vec!["oncall after null, by itself, held: maintenance move"],
        ),
    ] {
        let (code, told) = test(&folder, labels, at);
        assert_eq!(told, expected, "{labels} {at}");
        let heard = told.iter().any(|line| line.ends_with("held: -"));
        assert_eq!(code, Some(if heard { 0 } else { 4 }), "{labels} {at}");
    }
    let config = folder.path("t.toml");
    let shown = run(&["routes", "show", "--config", &config]);
    assert_eq!(
        shown.out,
        "route 0 (everything) → team: by account, again after 4 h\n  \
         route 0.0 (severity>=high) → oncall: each by itself, again after 4 h, and asks on\n  \
         route 0.1 (rule=~TW-S.*) → oncall, team: by account, again after 4 h\n"
    );
    let ran = run(&["routes", "test", "--config", &config, "--labels", "acount=x"]);
    assert_eq!(ran.code, Some(1));
    assert!(ran.err.contains("there is no label \"acount\""), "{}", ran.err);
}

#[track_caller]
fn wrong(text: &str, parts: &[&str]) {
    let folder = Folder::new();
    let config = folder.write("t.toml", format!("{BASE}{text}").as_bytes());
    let Ran { code, out, err } = run(&["check", "--config", &config]);
    assert_eq!(code, Some(3), "{out}{err}");
    for part in parts {
        assert!(out.contains(part), "{part:?} is not in\n{out}");
    }
}

#[test]
fn everything_wrong_with_a_plan_is_told_at_once() {
    wrong(
        "[route]\nreceivers = [\"nobody\"]\ngroup_by = [\"colour\"]\ngroup_wait = \"soon\"\n\
         mute = [\"lunch\"]\nmatch = [\"rule=x\"]\n\
         [[route.routes]]\nmatch = [\"severity>=hgih\"]\nrecievers = [\"oncall\"]\n\
         [[route.routes]]\nreceivers = [\"oncall\"]\n\
         [[route.routes]]\nmatch = [\"account=x\"]\n\
         [[time]]\nname = \"t\"\ntimezone = \"Mars\"\nfrom = \"25:00\"\nuntil = \"07:00\"\n\
         days = [\"moon\"]\n\
         [[inhibit]]\nsource = [\"rule\"]\n\
         [[maintenance]]\nname = \"m\"\nmatch = []\ntimezone = \"UTC\"\nbegin = \"soon\"\n\
         end = \"2026-12-02T00:00\"\n\
         [storm]\nlimit = 0\n",
        &[
            "there is no destination \"nobody\"",
            "known are oncall, team",
            "there is no label \"colour\"",
            "\"soon\" is not a span of time",
            "there is no time \"lunch\"",
            "the root matches everything",
            "there is no severity \"hgih\"",
            "did you mean `receivers`?",
            "this route matches everything, so those after it hear of nothing",
            "unknown time zone \"Mars\"",
            "\"moon\" is no day",
            "\"rule\" compares nothing",
            "[[inhibit]] has no `target`",
            "\"soon\" is no local time",
            "`limit` = 0 is out of range",
        ],
    );
    let nested = (0..12).fold(String::new(), |text, depth| {
        let path = vec!["routes"; depth + 1].join(".");
        format!("{text}[[route.{path}]]\nmatch = [\"account=x\"]\n")
    });
    wrong(&nested, &["the tree is deeper than 8 routes"]);
}
