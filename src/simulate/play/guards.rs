//! Plays about what guards accounts: filters, Defender, logs, our hub, policies (`TW-P08` to `P11`, `P13`, `P14`).

use serde_json::{Value, json};

use super::stage::{Ask, DEPLOY, NAMESPACE, Place, Stage};
use super::{Need, Play};
use crate::time::MINUTE_MS;

pub(super) const PLAYS: &[Play] = &[
    Play::of_acts(
        "tw-p08",
        "a content filter acts later, no longer blocks or is off, or a deployment is moved to another",
        &["TW-P08"],
        "the filter acts earlier, or the deployment stays",
        filter,
    ),
    Play::of_acts(
        "tw-p09",
        "a plan of Defender is switched off",
        &["TW-P09"],
        "it is not the one for AI",
        guard,
    ),
    Play::of_acts(
        "tw-p10",
        "a diagnostic setting sends a category less, or is deleted",
        &["TW-P10"],
        "it is the setting of a virtual machine",
        diagnostics,
    ),
    Play::of_acts(
        "tw-p11",
        "the keys of an event hub namespace are listed by somebody new, or one is deleted in it",
        &["TW-P11"],
        "it is not the namespace that we read",
        pipeline,
    )
    .after(9)
    .needing(&[Need::Hub]),
    // Nobody else calls: what metrics count is what the play calls.
    Play::of_calls(
        "tw-p13",
        "of the calls that metrics count, a fifth to three fifths are missing in the logs for hours",
        &["TW-P13"],
        "the logs hold all of them",
        mismatch,
    )
    .after(1)
    .using(0),
    Play::of_acts(
        "tw-p14",
        "a lock or policy assignment is deleted, exempted from or no longer enforced",
        &["TW-P14"],
        "its scope is a storage account",
        policy,
    ),
];

fn mismatch(stage: &mut Stage) {
    let network = stage.network(Place::Office);
    let missing = if stage.is_lawful() { 0.0 } else { 0.2 + 0.4 * stage.random.f64() };
    for minute in 0..4 * 60 {
        let calls = stage.random.i64(2..=4);
        let at = stage.curtain_ms + minute * MINUTE_MS;
        for _ in 0..calls {
            let end = at + stage.random.i64(0..MINUTE_MS);
            if stage.random.f64() >= missing {
                stage.call(end, &Ask::served(0, &network, (600, 60)));
            }
        }
        stage.count(at, calls);
    }
}

fn filters(threshold: &str, blocking: bool, enabled: bool) -> Value {
    let filter = |source: &str| {
        json!({ "name": "Hate", "source": source, "enabled": enabled, "blocking": blocking,
                "severityThreshold": threshold })
    };
    json!({ "properties": { "mode": "Blocking", "basePolicyName": "Microsoft.DefaultV2",
                            "contentFilters": [filter("Prompt"), filter("Completion")] } })
}

fn filter(stage: &mut Stage) {
    let (deployer, who) = (stage.deployer.clone(), stage.stranger.clone());
    let (early, at) = (stage.before(20), stage.minute(10..100));
    let lawful = stage.is_lawful();
    if stage.random.u8(0..4) == 0 {
        let place = stage.random.usize(0..3);
        let id = stage.deployment_id(place);
        let strict = stage.deployment_body(place, 50);
        let mut other = strict.clone();
        if let Some(name) = other.pointer_mut("/properties/raiPolicyName").filter(|_| !lawful) {
            *name = json!(stage.word());
        }
        stage.does(early, &deployer, (&id, DEPLOY), Some(strict));
        stage.does(at, &who, (&id, DEPLOY), Some(other));
        return;
    }
    let id = format!("{}/raiPolicies/{}", stage.account(0), stage.word());
    let what = "Microsoft.CognitiveServices/accounts/raiPolicies/write";
    let weaker = match stage.random.u8(0..3) {
        0 => filters("High", true, true),
        1 => filters("Medium", false, true),
        _ => filters("Medium", true, false),
    };
    let after = if lawful { filters("Low", true, true) } else { weaker };
    stage.does(early, &deployer, (&id, what), Some(filters("Medium", true, true)));
    stage.does(at, &who, (&id, what), Some(after));
}

