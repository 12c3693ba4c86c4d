//! What guards an account, from a server that answers as Azure Resource Manager to the incident: content filters,
//! locks, connections.

use serde_json::{Value, json};
use tokenwatch::incident::Incident;
use tokenwatch::time::EventTime;

use crate::arm::{AUDIENCE, Arm, Held, id, of_subscription, refusal};
use crate::harness::Folder;
use crate::posture::{day_ms, lines, one, poll, read_alike, versions};
use crate::rest_server::{Reply, trusted};

const ACCOUNTS: &str = "Microsoft.CognitiveServices/accounts";
const LOCKS: &str = "Microsoft.Authorization/locks";

/// An account with a project, and one of a kind that has neither filters nor projects.
fn accounts(arm: &Arm) {
    let account = |name: &str, kind: &str| {
        json!({ "id": id(ACCOUNTS, name), "name": name, "kind": kind, "location": "eastus2",
            "properties": { "publicNetworkAccess": "Disabled", "privateEndpointConnections": [] } })
    };
    let both = vec![account("aif", "AIServices"), account("speech", "SpeechServices")];
    arm.hold(&of_subscription(ACCOUNTS), Held::List(both));
    for name in ["aif", "speech"] {
        let account = id(ACCOUNTS, name);
        let settings = format!("{account}/providers/Microsoft.Insights/diagnosticSettings");
        for list in [format!("{account}/deployments"), settings] {
            arm.hold(&list, Held::List(Vec::new()));
        }
    }
    let project = json!({ "id": below("projects/p"), "name": "p", "properties": {} });
    arm.hold(&below("projects"), Held::List(vec![project]));
}

/// What belongs to the account.
fn below(rest: &str) -> String {
    format!("{}/{rest}", id(ACCOUNTS, "aif"))
}

/// A content filter policy as Azure's examples have it.
fn policy(name: &str, kept_by: &str, threshold: &str) -> Value {
    let filter = |source: &str| {
        json!({ "name": "Hate", "blocking": true, "enabled": true, "severityThreshold": threshold,
            "source": source })
    };
    json!({ "id": below(&format!("raiPolicies/{name}")), "name": name, "properties": {
        "type": kept_by, "basePolicyName": "Microsoft.DefaultV2", "mode": "Blocking",
        "contentFilters": [filter("Prompt"), filter("Completion"),
            { "name": "Jailbreak", "blocking": true, "enabled": true, "source": "Prompt" }],
    }})
}

/// Three policies, so that they come in pages.
fn policies(ours: &str, microsofts: &str) -> Vec<Value> {
    vec![
        policy("Microsoft.DefaultV2", "SystemManaged", microsofts),
        policy("Ours", "UserManaged", ours),
        policy("Spare", "UserManaged", "Low"),
    ]
}

fn connection(owner: &str, name: &str, host: &str) -> Value {
    json!({ "id": below(&format!("linkedaccounts/{name}")), "name": name, "properties": {
        "category": "RemoteTool", "authType": "ApiKey", "target": format!("https://{host}/{owner}") } })
}

fn locked(is_locked: bool) -> Held {
    let lock = json!({ "id": below("providers/Microsoft.Authorization/locks/keep"), "name": "keep",
        "properties": { "level": "ReadOnly" } });
    Held::List(if is_locked { vec![lock] } else { Vec::new() })
}

fn refused() -> Held {
    Held::Always(refusal(403, "AuthorizationFailed", "You may not."))
}

