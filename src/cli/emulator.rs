//! `tokenwatch emulator`: an event hub on this machine.

use std::io::Read as _;
use std::net::SocketAddr;
use std::path::PathBuf;

use super::replay::stop_on_interrupt;
use super::{Exit, print};
use crate::emulator::{Emulator, EmulatorClock, EmulatorTls, HubSpec, Script};

/// Most bytes read of a script; a thousand long steps have less.
const MAX_SCRIPT_BYTES: u64 = 64 * 1024;

/// Runs an event hub that speaks AMQP 1.0, for development and tests. Nothing is kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch emulator --hub insights-logs=4\n  \
    tokenwatch emulator --listen 127.0.0.1:5672 --hub a=2 --hub b=32\n  \
    tokenwatch emulator --listen 127.0.0.1:5671 --tls-self-signed certs --hub a=2\n  \
    tokenwatch emulator --hub logs=4 --control 127.0.0.1:5673 --script 'every 30 s: cut'")]
pub(super) struct Args {
    /// Where to listen; loopback only. Port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:5672")]
    listen: SocketAddr,
    /// Name and number of partitions of a hub; repeat for more.
    #[arg(long = "hub", value_name = "NAME=PARTITIONS", required = true)]
    hubs: Vec<HubSpec>,
    /// Serve the control over HTTP there, loopback only; GET / tells what it can do.
    #[arg(long, value_name = "ADDRESS")]
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
    let (hubs, clock) = (args.hubs.clone(), EmulatorClock::real());
    let emulator = match args.tls()? {
        Some(tls) => Emulator::start_with_tls(args.listen, hubs, clock, tls).await?,
        None => Emulator::start(args.listen, hubs, clock).await?,
    };
    let mut text = format!("listening on {}\n", emulator.endpoint());
    text.push_str(&format!("websocket: {}\n", emulator.websocket_endpoint()));
    for hub in &args.hubs {
        text.push_str(&format!("{}: {}\n", hub.name, emulator.connection_string(&hub.name)));
    }
    if let Some(listen) = args.control {
        text.push_str(&format!("control on http://{}\n", emulator.serve_control(listen).await?));
    }
    if let Some(script) = args.script {
        emulator.control().play(script)?;
    }
    print(&text)?;
    stop.cancelled().await;
    emulator.stop().await;
    Ok(Exit::Ok)
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
