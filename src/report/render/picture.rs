//! The picture at the top: what five weeks cost day by day.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::money::NanoUsd;
use crate::notify::chart::{Column, png, top};
use crate::report::amount::Currency;
use crate::report::block::spend::median;
use crate::report::facts::{Day, Facts};

/// How the mail calls the picture.
pub const NAME: &str = "spend-by-day";

/// The picture and its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Picture {
    /// PNG.
    pub png: Vec<u8>,
    /// What it shows, for those who do not see it.
    pub alt: String,
    /// What stands under it.
    pub caption: String,
}

impl Picture {
    /// Draws it; `None` where nothing was spent.
    #[must_use]
    pub fn new(facts: &Facts, currency: &Currency) -> Option<Self> {
        let plain: Vec<Column> = facts.days.iter().map(|day| column(facts, day)).collect();
        let height = top(&plain)?;
        let is_of_week = |day: &Day| day.date >= facts.week.begins;
        let columns = plain.iter().zip(&facts.days).map(|(column, day)| Column {
            // The band marks the week, from the ground to the top.
            upper: is_of_week(day).then_some(height),
            ..*column
        });
        let columns: Vec<Column> = columns.collect();
        let days = facts.days.iter().filter(|day| is_of_week(day));
        let days: Vec<String> = days
            .map(|day| format!("{} {}", day.period.name, currency.short(day.total().cost())))
            .collect();
        Some(Self {
            png: png(&columns, height),
            alt: format!("Spend by day: {}", days.join(", ")),
            caption: format!(
                "Spend by day over five weeks, this one shaded; line: median of the same day of the \
                 week before. Top: {}.",
                currency.about(NanoUsd::from_usd(height))
            ),
        })
    }

    /// Where the mail has it.
    #[must_use]
    pub fn in_mail() -> String {
        format!("cid:{NAME}")
    }

    /// The picture itself as an address, for a page that stands alone.
    #[must_use]
    pub fn inline(&self) -> String {
        format!("data:image/png;base64,{}", STANDARD.encode(&self.png))
    }
}

fn column(facts: &Facts, day: &Day) -> Column {
    let is_known =
        |day: &&Day| facts.covered.is_some_and(|covered| covered.from <= day.period.from.start());
    let before = facts.days.iter().filter(|other| {
        other.date < facts.week.begins && other.date.weekday() == day.date.weekday()
    });
    let mut costs: Vec<NanoUsd> =
        before.filter(is_known).map(|other| other.total().cost()).collect();
    let usual = (costs.len() > 1).then(|| median(&mut costs)).flatten();
    Column {
        seen: is_known(&day).then(|| day.total().cost().usd()),
        expected: usual.filter(|_| day.date >= facts.week.begins).map(NanoUsd::usd),
        upper: None,
        marked: false,
    }
}
