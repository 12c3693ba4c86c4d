//! Callers in a mail: before and since, side by side.

use crate::aggregate::names::KEY_TEXT;
use crate::incident::{CallerShare, Incident};
use crate::known::Extent;
use crate::money::Grouped;

use super::facts::Limits;
use super::{clean, number};

/// Callers an incident names at most; of before there may have been more.
const NAMED_MAX: usize = 10;
/// Callers of before who are named though they brought nothing of the rise.
const OTHERS_MAX: usize = 3;

/// One row of the table of callers.
#[derive(Debug)]
pub(super) struct CallerLine {
    pub(super) network: String,
    pub(super) identity: String,
    /// Tokens in the hours before; empty where those are not known of anybody.
    pub(super) before: String,
    pub(super) tokens: String,
    pub(super) cost: String,
    pub(super) new: bool,
    /// Said beside the network when it, or a part of it, is the operator's own.
    pub(super) yours: Option<&'static str>,
    /// What is known about the network; empty when nothing is.
    pub(super) about: String,
}

/// True when it is known who called before. A chart is drawn where detectors remember the hours
/// before, so an incident with a chart and without callers had none.
pub(super) const fn is_compared(incident: &Incident) -> bool {
    incident.chart.is_some() || !incident.callers_before.is_empty()
}

/// One caller of `incident`.
pub(super) fn line(share: &CallerShare, incident: &Incident, limits: &Limits) -> CallerLine {
    let or = |text: &str, absent: &str| {
        let shown = clean::untrusted(text, 64);
        if shown.trim().is_empty() { absent.to_owned() } else { shown }
    };
    let identity = match (share.identity.as_str(), share.network.is_empty()) {
        (KEY_TEXT, _) => "API key (no identity)".to_owned(),
        (_, true) => or(&share.identity, "identity not told yet"),
        (_, false) => or(&share.identity, "no identity yet: perhaps an API key"),
    };
    let name = share.name.as_deref().map(|name| clean::untrusted(name, 64));
    let before = incident.callers_before.iter().find(|before| is_same(before, share));
    CallerLine {
        network: or(&share.network, "network not recorded"),
        identity: name.map_or(identity.clone(), |name| format!("{name} ({identity})")),
        before: match before {
            _ if !is_compared(incident) => String::new(),
            Some(before) => Grouped(before.tokens).to_string(),
            None if incident.callers_before.len() < NAMED_MAX => "none".to_owned(),
            None => "not among the first ten".to_owned(),
        },
        tokens: Grouped(share.tokens).to_string(),
        cost: share.cost.map_or_else(|| "unknown".to_owned(), |cost| cost.to_string()),
        new: share.new,
        yours: share.about.yours().map(|extent| match extent {
            Extent::Whole => "YOURS",
            Extent::Part { .. } => "PARTLY YOURS",
        }),
        about: clean::untrusted(&share.about.to_string(), limits.text),
    }
}

/// The largest callers of before who are not among those that brought the rise.
pub(super) fn others(incident: &Incident, limits: &Limits) -> Vec<String> {
    let is_other = |before: &&CallerShare| {
        !before.network.is_empty() && !incident.callers.iter().any(|now| is_same(before, now))
    };
    let others = incident.callers_before.iter().filter(is_other);
    others
        .take(OTHERS_MAX.min(limits.callers))
        .map(|before| {
            let who = before.name.as_deref().unwrap_or(&before.network);
            let tokens = number::compact(before.tokens);
            format!("{} ({tokens} tokens)", clean::untrusted(who, 64))
        })
        .collect()
}

/// A key and an identity that nobody has told yet are the same caller: it takes minutes to know.
fn is_same(before: &CallerShare, now: &CallerShare) -> bool {
    let nobody = |share: &CallerShare| matches!(share.identity.as_str(), "" | KEY_TEXT);
    let same = before.identity == now.identity || (nobody(before) && nobody(now));
    before.network == now.network && same
}
