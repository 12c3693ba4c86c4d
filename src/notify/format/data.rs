//! What every format says about an incident, cleaned and bounded once.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::incident::digest::Gathering;
use crate::incident::{Announcement, CallerShare, Digest, Incident, State};
use crate::known::About;
use crate::notify::clean;
use crate::notify::facts::Limits;
use crate::notify::lines::Lines;
use crate::notify::settings::Label;
use crate::notify::story::subject;

/// Labels that are told; an incident has fewer than ten.
const LABELS_MAX: usize = 20;
/// Longest text of an incident among others, in characters.
const DIGEST_TEXT: usize = 120;
/// Longest resource id that Azure makes, and then some: useless when cut.
const RESOURCE_MAX: usize = 300;

/// One incident to be told.
pub(super) struct Told<'a> {
    pub(super) announcement: &'a Announcement,
    pub(super) label: Label<'a>,
    pub(super) limits: &'a Limits,
    pub(super) core: Core<'a>,
}

/// Several incidents to be told at once.
pub(super) struct Gathered<'a> {
    pub(super) digest: &'a Digest,
    pub(super) label: Label<'a>,
    /// How many, how bad and how dear, in one line.
    pub(super) summary: String,
    pub(super) labels: BTreeMap<String, String>,
    /// Those that are told, worst first.
    pub(super) told: Vec<(&'a Announcement, Core<'a>)>,
    /// Those that are not.
    pub(super) more: usize,
}

/// What is said of an incident wherever it is told. Numbers that are not finite become `null`, which
/// is also what unknown costs are.
#[derive(Debug, Serialize)]
pub(super) struct Core<'a> {
    pub(super) key: &'a str,
    /// One line for people, harmless even where links are made clickable.
    pub(super) summary: String,
    pub(super) rule: String,
    pub(super) rule_name: String,
    pub(super) account: String,
    pub(super) deployment: Option<String>,
    pub(super) model: Option<String>,
    pub(super) resource_id: Option<String>,
    pub(super) severity: &'static str,
    pub(super) state: &'static str,
    pub(super) first_window: String,
    pub(super) last_window: String,
    pub(super) opened_at: String,
    pub(super) resolved_at: Option<String>,
    pub(super) observed: f64,
    pub(super) expected: f64,
    pub(super) bound: f64,
    pub(super) unit: String,
    pub(super) cost_nano_usd: Option<i64>,
    pub(super) cost_per_day_nano_usd: Option<i64>,
}

/// One caller's part.
#[derive(Debug, Serialize)]
pub(super) struct Caller {
    pub(super) network: String,
    pub(super) identity: String,
    pub(super) tokens: i64,
    pub(super) cost_nano_usd: Option<i64>,
    pub(super) new: bool,
    /// Absent when nobody said one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    /// Absent when nothing is known.
    #[serde(skip_serializing_if = "About::is_empty")]
    pub(super) about: About,
}

/// One step of the answer.
#[derive(Debug, Serialize)]
pub(super) struct Step {
    pub(super) what: String,
    /// Empty when the step is no command; `null` when the command is too long to be sent whole.
    pub(super) command: Option<String>,
}

impl<'a> Told<'a> {
    pub(super) fn new(
        announcement: &'a Announcement,
        label: Label<'a>,
        limits: &'a Limits,
    ) -> Self {
        Self { announcement, label, limits, core: Core::new(announcement, limits.text) }
    }

    pub(super) fn incident(&self) -> &'a Incident {
        &self.announcement.incident
    }

    pub(super) fn text(&self, text: &str) -> String {
        clean::line(text, self.limits.text)
    }

    pub(super) fn callers(&self, callers: &[CallerShare]) -> Vec<Caller> {
        let caller = |caller: &CallerShare| Caller {
            network: self.text(&caller.network),
            identity: self.text(&caller.identity),
            tokens: caller.tokens,
            cost_nano_usd: caller.cost.map(|cost| cost.0),
            new: caller.new,
            name: caller.name.as_deref().map(|name| self.text(name)),
            about: self.about(&caller.about),
        };
        callers.iter().take(self.limits.callers).map(caller).collect()
    }

    /// The same with clean texts.
    fn about(&self, about: &About) -> About {
        let mut about = about.clone();
        let names = about.named.iter_mut().map(|named| &mut named.name);
        let lists = about.listed.iter_mut().map(|listed| &mut listed.list);
        for text in names.chain(lists).chain(&mut about.as_name).chain(&mut about.country) {
            *text = self.text(text);
        }
        about
    }

    pub(super) fn evidence(&self) -> Vec<String> {
        let shown = self.incident().evidence.iter().take(self.limits.evidence);
        shown.map(|fact| self.text(fact)).collect()
    }

    pub(super) fn steps(&self) -> Vec<Step> {
        let shown = self.incident().response.iter().take(self.limits.responses);
        shown
            .map(|response| Step {
                what: self.text(&response.what),
                command: clean::command(&response.command, self.limits.command),
            })
            .collect()
    }

    /// What to do, for formats that know texts alone: a command stands on a line of its own.
    pub(super) fn advice(&self) -> String {
        let line = |step: Step| match step.command {
            Some(command) if !command.is_empty() => format!("{}\n{command}", step.what),
            Some(_) | None => step.what,
        };
        self.steps().into_iter().map(line).collect::<Vec<_>>().join("\n")
    }

    pub(super) fn labels(&self) -> BTreeMap<String, String> {
        labels_of(self.incident())
    }
}

