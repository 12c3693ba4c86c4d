//! Commands that undo a change or show what is: every name in them is quoted for a shell.

use super::account_of;
use super::act::UNNAMED;
use super::memory::subscription_of;
use crate::incident::respond::{self, quoted};

/// Sets properties of a resource, each as `name=value`.
#[must_use]
pub fn set(resource: &str, properties: &[&str]) -> String {
    let list: Vec<String> = properties.iter().map(|property| pair(property)).collect();
    format!("az resource update --ids {} --set {}", quoted(resource), list.join(" "))
}

fn pair(property: &str) -> String {
    match property.split_once('=') {
        Some((name, value)) => format!("{name}={}", quoted(value)),
        None => quoted(property),
    }
}

/// Options that name the AI account that a resource is or belongs to.
fn account(resource: &str) -> String {
    respond::account(account_of(resource).unwrap_or(resource)).unwrap_or_default()
}

/// Makes a key of an AI account anew.
#[must_use]
pub fn regenerate(resource: &str, key: &str) -> String {
    respond::regenerate(&account(resource), key)
}

/// Shows an AI account as it is now.
#[must_use]
pub fn show(resource: &str) -> String {
    format!("az resource show --ids {}", quoted(account_of(resource).unwrap_or(resource)))
}

/// Shows the rules for addresses of an AI account.
#[must_use]
pub fn network_rules(resource: &str) -> String {
    format!("az cognitiveservices account network-rule list {}", account(resource))
}

/// Lists the deployments of an AI account.
#[must_use]
pub fn show_deployments(resource: &str) -> String {
    format!("az cognitiveservices account deployment list {}", account(resource))
}

/// Deletes a resource by its id.
#[must_use]
pub fn delete(resource: &str) -> String {
    format!("az resource delete --ids {}", quoted(resource))
}

/// Locks an account, a resource group or a subscription.
#[must_use]
pub fn lock(name: &str, level: &str, scope: &str) -> String {
    let subscription = respond::part(scope, "subscriptions");
    let what = match (scope.contains("/providers/"), respond::part(scope, "resourcegroups")) {
        (true, _) => format!("--resource {}", quoted(scope)),
        (false, "") => format!("--subscription {}", quoted(subscription)),
        (false, group) => {
            let (group, subscription) = (quoted(group), quoted(subscription));
            format!("--resource-group {group} --subscription {subscription}")
        }
    };
    format!("az lock create --name {} --lock-type {} {what}", quoted(name), quoted(level))
}

/// Lists what an identity may do.
#[must_use]
pub fn roles_of(object: &str, resource: &str) -> String {
    let scope = subscription_of(resource).unwrap_or(resource);
    format!("az role assignment list --all --assignee {} --scope {}", quoted(object), quoted(scope))
}

/// Takes a role assignment away.
#[must_use]
pub fn revoke(assignment: &str) -> String {
    format!("az role assignment delete --ids {}", quoted(assignment))
}

/// Lists deleted AI accounts that can still be restored.
#[must_use]
pub fn list_deleted(resource: &str) -> String {
    let subscription = subscription_of(resource).map_or(resource, super::name_of);
    format!("az cognitiveservices account list-deleted --subscription {}", quoted(subscription))
}

/// What one did around a moment, from the activity log; what was done to the resource where nobody is named.
#[must_use]
pub fn activity_of(who: &str, resource: &str) -> String {
    let subscription = subscription_of(resource).map_or(resource, super::name_of);
    let whose = match who {
        UNNAMED => format!("--resource-id {}", quoted(resource)),
        who => format!("--caller {}", quoted(who)),
    };
    format!(
        "az monitor activity-log list --subscription {} {whose} --offset 7d",
        quoted(subscription)
    )
}
