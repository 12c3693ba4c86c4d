//! What an account is told that is no row of its calls: when its keys became worthless, and from which networks
//! gateways call it.

use super::account::Account;
use crate::aggregate::names::{NONE, NameKind, OTHER};
use crate::rules::egress::MAX_NETWORKS;
use crate::rules::revoked::Revoked;
use crate::time::ArrivalTime;

impl Account {
    /// Takes note of when its keys became worthless.
    pub fn note_revoked(&mut self, revoked: &[Revoked]) {
        if self.revoked != revoked {
            self.revoked = revoked.to_vec();
        }
    }

    /// Learns from which network a gateway calls, where that matters.
    pub(super) fn meet_gateway(&mut self, network: u32, linked: ArrivalTime) {
        let is_known = |known: &ArrivalTime| *known <= linked;
        if !self.is_gateway_only
            || [NONE, OTHER].contains(&network)
            || self.egress.get(&network).is_some_and(is_known)
            || self.egress.len() >= MAX_NETWORKS
        {
            return;
        }
        self.egress.insert(network, linked);
        self.new_egress.push(network);
    }

    /// What was learnt of gateways' networks since the last look.
    pub fn take_egress(&mut self) -> Vec<(String, ArrivalTime)> {
        let news = std::mem::take(&mut self.new_egress).into_iter();
        let text =
            |number: u32| Some((self.names.text(number).to_owned(), *self.egress.get(&number)?));
        news.filter_map(text).collect()
    }

    /// Puts back what was learnt of gateways' networks.
    pub fn recall_egress<'a>(&mut self, saved: impl Iterator<Item = (&'a str, ArrivalTime)>) {
        for (network, linked) in saved {
            let network = self.names.number(NameKind::Network, network);
            self.egress.insert(network, linked);
        }
    }
}
