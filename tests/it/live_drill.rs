//! `drill` against a live hub and a running service: from made-up records to the incident.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use tokenwatch::emulator::{Emulator, EmulatorClock, HubSpec};
use tokenwatch::store::read::Reader;
use tokio::time::sleep;

use crate::harness::{Folder, Running, program, run};

struct World {
    folder: Folder,
    _hub: Emulator,
}

impl World {
    async fn new() -> Self {
        let (listen, hubs) = ("127.0.0.1:0".parse().unwrap(), vec![HubSpec::new("logs", 2)]);
        let hub = Emulator::start(listen, hubs, EmulatorClock::real()).await.unwrap();
        let folder = Folder::new();
        folder.write("secret", hub.connection_string("logs").as_bytes());
        let config = format!(
            "database = \"t.db\"\n[[hub]]\nname = \"east\"\nhub = \"logs\"\n\
             auth = \"connection-string\"\nconnection_string = {{ file = \"secret\" }}\n\
             custom_endpoint = \"{}\"\n",
            hub.endpoint()
        );
        folder.write("tokenwatch.toml", config.as_bytes());
        Self { folder, _hub: hub }
    }

    fn serve(&self) -> Running {
        let mut command = Command::new(program());
        command.args(["run", "--flush-ms", "50", "--config", &self.folder.path("tokenwatch.toml")]);
        Running::spawn(command.stdout(Stdio::null()).stderr(Stdio::null()))
    }

    /// What the drill says, with its exit code.
    async fn drill(&self, args: &[&str]) -> (Option<i32>, String) {
        let config = self.folder.path("tokenwatch.toml");
        let args = [&["drill", "--config", &config][..], args].concat();
        let args: Vec<String> = args.into_iter().map(str::to_owned).collect();
        let drill = move || run(&args.iter().map(String::as_str).collect::<Vec<_>>());
        let ran = tokio::task::spawn_blocking(drill).await.unwrap();
        (ran.code, ran.out + &ran.err)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drill_is_told_by_the_service_that_reads_the_hub() {
    let world = World::new().await;
    let (code, said) = world.drill(&["--seed", "3"]).await;
    assert!(code == Some(0) && said.contains("nothing was sent"), "{said}");
    let service = world.serve();
    let db = world.folder.path("t.db");
    while Reader::open(Path::new(&db)).await.is_err() {
        sleep(Duration::from_millis(50)).await;
    }
    let (_, listed) = world.drill(&["--list"]).await;
    let names = listed.split_whitespace().filter(|word| word.starts_with("tw-"));
    let names: Vec<&str> = names.collect();
    assert!(names.len() > 10 && !listed.contains("tw-c01"), "{listed}");
    for name in &names {
        let (code, said) = world.drill(&["--yes", "--wait", "1", "--scenario", name]).await;
        assert!(code == Some(0) && said.contains("told after"), "{name}: {said}");
        assert!(said.contains(&name.to_uppercase()), "{name}: {said}");
    }
    service.stop().await;
    let told = run(&["incidents", "--db", &world.folder.path("t.db")]).out;
    // Among so many fleets a deployment of one may be the dearest of all, and be told as well.
    assert!(told.matches("TW-").count() >= names.len(), "{told}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_drilled_is_said() {
    let world = World::new().await;
    let (code, said) = world.drill(&["--scenario", "tw-c01", "--yes"]).await;
    assert!(code == Some(1) && said.contains("drill --list"), "{said}");
    let (code, said) = world.drill(&["--hub", "west", "--yes"]).await;
    assert!(code == Some(1) && said.contains("no such hub"), "{said}");
    // No service has made a database yet: nothing is sent in vain.
    let (code, said) = world.drill(&["--yes"]).await;
    assert!(code == Some(1) && said.contains("--wait 0"), "{said}");
    let (code, said) = world.drill(&["--yes", "--wait", "0"]).await;
    assert!(code == Some(0) && said.starts_with("sent to east"), "{said}");
}
