//! The connection of a peer that has gone silent: open, and nothing moves on it.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;

use super::broker::Broker;

type Wait = Pin<Box<dyn Future<Output = ()> + Send + Sync>>;

/// A stream on which nothing moves while a half-open fault reaches its connection.
pub(super) struct SilentStream<S: Send + 'static> {
    /// `None` only while it is dropped.
    stream: Option<S>,
    line: Line,
    // Reading and writing may be two tasks, and each future wakes one.
    read: Option<Wait>,
    write: Option<Wait>,
}

/// What a connection is known by to the fault.
#[derive(Clone)]
pub(super) struct Line {
    pub(super) number: u64,
    pub(super) cut: CancellationToken,
    pub(super) broker: Arc<Broker>,
}

impl Line {
    fn is_silent(&self) -> bool {
        let half_open = self.broker.faults.half_open.get();
        half_open.is_some_and(|half_open| half_open.reaches(self.number))
    }

    /// Waits until the connection is no longer silent, or cut.
    pub(super) async fn sound(self) {
        loop {
            let changed = self.broker.faults.half_open.changed();
            if !self.is_silent() || self.cut.is_cancelled() {
                return;
            }
            tokio::select! {
                () = changed => {}
                () = self.cut.cancelled() => {}
            }
        }
    }

    fn poll_sound(&self, wait: &mut Option<Wait>, cx: &mut Context<'_>) -> Poll<()> {
        if wait.is_none() && !self.is_silent() {
            return Poll::Ready(());
        }
        ready!(wait.get_or_insert_with(|| Box::pin(self.clone().sound())).as_mut().poll(cx));
        *wait = None;
        Poll::Ready(())
    }
}

impl<S: Send + 'static> SilentStream<S> {
    pub(super) const fn new(stream: S, line: Line) -> Self {
        Self { stream: Some(stream), line, read: None, write: None }
    }
}

/// The library drops a connection it hears nothing from; the socket stays for as long as it is
/// silent.
impl<S: Send + 'static> Drop for SilentStream<S> {
    fn drop(&mut self) {
        let Some(stream) = self.stream.take().filter(|_| self.line.is_silent()) else { return };
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            let line = self.line.clone();
            let hold = async move {
                line.sound().await;
                drop(stream);
            };
            self.line.broker.tasks.spawn_on(hold, &runtime);
        }
    }
}

impl<S: fmt::Debug + Send + 'static> fmt::Debug for SilentStream<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SilentStream").field("stream", &self.stream).finish_non_exhaustive()
    }
}

impl<S: AsyncRead + Unpin + Send + 'static> AsyncRead for SilentStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.line.poll_sound(&mut this.read, cx));
        match &mut this.stream {
            Some(stream) => Pin::new(stream).poll_read(cx, buffer),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<S: AsyncWrite + Unpin + Send + 'static> SilentStream<S> {
    fn poll_stream<T>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        act: impl FnOnce(Pin<&mut S>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let this = self.get_mut();
        ready!(this.line.poll_sound(&mut this.write, cx));
        match &mut this.stream {
            Some(stream) => act(Pin::new(stream), cx),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<S: AsyncWrite + Unpin + Send + 'static> AsyncWrite for SilentStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_stream(cx, |stream, cx| stream.poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_stream(cx, |stream, cx| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_stream(cx, |stream, cx| stream.poll_shutdown(cx))
    }
}
