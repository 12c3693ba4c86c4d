//! The words of a mail that depend on why it leaves: subject, first sentence, badge, large numbers.

use crate::aggregate::names::KEY_TEXT;
use crate::detect::table;
use crate::engine::budgets;
use crate::incident::{Announcement, Incident, Kind, Severity, State};
use crate::money::NanoUsd;
use crate::rules;

use super::facts::{Big, lasted, place};
use super::{clean, number};

/// Share of the named callers' tokens from which one of them is said to be most of it.
const MOSTLY_PERCENT: i64 = 50;

/// Subject of the mail; short enough to be read on a telephone's lock screen.
pub(super) fn subject(announcement: &Announcement) -> String {
    let incident = &announcement.incident;
    let place = place(incident, 60);
    let so_far = incident.cost.filter(|_| is_about_money(incident)).map(number::dollars);
    let lead = match announcement.kind {
        Kind::Test => return format!("[test] {place}: this channel works, nothing is wrong"),
        Kind::Resolve => {
            let total = match so_far {
                Some(total) => format!(", {total} above expected in total"),
                None if lacks_price(incident) => ", cost unknown".to_owned(),
                None => String::new(),
            };
            return format!("[resolved] {place}: over after {}{total}", lasted(incident));
        }
        Kind::Open => "",
        Kind::Escalate if rose(incident) => "now ",
        Kind::Escalate | Kind::Repeat => "still ",
        Kind::Reopen => "again ",
        Kind::Acknowledge => "taken, ",
    };
    let severity = incident.severity.word();
    let mut subject = format!("[{lead}{severity}] {place}: {}", what(incident));
    match so_far {
        Some(so_far) => subject.push_str(&format!(", {so_far} so far")),
        None if lacks_price(incident) => subject.push_str(", cost unknown"),
        None => {}
    }
    if let Some(per_day) = incident.cost_per_day.filter(|_| is_about_money(incident)) {
        subject.push_str(&format!(", ≈ {} a day", number::about(per_day)));
    }
    subject
}

/// False where no money above what was expected was found: of a silence, or of a hub that cannot be
/// read, no cost is unknown, there is none; and what a budget lost, others have been told of.
pub(super) fn is_about_money(incident: &Incident) -> bool {
    if incident.rule == budgets::RULE_ID {
        return false;
    }
    let profile = table::find(&incident.rule);
    incident.cost.is_some() || profile.is_some_and(|profile| profile.about_cost)
}

/// True where money was spent that nobody can count. A rule that knows what it costs a day may not count what
/// was spent above expected.
fn lacks_price(incident: &Incident) -> bool {
    is_about_money(incident) && incident.cost.is_none() && incident.cost_per_day.is_none()
}

/// `tokens 14× expected`, or the nearest to it that can be said.
pub(super) fn what(incident: &Incident) -> String {
    if let Some(spent) = budget(incident) {
        return spent;
    }
    if is_of_the_service(incident) || is_one_act(incident) {
        return clean::untrusted(&incident.rule_name, 60);
    }
    let unit = clean::untrusted(&incident.unit, 40);
    let thing = match unit.split_once(" in ").map_or(unit.as_str(), |(thing, _)| thing) {
        "USD" => "spend",
        thing => thing,
    };
    if let Some(silence) = silence(incident) {
        return format!("no call for {silence}");
    }
    if let Some(ratio) = number::ratio(incident.observed, incident.expected) {
        return format!("{thing} {ratio} expected");
    }
    if incident.observed > 0.0 && incident.observed.is_finite() && incident.expected == 0.0 {
        return format!("{} {unit}, none expected", number::quantity(incident.observed));
    }
    clean::untrusted(&incident.rule_name, 60)
}

/// What was spent of a budget: the beginning of its first piece of evidence.
fn budget(incident: &Incident) -> Option<String> {
    let fact = incident.evidence.first().filter(|_| incident.rule == budgets::RULE_ID)?;
    let fact = fact.split(", ").next().unwrap_or_default();
    let name = format!("budget {} has ", incident.account);
    Some(clean::untrusted(fact.strip_prefix(name.as_str()).unwrap_or(fact), 120))
}

/// Whether the evidence says it better than what was counted: of budgets and of the service itself.
pub(super) fn speaks_for_itself(incident: &Incident) -> bool {
    is_of_the_service(incident) || is_one_act(incident) || incident.rule == budgets::RULE_ID
}

