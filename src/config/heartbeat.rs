//! `[heartbeat]`: whom to tell each minute that the service is alive.

use std::time::Duration;

use super::notify::secret_http;
use super::section::{Section, Walk};
use crate::notify::HttpSettings;

pub(super) const KEYS: &[&str] = &["url", "every", "ca_file", "allow_internal"];

/// A dead man's switch: somebody who raises an alarm when nothing comes any more.
#[derive(Debug, Clone)]
pub struct HeartbeatSettings {
    /// Where to; the address is the secret.
    pub http: HttpSettings,
    /// Time between two signs of life.
    pub every: Duration,
}

pub(super) fn read(section: &Section<'_>, walk: &mut Walk<'_>) -> HeartbeatSettings {
    let http = secret_http("TOKENWATCH_HEARTBEAT", section, walk);
    for problem in http.problems() {
        super::notify::report(&problem, section, walk);
    }
    let every_ms = section.duration("every", ("10s", "1h"), walk).unwrap_or(60_000);
    HeartbeatSettings { http, every: Duration::from_millis(every_ms.unsigned_abs()) }
}
