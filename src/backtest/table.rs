//! Tables of benchmarks, row by row; what is wrong with a cell is told with its place and the mend.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use csv::ByteRecord;
use flate2::bufread::MultiGzDecoder;

use crate::problem::{Problem, Problems};

/// Problems of one file that are told; the others are counted in the last one.
const MAX_PROBLEMS: usize = 20;
/// Most rows of a table; a row of traffic takes 40 bytes of memory.
const MAX_ROWS: u64 = 100_000_000;
/// Characters of a row that are shown beside a problem.
const MAX_SHOWN: usize = 120;
/// Largest value of a cell. Sums of a year of it still fit into the 53 bits of a float.
const MAX_VALUE: f64 = 1e15;

/// A table that is being read. Columns are meant by their place in the list given to [`Table::open`].
pub(super) struct Table {
    file: String,
    reader: csv::Reader<Box<dyn Read>>,
    /// Where the wanted columns stand; `None` for an optional one that is not there.
    columns: Vec<Option<usize>>,
    width: usize,
    row: ByteRecord,
    rows: u64,
    problems: Vec<Problem>,
    untold: usize,
}

impl Table {
    /// Opens a table, `.gz` or plain, and finds its columns; those beyond the first `needed` ones may
    /// be missing.
    pub(super) fn open(path: &Path, columns: &[&str], needed: usize) -> Result<Self, Problems> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(bytes(path).map_err(|error| unreadable(path, &error))?);
        let mut heading = ByteRecord::new();
        reader.read_byte_record(&mut heading).map_err(|error| damaged(path, &error))?;
        let names: Vec<String> = heading
            .iter()
            .map(|name| String::from_utf8_lossy(name).trim_matches(['\u{feff}', ' ']).to_owned())
            .collect();
        let places: Vec<Option<usize>> =
            columns.iter().map(|name| names.iter().position(|found| found == name)).collect();
        let mut table = Self {
            file: path.display().to_string(),
            reader,
            columns: places,
            width: names.len(),
            row: heading,
            rows: 0,
            problems: Vec::new(),
            untold: 0,
        };
        let absent = columns.iter().zip(&table.columns).take(needed);
        let absent: Vec<&str> =
            absent.filter(|(_, place)| place.is_none()).map(|(name, _)| *name).collect();
        if !absent.is_empty() {
            let message = format!("the heading lacks {}", absent.join(", "));
            let mend = format!("begin the file with the line {}", columns.join(","));
            table.report(0, &message, &mend);
            return Err(Problems(table.problems));
        }
        Ok(table)
    }

    /// Goes to the next row with as many cells as the heading; false at the end.
    pub(super) fn next(&mut self) -> bool {
        loop {
            match self.reader.read_byte_record(&mut self.row) {
                Ok(false) => return false,
                Ok(true) if self.rows == MAX_ROWS => {
                    let message = format!("more than {MAX_ROWS} rows");
                    self.report(0, &message, "split the track");
                    return false;
                }
                Ok(true) if self.row.len() == self.width => {
                    self.rows += 1;
                    return true;
                }
                Ok(true) => {
                    let message =
                        format!("{} cells where the heading has {}", self.row.len(), self.width);
                    self.report(0, &message, "give the row one cell for each column");
                }
                Err(error) => {
                    let mut problems = damaged(Path::new(&self.file), &error).0;
                    self.problems.append(&mut problems);
                    return false;
                }
            }
        }
    }

    /// A cell as text; empty where there is no such column.
    pub(super) fn text(&self, column: usize) -> &str {
        std::str::from_utf8(self.cell(column)).unwrap_or("\u{fffd}").trim()
    }

    /// A cell as a number of any sign; `None` after a problem was noted.
    pub(super) fn number(&mut self, column: usize) -> Option<f64> {
        self.number_in(column, -MAX_VALUE..=MAX_VALUE)
    }

    /// A cell as an amount, which is never negative; an empty one is zero.
    pub(super) fn amount(&mut self, column: usize) -> Option<f64> {
        if self.text(column).is_empty() {
            return Some(0.0);
        }
        self.number_in(column, 0.0..=MAX_VALUE)
    }

    /// A cell as a whole number within `range`; `None` after a problem was noted.
    pub(super) fn whole(&mut self, column: usize, range: RangeInclusive<i64>) -> Option<i64> {
        let read = self.text(column).parse().ok().filter(|value| range.contains(value));
        if read.is_none() {
            let message = format!("{:?} is no whole number in range", self.text(column));
            let mend = format!("write a whole number from {} to {}", range.start(), range.end());
            self.wrong(column, &message, &mend);
        }
        read
    }

    /// Notes a problem of a cell.
    pub(super) fn wrong(&mut self, column: usize, message: &str, mend: &str) {
        let place = self.columns.get(column).copied().flatten().unwrap_or(0);
        self.report(place, message, mend);
    }

    /// The end: all problems noted, if there are any.
    pub(super) fn finish(mut self) -> Result<(), Problems> {
        if let Some(last) = self.problems.last_mut().filter(|_| self.untold > 0) {
            last.mend.push_str(&format!(" ({} more problems of this file)", self.untold));
        }
        if self.problems.is_empty() { Ok(()) } else { Err(Problems(self.problems)) }
    }

    fn number_in(&mut self, column: usize, range: RangeInclusive<f64>) -> Option<f64> {
        let read = self.text(column).parse().ok().filter(|value| range.contains(value));
        if read.is_none() {
            let message = format!("{:?} is no number in range", self.text(column));
            let mend = format!("write a number from {:e} to {:e}", range.start(), range.end());
            self.wrong(column, &message, &mend);
        }
        read
    }

    fn cell(&self, column: usize) -> &[u8] {
        let place = self.columns.get(column).copied().flatten();
        place.and_then(|place| self.row.get(place)).unwrap_or_default()
    }

    /// Notes a problem of the cell at `place` in the row.
    fn report(&mut self, place: usize, message: &str, mend: &str) {
        if self.problems.len() == MAX_PROBLEMS {
            self.untold += 1;
            return;
        }
        let cells: Vec<String> = self.row.iter().map(printable).collect();
        let before: usize = cells.iter().take(place).map(|cell| cell.chars().count() + 1).sum();
        let width = cells.get(place).map_or(0, |cell| cell.chars().count());
        let line = self.row.position().map_or(1, csv::Position::line);
        self.problems.push(Problem {
            file: self.file.clone(),
            line: usize::try_from(line).unwrap_or(usize::MAX),
            column: before + 1,
            message: printable(message.as_bytes()),
            mend: mend.to_owned(),
            source: cells.join(",").chars().take(MAX_SHOWN.max(before + width)).collect(),
            width: width.max(1),
        });
    }
}

