//! A small inventory for the tests of the doors.

use std::collections::BTreeMap;

use super::inventory::{Cause, Inventory, Kind, Part, Quota, Resource, Subscription, Unread};
use super::{Look, Own, Verdict};
use crate::event::control::{AccountState, NetworkState};
use crate::time::{DAY_MS, EventTime};

pub(super) const SUBSCRIPTION: &str = "3f0c0000-0000-4000-8000-000000000001";
/// A namespace that takes events.
pub(super) const NAMESPACE: &str = "/subscriptions/3f0c0000-0000-4000-8000-000000000001/resourcegroups/rg-logs/providers/\
     microsoft.eventhub/namespaces/contoso-logs";

/// One subscription with one resource of each kind, of which little is known.
pub(super) struct World {
    pub(super) inventory: Inventory,
}

impl World {
    pub(super) fn new() -> Self {
        let resources = |kind| Part::Read(BTreeMap::from([(Self::id(kind), resource(kind))]));
        let quota = Quota { name: "OpenAI.Standard.gpt-4o".to_owned(), used: 50, limit: 450 };
        let subscription = Subscription {
            name: "Contoso".to_owned(),
            accounts: resources(Kind::Account),
            searches: resources(Kind::Search),
            workspaces: resources(Kind::Workspace),
            quotas: BTreeMap::from([("eastus2".to_owned(), Part::Read(vec![quota]))]),
            assignments: Part::Read(BTreeMap::new()),
            roles: Part::Read(BTreeMap::new()),
            budgets: Part::Read(BTreeMap::new()),
            locks: Part::Read(BTreeMap::new()),
        };
        let inventory = Inventory {
            version: Inventory::VERSION,
            at: EventTime(20_000 * DAY_MS),
            subscriptions: BTreeMap::from([(SUBSCRIPTION.to_owned(), subscription)]),
            hubs: BTreeMap::from([
                (format!("{NAMESPACE}/eventhubs/logs"), Part::Read(true)),
                ("/gone/eventhubs/logs".to_owned(), unread(Cause::Gone, "answered 404")),
            ]),
            definitions: BTreeMap::new(),
        };
        Self { inventory }
    }

    /// The id of the resource of one kind.
    pub(super) fn id(kind: Kind) -> String {
        let of = kind.resource_type().to_lowercase();
        format!("/subscriptions/{SUBSCRIPTION}/resourcegroups/rg-ai/providers/{of}/{}", name(kind))
    }

    pub(super) fn subscription(&mut self) -> &mut Subscription {
        self.inventory.subscriptions.get_mut(SUBSCRIPTION).unwrap()
    }

    pub(super) fn account(&mut self) -> &mut Resource {
        self.resource(Kind::Account)
    }

    pub(super) fn resource(&mut self, kind: Kind) -> &mut Resource {
        let subscription = self.subscription();
        let part = match kind {
            Kind::Account => &mut subscription.accounts,
            Kind::Search => &mut subscription.searches,
            Kind::Workspace => &mut subscription.workspaces,
        };
        let Part::Read(resources) = part else { panic!("{kind:?} could not be read") };
        resources.get_mut(&Self::id(kind)).unwrap()
    }

    /// What comes of a lacking role.
    pub(super) fn forbidden<T>(&self) -> Part<T> {
        unread(Cause::Forbidden, "answered 403")
    }

    /// What comes of a resource that was deleted.
    pub(super) fn gone<T>(&self) -> Part<T> {
        unread(Cause::Gone, "answered 404")
    }

    pub(super) fn look(&self, kind: Kind, judge: fn(&Look<'_>) -> Verdict) -> Verdict {
        self.look_with(kind, judge, &Own::default())
    }

    pub(super) fn look_with(
        &self,
        kind: Kind,
        judge: fn(&Look<'_>) -> Verdict,
        own: &Own,
    ) -> Verdict {
        let id = Self::id(kind);
        let subscription = &self.inventory.subscriptions[SUBSCRIPTION];
        let resource = &subscription.of(kind).value().unwrap()[&id];
        judge(&Look {
            id: &id,
            subscription_id: SUBSCRIPTION,
            resource,
            subscription,
            inventory: &self.inventory,
            own,
        })
    }
}

fn unread<T>(cause: Cause, reason: &str) -> Part<T> {
    Part::Unread(Unread {
        cause,
        reason: reason.to_owned(),
        said: String::new(),
        mend: String::new(),
    })
}

const fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::Account => "aif-contoso",
        Kind::Search => "srch-contoso",
        Kind::Workspace => "mlw-contoso",
    }
}

fn resource(kind: Kind) -> Resource {
    Resource {
        name: name(kind).to_owned(),
        kind,
        created: Some(EventTime(19_000 * DAY_MS)),
        state: AccountState {
            kind: if kind == Kind::Account { "AIServices" } else { "" }.to_owned(),
            sku: "S0".to_owned(),
            location: "eastus2".to_owned(),
            network: NetworkState { public_access: Some(false), ..NetworkState::default() },
            ..AccountState::default()
        },
        endpoints: Some(BTreeMap::new()),
        filters: (kind == Kind::Account).then(|| Part::Read(BTreeMap::new())),
        deployments: (kind == Kind::Account).then(|| Part::Read(BTreeMap::new())),
        connections: (kind == Kind::Account).then(|| Part::Read(BTreeMap::new())),
        settings: Part::Read(BTreeMap::new()),
    }
}
