//! `tokenwatch backtest`: recorded series through the detector of the service.

mod ablate;
mod fit;
mod marks;

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};

use super::{Exit, print};
use crate::backtest::score::attacks::WEEK_S;
use crate::backtest::score::episodes;
use crate::backtest::{Alert, COLUMNS, Draw, Draws, Layout, Run, Track, openings};
use crate::detect::baseline::as_float;
use crate::detect::score::{ScoreSettings, Tails};
use crate::money::Grouped;
use crate::problem::Problems;

/// Lowest score that is written of traffic: enough to see what nearly fired.
const MIN_SCORE: f64 = 0.5;

/// Runs recorded series through the detector and writes its alerts.
///
/// A folder holds `TRACK.csv` or `TRACK.csv.gz`: rows of `series,slot,requests,tokens_in,tokens_out,callers`
/// with `TRACK_meta.csv` (prices) and `TRACK_info.json` (length of slots), or rows of
/// `series,timestamp,value`. Every slot is judged by what came before it; a score of 1 fires.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "Examples:\n  \
    tokenwatch backtest --data bench/dev --track fleet --out alerts.csv\n  \
    tokenwatch backtest --data tests/data/detection --track servegen --alerts-per-week 0.25 --score\n  \
    tokenwatch backtest --file cpu.csv --format json | jq .reason")]
pub(super) struct Args {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    tuning: Tuning,
    /// Where to write the alerts; standard output by default. Of values without labels, one row an incident.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Form of the alerts (JSON: an object a line), and of the table of `--score`.
    #[arg(long, value_enum, default_value = "csv")]
    format: Form,
    /// Lowest score that is written; 0.5 for traffic, everything above 0 for values.
    #[arg(long, value_parser = positive)]
    min_score: Option<f64>,
    /// Print how good the alerts are by the labels beside the data; alerts go to `--out` alone then.
    #[arg(long, conflicts_with = "file")]
    score: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    Ablate(ablate::Args),
    Fit(fit::Args),
}

/// Which series.
#[derive(Debug, clap::Args)]
#[group(id = "input", required = true, multiple = true)]
pub(super) struct Input {
    /// Folder with the files of a track.
    #[arg(long, value_name = "DIR", requires = "track", required_unless_present = "file")]
    data: Option<PathBuf>,
    /// What the files of the track are called: TRACK.csv and others.
    #[arg(long, requires = "data")]
    track: Option<String>,
    /// One series: a file of `timestamp,value`.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["data", "track"])]
    file: Option<PathBuf>,
}

/// How they are judged.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct Tuning {
    /// False alerts accepted per deployment and week.
    #[arg(long, default_value_t = ScoreSettings::default().alerts_per_week, value_parser = positive)]
    alerts_per_week: f64,
    #[command(flatten)]
    threads: Threads,
}

#[derive(Debug, Clone, Copy, clap::Args)]
struct Threads {
    /// Threads; as many as there are processors by default. Results do not depend on it.
    #[arg(long)]
    threads: Option<NonZeroUsize>,
}

/// Draws with labels.
#[derive(Debug, clap::Args)]
struct Drawn {
    /// Folders with a draw of each track, with labels.
    #[arg(long, value_name = "DIR", required = true, value_delimiter = ',')]
    data: Vec<PathBuf>,
    /// What the files of the tracks are called.
    #[arg(long, value_name = "TRACK", required = true, value_delimiter = ',')]
    track: Vec<String>,
    #[command(flatten)]
    threads: Threads,
}

/// Form of alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// A table with a heading.
    Csv,
    /// A JSON object a line.
    Json,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    match &args.command {
        None => judge(args),
        Some(Command::Ablate(args)) => ablate::run(args),
        Some(Command::Fit(args)) => fit::run(args),
    }
}

fn judge(args: &Args) -> anyhow::Result<Exit> {
    let track = args.input.open()?;
    let min_score = args.min_score.unwrap_or(match track.layout {
        Layout::Attacks(_) => MIN_SCORE,
        Layout::Values => 0.0,
    });
    // Labels first: a wrong file is told before the work and not after it.
    let labels = match (&args.input.data, args.score) {
        (Some(folder), true) => {
            Some((folder, marks::of(folder, &track, &[]).map_err(|problems| refusal(&problems))?))
        }
        _ => None,
    };
    let mut out = args.out.as_deref().map(create).transpose()?;
    let bar = progress(track.slots());
    let mut told = |judged| bar.set_position(u64::try_from(judged).unwrap_or(0));
    let alerts = args.tuning.run(&track).keep(|judged| Alert::of(judged, min_score), &mut told);
    let alerts = if track.counts_rows() { openings(alerts) } else { alerts };
    bar.finish_and_clear();
    if let Some((path, file)) = &mut out {
        write(&alerts, args.format, file)
            .and_then(|()| Ok(file.flush()?))
            .with_context(|| format!("cannot write {}", path.display()))?;
    } else if labels.is_none() {
        let mut text = Vec::new();
        write(&alerts, args.format, &mut text)?;
        print(&String::from_utf8(text)?)?;
    }
    if let Some((folder, _)) = labels {
        let marks = marks::of(folder, &track, &alerts).map_err(|problems| refusal(&problems))?;
        print(&match args.format {
            Form::Csv => marks.to_table(),
            Form::Json => format!("{}\n", marks.to_json()),
        })?;
    }
    // Nobody to tell if standard error is gone.
    drop(writeln!(std::io::stderr(), "{}", summary(&track, &alerts)));
    Ok(Exit::Ok)
}

