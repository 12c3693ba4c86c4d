//! The entries of the files that keep a partition, as bytes.
//!
//! | bytes | what |
//! |---|---|
//! | 4 | length of the payload, little-endian like all numbers here |
//! | 4 | CRC-32 of the payload |
//! | 4 | CRC-32 of the eight bytes before, so that a damaged length is not taken for a torn entry |
//! | n | payload: a letter for the kind, then JSON, or events as encoded AMQP messages |
//!
//! What a sender sends at once is one entry: after a kill it is there as a whole or not at all.

use std::io::{self, Read};
use std::sync::Arc;

use fe2o3_amqp_types::messaging::annotations::OwnedKey;
use fe2o3_amqp_types::messaging::message::DecodeIntoMessage as _;
use fe2o3_amqp_types::messaging::{Annotations, Body, MessageAnnotations};
use fe2o3_amqp_types::primitives::Value;
use serde::{Deserialize, Serialize};
use serde_amqp::read::SliceReader;
use serde_amqp::to_vec;

use super::partition::StoredEvent;
use super::reader::annotations;
use super::writer::content;

/// The first bytes of every file; the last one is the version of the format.
pub(super) const MAGIC: [u8; 8] = *b"TW-HUB\0\x01";

/// Bytes before a payload.
const FRAME_BYTES: usize = 12;

/// An entry ends with the event that reaches this size. More than the largest message (1 MiB), so
/// that a sender's batch is never cut, and little enough to hold in memory.
const ENTRY_BYTES: usize = 4 * 1024 * 1024;

/// Largest payload that is read: an entry before its last event, and the largest line of a
/// capture (8 MiB) with all that goes with it.
const MAX_PAYLOAD_BYTES: u32 = 32 * 1024 * 1024;

/// What a file of a partition holds.
#[derive(Debug)]
pub(super) enum Entry {
    /// Always the first of a file, and only there.
    Head(Head),
    /// The log was changed by something else than new events.
    Mark(Mark),
    /// Events in order.
    Events(Vec<StoredEvent>),
}

/// Whose file it is, and where the log stood at its beginning.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Head {
    pub(super) hub: String,
    pub(super) partition: u32,
    /// When the hub was created, milliseconds since 1970 UTC.
    pub(super) created_ms: i64,
    /// Everything in earlier files is void: the hub was created again.
    pub(super) anew: bool,
    pub(super) mark: Mark,
}

/// Where a log stands, beside its events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub(super) struct Mark {
    /// Events with lower sequence numbers have been dropped.
    pub(super) begin: i64,
    pub(super) next_sequence: i64,
    pub(super) next_offset: i64,
    /// Sequence number, offset and enqueued time of the last event, retained or not.
    pub(super) last: Option<(i64, i64, i64)>,
}

/// Why an entry cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum EntryError {
    /// The bytes end within the entry, as after a kill while it was written.
    #[error("the file ends within an entry")]
    Torn,
    #[error("{0}")]
    Broken(String),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Why events cannot be written as entries.
