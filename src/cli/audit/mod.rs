//! `tokenwatch audit`: the doors of every AI resource of a subscription, now.

mod export;
mod page;

use std::collections::BTreeSet;
use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use indicatif::{ProgressBar, ProgressStyle};
use reqwest::Url;

use super::{Exit, check, print};
use crate::azure::{Bounds, Identity, Pace, origin};
use crate::config::Config;
use crate::pipeline::wall_clock;
use crate::posture::gaps::{self, Gap};
use crate::posture::inventory::Inventory;
use crate::posture::{self, Card, DOORS, Own, State};
use crate::source::resource_graph::{self, InventorySettings, PUBLIC, subscription_id};

/// Largest saved inventory that is read, in bytes.
const MAX_FILE_BYTES: u64 = 256 * 1024 * 1024;
/// Azure lets one identity read a subscription 25 times a second; others ask there too.
const DISTANCE: Duration = Duration::from_millis(50);

/// Says which of eight doors of each AI account, AI Search service and Machine Learning workspace
/// stand open now, and the command that shuts each.
///
/// Reads through Azure Resource Manager and changes nothing; the roles Reader and Cost Management
/// Reader on the subscription read it all. What Azure does not say is unknown, never shut. Exit
/// code 4 when a door is open, 1 when nothing could be read.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    az login && tokenwatch audit --subscription 00000000-0000-0000-0000-000000000000\n  \
    tokenwatch audit --subscription ID --config tokenwatch.toml   # also: are these our hubs?\n  \
    tokenwatch audit --subscription ID --door auth --door network --format csv\n  \
    tokenwatch audit --subscription ID --allow-region eastus2 --allow-region westeurope\n  \
    tokenwatch audit --subscription ID --save now.json && tokenwatch audit --from now.json\n  \
    tokenwatch audit --subscription ID --identity managed --format sarif > audit.sarif")]
pub(super) struct Args {
    /// Subscription to read; may be given several times.
    #[arg(long = "subscription", value_name = "ID", value_parser = guid,
          required_unless_present = "from")]
    subscriptions: Vec<String>,
    /// Configuration that names the hubs that are read and the destinations of alerts.
    #[arg(long, value_name = "FILE", env = "TOKENWATCH_CONFIG")]
    config: Option<PathBuf>,
    /// Who we are to Entra ID.
    #[arg(long, value_enum, default_value = "cli")]
    identity: Who,
    /// Client id of a user-assigned managed identity.
    #[arg(long, value_name = "ID")]
    client_id: Option<String>,
    /// Where Azure is managed; it is sent our token.
    #[arg(long, value_name = "URL", default_value = PUBLIC, value_parser = https)]
    endpoint: Url,
    /// Form of the result.
    #[arg(long, value_enum, default_value = "table")]
    format: Form,
    /// Only this door; may be given several times.
    #[arg(long = "door", value_name = "NAME", value_parser = door)]
    doors: Vec<&'static str>,
    /// Region that AI resources may be in, such as eastus2; may be given several times.
    #[arg(long = "allow-region", value_name = "REGION", value_parser = region)]
    regions: Vec<String>,
    /// Also write what was read to this file, for --from; it holds no keys.
    #[arg(long, value_name = "FILE", conflicts_with = "from")]
    save: Option<PathBuf>,
    /// Judge what --save wrote instead of asking Azure.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["subscriptions", "endpoint", "client_id"])]
    from: Option<PathBuf>,
}

/// Who we are, as a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Who {
    /// Whoever is logged in with `az login`.
    Cli,
    /// The managed identity of this machine or container.
    Managed,
    /// Federated token of a Kubernetes or GitHub workload.
    Workload,
}

/// Form of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Form {
    /// For people.
    Table,
    /// For programs: one document.
    Json,
    /// For spreadsheets: a row a door.
    Csv,
    /// For code scanning: SARIF 2.1.0, a result an open door.
    Sarif,
}

/// What is told, in every form.
struct Told<'a> {
    inventory: &'a Inventory,
    cards: Vec<Card>,
    gaps: Vec<Gap>,
}

impl Told<'_> {
    /// How many doors are in this state.
    fn count(&self, state: State) -> usize {
        self.cards.iter().map(|card| card.count(state)).sum()
    }
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    if args.client_id.is_some() && args.identity != Who::Managed {
        drop(writeln!(std::io::stderr(), "error: --client-id is for --identity managed"));
        return Ok(Exit::Usage);
    }
    let mut own = match &args.config {
        None => Own::default(),
        Some(path) => match check::load_without_secrets(path)? {
            None => return Ok(Exit::Configuration),
            Some(config) => own(&config),
        },
    };
    own.regions = args.regions.iter().cloned().collect();
    let inventory = match &args.from {
        Some(path) => load(path)?,
        None => read(&args).await?,
    };
    let gaps = gaps::gaps(&inventory);
    if gaps::is_blank(&inventory) {
        let gap = gaps.first();
        let why = gap.map_or("no subscription was named", |gap| match gap.said.as_str() {
            "" => &gap.reason,
            said => said,
        });
        anyhow::bail!("nothing could be read: {why}");
    }
    if let Some(path) = &args.save {
        save(&inventory, path).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut cards = posture::cards(&inventory, &own);
    if !args.doors.is_empty() {
        for card in &mut cards {
            card.doors.retain(|finding| args.doors.contains(&finding.door));
        }
    }
    let told = Told { inventory: &inventory, cards, gaps };
    print(&match args.format {
        Form::Table => page::to_text(&told),
        Form::Json => format!("{:#}\n", export::to_json(&told)),
        Form::Csv => export::to_csv(&told)?,
        Form::Sarif => format!("{:#}\n", export::to_sarif(&told)),
    })?;
    Ok(if told.count(State::Open) > 0 { Exit::Found } else { Exit::Ok })
}

