//! `[price]`: which price book, how deployments were bought, and what was agreed beside the list.

use std::collections::HashMap;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::section::{Section, Walk};
use super::{read, tables};
use crate::price::PriceBook;
use crate::price::book::{self, ROW_KEYS, is_currency};
use crate::price::contract::{Contract, Deployed, Discount, Exchange, Own, Throughput};
use crate::price::meter::Meter;
use crate::price::sku::{AZURE_SKUS, SCOPES, Sku, TIERS};
use crate::problem::Problems;

pub(super) const PRICE: &[&str] =
    &["book", "max_usd_per_call", "deployment", "discount", "own", "exchange", "meter"];
pub(super) const DEPLOYMENT: &[&str] =
    &["sku", "scope", "tier", "model", "ptu", "usd_per_ptu_hour", "from", "until"];
pub(super) const DISCOUNT: &[&str] =
    &["percent", "account", "model", "meter", "from", "until", "source"];
pub(super) const EXCHANGE: &[&str] = &["currency", "usd", "from", "until", "source"];

/// Most entries of any list here; each is looked through for every new pair of deployment and model.
const MAX_LIST: usize = 10_000;

/// Prices as a configuration has them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PriceSettings {
    /// A price book in place of the built-in one.
    pub book: Option<PathBuf>,
    /// The terms beside it.
    pub contract: Contract,
}

/// Why the price book of a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The file cannot be read.
    #[error("cannot read {file}: {reason}")]
    Read {
        /// The file.
        file: String,
        /// What the system says.
        reason: String,
    },
    /// It is no price book.
    #[error("the price book is wrong\n{0}")]
    Wrong(#[from] Problems),
}

impl PriceSettings {
    /// The book and the terms together.
    ///
    /// # Errors
    /// A book that has gone or changed since the configuration was checked.
    pub fn open(&self) -> Result<PriceBook, BookError> {
        let book = match &self.book {
            None => PriceBook::built_in()?,
            Some(path) => open_book(path)?,
        };
        Ok(book.under(self.contract.clone()))
    }
}

/// Reads the price book in a file.
///
/// # Errors
/// The file cannot be read, or everything that is wrong with it.
pub fn open_book(path: &Path) -> Result<PriceBook, BookError> {
    let text = read_book(path)?;
    Ok(PriceBook::parse(&text, &path.display().to_string())?)
}

/// The text of the price book in a file.
///
/// # Errors
/// The file cannot be read or is too large.
pub fn read_book(path: &Path) -> Result<String, BookError> {
    read(path).map_err(|reason| BookError::Read { file: path.display().to_string(), reason })
}

/// Reads `[price]`.
pub(super) fn price(section: Option<Section<'_>>, walk: &mut Walk<'_>) -> PriceSettings {
    let Some(section) = section else { return PriceSettings::default() };
    let mut contract = Contract::default();
    if let Some(most) = section.fields().money("max_usd_per_call", &mut walk.findings) {
        contract.max_per_call = most;
        if most.0 == 0 {
            let mend = "write more than any call may cost; 1000 is the default";
            walk.findings.report(
                section.value_at("max_usd_per_call"),
                "no call may cost anything",
                mend,
            );
        }
    }
    contract.deployments = deployments(&section, walk);
    contract.discounts = discounts(&section, walk);
    contract.exchanges = exchanges(&section, walk);
    contract.own = own(&section, &contract.exchanges, walk);
    contract.bill_meters = meters(&section, walk);
    let book = section.path("book", walk);
    if let Some(path) = &book {
        check_book(path, (&section, &contract), walk);
    }
    PriceSettings { book, contract }
}

