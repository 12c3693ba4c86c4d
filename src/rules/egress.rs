//! From which networks gateways call accounts: learnt from calls that the gateways' logs name too.

use std::collections::BTreeMap;

use crate::time::ArrivalTime;

/// Networks kept of one account: a gateway has a few addresses.
pub const MAX_NETWORKS: usize = 256;
/// Accounts of which networks are kept; of more, none are.
const MAX_ACCOUNTS: usize = 10_000;

/// Networks of gateways by account, each with the moment as of which its first call was linked.
#[derive(Debug, Clone, Default)]
pub struct Egress(BTreeMap<String, BTreeMap<String, ArrivalTime>>);

impl Egress {
    /// Notes one; true when that is news.
    pub fn note(&mut self, account: &str, network: &str, linked: ArrivalTime) -> bool {
        if !self.0.contains_key(account) && self.0.len() >= MAX_ACCOUNTS {
            return false;
        }
        let networks = self.0.entry(account.to_owned()).or_default();
        let is_full = networks.len() >= MAX_NETWORKS;
        match networks.get_mut(network) {
            Some(known) if *known <= linked => return false,
            Some(known) => *known = linked,
            None if is_full => return false,
            None => drop(networks.insert(network.to_owned(), linked)),
        }
        true
    }

    /// Those of an account.
    pub fn of(&self, account: &str) -> impl Iterator<Item = (&str, ArrivalTime)> {
        let networks = self.0.get(account).into_iter().flatten();
        networks.map(|(network, linked)| (network.as_str(), *linked))
    }

    /// As they are saved.
    #[must_use]
    pub fn saved(&self, account: &str) -> Option<String> {
        serde_json::to_string(self.0.get(account)?).ok()
    }

    /// Puts back what was saved; nothing where it cannot be read.
    pub fn restore(&mut self, account: String, body: &str) {
        if let Ok(networks) = serde_json::from_str(body) {
            self.0.insert(account, networks);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_kept_once_and_bounded() {
        let mut egress = Egress::default();
        assert!(egress.note("aif", "203.0.113.0/24", ArrivalTime(5)));
        assert!(!egress.note("aif", "203.0.113.0/24", ArrivalTime(9)));
        assert!(egress.note("aif", "203.0.113.0/24", ArrivalTime(4)));
        let mut again = Egress::default();
        again.restore("aif".to_owned(), &egress.saved("aif").unwrap());
        assert_eq!(again.of("aif").collect::<Vec<_>>(), [("203.0.113.0/24", ArrivalTime(4))]);
        let news =
            (0..2 * MAX_NETWORKS).filter(|n| egress.note("aif", &n.to_string(), ArrivalTime(7)));
        assert_eq!(news.count(), MAX_NETWORKS - 1);
    }
}
