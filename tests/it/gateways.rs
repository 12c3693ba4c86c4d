//! Who is behind a gateway: told where one call of the account's is the only answer.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokenwatch::event::{Arrival, Batch};
use tokenwatch::pipeline::Core;
use tokenwatch::store::Store;
use tokenwatch::store::read::Reader;
use tokenwatch::time::ArrivalTime;

use crate::harness::{Folder, env, members, partition, run, same, step};
use crate::interleaving::{Handing, Order, PLAIN, outcome};
use crate::records::{
    ACCOUNT, MORNING, at, cells, gateway_llm, gateway_log, replayed, request, usage,
};

const HOST: &str = "203.0.113.9";

/// One call through the gateway, as all four logs tell it; the account sees the gateway.
fn call(second: i64, id: &str, team: &str, [input, output]: [u32; 2]) -> Vec<(i64, Value)> {
    let (direct, through) = (format!("direct-{id}"), format!("through-{id}"));
    vec![
        (second + 5, usage(second, &direct, [input, 0, output])),
        (second + 60, request(second, &direct, "198.51.100.*", "gateway-identity", 200)),
        (second + 200, gateway_log(second * 1000 - 900, &through, (HOST, team), 950)),
        (second + 210, gateway_llm(second * 1000 + 20, &through, [input, output])),
    ]
}

fn later() -> (i64, Value) {
    let record = json!({"category": "Audit", "operationName": "ListKey", "time": at(7_200),
        "resourceId": ACCOUNT, "properties": {}});
    (7_200, record)
}

fn sorted(mut records: Vec<(i64, Value)>) -> Vec<(i64, Value)> {
    records.push(later());
    records.sort_by_key(|(enqueued, _)| *enqueued);
    records
}

#[test]
fn teams_behind_a_gateway_are_told_apart_and_the_amounts_are_the_accounts() {
    let calls = [call(0, "a", "team-one", [100, 10]), call(1, "b", "team-two", [200, 20])];
    let found = replayed(&sorted(calls.concat()));
    let members = ["gateway", "network", "subject", "calls", "tokens_in", "cost_nano_usd", "basis"];
    assert_eq!(
        cells(&found, "behind_gateways", &members),
        [
            "apim-one 203.0.113.0/24 team-two 1 200 700000 attributed",
            "apim-one 203.0.113.0/24 team-one 1 100 350000 attributed",
        ]
    );
    let members = ["deployment", "gateway", "calls", "linked", "ambiguous"];
    assert_eq!(cells(&found, "gateways", &members), ["chat apim-one 2 2 0"]);
    // For the account nothing changes: its caller is the gateway.
    let members = ["network", "identity", "calls", "tokens_in"];
    assert_eq!(cells(&found, "callers", &members), ["198.51.100.0/24 gateway-identity 2 300"]);
}

#[test]
fn calls_that_look_alike_are_nobodys() {
    let calls = [call(0, "a", "team-one", [100, 10]), call(0, "b", "team-two", [100, 10])];
    let found = replayed(&sorted(calls.concat()));
    assert_eq!(cells(&found, "behind_gateways", &["subject"]), Vec::<String>::new());
    assert_eq!(cells(&found, "gateways", &["calls", "linked", "ambiguous"]), ["2 0 2"]);
}

#[test]
fn a_call_past_the_gateway_is_nobodys_behind_it() {
    let mut records = call(0, "a", "team-one", [100, 10]);
    records.push((7, usage(1, "stolen", [5_000, 0, 700])));
    records.push((61, request(1, "stolen", HOST, "", 200)));
    let found = replayed(&sorted(records));
    assert_eq!(cells(&found, "behind_gateways", &["subject", "tokens_in"]), ["team-one 100"]);
    let callers = cells(&found, "callers", &["network", "identity", "tokens_in"]);
    assert!(callers.contains(&"203.0.113.0/24 key 5000".to_owned()), "{callers:?}");
}

