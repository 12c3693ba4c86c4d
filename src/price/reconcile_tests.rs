//! Our sums against the bill.

use super::*;
use crate::price::spend::MeterSpend;
use crate::time::Minute;

const ACCOUNT: &str = "/subscriptions/s/accounts/aif";
/// A day in the middle of everything.
const DAY: i64 = 20_000;

fn charge(meter: &str, tokens: i64, micro_usd: i128) -> Charge {
    Charge {
        account: Some(ACCOUNT.to_owned()),
        day: DAY,
        kind: Kind::Usage,
        meter: meter.to_owned(),
        meter_id: "id".to_owned(),
        currency: "USD".to_owned(),
        nano: micro_usd * 1000,
        tokens: Some(tokens),
    }
}

fn hour(input: (i64, i64), output: (i64, i64)) -> SpendHour {
    let of = |(tokens, micro): (i64, i64)| MeterSpend {
        tokens,
        cost_nano: micro * 1000,
        ..MeterSpend::default()
    };
    SpendHour {
        start: Minute(DAY * 24 * 60 + 60),
        account: ACCOUNT.to_owned(),
        deployment: "chat".to_owned(),
        model: "gpt-4o".to_owned(),
        spend: Spend {
            calls: 1,
            meters: [of(input), MeterSpend::default(), of(output)],
            ..Spend::default()
        },
    }
}

const WHOLE: Covered =
    Covered { from: EventTime((DAY - 1) * DAY_MS), until: EventTime((DAY + 2) * DAY_MS) };

fn compare(
    contract: &Contract,
    charges: &[Charge],
    ours: &[SpendHour],
    covered: Covered,
) -> Report {
    let mut bill = Bill::new(contract);
    charges.iter().for_each(|charge| bill.take(charge));
    bill.compare(ours, Some(covered), (DAY - 3, DAY + 3), 1.0)
}

/// `expected`: what, and the verdict or part of why there is none, by line.
#[track_caller]
fn check(charges: &[Charge], ours: &[SpendHour], expected: &[(&str, &str)]) -> Report {
    let report = compare(&Contract::default(), charges, ours, WHOLE);
    check_lines(&report, expected);
    report
}

#[track_caller]
fn check_lines(report: &Report, expected: &[(&str, &str)]) {
    let found: Vec<(String, String)> = report
        .lines
        .iter()
        .map(|line| {
            let what = match line.what {
                What::Meter(meter) => meter.word().to_owned(),
                What::Provisioned => "provisioned".to_owned(),
                What::Day => "day".to_owned(),
            };
            let verdict = match &line.verdict {
                Verdict::Agrees => "agrees".to_owned(),
                Verdict::Drifts(drift) => format!("{drift:?}"),
                Verdict::Open(why) => why.clone(),
            };
            (what, verdict)
        })
        .collect();
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for ((what, verdict), (named, part)) in found.iter().zip(expected) {
        assert!(what == named && verdict.contains(part), "{found:#?}");
    }
}

const INPUT: &str = "gpt 4o Inp glbl Tokens";
const OUTPUT: &str = "gpt 4o outp glbl Tokens";

#[test]
fn equal_sums_agree_and_a_cent_is_no_drift() {
    let ours = [hour((1_000_000, 2_500_000), (100_000, 1_000_000))];
    let bill = [charge(INPUT, 1_000_000, 2_500_000), charge(OUTPUT, 100_000, 1_009_000)];
    check(&bill, &ours, &[("input", "agrees"), ("output", "agrees"), ("day", "agrees")]);
}

#[test]
fn a_wrong_price_and_missing_tokens_are_told_apart() {
    let ours = [hour((1_000_000, 500_000), (50_000, 500_000))];
    let bill = [charge(INPUT, 1_000_000, 2_500_000), charge(OUTPUT, 100_000, 1_000_000)];
    let report = check(&bill, &ours, &[("input", "Price"), ("output", "Tokens"), ("day", "Cost")]);
    let input = report.lines.first().unwrap();
    let nano = |side: Side| side.cost.map(|cost| cost.0);
    let drift = drift_percent(nano(input.ours), nano(input.billed)).unwrap();
    assert!((drift + 80.0).abs() < 1e-9, "five times too low: {drift}");
}

