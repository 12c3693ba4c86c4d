//! Bodies of a mebibyte made to cost as much as they can, for the tests and the benchmark.

/// Size of every body.
pub(crate) const BYTES: usize = 1024 * 1024;

/// `head`, `unit` as often as fits with commas between, `tail`.
fn filled(head: &str, unit: &str, tail: &str) -> String {
    let count = (BYTES - head.len() - tail.len()) / (unit.len() + 1);
    let mut body = String::with_capacity(BYTES);
    body.push_str(head);
    for _ in 1..count {
        body.push_str(unit);
        body.push(',');
    }
    body.push_str(unit);
    body.push_str(tail);
    body
}

/// `unit(0)`, `unit(1)` and so on between `head` and `tail`.
fn numbered(head: &str, unit: impl Fn(usize) -> String, tail: &str) -> String {
    let mut body = head.to_owned();
    for number in 0.. {
        let next = unit(number);
        if body.len() + next.len() + tail.len() + 1 > BYTES {
            break;
        }
        if number > 0 {
            body.push(',');
        }
        body.push_str(&next);
    }
    body + tail
}

/// A record with as many members in its inner object as one may have.
fn wide(head: &str) -> String {
    let members: Vec<_> = (0..512).map(|n| format!(r#""{n}":"x""#)).collect();
    format!("{head}{}}}}}", members.join(","))
}

fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap_or_default()
}

/// A text that quotes a record as often as fits.
fn quoted_often() -> String {
    let mut body = r#"{"category":"Trace"}"#.to_owned();
    loop {
        let next = quoted(&body);
        if next.len() > BYTES {
            return body;
        }
        body = next;
    }
}

/// A shape and its name.
type Shape = (&'static str, String);

/// Every shape.
pub(crate) fn bodies() -> Vec<Shape> {
    [envelopes(), records(), lists(), metrics()].concat()
}

/// Many or broken records.
fn envelopes() -> Vec<Shape> {
    let twice = |text: String| quoted(&quoted(&text));
    vec![
        ("empty objects", filled(r#"{"records":["#, "{}", "]}")),
        ("stray numbers", filled("[", "1", "]")),
        ("unknown records", filled("[", r#"{"a":1}"#, "]")),
        ("distinct categories", numbered("[", |n| format!(r#"{{"category":"c{n}"}}"#), "]")),
        ("rejected records", filled("[", r#"{"category":"Audit","operationName":"ListKey"}"#, "]")),
        (
            "small rows",
            filled(
                "[",
                r#"{"category":"RequestResponse","time":"2026-01-01T00:00","resourceId":"a"}"#,
                "]",
            ),
        ),
        (
            "small metrics",
            filled("[", r#"{"metricName":"a","time":"2026-01-01T00:00","resourceId":"a"}"#, "]"),
        ),
        (
            "small operations",
            filled(
                "[",
                r#"{"category":"Write","operationName":"a","time":"2026-01-01T00:00","resourceId":"a"}"#,
                "]",
            ),
        ),
        ("documents", "{}".repeat(BYTES / 2)),
        ("lines", "{\"a\":1}\n".repeat(BYTES / 8)),
        ("broken records", filled(r#"{"records":["#, "{x}", "]}")),
        ("broken lines", format!("{{\"a\":1}}\n{}", "{x}\n".repeat(BYTES / 4 - 4))),
        ("open braces", format!(r#"{{"records":[{}"#, "{".repeat(BYTES - 20))),
        // Four times quoted, a record of 8 bytes takes 38.
        (
            "an envelope in texts",
            twice(twice(format!("[{}]", vec![r#"{"a":1}"#; BYTES / 40].join(",")))),
        ),
    ]
}

/// Records with large or nested parts.
fn records() -> Vec<Shape> {
    vec![
        ("members", filled(r#"{"category":"RequestResponse","#, r#""a":1"#, "}")),
        ("escaped members", filled(r#"{"category":"Audit","#, r#""\u0061":1"#, "}")),
        ("nested arrays", format!("{}{}", "[".repeat(BYTES / 2), "]".repeat(BYTES / 2))),
        (
            "nested objects",
            format!(
                r#"{{"category":"Audit","properties":{}1{}}}"#,
                r#"{"a":"#.repeat(BYTES / 6 - 10),
                "}".repeat(BYTES / 6 - 10)
            ),
        ),
        ("a long text", format!(r#"{{"category":"Audit","a":"{}"}}"#, "x".repeat(BYTES - 40))),
        ("escapes", format!(r#"{{"category":"Audit","a":"{}"}}"#, r"\u0041".repeat(BYTES / 6 - 8))),
        ("control characters", format!(r#"{{"a":"{}"}}"#, "\u{1}".repeat(BYTES - 20))),
        ("texts in texts", quoted_often()),
        ("numbers for properties", filled(r#"{"category":"Audit","properties":["#, "0", "]}")),
    ]
}

/// Records with long lists.
fn lists() -> Vec<Shape> {
    let head = |category: &str, more: &str| {
        let operation = match category {
            "Policy" => "microsoft.authorization/policies/deny/action",
            _ => "microsoft.cognitiveservices/accounts/write",
        };
        format!(
            r#"{{"category":"{category}","operationName":"{operation}","time":"2026-01-01T00:00","resourceId":"a",{more}"#
        )
    };
    vec![
        (
            "a list of names",
            filled(
                &head(
                    "Write",
                    r#""properties":{"responseBody":{"properties":{"allowedFqdnList":["#,
                ),
                r#""a""#,
                "]}}}}",
            ),
        ),
        ("policies", filled(&head("Policy", r#""properties":{"policies":["#), "{}", "]}}")),
        (
            "entities",
            filled(
                r#"{"AlertType":"a","SystemAlertId":"b","Entities":["#,
                r#"{"Address":"1.1.1.1"}"#,
                "]}",
            ),
        ),
        (
            "answers",
            filled(
                &head("GatewayLogs", r#""properties":{"backendResponseBody":{"choices":["#),
                "{}",
                "]}}}",
            ),
        ),
        (
            "dimensions",
            filled(
                "[",
                &wide(r#"{"Type":"AppMetrics","Name":"Prompt Tokens","Sum":1,"Properties":{"#),
                "]",
            ),
        ),
        (
            "extended properties",
            filled(
                "[",
                &wide(r#"{"AlertType":"a","SystemAlertId":"b","ExtendedProperties":{"#),
                "]",
            ),
        ),
        ("blanks", format!(r#"{{"records":[{}]}}"#, " ".repeat(BYTES - 20))),
    ]
}

/// Answers of the metrics API.
fn metrics() -> Vec<Shape> {
    vec![
        (
            "points",
            filled(
                r#"{"resourceid":"a","value":[{"name":"a","timeseries":[{"data":["#,
                r#"{"timeStamp":"2026-01-01T00:00","total":1}"#,
                "]}]}]}",
            ),
        ),
        (
            "points of no number",
            filled(
                r#"{"resourceid":"a","value":[{"name":"a","timeseries":[{"data":["#,
                r#"{"timeStamp":"2026-01-01T00:00","total":"x"}"#,
                "]}]}]}",
            ),
        ),
        (
            "series",
            filled(
                r#"{"resourceid":"a","value":[{"name":"a","timeseries":["#,
                r#"{"data":1}"#,
                "]}]}",
            ),
        ),
    ]
}
