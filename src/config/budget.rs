//! `[[budget]]`: how much may be spent in each period, and on what.

use toml::de::DeValue;

use super::section::{Section, Walk};
use super::{Seen, hub, owner, tables};
use crate::days::{Step, Zone};
use crate::engine::budgets::scope::{CALLER_BITS, is_caller};
use crate::engine::budgets::{Budget, CallerIs, MAX_BUDGETS, Scope};
use crate::known::owner::Owners;
use crate::known::{Known, net};
use crate::price::amount::decimal;
use crate::price::book::is_currency;
use crate::price::contract::Contract;

pub(super) const KEYS: &[&str] = &[
    "name",
    "amount",
    "currency",
    "period",
    "timezone",
    "thresholds",
    "forecast",
    "page",
    "subscriptions",
    "accounts",
    "deployments",
    "models",
    "owners",
    "callers",
];

const PERIODS: &[(&str, Step)] =
    &[("day", Step::Day), ("week", Step::Week), ("month", Step::Month)];
/// Percents that are told of where nobody says, as Azure's own budgets suggest.
const THRESHOLDS: [u32; 3] = [50, 80, 100];
/// Most thresholds of one budget: each is a message.
const MAX_THRESHOLDS: usize = 10;
/// Largest percentage.
const MAX_PERCENT: i64 = 1_000;
/// Decimals of an amount: nano-units of its currency.
const PLACES: usize = 9;

/// What budgets may refer to.
pub(super) struct Beside<'a> {
    pub(super) contract: &'a Contract,
    pub(super) owners: &'a Owners,
    /// Names of networks and identities; `None` where files are not read.
    pub(super) known: Option<&'a Known>,
    /// Days that callers are kept as they are; `None` for as long as their sums.
    pub(super) keep_days: Option<i64>,
}

/// Reads every budget.
pub(super) fn budgets(top: &Section<'_>, beside: &Beside<'_>, walk: &mut Walk<'_>) -> Vec<Budget> {
    let mut seen = Seen::default();
    let mut budgets = Vec::new();
    for section in tables(top, "budget", ("[[budget]]", KEYS), walk) {
        let budget = budget(&section, beside, walk);
        kept(&budget, &section, beside.keep_days, walk);
        seen.name(&budget.name, &section, walk);
        budgets.push(budget);
    }
    if budgets.len() > MAX_BUDGETS {
        let message = format!("more than {MAX_BUDGETS} budgets");
        walk.findings.report(top.value_at("budget"), message, "join some of them");
        budgets.truncate(MAX_BUDGETS);
    }
    budgets
}

fn budget(section: &Section<'_>, beside: &Beside<'_>, walk: &mut Walk<'_>) -> Budget {
    section.require("name", "\"payments\"", walk);
    section.require("amount", "500", walk);
    section.require("period", "\"month\"", walk);
    let percent = |key: &str, walk: &mut Walk<'_>| {
        section.whole(key, 0..=MAX_PERCENT, walk).and_then(|percent| u32::try_from(percent).ok())
    };
    Budget {
        name: hub::name(section, walk),
        amount: amount(section, walk),
        currency: currency(section, beside.contract, walk),
        step: section.choice("period", PERIODS, walk).unwrap_or(Step::Month),
        zone: zone(section, walk),
        thresholds: thresholds(section, walk),
        forecast: match section.has("forecast") {
            true => percent("forecast", walk).filter(|percent| *percent > 0),
            false => Some(100),
        },
        page: section.flag("page", walk).unwrap_or(true),
        scope: scope(section, beside, walk),
    }
}

/// An amount as it is written, never through a float.
fn amount(section: &Section<'_>, walk: &mut Walk<'_>) -> i64 {
    let Some(value) = section.value("amount") else { return 0 };
    let text = match value.get_ref() {
        DeValue::Integer(whole) if whole.radix() == 10 => whole.as_str(),
        DeValue::Float(float) => float.as_str(),
        DeValue::String(text) => text,
        DeValue::Integer(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_)
        | DeValue::Array(_)
        | DeValue::Table(_) => "",
    };
    let nano = decimal(&text.replace('_', ""), PLACES);
    if nano.is_none() {
        let message = "`amount` is no amount of money";
        let mend = "write digits such as 500 or 499.99, up to 9 billion; 0 allows nothing";
        walk.findings.report(value.span(), message, mend);
    }
    nano.unwrap_or(0)
}

