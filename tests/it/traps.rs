//! What Azure's records are known to do, one test each; the samples show it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use tokenwatch::decode::{Decoded, decode};
use tokenwatch::event::control::{
    AccountState, Basis, Changed, Control, Credential, Outcome, PrincipalKind, Target, Verb,
};
use tokenwatch::event::gateway::{Counted, GatewayCall, GatewaySource, TokenMeter};
use tokenwatch::event::signal::{Alert, Level, Metric, Posture, PostureChange, Signal, Standing};
use tokenwatch::event::{Event, Row, Tokens, account_of};

const ACCOUNT: &str = "/subscriptions/3f0c1d2e-7a4b-4c58-9d6e-1b2a3c4d5e6f/resourcegroups/\
                       rg-ai-prod/providers/microsoft.cognitiveservices/accounts/aif-contoso-prod";

fn sample(name: &str) -> Decoded {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/samples");
    decode(&std::fs::read(folder.join(format!("{name}.json"))).unwrap())
}

/// The events of one kind in a sample, which must hold no other.
fn all<T>(name: &str, kind: impl Fn(Event) -> Option<T>) -> Vec<T> {
    let decoded = sample(name);
    assert_eq!((decoded.rejected, decoded.unknown), (Vec::new(), BTreeMap::new()), "{name}");
    decoded.events.into_iter().map(|event| kind(event).unwrap()).collect()
}

macro_rules! take {
    ($variant:ident) => {
        |event| match event {
            Event::$variant(inner) => Some(*inner),
            _ => None,
        }
    };
}

fn rows(name: &str) -> Vec<Row> {
    all(name, take!(Row))
}

fn controls(name: &str) -> Vec<Control> {
    all(name, take!(Control))
}

fn calls(name: &str) -> Vec<GatewayCall> {
    all(name, take!(Gateway))
}

fn metrics() -> Vec<Metric> {
    all("metrics-allmetrics-diagnostic", take!(Metric))
}

/// What a record in a body of its own gives.
fn one(record: &str) -> Decoded {
    decode(record.as_bytes())
}

fn total(metrics: &[Metric], signal: Signal) -> u64 {
    let of =
        |metric: &&Metric| metric.signal == signal && metric.start.to_string().contains("09:15");
    metrics.iter().find(of).unwrap().total.unwrap().to_string().parse().unwrap()
}

#[test]
fn tokens_of_requests_and_usage_add_up_to_the_metrics_of_their_minute() {
    let requests = rows("cognitive-requestresponse-2026-tworows");
    let sum = |part: fn(Tokens) -> u32| -> u64 {
        requests.iter().filter_map(|row| row.tokens).map(|tokens| u64::from(part(tokens))).sum()
    };
    let metrics = metrics();
    assert_eq!(sum(|tokens| tokens.input), total(&metrics, Signal::InputTokens));
    assert_eq!(sum(|tokens| tokens.output), total(&metrics, Signal::OutputTokens));
    let usage: BTreeSet<u128> =
        rows("cognitive-azureopenairequestusage").iter().map(|row| row.call).collect();
    let with_tokens = requests.iter().filter(|row| row.tokens.is_some());
    let openai = with_tokens.filter(|row| !row.model.starts_with("claude"));
    assert_eq!(openai.map(|row| row.call).collect::<BTreeSet<_>>(), usage);
}

#[test]
fn properties_are_an_object_or_a_text_and_mean_the_same() {
    let record = |properties: &str| {
        format!(
            r#"{{"category":"RequestResponse","correlationId":"1","time":"2026-10-06T09:14:02Z","resourceId":"/s/accounts/a","properties":{properties}}}"#
        )
    };
    let object = r#"{"modelDeploymentName":"d","responseTime":639268748444562130}"#;
    let once = serde_json::to_string(object).unwrap();
    let twice = serde_json::to_string(&once).unwrap();
    let expected = one(&record(object)).events;
    for text in [once, twice] {
        assert_eq!(one(&record(&text)).events, expected, "{text}");
    }
    for empty in ["{}", "null", "\"\"", "\" \"", "\"{}\""] {
        assert_eq!(one(&record(empty)).rows().count(), 1, "{empty}");
    }
    for wrong in ["[]", "7", "true", "\"text\"", "\"{\"", "\"[]\""] {
        let decoded = one(&record(wrong));
        assert_eq!(decoded.rejected.len(), 1, "{wrong}");
        assert_eq!(decoded.rejected.first().unwrap().path, "properties", "{wrong}");
    }
    let view = record("null").replace("\"properties\":null", &format!("\"properties_s\":{object}"));
    assert_eq!(one(&view).rows().next().unwrap().deployment, "d", "the view of Log Analytics");
}

