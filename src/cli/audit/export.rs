//! The cards for programs: JSON, CSV and SARIF.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::super::prices;
use super::Told;
use crate::decode::fingerprint;
use crate::posture::{self, Card, DOORS, Door, Finding, State};
use crate::severity::Severity;

/// Form of the JSON document.
const SCHEMA_VERSION: u32 = 1;
/// Where the form of SARIF is described.
const SARIF_SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// Everything, as one document.
pub(super) fn to_json(told: &Told<'_>) -> Value {
    let subscriptions = told.inventory.subscriptions.iter().map(|(id, subscription)| {
        let resources = told.cards.iter().filter(|card| card.subscription == *id).count();
        json!({ "id": id, "name": subscription.name, "resources": resources })
    });
    let states = State::ALL.map(|state| (state.word().replace(' ', "_"), told.count(state)));
    json!({
        "schema_version": SCHEMA_VERSION,
        "read_at": told.inventory.at.to_string(),
        "subscriptions": subscriptions.collect::<Vec<_>>(),
        "summary": {
            "resources": told.cards.len(),
            "sprawl": posture::sprawl(told.inventory),
            "deleted_meanwhile": told.inventory.gone(),
            "doors": BTreeMap::from(states),
        },
        "resources": told.cards,
        "unread": told.gaps,
    })
}

/// A row a door.
pub(super) fn to_csv(told: &Told<'_>) -> anyhow::Result<String> {
    let head = [
        "resource", "name", "kind", "location", "door", "state", "finding", "why", "notes",
        "command",
    ];
    let rows = told.cards.iter().flat_map(|card| {
        card.doors.iter().map(|finding| {
            let Finding { door, verdict } = finding;
            let first = verdict.steps.first();
            vec![
                card.id.clone(),
                plain(&card.name),
                card.kind.resource_type().to_owned(),
                plain(&card.location),
                (*door).to_owned(),
                verdict.state.word().to_owned(),
                verdict.finding.clone(),
                profile(door).map_or_else(String::new, |door| door.why.to_owned()),
                verdict.notes.join(" "),
                first.map_or_else(String::new, |step| step.command.clone()),
            ]
        })
    });
    prices::to_csv(&head, rows)
}

/// A cell that no spreadsheet takes for a formula.
fn plain(text: &str) -> String {
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        format!("'{text}")
    } else {
        text.to_owned()
    }
}

fn profile(word: &str) -> Option<&'static Door> {
    DOORS.iter().find(|door| door.word == word)
}

/// SARIF 2.1.0: rules are doors, results are open doors.
pub(super) fn to_sarif(told: &Told<'_>) -> Value {
    let rules: Vec<Value> = DOORS.iter().map(|door| rule(door, told)).collect();
    let results = told.cards.iter().flat_map(|card| {
        let open = card.doors.iter().filter(|finding| finding.verdict.state == State::Open);
        open.filter_map(|finding| result(card, finding))
    });
    let notifications = told.gaps.iter().map(|gap| {
        let how = if gap.partly { "read in part" } else { "not read" };
        json!({
            "level": "warning",
            "message": { "text": format!("{} of {}: {how}: {}", gap.part, gap.of, gap.reason) },
        })
    });
    json!({
        "$schema": SARIF_SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "tokenwatch",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": rules,
            }},
            "automationDetails": { "id": "tokenwatch/audit/" },
            "invocations": [{
                "executionSuccessful": true,
                "endTimeUtc": told.inventory.at.to_string(),
                "toolExecutionNotifications": notifications.collect::<Vec<_>>(),
            }],
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Critical | Severity::High => "error",
        Severity::Medium => "warning",
        Severity::Low | Severity::Info => "note",
    }
}

/// A door; its help holds the command for the first resource that has it open.
fn rule(door: &Door, told: &Told<'_>) -> Value {
    let open = told
        .cards
        .iter()
        .flat_map(|card| &card.doors)
        .find(|finding| finding.door == door.word && finding.verdict.state == State::Open);
    let step = open.and_then(|finding| finding.verdict.steps.first());
    let (text, markdown) = match step {
        None => (door.why.to_owned(), door.why.to_owned()),
        Some(step) => (
            format!("{} {} {}", door.why, step.what, step.command),
            format!("{}\n\n{}\n\n```sh\n{}\n```", door.why, step.what, step.command),
        ),
    };
    json!({
        "id": format!("tokenwatch/{}", door.word),
        "name": door.name,
        "shortDescription": { "text": format!("{}: the door is open", door.name) },
        "fullDescription": { "text": door.why },
        "help": { "text": text, "markdown": markdown },
        "defaultConfiguration": { "level": level(door.severity) },
    })
}

fn result(card: &Card, finding: &Finding) -> Option<Value> {
    let place = DOORS.iter().position(|door| door.word == finding.door)?;
    let door = DOORS.get(place)?;
    let verdict = &finding.verdict;
    let mut text = format!("{}: {} {}", card.name, verdict.finding, door.why);
    let mut properties = Map::new();
    if let Some(step) = verdict.steps.first() {
        text.push_str(&format!(" To shut it: {}", step.command));
        properties.insert("steps".to_owned(), json!(verdict.steps));
    }
    if !verdict.notes.is_empty() {
        properties.insert("notes".to_owned(), json!(verdict.notes));
    }
    Some(json!({
        "ruleId": format!("tokenwatch/{}", door.word),
        "ruleIndex": place,
        "kind": "fail",
        "level": level(door.severity),
        "message": { "text": text },
        "locations": [{ "logicalLocations": [{
            "name": card.name,
            "fullyQualifiedName": card.id,
            "kind": "resource",
        }]}],
        "partialFingerprints": {
            "tokenwatchDoor/v1": format!("{:032x}", fingerprint(&[&card.id, door.word])),
        },
        "properties": properties,
    }))
}
