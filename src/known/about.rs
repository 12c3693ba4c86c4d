//! What is known about one network, and how to say it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// How much of a network something is true of.
///
/// A caller is a network (/24, /48) because Azure masks its address, while lists name single
/// addresses too. What holds for some addresses of a network may hold for the caller or not, and is
/// never said of the whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Extent {
    /// Of every address.
    Whole,
    /// Of so many addresses and not of the others.
    Part {
        /// How many of an IPv4 network's addresses; `None` for IPv6, where the number says nothing.
        addresses: Option<u32>,
    },
}

/// What an entry of the catalogue is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The operator's own way out: offices, data centres.
    Own,
    /// The operator's VPN.
    Vpn,
    /// Azure addresses that the operator rents.
    Azure,
    /// Somebody the operator works with.
    Partner,
}

impl Kind {
    /// Every kind, with its word in the configuration.
    pub const ALL: [(&str, Self); 4] = [
        ("own", Self::Own),
        ("vpn", Self::Vpn),
        ("azure", Self::Azure),
        ("partner", Self::Partner),
    ];

    /// The word used in the configuration and in output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Own => "own",
            Self::Vpn => "vpn",
            Self::Azure => "azure",
            Self::Partner => "partner",
        }
    }

    /// True when whoever calls from there is one of the operator's.
    #[must_use]
    pub const fn is_yours(self) -> bool {
        match self {
            Self::Own | Self::Vpn | Self::Azure => true,
            Self::Partner => false,
        }
    }
}

/// What a list says of the networks on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Class {
    /// Known for attacks.
    Threat,
    /// Exits of the Tor network.
    Tor,
    /// Exits of VPN providers.
    Vpn,
    /// Open or paid proxies.
    Proxy,
    /// Rented servers.
    Hosting,
    /// Azure itself: any of its customers.
    Azure,
}

impl Class {
    /// Every class, with its word in the configuration.
    pub const ALL: [(&str, Self); 6] = [
        ("threat", Self::Threat),
        ("tor", Self::Tor),
        ("vpn", Self::Vpn),
        ("proxy", Self::Proxy),
        ("hosting", Self::Hosting),
        ("azure", Self::Azure),
    ];

    /// The word used in the configuration and in output.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Threat => "threat",
            Self::Tor => "tor",
            Self::Vpn => "vpn",
            Self::Proxy => "proxy",
            Self::Hosting => "hosting",
            Self::Azure => "azure",
        }
    }
}

/// An entry of the catalogue that meets a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// What the operator calls it.
    pub name: String,
    /// What it is.
    pub kind: Kind,
    /// How much of the network it names.
    pub extent: Extent,
}

/// A list that a network is on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// What the list says.
    pub class: Class,
    /// The list's name in the configuration.
    pub list: String,
    /// How much of the network is on it.
    pub extent: Extent,
}

/// What is known about one network; empty where nothing is. Unknown is absent, never a guess.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct About {
    /// The catalogue's longest entry that holds the whole network, then entries inside it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub named: Vec<Named>,
    /// Lists it is on, the gravest class first; none where the catalogue names the whole network.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listed: Vec<Listed>,
    /// Number of the autonomous system, where all of the network is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asn: Option<u32>,
    /// What the autonomous system is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_name: Option<String>,
    /// Country as two capitals (ISO 3166-1), where all of the network is in one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// True for private addresses, of which lists of the Internet know nothing.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub private: bool,
}

impl About {
    /// True when nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The operator's name for the whole network.
    #[must_use]
    pub fn label(&self) -> Option<&Named> {
        self.named.first().filter(|named| named.extent == Extent::Whole)
    }

    /// The one thing to say where there is little room: the operator's name, the gravest class, or
    /// the autonomous system; only what holds for the whole network.
    #[must_use]
    pub fn short(&self) -> Option<String> {
        if let Some(label) = self.label() {
            return Some(label.name.clone());
        }
        let whole = self.listed.iter().find(|listed| listed.extent == Extent::Whole);
        if let Some(listed) = whole {
            return Some(listed.class.word().to_owned());
        }
        self.as_name.clone().or_else(|| self.asn.map(|asn| format!("AS{asn}")))
    }

