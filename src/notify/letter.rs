//! Mails that are no incident: a subject, the same words as text and HTML, pictures and files.

use std::time::{Duration, UNIX_EPOCH};

use lettre::Message;
use lettre::message::header::{ContentType, HeaderName};
use lettre::message::{Attachment, Mailbox, MultiPart};

use super::RenderError;
use super::mail::{fixed, message_id, part};
use super::settings::{Addresses, Destination};
use crate::time::ArrivalTime;

/// Last second a `Date` header can name (9999-12-31T23:59:59Z).
const DATE_MAX_S: i64 = 253_402_300_799;

/// What is written.
#[derive(Debug, Clone)]
pub struct Letter {
    /// Key of its outbox row, in hexadecimal: in `Message-ID` and boundaries.
    pub key: String,
    /// Its `Date`.
    pub at: ArrivalTime,
    /// One line.
    pub subject: String,
    /// For programs without HTML.
    pub text: String,
    /// The page; pictures as `cid:NAME`.
    pub html: String,
    /// PNG pictures by the name that the page calls them.
    pub pictures: Vec<(String, Vec<u8>)>,
    /// Files: name, type and content.
    pub files: Vec<(&'static str, &'static str, Vec<u8>)>,
    /// `https` address to unsubscribe at by one click (RFC 8058).
    pub unsubscribe: Option<String>,
    /// Key of the letter that this one follows.
    pub follows: Option<String>,
}

impl Letter {
    /// The complete message for a destination; `None` where it takes no mails.
    ///
    /// # Errors
    /// An address that is none, or a message that cannot be put together.
    pub fn message(&self, destination: &Destination) -> Result<Option<Vec<u8>>, RenderError> {
        destination.addresses().map(|addresses| self.addressed(addresses)).transpose()
    }

    fn addressed(&self, addresses: Addresses<'_>) -> Result<Vec<u8>, RenderError> {
        let mailbox = |address: &str| {
            address.parse::<Mailbox>().map_err(|_| RenderError::Address {
                destination: addresses.destination.to_owned(),
                address: address.to_owned(),
            })
        };
        let at_s = self.at.0.div_euclid(1000).clamp(0, DATE_MAX_S);
        let mut builder = Message::builder()
            .from(mailbox(addresses.from)?)
            .date(UNIX_EPOCH + Duration::from_secs(at_s.unsigned_abs()))
            .message_id(Some(message_id(&self.key)))
            .subject(&self.subject);
        for to in addresses.to {
            builder = builder.to(mailbox(to)?);
        }
        let mut headers = vec![
            (HeaderName::new_from_ascii_str("Auto-Submitted"), "auto-generated".to_owned()),
            (HeaderName::new_from_ascii_str("X-Auto-Response-Suppress"), "All".to_owned()),
        ];
        if let Some(address) = &self.unsubscribe {
            let click = "List-Unsubscribe=One-Click".to_owned();
            headers
                .push((HeaderName::new_from_ascii_str("List-Unsubscribe"), format!("<{address}>")));
            headers.push((HeaderName::new_from_ascii_str("List-Unsubscribe-Post"), click));
        }
        for (name, value) in headers {
            builder = builder.raw_header(fixed(name, &value));
        }
        if let Some(first) = &self.follows {
            builder = builder.in_reply_to(message_id(first)).references(message_id(first));
        }
        let message = builder.multipart(self.parts()).map_err(|source| RenderError::Message {
            destination: addresses.destination.to_owned(),
            source,
        })?;
        Ok(message.formatted())
    }

    fn parts(&self) -> MultiPart {
        let html = part(ContentType::TEXT_HTML, self.html.clone());
        let words = MultiPart::alternative()
            .boundary(self.boundary('a'))
            .singlepart(part(ContentType::TEXT_PLAIN, self.text.clone()));
        let words = if self.pictures.is_empty() {
            words.singlepart(html)
        } else {
            let related = MultiPart::related().boundary(self.boundary('r')).singlepart(html);
            words.multipart(self.pictures.iter().fold(related, |related, (name, bytes)| {
                let png = Attachment::new_inline(name.clone());
                related.singlepart(png.body(bytes.clone(), content_type("image/png")))
            }))
        };
        let mixed = MultiPart::mixed().boundary(self.boundary('m')).multipart(words);
        self.files.iter().fold(mixed, |mixed, (name, kind, content)| {
            let file = Attachment::new((*name).to_owned());
            mixed.singlepart(file.body(content.clone(), content_type(kind)))
        })
    }

    /// At most 70 characters (RFC 2046, 5.1.1), 64 of them the key.
    fn boundary(&self, level: char) -> String {
        format!("tw{level}-{}", self.key)
    }
}

/// A type that we write ourselves; anything that is none is a plain file.
fn content_type(text: &str) -> ContentType {
    ContentType::parse(text).unwrap_or(ContentType::TEXT_PLAIN)
}
