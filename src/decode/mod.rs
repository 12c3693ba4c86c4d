//! From bytes to events: envelopes are opened, records are looked up by kind, and one bad record
//! never costs its siblings.

pub mod arm;
pub mod field;
pub mod text;
pub mod caller;
pub mod envelope;
pub mod redact;
mod record;
mod request;
mod usage;
mod metric;
mod metric_rest;
mod audit;
mod opaque;
mod gateway;
mod gateway_body;
mod gateway_llm;
mod gateway_pushed;
mod inventory;
mod token_meter;
mod activity;
mod principal;
mod change;
mod change_guard;
mod alert;
mod assessment;
mod compliance;
mod policy_state;
mod endpoint;
mod search;

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::event::{Event, Rejected, Row, Seen};
use crate::time::EventTime;
use envelope::Piece;
use field::{FieldError, Fields, MAX_MEMBERS};
pub use metric::signal as signal_of;
pub use record::{Record, fingerprint};

/// Reads one record of a known kind.
pub type Decode = fn(&Record<'_>) -> Result<Event, FieldError>;
/// Reads a record that says many things, giving each or what is wrong with it.
pub type DecodeMany = fn(&Record<'_>, &mut dyn FnMut(Result<Event, FieldError>));

/// A kind of record the program understands. One file, one line in [`DECODERS`].
#[derive(Debug)]
pub struct Decoder {
    /// What the kind is called; for resource logs this is the category.
    pub name: &'static str,
    /// Whether a record is of this kind, by its category (empty when it has none) and its members.
    pub is: fn(&str, &Fields<'_>) -> bool,
    /// How it is read.
    pub read: Read,
    /// The manual: what is read.
    pub reads: &'static str,
    /// The manual: what such a record cannot tell.
    pub cannot_tell: &'static str,
}

/// How a kind of record is read.
#[derive(Debug, Clone, Copy)]
pub enum Read {
    /// Into an event of its own.
    With(Decode),
    /// Into as many events as it has.
    Many(DecodeMany),
    /// Not at all: nobody has published what it holds, or it says nothing to us. It is counted and
    /// never refused.
    Opaque,
}

/// Every kind of record the program understands, in the order of the manual's table. The first
/// that takes a record has it.
pub const DECODERS: [&Decoder; 20] = [
    &request::DECODER,
    &usage::DECODER,
    &metric::DECODER,
    &metric_rest::DECODER,
    &audit::DECODER,
    &opaque::TRACE,
    &opaque::MANAGED_NETWORK,
    &gateway::DECODER,
    &gateway_llm::DECODER,
    &opaque::GATEWAY_MCP,
    &gateway_pushed::DECODER,
    &token_meter::DECODER,
    &activity::DECODER,
    &alert::DECODER,
    &assessment::DECODER,
    &compliance::DECODER,
    &policy_state::DECODER,
    &endpoint::DECODER,
    &search::DECODER,
    &inventory::DECODER,
];

/// Longest category name kept for a category nobody knows.
const MAX_CATEGORY_CHARS: usize = 64;
/// Rejected records of one body kept as samples; all are counted.
const MAX_REJECTED: usize = 50;
/// Faults of one record kept as samples; all are counted.
const MAX_FAULTS: u32 = 5;

/// What came out of one body.
#[derive(Debug, Default, PartialEq)]
pub struct Decoded {
    /// What the records say, in order.
    pub events: Vec<Event>,
    /// Of each event the place of its kind in [`DECODERS`].
    pub kinds: Vec<usize>,
    /// Records read of each kind and what they said, in the order of [`DECODERS`].
    pub read: [Seen; DECODERS.len()],
    /// The first records that could not be read.
    pub rejected: Vec<Rejected>,
    /// How many more could not be read.
    pub more_rejected: u32,
    /// Records of kinds nobody decodes, by category.
    pub unknown: BTreeMap<String, u32>,
    /// Bodies that were read only after repair: 0 or 1.
    pub repaired: u32,
}

impl Decoded {
    /// The rows of calls.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.events.iter().filter_map(|event| match event {
            Event::Row(row) => Some(&**row),
            Event::Metric(_)
            | Event::Gateway(_)
            | Event::Meter(_)
            | Event::Control(_)
            | Event::KeyRead(_)
            | Event::Alert(_)
            | Event::Posture(_)
            | Event::Endpoint(_)
            | Event::Search(_)
            | Event::Inventory(_)
            | Event::Opaque(_) => None,
        })
    }

    /// The latest time among the events; `None` when none says one.
    #[must_use]
    pub fn newest(&self) -> Option<EventTime> {
        self.events.iter().filter_map(Event::at).max()
    }

    /// Records of every fate; one that holds many points counts once a point.
    #[must_use]
    pub fn records(&self) -> usize {
        let unknown: u32 = self.unknown.values().sum();
        self.events.len() + self.rejected.len() + (self.more_rejected + unknown) as usize
    }

    fn reject(&mut self, category: &str, error: FieldError, text: &str) {
        if self.rejected.len() >= MAX_REJECTED {
            self.more_rejected += 1;
            return;
        }
        self.rejected.push(Rejected {
            category: category.to_owned(),
            path: error.path,
            reason: error.reason,
            sample: redact::sample(text),
        });
    }
}

