//! What needs several accounts, or belongs to none: lost records, recreated hubs, stalled
//! partitions, hubs that cannot be read and models without a price.

use std::collections::BTreeMap;

use super::account::Unpriced;
use super::effects::Gap;
use crate::detect::baseline::as_float;
use crate::event::{PartitionKey, Trouble, TroubleKind};
use crate::incident::tracker::{Cause, Changes, Hearing, Sighting, Tracked, Tracker, Verdict};
use crate::incident::{Incident, Severity, State};
use crate::time::{ArrivalTime, DAY_MS, EventTime, HOUR_MS};

/// What the estate is told in one step.
#[derive(Debug, Default)]
pub struct News {
    /// Events that will never be seen.
    pub gaps: Vec<Gap>,
    /// Hubs whose sequence numbers began again.
    pub recreated: Vec<String>,
    /// Partitions windows no longer wait for.
    pub stalled: Vec<PartitionKey>,
    /// Hubs that cannot be read.
    pub troubles: Vec<Trouble>,
    /// Destinations that refused a notification for good.
    pub undeliverable: Vec<String>,
    /// Tokens without a price, by account and model.
    pub unpriced: BTreeMap<(String, String), Unpriced>,
}

/// An incident rule of the service itself.
struct Rule {
    id: &'static str,
    name: &'static str,
    severity: Severity,
    resolves_after_ms: i64,
}

const LOST: Rule = Rule {
    id: "TW-S01",
    name: "Records lost",
    severity: Severity::High,
    resolves_after_ms: HOUR_MS,
};
const RECREATED: Rule = Rule {
    id: "TW-S02",
    name: "Event hub recreated",
    severity: Severity::High,
    resolves_after_ms: HOUR_MS,
};
const STALLED: Rule = Rule {
    id: "TW-S03",
    name: "Partition stalled",
    severity: Severity::High,
    resolves_after_ms: HOUR_MS,
};
const UNPRICED: Rule = Rule {
    id: "TW-S04",
    name: "Price unknown",
    severity: Severity::Low,
    resolves_after_ms: DAY_MS,
};
const UNDELIVERABLE: Rule = Rule {
    id: UNDELIVERABLE_ID,
    name: "Notification undeliverable",
    severity: Severity::High,
    resolves_after_ms: HOUR_MS,
};
const UNREADABLE: Rule = Rule {
    id: "TW-S06",
    name: "Hub cannot be read",
    severity: Severity::High,
    resolves_after_ms: HOUR_MS,
};
const RULES: [&Rule; 6] = [&LOST, &RECREATED, &STALLED, &UNPRICED, &UNDELIVERABLE, &UNREADABLE];

/// The rule about destinations that refuse for good; its account is the destination, which need not
/// be told.
pub const UNDELIVERABLE_ID: &str = "TW-S05";

/// Identifiers of the rules of the service itself.
pub fn rule_ids() -> impl Iterator<Item = &'static str> {
    RULES.iter().map(|rule| rule.id)
}

/// Incidents that belong to no single account.
#[derive(Debug, Default)]
pub struct Estate {
    tracker: Tracker,
}

/// One event to report.
struct Report<'a> {
    rule: &'a Rule,
    scope: String,
    account: &'a str,
    observed: f64,
    unit: &'a str,
    evidence: String,
}

impl Estate {
    /// An estate for a database with this lineage.
    #[must_use]
    pub fn new(lineage: &str) -> Self {
        Self { tracker: Tracker::new(lineage) }
    }

    /// Puts back a saved incident.
    pub fn restore(&mut self, cause: Cause, tracked: Tracked) {
        self.tracker.restore(cause, tracked);
    }

    /// Takes the news of one step and lets time pass to `now`.
    pub fn apply(&mut self, news: &News, now: ArrivalTime) -> Changes {
        let mut changes = Changes::default();
        for report in reports(news) {
            changes.extend(self.report(now, &report));
        }
        changes.extend(self.resolve(now));
        changes
    }

    fn report(&mut self, now: ArrivalTime, report: &Report<'_>) -> Changes {
        let cause = Cause { rule: report.rule.id, scope: report.scope.clone() };
        let known = self.tracker.open(&cause);
        // Once an hour is often enough to say that it still goes on.
        if known.is_some_and(|t| now.0.saturating_sub(t.incident.last_window.0) < HOUR_MS / 2) {
            return Changes::default();
        }
        let incident = Incident {
            key: String::new(),
            rule: report.rule.id.to_owned(),
            rule_name: report.rule.name.to_owned(),
            account: report.account.to_owned(),
            deployment: None,
            resource_id: None,
            model: None,
            severity: report.rule.severity,
            state: State::Open,
            first_window: EventTime(now.0),
            last_window: EventTime(now.0),
            opened_at: now,
            resolved_at: None,
            observed: report.observed,
            expected: 0.0,
            bound: 0.0,
            unit: report.unit.to_owned(),
            cost: None,
            cost_per_day: None,
            callers: Vec::new(),
            evidence: vec![report.evidence.clone()],
            response: Vec::new(),
            confidence: 1.0,
            delay_azure_s: None,
        };
        let (verdict, hearing) = (Verdict::Closing, Hearing::Announce);
        self.tracker.found(&cause, Sighting { incident, score: 1.0, verdict, hearing })
    }

