//! Text to tokens.

use std::net::IpAddr;

use super::QueryError;
use super::value::{Instant, Network, Number, canonical_address, parse_instant};

/// One token of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Token {
    /// A string literal, unescaped.
    Text(String),
    /// A pattern between slashes, as written.
    Pattern(String),
    /// A bare address.
    Address(IpAddr),
    /// A bare network.
    Network(Network),
    /// A number.
    Number(Number),
    /// A time.
    Time(Instant),
    /// A name: a field, a concept, a keyword, or an extractor (`#type`, `:addr`).
    Name(String),
    /// An operator or a bracket.
    Symbol(&'static str),
}

/// Extractors with a type in angle brackets.
const LISTS: [&str; 3] = [":list<string>", ":list<addr>", ":list<ip>"];

/// Longer symbols come before the shorter ones that they begin with.
const SYMBOLS: [&str; 15] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "!", "~", "(", ")", "[", "]", ",",
];

/// Splits a query into tokens.
pub fn tokens(query: &str) -> Result<Vec<Token>, QueryError> {
    let mut tokens = Vec::new();
    let mut rest = query.trim_start();
    while !rest.is_empty() {
        let (token, after) = token(rest)?;
        tokens.push(token);
        rest = after.trim_start();
    }
    Ok(tokens)
}

/// The first token of a text that is not empty, and what follows it.
fn token(text: &str) -> Result<(Token, &str), QueryError> {
    if let Some(rest) = text.strip_prefix('"') {
        return string(rest);
    }
    if let Some(rest) = text.strip_prefix('/') {
        return pattern(rest);
    }
    for symbol in SYMBOLS {
        if let Some(rest) = text.strip_prefix(symbol) {
            return Ok((Token::Symbol(symbol), rest));
        }
    }
    for list in LISTS {
        if let Some(rest) = text.strip_prefix(list) {
            return Ok((Token::Name(list.to_owned()), rest));
        }
    }
    let end = text.find(|c| !is_word(c)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    Ok((classify(word).ok_or(QueryError::Syntax)?, rest))
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | ':' | '/' | '_' | '-' | '+' | '#')
}

/// A string literal after its opening quote. A backslash is itself, but before a
/// quote; control characters have no place in it.
fn string(text: &str) -> Result<(Token, &str), QueryError> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let stop = rest.find(['"', '\\']).ok_or(QueryError::Syntax)?;
        value.push_str(&rest[..stop]);
        if let Some(after) = rest[stop..].strip_prefix('"') {
            return if value.contains(|c: char| c.is_ascii_control()) {
                Err(QueryError::Syntax)
            } else {
                Ok((Token::Text(value), after))
            };
        }
        if let Some(after) = rest[stop..].strip_prefix("\\\"") {
            value.push('"');
            rest = after;
        } else {
            value.push('\\');
            rest = &rest[stop + 1..];
        }
    }
}

/// A pattern after its opening slash; `\/` stands for a slash.
fn pattern(text: &str) -> Result<(Token, &str), QueryError> {
    let mut value = String::new();
    let mut rest = text;
    loop {
        let stop = rest.find(['/', '\\']).ok_or(QueryError::Syntax)?;
        value.push_str(&rest[..stop]);
        if rest[stop..].starts_with('/') {
            return Ok((Token::Pattern(value), &rest[stop + 1..]));
        }
        let escaped = rest[stop + 1..].chars().next().ok_or(QueryError::Syntax)?;
        if escaped != '/' {
            value.push('\\');
        }
        value.push(escaped);
        rest = &rest[stop + 1 + escaped.len_utf8()..];
    }
}

fn classify(word: &str) -> Option<Token> {
    if let Some(address) = canonical_address(word) {
        return Some(Token::Address(address));
    }
    if let Some(number) = Number::parse(word) {
        return Some(Token::Number(number));
    }
    if let Some(time) = parse_instant(word) {
        return Some(Token::Time(time));
    }
    if let Some(network) = Network::parse(word) {
        return Some(Token::Network(network));
    }
    let bare = word.strip_prefix([':', '#']).unwrap_or(word);
    let named = bare.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && bare
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
    named.then(|| Token::Name(word.to_string()))
}
