//! The operator's own names for networks, from the configuration.

use ipnet::IpNet;
use prefix_trie::joint::JointPrefixMap;

use super::about::{Extent, Kind, Named};
use super::list::part;

/// Names of entries inside one network; more are left out.
const MAX_INSIDE: usize = 4;

/// Networks with a name and a kind. Of two that hold an address, the longer is meant.
#[derive(Debug, Clone, Default)]
pub struct Catalogue {
    networks: JointPrefixMap<IpNet, (String, Kind)>,
}

impl Catalogue {
    /// Adds a network; the name it had before, when it was there already.
    pub fn add(&mut self, network: IpNet, name: &str, kind: Kind) -> Option<String> {
        self.networks.insert(network, (name.to_owned(), kind)).map(|(before, _)| before)
    }

    /// How many networks have a name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.networks.len()
    }

    /// True when no network has a name.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.networks.is_empty()
    }

    /// The networks with this name, in order.
    #[must_use]
    pub fn named(&self, name: &str) -> Vec<IpNet> {
        let named = self.networks.iter().filter(|(_, (known, _))| known == name);
        let mut networks: Vec<IpNet> = named.map(|(network, _)| network).collect();
        networks.sort_unstable();
        networks
    }

    /// The longest entry that holds all of `network`, then the names of entries inside it.
    #[must_use]
    pub fn about(&self, network: &IpNet) -> Vec<Named> {
        let whole = self.networks.get_lpm(network).map(|(_, (name, kind))| Named {
            name: name.clone(),
            kind: *kind,
            extent: Extent::Whole,
        });
        let mut inside: Vec<(&str, Kind, Vec<IpNet>)> = Vec::new();
        for (net, (name, kind)) in self.networks.children(network).filter(|(n, _)| n != network) {
            let known = inside.iter().position(|(known, other, _)| known == name && other == kind);
            let room = inside.len() < MAX_INSIDE;
            match known.and_then(|at| inside.get_mut(at)) {
                Some((_, _, nets)) => nets.push(net),
                None if room => inside.push((name, *kind, vec![net])),
                None => {}
            }
        }
        let inside = inside.into_iter().map(|(name, kind, nets)| Named {
            name: name.to_owned(),
            kind,
            extent: part(nets),
        });
        whole.into_iter().chain(inside).collect()
    }
}
