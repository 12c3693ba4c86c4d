//! Tracks of traffic with attacks: `TRACK.csv` with a row for every slot that had any, `TRACK_meta.csv`
//! with prices, `TRACK_info.json`, and perhaps `TRACK_fresh.csv` with the part of new callers.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use super::table::{Table, at_start, find, unreadable};
use super::track::{MAX_SLOTS, Rows, Series};
use crate::detect::score::{Fresh, Grid, Observed};
use crate::problem::{Findings, Problems};

/// Most series of a track.
const MAX_SERIES: usize = 100_000;
/// Seconds in an hour and in a day.
const HOUR_S: i64 = 3_600;
const DAY_S: i64 = 24 * HOUR_S;

/// What `TRACK_info.json` says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub struct Info {
    /// Length of a slot.
    pub slot_seconds: i64,
    /// How many there are; the first is slot 0.
    pub slots: i64,
    /// Series that rates are about, silent ones included.
    pub series: i64,
    /// First second that is scored, since slot 0.
    pub score_from: i64,
    /// Last second that is scored.
    pub score_to: i64,
}

/// USD of a million prompt and of a million generated tokens.
type Price = (f64, f64);

/// Traffic of one deployment.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Traffic {
    /// Slots that had any, in order.
    rows: Vec<Row>,
    /// The same of callers first seen within a day; `None` where nobody knows them.
    fresh: Option<Vec<Row>>,
    price: Price,
    /// The first slot of the track with callers: before it nobody knows them.
    callers_from: Option<i64>,
}

/// What happened in one slot.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Row {
    slot: i64,
    calls: f64,
    input: f64,
    output: f64,
    callers: f64,
}

impl Traffic {
    /// Whether it is known which part came from new callers.
    pub(super) const fn knows_fresh(&self) -> bool {
        self.fresh.is_some()
    }

    /// What was seen in a slot.
    pub(super) fn observed(&self, slot: i64) -> Observed {
        let row = at(&self.rows, slot);
        let known = self.callers_from.is_some_and(|from| from <= slot);
        let fresh = self.fresh.as_ref().map(|rows| {
            let row = at(rows, slot);
            Fresh {
                calls: row.calls,
                tokens: row.input + row.output,
                usd: self.usd(row),
                callers: row.callers,
            }
        });
        Observed {
            calls: row.calls,
            input: row.input,
            output: row.output,
            usd: self.usd(row),
            callers: known.then_some(row.callers),
            fresh,
            ..Observed::default()
        }
    }

    fn usd(&self, row: Row) -> f64 {
        (row.input * self.price.0 + row.output * self.price.1) / 1e6
    }
}

/// The row of a slot; of zeros where there is none, because that slot had no traffic.
fn at(rows: &[Row], slot: i64) -> Row {
    let found = rows.binary_search_by_key(&slot, |row| row.slot).ok();
    found.and_then(|place| rows.get(place)).copied().unwrap_or_default()
}

/// The series of a track, in the order of its meta file.
pub(super) fn read(folder: &Path, track: &str) -> Result<(Info, Vec<Series>), Problems> {
    let meta = find(folder, &format!("{track}_meta.csv"));
    let (info, names) = (info(&folder.join(format!("{track}_info.json"))), prices(&meta));
    let (info, names) = match (info, names) {
        (Ok(info), Ok(names)) => (info, names),
        (info, names) => return Err(together(info.err(), names.err())),
    };
    let columns = ["series", "slot", "requests", "tokens_in", "tokens_out", "callers"];
    let places: HashMap<&str, usize> =
        names.iter().enumerate().map(|(place, (name, _))| (name.as_str(), place)).collect();
    let rows = rows(&find(folder, &format!("{track}.csv")), columns, &places, info.slots);
    let path = find(folder, &format!("{track}_fresh.csv"));
    let columns = ["series", "slot", "calls", "tokens_in", "tokens_out", "callers"];
    let fresh = path.exists().then(|| self::rows(&path, columns, &places, info.slots)).transpose();
    let (rows, fresh) = match (rows, fresh) {
        (Ok(rows), Ok(fresh)) => (rows, fresh),
        (rows, fresh) => return Err(together(rows.err(), fresh.err())),
    };
    // Known from the first caller on, not from what the whole file holds: a detector that knew of
    // later rows would know the future.
    let with_callers = rows.iter().flatten().filter(|row| row.callers > 0.0);
    let callers_from = with_callers.map(|row| row.slot).min();
    let mut fresh = fresh.map(Vec::into_iter);
    let series = names.iter().zip(rows).map(|((name, price), rows)| {
        let fresh = fresh.as_mut().map(|fresh| fresh.next().unwrap_or_default());
        Series {
            name: name.clone(),
            grid: Grid { slot_seconds: info.slot_seconds },
            slots: 0..info.slots,
            rows: Rows::Traffic(Traffic { rows, fresh, price: *price, callers_from }),
        }
    });
    Ok((info, series.collect()))
}

