//! Case-insensitive access to the fields of one JSON object, without building a tree.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer as _;
use serde::de::{MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Largest token count believed of one record; more is quarantined
/// (the largest context sold in 2026 is 2 M tokens).
pub const MAX_TOKENS: u32 = 10_000_000;

/// Most members of one object kept; a record with more is refused. A cost row, the widest record
/// Azure writes, has 105.
pub const MAX_MEMBERS: usize = 512;

/// Most elements looked at of a list inside a record; longer ones are counted.
pub const MAX_ELEMENTS: usize = 1_000;

/// Texts inside texts deeper than this are not opened.
const MAX_QUOTES: usize = 3;

/// What is wrong with a field, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {reason}")]
pub struct FieldError {
    /// Dotted path from the record.
    pub path: String,
    /// What was found instead.
    pub reason: String,
}

impl FieldError {
    /// An error at `path`.
    pub fn new(path: &str, reason: impl Into<String>) -> Self {
        Self { path: path.to_owned(), reason: reason.into() }
    }
}

/// The members of one object in order of appearance; values are still text.
#[derive(Debug, Default)]
pub struct Fields<'a> {
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    /// There were more than [`MAX_MEMBERS`].
    pub cut: bool,
}

impl<'a> Fields<'a> {
    /// Reads the members of the object `text`; `None` when it is not an object.
    #[must_use]
    pub fn read(text: &'a str) -> Option<Self> {
        let mut reader = serde_json::Deserializer::from_str(text);
        reader.deserialize_map(MembersVisitor).ok()
    }

    /// The value of the first member named `name` in any case; `None` when absent or null.
    #[must_use]
    pub fn raw(&self, name: &str) -> Option<&'a RawValue> {
        let found = self.members.iter().find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| *value).filter(|value| value.get() != "null")
    }

    /// A string, or a number as its text; `None` when absent or of another type.
    #[must_use]
    pub fn text(&self, name: &str) -> Option<Cow<'a, str>> {
        text_of(self.raw(name)?)
    }

    /// The first of several spellings that holds a non-empty string.
    #[must_use]
    pub fn first_text(&self, names: &[&str]) -> Option<Cow<'a, str>> {
        names.iter().filter_map(|name| self.text(name)).find(|text| !text.trim().is_empty())
    }

    /// A whole number written as a number or as a string; `None` when absent or not a number.
    #[must_use]
    pub fn integer(&self, name: &str) -> Option<i64> {
        whole_number(&self.text(name)?)
    }

    /// A number that is finite, written as a number or as a string; `None` otherwise.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<f64> {
        self.text(name)?.trim().parse().ok().filter(|number: &f64| number.is_finite())
    }

    /// A whole number from 0 up to `T`'s largest; `None` otherwise.
    #[must_use]
    pub fn count<T: TryFrom<i64>>(&self, name: &str) -> Option<T> {
        T::try_from(self.integer(name).filter(|count| *count >= 0)?).ok()
    }

    /// `true` or `false`, written as such or as a string in any case.
    #[must_use]
    pub fn boolean(&self, name: &str) -> Option<bool> {
        let raw = self.raw(name)?.get();
        let text = unquote(raw).unwrap_or(Cow::Borrowed(raw));
        match text.trim() {
            text if text.eq_ignore_ascii_case("true") => Some(true),
            text if text.eq_ignore_ascii_case("false") => Some(false),
            _ => None,
        }
    }

    /// The text of an object or array that is the member's value, or is written in its string.
    #[must_use]
    pub fn nested(&self, name: &str) -> Option<Cow<'a, str>> {
        nested_of(self.raw(name)?)
    }

    /// True when it has no members.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Names and values in order of appearance.
    pub fn members(&self) -> impl Iterator<Item = (&str, &'a RawValue)> {
        self.members.iter().map(|(name, value)| (&**name, *value))
    }

    /// A token count: a number, a numeric string, or an array of one of these.
    ///
    /// # Errors
    /// A present value that is not a count between 0 and [`MAX_TOKENS`]: what cannot be parsed
    /// must not become zero.
    pub fn tokens(&self, name: &str) -> Result<Option<u32>, FieldError> {
        let Some(raw) = self.raw(name) else { return Ok(None) };
        let path = || format!("properties.{name}");
        let outer = unquote(raw.get()).unwrap_or(Cow::Borrowed(raw.get()));
        let inner = match outer.trim().strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            Some(inside) if matches!(inside.trim(), "" | "null") => return Ok(None),
            Some(inside) => inside.trim(),
            None => &outer,
        };
        let text = unquote(inner).unwrap_or(Cow::Borrowed(inner));
        let Some(count) = whole_number(&text) else {
            return Err(FieldError { path: path(), reason: "is not a token count".to_owned() });
        };
        match u32::try_from(count) {
            Ok(count) if count <= MAX_TOKENS => Ok(Some(count)),
            Ok(_) | Err(_) => Err(FieldError {
                path: path(),
                reason: format!("{count} lies outside 0 to {MAX_TOKENS}"),
            }),
        }
    }
}

