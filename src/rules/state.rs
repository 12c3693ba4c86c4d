//! What is known of a resource after several records of which each says a part.

use crate::event::control::{
    AccountState, AddressRules, Changed, ConnectionState, DeploymentState, LockState, NetworkState,
    RaiState,
};

/// What `newer` says, and where it says nothing what `older` said. Lists hold as a whole.
#[must_use]
pub fn merged(newer: &Changed, older: &Changed) -> Changed {
    match (newer, older) {
        (Changed::Account(newer), Changed::Account(older)) => {
            Changed::Account(account(newer, older))
        }
        (Changed::Deployment(newer), Changed::Deployment(older)) => {
            Changed::Deployment(deployment(newer, older))
        }
        (Changed::Network(newer), Changed::Network(older)) => {
            Changed::Network(network(newer, older))
        }
        (Changed::RaiPolicy(newer), Changed::RaiPolicy(older)) => {
            Changed::RaiPolicy(filters(newer, older))
        }
        (Changed::Connection(newer), Changed::Connection(older)) => {
            Changed::Connection(connection(newer, older))
        }
        (Changed::Lock(newer), Changed::Lock(older)) => {
            Changed::Lock(LockState { level: text(&newer.level, &older.level) })
        }
        (
            Changed::Account(_)
            | Changed::Deployment(_)
            | Changed::PrivateEndpoint(_)
            | Changed::RaiPolicy(_)
            | Changed::Defender(_)
            | Changed::Connection(_)
            | Changed::Diagnostic(_)
            | Changed::Role(_)
            | Changed::Assignment(_)
            | Changed::Exemption(_)
            | Changed::Lock(_)
            | Changed::Policies(_)
            | Changed::Network(_),
            _,
        ) => newer.clone(),
    }
}

fn text(newer: &str, older: &str) -> String {
    if newer.is_empty() { older.to_owned() } else { newer.to_owned() }
}

fn account(newer: &AccountState, older: &AccountState) -> AccountState {
    AccountState {
        kind: text(&newer.kind, &older.kind),
        sku: text(&newer.sku, &older.sku),
        location: text(&newer.location, &older.location),
        network: network(&newer.network, &older.network),
        local_auth_disabled: newer.local_auth_disabled.or(older.local_auth_disabled),
        outbound_restricted: newer.outbound_restricted.or(older.outbound_restricted),
        allowed_names: newer.allowed_names.or(older.allowed_names),
        customer_key: newer.customer_key.or(older.customer_key),
        network_injected: newer.network_injected.or(older.network_injected),
        user_storage: newer.user_storage.or(older.user_storage),
        abuse_monitor: newer.abuse_monitor.or(older.abuse_monitor),
        dynamic_throttling: newer.dynamic_throttling.or(older.dynamic_throttling),
        private_endpoints: newer.private_endpoints.or(older.private_endpoints),
    }
}

fn network(newer: &NetworkState, older: &NetworkState) -> NetworkState {
    NetworkState {
        public_access: newer.public_access.or(older.public_access),
        open_by_default: newer.open_by_default.or(older.open_by_default),
        addresses: newer.addresses.or(older.addresses),
        virtual_networks: newer.virtual_networks.or(older.virtual_networks),
        bypass: text(&newer.bypass, &older.bypass),
    }
}

fn deployment(newer: &DeploymentState, older: &DeploymentState) -> DeploymentState {
    DeploymentState {
        sku: text(&newer.sku, &older.sku),
        capacity: newer.capacity.or(older.capacity),
        format: text(&newer.format, &older.format),
        model: text(&newer.model, &older.model),
        version: text(&newer.version, &older.version),
        rai_policy: text(&newer.rai_policy, &older.rai_policy),
        upgrade: text(&newer.upgrade, &older.upgrade),
    }
}

fn filters(newer: &RaiState, older: &RaiState) -> RaiState {
    let list = if newer.filters.is_empty() { &older.filters } else { &newer.filters };
    RaiState {
        mode: text(&newer.mode, &older.mode),
        base: text(&newer.base, &older.base),
        by_microsoft: newer.by_microsoft.or(older.by_microsoft),
        filters: list.clone(),
        blocklists: newer.blocklists.or(older.blocklists),
    }
}

fn connection(newer: &ConnectionState, older: &ConnectionState) -> ConnectionState {
    ConnectionState {
        category: text(&newer.category, &older.category),
        host: text(&newer.host, &older.host),
        auth: text(&newer.auth, &older.auth),
        shared: newer.shared.or(older.shared),
    }
}

/// Whether an account is known to let no public network in: public access is off, or nothing but virtual networks
/// has a rule and what has none is kept out.
#[must_use]
pub fn is_shut(state: &Changed) -> bool {
    match state {
        Changed::Account(AccountState { network, .. }) => {
            let no_address = network.addresses.is_some_and(|rules| rules.count == 0);
            network.public_access == Some(false)
                || (network.open_by_default == Some(false) && no_address)
        }
        Changed::Deployment(_)
        | Changed::PrivateEndpoint(_)
        | Changed::RaiPolicy(_)
        | Changed::Defender(_)
        | Changed::Connection(_)
        | Changed::Diagnostic(_)
        | Changed::Role(_)
        | Changed::Assignment(_)
        | Changed::Exemption(_)
        | Changed::Lock(_)
        | Changed::Policies(_)
        | Changed::Network(_) => false,
    }
}

/// Whether rules let in a network wider than so many bits; no rules let in nobody.
#[must_use]
pub fn is_wider(rules: &AddressRules, bits: u8) -> bool {
    // A /24 of IPv4 corresponds to the /48 that one customer gets of IPv6.
    let v6 = bits.saturating_mul(2);
    rules.widest.is_some_and(|widest| widest < bits)
        || rules.widest_v6.is_some_and(|widest| widest < v6)
}
