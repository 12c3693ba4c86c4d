//! Names of object ids from a server that answers as Microsoft Graph does, over TLS and with the real
//! credentials.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tokenwatch::azure::{Directory, DirectorySettings, Identity, Pace};
use tokenwatch::engine::effects::Effects;
use tokenwatch::event::{Arrival, Batch};
use tokenwatch::incident::Incident;
use tokenwatch::pipeline::{Service, Watch, wall_clock};
use tokenwatch::source::{Source, SourceError};
use tokenwatch::time::{ArrivalTime, DAY_MS, MINUTE_MS};
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::harness::{open, partition};
use crate::rest_server::{Reply, Request, serve, trusted};

const GRAPH: &str = "https://graph.microsoft.com";
const PATIENCE: Duration = Duration::from_secs(60);

fn id(number: usize) -> String {
    format!("c2b7a1d0-5e6f-4a7b-8c9d-{number:012x}")
}

/// A directory in which every third object does not exist, and the others are users and
/// applications by turns.
#[derive(Default)]
struct Graph {
    /// Ids of each question.
    asked: Mutex<Vec<Vec<String>>>,
    faults: Mutex<VecDeque<Reply>>,
}

/// The name we are to give.
fn truth(number: usize) -> Option<String> {
    match number % 3 {
        0 => None,
        1 => Some(format!("User {number} (u{number}@contoso.example)")),
        _ => Some(format!("app-{number} (application)")),
    }
}

impl Graph {
    fn reply(&self, request: &Request) -> Reply {
        let body: serde_json::Value = serde_json::from_str(&request.body).unwrap();
        let list = |name: &str| {
            let list = body.get(name).and_then(|list| list.as_array()).unwrap();
            list.iter().map(|text| text.as_str().unwrap().to_owned()).collect::<Vec<_>>()
        };
        let ids = list("ids");
        let fine = request.method == "POST"
            && request.path == "/v1.0/directoryObjects/getByIds"
            && list("types") == ["user", "servicePrincipal", "group"]
            && (1..=1_000).contains(&ids.len());
        assert!(fine, "{request:?}");
        self.asked.lock().unwrap().push(ids.clone());
        if let Some(fault) = self.faults.lock().unwrap().pop_front() {
            return fault;
        }
        let objects = ids.iter().filter_map(|id| {
            let number = usize::from_str_radix(id.rsplit('-').next().unwrap(), 16).unwrap();
            match number % 3 {
                0 => None,
                1 => Some(json!({
                    "@odata.type": "#microsoft.graph.user", "id": id,
                    "displayName": format!("User {number}"),
                    "userPrincipalName": format!("u{number}@contoso.example"),
                })),
                _ => Some(json!({
                    "@odata.type": "#microsoft.graph.servicePrincipal", "id": id,
                    "displayName": format!("app-{number}"), "appDisplayName": "other",
                })),
            }
        });
        Reply::json(&json!({ "value": objects.collect::<Vec<_>>() }).to_string())
    }

    fn counts(&self) -> Vec<usize> {
        self.asked.lock().unwrap().iter().map(Vec::len).collect()
    }
}

struct World {
    graph: Arc<Graph>,
    settings: DirectorySettings,
    clock_ms: Arc<AtomicI64>,
    folder: tempfile::TempDir,
}

impl World {
    async fn new(tls: tokio_rustls::TlsAcceptor) -> Self {
        let graph = Arc::new(Graph::default());
        let server = Arc::clone(&graph);
        let port = serve(Some(tls), Arc::new(move |request| server.reply(request))).await;
        let folder = tempfile::tempdir().unwrap();
        let settings = DirectorySettings {
            endpoint: format!("https://localhost:{port}").parse().unwrap(),
            identity: Identity::Workload,
            file: folder.path().join("names.json"),
        };
        Self { graph, settings, clock_ms: Arc::new(AtomicI64::new(1_791_278_130_000)), folder }
    }

