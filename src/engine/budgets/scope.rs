//! What a budget is: an amount for each period, and whose spending counts to it.

use ipnet::IpNet;

use crate::days::{DaysError, Period, Step, Zone};
use crate::known::owner::{Owners, is_account, subscription_of};
use crate::known::{Known, net};
use crate::money::{Grouped, NanoUsd};
use crate::price::amount::Rate;
use crate::price::contract::{Contract, ModelName};
use crate::time::{EventTime, HOUR_MS};

/// What may be spent in each period, and on what.
#[derive(Debug, Clone, PartialEq)]
pub struct Budget {
    /// What it is called; unique.
    pub name: String,
    /// How much, in 10⁻⁹ of `currency`; never negative.
    pub amount: i64,
    /// ISO 4217.
    pub currency: String,
    /// How long a period is: a day, a week or a month.
    pub step: Step,
    /// Whose days these are.
    pub zone: Zone,
    /// Whole percents of the amount that are told of when they have been spent, ascending.
    pub thresholds: Vec<u32>,
    /// Percent of the amount that is told of when it will be spent; `None` for never.
    pub forecast: Option<u32>,
    /// False when no finding may be more severe than medium, which wakes nobody.
    pub page: bool,
    /// What counts to it.
    pub scope: Scope,
}

/// Whose spending counts: everything of each list that is not empty must hold, by any of its entries.
/// All names are in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scope {
    /// Subscriptions by id.
    pub subscriptions: Vec<String>,
    /// Accounts by name or resource id.
    pub accounts: Vec<String>,
    /// Deployments, each with its account (name or resource id) where one was said.
    pub deployments: Vec<(Option<String>, String)>,
    /// Models by name, with or without their version.
    pub models: Vec<String>,
    /// Owners by name.
    pub owners: Vec<String>,
    /// Callers; not together with models, because sums of callers are not kept by model.
    pub callers: Vec<CallerIs>,
}

/// Which caller is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CallerIs {
    /// Any within this network.
    Network(IpNet),
    /// The one with this Entra object id, lower case.
    Identity(String),
    /// A name that nobody has been found to have: no caller.
    Named(String),
}

/// Bits of a caller's network, IPv4 and IPv6: Azure masks the rest.
pub const CALLER_BITS: (u8, u8) = (24, 48);

/// True when whole callers can lie within it.
#[must_use]
pub const fn is_caller(network: &IpNet) -> bool {
    match network {
        IpNet::V4(network) => network.prefix_len() <= CALLER_BITS.0,
        IpNet::V6(network) => network.prefix_len() <= CALLER_BITS.1,
    }
}

/// By what a scope tells spending apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Grain {
    /// Whole deployments, so that their own profiles say what is to come.
    Deployment,
    /// Models of deployments.
    Model,
    /// Callers of deployments.
    Caller,
}

impl Scope {
    /// By what it tells spending apart.
    #[must_use]
    pub const fn grain(&self) -> Grain {
        match (self.callers.is_empty(), self.models.is_empty()) {
            (false, _) => Grain::Caller,
            (true, false) => Grain::Model,
            (true, true) => Grain::Deployment,
        }
    }

    /// True when a deployment of the account with this resource id counts, as far as its place says.
    #[must_use]
    pub fn holds(&self, resource: &str, deployment: &str, owners: &Owners) -> bool {
        let subscription =
            || subscription_of(resource).is_some_and(|id| self.subscriptions.iter().any(|s| s == id));
        let account = || self.accounts.iter().any(|name| is_account(resource, name));
        let named = |(account, name): &(Option<String>, String)| {
            name == deployment && account.as_ref().is_none_or(|name| is_account(resource, name))
        };
        let owner = || {
            let owner = owners.of(resource, deployment);
            owner.is_some_and(|owner| self.owners.contains(&owner.name))
        };
        (self.subscriptions.is_empty() || subscription())
            && (self.accounts.is_empty() || account())
            && (self.deployments.is_empty() || self.deployments.iter().any(named))
            && (self.owners.is_empty() || owner())
    }

    /// True when a model, as a record names it, counts.
    #[must_use]
    pub fn holds_model(&self, model: &str) -> bool {
        let model = ModelName::new(model);
        self.models.iter().any(|name| model.is(name))
    }

    /// True when a caller counts, by its network (such as `203.0.113.0/24`) and its object id.
    #[must_use]
    pub fn holds_caller(&self, network: &str, identity: &str) -> bool {
        let net = net::parse(network).ok();
        self.callers.iter().any(|caller| match caller {
            CallerIs::Network(wanted) => net.is_some_and(|net| wanted.contains(&net)),
            CallerIs::Identity(wanted) => wanted == identity,
            CallerIs::Named(_) => false,
        })
    }

