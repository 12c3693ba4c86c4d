//! What is known about networks and identities: whose they are, where, and what lists say of them.
//!
//! [`Known`] is a snapshot that never changes; a new one takes its place when a file changes. Pure:
//! bytes come in, and where they come from is nobody's business here.
//!
//! A caller is a network, not an address. What lists say of a few of its addresses is told as such
//! ([`Extent::Part`]), what databases say differently of its parts is not told at all. Of the
//! catalogue the longest prefix holds; where it names the whole network, no list is asked.

pub mod about;
pub mod catalogue;
pub mod feed;
pub mod format;
pub mod geo;
pub mod identity;
pub mod list;
pub mod net;
pub mod owner;

use std::sync::Arc;

pub use about::{About, Class, Extent, Kind, Listed, Named};
use catalogue::Catalogue;
use feed::Content;
use geo::Geo;
use identity::Names;
use list::List;

/// Most lists that a network is said to be on.
const MAX_LISTED: usize = 8;

/// Everything known at one moment.
#[derive(Debug, Clone, Default)]
pub struct Known {
    catalogue: Arc<Catalogue>,
    lists: Vec<(String, Class, Arc<List>)>,
    systems: Option<Arc<Geo>>,
    countries: Option<Arc<Geo>>,
    names: Arc<Names>,
    more_names: Arc<Names>,
}

impl Known {
    /// Puts together what was read: the catalogue, and the content of each feed by its name.
    #[must_use]
    pub fn new<'a>(
        catalogue: Arc<Catalogue>,
        feeds: impl IntoIterator<Item = (&'a str, Content)>,
    ) -> Self {
        let mut known = Self { catalogue, ..Self::default() };
        for (name, content) in feeds {
            match content {
                Content::Networks(class, list) => known.lists.push((name.to_owned(), class, list)),
                Content::Systems(geo) => known.systems = Some(geo),
                Content::Countries(geo) => known.countries = Some(geo),
                Content::Identities(names) => known.names = names,
            }
        }
        known.lists.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
        known
    }

    /// The same with names from a second provider, such as the directory itself; those of the file
    /// win.
    #[must_use]
    pub fn with_names(mut self, names: Arc<Names>) -> Self {
        self.more_names = names;
        self
    }

    /// What is known about a network such as `203.0.113.0/24`; nothing about any other text.
    #[must_use]
    pub fn about(&self, network: &str) -> About {
        let Ok(net) = net::parse(network) else { return About::default() };
        let named = self.catalogue.about(&net);
        if net::is_private(&net) {
            return About { named, private: true, ..About::default() };
        }
        let system = self.systems.as_ref().map(|geo| geo.about(&net)).unwrap_or_default();
        let country = self.countries.as_ref().and_then(|geo| geo.about(&net).country);
        let mut about = About {
            named,
            listed: Vec::new(),
            asn: system.asn,
            as_name: system.as_name,
            country: country.or(system.country),
            private: false,
        };
        if about.label().is_none() {
            let on = |(name, class, list): &(String, Class, Arc<List>)| {
                let extent = list.extent(&net, about.asn)?;
                Some(Listed { class: *class, list: name.clone(), extent })
            };
            about.listed = self.lists.iter().filter_map(on).take(MAX_LISTED).collect();
        }
        about
    }

    /// Networks of the catalogue with this name.
    #[must_use]
    pub fn networks_named(&self, name: &str) -> Vec<ipnet::IpNet> {
        self.catalogue.named(name)
    }

    /// Object ids that have this name, in any letter case, in order.
    #[must_use]
    pub fn identities_named(&self, name: &str) -> Vec<String> {
        let mut ids = self.names.ids_of(name);
        ids.extend(self.more_names.ids_of(name));
        ids.sort_unstable();
        ids.dedup();
        ids
    }

    /// The name of an Entra object id, in lower case.
    #[must_use]
    pub fn name_of(&self, identity: &str) -> Option<&str> {
        self.names.of(identity).or_else(|| self.more_names.of(identity))
    }
}

#[cfg(test)]
mod tests;
