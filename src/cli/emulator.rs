//! `tokenwatch emulator`: an event hub on this machine.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use super::replay::{progress, stop_on_interrupt};
use super::{Exit, Format, print};
use crate::emulator::{
    Control, DataFolder, Emulator, EmulatorClock, EmulatorTls, Entities, EntityProblem, HubSpec,
    Setup,
};
use crate::event::Batch;
use crate::source::Source as _;
use crate::source::replay::Replay;

/// The hub that is served when none is named.
const DEFAULT_HUB: (&str, u32) = ("hub", 4);

/// Largest entity file that is read, in bytes.
const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;

/// Runs an event hub on this machine for development and tests, without Azure and without Docker.
///
/// Microsoft's clients of any language send to it and read from it over AMQP 1.0. It takes any
/// token and listens on loopback only. Events are in memory; with --data also in a folder. What it
/// serves is printed at start; it stops at Ctrl-C or SIGTERM.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    tokenwatch emulator                                   # one hub `hub` with 4 partitions\n  \
    tokenwatch emulator --hub orders=2 --hub logs=32\n  \
    tokenwatch emulator --config Config.json              # the file of Microsoft's emulator\n  \
    tokenwatch emulator --listen 127.0.0.1:0 --format json --ready-file ready.json   # for scripts\n  \
    tokenwatch emulator --listen 127.0.0.1:5671 --tls-self-signed certs --hub a=2\n  \
    tokenwatch emulator --hub orders=2 --data orders.d    # keeps events across restarts\n  \
    tokenwatch emulator --hub logs=4 --load capture.jsonl # begins with captured events\n\n\
    docs/emulator.md has connection strings and clients in six languages.")]
pub(super) struct Args {
    /// Where to listen; loopback only. Port 0 takes any free one.
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:5672")]
    listen: SocketAddr,
    /// Name and number of partitions of a hub; repeat for more. Without --hub and --config: what
    /// the folder of --data holds, else hub=4.
    #[arg(long = "hub", value_name = "NAME=PARTITIONS")]
    hubs: Vec<HubSpec>,
    /// Hubs, partitions and consumer groups from the Config.json of Microsoft's emulator.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Keep events here across restarts; created if it does not exist. A kill loses nothing that
    /// was acknowledged, a loss of power may.
    #[arg(long, value_name = "FOLDER")]
    data: Option<PathBuf>,
    /// Put captured events into an empty hub before anybody reads, as `run --capture` and
    /// `simulate --out` write them; .gz and .zst are opened. HUB= where there are several hubs.
    #[arg(long, value_name = "[HUB=]FILE")]
    load: Vec<String>,
    /// Certificate chain to serve TLS with, PEM, the server's own first.
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    tls_cert: Option<PathBuf>,
    /// Private key of the certificate, PEM without a passphrase.
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    tls_key: Option<PathBuf>,
    /// Serve TLS with a certificate for localhost, made in this folder if it has none; clients are
    /// to trust its ca.pem.
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["tls_cert", "tls_key"])]
    tls_self_signed: Option<PathBuf>,
    /// Form of what is printed at start; json is one line.
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
    /// Write what `--format json` prints here once clients are served; an older file is removed
    /// first.
    #[arg(long, value_name = "FILE")]
    ready_file: Option<PathBuf>,
}

