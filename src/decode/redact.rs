//! What may be kept of a record nobody could read: its shape, never its text.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Longest sample kept.
pub const MAX_SAMPLE_BYTES: usize = 4096;

/// Strings longer than this are replaced by length and hash; in a path, longer parts are.
const MAX_STRING_BYTES: usize = 64;

/// Longest run of letters and digits kept: keys have 32 and more, a GUID's parts 12, a resource
/// id's parts rarely 40 without a dash, and ticks 18.
const MAX_RUN_CHARS: usize = 24;

/// Names whose strings are kept, in lower case: times, places and identifiers that Azure writes
/// itself. Under any other name a string may be a prompt, an answer or a key.
const KEPT_NAMES: [&str; 20] = [
    "callerobjectid",
    "category",
    "correlationid",
    "event",
    "level",
    "location",
    "metricname",
    "modeldeploymentname",
    "modelname",
    "modelversion",
    "objectid",
    "operationname",
    "resourceid",
    "resultsignature",
    "resulttype",
    "streamtype",
    "time",
    "timegrain",
    "timestamp",
    "type",
];

/// A sample of `text` that keeps numbers, names of members and the strings of [`KEPT_NAMES`]; every
/// other string is its length and hash. What is not JSON is described, not shown.
#[must_use]
pub fn sample(text: &str) -> String {
    let mut shown = match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            clean("", &mut value);
            value.to_string()
        }
        // Without its structure nothing says which part is a prompt.
        Err(_) => stand_in(text),
    };
    if shown.len() > MAX_SAMPLE_BYTES {
        shown.truncate(shown.floor_char_boundary(MAX_SAMPLE_BYTES));
    }
    shown
}

/// Cleans `value`, which was found under `name`.
fn clean(name: &str, value: &mut Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => clean_text(name, text),
        Value::Array(items) => items.iter_mut().for_each(|item| clean("", item)),
        Value::Object(members) => {
            let taken = std::mem::take(members);
            for (name, mut member) in taken {
                clean(&name, &mut member);
                let shown = if is_identifier(&name) { name } else { stand_in(&name) };
                members.insert(shown, member);
            }
        }
    }
}

fn clean_text(name: &str, text: &mut String) {
    let nested = text.trim_start().starts_with(['{', '[']);
    if let Some(mut inside) = nested.then(|| serde_json::from_str::<Value>(text).ok()).flatten() {
        clean("", &mut inside);
        *text = inside.to_string();
        return;
    }
    let kept = KEPT_NAMES.contains(&name.to_ascii_lowercase().as_str());
    let path = text.split('/').all(is_identifier);
    if is_number(text) || (kept && path) {
        return;
    }
    *text = stand_in(text);
}

/// Prose has spaces, addresses have queries, keys are long; names, times and identifiers are not so.
fn is_identifier(text: &str) -> bool {
    let run = |part: &str| part.chars().count() > MAX_RUN_CHARS;
    text.len() <= MAX_STRING_BYTES
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '?' || c == '=')
        && !text.split(|c: char| !c.is_alphanumeric()).any(run)
}

/// Short and made of what numbers are made of: the usual reason why a record is here.
fn is_number(text: &str) -> bool {
    text.len() <= MAX_RUN_CHARS
        && text.chars().all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E'))
}

fn stand_in(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    let head: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("<{} bytes, sha256 {head}>", text.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_prompts_nor_keys_survive() {
        let prompt = "tell me the secret of the canary";
        for text in [
            format!(r#"{{"properties":{{"prompt":"{prompt}"}}}}"#),
            format!(r#"{{"whatever":"{prompt}"}}"#),
            format!(r#"{{"properties":"{{\"messages\":[{{\"content\":\"{prompt}\"}}]}}"}}"#),
            format!("{{'prompt': '{prompt}'"),
            format!(r#"{{"url":"https://host/path?q={}"}}"#, prompt.replace(' ', "+")),
            r#"{"note":"canary"}"#.to_owned(),
            r#"{"promptTokens":["canary"],"resourceId":"/a/b?key=canary"}"#.to_owned(),
            r#"[["api-key","canary"],{"name":"api-key","value":"canary"}]"#.to_owned(),
            r#"{"canary0123456789abcdef0123456789":1}"#.to_owned(),
        ] {
            let kept = sample(&text);
            assert!(!kept.contains("canary"), "{kept}");
        }
        let kept = sample(r#"{"apiKey":"k3y","promptTokens":12,"time":"2026-11-24T10:00:00Z"}"#);
        assert!(!kept.contains("k3y") && kept.contains("12") && kept.contains("2026"), "{kept}");
        let text = r#"{"promptTokens":"-1","resourceId":"/SUBSCRIPTIONS/3F0C1D2E-7A4B-4C58/X"}"#;
        assert_eq!(sample(text), text);
    }

    #[test]
    fn samples_are_bounded() {
        let text = format!("[{}1]", "1,".repeat(10_000));
        assert!(sample(&text).len() <= MAX_SAMPLE_BYTES);
    }
}
