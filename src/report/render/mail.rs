//! The report as a letter: page, text and three files.

use sha2::{Digest as _, Sha256};

use super::html::{self, Shown};
use super::picture::{NAME, Picture};
use super::{focus, json, table, text};
use crate::notify::letter::Letter;
use crate::notify::{Destination, RenderError};
use crate::report::Report;
use crate::report::amount::Currency;
use crate::report::facts::Facts;
use crate::store::commit::OutboxRow;
use crate::store::report::{Edition, Telling, Told};
use crate::time::ArrivalTime;

/// Why there is no letter.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The page.
    #[error("page: {0}")]
    Page(#[from] askama::Error),
    /// `report.json`.
    #[error("report.json: {0}")]
    Json(#[from] serde_json::Error),
    /// `spend.csv`.
    #[error("spend.csv: {0}")]
    Table(#[from] csv::Error),
    /// `focus.csv`.
    #[error("focus.csv: {0}")]
    Focus(#[from] focus::FocusError),
    /// The message.
    #[error(transparent)]
    Message(#[from] RenderError),
}

/// What is the same for every destination: rendered once.
#[derive(Debug, Clone)]
pub struct Rendered {
    letter: Letter,
    told: Told,
}

/// Renders a report for its destinations. `now_ms` is the clock of whoever makes it.
///
/// # Errors
/// Never with the types of a report.
pub fn rendered(
    (report, facts): (&Report, &Facts),
    (currency, edition): (&Currency, Edition),
    unsubscribe: Option<&str>,
    now_ms: i64,
) -> Result<Rendered, MailError> {
    let picture = Picture::new(facts, currency);
    let source = Picture::in_mail();
    let shown = picture.as_ref().map(|picture| Shown { source: &source, picture });
    let files = vec![
        ("spend.csv", "text/csv; charset=utf-8", table::csv(facts)?.into_bytes()),
        ("focus.csv", "text/csv; charset=utf-8", focus::csv(facts, currency)?.into_bytes()),
        ("report.json", "application/json", json(report)?.into_bytes()),
    ];
    let letter = Letter {
        key: String::new(),
        at: ArrivalTime(now_ms),
        subject: report.summary.subject.clone(),
        text: text::page(report, currency),
        html: html::page(report, currency, shown)?,
        pictures: picture.into_iter().map(|picture| (NAME.to_owned(), picture.png)).collect(),
        files,
        unsubscribe: unsubscribe.map(str::to_owned),
        follows: None,
    };
    let told = Told {
        name: report.head.report.to_owned(),
        scope: report.head.scope.clone(),
        period: report.head.period.clone(),
        destination: String::new(),
        edition,
        from: facts.week.from_minute().start(),
        until: facts.week.until_minute().start(),
        is_partial: report.head.is_partial,
        nano: report.spend.total.cost_nano_usd.0,
        told_ms: now_ms,
        outbox_key: String::new(),
    };
    Ok(Rendered { letter, told })
}

impl Rendered {
    /// The row of the outbox and of what was told, for one destination; `None` where it takes no mail.
    ///
    /// # Errors
    /// An address that is none.
    pub fn to(&self, destination: &Destination) -> Result<Option<Telling>, MailError> {
        let name = destination.name.as_str();
        let key = key(&self.told, self.told.edition, name);
        let mut letter = self.letter.clone();
        letter.key.clone_from(&key);
        letter.follows = (self.told.edition != Edition::First)
            .then(|| self::key(&self.told, Edition::First, name));
        let Some(body) = letter.message(destination)? else { return Ok(None) };
        let Told { name: report, scope, period, .. } = &self.told;
        let row = OutboxRow {
            key: key.clone(),
            incident_key: format!("report|{report}|{scope}|{period}"),
            destination: name.to_owned(),
            kind: "report".to_owned(),
            created: ArrivalTime(self.told.told_ms),
            body,
        };
        let told = Told { destination: name.to_owned(), outbox_key: key, ..self.told.clone() };
        Ok(Some(Telling { told, letter: Some(row) }))
    }

    /// That a partial report was looked at again and needs no correction.
    #[must_use]
    pub fn settled(&self) -> Telling {
        Telling { told: Told { edition: Edition::Correction, ..self.told.clone() }, letter: None }
    }
}

/// The same letter made by another process has the same key: SHA-256 of
/// report, scope, period, edition and destination in hexadecimal.
#[must_use]
pub fn key(told: &Told, edition: Edition, destination: &str) -> String {
    let Told { name, scope, period, .. } = told;
    let text = serde_json::json!(["report", name, scope, period, edition.word(), destination]);
    let text = text.to_string();
    let digits = Sha256::digest(text.as_bytes()).into_iter().map(|byte| format!("{byte:02x}"));
    digits.collect()
}
