//! The predicate that an operator and its two sides make: what was measured to
//! parse, with what it was measured to do.

use std::collections::HashSet;

use regex::Regex;

use super::lexer::Token;
use super::{Comparison, Extractor, Predicate, QueryError, Test};

/// One side of a predicate.
pub(super) enum Side {
    Extractor(Extractor),
    Literal(Token),
    List(Vec<Token>),
}

/// The operators of a predicate.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Operator {
    In,
    /// `ni`: `in` with its sides exchanged.
    Ni,
    Match,
    NotEqual,
    Compare(Comparison),
}

/// The predicate that two sides and an operator make.
///
/// # Errors
/// They make none that is known.
pub(super) fn build(left: Side, operator: Operator, right: Side) -> Result<Predicate, QueryError> {
    let is_negated = operator == Operator::NotEqual;
    let equality = is_negated || operator == Operator::Compare(Comparison::Equal);
    let (extractor, test) = match (left, right) {
        (Side::Extractor(extractor), Side::Literal(Token::Pattern(pattern)))
            if operator == Operator::Match =>
        {
            let test = pattern_test(&extractor, &pattern)?;
            (extractor, test)
        }
        (left, right) => parts(left, operator, right).ok_or(QueryError::Syntax)?,
    };
    Ok(Predicate {
        extractor,
        test,
        negated: is_negated,
        equality,
    })
}

fn parts(left: Side, operator: Operator, right: Side) -> Option<(Extractor, Test)> {
    Some(match (left, right) {
        (Side::Extractor(extractor), Side::Literal(value)) => {
            let test = literal_test(&extractor, operator, value)?;
            (extractor, test)
        }
        (Side::Extractor(extractor), Side::List(values)) => {
            let test = match (operator, &extractor) {
                (Operator::In, _) => list_test(&extractor, values)?,
                // A list is equal to no field (measured).
                (Operator::Compare(Comparison::Equal), Extractor::Field(_)) => {
                    Test::Never(texts(values)?)
                }
                _ => return None,
            };
            (extractor, test)
        }
        (Side::List(values), Side::Extractor(extractor @ Extractor::Field(_)))
            if operator == Operator::In =>
        {
            // Several elements at once are in no list (measured).
            let test = Test::Never(texts(values)?);
            (extractor, test)
        }
        (Side::Literal(value), Side::Extractor(extractor)) => {
            let test = match operator {
                Operator::In => membership(&extractor, value)?,
                Operator::Ni | Operator::Match => return None,
                operator => literal_test(&extractor, mirrored(operator), value)?,
            };
            (extractor, test)
        }
        _ => return None,
    })
}

/// `~ /…/`. On anything but `#type` it finds nothing (measured).
fn pattern_test(extractor: &Extractor, pattern: &str) -> Result<Test, QueryError> {
    let foreign_group = pattern.match_indices("(?").any(|(at, _)| {
        let behind = &pattern[at + 2..];
        !behind.starts_with([':', '=', '!'])
    });
    if foreign_group {
        return Err(QueryError::Pattern(pattern.to_owned()));
    }
    match extractor {
        Extractor::Type => Regex::new(pattern)
            .map(Test::Pattern)
            .map_err(|_| QueryError::Syntax),
        Extractor::Field(_) if Regex::new(pattern).is_ok() => Ok(Test::Never(Vec::new())),
        _ => Err(QueryError::Syntax),
    }
}

/// `literal in extractor`.
fn membership(extractor: &Extractor, value: Token) -> Option<Test> {
    match (extractor, value) {
        (Extractor::Field(_) | Extractor::Text | Extractor::Texts, Token::Text(text)) => {
            Some(Test::Contains(text))
        }
        (Extractor::Addresses, Token::Address(address)) => {
            Some(Test::Address(HashSet::from([address])))
        }
        // A network holds no element (measured).
        (Extractor::Addresses, Token::Network(_)) => Some(Test::Never(Vec::new())),
        _ => None,
    }
}

