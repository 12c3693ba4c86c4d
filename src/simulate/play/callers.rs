//! Plays about who asks (`TW-I02` to `I04`, `I06` to `I08`), and with what right (`TW-K06`).

use serde_json::json;

use super::stage::{Ask, Place, Stage, WRITE};
use super::{Need, Play};
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS};

/// A play of calls that lists say something of: nine days, because nothing is new before seven.
pub(super) const PLAYS: &[Play] = &[
    Play::of_calls(
        "tw-i07",
        "an account that is called through a gateway is called from beside it",
        &["TW-I07"],
        "the gateway's logs tell of these calls too",
        bypass,
    )
    .after(1)
    .using(0)
    .needing(&[Need::GatewayOnly]),
    Play::of_calls(
        "tw-i02",
        "a network of rented servers calls for the first time, with a key or for more than a dollar",
        &["TW-I02"],
        "it is an ordinary line",
        hosting,
    ).needing(&[Need::Lists]),
    Play::of_calls("tw-i03", "an exit of Tor calls", &["TW-I03"], "no list names its network", tor).needing(&[Need::Lists]),
    Play::of_calls(
        "tw-i04",
        "a network of another country calls with a key for the first time",
        &["TW-I04"],
        "it is of a country that calls every day",
        country,
    ).needing(&[Need::Lists]),
    // Nobody else calls, and nothing must be learnt.
    Play::of_calls(
        "tw-i06",
        "a public network is served by an account whose public access was switched off before",
        &["TW-I06"],
        "its network is a private one",
        shut,
    )
    .after(2)
    .lasting(4)
    .using(0),
    Play::of_calls(
        "tw-i08",
        "one identity calls from two new networks of two countries within the hour",
        &["TW-I08"],
        "both are in one country",
        distant,
    ).needing(&[Need::Lists]),
    Play::of_calls(
            "tw-k06",
            "calls to a deployment that had an identity come with a key",
            &["TW-K06"],
            "some have come so every day",
            key_switch,),
];

/// Five to fifteen calls of one network within half an hour.
fn visit(stage: &mut Stage, network: &str) {
    let begin = stage.minute(20..90);
    for _ in 0..stage.random.u32(5..=15) {
        let at = begin + stage.span(0..30);
        let tokens = (stage.random.u32(100..4_000), stage.random.u32(10..300));
        stage.call(at, &Ask::served(0, network, tokens));
    }
}

fn hosting(stage: &mut Stage) {
    let place = if stage.is_lawful() { Place::Branch } else { Place::Hosting };
    let network = stage.network(place);
    if stage.random.bool() {
        return visit(stage, &network);
    }
    let (identity, begin) = (stage.guid(), stage.minute(20..90));
    for _ in 0..stage.random.u32(3..=6) {
        let at = begin + stage.span(0..20);
        let ask = Ask::served(0, &network, (stage.random.u32(400_000..600_000), 300));
        stage.call(at, &Ask { identity: identity.clone(), ..ask });
    }
}

fn tor(stage: &mut Stage) {
    let place = if stage.is_lawful() { Place::Branch } else { Place::Tor };
    let network = stage.network(place);
    visit(stage, &network);
}

fn country(stage: &mut Stage) {
    let known = stage.network(Place::Abroad);
    if stage.is_lawful() {
        for day in 1..9 {
            let at = stage.before(24 * day);
            stage.call(at, &Ask::served(0, &known, (500, 50)));
        }
    }
    let network = stage.network(Place::Abroad);
    visit(stage, &network);
}

/// Hours before the live part an account is shut; then a network calls it with a key.
fn shut(stage: &mut Stage) {
    let (deployer, account) = (stage.deployer.clone(), stage.account(0));
    let body = json!({ "location": "eastus2", "kind": "AIServices", "properties": {
        "publicNetworkAccess": "Disabled", "networkAcls": { "defaultAction": "Deny" },
    } });
    let at = stage.before(2);
    stage.does(at, &deployer, (&account, WRITE), Some(body));
    let public = stage.network(Place::Branch);
    let private = format!("10.{}.{}", stage.random.u8(..), stage.random.u8(..));
    let network = if stage.is_lawful() { private } else { public };
    visit(stage, &network);
}

fn distant(stage: &mut Stage) {
    let identity = stage.guid();
    let second = if stage.is_lawful() { Place::Cloud } else { Place::Abroad };
    let networks = [stage.network(Place::Branch), stage.network(second)];
    let begin = stage.minute(20..90);
    for _ in 0..stage.random.u32(5..=10) {
        for network in &networks {
            let at = begin + stage.span(0..35);
            let ask = Ask::served(0, network, (800, 90));
            stage.call(at, &Ask { identity: identity.clone(), ..ask });
        }
    }
}

fn bypass(stage: &mut Stage) {
    let [gateway, other] = [Place::Cloud, Place::Branch].map(|place| stage.network(place));
    let identity = stage.guid();
    let mut at = stage.curtain_ms - 4 * HOUR_MS;
    while at < stage.end_ms - 30 * MINUTE_MS {
        let tokens = (stage.random.u32(100..4_000), stage.random.u32(10..900));
        let ask = Ask { identity: identity.clone(), ..Ask::served(0, &gateway, tokens) };
        stage.call_through(at, &ask);
        at += stage.span(1..4);
    }
    let begin = stage.minute(20..60);
    for _ in 0..stage.random.u32(8..15) {
        let at = begin + stage.span(0..30);
        let ask = Ask::served(0, &other, (stage.random.u32(100..4_000), 95));
        if stage.is_lawful() {
            stage.call_through(at, &ask);
        } else {
            stage.call(at, &ask);
        }
    }
}

fn key_switch(stage: &mut Stage) {
    let (application, lawful) = (stage.guid(), stage.is_lawful());
    let Some(deployment) = stage.deployment(0) else { return };
    deployment.load = 4.0;
    for (_, identity) in &mut deployment.callers {
        identity.clone_from(&application);
    }
    let network = deployment.callers.first().map(|(network, _)| network.clone());
    let network = network.unwrap_or_default();
    let begin = stage.minute(20..80);
    let first = if lawful { -8 } else { 0 };
    for day in first..=0 {
        for _ in 0..stage.random.u32(35..60) {
            let at = begin + day * DAY_MS + stage.span(0..40);
            stage.call(at, &Ask::served(0, &network, (700, 60)));
        }
    }
}
