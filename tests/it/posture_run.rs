//! `run` with `[resource_graph]`, from outside: the real binary reads what there is, follows a write, and what
//! it captured replays.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokenwatch::emulator::{Emulator, EmulatorClock, HubSpec};
use tokenwatch::incident::Incident;
use tokenwatch::pipeline::wall_clock;
use tokenwatch::store::read::Reader;
use tokenwatch::time::{EventTime, MINUTE_MS};
use tokio::time::{sleep, timeout};

use crate::arm::{Held, SUBSCRIPTION, World, id, of_subscription};
use crate::harness::{Running, program};

const ACCOUNTS: &str = "Microsoft.CognitiveServices/accounts";
const PATIENCE: Duration = Duration::from_secs(60);
/// A reading is judged half an hour after it was made.
const LATER_MS: i64 = 40 * MINUTE_MS;

/// Has the server answer with one account.
fn hold(world: &World, public: bool) {
    let account = id(ACCOUNTS, "aif");
    let access = if public { "Enabled" } else { "Disabled" };
    let body = json!({ "id": account, "name": "aif", "kind": "AIServices", "location": "eastus2",
        "properties": { "publicNetworkAccess": access, "disableLocalAuth": true,
            "privateEndpointConnections": [] } });
    let settings = format!("{account}/providers/Microsoft.Insights/diagnosticSettings");
    let below = ["deployments", "raiPolicies", "connections", "projects"];
    for list in below.iter().map(|list| format!("{account}/{list}")).chain([settings]) {
        world.arm.hold(&list, Held::List(Vec::new()));
    }
    world.arm.hold(&of_subscription(ACCOUNTS), Held::List(vec![body]));
}

/// A record of the activity log of now, without a body.
fn written() -> Vec<u8> {
    let record = json!({
        "time": EventTime(wall_clock()()).to_string(), "resourceId": id(ACCOUNTS, "aif"),
        "category": "Administrative", "operationName": "MICROSOFT.COGNITIVESERVICES/ACCOUNTS/WRITE",
        "resultType": "Success", "callerIpAddress": "198.51.100.7", "correlationId": "c-1",
        "identity": { "claims": {
            "http://schemas.xmlsoap.org/ws/2005/05/identity/claims/upn": "eve@contoso.example",
        } },
        "properties": { "eventCategory": "Administrative" },
    });
    json!({ "records": [record] }).to_string().into_bytes()
}

fn start(world: &World, life: &str) -> Running {
    let mut command = Command::new(program());
    command
        .args(["run", "--flush-ms", "50", "--hub-time-scale", "0", "--config"])
        .arg(world.path("tokenwatch.toml"))
        .arg("--capture")
        .arg(world.path(life))
        .stdout(Stdio::null())
        .stderr(File::create(world.path(&format!("{life}.log"))).unwrap());
    world.entra.environment(&mut command);
    Running::spawn(&mut command)
}

/// Parts of the inventory that were captured, and so read.
fn captured(world: &World, life: &str) -> usize {
    let text = std::fs::read_to_string(world.path(life)).unwrap_or_default();
    text.matches("tokenwatch.inventory").count()
}

/// Waits until so many parts were captured.
async fn read(world: &World, life: &str, parts: usize) {
    let all = async {
        while captured(world, life) < parts {
            sleep(Duration::from_millis(100)).await;
        }
    };
    let log = || std::fs::read_to_string(world.path(&format!("{life}.log"))).unwrap();
    assert!(timeout(PATIENCE, all).await.is_ok(), "{}", log());
}

async fn incidents(db: &str) -> Vec<Incident> {
    match Reader::open(Path::new(db)).await {
        Ok(mut reader) => reader.incidents().await.unwrap_or_default(),
        Err(_) => Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_that_says_nothing_is_followed_by_a_reading_that_does() {
    let world = World::new().await;
    hold(&world, false);
    let (listen, hubs) = ("127.0.0.1:0".parse().unwrap(), vec![HubSpec::new("logs", 1)]);
    let clock = EmulatorClock::fixed(wall_clock()());
    let emulator = Emulator::start(listen, hubs, clock.clone()).await.unwrap();
    std::fs::write(world.path("secret"), emulator.connection_string("logs")).unwrap();
    let config = format!(
        "database = \"t.db\"\n[[hub]]\nname = \"east\"\nhub = \"logs\"\n\
         auth = \"connection-string\"\nconnection_string = {{ file = \"secret\" }}\n\
         custom_endpoint = \"{}\"\n[resource_graph]\nsubscriptions = [\"{SUBSCRIPTION}\"]\n\
         endpoint = \"https://localhost:{}\"\nauth = \"workload\"\n",
        emulator.endpoint(),
        world.arm.port()
    );
    std::fs::write(world.path("tokenwatch.toml"), config).unwrap();
    emulator.control().append("logs", 0, b"{}".to_vec()).unwrap();
    let db = world.path("t.db");

    let service = start(&world, "one");
    read(&world, "one", 1).await;
    service.stop().await;

    // A start reads at once. Then somebody writes, and what was set is read soon after.
    let service = start(&world, "two");
    read(&world, "two", 1).await;
    hold(&world, true);
    emulator.control().append("logs", 0, written()).unwrap();
    read(&world, "two", 2).await;
    assert_eq!(incidents(&db).await, []);
    clock.advance(LATER_MS);
    emulator.control().append("logs", 0, b"{}".to_vec()).unwrap();
    let told = async {
        while incidents(&db).await.is_empty() {
            sleep(Duration::from_millis(100)).await;
        }
    };
    assert!(timeout(PATIENCE, told).await.is_ok());
    service.stop().await;
    let found = incidents(&db).await;
    let [incident] = found.as_slice() else { panic!("{found:#?}") };
    let story = incident.evidence.join("\n");
    assert_eq!(incident.rule, "TW-P04");
    for part in ["Disabled → Enabled", "eve@contoso.example", "two readings of the inventory"] {
        assert!(story.contains(part), "{part}: {story}");
    }

    let again = world.path("again.db");
    let replayed = Command::new(program())
        .arg("replay")
        .args([world.path("one"), world.path("two")])
        .args(["--db", &again, "--format", "json"])
        .output()
        .unwrap();
    assert!(replayed.status.success());
    let read: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    assert!(read.to_string().contains("Inventory by REST"), "{read}");
    let replayed = incidents(&again).await;
    let same = |all: &[Incident]| all.iter().map(|i| i.evidence.clone()).collect::<Vec<_>>();
    assert_eq!(same(&replayed), same(&found));
}
