//! Plays about what is asked for, and how (`TW-A`, `TW-C14`).

use super::Play;
use super::keys::REGENERATE;
use super::stage::{Ask, Place, Stage};
use crate::simulate::record::CallKind;
use crate::time::{DAY_MS, MINUTE_MS};

/// A play of calls: nine days, because nothing is new before seven.
pub(super) const PLAYS: &[Play] = &[
    Play::of_calls(
        "tw-a01",
        "a deployment gets hundreds of requests of one size within ten minutes",
        &["TW-A01"],
        "of every size",
        clones,
    ),
    Play::of_calls(
        "tw-c14",
        "one caller asks dozens of times in ten minutes, each time with more than before",
        &["TW-C14"],
        "its requests come in any order of size",
        agent_loop,
    ),
    Play::of_calls(
        "tw-a02",
        "a network that never called sends small faulty calls and then one that works",
        &["TW-A02"],
        "the network has called every day",
        probe,
    ),
    Play::of_calls(
        "tw-a03",
        "a network that never called lists models again and again, or asks for what is not there",
        &["TW-A03"],
        "the network has called every day",
        enumeration,
    ),
    Play::of_calls(
        "tw-a04",
        "dozens of calls are refused within ten minutes for want of a right",
        &["TW-A04"],
        "one every few minutes, as an expired secret does it",
        denied,
    ),
    Play::of_calls(
        "tw-a05",
        "a network that had a key calls with it after it was made anew",
        &["TW-A05"],
        "none was made anew",
        revoked,
    ),
    Play::of_calls(
        "tw-a06",
        "a third to two thirds of a deployment's calls find the quota used up",
        &["TW-A06"],
        "so it is every day",
        limited,
    ),
    Play::of_calls(
        "tw-a07",
        "dozens of calls are refused within half an hour as content filters do it",
        &["TW-A07"],
        "so it is every day",
        storm,
    ),
    Play::of_calls(
        "tw-a08",
        "an account that only chats makes images, or is asked for files",
        &["TW-A08"],
        "it has made them every day",
        novelty,
    ),
    Play::of_calls(
        "tw-a09",
        "a network calls eighty times an hour for a working day, evenly and with every size",
        &["TW-A09"],
        "so it is every day",
        sweep,
    )
    .lasting(9),
    Play::of_calls(
        "tw-a10",
        "a network that never called asks for threads or files once a minute for three hours",
        &["TW-A10"],
        "at any moment, and not at a fixed beat",
        beat,
    )
    .lasting(5),
];

/// A network that never called; for the look-alike one that has called once a day.
fn newcomer(stage: &mut Stage, place: Place) -> String {
    let network = stage.network(place);
    if stage.is_lawful() {
        for day in 1..9 {
            let at = stage.before(24 * day);
            stage.call(at, &Ask::served(0, &network, (900, 80)));
        }
    }
    network
}

fn clones(stage: &mut Stage) {
    let place = stage.random.usize(0..2);
    let network = stage.network(Place::Branch);
    let count = stage.random.i64(320..500);
    let size = stage.random.u32(200..3_000);
    let begin = stage.minute(20..90);
    for number in 0..count {
        // Sizes are told by class: each at least a sixth more than the one before.
        let drawn = f64::from(size) * 1.18_f64.powi(stage.random.i32(-8..8));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a few thousand"
        )]
        let tokens = if stage.is_lawful() { drawn as u32 } else { size };
        let at = begin + number * 8 * MINUTE_MS / count;
        stage.call(at, &Ask::served(place, &network, (tokens, 20)));
    }
}

pub(super) fn probe(stage: &mut Stage) {
    let network = newcomer(stage, Place::Abroad);
    let begin = stage.minute(20..90);
    probes(stage, &network, begin);
}

/// Three to eight small faulty calls and one that works; when that is.
pub(super) fn probes(stage: &mut Stage, network: &str, begin: i64) -> i64 {
    let mut at = begin;
    for _ in 0..stage.random.u32(3..=8) {
        let tokens = stage.random.u32(5..60);
        stage.call(at, &Ask::served(0, network, (tokens, 0)).refused(400));
        at += stage.span(0..2);
    }
    at += stage.span(1..15);
    stage.call(at, &Ask::served(0, network, (12, 3)));
    at
}

fn enumeration(stage: &mut Stage) {
    let network = newcomer(stage, Place::Abroad);
    let mut at = stage.minute(20..90);
    let lists = stage.random.bool();
    for _ in 0..stage.random.u32(12..=18) {
        let ask = Ask::served(0, &network, (40, 0));
        let ask = if lists { Ask { kind: CallKind::Control, ..ask } } else { ask.refused(404) };
        stage.call(at, &ask);
        at += stage.random.i64(0..MINUTE_MS);
    }
}

