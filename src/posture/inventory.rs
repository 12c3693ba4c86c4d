//! What there is, as it was read: pure data that can be kept, compared and judged later.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::event::control::{
    AccountState, AssignmentState, Changed, ConnectionState, DeploymentState, DiagnosticState,
    EndpointState, LockState, RaiState, RoleState, Target,
};
use crate::event::inventory::List;
use crate::time::EventTime;

/// What was read of some subscriptions at one time. It holds no keys and no secrets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inventory {
    /// Form of this document: [`Inventory::VERSION`].
    pub version: u32,
    /// When it was read.
    pub at: EventTime,
    /// Subscriptions by id in lower case.
    pub subscriptions: BTreeMap<String, Subscription>,
    /// Whether the event hubs that diagnostic settings send to are there and take events, by
    /// [`destination`].
    pub hubs: BTreeMap<String, Part<bool>>,
    /// What the assigned policies are about, by id of the definition in lower case.
    pub definitions: BTreeMap<String, Part<Definition>>,
}

impl Inventory {
    /// The form this program writes and reads.
    pub const VERSION: u32 = 3;

    /// Every resource that is still there, by id, with its subscription.
    pub fn resources(&self) -> impl Iterator<Item = (&str, &Subscription, &str, &Resource)> {
        self.subscriptions.iter().flat_map(|(name, subscription)| {
            let lists = Kind::ALL.into_iter().filter_map(|kind| subscription.of(kind).value());
            let all = lists.flatten().filter(|(_, resource)| !resource.is_gone());
            all.map(move |(id, resource)| (name.as_str(), subscription, id.as_str(), resource))
        })
    }

    /// Resources that were deleted while they were read.
    #[must_use]
    pub fn gone(&self) -> usize {
        let lists = self.subscriptions.values().flat_map(|subscription| {
            Kind::ALL.into_iter().filter_map(|kind| subscription.of(kind).value())
        });
        lists.flatten().filter(|(_, resource)| resource.is_gone()).count()
    }
}

/// The resource id, lower case, of the event hub that a setting sends to; of its namespace where
/// the setting leaves the hub to Azure; empty where it sends to none.
#[must_use]
pub fn destination(setting: &DiagnosticState) -> String {
    match (setting.namespace.as_str(), setting.event_hub.to_lowercase()) {
        ("", _) => String::new(),
        (namespace, hub) if hub.is_empty() => namespace.to_owned(),
        (namespace, hub) => format!("{namespace}/eventhubs/{hub}"),
    }
}

/// A part of what was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part<T> {
    /// All of it.
    Read(T),
    /// The beginning of it.
    Cut {
        /// What was read.
        value: T,
        /// Why the rest was not.
        limit: String,
    },
    /// Nothing.
    Unread(Unread),
}

impl<T> Part<T> {
    /// What was read, whole or not.
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Read(value) | Self::Cut { value, .. } => Some(value),
            Self::Unread(_) => None,
        }
    }

    /// The same of something else.
    pub fn map<'a, U>(&'a self, make: impl FnOnce(&'a T) -> U) -> Part<U> {
        match self {
            Self::Read(value) => Part::Read(make(value)),
            Self::Cut { value, limit } => Part::Cut { value: make(value), limit: limit.clone() },
            Self::Unread(unread) => Part::Unread(unread.clone()),
        }
    }

    /// Why it is not whole; `None` when it is.
    pub fn lack(&self) -> Option<String> {
        match self {
            Self::Read(_) => None,
            Self::Cut { limit, .. } => Some(limit.clone()),
            Self::Unread(unread) => Some(unread.reason.clone()),
        }
    }
}

/// Why a part could not be read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unread {
    /// What kind of obstacle.
    pub cause: Cause,
    /// In a few words.
    pub reason: String,
    /// Azure's own words, where there are more.
    pub said: String,
    /// The command that would mend it, such as the assignment of a role; empty when none is known.
    pub mend: String,
}

/// Kinds of obstacles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// A role is lacking.
    Forbidden,
    /// It is not there, or no longer.
    Gone,
    /// Anything else.
    Failed,
}

