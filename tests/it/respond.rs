//! Steps that the operator's automation takes, by the real program against a receiver on loopback: nothing leaves
//! before two words, and what leaves is signed, the same at every attempt, and answered for.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use standardwebhooks::Webhook;
use tokenwatch::emulator::{Emulator, EmulatorClock, HubSpec};
use tokenwatch::store::read::Reader;
use tokio::time::{sleep, timeout};

use crate::harness::{Folder, Ran, refuses, run, says};
use crate::lists::serve as serve_program;
use crate::records::{ACCOUNT, MORNING, at};
use crate::rest_server::{Reply, Request, serve};

const SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const STEP: [&str; 2] = ["--step", "close-public-access"];
const PATIENCE: Duration = Duration::from_secs(60);

/// An automation that answers as it is told, and what it was sent.
#[derive(Clone)]
struct Automation {
    port: u16,
    status: Arc<Mutex<u16>>,
    sent: Arc<Mutex<Vec<Request>>>,
}

impl Automation {
    async fn start() -> Self {
        let (status, sent) = (Arc::new(Mutex::new(202)), Arc::new(Mutex::new(Vec::new())));
        let (answer, taken) = (Arc::clone(&status), Arc::clone(&sent));
        let handler = move |request: &Request| {
            taken.lock().unwrap_or_else(PoisonError::into_inner).push(request.clone());
            let status = *answer.lock().unwrap_or_else(PoisonError::into_inner);
            Reply::Answer(status, String::new(), Vec::new())
        };
        let port = serve(None, Arc::new(handler)).await;
        Self { port, status, sent }
    }

    fn answers(&self, status: u16) {
        *self.status.lock().unwrap_or_else(PoisonError::into_inner) = status;
    }

