//! `tokenwatch check`, seen from outside.

use std::path::Path;
use std::process::{Command, Output};

use crate::harness::program;

fn check(args: &[&str]) -> Output {
    Command::new(program())
        .arg("check")
        .args(args)
        .env_remove("TOKENWATCH_CONFIG")
        .env_remove("TOKENWATCH_TEST_KEY")
        .output()
        .unwrap()
}

fn write(text: &str) -> tempfile::NamedTempFile {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), text).unwrap();
    file
}

fn said(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn name(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn the_example_is_right() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("tokenwatch.example.toml");
    let output = check(&["--config", name(&example), "--without-secrets"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("eastus2"), "{}", said(&output));
}

#[test]
fn every_commented_setting_of_the_example_is_known() {
    let example = include_str!("../../tokenwatch.example.toml");
    let is_setting = |line: &str| {
        let key = line.split(" = ").next().unwrap_or_default();
        line.starts_with('[')
            || (line.contains(" = ") && !key.contains(' ') && !line.starts_with("connection_"))
    };
    let mut text: String = example
        .lines()
        .map(|line| line.strip_prefix("# ").filter(|line| is_setting(line)).unwrap_or(line))
        .map(|line| format!("{line}\n"))
        .collect();
    text = text.replace("book = \"prices.toml\"\n", "");
    // The one form of callers that has a key.
    text = text.replace("privacy = \"full\"", "privacy = \"hmac\"");
    // The one format of webhooks that has a file.
    text = text.replace("format = \"native\"", "format = \"template\"");
    let file = write(&text);
    let output = check(&["--config", name(file.path()), "--without-secrets"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
    assert!(said(&output).contains("siem: webhook"), "{}", said(&output));
}

#[test]
fn a_wrong_file_ends_with_3_and_a_missing_secret_is_wrong() {
    let file = write(
        "[[hub]]\nname = \"a\"\nhub = \"h\"\nauth = \"connection-string\"\n\
         connection_string = { env = \"TOKENWATCH_TEST_KEY\" }\n",
    );
    let output = check(&["--config", name(file.path())]);
    assert_eq!(output.status.code(), Some(3));
    assert!(said(&output).contains(":5:1: "), "{}", said(&output));
    let output = check(&["--config", name(file.path()), "--without-secrets"]);
    assert_eq!(output.status.code(), Some(0), "{}", said(&output));
}

#[test]
fn how_a_hub_is_reached_is_checked_and_told() {
    let config = |transport: &str, endpoint: &str| {
        write(&format!(
            "[[hub]]\nname = \"a\"\nhub = \"h\"\nnamespace = \"n.servicebus.windows.net\"\n\
             transport = \"{transport}\"\ncustom_endpoint = \"{endpoint}\"\n"
        ))
    };
    for (transport, endpoint, said_is) in [
        ("amqp", "amqp://127.0.0.1:5672", "by amqp at amqp://127.0.0.1:5672"),
        ("websocket", "amqps://x.example", "by websocket at amqps://x.example"),
    ] {
        let output = check(&["--config", name(config(transport, endpoint).path())]);
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        assert!(said(&output).contains(said_is), "{}", said(&output));
    }
    for (transport, endpoint, at, mend) in [
        ("amqp", "amqp://x.example", ":6:1: ", "amqps://HOST:PORT"),
        ("websocket", "amqp://127.0.0.1:5672", ":6:1: ", "amqps://HOST:PORT"),
        ("websocket", "wss://x.example", ":6:1: ", "transport = \"websocket\""),
        ("quic", "amqps://x.example", ":5:13: ", "\"amqp\", \"websocket\""),
    ] {
        let output = check(&["--config", name(config(transport, endpoint).path())]);
        assert_eq!(output.status.code(), Some(3), "{}", said(&output));
        assert!(said(&output).contains(at) && said(&output).contains(mend), "{}", said(&output));
    }
}

#[test]
fn json_is_a_list_of_objects() {
    let file = write("prefetch = 1\n");
    let output = check(&["--config", name(file.path()), "--format", "json"]);
    assert_eq!(output.status.code(), Some(3));
    let list: serde_json::Value = serde_json::from_str(&said(&output)).unwrap();
    let keys: Vec<_> = list[0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["column", "file", "line", "mend", "message"]);
    assert_eq!(list.as_array().unwrap().len(), 2);
}

#[test]
fn no_file_is_3_and_a_wrong_call_2() {
    assert_eq!(check(&["--config", "there-is-none.toml"]).status.code(), Some(3));
    assert_eq!(check(&["--confg", "x"]).status.code(), Some(2));
    assert_eq!(check(&[]).status.code(), Some(2));
}