/// A string, or a number as its text; `None` for other types.
#[must_use]
pub fn text_of(value: &RawValue) -> Option<Cow<'_, str>> {
    let raw = value.get();
    match raw.as_bytes().first()? {
        b'"' => unquote(raw),
        b'-' | b'0'..=b'9' => Some(Cow::Borrowed(raw)),
        _ => None,
    }
}

/// The text of an object or array, which may be written in a string; `None` for other types.
#[must_use]
pub fn nested_of(value: &RawValue) -> Option<Cow<'_, str>> {
    let mut text = Cow::Borrowed(value.get());
    for _ in 0..MAX_QUOTES {
        if !text.starts_with('"') {
            break;
        }
        text = match text {
            Cow::Borrowed(raw) => trimmed(unquote(raw)?),
            Cow::Owned(raw) => trimmed(Cow::Owned(unquote(&raw)?.into_owned())),
        };
    }
    text.starts_with(['{', '[']).then_some(text)
}

fn trimmed(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// Gives the text of the first `most` elements of `array` to `each` and returns how many there are;
/// `None` when it is no array.
pub fn elements<'a>(array: &'a str, most: usize, each: &mut dyn FnMut(&'a str)) -> Option<usize> {
    let mut reader = serde_json::Deserializer::from_str(array);
    reader.deserialize_seq(ElementsVisitor { most, each }).ok()
}

/// The text inside a JSON string, borrowed when it has no escapes.
#[must_use]
pub fn unquote(raw: &str) -> Option<Cow<'_, str>> {
    let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
    if inside.contains(['\\', '"']) {
        serde_json::from_str::<String>(raw).ok().map(Cow::Owned)
    } else {
        Some(Cow::Borrowed(inside))
    }
}

/// A number rounded to a whole one; `None` below 0, above `u32` and for what is no number.
#[must_use]
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "checked to fit")]
pub fn rounded(number: f64) -> Option<u32> {
    (0.0..=f64::from(u32::MAX)).contains(&number).then_some(number.round() as u32)
}

/// Reads `12`, `12.0` and `1.2e1`; `None` for fractions, other text and values beyond ± 2⁵³.
#[expect(clippy::cast_possible_truncation, reason = "checked to be whole and within 2⁵³")]
fn whole_number(text: &str) -> Option<i64> {
    let text = text.trim();
    if let Ok(whole) = text.parse() {
        return Some(whole);
    }
    let number: f64 = text.parse().ok()?;
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i64)
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(Key(key)) = map.next_key()? {
            let value = map.next_value()?;
            if fields.members.is_empty() {
                fields.members.reserve(USUAL_MEMBERS);
            }
            if fields.members.len() < MAX_MEMBERS {
                fields.members.push((key, value));
            } else {
                fields.cut = true;
            }
        }
        Ok(fields)
    }
}

/// Members for which room is made at once: both call categories have fewer.
const USUAL_MEMBERS: usize = 16;

struct ElementsVisitor<'e, 'a> {
    most: usize,
    each: &'e mut dyn FnMut(&'a str),
}

impl<'de> Visitor<'de> for ElementsVisitor<'_, 'de> {
    type Value = usize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<usize, A::Error> {
        let mut count = 0;
        while let Some(element) = elements.next_element::<&RawValue>()? {
            if count < self.most {
                (self.each)(element.get());
            }
            count += 1;
        }
        Ok(count)
    }
}

/// A member's name, borrowed when it has no escapes (plain `Cow` would always copy).
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

impl<'de> serde::Deserialize<'de> for Key<'de> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct KeyVisitor;
        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a member name")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Borrowed(text)))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Key(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(KeyVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(json: &str, expected: Result<Option<u32>, ()>) {
        let text = format!(r#"{{"PromptTokens":{json}}}"#);
        let fields = Fields::read(&text).unwrap();
        assert_eq!(fields.tokens("promptTokens").map_err(drop), expected, "{json}");
    }

    #[test]
    fn token_counts_come_in_many_types() {
        for json in
            ["12", "\"12\"", "[12]", "[\"12\"]", "12.0", "1.2e1", "[ 12 ]", "\"[12]\"", "\" 12 \""]
        {
            check(json, Ok(Some(12)));
        }
        check("0", Ok(Some(0)));
        for absent in ["null", "[]", "[null]"] {
            check(absent, Ok(None));
        }
    }

    #[test]
    fn what_is_no_count_is_an_error_and_never_zero() {
        for json in
            ["-1", "1.5", "\"x\"", "true", "{}", "[1,2]", "1e400", "10000001", "2e19", "\"\""]
        {
            check(json, Err(()));
        }
    }

    #[test]
    fn the_first_of_two_spellings_wins() {
        let fields = Fields::read(r#"{"Level":"a","level":"b","n":5}"#).unwrap();
        assert_eq!(fields.text("LEVEL").as_deref(), Some("a"));
        assert_eq!(fields.text("n").as_deref(), Some("5"));
        assert_eq!(fields.text("absent"), None);
    }
}
