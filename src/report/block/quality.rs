//! How far the numbers are to be trusted, and what changed about those of last week.

use serde::Serialize;

use crate::aggregate::metrics::COMPARED_AFTER_MS;
use crate::days::DaysError;
use crate::money::{Grouped, NanoUsd};
use crate::report::amount::{Currency, share};
use crate::report::facts::{Facts, short};
use crate::report::view::{Row, Section, Unarmed, named};
use crate::store::report::{Edition, Told};

/// Logs that hold fewer thousandths of the metrics' tokens make a week partial.
const LEAST_PER_MILLE: i64 = 950;

/// The block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Quality {
    /// Why the week is not whole; empty when it is.
    pub partial: Vec<Lack>,
    /// Logs against metrics, by account.
    pub completeness: Vec<Complete>,
    /// Records' way to the hub, by kind.
    pub delays: Vec<Delay>,
    /// What was told of last week and what it is now; `None` when nothing was told or nothing moved.
    pub restated: Option<Restated>,
    /// Edition of the price book.
    pub price_book: String,
}

/// Why a week is not whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lack {
    /// In words.
    pub reason: String,
    /// True when it may still be made up for.
    pub is_passing: bool,
}

/// How complete the logs of one account are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Complete {
    /// Resource id.
    pub account: String,
    /// Hours of the week of which metrics tell.
    pub hours_with_metrics: i64,
    /// Of these, hours in which logs hold 98 % or more of what metrics count.
    pub hours_complete: i64,
    /// Logs ÷ metrics over those hours, in thousandths; `None` where metrics count nothing.
    pub per_mille: Option<i64>,
}

/// Delay of one kind of record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Delay {
    /// Kind.
    pub kind: String,
    /// Records.
    pub records: i64,
    /// Median from the record's own end to the hub.
    pub median_ms: Option<i64>,
    /// 95th percentile.
    pub p95_ms: Option<i64>,
}

/// Last week, told and as it is now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Restated {
    /// Which week.
    pub period: String,
    /// The total that was told.
    pub told_nano_usd: NanoUsd,
    /// The total now.
    pub now_nano_usd: NanoUsd,
}

impl Quality {
    /// Computes it for the report of `scope` (empty for the whole).
    ///
    /// # Errors
    /// A date beyond the calendar.
    pub fn new(facts: &Facts, scope: &str) -> Result<Self, DaysError> {
        let quality = &facts.quality;
        let compared = quality.compared.iter().map(|(account, (sum, hours, complete))| Complete {
            account: account.clone(),
            hours_with_metrics: *hours,
            hours_complete: *complete,
            per_mille: sum.per_mille(),
        });
        let completeness: Vec<Complete> = compared.collect();
        Ok(Self {
            partial: lacks(facts, &completeness),
            delays: quality
                .delays
                .iter()
                .map(|(kind, median_ms, p95_ms, records)| Delay {
                    kind: kind.clone(),
                    records: *records,
                    median_ms: *median_ms,
                    p95_ms: *p95_ms,
                })
                .collect(),
            restated: restated(facts, scope)?,
            price_book: facts.book.clone(),
            completeness,
        })
    }

    /// As people read it.
    #[must_use]
    pub fn section(&self, currency: &Currency, hours: i64) -> Section {
        let mut lead: Vec<String> =
            self.partial.iter().map(|lack| format!("Partial: {}.", lack.reason)).collect();
        if let Some(restated) = &self.restated {
            lead.push(format!(
                "Last week ({}) restated: {} → {}.",
                restated.period,
                currency.show(restated.told_nano_usd),
                currency.show(restated.now_nano_usd)
            ));
        }
        let rows = self.completeness.iter().map(|account| Row {
            name: named(short(&account.account)),
            amount: account
                .per_mille
                .map_or_else(|| "unknown".to_owned(), |part| share(part, 1000)),
            details: vec![format!(
                "of what Azure's metrics count; metrics of {} of {hours} hours, {} of these complete",
                Grouped(account.hours_with_metrics),
                Grouped(account.hours_complete)
            )],
            ..Row::default()
        });
        let mut notes = Vec::new();
        if self.completeness.is_empty() {
            notes.push("No metrics to hold the logs against.".to_owned());
        }
        let delays: Vec<String> = self.delays.iter().map(Delay::text).collect();
        if !delays.is_empty() {
            notes.push(format!("Median and 95th percentile to the hub: {}.", delays.join("; ")));
        }
        notes.push(format!("Price book {}.", self.price_book));
        Section {
            title: "Data quality",
            lead,
            rows: rows.collect(),
            notes,
            unarmed: vec![Unarmed {
                what: "estimated against billed",
                needs: "a FOCUS export (tokenwatch prices reconcile compares one)",
            }],
            ..Section::default()
        }
    }
}

impl Delay {
    fn text(&self) -> String {
        let ms = |ms: Option<i64>| ms.map_or_else(|| "unknown".to_owned(), span);
        format!("{} {}, {}", self.kind, ms(self.median_ms), ms(self.p95_ms))
    }
}

/// `850 ms`, `12 s`, `3 min`, `2 h`.
fn span(ms: i64) -> String {
    match ms {
        ms if ms < 1_000 => format!("{ms} ms"),
        ms if ms < 120_000 => format!("{} s", ms / 1_000),
        ms if ms < 7_200_000 => format!("{} min", ms / 60_000),
        ms => format!("{} h", ms / 3_600_000),
    }
}

/// Why the week is not whole.
fn lacks(facts: &Facts, completeness: &[Complete]) -> Vec<Lack> {
    let mut lacks = Vec::new();
    let (from, until) = (facts.week.from_minute().start(), facts.week.until_minute().start());
    match facts.covered {
        None => lacks.push(Lack { reason: "no record was read".to_owned(), is_passing: true }),
        Some(covered) if covered.from > from => lacks.push(Lack {
            reason: format!("the first record is of {}", facts.zone.local(covered.from)),
            is_passing: false,
        }),
        Some(_) => {}
    }
    let needed = until.0.saturating_add(COMPARED_AFTER_MS);
    if let Some(slowest) = facts.slowest.filter(|slowest| slowest.0 < needed) {
        let read = facts.zone.local(crate::time::EventTime(slowest.0));
        let reason = format!("records were read up to {read} only, on the slowest partition");
        lacks.push(Lack { reason, is_passing: true });
    }
    for account in completeness {
        if let Some(part) = account.per_mille.filter(|part| *part < LEAST_PER_MILLE) {
            let reason = format!(
                "logs of {} hold {} of the tokens that Azure's metrics count",
                named(short(&account.account)),
                share(part, 1000)
            );
            lacks.push(Lack { reason, is_passing: true });
        }
    }
    lacks
}

/// The last total told of the week before, and what it is now.
fn restated(facts: &Facts, scope: &str) -> Result<Option<Restated>, DaysError> {
    let before = facts.week.before(&facts.zone)?;
    let told = last_told(&facts.told, scope, &before.name);
    let now = facts.total(1).cost();
    Ok(told.map(|told| NanoUsd(told.nano)).filter(|told| *told != now).map(|told| Restated {
        period: before.name,
        told_nano_usd: told,
        now_nano_usd: now,
    }))
}

/// What was last told of a period: a letter asked for again says what it then is, too.
#[must_use]
pub fn last_told<'a>(told: &'a [Told], scope: &str, period: &str) -> Option<&'a Told> {
    let of = told.iter().filter(|told| {
        told.scope == scope && told.period == period && !told.destination.is_empty()
    });
    of.max_by_key(|told| (told.told_ms, told.edition != Edition::First))
}
