//! Translates Perl's regular expressions into the syntax of the engine used here, whose
//! matching time is linear in the text.
//!
//! Most of the syntax is the same. Where it differs, the expression is respelled.
//! Anything that needs more than linear time (look-around, back-references, recursion),
//! or that would silently change its meaning (possessive repetition), is rejected with
//! its position.

use std::iter::Peekable;
use std::str::CharIndices;

use thiserror::Error;

/// An expression in the engine's syntax.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Respelled {
    /// The expression.
    pub text: String,
    /// Its end of text also matches before a final line feed, like `$` in Perl.
    pub ends_before_line_feed: bool,
}

/// The part of an expression that cannot be checked, and its position.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{what} at its character {}", before + 1)]
pub(super) struct NotLinear {
    /// The number of characters before it.
    before: usize,
    what: String,
}

/// Line ends other than the line feed, for `\v` and `\R`.
const VERTICAL: &str = r"\n\x0b\f\r\x{85}\x{2028}\x{2029}";
/// Blanks within a line, for `\h`.
const HORIZONTAL: &str = r"\t\p{Zs}";

/// Respells a Perl-compatible expression.
pub(super) fn respell(expression: &str) -> Result<Respelled, NotLinear> {
    let mut writer = ExpressionWriter {
        source: expression,
        rest: expression.char_indices().peekable(),
        out: String::with_capacity(expression.len()),
        at: 0,
        may_repeat: false,
        has_soft_end: false,
        has_hard_end: false,
    };
    writer.skip_verbs()?;
    while let Some((at, c)) = writer.next() {
        writer.at = at;
        writer.one(c)?;
    }
    Ok(Respelled {
        text: writer.out,
        ends_before_line_feed: writer.has_soft_end && !writer.has_hard_end,
    })
}

struct ExpressionWriter<'a> {
    source: &'a str,
    rest: Peekable<CharIndices<'a>>,
    out: String,
    /// The start of the element being read.
    at: usize,
    /// Whether the last element can be repeated.
    may_repeat: bool,
    /// There is a `$` or a `\Z`.
    has_soft_end: bool,
    /// There is a `\z`.
    has_hard_end: bool,
}

