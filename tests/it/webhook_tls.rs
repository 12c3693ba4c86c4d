//! Webhooks over real TLS: a private authority is trusted when it is named, and only then.

use std::io::{BufRead as _, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::Arc;
use std::thread::JoinHandle;

use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use tokenwatch::incident::{Kind, Severity};
use tokenwatch::notify::{
    Body, Destination, HttpSettings, Notification, SendError, WebhookSettings,
};
use tokenwatch::time::ArrivalTime;

/// Serves one request on loopback and ends with its body; `None` when no handshake succeeded.
fn serve() -> (u16, String, JoinHandle<Option<Vec<u8>>>) {
    let signed = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let pem = signed.cert.pem();
    let key = PrivatePkcs8KeyDer::from(signed.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![signed.cert.der().clone()], PrivateKeyDer::Pkcs8(key))
        .unwrap();
    let socket = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let served = std::thread::spawn(move || {
        let (stream, _) = socket.accept().unwrap();
        let tls = ServerConnection::new(Arc::new(config)).unwrap();
        read_request(BufReader::new(StreamOwned::new(tls, stream)))
    });
    (port, pem, served)
}

fn read_request<S: Read + Write>(mut stream: BufReader<S>) -> Option<Vec<u8>> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).ok()?;
        if let Some(value) = line.to_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    stream.get_mut().write_all(b"HTTP/1.1 204 No Content\r\n\r\n").ok()?;
    Some(body)
}

#[tokio::test]
async fn a_private_authority_is_trusted_only_when_it_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for named in [true, false] {
        let (port, pem, served) = serve();
        let ca_file = folder.path().join("ca.pem");
        std::fs::write(&ca_file, pem).unwrap();
        let settings = WebhookSettings {
            http: HttpSettings {
                ca_file: named.then_some(ca_file),
                ..HttpSettings::new(&format!("https://localhost:{port}/"))
            },
            secret: "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".into(),
            previous_secret: None,
            body: Body::default(),
        };
        let channel = Destination::new("hook", Severity::Info, settings).connect().unwrap();
        let notification = Notification {
            key: "0".repeat(64),
            incident_key: "x".to_owned(),
            destination: "hook".to_owned(),
            kind: Kind::Test,
            created: ArrivalTime(0),
            body: b"{}".to_vec(),
        };
        let result = channel.send(&notification, 0).await;
        drop(channel);
        let body = served.join().unwrap();
        if named {
            assert_eq!((result, body.as_deref()), (Ok(()), Some(b"{}".as_slice())));
        } else {
            let Err(SendError::Retry { reason, .. }) = result else { panic!("{result:?}") };
            assert!(reason.contains("certificate"), "{reason}");
            assert_eq!(body, None);
        }
    }
}
