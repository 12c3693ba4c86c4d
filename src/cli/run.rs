//! `tokenwatch run`: the always-on service.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;

use super::Exit;
use super::check;
use super::replay::stop_on_interrupt;
use super::report;
use crate::azure::{self, Directory};
use crate::engine::effects::Effects;
use crate::event::{Arrival, Batch};
use crate::pipeline::{Core, Service, Watch, wall_clock};
use crate::source::event_hubs::{EventHubs, Pace};
use crate::source::joined::Joined;
use crate::source::metrics_api::MetricsApi;
use crate::source::resource_graph::poll::{Nudge, ResourceGraph, Rhythm};
use crate::store::Store;

/// Reads the hubs of a configuration until it is told to stop (Ctrl-C, SIGTERM).
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  tokenwatch check --config tokenwatch.toml && tokenwatch run --config tokenwatch.toml\n  \
    tokenwatch run --config tokenwatch.toml --capture events.jsonl   # for `replay` later"
)]
pub(super) struct Args {
    /// Configuration file.
    #[arg(long, env = "TOKENWATCH_CONFIG", default_value = "tokenwatch.toml")]
    config: PathBuf,
    /// Also write every event read, as lines for `replay`. Bodies are written as they come.
    #[arg(long, value_name = "FILE")]
    capture: Option<PathBuf>,
    /// How many times faster than ours the hub's clock runs; for emulators.
    #[arg(long, default_value_t = 1.0, hide = true)]
    hub_time_scale: f64,
    /// Milliseconds between flushes; for tests.
    #[arg(long, default_value_t = 1000, hide = true)]
    flush_ms: u64,
}

pub(super) async fn run(args: Args) -> anyhow::Result<Exit> {
    let stop = stop_on_interrupt();
    let Some(config) = check::load_or_tell(&args.config)? else { return Ok(Exit::Configuration) };
    let capture = args.capture.as_deref().map(Capture::create).transpose()?;
    let store = Store::open(&config.database).await?.with(&config.store);
    let core = Core::restore(store, config.env()?).await?;
    let flush = std::time::Duration::from_millis(args.flush_ms.max(1));
    let pace = Pace {
        time_scale: args.hub_time_scale,
        flush,
        probe: if args.flush_ms < 1000 { flush * 5 } else { Pace::default().probe },
        ..Pace::default()
    };
    tracing::info!(
        hubs = config.hubs.len(),
        metrics = config.metrics.len(),
        inventory = config.inventory.as_ref().map_or(0, |(of, _)| of.subscriptions.len()),
        destinations = config.destinations.len(),
        epoch = core.store.epoch,
        database = %config.database.display(),
        "running"
    );
    let reports = report::scheduled(&config)?;
    let (known, clock) = (core.positions(), wall_clock());
    let hubs = EventHubs::start(config.hubs, &known, core.store.epoch, pace);
    let metrics = MetricsApi::start(config.metrics, &known, azure::Pace::default(), &clock);
    let inventory = config.inventory.map(|(settings, every)| {
        let rhythm = Rhythm::every(every);
        // As tests have it: a write is followed within a second or so.
        let (after_write, apart) = (flush * 10, flush * 20);
        let fast = Rhythm { after_write, apart, ..rhythm };
        (settings, if args.flush_ms < 1000 { fast } else { rhythm })
    });
    let inventory = ResourceGraph::start(inventory, &known, azure::Pace::default(), &clock);
    let nudge = inventory.nudge();
    let source = Joined { hubs, metrics, inventory };
    let mut files = config.files;
    if args.flush_ms < 1000 {
        files.every = flush * 10;
    }
    let ask = |settings| Directory::start(settings, azure::Pace::default(), Arc::clone(&clock));
    let (directory, destinations) = (config.directory.map(ask), config.destinations);
    let (plan, heartbeat, automation) = (config.plan, config.heartbeat, config.response);
    let service = Service {
        core,
        source,
        destinations,
        plan,
        heartbeat,
        automation,
        clock,
        files,
        directory,
        reports,
    };
    let mut watch = Watcher { capture, nudge };
    let source = service.run(&stop, &mut watch).await?;
    source.close().await;
    tracing::info!("stopped; everything read is saved");
    Ok(Exit::Ok)
}

/// Logs incidents, writes the capture, and has the inventory read again after a write.
struct Watcher {
    capture: Option<Capture>,
    nudge: Nudge,
}

impl Watch for Watcher {
    fn arrived(&mut self, batch: &Batch) {
        if let Some(capture) = &mut self.capture
            && let Err(error) = capture.write(batch)
        {
            tracing::error!(%error, "cannot write the capture; it ends here");
            self.capture = None;
        }
    }

    fn saved(&mut self, effects: &Effects) {
        self.nudge.touched(&effects.touched);
        for announcement in &effects.announcements {
            let incident = &announcement.incident;
            tracing::info!(
                incident = incident.key,
                severity = incident.severity.word(),
                kind = announcement.kind.word(),
                "{}",
                incident.rule_name
            );
        }
        for gap in &effects.gaps {
            tracing::error!(
                hub = gap.key.hub,
                partition = gap.key.partition,
                from = gap.from,
                to = gap.to,
                "events are missing"
            );
        }
    }
}

/// A file of captured events.
struct Capture {
    out: BufWriter<File>,
}

impl Capture {
    fn create(path: &std::path::Path) -> anyhow::Result<Self> {
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { out: BufWriter::new(file) })
    }

    fn write(&mut self, batch: &Batch) -> std::io::Result<()> {
        for arrival in &batch.arrivals {
            writeln!(self.out, "{}", line(arrival))?;
        }
        self.out.flush()
    }
}

/// An event as one line that `replay` reads: JSON inline where the body is that and fits on a
/// line, else as a string.
fn line(arrival: &Arrival) -> String {
    let text = String::from_utf8_lossy(&arrival.body);
    let inline = !text.contains(['\n', '\r'])
        && text.starts_with(['{', '['])
        && serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
    let body = if inline { text.into_owned() } else { serde_json::Value::from(text).to_string() };
    format!(
        "{{\"hub\":{},\"partition\":{},\"sequence\":{},\"enqueued\":\"{}\",\"body\":{body}}}",
        serde_json::Value::from(arrival.partition.hub.as_str()),
        serde_json::Value::from(arrival.partition.partition.as_str()),
        arrival.sequence,
        arrival.enqueued,
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::PartitionKey;
    use crate::time::ArrivalTime;

    #[test]
    fn captured_lines_are_json_whatever_the_body() {
        for body in ["{\"records\":[]}", "{\n}", "not json", "\"\u{feff}", ""] {
            let arrival = Arrival {
                partition: PartitionKey {
                    hub: "a\"b".to_owned(),
                    incarnation: 0,
                    partition: "0".to_owned(),
                },
                sequence: 7,
                enqueued: ArrivalTime(0),
                body: body.as_bytes().to_vec(),
            };
            let line = line(&arrival);
            assert!(!line.contains('\n'));
            let read: serde_json::Value = serde_json::from_str(&line).unwrap();
            assert_eq!(read["sequence"], 7, "{line}");
        }
    }
}
