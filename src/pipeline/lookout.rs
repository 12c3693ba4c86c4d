//! Looks at the files of lists from time to time, off the path of the records.

use tokio::sync::mpsc;

use super::Clock;
use crate::files::{Files, Look};

/// A task that looks, and what it last saw.
pub(super) struct Lookout {
    seen: mpsc::Receiver<Look>,
}

impl Lookout {
    /// Begins to look; it ends when this is dropped, after the look in hand.
    pub(super) fn start(files: Files, clock: Clock) -> Self {
        // One: a look that nobody has taken yet holds up the next.
        let (tell, seen) = mpsc::channel(1);
        tokio::spawn(look_out(files, clock, tell));
        Self { seen }
    }

    /// What was seen since the last call. Does not wait.
    pub(super) fn latest(&mut self) -> Option<Look> {
        self.seen.try_recv().ok()
    }
}

async fn look_out(mut files: Files, clock: Clock, tell: mpsc::Sender<Look>) {
    loop {
        let now_ms = clock();
        let looking = tokio::task::spawn_blocking(move || {
            let look = files.look(now_ms);
            (files, look)
        });
        let look = match looking.await {
            Ok((back, look)) => {
                files = back;
                look
            }
            Err(error) => {
                tracing::error!(%error, "lists are not looked at any more");
                return;
            }
        };
        if tell.send(look).await.is_err() {
            return;
        }
        tokio::select! {
            () = tell.closed() => return,
            () = tokio::time::sleep(files.every) => {}
        }
    }
}
