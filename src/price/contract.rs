//! What was agreed beside the list: how deployments were bought, discounts, own prices, exchange.

use std::collections::HashMap;
use std::sync::Arc;

use super::amount::{Percent, Rate, half_even};
use super::book::{Entry, key_of};
use super::meter::Meter;
use super::sku::Sku;
use super::span::Span;
use crate::money::NanoUsd;
use crate::time::{EventTime, HOUR_MS};

/// The terms under which a list of prices is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contract {
    /// By account and deployment in lower case, in the order of the configuration; the spans of one
    /// deployment do not overlap.
    pub deployments: HashMap<(String, String), Vec<Arc<Deployed>>>,
    /// Agreed discounts.
    pub discounts: Vec<Arc<Discount>>,
    /// Prices that stand before those of the book.
    pub own: Vec<Own>,
    /// Rates of exchange; the spans of one currency do not overlap.
    pub exchanges: Vec<Arc<Exchange>>,
    /// Meters of the bill by their id in lower case, where their name does not say what they count.
    pub bill_meters: HashMap<String, Meter>,
    /// No call is believed to cost more.
    pub max_per_call: NanoUsd,
}

/// The dearest call the built-in list allows, a prompt of two million tokens at 150 USD per million,
/// costs 300 USD; a forged record must not cost more than a few of these.
pub const MAX_PER_CALL: NanoUsd = NanoUsd(1000 * crate::money::NANO_PER_USD);

impl Default for Contract {
    fn default() -> Self {
        Self {
            deployments: HashMap::new(),
            discounts: Vec::new(),
            own: Vec::new(),
            exchanges: Vec::new(),
            bill_meters: HashMap::new(),
            max_per_call: MAX_PER_CALL,
        }
    }
}

/// How a deployment was bought, for a span of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Deployed {
    /// What it was bought as.
    pub sku: Sku,
    /// The model to look its price up by, where the records do not name one the book knows.
    pub model: Option<String>,
    /// Capacity paid by the hour, where it is known.
    pub throughput: Option<Throughput>,
    /// When this holds.
    pub valid: Span,
}

/// Capacity paid by the hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Throughput {
    /// Provisioned throughput units.
    pub units: u32,
    /// What one of them costs an hour.
    pub per_unit_hour: NanoUsd,
}

/// A share off the price.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discount {
    /// How much.
    pub percent: Percent,
    /// Only this account, lower case.
    pub account: Option<String>,
    /// Only this model, lower case, with or without its version.
    pub model: Option<String>,
    /// Only this meter.
    pub meter: Option<Meter>,
    /// When it holds.
    pub valid: Span,
    /// Who agreed to it.
    pub source: String,
    /// Line of its file.
    pub line: usize,
}

/// A price of one's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Own {
    /// What it prices.
    pub entry: Arc<Entry>,
    /// Only for this account, lower case.
    pub account: Option<String>,
}

/// What a currency is worth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exchange {
    /// Which currency.
    pub currency: String,
    /// USD for one unit of it.
    pub rate: Rate,
    /// When it holds.
    pub valid: Span,
    /// Who says so.
    pub source: String,
}

impl Contract {
    /// The lives of a deployment; the account may be a name or a whole resource id.
    #[must_use]
    pub fn lives(&self, account: &str, deployment: &str) -> &[Arc<Deployed>] {
        let account = account.to_lowercase();
        let named = |account: &str| {
            let key = (account.to_owned(), deployment.to_lowercase());
            self.deployments.get(&key).map(Vec::as_slice)
        };
        named(&account).or_else(|| named(short(&account))).unwrap_or(&[])
    }

    /// The rate of a currency at a moment; USD needs none.
    #[must_use]
    pub fn rate(&self, currency: &str, at: EventTime) -> Option<Rate> {
        if currency == "USD" {
            return Some(Rate::ONE);
        }
        let held =
            |exchange: &&Arc<Exchange>| exchange.currency == currency && exchange.valid.holds(at);
        self.exchanges.iter().find(held).map(|exchange| exchange.rate)
    }

