//! What a mail says about an incident: cleaned, formatted and bounded once, for both of its parts.

use crate::aggregate::names::KEY_TEXT;
use crate::incident::{Announcement, CallerShare, Incident, Kind, Severity, State};
use crate::known::Extent;
use crate::money::{Grouped, NanoUsd};

use super::{clean, number};

/// Longest piece of text from outside, in characters.
pub(super) const TEXT_MAX: usize = 200;

/// How much of an incident is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) callers: usize,
    pub(super) evidence: usize,
    pub(super) responses: usize,
    pub(super) text: usize,
    pub(super) command: usize,
}

/// Tried in turn until the result fits: ordinary incidents fit the first, hostile ones the last.
pub(super) const LIMITS: [Limits; 3] = [
    Limits { callers: 10, evidence: 12, responses: 8, text: TEXT_MAX, command: 1_000 },
    Limits { callers: 6, evidence: 6, responses: 5, text: 120, command: 600 },
    Limits { callers: 3, evidence: 3, responses: 3, text: 80, command: 300 },
];

/// The contents of a mail, ready to be laid out.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) subject: String,
    /// Kind or severity in capitals.
    pub(super) badge: String,
    /// Colour of the band behind it.
    pub(super) colour: &'static str,
    pub(super) rule: String,
    /// Account, and deployment when there is one.
    pub(super) place: String,
    pub(super) model: Option<String>,
    /// Since when, or from when to when (event time).
    pub(super) when: String,
    /// One sentence: what happened.
    pub(super) headline: String,
    /// The two numbers a reader wants first, each with its label.
    pub(super) big: [Big; 2],
    /// Set when this is only a test of the channel.
    pub(super) test: bool,
    pub(super) unit: String,
    pub(super) observed: String,
    pub(super) expected: String,
    pub(super) band: String,
    /// Lengths of the bars of observed and expected, 1 to 100.
    pub(super) bars: (i64, i64),
    pub(super) callers: Vec<CallerLine>,
    pub(super) callers_more: usize,
    pub(super) evidence: Vec<String>,
    pub(super) evidence_more: usize,
    pub(super) steps_title: &'static str,
    pub(super) steps: Vec<Step>,
    pub(super) steps_more: usize,
    /// Name and value of what stands at the foot.
    pub(super) foot: Vec<(&'static str, String)>,
    pub(super) unknowns: Vec<&'static str>,
}

/// A number in large type.
#[derive(Debug)]
pub(super) struct Big {
    pub(super) label: &'static str,
    pub(super) value: String,
    /// What is not known is set in smaller type.
    pub(super) known: bool,
}

/// One row of the table of callers.
#[derive(Debug)]
pub(super) struct CallerLine {
    pub(super) network: String,
    pub(super) identity: String,
    pub(super) tokens: String,
    pub(super) cost: String,
    pub(super) new: bool,
    /// Said beside the network when it, or a part of it, is the operator's own.
    pub(super) yours: Option<&'static str>,
    /// What is known about the network; empty when nothing is.
    pub(super) about: String,
}

/// One step of the answer.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) what: String,
    pub(super) command: Command,
}

/// A command to paste.
#[derive(Debug)]
pub(super) enum Command {
    /// The step is not a command.
    Absent,
    /// Too long for a mail; half of it would be dangerous.
    LeftOut,
    /// Words, spaces, and words in pieces that no mail program takes for a link.
    Shown(Vec<String>),
}

impl Facts {
    pub(super) fn new(announcement: &Announcement, limits: &Limits) -> Self {
        let incident = &announcement.incident;
        let text = |text: &str| clean::untrusted(text, limits.text);
        let kind = announcement.kind;
        let shown = incident.callers.iter().take(limits.callers);
        Self {
            // ASCII text in a header is sent as it is: `=?` would begin an encoded word, which the
            // reader's program decodes, line breaks and all.
            subject: subject(announcement).replace("=?", "= ?"),
            badge: badge(kind, incident.severity),
            colour: colour(kind, incident.severity),
            rule: text(&incident.rule_name),
            place: place(incident, limits.text / 2),
            model: incident.model.as_deref().map(text),
            when: when(incident),
            headline: headline(announcement),
            big: big(kind, incident),
            test: kind == Kind::Test,
            unit: text(&incident.unit),
            observed: number::quantity(incident.observed),
            expected: number::quantity(incident.expected),
            band: band(incident),
            bars: bars(incident),
            callers: shown.map(|share| caller(share, limits)).collect(),
            callers_more: incident.callers.len().saturating_sub(limits.callers),
            evidence: incident.evidence.iter().take(limits.evidence).map(|e| text(e)).collect(),
            evidence_more: incident.evidence.len().saturating_sub(limits.evidence),
            steps_title: steps_title(kind),
            steps: steps(incident, limits),
            steps_more: incident.response.len().saturating_sub(limits.responses),
            foot: foot(announcement, limits),
            unknowns: unknowns(incident),
        }
    }
}

