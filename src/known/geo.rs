//! Autonomous systems and countries of networks, out of an MMDB file.
//!
//! Publishers name the same thing differently: `GeoLite2` and `DB-IP` nest the country and number the
//! system, `IPinfo` writes `AS64500` and flat names, `ip-location-db` flat ones.

use std::collections::HashSet;
use std::fmt;

use ipnet::IpNet;
use maxminddb::{Reader, WithinOptions};
use serde::Deserialize;

use super::list::Broken;
use crate::decode::text;

/// Parts of one network that are compared; a network in more parts than that is in several places.
const MAX_PARTS: usize = 1_024;

/// A database of networks.
pub struct Geo {
    reader: Reader<Vec<u8>>,
}

/// What a database says of a whole network.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Number of the autonomous system.
    pub asn: Option<u32>,
    /// Its name.
    pub as_name: Option<String>,
    /// Country as two capitals.
    pub country: Option<String>,
}

/// A record, with every name a publisher is known to use.
#[derive(Debug, Deserialize)]
struct Record {
    asn: Option<Number>,
    autonomous_system_number: Option<Number>,
    as_name: Option<String>,
    autonomous_system_organization: Option<String>,
    /// In databases of nothing but systems.
    name: Option<String>,
    country_code: Option<String>,
    country: Option<Country>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Number {
    Plain(u32),
    Text(String),
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum Country {
    Nested { iso_code: Option<String> },
    Text(String),
}

impl Geo {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// It is no MMDB file, or it is cut off or damaged.
    pub fn read(bytes: Vec<u8>) -> Result<Self, Broken> {
        let broken = |error: maxminddb::MaxMindDbError| {
            let mend = "load it again; it must be an MMDB file, unpacked";
            Broken::new(error.to_string(), mend)
        };
        let reader = Reader::from_source(bytes).map_err(broken)?;
        // Once here, so that no lookup meets a broken tree or record. The library's own check also
        // refuses files without a description, of which there are.
        let most = usize::try_from(reader.metadata().node_count).unwrap_or(usize::MAX);
        let most = most.saturating_mul(3);
        let mut seen = HashSet::new();
        for (number, part) in reader.networks(WithinOptions::default()).map_err(broken)?.enumerate()
        {
            let part = part.map_err(broken)?;
            if number > most {
                let tree = maxminddb::MaxMindDbError::invalid_database("its tree has a cycle");
                return Err(broken(tree));
            }
            if seen.insert(part.offset()) {
                part.decode::<Record>().map_err(broken)?;
            }
        }
        Ok(Self { reader })
    }

    /// Nodes of its tree: a measure of how much it knows.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::try_from(self.reader.metadata().node_count).unwrap_or(usize::MAX)
    }

    /// True when it knows nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Its own name for what it holds, such as `DBIP-ASN-Lite`.
    #[must_use]
    pub fn kind(&self) -> String {
        text::clean(&self.reader.metadata().database_type, text::MAX_NAME_CHARS)
    }

    /// What holds for every address of `network`; parts that differ leave it unknown.
    #[must_use]
    pub fn about(&self, network: &IpNet) -> Place {
        let mut agreed: Option<Place> = None;
        let mut last = None;
        let options = WithinOptions::default().include_networks_without_data();
        let Ok(network) = network.to_string().parse() else { return Place::default() };
        let Ok(parts) = self.reader.within(network, options) else { return Place::default() };
        for (number, part) in parts.enumerate() {
            let Ok(part) = part else { return Place::default() };
            if number >= MAX_PARTS {
                return Place::default();
            }
            if number > 0 && part.offset() == last {
                continue;
            }
            last = part.offset();
            let place = part.decode::<Record>().ok().flatten().map(Place::from).unwrap_or_default();
            let place = agreed.map_or_else(|| place.clone(), |agreed| agreed.and(&place));
            agreed = Some(place);
        }
        agreed.unwrap_or_default()
    }
}

impl Place {
    /// What both say.
    fn and(self, other: &Self) -> Self {
        let same_system = self.asn == other.asn;
        Self {
            asn: self.asn.filter(|_| same_system),
            as_name: self
                .as_name
                .filter(|name| same_system && other.as_name.as_ref() == Some(name)),
            country: self.country.filter(|country| other.country.as_ref() == Some(country)),
        }
    }
}

impl From<Record> for Place {
    fn from(record: Record) -> Self {
        let asn = match record.autonomous_system_number.or(record.asn) {
            Some(Number::Plain(number)) => Some(number),
            Some(Number::Text(text)) => text.trim_start_matches(['A', 'a', 'S', 's']).parse().ok(),
            None => None,
        };
        let code = match record.country {
            Some(Country::Nested { iso_code }) => iso_code,
            Some(Country::Text(text)) => Some(text),
            None => None,
        };
        let is_code =
            |code: &String| code.len() == 2 && code.bytes().all(|b| b.is_ascii_alphabetic());
        let country = record.country_code.filter(is_code).or_else(|| code.filter(is_code));
        let name = record.autonomous_system_organization.or(record.as_name).or(record.name);
        let name = name.map(|name| text::clean(&name, text::MAX_NAME_CHARS));
        Self {
            asn: asn.filter(|asn| *asn != 0),
            as_name: name.filter(|name| !name.is_empty()),
            country: country.map(|code| code.to_ascii_uppercase()),
        }
    }
}

impl fmt::Debug for Geo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Geo").field(&self.kind()).finish()
    }
}
