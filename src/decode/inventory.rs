//! Inventory by REST: parts of what our own poller found, in the form it writes.

use serde_json::value::RawValue;

use super::field::FieldError;
use super::{Decoder, Read, Record};
use crate::event::Event;
use crate::event::inventory::Snapshot;

/// What the poller of `[resource_graph]` hands over.
pub(super) const DECODER: Decoder = Decoder {
    name: "Inventory by REST",
    is: |category, _| category == Snapshot::CATEGORY,
    read: Read::With(decode),
    reads: "how accounts, deployments, private endpoints, diagnostic settings, role and policy assignments are set",
    cannot_tell: "who changed what, and when within the time between two polls; keys and secrets are never asked for",
};

fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    let held = record.fields.raw("snapshot").map(RawValue::get);
    let held = held.ok_or_else(|| FieldError::new("snapshot", "is missing"))?;
    let snapshot: Snapshot = serde_json::from_str(held)
        .map_err(|error| FieldError::new("snapshot", error.to_string()))?;
    Ok(Event::Inventory(Box::new(snapshot)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode;
    use crate::event::control::{AccountState, Changed, Target};
    use crate::event::inventory::{Found, List};
    use crate::time::EventTime;

    #[test]
    fn what_is_written_is_read() {
        let account =
            "/subscriptions/s/resourcegroups/g/providers/microsoft.cognitiveservices/accounts/a";
        let state = AccountState { local_auth_disabled: Some(true), ..AccountState::default() };
        let found = Found {
            resource: account.to_owned(),
            target: Target::Account,
            created: Some(EventTime(1)),
            to: Changed::Account(state),
        };
        let whole = vec![List { target: Target::Account, of: "/subscriptions/s".to_owned() }];
        assert_eq!(whole, [found.list("s")]);
        let deployment = Found {
            resource: format!("{account}/deployments/chat"),
            target: Target::Deployment,
            ..found.clone()
        };
        assert_eq!(deployment.list("s").of, account);
        let snapshot = Snapshot {
            subscription: "s".to_owned(),
            at: EventTime(7),
            part: 0,
            found: vec![found, deployment],
            whole,
        };
        let decoded = decode(&snapshot.body().unwrap());
        assert_eq!(decoded.events, [Event::Inventory(Box::new(snapshot))]);
    }

    #[test]
    fn anything_else_is_refused() {
        for (body, reason) in [
            (r#"{"category":"tokenwatch.inventory"}"#, "is missing"),
            (r#"{"category":"tokenwatch.inventory","snapshot":{"at":1}}"#, "missing field"),
            (r#"{"category":"tokenwatch.inventory","snapshot":7}"#, "invalid type"),
        ] {
            let decoded = decode(body.as_bytes());
            assert!(decoded.rejected[0].reason.contains(reason), "{:?}", decoded.rejected);
        }
    }
}
