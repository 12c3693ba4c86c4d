//! One operation that had an effect, or a refused listing of keys: what rules judge.

use serde::{Deserialize, Serialize};

use super::account_of;
use crate::decode::fingerprint;
use crate::event::control::{
    Basis, Change, Changed, Control, Credential, KeyRead, Outcome, Principal, PrincipalKind,
    Target, Verb,
};
use crate::event::signal::Alert;
use crate::time::{ArrivalTime, DAY_MS, EventTime, MINUTE_MS};

/// What was done to a resource.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Act {
    /// Azure resource id, lower case.
    pub resource: String,
    /// When, as far as the record can be believed.
    pub at: EventTime,
    /// When the hub took the record.
    pub told: ArrivalTime,
    /// What kind of thing it was done to.
    pub target: Target,
    /// What was done.
    pub verb: Verb,
    /// Whether it was done or refused.
    pub effect: Effect,
    /// Which log says so.
    pub log: Log,
    /// The operation in full, lower case.
    pub operation: String,
    /// Correlation id; empty when absent.
    pub correlation: String,
    /// Who.
    pub principal: Principal,
    /// What it changed, as far as the record says.
    pub change: Option<Box<Change>>,
    /// Of what polls of the inventory show: the last one before it was done and the first one after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub between: Option<(EventTime, EventTime)>,
}

/// Whether an operation had an effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Effect {
    /// It was asked for, or taken and goes on: no effect, but often the only record with a body.
    Asked,
    /// It was done.
    Done,
    /// It was refused or failed.
    Refused,
}

/// Which log told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Log {
    /// The activity log of a subscription.
    Activity,
    /// The account's own audit log, which says neither from where nor with which result.
    Audit,
    /// None: two polls of the inventory differ.
    Inventory,
    /// Defender for Cloud, whose alerts are judged by nobody but chains.
    Defender,
}

/// A record may be this much older than its arrival, or this much newer; else its arrival stands for it.
const OLDEST_MS: i64 = DAY_MS;
const NEWEST_MS: i64 = 5 * MINUTE_MS;

/// The time of a record, as far as it can be believed.
pub(super) fn believed(at: EventTime, told: ArrivalTime) -> EventTime {
    let span = told.0.saturating_sub(OLDEST_MS)..=told.0.saturating_add(NEWEST_MS);
    if span.contains(&at.0) { at } else { EventTime(told.0) }
}

impl Act {
    /// An operation of the activity log; `None` when no rule is about it, or the record says nothing new.
    #[must_use]
    pub fn of_control(control: &Control, told: ArrivalTime) -> Option<Self> {
        let effect = match control.outcome {
            Outcome::Succeeded => Effect::Done,
            Outcome::Failed if control.verb == Verb::ListKeys => Effect::Refused,
            Outcome::Started | Outcome::Accepted if control.change.is_some() => Effect::Asked,
            Outcome::Failed | Outcome::Started | Outcome::Accepted | Outcome::Unknown => {
                return None;
            }
        };
        let raises_rights = control.operation == ELEVATE;
        (raises_rights || is_heeded(control.target, control.verb)).then(|| Self {
            resource: control.resource.clone(),
            at: believed(control.at, told),
            told,
            target: control.target,
            verb: control.verb,
            effect,
            log: Log::Activity,
            operation: control.operation.clone(),
            correlation: control.correlation.clone(),
            principal: control.principal.clone(),
            change: control.change.clone(),
            between: None,
        })
    }

    /// A listing of keys in the audit log of an account.
    #[must_use]
    pub fn of_key_read(read: &KeyRead, told: ArrivalTime) -> Self {
        Self {
            resource: read.resource.clone(),
            at: believed(read.at, told),
            told,
            target: Target::Account,
            verb: Verb::ListKeys,
            effect: Effect::Done,
            log: Log::Audit,
            operation: "listkey".to_owned(),
            correlation: String::new(),
            principal: Principal { object: read.identity.clone(), ..Principal::default() },
            change: None,
            between: None,
        }
    }

    /// An alert of Defender about an AI account; `None` for others, and for one that says that it is over.
    #[must_use]
    pub fn of_alert(alert: &Alert, told: ArrivalTime) -> Option<Self> {
        let is_over =
            ["dismissed", "resolved"].iter().any(|word| alert.status.eq_ignore_ascii_case(word));
        if is_over || account_of(&alert.resource).is_none() {
            return None;
        }
        let below = match alert.deployment.as_str() {
            "" => String::new(),
            name => format!("/deployments/{name}"),
        };
        Some(Self {
            resource: format!("{}{below}", alert.resource),
            at: alert.at.map_or(EventTime(told.0), |at| believed(at, told)),
            told,
            target: Target::DefenderAlert,
            verb: Verb::Other,
            effect: Effect::Done,
            log: Log::Defender,
            operation: format!("{} ({})", alert.name, alert.kind),
            correlation: alert.id.clone(),
            principal: Principal::default(),
            change: None,
            between: None,
        })
    }

    /// Whether it is an alert of Defender.
    #[must_use]
    pub fn is_alert(&self) -> bool {
        self.log == Log::Defender
    }

    /// Equal for copies of a record and for several records of one operation that say the same; without
    /// a correlation id the time tells operations apart.
    #[must_use]
    pub fn identity(&self) -> String {
        self.identity_as(self.effect)
    }

