//! What a gateway's `log-to-eventhub` policy sends: an object of the operator's own making, one per
//! event.

use super::field::{FieldError, Fields};
use super::{Decoder, Read, Record, fingerprint, gateway, text};
use crate::event::gateway::{Backend, GatewayCall, GatewaySource};
use crate::event::{Event, Tokens};
use crate::time::{self, EventTime};

/// Usage objects of the `log-to-eventhub` policy.
pub(super) const DECODER: Decoder = Decoder {
    name: "log-to-eventhub usage",
    is: |category, fields| {
        let any = |names: &[&str]| names.iter().any(|name| fields.raw(name).is_some());
        category.is_empty() && any(&["promptTokens", "totalTokens"]) && any(&SIGNS)
    },
    read: Read::With(decode),
    reads: "tokens, subscription, product, model, deployment, backend and caller's network of a call, as the common accelerator's policy writes them",
    cannot_tell: "status, streamed calls, and usage the gateway did not see (the policy writes one prompt token then: taken as unknown); keys of other policies",
};

/// Members of the common accelerator that nothing else has without a category.
const SIGNS: [&str; 4] = ["gatewayName", "deploymentName", "backendId", "productName"];

/// Reads one object.
///
/// # Errors
/// A token count that is none.
fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    let gateway = record.lower(&["gatewayName"]);
    let id = said(&record.fields, &["id", "correlationId", "requestId"]);
    let call = match id.as_str() {
        "" => fingerprint(&["record", record.text]),
        id => fingerprint(&["gateway", &gateway, id]),
    };
    let at = record.fields.first_text(&["timestamp", "time", "eventTime"]);
    let fields = &record.fields;
    Ok(Event::Gateway(Box::new(GatewayCall {
        call,
        at: at.and_then(|text| time::parse(&text)).map(EventTime),
        network: record.network(&["RequestIp", "callerIpAddress", "clientIp"]),
        operation: record.name(&["operationName", "targetService"]),
        api: said(fields, &["apiId", "apiName"]),
        subscription: text::nobody(&said(fields, &["subscriptionId", "apimSubscriptionId"])),
        product: said(fields, &["productName", "productId"]),
        user: text::nobody(&said(fields, &["endUserId", "userId", "appId"])),
        backend: Backend {
            id: said(fields, &["backendId"]),
            deployment: record.lower(&["deploymentName"]),
            ..Backend::default()
        },
        model: record.lower(&["model", "modelName"]),
        tokens: tokens(fields)?,
        ..gateway::blank(GatewaySource::Pushed, gateway, record)
    })))
}

/// A text that is not the policy's word for nothing.
fn said(fields: &Fields<'_>, names: &[&str]) -> String {
    let found = fields.first_text(names).unwrap_or_default();
    let cleaned = text::clean(&found, text::MAX_NAME_CHARS);
    if cleaned.eq_ignore_ascii_case("NA") { String::new() } else { cleaned }
}

fn tokens(fields: &Fields<'_>) -> Result<Option<Tokens>, FieldError> {
    let input = fields.tokens("promptTokens")?;
    let output = match fields.tokens("responseTokens")? {
        None => fields.tokens("completionTokens")?,
        found => found,
    };
    let cached = fields.tokens("cachedTokens")?.unwrap_or(0);
    Ok(match (input, output.unwrap_or(0)) {
        // What the policy writes where the answer held no usage.
        (Some(1), 0 | 1) => None,
        (None, 0) if output.is_none() => None,
        (input, output) => Some(Tokens { input: input.unwrap_or(0), cached, output }),
    })
}
