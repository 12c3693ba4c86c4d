//! The streams under the AMQP library: the socket can be cut from outside, and what leaves is
//! shaped. TLS and WebSocket, where there are any, lie between the two.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use super::shape::{Pace, Piece, Shaper};

/// How long the answer to a detach is held back. The Rust client 0.16 drops its connection when
/// the answers to the detaches of a session it is ending overtake its own clean-up; its tasks
/// need microseconds for that, more on a busy machine.
const DETACH_DELAY: Duration = Duration::from_millis(5);

/// Bytes both ways: TCP, TLS in it, WebSocket in either.
pub(super) trait Wire: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + fmt::Debug + Send + Unpin> Wire for S {}

/// A socket that is closed with a reset as soon as its token fires.
pub(super) struct CutStream {
    socket: Option<TcpStream>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl CutStream {
    pub(super) fn new(socket: TcpStream, cut: CancellationToken) -> Self {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "cannot disable Nagle's algorithm");
        }
        Self { socket: Some(socket), cut: Box::pin(cut.cancelled_owned()) }
    }

    /// The socket, unless the token has fired: then it is closed. Called where the library, and
    /// TLS for it, always waits.
    fn poll_cut(&mut self, cx: &mut Context<'_>) -> io::Result<&mut TcpStream> {
        if self.socket.is_some()
            && self.cut.as_mut().poll(cx).is_ready()
            && let Some(socket) = self.socket.take()
            && let Err(error) = socket.set_zero_linger()
        {
            tracing::debug!(%error, "connection is closed without a reset");
        }
        self.socket.as_mut().ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }
}

/// Clients leave Nagle's algorithm on: a request in two frames would otherwise wait 40 ms for the
/// acknowledgement of the first. The system forgets the setting now and then.
fn acknowledge_at_once(socket: &TcpStream) {
    #[cfg(target_os = "linux")]
    if let Err(error) = socket.set_quickack(true) {
        tracing::trace!(%error, "cannot acknowledge at once");
    }
    #[cfg(not(target_os = "linux"))]
    let _ = socket;
}

impl fmt::Debug for CutStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CutStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl AsyncRead for CutStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let socket = self.poll_cut(cx)?;
        let read = Pin::new(&mut *socket).poll_read(cx, buffer);
        if read.is_ready() {
            acknowledge_at_once(socket);
        }
        read
    }
}

impl AsyncWrite for CutStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(self.poll_cut(cx)?).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.poll_cut(cx)?).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.poll_cut(cx)?).poll_shutdown(cx)
    }
}

/// Sends whole frames in the shape and at the pace that clients can take.
pub(super) struct ShapedStream {
    wire: Box<dyn Wire>,
    shaper: Shaper,
    waiting: VecDeque<Piece>,
    hold: Option<Pin<Box<Sleep>>>,
}

impl ShapedStream {
    pub(super) fn new(wire: Box<dyn Wire>) -> Self {
        Self { wire, shaper: Shaper::default(), waiting: VecDeque::new(), hold: None }
    }

    fn poll_send(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(piece) = self.waiting.front_mut() {
            if piece.pace == Pace::HeldBack {
                let hold =
                    self.hold.get_or_insert_with(|| Box::pin(tokio::time::sleep(DETACH_DELAY)));
                ready!(hold.as_mut().poll(cx));
                self.hold = None;
                piece.pace = Pace::AtOnce;
            }
            let sent = ready!(Pin::new(&mut self.wire).poll_write(cx, &piece.bytes))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            piece.bytes.drain(..sent);
            if piece.bytes.is_empty() {
                self.waiting.pop_front();
            }
        }
        Pin::new(&mut self.wire).poll_flush(cx)
    }
}

impl fmt::Debug for ShapedStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShapedStream").field("wire", &self.wire).finish_non_exhaustive()
    }
}

impl AsyncRead for ShapedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_read(cx, buffer)
    }
}

impl AsyncWrite for ShapedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        // What was taken before leaves first, so that a slow peer slows the library down.
        ready!(self.poll_send(cx))?;
        let pieces = self.shaper.push(bytes);
        self.waiting.extend(pieces);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_send(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_send(cx))?;
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}
