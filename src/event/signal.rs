//! What other services say about an AI account: metrics, alerts, posture, endpoints and searches.

use crate::time::EventTime;

/// One point of a platform metric. A point may come again with other numbers: the last one holds.
///
/// Diagnostic settings drop the dimensions, so an exported point is of the whole account; one that
/// was asked for may be of a deployment, and is part of the account's own. A minute without a point
/// is not zero: idle resources export every 15 minutes, then every two hours.
#[derive(Debug, Clone, PartialEq)]
pub struct Metric {
    /// Azure resource id, lower case.
    pub resource: String,
    /// First moment of the span.
    pub start: EventTime,
    /// Length of the span in milliseconds; `None` when absent or not understood.
    pub grain_ms: Option<i64>,
    /// What is measured.
    pub signal: Signal,
    /// The metric's name as Azure writes it.
    pub name: String,
    /// Deployment, lower case; empty for the whole account.
    pub deployment: String,
    /// Model as `name@version` (or `name`), lower case; empty when not said, which does not make the
    /// point one of all models where a deployment is named.
    pub model: String,
    /// Number of samples.
    pub count: Option<f64>,
    /// Sum of the samples.
    pub total: Option<f64>,
    /// Smallest sample.
    pub minimum: Option<f64>,
    /// Largest sample.
    pub maximum: Option<f64>,
    /// Mean of the samples.
    pub average: Option<f64>,
}

/// What a platform metric measures.
///
/// Two families count the same tokens and requests, one over all publishers and one over OpenAI
/// models alone. Both arrive together: take the first and never add them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Signal {
    /// `InputTokens`. Anthropic's leave cache traffic out, OpenAI's hold it.
    InputTokens,
    /// `OutputTokens`.
    OutputTokens,
    /// `TotalTokens`. Less input is not the billed output for every publisher.
    TotalTokens,
    /// `cacheReadInputTokens` (Anthropic).
    CacheReadTokens,
    /// `ephemeral5mInputTokens`, `ephemeral1hInputTokens` (Anthropic).
    CacheWriteTokens,
    /// `ModelRequests`, failed ones included.
    Requests,
    /// `ProcessedPromptTokens`: the part of [`Signal::InputTokens`] that OpenAI models took.
    OpenAiInputTokens,
    /// `GeneratedTokens`: the part of [`Signal::OutputTokens`] from OpenAI models.
    OpenAiOutputTokens,
    /// `TokenTransaction`: the part of [`Signal::TotalTokens`] of OpenAI models.
    OpenAiTotalTokens,
    /// `AzureOpenAIRequests`: the part of [`Signal::Requests`] to OpenAI models.
    OpenAiRequests,
    /// `ActiveTokens`: tokens on provisioned throughput, less cached ones.
    ProvisionedTokens,
    /// Audio tokens in or out.
    AudioTokens,
    /// `GeneratedImages`.
    Images,
    /// `TotalPages`, `AnnotatedPages`.
    Pages,
    /// `FineTunedTrainingHours`.
    TrainingHours,
    /// `RealtimeUsageTime`.
    RealtimeTime,
    /// `RAITotalRequests` and the content safety counts: requests a filter looked at.
    FilterRequests,
    /// `RAIRejectedRequests`: requests a filter refused.
    FilterRejected,
    /// `RAIHarmfulRequests`: requests a filter found harmful.
    FilterHarmful,
    /// `RAISystemEvent`.
    FilterSystem,
    /// Times and rates of answers.
    Latency,
    /// Use of provisioned throughput in percent, above 100 when calls are turned away: an average,
    /// with no meaning as a total. Never exported, only to be asked for.
    ProvisionedUtilization,
    /// Share of calls that did not fail in the service, in percent: an average. Never exported.
    Availability,
    /// Share of prompt tokens found in the cache of provisioned throughput, in percent: an average.
    /// Never exported.
    CacheMatchRate,
    /// `TotalCalls` and its family, which Microsoft says not to use for Azure OpenAI.
    LegacyHttp,
    /// Any other metric.
    Other,
}

impl Signal {
    /// True for what has an average and a maximum, but no meaning as a total.
    #[must_use]
    pub const fn is_rate(self) -> bool {
        match self {
            Self::Latency
            | Self::ProvisionedUtilization
            | Self::Availability
            | Self::CacheMatchRate => true,
            Self::InputTokens
            | Self::OutputTokens
            | Self::TotalTokens
            | Self::CacheReadTokens
            | Self::CacheWriteTokens
            | Self::Requests
            | Self::OpenAiInputTokens
            | Self::OpenAiOutputTokens
            | Self::OpenAiTotalTokens
            | Self::OpenAiRequests
            | Self::ProvisionedTokens
            | Self::AudioTokens
            | Self::Images
            | Self::Pages
            | Self::TrainingHours
            | Self::RealtimeTime
            | Self::FilterRequests
            | Self::FilterRejected
            | Self::FilterHarmful
            | Self::FilterSystem
            | Self::LegacyHttp
            | Self::Other => false,
        }
    }
}