impl<'a> Gathered<'a> {
    pub(super) fn new(digest: &'a Digest, label: Label<'a>, most: usize) -> Self {
        let told = digest.announcements.iter().take(most);
        let pairs = digest.labels.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Self {
            digest,
            label,
            summary: Lines::new(digest, 0).title,
            labels: labels(pairs),
            told: told.map(|told| (told, Core::new(told, DIGEST_TEXT))).collect(),
            more: digest.announcements.len().saturating_sub(most),
        }
    }

    pub(super) const fn gathering(&self) -> &'static str {
        match self.digest.gathering {
            Gathering::Group => "group",
            Gathering::Storm => "storm",
        }
    }

    /// Over when all of its incidents are.
    pub(super) fn state(&self) -> State {
        if self.digest.is_over() { State::Resolved } else { State::Open }
    }

    /// Summaries of those that are told, one a line, and how many are not.
    pub(super) fn list(&self) -> String {
        let mut lines: Vec<_> = self.told.iter().map(|(_, core)| core.summary.clone()).collect();
        if self.more > 0 {
            lines.push(format!("and {} more", self.more));
        }
        lines.join("\n")
    }
}

impl<'a> Core<'a> {
    fn new(announcement: &'a Announcement, text_max: usize) -> Self {
        let incident = &announcement.incident;
        let text = |text: &str| clean::line(text, text_max);
        Self {
            key: &incident.key,
            summary: subject(announcement),
            rule: text(&incident.rule),
            rule_name: text(&incident.rule_name),
            account: text(&incident.account),
            deployment: incident.deployment.as_deref().map(text),
            model: incident.model.as_deref().map(text),
            resource_id: incident.resource_id.as_deref().map(|id| clean::line(id, RESOURCE_MAX)),
            severity: incident.severity.word(),
            state: incident.state.word(),
            first_window: incident.first_window.to_string(),
            last_window: incident.last_window.to_string(),
            opened_at: incident.opened_at.to_string(),
            resolved_at: incident.resolved_at.map(|at| at.to_string()),
            observed: incident.observed,
            expected: incident.expected,
            bound: incident.bound,
            unit: text(&incident.unit),
            cost_nano_usd: incident.cost.map(|cost| cost.0),
            cost_per_day_nano_usd: incident.cost_per_day.map(|cost| cost.0),
        }
    }

    /// `account/deployment`, or the account alone.
    pub(super) fn place(&self) -> String {
        match &self.deployment {
            Some(deployment) => format!("{}/{deployment}", self.account),
            None => self.account.clone(),
        }
    }

    /// Azure's id of the deployment, or of the account alone; `None` when no record carried it.
    pub(super) fn resource(&self) -> Option<String> {
        let account = self.resource_id.as_ref()?;
        Some(match &self.deployment {
            Some(deployment) => format!("{account}/deployments/{deployment}"),
            None => account.clone(),
        })
    }
}

/// What routes match on, cleaned.
pub(super) fn labels_of(incident: &Incident) -> BTreeMap<String, String> {
    labels(incident.labels().iter().map(|(name, value)| (*name, value.as_str())))
}

fn labels<'l>(pairs: impl Iterator<Item = (&'l str, &'l str)>) -> BTreeMap<String, String> {
    let clean = |text: &str| clean::line(text, DIGEST_TEXT);
    pairs.take(LABELS_MAX).map(|(name, value)| (clean(name), clean(value))).collect()
}