/// Rules about what was done to accounts: nothing about them is more or less than usual.
fn is_one_act(incident: &Incident) -> bool {
    rules::find(&incident.rule).is_some()
}

/// Rules about hubs, lists and the service itself: what they count says less than their name.
fn is_of_the_service(incident: &Incident) -> bool {
    incident.rule.starts_with("TW-S")
}

/// How long no call came, where that is what was found.
fn silence(incident: &Incident) -> Option<String> {
    let span = incident.unit.strip_prefix("calls in ")?;
    (incident.observed == 0.0 && incident.expected > 0.0).then(|| clean::untrusted(span, 20))
}

/// What happens, in one plain sentence: the first line a reader sees.
pub(super) fn sentence(announcement: &Announcement) -> String {
    let incident = &announcement.incident;
    let name = incident.deployment.as_ref().unwrap_or(&incident.account);
    let place = clean::untrusted(name, 60);
    let fact = || {
        if let Some(spent) = budget(incident) {
            return format!("budget {place} has {spent}");
        }
        if is_of_the_service(incident) {
            return format!("{}: {place}", clean::untrusted(&incident.rule_name, 60));
        }
        if let Some(fact) = incident.evidence.first().filter(|_| is_one_act(incident)) {
            return clean::untrusted(fact, 200).trim_end_matches('.').to_owned();
        }
        if let Some(does) = does(incident) {
            return format!("{place} {does}{}", mostly(incident));
        }
        let fact = incident.evidence.first().unwrap_or(&incident.rule_name);
        format!("{place}: {}", clean::untrusted(fact, 160).trim_end_matches('.'))
    };
    match announcement.kind {
        Kind::Test => "This is a test of the channel: nothing is wrong.".to_owned(),
        Kind::Open => format!("{}.", fact()),
        Kind::Escalate if rose(incident) => {
            format!("It got worse, now {}: {}.", incident.severity.word(), fact())
        }
        Kind::Escalate => match incident.cost.filter(|_| is_about_money(incident)) {
            Some(cost) => format!("It has cost {} by now: {}.", number::dollars(cost), fact()),
            None => format!("It got worse: {}.", fact()),
        },
        Kind::Reopen => format!("It is back: {}.", fact()),
        Kind::Acknowledge => {
            let who = by(incident, "acknowledged").unwrap_or_else(|| "Somebody".to_owned());
            format!("{who} has taken it: {}.", fact())
        }
        Kind::Repeat => {
            let taken = match incident.state {
                State::Open => " and nobody has taken it",
                State::Acknowledged | State::Resolved => "",
            };
            format!("It has gone on for {}{taken}: {}.", lasted(incident), fact())
        }
        Kind::Resolve => match by(incident, "resolved") {
            Some(who) => format!("Over after {}: {who} says so of {place}.", lasted(incident)),
            None => format!("Over after {}: {place} is back to normal.", lasted(incident)),
        },
    }
}

/// False where it was told again because of its cost alone.
fn rose(incident: &Incident) -> bool {
    incident.history.last().is_none_or(|entry| !entry.what.starts_with("cost grew"))
}

/// Who did what the newest entry of this kind tells; `None` for the service itself.
fn by(incident: &Incident, what: &str) -> Option<String> {
    let entry = incident.history.iter().rev().find(|entry| entry.what.starts_with(what))?;
    let author = clean::untrusted(&entry.author, 60);
    (!author.trim().is_empty()).then_some(author)
}

/// What the place does, to follow its name; `None` where its first piece of evidence says it better.
fn does(incident: &Incident) -> Option<String> {
    let Incident { observed, expected, .. } = incident;
    let unit = clean::untrusted(&incident.unit, 40);
    if let Some(silence) = silence(incident) {
        let missed = number::quantity(*expected);
        return Some(format!("has had no call for {silence}, where about {missed} were expected"));
    }
    let thing = unit.split_once(" in ").map_or("", |(thing, _)| thing);
    let times = number::ratio(*observed, *expected).filter(|_| observed >= expected);
    let none_expected = *expected == 0.0 && *observed > 0.0;
    match (thing, times) {
        ("tokens", Some(times)) => Some(format!("uses {times} the tokens expected at this time")),
        ("USD", Some(times)) => Some(format!("spends {times} what is expected at this time")),
        ("tokens", None) if none_expected => {
            Some(format!("used {} {unit}, where none were expected", number::quantity(*observed)))
        }
        ("USD", None) if none_expected => {
            let spent = NanoUsd::from_usd(*observed);
            let span = unit.trim_start_matches("USD");
            Some(format!("spent {spent}{span}, where nothing was expected"))
        }
        _ => None,
    }
}

