//! `[[notify.CHANNEL]]`: who hears of incidents.

use std::ops::Range;
use std::sync::Arc;

use secrecy::SecretString;

use super::section::{Section, Walk};
use crate::incident::Severity;
use crate::notify::{
    Destination, EmailSettings, EmlSettings, HttpSettings, Problem, Settings, Tls, WebhookSettings,
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
const WEBHOOK: &[&str] =
    &["name", "url", "secret", "previous_secret", "ca_file", "allow_internal", "min_severity"];
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
    })
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
    // A missing or unreadable field has been reported and now only looks empty.
    let known: Vec<Problem> = invalid
        .problems
        .into_iter()
        .filter(|problem| {
            let key = key(problem, section);
            let at = section.key_at(key);
            let whole = at.start..section.value_at(key).end.max(at.end);
            section.has(key) && !walk.findings.is_reported(&whole)
        })
        .collect();
    for problem in known {
        let at = place(&problem, section);
        walk.findings.report(at, problem.to_string(), mend(&problem));
    }
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
        Problem::Folder => "folder",
        Problem::CaFile { .. } => "ca_file",
        Problem::Client { .. } => "name",
    }
}

/// Where a problem stands: its value, but the key of what may hold a secret.
fn place(problem: &Problem, section: &Section<'_>) -> Range<usize> {
    let key = key(problem, section);
    if matches!(key, "url" | "secret" | "previous_secret" | "password") {
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
        Problem::Folder => "write folder = \"mails\"",
        Problem::CaFile { .. } => "name a PEM file with certificates",
        Problem::Client { .. } => "check the settings of this destination",
    }
}
