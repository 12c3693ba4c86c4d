//! Plays about accounts and deployments themselves (`TW-P03` to `P07`, `P15`, `P16`).

use serde_json::{Value, json};

use super::Play;
use super::stage::{DEPLOY, Stage, WRITE};

/// A play of operations alone: what was set must be known, nothing must be learnt.
pub(super) const PLAYS: &[Play] = &[
    Play::of_acts(
        "tw-p03",
        "a deployment gets at least twice its capacity, or is served from anywhere",
        &["TW-P03"],
        "it is a third more, in its region",
        capacity,
    ),
    Play::of_acts(
        "tw-p04",
        "an account that is closed to the Internet is written open, in one of four ways",
        &["TW-P04"],
        "it is written closed as it was",
        public_access,
    ),
    Play::of_acts(
        "tw-p05",
        "a private endpoint is let in to an account",
        &["TW-P05"],
        "it is one of our own subscription, not of another",
        private_endpoint,
    ),
    Play::of_acts(
        "tw-p06",
        "an account that may call few names is allowed more, or all",
        &["TW-P06"],
        "it is allowed fewer than before",
        outbound,
    ),
    Play::of_acts(
        "tw-p07",
        "an account that encrypts with our key is written to encrypt with Microsoft's",
        &["TW-P07"],
        "with a new version of our key instead",
        customer_key,
    ),
    Play::of_acts(
        "tw-p15",
        "three to six deployments are deleted within minutes",
        &["TW-P15"],
        "a quarter of an hour or more lies between any two",
        mass_delete,
    ),
    Play::of_acts(
        "tw-p16",
        "an account or project is connected to a host that it never was",
        &["TW-P16"],
        "the host is in Azure",
        connection,
    ),
];

fn capacity(stage: &mut Stage) {
    let (deployer, who) = (stage.deployer.clone(), stage.stranger.clone());
    // One that nobody else writes.
    let id = format!("{}/deployments/{}", stage.account(0), stage.word());
    let was = 50;
    let state = |stage: &Stage, sku: &str, capacity: u64| {
        let mut body = stage.deployment_body(0, capacity);
        if let Some(name) = body.pointer_mut("/sku/name") {
            *name = json!(sku);
        }
        Some(body)
    };
    let at = stage.before(20);
    let body = state(stage, "Standard", was);
    stage.does(at, &deployer, (&id, DEPLOY), body);
    let more = stage.random.u64(2 * was..20 * was);
    let (sku, capacity) = match (stage.is_lawful(), stage.random.bool()) {
        (true, _) => ("Standard", was * 4 / 3),
        (false, true) => ("GlobalStandard", was),
        (false, false) => ("Standard", more),
    };
    let (at, body) = (stage.minute(10..100), state(stage, sku, capacity));
    stage.does(at, &who, (&id, DEPLOY), body);
}

/// Writes an account as it was, and then once more in the live part.
fn rewritten(stage: &mut Stage, before: Value, after: Value) {
    let (deployer, who) = (stage.deployer.clone(), stage.stranger.clone());
    let account = stage.account(0);
    let body = |properties: Value| {
        Some(json!({ "location": "eastus2", "kind": "AIServices", "properties": properties }))
    };
    let at = stage.before(20);
    stage.does(at, &deployer, (&account, WRITE), body(before));
    let at = stage.minute(10..100);
    stage.does(at, &who, (&account, WRITE), body(after));
}

fn public_access(stage: &mut Stage) {
    let host = stage.random.u8(1..255);
    let acls = |action: &str, rule: String, bypass: &str| {
        json!({ "publicNetworkAccess": "Enabled", "networkAcls": {
            "defaultAction": action, "ipRules": [{ "value": rule }], "virtualNetworkRules": [],
            "bypass": bypass,
        } })
    };
    let narrow = || format!("198.18.0.{host}");
    let closed = acls("Deny", narrow(), "None");
    let (before, open) = match stage.random.u8(0..4) {
        0 => (
            json!({ "publicNetworkAccess": "Disabled" }),
            json!({ "publicNetworkAccess": "Enabled" }),
        ),
        1 => (closed, acls("Allow", narrow(), "None")),
        2 => (closed, acls("Deny", "198.0.0.0/8".to_owned(), "None")),
        _ => (closed, acls("Deny", narrow(), "AzureServices")),
    };
    let after = if stage.is_lawful() { before.clone() } else { open };
    rewritten(stage, before, after);
}