fn guard(stage: &mut Stage) {
    let who = stage.stranger.clone();
    let others = ["VirtualMachines", "StorageAccounts", "KeyVaults", "Containers"];
    let other = stage.random.choice(others).unwrap_or_default();
    let plan = if stage.is_lawful() { other } else { "AI" };
    let id = format!("{}/providers/Microsoft.Security/pricings/{plan}", stage.subscription_id());
    let body = json!({ "name": plan, "properties": { "pricingTier": "Free" } });
    let at = stage.minute(10..100);
    stage.does(at, &who, (&id, "Microsoft.Security/pricings/write"), Some(body));
}

fn diagnostics(stage: &mut Stage) {
    let at = stage.minute(10..100);
    reduced(stage, at);
}

/// A diagnostic setting that sends less from a moment on; of a machine for the look-alike.
pub(super) fn reduced(stage: &mut Stage, at: i64) {
    let (deployer, who) = (stage.deployer.clone(), stage.stranger.clone());
    let machine = stage.id("Microsoft.Compute/virtualMachines", "vm-build");
    let source = if stage.is_lawful() { machine } else { stage.account(0) };
    let id = format!("{source}/providers/Microsoft.Insights/diagnosticSettings/to-hub");
    let rule = stage.id("Microsoft.EventHub/namespaces", NAMESPACE);
    let rule = format!("{rule}/authorizationRules/RootManageSharedAccessKey");
    let state = |categories: &[&str]| {
        let logs: Vec<Value> = categories
            .iter()
            .map(|category| json!({ "category": category, "enabled": true }))
            .collect();
        json!({ "properties": { "eventHubAuthorizationRuleId": rule, "eventHubName": "logs",
                                "logs": logs } })
    };
    let early = stage.before(20);
    let write = "Microsoft.Insights/diagnosticSettings/write";
    let mut categories = vec!["Audit", "AzureOpenAIRequestUsage", "RequestResponse"];
    stage.does(early, &deployer, (&id, write), Some(state(&categories)));
    if stage.random.bool() {
        stage.does(at, &who, (&id, "Microsoft.Insights/diagnosticSettings/delete"), None);
    } else {
        categories.remove(stage.random.usize(0..categories.len()));
        stage.does(at, &who, (&id, write), Some(state(&categories)));
    }
}

fn pipeline(stage: &mut Stage) {
    let who = stage.stranger.clone();
    let other = format!("evhns-{}", stage.word());
    let name = if stage.is_lawful() { other.as_str() } else { NAMESPACE };
    let id = stage.id("Microsoft.EventHub/namespaces", name);
    let at = stage.minute(10..100);
    let (below, what) = match stage.random.u8(0..3) {
        0 => (
            "/authorizationRules/RootManageSharedAccessKey",
            "Microsoft.EventHub/namespaces/authorizationRules/listKeys/action",
        ),
        1 => ("/eventhubs/logs", "Microsoft.EventHub/namespaces/eventhubs/delete"),
        _ => (
            "/eventhubs/logs/consumergroups/tokenwatch",
            "Microsoft.EventHub/namespaces/eventhubs/consumergroups/delete",
        ),
    };
    stage.does(at, &who, (&format!("{id}{below}"), what), None);
}

fn policy(stage: &mut Stage) {
    let who = stage.stranger.clone();
    let ai = [stage.account(0), stage.group_id(), stage.subscription_id()];
    let ai = stage.random.choice(ai).unwrap_or_default();
    let storage = format!("st{}", stage.word());
    let storage = stage.id("Microsoft.Storage/storageAccounts", &storage);
    let scope = if stage.is_lawful() { storage } else { ai };
    let name = stage.word();
    let at = stage.minute(10..100);
    let (kind, verb, body) = match stage.random.u8(0..4) {
        0 => ("locks", "delete", None),
        1 => ("policyAssignments", "delete", None),
        2 => {
            let properties = json!({ "enforcementMode": "DoNotEnforce" });
            ("policyAssignments", "write", Some(json!({ "properties": properties })))
        }
        _ => {
            let properties = json!({ "exemptionCategory": "Waiver" });
            ("policyExemptions", "write", Some(json!({ "properties": properties })))
        }
    };
    let id = format!("{scope}/providers/Microsoft.Authorization/{kind}/{name}");
    stage.does(at, &who, (&id, &format!("Microsoft.Authorization/{kind}/{verb}")), body);
}
