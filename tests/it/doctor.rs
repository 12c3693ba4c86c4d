//! `doctor` says in words what a captured hour lacks, and how to switch it on.

use serde_json::{Value, json};
use tokenwatch::severity::Severity;

use crate::harness::{Folder, Ran, replay, run};
use crate::hour::Hour;
use crate::records::{ACCOUNT, at, gateway_log, request};

/// What `doctor` says about an hour, as (exit code, text) and as JSON.
fn examined(hour: &Hour, folder: &Folder) -> (Ran, Value) {
    let (file, db) = (hour.write(folder), folder.path("db"));
    replay(&[&file], &db);
    let json = run(&["doctor", "--db", &db, "--format", "json"]);
    (run(&["doctor", "--db", &db]), serde_json::from_str(&json.out).unwrap())
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap()
}

fn findings<'a>(page: &'a Value, topic: &str) -> Vec<&'a Value> {
    let all = page.get("findings").and_then(Value::as_array).unwrap();
    all.iter().filter(|finding| text(finding, "/topic") == topic).collect()
}

const LAB: &str = "/subscriptions/3f0c1d2e-7a4b-4c58-9d6e-1b2a3c4d5e6f/resourcegroups/rg-ai-prod/\
                   providers/microsoft.cognitiveservices/accounts/aif-contoso-lab";

/// A category that never came is told with what that costs and the command for each account.
#[track_caller]
fn check_missing(category: &str, costs: &str, option: &str) -> Ran {
    let folder = Folder::new();
    let is_it = |record: &Value| match category {
        "AllMetrics" => record.get("metricName").is_some(),
        _ => record.get("category") == Some(&Value::from(category)),
    };
    let (ran, page) = examined(&Hour::new().without(is_it), &folder);
    assert_eq!(ran.code, Some(4), "{}", ran.out);
    let found = findings(&page, "missing-category");
    assert_eq!(found.len(), 1, "{page:#}");
    let finding = found.first().unwrap();
    assert!(text(finding, "/what").starts_with(&format!("{category} never came")), "{finding:#}");
    assert!(text(finding, "/why/0").contains(costs), "{finding:#}");
    let command = text(finding, "/commands/0");
    assert!(command.starts_with("az monitor diagnostic-settings create "), "{command}");
    assert!(command.contains(&format!("--resource {LAB} ")), "{command}");
    let list = format!("{option} '[{{\"category\":\"{category}\",\"enabled\":true}}]'");
    assert!(command.ends_with(&list), "{command}");
    assert!(ran.out.contains(command), "{}", ran.out);
    ran
}

#[test]
fn a_whole_hour_lacks_nothing() {
    let (ran, page) = examined(&Hour::new(), &Folder::new());
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert!(ran.out.starts_with("Nothing is missing"), "{}", ran.out);
    let compared = page.get("completeness").and_then(Value::as_array).unwrap();
    assert_eq!(compared.len(), 2);
    for account in compared {
        assert_eq!(account.get("hours"), Some(&Value::from(2)), "{account}");
        assert_eq!(text(account, "/state"), "complete", "{account}");
        assert_eq!(account.get("per_mille"), Some(&Value::from(1_000)), "{account}");
    }
}

