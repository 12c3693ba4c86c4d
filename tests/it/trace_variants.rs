//! Real arrivals and sizes in every way Azure logs them, or fails to: each against exact truth.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokenwatch::event::{Arrival, Batch};
use tokenwatch::store::read::{Reader, Total};
use tokenwatch::time::{ArrivalTime, EventTime, Minute};

use crate::harness::{Folder, idle, members, open, partition, step};
use crate::traces::{Request, requests};

const ACCOUNT: &str = "/SUBSCRIPTIONS/S/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.COGNITIVESERVICES/\
    ACCOUNTS/TRACES";
const GATEWAY: &str =
    "/SUBSCRIPTIONS/S/RESOURCEGROUPS/R/PROVIDERS/MICROSOFT.APIMANAGEMENT/SERVICE/APIM";
/// Requests of the trace that these tests take, from its beginning: about an hour.
const TAKEN: usize = 4_000;

/// A record and how long after the end of its call the hub takes it, in milliseconds.
type Row = (i64, Value);

fn head(request: &Request, category: &str, properties: &Value) -> Value {
    json!({
        "category": category, "correlationId": format!("call-{}", request.number),
        "time": EventTime(request.end_ms).to_string(), "resourceId": ACCOUNT,
        "properties": properties
    })
}

/// `RequestResponse`, with tokens or, as before 2026 and for streams, without.
fn told_by_caller_log(request: &Request, has_tokens: bool) -> Value {
    let mut properties = json!({
        "modelDeploymentName": "code", "modelName": "gpt-4o", "streamType": "Streaming",
        "responseTime": request.end_ms * 10_000, "callerObjectId": "someone"
    });
    if let (true, Some(members)) = (has_tokens, properties.as_object_mut()) {
        members.insert("promptTokens".to_owned(), json!(request.input));
        members.insert("completionTokens".to_owned(), json!(request.output));
    }
    let mut record = head(request, "RequestResponse", &properties);
    if let Some(members) = record.as_object_mut() {
        members.insert("callerIpAddress".to_owned(), json!("198.51.100.***"));
        members.insert("operationName".to_owned(), json!("ChatCompletions_Create"));
        members.insert("resultSignature".to_owned(), json!("200"));
    }
    record
}

/// The twin that names neither deployment nor anybody.
fn empty_twin(request: &Request) -> Value {
    let mut record = head(request, "RequestResponse", &json!({"apiName": "AIServices"}));
    if let Some(members) = record.as_object_mut() {
        members.insert("callerIpAddress".to_owned(), json!("198.51.100.***"));
        members.insert("operationName".to_owned(), json!("ChatCompletions_Create"));
        members.insert("resultSignature".to_owned(), json!("200"));
    }
    record
}

fn usage(request: &Request, cached: i64) -> Value {
    let properties = json!({
        "modelDeploymentName": "code", "modelName": "gpt-4o", "streamType": "Streaming",
        "promptTokens": [request.input], "cachedTokens": [cached],
        "generatedTokens": [request.output]
    });
    head(request, "AzureOpenAIRequestUsage", &properties)
}

/// Both logs of the gateway, under its own correlation id.
fn through_gateway(request: &Request) -> [Value; 2] {
    let record = |category: &str, at_ms: i64, properties: Value| {
        json!({
            "category": category, "correlationId": format!("gateway-{}", request.number),
            "time": EventTime(at_ms - at_ms.rem_euclid(1000)).to_string(), "resourceId": GATEWAY,
            "durationMs": 1_500, "callerIpAddress": "203.0.113.7", "properties": properties
        })
    };
    let url = "https://traces.openai.azure.com/openai/deployments/code/chat/completions";
    let log = json!({
        "apimSubscriptionId": format!("team-{}", request.number % 3), "backendResponseCode": 200,
        "responseCode": 200, "backendUrl": url
    });
    let llm = json!({
        "requestId": "r", "deploymentName": "code", "modelName": "gpt-4o",
        "promptTokens": request.input, "completionTokens": request.output
    });
    [
        record("GatewayLogs", request.end_ms - 1_000, log),
        record("GatewayLlmLogs", request.end_ms, llm),
    ]
}

/// Everything the database at the end says of the taken part of the trace, written by `rows`.
async fn counted(rows: impl Fn(&Request) -> Vec<Row>) -> (Reader, Folder) {
    counted_with(rows, Vec::new()).await
}

