//! One call as the rows Azure writes for it.

use std::borrow::Cow;

use super::fleet::{Deployment, MODELS, guid};
use crate::time::{EventTime, HOUR_MS, MINUTE_MS};

/// 100 ns ticks from year 1 to 1970.
const UNIX_EPOCH_TICKS: i64 = 621_355_968_000_000_000;

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallKind {
    /// Answered, with tokens.
    Served,
    /// Answered with this status from 400: no tokens.
    Refused(u16),
    /// Not an inference at all (a listing): belongs to no deployment.
    Control,
}

/// One call, exactly.
#[derive(Debug, Clone)]
pub struct Call {
    /// Resource id as Azure writes it.
    pub resource: String,
    /// Account name, lower case.
    pub account: Cow<'static, str>,
    /// Deployment, lower case.
    pub deployment: Cow<'static, str>,
    /// Place in [`MODELS`].
    pub model: usize,
    /// When the answer was complete, in milliseconds since 1970.
    pub end_ms: i64,
    /// First three numbers of the caller's address.
    pub network: String,
    /// Object id; empty for a key.
    pub identity: String,
    /// What became of it.
    pub kind: CallKind,
    /// Prompt tokens, cached ones included.
    pub input: u32,
    /// Cached prompt tokens.
    pub cached: u32,
    /// Generated tokens.
    pub output: u32,
    /// True for calls of the attack.
    pub hostile: bool,
    /// What was asked for, as Azure names it; `None` for what the shape of the record is used for.
    pub operation: Option<&'static str>,
    pub(super) old_shape: bool,
    pub(super) correlation: String,
    pub(super) duration_ms: i64,
}

impl Call {
    /// A served call without tokens, to be filled in.
    pub fn of(
        deployment: &Deployment,
        end_ms: i64,
        network: String,
        identity: String,
        random: &mut fastrand::Rng,
    ) -> Self {
        Self {
            resource: deployment.resource.clone(),
            account: deployment.account.clone(),
            deployment: deployment.name.clone(),
            model: deployment.model,
            end_ms,
            network,
            identity,
            kind: CallKind::Served,
            input: 0,
            cached: 0,
            output: 0,
            hostile: false,
            operation: None,
            old_shape: deployment.old_shape,
            correlation: guid(random),
            duration_ms: random.i64(200..9_000),
        }
    }

    /// The rows with their delay from the end of the call to the hub, in milliseconds.
    pub fn rows(&self, random: &mut fastrand::Rng) -> Vec<(i64, String)> {
        let mut rows = Vec::with_capacity(4);
        let stars = random.usize(1..=3);
        match self.kind {
            CallKind::Control => {
                rows.push((request_delay(random), self.bare(stars, "Models_List", 200)));
            }
            CallKind::Refused(status) => {
                if !self.old_shape && status != 429 {
                    rows.push((request_delay(random), self.bare(stars, self.operation(), status)));
                }
                rows.push((request_delay(random), self.named(stars, status)));
            }
            CallKind::Served => {
                if !self.old_shape {
                    rows.push((request_delay(random), self.bare(stars, self.operation(), 200)));
                }
                rows.push((request_delay(random), self.named(stars, 200)));
                // Of images no tokens are told.
                if self.output > 0 {
                    rows.push((usage_delay(random), self.usage(random.bool())));
                }
            }
        }
        if random.u32(0..100) == 0
            && let Some((delay, text)) = rows.first().cloned()
        {
            // Azure delivers some records twice.
            rows.push((delay + random.i64(0..MINUTE_MS), text));
        }
        if random.u32(0..400) == 0 {
            rows.push((request_delay(random), self.audit()));
        }
        rows
    }

