//! The one table of detectors, `models/detectors.toml`: their words, severities and thresholds.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};

use crate::severity::Severity;

/// The table compiled into the program.
pub const BUILT_IN: &str = include_str!("../../models/detectors.toml");

/// What a detector is and needs, for people and for the incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Profile {
    /// Stable identifier, such as `TW-C01`.
    pub id: String,
    /// What it is called: the title of its incidents.
    pub name: String,
    /// What it is about.
    pub family: Family,
    /// Severity before money and confidence have their say.
    pub severity: Severity,
    /// True when the finding is about money spent, so that little money lowers the severity.
    #[serde(default)]
    pub about_cost: bool,
    /// MITRE ATT&CK and ATLAS techniques.
    pub techniques: Vec<String>,
    /// Topics of an account's card: 1 policy and sprawl, 2 network, 3 private endpoints, 4 keys, 5 outbound,
    /// 6 encryption, 7 diagnostics, 8 spend.
    pub topics: Vec<u8>,
    /// Kinds of records it reads, as decoders call them, and what else it reads: one of [`OTHER_INPUTS`].
    pub inputs: Vec<String>,
    /// Whether any one of them is enough.
    #[serde(default)]
    pub any_input: bool,
    /// What must be there for it to see anything, in words.
    pub needs: String,
    /// What has happened when it speaks, without its subject's name.
    pub what: String,
    /// Why that matters.
    pub why: String,
    /// What it cannot know.
    pub cannot_know: String,
    /// Closed slots (of TW-C12 and TW-C13: hours) without a finding after which the incident is over; 0 where it
    /// is not judged by these.
    #[serde(default)]
    pub quiet_slots: u32,
    /// Thresholds, each with its unit in its name.
    #[serde(default)]
    pub defaults: BTreeMap<String, f64>,
}

/// Inputs that are no kind of record.
pub const OTHER_INPUTS: [&str; 7] =
    ["prices", "budget", "lists", "geo", "posture", "allowed", "gateway"];

/// What a detector is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Family {
    /// Money and volume (`TW-C`).
    Cost,
    /// What is asked for, and how (`TW-A`).
    Abuse,
    /// Who asks (`TW-I`).
    Callers,
    /// Keys and rights (`TW-K`).
    Keys,
    /// What protects an account (`TW-P`).
    Posture,
    /// Several of the others together (`TW-X`).
    Chains,
}

impl Family {
    /// The word used in output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Cost => "cost",
            Self::Abuse => "abuse",
            Self::Callers => "callers",
            Self::Keys => "keys",
            Self::Posture => "posture",
            Self::Chains => "chains",
        }
    }
}

impl Profile {
    /// A threshold of the table; 0 for a name it does not have.
    #[must_use]
    pub fn threshold(&self, name: &str) -> f64 {
        self.defaults.get(name).copied().unwrap_or(0.0)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    detector: Vec<Profile>,
}

/// Reads a table.
///
/// # Errors
/// What is wrong with it first: an unknown key, a missing one, a value of the wrong kind.
pub fn parse(text: &str) -> Result<Vec<Profile>, toml::de::Error> {
    toml::from_str(text).map(|file: File| file.detector)
}

static TABLE: LazyLock<Vec<Profile>> = LazyLock::new(|| parse(BUILT_IN).unwrap_or_default());

/// The same by identifier: detectors are asked for their words at every slot.
static BY_ID: LazyLock<HashMap<&str, &Profile>> =
    LazyLock::new(|| TABLE.iter().map(|profile| (profile.id.as_str(), profile)).collect());

/// Stands for an identifier that is not in the table; a test holds that no code names one.
static UNLISTED: LazyLock<Profile> = LazyLock::new(|| Profile {
    id: String::new(),
    name: String::new(),
    family: Family::Posture,
    severity: Severity::Info,
    about_cost: false,
    techniques: Vec::new(),
    topics: Vec::new(),
    inputs: Vec::new(),
    any_input: false,
    needs: String::new(),
    what: String::new(),
    why: String::new(),
    cannot_know: String::new(),
    quiet_slots: 0,
    defaults: BTreeMap::new(),
});

/// Every detector in the order of the table.
#[must_use]
pub fn all() -> &'static [Profile] {
    &TABLE
}

/// The detector with this identifier.
#[must_use]
pub fn find(id: &str) -> Option<&'static Profile> {
    BY_ID.get(id).copied()
}

/// The detector that code names by its identifier.
#[must_use]
pub fn profile(id: &str) -> &'static Profile {
    find(id).unwrap_or(&UNLISTED)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::decode::DECODERS;

    #[test]
    fn the_table_holds_every_detector_once_and_whole() {
        let table = parse(BUILT_IN).unwrap();
        let ids: BTreeSet<&str> = table.iter().map(|profile| profile.id.as_str()).collect();
        assert_eq!((table.len(), ids.len()), (59, 59));
        let names: BTreeSet<&str> = table.iter().map(|profile| profile.name.as_str()).collect();
        assert_eq!(names.len(), 59);
        for profile in &table {
            check(profile);
        }
    }

    #[track_caller]
    fn check(profile: &Profile) {
        let Profile { id, family, name, needs, what, why, cannot_know, .. } = profile;
        let letter = match family {
            Family::Cost => 'C',
            Family::Abuse => 'A',
            Family::Callers => 'I',
            Family::Keys => 'K',
            Family::Posture => 'P',
            Family::Chains => 'X',
        };
        assert!(id.len() == 6 && id.starts_with(&format!("TW-{letter}")), "{id}");
        for (text, most) in [(name, 40), (needs, 120), (what, 160), (why, 120), (cannot_know, 120)]
        {
            let whole = (5..=most).contains(&text.chars().count());
            assert!(whole && !text.ends_with('.') && !text.contains('|'), "{id}: {text}");
        }
        assert!(!profile.techniques.is_empty() && profile.techniques.len() <= 4, "{id}");
        for technique in &profile.techniques {
            assert!(technique.starts_with('T') || technique.starts_with("AML.T"), "{technique}");
        }
        assert!(!profile.topics.is_empty(), "{id}");
        assert!(profile.topics.iter().all(|topic| (1..=8).contains(topic)), "{id}");
        for input in &profile.inputs {
            let known = DECODERS.iter().any(|kind| kind.name == input);
            assert!(known || OTHER_INPUTS.contains(&input.as_str()), "{id}: {input}");
        }
        assert!(!profile.inputs.is_empty(), "{id}");
        assert!(profile.defaults.values().all(|value| value.is_finite() && *value > 0.0), "{id}");
    }

    #[test]
    fn a_key_that_nobody_knows_is_an_error() {
        let good = BUILT_IN.replacen("[[detector]]", "[[detector]]\nthreshold = 3", 1);
        assert!(parse(&good).unwrap_err().to_string().contains("threshold"));
        assert!(parse("[[detector]]\nid = \"TW-C01\"\n").is_err());
    }
}
