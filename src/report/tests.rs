//! Reports of rows made by hand: whatever they hold, sums agree and pages stay small and harmless.

use std::collections::BTreeMap;

use jiff::civil::date;
use proptest::prelude::*;

use super::amount::Currency;
use super::block::slices::Networks;
use super::facts::{Day, Facts, Key, Quality, Sum};
use super::period::{Week, later};
use super::render::{focus, html, table, text};
use super::{Report, Terms, build};
use crate::days::{Step, Weekday, Zone};
use crate::known::owner::{Owner, Owners};
use crate::money::NanoUsd;
use crate::price::reconcile::Covered;
use crate::price::spend::{MeterSpend, Spend};
use crate::store::report::Edition;
use crate::time::{ArrivalTime, EventTime};

/// A week of November and the four before, all known, without a line.
fn empty() -> Facts {
    let zone = Zone::named("Europe/Berlin").unwrap();
    let week = Week::holding(&zone, Weekday::Monday, date(2026, 11, 18)).unwrap();
    let first = later(week.begins, -28).unwrap();
    let days = zone.periods(Step::Day, first, week.ends).unwrap();
    let from = days[0].from.start();
    let day = |period: crate::days::Period| Day {
        date: zone.day_of(period.from.start()).unwrap(),
        period,
        lines: BTreeMap::new(),
    };
    Facts {
        days: days.into_iter().map(day).collect(),
        hours: BTreeMap::new(),
        calls: BTreeMap::new(),
        callers: [Vec::new(), Vec::new()],
        names: BTreeMap::new(),
        incidents: Vec::new(),
        skus: BTreeMap::new(),
        provisioned: BTreeMap::new(),
        cheaper: Vec::new(),
        quality: Quality::default(),
        told: Vec::new(),
        covered: Some(Covered { from, until: EventTime(i64::MAX) }),
        slowest: Some(ArrivalTime(i64::MAX)),
        book: "2026-11".to_owned(),
        owners: Owners::default(),
        budgets: Vec::new(),
        week,
        zone,
    }
}

fn key(name: &str) -> Key {
    Key {
        account: "/subscriptions/s/resourcegroups/g/providers/x/accounts/prod".to_owned(),
        deployment: name.to_owned(),
        model: "gpt-4o@2024-11-20".to_owned(),
    }
}

fn spent(calls: i64, tokens: i64, cost_nano: i64) -> Sum {
    let mut meters = [MeterSpend::default(); 3];
    for (meter, part) in meters.iter_mut().zip([2, 3, 5]) {
        *meter = MeterSpend {
            tokens: tokens / part,
            cost_nano: cost_nano / part,
            ..MeterSpend::default()
        };
    }
    Sum { spend: Spend { calls, meters, ..Spend::default() }, ..Sum::default() }
}

fn report(facts: &Facts, currency: &Currency) -> Report {
    let terms = Terms {
        scope: String::new(),
        edition: Edition::First,
        currency: currency.clone(),
        networks: Networks::Shown,
    };
    build(facts, &terms).unwrap()
}

