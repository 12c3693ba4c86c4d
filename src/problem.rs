//! What is wrong with a file that a person wrote, where, and how to mend it; never a secret.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

/// One thing wrong with a file. Its text is for a terminal: no control characters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The file as it was named.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub mend: String,
    /// The line up to the end of the problem; values beside it are masked, because they may be
    /// secrets.
    #[serde(skip)]
    pub source: String,
    /// How many characters to underline, at least 1.
    #[serde(skip)]
    pub width: usize,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message)?;
        if !self.source.is_empty() {
            writeln!(f, "    {}", self.source)?;
            let indent = self.column.saturating_sub(1);
            writeln!(f, "    {:indent$}{}", "", "^".repeat(self.width))?;
        }
        writeln!(f, "    mend: {}", self.mend)
    }
}

/// Everything wrong with a file, in the order of the file; never empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|problem| problem.fmt(f))
    }
}

impl std::error::Error for Problems {}

/// Problems found so far, at places of one text.
#[derive(Debug)]
pub struct Findings<'a> {
    file: &'a str,
    text: &'a str,
    found: Vec<Found>,
    /// Where values stand.
    values: Vec<Range<usize>>,
}

#[derive(Debug)]
struct Found {
    span: Range<usize>,
    message: String,
    mend: String,
}

impl<'a> Findings<'a> {
    /// No problems yet in `text`, which was read from `file`.
    #[must_use]
    pub const fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, found: Vec::new(), values: Vec::new() }
    }

    /// Masks these places wherever a problem beside them is shown.
    pub fn mask(&mut self, values: Vec<Range<usize>>) {
        self.values = values;
    }

    /// Notes a problem at a span of bytes of the text.
    pub fn report(
        &mut self,
        span: Range<usize>,
        message: impl Into<String>,
        mend: impl Into<String>,
    ) {
        self.found.push(Found { span, message: message.into(), mend: mend.into() });
    }

    /// True when something within `span` has been reported.
    #[must_use]
    pub fn is_reported(&self, span: &Range<usize>) -> bool {
        self.found
            .iter()
            .any(|found| span.contains(&found.span.start) && found.span.end <= span.end)
    }

    /// True when nothing has been reported.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Line of a place, from 1.
    #[must_use]
    pub fn line(&self, at: usize) -> usize {
        let before = self.text.get(..at).unwrap_or(self.text);
        before.matches('\n').count() + 1
    }

    /// Everything found, in the order of the file.
    #[must_use]
    pub fn finish(mut self) -> Problems {
        self.found.sort_by_key(|found| found.span.start);
        Problems(self.found.iter().map(|found| self.problem(found)).collect())
    }

    fn problem(&self, found: &Found) -> Problem {
        let before = self.text.get(..found.span.start).unwrap_or(self.text);
        let start = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = self.text.get(start..).unwrap_or_default();
        let line = rest.lines().next().unwrap_or_default();
        let end = found.span.end.max(found.span.start).min(start + line.len());
        let column = self.text.get(start..found.span.start).unwrap_or(line).chars().count() + 1;
        let width = self.text.get(found.span.start..end).unwrap_or_default().chars().count();
        Problem {
            file: self.file.to_owned(),
            line: self.line(found.span.start),
            column,
            message: printable(&found.message),
            mend: printable(&found.mend),
            source: self.shown(line, start, &found.span),
            width: width.max(1),
        }
    }

    /// The line as it may be shown: up to the end of the span, other values masked.
    fn shown(&self, line: &str, start: usize, span: &Range<usize>) -> String {
        let hidden = |at: usize| {
            self.values.iter().any(|value| value.contains(&at) && value != span)
                && !(span.len() == 1 && span.contains(&at))
        };
        let end = span.end.max(span.start + 1);
        let mut shown: String = line
            .char_indices()
            .take_while(|(at, _)| start + at < end)
            .map(|(at, c)| if hidden(start + at) { '*' } else { c })
            .map(|c| if c.is_control() { ' ' } else { c })
            .collect();
        if end < start + line.trim_end().len() {
            shown.push_str(" …");
        }
        shown
    }
}

/// The places of a text that does not parse which may hold a value: every letter and digit but
/// those of a header and of a short word in lower case at the start of a line.
#[must_use]
pub fn unparsed_values(text: &str) -> Vec<Range<usize>> {
    /// A longer word is more likely a key of a cipher than of a table.
    const WORD_MAX: usize = 24;
    let mut places = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let word = line.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(line.len());
        if !line.starts_with('[') {
            let from = if word <= WORD_MAX { word } else { 0 };
            let letters = line.char_indices().filter(|(at, c)| *at >= from && c.is_alphanumeric());
            places.extend(letters.map(|(at, c)| start + at..start + at + c.len_utf8()));
        }
        start += line.len();
    }
    places
}

fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
