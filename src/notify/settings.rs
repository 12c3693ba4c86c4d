//! Where announcements go, and which settings are refused at the start.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use lettre::message::Mailbox;

use crate::incident::{Announcement, Digest, Kind, Severity};

use super::{Channel, RenderError};

/// Longest name of a destination.
const NAME_MAX: usize = 64;

/// Somewhere announcements go.
#[derive(Debug, Clone)]
pub struct Destination {
    /// Unique name: 1 to 64 letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Least severity it hears of.
    pub min_severity: Severity,
    /// By which channel, with its settings.
    pub settings: Arc<dyn Settings>,
}

/// What a rendered message is marked with.
#[derive(Debug, Clone, Copy)]
pub struct Label<'a> {
    /// Name of the destination.
    pub destination: &'a str,
    /// What receivers recognise a repetition by.
    pub key: &'a str,
}

/// A channel as configured: which settings it refuses, what it says, and how to reach it.
///
/// One file implements it with its [`Channel`](super::Channel); one line of `CHANNELS` in
/// `config/notify.rs` makes it known.
pub trait Settings: fmt::Debug + Send + Sync + Any {
    /// The word of `[[notify.WORD]]`.
    fn word(&self) -> &'static str;

    /// Everything wrong with the settings, found without touching network or disk.
    fn problems(&self) -> Vec<Problem>;

    /// True when the receiver can do something with announcements of this kind; most can with all.
    fn hears(&self, _kind: Kind) -> bool {
        true
    }

    /// The bytes to send about one incident. Pure.
    ///
    /// # Errors
    ///
    /// [`RenderError`], which settings without problems do not meet.
    fn body(&self, told: &Announcement, label: Label<'_>) -> Result<Vec<u8>, RenderError>;

    /// The bytes to send about several incidents at once. Pure.
    ///
    /// # Errors
    ///
    /// [`RenderError`], which settings without problems do not meet.
    fn digest(&self, digest: &Digest, label: Label<'_>) -> Result<Vec<u8>, RenderError>;

    /// Sender and recipients of a channel whose messages are mails: it takes letters that are no
    /// incident, too. `None` for every other.
    fn mail(&self) -> Option<(&str, &[String])> {
        None
    }

    /// Reads the certificates that the settings name and builds the client, without connecting.
    ///
    /// # Errors
    ///
    /// What cannot be used.
    fn connect(&self) -> Result<Box<dyn Channel>, Problem>;
}

/// What is wrong with one setting.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// The name cannot be part of a key.
    #[error("name: 1 to 64 letters, digits, '-', '_' and '.' are allowed")]
    Name,
    /// Not a mail address.
    #[error("{field}: {text:?} is not an address")]
    Address {
        /// `from` or `to`.
        field: &'static str,
        /// What stands there.
        text: String,
    },
    /// Nobody is written to.
    #[error("to: no recipient")]
    NoRecipient,
    /// No mail server.
    #[error("host: empty or not a host name")]
    Host,
    /// Mail would cross a network unencrypted.
    #[error("tls: without encryption only to a loopback host, not to {host:?}")]
    PlainMail {
        /// The mail server.
        host: String,
    },
    /// Half of a login.
    #[error("username and password: one without the other")]
    HalfLogin,
    /// Not an address of the web, or one with a login in it.
    #[error("url: not an http(s) address without login")]
    Url,
    /// Incidents would cross a network unencrypted.
    #[error("url: http only to a loopback host, else https")]
    PlainHttp,
    /// Somewhere no receiver lives: link-local and metadata services, multicast, documentation.
    #[error("url: {host} is link-local, a metadata service or no single public host")]
    ForbiddenHost {
        /// Host of the address.
        host: String,
    },
    /// An internal address that was not allowed.
    #[error("url: {host} is an internal address, which allow_internal does not name")]
    InternalHost {
        /// Host of the address.
        host: String,
    },
    /// Not an internal network.
    #[error("allow_internal: {text:?} is no internal network")]
    AllowInternal {
        /// What stands there.
        text: String,
    },
    /// Not a secret of Standard Webhooks.
    #[error("secret: not whsec_ and at least 24 bytes in base64")]
    Secret,
    /// No folder.
    #[error("folder: empty")]
    Folder,
    /// A setting of one channel alone.
    #[error("{field}: {reason}")]
    Setting {
        /// Its key.
        field: &'static str,
        /// What is wrong.
        reason: &'static str,
        /// What to do about it.
        mend: &'static str,
    },
    /// Certificates cannot be used.
    #[error("ca_file: {reason}")]
    CaFile {
        /// What happened.
        reason: String,
    },
    /// The client cannot be built.
    #[error("client: {reason}")]
    Client {
        /// What happened.
        reason: String,
    },
}

/// Everything wrong with one destination.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Invalid {
    /// Its name.
    pub destination: String,
    /// What is wrong, at least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "destination {:?}", self.destination)?;
        for (index, problem) in self.problems.iter().enumerate() {
            write!(f, "{} {problem}", if index == 0 { ":" } else { ";" })?;
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// Sender and recipients of a mail, as configured.
#[derive(Debug, Clone, Copy)]
pub(super) struct Addresses<'a> {
    pub(super) destination: &'a str,
    pub(super) from: &'a str,
    pub(super) to: &'a [String],
}

impl Destination {
    /// A destination with its own copy of the settings.
    #[must_use]
    pub fn new(name: &str, min_severity: Severity, settings: impl Settings) -> Self {
        Self { name: name.to_owned(), min_severity, settings: Arc::new(settings) }
    }

    /// Whom it writes mails to; `None` where it sends something else.
    #[must_use]
    pub fn mailboxes(&self) -> Option<&[String]> {
        self.settings.mail().map(|(_, to)| to)
    }

    /// Its name, sender and recipients; `None` where it takes no mails.
    pub(super) fn addresses(&self) -> Option<Addresses<'_>> {
        let (from, to) = self.settings.mail()?;
        Some(Addresses { destination: &self.name, from, to })
    }

    /// Checks the settings without touching network or disk.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, not only the first.
    pub fn validate(&self) -> Result<(), Invalid> {
        let mut problems = self.settings.problems();
        if !is_name(&self.name) {
            problems.insert(0, Problem::Name);
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Invalid { destination: self.name.clone(), problems })
    }

    /// Checks the settings and makes the channel ready to send.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the settings, or what else cannot be used.
    pub fn connect(&self) -> Result<Box<dyn Channel>, Invalid> {
        self.validate()?;
        let invalid = |problem| Invalid { destination: self.name.clone(), problems: vec![problem] };
        self.settings.connect().map_err(invalid)
    }
}

impl Addresses<'_> {
    pub(super) fn problems(self) -> Vec<Problem> {
        let bad = |field, text: &str| {
            let address = || Problem::Address { field, text: text.to_owned() };
            text.parse::<Mailbox>().is_err().then(address)
        };
        let mut problems: Vec<Problem> = bad("from", self.from).into_iter().collect();
        problems.extend(self.to.iter().filter_map(|to| bad("to", to)));
        if self.to.is_empty() {
            problems.push(Problem::NoRecipient);
        }
        problems
    }
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=NAME_MAX).contains(&name.len()) && name.chars().all(allowed)
}
