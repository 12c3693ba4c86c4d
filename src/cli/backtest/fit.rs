//! `tokenwatch backtest fit`: the pooled tails of the detector, counted anew.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Drawn, progress, read_tails};
use crate::backtest::{Fit, Fitted};
use crate::cli::Exit;
use crate::detect::score::Tails;
use crate::detect::score::measure::Regime;

/// Counts how often each score is reached where nothing is wrong, and writes the detector's table of it.
///
/// Every draw of a track is judged as by `backtest`, attacks and the day after them are left out. Draws of a fleet
/// fill the rows of busy and idle deployments; of deployments younger than two weeks those of new and young ones, or of
/// wild ones where most have one caller at a time or none; labelled single values those of bare ones; and where
/// `TRACK_fresh.csv` says what new callers did, the rows of that part alone.
/// Other rows of the table stay as they are.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tokenwatch simulate --series draws/1 --seed 1 --preset bursty\n  \
    tokenwatch backtest fit --data draws/1,draws/2 --track fleet,abrupt --out models/detection.csv\n  \
    tokenwatch backtest fit --data draws/1,draws/2 --track callers --out models/detection.csv")]
pub(super) struct Args {
    #[command(flatten)]
    draws: Drawn,
    /// The table: where there is one, its other rows are kept; else those that are compiled in.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How often the draws are judged and counted, since what fires by the table is not learnt from.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=9))]
    rounds: u32,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let before = match args.out.exists() {
        true => read_tails(&args.out)?,
        false => Tails::clone(&Tails::of_program()),
    };
    let all = args.draws.open()?;
    let fit = Fit { draws: args.draws.of(&all), rounds: args.rounds };
    let bar = progress(fit.slots());
    let mut told = |judged| bar.set_position(u64::try_from(judged).unwrap_or(0));
    let fitted = fit.run(before.clone(), &mut told).with_context(|| what(args))?;
    bar.finish_and_clear();
    write_whole(&args.out, &fitted.tails.to_table())
        .with_context(|| format!("cannot write {}", args.out.display()))?;
    // Nobody to tell if standard error is gone.
    drop(writeln!(std::io::stderr(), "{}", summary(args, &before, &fitted)));
    Ok(Exit::Ok)
}

/// Writes the table whole or not at all, for it is what the next run begins with. The draft lies beside it as
/// `FILE.draft`; one that a stopped run has left is written over.
fn write_whole(path: &Path, table: &str) -> std::io::Result<()> {
    let mut draft = path.as_os_str().to_owned();
    draft.push(".draft");
    let written = std::fs::write(&draft, table).and_then(|()| std::fs::rename(&draft, path));
    if written.is_err() {
        // What cannot be removed is written over next time.
        drop(std::fs::remove_file(&draft));
    }
    written
}

fn what(args: &Args) -> String {
    let Drawn { data, track, .. } = &args.draws;
    let folders: Vec<String> = data.iter().map(|folder| folder.display().to_string()).collect();
    format!("cannot fit the tails to {} of {}", track.join(" and "), folders.join(", "))
}

fn summary(args: &Args, before: &Tails, fitted: &Fitted) -> String {
    let weeks = fitted.weeks.iter().map(|(regime, weeks)| {
        let name = Regime::ALL.iter().find(|(known, _)| known == regime);
        format!("{weeks:.1} weeks of {} deployments", name.map_or("", |(_, name)| name))
    });
    let weeks = weeks.collect::<Vec<_>>().join(" and ");
    let Drawn { data, track, .. } = &args.draws;
    let (out, draws) = (args.out.display(), data.len() * track.len());
    let mut text = format!("{out}: counted {weeks} in {draws} draws");
    let lost = lost(before, &fitted.tails);
    if !lost.is_empty() {
        let lost = lost.join(", ");
        text.push_str(&format!("; no row any more for {lost}: without one a part never fires"));
    }
    text
}

/// Parts and kinds of deployments that had a row and have none any more.
fn lost(before: &Tails, after: &Tails) -> Vec<String> {
    let name = |row: &str| row.split(',').take(2).collect::<Vec<_>>().join(" ");
    let names = |tails: &Tails| tails.to_table().lines().map(name).collect::<Vec<_>>();
    let kept = names(after);
    names(before).into_iter().filter(|row| !kept.contains(row)).collect()
}
