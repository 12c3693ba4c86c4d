//! Series as files: the benchmark's columns, so that its scorer reads them.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use serde::Serialize;

use super::{Kind, SLOT_SECONDS, Series, Slot, Track, Truth};

/// Names of the files of a track.
#[must_use]
pub fn files(kind: Kind) -> Vec<String> {
    let common = [".csv.gz", "_meta.csv", "_info.json", "_labels.csv"];
    let own: &[&str] = match kind {
        Kind::Fleet | Kind::Young | Kind::Abrupt => &[],
        Kind::Callers => &["_fresh.csv.gz", "_top.csv.gz", "_lawful.csv"],
    };
    common.iter().chain(own).map(|end| format!("{}{end}", kind.word())).collect()
}

/// Writes every file of a track into a folder that exists, and says each time a series is done.
///
/// | file | columns |
/// |---|---|
/// | `TRACK.csv.gz` | `series,slot,requests,tokens_in,tokens_out,callers`; a slot without a row had no traffic |
/// | `TRACK_meta.csv` | `series,model,usd_in,usd_out,profile`; USD per million tokens |
/// | `TRACK_info.json` | length of a slot, number of slots and series, scored span |
/// | `TRACK_labels.csv` | `track,series,start,end,type,kind,magnitude`; seconds since slot 0; attacks, and spans in which alerts are neutral |
///
/// The callers' track has three more:
///
/// | file | columns |
/// |---|---|
/// | `callers_fresh.csv.gz` | `series,slot,calls,tokens_in,tokens_out,callers`: the part of the slot from callers first seen on that deployment less than 24 hours before the slot's end; nobody is fresh during the first seven days |
/// | `callers_top.csv.gz` | `series,slot,calls,tokens_in,tokens_out` of the caller with the most tokens in the slot |
/// | `callers_lawful.csv` | as the labels, kind `lawful`: what happened lawfully. A file of its own, for the scorer takes an alert within any label for right or neutral, and an alert on these is wrong |
///
/// # Errors
/// What the file system says.
pub fn write(track: &Track, folder: &Path, done: &dyn Fn()) -> io::Result<()> {
    let word = track.settings.kind.word();
    let path = |end: &str| folder.join(format!("{word}{end}"));
    let head = "series,slot,requests,tokens_in,tokens_out,callers";
    write_slots(&path(".csv.gz"), head, track, &|series| &series.slots, done)?;
    std::fs::write(path("_meta.csv"), meta(track))?;
    std::fs::write(path("_info.json"), info(track)?)?;
    std::fs::write(path("_labels.csv"), labels(track, &[Truth::Attack, Truth::Neutral]))?;
    match track.settings.kind {
        Kind::Fleet | Kind::Young | Kind::Abrupt => Ok(()),
        Kind::Callers => {
            let head = "series,slot,calls,tokens_in,tokens_out,callers";
            write_slots(&path("_fresh.csv.gz"), head, track, &|series| &series.fresh, &|| ())?;
            let head = "series,slot,calls,tokens_in,tokens_out";
            write_slots(&path("_top.csv.gz"), head, track, &|series| &series.top, &|| ())?;
            std::fs::write(path("_lawful.csv"), labels(track, &[Truth::Lawful]))
        }
    }
}

/// Rows of all slots with traffic, as many columns as the heading has.
fn write_slots(
    path: &Path,
    head: &str,
    track: &Track,
    part: &dyn Fn(&Series) -> &[Slot],
    done: &dyn Fn(),
) -> io::Result<()> {
    // No name and no time in the header: the same series are the same bytes.
    let file = GzBuilder::new().mtime(0).write(File::create(path)?, Compression::default());
    let mut out = BufWriter::with_capacity(1 << 16, file);
    writeln!(out, "{head}")?;
    let with_callers = head.ends_with("callers");
    for series in &track.series {
        for (place, slot) in part(series).iter().enumerate().filter(|(_, slot)| slot.calls > 0) {
            let Slot { calls, input, output, callers } = slot;
            write!(out, "{},{place},{calls},{input},{output}", series.name)?;
            if with_callers {
                write!(out, ",{callers}")?;
            }
            out.write_all(b"\n")?;
        }
        done();
    }
    out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?.flush()
}

fn meta(track: &Track) -> String {
    let mut text = "series,model,usd_in,usd_out,profile\n".to_owned();
    for series in &track.series {
        let (model, input, output) = series.model;
        let row = format!("{},{model},{input:?},{output:?},{}", series.name, series.profile.word());
        text.push_str(&row);
        text.push('\n');
    }
    text
}

fn labels(track: &Track, wanted: &[Truth]) -> String {
    let mut text = "track,series,start,end,type,kind,magnitude\n".to_owned();
    for series in &track.series {
        for event in series.events.iter().filter(|event| wanted.contains(&event.truth)) {
            let row = format!(
                "{},{},{},{},{},{},{:?}\n",
                track.settings.kind.word(),
                series.name,
                event.from * SLOT_SECONDS,
                event.until * SLOT_SECONDS,
                event.what,
                event.truth.word(),
                (event.magnitude * 1_000.0).round() / 1_000.0,
            );
            text.push_str(&row);
        }
    }
    text
}

/// What the scorer and a reader of the series must know; spans in seconds.
#[derive(Debug, Serialize)]
struct Info {
    track: &'static str,
    slot_seconds: usize,
    slots: usize,
    series: usize,
    score_from: usize,
    score_to: usize,
    slot0: &'static str,
}

fn info(track: &Track) -> io::Result<String> {
    let settings = &track.settings;
    let info = Info {
        track: track.settings.kind.word(),
        slot_seconds: SLOT_SECONDS,
        slots: settings.slots(),
        series: track.series.len(),
        score_from: settings.warmup() * SLOT_SECONDS,
        score_to: settings.slots() * SLOT_SECONDS,
        slot0: "slot 0 starts at second 0; timestamps are seconds since slot 0",
    };
    Ok(serde_json::to_string_pretty(&info)? + "\n")
}
