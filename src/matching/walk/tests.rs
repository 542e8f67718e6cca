use proptest::prelude::*;
use serde_json::Value as Json;

use super::*;
use crate::matching::keys::Keys;
use crate::matching::places::Places;

/// Records everything that it is shown.
#[derive(Default)]
struct All {
    keys: Keys,
    seen: Vec<String>,
}

impl Visit for All {
    fn begin(&mut self) {
        self.keys.begin();
        self.seen.clear();
    }

    fn field(&mut self, parent: Node, key: &str) -> Node {
        self.keys.field(parent, key, Places::shared())
    }

    fn expected(&mut self, parent: Node, text: &[u8]) -> Option<(Node, usize)> {
        self.keys.expected(parent, text)
    }

    fn wants(&self, _: Node) -> bool {
        true
    }

    fn text(&mut self, at: At, text: &str) {
        let mut path = String::new();
        self.keys.push_path(at.node, &mut path);
        let At {
            element, in_list, ..
        } = at;
        self.seen
            .push(format!("{path} {element} {in_list} {text:?}"));
    }

    fn number(&mut self, at: At, number: &str) {
        let number: f64 = number.parse().expect("a number");
        self.text(at, &number.to_string());
    }
}

fn shown(line: &str) -> Result<Vec<String>, ScanError> {
    let mut all = All::default();
    walk(line, &mut all)?;
    Ok(all.seen)
}

/// The same from a parsed value; a `path` of `None` is the event itself.
fn expected(value: &Json, path: &str, at: (u32, bool), all: &mut (u32, Vec<String>)) {
    let (element, in_list) = at;
    match value {
        Json::String(text) => all.1.push(format!("{path} {element} {in_list} {text:?}")),
        Json::Number(number) => {
            let number = number.as_f64().expect("a number").to_string();
            all.1.push(format!("{path} {element} {in_list} {number:?}"));
        }
        Json::Array(list) => {
            for one in list {
                let mut element = element;
                if one.is_object() {
                    all.0 += 1;
                    element = all.0;
                }
                expected(one, path, (element, true), all);
            }
        }
        Json::Object(fields) => {
            for (key, field) in fields {
                let path = match path {
                    "" => key.clone(),
                    _ => format!("{path}.{key}"),
                };
                expected(field, &path, at, all);
            }
        }
        Json::Null | Json::Bool(_) => {}
    }
}

fn json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<i32>().prop_map(|eighths| Json::from(f64::from(eighths) / 8.0)),
        (-20i32..53).prop_map(|power| Json::from(f64::from(power).exp2())),
        any::<String>().prop_map(Json::from),
        "[a-z\"\\\\]{0,20}".prop_map(Json::from),
    ];
    let key = prop_oneof!["[a-z_.]{1,8}", "[\"\\\\ü\n]{1,2}"];
    let value = leaf.prop_recursive(4, 32, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Json::from),
            prop::collection::hash_map(key.clone(), inner, 0..6)
                .prop_map(|fields| Json::Object(fields.into_iter().collect())),
        ]
    });
    prop::collection::hash_map("[a-z]{1,3}", value, 0..6)
        .prop_map(|fields| Json::Object(fields.into_iter().collect()))
}

#[test]
fn a_key_that_looks_like_the_one_before_is_another() {
    let mut all = All::default();
    for (line, seen) in [
        (
            r#"{"a\\b":"x","c":"x"}"#,
            [r#"a\b 0 false "x""#, r#"c 0 false "x""#],
        ),
        (
            r#"{"a\b":"x","cd":"x"}"#,
            ["a\u{8} 0 false \"x\"", r#"cd 0 false "x""#],
        ),
        (
            r#"{"a\\b":"x","c":"x"}"#,
            [r#"a\b 0 false "x""#, r#"c 0 false "x""#],
        ),
    ] {
        walk(line, &mut all).expect("an object");
        assert_eq!(all.seen, seen, "{line}");
    }
}

proptest! {
    #[test]
    fn shows_every_value_with_its_place(event in json(), pretty: bool) {
        let line = if pretty { format!("{event:#}") } else { event.to_string() };
        let mut all = (0, Vec::new());
        expected(&event, "", (0, false), &mut all);
        prop_assert_eq!(shown(&line).expect("an event"), all.1);
    }

    #[test]
    fn accepts_json_and_nothing_else(
        tail in "[]\\[{}:,\"\\\\ub0-9e+.a -]{0,24}",
        wild: String,
        number in "-?[0-9.eE+-]{0,6}",
        text in "[\\\\\"a-fu0-9\u{1f}\u{20}\n]{0,12}",
    ) {
        for line in [
            format!("{{{tail}"),
            format!("{{\"a\":{tail}}}"),
            format!("{{\"a\":{number}}}"),
            format!("{{\"src_ip\":\"{text}\"}}"),
            format!("{{\"{text}\":\"x\" }} "),
            wild,
        ] {
            let parsed = serde_json::from_str::<Json>(&line);
            let is_event = parsed.is_ok_and(|value| value.is_object());
            prop_assert_eq!(shown(&line).is_ok(), is_event, "{}", line);
        }
    }

    #[test]
    fn plain_text_ends_where_it_ends(text in "[ -~\u{1}\u{7f}-\u{ff}]{0,40}") {
        let is_special = |byte: u8| matches!(byte, b'"' | b'\\' | 0..=0x1f);
        let end = text.bytes().position(is_special).unwrap_or(text.len());
        prop_assert_eq!(plain_length(text.as_bytes()), end);
    }
}
