//! `tokenwatch explain`: why a slot was judged as it was.

use serde_json::json;

use super::backtest::{Input, Tuning, progress};
use super::prices::table;
use super::replay::printable;
use super::{Exit, Format, print};
use crate::backtest::{Layout, Track, number, window};
use crate::detect::score::{Grid, Part, Scored, Verdict};

/// Prints the band, every part of the score and what an alert would have taken.
///
/// Everything up to the moment is judged first, all series of a fleet together, as `backtest` does.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tokenwatch explain --data bench/dev --track fleet --series dep-007 --at 2055900\n  \
    tokenwatch explain --file cpu.csv --at '2014-04-10 07:15:00' --format json")]
pub(super) struct Args {
    #[command(flatten)]
    input: Input,
    #[command(flatten)]
    tuning: Tuning,
    /// Which series; the only one of a file by default.
    #[arg(long, required_unless_present = "file")]
    series: Option<String>,
    /// Moment of which the last closed slot is explained: seconds since slot 0 (of values: since 1970), the
    /// text of a row, or RFC 3339.
    #[arg(long, value_name = "T")]
    at: String,
    /// Form of the explanation.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

/// A judgement and what it is about, wherever it came from.
struct Explained {
    series: String,
    /// When it could first be told.
    timestamp: String,
    grid: Grid,
    verdict: Verdict,
    /// What its parts count.
    nouns: fn(Part) -> &'static str,
}

pub(super) fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut track = args.input.open()?;
    let Some((place, slot)) = find(&track, args)? else { return Ok(Exit::Usage) };
    let place = alone(&mut track, place);
    let bar = progress(track.slots());
    let mut run = args.tuning.run(&track);
    run.until = Some(slot);
    let explained = run.keep(
        |judged| {
            (judged.place == place && judged.slot == slot).then(|| Explained {
                series: judged.series.name.clone(),
                timestamp: judged.series.timestamp(slot).unwrap_or_else(|| args.at.clone()),
                grid: judged.series.grid,
                verdict: judged.verdict.clone(),
                nouns: judged.series.nouns(),
            })
        },
        &mut |judged| bar.set_position(u64::try_from(judged).unwrap_or(0)),
    );
    bar.finish_and_clear();
    for explained in explained {
        print(&match args.format {
            Format::Table => explained.to_text(),
            Format::Json => format!("{}\n", explained.to_json()),
        })?;
    }
    Ok(Exit::Ok)
}

/// Place and slot that are asked for; `None` after it was told that there is none.
fn find(track: &Track, args: &Args) -> anyhow::Result<Option<(usize, i64)>> {
    let wanted = |name: &str| args.series.as_deref().is_none_or(|series| series == name);
    let found = track.series.iter().enumerate().find(|(_, series)| wanted(&series.name));
    let Some((place, series)) = found else {
        let name = args.series.as_deref().unwrap_or_default();
        let known: Vec<&str> =
            track.series.iter().take(5).map(|series| series.name.as_str()).collect();
        let known = known.join(", ");
        return tell(&format!("no series {name:?} among {} such as {known}", track.series.len()));
    };
    match series.slot_at(&args.at) {
        Some(slot) => Ok(Some((place, slot))),
        None => {
            let first = series.timestamp(series.slots.start).unwrap_or_default();
            let last = series.timestamp(series.slots.end - 1).unwrap_or_default();
            tell(&format!(
                "nothing of {:?} had closed at {:?}: write a moment from {first} to {last}",
                series.name, args.at
            ))
        }
    }
}

/// A word to who called wrongly.
fn tell<T>(text: &str) -> anyhow::Result<Option<T>> {
    use std::io::Write as _;
    writeln!(std::io::stderr(), "error: {}", printable(text))?;
    Ok(None)
}

/// Leaves out series that do not bear on the one at `place`; its new place.
fn alone(track: &mut Track, place: usize) -> usize {
    match track.layout {
        Layout::Attacks(_) => place,
        Layout::Values => {
            track.series = track.series.drain(..).skip(place).take(1).collect();
            0
        }
    }
}