    /// What the provisioned capacity of an account costs in a span of time, deployments summed up;
    /// `None` where the price of some of it is not known.
    #[must_use]
    pub fn provisioned(&self, account: &str, span: Span) -> Option<NanoUsd> {
        let account = account.to_lowercase();
        let ours = self
            .deployments
            .iter()
            .filter(|((name, _), _)| *name == account || name == short(&account));
        let lives = ours.flat_map(|(_, lives)| lives).filter(|life| life.sku.provisioned);
        lives.filter(|life| life.valid.overlaps(span)).try_fold(NanoUsd(0), |sum, life| {
            let held = Span {
                from: life.valid.from.max(span.from),
                until: life.valid.until.min(span.until),
            };
            Some(sum.plus(life.throughput?.cost(held)?))
        })
    }
}

impl Throughput {
    /// What the capacity costs while it is held, by the millisecond, half to even; `None` beyond the
    /// range.
    #[must_use]
    pub fn cost(self, held: Span) -> Option<NanoUsd> {
        let ms = i128::from(held.until.0) - i128::from(held.from.0);
        let hour = i128::from(self.units) * i128::from(self.per_unit_hour.0);
        let exact = hour.checked_mul(ms.max(0))?;
        i64::try_from(half_even(exact, i128::from(HOUR_MS))).ok().map(NanoUsd)
    }
}

impl Discount {
    /// True when it is about this account and model.
    #[must_use]
    pub fn concerns(&self, account: &str, model: &ModelName) -> bool {
        let account_fits =
            self.account.as_ref().is_none_or(|only| only == account || only == short(account));
        account_fits && self.model.as_ref().is_none_or(|only| model.is(only))
    }

    /// How narrowly it is meant: of two that fit, the narrower holds.
    #[must_use]
    pub fn narrowness(&self) -> usize {
        usize::from(self.account.is_some())
            + usize::from(self.model.is_some())
            + usize::from(self.meter.is_some())
    }

    /// True when both could hold for one amount and neither is narrower.
    #[must_use]
    pub fn collides(&self, other: &Self) -> bool {
        let meet = |a: &Option<String>, b: &Option<String>| match (a, b) {
            (Some(a), Some(b)) => a == b,
            (None, _) | (_, None) => true,
        };
        let meters = self.meter.is_none() || other.meter.is_none() || self.meter == other.meter;
        self.narrowness() == other.narrowness()
            && self.valid.overlaps(other.valid)
            && meters
            && meet(&self.account, &other.account)
            && meet(&self.model, &other.model)
    }
}

/// The name of a model as a record has it, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelName {
    /// Name and version together, lower case.
    pub exact: String,
    /// The name without its version, lower case; empty when it is the same.
    pub family: String,
    /// The version, empty when the record names none.
    pub version: String,
}

impl ModelName {
    /// Takes `name@version` or `name` apart.
    #[must_use]
    pub fn new(text: &str) -> Self {
        let lower = text.trim().to_lowercase();
        let (name, version) = lower.split_once('@').unwrap_or((&lower, ""));
        let family = match version {
            "" => without_date(name).unwrap_or_default(),
            _ => name,
        };
        Self {
            exact: key_of(name, version),
            family: family.to_owned(),
            version: version.to_owned(),
        }
    }

    /// True when `name` (lower case) is this model, or its family.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        name == self.exact || (!self.family.is_empty() && name == self.family)
    }

    /// True when the version says no more than how old it is, so that the price of the family may be
    /// taken for it; `turbo-2024-04-09` is another product.
    #[must_use]
    pub fn is_dated_only(&self) -> bool {
        !self.version.contains(char::is_alphabetic)
    }
}

/// `gpt-4o-2024-11-20` without its date.
fn without_date(name: &str) -> Option<&str> {
    let (head, date) = name.split_at_checked(name.len().checked_sub(11)?)?;
    let is_date = date.bytes().enumerate().all(|(place, byte)| match place {
        0 | 5 | 8 => byte == b'-',
        _ => byte.is_ascii_digit(),
    });
    is_date.then_some(head)
}

/// An account's own name: the last part of its resource id.
pub(super) fn short(account: &str) -> &str {
    account.rsplit('/').find(|part| !part.is_empty()).unwrap_or(account)
}
