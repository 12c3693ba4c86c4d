//! Formats of lists. A format is one file here and one entry of [`FORMATS`].

mod azure_tags;
pub(super) mod csv;
mod netset;
mod spamhaus;
mod tor;

use std::borrow::Cow;

use super::list::{Broken, Draft, List};

/// A format that lists come in.
pub struct Format {
    /// Its word in the configuration.
    pub name: &'static str,
    /// What a file of it is, completing "check that it is …".
    pub expected: &'static str,
    read: fn(&str, &mut Draft) -> Result<(), Broken>,
}

/// Every format, in the order of the manual's table.
pub const FORMATS: [&Format; 5] =
    [&netset::FORMAT, &csv::FORMAT, &spamhaus::FORMAT, &tor::FORMAT, &azure_tags::FORMAT];

impl Format {
    /// Reads a file's bytes. Single entries that cannot be read are counted and skipped.
    ///
    /// # Errors
    /// The file as a whole cannot be believed: it is empty, cut off, of another format, or too large.
    pub fn read(&self, bytes: &[u8]) -> Result<List, Broken> {
        let mut draft = Draft::default();
        (self.read)(&text_of(bytes), &mut draft)?;
        draft.finish(self.expected)
    }
}

impl std::fmt::Debug for Format {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// The text; bytes that are none become `�`, which no format knows.
pub(super) fn text_of(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes))
}

#[cfg(test)]
mod tests;
