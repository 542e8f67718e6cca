//! Refanging: restores defanged values from reports and mails.

use std::borrow::Cow;

/// Replacements for the punctuation of addresses, names and URLs, in lower case.
const TOKENS: &[(&str, &str)] = &[
    ("[.]", "."),
    ("(.)", "."),
    ("{.}", "."),
    ("[dot]", "."),
    ("(dot)", "."),
    ("{dot}", "."),
    ("[://]", "://"),
    ("[:]", ":"),
    ("[@]", "@"),
    ("(@)", "@"),
    ("[at]", "@"),
    ("(at)", "@"),
    // Some writers forget the closing bracket.
    ("[.", "."),
];

/// Where the first of what could be one of them begins; they are rare, and there may be a
/// million values.
fn bracket(text: &str) -> Option<usize> {
    memchr::memchr3(b'[', b'(', b'{', text.as_bytes())
}

/// Replacements for schemes, in lower case.
const SCHEMES: &[(&str, &str)] = &[
    ("hxxps", "https"),
    ("hxxp", "http"),
    ("hxtps", "https"),
    ("hxtp", "http"),
    ("htxps", "https"),
    ("htxp", "http"),
    ("meow", "http"),
    ("fxp", "ftp"),
];

/// Returns the value that a defanged one means. Other text is returned unchanged.
///
/// The path of a URL is only changed if something before it was defanged: `[.]` can be
/// part of a path.
pub fn refang(text: &str) -> Cow<'_, str> {
    if bracket(text).is_none() && !has_defanged_scheme(text) {
        return Cow::Borrowed(text);
    }
    let (scheme, rest) = split_scheme(text);
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    // `evil.example[/]x`
    let slash = authority.strip_suffix('[').zip(path.strip_prefix("/]"));
    let (slash, (authority, path)) = match slash {
        Some(parts) => ("/", parts),
        None => ("", (authority, path)),
    };
    let whole_authority = replace(authority, Blanks::Go);
    let path = match &whole_authority {
        Cow::Owned(_) => replace(path, Blanks::Stay),
        Cow::Borrowed(_) => Cow::Borrowed(path),
    };
    let whole = format!("{scheme}{whole_authority}{slash}{path}");
    if whole == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(whole)
    }
}

/// Whether a text begins with one of [`SCHEMES`]. Most texts have no colon, and no scheme.
fn has_defanged_scheme(text: &str) -> bool {
    memchr::memchr(b':', text.as_bytes()).is_some()
        && SCHEMES.iter().any(|(defanged, _)| {
            let start = text.get(..defanged.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(defanged))
        })
}

/// Splits off the scheme with its `://`, refanged.
fn split_scheme(text: &str) -> (Cow<'_, str>, &str) {
    let end = text.find(|c: char| !c.is_ascii_alphanumeric() && !matches!(c, '+' | '-'));
    let (word, rest) = text.split_at(end.unwrap_or(0));
    let marks = ["://", "[://]", "[:]//"];
    let Some(mark) = marks.iter().find(|mark| rest.starts_with(**mark)) else {
        return (Cow::Borrowed(""), text);
    };
    let known = SCHEMES
        .iter()
        .find(|(defanged, _)| word.eq_ignore_ascii_case(defanged));
    let scheme = match (known, *mark) {
        (None, "://") => Cow::Borrowed(&text[..word.len() + mark.len()]),
        _ => Cow::Owned(format!("{}://", known.map_or(word, |(_, scheme)| scheme))),
    };
    (scheme, &rest[mark.len()..])
}

/// What happens to the blanks around a token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Blanks {
    Go,
    Stay,
}

fn replace(text: &str, blanks: Blanks) -> Cow<'_, str> {
    if bracket(text).is_none() {
        return Cow::Borrowed(text);
    }
    let mut whole = String::new();
    let mut rest = text;
    while let Some(at) = bracket(rest) {
        whole.push_str(&rest[..at]);
        rest = &rest[at..];
        let begins = |token: &str| {
            let start = rest.get(..token.len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(token))
        };
        let token = TOKENS.iter().find(|(token, _)| begins(token));
        let (length, sign) = match token {
            Some((token, sign)) => (token.len(), *sign),
            None => (1, &rest[..1]),
        };
        rest = &rest[length..];
        if token.is_some() && blanks == Blanks::Go {
            whole.truncate(whole.trim_end().len());
            rest = rest.trim_start();
        }
        whole.push_str(sign);
    }
    whole.push_str(rest);
    if whole == text {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(whole)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_defang_is_undone() {
        for (text, whole) in [
            ("192.0.2[.]1", "192.0.2.1"),
            ("192[.]0[.]2[.]1[:]80", "192.0.2.1:80"),
            ("bad(.)example", "bad.example"),
            ("bad{.}evil(dot)example", "bad.evil.example"),
            ("a[at]bad{DOT}example", "a@bad.example"),
            ("bad[DOT]evil[dot]example", "bad.evil.example"),
            ("a[@]bad[.]example", "a@bad.example"),
            ("hxxp://bad.example/x", "http://bad.example/x"),
            ("hXXps[:]//bad[.]example/a", "https://bad.example/a"),
            ("HXXP[://]bad.example", "http://bad.example"),
            ("fxp://bad.example/", "ftp://bad.example/"),
            ("meow://bad.example/", "http://bad.example/"),
            ("hxtps://bad[.]example", "https://bad.example"),
            ("htxp://bad.example/", "http://bad.example/"),
            ("http[://]bad.example", "http://bad.example"),
            ("hxxp://bad[.]example/a[.]php", "http://bad.example/a.php"),
            ("bad[.]example/a[.]php", "bad.example/a.php"),
            ("bad [.] evil [dot] example", "bad.evil.example"),
            ("bad[.example", "bad.example"),
            ("192.0.2[.1", "192.0.2.1"),
            ("bad.example[/]a", "bad.example/a"),
            ("hxxp://bad[.]example[/]a/b", "http://bad.example/a/b"),
        ] {
            assert_eq!(refang(text), whole, "{text}");
            assert_eq!(refang(whole), whole, "{whole}");
        }
    }

    #[test]
    fn what_is_whole_stays() {
        for text in [
            "",
            "http://bad.example/a[.]php?b[dot]c",
            "http://[2001:db8::1]:80/",
            "[2001:db8::1]",
            "/a[.]b",
            "hxxp",
            "Mozilla/4.0 (x; y)",
            "ü[ü(",
        ] {
            assert!(
                matches!(refang(text), Cow::Borrowed(same) if same == text),
                "{text}"
            );
        }
        // The scheme alone tells nothing about the path.
        assert_eq!(
            refang("hxxp://bad.example/a[.]b"),
            "http://bad.example/a[.]b"
        );
    }
}
