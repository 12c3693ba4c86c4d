//! Which rows of the book hold for a model as one deployment was bought.

use std::fmt;
use std::sync::Arc;

use super::amount::Rate;
use super::book::{Entry, PriceBook};
use super::contract::{Contract, Deployed, Discount, ModelName, short};
use super::meter::Meter;
use super::sku::{Scope, Sku, Tier};
use super::span::Span;
use crate::time::EventTime;

/// Prices of one model for one deployment; cheap to copy.
#[derive(Debug, Clone)]
pub struct Rates(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// How the deployment was bought, by time; the last holds where no other does.
    lives: Vec<Life>,
    contract: Arc<Contract>,
}

/// One way of buying and its prices.
#[derive(Debug)]
struct Life {
    valid: Span,
    deployed: Option<Arc<Deployed>>,
    own: Vec<Group>,
    listed: Vec<Group>,
    /// What may hold, the narrowest first.
    discounts: Vec<Arc<Discount>>,
    /// Why nothing is listed, where nothing is.
    missing: Why,
}

/// Rows for one way of buying, told apart by time and length of prompt.
#[derive(Debug)]
struct Group {
    entries: Vec<Arc<Entry>>,
    doubt: Doubt,
    /// The data zones have different prices, and nobody says which zone.
    zones_differ: bool,
    /// Rows of the model for long prompts, however it is bought: from there on the price is another.
    long: Vec<Arc<Entry>>,
}

/// How sure it is that a price is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Doubt {
    /// The row holds for any version, and the record names one.
    pub any_version: bool,
    /// Nobody says how the deployment was bought; the scope of the row is assumed.
    pub scope_assumed: bool,
    /// The list does not say for which scope the row holds.
    pub scope_unstated: bool,
    /// Agreed, not listed.
    pub own: bool,
}

/// Why an amount is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// The records do not name the model.
    NoModel,
    /// The book does not know the model.
    Model,
    /// The book knows the model, but not this version, which is not just older or newer.
    Version,
    /// The book does not know the model at this scope and tier.
    Sku,
    /// The data zones differ, and nobody says which one.
    Zones,
    /// No price holds at that time.
    Time,
    /// No price holds for so long a prompt.
    Length,
    /// The row has no price for this meter.
    Meter,
    /// The tokens are of several kinds at different prices, and the logs do not say how many of each.
    Mixed,
    /// The price is in a currency without a rate.
    Currency,
    /// More than can be counted.
    TooMuch,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoModel => "the records do not name the model",
            Self::Model => "the price book does not know the model",
            Self::Version => "the price book does not know this version of the model",
            Self::Sku => "the price book does not know the model at this scope and tier",
            Self::Zones => "the data zones have different prices; say which zone",
            Self::Time => "no price in the book holds at that time",
            Self::Length => "no price in the book holds for so long a prompt",
            Self::Meter => "the price book has no price for these tokens",
            Self::Mixed => {
                "tokens of text, sound and images have different prices, and the logs do not say how \
                 many are which"
            }
            Self::Currency => "the price is in a currency without a rate",
            Self::TooMuch => "the amount is beyond what can be counted",
        })
    }
}

impl Why {
    /// What to do about it.
    #[must_use]
    pub const fn mend(self) -> &'static str {
        match self {
            Self::NoModel => "name the model of the deployment in [price]",
            Self::Zones => "write scope = \"data-zone-us\", \"data-zone-eu\" or \"data-zone-apac\"",
            Self::Sku => "look whether scope and tier are right, or add a price in [[price.own]]",
            Self::Currency => "add the rate in [[price.exchange]]",
            Self::Model | Self::Version => {
                "add a price in [[price.own]], or say in [price] which model the deployment is priced as"
            }
            Self::Time | Self::Length | Self::Meter | Self::Mixed | Self::TooMuch => {
                "add a price in [[price.own]]"
            }
        }
    }
}

/// A row that holds, and how it was found.
#[derive(Debug, Clone, Copy)]
pub struct Held<'a> {
    /// The row.
    pub entry: &'a Entry,
    /// How sure it is.
    pub doubt: Doubt,
}

impl PriceBook {
    /// Prices of `model` (a name such as `gpt-4o`, or `gpt-4o@2024-11-20` with its version) for a
    /// deployment of an account (its name or resource id). There is always an answer: what is not
    /// known is said to be unknown, call by call.
    #[must_use]
    pub fn rates(&self, account: &str, deployment: &str, model: &str) -> Rates {
        let lives = self.contract.lives(account, deployment);
        self.rates_of(account, lives, model)
    }

