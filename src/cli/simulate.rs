//! `tokenwatch simulate`: Azure's records with exact truth, or labelled series, to files.

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::{Context as _, ensure};
use indicatif::ProgressBar;

use super::prices::table;
use super::{Exit, print};
use crate::simulate::play::{self, Showing};
use crate::simulate::series::{self, Kind, MAX_DEPLOYMENTS, ORACLE_FILE, Preset, Settings};
use crate::simulate::{Options, Scenario, Simulation, write_file};

/// Writes simulated Azure records and what really happened, or labelled series to measure a detector
/// on.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tokenwatch simulate --scenario stolen-key --seed 7 --out events.jsonl --truth truth.json\n  \
    tokenwatch replay events.jsonl --db try.db && tokenwatch incidents --db try.db\n  \
    tokenwatch simulate --list-scenarios\n  \
    tokenwatch simulate --scenario tw-k03-lawful --out events.jsonl --truth truth.json\n  \
    tokenwatch simulate --series fleets/7 --seed 7\n  \
    tokenwatch simulate --series harder --track fleet --preset bursty --deployments 500\n\n\
    Files of a series, with a heading each; a slot is five minutes, and without a row it had no traffic:\n  \
    TRACK.csv.gz          series,slot,requests,tokens_in,tokens_out,callers\n  \
    TRACK_labels.csv      track,series,start,end,type,kind,magnitude (seconds since slot 0)\n  \
    TRACK_meta.csv        series,model,usd_in,usd_out,profile (USD per million tokens)\n  \
    TRACK_info.json       slot length, number of slots and series, scored span\n  \
    callers_fresh.csv.gz  the part of each slot from callers first seen less than 24 hours before its end\n  \
    callers_top.csv.gz    the caller with the most tokens in each slot\n  \
    callers_lawful.csv    lawful events, on which an alert is wrong; no labels, so the scorer sees none\n  \
    fleet_oracle.jsonl    with --oracle: what each deployment was drawn from, which no detector may read"
)]
pub(super) struct Args {
    /// stolen-key, runaway-loop, slow-ramp, outage, quiet, or one that `--list-scenarios` lists.
    #[arg(long, default_value = "stolen-key", conflicts_with = "series")]
    scenario: Chosen,
    /// List the scenarios that prove single detectors, their look-alikes and chains.
    #[arg(long, conflicts_with_all = ["series", "out"])]
    list_scenarios: bool,
    /// Chooses deployment, callers, size and minute of the attack, and all traffic.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where to write the events, one line each; `-` is standard output.
    #[arg(long, required_unless_present_any = ["series", "list_scenarios"], conflicts_with = "series")]
    out: Option<PathBuf>,
    /// Where to write the truth as JSON.
    #[arg(long, conflicts_with = "series")]
    truth: Option<PathBuf>,
    /// Hours of usual traffic before the live part [default: 336].
    #[arg(long, conflicts_with = "series")]
    history_hours: Option<u32>,
    /// Minutes of the live part [default: 120].
    #[arg(long, conflicts_with = "series")]
    live_minutes: Option<u32>,
    /// Mean calls per hour of one deployment [default: 60].
    #[arg(long, conflicts_with = "series")]
    calls_per_hour: Option<f64>,
    /// Partitions of the hub [default: 4].
    #[arg(long, conflicts_with = "series")]
    partitions: Option<u32>,
    #[command(flatten)]
    series: SeriesArgs,
}

/// What is simulated: traffic with one of the simulator's own attacks, or a play.
#[derive(Debug, Clone)]
enum Chosen {
    Simulated(Scenario),
    Played(String),
}

impl FromStr for Chosen {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse() {
            Ok(scenario) => Ok(Self::Simulated(scenario)),
            Err(_) if Showing::named(text, 0).is_some() => Ok(Self::Played(text.to_owned())),
            Err(error) => Err(format!("{error}, and those of --list-scenarios")),
        }
    }
}

/// Options of labelled series.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Labelled series")]
struct SeriesArgs {
    /// Folder to write labelled series to, instead of events.
    #[arg(long, value_name = "DIR")]
    series: Option<PathBuf>,
    /// Which series.
    #[arg(long, value_enum, default_value = "all", conflicts_with = "out")]
    track: TrackChoice,
    /// How many deployments a track has; 60 in `callers`, 200 in others unless given.
    #[arg(long, value_name = "N", conflicts_with = "out", value_parser = deployments)]
    deployments: Option<usize>,
    /// How restless the traffic is.
    #[arg(long, value_enum, default_value = "dev", conflicts_with = "out")]
    preset: Preset,
    /// Write the laws of the fleet's noise too, for the bound of what could be found.
    #[arg(long, conflicts_with = "out")]
    oracle: bool,
    /// Write over files of the same names.
    #[arg(long, conflicts_with = "out")]
    force: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum TrackChoice {
    /// Deployments with twelve kinds of attack.
    Fleet,
    /// The same in their first two weeks.
    Young,
    /// The same with work that begins and ends at once.
    Abrupt,
    /// Deployments whose callers are known, and attacks that only these show.
    Callers,
    /// All of them.
    All,
}

impl TrackChoice {
    const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Fleet => &[Kind::Fleet],
            Self::Callers => &[Kind::Callers],
            Self::Young => &[Kind::Young],
            Self::Abrupt => &[Kind::Abrupt],
            Self::All => &[Kind::Fleet, Kind::Young, Kind::Abrupt, Kind::Callers],
        }
    }
}