/// One subscription.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subscription {
    /// What people call it; empty when not read.
    pub name: String,
    /// AI accounts of every kind, by resource id in lower case, as the next two.
    pub accounts: Part<BTreeMap<String, Resource>>,
    /// Search services.
    pub searches: Part<BTreeMap<String, Resource>>,
    /// Machine learning workspaces.
    pub workspaces: Part<BTreeMap<String, Resource>>,
    /// Quotas of models by region in lower case; only of regions with accounts.
    pub quotas: BTreeMap<String, Part<Vec<Quota>>>,
    /// Assignments of policies at the subscription, above it and below it, by id.
    pub assignments: Part<BTreeMap<String, Assignment>>,
    /// Assignments of roles at the subscription and above it, by id.
    pub roles: Part<BTreeMap<String, RoleState>>,
    /// Budgets of the subscription, by id.
    pub budgets: Part<BTreeMap<String, Budget>>,
    /// Locks anywhere in the subscription, by id.
    pub locks: Part<BTreeMap<String, LockState>>,
}

/// A list of what is compared from poll to poll, with how each of its members is set, by id.
#[derive(Debug)]
pub struct Below {
    /// What it is of.
    pub list: List,
    /// What is in it, in words.
    pub words: &'static str,
    /// Its members.
    pub part: Part<Vec<(String, Changed)>>,
}

impl Below {
    fn of<T: Clone>(
        of: &str,
        (target, words): (Target, &'static str),
        part: &Part<BTreeMap<String, T>>,
        set: impl Fn(T) -> Changed,
    ) -> Self {
        let list = List { target, of: of.to_owned() };
        let part = part.map(|members| {
            let member = |(name, state): (&String, &T)| (list.member(name), set(state.clone()));
            members.iter().map(member).collect()
        });
        Self { list, words, part }
    }
}

impl Subscription {
    /// Parts of it, those of its resources too, that were not read to their ends.
    #[must_use]
    pub fn lacks(&self) -> usize {
        let of = |lack: Option<String>| usize::from(lack.is_some());
        let resources = Kind::ALL.into_iter().flat_map(|kind| self.of(kind).value());
        let below = resources.flatten().flat_map(|(id, resource)| resource.below(id));
        let below = below.chain(self.below("")).map(|below| of(below.part.lack()));
        let lists = Kind::ALL.into_iter().map(|kind| of(self.of(kind).lack()));
        lists.chain(below).sum()
    }

    /// What there is in the subscription with this id beside its resources, as `/subscriptions/ID`.
    #[must_use]
    pub fn below(&self, id: &str) -> [Below; 3] {
        let assigned = |held: Assignment| Changed::Assignment(held.state);
        let policies = (Target::PolicyAssignment, "policy assignments");
        [
            Below::of(id, policies, &self.assignments, assigned),
            Below::of(id, (Target::RoleAssignment, "role assignments"), &self.roles, Changed::Role),
            Below::of(id, (Target::Lock, "locks"), &self.locks, Changed::Lock),
        ]
    }

    /// The resources of one kind.
    #[must_use]
    pub const fn of(&self, kind: Kind) -> &Part<BTreeMap<String, Resource>> {
        match kind {
            Kind::Account => &self.accounts,
            Kind::Search => &self.searches,
            Kind::Workspace => &self.workspaces,
        }
    }
}

/// What kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An AI account (`Microsoft.CognitiveServices/accounts`), Foundry's among them.
    Account,
    /// A search service (`Microsoft.Search/searchServices`).
    Search,
    /// A machine learning workspace (`Microsoft.MachineLearningServices/workspaces`).
    Workspace,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Account, Self::Search, Self::Workspace];

    /// In words, for many.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Account => "AI accounts",
            Self::Search => "AI Search services",
            Self::Workspace => "Machine Learning workspaces",
        }
    }

    /// Azure's name of the type.
    #[must_use]
    pub const fn resource_type(self) -> &'static str {
        match self {
            Self::Account => "Microsoft.CognitiveServices/accounts",
            Self::Search => "Microsoft.Search/searchServices",
            Self::Workspace => "Microsoft.MachineLearningServices/workspaces",
        }
    }
}

/// One account, service or workspace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Name, as it is written.
    pub name: String,
    /// What kind.
    pub kind: Kind,
    /// When it was made, if Azure says so.
    pub created: Option<EventTime>,
    /// Its properties; those that Azure does not name are `None`.
    pub state: AccountState,
    /// Private endpoint connections by name; `None` when Azure says nothing of them.
    pub endpoints: Option<BTreeMap<String, EndpointState>>,
    /// Content filter policies by name, Microsoft's among them; of accounts that [serve
    /// models](Self::serves_models) only.
    pub filters: Option<Part<BTreeMap<String, RaiState>>>,
    /// Deployments by name; of AI accounts only.
    pub deployments: Option<Part<BTreeMap<String, DeploymentState>>>,
    /// Connections of the account and of its projects, by id; of accounts that [have
    /// projects](Self::has_projects) only.
    pub connections: Option<Part<BTreeMap<String, ConnectionState>>>,
    /// Diagnostic settings by name.
    pub settings: Part<BTreeMap<String, DiagnosticState>>,
}

