//! `[[notify.CHANNEL]]`: who hears of incidents.

use std::ops::Range;
use std::sync::Arc;

use secrecy::{ExposeSecret as _, SecretString};

use super::body;
use super::metrics_api::identity;
use super::secret::is_placeholder;
use super::section::{Section, Walk};
use crate::incident::Severity;
use crate::notify::{
    self, AlertmanagerSettings, Destination, EmailSettings, EmlSettings, HttpSettings,
    PagerDutySettings, Problem, SentinelSettings, Settings, SlackSettings, TeamsSettings, Tls,
    WebhookSettings,
};

const EMAIL: &[&str] = &[
    "name",
    "from",
    "to",
    "host",
    "port",
    "tls",
    "username",
    "password",
    "ca_file",
    "min_severity",
];
const WEBHOOK: &[&str] = &[
    "name",
    "url",
    "secret",
    "previous_secret",
    "format",
    "template",
    "content_type",
    "ca_file",
    "allow_internal",
    "min_severity",
];
const CHAT: &[&str] = &["name", "url", "ca_file", "allow_internal", "min_severity"];
const PAGERDUTY: &[&str] =
    &["name", "url", "routing_key", "ca_file", "allow_internal", "min_severity"];
const ALERTMANAGER: &[&str] =
    &["name", "url", "token", "ends_after", "ca_file", "allow_internal", "min_severity"];
const SENTINEL: &[&str] = &[
    "name",
    "url",
    "rule",
    "stream",
    "auth",
    "client_id",
    "ca_file",
    "allow_internal",
    "min_severity",
];
const EML: &[&str] = &["name", "folder", "from", "to", "min_severity"];

const TLS: &[(&str, Tls)] =
    &[("implicit", Tls::Implicit), ("starttls", Tls::StartTls), ("none", Tls::None)];

type Read = fn(&Section<'_>, &mut Walk<'_>) -> Arc<dyn Settings>;

/// A channel that a configuration may name.
pub struct ChannelKind {
    /// The word of `[[notify.WORD]]`.
    pub word: &'static str,
    /// Whom it tells, for the manual.
    pub tells: &'static str,
    pub(super) header: &'static str,
    /// Keys of its table.
    pub(super) keys: &'static [&'static str],
    /// Severity from which it is told where the file does not say.
    usual: Severity,
    read: Read,
}

/// Every channel, in the order of the manual's table.
pub const CHANNELS: &[ChannelKind] = &[
    ChannelKind {
        word: "email",
        tells: "people, by SMTP",
        header: "[[notify.email]]",
        keys: EMAIL,
        usual: Severity::Medium,
        read: email,
    },
    ChannelKind {
        word: "webhook",
        tells: "a program, by HTTP requests signed as Standard Webhooks",
        header: "[[notify.webhook]]",
        keys: WEBHOOK,
        usual: Severity::Low,
        read: webhook,
    },
    ChannelKind {
        word: "slack",
        tells: "a channel of Slack, by an incoming webhook",
        header: "[[notify.slack]]",
        keys: CHAT,
        usual: Severity::Medium,
        read: slack,
    },
    ChannelKind {
        word: "teams",
        tells: "a channel of Microsoft Teams, by the webhook of a workflow",
        header: "[[notify.teams]]",
        keys: CHAT,
        usual: Severity::Medium,
        read: teams,
    },
    ChannelKind {
        word: "pagerduty",
        tells: "who is on call, by the Events API v2 of PagerDuty",
        header: "[[notify.pagerduty]]",
        keys: PAGERDUTY,
        usual: Severity::High,
        read: pagerduty,
    },
    ChannelKind {
        word: "alertmanager",
        tells: "an Alertmanager, as if its Prometheus had",
        header: "[[notify.alertmanager]]",
        keys: ALERTMANAGER,
        usual: Severity::Low,
        read: alertmanager,
    },
    ChannelKind {
        word: "sentinel",
        tells: "a table of Microsoft Sentinel, by the Logs Ingestion API",
        header: "[[notify.sentinel]]",
        keys: SENTINEL,
        usual: Severity::Info,
        read: sentinel,
    },
    ChannelKind {
        word: "eml",
        tells: "a folder, which gets the mails as files",
        header: "[[notify.eml]]",
        keys: EML,
        usual: Severity::Low,
        read: eml,
    },
];

/// Reads one destination.
pub(super) fn read(kind: &ChannelKind, section: &Section<'_>, walk: &mut Walk<'_>) -> Destination {
    section.require("name", "\"oncall\"", walk);
    let choices = Severity::ALL.map(|severity| (severity.word(), severity));
    let destination = Destination {
        name: section.text("name", walk).unwrap_or_default(),
        min_severity: section.choice("min_severity", &choices, walk).unwrap_or(kind.usual),
        settings: (kind.read)(section, walk),
    };
    validate(&destination, section, walk);
    destination
}

