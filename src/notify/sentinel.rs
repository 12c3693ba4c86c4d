//! Rows in a table of Microsoft Sentinel's workspace, by the Logs Ingestion API.
//!
//! The columns are listed in `docs/channels.md`; a repetition has the same `IdempotencyKey`.

use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde_json::{Value, json};

use crate::azure::{Identity, Tokens};
use crate::incident::{Announcement, Digest};
use crate::money::NanoUsd;

use super::brief::Brief;
use super::facts::{LIMITS, Limits};
use super::http::{HttpSettings, Poster};
use super::settings::{Label, Problem, Settings};
use super::{Channel, Notification, RenderError, SendError, Sending, clean};

/// Most bytes of one call (Azure Monitor service limits: 1 MB, compressed or not).
const BODY_MAX: usize = 1_000_000;
/// Version of the API.
const API_VERSION: &str = "2023-01-01";
/// What the token is for.
const SCOPE: &str = "https://monitor.azure.com/.default";
/// Longest wait for a token; some time is left for the rows.
const TOKEN_MAX: Duration = Duration::from_secs(6);

/// A data collection rule that takes our rows.
#[derive(Debug, Clone)]
pub struct SentinelSettings {
    /// Where to: the logs ingestion endpoint of the rule or of its data collection endpoint.
    pub http: HttpSettings,
    /// Immutable id of the rule, `dcr-` and 32 hexadecimal digits.
    pub rule: String,
    /// Stream of the rule, such as `Custom-Tokenwatch`.
    pub stream: String,
    /// Who we are; needs the role Monitoring Metrics Publisher on the rule.
    pub identity: Identity,
}

impl Settings for SentinelSettings {
    fn word(&self) -> &'static str {
        "sentinel"
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.http.base_problems();
        let is_segment = |text: &str| {
            let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
            (1..=128).contains(&text.len()) && text.chars().all(allowed)
        };
        if !self.rule.starts_with("dcr-") || !is_segment(&self.rule) {
            problems.push(Problem::Setting {
                field: "rule",
                reason: "not the immutable id of a data collection rule",
                mend: "write the property immutableId of the rule: dcr-…",
            });
        }
        if !is_segment(&self.stream) {
            problems.push(Problem::Setting {
                field: "stream",
                reason: "not the name of a stream",
                mend: "write the stream that the rule declares, such as Custom-Tokenwatch",
            });
        }
        problems
    }

    fn body(&self, told: &Announcement, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        Ok(serde_json::to_vec(&[row(told, label.key, &LIMITS[0])])?)
    }

    /// A row for each incident, as many of the worst as one call may have.
    fn digest(&self, digest: &Digest, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        let mut most = digest.announcements.len();
        loop {
            let told = digest.announcements.iter().take(most);
            let rows: Vec<_> = told.map(|told| row(told, label.key, &LIMITS[2])).collect();
            let body = serde_json::to_vec(&rows)?;
            if body.len() <= BODY_MAX || most <= 1 {
                return Ok(body);
            }
            most /= 2;
        }
    }

    fn connect(&self) -> Result<Box<dyn Channel>, Problem> {
        let Self { rule, stream, .. } = self;
        let path = format!("dataCollectionRules/{rule}/streams/{stream}");
        let http = self.http.below(&format!("{path}?api-version={API_VERSION}"));
        let tokens = Tokens::new(SCOPE, self.identity.clone(), TOKEN_MAX);
        Ok(Box::new(SentinelChannel { poster: Poster::new(&http)?, tokens }))
    }
}

fn row(told: &Announcement, key: &str, limits: &Limits) -> Value {
    let incident = &told.incident;
    let brief = Brief::new(told, limits);
    let text = |text: &str| clean::line(text, limits.text);
    let dollars = |cost: Option<NanoUsd>| cost.map(NanoUsd::usd);
    let steps =
        brief.steps.iter().map(|step| json!({ "what": step.what, "command": step.command }));
    json!({
        "TimeGenerated": told.at.to_string(),
        "Kind": told.kind.word(),
        "IncidentKey": clean::line(&incident.key, limits.command),
        "IdempotencyKey": key,
        "State": incident.state.word(),
        "Severity": incident.severity.word(),
        "Title": brief.title(),
        "Rule": text(&incident.rule),
        "RuleName": text(&incident.rule_name),
        "Account": text(&incident.account),
        "Deployment": incident.deployment.as_deref().map(text),
        "Model": incident.model.as_deref().map(text),
        "AccountResourceId": incident.resource_id.as_deref().map(|id| clean::line(id, limits.command)),
        "FirstWindow": incident.first_window.to_string(),
        "LastWindow": incident.last_window.to_string(),
        "OpenedAt": incident.opened_at.to_string(),
        "ResolvedAt": incident.resolved_at.map(|at| at.to_string()),
        "Observed": incident.observed,
        "Expected": incident.expected,
        "Bound": incident.bound,
        "Unit": text(&incident.unit),
        "CostUsd": dollars(incident.cost),
        "CostPerDayUsd": dollars(incident.cost_per_day),
        "Confidence": incident.confidence,
        "Callers": brief.callers,
        "Evidence": brief.evidence,
        "Response": steps.collect::<Vec<_>>(),
    })
}

/// Posts stored rows with a token.
#[derive(Debug)]
struct SentinelChannel {
    poster: Poster,
    tokens: Tokens,
}

impl Channel for SentinelChannel {
    fn send<'a>(&'a self, notification: &'a Notification, now_s: i64) -> Sending<'a> {
        Box::pin(async move {
            let now_ms = now_s.saturating_mul(1_000);
            let token = self.tokens.token(now_ms).await;
            let token = token.map_err(|error| SendError::retry(error.to_string()))?;
            let bearer = HeaderValue::from_str(&format!("Bearer {}", token.secret()));
            let mut bearer = bearer.map_err(|_| SendError::give_up("the token is no header"))?;
            bearer.set_sensitive(true);
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            headers.insert(AUTHORIZATION, bearer);
            let sent = self.poster.post(headers, notification.body.clone(), now_s).await;
            if matches!(sent, Err(SendError::GiveUp { .. })) {
                // Perhaps the token was not good enough: the next attempt takes a new one.
                self.tokens.forget(&token).await;
            }
            sent.map(drop)
        })
    }
}
