//! Recursive descent over the tokens: one function for each rule of the grammar.
//!
//! Only parentheses recurse, so that [`MAX_DEPTH`] bounds the stack.

use super::error::{PatternError, PatternPosition, Reason};
use super::lexer::{Keyword, Lexer, LinePlaces, Token, TokenKind, describe};
use super::literal::{self, LiteralValue};
use super::tree::{
    Comparison, Literal, ObjectPath, Observation, Pattern, PatternText, PropertyCondition,
    Qualifier, QualifierKind, Relation, Step, Test, TextOperator,
};
use super::{MAX_DEPTH, MAX_LENGTH, Version};

type Result<T> = std::result::Result<T, PatternError>;

const LITERAL: &str = "a value ('text', a number, true, false, t'…', h'…' or b'…')";
const ORDERABLE: &str = "a value that has an order ('text', a number, t'…', h'…' or b'…')";
const OPERATOR: &str = "a step of the path (.name, [0] or [*]) or an operator (= != < <= > >= \
                        IN LIKE MATCHES ISSUBSET ISSUPERSET, with or without NOT)";

/// Parses a text in one version of the language.
pub(super) fn parse(text: &str, version: Version) -> Result<Pattern> {
    let mut parser = Parser::new(text, version);
    if text.len() > MAX_LENGTH {
        return Err(parser.fail(Reason::TooLong));
    }
    parser.advance();
    let root = parser.followed_by()?;
    if parser.token.kind != TokenKind::End {
        let expected = "AND, OR, FOLLOWEDBY, a qualifier (WITHIN, REPEATS, START) or the end";
        return Err(parser.unexpected(expected));
    }
    Ok(Pattern { version, root })
}

struct Parser<'a> {
    text: &'a str,
    version: Version,
    lexer: Lexer<'a>,
    places: LinePlaces<'a>,
    /// The next token.
    token: Token,
    /// The end of the previous token.
    end: usize,
    /// The number of open parentheses.
    depth: usize,
}

impl<'a> Parser<'a> {
    fn new(text: &'a str, version: Version) -> Self {
        let nothing = Token {
            kind: TokenKind::End,
            start: 0,
            end: 0,
        };
        Parser {
            text,
            version,
            lexer: Lexer::new(text, version),
            places: LinePlaces::new(text),
            token: nothing,
            end: 0,
            depth: 0,
        }
    }

    /// Goes to the next token.
    fn advance(&mut self) {
        self.end = self.token.end;
        self.token = self.lexer.next();
    }

    /// Consumes the next token if it is of this kind.
    fn take(&mut self, kind: TokenKind) -> bool {
        let found = self.token.kind == kind;
        if found {
            self.advance();
        }
        found
    }

    fn take_keyword(&mut self, keyword: Keyword) -> bool {
        self.take(TokenKind::Keyword(keyword))
    }

    fn expect(&mut self, kind: TokenKind, expected: &'static str) -> Result<()> {
        if self.take(kind) {
            Ok(())
        } else {
            Err(self.unexpected(expected))
        }
    }

    fn expect_keyword(&mut self, keyword: Keyword, expected: &'static str) -> Result<()> {
        self.expect(TokenKind::Keyword(keyword), expected)
    }