fn currency(section: &Section<'_>, contract: &Contract, walk: &mut Walk<'_>) -> String {
    let Some(code) = section.text("currency", walk) else { return "USD".to_owned() };
    let at = section.value_at("currency");
    if !is_currency(&code) {
        let mend = "write its three capital letters, such as \"EUR\" (ISO 4217)";
        walk.findings.report(at, "`currency` is not the code of one", mend);
    } else if code != "USD" && !contract.exchanges.iter().any(|known| known.currency == code) {
        let message = format!("a budget in {code}, and nobody says what it is worth");
        let mend = format!("add [[price.exchange]] with currency = \"{code}\" and usd = \"…\"");
        walk.findings.report(at, message, mend);
    }
    code
}

fn zone(section: &Section<'_>, walk: &mut Walk<'_>) -> Zone {
    let Some(name) = section.text("timezone", walk) else { return Zone::utc() };
    Zone::named(&name).unwrap_or_else(|error| {
        let mend = "names of zones are those of the IANA database";
        walk.findings.report(section.value_at("timezone"), format!("`timezone`: {error}"), mend);
        Zone::utc()
    })
}

fn thresholds(section: &Section<'_>, walk: &mut Walk<'_>) -> Vec<u32> {
    const MEND: &str = "write thresholds = [50, 80, 100], at most 10 whole percents of 1 to 1000";
    let Some(value) = section.value("thresholds") else { return THRESHOLDS.to_vec() };
    let list = value.get_ref().as_array().filter(|list| list.len() <= MAX_THRESHOLDS);
    let Some(list) = list else {
        walk.findings.report(value.span(), "`thresholds` is no list of percents", MEND);
        return THRESHOLDS.to_vec();
    };
    let mut thresholds = Vec::new();
    for item in list.iter() {
        let whole = item.get_ref().as_integer();
        let percent =
            whole.and_then(|whole| i64::from_str_radix(whole.as_str(), whole.radix()).ok());
        let percent = percent.filter(|percent| (1..=MAX_PERCENT).contains(percent));
        match percent.and_then(|percent| u32::try_from(percent).ok()) {
            Some(percent) => thresholds.push(percent),
            None => walk.findings.report(item.span(), "is no whole percent", MEND),
        }
    }
    thresholds.sort_unstable();
    thresholds.dedup();
    thresholds
}

fn scope(section: &Section<'_>, beside: &Beside<'_>, walk: &mut Walk<'_>) -> Scope {
    let deployment = |text: String| match text.rsplit_once('/') {
        Some((account, name)) => (Some(account.to_owned()), name.to_owned()),
        None => (None, text),
    };
    let owners = section.texts("owners", walk).unwrap_or_default();
    for name in &owners {
        if !beside.owners.0.iter().any(|owner| owner.name == *name) {
            let message = format!("`owners`: there is no [[owner]] with the name {name:?}");
            let known: Vec<&str> = beside.owners.0.iter().map(|o| o.name.as_str()).collect();
            let mend = match known.is_empty() {
                true => format!("add [[owner]] with name = {name:?}"),
                false => format!("known are {}", known.join(", ")),
            };
            walk.findings.report(section.value_at("owners"), message, mend);
        }
    }
    let scope = Scope {
        subscriptions: owner::lower(section, "subscriptions", walk),
        accounts: owner::lower(section, "accounts", walk),
        deployments: owner::lower(section, "deployments", walk)
            .into_iter()
            .map(deployment)
            .collect(),
        models: owner::lower(section, "models", walk),
        owners,
        callers: callers(section, beside.known, walk),
    };
    if !scope.callers.is_empty() && !scope.models.is_empty() {
        let message = "`callers` and `models` together cannot be counted";
        let mend = "sums of callers are kept by deployment: name deployments in place of models";
        walk.findings.report(section.key_at("models"), message, mend);
    }
    scope
}

/// After a restart sums of callers are read back, as far as they still say who it was.
fn kept(budget: &Budget, section: &Section<'_>, keep_days: Option<i64>, walk: &mut Walk<'_>) {
    // A day more for the zone, and one for late rows.
    let needed = 2 + match budget.step {
        Step::Hour | Step::Day => 1,
        Step::Week => 7,
        Step::Month => 31,
    };
    if !budget.scope.callers.is_empty() && keep_days.is_some_and(|kept| kept < needed) {
        let message = "`callers` are reduced before the period is over";
        let mend = format!("write [caller] keep_days = {needed} or more, or a shorter period");
        walk.findings.report(section.key_at("callers"), message, mend);
    }
}

