//! Who asks and by which way (`TW-I`), and with what right (`TW-K06`).

use std::collections::{BTreeMap, BTreeSet};

use super::scene::{Visit, money, numbers, ranked};
use super::{Answer, Scene, Sign};
use crate::aggregate::names::{NONE, OTHER};
use crate::detect::baseline::{as_float, count_as_float};
use crate::detect::table::Profile;
use crate::known::{About, Class, Extent};
use crate::severity::Severity;

/// Certainty where a list names some addresses of a masked network and not all.
const POSSIBLY: f64 = 0.5;
/// Days that the share of keys is compared with, at least.
const KEY_DAYS: usize = 3;
/// Calls of those days whose right was told, at least.
const KEY_CALLS: i64 = 100;

/// A network that was served within the hour, with what is known of it.
struct Guest {
    visit: Visit,
    about: About,
    usd: f64,
}

impl Guest {
    fn did(&self) -> String {
        let Visit { served, keyed, .. } = self.visit;
        let spent = money(self.usd);
        format!(
            "was served {served} times in the last hour, {keyed} of them without an identity, for {spent}"
        )
    }

    /// Money or a key: without one of them a new network wakes nobody.
    fn matters(&self, usd_per_hour: f64) -> bool {
        self.visit.keyed > 0 || self.usd >= usd_per_hour
    }
}

/// Networks of the Internet that were served within the hour and that the catalogue does not call yours.
fn guests(scene: &Scene<'_>, is_asked: impl Fn(u32) -> bool) -> Vec<(u32, Guest)> {
    let visits = scene.networks(60.0).into_iter();
    let served = visits.filter(|(network, visit)| visit.served > 0 && is_asked(*network));
    let guests = served.filter_map(|(network, visit)| {
        let about = scene.about(network);
        let is_yours = about.private || about.yours() == Some(Extent::Whole);
        (!is_yours).then(|| (network, Guest { visit, about, usd: scene.usd(network) }))
    });
    ranked(guests, |guest| guest.visit.served)
}

/// How much of a network is of one of these classes: the whole, if any says so.
fn extent(about: &About, classes: &[Class]) -> Option<Extent> {
    let found = classes.iter().filter_map(|class| about.class(*class));
    found.reduce(|a, b| if a == Extent::Whole { a } else { b })
}

/// TW-I02: a new network of rented servers, a VPN or a proxy, whose autonomous system never called before,
/// spends money or uses a key.
pub(super) fn hosting(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let worth = profile.threshold("usd_per_hour");
    let of = |about: &About| extent(about, &[Class::Hosting, Class::Vpn, Class::Proxy]);
    let mut found = guests(scene, |network| scene.is_new(network));
    found.retain(|(_, guest)| of(&guest.about).is_some() && guest.matters(worth));
    if found.is_empty() {
        return Vec::new();
    }
    let systems = scene.before(|about| about.asn);
    found.retain(|(_, guest)| guest.about.asn.is_none_or(|asn| !systems.contains(&asn)));
    let is_whole = |guest: &Guest| of(&guest.about) == Some(Extent::Whole);
    let is_sure = found.iter().any(|(_, guest)| is_whole(guest));
    let is_keyed = found.iter().any(|(_, guest)| is_whole(guest) && guest.visit.keyed > 0);
    let severity = if is_keyed { profile.severity } else { Severity::Medium };
    let doubt = "a list names only a part of the masked network: possibly";
    sign_of(scene, &found, (severity, is_sure, doubt), |sign| Sign {
        unit: "USD in 1 h from new networks of hosting, VPN or proxy providers".to_owned(),
        bound: worth,
        ..sign
    })
}

/// TW-I03: a network on a list of Tor's exits or of threats is served. Of a network that has called for long
/// and of which a list names a part, nothing is said: its neighbours are meant.
pub(super) fn listed(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let of = |about: &About| extent(about, &[Class::Tor, Class::Threat]);
    let mut found = guests(scene, |_| true);
    found.retain(|(network, guest)| match of(&guest.about) {
        Some(Extent::Whole) => true,
        Some(Extent::Part { .. }) => scene.is_new(*network),
        None => false,
    });
    let is_sure = found.iter().any(|(_, guest)| of(&guest.about) == Some(Extent::Whole));
    let severity = if is_sure { profile.severity } else { Severity::Medium };
    let doubt = "a list names some addresses of the masked network: possibly one of them called";
    sign_of(scene, &found, (severity, is_sure, doubt), |sign| Sign {
        unit: "USD in 1 h from listed networks".to_owned(),
        answer: Answer::Networks,
        ..sign
    })
}

