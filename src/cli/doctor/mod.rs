//! `tokenwatch doctor`: what is missing in the records, what that costs, and how to mend it.

mod armed;
mod automation;
mod categories;
mod facts;
mod findings;
mod gateways;
mod losses;
mod mend;
pub(super) mod page;
pub(super) mod timing;

use std::path::PathBuf;

use super::{Exit, Format, check, print};
use crate::engine::EngineSettings;
use crate::severity::Severity;
use findings::Setup;

/// Says what the records leave out, what each absence costs, and the command that mends it.
///
/// Reads the database alone, while the service may be running. With --config the commands name your
/// hub, and delays are measured against your lateness. Exit code 4 when something was found.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch doctor --config tokenwatch.toml\n  \
    tokenwatch replay capture.jsonl --db hour.db && tokenwatch doctor --db hour.db\n  \
    tokenwatch doctor --db tokenwatch.db --format json | jq -r '.findings[].commands[]'")]
pub(super) struct Args {
    /// Database to read; another process may be writing it.
    #[arg(long, value_name = "FILE", required_unless_present = "config")]
    db: Option<PathBuf>,
    /// Configuration that names the database, the hubs and the lateness.
    #[arg(long, value_name = "FILE", env = "TOKENWATCH_CONFIG")]
    config: Option<PathBuf>,
    /// Form of the page.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let lateness_ms = EngineSettings::default().lateness_ms;
    let mut setup = Setup { lateness_ms, ..Setup::default() };
    let mut db = args.db;
    if let Some(path) = &args.config {
        let Some(config) = check::load_without_secrets(path)? else {
            return Ok(Exit::Configuration);
        };
        let given = Some(armed::given(&config));
        let responds = config.response.is_some();
        setup =
            Setup { hubs: config.hubs, lateness_ms: config.engine.lateness_ms, given, responds };
        db = Some(db.unwrap_or(config.database));
    }
    let Some(db) = db else { anyhow::bail!("name the database with --db or --config") };
    let facts = facts::gather(&db).await?;
    let findings = findings::of(&facts, &setup);
    match args.format {
        Format::Json => print(&format!("{}\n", page::to_json(&facts, &findings, &setup)))?,
        Format::Table => print(&page::to_text(&facts, &findings, &setup))?,
    }
    let is_well = findings.iter().all(|finding| finding.severity == Severity::Info);
    Ok(if is_well { Exit::Ok } else { Exit::Found })
}
