//! The syntax tree of a pattern, and its canonical text.
//!
//! `AND`, `OR` and `FOLLOWEDBY` are associative, so a chain of them is one node with two
//! or more parts, no matter how it was parenthesised; no part is a node with the same
//! operator. Parentheses have no node.
//!
//! [`fmt::Display`] writes a pattern that parses back to the same tree (except for
//! positions), unless its canonical text exceeds a limit. What both versions can express
//! is written in the syntax of STIX 2.1.

use std::fmt;

use super::lexer::is_bare_key;
use super::literal::{LiteralValue, quote};
use super::{PatternPosition, Version};

/// A whole pattern.
#[derive(Clone, Debug, PartialEq)]
pub struct Pattern {
    /// The version of the language in which it is valid; 2.1 if it is valid in both.
    pub version: Version,
    /// The root of the tree.
    pub root: Observation,
}

/// What has to be observed.
#[derive(Clone, Debug, PartialEq)]
pub enum Observation {
    /// `[…]`: one observation that satisfies the comparison.
    Single(Comparison),
    /// All of these, each by a different observation.
    And(Vec<Observation>),
    /// Any one of these.
    Or(Vec<Observation>),
    /// All of these in this order of time.
    FollowedBy(Vec<Observation>),
    /// An observation with qualifiers.
    Qualified {
        /// What is observed.
        inner: Box<Observation>,
        /// The qualifiers in the order of the text, at least one.
        qualifiers: Vec<Qualifier>,
    },
}

/// A condition of time or number on an observation.
#[derive(Clone, Debug, PartialEq)]
pub struct Qualifier {
    /// The condition.
    pub kind: QualifierKind,
    /// Its place in the text.
    pub position: PatternPosition,
}

/// The kinds of qualifier.
#[derive(Clone, Debug, PartialEq)]
pub enum QualifierKind {
    /// `WITHIN n SECONDS`: all events within this many seconds; finite and not negative.
    Within(f64),
    /// `REPEATS n TIMES`: this many times; the grammar allows 0.
    Repeats(u64),
    /// `START … STOP …`: not before the first and before the second time.
    StartStop {
        /// The first time.
        start: PatternText,
        /// The end of the span; the grammar allows one before the start.
        stop: PatternText,
        /// The syntax of the times: `t'…'` in STIX 2.1, where they are timestamps, and
        /// `'…'` in 2.0, where the grammar allows any text.
        version: Version,
    },
}

/// What one observation has to satisfy.
#[derive(Clone, Debug, PartialEq)]
pub enum Comparison {
    /// One test of one property.
    Test(Test),
    /// All of these.
    And(Vec<Comparison>),
    /// Any one of these.
    Or(Vec<Comparison>),
}

/// One test of one property.
#[derive(Clone, Debug, PartialEq)]
pub struct Test {
    /// The property.
    pub path: ObjectPath,
    /// The position of the path.
    pub path_position: PatternPosition,
    /// Whether `NOT` precedes the operator; never with [`PropertyCondition::Exists`].
    pub negated: bool,
    /// The operator and its operand.
    pub condition: PropertyCondition,
    /// The position of the whole test.
    pub position: PatternPosition,
}

/// The condition on a property: the operator and its operand.
#[derive(Clone, Debug, PartialEq)]
pub enum PropertyCondition {
    /// `= != < <= > >=`; the last four never with a boolean.
    Compare(Relation, Literal),
    /// `IN (…)`: equal to one of these; the list may be empty.
    In(Vec<Literal>),
    /// `LIKE MATCHES ISSUBSET ISSUPERSET`.
    Text(TextOperator, PatternText),
    /// `EXISTS`: the property exists.
    Exists,
}

/// An operator between a property and one value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Relation {
    /// `=` or `==`.
    Equal,
    /// `!=` or `<>`.
    NotEqual,
    /// `<`.
    Less,
    /// `<=`.
    LessOrEqual,
    /// `>`.
    Greater,
    /// `>=`.
    GreaterOrEqual,
}

