//! What an operation sets, from the body of its response or of its request.

use std::borrow::Cow;

use super::change_guard;
use super::field::{Fields, MAX_ELEMENTS, elements};
use super::{fingerprint, text};
use crate::event::control::{
    AccountState, AddressRules, Basis, Change, Changed, DeploymentState, DiagnosticState,
    EndpointState, NetworkState, Target, Verb,
};

/// Reads what the record says of the new state; `None` when it says nothing of interest.
pub(super) fn read(properties: &Fields<'_>, target: Target, verb: Verb) -> Option<Change> {
    if target == Target::PolicyEvaluation {
        let to = change_guard::policies(properties)?;
        return Some(Change { basis: Basis::Stated, to });
    }
    if !matches!(verb, Verb::Write | Verb::Approve) {
        return None;
    }
    // What came of it is worth more than what was asked for, where it says anything.
    let bodies = [("responseBody", Basis::Resulted), ("requestbody", Basis::Requested)];
    bodies.into_iter().find_map(|(name, basis)| {
        let held = properties.nested(name)?;
        let to = changed(&Body::read(&held)?, target)?;
        Some(Change { basis, to })
    })
}

/// A body with its properties opened.
pub(super) struct Body<'a> {
    /// Its top level.
    pub(super) fields: Fields<'a>,
    /// The text of its `properties`.
    held: Cow<'a, str>,
}

impl<'a> Body<'a> {
    pub(super) fn read(text: &'a str) -> Option<Self> {
        let fields = Fields::read(text)?;
        let held = fields.nested("properties")?;
        Some(Self { fields, held })
    }

    /// The members of `properties`.
    pub(super) fn properties(&self) -> Option<Fields<'_>> {
        Fields::read(&self.held)
    }
}

pub(super) fn changed(body: &Body<'_>, target: Target) -> Option<Changed> {
    let properties = body.properties()?;
    Some(match target {
        Target::Account => Changed::Account(account(&body.fields, &properties)),
        Target::Deployment => Changed::Deployment(deployment(&body.fields, &properties)),
        Target::PrivateEndpoint => Changed::PrivateEndpoint(endpoint(&properties)),
        Target::DiagnosticSetting => Changed::Diagnostic(diagnostic(&properties)),
        Target::EventHub | Target::Storage | Target::KeyVault | Target::Search => {
            Changed::Network(network(&properties))
        }
        Target::RaiPolicy
        | Target::DefenderForAi
        | Target::DefenderPlan
        | Target::Connection
        | Target::RoleAssignment
        | Target::PolicyAssignment
        | Target::PolicyExemption
        | Target::Lock => change_guard::changed(body, &properties, target)?,
        Target::DeletedAccount
        | Target::Project
        | Target::RaiBlocklist
        | Target::CapabilityHost
        | Target::CommitmentPlan
        | Target::ManagedNetwork
        | Target::RoleDefinition
        | Target::PolicyDefinition
        | Target::PolicyEvaluation
        | Target::AlertSuppression
        | Target::DefenderAlert
        | Target::ContainerApp
        | Target::Quota
        | Target::Gateway
        | Target::MachineLearning
        | Target::Group
        | Target::Other => return None,
    })
}

/// A member as a cleaned name; empty when absent.
pub(super) fn name(fields: &Fields<'_>, member: &str) -> String {
    text::clean(&fields.text(member).unwrap_or_default(), text::MAX_NAME_CHARS)
}

/// The members of an object inside; none when it is absent or no object.
pub(super) fn inside<T: Default>(
    fields: &Fields<'_>,
    member: &str,
    read: impl Fn(&Fields<'_>) -> T,
) -> T {
    let held = fields.nested(member);
    held.as_deref().and_then(Fields::read).map_or_else(T::default, |fields| read(&fields))
}

/// Elements of an array; `None` when it is absent or no array.
pub(super) fn length(fields: &Fields<'_>, member: &str) -> Option<u32> {
    let count = elements(&fields.nested(member)?, 0, &mut |_| {})?;
    u32::try_from(count).ok()
}

pub(super) fn account(body: &Fields<'_>, properties: &Fields<'_>) -> AccountState {
    let some =
        |member| properties.raw(member).map(|_| ()).and_then(|()| length(properties, member));
    AccountState {
        kind: name(body, "kind"),
        sku: inside(body, "sku", |sku| name(sku, "name")),
        location: name(body, "location").to_lowercase(),
        network: network(properties),
        local_auth_disabled: properties.boolean("disableLocalAuth"),
        outbound_restricted: properties.boolean("restrictOutboundNetworkAccess"),
        allowed_names: allowed_names(properties),
        customer_key: inside(properties, "encryption", |encryption| {
            let source = encryption.text("keySource")?;
            Some(source.trim().eq_ignore_ascii_case("Microsoft.KeyVault"))
        }),
        network_injected: some("networkInjections").map(|count| count > 0),
        user_storage: some("userOwnedStorage").map(|count| count > 0),
        abuse_monitor: properties.nested("raiMonitorConfig").map(|held| {
            Fields::read(&held).is_some_and(|fields| fields.raw("adxStorageResourceId").is_some())
        }),
        dynamic_throttling: properties.boolean("dynamicThrottlingEnabled"),
        private_endpoints: length(properties, "privateEndpointConnections"),
    }
}

fn allowed_names(properties: &Fields<'_>) -> Option<(u32, u64)> {
    let mut names = Vec::new();
    let list = properties.nested("allowedFqdnList")?;
    let count = elements(&list, MAX_ELEMENTS, &mut |name| names.push(name.to_lowercase()))?;
    Some((u32::try_from(count).ok()?, hash(names)))
}

/// A hash of texts in any order.
fn hash(mut texts: Vec<String>) -> u64 {
    texts.sort_unstable();
    let parts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let [.., a, b, c, d, e, f, g, h] = fingerprint(&parts).to_be_bytes();
    u64::from_be_bytes([a, b, c, d, e, f, g, h])
}

/// Who can reach a resource: AI accounts, storage and vaults have `networkAcls`, hubs have the same
/// at the top of their rule set.
pub(super) fn network(properties: &Fields<'_>) -> NetworkState {
    let rules = |rules: &Fields<'_>| NetworkState {
        public_access: None,
        open_by_default: match name(rules, "defaultAction").to_ascii_lowercase().as_str() {
            "allow" => Some(true),
            "deny" => Some(false),
            _ => None,
        },
        addresses: rules.nested("ipRules").and_then(|list| addresses(&list)),
        virtual_networks: length(rules, "virtualNetworkRules"),
        bypass: name(rules, "bypass"),
    };
    let state = if properties.raw("networkAcls").is_some() {
        inside(properties, "networkAcls", rules)
    } else {
        inside_or_self(properties, "networkRuleSet", rules)
    };
    let public = name(properties, "publicNetworkAccess").to_ascii_lowercase();
    NetworkState {
        public_access: match public.as_str() {
            "enabled" => Some(true),
            "disabled" | "securedbyperimeter" => Some(false),
            _ => None,
        },
        ..state
    }
}

