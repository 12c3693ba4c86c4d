//! The control as `curl` sees it.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep};

use super::*;

struct Peer {
    address: SocketAddr,
    client: Client,
}

impl Peer {
    async fn of(emulator: &Emulator) -> Self {
        let listen = "127.0.0.1:0".parse().unwrap();
        let address = emulator.serve_control(listen).await.unwrap();
        Self { address, client: Client::builder().no_proxy().build().unwrap() }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("http://{}{path}", self.address))
    }

    /// Status and text of the answer.
    async fn ask(&self, request: RequestBuilder) -> (u16, String) {
        let answer = within("answer", request.send()).await.unwrap();
        (answer.status().as_u16(), within("body", answer.text()).await.unwrap())
    }

    async fn get(&self, path: &str) -> Value {
        let (status, text) = self.ask(self.request(Method::GET, path)).await;
        assert_eq!(status, 200, "{text}");
        serde_json::from_str(&text).unwrap()
    }

    async fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> (u16, Value) {
        let (status, text) = self.ask(self.request(Method::POST, path).body(body)).await;
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}

fn faults(state: &Value) -> Vec<&str> {
    let faults = state["faults"].as_array().unwrap().iter();
    faults.map(|fault| fault["fault"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_by_what_they_are_worth() {
    let emulator = emulator(2).await;
    let peer = Peer::of(&emulator).await;
    let (largest, large) = ("x".repeat(1_048_576), "x".repeat(1_048_577));
    let long = "cut;".repeat(20_000);
    for (method, path, body, status, said) in [
        ("GET", "/", "", 200, "half-open [new] [for SPAN]"),
        ("GET", "/state", "", 200, "\"connections\":0"),
        ("PUT", "/state", "", 405, ""),
        ("GET", "/nothing", "", 404, "GET /"),
        ("POST", "/faults", "at 1 s: fly", 400, "line 1, column 9: found `fly`"),
        ("POST", "/faults", "", 400, "possible here: at, every, cut"),
        ("POST", "/faults", "at 1 s: freeze other", 404, "no hub `other`"),
        ("POST", "/faults", "freeze logs/7", 404, "no partition 7"),
        ("POST", "/faults", long.as_str(), 413, ""),
        ("DELETE", "/faults", "", 204, ""),
        ("POST", "/hubs/logs/events", "one", 201, "\"sequence\":0"),
        ("POST", "/hubs/other/events", "one", 404, "no hub `other`"),
        ("POST", "/hubs/logs/events", large.as_str(), 413, ""),
        ("POST", "/hubs/logs/partitions/1/events", largest.as_str(), 201, "\"partition\":\"1\""),
        ("POST", "/hubs/logs/partitions/2/events", "one", 404, "no partition 2"),
        ("POST", "/hubs/logs/partitions/x/events", "one", 400, "partition `x` is not a number"),
        ("GET", "/hubs/logs/partitions/0/events?limit=x", "", 400, "limit `x` is not a number"),
        ("GET", "/hubs/logs/partitions/0/events?from=x", "", 400, "from `x` is not a number"),
        ("GET", "/hubs/other/partitions/0/events", "", 404, "no hub `other`"),
    ] {
        let request = peer.request(method.parse().unwrap(), path).body(body.to_owned());
        let (answered, text) = peer.ask(request).await;
        assert_eq!(answered, status, "{method} {path}: {text}");
        assert!(text.contains(said), "{method} {path}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn web_pages_and_foreign_names_are_kept_out() {
    let emulator = emulator(1).await;
    let peer = Peer::of(&emulator).await;
    let port = peer.address.port();
    for (name, value, status) in [
        ("host", "localhost".to_owned(), 202),
        ("host", format!("LocalHost:{port}"), 202),
        ("host", format!("127.0.0.2:{port}"), 202),
        ("host", format!("[::1]:{port}"), 202),
        ("host", format!("rebind.example.com:{port}"), 403),
        ("host", "10.0.0.1".to_owned(), 403),
        ("host", "localhost.example.com".to_owned(), 403),
        ("host", "[::1".to_owned(), 403),
        ("origin", format!("http://127.0.0.1:{port}"), 403),
        ("origin", "null".to_owned(), 403),
    ] {
        let request = peer.request(Method::POST, "/faults").header(name, &value).body("end");
        let (answered, text) = peer.ask(request).await;
        assert_eq!(answered, status, "{name}: {value}: {text}");
    }
    let mut nameless = TcpStream::connect(peer.address).await.unwrap();
    nameless.write_all(b"DELETE /faults HTTP/1.0\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    within("answer", nameless.read_to_string(&mut answer)).await.unwrap();
    assert!(answer.starts_with("HTTP/1.0 403"), "{answer}");
    let elsewhere = emulator.serve_control("0.0.0.0:0".parse().unwrap()).await;
    assert!(matches!(elsewhere, Err(EmulatorError::NotLoopback { .. })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_go_in_and_out() {
    let emulator = emulator(2).await;
    let peer = Peer::of(&emulator).await;
    let first = peer.post("/hubs/LOGS/partitions/0/events", "0").await;
    assert_eq!(first, (201, json!({ "partition": "0", "sequence": 0 })));
    let (_, keyed) = peer.post("/hubs/logs/events?key=a%20b", "k1").await;
    let (_, again) = peer.post("/hubs/logs/events?key=a%20b", "k2").await;
    assert_eq!(keyed["partition"], again["partition"], "a key stays in one partition");
    peer.post("/hubs/logs/partitions/0/events?key=c", vec![0xff, 0]).await;
    let partition = keyed["partition"].as_str().unwrap();
    let from = keyed["sequence"].as_i64().unwrap();
    let path = format!("/hubs/logs/partitions/{partition}/events?from={from}&limit=1");
    let page = peer.get(&path).await;
    assert_eq!(page["events"].as_array().unwrap().len(), 1);
    assert_eq!(page["events"][0]["text"], "k1");
    assert_eq!(page["events"][0]["key"], "a b");
    assert_eq!(page["events"][0]["enqueued"], "2023-11-14T22:13:20Z");
    let page = peer.get("/hubs/logs/partitions/0/events").await;
    let events = page["events"].as_array().unwrap();
    assert_eq!(events[0]["text"], "0");
    assert_eq!(events.last().unwrap()["base64"], "/wA=");
    assert_eq!(page["next_sequence"].as_u64().unwrap(), u64::try_from(events.len()).unwrap());
    // A client gets them like any other.
    let client = consumer(&emulator).await;
    let receiver = receiver(&client, after(-1)).await;
    let mut stream: Events<'_> = Box::pin(receiver.stream_events());
    assert_eq!(take(&mut stream, 2).await, [0, 1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_bodies_make_short_pages() {
    let emulator = emulator(1).await;
    let peer = Peer::of(&emulator).await;
    let bodies = (0..9).map(|_| (vec![b'x'; 1_000_000], 0)).collect();
    emulator.control().append_many("logs", 0, bodies).unwrap();
    let page = peer.get("/hubs/logs/partitions/0/events").await;
    assert_eq!(page["events"].as_array().unwrap().len(), 4);
    assert_eq!(page["next_sequence"], 9);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_state_tells_readers_and_what_stands() {
    let emulator = emulator(2).await;
    fill(&emulator, 3);
    let peer = Peer::of(&emulator).await;
    let client = consumer(&emulator).await;
    let reader = receiver(&client, owned(7)).await;
    let mut events: Events<'_> = Box::pin(reader.stream_events());
    assert_eq!(take(&mut events, 1).await, [0]);
    let script = "refuse; half-open new for 0 s; unauthorized for 1 h; enforce-tokens for 1 min; \
                  slow logs/1 5; expire-tokens in 1 h; skip logs/0 2; retain logs/1 1 h; \
                  at 1 h: cut; freeze logs/0";
    let (status, scheduled) = peer.post("/faults", script).await;
    assert_eq!(status, 202);
    assert_eq!(scheduled[2], json!({ "when": "at 0 s", "action": "unauthorized for 1 h" }));
    let state = peer.get("/state").await;
    let standing = ["refuse", "unauthorized", "enforce-tokens", "expire-tokens", "freeze logs/0"];
    assert_eq!(faults(&state), [&standing[..], &["slow logs/1 5"]].concat());
    assert_eq!(state["faults"][0]["remaining_ms"], Value::Null);
    let remaining_ms = state["faults"][1]["remaining_ms"].as_u64().unwrap();
    assert!((3_500_000..=3_600_000).contains(&remaining_ms), "{remaining_ms}");
    assert_eq!((&state["connections"], &state["scripts"]), (&json!(1), &json!(1)));
    assert_eq!(state["clock_ms"], 1_700_000_000_000_i64);
    let partition = &state["hubs"][0]["partitions"][0];
    assert_eq!((&partition["next_sequence"], &partition["events"]), (&json!(5), &json!(3)));
    assert_eq!(partition["readers"], json!([{ "consumer_group": "$default", "epoch": 7 }]));
    assert_eq!(state["hubs"][0]["partitions"][1]["max_age_ms"], 3_600_000);

    let (status, _) = peer.ask(peer.request(Method::DELETE, "/faults")).await;
    assert_eq!(status, 204);
    let ended = async {
        while peer.get("/state").await["scripts"] != 0 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    within("the end of the script", ended).await;
    assert_eq!(faults(&peer.get("/state").await), [""; 0]);
    fill(&emulator, 1);
    assert_eq!(take(&mut events, 3).await, [1, 2, 5]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_scripts_run_and_no_more() {
    let emulator = emulator(1).await;
    let peer = Peer::of(&emulator).await;
    for _ in 0..16 {
        assert_eq!(peer.post("/faults", "every 1 h: cut").await.0, 202);
    }
    let (status, reason) = peer.post("/faults", "every 1 h: cut").await;
    assert_eq!(status, 429, "{reason}");
    assert_eq!(peer.post("/faults", "cut").await.0, 202, "what is done at once needs no runner");
}

#[tokio::test(start_paused = true)]
async fn whoever_dawdles_is_let_go() {
    let emulator = emulator(1).await;
    let peer = Peer::of(&emulator).await;
    for (sent, answer, after_s) in [
        ("", "", 5),
        ("POST /faults HTTP/1.1\r\nHo", "", 5),
        (
            "POST /faults HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\ncu",
            "HTTP/1.1 408",
            15,
        ),
    ] {
        let mut socket = TcpStream::connect(peer.address).await.unwrap();
        socket.write_all(sent.as_bytes()).await.unwrap();
        let began = Instant::now();
        let mut text = String::new();
        drop(socket.read_to_string(&mut text).await);
        assert!(text.starts_with(answer) && text.is_empty() == answer.is_empty(), "{text}");
        assert!(began.elapsed().as_secs() <= after_s, "{sent}: {:?}", began.elapsed());
    }
    emulator.stop().await;
    assert!(TcpStream::connect(peer.address).await.is_err());
}
