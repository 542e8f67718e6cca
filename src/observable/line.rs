//! Reads the lines of a list of values.

use super::domain::{self, is_evident};
use super::not_a_value::NotAValue;
use super::{Observable, Property, hash, refang};

/// What a list can hold, for messages.
const LISTED_VALUE: &str = "address, network, range of addresses, address with a port, hash, JA4, mail address, domain or URL";

/// Reads the values in a line of a list from their form alone. A range of addresses
/// becomes as many networks as it needs; anything else is one value. The forms are tried
/// in the order in which [`NotAValue`] names them. Defanged values are refanged.
///
/// # Errors
/// The line is not unambiguously one of these.
pub fn of_line(line: &str) -> Result<Vec<Observable>, NotAValue> {
    let line = trimmed(line);
    if let Some(why) = limited_rule(line) {
        return Err(NotAValue::because(line, LISTED_VALUE, why));
    }
    if let Some(name) = with_names_under_it(line) {
        let [own, under] = [name, &format!("*.{name}")].map(Observable::of_domain);
        return Ok(vec![own?, under?]);
    }
    let whole = refang(line);
    let text = without_transport(&whole);
    // A list may have a million lines: a form is only tried where its marks are there.
    let has = |mark: u8| memchr::memchr(mark, text.as_bytes()).is_some();
    let has_colon = has(b':');
    let begins_with_digit = text.starts_with(|c: char| c.is_ascii_hexdigit());
    let begins_like_address = begins_with_digit || text.starts_with([':', '[']);
    if begins_like_address && (has_colon || has(b'.')) {
        if let Ok(addresses) = Observable::of_addresses(text) {
            return Ok(addresses);
        }
        if let Some(endpoint) = has_colon
            .then(|| Observable::of_endpoint(text).ok())
            .flatten()
        {
            return Ok(vec![endpoint]);
        }
    }
    if begins_with_digit && text.len() >= hash::HASH_LENGTHS[0] {
        if let Ok(hash) = Observable::of_hash(text) {
            return Ok(vec![hash]);
        }
    }
    if let Some(ja4) = ja4(text) {
        return Ok(vec![ja4]);
    }
    if has(b'@') {
        if let Ok(mail) = Observable::of_mail(text) {
            return Ok(vec![mail]);
        }
    }
    if !has_colon && !has(b'/') {
        if let Ok(name) = Observable::of_domain(text) {
            if name.spelled().is_some_and(|name| is_evident(name)) {
                return Ok(vec![name]);
            }
        }
    }
    match Observable::of_evident_url(text) {
        Ok(url) => Ok(vec![url]),
        // The reason only helps for a line that looks like a URL, or like one with more
        // behind it.
        Err(error) if text.contains("://") || text.contains(['#', ',', ';', '|']) => Err(error),
        Err(_) => Err(NotAValue::plainly(text, LISTED_VALUE)),
    }
}

/// A value without blanks around it, visible or not: a copied one may have a zero-width
/// space, and files that were put together have byte order marks in the middle.
pub fn trimmed(value: &str) -> &str {
    let is_blank = |letter: char| {
        letter.is_whitespace()
            || matches!(
                letter,
                '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{2060}' | '\u{feff}'
            )
    };
    value.trim_matches(is_blank)
}

/// Why a rule of an ad filter is no indicator, if it is none.
fn limited_rule(line: &str) -> Option<&'static str> {
    if line.starts_with("@@") {
        return Some("it is an exception of an ad filter");
    }
    let is_limited = line.starts_with("||") && line.contains("^$") && rule(line).is_none();
    is_limited.then_some("the rule of an ad filter is only for some requests")
}

/// The domain of a rule of an ad filter that is for all requests: `||evil.example^`, also
/// with options that limit nothing.
fn rule(line: &str) -> Option<&str> {
    let (name, options) = line.strip_prefix("||")?.split_once('^')?;
    let limits_nothing = matches!(options, "" | "$important" | "$all" | "$important,all");
    limits_nothing.then_some(name)
}

