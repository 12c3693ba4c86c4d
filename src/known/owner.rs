//! Who owns what: teams by subscription, account and deployment, as the operator names them.
//!
//! A deployment has at most one owner, the one that is named most narrowly. So what owners spent adds
//! up to the whole, with a rest that nobody owns.

/// A team and what it answers for. All names of Azure are in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owner {
    /// What it is called.
    pub name: String,
    /// Where it is written to; `None` when nobody said.
    pub mail: Option<String>,
    /// Whole subscriptions, by their id.
    pub subscriptions: Vec<String>,
    /// Whole accounts, by name or resource id.
    pub accounts: Vec<String>,
    /// Deployments, as account (name or resource id) and deployment.
    pub deployments: Vec<(String, String)>,
}

/// Every owner, in the order of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owners(pub Vec<Owner>);

impl Owners {
    /// Who owns a deployment of the account with this resource id (lower case); `None` for nobody. A
    /// deployment that is named goes before its account, and that before its subscription.
    #[must_use]
    pub fn of(&self, resource: &str, deployment: &str) -> Option<&Owner> {
        let by_deployment = |owner: &&Owner| {
            let mut known = owner.deployments.iter();
            known.any(|(account, name)| is_account(resource, account) && name == deployment)
        };
        let by_account =
            |owner: &&Owner| owner.accounts.iter().any(|name| is_account(resource, name));
        let by_subscription = |owner: &&Owner| {
            let known = subscription_of(resource);
            known.is_some_and(|known| owner.subscriptions.iter().any(|name| name == known))
        };
        let owners = || self.0.iter();
        let narrow = owners().find(by_deployment).or_else(|| owners().find(by_account));
        narrow.or_else(|| owners().find(by_subscription))
    }
}

/// True when `name` is the account with this resource id, or its own name.
#[must_use]
pub fn is_account(resource: &str, name: &str) -> bool {
    name == resource || Some(name) == resource.rsplit('/').find(|part| !part.is_empty())
}

/// The subscription in a resource id.
#[must_use]
pub fn subscription_of(resource: &str) -> Option<&str> {
    let mut parts = resource.split('/');
    parts.find(|part| part.eq_ignore_ascii_case("subscriptions"))?;
    parts.next().filter(|id| !id.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(name: &str, scope: [&[&str]; 3]) -> Owner {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let [subscriptions, accounts, deployments] = scope;
        let split = |name: &&str| {
            let (account, deployment) = name.rsplit_once('/').unwrap();
            (account.to_owned(), deployment.to_owned())
        };
        Owner {
            name: name.to_owned(),
            subscriptions: owned(subscriptions),
            accounts: owned(accounts),
            deployments: deployments.iter().map(split).collect(),
            mail: None,
        }
    }

    #[test]
    fn the_narrowest_owner_holds_whatever_the_order() {
        let owners = Owners(vec![
            owner("company", [&["s-1"], &[], &[]]),
            owner("platform", [&[], &["aif"], &[]]),
            owner("payments", [&[], &[], &["aif/chat"]]),
        ]);
        let prefix = "/subscriptions/s-1/resourcegroups/rg/providers/x/accounts";
        let of = |resource: &str, deployment: &str| {
            owners.of(resource, deployment).map(|owner| owner.name.as_str())
        };
        assert_eq!(of(&format!("{prefix}/aif"), "chat"), Some("payments"));
        assert_eq!(of(&format!("{prefix}/aif"), "embed"), Some("platform"));
        assert_eq!(of(&format!("{prefix}/other"), "chat"), Some("company"));
        assert_eq!(of("/subscriptions/s-2/accounts/other", "chat"), None);
        assert_eq!(of("", "chat"), None);
    }

    #[test]
    fn an_account_may_be_named_by_its_resource_id() {
        let id = "/subscriptions/s/resourcegroups/g/providers/x/accounts/a";
        let full = format!("{id}/d");
        let owners = Owners(vec![owner("o", [&[], &[id], &[&full]])]);
        assert!(owners.of(id, "d").is_some() && owners.of(id, "e").is_some());
        assert!(
            owners.of("/subscriptions/s/resourcegroups/h/providers/x/accounts/a", "d").is_none()
        );
        assert!(!is_account(id, "") && is_account(id, "a"));
    }

    #[test]
    fn a_subscription_is_named_by_a_resource_of_it_alone() {
        assert_eq!(subscription_of("/subscriptions/s/resourcegroups/g"), Some("s"));
        assert_eq!(subscription_of("/somewhere"), None);
    }
}
