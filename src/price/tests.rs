//! Prices as the engine asks for them.

use std::sync::Arc;

use proptest::prelude::*;

use super::PriceBook;
use super::amount::{Percent, Price, Rate};
use super::bill::Basis;
use super::contract::{Contract, Deployed, Discount, Exchange, Own, Throughput};
use super::meter::Meter;
use super::rates::{Rates, Why};
use super::sku::{AZURE_SKUS, Scope, Sku, Tier};
use super::span::Span;
use crate::event::Tokens;
use crate::money::NanoUsd;
use crate::time::{DAY_MS, EventTime, HOUR_MS};

/// Nano-USD and tokens without a price of a call to a deployment nobody says anything about.
#[track_caller]
fn check(model: &str, tokens: (u32, u32, u32), expected: (i64, i64)) {
    let book = PriceBook::built_in().unwrap();
    let bill = book.rates("account", "deployment", model);
    let bill = bill.bill(counts(tokens), EventTime(0));
    assert_eq!((bill.cost().0, bill.unpriced()), expected, "{model}");
}

fn counts((input, cached, output): (u32, u32, u32)) -> Tokens {
    Tokens { input, cached, output }
}

/// A book of these rows, one each `{ … }`, of model m where they name none.
fn book(rows: &[&str]) -> PriceBook {
    let rows = rows.iter().map(|row| {
        let model = if row.contains("model") { "" } else { "model = \"m\", " };
        let scope = if row.contains("scope") { "" } else { "scope = \"global\", " };
        format!("{{ {model}{scope}{row}, source = \"s\" }},\n")
    });
    let rows: String = rows.collect();
    let text = format!(
        "version = \"t\"\ncurrency = \"USD\"\nscope_order = [\"global\", \"unspecified\"]\nprices = [\n{rows}]\n"
    );
    PriceBook::parse(&text, "t.toml").unwrap()
}

fn bought(scope: Scope, tier: Tier) -> [Arc<Deployed>; 1] {
    let sku = Sku { scope: Some(scope), tier: Some(tier), provisioned: false };
    [Arc::new(Deployed { sku, ..Deployed::default() })]
}

fn from(days: i64) -> Span {
    Span { from: EventTime(days * DAY_MS), ..Span::ALWAYS }
}

/// The price of a million prompt tokens, or why there is none.
fn input_price(rates: &Rates, input: u32, at: EventTime) -> Result<String, Why> {
    let held = rates.held(Meter::Input, input, at)?;
    Ok(held.entry.price(Meter::Input).unwrap().to_string())
}

#[test]
fn known_models_cost_what_the_list_says() {
    check("gpt-4o", (1_000_000, 0, 0), (2_500_000_000, 0));
    let parts = 1_500_000_000 + 500_000_000 + 10_000_000;
    check("GPT-4o", (1_000_000, 400_000, 1000), (parts, 0));
    check("gpt-4o@2024-05-13", (1_000_000, 0, 0), (5_000_000_000, 0));
    check("gpt-4o@2031-01-01", (1_000_000, 0, 0), (2_500_000_000, 0));
    check("gpt-4o-2031-01-01", (1_000_000, 0, 0), (2_500_000_000, 0));
}

#[test]
fn a_turbo_is_not_priced_as_what_it_is_named_after() {
    check("gpt-4@turbo-2024-04-09", (1_000_000, 0, 0), (11_000_000_000, 0));
    check("gpt-4@0613", (1_000_000, 0, 0), (30_000_000_000, 0));
    check("gpt-4@1106-Preview", (1_000_000, 0, 0), (10_000_000_000, 0));
    check("gpt-4@vision-preview", (1_000_000, 0, 0), (0, 1_000_000));
}

#[test]
fn unknown_is_never_zero() {
    check("no-such-model", (1, 0, 1), (0, 2));
    check("", (1, 0, 1), (0, 2));
    // Cached tokens of a model whose list has no price for them.
    check("gpt-35-turbo", (1_000_000, 400_000, 0), (300_000_000, 400_000));
    // Sound costs ten times as much as text, and the logs do not say which is which.
    check("gpt-audio", (1_000_000, 0, 1000), (0, 1_001_000));
    // A router's fee is no price of the prompt.
    check("model-router", (1_000_000, 0, 1000), (0, 1_001_000));
}

