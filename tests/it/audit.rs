//! `audit` from outside: the real program against a server that answers as Azure Resource Manager.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::arm::{Held, SUBSCRIPTION, World, id, of_subscription, refusal};
use crate::harness::run;
use crate::rest_server::{Reply, serve};

const ACCOUNTS: &str = "Microsoft.CognitiveServices/accounts";
const SEARCHES: &str = "Microsoft.Search/searchServices";
const WORKSPACES: &str = "Microsoft.MachineLearningServices/workspaces";
const NAMESPACE: &str = "/subscriptions/3f0c0000-0000-4000-8000-000000000001/resourceGroups/rg-logs/\
                         providers/Microsoft.EventHub/namespaces/contoso-logs";
const REGIONS: &str =
    "/providers/Microsoft.Authorization/policyDefinitions/e56962a6-4747-49cd-b67b-bf8b01975c4c";

fn account(name: &str, kind: &str, properties: &Value) -> Value {
    json!({
        "id": id(ACCOUNTS, name), "name": name, "type": ACCOUNTS, "kind": kind,
        "location": "eastus2", "sku": { "name": "S0" }, "etag": "\"1\"",
        "tags": { "owner": "secret-tag@contoso.example" },
        "systemData": { "createdAt": "2026-09-01T08:00:00.1234567Z", "createdBy": "x@contoso.example" },
        "properties": properties,
    })
}

/// Everything of it is shut.
fn locked() -> Value {
    json!({
        "publicNetworkAccess": "Disabled", "disableLocalAuth": true,
        "restrictOutboundNetworkAccess": true, "allowedFqdnList": ["a.contoso.example"],
        "encryption": { "keySource": "Microsoft.KeyVault", "keyVaultProperties": { "keyName": "k" } },
        "networkAcls": { "defaultAction": "Deny", "ipRules": [], "virtualNetworkRules": [] },
        "privateEndpointConnections": [{ "properties": {
            "privateEndpoint": { "id": format!("/subscriptions/{SUBSCRIPTION}/resourceGroups/n/pe") },
            "privateLinkServiceConnectionState": { "status": "Approved" },
        }}],
    })
}

/// As a portal makes one.
fn bare() -> Value {
    json!({
        "publicNetworkAccess": "Enabled", "disableLocalAuth": false,
        "networkAcls": { "defaultAction": "Allow", "ipRules": [], "virtualNetworkRules": [] },
        "privateEndpointConnections": [],
        "endpoint": "https://aif.cognitiveservices.azure.com/",
    })
}

fn setting(resource: &str, categories: &[&str]) -> Value {
    let list = |metrics: bool| {
        let chosen = categories.iter().filter(|name| name.starts_with("AllM") == metrics);
        chosen.map(|name| json!({ "category": name, "enabled": true })).collect::<Vec<_>>()
    };
    json!({
        "id": format!("{resource}/providers/microsoft.insights/diagnosticSettings/to-hub"),
        "name": "to-hub", "type": "Microsoft.Insights/diagnosticSettings",
        "properties": {
            "eventHubName": "logs",
            "eventHubAuthorizationRuleId": format!("{NAMESPACE}/authorizationRules/Root"),
            "logs": list(false), "metrics": list(true), "workspaceId": null,
        },
    })
}

/// The event hub that settings send to.
fn hub() -> String {
    format!("{NAMESPACE}/eventhubs/logs")
}

fn settings_of(resource: &str) -> String {
    format!("{resource}/providers/Microsoft.Insights/diagnosticSettings")
}