    /// Puts the networks and identities that have a name in the place of the name. Callers are told as
    /// networks of /24 and /48, so that longer ones name nobody.
    pub fn resolve(&mut self, known: &Known) {
        let found = |caller: CallerIs| {
            let CallerIs::Named(name) = &caller else { return vec![caller] };
            let networks = known.networks_named(name).into_iter().filter(is_caller);
            let identities = known.identities_named(name).into_iter().map(CallerIs::Identity);
            let found: Vec<_> = networks.map(CallerIs::Network).chain(identities).collect();
            if found.is_empty() { vec![caller] } else { found }
        };
        self.callers = std::mem::take(&mut self.callers).into_iter().flat_map(found).collect();
    }

    /// For people: `account aif-prod, model gpt-4o`.
    #[must_use]
    pub fn text(&self) -> String {
        let deployment = |(account, name): &(Option<String>, String)| match account {
            Some(account) => format!("{account}/{name}"),
            None => name.clone(),
        };
        let caller = |caller: &CallerIs| match caller {
            CallerIs::Network(network) => network.to_string(),
            CallerIs::Identity(name) | CallerIs::Named(name) => name.clone(),
        };
        let parts = [
            ("subscription", self.subscriptions.clone()),
            ("account", self.accounts.clone()),
            ("deployment", self.deployments.iter().map(deployment).collect()),
            ("model", self.models.clone()),
            ("owner", self.owners.clone()),
            ("caller", self.callers.iter().map(caller).collect()),
        ];
        let said = parts.iter().filter(|(_, names)| !names.is_empty());
        let said: Vec<_> = said.map(|(what, names)| format!("{what} {}", names.join(" or "))).collect();
        if said.is_empty() { "everything".to_owned() } else { said.join(", ") }
    }
}

impl Budget {
    /// The period that an hour (hours since 1970) counts to.
    ///
    /// # Errors
    /// A moment beyond the calendar.
    pub fn period(&self, hour: i64) -> Result<Period, DaysError> {
        let day = self.zone.day_of(EventTime(hour.saturating_mul(HOUR_MS)))?;
        let begin = self.step.begin(day)?;
        let periods = self.zone.periods(self.step, begin, self.step.after(begin)?)?;
        periods.into_iter().next().ok_or(DaysError::OutOfRange)
    }

    /// What the budget's money is in for the whole of a period: one rate, that of its beginning, so
    /// that shares and sums agree. `None` where no rate is known for that moment.
    #[must_use]
    pub fn purse(&self, period: &Period, contract: &Contract) -> Option<Purse> {
        let rate = contract.rate(&self.currency, period.from.start())?;
        let amount = rate.exchange(i128::from(self.amount))?;
        Some(Purse { currency: self.currency.clone(), rate, amount })
    }
}

/// Money of one budget and period.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Purse {
    /// ISO 4217.
    pub currency: String,
    /// USD for one unit of it.
    pub rate: Rate,
    /// What may be spent.
    pub amount: NanoUsd,
}

impl Purse {
    /// An amount in the currency: `$412.20`, `412.20 EUR`; below a hundredth four digits.
    #[must_use]
    pub fn text(&self, amount: NanoUsd) -> String {
        if self.currency == "USD" {
            return amount.to_string();
        }
        let nano = i64::try_from(self.rate.of_usd(amount)).unwrap_or(i64::MAX);
        let text = NanoUsd(nano).to_string().replace('$', "");
        format!("{text} {}", self.currency)
    }

    /// An amount in 10⁻⁹ of the currency.
    #[must_use]
    pub fn nano(&self, amount: NanoUsd) -> i128 {
        self.rate.of_usd(amount)
    }

    /// The percentage of the amount that this is, such as `82 %`; `-` of a budget of nothing.
    #[must_use]
    pub fn percent(&self, part: NanoUsd) -> String {
        match i128::from(self.amount.0) {
            0 => "-".to_owned(),
            whole => {
                let percent = (i128::from(part.0) * 100).div_euclid(whole);
                format!("{} %", Grouped(i64::try_from(percent).unwrap_or(i64::MAX)))
            }
        }
    }

    /// True when at least `percent` of the amount, and anything at all, is in `part`.
    #[must_use]
    pub fn reaches(&self, part: NanoUsd, percent: u32) -> bool {
        part.0 > 0 && i128::from(part.0) * 100 >= i128::from(self.amount.0) * i128::from(percent)
    }
}
