//! What is asked of Azure Resource Manager: one function a part, with the version of its API and the
//! role that it takes.

use crate::decode::field::Fields;
use crate::decode::text;
use crate::posture::inventory::{Cause, Kind, Part, Subscription, Unread};

/// The role that reads nearly everything.
pub(super) const READER: &str = "Reader";

/// A GET below the service's address.
#[derive(Debug, Clone)]
pub(super) struct Question {
    pub(super) path: String,
    pub(super) query: Vec<(&'static str, &'static str)>,
    /// The smallest common role that may ask it.
    pub(super) role: &'static str,
    /// Where the role must be had.
    pub(super) scope: String,
    /// Whether elements that cannot be read are no loss.
    pub(super) skips: bool,
}

impl Question {
    /// What it takes, for people.
    pub(super) fn needs(&self) -> String {
        format!("the role {} on {}", self.role, self.scope)
    }
}

fn ask(path: String, version: &'static str, scope: &str) -> Question {
    let (query, scope) = (vec![("api-version", version)], scope.to_owned());
    Question { path, query, role: READER, scope, skips: false }
}

fn of_subscription(id: &str, rest: &str, version: &'static str) -> Question {
    let scope = format!("/subscriptions/{id}");
    ask(format!("{scope}{rest}"), version, &scope)
}

pub(super) fn subscription(id: &str) -> Question {
    of_subscription(id, "", "2022-12-01")
}

/// What a subscription is called; empty when it does not say.
pub(super) fn display_name(body: &str) -> String {
    let name = Fields::read(body).and_then(|fields| {
        fields.first_text(&["displayName"]).map(|name| text::clean(&name, text::MAX_NAME_CHARS))
    });
    name.unwrap_or_default()
}

pub(super) fn resources(id: &str, kind: Kind) -> Question {
    let version = match kind {
        Kind::Account => ACCOUNTS,
        Kind::Search => "2025-05-01",
        Kind::Workspace => "2025-06-01",
    };
    of_subscription(id, &format!("/providers/{}", kind.resource_type()), version)
}

/// Version of the API of AI accounts.
const ACCOUNTS: &str = "2025-06-01";

/// A list below an AI account or a project of one, such as its `deployments`.
pub(super) fn below(account: &str, list: &str) -> Question {
    ask(format!("{account}/{list}"), ACCOUNTS, account)
}

/// Some usages have no limit and are no quota.
pub(super) fn quotas(id: &str, region: &str) -> Question {
    let rest = format!("/providers/Microsoft.CognitiveServices/locations/{region}/usages");
    let question = of_subscription(id, &rest, ACCOUNTS);
    Question { role: "Cognitive Services Usages Reader", skips: true, ..question }
}

pub(super) fn settings(resource: &str) -> Question {
    let path = format!("{resource}/providers/Microsoft.Insights/diagnosticSettings");
    // The only version there is.
    let question = ask(path, "2021-05-01-preview", resource);
    Question { role: "Monitoring Reader", ..question }
}

/// Without a filter: those above, at and below the subscription.
pub(super) fn assignments(id: &str) -> Question {
    of_subscription(id, "/providers/Microsoft.Authorization/policyAssignments", POLICIES)
}

/// Version of the API of policies.
const POLICIES: &str = "2023-04-01";

pub(super) fn definition(id: &str) -> Question {
    let scope = id.split("/providers/microsoft.authorization/").next().unwrap_or_default();
    ask(id.to_owned(), POLICIES, if scope.is_empty() { "/" } else { scope })
}

/// Those at the subscription and above it.
pub(super) fn roles(id: &str) -> Question {
    let rest = "/providers/Microsoft.Authorization/roleAssignments";
    let mut question = of_subscription(id, rest, "2022-04-01");
    question.query.push(("$filter", "atScope()"));
    question
}

pub(super) fn locks(id: &str) -> Question {
    of_subscription(id, "/providers/Microsoft.Authorization/locks", "2020-05-01")
}

pub(super) fn budgets(id: &str) -> Question {
    let question = of_subscription(id, "/providers/Microsoft.Consumption/budgets", "2024-08-01");
    Question { role: "Cost Management Reader", ..question }
}

pub(super) fn hub(id: &str) -> Question {
    ask(id.to_owned(), "2024-01-01", id)
}

/// Something that is wrong with what was read.
pub(super) fn failed(reason: &str) -> Unread {
    Unread {
        cause: Cause::Failed,
        reason: reason.to_owned(),
        said: String::new(),
        mend: String::new(),
    }
}

/// A subscription of which nothing could be read.
pub(super) fn unread(unread: &Unread) -> Subscription {
    Subscription {
        name: String::new(),
        accounts: Part::Unread(unread.clone()),
        searches: Part::Unread(unread.clone()),
        workspaces: Part::Unread(unread.clone()),
        quotas: std::collections::BTreeMap::new(),
        assignments: Part::Unread(unread.clone()),
        roles: Part::Unread(unread.clone()),
        budgets: Part::Unread(unread.clone()),
        locks: Part::Unread(unread.clone()),
    }
}
