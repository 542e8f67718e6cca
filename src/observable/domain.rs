//! Domain names, their canonical form, and the names below them.

use std::borrow::Cow;

use idna::AsciiDenyList;
use idna::uts46::{DnsLength, Hyphens, Uts46};

use super::not_a_value::NotAValue;

/// The longest name in bytes (RFC 1035, section 2.3.4).
const LONGEST_NAME: usize = 255;

/// The longest label in bytes.
const LONGEST_LABEL: usize = 63;

/// Returns the canonical form of a name: lower-case ASCII without the trailing dot;
/// letters of other scripts are `xn--` (UTS 46, non-transitional; neither the STD3 rules
/// nor those for hyphens apply, since `_ldap` and `r1---sn` are names). The result is
/// `text` or what was written to `buffer`. A text that cannot be a name is only
/// lower-cased.
pub fn read<'t>(text: &'t str, buffer: &'t mut String) -> &'t str {
    let is_plain = |byte: u8| byte.is_ascii() && !byte.is_ascii_uppercase();
    if text.bytes().all(is_plain) {
        return without_root(text);
    }
    buffer.clear();
    match is_ascii_or_mapped(text) {
        Some(mapped) => buffer.push_str(&mapped),
        None => buffer.push_str(text),
    }
    buffer.make_ascii_lowercase();
    without_root(buffer)
}

/// Returns ASCII unchanged; maps other text by UTS 46, where possible.
fn is_ascii_or_mapped(text: &str) -> Option<Cow<'_, str>> {
    if text.is_ascii() {
        return Some(Cow::Borrowed(text));
    }
    let mapped = Uts46::new().to_ascii(
        text.as_bytes(),
        AsciiDenyList::EMPTY,
        Hyphens::Allow,
        DnsLength::Ignore,
    );
    mapped.ok()
}

fn without_root(text: &str) -> &str {
    text.strip_suffix('.').unwrap_or(text)
}

/// The name in the letters of its script, if these differ from the canonical form.
pub fn unicode(canonical: &str) -> Option<String> {
    if !canonical.contains("xn--") {
        return None;
    }
    let (text, _) =
        Uts46::new().to_unicode(canonical.as_bytes(), AsciiDenyList::EMPTY, Hyphens::Allow);
    (text != canonical).then(|| text.into_owned())
}

/// Reads a name as a feed writes it and returns its canonical form.
///
/// # Errors
/// The text is not a name; the error says why.
pub fn parse(text: &str) -> Result<String, NotAValue> {
    const DOMAIN_NAME: &str = "domain name";
    let why_not = |why: &str| Err(NotAValue::because(text, DOMAIN_NAME, why));
    if is_ascii_or_mapped(text).is_none() {
        return why_not("it has letters that no name can have");
    }
    let mut buffer = String::new();
    let name = read(text, &mut buffer);
    if name.is_empty() {
        return why_not("it is empty");
    }
    if let Some(byte) = name.bytes().find(|byte| is_forbidden(*byte)) {
        return why_not(&format!("{:?} is not allowed in a name", char::from(byte)));
    }
    if name
        .split('.')
        .any(|label| label.is_empty() || label.len() > LONGEST_LABEL)
    {
        return why_not("a label has 1 to 63 characters");
    }
    if name.len() > LONGEST_NAME {
        return why_not("it has more than 255 characters");
    }
    Ok(name.to_owned())
}

/// Whether a byte belongs to the syntax of URLs, lists or texts and so never occurs in a
/// host name (WHATWG's forbidden ones, quotation marks, commas and the like).
fn is_forbidden(byte: u8) -> bool {
    match byte {
        b'*' | b'-' | b'.' | b'_' => false,
        _ => byte.is_ascii_punctuation() || byte.is_ascii_control() || byte == b' ',
    }
}

/// A quick check for the canonical form: labels of lower-case letters, digits, `-` and
/// `_`.
pub(super) fn is_canonical(name: &str) -> bool {
    let mut label = 0;
    for byte in name.bytes() {
        match byte {
            b'.' if label == 0 => return false,
            b'.' => label = 0,
            b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' if label < LONGEST_LABEL => label += 1,
            _ => return false,
        }
    }
    label > 0 && name.len() <= LONGEST_NAME
}

/// Endings of the names of files that are no top-level domains, sorted.
static FILE_ENDINGS: [&str; 46] = [
    "7z", "asp", "aspx", "bat", "cmd", "csv", "dll", "dmg", "doc", "docm", "docx", "elf", "exe",
    "gif", "gz", "hta", "htm", "html", "ico", "iso", "jar", "jpeg", "jpg", "js", "json", "jsp",
    "lnk", "msi", "pdf", "php", "png", "ppt", "pptx", "ps1", "rar", "rtf", "scr", "swf", "txt",
    "vbs", "wsf", "xls", "xlsb", "xlsm", "xlsx", "xml",
];

