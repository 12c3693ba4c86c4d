//! A digest as one cleaned line per incident, for every channel that tells people.

use crate::incident::digest::Gathering;
use crate::incident::{Announcement, Digest, Severity};
use crate::money::NanoUsd;

use super::facts::place;
use super::story::{badge, is_about_money, what};
use super::{clean, number};

/// One incident of a digest.
#[derive(Debug)]
pub(super) struct Line {
    /// Kind and severity in capitals, such as `NOW HIGH`.
    pub(super) badge: String,
    /// Account, and deployment when there is one.
    pub(super) place: String,
    pub(super) what: String,
    /// Spent above expected so far; says so when unknown, and nothing where money is not the matter.
    pub(super) money: Option<String>,
    /// What commands take for it.
    pub(super) id: String,
    pub(super) key: String,
}

impl Line {
    /// What happened, and what it costs where money is the matter.
    pub(super) fn said(&self) -> String {
        match &self.money {
            Some(money) => format!("{}, {money}", self.what),
            None => self.what.clone(),
        }
    }
}

/// A digest as people read it.
#[derive(Debug)]
pub(super) struct Lines {
    /// How many, how bad and how dear.
    pub(super) title: String,
    /// Why they are told together.
    pub(super) why: String,
    /// The worst, at most as many as asked for.
    pub(super) shown: Vec<Line>,
    /// Those left out.
    pub(super) more: usize,
}

impl Lines {
    pub(super) fn new(digest: &Digest, most: usize) -> Self {
        let shown = digest.announcements.iter().take(most).map(line).collect();
        let more = digest.announcements.len().saturating_sub(most);
        Self { title: title(digest), why: why(digest), shown, more }
    }
}

fn line(told: &Announcement) -> Line {
    let incident = &told.incident;
    Line {
        badge: badge(told.kind, incident.severity),
        place: place(incident, 60),
        what: what(incident),
        money: is_about_money(incident)
            .then(|| incident.cost.map_or_else(|| "cost unknown".to_owned(), number::dollars)),
        id: incident.id(),
        key: clean::untrusted(&incident.key, 120),
    }
}

/// `7 incidents: 1 critical, 6 high; $1,214 so far`.
fn title(digest: &Digest) -> String {
    let told = &digest.announcements;
    let counts = Severity::ALL.iter().rev().filter_map(|severity| {
        let count = told.iter().filter(|told| told.incident.severity == *severity).count();
        (count > 0).then(|| format!("{count} {}", severity.word()))
    });
    let counts: Vec<String> = counts.collect();
    let over = if digest.is_over() { " over" } else { "" };
    format!("{} incidents{over}: {}{}", told.len(), counts.join(", "), money(told))
}

/// What is known of the sum; an incident of unknown cost makes it a lower bound. Nothing where money is
/// not the matter.
fn money(told: &[Announcement]) -> String {
    let about_money = told.iter().filter(|told| is_about_money(&told.incident));
    let costs: Vec<Option<NanoUsd>> = about_money.map(|told| told.incident.cost).collect();
    let known = || costs.iter().flatten();
    if costs.is_empty() {
        return String::new();
    }
    if known().next().is_none() {
        return "; cost unknown".to_owned();
    }
    let sum = number::dollars(known().fold(NanoUsd(0), |sum, cost| sum.plus(*cost)));
    let bound = if known().count() < costs.len() { "at least " } else { "" };
    format!("; {bound}{sum} so far")
}

fn why(digest: &Digest) -> String {
    let labels = digest.labels.iter().map(|(name, value)| {
        format!("{} {}", clean::untrusted(name, 40), clean::untrusted(value, 60))
    });
    let labels: Vec<String> = labels.take(8).collect();
    match (digest.gathering, labels.is_empty()) {
        (Gathering::Group, false) => format!("Told together: {}.", labels.join(", ")),
        (Gathering::Group, true) => "Told together.".to_owned(),
        (Gathering::Storm, _) => {
            "More at once than this receiver is told one by one; money is never left out."
                .to_owned()
        }
    }
}