#[test]
fn what_is_unknown_says_why() {
    let book = book(&[
        "input = \"1\"",
        "scope = \"data-zone-us\", input = \"2\"",
        "scope = \"data-zone-eu\", input = \"3\"",
        "model = \"later\", from = 2026-01-01, input = \"1\"",
        "model = \"sound\", input = \"1\", audio_input = \"10\"",
        "model = \"quiet\", input = \"1\", audio_input = \"1\"",
    ]);
    let check = |model: &str, sku: Option<(Scope, Tier)>, why: Why| {
        let sku = sku.map(|(scope, tier)| bought(scope, tier));
        let rates = book.rates_of("a", sku.as_ref().map_or(&[], |sku| sku), model);
        assert_eq!(rates.bill(counts((5, 0, 0)), EventTime(0)).why(), Some(why), "{model}");
    };
    check("", None, Why::NoModel);
    check("x", None, Why::Model);
    check("m@turbo", None, Why::Version);
    check("m", Some((Scope::Regional, Tier::Standard)), Why::Sku);
    check("m", Some((Scope::Global, Tier::Batch)), Why::Sku);
    check("m", Some((Scope::DataZone, Tier::Standard)), Why::Zones);
    check("later", None, Why::Time);
    check("sound", None, Why::Mixed);
    let rates = book.rates("a", "d", "quiet");
    assert_eq!(rates.bill(counts((5, 0, 0)), EventTime(0)).why(), None);
    assert_eq!(rates.bill(counts((5, 1, 0)), EventTime(0)).why(), Some(Why::Meter));
    assert_eq!(rates.bill(counts((0, 0, 0)), EventTime(0)).why(), None, "no tokens lack nothing");
}

#[test]
fn long_prompts_cost_their_band_and_nothing_is_guessed_where_there_is_none() {
    let book = book(&[
        "input = \"1\"",
        "above = 1000, input = \"2\"",
        "tier = \"batch\", input = \"0.5\"",
        "model = \"only-long\", above = 1000, input = \"2\"",
        "model = \"since\", tier = \"batch\", input = \"1\"",
        "model = \"since\", from = 2026-01-01, above = 1000, input = \"2\"",
    ]);
    let price = |tier: Tier, model: &str, input: u32| {
        input_price(&book.rates_of("a", &bought(Scope::Global, tier), model), input, EventTime(0))
    };
    assert_eq!(price(Tier::Standard, "m", 1000), Ok("1".to_owned()));
    assert_eq!(price(Tier::Standard, "m", 1001), Ok("2".to_owned()));
    assert_eq!(price(Tier::Batch, "m", 1000), Ok("0.5".to_owned()));
    assert_eq!(price(Tier::Batch, "m", 1001), Err(Why::Length));
    assert_eq!(price(Tier::Standard, "only-long", 1000), Err(Why::Length));
    let rates = book.rates_of("a", &bought(Scope::Global, Tier::Batch), "since");
    let then = EventTime(crate::time::parse("2026-01-01T00:00:00Z").unwrap());
    let prices = [then, EventTime(then.0 - 1)].map(|at| input_price(&rates, 1001, at));
    assert_eq!(prices, [Err(Why::Length), Ok("1".to_owned())], "bands have dates too");
    let book = PriceBook::built_in().unwrap();
    let price = |input| input_price(&book.rates("a", "d", "gpt-5.4"), input, EventTime(0));
    assert_eq!([price(272_000), price(272_001)], [Ok("2.5".to_owned()), Ok("5".to_owned())]);
}

