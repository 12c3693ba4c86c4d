//! An incident in the few words that chats and pagers have room for: cleaned, formatted, bounded.

use crate::incident::{Announcement, Kind};

use super::facts::{Command, Facts, Limits};
use super::people::CallerLine;
use super::{clean, number};

/// What every chat says about an incident, in the order in which it is said.
#[derive(Debug)]
pub(super) struct Brief {
    /// Kind and severity in capitals, such as `NOW HIGH`.
    pub(super) badge: String,
    /// What happens, in one sentence.
    pub(super) sentence: String,
    /// Where, since when, and with which model; a line each.
    pub(super) place: Vec<String>,
    /// Name and value of what is counted.
    pub(super) numbers: Vec<(&'static str, String)>,
    /// A line for each of the largest callers.
    pub(super) callers: Vec<String>,
    /// A sentence for each fact.
    pub(super) evidence: Vec<String>,
    pub(super) steps_title: &'static str,
    pub(super) steps: Vec<Step>,
    /// What is not known.
    pub(super) unknowns: Vec<String>,
    /// By which people find it again.
    pub(super) key: String,
}

/// One step of the answer.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) what: String,
    /// To paste, whole; `None` when there is none, or none that fits.
    pub(super) command: Option<String>,
}

impl Brief {
    /// All in one line: `HIGH: chat-prod uses 14× the tokens expected`.
    pub(super) fn title(&self) -> String {
        format!("{}: {}", self.badge, self.sentence)
    }

    pub(super) fn new(told: &Announcement, limits: &Limits) -> Self {
        let facts = Facts::new(told, limits);
        let mut place = vec![facts.place, facts.when];
        place.extend(facts.model.map(|model| format!("model {model}")));
        if told.kind == Kind::Test {
            place.push("Somebody asked whether this channel works. It does.".to_owned());
        }
        let big = facts.big.into_iter().map(|big| (big.label, big.value));
        let seen = [
            ("observed", format!("{} {}", facts.observed, facts.unit)),
            ("expected", facts.expected),
            ("normal", facts.band),
            ("certainty", format!("{} %", number::percent(told.incident.confidence))),
        ];
        let step = |step: super::facts::Step| Step {
            what: step.what,
            command: match step.command {
                Command::Shown(pieces) => Some(pieces.concat()),
                Command::Absent | Command::LeftOut => None,
            },
        };
        Self {
            badge: facts.badge,
            sentence: facts.sentence,
            place,
            numbers: big.chain(seen).collect(),
            callers: with_rest(facts.callers.iter().map(caller), facts.callers_more),
            evidence: with_rest(facts.evidence.into_iter(), facts.evidence_more),
            steps_title: facts.steps_title,
            steps: facts.steps.into_iter().map(step).collect(),
            unknowns: facts.unknowns,
            key: clean::untrusted(&told.incident.key, limits.text),
        }
    }
}

fn caller(line: &CallerLine) -> String {
    let new = if line.new { " NEW" } else { "" };
    let yours = line.yours.map(|yours| format!(" {yours}")).unwrap_or_default();
    let CallerLine { network, identity, tokens, cost, about, .. } = line;
    let about = if about.is_empty() { String::new() } else { format!(" ({about})") };
    format!("{network}{new}{yours}, {identity}: {tokens} tokens, cost {cost}{about}")
}

fn with_rest(shown: impl Iterator<Item = String>, more: usize) -> Vec<String> {
    let more = (more > 0).then(|| format!("and {more} more"));
    shown.chain(more).collect()
}
