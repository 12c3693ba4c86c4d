//! The activity log: what was done to resources, by whom and from where.

use super::field::{FieldError, Fields};
use super::{Decoder, Read, Record, change, principal, text};
use crate::event::Event;
use crate::event::control::{Control, Outcome, Target, Verb};

/// The activity log of a subscription.
pub(super) const DECODER: Decoder = Decoder {
    name: "Activity log",
    is: |category, fields| known(category).is_some() && fields.raw("operationName").is_some(),
    read: Read::With(decode),
    reads: "operation, resource, outcome, who (user, application, role) and from which network; where a body is logged, what it sets on accounts, deployments, networks, filters, diagnostic settings, roles and policies",
    cannot_tell: "the state before; what a body leaves out (absent is not false); data-plane calls; deletes and key listings have no body",
};

/// Categories of the activity log; the third line is how older records name administrative ones.
const CATEGORIES: [&str; 12] = [
    "Administrative",
    "Policy",
    "Write",
    "Delete",
    "Action",
    "Security",
    "Alert",
    "Recommendation",
    "ServiceHealth",
    "ResourceHealth",
    "Autoscale",
    "Autoscaling",
];

fn known(category: &str) -> Option<&'static str> {
    CATEGORIES.into_iter().find(|known| known.eq_ignore_ascii_case(category))
}

/// Reads one record; its operation may be at its start, on its way or at its end.
///
/// # Errors
/// No resource or no time.
fn decode(record: &Record<'_>) -> Result<Event, FieldError> {
    let operation = record.lower(&["operationName"]);
    let (target, verb) = parse(&operation);
    let resource = resource(record)?;
    let signature = record.fields.text("resultSignature").unwrap_or_default();
    let (main, detail) = signature.split_once('.').unwrap_or((&signature, ""));
    let said = outcome(&record.fields.text("resultType").unwrap_or_default());
    let outcome = said.or_else(|| outcome(main)).unwrap_or(Outcome::Unknown);
    let status = match record.properties.first_text(&["statusCode"]) {
        Some(code) => text::clean(&code, text::MAX_ID_CHARS),
        None => text::clean(detail, text::MAX_ID_CHARS),
    };
    Ok(Event::Control(Box::new(Control {
        at: record.time()?,
        category: known(&record.name(&["category"])).unwrap_or_default(),
        target,
        verb,
        outcome,
        status,
        correlation: text::id(&record.fields.text("correlationId").unwrap_or_default()),
        principal: principal::read(record),
        change: change::read(&record.properties, target, verb).map(Box::new),
        operation,
        resource,
    })))
}

/// What was acted on; records about a whole subscription may name it only in the properties.
fn resource(record: &Record<'_>) -> Result<String, FieldError> {
    let in_properties = || record.properties.first_text(&["entity"]).map(|id| text::resource(&id));
    let in_scope = || {
        let identity = record.fields.nested("identity")?;
        let authorization = Fields::read(&identity)?.nested("authorization")?;
        Fields::read(&authorization)?.first_text(&["scope"]).map(|id| text::resource(&id))
    };
    record.resource().or_else(|error| in_properties().or_else(in_scope).ok_or(error))
}

fn outcome(word: &str) -> Option<Outcome> {
    match word.trim().to_ascii_lowercase().as_str() {
        "start" | "started" => Some(Outcome::Started),
        "accept" | "accepted" => Some(Outcome::Accepted),
        "success" | "succeeded" | "0" => Some(Outcome::Succeeded),
        "failure" | "failed" => Some(Outcome::Failed),
        _ => None,
    }
}