    /// How much of the network is the operator's; `None` when none is.
    #[must_use]
    pub fn yours(&self) -> Option<Extent> {
        if let Some(label) = self.label() {
            // The entries inside it may say otherwise of a part.
            return label.kind.is_yours().then_some(Extent::Whole);
        }
        self.named.iter().find(|named| named.kind.is_yours()).map(|named| named.extent)
    }

    /// How much of the network is of this class by any list; `None` when none says so.
    #[must_use]
    pub fn class(&self, class: Class) -> Option<Extent> {
        let mut found = self.listed.iter().filter(|listed| listed.class == class);
        let first = found.next()?.extent;
        Some(if found.any(|other| other.extent == Extent::Whole) { Extent::Whole } else { first })
    }
}

/// A few words for people, such as `yours: office (own) · AS64500 Example · DE`; empty when nothing
/// is known. Names in it come from files and are as clean as those.
impl fmt::Display for About {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.named.iter().map(Named::to_string);
        let private = self.private.then(|| "private address".to_owned());
        let system = self.asn.map(|asn| match &self.as_name {
            Some(name) => format!("AS{asn} {name}"),
            None => format!("AS{asn}"),
        });
        let listed = self.listed.iter().map(Listed::to_string);
        let parts = named.chain(private).chain(listed).chain(system).chain(self.country.clone());
        f.write_str(&parts.collect::<Vec<_>>().join(" · "))
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, kind, extent } = self;
        let whose = if kind.is_yours() { "yours" } else { "known" };
        match extent {
            Extent::Whole => write!(f, "{whose}: {name} ({})", kind.word()),
            Extent::Part { .. } => write!(f, "partly {whose}: {name} ({}{extent})", kind.word()),
        }
    }
}

impl fmt::Display for Listed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { class, list, extent } = self;
        match extent {
            Extent::Whole => write!(f, "{} (list {list})", class.word()),
            Extent::Part { .. } => write!(f, "perhaps {} (list {list}{extent})", class.word()),
        }
    }
}

/// What stands behind a statement: nothing for the whole.
impl fmt::Display for Extent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole => Ok(()),
            Self::Part { addresses: Some(1) } => f.write_str(", 1 address of it"),
            Self::Part { addresses: Some(count) } => write!(f, ", {count} addresses of it"),
            Self::Part { addresses: None } => f.write_str(", a part of it"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PART: Extent = Extent::Part { addresses: Some(1) };

    fn named(kind: Kind, extent: Extent) -> Named {
        Named { name: "n".to_owned(), kind, extent }
    }

    fn listed(class: Class, extent: Extent) -> Listed {
        Listed { class, list: "l".to_owned(), extent }
    }

    #[test]
    fn a_part_is_never_said_of_the_whole() {
        let about = About {
            named: vec![named(Kind::Own, PART)],
            listed: vec![listed(Class::Tor, PART), listed(Class::Hosting, Extent::Whole)],
            asn: Some(64_500),
            country: Some("DE".to_owned()),
            ..About::default()
        };
        assert_eq!((about.label(), about.yours()), (None, Some(PART)));
        assert_eq!(about.class(Class::Tor), Some(PART));
        assert_eq!(about.class(Class::Hosting), Some(Extent::Whole));
        assert_eq!(about.class(Class::Threat), None);
        assert_eq!(
            about.to_string(),
            "partly yours: n (own, 1 address of it) · perhaps tor (list l, 1 address of it) · hosting (list l) · \
             AS64500 · DE"
        );
    }

    #[test]
    fn a_partner_is_not_yours_and_nothing_is_empty() {
        let about = About { named: vec![named(Kind::Partner, Extent::Whole)], ..About::default() };
        assert_eq!((about.yours(), about.to_string().as_str()), (None, "known: n (partner)"));
        let nothing = About::default();
        assert!(nothing.is_empty() && nothing.to_string().is_empty());
        assert_eq!(serde_json::to_string(&nothing).unwrap(), "{}");
        let read: About = serde_json::from_str(&serde_json::to_string(&about).unwrap()).unwrap();
        assert_eq!(read, about);
    }
}
