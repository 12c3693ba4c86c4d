//! `tokenwatch prices reconcile`: our sums against a FOCUS export.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use serde_json::json;

use super::super::replay::printable;
use super::super::{Exit, print};
use super::{Chosen, Form, table, to_csv};
use crate::money::{Grouped, NanoUsd};
use crate::price::amount::Exact;
use crate::price::focus::{self, CostColumn, Reading};
use crate::price::reconcile::{
    Bill, Compared, Drift, LeftOut, Report, Side, Verdict, What, drift_percent,
};
use crate::price::span::Moment;
use crate::source::replay::decompress;
use crate::store::read::Reader;
use crate::time::{DAY_MS, EventTime, Minute};

/// Compares what was counted with what Azure billed, by account, UTC day and meter. Exit code 4 when
/// they differ by more than the tolerance, or when rows of the export cannot be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tokenwatch prices reconcile --db tokenwatch.db --focus october.csv.gz --config tokenwatch.toml\n  \
    tokenwatch prices reconcile --db tokenwatch.db --focus part-1.csv --focus part-2.csv --format csv\n\n\
    The export is a FOCUS cost export (1.0 to 1.2, CSV, also .gz and .zst) of Cost Management. Days are\n\
    UTC days, from 00:00 until before 24:00. A day that either side does not hold in full is shown and\n\
    not judged; what is on one side only is listed below with its cost. The newest days of an export\n\
    still grow.")]
pub(super) struct Args {
    /// Database to read; another process may be writing it.
    #[arg(long)]
    db: PathBuf,
    /// Export; repeat for one in several parts.
    #[arg(long = "focus", value_name = "FILE", required = true)]
    exports: Vec<PathBuf>,
    /// Which cost of the export.
    #[arg(long, value_enum, default_value = "effective")]
    cost: Cost,
    /// Difference in percent that still agrees, in tokens and in cost; a cent always does.
    #[arg(long, default_value_t = 1.0, value_parser = percentage)]
    tolerance: f64,
    #[command(flatten)]
    chosen: Chosen,
    /// Form of the comparison.
    #[arg(long, value_enum, default_value = "table")]
    format: Form,
}

/// A column of costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Cost {
    /// What the usage is worth, with commitments spread over it (`EffectiveCost`).
    Effective,
    /// What is on the invoice (`BilledCost`).
    Billed,
}

fn percentage(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok(percent),
        Ok(_) | Err(_) => Err("a percentage from 0 to 100".to_owned()),
    }
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(book) = args.chosen.open()? else { return Ok(Exit::Configuration) };
    let mut reader = Reader::open(&args.db).await?;
    let column = match args.cost {
        Cost::Effective => CostColumn::Effective,
        Cost::Billed => CostColumn::Billed,
    };
    let mut bill = Bill::new(&book.contract);
    let mut all = Reading::default();
    for path in &args.exports {
        let name = path.display().to_string();
        let file = decompress(path).with_context(|| format!("cannot read {name}"))?;
        let reading = focus::read(file, column, &mut |charge| bill.take(&charge));
        all.absorb(reading.with_context(|| name.clone())?, &name);
    }
    let ours = reader.spend(Minute(i64::MIN), Minute(i64::MAX)).await?;
    let covered = reader.covered().await?;
    let report = bill.compare(&ours, covered, all.days.unwrap_or((0, 0)), args.tolerance);
    let text = match args.format {
        Form::Table => to_table(&report, &all, args.tolerance),
        Form::Json => format!("{}\n", to_json(&report, &all)),
        Form::Csv => {
            let head = [
                "account",
                "day",
                "what",
                "tokens_ours",
                "tokens_billed",
                "nano_usd_ours",
                "nano_usd_billed",
                "drift_percent",
                "verdict",
            ];
            to_csv(&head, report.lines.iter().map(csv_row))?
        }
    };
    print(&text)?;
    let drifts = report.lines.iter().any(|line| matches!(line.verdict, Verdict::Drifts(_)));
    Ok(if drifts || all.unreadable > 0 { Exit::Found } else { Exit::Ok })
}

fn day_text(day: i64) -> String {
    Moment(EventTime(day * DAY_MS)).to_string()
}

const fn what(what: What) -> &'static str {
    match what {
        What::Meter(meter) => meter.word(),
        What::Provisioned => "provisioned",
        What::Day => "whole day",
    }
}

fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Agrees => "agrees".to_owned(),
        Verdict::Drifts(Drift::Price) => "DRIFT: as many tokens at another price".to_owned(),
        Verdict::Drifts(Drift::Tokens) => "DRIFT: other tokens at the same price".to_owned(),
        Verdict::Drifts(Drift::Cost) => "DRIFT".to_owned(),
        Verdict::Open(why) => format!("not judged: {why}"),
    }
}

fn tokens(side: Side) -> String {
    side.tokens.map_or_else(|| "-".to_owned(), |tokens| Grouped(tokens).to_string())
}

fn cost(side: Side) -> String {
    side.cost.map_or_else(|| "unknown".to_owned(), |cost| cost.to_string())
}

