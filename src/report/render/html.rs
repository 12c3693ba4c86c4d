//! The report as a page for mail programs: tables, inline styles, light and dark, wide and narrow.

use askama::Template;

use super::picture::Picture;
use super::text::{period, unarmed};
use crate::report::Report;
use crate::report::amount::Currency;
use crate::report::block::summary::State;
use crate::report::view::{Section, Way};

/// Most bytes of the page: some mail programs cut messages at 102 kB.
pub const HTML_MAX: usize = 90_000;
/// Where a page would be longer: lines of a block, and characters of a detail.
const FEWER_ROWS: usize = 5;
const SHORTER: usize = 60;

/// A picture and where the page finds it.
#[derive(Debug, Clone, Copy)]
pub struct Shown<'a> {
    /// Its address.
    pub source: &'a str,
    /// The picture.
    pub picture: &'a Picture,
}

#[derive(Template)]
#[template(path = "report/templates/report.html")]
struct Page<'a> {
    subject: &'a str,
    badge: &'static str,
    colour: &'static str,
    title: String,
    cells: Vec<Cell>,
    cause: &'a str,
    period: String,
    picture: Option<Shown<'a>>,
    sections: Vec<Block>,
}

/// One of the large numbers at the top.
struct Cell {
    value: String,
    label: String,
    note: String,
}

/// A block with its last sentence.
struct Block {
    section: Section,
    unarmed: String,
}

/// The page; the richest that fits into [`HTML_MAX`].
///
/// # Errors
/// Never while memory lasts.
pub fn page(
    report: &Report,
    currency: &Currency,
    picture: Option<Shown<'_>>,
) -> Result<String, askama::Error> {
    let html = page_of(report, currency, (picture, report.sections(currency)))?;
    // A line break is two bytes in a mail.
    if html.len() + html.matches('\n').count() <= HTML_MAX {
        return Ok(html);
    }
    let mut sections = report.sections(currency);
    for section in &mut sections {
        shorten(section);
    }
    page_of(report, currency, (picture, sections))
}

/// What a page leaves out that would be too long; the files have it.
fn shorten(section: &mut Section) {
    let more = section.rows.len().saturating_sub(FEWER_ROWS);
    if more > 0 {
        section.rows.truncate(FEWER_ROWS);
        section.notes.push(format!("{more} more lines are in the attached files."));
    }
    for row in section.rows.iter_mut() {
        row.name = row.name.chars().take(SHORTER).collect();
        row.details.truncate(4);
        for detail in &mut row.details {
            *detail = detail.chars().take(SHORTER).collect();
        }
    }
    for line in section.lead.iter_mut().chain(&mut section.notes) {
        *line = line.chars().take(10 * SHORTER).collect();
    }
}

fn page_of(
    report: &Report,
    currency: &Currency,
    (picture, sections): (Option<Shown<'_>>, Vec<Section>),
) -> Result<String, askama::Error> {
    let state = report.summary.state;
    let show = |section: Section| Block {
        unarmed: if section.unarmed.is_empty() { String::new() } else { unarmed(&section.unarmed) },
        section,
    };
    let page = Page {
        subject: &report.summary.subject,
        badge: state.word(),
        colour: match state {
            State::Ok => "#15803d",
            State::Watch => "#b45309",
            State::Act => "#b91c1c",
        },
        title: title(report),
        cells: cells(report, currency),
        cause: &report.summary.cause,
        period: period(report),
        picture,
        sections: sections.into_iter().map(show).collect(),
    };
    page.render()
}

fn title(report: &Report) -> String {
    let head = &report.head;
    let whose = if head.scope.is_empty() { "all accounts" } else { head.scope.as_str() };
    let mark = match (head.is_partial, head.edition.as_str()) {
        (true, "first") => ", PARTIAL",
        (_, "correction") => ", CORRECTED",
        (_, "first") => "",
        (true, _) => ", sent again, PARTIAL",
        (false, _) => ", sent again",
    };
    format!("{} · {whose}{mark}", head.period)
}

fn cells(report: &Report, currency: &Currency) -> Vec<Cell> {
    let spend = &report.spend;
    let mut cells = vec![Cell {
        value: currency.short(spend.total.cost_nano_usd),
        label: "this week".to_owned(),
        note: spend.change().map_or_else(String::new, |change| format!("{} vs last", change.text)),
    }];
    if let Some(forecast) = report.month.forecast {
        let budget = report.month.budget();
        cells.push(Cell {
            value: currency.about(forecast.expected_nano_usd),
            label: "month forecast".to_owned(),
            note: budget.map_or_else(
                || format!("{} so far", currency.about(report.month.so_far_nano_usd)),
                |budget| format!("of {}", currency.about(budget.limit_nano_usd)),
            ),
        });
    }
    let incidents = &report.incidents;
    cells.push(Cell {
        value: incidents.count.to_string(),
        label: if incidents.count == 1 { "incident" } else { "incidents" }.to_owned(),
        note: match incidents.count {
            0 => "nothing to report".to_owned(),
            _ => format!("{} caught", currency.about(incidents.caught_nano_usd)),
        },
    });
    cells
}

impl Way {
    /// Its class in the page: more is red, because it is money.
    const fn class(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Level => "level",
        }
    }

    const fn colour(self) -> &'static str {
        match self {
            Self::Up => "#b91c1c",
            Self::Down => "#15803d",
            Self::Level => "#64748b",
        }
    }
}
