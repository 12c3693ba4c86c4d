//! What the activity log says about buying decides the price, whenever it is read.

use serde_json::{Value, json};
use tokenwatch::event::{Arrival, Batch};
use tokenwatch::time::ArrivalTime;

use crate::harness::{self, Folder, digest, double_entry, open, partition, run, same, step};

const ACCOUNT: &str =
    "/SUBSCRIPTIONS/S/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.COGNITIVESERVICES/ACCOUNTS/AIF";

/// A minute of the day all of this happens on, as Azure writes it.
fn time(minute: i64) -> String {
    format!("2026-10-06T{:02}:{:02}:00Z", minute / 60, minute % 60)
}

fn arrival(number: u32, sequence: i64, minute: i64, record: &Value) -> Arrival {
    let enqueued = tokenwatch::time::parse(&time(minute)).unwrap();
    Arrival {
        partition: partition(number),
        sequence,
        enqueued: ArrivalTime(enqueued),
        body: json!({ "records": [record] }).to_string().into_bytes(),
    }
}

/// A call of a million prompt tokens.
fn usage(minute: i64) -> Value {
    json!({ "category": "AzureOpenAIRequestUsage", "correlationId": format!("call-{minute}"),
            "resourceId": ACCOUNT, "time": time(minute),
            "properties": { "modelDeploymentName": "Chat", "modelName": "gpt-4o",
                            "modelVersion": "2024-11-20", "promptTokens": [1_000_000],
                            "cachedTokens": [0], "generatedTokens": [0] } })
}

/// The record of a deployment that was made or changed.
fn write(minute: i64, sku: &str, result: &str) -> Value {
    let body = json!({ "sku": { "name": sku, "capacity": 10 },
                       "properties": { "model": { "format": "OpenAI", "name": "gpt-4o",
                                                  "version": "2024-11-20" } } });
    json!({ "category": "Administrative", "time": time(minute), "resultType": result,
            "operationName": "MICROSOFT.COGNITIVESERVICES/ACCOUNTS/DEPLOYMENTS/WRITE",
            "resourceId": format!("{ACCOUNT}/DEPLOYMENTS/CHAT"), "correlationId": "w",
            "properties": { "eventCategory": "Administrative", "responseBody": body.to_string() } })
}

/// Cost in nano-USD, unpriced and provisioned tokens of the deployment.
fn totals(folder: &Folder, db: &str) -> [Option<i64>; 3] {
    let nothing = folder.write("nothing.jsonl", b"");
    let json = harness::replay(&[&nothing], db);
    ["cost_nano_usd", "unpriced_tokens", "provisioned_tokens"]
        .map(|name| json.pointer(&format!("/deployments/0/{name}"))?.as_i64())
}

/// Calls on partition 0, writes on partition 1.
fn arrivals(calls: &[i64], writes: &[(i64, i64, &str)]) -> [Vec<Arrival>; 2] {
    let numbered = |place: usize| i64::try_from(place).unwrap();
    let calls = calls.iter().enumerate();
    let calls = calls.map(|(place, at)| arrival(0, numbered(place), *at, &usage(*at)));
    let writes = writes.iter().enumerate().map(|(place, (at, told, sku))| {
        arrival(1, numbered(place), *told, &write(*at, sku, "Success"))
    });
    [calls.collect(), writes.collect()]
}

/// Reads the arrivals in this order, one by one, with a new start after each `restart`.
async fn read(db: &str, order: &[Arrival], restart: usize) {
    let mut core = open(db).await;
    step(&mut core, &Batch { members: vec![partition(0), partition(1)], ..Batch::default() }).await;
    for (place, arrival) in order.iter().enumerate() {
        if place % restart == restart - 1 {
            core.store.close().await.unwrap();
            core = open(db).await;
        }
        // In the order of time nothing older is unread, as at a live hub; calls settle meanwhile.
        let in_time = order.is_sorted_by_key(|arrival| arrival.enqueued);
        let passed = [0, 1].map(|number| (partition(number), arrival.enqueued));
        let idle = if in_time { passed.to_vec() } else { Vec::new() };
        let arrivals = vec![arrival.clone()];
        step(&mut core, &Batch { arrivals, idle, ..Batch::default() }).await;
    }
    let end = ArrivalTime(order.iter().map(|arrival| arrival.enqueued.0).max().unwrap());
    let idle = vec![(partition(0), end), (partition(1), end)];
    step(&mut core, &Batch { idle, ..Batch::default() }).await;
    core.store.close().await.unwrap();
}

