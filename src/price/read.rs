//! Typed readers over one table of a file with prices, which report what they cannot read and go on.

use std::borrow::Cow;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::amount::{Percent, Price, Rate, decimal};
use super::span::Span;
use crate::money::NanoUsd;
use crate::problem::Findings;
use crate::time::{self, EventTime};

/// Longest name kept of anything in a book.
const MAX_NAME_CHARS: usize = 256;

/// One table of the file.
#[derive(Clone)]
pub struct Fields<'t> {
    table: &'t DeTable<'t>,
    span: Range<usize>,
    label: &'static str,
}

impl<'t> Fields<'t> {
    /// Opens a table and reports the keys that it may not have.
    pub fn open(
        table: &'t DeTable<'t>,
        span: Range<usize>,
        (label, known): (&'static str, &[&str]),
        findings: &mut Findings<'_>,
    ) -> Self {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let message = format!("unknown key `{}` in {label}", name.escape_debug());
                findings.report(key.span(), message, format!("known here: {}", known.join(", ")));
            }
        }
        Self::new(table, span, label)
    }

    /// A table whose keys have been looked at.
    #[must_use]
    pub const fn new(table: &'t DeTable<'t>, span: Range<usize>, label: &'static str) -> Self {
        Self { table, span, label }
    }

    /// Where the table stands.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// True when the table has the key, whatever its value.
    #[must_use]
    pub fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The value of a key.
    #[must_use]
    pub fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table.get(key)
    }

    /// Where the value of a key stands; the table itself when it has none.
    #[must_use]
    pub fn at(&self, key: &str) -> Range<usize> {
        self.value(key).map_or_else(|| self.span(), Spanned::span)
    }

    /// Text that is not empty.
    pub fn text(&self, key: &str, findings: &mut Findings<'_>) -> Option<String> {
        let value = self.value(key)?;
        let text = value.get_ref().as_str().map(str::trim);
        let fits = text.filter(|text| {
            (1..=MAX_NAME_CHARS).contains(&text.chars().count()) && !text.contains(char::is_control)
        });
        if fits.is_none() {
            let mend = format!("write {key} = \"1 to {MAX_NAME_CHARS} characters\"");
            findings.report(value.span(), format!("`{key}` is no such text"), mend);
        }
        fits.map(str::to_owned)
    }

    /// Text that must be there; reported and empty otherwise.
    pub fn needed(&self, key: &str, example: &str, findings: &mut Findings<'_>) -> String {
        if !self.has(key) {
            let message = format!("{} has no `{key}`", self.label);
            findings.report(self.span(), message, format!("add {key} = \"{example}\""));
        }
        self.text(key, findings).unwrap_or_default()
    }

    /// One of a few words.
    pub fn word<T: Copy>(
        &self,
        key: &str,
        words: &[(&str, T)],
        findings: &mut Findings<'_>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let text = value.get_ref().as_str().unwrap_or_default();
        let chosen = words.iter().find(|(word, _)| *word == text);
        if chosen.is_none() {
            let words: Vec<_> = words.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            let mend = format!("write one of {}", words.join(", "));
            findings.report(value.span(), format!("`{key}` is none of its values"), mend);
        }
        chosen.map(|(_, value)| *value)
    }

    /// A price per million tokens.
    pub fn price(&self, key: &str, findings: &mut Findings<'_>) -> Option<Price> {
        let expected =
            format!("an amount per million tokens, 0 to {}, at most 6 decimals", Price::MOST);
        self.number(key, (&expected, "\"2.5\""), Price::parse, findings)
    }

    /// A percentage.
    pub fn percent(&self, key: &str, findings: &mut Findings<'_>) -> Option<Percent> {
        let expected = "a percentage of 0 to 100 with at most 4 decimals";
        self.number(key, (expected, "12.5"), Percent::parse, findings)
    }

    /// A rate of exchange.
    pub fn rate(&self, key: &str, findings: &mut Findings<'_>) -> Option<Rate> {
        let expected =
            format!("USD per unit above 0, at most {}, with at most 6 decimals", Rate::MOST);
        self.number(key, (&expected, "\"1.08\""), Rate::parse, findings)
    }

    /// An amount of money with at most nine decimals, from 0 to a million.
    pub fn money(&self, key: &str, findings: &mut Findings<'_>) -> Option<NanoUsd> {
        const MOST_NANO: i64 = 1_000_000 * crate::money::NANO_PER_USD;
        let read = |text: &str| decimal(text, 9).filter(|nano| *nano <= MOST_NANO).map(NanoUsd);
        let expected = "an amount in USD, 0 to 1000000, with at most 9 decimals";
        self.number(key, (expected, "1000"), read, findings)
    }

    /// A whole number from 0 on.
    pub fn whole(&self, key: &str, findings: &mut Findings<'_>) -> Option<u32> {
        self.number(
            key,
            ("a whole number of at most 4294967295", "100"),
            |t| t.parse().ok(),
            findings,
        )
    }

    /// A number, quoted or not, read from its text so that no digit is lost.
    fn number<T>(
        &self,
        key: &str,
        (expected, example): (&str, &str),
        read: impl Fn(&str) -> Option<T>,
        findings: &mut Findings<'_>,
    ) -> Option<T> {
        let value = self.value(key)?;
        let number = number_text(value.get_ref()).and_then(|text| read(&text));
        if number.is_none() {
            let message = format!("`{key}` is not {expected}");
            findings.report(value.span(), message, format!("write {key} = {example}"));
        }
        number
    }

    /// `from` and `until`; what is not said is not bounded.
    pub fn valid(&self, findings: &mut Findings<'_>) -> Span {
        let from = self.moment("from", findings).unwrap_or(Span::ALWAYS.from);
        let until = self.moment("until", findings).unwrap_or(Span::ALWAYS.until);
        if from >= until {
            let mend = "`until` is the first moment that no longer belongs: make it later";
            findings.report(self.at("until"), "`until` is not after `from`", mend);
        }
        Span { from, until }
    }

    fn moment(&self, key: &str, findings: &mut Findings<'_>) -> Option<EventTime> {
        let value = self.value(key)?;
        let moment = match value.get_ref() {
            DeValue::Datetime(at) if at.time.is_none() => time::parse(&format!("{at}T00:00:00Z")),
            DeValue::Datetime(at) if at.offset.is_some() => time::parse(&at.to_string()),
            DeValue::Datetime(_)
            | DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => None,
        };
        if moment.is_none() {
            let message = format!("`{key}` is neither a day nor a moment with its offset");
            let mend = format!("write {key} = 2026-10-01 (UTC) or 2026-10-01T00:00:00+02:00");
            findings.report(value.span(), message, mend);
        }
        moment.map(EventTime)
    }
}

fn number_text<'t>(value: &'t DeValue<'t>) -> Option<Cow<'t, str>> {
    match value {
        DeValue::String(text) => Some(Cow::Borrowed(text)),
        DeValue::Integer(whole) if whole.radix() == 10 => Some(Cow::Borrowed(whole.as_str())),
        DeValue::Float(float) => Some(Cow::Borrowed(float.as_str())),
        DeValue::Integer(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => None,
    }
}
