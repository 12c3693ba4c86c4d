//! Typed readers over one table of the file, which report what they cannot read and go on.

use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;

use secrecy::SecretString;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::notify::CHANNELS;
use super::secret::{self, SecretRef};
use crate::price::read::Fields;
use crate::problem::Findings;

/// Looks a secret up; the error says why it cannot, without the secret.
pub(super) type Lookup<'a> = &'a dyn Fn(&SecretRef) -> Result<SecretString, String>;

/// What a walk over the file carries.
pub(super) struct Walk<'a> {
    pub(super) findings: Findings<'a>,
    /// Folder of the file, which relative paths start from.
    pub(super) folder: PathBuf,
    pub(super) lookup: Lookup<'a>,
}

/// One table: what it is called in messages, and which keys it may have.
#[derive(Clone, Copy)]
pub(super) struct Section<'t> {
    table: &'t DeTable<'t>,
    at: (usize, usize),
    label: &'static str,
}

/// Keys of every table, to recognise one that was put into the wrong table.
const KNOWN: &[(&str, &[&str])] = &[
    ("the top of the file", &["database"]),
    ("[[hub]]", super::hub::KEYS),
    ("[[network]]", super::known::NETWORK),
    ("[[network_list]]", super::known::LIST),
    ("[geo]", super::known::GEO),
    ("[identities]", super::known::IDENTITIES),
    ("[[backend]]", super::backend::KEYS),
    ("[[owner]]", super::owner::KEYS),
    ("[[budget]]", super::budget::KEYS),
    ("[[metrics_api]]", super::metrics_api::KEYS),
    ("[resource_graph]", super::resource_graph::KEYS),
    ("[posture.allow]", super::resource_graph::ALLOW),
    ("[engine]", super::limits::ENGINE),
    ("[join]", super::limits::JOIN),
    ("[detect]", super::limits::DETECT),
    ("[route]", super::route::ROUTE),
    ("[[inhibit]]", super::route::INHIBIT),
    ("[[time]]", super::route::TIME),
    ("[[maintenance]]", super::route::MAINTENANCE),
    ("[storm]", super::route::STORM),
    ("[store]", super::store::STORE),
    ("[caller]", super::store::CALLER),
    ("[heartbeat]", super::heartbeat::KEYS),
    ("[report]", super::report::REPORT),
    ("[price]", super::price::PRICE),
    ("a deployment", super::price::DEPLOYMENT),
    ("[[price.discount]]", super::price::DISCOUNT),
    ("[[price.exchange]]", super::price::EXCHANGE),
];

impl<'t> Section<'t> {
    /// Opens a table and reports keys that it may not have.
    pub(super) fn open(
        table: &'t DeTable<'t>,
        span: Range<usize>,
        label: &'static str,
        known: &[&str],
        walk: &mut Walk<'_>,
    ) -> Self {
        for key in table.keys() {
            let name: &str = key.get_ref();
            if !known.contains(&name) {
                let message = format!("unknown key `{}` in {label}", name.escape_debug());
                walk.findings.report(key.span(), message, mend_key(name, label, known));
            }
        }
        Self { table, at: (span.start, span.end), label }
    }

    pub(super) fn span(&self) -> Range<usize> {
        self.at.0..self.at.1
    }

    /// The same table for readers of prices.
    pub(super) fn fields(&self) -> Fields<'t> {
        Fields::new(self.table, self.span(), self.label)
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    pub(super) fn value(&self, key: &str) -> Option<&'t Spanned<DeValue<'t>>> {
        self.table.get(key)
    }

    /// Where the value of `key` stands; the table itself when it has none.
    pub(super) fn value_at(&self, key: &str) -> Range<usize> {
        self.value(key).map_or_else(|| self.span(), Spanned::span)
    }

    /// Where `key` itself stands; the table itself when it is missing.
    pub(super) fn key_at(&self, key: &str) -> Range<usize> {
        self.table.get_key_value(key).map_or_else(|| self.span(), |(key, _)| key.span())
    }

    /// Reports a missing `key` with an example of a value.
    pub(super) fn require(&self, key: &str, example: &str, walk: &mut Walk<'_>) {
        if !self.has(key) {
            let message = format!("{} has no `{key}`", self.label);
            walk.findings.report(self.span(), message, format!("add {key} = {example}"));
        }
    }

