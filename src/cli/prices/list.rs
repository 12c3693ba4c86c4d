//! `tokenwatch prices list`: the rows of a price book.

use serde_json::json;

use super::super::replay::printable;
use super::super::{Exit, print};
use super::{Chosen, Form, table, to_csv};
use crate::money::Grouped;
use crate::price::PriceBook;
use crate::price::book::Entry;
use crate::price::meter::Meter;
use crate::price::span::Moment;

/// Lists prices per million tokens. What is not listed is unknown, which is not nothing.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tokenwatch prices list\n  tokenwatch prices list --model gpt-4o\n  \
    tokenwatch prices list --config tokenwatch.toml --format csv > prices.csv"
)]
pub(super) struct Args {
    /// Only this model; where there is none of that name, every model whose name contains it.
    #[arg(long)]
    model: Option<String>,
    #[command(flatten)]
    chosen: Chosen,
    /// Form of the list.
    #[arg(long, value_enum, default_value = "table")]
    format: Form,
}

/// A row and whether it is one's own.
struct Row<'a> {
    entry: &'a Entry,
    /// Whose: `Some` for own prices, with the account they are for or an empty name.
    own: Option<&'a str>,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let Some(book) = args.chosen.open()? else { return Ok(Exit::Configuration) };
    let rows = rows(&book, args.model.as_deref());
    if let Some(model) = args.model.as_ref().filter(|_| rows.is_empty()) {
        anyhow::bail!("no model called or containing {model:?} in the {} prices", book.name);
    }
    let text = match args.format {
        Form::Table => to_table(&book, &rows),
        Form::Json => format!("{}\n", to_json(&book, &rows)),
        Form::Csv => csv(&rows)?,
    };
    print(&text)?;
    Ok(Exit::Ok)
}

fn rows<'a>(book: &'a PriceBook, model: Option<&str>) -> Vec<Row<'a>> {
    let own = book.contract.own.iter().map(|own| Row {
        entry: &own.entry,
        own: Some(own.account.as_deref().unwrap_or_default()),
    });
    let listed = book.entries.iter().map(|entry| Row { entry, own: None });
    let all: Vec<Row<'a>> = own.chain(listed).collect();
    let Some(model) = model.map(|model| model.to_lowercase().replace('@', "-")) else { return all };
    let named = |row: &Row<'_>| row.entry.key() == model || row.entry.model.to_lowercase() == model;
    if all.iter().any(named) {
        return all.into_iter().filter(named).collect();
    }
    all.into_iter().filter(|row| row.entry.key().contains(&model)).collect()
}

fn to_table(book: &PriceBook, rows: &[Row<'_>]) -> String {
    let head = [
        "model", "version", "scope", "tier", "prompt", "input", "cached", "output", "other",
        "valid", "source",
    ];
    let mut table = table(&head, &[5, 6, 7]);
    for Row { entry, own } in rows {
        let price = |meter| entry.price(meter).map_or_else(|| "-".to_owned(), |p| p.to_string());
        let other: Vec<String> = entry
            .priced()
            .filter(|(meter, _)| !Meter::LOGGED.contains(meter))
            .map(|(meter, price)| format!("{meter} {price}"))
            .collect();
        let prompt = match (entry.above, book.longest(entry)) {
            (0, None) => "any".to_owned(),
            (0, Some(most)) => format!("≤ {}", Grouped(most.into())),
            (above, _) => format!("> {}", Grouped(above.into())),
        };
        let source = match own {
            None => entry.source.clone(),
            Some("") => format!("own: {}", entry.source),
            Some(account) => format!("own, {account}: {}", entry.source),
        };
        table.add_row([
            printable(&entry.model),
            printable(&entry.version),
            entry.scope.to_string(),
            entry.tier.to_string(),
            prompt,
            price(Meter::Input),
            price(Meter::Cached),
            price(Meter::Output),
            other.join(", "),
            entry.valid.to_string(),
            printable(&source),
        ]);
    }
    format!(
        "{table}\n\n{} per million tokens; book {}, edition {}; {} row(s); - is unknown\n",
        book.currency,
        printable(&book.name),
        printable(&book.version),
        rows.len()
    )
}

fn to_json(book: &PriceBook, rows: &[Row<'_>]) -> serde_json::Value {
    let prices = rows.iter().map(|Row { entry, own }| {
        let meters: serde_json::Map<String, serde_json::Value> = entry
            .priced()
            .map(|(meter, price)| (meter.word().to_owned(), price.to_string().into()))
            .collect();
        json!({
            "model": entry.model,
            "version": entry.version,
            "scope": entry.scope.to_string(),
            "tier": entry.tier.to_string(),
            "above": entry.above,
            "currency": entry.currency,
            "per_million": meters,
            "from": bound(entry, End::From),
            "until": bound(entry, End::Until),
            "source": entry.source,
            "own": own.is_some(),
            "account": own.filter(|account| !account.is_empty()),
        })
    });
    json!({ "book": book.name, "edition": book.version, "prices": prices.collect::<Vec<_>>() })
}

fn csv(rows: &[Row<'_>]) -> anyhow::Result<String> {
    let meters = Meter::ALL.map(Meter::word);
    let mut head = vec!["model", "version", "scope", "tier", "above", "currency"];
    head.extend(meters);
    head.extend(["from", "until", "source", "own"]);
    let rows = rows.iter().map(|Row { entry, own }| {
        let mut cells = vec![
            entry.model.clone(),
            entry.version.clone(),
            entry.scope.to_string(),
            entry.tier.to_string(),
            entry.above.to_string(),
            entry.currency.clone(),
        ];
        let price = |meter| entry.price(meter).map_or_else(String::new, |price| price.to_string());
        cells.extend(Meter::ALL.map(price));
        cells.extend([End::From, End::Until].map(|end| bound(entry, end).unwrap_or_default()));
        cells.extend([entry.source.clone(), own.is_some().to_string()]);
        cells
    });
    to_csv(&head, rows)
}

#[derive(Clone, Copy)]
enum End {
    From,
    Until,
}

/// One end of the time a row holds; `None` where nobody states it.
fn bound(entry: &Entry, end: End) -> Option<String> {
    use crate::price::span::Span;
    let (at, open) = match end {
        End::From => (entry.valid.from, Span::ALWAYS.from),
        End::Until => (entry.valid.until, Span::ALWAYS.until),
    };
    (at != open).then(|| Moment(at).to_string())
}
