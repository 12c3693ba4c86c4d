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
        self.poll_stream(cx, AsyncWrite::poll_flush)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.poll_stream(cx, AsyncWrite::poll_shutdown)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::timeout;

    use super::*;
    use crate::emulator::action::{Lasts, Reach};
    use crate::emulator::standing::HalfOpen;
    use crate::emulator::{EmulatorClock, HubSpec};

    const HOUR: Duration = Duration::from_hours(1);

    /// A peer and the emulator's end of the connection with this number.
    fn connection(number: u64) -> (DuplexStream, SilentStream<DuplexStream>, Line) {
        let (peer, own) = duplex(64);
        let broker = Broker::new(vec![HubSpec::new("logs", 1)], EmulatorClock::fixed(0));
        let line = Line { number, cut: CancellationToken::new(), broker: Arc::new(broker) };
        (peer, SilentStream::new(own, line.clone()), line)
    }

    fn silence(line: &Line, reach: Reach) {
        let half_open = HalfOpen { before: 1, reach };
        line.broker.faults.half_open.begin(half_open, Lasts::UntilEnded);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_moves_and_nothing_is_lost() {
        let (mut peer, mut own, line) = connection(0);
        let mut bytes = [0; 2];
        own.write_all(b"ab").await.unwrap();
        silence(&line, Reach::Existing);
        peer.write_all(b"cd").await.unwrap();
        assert!(timeout(HOUR, own.read_exact(&mut bytes)).await.is_err());
        assert!(timeout(HOUR, own.write_all(b"ef")).await.is_err());
        assert!(timeout(HOUR, own.shutdown()).await.is_err());
        line.broker.faults.half_open.end();
        own.write_all(b"gh").await.unwrap();
        own.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"cd");
        let mut sent = [0; 4];
        peer.read_exact(&mut sent).await.unwrap();
        assert_eq!(&sent, b"abgh");
    }

    #[tokio::test(start_paused = true)]
    async fn later_connections_are_silent_only_when_asked_for() {
        let (mut peer, mut own, line) = connection(1);
        silence(&line, Reach::Existing);
        own.write_all(b"ab").await.unwrap();
        peer.read_exact(&mut [0; 2]).await.unwrap();
        silence(&line, Reach::New);
        assert!(timeout(HOUR, own.write_all(b"cd")).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_given_up_stays_open_while_it_is_silent() {
        let (mut peer, own, line) = connection(0);
        silence(&line, Reach::Existing);
        drop(own);
        assert!(timeout(HOUR, peer.read(&mut [0; 1])).await.is_err());
        line.broker.faults.half_open.end();
        assert_eq!(peer.read(&mut [0; 1]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_ends_the_silence() {
        let (_peer, mut own, line) = connection(0);
        silence(&line, Reach::Existing);
        let write = async { own.write_all(b"ab").await };
        let cut = async {
            tokio::time::sleep(HOUR).await;
            line.cut.cancel();
        };
        let (written, ()) = timeout(2 * HOUR, async { tokio::join!(write, cut) }).await.unwrap();
        written.unwrap();
    }
}