fn callers(section: &Section<'_>, known: Option<&Known>, walk: &mut Walk<'_>) -> Vec<CallerIs> {
    let mut callers = Vec::new();
    for text in section.texts("callers", walk).unwrap_or_default() {
        let at = section.value_at("callers");
        match net::parse(&text) {
            Ok(network) if is_caller(&network) => callers.push(CallerIs::Network(network)),
            Ok(network) => {
                let message = format!("`callers`: no caller is as narrow as {network}");
                let (v4, v6) = CALLER_BITS;
                let mend = format!("Azure masks the rest: write its /{v4} (IPv4) or /{v6} (IPv6)");
                walk.findings.report(at, message, mend);
            }
            Err(_) if is_object_id(&text) => callers.push(CallerIs::Identity(text.to_lowercase())),
            Err(_) => {
                if known.is_some_and(|known| !is_known(known, &text)) {
                    let message = format!("`callers`: nobody is called {text:?}");
                    let mend = "write a /24 or /48, an object id, or a name of [[network]] or of the \
                                file of [identities]";
                    walk.findings.report(at, message, mend);
                }
                callers.push(CallerIs::Named(text));
            }
        }
    }
    callers
}

/// True when a network that can hold callers, or an identity, has this name.
fn is_known(known: &Known, name: &str) -> bool {
    known.networks_named(name).iter().any(is_caller) || !known.identities_named(name).is_empty()
}

