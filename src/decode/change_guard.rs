//! Changes of what guards an account: filters, Defender, connections, roles, policies and locks.

use super::change::{Body, length, name};
use super::field::{Fields, MAX_ELEMENTS, elements};
use super::text;
use crate::event::control::{
    AssignmentState, Changed, ConnectionState, DefenderState, ExemptionState, LockState,
    PolicyVerdict, RaiFilter, RaiState, RoleState, Target,
};
use crate::time::{self, EventTime};

/// Reads the state a body sets; `None` for targets that are no guard.
pub(super) fn changed(body: &Body<'_>, properties: &Fields<'_>, target: Target) -> Option<Changed> {
    if target == Target::RaiPolicy {
        return Some(Changed::RaiPolicy(rai(properties)));
    }
    if target == Target::Connection {
        return Some(Changed::Connection(connection(properties)));
    }
    if target == Target::RoleAssignment {
        return Some(Changed::Role(role(properties)));
    }
    if target == Target::PolicyAssignment {
        return Some(Changed::Assignment(assignment(properties)));
    }
    if target == Target::PolicyExemption {
        return Some(Changed::Exemption(exemption(properties)));
    }
    if target == Target::Lock {
        return Some(Changed::Lock(LockState { level: name(properties, "level") }));
    }
    let is_defender = matches!(target, Target::DefenderForAi | Target::DefenderPlan);
    is_defender.then(|| Changed::Defender(defender(body, properties)))
}

fn resource(fields: &Fields<'_>, member: &str) -> String {
    text::resource(&fields.text(member).unwrap_or_default())
}

fn rai(properties: &Fields<'_>) -> RaiState {
    let mut filters = Vec::new();
    if let Some(held) = properties.nested("contentFilters") {
        elements(&held, MAX_ELEMENTS, &mut |filter| {
            let Some(fields) = Fields::read(filter) else { return };
            if filters.len() < RaiState::MAX_FILTERS {
                filters.push(RaiFilter {
                    name: name(&fields, "name"),
                    source: name(&fields, "source"),
                    enabled: fields.boolean("enabled"),
                    blocking: fields.boolean("blocking"),
                    // Its name in API versions before 2024-10.
                    threshold: match name(&fields, "severityThreshold") {
                        threshold if threshold.is_empty() => name(&fields, "allowedContentLevel"),
                        threshold => threshold,
                    },
                });
            }
        });
    }
    let lists = ["customBlocklists", "promptBlocklists", "completionBlocklists"];
    let lists = lists.iter().filter_map(|list| length(properties, list));
    RaiState {
        mode: name(properties, "mode"),
        base: name(properties, "basePolicyName"),
        by_microsoft: match name(properties, "type").to_ascii_lowercase().as_str() {
            "systemmanaged" => Some(true),
            "usermanaged" => Some(false),
            _ => None,
        },
        filters,
        blocklists: lists.reduce(u32::saturating_add),
    }
}

/// Defender's plan for AI has a state; plans of Defender for Cloud have a tier.
fn defender(body: &Body<'_>, properties: &Fields<'_>) -> DefenderState {
    let word = properties.first_text(&["state", "pricingTier"]).unwrap_or_default();
    DefenderState {
        enabled: match word.trim().to_ascii_lowercase().as_str() {
            "enabled" | "standard" => Some(true),
            "disabled" | "free" => Some(false),
            _ => None,
        },
        plan: name(&body.fields, "name").to_lowercase(),
    }
}

fn connection(properties: &Fields<'_>) -> ConnectionState {
    ConnectionState {
        category: name(properties, "category"),
        host: text::host(&properties.text("target").unwrap_or_default()),
        auth: name(properties, "authType"),
        shared: properties.boolean("isSharedToAll"),
    }
}

fn role(properties: &Fields<'_>) -> RoleState {
    let definition = resource(properties, "roleDefinitionId");
    RoleState {
        principal: text::id(&properties.text("principalId").unwrap_or_default()),
        principal_kind: name(properties, "principalType"),
        role: text::id(definition.rsplit('/').next().unwrap_or_default()),
        scope: resource(properties, "scope"),
    }
}

fn assignment(properties: &Fields<'_>) -> AssignmentState {
    AssignmentState {
        enforcement: name(properties, "enforcementMode"),
        definition: resource(properties, "policyDefinitionId"),
        excluded: length(properties, "notScopes"),
    }
}

fn exemption(properties: &Fields<'_>) -> ExemptionState {
    ExemptionState {
        assignment: resource(properties, "policyAssignmentId"),
        category: name(properties, "exemptionCategory"),
        until: properties.text("expiresOn").and_then(|text| time::parse(&text)).map(EventTime),
    }
}

/// What the policies of one record found; they are an array, usually written in a string.
pub(super) fn policies(properties: &Fields<'_>) -> Option<Changed> {
    let mut verdicts = Vec::new();
    elements(&properties.nested("policies")?, MAX_ELEMENTS, &mut |policy| {
        let Some(fields) = Fields::read(policy) else { return };
        if verdicts.len() < PolicyVerdict::MAX {
            verdicts.push(PolicyVerdict {
                effect: name(&fields, "policyDefinitionEffect"),
                assignment: resource(&fields, "policyAssignmentId"),
                definition: resource(&fields, "policyDefinitionId"),
            });
        }
    })?;
    Some(Changed::Policies(verdicts))
}