#[track_caller]
fn check(calls: &[i64], writes: &[(i64, i64, &str)], expected: [Option<i64>; 3]) {
    let folder = Folder::new();
    let [calls, writes] = arrivals(calls, writes);
    let forward: Vec<_> = calls.iter().chain(&writes).cloned().collect();
    let backward: Vec<_> = writes.iter().chain(&calls).cloned().collect();
    let mut mixed = forward.clone();
    mixed.sort_by_key(|arrival| arrival.enqueued);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut seen: Option<Vec<String>> = None;
    for (place, order) in [forward, backward, mixed].iter().enumerate() {
        for restart in [usize::MAX, 1, 2] {
            let db = folder.path(&format!("{place}-{restart}.db"));
            let found = runtime.block_on(async {
                read(&db, order, restart).await;
                let (partitions, totals) = double_entry(&db).await;
                assert_eq!(partitions, totals);
                digest(&db).await
            });
            assert_eq!(totals(&folder, &db), expected, "order {place}, restart {restart}");
            if let Some(seen) = &seen {
                same(&format!("order {place}, restart {restart}"), seen, &found);
            }
            seen.get_or_insert(found);
        }
    }
}

/// A million prompt tokens of gpt-4o: global, in a data zone that agrees with the others, in batch.
const GLOBAL: i64 = 2_500_000_000;
const ZONE: i64 = 2_750_000_000;
const BATCH: i64 = 1_250_000_000;

#[test]
fn calls_cost_what_was_bought_at_their_time() {
    let exact = |cost: i64| [Some(cost), Some(0), Some(0)];
    check(&[600, 602, 604], &[], exact(3 * GLOBAL));
    check(&[600, 602, 604], &[(601, 603, "DataZoneStandard")], exact(GLOBAL + 2 * ZONE));
    check(&[600, 602], &[(590, 640, "globalbatch")], exact(2 * BATCH));
    // Told in the other order than they happened.
    let twice = [(603, 604, "GlobalBatch"), (601, 605, "DataZoneStandard")];
    check(&[600, 602, 604], &twice, exact(GLOBAL + ZONE + BATCH));
}

#[test]
fn what_is_told_much_later_still_prices_the_calls_since() {
    // Judged at 10:05 and settled by 10:15; told at 11:30, within the four hours of memory.
    let writes = [(599, 690, "DataZoneStandard")];
    check(&[600, 640, 691], &writes, [Some(3 * ZONE), Some(0), Some(0)]);
}

#[test]
fn provisioned_and_regional_deployments_are_told_apart_from_free_ones() {
    let bought = [(601, 603, "GlobalProvisionedManaged")];
    check(&[600, 602], &bought, [Some(GLOBAL), Some(0), Some(1_000_000)]);
    // The list has no regional price: unknown, not nothing.
    check(&[600, 602], &[(601, 603, "Standard")], [None, Some(1_000_000), Some(0)]);
}

#[test]
fn attempts_and_unknown_words_change_nothing() {
    let folder = Folder::new();
    let lines = [
        write(590, "GlobalBatch", "Start"),
        write(591, "GlobalBatch", "Failure"),
        write(592, "SomethingNew", "Success"),
        usage(600),
    ];
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let file = folder.write("bodies.jsonl", lines.as_bytes());
    let json = harness::replay(&[&file], &folder.path("db"));
    assert_eq!(json["deployments"][0]["cost_nano_usd"], GLOBAL, "{json}");
}

#[test]
fn the_configuration_counts_for_more_and_an_explanation_knows_both() {
    let folder = Folder::new();
    let lines = [write(590, "GlobalBatch", "Success"), usage(600)];
    let lines: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let file = folder.write("bodies.jsonl", lines.as_bytes());
    let config = folder.write(
        "tokenwatch.toml",
        b"[[hub]]\nname = \"a\"\nnamespace = \"n.example\"\nhub = \"h\"\n\
          [price]\ndeployment.\"aif/chat\" = { scope = \"data-zone-eu\" }\n",
    );
    let (told, said) = (folder.path("told.db"), folder.path("said.db"));
    let explain = |more: &[&str]| {
        let args = [
            "prices",
            "explain",
            "--model",
            "gpt-4o@2024-11-20",
            "--input",
            "1000000",
            "--at",
            "2026-10-06T10:00:00Z",
            "--deployment",
            "aif/chat",
            "--format",
            "json",
        ];
        let args: Vec<&str> = args.iter().chain(more).copied().collect();
        let ran = run(&args);
        assert_eq!(ran.code, Some(0), "{}", ran.err);
        let json: Value = serde_json::from_str(&ran.out).unwrap();
        json["cost_nano_usd"].as_i64().unwrap()
    };
    let booked = harness::replay(&[&file], &told)["deployments"][0]["cost_nano_usd"].clone();
    assert_eq!((booked, explain(&["--db", &told])), (json!(BATCH), BATCH));
    let ran = run(&["replay", &file, "--db", &said, "--config", &config, "--format", "json"]);
    let booked: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(booked["deployments"][0]["cost_nano_usd"], ZONE);
    assert_eq!(explain(&["--db", &told, "--config", &config]), ZONE);
    assert_eq!(explain(&[]), GLOBAL);
}
