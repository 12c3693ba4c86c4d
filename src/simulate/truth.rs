//! What really happened, counted from the calls: independent of rows, engine and price book.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::attack::Attack;
use super::fleet::MODELS;
use super::record::{Call, CallKind};
use super::{Scenario, Simulation};
use crate::time::{ArrivalTime, EventTime};

/// The whole truth of a simulation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Truth {
    /// Scenario.
    pub scenario: String,
    /// Seed.
    pub seed: u64,
    /// Beginning, RFC 3339.
    pub start: String,
    /// Beginning of the live part.
    pub live_start: String,
    /// End.
    pub end: String,
    /// By account and deployment.
    pub deployments: Vec<DeploymentTruth>,
    /// The attack, if there is one.
    pub attack: Option<AttackTruth>,
}

/// Sums of one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct DeploymentTruth {
    /// Lower case.
    pub account: String,
    /// Lower case.
    pub deployment: String,
    /// Model name.
    pub model: String,
    /// Calls, refused ones included.
    pub calls: i64,
    /// Prompt tokens.
    pub tokens_in: i64,
    /// Cached prompt tokens.
    pub tokens_cached: i64,
    /// Generated tokens.
    pub tokens_out: i64,
    /// Nano-USD, each call and meter rounded half to even.
    pub cost_nano_usd: Option<i64>,
    /// By network and identity.
    pub callers: Vec<CallerTruth>,
}

/// Sums of one caller of a deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct CallerTruth {
    /// /24 in CIDR form.
    pub network: String,
    /// Object id; empty for a key.
    pub identity: String,
    /// Calls.
    pub calls: i64,
    /// Prompt tokens.
    pub tokens_in: i64,
    /// Cached prompt tokens.
    pub tokens_cached: i64,
    /// Generated tokens.
    pub tokens_out: i64,
    /// Nano-USD.
    pub cost_nano_usd: i64,
}

/// The attack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttackTruth {
    /// Scenario.
    pub kind: String,
    /// Account.
    pub account: String,
    /// Deployment.
    pub deployment: String,
    /// First moment, event time, RFC 3339.
    pub start: String,
    /// Moment after the last.
    pub end: String,
    /// Networks in CIDR form.
    pub callers: Vec<String>,
    /// Tokens of the attack's own calls.
    pub tokens: i64,
    /// Their cost in nano-USD.
    pub cost_nano_usd: i64,
    /// What should notice it: `usage` or `silence`.
    pub expected_rule_family: String,
}

impl Truth {
    pub(super) fn new(simulation: &Simulation, attack: Option<&Attack>) -> Self {
        let (start, live, end) = simulation.span();
        let text = |ms: i64| ArrivalTime(ms).to_string();
        let attack = attack.map(|attack| AttackTruth {
            kind: attack.scenario.to_string(),
            account: attack.account.to_string(),
            deployment: attack.deployment.to_string(),
            start: EventTime(attack.start_ms).to_string(),
            end: EventTime(attack.end_ms).to_string(),
            callers: attack.callers.iter().map(|(network, _)| cidr(network)).collect(),
            tokens: 0,
            cost_nano_usd: 0,
            expected_rule_family: match attack.scenario {
                Scenario::Outage => "silence",
                Scenario::StolenKey
                | Scenario::RunawayLoop
                | Scenario::SlowRamp
                | Scenario::Quiet => "usage",
            }
            .to_owned(),
        });
        Self {
            scenario: simulation.options().scenario.to_string(),
            seed: simulation.options().seed,
            start: text(start),
            live_start: text(live),
            end: text(end),
            deployments: Vec::new(),
            attack,
        }
    }

    pub(super) fn add(&mut self, call: &Call) {
        if call.kind == CallKind::Control {
            return;
        }
        let served = call.kind == CallKind::Served;
        let [input, cached, output] =
            if served { [call.input, call.cached, call.output].map(i64::from) } else { [0; 3] };
        let cost = cost(call.model, input, cached, output);
        let deployment = self.deployment(call);
        deployment.calls += 1;
        deployment.tokens_in += input;
        deployment.tokens_cached += cached;
        deployment.tokens_out += output;
        deployment.cost_nano_usd = deployment.cost_nano_usd.map(|sum| sum + cost);
        let caller = deployment.caller(&cidr(&call.network), &call.identity);
        caller.calls += 1;
        caller.tokens_in += input;
        caller.tokens_cached += cached;
        caller.tokens_out += output;
        caller.cost_nano_usd += cost;
        if let Some(attack) = self.attack.as_mut().filter(|_| call.hostile) {
            attack.tokens += input + output;
            attack.cost_nano_usd += cost;
        }
    }

    fn deployment(&mut self, call: &Call) -> &mut DeploymentTruth {
        let key = |d: &DeploymentTruth| (d.account.clone(), d.deployment.clone());
        let wanted = (call.account.to_string(), call.deployment.to_string());
        let place = self.deployments.binary_search_by_key(&wanted, key).unwrap_or_else(|place| {
            let (model, _, _) = MODELS.get(call.model).copied().unwrap_or_default();
            let new = DeploymentTruth {
                account: wanted.0,
                deployment: wanted.1,
                model: model.to_owned(),
                cost_nano_usd: Some(0),
                ..DeploymentTruth::default()
            };
            self.deployments.insert(place, new);
            place
        });
        #[expect(clippy::indexing_slicing, reason = "just found or inserted there")]
        &mut self.deployments[place]
    }

    /// Sums by caller, for tests: (account, deployment, network, identity) to
    /// (calls, in, cached, out, cost).
    #[must_use]
    pub fn by_caller(&self) -> BTreeMap<[String; 4], [i64; 5]> {
        let each = self.deployments.iter().flat_map(|d| {
            d.callers.iter().map(|c| {
                let key = [&d.account, &d.deployment, &c.network, &c.identity].map(Clone::clone);
                (key, [c.calls, c.tokens_in, c.tokens_cached, c.tokens_out, c.cost_nano_usd])
            })
        });
        each.collect()
    }
}

impl DeploymentTruth {
    fn caller(&mut self, network: &str, identity: &str) -> &mut CallerTruth {
        let known =
            self.callers.iter().position(|c| c.network == network && c.identity == identity);
        let place = known.unwrap_or_else(|| {
            self.callers.push(CallerTruth {
                network: network.to_owned(),
                identity: identity.to_owned(),
                ..CallerTruth::default()
            });
            self.callers.len() - 1
        });
        #[expect(clippy::indexing_slicing, reason = "just found or pushed there")]
        &mut self.callers[place]
    }
}

fn cidr(network: &str) -> String {
    format!("{network}.0/24")
}

/// Cost in nano-USD by hand: each meter times its price in pico-USD, divided by 1,000, half to even.
pub(super) fn cost(model: usize, input: i64, cached: i64, output: i64) -> i64 {
    let (_, _, prices) = MODELS.get(model).copied().unwrap_or_default();
    let meters = [input - cached, cached, output];
    let rounded = meters.into_iter().zip(prices).map(|(count, price)| {
        let pico = price.parse::<f64>().unwrap_or(0.0) * 1e6;
        #[expect(clippy::cast_possible_truncation, reason = "prices have at most six decimals")]
        let exact = i128::from(count) * i128::from(pico.round() as i64);
        let (whole, rest) = (exact / 1000, exact % 1000);
        let up = rest > 500 || (rest == 500 && whole % 2 == 1);
        i64::try_from(whole).unwrap_or(i64::MAX) + i64::from(up)
    });
    rounded.sum()
}
