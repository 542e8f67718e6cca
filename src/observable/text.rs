//! Texts that are compared as they are, in Unicode's composed form (NFC).

use std::borrow::Cow;

use icu_normalizer::ComposingNormalizerBorrowed;

/// The text in NFC.
pub fn nfc(text: &str) -> Cow<'_, str> {
    if text.is_ascii() {
        return Cow::Borrowed(text);
    }
    ComposingNormalizerBorrowed::new_nfc().normalize(text)
}

/// Returns the canonical form of a distinguished name: `C=US, O=X, CN=y`, `CN=y,O=X,C=US`
/// and `/C=US/O=X/CN=y` are the same name. The parts are sorted, since the order depends
/// on the writer.
pub fn distinguished_name(text: &str) -> String {
    let mut parts: Vec<String> = parts_of_name(text)
        .map(|(name, value)| format!("{}={value}", name.to_ascii_uppercase()))
        .collect();
    if parts.is_empty() {
        return nfc(text.trim()).into_owned();
    }
    parts.sort_unstable();
    nfc(&parts.join(",")).into_owned()
}

/// The common name in a distinguished name.
pub fn common_name(text: &str) -> Option<&str> {
    // Most callers only want the common name: avoid the allocation.
    let mut parts = parts_of_name(text);
    let is_common = |name: &str| name.eq_ignore_ascii_case("CN");
    parts.find(|(name, _)| is_common(name)).map(|(_, value)| {
        let inner = value
            .strip_prefix('"')
            .and_then(|rest| rest.strip_suffix('"'));
        inner.unwrap_or(value)
    })
}

/// The attributes of a distinguished name with their values, in their original spelling.
fn parts_of_name(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let (rest, separator) = match text.strip_prefix('/') {
        Some(rest) => (rest, b'/'),
        None if has_slashes(text) => (text, b'/'),
        None => (text, b','),
    };
    let mut rest = rest;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let mut escaped = false;
            let mut quoted = false;
            let end = rest.bytes().enumerate().position(|(at, byte)| {
                let was_escaped = std::mem::replace(&mut escaped, false);
                match byte {
                    b'\\' => escaped = !was_escaped,
                    b'"' if !was_escaped => quoted = !quoted,
                    _ if was_escaped || quoted => {}
                    // Several attributes in one entry: `OU=x+CN=y`.
                    b'+' => return begins_attribute(&rest[at + 1..]),
                    _ => return byte == separator,
                }
                false
            });
            let end = end.unwrap_or(rest.len());
            let part = &rest[..end];
            rest = rest.get(end + 1..).unwrap_or_default();
            if let Some((name, value)) = part.split_once('=') {
                return Some((name.trim(), value.trim()));
            }
        }
        None
    })
}

/// Whether slashes separate the parts of a name that does not begin with one:
/// `C=US/CN=x`.
fn has_slashes(text: &str) -> bool {
    !text.contains(',') && text.contains('/') && text.split('/').all(begins_attribute)
}

/// Whether a text begins with the name of an attribute: `CN=`, `2.5.4.3=`.
fn begins_attribute(text: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'.';
    text.split_once('=').is_some_and(|(name, _)| {
        let name = name.trim();
        !name.is_empty() && name.bytes().all(is_of_name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn composed_and_decomposed_letters_are_one() {
        assert_eq!(nfc("u\u{308}"), "\u{fc}");
        assert!(matches!(nfc("plain"), Cow::Borrowed("plain")));
    }

    #[test]
    fn a_distinguished_name_has_one_form() {
        for text in [
            "C=US, O=Let's Encrypt, CN=R3",
            "CN=R3,O=Let's Encrypt,C=US",
            "/C=US/O=Let's Encrypt/CN=R3",
            "c=US , cn=R3, o=Let's Encrypt",
        ] {
            let form = distinguished_name(text);
            assert_eq!(form, "C=US,CN=R3,O=Let's Encrypt", "{text}");
        }
        assert_eq!(distinguished_name("plain"), "plain");
        assert_eq!(distinguished_name("O=a\\, b,CN=x"), "CN=x,O=a\\, b");
    }

    #[test]
    fn the_common_name_is_found() {
        for (text, expected) in [
            ("CN=evil.example", Some("evil.example")),
            ("C=US, O=X, CN=evil.example", Some("evil.example")),
            ("O=\"CN=no, CN=no\", cn=yes", Some("yes")),
            ("O=a\\,CN=no", None),
            ("/C=US/CN=evil.example", Some("evil.example")),
            ("C=US/O=x/CN=evil.example", Some("evil.example")),
            ("OU=x+CN=evil.example", Some("evil.example")),
            ("OU=a+b, CN=evil.example", Some("evil.example")),
            ("O=a/b, CN=evil.example", Some("evil.example")),
            ("O=b, CN=\"evil.example\"", Some("evil.example")),
            ("O=a/CN", None),
            ("XCN=evil.example", None),
            ("", None),
        ] {
            assert_eq!(common_name(text), expected, "{text}");
        }
    }
}