impl ExpressionWriter<'_> {
    fn next(&mut self) -> Option<(usize, char)> {
        self.rest.next()
    }

    fn take(&mut self, wanted: char) -> bool {
        self.rest.next_if(|(_, c)| *c == wanted).is_some()
    }

    fn peek(&mut self) -> Option<char> {
        self.rest.peek().map(|(_, c)| *c)
    }

    /// The text still to be read.
    fn left(&mut self) -> &str {
        let at = self.rest.peek().map_or(self.source.len(), |(at, _)| *at);
        &self.source[at..]
    }

    fn skip(&mut self, characters: usize) {
        for _ in 0..characters {
            self.rest.next();
        }
    }

    fn refuse<T>(&self, what: impl Into<String>) -> Result<T, NotLinear> {
        Err(NotLinear {
            before: self.source[..self.at].chars().count(),
            what: what.into(),
        })
    }

    fn atom(&mut self, text: &str) {
        self.out.push_str(text);
        self.may_repeat = true;
    }

    /// A literal character.
    fn literal(&mut self, c: char) {
        if c.is_ascii_punctuation() && !matches!(c, '<' | '>') {
            self.out.push('\\');
        }
        self.out.push(c);
        self.may_repeat = true;
    }

    /// `(*UTF)` and similar verbs at the start, which always apply here.
    fn skip_verbs(&mut self) -> Result<(), NotLinear> {
        while self.left().starts_with("(*") {
            let verb = self.left().split_once(')').map_or("", |(verb, _)| verb);
            if !matches!(verb, "(*UTF" | "(*UTF8" | "(*UCP") {
                return self.refuse("a verb");
            }
            let length = verb.len() + 1;
            self.skip(length);
        }
        Ok(())
    }

    fn one(&mut self, c: char) -> Result<(), NotLinear> {
        match c {
            '\\' => self.escape(),
            '[' => self.class(),
            '(' => self.group(),
            ')' => {
                self.atom(")");
                Ok(())
            }
            '*' | '+' | '?' => self.repeat(c.to_string()),
            '{' => self.braces(),
            '$' => {
                self.has_soft_end = true;
                self.atom("$");
                Ok(())
            }
            '|' => {
                self.out.push('|');
                self.may_repeat = false;
                Ok(())
            }
            '.' | '^' => {
                self.atom(c.encode_utf8(&mut [0; 4]));
                Ok(())
            }
            ']' | '}' => {
                self.literal(c);
                Ok(())
            }
            // Including blanks and `#`, whose meaning changes under the `x` flag.
            c => {
                self.atom(c.encode_utf8(&mut [0; 4]));
                Ok(())
            }
        }
    }

    /// A repetition, and what follows it.
    fn repeat(&mut self, times: String) -> Result<(), NotLinear> {
        if !self.may_repeat {
            return self.refuse("a repetition of nothing");
        }
        self.out.push_str(&times);
        if self.take('?') {
            self.out.push('?');
        } else if self.peek() == Some('+') {
            return self.refuse("a possessive repetition");
        }
        self.may_repeat = false;
        Ok(())
    }

    /// `{2,5}`; any other brace is literal.
    fn braces(&mut self) -> Result<(), NotLinear> {
        let inner = self.left().split_once('}').map(|(inner, _)| inner);
        let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let Some(inner) = inner.map(str::to_owned) else {
            self.literal('{');
            return Ok(());
        };
        match inner.split_once(',') {
            None if digits(&inner) => {}
            Some((least, most)) if digits(least) && (most.is_empty() || digits(most)) => {}
            // Zero or more in some dialects, a literal in others.
            Some(("", most)) if digits(most) => return self.refuse("a repetition {,n}"),
            _ => {
                self.literal('{');
                return Ok(());
            }
        }
        self.skip(inner.len() + 1);
        self.repeat(format!("{{{inner}}}"))
    }

    /// The text after an opening parenthesis.
    fn group(&mut self) -> Result<(), NotLinear> {
        self.may_repeat = false;
        if self.peek() == Some('*') {
            return self.refuse("a verb");
        }
        if !self.take('?') {
            self.out.push('(');
            return Ok(());
        }
        let left = self.left().to_owned();
        let refused = [
            ("<=", "look-behind"),
            ("<!", "look-behind"),
            ("=", "look-ahead"),
            ("!", "look-ahead"),
            (">", "an atomic group"),
            ("(", "a condition"),
            ("R", "recursion"),
            ("&", "recursion"),
            ("P>", "recursion"),
            ("+", "recursion"),
            ("P=", "a back-reference"),
            ("C", "a callout"),
        ];
        for (start, what) in refused {
            if left.starts_with(start) {
                return self.refuse(what);
            }
        }
        match left.chars().next() {
            // Nothing is captured here, so the numbers do not matter.
            Some(':' | '|') => {
                self.skip(1);
                self.out.push_str("(?:");
                Ok(())
            }
            Some('#') => {
                let length = left.find(')').map_or(left.len(), |end| end + 1);
                let characters = left[..length].chars().count();
                self.skip(characters);
                Ok(())
            }
            Some('P' | '<' | '\'') => self.named(&left),
            Some('0'..='9') => self.refuse("recursion"),
            _ => self.flags(&left),
        }
    }

    /// A named group: `(?<name>`, `(?P<name>` or `(?'name'`.
    fn named(&mut self, left: &str) -> Result<(), NotLinear> {
        let inner = left.strip_prefix('P').unwrap_or(left);
        let (open, close) = if inner.starts_with('\'') {
            ('\'', '\'')
        } else {
            ('<', '>')
        };
        let name = inner
            .strip_prefix(open)
            .and_then(|one| one.split_once(close));
        let Some((name, _)) = name else {
            return self.refuse("a group of an unknown kind");
        };
        let prefix = left.len() - inner.len();
        self.skip(prefix + name.chars().count() + 2);
        // The name is not needed.
        self.out.push('(');
        Ok(())
    }

    /// `(?i)` or `(?i:`.
    fn flags(&mut self, left: &str) -> Result<(), NotLinear> {
        let Some(end) = left.find([')', ':']) else {
            return self.refuse("a group of an unknown kind");
        };
        let flags = &left[..end];
        if !flags
            .chars()
            .all(|c| matches!(c, 'i' | 'm' | 's' | 'x' | 'U' | '-'))
        {
            return self.refuse("a group of an unknown kind");
        }
        let length = end + 1;
        self.out.push_str("(?");
        self.out.push_str(&left[..length]);
        self.skip(length);
        Ok(())
    }

    /// An escape outside a class.
    fn escape(&mut self) -> Result<(), NotLinear> {
        let Some((_, c)) = self.next() else {
            return self.refuse("a backslash at the end");
        };
        match c {
            'Q' => self.quoted(),
            'E' => {}
            'K' => self.may_repeat = false,
            'A' | 'G' => self.atom(r"\A"),
            'z' => {
                self.has_hard_end = true;
                self.atom(r"\z");
            }
            'Z' => {
                self.has_soft_end = true;
                self.atom(r"\z");
            }
            'b' | 'B' => self.atom(if c == 'b' { r"\b" } else { r"\B" }),
            'h' => self.atom(&format!("[{HORIZONTAL}]")),
            'H' => self.atom(&format!("[^{HORIZONTAL}]")),
            'v' => self.atom(&format!("[{VERTICAL}]")),
            'V' => self.atom(&format!("[^{VERTICAL}]")),
            'R' => self.atom(&format!(r"(?:\r\n|[{VERTICAL}])")),
            'N' => self.atom(r"[^\n]"),
            '1'..='9' | 'g' | 'k' => return self.refuse("a back-reference"),
            c => {
                let text = self.common(c)?;
                self.atom(&text);
            }
        }
        Ok(())
    }

    /// An escape that is valid inside and outside a class.
    fn common(&mut self, c: char) -> Result<String, NotLinear> {
        let hex = |code: u32| format!(r"\x{{{code:x}}}");
        Ok(match c {
            'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'n' | 't' | 'r' | 'f' | 'a' => format!("\\{c}"),
            // Their operands follow and have the same syntax.
            'x' | 'p' | 'P' | 'u' | 'U' => {
                let mut text = format!("\\{c}");
                if self.take('{') {
                    text.push('{');
                    while let Some((_, c)) = self.next() {
                        text.push(c);
                        if c == '}' {
                            break;
                        }
                    }
                }
                text
            }
            'e' => hex(0x1b),
            'c' => match self.next() {
                Some((_, c)) if c.is_ascii() => hex(u32::from(c.to_ascii_uppercase()) ^ 0x40),
                _ => return self.refuse("a control character of an unknown kind"),
            },
            'o' => {
                let digits = self
                    .left()
                    .strip_prefix('{')
                    .and_then(|one| one.split_once('}'));
                let digits = digits
                    .map(|(digits, _)| digits.to_owned())
                    .unwrap_or_default();
                let Ok(code) = u32::from_str_radix(&digits, 8) else {
                    return self.refuse("an octal number without digits");
                };
                self.skip(digits.len() + 2);
                hex(code)
            }
            '0' => {
                let mut code = 0;
                for _ in 0..2 {
                    let digit = self.rest.next_if(|(_, c)| c.is_digit(8));
                    code = digit.map_or(code, |(_, c)| code * 8 + u32::from(c) - u32::from('0'));
                }
                hex(code)
            }
            c if c.is_ascii_alphanumeric() => {
                return self.refuse(format!("the unknown escape \\{c}"));
            }
            '<' | '>' | '_' => c.to_string(),
            c if c.is_ascii_punctuation() => format!("\\{c}"),
            c if c.is_whitespace() => hex(c.into()),
            c => c.to_string(),
        })
    }

    /// `\Q…\E`: everything is literal.
    fn quoted(&mut self) {
        while let Some((_, c)) = self.next() {
            if c == '\\' && self.take('E') {
                return;
            }
            if c.is_whitespace() || c == '#' {
                self.atom(&format!(r"\x{{{:x}}}", u32::from(c)));
            } else {
                self.literal(c);
            }
        }
    }

    /// A character class after its opening bracket. Brackets, `&&`, `--` and `~~` in it
    /// are literal in Perl, so all punctuation is escaped.
    fn class(&mut self) -> Result<(), NotLinear> {
        self.out.push('[');
        if self.take('^') {
            self.out.push('^');
        }
        let mut is_first = true;
        loop {
            let Some((_, c)) = self.next() else {
                return self.refuse("a class without its end");
            };
            if c == ']' && !is_first {
                self.atom("]");
                return Ok(());
            }
            is_first = false;
            if c == '[' && self.posix_class()? {
                continue;
            }
            let (first, is_character) = self.member(c)?;
            self.out.push_str(&first);
            let is_range = is_character && self.left().starts_with('-');
            if !is_range || self.left()[1..].starts_with(']') {
                continue;
            }
            self.skip(1);
            let Some((_, c)) = self.next() else {
                return self.refuse("a class without its end");
            };
            let (last, is_character) = self.member(c)?;
            // A character and a class do not form a range.
            self.out.push_str(if is_character { "-" } else { r"\-" });
            self.out.push_str(&last);
        }
    }

    /// A member of a class, and whether it is a single character.
    fn member(&mut self, c: char) -> Result<(String, bool), NotLinear> {
        Ok(match c {
            '\\' => match self.next() {
                None => return self.refuse("a backslash at the end"),
                Some((_, 'b')) => (r"\x08".to_owned(), true),
                Some((_, 'h')) => (HORIZONTAL.to_owned(), false),
                Some((_, 'v')) => (VERTICAL.to_owned(), false),
                Some((_, c @ '1'..='7')) => (format!(r"\x{{{c}}}"), true),
                Some((_, c)) => {
                    let is_class = matches!(c, 'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'p' | 'P');
                    (self.common(c)?, !is_class)
                }
            },
            '<' | '>' => (c.to_string(), true),
            c if c.is_ascii_punctuation() => (format!("\\{c}"), true),
            c if c.is_whitespace() => (format!(r"\x{{{:x}}}", u32::from(c)), true),
            c => (c.to_string(), true),
        })
    }

    /// `[:alpha:]` in a class, after its bracket; `false` if it is not one.
    fn posix_class(&mut self) -> Result<bool, NotLinear> {
        let left = self.left();
        let Some(end) = left.strip_prefix(':').and_then(|one| one.find(":]")) else {
            return Ok(false);
        };
        let name = left[1..=end].to_owned();
        let letters = name.strip_prefix('^').unwrap_or(&name);
        if letters.is_empty() || !letters.bytes().all(|b| b.is_ascii_lowercase()) {
            return Ok(false);
        }
        self.skip(name.len() + 3);
        // As of all Unicode, like `\w`; the others are of ASCII by their nature.
        let members = match letters {
            "alpha" => r"\p{Alphabetic}",
            "alnum" => r"\p{Alphabetic}\p{Nd}",
            "digit" => r"\d",
            "lower" => r"\p{Lowercase}",
            "punct" => r"\p{P}[:punct:]",
            "space" => r"\s",
            "upper" => r"\p{Uppercase}",
            "word" => r"\w",
            _ => {
                self.out.push_str(&format!("[:{name}:]"));
                return Ok(true);
            }
        };
        let caret = if name.starts_with('^') { "^" } else { "" };
        self.out.push_str(&format!("[{caret}{members}]"));
        Ok(true)
    }
}

#[cfg(test)]
mod tests;