fn check_book(path: &Path, (section, contract): (&Section<'_>, &Contract), walk: &mut Walk<'_>) {
    let at = section.value_at("book");
    match open_book(path) {
        Err(BookError::Read { reason, .. }) => {
            let mend = "remove the line to use the built-in prices, or copy models/prices.toml";
            walk.findings.report(at, format!("`book`: {reason}"), mend);
        }
        Err(BookError::Wrong(Problems(problems))) => {
            let first = problems.first().map_or_else(String::new, |first| {
                format!(", first in line {}: {}", first.line, first.message)
            });
            let message = format!("`book` has {} problems{first}", problems.len());
            let mend = format!("`tokenwatch prices check {}` lists them all", path.display());
            walk.findings.report(at, message, mend);
        }
        Ok(book) => needs_rate(&book.currency, &contract.exchanges, at, walk),
    }
}

/// Prices in another currency are never taken for USD.
fn needs_rate(currency: &str, known: &[Arc<Exchange>], at: Range<usize>, walk: &mut Walk<'_>) {
    let fine = !is_currency(currency)
        || currency == "USD"
        || known.iter().any(|exchange| exchange.currency == currency);
    if !fine {
        let message = format!("prices in {currency}, and nobody says what it is worth");
        let mend = format!("add [[price.exchange]] with currency = \"{currency}\" and usd = \"…\"");
        walk.findings.report(at, message, mend);
    }
}

fn deployments(
    section: &Section<'_>,
    walk: &mut Walk<'_>,
) -> HashMap<(String, String), Vec<Arc<Deployed>>> {
    const EXAMPLE: &str = "\"ACCOUNT/DEPLOYMENT\" = { sku = \"GlobalStandard\" }";
    let mut deployments = HashMap::new();
    for (key, at, value) in members(section, "deployment", EXAMPLE, walk) {
        let lower = key.to_lowercase();
        let named = lower.rsplit_once('/').filter(|(a, d)| !a.is_empty() && !d.is_empty());
        let Some((account, deployment)) = named else {
            let message = format!("`{}` does not name a deployment", key.escape_debug());
            walk.findings.report(at, message, format!("write {EXAMPLE}"));
            continue;
        };
        let mut lives: Vec<Arc<Deployed>> = Vec::new();
        for (table, span) in one_or_more(value, EXAMPLE, walk) {
            let life = Section::open(table, span.clone(), "a deployment", DEPLOYMENT, walk);
            let life = deployed(&life, walk);
            if lives.iter().any(|other| other.valid.overlaps(life.valid)) {
                let mend = "give each its `from` and `until`";
                walk.findings.report(span, "two of these hold at the same time", mend);
            }
            lives.push(Arc::new(life));
        }
        let key = (account.to_owned(), deployment.to_owned());
        if deployments.insert(key, lives).is_some() {
            let mend = "write the deployment once; capitals do not tell names apart";
            walk.findings.report(at, format!("`{}` again", key_text(&lower)), mend);
        }
    }
    deployments
}

fn key_text(key: &str) -> String {
    key.escape_debug().to_string()
}

/// How one deployment was bought.
fn deployed(section: &Section<'_>, walk: &mut Walk<'_>) -> Deployed {
    let fields = section.fields();
    let findings = &mut walk.findings;
    let named = fields.word("sku", &AZURE_SKUS, findings);
    let scope = fields.word("scope", &SCOPES, findings);
    let tier = fields.word("tier", &TIERS, findings);
    if fields.has("sku") && (fields.has("scope") || fields.has("tier")) {
        let mend = "write either sku = \"DataZoneStandard\", or scope and tier";
        findings.report(fields.at("sku"), "`sku` says scope and tier already", mend);
    }
    let units = fields.whole("ptu", findings);
    let per_unit_hour = fields.money("usd_per_ptu_hour", findings);
    let bought = named.unwrap_or(Sku { scope, tier, provisioned: false });
    if units.is_some() && (tier.is_some() || named.is_some_and(|named| !named.provisioned)) {
        let mend = "remove `ptu`, or what says that tokens are paid one by one";
        findings.report(fields.at("ptu"), "`ptu` is capacity paid by the hour", mend);
    }
    if fields.has("usd_per_ptu_hour") && !fields.has("ptu") {
        let mend = "add ptu = 100, as many as were bought";
        findings.report(fields.at("usd_per_ptu_hour"), "a price of units, and no units", mend);
    }
    if !["sku", "scope", "tier", "model", "ptu"].iter().any(|key| fields.has(key)) {
        let mend = "add sku = \"GlobalStandard\", or remove the line";
        findings.report(fields.span(), "says nothing about the deployment", mend);
    }
    Deployed {
        sku: Sku { provisioned: units.is_some() || bought.provisioned, ..bought },
        model: fields.text("model", findings).map(|model| model.to_lowercase()),
        throughput: units
            .zip(per_unit_hour)
            .map(|(units, per_unit_hour)| Throughput { units, per_unit_hour }),
        valid: fields.valid(findings),
    }
}

fn discounts(section: &Section<'_>, walk: &mut Walk<'_>) -> Vec<Arc<Discount>> {
    let words = Meter::ALL.map(|meter| (meter.word(), meter));
    let mut discounts: Vec<Arc<Discount>> = Vec::new();
    for section in list(section, "discount", ("[[price.discount]]", DISCOUNT), walk) {
        section.require("percent", "12.5", walk);
        let fields = section.fields();
        let findings = &mut walk.findings;
        let lower = |text: Option<String>| text.map(|text| text.to_lowercase());
        let discount = Discount {
            percent: fields.percent("percent", findings).unwrap_or_default(),
            account: lower(fields.text("account", findings)),
            model: lower(fields.text("model", findings)),
            meter: fields.word("meter", &words, findings),
            valid: fields.valid(findings),
            source: fields.needed("source", "contract of 2026-10-01", findings),
            line: findings.line(fields.span().start),
        };
        if let Some(other) = discounts.iter().find(|other| other.collides(&discount)) {
            let message = format!("this and line {} may both hold for one amount", other.line);
            let mend = "discounts do not add up: name account, model and meter in one of them, so \
                        that it is the narrower";
            findings.report(fields.span(), message, mend);
        }
        discounts.push(Arc::new(discount));
    }
    discounts
}

fn exchanges(section: &Section<'_>, walk: &mut Walk<'_>) -> Vec<Arc<Exchange>> {
    let mut exchanges: Vec<Arc<Exchange>> = Vec::new();
    for section in list(section, "exchange", ("[[price.exchange]]", EXCHANGE), walk) {
        section.require("usd", "\"1.08\"", walk);
        let fields = section.fields();
        let findings = &mut walk.findings;
        let exchange = Exchange {
            currency: book::currency(&fields, findings),
            rate: fields.rate("usd", findings).unwrap_or(crate::price::amount::Rate::ONE),
            valid: fields.valid(findings),
            source: fields.needed("source", "ECB reference rate", findings),
        };
        if exchange.currency == "USD" {
            let mend = "name the currency that prices or the bill are in";
            findings.report(fields.at("currency"), "a dollar is worth a dollar", mend);
        }
        let same = |other: &&Arc<Exchange>| {
            other.currency == exchange.currency && other.valid.overlaps(exchange.valid)
        };
        if exchanges.iter().any(|other| same(&other)) {
            let mend = "give each its `from` and `until`";
            findings.report(fields.span(), "two rates of one currency at the same time", mend);
        }
        exchanges.push(Arc::new(exchange));
    }
    exchanges
}

fn own(section: &Section<'_>, known: &[Arc<Exchange>], walk: &mut Walk<'_>) -> Vec<Own> {
    let keys: Vec<&str> = ROW_KEYS.iter().copied().chain(["account", "currency"]).collect();
    let mut prices: Vec<Own> = Vec::new();
    for section in list(section, "own", ("[[price.own]]", &keys), walk) {
        let fields = section.fields();
        let currency = book::currency(&fields, &mut walk.findings);
        needs_rate(&currency, known, fields.at("currency"), walk);
        let line = walk.findings.line(fields.span().start);
        let entry = book::entry(&fields, &currency, line, &mut walk.findings);
        let account = fields.text("account", &mut walk.findings);
        let own = Own { entry: Arc::new(entry), account: account.map(|name| name.to_lowercase()) };
        let same = |other: &&Own| {
            other.account == own.account
                && other.entry.place() == own.entry.place()
                && other.entry.valid.overlaps(own.entry.valid)
        };
        if let Some(other) = prices.iter().find(same) {
            let message = format!("line {} prices the same at the same time", other.entry.line);
            let mend = "remove one of them, or give both their `from` and `until`";
            walk.findings.report(fields.span(), message, mend);
        }
        prices.push(own);
    }
    prices
}

fn meters(section: &Section<'_>, walk: &mut Walk<'_>) -> HashMap<String, Meter> {
    const EXAMPLE: &str = "\"METER ID OF THE BILL\" = \"input\"";
    let mut meters = HashMap::new();
    for (key, _, value) in members(section, "meter", EXAMPLE, walk) {
        match value.get_ref().as_str().and_then(Meter::from_word) {
            Some(meter) => {
                meters.insert(key.to_lowercase(), meter);
            }
            None => {
                let words = Meter::ALL.map(Meter::word).join(", ");
                walk.findings.report(value.span(), "is no meter", format!("write one of {words}"));
            }
        }
    }
    meters
}

type Member<'t> = (&'t str, Range<usize>, &'t Spanned<DeValue<'t>>);

