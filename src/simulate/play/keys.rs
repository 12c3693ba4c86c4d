//! Plays about keys and the rights to get at them (`TW-K01` to `K04`, `K07`).

use serde_json::{Value, json};

use super::Play;
use super::log::{Operation, Outcome};
use super::stage::{LIST_KEYS, Stage, WRITE};
use crate::time::DAY_MS;

pub(super) const PLAYS: &[Play] = &[
    Play::of_acts(
        "tw-k01",
        "somebody who never did lists an account's keys",
        &["TW-K01"],
        "it is the deployer, who does so every night",
        listed,
    )
    .after(9),
    Play::of_acts(
        "tw-k02",
        "somebody lists the keys of three accounts within half an hour",
        &["TW-K02"],
        "it is the deployer, who does so every night",
        listed_of_several,
    )
    .after(9),
    Play::of_acts(
        "tw-k03",
        "an account that refuses keys is written, and its keys are listed",
        &["TW-K03"],
        "it still refuses keys after that",
        allowed_again,
    )
    .after(9),
    Play::of_acts(
        "tw-k04",
        "somebody who never did makes a key anew",
        &["TW-K04"],
        "it is the deployer, who did so a week ago",
        regenerated,
    )
    .after(9),
    Play::of_acts(
        "tw-k07",
        "somebody gets a role on an account, its group or subscription",
        &["TW-K07"],
        "the role can only read",
        privileged,
    ),
];

fn listed(stage: &mut Stage) {
    let who = if stage.is_lawful() { &stage.deployer } else { &stage.stranger }.clone();
    let (account, at) = (stage.account(0), stage.minute(10..100));
    stage.does(at, &who, (&account, LIST_KEYS), None);
}

fn listed_of_several(stage: &mut Stage) {
    let who = if stage.is_lawful() { &stage.deployer } else { &stage.stranger }.clone();
    let mut accounts = [0, 1, 2];
    stage.random.shuffle(&mut accounts);
    let mut at = stage.minute(10..60);
    for place in accounts {
        let account = stage.account(place);
        stage.does(at, &who, (&account, LIST_KEYS), None);
        at += stage.span(1..14);
    }
}

fn keys_refused(on: bool) -> Value {
    json!({ "kind": "AIServices", "sku": { "name": "S0" }, "properties": { "disableLocalAuth": on } })
}

/// The last account has no keys, and nobody lists them.
pub(super) fn allowed_again(stage: &mut Stage) {
    let (deployer, who) = (stage.deployer.clone(), stage.stranger.clone());
    let account = stage.account(3);
    let at = stage.before(100);
    stage.does(at, &deployer, (&account, WRITE), Some(keys_refused(true)));
    let mut at = stage.minute(10..60);
    let refused = |stage: &mut Stage, at| {
        let operation = Operation {
            resource: &account,
            what: LIST_KEYS,
            body: None,
            outcome: Outcome::Refused,
        };
        stage.operate(at, &who, &operation);
    };
    if stage.random.bool() {
        refused(stage, at);
        at += stage.span(1..10);
    }
    let still = stage.is_lawful();
    stage.does(at, &who, (&account, WRITE), Some(keys_refused(still)));
    at += stage.span(1..40);
    if still {
        refused(stage, at);
    } else {
        stage.does(at, &who, (&account, LIST_KEYS), None);
    }
}

pub(super) const REGENERATE: &str = "Microsoft.CognitiveServices/accounts/regenerateKey/action";

fn regenerated(stage: &mut Stage) {
    let deployer = stage.deployer.clone();
    let who = if stage.is_lawful() { deployer.clone() } else { stage.stranger.clone() };
    let account = stage.account(0);
    let at = stage.curtain_ms - 7 * DAY_MS;
    stage.does(at, &deployer, (&account, REGENERATE), None);
    let at = stage.minute(10..100);
    stage.does(at, &who, (&account, REGENERATE), None);
}

/// Built-in roles: four that open accounts and two that only read.
const OPENING: [&str; 4] = [
    "8e3af657-a8ff-443c-a75c-2fe8c4bcb635",
    "18d7d88d-d35e-4fb5-a5c3-7773c20a72d9",
    "b24988ac-6180-42a0-ab88-20f7382dd24c",
    "25fbc0a9-bd7c-42a3-aa1a-3b75d497ee68",
];
const READING: [&str; 2] =
    ["acdd72a7-3385-48ef-bd42-f606fba81ae7", "a97b65f3-24c7-4388-baec-2e87135dc908"];

fn privileged(stage: &mut Stage) {
    let who = stage.colleague.clone();
    let scopes = [stage.account(0), stage.group_id(), stage.subscription_id()];
    let scope = stage.random.choice(scopes).unwrap_or_default();
    let lawful = stage.is_lawful();
    let opening = stage.random.choice(OPENING);
    let role = if lawful { stage.random.choice(READING) } else { opening }.unwrap_or_default();
    let (assignment, principal) = (stage.guid(), stage.guid());
    let resource =
        format!("{scope}/providers/Microsoft.Authorization/roleAssignments/{assignment}");
    let body = json!({ "Id": assignment, "Properties": {
        "PrincipalId": principal, "PrincipalType": "ServicePrincipal", "Scope": scope,
        "RoleDefinitionId": format!("/providers/Microsoft.Authorization/roleDefinitions/{role}"),
    } });
    let at = stage.minute(10..100);
    stage.does(at, &who, (&resource, "Microsoft.Authorization/roleAssignments/write"), Some(body));
}
