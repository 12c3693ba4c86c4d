//! `tokenwatch detectors test`: plays every scenario and says whether each was found, and how fast.

use std::collections::BTreeMap;

use anyhow::ensure;
use futures_util::StreamExt as _;
use indicatif::ProgressBar;
use serde_json::json;
use tokio::runtime::Handle;

use super::doctor::timing::span;
use super::prices::table;
use super::{Exit, Format, print};
use crate::drill::{self, Review};
use crate::simulate::play::{self, Play, Showing, Version};

/// Most seeds of one run: a showing takes a tenth of a second.
const MAX_SEEDS: u64 = 10_000;
/// Failures told of one play.
const MAX_TOLD: usize = 5;

/// Plays every scenario through the real engine and store and compares what is found with what must be;
/// exit code 4 when something is not as it must be.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Detectors such as TW-K03, or scenarios such as leaked-key; all where none is named.
    #[arg(value_name = "ID")]
    names: Vec<String>,
    /// How many times each is drawn anew.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=MAX_SEEDS))]
    seeds: u64,
    /// First seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Form of the answer.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// What came of one play, over all seeds.
#[derive(Default)]
struct Record {
    /// Held and played, by version.
    found: (usize, usize),
    quiet: (usize, usize),
    waits_ms: Vec<i64>,
    failed: Vec<Review>,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Exit> {
    let plays = chosen(&args.names)?;
    let mut showings = Vec::new();
    for (place, play) in plays.iter().enumerate() {
        for version in play.versions() {
            let seeds = args.seed..args.seed.saturating_add(args.seeds);
            showings.extend(seeds.map(|seed| (place, Showing::of(play, version, seed))));
        }
    }
    let bar = ProgressBar::new(u64::try_from(showings.len())?);
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut reviews = futures_util::stream::iter(showings)
        .map(|(place, showing)| async move {
            // Mostly arithmetic: it would keep a thread of the runtime from everything else.
            let handle = Handle::current();
            let review = move || handle.block_on(drill::review(showing));
            (place, showing, tokio::task::spawn_blocking(review).await)
        })
        .buffer_unordered(workers);
    let mut records: BTreeMap<usize, Record> = BTreeMap::new();
    while let Some((place, showing, review)) = reviews.next().await {
        records.entry(place).or_default().add(showing.version, review??);
        bar.inc(1);
    }
    bar.finish_and_clear();
    let records: Vec<(&Play, Record)> = plays
        .into_iter()
        .enumerate()
        .filter_map(|(place, play)| Some((play, records.remove(&place)?)))
        .collect();
    match args.format {
        Format::Json => print(&format!("{:#}\n", to_json(&records)))?,
        Format::Table => print(&to_table(&records))?,
    }
    let all_held = records.iter().all(|(_, record)| record.failed.is_empty());
    Ok(if all_held { Exit::Ok } else { Exit::Found })
}

/// The plays that are named, by their own name or a detector's.
fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static Play>> {
    let is_meant = |play: &Play, name: &String| {
        play.name.eq_ignore_ascii_case(name)
            || play.detectors().iter().any(|id| id.eq_ignore_ascii_case(name))
    };
    for name in names {
        ensure!(
            play::all().any(|play| is_meant(play, name)),
            "there is no scenario of {name:?}; `tokenwatch simulate --list-scenarios` has all"
        );
    }
    let named = |play: &&Play| names.is_empty() || names.iter().any(|name| is_meant(play, name));
    Ok(play::sorted().into_iter().filter(named).collect())
}

impl Record {
    fn add(&mut self, version: Version, review: Review) {
        let (held, played) = match version {
            Version::Attack => &mut self.found,
            Version::Lawful => &mut self.quiet,
        };
        *held += usize::from(review.holds());
        *played += 1;
        self.waits_ms.extend(review.waits_ms.values());
        if !review.holds() {
            self.failed.push(review);
        }
        // Reviews come in the order in which they end.
        self.failed
            .sort_by(|a, b| (&a.bill.scenario, a.bill.seed).cmp(&(&b.bill.scenario, b.bill.seed)));
        self.waits_ms.sort_unstable();
    }

    /// The middle and the longest wait; `None` where nothing had to be found, or was.
    fn waits(&self) -> Option<(i64, i64)> {
        let middle = self.waits_ms.get(self.waits_ms.len() / 2)?;
        Some((*middle, *self.waits_ms.last()?))
    }
}

/// How to have the events of a showing in a file.
fn command(review: &Review) -> String {
    let (name, seed) = (&review.bill.scenario, review.bill.seed);
    format!(
        "tokenwatch simulate --scenario {name} --seed {seed} --out events.jsonl --truth truth.json"
    )
}

fn to_table(records: &[(&Play, Record)]) -> String {
    let head = ["scenario", "found by", "found", "look-alike quiet", "alert after", "at most"];
    let mut table = table(&head, &[2, 3, 4, 5]);
    let of = |(held, played): (usize, usize)| match played {
        0 => "-".to_owned(),
        _ => format!("{held}/{played}"),
    };
    for (play, record) in records {
        let (middle, longest) = record.waits().map_or_else(
            || ("-".to_owned(), "-".to_owned()),
            |(middle, longest)| (span(middle), span(longest)),
        );
        let by = play.detectors().join(" ");
        let by = if by.is_empty() { "nothing pages".to_owned() } else { by };
        let (found, quiet) = (of(record.found), of(record.quiet));
        table.add_row([play.name.to_owned(), by, found, quiet, middle, longest]);
    }
    let mut text = format!("{table}\n");
    for (_, record) in records {
        for review in record.failed.iter().take(MAX_TOLD) {
            let (name, seed) = (&review.bill.scenario, review.bill.seed);
            text.push_str(&format!(
                "failed: {name} with seed {seed}: {}\n",
                review.faults.join("; ")
            ));
            text.push_str(&format!("  its events: {}\n", command(review)));
        }
        let more = record.failed.len().saturating_sub(MAX_TOLD);
        if more > 0 {
            text.push_str(&format!("failed: {more} more of the same\n"));
        }
    }
    text
}

fn to_json(records: &[(&Play, Record)]) -> serde_json::Value {
    let of = |(held, played): (usize, usize)| json!({ "held": held, "played": played });
    let failed = |review: &Review| {
        let told = review.told.iter().map(|(id, severity)| json!([id, severity.word()]));
        json!({
            "scenario": review.bill.scenario,
            "seed": review.bill.seed,
            "faults": review.faults,
            "told": told.collect::<Vec<_>>(),
            "command": command(review),
        })
    };
    let entries = records.iter().map(|(play, record)| {
        let waits = record.waits();
        json!({
            "scenario": play.name,
            "about": play.about,
            "detectors": play.detectors(),
            "found": of(record.found),
            "quiet": of(record.quiet),
            "wait_ms_median": waits.map(|(middle, _)| middle),
            "wait_ms_longest": waits.map(|(_, longest)| longest),
            "failed": record.failed.iter().map(failed).collect::<Vec<_>>(),
        })
    });
    entries.collect()
}
