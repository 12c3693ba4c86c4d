//! OCSF 1.5 Detection Finding (class 2004), with what was observed against what in
//! `anomaly_analyses`. What OCSF has no place for is under `unmapped`.

use serde_json::{Map, Value, json};

use super::data::{Caller, Core, Gathered, Told};
use super::native::digest_data;
use super::{Format, Written};
use crate::aggregate::names::KEY_TEXT;
use crate::detect::table;
use crate::incident::{Incident, Kind, Severity, State};
use crate::notify::number;

/// What security lakes and SIEMs take.
pub(super) const FORMAT: Format = Format {
    name: "ocsf",
    content_type: "application/json",
    what: "OCSF 1.5 Detection Finding (2004), with `anomaly_analyses`",
    incident,
    digest,
};

/// Version of the schema.
const VERSION: &str = "1.5.0";
const CATEGORY: u32 = 2;
const CLASS: u32 = 2004;
/// Number of "other" in every enumeration of OCSF.
const OTHER: u32 = 99;

/// A number of an enumeration and its caption.
type Id = (u32, &'static str);

fn incident(told: &Told<'_>) -> Written {
    let (incident, core) = (told.incident(), &told.core);
    let callers = told.callers(&incident.callers);
    let mut event = event(activity(told.announcement.kind), incident.state, incident.severity);
    let confidence = number::percent(incident.confidence);
    set(&mut event, "time", json!(told.announcement.at.0));
    set(&mut event, "start_time", json!(incident.first_window.0));
    set(&mut event, "end_time", json!(incident.last_window.0));
    set(&mut event, "message", json!(core.summary));
    set(&mut event, "metadata", metadata(told.label.key, &core.rule));
    set(&mut event, "cloud", cloud(incident));
    set(&mut event, "confidence_score", json!(confidence));
    let (id, caption) = certainty(confidence);
    set(&mut event, "confidence_id", json!(id));
    set(&mut event, "confidence", json!(caption));
    set(&mut event, "finding_info", finding(told));
    set(&mut event, "resources", json!([resource(core)]));
    set(&mut event, "anomaly_analyses", json!([analysis(core)]));
    if !callers.is_empty() {
        set(&mut event, "evidences", callers.iter().map(evidence).collect());
        set(&mut event, "observables", observables(core, &callers));
    }
    let advice = told.advice();
    if !advice.is_empty() {
        set(&mut event, "remediation", json!({"desc": advice}));
    }
    set(&mut event, "unmapped", unmapped(told));
    Ok(Value::Object(event))
}

fn digest(gathered: &Gathered<'_>) -> Written {
    let digest = gathered.digest;
    // A message of a group is a finding of its own: nobody updates or closes it later.
    let mut event = event((1, "Create"), gathered.state(), digest.severity());
    set(&mut event, "time", json!(digest.at.0));
    set(&mut event, "message", json!(gathered.summary));
    set(&mut event, "metadata", metadata(gathered.label.key, "digest"));
    set(&mut event, "cloud", json!({"provider": "Azure"}));
    let related = gathered.told.iter().map(|(told, core)| {
        let (severity_id, severity) = severity(told.incident.severity);
        json!({
            "uid": core.key,
            "type_uid": type_uid(activity(told.kind).0),
            "title": core.summary,
            "severity_id": severity_id,
            "severity": severity,
            "first_seen_time": told.incident.first_window.0,
            "last_seen_time": told.incident.last_window.0,
        })
    });
    let finding = json!({
        "uid": digest.key,
        "title": gathered.summary,
        "desc": gathered.list(),
        "created_time": digest.at.0,
        "related_events": related.collect::<Vec<_>>(),
        "related_events_count": digest.announcements.len(),
    });
    set(&mut event, "finding_info", finding);
    set(&mut event, "resources", gathered.told.iter().map(|(_, core)| resource(core)).collect());
    let analyses = gathered.told.iter().map(|(_, core)| analysis(core));
    set(&mut event, "anomaly_analyses", analyses.collect());
    let mut unmapped = serde_json::to_value(digest_data(gathered))?;
    if let Some(fields) = unmapped.as_object_mut() {
        // They are under `related_events` already.
        fields.remove("incidents");
    }
    set(&mut event, "unmapped", unmapped);
    Ok(Value::Object(event))
}

fn set(event: &mut Map<String, Value>, name: &str, value: Value) {
    event.insert(name.to_owned(), value);
}

/// What every event says.
fn event(activity: Id, state: State, level: Severity) -> Map<String, Value> {
    let (severity, status) = (severity(level), status(state));
    let fields = [
        ("activity_id", json!(activity.0)),
        ("activity_name", json!(activity.1)),
        ("category_uid", json!(CATEGORY)),
        ("category_name", json!("Findings")),
        ("class_uid", json!(CLASS)),
        ("class_name", json!("Detection Finding")),
        ("type_uid", json!(type_uid(activity.0))),
        ("type_name", json!(format!("Detection Finding: {}", activity.1))),
        ("severity_id", json!(severity.0)),
        ("severity", json!(severity.1)),
        ("status_id", json!(status.0)),
        ("status", json!(status.1)),
        ("is_alert", json!(activity.0 != OTHER)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

const fn type_uid(activity: u32) -> u32 {
    CLASS * 100 + activity
}

const fn activity(kind: Kind) -> Id {
    match kind {
        Kind::Open => (1, "Create"),
        Kind::Escalate | Kind::Reopen | Kind::Acknowledge | Kind::Repeat => (2, "Update"),
        Kind::Resolve => (3, "Close"),
        Kind::Test => (OTHER, "Test"),
    }
}

const fn severity(severity: Severity) -> Id {
    match severity {
        Severity::Info => (1, "Informational"),
        Severity::Low => (2, "Low"),
        Severity::Medium => (3, "Medium"),
        Severity::High => (4, "High"),
        Severity::Critical => (5, "Critical"),
    }
}

const fn status(state: State) -> Id {
    match state {
        State::Open => (1, "New"),
        State::Acknowledged => (2, "In Progress"),
        State::Resolved => (4, "Resolved"),
    }
}

/// Thirds of the scale.
const fn certainty(percent: i64) -> Id {
    match percent {
        ..=33 => (1, "Low"),
        34..=66 => (2, "Medium"),
        _ => (3, "High"),
    }
}

fn metadata(key: &str, code: &str) -> Value {
    json!({
        "version": VERSION,
        "uid": key,
        "event_code": code,
        "profiles": ["cloud"],
        "product": {
            "name": "tokenwatch",
            "vendor_name": "tokenwatch",
            "version": env!("CARGO_PKG_VERSION"),
        },
    })
}

fn cloud(incident: &Incident) -> Value {
    match incident.labels().get("subscription") {
        Some(id) => json!({
            "provider": "Azure",
            "account": {"uid": id, "name": id, "type_id": OTHER, "type": "Azure subscription"},
        }),
        None => json!({"provider": "Azure"}),
    }
}

fn finding(told: &Told<'_>) -> Value {
    let (incident, core) = (told.incident(), &told.core);
    let mut finding = json!({
        "uid": core.key,
        "title": format!("{} at {}", core.rule_name, core.place()),
        "desc": told.evidence().join("\n"),
        "analytic": {
            "uid": core.rule,
            "name": core.rule_name,
            "type_id": 3,
            "type": "Statistical",
        },
        "data_sources": ["Azure Monitor"],
        "created_time": incident.opened_at.0,
        "modified_time": told.announcement.at.0,
        "first_seen_time": incident.first_window.0,
        "last_seen_time": incident.last_window.0,
    });
    let profile = table::find(&incident.rule);
    if let (Some(profile), Some(fields)) = (profile, finding.as_object_mut()) {
        let techniques = profile.techniques.iter().map(|id| technique(id));
        set(fields, "attacks", techniques.collect());
    }
    finding
}

/// A technique of ATT&CK or ATLAS by its id; one with a number behind a dot is a part of another.
fn technique(id: &str) -> Value {
    match id.strip_prefix('T').and_then(|number| number.split_once('.')) {
        Some((whole, _)) => {
            let whole = format!("T{whole}");
            json!({"technique": {"uid": whole, "name": whole}, "sub_technique": {"uid": id, "name": id}})
        }
        None => json!({"technique": {"uid": id, "name": id}}),
    }
}

/// What Azure and people call what it is about; `None` for the service itself.
fn kind(core: &Core<'_>) -> Option<Kinds> {
    if core.deployment.is_some() {
        return Some(Kinds {
            azure: "Microsoft.CognitiveServices/accounts/deployments",
            plain: "AI deployment",
        });
    }
    let account = Kinds { azure: "Microsoft.CognitiveServices/accounts", plain: "AI account" };
    core.resource_id.is_some().then_some(account)
}

struct Kinds {
    azure: &'static str,
    plain: &'static str,
}

fn resource(core: &Core<'_>) -> Value {
    let mut resource = Map::new();
    set(&mut resource, "name", json!(core.place()));
    if let Some(kind) = kind(core) {
        set(&mut resource, "type", json!(kind.azure));
    }
    if let Some(uid) = core.resource() {
        set(&mut resource, "uid", json!(uid));
    }
    Value::Object(resource)
}

fn analysis(core: &Core<'_>) -> Value {
    let mut target = Map::new();
    set(&mut target, "name", json!(core.place()));
    if let Some(kind) = kind(core) {
        set(&mut target, "type", json!(kind.plain));
    }
    let mut pattern = format!("expected, normal to {}", number::quantity(core.bound));
    if core.bound < core.expected {
        pattern = format!("expected, normal from {}", number::quantity(core.bound));
    }
    let of = |value: f64, pattern: &str| {
        json!({
            "observation_parameter": core.unit,
            "observation_type": "Volume",
            "observed_pattern": pattern,
            "observations": [{"value": value_text(value), "count": 1}],
        })
    };
    let ratio = number::ratio(core.observed, core.expected);
    let observed =
        ratio.map_or_else(|| "unexpected".to_owned(), |ratio| format!("{ratio} expected"));
    json!({
        "analysis_targets": [target],
        "anomalies": [of(core.observed, &observed)],
        "baselines": [of(core.expected, &pattern)],
    })
}

/// OCSF keeps observed values as text.
fn value_text(value: f64) -> String {
    if value.is_finite() { format!("{value}") } else { "unknown".to_owned() }
}

/// A caller is a network, never one address, and perhaps somebody.
fn evidence(caller: &Caller) -> Value {
    let name = if caller.network.is_empty() { "not recorded" } else { &caller.network };
    let mut endpoint = json!({"name": name});
    if let Some(fields) = endpoint.as_object_mut() {
        let about = &caller.about;
        if let Some(number) = about.asn {
            let mut system = json!({"number": number});
            if let (Some(name), Some(fields)) = (&about.as_name, system.as_object_mut()) {
                set(fields, "name", json!(name));
            }
            set(fields, "autonomous_system", system);
        }
        if let Some(country) = &about.country {
            set(fields, "location", json!({"country": country}));
        }
    }
    let mut evidence = json!({"src_endpoint": endpoint, "data": caller});
    if let (Some(user), Some(fields)) = (user(caller), evidence.as_object_mut()) {
        set(fields, "actor", json!({"user": user}));
    }
    evidence
}

/// `None` for an API key, and while the identity is not known.
fn user(caller: &Caller) -> Option<Value> {
    if caller.identity.is_empty() || caller.identity == KEY_TEXT {
        return None;
    }
    let name = caller.name.as_ref().unwrap_or(&caller.identity);
    Some(json!({"uid": caller.identity, "name": name}))
}

fn observables(core: &Core<'_>, callers: &[Caller]) -> Value {
    let resource = core.resource().map(|uid| {
        json!({"name": "resources[0].uid", "type_id": 10, "type": "Resource UID", "value": uid})
    });
    let networks = callers.iter().enumerate().filter(|(_, caller)| !caller.network.is_empty());
    let networks = networks.map(|(nth, caller)| {
        let name = format!("evidences[{nth}].src_endpoint.name");
        json!({"name": name, "type_id": OTHER, "type": "Network prefix", "value": caller.network})
    });
    resource.into_iter().chain(networks).collect()
}

fn unmapped(told: &Told<'_>) -> Value {
    let (incident, core) = (told.incident(), &told.core);
    json!({
        "kind": told.announcement.kind.word(),
        "idempotency_key": told.label.key,
        "observed": core.observed,
        "expected": core.expected,
        "bound": core.bound,
        "unit": core.unit,
        "model": core.model,
        "cost_nano_usd": core.cost_nano_usd,
        "cost_per_day_nano_usd": core.cost_per_day_nano_usd,
        "delay_azure_s": incident.delay_azure_s,
        "labels": told.labels(),
        "feedback": incident.feedback.map(crate::incident::Feedback::word),
        "parent": incident.parent,
    })
}
