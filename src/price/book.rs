//! A price book: what a list charges for which tokens of which model, when, and who says so.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use toml::de::DeTable;

use super::amount::Price;
use super::contract::Contract;
use super::meter::Meter;
use super::read::Fields;
use super::sku::{SCOPES, Scope, TIERS, Tier};
use super::span::Span;
use crate::problem::{Findings, Problems};

/// The price book compiled into the program.
pub const BUILT_IN: &str = include_str!("../../models/prices.toml");
/// How the built-in book is called.
pub const BUILT_IN_NAME: &str = "built-in";
/// Most rows of a book; the list of everything Azure sells has about 1,500 meters.
const MAX_ROWS: usize = 50_000;

/// Prices, and what was agreed about them.
#[derive(Debug, Clone)]
pub struct PriceBook {
    /// Which edition, for reports.
    pub version: String,
    /// The file, or [`BUILT_IN_NAME`].
    pub name: String,
    /// The currency all its prices are in.
    pub currency: String,
    /// Scopes in the order in which they are assumed where nobody says one.
    pub scope_order: Vec<Scope>,
    /// Its rows in the order of the file.
    pub entries: Vec<Arc<Entry>>,
    /// Discounts, own prices, deployments and rates of exchange.
    pub contract: Arc<Contract>,
    /// Rows by [`Entry::key`].
    index: HashMap<String, Vec<Arc<Entry>>>,
}

/// One row of a list: the prices of one model as it is sold in one way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Model as the list names it.
    pub model: String,
    /// Its version; empty when the row holds for any.
    pub version: String,
    /// Where the deployment may be served from.
    pub scope: Scope,
    /// How soon.
    pub tier: Tier,
    /// Holds for prompts of more tokens than this.
    pub above: u32,
    /// By number of the meter; `None` where the price is unknown.
    prices: [Option<Price>; Meter::ALL.len()],
    /// The currency of the prices.
    pub currency: String,
    /// When it holds.
    pub valid: Span,
    /// Who says so.
    pub source: String,
    /// Line of its file.
    pub line: usize,
}

impl PriceBook {
    /// The book compiled into the program.
    ///
    /// # Errors
    /// Never in a release: a test reads it.
    pub fn built_in() -> Result<Self, Problems> {
        Self::parse(BUILT_IN, BUILT_IN_NAME)
    }

    /// Reads a book in the format of `models/prices.toml`; `file` is for messages.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the text.
    pub fn parse(text: &str, file: &str) -> Result<Self, Problems> {
        let mut findings = Findings::new(file, text);
        let book = read(text, file, &mut findings);
        match book {
            Some((book, _)) if findings.is_empty() => Ok(book),
            Some(_) | None => Err(findings.finish()),
        }
    }

    /// The same prices under other terms.
    #[must_use]
    pub fn under(self, contract: Contract) -> Self {
        Self { contract: Arc::new(contract), ..self }
    }

    /// Rows of a name such as `gpt-4o` or `gpt-4o-2024-11-20`, in the order of the file.
    #[must_use]
    pub fn rows(&self, key: &str) -> &[Arc<Entry>] {
        self.index.get(key).map_or(&[], Vec::as_slice)
    }
}

impl PriceBook {
    /// The longest prompt a row prices, where the list has another price for longer ones.
    #[must_use]
    pub fn longest(&self, entry: &Entry) -> Option<u32> {
        let rows = self.rows(&entry.key());
        let longer =
            |other: &&Arc<Entry>| other.above > entry.above && other.valid.overlaps(entry.valid);
        rows.iter().filter(longer).map(|other| other.above).min()
    }
}

impl Entry {
    /// The price of a meter; `None` when the row states none.
    #[must_use]
    pub fn price(&self, meter: Meter) -> Option<Price> {
        self.prices.get(meter as usize).copied().flatten()
    }

    /// Meters the row states, with their prices.
    pub fn priced(&self) -> impl Iterator<Item = (Meter, Price)> {
        Meter::ALL.into_iter().filter_map(|meter| Some((meter, self.price(meter)?)))
    }

    /// Model and version in one lower-case name, as older logs and lists write it.
    #[must_use]
    pub fn key(&self) -> String {
        key_of(&self.model, &self.version)
    }

    /// What the row prices, apart from the time: no two rows of it may hold at once.
    #[must_use]
    pub fn place(&self) -> (String, Scope, Tier, u32) {
        (self.key(), self.scope, self.tier, self.above)
    }
}

/// Model and version in one lower-case name.
#[must_use]
pub fn key_of(model: &str, version: &str) -> String {
    let joined = if version.is_empty() { model.to_owned() } else { format!("{model}-{version}") };
    joined.to_lowercase()
}

const TOP: (&str, &[&str]) =
    ("the top of the book", &["version", "currency", "scope_order", "prices"]);
/// Keys of a row.
pub const ROW_KEYS: &[&str] = &[
    "model",
    "version",
    "scope",
    "tier",
    "above",
    "from",
    "until",
    "source",
    "input",
    "cached",
    "output",
    "cache_write",
    "cache_write_1h",
    "audio_input",
    "audio_output",
    "image_input",
    "image_output",
    "router",
];