#[test]
fn an_hour_without_the_usage_log() {
    let ran = check_missing("AzureOpenAIRequestUsage", "cached tokens are unknown", "--logs");
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/doctor.txt");
    if std::env::var_os("TOKENWATCH_GOLDEN").is_some_and(|word| word == "write") {
        std::fs::write(&path, &ran.out).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(ran.out, recorded, "to accept it, set TOKENWATCH_GOLDEN=write once");
}

#[test]
fn an_hour_without_the_request_log() {
    check_missing("RequestResponse", "nobody knows who calls", "--logs");
}

#[test]
fn an_hour_without_metrics() {
    check_missing("AllMetrics", "nothing says how many calls the logs leave out", "--metrics");
}

#[test]
fn what_comes_already_is_not_switched_on_again() {
    let hour = Hour::new().without_category("AzureOpenAIRequestUsage");
    let hour = hour.without(|record| record.get("metricName").is_some());
    let (_, page) = examined(&hour, &Folder::new());
    let found = findings(&page, "missing-category");
    let command = text(found.first().unwrap(), "/commands/0");
    assert!(command.contains("AzureOpenAIRequestUsage") && command.contains("AllMetrics"));
    assert!(!command.contains("RequestResponse"), "{command}");
}

#[test]
fn an_hour_of_which_logs_hold_only_a_part() {
    // Every record of some calls is left out: nothing but the metrics knows of them.
    let lost = |record: &Value| {
        let id = record.get("correlationId").and_then(Value::as_str).unwrap_or("f");
        id.starts_with(['0', '1', '2', '3'])
    };
    let (ran, page) = examined(&Hour::new().without(lost), &Folder::new());
    assert_eq!(ran.code, Some(4));
    let found = findings(&page, "completeness");
    assert_eq!(found.len(), 2, "{page:#}");
    let states: Vec<_> =
        page.get("completeness").and_then(Value::as_array).unwrap().iter().collect();
    for state in states {
        assert_eq!(text(state, "/state"), "partial", "{state}");
        let share = state.get("per_mille").and_then(Value::as_i64).unwrap();
        assert!((600..900).contains(&share), "a quarter is missing: {share}");
    }
}

#[test]
fn an_account_that_only_its_metrics_know() {
    let hour = Hour::new().without(|record| {
        let id = record.get("resourceId").and_then(Value::as_str).unwrap_or_default();
        id.ends_with("LAB") && record.get("metricName").is_none()
    });
    let (_, page) = examined(&hour, &Folder::new());
    let found = findings(&page, "completeness");
    assert_eq!(found.len(), 1, "{page:#}");
    let finding = found.first().unwrap();
    assert_eq!(text(finding, "/severity"), "high");
    assert_eq!(text(finding, "/about"), "aif-contoso-lab");
    let lacking = findings(&page, "missing-category");
    assert!(text(lacking.first().unwrap(), "/what").contains("account aif-contoso-lab"));
}

#[test]
fn a_stream_that_two_settings_send() {
    let folder = Folder::new();
    let (ran, page) = examined(&Hour::new().doubled(), &folder);
    assert_eq!(ran.code, Some(4));
    let found: Vec<_> = findings(&page, "doubled-stream")
        .iter()
        .map(|finding| text(finding, "/what").to_owned())
        .collect();
    for kind in ["RequestResponse", "AzureOpenAIRequestUsage", "AllMetrics"] {
        let sentence = format!("{kind} of account aif-contoso-prod comes twice");
        assert!(found.contains(&sentence), "{sentence}: {found:#?}");
    }
    let command = format!("az monitor diagnostic-settings list --resource {LAB}");
    assert!(ran.out.contains(&command), "{}", ran.out);
    // Told once, and every call counted once.
    let list = run(&["incidents", "--db", &folder.path("db"), "--format", "json"]);
    let incidents: Vec<Value> = serde_json::from_str(&list.out).unwrap();
    let mut told: Vec<_> = incidents.iter().map(|incident| text(incident, "/key")).collect();
    told.sort_unstable();
    let of_prod = told.iter().filter(|key| key.contains("aif-contoso-prod/RequestResponse|1|"));
    assert_eq!(of_prod.count(), 1, "{told:#?}");
    assert!(told.iter().all(|key| key.starts_with("TW-S08|")), "{told:#?}");
    let single = Folder::new();
    let file = Hour::new().write(&single);
    let expected = replay(&[&file], &single.path("db"));
    let file = folder.path("hour.jsonl");
    let found = replay(&[&file], &folder.path("db"));
    assert_eq!(found.get("deployments"), expected.get("deployments"));
}

#[test]
fn a_configuration_names_hub_and_lateness() {
    let folder = Folder::new();
    let hour = Hour::new().without_category("AzureOpenAIRequestUsage");
    let (file, db) = (hour.write(&folder), folder.path("db"));
    replay(&[&file], &db);
    let config = format!(
        "database = {db:?}\n[[hub]]\nname = \"replay\"\nnamespace = \"ns.servicebus.windows.net\"\n\
         hub = \"logs\"\n[engine]\nlateness = \"1m\"\n"
    );
    let config = folder.write("tokenwatch.toml", config.as_bytes());
    let ran = run(&["doctor", "--config", &config]);
    assert_eq!(ran.code, Some(4), "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("--event-hub logs "), "{}", ran.out);
    assert!(ran.out.contains("/namespaces/ns/authorizationRules/"), "{}", ran.out);
    assert!(ran.out.contains("late is beyond 1:00 min"), "{}", ran.out);
    let json = run(&["doctor", "--config", &config, "--format", "json"]).out;
    let page: Value = serde_json::from_str(&json).unwrap();
    let proposed = page.get("proposed_lateness_min").and_then(Value::as_i64).unwrap();
    assert!(proposed > 1, "{page:#}");
    let mend = format!("write lateness = \"{proposed}m\" under [engine]");
    assert!(
        ran.out.split_whitespace().collect::<Vec<_>>().join(" ").contains(&mend),
        "{}",
        ran.out
    );
}

#[test]
fn called_without_a_database_it_says_so() {
    let ran = run(&["doctor"]);
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.err.contains("--db"), "{}", ran.err);
    assert_eq!(run(&["doctor", "--db", "/nowhere/at/all.db"]).code, Some(1));
}

/// A captured line of one record.
fn line(sequence: i64, enqueued: &str, record: &Value) -> Value {
    json!({ "partition": "0", "sequence": sequence, "enqueued": enqueued,
            "body": { "records": [record] } })
}

/// A request row that ended at `time`.
fn row(call: i64, time: &str, identity: &str) -> Value {
    json!({
        "category": "RequestResponse", "correlationId": format!("call-{call}"), "time": time,
        "resourceId": LAB.to_uppercase(), "callerIpAddress": "203.0.113.***",
        "resultSignature": "200",
        "properties": { "modelDeploymentName": "d", "modelName": "gpt-4o", "promptTokens": call + 1,
                        "completionTokens": 1, "callerObjectId": identity }
    })
}

#[test]
fn what_was_lost_refused_or_set_aside_is_said_in_words() {
    let at = "2026-10-01T10:00:00Z";
    let later = "2026-10-01T17:00:00Z";
    let lines = vec![
        line(0, at, &row(0, at, "")),
        line(1, at, &json!({ "category": "Sparkle", "time": at })),
        line(2, at, &json!({ "category": "RequestResponse", "resourceId": LAB, "time": "never" })),
        line(3, at, &row(1, "2020-01-01T00:00:00Z", "")),
        line(
            4,
            at,
            &json!({ "metricName": "InputTokens", "total": -1, "time": at,
                             "resourceId": LAB }),
        ),
        // Five and six never came; seven comes seven hours after its call.
        line(7, later, &row(2, at, "")),
    ];
    let (ran, page) = examined(&Hour(lines), &Folder::new());
    assert_eq!(ran.code, Some(4), "{}", ran.out);
    let words = ran.out.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "high 2 event(s) of hub replay were never seen",
        "medium 1 record(s) could not be read",
        "medium 1 record(s) in the ledger beyond_dedupe",
        "low 1 record(s) in the ledger clock_suspect",
        "low 1 metric point(s) were left out",
        "- 1 record(s) of category Sparkle, which nobody decodes",
    ] {
        assert!(words.contains(said), "{said}: {}", ran.out);
    }
    let severities: Vec<_> = page
        .get("findings")
        .and_then(Value::as_array)
        .unwrap()
        .iter()
        .map(|finding| Severity::from_word(text(finding, "/severity")).unwrap())
        .collect();
    assert!(severities.is_sorted_by(|a, b| a >= b), "the gravest first: {severities:?}");
}

