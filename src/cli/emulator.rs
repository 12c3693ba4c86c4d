//! `tokenwatch emulator`: an event hub on this machine.

use std::net::SocketAddr;
use std::path::PathBuf;

use super::replay::stop_on_interrupt;
use super::{Exit, print};
use crate::emulator::{Emulator, EmulatorClock, EmulatorTls, HubSpec};

/// Runs an event hub that speaks AMQP 1.0, for development and tests. Nothing is kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch emulator --hub insights-logs=4\n  \
    tokenwatch emulator --listen 127.0.0.1:5672 --hub a=2 --hub b=32\n  \
    tokenwatch emulator --listen 127.0.0.1:5671 --tls-self-signed certs --hub a=2")]
pub(super) struct Args {
    /// Where to listen; loopback only. Port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:5672")]
    listen: SocketAddr,
    /// Name and number of partitions of a hub; repeat for more.
    #[arg(long = "hub", value_name = "NAME=PARTITIONS", required = true)]
    hubs: Vec<HubSpec>,
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
    print(&text)?;
    stop.cancelled().await;
    emulator.stop().await;
    Ok(Exit::Ok)
}
