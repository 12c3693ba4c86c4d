//! What no detector may know, for bounds of what one could find.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use serde::Serialize;

use super::Settings;
use super::fleet::{Fleet, Ordinary, name};

/// Name of the file in a track's folder.
pub const ORACLE_FILE: &str = "fleet_oracle.jsonl";

/// The laws that a deployment's ordinary traffic was drawn from.
#[derive(Debug, Serialize)]
struct Laws {
    series: String,
    /// Calls expected in every slot by rhythm, level, trend and holidays; a lawful growth comes on top.
    expected: Vec<f32>,
    /// Factor on them that no calendar knows.
    modulation: Vec<f32>,
    /// Of that factor's logarithm: standard deviation and correlation time in slots of the wander,
    /// and standard deviation of a day's.
    wander_sigma: f64,
    wander_slots: f64,
    day_sigma: f64,
    /// Bursts a week and the largest's factor.
    bursts_per_week: f64,
    burst_max: f64,
    /// Shape of the negative binomial counts.
    shape: f64,
    /// Different callers that there are.
    pool: f64,
    /// Mean prompt and generated tokens of a call, and one call's standard deviation relative to that.
    input: f64,
    output: f64,
    deviation: f64,
    /// Standard deviation of the logarithm and correlation time in slots of the slow factor on both.
    drift_sigma: f64,
    drift_slots: f64,
}

/// Writes the laws of every deployment of the fleet that [`super::fleet`] draws from the same
/// settings: a line of JSON each.
///
/// # Errors
/// What the file system says.
pub fn write_oracle(settings: &Settings, folder: &Path) -> io::Result<()> {
    let mut out = BufWriter::new(File::create(folder.join(ORACLE_FILE))?);
    let fleet = Fleet::plan(settings);
    for number in 0..settings.deployments {
        let (ordinary, _) = fleet.ordinary(number);
        serde_json::to_writer(&mut out, &laws(number, settings, ordinary))?;
        out.write_all(b"\n")?;
    }
    out.flush()
}

fn laws(number: usize, settings: &Settings, Ordinary { load, sizes, pool }: Ordinary) -> Laws {
    Laws {
        series: name(number),
        expected: load.expected.into_iter().map(single).collect(),
        modulation: load.modulation.factor.into_iter().map(single).collect(),
        wander_sigma: load.modulation.sigma,
        wander_slots: load.modulation.time,
        day_sigma: load.modulation.day_sigma,
        bursts_per_week: settings.bursts_per_week,
        burst_max: settings.burst_max,
        shape: load.shape,
        pool,
        input: sizes.input,
        output: sizes.output,
        deviation: sizes.deviation,
        drift_sigma: sizes.sigma,
        drift_slots: sizes.time,
    }
}

/// Half the digits make half the file.
#[expect(clippy::cast_possible_truncation, reason = "seven digits are more than the noise leaves")]
const fn single(value: f64) -> f32 {
    value as f32
}
