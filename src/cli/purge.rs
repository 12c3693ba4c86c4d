//! `tokenwatch purge`: removes what should not be kept.

use std::io::{BufRead as _, IsTerminal as _, Write as _};
use std::path::PathBuf;

use serde_json::json;

use super::prices::table;
use super::{Exit, Format, print};
use crate::azure::directory;
use crate::days::{Date, DaysError, Step, Zone};
use crate::money::Grouped;
use crate::store::purge::{Purge, Removed, Selection};

/// Removes data from a database for good: shows what would go, asks, removes it and writes the file
/// anew. No other process may use the database meanwhile.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch purge --db tokenwatch.db --before 2026-01-01\n  \
    tokenwatch purge --db tokenwatch.db --caller 203.0.113.0/24 --yes\n  \
    tokenwatch purge --db tokenwatch.db --quarantine --outbox-sent\n\n\
    Life-time totals stay. Sums of a caller move to the row of all others; incidents are kept without\n\
    the caller's name, and notifications about it that were delivered go. Removing what is younger\n\
    than four weeks makes detectors learn anew. A purged caller that calls again is seen again.")]
#[command(group(clap::ArgGroup::new("what").required(true).multiple(true)))]
pub(super) struct Args {
    /// Database to remove from.
    #[arg(long, value_name = "FILE")]
    db: PathBuf,
    /// Sums, samples, delivered notifications and resolved incidents from before this UTC day.
    #[arg(long, value_name = "DAY", group = "what")]
    before: Option<Date>,
    /// Everything about this account, by name or resource id.
    #[arg(long, value_name = "NAME", group = "what")]
    account: Vec<String>,
    /// This network or Entra object id, in every account.
    #[arg(long, value_name = "NETWORK|OBJECT-ID", group = "what")]
    caller: Vec<String>,
    /// Samples of records that could not be read.
    #[arg(long, group = "what")]
    quarantine: bool,
    /// Notifications that were delivered.
    #[arg(long, group = "what")]
    outbox_sent: bool,
    /// Do not ask.
    #[arg(long)]
    yes: bool,
    /// Form of the list of what goes.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Exit> {
    let purge = Purge::begin(&args.db, &selections(args)?).await?;
    print(&match args.format {
        Format::Table => to_table(purge.removed()),
        Format::Json => format!("{}\n", json!(purge.removed())),
    })?;
    if purge.removed().is_empty() {
        purge.abandon().await?;
        return Ok(Exit::Ok);
    }
    if !args.yes && !std::io::stdin().is_terminal() {
        purge.abandon().await?;
        tracing::error!("nothing was removed: there is nobody to ask; --yes removes it");
        return Ok(Exit::Usage);
    }
    if args.yes || ask()? {
        purge.decide().await?;
        forget_names(args)?;
    } else {
        purge.abandon().await?;
        tracing::info!("nothing was removed");
    }
    Ok(Exit::Ok)
}

/// What the directory said of the callers lies beside the database.
fn forget_names(args: &Args) -> anyhow::Result<()> {
    if directory::forget(&directory::file_of(&args.db), &args.caller)? {
        tracing::info!("names from the directory were removed too");
    }
    Ok(())
}

fn selections(args: &Args) -> Result<Vec<Selection>, DaysError> {
    let mut selections = Vec::new();
    if let Some(day) = args.before {
        let days = Zone::utc().periods(Step::Day, day, day.tomorrow().map_err(DaysError::from)?)?;
        selections.extend(days.first().map(|day| Selection::Before(day.from)));
    }
    selections.extend(args.account.iter().cloned().map(Selection::Account));
    selections.extend(args.caller.iter().cloned().map(Selection::Caller));
    selections.extend(args.quarantine.then_some(Selection::Quarantine));
    selections.extend(args.outbox_sent.then_some(Selection::OutboxSent));
    Ok(selections)
}

fn to_table(removed: &Removed) -> String {
    if removed.is_empty() {
        return "nothing to remove\n".to_owned();
    }
    let mut table = table(&["rows", "of"], &[0]);
    for (what, rows) in removed {
        let rows = Grouped(i64::try_from(*rows).unwrap_or(i64::MAX)).to_string();
        table.add_row([rows, (*what).to_owned()]);
    }
    format!("{table}\n")
}

fn ask() -> anyhow::Result<bool> {
    let mut err = std::io::stderr();
    write!(err, "Remove this for good? [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    Ok(matches!(answer.trim(), "y" | "Y" | "yes"))
}
