//! `tokenwatch prices`: what tokens cost, why, and whether the bill agrees.

mod check;
mod diff;
mod explain;
mod list;
mod reconcile;

use std::path::{Path, PathBuf};

use super::check::load_without_secrets;
use super::{Exit, print};
use crate::config::{self, BookError};
use crate::price::PriceBook;
use crate::price::book::BUILT_IN_NAME;
use crate::time::{self, EventTime};

/// Lists, explains, checks and compares prices, and holds them against the bill.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch prices list --model gpt-4o\n  \
    tokenwatch prices explain --model gpt-4o@2024-08-06 --input 1200 --cached 800 --output 300\n  \
    tokenwatch prices check my-prices.toml\n  \
    tokenwatch prices diff built-in my-prices.toml\n  \
    tokenwatch prices reconcile --db tokenwatch.db --focus october.csv.gz")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    List(list::Args),
    Explain(explain::Args),
    Check(check::Args),
    Diff(diff::Args),
    Reconcile(reconcile::Args),
}

/// Form of printed data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Form {
    /// For people.
    Table,
    /// For programs.
    Json,
    /// For spreadsheets.
    Csv,
}

/// Which prices a command is about.
#[derive(Debug, Clone, clap::Args)]
struct Chosen {
    /// Price book; the built-in one by default.
    #[arg(long, value_name = "FILE", conflicts_with = "config")]
    book: Option<PathBuf>,
    /// The book, deployments, discounts and own prices of this configuration; its secrets are not
    /// looked up.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    match args.command {
        Command::List(args) => list::run(&args),
        Command::Explain(args) => explain::run(&args).await,
        Command::Check(args) => check::run(&args),
        Command::Diff(args) => diff::run(&args),
        Command::Reconcile(args) => reconcile::run(&args).await,
    }
}

impl Chosen {
    /// The prices chosen; `None` after their problems have been told.
    fn open(&self) -> anyhow::Result<Option<PriceBook>> {
        let opened = match (&self.book, &self.config) {
            (Some(path), _) => open_book(path),
            (None, Some(path)) => match load_without_secrets(path)? {
                Some(config) => config.price.open(),
                None => return Ok(None),
            },
            (None, None) => PriceBook::built_in().map_err(BookError::from),
        };
        or_tell(opened)
    }
}

/// The book in a file, or the built-in one by its name.
fn open_book(path: &Path) -> Result<PriceBook, BookError> {
    if path.as_os_str() == BUILT_IN_NAME {
        return Ok(PriceBook::built_in()?);
    }
    config::open_book(path)
}

fn or_tell(opened: Result<PriceBook, BookError>) -> anyhow::Result<Option<PriceBook>> {
    match opened {
        Ok(book) => Ok(Some(book)),
        Err(BookError::Wrong(problems)) => {
            print(&problems.to_string())?;
            Ok(None)
        }
        Err(error @ BookError::Read { .. }) => Err(error.into()),
    }
}

/// A moment on the command line: a day, or an RFC 3339 time.
fn moment(text: &str) -> Result<EventTime, String> {
    let full = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    let read = time::parse(&full).map(EventTime);
    read.ok_or_else(|| "write a day (2026-10-01) or a time (2026-10-01T12:00:00Z)".to_owned())
}

/// Rows as comma-separated values.
pub(super) fn to_csv(
    head: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> anyhow::Result<String> {
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(head)?;
    for row in rows {
        writer.write_record(row)?;
    }
    Ok(String::from_utf8(writer.into_inner().map_err(csv::IntoInnerError::into_error)?)?)
}

/// An empty table in the style of every command.
pub(super) fn table(head: &[&str], right: &[usize]) -> comfy_table::Table {
    let mut table = comfy_table::Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(head);
    for place in right {
        if let Some(column) = table.column_mut(*place) {
            column.set_cell_alignment(comfy_table::CellAlignment::Right);
        }
    }
    table
}
