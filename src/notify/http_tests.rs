//! A poster against receivers on loopback that misbehave, and names that change their mind.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};

use reqwest::dns::{Addrs, Name, Resolving};
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// Any time will do.
const NOW_S: i64 = 1_795_489_900;

/// A receiver that answers every connection with the same bytes, then closes it.
struct Receiver {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Receiver {
    async fn start(ip: [u8; 4], port: u16, answer: impl Into<Vec<u8>>) -> Self {
        let socket = TcpListener::bind((Ipv4Addr::from(ip), port)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let (counted, answer) = (Arc::clone(&connections), answer.into());
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = socket.accept().await {
                counted.fetch_add(1, Ordering::SeqCst);
                let mut request = [0; 4096];
                drop(stream.read(&mut request).await);
                drop(stream.write_all(&answer).await);
            }
        });
        Self { address, connections }
    }

    fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    fn poster(&self) -> Poster {
        Poster::new(&settings(&format!("http://{}/T0/B0/hidden?sig=hidden", self.address))).unwrap()
    }
}

fn settings(url: &str) -> HttpSettings {
    HttpSettings { url: url.into(), ca_file: None, allow_internal: Vec::new() }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )
}

async fn post(poster: &Poster, now_s: i64) -> Result<Answer, SendError> {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    poster.post(headers, b"{}".to_vec(), now_s).await
}

/// Names that answer one list after the other, then nothing.
struct Script(Mutex<VecDeque<Vec<IpAddr>>>);

impl Resolve for Script {
    fn resolve(&self, _name: Name) -> Resolving {
        let next = self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
        let found = next.unwrap_or_default().into_iter().map(|ip| SocketAddr::new(ip, 0));
        Box::pin(async move { Ok(Box::new(found) as Addrs) })
    }
}

fn scripted(settings: &HttpSettings, answers: &[&[&str]]) -> Poster {
    let parse = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().unwrap()).collect();
    let names = Arc::new(Script(Mutex::new(answers.iter().map(parse).collect())));
    Poster::with_names(settings, names).unwrap()
}

/// What went wrong before any answer.
#[track_caller]
fn reason(result: Result<Answer, SendError>) -> String {
    let Err(SendError::Retry { reason, after_ms: None }) = result else {
        panic!("{result:?}");
    };
    assert!(!reason.contains("hidden"), "{reason}");
    reason
}

#[tokio::test]
async fn a_name_that_is_pointed_elsewhere_leads_nowhere() {
    let allowed = Receiver::start([127, 0, 0, 1], 0, answer("204 No Content", "", "")).await;
    let port = allowed.address.port();
    let other = Receiver::start([127, 0, 0, 2], port, answer("204 No Content", "", "")).await;
    // TLS fails at these receivers; what counts is who was connected to.
    let url = format!("https://hooks.contoso.example:{port}/hidden");
    let mut settings = settings(&url);
    settings.allow_internal = vec!["127.0.0.1/32".to_owned()];
    let answers: [&[&str]; 7] = [
        &["127.0.0.1"],
        &["127.0.0.2"],
        &["169.254.169.254"],
        &["::ffff:127.0.0.2", "10.1.2.3", "fd00:ec2::254"],
        &["127.0.0.2", "127.0.0.1"],
        &["64:ff9b::7f00:2"],
        &[],
    ];
    let poster = scripted(&settings, &answers);
    let mut said = Vec::new();
    for _ in answers {
        said.push(reason(post(&poster, NOW_S).await));
    }
    assert_eq!(other.connections(), 0);
    assert_eq!(allowed.connections(), 2, "{said:#?}");
    for (nth, expected) in [
        (1, "127.0.0.2 is not called: an internal address that allow_internal does not name"),
        (2, "169.254.169.254 is not called: link-local, a metadata service"),
        (3, "fd00:ec2::254 is not called"),
        (5, "64:ff9b::7f00:2 is not called"),
        (6, "the name has no address"),
    ] {
        assert!(said[nth].contains(expected), "{nth}: {}", said[nth]);
    }
}

#[tokio::test]
async fn http_stays_on_this_machine_whatever_localhost_is() {
    let receiver = Receiver::start([127, 0, 0, 1], 0, answer("200 OK", "", "")).await;
    let settings = settings(&format!("http://localhost:{}/hidden", receiver.address.port()));
    let poster = scripted(&settings, &[&["1.1.1.1"], &["10.0.0.1"], &["1.1.1.1", "127.0.0.1"]]);
    let said = reason(post(&poster, NOW_S).await);
    assert!(said.contains("1.1.1.1 is not called: http is for this machine only"), "{said}");
    assert!(reason(post(&poster, NOW_S).await).contains("10.0.0.1 is not called"));
    assert!(post(&poster, NOW_S).await.is_ok());
}

