//! How well AI resources are locked: eight doors each, `ok`, `open`, `unknown` or not there at all.
//!
//! An [`Inventory`] is what was read; [`cards`] judges it. Both are data without a clock or a
//! connection, so that an inventory can be kept, judged again and compared with a later one. What
//! Azure does not say is unknown: absent is not false, and a part that could not be read makes
//! unknown what depends on it.

mod command;
mod doors;
pub mod gaps;
pub mod inventory;
pub mod read;
pub mod snapshot;
#[cfg(test)]
mod sample;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::decode::text;
use crate::incident::{Response, respond};
use crate::severity::Severity;
pub use doors::DOORS;
use inventory::{Inventory, Kind, Resource, Subscription};

/// A door: one way in, or one way to go unseen.
#[derive(Debug)]
pub struct Door {
    /// The word for it in output and on the command line.
    pub word: &'static str,
    /// What it is about.
    pub name: &'static str,
    /// Why it matters that it is open, in one sentence.
    pub why: &'static str,
    /// How much it matters.
    pub severity: Severity,
    judge: fn(&Look<'_>) -> Verdict,
}

/// What a door is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Shut, as far as Azure says.
    Ok,
    /// Open.
    Open,
    /// Nobody can tell from what was read.
    Unknown,
    /// A resource of this kind has no such door.
    #[serde(rename = "does_not_apply")]
    NotApplicable,
}

impl State {
    /// Every state.
    pub const ALL: [Self; 4] = [Self::Open, Self::Unknown, Self::Ok, Self::NotApplicable];

    /// In words.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Open => "open",
            Self::Unknown => "unknown",
            Self::NotApplicable => "does not apply",
        }
    }
}

/// What was found of one door of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which door: [`Door::word`].
    pub door: &'static str,
    /// What it is.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// How a door was judged.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What the door is.
    pub state: State,
    /// What was found, in one sentence.
    pub finding: String,
    /// What else is known of it.
    pub notes: Vec<String>,
    /// What shuts it, or would tell; the first is the most effective.
    pub steps: Vec<Response>,
}

impl Verdict {
    fn new(state: State, finding: impl Into<String>) -> Self {
        Self { state, finding: finding.into(), notes: Vec::new(), steps: Vec::new() }
    }

    fn ok(finding: impl Into<String>) -> Self {
        Self::new(State::Ok, finding)
    }

    fn open(finding: impl Into<String>) -> Self {
        Self::new(State::Open, finding)
    }

    fn unknown(finding: impl Into<String>) -> Self {
        Self::new(State::Unknown, finding)
    }

    fn not_applicable(finding: impl Into<String>) -> Self {
        Self::new(State::NotApplicable, finding)
    }

    fn note(mut self, note: impl Into<Option<String>>) -> Self {
        self.notes.extend(note.into());
        self
    }

    fn step(mut self, what: &str, command: String) -> Self {
        self.steps.push(Response { what: what.to_owned(), command });
        self
    }
}

/// The doors of one resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Card {
    /// Resource id, lower case.
    pub id: String,
    /// Subscription, lower case.
    pub subscription: String,
    /// Resource group, lower case; empty when the id has none.
    pub group: String,
    /// Name.
    pub name: String,
    /// What kind of resource.
    pub kind: Kind,
    /// Its own kind, such as `AIServices`; empty when Azure does not say, as the next two.
    pub flavour: String,
    /// Pricing tier.
    pub sku: String,
    /// Region.
    pub location: String,
    /// Deployments; `None` when it has none by its nature or they could not be read.
    pub deployments: Option<usize>,
    /// One for each of [`DOORS`], in that order.
    pub doors: Vec<Finding>,
}

impl Card {
    /// How many of its doors are in this state.
    #[must_use]
    pub fn count(&self, state: State) -> usize {
        self.doors.iter().filter(|finding| finding.verdict.state == state).count()
    }

    /// True when this door of it is in this state.
    #[must_use]
    pub fn has(&self, door: &str, state: State) -> bool {
        self.doors.iter().any(|finding| finding.door == door && finding.verdict.state == state)
    }
}

/// What is known from a configuration of ours, where there is one, and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Own {
    /// Event hubs that are read: first part of the namespace's host (empty when only a connection
    /// string says it), and name of the hub; lower case.
    pub hubs: Vec<(String, String)>,
    /// Destinations that alerts go to; `None` without a configuration.
    pub destinations: Option<usize>,
    /// Regions that AI resources may be in, lower case; empty when any may.
    pub regions: BTreeSet<String>,
}

/// How much there is, and where.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Sprawl {
    /// Resources by kind.
    pub kinds: BTreeMap<Kind, usize>,
    /// Resources by region.
    pub regions: BTreeMap<String, usize>,
    /// Deployments by kind of capacity, such as `GlobalStandard`; of those that could be read.
    pub deployments: BTreeMap<String, usize>,
}

