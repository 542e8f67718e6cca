//! Recognises the broker's echo of this program's sightings (`--confirm-delivery`): the
//! only acknowledgement on this bus.

use std::hash::{BuildHasher, Hash, Hasher};
use std::sync::LazyLock;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::flight::Key;

static HASHER: LazyLock<foldhash::quality::RandomState> =
    LazyLock::new(foldhash::quality::RandomState::default);

/// The key of a sighting, sent or echoed: its id (STIX-2), or everything that the legacy
/// broker passes on unchanged. The broker reformats JSON, so the content counts and not
/// its text. `None` if the frame is not a recognizable sighting.
pub fn key(frame: &[u8]) -> Option<Key> {
    let json = json(frame);
    let mut hasher = HASHER.build_hasher();
    // STIX-2 keeps the id; other members do not matter, numbers beyond any type for
    // example.
    if let Ok(WithId { id: Some(id) }) = serde_json::from_slice(json) {
        hash_value(&Value::String(id), &mut hasher);
        return Some(hasher.finish());
    }
    let Ok(Value::Object(sighting)) = serde_json::from_slice(json) else {
        return None;
    };
    hash_value(sighting.get("intel")?, &mut hasher);
    ["ioc", "context"]
        .iter()
        .filter_map(|name| sighting.get(*name))
        .for_each(|value| hash_value(value, &mut hasher));
    Some(hasher.finish())
}

#[derive(Deserialize)]
struct WithId {
    id: Option<String>,
}

/// What follows the topic.
fn json(frame: &[u8]) -> &[u8] {
    memchr::memchr(b' ', frame).map_or(frame, |space| &frame[space + 1..])
}

/// The id of a sighting's indicator; empty if there is none.
pub fn indicator(frame: &[u8]) -> String {
    #[derive(Default, Deserialize)]
    struct Sighting {
        #[serde(alias = "sighting_of_ref")]
        intel: String,
    }
    let read = serde_json::from_slice::<Sighting>(json(frame));
    read.unwrap_or_default().intel
}

/// The members of a sighting that the legacy broker passes on. It parses any object that
/// looks like one, reformats `ts`, converts an `ioc` that is an empty list or a text, and
/// drops all other members.
const SURVIVES: [&str; 2] = ["intel", "context"];

fn looks_like_sighting(members: &Map<String, Value>) -> bool {
    ["ts", "intel", "context"]
        .iter()
        .all(|name| members.contains_key(*name))
}

/// Hashes by content: objects in any order, numbers by value.
fn hash_value(value: &Value, hasher: &mut impl Hasher) {
    match value {
        Value::Null => 0_u8.hash(hasher),
        Value::Bool(truth) => (1_u8, truth).hash(hasher),
        Value::Number(number) => {
            // 1 and 1.0 are different numbers for the JSON writers of both sides, but
            // both write what they read.
            // A minus before 0 is lost.
            let bits = number.as_f64().map(|number| (number + 0.0).to_bits());
            (2_u8, bits).hash(hasher);
        }
        Value::String(text) => (3_u8, text).hash(hasher),
        Value::Array(values) => {
            (4_u8, values.len()).hash(hasher);
            values.iter().for_each(|value| hash_value(value, hasher));
        }
        Value::Object(members) if looks_like_sighting(members) => {
            6_u8.hash(hasher);
            for name in SURVIVES {
                hash_value(&members[name], hasher);
            }
        }
        Value::Object(members) => {
            (5_u8, members.len()).hash(hasher);
            let mut keys: Vec<&String> = members.keys().collect();
            keys.sort_unstable();
            for name in keys {
                name.hash(hasher);
                hash_value(&members[name], hasher);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_echo_is_recognised_however_it_is_written() {
        let sent = br#"threatbus/sighting {"ts":"2020-11-26 12:34:56.789000","intel":"43","reference":"threatbus__43","ioc":["\u2603"],"context":{"b":1.50,"a":[12345678901234567890,null]}}"#;
        let echo = "abcsighting {\"ts\": \"2020-11-26 12:34:56.789000\", \"intel\": \"43\", \"context\": {\"a\": [12345678901234567890, null], \"b\": 1.5}, \"ioc\": [\"☃\"]}";
        assert_eq!(key(sent), key(echo.as_bytes()));
        let other = echo.replace("1.5", "1.6");
        assert_ne!(key(sent), key(other.as_bytes()));
    }

    #[test]
    fn an_echo_is_recognised_where_the_broker_rewrites_the_context() {
        let sent = br#"threatbus/sighting {"ts":"2020-11-26 12:34:56","intel":"43","ioc":["a"],"context":{"n":-0,"in":[{"ts":"2020-01-01T00:00:00Z","intel":"7","context":{"a":1},"more":1,"ioc":[]}]}}"#;
        let echo = br#"abcsighting {"ts": "2020-11-26 12:34:56", "intel": "43", "context": {"n": 0, "in": [{"ts": "2020-01-01 00:00:00+00:00", "intel": "7", "context": {"a": 1}, "ioc": null}]}, "ioc": ["a"]}"#;
        assert!(key(sent).is_some());
        assert_eq!(key(sent), key(echo));
    }

    #[test]
    fn what_cannot_be_recognised_has_no_key() {
        for frame in [
            &br#"threatbus/sighting {"ts":"x","intel":"43","context":{"n":1e999}}"#[..],
            br#"abcsighting {"ts": "x", "intel": "43", "context": {"n": Infinity}}"#,
            b"abcsighting",
            b"",
        ] {
            assert_eq!(key(frame), None);
        }
        let stix = br#"stix2/sighting {"id":"sighting--1","x":1e999}"#;
        assert!(key(stix).is_some());
    }

    #[test]
    fn a_sighting_names_its_indicator_in_either_protocol() {
        for (frame, id) in [
            (r#"threatbus/sighting {"ts":"x","intel":"43"}"#, "43"),
            (
                r#"stix2/sighting {"id":"s","sighting_of_ref":"indicator--7"}"#,
                "indicator--7",
            ),
            ("stix2/sighting {}", ""),
            ("no frame", ""),
        ] {
            assert_eq!(indicator(frame.as_bytes()), id, "{frame}");
        }
    }

    #[test]
    fn stix_sightings_are_known_by_their_id() {
        let sent = br#"stix2/sighting {"type":"sighting","id":"sighting--1","x":1}"#;
        let echo = br#"abcsighting {"type": "sighting", "id": "sighting--1"}"#;
        let other = br#"abcsighting {"type": "sighting", "id": "sighting--2", "x": 1}"#;
        assert_eq!(key(sent), key(echo));
        assert_ne!(key(sent), key(other));
    }

    proptest::proptest! {
        #[test]
        fn no_frame_panics(frame in proptest::collection::vec(proptest::num::u8::ANY, 0..100)) {
            let _ = key(&frame);
        }
    }
}
