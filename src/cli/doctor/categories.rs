//! What accounts send and do not send, and what each absence costs.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::{Day, Facts};
use super::findings::{Finding, Setup, percent, short};
use super::mend::{self, METRICS, Target};
use crate::aggregate::metrics::{Compared, Completeness, Counts};
use crate::aggregate::repeats::Told;
use crate::engine::estate::SAYS_LESS_ID;
use crate::engine::honesty::Sent;
use crate::event::RowKind;
use crate::incident::{Incident, respond};
use crate::known::owner::subscription_of;
use crate::money::Grouped;
use crate::severity::Severity;
use crate::time::DAY_MS;

const REQUESTS: &str = RowKind::Request.name();
const USAGE: &str = RowKind::Usage.name();
const AUDIT: &str = "Audit";
const ACTIVITY: &str = "Activity log";

/// Fewest records of an account from which the absence of others says anything.
const ENOUGH: i64 = 20;
/// Nobody may have listed keys, or changed anything, for so long without anything being wrong.
const RARE_MS: i64 = 7 * DAY_MS;

type Kinds = BTreeMap<String, Sent>;

/// Categories that accounts ought to send and never have: one finding for all accounts that lack the
/// same, with a command for each.
pub(super) fn missing(facts: &Facts, setup: &Setup) -> Vec<Finding> {
    let mut lacking: BTreeMap<Vec<Absent>, Vec<&str>> = BTreeMap::new();
    for (resource, kinds) in &facts.sent {
        let records: i64 = kinds.values().map(|sent| sent.seen.records).sum();
        let absent = absent(resource, kinds, facts);
        if records >= ENOUGH && !absent.is_empty() {
            lacking.entry(absent).or_default().push(resource);
        }
    }
    lacking.iter().map(|(absent, resources)| lacks(absent, resources, facts, setup)).collect()
}

fn lacks(absent: &[Absent], resources: &[&str], facts: &Facts, setup: &Setup) -> Finding {
    let names: Vec<&str> = absent.iter().map(|absent| absent.category).collect();
    let accounts: Vec<&str> = resources.iter().map(|resource| short(resource)).collect();
    let whose = if accounts.len() == 1 { "account" } else { "accounts" };
    let mut why: Vec<String> = match absent {
        [only] => vec![format!("So {}.", only.costs)],
        several => {
            several.iter().map(|a| format!("Without {}, {}.", a.category, a.costs)).collect()
        }
    };
    why.push(
        "Switch it on with a setting of its own, so that nothing else is sent twice; put your own \
         names in place of the words in capitals."
            .to_owned(),
    );
    let command = |resource: &&str| {
        let feeding = facts.condition.account_hubs.get(*resource).into_iter().flatten();
        let target = Target::of(&setup.hubs, feeding.map(String::as_str));
        mend::switch_on(resource, &names, &target)
    };
    Finding {
        severity: absent.iter().map(|absent| absent.severity).max().unwrap_or_default(),
        topic: "missing-category",
        about: accounts.join(", "),
        what: format!("{} never came from {whose} {}", listed(&names), listed(&accounts)),
        why,
        commands: resources.iter().map(command).collect(),
    }
}

/// A category that an account does not send, how much that matters and what it costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Absent {
    severity: Severity,
    category: &'static str,
    costs: &'static str,
}

