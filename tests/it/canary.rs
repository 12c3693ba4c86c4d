//! Prompts, answers and keys never leave the record they came in: not to the database, not to a
//! log, not to the screen.

use serde_json::{Value, json};
use tokenwatch::decode::{self, DECODERS};

use crate::harness::{Folder, dump, run};

/// A prompt; any of its rarer words found anywhere is a leak.
const PROMPT: &str = "please summarise the merger of heronblau and quittenkorn before friday";
/// A prompt of a single word.
const WORD: &str = "zwetschgendatschi";
/// An API key of the old form and one of the new.
const KEYS: [&str; 2] = [
    "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "7GkQx2mVbN4rTz8sWc1yLp5eHd9uJa3fKo6iRq0tXvBnMzCwEsYlPgDhUjFkAiOrQeTbVxNyZuIm",
];
const LEAKS: [&str; 5] = ["heronblau", "quittenkorn", WORD, "0f1e2d3c4b5a6978", "7GkQx2mVbN4rTz8s"];

/// Fields of a record, of its properties and of what clients send; each gets the canary.
const FIELDS: [&str; 28] = [
    "prompt",
    "requestBody",
    "responseBody",
    "messages",
    "input",
    "instructions",
    "output_text",
    "content",
    "completion",
    "system",
    "user",
    "note",
    "description",
    "api-key",
    "apiKey",
    "Ocp-Apim-Subscription-Key",
    "authorization",
    "Authorization",
    "x-api-key",
    "headers",
    "requestHeaders",
    "cookie",
    "requestUri",
    "url",
    "query",
    "password",
    "sig",
    "connectionString",
];

/// Two that end in quarantine here, one that is only counted, and two that look into bodies.
const CATEGORIES: [&str; 5] =
    ["RequestResponse", "AzureOpenAIRequestUsage", "SignInLogs", "GatewayLogs", "Administrative"];

/// The forms in which a field carries a secret.
fn values(secret: &str) -> Vec<Value> {
    let encoded = secret.replace(' ', "+");
    vec![
        json!(secret),
        json!([secret]),
        json!([{"role": "user", "content": secret}]),
        json!([{"name": "api-key", "value": secret}, ["api-key", secret]]),
        json!({"api-key": secret, "Authorization": format!("Bearer {secret}")}),
        json!({ format!("{secret} {secret}"): 1 }),
        json!(format!("https://host.example/openai/deployments/d/chat?api-key={encoded}&q=1")),
        json!(format!("/openai/deployments/d/chat?api-key={encoded}")),
        json!(format!("api-key: {secret}\r\nhost: h")),
        json!(json!({"messages": [{"content": secret}]}).to_string()),
        json!(json!(json!({"prompt": secret}).to_string()).to_string()),
    ]
}

/// A record of `category` whose field `name` holds `value`, at the top and in its properties.
/// `promptTokens` cannot be read when `broken`, so that the record ends in quarantine.
fn record(category: &str, name: &str, value: &Value, tokens: &Value) -> Value {
    let account = "/SUBSCRIPTIONS/S/RESOURCEGROUPS/R/PROVIDERS/P/ACCOUNTS/A";
    let mut properties = json!({
        "modelDeploymentName": "d", "modelName": "gpt-4o", "promptTokens": tokens,
        "generatedTokens": 1, "completionTokens": 1
    });
    let mut record = json!({
        "category": category, "correlationId": name, "time": "2026-10-01T10:00:00Z",
        "resourceId": account
    });
    properties.as_object_mut().unwrap().insert(name.to_owned(), value.clone());
    record.as_object_mut().unwrap().insert(name.to_owned(), value.clone());
    record.as_object_mut().unwrap().insert("properties".to_owned(), properties);
    record
}

