use base64::Engine as _;

use super::*;
use crate::event::Tokens;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/samples/");

fn sample(name: &str) -> Decoded {
    decode(&std::fs::read(format!("{SAMPLES}{name}.json")).unwrap())
}

#[test]
fn both_request_shapes_and_usage_are_read() {
    let old = sample("cognitive-requestresponse-2024");
    let new = sample("cognitive-requestresponse-2026-tworows");
    let usage = sample("cognitive-azureopenairequestusage");
    for decoded in [&old, &new, &usage] {
        assert_eq!(decoded.rejected, []);
        assert!(decoded.unknown.is_empty(), "{:?}", decoded.unknown);
    }
    let agent = new.rows().find(|row| row.deployment == "agent-prod").unwrap();
    assert_eq!(agent.tokens, Some(Tokens { input: 138_652, cached: 0, output: 622 }));
    assert_eq!(agent.network, "198.51.100.0/24");
    assert_eq!(agent.identity, "c2b7a1d0-5e6f-4a7b-8c9d-0e1f2a3b4c5d");
    assert_eq!(agent.end.to_string(), "2026-10-06T09:15:02.435Z");
    let twin = new.rows().find(|row| row.call == agent.call && row.tokens.is_none()).unwrap();
    assert_eq!((twin.end, twin.identity.as_str()), (agent.end, ""));
    let exact = usage.rows().find(|row| row.call == agent.call).unwrap();
    assert_eq!(exact.tokens, Some(Tokens { input: 138_652, cached: 134_605, output: 622 }));
    let project = new.rows().last().unwrap();
    assert!(project.account.ends_with("/accounts/aif-contoso-prod"), "{}", project.account);
    assert_eq!(project.status, 403);
}

#[test]
fn every_envelope_gives_its_records() {
    for (name, rows) in [
        ("envelope-mixed-case", None),
        ("envelope-bare-array", None),
        ("envelope-single-object", Some(1)),
        ("envelope-wrapped-array", None),
    ] {
        let decoded = sample(name);
        assert_eq!(decoded.rejected, [], "{name}");
        let records = decoded.records();
        assert!(records > 0 && rows.is_none_or(|rows| rows == records), "{name}: {records}");
    }
}

#[test]
fn malformed_bodies_end_as_azure_watchers_expect() {
    let text = std::fs::read_to_string(format!("{SAMPLES}envelope-malformed-bodies.json")).unwrap();
    let vectors: serde_json::Value = serde_json::from_str(&text).unwrap();
    for vector in vectors["vectors"].as_array().unwrap() {
        let name = vector["name"].as_str().unwrap();
        let body = base64::engine::general_purpose::STANDARD
            .decode(vector["body_base64"].as_str().unwrap())
            .unwrap();
        let decoded = decode(&body);
        let unknown: u32 = decoded.unknown.values().sum();
        let found = (decoded.rows().count(), decoded.rejected.len(), unknown, decoded.repaired);
        let expected = match name {
            "utf8-bom" => (1, 0, 0, 0),
            "ndjson" | "concatenated" => (2, 0, 0, 0),
            "raw-newline-in-string" => (1, 0, 0, 1),
            "trailing-garbage" => (1, 1, 1, 0),
            "empty-records" => (0, 0, 0, 0),
            "not-an-envelope" => (0, 0, 1, 0),
            _ => (0, 1, 0, 0),
        };
        assert_eq!(found, expected, "{name}");
    }
}

#[test]
fn a_bad_record_does_not_cost_its_siblings() {
    let good = r#"{"category":"azureopenairequestusage","time":"2026-10-06T09:15:03Z",
        "resourceId":"/S/X/ACCOUNTS/A","correlationId":"1","properties":{"promptTokens":[5]}}"#;
    let bad = good.replace("[5]", "\"many\"").replace("\"1\"", "\"2\"");
    let other = r#"{"category":"SignInLogs","properties":{"prompt":"canary"}}"#;
    let decoded = decode(format!(r#"{{"RECORDS":[{good},{bad},{other},7,"x"]}}"#).as_bytes());
    assert_eq!(decoded.rows().count(), 1);
    let unknown: Vec<_> = decoded.unknown.iter().map(|(name, n)| (name.as_str(), *n)).collect();
    assert_eq!(unknown, [("(none)", 2), ("SignInLogs", 1)]);
    let paths: Vec<_> = decoded.rejected.iter().map(|rejected| rejected.path.as_str()).collect();
    assert_eq!(paths, ["properties.promptTokens"]);
}

#[test]
fn nested_and_huge_bodies_are_refused_without_harm() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(decode(deep.as_bytes()).rejected.len(), 1);
    let deep_record = format!(
        r#"{{"records":[{{"category":"RequestResponse","properties":{deep}}},{{"category":"x"}}]}}"#
    );
    let decoded = decode(deep_record.as_bytes());
    assert_eq!((decoded.rejected.len(), decoded.rows().count()), (1, 0));
    let mut nested = "1".to_owned();
    for _ in 0..12 {
        nested = serde_json::to_string(&nested).unwrap();
    }
    assert_eq!(decode(nested.as_bytes()).rejected.len(), 1);
    let large = vec![b' '; envelope::MAX_BODY_BYTES + 1];
    assert_eq!(decode(&large).rejected[0].reason, "body is larger than 1 MiB");
}

#[test]
fn records_members_and_samples_are_bounded_and_all_are_counted() {
    let members = |count: usize| {
        let more: Vec<_> = (3..count).map(|n| format!("\"m{n}\":{n}")).collect();
        let head =
            r#""category":"RequestResponse","time":"2026-10-06T09:15:03Z","resourceId":"/a""#;
        decode(format!("{{{head},{}}}", more.join(",")).as_bytes())
    };
    assert_eq!(members(MAX_MEMBERS).rows().count(), 1);
    let wide = members(MAX_MEMBERS + 1);
    assert_eq!(wide.rejected[0].reason, "has more than 512 members");

    let bad = vec![r#"{"category":"RequestResponse"}"#; 120];
    let decoded = decode(format!("[{}]", bad.join(",")).as_bytes());
    assert_eq!((decoded.rejected.len(), decoded.more_rejected), (MAX_REJECTED, 70));
    assert_eq!(decoded.records(), 120);

    let many = vec!["{}"; envelope::MAX_RECORDS + 5];
    let decoded = decode(format!("[{}]", many.join(",")).as_bytes());
    assert_eq!(decoded.unknown.get("(none)"), Some(&10_000));
    assert_eq!(decoded.rejected[0].reason, "body has more than 10000 records");
}

#[test]
fn an_empty_correlation_id_is_its_own_call() {
    let record = |time| {
        format!(
            r#"{{"category":"RequestResponse","time":"{time}","resourceId":"/accounts/a","correlationId":""}}"#
        )
    };
    let (a, b) = (record("2026-10-06T09:15:03Z"), record("2026-10-06T09:15:04Z"));
    let decoded = decode(format!("{a}{b}{a}").as_bytes());
    let calls: Vec<_> = decoded.rows().map(|row| row.call).collect();
    assert_ne!(calls[0], calls[1]);
    assert_eq!(calls[0], calls[2]);
}