/// The domain of a line that means a domain and all names below it: `.evil.example`, or
/// `||evil.example^` in the syntax of ad filters.
fn with_names_under_it(line: &str) -> Option<&str> {
    let filter = || rule(line);
    let name = line.strip_prefix('.').or_else(filter)?;
    let canonical = domain::parse(&refang(name)).ok()?;
    is_evident(&canonical).then_some(name)
}

/// Makes `tcp://192.0.2.1:80` an address with a port: `tcp` is not a URL scheme here.
fn without_transport(text: &str) -> &str {
    let rest = ["tcp://", "udp://"]
        .iter()
        .find_map(|scheme| text.strip_prefix(scheme));
    rest.map(|rest| rest.strip_suffix('/').unwrap_or(rest))
        .filter(|rest| Observable::of_endpoint(rest).is_ok())
        .unwrap_or(text)
}

/// Reads a JA4, whose form is unique: `t13d1516h2_8daaf6152771_b186095e22b6`.
fn ja4(text: &str) -> Option<Observable> {
    let (first, rest) = text.split_at_checked(10)?;
    let (second, third) = rest.strip_prefix('_')?.split_once('_')?;
    let is_digits =
        |part: &str| part.len() == 12 && part.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_it = first.starts_with(['t', 'q', 'd'])
        && first.bytes().all(|byte| byte.is_ascii_alphanumeric())
        && is_digits(second)
        && is_digits(third);
    is_it
        .then(|| Observable::text(Property::Ja4, text).ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The kind and the canonical text of each value.
    fn forms(line: &str) -> Vec<String> {
        let values = of_line(line).unwrap_or_else(|error| panic!("{error}"));
        let form = |one: &Observable| format!("{} {one}", one.kind());
        values.iter().map(form).collect()
    }

    #[test]
    fn a_line_is_what_its_form_says() {
        for (line, form) in [
            ("192.0.2.1", "ipv4 192.0.2.1"),
            ("192.0.2[.]1", "ipv4 192.0.2.1"),
            ("\u{feff}192.0.2.1\u{200b}", "ipv4 192.0.2.1"),
            ("::ffff:192.0.2.1", "ipv4 192.0.2.1"),
            ("[2001:DB8::1]", "ipv6 2001:db8::1"),
            ("192.0.2.7/24", "network 192.0.2.0/24"),
            ("192.0.2.7/255.255.255.0", "network 192.0.2.0/24"),
            ("192.0.2.7/32", "ipv4 192.0.2.7"),
            ("192.0.2.0-192.0.2.255", "network 192.0.2.0/24"),
            ("192.0.2.1:4444", "endpoint 192.0.2.1:4444"),
            ("[2001:db8::1]:80", "endpoint [2001:db8::1]:80"),
            (
                "D41D8CD98F00B204E9800998ECF8427E",
                "hash d41d8cd98f00b204e9800998ecf8427e",
            ),
            ("A@Evil.example", "email a@evil.example"),
            ("Name <a@evil.example>", "email a@evil.example"),
            ("*.Evil.example", "subdomain evil.example"),
            ("bad(.)example", "domain bad.example"),
            ("BÜCHER.example.", "domain xn--bcher-kva.example"),
            ("_dmarc.evil.example", "domain _dmarc.evil.example"),
            ("evil.example/", "url //evil.example/"),
            ("evil.example:8080", "url //evil.example:8080/"),
            ("evil.example/x", "url //evil.example/x"),
            ("hxxp://evil[.]example/x#y", "url http://evil.example/x"),
            (" http://evil/x ", "url http://evil/x"),
            ("tcp://192.0.2.1:4444", "endpoint 192.0.2.1:4444"),
            ("udp://[2001:db8::1]:53/", "endpoint [2001:db8::1]:53"),
            ("tcp://evil.example:80", "url tcp://evil.example:80/"),
            ("evil [.] example", "domain evil.example"),
            (
                "t13d1516h2_8daaf6152771_b186095e22b6",
                "ja4 t13d1516h2_8daaf6152771_b186095e22b6",
            ),
        ] {
            assert_eq!(forms(line), [form], "{line}");
        }
        for line in [
            ".Evil.example",
            "||evil.example^",
            "||evil[.]example^",
            "||evil.example^$important",
        ] {
            let expected = ["domain evil.example", "subdomain evil.example"];
            assert_eq!(forms(line), expected, "{line}");
        }
        let range = forms("192.0.2.1 - 192.0.2.4");
        let expected = ["ipv4 192.0.2.1", "network 192.0.2.2/31", "ipv4 192.0.2.4"];
        assert_eq!(range, expected);
    }

    #[test]
    fn what_is_certainly_not_a_value_is_an_error() {
        for line in [
            "",
            "evil",
            "two words",
            "N/A",
            "and/or",
            "999.1.1.1",
            "192.0.2.0/33",
            "192.0.2.9-192.0.2.1",
            "192.0.2.1:0",
            "a..example",
            "hxxp:evil",
            "/gate.php",
            "d41d8cd98f00b204e9800998ecf8427",
            "1,http://evil.example/x y",
            "\"1\",\"http://evil.example/\"",
            "00:0a:95:9d:68:16",
            // The options after it restrict when it applies.
            "||evil.example^$third-party",
            "@@||good.example^",
            "||evil^",
            ".evil",
            "http://evil.example/a b",
            "192.0.2.1#c2",
            "192.0.2.0/24;c2",
            "two words [.] example",
            "192.0.2.x",
            "192.0.2.0-255",
            "payload.exe",
            "index.php?x=1",
            "h__p://evil.example/x",
            "[evil.example]",
        ] {
            assert!(of_line(line).is_err(), "{line}: {:?}", of_line(line));
        }
        let error = of_line("http://evil.example:99999/")
            .expect_err("a port")
            .to_string();
        assert!(error.contains("1 to 65535"), "{error}");
    }

    /// The same without a look at the marks of each form.
    fn form_by_form(text: &str) -> Option<Vec<Observable>> {
        let one = || {
            let first = Observable::of_endpoint(text).or_else(|_| Observable::of_hash(text));
            let name = || {
                let name = Observable::of_domain(text).ok()?;
                name.spelled()
                    .is_some_and(|name| is_evident(name))
                    .then_some(name)
            };
            let next = first.ok().or_else(|| ja4(text));
            next.or_else(|| Observable::of_mail(text).ok())
                .or_else(name)
        };
        let addresses = Observable::of_addresses(text).ok();
        let found = addresses.or_else(|| one().map(|one| vec![one]));
        found.or_else(|| Observable::of_evident_url(text).ok().map(|url| vec![url]))
    }

    proptest! {
        #[test]
        fn no_form_is_missed_for_want_of_its_marks(
            text in prop_oneof![
                r"[0-9a-fx:./@_%\-\[\]]{0,24}",
                r"\[?([0-9a-f]{0,4}:){1,7}[0-9a-f]{0,4}\]?(:[0-9]{1,5}|/[0-9]{1,3})?",
                r"[0-9]{1,3}(\.[0-9]{1,3}){3}([:/-][0-9.]{1,9})?",
                r"([0-9a-f]{2}:){15}[0-9a-f]{2}|[0-9a-fA-F]{32}|[0-9a-f]{40}",
                r"[tqd][a-z0-9]{9}_[0-9a-f]{12}_[0-9a-f]{12}",
                r"(mailto:)?[a-z.]{1,6}@[a-z]{1,5}\.(example|test)",
            ],
        ) {
            // What stands for something else in a list is none of these forms.
            let is_plain = !text.starts_with(['.', '|']) && refang(&text) == text.as_str();
            prop_assume!(is_plain && without_transport(&text) == text);
            prop_assert_eq!(of_line(&text).ok(), form_by_form(&text), "{}", text);
        }

        #[test]
        fn no_line_panics_and_forms_stay(line in "[ -~ü]{0,24}") {
            if let Ok(values) = of_line(&line) {
                for one in values.iter().filter(|one| one.kind() != "subdomain") {
                    let text = one.to_string();
                    prop_assert_eq!(of_line(&text).map(|again| again[0].to_string()), Ok(text));
                }
            }
        }
    }
}
