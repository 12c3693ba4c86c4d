//! Plays about how much, what it costs, from how many networks, and about silence (`TW-C`, `TW-I01`, `TW-I05`,
//! `TW-P12`): as small as what the statistical detector must learn allows.

use super::stage::{Ask, Place, Stage};
use super::{Need, Play};
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS};

pub(super) const PLAYS: &[Play] = &[
    Play::of_calls(
        "tw-c01",
        "a deployment is called a hundred times an hour with long prompts",
        &["TW-C01"],
        "so it is every day at that hour",
        spike,
    )
    .after(10),
    Play::of_calls(
        "tw-c02",
        "a deployment of a dollar a day is called for three hours at twenty-five dollars an hour",
        &["TW-C02"],
        "so it is every day at those hours",
        runaway_day,
    )
    .after(10),
    Play::of_calls(
        "tw-c03",
        "the calls of a deployment grow by ten to twelve per cent every day for a week",
        &["TW-C03"],
        "they rose once, ten days ago, and stay",
        ramp,
    )
    .after(23)
    .lasting(7 * 24)
    .using(1),
    Play::of_calls(
        "tw-c04",
        "a deployment costs more than a hundred dollars an hour",
        &["TW-C04"],
        "the same calls go to a model that costs a fifth",
        ceiling,
    )
    .after(1),
    Play::of_calls(
        "tw-c05",
        "within an hour a budget of 300 USD a month loses what it allows for a day",
        &["TW-C05"],
        "the same calls go to a model that costs a fifth",
        burn,
    )
    .needing(&[Need::Budget]),
    Play::of_calls(
        "tw-c10",
        "a new deployment costs more than fifty dollars on its first day",
        &["TW-C10"],
        "the same calls go to a model that costs a fifth",
        cold_start,
    ),
    Play::of_calls(
        "tw-c11",
        "a deployment that nobody called for weeks is called",
        &["TW-C11"],
        "somebody has called it every day",
        wake,
    )
    .after(22),
    Play::of_calls(
        "tw-i01",
        "a network that never called spends more than a dollar within an hour",
        &["TW-I01"],
        "the network has called every day",
        new_network,
    ),
    Play::of_calls(
        "tw-i05",
        "seventy to a hundred and ten networks that never called use one deployment within an hour",
        &["TW-I05"],
        "each of them has called before",
        fan_out,
    )
    .after(15),
    Play::of_calls(
        "tw-p12",
        "a deployment that is called all the time says nothing for hours",
        &["TW-P12"],
        "it speaks again after twenty minutes",
        silence,
    )
    .after(15)
    .lasting(8),
];

/// So many calls of one network, spread over an hour from `begin`.
pub(super) fn hour_of_calls(stage: &mut Stage, begin: i64, count: u32, ask: &Ask) {
    for _ in 0..count {
        let at = begin + stage.random.i64(0..HOUR_MS);
        let (input, output) = ask.tokens;
        let input = stage.random.u32(input * 4 / 5..input * 6 / 5);
        stage.call(at, &Ask { tokens: (input, output), ..ask.clone() });
    }
}

fn spike(stage: &mut Stage) {
    let network = stage.network(Place::Office);
    let begin = stage.minute(20..80);
    let first = if stage.is_lawful() { -9 } else { 0 };
    let size = stage.random.u32(40_000..90_000);
    stage.calls_per_hour = 2.0;
    for day in first..=0 {
        let count = stage.random.u32(110..140);
        hour_of_calls(stage, begin + day * DAY_MS, count, &Ask::served(0, &network, (size, 900)));
    }
}

fn runaway_day(stage: &mut Stage) {
    let network = stage.network(Place::Office);
    let begin = stage.minute(0..60);
    let first = if stage.is_lawful() { -9 } else { 0 };
    for day in first..=0 {
        for hour in 0..3 {
            let count = stage.random.u32(95..105);
            let at = begin + day * DAY_MS + hour * HOUR_MS;
            hour_of_calls(stage, at, count, &Ask::served(0, &network, (100_000, 900)));
        }
    }
}