#[test]
fn the_scope_that_was_bought_counts_for_more_than_the_version() {
    let book = book(&[
        "version = \"2026-01-01\", scope = \"unspecified\", input = \"1\"",
        "scope = \"data-zone-eu\", input = \"1.2\"",
        "scope = \"data-zone-us\", input = \"1.2\"",
        "input = \"0.9\"",
    ]);
    let model = "m@2026-01-01";
    let price = |scope| {
        let rates = book.rates_of("a", &bought(scope, Tier::Standard), model);
        input_price(&rates, 1, EventTime(0))
    };
    assert_eq!(price(Scope::DataZoneEu), Ok("1.2".to_owned()));
    assert_eq!(price(Scope::DataZone), Ok("1.2".to_owned()), "zones that agree need no name");
    assert_eq!(price(Scope::Global), Ok("0.9".to_owned()));
    assert_eq!(price(Scope::Regional), Err(Why::Sku), "a price for anywhere is none for a region");
    let rates = book.rates("a", "d", model);
    let held = rates.held(Meter::Input, 1, EventTime(0)).unwrap();
    assert_eq!(held.entry.version, "2026-01-01", "nobody says the scope: the version decides");
    assert!(held.doubt.scope_assumed && held.doubt.scope_unstated && !held.doubt.any_version);
}

#[test]
fn the_price_of_the_moment_of_the_call_holds() {
    let book = book(&[
        "until = 2026-03-01, input = \"1\"",
        "from = 2026-03-01, until = 2026-05-01, input = \"2\"",
        "version = \"2026-02-02\", from = 2026-03-15, input = \"3\"",
    ]);
    let price = |model: &str, at: &str| {
        let at = EventTime(crate::time::parse(at).unwrap());
        input_price(&book.rates("a", "d", model), 1, at)
    };
    assert_eq!(price("m", "2026-02-28T23:59:59.999Z"), Ok("1".to_owned()));
    assert_eq!(price("m", "2026-03-01T00:00:00Z"), Ok("2".to_owned()));
    assert_eq!(price("m", "2026-05-01T00:00:00Z"), Err(Why::Time));
    // The row of the version does not hold yet; that of any version does.
    assert_eq!(price("m@2026-02-02", "2026-03-02T00:00:00Z"), Ok("2".to_owned()));
    assert_eq!(price("m@2026-02-02", "2026-03-15T00:00:00Z"), Ok("3".to_owned()));
}

#[test]
fn own_prices_stand_before_the_list_meter_by_meter() {
    let entry = |account: Option<&str>, row: &str| {
        let entries = book(&[row]).entries;
        Own { entry: Arc::clone(&entries[0]), account: account.map(str::to_owned) }
    };
    let own = vec![
        entry(None, "scope = \"unspecified\", input = \"0.8\""),
        entry(Some("aif"), "scope = \"unspecified\", input = \"0.7\""),
    ];
    let half = Discount {
        percent: Percent::parse("50").unwrap(),
        account: None,
        model: None,
        meter: None,
        valid: Span::ALWAYS,
        source: "s".to_owned(),
        line: 1,
    };
    let contract = Contract { own, discounts: vec![Arc::new(half)], ..Contract::default() };
    // The list has another price for long prompts, of which nothing was agreed.
    let book =
        book(&["input = \"1\", output = \"4\"", "above = 2000000, input = \"2\""]).under(contract);
    let long = EventTime(DAY_MS);
    assert_eq!(input_price(&book.rates("other", "d", "m"), 5_000_000, long), Ok("2".to_owned()));
    let cost = |account: &str| {
        let rates = book.rates(account, "d", "m@2026-01-01");
        rates.bill(counts((1_000_000, 0, 1_000_000)), EventTime(0)).cost()
    };
    // The discount is off the list price of the output alone.
    assert_eq!(cost("other"), NanoUsd(2_800_000_000));
    assert_eq!(cost("/subscriptions/s/Accounts/AIF"), NanoUsd(2_700_000_000));
}