fn denied(stage: &mut Stage) {
    let network = stage.network(Place::Branch);
    let count = stage.random.i64(40..90);
    let step = if stage.is_lawful() { 150 * 1_000 } else { 6 * MINUTE_MS / count };
    let begin = stage.minute(10..30);
    let status = if stage.random.bool() { 401 } else { 403 };
    for number in 0..count {
        let at = begin + number * step;
        stage.call(at, &Ask::served(0, &network, (300, 0)).refused(status));
    }
}

fn revoked(stage: &mut Stage) {
    let network = stage.network(Place::Branch);
    for day in 1..9 {
        let at = stage.before(24 * day);
        stage.call(at, &Ask::served(0, &network, (900, 80)));
    }
    let (deployer, account) = (stage.deployer.clone(), stage.account(0));
    let made = stage.minute(10..40);
    if !stage.is_lawful() {
        stage.does(made, &deployer, (&account, REGENERATE), None);
    }
    let begin = made + stage.span(15..40);
    for _ in 0..stage.random.u32(6..15) {
        let at = begin + stage.span(0..25);
        stage.call(at, &Ask::served(0, &network, (900, 0)).refused(401));
    }
}

fn limited(stage: &mut Stage) {
    let place = stage.random.usize(0..2);
    let share = stage.random.u32(35..65);
    let hour = stage.minute(20..60);
    let first = if stage.is_lawful() { -8 } else { 0 };
    let network = stage.network(Place::Office);
    for day in first..=0 {
        for minute in 0..30 {
            for _ in 0..8 {
                let at = hour + day * DAY_MS + minute * MINUTE_MS + stage.span(0..1);
                let ask = Ask::served(place, &network, (500, 50));
                let is_limited = stage.random.u32(0..100) < share;
                stage.call(at, &if is_limited { ask.refused(429) } else { ask });
            }
        }
    }
}

fn storm(stage: &mut Stage) {
    let place = stage.random.usize(0..2);
    let hour = stage.minute(20..90);
    let first = if stage.is_lawful() { -8 } else { 0 };
    let network = stage.network(Place::Branch);
    let count = stage.random.i64(30..60);
    for day in first..=0 {
        for number in 0..count {
            let at = hour + day * DAY_MS + number * 20 * MINUTE_MS / count;
            let tokens = stage.random.u32(200..2_000);
            stage.call(at, &Ask::served(place, &network, (tokens, 0)).refused(400));
        }
    }
}

fn agent_loop(stage: &mut Stage) {
    let network = stage.network(Place::Office);
    let begin = stage.minute(20..90);
    let count = stage.random.u32(200..280);
    let (first, last) = (stage.random.u32(300..600), stage.random.u32(9_000..14_000));
    let mut sizes: Vec<u32> =
        (0..count).map(|number| first + (last - first) * number / count).collect();
    if stage.is_lawful() {
        stage.random.shuffle(&mut sizes);
    }
    for (number, tokens) in (0..).zip(sizes) {
        let at = begin + number * 20 * MINUTE_MS / i64::from(count);
        stage.call(at, &Ask::served(0, &network, (tokens, 60)));
    }
}

/// Seven and a half hours hold six whole ones of the clock.
fn sweep(stage: &mut Stage) {
    let network = stage.network(Place::Branch);
    let begin = stage.minute(20..80);
    let every = 3_600_000 / stage.random.i64(72..96);
    let first = if stage.is_lawful() { -3 } else { 0 };
    for day in first..=0 {
        for number in 0..450 * MINUTE_MS / every {
            let at = begin + day * DAY_MS + number * every + stage.random.i64(0..every / 2);
            let tokens = stage.random.u32(100..4_000);
            stage.call(at, &Ask::served(0, &network, (tokens, 300)));
        }
    }
}

/// Three hours and more hold two whole ones of the clock.
fn beat(stage: &mut Stage) {
    let operations = ["Threads_ListMessages", "Assistants_GetRun", "Files_Get"];
    let operation = stage.random.choice(operations);
    let network = stage.network(Place::Abroad);
    let begin = stage.minute(20..80);
    let every = stage.random.i64(40_000..100_000);
    let count = 200 * MINUTE_MS / every;
    for number in 0..count {
        let strays = stage.random.i64(-every / 40..every / 40);
        let anywhere = stage.random.i64(0..count * every);
        let at = if stage.is_lawful() { anywhere } else { number * every + strays };
        stage.call(begin + at, &Ask { operation, ..Ask::served(0, &network, (0, 0)) });
    }
}

fn novelty(stage: &mut Stage) {
    let operations = ["ImageGenerations_Create", "Files_Create", "Batches_Create"];
    let operation = stage.random.choice(operations);
    let network = stage.network(Place::Office);
    let begin = stage.minute(20..90);
    let first = if stage.is_lawful() { -8 } else { 0 };
    for day in first..=0 {
        for number in 0..stage.random.i64(7..15) {
            let at = begin + day * DAY_MS + number * 2 * MINUTE_MS;
            stage.call(at, &Ask { operation, ..Ask::served(0, &network, (0, 0)) });
        }
    }
}
