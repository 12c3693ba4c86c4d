//! `[[hub]]`: where records come from, and how to prove who we are there.

use std::net::IpAddr;

use secrecy::ExposeSecret as _;

use super::secret::is_placeholder;
use super::section::{Section, Walk};
use crate::azure::Identity;
use crate::source::event_hubs::{Auth, HubSettings, Start, Transport};

pub(super) const KEYS: &[&str] = &[
    "name",
    "namespace",
    "hub",
    "consumer_group",
    "auth",
    "client_id",
    "connection_string",
    "custom_endpoint",
    "transport",
    "start",
    "prefetch",
];

/// The consumer group the manual asks for.
const GROUP: &str = "tokenwatch";
/// End of a namespace's host name in Azure's public cloud.
const PUBLIC_CLOUD: &str = ".servicebus.windows.net";
/// How to mend a custom endpoint.
const CUSTOM_EXAMPLE: &str = "write \"amqp://127.0.0.1:5672\" for an emulator on this machine, \
                              \"amqps://HOST:PORT\" for anything else, or remove it";
/// Events in flight per partition; each may have 1 MiB.
const PREFETCH: u32 = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Managed,
    Workload,
    Cli,
    ConnectionString,
}

const AUTH: &[(&str, Kind)] = &[
    ("managed", Kind::Managed),
    ("workload", Kind::Workload),
    ("cli", Kind::Cli),
    ("connection-string", Kind::ConnectionString),
];

const TRANSPORT: &[(&str, Transport)] =
    &[("amqp", Transport::Amqp), ("websocket", Transport::WebSocket)];

const START: &[(&str, Start)] = &[("earliest", Start::Earliest), ("latest", Start::Latest)];

/// Reads one hub; what is missing is reported and left empty.
pub(super) fn read(section: &Section<'_>, walk: &mut Walk<'_>) -> HubSettings {
    section.require("name", "\"eastus2\"", walk);
    section.require("hub", "\"insights-logs\"", walk);
    let kind = section.choice("auth", AUTH, walk);
    if kind != Some(Kind::ConnectionString) {
        section.require("namespace", "\"contoso-logs.servicebus.windows.net\"", walk);
    }
    let prefetch = section.whole("prefetch", 1..=5_000, walk);
    let transport = section.choice("transport", TRANSPORT, walk).unwrap_or_default();
    HubSettings {
        name: name(section, walk),
        namespace: namespace(section, walk),
        hub: section.text("hub", walk).unwrap_or_default(),
        consumer_group: consumer_group(section, walk),
        auth: auth(section, kind, walk),
        custom_endpoint: custom_endpoint(section, transport, walk),
        transport,
        start: section.choice("start", START, walk).unwrap_or(Start::Earliest),
        prefetch: prefetch.and_then(|number| u32::try_from(number).ok()).unwrap_or(PREFETCH),
    }
}

/// A name that positions are kept under.
pub(super) fn name(section: &Section<'_>, walk: &mut Walk<'_>) -> String {
    let name = section.text("name", walk).unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.len() > 64 || !name.chars().all(allowed) {
        let mend = "write 1 to 64 letters, digits, '-', '_' and '.'";
        walk.findings.report(section.value_at("name"), "`name` cannot be a name", mend);
    }
    name
}

fn namespace(section: &Section<'_>, walk: &mut Walk<'_>) -> String {
    let text = section.text("namespace", walk).unwrap_or_default();
    if text.is_empty() || (is_host(&text) && text.contains('.')) {
        return text;
    }
    let bare = text.split_once("://").map_or(text.as_str(), |(_, bare)| bare);
    let bare = bare.split(['/', ':']).next().unwrap_or_default();
    let mend = match (is_host(bare), bare.contains('.')) {
        (true, true) => format!("write namespace = \"{bare}\""),
        (true, false) => format!("add {PUBLIC_CLOUD}: namespace = \"{bare}{PUBLIC_CLOUD}\""),
        (false, _) => format!("write namespace = \"NAME{PUBLIC_CLOUD}\""),
    };
    // Somebody who pastes a connection string here must not find its key in a log.
    let (at, shown) = if text.contains(['=', ';', '@']) {
        (section.key_at("namespace"), "its value".to_owned())
    } else {
        (section.value_at("namespace"), format!("{text:?}"))
    };
    let message = format!("`namespace`: {shown} is not the host name of a namespace");
    walk.findings.report(at, message, mend);
    text
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=63).contains(&label.len())
            && label.chars().all(allowed)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