#[tokio::test]
async fn redirects_are_not_followed() {
    let target = Receiver::start([127, 0, 0, 1], 0, answer("200 OK", "", "")).await;
    for status in [301, 302, 303, 307, 308] {
        let location = format!("Location: http://{}/\r\n", target.address);
        let moved = answer(&format!("{status} Elsewhere"), &location, "");
        let receiver = Receiver::start([127, 0, 0, 1], 0, moved).await;
        let refused = SendError::give_up(format!("answered {status}"));
        assert_eq!(post(&receiver.poster(), NOW_S).await, Err(refused));
    }
    assert_eq!(target.connections(), 0);
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_is_left_alone_until_then() {
    for (status, asked, wait_ms) in [
        ("429 Too Many Requests", "120", 120_000),
        ("503 Unavailable", "Tue, 24 Nov 2026 03:13:10 GMT", 90_000),
        ("429 Too Many Requests", "86400", 3_600_000),
    ] {
        let headers = format!("Retry-After: {asked}\r\n");
        let receiver = Receiver::start([127, 0, 0, 1], 0, answer(status, &headers, "")).await;
        let poster = receiver.poster();
        let first = post(&poster, NOW_S).await.unwrap_err();
        assert_eq!(first.after_ms(), Some(wait_ms), "{asked}");
        let early = post(&poster, NOW_S + wait_ms / 1_000 - 1).await.unwrap_err();
        assert_eq!(early, SendError::after("not sent: the receiver asked to wait", 1_000));
        assert_eq!(receiver.connections(), 1);
        let again = post(&poster, NOW_S + wait_ms / 1_000).await.unwrap_err();
        assert!(again.to_string().contains("answered"), "{again}");
        assert_eq!(receiver.connections(), 2);
    }
}

#[tokio::test]
async fn without_a_wait_the_next_message_goes_out() {
    for asked in ["", "Retry-After: soon\r\n", "Retry-After: -1\r\n"] {
        let receiver = Receiver::start([127, 0, 0, 1], 0, answer("429 Slow", asked, "")).await;
        let poster = receiver.poster();
        for _ in 0..2 {
            let error = post(&poster, NOW_S).await.unwrap_err();
            assert_eq!(error, SendError::retry("answered 429"));
        }
        assert_eq!(receiver.connections(), 2);
    }
}

#[tokio::test]
async fn a_receiver_that_is_gone_gets_nothing_more() {
    let receiver = Receiver::start([127, 0, 0, 1], 0, answer("410 Gone", "", "")).await;
    let poster = receiver.poster();
    assert_eq!(post(&poster, NOW_S).await, Err(SendError::gone("answered 410")));
    let later = post(&poster, NOW_S + 1_000_000).await;
    assert_eq!(later, Err(SendError::gone("not sent: the receiver answered 410 before")));
    assert_eq!(receiver.connections(), 1);
    // The next start makes a new one, which asks again.
    assert_eq!(post(&receiver.poster(), NOW_S).await, Err(SendError::gone("answered 410")));
    assert_eq!(receiver.connections(), 2);
}

#[tokio::test]
async fn of_an_endless_answer_the_beginning_is_read() {
    let mut endless = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec();
    endless.resize(8 * 1024 * 1024, b'x');
    let receiver = Receiver::start([127, 0, 0, 1], 0, endless).await;
    let taken = post(&receiver.poster(), NOW_S).await.unwrap();
    assert_eq!((taken.status, taken.body.len()), (200, ANSWER_MAX));
}

#[tokio::test]
async fn one_word_of_an_answer_is_told_and_nothing_that_could_be_a_secret() {
    let echo = "POST /T0/B0/hidden?sig=hidden";
    for (body, told) in [
        ("invalid_blocks", "answered 400: invalid_blocks"),
        ("no_team\n", "answered 400: no_team"),
        ("", "answered 400"),
        (echo, "answered 400"),
        ("XoxbT0k3n", "answered 400"),
        ("a_word_that_is_far_too_long_to_be_one_of_theirs", "answered 400"),
    ] {
        let receiver = Receiver::start([127, 0, 0, 1], 0, answer("400 Bad", "", body)).await;
        let poster = receiver.poster();
        assert_eq!(post(&poster, NOW_S).await, Err(SendError::give_up(told)));
        assert!(!format!("{poster:?}").contains("hidden"));
    }
    assert!(!format!("{:?}", settings("https://x.example/hidden")).contains("hidden"));
}

#[test]
fn every_status_has_a_verdict() {
    let poster = Poster::new(&settings("http://127.0.0.1:1/")).unwrap();
    for status in 100..=999_u16 {
        let verdict = poster.verdict(StatusCode::from_u16(status).unwrap(), None, 0, b"");
        let retry = matches!(verdict, Err(SendError::Retry { after_ms: None, .. }));
        let gone = matches!(verdict, Err(SendError::Gone { .. }));
        assert_eq!(verdict.is_ok(), (200..300).contains(&status), "{status}");
        let again = matches!(status, 408 | 409 | 425 | 429) || (500..600).contains(&status);
        assert_eq!((retry, gone), (again, status == 410), "{status}");
    }
}
