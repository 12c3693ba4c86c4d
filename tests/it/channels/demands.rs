//! What each protocol asks of a message, with the limits that its owner documents.

use mail_parser::{MessageParser, MimeHeaders as _};
use serde_json::Value;
use standardwebhooks::Webhook;

use super::counterpart::{BEARER, Message, ROUTING_KEY, SECRET_PATH, WHSEC};
use crate::rest_server::{Request, TOKEN};

/// Judges a request.
pub(crate) type Demand = fn(&Request) -> Result<Message, String>;

/// Immutable id of the data collection rule.
pub(crate) const RULE: &str = "dcr-0123456789abcdef0123456789abcdef";

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn json(request: &Request) -> Result<Value, String> {
    ensure(request.method == "POST", "not a POST")?;
    let kind = request.headers.get("content-type").map(String::as_str);
    ensure(kind == Some("application/json"), "content-type")?;
    serde_json::from_str(&request.body).map_err(|error| error.to_string())
}

fn message(request: &Request, key: &str) -> Result<Message, String> {
    ensure(!key.is_empty(), "no key")?;
    Ok(Message { bytes: request.body.as_bytes().to_vec(), key: key.to_owned() })
}

/// What stands at a JSON pointer; null where nothing does.
fn at<'a>(value: &'a Value, pointer: &str) -> &'a Value {
    value.pointer(pointer).unwrap_or(&Value::Null)
}

