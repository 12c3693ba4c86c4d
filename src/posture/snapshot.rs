//! What was read of a subscription as parts that enter the engine.

use super::inventory::{Below, Kind, Part, Resource, Subscription};
use crate::event::control::{Changed, Target};
use crate::event::inventory::{Found, List, Snapshot};
use crate::time::EventTime;

/// Size at which a part ends, in bytes of JSON: an event of a hub has a mebibyte at most, and one resource
/// some kibibytes.
const PART_BYTES: usize = 192 * 1024;
/// Parts of one poll; what is beyond is left out, and what belongs to it is no whole list.
const MAX_PARTS: usize = 64;

/// The parts of a poll of `id` that began at `at`, at least one; and how many resources and lists were left
/// out.
///
/// A list is whole when it was read to its end. Resources that went while they were read are not found.
#[must_use]
pub fn parts(id: &str, subscription: &Subscription, at: EventTime) -> (Vec<Snapshot>, usize) {
    let mut all = Gathered { id, found: Vec::new(), whole: Vec::new() };
    all.subscription(subscription);
    let mut parts = Parts { id, at, parts: Vec::new(), room: 0, left_out: 0 };
    parts.begin();
    for found in all.found {
        let bytes = serde_json::to_vec(&found).map_or(0, |json| json.len());
        parts.add(bytes, |part| part.found.push(found));
    }
    if parts.left_out == 0 {
        for list in all.whole {
            let bytes = serde_json::to_vec(&list).map_or(0, |json| json.len());
            parts.add(bytes, |part| part.whole.push(list));
        }
    }
    (parts.parts, parts.left_out)
}

/// Parts that are being filled.
struct Parts<'a> {
    id: &'a str,
    at: EventTime,
    parts: Vec<Snapshot>,
    /// Bytes that still fit into the last part.
    room: usize,
    left_out: usize,
}

impl Parts<'_> {
    fn begin(&mut self) {
        self.room = PART_BYTES;
        self.parts.push(Snapshot {
            subscription: self.id.to_owned(),
            at: self.at,
            part: u32::try_from(self.parts.len()).unwrap_or(u32::MAX),
            found: Vec::new(),
            whole: Vec::new(),
        });
    }

    fn add(&mut self, bytes: usize, put: impl FnOnce(&mut Snapshot)) {
        if bytes > self.room && self.parts.len() < MAX_PARTS {
            self.begin();
        }
        // One that is larger than a part is one by itself.
        let fits = bytes <= self.room || self.room == PART_BYTES;
        match self.parts.last_mut().filter(|_| fits && self.left_out == 0) {
            Some(part) => {
                self.room = self.room.saturating_sub(bytes);
                put(part);
            }
            None => self.left_out += 1,
        }
    }
}

/// What was found so far, and the lists that are whole.
struct Gathered<'a> {
    id: &'a str,
    found: Vec<Found>,
    whole: Vec<List>,
}

