//! Named chains: three thefts from their first sign to their bill, and lawful days that look like one.

use serde_json::json;

use super::abuse::probes;
use super::guards::reduced;
use super::keys::{REGENERATE, allowed_again};
use super::stage::{Ask, DEPLOY, LIST_KEYS, Place, Stage, WRITE};
use super::volume::hour_of_calls;
use super::{Ends, Need, Play};
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS};

const fn chain(name: &'static str, about: &'static str, ends: Ends, act: fn(&mut Stage)) -> Play {
    let needs = &[Need::Lists];
    Play { name, about, ends, days: 10, hours: 5, busy: 2, needs, is_live: false, act }
}

const fn found(by: &'static [&'static str]) -> Ends {
    Ends::Found { by, unless: None }
}

const fn unless(by: &'static [&'static str], fact: &'static str) -> Ends {
    Ends::Found { by, unless: Some(fact) }
}

pub(super) const PLAYS: &[Play] = &[
    chain(
        "tw-x01",
        "keys are listed, then rented servers call with a key, then they call a hundred times an hour",
        unless(&["TW-X01"], "it was the deployer who listed them, as every night"),
        key_theft,
    ),
    chain(
        "tw-x02",
        "a deployment gets ten times its capacity, and within hours it is called a hundred times an hour",
        unless(&["TW-X02"], "its capacity stays as it was"),
        sprawl_and_burn,
    ),
    chain(
        "tw-x03",
        "a diagnostic setting sends less, and within hours a network that never called probes a key",
        unless(&["TW-X03"], "the setting is that of a virtual machine"),
        blind_then_act,
    ),
    chain(
        "leaked-key",
        "a leaked key is probed within minutes, then resold: many networks, long prompts",
        found(&["TW-A02", "TW-I02", "TW-C01"]),
        leaked_key,
    )
    // Younger than two weeks, a thousand times the usual may be a client that begins.
    .after(16),
    chain(
        "reverse-proxy",
        "a stolen key serves a proxy: images on an account that chats, rented servers, filters that refuse",
        found(&["TW-A07", "TW-A08", "TW-I02"]),
        reverse_proxy,
    ),
    chain(
        "foundry-key",
        "the keys of an account that refuses keys are taken: allowed again, listed, used",
        found(&["TW-K01", "TW-K03"]),
        allowed_again,
    ),
    chain(
        "nat-change",
        "the way out of the offices moves: all callers come from two new networks",
        Ends::NoPage,
        nat_change,
    ),
    chain(
        "new-office",
        "a new office, at home or abroad, begins to call with identities of its own",
        Ends::NoPage,
        new_office,
    ),
    chain(
        "load-test",
        "a team calls its own deployment twenty times as often for half an hour, until the quota is used up",
        Ends::NoPage,
        load_test,
    ),
    chain(
        "deploy-day",
        "the deployer writes accounts and deployments anew, adds some and deletes two, and lists keys",
        Ends::NoPage,
        deploy_day,
    ),
    chain(
        "key-rotation",
        "the deployer makes both keys anew as a week ago, and forgotten clients are refused",
        Ends::NoPage,
        key_rotation,
    ),
    chain(
        "fortnight",
        "two weeks as they are: homes, batches, full quotas, expired secrets, deployments that come and go",
        Ends::NoPage,
        fortnight,
    )
    .lasting(14 * 24),
];

fn key_theft(stage: &mut Stage) {
    let who = if stage.is_lawful() { &stage.deployer } else { &stage.stranger }.clone();
    let (account, at) = (stage.account(0), stage.minute(5..30));
    stage.does(at, &who, (&account, LIST_KEYS), None);
    let thief = stage.network(Place::Hosting);
    let first = at + stage.span(40..60);
    for number in 0..4 {
        stage.call(first + number * MINUTE_MS, &Ask::served(0, &thief, (600, 50)));
    }
    let count = stage.random.u32(130..180);
    let begin = first + stage.span(40..60);
    hour_of_calls(stage, begin, count, &Ask::served(0, &thief, (70_000, 900)));
}

fn sprawl_and_burn(stage: &mut Stage) {
    let who = stage.stranger.clone();
    let deployer = stage.deployer.clone();
    let (id, at) = (stage.deployment_id(0), stage.minute(5..30));
    let before = stage.before(20);
    let capacity = if stage.is_lawful() { 50 } else { 500 };
    let (was, is) = (stage.deployment_body(0, 50), stage.deployment_body(0, capacity));
    stage.does(before, &deployer, (&id, DEPLOY), Some(was));
    stage.does(at, &who, (&id, DEPLOY), Some(is));
    let network = stage.network(Place::Hosting);
    let (begin, count) = (at + stage.span(40..80), stage.random.u32(130..180));
    hour_of_calls(stage, begin, count, &Ask::served(0, &network, (70_000, 900)));
}

