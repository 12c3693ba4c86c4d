//! `tokenwatch incidents`: what was found, and what people do about it.

mod act;
mod show;
mod stats;

use std::path::PathBuf;

use serde_json::json;

use super::prices::table;
use super::replay::printable;
use super::{Exit, Format, print};
use crate::incident::{CallerShare, Incident};
use crate::money::NanoUsd;
use crate::store::read::Reader;

/// Lists incidents of a database; with a subcommand, does something about one.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:\n  tokenwatch incidents --db tokenwatch.db\n  \
    tokenwatch incidents ack 3f9a1c2b --db tokenwatch.db --by ann --reason \"looking at it\"\n  \
    tokenwatch incidents feedback 3f9a1c2b new-normal --db tokenwatch.db --by ann\n  \
    tokenwatch incidents --db tokenwatch.db --format json | jq '.[] | select(.state == \"open\")'\n  \
    tokenwatch incidents --db tokenwatch.db --open   # exit code 4 when there are any")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    /// Database to read; another process may be writing it.
    #[arg(long, env = "TOKENWATCH_DB", required = true, value_name = "FILE")]
    db: Option<PathBuf>,
    /// Form of the list.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Only open incidents; exit code 4 when there are any.
    #[arg(long)]
    open: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Shows one incident with its whole life.
    Show(show::Args),
    /// Takes an incident: no reminders until it gets worse.
    Ack(act::Args),
    /// Says that an incident is over; if it goes on, it opens again.
    Resolve(act::Args),
    /// Leaves a word for those who come later.
    Note(act::Args),
    /// Says what an incident was; baselines learn from it.
    Feedback(act::FeedbackArgs),
    /// How good the alerts were, by rule.
    Stats(stats::Args),
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    match &args.command {
        None => list(&args).await,
        Some(Command::Show(args)) => show::run(args).await,
        Some(Command::Ack(args)) => act::run(act::Act::Acknowledge, args).await,
        Some(Command::Resolve(args)) => act::run(act::Act::Resolve, args).await,
        Some(Command::Note(args)) => act::run(act::Act::Note, args).await,
        Some(Command::Feedback(args)) => act::feedback(args).await,
        Some(Command::Stats(args)) => stats::run(args).await,
    }
}

/// The incident with this id or key.
pub(super) fn named<'a>(incidents: &'a [Incident], name: &str) -> anyhow::Result<&'a Incident> {
    let is = |incident: &&Incident| incident.key == name || incident.id().starts_with(name);
    let found: Vec<&Incident> = incidents.iter().filter(is).collect();
    match found.as_slice() {
        [one] => Ok(one),
        [] => anyhow::bail!("there is no incident {name}: list them with `tokenwatch incidents`"),
        [one, other, ..] => {
            anyhow::bail!("{name} may be {} or {}: write more of the id", one.id(), other.id())
        }
    }
}

async fn list(args: &Args) -> anyhow::Result<Exit> {
    let Some(db) = &args.db else { anyhow::bail!("name the database with --db FILE") };
    let mut reader = Reader::open(db).await?;
    let mut incidents = reader.incidents().await?;
    if args.open {
        incidents.retain(|incident| incident.state.is_live());
    }
    match args.format {
        Format::Json => {
            let list: Vec<_> = incidents.iter().map(to_json).collect();
            print(&format!("{}\n", serde_json::Value::Array(list)))?;
        }
        Format::Table => print(&to_table(&incidents))?,
    }
    Ok(if args.open && !incidents.is_empty() { Exit::Found } else { Exit::Ok })
}

fn to_json(incident: &Incident) -> serde_json::Value {
    let callers: Vec<_> = incident.callers.iter().map(|caller| &caller.network).collect();
    let details: Vec<_> = incident.callers.iter().map(detail).collect();
    json!({
        "id": incident.id(),
        "key": incident.key,
        "rule": incident.rule,
        "account": incident.account,
        "deployment": incident.deployment,
        "severity": incident.severity.word(),
        "state": incident.state.word(),
        "first_window": incident.first_window.to_string(),
        "opened_at": incident.opened_at.to_string(),
        "resolved_at": incident.resolved_at.map(|at| at.to_string()),
        "observed": incident.observed,
        "expected": incident.expected,
        "unit": incident.unit,
        "cost_nano_usd": incident.cost.map(|cost| cost.0),
        "cost_per_day_nano_usd": incident.cost_per_day.map(|cost| cost.0),
        "callers": callers,
        "caller_details": details,
        "feedback": incident.feedback.map(crate::action::Feedback::word),
        "parent": incident.parent,
        "children": incident.children,
        "history": incident.history,
    })
}

/// A caller with what is known about it; what is unknown is absent.
fn detail(caller: &CallerShare) -> serde_json::Value {
    let known = [
        ("network", Some(json!(caller.network))),
        ("identity", Some(json!(caller.identity))),
        ("tokens", Some(json!(caller.tokens))),
        ("cost_nano_usd", Some(json!(caller.cost.map(|cost| cost.0)))),
        ("new", Some(json!(caller.new))),
        ("name", caller.name.as_ref().map(|name| json!(name))),
        ("about", (!caller.about.is_empty()).then(|| json!(caller.about))),
    ];
    let known = known.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
    serde_json::Value::Object(known.collect())
}

fn to_table(incidents: &[Incident]) -> String {
    if incidents.is_empty() {
        return "no incidents\n".to_owned();
    }
    let head =
        ["id", "severity", "state", "rule", "where", "since", "excess", "per day", "callers"];
    let mut table = table(&head, &[]);
    let usd = |cost: Option<NanoUsd>| cost.map_or_else(|| "-".to_owned(), |cost| cost.to_string());
    for incident in incidents {
        let place = incident.deployment.as_deref().map_or_else(
            || incident.account.clone(),
            |deployment| format!("{}/{deployment}", incident.account),
        );
        let callers = incident.callers.iter().map(|caller| match caller.about.short() {
            Some(short) => format!("{} ({short})", caller.network),
            None => caller.network.clone(),
        });
        table.add_row([
            incident.id(),
            incident.severity.word().to_owned(),
            incident.state.word().to_owned(),
            format!("{} {}", incident.rule, incident.rule_name),
            printable(&place),
            incident.first_window.to_string(),
            usd(incident.cost),
            usd(incident.cost_per_day),
            printable(&callers.collect::<Vec<_>>().join(" ")),
        ]);
    }
    format!("{table}\n")
}
