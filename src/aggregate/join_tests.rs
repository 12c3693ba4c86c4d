use proptest::prelude::*;

use super::*;
use crate::aggregate::names::{NameKind, Names};
use crate::aggregate::rollup::{Amount, Caller, Deltas, RollupKey};
use std::sync::LazyLock;

use crate::price::PriceBook;
use crate::price::rates::Rates;
use crate::time::DAY_MS;

struct Fixture {
    names: Names,
    rates: [Rates; 2],
}

impl Terms for Fixture {
    fn names(&self) -> &Names {
        &self.names
    }

    fn rates(&self, _: u32, model: u32, _: ArrivalTime) -> Rates {
        self.rates[usize::from(model != 0)].clone()
    }

    fn lateness_ms(&self) -> i64 {
        5 * MINUTE_MS
    }
}

static RATES: LazyLock<[Rates; 2]> = LazyLock::new(|| {
    let book = PriceBook::built_in().unwrap();
    ["", "gpt-4o"].map(|model| book.rates("account", "deployment", model))
});

fn fixture() -> Fixture {
    let mut names = Names::default();
    for (kind, text) in [
        (NameKind::Deployment, "b"),
        (NameKind::Deployment, "a"),
        (NameKind::Model, "gpt-4o"),
        (NameKind::Network, "203.0.113.0/24"),
        (NameKind::Identity, "someone"),
    ] {
        names.number(kind, text);
    }
    Fixture { names, rates: RATES.clone() }
}

const START: i64 = 20_000 * DAY_MS;

fn row(end_s: i64, delay_s: i64, tokens: Option<(u32, u32)>) -> RowFacts {
    let end = EventTime(START + end_s * 1000);
    RowFacts {
        kind: if tokens.is_some() { RowKind::Usage } else { RowKind::Request },
        end,
        enqueued: ArrivalTime(end.0 + delay_s * 1000),
        deployment: if tokens.is_some() { 3 } else { 0 },
        model: if tokens.is_some() { 4 } else { 0 },
        network: if tokens.is_some() { 0 } else { 5 },
        identity: 0,
        tokens: tokens.map(|(input, output)| Tokens { input, cached: 0, output }),
        partial: false,
        status: 200,
        operation: if tokens.is_some() { Operation::Untold } else { Operation::Chat },
        sent: 0,
        received: 0,
    }
}

fn collect(bookings: &[Booking]) -> Deltas {
    let mut deltas = Deltas::default();
    for booking in bookings {
        let caller = Caller::new(booking.network, booking.identity, booking.operation);
        let key = RollupKey { minute: booking.minute, deployment: booking.deployment, caller };
        deltas.minutes.entry(key).or_default().add(booking.class, booking.amount);
        let total = deltas.totals.entry((booking.deployment, booking.model)).or_default();
        total.add(booking.class, booking.amount);
    }
    deltas.drop_zeros();
    deltas
}

/// Feeds rows in the given order; the watermark follows the arrivals that every partition passed.
fn feed(rows: &[(u128, RowFacts)], pass: bool) -> Deltas {
    let terms = fixture();
    let mut calls = Calls::new(JoinSettings::default());
    let mut out = Vec::new();
    for (place, (call, row)) in rows.iter().enumerate() {
        calls.take(*call, *row, &terms, &mut out);
        let rest = rows.iter().skip(place + 1).map(|(_, row)| row.enqueued.0).min();
        if pass {
            let passed = ArrivalTime(rest.unwrap_or(row.enqueued.0) - 1);
            calls.pass(passed, passed, &terms);
        }
    }
    collect(&out)
}

#[test]
fn a_call_counts_once_with_its_tokens_and_its_caller() {
    let rows =
        [(1, row(0, 60, None)), (1, row(1, 20, Some((100, 10)))), (1, row(1, 25, Some((100, 10))))];
    let deltas = feed(&rows, true);
    assert_eq!(deltas.minutes.len(), 1);
    let (key, split) = deltas.minutes.first_key_value().unwrap();
    assert_eq!(key.caller, Caller::new(5, 0, Operation::Chat));
    assert_eq!(
        split.on_time,
        Amount { calls: 1, input: 100, output: 10, cost_nano: 350_000, ..Amount::default() }
    );
    assert_eq!(split.late, Amount::default());
}

#[test]
fn a_late_twin_amends_and_is_counted_late() {
    let rows = [
        (1, row(0, 60, None)),
        (1, row(0, 3 * 3600, Some((100, 10)))),
        (2, row(0, 7200, Some((7, 0)))),
    ];
    let deltas = feed(&rows, true);
    let total =
        deltas.totals.values().fold(Amount::default(), |sum, split| sum.plus(split.total()));
    assert_eq!((total.calls, total.input, total.output), (2, 107, 10));
    let on_time = deltas.totals.values().fold(0, |sum, split| sum + split.on_time.input);
    assert_eq!(on_time, 0);
}