    fn start(&self) -> Directory {
        let pace = Pace {
            answer: Duration::from_secs(5),
            backoff: (Duration::from_millis(100), Duration::from_millis(400)),
            distance: Duration::from_millis(10),
            ..Pace::default()
        };
        let clock_ms = Arc::clone(&self.clock_ms);
        Directory::start(
            self.settings.clone(),
            pace,
            Arc::new(move || clock_ms.load(Ordering::SeqCst)),
        )
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("names.json")
    }

    async fn asked(&self, questions: usize) {
        let waiting = async {
            while self.graph.counts().len() < questions {
                sleep(Duration::from_millis(10)).await;
            }
        };
        assert!(timeout(PATIENCE, waiting).await.is_ok(), "{:?}", self.graph.counts());
    }
}

fn ask(directory: &Directory, numbers: &[usize]) {
    let ids: Vec<_> = numbers.iter().map(|number| id(*number)).collect();
    directory.ask(ids.iter().map(String::as_str));
}

/// Waits until so many names are known.
async fn known(directory: &mut Directory, count: usize) -> BTreeMap<String, String> {
    let waiting = async {
        loop {
            if let Some(names) = directory.news().filter(|names| names.len() == count) {
                return (*names).clone();
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap()
}

#[tokio::test]
async fn names_are_asked_for_together_and_once() {
    trusted("directory::names_are_asked_for_together_and_once", GRAPH, async |tls| {
        let world = World::new(tls).await;
        let mut directory = world.start();
        for number in 0..1_500 {
            directory.ask([id(number).to_uppercase().as_str(), "not an id", ""]);
            if number % 50 == 0 {
                sleep(Duration::from_millis(1)).await;
            }
        }
        let names = known(&mut directory, 1_000).await;
        for number in 0..1_500 {
            assert_eq!(names.get(&id(number)), truth(number).as_ref());
        }
        let counts = world.graph.counts();
        assert_eq!(counts.iter().sum::<usize>(), 1_500, "{counts:?}");
        assert!(counts.len() < 10, "{counts:?}");
        // Neither a name nor that there is none is asked for again.
        ask(&directory, &[0, 1, 2, 3, 4, 5, 6, 2_002]);
        known(&mut directory, 1_001).await;
        assert_eq!(world.graph.counts().last(), Some(&1));
        directory.close().await;
    })
    .await;
}

#[tokio::test]
async fn names_outlive_the_process_and_are_renewed_in_time() {
    trusted("directory::names_outlive_the_process_and_are_renewed_in_time", GRAPH, async |tls| {
        let world = World::new(tls).await;
        let mut directory = world.start();
        ask(&directory, &[0, 1, 2]);
        let names = known(&mut directory, 2).await;
        directory.close().await;
        let again = async |after_ms: i64, expected: &[usize]| {
            world.clock_ms.fetch_add(after_ms, Ordering::SeqCst);
            let mut directory = world.start();
            assert_eq!(known(&mut directory, names.len()).await, names);
            // The last one is always new, so that there is a question to wait for.
            ask(&directory, &[0, 1, 2, 3 * (world.graph.counts().len() + 10)]);
            let before = world.graph.counts().len();
            world.asked(before + 1).await;
            assert_eq!(&world.graph.counts()[before..], expected);
            while !std::fs::read_to_string(world.file()).unwrap().contains(&id(3 * (before + 10))) {
                sleep(Duration::from_millis(10)).await;
            }
            directory.close().await;
        };
        again(0, &[1]).await;
        again(DAY_MS, &[2]).await;
        again(6 * DAY_MS, &[4]).await;
        std::fs::write(world.file(), "{broken").unwrap();
        let mut directory = world.start();
        ask(&directory, &[1]);
        known(&mut directory, 1).await;
        directory.close().await;
    })
    .await;
}

#[tokio::test]
async fn a_directory_that_does_not_answer_is_asked_again_at_leisure() {
    trusted("directory::a_directory_that_does_not_answer_is_asked_again_at_leisure", GRAPH, async |tls| {
        let world = World::new(tls).await;
        let fault = |status, body: &str| {
            let reply = Reply::Answer(status, String::new(), body.as_bytes().to_vec());
            world.graph.faults.lock().unwrap().push_back(reply);
        };
        fault(403, r#"{"error":{"code":"Authorization_RequestDenied","message":"no"}}"#);
        fault(500, "");
        fault(200, r#"{"value":[{"id":"#);
        fault(200, &format!(r##"{{"value":[{{"@odata.type":"#microsoft.graph.user","id":"{}","displayName":null}}]}}"##, id(1)));
        let mut directory = world.start();
        let began = Instant::now();
        ask(&directory, &[1]);
        world.asked(4).await;
        // Three pauses: at least 50, 100 and 200 ms.
        assert!(began.elapsed() >= Duration::from_millis(350), "{:?}", began.elapsed());
        ask(&directory, &[2]);
        // An object without a name has been answered: it is not asked for again today.
        assert_eq!(known(&mut directory, 1).await, BTreeMap::from([(id(2), truth(2).unwrap())]));
        assert_eq!(world.graph.counts(), [1, 1, 1, 1, 1]);
        directory.close().await;
    })
    .await;
}

/// Hands these batches over, one a step, and waits before the last until the directory was asked.
struct Batches {
    left: VecDeque<Batch>,
    graph: Arc<Graph>,
}

impl Source for Batches {
    async fn next_batch(&mut self) -> Result<Option<Batch>, SourceError> {
        if self.left.len() == 1 {
            let waiting = async {
                while self.graph.counts().is_empty() {
                    sleep(Duration::from_millis(10)).await;
                }
            };
            assert!(timeout(PATIENCE, waiting).await.is_ok());
            // The answer is on its way.
            sleep(Duration::from_millis(300)).await;
        }
        Ok(self.left.pop_front())
    }
}

/// Keeps what was announced.
#[derive(Default)]
struct Told(Vec<Incident>);

impl Watch for Told {
    fn arrived(&mut self, _batch: &Batch) {}

    fn saved(&mut self, effects: &Effects) {
        self.0.extend(effects.announcements.iter().map(|told| told.incident.clone()));
    }
}

#[tokio::test]
async fn an_alert_names_its_callers() {
    trusted("directory::an_alert_names_its_callers", GRAPH, async |tls| {
        let world = World::new(tls).await;
        let start_ms = 1_791_244_800_000;
        let record = |minute: i64| {
            let at = ArrivalTime(start_ms + minute * MINUTE_MS).to_string();
            json!({
                "category": "RequestResponse", "correlationId": format!("call-{minute}"), "time": at,
                "resourceId": "/subscriptions/s/resourceGroups/g/providers/Microsoft.CognitiveServices/accounts/a",
                "callerIpAddress": "203.0.113.***", "resultSignature": "200",
                "properties": { "modelDeploymentName": "d", "modelName": "gpt-4o",
                    "promptTokens": 9_000_000, "completionTokens": 1, "callerObjectId": id(1) },
            })
        };
        let arrival = |minute: i64| Arrival {
            partition: partition(0),
            sequence: minute,
            enqueued: ArrivalTime(start_ms + minute * MINUTE_MS),
            body: record(minute).to_string().into_bytes(),
        };
        let members = vec![partition(0)];
        // The first call tells who there is; its name is there when the ceiling is reached.
        let first = Batch { members, arrivals: vec![arrival(0)], ..Batch::default() };
        let idle = vec![(partition(0), ArrivalTime(start_ms + 120 * MINUTE_MS))];
        let second = Batch { arrivals: (1..10).map(arrival).collect(), idle, ..Batch::default() };
        let left = VecDeque::from([first, second]);
        let source = Batches { left, graph: Arc::clone(&world.graph) };
        let core = open(world.folder.path().join("t.db").to_str().unwrap()).await;
        let service = Service {
            directory: Some(world.start()),
            ..Service::new(core, source, wall_clock())
        };
        let mut told = Told::default();
        service.run(&CancellationToken::new(), &mut told).await.unwrap();
        let ceiling = told.0.iter().find(|incident| incident.rule == "TW-C04").unwrap();
        let names: Vec<_> = ceiling.callers.iter().map(|caller| caller.name.clone()).collect();
        assert_eq!(names, [truth(1)]);
        assert_eq!(world.graph.counts(), [1]);
    })
    .await;
}