fn email(section: &Section<'_>, walk: &mut Walk<'_>) -> Arc<dyn Settings> {
    section.require("from", "\"tokenwatch <alerts@contoso.example>\"", walk);
    section.require("to", "[\"oncall@contoso.example\"]", walk);
    section.require("host", "\"smtp.contoso.example\"", walk);
    let tls = section.choice("tls", TLS, walk).unwrap_or(Tls::Implicit);
    // The registered ports: RFC 8314 (465), RFC 6409 (587), RFC 5321 (25).
    let usual = match tls {
        Tls::Implicit => 465,
        Tls::StartTls => 587,
        Tls::None => 25,
    };
    let port = section.whole("port", 1..=65_535, walk);
    Arc::new(EmailSettings {
        from: section.text("from", walk).unwrap_or_default(),
        to: section.texts("to", walk).unwrap_or_default(),
        host: section.text("host", walk).unwrap_or_default(),
        port: port.and_then(|port| u16::try_from(port).ok()).unwrap_or(usual),
        tls,
        username: section.text("username", walk),
        password: section.secret("password", walk),
        ca_file: section.file("ca_file", walk),
    })
}

fn webhook(section: &Section<'_>, walk: &mut Walk<'_>) -> Arc<dyn Settings> {
    section.require("url", "\"https://siem.contoso.example/hook\"", walk);
    section.require("secret", "{ env = \"TOKENWATCH_WEBHOOK\" }", walk);
    let url = section.text("url", walk).unwrap_or_default();
    Arc::new(WebhookSettings {
        http: http(url.into(), section, walk),
        secret: section.secret("secret", walk).unwrap_or_default(),
        previous_secret: section.secret("previous_secret", walk),
        body: body::read(section, walk),
    })
}

fn slack(section: &Section<'_>, walk: &mut Walk<'_>) -> Arc<dyn Settings> {
    Arc::new(SlackSettings { http: secret_http("TOKENWATCH_SLACK", section, walk) })
}

fn teams(section: &Section<'_>, walk: &mut Walk<'_>) -> Arc<dyn Settings> {
    Arc::new(TeamsSettings { http: secret_http("TOKENWATCH_TEAMS", section, walk) })
}

fn pagerduty(section: &Section<'_>, walk: &mut Walk<'_>) -> Arc<dyn Settings> {
    section.require("routing_key", "{ env = \"TOKENWATCH_PAGERDUTY\" }", walk);
    let url = section.text("url", walk).unwrap_or_else(|| notify::PAGERDUTY.to_owned());
    Arc::new(PagerDutySettings {
        http: http(url.into(), section, walk),
        routing_key: section.secret("routing_key", walk).unwrap_or_default(),
    })
}

fn alertmanager(section: &Section<'_>, walk: &mut Walk<'_>) -> Arc<dyn Settings> {
    section.require("url", "\"https://alertmanager.contoso.example\"", walk);
    let url = section.text("url", walk).unwrap_or_default();
    Arc::new(AlertmanagerSettings {
        http: http(url.into(), section, walk),
        token: section.secret("token", walk),
        ends_after_ms: section
            .duration("ends_after", ("5m", "30d"), walk)
            .unwrap_or(notify::ENDS_AFTER_MS),
    })
}

fn sentinel(section: &Section<'_>, walk: &mut Walk<'_>) -> Arc<dyn Settings> {
    let example = "\"https://NAME-x1y2.westeurope-1.ingest.monitor.azure.com\"";
    section.require("url", example, walk);
    section.require("rule", "\"dcr-00000000000000000000000000000000\"", walk);
    section.require("stream", "\"Custom-Tokenwatch\"", walk);
    let url = section.text("url", walk).unwrap_or_default();
    Arc::new(SentinelSettings {
        http: http(url.into(), section, walk),
        rule: section.text("rule", walk).unwrap_or_default(),
        stream: section.text("stream", walk).unwrap_or_default(),
        identity: identity(section, walk),
    })
}

/// How an address is posted to that is a secret itself.
pub(super) fn secret_http(
    variable: &str,
    section: &Section<'_>,
    walk: &mut Walk<'_>,
) -> HttpSettings {
    section.require("url", &format!("{{ env = \"{variable}\" }}"), walk);
    let url = section.secret("url", walk).unwrap_or_default();
    // A secret that was not looked up has the form of another kind of secret.
    let unknown = is_placeholder(url.expose_secret());
    http(if unknown { "https://receiver.example/".into() } else { url }, section, walk)
}