impl Gathered<'_> {
    fn subscription(&mut self, subscription: &Subscription) {
        for kind in Kind::ALL {
            let target = match kind {
                Kind::Account => Target::Account,
                Kind::Search => Target::Search,
                Kind::Workspace => Target::MachineLearning,
            };
            let part = subscription.of(kind);
            self.list(part, List { target, of: self.scope() });
            for (id, resource) in part.value().into_iter().flatten() {
                if !resource.is_gone() {
                    self.resource(id, resource, target);
                }
            }
        }
        for below in subscription.below(&self.scope()) {
            self.below(below);
        }
    }

    fn scope(&self) -> String {
        format!("/subscriptions/{}", self.id)
    }

    fn list<T>(&mut self, part: &Part<T>, list: List) {
        if matches!(part, Part::Read(_)) {
            self.whole.push(list);
        }
    }

    fn resource(&mut self, id: &str, resource: &Resource, target: Target) {
        let to = Changed::Account(resource.state.clone());
        self.found.push(Found { resource: id.to_owned(), target, created: resource.created, to });
        for below in resource.below(id) {
            self.below(below);
        }
    }

    fn below(&mut self, Below { list, part, .. }: Below) {
        let target = list.target;
        self.list(&part, list);
        for (resource, to) in part.value().into_iter().flatten().cloned() {
            self.found.push(Found { resource, target, created: None, to });
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::inventory::{Cause, Unread};
    use super::super::sample::{SUBSCRIPTION, World};
    use super::*;
    use crate::event::control::{AccountState, ConnectionState, DeploymentState, RaiState};

    fn subscription(world: &World) -> Subscription {
        world.inventory.subscriptions[SUBSCRIPTION].clone()
    }

    fn unread() -> Unread {
        let said = String::new();
        Unread { cause: Cause::Forbidden, reason: said.clone(), said: said.clone(), mend: said }
    }

    #[test]
    fn what_was_not_read_is_in_no_list() {
        let world = World::new();
        let mut read = subscription(&world);
        read.roles = Part::Read(BTreeMap::new());
        read.assignments = Part::Unread(unread());
        let Part::Read(accounts) = &mut read.accounts else { panic!("{read:?}") };
        let account = accounts.values_mut().next().unwrap();
        account.deployments =
            Some(Part::Read(BTreeMap::from([("Chat".to_owned(), DeploymentState::default())])));
        account.settings = Part::Cut { value: BTreeMap::new(), limit: "page 2".to_owned() };
        let policies = BTreeMap::from([("Ours".to_owned(), RaiState::default())]);
        account.filters = Some(Part::Cut { value: policies, limit: "page 2".to_owned() });
        let list = |owner| List { target: Target::Connection, of: owner };
        let account_id = World::id(Kind::Account);
        let owners = [account_id.clone(), format!("{account_id}/projects/p")];
        let members = owners.map(|owner| (list(owner).member("C"), ConnectionState::default()));
        account.connections = Some(Part::Read(members.into()));
        let (parts, left_out) = parts(SUBSCRIPTION, &read, EventTime(5));
        assert_eq!((parts.len(), left_out), (1, 0));
        let part = &parts[0];
        assert_eq!(
            (part.subscription.as_str(), part.at, part.part),
            (SUBSCRIPTION, EventTime(5), 0)
        );
        let is_whole = |target| part.whole.iter().any(|list| list.target == target);
        assert!(is_whole(Target::Account) && is_whole(Target::Deployment));
        assert!(is_whole(Target::RoleAssignment) && !is_whole(Target::PolicyAssignment));
        assert!(is_whole(Target::Lock) && !is_whole(Target::RaiPolicy));
        let ids = |target| {
            let found = part.found.iter().filter(move |found| found.target == target);
            found.map(|found| found.resource.strip_prefix(&account_id).unwrap()).collect::<Vec<_>>()
        };
        assert_eq!(ids(Target::RaiPolicy), ["/raipolicies/ours"]);
        assert_eq!(ids(Target::Connection), ["/connections/c", "/projects/p/connections/c"]);
        let connections = part.found.iter().filter(|found| found.target == Target::Connection);
        for found in connections {
            assert!(part.whole.contains(&found.list(SUBSCRIPTION)), "{found:?}");
        }
        let settings: Vec<_> =
            part.whole.iter().filter(|list| list.target == Target::DiagnosticSetting).collect();
        assert!(settings.iter().all(|list| !list.of.contains("/accounts/")), "{settings:?}");
        let deployment = part.found.iter().find(|found| found.target == Target::Deployment);
        assert!(deployment.unwrap().resource.ends_with("/deployments/chat"));
        for found in &part.found {
            let of = found.list(SUBSCRIPTION).of;
            assert!(of.starts_with("/subscriptions/") && found.resource.starts_with(&of));
        }
    }

    #[test]
    fn what_went_while_it_was_read_is_not_found() {
        let mut read = subscription(&World::new());
        let Part::Read(accounts) = &mut read.accounts else { panic!("{read:?}") };
        let account = accounts.values_mut().next().unwrap();
        account.settings = Part::Unread(Unread { cause: Cause::Gone, ..unread() });
        let (parts, _) = parts(SUBSCRIPTION, &read, EventTime(5));
        assert!(parts[0].found.iter().all(|found| found.target != Target::Account));
        assert!(parts[0].whole.iter().any(|list| list.target == Target::Account));
    }

    #[test]
    fn a_large_estate_comes_in_parts_and_too_large_a_one_is_not_whole() {
        let mut read = subscription(&World::new());
        let mut grow = |count: usize| {
            let Part::Read(accounts) = &mut read.accounts else { panic!("{read:?}") };
            let (id, first) = accounts.pop_first().unwrap();
            for number in 0..count {
                let state = AccountState { kind: "k".repeat(2_000), ..first.state.clone() };
                let one = Resource { state, ..first.clone() };
                accounts.insert(format!("{id}-{number:05}"), one);
            }
            accounts.insert(id, first);
            parts(SUBSCRIPTION, &read, EventTime(5))
        };
        let (some, left_out) = grow(300);
        assert!(some.len() > 2 && left_out == 0, "{}", some.len());
        let numbers: Vec<u32> = some.iter().map(|part| part.part).collect();
        assert_eq!(numbers, (0..u32::try_from(some.len()).unwrap()).collect::<Vec<_>>());
        let first_list = some.iter().position(|part| !part.whole.is_empty()).unwrap();
        let last_found = some.iter().rposition(|part| !part.found.is_empty()).unwrap();
        assert!(first_list >= last_found && last_found > 2, "{first_list} {last_found}");
        let lists: usize = some.iter().map(|part| part.whole.len()).sum();
        assert!(lists > 300, "{lists}");
        assert!(some.iter().all(|part| part.body().unwrap().len() < 256 * 1024));
        let (many, left_out) = grow(8_000);
        assert!(many.len() == MAX_PARTS && left_out > 0, "{left_out}");
        assert!(many.iter().all(|part| part.whole.is_empty()));
    }
}
