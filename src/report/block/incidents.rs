//! What went wrong in the week, what it cost, and what people said about it.

use serde::Serialize;

use crate::days::Zone;
use crate::incident::{Feedback, Incident, State};
use crate::money::NanoUsd;
use crate::report::amount::Currency;
use crate::report::facts::Facts;
use crate::report::view::{Row, Section, Unarmed, named};
use crate::severity::Severity;
use crate::time::{EventTime, HOUR_MS, MINUTE_MS};

/// Incidents with a line of their own; the others are counted.
const MOST: usize = 12;

/// The block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Incidents {
    /// Live ones first, then by money and time.
    pub rows: Vec<IncidentLine>,
    /// How many there were in all.
    pub count: usize,
    /// How many still go on.
    pub open: usize,
    /// Cost above what was expected, of those whose cost is known and that nobody called expected. Of
    /// several at one deployment at one time the dearest counts: they tell of the same money.
    pub caught_nano_usd: NanoUsd,
    /// How many have no known cost.
    pub without_cost: usize,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct IncidentLine {
    /// Its key.
    pub key: String,
    /// Identifier of the rule.
    pub rule: String,
    /// What the rule is called.
    pub rule_name: String,
    /// Account, or what it is about.
    pub account: String,
    /// Deployment.
    pub deployment: Option<String>,
    /// Highest severity so far.
    pub severity: &'static str,
    /// Open, acknowledged or resolved.
    pub state: &'static str,
    /// What people said.
    pub verdict: Option<&'static str>,
    /// When it began, by the local clock.
    pub began: String,
    /// How long it was going on, in milliseconds of event time.
    pub duration_ms: i64,
    /// Cost above what was expected; `None` when a price is unknown.
    pub cost_nano_usd: Option<NanoUsd>,
}

impl Incidents {
    /// Computes it. Children are told by their parent.
    #[must_use]
    pub fn new(facts: &Facts) -> Self {
        let mut told: Vec<&Incident> =
            facts.incidents.iter().filter(|incident| incident.parent.is_none()).collect();
        told.sort_by_key(|incident| {
            let cost = incident.cost.unwrap_or(NanoUsd(0));
            let urgent = (!incident.state.is_live(), std::cmp::Reverse((cost, incident.severity)));
            (urgent, incident.opened_at, incident.key.clone())
        });
        let lawful = |incident: &&&Incident| {
            !matches!(incident.feedback, Some(Feedback::Expected | Feedback::NewNormal))
        };
        Self {
            count: told.len(),
            open: told.iter().filter(|incident| incident.state.is_live()).count(),
            caught_nano_usd: caught(told.iter().filter(lawful).copied()),
            without_cost: told.iter().filter(|incident| incident.cost.is_none()).count(),
            rows: told.into_iter().take(MOST).map(|incident| line(incident, &facts.zone)).collect(),
        }
    }

    /// True when one of high severity still goes on.
    #[must_use]
    pub fn is_urgent(&self) -> bool {
        let grave = [Severity::High, Severity::Critical].map(Severity::word);
        let open = State::Resolved.word();
        self.rows.iter().any(|row| row.state != open && grave.contains(&row.severity))
    }

    /// As people read it.
    #[must_use]
    pub fn section(&self, currency: &Currency) -> Section {
        let lead = match self.count {
            0 => "No incident this week: nothing to report.".to_owned(),
            count => {
                let unknown = match self.without_cost {
                    0 => String::new(),
                    some => format!(" ({some} without a known cost)"),
                };
                format!(
                    "{count} incident{}, {} still open; {} above what was expected{unknown}, until now \
                     and also beyond the week.",
                    if count == 1 { "" } else { "s" },
                    self.open,
                    currency.show(self.caught_nano_usd)
                )
            }
        };
        let rows = self.rows.iter().map(|row| row.row(currency)).collect();
        let beyond = self.count.saturating_sub(self.rows.len());
        let notes = match beyond {
            0 => Vec::new(),
            more => vec![format!("and {more} more: tokenwatch incidents lists them.")],
        };
        let unarmed = vec![Unarmed {
            what: "silenced and inhibited incidents",
            needs: "counts by the router",
        }];
        Section {
            title: "Anomalies and incidents",
            lead: vec![lead],
            rows,
            notes,
            unarmed,
            ..Section::default()
        }
    }
}