fn together(first: Option<Problems>, second: Option<Problems>) -> Problems {
    Problems(first.into_iter().chain(second).flat_map(|problems| problems.0).collect())
}

fn info(path: &Path) -> Result<Info, Problems> {
    let text = std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    let info: Info = serde_json::from_str(&text).map_err(|error| {
        let keys = "write slot_seconds, slots, series, score_from and score_to as whole numbers";
        let mut problems = at_start(path, format!("cannot be read: {error}"), keys);
        for problem in &mut problems.0 {
            (problem.line, problem.column) = (error.line().max(1), error.column().max(1));
        }
        problems
    })?;
    let file = path.display().to_string();
    let mut findings = Findings::new(&file, &text);
    let mut check = |key: &str, fine: bool, mend: String| {
        if !fine {
            let at = text.find(&format!("\"{key}\"")).unwrap_or(0);
            findings.report(at..at + key.len() + 2, format!("{key} is out of range"), mend);
        }
    };
    let length = info.slot_seconds;
    let lawful = (1..=HOUR_S).contains(&length) && HOUR_S % length == 0
        || (HOUR_S..=DAY_S).contains(&length) && length % HOUR_S == 0;
    let mend = "write a length that divides an hour, or whole hours up to a day".to_owned();
    check("slot_seconds", lawful, mend);
    check("slots", (1..=MAX_SLOTS).contains(&info.slots), format!("write 1 to {MAX_SLOTS}"));
    check("series", info.series > 0, "write how many series the rates are about".to_owned());
    let mend = "write a later second than score_from, both since slot 0".to_owned();
    check("score_to", info.score_to > info.score_from, mend);
    if findings.is_empty() { Ok(info) } else { Err(findings.finish()) }
}

/// Name and price of every series.
fn prices(path: &Path) -> Result<Vec<(String, Price)>, Problems> {
    let mut table = Table::open(path, &["series", "usd_in", "usd_out"], 1)?;
    let mut names: Vec<(String, Price)> = Vec::new();
    let mut known = HashMap::new();
    while table.next() {
        let name = table.text(0).to_owned();
        let (Some(input), Some(output)) = (table.amount(1), table.amount(2)) else { continue };
        if names.len() == MAX_SERIES {
            table.wrong(0, &format!("more than {MAX_SERIES} series"), "split the track");
            break;
        }
        if known.insert(name.clone(), ()).is_some() {
            table.wrong(0, &format!("{name:?} stands twice"), "give each series one row");
            continue;
        }
        names.push((name, (input, output)));
    }
    table.finish()?;
    if names.is_empty() {
        let mend = "write a row for every series, also for those without traffic";
        return Err(at_start(path, "no series".to_owned(), mend));
    }
    Ok(names)
}

/// Rows by series, each in the order of slots.
fn rows(
    path: &Path,
    columns: [&str; 6],
    places: &HashMap<&str, usize>,
    slots: i64,
) -> Result<Vec<Vec<Row>>, Problems> {
    let mut table = Table::open(path, &columns, 5)?;
    let mut found: Vec<Vec<Row>> = vec![Vec::new(); places.len()];
    while table.next() {
        let place = places.get(table.text(0)).copied();
        let Some(series) = place.and_then(|place| found.get_mut(place)) else {
            let message = format!("{:?} is not in the meta file", table.text(0));
            table.wrong(0, &message, "give it a row there, with its prices");
            continue;
        };
        let slot = table.whole(1, 0..=slots - 1);
        let [calls, input, output, callers] = [2, 3, 4, 5].map(|column| table.amount(column));
        if let (Some(slot), Some(calls), Some(input), Some(output), Some(callers)) =
            (slot, calls, input, output, callers)
        {
            if series.last().is_some_and(|last| last.slot >= slot) {
                let message = format!("slot {slot} does not come after the one before");
                table.wrong(1, &message, "sort the rows of a series by slot, one row for each");
                continue;
            }
            series.push(Row { slot, calls, input, output, callers });
        }
    }
    table.finish()?;
    Ok(found)
}