/// The smallest units that the amounts of texts show, summed up.
fn shown<'a>(amounts: impl Iterator<Item = &'a str>) -> i64 {
    let digits = |text: &str| -> String {
        text.chars().filter(|c| c.is_ascii_digit() || *c == '-').collect()
    };
    amounts.map(|text| digits(text).parse::<i64>().unwrap()).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_block_adds_up_to_the_total_exactly_and_as_shown(
        lines in prop::collection::vec(
            (0_usize..35, 0_usize..14, 0_i64..5_000, 0_i64..90_000_000, -3_000_000_000_i64..900_000_000_000),
            0..80,
        ),
        rate in prop::sample::select(vec!["1", "1.08", "0.006543"]),
    ) {
        let mut facts = empty();
        for (day, name, calls, tokens, cost) in lines {
            let line = facts.days[day].lines.entry(key(&format!("d{name}"))).or_default();
            *line = line.plus(spent(calls, tokens, cost));
        }
        let rate = crate::price::amount::Rate::parse(rate).unwrap();
        let currency = Currency { code: "EUR".to_owned(), rate };
        let report = report(&facts, &currency);
        let total = report.spend.total.cost_nano_usd;
        let sum = |costs: Vec<NanoUsd>| costs.into_iter().fold(NanoUsd(0), NanoUsd::plus);
        let days = report.spend.days.iter().map(|day| day.amounts.cost_nano_usd);
        prop_assert_eq!(sum(days.collect()), total);
        let others = report.deployments.others.iter().map(|others| others.amounts.cost_nano_usd);
        let rows = report.deployments.rows.iter().map(|row| row.amounts.cost_nano_usd);
        prop_assert_eq!(sum(rows.chain(others).collect()), total);
        prop_assert_eq!(sum(report.slices.models.iter().map(|m| m.amounts.cost_nano_usd).collect()), total);
        let movers = report.movers.up.iter().chain(&report.movers.down).map(|m| m.parts);
        let moved = sum(movers.chain([report.movers.others]).map(|p| p.change_nano_usd).collect());
        prop_assert_eq!(moved, total.plus(-facts.total(1).cost()));
        for section in [report.spend.section(&currency), report.deployments.section(&currency)] {
            let of_total = section.total.unwrap().amount;
            if !section.rows.is_empty() {
                let of_rows = shown(section.rows.iter().map(|row| row.amount.as_str()));
                prop_assert_eq!(of_rows, shown([of_total.as_str()].into_iter()));
            }
        }
        let billed = focus::csv(&facts, &currency).unwrap();
        let mut rows = csv::Reader::from_reader(billed.as_bytes());
        let billed: i128 = rows
            .records()
            .map(|row| crate::price::amount::loose_decimal(row.unwrap().get(0).unwrap(), 9).unwrap())
            .sum();
        let exact = i128::from(total.0) * 1_000_000;
        let expected = crate::price::amount::half_even(exact, i128::from(rate.micros()));
        prop_assert_eq!(billed, expected);
    }
}

#[test]
fn hostile_names_neither_grow_the_page_nor_act_in_it() {
    let mut facts = empty();
    let evil = "<script>alert(1)</script>https://evil.example/".repeat(20);
    for day in &mut facts.days {
        for number in 0..60_i64 {
            let name = format!("={evil}{number}");
            let model = format!("{evil}{number}");
            let key = Key { model, ..key(&name) };
            day.lines.insert(key, spent(3, 1_000, 7_000_000_000 + number));
        }
    }
    let currency = Currency::default();
    let report = report(&facts, &currency);
    let page = html::page(&report, &currency, None).unwrap();
    assert!(page.len() < 100_000, "{}", page.len());
    assert!(!page.contains("<script") && !page.contains("https://evil"));
    let text = text::page(&report, &currency);
    assert!(!text.contains("https://evil") && text.lines().all(|line| line.chars().count() < 200));
    for line in
        table::csv(&facts).unwrap().lines().chain(focus::csv(&facts, &currency).unwrap().lines())
    {
        assert!(!line.contains(",=") && !line.contains(",\"="), "a formula: {line}");
    }
}

#[test]
fn owners_get_their_part_and_together_the_whole() {
    let mut facts = empty();
    for (name, cost) in [("chat", 10_000_000_000), ("agent", 30_000_000_000), ("nobodys", 500)] {
        facts.days[30].lines.insert(key(name), spent(10, 1_000, cost));
    }
    let owner = |name: &str, deployment: &str| Owner {
        name: name.to_owned(),
        deployments: vec![("prod".to_owned(), deployment.to_owned())],
        ..Owner::default()
    };
    facts.owners = Owners(vec![owner("talk", "chat"), owner("robots", "agent")]);
    let cost = |facts: &Facts| report(facts, &Currency::default()).spend.total.cost_nano_usd.0;
    let parts: Vec<i64> = facts.owners.0.iter().map(|owner| cost(&facts.of(owner))).collect();
    let of = |cost| spent(0, 0, cost).cost().0;
    assert_eq!(parts, [of(10_000_000_000), of(30_000_000_000)]);
    let rest = of(500);
    assert_eq!(cost(&facts), parts.iter().sum::<i64>() + rest);
    let part = facts.of(&facts.owners.0[0].clone());
    let page = text::page(&report(&part, &Currency::default()), &Currency::default());
    assert!(page.contains("prod/chat") && !page.contains("prod/agent"), "{page}");
}
