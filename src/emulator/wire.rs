//! From an accepted socket to the bytes of AMQP: through TLS where the emulator has a certificate,
//! and through WebSocket where the client asks for it, on one port.

use std::io;

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

/// Waits for the client's first bytes and does what they ask for.
pub(super) async fn open(
    socket: impl Wire + 'static,
    tls: Option<&TlsAcceptor>,
) -> Result<Box<dyn Wire>, WireError> {
    let stream: Box<dyn Wire> = match tls {
        Some(acceptor) => Box::new(acceptor.accept(socket).await.map_err(tls_error)?),
        None => Box::new(socket),
    };
    let mut stream = BufReader::new(stream);
    match stream.fill_buf().await?.first() {
        Some(&AMQP) => Ok(Box::new(stream)),
        Some(&TLS) if tls.is_none() => Err(WireError::NoTls),
        Some(_) => websocket::upgrade(stream).await,
        None => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
    }
}

fn tls_error(error: io::Error) -> WireError {
    let by_tls = error.get_ref().is_some_and(|inner| inner.is::<rustls::Error>());
    if by_tls { WireError::Tls(error) } else { WireError::Io(error) }
}
