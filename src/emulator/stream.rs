//! A TCP stream that can be cut from outside, as a failing network would.

use std::future::Future as _;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Passes bytes through until its token fires; then the socket is closed with a reset.
pub(super) struct CutStream {
    socket: Option<TcpStream>,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl CutStream {
    pub(super) fn new(socket: TcpStream, cut: CancellationToken) -> Self {
        Self { socket: Some(socket), cut: Box::pin(cut.cancelled_owned()) }
    }

    /// The socket, unless it was cut. Only the reading side polls the token: it always waits.
    fn socket(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.socket.as_mut().map(Pin::new).ok_or_else(|| io::ErrorKind::ConnectionReset.into())
    }

    fn poll_cut(&mut self, cx: &mut Context<'_>) {
        if self.socket.is_some()
            && self.cut.as_mut().poll(cx).is_ready()
            && let Some(socket) = self.socket.take()
            && let Err(error) = socket.set_zero_linger()
        {
            tracing::debug!(%error, "connection is closed without a reset");
        }
    }
}

impl std::fmt::Debug for CutStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CutStream").field("socket", &self.socket).finish_non_exhaustive()
    }
}

impl AsyncRead for CutStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.poll_cut(cx);
        self.socket()?.poll_read(cx, buffer)
    }
}

impl AsyncWrite for CutStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.socket()?.poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket()?.poll_shutdown(cx)
    }
}