/// Subject of the mail; short enough to be read on a telephone's lock screen.
fn subject(announcement: &Announcement) -> String {
    let incident = &announcement.incident;
    let place = place(incident, 60);
    let so_far = incident.cost.map(number::dollars);
    match announcement.kind {
        Kind::Test => format!("[test] {place}: this channel works, nothing is wrong"),
        Kind::Resolve => {
            let total = so_far.map_or_else(
                || "cost unknown".to_owned(),
                |total| format!("{total} above expected in total"),
            );
            format!("[resolved] {place}: over after {}, {total}", lasted(incident))
        }
        Kind::Open | Kind::Escalate | Kind::Reopen | Kind::Acknowledge | Kind::Repeat => {
            let rise = match announcement.kind {
                Kind::Escalate => "now ",
                Kind::Reopen => "again ",
                Kind::Acknowledge => "taken: ",
                Kind::Repeat => "still ",
                Kind::Open | Kind::Resolve | Kind::Test => "",
            };
            let severity = incident.severity.word();
            let mut subject = format!("[{rise}{severity}] {place}: {}", what(incident));
            match so_far {
                Some(so_far) => subject.push_str(&format!(", {so_far} so far")),
                None => subject.push_str(", cost unknown"),
            }
            if let Some(per_day) = incident.cost_per_day {
                subject.push_str(&format!(", ≈ {} a day", number::about(per_day)));
            }
            subject
        }
    }
}

/// `tokens 14× expected`, or the nearest to it that can be said.
pub(super) fn what(incident: &Incident) -> String {
    let unit = clean::untrusted(&incident.unit, 40);
    let thing = match unit.split_once(" in ").map_or(unit.as_str(), |(thing, _)| thing) {
        "USD" => "spend",
        thing => thing,
    };
    if let Some(ratio) = number::ratio(incident.observed, incident.expected) {
        return format!("{thing} {ratio} expected");
    }
    if incident.observed > 0.0 && incident.observed.is_finite() && incident.expected == 0.0 {
        return format!("{} {unit}, none expected", number::quantity(incident.observed));
    }
    clean::untrusted(&incident.rule_name, 60)
}

fn when(incident: &Incident) -> String {
    let (from, to) = (incident.first_window.0, incident.last_window.0);
    match incident.state {
        State::Open | State::Acknowledged => {
            format!("since {}, for {}", number::minute(from), lasted(incident))
        }
        State::Resolved => format!("from {} to {}", number::minute(from), number::minute(to)),
    }
}

fn headline(announcement: &Announcement) -> String {
    let incident = &announcement.incident;
    let what = what(incident);
    match announcement.kind {
        Kind::Test => "This is a test: nothing is wrong.".to_owned(),
        Kind::Open => capitalised(&what),
        Kind::Escalate => format!("Worse: {what}"),
        Kind::Reopen => format!("Again: {what}"),
        Kind::Acknowledge => format!("Somebody has taken it: {what}"),
        Kind::Repeat => format!("Still going on: {what}"),
        Kind::Resolve => format!("Over after {}", lasted(incident)),
    }
}

fn big(kind: Kind, incident: &Incident) -> [Big; 2] {
    let cost = |label, cost: Option<NanoUsd>| Big {
        label,
        value: number::money(cost),
        known: cost.is_some(),
    };
    if kind == Kind::Resolve {
        let lasted = Big { label: "lasted", value: lasted(incident), known: true };
        return [cost("spent above expected, in total", incident.cost), lasted];
    }
    let mut per_day = cost("a day, if it goes on like this", incident.cost_per_day);
    if let Some(amount) = incident.cost_per_day {
        per_day.value = format!("≈ {}", number::about(amount));
    }
    [cost("spent above expected, so far", incident.cost), per_day]
}