/// An operator between a property and a string.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TextOperator {
    /// `LIKE`: SQL's, with `%` for any text and `_` for one character.
    Like,
    /// `MATCHES`: a PCRE, found anywhere.
    Matches,
    /// `ISSUBSET`: the address or network is in this one.
    IsSubset,
    /// `ISSUPERSET`: the network contains this address or network.
    IsSuperset,
}

/// A literal and its position.
#[derive(Clone, Debug, PartialEq)]
pub struct Literal {
    /// The value.
    pub value: LiteralValue,
    /// Its position in the text.
    pub position: PatternPosition,
}

/// A literal that is text, and its position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatternText {
    /// The text, unescaped.
    pub text: String,
    /// Its position in the text of the pattern.
    pub position: PatternPosition,
}

/// The property of an object, such as `file:hashes.'SHA-256'`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ObjectPath {
    /// The type of object, `file`.
    pub object_type: String,
    /// The path from the object to the property; the first step is a key.
    pub steps: Vec<Step>,
}

/// One step of an object path.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Step {
    /// `.name` or `.'any name'`.
    Key(String),
    /// `[0]`; the index saturates.
    Index(u64),
    /// `[*]`: any element of the list.
    AnyIndex,
}

impl Observation {
    /// Calls `visit` with every test, in the order of the text.
    pub fn for_each_test<'a>(&'a self, visit: &mut impl FnMut(&'a Test)) {
        match self {
            Observation::Single(comparison) => comparison.for_each_test(visit),
            Observation::And(parts) | Observation::Or(parts) | Observation::FollowedBy(parts) => {
                parts.iter().for_each(|part| part.for_each_test(visit));
            }
            Observation::Qualified { inner, .. } => inner.for_each_test(visit),
        }
    }
}

impl Comparison {
    /// Calls `visit` with every test, in the order of the text.
    pub fn for_each_test<'a>(&'a self, visit: &mut impl FnMut(&'a Test)) {
        match self {
            Comparison::Test(test) => visit(test),
            Comparison::And(parts) | Comparison::Or(parts) => {
                parts.iter().for_each(|part| part.for_each_test(visit));
            }
        }
    }
}

impl PropertyCondition {
    /// The operator in canonical form.
    pub fn operator(&self) -> &'static str {
        match self {
            PropertyCondition::Compare(relation, _) => relation.symbol(),
            PropertyCondition::In(_) => "IN",
            PropertyCondition::Text(operator, _) => operator.keyword(),
            PropertyCondition::Exists => "EXISTS",
        }
    }
}

impl Relation {
    /// The operator in canonical form.
    pub fn symbol(self) -> &'static str {
        match self {
            Relation::Equal => "=",
            Relation::NotEqual => "!=",
            Relation::Less => "<",
            Relation::LessOrEqual => "<=",
            Relation::Greater => ">",
            Relation::GreaterOrEqual => ">=",
        }
    }
}

impl TextOperator {
    /// The operator's keyword.
    pub fn keyword(self) -> &'static str {
        match self {
            TextOperator::Like => "LIKE",
            TextOperator::Matches => "MATCHES",
            TextOperator::IsSubset => "ISSUBSET",
            TextOperator::IsSuperset => "ISSUPERSET",
        }
    }
}

impl QualifierKind {
    /// The keyword of the qualifier; `START` for `START … STOP`.
    pub fn keyword(&self) -> &'static str {
        match self {
            QualifierKind::Within(_) => "WITHIN",
            QualifierKind::Repeats(_) => "REPEATS",
            QualifierKind::StartStop { .. } => "START",
        }
    }
}

/// Whether a kind of qualifier occurs twice.
fn any_repeated(qualifiers: &[Qualifier]) -> bool {
    qualifiers.iter().enumerate().any(|(at, qualifier)| {
        let before = &qualifiers[..at];
        before
            .iter()
            .any(|other| other.kind.keyword() == qualifier.kind.keyword())
    })
}

/// How tightly an operator binds. An operand that binds less tightly than its position
/// requires is put in parentheses.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Binding {
    FollowedBy,
    Or,
    And,
    Unit,
    /// What a qualifier can follow unambiguously.
    Unqualified,
}

