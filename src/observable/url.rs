//! URLs: one canonical form for feeds and events.
//!
//! `scheme://host[:port]/target`, or `//host[:port]/target` if the scheme is unknown, or
//! only `/target`. Scheme and host are in lower case, and the host is a domain or an
//! address in its own canonical form. The scheme's default port, the user and the
//! fragment are dropped. An empty path is `/`. Escapes of unreserved characters are
//! decoded and others have upper-case digits (RFC 3986, section 6.2.2); blanks and
//! non-ASCII characters are escaped (RFC 3987, section 3.1). The query keeps its order.
//! Dot segments, backslashes and numeric hosts are unchanged, since logs show what was
//! requested and not what a browser makes of it.

use std::borrow::Cow;
use std::fmt::Write;
use std::net::IpAddr;

use super::not_a_value::NotAValue;
use super::{address, domain};

/// What a URL is called in messages.
const URL: &str = "URL";

/// The parts of a canonical URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlComponents<'a> {
    /// `None` if the URL does not tell.
    pub scheme: Option<&'a str>,
    /// A domain, or an address without brackets; `None` for a target without a host.
    pub host: Option<&'a str>,
    /// `None` if the URL does not tell, or if it is the scheme's default.
    pub port: Option<u16>,
    /// Path and query, beginning with `/`.
    pub target: &'a str,
}

/// Splits a canonical URL into its parts.
pub fn parts(canonical: &str) -> UrlComponents<'_> {
    let alone = |target| UrlComponents {
        scheme: None,
        host: None,
        port: None,
        target,
    };
    let (scheme, rest) = match canonical.strip_prefix("//") {
        Some(rest) => (None, rest),
        None => match split_scheme(canonical) {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => return alone(canonical),
        },
    };
    let end = rest.find('/').unwrap_or(rest.len());
    let (host, port) = address::host_and_port(&rest[..end]);
    UrlComponents {
        scheme,
        host: Some(host),
        port,
        target: &rest[end..],
    }
}

/// Lower-cases scheme and host of a pattern for whole URLs, since canonical URLs are
/// written so. A pattern that does not begin with a scheme is unchanged.
pub fn with_lower_host(pattern: &str) -> Cow<'_, str> {
    let Some((scheme, rest)) = pattern.split_once("://") else {
        return Cow::Borrowed(pattern);
    };
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'%' | b'_');
    if !scheme.bytes().all(is_plain) {
        return Cow::Borrowed(pattern);
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (front, tail) = pattern.split_at(scheme.len() + "://".len() + end);
    Cow::Owned(front.to_ascii_lowercase() + tail)
}

/// The default port of a scheme.
pub fn own_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" | "ws" => Some(80),
        "https" | "wss" => Some(443),
        "ftp" => Some(21),
        _ => None,
    }
}

/// Reads a feed's value that is known to be a URL: whole, without a scheme, or only the
/// target.
///
/// # Errors
/// The text is not a URL; the error says why.
pub fn parse(text: &str) -> Result<String, NotAValue> {
    if text.contains(char::is_control) {
        return Err(NotAValue::because(text, URL, "it has a control character"));
    }
    if text.starts_with('/') && !text.starts_with("//") {
        let mut target = String::new();
        write_target(text, &mut target);
        return Ok(target);
    }
    let front = text.split('/').next().unwrap_or_default();
    if front.ends_with(':') && text[front.len()..].starts_with("//") && !is_whole(text) {
        let why = "what precedes its `://` is no scheme";
        return Err(NotAValue::because(text, URL, why));
    }
    if is_canonical(text) {
        return Ok(text.to_owned());
    }
    let mut whole = String::with_capacity(text.len() + 1);
    match read(text, &mut whole) {
        Ok(()) => Ok(whole),
        Err(why) => Err(NotAValue::because(text, URL, why)),
    }
}

