//! TW-K05: keys that nobody has made anew for long.
//!
//! No operation tells it, so it is looked for whenever an account is found in the inventory; making a key anew
//! ends it, as does refusing keys.

use super::inventory::Version;
use super::memory::Memory;
use super::{Alarm, command, name_of};
use crate::detect::table::Profile;
use crate::event::control::Changed;
use crate::time::{DAY_MS, EventTime};

/// The rule.
pub const RULE: &str = "TW-K05";

/// Since when the keys of an account have been what they are, as far as that is known, and what is said of
/// it at `at`; `None` while they are young, refused, or of an age that nobody knows.
///
/// An account has two keys, and no log says which of them was made anew: both count as that young.
#[must_use]
pub fn old_keys(
    (resource, version): (&str, &Version),
    memory: &Memory,
    at: EventTime,
    profile: &Profile,
) -> Option<(EventTime, Alarm)> {
    let Changed::Account(state) = &version.to else { return None };
    if state.local_auth_disabled != Some(false) {
        return None;
    }
    let made = memory.made(resource);
    let since = made.or(version.created)?;
    #[expect(clippy::cast_precision_loss, reason = "days of milliseconds are far below 2^53")]
    let days = (at.0.saturating_sub(since.0) / DAY_MS) as f64;
    if days < profile.threshold("days") {
        return None;
    }
    let name = name_of(resource);
    let (fact, doubt) = match made {
        Some(_) => (
            format!("a key of {name} was last made anew {days} days ago, on {since}"),
            "Which of the two keys it was no record says: the other is as old or older".to_owned(),
        ),
        None => (
            format!(
                "the keys of {name} are up to {days} days old, as it is itself: it was made on {since}"
            ),
            match memory.heard(resource) {
                Some(heard) => format!(
                    "Since {heard} no record says that one was made anew; before that it is not known"
                ),
                None => "No record of the activity log has been read: one may have been made anew"
                    .to_owned(),
            },
        ),
    };
    let alarm = Alarm {
        rule: RULE,
        scope: resource.to_owned(),
        resource: resource.to_owned(),
        severity: profile.severity,
        confidence: if made.is_some() { 0.9 } else { 0.6 },
        observed: days,
        unit: "days",
        span: (at, at),
        evidence: vec![fact, doubt],
        steps: Vec::new(),
        weight: 1.0,
    };
    let alarm = alarm
        .with("It is told once, and over as soon as a key is made anew or keys are refused")
        .step(
            "Replaces the second key, to which clients should be moved first; then the first.",
            command::regenerate(resource, "Key2"),
        )
        .step(
            "Then the first key. Clients that still use it break.",
            command::regenerate(resource, "Key1"),
        )
        .step(
            "Or makes all keys worthless; Entra ID still works. Breaks clients that use keys.",
            command::set(resource, &["properties.disableLocalAuth=true"]),
        );
    Some((since, alarm))
}