impl Input {
    /// The series chosen.
    pub(super) fn open(&self) -> anyhow::Result<Track> {
        match (&self.data, &self.track, &self.file) {
            (Some(folder), Some(name), _) => {
                Track::open(folder, name).map_err(|problems| refusal(&problems))
            }
            (_, _, Some(path)) => Track::open_file(path).map_err(|problems| refusal(&problems)),
            (Some(_) | None, _, None) => anyhow::bail!("name --data with --track, or --file"),
        }
    }
}

impl Tuning {
    /// A run over all of the track.
    pub(super) fn run(self, track: &Track) -> Run<'_> {
        let settings =
            ScoreSettings { alerts_per_week: self.alerts_per_week, ..ScoreSettings::default() };
        Run { track, settings, threads: self.threads.count(), until: None }
    }
}

impl Drawn {
    /// All draws, or everything that is wrong with them.
    fn open(&self) -> anyhow::Result<Vec<Draw>> {
        let (mut draws, mut problems) = (Vec::new(), Vec::new());
        for folder in &self.data {
            for track in &self.track {
                match Draw::open(folder, track) {
                    Ok(draw) => draws.push(draw),
                    Err(found) => problems.extend(found.0),
                }
            }
        }
        if problems.is_empty() { Ok(draws) } else { Err(refusal(&Problems(problems))) }
    }

    /// These, on as many threads as asked for.
    fn of<'a>(&self, all: &'a [Draw]) -> Draws<'a> {
        Draws { all, threads: self.threads.count() }
    }
}

/// A table of tails.
fn read_tails(path: &Path) -> anyhow::Result<Tails> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
    Tails::parse(&file, &text).map_err(|problems| refusal(&problems))
}

impl Threads {
    fn count(self) -> usize {
        let threads = self.threads.or_else(|| std::thread::available_parallelism().ok());
        threads.map_or(1, NonZeroUsize::get)
    }
}

/// A number above zero on the command line.
fn positive(text: &str) -> Result<f64, String> {
    let read = text.parse().ok().filter(|value: &f64| value.is_finite() && *value > 0.0);
    read.ok_or_else(|| "write a number above 0, such as 0.1".to_owned())
}

/// All problems as the last word of the command.
fn refusal(problems: &Problems) -> anyhow::Error {
    let count = problems.0.len();
    anyhow::anyhow!("{count} problem(s) with the data; nothing was started\n{problems}")
}

fn create(path: &Path) -> anyhow::Result<(&Path, BufWriter<File>)> {
    let file = File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok((path, BufWriter::new(file)))
}

/// A bar over slots; shown on a terminal only.
pub(super) fn progress(slots: i64) -> ProgressBar {
    let bar = ProgressBar::new(u64::try_from(slots).unwrap_or(0));
    let style = "{bar:40} {percent:>3}% {human_pos}/{human_len} slots {per_sec} eta {eta}";
    if let Ok(style) = ProgressStyle::with_template(style) {
        bar.set_style(style);
    }
    bar
}

fn write(alerts: &[Alert], form: Form, out: &mut impl Write) -> anyhow::Result<()> {
    match form {
        Form::Csv => {
            let mut writer = csv::Writer::from_writer(out);
            writer.write_record(COLUMNS)?;
            for alert in alerts {
                writer.write_record(alert.cells())?;
            }
            writer.flush()?;
        }
        Form::Json => {
            for alert in alerts {
                serde_json::to_writer(&mut *out, alert)?;
                out.write_all(b"\n")?;
            }
        }
    }
    Ok(())
}

/// One paragraph about a run.
fn summary(track: &Track, alerts: &[Alert]) -> String {
    let fired: Vec<&Alert> = alerts.iter().filter(|alert| alert.score >= 1.0).collect();
    let series: BTreeSet<&str> = fired.iter().map(|alert| alert.series.as_str()).collect();
    let seconds = track.series.iter().map(|series| {
        (series.slots.end - series.slots.start).saturating_mul(series.grid.slot_seconds)
    });
    let weeks = as_float(seconds.sum()) / WEEK_S;
    let episodes = episodes(alerts);
    format!(
        "{}: {} series, {} slots judged. {} of the slots, in {} series, have a score of 1 or more: \
         {episodes} alerts, if those of a series within 6 h are one, and {:.3} a series and week.",
        track.name,
        track.series.len(),
        Grouped(track.slots()),
        fired.len(),
        series.len(),
        f64::from(episodes) / weeks.max(f64::MIN_POSITIVE),
    )
}