#[test]
fn statuses_and_masks_of_different_lengths_are_read() {
    let rows = rows("cognitive-requestresponse-2024");
    let read: Vec<_> = rows.iter().map(|row| (row.status, row.network.as_str())).collect();
    assert_eq!(
        read,
        [
            (200, "203.0.113.0/24"),
            (200, "198.51.100.0/24"),
            (429, "203.0.113.0/24"),
            (401, "203.0.113.0/24")
        ]
    );
    let one_star = self::rows("cognitive-requestresponse-2026-tworows");
    assert!(one_star.iter().all(|row| row.network.ends_with(".0/24")));
}

#[test]
fn two_rows_of_a_call_share_it_and_only_one_has_tokens() {
    let mut calls: BTreeMap<u128, Vec<Row>> = BTreeMap::new();
    for row in rows("cognitive-requestresponse-2026-tworows") {
        calls.entry(row.call).or_default().push(row);
    }
    let pairs: Vec<_> = calls.values().filter(|rows| rows.len() == 2).collect();
    assert_eq!(pairs.len(), 2);
    for pair in pairs {
        assert_eq!(pair.iter().filter(|row| row.tokens.is_some()).count(), 1);
        // One in ticks since year 1, the other since 1970: the same moment.
        assert_eq!(pair.iter().map(|row| row.end).collect::<BTreeSet<_>>().len(), 1);
        let with_name = pair.iter().filter(|row| !row.deployment.is_empty());
        assert!(with_name.eq(pair.iter().filter(|row| row.tokens.is_some())));
    }
}

#[test]
fn operations_that_are_no_inference_have_neither_tokens_nor_deployment() {
    let rows = rows("cognitive-requestresponse-2026-tworows");
    let is_other = |row: &&Row| ["Models_List", "Projects_Get"].contains(&row.operation.as_str());
    let others: Vec<_> = rows.iter().filter(is_other).collect();
    assert_eq!(others.len(), 2);
    assert!(others.iter().all(|row| row.tokens.is_none() && row.deployment.is_empty()));
}

#[test]
fn projects_count_to_their_account() {
    let rows = rows("cognitive-requestresponse-2026-tworows");
    assert!(rows.iter().all(|row| row.account == ACCOUNT));
    let below = format!("{ACCOUNT}/projects/p/connections/c");
    assert_eq!(account_of(&below), Some(ACCOUNT));
    assert_eq!(account_of(ACCOUNT), Some(ACCOUNT));
    for other in ["", "/accounts/a", "/providers/microsoft.storage/accounts/a", "/x/accounts/"] {
        assert_eq!(account_of(other), None, "{other}");
    }
}

