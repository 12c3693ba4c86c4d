//! `tokenwatch prices check`: what is wrong with a price book, and what is odd.

use std::path::{Path, PathBuf};

use serde_json::json;

use super::super::{Exit, Format, print};
use crate::config::read_book;
use crate::money::Grouped;
use crate::price::book::{BUILT_IN, BUILT_IN_NAME};
use crate::price::check::{Checked, check};
use crate::problem::Problem;

/// Checks a price book: everything that keeps it from being used, with line and column, and every
/// price that is hardly right. Exit code 4 when there is any of these.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch prices check my-prices.toml\n  \
    tokenwatch prices check   # the built-in book\n\n\
    Doubted are: cached input dearer than input, cache writes cheaper than input, batch or flex dearer\n\
    and priority cheaper than standard, data zones cheaper than global, long prompts cheaper than short\n\
    ones, prices five times those of other versions and scopes of the model, prices of nothing and of\n\
    more than 1,000 a million, and times without a price.")]
pub(super) struct Args {
    /// The book; the built-in one by default.
    file: Option<PathBuf>,
    /// Form of what is found.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let path = args.file.as_deref().filter(|path| *path != Path::new(BUILT_IN_NAME));
    let checked = match path {
        None => check(BUILT_IN, BUILT_IN_NAME),
        Some(path) => check(&read_book(path)?, &path.display().to_string()),
    };
    let text = match args.format {
        Format::Table => to_text(&checked),
        Format::Json => format!(
            "{}\n",
            json!({ "rows": checked.rows, "problems": checked.problems, "doubts": checked.doubts })
        ),
    };
    print(&text)?;
    let fine = checked.problems.is_empty() && checked.doubts.is_empty();
    Ok(if fine { Exit::Ok } else { Exit::Found })
}

fn to_text(checked: &Checked) -> String {
    let mut text = String::new();
    let mut list = |kind: &str, found: &[Problem]| {
        for problem in found {
            text.push_str(&format!("{kind}: {problem}"));
        }
    };
    list("problem", &checked.problems);
    list("doubt", &checked.doubts);
    let (problems, doubts) = (checked.problems.len(), checked.doubts.len());
    let rows = Grouped(i64::try_from(checked.rows).unwrap_or(i64::MAX));
    text.push_str(&format!("{rows} row(s), {problems} problem(s), {doubts} doubt(s)\n"));
    text
}
