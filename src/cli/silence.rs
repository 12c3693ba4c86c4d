//! `tokenwatch silence`: what is not told for a while.

use std::path::PathBuf;

use serde_json::json;

use super::desk::{Signed, span};
use super::prices::table;
use super::replay::printable;
use super::{Exit, Format, print};
use crate::action::Deed;
use crate::pipeline::wall_clock;
use crate::route::matcher::Matcher;
use crate::store::life::KeptSilence;
use crate::store::read::Reader;
use crate::time::EventTime;

/// Silences: incidents that match are recorded as ever, and not told until the silence ends.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Labels to match: rule, rule_name, severity, account, deployment, model, subscription,\n\
    resource_group, owner; comparisons: = != =~ !~, and >= <= for severity. All must match.\n\n\
    Examples:\n  tokenwatch silence add --match account=contoso-ai --match \"severity<=high\" --for 2h \\\n    \
    --db tokenwatch.db --by ann --reason \"load test\"\n  \
    tokenwatch silence list --db tokenwatch.db\n  \
    tokenwatch silence end 12 --db tokenwatch.db --by ann"
)]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Begins a silence.
    Add(Add),
    /// Lists silences.
    List(List),
    /// Ends a silence before its time.
    End(End),
}

#[derive(Debug, clap::Args)]
struct Add {
    /// A condition, such as account=contoso-ai; several must all hold.
    #[arg(long = "match", required = true, value_name = "CONDITION")]
    matchers: Vec<String>,
    /// How long, such as 90m, 2h or 3d.
    #[arg(long = "for", value_name = "SPAN", value_parser = span)]
    length_ms: i64,
    #[command(flatten)]
    signed: Signed,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Database to read; another process may be writing it.
    #[arg(long, env = "TOKENWATCH_DB", value_name = "FILE")]
    db: PathBuf,
    /// Also those that are over.
    #[arg(long)]
    all: bool,
    /// Form of the list.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct End {
    /// Its number.
    silence: i64,
    #[command(flatten)]
    signed: Signed,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        Command::Add(add) => {
            // What is wrong is said here, not by the service a second later.
            Matcher::parse_all(&add.matchers).map_err(anyhow::Error::msg)?;
            let from_ms = wall_clock()();
            let until_ms = from_ms.saturating_add(add.length_ms);
            let matchers = add.matchers.clone();
            add.signed.ask(&Deed::Silence { matchers, from_ms, until_ms }).await
        }
        Command::End(end) => end.signed.ask(&Deed::Unsilence { silence: end.silence }).await,
        Command::List(args) => list(args).await,
    }
}

async fn list(args: &List) -> anyhow::Result<Exit> {
    let mut silences = Reader::open(&args.db).await?.silences().await?;
    let now_ms = wall_clock()();
    let holds = |kept: &KeptSilence| kept.ended_ms.is_none() && kept.silence.until_ms > now_ms;
    if !args.all {
        silences.retain(holds);
    }
    print(&match args.format {
        Format::Json => {
            let list = silences.iter().map(|kept| to_json(kept, holds(kept)));
            format!("{}\n", serde_json::Value::Array(list.collect()))
        }
        Format::Table if silences.is_empty() => "no silences\n".to_owned(),
        Format::Table => {
            let mut table = table(&["no.", "what", "from", "until", "by", "why"], &[0]);
            for kept in &silences {
                let silence = &kept.silence;
                let until = kept.ended_ms.unwrap_or(silence.until_ms);
                table.add_row([
                    silence.id.to_string(),
                    printable(&silence.matchers.join(" ")),
                    EventTime(silence.from_ms).to_string(),
                    EventTime(until).to_string(),
                    printable(&silence.author),
                    printable(&silence.reason),
                ]);
            }
            format!("{table}\n")
        }
    })?;
    Ok(Exit::Ok)
}

fn to_json(kept: &KeptSilence, holds: bool) -> serde_json::Value {
    let silence = &kept.silence;
    json!({
        "id": silence.id,
        "match": silence.matchers,
        "from": EventTime(silence.from_ms).to_string(),
        "until": EventTime(silence.until_ms).to_string(),
        "ended": kept.ended_ms.map(|at| EventTime(at).to_string()),
        "by": silence.author,
        "reason": silence.reason,
        "holds": holds,
    })
}
