//! What was done to resources, by whom, and what it changed as far as the record says.
//!
//! In every change `None` means *not said*: a request names only what it sets, bodies are cut or
//! missing, and what is absent is not false.

use serde::{Deserialize, Serialize};

use crate::time::EventTime;

/// One record of the activity log. An operation writes several with one correlation id: a start,
/// perhaps an acceptance, and an end; only the end says whether it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Control {
    /// Azure resource id of what was acted on, lower case.
    pub resource: String,
    /// When.
    pub at: EventTime,
    /// Kind of record, such as `Administrative` or `Policy`.
    pub category: &'static str,
    /// What kind of thing it was done to.
    pub target: Target,
    /// What was done.
    pub verb: Verb,
    /// The operation in full, lower case.
    pub operation: String,
    /// How it went.
    pub outcome: Outcome,
    /// Status in words, such as `Created` or `Forbidden`; empty when absent.
    pub status: String,
    /// Correlation id, lower case; empty when absent.
    pub correlation: String,
    /// Who.
    pub principal: Principal,
    /// What it changed; `None` when the record has no body or none of interest.
    pub change: Option<Box<Change>>,
}

/// Reading of an account's keys, as the account's own audit log tells it: no address, no result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRead {
    /// Azure resource id, lower case.
    pub resource: String,
    /// When.
    pub at: EventTime,
    /// Entra object id of the reader; empty when absent.
    pub identity: String,
}

/// What kind of thing an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Target {
    /// An AI account.
    Account,
    /// A deleted AI account that could still be restored.
    DeletedAccount,
    /// A deployment of a model.
    Deployment,
    /// A Foundry project.
    Project,
    /// A private endpoint connection of an AI account, or its approval.
    PrivateEndpoint,
    /// A content filter policy.
    RaiPolicy,
    /// A block list or an entry of one.
    RaiBlocklist,
    /// Defender's plan for AI on one account.
    DefenderForAi,
    /// A connection of an account or project to something else.
    Connection,
    /// A capability host: where agents keep their data.
    CapabilityHost,
    /// A commitment plan of an AI account.
    CommitmentPlan,
    /// An outbound rule of an AI account's managed network.
    ManagedNetwork,
    /// A diagnostic setting: our own eyes.
    DiagnosticSetting,
    /// A role assignment.
    RoleAssignment,
    /// A definition of a role.
    RoleDefinition,
    /// An assignment of a policy.
    PolicyAssignment,
    /// An exemption from a policy.
    PolicyExemption,
    /// A definition of a policy or of a set of them.
    PolicyDefinition,
    /// A resource judged by a policy.
    PolicyEvaluation,
    /// A lock.
    Lock,
    /// A plan of Defender for Cloud.
    DefenderPlan,
    /// A rule that hides alerts of Defender.
    AlertSuppression,
    /// An alert of Defender for Cloud.
    DefenderAlert,
    /// An Event Hubs namespace, hub, consumer group, rule or network rule.
    EventHub,
    /// A storage account.
    Storage,
    /// A container app, its environment or its jobs.
    ContainerApp,
    /// A key vault or a key in one.
    KeyVault,
    /// A quota.
    Quota,
    /// An API gateway or part of one.
    Gateway,
    /// A search service.
    Search,
    /// A machine learning workspace, endpoint or deployment.
    MachineLearning,
    /// A resource group or subscription.
    Group,
    /// Anything else.
    Other,
}

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verb {
    /// Created or changed.
    Write,
    /// Deleted.
    Delete,
    /// Keys or other secrets were listed.
    ListKeys,
    /// A key was made anew.
    RegenerateKey,
    /// A private endpoint connection was approved or refused.
    Approve,
    /// Started.
    Start,
    /// Stopped.
    Stop,
    /// A policy only noted what it found.
    Audit,
    /// A policy refused.
    Deny,
    /// A policy changed or added something.
    Enforce,
    /// Anything else.
    Other,
}

/// How an operation went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Outcome {
    /// It was asked for: intent, not effect.
    Started,
    /// It was taken and goes on.
    Accepted,
    /// It was done.
    Succeeded,
    /// It was refused or failed.
    Failed,
    /// Not said, or a word not known.
    Unknown,
}

/// Who acted. Nothing of the token itself is kept.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Principal {
    /// What kind of identity.
    pub kind: PrincipalKind,
    /// Entra object id, lower case with dashes; empty when absent.
    pub object: String,
    /// Application the token was given to, lower case; empty when absent.
    pub application: String,
    /// Sign-in name of a user, for the alert to say who; empty for everything else.
    pub user: String,
    /// Entra tenant, lower case; empty when absent.
    pub tenant: String,
    /// Caller's network; empty when absent.
    pub network: String,
    /// How the application proved itself.
    pub credential: Credential,
    /// How the user signed in, such as `pwd,mfa`; empty when absent.
    pub methods: String,
    /// Role that allowed it, such as `Owner`; empty when absent.
    pub role: String,
}

