//! What a mail says about an incident: cleaned, formatted and bounded once, for both of its parts.

use crate::detect::table;
use crate::incident::respond::quoted;
use crate::incident::{Announcement, Feedback, Incident, Kind, Response, State};

use super::graph::Graph;
use super::people::{self, CallerLine};
use super::timeline::{self, Moment};
use super::{clean, number, story};

/// Longest piece of text from outside, in characters.
pub(super) const TEXT_MAX: usize = 200;

/// How much of an incident is shown.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) callers: usize,
    pub(super) evidence: usize,
    pub(super) responses: usize,
    pub(super) moments: usize,
    pub(super) text: usize,
    pub(super) command: usize,
}

/// Tried in turn until the result fits: ordinary incidents fit the first, hostile ones the last.
pub(super) const LIMITS: [Limits; 3] = [
    Limits { callers: 10, evidence: 12, responses: 8, moments: 12, text: TEXT_MAX, command: 1_000 },
    Limits { callers: 6, evidence: 6, responses: 5, moments: 8, text: 120, command: 600 },
    Limits { callers: 3, evidence: 3, responses: 3, moments: 4, text: 80, command: 300 },
];

/// The contents of a mail, ready to be laid out.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) subject: String,
    /// One plain sentence: what happens. The first line of both parts.
    pub(super) sentence: String,
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
    /// False where what was counted says nothing that the evidence does not say better.
    pub(super) counts: bool,
    /// The two numbers a reader wants first, each with its label.
    pub(super) big: [Big; 2],
    /// Set when this is only a test of the channel.
    pub(super) test: bool,
    pub(super) unit: String,
    pub(super) observed: String,
    pub(super) expected: String,
    pub(super) band: String,
    /// `None` where nothing has been kept that could be drawn.
    pub(super) graph: Option<Graph>,
    /// Lengths of the bars of observed and expected, 1 to 100, where there is no chart.
    pub(super) bars: (i64, i64),
    /// Head of the column of tokens before the incident; `None` where those are not known.
    pub(super) before: Option<&'static str>,
    /// Head of the column of tokens since it began.
    pub(super) since: String,
    pub(super) callers: Vec<CallerLine>,
    pub(super) callers_more: usize,
    /// Said before the callers of before who brought nothing of the rise.
    pub(super) others_title: &'static str,
    pub(super) others_before: Vec<String>,
    pub(super) evidence: Vec<String>,
    pub(super) evidence_more: usize,
    pub(super) steps_title: &'static str,
    pub(super) steps: Vec<Step>,
    pub(super) steps_more: usize,
    /// Date of the first moment.
    pub(super) day: String,
    pub(super) moments: Vec<Moment>,
    /// How long it took from the call to this alert, as far as measured.
    pub(super) delay: String,
    pub(super) unknowns: Vec<String>,
    pub(super) answers_title: &'static str,
    /// Commands that tell the program what its reader knows.
    pub(super) answers: Vec<Step>,
    /// Name and value of what stands at the foot.
    pub(super) foot: Vec<(&'static str, String)>,
}

/// A number in large type.
#[derive(Debug)]
pub(super) struct Big {
    pub(super) label: &'static str,
    pub(super) value: String,
    /// What is not known is set in smaller type.
    pub(super) known: bool,
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
        let (day, moments) = timeline::moments(announcement, limits);
        Self {
            // ASCII text in a header is sent as it is: `=?` would begin an encoded word, which the
            // reader's program decodes, line breaks and all.
            subject: story::subject(announcement).replace("=?", "= ?"),
            sentence: story::sentence(announcement),
            badge: story::badge(kind, incident.severity),
            colour: story::colour(kind, incident.severity),
            rule: text(&incident.rule_name),
            place: place(incident, limits.text / 2),
            model: incident.model.as_deref().map(text),
            when: when(incident),
            counts: !story::speaks_for_itself(incident),
            big: story::big(kind, incident),
            test: kind == Kind::Test,
            unit: text(&incident.unit),
            observed: number::quantity(incident.observed),
            expected: number::quantity(incident.expected),
            band: band(incident),
            graph: incident.chart.as_ref().and_then(Graph::new),
            bars: bars(incident),
            before: people::is_compared(incident).then_some("3 h before"),
            since: format!("since {}", number::clock(incident.first_window.0)),
            callers: shown.map(|share| people::line(share, incident, limits)).collect(),
            callers_more: incident.callers.len().saturating_sub(limits.callers),
            others_title: match incident.callers.is_empty() {
                true => "In the 3 h before",
                false => "Before, without part in the rise",
            },
            others_before: people::others(incident, limits),
            // A sentence that ends with how to mend it is not cut for the sake of two lines.
            evidence: incident
                .evidence
                .iter()
                .take(limits.evidence)
                .map(|fact| clean::untrusted(fact, 2 * limits.text))
                .collect(),
            evidence_more: incident.evidence.len().saturating_sub(limits.evidence),
            steps_title: story::steps_title(kind),
            steps: incident
                .response
                .iter()
                .take(limits.responses)
                .map(|r| step(r, limits))
                .collect(),
            steps_more: incident.response.len().saturating_sub(limits.responses),
            day,
            moments,
            delay: timeline::delay(announcement),
            unknowns: unknowns(incident),
            answers_title: story::answers_title(kind),
            answers: answers(announcement).iter().map(|r| step(r, limits)).collect(),
            foot: foot(incident, limits),
        }
    }
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

