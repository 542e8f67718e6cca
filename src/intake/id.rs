//! Indicator ids in 17 bytes, since there may be a million of them.

use std::sync::Arc;

use uuid::Uuid;
use uuid::fmt::Hyphenated;

/// The prefix of the UUID in the ids of STIX indicators.
const STIX: &str = "indicator--";

/// An id in its short form.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShortId {
    bytes: [u8; 16],
    /// The length of the text in `bytes`, or [`UUID`], or [`LONG`].
    form: u8,
}

/// `bytes` is the UUID of a STIX indicator.
const UUID: u8 = 255;
/// `bytes` begins with a number in a table of long ids.
const LONG: u8 = 254;

impl ShortId {
    /// The short form of `indicator--UUID` in lower case, or of any text of up to 16
    /// bytes; `None` for other ids.
    pub fn of(id: &str) -> Option<Self> {
        if let Some(uuid) = id.strip_prefix(STIX).and_then(uuid) {
            return Some(ShortId {
                bytes: uuid,
                form: UUID,
            });
        }
        let mut bytes = [0; 16];
        bytes.get_mut(..id.len())?.copy_from_slice(id.as_bytes());
        let form = u8::try_from(id.len()).ok()?;
        Some(ShortId { bytes, form })
    }

    /// An id that is stored in a table under this number.
    pub fn numbered(number: u32) -> Self {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&number.to_le_bytes());
        ShortId { bytes, form: LONG }
    }

    /// Its number, if it is stored in a table.
    pub fn number(&self) -> Option<u32> {
        let [a, b, c, d, ..] = self.bytes;
        (self.form == LONG).then(|| u32::from_le_bytes([a, b, c, d]))
    }

    /// The id, unless it is stored in a table.
    pub fn text(&self) -> Option<Arc<str>> {
        match self.form {
            LONG => None,
            UUID => Some(format!("{STIX}{}", Uuid::from_bytes(self.bytes)).into()),
            length => {
                let text = std::str::from_utf8(&self.bytes[..usize::from(length)]);
                Some(text.expect("it was made of a text").into())
            }
        }
    }
}

/// The UUID that is written as this; other spellings of one are other ids. Each of a million
/// ids is read several times, and a general parser costs four times as much.
fn uuid(text: &str) -> Option<[u8; 16]> {
    let text: &[u8; Hyphenated::LENGTH] = text.as_bytes().try_into().ok()?;
    let groups = [
        &text[..8],
        &text[9..13],
        &text[14..18],
        &text[19..23],
        &text[24..],
    ];
    let has_hyphens = [8, 13, 18, 23].iter().all(|at| text[*at] == b'-');
    let mut uuid = [0; 16];
    let pairs = groups.into_iter().flat_map(|group| group.chunks_exact(2));
    for (byte, pair) in uuid.iter_mut().zip(pairs) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    has_hyphens.then_some(uuid)
}

fn digit(letter: u8) -> Option<u8> {
    match letter {
        b'0'..=b'9' => Some(letter - b'0'),
        b'a'..=b'f' => Some(letter - b'a' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_that_have_a_short_form_come_back_as_they_were() {
        for id in [
            "indicator--00000000-0000-4000-8000-00000000000a",
            "43",
            "",
            "sixteen bytes ok",
            "dö",
        ] {
            let short = ShortId::of(id).expect("it is short");
            assert_eq!(short.text().as_deref(), Some(id));
            assert_eq!(short.number(), None);
        }
        for id in [
            "indicator--00000000-0000-4000-8000-00000000000A",
            "indicator--000000000000400080000000000000aa",
            "indicator--00000000-0000-4000-800000000-000000a",
            "indicator--00000000-0000-4000-8000-0000000000g0",
            "seventeen bytes!!",
        ] {
            assert_eq!(ShortId::of(id), None, "{id}");
        }
        let long = ShortId::numbered(70_000);
        assert_eq!((long.number(), long.text()), (Some(70_000), None));
    }

    proptest::proptest! {
        #[test]
        fn a_uuid_is_read_as_its_crate_reads_it(
            text in "[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-fA-F-]{36}",
        ) {
            let known = text.parse::<Uuid>().ok().filter(|uuid| uuid.to_string() == text);
            proptest::prop_assert_eq!(uuid(&text), known.map(Uuid::into_bytes));
        }

        #[test]
        fn no_two_ids_share_a_form(one in ".{0,18}", other in ".{0,18}") {
            if let (Some(a), Some(b)) = (ShortId::of(&one), ShortId::of(&other)) {
                proptest::prop_assert_eq!(a == b, one == other);
                let text = a.text().expect("it is short");
                proptest::prop_assert_eq!(&*text, &*one);
            }
        }
    }
}
