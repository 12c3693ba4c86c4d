//! Plays about how a deployment is used: longer answers, a cache that fails, hours that have no calls
//! (`TW-C06`, `TW-C08`, `TW-C09`).

use super::Play;
use super::stage::{Ask, Place, Stage};
use super::volume::hour_of_calls;
use crate::time::{HOUR_MS, MINUTE_MS};

pub(super) const PLAYS: &[Play] = &[
    Play::of_calls(
        "tw-c06",
        "a deployment that answers in a few sentences writes sixteen thousand tokens a call",
        &["TW-C06"],
        "the prompts are as many times longer",
        long_answers,
    ),
    Play::of_calls(
        "tw-c08",
        "prompts of which half came from the cache are sent without, as often as ever",
        &["TW-C08"],
        "half of each still comes from the cache",
        cold_cache,
    )
    .after(5)
    .using(1),
    Play::of_calls(
        "tw-c09",
        "a deployment that is used in ten hours of the day is used at length in another",
        &["TW-C09"],
        "it has been used around the clock",
        at_night,
    )
    .after(23)
    .using(1),
];

fn long_answers(stage: &mut Stage) {
    stage.calls_per_hour = 6.0;
    let network = stage.network(Place::Office);
    let begin = stage.minute(20..80);
    let count = stage.random.u32(110..140);
    let usual = stage.deployment(0).map_or(1.0, |usual| usual.input / usual.output);
    let output = stage.random.u32(15_000..17_000);
    let long = f64::from(output) * usual;
    let input = if stage.is_lawful() { whole(long) } else { 1_500 };
    hour_of_calls(stage, begin, count, &Ask::served(0, &network, (input, output)));
}

fn cold_cache(stage: &mut Stage) {
    stage.calls_per_hour = 40.0;
    let (begin, end) = (stage.curtain_ms, stage.end_ms);
    let callers = stage.deployment(0).map(|usual| {
        (usual.input, usual.cached_share) = (45_000.0, 1.0);
        // The calls of the live part are the play's.
        usual.silent_ms = begin..end;
        usual.callers.clone()
    });
    let callers = callers.unwrap_or_default();
    for _ in 0..160 {
        let at = begin + stage.random.i64(0..4 * HOUR_MS);
        let (network, identity) = stage.random.choice(&callers).cloned().unwrap_or_default();
        let input = stage.random.u32(30_000..60_000);
        let cached = if stage.is_lawful() { input / 2 } else { 0 };
        let ask = Ask::served(0, &network, (input, 200));
        stage.call(at, &Ask { identity, cached, ..ask });
    }
}

fn at_night(stage: &mut Stage) {
    stage.calls_per_hour = 3.0;
    let is_lawful = stage.is_lawful();
    if let Some(usual) = stage.deployment(0) {
        // Hours of the day are counted from the beginning, and the live part begins with a day.
        let load = |hour: i64| match hour {
            7..17 => 2.0,
            _ if is_lawful => 0.3,
            _ => 0.0,
        };
        usual.shape = (0..24).map(load).collect();
    }
    let network = stage.network(Place::Office);
    let begin = stage.curtain_ms + HOUR_MS + stage.span(0..5);
    for _ in 0..stage.random.u32(30..50) {
        let at = begin + stage.random.i64(0..50 * MINUTE_MS);
        let input = stage.random.u32(30_000..50_000);
        stage.call(at, &Ask::served(0, &network, (input, 400)));
    }
}

/// A count of tokens.
#[expect(clippy::cast_possible_truncation, reason = "a few hundred thousand")]
#[expect(clippy::cast_sign_loss, reason = "never negative")]
const fn whole(tokens: f64) -> u32 {
    tokens.round() as u32
}