#[test]
fn dearer_meters_the_logs_do_not_tell_apart_are_billed_with_theirs() {
    let ours = [hour((1_000_000, 2_500_000), (0, 0))];
    let written = charge("gpt 4o cache write inp glbl Tokens", 400_000, 1_250_000);
    let bill = [charge(INPUT, 600_000, 1_500_000), written];
    check(&bill, &ours, &[("input", "Price"), ("day", "Cost")]);
}

#[test]
fn unknown_costs_and_calls_without_tokens_are_not_judged() {
    let bill = [charge(INPUT, 1_000_000, 2_500_000)];
    let mut unpriced = hour((1_000_000, 0), (0, 0));
    unpriced.spend.meters[0].unpriced = 1_000_000;
    check(&bill, &[unpriced.clone()], &[("input", "unknown"), ("day", "unknown")]);
    unpriced.spend.meters[0].tokens = 500_000;
    check(&bill, &[unpriced], &[("input", "Tokens"), ("day", "unknown")]);
    let mut untold = hour((1_000_000, 2_500_000), (0, 0));
    untold.spend.untold = 1;
    let report = check(
        &bill,
        &[untold],
        &[("input", "unknown"), ("cached", "unknown"), ("output", "unknown"), ("day", "unknown")],
    );
    assert_eq!(report.lines[0].ours, Side::default());
}

#[test]
fn days_that_one_side_does_not_hold_in_full_are_not_judged() {
    let (ours, bill) = ([hour((1, 1), (0, 0))], [charge(INPUT, 9_000_000, 9_000_000)]);
    let day = DAY * DAY_MS;
    let begun = Covered { from: EventTime(day + 1), ..WHOLE };
    let report = compare(&Contract::default(), &bill, &ours, begun);
    check_lines(&report, &[("input", "our records begin"), ("day", "our records begin")]);
    let ended = Covered { until: EventTime(day + DAY_MS + LATEST_MS - 1), ..WHOLE };
    let report = compare(&Contract::default(), &bill, &ours, ended);
    check_lines(&report, &[("input", "our records end"), ("day", "our records end")]);
    let outside = SpendHour { start: Minute((DAY + 3) * 24 * 60), ..ours[0].clone() };
    let report = check(&bill, &[outside], &[("input", "Cost"), ("day", "Cost")]);
    assert_eq!(report.left_out.len(), 1);
    assert!(report.left_out[0].what.contains("outside the days"), "{:?}", report.left_out);
}

#[test]
fn a_day_the_bill_holds_and_we_do_not_drifts() {
    check(&[charge(INPUT, 1_000_000, 2_500_000)], &[], &[("input", "Cost"), ("day", "Cost")]);
    let known = charge(INPUT, 0, 0);
    let ours = [hour((1_000_000, 2_500_000), (0, 0))];
    check(&[known], &ours, &[("input", "Cost"), ("day", "Cost")]);
}

#[test]
fn what_cannot_be_compared_is_listed_with_its_cost() {
    let with = |change: &dyn Fn(&mut Charge)| {
        let mut charge = charge(INPUT, 1_000_000, 2_500_000);
        change(&mut charge);
        charge
    };
    let bill = [
        with(&|charge| charge.account = None),
        with(&|charge| charge.kind = Kind::Correction),
        with(&|charge| charge.kind = Kind::Other("tax".to_owned())),
        with(&|charge| charge.kind = Kind::SeveralDays),
        with(&|charge| (charge.meter, charge.tokens) = ("hosting".to_owned(), None)),
    ];
    let claude = SpendHour { model: "claude-opus-5".to_owned(), ..hour((5, 5), (0, 0)) };
    let other = SpendHour { account: "/x/accounts/other".to_owned(), ..hour((5, 5), (0, 0)) };
    let report = check(&bill, &[claude, other], &[]);
    let whats: Vec<&str> = report.left_out.iter().map(|left| left.what.as_str()).collect();
    assert_eq!(whats.len(), 7, "{whats:#?}");
    for part in [
        "other resources",
        "corrections",
        "tax",
        "more than one day",
        "hosting",
        "claude",
        "not in",
    ] {
        assert!(whats.iter().any(|what| what.contains(part)), "{part} of {whats:#?}");
    }
    for left in report.left_out.iter().filter(|left| !left.ours) {
        assert_eq!((left.count, left.nano["USD"]), (1, 2_500_000_000), "{left:?}");
    }
}