#[test]
fn a_week_tells_what_fell_stopped_or_never_came() {
    let known = "c2b7a1d0-5e6f-4a7b-8c9d-0e1f2a3b4c5d";
    let mut lines = Vec::new();
    for day in 1..=9_i64 {
        for n in 0..220 {
            let at = format!("2026-10-{day:02}T{:02}:{:02}:00Z", n / 20, n % 20);
            let call = day * 1_000 + n;
            let identity = if day == 8 { "" } else { known };
            let usage = json!({
                "category": "AzureOpenAIRequestUsage", "correlationId": format!("call-{call}"),
                "time": at, "resourceId": LAB.to_uppercase(),
                "properties": { "modelDeploymentName": "d", "modelName": "gpt-4o",
                                "promptTokens": [1], "cachedTokens": [0], "generatedTokens": [1] }
            });
            let mut records = vec![row(call, &at, identity)];
            records.extend((day < 4).then_some(usage));
            let sequence = i64::try_from(lines.len()).unwrap();
            lines.push(json!({ "partition": "0", "sequence": sequence, "enqueued": at,
                               "body": { "records": records } }));
        }
    }
    // As the ninth day begins: what the eighth lacked has been judged and not yet come back.
    lines.truncate(8 * 220 + 20);
    let (ran, page) = examined(&Hour(lines), &Folder::new());
    let said = |topic: &str, pointer: &str| -> Vec<String> {
        findings(&page, topic).iter().map(|f| text(f, pointer).to_owned()).collect()
    };
    assert_eq!(
        said("says-less", "/why/0"),
        ["RequestResponse, since 2026-10-08: 0 % of 220 records of the day have identity, of the \
             days before 100 %."],
        "{}",
        ran.out
    );
    let stopped = said("silent-category", "/what");
    assert_eq!(stopped.len(), 1, "{}", ran.out);
    let sentence = "AzureOpenAIRequestUsage has not come from account aif-contoso-lab since";
    assert!(stopped.iter().all(|what| what.starts_with(sentence)), "{stopped:?}");
    let missing = said("missing-category", "/what");
    assert_eq!(
        missing,
        [
            "AllMetrics and Audit never came from account aif-contoso-lab",
            "The activity log never came"
        ]
    );
    let subscription = "3f0c1d2e-7a4b-4c58-9d6e-1b2a3c4d5e6f";
    let command = format!(
        "az monitor diagnostic-settings subscription create --name tokenwatch \
                           --location global --subscription {subscription} "
    );
    assert!(ran.out.contains(&command), "{}", ran.out);
}