/// Category of what was no record.
const BODY: &str = "(body)";

/// Reads everything in `body`.
#[must_use]
pub fn decode(body: &[u8]) -> Decoded {
    let mut decoded = Decoded::default();
    let result = envelope::open(body, &mut |piece| one_piece(piece, &mut decoded));
    match result {
        Ok(repaired) => decoded.repaired = repaired,
        Err(error) => {
            let error = FieldError::new("", error.to_string());
            decoded.reject(BODY, error, &String::from_utf8_lossy(body));
        }
    }
    decoded
}

fn one_piece(piece: Piece<'_>, decoded: &mut Decoded) {
    let (text, fields) = match piece {
        Piece::Record(text, fields) => (text, fields),
        Piece::Stray => return count("", decoded),
        Piece::Broken(text) => {
            return decoded.reject(BODY, FieldError::new("", "a record is not JSON"), text);
        }
    };
    if fields.is_empty() {
        return count("", decoded);
    }
    // Defender and App Insights say `type`, Event Grid `eventType`.
    let category = fields.first_text(&["category", "Type", "eventType"]).unwrap_or_default();
    let category = category.trim();
    let found = DECODERS.iter().enumerate().find(|(_, decoder)| (decoder.is)(category, &fields));
    let Some((place, decoder)) = found else { return count(category, decoded) };
    let mut faults = 0;
    one_record(decoder, text, fields, &mut |read| match read {
        Ok(event) => {
            if let Some(seen) = decoded.read.get_mut(place) {
                *seen = seen.merged(Seen::of(&event));
            }
            decoded.events.push(event);
            decoded.kinds.push(place);
        }
        Err(_) if faults >= MAX_FAULTS => decoded.more_rejected += 1,
        Err(error) => {
            faults += 1;
            decoded.reject(decoder.name, error, text);
        }
    });
}

/// Counts a record nobody decodes.
fn count(category: &str, decoded: &mut Decoded) {
    let category = if category.is_empty() { "(none)" } else { category };
    match decoded.unknown.get_mut(category) {
        Some(known) => *known += 1,
        None => {
            let name = text::clean(category, MAX_CATEGORY_CHARS);
            *decoded.unknown.entry(name).or_default() += 1;
        }
    }
}

/// Reads `text` as a record of one kind, whatever it says it is; `None` when it is no object.
#[must_use]
pub fn decode_as(decoder: &Decoder, text: &str) -> Option<Vec<Result<Event, FieldError>>> {
    let mut found = Vec::new();
    one_record(decoder, text, Fields::read(text)?, &mut |read| found.push(read));
    Some(found)
}

fn one_record(
    decoder: &Decoder,
    text: &str,
    fields: Fields<'_>,
    give: &mut dyn FnMut(Result<Event, FieldError>),
) {
    let held = properties(&fields);
    let properties = held.as_deref().and_then(Fields::read);
    if matches!(decoder.read, Read::Opaque) {
        let properties = properties.unwrap_or_default();
        return give(Ok(opaque::decode(&Record { text, fields, properties })));
    }
    let Some(properties) = properties else {
        let reason = "is neither an object nor a string of one";
        return give(Err(FieldError::new("properties", reason)));
    };
    if fields.cut || properties.cut {
        let path = if fields.cut { "" } else { "properties" };
        return give(Err(FieldError::new(path, format!("has more than {MAX_MEMBERS} members"))));
    }
    let record = Record { text, fields, properties };
    match decoder.read {
        Read::With(decode) => give(decode(&record)),
        Read::Many(decode) => decode(&record, give),
        Read::Opaque => give(Ok(opaque::decode(&record))),
    }
}

/// The text of the object `properties`, which may be written in a string; Log Analytics calls it
/// `properties_s`. Absent or blank is empty; `None` when it is something else.
fn properties<'a>(fields: &Fields<'a>) -> Option<Cow<'a, str>> {
    let name = if fields.raw("properties").is_some() { "properties" } else { "properties_s" };
    match fields.nested(name) {
        Some(text) => Some(text),
        None if fields.text(name).is_none_or(|text| text.trim().is_empty()) => {
            fields.raw(name).is_none_or(|raw| raw.get().starts_with('"')).then_some("{}".into())
        }
        None => None,
    }
}

#[cfg(test)]
mod tests;
