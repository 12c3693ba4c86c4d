//! `AllMetrics`: points of platform metrics, for a whole account.

use super::field::FieldError;
use super::{Decoder, Read, Record};
use crate::event::Event;
use crate::event::signal::{Metric, Signal};
use crate::time::{DAY_MS, HOUR_MS, MINUTE_MS};

/// Platform metrics; their records have no category.
pub(super) const DECODER: Decoder = Decoder {
    name: "AllMetrics",
    is: |category, fields| {
        fields.raw("metricName").is_some()
            && (category.is_empty() || CATEGORIES.iter().any(|c| c.eq_ignore_ascii_case(category)))
    },
    read: Read::With(decode),
    reads: "count, total, minimum, maximum and average of every exported metric of an account, by minute",
    cannot_tell: "which deployment, model or status (diagnostic settings drop all dimensions), provisioned utilisation (not exported), and zero: no point is no zero",
};

/// What some pipelines put where diagnostic settings put nothing.
const CATEGORIES: [&str; 2] = ["AllMetrics", "AzureMetrics"];

/// Reads one point.
///
/// # Errors
/// No resource, no time or no name.
fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    let name = record.name(&["metricName"]);
    if name.is_empty() {
        return Err(FieldError::new("metricName", "is missing"));
    }
    let number = |name| record.fields.number(name);
    Ok(Event::Metric(Box::new(Metric {
        resource: record.resource()?,
        start: record.time()?,
        grain_ms: record.fields.text("timeGrain").and_then(|text| grain_ms(&text)),
        signal: signal(&name),
        name,
        deployment: String::new(),
        model: String::new(),
        count: number("count"),
        total: number("total"),
        minimum: number("minimum"),
        maximum: number("maximum"),
        average: number("average"),
    })))
}

/// An ISO 8601 duration of one unit in milliseconds: `PT1M`, `PT2H`, `P1D`.
pub(super) fn grain_ms(text: &str) -> Option<i64> {
    let text = text.trim();
    let (digits, unit_ms) = match text.strip_prefix("PT") {
        Some(time) => match time.strip_suffix('M') {
            Some(minutes) => (minutes, MINUTE_MS),
            None => match time.strip_suffix('H') {
                Some(hours) => (hours, HOUR_MS),
                None => (time.strip_suffix('S')?, 1_000),
            },
        },
        None => (text.strip_prefix('P')?.strip_suffix('D')?, DAY_MS),
    };
    let number: i64 = digits.parse().ok()?;
    (1..=10_000).contains(&number).then_some(number * unit_ms)
}

/// Every metric of AI accounts that diagnostic settings export, and those that can only be asked for
/// (Microsoft's table of 2026-07-31).
const SIGNALS: [(&str, Signal); 55] = [
    ("InputTokens", Signal::InputTokens),
    ("OutputTokens", Signal::OutputTokens),
    ("TotalTokens", Signal::TotalTokens),
    ("cacheReadInputTokens", Signal::CacheReadTokens),
    ("ephemeral5mInputTokens", Signal::CacheWriteTokens),
    ("ephemeral1hInputTokens", Signal::CacheWriteTokens),
    ("ModelRequests", Signal::Requests),
    ("ProcessedPromptTokens", Signal::OpenAiInputTokens),
    ("GeneratedTokens", Signal::OpenAiOutputTokens),
    ("TokenTransaction", Signal::OpenAiTotalTokens),
    ("AzureOpenAIRequests", Signal::OpenAiRequests),
    ("ActiveTokens", Signal::ProvisionedTokens),
    ("AudioInputTokens", Signal::AudioTokens),
    ("AudioOutputTokens", Signal::AudioTokens),
    ("AudioPromptTokens", Signal::AudioTokens),
    ("AudioCompletionTokens", Signal::AudioTokens),
    ("GeneratedImages", Signal::Images),
    ("TotalPages", Signal::Pages),
    ("AnnotatedPages", Signal::Pages),
    ("FineTunedTrainingHours", Signal::TrainingHours),
    ("RealtimeUsageTime", Signal::RealtimeTime),
    ("RAITotalRequests", Signal::FilterRequests),
    ("ContentSafetyTextAnalyzeRequestCount", Signal::FilterRequests),
    ("ContentSafetyImageAnalyzeRequestCount", Signal::FilterRequests),
    ("RAIRejectedRequests", Signal::FilterRejected),
    ("RAIHarmfulRequests", Signal::FilterHarmful),
    ("RAISystemEvent", Signal::FilterSystem),
    ("AzureOpenAITimeToResponse", Signal::Latency),
    ("AzureOpenAINormalizedTTFTInMS", Signal::Latency),
    ("AzureOpenAINormalizedTBTInMS", Signal::Latency),
    ("AzureOpenAITTLTInMS", Signal::Latency),
    ("AzureOpenAITokenPerSecond", Signal::Latency),
    ("TimeToResponse", Signal::Latency),
    ("NormalizedTimeToFirstToken", Signal::Latency),
    ("NormalizedTimeBetweenTokens", Signal::Latency),
    ("TimeToLastByte", Signal::Latency),
    ("TokensPerSecond", Signal::Latency),
    ("TotalCalls", Signal::LegacyHttp),
    ("SuccessfulCalls", Signal::LegacyHttp),
    ("TotalErrors", Signal::LegacyHttp),
    ("BlockedCalls", Signal::LegacyHttp),
    ("ClientErrors", Signal::LegacyHttp),
    ("ServerErrors", Signal::LegacyHttp),
    ("DataIn", Signal::LegacyHttp),
    ("DataOut", Signal::LegacyHttp),
    ("Latency", Signal::LegacyHttp),
    ("Ratelimit", Signal::LegacyHttp),
    ("TotalTokenCalls", Signal::LegacyHttp),
    ("SuccessRate", Signal::LegacyHttp),
    ("AzureOpenAIProvisionedManagedUtilizationV2", Signal::ProvisionedUtilization),
    ("AzureOpenAIProvisionedManagedUtilization", Signal::ProvisionedUtilization),
    ("ProvisionedUtilization", Signal::ProvisionedUtilization),
    ("AzureOpenAIAvailabilityRate", Signal::Availability),
    ("ModelAvailabilityRate", Signal::Availability),
    ("AzureOpenAIContextTokensCacheMatchRate", Signal::CacheMatchRate),
];

/// What the metric of that name measures, in any case.
#[must_use]
pub fn signal(name: &str) -> Signal {
    let found = SIGNALS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
    found.map_or(Signal::Other, |(_, signal)| *signal)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grains_are_read() {
        for (text, expected) in [
            ("PT1M", Some(60_000)),
            ("PT15M", Some(900_000)),
            ("PT2H", Some(7_200_000)),
            ("PT30S", Some(30_000)),
            ("P1D", Some(86_400_000)),
            ("PT", None),
            ("PT0M", None),
            ("PT-1M", None),
            ("1 minute", None),
        ] {
            assert_eq!(grain_ms(text), expected, "{text}");
        }
    }

    #[test]
    fn two_families_of_the_same_tokens_stay_apart() {
        assert_eq!(signal("InputTokens"), Signal::InputTokens);
        assert_eq!(signal("processedprompttokens"), Signal::OpenAiInputTokens);
        assert_eq!(signal("CacheReadInputTokens"), Signal::CacheReadTokens);
        assert_eq!(signal("AzureOpenAIRequests"), Signal::OpenAiRequests);
        assert_eq!(signal("FoundryModelEstimatedCost"), Signal::Other);
    }
}
