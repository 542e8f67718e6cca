//! The comparisons of text that STIX has beside equality.

use std::fmt;
use std::hash::{Hash, Hasher};

use regex_lite::{Regex, RegexBuilder};

/// The most memory that a compiled expression may take, in bytes.
const LARGEST: usize = 1 << 20;

/// A regular expression; the compiled one belongs to the text.
#[derive(Clone)]
pub struct Expression(Regex);

impl Expression {
    /// Compiles an expression.
    ///
    /// # Errors
    /// It is none, or uses what takes more than linear time (look-around,
    /// back-references), or is too large; why, in words.
    pub fn new(text: &str) -> Result<Self, String> {
        let compiled = RegexBuilder::new(text).size_limit(LARGEST).build();
        compiled.map(Expression).map_err(|error| error.to_string())
    }

    /// Whether it matches anywhere in the text.
    pub fn is_found_in(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Expression({:?})", self.0.as_str())
    }
}

impl PartialEq for Expression {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Expression {}

impl Hash for Expression {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.as_str().hash(state);
    }
}

/// SQL's `LIKE` over the whole text: `%` is any text, `_` one character. It takes
/// at most the product of the lengths.
pub fn like(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut p, mut t) = (0, 0);
    // Where the last `%` stands, and where its text ends so far.
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
        let expression = Expression::new(r"evil\.(com|org)$").expect("an expression");
        assert!(expression.is_found_in("very.evil.org"));
        assert!(!expression.is_found_in("evil.org.example"));
        for text in ["(", "(?=a)b", r"(a)\1"] {
            assert!(Expression::new(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn like_agrees_with_an_expression(pattern in "[ab%_]{0,8}", text in "[abc]{0,8}") {
            let expression = pattern.replace('%', ".*").replace('_', ".");
            let expression = Expression::new(&format!("^{expression}$")).expect("one");
            prop_assert_eq!(like(&pattern, &text), expression.is_found_in(&text));
        }
    }
}