    fn wrong(&self, key: &str, expected: &str, walk: &mut Walk<'_>) {
        let found = self.value(key).map_or("nothing", |value| value.get_ref().type_str());
        let message = format!("`{key}` is {found}, not {expected}");
        walk.findings.report(self.value_at(key), message, format!("write {key} = {expected}"));
    }

    pub(super) fn text(&self, key: &str, walk: &mut Walk<'_>) -> Option<String> {
        let value = self.value(key)?;
        let text = value.get_ref().as_str();
        match text {
            None => self.wrong(key, "\"text in quotes\"", walk),
            Some(text) if text.trim().is_empty() => {
                let mend = "write a value, or remove the line";
                walk.findings.report(value.span(), format!("`{key}` is empty"), mend);
                return None;
            }
            Some(_) => {}
        }
        text.map(str::to_owned)
    }

    /// The texts of a list, each with its place; nothing is reported.
    pub(super) fn texts_at(&self, key: &str) -> Vec<(String, Range<usize>)> {
        let list = self.value(key).and_then(|value| value.get_ref().as_array());
        let items = list.into_iter().flat_map(|list| list.iter());
        items.filter_map(|item| Some((item.get_ref().as_str()?.to_owned(), item.span()))).collect()
    }

    pub(super) fn texts(&self, key: &str, walk: &mut Walk<'_>) -> Option<Vec<String>> {
        const EXPECTED: &str = "[\"text\", \"text\"]";
        let value = self.value(key)?;
        let Some(list) = value.get_ref().as_array() else {
            self.wrong(key, EXPECTED, walk);
            return None;
        };
        let mut texts = Vec::new();
        for item in list.iter() {
            let Some(text) = item.get_ref().as_str() else {
                let message = format!("`{key}` holds {}, not text", item.get_ref().type_str());
                walk.findings.report(item.span(), message, format!("write {key} = {EXPECTED}"));
                continue;
            };
            texts.push(text.to_owned());
        }
        Some(texts)
    }

    pub(super) fn flag(&self, key: &str, walk: &mut Walk<'_>) -> Option<bool> {
        let flag = self.value(key)?.get_ref().as_bool();
        if flag.is_none() {
            self.wrong(key, "true or false", walk);
        }
        flag
    }

    /// A path; a relative one starts at the folder of the file.
    pub(super) fn path(&self, key: &str, walk: &mut Walk<'_>) -> Option<PathBuf> {
        self.text(key, walk).map(|path| walk.folder.join(path))
    }

    /// A file that must be there.
    pub(super) fn file(&self, key: &str, walk: &mut Walk<'_>) -> Option<PathBuf> {
        let path = self.path(key, walk)?;
        if let Err(reason) = (walk.lookup)(&SecretRef::File(path.clone())) {
            let mend = "relative paths start at the folder of the configuration file";
            walk.findings.report(self.value_at(key), format!("`{key}`: {reason}"), mend);
        }
        Some(path)
    }

    pub(super) fn whole(
        &self,
        key: &str,
        range: RangeInclusive<i64>,
        walk: &mut Walk<'_>,
    ) -> Option<i64> {
        let value = self.value(key)?.get_ref();
        let Some(whole) = value.as_integer() else {
            self.wrong(key, "a whole number", walk);
            return None;
        };
        let number = i64::from_str_radix(whole.as_str(), whole.radix()).ok();
        let number = number.filter(|number| range.contains(number));
        if number.is_none() {
            let message = format!("`{key}` = {whole} is out of range");
            let mend = format!("write {} to {}", range.start(), range.end());
            walk.findings.report(self.value_at(key), message, mend);
        }
        number
    }

    /// A finite number that is not negative.
    pub(super) fn number(&self, key: &str, walk: &mut Walk<'_>) -> Option<f64> {
        let number = match self.value(key)?.get_ref() {
            DeValue::Integer(whole) if whole.radix() == 10 => whole.as_str().parse::<f64>().ok(),
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(_)
            | DeValue::String(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_)
            | DeValue::Array(_)
            | DeValue::Table(_) => {
                self.wrong(key, "a number such as 1.5", walk);
                return None;
            }
        };
        let number = number.filter(|number| number.is_finite() && *number >= 0.0);
        if number.is_none() {
            let message = format!("`{key}` is not a finite number of at least 0");
            walk.findings.report(self.value_at(key), message, "write a number such as 1.5");
        }
        number
    }

