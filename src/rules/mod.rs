//! Rules about the control plane: what was done to accounts and to what guards them.
//!
//! A rule looks at one [operation](Act) beside what is [remembered](Memory) and says [something](Verdict)
//! or nothing. Operations are judged in the order in which hubs took their records; rules that need
//! several look both ways in event time, so that neither batches nor partitions change what is found.

pub mod act;
pub mod age;
pub mod chain;
pub mod command;
pub mod costly;
pub mod egress;
pub mod guard;
pub mod inventory;
pub mod keys;
pub mod memory;
pub mod posture;
pub mod revoked;
pub mod state;

use crate::detect::table::{self, Profile};
use crate::detect::tuning::Tuning;
use crate::event::control::{Changed, Principal};
use crate::incident::{Response, Severity};
use crate::price::PriceBook;
use crate::time::{DAY_MS, EventTime};
use act::{Act, Effect};
use memory::{Memory, Recent};

/// What an operation is judged with.
#[derive(Debug, Clone, Copy)]
pub struct Scene<'a> {
    /// The operation.
    pub act: &'a Act,
    /// What is remembered; of the act itself only that it happened.
    pub memory: &'a Memory,
    /// Names of the Event Hubs namespaces that we read, lower case.
    pub pipeline: &'a [String],
    /// What is set otherwise than in the table.
    pub tuning: &'a Tuning,
    /// Prices by list.
    pub book: &'a PriceBook,
}

/// What rules are told beforehand: names of the namespaces that we read, what is set otherwise than in the
/// table, and prices.
pub type Given<'a> = (&'a [String], &'a Tuning, &'a PriceBook);

/// What a rule says of an operation.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It is worth an incident.
    Raise(Box<Alarm>),
    /// What the rule spoke about was taken back.
    Clear {
        /// The rule.
        rule: &'static str,
        /// Scope of its incident.
        scope: String,
        /// What was done, as a sentence.
        why: String,
    },
}

/// What becomes an incident.
#[derive(Debug, Clone, PartialEq)]
pub struct Alarm {
    /// The rule.
    pub rule: &'static str,
    /// What it is about; unique within the rule.
    pub scope: String,
    /// Resource id it is about.
    pub resource: String,
    /// Severity of this finding.
    pub severity: Severity,
    /// Certainty, 0 to 1.
    pub confidence: f64,
    /// How many of `unit`.
    pub observed: f64,
    /// What was counted.
    pub unit: &'static str,
    /// First and last operation it is about.
    pub span: (EventTime, EventTime),
    /// Facts, one sentence each; the first says what happened.
    pub evidence: Vec<String>,
    /// What to do.
    pub steps: Vec<Response>,
    /// Of two findings of one incident the one with more is shown.
    pub weight: f64,
}

/// One rule.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    /// Identifier in the table of detectors.
    pub id: &'static str,
    judge: fn(&Scene<'_>) -> Option<Verdict>,
}

/// Every rule, in the order of the manual's table.
pub const RULES: &[Rule] = &[
    Rule { id: "TW-K01", judge: keys::listed_by_someone_new },
    Rule { id: "TW-K02", judge: keys::listed_of_several },
    Rule { id: "TW-K03", judge: keys::allowed_again },
    Rule { id: "TW-K04", judge: keys::regenerated },
    Rule { id: age::RULE, judge: keys::rotated },
    Rule { id: "TW-K07", judge: keys::privileged_role },
    Rule { id: "TW-P01", judge: posture::outside_policy },
    Rule { id: "TW-P02", judge: costly::costly_model },
    Rule { id: "TW-P03", judge: posture::capacity_raised },
    Rule { id: "TW-P04", judge: posture::public_access_opened },
    Rule { id: "TW-P05", judge: posture::private_endpoint_changed },
    Rule { id: "TW-P06", judge: posture::outbound_loosened },
    Rule { id: "TW-P07", judge: posture::customer_key_removed },
    Rule { id: "TW-P08", judge: guard::filter_weakened },
    Rule { id: "TW-P09", judge: guard::abuse_guard_removed },
    Rule { id: "TW-P10", judge: guard::diagnostics_reduced },
    Rule { id: "TW-P11", judge: guard::pipeline_touched },
    Rule { id: "TW-P14", judge: guard::policy_guard_removed },
    Rule { id: "TW-P15", judge: posture::mass_delete },
    Rule { id: "TW-P16", judge: posture::connection_changed },
];

/// An incident of a rule is over so long after the last operation it is about (event time), unless what
/// was done is taken back before: a single act does not go on.
pub const QUIET_MS: i64 = DAY_MS;

/// Whether incidents of a rule end so. That keys are old is no act: it goes on until it is ended.
#[must_use]
pub fn ends_in_quiet(id: &str) -> bool {
    id != age::RULE && find(id).is_some()
}

/// The rule with this identifier.
#[must_use]
pub fn find(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id)
}

