//! The literals that any text must contain to match a `LIKE` or a `MATCHES`.
//!
//! An engine is queried for events whose text contains these, and never with an
//! expression from a feed: engines match by backtracking, and a hostile expression makes
//! that take forever.

use std::iter::Peekable;
use std::str::Chars;

/// The longest useful literal in bytes: VAST's index holds the first 1,024 bytes of a
/// text.
const LONGEST_LITERAL: usize = 256;

/// Groups nested deeper are not examined.
const DEEPEST_GROUP: usize = 16;

/// The longest literal without a control character, within the limit.
fn best<'a>(runs: impl Iterator<Item = &'a str>) -> Option<String> {
    let plain = runs.flat_map(|run| run.split(char::is_control));
    let longest = plain.max_by_key(|run| run.len())?;
    let mut end = longest.len().min(LONGEST_LITERAL);
    while !longest.is_char_boundary(end) {
        end -= 1;
    }
    (end > 0).then(|| longest[..end].to_owned())
}

/// The longest literal that every text matching this `LIKE` contains.
pub(super) fn of_like(pattern: &str) -> Option<String> {
    best(pattern.split(['%', '_']))
}

/// Literals of which every text matching this expression contains at least one; `None` if
/// there are no such literals. The expression is known to compile.
pub(super) fn of_expression(expression: &str) -> Option<Vec<String>> {
    let mut reader = ExpressionReader {
        rest: expression.chars().peekable(),
        depth: 0,
    };
    let found = reader.alternatives().ok()?;
    // An unmatched closing parenthesis does not compile.
    reader.rest.next().is_none().then_some(found).flatten()
}

/// Syntax that is not understood: nothing can be said about the whole.
struct NotUnderstood;

/// Reads as much of an expression as is needed.
struct ExpressionReader<'a> {
    rest: Peekable<Chars<'a>>,
    depth: usize,
}

/// How often an element occurs.
#[derive(PartialEq)]
enum Times {
    /// Exactly once.
    Once,
    /// Once or more.
    Some,
    /// Possibly never.
    Any,
}

/// What is known so far of a sequence.
#[derive(Default)]
struct LiteralSequence {
    /// The literal that ends here.
    run: String,
    best: Option<Vec<String>>,
}

impl LiteralSequence {
    /// Ends the current literal.
    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        let run = best(std::iter::once(run.as_str()));
        self.offer(run.map(|one| vec![one]));
    }

    /// Stores these literals if their shortest is longer than that of the stored ones.
    fn offer(&mut self, texts: Option<Vec<String>>) {
        let worth = |texts: &Vec<String>| texts.iter().map(String::len).min();
        if texts.as_ref().and_then(worth) > self.best.as_ref().and_then(worth) {
            self.best = texts;
        }
    }
}

