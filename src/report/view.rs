//! What a block shows, before it becomes HTML or text: a lead, lines with an amount, and notes.

use serde::Serialize;

use super::amount::{Currency, percent_change};
use crate::money::NanoUsd;
use crate::notify::clean::untrusted;

/// Longest name of something that is shown, in characters.
const NAME_MAX: usize = 120;

/// One block as people see it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Section {
    /// What it is about.
    pub title: &'static str,
    /// Sentences before the lines.
    pub lead: Vec<String>,
    /// Its lines, in order.
    pub rows: Vec<Row>,
    /// Their total.
    pub total: Option<Row>,
    /// Sentences after the lines.
    pub notes: Vec<String>,
    /// What it will say once the data are there.
    pub unarmed: Vec<Unarmed>,
}

/// One line.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Row {
    /// What it is about.
    pub name: String,
    /// The amount; empty for none.
    pub amount: String,
    /// How it changed.
    pub change: Option<Change>,
    /// Length of its bar in thousandths of the longest; `None` for no bar.
    pub bar: Option<u16>,
    /// What else is known of it.
    pub details: Vec<String>,
}

/// A change, and whether it is more or less.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// Such as `+18 %`.
    pub text: String,
    /// Which way.
    pub way: Way,
}

/// Which way something moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// More.
    Up,
    /// Less.
    Down,
    /// As before.
    Level,
}

/// Something a block has a place for and no data yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Unarmed {
    /// What it would say.
    pub what: &'static str,
    /// What that needs.
    pub needs: &'static str,
}

impl Change {
    /// From an amount to another, in percent.
    #[must_use]
    pub fn percent(now: NanoUsd, before: NanoUsd) -> Self {
        Self { text: percent_change(now, before), way: Way::of(now.0, before.0) }
    }
}

impl Way {
    /// From one value to another.
    #[must_use]
    pub const fn of(now: i64, before: i64) -> Self {
        if now > before {
            Self::Up
        } else if now < before {
            Self::Down
        } else {
            Self::Level
        }
    }
}

/// A name that somebody else chose, as no mail program makes a link of it and no control character
/// passes.
#[must_use]
pub fn named(text: &str) -> String {
    untrusted(text, NAME_MAX)
}

/// Bars of amounts: thousandths of the largest.
#[must_use]
pub fn bars(amounts: &[NanoUsd]) -> Vec<u16> {
    let largest = amounts.iter().map(|amount| amount.0).max().unwrap_or(0).max(1);
    let bar = |amount: &NanoUsd| {
        let part = i128::from(amount.0.max(0)) * 1000 / i128::from(largest);
        u16::try_from(part).unwrap_or(1000)
    };
    amounts.iter().map(bar).collect()
}

/// Lines of amounts that add up to their total, each with a bar.
#[must_use]
pub fn rows(named: Vec<(String, NanoUsd)>, total: NanoUsd, currency: &Currency) -> Vec<Row> {
    let amounts: Vec<NanoUsd> = named.iter().map(|(_, amount)| *amount).collect();
    let shown = currency.column(&amounts, total);
    let lines = named.into_iter().zip(shown).zip(bars(&amounts));
    lines
        .map(|(((name, _), amount), bar)| Row { name, amount, bar: Some(bar), ..Row::default() })
        .collect()
}