/// TW-I04: the first network of a country is served. A network alone wakes nobody: low without money or key.
pub(super) fn country(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let mut found = guests(scene, |network| scene.is_new(network));
    found.retain(|(_, guest)| guest.about.country.is_some() && guest.about.label().is_none());
    if found.is_empty() {
        return Vec::new();
    }
    let countries = scene.before(|about| about.country.clone());
    found.retain(|(_, guest)| {
        guest.about.country.as_ref().is_some_and(|country| !countries.contains(country))
    });
    let worth = profile.threshold("usd_per_hour");
    let matters = found.iter().any(|(_, guest)| guest.matters(worth));
    let severity = if matters { profile.severity } else { Severity::Low };
    sign_of(scene, &found, (severity, true, ""), |sign| Sign {
        unit: "USD in 1 h from new countries".to_owned(),
        bound: worth,
        ..sign
    })
}

/// One sign of the account about guests; nothing where there are none.
fn sign_of(
    scene: &Scene<'_>,
    found: &[(u32, Guest)],
    (severity, is_sure, doubt): (Severity, bool, &str),
    with: impl Fn(Sign) -> Sign,
) -> Vec<Sign> {
    if found.is_empty() {
        return Vec::new();
    }
    let usd: f64 = found.iter().map(|(_, guest)| guest.usd).sum();
    let mut evidence = scene.sentences(found, Guest::did);
    if !is_sure {
        evidence.push(doubt.to_owned());
    }
    vec![with(Sign {
        deployment: None,
        severity,
        confidence: if is_sure { 0.7 } else { POSSIBLY },
        observed: usd,
        expected: 0.0,
        bound: 0.0,
        unit: String::new(),
        networks: numbers(found),
        evidence,
        answer: Answer::Keys,
    })]
}

/// Slots that a gateway's log is given to tell of a call: linked within a quarter of an hour, and its own.
const LINK_SLOTS: i64 = 4;

/// TW-I07: an account that should be called through gateways alone is served to a network from which no gateway
/// calls. Where no call was ever linked the gateways' logs do not come, and nothing can be said.
pub(super) fn bypass(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let [share, least] = ["share", "calls"].map(|name| profile.threshold(name));
    let Some(gateways) = scene.gateways().filter(|gateways| !gateways.is_empty()) else {
        return Vec::new();
    };
    let told = scene.within(60.0).filter(|deed| deed.slot.0 <= scene.slot.0 - LINK_SLOTS);
    let (mut all, mut direct) = (0_i64, BTreeMap::new());
    for (network, deed) in told.filter_map(|deed| Some((deed.network()?, deed))) {
        let served = i64::from(deed.tally.served);
        all += served;
        if !gateways.contains(&network) && network != OTHER && served != 0 {
            *direct.entry(network).or_insert(0) += served;
        }
    }
    let direct = ranked(direct, |served| *served);
    let seen: i64 = direct.iter().map(|(_, served)| served).sum();
    let part = as_float(seen) / as_float(all.max(1));
    if as_float(seen) < least || part < share {
        return Vec::new();
    }
    let mut evidence = vec![format!(
        "{seen} of {all} calls ({:.0} %) came from networks from which no gateway has ever called",
        100.0 * part
    )];
    evidence.extend(scene.sentences(&direct, |served| format!("was served {served} times")));
    vec![Sign {
        deployment: None,
        severity: profile.severity,
        confidence: 0.6,
        observed: 100.0 * part,
        expected: 0.0,
        bound: 100.0 * share,
        unit: "% of calls in 40 min, beside the gateway".to_owned(),
        networks: numbers(&direct),
        evidence,
        answer: Answer::Networks,
    }]
}