/// Whether a canonical name is recognizable as a name without context: it has a dot, its
/// labels consist of letters, digits, `-` and `_`, and the last one can be a top-level
/// domain: it begins with a letter, has another character, and is no ending of a file.
pub(super) fn is_evident(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let last = name.rsplit('.').next().unwrap_or_default();
    name.contains('.')
        && name.bytes().all(is_plain)
        && last.len() > 1
        && last.as_bytes()[0].is_ascii_alphabetic()
        && FILE_ENDINGS.binary_search(&last).is_err()
}

/// Whether a text looks like the name of a file: it ends like one, and has no blank.
pub fn is_file_name(text: &str) -> bool {
    let ending = text
        .rsplit_once('.')
        .map(|(_, ending)| ending.to_ascii_lowercase());
    let is_one = |ending: String| FILE_ENDINGS.binary_search(&&*ending).is_ok();
    !text.contains(char::is_whitespace) && ending.is_some_and(is_one)
}

/// Whether `name` is below this domain. The domain itself is not.
pub fn is_subdomain(name: &str, domain: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name
            .strip_suffix(domain)
            .is_some_and(|front| front.len() > 1 && front.ends_with('.'))
}

/// The domains that a name can be below, the longest first.
pub fn domains_above(name: &str) -> impl Iterator<Item = &str> {
    let name = if name.len() > LONGEST_NAME { "" } else { name };
    let dots = name.match_indices('.').filter(|(at, _)| *at > 0);
    dots.map(|(at, _)| &name[at + 1..])
        .filter(|above| !above.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_has_one_form() {
        let mut buffer = String::new();
        for (text, form) in [
            ("evil.example", "evil.example"),
            ("Evil.EXAMPLE.", "evil.example"),
            ("BÜCHER.example", "xn--bcher-kva.example"),
            ("bücher.example.", "xn--bcher-kva.example"),
            ("xn--BCHER-kva.example", "xn--bcher-kva.example"),
            // Not "fussball".
            ("fußball.example", "xn--fuball-cta.example"),
            ("_ldap._tcp.Evil.example", "_ldap._tcp.evil.example"),
            ("r1---sn.example", "r1---sn.example"),
            ("evil。example", "evil.example"),
            ("xn--bogus--.example", "xn--bogus--.example"),
        ] {
            assert_eq!(read(text, &mut buffer), form, "{text}");
            assert_eq!(parse(text).as_deref(), Ok(form), "{text}");
        }
    }

    #[test]
    fn what_is_no_name_is_named() {
        for (text, words) in [
            ("", "it is empty"),
            (".", "it is empty"),
            ("a..b", "a label has"),
            ("a b.example", "' ' is not allowed in a name"),
            ("http://a.example", "':' is not allowed in a name"),
            ("a\u{0}b.example", "is not allowed in a name"),
            (&format!("{}.example", "a".repeat(64)), "a label has"),
            (&"a.".repeat(130), "255 characters"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn a_name_has_letters_of_its_script() {
        let form = unicode("xn--bcher-kva.example");
        assert_eq!(form.as_deref(), Some("bücher.example"));
        assert_eq!(unicode("evil.example"), None);
    }

    #[test]
    fn what_cannot_be_a_name_in_dns_is_not_evident() {
        assert!(FILE_ENDINGS.is_sorted());
        for name in [
            "evil.example",
            "a.xn--p1ai",
            "evil.zip",
            "_dmarc.evil.example",
        ] {
            assert!(is_evident(name), "{name}");
        }
        for name in [
            "evil",
            "192.0.2.x",
            "192.0.2.0-255",
            "192.0.2.300",
            "payload.exe",
            "index.php",
        ] {
            assert!(!is_evident(name), "{name}");
        }
        assert!(is_file_name("Payload.EXE") && is_file_name("12.html"));
        assert!(!is_file_name("evil.example") && !is_file_name("two words.php"));
    }

    #[test]
    fn a_subdomain_has_something_in_front() {
        for (name, expected) in [
            ("www.evil.example", true),
            ("evil.example", false),
            (".evil.example", false),
            ("notevil.example", false),
            ("evil.example.org", false),
        ] {
            assert_eq!(is_subdomain(name, "evil.example"), expected, "{name}");
            let above = domains_above(name).any(|one| one == "evil.example");
            assert_eq!(above, expected, "{name}");
        }
        let long = format!("{}.evil.example", "a".repeat(255));
        assert!(!is_subdomain(&long, "evil.example") && domains_above(&long).next().is_none());
    }
}
