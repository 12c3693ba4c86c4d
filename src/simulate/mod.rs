//! Simulated Azure traffic with exact truth: demo, test oracle and load generator in one.
//!
//! A seeded fleet of deployments follows the rhythm of real clients; every call is written as the
//! rows Azure writes, delayed, doubled and scattered over partitions as Azure does; a scenario adds
//! an attack. The truth is counted from the calls, never from the rows or the engine.

pub mod attack;
pub mod fleet;
pub mod play;
pub mod record;
pub mod series;
pub mod truth;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;
use std::io::{self, Write};
use std::str::FromStr;

use crate::event::PartitionKey;
use crate::time::{ArrivalTime, HOUR_MS, MINUTE_MS};
use attack::Attack;
use fleet::{Deployment, Fleet};
use record::Call;
pub use truth::Truth;

/// What happens in the live part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Somebody else's networks use a stolen key.
    StolenKey,
    /// One of the own callers repeats itself.
    RunawayLoop,
    /// The own traffic grows fivefold within three days.
    SlowRamp,
    /// A busy deployment falls silent.
    Outage,
    /// Nothing.
    Quiet,
}

impl Scenario {
    /// Every scenario.
    pub const ALL: [Self; 5] =
        [Self::StolenKey, Self::RunawayLoop, Self::SlowRamp, Self::Outage, Self::Quiet];

    /// The word used on the command line.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::StolenKey => "stolen-key",
            Self::RunawayLoop => "runaway-loop",
            Self::SlowRamp => "slow-ramp",
            Self::Outage => "outage",
            Self::Quiet => "quiet",
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.word())
    }
}

impl FromStr for Scenario {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|scenario| scenario.word() == text);
        found.ok_or_else(|| {
            format!("no such scenario; there are {}", Self::ALL.map(Self::word).join(", "))
        })
    }
}

/// What to simulate.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Options {
    /// What happens in the live part.
    pub scenario: Scenario,
    /// Chooses everything else.
    pub seed: u64,
    /// Beginning, in milliseconds since 1970; taken down to a full hour.
    pub start_ms: i64,
    /// Hours of usual traffic before the live part.
    pub history_hours: u32,
    /// Minutes of the live part.
    pub live_minutes: u32,
    /// Partitions of the hub.
    pub partitions: u32,
    /// Deployments, at most [`fleet::MAX_DEPLOYMENTS`].
    pub deployments: u32,
    /// Mean calls per hour of one deployment.
    pub calls_per_hour: f64,
    /// Most records in one body.
    pub batch_records: usize,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            scenario: Scenario::StolenKey,
            seed: 1,
            start_ms: 1_790_812_800_000, // 2026-10-01T00:00:00Z
            history_hours: 336,
            live_minutes: 120,
            partitions: 4,
            deployments: 6,
            calls_per_hour: 60.0,
            batch_records: 20,
        }
    }
}

/// One event for the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HubEvent {
    /// Where it goes.
    pub partition: u32,
    /// When the hub takes it; grows along each partition.
    pub enqueued_ms: i64,
    /// `{"records":[…]}` as Azure writes it.
    pub body: Vec<u8>,
}

/// A fleet, its traffic and one attack, decided by the options alone.
#[derive(Debug, Clone)]
pub struct Simulation {
    options: Options,
    fleet: Fleet,
    attack: Option<Attack>,
    /// Rows that a [play](play) adds, each with its arrival in milliseconds since 1970.
    staged: Vec<(i64, String)>,
    /// Bodies of our own reading of the inventory that a [play](play) adds, likewise, in this order.
    readings: Vec<(i64, PartitionKey, String)>,
}

/// Rows within this span share a body.
const FLUSH_MS: i64 = 10_000;
/// No row comes later than this after the end of the simulation.
const TAIL_MS: i64 = MINUTE_MS;

impl Simulation {
    /// Decides everything that the options leave open.
    #[must_use]
    pub fn new(options: Options) -> Self {
        let start_ms = options.start_ms.div_euclid(HOUR_MS) * HOUR_MS;
        let partitions = options.partitions.max(1);
        let options = Options { start_ms, partitions, ..options };
        let fleet = Fleet::new(&options);
        let attack = Attack::plan(&options, &fleet);
        Self { options, fleet, attack, staged: Vec::new(), readings: Vec::new() }
    }