fn blind_then_act(stage: &mut Stage) {
    let at = stage.minute(5..30);
    reduced(stage, at);
    let thief = stage.network(Place::Abroad);
    let begin = at + stage.span(40..90);
    probes(stage, &thief, begin);
}

fn leaked_key(stage: &mut Stage) {
    let thief = stage.network(Place::Hosting);
    let leaked = stage.minute(10..40);
    let works = leaked + stage.span(9..17);
    let works = probes(stage, &thief, works);
    let places = [Place::Hosting, Place::Abroad, Place::Branch];
    let buyers: Vec<String> = (0..stage.random.usize(8..20))
        .map(|number| stage.network(places.get(number % 3).copied().unwrap_or(Place::Hosting)))
        .collect();
    let begin = works + stage.span(5..30);
    for _ in 0..stage.random.u32(180..260) {
        let buyer = stage.random.choice(&buyers).cloned().unwrap_or_default();
        let tokens = (stage.random.u32(40_000..110_000), stage.random.u32(500..3_000));
        let at = begin + stage.span(0..90);
        stage.call(at, &Ask::served(0, &buyer, tokens));
    }
}

fn reverse_proxy(stage: &mut Stage) {
    let proxy = [stage.network(Place::Hosting), stage.network(Place::Hosting)];
    let begin = stage.minute(20..60);
    for _ in 0..stage.random.u32(60..120) {
        let network = stage.random.choice(&proxy).cloned().unwrap_or_default();
        let at = begin + stage.span(0..60);
        let ask = Ask::served(0, &network, (stage.random.u32(200..1_500), 0));
        let image = Ask { operation: Some("ImageGenerations_Create"), ..ask };
        let is_refused = stage.random.u32(0..100) < 60;
        stage.call(at, &if is_refused { image.refused(400) } else { image });
    }
}

/// Usual calls of a deployment from a moment on, through other networks.
fn moved(stage: &mut Stage, place: usize, from_ms: i64, networks: &[String]) {
    let end = stage.end_ms;
    let Some(deployment) = stage.deployment(place) else { return };
    deployment.silent_ms = from_ms..end;
    let callers = deployment.callers.clone();
    let mut at = from_ms;
    while at < end {
        let mean = (HOUR_MS / 6) / 2;
        at += stage.random.i64(mean / 2..mean * 3 / 2);
        let (_, identity) = stage.random.choice(&callers).cloned().unwrap_or_default();
        let network = stage.random.choice(networks).cloned().unwrap_or_default();
        let tokens = (stage.random.u32(1_000..5_000), stage.random.u32(100..600));
        stage.call(at, &Ask { identity, ..Ask::served(place, &network, tokens) });
    }
}

fn nat_change(stage: &mut Stage) {
    stage.calls_per_hour = 6.0;
    let networks = [stage.network(Place::Cloud), stage.network(Place::Cloud)];
    let from = stage.minute(20..90);
    for place in 0..2 {
        moved(stage, place, from, &networks);
    }
}

fn new_office(stage: &mut Stage) {
    stage.calls_per_hour = 6.0;
    let place = if stage.random.bool() { Place::Branch } else { Place::Abroad };
    let network = stage.network(place);
    let people: Vec<String> = (0..stage.random.usize(3..8)).map(|_| stage.guid()).collect();
    let begin = stage.minute(10..60);
    for _ in 0..stage.random.u32(12..25) {
        let identity = stage.random.choice(&people).cloned().unwrap_or_default();
        let tokens = (stage.random.u32(1_000..5_000), stage.random.u32(100..600));
        let at = begin + stage.span(0..180);
        let deployment = stage.random.usize(0..2);
        stage.call(at, &Ask { identity, ..Ask::served(deployment, &network, tokens) });
    }
}

fn load_test(stage: &mut Stage) {
    stage.calls_per_hour = 6.0;
    let caller = stage.deployment(0).and_then(|deployment| deployment.callers.first().cloned());
    let (network, identity) = caller.unwrap_or_default();
    let begin = stage.minute(20..90);
    for _ in 0..stage.random.u32(250..400) {
        let at = begin + stage.span(0..30);
        let ask = Ask::served(0, &network, (stage.random.u32(900..1_100), 100));
        let ask = Ask { identity: identity.clone(), ..ask };
        let is_limited = stage.random.u32(0..100) < 30;
        stage.call(at, &if is_limited { ask.refused(429) } else { ask });
    }
}

