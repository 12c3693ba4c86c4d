//! Which partition a partition key belongs to: the service's own mapping.
//!
//! Buffered producers of the client libraries compute it before they send, so that a key goes to
//! one partition whoever sends it, and tests that count per partition hold against the service.

/// Bytes that lookup3 mixes at a time.
const BLOCK_BYTES: usize = 12;

/// Index of the partition among `partitions`, of which there is at least one.
pub(super) fn partition_of(key: &str, partitions: usize) -> usize {
    let (first, second) = lookup3(key.as_bytes());
    // The service takes the low half as a signed number, its remainder, and of that the magnitude.
    let [low, high, ..] = (first ^ second).to_le_bytes();
    usize::from(i16::from_le_bytes([low, high]).unsigned_abs()) % partitions.max(1)
}

/// Bob Jenkins' lookup3 (2006, in the public domain) with seeds of 0: both halves of its result.
fn lookup3(key: &[u8]) -> (u32, u32) {
    // Keys are short; of longer ones than 4 GiB the length would count modulo 2³².
    let seed = 0xdead_beef_u32.wrapping_add(u32::try_from(key.len()).unwrap_or(u32::MAX));
    let mut state = [seed; 3];
    let mut blocks = key.chunks(BLOCK_BYTES).peekable();
    while let Some(block) = blocks.next() {
        for (part, word) in state.iter_mut().zip(block.chunks(4)) {
            *part = part.wrapping_add(little_endian(word));
        }
        state = if blocks.peek().is_some() { mixed(state) } else { finished(state) };
    }
    let [_, second, first] = state;
    (first, second)
}

/// At most four bytes; what is missing counts as zero.
fn little_endian(bytes: &[u8]) -> u32 {
    bytes.iter().rev().fold(0, |word, byte| word << 8 | u32::from(*byte))
}

/// Between two blocks. Each step changes one word; the next word then takes its part.
fn mixed([mut a, mut b, mut c]: [u32; 3]) -> [u32; 3] {
    for turns in [4, 6, 8, 16, 19, 4] {
        a = a.wrapping_sub(c) ^ c.rotate_left(turns);
        c = c.wrapping_add(b);
        [a, b, c] = [b, c, a];
    }
    [a, b, c]
}

/// After the last block.
fn finished([mut a, mut b, mut c]: [u32; 3]) -> [u32; 3] {
    for turns in [14, 11, 25, 16, 4, 14, 24] {
        c = (c ^ b).wrapping_sub(b.rotate_left(turns));
        [a, b, c] = [b, c, a];
    }
    // The parts have gone round twice and one step on.
    [c, a, b]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(key: &str, of_four: usize, of_five: usize, of_32: usize) {
        let found = [4, 5, 32].map(|partitions| partition_of(key, partitions));
        assert_eq!(found, [of_four, of_five, of_32], "{key}");
    }

    #[test]
    fn keys_go_where_the_client_libraries_expect_them() {
        // As `@azure/event-hubs` 6.0.4 computes them; block ends lie at 12 bytes and multiples.
        check("", 0, 0, 0);
        check("a", 0, 0, 28);
        check("tenant", 1, 1, 9);
        check("twelve bytes", 2, 2, 14);
        check("thirteen byte", 1, 3, 1);
        check("7149583486996073602", 1, 2, 17);
        check("subscriptions/7/contoso-prod", 3, 2, 7);
        check("ключ", 2, 4, 14);
        check(&"x".repeat(128), 0, 1, 8);
    }
}