/// Everything below `value`, itself included.
fn walk<'a>(value: &'a Value, into: &mut Vec<&'a Value>) {
    into.push(value);
    match value {
        Value::Array(list) => list.iter().for_each(|item| walk(item, into)),
        Value::Object(map) => map.values().for_each(|item| walk(item, into)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn all(value: &Value) -> Vec<&Value> {
    let mut found = Vec::new();
    walk(value, &mut found);
    found
}

fn chars(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.chars().count())
}

fn between(value: &Value, most: usize, what: &str) -> Result<(), String> {
    let length = chars(value);
    ensure((1..=most).contains(&length), &format!("{what}: {length} characters"))
}

/// Digits behind the word `message` in the last line that people see.
fn shown_key(value: &Value) -> String {
    let texts = all(value).into_iter().filter_map(Value::as_str);
    let mut keys = texts.filter_map(|text| text.rsplit_once("· message ").map(|(_, key)| key));
    keys.next_back().unwrap_or_default().to_owned()
}

/// Standard Webhooks: id, time and signature over exactly the bytes of the body; 20 kB.
pub(crate) fn webhook(request: &Request) -> Result<Message, String> {
    json(request)?;
    ensure(request.path == format!("/{SECRET_PATH}"), "path")?;
    ensure(request.body.len() <= 20_000, "too long")?;
    let header = |name: &str| request.headers.get(name).map(String::as_str).unwrap_or_default();
    let id = header("webhook-id");
    let at_s = header("webhook-timestamp").parse().map_err(|_| "webhook-timestamp")?;
    let signer = Webhook::new(WHSEC).map_err(|error| error.to_string())?;
    let signature = signer.sign(id, at_s, request.body.as_bytes());
    ensure(signature.is_ok_and(|made| made == header("webhook-signature")), "signature")?;
    message(request, id)
}

/// Slack, "Block Kit": 50 blocks; header 150; section 3,000, ten fields of 2,000; ten elements of
/// a context; the fallback text is always there.
pub(crate) fn slack(request: &Request) -> Result<Message, String> {
    let value = json(request)?;
    ensure(request.path == format!("/{SECRET_PATH}"), "path")?;
    between(at(&value, "/text"), 4_000, "text")?;
    let fallback = at(&value, "/text").as_str().unwrap_or_default();
    ensure(!fallback.contains(['<', '>']), "markup in the fallback text")?;
    let blocks = at(&value, "/blocks").as_array().ok_or("no blocks")?;
    ensure((1..=50).contains(&blocks.len()), &format!("{} blocks", blocks.len()))?;
    for block in blocks {
        match at(block, "/type").as_str() {
            Some("header") => between(at(block, "/text/text"), 150, "header")?,
            Some("section") => {
                let fields = at(block, "/fields").as_array().map_or(&[][..], Vec::as_slice);
                ensure(fields.len() <= 10, "fields")?;
                fields.iter().try_for_each(|field| between(at(field, "/text"), 2_000, "field"))?;
                if fields.is_empty() {
                    between(at(block, "/text/text"), 3_000, "section")?;
                }
            }
            Some("context") => {
                let elements = at(block, "/elements").as_array().ok_or("no elements")?;
                ensure((1..=10).contains(&elements.len()), "elements")?;
                elements.iter().try_for_each(|one| between(at(one, "/text"), 3_000, "context"))?;
            }
            Some("rich_text") => {
                let text = at(block, "/elements/0/elements/0/text");
                between(text, 3_000, "preformatted")?;
            }
            other => return Err(format!("block {other:?}")),
        }
    }
    message(request, &shown_key(&value))
}

/// Teams: 28 kB, one adaptive card of a version that workflows show, elements of that version.
pub(crate) fn teams(request: &Request) -> Result<Message, String> {
    let value = json(request)?;
    ensure(request.path == format!("/{SECRET_PATH}"), "path")?;
    ensure(request.query.get("sig").is_some_and(|sig| sig == "hidden"), "sig")?;
    ensure(request.body.len() <= 28 * 1_024, &format!("{} bytes", request.body.len()))?;
    ensure(at(&value, "/type") == "message", "type")?;
    let attachments = at(&value, "/attachments").as_array().ok_or("no attachment")?;
    let [card] = attachments.as_slice() else { return Err("not one attachment".to_owned()) };
    ensure(at(card, "/contentType") == "application/vnd.microsoft.card.adaptive", "contentType")?;
    let card = at(card, "/content");
    ensure(at(card, "/type") == "AdaptiveCard" && at(card, "/version") == "1.4", "card")?;
    for element in all(at(card, "/body")).into_iter().filter(|value| value.is_object()) {
        let known = ["Container", "RichTextBlock", "TextRun"];
        let kind = at(element, "/type").as_str().unwrap_or_default();
        ensure(known.contains(&kind), &format!("element {kind:?}"))?;
        ensure(kind != "TextRun" || chars(at(element, "/text")) > 0, "an empty run")?;
    }
    message(request, &shown_key(&value))
}

/// PagerDuty, "Send an event": 512 kB; key 255; summary 1,024; four severities.
pub(crate) fn pagerduty(request: &Request) -> Result<Message, String> {
    let value = json(request)?;
    ensure(request.path == "/v2/enqueue", "path")?;
    ensure(request.body.len() <= 512 * 1_024, "too long")?;
    ensure(at(&value, "/routing_key") == ROUTING_KEY, "routing_key")?;
    let actions = ["trigger", "acknowledge", "resolve"];
    let action = at(&value, "/event_action").as_str().unwrap_or_default().to_owned();
    ensure(actions.contains(&action.as_str()), "event_action")?;
    between(at(&value, "/dedup_key"), 255, "dedup_key")?;
    between(at(&value, "/payload/summary"), 1_024, "summary")?;
    between(at(&value, "/payload/source"), 1_024, "source")?;
    let severities = ["critical", "error", "warning", "info"];
    let severity = at(&value, "/payload/severity").as_str().unwrap_or_default();
    ensure(severities.contains(&severity), "severity")?;
    let key = format!("{action} {}", at(&value, "/dedup_key").as_str().unwrap_or_default());
    message(request, &key)
}

/// Its `OpenAPI` description: labels that are not empty, times that follow each other.
pub(crate) fn alertmanager(request: &Request) -> Result<Message, String> {
    let value = json(request)?;
    ensure(request.path == "/api/v2/alerts", "path")?;
    let login = request.headers.get("authorization").map(String::as_str);
    ensure(login == Some(&format!("Bearer {BEARER}")), "authorization")?;
    let alerts = value.as_array().filter(|alerts| !alerts.is_empty()).ok_or("no alerts")?;
    for alert in alerts {
        let labels = at(alert, "/labels").as_object().ok_or("no labels")?;
        ensure(labels.contains_key("severity") && labels.contains_key("source"), "labels")?;
        labels.values().try_for_each(|value| between(value, 1_024, "label"))?;
        let time = |name: &str| at(alert, name).as_str().unwrap_or_default().to_owned();
        ensure(!time("/startsAt").is_empty() && time("/startsAt") <= time("/endsAt"), "times")?;
    }
    message(request, at(&value, "/0/annotations/idempotency_key").as_str().unwrap_or_default())
}

/// Logs Ingestion API: a list of rows with their time, our token, 1 MB.
pub(crate) fn sentinel(request: &Request) -> Result<Message, String> {
    let value = json(request)?;
    ensure(request.path == format!("/dataCollectionRules/{RULE}/streams/Custom-T"), "path")?;
    ensure(request.query.contains_key("api-version"), "api-version")?;
    let login = request.headers.get("authorization").map(String::as_str).unwrap_or_default();
    ensure(login.starts_with(&format!("Bearer {TOKEN}")), "authorization")?;
    ensure(request.body.len() <= 1_000_000, "too long")?;
    let rows = value.as_array().filter(|rows| !rows.is_empty()).ok_or("no rows")?;
    for row in rows {
        ensure(
            chars(at(row, "/TimeGenerated")) > 0 && at(row, "/IdempotencyKey").is_string(),
            "row",
        )?;
    }
    message(request, at(&value, "/0/IdempotencyKey").as_str().unwrap_or_default())
}

/// RFC 5322 and what mail programs show: both parts, lines of at most 998, HTML below 102 kB.
pub(crate) fn mail(bytes: Vec<u8>) -> Result<Message, String> {
    let lines = bytes.split(|byte| *byte == b'\n');
    ensure(lines.into_iter().all(|line| line.len() <= 999), "a long line")?;
    let parsed = MessageParser::default().parse(&bytes).ok_or("no mail")?;
    let html = parsed.body_html(0).ok_or("no HTML part")?;
    ensure(html.len() < 102_000, &format!("{} bytes of HTML", html.len()))?;
    ensure(parsed.body_text(0).is_some_and(|text| !text.trim().is_empty()), "no text part")?;
    ensure(parsed.subject().is_some_and(|subject| !subject.is_empty()), "no subject")?;
    let scripts = parsed.parts.iter().filter_map(|part| part.content_type());
    ensure(scripts.into_iter().all(|kind| kind.subtype() != Some("javascript")), "a script")?;
    let id = parsed.message_id().ok_or("no Message-ID")?;
    let key = id.strip_suffix("@tokenwatch").ok_or("Message-ID")?.to_owned();
    Ok(Message { bytes, key })
}