/// Members of a table whose keys are names of the user's.
fn members<'t>(
    section: &Section<'t>,
    key: &str,
    example: &str,
    walk: &mut Walk<'_>,
) -> Vec<Member<'t>> {
    let Some(value) = section.value(key) else { return Vec::new() };
    let Some(table) = value.get_ref().as_table().filter(|table| table.len() <= MAX_LIST) else {
        let message = format!("`{key}` is no table of at most {MAX_LIST} lines");
        walk.findings.report(value.span(), message, format!("write [price.{key}] and {example}"));
        return Vec::new();
    };
    let members = table.iter().map(|(key, value)| (key.get_ref().as_ref(), key.span(), value));
    members.collect()
}

/// A table, or a list of them.
fn one_or_more<'t>(
    value: &'t Spanned<DeValue<'t>>,
    example: &str,
    walk: &mut Walk<'_>,
) -> Vec<(&'t DeTable<'t>, Range<usize>)> {
    if let Some(table) = value.get_ref().as_table() {
        return vec![(table, value.span())];
    }
    let list = value.get_ref().as_array().map(|list| list.iter()).into_iter().flatten();
    let tables: Vec<_> =
        list.filter_map(|item| Some((item.get_ref().as_table()?, item.span()))).collect();
    let whole = value.get_ref().as_array().is_some_and(|list| list.len() == tables.len());
    if !whole || tables.is_empty() {
        let message = "is neither a table nor a list of tables";
        walk.findings.report(value.span(), message, format!("write {example}"));
    }
    tables
}

fn list<'t>(
    section: &Section<'t>,
    key: &str,
    kind: (&'static str, &[&str]),
    walk: &mut Walk<'_>,
) -> Vec<Section<'t>> {
    let mut sections = tables(section, key, kind, walk);
    if sections.len() > MAX_LIST {
        let message = format!("more than {MAX_LIST} tables {}", kind.0);
        walk.findings.report(section.value_at(key), message, "put prices into a book of your own");
        sections.truncate(MAX_LIST);
    }
    sections
}
