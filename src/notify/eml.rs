//! Mails as files, for the demo, for tests, and where a folder is watched by something else.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::fs;
use tokio::io::AsyncWriteExt as _;

use crate::incident::{Announcement, Digest};

use super::settings::{Addresses, Label, Problem, Settings};
use super::{Channel, Notification, RenderError, SendError, Sending, mail, mail_digest};

/// Tells temporary files of this process apart.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// A folder that keeps each mail as `<key>.eml`.
#[derive(Debug, Clone)]
pub struct EmlSettings {
    /// Folder; made when missing.
    pub folder: PathBuf,
    /// Sender.
    pub from: String,
    /// Recipients, at least one.
    pub to: Vec<String>,
}

impl EmlSettings {
    fn addresses<'a>(&'a self, label: Label<'a>) -> Addresses<'a> {
        Addresses { destination: label.destination, from: &self.from, to: &self.to }
    }
}

impl Settings for EmlSettings {
    fn word(&self) -> &'static str {
        "eml"
    }

    fn mail(&self) -> Option<(&str, &[String])> {
        Some((&self.from, &self.to))
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.addresses(Label { destination: "", key: "" }).problems();
        if self.folder.as_os_str().is_empty() {
            problems.push(Problem::Folder);
        }
        problems
    }

    fn body(&self, told: &Announcement, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        mail::message(told, label.key, self.addresses(label))
    }

    fn digest(&self, digest: &Digest, label: Label<'_>) -> Result<Vec<u8>, RenderError> {
        mail_digest::message(digest, label.key, self.addresses(label))
    }

    fn connect(&self) -> Result<Box<dyn Channel>, Problem> {
        Ok(Box::new(EmlChannel { settings: self.clone() }))
    }
}

/// Writes each message as `<key>.eml`, whole or not at all; writing it again changes nothing.
#[derive(Debug)]
struct EmlChannel {
    settings: EmlSettings,
}

impl Channel for EmlChannel {
    fn send<'a>(&'a self, notification: &'a Notification, _now_s: i64) -> Sending<'a> {
        Box::pin(async move {
            let key = &notification.key;
            // The key becomes a file name: nothing but the digits of a hash may pass.
            if key.len() != 64 || !key.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(SendError::give_up("key is not a hash"));
            }
            let written = write(&self.settings.folder, key, &notification.body).await;
            written.map_err(|error| SendError::retry(error.to_string()))
        })
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
