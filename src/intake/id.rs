//! Indicator ids in 17 bytes, since there may be a million of them.

use std::sync::Arc;

use uuid::Uuid;

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
                bytes: uuid.into_bytes(),
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

/// The UUID that is written as this; other spellings of one are other ids.
fn uuid(text: &str) -> Option<Uuid> {
    let uuid: Uuid = text.parse().ok()?;
    let mut written = [0; uuid::fmt::Hyphenated::LENGTH];
    (uuid.hyphenated().encode_lower(&mut written) == text).then_some(uuid)
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
            "seventeen bytes!!",
        ] {
            assert_eq!(ShortId::of(id), None, "{id}");
        }
        let long = ShortId::numbered(70_000);
        assert_eq!((long.number(), long.text()), (Some(70_000), None));
    }

    proptest::proptest! {
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