fn join<T>(
    f: &mut fmt::Formatter<'_>,
    parts: &[T],
    separator: &str,
    write: impl Fn(&T, &mut fmt::Formatter<'_>) -> fmt::Result,
) -> fmt::Result {
    for (at, part) in parts.iter().enumerate() {
        if at > 0 {
            f.write_str(separator)?;
        }
        write(part, f)?;
    }
    Ok(())
}

impl Observation {
    fn binding(&self) -> Binding {
        match self {
            Observation::Single(_) => Binding::Unqualified,
            Observation::Qualified { .. } => Binding::Unit,
            Observation::And(_) => Binding::And,
            Observation::Or(_) => Binding::Or,
            Observation::FollowedBy(_) => Binding::FollowedBy,
        }
    }

    /// Writes it for a position that requires at least this binding.
    fn write(&self, f: &mut fmt::Formatter<'_>, place: Binding) -> fmt::Result {
        if self.binding() < place {
            write!(f, "({self})")
        } else {
            write!(f, "{self}")
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.root.fmt(f)
    }
}

impl fmt::Display for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Observation::Single(comparison) => write!(f, "[{comparison}]"),
            Observation::And(parts) => join(f, parts, " AND ", |p, f| p.write(f, Binding::Unit)),
            Observation::Or(parts) => join(f, parts, " OR ", |p, f| p.write(f, Binding::And)),
            Observation::FollowedBy(parts) => {
                join(f, parts, " FOLLOWEDBY ", |p, f| p.write(f, Binding::Or))
            }
            Observation::Qualified { inner, qualifiers } => {
                // STIX 2.1 only allows a repeated qualifier after parentheses.
                if any_repeated(qualifiers) {
                    write!(f, "({inner})")?;
                } else {
                    inner.write(f, Binding::Unqualified)?;
                }
                qualifiers.iter().try_for_each(|q| write!(f, " {q}"))
            }
        }
    }
}

impl fmt::Display for Qualifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.kind {
            QualifierKind::Within(seconds) => write!(f, "WITHIN {seconds} SECONDS"),
            QualifierKind::Repeats(times) => write!(f, "REPEATS {times} TIMES"),
            QualifierKind::StartStop {
                start,
                stop,
                version: Version::Stix21,
            } => write!(f, "START t'{}' STOP t'{}'", start.text, stop.text),
            QualifierKind::StartStop {
                start,
                stop,
                version: Version::Stix20,
            } => write!(f, "START {start} STOP {stop}"),
        }
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Comparison::Test(test) => test.fmt(f),
            Comparison::And(parts) => join(f, parts, " AND ", |part, f| match part {
                Comparison::Test(test) => test.fmt(f),
                compound => write!(f, "({compound})"),
            }),
            Comparison::Or(parts) => join(f, parts, " OR ", |part, f| match part {
                Comparison::Or(_) => write!(f, "({part})"),
                tighter => tighter.fmt(f),
            }),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operator = self.condition.operator();
        if matches!(self.condition, PropertyCondition::Exists) {
            return write!(f, "{operator} {}", self.path);
        }
        let not = if self.negated { "NOT " } else { "" };
        write!(f, "{} {not}{operator} ", self.path)?;
        match &self.condition {
            PropertyCondition::Compare(_, literal) => literal.fmt(f),
            PropertyCondition::In(literals) => {
                f.write_str("(")?;
                join(f, literals, ", ", |literal, f| literal.fmt(f))?;
                f.write_str(")")
            }
            PropertyCondition::Text(_, text) => text.fmt(f),
            PropertyCondition::Exists => Ok(()),
        }
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl fmt::Display for PatternText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        quote(&self.text, f)
    }
}

impl fmt::Display for ObjectPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.object_type)?;
        for (at, step) in self.steps.iter().enumerate() {
            match step {
                Step::Key(key) => {
                    f.write_str(if at == 0 { ":" } else { "." })?;
                    if is_bare_key(key) {
                        f.write_str(key)?;
                    } else {
                        quote(key, f)?;
                    }
                }
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::AnyIndex => f.write_str("[*]")?,
            }
        }
        Ok(())
    }
}
