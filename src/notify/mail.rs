//! A mail as the complete message that is stored and sent: headers, text part, HTML part, chart.

use std::time::{Duration, UNIX_EPOCH};

use askama::Template;
use lettre::Message;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, MessageBuilder, MultiPart, SinglePart};

use crate::incident::{Announcement, Kind, Severity};

use super::facts::{Command, Facts, LIMITS, Limits};
use super::settings::Addresses;
use super::{RenderError, idempotency_key, text};

/// Most bytes of the HTML part; some mail programs cut messages at 102 kB.
pub(super) const HTML_MAX: usize = 60_000;
/// Last second a `Date` header can name (9999-12-31T23:59:59Z).
pub(super) const DATE_MAX_S: i64 = 253_402_300_799;

#[derive(Template)]
#[template(path = "notify/templates/mail.html")]
struct Page<'a> {
    facts: &'a Facts,
    /// `Content-ID` of the chart.
    cid: &'a str,
}

/// The message about `announcement` with `key` in its `Message-ID`.
pub(super) fn message(
    announcement: &Announcement,
    key: &str,
    addresses: Addresses<'_>,
) -> Result<Vec<u8>, RenderError> {
    let cid = format!("chart.{key}@tokenwatch");
    let (facts, html) = page(announcement, &cid)?;
    // Boundaries have at most 70 characters (RFC 2046, 5.1.1), 64 of them the key.
    let alternative = MultiPart::alternative()
        .boundary(format!("tw-{key}"))
        .singlepart(part(ContentType::TEXT_PLAIN, text::part(&facts)));
    let html = part(ContentType::TEXT_HTML, html);
    let parts = match &facts.graph {
        Some(graph) => {
            let picture = Attachment::new_inline(cid).body(graph.png(), png_type());
            let related = MultiPart::related().boundary(format!("tr-{key}"));
            alternative.multipart(related.singlepart(html).singlepart(picture))
        }
        None => alternative.singlepart(html),
    };
    let message =
        headers(announcement, key, addresses)?.subject(facts.subject).multipart(parts).map_err(
            |source| RenderError::Message { destination: addresses.destination.to_owned(), source },
        )?;
    Ok(message.formatted())
}

/// The richest page that fits into [`HTML_MAX`], and what stands on it.
pub(super) fn page(announcement: &Announcement, cid: &str) -> Result<(Facts, String), RenderError> {
    let [first, second, last] = &LIMITS;
    for limits in [first, second] {
        let (facts, html) = page_at(announcement, limits, cid)?;
        // A line break is two bytes in a mail.
        if html.len() + html.matches('\n').count() <= HTML_MAX {
            return Ok((facts, html));
        }
    }
    page_at(announcement, last, cid)
}

fn page_at(
    announcement: &Announcement,
    limits: &Limits,
    cid: &str,
) -> Result<(Facts, String), RenderError> {
    let facts = Facts::new(announcement, limits);
    let html = Page { facts: &facts, cid }.render()?;
    Ok((facts, html))
}

fn headers(
    announcement: &Announcement,
    key: &str,
    addresses: Addresses<'_>,
) -> Result<MessageBuilder, RenderError> {
    let mailbox = |address: &str| {
        address.parse::<Mailbox>().map_err(|_| RenderError::Address {
            destination: addresses.destination.to_owned(),
            address: address.to_owned(),
        })
    };
    let at_s = announcement.at.0.div_euclid(1000).clamp(0, DATE_MAX_S);
    let date = UNIX_EPOCH + Duration::from_secs(at_s.unsigned_abs());
    let mut builder = Message::builder()
        .from(mailbox(addresses.from)?)
        .date(date)
        .message_id(Some(message_id(key)))
        .raw_header(fixed(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated"))
        .raw_header(fixed(HeaderName::new_from_ascii_str("X-Auto-Response-Suppress"), "All"));
    for to in addresses.to {
        builder = builder.to(mailbox(to)?);
    }
    let incident = &announcement.incident;
    if incident.severity >= Severity::High
        && matches!(announcement.kind, Kind::Open | Kind::Escalate | Kind::Reopen)
    {
        builder = builder.raw_header(fixed(HeaderName::new_from_ascii_str("Importance"), "high"));
    }
    if !matches!(announcement.kind, Kind::Open | Kind::Test) {
        let opening = idempotency_key(&incident.key, Kind::Open, 0, addresses.destination);
        let opening = message_id(&opening);
        builder = builder.in_reply_to(opening.clone()).references(opening);
    }
    Ok(builder)
}

pub(super) fn fixed(name: HeaderName, value: &str) -> HeaderValue {
    HeaderValue::new(name, value.to_owned())
}

pub(super) fn message_id(key: &str) -> String {
    format!("<{key}@tokenwatch>")
}

pub(super) fn part(kind: ContentType, body: String) -> SinglePart {
    SinglePart::builder().header(kind).body(body)
}

fn png_type() -> ContentType {
    ContentType::parse("image/png").unwrap_or(ContentType::TEXT_PLAIN)
}
