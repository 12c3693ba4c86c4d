//! `tokenwatch test-alert`: does a message reach every destination? The same path as a real one.

use std::path::PathBuf;

use super::{Exit, check, print};
use crate::incident::{Announcement, Incident, Kind, Response};
use crate::notify::{deliver, render};
use crate::pipeline::wall_clock;
use crate::time::{ArrivalTime, EventTime};

/// Sends a harmless message to every destination and says which took it.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch test-alert --config tokenwatch.toml\n  \
    tokenwatch test-alert --config tokenwatch.toml --destination oncall")]
pub(super) struct Args {
    /// Configuration file.
    #[arg(long, env = "TOKENWATCH_CONFIG", default_value = "tokenwatch.toml")]
    config: PathBuf,
    /// Only this destination.
    #[arg(long)]
    destination: Option<String>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let Some(config) = check::load_or_tell(&args.config)? else { return Ok(Exit::Configuration) };
    let wanted = |name: &str| args.destination.as_deref().is_none_or(|only| only == name);
    let chosen: Vec<_> =
        config.destinations.into_iter().filter(|destination| wanted(&destination.name)).collect();
    anyhow::ensure!(!chosen.is_empty(), "no such destination in {}", args.config.display());
    let now_ms = wall_clock()();
    let announcement = announcement(now_ms);
    let mut failed = 0;
    for destination in chosen {
        let name = destination.name.clone();
        for notification in render(&announcement, std::slice::from_ref(&destination))? {
            let channel = destination.connect()?;
            let outcome = deliver::attempt(&*channel, &notification, now_ms / 1000).await;
            match outcome.result {
                Ok(()) => print(&format!("{name}: delivered\n"))?,
                Err(error) => {
                    failed += 1;
                    print(&format!("{name}: {error}\n"))?;
                }
            }
        }
    }
    Ok(if failed == 0 { Exit::Ok } else { Exit::Failed })
}

fn announcement(now_ms: i64) -> Announcement {
    let at = ArrivalTime(now_ms);
    let incident = Incident {
        key: format!("test-alert|{now_ms}"),
        rule: "test-alert".to_owned(),
        rule_name: "Test message".to_owned(),
        account: "no account".to_owned(),
        first_window: EventTime(now_ms),
        last_window: EventTime(now_ms),
        opened_at: at,
        unit: "nothing".to_owned(),
        evidence: vec!["Somebody asked whether this channel works. It does.".to_owned()],
        response: vec![Response { what: "Nothing to do.".to_owned(), command: String::new() }],
        confidence: 1.0,
        ..Incident::default()
    };
    Announcement { kind: Kind::Test, step: 0, at, written: None, incident }
}