/// Reads a value that may or may not be a URL: it needs a scheme and a host, or a host
/// that is an address or a name with a dot, and neither blanks nor the syntax of a table.
///
/// # Errors
/// The text is not a URL; the error says why.
pub fn parse_evident(text: &str) -> Result<String, NotAValue> {
    let why_not = |why: &str| Err(NotAValue::because(text, URL, why));
    if text.contains(char::is_whitespace) {
        return why_not("it has a blank");
    }
    if text.contains("\",\"") {
        return why_not("it has the syntax of a table");
    }
    if text.starts_with('/') && !text.starts_with("//") {
        return why_not("it has no host");
    }
    let has_scheme = text.contains("://");
    if !has_scheme && !text.starts_with("//") {
        let end = text.find(['/', '?', '#']).unwrap_or(text.len());
        if text[end..].starts_with('#') {
            return why_not("a `#` follows its host");
        }
        if is_row(text) {
            return why_not("it looks like a row of a table");
        }
    }
    let canonical = parse(text)?;
    if !has_scheme {
        let UrlComponents { host, target, .. } = parts(&canonical);
        let host = host.unwrap_or_default();
        let is_mask = |byte: u8| byte.is_ascii_digit() || byte == b'.';
        if address::read(host).is_some() && target[1..].bytes().all(is_mask) && target != "/" {
            return why_not("it is no network either");
        }
        if address::read(host).is_none() && !domain::is_evident(host) {
            return why_not("it has no scheme, and its host is no evident name");
        }
    }
    Ok(canonical)
}

/// Whether words follow a delimiter, as in `evil.example/x,malware` and `192.0.2.0/24;`.
fn is_row(text: &str) -> bool {
    let is_word = |letter: char| letter.is_alphanumeric() || "_-.:+()".contains(letter);
    let mut cells = text.split([',', ';', '|']);
    let is_in_query = cells.next().is_some_and(|first| first.contains('?'));
    let mut others = cells.peekable();
    !is_in_query && others.peek().is_some() && others.all(|cell| cell.chars().all(is_word))
}

/// Whether a text is a whole URL, with a scheme and a host.
pub fn is_whole(text: &str) -> bool {
    split_scheme(text).is_some()
}

/// Splits off the scheme and its `://`.
fn split_scheme(text: &str) -> Option<(&str, &str)> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    let end = text.bytes().position(|byte| !is_plain(byte))?;
    let rest = text[end..].strip_prefix("://")?;
    text.as_bytes()[0]
        .is_ascii_alphabetic()
        .then_some((&text[..end], rest))
}

/// Returns the canonical form of a URL with a host: `text`, or what was written to
/// `buffer`.
///
/// # Errors
/// The text is not such a URL; the error says why.
pub fn whole<'t>(text: &'t str, buffer: &'t mut String) -> Result<&'t str, &'static str> {
    if is_canonical(text) {
        return Ok(text);
    }
    buffer.clear();
    read(text, buffer)?;
    Ok(buffer)
}

/// A quick check for the canonical form, which most URLs in logs have. A URL with a port
/// or with an address as its host is left to [`read`].
fn is_canonical(text: &str) -> bool {
    let Some((scheme, rest)) = split_scheme(text) else {
        return false;
    };
    let Some(end) = memchr::memchr(b'/', rest.as_bytes()) else {
        return false;
    };
    let (host, target) = rest.split_at(end);
    !scheme.bytes().any(|byte| byte.is_ascii_uppercase())
        && domain::is_canonical(host)
        && address::read(host).is_none()
        && target.bytes().all(is_plain_in_target)
}

/// Whether a byte of a target is the same in every spelling.
fn is_plain_in_target(byte: u8) -> bool {
    byte.is_ascii() && !matches!(byte, b'%' | b'#' | b' ')
}