fn deployments(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=MAX_DEPLOYMENTS).contains(number));
    number.ok_or_else(|| format!("must be a number from 1 to {MAX_DEPLOYMENTS}"))
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    if args.list_scenarios {
        return list();
    }
    match (&args.series.series, &args.out) {
        (Some(folder), _) => write_series(folder, args.seed, &args.series),
        (None, Some(out)) => write_events(args, out),
        (None, None) => Ok(Exit::Usage),
    }
}

fn write_series(folder: &Path, seed: u64, args: &SeriesArgs) -> anyhow::Result<Exit> {
    let failed = || format!("cannot write to {}", folder.display());
    let kinds = args.track.kinds();
    let oracle = args.oracle && kinds.contains(&Kind::Fleet);
    let files = kinds.iter().flat_map(|kind| series::files(*kind));
    let files = files.chain(oracle.then(|| ORACLE_FILE.to_owned()));
    let existing: Vec<String> = files.filter(|file| folder.join(file).exists()).collect();
    ensure!(
        args.force || existing.is_empty(),
        "{} has {} already; --force writes over them",
        folder.display(),
        existing.join(", ")
    );
    std::fs::create_dir_all(folder).with_context(failed)?;
    for kind in kinds {
        let usual = Settings::of(*kind, args.preset, seed);
        let deployments = args.deployments.unwrap_or(usual.deployments);
        let settings = Settings { deployments, ..usual };
        // Half the work is drawing, half is writing.
        let bar = ProgressBar::new(u64::try_from(2 * deployments)?);
        let track = series::draw(&settings, &|| bar.inc(1));
        series::write(&track, folder, &|| bar.inc(1)).with_context(failed)?;
        if oracle && *kind == Kind::Fleet {
            series::write_oracle(&settings, folder).with_context(failed)?;
        }
        bar.finish_and_clear();
        tracing::info!(
            track = kind.word(),
            series = track.series.len(),
            events = track.series.iter().map(|series| series.events.len()).sum::<usize>(),
            seed,
            folder = %folder.display(),
            "simulated"
        );
    }
    Ok(Exit::Ok)
}

fn list() -> anyhow::Result<Exit> {
    let mut table = table(&["scenario", "what happens", "needs"], &[]);
    for play in play::sorted() {
        for version in play.versions() {
            let showing = Showing::of(play, version, 0);
            let needs: Vec<&str> = play.needs.iter().map(|need| need.words()).collect();
            table.add_row([showing.name(), showing.about(), needs.join("; ")]);
        }
    }
    print(&format!("{table}\n"))?;
    Ok(Exit::Ok)
}

/// The simulation that is meant, and its truth as JSON if it is asked for.
fn chosen(args: &Args) -> anyhow::Result<(Simulation, String)> {
    let usual = Options::default();
    let partitions = args.partitions.unwrap_or(usual.partitions);
    match &args.scenario {
        Chosen::Simulated(scenario) => {
            let simulation = Simulation::new(Options {
                scenario: *scenario,
                seed: args.seed,
                history_hours: args.history_hours.unwrap_or(usual.history_hours),
                live_minutes: args.live_minutes.unwrap_or(usual.live_minutes),
                calls_per_hour: args.calls_per_hour.unwrap_or(usual.calls_per_hour),
                partitions,
                ..usual
            });
            let truth = args.truth.as_ref().map(|_| simulation.truth());
            Ok((simulation, serde_json::to_string_pretty(&truth)?))
        }
        Chosen::Played(name) => {
            let is_free = args.history_hours.or(args.live_minutes).is_none();
            ensure!(
                is_free && args.calls_per_hour.is_none() && args.partitions.is_none(),
                "{name} says itself how long and busy it is: leave out --history-hours, \
                 --live-minutes, --calls-per-hour and --partitions"
            );
            let showing = Showing::named(name, args.seed);
            let showing = showing.with_context(|| format!("no scenario {name}"))?;
            let (simulation, bill) = showing.enact();
            Ok((simulation, serde_json::to_string_pretty(&bill)?))
        }
    }
}

fn write_events(args: &Args, out: &Path) -> anyhow::Result<Exit> {
    let (simulation, truth) = chosen(args)?;
    let bar = ProgressBar::new(0);
    let mut progress = |done, all| {
        bar.set_length(all);
        bar.set_position(done);
    };
    let name = out.display();
    let failed = || format!("cannot write {name}");
    let count = if out.as_os_str() == "-" {
        write_file(&simulation, &mut std::io::stdout().lock(), &mut progress)
    } else {
        let file = File::create(out).with_context(failed)?;
        write_file(&simulation, &mut BufWriter::new(file), &mut progress)
    };
    let count = count.with_context(failed)?;
    bar.finish_and_clear();
    if let Some(path) = &args.truth {
        std::fs::write(path, truth + "\n")
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    tracing::info!(events = count, out = %name, "simulated");
    Ok(Exit::Ok)
}
