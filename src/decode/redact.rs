//! What may be kept of a record nobody could read: its shape, never its text.

use std::fmt;

use serde::Deserializer;
use serde::de::{self, DeserializeSeed, MapAccess, SeqAccess, Visitor};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::field::Key;

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

/// Texts inside texts deeper than this are not opened.
const MAX_QUOTES: u8 = 3;

/// A sample of `text` that keeps numbers, names of members and the strings of [`KEPT_NAMES`]; every
/// other string is its length and hash. What is not JSON is described, not shown.
///
/// Reads no more than it takes to fill [`MAX_SAMPLE_BYTES`].
#[must_use]
pub fn sample(text: &str) -> String {
    // Without its structure nothing says which part is a prompt.
    let mut shown = cleaned(text, 0).unwrap_or_else(|| stand_in(text));
    shown.truncate(shown.floor_char_boundary(MAX_SAMPLE_BYTES));
    shown
}

/// The JSON `text` without what must not be kept; `None` when it is none, as far as was read.
fn cleaned(text: &str, quotes: u8) -> Option<String> {
    let mut out = String::new();
    let mut reader = serde_json::Deserializer::from_str(text);
    let read = Clean { name: "", quotes, out: &mut out }.deserialize(&mut reader);
    match read.and_then(|()| reader.end()) {
        Ok(()) => Some(out),
        // The only such error is our own: enough was read.
        Err(error) => error.is_data().then_some(out),
    }
}

/// Writes a value, found under `name`, as it may be kept.
struct Clean<'o> {
    name: &'o str,
    quotes: u8,
    out: &'o mut String,
}

impl Clean<'_> {
    fn write<E: de::Error>(self, text: &str) -> Result<(), E> {
        self.out.push_str(text);
        if self.out.len() > MAX_SAMPLE_BYTES { Err(E::custom("is full")) } else { Ok(()) }
    }
}

impl<'de> DeserializeSeed<'de> for Clean<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Clean<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.write("null")
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<(), E> {
        self.write(if value { "true" } else { "false" })
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<(), E> {
        self.write(&value.to_string())
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<(), E> {
        self.write(&value.to_string())
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<(), E> {
        self.write(&Value::from(value).to_string())
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        let shown = clean_text(self.name, text, self.quotes);
        self.write(&quoted(shown.as_deref().unwrap_or(text)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        let Self { quotes, out, .. } = self;
        out.push('[');
        let first = out.len();
        while elements.next_element_seed(Clean { name: "", quotes, out: &mut *out })?.is_some() {
            out.push(',');
        }
        if out.len() > first {
            out.pop();
        }
        Clean { name: "", quotes, out }.write("]")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let Self { quotes, out, .. } = self;
        out.push('{');
        let first = out.len();
        while let Some(Key(name)) = members.next_key()? {
            let hidden = (!is_identifier(&name)).then(|| stand_in(&name));
            out.push_str(&quoted(hidden.as_deref().unwrap_or(&name)));
            out.push(':');
            members.next_value_seed(Clean { name: &name, quotes, out: &mut *out })?;
            out.push(',');
        }
        if out.len() > first {
            out.pop();
        }
        Clean { name: "", quotes, out }.write("}")
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

/// What stands for `text`, found under `name`; `None` when it may stay.
fn clean_text(name: &str, text: &str, quotes: u8) -> Option<String> {
    let nested = quotes < MAX_QUOTES && text.trim_start().starts_with(['{', '[']);
    if let Some(inside) = nested.then(|| cleaned(text, quotes + 1)).flatten() {
        return Some(inside);
    }
    let kept = KEPT_NAMES.contains(&name.to_ascii_lowercase().as_str());
    let path = text.split('/').all(is_identifier);
    (!(is_number(text) || (kept && path))).then(|| stand_in(text))
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
        // What follows the sample is not even read: here it is no JSON.
        assert!(sample(&text.replace("1]", "x")).starts_with("[1,1"));
    }
}