/// Every envelope Azure or a mistake may put around records.
fn envelopes(records: &[Value]) -> Vec<Vec<u8>> {
    let list = Value::Array(records.to_vec());
    let first = records.first().unwrap();
    let mut text_properties = first.clone();
    let properties = first.get("properties").unwrap().to_string();
    text_properties.as_object_mut().unwrap().insert("properties".to_owned(), json!(properties));
    let whole = json!({ "records": list }).to_string();
    let cut = whole.get(..whole.len() - 3).unwrap().to_owned();
    let deep = |depth: usize| format!("{}{first}{}", "[".repeat(depth), "]".repeat(depth));
    let mut not_text = whole.clone().into_bytes();
    not_text.push(0xFF);
    let bodies = vec![
        list.to_string(),
        first.to_string(),
        json!([{ "records": list }]).to_string(),
        json!({ "records": first }).to_string(),
        json!({ "records": [text_properties] }).to_string(),
        json!(whole).to_string(),
        format!("\u{feff}{first}"),
        deep(3),
        deep(20),
        deep(100_000),
        format!("{first}{first}"),
        format!("{first} {}", json!(PROMPT)),
        whole,
        cut,
        format!("'{first}'"),
        format!("prompt={PROMPT}&api-key={}", KEYS[0]),
    ];
    let mut bodies: Vec<_> = bodies.into_iter().map(String::into_bytes).collect();
    bodies.push(not_text);
    bodies
}

fn file() -> Vec<u8> {
    let mut records = Vec::new();
    for secret in [PROMPT, WORD, KEYS[0], KEYS[1]] {
        for name in FIELDS {
            for value in values(secret) {
                for category in CATEGORIES {
                    records.push(record(category, name, &value, &json!("many")));
                }
            }
            records.push(record("AzureOpenAIRequestUsage", name, &json!(secret), &json!(7)));
            records.push(record("RequestResponse", name, &json!(secret), &json!([secret])));
        }
    }
    let mut lines = Vec::new();
    // Fewer than the samples kept per step, so that every shape is looked at.
    for chunk in records.chunks(40) {
        lines.push(json!({ "records": chunk }).to_string().into_bytes());
    }
    for chunk in records.chunks(499) {
        lines.extend(envelopes(chunk.get(..2).unwrap_or(chunk)));
    }
    lines.join(&b'\n')
}

#[track_caller]
fn check(place: &str, text: &str) {
    let lower = text.to_lowercase();
    for leak in LEAKS {
        // In any case, and as bytes in hexadecimal, which is how blobs are dumped.
        let hex: String = leak.bytes().map(|byte| format!("{byte:02X}")).collect();
        let at = lower.find(&leak.to_lowercase()).or_else(|| text.find(&hex));
        let around = at.and_then(|at| {
            text.get(
                text.floor_char_boundary(at.saturating_sub(300))..text.ceil_char_boundary(at + 60),
            )
        });
        assert!(at.is_none(), "{leak} is in {place}: {around:?}");
    }
}

#[test]
fn prompts_and_keys_reach_no_event_of_any_kind() {
    let mut events = 0;
    for secret in [PROMPT, WORD, KEYS[0], KEYS[1]] {
        for (name, value) in
            FIELDS.iter().flat_map(|name| values(secret).into_iter().map(move |v| (name, v)))
        {
            for decoder in DECODERS {
                let text = record(decoder.name, name, &value, &json!(7)).to_string();
                let read = decode::decode_as(decoder, &text).unwrap_or_default();
                for event in read.iter().flatten() {
                    check(decoder.name, &format!("{event:?}"));
                    events += 1;
                }
            }
        }
    }
    assert!(events > 10_000, "{events}");
}

#[tokio::test]
async fn prompts_and_keys_reach_no_table_log_or_screen() {
    let folder = Folder::new();
    let (file, db) = (folder.write("canary.jsonl", &file()), folder.path("db"));
    // One event a step at first: every step may keep fifty samples.
    for (format, batch) in [("json", "1"), ("table", "5000")] {
        let args = ["replay", &file, "--db", &db, "--format", format, "--batch", batch, "-vv"];
        let ran = run(&args);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        check("standard output", &ran.out);
        check("the log", &ran.err);
    }
    let ran = run(&["incidents", "--db", &db, "--format", "json", "-vv"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    check("the incidents", &ran.out);
    check("the log of incidents", &ran.err);
    let rows = dump(&db).await;
    let samples = rows.iter().filter(|row| row.starts_with("quarantine ")).count();
    assert!(samples > 1_000, "only {samples} samples were kept: the test looks at nothing");
    check("the database", &rows.join("\n"));
    for suffix in ["", "-wal", "-shm"] {
        let Ok(bytes) = std::fs::read(format!("{db}{suffix}")) else { continue };
        check("the database file", &String::from_utf8_lossy(&bytes));
    }
}
