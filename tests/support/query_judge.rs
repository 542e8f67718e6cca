//! An independent parser of the engine's query language: written from its description,
//! without the code of the program that writes queries, and of the stand-in that answers
//! them. It determines what a query searches.

use std::net::IpAddr;

/// One comparison of a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Predicate {
    /// The field, concept, `:type` or `#attribute`; `None` for a bare value.
    pub field: Option<String>,
    /// The operator; empty for a bare value.
    pub operator: String,
    /// The values that it is compared with.
    pub values: Vec<Value>,
}

/// A value in a query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// A string literal, its escapes undone.
    Text(String),
    /// A regular expression between slashes, unchanged.
    Expression(String),
    /// An address, a network, a number or a time.
    Plain(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Value(Value),
    Name(String),
    Operator(String),
    Mark(char),
    And,
    Or,
    Not,
}

/// Parses a query.
///
/// # Errors
/// What does not belong to the language.
pub fn parse(query: &str) -> Result<Vec<Predicate>, String> {
    let mut reader = Reader {
        tokens: tokens(query)?,
        at: 0,
        found: Vec::new(),
    };
    reader.disjunction(0)?;
    match reader.tokens.get(reader.at) {
        None => Ok(reader.found),
        Some(token) => Err(format!("{token:?} is left over")),
    }
}

fn tokens(query: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = query.trim_start();
    while let Some(first) = rest.chars().next() {
        let (token, length) = match first {
            '"' => quoted(rest, '"').map(|(text, n)| (Token::Value(Value::Text(text)), n))?,
            '/' => quoted(rest, '/').map(|(text, n)| (Token::Value(Value::Expression(text)), n))?,
            '(' | ')' | '[' | ']' | ',' => (Token::Mark(first), 1),
            _ => symbol(rest).or_else(|| word(rest)).ok_or_else(|| {
                let shown: String = rest.chars().take(20).collect();
                format!("{shown:?} is no token")
            })?,
        };
        tokens.push(token);
        rest = rest[length..].trim_start();
    }
    Ok(tokens)
}

/// The text between two marks, and its length including them.
fn quoted(text: &str, mark: char) -> Result<(String, usize), String> {
    let mut found = String::new();
    let mut characters = text.char_indices().skip(1);
    while let Some((at, character)) = characters.next() {
        match character {
            end if end == mark => return Ok((found, at + 1)),
            // A backslash is a literal character, except before the mark.
            '\\' if text[at + 1..].starts_with(mark) => {
                characters.next();
                found.push(mark);
            }
            other if other.is_ascii_control() => {
                return Err(format!("{other:?} is between two {mark}"));
            }
            other => found.push(other),
        }
    }
    Err(format!("{mark} is not closed"))
}

fn symbol(text: &str) -> Option<(Token, usize)> {
    let operator = |sign: &str| Token::Operator(sign.to_owned());
    for sign in ["==", "!=", "<=", ">=", "!~"] {
        if text.starts_with(sign) {
            return Some((operator(sign), 2));
        }
    }
    if text.starts_with("&&") {
        return Some((Token::And, 2));
    }
    if text.starts_with("||") {
        return Some((Token::Or, 2));
    }
    Some(match text.chars().next()? {
        '<' => (operator("<"), 1),
        '>' => (operator(">"), 1),
        '~' => (operator("~"), 1),
        '!' => (Token::Not, 1),
        _ => return None,
    })
}

fn word(text: &str) -> Option<(Token, usize)> {
    let belongs =
        |character: char| character.is_ascii_alphanumeric() || ".:_#-/+".contains(character);
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    let word = &text[..end];
    let token = match word {
        "in" | "ni" => Token::Operator(word.to_owned()),
        _ if is_plain(word) => Token::Value(Value::Plain(word.to_owned())),
        _ if is_name(word) => Token::Name(word.to_owned()),
        _ => return None,
    };
    Some((token, end))
}

/// An address, a network, a number, or a time such as `2009-11-19T08:00:00`.
fn is_plain(word: &str) -> bool {
    let network = word.split_once('/').is_some_and(|(address, bits)| {
        address.parse::<IpAddr>().is_ok() && bits.parse::<u8>().is_ok_and(|bits| bits <= 128)
    });
    let time = word.len() >= 10
        && word.as_bytes()[4] == b'-'
        && word
            .bytes()
            .all(|byte| byte.is_ascii_digit() || b"-T:.".contains(&byte));
    network || time || word.parse::<IpAddr>().is_ok() || word.parse::<u64>().is_ok()
}

fn is_name(word: &str) -> bool {
    let name = word.strip_prefix([':', '#']).unwrap_or(word);
    name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._".contains(&byte))
}

struct Reader {
    tokens: Vec<Token>,
    at: usize,
    found: Vec<Predicate>,
}

impl Reader {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at)
    }

    fn take(&mut self) -> Result<Token, String> {
        let token = self.peek().cloned().ok_or("the query ends too early")?;
        self.at += 1;
        Ok(token)
    }

    fn takes(&mut self, token: &Token) -> bool {
        let there = self.peek() == Some(token);
        self.at += usize::from(there);
        there
    }

    fn disjunction(&mut self, depth: usize) -> Result<(), String> {
        if depth > 64 {
            return Err("it is nested too deeply".to_owned());
        }
        loop {
            self.factor(depth)?;
            while self.takes(&Token::And) {
                self.factor(depth)?;
            }
            if !self.takes(&Token::Or) {
                return Ok(());
            }
        }
    }

    fn factor(&mut self, depth: usize) -> Result<(), String> {
        self.takes(&Token::Not);
        if self.takes(&Token::Mark('(')) {
            self.disjunction(depth + 1)?;
            return match self.take()? {
                Token::Mark(')') => Ok(()),
                other => Err(format!("{other:?} where a bracket closes")),
            };
        }
        let predicate = self.predicate()?;
        self.found.push(predicate);
        Ok(())
    }

    fn predicate(&mut self) -> Result<Predicate, String> {
        match self.take()? {
            Token::Name(field) => {
                let operator = self.operator()?;
                let values = self.values()?;
                Ok(Predicate {
                    field: Some(field),
                    operator,
                    values,
                })
            }
            Token::Value(value) => self.value_first(value),
            other => Err(format!("{other:?} where a comparison begins")),
        }
    }

    /// `VALUE OPERATOR FIELD`, or a value alone.
    fn value_first(&mut self, value: Value) -> Result<Predicate, String> {
        let values = vec![value];
        if !matches!(self.peek(), Some(Token::Operator(_))) {
            return Ok(Predicate {
                field: None,
                operator: String::new(),
                values,
            });
        }
        let operator = self.operator()?;
        match self.take()? {
            Token::Name(field) => Ok(Predicate {
                field: Some(field),
                operator,
                values,
            }),
            other => Err(format!("{other:?} in place of a field")),
        }
    }

    fn operator(&mut self) -> Result<String, String> {
        match self.take()? {
            Token::Operator(operator) => Ok(operator),
            other => Err(format!("{other:?} in place of an operator")),
        }
    }

    fn values(&mut self) -> Result<Vec<Value>, String> {
        match self.take()? {
            Token::Value(value) => return Ok(vec![value]),
            Token::Mark('[') => {}
            other => return Err(format!("{other:?} in place of a value")),
        }
        let mut values = Vec::new();
        loop {
            match self.take()? {
                Token::Value(value) => values.push(value),
                other => return Err(format!("{other:?} in a list")),
            }
            match self.take()? {
                Token::Mark(']') => return Ok(values),
                Token::Mark(',') => {}
                other => return Err(format!("{other:?} in a list")),
            }
        }
    }
}
