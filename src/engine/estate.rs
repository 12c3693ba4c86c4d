//! What needs several accounts, or belongs to none: lost records, recreated hubs, stalled
//! partitions, hubs and lists that cannot be read, and models without a price.

use std::collections::{BTreeMap, BTreeSet};

use super::account::Unpriced;
use super::budgets;
use super::effects::Gap;
use super::honesty::Verdicts;
use super::shed::{FULL, NEARLY_FULL};
use crate::action::Action;
use crate::aggregate::coverage::{Fall, Field};
use crate::aggregate::repeats::Told;
use crate::detect::baseline::as_float;
use crate::event::{
    ListTrouble, ListTroubleKind, PartitionKey, RowKind, Storage, Trouble, TroubleKind,
};
use crate::incident::tracker::{Cause, Changes, Hearing, Sighting, Tracked, Tracker, Verdict};
use crate::incident::{Incident, Severity, State, respond};
use crate::money::Grouped;
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
    /// Lists that cannot be used now, all of them; `None` when nobody has looked.
    pub lists: Option<Vec<ListTrouble>>,
    /// Tokens without a price, by account and model.
    pub unpriced: BTreeMap<(String, String), Unpriced>,
    /// How full the database is, where it has a limit and was measured.
    pub storage: Option<Storage>,
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
    id: crate::incident::UNDELIVERABLE,
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
/// Over as soon as the list is well, however the hub's clock runs.
const UNUSABLE: Rule = Rule {
    id: "TW-S07",
    name: "List cannot be read or is too old",
    severity: Severity::Low,
    resolves_after_ms: NEVER_BY_AGE,
};
const DOUBLED: Rule = Rule {
    id: "TW-S08",
    name: "Stream doubled",
    severity: Severity::Low,
    resolves_after_ms: NEVER_BY_AGE,
};
const SAYS_LESS: Rule = Rule {
    id: SAYS_LESS_ID,
    name: "Records say less",
    severity: Severity::Low,
    resolves_after_ms: NEVER_BY_AGE,
};
const FILLING: Rule = Rule {
    id: "TW-S10",
    name: "Store nearly full",
    severity: Severity::Medium,
    resolves_after_ms: HOUR_MS,
};
/// The same incident once the limit is reached.
const FILLED: Rule = Rule { severity: Severity::High, ..FILLING };
const RULES: [&Rule; 10] = [
    &LOST,
    &RECREATED,
    &STALLED,
    &UNPRICED,
    &UNDELIVERABLE,
    &UNREADABLE,
    &UNUSABLE,
    &DOUBLED,
    &SAYS_LESS,
    &FILLING,
];
/// Of rules that are judged by closed hours and resolve by quiet ones, or as soon as all is well.
const NEVER_BY_AGE: i64 = i64::MAX;
/// Hours without copies after which a stream is no longer doubled.
const QUIET_HOURS: u32 = 24;

/// The rule about kinds of records that say less than they did; its account is the kind.
pub const SAYS_LESS_ID: &str = "TW-S09";