impl Resource {
    /// What belongs to the resource with this id.
    #[must_use]
    pub fn below(&self, id: &str) -> Vec<Below> {
        let endpoints = self.endpoints.clone().map(Part::Read);
        let endpoint = (Target::PrivateEndpoint, "private endpoint connections");
        let settings = (Target::DiagnosticSetting, "diagnostic settings");
        let filters = (Target::RaiPolicy, "content filters");
        let deployments = (Target::Deployment, "deployments");
        let connections = (Target::Connection, "connections");
        // A filter comes before the deployments that are moved to it.
        let all = [
            endpoints.map(|part| Below::of(id, endpoint, &part, Changed::PrivateEndpoint)),
            Some(Below::of(id, settings, &self.settings, Changed::Diagnostic)),
            self.filters.as_ref().map(|part| Below::of(id, filters, part, Changed::RaiPolicy)),
            self.deployments
                .as_ref()
                .map(|part| Below::of(id, deployments, part, Changed::Deployment)),
            self.connections
                .as_ref()
                .map(|part| Below::of(id, connections, part, Changed::Connection)),
        ];
        all.into_iter().flatten().collect()
    }

    /// Whether it is an account of a kind that serves models, or whose kind is not said.
    #[must_use]
    pub fn serves_models(&self) -> bool {
        self.is_account_of(&["AIServices", "OpenAI"])
    }

    /// Whether it is an account of the kind that has projects, or whose kind is not said.
    #[must_use]
    pub fn has_projects(&self) -> bool {
        self.is_account_of(&["AIServices"])
    }

    fn is_account_of(&self, flavours: &[&str]) -> bool {
        let flavour = self.state.kind.as_str();
        let is_one = || flavours.iter().any(|known| known.eq_ignore_ascii_case(flavour));
        self.kind == Kind::Account && (flavour.is_empty() || is_one())
    }

    /// True when it was deleted after it had been listed.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        let deployments = self.deployments.as_ref().is_some_and(is_gone);
        deployments || is_gone(&self.settings)
    }
}

/// The scope that something below it, such as a lock, holds or is assigned to; lower case.
#[must_use]
pub fn scope_of(id: &str) -> &str {
    id.split("/providers/microsoft.authorization/").next().unwrap_or_default()
}

fn is_gone<T>(part: &Part<T>) -> bool {
    matches!(part, Part::Unread(Unread { cause: Cause::Gone, .. }))
}

/// How much of a model may be deployed, and how much is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quota {
    /// Azure's name, such as `OpenAI.GlobalStandard.gpt-4o`.
    pub name: String,
    /// Deployed: thousands of tokens per minute, or provisioned units.
    pub used: u64,
    /// What may be, in the same unit.
    pub limit: u64,
}

/// An assignment of a policy or of a set of policies.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assignment {
    /// What people call it.
    pub name: String,
    /// Scope, lower case.
    pub scope: String,
    /// Scopes left out, lower case, at most [`Assignment::MAX_EXCLUDED`].
    pub excluded: Vec<String>,
    /// Effect the assignment chooses, such as `Deny`; empty when it leaves that to the definition.
    pub effect: String,
    /// What the activity log says of one, too.
    pub state: AssignmentState,
}

impl Assignment {
    /// Scopes left out that are kept (Azure takes 400).
    pub const MAX_EXCLUDED: usize = 400;
}

/// What a definition of a policy is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definition {
    /// Effect where the assignment does not choose one; empty when there is none.
    pub effect: String,
    /// What it judges resources by.
    pub about: Vec<About>,
}

/// What a policy judges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum About {
    /// The region of resources of any type.
    Region,
    /// The type of any resource.
    Type,
    /// AI accounts or what is in them.
    Account,
    /// Search services.
    Search,
    /// Machine learning workspaces or what is in them.
    Workspace,
}

/// A budget.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Budget {
    /// Name.
    pub name: String,
    /// Amount in whole units of the currency, rounded; `None` when not said.
    pub amount: Option<u32>,
    /// Spent so far in this period, in the same unit.
    pub spent: Option<u32>,
    /// Currency; empty when not said.
    pub currency: String,
    /// Whether it counts a part of the subscription only.
    pub filtered: bool,
    /// Notifications that are switched on; `None` when it says nothing of them.
    pub notifications: Option<u32>,
}