/// `extractor operator literal`; `!=` is tested as the equality it denies.
fn literal_test(extractor: &Extractor, operator: Operator, value: Token) -> Option<Test> {
    let comparison = match operator {
        Operator::Compare(comparison) => comparison,
        Operator::NotEqual => Comparison::Equal,
        Operator::Match => return None,
        Operator::Ni => {
            return match extractor {
                Extractor::Texts => membership(extractor, value),
                _ => None,
            };
        }
        Operator::In => {
            return match (extractor, value) {
                (Extractor::Field(_) | Extractor::Address, Token::Network(network)) => {
                    Some(Test::Network(network))
                }
                _ => None,
            };
        }
    };
    let equality = comparison == Comparison::Equal;
    match (extractor, value) {
        (Extractor::Time, Token::Time(time)) => Some(Test::Time(comparison, time)),
        (Extractor::Time, _) => None,
        (Extractor::Field(_) | Extractor::Address, Token::Address(address)) if equality => {
            Some(Test::Address(HashSet::from([address])))
        }
        (Extractor::Address, _) => None,
        (Extractor::Text, Token::Text(text)) if operator != Operator::NotEqual && equality => {
            Some(Test::OneOf(HashSet::from([text])))
        }
        (Extractor::Field(_) | Extractor::Type, Token::Text(text)) if equality => {
            Some(Test::OneOf(HashSet::from([text])))
        }
        (Extractor::Field(_), Token::Number(number)) => {
            Some(Test::Number(comparison, vec![number]))
        }
        (Extractor::Field(_), Token::Time(time)) => Some(Test::Time(comparison, time)),
        (Extractor::Field(_), Token::Name(name)) if equality => Some(Test::Bool(name == "true")),
        _ => None,
    }
}

/// `extractor in [literal, …]`; the literals are of one kind.
fn list_test(extractor: &Extractor, values: Vec<Token>) -> Option<Test> {
    match (extractor, values.first()?) {
        // A list with networks finds nothing (measured).
        (Extractor::Address, Token::Address(_) | Token::Network(_))
            if values.iter().any(|one| matches!(one, Token::Network(_))) =>
        {
            let known = |one: &Token| matches!(one, Token::Address(_) | Token::Network(_));
            values.iter().all(known).then(|| Test::Never(Vec::new()))
        }
        (Extractor::Field(_) | Extractor::Address, Token::Address(_)) => {
            let addresses = values.into_iter().map(|value| match value {
                Token::Address(address) => Some(address),
                _ => None,
            });
            addresses.collect::<Option<_>>().map(Test::Address)
        }
        (Extractor::Field(_) | Extractor::Text, Token::Text(_)) => {
            Some(Test::OneOf(texts(values)?.into_iter().collect()))
        }
        (Extractor::Field(_) | Extractor::Count, Token::Number(_)) => {
            let numbers = values.into_iter().map(|value| match value {
                Token::Number(number) => Some(number),
                _ => None,
            });
            let numbers = numbers.collect::<Option<_>>()?;
            Some(Test::Number(Comparison::Equal, numbers))
        }
        _ => None,
    }
}

/// The strings of a list that holds nothing else.
fn texts(values: Vec<Token>) -> Option<Vec<String>> {
    let texts = values.into_iter().map(|value| match value {
        Token::Text(text) => Some(text),
        _ => None,
    });
    texts.collect()
}

/// The operator as it reads with its sides exchanged.
fn mirrored(operator: Operator) -> Operator {
    let Operator::Compare(comparison) = operator else {
        return operator;
    };
    Operator::Compare(match comparison {
        Comparison::Less => Comparison::Greater,
        Comparison::LessEqual => Comparison::GreaterEqual,
        Comparison::Equal => Comparison::Equal,
        Comparison::GreaterEqual => Comparison::LessEqual,
        Comparison::Greater => Comparison::Less,
    })
}
