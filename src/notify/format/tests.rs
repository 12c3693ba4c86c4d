//! What receivers of every format rely on.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::*;
use crate::incident::digest::Gathering;
use crate::incident::{Entry, Feedback, Kind, State};
use crate::notify::sample::{HOSTILE, announcement, hostile};
use crate::notify::tests::is_dangerous;
use crate::time::{ArrivalTime, EventTime};

/// As a destination's settings pass it on.
const LABEL: Label<'static> = Label { destination: "siem", key: "0f1e2d3c" };

/// An incident with something in every place.
fn full(kind: Kind) -> Announcement {
    let mut told = announcement(kind);
    let incident = &mut told.incident;
    incident.first_call = Some(EventTime(1_795_489_507_000));
    incident.first_arrival = Some(ArrivalTime(1_795_489_519_000));
    incident.callers_before = incident.callers.clone();
    let entry = |author: &str| Entry {
        at: ArrivalTime(1_795_489_600_000),
        author: author.to_owned(),
        what: "acknowledged: looking at it".to_owned(),
    };
    incident.history = vec![entry(""), entry("ada@contoso.example")];
    incident.feedback = Some(Feedback::NewNormal);
    incident.parent = Some("TW-S01|hub|1|x".to_owned());
    incident.children = vec!["TW-C04|a|1|y".to_owned()];
    told
}

/// Incidents of which little is known: what comes of a service rule, and of nothing at all.
fn sparse(kind: Kind) -> Announcement {
    let incident = crate::incident::Incident::default();
    Announcement { kind, step: 0, at: ArrivalTime(0), written: None, incident }
}

fn digest_of(announcements: Vec<Announcement>) -> Digest {
    Digest {
        key: "account=aif-contoso-prod|7".to_owned(),
        group: "account=aif-contoso-prod".to_owned(),
        gathering: Gathering::Storm,
        at: ArrivalTime(1_795_489_900_000),
        labels: BTreeMap::from([("account".to_owned(), "aif-contoso-prod".to_owned())]),
        announcements,
    }
}

#[track_caller]
fn body(format: &'static Format, told: &Announcement) -> Value {
    serde_json::from_slice(&Body::Format(format).incident(told, LABEL).unwrap()).unwrap()
}

#[track_caller]
fn digest_body(format: &'static Format, digest: &Digest) -> Value {
    serde_json::from_slice(&Body::Format(format).digest(digest, LABEL).unwrap()).unwrap()
}

#[track_caller]
fn format(name: &str) -> &'static Format {
    FORMATS.into_iter().find(|format| format.name == name).unwrap()
}