impl IncidentLine {
    fn row(&self, currency: &Currency) -> Row {
        let place = match &self.deployment {
            Some(deployment) => format!("{}/{deployment}", self.account),
            None => self.account.clone(),
        };
        let cost = self.cost_nano_usd;
        let mut details = vec![
            named(&place),
            format!("{}, {}", self.severity, self.state),
            self.began.get(..16).unwrap_or(&self.began).replace('T', " "),
            length(self.duration_ms),
        ];
        details.extend(self.verdict.map(|verdict| format!("called {verdict}")));
        details.push(self.rule.clone());
        Row {
            name: named(&self.rule_name),
            amount: cost.map_or_else(|| "unknown".to_owned(), |cost| currency.show(cost)),
            details,
            ..Row::default()
        }
    }
}

fn caught<'a>(incidents: impl Iterator<Item = &'a Incident>) -> NanoUsd {
    let mut costs: Vec<(&str, Option<&str>, EventTime, EventTime, NanoUsd)> = incidents
        .filter_map(|incident| {
            let place = (incident.account.as_str(), incident.deployment.as_deref());
            Some((place.0, place.1, incident.first_window, incident.last_window, incident.cost?))
        })
        .collect();
    costs.sort_unstable();
    let (mut sum, mut dearest) = (NanoUsd(0), NanoUsd(0));
    let mut last: Option<(&str, Option<&str>, EventTime)> = None;
    for (account, deployment, from, until, cost) in costs {
        match last {
            Some((at, of, end)) if (at, of) == (account, deployment) && from < end => {
                dearest = dearest.max(cost);
                last = Some((at, of, end.max(until)));
            }
            Some(_) | None => {
                sum += dearest;
                dearest = cost;
                last = Some((account, deployment, until));
            }
        }
    }
    sum.plus(dearest)
}

fn line(incident: &Incident, zone: &Zone) -> IncidentLine {
    IncidentLine {
        key: incident.key.clone(),
        rule: incident.rule.clone(),
        rule_name: incident.rule_name.clone(),
        account: incident.account.clone(),
        deployment: incident.deployment.clone(),
        severity: incident.severity.word(),
        state: incident.state.word(),
        verdict: incident.feedback.map(Feedback::word),
        began: zone.local(incident.first_window),
        duration_ms: incident.last_window.0.saturating_sub(incident.first_window.0).max(0),
        cost_nano_usd: incident.cost,
    }
}

/// `2 h 10 min`.
fn length(ms: i64) -> String {
    match (ms / HOUR_MS, ms / MINUTE_MS % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn incident(place: (&str, &str), hours: (i64, i64), cost: Option<i64>) -> Incident {
        Incident {
            account: place.0.to_owned(),
            deployment: Some(place.1.to_owned()),
            first_window: EventTime(hours.0 * HOUR_MS),
            last_window: EventTime(hours.1 * HOUR_MS),
            cost: cost.map(NanoUsd),
            ..Incident::default()
        }
    }

    #[test]
    fn the_same_money_is_caught_once() {
        let all = [
            incident(("prod", "chat"), (1, 9), Some(100)),
            incident(("prod", "chat"), (2, 5), Some(80)),
            incident(("prod", "chat"), (8, 12), Some(120)),
            incident(("prod", "chat"), (12, 13), Some(7)),
            incident(("prod", "agent"), (1, 9), Some(1_000)),
            incident(("lab", "chat"), (1, 9), None),
        ];
        assert_eq!(caught(all.iter()), NanoUsd(120 + 7 + 1_000));
        assert_eq!(caught([].iter()), NanoUsd(0));
    }

    #[test]
    fn a_length_has_two_units() {
        assert_eq!(
            [0, 61, 60, 2_345].map(|minutes| length(minutes * MINUTE_MS)),
            ["0 min", "1 h 1 min", "1 h", "39 h 5 min"]
        );
    }
}