/// Kinds of identities.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum PrincipalKind {
    /// Nothing in the record tells; the platform's own acts look so too.
    #[default]
    Unknown,
    /// A person.
    User,
    /// An application or a managed identity.
    Application,
}

/// How an application proved itself.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize,
)]
pub enum Credential {
    /// Not said.
    #[default]
    Unknown,
    /// Not at all: a tool that everybody has, such as the command line client.
    Public,
    /// With a secret.
    Secret,
    /// With a certificate or as a managed identity.
    Certificate,
}

/// What an operation changes, read from the body of its request or, better, of its response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// Which body it is from.
    pub basis: Basis,
    /// What the body says.
    pub to: Changed,
}

/// Where a change was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Basis {
    /// The request: what was asked for, and only what it names.
    Requested,
    /// The response: what came of it.
    Resulted,
    /// The record itself.
    Stated,
}

/// The new state of things, by what was changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Changed {
    /// An AI account.
    Account(AccountState),
    /// A deployment.
    Deployment(DeploymentState),
    /// A private endpoint connection.
    PrivateEndpoint(EndpointState),
    /// A content filter policy.
    RaiPolicy(RaiState),
    /// Defender's plan for AI, or a plan of Defender for Cloud.
    Defender(DefenderState),
    /// A connection of an account or project.
    Connection(ConnectionState),
    /// A diagnostic setting.
    Diagnostic(DiagnosticState),
    /// A role assignment.
    Role(RoleState),
    /// A policy assignment.
    Assignment(AssignmentState),
    /// A policy exemption.
    Exemption(ExemptionState),
    /// A lock.
    Lock(LockState),
    /// What policies found.
    Policies(Vec<PolicyVerdict>),
    /// Rules of a network: namespaces of event hubs, storage accounts, key vaults.
    Network(NetworkState),
}

/// Properties of an AI account that decide who can use it and what it tells.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AccountState {
    /// Kind, such as `AIServices`; empty when absent, as are the next two.
    pub kind: String,
    /// Pricing tier, such as `S0`.
    pub sku: String,
    /// Region, lower case.
    pub location: String,
    /// Who can reach it.
    pub network: NetworkState,
    /// Whether keys are refused.
    pub local_auth_disabled: Option<bool>,
    /// Whether outbound calls are limited to the allowed names.
    pub outbound_restricted: Option<bool>,
    /// Number of allowed names and a hash of them.
    pub allowed_names: Option<(u32, u64)>,
    /// Whether data is encrypted with the customer's own key.
    pub customer_key: Option<bool>,
    /// Whether it has a network injected for agents.
    pub network_injected: Option<bool>,
    /// Whether the customer's own storage is used.
    pub user_storage: Option<bool>,
    /// Whether abuse monitoring writes to the customer's storage.
    pub abuse_monitor: Option<bool>,
    /// Whether throttling is dynamic.
    pub dynamic_throttling: Option<bool>,
    /// Private endpoint connections it lists.
    pub private_endpoints: Option<u32>,
}

/// Who can reach a resource over the network.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct NetworkState {
    /// Whether it can be reached from public networks at all.
    pub public_access: Option<bool>,
    /// Whether addresses without a rule are let in.
    pub open_by_default: Option<bool>,
    /// Rules for addresses.
    pub addresses: Option<AddressRules>,
    /// Number of rules for virtual networks.
    pub virtual_networks: Option<u32>,
    /// Who passes in any case, such as `AzureServices`; empty when absent.
    pub bypass: String,
}

/// Address rules, summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AddressRules {
    /// How many.
    pub count: u32,
    /// Shortest IPv4 prefix among them: 0 lets everybody in; `None` without IPv4 rules.
    pub widest: Option<u8>,
    /// Shortest IPv6 prefix among them; `None` without IPv6 rules.
    pub widest_v6: Option<u8>,
    /// Hash of the rules, to see that they changed.
    pub hash: u64,
}

/// A deployment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DeploymentState {
    /// Kind of capacity, such as `GlobalStandard`; empty when absent, as are all texts here.
    pub sku: String,
    /// Capacity: thousands of tokens per minute, or provisioned units.
    pub capacity: Option<u64>,
    /// Publisher's format, such as `OpenAI`.
    pub format: String,
    /// Model, lower case.
    pub model: String,
    /// Version, lower case.
    pub version: String,
    /// Content filter policy.
    pub rai_policy: String,
    /// When the version changes by itself.
    pub upgrade: String,
}

/// A private endpoint connection.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EndpointState {
    /// `Approved`, `Pending`, `Rejected` or `Disconnected`; empty when absent.
    pub status: String,
    /// Id of the private endpoint, lower case; its subscription may be foreign. Empty when absent.
    pub endpoint: String,
}

/// A content filter policy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RaiState {
    /// `Blocking`, `Default`, or `Asynchronous_filter`, which API versions before 2025-06 call `Deferred`;
    /// empty when absent.
    pub mode: String,
    /// Policy it begins from; empty when absent.
    pub base: String,
    /// Whether Microsoft keeps it, and not the customer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_microsoft: Option<bool>,
    /// Filters, at most [`RaiState::MAX_FILTERS`].
    pub filters: Vec<RaiFilter>,
    /// Block lists it names.
    pub blocklists: Option<u32>,
}