#[test]
fn a_meter_whose_name_says_nothing_counts_for_the_day_until_it_is_pinned() {
    let ours = [hour((1_000_000, 2_500_000), (0, 0))];
    let bill = [charge("5.4 pro glbl Tokens", 1_000_000, 2_500_000)];
    check(&bill, &ours, &[("input", "do not say what they count"), ("day", "agrees")]);
    let pinned =
        Contract { bill_meters: [("id".to_owned(), Meter::Input)].into(), ..Contract::default() };
    let report = compare(&pinned, &bill, &ours, WHOLE);
    check_lines(&report, &[("input", "agrees"), ("day", "agrees")]);
}

#[test]
fn another_currency_is_compared_with_a_rate_and_not_without() {
    let ours = [hour((1_000_000, 2_500_000), (0, 0))];
    let euro = Charge { currency: "EUR".to_owned(), ..charge(INPUT, 1_000_000, 2_314_815) };
    let open = "currency without a rate";
    let report = check(std::slice::from_ref(&euro), &ours, &[("input", open), ("day", open)]);
    assert_eq!(report.left_out[0].nano["EUR"], 2_314_815_000);
    let exchange = crate::price::contract::Exchange {
        currency: "EUR".to_owned(),
        rate: crate::price::amount::Rate::parse("1.08").unwrap(),
        valid: Span::ALWAYS,
        source: "s".to_owned(),
    };
    let contract =
        Contract { exchanges: vec![std::sync::Arc::new(exchange)], ..Contract::default() };
    let report = compare(&contract, &[euro], &ours, WHOLE);
    check_lines(&report, &[("input", "agrees"), ("day", "agrees")]);
}

#[test]
fn provisioned_hours_are_compared_with_what_was_bought() {
    use crate::price::contract::{Deployed, Throughput};
    use crate::price::sku::Sku;
    let life = |throughput| Deployed {
        sku: Sku { provisioned: true, ..Sku::default() },
        throughput,
        ..Deployed::default()
    };
    let contract = |throughput| Contract {
        deployments: [(
            ("aif".to_owned(), "ptu".to_owned()),
            vec![std::sync::Arc::new(life(throughput))],
        )]
        .into(),
        ..Contract::default()
    };
    let hours = Charge { tokens: None, ..charge("Provisioned Managed Global", 0, 240_000_000) };
    let mut served = hour((1_000_000, 0), (0, 0));
    served.spend.meters[0].provisioned = 1_000_000;
    let bought = Throughput { units: 10, per_unit_hour: NanoUsd(1_000_000_000) };
    let report = compare(
        &contract(Some(bought)),
        std::slice::from_ref(&hours),
        std::slice::from_ref(&served),
        WHOLE,
    );
    check_lines(&report, &[("provisioned", "agrees"), ("day", "agrees")]);
    let more = Throughput { units: 11, ..bought };
    let report = compare(
        &contract(Some(more)),
        std::slice::from_ref(&hours),
        std::slice::from_ref(&served),
        WHOLE,
    );
    check_lines(&report, &[("provisioned", "Cost"), ("day", "Cost")]);
    let report = compare(&contract(None), &[hours], &[served], WHOLE);
    check_lines(&report, &[("provisioned", "not configured"), ("day", "unknown")]);
}
