//! The text comparisons of STIX other than equality.

use std::fmt;
use std::hash::{Hash, Hasher};

use regex::{Regex, RegexBuilder};

use super::pcre::{self, Respelled};

/// The most memory in bytes for a compiled expression.
const LARGEST: usize = 1 << 21;

/// A Perl-compatible regular expression that takes linear time. The compiled one is
/// shared through the text.
#[derive(Clone)]
pub struct RegularExpression {
    text: String,
    any_case: bool,
    compiled: Regex,
    ends_before_line_feed: bool,
}

impl RegularExpression {
    /// Compiles an expression, either case-sensitive or not. Classes and case are those
    /// of Unicode.
    ///
    /// # Errors
    /// The text is not an expression, needs more than linear time (look-around,
    /// back-references), or is too large; the error says why and where.
    pub fn new(text: &str, any_case: bool) -> Result<Self, String> {
        let Respelled {
            text: respelled,
            ends_before_line_feed,
        } = pcre::respell(text).map_err(|why| why.to_string())?;
        let compiled = RegexBuilder::new(&respelled)
            .case_insensitive(any_case)
            .size_limit(LARGEST)
            .build();
        Ok(RegularExpression {
            text: text.to_owned(),
            any_case,
            compiled: compiled.map_err(|error| in_a_line(&error))?,
            ends_before_line_feed,
        })
    }

    /// Whether it matches anywhere in the text.
    pub fn is_found_in(&self, text: &str) -> bool {
        let before_end = text
            .strip_suffix('\n')
            .filter(|_| self.ends_before_line_feed);
        self.compiled.is_match(text) || before_end.is_some_and(|text| self.compiled.is_match(text))
    }
}

/// The error in an expression, without the drawing.
fn in_a_line(error: &regex::Error) -> String {
    match error {
        regex::Error::CompiledTooBig(limit) => {
            format!("compiled it needs more than {} MiB", limit >> 20)
        }
        error => {
            let text = error.to_string();
            let reason = text.rsplit("error: ").next().unwrap_or_default();
            reason.split_whitespace().collect::<Vec<_>>().join(" ")
        }
    }
}

impl fmt::Debug for RegularExpression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.text)
    }
}

impl PartialEq for RegularExpression {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text && self.any_case == other.any_case
    }
}

impl Eq for RegularExpression {}

impl Hash for RegularExpression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text.hash(state);
    }
}

/// A `LIKE`, case-sensitive or not.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Like {
    pattern: String,
    any_case: bool,
}

impl Like {
    /// Makes a `LIKE`, case-insensitive with `any_case`.
    pub fn new(pattern: &str, any_case: bool) -> Self {
        Like {
            pattern: if any_case {
                pattern.to_lowercase()
            } else {
                pattern.to_owned()
            },
            any_case,
        }
    }

    /// Whether the whole text matches.
    pub fn is_passed_by(&self, text: &str) -> bool {
        if self.any_case {
            like(&self.pattern, &text.to_lowercase())
        } else {
            like(&self.pattern, text)
        }
    }
}

/// SQL's `LIKE` on the whole text: `%` is any text, `_` one character. It takes at most
/// the product of the lengths.
pub fn like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // The position of the last `%`, and the end of its text so far.
    let mut last: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('%') => {
                last = Some((p, t));
                p += 1;
            }
            Some(&one) if one == '_' || one == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match &mut last {
                Some((percent, end)) => {
                    *end += 1;
                    (p, t) = (*percent + 1, *end);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|one| *one == '%')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn like_is_that_of_sql() {
        for (pattern, text, expected) in [
            ("evil%", "evil.example", true),
            ("%.example", "evil.example", true),
            ("%vil%exa%", "evil.example", true),
            ("evil", "evil.example", false),
            ("e_il%", "evil.example", true),
            ("%", "", true),
            ("_", "", false),
            ("_", "ü", true),
            ("", "", true),
            ("%a%b", "aab", true),
            ("%a%b", "aabc", false),
        ] {
            assert_eq!(like(pattern, text), expected, "{pattern} {text}");
        }
    }

    #[test]
    fn expressions_are_found_anywhere_or_refused() {
        let expression = RegularExpression::new(r"evil\.(com|org)$", false).expect("an expression");
        assert!(expression.is_found_in("very.evil.org"));
        assert!(!expression.is_found_in("evil.org.example"));
        for (text, words) in [
            ("(", "unclosed group"),
            ("(?=a)b", "look-ahead at its character 1"),
            (r"(a)\1", "a back-reference at its character 4"),
            (r"\w{1,1000}", "more than 2 MiB"),
        ] {
            let reason = RegularExpression::new(text, false).expect_err(text);
            assert!(
                reason.contains(words) && !reason.contains('\n'),
                "{text}: {reason}"
            );
        }
    }

    proptest! {
        #[test]
        fn like_agrees_with_an_expression(pattern in "[ab%_]{0,8}", text in "[abc]{0,8}") {
            let expression = pattern.replace('%', ".*").replace('_', ".");
            let expression = RegularExpression::new(&format!("^{expression}$"), false).expect("one");
            prop_assert_eq!(like(&pattern, &text), expression.is_found_in(&text));
        }
    }
}