fn consumer_group(section: &Section<'_>, walk: &mut Walk<'_>) -> String {
    let group = section.text("consumer_group", walk).unwrap_or_else(|| GROUP.to_owned());
    if group.eq_ignore_ascii_case("$default") {
        let message = "`consumer_group`: $Default is what everybody else reads with";
        let mend = "share it with nobody: create one called tokenwatch";
        walk.findings.report(section.value_at("consumer_group"), message, mend);
    }
    group
}

fn auth(section: &Section<'_>, kind: Option<Kind>, walk: &mut Walk<'_>) -> Auth {
    // An unreadable `auth` has been reported; what depends on it is not held against the user.
    let unclear = section.has("auth") && kind.is_none();
    let kind = kind.unwrap_or(Kind::Managed);
    let mut only_with = |key: &str, auth: Kind, word: &str| {
        if section.has(key) && kind != auth && !unclear {
            let message = format!("`{key}` is used with auth = \"{word}\" only");
            let mend = format!("write auth = \"{word}\", or remove {key}");
            walk.findings.report(section.key_at(key), message, mend);
        }
    };
    only_with("client_id", Kind::Managed, "managed");
    only_with("connection_string", Kind::ConnectionString, "connection-string");
    let client_id = section.text("client_id", walk);
    let secret = section.secret("connection_string", walk);
    match kind {
        Kind::Managed => Auth::Entra(Identity::Managed { client_id }),
        Kind::Workload => Auth::Entra(Identity::Workload),
        Kind::Cli => Auth::Entra(Identity::Cli),
        Kind::ConnectionString => {
            section.require("connection_string", "{ env = \"TOKENWATCH_HUB\" }", walk);
            let text = secret.as_ref().map(secrecy::SecretString::expose_secret);
            let is_one = |text: &str| {
                is_placeholder(text) || text.to_ascii_lowercase().contains("endpoint=sb://")
            };
            if text.is_some_and(|text| !is_one(text)) {
                let message = "what `connection_string` names is not a connection string";
                let mend = "it begins with Endpoint=sb:// and is on the page of the hub's \
                            shared access policy";
                walk.findings.report(section.key_at("connection_string"), message, mend);
            }
            Auth::ConnectionString(secret.unwrap_or_default())
        }
    }
}

/// The endpoint is sent our tokens: in the clear to this machine only, elsewhere to whoever has a
/// certificate for the name.
fn custom_endpoint(
    section: &Section<'_>,
    transport: Transport,
    walk: &mut Walk<'_>,
) -> Option<String> {
    let text = section.text("custom_endpoint", walk)?;
    let url = reqwest::Url::parse(&text).ok();
    let scheme = url.as_ref().map(reqwest::Url::scheme).unwrap_or_default();
    let host = url.as_ref().and_then(reqwest::Url::host_str);
    let bare = url.as_ref().is_some_and(|url| {
        url.username().is_empty()
            && url.password().is_none()
            && matches!(url.path(), "" | "/")
            && url.query().is_none()
            && url.fragment().is_none()
    });
    let wrong = match (scheme, host) {
        _ if !bare => Some(("is not the address of a host", CUSTOM_EXAMPLE)),
        ("amqp", Some(_)) if transport == Transport::WebSocket => {
            Some(("has no TLS, which a WebSocket always has", "write \"amqps://HOST:PORT\""))
        }
        ("amqp", Some(host)) if !is_loopback(host) => {
            Some(("would send our tokens in the clear", "write \"amqps://HOST:PORT\""))
        }
        ("amqp" | "amqps", Some(_)) => None,
        ("ws" | "wss", _) => Some((
            "begins with the wrong word",
            "write \"amqps://HOST:PORT\" and transport = \"websocket\"; the path is always the same",
        )),
        _ => Some(("is not an amqp address", CUSTOM_EXAMPLE)),
    };
    if let Some((message, mend)) = wrong {
        // At the key: an address may hold a password.
        let at = section.key_at("custom_endpoint");
        walk.findings.report(at, format!("`custom_endpoint` {message}"), mend);
    }
    Some(text)
}

fn is_loopback(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
}