#[test]
fn of_discounts_that_fit_the_narrowest_holds_while_it_holds() {
    let discount = |percent: &str, model: Option<&str>, meter: Option<Meter>, valid: Span| {
        Arc::new(Discount {
            percent: Percent::parse(percent).unwrap(),
            account: Some("aif".to_owned()),
            model: model.map(str::to_owned),
            meter,
            valid,
            source: "s".to_owned(),
            line: 1,
        })
    };
    let discounts = vec![
        discount("10", None, None, Span::ALWAYS),
        discount("50", Some("m"), Some(Meter::Output), from(10)),
        discount("20", Some("m"), None, Span::ALWAYS),
    ];
    let contract = Contract { discounts, ..Contract::default() };
    let book =
        book(&["input = \"1\", output = \"1\"", "model = \"n\", input = \"1\""]).under(contract);
    let cost = |account: &str, model: &str, tokens, day: i64| {
        book.rates(account, "d", model).bill(counts(tokens), EventTime(day * DAY_MS)).cost().0
    };
    let (input, output) = ((1_000_000, 0, 0), (0, 0, 1_000_000));
    assert_eq!(cost("aif", "n", input, 20), 900_000_000);
    assert_eq!(cost("aif", "m@1", input, 20), 800_000_000);
    assert_eq!(cost("aif", "m@1", output, 9), 800_000_000);
    assert_eq!(cost("aif", "m@1", output, 10), 500_000_000);
    assert_eq!(cost("other", "m", input, 20), 1_000_000_000);
}

#[test]
fn prices_in_a_currency_without_a_rate_stay_unknown() {
    let exchange = Exchange {
        currency: "EUR".to_owned(),
        rate: Rate::parse("1.08").unwrap(),
        valid: from(10),
        source: "s".to_owned(),
    };
    let text = "version = \"t\"\ncurrency = \"EUR\"\nscope_order = []\n\
                prices = [{ model = \"m\", scope = \"global\", input = \"2\", source = \"s\" }]\n";
    let contract = Contract { exchanges: vec![Arc::new(exchange)], ..Contract::default() };
    let book = PriceBook::parse(text, "t").unwrap().under(contract);
    let rates = book.rates_of("a", &bought(Scope::Global, Tier::Standard), "m");
    let bill = |day: i64| rates.bill(counts((1_000_000, 0, 0)), EventTime(day * DAY_MS));
    assert_eq!((bill(9).why(), bill(9).cost()), (Some(Why::Currency), NanoUsd(0)));
    assert_eq!((bill(10).why(), bill(10).cost()), (None, NanoUsd(2_160_000_000)));
}

#[test]
fn provisioned_tokens_cost_nothing_beside_the_hours_and_are_not_unpriced() {
    let throughput = Throughput { units: 100, per_unit_hour: NanoUsd(1_005_000_000) };
    let sku = Sku { provisioned: true, ..Sku::default() };
    let life = Deployed { sku, throughput: Some(throughput), valid: from(10), model: None };
    let key = ("aif".to_owned(), "ptu".to_owned());
    let contract =
        Contract { deployments: [(key, vec![Arc::new(life)])].into(), ..Contract::default() };
    let book = book(&["input = \"1\""]).under(contract);
    let rates = book.rates("/x/accounts/AIF", "PTU", "m");
    let spend = |day: i64| rates.bill(counts((1000, 0, 5)), EventTime(day * DAY_MS)).spend();
    let all = |spend: super::spend::Spend| {
        let sum = |field: fn(super::spend::MeterSpend) -> i64| spend.over_meters(field);
        [sum(|m| m.tokens), sum(|m| m.unpriced), sum(|m| m.provisioned), spend.cost().0]
    };
    assert_eq!(all(spend(9)), [1005, 5, 0, 1_000_000], "before it was bought");
    assert_eq!(all(spend(10)), [1005, 0, 1005, 0]);
    let hours = |from: i64, until: i64| {
        let span = Span { from: EventTime(from), until: EventTime(until) };
        book.contract.provisioned("/x/accounts/AIF", span)
    };
    let start = 10 * DAY_MS;
    assert_eq!(hours(start, start + HOUR_MS), Some(NanoUsd(100_500_000_000)));
    assert_eq!(hours(start - HOUR_MS, start + HOUR_MS / 2), Some(NanoUsd(50_250_000_000)));
    assert_eq!(hours(0, start), Some(NanoUsd(0)));
    let unpriced = Contract {
        deployments: [(
            ("a".to_owned(), "d".to_owned()),
            vec![Arc::new(Deployed { sku, ..Deployed::default() })],
        )]
        .into(),
        ..Contract::default()
    };
    assert_eq!(unpriced.provisioned("a", from(1)), None, "unknown is not nothing");
}

