//! From the bytes of one hub event to the records inside, whatever Azure wrapped them in.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::field::{Fields, unquote};

/// Envelopes inside envelopes deeper than this are not opened.
const MAX_DEPTH: u8 = 4;

/// Largest body taken; Event Hubs itself stops at 1 MiB.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// What is wrong with a whole body, or with the rest of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Nothing in it.
    #[error("body is empty")]
    Empty,
    /// Larger than [`MAX_BODY_BYTES`].
    #[error("body is larger than 1 MiB")]
    TooLarge,
    /// Not text.
    #[error("body is not UTF-8 (first bad byte at {at})")]
    NotUtf8 {
        /// Offset in bytes.
        at: usize,
    },
    /// Not JSON, even after repair.
    #[error("not JSON from byte {at}")]
    NotJson {
        /// Offset in bytes.
        at: usize,
    },
    /// Wrapped too often.
    #[error("more than {MAX_DEPTH} envelopes inside each other")]
    TooDeep,
}

/// Gives every record of `body` to `each`, in order.
///
/// Opens `{"records":[…]}`, bare arrays, arrays of envelopes, single objects, lines, documents
/// written one after the other, and JSON text inside a string; skips a byte order mark and repairs
/// raw control characters inside strings (returns how many bodies needed that: 0 or 1).
///
/// # Errors
/// Why the body, or what is left of it after the records already given, cannot be read.
pub fn open(body: &[u8], each: &mut dyn FnMut(&str)) -> Result<u32, EnvelopeError> {
    if body.len() > MAX_BODY_BYTES {
        return Err(EnvelopeError::TooLarge);
    }
    let body = body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body);
    let text = std::str::from_utf8(body)
        .map_err(|error| EnvelopeError::NotUtf8 { at: error.valid_up_to() })?;
    if text.trim().is_empty() {
        return Err(EnvelopeError::Empty);
    }
    // A body is checked as a whole before any record is given, so that a repaired one is not
    // given twice.
    if whole(text).is_ok() {
        return documents(text, 0, each).map(|()| 0);
    }
    let repaired = escape_control_characters(text);
    if let Cow::Owned(repaired) = &repaired
        && whole(repaired).is_ok()
    {
        return documents(repaired, 0, each).map(|()| 1);
    }
    documents(text, 0, each).map(|()| 0)
}

/// Checks that `text` is nothing but JSON documents.
fn whole(text: &str) -> Result<(), serde_json::Error> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    stream.try_for_each(|document| document.map(drop))
}

fn documents(text: &str, depth: u8, each: &mut dyn FnMut(&str)) -> Result<(), EnvelopeError> {
    if depth > MAX_DEPTH {
        return Err(EnvelopeError::TooDeep);
    }
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let mut read_to = 0;
    while let Some(document) = stream.next() {
        let document = document.map_err(|_| EnvelopeError::NotJson { at: read_to })?;
        read_to = stream.byte_offset();
        value(document.get(), depth, each)?;
    }
    Ok(())
}

fn value(text: &str, depth: u8, each: &mut dyn FnMut(&str)) -> Result<(), EnvelopeError> {
    match text.as_bytes().first() {
        Some(b'{') => object(text, depth, each),
        Some(b'[') => array(text, depth, each),
        Some(b'"') => match unquote(text) {
            Some(inside) if whole(&inside).is_ok() => documents(&inside, depth + 1, each),
            _ => {
                each(text);
                Ok(())
            }
        },
        // A bare number or word is not a record, but it is something: let the caller count it.
        _ => {
            each(text);
            Ok(())
        }
    }
}

fn object(text: &str, depth: u8, each: &mut dyn FnMut(&str)) -> Result<(), EnvelopeError> {
    let records = Fields::read(text).and_then(|fields| fields.raw("records"));
    match records.map(RawValue::get) {
        Some(records) if records.starts_with('[') => array(records, depth, each),
        _ => {
            each(text);
            Ok(())
        }
    }
}

fn array(text: &str, depth: u8, each: &mut dyn FnMut(&str)) -> Result<(), EnvelopeError> {
    if depth >= MAX_DEPTH {
        return Err(EnvelopeError::TooDeep);
    }
    let elements: Vec<&RawValue> =
        serde_json::from_str(text).map_err(|_| EnvelopeError::NotJson { at: 0 })?;
    elements.into_iter().try_for_each(|element| value(element.get(), depth + 1, each))
}

/// Escapes raw control characters inside strings, which some Azure services write.
fn escape_control_characters(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte < 0x20) {
        return Cow::Borrowed(text);
    }
    let (mut inside, mut escaped) = (false, false);
    let mut repaired = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        match character {
            '"' if !escaped => inside = !inside,
            '\n' if inside => {
                repaired.push_str("\\n");
                continue;
            }
            control if inside && u32::from(control) < 0x20 => {
                repaired.push_str(&format!("\\u{:04x}", u32::from(control)));
                continue;
            }
            _ => {}
        }
        escaped = inside && character == '\\' && !escaped;
        repaired.push(character);
    }
    Cow::Owned(repaired)
}