/// Account, and deployment when there is one, each at most `max` characters.
pub(super) fn place(incident: &Incident, max: usize) -> String {
    let account = clean::untrusted(&incident.account, max);
    match &incident.deployment {
        Some(deployment) => format!("{account}/{}", clean::untrusted(deployment, max)),
        None => account,
    }
}

/// How long the anomaly lasted, in event time.
pub(super) fn lasted(incident: &Incident) -> String {
    number::duration(incident.last_window.0.saturating_sub(incident.first_window.0))
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

fn step(response: &Response, limits: &Limits) -> Step {
    Step {
        what: clean::untrusted(&response.what, limits.text),
        command: match clean::command(&response.command, limits.command) {
            Some(command) if command.is_empty() => Command::Absent,
            Some(command) => Command::Shown(clean::pieces(&command)),
            None => Command::LeftOut,
        },
    }
}

/// How the reader tells the program what became of it.
fn answers(announcement: &Announcement) -> Vec<Response> {
    let incident = &announcement.incident;
    let key = incident.id();
    let answer = |what: &str, command: String| Response { what: what.to_owned(), command };
    let judge = |feedback: Feedback| {
        format!("tokenwatch incidents feedback {key} {} --by YOU", feedback.word())
    };
    let verdicts = [
        answer("It was abuse: never learnt as normal.", judge(Feedback::Abuse)),
        answer("It was lawful and passing, such as a load test.", judge(Feedback::Expected)),
        answer("It was lawful and is here to stay: learnt at once.", judge(Feedback::NewNormal)),
    ];
    let mut answers = Vec::new();
    match announcement.kind {
        Kind::Test => return answers,
        Kind::Open | Kind::Escalate | Kind::Reopen | Kind::Repeat => answers.push(answer(
            "You have it: no more reminders until it gets worse.",
            format!("tokenwatch incidents ack {key} --by YOU"),
        )),
        Kind::Acknowledge | Kind::Resolve => {}
    }
    if !story::speaks_for_itself(incident) {
        answers.extend(verdicts);
    }
    if announcement.kind != Kind::Resolve {
        let place =
            |name: &str, value: &str| format!("--match {}", quoted(&format!("{name}={value}")));
        let mut matchers = place("account", &incident.account);
        if let Some(deployment) = &incident.deployment {
            matchers = format!("{matchers} {}", place("deployment", deployment));
        }
        answers.push(answer(
            "Work is going on there: nothing about it is told for two hours.",
            format!("tokenwatch silence add {matchers} --for 2h --by YOU --reason WHY"),
        ));
    }
    answers
}

fn foot(incident: &Incident, limits: &Limits) -> Vec<(&'static str, String)> {
    let mut foot = vec![
        ("Rule", clean::untrusted(&incident.rule, limits.text)),
        ("Certainty", format!("{} %", number::percent(incident.confidence))),
    ];
    if let Some(feedback) = incident.feedback {
        foot.push(("Feedback", feedback.word().replace('-', " ")));
    }
    if let Some(parent) = &incident.parent {
        foot.push(("Part of", clean::untrusted(parent, limits.text)));
    }
    if let Some(resource) = &incident.resource_id {
        foot.push(("Resource", clean::resource_id(resource, limits.text * 2)));
    }
    let key = clean::untrusted(&incident.key, limits.text);
    foot.push(("Incident", format!("{} ({key})", incident.id())));
    foot
}

fn unknowns(incident: &Incident) -> Vec<String> {
    let mut unknowns = Vec::new();
    let profile = table::find(&incident.rule);
    if let Some(profile) = profile {
        unknowns.push(format!("This rule cannot know {}.", profile.cannot_know));
    }
    let mut say = |text: &str| unknowns.push(text.to_owned());
    if !incident.callers.is_empty() {
        say("Azure masks the last octet: a caller is a /24, never one address.");
    }
    if incident.callers.iter().any(|caller| caller.identity.is_empty()) {
        say("A call with an API key has no identity: the key may be anybody's.");
    }
    if incident.callers.iter().any(|caller| !caller.about.is_empty()) {
        say("What is said about a network comes from your own lists, as old as they are.");
    }
    if incident.cost.is_some() {
        say("Money is an estimate, tokens times price: not yet the bill.");
    }
    if incident.first_call.is_some() && incident.first_arrival.is_none() {
        say("When the hub took the record of the first call is no longer known.");
    }
    unknowns
}
