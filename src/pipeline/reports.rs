//! When a report is due it is made beside the loop, on a connection of its own that only reads; the loop
//! saves it with its letters in one transaction.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::Clock;
use crate::days::DaysError;
use crate::engine::Env;
use crate::notify::Destination;
use crate::report::facts::Facts;
use crate::report::gather::{GatherError, gather};
use crate::report::period::Week;
use crate::report::render::mail::{MailError, rendered};
use crate::report::settings::ReportSettings;
use crate::report::{Terms, WEEKLY, build};
use crate::store::read::Reader;
use crate::store::report::{Edition, Telling, Told};
use crate::store::{Store, StoreError};
use crate::time::{DAY_MS, EventTime, HOUR_MS, MINUTE_MS};

/// Pause between two looks at the clock.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// Pause between two looks at a partial report.
const LOOK_AGAIN_MS: i64 = HOUR_MS;
/// A partial report is not corrected later than this after its week.
const CORRECT_UNTIL_MS: i64 = 7 * DAY_MS;
/// A correction is worth a letter when the total moved by more than one part in this many: 2 %.
const CORRECT_FROM: i128 = 50;

/// Everything a report is made with.
#[derive(Clone)]
pub struct Maker {
    /// The database.
    pub database: PathBuf,
    /// When, in which zone and currency, and who gets it.
    pub settings: ReportSettings,
    /// Where it goes.
    pub destinations: Vec<Destination>,
    /// Prices, owners, budgets, and names of networks and identities.
    pub env: Env,
}

/// Why no report was made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The rows.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The calendar.
    #[error(transparent)]
    Days(#[from] DaysError),
    /// The letter.
    #[error(transparent)]
    Mail(#[from] MailError),
}

/// What is to be made of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// What is due: what was never told, and the correction of what was partial.
    Due,
    /// Everything, again.
    Again,
}

impl Maker {
    /// Letters of the newest week that is over, as far as they are due at `now_ms` (wall clock) and
    /// were not told.
    ///
    /// # Errors
    /// The database or the calendar.
    pub async fn due(&self, now_ms: i64) -> Result<Vec<Telling>, ReportError> {
        let week = Week::last(&self.settings.zone, self.settings.first, EventTime(now_ms))?;
        if self.settings.due(&week)?.0 > now_ms {
            return Ok(Vec::new());
        }
        let mut reader = Reader::open(&self.database).await?;
        let told = reader.told(WEEKLY, 2).await?;
        if !self.is_anything_due(&told, &week, now_ms) {
            return Ok(Vec::new());
        }
        // Of a week without one record nobody can tell anything: the service was not there yet.
        let until = week.until_minute().start();
        if reader.covered().await?.is_none_or(|covered| covered.from >= until) {
            return Ok(Vec::new());
        }
        let facts = self.facts(&mut reader, &week).await?;
        let mut tellings = Vec::new();
        for (scope, destinations) in
            self.settings.scopes(&self.env.settings.owners, &self.destinations)
        {
            tellings.extend(self.of_scope(&facts, (&scope, &destinations), Wanted::Due, now_ms)?);
        }
        Ok(tellings)
    }

    /// Rows of a week.
    ///
    /// # Errors
    /// The database or the calendar.
    pub async fn facts(&self, reader: &mut Reader, week: &Week) -> Result<Facts, ReportError> {
        Ok(gather(reader, (&self.settings.zone, week), WEEKLY, &self.env).await?)
    }

    /// How the report of a scope (empty for the whole) is made.
    #[must_use]
    pub fn terms(&self, facts: &Facts, scope: &str, edition: Edition) -> Terms {
        Terms {
            scope: scope.to_owned(),
            edition,
            currency: self.settings.currency_at(&self.env.book.contract, &facts.week),
            networks: self.settings.networks_of(scope),
        }
    }

    /// The part of the rows that a scope (empty for the whole) is about; `None` for a team that nobody
    /// named.
    #[must_use]
    pub fn part(&self, facts: &Facts, scope: &str) -> Option<Facts> {
        if scope.is_empty() {
            return Some(facts.clone());
        }
        let owner = self.env.settings.owners.0.iter().find(|owner| owner.name == scope)?;
        Some(facts.of(owner))
    }

    /// Letters of one scope to these destinations.
    ///
    /// # Errors
    /// The calendar, or an address that is none.
    pub fn of_scope(
        &self,
        facts: &Facts,
        (scope, destinations): (&str, &[&Destination]),
        wanted: Wanted,
        now_ms: i64,
    ) -> Result<Vec<Telling>, ReportError> {
        let Some(facts) = self.part(facts, scope) else { return Ok(Vec::new()) };
        let told: Vec<&Told> = facts
            .told
            .iter()
            .filter(|told| told.scope == scope && told.period == facts.week.name)
            .collect();
        let mut tellings = Vec::new();
        for edition in [Edition::First, Edition::Correction] {
            let waiting: Vec<&&Destination> =
                destinations.iter().filter(|to| waits(&told, &to.name, wanted, edition)).collect();
            if waiting.is_empty() {
                continue;
            }
            let edition = match wanted {
                Wanted::Due => edition,
                Wanted::Again => again(&told),
            };
            tellings.extend(self.letters(&facts, (scope, &waiting), (edition, &told), now_ms)?);
        }
        Ok(tellings)
    }