/// What the doors need of a configuration.
fn own(config: &Config) -> Own {
    let hubs = config.hubs.iter().map(|hub| {
        let host = hub.namespace.split('.').next().unwrap_or_default();
        (host.to_ascii_lowercase(), hub.hub.to_ascii_lowercase())
    });
    let destinations = Some(config.destinations.len());
    Own { hubs: hubs.collect(), destinations, ..Own::default() }
}

async fn read(args: &Args) -> anyhow::Result<Inventory> {
    let identity = match args.identity {
        Who::Cli => Identity::Cli,
        Who::Managed => Identity::Managed { client_id: args.client_id.clone() },
        Who::Workload => Identity::Workload,
    };
    let settings = InventorySettings {
        endpoint: args.endpoint.clone(),
        identity,
        subscriptions: args.subscriptions.iter().cloned().collect::<BTreeSet<_>>(),
        bounds: Bounds::default(),
    };
    let pace = Pace { distance: DISTANCE, ..Pace::default() };
    let bar =
        if std::io::stderr().is_terminal() { ProgressBar::new(0) } else { ProgressBar::hidden() };
    if let Ok(style) =
        ProgressStyle::with_template("reading {bar:40} {pos}/{len} questions {elapsed}")
    {
        bar.set_style(style);
    }
    let tell = |done: usize, all: usize| {
        bar.set_length(all as u64);
        bar.set_position(done as u64);
    };
    let inventory = resource_graph::read(settings, pace, wall_clock(), &tell).await;
    bar.finish_and_clear();
    Ok(inventory?)
}

/// Puts the file there as a whole or not at all, for nobody else to read.
fn save(inventory: &Inventory, path: &Path) -> anyhow::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    serde_json::to_writer_pretty(&mut file, inventory)?;
    file.write_all(b"\n")?;
    file.persist(path)?;
    Ok(())
}

fn load(path: &Path) -> anyhow::Result<Inventory> {
    let name = path.display();
    let length = std::fs::metadata(path).with_context(|| format!("cannot read {name}"))?.len();
    anyhow::ensure!(length <= MAX_FILE_BYTES, "{name} is larger than {MAX_FILE_BYTES} bytes");
    let bytes = std::fs::read(path).with_context(|| format!("cannot read {name}"))?;
    let value: serde_json::Value = serde_json::from_slice(&bytes)
        .with_context(|| format!("{name} is not what --save writes"))?;
    let version = value.get("version").and_then(serde_json::Value::as_u64);
    let known = u64::from(Inventory::VERSION);
    anyhow::ensure!(
        version == Some(known),
        "{name} is not an inventory of version {known}: write it anew with --save"
    );
    serde_json::from_value(value).with_context(|| format!("{name} is not what --save writes"))
}

fn guid(text: &str) -> Result<String, String> {
    subscription_id(text)
        .ok_or_else(|| "write its id, as `az account list -o table` shows it".to_owned())
}

fn https(text: &str) -> Result<Url, String> {
    origin(text)
        .ok_or_else(|| "write https:// and the name of a host: it is sent our token".to_owned())
}

fn region(text: &str) -> Result<String, String> {
    let lower = text.trim().to_ascii_lowercase();
    let fine = !lower.is_empty() && lower.chars().all(|c| c.is_ascii_alphanumeric());
    if fine { Ok(lower) } else { Err("write its short name, such as eastus2".to_owned()) }
}

fn door(text: &str) -> Result<&'static str, String> {
    let found = DOORS.iter().find(|door| door.word.eq_ignore_ascii_case(text));
    let words: Vec<&str> = DOORS.iter().map(|door| door.word).collect();
    found.map(|door| door.word).ok_or_else(|| format!("the doors are {}", words.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_the_command_line_are_checked() {
        let id = "3F0C0000-0000-4000-8000-000000000001";
        assert_eq!(guid(id), Ok(id.to_lowercase()));
        for text in ["", "prod", "3f0c00000-000-4000-8000-000000000001", &id.replace('F', "G")] {
            assert!(guid(text).is_err(), "{text}");
        }
        assert!(https("https://management.azure.com").is_ok());
        for text in ["http://h", "https://u:p@h", "https://h/x", "https://h?x", "h"] {
            assert!(https(text).is_err(), "{text}");
        }
        assert_eq!(region("EastUS2"), Ok("eastus2".to_owned()));
        assert!(region("East US 2").is_err() && region("").is_err());
        assert_eq!(door("AUTH"), Ok("auth"));
        assert!(door("window").unwrap_err().contains("policy, network"));
    }
}
