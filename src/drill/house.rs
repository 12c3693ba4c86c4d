//! What the plays need beside the defaults: lists of their networks, and a budget.

use std::sync::Arc;

use crate::days::{Step, Zone};
use crate::engine::budgets::{Budget, Scope};
use crate::known::catalogue::Catalogue;
use crate::known::feed::{Content, Holds};
use crate::known::format::FORMATS;
use crate::known::list::Broken;
use crate::known::{Class, Known};
use crate::money::NanoUsd;
use crate::simulate::play::{BUDGET_USD_PER_MONTH, Place};

/// Systems and countries of [`Place::ALL`]; `models/demo/mmdb.py` writes it.
const SYSTEMS: &[u8] = include_bytes!("../../models/demo/plays.mmdb");

/// What lists and databases say of the plays' networks.
pub(super) fn known() -> Result<Arc<Known>, Broken> {
    let mut feeds: Vec<(&str, Content)> = vec![("systems", Holds::Systems.read(SYSTEMS.to_vec())?)];
    for (name, place, class) in
        [("hosting", Place::Hosting, Class::Hosting), ("tor", Place::Tor, Class::Tor)]
    {
        let networks = Place::ALL.iter().filter(|(other, ..)| *other == place);
        let text: String = networks.map(|(_, network, ..)| format!("{network}\n")).collect();
        if let Some(format) = FORMATS.into_iter().find(|format| format.name == "netset") {
            feeds.push((name, Holds::Networks { format, class }.read(text.into_bytes())?));
        }
    }
    Ok(Arc::new(Known::new(Arc::new(Catalogue::default()), feeds)))
}

/// A budget over everything.
pub(super) fn budget() -> Budget {
    Budget {
        name: "plays".to_owned(),
        amount: NanoUsd::from_usd(BUDGET_USD_PER_MONTH).0,
        currency: "USD".to_owned(),
        step: Step::Month,
        zone: Zone::utc(),
        thresholds: vec![50, 80, 100],
        forecast: None,
        page: true,
        scope: Scope::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lists_know_every_place() {
        let known = known().unwrap();
        for (place, network, number, country) in Place::ALL {
            let first = network.split_once('/').unwrap().0;
            let about = known.about(&format!("{first}/24"));
            assert_eq!((about.asn, about.country.as_deref()), (Some(number), Some(country)));
            let class = match place {
                Place::Hosting => Some(Class::Hosting),
                Place::Tor => Some(Class::Tor),
                Place::Office | Place::Branch | Place::Abroad | Place::Cloud => None,
            };
            assert_eq!(about.listed.first().map(|listed| listed.class), class, "{network}");
        }
    }
}
