//! `run` from outside: a configuration, a hub, SIGTERM, and a capture that replays to the same sums.

use std::process::{Command, Stdio};
use std::time::Duration;

use tokenwatch::emulator::{Emulator, EmulatorClock, HubSpec};
use tokenwatch::simulate::{Options, Scenario, Simulation};
use tokenwatch::store::read::{Reader, Totals};
use tokio::time::{sleep, timeout};

use crate::harness::program;

async fn totals(database: &std::path::Path) -> Option<Totals> {
    Reader::open(database).await.ok()?.totals().await.ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_ends_it_and_the_capture_replays_to_the_same_totals() {
    let simulation = Simulation::new(Options {
        scenario: Scenario::Quiet,
        seed: 8,
        history_hours: 2,
        live_minutes: 30,
        deployments: 2,
        ..Options::default()
    });
    let (start, _, _) = simulation.span();
    let hubs = vec![HubSpec::new("logs", 4)];
    let listen = "127.0.0.1:0".parse().unwrap();
    let emulator = Emulator::start(listen, hubs, EmulatorClock::fixed(start)).await.unwrap();
    for event in simulation.events() {
        let control = emulator.control();
        control.append_at("logs", event.partition, event.body, event.enqueued_ms).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret"), emulator.connection_string("logs")).unwrap();
    let config = format!(
        "database = \"live.db\"\n[[hub]]\nname = \"east\"\nhub = \"logs\"\nconsumer_group = \"tokenwatch\"\n\
         auth = \"connection-string\"\nconnection_string = {{ file = \"secret\" }}\n\
         custom_endpoint = \"{}\"\n",
        emulator.endpoint()
    );
    let file = folder.path().join("tokenwatch.toml");
    std::fs::write(&file, config).unwrap();
    let capture = folder.path().join("capture.jsonl");
    let mut child = Command::new(program())
        .args(["run", "--hub-time-scale", "0", "--config"])
        .arg(&file)
        .arg("--capture")
        .arg(&capture)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let live = folder.path().join("live.db");
    let wanted: i64 = simulation.truth().deployments.iter().map(|d| d.calls).sum();
    let all_counted = async {
        loop {
            let counted = totals(&live).await.map_or(0, |totals| {
                totals.deployments.iter().map(|total| total.split.total().calls).sum()
            });
            if counted == wanted {
                return;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    timeout(Duration::from_secs(60), all_counted).await.unwrap();
    let signalled = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
    assert!(signalled.unwrap().success());
    let ended = tokio::task::spawn_blocking(move || child.wait().unwrap());
    let status = timeout(Duration::from_secs(10), ended).await.unwrap().unwrap();
    assert_eq!(status.code(), Some(0));

    let again = folder.path().join("again.db");
    let replayed = Command::new(program())
        .arg("replay")
        .arg(&capture)
        .arg("--db")
        .arg(&again)
        .output()
        .unwrap();
    assert!(replayed.status.success());
    assert_eq!(totals(&again).await, totals(&live).await);
}

#[test]
fn a_wrong_configuration_starts_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("tokenwatch.toml");
    std::fs::write(&file, "database = \"x.db\"\n[[hub]]\nnane = \"east\"\n").unwrap();
    let output = Command::new(program()).args(["run", "--config"]).arg(&file).output();
    let output = output.unwrap();
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stdout).contains("nane"));
    assert!(!folder.path().join("x.db").exists());
}
