//! `tokenwatch budgets`: how much of each budget is spent, and where it leads.

use std::io::IsTerminal as _;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::check::load_without_secrets;
use super::prices::table;
use super::replay::printable;
use super::{Exit, Format, print};
use crate::engine::budgets::Budget;
use crate::engine::budgets::judge::Mark;
use crate::engine::budgets::standing::BURNS;
use crate::money::{Grouped, NanoUsd};
use crate::store::budgets::Status;
use crate::store::read::Reader;
use crate::time::EventTime;

/// Shows how every budget stands: spent, how fast, and what the usual rhythm makes of it.
///
/// Exit code 4 when one is used up or will be.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch budgets --config tokenwatch.toml\n  \
    tokenwatch budgets --config tokenwatch.toml --db copy.db --budget payments\n  \
    tokenwatch budgets --config tokenwatch.toml --format json | jq '.[] | .projected_nano_usd'\n\n\
    `at the end` is what is spent and what each deployment's own profile expects of the rest; behind\n\
    it stands the 80 % range of a second forecast from daily sums. `burn` is how many times faster\n\
    than allowed the last hour and the last six went. A threshold is reached at the end of an hour.")]
pub(super) struct Args {
    /// The configuration with the budgets; its secrets are not looked up.
    #[arg(long, env = "TOKENWATCH_CONFIG", value_name = "FILE")]
    config: PathBuf,
    /// Another database than that of the configuration; another process may be writing it.
    #[arg(long, value_name = "FILE")]
    db: Option<PathBuf>,
    /// Only this budget.
    #[arg(long, value_name = "NAME")]
    budget: Option<String>,
    /// Form of the list.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(mut config) = load_without_secrets(&args.config)? else {
        return Ok(Exit::Configuration);
    };
    config.files.read();
    if let Some(name) = &args.budget {
        config.engine.budgets.retain(|budget| budget.name == *name);
        if config.engine.budgets.is_empty() {
            tracing::error!("there is no budget {name:?} in {}", args.config.display());
            return Ok(Exit::Usage);
        }
    }
    let env = config.env()?;
    let mut reader = Reader::open(args.db.as_deref().unwrap_or(&config.database)).await?;
    let statuses = reader.budgets(&env, None).await?;
    let budgets = &env.settings.budgets;
    let lines: Vec<Line<'_>> = budgets
        .iter()
        .enumerate()
        .map(|(place, budget)| Line {
            budget,
            status: statuses.get(place).and_then(Option::as_ref),
        })
        .collect();
    match args.format {
        Format::Json => {
            let list: Vec<Value> = lines.iter().map(to_json).collect();
            print(&format!("{}\n", Value::Array(list)))?;
        }
        Format::Table => print(&to_table(&lines, std::io::stdout().is_terminal()))?,
    }
    let is_over = lines.iter().any(|line| {
        line.status.is_some_and(|status| {
            let standing = &status.standing;
            standing.foretells(100) || standing.purse.reaches(standing.spent, 100)
        })
    });
    Ok(if is_over { Exit::Found } else { Exit::Ok })
}

/// A budget and how it stands; nothing where nobody knows.
struct Line<'a> {
    budget: &'a Budget,
    status: Option<&'a Status>,
}

fn to_json(line: &Line<'_>) -> Value {
    let Line { budget, status } = line;
    let mut value = json!({
        "budget": budget.name,
        "scope": budget.scope.text(),
        "currency": budget.currency,
        "amount_nano": budget.amount,
        "timezone": budget.zone.name(),
    });
    let Some(status) = status else { return value };
    let standing = &status.standing;
    let local = |at: EventTime| budget.zone.local(at);
    let band = status.band(budget);
    let reached = standing.reached.iter();
    let reached = reached.map(|(percent, at)| json!({ "percent": percent, "at": local(*at) }));
    let told = status.told.iter();
    let told = told.map(|(mark, at)| json!({ "what": mark.word(), "at": local(EventTime(at.0)) }));
    let spent = status.spent.iter().map(|spent| {
        let (account, deployment) = &spent.place;
        json!({ "account": account, "deployment": deployment, "cost_nano_usd": spent.cost.0 })
    });
    let in_currency = |amount: NanoUsd| {
        i64::try_from(standing.purse.nano(amount)).map_or(Value::Null, Value::from)
    };
    let more = json!({
        "period": standing.period.name,
        "from": local(standing.period.from.start()),
        "until": local(standing.period.until.start()),
        "counted_until": local(status.at),
        "rate_usd": standing.purse.rate.to_string(),
        "amount_nano_usd": standing.purse.amount.0,
        "spent_nano_usd": standing.spent.0,
        "spent_nano": in_currency(standing.spent),
        "elapsed": standing.elapsed(),
        "unpriced_tokens": standing.unpriced,
        "calls_without_tokens": standing.untold,
        "burn_1h": standing.burn[0].map(|burn| burn.times),
        "burn_6h": standing.burn[1].map(|burn| burn.times),
        "projected_nano_usd": standing.projection.map(|known| known.total.0),
        "projected_nano": standing.projection.map(|known| in_currency(known.total)),
        "profile_learnt": standing.projection.map(|known| known.learnt),
        "range_80_nano_usd": band.map(|(low, high)| [low.0, high.0]),
        "used_up": standing.crossing.map(local),
        "reached": reached.collect::<Vec<_>>(),
        "told": told.collect::<Vec<_>>(),
        "spenders": spent.collect::<Vec<_>>(),
    });
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    value
}

