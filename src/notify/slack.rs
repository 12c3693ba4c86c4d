//! Slack, by an incoming webhook: blocks within the documented limits, one message a second.
//!
//! An incoming webhook can neither answer in a thread nor change what it said, and has no place for
//! a key by which a repetition is dropped; the last line of a message shows one to people.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};
use tokio::sync::Mutex;
use tokio::time::Instant;

use crate::incident::{Announcement, Digest, Kind};

use super::brief::Brief;
use super::facts::LIMITS;
use super::http::{HttpSettings, Poster};
use super::lines::Lines;
use super::settings::{Label, Problem, Settings};
use super::{Channel, Notification, RenderError, Sending, clean};

/// Longest text of a header block, in characters (Slack's Block Kit reference).
const HEADER_MAX: usize = 150;
/// Longest text of a section, a context element or a preformatted one.
const TEXT_MAX: usize = 3_000;
/// Longest fallback text; Slack cuts at 40,000 and asks for 4,000.
const FALLBACK_MAX: usize = 300;
/// Incidents of a digest with a section of their own; a message may have 50 blocks.
const LINES_MAX: usize = 40;
/// Distance of messages that Slack allows one webhook.
const DISTANCE: Duration = Duration::from_secs(1);

/// An incoming webhook of Slack.
#[derive(Debug, Clone)]
pub struct SlackSettings {
    /// Where to; the address is the secret.
    pub http: HttpSettings,
}

impl Settings for SlackSettings {
    fn word(&self) -> &'static str {
        "slack"
    }

    fn problems(&self) -> Vec<Problem> {
        self.http.problems()
    }

    fn body(&self, told: &Announcement, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        let brief = Brief::new(told, &LIMITS[0]);
        Ok(serde_json::to_vec(&message(&brief.title(), &blocks(told.kind, &brief, label.key)))?)
    }

    fn digest(&self, digest: &Digest, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        let lines = Lines::new(digest, LINES_MAX);
        let mut blocks = vec![header(&lines.title), plain(&lines.why)];
        for line in &lines.shown {
            let text = format!("{} {}\n{}", line.badge, line.place, line.said());
            blocks.push(plain(&format!("{text}\n{}", line.key)));
        }
        if lines.more > 0 {
            blocks.push(plain(&format!("and {} more", lines.more)));
        }
        blocks.push(foot(&digest.group, label.key));
        Ok(serde_json::to_vec(&message(&lines.title, &blocks))?)
    }

    fn connect(&self) -> Result<Box<dyn Channel>, Problem> {
        Ok(Box::new(SlackChannel { poster: Poster::new(&self.http)?, last: Mutex::default() }))
    }
}

fn message(title: &str, blocks: &[Value]) -> Value {
    json!({
        "text": escaped(&clean::line(title, FALLBACK_MAX)),
        "blocks": blocks,
        "unfurl_links": false,
        "unfurl_media": false,
    })
}

/// At most 2 + 1 + 2 + 2 · 8 + 2 blocks; names stand in plain text, where nothing is markup.
fn blocks(kind: Kind, brief: &Brief, key: &str) -> Vec<Value> {
    // A header is short: the sentence stands below it, whole.
    let place = brief.place.first().map(String::as_str).unwrap_or_default();
    let below =
        brief.place.iter().skip(1).fold(brief.sentence.clone(), |all, line| all + "\n" + line);
    let mut blocks = vec![header(&format!("{} {place}", brief.badge)), plain(&below)];
    if kind == Kind::Acknowledge {
        // A short reply: everybody has read the rest.
        blocks.push(foot(&brief.key, key));
        return blocks;
    }
    let numbers = brief.numbers.iter().map(|(name, value)| {
        let text = format!("{name}\n{value}");
        json!({ "type": "plain_text", "text": clean_lines(&text, 2_000), "emoji": false })
    });
    // A section has at most ten fields.
    blocks.push(json!({ "type": "section", "fields": numbers.take(10).collect::<Vec<_>>() }));
    for (title, lines) in [("Who", &brief.callers), ("Why", &brief.evidence)] {
        if !lines.is_empty() {
            blocks.push(plain(&format!("{title}\n• {}", lines.join("\n• "))));
        }
    }
    if kind != Kind::Resolve {
        for (index, step) in brief.steps.iter().enumerate() {
            let title = if index == 0 { format!("{}\n", brief.steps_title) } else { String::new() };
            blocks.push(plain(&format!("{title}{}. {}", index + 1, step.what)));
            blocks.extend(step.command.as_deref().map(command));
        }
    }
    blocks.push(plain(&brief.unknowns.join(" ")));
    blocks.push(foot(&brief.key, key));
    blocks
}

fn header(text: &str) -> Value {
    let text = clean::line(text, HEADER_MAX);
    json!({ "type": "header", "text": { "type": "plain_text", "text": text, "emoji": false } })
}

fn plain(text: &str) -> Value {
    let text = clean_lines(text, TEXT_MAX);
    json!({ "type": "section", "text": { "type": "plain_text", "text": text, "emoji": false } })
}

/// Whole, as typed: what is in a preformatted element is not read as markup.
fn command(text: &str) -> Value {
    let element = json!({
        "type": "rich_text_preformatted",
        "elements": [{ "type": "text", "text": text }],
    });
    json!({ "type": "rich_text", "elements": [element] })
}

/// The incident, and the first digits of the key, by which a person sees a message repeated.
fn foot(incident: &str, key: &str) -> Value {
    let digits: String = key.chars().take(8).collect();
    let text = format!("{} · message {digits}", clean::untrusted(incident, 200));
    let element = json!({ "type": "plain_text", "text": text, "emoji": false });
    json!({ "type": "context", "elements": [element] })
}

/// At most `max` characters in lines; none is empty of text, which Slack refuses.
fn clean_lines(text: &str, max: usize) -> String {
    let lines: Vec<String> = text.lines().map(|line| clean::line(line, max)).collect();
    let text = lines.join("\n");
    let cut: String = text.chars().take(max).collect();
    if cut.trim().is_empty() { "…".to_owned() } else { cut }
}

/// The three characters that Slack reads as markup of its own.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Posts stored messages, one a second.
#[derive(Debug)]
struct SlackChannel {
    poster: Poster,
    /// When the last one left.
    last: Mutex<Option<Instant>>,
}

impl Channel for SlackChannel {
    fn send<'a>(&'a self, notification: &'a Notification, now_s: i64) -> Sending<'a> {
        Box::pin(async move {
            let mut last = self.last.lock().await;
            if let Some(last) = *last {
                tokio::time::sleep_until(last + DISTANCE).await;
            }
            *last = Some(Instant::now());
            drop(last);
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            self.poster.post(headers, notification.body.clone(), now_s).await.map(drop)
        })
    }
}
