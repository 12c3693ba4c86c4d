//! `tokenwatch emulator`: an event hub on this machine.

mod facts;
mod load;

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use self::facts::Facts;
use self::load::Load;
use super::replay::stop_on_interrupt;
use super::{Exit, Format, print};
use crate::emulator::{
    DataFolder, Emulator, EmulatorClock, EmulatorTls, Entities, HubSpec, NOT_EMULATED, Script,
    Setup,
};
use crate::source::replay::Replay;

/// The hub that is served when none is named.
const DEFAULT_HUB: (&str, u32) = ("hub", 4);

/// Most bytes read of a script; a thousand long steps have less.
const MAX_SCRIPT_BYTES: u64 = 64 * 1024;

/// Largest entity file that is read, in bytes.
const MAX_CONFIG_BYTES: u64 = 4 * 1024 * 1024;

/// Runs an event hub on this machine for development and tests, without Azure and without Docker.
///
/// Microsoft's clients send to it and read from it over AMQP 1.0, as they do with the service. It
/// takes any token and listens on loopback only. Events are in memory; with --data also in a
/// folder. What it serves is printed at start; it stops at Ctrl-C or SIGTERM.
#[derive(Debug, clap::Args)]
#[command(after_help = help())]
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
    /// Serve the control over HTTP there, loopback only; GET / tells what it can do.
    #[arg(long, value_name = "ADDR")]
    control: Option<SocketAddr>,
    /// What shall go wrong when, such as 'at 10 s: cut; every 1 min: server-busy for 5 s'.
    #[arg(long, value_name = "TEXT|@FILE", value_parser = read_script)]
    script: Option<Script>,
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

/// Examples in the order a newcomer needs them, and what not to look for.
fn help() -> String {
    let examples = "Examples:\n  \
    tokenwatch emulator                                     # one hub, `hub`, with 4 partitions\n  \
    tokenwatch emulator --hub orders=2 --hub logs=32\n  \
    tokenwatch emulator --config Config.json                # the file of Microsoft's emulator\n  \
    tokenwatch emulator --listen 127.0.0.1:0 --format json  # any free port, told on one line\n  \
    tokenwatch emulator --hub orders=2 --data orders.d      # keeps events across restarts\n  \
    tokenwatch emulator --hub logs=4 --load capture.jsonl   # begins with captured events\n  \
    tokenwatch emulator --control 127.0.0.1:5673 --script 'every 30 s: cut'\n  \
    tokenwatch emulator --listen 127.0.0.1:5671 --tls-self-signed certs\n\n";
    let names: Vec<&str> = NOT_EMULATED.iter().map(|(name, _)| *name).collect();
    format!(
        "{examples}Not there: {}.\n\ndocs/emulator.md has connection strings and clients in six \
         languages.",
        names.join("; ")
    )
}

pub(super) async fn run(mut args: Args) -> anyhow::Result<Exit> {
    let stop = stop_on_interrupt();
    let ready = args.ready_file.take();
    if let Some(file) = ready.as_deref().filter(|file| file.exists()) {
        std::fs::remove_file(file).with_context(|| format!("cannot remove {}", file.display()))?;
    }
    match args.config.as_deref().map(configured) {
        None => {}
        Some(Ok(hubs)) => args.hubs.extend(hubs),
        Some(Err(text)) => return tell(&text, Exit::Configuration),
    }
    let folder = args.data.as_deref().map(DataFolder::open).transpose()?;
    if args.hubs.is_empty() {
        args.hubs = unnamed(folder.as_ref())?;
    }
    let loads = match load::files(&args.load, &args.hubs) {
        Ok(loads) => loads,
        Err(text) => return tell(&text, Exit::Usage),
    };
    let mut sources = BTreeMap::new();
    for (hub, files) in loads {
        sources.insert(hub, Replay::open(&files)?);
    }
    let (tls, hubs) = (args.tls()?, args.hubs.clone());
    let setup = Setup { listen: args.listen, hubs, clock: EmulatorClock::real(), tls, folder };
    let mut emulator = Emulator::prepare(setup).await?;
    for (hub, mut source) in sources {
        Load { control: emulator.control(), hub: &hub }.run(&mut source, &stop).await?;
    }
    let control = match args.control {
        Some(listen) => Some(emulator.serve_control(listen).await?),
        None => None,
    };
    if let Some(script) = args.script {
        emulator.control().play(script)?;
    }
    emulator.serve();
    let facts = Facts::of(&emulator, &args.hubs, control, args.data.as_deref());
    match args.format {
        Format::Json => print(&facts.to_json()?)?,
        Format::Table => print(&facts.to_text())?,
    }
    if let Some(file) = &ready {
        facts.write(file).with_context(|| format!("cannot write {}", file.display()))?;
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

/// The hubs when none is named: those in the folder, else one.
fn unnamed(folder: Option<&DataFolder>) -> anyhow::Result<Vec<HubSpec>> {
    let kept = folder.map_or_else(|| Ok(Vec::new()), DataFolder::hubs)?;
    if !kept.is_empty() {
        return Ok(kept);
    }
    let (name, partitions) = DEFAULT_HUB;
    tracing::warn!(
        "neither --hub nor --config is given: serving `{name}` with {partitions} partitions"
    );
    Ok(vec![HubSpec::new(name, partitions)])
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
    let entities = Entities::parse(&text).map_err(|problems| {
        let lines = problems.iter().map(|problem| format!("\n  {problem}"));
        format!("{name} is wrong; nothing was started{}", lines.collect::<String>())
    })?;
    for path in entities.ignored {
        tracing::warn!(file = %name, path, "this field means nothing here and is ignored");
    }
    Ok(entities.hubs)
}

/// A script as text, or `@` and the file it is in.
fn read_script(text: &str) -> anyhow::Result<Script> {
    let Some(path) = text.strip_prefix('@') else { return Ok(text.parse()?) };
    let mut script = String::new();
    let read = std::fs::File::open(path)?.take(MAX_SCRIPT_BYTES + 1).read_to_string(&mut script)?;
    anyhow::ensure!(
        read as u64 <= MAX_SCRIPT_BYTES,
        "the script is above {MAX_SCRIPT_BYTES} bytes"
    );
    Ok(script.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_text_or_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let named = format!("@{}", file.path().display());
        std::fs::write(file.path(), "cut # now\nevery 1 min: cut\n").unwrap();
        for text in ["cut; every 60 s: cut", &named] {
            assert_eq!(read_script(text).unwrap().to_string(), "at 0 s: cut; every 1 min: cut");
        }
        std::fs::write(file.path(), "#".repeat(65_537)).unwrap();
        for (text, said) in [
            (named.as_str(), "above 65536 bytes"),
            ("fly", "line 1, column 1: found `fly`"),
            ("@/no/such/file", "No such file"),
        ] {
            let error = read_script(text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }
}
