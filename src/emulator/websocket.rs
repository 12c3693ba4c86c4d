//! AMQP over WebSocket, as clients speak it where only port 443 is open.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::{Sink as _, Stream as _};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::machine::TryParse as _;
use tokio_tungstenite::tungstenite::handshake::server::{
    Request, Response, create_response, write_response,
};
use tokio_tungstenite::tungstenite::http::{HeaderValue, StatusCode};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error, Message, error::ProtocolError};

use super::stream::Wire;
use super::wire::WireError;

/// Where the service takes WebSockets; clients write it with and without a slash at the end.
pub(super) const PATH: &str = "/$servicebus/websocket/";

/// What the service calls AMQP in a WebSocket: its own name, which most clients use, and the
/// standard's, which the Rust client uses.
const PROTOCOLS: [&str; 2] = ["AMQPWSB10", "amqp"];
const PROTOCOL_HEADER: &str = "Sec-WebSocket-Protocol";

/// Longest head of a request; clients send a few hundred bytes.
const MAX_HEAD_BYTES: usize = 8 * 1024;

/// Most bytes of a message sent: one AMQP frame at its largest.
const SENT_BYTES: usize = 64 * 1024;

/// Longest message taken. Clients may put all frames they have into one, and the largest events
/// they have are batches of 1 MiB.
const MAX_MESSAGE_BYTES: usize = 16 * 1024 * 1024;

/// Bytes kept for a peer that does not read: what the library gathers before it writes, and a few
/// messages more.
const MAX_UNSENT_BYTES: usize = 512 * 1024;

/// Answers the request and goes on as a WebSocket, or says over HTTP why not.
pub(super) async fn upgrade(
    mut stream: BufReader<Box<dyn Wire>>,
) -> Result<Box<dyn Wire>, WireError> {
    let mut head = Vec::new();
    let response = match read_request(&mut stream, &mut head).await? {
        Ok(request) => agree(&request),
        Err(refusal) => Err(refusal),
    };
    match response {
        Ok(response) => {
            let mut text = Vec::new();
            write_response(&mut text, &response).map_err(io_error)?;
            stream.write_all(&text).await?;
            stream.flush().await?;
            let config = WebSocketConfig::default()
                .max_message_size(Some(MAX_MESSAGE_BYTES))
                .max_frame_size(Some(MAX_MESSAGE_BYTES))
                .max_write_buffer_size(MAX_UNSENT_BYTES);
            let role = Role::Server;
            let messages =
                WebSocketStream::from_partially_read(stream, head, role, Some(config)).await;
            Ok(Box::new(WebSocket { messages, unread: Bytes::new() }))
        }
        Err(refusal) => {
            stream.write_all(refusal.text().as_bytes()).await?;
            stream.shutdown().await?;
            Err(WireError::Http { status: refusal.status.as_u16(), reason: refusal.reason })
        }
    }
}

/// Why a request gets no WebSocket.
struct Refusal {
    status: StatusCode,
    reason: String,
}

impl Refusal {
    fn new(status: StatusCode, reason: impl Into<String>) -> Self {
        Self { status, reason: reason.into() }
    }

    fn text(&self) -> String {
        let header = match self.status {
            StatusCode::UPGRADE_REQUIRED => "Upgrade: websocket\r\n",
            StatusCode::METHOD_NOT_ALLOWED => "Allow: GET\r\n",
            _ => "",
        };
        let (status, reason) = (self.status, &self.reason);
        let length = reason.len() + 1;
        format!(
            "HTTP/1.1 {status}\r\n{header}Connection: close\r\nContent-Type: text/plain\r\n\
             Content-Length: {length}\r\n\r\n{reason}\n"
        )
    }
}

/// Reads the head of a request; what came after it is left in `head`.
async fn read_request(
    stream: &mut BufReader<Box<dyn Wire>>,
    head: &mut Vec<u8>,
) -> io::Result<Result<Request, Refusal>> {
    loop {
        if stream.read_buf(head).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        match Request::try_parse(head) {
            Ok(Some((length, request))) => {
                head.drain(..length);
                return Ok(Ok(request));
            }
            Ok(None) if head.len() < MAX_HEAD_BYTES => {}
            Ok(None) => {
                let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
                let reason = format!("the request is longer than {MAX_HEAD_BYTES} bytes");
                return Ok(Err(Refusal::new(status, reason)));
            }
            Err(Error::Protocol(ProtocolError::WrongHttpMethod)) => {
                let reason = format!("only GET is answered, for AMQP over WebSocket at {PATH}");
                return Ok(Err(Refusal::new(StatusCode::METHOD_NOT_ALLOWED, reason)));
            }
            Err(error) => {
                let reason = format!("neither AMQP nor HTTP: {error}");
                return Ok(Err(Refusal::new(StatusCode::BAD_REQUEST, reason)));
            }
        }
    }
}

