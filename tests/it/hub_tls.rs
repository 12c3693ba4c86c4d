//! A hub behind TLS, with a certificate by a private authority, and AMQP over WebSocket.
//!
//! Which authorities are trusted is a matter of the whole process, so the service and Microsoft's
//! producer run in processes of their own here.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use azure_core_amqp::AmqpTransport;
use azure_messaging_eventhubs::{ProducerClient, SendEventOptions};
use futures_util::{SinkExt as _, StreamExt as _};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use tokenwatch::emulator::{Action, Control, Emulator, EmulatorClock, EmulatorTls, HubSpec, Setup};
use tokenwatch::simulate::{HubEvent, Options, Scenario, Simulation, Truth};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Message, http::HeaderValue};

use crate::harness::{Running, Sums, program, stored_sums, true_sums};

const HUB: &str = "logs";
const PATIENCE: Duration = Duration::from_secs(60);
const TRANSPORTS: [&str; 2] = ["amqp", "websocket"];

/// An authority that only those trust who are told to, `ca.pem` in its folder.
pub(crate) struct Authority {
    folder: tempfile::TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem())
            .unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    fn tls(&self, name: &str, year: i32) -> EmulatorTls {
        let [chain, private] = self.files(name, year);
        EmulatorTls::load(&chain, &private).unwrap()
    }

    /// A certificate for `name` until the end of `year`, and its key.
    pub(crate) fn files(&self, name: &str, year: i32) -> [PathBuf; 2] {
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 12, 31);
        let key = KeyPair::generate().unwrap();
        let signed = params.signed_by(&key, &self.issuer).unwrap();
        let [chain, private] = ["leaf.pem", "leaf.key"].map(|file| self.folder.path().join(file));
        std::fs::write(&chain, signed.pem()).unwrap();
        std::fs::write(&private, key.serialize_pem()).unwrap();
        [chain, private]
    }
}

/// A hub with TLS, and what is to be read from it.
struct World {
    folder: tempfile::TempDir,
    emulator: Emulator,
    events: Vec<HubEvent>,
    truth: Truth,
}

impl World {
    async fn new(tls: EmulatorTls) -> Self {
        let simulation = Simulation::new(Options {
            scenario: Scenario::Quiet,
            seed: 11,
            history_hours: 2,
            live_minutes: 30,
            deployments: 2,
            partitions: 2,
            ..Options::default()
        });
        let (start, _, _) = simulation.span();
        let (listen, hubs) = ("127.0.0.1:0".parse().unwrap(), vec![HubSpec::new(HUB, 2)]);
        let clock = EmulatorClock::fixed(start);
        let setup = Setup { listen, hubs, clock, tls: Some(tls), folder: None };
        let mut emulator = Emulator::prepare(setup).await.unwrap();
        emulator.serve();
        Self {
            folder: tempfile::tempdir().unwrap(),
            emulator,
            events: simulation.events().collect(),
            truth: simulation.truth(),
        }
    }

    fn control(&self) -> Control {
        self.emulator.control()
    }

    fn half(&self) -> usize {
        self.events.len() / 2
    }

