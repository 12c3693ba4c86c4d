use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::*;
use crate::event::Tokens;
use crate::price::PriceBook;

fn short(scenario: Scenario, seed: u64) -> Simulation {
    Simulation::new(Options { scenario, seed, history_hours: 30, ..Options::default() })
}

/// Counts again from the emitted JSON, knowing nothing of how it was made.
fn recount(simulation: &Simulation) -> BTreeMap<[String; 4], [i64; 4]> {
    #[derive(Default)]
    struct Seen {
        account: String,
        deployment: String,
        network: String,
        identity: String,
        tokens: [i64; 3],
    }
    let mut calls: BTreeMap<String, Seen> = BTreeMap::new();
    for event in simulation.events() {
        let body: Value = serde_json::from_slice(&event.body).unwrap();
        for record in body["records"].as_array().unwrap() {
            if record["category"] == "Audit" {
                continue;
            }
            let id = record["correlationId"].as_str().unwrap().to_owned();
            let seen = calls.entry(id).or_default();
            let resource = record["resourceId"].as_str().unwrap().to_lowercase();
            seen.account = resource.rsplit('/').next().unwrap().to_owned();
            if let Some(address) = record["callerIpAddress"].as_str() {
                seen.network = format!("{}.0/24", address.rsplit_once('.').unwrap().0);
            }
            let properties = match &record["properties"] {
                Value::String(text) => serde_json::from_str(text).unwrap(),
                other @ (Value::Null
                | Value::Bool(_)
                | Value::Number(_)
                | Value::Array(_)
                | Value::Object(_)) => other.clone(),
            };
            for name in ["objectId", "callerObjectId"] {
                if let Some(id) = properties[name].as_str().filter(|id| !id.is_empty()) {
                    seen.identity = id.to_owned();
                }
            }
            if let Some(name) = properties["modelDeploymentName"].as_str() {
                seen.deployment = name.to_owned();
            }
            let names = [
                ["promptTokens", ""],
                ["cachedTokens", ""],
                ["generatedTokens", "completionTokens"],
            ];
            for (sum, names) in seen.tokens.iter_mut().zip(names) {
                for name in names {
                    let value = &properties[name];
                    let count = value.as_i64().or_else(|| value[0].as_i64()).unwrap_or(0);
                    *sum = (*sum).max(count);
                }
            }
        }
    }
    let mut sums: BTreeMap<[String; 4], [i64; 4]> = BTreeMap::new();
    for seen in calls.into_values().filter(|seen| !seen.deployment.is_empty()) {
        let sum =
            sums.entry([seen.account, seen.deployment, seen.network, seen.identity]).or_default();
        let [input, cached, output] = seen.tokens;
        for (sum, value) in sum.iter_mut().zip([1, input, cached, output]) {
            *sum += value;
        }
    }
    sums
}

#[test]
fn the_truth_equals_a_count_of_the_records() {
    for scenario in Scenario::ALL {
        for seed in 1..=2 {
            let simulation = short(scenario, seed);
            let truth = simulation.truth().by_caller();
            let truth: BTreeMap<_, _> =
                truth.into_iter().map(|(key, [c, i, k, o, _])| (key, [c, i, k, o])).collect();
            assert_eq!(recount(&simulation), truth, "{scenario} {seed}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_bytes_and_another_another_attack() {
    let all = |seed| short(Scenario::StolenKey, seed).events().collect::<Vec<_>>();
    assert_eq!(all(3), all(3));
    let attacks: BTreeSet<String> = (0..6)
        .map(|seed| format!("{:?}", short(Scenario::StolenKey, seed).truth().attack.unwrap()))
        .collect();
    assert_eq!(attacks.len(), 6);
}

#[test]
fn events_arrive_in_order_and_fit_into_the_hub() {
    let simulation = short(Scenario::RunawayLoop, 5);
    let (_, _, end) = simulation.span();
    let mut newest = [0; 4];
    for event in simulation.events() {
        let slot = &mut newest[event.partition as usize];
        assert!(event.enqueued_ms >= *slot && event.enqueued_ms <= end + TAIL_MS);
        *slot = event.enqueued_ms;
        assert!(event.body.len() < 256 * 1024);
    }
    let mut file = Vec::new();
    let count = write_file(&simulation, &mut file, &mut |_, _| {}).unwrap();
    let lines = std::str::from_utf8(&file).unwrap().lines();
    let lines: Vec<Value> = lines.map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(u64::try_from(lines.len()).unwrap(), count);
    assert_eq!(lines.iter().filter(|line| line["sequence"] == 7).count(), newest.len());
}

#[test]
fn a_theft_is_worth_noticing() {
    for seed in 0..10 {
        let simulation = short(Scenario::StolenKey, seed);
        let (_, live, end) = simulation.span();
        let truth = simulation.truth();
        let attack = truth.attack.unwrap();
        let start = crate::time::parse(&attack.start).unwrap();
        let over = crate::time::parse(&attack.end).unwrap();
        assert!(start >= live + 20 * MINUTE_MS && over <= end && over - start >= 40 * MINUTE_MS);
        let days = crate::detect::baseline::as_float(over - start) / 86_400_000.0;
        let per_day = crate::money::NanoUsd(attack.cost_nano_usd).usd() / days;
        assert!((1_000.0..20_000.0).contains(&per_day), "{per_day}");
        let known = truth.deployments.iter().find(|d| d.deployment == attack.deployment).unwrap();
        assert!(known.callers.iter().any(|c| attack.callers.contains(&c.network)));
    }
}

#[test]
fn the_models_cost_what_the_price_book_says() {
    let book = PriceBook::built_in().unwrap();
    for (place, (model, version, _)) in fleet::MODELS.iter().enumerate() {
        let tokens = Tokens { input: 12_347, cached: 4_096, output: 333 };
        let rates = book.rates("account", "deployment", &format!("{model}@{version}"));
        let by_hand = truth::cost(place, 12_347, 4_096, 333);
        assert_eq!(rates.bill(tokens, crate::time::EventTime(0)).cost().0, by_hand, "{model}");
    }
}