/// The answer to a request for AMQP over WebSocket.
fn agree(request: &Request) -> Result<Response, Refusal> {
    let path = request.uri().path().replace("%24", "$");
    if !path.trim_end_matches('/').eq_ignore_ascii_case(PATH.trim_end_matches('/')) {
        let reason = format!("nothing is here; AMQP over WebSocket is at {PATH}");
        return Err(Refusal::new(StatusCode::NOT_FOUND, reason));
    }
    let mut response = create_response(request).map_err(|error| {
        let reason = format!("this is for AMQP over WebSocket: {error}");
        Refusal::new(StatusCode::UPGRADE_REQUIRED, reason)
    })?;
    let asked = request.headers().get_all(PROTOCOL_HEADER).into_iter();
    let protocol = asked
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .find_map(|word| PROTOCOLS.iter().find(|known| word.trim().eq_ignore_ascii_case(known)));
    let Some(protocol) = protocol else {
        let reason = format!("{PROTOCOL_HEADER} has neither of {}", PROTOCOLS.join(" and "));
        return Err(Refusal::new(StatusCode::BAD_REQUEST, reason));
    };
    response.headers_mut().insert(PROTOCOL_HEADER, HeaderValue::from_static(protocol));
    Ok(response)
}

/// The binary messages of a WebSocket as one stream of bytes; where they begin means nothing.
#[derive(Debug)]
struct WebSocket {
    messages: WebSocketStream<BufReader<Box<dyn Wire>>>,
    unread: Bytes,
}

impl AsyncRead for WebSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.unread.is_empty() {
            match ready!(Pin::new(&mut self.messages).poll_next(cx)) {
                Some(Ok(Message::Binary(bytes))) => self.unread = bytes,
                Some(Ok(Message::Text(_))) => {
                    let error = io::Error::new(io::ErrorKind::InvalidData, "a message of text");
                    return Poll::Ready(Err(error));
                }
                // Answered by the library.
                Some(Ok(
                    Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_),
                )) => {}
                Some(Err(error)) => return Poll::Ready(Err(io_error(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = buffer.remaining().min(self.unread.len());
        buffer.put_slice(&self.unread.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WebSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut messages = Pin::new(&mut self.messages);
        ready!(messages.as_mut().poll_ready(cx)).map_err(io_error)?;
        let part = bytes.get(..SENT_BYTES).unwrap_or(bytes);
        let message = Message::binary(Bytes::copy_from_slice(part));
        messages.start_send(message).map_err(io_error)?;
        Poll::Ready(Ok(part.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.messages).poll_flush(cx).map_err(io_error)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.messages).poll_close(cx).map_err(io_error)
    }
}

fn io_error(error: Error) -> io::Error {
    if let Error::Io(error) = error { error } else { io::Error::other(error) }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::{SinkExt as _, StreamExt as _};
    use tokio::io::DuplexStream;
    use tokio_tungstenite::client_async;
    use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

    use super::*;

    /// Both ends of a WebSocket, with 64 KiB between them.
    async fn pair() -> (WebSocketStream<DuplexStream>, Box<dyn Wire>) {
        let (near, far) = tokio::io::duplex(64 * 1024);
        let mut request = format!("ws://localhost{PATH}").into_client_request().unwrap();
        request.headers_mut().insert(PROTOCOL_HEADER, HeaderValue::from_static("amqp"));
        let far: Box<dyn Wire> = Box::new(far);
        let (client, server) =
            tokio::join!(client_async(request, near), upgrade(BufReader::new(far)));
        (client.unwrap().0, server.unwrap())
    }

    #[tokio::test]
    async fn much_leaves_in_messages_of_a_bounded_size() {
        let (mut client, mut server) = pair().await;
        let sent: Vec<u8> = (0..=250).cycle().take(1_000_000).collect();
        let sending = async {
            server.write_all(&sent).await.unwrap();
            server.shutdown().await.unwrap();
        };
        let receiving = async {
            let mut received = Vec::new();
            while let Some(Ok(Message::Binary(bytes))) = client.next().await {
                assert!(bytes.len() <= SENT_BYTES, "{}", bytes.len());
                received.extend_from_slice(&bytes);
            }
            received
        };
        let ((), received) = tokio::join!(sending, receiving);
        assert!(received == sent, "{} bytes", received.len());
    }

    #[tokio::test]
    async fn a_peer_that_does_not_read_stops_the_writer() {
        let (client, mut server) = pair().await;
        let all = vec![0; 4 * MAX_UNSENT_BYTES];
        let written =
            tokio::time::timeout(Duration::from_millis(200), server.write_all(&all)).await;
        assert!(written.is_err(), "{written:?}");
        drop(client);
    }

    #[tokio::test]
    async fn a_message_beyond_the_limit_ends_the_stream() {
        for (length, fits) in [(MAX_MESSAGE_BYTES, true), (MAX_MESSAGE_BYTES + 1, false)] {
            let (mut client, mut server) = pair().await;
            let sending = async {
                // Fails when the other end has gone.
                drop(client.send(Message::binary(vec![0; length])).await);
                drop(client.close(None).await);
            };
            let receiving = async {
                let mut received = Vec::new();
                let ended = server.read_to_end(&mut received).await;
                drop(server);
                (ended.is_ok(), received.len())
            };
            let ((), ended) = tokio::join!(sending, receiving);
            assert_eq!(ended, (fits, if fits { length } else { 0 }));
        }
    }
}