/// Judges an operation by every rule, notes it and learns from it; nothing for one that was told before.
///
/// What an operation sets is often in the record of its beginning alone: whichever of the two comes last
/// is judged with both.
pub fn judge(act: &Act, memory: &mut Memory, (pipeline, tuning, book): Given<'_>) -> Vec<Verdict> {
    let act = match act.effect {
        Effect::Asked => act.clone(),
        Effect::Done | Effect::Refused => memory.with_body(act),
    };
    if !memory.note(&act) {
        return Vec::new();
    }
    let judged = if act.effect == Effect::Asked { memory.complete(&act) } else { Some(act) };
    let Some(act) = judged else { return Vec::new() };
    let scene = Scene { act: &act, memory, pipeline, tuning, book };
    let place = account_of(&act.resource).unwrap_or(&act.resource);
    let on = RULES.iter().filter(|rule| tuning.of(rule.id, place).is_some());
    let verdicts: Vec<Verdict> = on.filter_map(|rule| (rule.judge)(&scene)).collect();
    if verdicts.iter().any(|verdict| matches!(verdict, Verdict::Raise(_))) {
        memory.mark(&act);
    }
    memory.learn(&act);
    verdicts
}

impl<'a> Scene<'a> {
    /// A rule as it is set where the act happened.
    #[must_use]
    pub fn profile(&self, rule: &str) -> &'a Profile {
        let tuned =
            self.tuning.of(rule, account_of(&self.act.resource).unwrap_or(&self.act.resource));
        tuned.unwrap_or_else(|| table::profile(rule))
    }

    /// A rule's severity with so many signals that agree: critical needs two.
    #[must_use]
    pub fn severity(&self, rule: &str, signals: u32) -> Severity {
        let severity = self.profile(rule).severity;
        if signals < 2 { severity.min(Severity::High) } else { severity }
    }

    /// A threshold of a rule.
    #[must_use]
    pub fn threshold(&self, rule: &str, name: &str) -> f64 {
        self.profile(rule).threshold(name)
    }

    /// How the resource was set before the act; `None` when that is not known.
    #[must_use]
    pub fn before(&self) -> Option<&'a Changed> {
        let known = self.memory.state(&self.act.resource)?;
        (known.at <= self.act.at).then_some(&known.to)
    }

    /// Recent operations within so many minutes of event time before and after `at`.
    pub fn around(&self, at: EventTime, minutes: f64) -> impl Iterator<Item = &'a Recent> {
        let reach = minutes_ms(minutes);
        self.memory.between(at.0.saturating_sub(reach), at.0.saturating_add(reach))
    }

    /// Whether the same identity gave another rule reason to speak within a day.
    #[must_use]
    pub fn has_second_signal(&self) -> bool {
        let object = &self.act.principal.object;
        let day = minutes_ms(24.0 * 60.0);
        let at = self.act.at.0;
        let mut near = self.memory.between(at.saturating_sub(day), at.saturating_add(day));
        !object.is_empty() && near.any(|r| r.alarmed && r.act.principal.object == *object)
    }

    /// An alarm about the act with the words of the table; `fact` says what happened.
    #[must_use]
    pub fn alarm(&self, rule: &'static str, scope: &str, fact: String) -> Alarm {
        let mut evidence = vec![fact, self.act.when_and_who()];
        if self.act.is_only_asked() {
            evidence.push(
                "what was set is read from the request: the result was not logged".to_owned(),
            );
        }
        Alarm {
            rule,
            scope: scope.to_owned(),
            resource: self.act.resource.clone(),
            severity: self.severity(rule, 1),
            confidence: 0.9,
            observed: 1.0,
            unit: "change",
            span: (self.act.at, self.act.at),
            evidence,
            steps: Vec::new(),
            weight: 1.0,
        }
    }
}

impl Alarm {
    /// Adds a fact.
    #[must_use]
    pub fn with(mut self, fact: impl Into<String>) -> Self {
        self.evidence.push(fact.into());
        self
    }

    /// Sets what to do.
    #[must_use]
    pub fn step(mut self, what: &str, command: String) -> Self {
        self.steps.push(Response { what: what.to_owned(), command });
        self
    }

    /// As the verdict of a rule; says when the incident ends.
    #[must_use]
    pub fn raise(mut self, ends: &str) -> Option<Verdict> {
        self.evidence.push(format!("The incident is over a day after the last such act{ends}"));
        Some(Verdict::Raise(Box::new(self)))
    }
}

/// Minutes of the table in milliseconds.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    reason = "thresholds are some months of minutes at most"
)]
pub const fn minutes_ms(minutes: f64) -> i64 {
    (minutes * 60_000.0) as i64
}

/// The last part of a resource id: what people call it.
#[must_use]
pub fn name_of(resource: &str) -> &str {
    resource.rsplit('/').next().unwrap_or(resource)
}

/// The AI account that a resource is or belongs to.
#[must_use]
pub fn account_of(resource: &str) -> Option<&str> {
    const TYPE: &str = "/microsoft.cognitiveservices/accounts/";
    let begin = resource.find(TYPE)? + TYPE.len();
    let rest = resource.get(begin..)?;
    let end = rest.find('/').unwrap_or(rest.len());
    resource.get(..begin + end).filter(|_| end > 0)
}

/// Whether two records name one identity.
#[must_use]
pub fn is_same(a: &Principal, b: &Principal) -> bool {
    !a.object.is_empty() && a.object == b.object
}

#[cfg(test)]
mod tests;