    /// The text of the next token.
    fn source(&self) -> &'a str {
        &self.text[self.token.start..self.token.end]
    }

    /// The position of the next token.
    fn position(&mut self) -> PatternPosition {
        self.places.position(self.token.start, self.token.end)
    }

    /// Extends a position to the end of the previous token.
    fn stretch(&self, mut position: PatternPosition) -> PatternPosition {
        let end = u32::try_from(self.end).unwrap_or(u32::MAX);
        position.length = end - position.offset;
        position
    }

    fn fail(&mut self, reason: Reason) -> PatternError {
        PatternError {
            position: self.position(),
            reason,
        }
    }

    fn unexpected(&mut self, expected: &'static str) -> PatternError {
        let found = describe(self.text, self.token);
        self.fail(Reason::Expected { expected, found })
    }

    /// Parses a part in parentheses; the opening one is next.
    fn parenthesised<T>(
        &mut self,
        inner: fn(&mut Self) -> Result<T>,
        expected: &'static str,
    ) -> Result<T> {
        if self.depth == MAX_DEPTH {
            return Err(self.fail(Reason::TooDeep));
        }
        self.depth += 1;
        self.advance();
        let found = inner(self)?;
        self.expect(TokenKind::CloseParenthesis, expected)?;
        self.depth -= 1;
        Ok(found)
    }

    /// Parses one or more of `part`, separated by `operator`. Several become a node;
    /// nested nodes with the same operator, which `open` recognises, are merged into it.
    fn chain<T>(
        &mut self,
        operator: Keyword,
        part: fn(&mut Self) -> Result<T>,
        node: fn(Vec<T>) -> T,
        open: fn(&mut T) -> Option<&mut Vec<T>>,
    ) -> Result<T> {
        let first = part(self)?;
        if self.token.kind != TokenKind::Keyword(operator) {
            return Ok(first);
        }
        let mut parts = Vec::new();
        let mut next = first;
        loop {
            match open(&mut next) {
                Some(inner) => parts.append(inner),
                None => parts.push(next),
            }
            if !self.take_keyword(operator) {
                return Ok(node(parts));
            }
            next = part(self)?;
        }
    }

    fn followed_by(&mut self) -> Result<Observation> {
        self.chain(
            Keyword::FollowedBy,
            Self::observation_or,
            Observation::FollowedBy,
            |observation| match observation {
                Observation::FollowedBy(parts) => Some(parts),
                _ => None,
            },
        )
    }

    fn observation_or(&mut self) -> Result<Observation> {
        self.chain(
            Keyword::Or,
            Self::observation_and,
            Observation::Or,
            |observation| match observation {
                Observation::Or(parts) => Some(parts),
                _ => None,
            },
        )
    }

    fn observation_and(&mut self) -> Result<Observation> {
        self.chain(
            Keyword::And,
            Self::observation,
            Observation::And,
            |observation| match observation {
                Observation::And(parts) => Some(parts),
                _ => None,
            },
        )
    }

    /// `[…]` or `(…)` and its qualifiers.
    fn observation(&mut self) -> Result<Observation> {
        // Only 2.1 limits qualifiers to one of each kind, and only for `[…]`.
        let one_of_each;
        let inner = match self.token.kind {
            TokenKind::OpenBracket => {
                one_of_each = self.version == Version::Stix21;
                self.advance();
                let comparison = self.comparison_or()?;
                self.expect(TokenKind::CloseBracket, "AND, OR or ]")?;
                Observation::Single(comparison)
            }
            TokenKind::OpenParenthesis => {
                one_of_each = false;
                let expected = "AND, OR, FOLLOWEDBY, a qualifier or )";
                self.parenthesised(Self::followed_by, expected)?
            }
            _ => return Err(self.unexpected("[ or (")),
        };
        let mut qualifiers: Vec<Qualifier> = Vec::new();
        while let Some(qualifier) = self.qualifier()? {
            let keyword = qualifier.kind.keyword();
            if one_of_each && qualifiers.iter().any(|q| q.kind.keyword() == keyword) {
                return Err(PatternError {
                    position: qualifier.position,
                    reason: Reason::RepeatedQualifier(keyword),
                });
            }
            qualifiers.push(qualifier);
        }
        if qualifiers.is_empty() {
            return Ok(inner);
        }
        Ok(Observation::Qualified {
            inner: Box::new(inner),
            qualifiers,
        })
    }

    /// The next qualifier, if there is one.
    fn qualifier(&mut self) -> Result<Option<Qualifier>> {
        let TokenKind::Keyword(keyword) = self.token.kind else {
            return Ok(None);
        };
        let parse = match keyword {
            Keyword::Within => Self::within,
            Keyword::Repeats => Self::repeats,
            Keyword::Start => Self::start_stop,
            _ => return Ok(None),
        };
        let position = self.position();
        self.advance();
        let kind = parse(self)?;
        let position = self.stretch(position);
        Ok(Some(Qualifier { kind, position }))
    }

    fn within(&mut self) -> Result<QualifierKind> {
        let seconds = match self.token.kind {
            TokenKind::Integer { negative: false } | TokenKind::Float { negative: false } => {
                literal::float(self.source())
            }
            _ => return Err(self.unexpected("a number of seconds that is not negative")),
        };
        if seconds <= 0.0 {
            return Err(self.fail(Reason::Nothing("WITHIN")));
        }
        self.advance();
        self.expect_keyword(Keyword::Seconds, "SECONDS")?;
        Ok(QualifierKind::Within(seconds))
    }

    fn repeats(&mut self) -> Result<QualifierKind> {
        if self.token.kind != (TokenKind::Integer { negative: false }) {
            return Err(self.unexpected("a whole number that is not negative"));
        }
        let times = literal::natural(self.source());
        if times == 0 {
            return Err(self.fail(Reason::Nothing("REPEATS")));
        }
        self.advance();
        self.expect_keyword(Keyword::Times, "TIMES")?;
        Ok(QualifierKind::Repeats(times))
    }

    fn start_stop(&mut self) -> Result<QualifierKind> {
        let start = self.time()?;
        self.expect_keyword(Keyword::Stop, "STOP")?;
        let stop = self.time()?;
        Ok(QualifierKind::StartStop {
            start,
            stop,
            version: self.version,
        })
    }

    /// A time of `START … STOP`: a timestamp in 2.1, a string in 2.0.
    fn time(&mut self) -> Result<PatternText> {
        let text = match (self.version, self.token.kind) {
            (Version::Stix21, TokenKind::Timestamp) => literal::inside(self.source(), 2).to_owned(),
            (Version::Stix20, TokenKind::Text) => literal::unquote(self.source()),
            _ => return Err(self.unexpected("a timestamp, t'2016-05-12T08:17:27Z'")),
        };
        let position = self.position();
        self.advance();
        Ok(PatternText { text, position })
    }

    fn comparison_or(&mut self) -> Result<Comparison> {
        self.chain(
            Keyword::Or,
            Self::comparison_and,
            Comparison::Or,
            |comparison| match comparison {
                Comparison::Or(parts) => Some(parts),
                _ => None,
            },
        )
    }

    fn comparison_and(&mut self) -> Result<Comparison> {
        self.chain(
            Keyword::And,
            Self::comparison,
            Comparison::And,
            |comparison| match comparison {
                Comparison::And(parts) => Some(parts),
                _ => None,
            },
        )
    }

    fn comparison(&mut self) -> Result<Comparison> {
        match self.token.kind {
            TokenKind::OpenParenthesis => self.parenthesised(Self::comparison_or, "AND, OR or )"),
            _ => self.test().map(Comparison::Test),
        }
    }

    fn test(&mut self) -> Result<Test> {
        let position = self.position();
        let exists = self.take_keyword(Keyword::Exists);
        let (path, path_position) = self.path()?;
        let negated = !exists && self.take_keyword(Keyword::Not);
        let condition = if exists {
            PropertyCondition::Exists
        } else {
            self.condition()?
        };
        Ok(Test {
            path,
            path_position,
            negated,
            condition,
            position: self.stretch(position),
        })
    }

    fn path(&mut self) -> Result<(ObjectPath, PatternPosition)> {
        let object_type = match self.token.kind {
            TokenKind::Identifier | TokenKind::HyphenIdentifier => self.source().to_owned(),
            _ => return Err(self.unexpected("an object path such as file:name, EXISTS or (")),
        };
        let position = self.position();
        self.advance();
        self.expect(TokenKind::Colon, ": and a property")?;
        let mut steps = vec![self.key()?];
        loop {
            if self.take(TokenKind::Dot) {
                steps.push(self.key()?);
            } else if self.take(TokenKind::OpenBracket) {
                steps.push(self.index()?);
            } else {
                break;
            }
        }
        let path = ObjectPath { object_type, steps };
        Ok((path, self.stretch(position)))
    }

    fn key(&mut self) -> Result<Step> {
        let key = match self.token.kind {
            TokenKind::Identifier => self.source().to_owned(),
            TokenKind::Text => literal::unquote(self.source()),
            _ => return Err(self.unexpected("a property's name, in quotes if it has a hyphen")),
        };
        self.advance();
        Ok(Step::Key(key))
    }

    /// The part of an index after its bracket. The grammar allows a negative index, but
    /// neither the specification nor the validator gives it a meaning.
    fn index(&mut self) -> Result<Step> {
        let step = match self.token.kind {
            TokenKind::Asterisk => Step::AnyIndex,
            TokenKind::Integer { negative: false } => Step::Index(literal::natural(self.source())),
            _ => return Err(self.unexpected("* or an index from 0")),
        };
        self.advance();
        self.expect(TokenKind::CloseBracket, "]")?;
        Ok(step)
    }

    /// The operator and its operand.
    fn condition(&mut self) -> Result<PropertyCondition> {
        let relation = match self.token.kind {
            TokenKind::Equal => Relation::Equal,
            TokenKind::NotEqual => Relation::NotEqual,
            TokenKind::Less => Relation::Less,
            TokenKind::LessOrEqual => Relation::LessOrEqual,
            TokenKind::Greater => Relation::Greater,
            TokenKind::GreaterOrEqual => Relation::GreaterOrEqual,
            TokenKind::Keyword(keyword) => return self.keyword_condition(keyword),
            _ => return Err(self.unexpected(OPERATOR)),
        };
        self.advance();
        let ordered = !matches!(relation, Relation::Equal | Relation::NotEqual);
        if ordered && self.token.kind == TokenKind::Boolean {
            return Err(self.unexpected(ORDERABLE));
        }
        let literal = self.literal(if ordered { ORDERABLE } else { LITERAL })?;
        Ok(PropertyCondition::Compare(relation, literal))
    }

    fn keyword_condition(&mut self, keyword: Keyword) -> Result<PropertyCondition> {
        let operator = match keyword {
            Keyword::In => {
                self.advance();
                return self.list().map(PropertyCondition::In);
            }
            Keyword::Like => TextOperator::Like,
            Keyword::Matches => TextOperator::Matches,
            Keyword::IsSubset => TextOperator::IsSubset,
            Keyword::IsSuperset => TextOperator::IsSuperset,
            _ => return Err(self.unexpected(OPERATOR)),
        };
        self.advance();
        if self.token.kind != TokenKind::Text {
            return Err(self.unexpected("a string in single quotes"));
        }
        let text = literal::unquote(self.source());
        let position = self.position();
        self.advance();
        Ok(PropertyCondition::Text(
            operator,
            PatternText { text, position },
        ))
    }

    /// `(…)` after `IN`.
    fn list(&mut self) -> Result<Vec<Literal>> {
        self.expect(TokenKind::OpenParenthesis, "( and a list of values")?;
        let mut literals = Vec::new();
        if self.take(TokenKind::CloseParenthesis) {
            return Ok(literals);
        }
        loop {
            literals.push(self.literal(LITERAL)?);
            if self.take(TokenKind::CloseParenthesis) {
                return Ok(literals);
            }
            self.expect(TokenKind::Comma, ", or )")?;
        }
    }

    fn literal(&mut self, expected: &'static str) -> Result<Literal> {
        let source = self.source();
        let value = match self.token.kind {
            TokenKind::Text => LiteralValue::String(literal::unquote(source)),
            TokenKind::Integer { .. } => LiteralValue::Integer(literal::integer(source)),
            TokenKind::Float { .. } => LiteralValue::Float(literal::float(source)),
            TokenKind::Boolean => LiteralValue::Boolean(source == "true"),
            TokenKind::Hex => LiteralValue::Hex(literal::unhex(literal::inside(source, 2))),
            TokenKind::Binary => LiteralValue::Binary(literal::decode(literal::inside(source, 2))),
            TokenKind::Timestamp => LiteralValue::Timestamp(literal::inside(source, 2).to_owned()),
            _ => return Err(self.unexpected(expected)),
        };
        let position = self.position();
        self.advance();
        Ok(Literal { value, position })
    }
}