impl World {
    /// Puts accounts there, with deployments and diagnostic settings of all that is needed.
    fn accounts(&self, accounts: Vec<Value>) {
        for account in &accounts {
            let id = account.get("id").and_then(Value::as_str).unwrap();
            let all = ["RequestResponse", "AzureOpenAIRequestUsage", "Audit", "AllMetrics"];
            self.arm.hold(&settings_of(id), Held::List(vec![setting(id, &all)]));
            let deployment = json!({
                "id": format!("{id}/deployments/chat"), "name": "chat",
                "sku": { "name": "GlobalStandard", "capacity": 100 },
                "properties": { "model": { "format": "OpenAI", "name": "gpt-4o", "version": "1" } },
            });
            self.arm.hold(&format!("{id}/deployments"), Held::List(vec![deployment]));
            for list in ["raiPolicies", "connections", "projects"] {
                self.arm.hold(&format!("{id}/{list}"), Held::List(Vec::new()));
            }
        }
        self.arm.hold(&of_subscription(ACCOUNTS), Held::List(accounts));
    }

    /// What the subscription needs for its doors to be shut.
    fn guarded(&self) {
        let arm = &self.arm;
        arm.hold(
            &hub(),
            Held::One(json!({ "properties": { "status": "Active", "partitionCount": 4 } })),
        );
        let assignment = json!({
            "id": of_subscription("Microsoft.Authorization/policyAssignments/regions"),
            "name": "regions",
            "properties": { "displayName": "Our regions", "policyDefinitionId": REGIONS,
                "scope": format!("/subscriptions/{SUBSCRIPTION}"), "notScopes": [],
                "enforcementMode": "Default" },
        });
        let assignments = of_subscription("Microsoft.Authorization/policyAssignments");
        arm.hold(&assignments, Held::List(vec![assignment]));
        let rule = json!({ "properties": { "policyRule": {
            "if": { "allOf": [{ "field": "location", "notIn": "[parameters('listOfAllowedLocations')]" }] },
            "then": { "effect": "deny" },
        }}});
        arm.hold(REGIONS, Held::One(rule));
        let budget = json!({
            "id": of_subscription("Microsoft.Consumption/budgets/monthly"), "name": "monthly",
            "properties": { "category": "Cost", "amount": 20000.0, "timeGrain": "Monthly",
                "currentSpend": { "amount": 1234.56, "unit": "EUR" },
                "notifications": { "at80": { "enabled": true, "threshold": 80.0,
                    "contactEmails": ["secret-mail@contoso.example"] } } },
        });
        arm.hold(&of_subscription("Microsoft.Consumption/budgets"), Held::List(vec![budget]));
        let quota = json!({ "name": { "value": "OpenAI.GlobalStandard.gpt-4o" }, "unit": "Count",
            "currentValue": 100.0, "limit": 1000.0 });
        let usages = of_subscription("Microsoft.CognitiveServices/locations/eastus2/usages");
        arm.hold(&usages, Held::List(vec![quota]));
    }

    /// Five accounts, a search service and a workspace, of which much is open.
    fn fleet(&self) {
        self.guarded();
        let mut accounts = vec![account("aif-prod", "AIServices", &bare())];
        for name in ["aif-b", "aif-c", "aif-d"] {
            accounts.push(account(name, "OpenAI", &locked()));
        }
        accounts.push(account(
            "speech-of-long-name-in-the-region-of-the-north",
            "SpeechServices",
            &json!({}),
        ));
        self.accounts(accounts);
        let prod = id(ACCOUNTS, "aif-prod");
        let half = setting(&prod, &["RequestResponse", "AzureOpenAIRequestUsage"]);
        self.arm.hold(&settings_of(&prod), Held::List(vec![half]));
        let search = json!({ "id": id(SEARCHES, "srch"), "name": "srch", "location": "East US 2",
            "sku": { "name": "standard" },
            "properties": { "publicNetworkAccess": "enabled", "disableLocalAuth": false,
                "networkRuleSet": { "ipRules": [{ "value": "198.51.100.0/16" }], "bypass": "None" },
                "encryptionWithCmk": { "enforcement": "Unspecified" },
                "privateEndpointConnections": [] } });
        self.arm.hold(&of_subscription(SEARCHES), Held::List(vec![search]));
        self.arm.hold(&settings_of(&id(SEARCHES, "srch")), Held::List(vec![]));
        let workspace = json!({ "id": id(WORKSPACES, "mlw"), "name": "mlw", "kind": "Hub",
            "location": "eastus2", "sku": { "name": "Basic" },
            "properties": { "publicNetworkAccess": "Disabled", "encryption": { "status": "Enabled" },
                "managedNetwork": { "isolationMode": "AllowInternetOutbound" } } });
        self.arm.hold(&of_subscription(WORKSPACES), Held::List(vec![workspace]));
        let mlw = id(WORKSPACES, "mlw");
        let sends = setting(&mlw, &["AmlOnlineEndpointTrafficLog", "AllMetrics"]);
        self.arm.hold(&settings_of(&mlw), Held::List(vec![sends]));
    }
}