/// Who brings most of it, where one caller does.
fn mostly(incident: &Incident) -> String {
    let Some(largest) = incident.callers.first() else { return String::new() };
    let named = incident.callers.iter().map(|c| c.tokens.max(0)).fold(0, i64::saturating_add);
    let is_most = largest.tokens.saturating_mul(100 / MOSTLY_PERCENT) > named;
    let network = clean::untrusted(&largest.network, 64);
    if !is_most || network.trim().is_empty() {
        return String::new();
    }
    let key = if largest.identity == KEY_TEXT { " with an API key" } else { "" };
    let new = if largest.new { ", a network it had not seen before" } else { "" };
    format!(", mostly from {network}{key}{new}")
}

/// The two numbers a reader wants first.
pub(super) fn big(kind: Kind, incident: &Incident) -> [Big; 2] {
    let cost = |label, cost: Option<NanoUsd>| Big {
        label,
        value: number::money(cost),
        known: cost.is_some(),
    };
    let seen = || {
        let seen = number::quantity(incident.observed);
        let value = format!("{seen} {}", clean::untrusted(&incident.unit, 40));
        Big { label: "seen", value, known: false }
    };
    if !is_about_money(incident) {
        let (label, value) = match kind {
            Kind::Resolve => ("lasted", lasted(incident)),
            Kind::Open
            | Kind::Escalate
            | Kind::Reopen
            | Kind::Acknowledge
            | Kind::Repeat
            | Kind::Test => ("expected", number::quantity(incident.expected)),
        };
        return [seen(), Big { label, value, known: false }];
    }
    let is_counted = incident.cost.is_some() || lacks_price(incident);
    if kind == Kind::Resolve {
        let lasted = Big { label: "lasted", value: lasted(incident), known: true };
        let total = || cost("spent above expected, in total", incident.cost);
        return [if is_counted { total() } else { seen() }, lasted];
    }
    let mut per_day = cost("a day, if it goes on like this", incident.cost_per_day);
    if let Some(amount) = incident.cost_per_day {
        per_day.value = format!("≈\u{a0}{}", number::about(amount));
    }
    let so_far = || cost("spent above expected, so far", incident.cost);
    [if is_counted { so_far() } else { seen() }, per_day]
}

/// Kind and severity in capitals, such as `NOW HIGH`.
pub(super) fn badge(kind: Kind, severity: Severity) -> String {
    let severity = severity.word().to_uppercase();
    match kind {
        Kind::Open => severity,
        Kind::Escalate => format!("NOW {severity}"),
        Kind::Reopen => format!("AGAIN {severity}"),
        Kind::Acknowledge => format!("TAKEN, {severity}"),
        Kind::Repeat => format!("STILL {severity}"),
        Kind::Resolve => "RESOLVED".to_owned(),
        Kind::Test => "TEST".to_owned(),
    }
}

/// Band colours; white text on each has a contrast of at least 4.5 : 1 (WCAG 2.2, 1.4.3).
pub(super) const fn colour(kind: Kind, severity: Severity) -> &'static str {
    match (kind, severity) {
        (Kind::Resolve, _) => "#1a6b3c",
        (Kind::Test, _) => "#475569",
        (_, Severity::Critical) => "#8b0f1a",
        (_, Severity::High) => "#b3261e",
        (_, Severity::Medium) => "#a34a00",
        (_, Severity::Low | Severity::Info) => "#1f5fa8",
    }
}

/// Heading of the commands that stop it.
pub(super) const fn steps_title(kind: Kind) -> &'static str {
    match kind {
        Kind::Open | Kind::Escalate | Kind::Reopen | Kind::Acknowledge | Kind::Repeat => {
            "What to do"
        }
        Kind::Resolve => "If not done yet",
        Kind::Test => "What it would say to do",
    }
}

/// Heading of the commands that tell the program what its reader knows.
pub(super) const fn answers_title(kind: Kind) -> &'static str {
    match kind {
        Kind::Open | Kind::Escalate | Kind::Reopen | Kind::Acknowledge | Kind::Repeat => {
            "Tell tokenwatch"
        }
        Kind::Resolve | Kind::Test => "Say what it was",
    }
}