#[test]
fn beyond_the_horizon_nothing_is_counted() {
    let terms = fixture();
    let mut calls = Calls::new(JoinSettings::default());
    let mut out = Vec::new();
    let late = row(0, 4 * 3600 + 1, Some((5, 5)));
    assert_eq!(calls.take(1, late, &terms, &mut out), Taken::BeyondHorizon);
    assert_eq!(calls.take(1, row(0, 4 * 3600, Some((5, 5))), &terms, &mut out), Taken::New);
    assert_eq!(out.len(), 1);
}

#[test]
fn memory_is_given_back() {
    let terms = fixture();
    let mut calls = Calls::new(JoinSettings { max_known: 100, ..JoinSettings::default() });
    let mut out = Vec::new();
    for n in 0..1000 {
        calls.take(n, row(0, 10, Some((1, 1))), &terms, &mut out);
    }
    calls.pass(ArrivalTime(START), ArrivalTime(START), &terms);
    assert!(calls.len() <= 100 && calls.early > 0, "{}", calls.len());
    let later = ArrivalTime(START + DAY_MS);
    calls.pass(later, later, &terms);
    assert!(calls.is_empty());
}

#[test]
fn a_call_is_remembered_for_a_partition_that_nobody_waits_for() {
    let terms = fixture();
    let mut calls = Calls::new(JoinSettings::default());
    let mut out = Vec::new();
    calls.take(1, row(0, 60, Some((5, 5))), &terms, &mut out);
    calls.pass(ArrivalTime(START + DAY_MS), ArrivalTime(START), &terms);
    let twin = row(0, 3 * 3600, Some((5, 5)));
    assert_eq!(calls.take(1, twin, &terms, &mut out), Taken::Copy);
    assert_eq!(out.len(), 1);
}

#[test]
fn what_may_have_been_forgotten_is_not_counted_again() {
    let terms = fixture();
    let mut calls = Calls::new(JoinSettings { max_known: 1, ..JoinSettings::default() });
    let mut out = Vec::new();
    calls.take(1, row(0, 60, Some((5, 5))), &terms, &mut out);
    calls.take(2, row(600, 60, Some((5, 5))), &terms, &mut out);
    calls.pass(ArrivalTime(START), ArrivalTime(START), &terms);
    assert_eq!((calls.len(), calls.early), (1, 2));
    assert_eq!(calls.take(1, row(0, 90, Some((5, 5))), &terms, &mut out), Taken::BeyondHorizon);
    assert_eq!(calls.take(2, row(600, 90, Some((5, 5))), &terms, &mut out), Taken::Copy);
    assert_eq!(calls.take(3, row(720, 90, Some((5, 5))), &terms, &mut out), Taken::New);
}

#[test]
fn saved_rows_come_back() {
    let mut blob = Vec::new();
    let rows = [(u128::MAX, row(-5, 60, None)), (7, row(1, 20, Some((1, 2))))];
    for (call, row) in &rows {
        write_row(*call, row, &mut blob);
    }
    assert_eq!(blob.len(), 2 * ROW_BYTES);
    assert_eq!(read_rows(ROW_FORM, &blob), rows);
    let first_form: Vec<u8> =
        blob.chunks(ROW_BYTES).flat_map(|row| &row[..FIRST_ROW_BYTES]).copied().collect();
    let untold = |(call, row): (u128, RowFacts)| {
        (call, RowFacts { operation: Operation::Untold, sent: 0, received: 0, ..row })
    };
    assert_eq!(read_rows(1, &first_form), rows.map(untold));
}

#[test]
fn a_row_that_ends_later_and_comes_last_finds_its_call() {
    let rows = [(1, row(0, 0, None)), (1, row(522, 13_939, Some((5, 5))))];
    let deltas = feed(&rows, true);
    assert_eq!(deltas, feed(&rows, false));
    let calls: i64 = deltas.totals.values().map(|split| split.total().calls).sum();
    assert_eq!(calls, 1);
}

/// Rows of a call that end within the time of attribution and come within the horizon; some calls are long forgotten
/// when others are not over.
fn any_row() -> impl Strategy<Value = (u128, RowFacts)> {
    let tokens = proptest::option::of((0_u32..1000, 0_u32..1000));
    (0_u8..6, 0_i64..=600, 0_i64..=14_400, tokens, 0_u32..2).prop_map(
        |(call, after_s, delay_s, tokens, name)| {
            let mut row = row(i64::from(call) * 1_000 + after_s, delay_s, tokens);
            if row.deployment != 0 {
                row.deployment = 2 + name;
            }
            (call.into(), row)
        },
    )
}

proptest! {
    #[test]
    fn the_order_of_rows_never_matters(
        rows in proptest::collection::vec(any_row(), 1..24),
        seed in any::<u64>(),
    ) {
        let mut shuffled = rows.clone();
        fastrand::Rng::with_seed(seed).shuffle(&mut shuffled);
        let mut doubled = shuffled.clone();
        doubled.extend_from_slice(&rows);
        let expected = feed(&rows, false);
        prop_assert_eq!(&feed(&shuffled, false), &expected);
        prop_assert_eq!(&feed(&shuffled, true), &expected);
        prop_assert_eq!(&feed(&doubled, true), &expected);
    }
}
