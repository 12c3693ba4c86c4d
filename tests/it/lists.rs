//! Lists of networks beside the configuration: from a file to an incident, and a new file without a
//! restart.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokenwatch::emulator::{Emulator, EmulatorClock, HubSpec};
use tokenwatch::incident::{Incident, State};
use tokenwatch::simulate::{Options, Scenario, Simulation};
use tokenwatch::store::read::Reader;
use tokio::time::{sleep, timeout};

use crate::harness::{Folder, Running, capture, program, run, short};

const GOOD: &str = "203.0.113.0/24\n";

/// The incidents about lists, once there is a database.
async fn told(database: &Path) -> Option<Vec<Incident>> {
    let mut incidents = Reader::open(database).await.ok()?.incidents().await.ok()?;
    incidents.retain(|incident| incident.rule == "TW-S07");
    // The hub's time may stand still; the key counts them.
    incidents.sort_by(|a, b| a.key.cmp(&b.key));
    Some(incidents)
}

/// Waits until the incidents about lists are in these states.
pub(crate) async fn until(database: &Path, states: &[State]) -> Vec<Incident> {
    let waiting = async {
        loop {
            let incidents = told(database).await;
            let states_are = |incidents: &Vec<Incident>| {
                incidents.iter().map(|incident| incident.state).eq(states.iter().copied())
            };
            if let Some(incidents) = incidents.filter(states_are) {
                return incidents;
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    match timeout(Duration::from_secs(60), waiting).await {
        Ok(incidents) => incidents,
        Err(_) => panic_with(&told(database).await),
    }
}

#[track_caller]
fn panic_with(told: &Option<Vec<Incident>>) -> Vec<Incident> {
    assert!(told.is_none(), "{told:#?}");
    Vec::new()
}

/// A hub with something to read, and the service that reads it with a list beside it.
pub(crate) async fn start(folder: &Folder, list: &str, more: &str) -> (Emulator, Running) {
    let simulation = Simulation::new(Options {
        scenario: Scenario::Quiet,
        seed: 8,
        history_hours: 1,
        live_minutes: 30,
        deployments: 1,
        ..Options::default()
    });
    let (began, _, _) = simulation.span();
    let listen = "127.0.0.1:0".parse().unwrap();
    let clock = EmulatorClock::fixed(began);
    let emulator = Emulator::start(listen, vec![HubSpec::new("logs", 4)], clock).await.unwrap();
    for event in simulation.events() {
        let control = emulator.control();
        control.append_at("logs", event.partition, event.body, event.enqueued_ms).unwrap();
    }
    folder.write("secret", emulator.connection_string("logs").as_bytes());
    folder.write("list", list.as_bytes());
    let config = format!(
        "database = \"live.db\"\n[[hub]]\nname = \"east\"\nhub = \"logs\"\n\
         auth = \"connection-string\"\nconnection_string = {{ file = \"secret\" }}\n\
         custom_endpoint = \"{}\"\n\
         [[network_list]]\nname = \"exits\"\npath = \"list\"\nformat = \"netset\"\nclass = \"tor\"\n\
         max_age = \"7d\"\n{more}",
        emulator.endpoint()
    );
    folder.write("tokenwatch.toml", config.as_bytes());
    (emulator, serve(folder))
}

/// The service on the configuration in a folder.
pub(crate) fn serve(folder: &Folder) -> Running {
    let config = folder.path("tokenwatch.toml");
    let mut command = Command::new(program());
    command.args(["run", "--hub-time-scale", "0", "--flush-ms", "20", "--config", &config]);
    Running::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_list_is_told_and_over_when_it_is_mended() {
    let folder = Folder::new();
    let (_emulator, mut running) = start(&folder, GOOD, "").await;
    let database = folder.path("live.db");
    let database = Path::new(&database);
    // A list that is broken at the start is a wrong configuration: first it must be running.
    until(database, &[]).await;
    folder.write("list", b"<html>Too many requests</html>");
    let incidents = until(database, &[State::Open]).await;
    let incident = incidents.first().unwrap();
    let said = incident.evidence.first().unwrap();
    assert_eq!((incident.account.as_str(), incident.severity.word()), ("exits", "low"));
    for part in ["first line 1: not a network", "last good copy is used meanwhile: tor, 1 entries"]
    {
        assert!(said.contains(part), "{said:?} does not contain {part:?}");
    }

    folder.write("list", b"203.0.113.0/24\n198.51.100.0/24\n");
    until(database, &[State::Resolved]).await;

    // The same again is another incident; a list that is too old is told alike.
    std::fs::remove_file(folder.path("list")).unwrap();
    until(database, &[State::Resolved, State::Open]).await;
    folder.write("list", GOOD.as_bytes());
    until(database, &[State::Resolved, State::Resolved]).await;
    let long_ago = std::time::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let list = std::fs::File::options().append(true).open(folder.path("list")).unwrap();
    list.set_modified(long_ago).unwrap();
    let incidents = until(database, &[State::Resolved, State::Resolved, State::Open]).await;
    let said = incidents.last().unwrap().evidence.first().unwrap();
    assert!(
        said.contains("was written 2023-11-14T22:13:20Z, longer ago than its max_age"),
        "{said}"
    );
    assert!(running.is_running(), "the service has ended");
}

#[test]
fn what_is_known_about_a_caller_is_told_with_the_incident() {
    let folder = Folder::new();
    let options = Options { calls_per_hour: 60.0, ..short(Scenario::StolenKey, 3) };
    let (events, truth) = capture(options);
    let events = folder.write("events.jsonl", &events);
    let attacker = truth.attack.unwrap().callers.into_iter().next().unwrap();
    folder.write("rented", format!("{attacker}\n").as_bytes());
    let config = "[[hub]]\nname = \"a\"\nnamespace = \"n.servicebus.windows.net\"\nhub = \"h\"\n\
                  [[network]]\nname = \"offices\"\nkind = \"own\"\ncidrs = [\"198.18.0.0/15\"]\n\
                  [[network_list]]\nname = \"rented\"\npath = \"rented\"\nformat = \"netset\"\n\
                  class = \"hosting\"\n";
    let config = folder.write("tokenwatch.toml", config.as_bytes());
    let db = folder.path("x.db");
    let ran = run(&["replay", &events, "--db", &db, "--config", &config]);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    let ran = run(&["incidents", "--db", &db, "--format", "json"]);
    let incidents: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    let callers = incidents.as_array().unwrap().iter().flat_map(|incident| {
        let details = incident.get("caller_details").unwrap().as_array().unwrap();
        let networks = incident.get("callers").unwrap().as_array().unwrap();
        assert_eq!(networks.len(), details.len());
        details
    });
    let about = |caller: &serde_json::Value| {
        let network = caller.get("network").unwrap().as_str().unwrap().to_owned();
        (network, caller.get("about").cloned().unwrap_or_default())
    };
    let callers: Vec<_> = callers.map(about).collect();
    let (_, known) = callers.iter().find(|(network, _)| *network == attacker).unwrap();
    let listed = serde_json::json!([{"class": "hosting", "list": "rented", "extent": "whole"}]);
    assert_eq!(known.get("listed"), Some(&listed));
    for (network, about) in callers.iter().filter(|(network, _)| network.starts_with("198.18.")) {
        assert_eq!(about.pointer("/named/0/name").unwrap(), "offices", "{network}");
    }
    let table = run(&["incidents", "--db", &db]).out;
    assert!(table.contains(&format!("{attacker} (hosting)")), "{table}");
}