pub(super) fn badge(kind: Kind, severity: Severity) -> String {
    let severity = severity.word().to_uppercase();
    match kind {
        Kind::Open => severity,
        Kind::Escalate => format!("NOW {severity}"),
        Kind::Reopen => format!("AGAIN {severity}"),
        Kind::Acknowledge => format!("TAKEN {severity}"),
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

pub(super) fn place(incident: &Incident, max: usize) -> String {
    let account = clean::untrusted(&incident.account, max);
    match &incident.deployment {
        Some(deployment) => format!("{account}/{}", clean::untrusted(deployment, max)),
        None => account,
    }
}

fn band(incident: &Incident) -> String {
    let bound = number::quantity(incident.bound);
    if !incident.bound.is_finite() {
        return bound;
    }
    if incident.bound < incident.expected {
        format!("at least {bound}")
    } else {
        format!("up to {bound}")
    }
}

fn bars(incident: &Incident) -> (i64, i64) {
    let longest = incident.observed.max(incident.expected);
    let length = |value: f64| number::percent(value / longest).max(1);
    (length(incident.observed), length(incident.expected))
}

fn caller(caller: &CallerShare, limits: &Limits) -> CallerLine {
    let or = |text: &str, absent: &str| {
        let shown = clean::untrusted(text, 64);
        if shown.trim().is_empty() { absent.to_owned() } else { shown }
    };
    let identity = match (caller.identity.as_str(), caller.network.is_empty()) {
        (KEY_TEXT, _) => "API key (no identity)".to_owned(),
        (_, true) => or(&caller.identity, "identity not told yet"),
        (_, false) => or(&caller.identity, "no identity yet: perhaps an API key"),
    };
    let name = caller.name.as_deref().map(|name| clean::untrusted(name, 64));
    CallerLine {
        network: or(&caller.network, "network not recorded"),
        identity: name.map_or(identity.clone(), |name| format!("{name} ({identity})")),
        tokens: Grouped(caller.tokens).to_string(),
        cost: caller.cost.map_or_else(|| "unknown".to_owned(), |cost| cost.to_string()),
        new: caller.new,
        yours: caller.about.yours().map(|extent| match extent {
            Extent::Whole => "YOURS",
            Extent::Part { .. } => "PARTLY YOURS",
        }),
        about: clean::untrusted(&caller.about.to_string(), limits.text),
    }
}

const fn steps_title(kind: Kind) -> &'static str {
    match kind {
        Kind::Open | Kind::Escalate | Kind::Reopen | Kind::Acknowledge | Kind::Repeat => {
            "What to do"
        }
        Kind::Resolve => "If not done yet",
        Kind::Test => "What it would say to do",
    }
}

fn steps(incident: &Incident, limits: &Limits) -> Vec<Step> {
    let step = |response: &crate::incident::Response| Step {
        what: clean::untrusted(&response.what, limits.text),
        command: match clean::command(&response.command, limits.command) {
            Some(command) if command.is_empty() => Command::Absent,
            Some(command) => Command::Shown(clean::pieces(&command)),
            None => Command::LeftOut,
        },
    };
    incident.response.iter().take(limits.responses).map(step).collect()
}

fn foot(announcement: &Announcement, limits: &Limits) -> Vec<(&'static str, String)> {
    let incident = &announcement.incident;
    let mut foot = vec![
        ("Rule", clean::untrusted(&incident.rule, limits.text)),
        ("Certainty", format!("{} %", number::percent(incident.confidence))),
        ("Calls began", format!("{} (event time)", number::moment(incident.first_window.0))),
        ("Last seen until", format!("{} (event time)", number::moment(incident.last_window.0))),
        ("Opened", format!("{} (arrival at the hub)", number::moment(incident.opened_at.0))),
    ];
    if let Some(resolved_at) = incident.resolved_at {
        let resolved = format!("{} (arrival at the hub)", number::moment(resolved_at.0));
        foot.push(("Resolved", resolved));
    }
    if let Some(delay_s) = incident.delay_azure_s {
        let delay = number::duration(delay_s.saturating_mul(1000));
        foot.push(("Azure's delay", format!("{delay} from the call to the hub")));
    }
    if let Some(resource) = &incident.resource_id {
        foot.push(("Resource", clean::resource_id(resource, limits.text * 2)));
    }
    foot.push(("Incident", clean::untrusted(&incident.key, limits.text)));
    foot
}

fn unknowns(incident: &Incident) -> Vec<&'static str> {
    let mut unknowns = vec![
        "Azure masks the last octet: a caller is a /24, never one address.",
        "Money is an estimate, tokens times price: not yet the bill.",
    ];
    if incident.callers.iter().any(|caller| caller.identity.is_empty()) {
        unknowns.push("A call with an API key has no identity: the key may be anybody's.");
    }
    if incident.callers.iter().any(|caller| !caller.about.is_empty()) {
        unknowns
            .push("What is said about a network comes from your own lists, as old as they are.");
    }
    unknowns
}

/// How long the anomaly lasted, in event time.
fn lasted(incident: &Incident) -> String {
    number::duration(incident.last_window.0.saturating_sub(incident.first_window.0))
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|c| c.to_uppercase().collect::<String>()).unwrap_or_default();
    first + chars.as_str()
}