impl Explained {
    fn to_text(&self) -> String {
        let score = self.verdict.score();
        let fires = if score >= 1.0 { "an alert" } else { "no alert" };
        let (series, at) = (printable(&self.series), printable(&self.timestamp));
        let length = window(1, self.grid);
        let mut text = format!("{series} at {at}, slots of {length}: score {score:.3}, {fires}\n");
        if self.verdict.parts.is_empty() {
            text.push_str("\nnothing could be judged: too little was seen before\n");
            return text;
        }
        let head = ["part", "window", "observed", "expected", "low", "high", "score", "counts"];
        let mut table = table(&head, &[1, 2, 3, 4, 5, 6]);
        for part in &self.verdict.parts {
            table.add_row([
                part.part.name().to_owned(),
                window(part.slots, self.grid),
                number(part.observed),
                number(part.expected),
                number(part.low),
                number(part.high),
                format!("{:.3}", part.score),
                (self.nouns)(part.part).to_owned(),
            ]);
        }
        text.push_str(&format!("\n{table}\n"));
        if let Some(top) = self.verdict.parts.first() {
            text.push_str(&format!("\n{}\n", needed(top, (self.nouns)(top.part), self.grid)));
        }
        text
    }

    fn to_json(&self) -> serde_json::Value {
        let part = |part: &Scored| {
            json!({
                "part": part.part.name(),
                "window_s": part.slots.saturating_mul(self.grid.slot_seconds),
                "counts": (self.nouns)(part.part),
                "observed": part.observed,
                "expected": part.expected,
                "low": part.low,
                "high": part.high.is_finite().then_some(part.high),
                "score": part.score,
            })
        };
        json!({
            "series": self.series,
            "timestamp": self.timestamp,
            "slot_s": self.grid.slot_seconds,
            "score": self.verdict.score(),
            "fires": self.verdict.score() >= 1.0,
            "fall": self.verdict.fall,
            "parts": self.verdict.parts.iter().map(part).collect::<Vec<_>>(),
            "needed": self.verdict.parts.first().map(limit),
        })
    }
}

/// The value of a part from which on it fires.
const fn limit(top: &Scored) -> f64 {
    if top.part.is_lower() { top.low } else { top.high }
}

/// What an alert takes, or would have taken, as a sentence.
fn needed(top: &Scored, what: &str, grid: Grid) -> String {
    let side = if top.part.is_lower() { "no more than" } else { "at least" };
    format!(
        "an alert takes {side} {} {what} in {}; {} were seen",
        number(limit(top)),
        window(top.slots, grid),
        number(top.observed)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detect::score::measure::Component;

    fn scored(part: Part, score: f64, (observed, expected): (f64, f64), high: f64) -> Scored {
        Scored {
            component: Component::CallsHour,
            part,
            slots: 12,
            score,
            observed,
            expected,
            low: expected / 2.0,
            high,
            raw: score,
            rate: -score,
        }
    }

    #[track_caller]
    fn check(parts: Vec<Scored>, expected: &str) {
        let explained = Explained {
            series: "prod/chat".to_owned(),
            timestamp: "2193000".to_owned(),
            grid: Grid::FIVE_MINUTES,
            verdict: Verdict { parts, ..Verdict::default() },
            nouns: Part::name,
        };
        let lines: Vec<String> =
            explained.to_text().lines().map(|line| line.trim_end().to_owned()).collect();
        assert_eq!(lines.join("\n"), expected);
    }

    #[test]
    fn the_band_every_part_and_what_was_needed_stand_on_one_page() {
        check(
            vec![
                scored(Part::MostTokens, 1.25, (812_000.0, 54_000.0), 650_000.0),
                scored(Part::Wake, 0.0, (12.5, 10.0), f64::INFINITY),
            ],
            "prod/chat at 2193000, slots of 5m: score 1.250, an alert

 part         window  observed  expected     low     high  score  counts
 most-tokens      1h   812,000    54,000  27,000  650,000  1.250  most-tokens
 wake             1h      12.5        10       5      any  0.000  wake

an alert takes at least 650,000 most-tokens in 1h; 812,000 were seen",
        );
    }

    #[test]
    fn a_drop_takes_less_not_more() {
        check(
            vec![scored(Part::Drop, 0.5, (30.0, 100.0), f64::INFINITY)],
            "prod/chat at 2193000, slots of 5m: score 0.500, no alert

 part  window  observed  expected  low  high  score  counts
 drop      1h        30       100   50   any  0.500  drop

an alert takes no more than 50 drop in 1h; 30 were seen",
        );
    }

    #[test]
    fn without_a_history_nothing_is_judged() {
        check(
            Vec::new(),
            "prod/chat at 2193000, slots of 5m: score 0.000, no alert

nothing could be judged: too little was seen before",
        );
    }
}
