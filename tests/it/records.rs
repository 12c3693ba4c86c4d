//! Records as Azure writes them, said in few words, and captures made of them.

use serde_json::{Value, json};

use crate::harness::{Folder, replay};

/// A morning long past: all times of these tests count from here, in seconds.
pub(crate) const MORNING: i64 = 1_791_277_200;
/// The account of these tests.
pub(crate) const ACCOUNT: &str =
    "/SUBSCRIPTIONS/S1/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.COGNITIVESERVICES/ACCOUNTS/AIF-PROD";

/// A gateway in front of it.
const GATEWAY: &str =
    "/SUBSCRIPTIONS/S1/RESOURCEGROUPS/RG/PROVIDERS/MICROSOFT.APIMANAGEMENT/SERVICE/APIM-ONE";

/// The time as Azure writes it.
pub(crate) fn at(second: i64) -> String {
    at_ms(second * 1000)
}

/// The same to the millisecond.
pub(crate) fn at_ms(millis: i64) -> String {
    let whole = tokenwatch::time::EventTime(MORNING * 1000 + millis - millis.rem_euclid(1000));
    format!("{}.{:03}Z", whole.to_string().trim_end_matches('Z'), millis.rem_euclid(1000))
}

/// A row of `RequestResponse` that names deployment and perhaps who called.
pub(crate) fn request(second: i64, id: &str, network: &str, identity: &str, status: u16) -> Value {
    json!({
        "category": "RequestResponse", "correlationId": id, "time": at(second),
        "resourceId": ACCOUNT, "callerIpAddress": network, "operationName": "ChatCompletions_Create",
        "resultSignature": status.to_string(), "durationMs": 900,
        "properties": {
            "modelDeploymentName": "chat", "modelName": "gpt-4o", "modelVersion": "2024-08-06",
            "callerObjectId": identity, "requestLength": 800, "responseLength": 400
        }
    })
}

/// Its near-empty twin.
pub(crate) fn twin(second: i64, id: &str, network: &str) -> Value {
    json!({
        "category": "RequestResponse", "correlationId": id, "time": at(second),
        "resourceId": ACCOUNT, "callerIpAddress": network, "operationName": "ChatCompletions_Create",
        "resultSignature": "200", "properties": "{\"apiName\":\"AIServices\",\"objectId\":\"\"}"
    })
}

/// A row of `AzureOpenAIRequestUsage`.
pub(crate) fn usage(second: i64, id: &str, [input, cached, output]: [u32; 3]) -> Value {
    json!({
        "category": "AzureOpenAIRequestUsage", "correlationId": id, "time": at(second),
        "resourceId": ACCOUNT, "operationName": "ChatCompletions_Create",
        "properties": {
            "modelDeploymentName": "chat", "modelName": "gpt-4o", "modelVersion": "2024-08-06",
            "promptTokens": [input], "cachedTokens": [cached], "generatedTokens": [output]
        }
    })
}

/// A row of `GatewayLogs`: the call began at `millis` and took `took_ms`.
pub(crate) fn gateway_log(millis: i64, id: &str, caller: (&str, &str), took_ms: i64) -> Value {
    json!({
        "category": "GatewayLogs", "correlationId": id, "time": at_ms(millis), "durationMs": took_ms,
        "resourceId": GATEWAY, "callerIpAddress": caller.0, "properties": {
            "apimSubscriptionId": caller.1, "backendResponseCode": 200, "responseCode": 200,
            "backendUrl": "https://aif-prod.openai.azure.com/openai/deployments/chat/chat/completions"
        }
    })
}

/// A row of `GatewayLlmLogs`.
pub(crate) fn gateway_llm(millis: i64, id: &str, [input, output]: [u32; 2]) -> Value {
    json!({
        "category": "GatewayLlmLogs", "correlationId": id, "time": at_ms(millis), "resourceId": GATEWAY,
        "properties": {
            "requestId": "chatcmpl-1", "deploymentName": "chat", "modelName": "gpt-4o",
            "promptTokens": input, "completionTokens": output, "totalTokens": input + output
        }
    })
}

/// Replays records that the hub took at the given seconds, in that order; the JSON.
#[track_caller]
pub(crate) fn replayed(records: &[(i64, Value)]) -> Value {
    let folder = Folder::new();
    let line = |(sequence, (second, body)): (usize, &(i64, Value))| {
        json!({"partition": "0", "sequence": sequence, "enqueued": at(*second), "body": body})
            .to_string()
    };
    let lines: Vec<_> = records.iter().enumerate().map(line).collect();
    let file = folder.write("capture", lines.join("\n").as_bytes());
    replay(&[&file], &folder.path("db"))
}

/// A member of a list in the JSON as plain text, in order.
pub(crate) fn cells(found: &Value, list: &str, members: &[&str]) -> Vec<String> {
    let entries = found.get(list).and_then(Value::as_array).unwrap();
    let cell = |entry: &Value, member: &&str| match entry.get(*member) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => "?".to_owned(),
    };
    let row = |entry: &Value| members.iter().map(|m| cell(entry, m)).collect::<Vec<_>>().join(" ");
    entries.iter().map(row).collect()
}
