//! Whose a report is: everything, or the part of the estate that one team answers for.

/// A team and what it answers for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Owner {
    /// Unique name.
    pub name: String,
    /// AI accounts, by name or resource id, lower case.
    pub accounts: Vec<String>,
    /// Deployments as `account/deployment`, lower case.
    pub deployments: Vec<String>,
    /// Subscriptions by their id, lower case.
    pub subscriptions: Vec<String>,
    /// Names of the destinations that hear from it.
    pub mail: Vec<String>,
}

impl Owner {
    /// True when a deployment (lower case; empty where none is named) of an account (resource id or
    /// name, lower case) is theirs.
    #[must_use]
    pub fn holds(&self, account: &str, deployment: &str) -> bool {
        let name = short(account);
        let owned = |owned: &String| owned == account || owned == name;
        self.accounts.iter().any(owned)
            || self.holds_subscription(account)
            || self.deployments.iter().any(|owned| {
                owned.rsplit_once('/').is_some_and(|(of, named)| {
                    named == deployment && (of == account || of == name)
                })
            })
    }

    fn holds_subscription(&self, account: &str) -> bool {
        let mut parts = account.split('/').skip_while(|part| *part != "subscriptions").skip(1);
        parts.next().is_some_and(|id| self.subscriptions.iter().any(|owned| owned == id))
    }
}

/// The first of `owners` that answers for a deployment.
#[must_use]
pub fn owner_of<'a>(owners: &'a [Owner], account: &str, deployment: &str) -> Option<&'a Owner> {
    owners.iter().find(|owner| owner.holds(account, deployment))
}

/// An account's own name: the last part of its resource id.
#[must_use]
pub fn short(account: &str) -> &str {
    account.rsplit('/').next().unwrap_or(account)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_team_answers_for_accounts_deployments_and_subscriptions() {
        let lists = |accounts: &[&str], deployments: &[&str], subscriptions: &[&str]| Owner {
            accounts: accounts.iter().map(|text| (*text).to_owned()).collect(),
            deployments: deployments.iter().map(|text| (*text).to_owned()).collect(),
            subscriptions: subscriptions.iter().map(|text| (*text).to_owned()).collect(),
            ..Owner::default()
        };
        let prod = "/subscriptions/3f0c/resourcegroups/rg/providers/x/accounts/prod";
        let check = |owner: &Owner, deployment: &str, expected: bool| {
            assert_eq!(owner.holds(prod, deployment), expected, "{owner:?} {deployment}");
        };
        check(&lists(&["prod"], &[], &[]), "", true);
        check(&lists(&[prod], &[], &[]), "chat", true);
        check(&lists(&["pro"], &[], &[]), "chat", false);
        check(&lists(&[], &["prod/chat"], &[]), "chat", true);
        check(&lists(&[], &["prod/chat"], &[]), "", false);
        check(&lists(&[], &["lab/chat"], &[]), "chat", false);
        check(&lists(&[], &[], &["3f0c"]), "anything", true);
        check(&lists(&[], &[], &["3f0"]), "anything", false);
        check(&Owner::default(), "chat", false);
    }
}