fn absent(resource: &str, kinds: &Kinds, facts: &Facts) -> Vec<Absent> {
    let has = |kind: &str| kinds.contains_key(kind);
    let mut absent = Vec::new();
    let mut lack = |category, severity, costs| absent.push(Absent { severity, category, costs });
    if !has(REQUESTS) {
        lack(
            REQUESTS,
            Severity::High,
            "nobody knows who calls and with what result, so neither callers, new networks nor \
             errors are seen",
        );
    }
    if !has(USAGE) && serves_openai(resource, facts) {
        let tokens = kinds.get(REQUESTS).map_or(0, |sent| sent.seen.tokens);
        let (severity, costs) = if tokens > 0 {
            (
                Severity::Medium,
                "tokens come from RequestResponse only: cached tokens are unknown and priced in full, \
                 and every call is seen minutes later instead of seconds. Azure bills the \
                 export of this category; it tells of OpenAI models alone",
            )
        } else {
            (
                Severity::High,
                "no record tells any tokens, so neither spend nor its spikes are seen. Azure bills \
                 the export of this category; it tells of OpenAI models alone",
            )
        };
        lack(USAGE, severity, costs);
    }
    if !has(METRICS) {
        lack(
            METRICS,
            Severity::Medium,
            "nothing says how many calls the logs leave out: Azure does not promise to deliver all",
        );
    }
    let first = kinds.values().map(|sent| sent.first.0).min().unwrap_or(i64::MAX);
    if !has(AUDIT) && facts.passed.0.saturating_sub(first) >= RARE_MS {
        lack(
            AUDIT,
            Severity::Low,
            "key listings are told by the activity log alone. No fault if nobody listed keys",
        );
    }
    absent
}

/// False only for an account whose models are known and of other publishers: the usage log tells of
/// OpenAI models alone.
fn serves_openai(resource: &str, facts: &Facts) -> bool {
    const PREFIXES: [&str; 8] =
        ["gpt", "text-embedding", "codex", "model-router", "dall-e", "sora", "whisper", "tts"];
    let is_openai = |model: &str| {
        let reasons =
            model.strip_prefix('o').is_some_and(|rest| rest.starts_with(char::is_numeric));
        reasons || PREFIXES.iter().any(|prefix| model.starts_with(prefix))
    };
    let totals = facts.totals.deployments.iter();
    let mut models = totals.filter(|total| total.account == short(resource));
    let mut models = models.by_ref().map(|total| total.model.as_str()).filter(|m| !m.is_empty());
    let first = models.next();
    first.is_none_or(|first| is_openai(first) || models.any(is_openai))
}

fn listed(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// Categories that came once and have stopped, while others of the account go on.
pub(super) fn silent(facts: &Facts) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (resource, kinds) in &facts.sent {
        let newest = kinds.values().map(|sent| sent.last.0).max().unwrap_or(0);
        for kind in [REQUESTS, USAGE, METRICS] {
            let Some(sent) = kinds.get(kind) else { continue };
            if newest.saturating_sub(sent.last.0) < DAY_MS {
                continue;
            }
            findings.push(Finding {
                severity: Severity::Medium,
                topic: "silent-category",
                about: short(resource).to_owned(),
                what: format!(
                    "{kind} has not come from account {} since {}",
                    short(resource),
                    sent.last
                ),
                why: vec![
                    "Other records of the account came after it; its diagnostic setting may \
                           have been changed."
                        .to_owned(),
                ],
                commands: vec![respond::list_settings(resource)],
            });
        }
    }
    findings
}

/// No activity log after a week of other records.
pub(super) fn no_activity_log(facts: &Facts, setup: &Setup) -> Option<Finding> {
    let coverage = &facts.totals.coverage;
    let (first, last) = (coverage.first()?.0, coverage.last()?.0);
    let came = coverage.iter().any(|(_, kind, _)| kind == ACTIVITY);
    if came || (last - first).saturating_mul(DAY_MS) < RARE_MS {
        return None;
    }
    let subscriptions = facts.sent.keys().filter_map(|resource| subscription_of(resource));
    let subscriptions: BTreeSet<&str> = subscriptions.collect();
    let target = Target::of(&setup.hubs, std::iter::empty());
    Some(Finding {
        severity: Severity::Low,
        topic: "missing-category",
        about: ACTIVITY.to_owned(),
        what: "The activity log never came".to_owned(),
        why: vec![format!(
            "How deployments were bought is unknown (global standard is assumed), and nobody sees \
             keys listed or settings changed. One setting a subscription, {} in all; no fault if \
             nothing was changed.",
            subscriptions.len()
        )],
        commands: subscriptions
            .iter()
            .map(|subscription| mend::switch_on_activity(subscription, &target))
            .collect(),
    })
}