/// Types of resources in lower case. One that ends with a slash stands for all that begin so; the
/// first that fits holds.
const TARGETS: [(&str, Target); 46] = [
    ("microsoft.cognitiveservices/accounts", Target::Account),
    ("microsoft.cognitiveservices/accounts/deployments/", Target::Deployment),
    ("microsoft.cognitiveservices/accounts/projects/connections/", Target::Connection),
    ("microsoft.cognitiveservices/accounts/projects/capabilityhosts/", Target::CapabilityHost),
    ("microsoft.cognitiveservices/accounts/projects/", Target::Project),
    ("microsoft.cognitiveservices/accounts/privateendpointconnections/", Target::PrivateEndpoint),
    ("microsoft.cognitiveservices/accounts/raipolicies/", Target::RaiPolicy),
    ("microsoft.cognitiveservices/accounts/raiblocklists/", Target::RaiBlocklist),
    ("microsoft.cognitiveservices/accounts/defenderforaisettings/", Target::DefenderForAi),
    ("microsoft.cognitiveservices/accounts/connections/", Target::Connection),
    ("microsoft.cognitiveservices/accounts/capabilityhosts/", Target::CapabilityHost),
    ("microsoft.cognitiveservices/accounts/commitmentplans/", Target::CommitmentPlan),
    ("microsoft.cognitiveservices/commitmentplans/", Target::CommitmentPlan),
    ("microsoft.cognitiveservices/accounts/managednetworks/", Target::ManagedNetwork),
    (
        "microsoft.cognitiveservices/accounts/networksecurityperimeterassociationproxies/",
        Target::ManagedNetwork,
    ),
    (
        "microsoft.cognitiveservices/locations/resourcegroups/deletedaccounts/",
        Target::DeletedAccount,
    ),
    ("microsoft.cognitiveservices/deletedaccounts/", Target::DeletedAccount),
    ("microsoft.insights/diagnosticsettings/", Target::DiagnosticSetting),
    ("microsoft.insights/logprofiles/", Target::DiagnosticSetting),
    ("microsoft.authorization/roleassignments/", Target::RoleAssignment),
    ("microsoft.authorization/roleeligibilityschedulerequests/", Target::RoleAssignment),
    ("microsoft.authorization/roleassignmentschedulerequests/", Target::RoleAssignment),
    ("microsoft.authorization/elevateaccess/", Target::RoleAssignment),
    ("microsoft.authorization/roledefinitions/", Target::RoleDefinition),
    ("microsoft.authorization/policyassignments/", Target::PolicyAssignment),
    ("microsoft.authorization/policyexemptions/", Target::PolicyExemption),
    ("microsoft.authorization/policydefinitions/", Target::PolicyDefinition),
    ("microsoft.authorization/policysetdefinitions/", Target::PolicyDefinition),
    ("microsoft.authorization/policies/", Target::PolicyEvaluation),
    ("microsoft.authorization/locks/", Target::Lock),
    ("microsoft.security/pricings/", Target::DefenderPlan),
    ("microsoft.security/alertssuppressionrules/", Target::AlertSuppression),
    ("microsoft.security/alerts/", Target::DefenderAlert),
    ("microsoft.security/locations/alerts/", Target::DefenderAlert),
    ("microsoft.eventhub/", Target::EventHub),
    ("microsoft.storage/storageaccounts/", Target::Storage),
    ("microsoft.app/", Target::ContainerApp),
    ("microsoft.keyvault/", Target::KeyVault),
    ("microsoft.quota/", Target::Quota),
    ("microsoft.capacity/", Target::Quota),
    ("microsoft.apimanagement/", Target::Gateway),
    ("microsoft.search/", Target::Search),
    ("microsoft.machinelearningservices/", Target::MachineLearning),
    ("microsoft.resources/subscriptions/", Target::Group),
    ("microsoft.resources/resourcegroups/", Target::Group),
    ("microsoft.subscription/", Target::Group),
];

/// Takes an operation such as `microsoft.x/things/write` or `microsoft.x/things/listkeys/action`
/// apart, in lower case.
fn parse(operation: &str) -> (Target, Verb) {
    let (kind, word) = operation.rsplit_once('/').unwrap_or((operation, ""));
    let (kind, verb) = match word {
        "write" => (kind, Verb::Write),
        "delete" => (kind, Verb::Delete),
        "action" => {
            let (owner, action) = kind.rsplit_once('/').unwrap_or((kind, ""));
            if action == "privateendpointconnectionsapproval" {
                let approves = owner == "microsoft.cognitiveservices/accounts";
                let target = if approves { Target::PrivateEndpoint } else { target_of(owner) };
                return (target, Verb::Approve);
            }
            match acts(action) {
                Some(verb) => (owner, verb),
                // What follows the provider is the action itself.
                None => (kind, Verb::Other),
            }
        }
        _ => (kind, Verb::Other),
    };
    (target_of(kind), verb)
}

