//! Tokens to a [`Query`]: recursive descent over
//! `any := all ("||" all)*`, `all := unary ("&&" unary)*`,
//! `unary := "!" unary | "(" any ")" | predicate`.

use std::collections::HashSet;

use super::build::{Operator, Side, build};
use super::lexer::{Token, tokens};
use super::{Comparison, Dialect, Extractor, Node, Predicate, Query, QueryError, Test};

/// Deeper nesting is refused instead of exhausting the stack.
const DEPTH_LIMIT: usize = 128;

/// Reads a query.
///
/// # Errors
/// [`QueryError::Empty`] for nothing but white space, else
/// [`QueryError::Syntax`] for anything that is not described.
pub fn parse(query: &str, dialect: &Dialect) -> Result<Query, QueryError> {
    let tokens = tokens(query)?;
    if tokens.is_empty() {
        return Err(QueryError::Empty);
    }
    let mut parser = Parser {
        tokens: tokens.into_iter().peekable(),
        dialect,
        predicates: Vec::new(),
    };
    let root = parser.any(0)?;
    match parser.tokens.next() {
        None => Ok(Query {
            root,
            predicates: parser.predicates,
        }),
        Some(_) => Err(QueryError::Syntax),
    }
}

struct Parser<'a> {
    tokens: std::iter::Peekable<std::vec::IntoIter<Token>>,
    dialect: &'a Dialect,
    predicates: Vec<Predicate>,
}

impl Parser<'_> {
    fn any(&mut self, depth: usize) -> Result<Node, QueryError> {
        let mut nodes = vec![self.all(depth)?];
        while self.accept("||") {
            nodes.push(self.all(depth)?);
        }
        Ok(single_or(nodes, Node::Any))
    }

    fn all(&mut self, depth: usize) -> Result<Node, QueryError> {
        let mut nodes = vec![self.unary(depth)?];
        while self.accept("&&") {
            nodes.push(self.unary(depth)?);
        }
        Ok(single_or(nodes, Node::All))
    }

    fn unary(&mut self, depth: usize) -> Result<Node, QueryError> {
        if depth > DEPTH_LIMIT {
            return Err(QueryError::Syntax);
        }
        if self.accept("!") {
            return Ok(Node::Not(Box::new(self.unary(depth + 1)?)));
        }
        if self.accept("(") {
            let inner = self.any(depth + 1)?;
            self.expect(")")?;
            return Ok(inner);
        }
        let predicate = self.predicate()?;
        self.predicates.push(predicate);
        Ok(Node::Leaf(self.predicates.len() - 1))
    }

    fn predicate(&mut self) -> Result<Predicate, QueryError> {
        let left = self.side()?;
        if let Side::Literal(Token::Address(address)) = left {
            if !self.at_operator() {
                return Ok(Predicate {
                    extractor: Extractor::Address,
                    test: Test::Address(HashSet::from([address])),
                    negated: false,
                    equality: true,
                });
            }
        }
        let operator = self.operator()?;
        let right = self.side()?;
        build(left, operator, right)
    }

    fn side(&mut self) -> Result<Side, QueryError> {
        match self.tokens.next().ok_or(QueryError::Syntax)? {
            Token::Name(name) => match name.as_str() {
                "in" | "ni" => Err(QueryError::Syntax),
                "true" | "false" => Ok(Side::Literal(Token::Name(name))),
                _ => self.extractor(name).map(Side::Extractor),
            },
            Token::Symbol("[") => self.list().map(Side::List),
            Token::Symbol(_) => Err(QueryError::Syntax),
            literal => Ok(Side::Literal(literal)),
        }
    }

    fn extractor(&self, name: String) -> Result<Extractor, QueryError> {
        if name == self.dialect.address_extractor {
            Ok(Extractor::Address)
        } else if name == "#type" {
            Ok(Extractor::Type)
        } else if name == ":string" {
            Ok(Extractor::Text)
        } else if name == ":count" {
            Ok(Extractor::Count)
        } else if name == ":list<string>" {
            Ok(Extractor::Texts)
        } else if name == format!(":list<{}>", &self.dialect.address_extractor[1..]) {
            Ok(Extractor::Addresses)
        } else if self.dialect.time_extractors.contains(&name) {
            Ok(Extractor::Time)
        } else if name.starts_with([':', '#']) {
            Err(QueryError::Syntax)
        } else {
            Ok(Extractor::Field(name))
        }
    }

    /// The rest of a list, after its opening bracket.
    fn list(&mut self) -> Result<Vec<Token>, QueryError> {
        let mut values = Vec::new();
        loop {
            match self.tokens.next() {
                Some(Token::Symbol(_) | Token::Name(_)) | None => return Err(QueryError::Syntax),
                Some(value) => values.push(value),
            }
            if self.accept("]") {
                return Ok(values);
            }
            self.expect(",")?;
        }
    }

    fn at_operator(&mut self) -> bool {
        match self.tokens.peek() {
            Some(Token::Name(name)) => matches!(name.as_str(), "in" | "ni"),
            Some(Token::Symbol(symbol)) => {
                matches!(*symbol, "==" | "!=" | "<" | "<=" | ">" | ">=" | "~")
            }
            _ => false,
        }
    }

    fn operator(&mut self) -> Result<Operator, QueryError> {
        let token = self.tokens.next().ok_or(QueryError::Syntax)?;
        Ok(match token {
            Token::Name(name) if name == "in" => Operator::In,
            Token::Name(name) if name == "ni" => Operator::Ni,
            Token::Symbol("==") => Operator::Compare(Comparison::Equal),
            Token::Symbol("!=") => Operator::NotEqual,
            Token::Symbol("~") => Operator::Match,
            Token::Symbol("<") => Operator::Compare(Comparison::Less),
            Token::Symbol("<=") => Operator::Compare(Comparison::LessEqual),
            Token::Symbol(">") => Operator::Compare(Comparison::Greater),
            Token::Symbol(">=") => Operator::Compare(Comparison::GreaterEqual),
            _ => return Err(QueryError::Syntax),
        })
    }

    fn accept(&mut self, symbol: &str) -> bool {
        self.tokens
            .next_if(|token| matches!(token, Token::Symbol(found) if *found == symbol))
            .is_some()
    }

    fn expect(&mut self, symbol: &str) -> Result<(), QueryError> {
        self.accept(symbol).then_some(()).ok_or(QueryError::Syntax)
    }
}

fn single_or(mut nodes: Vec<Node>, connective: fn(Vec<Node>) -> Node) -> Node {
    match nodes.len() {
        1 => nodes.remove(0),
        _ => connective(nodes),
    }
}