#[test]
fn negative_and_missing_durations_fall_back_to_the_ticks() {
    let record = |fields: &str| {
        let text = format!(
            r#"{{"category":"RequestResponse","time":"2026-10-06T09:14:02Z","resourceId":"/s/accounts/a",{fields}"properties":{{"requestTime":639268748434350000,"responseTime":639268748444560000}}}}"#
        );
        one(&text).rows().next().unwrap().duration_ms
    };
    assert_eq!(record(r#""durationMs":16,"#), Some(16));
    assert_eq!(record(r#""DurationMS":"16","#), Some(16));
    assert_eq!(record(r#""durationMs":-5,"#), Some(1021));
    assert_eq!(record(""), Some(1021));
}

#[test]
fn usage_has_tokens_in_arrays_and_no_caller() {
    let rows = rows("cognitive-azureopenairequestusage");
    let first = rows.first().unwrap();
    assert_eq!(first.tokens, Some(Tokens { input: 138_652, cached: 134_605, output: 622 }));
    assert!(rows.iter().all(|row| row.network.is_empty() && row.identity.is_empty()));
    assert_eq!(first.duration_ms, Some(18_085));
}

#[test]
fn listed_keys_are_told_without_address_or_correlation() {
    let reads = all("cognitive-audit-listkey", take!(KeyRead));
    let [read] = reads.as_slice() else { panic!("{reads:?}") };
    assert_eq!(read.resource, ACCOUNT);
    assert_eq!(read.identity, "d3c8b2e1-6f70-4b8c-9dae-1f2a3b4c5d6e");
    let other = one(r#"{"category":"Audit","operationName":"Login","properties":"nonsense"}"#);
    assert_eq!((other.events.len(), other.rejected.len()), (0, 1), "unreadable is not opaque");
}

#[test]
fn kinds_without_a_published_content_are_counted_whatever_they_hold() {
    assert_eq!(sample("cognitive-trace-managednetwork-unknown").events.len(), 2);
    for held in ["{}", "\"{}\"", "[1]", "7", "\"218 B blob data\"", "null"] {
        for category in ["Trace", "ManagedNetworkEvent", "GatewayMCPLogs"] {
            let decoded = one(&format!(r#"{{"category":"{category}","properties":{held}}}"#));
            assert!(matches!(decoded.events.as_slice(), [Event::Opaque(_)]), "{category} {held}");
        }
    }
}

#[test]
fn metrics_are_known_by_their_name_and_two_families_stay_apart() {
    let metrics = metrics();
    assert!(metrics.iter().all(|metric| metric.resource == ACCOUNT));
    assert!(metrics.iter().all(|metric| metric.grain_ms == Some(60_000)));
    assert!(total(&metrics, Signal::InputTokens) > total(&metrics, Signal::OpenAiInputTokens));
    assert!(total(&metrics, Signal::Requests) > total(&metrics, Signal::OpenAiRequests));
    let zero = metrics.last().unwrap();
    assert_eq!((zero.total, zero.count), (Some(0.0), Some(1.0)), "a point of zero is a point");
    let point = |fields: &str| {
        one(&format!(
            r#"{{"metricName":"InputTokens","timeStamp":"2026-10-06T09:15:00Z","resourceId":"/a"{fields}}}"#
        ))
    };
    for (fields, expected) in
        [("", None), (r#","total":null"#, None), (r#","total":"7.5""#, Some(7.5))]
    {
        let decoded = point(fields);
        let [Event::Metric(metric)] = decoded.events.as_slice() else { panic!("{decoded:?}") };
        assert_eq!(metric.total, expected, "{fields}");
    }
}

#[test]
fn a_gateway_tells_full_addresses_and_only_their_networks_are_kept() {
    let calls = calls("apim-gatewaylogs");
    let networks: Vec<_> = calls.iter().map(|call| call.network.as_str()).collect();
    assert_eq!(networks, ["203.0.113.0/24", "198.51.100.0/24", "2001:db8:4f::/48"]);
}

#[test]
fn bodies_are_texts_of_which_only_numbers_and_verdicts_stay() {
    let calls = calls("apim-gatewaylogs");
    let first = calls.first().unwrap();
    assert_eq!(first.tokens, Some(Tokens { input: 211, cached: 0, output: 96 }));
    assert_eq!(first.filter, None);
    assert_eq!(
        (first.backend.account.as_str(), first.backend.deployment.as_str()),
        ("aif-contoso-prod", "chat-mini")
    );
    assert!(!format!("{calls:?}").contains("The response was filtered"));
}

#[test]
fn block_lists_are_an_object_or_an_array() {
    let filters: Vec<_> = calls("apim-gatewaylogs").iter().filter_map(|call| call.filter).collect();
    let lists: Vec<_> =
        filters.iter().map(|filter| (filter.blocked, filter.causes.blocklist)).collect();
    assert_eq!(lists, [(true, false), (true, true)]);
    assert!(filters.iter().all(|filter| filter.causes.jailbreak && filter.causes.violence));
    assert!(filters.iter().all(|filter| !filter.causes.hate));
}

#[test]
fn token_logs_of_a_gateway_join_its_calls_and_probes_are_no_calls() {
    let llm = calls("apim-gatewayllmlogs");
    let log = calls("apim-gatewaylogs");
    let [plain, probe, pascal] = llm.as_slice() else { panic!("{llm:?}") };
    assert_eq!(plain.call, log.first().unwrap().call);
    assert_eq!(plain.tokens, log.first().unwrap().tokens);
    assert_eq!((probe.probe, probe.tokens), (true, None));
    assert_eq!(pascal.backend.deployment, "claude-prod");
    // Anthropic counts what the cache served beside the prompt.
    assert_eq!(pascal.tokens, Some(Tokens { input: 26 + 48_854, cached: 48_854, output: 121 }));
}

#[test]
fn entries_of_one_long_message_share_its_call() {
    let entry = |sequence: u32| {
        format!(
            r#"{{"category":"GatewayLlmLogs","time":"2026-10-06T09:14:02Z","resourceId":"/g","correlationId":"B2","properties":{{"requestId":"r","sequenceNumber":{sequence},"promptTokens":9,"completionTokens":1,"requestMessages":"secret"}}}}"#
        )
    };
    let decoded = one(&format!("{}{}", entry(0), entry(1).replace("\"B2\"", "\"b2\"")));
    let [Event::Gateway(first), Event::Gateway(second)] = decoded.events.as_slice() else {
        panic!("{decoded:?}")
    };
    assert_eq!((first.call, first.sequence, second.sequence), (second.call, 0, 1));
    assert!(!format!("{decoded:?}").contains("secret"));
}

#[test]
fn what_an_operator_pushes_has_no_envelope_and_may_not_know_the_tokens() {
    let calls = calls("apim-log-to-eventhub-usage");
    let call = calls.first().unwrap();
    assert_eq!(call.source, GatewaySource::Pushed);
    assert_eq!(call.tokens, Some(Tokens { input: 211, cached: 0, output: 96 }));
    assert_eq!(call.at.unwrap().to_string(), "2026-10-06T09:14:03Z");
    assert_eq!(
        (call.user.as_str(), call.subscription.as_str()),
        ("", "team-billing"),
        "NA is nobody"
    );
    let pushed = |fields: &str| {
        let decoded = one(&format!(r#"{{"id":"x","gatewayName":"g",{fields}}}"#));
        let [Event::Gateway(call)] = decoded.events.as_slice() else { panic!("{decoded:?}") };
        (call.tokens, call.at.is_some())
    };
    // One prompt token is what the policy writes when it saw no usage.
    assert_eq!(pushed(r#""promptTokens":1,"responseTokens":0"#), (None, false));
    assert_eq!(pushed(r#""promptTokens":"1","timestamp":"13.10.2026 09:14:03""#), (None, false));
    assert!(pushed(r#""promptTokens":2,"timestamp":"2026-10-06T09:14:03""#).1);
}

#[test]
fn token_meters_keep_their_dimensions_and_not_the_zeroed_address() {
    let meters: Vec<TokenMeter> = all("appinsights-appmetrics-tokens", take!(Meter));
    let counted: Vec<_> = meters.iter().map(|meter| (meter.counted, meter.sum)).collect();
    assert_eq!(
        counted,
        [(Counted::Prompt, 211.0), (Counted::Completion, 96.0), (Counted::Total, 307.0)]
    );
    assert!(meters.iter().all(|meter| meter.network == "203.0.113.0/24"));
    assert!(meters.iter().all(|meter| meter.subscription == "team-billing"));
    let meter = |name: &str| {
        one(&format!(
            r#"{{"Type":"AppMetrics","Name":"{name}","time":"2026-10-06T09:14:02Z","resourceId":"/c","ClientIP":"0.0.0.0","Sum":5}}"#
        ))
    };
    let decoded = meter("prompt_tokens");
    let [Event::Meter(bare)] = decoded.events.as_slice() else { panic!("{decoded:?}") };
    assert_eq!(bare.network, "");
    assert!(matches!(meter("queue length").events.as_slice(), [Event::Opaque(_)]));
}

#[test]
fn an_operation_has_a_start_and_an_end_and_bodies_sit_on_either() {
    let controls = controls("activity-cognitive-account-write");
    let ids: BTreeSet<_> = controls.iter().map(|control| &control.correlation).collect();
    assert_eq!(ids.len(), 1);
    let outcomes: Vec<_> = controls.iter().map(|control| control.outcome).collect();
    assert_eq!(outcomes, [Outcome::Started, Outcome::Accepted, Outcome::Succeeded]);
    let bases: Vec<_> =
        controls.iter().map(|control| control.change.as_ref().map(|change| change.basis)).collect();
    assert_eq!(bases, [Some(Basis::Requested), Some(Basis::Resulted), None]);
    for control in &controls {
        assert_eq!((control.target, control.verb), (Target::Account, Verb::Write));
        assert_eq!(control.principal.user, "ada@contoso.example");
        assert_eq!(control.principal.network, "203.0.113.0/24");
    }
}

/// What a write of an account with this body says.
fn account(body: &str) -> Option<AccountState> {
    let body = serde_json::to_string(body).unwrap();
    let decoded = one(&format!(
        r#"{{"category":"Administrative","operationName":"Microsoft.CognitiveServices/accounts/write","time":"2026-10-06T09:14:02Z","resourceId":"/a","properties":{{"requestbody":{body}}}}}"#
    ));
    let controls: Vec<Control> = decoded.events.into_iter().filter_map(take!(Control)).collect();
    let change = controls.first().unwrap().change.clone()?;
    Some(if let Changed::Account(state) = change.to { state } else { AccountState::default() })
}

#[test]
fn what_a_body_leaves_out_is_unknown_and_not_false() {
    let bare = account(r#"{"properties":{}}"#).unwrap();
    assert_eq!(bare, AccountState::default());
    let closed =
        account(r#"{"properties":{"publicNetworkAccess":"Disabled","disableLocalAuth":true}}"#);
    let closed = closed.unwrap();
    assert_eq!(closed.network.public_access, Some(false));
    assert_eq!(closed.network.open_by_default, None);
    assert_eq!(closed.local_auth_disabled, Some(true));
    for unreadable in ["", "{", r#"{"properties":{"publicNetworkAccess":"Disab"#, "[]", "{}", "7"] {
        assert_eq!(account(unreadable), None, "{unreadable}");
    }
}

#[test]
fn address_rules_say_how_wide_the_widest_is() {
    let rules = |rules: &str| {
        let body = format!(r#"{{"properties":{{"networkAcls":{{"ipRules":{rules}}}}}}}"#);
        account(&body).unwrap().network.addresses
    };
    let widest = |text: &str| rules(text).map(|rules| (rules.count, rules.widest, rules.widest_v6));
    assert_eq!(widest("[]"), Some((0, None, None)));
    assert_eq!(widest(r#"[{"value":"203.0.113.7"}]"#), Some((1, Some(32), None)));
    assert_eq!(
        widest(r#"[{"value":"203.0.113.0/24"},{"value":"0.0.0.0/0"},{"value":"2001:db8::/32"}]"#),
        Some((3, Some(0), Some(32)))
    );
    assert_eq!(widest("7"), None);
    let [a, b] = [r#"{"value":"203.0.113.7"}"#, r#"{"value":"203.0.113.8"}"#];
    assert_eq!(rules(&format!("[{a},{b}]")), rules(&format!("[{b},{a}]")), "order says nothing");
    assert_ne!(rules(&format!("[{a}]")).unwrap().hash, rules(&format!("[{b}]")).unwrap().hash);
}

#[test]
fn a_deployment_by_an_application_names_sku_capacity_and_model() {
    let controls = controls("activity-cognitive-deployment-write");
    let control = controls.last().unwrap();
    assert_eq!(control.principal.kind, PrincipalKind::Application);
    assert_eq!(control.principal.credential, Credential::Certificate);
    assert_eq!(control.principal.user, "", "an application has no sign-in name");
    let Some(Changed::Deployment(state)) = control.change.as_ref().map(|change| &change.to) else {
        panic!("{control:?}")
    };
    assert_eq!((state.sku.as_str(), state.capacity), ("GlobalStandard", Some(5_000)));
    assert_eq!((state.model.as_str(), state.version.as_str()), ("gpt-6-astra", "2026-09-03"));
}

#[test]
fn key_operations_come_denied_by_old_names_and_over_ipv6() {
    let controls = controls("activity-cognitive-keys");
    let read: Vec<_> =
        controls.iter().map(|control| (control.verb, control.outcome, control.category)).collect();
    assert_eq!(
        read,
        [
            (Verb::ListKeys, Outcome::Started, "Administrative"),
            (Verb::ListKeys, Outcome::Succeeded, "Administrative"),
            (Verb::RegenerateKey, Outcome::Succeeded, "Administrative"),
            (Verb::ListKeys, Outcome::Failed, "Action"),
        ]
    );
    let networks: BTreeSet<_> = controls.iter().map(|c| c.principal.network.as_str()).collect();
    assert!(networks.contains("2001:db8:77::/48"), "{networks:?}");
    assert_eq!(controls.last().unwrap().status, "Forbidden");
}

#[test]
fn a_diagnostic_setting_says_which_categories_it_keeps_back() {
    let controls = controls("activity-diagnosticsettings");
    let [deleted, written] = controls.as_slice() else { panic!("{controls:?}") };
    assert_eq!((deleted.target, deleted.verb), (Target::DiagnosticSetting, Verb::Delete));
    assert_eq!(account_of(&deleted.resource), Some(ACCOUNT));
    let Some(Changed::Diagnostic(state)) = written.change.as_ref().map(|change| &change.to) else {
        panic!("{written:?}")
    };
    assert_eq!(state.sends, ["AllMetrics", "Audit"]);
    assert_eq!(state.keeps_back, ["RequestResponse"]);
    assert_eq!(state.event_hub, "ai-logs");
}

#[test]
fn roles_assignments_and_exemptions_are_read_from_pascal_case_bodies() {
    let controls = controls("activity-authorization");
    let changes: Vec<_> =
        controls.iter().filter_map(|control| control.change.as_ref()).map(|c| &c.to).collect();
    let [Changed::Role(role), Changed::Exemption(exemption)] = changes.as_slice() else {
        panic!("{changes:?}")
    };
    assert_eq!(role.role, "a001fd3d-188f-4b5d-821b-7da978bf7442");
    assert_eq!(role.principal, "c2b7a1d0-5e6f-4a7b-8c9d-0e1f2a3b4c5d");
    assert_eq!(account_of(&role.scope), Some(ACCOUNT));
    assert_eq!((exemption.category.as_str(), exemption.until), ("Waiver", None));
    let targets: Vec<_> = controls.iter().map(|control| control.target).collect();
    assert!(targets.contains(&Target::PolicyAssignment));
    // Evidence writes object ids without dashes.
    assert!(controls.iter().all(|control| control.principal.object.len() == 36));
}

#[test]
fn a_policy_denies_somebody_or_audits_without_an_address() {
    let controls = controls("activity-policy");
    let [denied, audited] = controls.as_slice() else { panic!("{controls:?}") };
    assert_eq!((denied.verb, denied.outcome), (Verb::Deny, Outcome::Failed));
    assert_eq!((audited.verb, audited.principal.network.as_str()), (Verb::Audit, ""));
    let Some(Changed::Policies(found)) = denied.change.as_ref().map(|change| &change.to) else {
        panic!("{denied:?}")
    };
    assert!(found.iter().all(|policy| policy.assignment.ends_with("/deny-public-ai")));
}

#[test]
fn the_platform_acts_without_identity_and_identities_come_as_texts() {
    let controls = controls("activity-guards");
    let platform = controls.iter().find(|c| c.principal.object.is_empty()).unwrap();
    assert_eq!(platform.principal.kind, PrincipalKind::Unknown);
    let text = controls.last().unwrap();
    assert_eq!(text.principal.object, "c2b7a1d0-5e6f-4a7b-8c9d-0e1f2a3b4c5d");
    assert_eq!(text.principal.credential, Credential::Secret);
    assert_eq!(
        (text.outcome, text.principal.network.as_str()),
        (Outcome::Succeeded, "203.0.113.0/24")
    );
}

#[test]
fn alerts_are_bare_objects_with_references_among_their_entities() {
    let alerts: Vec<Alert> = all("defender-alert-ai", take!(Alert));
    let [alert] = alerts.as_slice() else { panic!("{alerts:?}") };
    assert!(alert.is_ai());
    assert_eq!(alert.kind, "AI.Azure_DOWVolumeAnomaly");
    assert_eq!((alert.severity, alert.resource.as_str()), (Level::Medium, ACCOUNT));
    assert_eq!(alert.networks, ["203.0.113.0/24"], "entity and property name the same address");
}

#[test]
fn findings_come_in_pascal_case_as_snapshots_and_as_deletions() {
    let postures: Vec<Posture> = all("defender-subassessment-securescore", take!(Posture));
    let [finding, score, control, deleted] = postures.as_slice() else { panic!("{postures:?}") };
    assert_eq!(
        (finding.state, finding.severity, finding.snapshot),
        (Standing::Unhealthy, Level::High, true)
    );
    assert_eq!((score.share, control.share), (Some(0.5), Some(0.75)));
    assert_eq!(deleted.change, PostureChange::Deleted);
    assert_eq!(finding.resource, deleted.resource);
}

#[test]
fn policy_states_come_in_two_schemas_of_event_grid() {
    let read = |name: &str| -> Posture { all(name, take!(Posture)).into_iter().next().unwrap() };
    let (grid, cloud) =
        (read("policyinsights-statechanged-eventgrid"), read("policyinsights-cloudevent"));
    assert_eq!((grid.state, grid.change), (Standing::Unhealthy, PostureChange::Set));
    assert_eq!((cloud.state, cloud.change), (Standing::Healthy, PostureChange::Deleted));
    assert_eq!(grid.resource, cloud.resource);
}

#[test]
fn a_broken_record_or_line_does_not_cost_its_siblings() {
    let good = |id: u32| {
        format!(
            r#"{{"category":"RequestResponse","correlationId":"{id}","time":"2026-10-06T09:14:02Z","resourceId":"/s/accounts/a","properties":{{"apiName":"a }} \" {{"}}}}"#
        )
    };
    let blob = r#"{"category":"PostgreSQLLogs","properties":[ 218 B blob data ]}"#;
    let quotes = "{'category': 'FunctionAppLogs'}";
    let (a, b) = (good(1), good(2));
    for (body, rows, rejected) in [
        (format!(r#"{{"records":[{a},{blob},{b}]}}"#), 2, 1),
        (format!(r#"{{"x":1,"Records" : [ {a},{quotes},{blob},{b} ]}}"#), 2, 2),
        (format!("[{a},{blob},{b}]"), 2, 1),
        (format!("{a}\n{blob}\n{b}\n"), 2, 1),
        (format!("{a}\nfree text\n{b}"), 2, 1),
        (format!(r#"{{"records":[{a},{b},{{"category":"Requ"#), 2, 1),
        (format!(r#"{{"records":[{a}]}}{{"records":[{blob},{b}]}}"#), 2, 1),
        ("{\n \"a\": 1,\n \"b\": {},\n broken\n}".to_owned(), 0, 1),
    ] {
        let decoded = one(&body);
        let found = (decoded.rows().count(), decoded.rejected.len());
        assert_eq!(found, (rows, rejected), "{body}");
    }
}