#[test]
fn the_limit_for_one_call_cuts_it_and_says_so() {
    let book = book(&["input = \"100\", cached = \"100\", output = \"1000\""]);
    let rates = book.rates("a", "d", "m");
    let bill = rates.bill(counts((10_000_000, 1_000_000, 10_000_000)), EventTime(0));
    assert_eq!(bill.uncut, NanoUsd(11_000 * 1_000_000_000));
    assert_eq!(bill.cost(), NanoUsd(1_000 * 1_000_000_000));
    assert!(bill.is_cut());
    let booked = bill.lines.map(|line| line.booked().0 / 1_000_000_000);
    assert_eq!(booked, [900, 100, 0], "the parts are cut as the whole");
    let small = rates.bill(counts((1000, 0, 0)), EventTime(0));
    assert!(!small.is_cut() && small.cost() == small.uncut);
}

#[test]
fn every_word_of_azure_for_buying_is_understood() {
    for (word, sku) in AZURE_SKUS {
        assert_eq!(word.contains("Provisioned"), sku.provisioned, "{word}");
        assert_eq!(word.contains("Global"), sku.scope == Some(Scope::Global), "{word}");
        assert_eq!(word.contains("DataZone"), sku.scope == Some(Scope::DataZone), "{word}");
        assert_eq!(word.contains("Batch"), sku.tier == Some(Tier::Batch), "{word}");
    }
}

proptest! {
    #[test]
    fn a_call_is_the_sum_of_its_lines(
        tokens in any::<(u32, u32, u32)>(),
        prices in [0_u32..20_000_000, 0..20_000_000, 0..20_000_000],
        percent in 0_u32..=100,
    ) {
        let price = |micros: u32| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        let [input, cached, output] = prices.map(price);
        let row = format!("input = \"{input}\", cached = \"{cached}\", output = \"{output}\"");
        let discount = Discount {
            percent: Percent::parse(&percent.to_string()).unwrap(),
            account: None, model: None, meter: None, valid: Span::ALWAYS,
            source: "s".to_owned(), line: 1,
        };
        let contract = Contract {
            discounts: vec![Arc::new(discount)],
            max_per_call: NanoUsd(i64::MAX),
            ..Contract::default()
        };
        let book = book(&[&row]).under(contract);
        let rates = book.rates("a", "d", "m");
        let bill = rates.bill(counts(tokens), EventTime(0));
        let parts: i128 = bill.lines.iter().map(|line| i128::from(line.booked().0)).sum();
        prop_assert_eq!(parts, i128::from(bill.cost().0));
        prop_assert_eq!(bill.spend().cost(), bill.cost());
        let counted: i64 = bill.lines.iter().map(|line| i64::from(line.tokens)).sum();
        prop_assert_eq!(counted, i64::from(tokens.0) + i64::from(tokens.2));
        for line in &bill.lines {
            let Basis::Priced(priced) = line.basis else { panic!("{line:?}") };
            let pico = priced.held.entry.price(line.meter).map(Price::pico).unwrap();
            let exact = i128::from(line.tokens) * i128::from(pico) * i128::from(100 - percent);
            // Nano-USD are 100,000 of these units; the nearest, and of two the even one.
            let twice = (exact - i128::from(priced.amount.0) * 100_000).abs() * 2;
            prop_assert!(twice < 100_000 || (twice == 100_000 && priced.amount.0 % 2 == 0));
        }
    }

    #[test]
    fn no_call_breaks_a_sum(tokens in any::<(u32, u32, u32)>(), limit in 0_i64..i64::MAX) {
        let contract = Contract { max_per_call: NanoUsd(limit), ..Contract::default() };
        let dearest = "input = \"1000000\", cached = \"1000000\", output = \"1000000\"";
        let book = book(&[dearest]).under(contract);
        let rates = book.rates("a", "d", "m");
        let bill = rates.bill(counts(tokens), EventTime(0));
        prop_assert!(bill.cost().0 >= 0 && bill.cost().0 <= limit);
        prop_assert_eq!(bill.is_cut(), bill.cost() < bill.uncut);
        prop_assert_eq!(bill.spend().cost(), bill.cost());
    }
}
