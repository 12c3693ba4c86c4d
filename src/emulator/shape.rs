//! Shapes the frames that leave, so that clients which read them carelessly work.
//!
//! The AMQP library leaves out trailing null fields, as it may. The Python client finds fields by
//! position and fails on short lists, so every performative is padded to its full length. The
//! Rust client fails on the answer to a detach that comes within microseconds, which no network
//! does, so such an answer is held back for a moment.

/// Encoded null.
const NULL: u8 = 0x40;
/// Encodings of lists: empty, with one-byte and with four-byte sizes.
const LIST0: u8 = 0x45;
const LIST8: u8 = 0xc0;
const LIST32: u8 = 0xd0;

/// Frame header, without the extended header that nobody uses.
const HEADER_BYTES: usize = 8;

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
}

impl Shaper {
    /// Takes what the library writes and returns what shall be sent: whole frames, in order.
    pub(super) fn push(&mut self, written: &[u8]) -> Vec<Piece> {
        self.partial.extend_from_slice(written);
        let mut pieces: Vec<Piece> = Vec::new();
        let mut rest = self.partial.as_slice();
        while let Some((frame, tail)) = split_frame(rest) {
            let (bytes, pace) = shaped(frame);
            match pieces.last_mut() {
                Some(last) if last.pace == pace && pace == Pace::AtOnce => {
                    last.bytes.extend_from_slice(&bytes);
                }
                _ => pieces.push(Piece { bytes, pace }),
            }
            rest = tail;
        }
        self.partial = rest.to_vec();
        pieces
    }
}

fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = bytes.first_chunk::<4>()?;
    // A protocol header is eight bytes: the name, then an id and a version.
    let size = if start == b"AMQP" { 8 } else { u32::from_be_bytes(*start) };
    // A size below that of the header would never end; the library does not write such frames.
    bytes.split_at_checked(usize::try_from(size).ok()?.max(HEADER_BYTES))
}

fn shaped(frame: &[u8]) -> (Vec<u8>, Pace) {
    let pace = match performative(frame) {
        Some((0x16, _)) => Pace::HeldBack,
        _ => Pace::AtOnce,
    };
    (padded(frame).unwrap_or_else(|| frame.to_vec()), pace)
}

/// Descriptor code and what follows it, of a frame of AMQP type.
fn performative(frame: &[u8]) -> Option<(u8, &[u8])> {
    match frame.get(4..)? {
        // Data offset 2 words, type 0, channel; then a described type with a small code.
        [2, 0, _, _, 0x00, 0x53, code, list @ ..] => Some((*code, list)),
        _ => None,
    }
}

const fn full_length(code: u8) -> Option<u8> {
    match code {
        0x10 => Some(10),        // open
        0x11 => Some(8),         // begin
        0x12 => Some(14),        // attach
        0x13 | 0x14 => Some(11), // flow, transfer
        0x15 => Some(6),         // disposition
        0x16 => Some(3),         // detach
        0x17 | 0x18 => Some(1),  // end, close
        _ => None,
    }
}

/// The frame with its list at full length; `None` when it is not to be changed.
fn padded(frame: &[u8]) -> Option<Vec<u8>> {
    let (code, list) = performative(frame)?;
    let full = full_length(code)?;
    let (count, fields, payload) = match list {
        [LIST0, payload @ ..] => (0, &[][..], payload),
        [LIST8, size, count, rest @ ..] => {
            let (fields, payload) = rest.split_at_checked(usize::from(*size).checked_sub(1)?)?;
            (*count, fields, payload)
        }
        [LIST32, a, b, c, d, 0, 0, 0, count, rest @ ..] => {
            let size = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?;
            let (fields, payload) = rest.split_at_checked(size.checked_sub(4)?)?;
            (*count, fields, payload)
        }
        _ => return None,
    };
    let missing = usize::from(full.checked_sub(count)?);
    if missing == 0 {
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
    bytes.extend_from_slice(payload);
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
