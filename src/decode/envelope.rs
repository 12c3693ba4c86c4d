//! From the bytes of one hub event to the records inside, whatever Azure wrapped them in.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::field::{Fields, elements, unquote};

/// Envelopes inside envelopes deeper than this are not opened.
const MAX_DEPTH: u8 = 4;

/// Largest body taken; Event Hubs itself stops at 1 MiB.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;

/// Most records taken of one body: Azure's need 100 bytes at least, so that 1 MiB holds 10,000.
pub const MAX_RECORDS: usize = 10_000;

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
    /// More records than Azure can put into a body of that size.
    #[error("body has more than {MAX_RECORDS} records")]
    TooMany,
    /// Wrapped too often.
    #[error("more than {MAX_DEPTH} envelopes inside each other")]
    TooDeep,
}

/// What an envelope holds.
#[derive(Debug)]
pub enum Piece<'a> {
    /// An object, with its members.
    Record(&'a str, Fields<'a>),
    /// Something that is no record, such as a stray string or number.
    Stray,
    /// What stands where a record should, and is not JSON; its siblings are.
    Broken(&'a str),
}

/// Where the pieces of a body go.
struct Pieces<'e> {
    each: &'e mut dyn FnMut(Piece<'_>),
    left: usize,
}

impl Pieces<'_> {
    fn give(&mut self, piece: Piece<'_>) -> Result<(), EnvelopeError> {
        self.left = self.left.checked_sub(1).ok_or(EnvelopeError::TooMany)?;
        (self.each)(piece);
        Ok(())
    }
}

