//! Steps that the operator's own automation takes: proposed, confirmed by a second word, answered.
//!
//! Off unless configured, and never by itself: a call leaves only for a proposal that somebody confirms, later and
//! within a limit. Of each incident and step the newest proposal counts; older ones stay in the database.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Engine;
use super::effects::Effects;
use crate::action::{Action, Ask, Deed, Step};
use crate::event::control::{AccountState, Changed};
use crate::event::{Responded, Responding};
use crate::incident::tracker::{Cause, Changes};
use crate::incident::{Entry, Incident, respond};
use crate::time::{ArrivalTime, MINUTE_MS};

/// Where calls are addressed to in the outbox: no destination has such a name.
pub const AUTOMATION: &str = "[response]";
/// Incidents and steps whose newest proposal is kept at hand; beyond it nothing new is taken.
const MAX_STANDINGS: usize = 10_000;

/// What may be asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseRules {
    /// Steps that may be taken.
    pub steps: Vec<Step>,
    /// A proposal can be confirmed for so long, in milliseconds; a call that was not taken by then is given up.
    pub within_ms: i64,
    /// Whether somebody else must confirm.
    pub two_people: bool,
}

/// Who said it, when, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    /// By whose word.
    pub by: String,
    /// By the clock of the machine it was written down on.
    pub at: ArrivalTime,
    /// Empty when nothing was said.
    pub why: String,
}

impl Said {
    fn of(action: &Action) -> Self {
        Self { by: action.author.clone(), at: action.at, why: action.reason.clone() }
    }
}

/// How far a proposal has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Progress {
    /// It waits to be confirmed.
    Proposed,
    /// It was taken back.
    Cancelled,
    /// It was confirmed; the call is on its way.
    Confirmed,
    /// The automation took the call: any 2xx.
    Accepted,
    /// It did not want it.
    Refused,
    /// It could not be reached in time.
    Failed,
}

impl Progress {
    /// The word used in output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Proposed => "proposed",
            Self::Cancelled => "cancelled",
            Self::Confirmed => "confirmed",
            Self::Accepted => "accepted",
            Self::Refused => "refused",
            Self::Failed => "failed",
        }
    }
}

/// A proposal and what became of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// Number of the action that proposed it.
    pub id: i64,
    /// Key of the incident.
    pub incident: String,
    /// Which step.
    pub step: Step,
    /// Whether the step is to be undone.
    pub undo: bool,
    /// The account.
    pub resource: String,
    /// What is to be done.
    pub command: String,
    /// What undoes it.
    pub undo_command: String,
    /// Calls about this incident and step that were confirmed before.
    pub calls_before: u32,
    /// Whether the step had been taken before, as far as is known.
    pub taken_before: bool,
    /// Who proposed it.
    pub proposed: Said,
    /// Who confirmed it.
    pub confirmed: Option<Said>,
    /// Key of the call, once confirmed.
    pub key: Option<String>,
    /// How far it has come.
    pub progress: Progress,
    /// What the automation answered.
    pub answer: Option<String>,
}

/// A call that leaves, complete.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// What the receiver recognises a repetition by.
    pub key: String,
    /// Key of the incident.
    pub incident: String,
    /// When it was confirmed.
    pub at: ArrivalTime,
    /// JSON.
    pub body: Vec<u8>,
}

/// What the automation is told.
#[derive(Serialize)]
struct Body<'a> {
    r#type: &'static str,
    key: &'a str,
    incident: String,
    incident_key: &'a str,
    rule: &'a str,
    rule_name: &'a str,
    severity: &'static str,
    account: &'a str,
    resource_id: &'a str,
    step: Step,
    undo: bool,
    command: &'a str,
    undo_command: &'a str,
    proposed_by: &'a str,
    proposed_at: String,
    proposed_why: &'a str,
    confirmed_by: &'a str,
    confirmed_at: String,
    confirmed_why: &'a str,
}

