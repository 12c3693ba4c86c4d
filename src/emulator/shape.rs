//! Shapes the frames that leave, so that clients which read them carelessly work.
//!
//! - The AMQP library leaves out trailing null fields, as it may. The Python client finds fields by
//!   position and fails on short lists, so every performative is padded to its full length.
//! - The Rust client fails on the answer to a detach that comes within microseconds, which no
//!   network does, so such an answer is held back for a moment.
//! - The library closes a link on which a message exceeds the limit that was announced. To refuse
//!   the message alone, as the service does, the limit announced is lower than the library's.
//! - The library gives credit to every writer, also to one that is about to be refused. Clients
//!   then send, and wait for an answer that never comes, so that credit is withheld.

use std::borrow::Cow;
use std::collections::BTreeSet;

use super::frame::{
    ATTACH, DETACH, FLOW, HEADER_BYTES, LIST8, LIST32, NULL, Performative, split_frame,
};
use super::writer::{ABSORBED_MESSAGE_BYTES, MAX_MESSAGE_BYTES};

/// Encoding of a number in eight bytes, and of the role of a receiver.
const ULONG: u8 = 0x80;
const RECEIVER: &[u8] = &[0x41];

/// Numbers of the fields of an attach that are read: what we are, and the largest message.
const ROLE: usize = 2;
const LIMIT: usize = 10;

/// Largest frames that clients take. A frame is not padded across such a limit: the library has
/// filled it to the brim for a peer that takes no more.
const FRAME_LIMITS: [usize; 3] = [65_536, 262_144, 1_048_576];

/// What is to be sent next.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    pub(super) bytes: Vec<u8>,
    pub(super) pace: Pace,
}

/// When a piece may leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pace {
    AtOnce,
    HeldBack,
}

/// Collects written bytes until a frame is whole.
#[derive(Debug, Default)]
pub(super) struct Shaper {
    partial: Vec<u8>,
    /// Links without credit; each leaves with its detach, which follows at once.
    refused: BTreeSet<Link>,
}

/// A link by channel and encoded handle.
type Link = (Vec<u8>, Vec<u8>);

impl Shaper {
    /// Takes what the library writes and returns what shall be sent: whole frames, in order.
    pub(super) fn push(&mut self, written: &[u8]) -> Vec<Piece> {
        self.partial.extend_from_slice(written);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut rest = self.partial.as_slice();
        while let Some((frame, tail)) = split_frame(rest) {
            rest = tail;
            if withholds(&mut self.refused, frame) {
                continue;
            }
            let (bytes, pace) = shaped(frame);
            match pieces.last_mut() {
                Some(last) if last.pace == pace && pace == Pace::AtOnce => {
                    last.bytes.extend_from_slice(&bytes);
                }
                _ => pieces.push(Piece { bytes, pace }),
            }
        }
        self.partial = rest.to_vec();
        pieces
    }
}

/// Whether the frame is credit for a refused link; keeps account of those.
fn withholds(refused: &mut BTreeSet<Link>, frame: &[u8]) -> bool {
    let Some(performative) = Performative::read(frame) else { return false };
    let number = match performative.code {
        ATTACH => 1,
        FLOW => 4,
        DETACH => 0,
        _ => return false,
    };
    let (Some(channel), Some((_, handle, _))) = (frame.get(6..8), performative.field(number))
    else {
        return false;
    };
    let link = (channel.to_vec(), handle.to_vec());
    if performative.code == FLOW {
        return refused.contains(&link);
    }
    let receives = performative.field(ROLE).is_some_and(|(_, role, _)| role == RECEIVER);
    if performative.code == ATTACH && receives && performative.field(LIMIT).is_none() {
        refused.insert(link);
    } else {
        refused.remove(&link);
    }
    false
}

fn shaped(frame: &[u8]) -> (Vec<u8>, Pace) {
    let Some(performative) = Performative::read(frame) else {
        return (frame.to_vec(), Pace::AtOnce);
    };
    let pace = if performative.code == DETACH { Pace::HeldBack } else { Pace::AtOnce };
    let fields = fields(performative);
    (padded(frame, performative, &fields).unwrap_or_else(|| frame.to_vec()), pace)
}

