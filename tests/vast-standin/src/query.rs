//! The query language: only what is known of the real one, so that a query that was never
//! measured fails here instead of in production.

mod build;
mod lexer;
mod parser;
mod value;

pub use parser::parse;
pub use value::{Instant, Network, Number, canonical_address, parse_instant};

use std::collections::HashSet;
use std::net::IpAddr;

use regex::Regex;

/// Where the releases of the engine differ.
#[derive(Debug, Clone)]
pub struct Dialect {
    /// The extractor of every field of type address: `:addr`, from 3.0 on `:ip`.
    pub address_extractor: String,
    /// The extractors of the event's own time: `#timestamp`, later `:timestamp`.
    pub time_extractors: Vec<String>,
}

impl Default for Dialect {
    fn default() -> Self {
        Self {
            address_extractor: ":addr".into(),
            time_extractors: vec!["#timestamp".into()],
        }
    }
}

/// Why a query is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum QueryError {
    /// Nothing but white space: the engine says `invalid_query`.
    Empty,
    /// A pattern with a group that the engine has not, like `(?i)`: it says
    /// `syntax_error`, with the pattern.
    Pattern(String),
    /// Anything else that is no query: the engine says `parse_error`.
    Syntax,
}

/// A parsed query: a tree over numbered predicates.
#[derive(Debug)]
pub struct Query {
    /// The tree; its leaves are positions in [`Query::predicates`].
    pub root: Node,
    /// Every predicate, in the order of the text.
    pub predicates: Vec<Predicate>,
}

/// A connective or a predicate of the query.
#[derive(Debug, PartialEq, Eq)]
pub enum Node {
    /// `a || b || …`
    Any(Vec<Node>),
    /// `a && b && …`
    All(Vec<Node>),
    /// `! a`
    Not(Box<Node>),
    /// The predicate at this position.
    Leaf(usize),
}

/// One test of an event.
#[derive(Debug)]
pub struct Predicate {
    /// The part of the event that is tested.
    pub extractor: Extractor,
    /// What it is tested for.
    pub test: Test,
    /// `!=`: the test must fail on every field that is there.
    pub negated: bool,
    /// `==` or `!=`, and not a list of one: it finds nothing where the name means
    /// fields of several types.
    pub equality: bool,
}

/// The part of an event that a predicate tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Extractor {
    /// A concept, a whole field name or the end of one.
    Field(String),
    /// Every field of type address.
    Address,
    /// Every field of type string.
    Text,
    /// Every field of type count.
    Count,
    /// Every list of strings.
    Texts,
    /// Every list of addresses.
    Addresses,
    /// The name of the event's type.
    Type,
    /// The event's own time.
    Time,
}

/// The test of a value.
#[derive(Debug)]
pub enum Test {
    /// Equal to one of these strings.
    OneOf(HashSet<String>),
    /// Holds this string; of a list: as a whole element.
    Contains(String),
    /// Matches this pattern somewhere; known of `#type` alone.
    Pattern(Regex),
    /// A test that parses but never holds, with its strings.
    Never(Vec<String>),
    /// One of these addresses (IPv4-mapped ones as IPv4).
    Address(HashSet<IpAddr>),
    /// In this network.
    Network(Network),
    /// Compares like this with a number.
    Number(Comparison, Vec<Number>),
    /// Compares like this with a time.
    Time(Comparison, Instant),
    /// Equal to a boolean.
    Bool(bool),
}

/// A comparison of ordered values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `==`
    Equal,
    /// `>=`
    GreaterEqual,
    /// `>`
    Greater,
}

impl Comparison {
    /// Whether values in this order satisfy the comparison.
    pub fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::LessEqual => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::GreaterEqual => order.is_ge(),
            Self::Greater => order.is_gt(),
        }
    }
}

impl Query {
    /// Every distinct string and address in the query.
    pub fn iocs(&self) -> HashSet<String> {
        let mut iocs = HashSet::new();
        for predicate in &self.predicates {
            if matches!(predicate.extractor, Extractor::Type | Extractor::Time) {
                continue;
            }
            match &predicate.test {
                Test::OneOf(values) => iocs.extend(values.iter().cloned()),
                Test::Never(values) => iocs.extend(values.iter().cloned()),
                Test::Contains(value) => {
                    iocs.insert(value.clone());
                }
                Test::Address(values) => iocs.extend(values.iter().map(IpAddr::to_string)),
                Test::Network(network) => {
                    iocs.insert(network.to_string());
                }
                Test::Pattern(_) | Test::Number(..) | Test::Time(..) | Test::Bool(_) => {}
            }
        }
        iocs
    }
}

#[cfg(test)]
mod tests;
