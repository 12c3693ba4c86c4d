//! `tokenwatch simulate`: Azure's records with exact truth, to files.

use std::fs::File;
use std::io::BufWriter;
use std::path::PathBuf;

use anyhow::Context as _;
use indicatif::ProgressBar;

use super::Exit;
use crate::simulate::{Options, Scenario, Simulation, write_file};

/// Writes simulated Azure records and what really happened.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tokenwatch simulate --scenario stolen-key --seed 7 --out events.jsonl --truth truth.json\n  \
    tokenwatch replay events.jsonl --db try.db && tokenwatch incidents --db try.db"
)]
pub(super) struct Args {
    /// stolen-key, runaway-loop, slow-ramp, outage or quiet.
    #[arg(long, default_value = "stolen-key")]
    scenario: Scenario,
    /// Chooses deployment, callers, size and minute of the attack, and all traffic.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to write the events, one line each; `-` is standard output.
    #[arg(long)]
    out: PathBuf,
    /// Where to write the truth as JSON.
    #[arg(long)]
    truth: Option<PathBuf>,
    /// Hours of usual traffic before the live part.
    #[arg(long, default_value_t = 336)]
    history_hours: u32,
    /// Minutes of the live part.
    #[arg(long, default_value_t = 120)]
    live_minutes: u32,
    /// Mean calls per hour of one deployment.
    #[arg(long, default_value_t = 60.0)]
    calls_per_hour: f64,
    /// Partitions of the hub.
    #[arg(long, default_value_t = 4)]
    partitions: u32,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let simulation = Simulation::new(Options {
        scenario: args.scenario,
        seed: args.seed,
        history_hours: args.history_hours,
        live_minutes: args.live_minutes,
        calls_per_hour: args.calls_per_hour,
        partitions: args.partitions,
        ..Options::default()
    });
    let bar = ProgressBar::new(0);
    let mut progress = |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    };
    let name = args.out.display();
    let failed = || format!("cannot write {name}");
    let count = if args.out.as_os_str() == "-" {
        write_file(&simulation, &mut std::io::stdout().lock(), &mut progress)
    } else {
        let file = File::create(&args.out).with_context(failed)?;
        write_file(&simulation, &mut BufWriter::new(file), &mut progress)
    };
    let count = count.with_context(failed)?;
    bar.finish_and_clear();
    if let Some(path) = &args.truth {
        let text = serde_json::to_string_pretty(&simulation.truth())?;
        std::fs::write(path, text + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    tracing::info!(events = count, out = %name, "simulated");
    Ok(Exit::Ok)
}