/// Gives every record of `body` to `each`, in order.
///
/// Opens `{"records":[…]}`, bare arrays, arrays of envelopes, single objects, lines, documents
/// written one after the other, and JSON text inside a string; skips a byte order mark and repairs
/// raw control characters inside strings (returns how many bodies needed that: 0 or 1). Where one
/// record or line is broken, the others are still given.
///
/// # Errors
/// Why the body, or what is left of it after the records already given, cannot be read.
pub fn open(body: &[u8], each: &mut dyn FnMut(Piece<'_>)) -> Result<u32, EnvelopeError> {
    let pieces = &mut Pieces { each, left: MAX_RECORDS };
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
    if let Ok(document) = serde_json::from_str::<&RawValue>(text) {
        return value(document.get(), 0, pieces).map(|()| 0);
    }
    if is_json(text) {
        return documents(text, 0, pieces).map(|()| 0);
    }
    if let Cow::Owned(repaired) = blank_control_characters(text)
        && is_json(&repaired)
    {
        return documents(&repaired, 0, pieces).map(|()| 1);
    }
    documents(text, 0, pieces).map(|()| 0)
}

/// True when `text` is nothing but JSON documents.
fn is_json(text: &str) -> bool {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    stream.all(|document| document.is_ok())
}

fn documents(text: &str, depth: u8, pieces: &mut Pieces<'_>) -> Result<(), EnvelopeError> {
    if depth > MAX_DEPTH {
        return Err(EnvelopeError::TooDeep);
    }
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<&RawValue>();
    let mut read_to = 0;
    while let Some(document) = stream.next() {
        let Ok(document) = document else {
            let rest = text.get(read_to..).unwrap_or_default();
            return salvage(rest, read_to, pieces);
        };
        read_to = stream.byte_offset();
        value(document.get(), depth, pieces)?;
    }
    Ok(())
}

fn value(text: &str, depth: u8, pieces: &mut Pieces<'_>) -> Result<(), EnvelopeError> {
    match text.as_bytes().first() {
        Some(b'{') => object(text, depth, pieces),
        Some(b'[') => array(text, depth, pieces),
        Some(b'"') => match unquote(text) {
            Some(inside) if is_json(&inside) => documents(&inside, depth + 1, pieces),
            _ => pieces.give(Piece::Stray),
        },
        // A bare number or word is not a record, but it is something: let the caller count it.
        _ => pieces.give(Piece::Stray),
    }
}

fn object(text: &str, depth: u8, pieces: &mut Pieces<'_>) -> Result<(), EnvelopeError> {
    let Some(fields) = Fields::read(text) else { return pieces.give(Piece::Broken(text)) };
    match fields.raw("records").map(RawValue::get) {
        Some(records) if records.starts_with('[') => array(records, depth, pieces),
        _ => pieces.give(Piece::Record(text, fields)),
    }
}

fn array(text: &str, depth: u8, pieces: &mut Pieces<'_>) -> Result<(), EnvelopeError> {
    if depth >= MAX_DEPTH {
        return Err(EnvelopeError::TooDeep);
    }
    let mut opened = Ok(());
    let read = elements(text, usize::MAX, &mut |element| {
        if opened.is_ok() {
            opened = value(element, depth + 1, pieces);
        }
    });
    opened.and(read.map(drop).ok_or(EnvelopeError::NotJson { at: 0 }))
}

/// Gives what can be read of `rest`, which begins at byte `at` and is not JSON as a whole.
fn salvage(rest: &str, at: usize, pieces: &mut Pieces<'_>) -> Result<(), EnvelopeError> {
    let records = match rest.trim_start().as_bytes().first() {
        Some(b'[') => rest.find('[').map(|open| open + 1),
        Some(b'{') => find_records(rest),
        _ => None,
    };
    let Some(mut place) = records else { return lines(rest, at, pieces) };
    while let Some(start) = rest.get(place..).and_then(|text| text.find('{')) {
        place += start;
        let object = rest.get(place..).unwrap_or_default();
        let length = balanced(object).ok_or(EnvelopeError::NotJson { at: at + place })?;
        let object = object.get(..length).unwrap_or_default();
        match serde_json::from_str::<&RawValue>(object) {
            Ok(object) => value(object.get(), 1, pieces)?,
            Err(_) => pieces.give(Piece::Broken(object))?,
        }
        place += length;
    }
    Ok(())
}

/// Where the array of `"records"` begins, after its bracket.
fn find_records(text: &str) -> Option<usize> {
    const NAME: &str = "\"records\"";
    let bytes = text.as_bytes();
    let at = bytes.windows(NAME.len()).position(|w| w.eq_ignore_ascii_case(NAME.as_bytes()))?;
    let after = text.get(at + NAME.len()..)?.trim_start().strip_prefix(':')?.trim_start();
    let inside = after.strip_prefix('[')?;
    Some(text.len() - inside.len())
}

/// Bytes of the object at the start of `text`; `None` when it does not end.
fn balanced(text: &str) -> Option<usize> {
    let (mut depth, mut inside, mut escaped) = (0_u32, false, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if inside => escaped = true,
            b'"' => inside = !inside,
            b'{' if !inside => depth += 1,
            b'}' if !inside => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at + 1);
                }
            }
            _ => {}
        }
    }
    None
}

/// Objects a line each, of which at least one can be read; what is no such line is one error.
fn lines(rest: &str, at: usize, pieces: &mut Pieces<'_>) -> Result<(), EnvelopeError> {
    let is_object = |line: &str| line.starts_with('{') && line.ends_with('}');
    let lines = || rest.lines().map(str::trim).filter(|line| !line.is_empty());
    if !lines().any(|line| is_object(line) && is_json(line)) {
        return Err(EnvelopeError::NotJson { at });
    }
    for line in lines().filter(|line| is_object(line)) {
        if is_json(line) {
            documents(line, 1, pieces)?;
        } else {
            pieces.give(Piece::Broken(line))?;
        }
    }
    if lines().all(is_object) { Ok(()) } else { Err(EnvelopeError::NotJson { at }) }
}

/// Replaces raw control characters inside strings, which some Azure services write, by blanks.
fn blank_control_characters(text: &str) -> Cow<'_, str> {
    if !text.bytes().any(|byte| byte < 0x20) {
        return Cow::Borrowed(text);
    }
    let (mut inside, mut escaped) = (false, false);
    let blanked = text.chars().map(|character| {
        let shown = if inside && u32::from(character) < 0x20 { ' ' } else { character };
        if character == '"' && !escaped {
            inside = !inside;
        }
        escaped = inside && character == '\\' && !escaped;
        shown
    });
    Cow::Owned(blanked.collect())
}