    /// The identity of the record that tells another effect of the same operation.
    #[must_use]
    pub fn identity_as(&self, effect: Effect) -> String {
        let time = if self.correlation.is_empty() { self.at.0.to_string() } else { String::new() };
        let effect = match effect {
            Effect::Asked => "asked",
            Effect::Done => "done",
            Effect::Refused => "refused",
        };
        let parts = [&*self.resource, &*self.operation, &*self.correlation, &*time, effect];
        format!("{:032x}", fingerprint(&parts))
    }

    /// True for an operation of this kind that was done.
    #[must_use]
    pub fn did(&self, target: Target, verb: Verb) -> bool {
        self.effect == Effect::Done && self.target == target && self.verb == verb
    }

    /// What it sets, as far as the record says.
    #[must_use]
    pub fn sets(&self) -> Option<&Changed> {
        self.change.as_deref().map(|change| &change.to)
    }

    /// Whether what it sets was read from the request alone.
    #[must_use]
    pub fn is_only_asked(&self) -> bool {
        self.change.as_deref().is_some_and(|change| change.basis == Basis::Requested)
    }

    /// Who did it, in words.
    #[must_use]
    pub fn who(&self) -> String {
        match self.between {
            None => self.whom(),
            Some((from, to)) => format!(
                "{}; two readings of the inventory differ, of {from} and of {to}",
                self.whom()
            ),
        }
    }

    fn whom(&self) -> String {
        if self.between.is_none() {
            return who(&self.principal);
        }
        if self.principal == Principal::default() {
            return "somebody the activity log has not told of, nor from where".to_owned();
        }
        let who = who(&self.principal);
        format!("{who}, whose write the activity log told without what it set")
    }

    /// When and by whom, in words.
    #[must_use]
    pub fn when_and_who(&self) -> String {
        match self.between {
            // The time of the poll would read as if it were that of the change.
            Some((from, to)) if self.at == to => format!(
                "between {from} and {to}, as two readings of the inventory show, by {}",
                self.whom()
            ),
            Some(_) | None => format!("{} by {}", self.at, self.who()),
        }
    }
}

/// Gives a global administrator all rights in Azure.
pub const ELEVATE: &str = "microsoft.authorization/elevateaccess/action";

/// Whether a rule is about such operations.
const fn is_heeded(target: Target, verb: Verb) -> bool {
    match target {
        Target::Account => {
            matches!(verb, Verb::Write | Verb::Delete | Verb::ListKeys | Verb::RegenerateKey)
        }
        Target::EventHub => {
            matches!(verb, Verb::Write | Verb::Delete | Verb::ListKeys | Verb::RegenerateKey)
        }
        Target::PrivateEndpoint => matches!(verb, Verb::Write | Verb::Delete | Verb::Approve),
        Target::Deployment
        | Target::DeletedAccount
        | Target::RaiPolicy
        | Target::RaiBlocklist
        | Target::DefenderForAi
        | Target::DefenderPlan
        | Target::AlertSuppression
        | Target::Connection
        | Target::CapabilityHost
        | Target::DiagnosticSetting
        | Target::RoleAssignment
        | Target::PolicyAssignment
        | Target::PolicyExemption
        | Target::Lock
        | Target::Quota => matches!(verb, Verb::Write | Verb::Delete),
        Target::Project
        | Target::CommitmentPlan
        | Target::ManagedNetwork
        | Target::RoleDefinition
        | Target::PolicyDefinition
        | Target::PolicyEvaluation
        | Target::DefenderAlert
        | Target::Storage
        | Target::ContainerApp
        | Target::KeyVault
        | Target::Gateway
        | Target::Search
        | Target::MachineLearning
        | Target::Group
        | Target::Other => false,
    }
}

/// Stands for the name of whoever a record does not name.
pub const UNNAMED: &str = "somebody the record does not name";

/// A name for who acted: of a user the sign-in name, else ids.
#[must_use]
pub fn name_of(principal: &Principal) -> String {
    let ids = [&principal.user, &principal.object, &principal.application];
    match ids.into_iter().find(|id| !id.is_empty()) {
        Some(id) => id.clone(),
        None => UNNAMED.to_owned(),
    }
}

/// Who acted with everything the record says of it.
fn who(principal: &Principal) -> String {
    let mut facts = Vec::new();
    match principal.kind {
        PrincipalKind::User => facts.push("a user".to_owned()),
        PrincipalKind::Application => facts.push("an application".to_owned()),
        PrincipalKind::Unknown => {}
    }
    let mut say = |word: &str, text: &str| {
        if !text.is_empty() {
            facts.push(format!("{word} {text}"));
        }
    };
    if !principal.user.is_empty() {
        say("object", &principal.object);
    }
    say("with application", &principal.application);
    say(
        "credential",
        match principal.credential {
            Credential::Unknown => "",
            Credential::Public => "of a public client",
            Credential::Secret => "a secret",
            Credential::Certificate => "a certificate or managed identity",
        },
    );
    say("signed in by", &principal.methods);
    say("role", &principal.role);
    say("from", &principal.network);
    if principal.network.is_empty() {
        facts.push("from where is not said".to_owned());
    }
    format!("{} ({})", name_of(principal), facts.join(", "))
}
