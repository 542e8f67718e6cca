//! STIX: what the indicators of the newer generation of bus messages say.

pub mod message;
pub mod paths;
pub mod pattern;

use std::error::Error;
use std::fmt;

use pattern::{
    Comparison, Condition, ObjectPath, Observation, PatternError, Qualifier, Relation, Test, Value,
};

/// A pattern that asks for one text in one property, and for nothing else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Equality {
    /// The property.
    pub path: ObjectPath,
    /// The text that it has to be equal to, unescaped.
    pub value: String,
}

/// Why a pattern is not one equality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotSingle {
    /// It is no pattern at all.
    Syntax(PatternError),
    /// It is a pattern that asks for something else; what, for a person.
    Compound(String),
}

impl fmt::Display for NotSingle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotSingle::Syntax(error) => write!(f, "not a STIX pattern: {error}"),
            NotSingle::Compound(what) => write!(f, "not one equality: {what}"),
        }
    }
}

impl Error for NotSingle {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            NotSingle::Syntax(error) => Some(error),
            NotSingle::Compound(_) => None,
        }
    }
}

/// Reads a pattern that is one observation with one `=` between a property and a
/// string; parentheses do not matter.
///
/// # Errors
///
/// [`NotSingle`] for everything else.
pub fn single_equality(text: &str) -> Result<Equality, NotSingle> {
    let pattern = pattern::parse(text).map_err(NotSingle::Syntax)?;
    let test = single_test(pattern.root).map_err(NotSingle::Compound)?;
    let operator = test.condition.operator();
    if test.negated {
        return Err(NotSingle::Compound(format!("operator NOT {operator}")));
    }
    match test.condition {
        Condition::Compare(Relation::Equal, literal) => match literal.value {
            Value::String(value) => Ok(Equality {
                path: test.path,
                value,
            }),
            other => Err(NotSingle::Compound(format!(
                "{other} is {}, not a string",
                other.kind()
            ))),
        },
        _ => Err(NotSingle::Compound(format!("operator {operator}"))),
    }
}

/// The one test that an observation consists of, or what else it is.
fn single_test(observation: Observation) -> Result<Test, String> {
    match observation {
        Observation::Single(Comparison::Test(test)) => Ok(test),
        Observation::Single(Comparison::And(_)) => Err("AND of several tests".to_owned()),
        Observation::Single(Comparison::Or(_)) => Err("OR of several tests".to_owned()),
        Observation::And(_) => Err("AND of several observations".to_owned()),
        Observation::Or(_) => Err("OR of several observations".to_owned()),
        Observation::FollowedBy(_) => Err("FOLLOWEDBY of several observations".to_owned()),
        Observation::Qualified { qualifiers, .. } => Err(name_qualifiers(&qualifiers)),
    }
}

fn name_qualifiers(qualifiers: &[Qualifier]) -> String {
    let names: Vec<&str> = qualifiers.iter().map(|q| q.kind.keyword()).collect();
    format!("qualifier {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equality(text: &str) -> (String, String) {
        let found = single_equality(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        (found.path.to_string(), found.value)
    }

    fn compound(text: &str) -> String {
        match single_equality(text) {
            Err(NotSingle::Compound(what)) => what,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn one_equality_is_found_however_it_is_written() {
        let expected = ("domain-name:value".to_owned(), "evil.com".to_owned());
        for text in [
            "[domain-name:value='evil.com']",
            "  [ domain-name:value == 'evil.com' ] ",
            "([domain-name:value = 'evil.com'])",
            "[((domain-name:value = 'evil.com'))]",
            "[domain-name:'value' = 'evil.com'] // a comment",
        ] {
            assert_eq!(equality(text), expected, "{text}");
        }
    }

    #[test]
    fn values_with_the_signs_of_the_language_stay_whole() {
        for value in ["evil.com] = x", "a' OR b:c = 'd", r"C:\x", "x\ny", ""] {
            let text = format!(
                "[url:value = '{}']",
                value.replace('\\', r"\\").replace('\'', r"\'")
            );
            assert_eq!(equality(&text).1, value, "{text}");
        }
        assert_eq!(
            equality("[file:hashes.'SHA-256' = 'x']").0,
            "file:hashes.'SHA-256'"
        );
    }

    #[test]
    fn anything_else_is_named() {
        for (text, what) in [
            ("[a:b = 'c' OR a:b = 'd']", "OR of several tests"),
            ("[a:b = 'c' AND a:b = 'd']", "AND of several tests"),
            ("[a:b = 'c'] OR [a:b = 'd']", "OR of several observations"),
            ("[a:b = 'c'] AND [a:b = 'd']", "AND of several observations"),
            (
                "[a:b = 'c'] FOLLOWEDBY [a:b = 'd']",
                "FOLLOWEDBY of several observations",
            ),
            ("[a:b = 'c'] WITHIN 5 SECONDS", "qualifier WITHIN"),
            ("[a:b NOT = 'c']", "operator NOT ="),
            ("[a:b LIKE 'c']", "operator LIKE"),
            ("[a:b != 'c']", "operator !="),
            ("[EXISTS a:b]", "operator EXISTS"),
            ("[a:b = 5]", "5 is an integer, not a string"),
            (
                "[a:b = t'2020-01-01T00:00:00Z']",
                "t'2020-01-01T00:00:00Z' is a timestamp, not a string",
            ),
        ] {
            assert_eq!(compound(text), what, "{text}");
        }
    }

    #[test]
    fn a_text_that_is_no_pattern_says_where() {
        let error = single_equality("[NOT domain-name:value = 'evil.com']")
            .expect_err("NOT stands behind the path");
        assert_eq!(
            error.to_string(),
            "not a STIX pattern: line 1, column 2: expected an object path such as file:name, \
             EXISTS or (, found `NOT`"
        );
    }
}
