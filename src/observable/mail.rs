//! Mail addresses: `Name <a@b>` and `<a@b>` become `a@b`, in lower case.

use super::domain;
use super::not_a_value::NotAValue;

/// Calls `show` with the canonical form of each address of a header or an envelope: the
/// addresses in angle brackets, or else the text between commas.
pub fn each<'t>(text: &'t str, buffer: &'t mut String, mut show: impl FnMut(&str)) {
    for part in MailParts(text) {
        let part = match (part.rfind('<'), part.rfind('>')) {
            (Some(open), Some(close)) if open < close => &part[open + 1..close],
            _ => part,
        };
        let part = part.trim();
        if part
            .bytes()
            .all(|byte| byte.is_ascii() && !byte.is_ascii_uppercase())
            && !part.ends_with('.')
        {
            show(part);
        } else if let Some((local, name)) = part.rsplit_once('@') {
            let mut name_buffer = String::new();
            buffer.clear();
            buffer.extend(local.chars().flat_map(char::to_lowercase));
            buffer.push('@');
            buffer.push_str(domain::read(name, &mut name_buffer));
            show(buffer);
        }
    }
}

/// Splits a list at its commas, except those in quotation marks or angle brackets.
struct MailParts<'t>(&'t str);

impl<'t> Iterator for MailParts<'t> {
    type Item = &'t str;

    fn next(&mut self) -> Option<&'t str> {
        if self.0.is_empty() {
            return None;
        }
        let (mut quoted, mut bracketed, mut escaped) = (false, false, false);
        let end = self.0.bytes().position(|byte| {
            let was_escaped = std::mem::replace(&mut escaped, false);
            match byte {
                b'\\' => escaped = !was_escaped,
                b'"' if !was_escaped => quoted = !quoted,
                b'<' if !quoted => bracketed = true,
                b'>' if !quoted => bracketed = false,
                b',' => return !quoted && !bracketed,
                _ => {}
            }
            false
        });
        let end = end.unwrap_or(self.0.len());
        let part = &self.0[..end];
        self.0 = self.0.get(end + 1..).unwrap_or_default();
        Some(part)
    }
}

/// Reads a mail address as a feed writes it.
///
/// # Errors
/// The text is not a mail address; the error says why.
pub fn parse(text: &str) -> Result<String, NotAValue> {
    const MAIL_ADDRESS: &str = "mail address";
    const SCHEME: &str = "mailto:";
    let text = match text.split_at_checked(SCHEME.len()) {
        Some((scheme, rest)) if scheme.eq_ignore_ascii_case(SCHEME) => rest,
        _ => text,
    };
    if !text.contains('@') {
        return Err(NotAValue::because(text, MAIL_ADDRESS, "it has no @"));
    }
    let (mut buffer, mut all) = (String::new(), Vec::new());
    each(text, &mut buffer, |one| all.push(one.to_owned()));
    let [address] = &all[..] else {
        return Err(NotAValue::plainly(text, MAIL_ADDRESS));
    };
    let Some((local, name)) = address.rsplit_once('@') else {
        return Err(NotAValue::because(text, MAIL_ADDRESS, "it has no @"));
    };
    let is_blank = |c: char| c.is_whitespace() || c.is_control();
    if local.is_empty() || local.contains(is_blank) || local.contains(['@', '/', ':']) {
        return Err(NotAValue::because(
            text,
            MAIL_ADDRESS,
            "what is before the @ is no name",
        ));
    }
    let name =
        domain::parse(name).map_err(|error| NotAValue::because(text, MAIL_ADDRESS, error))?;
    Ok(format!("{local}@{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let (mut buffer, mut all) = (String::new(), Vec::new());
        each(text, &mut buffer, |one| all.push(one.to_owned()));
        all
    }

    #[test]
    fn the_name_and_the_brackets_go() {
        for text in [
            "a@b.example",
            "<a@b.example>",
            "A@B.Example.",
            "\"Pay, Roll\" <a@b.example>",
            "Pay Roll <A@b.example>",
            " a@b.example ",
            "\"a \\\" < , \" <a@b.example>",
        ] {
            assert_eq!(all(text), ["a@b.example"], "{text}");
        }
        let several = "X <x@a.example>, \"Y, Z\" <y@a.example>,z@a.example";
        assert_eq!(all(several), ["x@a.example", "y@a.example", "z@a.example"]);
        assert!(all("").is_empty());
    }

    #[test]
    fn an_address_has_a_name_on_both_sides() {
        assert_eq!(
            parse("Name <A@Bücher.example>").as_deref(),
            Ok("a@xn--bcher-kva.example")
        );
        assert_eq!(parse("Mailto:a@b.example").as_deref(), Ok("a@b.example"));
        for text in [
            "",
            "a",
            "@b.example",
            "a@",
            "a@b@c.example",
            "a b@c.example",
            "http://a@b.example/",
            "a@b.example,c@d.example",
            "a@b c.example",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
