//! Kinds whose content nobody has published, or says nothing to us: known by name, counted.

use super::{Decoder, Read, Record};
use crate::event::Event;
use crate::event::signal::Opaque;

/// `Trace` of an AI account or project.
pub(super) const TRACE: Decoder = Decoder {
    name: "Trace",
    is: |category, _| category.eq_ignore_ascii_case("Trace"),
    read: Read::Opaque,
    reads: "that there was one, of which resource",
    cannot_tell: "anything more: Microsoft has not published what it holds",
};

/// `ManagedNetworkEvent` of an AI account.
pub(super) const MANAGED_NETWORK: Decoder = Decoder {
    name: "ManagedNetworkEvent",
    is: |category, _| category.eq_ignore_ascii_case("ManagedNetworkEvent"),
    read: Read::Opaque,
    reads: "that there was one, of which account",
    cannot_tell: "anything more: Microsoft has not published what it holds",
};

/// `GatewayMCPLogs` of an API gateway.
pub(super) const GATEWAY_MCP: Decoder = Decoder {
    name: "GatewayMCPLogs",
    is: |category, _| {
        ["GatewayMCPLogs", "ApiManagementGatewayMCPLog"]
            .iter()
            .any(|name| name.eq_ignore_ascii_case(category))
    },
    read: Read::Opaque,
    reads: "that a tool was called through the gateway",
    cannot_tell: "which tool and by whom: Microsoft has not published what it holds",
};

/// What every record has, as far as it has it.
pub(super) fn decode(record: &Record<'_>) -> Event {
    Event::Opaque(Box::new(Opaque {
        resource: record.resource().unwrap_or_default(),
        at: record.time().ok(),
        operation: record.name(&["operationName", "Name"]),
    }))
}
