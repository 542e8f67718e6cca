//! One pass over a JSON object that shows every string value with its place and builds
//! nothing. A streaming `serde_json` is fast enough: with the lookups, more than twice
//! the required 300 MB/s (`cargo bench --bench matching`).

use std::borrow::Cow;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

/// A line that is not one JSON object.
#[derive(Debug)]
pub struct ScanError(serde_json::Error);

impl fmt::Display for ScanError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // JSON, but not an object: the message would quote a string of any length.
        if self.0.is_data() {
            return f.write_str("not one JSON object: another kind of value");
        }
        write!(f, "not one JSON object: {}", self.0)
    }
}

impl std::error::Error for ScanError {}

impl From<serde_json::Error> for ScanError {
    fn from(error: serde_json::Error) -> Self {
        ScanError(error)
    }
}

/// The keys from a value up to the event, as a chain of stack frames. It costs nothing
/// until the text is needed.
pub(crate) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    key: &'a str,
}

impl Path<'_> {
    /// Whether this is the field `name` of the event itself.
    pub(crate) fn is_top(&self, name: &str) -> bool {
        self.parent.is_none() && self.key == name
    }

    /// The name of the field; of a flattened one, the last component.
    pub(crate) fn name(&self) -> &str {
        self.key.rsplit('.').next().unwrap_or_default()
    }

    /// Appends the path, the keys joined by dots: `id.orig_h`, flattened or not.
    pub(crate) fn push_to(&self, out: &mut String) {
        if let Some(parent) = self.parent {
            parent.push_to(out);
            out.push('.');
        }
        out.push_str(self.key);
    }
}

/// Calls `visit` for every string value of the object in `line`, with the decoded text,
/// the path, and whether it is inside a list at any level.
///
/// Keys are not values. If there is an error, `visit` may have seen some of the values.
pub(crate) fn walk(
    line: &str,
    mut visit: impl FnMut(&str, &Path<'_>, bool),
) -> Result<(), ScanError> {
    let mut deserializer = serde_json::Deserializer::from_str(line);
    let event = ObjectVisitor {
        path: None,
        in_list: false,
        visit: &mut visit,
    };
    let walked = deserializer.deserialize_map(event);
    walked.and_then(|()| deserializer.end()).map_err(ScanError)
}

/// An object and its place; the event itself has no path.
struct ObjectVisitor<'a, F> {
    path: Option<&'a Path<'a>>,
    in_list: bool,
    visit: &'a mut F,
}

impl<'de, F: FnMut(&str, &Path<'_>, bool)> Visitor<'de> for ObjectVisitor<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        while let Some(key) = fields.next_key_seed(JsonKey)? {
            let path = Path {
                parent: self.path,
                key: &key,
            };
            fields.next_value_seed(ValueSeed {
                path: &path,
                in_list: self.in_list,
                visit: &mut *self.visit,
            })?;
        }
        Ok(())
    }
}

/// A key, borrowed from the line unless it has escapes. (A plain `Cow` would
/// always be a copy.)
pub(super) struct JsonKey;

impl<'de> DeserializeSeed<'de> for JsonKey {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for JsonKey {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key")
    }

    fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Self::Value, E> {
        Ok(Cow::Borrowed(key))
    }

    fn visit_str<E>(self, key: &str) -> Result<Self::Value, E> {
        Ok(Cow::Owned(key.to_owned()))
    }
}

/// Any value and its place.
struct ValueSeed<'a, F> {
    path: &'a Path<'a>,
    in_list: bool,
    visit: &'a mut F,
}