/// How far our cost lies from the bill's; tokens where a cost is unknown.
fn drift(line: &Compared) -> Option<f64> {
    let nano = |side: Side| side.cost.map(|cost| cost.0);
    let by_cost = drift_percent(nano(line.ours), nano(line.billed));
    by_cost.or_else(|| drift_percent(line.ours.tokens, line.billed.tokens))
}

fn short(account: &str) -> &str {
    account.rsplit('/').next().unwrap_or(account)
}

fn to_table(report: &Report, reading: &Reading, tolerance: f64) -> String {
    let head = [
        "account",
        "day",
        "what",
        "our tokens",
        "billed",
        "our cost",
        "billed",
        "drift",
        "verdict",
    ];
    let mut table = table(&head, &[3, 4, 5, 6, 7]);
    for line in &report.lines {
        table.add_row([
            printable(short(&line.account)),
            day_text(line.day),
            what(line.what).to_owned(),
            tokens(line.ours),
            tokens(line.billed),
            cost(line.ours),
            cost(line.billed),
            drift(line).map_or_else(|| "-".to_owned(), |percent| format!("{percent:+.1} %")),
            verdict(&line.verdict),
        ]);
    }
    let mut text = format!("{table}\n");
    if !report.left_out.is_empty() {
        text.push_str("\nnot compared:\n");
    }
    for left in &report.left_out {
        text.push_str(&format!("  {}\n", left_out(left)));
    }
    for (line, reason) in &reading.reasons {
        text.push_str(&format!("unreadable: line {line} of {}\n", printable(reason)));
    }
    text.push_str(&format!("\n{}; tolerance {tolerance} %\n", summary(report, reading)));
    text
}

fn left_out(left: &LeftOut) -> String {
    let money: Vec<String> = left
        .nano
        .iter()
        .map(|(currency, nano)| match i64::try_from(*nano) {
            Ok(nano) if currency == "USD" => NanoUsd(nano).to_string(),
            Ok(nano) => format!("{} {currency}", Exact(NanoUsd(nano)).to_string().replace('$', "")),
            Err(_) => format!("more {currency} than can be counted"),
        })
        .collect();
    let side = if left.ours { "ours" } else { "billed" };
    format!("{side}: {} {}, {}", Grouped(left.count), printable(&left.what), money.join(" + "))
}

fn summary(report: &Report, reading: &Reading) -> String {
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for line in &report.lines {
        let word = match line.verdict {
            Verdict::Agrees => "agree",
            Verdict::Drifts(_) => "drift",
            Verdict::Open(_) => "not judged",
        };
        *counts.entry(word).or_default() += 1;
    }
    let count = |word| counts.get(word).copied().unwrap_or(0);
    let rows = |count| Grouped(i64::try_from(count).unwrap_or(i64::MAX));
    format!(
        "{} comparison(s) agree, {} drift, {} not judged; {} row(s) of the export, {} unreadable",
        count("agree"),
        count("drift"),
        count("not judged"),
        rows(reading.rows),
        rows(reading.unreadable),
    )
}

fn to_json(report: &Report, reading: &Reading) -> serde_json::Value {
    let side =
        |side: Side| json!({ "tokens": side.tokens, "cost_nano_usd": side.cost.map(|c| c.0) });
    let lines = report.lines.iter().map(|line| {
        let (state, why) = match &line.verdict {
            Verdict::Agrees => ("agrees", None),
            Verdict::Drifts(_) => ("drifts", Some(verdict(&line.verdict))),
            Verdict::Open(why) => ("not judged", Some(why.clone())),
        };
        json!({
            "account": line.account,
            "day": day_text(line.day),
            "what": what(line.what),
            "ours": side(line.ours),
            "billed": side(line.billed),
            "drift_percent": drift(line),
            "state": state,
            "why": why,
        })
    });
    let left = report.left_out.iter().map(|left| {
        let nano: BTreeMap<&str, String> =
            left.nano.iter().map(|(code, nano)| (code.as_str(), nano.to_string())).collect();
        json!({ "what": left.what, "count": left.count, "nano_by_currency": nano, "ours": left.ours })
    });
    let unreadable: Vec<_> = reading
        .reasons
        .iter()
        .map(|(line, reason)| json!({ "line": line, "reason": reason }))
        .collect();
    json!({
        "lines": lines.collect::<Vec<_>>(),
        "not_compared": left.collect::<Vec<_>>(),
        "rows": reading.rows,
        "unreadable": reading.unreadable,
        "first_unreadable": unreadable,
    })
}

fn csv_row(line: &Compared) -> Vec<String> {
    let number = |number: Option<i64>| number.map_or_else(String::new, |number| number.to_string());
    let nano = |side: Side| number(side.cost.map(|cost| cost.0));
    vec![
        line.account.clone(),
        day_text(line.day),
        what(line.what).to_owned(),
        number(line.ours.tokens),
        number(line.billed.tokens),
        nano(line.ours),
        nano(line.billed),
        drift(line).map_or_else(String::new, |percent| format!("{percent:.3}")),
        verdict(&line.verdict),
    ]
}