/// Accounts whose logs hold less, or more, than the metrics count.
pub(super) fn incomplete(facts: &Facts) -> Vec<Finding> {
    let of = |(resource, day): (&String, &Day)| {
        let (logged, metered) = day.sums.sides()?;
        let by_tokens = day.sums.metered.tokens().is_some_and(|tokens| tokens > 0);
        let unit = if by_tokens { "tokens" } else { "requests" };
        let (severity, lesson) = match day.sums.completeness() {
            Completeness::Complete | Completeness::NoMetrics => return None,
            Completeness::NoLogs => (
                Severity::High,
                "Somebody calls this account and no log tells of it: see which categories it sends.",
            ),
            Completeness::Partial if has_all_requests(day) => (
                Severity::Medium,
                "The calls are all there, but not the tokens of all. What is missing is in no total; \
                 `tokenwatch replay` estimates it by deployment.",
            ),
            Completeness::Partial => (
                Severity::Medium,
                "What is missing is in no total; `tokenwatch replay` estimates it. Look for a \
                 category that is switched off, a hub that throttles, and records in quarantine.",
            ),
            Completeness::More => (
                Severity::Info,
                "Metrics leave out Claude through the Responses API, and cache traffic of Anthropic \
                 models: the logs are right.",
            ),
        };
        let share =
            day.sums.per_mille().map_or_else(String::new, |share| format!(" ({})", percent(share)));
        let account = short(resource);
        Some(Finding {
            severity,
            topic: "completeness",
            about: account.to_owned(),
            what: format!(
                "Logs of account {account} hold {} of the {} {unit} that Azure's metrics count{share}",
                Grouped(logged),
                Grouped(metered)
            ),
            why: vec![format!("In {} hour(s) of the last day. {lesson}", day.with_metrics)],
            commands: vec![respond::list_settings(resource)],
        })
    };
    facts.compared.iter().filter_map(of).collect()
}

/// True when logs tell of as many calls as metrics count, whatever they say of tokens.
fn has_all_requests(day: &Day) -> bool {
    let Counts { requests, .. } = day.sums.metered;
    let of_requests = |counts: Counts| Counts { input: None, output: None, ..counts };
    let requests_alone =
        Compared { logged: of_requests(day.sums.logged), metered: of_requests(day.sums.metered) };
    let complete = [Completeness::Complete, Completeness::More];
    requests.is_some() && complete.contains(&requests_alone.completeness())
}

/// Kinds whose records say less than they used to.
pub(super) fn says_less(facts: &Facts) -> Vec<Finding> {
    let open = facts.open.iter().filter(|incident| incident.rule == SAYS_LESS_ID);
    let finding = |incident: &Incident| Finding {
        severity: incident.severity,
        topic: "says-less",
        about: incident.account.clone(),
        what: format!("Records of {} say less than they used to", incident.account),
        why: incident.evidence.iter().map(|sentence| format!("{sentence}.")).collect(),
        commands: Vec::new(),
    };
    open.map(finding).collect()
}

/// Streams that come twice.
pub(super) fn doubled(facts: &Facts) -> Vec<Finding> {
    let rows = facts.repeats.iter().map(|(resource, kind, told)| (resource, kind.as_str(), *told));
    let points = facts.points.iter().map(|(resource, told)| (resource, METRICS, *told));
    let doubled = rows.chain(points).filter(|(_, _, told)| told.is_doubled());
    let finding = |(resource, kind, told): (&String, &str, Told)| {
        let account = short(resource);
        Finding {
            severity: Severity::Low,
            topic: "doubled-stream",
            about: account.to_owned(),
            what: format!("{kind} of account {account} comes twice"),
            why: vec![format!(
                "{} of {} records had come before, so two diagnostic settings send them. They count \
                 once all the same; the hub carries and bills everything twice. Take the category \
                 out of one setting.",
                Grouped(told.copies),
                Grouped(told.records)
            )],
            commands: vec![respond::list_settings(resource)],
        }
    };
    doubled.map(finding).collect()
}