fn acts(action: &str) -> Option<Verb> {
    let lists = action.starts_with("list");
    let secret = ["key", "secret", "sas", "credential", "connectionstring", "token"];
    match action {
        "regeneratekey" | "regeneratekeys" => Some(Verb::RegenerateKey),
        "start" | "restart" => Some(Verb::Start),
        "stop" | "deallocate" | "poweroff" => Some(Verb::Stop),
        "audit" | "auditifnotexists" => Some(Verb::Audit),
        "deny" | "denyaction" => Some(Verb::Deny),
        "deployifnotexists" | "modify" | "append" => Some(Verb::Enforce),
        _ if lists && secret.iter().any(|word| action.contains(word)) => Some(Verb::ListKeys),
        _ => None,
    }
}

fn target_of(kind: &str) -> Target {
    let fits = |known: &str| match known.strip_suffix('/') {
        Some(owner) => {
            kind.strip_prefix(owner).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        }
        None => kind == known,
    };
    let found = TARGETS.iter().find(|(known, _)| fits(known));
    found.map_or(Target::Other, |(_, target)| *target)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_taken_apart() {
        for (operation, target, verb) in [
            ("Microsoft.CognitiveServices/accounts/write", Target::Account, Verb::Write),
            ("Microsoft.CognitiveServices/accounts/delete", Target::Account, Verb::Delete),
            (
                "Microsoft.CognitiveServices/accounts/listKeys/action",
                Target::Account,
                Verb::ListKeys,
            ),
            (
                "MICROSOFT.COGNITIVESERVICES/ACCOUNTS/REGENERATEKEY/ACTION",
                Target::Account,
                Verb::RegenerateKey,
            ),
            (
                "Microsoft.CognitiveServices/accounts/deployments/write",
                Target::Deployment,
                Verb::Write,
            ),
            (
                "Microsoft.CognitiveServices/accounts/privateEndpointConnectionsApproval/action",
                Target::PrivateEndpoint,
                Verb::Approve,
            ),
            (
                "Microsoft.CognitiveServices/accounts/raiBlocklists/raiBlocklistItems/delete",
                Target::RaiBlocklist,
                Verb::Delete,
            ),
            (
                "Microsoft.CognitiveServices/accounts/projects/connections/write",
                Target::Connection,
                Verb::Write,
            ),
            (
                "Microsoft.CognitiveServices/locations/resourceGroups/deletedAccounts/delete",
                Target::DeletedAccount,
                Verb::Delete,
            ),
            (
                "Microsoft.Insights/diagnosticSettings/delete",
                Target::DiagnosticSetting,
                Verb::Delete,
            ),
            ("Microsoft.Authorization/policies/deny/action", Target::PolicyEvaluation, Verb::Deny),
            (
                "Microsoft.Authorization/policies/auditIfNotExists/action",
                Target::PolicyEvaluation,
                Verb::Audit,
            ),
            ("Microsoft.Authorization/elevateAccess/action", Target::RoleAssignment, Verb::Other),
            ("Microsoft.Security/pricings/write", Target::DefenderPlan, Verb::Write),
            (
                "Microsoft.EventHub/namespaces/authorizationRules/listKeys/action",
                Target::EventHub,
                Verb::ListKeys,
            ),
            ("Microsoft.App/containerApps/stop/action", Target::ContainerApp, Verb::Stop),
            ("Microsoft.Compute/virtualMachines/start/action", Target::Other, Verb::Start),
            ("Microsoft.CognitiveServices/accounts/unheardOf/write", Target::Other, Verb::Write),
            ("", Target::Other, Verb::Other),
        ] {
            assert_eq!(parse(&operation.to_lowercase()), (target, verb), "{operation}");
        }
    }
}
