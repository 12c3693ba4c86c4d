//! `tokenwatch backtest ablate`: what each part of the score is worth.

use std::path::PathBuf;
use std::sync::Arc;

use serde_json::json;

use super::super::prices::table;
use super::{Drawn, positive, progress, read_tails};
use crate::backtest::score::Marks;
use crate::backtest::{Ablation, Without};
use crate::cli::{Exit, print};
use crate::detect::score::Tails;

/// How many kinds of attacks are named, of those that are found less often.
const NAMED: usize = 2;

/// Tells what is lost without each part of the score, at as many false alerts.
///
/// Every draw is judged as by `backtest`. Then one part after the other is left out, and the threshold is moved until
/// all draws together have as many false alerts as are accepted. Name draws that the table of tails was not made of, or
/// parts look better than they are.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tokenwatch simulate --series draws/901 --seed 901 --preset restless\n  \
    tokenwatch backtest ablate --data draws/901 --track fleet\n  \
    tokenwatch backtest ablate --data draws/901,draws/902 --track fleet --alerts-per-week 0.5 --format json | jq '.[0].at'")]
pub(super) struct Args {
    #[command(flatten)]
    draws: Drawn,
    /// False alerts accepted per deployment and week; the draws are judged once for each.
    #[arg(long, default_values_t = [0.1, 0.25], value_delimiter = ',', value_parser = positive)]
    alerts_per_week: Vec<f64>,
    /// A table of tails; the one that is compiled in by default.
    #[arg(long, value_name = "FILE")]
    tails: Option<PathBuf>,
    /// Form of the answer.
    #[arg(long, value_enum, default_value = "table")]
    format: Form,
}

/// Form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For people.
    Table,
    /// For programs.
    Json,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let tails = match &args.tails {
        Some(path) => Arc::new(read_tails(path)?),
        None => Tails::of_program(),
    };
    let all = args.draws.open()?;
    let rates = &args.alerts_per_week;
    let ablation = Ablation { draws: args.draws.of(&all), tails: &tails, accepted: rates };
    let bar = progress(ablation.slots());
    let mut told = |judged| bar.set_position(u64::try_from(judged).unwrap_or(0));
    let mut found = ablation.run(&mut told);
    bar.finish_and_clear();
    // First with all parts, then what is missed most.
    found
        .sort_by_key(|without| (without.part.is_some(), last(without).map(|marks| marks.detected)));
    print(&match args.format {
        Form::Table => format!("{}\n", to_table(&found, rates)),
        Form::Json => format!("{}\n", to_json(&found, rates)),
    })?;
    Ok(Exit::Ok)
}

fn last(without: &Without) -> Option<&Marks> {
    without.marks.last()
}

/// Shares of all parts in the first row, then how far those without a part lie from them.
fn to_table(found: &[Without], rates: &[f64]) -> comfy_table::Table {
    let mut head = vec!["without".to_owned()];
    for rate in rates {
        head.extend(["recall", "burn"].map(|what| format!("{what} at {rate}")));
    }
    head.push("found less".to_owned());
    let head: Vec<&str> = head.iter().map(String::as_str).collect();
    let mut table = table(&head, &(1..=2 * rates.len()).collect::<Vec<_>>());
    let Some(all) = found.first() else { return table };
    for without in found {
        let mut row = vec![without.part.map_or("nothing", |kind| kind.name).to_owned()];
        for (marks, all) in without.marks.iter().zip(&all.marks) {
            row.extend(match without.part {
                None => [marks.recall, marks.burn].map(|share| format!("{share:.3}")),
                Some(_) => [marks.recall - all.recall, marks.burn - all.burn]
                    .map(|more| format!("{more:+.3}")),
            });
        }
        row.push(lost(without, all));
        table.add_row(row);
    }
    table
}

/// Kinds of attacks that are found less often without a part, at the last rate, those with the most first.
fn lost(without: &Without, all: &Without) -> String {
    let (Some(marks), Some(all)) = (last(without), last(all)) else { return String::new() };
    let kinds = all.kinds.iter().filter_map(|(kind, with)| {
        let lost = with.detected.saturating_sub(marks.kinds.get(kind)?.detected);
        (lost > 0).then_some((lost, kind, with.detected))
    });
    let mut kinds: Vec<(u32, &String, u32)> = kinds.collect();
    kinds.sort_by_key(|(lost, kind, _)| (std::cmp::Reverse(*lost), *kind));
    let named = kinds.iter().take(NAMED);
    let named = named.map(|(lost, kind, with)| format!("{kind} {lost} of {with}"));
    named.collect::<Vec<_>>().join(", ")
}

fn to_json(found: &[Without], rates: &[f64]) -> serde_json::Value {
    let row = |without: &Without| {
        let at = without.marks.iter().zip(rates);
        let at = at.map(|(marks, rate)| json!({ "alerts_per_week": rate, "marks": marks }));
        json!({ "without": without.part.map(|kind| kind.name), "at": at.collect::<Vec<_>>() })
    };
    found.iter().map(row).collect()
}
