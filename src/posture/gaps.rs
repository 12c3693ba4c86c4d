//! What an inventory lacks, by name: nothing that was not read goes unsaid.

use serde::Serialize;

use super::inventory::{Cause, Inventory, Kind, Part, Unread};

/// A part that could not be read, or not to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// Which part, such as `diagnostic settings`.
    pub part: &'static str,
    /// Of what: a resource id, or a region of a subscription.
    pub of: String,
    /// Whether some of it was read.
    pub partly: bool,
    /// Why, in a few words.
    pub reason: String,
    /// Azure's own words; empty when there are none.
    pub said: String,
    /// The command that would mend it; empty when none is known.
    pub mend: String,
}

/// Everything that could not be read, in order of subscriptions. Deleted resources are no gap.
#[must_use]
pub fn gaps(inventory: &Inventory) -> Vec<Gap> {
    let mut gaps = Vec::new();
    for (id, subscription) in &inventory.subscriptions {
        let of = format!("/subscriptions/{id}");
        for kind in Kind::ALL {
            note(&mut gaps, kind.words(), &of, subscription.of(kind));
        }
        for below in subscription.below(&of) {
            note(&mut gaps, below.words, &of, &below.part);
        }
        note(&mut gaps, "budgets", &of, &subscription.budgets);
        for (region, quotas) in &subscription.quotas {
            note(&mut gaps, "quotas", &format!("{of}, {region}"), quotas);
        }
    }
    for (_, _, id, resource) in inventory.resources() {
        for below in resource.below(id) {
            note(&mut gaps, below.words, id, &below.part);
        }
    }
    for (id, alive) in &inventory.hubs {
        // A hub that is gone is a finding, not a gap.
        if !matches!(alive, Part::Unread(Unread { cause: Cause::Gone, .. })) {
            note(&mut gaps, "event hubs", id, alive);
        }
    }
    for (id, definition) in &inventory.definitions {
        // Sets are never read; a door that depends on one says so.
        if id.contains("/policydefinitions/") {
            note(&mut gaps, "policy definitions", id, definition);
        }
    }
    gaps
}

fn note<T>(gaps: &mut Vec<Gap>, part: &'static str, of: &str, held: &Part<T>) {
    let of = of.to_owned();
    match held {
        Part::Read(_) => {}
        Part::Cut { limit, .. } => gaps.push(Gap {
            part,
            of,
            partly: true,
            reason: limit.clone(),
            said: String::new(),
            mend: String::new(),
        }),
        Part::Unread(Unread { reason, said, mend, .. }) => gaps.push(Gap {
            part,
            of,
            partly: false,
            reason: reason.clone(),
            said: said.clone(),
            mend: mend.clone(),
        }),
    }
}

/// True when not one list of resources could be read.
#[must_use]
pub fn is_blank(inventory: &Inventory) -> bool {
    let mut lists = inventory
        .subscriptions
        .values()
        .flat_map(|subscription| Kind::ALL.map(|kind| subscription.of(kind).value().is_some()));
    !lists.any(|read| read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::posture::sample::{SUBSCRIPTION, World};

    #[test]
    fn every_part_that_was_not_read_is_named_once() {
        let mut world = World::new();
        assert!(gaps(&world.inventory).is_empty());
        world.subscription().roles = world.forbidden();
        world.account().settings = world.forbidden();
        let limit = "only the first 3 were read".to_owned();
        world.subscription().locks = Part::Cut { value: std::collections::BTreeMap::new(), limit };
        world.inventory.definitions =
            [("/x/policysetdefinitions/s".to_owned(), world.forbidden())].into();
        let found = gaps(&world.inventory);
        let told: Vec<_> = found.iter().map(|gap| (gap.part, gap.partly)).collect();
        let parts = [("role assignments", false), ("locks", true), ("diagnostic settings", false)];
        assert_eq!(told, parts);
        assert_eq!(found[0].of, format!("/subscriptions/{SUBSCRIPTION}"));
        assert!(!is_blank(&world.inventory));
    }

    #[test]
    fn nothing_is_blank_only_when_no_list_was_read() {
        let mut world = World::new();
        world.subscription().accounts = world.forbidden();
        world.subscription().searches = world.forbidden();
        assert!(!is_blank(&world.inventory));
        world.subscription().workspaces = world.forbidden();
        assert!(is_blank(&world.inventory));
    }
}