impl Standing {
    /// What it is about, such as `disable-keys` or `undo of disable-keys`.
    #[must_use]
    pub fn title(&self) -> String {
        let of = if self.undo { "undo of " } else { "" };
        format!("{of}{}", self.step.word())
    }

    /// Until when it can be confirmed.
    #[must_use]
    pub const fn until(&self, rules: &ResponseRules) -> ArrivalTime {
        ArrivalTime(self.proposed.at.0.saturating_add(rules.within_ms))
    }

    /// Whether the step has been taken and not been undone, as far as is known: a call that failed may have been
    /// taken all the same.
    const fn is_taken(&self) -> bool {
        match self.progress {
            Progress::Accepted => !self.undo,
            Progress::Confirmed | Progress::Failed => true,
            Progress::Proposed | Progress::Cancelled | Progress::Refused => self.taken_before,
        }
    }

    fn is_open(&self, at: ArrivalTime, rules: &ResponseRules) -> bool {
        self.progress == Progress::Proposed && at <= self.until(rules)
    }

    /// SHA-256 of what makes the call this one and no other: the same after a crash.
    fn call_key(&self) -> String {
        let Self { incident, step, undo, calls_before, .. } = self;
        let text = format!("{incident}|respond|{}|{undo}|{calls_before}", step.word());
        Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn order(&self, incident: &Incident) -> Option<Order> {
        let (key, confirmed) = (self.key.as_deref()?, self.confirmed.as_ref()?);
        let body = Body {
            r#type: "response.step",
            key,
            incident: incident.id(),
            incident_key: &incident.key,
            rule: &incident.rule,
            rule_name: &incident.rule_name,
            severity: incident.severity.word(),
            account: &incident.account,
            resource_id: &self.resource,
            step: self.step,
            undo: self.undo,
            command: &self.command,
            undo_command: &self.undo_command,
            proposed_by: &self.proposed.by,
            proposed_at: self.proposed.at.to_string(),
            proposed_why: &self.proposed.why,
            confirmed_by: &confirmed.by,
            confirmed_at: confirmed.at.to_string(),
            confirmed_why: &confirmed.why,
        };
        let body = serde_json::to_vec(&body).ok()?;
        let (key, incident) = (key.to_owned(), incident.key.clone());
        Some(Order { key, incident, at: confirmed.at, body })
    }
}

/// Why nothing was done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum Refused {
    #[error("responses are off: a table [response] in the configuration names your automation")]
    Off,
    #[error("{0} is not among `steps` of [response]")]
    NotAllowed(&'static str),
    #[error("the incident carries no command for {step}; it has {has}")]
    NotCarried { step: &'static str, has: String },
    #[error("too many proposals are kept: nothing new is taken")]
    TooMany,
    #[error(
        "{0} was set so before, by all that is known: there is nothing to do, and nothing to undo"
    )]
    AlreadySo(&'static str),
    #[error("{title} was proposed by {by} already: confirm it until {until}, or cancel it")]
    Waits { title: String, by: String, until: ArrivalTime },
    #[error("{0} is on its way to your automation")]
    OnItsWay(String),
    #[error("{0} was taken already: undo it first")]
    Taken(&'static str),
    #[error("{0} was not taken: there is nothing to undo")]
    NotTaken(&'static str),
    #[error("nothing is proposed for {0}")]
    NothingProposed(&'static str),
    #[error("{title} could be confirmed until {until}: propose it again")]
    TooLate { title: String, until: ArrivalTime },
    #[error("it was written down {minutes} min ago, while no service ran: say it again")]
    Stale { minutes: i64 },
    #[error("it was proposed by {0}: somebody else must confirm it (two_people)")]
    SamePerson(String),
    #[error("it was confirmed before it was proposed: look at the clocks of both machines")]
    Clocks,
}

/// Newest proposals.
#[derive(Debug, Default)]
pub(super) struct Responses {
    newest: BTreeMap<(String, Step), Standing>,
}

impl Responses {
    /// As the database left them.
    pub(super) fn restore(saved: Vec<Standing>) -> Self {
        let newest = saved.into_iter().map(|one| ((one.incident.clone(), one.step), one));
        Self { newest: newest.collect() }
    }

    /// What becomes of what somebody asks; `is_so` says whether the account is known to be set so already.
    fn decide(
        &self,
        action: &Action,
        (incident, step, ask): (&Incident, Step, Ask),
        rules: &ResponseRules,
        is_so: bool,
    ) -> Result<Standing, Refused> {
        let known = self.newest.get(&(incident.key.clone(), step));
        match ask {
            Ask::Propose | Ask::ProposeUndo => {
                let undo = ask == Ask::ProposeUndo;
                self.may_be_proposed(incident, (step, undo), rules)?;
                if let Some(known) = known {
                    may_follow(known, undo, action.at, rules)?;
                } else if undo {
                    return Err(Refused::NotTaken(step.word()));
                }
                if !undo && is_so {
                    return Err(Refused::AlreadySo(step.word()));
                }
                Ok(proposal(action, (incident, step, undo), known))
            }
            Ask::Confirm => {
                let known = waiting(known, step)?;
                let title = known.title();
                let until = known.until(rules);
                if action.at > until {
                    return Err(Refused::TooLate { title, until });
                }
                if action.at < known.proposed.at {
                    return Err(Refused::Clocks);
                }
                let same = |a: &str, b: &str| a.trim().eq_ignore_ascii_case(b.trim());
                if rules.two_people && same(&known.proposed.by, &action.author) {
                    return Err(Refused::SamePerson(known.proposed.by.clone()));
                }
                let mut next = known.clone();
                (next.confirmed, next.progress) = (Some(Said::of(action)), Progress::Confirmed);
                next.key = Some(next.call_key());
                Ok(next)
            }
            Ask::Cancel => {
                let known = waiting(known, step)?;
                Ok(Standing { progress: Progress::Cancelled, ..known.clone() })
            }
        }
    }

    fn may_be_proposed(
        &self,
        incident: &Incident,
        (step, undo): (Step, bool),
        rules: &ResponseRules,
    ) -> Result<(), Refused> {
        if !rules.steps.contains(&step) {
            return Err(Refused::NotAllowed(step.word()));
        }
        let carried = respond::steps(incident);
        // What was taken can be undone whatever the incident says since.
        if !undo && !carried.contains(&step) {
            let has: Vec<&str> = carried.iter().map(|step| step.word()).collect();
            let has = if has.is_empty() { "none".to_owned() } else { has.join(", ") };
            return Err(Refused::NotCarried { step: step.word(), has });
        }
        if self.newest.len() >= MAX_STANDINGS {
            return Err(Refused::TooMany);
        }
        Ok(())
    }
}

/// Whether a proposal may take the place of the one before it.
fn may_follow(
    known: &Standing,
    undo: bool,
    at: ArrivalTime,
    rules: &ResponseRules,
) -> Result<(), Refused> {
    let step = known.step.word();
    match known.progress {
        Progress::Proposed if known.is_open(at, rules) => Err(Refused::Waits {
            title: known.title(),
            by: known.proposed.by.clone(),
            until: known.until(rules),
        }),
        Progress::Confirmed => Err(Refused::OnItsWay(known.title())),
        // What failed may be tried again.
        Progress::Failed if known.undo == undo => Ok(()),
        Progress::Proposed
        | Progress::Cancelled
        | Progress::Accepted
        | Progress::Refused
        | Progress::Failed => match (undo, known.is_taken()) {
            (true, false) => Err(Refused::NotTaken(step)),
            (false, true) => Err(Refused::Taken(step)),
            (true, true) | (false, false) => Ok(()),
        },
    }
}

fn waiting(known: Option<&Standing>, step: Step) -> Result<&Standing, Refused> {
    let waits = known.filter(|known| known.progress == Progress::Proposed);
    waits.ok_or(Refused::NothingProposed(step.word()))
}

fn proposal(
    action: &Action,
    (incident, step, undo): (&Incident, Step, bool),
    known: Option<&Standing>,
) -> Standing {
    let resource = incident.resource_id.clone().unwrap_or_default();
    let [take, back] = respond::commands(step, &resource);
    let (command, undo_command) = if undo { (back, take) } else { (take, back) };
    let called = known.map_or(0, |known| known.calls_before + u32::from(known.key.is_some()));
    Standing {
        id: action.id,
        incident: incident.key.clone(),
        step,
        undo,
        resource,
        command,
        undo_command,
        calls_before: called,
        taken_before: known.is_some_and(Standing::is_taken),
        proposed: Said::of(action),
        confirmed: None,
        key: None,
        progress: Progress::Proposed,
        answer: None,
    }
}

/// Whether an account is known to be set as a step sets it.
fn is_set(step: Step, state: &AccountState) -> bool {
    match step {
        Step::DisableKeys => state.local_auth_disabled == Some(true),
        Step::CloseNetwork => state.network.open_by_default == Some(false),
        Step::ClosePublicAccess => state.network.public_access == Some(false),
        Step::RestrictOutbound => state.outbound_restricted == Some(true),
    }
}

impl Engine {
    /// Does what a person asks about a step; `now` is our own clock, where there is one. `None` where the action is
    /// about something else.
    pub(super) fn respond(
        &mut self,
        action: &Action,
        now: Option<ArrivalTime>,
        effects: &mut Effects,
    ) -> Option<Result<String, String>> {
        let Deed::Respond { incident, step, ask } = &action.deed else { return None };
        let Some(incident) = self.incident(incident) else {
            return Some(Err(format!("no incident {incident} that can still be changed")));
        };
        let outcome = self.decide(action, (&incident, *step, *ask), now);
        Some(
            outcome
                .map(|standing| self.settle(standing, &incident, action, effects))
                .map_err(|refused| refused.to_string()),
        )
    }

    fn decide(
        &self,
        action: &Action,
        (incident, step, ask): (&Incident, Step, Ask),
        now: Option<ArrivalTime>,
    ) -> Result<Standing, Refused> {
        let Some(rules) = &self.env.settings.response else { return Err(Refused::Off) };
        let late_ms = now.map_or(0, |now| now.0.saturating_sub(action.at.0));
        if late_ms > rules.within_ms {
            return Err(Refused::Stale { minutes: late_ms / MINUTE_MS });
        }
        let resource = incident.resource_id.as_deref().unwrap_or_default();
        let is_so = match self.control.memory().state(resource).map(|state| &state.to) {
            Some(Changed::Account(state)) => is_set(step, state),
            Some(_) | None => false,
        };
        self.responses.decide(action, (incident, step, ask), rules, is_so)
    }

    /// Takes over how a proposal stands now, and says so.
    fn settle(
        &mut self,
        standing: Standing,
        incident: &Incident,
        action: &Action,
        effects: &mut Effects,
    ) -> String {
        let title = standing.title();
        let (what, answer) = match standing.progress {
            Progress::Proposed => {
                let until = self.env.settings.response.as_ref().map(|rules| standing.until(rules));
                let until = until.map(|until| until.to_string()).unwrap_or_default();
                let what = format!("proposed {title}: {}", standing.command);
                (
                    what,
                    format!(
                        "proposed {title}; nothing is done before it is confirmed, until {until}"
                    ),
                )
            }
            Progress::Cancelled => (format!("cancelled {title}"), format!("cancelled {title}")),
            Progress::Confirmed | Progress::Accepted | Progress::Refused | Progress::Failed => {
                effects.orders.extend(standing.order(incident));
                let answer = format!(
                    "confirmed {title}: the call leaves now; `tokenwatch incidents show {}` has its answer",
                    incident.id()
                );
                (format!("confirmed {title}"), answer)
            }
        };
        let what = match action.reason.as_str() {
            "" => what,
            reason => format!("{what}: {reason}"),
        };
        let entry = Entry { at: action.at, author: action.author.clone(), what };
        self.write_down(&incident.key, entry, effects);
        self.keep(standing, effects);
        answer
    }

    fn keep(&mut self, standing: Standing, effects: &mut Effects) {
        effects.standings.push(standing.clone());
        self.responses.newest.insert((standing.incident.clone(), standing.step), standing);
    }

    /// Takes what the automation answered.
    pub(super) fn take_answers(
        &mut self,
        answers: &[Responded],
        now: Option<ArrivalTime>,
        effects: &mut Effects,
    ) {
        for Responded { key, outcome } in answers {
            let called = |one: &&Standing| one.key.as_ref() == Some(key);
            let known = self.responses.newest.values().find(called).cloned();
            let Some(known) = known.filter(|known| known.progress == Progress::Confirmed) else {
                continue;
            };
            let (progress, answer) = match outcome {
                Responding::Accepted(answer) => (Progress::Accepted, answer),
                Responding::Refused(why) => (Progress::Refused, why),
                Responding::Failed(why) => (Progress::Failed, why),
            };
            let standing = Standing { progress, answer: Some(answer.clone()), ..known };
            let what =
                format!("{} {} by your automation: {answer}", standing.title(), Told(progress));
            let at = now.unwrap_or(self.now);
            if progress == Progress::Accepted {
                let entry = Entry { at, author: String::new(), what };
                self.write_down(&standing.incident, entry, effects);
            } else {
                self.tell_again(&standing.incident, at, what, effects);
            }
            self.keep(standing, effects);
        }
    }

    /// An incident of any account or of the estate.
    fn incident(&mut self, key: &str) -> Option<Incident> {
        let of_accounts = self.accounts.values().flat_map(|account| account.tracker.all());
        let named = |(_, tracked): &(&Cause, &crate::incident::tracker::Tracked)| {
            tracked.incident.key == key
        };
        let found = of_accounts.into_iter().find(named).map(|(_, t)| t.incident.clone());
        found.or_else(|| {
            self.estate.tracker().all().find(named).map(|(_, tracked)| tracked.incident.clone())
        })
    }

    fn write_down(&mut self, key: &str, entry: Entry, effects: &mut Effects) {
        for account in self.accounts.values_mut() {
            if let Some(changes) = account.tracker.tell_of(key, entry.clone()) {
                save(account.id, changes, effects);
                return;
            }
        }
        if let Some(changes) = self.estate.tracker().tell_of(key, entry) {
            effects.take(changes);
        }
    }

    /// Tells those who hear of an incident that a step was not taken; of one that is over, only its time line does.
    fn tell_again(&mut self, key: &str, at: ArrivalTime, what: String, effects: &mut Effects) {
        let is_it = |tracked: &crate::incident::tracker::Tracked| tracked.incident.key == key;
        for account in self.accounts.values_mut() {
            let open = account.tracker.all_open().find(|(_, tracked)| is_it(tracked));
            if let Some(cause) = open.map(|(cause, _)| cause.clone()) {
                let changes = account.tracker.escalate(&cause, at, what);
                save(account.id, changes, effects);
                return;
            }
        }
        let tracker = self.estate.tracker();
        let open = tracker.all_open().find(|(_, tracked)| is_it(tracked));
        if let Some(cause) = open.map(|(cause, _)| cause.clone()) {
            effects.take(tracker.escalate(&cause, at, what));
            return;
        }
        self.write_down(key, Entry { at, author: String::new(), what }, effects);
    }
}

/// Changes of an account's incidents are saved with the account.
fn save(account: u32, mut changes: Changes, effects: &mut Effects) {
    let saved = effects.accounts.entry(account).or_default();
    saved.incidents.append(&mut changes.incidents);
    effects.take(changes);
}

/// What an answer means, in a sentence.
struct Told(Progress);

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Progress::Accepted => "was accepted",
            Progress::Refused => "was refused",
            Progress::Failed => "did not arrive and was not taken",
            Progress::Proposed | Progress::Cancelled | Progress::Confirmed => "is open",
        })
    }
}

#[cfg(test)]
#[path = "respond_tests.rs"]
mod tests;