/// Reads a book and where each of its rows stands; what is wrong is reported. `None` when the text
/// is not TOML.
pub(super) fn read(
    text: &str,
    file: &str,
    findings: &mut Findings<'_>,
) -> Option<(PriceBook, Vec<Range<usize>>)> {
    let tree = match DeTable::parse(text) {
        Ok(tree) => tree,
        Err(error) => {
            let mend = "the rest of the file is checked once it is TOML (https://toml.io)";
            findings.report(
                error.span().unwrap_or(0..0),
                format!("not TOML: {}", error.message()),
                mend,
            );
            return None;
        }
    };
    let top = Fields::open(tree.get_ref(), 0..0, TOP, findings);
    let currency = currency(&top, findings);
    let mut entries: Vec<(Arc<Entry>, Range<usize>)> = Vec::new();
    let (mut line, mut counted) = (1, 0);
    for (row, span) in rows(&top, findings) {
        // Onwards from the row before: counting from the top each time takes as long as all the rest.
        line += text.get(counted..span.start).unwrap_or_default().matches('\n').count();
        counted = span.start;
        let fields = Fields::open(row, span.clone(), ("a price", ROW_KEYS), findings);
        if !fields.has("scope") {
            let mend = "add scope = \"global\"; \"unspecified\" where the list does not say";
            findings.report(span.clone(), "a price has no `scope`", mend);
        }
        entries.push((Arc::new(entry(&fields, &currency, line, findings)), span));
    }
    report_overlaps(&entries, findings);
    let mut index: HashMap<String, Vec<Arc<Entry>>> = HashMap::new();
    for (entry, _) in &entries {
        index.entry(entry.key()).or_default().push(Arc::clone(entry));
    }
    let book = PriceBook {
        version: top.needed("version", "2026-11", findings),
        name: file.to_owned(),
        currency,
        scope_order: scope_order(&top, findings),
        contract: Arc::default(),
        index,
        entries: entries.iter().map(|(entry, _)| Arc::clone(entry)).collect(),
    };
    Some((book, entries.into_iter().map(|(_, span)| span).collect()))
}

/// The three letters of ISO 4217 that prices are in.
pub fn currency(fields: &Fields<'_>, findings: &mut Findings<'_>) -> String {
    let code = fields.needed("currency", "USD", findings);
    if !code.is_empty() && !is_currency(&code) {
        let mend = "write its three capital letters, such as \"USD\" (ISO 4217)";
        findings.report(fields.at("currency"), "`currency` is not the code of one", mend);
    }
    code
}

/// True for three capital letters.
#[must_use]
pub fn is_currency(code: &str) -> bool {
    code.len() == 3 && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

fn scope_order(top: &Fields<'_>, findings: &mut Findings<'_>) -> Vec<Scope> {
    let mend = "write scope_order = [\"global\", \"unspecified\", …]";
    let Some(list) = top.value("scope_order").and_then(|value| value.get_ref().as_array()) else {
        findings.report(top.at("scope_order"), "`scope_order` is no list of scopes", mend);
        return Vec::new();
    };
    let mut order = Vec::new();
    for item in list.iter() {
        let text = item.get_ref().as_str();
        match SCOPES.iter().find(|(word, _)| Some(*word) == text) {
            Some((_, scope)) => order.push(*scope),
            None => findings.report(item.span(), "is no scope", mend),
        }
    }
    order
}

type Row<'t> = (&'t DeTable<'t>, Range<usize>);

fn rows<'t>(top: &Fields<'t>, findings: &mut Findings<'_>) -> Vec<Row<'t>> {
    let Some(list) = top.value("prices").and_then(|value| value.get_ref().as_array()) else {
        let mend = "write each as { model = \"gpt-4o\", scope = \"global\", …, source = \"…\" }";
        findings.report(top.at("prices"), "`prices` is no list of prices", mend);
        return Vec::new();
    };
    if list.len() > MAX_ROWS {
        let message = format!("more than {MAX_ROWS} prices");
        findings.report(top.at("prices"), message, "leave out models that you do not use");
        return Vec::new();
    }
    let mut rows = Vec::new();
    for item in list.iter() {
        match item.get_ref().as_table() {
            Some(table) => rows.push((table, item.span())),
            None => findings.report(item.span(), "is no price", "write it in { braces }"),
        }
    }
    rows
}

/// Reads one row, of a book or of a configuration; `line` is where it stands.
pub fn entry(
    fields: &Fields<'_>,
    currency: &str,
    line: usize,
    findings: &mut Findings<'_>,
) -> Entry {
    let mut prices = [None; Meter::ALL.len()];
    for (slot, meter) in prices.iter_mut().zip(Meter::ALL) {
        *slot = fields.price(meter.word(), findings);
    }
    let names_meter = Meter::ALL.iter().any(|meter| fields.has(meter.word()));
    if !names_meter {
        let mend = "add input = \"2.5\", cached or output; leave out what is unknown";
        findings.report(fields.span(), "a price that prices nothing", mend);
    }
    Entry {
        model: fields.needed("model", "gpt-4o", findings),
        version: fields.text("version", findings).unwrap_or_default(),
        scope: fields.word("scope", &SCOPES, findings).unwrap_or(Scope::Unspecified),
        tier: fields.word("tier", &TIERS, findings).unwrap_or_default(),
        above: fields.whole("above", findings).unwrap_or(0),
        prices,
        currency: currency.to_owned(),
        valid: fields.valid(findings),
        source: fields.needed("source", "contract of 2026-10-01", findings),
        line,
    }
}

/// Two rows for the same thing at the same time: nobody could say which one is meant.
fn report_overlaps(entries: &[(Arc<Entry>, Range<usize>)], findings: &mut Findings<'_>) {
    let mut seen: HashMap<_, Vec<&Entry>> = HashMap::new();
    for (entry, span) in entries {
        let others = seen.entry(entry.place()).or_default();
        if let Some(other) = others.iter().find(|other| other.valid.overlaps(entry.valid)) {
            let message = format!("line {} prices the same at the same time", other.line);
            let mend = "remove one of them, or give both their `from` and `until`";
            findings.report(span.clone(), message, mend);
        }
        others.push(entry);
    }
}
