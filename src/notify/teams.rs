//! Microsoft Teams, by the webhook of a workflow: an adaptive card.
//!
//! Names stand in runs of text, which are not read as Markdown. A workflow has no place for a key
//! by which a repetition is dropped; the last line shows one to people.

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::incident::{Announcement, Digest, Kind, Severity};

use super::brief::Brief;
use super::facts::{LIMITS, Limits};
use super::http::{HttpSettings, Poster};
use super::lines::Lines;
use super::settings::{Label, Problem, Settings};
use super::{Channel, Notification, RenderError, Sending, clean};

/// Most bytes of a message (Teams, "Create Incoming Webhooks": 28 KB).
const BODY_MAX: usize = 28_000;
/// Incidents of a digest with a line of their own, halved until the card fits.
const LINES_MAX: usize = 40;

/// A workflow of Teams that posts what its webhook gets.
#[derive(Debug, Clone)]
pub struct TeamsSettings {
    /// Where to; the address carries the secret (`sig=`).
    pub http: HttpSettings,
}

impl Settings for TeamsSettings {
    fn word(&self) -> &'static str {
        "teams"
    }

    fn problems(&self) -> Vec<Problem> {
        self.http.problems()
    }

    fn body(&self, told: &Announcement, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        let mut body = Vec::new();
        for limits in &LIMITS {
            body = serde_json::to_vec(&message(&card(told, limits, label.key)))?;
            if body.len() <= BODY_MAX {
                break;
            }
        }
        Ok(body)
    }

    fn digest(&self, digest: &Digest, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        let mut most = LINES_MAX;
        loop {
            let body = serde_json::to_vec(&message(&digest_card(digest, most, label.key)))?;
            if body.len() <= BODY_MAX || most <= 1 {
                return Ok(body);
            }
            most /= 2;
        }
    }

    fn connect(&self) -> Result<Box<dyn Channel>, Problem> {
        Ok(Box::new(TeamsChannel { poster: Poster::new(&self.http)? }))
    }
}

fn message(body: &[Value]) -> Value {
    json!({
        "type": "message",
        "attachments": [{
            "contentType": "application/vnd.microsoft.card.adaptive",
            "contentUrl": null,
            "content": {
                "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
                "type": "AdaptiveCard",
                // The newest version that workflows and phones show.
                "version": "1.4",
                "msteams": { "width": "Full" },
                "body": body,
            },
        }],
    })
}

fn card(told: &Announcement, limits: &Limits, key: &str) -> Vec<Value> {
    let brief = Brief::new(told, limits);
    let mut body = vec![band(&brief.title(), told.kind, told.incident.severity)];
    body.extend(brief.place.iter().map(|line| text(line)));
    if told.kind == Kind::Acknowledge {
        // A short reply: everybody has read the rest.
        body.push(foot(&brief.key, key));
        return body;
    }
    let numbers = brief.numbers.iter().map(|(name, value)| {
        let name = json!({ "type": "TextRun", "text": format!("{name}  "), "isSubtle": true });
        json!({ "type": "RichTextBlock", "inlines": [name, run(value)], "spacing": "Small" })
    });
    body.extend(numbers);
    for (title, lines) in [("Who", &brief.callers), ("Why", &brief.evidence)] {
        if !lines.is_empty() {
            body.push(heading(title));
            body.extend(lines.iter().map(|line| text(&format!("• {line}"))));
        }
    }
    if told.kind != Kind::Resolve && !brief.steps.is_empty() {
        body.push(heading(brief.steps_title));
        for (index, step) in brief.steps.iter().enumerate() {
            body.push(text(&format!("{}. {}", index + 1, step.what)));
            body.extend(step.command.as_deref().map(command));
        }
    }
    body.push(subtle(&brief.unknowns.join(" ")));
    body.push(foot(&brief.key, key));
    body
}

fn digest_card(digest: &Digest, most: usize, key: &str) -> Vec<Value> {
    let lines = Lines::new(digest, most);
    let kind = if digest.is_over() { Kind::Resolve } else { Kind::Open };
    let mut body = vec![band(&lines.title, kind, digest.severity()), text(&lines.why)];
    for line in &lines.shown {
        body.push(heading(&format!("{} {}", line.badge, line.place)));
        body.push(text(&line.said()));
        body.push(subtle(&line.key));
    }
    if lines.more > 0 {
        body.push(text(&format!("and {} more", lines.more)));
    }
    body.push(foot(&digest.group, key));
    body
}

/// What is read first, on a band whose colour says how bad it is.
fn band(title: &str, kind: Kind, severity: Severity) -> Value {
    let style = match (kind, severity) {
        (Kind::Resolve, _) => "good",
        (Kind::Test, _) => "emphasis",
        (_, Severity::Critical | Severity::High) => "attention",
        (_, Severity::Medium) => "warning",
        (_, Severity::Low | Severity::Info) => "accent",
    };
    let run =
        json!({ "type": "TextRun", "text": shown(title), "weight": "Bolder", "size": "Large" });
    json!({
        "type": "Container",
        "style": style,
        "bleed": true,
        "items": [{ "type": "RichTextBlock", "inlines": [run] }],
    })
}

fn run(text: &str) -> Value {
    json!({ "type": "TextRun", "text": shown(text) })
}

/// A run without text would be refused.
fn shown(text: &str) -> &str {
    if text.trim().is_empty() { "…" } else { text }
}

fn text(text: &str) -> Value {
    json!({ "type": "RichTextBlock", "inlines": [run(text)], "spacing": "Small" })
}

fn heading(text: &str) -> Value {
    let run = json!({ "type": "TextRun", "text": shown(text), "weight": "Bolder" });
    json!({ "type": "RichTextBlock", "inlines": [run], "spacing": "Medium" })
}

fn subtle(text: &str) -> Value {
    let run = json!({ "type": "TextRun", "text": shown(text), "isSubtle": true, "size": "Small" });
    json!({ "type": "RichTextBlock", "inlines": [run], "spacing": "Small" })
}

fn command(text: &str) -> Value {
    let run = json!({ "type": "TextRun", "text": shown(text), "fontType": "Monospace" });
    json!({ "type": "RichTextBlock", "inlines": [run], "spacing": "Small" })
}

/// The incident, and the first digits of the key, by which a person sees a message repeated.
fn foot(incident: &str, key: &str) -> Value {
    let digits: String = key.chars().take(8).collect();
    subtle(&format!("{} · message {digits}", clean::untrusted(incident, 200)))
}

/// Posts stored cards.
#[derive(Debug)]
struct TeamsChannel {
    poster: Poster,
}

impl Channel for TeamsChannel {
    fn send<'a>(&'a self, notification: &'a Notification, now_s: i64) -> Sending<'a> {
        Box::pin(async move {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            self.poster.post(headers, notification.body.clone(), now_s).await.map(drop)
        })
    }
}