fn ramp(stage: &mut Stage) {
    let place = stage.deploy(0, 2, 0.0);
    let callers: Vec<String> = (0..4).map(|_| stage.network(Place::Office)).collect();
    let growth = 1.10 + 0.02 * stage.random.f64();
    let before = (stage.curtain_ms - stage.start_ms) / DAY_MS;
    for day in 0..(stage.end_ms - stage.start_ms) / DAY_MS {
        let grown = 200.0 * growth.powi(i32::try_from(day - before).unwrap_or(0).max(0));
        let stepped = if day < before - 10 { 70.0 } else { 200.0 };
        let mut left = if stage.is_lawful() { stepped } else { grown } + stage.random.f64();
        while left >= 1.0 {
            left -= 1.0;
            let at = stage.start_ms + day * DAY_MS + stage.random.i64(0..DAY_MS);
            let network = stage.random.choice(&callers).cloned().unwrap_or_default();
            let tokens = (stage.random.u32(390_000..410_000), 900);
            if at < stage.end_ms - 15 * MINUTE_MS {
                stage.call(at, &Ask::served(place, &network, tokens));
            }
        }
    }
}

/// A deployment without calls of its own: of a dear model, or of one that costs a fifth.
fn dear_or_cheap(stage: &mut Stage) -> usize {
    let model = if stage.is_lawful() { 3 } else { 2 };
    stage.deploy(0, model, 0.0)
}

fn ceiling(stage: &mut Stage) {
    let place = dear_or_cheap(stage);
    let network = stage.network(Place::Office);
    let begin = stage.minute(10..60);
    let count = stage.random.u32(90..110);
    hour_of_calls(stage, begin, count, &Ask::served(place, &network, (750_000, 800)));
}

fn burn(stage: &mut Stage) {
    let place = dear_or_cheap(stage);
    let network = stage.network(Place::Office);
    let hours = (stage.minute(20..60) + HOUR_MS).div_euclid(HOUR_MS);
    let count = stage.random.u32(25..35);
    hour_of_calls(stage, hours * HOUR_MS, count, &Ask::served(place, &network, (250_000, 800)));
}

fn cold_start(stage: &mut Stage) {
    let place = dear_or_cheap(stage);
    let network = stage.network(Place::Office);
    let begin = stage.minute(10..60);
    let count = stage.random.u32(50..60);
    hour_of_calls(stage, begin, count, &Ask::served(place, &network, (750_000, 800)));
}

fn wake(stage: &mut Stage) {
    let place = stage.deploy(0, 0, 0.0);
    let (owner, network) = (stage.network(Place::Office), stage.network(Place::Branch));
    let used = if stage.is_lawful() { 22 } else { 4 };
    for day in 0..used {
        for _ in 0..stage.random.u32(8..16) {
            let at = stage.start_ms + day * DAY_MS + stage.random.i64(0..DAY_MS);
            stage.call(at, &Ask::served(place, &owner, (1_500, 200)));
        }
    }
    let begin = stage.minute(20..90);
    for _ in 0..stage.random.u32(6..12) {
        let at = begin + stage.span(0..15);
        stage.call(at, &Ask::served(place, &network, (2_000, 300)));
    }
}

fn new_network(stage: &mut Stage) {
    let network = stage.network(Place::Branch);
    if stage.is_lawful() {
        for day in 1..9 {
            let at = stage.before(24 * day);
            stage.call(at, &Ask::served(1, &network, (900, 80)));
        }
    }
    let begin = stage.minute(20..90);
    for _ in 0..stage.random.u32(3..8) {
        let at = begin + stage.span(0..20);
        stage.call(at, &Ask::served(1, &network, (400_000, 500)));
    }
}

fn fan_out(stage: &mut Stage) {
    if let Some(deployment) = stage.deployment(0) {
        deployment.load = 8.0;
    }
    let places = [Place::Branch, Place::Cloud, Place::Abroad];
    let begin = stage.minute(20..80);
    for number in 0..stage.random.usize(70..110) {
        let network = stage.network(places.get(number % 3).copied().unwrap_or(Place::Cloud));
        if stage.is_lawful() {
            let at = stage.start_ms + stage.random.i64(0..13 * DAY_MS);
            stage.call(at, &Ask::served(0, &network, (900, 90)));
        }
        let at = begin + stage.span(0..50);
        stage.call(at, &Ask::served(0, &network, (900, 90)));
    }
}

fn silence(stage: &mut Stage) {
    stage.calls_per_hour = 1.0;
    let begin = stage.minute(20..60);
    let end = if stage.is_lawful() { begin + 20 * MINUTE_MS } else { stage.end_ms };
    stage.note_arrival(begin);
    let Some(deployment) = stage.deployment(0) else { return };
    deployment.load = 16.0;
    deployment.silent_ms = begin..end;
}
