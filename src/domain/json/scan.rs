//! Finding the end of the plain part of a string, eight bytes at a time.

/// The same byte in all eight places.
const fn all(byte: u8) -> u64 {
    u64::from_le_bytes([byte; 8])
}

const HIGH_BITS: u64 = all(0x80);

/// Marks, by their highest bits, the bytes of `word` that are below `bound` (at most 0x80). The
/// lowest mark is always right; one above it may be wrong, for a borrow runs upwards.
const fn below(word: u64, bound: u8) -> u64 {
    word.wrapping_sub(all(bound)) & !word & HIGH_BITS
}

/// As [`below`], for the bytes that are `byte`.
const fn equal(word: u64, byte: u8) -> u64 {
    below(word ^ all(byte), 1)
}

/// How many bytes at the start of `bytes` may stand in a JSON string as they are: all up to a quote,
/// a backslash or a control character.
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    length(
        bytes,
        |word| equal(word, b'"') | equal(word, b'\\') | below(word, b' '),
        |byte| matches!(byte, b'"' | b'\\' | 0..=0x1f),
    )
}

/// As [`plain_length`], ending also at the byte that the two Unicode line separators (and other
/// characters) start with.
pub(in crate::domain) fn unescaped_length(bytes: &[u8]) -> usize {
    const SEPARATOR: u8 = 0xe2;
    length(
        bytes,
        |word| equal(word, b'"') | equal(word, b'\\') | below(word, b' ') | equal(word, SEPARATOR),
        |byte| matches!(byte, b'"' | b'\\' | 0..=0x1f | SEPARATOR),
    )
}

fn length(bytes: &[u8], marks: impl Fn(u64) -> u64, ends: impl Fn(u8) -> bool) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    let mut passed = 0;
    for word in words {
        let found = marks(u64::from_le_bytes(*word));
        if found != 0 {
            // The place of a byte in eight fits any integer.
            return passed + (found.trailing_zeros() / u8::BITS) as usize;
        }
        passed += word.len();
    }
    passed + tail.iter().position(|byte| ends(*byte)).unwrap_or(tail.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn simply(bytes: &[u8], ends: impl Fn(u8) -> bool) -> usize {
        bytes.iter().position(|byte| ends(*byte)).unwrap_or(bytes.len())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4_000))]
        #[test]
        fn eight_at_a_time_is_one_by_one(
            bytes in proptest::collection::vec(prop_oneof![
                any::<u8>(), b'a'..=b'z', Just(b'"'), Just(b'\\'), 0x1e_u8..0x23, 0xe1_u8..0xe4, 0x7e_u8..0x83,
            ], 0..40),
            plain in 0_usize..24,
        ) {
            let bytes: Vec<u8> = std::iter::repeat_n(b'x', plain).chain(bytes).collect();
            let ends = |byte| matches!(byte, b'"' | b'\\' | 0..=0x1f);
            prop_assert_eq!(plain_length(&bytes), simply(&bytes, ends));
            prop_assert_eq!(unescaped_length(&bytes), simply(&bytes, |byte| ends(byte) || byte == 0xe2));
        }
    }
}