/// What one door of one resource is.
#[track_caller]
fn door<'a>(told: &'a Value, name: &str, door: &str) -> &'a Value {
    let resources = told.get("resources").and_then(Value::as_array).unwrap();
    let card = resources.iter().find(|card| card.get("name").is_some_and(|known| known == name));
    let doors = card.unwrap().get("doors").and_then(Value::as_array).unwrap();
    doors.iter().find(|found| found.get("door").is_some_and(|known| known == door)).unwrap()
}

#[track_caller]
fn state<'a>(told: &'a Value, name: &str, word: &str) -> &'a str {
    door(told, name, word).get("state").and_then(Value::as_str).unwrap()
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_doors_of_a_subscription_are_read_over_several_pages() {
    let world = World::new().await;
    world.fleet();
    let ran = world.audit(&["--format", "json"]).await;
    assert_eq!(ran.code, Some(4), "{}", ran.err);
    let told = World::json(&ran);
    assert_eq!(told.pointer("/summary/resources"), Some(&json!(7)));
    assert_eq!(world.arm.count(&of_subscription(ACCOUNTS)), 3, "pages of two");
    assert_eq!(told.get("unread"), Some(&json!([])));
    let doors = ["policy", "network", "private", "auth", "outbound", "encryption", "logs", "spend"];
    for (name, expected) in [
        ("aif-prod", ["ok", "open", "open", "open", "unknown", "unknown", "open", "ok"]),
        ("aif-b", ["ok"; 8]),
        ("srch", ["ok", "open", "open", "open", "does_not_apply", "open", "open", "ok"]),
        ("mlw", ["ok", "ok", "unknown", "does_not_apply", "open", "ok", "ok", "ok"]),
    ] {
        let found = doors.map(|word| state(&told, name, word));
        assert_eq!(found, expected, "{name}");
    }
    let network = door(&told, "aif-prod", "network");
    assert_eq!(
        text(network, "/steps/0/command"),
        format!(
            "az resource update --ids {} --set properties.publicNetworkAccess=Disabled",
            id(ACCOUNTS, "aif-prod").to_lowercase()
        )
    );
    assert!(
        text(door(&told, "aif-prod", "logs"), "/finding")
            .starts_with("Audit and AllMetrics reach no")
    );
    assert!(text(door(&told, "aif-b", "spend"), "/notes/0").contains("gpt-4o (900 of 1,000 left)"));
    assert_eq!(told.pointer("/resources/0/name"), Some(&json!("srch")), "the worst comes first");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_saved_is_judged_alike_without_azure_and_holds_no_secret() {
    let world = World::new().await;
    world.fleet();
    let file = world.path("now.json");
    let first = world.audit(&["--save", &file]).await;
    assert_eq!(first.code, Some(4), "{}", first.err);
    let again = run(&["audit", "--from", &file]);
    assert_eq!((again.code, again.out.as_str()), (Some(4), first.out.as_str()));
    let saved = std::fs::read_to_string(&file).unwrap();
    for secret in ["secret-", "contoso.example", "etag"] {
        assert!(!saved.contains(secret), "{secret}");
    }
    for (content, words) in [
        ("{}", "is not an inventory of version 3"),
        ("[", "is not what --save writes"),
        (r#"{"version":3}"#, "is not what --save writes"),
    ] {
        std::fs::write(&file, content).unwrap();
        let ran = run(&["audit", "--from", &file]);
        assert_eq!(ran.code, Some(1), "{content}");
        assert!(ran.err.contains(words), "{}", ran.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_fits_a_terminal_and_every_open_door_has_its_command() {
    let world = World::new().await;
    world.fleet();
    let page = world.audit(&[]).await.out;
    for line in page.lines().filter(|line| !line.starts_with("    az ")) {
        assert!(line.chars().count() <= 100, "{line}");
    }
    assert!(page.starts_with("10 doors stand open on 3 of 7 resources."), "{page}");
    assert!(page.contains("Contoso AI (3f0c0000-"), "{page}");
    assert!(page.contains("\nOpen: network on 2, auth on 2, logs on 2, private on 2,"), "{page}");
    let sprawl = "5 AI accounts, 1 AI Search service, 1 Machine Learning workspace; by region: 7 eastus2. 5\n  deployments: 5 GlobalStandard.";
    assert!(page.contains(sprawl), "{page}");
    let matrix = "aif-prod                          ok      OPEN     OPEN     OPEN  ?         ?           OPEN  ok";
    assert!(page.contains(matrix), "{page}");
    assert!(page.contains("speech-of-long-n…on-of-the-north"), "{page}");
    let open = page.lines().filter(|line| line.starts_with("  OPEN ")).count();
    let told = World::json(&world.audit(&["--format", "json"]).await);
    assert_eq!(told.pointer("/summary/doors/open"), Some(&json!(open)));
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_and_sarif_say_the_same() {
    let world = World::new().await;
    world.fleet();
    let file = world.path("now.json");
    let told = World::json(&world.audit(&["--format", "json", "--save", &file]).await);
    let open = told.pointer("/summary/doors/open").and_then(Value::as_u64).unwrap();

    let ran = run(&["audit", "--from", &file, "--format", "csv"]);
    let mut reader = csv::Reader::from_reader(ran.out.as_bytes());
    let rows: Vec<csv::StringRecord> = reader.records().collect::<Result<_, _>>().unwrap();
    assert_eq!(rows.len(), 7 * 8);
    let opens: Vec<_> = rows.iter().filter(|row| row.get(5) == Some("open")).collect();
    assert_eq!(opens.len() as u64, open);
    assert!(opens.iter().all(|row| row.get(9).unwrap().starts_with("az ")));

    let ran = run(&["audit", "--from", &file, "--format", "sarif"]);
    assert_eq!(ran.code, Some(4));
    let sarif = World::json(&ran);
    let schema: Value =
        serde_json::from_str(include_str!("../data/sarif-used.schema.json")).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<_> = validator.iter_errors(&sarif).map(|error| error.to_string()).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    let results = sarif.pointer("/runs/0/results").and_then(Value::as_array).unwrap();
    assert_eq!(results.len() as u64, open);
    let rules = sarif.pointer("/runs/0/tool/driver/rules").and_then(Value::as_array).unwrap();
    let mut prints = std::collections::BTreeSet::new();
    for result in results {
        let index = result.get("ruleIndex").and_then(Value::as_u64).unwrap();
        let rule = rules.get(usize::try_from(index).unwrap()).unwrap();
        assert_eq!(rule.get("id"), result.get("ruleId"));
        assert!(text(result, "/message/text").contains("To shut it: az "), "{result}");
        assert!(prints.insert(text(result, "/partialFingerprints/tokenwatchDoor~1v1")), "{result}");
        let place = text(result, "/locations/0/logicalLocations/0/fullyQualifiedName");
        assert!(place.starts_with("/subscriptions/"), "{result}");
    }
    let help =
        rules.iter().map(|rule| text(rule, "/help/text")).filter(|help| help.contains("az "));
    assert_eq!(help.count(), 6, "each door that is open somewhere has a command in its help");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_doors_asked_for_are_told_and_decide_the_exit_code() {
    let world = World::new().await;
    world.fleet();
    let file = world.path("now.json");
    assert_eq!(world.audit(&["--save", &file]).await.code, Some(4));
    let ran = run(&["audit", "--from", &file, "--door", "policy", "--door", "spend"]);
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert!(ran.out.starts_with("No door was found open on 7 resources."), "{}", ran.out);
    assert!(ran.out.contains("  policy  spend\n") && !ran.out.contains("network"), "{}", ran.out);
    let elsewhere = ["audit", "--from", &file, "--door", "policy", "--allow-region", "westeurope"];
    let ran = run(&elsewhere);
    assert_eq!(ran.code, Some(4), "{}", ran.out);
    assert!(ran.out.contains("It is in eastus2, outside the regions"), "{}", ran.out);
    let wrong = run(&["audit", "--from", &file, "--door", "window"]);
    assert_eq!(wrong.code, Some(2));
    assert!(wrong.err.contains("the doors are policy, network, private, auth"), "{}", wrong.err);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscription_that_is_shut_ends_well() {
    let world = World::new().await;
    world.guarded();
    world.accounts(vec![account("aif-b", "OpenAI", &locked())]);
    let ran = world.audit(&[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    assert!(ran.out.starts_with("No door was found open on 1 resource."), "{}", ran.out);
    let empty = World::new().await;
    let ran = empty.audit(&[]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(
        ran.out.contains("No AI account, AI Search service or Machine Learning"),
        "{}",
        ran.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_service_is_waited_for_as_long_as_it_asks() {
    let world = World::new().await;
    world.guarded();
    world.accounts(vec![account("aif-b", "OpenAI", &locked())]);
    let path = of_subscription("Microsoft.Consumption/budgets");
    let busy = Reply::Answer(429, "retry-after: 2\r\n".to_owned(), b"{}".to_vec());
    world.arm.fault(&path, [busy, refusal(500, "InternalServerError", "oops")]);
    let began = Instant::now();
    let told = World::json(&world.audit(&["--format", "json"]).await);
    assert!(began.elapsed() >= Duration::from_secs(2));
    assert_eq!(world.arm.count(&path), 3);
    assert_eq!(state(&told, "aif-b", "spend"), "ok");

    let later = Reply::Answer(429, "retry-after: 3000\r\n".to_owned(), b"{}".to_vec());
    world.arm.hold(&path, Held::Always(later));
    let told = World::json(&world.audit(&["--format", "json"]).await);
    assert_eq!(state(&told, "aif-b", "spend"), "unknown");
    assert_eq!(world.arm.count(&path), 4, "nobody waits for an hour");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_role_makes_its_part_unknown_and_nothing_else() {
    let world = World::new().await;
    world.guarded();
    world.accounts(vec![
        account("aif-prod", "AIServices", &bare()),
        account("aif-b", "OpenAI", &locked()),
    ]);
    let no = || {
        Held::Always(refusal(403, "AuthorizationFailed", "The client does not have authorization."))
    };
    let budgets = of_subscription("Microsoft.Consumption/budgets");
    let settings = settings_of(&id(ACCOUNTS, "aif-b"));
    world.arm.hold(&budgets, no());
    world.arm.hold(&settings, no());
    world.arm.hold(&hub(), no());
    for list in ["raiPolicies", "projects"] {
        for name in ["aif-prod", "aif-b"] {
            world.arm.hold(&format!("{}/{list}", id(ACCOUNTS, name)), no());
        }
    }
    let ran = world.audit(&["--format", "json"]).await;
    assert_eq!(ran.code, Some(4), "{}", ran.err);
    let told = World::json(&ran);
    for (name, word, role) in [
        ("aif-b", "spend", "Cost Management Reader"),
        ("aif-b", "logs", "Monitoring Reader"),
        ("aif-prod", "logs", "the role Reader"),
    ] {
        let found = door(&told, name, word);
        assert_eq!(text(found, "/state"), "unknown", "{found}");
        assert!(text(found, "/finding").contains(role), "{found}");
    }
    assert_eq!(state(&told, "aif-b", "auth"), "ok");
    let unread = told.get("unread").and_then(Value::as_array).unwrap();
    let parts: Vec<_> = unread.iter().map(|gap| text(gap, "/part")).collect();
    // Only Foundry's accounts have projects and are asked for connections.
    let of_b = ["diagnostic settings", "content filters"];
    let of_prod = ["content filters", "connections"];
    assert_eq!(parts, [&["budgets"][..], &of_b, &of_prod, &["event hubs"]].concat());
    let mend = text(unread.first().unwrap(), "/mend");
    let scope = format!("--scope /subscriptions/{SUBSCRIPTION}");
    assert!(mend.contains("--role 'Cost Management Reader'") && mend.ends_with(&scope), "{mend}");
    assert!(text(unread.first().unwrap(), "/said").contains("AuthorizationFailed"));
    assert_eq!(world.arm.count(&budgets), 1, "a refusal is not asked again");
    let page = world.audit(&[]).await.out;
    assert!(page.contains("Not everything could be read:"), "{page}");
    assert!(page.contains("az role assignment create --assignee IDENTITY"), "{page}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_deleted_while_it_is_read_has_no_card() {
    let world = World::new().await;
    world.guarded();
    world
        .accounts(vec![account("aif-b", "OpenAI", &locked()), account("aif-c", "OpenAI", &bare())]);
    let gone = || Held::Always(refusal(404, "ResourceNotFound", "was not found"));
    world.arm.hold(&format!("{}/deployments", id(ACCOUNTS, "aif-c")), gone());
    let ran = world.audit(&["--format", "json"]).await;
    assert_eq!(ran.code, Some(0), "{}", ran.out);
    let told = World::json(&ran);
    assert_eq!(told.pointer("/summary/resources"), Some(&json!(1)));
    assert_eq!(told.pointer("/summary/deleted_meanwhile"), Some(&json!(1)));
    assert_eq!(told.get("unread"), Some(&json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_to_a_hub_that_is_gone_or_switched_off_reach_nobody() {
    let world = World::new().await;
    world.guarded();
    world.accounts(vec![account("aif-b", "OpenAI", &locked())]);
    for held in [
        Held::Always(refusal(404, "ResourceNotFound", "was not found")),
        Held::One(json!({ "properties": { "status": "SendDisabled" } })),
    ] {
        world.arm.hold(&hub(), held);
        let ran = world.audit(&["--format", "json"]).await;
        assert_eq!(ran.code, Some(4), "{}", ran.err);
        let told = World::json(&ran);
        let logs = door(&told, "aif-b", "logs");
        assert_eq!(text(logs, "/state"), "open", "{logs}");
        assert!(text(logs, "/notes/0").contains("sends to a hub that is gone"), "{logs}");
        assert_eq!(told.get("unread"), Some(&json!([])));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_goes_on_at_another_host_is_not_followed() {
    let world = World::new().await;
    world.guarded();
    world.accounts(vec![account("aif-b", "OpenAI", &locked())]);
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let thief = move |_: &_| {
        counter.fetch_add(1, Ordering::SeqCst);
        Reply::json(r#"{"value":[]}"#)
    };
    let port = serve(Some(world.entra.acceptor()), Arc::new(thief)).await;
    let body = json!({
        "value": [account("aif-b", "OpenAI", &locked())],
        "nextLink": format!("https://localhost:{port}/more?api-version=2025-06-01"),
    });
    world.arm.hold(&of_subscription(ACCOUNTS), Held::One(body));
    let locks = of_subscription("Microsoft.Authorization/locks");
    let here = format!("https://localhost:{}{locks}?api-version=2020-05-01", world.arm.port());
    world.arm.hold(&locks, Held::One(json!({ "value": [], "nextLink": here })));
    let told = World::json(&world.audit(&["--format", "json"]).await);
    assert_eq!(asked.load(Ordering::SeqCst), 0, "our token went to another host");
    assert_eq!(told.pointer("/summary/resources"), Some(&json!(1)), "what was read is kept");
    let gap = told.pointer("/unread/0").unwrap();
    assert_eq!((text(gap, "/part"), gap.get("partly")), ("AI accounts", Some(&json!(true))));
    assert!(text(gap, "/reason").contains("at another host (localhost), which is not followed"));
    let circle = told.pointer("/unread/1").unwrap();
    assert_eq!(text(circle, "/reason"), "a page points to itself");
    assert_eq!(world.arm.count(&locks), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_without_end_is_read_up_to_a_bound_and_called_cut() {
    let world = World::new().await;
    world.guarded();
    world.accounts(vec![account("aif-prod", "AIServices", &bare())]);
    let roles = of_subscription("Microsoft.Authorization/roleAssignments");
    world.arm.hold(&roles, Held::Endless(1_000));
    let told = World::json(&world.audit(&["--format", "json"]).await);
    assert!(world.arm.count(&roles) <= 6, "{}", world.arm.count(&roles));
    let gap = told.pointer("/unread/0").unwrap();
    assert_eq!(text(gap, "/part"), "role assignments");
    assert_eq!(text(gap, "/reason"), "only the first 5000 were read");
    let auth = door(&told, "aif-prod", "auth");
    assert!(text(auth, "/notes/1").starts_with("At least 0 identities"), "{auth}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_read_is_a_failure_that_says_why() {
    let world = World::new().await;
    let no = || {
        Held::Always(refusal(403, "AuthorizationFailed", "The client does not have authorization."))
    };
    for list in [ACCOUNTS, SEARCHES, WORKSPACES] {
        world.arm.hold(&of_subscription(list), no());
    }
    let ran = world.audit(&["--format", "json"]).await;
    assert_eq!((ran.code, ran.out.as_str()), (Some(1), ""));
    assert!(
        ran.err.contains("nothing could be read: answered 403: AuthorizationFailed"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("the role Reader on /subscriptions/3f0c"), "{}", ran.err);
    let none = run(&["audit", "--subscription", "production"]);
    assert_eq!(none.code, Some(2));
    assert!(none.err.contains("az account list"), "{}", none.err);
    assert_eq!(run(&["audit"]).code, Some(2));
    assert_eq!(world.audit(&["--client-id", "x"]).await.code, Some(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn with_a_configuration_the_hubs_must_be_ours_and_somebody_must_be_told() {
    let world = World::new().await;
    world.guarded();
    world.accounts(vec![account("aif-b", "OpenAI", &locked())]);
    let file = world.path("now.json");
    assert_eq!(world.audit(&["--save", &file]).await.code, Some(0));
    let config = world.path("tokenwatch.toml");
    let write = |hub: &str, more: &str| {
        let text = format!(
            "[[hub]]\nname = \"east\"\nnamespace = \"contoso-logs.servicebus.windows.net\"\n\
             hub = \"{hub}\"\nauth = \"cli\"\n{more}"
        );
        std::fs::write(&config, text).unwrap();
        run(&["audit", "--from", &file, "--config", &config, "--format", "json"])
    };
    let tell = "[[notify.webhook]]\nname = \"desk\"\nurl = \"https://desk.contoso.example/hook\"\nsecret = { env = \"DESK_SECRET\" }\n";
    let ours = write("logs", tell);
    assert_eq!(ours.code, Some(0), "{} {}", ours.out, ours.err);
    let other = World::json(&write("elsewhere", tell));
    assert_eq!(state(&other, "aif-b", "logs"), "open");
    let nobody = World::json(&write("logs", ""));
    assert_eq!(state(&nobody, "aif-b", "spend"), "open");
    std::fs::write(&config, "hub = 1\n").unwrap();
    assert_eq!(run(&["audit", "--from", &file, "--config", &config]).code, Some(3));
}
