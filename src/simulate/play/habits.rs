//! Plays about how a deployment is used: longer answers, a cache that fails, hours that have no calls; and
//! about what metrics count by the piece (`TW-C06` to `TW-C09`, `TW-C12`, `TW-C13`).

use serde_json::json;

use super::super::record::seven_digits;
use super::Play;
use super::stage::{Ask, Place, Stage};
use super::volume::hour_of_calls;
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS};

pub(super) const PLAYS: &[Play] = &[
    Play::of_calls(
        "tw-c06",
        "a deployment that answers in a few sentences writes sixteen thousand tokens a call",
        &["TW-C06"],
        "the prompts are as many times longer",
        long_answers,
    ),
    Play::of_calls(
        "tw-c07",
        "prompts of half a novel go to a deployment that is asked in a page",
        &["TW-C07"],
        "so they do every other day",
        giants,
    )
    .using(1),
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
    Play::of_calls(
        "tw-c12",
        "provisioned units are full, and a deployment paid by the token takes ten times its calls",
        &["TW-C12"],
        "the units are half full",
        spill,
    )
    .after(5)
    .lasting(9)
    .using(1),
    Play::of_calls(
        "tw-c13",
        "an account that never made images makes hundreds within an hour",
        &["TW-C13"],
        "it makes as many every day",
        images,
    )
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

fn giants(stage: &mut Stage) {
    stage.calls_per_hour = 30.0;
    let network = stage.network(Place::Office);
    let begin = stage.minute(20..80);
    let first = if stage.is_lawful() { -8 } else { 0 };
    for day in (first..=0).step_by(2) {
        let count = stage.random.u32(30..50);
        let at = begin + day * DAY_MS;
        hour_of_calls(stage, at, count, &Ask::served(0, &network, (90_000, 500)));
    }
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

/// Tells how full the units of a deployment were in a minute, as Azure answers when it is asked.
fn utilization(stage: &mut Stage, at: i64, deployment: &str, percent: f64) {
    let account = stage.account(0);
    let body = json!({ "values": [{
        "resourceid": account.to_lowercase(), "interval": "PT1M",
        "value": [{
            "name": { "value": "AzureOpenAIProvisionedManagedUtilizationV2" }, "errorCode": "Success",
            "timeseries": [{
                "metadatavalues": [
                    { "name": { "value": "modeldeploymentname" }, "value": deployment },
                ],
                "data": [{ "timeStamp": seven_digits(at), "average": percent }],
            }],
        }],
    }] });
    stage.tell(at, 4 * MINUTE_MS, body.to_string());
}

fn spill(stage: &mut Stage) {
    stage.calls_per_hour = 6.0;
    let paid = stage.deploy(0, 0, 1.0);
    let units = stage.deployment(0).map_or_else(String::new, |units| units.name.to_string());
    let network = stage.network(Place::Office);
    let begin = stage.curtain_ms + HOUR_MS;
    let percent = if stage.is_lawful() { 50.0 } else { 99.5 };
    for minute in 0..60 {
        let at = begin + minute * MINUTE_MS;
        let of_minute = percent + stage.random.f64();
        utilization(stage, at, &units, of_minute);
    }
    let count = stage.random.u32(60..80);
    for _ in 0..count {
        let at = begin + stage.random.i64(MINUTE_MS..55 * MINUTE_MS);
        stage.call(at, &Ask::served(paid, &network, (9_000, 400)));
    }
}

/// Tells a count of a minute of the whole account, as diagnostic settings export it.
fn count(stage: &mut Stage, at: i64, name: &str, total: u32) {
    let point = json!({
        "count": 1, "total": total, "minimum": total, "maximum": total, "average": total,
        "resourceId": stage.account(0).to_uppercase(), "time": seven_digits(at / MINUTE_MS * MINUTE_MS),
        "metricName": name, "timeGrain": "PT1M",
    });
    stage.tell(at, 4 * MINUTE_MS, point.to_string());
}

fn images(stage: &mut Stage) {
    let begin = stage.minute(10..80);
    let hours = (stage.curtain_ms - stage.start_ms) / HOUR_MS;
    for hour in (0..hours).step_by(3) {
        let at = stage.start_ms + hour * HOUR_MS + stage.span(0..60);
        count(stage, at, "ModelRequests", 1);
    }
    let first = if stage.is_lawful() { -8 } else { 0 };
    for day in first..=0 {
        for minute in 0..40 {
            let total = stage.random.u32(9..12);
            count(stage, begin + day * DAY_MS + minute * MINUTE_MS, "GeneratedImages", total);
        }
    }
}

/// A count of tokens.
#[expect(clippy::cast_possible_truncation, reason = "a few hundred thousand")]
#[expect(clippy::cast_sign_loss, reason = "never negative")]
const fn whole(tokens: f64) -> u32 {
    tokens.round() as u32
}