    fn letters(
        &self,
        facts: &Facts,
        (scope, destinations): (&str, &[&&Destination]),
        (edition, told): (Edition, &[&Told]),
        now_ms: i64,
    ) -> Result<Vec<Telling>, ReportError> {
        let terms = self.terms(facts, scope, edition);
        let report = build(facts, &terms)?;
        let unsubscribe = self.settings.unsubscribe.as_deref();
        let rendered =
            || rendered((&report, facts), (&terms.currency, edition), unsubscribe, now_ms);
        if edition == Edition::Correction {
            let looked_at = told.iter().any(|told| told.edition == Edition::Correction);
            let is_open = report.quality.partial.iter().any(|lack| lack.is_passing);
            if looked_at || is_open {
                return Ok(Vec::new());
            }
            let now = report.spend.total.cost_nano_usd.0;
            let before = told.iter().find(|told| told.edition == Edition::First);
            if !before.is_some_and(|before| is_moved(before.nano, now)) {
                return Ok(vec![rendered()?.settled()]);
            }
        }
        let rendered = rendered()?;
        let mut tellings = Vec::new();
        for destination in destinations {
            tellings.extend(rendered.to(destination)?);
        }
        Ok(tellings)
    }

    /// True while a destination has not heard of the week, or heard of it in part.
    fn is_anything_due(&self, told: &[Told], week: &Week, now_ms: i64) -> bool {
        let scopes = self.settings.scopes(&self.env.settings.owners, &self.destinations);
        let waits = |scope: &str, name: &str| {
            let of = told.iter().filter(|told| {
                told.scope == scope && told.period == week.name && told.destination == name
            });
            of.count() == 0
        };
        let is_new = scopes
            .iter()
            .any(|(scope, to)| to.iter().any(|destination| waits(scope, &destination.name)));
        is_new || self.is_correction_due(told, week, now_ms)
    }

    fn is_correction_due(&self, told: &[Told], week: &Week, now_ms: i64) -> bool {
        let of_week = |told: &&Told| told.period == week.name;
        let until = week.until_minute().start().0;
        let open = told.iter().filter(of_week).filter(|one| {
            one.is_partial
                && one.edition == Edition::First
                && !told.iter().any(|other| {
                    other.scope == one.scope
                        && other.period == one.period
                        && other.edition == Edition::Correction
                })
        });
        open.count() > 0
            && now_ms < until.saturating_add(CORRECT_UNTIL_MS)
            && now_ms.rem_euclid(LOOK_AGAIN_MS) < 2 * MINUTE_MS
    }
}

/// True when a destination is to get this edition, as far as what it was told says.
fn waits(told: &[&Told], destination: &str, wanted: Wanted, edition: Edition) -> bool {
    let mut heard = told.iter().filter(|told| told.destination == destination);
    match (wanted, edition) {
        (Wanted::Due, Edition::First) => heard.next().is_none(),
        (Wanted::Due, Edition::Correction | Edition::Again(_)) => heard.any(|told| told.is_partial),
        (Wanted::Again, Edition::First) => true,
        (Wanted::Again, Edition::Correction | Edition::Again(_)) => false,
    }
}

/// More than 2 % either way.
fn is_moved(told: i64, now: i64) -> bool {
    (i128::from(now) - i128::from(told)).abs() * CORRECT_FROM > i128::from(told).abs()
}

/// The next number of a letter that is asked for again.
fn again(told: &[&Told]) -> Edition {
    let nth = told.iter().filter_map(|told| match told.edition {
        Edition::Again(nth) => Some(nth),
        Edition::First | Edition::Correction => None,
    });
    Edition::Again(nth.max().unwrap_or(0).saturating_add(1))
}

/// The task that makes reports, and what it has made.
pub(super) struct Reports {
    made: mpsc::Receiver<Vec<Telling>>,
    task: Option<JoinHandle<()>>,
}

impl Reports {
    /// Starts it; without a maker nothing is ever made.
    pub(super) fn start(maker: Option<Maker>, clock: &Clock) -> Self {
        let (tell, made) = mpsc::channel(1);
        let clock = Arc::clone(clock);
        let task = maker.map(|maker| tokio::spawn(watch(maker, clock, tell)));
        Self { made, task }
    }

    /// Waits for letters; for ever where nothing makes any. Cancel safe.
    pub(super) async fn made(&mut self) -> Vec<Telling> {
        if self.task.is_some()
            && let Some(made) = self.made.recv().await
        {
            return made;
        }
        std::future::pending().await
    }

    /// Ends the task: what it was making is made again at the next start.
    pub(super) async fn close(self) {
        if let Some(task) = self.task {
            task.abort();
            drop(task.await);
        }
    }
}

async fn watch(maker: Maker, clock: Clock, tell: mpsc::Sender<Vec<Telling>>) {
    let mut looks = tokio::time::interval(LOOK_EVERY);
    loop {
        looks.tick().await;
        match maker.due(clock()).await {
            Ok(made) if made.is_empty() => {}
            Ok(made) => {
                if tell.send(made).await.is_err() {
                    return;
                }
            }
            Err(error) => tracing::error!(%error, "cannot make the weekly report; trying again"),
        }
    }
}

/// Saves letters with what they tell, and says so.
pub(super) async fn save(store: &mut Store, made: &[Telling]) -> Result<(), StoreError> {
    let new = match store.tell(made).await {
        Ok(new) => new,
        Err(error @ StoreError::Fenced { .. }) => return Err(error),
        Err(error) => {
            tracing::warn!(%error, "the weekly report is not saved; it is made again");
            return Ok(());
        }
    };
    if let Some(first) = made.first().filter(|_| new > 0) {
        tracing::info!(period = first.told.period, letters = new, "weekly report");
    }
    Ok(())
}
