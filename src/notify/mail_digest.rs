//! A mail about several incidents: a line for each.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use askama::Template;
use lettre::Message;
use lettre::message::header::{ContentType, HeaderName};
use lettre::message::{Mailbox, MultiPart};

use crate::incident::{Digest, Kind, Severity};

use super::lines::Lines;
use super::mail::{DATE_MAX_S, fixed, message_id, part};
use super::settings::Addresses;
use super::story::colour;
use super::{RenderError, hex_sha256};

/// Incidents with a line of their own; a line takes less than 1 kB of HTML.
const LINES_MAX: usize = 40;

#[derive(Template)]
#[template(path = "notify/templates/mail_digest.html")]
struct Page<'a> {
    subject: &'a str,
    colour: &'static str,
    lines: &'a Lines,
}

/// The message about `digest` with `key` in its `Message-ID`.
pub(super) fn message(
    digest: &Digest,
    key: &str,
    addresses: Addresses<'_>,
) -> Result<Vec<u8>, RenderError> {
    let lines = Lines::new(digest, LINES_MAX);
    // `=?` would begin an encoded word, which a mail program decodes.
    let subject = format!("[tokenwatch] {}", lines.title).replace("=?", "= ?");
    let kind = if digest.is_over() { Kind::Resolve } else { Kind::Open };
    let page = Page { subject: &subject, colour: colour(kind, digest.severity()), lines: &lines };
    let parts = MultiPart::alternative()
        .boundary(format!("tw-{key}"))
        .singlepart(part(ContentType::TEXT_PLAIN, text(&lines)))
        .singlepart(part(ContentType::TEXT_HTML, page.render()?));
    let mailbox = |address: &str| {
        address.parse::<Mailbox>().map_err(|_| RenderError::Address {
            destination: addresses.destination.to_owned(),
            address: address.to_owned(),
        })
    };
    let at_s = digest.at.0.div_euclid(1000).clamp(0, DATE_MAX_S);
    // Nobody sent a message of this name: all messages of the group answer it, and so are one thread.
    let group = hex_sha256(&format!("{}|group|{}", digest.group, addresses.destination));
    let mut builder = Message::builder()
        .from(mailbox(addresses.from)?)
        .date(UNIX_EPOCH + Duration::from_secs(at_s.unsigned_abs()))
        .message_id(Some(message_id(key)))
        .references(message_id(&group))
        .raw_header(fixed(HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated"))
        .raw_header(fixed(HeaderName::new_from_ascii_str("X-Auto-Response-Suppress"), "All"));
    for to in addresses.to {
        builder = builder.to(mailbox(to)?);
    }
    if digest.severity() >= Severity::High && !digest.is_over() {
        builder = builder.raw_header(fixed(HeaderName::new_from_ascii_str("Importance"), "high"));
    }
    let message = builder.subject(subject).multipart(parts).map_err(|source| {
        RenderError::Message { destination: addresses.destination.to_owned(), source }
    })?;
    Ok(message.formatted())
}

fn text(lines: &Lines) -> String {
    let mut out = format!("{}\n\n{}\n", lines.title, lines.why);
    for line in &lines.shown {
        // Writing to a string cannot fail.
        if write!(
            out,
            "\n{}\n  {}: {}\n  {} · {}\n",
            line.badge,
            line.place,
            line.said(),
            line.id,
            line.key,
        )
        .is_err()
        {
            break;
        }
    }
    if lines.more > 0 {
        out.push_str(&format!("\nand {} more\n", lines.more));
    }
    out.push_str("\nWhat to do about one of them: tokenwatch incidents show ID\n");
    out
}