impl<'de, F: FnMut(&str, &Path<'_>, bool)> DeserializeSeed<'de> for ValueSeed<'_, F> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, F: FnMut(&str, &Path<'_>, bool)> Visitor<'de> for ValueSeed<'_, F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    #[inline]
    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        (self.visit)(text, self.path, self.in_list);
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut more = Some(());
        while more.is_some() {
            more = list.next_element_seed(ValueSeed {
                path: self.path,
                in_list: true,
                visit: &mut *self.visit,
            })?;
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<(), A::Error> {
        let object = ObjectVisitor {
            path: Some(self.path),
            in_list: self.in_list,
            visit: self.visit,
        };
        object.visit_map(fields)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    /// Every string as `path = text`, `[]` before those inside lists.
    fn strings(line: &str) -> Result<Vec<String>, ScanError> {
        let mut seen = Vec::new();
        walk(line, |text, path, in_list| {
            let mut entry = String::from(if in_list { "[]" } else { "" });
            path.push_to(&mut entry);
            seen.push(format!("{entry} = {text}"));
        })?;
        Ok(seen)
    }

    /// The same from a parsed value.
    fn expected(value: &Value, path: &str, in_list: bool, seen: &mut Vec<String>) {
        match value {
            Value::String(text) => {
                let list = if in_list { "[]" } else { "" };
                seen.push(format!("{list}{path} = {text}"));
            }
            Value::Array(elements) => {
                for element in elements {
                    expected(element, path, true, seen);
                }
            }
            Value::Object(fields) => {
                for (key, field) in fields {
                    let path = match path {
                        "" => key.clone(),
                        _ => format!("{path}.{key}"),
                    };
                    expected(field, &path, in_list, seen);
                }
            }
            _ => {}
        }
    }

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        let key = prop_oneof!["[a-z_.]{1,8}", "[\"\\\\ü\n]{1,2}"];
        let value = leaf.prop_recursive(4, 32, 6, move |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                prop::collection::hash_map(key.clone(), inner, 0..6)
                    .prop_map(|fields| Value::Object(fields.into_iter().collect())),
            ]
        });
        prop::collection::hash_map("[a-z]{1,3}", value, 0..6)
            .prop_map(|fields| Value::Object(fields.into_iter().collect()))
    }

    proptest! {
        #[test]
        fn shows_every_string_with_its_place(event in json(), pretty: bool) {
            let line = if pretty { format!("{event:#}") } else { event.to_string() };
            let mut all = Vec::new();
            expected(&event, "", false, &mut all);
            prop_assert_eq!(strings(&line).expect("an event"), all);
        }

        #[test]
        fn is_not_harmed_by_any_text(tail in "[]\\[{}:,\"\\\\ub0-9e+.a -]{0,24}", wild: String) {
            for line in [format!("{{{tail}"), format!("{{\"a\":{tail}}}"), wild] {
                let parsed = serde_json::from_str::<Value>(&line);
                let is_event = parsed.is_ok_and(|value| value.is_object());
                prop_assert_eq!(strings(&line).is_ok(), is_event, "{}", line);
            }
        }
    }

    #[test]
    fn shows_paths_the_same_flattened_and_nested() {
        let flat = strings(r#"{"id.orig_h": "1.2.3.4", "n": 1, "l": ["a", {"k": "b"}]}"#);
        let nested = strings(r#"{"id": {"orig_h": "1.2.3.4"}, "l": ["a", {"k": "b"}]}"#);
        let expected = ["id.orig_h = 1.2.3.4", "[]l = a", "[]l.k = b"];
        assert_eq!(flat.expect("valid"), expected);
        assert_eq!(nested.expect("valid"), expected);
    }

    #[test]
    fn decodes_keys_and_values() {
        let seen = strings(r#"{"\u006b\"": "\ud83d\ude00 \u00fc \/ \n"}"#).expect("valid");
        assert_eq!(seen, ["k\" = 😀 ü / \n"]);
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let cases = [
            ("", "EOF while parsing a value at line 1 column 0"),
            ("[]", "another kind of value"),
            ("\"a\"", "another kind of value"),
            ("{} {}", "trailing characters at line 1 column 4"),
            (
                r#"{"a": "b"#,
                "EOF while parsing a string at line 1 column 8",
            ),
            (
                r#"{"a": 1 "b": 2}"#,
                "expected `,` or `}` at line 1 column 9",
            ),
            ("{\"a\": \"\t\"}", "control character"),
            (
                r#"{"a": "\ud800"}"#,
                "end of hex escape at line 1 column 14",
            ),
        ];
        for (line, reason) in cases {
            let error = strings(line).expect_err("not an event").to_string();
            assert!(error.starts_with("not one JSON object: "), "{error}");
            assert!(error.contains(reason), "{error}");
        }
    }

    #[test]
    fn refuses_what_would_exhaust_the_stack() {
        let nested = |depth| "{\"a\":".repeat(depth) + "1" + &"}".repeat(depth);
        assert!(strings(&nested(127)).is_ok());
        let error = strings(&nested(100_000)).expect_err("too deep").to_string();
        assert!(error.contains("recursion limit"), "{error}");
    }
}