/// An alert of Defender for Cloud. It is corroboration, and comes minutes to hours later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Alert {
    /// Defender's own id. The same alert comes again when its status changes.
    pub id: String,
    /// Type, such as `AI.Azure_DOWVolumeAnomaly`.
    pub kind: String,
    /// Name for people.
    pub name: String,
    /// Severity.
    pub severity: Level,
    /// Status, such as `New` or `Dismissed`; empty when absent.
    pub status: String,
    /// Stage of the attack in Defender's words, such as `Impact`; empty when absent.
    pub intent: String,
    /// When the alert was raised, or else when it ended or began; `None` when none is said.
    pub at: Option<EventTime>,
    /// First activity.
    pub start: Option<EventTime>,
    /// Last activity.
    pub end: Option<EventTime>,
    /// Azure resource id, lower case; empty when absent.
    pub resource: String,
    /// Deployment the alert names, lower case; empty when it names none.
    pub deployment: String,
    /// Networks of the addresses involved, at most [`Alert::MAX_ENTITIES`].
    pub networks: Vec<String>,
    /// Entra object ids involved, at most [`Alert::MAX_ENTITIES`].
    pub identities: Vec<String>,
}

impl Alert {
    /// Networks and identities kept of one alert.
    pub const MAX_ENTITIES: usize = 16;

    /// True for the alerts of the plan for AI services.
    #[must_use]
    pub fn is_ai(&self) -> bool {
        self.kind.get(..3).is_some_and(|start| start.eq_ignore_ascii_case("AI."))
    }
}

/// Severity as others name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Not said, or a word not known.
    Unknown,
    /// Informational.
    Informational,
    /// Low.
    Low,
    /// Medium.
    Medium,
    /// High.
    High,
}

/// How something stands against a rule.
#[derive(Debug, Clone, PartialEq)]
pub struct Posture {
    /// Who says so.
    pub source: PostureSource,
    /// What happened to the statement.
    pub change: PostureChange,
    /// Azure resource id of what was judged, lower case; of the standard for compliance, which is
    /// about no single resource.
    pub resource: String,
    /// Id of the rule: assessment, control or policy definition, lower case.
    pub rule: String,
    /// Name of the rule for people; empty when absent.
    pub name: String,
    /// The verdict.
    pub state: Standing,
    /// Severity of the rule.
    pub severity: Level,
    /// Policy assignment that asked, lower case; empty when absent.
    pub assignment: String,
    /// When the verdict changed; `None` when the record does not say.
    pub at: Option<EventTime>,
    /// Share reached, 0 to 1: passed of all judged resources, or points of a secure score.
    pub share: Option<f64>,
    /// Resources that failed, where it is about several.
    pub failed: Option<u32>,
    /// True for the periodic copy of everything, which is no news.
    pub snapshot: bool,
}

/// Who judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PostureSource {
    /// A recommendation of Defender for Cloud.
    Assessment,
    /// A finding under a recommendation.
    SubAssessment,
    /// The secure score or one of its controls.
    SecureScore,
    /// A control of a regulatory standard.
    Compliance,
    /// Azure Policy, by Event Grid.
    Policy,
}

/// What happened to a verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PostureChange {
    /// It is new or different, or only repeated.
    Set,
    /// It no longer exists.
    Deleted,
}

/// A verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// The rule is kept.
    Healthy,
    /// The rule is broken.
    Unhealthy,
    /// The rule does not apply, or the resource is exempt.
    NotApplicable,
    /// Not said, or a word not known.
    Unknown,
}

/// A call to an online endpoint of Azure Machine Learning. Neither tokens nor caller addresses exist.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointCall {
    /// Azure resource id of the endpoint, lower case.
    pub resource: String,
    /// When.
    pub at: EventTime,
    /// Endpoint, lower case; empty when absent.
    pub endpoint: String,
    /// Deployment, lower case; empty when absent.
    pub deployment: String,
    /// How the caller proved who it is; the only log that says so.
    pub auth: Auth,
    /// Entra object id of the caller; empty for keys.
    pub identity: String,
    /// HTTP status the caller got; 0 when absent.
    pub status: u16,
    /// HTTP status of the model; 0 when absent.
    pub model_status: u16,
    /// Size of the request's body in bytes.
    pub request_bytes: Option<u64>,
    /// Size of the response's body in bytes.
    pub response_bytes: Option<u64>,
    /// How long the call took, in milliseconds.
    pub duration_ms: Option<u32>,
}

/// How a caller proved who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Auth {
    /// An endpoint key.
    Key,
    /// A token of the machine learning service.
    AmlToken,
    /// A token of Entra ID.
    AadToken,
    /// Not said, or a word not known.
    Unknown,
}

/// An operation of AI Search. Who called is not said; what was searched for is not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchCall {
    /// Azure resource id, lower case.
    pub resource: String,
    /// When.
    pub at: EventTime,
    /// Operation, such as `Query.Search`.
    pub operation: String,
    /// Index, lower case; empty when absent.
    pub index: String,
    /// HTTP status; 0 when absent.
    pub status: u16,
    /// How long it took, in milliseconds.
    pub duration_ms: Option<u32>,
    /// Documents returned or written.
    pub documents: Option<u64>,
}

/// A record of a known kind that is only counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Opaque {
    /// Azure resource id, lower case; empty when absent.
    pub resource: String,
    /// When; `None` when absent.
    pub at: Option<EventTime>,
    /// Operation or metric it names; empty when absent.
    pub operation: String,
}
