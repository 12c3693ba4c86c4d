//! Bodies of Azure Resource Manager's GET, read by the code that reads them in the activity log.
//!
//! A state read here and one read there are equal where the bodies are.

use std::collections::BTreeMap;

use super::change::{self, Body, account, inside, name};
use super::field::{Fields, MAX_ELEMENTS, elements};
use super::text;
use crate::event::control::{AccountState, Changed, EndpointState, Target};
use crate::time::{self, EventTime};

/// What a resource calls itself.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Named {
    /// Resource id, lower case.
    pub id: String,
    /// Name, as it is written.
    pub name: String,
    /// When it was made, if the body says so.
    pub created: Option<EventTime>,
}

/// Id, name and age; `None` for what is no resource.
#[must_use]
pub fn named(body: &str) -> Option<Named> {
    let fields = Fields::read(body)?;
    let id = text::resource(&fields.text("id")?);
    let name = name(&fields, "name");
    let made = |holder: &str, member: &str| inside(&fields, holder, |held| moment(held, member));
    let created = made("systemData", "createdAt")
        .or_else(|| made("properties", "dateCreated"))
        .or_else(|| made("properties", "creationTime"));
    (!id.is_empty() && !name.is_empty()).then_some(Named { id, name, created })
}

fn moment(fields: &Fields<'_>, member: &str) -> Option<EventTime> {
    fields.text(member).and_then(|text| time::parse(&text)).map(EventTime)
}

/// The state of a resource of one kind; `None` when the body says nothing of interest.
#[must_use]
pub fn state(body: &str, target: Target) -> Option<Changed> {
    change::changed(&Body::read(body)?, target)
}

/// An AI account.
#[must_use]
pub fn ai_account(body: &str) -> Option<AccountState> {
    let body = Body::read(body)?;
    Some(account(&body.fields, &body.properties()?))
}

/// A search service in the words of an account: it has no default action, but as soon as it has
/// rules for addresses every other address is kept out.
#[must_use]
pub fn search_service(body: &str) -> Option<AccountState> {
    let body = Body::read(body)?;
    let properties = body.properties()?;
    let mut state = account(&body.fields, &properties);
    state.network.open_by_default = state.network.addresses.map(|rules| rules.count == 0);
    state.customer_key = inside(&properties, "encryptionWithCmk", |held| {
        match name(held, "enforcement").to_ascii_lowercase().as_str() {
            "enabled" => Some(true),
            "disabled" | "unspecified" => Some(false),
            _ => None,
        }
    });
    Some(state)
}

/// A machine learning workspace in the words of an account.
#[must_use]
pub fn workspace(body: &str) -> Option<AccountState> {
    let body = Body::read(body)?;
    let properties = body.properties()?;
    let mut state = account(&body.fields, &properties);
    state.customer_key = inside(&properties, "encryption", |held| {
        match name(held, "status").to_ascii_lowercase().as_str() {
            "enabled" => Some(true),
            "disabled" => Some(false),
            _ => None,
        }
    });
    state.outbound_restricted = inside(&properties, "managedNetwork", |held| {
        match name(held, "isolationMode").to_ascii_lowercase().as_str() {
            "allowonlyapprovedoutbound" => Some(true),
            "allowinternetoutbound" | "disabled" => Some(false),
            _ => None,
        }
    });
    Some(state)
}

