//! Webhooks at a receiver that is made of other people's libraries, in a process of its own.
//!
//! Runs when `TOKENWATCH_PEER_PYTHON` names a Python with standardwebhooks, cloudevents,
//! py-ocsf-models and ocsf-json-schema, as `./test` sees to; a machine with Rust alone says so and
//! goes on.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokenwatch::incident::digest::Gathering;
use tokenwatch::incident::{
    Announcement, CallerShare, Digest, Incident, Kind, Response, Severity, State,
};
use tokenwatch::known::About;
use tokenwatch::money::NanoUsd;
use tokenwatch::notify::format::{FORMATS, Template};
use tokenwatch::notify::{
    Body, Destination, HttpSettings, Notification, SendError, WebhookSettings, deliver, render,
    render_digest,
};
use tokenwatch::pipeline::wall_clock;
use tokenwatch::time::{ArrivalTime, EventTime};

/// Key of 32 zero bytes, and one of 32 ones.
const SECRET: &str = "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=";
const OTHER: &str = "whsec_AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

/// A receiver and the folder of what it found.
struct Peer {
    process: Child,
    port: u16,
    folder: TempDir,
}

impl Peer {
    /// Starts a receiver that trusts `secret`; `None`, with a line saying so, where it cannot run.
    fn start(secret: &str) -> Option<Self> {
        let Some(python) = std::env::var_os("TOKENWATCH_PEER_PYTHON") else {
            return skipped("TOKENWATCH_PEER_PYTHON names no python");
        };
        let modules =
            ["standardwebhooks", "cloudevents", "py_ocsf_models", "ocsf_json_schema", "jsonschema"];
        for module in modules {
            let import = format!("import {module}");
            let found = Command::new(&python).args(["-c", &import]).stderr(Stdio::null()).status();
            if !found.unwrap().success() {
                return skipped(&format!("{module} is not installed"));
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/webhook_receiver.py");
        let mut process = Command::new(python)
            .arg(script)
            .arg("--folder")
            .arg(folder.path())
            .args(["--secret", secret])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Some(Self { process, port: line.trim().parse().unwrap(), folder })
    }

    fn destination(&self, secret: &str, previous: Option<&str>, body: Body) -> Destination {
        let settings = WebhookSettings {
            http: HttpSettings::new(&format!("http://127.0.0.1:{}/hook?sig=hidden", self.port)),
            secret: secret.into(),
            previous_secret: previous.map(Into::into),
            body,
        };
        Destination::new("siem", Severity::Info, settings)
    }

    /// What the receiver found in the `nth` request.
    fn found(&self, nth: usize) -> Value {
        let file = self.folder.path().join(format!("{nth}.json"));
        serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        self.process.wait().unwrap();
    }
}

fn skipped(why: &str) -> Option<Peer> {
    std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
    None
}

fn announcement(kind: Kind) -> Announcement {
    let caller = |network: &str, identity: &str| CallerShare {
        network: network.to_owned(),
        identity: identity.to_owned(),
        tokens: 4_402_118,
        cost: Some(NanoUsd(193_690_000_000)),
        new: true,
        about: About {
            asn: Some(64_500),
            as_name: Some("Example Hosting".to_owned()),
            country: Some("ZZ".to_owned()),
            ..About::default()
        },
        name: None,
    };
    let over = kind == Kind::Resolve;
    let state = match kind {
        Kind::Resolve => State::Resolved,
        Kind::Acknowledge => State::Acknowledged,
        Kind::Open | Kind::Escalate | Kind::Reopen | Kind::Repeat | Kind::Test => State::Open,
    };
    let incident = Incident {
        key: "TW-C01|aif-contoso-prod/chat-prod|1|x".to_owned(),
        rule: "TW-C01".to_owned(),
        rule_name: "Token volume spike".to_owned(),
        account: "aif-contoso-prod".to_owned(),
        deployment: Some("chat-prod".to_owned()),
        resource_id: Some(
            "/subscriptions/5c1f0000-0000-4000-8000-00000000a11c/resourceGroups/rg-ai-prod/\
             providers/Microsoft.CognitiveServices/accounts/aif-contoso-prod"
                .to_owned(),
        ),
        model: Some("gpt-5.1".to_owned()),
        severity: Severity::High,
        state,
        first_window: EventTime(1_795_489_500_000),
        last_window: EventTime(1_795_490_700_000),
        opened_at: ArrivalTime(1_795_489_841_250),
        resolved_at: over.then_some(ArrivalTime(1_795_499_841_250)),
        observed: 4_812_330.0,
        expected: 341_200.0,
        bound: 612_000.0,
        unit: "tokens in 5 min".to_owned(),
        cost: Some(NanoUsd(214_370_000_000)),
        callers: vec![
            caller("198.51.100.0/24", "key"),
            caller("", "7b0d2c1e-94a1-4b6e-8a53-0c2f7d5e1a90"),
        ],
        evidence: vec!["Output share rose \u{202E}ünïcödé \"<b>\" 漢字.".to_owned()],
        response: vec![Response {
            what: "Replace key 1.".to_owned(),
            command: "az cognitiveservices account keys regenerate --key-name Key1".to_owned(),
        }],
        confidence: 0.94,
        ..Incident::default()
    };
    Announcement { kind, step: 0, at: incident.opened_at, written: None, incident }
}

fn digest() -> Digest {
    // Nothing is known of the second but that it is there.
    let sparse = Announcement {
        written: None,
        kind: Kind::Open,
        step: 0,
        at: ArrivalTime(0),
        incident: Incident { key: "TW-S01|hub|1|x".to_owned(), ..Incident::default() },
    };
    Digest {
        key: "account=aif-contoso-prod|7".to_owned(),
        group: "account=aif-contoso-prod".to_owned(),
        gathering: Gathering::Storm,
        at: ArrivalTime(1_795_489_900_000),
        labels: BTreeMap::from([("account".to_owned(), "aif-contoso-prod".to_owned())]),
        announcements: vec![announcement(Kind::Open), sparse],
    }
}

/// Every message a receiver may get.
fn messages(destination: &Destination) -> Vec<Notification> {
    let to = std::slice::from_ref(destination);
    let mut messages: Vec<_> =
        Kind::ALL.iter().flat_map(|kind| render(&announcement(*kind), to).unwrap()).collect();
    messages.push(render_digest(&digest(), destination).unwrap());
    assert_eq!(messages.len(), Kind::ALL.len() + 1);
    messages
}

async fn send(destination: &Destination, message: &Notification) -> Result<(), SendError> {
    let channel = destination.connect().unwrap();
    deliver::attempt(&*channel, message, wall_clock()() / 1_000).await.result
}

#[tokio::test]
async fn every_message_of_every_format_is_verified_and_read_by_others() {
    let Some(peer) = Peer::start(SECRET) else { return };
    let mut nth = 0;
    for format in FORMATS {
        let destination = peer.destination(SECRET, None, Body::Format(format));
        for message in messages(&destination) {
            let sent = send(&destination, &message).await;
            let found = peer.found(nth);
            assert_eq!(sent, Ok(()), "{format:?} {:?}: {found}", message.kind);
            assert_eq!(found["content_type"], format.content_type);
            match format.name {
                "cloudevents" => {
                    assert_eq!(found["as"], "cloudevents");
                    assert_eq!((&found["id"], &found["key"]), (&found["key"], &found["id"]));
                    assert_eq!(found["id"], message.key.as_str());
                }
                "ocsf" => assert_eq!(found["as"], "ocsf"),
                _ => assert_eq!(found["as"], "json"),
            }
            nth += 1;
        }
    }
}

#[tokio::test]
async fn findings_are_what_their_library_says() {
    let Some(peer) = Peer::start(SECRET) else { return };
    let ocsf = FORMATS.into_iter().find(|format| format.name == "ocsf").unwrap();
    let destination = peer.destination(SECRET, None, Body::Format(ocsf));
    let expected = [
        ("Create", "New"),
        ("Update", "New"),
        ("Update", "New"),
        ("Update", "InProgress"),
        ("Update", "New"),
        ("Close", "Resolved"),
        ("Other", "New"),
        ("Create", "New"),
    ];
    for (nth, message) in messages(&destination).iter().enumerate() {
        assert_eq!(send(&destination, message).await, Ok(()));
        let found = peer.found(nth);
        let (activity, status) = expected[nth];
        let told = ["activity", "type", "status", "severity"].map(|name| found[name].clone());
        assert_eq!(told, [activity, activity, status, "High"], "{nth}");
    }
}

#[tokio::test]
async fn during_a_change_of_secrets_both_are_accepted_by_others() {
    for trusted in [SECRET, OTHER] {
        let Some(peer) = Peer::start(trusted) else { return };
        let both = peer.destination(OTHER, Some(SECRET), Body::default());
        let message = messages(&both).remove(0);
        assert_eq!(send(&both, &message).await, Ok(()));
        // A message that was signed with neither is refused.
        let stranger = "whsec_AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=";
        let neither = peer.destination(stranger, None, Body::default());
        let refused = send(&neither, &message).await;
        assert_eq!(refused, Err(SendError::GiveUp { reason: "answered 401".to_owned() }));
        assert_eq!(peer.found(1)["problem"], "No matching signature found");
        // One that changed on the way, too.
        let changed = Notification { key: "another".to_owned(), ..message };
        assert_eq!(send(&both, &changed).await, Ok(()), "it is signed anew");
    }
}

#[tokio::test]
async fn bodies_of_a_template_are_signed_as_they_are() {
    let Some(peer) = Peer::start(SECRET) else { return };
    let source = "{\n  \"type\": {{ type }},\n  \"text\": {{ data.summary }}\n}";
    let template = Template::new(source, "application/vnd.contoso+json").unwrap();
    let destination = peer.destination(SECRET, None, Body::Template(template));
    for (nth, message) in messages(&destination).iter().enumerate() {
        assert!(message.body.starts_with(b"{\n  \"type\": \"incident."));
        assert_eq!(send(&destination, message).await, Ok(()));
        assert_eq!(peer.found(nth)["content_type"], "application/vnd.contoso+json");
    }
}
