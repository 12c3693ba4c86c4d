//! `GatewayLlmLogs` of API Management: tokens of a call through the gateway.

use super::field::FieldError;
use super::{Decoder, Read, Record, gateway, text};
use crate::event::gateway::{Backend, GatewayCall, GatewaySource};
use crate::event::{Event, Tokens};

/// `GatewayLlmLogs` of an API gateway.
pub(super) const DECODER: Decoder = Decoder {
    name: "GatewayLlmLogs",
    is: |category, _| {
        ["GatewayLlmLogs", "ApiManagementGatewayLlmLog"]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(category))
    },
    read: Read::With(decode),
    reads: "prompt, completion and cached tokens, deployment and model of a call through the gateway; messages are dropped",
    cannot_tell: "caller and subscription (they are in `GatewayLogs` under the same id), and cache writes",
};

/// Reads one entry.
///
/// # Errors
/// No resource, no time, or a token count that is none.
fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    let gateway = record.resource()?;
    let model = record.lower(&["modelName"]);
    let tokens = tokens(record, &model)?.filter(|tokens| *tokens != Tokens::default());
    let probe = tokens.is_none() && record.find(&["requestId"]).is_none();
    // At the top stands the name of the log.
    let operation = record.name(&["operationName"]);
    let is_log = text::begins(&operation, "Microsoft.ApiManagement/");
    Ok(Event::Gateway(Box::new(GatewayCall {
        call: gateway::call(&gateway, record),
        at: Some(record.time()?),
        operation: if is_log { String::new() } else { operation },
        backend: Backend { deployment: record.lower(&["deploymentName"]), ..Backend::default() },
        model,
        tokens,
        probe,
        sequence: record.count("sequenceNumber").unwrap_or(0),
        ..gateway::blank(GatewaySource::Llm, gateway, record)
    })))
}

/// Tokens with the cached ones inside the input, as everywhere here.
fn tokens(record: &Record<'_>, model: &str) -> Result<Option<Tokens>, FieldError> {
    let count = |name| match record.properties.tokens(name)? {
        None => record.fields.tokens(name),
        found => Ok(found),
    };
    let (input, output) = (count("promptTokens")?, count("completionTokens")?);
    let cached = count("promptCachedTokens")?.unwrap_or(0);
    if input.is_none() && output.is_none() {
        return Ok(None);
    }
    let input = input.unwrap_or(0);
    // Anthropic counts what the cache served beside the prompt, OpenAI inside.
    let beside = if cached > input || model.starts_with("claude") { cached } else { 0 };
    Ok(Some(Tokens { input: input + beside, cached, output: output.unwrap_or(0) }))
}