    /// The same for a deployment bought in the given ways.
    #[must_use]
    pub fn rates_of(&self, account: &str, bought: &[Arc<Deployed>], model: &str) -> Rates {
        let account = account.to_lowercase();
        let unsaid = [None];
        let ways = bought.iter().map(Some).chain(unsaid);
        let lives: Vec<Life> = ways.map(|way| self.life(&account, way, model)).collect();
        Rates(Arc::new(Inner { lives, contract: Arc::clone(&self.contract) }))
    }

    fn life(&self, account: &str, way: Option<&Arc<Deployed>>, model: &str) -> Life {
        let sku = way.map_or_else(Sku::default, |deployed| deployed.sku);
        let name = ModelName::new(way.and_then(|way| way.model.as_deref()).unwrap_or(model));
        let (listed, missing) = self.listed(&name, sku);
        let fits = |discount: &&Arc<Discount>| discount.concerns(account, &name);
        let mut discounts: Vec<_> = self.contract.discounts.iter().filter(fits).cloned().collect();
        discounts.sort_by_key(|discount| std::cmp::Reverse(discount.narrowness()));
        Life {
            valid: way.map_or(Span::ALWAYS, |way| way.valid),
            deployed: way.cloned(),
            own: self.own(account, &name, sku),
            listed,
            discounts,
            missing,
        }
    }

    /// Own prices for the model: for the account before those for any, exact before any version.
    fn own(&self, account: &str, name: &ModelName, sku: Sku) -> Vec<Group> {
        let tier = sku.tier.unwrap_or_default();
        let mut groups = Vec::new();
        for only in [true, false] {
            for (key, any_version) in [(&name.exact, false), (&name.family, true)] {
                let entries = self.contract.own.iter().filter(|own| {
                    let account_fits = match &own.account {
                        Some(named) => only && (named == account || named == short(account)),
                        None => !only,
                    };
                    let scope_fits = own.entry.scope == Scope::Unspecified
                        || sku
                            .scope
                            .is_none_or(|scope| scope.served_by().contains(&own.entry.scope));
                    account_fits && scope_fits && own.entry.tier == tier && own.entry.key() == *key
                });
                let entries: Vec<_> = entries.map(|own| Arc::clone(&own.entry)).collect();
                if !entries.is_empty() && !key.is_empty() {
                    let doubt = Doubt { any_version, own: true, ..Doubt::default() };
                    groups.push(Group {
                        entries,
                        doubt,
                        zones_differ: false,
                        long: self.long(key),
                    });
                }
            }
        }
        groups
    }

    /// Rows of the list, best first, or why there are none.
    fn listed(&self, name: &ModelName, sku: Sku) -> (Vec<Group>, Why) {
        if name.exact.is_empty() {
            return (Vec::new(), Why::NoModel);
        }
        let mut keys = vec![(name.exact.as_str(), false)];
        if !name.family.is_empty() && name.is_dated_only() {
            keys.push((name.family.as_str(), true));
        }
        let places: Vec<((&str, bool), Scope)> = match sku.scope {
            // The scope that was bought counts for more than the version: prices of versions differ
            // by scope alike.
            Some(bought) => {
                let scopes = bought.served_by().iter();
                scopes.flat_map(|scope| keys.iter().map(|key| (*key, *scope))).collect()
            }
            None => {
                let order = || self.scope_order.iter().copied();
                keys.iter().flat_map(|key| order().map(|scope| (*key, scope))).collect()
            }
        };
        let tier = sku.tier.unwrap_or_default();
        let groups = places.into_iter().filter_map(|((key, any_version), scope)| {
            let mut group = self.group(key, scope, tier)?;
            group.doubt = Doubt {
                any_version: any_version && !name.version.is_empty(),
                scope_assumed: sku.scope.is_none(),
                scope_unstated: matches!(scope, Scope::Unspecified | Scope::Partner),
                own: false,
            };
            Some(group)
        });
        let groups: Vec<Group> = groups.collect();
        let known = |key: &str| !key.is_empty() && !self.rows(key).is_empty();
        let missing = if keys.iter().any(|(key, _)| known(key)) {
            Why::Sku
        } else if known(&name.family) {
            Why::Version
        } else {
            Why::Model
        };
        (groups, missing)
    }

    /// Rows of a name for long prompts.
    fn long(&self, key: &str) -> Vec<Arc<Entry>> {
        self.rows(key).iter().filter(|entry| entry.above > 0).cloned().collect()
    }

