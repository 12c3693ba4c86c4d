//! `tokenwatch routes`: who would be told, and why.

use std::path::PathBuf;

use serde_json::json;

use super::prices::table;
use super::{Exit, Format, check, print};
use crate::pipeline::wall_clock;
use crate::route::matcher::{LABELS, Labels};
use crate::route::{Explained, GroupBy, Route, Silence, Verdict, explain};
use crate::severity::Severity;
use crate::store::read::Reader;
use crate::time::{EventTime, HOUR_MS, MINUTE_MS};

/// Shows the route tree, or who would be told of an incident and why.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch routes show --config tokenwatch.toml\n  \
    tokenwatch routes test --config tokenwatch.toml \\\n    \
    --labels rule=TW-C01,severity=high,account=contoso-ai --at 2026-11-29T03:00:00Z")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Shows the tree.
    Show(Show),
    /// Says who would be told of an incident with these labels, and why. Exit code 4: nobody.
    Test(Test),
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Configuration file.
    #[arg(long, env = "TOKENWATCH_CONFIG", default_value = "tokenwatch.toml")]
    config: PathBuf,
}

#[derive(Debug, clap::Args)]
struct Test {
    /// Configuration file.
    #[arg(long, env = "TOKENWATCH_CONFIG", default_value = "tokenwatch.toml")]
    config: PathBuf,
    /// Labels of the incident.
    #[arg(long, value_delimiter = ',', required = true, value_name = "NAME=VALUE,…")]
    labels: Vec<String>,
    /// When; now by default.
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
    /// Form of the answer.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        Command::Show(args) => {
            let Some(config) = check::load_or_tell(&args.config)? else {
                return Ok(Exit::Configuration);
            };
            let mut text = String::new();
            draw(&config.plan.root, &mut text);
            print(&text)?;
            Ok(Exit::Ok)
        }
        Command::Test(args) => test(args).await,
    }
}

/// One route a line, children indented.
fn draw(route: &Route, into: &mut String) {
    let depth = route.path.matches('.').count();
    let group = match &route.group_by {
        GroupBy::Incident => "each by itself".to_owned(),
        GroupBy::Labels(names) if names.is_empty() => "all together".to_owned(),
        GroupBy::Labels(names) => format!("by {}", names.join(", ")),
    };
    let repeat = match route.repeat_ms {
        0 => "told once".to_owned(),
        ms => format!("again after {}", length(ms)),
    };
    let indent = "  ".repeat(depth);
    let on = if route.go_on { ", and asks on" } else { "" };
    into.push_str(&format!(
        "{indent}{} → {}: {group}, {repeat}{on}\n",
        route.title(),
        route.receivers.join(", ")
    ));
    for child in &route.routes {
        draw(child, into);
    }
}

async fn test(args: &Test) -> anyhow::Result<Exit> {
    let Some(config) = check::load_or_tell(&args.config)? else { return Ok(Exit::Configuration) };
    let labels = labels(&args.labels)?;
    let now_ms = match &args.at {
        None => wall_clock()(),
        Some(text) => {
            let at: jiff::Timestamp = text
                .parse()
                .map_err(|_| anyhow::anyhow!("{text:?} is no time: write 2026-11-29T03:00:00Z"))?;
            at.as_millisecond()
        }
    };
    let silences: Vec<Silence> = if config.database.is_file() {
        let kept = Reader::open(&config.database).await?.silences().await?;
        let held = kept.into_iter().filter(|kept| kept.ended_ms.is_none());
        held.map(|kept| kept.silence).collect()
    } else {
        Vec::new()
    };
    let told = explain(&config.plan, &silences, &labels, now_ms);
    print(&match args.format {
        Format::Json => {
            format!("{}\n", serde_json::Value::Array(told.iter().map(to_json).collect()))
        }
        Format::Table => {
            let at = EventTime(now_ms);
            let mut table = table(&["receiver", "is told", "told again", "company", "by"], &[]);
            for one in &told {
                table.add_row([
                    one.receiver.clone(),
                    verdict(&one.verdict),
                    if one.repeat_ms == 0 { "no".to_owned() } else { length(one.repeat_ms) },
                    one.group.clone(),
                    one.route.clone(),
                ]);
            }
            format!("at {at}\n{table}\n")
        }
    })?;
    let heard = told.iter().any(|one| matches!(one.verdict, Verdict::Told(_)));
    Ok(if heard { Exit::Ok } else { Exit::Found })
}

fn labels(texts: &[String]) -> anyhow::Result<Labels> {
    let read = texts.iter().map(|text| {
        let pair = text.split_once('=');
        let (name, value) =
            pair.ok_or_else(|| anyhow::anyhow!("{text:?} is no label: write name=value"))?;
        anyhow::ensure!(
            LABELS.contains(&name),
            "there is no label {name:?}: known are {}",
            LABELS.join(", ")
        );
        anyhow::ensure!(
            name != "severity" || Severity::from_word(value).is_some(),
            "there is no severity {value:?}"
        );
        Ok((name.to_owned(), value.to_owned()))
    });
    read.collect()
}

fn verdict(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Told(0) => "at once".to_owned(),
        Verdict::Told(ms) => format!("after {}", length(*ms)),
        Verdict::TooLow(least) => format!("no: hears from {least} on"),
        Verdict::Held(why) => format!("held back: {why}"),
    }
}

fn length(ms: i64) -> String {
    match ms {
        ms if ms % HOUR_MS == 0 => format!("{} h", ms / HOUR_MS),
        ms if ms % MINUTE_MS == 0 => format!("{} min", ms / MINUTE_MS),
        ms => format!("{} s", ms / 1000),
    }
}

fn to_json(one: &Explained) -> serde_json::Value {
    let held = match &one.verdict {
        Verdict::Held(why) => Some(why.clone()),
        Verdict::TooLow(least) => Some(format!("hears from {least} on")),
        Verdict::Told(_) => None,
    };
    let after_ms = match one.verdict {
        Verdict::Told(ms) => Some(ms),
        Verdict::TooLow(_) | Verdict::Held(_) => None,
    };
    json!({
        "receiver": one.receiver,
        "route": one.route,
        "group": one.group,
        "told_after_ms": after_ms,
        "held": held,
        "repeat_ms": one.repeat_ms,
    })
}