/// The same with more records, each with the time the hub takes it.
async fn counted_with(rows: impl Fn(&Request) -> Vec<Row>, more: Vec<Row>) -> (Reader, Folder) {
    let mut all: Vec<(i64, String)> =
        more.into_iter().map(|(at_ms, record)| (at_ms, record.to_string())).collect();
    for request in requests("code").iter().take(TAKEN) {
        all.extend(
            rows(request)
                .into_iter()
                .map(|(delay, record)| (request.end_ms + delay, record.to_string())),
        );
    }
    all.sort();
    let mut next: BTreeMap<u32, i64> = BTreeMap::new();
    let arrivals: Vec<Arrival> = (0_u32..)
        .zip(all.chunks(20))
        .map(|(number, chunk)| {
            let sequence = next.entry(number % 4).or_insert(0);
            *sequence += 1;
            let records: Vec<_> = chunk.iter().map(|(_, record)| record.as_str()).collect();
            Arrival {
                partition: partition(number % 4),
                sequence: *sequence - 1,
                enqueued: ArrivalTime(chunk.last().map_or(0, |(at_ms, _)| *at_ms)),
                body: format!("{{\"records\":[{}]}}", records.join(",")).into_bytes(),
            }
        })
        .collect();
    let folder = Folder::new();
    let db = folder.path("db");
    let mut core = open(&db).await;
    step(&mut core, &members(&arrivals)).await;
    for chunk in arrivals.chunks(100) {
        step(&mut core, &Batch { arrivals: chunk.to_vec(), ..Batch::default() }).await;
    }
    let mut end = idle(&arrivals);
    end.idle.iter_mut().for_each(|(_, until)| until.0 += 3_600_000);
    step(&mut core, &end).await;
    core.store.close().await.unwrap();
    (Reader::open(std::path::Path::new(&db)).await.unwrap(), folder)
}

/// Calls, tokens in and out of the taken part.
fn truth() -> [i64; 3] {
    let add = |[calls, input, output]: [i64; 3], request: &Request| {
        [calls + 1, input + request.input, output + request.output]
    };
    requests("code").iter().take(TAKEN).fold([0; 3], add)
}

/// The one deployment, which must be all there is.
async fn only(reader: &mut Reader) -> Total {
    let totals = reader.totals().await.unwrap();
    assert_eq!((totals.quarantined, totals.ledger.len()), (0, 0), "{:?}", totals.ledger);
    let mut found = totals.deployments.into_iter().filter(|total| !total.split.is_zero());
    let only = found.next().unwrap();
    assert_eq!(found.next(), None);
    only
}

/// Checks calls and tokens against the truth and gives (cached, attributed tokens, untold calls).
async fn check(rows: impl Fn(&Request) -> Vec<Row>) -> [i64; 3] {
    let (mut reader, _folder) = counted(rows).await;
    let total = only(&mut reader).await;
    let amount = total.split.total();
    assert_eq!([amount.calls, amount.input, amount.output], truth());
    [amount.cached, total.spend.attributed_tokens, total.spend.untold]
}

#[tokio::test]
async fn cached_input_is_counted_as_such() {
    let cached = |request: &Request| request.input / 3;
    let rows = |request: &Request| {
        let told = told_by_caller_log(request, true);
        vec![(5_000, usage(request, cached(request))), (90_000, told)]
    };
    let all = requests("code").iter().take(TAKEN).map(cached).sum::<i64>();
    assert_eq!(check(rows).await, [all, 0, 0]);
}

#[tokio::test]
async fn two_rows_a_call_are_one_call_with_one_caller() {
    let rows = |request: &Request| {
        let late = i64::try_from(request.number % 200).unwrap() * 1_000;
        vec![
            (20_000 + late, empty_twin(request)),
            (30_000, told_by_caller_log(request, true)),
            (5_000, usage(request, 0)),
        ]
    };
    let (mut reader, _folder) = counted(rows).await;
    let total = only(&mut reader).await.split.total();
    assert_eq!([total.calls, total.input, total.output], truth());
    let callers = reader.callers(600_000).await.unwrap();
    let found: Vec<_> = callers.iter().map(|c| (c.identity.text(), c.amount.calls)).collect();
    assert_eq!(found, [("someone", truth()[0])]);
}

#[tokio::test]
async fn streams_without_tokens_in_the_log_of_callers_are_exact() {
    let rows = |request: &Request| {
        vec![(4_000, usage(request, 0)), (120_000, told_by_caller_log(request, false))]
    };
    assert_eq!(check(rows).await, [0, 0, 0]);
}

#[tokio::test]
async fn streams_that_arrive_twice_count_once() {
    let rows = |request: &Request| {
        let (usage, told) = (usage(request, 0), told_by_caller_log(request, true));
        vec![(4_000, usage.clone()), (9_000, usage), (60_000, told.clone()), (71_000, told)]
    };
    assert_eq!(check(rows).await, [0, 0, 0]);
}

#[tokio::test]
async fn without_the_usage_category_tokens_are_attributed() {
    let rows = |request: &Request| vec![(60_000, told_by_caller_log(request, true))];
    let [_, input, output] = truth();
    assert_eq!(check(rows).await, [0, input + output, 0]);
}

#[tokio::test]
async fn without_the_log_of_callers_tokens_are_exact_and_callers_unknown() {
    let rows = |request: &Request| vec![(4_000, usage(request, 0))];
    assert_eq!(check(rows).await, [0, 0, 0]);
    let (mut reader, _folder) = counted(rows).await;
    let callers = reader.callers(600_000).await.unwrap();
    let found: Vec<_> = callers.iter().map(|c| (&*c.network, c.identity.text())).collect();
    assert_eq!(found, [("", "")]);
}

