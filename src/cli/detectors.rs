//! `tokenwatch detectors`: what it can notice, from the one table of detectors.

use serde_json::json;

use super::prices::table;
use super::{Exit, Format, drill, print};
use crate::detect::table::{self as detectors, Profile};

/// Lists the detectors: what each notices, needs and cannot know.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch detectors list\n  \
    tokenwatch detectors list --format json | jq '.[] | select(.severity == \"high\") | .id'\n  \
    tokenwatch detectors show TW-K03\n  \
    tokenwatch detectors test TW-K03 leaked-key --seeds 5   # exit code 4 when one is not as it must be\n  \
    tokenwatch detectors docs > docs/detectors.md")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Lists all.
    List(List),
    /// Shows one.
    Show(Show),
    Test(drill::Args),
    /// Prints the manual's page about them.
    Docs,
}

#[derive(Debug, clap::Args)]
struct List {
    /// Form of the answer.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Debug, clap::Args)]
struct Show {
    /// Identifier, such as TW-K03.
    #[arg(value_name = "ID")]
    id: String,
    /// Form of the answer.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        Command::List(args) => print(&list(args.format))?,
        Command::Docs => print(&page())?,
        Command::Test(args) => return drill::run(args).await,
        Command::Show(args) => {
            let Some(profile) = detectors::find(&args.id.to_uppercase()) else {
                anyhow::bail!(
                    "there is no detector {:?}; `tokenwatch detectors list` has all",
                    args.id
                );
            };
            print(&match args.format {
                Format::Json => format!("{:#}\n", to_json(profile)),
                Format::Table => describe(profile),
            })?;
        }
    }
    Ok(Exit::Ok)
}

fn list(format: Format) -> String {
    match format {
        Format::Json => {
            let entries: serde_json::Value = detectors::all().iter().map(to_json).collect();
            format!("{entries:#}\n")
        }
        Format::Table => {
            let mut table = table(&["id", "severity", "family", "name", "needs"], &[]);
            for profile in detectors::all() {
                table.add_row([
                    &profile.id,
                    profile.severity.word(),
                    profile.family.word(),
                    &profile.name,
                    &profile.needs,
                ]);
            }
            format!("{table}\n{}\n", counted())
        }
    }
}

/// How many there are.
fn counted() -> String {
    format!("{} detectors", detectors::all().len())
}

fn to_json(profile: &Profile) -> serde_json::Value {
    json!({
        "id": profile.id,
        "name": profile.name,
        "family": profile.family.word(),
        "severity": profile.severity.word(),
        "about_cost": profile.about_cost,
        "techniques": profile.techniques,
        "topics": profile.topics,
        "inputs": profile.inputs,
        "needs": profile.needs,
        "what": profile.what,
        "why": profile.why,
        "cannot_know": profile.cannot_know,
        "defaults": profile.defaults,
    })
}

fn lines(profile: &Profile) -> Vec<(&'static str, String)> {
    let mut lines = vec![
        ("What has happened", profile.what.clone()),
        ("Why it matters", profile.why.clone()),
        ("Needs", profile.needs.clone()),
        ("Cannot know", profile.cannot_know.clone()),
        ("Severity", format!("{}, before money and doubt", profile.severity)),
        ("Techniques", profile.techniques.join(", ")),
        (
            "Topics",
            profile.topics.iter().map(|topic| topic_name(*topic)).collect::<Vec<_>>().join(", "),
        ),
    ];
    let defaults = profile.defaults.iter().map(|(name, value)| format!("{name} {value}"));
    let defaults = defaults.collect::<Vec<_>>().join(", ");
    if !defaults.is_empty() {
        lines.push(("Thresholds", defaults));
    }
    lines
}

/// What a number of [`Profile::topics`] stands for.
const fn topic_name(topic: u8) -> &'static str {
    match topic {
        1 => "policy and sprawl",
        2 => "network",
        3 => "private endpoints",
        4 => "keys",
        5 => "outbound",
        6 => "encryption",
        7 => "diagnostics",
        _ => "spend",
    }
}

fn describe(profile: &Profile) -> String {
    let mut text = format!("{} {}\n", profile.id, profile.name);
    for (title, line) in lines(profile) {
        text.push_str(&format!("{title}: {line}\n"));
    }
    text
}

fn page() -> String {
    let mut text = format!(
        "# Detectors\n\nMade by `tokenwatch detectors docs` from `models/detectors.toml`; a test compares \
         both. {}.\n",
        counted()
    );
    let mut family = None;
    for profile in detectors::all() {
        if family != Some(profile.family) {
            family = Some(profile.family);
            text.push_str(&format!("\n## {}\n", profile.family.word()));
        }
        text.push_str(&format!("\n### {} {}\n\n", profile.id, profile.name));
        for (title, line) in lines(profile) {
            text.push_str(&format!("- {title}: {line}\n"));
        }
    }
    text
}
