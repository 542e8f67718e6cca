//! Cheap tests that spare most strings of an event the real ones. They may have false
//! positives, but no false negatives.

/// Cheaper than the parser, and true for everything that the parser accepts.
pub(super) fn looks_like_address(text: &[u8]) -> bool {
    // The longest form is ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255.
    const LONGEST_ADDRESS: usize = 45;
    (2..=LONGEST_ADDRESS).contains(&text.len())
        && matches!(text[0], b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b':')
        && text[1..5.min(text.len())]
            .iter()
            .any(|byte| matches!(byte, b'.' | b':'))
        && text
            .iter()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' | b'.' | b':'))
}

/// For each byte, one bit for each length (the last bit for all lengths from 63 on).
type Masks = [[u64; 256]; 3];

/// The lengths of the stored texts by first, middle and last byte. Most strings of an
/// event (times, ids, protocols, states) are rejected here and never hashed. Removed
/// values leave their shape until the next compaction, which costs time but not
/// correctness.
#[derive(Debug)]
pub(super) struct Shapes(Box<Masks>);

impl Default for Shapes {
    fn default() -> Self {
        Shapes(Box::new([[0; 256]; 3]))
    }
}

impl Shapes {
    /// The heap size in bytes.
    pub(super) const HEAP_SIZE: usize = size_of::<Masks>();

    fn of(text: &[u8]) -> ([u8; 3], u64) {
        let bit = 1 << text.len().min(63);
        let byte = |at: usize| text.get(at).copied().unwrap_or(0);
        let bytes = [
            byte(0),
            byte(text.len() / 2),
            byte(text.len().saturating_sub(1)),
        ];
        (bytes, bit)
    }

    pub(super) fn add(&mut self, text: &[u8]) {
        let (bytes, bit) = Shapes::of(text);
        for (mask, byte) in self.0.iter_mut().zip(bytes) {
            mask[usize::from(byte)] |= bit;
        }
    }

    #[inline]
    pub(super) fn may_hold(&self, text: &[u8]) -> bool {
        let (bytes, bit) = Shapes::of(text);
        let masks = self.0.iter().zip(bytes);
        let common = masks.fold(bit, |bits, (mask, byte)| bits & mask[usize::from(byte)]);
        common != 0
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_cheap_test_accepts_every_address(octets: [u8; 16], v4: [u8; 4], zeros in 0usize..8) {
            let mut segments = octets;
            segments[..zeros * 2].fill(0);
            for address in [IpAddr::from(segments), IpAddr::from(octets), IpAddr::from(v4),
                IpAddr::from(Ipv4Addr::from(v4).to_ipv6_mapped())]
            {
                let text = address.to_string();
                prop_assert!(looks_like_address(text.as_bytes()), "{}", text);
                prop_assert!(looks_like_address(text.to_uppercase().as_bytes()));
            }
        }

        #[test]
        fn the_cheap_test_accepts_whatever_parses(text in "[0-9a-fA-F:.]{1,16}") {
            if text.parse::<IpAddr>().is_ok() {
                prop_assert!(looks_like_address(text.as_bytes()));
            }
        }
    }
}
