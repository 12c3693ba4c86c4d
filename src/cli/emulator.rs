//! `tokenwatch emulator`: an event hub on this machine.

use std::net::SocketAddr;

use super::replay::stop_on_interrupt;
use super::{Exit, print};
use crate::emulator::{Emulator, EmulatorClock, HubSpec};

/// Runs an event hub that speaks AMQP 1.0, for development and tests. Nothing is kept.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  tokenwatch emulator --hub insights-logs=4\n  \
    tokenwatch emulator --listen 127.0.0.1:5672 --hub a=2 --hub b=32")]
pub(super) struct Args {
    /// Where to listen; loopback only. Port 0 takes any free one.
    #[arg(long, default_value = "127.0.0.1:5672")]
    listen: SocketAddr,
    /// Name and number of partitions of a hub; repeat for more.
    #[arg(long = "hub", value_name = "NAME=PARTITIONS", required = true)]
    hubs: Vec<HubSpec>,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let stop = stop_on_interrupt();
    let emulator = Emulator::start(args.listen, args.hubs.clone(), EmulatorClock::real()).await?;
    let mut text = format!("listening on {}\n", emulator.endpoint());
    for hub in &args.hubs {
        text.push_str(&format!("{}: {}\n", hub.name, emulator.connection_string(&hub.name)));
    }
    print(&text)?;
    stop.cancelled().await;
    emulator.stop().await;
    Ok(Exit::Ok)
}
