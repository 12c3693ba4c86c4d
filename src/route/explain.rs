//! Who would be told of an incident with given labels, and why: the router's own words, without one.

use super::matcher::Labels;
use super::router::resting;
use super::silence::{Armed, Silence};
use super::{GroupBy, Plan};
use crate::severity::Severity;

/// Whether a receiver would hear.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// After this many milliseconds.
    Told(i64),
    /// Not below this severity.
    TooLow(Severity),
    /// Held back; why.
    Held(String),
}

/// One receiver's part of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explained {
    /// Name of the destination.
    pub receiver: String,
    /// The route that leads there.
    pub route: String,
    /// Whom it is told together with.
    pub group: String,
    /// When it is told again while it goes on, in milliseconds; 0: never.
    pub repeat_ms: i64,
    /// Whether it is told.
    pub verdict: Verdict,
}

/// Walks the plan for `labels` at `now_ms` with the silences that hold. Inhibition and parents are not
/// part of it: they depend on which other incidents go on.
#[must_use]
pub fn explain(plan: &Plan, silences: &[Silence], labels: &Labels, now_ms: i64) -> Vec<Explained> {
    let severity = labels.get("severity").and_then(|word| Severity::from_word(word));
    let severity = severity.unwrap_or_default();
    let mut explained = Vec::new();
    let silenced = silences.iter().find(|silence| {
        Armed::new((*silence).clone()).is_ok_and(|armed| armed.holds(labels, now_ms))
    });
    let planned = plan.maintenance.iter().find(|each| each.holds(labels, now_ms));
    for route in plan.root.taken(labels) {
        for name in &route.receivers {
            let receiver = plan.receivers.iter().find(|receiver| receiver.name == *name);
            let least = receiver.map_or(Severity::Info, |receiver| receiver.min_severity);
            let verdict = if severity < least {
                Verdict::TooLow(least)
            } else if let Some(silence) = silenced {
                let why =
                    format!("silence {} of {}: {}", silence.id, silence.author, silence.reason);
                Verdict::Held(why)
            } else if let Some(planned) = planned {
                Verdict::Held(format!("maintenance {}", planned.name))
            } else if let Some(times) = resting(plan, route, severity, now_ms) {
                Verdict::Held(format!("the route rests: {times}"))
            } else if severity == Severity::Critical {
                Verdict::Told(0)
            } else {
                Verdict::Told(route.group_wait_ms)
            };
            let group = match &route.group_by {
                GroupBy::Incident => "by itself".to_owned(),
                GroupBy::Labels(names) if names.is_empty() => "with all of the route".to_owned(),
                GroupBy::Labels(names) => {
                    let value = |name: &String| labels.get(name).map_or("", String::as_str);
                    let pairs = names.iter().map(|name| format!("{name}={}", value(name)));
                    format!("with {}", pairs.collect::<Vec<_>>().join(" "))
                }
            };
            explained.push(Explained {
                receiver: name.clone(),
                route: route.title(),
                group,
                repeat_ms: route.repeat_ms,
                verdict,
            });
        }
    }
    explained
}
