//! Channels against the real receivers: MailDev as a mail server, read back by its API, and
//! Alertmanager.
//!
//! MailDev runs when `TOKENWATCH_PEER_NODE` names a folder with its package, as `./test` sees to;
//! Alertmanager when `prometheus-alertmanager` is installed. A machine without says so and goes on.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tokenwatch::incident::{Announcement, Digest, Kind, Severity};
use tokenwatch::notify::{
    AlertmanagerSettings, Destination, ENDS_AFTER_MS, EmailSettings, HttpSettings, Notification,
    Tls, deliver, render, render_digest,
};
use tokenwatch::pipeline::wall_clock;
use tokenwatch::time::ArrivalTime;

use crate::channels::said::{announcement, digest, hostile_texts, huge};

/// A process that ends with the test.
struct Peer {
    child: Child,
    port: u16,
}

impl Drop for Peer {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Peer {
    /// Starts `command` and waits until it says `ready`; `None` when there is no such program.
    fn start(command: &mut Command, port: u16, ready: &str) -> Option<Self> {
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = child.spawn().ok()?;
        let said: [Box<dyn Read + Send>; 2] =
            [Box::new(child.stdout.take().unwrap()), Box::new(child.stderr.take().unwrap())];
        let (tell, told) = std::sync::mpsc::channel();
        for said in said {
            let tell = tell.clone();
            // To its end, so that the process never waits for a reader.
            std::thread::spawn(move || {
                for line in BufReader::new(said).lines().map_while(Result::ok) {
                    drop(tell.send(line));
                }
            });
        }
        drop(tell);
        let is_ready = told.iter().any(|line| line.contains(ready));
        let peer = Self { child, port };
        assert!(is_ready, "it ended before it was ready");
        Some(peer)
    }