impl Args {
    fn tls(&self) -> anyhow::Result<Option<EmulatorTls>> {
        Ok(match (&self.tls_self_signed, &self.tls_cert, &self.tls_key) {
            (Some(folder), _, _) => Some(EmulatorTls::self_signed(folder)?),
            (None, Some(certificate), Some(key)) => Some(EmulatorTls::load(certificate, key)?),
            (None, _, _) => None,
        })
    }
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let stop = stop_on_interrupt();
    if let Some(file) = args.ready_file.as_deref().filter(|file| file.exists()) {
        std::fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    let tls = args.tls()?;
    let mut hubs = args.hubs;
    match args.config.as_deref().map(configured) {
        None => {}
        Some(Ok(configured)) => hubs.extend(configured),
        Some(Err(text)) => return tell(&text, Exit::Configuration),
    }
    let folder = args.data.as_deref().map(DataFolder::open).transpose()?;
    let kept = folder.as_ref().map_or_else(|| Ok(Vec::new()), DataFolder::hubs)?;
    if hubs.is_empty() {
        hubs = if kept.is_empty() { vec![default_hub()] } else { kept };
    }
    let loads = match loads(&args.load, &hubs) {
        Ok(loads) => loads,
        Err(text) => return tell(&text, Exit::Usage),
    };
    let mut sources = BTreeMap::new();
    for (hub, files) in loads {
        sources.insert(hub, Replay::open(&files)?);
    }
    let (listen, clock) = (args.listen, EmulatorClock::real());
    let setup = Setup { listen, hubs: hubs.clone(), clock, tls, folder };
    let mut emulator = Emulator::prepare(setup).await?;
    for (hub, mut source) in sources {
        Load { control: emulator.control(), hub: &hub }.run(&mut source, &stop).await?;
    }
    emulator.serve();
    let facts = Facts::of(&emulator, &hubs, args.data.as_deref());
    let line = serde_json::to_string(&facts)? + "\n";
    match args.format {
        Format::Json => print(&line)?,
        Format::Table => print(&facts.to_text())?,
    }
    if let Some(file) = &args.ready_file {
        write_whole(file, &line).with_context(|| format!("cannot write {}", file.display()))?;
    }
    stop.cancelled().await;
    emulator.stop().await;
    Ok(Exit::Ok)
}

/// Says on standard error why nothing was started.
fn tell(text: &str, exit: Exit) -> anyhow::Result<Exit> {
    // If standard error is gone there is nobody to tell.
    drop(writeln!(std::io::stderr(), "error: {text}"));
    Ok(exit)
}

fn default_hub() -> HubSpec {
    let (name, partitions) = DEFAULT_HUB;
    tracing::warn!(
        "neither --hub nor --config is given: serving `{name}` with {partitions} partitions"
    );
    HubSpec::new(name, partitions)
}

/// The hubs of an entity file, or everything that is wrong with it.
fn configured(file: &Path) -> Result<Vec<HubSpec>, String> {
    let name = file.display();
    let size = std::fs::metadata(file).map(|found| found.len());
    let text = match size {
        Ok(size) if size > MAX_CONFIG_BYTES => return Err(format!("{name} is too large")),
        Ok(_) => std::fs::read_to_string(file),
        Err(error) => Err(error),
    };
    let text = text.map_err(|error| format!("cannot read {name}: {error}"))?;
    let entities = Entities::parse(&text).map_err(|problems: Vec<EntityProblem>| {
        let lines = problems.iter().map(|problem| format!("\n  {problem}"));
        format!("{name} is wrong; nothing was started{}", lines.collect::<String>())
    })?;
    for path in entities.ignored {
        tracing::warn!(file = %name, path, "this field means nothing here and is ignored");
    }
    Ok(entities.hubs)
}

/// Which files go into which hub, from `FILE` and `HUB=FILE`.
fn loads(texts: &[String], hubs: &[HubSpec]) -> Result<BTreeMap<String, Vec<PathBuf>>, String> {
    let mut loads: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for text in texts {
        let named = text.split_once('=').and_then(|(name, file)| {
            let hub = hubs.iter().find(|hub| hub.name.eq_ignore_ascii_case(name))?;
            Some((hub, file))
        });
        let (hub, file) = match (named, hubs) {
            (Some(named), _) => named,
            (None, [only]) => (only, text.as_str()),
            (None, _) => {
                let names: Vec<_> = hubs.iter().map(|hub| hub.name.as_str()).collect();
                let names = names.join(", ");
                return Err(format!(
                    "--load {text}: which hub? write HUB={text}, where HUB is one of {names}"
                ));
            }
        };
        loads.entry(hub.name.clone()).or_default().push(PathBuf::from(file));
    }
    Ok(loads)
}

/// Puts captured events into a hub.
struct Load<'a> {
    control: Control,
    hub: &'a str,
}

