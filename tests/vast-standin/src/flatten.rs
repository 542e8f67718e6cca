//! `json --flatten`: nested objects become keys with dots.

use std::collections::VecDeque;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

/// The members of an object in their order, values as they are written.
struct Members<'a>(VecDeque<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(MembersVisitor)
    }
}

struct MembersVisitor;

impl<'de> Visitor<'de> for MembersVisitor {
    type Value = Members<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
        let mut members = VecDeque::new();
        while let Some((key, value)) = map.next_entry::<String, &RawValue>()? {
            members.push_back((key, value));
        }
        Ok(Members(members))
    }
}

/// The flattened event, values as they are written; nothing where the line is
/// no JSON object in UTF-8.
pub fn flatten(line: &[u8]) -> Option<Vec<u8>> {
    let Members(mut open) = serde_json::from_slice(line).ok()?;
    let mut flat = Vec::with_capacity(line.len() + 64);
    while let Some((path, value)) = open.pop_front() {
        let nested = value.get().starts_with('{');
        if let Some(Members(members)) = nested
            .then(|| serde_json::from_str::<Members<'_>>(value.get()).ok())
            .flatten()
        {
            for (key, value) in members.into_iter().rev() {
                open.push_front((format!("{path}.{key}"), value));
            }
            continue;
        }
        flat.extend_from_slice(if flat.is_empty() { b"{" } else { b", " });
        flat.extend_from_slice(serde_json::Value::from(path).to_string().as_bytes());
        flat.extend_from_slice(b": ");
        flat.extend_from_slice(value.get().as_bytes());
    }
    flat.extend_from_slice(if flat.is_empty() { b"{}" } else { b"}" });
    Some(flat)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_stay_as_they_are_written() {
        let line = br#"{"a": 1.50, "b": {"c": "x\u00fc", "d": {"e": [1,  2]}}, "f": {}}"#;
        let flat = flatten(line).expect("an object");
        assert_eq!(
            String::from_utf8_lossy(&flat),
            r#"{"a": 1.50, "b.c": "x\u00fc", "b.d.e": [1,  2]}"#
        );
        assert_eq!(flatten(b"[1]"), None);
        assert_eq!(flatten(b"{\"a\": \"\xae\"}"), None);
    }
}