    async fn get(&self, path: &str) -> Value {
        let answer = reqwest::get(format!("http://127.0.0.1:{}{path}", self.port)).await.unwrap();
        serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap()
    }
}

fn skipped(why: &str) {
    std::io::stderr().write_all(format!("skipped: {why}\n").as_bytes()).unwrap();
}

/// A port that nobody has, for a program that cannot choose one itself.
fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

async fn deliver(to: &Destination, sent: &Notification) {
    let channel = to.connect().unwrap();
    let outcome = deliver::attempt(&*channel, sent, wall_clock()() / 1_000).await;
    assert_eq!(outcome.result, Ok(()), "{:?}", sent.kind);
}

/// Tells `to` of a moment whose clock is ours, for a receiver that compares times.
async fn tell(to: &Destination, mut told: Announcement) -> Notification {
    let behind_ms = wall_clock()() - told.at.0;
    for at in [&mut told.at, &mut told.incident.opened_at] {
        *at = ArrivalTime(at.0 + behind_ms);
    }
    if let Some(at) = &mut told.incident.resolved_at {
        *at = told.at;
    }
    let sent = render(&told, std::slice::from_ref(to)).unwrap().remove(0);
    deliver(to, &sent).await;
    sent
}

fn alertmanager(folder: &Path) -> Option<Peer> {
    let config = folder.join("alertmanager.yml");
    std::fs::write(&config, "route: { receiver: none }\nreceivers: [{ name: none }]\n").unwrap();
    let port = free_port();
    let flag = |name: &str, value: &OsStr| {
        let mut flag = std::ffi::OsString::from(format!("--{name}="));
        flag.push(value);
        flag
    };
    let mut command = Command::new("prometheus-alertmanager");
    command
        .arg(flag("config.file", config.as_os_str()))
        .arg(flag("storage.path", folder.join("storage").as_os_str()))
        .arg(format!("--web.listen-address=127.0.0.1:{port}"))
        // No other of its kind is looked for.
        .arg("--cluster.listen-address=");
    Peer::start(&mut command, port, "Listening on")
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Severity of every alert that fires, with its incident.
fn firing(alerts: &Value) -> Vec<(String, String)> {
    let alerts = alerts.as_array().unwrap().iter();
    let active = alerts
        .filter(|alert| alert.pointer("/status/state").is_some_and(|state| state == "active"));
    // What was blank is no label.
    let label = |alert: &Value, name: &str| text(alert, &format!("/labels/{name}"));
    let mut firing: Vec<_> =
        active.map(|alert| (label(alert, "severity"), label(alert, "incident"))).collect();
    firing.sort();
    firing
}

#[tokio::test]
async fn alertmanager_follows_an_incident_from_its_beginning_to_its_end() {
    let folder = tempfile::tempdir().unwrap();
    let Some(peer) = alertmanager(folder.path()) else {
        return skipped("there is no prometheus-alertmanager");
    };
    let settings = AlertmanagerSettings {
        http: HttpSettings::new(&format!("http://127.0.0.1:{}", peer.port)),
        token: None,
        ends_after_ms: ENDS_AFTER_MS,
    };
    let to = Destination::new("am", Severity::Info, settings);
    let key = announcement(Kind::Open).incident.key;
    let one = |severity: &str| vec![(severity.to_owned(), key.clone())];

    let sent = tell(&to, announcement(Kind::Open)).await;
    assert_eq!(firing(&peer.get("/api/v2/alerts").await), one("high"));
    // Its answer was lost: the same again changes nothing.
    deliver(&to, &sent).await;
    let alerts = peer.get("/api/v2/alerts").await;
    assert_eq!(firing(&alerts), one("high"));
    let labels = &alerts[0]["labels"];
    assert_eq!(labels["alertname"], "Token volume spike");
    assert_eq!(labels["deployment"], "chat-prod");
    let summary = alerts[0]["annotations"]["summary"].as_str().unwrap();
    assert!(summary.starts_with("HIGH: ") && summary.contains("14×"), "{summary}");

    tell(&to, announcement(Kind::Escalate)).await;
    assert_eq!(firing(&peer.get("/api/v2/alerts").await), one("critical"));
    let mut over = announcement(Kind::Resolve);
    over.incident.severity = Severity::Critical;
    tell(&to, over.clone()).await;
    assert_eq!(firing(&peer.get("/api/v2/alerts").await), []);
    let mut again = announcement(Kind::Reopen);
    again.incident.severity = Severity::Critical;
    tell(&to, again).await;
    assert_eq!(firing(&peer.get("/api/v2/alerts").await), one("critical"));
    tell(&to, over).await;
    assert_eq!(firing(&peer.get("/api/v2/alerts").await), []);
}

#[tokio::test]
async fn alertmanager_takes_hostile_and_huge_alerts_and_digests() {
    let folder = tempfile::tempdir().unwrap();
    let Some(peer) = alertmanager(folder.path()) else {
        return skipped("there is no prometheus-alertmanager");
    };
    let settings = AlertmanagerSettings {
        http: HttpSettings::new(&format!("http://127.0.0.1:{}", peer.port)),
        token: None,
        ends_after_ms: ENDS_AFTER_MS,
    };
    let to = Destination::new("am", Severity::Info, settings);
    let texts = hostile_texts();
    for (kind, text) in texts.iter().flat_map(|text| Kind::ALL.map(|kind| (kind, text))) {
        for sent in render(&huge(kind, text), std::slice::from_ref(&to)).unwrap() {
            deliver(&to, &sent).await;
        }
    }
    let mut many: Digest =
        digest(texts.iter().map(|text| huge(Kind::Open, text)).collect(), "many");
    for (nth, told) in many.announcements.iter_mut().enumerate() {
        told.at = ArrivalTime(wall_clock()());
        told.incident.key = format!("of the digest {nth}");
    }
    deliver(&to, &render_digest(&many, &to).unwrap()).await;
    let firing = firing(&peer.get("/api/v2/alerts").await);
    let of_digest = firing.iter().filter(|(_, incident)| incident.starts_with("of the digest"));
    assert_eq!(of_digest.count(), texts.len());
}

fn maildev(folder: &Path) -> Option<(Peer, u16)> {
    let modules = std::env::var_os("TOKENWATCH_PEER_NODE")?;
    let (smtp, web) = (free_port(), free_port());
    let mut command = Command::new(Path::new(&modules).join("node_modules/.bin/maildev"));
    command
        .args(["--ip", "127.0.0.1", "--web-ip", "127.0.0.1"])
        .args(["-s", &smtp.to_string(), "-w", &web.to_string()])
        .arg("--mail-directory")
        .arg(folder.join("mails"));
    Some((Peer::start(&mut command, web, "Press Ctrl+C")?, smtp))
}

#[tokio::test]
async fn a_mail_server_shows_the_thread_of_an_incident_and_a_digest() {
    let folder = tempfile::tempdir().unwrap();
    let Some((peer, port)) = maildev(folder.path()) else {
        return skipped("TOKENWATCH_PEER_NODE names no folder with maildev");
    };
    let settings = EmailSettings {
        from: "tokenwatch <alerts@contoso.example>".to_owned(),
        to: vec!["On call <oncall@contoso.example>".to_owned()],
        host: "127.0.0.1".to_owned(),
        port,
        tls: Tls::None,
        username: None,
        password: None,
        ca_file: None,
    };
    let to = Destination::new("mail", Severity::Info, settings);
    let told = Kind::ALL.map(announcement);
    let mut sent = Vec::new();
    for told in &told {
        sent.extend(render(told, std::slice::from_ref(&to)).unwrap());
    }
    sent.push(render_digest(&digest(told.to_vec(), "group"), &to).unwrap());
    for sent in &sent {
        deliver(&to, sent).await;
    }
    let mails = peer.get("/api/email").await;
    let mails = mails.as_array().unwrap();
    assert_eq!(mails.len(), Kind::ALL.len() + 1);
    let find = |sent: &Notification| {
        let id = format!("<{}@tokenwatch>", sent.key);
        mails.iter().find(|mail| mail["headers"]["message-id"] == id.as_str()).unwrap()
    };
    let first = format!("<{}@tokenwatch>", sent.first().unwrap().key);
    for sent in &sent {
        let mail = find(sent);
        assert_eq!(mail["from"][0]["address"], "alerts@contoso.example");
        assert_eq!(mail["to"][0]["address"], "oncall@contoso.example");
        let html = mail["html"].as_str().unwrap();
        assert!(html.len() < 102_000 && html.contains("</html>"), "{}", html.len());
        assert!(mail["text"].as_str().unwrap().contains("aif-contoso-prod/chat-prod"));
        // What is shown within the page came with it, and nothing else did.
        let attachments = mail["attachments"].as_array().unwrap();
        assert_eq!(attachments.len(), html.matches("src=\"cid:").count());
        let answers = mail["headers"]["references"].as_str();
        let alone = matches!(sent.kind, Kind::Test) || sent.key == find_first(&first);
        let of_group = sent.incident_key == "group";
        assert_eq!(answers == Some(&first), !alone && !of_group, "{:?}", sent.kind);
    }
    let digest = find(sent.last().unwrap());
    assert_eq!(digest["subject"], "[tokenwatch] 7 incidents: 1 critical, 6 high; $1,501 so far");
}

/// The key within a `Message-ID`.
fn find_first(id: &str) -> &str {
    id.trim_start_matches('<').trim_end_matches("@tokenwatch>")
}