impl ExpressionReader<'_> {
    /// Any one of several sequences, up to the end or a closing parenthesis.
    fn alternatives(&mut self) -> Result<Option<Vec<String>>, NotUnderstood> {
        let mut all = self.sequence()?;
        while self.rest.next_if_eq(&'|').is_some() {
            let next = self.sequence()?;
            all = all.zip(next).map(|(mut all, next)| {
                all.extend(next);
                all
            });
        }
        Ok(all)
    }

    fn sequence(&mut self) -> Result<Option<Vec<String>>, NotUnderstood> {
        let mut sequence = LiteralSequence::default();
        while let Some(c) = self.rest.next_if(|c| !matches!(c, '|' | ')')) {
            match c {
                '(' => {
                    let group = self.group()?;
                    sequence.end_run();
                    if self.times() != Times::Any {
                        sequence.offer(group);
                    }
                }
                '[' => {
                    self.class()?;
                    self.times();
                    sequence.end_run();
                }
                '.' | '^' | '$' => {
                    self.times();
                    sequence.end_run();
                }
                '\\' => match self.escaped()? {
                    Some(c) => self.literal(c, &mut sequence),
                    None => {
                        self.times();
                        sequence.end_run();
                    }
                },
                c => self.literal(c, &mut sequence),
            }
        }
        sequence.end_run();
        Ok(sequence.best)
    }

    fn literal(&mut self, c: char, sequence: &mut LiteralSequence) {
        match self.times() {
            Times::Once => sequence.run.push(c),
            Times::Some => {
                sequence.run.push(c);
                sequence.end_run();
            }
            Times::Any => sequence.end_run(),
        }
    }

    /// What follows an opening parenthesis, including the closing one.
    fn group(&mut self) -> Result<Option<Vec<String>>, NotUnderstood> {
        if self.rest.next_if_eq(&'?').is_some() {
            // Flags change the meaning of letters.
            match self.rest.next() {
                Some(':') => {}
                Some('P') if self.rest.next_if_eq(&'<').is_some() => self.name()?,
                Some('<') => self.name()?,
                _ => return Err(NotUnderstood),
            }
        }
        self.depth += 1;
        if self.depth > DEEPEST_GROUP {
            return Err(NotUnderstood);
        }
        let inner = self.alternatives()?;
        self.depth -= 1;
        self.rest.next_if_eq(&')').ok_or(NotUnderstood)?;
        Ok(inner)
    }

    fn name(&mut self) -> Result<(), NotUnderstood> {
        let end = self.rest.find(|c| !c.is_alphanumeric() && *c != '_');
        (end == Some('>')).then_some(()).ok_or(NotUnderstood)
    }

    /// The rest of a character class, after its opening bracket.
    fn class(&mut self) -> Result<(), NotUnderstood> {
        self.rest.next_if_eq(&'^');
        let mut is_first = true;
        loop {
            match self.rest.next().ok_or(NotUnderstood)? {
                ']' if !is_first => return Ok(()),
                // Nested classes have their own rules.
                '[' => return Err(NotUnderstood),
                '\\' => {
                    self.rest.next().ok_or(NotUnderstood)?;
                }
                _ => {}
            }
            is_first = false;
        }
    }

    /// What an escape stands for: a character, or `None` for something else of at most
    /// one character.
    fn escaped(&mut self) -> Result<Option<char>, NotUnderstood> {
        match self.rest.next().ok_or(NotUnderstood)? {
            '<' | '>' => Ok(None),
            c if c.is_ascii_punctuation() => Ok(Some(c)),
            'd' | 'D' | 'w' | 'W' | 's' | 'S' | 'b' | 'B' | 'A' | 'z' => Ok(None),
            'n' | 't' | 'r' | 'f' | 'v' | 'a' => Ok(None),
            _ => Err(NotUnderstood),
        }
    }

    /// Reads the quantifiers of the last element.
    fn times(&mut self) -> Times {
        let mut times = Times::Once;
        while let Some(c) = self.rest.next_if(|c| matches!(c, '*' | '+' | '?' | '{')) {
            times = match (c, times) {
                ('+', Times::Once) => Times::Some,
                _ => Times::Any,
            };
            if c == '{' {
                self.rest.find(|c| *c == '}');
            }
        }
        times
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::matching::condition::{RegularExpression, like};

    #[test]
    fn the_longest_certain_text_is_found() {
        for (pattern, expected) in [
            ("%.exe", Some(".exe")),
            ("evil%.com", Some(".com")),
            ("a_bc%", Some("bc")),
            ("%", None),
            ("__", None),
            ("", None),
            ("%a\nbc%", Some("bc")),
        ] {
            assert_eq!(of_like(pattern).as_deref(), expected, "{pattern:?}");
        }
        let long = "ü".repeat(1000);
        assert_eq!(of_like(&long).map(|text| text.len()), Some(LONGEST_LITERAL));
    }

    #[test]
    fn an_expression_shows_what_it_needs() {
        for (expression, expected) in [
            ("^x.*", Some(&["x"][..])),
            (r"evil\.(com|org)$", Some(&["evil."])),
            ("^(foo|bar)$", Some(&["foo", "bar"])),
            ("(?:foo|ba)+r?", Some(&["foo", "ba"])),
            ("(?P<n>foo)x", Some(&["foo"])),
            ("ab|cd", Some(&["ab", "cd"])),
            ("ab|.", None),
            ("ab?c", Some(&["a"])),
            ("ab+c", Some(&["ab"])),
            ("a{0}bc", Some(&["bc"])),
            ("[abc]+", None),
            (r"[]a\]]bc", Some(&["bc"])),
            (r"a\d+bcd", Some(&["bcd"])),
            (r"\.exe\z", Some(&[".exe"])),
            ("(abc)?", None),
            // Unsupported syntax gives nothing.
            ("(?i)abc", None),
            (r"\x41bc", None),
            ("[[:alpha:]]abc", None),
            ("", None),
            ("/etc/passwd", Some(&["/etc/passwd"])),
        ] {
            assert!(
                RegularExpression::new(expression, false).is_ok(),
                "{expression}"
            );
            let found = of_expression(expression);
            let found = found.as_ref().map(|all| all.iter().map(String::as_str));
            let found: Option<Vec<&str>> = found.map(Iterator::collect);
            assert_eq!(found.as_deref(), expected, "{expression}");
        }
        assert_eq!(of_expression(&"(".repeat(1000)), None);
        assert_eq!(of_expression("abc)"), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn what_passes_holds_the_fragment(pattern in "[ab%_]{0,6}", text in "[ab]{0,6}") {
            if let (true, Some(fragment)) = (like(&pattern, &text), of_like(&pattern)) {
                prop_assert!(text.contains(&fragment), "{} {}", pattern, text);
            }
        }

        #[test]
        fn what_an_expression_is_found_in_holds_a_fragment(
            expression in r"([ab.^$|]|[ab][*+?]|\(\[?|[ab]\]?\)[*+?]?|\\[.dwb]|\[\^?\]?[ab]\]|a\{0,2\}){0,8}",
            text in r"[ab.\]]{0,8}",
        ) {
            let Ok(compiled) = RegularExpression::new(&expression, false) else {
                return Ok(());
            };
            if let (true, Some(all)) = (compiled.is_found_in(&text), of_expression(&expression)) {
                let any = all.iter().any(|fragment| text.contains(fragment));
                prop_assert!(any, "{} {} {:?}", expression, text, all);
            }
        }
    }
}