/// True for a GUID in any letter case.
fn is_object_id(text: &str) -> bool {
    let parts: Vec<usize> = text.split('-').map(str::len).collect();
    parts == [8, 4, 4, 4, 12] && text.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, look_up, parse, placeholder};

    const HUB: &str =
        "[[hub]]\nname = \"a\"\nnamespace = \"n.servicebus.windows.net\"\nhub = \"h\"\n";
    const BUDGET: &str = "[[budget]]\nname = \"b\"\namount = 5\nperiod = \"day\"\n";

    #[track_caller]
    fn good(text: &str) -> Config {
        match parse(&format!("{HUB}{text}"), "t.toml", &placeholder) {
            Ok(config) => config,
            Err(problems) => panic!("{problems}"),
        }
    }

    /// One more line at the end of `text` has one problem, at this column.
    #[track_caller]
    fn bad(text: &str, line: &str, column: usize, part: &str) {
        let whole = format!("{HUB}{text}{line}\n");
        let problems = parse(&whole, "t.toml", &look_up).map(|_| ()).unwrap_err();
        let [problem] = problems.0.as_slice() else { panic!("{problems}") };
        assert_eq!((problem.line, problem.column), (whole.lines().count(), column), "{problem:?}");
        let said = format!("{}; {}", problem.message, problem.mend);
        assert!(said.contains(part), "{said}");
    }

    #[test]
    fn a_budget_has_defaults_and_every_setting_arrives() {
        let config = good(BUDGET);
        let [budget] = config.engine.budgets.as_slice() else { panic!("{:?}", config.engine) };
        assert_eq!((budget.amount, budget.currency.as_str()), (5_000_000_000, "USD"));
        assert_eq!(
            (budget.thresholds.as_slice(), budget.forecast),
            (&[50, 80, 100][..], Some(100))
        );
        assert_eq!((budget.page, budget.scope.text().as_str()), (true, "everything"));
        let config = good(
            "[[owner]]\nname = \"pay\"\nmail = \"Pay <p@x.example>\"\naccounts = [\"AIF\"]\n\
             [[budget]]\nname = \"b\"\namount = 1_234.5\ncurrency = \"EUR\"\nperiod = \"month\"\n\
             timezone = \"europe/berlin\"\nthresholds = [120, 50, 50]\nforecast = 0\npage = false\n\
             subscriptions = [\"S-1\"]\naccounts = [\"A\"]\ndeployments = [\"A/Chat\", \"x\"]\n\
             owners = [\"pay\"]\ncallers = [\"203.0.113.0/24\", \"somebody\"]\n\
             [[price.exchange]]\ncurrency = \"EUR\"\nusd = \"1.1\"\nsource = \"s\"\n\
             [[network]]\nname = \"somebody\"\nkind = \"own\"\ncidrs = [\"198.51.100.0/24\"]\n",
        );
        let budget = config.engine.budgets.first().unwrap();
        assert_eq!((budget.amount, budget.zone.name()), (1_234_500_000_000, "Europe/Berlin"));
        assert_eq!((budget.thresholds.as_slice(), budget.forecast), (&[50, 120][..], None));
        let text = "subscription s-1, account a, deployment a/chat or x, owner pay, \
                    caller 203.0.113.0/24 or somebody";
        assert_eq!((budget.page, budget.scope.text().as_str()), (false, text));
        let owner = config.engine.owners.0.first().unwrap();
        assert_eq!(owner.mail.as_deref(), Some("Pay <p@x.example>"));
        assert_eq!(owner.accounts, ["aif"]);
    }

    #[test]
    fn each_rule_names_place_and_mend() {
        let head = "[[budget]]\nname = \"b\"\nperiod = \"week\"\n";
        for amount in ["-1", "\"5 EUR\"", "0x10", "1e3", "99_999_999_999", "0.1234567891", "true"] {
            bad(head, &format!("amount = {amount}"), 10, "write digits such as 500");
        }
        for (line, column, part) in [
            ("currency = \"Euro\"", 12, "three capital letters"),
            ("currency = \"EUR\"", 12, "add [[price.exchange]]"),
            ("timezone = \"Mars\"", 12, "Europe/Berlin"),
            ("thresholds = 50", 14, "at most 10"),
            ("thresholds = [50, 0]", 19, "is no whole percent"),
            ("thresholds = [1,2,3,4,5,6,7,8,9,10,11]", 14, "at most 10"),
            ("forecast = 1001", 12, "0 to 1000"),
            ("page = 1", 8, "true or false"),
            ("owners = [\"x\"]", 10, "add [[owner]] with name = \"x\""),
            ("callers = [\"203.0.113.7\"]", 11, "write its /24"),
            ("callers = [\"nobody\"]", 11, "nobody is called \"nobody\""),
            ("accounts = [\" \"]", 12, "empty text"),
            ("owner = \"x\"", 1, "did you mean `owners`?"),
        ] {
            bad(BUDGET, line, column, part);
        }
        bad(
            &format!("{BUDGET}callers = [\"203.0.113.0/24\"]\n"),
            "models = [\"m\"]",
            1,
            "together",
        );
        bad("[[budget]]\nname = \"b\"\namount = 1\n", "period = \"year\"", 10, "\"month\"");
        let owner = "[[owner]]\nname = \"o\"\n";
        bad(owner, "deployments = [\"chat\"]", 15, "write \"ACCOUNT/chat\"");
        bad(&format!("{owner}accounts = [\"a\"]\n"), "mail = \"x\"", 8, "not an address");
        let two = format!("{owner}accounts = [\"a\"]\n[[owner]]\nname = \"p\"\n");
        bad(&two, "accounts = [\"A\"]", 12, "owned by \"o\" already");
    }

    #[test]
    fn callers_must_be_kept_for_as_long_as_their_budget_counts() {
        let reduced = "[caller]\nprivacy = \"prefix\"\nkeep_days = 30\n";
        let text = format!("{reduced}{BUDGET}").replace("\"day\"", "\"month\"");
        bad(&text, "callers = [\"203.0.113.0/24\"]", 1, "keep_days = 33 or more");
        good(&format!("{reduced}{BUDGET}callers = [\"203.0.113.0/24\"]\n"));
        good(&format!("{text}accounts = [\"a\"]\n"));
    }

    #[test]
    fn a_named_network_counts_with_all_its_networks() {
        let text = format!(
            "{BUDGET}callers = [\"office\"]\n[[network]]\nname = \"office\"\nkind = \"own\"\n\
             cidrs = [\"203.0.113.0/24\", \"198.51.100.0/22\", \"192.0.2.0/28\"]\n"
        );
        let env = good(&text).env().unwrap();
        let scope = &env.settings.budgets.first().unwrap().scope;
        assert!(
            scope.holds_caller("203.0.113.0/24", "") && scope.holds_caller("198.51.101.0/24", "")
        );
        assert!(!scope.holds_caller("192.0.2.0/24", "") && !scope.holds_caller("", ""));
    }
}
