//! One incident with its whole life.

use std::path::PathBuf;

use super::super::replay::printable;
use super::super::respond;
use super::super::{Exit, Format, print};
use super::{named, to_json};
use crate::incident::Entry;
use crate::notify;
use crate::store::read::Reader;

/// Which incident of which database.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Its id, or its key.
    incident: String,
    /// Database to read; another process may be writing it.
    #[arg(long, env = "TOKENWATCH_DB", value_name = "FILE")]
    db: PathBuf,
    /// Form of the answer.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

pub(super) async fn run(args: &Args) -> anyhow::Result<Exit> {
    let mut reader = Reader::open(&args.db).await?;
    let incidents = reader.incidents().await?;
    let incident = named(&incidents, &args.incident)?;
    let life = reader.life(&incident.key).await?;
    let responses = reader.responses(Some(&incident.key)).await?;
    print(&match args.format {
        Format::Json => {
            let mut json = to_json(incident);
            if let Some(object) = json.as_object_mut() {
                object.insert("life".to_owned(), serde_json::to_value(&life)?);
                let responses = responses.iter().map(respond::to_json).collect();
                object.insert("responses".to_owned(), responses);
            }
            format!("{json}\n")
        }
        Format::Table => {
            let state = incident.state.word();
            let title = format!("{} · {state} · {}", incident.id(), incident.key);
            let lines: String = life.iter().map(line).collect();
            let text = notify::as_text(incident);
            let steps = match responses.as_slice() {
                [] => String::new(),
                some => format!("\nResponse\n--------\n{}", respond::to_table(some)),
            };
            format!("{}\n\n{text}\nLife\n----\n{lines}{steps}", printable(&title))
        }
    })?;
    Ok(Exit::Ok)
}

fn line(entry: &Entry) -> String {
    let by = if entry.author.is_empty() { String::new() } else { format!(" ({})", entry.author) };
    format!("{}  {}\n", entry.at, printable(&format!("{}{by}", entry.what)))
}