fn to_table(lines: &[Line<'_>], is_terminal: bool) -> String {
    if lines.is_empty() {
        return "no budgets in the configuration\n".to_owned();
    }
    let mut head = vec!["budget", "period", "spent", "of", "share"];
    head.extend(is_terminal.then_some(""));
    head.extend(["burn 1 h, 6 h", "at the end", "used up", "reached"]);
    let mut table = table(&head, &[2, 3, 4]);
    let mut notes = String::new();
    for line in lines {
        let mut row = vec![printable(&line.budget.name)];
        match line.status {
            Some(status) => {
                row.extend(cells(line.budget, status, is_terminal));
                notes.push_str(&about(line.budget, status));
            }
            None => {
                row.resize(head.len(), "-".to_owned());
                notes.push_str(&nothing_of(line.budget));
            }
        }
        table.add_row(row);
    }
    format!("{table}\n\n{notes}")
}

/// Why nobody knows.
fn nothing_of(budget: &Budget) -> String {
    let currency = &budget.currency;
    let why = match currency.as_str() {
        "USD" => "nothing was read yet".to_owned(),
        _ => format!("nothing was read yet, or no rate of {currency} holds when its period begins"),
    };
    format!("{}: {}; {why}\n", printable(&budget.name), printable(&budget.scope.text()))
}

fn cells(budget: &Budget, status: &Status, is_terminal: bool) -> Vec<String> {
    let standing = &status.standing;
    let purse = &standing.purse;
    let burn = standing.burn.map(|burn| burn.map_or("-".to_owned(), |b| format!("{:.1}", b.times)));
    let mut cells = vec![
        standing.period.name.clone(),
        purse.text(standing.spent),
        purse.text(purse.amount),
        purse.percent(standing.spent),
    ];
    cells.extend(is_terminal.then(|| bar(status)));
    cells.extend([
        burn.join(", "),
        at_the_end(budget, status),
        standing.crossing.map_or("-".to_owned(), |at| minute(budget, at)),
        standing.reached.last().map_or("-".to_owned(), |(percent, _)| format!("{percent} %")),
    ]);
    cells
}

fn at_the_end(budget: &Budget, status: &Status) -> String {
    let standing = &status.standing;
    let Some(projection) = standing.projection else { return "unknown".to_owned() };
    let purse = &standing.purse;
    let range = status.band(budget).map_or_else(String::new, |(low, high)| {
        format!(" (80 %: {} to {})", purse.text(low), purse.text(high))
    });
    let basis = if projection.learnt { "" } else { ", no profile yet" };
    format!("{} {}{range}{basis}", purse.text(projection.total), purse.percent(projection.total))
}

/// A moment by the budget's clock, to the minute.
fn minute(budget: &Budget, at: EventTime) -> String {
    let mut text = budget.zone.local(at);
    if text.get(16..19).is_some_and(|seconds| seconds.starts_with(':')) {
        text.replace_range(16..19, "");
    }
    text
}

/// Twenty cells of the amount: spent, still expected, left.
fn bar(status: &Status) -> String {
    const CELLS: i128 = 20;
    let standing = &status.standing;
    let whole = i128::from(standing.purse.amount.0.max(1));
    let cells = |part: NanoUsd| (i128::from(part.0) * CELLS / whole).clamp(0, CELLS);
    let spent = cells(standing.spent);
    let total = standing.projection.map_or(spent, |known| cells(known.total).max(spent));
    let draw = |cell: i128| match (cell < spent, cell < total) {
        (true, _) => '█',
        (false, true) => '▒',
        (false, false) => '·',
    };
    (0..CELLS).map(draw).collect()
}

/// What counts to it, over which time, who spent it, and what is not in it.
fn about(budget: &Budget, status: &Status) -> String {
    let standing = &status.standing;
    let local = |at: crate::time::Minute| minute(budget, at.start());
    let mut text = format!(
        "{}: {}; from {} until before {}, counted until {}\n",
        printable(&budget.name),
        printable(&budget.scope.text()),
        local(standing.period.from),
        local(standing.period.until),
        minute(budget, status.at),
    );
    for (percent, at) in &standing.reached {
        let is_told = status.told.iter().any(|(mark, _)| *mark == Mark::Spent(*percent));
        let told = if is_told { "" } else { ", not told yet" };
        text.push_str(&format!("  {percent} % spent by {}{told}\n", minute(budget, *at)));
    }
    let total = status.spent.iter().fold(NanoUsd(0), |sum, spent| sum.plus(spent.cost));
    let shares = status.spent.iter().take(3).map(|spent| {
        let (account, deployment) = &spent.place;
        let percent = i128::from(spent.cost.0) * 100 / i128::from(total.0.max(1));
        format!("{} {percent} %", printable(&format!("{account}/{deployment}")))
    });
    let shares: Vec<String> = shares.collect();
    if !shares.is_empty() {
        text.push_str(&format!("  largest: {}\n", shares.join(", ")));
    }
    let other = status.told.iter().filter(|(mark, _)| !matches!(mark, Mark::Spent(_)));
    for (mark, at) in other {
        let at = minute(budget, EventTime(at.0));
        text.push_str(&format!("  told of the {} at {at}\n", mark.word()));
    }
    for ((hours, limit), burn) in BURNS.into_iter().zip(standing.burn) {
        let Some(burn) = burn.filter(|burn| burn.times >= limit) else { continue };
        let usual = if burn.unusual { "" } else { ", which is its rhythm" };
        text.push_str(&format!(
            "  the last {hours} h went {:.1} times as fast as allowed{usual}\n",
            burn.times
        ));
    }
    if standing.unpriced > 0 {
        text.push_str(&format!(
            "  not in it: {} tokens without a price\n",
            Grouped(standing.unpriced)
        ));
    }
    if standing.untold > 0 {
        let calls = Grouped(standing.untold);
        text.push_str(&format!("  not in it: {calls} calls of which no record told the tokens\n"));
    }
    text
}
