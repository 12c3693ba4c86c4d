//! Mails as files, for the demo, for tests, and where a folder is watched by something else.

use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::fs;
use tokio::io::AsyncWriteExt as _;

use super::settings::EmlSettings;
use super::{Channel, Notification, SendError};

/// Tells temporary files of this process apart.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// Writes each message as `<key>.eml`, whole or not at all; writing it again changes nothing.
#[derive(Debug)]
pub struct EmlChannel {
    settings: EmlSettings,
}

impl EmlChannel {
    /// A sink for `settings.folder`, which is made at the first message.
    #[must_use]
    pub const fn new(settings: EmlSettings) -> Self {
        Self { settings }
    }
}

impl Channel for EmlChannel {
    async fn send(&self, notification: &Notification, _now_s: i64) -> Result<(), SendError> {
        let key = &notification.key;
        // The key becomes a file name: nothing but the digits of a hash may pass.
        if key.len() != 64 || !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(SendError::give_up("key is not a hash"));
        }
        let written = write(&self.settings.folder, key, &notification.body).await;
        written.map_err(|error| SendError::retry(error.to_string()))
    }
}

async fn write(folder: &Path, key: &str, body: &[u8]) -> io::Result<()> {
    let target = folder.join(format!("{key}.eml"));
    if fs::read(&target).await.is_ok_and(|present| present == body) {
        return Ok(());
    }
    fs::create_dir_all(folder).await?;
    let nth = WRITES.fetch_add(1, Ordering::Relaxed);
    let draft = folder.join(format!(".{key}.{}.{nth}.tmp", std::process::id()));
    let placed = place(&draft, &target, body).await;
    if placed.is_err() && fs::remove_file(&draft).await.is_err() {
        tracing::debug!("no draft of the mail was left to remove");
    }
    placed?;
    // The name is safe only when the folder is, too.
    fs::File::open(folder).await?.sync_all().await
}

async fn place(draft: &Path, target: &Path, body: &[u8]) -> io::Result<()> {
    let mut file = fs::File::create(draft).await?;
    file.write_all(body).await?;
    file.sync_all().await?;
    drop(file);
    fs::rename(draft, target).await
}