/// Every string in it, with where it stands.
fn strings(value: &Value, path: &str, found: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => found.push((path.to_owned(), text.clone())),
        Value::Array(items) => items.iter().for_each(|item| strings(item, path, found)),
        Value::Object(fields) => {
            for (name, item) in fields {
                found.push((path.to_owned(), name.clone()));
                strings(item, &format!("{path}.{name}"), found);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// What identifies an incident must be the same everywhere, so it is not cleaned.
fn is_identifier(path: &str) -> bool {
    let name = path.rsplit('.').next().unwrap();
    let named = ["key", "uid", "alertId", "originAlertId", "groupKey", "group", "incident"];
    named.contains(&name) || matches!(name, "parent" | "children")
}

#[track_caller]
fn check_clean(format: &Format, body: &Value) {
    let mut found = Vec::new();
    strings(body, "", &mut found);
    assert!(found.len() > 10);
    for (path, text) in found.iter().filter(|(path, _)| !is_identifier(path)) {
        // A command stands on a line of its own.
        let dangerous = text.chars().find(|c| is_dangerous(*c) || *c == '\r');
        assert_eq!(dangerous, None, "{format:?} {path}: {text:?}");
    }
}

#[test]
fn whatever_a_caller_writes_bodies_stay_clean_and_small() {
    let long = |text: &str| text.repeat(1_500 / text.len().max(1));
    let texts = HOSTILE.iter().flat_map(|text| [(*text).to_owned(), long(text)]);
    for text in texts.chain([HOSTILE.concat()]) {
        for format in FORMATS {
            for kind in [Kind::Open, Kind::Resolve] {
                let told = hostile(kind, &text);
                let bytes = Body::Format(format).incident(&told, LABEL).unwrap();
                // Keys stand in a body a few times, and each character may be escaped.
                assert!(bytes.len() <= BODY_MAX + 24 * text.len(), "{format:?} {}", bytes.len());
                check_clean(format, &serde_json::from_slice(&bytes).unwrap());
            }
        }
        let native = body(format("native"), &hostile(Kind::Open, &text));
        assert_eq!(
            (&native["data"]["key"], &native["data"]["observed"]),
            (&json!(text), &Value::Null)
        );
    }
    for text in [HOSTILE.concat(), long("<b>"), String::new()] {
        let digest = digest_of(vec![hostile(Kind::Open, &text); 45]);
        for format in FORMATS {
            let bytes = Body::Format(format).digest(&digest, LABEL).unwrap();
            assert!(
                bytes.len() <= BODY_MAX + 24 * text.len(),
                "{format:?} {text:?} {}",
                bytes.len()
            );
            check_clean(format, &serde_json::from_slice(&bytes).unwrap());
        }
    }
}

#[test]
fn ordinary_incidents_are_told_whole() {
    for format in FORMATS {
        for kind in Kind::ALL {
            let bytes = Body::Format(format).incident(&full(kind), LABEL).unwrap();
            assert!(bytes.len() < BODY_MAX / 2, "{format:?} {}", bytes.len());
            let text = String::from_utf8(bytes).unwrap();
            for fact in [LABEL.key, "TW-C01", "aif-contoso-prod", "chat-prod", "198.51.100.0/24"] {
                let has_callers = !matches!(format.name, "alertmanager");
                assert!(text.contains(fact) || !has_callers, "{format:?} {kind:?}: {fact}");
            }
            assert!(Body::Format(format).incident(&sparse(kind), LABEL).is_ok());
        }
    }
}

#[test]
fn of_many_incidents_the_worst_are_told_and_the_others_counted() {
    for count in [2, 40, 41, 500] {
        let digest = digest_of(vec![full(Kind::Open); count]);
        for format in FORMATS {
            let bytes = Body::Format(format).digest(&digest, LABEL).unwrap();
            assert!(bytes.len() <= BODY_MAX, "{format:?} {count}: {}", bytes.len());
        }
        let native = digest_body(format("native"), &digest);
        let told = native["data"]["incidents"].as_array().unwrap().len();
        assert!(told >= 2 && told <= count.min(TOLD_MAX));
        assert_eq!(native["data"]["more"], count - told);
        let alertmanager = digest_body(format("alertmanager"), &digest);
        let alerts = alertmanager["alerts"].as_array().unwrap().len();
        assert_eq!(alertmanager["truncatedAlerts"], count - alerts);
        let ocsf = digest_body(format("ocsf"), &digest);
        assert_eq!(ocsf["finding_info"]["related_events_count"], count);
    }
}

/// The schema, and the same one with no room for a field that it does not describe.
fn schemas() -> [jsonschema::Validator; 2] {
    fn close(schema: &mut Value) {
        match schema {
            Value::Object(fields) => {
                if fields.get("type") == Some(&json!("object")) && fields.contains_key("properties")
                {
                    fields.insert("unevaluatedProperties".to_owned(), json!(false));
                }
                fields.values_mut().for_each(close);
            }
            Value::Array(items) => items.iter_mut().for_each(close),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    let open: Value = serde_json::from_str(NATIVE_SCHEMA).unwrap();
    let mut closed = open.clone();
    close(&mut closed);
    // The part that others refer to is closed by whoever does.
    closed["$defs"]["core"].as_object_mut().unwrap().remove("unevaluatedProperties");
    assert_ne!(open, closed);
    [open, closed].map(|schema| jsonschema::draft202012::new(&schema).unwrap())
}

#[track_caller]
fn check_schema(schemas: &[jsonschema::Validator], body: &Value) {
    for schema in schemas {
        let errors: Vec<_> = schema
            .iter_errors(body)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{errors:#?} in {body:#}");
    }
}

#[test]
fn native_bodies_are_as_the_schema_says() {
    let schemas = schemas();
    let native = format("native");
    for kind in Kind::ALL {
        for told in [full(kind), announcement(kind), sparse(kind), hostile(kind, "<b>\u{202E}x")] {
            check_schema(&schemas, &body(native, &told));
        }
        let mut acknowledged = full(kind);
        acknowledged.incident.state = State::Acknowledged;
        check_schema(&schemas, &body(native, &acknowledged));
    }
    for kinds in [[Kind::Open, Kind::Repeat], [Kind::Resolve, Kind::Resolve]] {
        let mut digest = digest_of(vec![full(kinds[0]), sparse(kinds[1])]);
        digest.gathering = Gathering::Group;
        check_schema(&schemas, &digest_body(native, &digest));
    }
}

#[test]
fn native_bodies_have_the_promised_fields() {
    let value = body(format("native"), &announcement(Kind::Resolve));
    assert_eq!(value["type"], "incident.resolve");
    assert_eq!(value["timestamp"], "2026-11-24T06:05:41.250Z");
    let data = &value["data"];
    assert_eq!(data["idempotency_key"], LABEL.key);
    assert_eq!(data["severity"], "high");
    assert_eq!(data["state"], "resolved");
    assert_eq!(data["first_window"], "2026-11-24T03:05:00Z");
    assert_eq!(data["resolved_at"], "2026-11-24T06:05:41.250Z");
    assert_eq!(data["cost_nano_usd"], 214_370_000_000_i64);
    assert_eq!(data["callers"][0]["network"], "198.51.100.0/24");
    assert_eq!(data["callers"][2]["cost_nano_usd"], Value::Null);
    assert_eq!(data["callers"][0]["about"]["asn"], 64_500);
    assert_eq!(data["callers"][0]["about"]["listed"][1]["extent"], "whole");
    assert_eq!(data["callers"][1]["about"]["named"][0]["kind"], "own");
    assert_eq!(data["callers"][1]["name"], "Build pipeline");
    let unknown: Vec<&str> =
        data["callers"][2].as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(unknown, ["cost_nano_usd", "identity", "network", "new", "tokens"]);
    assert_eq!(data["response"][2]["command"], "");
    let mut names: Vec<&str> = data.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(
        names.join(" "),
        "account bound callers callers_before children confidence cost_nano_usd \
         cost_per_day_nano_usd delay_azure_s deployment evidence expected feedback first_arrival \
         first_call first_window history idempotency_key key labels last_window model observed \
         opened_at parent resolved_at resource_id response rule rule_name severity state summary unit"
    );
}

#[test]
fn the_schema_refuses_what_is_none() {
    let schemas = schemas();
    let good = body(format("native"), &full(Kind::Open));
    for (at, wrong) in [
        ("/type", json!("incident.digest")),
        ("/type", json!("incident.unheard_of")),
        ("/timestamp", json!(7)),
        ("/data/severity", json!("sev1")),
        ("/data/cost_nano_usd", json!("214.37")),
        ("/data/callers/0/tokens", Value::Null),
        ("/data/confidence", json!(1.5)),
        ("/data/history/0/at", json!([])),
        ("/data/callers/0/about/listed/0/class", json!("nice")),
        ("/data/callers/0/about/listed/0/extent", json!({"part": 3})),
    ] {
        let mut body = good.clone();
        *body.pointer_mut(at).unwrap() = wrong;
        for schema in &schemas {
            assert!(!schema.is_valid(&body), "{at}");
        }
    }
    for name in good["data"].as_object().unwrap().keys() {
        let mut body = good.clone();
        body["data"].as_object_mut().unwrap().remove(name);
        assert!(!schemas[0].is_valid(&body), "{name} may be missing");
    }
    let mut body = good;
    body["data"]["added_later"] = json!(1);
    assert!(schemas[0].is_valid(&body) && !schemas[1].is_valid(&body));
}

#[test]
fn cloud_events_have_their_attributes() {
    let schemas = schemas();
    let events = Kind::ALL.map(|kind| body(format("cloudevents"), &full(kind)));
    let digest = digest_of(vec![full(Kind::Open), sparse(Kind::Open)]);
    for event in events.iter().chain([&digest_body(format("cloudevents"), &digest)]) {
        assert_eq!(event["specversion"], "1.0");
        assert_eq!(event["id"], LABEL.key);
        assert_eq!(event["datacontenttype"], "application/json");
        for (name, value) in event.as_object().unwrap() {
            // CloudEvents 1.0, 3.1: names of attributes.
            assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "{name}");
            assert!(
                name == "data" || value.as_str().is_some_and(|text| !text.is_empty()),
                "{name}"
            );
        }
        // `data` is what the native format says.
        let kind = event["type"].as_str().unwrap();
        let kind = kind.strip_prefix("io.tokenwatch.").and_then(|kind| kind.strip_suffix(".v1"));
        let native =
            json!({"type": kind.unwrap(), "timestamp": event["time"], "data": event["data"]});
        check_schema(&schemas, &native);
    }
    assert_eq!(
        events[0]["subject"],
        "/subscriptions/5c1f0000-0000-4000-8000-00000000a11c/resourceGroups/rg-ai-prod/providers/\
         Microsoft.CognitiveServices/accounts/aif-contoso-prod/deployments/chat-prod"
    );
    assert_eq!(body(format("cloudevents"), &sparse(Kind::Open))["subject"], "unknown");
}

#[test]
fn findings_are_created_updated_and_closed_under_one_uid() {
    let ocsf = format("ocsf");
    for (kind, activity, status) in [
        (Kind::Open, 1, 1),
        (Kind::Escalate, 2, 1),
        (Kind::Repeat, 2, 1),
        (Kind::Reopen, 2, 1),
        (Kind::Resolve, 3, 4),
        (Kind::Test, 99, 1),
    ] {
        let finding = body(ocsf, &full(kind));
        assert_eq!(finding["activity_id"], activity, "{kind:?}");
        assert_eq!(finding["type_uid"], 200_400 + activity);
        assert_eq!(finding["status_id"], status);
        assert_eq!(finding["finding_info"]["uid"], full(kind).incident.key);
        assert_eq!(finding["metadata"]["uid"], LABEL.key);
    }
    let mut taken = full(Kind::Acknowledge);
    taken.incident.state = State::Acknowledged;
    assert_eq!(body(ocsf, &taken)["status_id"], 2);
    let finding = body(ocsf, &full(Kind::Open));
    assert_eq!(
        finding["anomaly_analyses"],
        json!([{
            "analysis_targets": [{"name": "aif-contoso-prod/chat-prod", "type": "AI deployment"}],
            "anomalies": [{
                "observation_parameter": "tokens in 5 min",
                "observation_type": "Volume",
                "observed_pattern": "14× expected",
                "observations": [{"value": "4812330", "count": 1}],
            }],
            "baselines": [{
                "observation_parameter": "tokens in 5 min",
                "observation_type": "Volume",
                "observed_pattern": "expected, normal to 612,000",
                "observations": [{"value": "341200", "count": 1}],
            }],
        }])
    );
    let attacks = &finding["finding_info"]["attacks"];
    assert_eq!(attacks[0]["sub_technique"]["uid"], "T1496.004");
    assert_eq!(attacks[0]["technique"]["uid"], "T1496");
    assert_eq!(attacks[1]["technique"]["uid"], "AML.T0034");
    let evidences = finding["evidences"].as_array().unwrap();
    assert_eq!(evidences[0]["src_endpoint"]["name"], "198.51.100.0/24");
    assert_eq!(evidences[0]["src_endpoint"]["autonomous_system"]["number"], 64_500);
    assert_eq!(evidences[0]["actor"], Value::Null);
    assert_eq!(evidences[1]["actor"]["user"]["name"], "Build pipeline");
    assert_eq!(evidences[2]["src_endpoint"]["name"], "not recorded");
}

#[test]
fn azures_own_receivers_find_what_they_look_for() {
    let azure = format("azure-common-alert");
    let fired = body(azure, &full(Kind::Open));
    assert_eq!(fired["schemaId"], "azureMonitorCommonAlertSchema");
    let essentials = &fired["data"]["essentials"];
    assert_eq!(essentials["severity"], "Sev1");
    assert_eq!(essentials["monitorCondition"], "Fired");
    assert_eq!(essentials["firedDateTime"], "2026-11-24T03:10:41.250Z");
    assert_eq!(essentials.get("resolvedDateTime"), None);
    let target = essentials["alertTargetIDs"][0].as_str().unwrap();
    assert!(target.ends_with("/accounts/aif-contoso-prod/deployments/chat-prod"), "{target}");
    let measured = &fired["data"]["alertContext"]["condition"]["allOf"][0];
    assert_eq!(
        (&measured["operator"], &measured["threshold"]),
        (&json!("GreaterThan"), &json!(612_000.0))
    );
    let over = body(azure, &full(Kind::Resolve));
    let ended = &over["data"]["essentials"];
    assert_eq!(ended["monitorCondition"], "Resolved");
    assert_eq!(ended["resolvedDateTime"], "2026-11-24T06:05:41.250Z");
    assert_eq!(ended["alertId"], essentials["alertId"]);
    let digest = digest_of(vec![full(Kind::Open), full(Kind::Open), sparse(Kind::Open)]);
    let several = digest_body(azure, &digest);
    assert_eq!(several["data"]["essentials"]["alertTargetIDs"], json!([target]));
    assert_eq!(several["data"]["essentials"]["severity"], "Sev1");
}

#[test]
fn alertmanagers_receivers_find_what_they_look_for() {
    let alertmanager = format("alertmanager");
    let firing = body(alertmanager, &full(Kind::Open));
    let over = body(alertmanager, &full(Kind::Resolve));
    assert_eq!((&firing["version"], &firing["receiver"]), (&json!("4"), &json!("siem")));
    let (alert, ended) = (&firing["alerts"][0], &over["alerts"][0]);
    assert_eq!((&alert["status"], &ended["status"]), (&json!("firing"), &json!("resolved")));
    assert_eq!(alert["fingerprint"], ended["fingerprint"]);
    assert_eq!(alert["fingerprint"].as_str().unwrap().len(), FINGERPRINT_DIGITS);
    assert_eq!(alert["startsAt"], "2026-11-24T03:05:00Z");
    assert_eq!(alert["endsAt"], "0001-01-01T00:00:00Z");
    assert_eq!(ended["endsAt"], "2026-11-24T06:05:41.250Z");
    assert_eq!(alert["labels"]["alertname"], "Token volume spike");
    assert_eq!(firing["groupLabels"]["deployment"], "chat-prod");
    for name in alert["labels"].as_object().unwrap().keys() {
        assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "{name}");
    }
    let mut other = full(Kind::Open);
    other.incident.deployment = Some("other".to_owned());
    other.incident.key = "another".to_owned();
    let digest = digest_body(alertmanager, &digest_of(vec![full(Kind::Resolve), other]));
    assert_eq!(digest["status"], "firing");
    assert_eq!(digest["groupKey"], "account=aif-contoso-prod");
    assert_eq!(digest["groupLabels"], json!({"account": "aif-contoso-prod"}));
    assert_eq!(digest["commonLabels"]["account"], "aif-contoso-prod");
    assert_eq!(digest["commonLabels"].get("deployment"), None);
    assert_ne!(digest["alerts"][0]["fingerprint"], digest["alerts"][1]["fingerprint"]);
}

/// 64 bits in hexadecimal.
const FINGERPRINT_DIGITS: usize = 16;
