//! Pushes alerts into a Prometheus Alertmanager, which then groups, silences and tells as it does
//! with those of Prometheus.
//!
//! Alertmanager knows an alert by its labels, so only what never changes during an incident is a
//! label, and its severity; when that rises, the alerts of lower severity are ended.

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Map, Value, json};

use crate::incident::{Announcement, Digest, Incident, Kind, Severity};
use crate::time::{ArrivalTime, DAY_MS, MINUTE_MS};

use super::brief::Brief;
use super::facts::{LIMITS, Limits};
use super::http::{HttpSettings, Poster};
use super::settings::{Label, Problem, Settings};
use super::{Channel, Notification, RenderError, Sending, clean};

/// How long an alert lasts unless it is told again: longer than any `repeat_interval` (7 days), for
/// an alert that ends by itself says that all is well.
pub const ENDS_AFTER_MS: i64 = 8 * DAY_MS;
/// How long a test lasts.
const TEST_MS: i64 = 5 * MINUTE_MS;

/// An Alertmanager.
#[derive(Debug, Clone)]
pub struct AlertmanagerSettings {
    /// Where to: the address that its `--web.external-url` names, without `/api/v2`.
    pub http: HttpSettings,
    /// Bearer token, where something before it asks for one.
    pub token: Option<SecretString>,
    /// How long an alert lasts unless it is told again, in milliseconds.
    pub ends_after_ms: i64,
}

impl Settings for AlertmanagerSettings {
    fn word(&self) -> &'static str {
        "alertmanager"
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.http.base_problems();
        if self.token.as_ref().is_some_and(|token| bearer(token).is_none()) {
            problems.push(Problem::Setting {
                field: "token",
                reason: "not a token that a header can carry",
                mend: "check the file or variable: one line of printable ASCII",
            });
        }
        problems
    }

    /// It cannot be told that somebody has taken an incident.
    fn hears(&self, kind: Kind) -> bool {
        match kind {
            Kind::Open
            | Kind::Escalate
            | Kind::Reopen
            | Kind::Repeat
            | Kind::Resolve
            | Kind::Test => true,
            Kind::Acknowledge => false,
        }
    }

    fn body(&self, told: &Announcement, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        Ok(serde_json::to_vec(&self.alerts(told, label.key, &LIMITS[0]))?)
    }

    /// The same alerts as one by one, in one request.
    fn digest(&self, digest: &Digest, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        let told = digest.announcements.iter();
        let alerts = told.flat_map(|told| self.alerts(told, label.key, &LIMITS[2]));
        Ok(serde_json::to_vec(&alerts.collect::<Vec<_>>())?)
    }

    fn connect(&self) -> Result<Box<dyn Channel>, Problem> {
        let http = self.http.below("api/v2/alerts");
        let bearer = self.token.as_ref().and_then(bearer);
        Ok(Box::new(AlertmanagerChannel { poster: Poster::new(&http)?, bearer }))
    }
}

impl AlertmanagerSettings {
    fn alerts(&self, told: &Announcement, key: &str, limits: &Limits) -> Vec<Value> {
        let incident = &told.incident;
        let later = |ms: i64| ArrivalTime(told.at.0.saturating_add(ms));
        let ends = match told.kind {
            Kind::Open | Kind::Escalate | Kind::Reopen | Kind::Acknowledge | Kind::Repeat
                if incident.state.is_live() =>
            {
                later(self.ends_after_ms)
            }
            Kind::Open | Kind::Escalate | Kind::Reopen | Kind::Acknowledge | Kind::Repeat => {
                incident.resolved_at.unwrap_or(told.at)
            }
            Kind::Resolve => incident.resolved_at.unwrap_or(told.at),
            Kind::Test => later(TEST_MS),
        };
        let mut alerts = vec![alert(incident, incident.severity, ends)];
        if let Some(annotations) = alerts.first_mut().and_then(|alert| alert.get_mut("annotations"))
        {
            *annotations = annotate(told, key, limits);
        }
        if told.kind == Kind::Escalate {
            let lower = Severity::ALL.into_iter().filter(|severity| *severity < incident.severity);
            alerts.extend(lower.map(|severity| alert(incident, severity, told.at)));
        }
        alerts
    }
}

fn alert(incident: &Incident, severity: Severity, ends: ArrivalTime) -> Value {
    let name = |text: &str| clean::line(text, LIMITS[0].text);
    let mut labels = Map::new();
    // Alertmanager drops labels that are empty.
    let known = [
        ("alertname", name(&incident.rule_name)),
        ("source", "tokenwatch".to_owned()),
        ("rule", name(&incident.rule)),
        ("account", name(&incident.account)),
        ("deployment", incident.deployment.as_deref().map(name).unwrap_or_default()),
        ("severity", severity.word().to_owned()),
        ("incident", name(&incident.key)),
    ];
    for (label, value) in known.into_iter().filter(|(_, value)| !value.trim().is_empty()) {
        labels.insert(label.to_owned(), value.into());
    }
    json!({
        "labels": labels,
        "annotations": {},
        "startsAt": incident.opened_at.min(ends).to_string(),
        "endsAt": ends.to_string(),
    })
}

fn annotate(told: &Announcement, key: &str, limits: &Limits) -> Value {
    let brief = Brief::new(told, limits);
    let numbers: Vec<String> =
        brief.numbers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let steps = brief.steps.iter().map(|step| match &step.command {
        Some(command) => format!("{} {command}", step.what),
        None => step.what.clone(),
    });
    json!({
        "summary": brief.title(),
        "description": brief.place.join("\n"),
        "numbers": numbers.join("\n"),
        "callers": brief.callers.join("\n"),
        "evidence": brief.evidence.join("\n"),
        "response": steps.collect::<Vec<_>>().join("\n"),
        "unknown": brief.unknowns.join("\n"),
        "idempotency_key": key,
    })
}

fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let token = token.expose_secret();
    let mut value = HeaderValue::from_str(&format!("Bearer {token}")).ok()?;
    value.set_sensitive(true);
    (!token.is_empty()).then_some(value)
}

/// Posts stored alerts.
#[derive(Debug)]
struct AlertmanagerChannel {
    poster: Poster,
    /// Marked as sensitive, so that it is not shown.
    bearer: Option<HeaderValue>,
}

impl Channel for AlertmanagerChannel {
    fn send<'a>(&'a self, notification: &'a Notification, now_s: i64) -> Sending<'a> {
        Box::pin(async move {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if let Some(bearer) = &self.bearer {
                headers.insert(AUTHORIZATION, bearer.clone());
            }
            let sent = self.poster.post(headers, notification.body.clone(), now_s).await;
            sent.map(drop)
        })
    }
}
