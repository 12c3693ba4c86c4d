//! Proof that the alarm works: plays through the real engine and store, read as `replay` reads files.

mod house;

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use crate::detect::tuning::Allowed;
use crate::engine::{EngineSettings, Env};
use crate::event::Batch;
use crate::incident::{Incident, Severity};
use crate::pipeline::{self, Core, PipelineError};
use crate::price::PriceBook;
use crate::problem::Problems;
use crate::simulate::play::{NAMESPACE, Need, Playbill, REGIONS, Showing};
use crate::simulate::write_file;
use crate::source::SourceError;
use crate::source::replay::Replay;
use crate::store::read::Reader;
use crate::store::{Store, StoreError};
use crate::time::{self, ArrivalTime, MINUTE_MS};

/// Time that passes after the end of a play and the lateness: the slot of the last call closes.
const AFTER_MS: i64 = 5 * MINUTE_MS;

/// The severity from which an incident wakes somebody.
pub const PAGES: Severity = Severity::High;

/// Why a showing cannot be judged.
#[derive(Debug, thiserror::Error)]
pub enum DrillError {
    /// The temporary file of events.
    #[error("cannot write {path}: {source}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file of events cannot be read again.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Engine and database.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// The price book.
    #[error(transparent)]
    Price(#[from] Problems),
    /// What the plays know of their networks.
    #[error("the plays' own lists: {0}")]
    Known(String),
}

/// What came of a showing.
#[derive(Debug, Clone, PartialEq)]
pub struct Review {
    /// What had to come of it.
    pub bill: Playbill,
    /// What did not come as it had to, a sentence each; empty when all did.
    pub faults: Vec<String>,
    /// Milliseconds from the arrival of the first record of the attack to the incident, by detector that
    /// had to find it and did.
    pub waits_ms: BTreeMap<String, i64>,
    /// Everything that was told of the live part, as (detector, severity).
    pub told: Vec<(String, Severity)>,
}

impl Review {
    /// True when everything came as it had to.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.faults.is_empty()
    }
}

/// Plays one showing through engine and store in a temporary folder, and compares what is found with what
/// must be.
///
/// # Errors
/// Nothing could be judged: files, database, or the program's own data.
pub async fn review(showing: Showing) -> Result<Review, DrillError> {
    review_with(showing, env(&showing)?).await
}

/// The same with an engine that is told something else, such as thresholds that nothing reaches.
///
/// # Errors
/// As of [`review`].
pub async fn review_with(showing: Showing, env: Env) -> Result<Review, DrillError> {
    let folder = tempfile::Builder::new().prefix("tokenwatch-drill-").tempdir();
    let folder =
        folder.map_err(|source| DrillError::File { path: std::env::temp_dir(), source })?;
    let events = folder.path().join("events.jsonl");
    let bill = write(&showing, &events)?;
    let end = time::parse(&bill.end).unwrap_or(i64::MIN);
    let database = folder.path().join("tokenwatch.db");
    let incidents = replay(&events, &database, (env, ArrivalTime(end))).await?;
    Ok(judge(bill, &incidents))
}

/// What the engine is told beforehand for a showing.
///
/// # Errors
/// The program's own price book or lists cannot be read.
pub fn env(showing: &Showing) -> Result<Env, DrillError> {
    let needs = showing.play.needs;
    let mut settings = EngineSettings::default();
    if needs.contains(&Need::Hub) {
        settings.pipeline = vec![NAMESPACE.to_owned()];
    }
    if needs.contains(&Need::Budget) {
        settings.budgets = vec![house::budget()];
    }
    if needs.contains(&Need::GatewayOnly) {
        let (_, bill) = showing.enact();
        settings.gateway_only = vec![bill.account];
    }
    if needs.contains(&Need::Regions) {
        let regions = REGIONS.map(str::to_owned).to_vec();
        settings.tuning = settings.tuning.allowing(Allowed { regions, ..Allowed::default() });
    }
    let mut env = Env::new(settings, PriceBook::built_in()?);
    if needs.contains(&Need::Lists) {
        env.known = house::known().map_err(|broken| DrillError::Known(broken.to_string()))?;
    }
    Ok(env)
}

fn write(showing: &Showing, path: &Path) -> Result<Playbill, DrillError> {
    let failed = |source| DrillError::File { path: path.to_owned(), source };
    let (simulation, bill) = showing.enact();
    let mut out = BufWriter::new(File::create(path).map_err(failed)?);
    write_file(&simulation, &mut out, &mut |_, _| {}).map_err(failed)?;
    Ok(bill)
}

/// Replays events, and lets time pass a little beyond `end`: a live hub goes on when nobody calls.
async fn replay(
    events: &Path,
    database: &Path,
    (env, end): (Env, ArrivalTime),
) -> Result<Vec<Incident>, DrillError> {
    let passed = ArrivalTime(end.0.saturating_add(env.settings.lateness_ms + AFTER_MS));
    let mut source = Replay::open(&[events.to_owned()])?;
    let mut core = Core::restore(Store::open(database).await?, env).await?;
    let stop = CancellationToken::new();
    pipeline::drain(&mut core, &mut source, &stop, &mut |_, _| {}).await?;
    let idle = core.positions().into_keys().map(|key| (key, passed)).collect();
    core.step(&Batch { idle, ..Batch::default() }, &mut |_| Vec::new()).await?;
    core.store.close().await?;
    Ok(Reader::open(database).await?.incidents().await?)
}

/// Compares incidents with what must be found.
fn judge(bill: Playbill, incidents: &[Incident]) -> Review {
    let live = time::parse(&bill.live_start).unwrap_or(i64::MAX);
    let first = bill.first_arrival.as_deref().and_then(time::parse);
    // What was told before and goes on is told of the live part too.
    let in_live =
        |incident: &&Incident| incident.opened_at.0 >= live || incident.last_window.0 >= live;
    let mut faults = Vec::new();
    let mut waits_ms = BTreeMap::new();
    for id in &bill.must_find {
        let opened = incidents.iter().filter(|i| i.rule == *id && i.opened_at.0 >= live);
        match opened.map(|incident| incident.opened_at.0).min() {
            Some(at) => {
                let wait = first.map_or(0, |first| at.saturating_sub(first));
                waits_ms.insert(id.clone(), wait);
            }
            None => faults.push(format!("{id} did not find it")),
        }
    }
    for id in &bill.must_not_find {
        if let Some(incident) = incidents.iter().filter(in_live).find(|i| i.rule == *id) {
            faults.push(format!("{id} speaks of it: {}", said(incident)));
        }
    }
    if bill.no_page {
        let pages = incidents.iter().filter(in_live).filter(|i| i.severity >= PAGES);
        faults.extend(pages.map(|incident| format!("{} pages: {}", incident.rule, said(incident))));
    }
    let told = incidents.iter().filter(in_live).map(|i| (i.rule.clone(), i.severity)).collect();
    Review { bill, faults, waits_ms, told }
}

/// The first fact of an incident.
fn said(incident: &Incident) -> &str {
    incident.evidence.first().map_or("", String::as_str)
}