fn private_endpoint(stage: &mut Stage) {
    let who = stage.stranger.clone();
    let (name, foreign) = (stage.word(), stage.guid());
    let theirs = format!("/subscriptions/{foreign}/resourceGroups/rg-{name}");
    let of = if stage.is_lawful() { stage.group_id() } else { theirs };
    let id = format!("{}/privateEndpointConnections/pe-{name}", stage.account(0));
    let endpoint = format!("{of}/providers/Microsoft.Network/privateEndpoints/pe-{name}");
    let body = json!({ "properties": {
        "privateEndpoint": { "id": endpoint },
        "privateLinkServiceConnectionState": { "status": "Approved", "description": name },
    } });
    let what = "Microsoft.CognitiveServices/accounts/privateEndpointConnections/write";
    let at = stage.minute(10..100);
    stage.does(at, &who, (&id, what), Some(body));
}

fn outbound(stage: &mut Stage) {
    let names: Vec<String> = (0..4).map(|_| format!("{}.example", stage.word())).collect();
    let state = |restricted: bool, count: usize| {
        let names: Vec<&String> = names.iter().take(count).collect();
        json!({ "restrictOutboundNetworkAccess": restricted, "allowedFqdnList": names })
    };
    let before = state(true, 3);
    let looser = if stage.random.bool() { state(false, 3) } else { state(true, 4) };
    let after = if stage.is_lawful() { state(true, 2) } else { looser };
    rewritten(stage, before, after);
}

fn customer_key(stage: &mut Stage) {
    let vault = format!("https://kv-{}.vault.azure.net/", stage.word());
    let ours = |version: u32| {
        let key =
            json!({ "keyName": "ai", "keyVersion": version.to_string(), "keyVaultUri": vault });
        json!({ "encryption": { "keySource": "Microsoft.KeyVault", "keyVaultProperties": key } })
    };
    let theirs = json!({ "encryption": { "keySource": "Microsoft.CognitiveServices" } });
    let after = if stage.is_lawful() { ours(2) } else { theirs };
    rewritten(stage, ours(1), after);
}

fn mass_delete(stage: &mut Stage) {
    let who = stage.stranger.clone();
    let count = stage.random.usize(3..=6);
    let mut at = stage.minute(10..40);
    for number in 0..count {
        let id = format!("{}/deployments/{}-{number}", stage.account(number % 3), stage.word());
        stage.does(
            at,
            &who,
            (&id, "Microsoft.CognitiveServices/accounts/deployments/delete"),
            None,
        );
        // Of six at most ten minutes apart, any three lie within ten.
        at += if stage.is_lawful() { stage.span(15..25) } else { stage.span(0..2) };
    }
}

fn connection(stage: &mut Stage) {
    let who = stage.stranger.clone();
    let (name, word) = (stage.word(), stage.word());
    let azure = [
        format!("https://{word}.openai.azure.com/"),
        format!("https://{word}.search.windows.net"),
        format!("https://{word}.azure-api.net/mcp"),
    ];
    let outside = format!("https://mcp.{word}.example/sse");
    let chosen = stage.random.choice(azure).unwrap_or_default();
    let target = if stage.is_lawful() { chosen } else { outside };
    let (below, what) = match stage.random.bool() {
        true => ("", "Microsoft.CognitiveServices/accounts/connections/write"),
        false => {
            ("/projects/main", "Microsoft.CognitiveServices/accounts/projects/connections/write")
        }
    };
    let id = format!("{}{below}/connections/{name}", stage.account(0));
    let body = json!({ "properties": {
        "category": "RemoteTool", "target": target, "authType": "CustomKeys", "isSharedToAll": true,
    } });
    let at = stage.minute(10..100);
    stage.does(at, &who, (&id, what), Some(body));
}
