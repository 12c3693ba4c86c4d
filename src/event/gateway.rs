//! What API Management says of the calls that pass through it.

use super::Tokens;
use crate::time::EventTime;

/// A call through a gateway, as one of its logs tells it. Two logs of one call share `call`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayCall {
    /// Which log.
    pub source: GatewaySource,
    /// Azure resource id of the gateway, or its host name where the log has no id; lower case.
    pub gateway: String,
    /// Hash of gateway and correlation id. It is the gateway's own id, never the account's.
    pub call: u128,
    /// When the record was written; `None` when absent or unreadable. Policies of operators write
    /// it in the gateway's own culture: believe it only near the arrival.
    pub at: Option<EventTime>,
    /// Caller's network; empty when absent.
    pub network: String,
    /// HTTP status the caller got; 0 when absent.
    pub status: u16,
    /// HTTP status of the backend; 0 when absent or when it was never asked.
    pub backend_status: u16,
    /// How long the call took, in milliseconds; `None` when absent or negative.
    pub duration_ms: Option<u32>,
    /// Size of the request in bytes.
    pub request_bytes: Option<u64>,
    /// Size of the response in bytes.
    pub response_bytes: Option<u64>,
    /// Operation of the API, such as `ChatCompletions_Create`; empty when absent.
    pub operation: String,
    /// API; empty when absent.
    pub api: String,
    /// Subscription of the gateway, which stands for a team or an application; empty when absent.
    pub subscription: String,
    /// Product; empty when absent.
    pub product: String,
    /// User of the gateway; a mail address becomes its hash. Empty when absent.
    pub user: String,
    /// Where the call was sent.
    pub backend: Backend,
    /// Model, lower case; empty when absent.
    pub model: String,
    /// Tokens; `None` when the record carries none, or zeros in place of them.
    pub tokens: Option<Tokens>,
    /// What a content filter said; `None` when the record does not tell.
    pub filter: Option<Filter>,
    /// True for the rows without request id and tokens that gateways write beside real ones.
    pub probe: bool,
    /// Number of the entry: long messages are split into several with the same tokens, which count
    /// once per call.
    pub sequence: u32,
}

/// Which log of a gateway a record comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GatewaySource {
    /// `GatewayLogs`: who called, with what result.
    Log,
    /// `GatewayLlmLogs`: tokens.
    Llm,
    /// An object that a policy of the operator sends.
    Pushed,
}

/// Where a gateway sent a call.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Backend {
    /// Name of the backend in the gateway; empty when absent.
    pub id: String,
    /// Host, lower case; empty when absent.
    pub host: String,
    /// Name the host gives the AI account (its subdomain), lower case; empty for hosts of a region
    /// and for hosts that are none of Azure AI.
    pub account: String,
    /// Deployment, lower case; empty where the path has none (`/openai/v1`, `/models`).
    pub deployment: String,
}

/// What a content filter said of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Filter {
    /// The call was refused.
    pub blocked: bool,
    /// Categories that refused it.
    pub causes: Causes,
}

/// Categories of a content filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Causes {
    /// Hate.
    pub hate: bool,
    /// Self-harm.
    pub self_harm: bool,
    /// Sexual content.
    pub sexual: bool,
    /// Violence.
    pub violence: bool,
    /// An attempt to get around the rules, in the prompt or in a document.
    pub jailbreak: bool,
    /// A block list of the operator.
    pub blocklist: bool,
    /// Protected text or code.
    pub protected: bool,
}

/// Tokens a gateway metered into Application Insights, perhaps of several calls and sampled.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenMeter {
    /// Azure resource id of the Application Insights component, lower case.
    pub resource: String,
    /// When.
    pub at: EventTime,
    /// What was counted.
    pub counted: Counted,
    /// Sum of the tokens.
    pub sum: f64,
    /// Smallest value.
    pub min: Option<f64>,
    /// Largest value.
    pub max: Option<f64>,
    /// Calls this stands for; `None` when absent.
    pub items: Option<u64>,
    /// Name of the gateway and its region; empty when absent.
    pub gateway: String,
    /// API; empty when the operator did not ask for this dimension, as are all that follow.
    pub api: String,
    /// Operation.
    pub operation: String,
    /// Subscription of the gateway.
    pub subscription: String,
    /// Product.
    pub product: String,
    /// User of the gateway; a mail address becomes its hash.
    pub user: String,
    /// Name of the backend.
    pub backend: String,
    /// Deployment, lower case.
    pub deployment: String,
    /// Model, lower case.
    pub model: String,
    /// Caller's network.
    pub network: String,
}

/// What a token meter counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Counted {
    /// Prompt tokens.
    Prompt,
    /// Completion tokens.
    Completion,
    /// Both: never add it to the two others.
    Total,
    /// Prompt tokens served from the cache.
    Cached,
}