/// The fields with the largest message that is stored where the library has written the largest
/// that it reads.
fn fields(performative: Performative<'_>) -> Cow<'_, [u8]> {
    let limit = if performative.code == ATTACH { performative.field(LIMIT) } else { None };
    match limit {
        Some((before, [ULONG, limit @ ..], after))
            if *limit == ABSORBED_MESSAGE_BYTES.to_be_bytes() =>
        {
            [before, &[ULONG], &MAX_MESSAGE_BYTES.to_be_bytes(), after].concat().into()
        }
        _ => performative.fields.into(),
    }
}

const fn full_length(code: u8) -> Option<u8> {
    match code {
        0x10 => Some(10), // open
        0x11 => Some(8),  // begin
        ATTACH => Some(14),
        FLOW | 0x14 => Some(11), // and transfer
        0x15 => Some(6),         // disposition
        DETACH => Some(3),
        0x17 | 0x18 => Some(1), // end, close
        _ => None,
    }
}

/// The frame with these fields, filled up with nulls; `None` when it is to stay as it is.
fn padded(frame: &[u8], performative: Performative<'_>, fields: &[u8]) -> Option<Vec<u8>> {
    let full = full_length(performative.code)?;
    let missing = usize::from(full.checked_sub(performative.count)?);
    if missing == 0 && fields == performative.fields {
        return None;
    }
    let fields_size = fields.len() + missing;
    let mut bytes = Vec::with_capacity(frame.len() + missing + 8);
    bytes.extend_from_slice(frame.get(..HEADER_BYTES + 3)?);
    if let Ok(size) = u8::try_from(fields_size + 1) {
        bytes.extend_from_slice(&[LIST8, size, full]);
    } else {
        bytes.push(LIST32);
        bytes.extend_from_slice(&u32::try_from(fields_size + 4).ok()?.to_be_bytes());
        bytes.extend_from_slice(&u32::from(full).to_be_bytes());
    }
    bytes.extend_from_slice(fields);
    bytes.resize(bytes.len() + missing, NULL);
    bytes.extend_from_slice(performative.payload);
    if FRAME_LIMITS.iter().any(|limit| (frame.len() + 1..=bytes.len()).contains(&(limit + 1))) {
        return None;
    }
    let size = u32::try_from(bytes.len()).ok()?.to_be_bytes();
    bytes.first_chunk_mut::<4>()?.copy_from_slice(&size);
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, body: &[u8]) -> Vec<u8> {
        let size = u32::try_from(body.len() + 8).unwrap();
        [&size.to_be_bytes()[..], &[2, kind, 0, 1], body].concat()
    }

    #[track_caller]
    fn check(body: &[u8], expected: &[u8]) {
        let pieces = Shaper::default().push(&frame(0, body));
        assert_eq!(pieces.len(), 1);
        assert_eq!(pieces[0].bytes, frame(0, expected));
    }

    #[test]
    fn short_lists_are_padded() {
        check(&[0, 0x53, 0x17, 0x45], &[0, 0x53, 0x17, 0xc0, 2, 1, 0x40]);
        check(
            &[0, 0x53, 0x16, 0xc0, 3, 2, 0x43, 0x41],
            &[0, 0x53, 0x16, 0xc0, 4, 3, 0x43, 0x41, 0x40],
        );
        // A transfer keeps its payload; a four-byte list becomes short when it fits.
        let nulls = [0x40; 10];
        let list = [&[0, 0x53, 0x14, 0xc0, 12, 11, 0x43][..], &nulls, b"pay"].concat();
        check(&[0, 0x53, 0x14, 0xc0, 2, 1, 0x43, b'p', b'a', b'y'], &list);
        let long = [0, 0x53, 0x14, 0xd0, 0, 0, 0, 5, 0, 0, 0, 1, 0x43, b'p', b'a', b'y'];
        check(&long, &list);
    }

    #[test]
    fn long_lists_grow_into_four_byte_sizes() {
        let name = [&[0xa1, 250][..], &[b'x'; 250]].concat();
        let body = [&[0, 0x53, 0x12, 0xc0, 253, 1][..], &name].concat();
        let head = [0, 0x53, 0x12, 0xd0, 0, 0, 1, 13, 0, 0, 0, 14];
        check(&body, &[&head[..], &name, &[0x40; 13]].concat());
    }

    #[test]
    fn an_attach_announces_the_largest_message_that_is_stored() {
        let attach = |limit: u64| {
            let fields = [&[0x40; 10][..], &[0x80], &limit.to_be_bytes(), &[0x40; 3]].concat();
            [&[0, 0x53, 0x12, 0xc0, 23, 14][..], &fields].concat()
        };
        check(&attach(ABSORBED_MESSAGE_BYTES), &attach(MAX_MESSAGE_BYTES));
        check(&attach(77), &attach(77));
    }

    #[test]
    fn credit_of_a_refused_writer_is_withheld_until_it_is_detached() {
        let list = |code: u8, fields: &[u8]| {
            let count = u8::try_from(fields.len()).unwrap();
            frame(0, &[&[0, 0x53, code, 0xc0, count + 1, count][..], fields].concat())
        };
        let (session, flow) = (list(FLOW, &[0x43; 4]), list(FLOW, &[0x43; 7]));
        let other = list(FLOW, &[0x43, 0x43, 0x43, 0x43, 0x44]);
        let detach = list(DETACH, &[0x43, 0x41]);
        let passed = |attach: &[u8]| {
            let mut shaper = Shaper::default();
            shaper.push(attach);
            [&flow, &session, &other, &detach, &flow].map(|one| !shaper.push(one).is_empty())
        };
        let (sends, receives) = ([0x40, 0x43, 0x42], [0x40, 0x43, 0x41]);
        assert_eq!(passed(&list(ATTACH, &receives)), [false, true, true, true, true]);
        assert_eq!(passed(&list(ATTACH, &sends)), [true; 5]);
        let accepted = [&receives[..], &[0x40; 7], &[0x44]].concat();
        assert_eq!(passed(&list(ATTACH, &accepted)), [true; 5]);
    }

    #[test]
    fn other_frames_pass_as_they_are() {
        for bytes in [
            b"AMQP\x03\x01\x00\x00".to_vec(),
            frame(1, &[0, 0x53, 0x44, 0xc0, 3, 1, 0x50, 0]),
            frame(0, &[]),
            frame(0, &[0, 0x53, 0x18, 0xc0, 2, 1, 0x40]),
            frame(0, &[0, 0x53, 0x16, 0xc0, 9, 2, 0x43]),
            // Padding would carry it over the limit of the peer.
            frame(0, &[&[0, 0x53, 0x14, 0xc0, 2, 1, 0x43][..], &[7; 65_519]].concat()),
        ] {
            let sent: Vec<u8> =
                Shaper::default().push(&bytes).into_iter().flat_map(|piece| piece.bytes).collect();
            assert_eq!(sent, bytes);
        }
    }

    #[test]
    fn frames_are_put_together_and_detaches_are_held_back() {
        let detach = frame(0, &[0, 0x53, 0x16, 0xc0, 4, 3, 0x43, 0x41, 0x40]);
        let close = frame(0, &[0, 0x53, 0x18, 0xc0, 2, 1, 0x40]);
        let written = [&close[..], &close, &detach, &close].concat();
        let mut shaper = Shaper::default();
        let mut pieces = Vec::new();
        for part in written.chunks(5) {
            pieces.extend(shaper.push(part));
        }
        let sent: Vec<u8> = pieces.iter().flat_map(|piece| piece.bytes.clone()).collect();
        assert_eq!(sent, written);
        let held: Vec<&Piece> = pieces.iter().filter(|p| p.pace == Pace::HeldBack).collect();
        assert_eq!(held.len(), 1);
        assert_eq!(held[0].bytes, detach);
        assert_eq!(Shaper::default().push(&written).len(), 3);
    }
}