/// Appends the canonical form of a URL with a host to `whole`.
///
/// # Errors
/// The text is not such a URL; the error says why.
pub fn read(text: &str, whole: &mut String) -> Result<(), &'static str> {
    let (scheme, rest) = match split_scheme(text) {
        Some((scheme, rest)) => (Some(scheme), rest),
        None => (None, text.strip_prefix("//").unwrap_or(text)),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let authority = match authority.rsplit_once('@') {
        Some(_) if scheme.is_none() => return Err("it has a user and no scheme"),
        Some((_, authority)) => authority,
        None => authority,
    };
    let scheme = scheme.map(str::to_ascii_lowercase);
    if let Some(scheme) = &scheme {
        whole.push_str(scheme);
        whole.push(':');
    }
    whole.push_str("//");
    let (host, port) = split_port(authority)?;
    write_host(host, whole)?;
    let own = scheme.as_deref().and_then(own_port);
    if let Some(port) = port.filter(|port| Some(*port) != own) {
        write!(whole, ":{port}").expect("writing to a string cannot fail");
    }
    write_target(target, whole);
    Ok(())
}

/// Splits an authority into the host, with its brackets, and the port.
fn split_port(authority: &str) -> Result<(&str, Option<u16>), &'static str> {
    let (host, rest) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']').ok_or("its host has one bracket")? {
            (host, _) if !host.contains(':') => return Err("its host is in brackets"),
            parts => parts,
        },
        None => match authority.find(':') {
            Some(at) => authority.split_at(at),
            None => (authority, ""),
        },
    };
    let digits = match rest.strip_prefix(':') {
        Some(digits) => digits,
        None if rest.is_empty() => "",
        None => return Err("something follows its host"),
    };
    match digits {
        "" => Ok((host, None)),
        _ => match address::port(digits) {
            Some(port) if port > 0 => Ok((host, Some(port))),
            _ => Err("its port can be 1 to 65535"),
        },
    }
}

fn write_host(host: &str, whole: &mut String) -> Result<(), &'static str> {
    if host.is_empty() {
        return Err("it has no host");
    }
    match address::read(host) {
        Some(IpAddr::V4(address)) => write!(whole, "{address}"),
        Some(IpAddr::V6(address)) => write!(whole, "[{address}]"),
        None if host.contains('%') => {
            let mut decoded = String::new();
            write_escaped(host, &mut decoded);
            let name = domain::parse(&decoded).map_err(|_| "its host is no name")?;
            whole.write_str(&name)
        }
        None => {
            let name = domain::parse(host).map_err(|_| "its host is no name")?;
            whole.write_str(&name)
        }
    }
    .expect("writing to a string cannot fail");
    Ok(())
}

/// Appends the canonical form of what follows the host to `out`.
pub fn write_target(target: &str, out: &mut String) {
    let target = target.split('#').next().unwrap_or_default();
    if !target.starts_with('/') {
        out.push('/');
    }
    write_escaped(target, out);
}

/// Appends the canonical form of a query without a path to `out`.
pub fn write_query(query: &str, out: &mut String) {
    out.push('?');
    write_escaped(query.strip_prefix('?').unwrap_or(query), out);
}

/// Returns the canonical form of a request's target: `text`, or what was written to
/// `buffer`.
pub fn target<'t>(text: &'t str, buffer: &'t mut String) -> &'t str {
    if text.starts_with('/') && text.bytes().all(is_plain_in_target) {
        return text;
    }
    buffer.clear();
    write_target(text, buffer);
    buffer
}

