//! From an accepted socket to the bytes of AMQP: through TLS where the emulator has a certificate,
//! and through WebSocket where the client asks for it, on one port.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio_rustls::TlsAcceptor;

use super::stream::Wire;
use super::websocket;

/// First byte of AMQP's and SASL's protocol header.
const AMQP: u8 = b'A';

/// First byte of a TLS handshake (RFC 8446, section 5.1).
const TLS: u8 = 22;

/// Why a connection ended before AMQP began.
#[derive(Debug, thiserror::Error)]
pub(super) enum WireError {
    /// The client went away, or was cut off.
    #[error("connection ended: {0}")]
    Io(#[from] io::Error),
    /// Most likely the client does not trust our certificate.
    #[error("TLS handshake: {0}")]
    Tls(io::Error),
    /// TLS from the first byte on, and there is no certificate.
    #[error("the client speaks TLS; start the emulator with a certificate")]
    NoTls,
    /// It was answered over HTTP.
    #[error("HTTP {status}: {reason}")]
    Http {
        /// The status of the answer.
        status: u16,
        /// What the answer says.
        reason: String,
    },
}

/// Waits for the client's first bytes and does what they ask for; counts the WebSockets.
pub(super) async fn open(
    socket: impl Wire + 'static,
    tls: Option<&TlsAcceptor>,
    websockets: &AtomicU64,
) -> Result<Box<dyn Wire>, WireError> {
    let stream: Box<dyn Wire> = match tls {
        Some(acceptor) => Box::new(acceptor.accept(socket).await.map_err(tls_error)?),
        None => Box::new(socket),
    };
    let mut stream = BufReader::new(stream);
    match stream.fill_buf().await?.first() {
        Some(&AMQP) => Ok(Box::new(stream)),
        Some(&TLS) if tls.is_none() => Err(WireError::NoTls),
        Some(_) => {
            let wire = websocket::upgrade(stream).await?;
            websockets.fetch_add(1, Ordering::Relaxed);
            Ok(wire)
        }
        None => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
}

fn tls_error(error: io::Error) -> WireError {
    match error.get_ref() {
        Some(inner) if inner.is::<rustls::Error>() => WireError::Tls(error),
        Some(_) | None => WireError::Io(error),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::sync::Arc;
    use std::time::Duration;

    use rustls::pki_types::pem::PemObject as _;
    use rustls::pki_types::{CertificateDer, ServerName};
    use rustls::{ClientConfig, RootCertStore};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio_rustls::TlsConnector;

    use super::*;
    use crate::emulator::{Emulator, EmulatorClock, EmulatorTls, HubSpec, Setup};

    const LIMIT: Duration = Duration::from_secs(30);
    const UPGRADE: &[u8] = b"GET /$servicebus/websocket/ HTTP/1.1\r\nConnection: Upgrade\r\n\
        Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: AMQPWSB10\r\n\r\n";

    /// What a client has sent, and how what it gets begins, at each stage of a connection.
    const STAGES: [(&[u8], &[u8]); 4] = [
        (b"", b""),
        (b"GET /$serv", b""),
        (b"AMQP\x03\x01\x00\x00", b"AMQP\x03\x01\x00\x00"),
        (UPGRADE, b"HTTP/1.1 101 Switching Protocols\r\n"),
    ];

    /// An emulator with TLS, and a client's side of it.
    async fn secure() -> (Emulator, TlsConnector) {
        let folder = tempfile::tempdir().unwrap();
        let tls = EmulatorTls::self_signed(folder.path()).unwrap();
        let authority = std::fs::read(folder.path().join("ca.pem")).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(&authority).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let (listen, clock) = ("127.0.0.1:0".parse().unwrap(), EmulatorClock::real());
        let hubs = vec![HubSpec::new("logs", 1)];
        let setup = Setup { listen, hubs, clock, tls: Some(tls), folder: None };
        let mut emulator = Emulator::prepare(setup).await.unwrap();
        emulator.serve();
        (emulator, TlsConnector::from(Arc::new(config)))
    }

    async fn connect(address: SocketAddr, tls: Option<&TlsConnector>) -> Box<dyn Wire> {
        let socket = TcpStream::connect(address).await.unwrap();
        let Some(tls) = tls else { return Box::new(socket) };
        let name = ServerName::try_from("localhost").unwrap();
        Box::new(tls.connect(name, socket).await.unwrap())
    }

    /// What ends the stream; anything that comes before is skipped.
    async fn end(stream: &mut Box<dyn Wire>) -> io::Result<usize> {
        let mut rest = Vec::new();
        tokio::time::timeout(LIMIT, stream.read_to_end(&mut rest)).await.unwrap()
    }

    /// Brings a connection to each stage, with TLS where there is a connector, and cuts all.
    async fn check_cut(emulator: Emulator, tls: Option<&TlsConnector>) {
        let address = emulator.address();
        let mut streams = Vec::new();
        for (sent, begins) in STAGES {
            let mut stream = connect(address, tls).await;
            stream.write_all(sent).await.unwrap();
            stream.flush().await.unwrap();
            let mut answer = vec![0; begins.len()];
            stream.read_exact(&mut answer).await.unwrap();
            assert_eq!(answer, begins);
            streams.push(stream);
        }
        // In the middle of a TLS handshake, or of a protocol header.
        let mut stream = connect(address, None).await;
        let sent: &[u8] = if tls.is_some() { &[TLS, 3, 1] } else { b"A" };
        stream.write_all(sent).await.unwrap();
        streams.push(stream);
        // All are accepted; the first task is the one that accepts.
        let accepted = async {
            while emulator.broker.tasks.len() < streams.len() + 1 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(LIMIT, accepted).await.unwrap();
        emulator.control().cut_connections();
        for (stage, stream) in streams.iter_mut().enumerate() {
            let kind = end(stream).await.map_err(|error| error.kind());
            assert_eq!(kind, Err(io::ErrorKind::ConnectionReset), "stage {stage}");
        }
        let broker = Arc::clone(&emulator.broker);
        emulator.stop().await;
        assert_eq!(broker.tasks.len(), 0);
    }

    #[tokio::test]
    async fn a_cut_resets_plain_connections_at_every_stage() {
        let hubs = vec![HubSpec::new("logs", 1)];
        let listen = "127.0.0.1:0".parse().unwrap();
        check_cut(Emulator::start(listen, hubs, EmulatorClock::real()).await.unwrap(), None).await;
    }

    #[tokio::test]
    async fn a_cut_resets_connections_over_tls_at_every_stage() {
        let (emulator, connector) = secure().await;
        check_cut(emulator, Some(&connector)).await;
    }

    #[tokio::test]
    async fn nothing_is_served_in_the_clear_where_there_is_a_certificate() {
        let (emulator, _) = secure().await;
        for (sent, _) in STAGES.into_iter().skip(2) {
            let mut stream = connect(emulator.address(), None).await;
            stream.write_all(sent).await.unwrap();
            let mut answer = Vec::new();
            let read = stream.read_to_end(&mut answer);
            tokio::time::timeout(LIMIT, read).await.unwrap().unwrap();
            // An alert of TLS: unexpected message.
            assert_eq!(answer.first_chunk(), Some(&[21_u8]), "{answer:?}");
        }
    }
}
