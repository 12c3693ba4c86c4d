//! `GatewayLogs` of API Management: who called through the gateway, and how it ended.

use super::field::FieldError;
use super::{Decoder, Read, Record, fingerprint, gateway_body, text};
use crate::event::Event;
use crate::event::gateway::{Backend, Causes, GatewayCall, GatewaySource};

/// `GatewayLogs` of an API gateway.
pub(super) const DECODER: Decoder = Decoder {
    name: "GatewayLogs",
    is: |category, _| {
        ["GatewayLogs", "ApiManagementGatewayLogs"]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(category))
    },
    read: Read::With(decode),
    reads: "caller's network, status, duration, API, subscription, product and user of the gateway, backend and deployment; from a logged body only token counts and what the content filter said",
    cannot_tell: "the account's own correlation id; the deployment on `/openai/v1` and `/models` routes; calls that bypass the gateway",
};

/// Reads one call. Bodies are looked at for counts and verdicts and dropped.
///
/// # Errors
/// No resource or no time.
fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    let gateway = record.resource()?;
    let status = record.status("responseCode");
    let bodies = ["backendResponseBody", "responseBody"];
    let body = bodies.iter().find_map(|name| record.properties.nested(name));
    let body = match body {
        Some(body) => gateway_body::read(&body),
        None => {
            let text = record.find(&bodies).unwrap_or_default();
            gateway_body::Body { filter: gateway_body::refused(&text), ..Default::default() }
        }
    };
    let to = record.find(&["backendUrl"]).unwrap_or_default();
    let mut backend = backend(&to);
    backend.id = record.name(&["backendId"]);
    if backend.deployment.is_empty() {
        backend.deployment = deployment_in(&record.find(&["url"]).unwrap_or_default());
    }
    Ok(Event::Gateway(Box::new(GatewayCall {
        call: call(&gateway, record),
        at: Some(record.time()?),
        network: record.network(&["callerIpAddress"]),
        status,
        backend_status: record.status("backendResponseCode"),
        duration_ms: record.fields.count("durationMs").or_else(|| record.count("totalTime")),
        request_bytes: record.count("requestSize"),
        response_bytes: record.count("responseSize"),
        operation: record.name(&["operationId"]),
        backend,
        model: body.model,
        tokens: body.tokens,
        filter: body.filter,
        ..blank(GatewaySource::Log, gateway, record)
    })))
}

/// What the logs of a gateway have in common; everything else absent.
pub(super) fn blank(source: GatewaySource, gateway: String, record: &Record<'_>) -> GatewayCall {
    let nobody = |names: &[&str]| text::nobody(&record.find(names).unwrap_or_default());
    GatewayCall {
        source,
        gateway,
        call: 0,
        at: None,
        network: String::new(),
        status: 0,
        backend_status: 0,
        duration_ms: None,
        request_bytes: None,
        response_bytes: None,
        operation: String::new(),
        api: record.name(&["apiId"]),
        subscription: nobody(&["apimSubscriptionId", "subscriptionId"]),
        product: record.name(&["productId", "productName"]),
        user: nobody(&["userId", "endUserId"]),
        backend: Backend::default(),
        model: String::new(),
        tokens: None,
        filter: None,
        probe: false,
        sequence: 0,
    }
}

/// What joins the logs of one call: hash of the gateway and its correlation id, or of the record
/// when that is empty.
pub(super) fn call(gateway: &str, record: &Record<'_>) -> u128 {
    let top = record.fields.first_text(&["correlationId"]);
    let id = top.or_else(|| record.properties.first_text(&["correlationId"]));
    match id.as_deref().map(str::trim) {
        Some(id) if !id.is_empty() => fingerprint(&["gateway", gateway, &id.to_lowercase()]),
        Some(_) | None => fingerprint(&["record", record.text]),
    }
}

/// Ends of host names under which AI accounts are reached; what stands before is the account's
/// subdomain, which is its name unless somebody chose another.
const ACCOUNT_HOSTS: [&str; 7] = [
    ".openai.azure.com",
    ".cognitiveservices.azure.com",
    ".services.ai.azure.com",
    ".openai.azure.us",
    ".cognitiveservices.azure.us",
    ".openai.azure.cn",
    ".cognitiveservices.azure.cn",
];

/// Host, account and deployment of a URL; its query is dropped.
fn backend(url: &str) -> Backend {
    let host = text::host(url);
    let before = ACCOUNT_HOSTS.iter().find_map(|end| host.strip_suffix(end));
    let account = before.and_then(|before| before.split('.').next()).unwrap_or_default();
    Backend { id: String::new(), account: account.to_owned(), deployment: deployment_in(url), host }
}

/// The path segment after `deployments`; empty when there is none.
fn deployment_in(url: &str) -> String {
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let mut segments = path.split('/').skip_while(|part| !part.eq_ignore_ascii_case("deployments"));
    text::name(segments.nth(1).unwrap_or_default())
}

impl Causes {
    /// Notes that the category called `name` refused.
    pub(super) fn add(&mut self, name: &str) {
        match name {
            "hate" => self.hate = true,
            "self_harm" => self.self_harm = true,
            "sexual" => self.sexual = true,
            "violence" => self.violence = true,
            "jailbreak" | "indirect_attack" => self.jailbreak = true,
            "custom_blocklists" | "profanity" => self.blocklist = true,
            "protected_material_text" | "protected_material_code" => self.protected = true,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backends_are_taken_apart() {
        for (url, account, deployment) in [
            (
                "https://AIF-Prod.openai.azure.com/openai/deployments/Chat-Mini/chat/completions?api-version=1&api-key=secret",
                "aif-prod",
                "chat-mini",
            ),
            ("https://aif-prod.services.ai.azure.com/models/chat/completions", "aif-prod", ""),
            ("https://aif-prod.openai.azure.com/openai/v1/responses", "aif-prod", ""),
            (
                "wss://aif-prod.cognitiveservices.azure.com:443/openai/deployments/rt",
                "aif-prod",
                "rt",
            ),
            ("https://aif.privatelink.openai.azure.com/x", "aif", ""),
            ("https://eastus.api.cognitive.microsoft.com/openai/deployments/d/x", "", "d"),
            ("https://api.example/v1/messages", "", ""),
            ("", "", ""),
        ] {
            let found = backend(url);
            assert_eq!((&*found.account, &*found.deployment), (account, deployment), "{url}");
            assert!(!format!("{found:?}").contains("secret"), "{url}");
        }
    }
}
