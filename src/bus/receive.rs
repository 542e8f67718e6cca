//! Incoming frames: `TOPIC SPACE JSON`. The topic is this app's own topic, followed by a
//! word for the type of the message.

use thiserror::Error;

use crate::indicator::{Message, Rejection};
use crate::protocol::{legacy, stix};

/// The longest message that is read, in bytes. The longest message seen in a real feed has
/// about 10 kB.
pub const LONGEST_MESSAGE: usize = 16 << 20;

/// The content of a frame.
#[derive(Debug)]
pub enum Incoming<'a> {
    /// An indicator message.
    Indicator(Message),
    /// A message of another type, which is ignored.
    Other(&'a str),
}

/// Why a frame is not used.
#[derive(Debug, Error)]
pub enum Unreadable {
    /// It is not a message of this protocol.
    #[error("{0}")]
    Frame(&'static str),
    /// It is longer than [`LONGEST_MESSAGE`].
    #[error("it has {0} bytes, and can have {LONGEST_MESSAGE}")]
    TooLong(usize),
    /// It should be an indicator, but is not.
    #[error("{}", .0.reason)]
    Indicator(Rejection),
}

/// Reads a frame that arrived on the topic `own_topic`.
///
/// # Errors
/// See [`Unreadable`].
pub fn read<'a>(frame: &'a [u8], own_topic: &str) -> Result<Incoming<'a>, Unreadable> {
    if frame.len() > LONGEST_MESSAGE {
        return Err(Unreadable::TooLong(frame.len()));
    }
    let text = std::str::from_utf8(frame).map_err(|_| Unreadable::Frame("it is not UTF-8"))?;
    let (topic, json) = text
        .split_once(' ')
        .ok_or(Unreadable::Frame("there is no space after its topic"))?;
    let kind = topic.strip_prefix(own_topic).ok_or(Unreadable::Frame(
        "its topic does not begin with this subscription's",
    ))?;
    let message = match kind {
        legacy::INTEL_SUFFIX => legacy::read(json),
        stix::message::INDICATOR_SUFFIX => stix::message::read(json),
        other => return Ok(Incoming::Other(other)),
    };
    message
        .map(Incoming::Indicator)
        .map_err(Unreadable::Indicator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_suffix_tells_the_format() {
        let legacy = br#"abcintel {"ts": "x", "id": "1", "data": {"indicator": ["a"], "intel_type": 11}, "operation": "ADD"}"#;
        assert!(matches!(
            read(legacy, "abc"),
            Ok(Incoming::Indicator(Message::Match { .. }))
        ));
        let stix = br#"abcindicator {"type": "indicator", "id": "indicator--00000000-0000-4001-8000-000000000000", "pattern": "[domain-name:value = 'a']"}"#;
        assert!(matches!(
            read(stix, "abc"),
            Ok(Incoming::Indicator(Message::Match { .. }))
        ));
        assert!(matches!(
            read(b"abcsnapshotrequest {}", "abc"),
            Ok(Incoming::Other("snapshotrequest"))
        ));
    }

    #[test]
    fn unreadable_frames_say_why() {
        for (frame, words) in [
            (&b"abcintel"[..], "no space"),
            (b"abcintel \xff", "UTF-8"),
            (b"", "no space"),
            (b"other {}", "topic"),
            (b"abcintel {", "legacy"),
            (b"abcindicator [1]", "STIX"),
        ] {
            let error = read(frame, "abc").expect_err("unreadable").to_string();
            assert!(error.contains(words), "{error}");
        }
        let long = vec![b' '; LONGEST_MESSAGE + 1];
        assert!(matches!(read(&long, "abc"), Err(Unreadable::TooLong(_))));
    }

    proptest::proptest! {
        #[test]
        fn no_frame_panics(frame in proptest::collection::vec(proptest::num::u8::ANY, 0..300)) {
            let _ = read(&frame, "abc");
            for kind in ["abcintel ", "abcindicator "] {
                let _ = read(&[kind.as_bytes(), &frame].concat(), "abc");
            }
        }
    }
}
