//! `AmlOnlineEndpointTrafficLog`: calls to online endpoints of Azure Machine Learning.

use super::field::{FieldError, Fields};
use super::{Decoder, Read, Record, text};
use crate::event::Event;
use crate::event::signal::{Auth, EndpointCall};

/// Traffic of an online endpoint.
pub(super) const DECODER: Decoder = Decoder {
    name: "AmlOnlineEndpointTrafficLog",
    is: |category, _| category.eq_ignore_ascii_case("AmlOnlineEndpointTrafficLog"),
    read: Read::With(decode),
    reads: "endpoint, deployment, status, bytes, duration, and whether the caller used a key or a token",
    cannot_tell: "tokens, models and the caller's address",
};

/// Reads one call.
///
/// # Errors
/// No resource or no time.
fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    let auth = match record.lower(&["authType"]).as_str() {
        "key" => Auth::Key,
        "amltoken" | "aml_token" => Auth::AmlToken,
        "aadtoken" | "aad_token" => Auth::AadToken,
        _ => Auth::Unknown,
    };
    Ok(Event::Endpoint(Box::new(EndpointCall {
        resource: record.resource()?,
        at: record.time()?,
        endpoint: record.lower(&["endpointName"]),
        deployment: record.lower(&["deploymentName"]),
        auth,
        identity: identity(record),
        status: record.status("responseCode"),
        model_status: record.status("modelStatusCode"),
        request_bytes: record.count("requestPayloadSize"),
        response_bytes: record.count("responsePayloadSize"),
        duration_ms: record.count("totalDurationMs"),
    })))
}

/// The object id in `identityData`, which is one or an object that holds one; anything else is not
/// kept.
fn identity(record: &Record<'_>) -> String {
    let found = match record.properties.nested("identityData") {
        Some(object) => Fields::read(&object)
            .and_then(|fields| Some(fields.first_text(&["objectId", "oid"])?.into_owned())),
        None => record.find(&["identityData"]).map(std::borrow::Cow::into_owned),
    };
    let id = text::id(&found.unwrap_or_default());
    let is_guid = id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
    if is_guid { id } else { String::new() }
}
