//! How a deployment was bought: where it may be served from, and how soon.

use std::fmt;

/// Where a deployment may be served from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// Anywhere.
    Global,
    /// In a data zone; which one is not said.
    DataZone,
    /// In the data zone of the United States.
    DataZoneUs,
    /// In the data zone of the European Union.
    DataZoneEu,
    /// In the data zone of Asia and the Pacific.
    DataZoneApac,
    /// In one region.
    Regional,
    /// In the government's cloud of the United States.
    UsGov,
    /// Of a price: its list does not say where it holds.
    Unspecified,
    /// Of a price: models of other publishers, which have one price.
    Partner,
}

/// Every scope and its word.
pub const SCOPES: [(&str, Scope); 9] = [
    ("global", Scope::Global),
    ("data-zone", Scope::DataZone),
    ("data-zone-us", Scope::DataZoneUs),
    ("data-zone-eu", Scope::DataZoneEu),
    ("data-zone-apac", Scope::DataZoneApac),
    ("regional", Scope::Regional),
    ("us-gov", Scope::UsGov),
    ("unspecified", Scope::Unspecified),
    ("partner", Scope::Partner),
];

impl Scope {
    /// The scopes of prices that hold for a deployment of this scope, best first. A price whose list
    /// does not say where it holds is taken for a global one, and for nothing else.
    #[must_use]
    pub const fn served_by(self) -> &'static [Self] {
        match self {
            Self::Global => &[Self::Global, Self::Unspecified, Self::Partner],
            Self::DataZone => &[Self::DataZone],
            Self::DataZoneUs => &[Self::DataZoneUs, Self::DataZone],
            Self::DataZoneEu => &[Self::DataZoneEu, Self::DataZone],
            Self::DataZoneApac => &[Self::DataZoneApac, Self::DataZone],
            Self::Regional => &[Self::Regional],
            Self::UsGov => &[Self::UsGov],
            Self::Unspecified => &[Self::Unspecified],
            Self::Partner => &[Self::Partner],
        }
    }

    /// The zones of a data zone that is not named.
    pub const ZONES: [Self; 3] = [Self::DataZoneUs, Self::DataZoneEu, Self::DataZoneApac];
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word_of(&SCOPES, *self))
    }
}

/// How soon a deployment answers, and at what price.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Tier {
    /// At once, as capacity allows.
    #[default]
    Standard,
    /// Within a day.
    Batch,
    /// Later when it is busy.
    Flex,
    /// Before others.
    Priority,
}

/// Every tier and its word.
pub const TIERS: [(&str, Tier); 4] = [
    ("standard", Tier::Standard),
    ("batch", Tier::Batch),
    ("flex", Tier::Flex),
    ("priority", Tier::Priority),
];

impl fmt::Display for Tier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(word_of(&TIERS, *self))
    }
}

fn word_of<T: PartialEq + Copy>(words: &[(&'static str, T)], value: T) -> &'static str {
    words.iter().find(|(_, known)| *known == value).map_or("", |(word, _)| word)
}

/// How a deployment was bought; what nobody says is `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Sku {
    /// Where it may be served from.
    pub scope: Option<Scope>,
    /// How soon; `None` is taken for [`Tier::Standard`].
    pub tier: Option<Tier>,
    /// Capacity is paid by the hour, whatever is used.
    pub provisioned: bool,
}

/// The names Azure gives to what a deployment is bought as, in `sku.name` of its resource.
pub const AZURE_SKUS: [(&str, Sku); 8] = [
    ("Standard", pay_as_you_go(Scope::Regional, Tier::Standard)),
    ("GlobalStandard", pay_as_you_go(Scope::Global, Tier::Standard)),
    ("DataZoneStandard", pay_as_you_go(Scope::DataZone, Tier::Standard)),
    ("GlobalBatch", pay_as_you_go(Scope::Global, Tier::Batch)),
    ("DataZoneBatch", pay_as_you_go(Scope::DataZone, Tier::Batch)),
    ("ProvisionedManaged", provisioned(Scope::Regional)),
    ("GlobalProvisionedManaged", provisioned(Scope::Global)),
    ("DataZoneProvisionedManaged", provisioned(Scope::DataZone)),
];

const fn pay_as_you_go(scope: Scope, tier: Tier) -> Sku {
    Sku { scope: Some(scope), tier: Some(tier), provisioned: false }
}

const fn provisioned(scope: Scope) -> Sku {
    Sku { scope: Some(scope), tier: None, provisioned: true }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_shown_as_it_is_read() {
        for (word, scope) in SCOPES {
            assert_eq!(scope.to_string(), word);
            assert_eq!(scope.served_by().first(), Some(&scope), "{word}");
        }
        for (word, tier) in TIERS {
            assert_eq!(tier.to_string(), word);
        }
    }

    #[test]
    fn a_price_without_scope_serves_global_deployments_only() {
        let served = SCOPES.map(|(_, scope)| scope).into_iter().filter(|scope| {
            *scope != Scope::Unspecified && scope.served_by().contains(&Scope::Unspecified)
        });
        assert_eq!(served.collect::<Vec<_>>(), [Scope::Global]);
    }
}
