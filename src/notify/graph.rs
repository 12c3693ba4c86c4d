//! An incident's chart with everything a mail says around it.

use crate::incident::Chart;

use super::chart::{self, Column};
use super::{clean, number};

/// Rows of the chart in characters.
const ROWS: usize = 5;

/// A chart, its labels and what it shows in words.
#[derive(Debug)]
pub(super) struct Graph {
    columns: Vec<Column>,
    scale: f64,
    pub(super) unit: String,
    /// What the lines at the top and in the middle stand for.
    pub(super) top: String,
    pub(super) half: String,
    /// Time of day of the left and the right end.
    pub(super) start: String,
    pub(super) end: String,
    /// Since when, or from when to when columns are marked; `None` where none is.
    pub(super) marked: Option<String>,
    /// True when something was expected, and when a band was held normal.
    pub(super) has_line: bool,
    pub(super) has_band: bool,
    /// What the picture shows, for those who do not see it.
    pub(super) alt: String,
}

impl Graph {
    /// `None` where nothing was seen and nothing expected.
    pub(super) fn new(chart: &Chart) -> Option<Self> {
        let columns = chart::columns(chart);
        let scale = chart::top(&columns)?;
        let unit = clean::untrusted(&chart.unit, 40);
        let is_usd = unit.starts_with("USD");
        let value = |value: f64| {
            let short = number::short(value);
            if is_usd { format!("${short}") } else { short }
        };
        let left_out = chart.observed.len().saturating_sub(columns.len());
        let time = |step: usize| {
            let step = i64::try_from(step).unwrap_or(i64::MAX);
            chart.start.0.saturating_add(chart.step_ms.saturating_mul(step))
        };
        let (start, end) = (time(left_out), time(chart.observed.len()));
        let is_long = end.saturating_sub(start) >= crate::time::DAY_MS;
        let clock = |at: i64| if is_long { number::day_clock(at) } else { number::clock(at) };
        let marked = columns.iter().any(|column| column.marked).then(|| {
            let (from, until) = (chart.from, chart.until.min(chart.observed.len()));
            if until == chart.observed.len() {
                format!("since {}", clock(time(from)))
            } else {
                format!("{} to {}", clock(time(from)), clock(time(until)))
            }
        });
        let mut graph = Self {
            scale,
            top: value(scale),
            half: value(scale / 2.0),
            start: clock(start),
            end: clock(end),
            marked,
            has_line: columns.iter().any(|column| column.expected.is_some()),
            has_band: columns.iter().any(|column| column.upper.is_some()),
            unit,
            columns,
            alt: String::new(),
        };
        graph.alt = graph.in_words(&value);
        Some(graph)
    }

    /// What the picture shows: its ends, and the column that stands out most.
    fn in_words(&self, value: &dyn Fn(f64) -> String) -> String {
        let Self { unit, start, end, .. } = self;
        let mut words = format!("Chart of {unit}, {start} to {end} UTC.");
        let distance =
            |column: &&Column| (column.seen.unwrap_or(0.0) - column.expected.unwrap_or(0.0)).abs();
        let far = |a: &&Column, b: &&Column| distance(a).total_cmp(&distance(b));
        let marked = self.columns.iter().filter(|column| column.marked);
        let Some((column, since)) = marked.max_by(far).zip(self.marked.as_ref()) else {
            return words;
        };
        words.push_str(&format!(" Anomalous {since}: {}", value(column.seen.unwrap_or(0.0))));
        match column.expected {
            Some(expected) => words.push_str(&format!(" where {} was expected", value(expected))),
            None => words.push_str(", nothing was learnt to compare it with"),
        }
        if let Some(upper) = column.upper {
            words.push_str(&format!(" and up to {} is normal", value(upper)));
        }
        words.push('.');
        words
    }

    /// The picture.
    pub(super) fn png(&self) -> Vec<u8> {
        chart::png(&self.columns, self.scale)
    }

    /// The same in characters, with its scale at the left and times below.
    pub(super) fn lines(&self, width: usize) -> Vec<String> {
        let margin = self.top.chars().count().max(self.half.chars().count()) + 1;
        let most = width.saturating_sub(margin + 1);
        let from = self.columns.len().saturating_sub(most);
        let columns = self.columns.get(from..).unwrap_or_default();
        let mut lines = Vec::new();
        for (at, line) in chart::lines(columns, self.scale, ROWS).into_iter().enumerate() {
            let label = match at {
                0 => self.top.as_str(),
                at if at == ROWS / 2 => self.half.as_str(),
                at if at == ROWS - 1 => "0",
                _ => "",
            };
            lines.push(format!("{label:>width$}|{}", line.trim_end(), width = margin));
        }
        let space = columns.len().saturating_sub(self.start.chars().count());
        let start = if from == 0 { self.start.as_str() } else { "" };
        let end = format!("{:>width$}", self.end, width = space.max(1));
        lines.push(format!("{:margin$} {start}{end}", ""));
        lines
    }
}