/// TW-I08: one identity is served within the hour from new networks of two countries and two autonomous
/// systems. Offices and clouds that it has used for long are no news.
pub(super) fn distant(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let least = profile.threshold("countries");
    let guests = guests(scene, |network| scene.is_new(network));
    let mut of: BTreeMap<u32, Vec<(u32, &Guest)>> = BTreeMap::new();
    for (network, guest) in &guests {
        for identity in &guest.visit.identities {
            of.entry(*identity).or_default().push((*network, guest));
        }
    }
    let is_apart = |guests: &[(u32, &Guest)]| {
        let systems: BTreeSet<_> = guests.iter().filter_map(|(_, g)| g.about.asn).collect();
        // Unknown systems cannot be told to be one.
        countries(guests) >= least && systems.len() != 1
    };
    let Some((identity, guests)) = of.into_iter().find(|(_, guests)| is_apart(guests)) else {
        return Vec::new();
    };
    let mut evidence = vec![format!(
        "{} was served from {} networks that are new here, in several countries, within the hour",
        scene.text(identity),
        guests.len()
    )];
    evidence.extend(scene.sentences(&guests, |guest| guest.did()));
    vec![Sign {
        deployment: None,
        severity: profile.severity,
        confidence: 0.6,
        observed: countries(&guests),
        expected: 1.0,
        bound: least,
        unit: "countries of one identity in 1 h".to_owned(),
        networks: numbers(&guests),
        evidence,
        answer: Answer::Identity(identity),
    }]
}

/// How many countries are known of these.
fn countries(guests: &[(u32, &Guest)]) -> f64 {
    let of: BTreeSet<_> = guests.iter().filter_map(|(_, g)| g.about.country.as_ref()).collect();
    count_as_float(of.len())
}

/// TW-K06: a deployment that was called by identities is called without. A stolen key has none.
pub(super) fn key_switch(scene: &Scene<'_>, profile: &Profile) -> Vec<Sign> {
    let [before, share, least, minutes] =
        ["before_share", "share", "calls", "minutes"].map(|name| profile.threshold(name));
    let mut of: BTreeMap<u32, (i64, i64)> = BTreeMap::new();
    for deed in scene.within(minutes).filter(|deed| ![NONE, OTHER].contains(&deed.deployment)) {
        let (keyed, named) = of.entry(deed.deployment).or_default();
        *keyed += i64::from(deed.keyed());
        *named += i64::from(deed.named());
    }
    let part = |keyed: i64, named: i64| as_float(keyed) / as_float((keyed + named).max(1));
    let judge = |(deployment, (keyed, named)): (u32, (i64, i64))| {
        let now = part(keyed, named);
        if as_float(keyed + named) < least || now < share {
            return None;
        }
        let days: Vec<_> = scene.conduct.past().days(deployment, scene.slot).collect();
        let (was_keyed, was_named) = days.iter().fold((0, 0), |(keyed, named), day| {
            (keyed + i64::from(day.keyed), named + i64::from(day.named))
        });
        let was = part(was_keyed, was_named);
        if days.len() < KEY_DAYS || was_keyed + was_named < KEY_CALLS || was > before {
            return None;
        }
        let mut visits = scene.networks_on(deployment, minutes);
        visits.retain(|_, visit| visit.keyed > 0);
        let callers = ranked(visits, |visit| visit.keyed);
        let mut evidence = vec![
            format!(
                "{keyed} of {} calls came without an identity in the last hour ({:.0} %); {:.1} % in the \
                 {} days before",
                keyed + named,
                100.0 * now,
                100.0 * was,
                days.len()
            ),
            "an identity that the log tells late reads as a key until then".to_owned(),
        ];
        evidence.extend(scene.sentences(&callers, |visit| format!("made {} of them", visit.keyed)));
        Some(Sign {
            deployment: Some(deployment),
            severity: profile.severity,
            confidence: 0.7,
            observed: 100.0 * now,
            expected: 100.0 * was,
            bound: 100.0 * share,
            unit: format!("% of calls without an identity in {minutes} min"),
            networks: numbers(&callers),
            evidence,
            answer: Answer::Keys,
        })
    };
    of.into_iter().filter_map(judge).collect()
}
