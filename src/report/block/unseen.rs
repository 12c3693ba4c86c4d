//! What this report does not see, and what to do next.

use serde::Serialize;

use super::deployments::Deployments;
use super::incidents::Incidents;
use super::unattributed::Unattributed;
use crate::money::Grouped;
use crate::report::facts::Facts;
use crate::report::view::{Row, Section, named};

/// Actions shown.
const MOST: usize = 6;

/// The block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unseen {
    /// What nobody could see.
    pub unseen: Vec<String>,
    /// What to do, most urgent first.
    pub actions: Vec<Action>,
}

/// Something to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Action {
    /// What.
    pub what: String,
    /// Who; `None` where nobody answers for it.
    pub owner: Option<String>,
}

impl Unseen {
    /// Computes it from what the other blocks found.
    #[must_use]
    pub fn new(
        facts: &Facts,
        deployments: &Deployments,
        incidents: &Incidents,
        unattributed: &Unattributed,
    ) -> Self {
        let quality = &facts.quality;
        let mut unseen = Vec::new();
        for (hub, events) in &quality.lost {
            unseen.push(format!(
                "{} events of hub {hub} that were gone before they were read",
                Grouped(*events)
            ));
        }
        if quality.quarantined > 0 {
            unseen.push(format!(
                "{} records that could not be read, since the first",
                Grouped(quality.quarantined)
            ));
        }
        let uncounted: i64 = quality.ledger.iter().map(|(_, _, _, records, _)| *records).sum();
        if uncounted > 0 {
            unseen.push(format!(
                "{} records that could not be counted (ledger), since the first",
                Grouped(uncounted)
            ));
        }
        if quality.compared.is_empty() {
            unseen.push("whether logs are complete: no metrics come".to_owned());
        }
        unseen.push(
            "single addresses (Azure masks the last octet), and which key was used".to_owned(),
        );
        unseen.push("the bill: amounts are tokens times price".to_owned());
        let mut actions = Vec::new();
        for incident in incidents.rows.iter().filter(|row| row.state == "open") {
            let deployment = incident.deployment.as_deref().unwrap_or("");
            let place = facts.calls.keys().find(|(account, name)| {
                crate::report::facts::short(account) == incident.account && name == deployment
            });
            actions.push(Action {
                what: format!("look at {} of {}", incident.rule_name, place_of(incident)),
                owner: place
                    .and_then(|(account, name)| facts.owners.of(account, name))
                    .map(|owner| owner.name.clone()),
            });
        }
        if unattributed.unpriced_tokens > 0 {
            let what = "add the missing prices ([[price.own]]; prices explain says why)";
            actions.push(Action { what: what.to_owned(), owner: None });
        }
        if unattributed.calls_without_tokens > 0 {
            let what = "switch the usage log on (tokenwatch doctor prints the command)";
            actions.push(Action { what: what.to_owned(), owner: None });
        }
        if !facts.owners.0.is_empty() && deployments.rows.iter().any(|row| row.owner.is_none()) {
            let what = "name an owner for deployments without one ([[owner]])";
            actions.push(Action { what: what.to_owned(), owner: None });
        }
        actions.truncate(MOST);
        Self { unseen, actions }
    }

    /// As people read it.
    #[must_use]
    pub fn section(&self) -> Section {
        let rows = self.actions.iter().map(|action| Row {
            name: action.what.clone(),
            amount: action.owner.clone().unwrap_or_default(),
            ..Row::default()
        });
        Section {
            title: "What we did not see, and what to do",
            lead: vec![format!("Not in these numbers: {}.", self.unseen.join("; "))],
            rows: rows.collect(),
            notes: vec!["tokenwatch incidents, doctor and spend show the details.".to_owned()],
            ..Section::default()
        }
    }
}

fn place_of(incident: &super::incidents::IncidentLine) -> String {
    named(&match &incident.deployment {
        Some(deployment) => format!("{}/{deployment}", incident.account),
        None => incident.account.clone(),
    })
}
