//! What `emulator` prints at start, for people and scripts.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use serde::Serialize;

use crate::cli::replay::printable;
use crate::emulator::{Emulator, HubSpec};

/// What is served, for people and scripts.
#[derive(Serialize)]
pub(super) struct Facts {
    endpoint: String,
    websocket_endpoint: String,
    host: String,
    port: u16,
    connection_string: String,
    /// Where the control over HTTP is served.
    control: Option<String>,
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
    pub(super) fn of(
        emulator: &Emulator,
        hubs: &[HubSpec],
        control: Option<SocketAddr>,
        data: Option<&Path>,
    ) -> Self {
        let hand = emulator.control();
        let hubs = hubs.iter().map(|hub| HubFacts {
            name: hub.name.clone(),
            partitions: hand.received(&hub.name).len(),
            consumer_groups: hub.consumer_groups.clone(),
            events: hand.retained(&hub.name),
            connection_string: emulator.connection_string(&hub.name),
        });
        Self {
            endpoint: emulator.endpoint(),
            websocket_endpoint: emulator.websocket_endpoint(),
            host: emulator.address().ip().to_string(),
            port: emulator.address().port(),
            connection_string: emulator.namespace_connection_string(),
            control: control.map(|address| format!("http://{address}")),
            hubs: hubs.collect(),
            data: data.map(|folder| folder.display().to_string()),
            pid: std::process::id(),
        }
    }

    /// As JSON on one line.
    pub(super) fn to_json(&self) -> serde_json::Result<String> {
        Ok(serde_json::to_string(self)? + "\n")
    }

    /// For people.
    pub(super) fn to_text(&self) -> String {
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
        let control = self.control.as_deref().unwrap_or("none (--control)");
        let mut text = format!("{table}\n\n");
        for (label, what) in [
            ("endpoint", self.endpoint.as_str()),
            ("websocket", &self.websocket_endpoint),
            ("control", control),
            ("data", data),
            ("stop", &format!("Ctrl-C, or kill {}", self.pid)),
        ] {
            text.push_str(&format!(" {label:<11}{}\n", printable(what)));
        }
        text.push_str(&format!("\n connection string\n {}\n", self.connection_string));
        for hub in &self.hubs {
            let (name, secret) = (&hub.name, &hub.connection_string);
            text.push_str(&format!("\n connection string of {name}\n {secret}\n"));
        }
        text
    }

    /// Writes the JSON to a file, so that who sees the file sees all of it.
    pub(super) fn write(&self, path: &Path) -> std::io::Result<()> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or_else(|| Path::new(".")))?;
        file.write_all(self.to_json()?.as_bytes())?;
        file.persist(path)?;
        Ok(())
    }
}