    /// Rows of one name, scope and tier; of any zone where the zone is not said.
    fn group(&self, key: &str, scope: Scope, tier: Tier) -> Option<Group> {
        let rows = self.rows(key);
        let of = |scope: Scope| {
            let fits = move |entry: &&Arc<Entry>| entry.scope == scope && entry.tier == tier;
            rows.iter().filter(fits).cloned().collect::<Vec<_>>()
        };
        let mut entries = of(scope);
        let mut zones_differ = false;
        if scope == Scope::DataZone && entries.is_empty() {
            let zones = Scope::ZONES.map(of);
            let mut some = zones.into_iter().filter(|zone| !zone.is_empty());
            entries = some.next()?;
            zones_differ = some.any(|zone| !alike(&entries, &zone));
        }
        if entries.is_empty() {
            return None;
        }
        let long = self.long(key);
        Some(Group { entries, doubt: Doubt::default(), zones_differ, long })
    }
}

/// True when both lists of rows charge the same.
fn alike(a: &[Arc<Entry>], b: &[Arc<Entry>]) -> bool {
    let found = |entry: &Arc<Entry>| {
        b.iter().any(|other| {
            entry.above == other.above
                && entry.valid == other.valid
                && entry.priced().eq(other.priced())
        })
    };
    a.len() == b.len() && a.iter().all(found)
}

impl Rates {
    /// How the deployment was bought at a moment; `None` where nobody says.
    #[must_use]
    pub fn deployed(&self, at: EventTime) -> Option<&Deployed> {
        self.life(at)?.deployed.as_deref()
    }

    /// The row that prices a meter for a prompt of `input` tokens at a moment.
    ///
    /// # Errors
    /// Why there is none.
    pub fn held(&self, meter: Meter, input: u32, at: EventTime) -> Result<Held<'_>, Why> {
        let life = self.life(at).ok_or(Why::Model)?;
        for group in &life.own {
            if let Ok(entry) = group.at(input, at)
                && entry.price(meter).is_some()
            {
                return Ok(Held { entry, doubt: group.doubt });
            }
        }
        let mut why = life.missing;
        for group in &life.listed {
            match group.at(input, at) {
                // Another scope or version may have a price for that time.
                Err(Why::Time) => why = Why::Time,
                Err(other) => return Err(other),
                Ok(entry) => {
                    return checked(entry, meter).map(|()| Held { entry, doubt: group.doubt });
                }
            }
        }
        Err(why)
    }

    /// The discount on a meter at a moment.
    #[must_use]
    pub fn discount(&self, meter: Meter, at: EventTime) -> Option<&Discount> {
        let fits = |discount: &&Arc<Discount>| {
            discount.valid.holds(at) && discount.meter.is_none_or(|only| only == meter)
        };
        self.life(at)?.discounts.iter().find(fits).map(AsRef::as_ref)
    }

    /// The rate of a currency at a moment.
    #[must_use]
    pub fn exchange(&self, currency: &str, at: EventTime) -> Option<Rate> {
        self.0.contract.rate(currency, at)
    }

    /// No call is believed to cost more.
    #[must_use]
    pub fn max_per_call(&self) -> crate::money::NanoUsd {
        self.0.contract.max_per_call
    }

    fn life(&self, at: EventTime) -> Option<&Life> {
        self.0.lives.iter().find(|life| life.valid.holds(at))
    }
}

impl Group {
    /// The row for a prompt of `input` tokens at a moment.
    fn at(&self, input: u32, at: EventTime) -> Result<&Entry, Why> {
        let held = || self.entries.iter().filter(|entry| entry.valid.holds(at));
        if held().next().is_none() {
            return Err(Why::Time);
        }
        if self.zones_differ {
            return Err(Why::Zones);
        }
        let fits = held().filter(|entry| entry.above == 0 || input > entry.above);
        let found = fits.max_by_key(|entry| entry.above).ok_or(Why::Length)?;
        let has_bands = || held().any(|entry| entry.above > 0);
        let is_long = |other: &Arc<Entry>| input > other.above && other.valid.holds(at);
        if found.above == 0 && self.long.iter().any(is_long) && !has_bands() {
            return Err(Why::Length);
        }
        Ok(found)
    }
}

/// Says why a row cannot price a meter.
fn checked(entry: &Entry, meter: Meter) -> Result<(), Why> {
    let told = if meter == Meter::Cached { Meter::Input } else { meter };
    let hidden = meter.hidden().iter().filter_map(|hidden| entry.price(*hidden));
    if hidden.into_iter().any(|price| Some(price) != entry.price(told)) {
        return Err(Why::Mixed);
    }
    if entry.price(meter).is_none() { Err(Why::Meter) } else { Ok(()) }
}
