//! `tokenwatch prices diff`: what changed from one price book to another.

use std::path::PathBuf;

use serde_json::json;

use super::super::replay::printable;
use super::super::{Exit, print};
use super::{Form, open_book, or_tell, table, to_csv};
use crate::price::amount::Price;
use crate::price::diff::{Change, What, diff};

/// Shows what is different between two price books, in percent. Exit code 4 when anything is.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch prices diff built-in my-prices.toml\n  \
    tokenwatch prices diff 2026-10.toml 2026-11.toml --format json | jq '.[] | select(.percent > 10)'")]
pub(super) struct Args {
    /// The book before; `built-in` is the one of this program.
    old: PathBuf,
    /// The book after.
    new: PathBuf,
    /// Form of the differences.
    #[arg(long, value_enum, default_value = "table")]
    format: Form,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(old) = or_tell(open_book(&args.old))? else { return Ok(Exit::Configuration) };
    let Some(new) = or_tell(open_book(&args.new))? else { return Ok(Exit::Configuration) };
    let changes = diff(&old, &new);
    let head = ["model", "scope", "tier", "above", "what", "old", "new", "percent"];
    let text = match args.format {
        Form::Csv => to_csv(&head, changes.iter().map(|change| cells(change).into()))?,
        Form::Json => {
            let list: Vec<_> = changes.iter().map(to_json).collect();
            format!("{}\n", serde_json::Value::Array(list))
        }
        Form::Table if changes.is_empty() => "no differences\n".to_owned(),
        Form::Table => {
            let mut table = table(&head, &[3, 5, 6, 7]);
            for change in &changes {
                table.add_row(cells(change).map(|cell| printable(&cell)));
            }
            let currencies = if old.currency == new.currency {
                old.currency.clone()
            } else {
                format!("{} and {}", old.currency, new.currency)
            };
            format!("{table}\n\n{} difference(s), {currencies} per million tokens\n", changes.len())
        }
    };
    print(&text)?;
    Ok(if changes.is_empty() { Exit::Ok } else { Exit::Found })
}

fn price(price: Option<Price>) -> String {
    price.map_or_else(|| "unknown".to_owned(), |price| price.to_string())
}

fn cells(change: &Change) -> [String; 8] {
    let (what, old, new, percent) = match &change.what {
        What::Price { meter, old, new, percent } => {
            let percent = percent.map_or_else(String::new, |percent| format!("{percent:+.1} %"));
            (meter.word(), price(*old), price(*new), percent)
        }
        What::Dates { old, new } => ("dates", old.to_string(), new.to_string(), String::new()),
        What::Source { old, new } => ("source", old.clone(), new.clone(), String::new()),
    };
    [
        change.model.clone(),
        change.scope.to_string(),
        change.tier.to_string(),
        change.above.to_string(),
        what.to_owned(),
        old,
        new,
        percent,
    ]
}

fn to_json(change: &Change) -> serde_json::Value {
    let [_, _, _, _, what, old, new, _] = cells(change);
    let (old, new, percent) = match &change.what {
        What::Price { old: was, new: is, percent, .. } => {
            (was.map(|_| old), is.map(|_| new), *percent)
        }
        What::Dates { .. } | What::Source { .. } => (Some(old), Some(new), None),
    };
    json!({
        "model": change.model,
        "scope": change.scope.to_string(),
        "tier": change.tier.to_string(),
        "above": change.above,
        "what": what,
        "old": old,
        "new": new,
        "percent": percent,
    })
}
