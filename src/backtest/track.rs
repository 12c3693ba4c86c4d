//! A folder's series of one kind, and what each of them did in a slot.

use std::ops::Range;
use std::path::Path;

use super::alert::noun;
use super::attacks::{self, Info, Traffic};
use super::table::{Table, find};
use super::values::{self, Values};
use crate::detect::score::{Grid, Observed, Part};
use crate::problem::Problems;

/// Most slots of one series: seven years of minutes.
pub(super) const MAX_SLOTS: i64 = 1 << 22;

/// Series that are read and judged together.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    /// What its files are called.
    pub name: String,
    /// What kind of series these are.
    pub layout: Layout,
    /// In the order of the files.
    pub series: Vec<Series>,
}

/// What a folder holds of a track.
#[derive(Debug, Clone, PartialEq)]
pub enum Layout {
    /// Traffic of the deployments of one fleet, over the same slots.
    Attacks(Info),
    /// One value at a time, of things that have nothing to do with each other.
    Values,
}

/// One series.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// Its name, unique in the track.
    pub name: String,
    /// Length of its slots.
    pub grid: Grid,
    /// Those it is judged over.
    pub slots: Range<i64>,
    /// What was seen.
    pub rows: Rows,
}

/// What was seen of a series.
#[derive(Debug, Clone, PartialEq)]
pub enum Rows {
    /// Traffic: a slot without a row had none.
    Traffic(Traffic),
    /// Values: a slot without a row is a gap.
    Values(Values),
}

impl Track {
    /// Reads the track `name` of a folder: traffic where its table has a column `slot`, else values.
    ///
    /// # Errors
    ///
    /// All that is wrong with its files.
    pub fn open(folder: &Path, name: &str) -> Result<Self, Problems> {
        let path = find(folder, &format!("{name}.csv"));
        let (layout, series) = if Table::open(&path, &["slot"], 1).is_ok() {
            let (info, series) = attacks::read(folder, name)?;
            (Layout::Attacks(info), series)
        } else {
            (Layout::Values, values::read(&path)?)
        };
        Ok(Self { name: name.to_owned(), layout, series })
    }

    /// Reads one file of `timestamp,value`.
    ///
    /// # Errors
    ///
    /// All that is wrong with it.
    pub fn open_file(path: &Path) -> Result<Self, Problems> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Self { name, layout: Layout::Values, series: values::read(path)? })
    }

    /// Slots of all series together.
    #[must_use]
    pub fn slots(&self) -> i64 {
        self.series.iter().map(|series| series.slots.end - series.slots.start).sum()
    }

    /// Whether alerts are held against windows of rows and each row of an incident counts, as in the Numenta Anomaly
    /// Benchmark: so it is with single values that have no labels of their own.
    #[must_use]
    pub fn counts_rows(&self) -> bool {
        let has_labels = |series: &Series| match &series.rows {
            Rows::Traffic(_) => true,
            Rows::Values(values) => values.rows().first().is_some_and(|row| row.label.is_some()),
        };
        !self.series.iter().all(has_labels)
    }

    /// Whether it is known which part of the traffic came from new callers.
    #[must_use]
    pub fn knows_fresh(&self) -> bool {
        self.series.iter().any(|series| match &series.rows {
            Rows::Traffic(traffic) => traffic.knows_fresh(),
            Rows::Values(_) => false,
        })
    }
}

impl Series {
    /// What was seen in a slot, and whether all of it was.
    #[must_use]
    pub fn observed(&self, slot: i64) -> (Observed, bool) {
        match &self.rows {
            Rows::Traffic(traffic) => (traffic.observed(slot), true),
            Rows::Values(values) => match values.at(slot) {
                Some(value) => (Observed { calls: value, ..Observed::default() }, true),
                None => (Observed::default(), false),
            },
        }
    }

    /// The first moment at which the slot can be judged: seconds since slot 0 for traffic, the text of
    /// its last row for values; `None` for a slot without one.
    #[must_use]
    pub fn timestamp(&self, slot: i64) -> Option<String> {
        match &self.rows {
            Rows::Traffic(_) => Some(((slot + 1) * self.grid.slot_seconds).to_string()),
            Rows::Values(values) => values.timestamp(slot).map(str::to_owned),
        }
    }

    /// What the parts of a score count here, in the plural.
    #[must_use]
    pub fn nouns(&self) -> fn(Part) -> &'static str {
        match &self.rows {
            Rows::Traffic(_) => noun,
            Rows::Values(_) => |_| "units",
        }
    }

    /// The last slot that had closed at a moment: seconds, the text of a row, or RFC 3339.
    #[must_use]
    pub fn slot_at(&self, moment: &str) -> Option<i64> {
        let slot = match &self.rows {
            Rows::Traffic(_) => {
                values::seconds(moment)?.div_euclid(self.grid.slot_seconds).checked_sub(1)?
            }
            Rows::Values(values) => values.closed_at(moment)?,
        };
        self.slots.contains(&slot).then_some(slot)
    }
}