/// Identifiers of the rules that belong to no single account.
pub fn rule_ids() -> impl Iterator<Item = &'static str> {
    std::iter::once(budgets::RULE_ID).chain(RULES.iter().map(|rule| rule.id))
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
        Self { tracker: Tracker::new(lineage, 0) }
    }

    /// Puts back a saved incident.
    pub fn restore(&mut self, cause: Cause, tracked: Tracked) {
        self.tracker.restore(cause, tracked);
    }

    /// Does what a person asks of one of its incidents; `None` when it is not one of these.
    pub fn act(&mut self, action: &Action) -> Option<(Changes, Result<String, String>)> {
        self.tracker.act(action)
    }

    /// Its incidents, for rules that have their own file.
    pub(super) const fn tracker(&mut self) -> &mut Tracker {
        &mut self.tracker
    }

    /// Takes the news of one step and lets time pass to `now`.
    pub fn apply(&mut self, news: &News, now: ArrivalTime) -> Changes {
        let mut changes = Changes::default();
        for report in reports(news) {
            changes.extend(self.report(now, &report));
        }
        changes.extend(self.resolve(news, now));
        changes
    }

    /// Takes what a closed hour has shown about the data; `resource_of` knows accounts by number.
    pub fn hear(
        &mut self,
        verdicts: &Verdicts,
        resource_of: &dyn Fn(u32) -> Option<String>,
    ) -> Changes {
        let mut changes = Changes::default();
        let mut told = BTreeSet::new();
        for (account, kind, counts) in &verdicts.doubled {
            let Some(resource) = resource_of(*account) else { continue };
            let report = about_double(&resource, *kind, *counts);
            let response = respond::look_for_doubles(&resource);
            let (first, last) = (verdicts.hour, verdicts.hour + 1);
            let mut incident = describe(&report, ArrivalTime(last * HOUR_MS));
            incident.first_window = EventTime(first * HOUR_MS);
            (incident.resource_id, incident.response) = (Some(resource.clone()), response);
            changes.extend(self.find(&report, incident));
            told.insert(report.scope);
        }
        changes.extend(self.be_quiet(&DOUBLED, QUIET_HOURS, (&told, verdicts.hour)));
        let Some(fallen) = &verdicts.fallen else { return changes };
        told.clear();
        for (kind, falls) in fallen {
            let last = verdicts.hour + 1;
            let report = about_fall(kind, falls, EventTime(last * HOUR_MS - DAY_MS));
            let mut incident = describe(&report, ArrivalTime(last * HOUR_MS));
            incident.first_window = EventTime(last * HOUR_MS - DAY_MS);
            if falls.iter().any(|fall| fall.field == Field::Tokens) {
                incident.severity = Severity::Medium;
            }
            incident.evidence.extend(falls.iter().skip(1).map(about_share));
            changes.extend(self.find(&report, incident));
            told.insert(report.scope);
        }
        changes.extend(self.be_quiet(&SAYS_LESS, 1, (&told, verdicts.hour)));
        changes
    }

    fn find(&mut self, report: &Report<'_>, incident: Incident) -> Changes {
        let cause = Cause { rule: report.rule.id, scope: report.scope.clone() };
        let (verdict, hearing) = (Verdict::Closing, Hearing::Announce);
        self.tracker.found(&cause, Sighting { incident, score: 1.0, verdict, hearing })
    }

    /// Open incidents of a rule that were not told of again come nearer to their end.
    fn be_quiet(
        &mut self,
        rule: &Rule,
        enough: u32,
        (told, hour): (&BTreeSet<String>, i64),
    ) -> Changes {
        let open = self.tracker.all_open().map(|(cause, _)| cause);
        let quiet = open.filter(|cause| cause.rule == rule.id && !told.contains(&cause.scope));
        let quiet: Vec<Cause> = quiet.cloned().collect();
        let mut changes = Changes::default();
        for cause in quiet {
            let now = ArrivalTime((hour + 1) * HOUR_MS);
            changes.extend(self.tracker.quiet(&cause, enough, now));
        }
        changes
    }

    fn report(&mut self, now: ArrivalTime, report: &Report<'_>) -> Changes {
        let cause = Cause { rule: report.rule.id, scope: report.scope.clone() };
        let known = self.tracker.open(&cause);
        // Once an hour is often enough to say that it still goes on; that it got worse is news.
        let lately = |t: &Tracked| now.0.saturating_sub(t.incident.last_window.0) < HOUR_MS / 2;
        if known.is_some_and(|t| lately(t) && t.incident.severity >= report.rule.severity) {
            return Changes::default();
        }
        self.find(report, describe(report, now))
    }

    fn resolve(&mut self, news: &News, now: ArrivalTime) -> Changes {
        let over = |cause: &Cause, tracked: &Tracked| {
            if cause.rule == UNUSABLE.id {
                let lists = news.lists.as_deref();
                return lists.is_some_and(|lists| !lists.iter().any(|t| t.list == cause.scope));
            }
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

/// A report as the incident of one moment.
fn describe(report: &Report<'_>, now: ArrivalTime) -> Incident {
    Incident {
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
        ..Incident::default()
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
    let lists = news.lists.iter().flatten().map(about_list);
    let filling = news.storage.iter().filter(|s| s.percent() >= NEARLY_FULL).map(about_storage);
    let of_hubs = gaps.chain(recreated).chain(stalled).chain(troubles);
    of_hubs.chain(lists).chain(undeliverable).chain(unpriced).chain(filling).collect()
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

fn about_list(trouble: &ListTrouble) -> Report<'_> {
    Report {
        rule: &UNUSABLE,
        scope: trouble.list.clone(),
        account: &trouble.list,
        observed: 1.0,
        unit: match trouble.kind {
            ListTroubleKind::Broken => "list unread",
            ListTroubleKind::Old => "list too old",
        },
        evidence: format!("list {}: {}", trouble.list, trouble.reason),
    }
}

fn about_storage(storage: &Storage) -> Report<'_> {
    let [minutes, fives, hours] = storage.removed.map(grouped);
    let is_full = storage.percent() >= FULL;
    let outlook = if is_full {
        "What is left is needed, so the file grows beyond the limit rather than lose a total"
    } else {
        "Callers' rows go, the oldest by minute first, then by five minutes, then by hour"
    };
    Report {
        rule: if is_full { &FILLED } else { &FILLING },
        scope: "database".to_owned(),
        account: "database",
        observed: as_float(i64::try_from(storage.percent()).unwrap_or(i64::MAX)),
        unit: "% of store.max_bytes",
        evidence: format!(
            "the database uses {} of the {} bytes that store.max_bytes allows. {outlook}; since this \
             process began {minutes} rows by minute, {fives} by five minutes and {hours} by hour \
             went. Totals, spend and incidents stay, and reading goes on. Raise store.max_bytes to \
             keep more",
            grouped(storage.used),
            grouped(storage.limit),
        ),
    }
}

fn about_double<'a>(resource: &'a str, kind: RowKind, counts: Told) -> Report<'a> {
    let account = resource.rsplit('/').next().unwrap_or(resource);
    Report {
        rule: &DOUBLED,
        scope: format!("{account}/{}", kind.name()),
        account,
        observed: as_float(counts.copies),
        unit: "copies in an hour",
        evidence: format!(
            "{} of {} rows of {} from account {account} had come before within the hour: two \
             diagnostic settings send the same. Calls count once all the same; the hub carries and \
             bills everything twice",
            counts.copies,
            counts.records,
            kind.name()
        ),
    }
}

fn about_fall<'a>(kind: &'a str, falls: &[Fall], since: EventTime) -> Report<'a> {
    let first = falls.first().map(about_share).unwrap_or_default();
    let since = since.to_string();
    let day = since.split('T').next().unwrap_or_default();
    Report {
        rule: &SAYS_LESS,
        scope: kind.to_owned(),
        account: kind,
        observed: falls.first().map_or(0.0, |fall| as_float(fall.share) / 10.0),
        unit: "% of records",
        evidence: format!("{kind}, since {day}: {first}"),
    }
}

fn about_share(fall: &Fall) -> String {
    format!(
        "{} % of {} records of the day have {}, of the days before {} %",
        fall.share / 10,
        Grouped(fall.records),
        fall.field.word(),
        fall.usual / 10
    )
}

fn grouped(count: u64) -> String {
    Grouped(i64::try_from(count).unwrap_or(i64::MAX)).to_string()
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
