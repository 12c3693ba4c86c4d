//! Where announcements go, and which settings are refused at the start.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use lettre::message::Mailbox;
use secrecy::{ExposeSecret as _, SecretString};

use crate::incident::Severity;

/// Longest name of a destination.
const NAME_MAX: usize = 64;
/// Fewest bytes of a webhook's secret (Standard Webhooks asks for 24 to 64).
const SECRET_MIN: usize = 24;

/// Somewhere announcements go.
#[derive(Debug, Clone)]
pub enum Destination {
    /// People, by mail.
    Email(EmailSettings),
    /// A program, by signed HTTP.
    Webhook(WebhookSettings),
    /// A folder that keeps the mails as files.
    EmlFolder(EmlSettings),
}

/// A mail server and who is written to.
#[derive(Debug, Clone)]
pub struct EmailSettings {
    /// Unique name: 1 to 64 letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Least severity that is sent.
    pub min_severity: Severity,
    /// Sender, such as `tokenwatch <alerts@contoso.example>`.
    pub from: String,
    /// Recipients, at least one.
    pub to: Vec<String>,
    /// Mail server.
    pub host: String,
    /// Its port; 465 is usual for [`Tls::Implicit`], 587 for [`Tls::StartTls`].
    pub port: u16,
    /// How the connection is encrypted.
    pub tls: Tls,
    /// Account at the server; `None` sends without logging in.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// PEM file with certificates trusted beside those of the system.
    pub ca_file: Option<PathBuf>,
}

/// How a connection to a mail server is encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// From the first byte.
    Implicit,
    /// By `STARTTLS`, and never without.
    StartTls,
    /// Not at all; loopback only.
    None,
}

/// A receiver of signed HTTP requests (Standard Webhooks).
#[derive(Clone)]
pub struct WebhookSettings {
    /// Unique name: 1 to 64 letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Least severity that is sent.
    pub min_severity: Severity,
    /// Address; `https`, or `http` on loopback. May carry a secret, so it is never logged.
    pub url: String,
    /// `whsec_` and the key in base64.
    pub secret: SecretString,
    /// The secret before this one, while receivers change over; requests then carry both signatures.
    pub previous_secret: Option<SecretString>,
    /// PEM file with certificates trusted beside those of the system.
    pub ca_file: Option<PathBuf>,
}

/// A folder that keeps each mail as `<key>.eml`.
#[derive(Debug, Clone)]
pub struct EmlSettings {
    /// Unique name: 1 to 64 letters, digits, `-`, `_` and `.`.
    pub name: String,
    /// Least severity that is written.
    pub min_severity: Severity,
    /// Folder; made when missing.
    pub folder: PathBuf,
    /// Sender.
    pub from: String,
    /// Recipients, at least one.
    pub to: Vec<String>,
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
    /// Somewhere no receiver lives: link-local and metadata services, multicast, unspecified.
    #[error("url: {host} is link-local, a metadata service or no single host")]
    ForbiddenHost {
        /// Host of the address.
        host: String,
    },
    /// Not a secret of Standard Webhooks.
    #[error("secret: not whsec_ and at least 24 bytes in base64")]
    Secret,
    /// No folder.
    #[error("folder: empty")]
    Folder,
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
    /// Its unique name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Email(settings) => &settings.name,
            Self::Webhook(settings) => &settings.name,
            Self::EmlFolder(settings) => &settings.name,
        }
    }

    /// Least severity it hears of.
    #[must_use]
    pub const fn min_severity(&self) -> Severity {
        match self {
            Self::Email(settings) => settings.min_severity,
            Self::Webhook(settings) => settings.min_severity,
            Self::EmlFolder(settings) => settings.min_severity,
        }
    }

    /// Whom it writes mails to; `None` where it sends something else.
    #[must_use]
    pub fn mailboxes(&self) -> Option<&[String]> {
        match self {
            Self::Email(settings) => Some(&settings.to),
            Self::EmlFolder(settings) => Some(&settings.to),
            Self::Webhook(_) => None,
        }
    }

    /// Checks the settings without touching network or disk.
    ///
    /// # Errors
    ///
    /// Everything that is wrong, not only the first.
    pub fn validate(&self) -> Result<(), Invalid> {
        let mut problems = match self {
            Self::Email(settings) => settings.problems(),
            Self::Webhook(settings) => settings.problems(),
            Self::EmlFolder(settings) => settings.problems(),
        };
        if !is_name(self.name()) {
            problems.insert(0, Problem::Name);
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(Invalid { destination: self.name().to_owned(), problems })
    }
}

