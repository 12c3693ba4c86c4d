//! Mail against a real server in a process of its own, over real TLS.
//!
//! Runs when `TOKENWATCH_PEER_PYTHON` names a Python with aiosmtpd, as `./test` sees to; a machine
//! with Rust alone says so and goes on.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use tempfile::TempDir;
use tokenwatch::incident::{Announcement, Incident, Kind, Severity, State};
use tokenwatch::money::NanoUsd;
use tokenwatch::notify::{
    Destination, EmailSettings, Notification, SendError, Tls, deliver, render,
};
use tokenwatch::time::{ArrivalTime, EventTime};

/// What the server noted beside a message.
#[derive(Debug, serde::Deserialize)]
struct Facts {
    from: String,
    to: Vec<String>,
    tls: Option<String>,
    login: bool,
}

/// A mail server, its certificate authority and the folder of what it took.
struct Peer {
    server: Child,
    said: BufReader<ChildStdout>,
    port: u16,
    folder: TempDir,
}

impl Peer {
    /// Starts the server with `options`; `None`, with a line saying so, where there is no Python.
    fn start(options: &[&str]) -> Option<Self> {
        let Some(python) = std::env::var_os("TOKENWATCH_PEER_PYTHON") else {
            let line = "skipped: TOKENWATCH_PEER_PYTHON names no python with aiosmtpd\n";
            std::io::stderr().write_all(line.as_bytes()).unwrap();
            return None;
        };
        let folder = tempfile::tempdir().unwrap();
        write_certificates(folder.path());
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/smtp_server.py");
        let mut server = Command::new(python)
            .arg(script)
            .arg("--folder")
            .arg(folder.path())
            .arg("--cert")
            .arg(folder.path().join("server.pem"))
            .arg("--key")
            .arg(folder.path().join("server.key"))
            .args(options)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        let mut said = BufReader::new(server.stdout.take().unwrap());
        said.read_line(&mut line).unwrap();
        let port = line.trim().parse().unwrap();
        Some(Self { server, said, port, folder })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Settings that reach this server and trust its authority.
    fn settings(&self, tls: Tls) -> EmailSettings {
        EmailSettings {
            from: "tokenwatch <alerts@contoso.example>".to_owned(),
            to: vec!["Nachtwächter <oncall@contoso.example>".to_owned(), "b@x.example".to_owned()],
            host: "localhost".to_owned(),
            port: self.port,
            tls,
            username: None,
            password: None,
            ca_file: Some(self.path("ca.pem")),
        }
    }

    /// What the server said of the `nth` message; panics when it has none.
    fn facts(&self, nth: usize) -> Facts {
        let text = std::fs::read(self.path(&format!("{nth}.json"))).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    fn count(&self) -> usize {
        let names = std::fs::read_dir(self.folder.path()).unwrap();
        names
            .filter(|name| name.as_ref().unwrap().path().extension() == Some("eml".as_ref()))
            .count()
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its input ends the server.
        drop(self.server.stdin.take());
        self.server.wait().unwrap();
    }
}

/// Writes `ca.pem`, `other-ca.pem`, and `server.pem` with `server.key` signed by the first.
fn write_certificates(folder: &Path) {
    let authority = || {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        (Issuer::new(params, key), pem)
    };
    let (issuer, pem) = authority();
    std::fs::write(folder.join("ca.pem"), pem).unwrap();
    std::fs::write(folder.join("other-ca.pem"), authority().1).unwrap();
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let key = KeyPair::generate().unwrap();
    let server = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(folder.join("server.pem"), server.pem()).unwrap();
    std::fs::write(folder.join("server.key"), key.serialize_pem()).unwrap();
}

fn announcement() -> Announcement {
    let incident = Incident {
        key: "TW-C01|aif-contoso-prod/chat-prod|1|x".to_owned(),
        rule: "TW-C01".to_owned(),
        rule_name: "Token volume spike".to_owned(),
        account: "aif-contoso-prod".to_owned(),
        deployment: Some("chat-prod".to_owned()),
        resource_id: None,
        model: Some("gpt-5.1".to_owned()),
        severity: Severity::High,
        state: State::Open,
        first_window: EventTime(1_795_489_500_000),
        last_window: EventTime(1_795_490_700_000),
        opened_at: ArrivalTime(1_795_489_841_250),
        resolved_at: None,
        observed: 4_812_330.0,
        expected: 341_200.0,
        bound: 612_000.0,
        unit: "tokens in 5 min".to_owned(),
        cost: Some(NanoUsd(214_370_000_000)),
        cost_per_day: None,
        callers: Vec::new(),
        // A line that begins with a dot is what SMTP has to protect.
        evidence: vec![".".to_owned(), format!("{} ünïcödé", "..dots ".repeat(25))],
        response: Vec::new(),
        confidence: 0.9,
        delay_azure_s: Some(41),
        ..Incident::default()
    };
    Announcement { kind: Kind::Open, step: 0, at: incident.opened_at, written: None, incident }
}

/// Renders for `settings` and tries once.
async fn send(settings: EmailSettings) -> (Notification, Result<(), SendError>) {
    let to = Destination::new("mail", Severity::Info, settings);
    let sent = render(&announcement(), std::slice::from_ref(&to)).unwrap().remove(0);
    let channel = to.connect().unwrap();
    let outcome = deliver::attempt(&*channel, &sent, 0).await;
    (sent, outcome.result)
}

async fn check_arrives(tls: Tls, option: &str) {
    let Some(peer) = Peer::start(&["--tls", option]) else { return };
    let (sent, result) = send(peer.settings(tls)).await;
    assert_eq!(result, Ok(()));
    let facts = peer.facts(0);
    let encrypted = facts.tls.as_ref().is_some_and(|version| version.starts_with("TLSv1."));
    assert_eq!(encrypted, tls != Tls::None, "{facts:?}");
    assert_eq!(facts.from, "alerts@contoso.example");
    assert_eq!(facts.to, ["oncall@contoso.example", "b@x.example"]);
    let received = std::fs::read(peer.path("0.eml")).unwrap();
    let trimmed = |mail: &[u8]| mail.trim_ascii_end().to_vec();
    assert!(trimmed(&received) == trimmed(&sent.body), "the bytes changed on the way");
    assert!(received.windows(3).any(|three| three == b"\n.."), "no line began with a dot");
}

#[tokio::test]
async fn mail_arrives_unchanged_over_tls_from_the_first_byte() {
    check_arrives(Tls::Implicit, "implicit").await;
}

#[tokio::test]
async fn mail_arrives_unchanged_over_starttls() {
    check_arrives(Tls::StartTls, "starttls").await;
}

#[tokio::test]
async fn mail_arrives_unchanged_at_a_plain_server_of_this_machine() {
    check_arrives(Tls::None, "none").await;
}

#[tokio::test]
async fn a_server_with_a_stranger_s_certificate_gets_nothing() {
    for (tls, option) in [(Tls::Implicit, "implicit"), (Tls::StartTls, "starttls")] {
        let Some(peer) = Peer::start(&["--tls", option]) else { return };
        for ca_file in [None, Some(peer.path("other-ca.pem"))] {
            let settings = EmailSettings { ca_file, ..peer.settings(tls) };
            let (_, result) = send(settings).await;
            let Err(SendError::Retry { reason, .. }) = result else { panic!("{result:?}") };
            assert!(reason.to_lowercase().contains("certificate"), "{reason}");
        }
        assert_eq!(peer.count(), 0);
    }
}

#[tokio::test]
async fn a_server_without_starttls_gets_nothing() {
    // Somebody in the middle takes the offer of STARTTLS away: what is left is a plain server.
    let Some(peer) = Peer::start(&["--tls", "none"]) else { return };
    let (_, result) = send(peer.settings(Tls::StartTls)).await;
    assert!(matches!(result, Err(SendError::Retry { .. })), "{result:?}");
    assert_eq!(peer.count(), 0);
}

#[tokio::test]
async fn a_busy_server_is_tried_again_and_takes_the_same_bytes() {
    let Some(peer) = Peer::start(&["--tls", "implicit", "--mode", "busy", "--times", "2"]) else {
        return;
    };
    for _ in 0..2 {
        let (_, result) = send(peer.settings(Tls::Implicit)).await;
        let Err(SendError::Retry { reason, .. }) = result else { panic!("{result:?}") };
        assert!(reason.contains("451"), "{reason}");
    }
    let (sent, result) = send(peer.settings(Tls::Implicit)).await;
    assert_eq!((result, peer.count()), (Ok(()), 1));
    let received = std::fs::read(peer.path("0.eml")).unwrap();
    assert!(received.trim_ascii_end() == sent.body.trim_ascii_end());
}

#[tokio::test]
async fn a_server_that_falls_silent_is_left_in_time() {
    let Some(mut peer) = Peer::start(&["--tls", "implicit", "--mode", "hang"]) else { return };
    let mut attempt = Box::pin(send(peer.settings(Tls::Implicit)));
    let silent = tokio::task::spawn_blocking(move || {
        let mut line = String::new();
        peer.said.read_line(&mut line).unwrap();
        (peer, line)
    });
    let (peer, line) = tokio::select! {
        ended = &mut attempt => panic!("{:?}", ended.1),
        silent = silent => silent.unwrap(),
    };
    assert_eq!(line, "hangs\n");
    // The whole message is there, and no answer: time is moved on instead of waited for.
    tokio::time::pause();
    tokio::time::advance(deliver::SEND_MAX + Duration::from_millis(1)).await;
    let (_, result) = attempt.await;
    assert!(matches!(result, Err(SendError::Retry { .. })), "{result:?}");
    assert_eq!(peer.count(), 0);
}

#[tokio::test]
async fn a_refusal_is_final() {
    let Some(peer) = Peer::start(&["--tls", "implicit", "--mode", "refuse"]) else { return };
    let (_, result) = send(peer.settings(Tls::Implicit)).await;
    let Err(SendError::GiveUp { reason }) = result else { panic!("{result:?}") };
    assert!(reason.contains("550"), "{reason}");
}

#[tokio::test]
async fn a_login_is_sent_under_tls_and_a_wrong_one_is_refused() {
    for (tls, option) in [(Tls::Implicit, "implicit"), (Tls::StartTls, "starttls")] {
        let Some(peer) = Peer::start(&["--tls", option, "--login", "watch:p äss"]) else { return };
        let login = |password: &str| EmailSettings {
            username: Some("watch".to_owned()),
            password: Some(password.into()),
            ..peer.settings(tls)
        };
        let (_, result) = send(login("p äss")).await;
        assert_eq!(result, Ok(()), "{option}");
        assert!(peer.facts(0).login);
        let (_, result) = send(login("guess")).await;
        let Err(SendError::GiveUp { reason }) = result else { panic!("{result:?}") };
        assert!(reason.contains("535") && !reason.contains("guess"), "{reason}");
        assert_eq!(peer.count(), 1);
    }
}
