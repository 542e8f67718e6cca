//! Literals of VAST's query language, as its parser reads them (measured): a backslash is
//! literal, except before a quote.

/// Why no literal can contain a text. One such literal would invalidate the whole query.
pub(in super::super) fn why_not(text: &str) -> Option<&'static str> {
    if text.contains(|c: char| c.is_ascii_control()) {
        Some("no query of VAST can hold a control character")
    } else if text.ends_with('\\') {
        Some("no query of VAST can hold a text that ends with a backslash")
    } else {
        None
    }
}

/// A literal for a text, if it can be expressed.
pub(super) fn literal(text: &str) -> Option<String> {
    if why_not(text).is_some() {
        return None;
    }
    let mut out = String::with_capacity(text.len() + 2);
    quote(&mut out, text);
    Some(out)
}

/// Writes the literal of a text for which there is [no reason against](why_not).
pub(super) fn quote(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        if character == '"' {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

/// The text that VAST stores for a text from EVE if its JSON has escapes: VAST keeps all
/// of them except `\"`. Some writers escape slashes, and some escape non-ASCII
/// characters, with digits of either case. Each variant is returned once, without the
/// text itself.
pub(super) fn kept_escapes(text: &str) -> Vec<String> {
    const WAYS: [Escapes; 4] = [
        // Suricata 6 and later.
        Escapes::new(false, None),
        Escapes::new(false, Some(false)),
        // Suricata until 5.
        Escapes::new(true, Some(true)),
        Escapes::new(true, None),
    ];
    let mut found: Vec<String> = Vec::new();
    for way in WAYS {
        let kept = way.write(text);
        if kept != text && !found.contains(&kept) {
            found.push(kept);
        }
    }
    found
}

/// How a JSON writer uses optional escapes.
#[derive(Clone, Copy)]
struct Escapes {
    slashes: bool,
    /// Whether non-ASCII is escaped, and if so with upper-case digits.
    foreign: Option<bool>,
}

impl Escapes {
    const fn new(slashes: bool, foreign: Option<bool>) -> Self {
        Escapes { slashes, foreign }
    }

    fn write(self, text: &str) -> String {
        let mut out = String::with_capacity(text.len());
        for character in text.chars() {
            match (character, self.foreign) {
                ('\\', _) => out.push_str("\\\\"),
                ('/', _) if self.slashes => out.push_str("\\/"),
                (character, Some(capital)) if !character.is_ascii() => {
                    for unit in character.encode_utf16(&mut [0; 2]) {
                        out.push_str(&if capital {
                            format!("\\u{unit:04X}")
                        } else {
                            format!("\\u{unit:04x}")
                        });
                    }
                }
                (character, _) => out.push(character),
            }
        }
        out
    }
}

/// An event as the sensor wrote it: undoes in its JSON text what [`kept_escapes`]
/// describes. `None` if there is nothing to undo, as in all events of Zeek.
pub(super) fn restored(event: &str) -> Option<String> {
    let is_eve = memchr::memmem::find(event.as_bytes(), b"\"event_type\"").is_some();
    if !is_eve || memchr::memmem::find(event.as_bytes(), b"\\\\").is_none() {
        return None;
    }
    let mut text = String::with_capacity(event.len());
    let mut rest = event;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escape = &rest[at..];
        let length = match escape.strip_prefix("\\\\") {
            // One backslash in the value: the beginning of a kept escape.
            Some(behind) => {
                let (kept, length) = match behind.as_bytes() {
                    [b'\\', b'\\', ..] => (&escape[..2], 4),
                    [b'u', digits @ ..] if is_unit(digits) => (&escape[1..7], 7),
                    [b'/' | b'b' | b'f' | b'n' | b'r' | b't', ..] => (&escape[1..3], 3),
                    _ => (&escape[..2], 2),
                };
                text.push_str(kept);
                length
            }
            None => {
                let second = escape[1..].chars().next().map_or(0, char::len_utf8);
                text.push_str(&escape[..1 + second]);
                1 + second
            }
        };
        rest = &escape[length..];
    }
    text.push_str(rest);
    Some(text)
}

fn is_unit(digits: &[u8]) -> bool {
    digits
        .get(..4)
        .is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a literal means by the rules of the engine's parser.
    fn read(literal: &str) -> Option<String> {
        let mut text = String::new();
        let mut rest = literal.strip_prefix('"')?;
        loop {
            if let Some(behind) = rest.strip_prefix("\\\"") {
                text.push('"');
                rest = behind;
            } else if let Some(behind) = rest.strip_prefix('"') {
                return behind.is_empty().then_some(text);
            } else {
                let first = rest.chars().next()?;
                text.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }

    #[test]
    fn a_backslash_stays_one() {
        for (text, expected) in [
            (r"a\b", r#""a\b""#),
            (r"a\\b", r#""a\\b""#),
            (r#"a\"b"#, r#""a\\"b""#),
            ("ü", "\"ü\""),
        ] {
            assert_eq!(literal(text).as_deref(), Some(expected));
        }
        for text in ["a\\", "a\tb", "a\u{7f}"] {
            assert_eq!(literal(text), None, "{text:?}");
        }
    }

    #[test]
    fn escapes_are_queried_as_they_are_kept() {
        assert_eq!(kept_escapes("evil.example"), Vec::<String>::new());
        assert_eq!(kept_escapes("/a"), [r"\/a"]);
        assert_eq!(kept_escapes(r"a\b"), [r"a\\b"]);
        assert_eq!(kept_escapes("/é"), [r"/\u00e9", r"\/\u00E9", r"\/é"]);
    }

    #[test]
    fn an_event_is_as_the_sensor_wrote_it() {
        let stored =
            r#"{"event_type":"http","url":"\\/a\\u00fc","x":"\\\\s\\\\\"q\"","y":"\n\\n\\q"}"#;
        let sent = r#"{"event_type":"http","url":"\/a\u00fc","x":"\\s\\\"q\"","y":"\n\n\\q"}"#;
        assert_eq!(restored(stored).as_deref(), Some(sent));
        assert_eq!(restored(r#"{"uri": "\\/a"}"#), None);
        assert_eq!(restored(r#"{"event_type":"http"}"#), None);
    }

    proptest! {
        #[test]
        fn the_engine_reads_the_text(text in any::<String>()) {
            match literal(&text) {
                Some(literal) => prop_assert_eq!(read(&literal), Some(text)),
                None => prop_assert!(why_not(&text).is_some()),
            }
        }

        /// For any JSON writer and any text.
        #[test]
        fn what_was_kept_is_restored(text in "[a-z\\\\/\"üß😀n]{0,12}") {
            for kept in kept_escapes(&text) {
                let event = serde_json::json!({"event_type": "x", "v": kept}).to_string();
                // A quotation mark has lost its backslash.
                prop_assume!(!text.contains('"') || !text.contains('\\'));
                let sent = restored(&event).unwrap_or(event);
                let sent: serde_json::Value = serde_json::from_str(&sent).expect("JSON");
                prop_assert_eq!(sent["v"].as_str(), Some(&*text));
            }
        }
    }
}