#[derive(Debug, thiserror::Error)]
pub(super) enum EncodeError {
    #[error("an event cannot be encoded: {0}")]
    Amqp(#[from] serde_amqp::Error),
    #[error("an entry cannot be encoded: {0}")]
    Json(#[from] serde_json::Error),
    #[error("an event is larger than {MAX_PAYLOAD_BYTES} bytes")]
    TooLarge,
    /// The AMQP library writes arrays of texts with other than ASCII letters wrongly.
    #[error("an event holds a value that would not be read back as it is")]
    Unfaithful,
}

pub(super) fn encode_head(head: &Head) -> Result<Vec<u8>, EncodeError> {
    framed(b'H', &serde_json::to_vec(head)?)
}

pub(super) fn encode_mark(mark: &Mark) -> Result<Vec<u8>, EncodeError> {
    framed(b'M', &serde_json::to_vec(mark)?)
}

/// As few entries as their size allows, one after the other.
pub(super) fn encode_events(events: &[Arc<StoredEvent>]) -> Result<Vec<u8>, EncodeError> {
    let (mut bytes, mut payload) = (Vec::new(), Vec::new());
    for event in events {
        let message = encode_event(event)?;
        let size = u32::try_from(message.len()).map_err(|_| EncodeError::TooLarge)?;
        payload.extend_from_slice(&size.to_le_bytes());
        payload.extend_from_slice(&message);
        if payload.len() >= ENTRY_BYTES {
            bytes.extend(framed(b'E', &payload)?);
            payload.clear();
        }
    }
    if !payload.is_empty() {
        bytes.extend(framed(b'E', &payload)?);
    }
    Ok(bytes)
}

fn framed(kind: u8, content: &[u8]) -> Result<Vec<u8>, EncodeError> {
    let size = u32::try_from(content.len() + 1).ok().filter(|size| *size <= MAX_PAYLOAD_BYTES);
    let size = size.ok_or(EncodeError::TooLarge)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&[kind]);
    hasher.update(content);
    let mut bytes = Vec::with_capacity(FRAME_BYTES + 1 + content.len());
    bytes.extend_from_slice(&size.to_le_bytes());
    bytes.extend_from_slice(&hasher.finalize().to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes.push(kind);
    bytes.extend_from_slice(content);
    Ok(bytes)
}

/// The event as readers get it: its sections one after the other.
fn encode_event(event: &StoredEvent) -> Result<Vec<u8>, EncodeError> {
    let content = &event.content;
    let mut bytes = to_vec(&MessageAnnotations(annotations(event)))?;
    if let Some(properties) = &content.properties {
        bytes.extend(to_vec(properties)?);
    }
    if let Some(properties) = &content.application_properties {
        bytes.extend(to_vec(properties)?);
    }
    match &content.body {
        Body::Data(sections) => {
            for section in sections.iter() {
                bytes.extend(to_vec(section)?);
            }
        }
        Body::Sequence(sections) => {
            for section in sections.iter() {
                bytes.extend(to_vec(section)?);
            }
        }
        Body::Value(value) => bytes.extend(to_vec(value)?),
        Body::Empty => {}
    }
    // What cannot be read back must fail here, not at the next start. Bytes are always faithful.
    let faithful = content.body.is_data() || decode_event(&bytes).is_ok_and(|read| read == *event);
    if faithful { Ok(bytes) } else { Err(EncodeError::Unfaithful) }
}

/// Reads the next entry; `None` at the end.
pub(super) fn read_entry(reader: &mut impl Read) -> Result<Option<Entry>, EntryError> {
    let mut frame = [0; FRAME_BYTES];
    match fill(reader, &mut frame)? {
        0 => return Ok(None),
        FRAME_BYTES => {}
        _ => return Err(EntryError::Torn),
    }
    let (sums, [a, b, c, d]) = frame.split_last_chunk::<4>().ok_or(EntryError::Torn)?;
    if crc32fast::hash(sums) != u32::from_le_bytes([*a, *b, *c, *d]) {
        return Err(broken("the checksum of an entry's length is wrong"));
    }
    let [a, b, c, d, sum @ ..] = sums else { return Err(EntryError::Torn) };
    let size = u32::from_le_bytes([*a, *b, *c, *d]);
    if size > MAX_PAYLOAD_BYTES {
        return Err(broken("an entry is too long"));
    }
    let mut payload = vec![0; usize::try_from(size).unwrap_or_default()];
    if fill(reader, &mut payload)? < payload.len() {
        return Err(EntryError::Torn);
    }
    if crc32fast::hash(&payload).to_le_bytes() != *sum {
        return Err(broken("the checksum of an entry is wrong"));
    }
    decode(&payload).map(Some)
}

/// Reads until the buffer is full or the input ends, and says how much.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match reader.read(rest) {
            Ok(0) => break,
            Ok(read) => count += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

fn decode(payload: &[u8]) -> Result<Entry, EntryError> {
    let wrong = |error: serde_json::Error| broken(&format!("an entry cannot be read: {error}"));
    match payload {
        [b'H', text @ ..] => serde_json::from_slice(text).map(Entry::Head).map_err(wrong),
        [b'M', text @ ..] => serde_json::from_slice(text).map(Entry::Mark).map_err(wrong),
        [b'E', rest @ ..] => decode_events(rest).map(Entry::Events),
        _ => Err(broken("an entry is of no known kind")),
    }
}

fn decode_events(mut rest: &[u8]) -> Result<Vec<StoredEvent>, EntryError> {
    let mut events = Vec::new();
    while let Some((size, tail)) = rest.split_first_chunk::<4>() {
        let size = usize::try_from(u32::from_le_bytes(*size)).unwrap_or(usize::MAX);
        let split = tail.split_at_checked(size);
        let (message, tail) = split.ok_or_else(|| broken("an event is longer than its entry"))?;
        events.push(decode_event(message)?);
        rest = tail;
    }
    if rest.is_empty() { Ok(events) } else { Err(broken("an entry has bytes left over")) }
}

fn decode_event(bytes: &[u8]) -> Result<StoredEvent, EntryError> {
    let message = Body::<Value>::decode_message_from_reader(SliceReader::new(bytes))
        .map_err(|error| broken(&format!("an event is no message: {error}")))?;
    let place = message.message_annotations.as_ref().and_then(|found| place(&found.0));
    let (sequence, offset, enqueued_ms) =
        place.ok_or_else(|| broken("an event lacks sequence number, offset or time"))?;
    Ok(StoredEvent { sequence, offset, enqueued_ms, content: content(message, None) })
}

/// What [`annotations`] says of an event's place, back again.
fn place(annotations: &Annotations) -> Option<(i64, i64, i64)> {
    let get = |key: &str| annotations.get(&OwnedKey::from(key));
    let (
        Some(Value::Long(sequence)),
        Some(Value::String(offset)),
        Some(Value::Timestamp(enqueued)),
    ) = (get("x-opt-sequence-number"), get("x-opt-offset"), get("x-opt-enqueued-time"))
    else {
        return None;
    };
    Some((*sequence, offset.parse().ok()?, enqueued.milliseconds()))
}

fn broken(reason: &str) -> EntryError {
    EntryError::Broken(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use fe2o3_amqp_types::messaging::{
        AmqpSequence, AmqpValue, ApplicationProperties, MessageId, Properties,
    };
    use fe2o3_amqp_types::primitives::{
        Array, Dec32, Dec64, Dec128, OrderedMap, SimpleValue, Symbol, Timestamp, Uuid,
    };
    use proptest::prelude::*;
    use serde_amqp::described::Described;
    use serde_amqp::descriptor::Descriptor;

    use super::*;
    use crate::emulator::partition::Content;

    fn scalar() -> impl Strategy<Value = Value> {
        prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<u8>().prop_map(Value::Ubyte),
            any::<u16>().prop_map(Value::Ushort),
            any::<u32>().prop_map(Value::Uint),
            any::<u64>().prop_map(Value::Ulong),
            any::<i8>().prop_map(Value::Byte),
            any::<i16>().prop_map(Value::Short),
            any::<i32>().prop_map(Value::Int),
            any::<i64>().prop_map(Value::Long),
            any::<f32>().prop_map(|number| Value::Float(number.into())),
            any::<f64>().prop_map(|number| Value::Double(number.into())),
            any::<[u8; 4]>().prop_map(|bytes| Value::Decimal32(Dec32::from(bytes))),
            any::<[u8; 8]>().prop_map(|bytes| Value::Decimal64(Dec64::from(bytes))),
            any::<[u8; 16]>().prop_map(|bytes| Value::Decimal128(Dec128::from(bytes))),
            any::<char>().prop_map(Value::Char),
            any::<i64>().prop_map(|ms| Value::Timestamp(Timestamp::from_milliseconds(ms))),
            any::<[u8; 16]>().prop_map(|bytes| Value::Uuid(Uuid::from(bytes))),
            bytes().prop_map(|bytes| Value::Binary(bytes.into())),
            text().prop_map(Value::String),
            "[a-z:.-]{0,300}".prop_map(|name| Value::Symbol(Symbol::from(name))),
        ]
    }

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        proptest::collection::vec(any::<u8>(), 0..300)
    }

    fn text() -> impl Strategy<Value = String> {
        proptest::collection::vec(any::<char>(), 0..90)
            .prop_map(|chars| chars.into_iter().collect())
    }

    fn value() -> impl Strategy<Value = Value> {
        scalar().prop_recursive(3, 24, 4, |inner| {
            let items = proptest::collection::vec(inner.clone(), 0..4);
            let pairs = proptest::collection::vec((text(), inner.clone()), 0..4);
            prop_oneof![
                items.prop_map(Value::List),
                proptest::collection::vec(any::<i64>(), 1..5).prop_map(|items| Value::Array(
                    Array(items.into_iter().map(Value::Long).collect())
                )),
                proptest::collection::vec("[ -~]{0,90}", 1..5).prop_map(|items| Value::Array(
                    Array(items.into_iter().map(Value::String).collect())
                )),
                pairs.prop_map(|pairs| {
                    let pairs = pairs.into_iter().map(|(key, value)| (Value::String(key), value));
                    Value::Map(OrderedMap::from_iter(pairs))
                }),
                (any::<u64>(), inner).prop_map(|(code, value)| {
                    let descriptor = Descriptor::Code(code);
                    Value::Described(Box::new(Described { descriptor, value }))
                }),
            ]
        })
    }

    fn body() -> impl Strategy<Value = Body<Value>> {
        let list = proptest::collection::vec(value(), 0..3);
        prop_oneof![
            4 => proptest::collection::vec(bytes(), 1..3).prop_map(|sections| {
                Body::Data(sections.into_iter().map(Into::into).collect::<Vec<_>>().into())
            }),
            2 => value().prop_map(|value| Body::Value(AmqpValue(value))),
            1 => proptest::collection::vec(list, 1..3).prop_map(|sections| {
                Body::Sequence(sections.into_iter().map(AmqpSequence).collect::<Vec<_>>().into())
            }),
            1 => Just(Body::Empty),
        ]
    }

    fn properties() -> impl Strategy<Value = Properties> {
        let id = prop_oneof![
            any::<u64>().prop_map(MessageId::Ulong),
            any::<[u8; 16]>().prop_map(|bytes| MessageId::Uuid(bytes.into())),
            bytes().prop_map(|bytes| MessageId::Binary(bytes.into())),
            text().prop_map(MessageId::String),
        ];
        let id = proptest::option::of(id).boxed();
        let word = proptest::option::of(text()).boxed();
        let symbol = proptest::option::of("[a-z/;=-]{0,60}".prop_map(Symbol::from)).boxed();
        let time = proptest::option::of(any::<i64>().prop_map(Timestamp::from_milliseconds));
        let texts = [(); 5].map(|()| word.clone());
        let tail = (proptest::option::of(bytes()), time, proptest::option::of(any::<u32>()));
        ((id.clone(), id), (symbol.clone(), symbol), texts, tail).prop_map(
            |((message_id, correlation_id), (content_type, content_encoding), texts, tail)| {
                let [to, subject, reply_to, group_id, reply_to_group_id] = texts;
                Properties {
                    message_id,
                    user_id: tail.0.map(Into::into),
                    to,
                    subject,
                    reply_to,
                    correlation_id,
                    content_type,
                    content_encoding,
                    absolute_expiry_time: tail.1.clone(),
                    creation_time: tail.1,
                    group_id,
                    group_sequence: tail.2,
                    reply_to_group_id,
                }
            },
        )
    }

    fn application() -> impl Strategy<Value = ApplicationProperties> {
        let simple = scalar().prop_map(|value| SimpleValue::try_from(value).unwrap());
        proptest::collection::vec((text(), simple), 0..6)
            .prop_map(|pairs| ApplicationProperties(OrderedMap::from_iter(pairs)))
    }

    fn event() -> impl Strategy<Value = StoredEvent> {
        let key = proptest::option::of(text());
        let properties = proptest::option::of(properties());
        let application = proptest::option::of(application());
        let place = (0..=i64::MAX, 0..=i64::MAX, any::<i64>());
        (place, body(), properties, application, key).prop_map(
            |((sequence, offset, enqueued_ms), body, properties, application, partition_key)| {
                let application_properties = application;
                let content = Content { body, properties, application_properties, partition_key };
                StoredEvent { sequence, offset, enqueued_ms, content }
            },
        )
    }

    fn events(bytes: &[u8]) -> Vec<StoredEvent> {
        let mut reader = bytes;
        let mut events = Vec::new();
        while let Some(entry) = read_entry(&mut reader).unwrap() {
            let Entry::Events(found) = entry else { panic!("{entry:?}") };
            events.extend(found);
        }
        events
    }

    proptest! {
        #[test]
        fn events_come_back_as_they_went(events in proptest::collection::vec(event(), 0..4)) {
            let events: Vec<_> = events.into_iter().map(Arc::new).collect();
            let bytes = encode_events(&events).unwrap();
            let back: Vec<_> = self::events(&bytes).into_iter().map(Arc::new).collect();
            prop_assert_eq!(back, events);
        }

        #[test]
        fn a_cut_is_torn_and_a_changed_byte_is_broken(
            event in event(), at in any::<prop::sample::Index>(), flip in 1..=u8::MAX,
        ) {
            let mut bytes = encode_events(&[Arc::new(event)]).unwrap();
            let at = at.index(bytes.len());
            let cut = read_entry(&mut &bytes[..at]);
            let torn = matches!(cut, Err(EntryError::Torn)) || (at == 0 && matches!(cut, Ok(None)));
            prop_assert!(torn, "{cut:?}");
            bytes[at] ^= flip;
            let changed = read_entry(&mut &*bytes);
            prop_assert!(matches!(changed, Err(EntryError::Broken(_))), "{changed:?}");
        }
    }

    fn blank(body: Body<Value>) -> Arc<StoredEvent> {
        let content = Content { body, ..Content::data(vec![]) };
        Arc::new(StoredEvent { sequence: 0, offset: 0, enqueued_ms: 0, content })
    }

    #[test]
    fn a_batch_is_one_entry_and_a_large_load_several() {
        let event = |size: usize| blank(Content::data(vec![7; size]).body);
        let entries = |events: &[Arc<StoredEvent>]| {
            let bytes = encode_events(events).unwrap();
            let mut reader = &*bytes;
            std::iter::from_fn(|| read_entry(&mut reader).unwrap()).count()
        };
        assert_eq!(entries(&vec![event(1_000); 1_000]), 1);
        assert_eq!(entries(&vec![event(1_000_000); 20]), 4);
    }

    #[test]
    fn what_would_not_be_read_back_is_not_written() {
        let huge = encode_events(&[blank(Content::data(vec![7; 33 * 1024 * 1024]).body)]);
        assert!(matches!(huge, Err(EncodeError::TooLarge)));
        let array = Value::Array(Array(vec![Value::String("\u{a1}".to_owned())]));
        let unfaithful = encode_events(&[blank(Body::Value(AmqpValue(array)))]);
        assert!(matches!(unfaithful, Err(EncodeError::Unfaithful)));
    }

    #[test]
    fn heads_and_marks_come_back() {
        let mark = Mark { begin: 3, next_sequence: 9, next_offset: 700, last: Some((8, 600, -5)) };
        let head = Head {
            hub: "a\"b".to_owned(),
            partition: 7,
            created_ms: 1,
            anew: true,
            mark: mark.clone(),
        };
        let bytes = [encode_head(&head).unwrap(), encode_mark(&mark).unwrap()].concat();
        let mut reader = &*bytes;
        let first = read_entry(&mut reader).unwrap();
        assert!(matches!(first, Some(Entry::Head(found)) if found == head));
        let second = read_entry(&mut reader).unwrap();
        assert!(matches!(second, Some(Entry::Mark(found)) if found == mark));
        assert!(read_entry(&mut reader).unwrap().is_none());
        let unknown = framed(b'?', b"").unwrap();
        assert!(matches!(read_entry(&mut &*unknown), Err(EntryError::Broken(_))));
    }
}