    /// Beginning, beginning of the live part, and end, in milliseconds since 1970.
    #[must_use]
    pub fn span(&self) -> (i64, i64, i64) {
        let live = self.options.start_ms + i64::from(self.options.history_hours) * HOUR_MS;
        (self.options.start_ms, live, live + i64::from(self.options.live_minutes) * MINUTE_MS)
    }

    /// The events in the order of arrival. Memory holds one hour and the delayed rows.
    pub fn events(&self) -> impl Iterator<Item = HubEvent> + Send + '_ {
        let staged = self.staged.iter().cloned().zip(1..);
        let waiting = staged
            .map(|((enqueued_ms, text), order)| Reverse(Delayed { enqueued_ms, order, text }));
        Events {
            simulation: self,
            hour: 0,
            waiting: waiting.collect(),
            order: u64::try_from(self.staged.len()).unwrap_or(0),
            packing: self.random("packing", 0),
        }
    }

    /// The same without the usual calls: of a [play] what it adds, and what is done to resources.
    #[must_use]
    pub fn without_calls(self) -> Self {
        Self { fleet: Fleet { deployments: Vec::new() }, ..self }
    }

    /// What really happened.
    #[must_use]
    pub fn truth(&self) -> Truth {
        let mut truth = Truth::new(self, self.attack.as_ref());
        for hour in 0..self.hours() {
            for call in self.calls_of(hour) {
                truth.add(&call);
            }
        }
        truth
    }

    /// The options after rounding.
    #[must_use]
    pub const fn options(&self) -> &Options {
        &self.options
    }

    fn hours(&self) -> i64 {
        let (start, _, end) = self.span();
        (end - start + HOUR_MS - 1) / HOUR_MS
    }

    /// Random numbers that depend on the seed, a purpose and a place only.
    fn random(&self, purpose: &str, place: u64) -> fastrand::Rng {
        random(self.options.seed, purpose, place)
    }

    /// Every call that begins in an hour, in no particular order.
    fn calls_of(&self, hour: i64) -> Vec<Call> {
        let mut calls = Vec::new();
        let place = u64::try_from(hour).unwrap_or(0);
        for (number, deployment) in self.fleet.deployments.iter().enumerate() {
            let number = u64::try_from(number).unwrap_or(0);
            let mut random = self.random("calls", place << 8 | number);
            self.usual_calls(hour, deployment, &mut random, &mut calls);
            if let Some(attack) = &self.attack {
                let mut random = self.random("attack calls", place << 8 | number);
                let hour_ms = self.options.start_ms + hour * HOUR_MS;
                attack.calls(hour_ms, deployment, &mut random, &mut calls);
            }
        }
        let (_, _, end) = self.span();
        calls.retain(|call| call.end_ms < end);
        calls
    }

    fn usual_calls(
        &self,
        hour: i64,
        deployment: &Deployment,
        random: &mut fastrand::Rng,
        calls: &mut Vec<Call>,
    ) {
        let begin = self.options.start_ms + hour * HOUR_MS;
        let growth = self.attack.as_ref().map_or(1.0, |attack| attack.growth(deployment, begin));
        let mean = self.options.calls_per_hour * deployment.load * deployment.shape(hour) * growth;
        for _ in 0..poisson(mean, random) {
            let end_ms = begin + random.i64(0..HOUR_MS);
            let call = deployment.usual_call(end_ms, random);
            let silenced = self.attack.as_ref().is_some_and(|attack| attack.silences(&call));
            if !silenced && !deployment.silent_ms.contains(&call.end_ms) {
                calls.push(call);
            }
        }
    }
}

/// The random numbers of one purpose and place under a seed.
fn random(seed: u64, purpose: &str, place: u64) -> fastrand::Rng {
    let hash = crate::decode::fingerprint(&[purpose, &seed.to_string(), &place.to_string()]);
    fastrand::Rng::with_seed(u64::try_from(hash >> 64).unwrap_or(0))
}

/// A Poisson count (Knuth 1969, in pieces so that e⁻ᵐ does not vanish).
fn poisson(mean: f64, random: &mut fastrand::Rng) -> u32 {
    let (mut left, mut count) = (mean, 0);
    while left > 0.0 {
        let (limit, mut product) = ((-left.min(30.0)).exp(), random.f64());
        while product > limit {
            count += 1;
            product *= random.f64();
        }
        left -= 30.0;
    }
    count
}

/// A row on its way to the hub; ordered by arrival, then by creation.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Delayed {
    enqueued_ms: i64,
    order: u64,
    text: String,
}