impl RaiState {
    /// Filters kept (eight categories for prompts and answers are known).
    pub const MAX_FILTERS: usize = 32;

    /// Whether answers leave before they are judged.
    #[must_use]
    pub fn is_asynchronous(&self) -> bool {
        let mode = self.mode.to_ascii_lowercase();
        mode.starts_with("async") || mode == "deferred"
    }

    /// What lets much pass, in words; what is not said lets nothing pass.
    #[must_use]
    pub fn lets_pass(&self) -> Vec<String> {
        let mode = || format!("mode {}: answers leave before they are judged", self.mode);
        let mut facts: Vec<String> = self.is_asynchronous().then(mode).into_iter().collect();
        for filter in &self.filters {
            if filter.enabled == Some(false) {
                facts.push(format!("{} is off", filter.words()));
            } else if filter.blocking == Some(false) {
                facts.push(format!("{} does not block", filter.words()));
            }
        }
        facts
    }
}

/// One filter of a content filter policy.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RaiFilter {
    /// Category, such as `Hate`.
    pub name: String,
    /// `Prompt` or `Completion`; empty when absent.
    pub source: String,
    /// Whether it looks.
    pub enabled: Option<bool>,
    /// Whether it refuses.
    pub blocking: Option<bool>,
    /// Severity from which it acts: `Low` is strict, `High` lax; empty when absent.
    pub threshold: String,
}

impl RaiFilter {
    /// Category and source, such as `Hate (Prompt)`.
    #[must_use]
    pub fn words(&self) -> String {
        let Self { name, source, .. } = self;
        if source.is_empty() { name.clone() } else { format!("{name} ({source})") }
    }
}

/// A plan of Defender.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DefenderState {
    /// Whether it is on.
    pub enabled: Option<bool>,
    /// Plan or setting, lower case; empty when absent.
    pub plan: String,
}

/// A connection to something outside.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ConnectionState {
    /// Category, such as `AzureOpenAI` or `RemoteTool`; empty when absent.
    pub category: String,
    /// Host of the target, lower case; empty when absent.
    pub host: String,
    /// How it signs in, such as `ApiKey` or `AAD`; empty when absent.
    pub auth: String,
    /// Whether every project shares it.
    pub shared: Option<bool>,
}

impl ConnectionState {
    /// Where hosts of Azure end.
    const AZURE: [&str; 8] = [
        ".azure.com",
        ".azure.net",
        ".windows.net",
        ".microsoft.com",
        ".azure-api.net",
        ".azurewebsites.net",
        ".azurecontainerapps.io",
        ".azureml.ms",
    ];

    /// Whether it is known to lead to a host that is none of Azure's.
    #[must_use]
    pub fn leads_outside(&self) -> bool {
        !self.host.is_empty() && !Self::AZURE.iter().any(|end| self.host.ends_with(end))
    }
}

/// A diagnostic setting.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct DiagnosticState {
    /// Categories and category groups it sends, sorted, at most [`DiagnosticState::MAX_CATEGORIES`].
    pub sends: Vec<String>,
    /// Categories and category groups it names but does not send, sorted.
    pub keeps_back: Vec<String>,
    /// Event hub; empty when absent.
    pub event_hub: String,
    /// Id of the Event Hubs namespace, lower case; empty when absent.
    pub namespace: String,
    /// Whether it also goes to a workspace or to storage.
    pub other_destination: bool,
}

impl DiagnosticState {
    /// Categories kept of one setting.
    pub const MAX_CATEGORIES: usize = 32;
}

/// A role assignment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RoleState {
    /// Entra object id that got the role, lower case; empty when absent, as are all texts here.
    pub principal: String,
    /// `User`, `Group` or `ServicePrincipal`.
    pub principal_kind: String,
    /// Id of the role definition, lower case: the last part of its resource id.
    pub role: String,
    /// Scope, lower case.
    pub scope: String,
}

/// A policy assignment.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct AssignmentState {
    /// `Default` or `DoNotEnforce`; empty when absent.
    pub enforcement: String,
    /// Policy or set of policies, lower case; empty when absent.
    pub definition: String,
    /// Number of scopes left out.
    pub excluded: Option<u32>,
}

/// A policy exemption.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExemptionState {
    /// Assignment it lifts, lower case; empty when absent.
    pub assignment: String,
    /// `Waiver` or `Mitigated`; empty when absent.
    pub category: String,
    /// When it ends; `None` when never, or when not said.
    pub until: Option<EventTime>,
}

/// A lock.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LockState {
    /// `CanNotDelete` or `ReadOnly`; empty when absent.
    pub level: String,
}

/// What one policy found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PolicyVerdict {
    /// Effect, such as `Deny` or `Audit`.
    pub effect: String,
    /// Assignment, lower case.
    pub assignment: String,
    /// Definition, lower case.
    pub definition: String,
}

impl PolicyVerdict {
    /// Verdicts kept of one record.
    pub const MAX: usize = 16;
}
