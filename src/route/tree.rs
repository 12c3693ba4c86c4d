//! The route tree: which receivers hear of an incident, in which company and how often.

use super::calendar::Times;
use super::matcher::{Labels, Matcher, all_match, show};
use super::silence::{Inhibit, Maintenance};
use crate::severity::Severity;
use crate::time::MINUTE_MS;

use std::collections::BTreeMap;

/// Which incidents are told together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupBy {
    /// Each by itself.
    Incident,
    /// Those with the same values of these labels; of none: all together.
    Labels(Vec<String>),
}

/// One node, with everything it inherits from above filled in.
#[derive(Debug, Clone)]
pub struct Route {
    /// Where in the tree: `0` the root, `0.1` its second child.
    pub path: String,
    /// All must match.
    pub matchers: Vec<Matcher>,
    /// Names of destinations.
    pub receivers: Vec<String>,
    /// Which incidents are told together.
    pub group_by: GroupBy,
    /// How long the first incident of a group waits for others.
    pub group_wait_ms: i64,
    /// How long a group rests between two messages.
    pub group_interval_ms: i64,
    /// After how long an open incident is told again; 0: never.
    pub repeat_ms: i64,
    /// Whether siblings after it are asked, too.
    pub go_on: bool,
    /// Names of times in which it rests; what is critical is told all the same.
    pub mute: Vec<String>,
    /// Names of times outside of which it rests, if any.
    pub active: Vec<String>,
    /// Children, asked in their order.
    pub routes: Vec<Route>,
}

impl Route {
    /// The root that holds where none is configured: every receiver hears of each incident at once,
    /// and once per change.
    #[must_use]
    pub fn everybody(receivers: Vec<String>) -> Self {
        Self {
            path: "0".to_owned(),
            matchers: Vec::new(),
            receivers,
            group_by: GroupBy::Incident,
            group_wait_ms: 0,
            group_interval_ms: 0,
            repeat_ms: 0,
            go_on: false,
            mute: Vec::new(),
            active: Vec::new(),
            routes: Vec::new(),
        }
    }

    /// The routes an incident takes: the deepest that match, as Alertmanager walks them.
    #[must_use]
    pub fn taken(&self, labels: &Labels) -> Vec<&Self> {
        if !all_match(&self.matchers, labels) {
            return Vec::new();
        }
        let mut taken = Vec::new();
        for child in &self.routes {
            let below = child.taken(labels);
            let matched = !below.is_empty();
            taken.extend(below);
            if matched && !child.go_on {
                break;
            }
        }
        if taken.is_empty() {
            taken.push(self);
        }
        taken
    }

    /// The node at a path.
    #[must_use]
    pub fn at(&self, path: &str) -> Option<&Self> {
        if self.path == path {
            return Some(self);
        }
        self.routes.iter().find_map(|child| child.at(path))
    }

    /// Labels that tell its groups apart, with their values.
    #[must_use]
    pub fn group(&self, labels: &Labels, incident: &str) -> Labels {
        match &self.group_by {
            GroupBy::Incident => [("incident".to_owned(), incident.to_owned())].into(),
            GroupBy::Labels(names) => names
                .iter()
                .map(|name| (name.clone(), labels.get(name).cloned().unwrap_or_default()))
                .collect(),
        }
    }

    /// What it is about, in one line.
    #[must_use]
    pub fn title(&self) -> String {
        format!("route {} ({})", self.path, show(&self.matchers))
    }
}

/// A destination as routing sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receiver {
    /// Its name.
    pub name: String,
    /// Least severity it hears of.
    pub min_severity: Severity,
}

/// When a receiver is spared single messages.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Storm {
    /// Messages within the window from which on those that cost little are told together.
    pub limit: usize,
    /// The window in milliseconds.
    pub window_ms: i64,
    /// Cost in USD a day from which an incident is always told by itself.
    pub money_usd: f64,
}

impl Default for Storm {
    /// Twenty messages in ten minutes are more than a person reads; $100 a day is worth one of its own.
    fn default() -> Self {
        Self { limit: 20, window_ms: 10 * MINUTE_MS, money_usd: 100.0 }
    }
}

/// Everything routing goes by.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The tree.
    pub root: Route,
    /// Destinations.
    pub receivers: Vec<Receiver>,
    /// Which incidents keep others quiet.
    pub inhibit: Vec<Inhibit>,
    /// Times by name.
    pub times: BTreeMap<String, Times>,
    /// Planned maintenance.
    pub maintenance: Vec<Maintenance>,
    /// When a receiver is spared single messages.
    pub storm: Storm,
}

impl Plan {
    /// The plan that holds where none is configured.
    #[must_use]
    pub fn everybody(receivers: Vec<Receiver>) -> Self {
        let names = receivers.iter().map(|receiver| receiver.name.clone()).collect();
        Self {
            root: Route::everybody(names),
            receivers,
            inhibit: Vec::new(),
            times: BTreeMap::new(),
            maintenance: Vec::new(),
            storm: Storm::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, matchers: &[&str], go_on: bool, routes: Vec<Route>) -> Route {
        let matchers = matchers.iter().map(|text| Matcher::parse(text).unwrap()).collect();
        let path = path.to_owned();
        Route { path, matchers, go_on, routes, ..Route::everybody(Vec::new()) }
    }

    #[test]
    fn the_deepest_match_is_taken_and_continue_asks_the_next() {
        let tree = route(
            "0",
            &[],
            false,
            vec![
                route("0.0", &["rule=TW-S05"], true, Vec::new()),
                route(
                    "0.1",
                    &["severity>=high"],
                    false,
                    vec![route("0.1.0", &["account=a"], false, Vec::new())],
                ),
                route("0.2", &["rule=~TW-.*"], false, Vec::new()),
            ],
        );
        for (rule, severity, account, expected) in [
            ("x", "low", "b", "0"),
            ("TW-C01", "low", "b", "0.2"),
            ("TW-C01", "high", "b", "0.1"),
            ("TW-C01", "high", "a", "0.1.0"),
            ("TW-S05", "critical", "a", "0.0 0.1.0"),
            ("TW-S05", "low", "a", "0.0 0.2"),
        ] {
            let pairs = [("rule", rule), ("severity", severity), ("account", account)];
            let labels = pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
            let taken: Vec<&str> = tree.taken(&labels).iter().map(|r| r.path.as_str()).collect();
            assert_eq!(taken.join(" "), expected, "{pairs:?}");
        }
        assert_eq!(tree.at("0.1.0").unwrap().title(), "route 0.1.0 (account=a)");
    }
}
