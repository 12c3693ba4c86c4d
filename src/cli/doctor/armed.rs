//! Detectors that cannot speak, because nothing of a kind that they read has come or is configured.

use std::collections::{BTreeMap, BTreeSet};

use super::facts::Facts;
use super::findings::{Finding, Setup};
use crate::config::Config;
use crate::detect::table::{self, OTHER_INPUTS, Profile};
use crate::known::feed::Holds;
use crate::severity::Severity;

/// What a configuration gives detectors beside records: some of [`OTHER_INPUTS`].
pub(super) fn given(config: &Config) -> BTreeSet<&'static str> {
    let mut given = BTreeSet::from(["prices"]);
    if !config.engine.budgets.is_empty() {
        given.insert("budget");
    }
    if config.inventory.is_some() {
        given.insert("posture");
    }
    if !config.engine.gateway_only.is_empty() {
        given.insert("gateway");
    }
    if !config.engine.tuning.allowed().is_anything() {
        given.insert("allowed");
    }
    for holds in config.files.holds() {
        match holds {
            Holds::Networks { .. } => given.insert("lists"),
            Holds::Systems | Holds::Countries => given.insert("geo"),
            Holds::Identities => false,
        };
    }
    given
}

/// Detectors that are blind, a note for each thing that they lack.
pub(super) fn blind(facts: &Facts, setup: &Setup) -> Vec<Finding> {
    let read: BTreeSet<&str> =
        facts.totals.coverage.iter().map(|(_, kind, _)| kind.as_str()).collect();
    let has = |input: &str| match OTHER_INPUTS.contains(&input) {
        // Without a configuration nobody knows.
        true => setup.given.as_ref().map(|given| given.contains(input)),
        false => Some(read.contains(input)),
    };
    let mut lacking: BTreeMap<(Vec<&str>, &str), Vec<&str>> = BTreeMap::new();
    for profile in table::all() {
        if let Some(lacks) = lacks(profile, &has) {
            let joint = if profile.any_input { " or " } else { " and " };
            lacking.entry((lacks, joint)).or_default().push(&profile.id);
        }
    }
    lacking.iter().map(|((lacks, joint), ids)| note((lacks, joint), ids)).collect()
}

/// What a detector lacks, of which it needs all or any; `None` when it is armed.
fn lacks<'a>(profile: &'a Profile, has: &dyn Fn(&str) -> Option<bool>) -> Option<Vec<&'a str>> {
    let inputs = profile.inputs.iter().map(String::as_str);
    if profile.any_input {
        let is_armed = inputs.clone().any(|input| has(input) == Some(true));
        return (!is_armed).then(|| inputs.collect());
    }
    let absent: Vec<&str> = inputs.filter(|input| has(input) == Some(false)).collect();
    (!absent.is_empty()).then_some(absent)
}

fn note((lacks, joint): (&[&str], &str), ids: &[&str]) -> Finding {
    let needs: Vec<&str> = lacks
        .iter()
        .map(|input| match *input {
            "lists" => "a [[network_list]]",
            "geo" => "[geo]",
            "budget" => "a [[budget]]",
            "posture" => "[resource_graph]",
            "allowed" => "[posture.allow]",
            "gateway" => "a [[backend]] with only = true",
            kind => kind,
        })
        .collect();
    let (be, need) = if ids.len() == 1 { ("is", "it needs") } else { ("are", "they need") };
    Finding {
        severity: Severity::Info,
        topic: "not-armed",
        about: ids.join(", "),
        what: format!("{} {be} not armed: {need} {}", ids.join(", "), needs.join(joint)),
        why: Vec::new(),
        commands: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_detector_lacks_what_it_cannot_do_without() {
        let has = |input: &str| Some(["RequestResponse", "prices"].contains(&input));
        let lacks = |id| lacks(table::profile(id), &has);
        assert_eq!(lacks("TW-C01"), None);
        assert_eq!(lacks("TW-A04"), None);
        assert_eq!(lacks("TW-C04"), None);
        assert_eq!(lacks("TW-X01"), Some(vec!["Activity log"]));
        assert_eq!(lacks("TW-I04"), Some(vec!["geo"]));
        assert_eq!(lacks("TW-K01"), Some(vec!["Activity log", "Audit"]));
        assert_eq!(lacks("TW-C05"), Some(vec!["budget"]));
        assert_eq!(lacks("TW-P08"), Some(vec!["Activity log", "posture"]));
    }

    #[test]
    fn what_nobody_knows_neither_blinds_nor_arms() {
        let check = |id, posture: Option<bool>, expected: Option<Vec<&str>>| {
            let has = |input: &str| if input == "posture" { posture } else { Some(false) };
            assert_eq!(lacks(table::profile(id), &has), expected, "{id} {posture:?}");
        };
        for posture in [None, Some(false)] {
            check("TW-P08", posture, Some(vec!["Activity log", "posture"]));
        }
        check("TW-P08", Some(true), None);
        check("TW-K05", None, Some(vec!["Activity log"]));
        check("TW-K05", Some(false), Some(vec!["Activity log", "posture"]));
    }
}