fn inside_or_self<T: Default>(
    fields: &Fields<'_>,
    member: &str,
    read: impl Fn(&Fields<'_>) -> T,
) -> T {
    if fields.raw(member).is_some() { inside(fields, member, read) } else { read(fields) }
}

fn addresses(list: &str) -> Option<AddressRules> {
    let mut rules = AddressRules::default();
    let mut texts = Vec::new();
    let count = elements(list, MAX_ELEMENTS, &mut |rule| {
        let Some(fields) = Fields::read(rule) else { return };
        let found = fields.first_text(&["value", "ipMask", "ipAddressOrRange"]);
        let Some(address) = found else { return };
        let (host, length) = address.trim().split_once('/').unwrap_or((&address, ""));
        let is_v6 = host.contains(':');
        let whole = if is_v6 { 128 } else { 32 };
        let length = length.parse().ok().filter(|length| *length <= whole).unwrap_or(whole);
        let widest = if is_v6 { &mut rules.widest_v6 } else { &mut rules.widest };
        *widest = Some(widest.map_or(length, |known| known.min(length)));
        texts.push(address.trim().to_lowercase());
    })?;
    Some(AddressRules { count: u32::try_from(count).ok()?, hash: hash(texts), ..rules })
}

fn deployment(body: &Fields<'_>, properties: &Fields<'_>) -> DeploymentState {
    let (sku, capacity) =
        inside(body, "sku", |sku| (name(sku, "name"), sku.count::<u64>("capacity")));
    let (format, model, version) = inside(properties, "model", |model| {
        let lower = |member| name(model, member).to_lowercase();
        (name(model, "format"), lower("name"), lower("version"))
    });
    DeploymentState {
        sku,
        // The oldest API versions had it among the properties.
        capacity: capacity.or_else(|| inside(properties, "scaleSettings", |s| s.count("capacity"))),
        format,
        model,
        version,
        rai_policy: name(properties, "raiPolicyName"),
        upgrade: name(properties, "versionUpgradeOption"),
    }
}

pub(super) fn endpoint(properties: &Fields<'_>) -> EndpointState {
    EndpointState {
        status: inside(properties, "privateLinkServiceConnectionState", |state| {
            name(state, "status")
        }),
        endpoint: inside(properties, "privateEndpoint", |endpoint| {
            text::resource(&endpoint.text("id").unwrap_or_default())
        }),
    }
}

fn diagnostic(properties: &Fields<'_>) -> DiagnosticState {
    let rule = text::resource(&properties.text("eventHubAuthorizationRuleId").unwrap_or_default());
    let mut state = DiagnosticState {
        event_hub: name(properties, "eventHubName"),
        namespace: rule.split("/authorizationrules/").next().unwrap_or_default().to_owned(),
        other_destination: ["workspaceId", "storageAccountId", "marketplacePartnerId"]
            .iter()
            .any(|member| properties.first_text(&[member]).is_some()),
        ..DiagnosticState::default()
    };
    for list in ["logs", "metrics"] {
        let Some(held) = properties.nested(list) else { continue };
        elements(&held, MAX_ELEMENTS, &mut |entry| add_category(entry, &mut state));
    }
    state.sends.sort_unstable();
    state.keeps_back.sort_unstable();
    state
}

fn add_category(entry: &str, state: &mut DiagnosticState) {
    let Some(fields) = Fields::read(entry) else { return };
    let found = fields.first_text(&["category", "categoryGroup"]).unwrap_or_default();
    let category = text::clean(&found, text::MAX_ID_CHARS);
    let list = match fields.boolean("enabled") {
        Some(true) => &mut state.sends,
        Some(false) => &mut state.keeps_back,
        None => return,
    };
    if !category.is_empty() && list.len() < DiagnosticState::MAX_CATEGORIES {
        list.push(category);
    }
}