    const fn operation(&self) -> &'static str {
        match self.operation {
            Some(operation) => operation,
            None if self.old_shape => "ChatCompletions_Create",
            None => "create_response",
        }
    }

    /// Start of a record: everything before `properties`.
    fn head(&self, category: &str, operation: &str, at_ms: i64) -> String {
        format!(
            "{{\"Tenant\":\"eastus2\",\"category\":\"{category}\",\"correlationId\":\"{}\",\
             \"location\":\"eastus2\",\"operationName\":\"{operation}\",\"resourceId\":\"{}\",\
             \"time\":\"{}\"",
            self.correlation,
            self.resource,
            seven_digits(at_ms)
        )
    }

    fn request(&self, stars: usize, operation: &str, status: u16, properties: &str) -> String {
        format!(
            "{},\"event\":\"ShoeboxCallResult\",\"callerIpAddress\":\"{}.{}\",\"durationMs\":{},\
             \"resultSignature\":\"{status}\",\"properties\":{properties}}}",
            self.head("RequestResponse", operation, self.end_ms + 3_000),
            self.network,
            "***".get(..stars).unwrap_or("*"),
            self.duration_ms
        )
    }

    /// The near-empty twin, or the whole of a control call: no deployment, no tokens, no identity.
    fn bare(&self, stars: usize, operation: &str, status: u16) -> String {
        let end = self.end_ms * 10_000 + UNIX_EPOCH_TICKS;
        let properties = format!(
            "\"{{\\\"apiName\\\":\\\"AIServices\\\",\\\"requestTime\\\":{},\\\"requestLength\\\":{},\
             \\\"responseTime\\\":{end},\\\"responseLength\\\":{},\\\"objectId\\\":\\\"\\\"}}\"",
            end - self.duration_ms * 10_000,
            self.input * 4,
            self.output * 4
        );
        self.request(stars, operation, status, &properties)
    }

    /// The row that names deployment and identity; since 2026 with tokens.
    fn named(&self, stars: usize, status: u16) -> String {
        let (model, version, _) = MODELS.get(self.model).copied().unwrap_or_default();
        if self.old_shape {
            let end = self.end_ms * 10_000 + UNIX_EPOCH_TICKS;
            let properties = format!(
                "{{\"apiName\":\"Azure OpenAI API version 2024-10-21\",\"requestTime\":{},\
                 \"requestLength\":{},\"responseTime\":{end},\"responseLength\":{},\
                 \"objectId\":\"{}\",\"streamType\":\"Non-Streaming\",\"modelDeploymentName\":\"{}\",\
                 \"modelName\":\"{model}\",\"modelVersion\":\"{version}\"}}",
                end - self.duration_ms * 10_000,
                self.input * 4,
                self.output * 4,
                self.identity,
                self.deployment
            );
            return self.request(stars, self.operation(), status, &properties);
        }
        let tokens = match self.kind {
            CallKind::Served if self.output > 0 => format!(
                ",\\\"promptTokens\\\":{},\\\"completionTokens\\\":{}",
                self.input, self.output
            ),
            CallKind::Served | CallKind::Refused(_) | CallKind::Control => String::new(),
        };
        let end = self.end_ms * 10_000;
        let properties = format!(
            "\"{{\\\"modelDeploymentName\\\":\\\"{}\\\",\\\"modelName\\\":\\\"{model}\\\",\
             \\\"modelVersion\\\":\\\"{version}\\\",\\\"streamType\\\":\\\"Streaming\\\",\
             \\\"requestTime\\\":{},\\\"responseTime\\\":{end}{tokens},\
             \\\"callerObjectId\\\":\\\"{}\\\"}}\"",
            self.deployment,
            end - self.duration_ms * 10_000,
            self.identity
        );
        self.request(stars, self.operation(), status, &properties)
    }

    /// Exact tokens; who called is not said.
    fn usage(&self, as_text: bool) -> String {
        let (model, version, _) = MODELS.get(self.model).copied().unwrap_or_default();
        let properties = format!(
            "{{\"modelDeploymentName\":\"{}\",\"modelName\":\"{model}\",\"modelVersion\":\"{version}\",\
             \"streamType\":\"Streaming\",\"promptTokens\":[{}],\"cachedTokens\":[{}],\
             \"generatedTokens\":[{}],\"timeToLastTokenMs\":{}}}",
            self.deployment, self.input, self.cached, self.output, self.duration_ms
        );
        let properties =
            if as_text { format!("\"{}\"", properties.replace('"', "\\\"")) } else { properties };
        format!(
            "{},\"event\":\"ShoeboxAzureOpenAIRequestUsage\",\"properties\":{properties}}}",
            self.head("AzureOpenAIRequestUsage", self.operation(), self.end_ms + 400)
        )
    }

    /// A record of a kind that is only counted.
    fn audit(&self) -> String {
        format!(
            "{},\"resultType\":\"Success\",\"properties\":{{}}}}",
            self.head("Audit", "ListKey", self.end_ms + 1_000)
        )
    }
}

/// `RequestResponse` rows take half a minute to a minute and a half, a few take hours.
fn request_delay(random: &mut fastrand::Rng) -> i64 {
    if random.u32(0..400) == 0 { late(random) } else { random.i64(15_000..90_000) }
}

/// Usage rows take seconds, a few take hours.
fn usage_delay(random: &mut fastrand::Rng) -> i64 {
    if random.u32(0..400) == 0 { late(random) } else { random.i64(5_000..40_000) }
}

/// Up to the longest delay reported, 3 h 45 min.
fn late(random: &mut fastrand::Rng) -> i64 {
    random.i64(6 * MINUTE_MS..4 * HOUR_MS - 15 * MINUTE_MS)
}

/// Azure's own form: seven digits of a second.
pub(super) fn seven_digits(at_ms: i64) -> String {
    let whole = EventTime(at_ms - at_ms.rem_euclid(1000)).to_string();
    format!("{}.{:03}0000Z", whole.trim_end_matches('Z'), at_ms.rem_euclid(1000))
}
