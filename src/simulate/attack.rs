//! What goes wrong in the live part: who, where, when and how much, chosen by the seed.

use std::borrow::Cow;

use super::fleet::{Deployment, Fleet, MODELS};
use super::record::{Call, CallKind};
use super::{Options, Scenario, poisson, random};
use crate::time::{HOUR_MS, MINUTE_MS};

/// An attack as decided beforehand.
#[derive(Debug, Clone)]
pub struct Attack {
    /// What it is.
    pub scenario: Scenario,
    /// Deployment's account.
    pub account: Cow<'static, str>,
    /// Deployment.
    pub deployment: Cow<'static, str>,
    /// First moment, in milliseconds since 1970.
    pub start_ms: i64,
    /// Moment after the last.
    pub end_ms: i64,
    /// First three numbers of the callers' addresses, and their object ids.
    pub callers: Vec<(String, String)>,
    calls_per_hour: f64,
    input: u32,
    output: u32,
}

/// USD of a call with these tokens, near enough to size an attack.
fn usd(model: usize, input: u32, output: u32) -> f64 {
    let (_, _, prices) = MODELS.get(model).copied().unwrap_or_default();
    let [per_input, _, per_output] = prices.map(|price| price.parse::<f64>().unwrap_or(0.0));
    (f64::from(input) * per_input + f64::from(output) * per_output) / 1e6
}

impl Attack {
    /// Decides the attack of a scenario; `None` when nothing happens.
    #[must_use]
    pub fn plan(options: &Options, fleet: &Fleet) -> Option<Self> {
        let mut random = random(options.seed, "attack", 0);
        let live_ms = options.start_ms + i64::from(options.history_hours) * HOUR_MS;
        let end_ms = live_ms + i64::from(options.live_minutes) * MINUTE_MS;
        // Early enough to last, and to be seen by somebody who waits for it.
        let latest = (i64::from(options.live_minutes) - 45).clamp(21, 75);
        let start_ms = live_ms + random.i64(20 * MINUTE_MS..latest * MINUTE_MS);
        let dear = |d: &&Deployment| matches!(d.model, 0 | 2);
        let candidates: Vec<&Deployment> = fleet.deployments.iter().filter(dear).collect();
        let victim = *random.choice(&candidates)?;
        let mut attack = Self {
            scenario: options.scenario,
            account: victim.account.clone(),
            deployment: victim.name.clone(),
            start_ms,
            end_ms,
            callers: Vec::new(),
            calls_per_hour: 0.0,
            input: 0,
            output: 0,
        };
        match options.scenario {
            Scenario::Quiet => return None,
            Scenario::StolenKey => attack.steal(victim, &mut random),
            Scenario::RunawayLoop => {
                attack.callers = random.choice(&victim.callers).cloned().into_iter().collect();
                attack.input = random.u32(12_000..20_000);
                attack.output = random.u32(600..1_200);
                let usual = options.calls_per_hour * victim.load * victim.mean_tokens();
                let factor = 10.0 + 8.0 * random.f64();
                attack.calls_per_hour = factor * usual / f64::from(attack.input + attack.output);
            }
            Scenario::SlowRamp => {
                attack.start_ms = (live_ms - 72 * HOUR_MS).max(options.start_ms);
                attack.callers.clone_from(&victim.callers);
            }
            Scenario::Outage => {
                let hour = i64::from(options.history_hours);
                let load = |d: &&Deployment| d.load * (d.shape(hour) + d.shape(hour + 1));
                let busiest =
                    fleet.deployments.iter().max_by(|a, b| load(a).total_cmp(&load(b)))?;
                attack.account = busiest.account.clone();
                attack.deployment = busiest.name.clone();
                attack.start_ms = live_ms + random.i64(20 * MINUTE_MS..30 * MINUTE_MS);
            }
        }
        Some(attack)
    }

    fn steal(&mut self, victim: &Deployment, random: &mut fastrand::Rng) {
        self.callers = (0..random.u32(1..=4))
            .map(|_| {
                let network = *random
                    .choice(["203.0.113", "198.51.100", "192.0.2"].iter())
                    .unwrap_or(&"203.0.113");
                (network.to_owned(), String::new())
            })
            .collect();
        self.callers.sort();
        self.callers.dedup();
        self.input = random.u32(50_000..120_000);
        self.output = random.u32(1_000..6_000);
        let per_day = 1_500.0 + 10_500.0 * random.f64();
        self.calls_per_hour = per_day / 24.0 / usd(victim.model, self.input, self.output);
    }

    /// True when the call falls into the silence of an outage.
    #[must_use]
    pub fn silences(&self, call: &Call) -> bool {
        self.scenario == Scenario::Outage
            && call.deployment == self.deployment
            && call.account == self.account
            && (self.start_ms..self.end_ms).contains(&call.end_ms)
    }

    /// Factor on the usual traffic of a deployment at a moment.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of three days")]
    #[must_use]
    pub fn growth(&self, deployment: &Deployment, at_ms: i64) -> f64 {
        let here = deployment.name == self.deployment && deployment.account == self.account;
        if self.scenario != Scenario::SlowRamp || !here || at_ms < self.start_ms {
            return 1.0;
        }
        1.0 + 4.0 * ((at_ms - self.start_ms) as f64 / (72 * HOUR_MS) as f64).min(1.0)
    }

    /// Adds the attack's own calls of the hour that begins at `hour_ms`.
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of an hour")]
    pub fn calls(
        &self,
        hour_ms: i64,
        deployment: &Deployment,
        random: &mut fastrand::Rng,
        calls: &mut Vec<Call>,
    ) {
        let begin = hour_ms.max(self.start_ms);
        let end = (hour_ms + HOUR_MS).min(self.end_ms);
        let here = deployment.name == self.deployment && deployment.account == self.account;
        if !here || begin >= end || self.calls_per_hour <= 0.0 {
            return;
        }
        let mean = self.calls_per_hour * (end - begin) as f64 / HOUR_MS as f64;
        for _ in 0..poisson(mean, random) {
            let (network, identity) = random.choice(&self.callers).cloned().unwrap_or_default();
            let end_ms = random.i64(begin..end);
            let (input, output) = match self.scenario {
                Scenario::RunawayLoop => (self.input, self.output),
                Scenario::StolenKey | Scenario::SlowRamp | Scenario::Outage | Scenario::Quiet => {
                    let vary = |n: u32, random: &mut fastrand::Rng| random.u32(n / 2..n + n / 2);
                    (vary(self.input, random), vary(self.output, random))
                }
            };
            calls.push(Call {
                kind: CallKind::Served,
                input,
                output,
                hostile: true,
                ..Call::of(deployment, end_ms, network, identity, random)
            });
        }
    }
}