    fn resolve(&mut self, now: ArrivalTime) -> Changes {
        let over = |cause: &Cause, tracked: &Tracked| {
            let rule = RULES.iter().find(|rule| rule.id == cause.rule);
            let age = now.0.saturating_sub(tracked.incident.last_window.0);
            rule.is_some_and(|rule| age >= rule.resolves_after_ms)
        };
        let ripe = self.tracker.all_open().filter(|(cause, tracked)| over(cause, tracked));
        let ripe: Vec<Cause> = ripe.map(|(cause, _)| cause.clone()).collect();
        let mut changes = Changes::default();
        for cause in ripe {
            changes.extend(self.tracker.quiet(&cause, 1, now));
        }
        changes
    }
}

/// The news as reports, each with one sentence that says what happened and what follows.
fn reports(news: &News) -> Vec<Report<'_>> {
    let gaps = news.gaps.iter().map(about_gap);
    let recreated = news.recreated.iter().map(|hub| Report {
        rule: &RECREATED,
        scope: hub.clone(),
        account: hub,
        observed: 1.0,
        unit: "times",
        evidence: format!(
            "the sequence numbers of hub {hub} began again: it was deleted and created, and is now \
             read from its first event"
        ),
    });
    let stalled = news.stalled.iter().map(|key| Report {
        rule: &STALLED,
        scope: format!("{}/{}", key.hub, key.partition),
        account: &key.hub,
        observed: 15.0,
        unit: "min without an answer",
        evidence: format!(
            "partition {} of hub {} could neither be read nor found idle: its windows close without \
             it, and what comes later counts as late",
            key.partition, key.hub
        ),
    });
    let undeliverable = news.undeliverable.iter().map(|destination| Report {
        rule: &UNDELIVERABLE,
        scope: destination.clone(),
        account: destination,
        observed: 1.0,
        unit: "notifications given up",
        evidence: format!(
            "destination {destination} refused a notification for good; it stays in the outbox as \
             dead. Try `tokenwatch test-alert --destination {destination}`"
        ),
    });
    let unpriced = news.unpriced.iter().map(|((account, model), unpriced)| Report {
        rule: &UNPRICED,
        scope: format!("{account}/{model}"),
        account,
        observed: as_float(unpriced.tokens),
        unit: "tokens without a price",
        evidence: format!(
            "{} ({model:?}): its tokens are counted, their cost is unknown. To mend it, {}; `tokenwatch \
             prices explain` shows what is found",
            unpriced.why,
            unpriced.why.mend()
        ),
    });
    let troubles = news.troubles.iter().map(about_trouble);
    let of_hubs = gaps.chain(recreated).chain(stalled).chain(troubles);
    of_hubs.chain(undeliverable).chain(unpriced).collect()
}

fn about_trouble(trouble: &Trouble) -> Report<'_> {
    let place = match &trouble.partition {
        Some(name) if PartitionKey::names_polled(name) => format!("{}, {name}", trouble.hub),
        Some(partition) => format!("partition {partition} of hub {}", trouble.hub),
        None => format!("hub {}", trouble.hub),
    };
    let what = match trouble.kind {
        TroubleKind::Refused => "refuses us",
        TroubleKind::Taken => "is read by another reader, which takes it from us",
        TroubleKind::Unreachable => "does not answer",
    };
    Report {
        rule: &UNREADABLE,
        scope: trouble.hub.clone(),
        account: &trouble.hub,
        observed: 1.0,
        unit: "hub unread",
        evidence: format!(
            "{place} {what}: {}. What is written there is not watched meanwhile; it is read \
             afterwards as far as the hub still has it",
            trouble.reason.trim_end_matches('.')
        ),
    }
}

fn about_gap(gap: &Gap) -> Report<'_> {
    let (hub, partition) = (&gap.key.hub, &gap.key.partition);
    Report {
        rule: &LOST,
        scope: format!("{hub}/{partition}"),
        account: hub,
        observed: as_float(gap.to - gap.from),
        unit: "events missing",
        evidence: format!(
            "partition {partition} of hub {hub} gave no events {} to {}: they were removed before \
             they were read, or never written",
            gap.from,
            gap.to - 1
        ),
    }
}
