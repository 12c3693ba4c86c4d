//! A captured hour that can be made to lack things: what Azure sends of a simulated fleet, with its
//! metrics.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use tokenwatch::decode::decode;
use tokenwatch::event::Tokens;
use tokenwatch::simulate::{Options, Scenario};
use tokenwatch::time::{ArrivalTime, EventTime, MINUTE_MS, Minute};

use crate::harness::{Folder, capture, short};

/// Captured lines, in the order of arrival.
#[derive(Clone)]
pub(crate) struct Hour(pub(crate) Vec<Value>);

/// Two hours that can be compared with their metrics, and one more until they may be.
pub(crate) fn options() -> Options {
    Options { history_hours: 2, live_minutes: 60, ..short(Scenario::Quiet, 1) }
}

fn records(line: &Value) -> &Vec<Value> {
    line.pointer("/body/records").and_then(Value::as_array).unwrap()
}

impl Hour {
    /// Rows alone, as the simulation writes them.
    pub(crate) fn rows(options: Options) -> Self {
        let (bytes, _) = capture(options);
        let lines = std::str::from_utf8(&bytes).unwrap().lines();
        Self(lines.map(|line| serde_json::from_str(line).unwrap()).collect())
    }

    /// Rows and the metrics that Azure would have counted.
    pub(crate) fn new() -> Self {
        let rows = Self::rows(options());
        let metrics = rows.metrics();
        rows.and(metrics)
    }

    /// The same without some records; events stay, so that sequence numbers have no gap.
    pub(crate) fn without(mut self, is_left_out: impl Fn(&Value) -> bool) -> Self {
        for line in &mut self.0 {
            let kept: Vec<_> = records(line).iter().filter(|r| !is_left_out(r)).cloned().collect();
            *line.pointer_mut("/body/records").unwrap() = Value::from(kept);
        }
        self
    }

    /// The same without a category.
    pub(crate) fn without_category(self, category: &str) -> Self {
        self.without(|record| record.get("category") == Some(&Value::from(category)))
    }

    /// With more lines.
    pub(crate) fn and(mut self, lines: Vec<Value>) -> Self {
        self.0.extend(lines);
        self
    }

    /// Every event a second time on partitions of its own, seconds later: two diagnostic settings.
    pub(crate) fn doubled(self) -> Self {
        let again = self.0.iter().map(|line| {
            let at = line.get("enqueued").and_then(Value::as_str).unwrap();
            let at_ms = tokenwatch::time::parse(at).unwrap() + 7_000;
            let partition = line.get("partition").and_then(Value::as_str).unwrap();
            let sequence = line.get("sequence").unwrap();
            json!({ "partition": format!("{partition}b"), "sequence": sequence,
                    "enqueued": ArrivalTime(at_ms).to_string(), "body": line.get("body").unwrap() })
        });
        let again = again.collect();
        self.and(again)
    }

    /// Writes the lines into a file.
    pub(crate) fn write(&self, folder: &Folder) -> String {
        let lines: Vec<String> = self.0.iter().map(Value::to_string).collect();
        folder.write("hour.jsonl", lines.join("\n").as_bytes())
    }

    /// Points of both families for every account and minute, four minutes late, on a partition of
    /// their own. Counted from calls, as Azure counts them: each once, where it ended, listings not.
    fn metrics(&self) -> Vec<Value> {
        let mut calls: BTreeMap<(String, u128), (EventTime, Tokens, bool)> = BTreeMap::new();
        for line in &self.0 {
            let body = line.get("body").unwrap().to_string();
            for row in decode(body.as_bytes()).rows() {
                let call = calls.entry((row.account.clone(), row.call));
                let (end, tokens, is_inference) =
                    call.or_insert((row.end, Tokens::default(), false));
                *end = row.end.min(*end);
                *is_inference |= !row.deployment.is_empty();
                *tokens = Tokens::max(*tokens, row.tokens.unwrap_or_default());
            }
        }
        let mut minutes: BTreeMap<(Minute, String), [i64; 3]> = BTreeMap::new();
        for ((account, _), (end, tokens, is_inference)) in calls {
            let [input, output, requests] = minutes.entry((end.minute(), account)).or_default();
            *input += i64::from(tokens.input);
            *output += i64::from(tokens.output);
            *requests += i64::from(is_inference);
        }
        let events =
            minutes.into_iter().enumerate().map(|(sequence, ((minute, account), counts))| {
                let enqueued = ArrivalTime(minute.start().0 + 5 * MINUTE_MS);
                event(sequence, enqueued, &points(&account, minute, counts))
            });
        events.collect()
    }
}

fn event(sequence: usize, enqueued: ArrivalTime, records: &[Value]) -> Value {
    json!({ "partition": "metrics", "sequence": sequence, "enqueued": enqueued.to_string(),
            "body": { "records": records } })
}

/// The points of one account and minute: tokens in and out and requests, by both families.
pub(crate) fn points(account: &str, minute: Minute, counts: [i64; 3]) -> Vec<Value> {
    let names = [
        ["InputTokens", "ProcessedPromptTokens"],
        ["OutputTokens", "GeneratedTokens"],
        ["ModelRequests", "AzureOpenAIRequests"],
    ];
    let pairs = names.iter().zip(counts);
    let each =
        pairs.flat_map(|(names, count)| names.map(|name| point(account, minute, (name, count))));
    each.collect()
}

/// One point.
pub(crate) fn point(account: &str, minute: Minute, (name, total): (&str, i64)) -> Value {
    json!({ "count": 1, "total": total, "minimum": total, "maximum": total, "average": total,
            "resourceId": account.to_uppercase(), "time": minute.start().to_string(),
            "metricName": name, "timeGrain": "PT1M" })
}
