//! `emulator --load`: captured events into a hub.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use tokio_util::sync::CancellationToken;

use crate::cli::replay::progress;
use crate::emulator::{Control, HubSpec};
use crate::event::Batch;
use crate::source::Source as _;
use crate::source::replay::Replay;

/// Which files go into which hub, from `FILE` and `HUB=FILE`.
pub(super) fn files(
    texts: &[String],
    hubs: &[HubSpec],
) -> Result<BTreeMap<String, Vec<PathBuf>>, String> {
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
pub(super) struct Load<'a> {
    pub(super) control: Control,
    pub(super) hub: &'a str,
}

impl Load<'_> {
    /// Fails when the hub has events already, or lacks a partition that was captured.
    pub(super) async fn run(
        &self,
        source: &mut Replay,
        stop: &CancellationToken,
    ) -> anyhow::Result<()> {
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