#[test]
fn names_that_only_callers_of_a_gateway_write_become_no_deployments() {
    let mut records = call(0, "a", "team-one", [100, 10]);
    for n in 0..5 {
        let mut log = gateway_log(n * 1000, &format!("x{n}"), (HOST, "team-two"), 100);
        let url = format!("https://aif-prod.openai.azure.com/openai/deployments/made-up-{n}/chat");
        *log.pointer_mut("/properties/backendUrl").unwrap() = json!(url);
        records.push((100 + n, log));
    }
    let found = replayed(&sorted(records));
    let members = ["deployment", "calls", "linked"];
    assert_eq!(cells(&found, "gateways", &members), [" 5 0", "chat 1 1"]);
}

#[test]
fn a_backend_nobody_knows_is_counted_and_a_map_makes_it_known() {
    let records = sorted(call(0, "a", "team-one", [100, 10]));
    let lines = records.iter().enumerate().map(|(sequence, (second, body))| {
        let text = body.to_string().replace("aif-prod.openai", "front-door.openai");
        let body: Value = serde_json::from_str(&text).unwrap();
        json!({"partition": "0", "sequence": sequence, "enqueued": at(*second), "body": body})
            .to_string()
    });
    let lines = lines.collect::<Vec<_>>().join("\n");
    let folder = Folder::new();
    let file = folder.write("capture", lines.as_bytes());
    let found = crate::harness::replay(&[&file], &folder.path("unknown"));
    assert_eq!(cells(&found, "gateways", &["calls"]), Vec::<String>::new());
    let config = folder.write(
        "map.toml",
        format!(
            "[[hub]]\nname = \"h\"\nnamespace = \"n.servicebus.windows.net\"\nhub = \"h\"\n\
             [[backend]]\nname = \"front-door\"\naccount = \"{ACCOUNT}\"\n"
        )
        .as_bytes(),
    );
    let db = folder.path("known");
    let ran = run(&["replay", &file, "--db", &db, "--config", &config, "--format", "json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(cells(&found, "gateways", &["calls", "linked"]), ["1 1"]);
}

/// Calls with few different token counts, some through the gateway, some not, in all their rows with
/// delays, over four partitions; and how many went through for each team.
fn traffic(seed: u64) -> (Vec<Arrival>, BTreeMap<String, i64>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let (mut records, mut truth) = (Vec::new(), BTreeMap::new());
    for n in 0..400 {
        let millis = random.i64(0..2_400_000);
        let tokens = [random.u32(1..9), random.u32(1..40)];
        let (direct, through) = (format!("d{n}"), format!("t{n}"));
        let second = millis.div_euclid(1000);
        let mut add = |delay: i64, record: Value| records.push((second + delay, record));
        add(random.i64(1..30), usage(second, &direct, [tokens[0], 0, tokens[1]]));
        add(random.i64(20..300), request(second, &direct, "198.51.100.*", "gateway", 200));
        if random.u32(0..10) < 7 {
            let team = format!("team-{}", random.u32(0..3));
            let took = random.i64(1_200..20_000);
            let began = second * 1000 + 1_000 - took;
            // Most come in time, some too late to be linked.
            add(random.i64(30..500), gateway_log(began, &through, (HOST, &team), took));
            add(random.i64(30..1_000), gateway_llm(began + took, &through, tokens));
            *truth.entry(team).or_default() += 1;
        }
    }
    let records = sorted(records);
    let mut next: BTreeMap<u32, i64> = BTreeMap::new();
    let arrivals = records.into_iter().map(|(second, record)| {
        let number = random.u32(0..4);
        let sequence = next.entry(number).or_insert(0);
        *sequence += 1;
        Arrival {
            partition: partition(number),
            sequence: *sequence - 1,
            enqueued: ArrivalTime((MORNING + second) * 1000),
            body: record.to_string().into_bytes(),
        }
    });
    (arrivals.collect(), truth)
}

#[tokio::test]
async fn order_batches_and_stops_change_nothing_about_who_is_behind() {
    let (arrivals, truth) = traffic(3);
    let expected = outcome(&arrivals, PLAIN).await;
    let calls = expected.iter().filter(|line| line.starts_with("behind ")).map(|line| {
        let mut parts = line.split('|').skip(5);
        let team = parts.next().unwrap_or_default().to_owned();
        (team, parts.next().and_then(|calls| calls.parse::<i64>().ok()).unwrap())
    });
    let linked: BTreeMap<String, i64> = calls.fold(BTreeMap::new(), |mut sums, (team, calls)| {
        *sums.entry(team).or_default() += calls;
        sums
    });
    assert_eq!(linked.keys().collect::<Vec<_>>(), truth.keys().collect::<Vec<_>>());
    let [all, found]: [i64; 2] = [truth.values().sum(), linked.values().sum()];
    assert!(found * 10 > all * 6 && found < all, "{found} of {all} linked");
    for handing in [
        Handing { batch: 40, tail_batch: 1, ..PLAIN },
        Handing { order: Order::OneByOne, batch: 300, tail_batch: 50, ..PLAIN },
        Handing { order: Order::Runs(20), batch: 25, tail_batch: 10, twice: 3, seed: 4, ..PLAIN },
        Handing { order: Order::Runs(80), batch: 30, tail_batch: 10, cut: 3, seed: 5, ..PLAIN },
    ] {
        same(&format!("{handing:?}"), &expected, &outcome(&arrivals, handing).await);
    }
}

/// A call through the gateway every two minutes for three hours, and some of somebody else, which the gateway's
/// log tells of or not.
fn past_the_gateway(is_told: bool) -> Vec<Arrival> {
    let mut records = Vec::new();
    for n in 0..90 {
        records.extend(call(120 * n, &format!("usual-{n}"), "team-one", [300 + n_of(n), 40]));
    }
    for n in 0..6 {
        let second = 3_660 + 120 * n;
        let mut rows = call(second, &format!("other-{n}"), "team-two", [900 + n_of(n), 70]);
        for (_, row) in &mut rows {
            if row.get("callerIpAddress").is_some_and(|from| from == "198.51.100.*") {
                *row.pointer_mut("/callerIpAddress").unwrap() = json!("192.0.2.*");
            }
        }
        rows.truncate(if is_told { 4 } else { 2 });
        records.extend(rows);
    }
    records.push((14_400, later().1));
    records.sort_by_key(|(told, _)| *told);
    let arrive = |(sequence, (second, record)): (i64, (i64, Value))| Arrival {
        partition: partition(0),
        sequence,
        enqueued: ArrivalTime((MORNING + second) * 1_000),
        body: record.to_string().into_bytes(),
    };
    (0..).zip(records).map(arrive).collect()
}

fn n_of(n: i64) -> u32 {
    u32::try_from(n).unwrap()
}

/// Incidents of an account that should be called through gateways alone, with a new start after every `cut`-th
/// batch.
async fn told_of(arrivals: &[Arrival], (batch, cut): (usize, usize)) -> Vec<String> {
    let (folder, mut env) = (Folder::new(), env());
    env.settings.gateway_only = vec!["aif-prod".to_owned()];
    let db = folder.path("db");
    let path = std::path::Path::new(&db);
    let open = async || Core::restore(Store::open(path).await.unwrap(), env.clone()).await.unwrap();
    let mut core = open().await;
    step(&mut core, &members(arrivals)).await;
    for (place, part) in arrivals.chunks(batch).enumerate() {
        step(&mut core, &Batch { arrivals: part.to_vec(), ..Batch::default() }).await;
        if place % cut == cut - 1 {
            core.store.close().await.unwrap();
            core = open().await;
            step(&mut core, &members(arrivals)).await;
        }
    }
    core.store.close().await.unwrap();
    let mut all = Reader::open(path).await.unwrap().incidents().await.unwrap();
    all.sort_by(|a, b| a.key.cmp(&b.key));
    let told = |i: &tokenwatch::incident::Incident| {
        format!("{} {} {:?} {:?}", i.rule, i.opened_at, i.resolved_at, i.evidence)
    };
    all.iter().map(told).collect()
}

#[tokio::test]
async fn who_calls_past_the_gateway_is_told_however_it_is_read() {
    let arrivals = past_the_gateway(false);
    let expected = told_of(&arrivals, (1_000, 99)).await;
    assert_eq!(expected.len(), 1, "{expected:?}");
    let told = expected.first().unwrap();
    assert!(told.starts_with("TW-I07") && told.contains("192.0.2.0/24 was served"), "{told}");
    for handing in [(40, 3), (7, 9), (23, 1)] {
        same(&format!("{handing:?}"), &expected, &told_of(&arrivals, handing).await);
    }
    assert_eq!(told_of(&past_the_gateway(true), (40, 3)).await, Vec::<String>::new());
}