/// Five days: all as it should be; a policy missing once, its list busy at first, and locks refused; filters
/// refused, and the lock missing; the filter weakened by us and by Microsoft, a connection of the project, and
/// the lock still missing; no change.
async fn five_days(arm: &Arm) -> Vec<tokenwatch::event::Arrival> {
    let mut polls = Vec::new();
    let filters = below("raiPolicies");
    accounts(arm);
    arm.hold(&filters, Held::List(policies("Medium", "Medium")));
    arm.hold(&of_subscription(LOCKS), locked(true));
    let known = vec![connection("", "a", "api.example.com")];
    arm.hold(&below("connections"), Held::List(known));
    arm.hold(&below("projects/p/connections"), Held::List(Vec::new()));
    poll(arm, 0, &mut polls).await;

    arm.hold(&filters, Held::List(policies("Medium", "Medium").into_iter().take(2).collect()));
    arm.fault(&filters, [Reply::Answer(429, "retry-after: 1\r\n".to_owned(), b"{}".to_vec())]);
    arm.hold(&of_subscription(LOCKS), refused());
    poll(arm, 1, &mut polls).await;

    arm.hold(&filters, refused());
    arm.hold(&of_subscription(LOCKS), locked(false));
    poll(arm, 2, &mut polls).await;

    arm.hold(&filters, Held::List(policies("High", "High")));
    let new = connection("p", "b", "tools.example.net");
    let shared = connection("p", "a", "api.example.com");
    arm.hold(&below("projects/p/connections"), Held::List(vec![shared, new]));
    poll(arm, 3, &mut polls).await;
    poll(arm, 4, &mut polls).await;
    polls
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_locks_and_connections_are_read_and_what_changed_is_told_however_it_is_read() {
    trusted(
        "posture_guards::filters_locks_and_connections_are_read_and_what_changed_is_told_however_it_is_read",
        AUDIENCE,
        async |tls| {
            let arm = Arm::start(tls).await;
            let polls = five_days(&arm).await;
            // Two pages; one and again; refused once; two pages twice.
            assert_eq!(arm.count(&below("raiPolicies")), 2 + 2 + 1 + 2 + 2);
            for list in ["raiPolicies", "connections", "projects"] {
                let speech = format!("{}/{list}", id(ACCOUNTS, "speech"));
                assert_eq!(arm.count(&speech), 0, "{list}");
            }
            let folder = Folder::new();
            let (db, incidents) = read_alike(&folder, &polls, ((9, 9), &[(1, 2)])).await;
            check_incidents(&incidents);
            check_versions(&db).await;
        },
    )
    .await;
}

#[track_caller]
fn check_incidents(incidents: &[Incident]) {
    let rules: Vec<&str> = incidents.iter().map(|incident| incident.rule.as_str()).collect();
    assert_eq!(rules, ["TW-P08", "TW-P14", "TW-P16"], "{:#?}", lines(incidents));
    let says = |rule: &str, (first, last): (i64, i64), parts: &[&str]| {
        let story = one(incidents, rule).evidence.join("\n");
        let between = format!(
            "between {} and {}, as two readings of the inventory show, by somebody the activity \
             log has not told of",
            EventTime(day_ms(first)),
            EventTime(day_ms(last))
        );
        for part in parts.iter().copied().chain([between.as_str()]) {
            assert!(story.contains(part), "{rule}: {part}: {story}");
        }
        assert_eq!(one(incidents, rule).account, "aif");
    };
    // The day on which the list was refused says nothing.
    let weaker = "content filter ours of aif: Hate (Prompt) acts from High instead of Medium; \
                  Hate (Completion) acts from High instead of Medium";
    says("TW-P08", (1, 3), &[weaker]);
    says("TW-P14", (0, 3), &["lock keep on aif was deleted"]);
    let outside = "aif was connected to tools.example.net, which is outside Azure";
    says("TW-P16", (2, 3), &[outside, "category RemoteTool", "signs in by ApiKey"]);
}

/// Microsoft's changes are kept, and what was missing once has not changed.
async fn check_versions(db: &str) {
    let found = versions(db).await;
    for (name, spans) in [
        ("ours", vec![(0, Some(3)), (3, None)]),
        ("microsoft.defaultv2", vec![(0, Some(3)), (3, None)]),
        ("spare", vec![(0, None)]),
        ("keep", vec![(0, Some(3))]),
        ("b", vec![(3, None)]),
    ] {
        assert_eq!(found.get(name), Some(&spans), "{name}: {found:#?}");
    }
}