    fn sent(&self) -> Vec<Request> {
        self.sent.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What was sent once there is as much.
    async fn until(&self, count: usize) -> Vec<Request> {
        let waiting = async {
            while self.sent().len() < count {
                sleep(Duration::from_millis(20)).await;
            }
        };
        drop(timeout(PATIENCE, waiting).await);
        let sent = self.sent();
        assert!(sent.len() >= count, "{sent:#?}");
        sent
    }
}

/// The account written with this public access.
fn written(second: i64, access: &str) -> String {
    let body = json!({ "properties": { "publicNetworkAccess": access } });
    let record = json!({
        "time": at(second), "resourceId": ACCOUNT, "category": "Administrative",
        "operationName": "MICROSOFT.COGNITIVESERVICES/ACCOUNTS/WRITE",
        "resultType": "Success", "resultSignature": "Succeeded.OK", "durationMs": "0",
        "callerIpAddress": "198.51.100.7", "correlationId": format!("c-{second}"),
        "properties": { "eventCategory": "Administrative", "responseBody": body.to_string() },
    });
    json!({ "records": [record] }).to_string()
}

/// A hub that tells of an account that was opened, and the configuration of a service that reads it.
async fn hub(folder: &Folder, automation: &Automation, more: &str) -> Emulator {
    let listen = "127.0.0.1:0".parse().unwrap();
    let clock = EmulatorClock::fixed(MORNING * 1_000);
    let emulator = Emulator::start(listen, vec![HubSpec::new("logs", 1)], clock).await.unwrap();
    let told = [(60, written(1, "Disabled")), (7_200, written(7_000, "Enabled"))];
    for (second, body) in told.into_iter().chain([(9_000, "{}".to_owned())]) {
        let enqueued_ms = (MORNING + second) * 1_000;
        emulator.control().append_at("logs", 0, body.into_bytes(), enqueued_ms).unwrap();
    }
    folder.write("secret", emulator.connection_string("logs").as_bytes());
    folder.write("url", format!("http://127.0.0.1:{}/steps", automation.port).as_bytes());
    folder.write("signing", SECRET.as_bytes());
    let config = format!(
        "database = \"live.db\"\n[[hub]]\nname = \"east\"\nhub = \"logs\"\n\
         auth = \"connection-string\"\nconnection_string = {{ file = \"secret\" }}\n\
         custom_endpoint = \"{}\"\n{more}",
        emulator.endpoint()
    );
    folder.write("tokenwatch.toml", config.as_bytes());
    emulator
}

const RESPONSE: &str = "[response]\nurl = { file = \"url\" }\nsecret = { file = \"signing\" }\n";

/// The id of the incident about the opened account, once it is there.
async fn incident(folder: &Folder) -> String {
    let db = folder.path("live.db");
    let waiting = async {
        loop {
            if let Ok(mut reader) = Reader::open(Path::new(&db)).await
                && let Ok(incidents) = reader.incidents().await
                && let Some(found) = incidents.iter().find(|incident| incident.rule == "TW-P04")
            {
                return found.id();
            }
            sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, waiting).await.unwrap()
}

fn ask(folder: &Folder, (word, id): (&str, &str), by: &str) -> Ran {
    let db = folder.path("live.db");
    run(&[&["respond", word, id], &STEP[..], &["--db", &db, "--by", by]].concat())
}

/// What `incidents show` says, once it says `part`.
async fn shown(folder: &Folder, id: &str, part: &str) -> String {
    let db = folder.path("live.db");
    let waiting = async {
        loop {
            let shown = run(&["incidents", "show", id, "--db", &db]).out;
            if shown.contains(part) {
                return shown;
            }
            sleep(Duration::from_millis(100)).await;
        }
    };
    let found = timeout(PATIENCE, waiting).await;
    found.unwrap_or_else(|_| run(&["incidents", "show", id, "--db", &db]).out)
}

/// What was asked for by a call, whose signature must be ours.
#[track_caller]
fn verified(request: &Request) -> Value {
    let of = |name: &str| request.headers.get(name).cloned().unwrap_or_default();
    let stamp = of("webhook-timestamp").parse().unwrap();
    let signer = Webhook::new(SECRET).unwrap();
    let signed = signer.sign(&of("webhook-id"), stamp, request.body.as_bytes()).unwrap();
    assert_eq!(of("webhook-signature"), signed);
    let body: Value = serde_json::from_str(&request.body).unwrap();
    assert_eq!(body.get("key").and_then(Value::as_str), Some(&*of("webhook-id")));
    body
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_step_leaves_after_two_words_is_answered_for_and_undone() {
    let (folder, automation) = (Folder::new(), Automation::start().await);
    let _emulator = hub(&folder, &automation, RESPONSE).await;
    let running = serve_program(&folder);
    let id = incident(&folder).await;
    let db = folder.path("live.db");
    says(&run(&["respond", "list", &id, "--db", &db]), "close-public-access");
    refuses(&ask(&folder, ("confirm", &id), "ann"), "nothing is proposed");
    says(&ask(&folder, ("propose", &id), "ann"), "nothing is done before it is confirmed");
    sleep(Duration::from_secs(2)).await;
    assert_eq!(automation.sent().len(), 0);
    says(&ask(&folder, ("confirm", &id), "ann"), "the call leaves now");
    let sent = automation.until(1).await;
    let body = verified(sent.first().unwrap());
    let of = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
    assert_eq!((of("incident"), of("step")), (&*id, "close-public-access"));
    assert!(of("command").ends_with("properties.publicNetworkAccess=Disabled"), "{body}");
    assert!(of("undo_command").ends_with("properties.publicNetworkAccess=Enabled"), "{body}");
    let said = shown(&folder, &id, "was accepted by your automation: answered 202").await;
    for part in ["proposed close-public-access: az resource", "confirmed close-public-access (ann)"]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
    refuses(&ask(&folder, ("propose", &id), "ann"), "undo it first");
    // A call tells nobody, so it is no message of the rule.
    let stats = run(&["incidents", "stats", "--db", &db, "--weeks", "520", "--format", "json"]);
    let stats: Value = serde_json::from_str(&stats.out).unwrap();
    assert_eq!(stats.pointer("/0/messages"), Some(&json!(0)), "{stats}");

    says(&ask(&folder, ("undo", &id), "bob"), "proposed undo of close-public-access");
    says(&ask(&folder, ("confirm", &id), "bob"), "the call leaves now");
    let sent = automation.until(2).await;
    let undone = verified(sent.last().unwrap());
    assert_eq!(undone.get("command"), body.get("undo_command"));
    assert_eq!(undone.get("undo"), Some(&json!(true)));
    assert_ne!(undone.get("key"), body.get("key"));
    shown(&folder, &id, "undo of close-public-access was accepted").await;
    let doctor = run(&["doctor", "--config", &folder.path("tokenwatch.toml")]);
    assert!(!doctor.out.contains("your automation"), "{}", doctor.out);

    // One that wants nothing of it is said to, and leaves things as they are.
    automation.answers(403);
    says(&ask(&folder, ("propose", &id), "ann"), "proposed");
    says(&ask(&folder, ("confirm", &id), "bob"), "the call leaves now");
    let said = shown(&folder, &id, "was refused by your automation").await;
    assert!(said.contains("answered 403"), "{said}");
    refuses(&ask(&folder, ("undo", &id), "ann"), "nothing to undo");
    let doctor = run(&["doctor", "--config", &folder.path("tokenwatch.toml")]);
    assert!(doctor.out.contains("your automation refused the last call"), "{}", doctor.out);
    drop(running);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_sends_the_same_call_again_and_no_other() {
    let (folder, automation) = (Folder::new(), Automation::start().await);
    let more = format!("{RESPONSE}two_people = true\nsteps = [\"close-public-access\"]\n");
    let _emulator = hub(&folder, &automation, &more).await;
    let running = serve_program(&folder);
    let id = incident(&folder).await;
    automation.answers(503);
    says(&ask(&folder, ("propose", &id), "ann"), "proposed");
    refuses(&ask(&folder, ("confirm", &id), "Ann"), "somebody else must confirm it");
    assert_eq!(automation.sent().len(), 0);
    says(&ask(&folder, ("confirm", &id), "bob"), "the call leaves now");
    automation.until(1).await;
    drop(running);
    let before = automation.sent().len();
    automation.answers(200);
    let running = serve_program(&folder);
    let sent = automation.until(before + 1).await;
    let said = shown(&folder, &id, "was accepted by your automation: answered 200").await;
    assert!(said.contains("answered 200"), "{said}");
    let first = sent.first().unwrap();
    for request in &sent {
        verified(request);
        assert_eq!(request.headers.get("webhook-id"), first.headers.get("webhook-id"));
        assert_eq!(request.body, first.body);
    }
    drop(running);
    let taken = automation.sent().len();
    let _running = serve_program(&folder);
    sleep(Duration::from_secs(2)).await;
    assert_eq!(automation.sent().len(), taken);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_table_nothing_can_be_asked_for() {
    let (folder, automation) = (Folder::new(), Automation::start().await);
    let _emulator = hub(&folder, &automation, "").await;
    let _running = serve_program(&folder);
    let id = incident(&folder).await;
    refuses(&ask(&folder, ("propose", &id), "ann"), "responses are off");
    let db = folder.path("live.db");
    says(&run(&["respond", "list", "--db", &db]), "nothing was proposed");
    let config = folder.path("tokenwatch.toml");
    refuses(&run(&["respond", "test", "--config", &config]), "there is no [response]");
    assert_eq!(automation.sent().len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_test_call_asks_for_nothing() {
    let (folder, automation) = (Folder::new(), Automation::start().await);
    let _emulator = hub(&folder, &automation, RESPONSE).await;
    let config = folder.path("tokenwatch.toml");
    says(&run(&["respond", "test", "--config", &config]), "your automation answered 202");
    let sent = automation.until(1).await;
    let body = verified(sent.first().unwrap());
    assert_eq!((body.get("type"), body.get("command")), (Some(&json!("response.test")), None));
    automation.answers(500);
    let ran = run(&["respond", "test", "--config", &config]);
    assert_eq!(ran.code, Some(1), "{}", ran.err);
    assert!(ran.out.contains("was not reached") && ran.out.contains("500"), "{}", ran.out);
}

#[test]
fn all_that_is_wrong_with_the_table_is_told_at_once() {
    let folder = Folder::new();
    let hub = "[[hub]]\nname = \"a\"\nnamespace = \"n.servicebus.windows.net\"\nhub = \"h\"\n";
    let url = folder.write("url", b"http://automation.contoso.example/hidden");
    let secret = folder.write("signing", b"whsec_short");
    let wrong = format!(
        "{hub}[response]\nurl = {{ file = {url:?} }}\nsecret = {{ file = {secret:?} }}\n\
         steps = [\"disable-keys\", \"delete-all\"]\nwithin = \"3h\"\ntwo_peple = true\n"
    );
    let file = folder.write("t.toml", wrong.as_bytes());
    let ran = run(&["check", "--config", &file]);
    assert_eq!(ran.code, Some(3), "{}", ran.out);
    for part in [
        "http only to a loopback host",
        "whsec_",
        "no step \"delete-all\"",
        "out of range",
        "two_peple",
    ] {
        assert!(ran.out.contains(part), "{part}: {}", ran.out);
    }
    assert!(!ran.out.contains("hidden"), "{}", ran.out);

    let url = folder.write("url", b"https://automation.contoso.example/hidden");
    let secret = folder.write("signing", SECRET.as_bytes());
    let right = format!(
        "{hub}[response]\nurl = {{ file = {url:?} }}\nsecret = {{ file = {secret:?} }}\n\
         steps = [\"disable-keys\"]\nwithin = \"5m\"\ntwo_people = true\n"
    );
    let file = folder.write("t.toml", right.as_bytes());
    let ran = run(&["check", "--config", &file]);
    says(&ran, "disable-keys, once confirmed within 5 min, by somebody else");
    says(&run(&["check", "--config", &file, "--without-secrets"]), "disable-keys");
}