/// The file of this name in a folder, compressed or plain; the compressed name where there is neither.
pub(super) fn find(folder: &Path, name: &str) -> PathBuf {
    let (compressed, plain) = (folder.join(format!("{name}.gz")), folder.join(name));
    if plain.exists() && !compressed.exists() { plain } else { compressed }
}

/// A file that cannot be read at all.
pub(super) fn unreadable(path: &Path, error: &io::Error) -> Problems {
    at_start(path, format!("cannot be read: {error}"), "name a folder with the files of a track")
}

/// One problem of a file as a whole.
pub(super) fn at_start(path: &Path, message: String, mend: &str) -> Problems {
    Problems(vec![Problem {
        file: path.display().to_string(),
        line: 1,
        column: 1,
        message,
        mend: mend.to_owned(),
        source: String::new(),
        width: 1,
    }])
}

fn damaged(path: &Path, error: &csv::Error) -> Problems {
    let mut problems =
        at_start(path, format!("cannot be read on: {error}"), "the file is cut: copy it again");
    let line = error.position().and_then(|at| usize::try_from(at.line()).ok());
    for problem in &mut problems.0 {
        problem.line = line.unwrap_or(1);
    }
    problems
}

fn bytes(path: &Path) -> io::Result<Box<dyn Read>> {
    let file = BufReader::with_capacity(1 << 16, File::open(path)?);
    Ok(if path.extension().is_some_and(|extension| extension == "gz") {
        Box::new(MultiGzDecoder::new(file))
    } else {
        Box::new(file)
    })
}

fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