impl EmailSettings {
    pub(super) fn addresses(&self) -> Addresses<'_> {
        Addresses { destination: &self.name, from: &self.from, to: &self.to }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.addresses().problems();
        if self.host.is_empty() || self.host.chars().any(|c| c.is_whitespace() || c.is_control()) {
            problems.push(Problem::Host);
        } else if self.tls == Tls::None && !is_loopback(&self.host) {
            problems.push(Problem::PlainMail { host: self.host.clone() });
        }
        if self.username.is_some() != self.password.is_some() {
            problems.push(Problem::HalfLogin);
        }
        problems
    }
}

impl EmlSettings {
    pub(super) fn addresses(&self) -> Addresses<'_> {
        Addresses { destination: &self.name, from: &self.from, to: &self.to }
    }

    fn problems(&self) -> Vec<Problem> {
        let mut problems = self.addresses().problems();
        if self.folder.as_os_str().is_empty() {
            problems.push(Problem::Folder);
        }
        problems
    }
}

impl Addresses<'_> {
    fn problems(self) -> Vec<Problem> {
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

impl WebhookSettings {
    fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> = url_problem(&self.url).into_iter().collect();
        let secrets = std::iter::once(&self.secret).chain(&self.previous_secret);
        if !secrets.into_iter().all(is_secret) {
            problems.push(Problem::Secret);
        }
        problems
    }
}

/// Hides path and query, which may hold a secret.
impl fmt::Debug for WebhookSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let url = reqwest::Url::parse(&self.url).ok();
        f.debug_struct("WebhookSettings")
            .field("name", &self.name)
            .field("min_severity", &self.min_severity)
            .field("host", &url.as_ref().and_then(reqwest::Url::host_str))
            .field("ca_file", &self.ca_file)
            .finish_non_exhaustive()
    }
}

fn url_problem(text: &str) -> Option<Problem> {
    let Ok(url) = reqwest::Url::parse(text) else { return Some(Problem::Url) };
    let Some(host) = url.host_str() else { return Some(Problem::Url) };
    if !url.username().is_empty() || url.password().is_some() {
        return Some(Problem::Url);
    }
    if is_forbidden_host(host) {
        return Some(Problem::ForbiddenHost { host: host.to_owned() });
    }
    match url.scheme() {
        "https" => None,
        "http" if is_loopback(host) => None,
        "http" => Some(Problem::PlainHttp),
        _ => Some(Problem::Url),
    }
}

fn is_secret(secret: &SecretString) -> bool {
    use base64::Engine as _;
    let Some(text) = secret.expose_secret().strip_prefix("whsec_") else { return false };
    let key = base64::engine::general_purpose::STANDARD.decode(text);
    key.is_ok_and(|key| key.len() >= SECRET_MIN)
}

fn is_name(name: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    (1..=NAME_MAX).contains(&name.len()) && name.chars().all(allowed)
}

/// True for `localhost` and addresses of the loopback network, brackets or not.
pub(super) fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || address(host).is_some_and(|ip| ip.is_loopback())
}

fn is_forbidden_host(host: &str) -> bool {
    let name = host.trim_end_matches('.');
    name.eq_ignore_ascii_case("metadata.google.internal") || address(host).is_some_and(is_forbidden)
}

/// True for addresses where no receiver lives but something that hands out credentials may:
/// link-local (the metadata service of every large cloud is 169.254.169.254), the platform
/// services of Azure and AWS beside it, multicast, broadcast and unspecified addresses.
pub(super) fn is_forbidden(ip: IpAddr) -> bool {
    /// Azure's platform channel ("wire server").
    const AZURE_WIRE_SERVER: Ipv4Addr = Ipv4Addr::new(168, 63, 129, 16);
    /// Metadata service of AWS over IPv6.
    const AWS_METADATA_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0x0ec2, 0, 0, 0, 0, 0, 0x0254);
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip.is_broadcast()
                || ip == AZURE_WIRE_SERVER
        }
        IpAddr::V6(ip) => {
            ip.is_unicast_link_local()
                || ip.is_unspecified()
                || ip.is_multicast()
                || ip == AWS_METADATA_V6
        }
    }
}

fn address(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse::<IpAddr>()
        .ok()
        .map(|ip| ip.to_canonical())
}