fn deploy_day(stage: &mut Stage) {
    let deployer = stage.deployer.clone();
    let mut at = stage.minute(10..40);
    for place in 0..3 {
        let account = stage.account(place);
        let body = json!({ "location": "eastus2", "kind": "AIServices", "properties": {
            "publicNetworkAccess": "Enabled", "disableLocalAuth": false,
        } });
        stage.does(at, &deployer, (&account, WRITE), Some(body));
        at += stage.span(1..4);
        let (id, body) = (stage.deployment_id(place), stage.deployment_body(place, 70));
        stage.does(at, &deployer, (&id, DEPLOY), Some(body));
        at += stage.span(1..4);
        let id = format!("{account}/deployments/{}", stage.word());
        let body = stage.deployment_body(place, 50);
        stage.does(at, &deployer, (&id, DEPLOY), Some(body));
        at += stage.span(1..4);
        stage.does(at, &deployer, (&account, LIST_KEYS), None);
        at += stage.span(1..4);
        if place < 2 {
            let delete = "Microsoft.CognitiveServices/accounts/deployments/delete";
            stage.does(at, &deployer, (&id, delete), None);
        }
    }
}

fn key_rotation(stage: &mut Stage) {
    let deployer = stage.deployer.clone();
    let caller = stage.deployment(0).and_then(|deployment| deployment.callers.first().cloned());
    let (network, _) = caller.unwrap_or_default();
    for day in [-7, 0] {
        let mut at = stage.curtain_ms + day * DAY_MS + stage.span(10..60);
        for place in 0..3 {
            let account = stage.account(place);
            for _ in 0..2 {
                stage.does(at, &deployer, (&account, REGENERATE), None);
                at += stage.span(1..3);
                stage.does(at, &deployer, (&account, LIST_KEYS), None);
                at += stage.span(5..12);
            }
        }
        for _ in 0..stage.random.u32(20..60) {
            let refused = at + stage.random.i64(0..20 * MINUTE_MS);
            stage.call(refused, &Ask::served(0, &network, (400, 0)).refused(401));
        }
    }
}

/// What happens on some days in any fleet.
fn fortnight(stage: &mut Stage) {
    stage.calls_per_hour = 6.0;
    let deployer = stage.deployer.clone();
    let people: Vec<String> = (0..stage.random.usize(2..6)).map(|_| stage.guid()).collect();
    for day in 0..14 {
        let today = day * 24 * 60;
        match stage.random.u8(0..8) {
            0 => {
                let (place, home) = (stage.random.usize(0..2), stage.network(Place::Branch));
                let identity = stage.random.choice(&people).cloned().unwrap_or_default();
                for _ in 0..stage.random.u32(3..15) {
                    let tokens = (stage.random.u32(500..4_000), stage.random.u32(50..600));
                    let at = stage.minute(today..today + 600);
                    let identity = identity.clone();
                    stage.call(at, &Ask { identity, ..Ask::served(place, &home, tokens) });
                }
            }
            1 => {
                let (at, calls) = (stage.minute(today..today + 1_000), stage.random.u32(40..80));
                batch(stage, at, calls);
            }
            2 => {
                let (account, name) = (stage.account(0), stage.word());
                let id = format!("{account}/deployments/{name}");
                let body = stage.deployment_body(1, 50);
                let at = stage.minute(today..today + 600);
                stage.does(at, &deployer, (&id, DEPLOY), Some(body));
                let gone = at + stage.span(60..300);
                let delete = "Microsoft.CognitiveServices/accounts/deployments/delete";
                stage.does(gone, &deployer, (&id, delete), None);
            }
            3 => {
                let caller = stage.deployment(0).and_then(|d| d.callers.first().cloned());
                let (network, _) = caller.unwrap_or_default();
                let begin = stage.minute(today..today + 1_000);
                for _ in 0..stage.random.u32(5..20) {
                    let at = begin + stage.span(0..200);
                    stage.call(at, &Ask::served(0, &network, (400, 0)).refused(401));
                }
            }
            _ => {}
        }
    }
}

/// A caller's batch: calls of like size within the hour, of which a few find the quota used up.
fn batch(stage: &mut Stage, begin: i64, calls: u32) {
    let caller = stage.deployment(1).and_then(|deployment| deployment.callers.first().cloned());
    let (network, identity) = caller.unwrap_or_default();
    for _ in 0..calls {
        let at = begin + stage.span(0..60);
        let tokens = (stage.random.u32(1_500..2_500), stage.random.u32(100..300));
        let ask = Ask { identity: identity.clone(), ..Ask::served(1, &network, tokens) };
        let is_limited = stage.random.u32(0..100) < 5;
        stage.call(at, &if is_limited { ask.refused(429) } else { ask });
    }
}