/// Normalizes escapes: those of unreserved characters are decoded, others get upper-case
/// digits, and blanks and non-ASCII characters are escaped.
fn write_escaped(text: &str, out: &mut String) {
    let bytes = text.as_bytes();
    // Most texts are in canonical form to their end.
    let end = bytes.iter().position(|byte| !is_plain_in_target(*byte));
    let mut at = end.unwrap_or(bytes.len());
    out.push_str(&text[..at]);
    while let Some(&byte) = bytes.get(at) {
        at += 1;
        let escaped = match byte {
            b'%' => bytes.get(at..at + 2).and_then(hexadecimal),
            _ => None,
        };
        match (escaped, byte) {
            (Some(byte), _) => {
                at += 2;
                if is_unreserved(byte) {
                    out.push(char::from(byte))
                } else {
                    write!(out, "%{byte:02X}").expect("writing to a string cannot fail")
                }
            }
            (None, b' ' | 0x80..) => {
                write!(out, "%{byte:02X}").expect("writing to a string cannot fail")
            }
            (None, byte) => out.push(char::from(byte)),
        }
    }
}

fn hexadecimal(digits: &[u8]) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    let value = digit(digits[0])? * 16 + digit(digits[1])?;
    u8::try_from(value).ok()
}

/// RFC 3986, section 2.3.
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_blank_is_escaped_or_not_in_logs() {
        let mut buffer = String::new();
        for text in ["/a b?c d", "/a%20b?c%20d"] {
            assert_eq!(target(text, &mut buffer), "/a%20b?c%20d", "{text}");
        }
        let whole = parse("http://evil.example/a b").expect("a URL");
        assert_eq!(whole, "http://evil.example/a%20b");
    }

    #[test]
    fn a_pattern_has_no_case_up_to_the_host() {
        for (pattern, lower) in [
            ("HTTP://Evil.example/A%", "http://evil.example/A%"),
            ("%://%.Evil.example:80", "%://%.evil.example:80"),
            ("HTTPS://Evil.example?A", "https://evil.example?A"),
            ("Evil.example/A", "Evil.example/A"),
            ("/r?u=HTTP://Evil.example/", "/r?u=HTTP://Evil.example/"),
        ] {
            assert_eq!(with_lower_host(pattern), lower, "{pattern}");
        }
    }

    #[test]
    fn a_url_has_one_form() {
        for (text, form) in [
            ("http://evil.example/a?b=c", "http://evil.example/a?b=c"),
            ("HTTP://Evil.EXAMPLE./a", "http://evil.example/a"),
            ("http://evil.example", "http://evil.example/"),
            ("http://evil.example?x", "http://evil.example/?x"),
            ("http://evil.example:80/", "http://evil.example/"),
            ("https://evil.example:443/", "https://evil.example/"),
            ("http://evil.example:443/", "http://evil.example:443/"),
            ("http://evil.example:/", "http://evil.example/"),
            ("ftp://u:p@evil.example:21/x", "ftp://evil.example/x"),
            ("http://u@v@evil.example/", "http://evil.example/"),
            ("http://evil.example/a#b?c", "http://evil.example/a"),
            (
                "http://evil.example/%7eA%2fb%3F",
                "http://evil.example/~A%2Fb%3F",
            ),
            ("http://evil.example/%zz%", "http://evil.example/%zz%"),
            ("http://evil.example/ü", "http://evil.example/%C3%BC"),
            ("http://evil.example/%c3%bc", "http://evil.example/%C3%BC"),
            (
                "http://evil.example/a/../b\\c",
                "http://evil.example/a/../b\\c",
            ),
            ("http://bücher.example/", "http://xn--bcher-kva.example/"),
            ("http://%65vil.example/", "http://evil.example/"),
            ("http://[2001:DB8::1]:80/", "http://[2001:db8::1]/"),
            ("http://[::ffff:192.0.2.1]/", "http://192.0.2.1/"),
            ("http://3221225985/", "http://3221225985/"),
            ("evil.example/x", "//evil.example/x"),
            ("evil.example:80/x", "//evil.example:80/x"),
            ("//evil.example/x", "//evil.example/x"),
            ("/gate.php?a=%41", "/gate.php?a=A"),
        ] {
            assert_eq!(parse(text).as_deref(), Ok(form), "{text}");
            assert_eq!(parse(form).as_deref(), Ok(form), "{form}");
        }
    }

    #[test]
    fn a_canonical_url_has_parts() {
        let of = |scheme, host, port, target| UrlComponents {
            scheme,
            host,
            port,
            target,
        };
        for (url, expected) in [
            (
                "http://a.example/x//y",
                of(Some("http"), Some("a.example"), None, "/x//y"),
            ),
            (
                "//a.example:80/",
                of(None, Some("a.example"), Some(80), "/"),
            ),
            (
                "ftp://[2001:db8::1]:22/",
                of(Some("ftp"), Some("2001:db8::1"), Some(22), "/"),
            ),
            ("/x?y=http://z/", of(None, None, None, "/x?y=http://z/")),
            ("/a//b", of(None, None, None, "/a//b")),
        ] {
            assert_eq!(parts(url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_no_url_is_named() {
        for (text, words) in [
            ("", "no host"),
            ("http://", "no host"),
            ("http:///x", "no host"),
            ("http://a:b:c/", "port"),
            ("http://a.example:99999/", "1 to 65535"),
            ("http://[::1/", "bracket"),
            ("[evil.example]", "in brackets"),
            ("[http]://evil.example/x", "no scheme"),
            ("h__p://evil.example/x", "no scheme"),
            ("http://[::1]x/", "follows its host"),
            ("http://a b/", "no name"),
            ("http://a\nb/", "control"),
            ("mailto:x@a.example", "a user and no scheme"),
        ] {
            let error = parse(text).expect_err(text).to_string();
            assert!(error.contains(words), "{error}");
        }
    }

    #[test]
    fn only_what_is_evident_is_one_in_a_list() {
        for text in [
            "http://evil/x",
            "evil.example/x",
            "192.0.2.1/x",
            "192.0.2.1:8080/x",
            "evil.example:8080",
            "http://evil.example/a,b",
            "evil.example/a,b/c",
            "evil.example/x?a=b,c",
            "evil.example/x#y",
        ] {
            assert!(parse_evident(text).is_ok(), "{text}");
        }
        for text in [
            "N/A",
            "and/or",
            "/gate.php",
            "http://evil.example/a b",
            "\"1\",\"http://evil.example/\",\"x\"",
            "1.2.3/4",
            "192.0.2.0/33",
            "javascript:alert",
            "h__p://evil.example/x",
            "index.php?x=1",
            "payload.exe/x",
            "192.0.2.1#c2",
            "evil.example#phishing",
            "192.0.2.1#4#2#Scanning",
            "192.0.2.0/24,",
            "192.0.2.0/24;c2",
            "evil.example/x,malware,2024-05-01",
            "evil.example:80|c2",
        ] {
            assert!(parse_evident(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn the_form_of_a_form_is_the_same(text in "(https?://)?[a-zA-Z0-9.:@\\[\\]%]{0,12}[/?#]?[ -~ü]{0,12}") {
            if let Ok(form) = parse(&text) {
                prop_assert_eq!(parse(&form), Ok(form.clone()), "{}", text);
                let UrlComponents { host, target, .. } = parts(&form);
                prop_assert!(target.starts_with('/') && host != Some(""), "{}", form);
            }
        }

        #[test]
        fn what_is_canonical_at_a_glance_is(text in "(https?|Ftp)://[a-c0-9.:@A_*-]{0,12}[/?#]?[ -~ü]{0,12}") {
            let (mut form, mut buffer) = (String::new(), String::new());
            let read = read(&text, &mut form).map(|()| &*form);
            prop_assert_eq!(whole(&text, &mut buffer), read);
        }

        #[test]
        fn a_target_has_the_form_that_the_url_has(text in "/[ -~ü]{0,16}") {
            let url = parse(&format!("http://a.example{text}")).expect("a URL");
            let mut buffer = String::new();
            prop_assert_eq!(target(&text, &mut buffer), parts(&url).target);
        }
    }
}