/// How an address is posted to.
fn http(url: SecretString, section: &Section<'_>, walk: &mut Walk<'_>) -> HttpSettings {
    HttpSettings {
        url,
        ca_file: section.file("ca_file", walk),
        allow_internal: section.texts("allow_internal", walk).unwrap_or_default(),
    }
}

fn eml(section: &Section<'_>, walk: &mut Walk<'_>) -> Arc<dyn Settings> {
    section.require("folder", "\"mails\"", walk);
    section.require("from", "\"tokenwatch <alerts@contoso.example>\"", walk);
    section.require("to", "[\"oncall@contoso.example\"]", walk);
    Arc::new(EmlSettings {
        folder: section.path("folder", walk).unwrap_or_default(),
        from: section.text("from", walk).unwrap_or_default(),
        to: section.texts("to", walk).unwrap_or_default(),
    })
}

/// Puts what the destination itself finds wrong where it stands in the file.
fn validate(destination: &Destination, section: &Section<'_>, walk: &mut Walk<'_>) {
    let Err(invalid) = destination.validate() else { return };
    for problem in invalid.problems {
        report(&problem, section, walk);
    }
}

/// Puts a problem where it stands in the file.
pub(super) fn report(problem: &Problem, section: &Section<'_>, walk: &mut Walk<'_>) {
    let key = key(problem, section);
    let at = section.key_at(key);
    let whole = at.start..section.value_at(key).end.max(at.end);
    // A missing or unreadable field has been reported and now only looks empty.
    if !section.has(key) || walk.findings.is_reported(&whole) {
        return;
    }
    let at = place(problem, section);
    walk.findings.report(at, problem.to_string(), mend(problem));
}

/// The key a problem is about.
fn key(problem: &Problem, section: &Section<'_>) -> &'static str {
    match problem {
        Problem::Name => "name",
        Problem::Address { field, .. } => field,
        Problem::NoRecipient => "to",
        Problem::Host => "host",
        Problem::PlainMail { .. } => "tls",
        Problem::HalfLogin if section.has("username") => "username",
        Problem::HalfLogin => "password",
        Problem::Url
        | Problem::PlainHttp
        | Problem::ForbiddenHost { .. }
        | Problem::InternalHost { .. } => "url",
        Problem::AllowInternal { .. } => "allow_internal",
        // The check does not say which of the two; the older one is the likelier leftover.
        Problem::Secret if section.has("previous_secret") => "previous_secret",
        Problem::Secret => "secret",
        Problem::Setting { field, .. } => field,
        Problem::Folder => "folder",
        Problem::CaFile { .. } => "ca_file",
        Problem::Client { .. } => "name",
    }
}

/// Where a problem stands: its value, but the key of what may hold a secret.
fn place(problem: &Problem, section: &Section<'_>) -> Range<usize> {
    let key = key(problem, section);
    const SECRETS: [&str; 6] =
        ["url", "secret", "previous_secret", "password", "routing_key", "token"];
    if SECRETS.contains(&key) {
        return section.key_at(key);
    }
    if let Problem::Address { field: "to", text } | Problem::AllowInternal { text } = problem {
        let list = section.value(key).and_then(|value| value.get_ref().as_array());
        let same =
            list.and_then(|list| list.iter().find(|item| item.get_ref().as_str() == Some(text)));
        if let Some(item) = same {
            return item.span();
        }
    }
    section.value_at(key)
}

const fn mend(problem: &Problem) -> &'static str {
    match problem {
        Problem::Name => "choose such a name; it is part of what receivers see",
        Problem::Address { .. } => "write \"name@host.example\" or \"Name <name@host.example>\"",
        Problem::NoRecipient => "write to = [\"oncall@contoso.example\"]",
        Problem::Host => "write the name of the mail server alone, such as smtp.contoso.example",
        Problem::PlainMail { .. } => "write tls = \"implicit\" (port 465) or \"starttls\" (587)",
        Problem::HalfLogin => "write both username and password, or neither",
        Problem::Url => "write https://host/path without a login",
        Problem::PlainHttp => "write https://",
        Problem::ForbiddenHost { .. } => "write the address of the receiver",
        Problem::InternalHost { .. } => {
            "write allow_internal = [\"10.1.2.3/32\"] with its address, if it is meant"
        }
        Problem::AllowInternal { .. } => {
            "write networks such as \"10.1.0.0/16\" or \"127.0.0.1/32\"; public ones need no permission"
        }
        Problem::Secret => "make one with: echo whsec_$(openssl rand -base64 32)",
        Problem::Setting { mend, .. } => mend,
        Problem::Folder => "write folder = \"mails\"",
        Problem::CaFile { .. } => "name a PEM file with certificates",
        Problem::Client { .. } => "check the settings of this destination",
    }
}
