//! Inventory by REST: parts of what our own poller found, in the form it writes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::envelope::MAX_RECORDS;
use super::field::{FieldError, Fields, elements};
use super::{Decoder, Read, Record, text};
use crate::event::Event;
use crate::event::inventory::{Found, List, Snapshot};
use crate::time::EventTime;

/// What the poller of `[resource_graph]` hands over.
pub(super) const DECODER: Decoder = Decoder {
    name: "Inventory by REST",
    is: |category, _| category == Snapshot::CATEGORY,
    read: Read::With(decode),
    reads: "how accounts, deployments, content filters, connections, private endpoints, diagnostic settings, role and policy assignments and locks are set",
    cannot_tell: "who changed what, and when within the time between two polls; keys and secrets are never asked for",
};

/// Longest element in bytes of JSON: an account with everything it says has some kibibytes.
const MAX_ELEMENT_BYTES: usize = 16 * 1024;

/// Reads a part. Elements that cannot be read are left out; then no list counts as read to its end.
fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    let wrong = |path: &str| FieldError::new(path, "is missing or not as it is written");
    let held = record.fields.nested("snapshot").ok_or_else(|| wrong("snapshot"))?;
    let snapshot = Fields::read(&held).ok_or_else(|| wrong("snapshot"))?;
    let subscription = snapshot.text("subscription").map(|text| text::id(&text));
    let subscription = subscription.filter(|id| !id.is_empty());
    let (found, is_whole) = list::<Found>(&snapshot, "found").ok_or_else(|| wrong("found"))?;
    let (whole, _) = list::<List>(&snapshot, "whole").ok_or_else(|| wrong("whole"))?;
    Ok(Event::Inventory(Box::new(Snapshot {
        subscription: subscription.ok_or_else(|| wrong("subscription"))?,
        at: EventTime(snapshot.count("at").ok_or_else(|| wrong("at"))?),
        part: snapshot.count("part").ok_or_else(|| wrong("part"))?,
        found,
        whole: if is_whole { whole } else { Vec::new() },
    })))
}

/// The elements of a list that can be read, and whether these are all.
fn list<T: DeserializeOwned + Serialize>(
    fields: &Fields<'_>,
    name: &str,
) -> Option<(Vec<T>, bool)> {
    let mut read = Vec::new();
    let held = fields.raw(name)?.get();
    let count = elements(held, MAX_RECORDS, &mut |text| read.extend(element(text)))?;
    let is_whole = read.len() == count;
    Some((read, is_whole))
}

/// An element whose texts are as clean as we write them.
fn element<T: DeserializeOwned + Serialize>(text: &str) -> Option<T> {
    let element = serde_json::from_str(text).ok().filter(|_| text.len() <= MAX_ELEMENT_BYTES)?;
    let written = serde_json::to_string(&element).ok()?;
    // JSON writes what controls as an escape, and only that and quotes.
    let is_clean = !written.chars().any(text::is_hidden)
        && !["\\u", "\\n", "\\r", "\\t", "\\b", "\\f"].iter().any(|mark| written.contains(mark));
    is_clean.then_some(element)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::decode;
    use crate::event::control::{AccountState, Changed, Target};

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
    fn what_cannot_be_read_costs_no_sibling_but_no_list_is_whole_then() {
        let account = r#"{"resource":"/a","target":"Account","to":{"Account":ACCOUNT}}"#;
        let state = serde_json::to_string(&AccountState::default()).unwrap();
        let account = account.replace("ACCOUNT", &state);
        let list = r#"{"target":"Account","of":"/subscriptions/s"}"#;
        let hidden = account.replace("/a", "/a\\u202e");
        for (found, read, lists) in [
            (account.clone(), 1, 1),
            (format!("{account},{account}"), 2, 1),
            (format!("{account},{{\"target\":\"Later\"}}"), 1, 0),
            (format!("{account},{hidden}"), 1, 0),
        ] {
            let body = format!(
                r#"{{"category":"tokenwatch.inventory","snapshot":{{"subscription":"s","at":1,"part":0,
                "found":[{found}],"whole":[{list}]}}}}"#
            );
            let decoded = decode(body.as_bytes());
            let [Event::Inventory(part)] = decoded.events.as_slice() else { panic!("{decoded:?}") };
            assert_eq!((part.found.len(), part.whole.len()), (read, lists), "{found}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for snapshot in
            ["null", "7", "{}", r#"{"subscription":"s","at":"x","part":0,"found":[],"whole":[]}"#]
        {
            let body = format!(r#"{{"category":"tokenwatch.inventory","snapshot":{snapshot}}}"#);
            let decoded = decode(body.as_bytes());
            let reason = &decoded.rejected[0].reason;
            assert_eq!((decoded.events.len(), reason.contains("as it is written")), (0, true));
        }
    }
}
