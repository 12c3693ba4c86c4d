//! `tokenwatch drill`: does the alarm work, from the hub to the incident?

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use indicatif::ProgressBar;

use super::doctor::timing::span;
use super::prices::table;
use super::{Exit, check, print};
use crate::incident::{Incident, short_id};
use crate::pipeline::wall_clock;
use crate::simulate::play::{self, Play, Playbill, Showing, Version};
use crate::source::event_hubs::{HubSettings, send};
use crate::store::read::Reader;

/// How often the database is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Proves the alarm on a live hub: sends made-up records of a scenario to it and waits for the incident.
///
/// The records are those of an attack on an account of a made-up subscription; nothing of yours is touched,
/// and people are told as of any incident. What was sent stays in hub and database. The identity needs to send
/// to the hub, which the service does not. Exit code 4 when the incident does not come.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch drill --list\n  \
    tokenwatch drill --config tokenwatch.toml                      # says what it would send\n  \
    tokenwatch drill --config tokenwatch.toml --scenario tw-p10 --yes\n\n\
    Scenarios that need days of traffic before are played on this machine: `tokenwatch detectors test`.")]
pub(super) struct Args {
    /// Configuration that names the hub and the database of the running service.
    #[arg(long, value_name = "FILE", env = "TOKENWATCH_CONFIG", default_value = "tokenwatch.toml")]
    config: PathBuf,
    /// What is played; --list has all.
    #[arg(long, default_value = "tw-p04")]
    scenario: String,
    /// Hub to send to, as the configuration calls it; the first unless given.
    #[arg(long, value_name = "NAME")]
    hub: Option<String>,
    /// Chooses names and times; unless given, every drill is another.
    #[arg(long)]
    seed: Option<u64>,
    /// Minutes to wait for the incident; 0 only sends, where the database is elsewhere.
    #[arg(long, value_name = "MINUTES", default_value_t = 10,
          value_parser = clap::value_parser!(u64).range(0..=24 * 60))]
    wait: u64,
    /// Really send.
    #[arg(long)]
    yes: bool,
    /// List what can be played.
    #[arg(long, conflicts_with_all = ["scenario", "yes"])]
    list: bool,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    if args.list {
        return list();
    }
    let play = live().find(|play| play.name.eq_ignore_ascii_case(&args.scenario));
    let play = play.with_context(|| {
        format!(
            "{:?} cannot be played on a live hub; `tokenwatch drill --list` has what can",
            args.scenario
        )
    })?;
    let Some(config) = check::load_or_tell(&args.config)? else { return Ok(Exit::Configuration) };
    let named = |hub: &&HubSettings| args.hub.as_ref().is_none_or(|name| hub.name == *name);
    let hub = config.hubs.iter().find(named).context("the configuration has no such hub")?;
    let now = wall_clock()();
    let seed = args.seed.unwrap_or_else(|| u64::try_from(now / 1_000).unwrap_or(0));
    let (simulation, bill) = Showing::of(play, Version::Attack, seed).ending(now).enact();
    let bodies: Vec<Vec<u8>> =
        simulation.without_calls().events().map(|event| event.body).collect();
    let what = format!(
        "{} events about {}, an account of the made-up subscription {}: {}",
        bodies.len(),
        bill.account,
        bill.subscription,
        bill.about
    );
    if !args.yes {
        print(&format!("would send to {} {what}\nnothing was sent; --yes sends it\n", hub.name))?;
        return Ok(Exit::Ok);
    }
    if args.wait > 0 {
        let opened = Reader::open(&config.database).await;
        opened.context("--wait 0 only sends, where the service's database is elsewhere")?;
    }
    let bar = ProgressBar::new(u64::try_from(bodies.len())?);
    let sending = send(hub, bodies.into_iter(), &mut || bar.inc(1)).await;
    bar.finish_and_clear();
    sending.with_context(|| format!("cannot send to {}", hub.name))?;
    print(&format!("sent to {} {what}\n", hub.name))?;
    if args.wait == 0 {
        return Ok(Exit::Ok);
    }
    let within = Duration::from_mins(args.wait);
    match tokio::time::timeout(within, told(&config.database, &bill)).await {
        Ok(incident) => {
            let incident = incident?;
            let wait = span(incident.opened_at.0.saturating_sub(now));
            let (id, severity) = (short_id(&incident.key), incident.severity.word());
            print(&format!(
                "told after {wait}: {} ({}, {severity}), incident {id}\n\
                 who heard of it: tokenwatch incidents show {id} --db {}\n",
                incident.rule_name,
                incident.rule,
                config.database.display()
            ))?;
            Ok(Exit::Ok)
        }
        Err(_) => {
            print(&format!(
                "not told within {} min: does the service run, and does it read {}? \
                 `tokenwatch doctor` says how far it has read\n",
                args.wait, hub.name
            ))?;
            Ok(Exit::Found)
        }
    }
}

/// What a live hub can be asked to notice.
fn live() -> impl Iterator<Item = &'static Play> {
    play::sorted().into_iter().filter(|play| play.is_live && play.needs.is_empty())
}

fn list() -> anyhow::Result<Exit> {
    let mut table = table(&["scenario", "what happens"], &[]);
    for play in live() {
        table.add_row([play.name, play.about]);
    }
    print(&format!("{table}\n"))?;
    Ok(Exit::Ok)
}

/// Waits for an incident of the drill.
async fn told(database: &std::path::Path, bill: &Playbill) -> anyhow::Result<Incident> {
    ensure!(!bill.must_find.is_empty(), "{} is lawful: nothing comes of it", bill.scenario);
    let is_it = |incident: &Incident| {
        let resource = incident.resource_id.as_deref().unwrap_or_default();
        bill.must_find.contains(&incident.rule) && resource.contains(&bill.subscription)
    };
    loop {
        let incidents = Reader::open(database).await?.incidents().await?;
        if let Some(incident) = incidents.into_iter().find(is_it) {
            return Ok(incident);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