/// Calls through a gateway whose sizes nobody tells, and without the log of their tokens.
#[test]
fn gateways_that_cannot_be_told_apart_are_told_with_the_category_that_would() {
    let folder = Folder::new();
    let mut records: Vec<(i64, Value)> = Vec::new();
    for n in 0..60 {
        let (second, id) = (n * 5, format!("call-{n}"));
        records.push((second + 60, request(second, &format!("d-{id}"), "198.51.100.*", "g", 200)));
        records.push((second + 90, gateway_log(second * 1000, &id, ("203.0.113.9", "team"), 900)));
    }
    records.push((7_200, request(7_190, "last", "198.51.100.*", "g", 200)));
    records.sort_by_key(|(second, _)| *second);
    let line = |(sequence, (second, body)): (usize, &(i64, Value))| {
        json!({"partition": "0", "sequence": sequence, "enqueued": at(*second), "body": body})
            .to_string()
    };
    let lines: Vec<_> = records.iter().enumerate().map(line).collect();
    let file = folder.write("capture", lines.join("\n").as_bytes());
    let db = folder.path("db");
    replay(&[&file], &db);
    let ran = run(&["doctor", "--db", &db, "--format", "json"]);
    let page: Value = serde_json::from_str(&ran.out).unwrap();
    let share = findings(&page, "gateway-share");
    assert!(
        text(share.first().unwrap(), "/what").starts_with("0.0 % of the calls of gateway apim-one")
    );
    let missing = findings(&page, "missing-gateway-tokens");
    let command = text(missing.first().unwrap(), "/commands/0");
    assert!(command.contains("GatewayLlmLogs"), "{command}");
}

/// What diagnostic settings cannot export, from an answer of the metrics API.
#[test]
fn provisioned_throughput_shows_how_far_it_is_used() {
    let folder = Folder::new();
    let data: Vec<Value> = [(0, 20.0), (60, 90.0), (120, 104.25)]
        .map(|(second, average)| json!({"timeStamp": at(second), "average": average}))
        .to_vec();
    let body = json!({
        "timespan": format!("{}/{}", at(0), at(180)), "interval": "PT1M",
        "namespace": "microsoft.cognitiveservices/accounts", "resourceregion": "eastus2",
        "value": [{
            "id": format!("{ACCOUNT}/providers/Microsoft.Insights/metrics/ProvisionedUtilization"),
            "type": "Microsoft.Insights/metrics", "name": {"value": "ProvisionedUtilization"},
            "unit": "Percent",
            "timeseries": [{
                "metadatavalues": [{"name": {"value": "modeldeploymentname"}, "value": "reserved"}],
                "data": data
            }]
        }]
    });
    let line = json!({"partition": "0", "sequence": 0, "enqueued": at(240), "body": body});
    let file = folder.write("capture", line.to_string().as_bytes());
    let db = folder.path("db");
    replay(&[&file], &db);
    let page = run(&["doctor", "--db", &db]).out;
    let row = page.lines().find(|line| line.contains("reserved")).unwrap();
    let cells: Vec<_> = row.split_whitespace().collect();
    assert_eq!(cells, ["aif-prod", "reserved", "3", "71.4", "%", "104.2", "%"], "{page}");
}