    /// A span of time in milliseconds.
    pub(super) fn duration(
        &self,
        key: &str,
        range: (&str, &str),
        walk: &mut Walk<'_>,
    ) -> Option<i64> {
        let text = self.text(key, walk)?;
        let Some(ms) = duration_ms(&text) else {
            let message = format!("`{key}`: {text:?} is not a span of time");
            let mend = "write a whole number and a unit: ms, s, m, h or d, such as \"5m\"";
            walk.findings.report(self.value_at(key), message, mend);
            return None;
        };
        let (least, most) = (duration_ms(range.0).unwrap_or(0), duration_ms(range.1));
        if ms < least || most.is_some_and(|most| ms > most) {
            let message = format!("`{key}` = {text:?} is out of range");
            let mend = format!("write \"{}\" to \"{}\"", range.0, range.1);
            walk.findings.report(self.value_at(key), message, mend);
            return None;
        }
        Some(ms)
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(
        &self,
        key: &str,
        choices: &[(&str, T)],
        walk: &mut Walk<'_>,
    ) -> Option<T> {
        let text = self.text(key, walk)?;
        let chosen = choices.iter().find(|(word, _)| *word == text);
        if chosen.is_none() {
            let words: Vec<_> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
            let message = format!("`{key}`: {text:?} is none of its values");
            let mend = format!("write one of {}", words.join(", "));
            walk.findings.report(self.value_at(key), message, mend);
        }
        chosen.map(|(_, value)| *value)
    }

    /// A secret, by reference; a literal one is refused.
    pub(super) fn secret(&self, key: &str, walk: &mut Walk<'_>) -> Option<SecretString> {
        let value = self.value(key)?;
        let mend =
            format!("write {key} = {{ env = \"NAME\" }} or {{ file = \"/run/secrets/NAME\" }}");
        let Some(table) = value.get_ref().as_table() else {
            let message = format!("`{key}` stands in the file; a secret belongs elsewhere");
            walk.findings.report(self.key_at(key), message, mend);
            return None;
        };
        let place = Section::open(table, value.span(), "a secret", secret::KEYS, walk);
        let found = match (place.has("env"), place.has("file")) {
            (true, false) => place.text("env", walk).map(SecretRef::Env),
            (false, true) => place.path("file", walk).map(SecretRef::File),
            (true, true) | (false, false) => {
                let message = format!("`{key}` names not exactly one of env and file");
                walk.findings.report(self.key_at(key), message, mend);
                None
            }
        }?;
        let looked_up = (walk.lookup)(&found);
        if let Err(reason) = &looked_up {
            let message = format!("`{key}`: {reason}");
            walk.findings.report(self.key_at(key), message, found.mend());
        }
        looked_up.ok()
    }
}

/// Milliseconds of a whole number with a unit; `None` for anything else and for too much.
#[must_use]
pub fn duration_ms(text: &str) -> Option<i64> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at_checked(digits)?;
    let unit_ms = match unit.trim() {
        "ms" => 1,
        "s" => 1_000,
        "m" => crate::time::MINUTE_MS,
        "h" => crate::time::HOUR_MS,
        "d" => crate::time::DAY_MS,
        _ => return None,
    };
    number.parse::<i64>().ok()?.checked_mul(unit_ms)
}

fn mend_key(name: &str, label: &str, known: &[&str]) -> String {
    let near = known.iter().map(|known| (distance(name, known), *known)).min();
    if let Some((_, near)) = near.filter(|(far, near)| *far <= (near.len() / 3).max(1)) {
        return format!("did you mean `{near}`?");
    }
    let channels = CHANNELS.iter().map(|kind| (kind.header, kind.keys));
    let mut tables = KNOWN.iter().copied().chain(channels);
    let elsewhere = tables.find(|(other, keys)| *other != label && keys.contains(&name));
    if let Some((other, _)) = elsewhere {
        return format!("`{name}` belongs to {other}");
    }
    format!("known here: {}", known.join(", "))
}

/// How many letters to add, drop or replace to make one word of the other (Levenshtein 1965).
fn distance(a: &str, b: &str) -> usize {
    /// A longer word is nobody's typing error of ours.
    const LONGEST: usize = 64;
    if a.len() > LONGEST {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (line, from) in a.chars().enumerate() {
        let mut left = line + 1;
        let mut next = vec![left];
        for (to, pair) in b.chars().zip(row.windows(2)) {
            let &[diagonal, above] = pair else { continue };
            left = (diagonal + usize::from(from != to)).min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(usize::MAX)
}
