//! Frames as they leave, read as far as their shaping needs it.

/// Frame header, without the extended header that nobody uses.
pub(super) const HEADER_BYTES: usize = 8;

/// Encoded null.
pub(super) const NULL: u8 = 0x40;
/// Encodings of lists: empty, with one-byte and with four-byte sizes.
pub(super) const LIST0: u8 = 0x45;
pub(super) const LIST8: u8 = 0xc0;
pub(super) const LIST32: u8 = 0xd0;

/// Codes of the performatives that are more than padded.
pub(super) const ATTACH: u8 = 0x12;
pub(super) const FLOW: u8 = 0x13;
pub(super) const DETACH: u8 = 0x16;

/// What a frame of AMQP type says.
#[derive(Debug, Clone, Copy)]
pub(super) struct Performative<'a> {
    pub(super) code: u8,
    /// Number of fields in the list; trailing ones may be left out.
    pub(super) count: u8,
    /// The encoded fields.
    pub(super) fields: &'a [u8],
    /// What follows the list: a part of a message.
    pub(super) payload: &'a [u8],
}

impl<'a> Performative<'a> {
    /// `None` for other types of frames, for protocol headers and for what is no performative.
    pub(super) fn read(frame: &'a [u8]) -> Option<Self> {
        // Data offset 2 words, type 0, channel; then a described type with a small code.
        let [2, 0, _, _, 0x00, 0x53, code, list @ ..] = frame.get(4..)? else { return None };
        let (count, fields, payload) = match list {
            [LIST0, payload @ ..] => (0, &[][..], payload),
            [LIST8, size, count, rest @ ..] => {
                let (fields, payload) =
                    rest.split_at_checked(usize::from(*size).checked_sub(1)?)?;
                (*count, fields, payload)
            }
            [LIST32, a, b, c, d, 0, 0, 0, count, rest @ ..] => {
                let size = usize::try_from(u32::from_be_bytes([*a, *b, *c, *d])).ok()?;
                let (fields, payload) = rest.split_at_checked(size.checked_sub(4)?)?;
                (*count, fields, payload)
            }
            _ => return None,
        };
        Some(Self { code: *code, count, fields, payload })
    }

    /// The encoded field of this number, with the encoded fields before and after it; `None` when
    /// it is null or left out.
    pub(super) fn field(&self, number: usize) -> Option<(&'a [u8], &'a [u8], &'a [u8])> {
        let mut start = 0;
        for _ in 0..number {
            start += value_bytes(self.fields.get(start..)?)?;
        }
        let (before, rest) = self.fields.split_at_checked(start)?;
        let (value, after) = rest.split_at_checked(value_bytes(rest)?)?;
        (value != [NULL]).then_some((before, value, after))
    }
}

/// The first frame or protocol header, and what follows it; `None` while it is not whole.
pub(super) fn split_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let start = bytes.first_chunk::<4>()?;
    // A protocol header is eight bytes: the name, then an id and a version.
    let size = if start == b"AMQP" { 8 } else { u32::from_be_bytes(*start) };
    // A size below that of the header would never end; the library does not write such frames.
    bytes.split_at_checked(usize::try_from(size).ok()?.max(HEADER_BYTES))
}

/// Length of the first encoded value.
fn value_bytes(bytes: &[u8]) -> Option<usize> {
    let (constructor, rest) = bytes.split_first()?;
    let content = match constructor >> 4 {
        // Described: the descriptor, then the value.
        0x0 => {
            let descriptor = value_bytes(rest)?;
            descriptor + value_bytes(rest.get(descriptor..)?)?
        }
        0x4 => 0,
        fixed @ 0x5..=0x9 => 1 << (fixed - 0x5),
        0xa | 0xc | 0xe => 1 + usize::from(*rest.first()?),
        0xb | 0xd | 0xf => 4 + usize::try_from(u32::from_be_bytes(*rest.first_chunk()?)).ok()?,
        _ => return None,
    };
    Some(1 + content)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &[u8]) {
        // Whatever follows is not part of it; cut short it has no length.
        assert_eq!(value_bytes(&[value, &[0x41, 0x41]].concat()), Some(value.len()), "{value:x?}");
        let whole = value_bytes(value).filter(|length| *length == value.len());
        assert!(whole.is_some(), "{value:x?}");
    }

    #[test]
    fn values_of_every_width_are_measured() {
        check(&[NULL]);
        check(&[0x53, 7]);
        check(&[0x60, 1, 2]);
        check(&[0x70, 1, 2, 3, 4]);
        check(&[0x80, 1, 2, 3, 4, 5, 6, 7, 8]);
        check(&[&[0x98][..], &[0; 16]].concat());
        check(&[0xa1, 2, b'o', b'k']);
        check(&[0xb1, 0, 0, 0, 2, b'o', b'k']);
        check(&[LIST8, 2, 1, NULL]);
        check(&[LIST32, 0, 0, 0, 5, 0, 0, 0, 1, NULL]);
        check(&[0xe0, 3, 1, 0x50, 9]);
        check(&[0x00, 0x53, 0x28, LIST8, 2, 1, NULL]);
        for broken in [&[][..], &[0x10], &[0xa1], &[0xb1, 0, 0], &[0x00, 0x53, 0x28]] {
            assert_eq!(value_bytes(broken), None, "{broken:x?}");
        }
    }

    #[test]
    fn fields_are_found_by_number() {
        let list = [0x00, 0x53, ATTACH, LIST8, 6, 4, 0xa1, 1, b'n', NULL, 0x43];
        let frame = [&[0, 0, 0, 19, 2, 0, 0, 0][..], &list].concat();
        let attach = Performative::read(&frame).unwrap();
        assert_eq!((attach.code, attach.count), (ATTACH, 4));
        assert_eq!(attach.field(0).map(|(_, value, _)| value), Some(&[0xa1, 1, b'n'][..]));
        assert_eq!(attach.field(1), None);
        assert_eq!(attach.field(2), Some((&[0xa1, 1, b'n', NULL][..], &[0x43][..], &[][..])));
        assert_eq!(attach.field(3), None);
    }
}
