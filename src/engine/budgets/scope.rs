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
        let subscription = || {
            subscription_of(resource).is_some_and(|id| self.subscriptions.iter().any(|s| s == id))
        };
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
        let said: Vec<_> =
            said.map(|(what, names)| format!("{what} {}", names.join(" or "))).collect();
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::engine::budgets::standing::hours_of;

    fn budget(step: Step, zone: &str) -> Budget {
        Budget {
            name: "b".to_owned(),
            amount: 500_000_000_000,
            currency: "USD".to_owned(),
            step,
            zone: Zone::named(zone).unwrap(),
            thresholds: vec![100],
            forecast: None,
            page: true,
            scope: Scope::default(),
        }
    }

    /// Zones whole and half hours from UTC, with clocks that change in either hemisphere.
    const ZONES: [&str; 7] = [
        "UTC",
        "Europe/Berlin",
        "America/New_York",
        "Asia/Kathmandu",
        "Australia/Lord_Howe",
        "America/St_Johns",
        "Pacific/Apia",
    ];

    proptest! {
        #[test]
        fn every_hour_counts_to_one_period_and_periods_tile(
            zone in prop::sample::select(&ZONES[..]),
            step in prop::sample::select(&[Step::Day, Step::Week, Step::Month][..]),
            // 2000 to 2037.
            hour in 262_968_i64..596_000,
        ) {
            let budget = budget(step, zone);
            let period = budget.period(hour).unwrap();
            let (from, until) = hours_of(&period);
            prop_assert!((from..until).contains(&hour), "{period:?}");
            prop_assert!(!period.is_cut);
            for inside in [from, until - 1] {
                prop_assert_eq!(&budget.period(inside).unwrap(), &period);
            }
            prop_assert_eq!(hours_of(&budget.period(until).unwrap()).0, until);
            prop_assert_eq!(hours_of(&budget.period(from - 1).unwrap()).1, from);
        }
    }

    #[test]
    fn periods_are_as_long_as_their_clocks_make_them() {
        let hours = |step, zone, at: &str| {
            let at: jiff::Timestamp = at.parse().unwrap();
            let period = budget(step, zone).period(at.as_second().div_euclid(3600)).unwrap();
            (period.hours(), period.name)
        };
        let check = |step, zone, at, expected: (i64, &str)| {
            let (length, name) = hours(step, zone, at);
            assert_eq!((length, name.as_str()), expected);
        };
        check(Step::Month, "Europe/Berlin", "2026-10-15T00:00Z", (31 * 24 + 1, "2026-10"));
        check(Step::Month, "Europe/Berlin", "2026-03-15T00:00Z", (31 * 24 - 1, "2026-03"));
        check(Step::Week, "America/New_York", "2026-11-01T12:00Z", (169, "2026-W44"));
        check(Step::Day, "Europe/Berlin", "2026-03-29T12:00Z", (23, "2026-03-29"));
        // Berlin's October begins two hours before that of UTC.
        check(Step::Month, "Europe/Berlin", "2026-09-30T22:30Z", (31 * 24 + 1, "2026-10"));
        check(Step::Month, "UTC", "2026-09-30T22:30Z", (30 * 24, "2026-09"));
    }

    #[test]
    fn money_is_compared_exactly_and_shown_in_its_currency() {
        let rate = Rate::parse("1.08").unwrap();
        let budget = budget(Step::Month, "UTC");
        let amount = rate.exchange(i128::from(budget.amount)).unwrap();
        let purse = Purse { currency: "EUR".to_owned(), rate, amount };
        assert_eq!(purse.amount, NanoUsd(540_000_000_000));
        assert_eq!(purse.text(purse.amount), "500.00 EUR");
        assert_eq!(purse.text(NanoUsd(-1_080_000_000_000)), "-1,000.00 EUR");
        assert_eq!(purse.percent(NanoUsd(432_000_000_000)), "80 %");
        assert!(purse.reaches(NanoUsd(432_000_000_000), 80));
        assert!(!purse.reaches(NanoUsd(431_999_999_999), 80));
        let nothing = Purse { amount: NanoUsd(0), ..purse };
        assert!(nothing.reaches(NanoUsd(1), 100) && !nothing.reaches(NanoUsd(0), 100));
        assert_eq!(nothing.percent(NanoUsd(1)), "-");
    }

    #[test]
    fn all_conditions_must_hold() {
        let resource = "/subscriptions/s-1/resourcegroups/rg/providers/x/accounts/aif";
        let owned =
            |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let holds = |scope: &Scope| scope.holds(resource, "chat", &Owners::default());
        let everything = Scope::default();
        assert!(
            holds(&everything)
                && holds(&Scope { accounts: owned(&["x", "aif"]), ..Scope::default() })
        );
        let both =
            Scope { subscriptions: owned(&["s-1"]), accounts: owned(&["x"]), ..Scope::default() };
        assert!(!holds(&both));
        let deployments = |account: Option<&str>| Scope {
            deployments: vec![(account.map(str::to_owned), "chat".to_owned())],
            ..Scope::default()
        };
        assert!(holds(&deployments(None)) && holds(&deployments(Some("aif"))));
        assert!(!holds(&deployments(Some("other"))));
        assert!(!holds(&Scope { owners: owned(&["nobody"]), ..Scope::default() }));
        let models = Scope { models: owned(&["gpt-4o"]), ..Scope::default() };
        assert!(models.holds_model("gpt-4o@2024-11-20") && !models.holds_model("gpt-4o-mini"));
    }
}