struct Events<'a> {
    simulation: &'a Simulation,
    hour: i64,
    waiting: BinaryHeap<Reverse<Delayed>>,
    order: u64,
    packing: fastrand::Rng,
}

impl Events<'_> {
    /// Generates hours until no earlier row can appear than the first that waits.
    fn fill(&mut self) {
        let (start, _, end) = self.simulation.span();
        while self.hour < self.simulation.hours() {
            let begun = start + self.hour * HOUR_MS;
            let ripe = self.waiting.peek().is_some_and(|row| row.0.enqueued_ms + FLUSH_MS < begun);
            if ripe {
                return;
            }
            let place = u64::try_from(self.hour).unwrap_or(0);
            let mut random = self.simulation.random("delays", place);
            for call in self.simulation.calls_of(self.hour) {
                for (delay_ms, text) in call.rows(&mut random) {
                    let enqueued_ms = (call.end_ms + delay_ms).min(end + TAIL_MS);
                    self.order += 1;
                    let row = Delayed { enqueued_ms, order: self.order, text };
                    self.waiting.push(Reverse(row));
                }
            }
            self.hour += 1;
        }
    }
}

impl Iterator for Events<'_> {
    type Item = HubEvent;

    fn next(&mut self) -> Option<HubEvent> {
        self.fill();
        let Reverse(first) = self.waiting.pop()?;
        let most = self.packing.usize(1..=self.simulation.options.batch_records.max(1));
        let until = first.enqueued_ms + FLUSH_MS;
        let mut enqueued_ms = first.enqueued_ms;
        let mut body = String::with_capacity(800 * most);
        body.push_str("{\"records\":[");
        body.push_str(&first.text);
        for _ in 1..most {
            let near = self.waiting.peek().is_some_and(|row| row.0.enqueued_ms <= until);
            let Some(Reverse(row)) = near.then(|| self.waiting.pop()).flatten() else { break };
            enqueued_ms = row.enqueued_ms;
            body.push(',');
            body.push_str(&row.text);
        }
        body.push_str("]}");
        let partition = self.packing.u32(0..self.simulation.options.partitions);
        Some(HubEvent { partition, enqueued_ms, body: body.into_bytes() })
    }
}

/// An event as one line of a capture; `log` is where it was read.
fn line(log: &str, (sequence, enqueued_ms): (i64, i64), body: &str) -> String {
    let enqueued = ArrivalTime(enqueued_ms);
    format!("{{{log},\"sequence\":{sequence},\"enqueued\":\"{enqueued}\",\"body\":{body}}}")
}

/// Writes every event as a line and says how far it is (milliseconds done and in all). Returns the
/// number of events.
///
/// # Errors
/// What the writer says.
pub fn write_file(
    simulation: &Simulation,
    out: &mut dyn Write,
    progress: &mut dyn FnMut(u64, u64),
) -> io::Result<u64> {
    let (start, _, end) = simulation.span();
    let all = u64::try_from(end - start).unwrap_or(0);
    let partitions = usize::try_from(simulation.options.partitions).unwrap_or(1);
    let mut sequences = vec![0_i64; partitions];
    let mut count = 0;
    let mut readings = simulation.readings.iter().zip(0..).peekable();
    let mut write_readings = |out: &mut dyn Write, until: i64| {
        while let Some(((at, key, body), n)) = readings.next_if(|((at, ..), _)| *at <= until) {
            let log = format!("\"hub\":\"{}\",\"partition\":\"{}\"", key.hub, key.partition);
            writeln!(out, "{}", line(&log, (n, *at), body))?;
        }
        Ok::<(), io::Error>(())
    };
    for event in simulation.events() {
        write_readings(out, event.enqueued_ms)?;
        let place = usize::try_from(event.partition).unwrap_or(0);
        let Some(sequence) = sequences.get_mut(place) else { continue };
        let log = format!("\"partition\":\"{}\"", event.partition);
        let body = String::from_utf8_lossy(&event.body);
        writeln!(out, "{}", line(&log, (*sequence, event.enqueued_ms), &body))?;
        *sequence += 1;
        count += 1;
        if count % 256 == 0 {
            progress(u64::try_from(event.enqueued_ms - start).unwrap_or(0).min(all), all);
        }
    }
    write_readings(out, i64::MAX)?;
    out.flush()?;
    progress(all, all);
    Ok(count)
}

#[cfg(test)]
mod tests;