    fn append(&self, part: std::ops::Range<usize>) {
        for event in self.events.get(part).unwrap() {
            let body = event.body.clone();
            self.control().append_at(HUB, event.partition, body, event.enqueued_ms).unwrap();
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts the real service; `authority` becomes what it trusts.
    fn run(&self, transport: &str, authority: Option<&Path>) -> Service {
        std::fs::write(self.path("secret"), self.emulator.connection_string(HUB)).unwrap();
        let config = format!(
            "database = \"t.db\"\n[[hub]]\nname = \"east\"\nhub = \"{HUB}\"\n\
             auth = \"connection-string\"\nconnection_string = {{ file = \"secret\" }}\n\
             transport = \"{transport}\"\ncustom_endpoint = \"{}\"\n",
            self.emulator.endpoint()
        );
        let file = self.path("tokenwatch.toml");
        std::fs::write(&file, config).unwrap();
        let said = self.path("said");
        let mut command = Command::new(program());
        command
            .args(["run", "--hub-time-scale", "0", "--config"])
            .arg(&file)
            .env_remove("SSL_CERT_FILE")
            .env_remove("SSL_CERT_DIR")
            .stdout(Stdio::null())
            .stderr(File::create(&said).unwrap());
        if let Some(authority) = authority {
            command.env("SSL_CERT_FILE", authority);
        }
        Service { child: Running::spawn(&mut command), said }
    }

    /// Waits until everything in the hub is counted.
    async fn counted(&self, wanted: i64) {
        wait("the calls", async || {
            let database = self.path("t.db");
            database.exists() && calls(&stored_sums(&database).await) == wanted
        })
        .await;
    }

    async fn assert_exact(&self) {
        assert_eq!(stored_sums(&self.path("t.db")).await, true_sums(&self.truth));
    }
}

fn calls(sums: &Sums) -> i64 {
    sums.values().map(|[calls, ..]| calls).sum()
}

/// A running service and the file of what it says.
struct Service {
    child: Running,
    said: PathBuf,
}

impl Service {
    fn said(&self) -> String {
        std::fs::read_to_string(&self.said).unwrap()
    }

    async fn stop(self) {
        self.child.stop().await;
    }
}

async fn wait(what: &str, mut done: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !done().await {
            sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(timeout(PATIENCE, waiting).await.is_ok(), "{what}: not within {PATIENCE:?}");
}

/// Half of the events, a cut, the other half: all are counted, once.
async fn check_read(transport: &str) {
    let authority = Authority::new();
    let world = World::new(authority.tls("localhost", 2099)).await;
    world.append(0..world.half());
    // Larger than a frame and than a message; no record.
    let at_ms = world.events.get(world.half()).unwrap().enqueued_ms;
    world.control().append_at(HUB, 0, vec![b' '; 300_000], at_ms).unwrap();
    let service = world.run(transport, Some(&authority.file()));
    wait("both partitions", async || world.control().attach_count() >= 2).await;
    for _ in 0..3 {
        let before = world.control().attach_count();
        world.control().apply(Action::Cut).unwrap();
        wait("a new link", async || world.control().attach_count() >= before + 2).await;
    }
    world.append(world.half()..world.events.len());
    world.counted(calls(&true_sums(&world.truth))).await;
    service.stop().await;
    world.assert_exact().await;
    assert_eq!(world.control().websocket_count() > 0, transport == "websocket");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_behind_a_private_authority_is_read_and_cuts_lose_nothing() {
    check_read("amqp").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_same_holds_over_websocket() {
    check_read("websocket").await;
}

/// Said, with a mend, and nothing is read; once `mended`, all is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_that_is_not_accepted_is_named_with_its_mend() {
    let (authority, other) = (Authority::new(), Authority::new());
    let (ours, others) = (authority.file(), other.file());
    let cases: [(&str, i32, Option<&Path>, &[&str]); 4] = [
        ("localhost", 2099, None, &["certificate", "trusted here", "SSL_CERT_FILE"]),
        ("localhost", 2099, Some(&others), &["not by the authority", "SSL_CERT_FILE"]),
        (
            "elsewhere.example",
            2099,
            Some(&ours),
            &["for another host name", "a name that it holds"],
        ),
        ("localhost", 2020, Some(&ours), &["has expired", "renewed"]),
    ];
    for transport in TRANSPORTS {
        for (name, year, trusted, parts) in cases {
            let world = World::new(authority.tls(name, year)).await;
            let service = world.run(transport, trusted);
            wait(parts[0], async || service.said().contains(parts[0])).await;
            let said = service.said();
            for part in parts {
                assert!(said.contains(part), "{transport}, {name}: no {part:?} in {said}");
            }
            let secret = world.emulator.connection_string(HUB);
            let key = secret.split("SharedAccessKey=").nth(1).unwrap().split(';').next().unwrap();
            assert!(!said.contains(key), "{said}");
            service.stop().await;
            assert_eq!(world.control().attach_count(), 0);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_not_read_for_want_of_trust_is_read_later() {
    let authority = Authority::new();
    for transport in TRANSPORTS {
        let world = World::new(authority.tls("localhost", 2099)).await;
        world.append(0..world.events.len());
        let service = world.run(transport, None);
        wait("the error", async || service.said().contains("SSL_CERT_FILE")).await;
        service.stop().await;
        assert_eq!(stored_sums(&world.path("t.db")).await, Sums::new());
        let service = world.run(transport, Some(&authority.file()));
        world.counted(calls(&true_sums(&world.truth))).await;
        service.stop().await;
        world.assert_exact().await;
    }
}

/// Tells the second process of the test below where to send to.
const PRODUCE_TO: &str = "TOKENWATCH_TEST_PRODUCE_TO";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn microsofts_producer_sends_over_tls_and_websocket() {
    if let Some(endpoint) = std::env::var_os(PRODUCE_TO) {
        return produce(endpoint.to_str().unwrap()).await;
    }
    let authority = Authority::new();
    let world = World::new(authority.tls("localhost", 2099)).await;
    let (endpoint, secret) = (world.emulator.endpoint(), world.emulator.connection_string(HUB));
    produce_in_child(endpoint, secret, authority.file()).await;
    assert_eq!(world.control().received(HUB), [2, 2]);
    assert_eq!(world.control().websocket_count(), 1);
}

/// Runs the test above as a second process, which trusts `authority` and does nothing but send.
async fn produce_in_child(endpoint: String, secret: String, authority: PathBuf) {
    let run = tokio::task::spawn_blocking(move || {
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "hub_tls::microsofts_producer_sends_over_tls_and_websocket"])
            .env(PRODUCE_TO, format!("{endpoint} {secret}"))
            .env("SSL_CERT_FILE", authority)
            .env_remove("SSL_CERT_DIR")
            .output()
            .unwrap()
    });
    let output = run.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains(" 1 passed"), "{said}");
}

/// One event to each partition by each transport.
async fn produce(to: &str) {
    drop(rustls::crypto::aws_lc_rs::default_provider().install_default());
    let (endpoint, secret) = to.split_once(' ').unwrap();
    for transport in [AmqpTransport::Tcp, AmqpTransport::WebSocket] {
        let opening = ProducerClient::builder()
            .with_custom_endpoint(endpoint.to_owned())
            .with_transport(transport)
            .open_with_connection_string(secret, None);
        let producer = timeout(PATIENCE, opening).await.unwrap().unwrap();
        for partition in ["0", "1"] {
            let options = SendEventOptions { partition_id: Some(partition.to_owned()) };
            let body = vec![7_u8; 200_000];
            timeout(PATIENCE, producer.send_event(body, Some(options))).await.unwrap().unwrap();
        }
        timeout(PATIENCE, producer.close()).await.unwrap().unwrap();
    }
}

/// `tokenwatch emulator` with `args`, on a free port.
fn emulator(args: &[&str]) -> Command {
    let mut command = Command::new(program());
    command.args(["emulator", "--listen", "127.0.0.1:0", "--hub", "logs=2"]).args(args);
    command
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_emulator_makes_a_certificate_that_its_clients_can_trust() {
    let folder = tempfile::tempdir().unwrap();
    let certificates = folder.path().join("certs");
    // The second time with what was made the first time.
    for _ in 0..2 {
        let said = folder.path().join("said");
        let folder_of_certificates = certificates.to_str().unwrap();
        let child = Running::spawn(
            emulator(&["--tls-self-signed", folder_of_certificates, "--format", "json"])
                .stdout(File::create(&said).unwrap())
                .stderr(Stdio::null()),
        );
        let service = Service { child, said };
        wait("the addresses", async || service.said().ends_with('\n')).await;
        let said: serde_json::Value = serde_json::from_str(&service.said()).unwrap();
        let word = |name: &str| said[name].as_str().unwrap().to_owned();
        let websocket = format!("wss://localhost:{}/$servicebus/websocket/", said["port"]);
        assert_eq!(word("websocket_endpoint"), websocket);
        let (endpoint, secret) = (word("endpoint"), said["hubs"][0]["connection_string"].as_str());
        let secret = secret.unwrap().to_owned();
        let authority = certificates.join("ca.pem");
        produce_in_child(endpoint, secret, authority).await;
        service.stop().await;
    }
}

#[test]
fn a_certificate_the_emulator_cannot_use_ends_it() {
    for (args, code, part) in [
        (["--tls-cert", "gone.pem", "--tls-key", "gone.key"], 1, "cannot read gone.pem"),
        (["--tls-cert", "x.pem", "--tls-self-signed", "x"], 2, "cannot be used with"),
        (["--tls-cert", "x.pem", "--hub", "b=1"], 2, "--tls-key"),
    ] {
        let output = emulator(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(code));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(part), "{said}");
    }
}

/// An emulator without TLS, which serves WebSockets too.
async fn plain() -> Emulator {
    let hubs = vec![HubSpec::new(HUB, 1)];
    Emulator::start("127.0.0.1:0".parse().unwrap(), hubs, EmulatorClock::real()).await.unwrap()
}

/// Sends `request` and returns all that is answered until the emulator closes.
async fn ask(emulator: &Emulator, request: &str) -> String {
    let mut stream = TcpStream::connect(emulator.address()).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer)).await.unwrap().unwrap();
    answer
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_none_for_amqp_is_answered_with_the_reason() {
    let emulator = plain().await;
    let upgrade = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    let at = "GET /$servicebus/websocket HTTP/1.1\r\n";
    let cases = [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "404 Not Found", "is at /$servicebus/websocket/"),
        (format!("GET /x HTTP/1.1\r\n{upgrade}\r\n"), "404 Not Found", "nothing is here"),
        (format!("{at}\r\n"), "426 Upgrade Required", "Upgrade: websocket"),
        (format!("{at}{upgrade}\r\n"), "400 Bad Request", "AMQPWSB10 and amqp"),
        (
            format!("{at}{upgrade}Sec-WebSocket-Protocol: mqtt\r\n\r\n"),
            "400 Bad Request",
            "Sec-WebSocket-Protocol",
        ),
        ("POST / HTTP/1.1\r\n\r\n".to_owned(), "405 Method Not Allowed", "Allow: GET"),
        ("SSH-2.0-x\r\n\r\n".to_owned(), "400 Bad Request", "neither AMQP nor HTTP"),
        (format!("{at}A: {}", "x".repeat(9_000)), "431 ", "longer than"),
    ];
    for (request, status, part) in cases {
        let answer = ask(&emulator, &request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{request}: {answer}");
        assert!(answer.contains(part), "{request}: {answer}");
    }
    // TLS to a port without a certificate is closed, not answered in a language nobody speaks.
    assert_eq!(ask(&emulator, "\u{16}\u{3}\u{1}").await, "");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_in_websockets_are_one_stream_whatever_the_messages() {
    let emulator = plain().await;
    for (asked, agreed) in [("mqtt, AMQPWSB10", "AMQPWSB10"), ("amqp", "amqp")] {
        let mut request = emulator.websocket_endpoint().into_client_request().unwrap();
        let header = HeaderValue::from_static(asked);
        request.headers_mut().insert("Sec-WebSocket-Protocol", header);
        let stream = TcpStream::connect(emulator.address()).await.unwrap();
        let (mut socket, response) =
            tokio_tungstenite::client_async(request, stream).await.unwrap();
        assert_eq!(response.headers()["Sec-WebSocket-Protocol"], agreed);
        // The header of SASL, in three messages of which one is empty.
        for part in [b"AM".as_slice(), b"", b"QP\x03\x01\x00\x00"] {
            socket.send(Message::binary(part.to_vec())).await.unwrap();
        }
        let answer = timeout(PATIENCE, socket.next()).await.unwrap().unwrap().unwrap();
        assert!(answer.into_data().starts_with(b"AMQP\x03\x01\x00\x00"));
        socket.send(Message::text("AMQP")).await.unwrap();
        let ended = async {
            while let Some(Ok(message)) = socket.next().await {
                assert!(message.is_binary() || message.is_close(), "{message:?}");
            }
        };
        timeout(PATIENCE, ended).await.unwrap();
    }
}