/// The private endpoint connections a resource lists, by name (by number where one has none); `None` when it
/// says nothing of them.
#[must_use]
pub fn connections(body: &str) -> Option<BTreeMap<String, EndpointState>> {
    let body = Body::read(body)?;
    let held = body.properties()?.nested("privateEndpointConnections")?.into_owned();
    let mut found = BTreeMap::new();
    elements(&held, MAX_ELEMENTS, &mut |connection| {
        let Some(read) = Body::read(connection) else { return };
        let Some(held) = read.properties() else { return };
        let said = name(&read.fields, "name").to_lowercase();
        let name = if said.is_empty() { format!("{:04}", found.len()) } else { said };
        found.insert(name, change::endpoint(&held));
    })?;
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::control::AddressRules;

    #[test]
    fn an_account_is_read_as_in_the_activity_log() {
        let body = r#"{"id":"/Subscriptions/S/resourceGroups/G/providers/Microsoft.CognitiveServices/accounts/Aif/",
            "name":"Aif","kind":"AIServices","location":"EastUS2","sku":{"name":"S0"},
            "systemData":{"createdAt":"2026-10-01T00:00:00Z"},
            "properties":{"publicNetworkAccess":"Enabled","disableLocalAuth":false,
              "networkAcls":{"defaultAction":"Deny","bypass":"AzureServices","virtualNetworkRules":[],
                "ipRules":[{"value":"198.51.100.0/22"}]},
              "privateEndpointConnections":[{"name":"PE-1","properties":{"privateEndpoint":{"id":"/subscriptions/X/pe"},
                "privateLinkServiceConnectionState":{"status":"Approved"}}}]}}"#;
        let named = named(body).unwrap();
        assert_eq!(named.name, "Aif");
        assert!(named.id.starts_with("/subscriptions/s/") && named.id.ends_with("/accounts/aif"));
        assert_eq!(named.created.map(|at| at.0), time::parse("2026-10-01T00:00:00Z"));
        let state = ai_account(body).unwrap();
        assert_eq!(Some(Changed::Account(state.clone())), super::state(body, Target::Account));
        assert_eq!((state.kind.as_str(), state.sku.as_str()), ("AIServices", "S0"));
        assert_eq!(state.network.open_by_default, Some(false));
        assert_eq!(state.network.addresses.and_then(|rules| rules.widest), Some(22));
        assert_eq!((state.customer_key, state.outbound_restricted), (None, None));
        let connections = connections(body).unwrap();
        assert_eq!(connections["pe-1"].status, "Approved");
        assert_eq!(connections["pe-1"].endpoint, "/subscriptions/x/pe");
    }

    #[test]
    fn a_search_service_with_rules_keeps_all_others_out() {
        let body = |rules: &str| {
            format!(
                r#"{{"properties":{{"publicNetworkAccess":"enabled","disableLocalAuth":true,
                "encryptionWithCmk":{{"enforcement":"Unspecified"}}{rules}}}}}"#
            )
        };
        let read = |rules: &str| search_service(&body(rules)).unwrap();
        let open = |rules: &str| read(rules).network.open_by_default;
        assert_eq!(open(r#","networkRuleSet":{"ipRules":[{"value":"203.0.113.7"}]}"#), Some(false));
        assert_eq!(open(r#","networkRuleSet":{"ipRules":[]}"#), Some(true));
        assert_eq!(open(""), None);
        let state = read("");
        assert_eq!((state.local_auth_disabled, state.customer_key), (Some(true), Some(false)));
        assert_eq!(state.network.public_access, Some(true));
    }

    #[test]
    fn a_workspace_says_its_isolation_and_its_encryption() {
        let body = r#"{"kind":"Hub","properties":{"publicNetworkAccess":"Disabled",
            "managedNetwork":{"isolationMode":"AllowInternetOutbound"},"encryption":{"status":"Enabled"}}}"#;
        let state = workspace(body).unwrap();
        assert_eq!((state.outbound_restricted, state.customer_key), (Some(false), Some(true)));
        assert_eq!(state.network.public_access, Some(false));
        let bare = workspace(r#"{"properties":{}}"#).unwrap();
        assert_eq!((bare.outbound_restricted, bare.customer_key), (None, None));
        assert_eq!(bare.network.addresses, None::<AddressRules>);
        assert_eq!(connections(r#"{"properties":{}}"#), None);
        assert_eq!(named(r#"{"name":"x"}"#), None);
    }
}
