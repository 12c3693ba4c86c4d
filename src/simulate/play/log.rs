//! Operations on resources as the activity log tells them: a record when one begins, and one when it ends.

use serde_json::{Value, json};

use super::super::fleet::guid;
use super::super::record::seven_digits;
use super::stage::Person;
use crate::time::MINUTE_MS;

/// What is done to a resource.
#[derive(Debug, Clone)]
pub(super) struct Operation<'a> {
    /// Azure resource id.
    pub(super) resource: &'a str,
    /// Such as `Microsoft.CognitiveServices/accounts/write`.
    pub(super) what: &'a str,
    /// What is set.
    pub(super) body: Option<Value>,
    /// How it ends.
    pub(super) outcome: Outcome,
}

/// How an operation ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It is done.
    Done,
    /// It is refused.
    Refused,
}

/// Records with their delay from `at_ms` to the hub. The body stands in the first, in the last or in both,
/// and some records come twice, as Azure has it.
pub(super) fn records(
    at_ms: i64,
    who: &Person,
    operation: &Operation<'_>,
    tenant: &str,
    random: &mut fastrand::Rng,
) -> Vec<(i64, String)> {
    let correlation = guid(random);
    let host = random.u8(1..255);
    let took_ms = random.i64(200..20_000);
    let (asked, came) = match (operation.outcome, random.u8(0..3)) {
        (Outcome::Refused, _) | (Outcome::Done, 0) => (true, false),
        (Outcome::Done, 1) => (false, true),
        (Outcome::Done, _) => (true, true),
    };
    let end = match operation.outcome {
        Outcome::Done => ("Success", "Succeeded.OK"),
        Outcome::Refused => ("Failure", "Failed.Forbidden"),
    };
    let parts = [
        (0, ("Start", "Started."), asked.then_some("requestbody")),
        (took_ms, end, came.then_some("responseBody")),
    ];
    let mut rows = Vec::with_capacity(3);
    for (after_ms, outcome, place) in parts {
        let address = format!("{}.{host}", who.network);
        let mut record = json!({
            "time": seven_digits(at_ms + after_ms),
            "resourceId": operation.resource.to_uppercase(),
            "operationName": operation.what.to_uppercase(),
            "category": "Administrative",
            "resultType": outcome.0,
            "resultSignature": outcome.1,
            "durationMs": "0",
            "callerIpAddress": address,
            "correlationId": correlation,
            "identity": identity(who, operation, tenant, &address),
            "level": "Information",
            "properties": { "eventCategory": "Administrative", "entity": operation.resource,
                            "message": operation.what },
            "tenantId": tenant,
        });
        let body = place.zip(operation.body.as_ref());
        let properties = record.get_mut("properties").and_then(Value::as_object_mut);
        if let (Some((name, body)), Some(properties)) = (body, properties) {
            properties.insert(name.to_owned(), json!(body.to_string()));
        }
        let text = record.to_string();
        let delay = after_ms + random.i64(2 * MINUTE_MS..6 * MINUTE_MS);
        if random.u32(0..20) == 0 {
            rows.push((delay + random.i64(0..MINUTE_MS), text.clone()));
        }
        rows.push((delay, text));
    }
    rows
}

fn identity(who: &Person, operation: &Operation<'_>, tenant: &str, address: &str) -> Value {
    let kind = if who.user.is_some() { "User" } else { "ServicePrincipal" };
    let mut claims = json!({
        "appid": who.application,
        "appidacr": if who.user.is_some() { "0" } else { "2" },
        "ipaddr": address,
        "http://schemas.microsoft.com/identity/claims/objectidentifier": who.object,
        "http://schemas.microsoft.com/identity/claims/tenantid": tenant,
    });
    if let (Some(user), Some(claims)) = (&who.user, claims.as_object_mut()) {
        let upn = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn";
        claims.insert(upn.to_owned(), json!(user));
    }
    json!({
        "authorization": {
            "scope": operation.resource,
            "action": operation.what,
            "evidence": { "role": "Contributor", "principalId": who.object.replace('-', ""),
                          "principalType": kind },
        },
        "claims": claims,
    })
}