#[tokio::test]
async fn without_tokens_anywhere_calls_are_untold_and_never_zero() {
    let rows = |request: &Request| vec![(60_000, told_by_caller_log(request, false))];
    let (mut reader, _folder) = counted(rows).await;
    let total = only(&mut reader).await;
    let [calls, ..] = truth();
    assert_eq!((total.split.total().calls, total.spend.untold), (calls, calls));
}

/// The metrics of an account that serves the taken part, a point a minute.
fn metrics() -> Vec<(i64, Value)> {
    let mut minutes: BTreeMap<i64, [i64; 3]> = BTreeMap::new();
    for request in requests("code").iter().take(TAKEN) {
        let sums = minutes.entry(request.end_ms.div_euclid(60_000)).or_default();
        *sums = [sums[0] + request.input, sums[1] + request.output, sums[2] + 1];
    }
    let point = |(minute, sums): (i64, [i64; 3])| {
        let names = ["InputTokens", "OutputTokens", "ModelRequests"];
        names.into_iter().zip(sums).map(move |(name, total)| {
            let record = json!({
                "metricName": name, "total": total, "count": 1, "timeGrain": "PT1M",
                "time": EventTime(minute * 60_000).to_string(), "resourceId": ACCOUNT
            });
            (minute * 60_000 + 240_000, record)
        })
    };
    minutes.into_iter().flat_map(point).collect()
}

#[tokio::test]
async fn what_no_row_tells_is_estimated_from_metrics_to_the_token_in_sum() {
    let has_tokens = |request: &Request| request.number.is_multiple_of(3);
    let rows = |request: &Request| vec![(60_000, told_by_caller_log(request, has_tokens(request)))];
    let (mut reader, _folder) = counted_with(rows, metrics()).await;
    let total = only(&mut reader).await;
    let estimates = reader.estimates(Minute(0), Minute(i64::MAX)).await.unwrap();
    let sums = estimates.iter().fold([0; 3], |[calls, input, output], hour| {
        assert_eq!((&*hour.deployment, &*hour.model), ("code", "gpt-4o"));
        [calls + hour.calls, input + hour.tokens.input, output + hour.tokens.output]
    });
    let [calls, input, output] = truth();
    let told = total.split.total();
    assert_eq!((told.calls, total.spend.untold), (calls, sums[0]));
    // What was told and what is estimated are together what Azure counted, and are kept apart.
    assert_eq!([told.input + sums[1], told.output + sums[2]], [input, output]);
    assert!(told.input > 0 && sums[1] > 0);
}

#[tokio::test]
async fn what_metrics_alone_tell_is_estimated_for_nobody() {
    let (mut reader, _folder) = counted_with(|_| Vec::new(), metrics()).await;
    let estimates = reader.estimates(Minute(0), Minute(i64::MAX)).await.unwrap();
    let sums = estimates.iter().fold([0; 3], |[calls, input, output], hour| {
        assert_eq!((&*hour.deployment, &*hour.model), ("", ""));
        [calls + hour.calls, input + hour.tokens.input, output + hour.tokens.output]
    });
    let [_, input, output] = truth();
    assert_eq!(sums, [0, input, output]);
}

#[tokio::test]
async fn teams_behind_a_gateway_get_their_true_share_and_nobody_elses() {
    let through = |request: &Request| !request.number.is_multiple_of(4);
    let rows = |request: &Request| {
        let mut rows =
            vec![(4_000, usage(request, 0)), (60_000, told_by_caller_log(request, false))];
        if through(request) {
            let [log, llm] = through_gateway(request);
            rows.extend([(200_000, log), (180_000, llm)]);
        }
        rows
    };
    let (mut reader, _folder) = counted(rows).await;
    let mut teams: BTreeMap<String, [i64; 3]> = BTreeMap::new();
    for request in requests("code").iter().take(TAKEN).filter(|request| through(request)) {
        let sums = teams.entry(format!("team-{}", request.number % 3)).or_default();
        *sums = [sums[0] + 1, sums[1] + request.input, sums[2] + request.output];
    }
    let (behind, shares) = reader.behind_gateways().await.unwrap();
    let [all, linked, ambiguous] = shares.iter().fold([0; 3], |[all, linked, both], found| {
        let share = found.share;
        [all + share.calls, linked + share.linked, both + share.ambiguous]
    });
    assert_eq!((all, all - linked - ambiguous), (teams.values().map(|sums| sums[0]).sum(), 0));
    assert!(linked * 100 >= all * 90, "{linked} of {all} linked");
    for caller in behind {
        let [calls, input, output] = teams.get(&caller.subject).copied().unwrap();
        let amount = caller.amount;
        assert!(amount.calls <= calls && amount.input <= input && amount.output <= output);
        assert!(amount.calls * 100 >= calls * 90, "{} of {calls} calls", amount.calls);
    }
}
