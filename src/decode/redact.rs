//! What may be kept of a record nobody could read: its shape, never its text.

use serde_json::Value;
use sha2::{Digest as _, Sha256};

/// Longest sample kept.
pub const MAX_SAMPLE_BYTES: usize = 4096;

/// String values longer than this are replaced by length and hash.
const MAX_STRING_BYTES: usize = 64;

/// Names whose values are prompts, answers or secrets whatever their length.
const SECRET_NAMES: [&str; 14] = [
    "key",
    "token",
    "secret",
    "password",
    "authorization",
    "prompt",
    "content",
    "messages",
    "input",
    "completion",
    "body",
    "text",
    "answer",
    "cookie",
];

/// A sample of `text` in which every long or suspicious string value is its length and hash and no
/// URL keeps its query. What is not JSON is described, not shown.
#[must_use]
pub fn sample(text: &str) -> String {
    let mut shown = match serde_json::from_str::<Value>(text) {
        Ok(mut value) => {
            clean(&mut value);
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

fn clean(value: &mut Value) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => clean_text(text),
        Value::Array(items) => items.iter_mut().for_each(clean),
        Value::Object(members) => {
            for (name, member) in members.iter_mut() {
                if is_secret(name) && !member.is_number() {
                    *member = Value::String(stand_in(&member.to_string()));
                } else {
                    clean(member);
                }
            }
        }
    }
}

fn clean_text(text: &mut String) {
    let nested = text.trim_start().starts_with(['{', '[']);
    if let Some(mut inside) = nested.then(|| serde_json::from_str::<Value>(text).ok()).flatten() {
        clean(&mut inside);
        *text = inside.to_string();
    } else if text.contains("://")
        && let Some((before, _)) = text.split_once('?')
    {
        *text = before.to_owned();
        clean_text(text);
    } else if text.len() > MAX_STRING_BYTES || text.contains(char::is_whitespace) {
        // Prose has spaces; names, times and identifiers have none.
        *text = stand_in(text);
    }
}

fn is_secret(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    !lower.ends_with("tokens") && SECRET_NAMES.iter().any(|secret| lower.contains(secret))
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
        ] {
            let kept = sample(&text);
            assert!(!kept.contains("canary"), "{kept}");
        }
        let kept = sample(r#"{"apiKey":"k3y","promptTokens":12,"time":"2026-11-24T10:00:00Z"}"#);
        assert!(!kept.contains("k3y") && kept.contains("12") && kept.contains("2026"), "{kept}");
    }

    #[test]
    fn samples_are_bounded() {
        let text = format!("[{}1]", "1,".repeat(10_000));
        assert!(sample(&text).len() <= MAX_SAMPLE_BYTES);
    }
}