impl Load<'_> {
    async fn run(&self, source: &mut Replay, stop: &CancellationToken) -> anyhow::Result<()> {
        let hub = self.hub;
        let received = self.control.received(hub);
        anyhow::ensure!(
            received.iter().all(|next| *next == 0),
            "hub `{hub}` has events already: start without --load, or name another folder"
        );
        let bar = progress(source.progress().1);
        let mut count = 0;
        while let Some(batch) = source.next_batch().await? {
            anyhow::ensure!(!stop.is_cancelled(), "interrupted while loading hub `{hub}`");
            for member in &batch.members {
                partition(&member.partition, received.len()).with_context(|| {
                    format!("cannot load hub `{hub}` with its {} partitions", received.len())
                })?;
            }
            count += batch.arrivals.len();
            self.put(batch, received.len())?;
            bar.set_position(source.progress().0);
        }
        bar.finish_and_clear();
        let retained = self.control.retained(hub);
        tracing::info!(hub, events = count, "loaded");
        if retained < count {
            tracing::warn!(hub, retained, "partitions hold a million events; older ones are gone");
        }
        Ok(())
    }

    fn put(&self, batch: Batch, partitions: usize) -> anyhow::Result<()> {
        let mut events: BTreeMap<u32, Vec<(Vec<u8>, i64)>> = BTreeMap::new();
        for arrival in batch.arrivals {
            let number = partition(&arrival.partition.partition, partitions)?;
            events.entry(number).or_default().push((arrival.body, arrival.enqueued.0));
        }
        for (number, events) in events {
            self.control.append_many(self.hub, number, events)?;
        }
        Ok(())
    }
}

/// The number of a captured partition, if the hub has it.
fn partition(name: &str, count: usize) -> anyhow::Result<u32> {
    anyhow::ensure!(
        !name.starts_with("file:"),
        "the file holds bare bodies; a captured event is a line such as \
         {{\"partition\":\"0\",\"sequence\":0,\"enqueued\":\"2026-10-01T00:00:00Z\",\"body\":{{}}}}"
    );
    let number =
        name.parse().ok().filter(|number| usize::try_from(*number).is_ok_and(|n| n < count));
    number.with_context(|| format!("there are captured events of partition `{name}`"))
}

/// What is served, for people and scripts.
#[derive(Serialize)]
struct Facts {
    endpoint: String,
    websocket_endpoint: String,
    host: String,
    port: u16,
    connection_string: String,
    hubs: Vec<HubFacts>,
    data: Option<String>,
    pid: u32,
}

#[derive(Serialize)]
struct HubFacts {
    name: String,
    partitions: usize,
    /// Beside `$Default`; empty when any is taken.
    consumer_groups: Vec<String>,
    events: usize,
    connection_string: String,
}

impl Facts {
    fn of(emulator: &Emulator, hubs: &[HubSpec], data: Option<&Path>) -> Self {
        let control = emulator.control();
        let hubs = hubs.iter().map(|hub| HubFacts {
            name: hub.name.clone(),
            partitions: control.received(&hub.name).len(),
            consumer_groups: hub.consumer_groups.clone(),
            events: control.retained(&hub.name),
            connection_string: emulator.connection_string(&hub.name),
        });
        Self {
            endpoint: emulator.endpoint(),
            websocket_endpoint: emulator.websocket_endpoint(),
            host: emulator.address().ip().to_string(),
            port: emulator.address().port(),
            connection_string: emulator.namespace_connection_string(),
            hubs: hubs.collect(),
            data: data.map(|folder| folder.display().to_string()),
            pid: std::process::id(),
        }
    }

    fn to_text(&self) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(comfy_table::presets::NOTHING);
        table.set_header(["hub", "partitions", "consumer groups", "events"]);
        for hub in &self.hubs {
            let groups = match hub.consumer_groups.as_slice() {
                [] => "any".to_owned(),
                groups => format!("$Default, {}", groups.join(", ")),
            };
            let counts = [hub.partitions, hub.events].map(|count| count.to_string());
            let [partitions, events] = counts;
            table.add_row([hub.name.clone(), partitions, groups, events]);
        }
        for column in [1, 3] {
            if let Some(column) = table.column_mut(column) {
                column.set_cell_alignment(comfy_table::CellAlignment::Right);
            }
        }
        let data = self.data.as_deref().unwrap_or("in memory; nothing is kept");
        let mut text = format!(
            "{table}\n\n endpoint  {}\n websocket {}\n data      {data}\n stop      Ctrl-C, or kill {}\n\n \
             connection string of the namespace:\n {}\n",
            self.endpoint, self.websocket_endpoint, self.pid, self.connection_string
        );
        for hub in &self.hubs {
            let (name, secret) = (&hub.name, &hub.connection_string);
            text.push_str(&format!(" connection string of hub {name}:\n {secret}\n"));
        }
        text
    }
}

/// Writes a file so that who sees it sees all of it.
fn write_whole(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}