/// Counts what an inventory holds; deleted resources are not in it.
#[must_use]
pub fn sprawl(inventory: &Inventory) -> Sprawl {
    let mut sprawl = Sprawl::default();
    for (.., resource) in inventory.resources() {
        *sprawl.kinds.entry(resource.kind).or_default() += 1;
        *sprawl.regions.entry(resource.state.location.clone()).or_default() += 1;
        let deployments = resource.deployments.as_ref().and_then(|part| part.value());
        for deployment in deployments.into_iter().flat_map(BTreeMap::values) {
            *sprawl.deployments.entry(deployment.sku.clone()).or_default() += 1;
        }
    }
    sprawl
}

/// Everything a door may look at.
struct Look<'a> {
    id: &'a str,
    subscription_id: &'a str,
    resource: &'a Resource,
    subscription: &'a Subscription,
    inventory: &'a Inventory,
    own: &'a Own,
}

/// The card of every resource that is still there: those with the most open doors first, then by
/// id.
#[must_use]
pub fn cards(inventory: &Inventory, own: &Own) -> Vec<Card> {
    let mut cards: Vec<Card> = inventory
        .resources()
        .map(|(subscription_id, subscription, id, resource)| {
            card(&Look { id, subscription_id, resource, subscription, inventory, own })
        })
        .collect();
    cards.sort_by(|a, b| weight(b).cmp(&weight(a)).then_with(|| a.id.cmp(&b.id)));
    cards
}

/// What decides which card is read first.
fn weight(card: &Card) -> (usize, usize) {
    let grave = DOORS.iter().zip(&card.doors).filter(|(door, finding)| {
        finding.verdict.state == State::Open && door.severity >= Severity::High
    });
    (grave.count(), card.count(State::Open))
}

fn card(look: &Look<'_>) -> Card {
    let resource = look.resource;
    let state = &resource.state;
    let deployments = resource.deployments.as_ref().and_then(|part| part.value());
    let doors = DOORS.iter().map(|door| Finding { door: door.word, verdict: (door.judge)(look) });
    Card {
        id: look.id.to_owned(),
        subscription: look.subscription_id.to_owned(),
        group: respond::part(look.id, "resourcegroups").to_owned(),
        name: resource.name.clone(),
        kind: resource.kind,
        flavour: state.kind.clone(),
        sku: state.sku.clone(),
        location: state.location.clone(),
        deployments: deployments.map(BTreeMap::len),
        doors: doors.collect(),
    }
}

/// `a`, `a and b`, `a, b and c`, each on one line.
fn listed<T: AsRef<str>>(words: &[T]) -> String {
    let mut words: Vec<String> =
        words.iter().map(|word| text::clean(word.as_ref(), text::MAX_NAME_CHARS)).collect();
    let Some(last) = words.pop() else { return String::new() };
    if words.is_empty() { last } else { format!("{} and {last}", words.join(", ")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posture::sample::World;

    #[test]
    fn a_card_has_every_door_once_and_each_says_why_it_matters() {
        let world = World::new();
        let cards = cards(&world.inventory, &Own::default());
        assert_eq!(cards.len(), 3);
        for card in &cards {
            let words: Vec<_> = card.doors.iter().map(|finding| finding.door).collect();
            assert_eq!(words, DOORS.iter().map(|door| door.word).collect::<Vec<_>>());
            for finding in &card.doors {
                let Verdict { finding, steps, state, .. } = &finding.verdict;
                assert!(finding.ends_with('.'), "{finding}");
                let needs_step = *state == State::Open;
                assert!(!needs_step || steps.iter().any(|step| step.command.starts_with("az ")));
            }
        }
        for door in &DOORS {
            assert!(door.why.ends_with('.') && !door.name.is_empty(), "{}", door.word);
        }
    }

    #[test]
    fn the_most_open_resource_comes_first_and_what_was_deleted_has_no_card() {
        let mut world = World::new();
        world.account().state.network.public_access = Some(true);
        world.account().state.network.open_by_default = Some(true);
        let first = cards(&world.inventory, &Own::default()).remove(0);
        assert_eq!(first.kind, Kind::Account);
        assert!(first.count(State::Open) >= 1);
        world.account().settings = world.gone();
        assert_eq!(cards(&world.inventory, &Own::default()).len(), 2);
        assert_eq!(world.inventory.gone(), 1);
        let counted = sprawl(&world.inventory);
        assert_eq!(counted.kinds, BTreeMap::from([(Kind::Search, 1), (Kind::Workspace, 1)]));
        assert_eq!(counted.regions, BTreeMap::from([("eastus2".to_owned(), 2)]));
    }
}
