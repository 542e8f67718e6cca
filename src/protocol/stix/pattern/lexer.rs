//! Cuts the text of a pattern into tokens, one at a time and without copying.
//!
//! The tokens are those of the OASIS grammar (`STIXPattern.g4`), longest match first, so
//! that `x-y` is one name and `.5` is a number even after a name.

use memchr::{memchr2, memmem};

use super::{PatternPosition, Version};

/// The kind of a token. Its text is found through its offsets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A name without a hyphen, fit for a key.
    Identifier,
    /// A name with a hyphen, fit for an object type only.
    HyphenIdentifier,
    Keyword(Keyword),
    Integer {
        negative: bool,
    },
    Float {
        negative: bool,
    },
    Hex,
    Binary,
    Text,
    Boolean,
    Timestamp,
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    Colon,
    Dot,
    Comma,
    OpenParenthesis,
    CloseParenthesis,
    OpenBracket,
    CloseBracket,
    Asterisk,
    /// A character that begins no token, or the quote of a malformed string.
    Stray,
    End,
}

/// A word that cannot be used as a name without quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    And,
    Or,
    Not,
    FollowedBy,
    Like,
    Matches,
    IsSuperset,
    IsSubset,
    Exists,
    Last,
    In,
    Start,
    Stop,
    Seconds,
    Within,
    Repeats,
    Times,
}

impl Keyword {
    /// The keyword for a word. Keywords are only upper-case.
    fn of(word: &[u8]) -> Option<Self> {
        Some(match word {
            b"AND" => Keyword::And,
            b"OR" => Keyword::Or,
            b"NOT" => Keyword::Not,
            b"FOLLOWEDBY" => Keyword::FollowedBy,
            b"LIKE" => Keyword::Like,
            b"MATCHES" => Keyword::Matches,
            b"ISSUPERSET" => Keyword::IsSuperset,
            b"ISSUBSET" => Keyword::IsSubset,
            b"EXISTS" => Keyword::Exists,
            b"LAST" => Keyword::Last,
            b"IN" => Keyword::In,
            b"START" => Keyword::Start,
            b"STOP" => Keyword::Stop,
            b"SECONDS" => Keyword::Seconds,
            b"WITHIN" => Keyword::Within,
            b"REPEATS" => Keyword::Repeats,
            b"TIMES" => Keyword::Times,
            _ => return None,
        })
    }
}

/// One token: its kind and the bytes `start..end` of the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub kind: TokenKind,
    pub start: usize,
    pub end: usize,
}

/// Whether both versions allow a key without quotes.
pub(super) fn is_bare_key(key: &str) -> bool {
    let bytes = key.as_bytes();
    bytes.first().is_some_and(|&byte| begins_name(byte))
        && bytes.iter().all(|&byte| continues_name(byte))
        && Keyword::of(bytes).is_none()
        && !matches!(key, "true" | "false")
}

fn begins_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_'
}

fn continues_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Reads the tokens of a text.
pub(super) struct Lexer<'a> {
    text: &'a str,
    version: Version,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub fn new(text: &'a str, version: Version) -> Self {
        Lexer {
            text,
            version,
            at: 0,
        }
    }

    /// The next token; always [`TokenKind::End`] at the end of the text.
    pub fn next(&mut self) -> Token {
        self.skip_blanks();
        let start = self.at;
        let (kind, length) = self.scan(&self.text.as_bytes()[start..]);
        self.at = start + length;
        Token {
            kind,
            start,
            end: self.at,
        }
    }

    /// Skips white space and comments. An unterminated comment is not one.
    fn skip_blanks(&mut self) {
        let bytes = self.text.as_bytes();
        loop {
            match bytes.get(self.at) {
                Some(b'\t'..=b'\r' | b' ') => self.at += 1,
                Some(b'/') if bytes[self.at..].starts_with(b"//") => {
                    let rest = &bytes[self.at..];
                    self.at += memchr2(b'\r', b'\n', rest).unwrap_or(rest.len());
                }
                Some(b'/') if bytes[self.at..].starts_with(b"/*") => {
                    match memmem::find(&bytes[self.at + 2..], b"*/") {
                        Some(length) => self.at += length + 4,
                        None => return,
                    }
                }
                Some(128..) => {
                    let next = self.text[self.at..].chars().next();
                    match next.filter(|character| character.is_whitespace()) {
                        Some(blank) => self.at += blank.len_utf8(),
                        None => return,
                    }
                }
                _ => return,
            }
        }
    }

    /// The kind and length of the token at the front of `rest`.
    fn scan(&self, rest: &[u8]) -> (TokenKind, usize) {
        let Some(&first) = rest.first() else {
            return (TokenKind::End, 0);
        };
        let second = rest.get(1);
        match first {
            b'\'' => string_length(rest)
                .map_or((TokenKind::Stray, 1), |length| (TokenKind::Text, length)),
            b'0'..=b'9' | b'+' | b'-' | b'.' => number(rest),
            b'=' if second == Some(&b'=') => (TokenKind::Equal, 2),
            b'=' => (TokenKind::Equal, 1),
            b'!' if second == Some(&b'=') => (TokenKind::NotEqual, 2),
            b'<' if second == Some(&b'>') => (TokenKind::NotEqual, 2),
            b'<' if second == Some(&b'=') => (TokenKind::LessOrEqual, 2),
            b'<' => (TokenKind::Less, 1),
            b'>' if second == Some(&b'=') => (TokenKind::GreaterOrEqual, 2),
            b'>' => (TokenKind::Greater, 1),
            b':' => (TokenKind::Colon, 1),
            b',' => (TokenKind::Comma, 1),
            b'(' => (TokenKind::OpenParenthesis, 1),
            b')' => (TokenKind::CloseParenthesis, 1),
            b'[' => (TokenKind::OpenBracket, 1),
            b']' => (TokenKind::CloseBracket, 1),
            b'*' => (TokenKind::Asterisk, 1),
            byte if begins_name(byte) => self.word(rest),
            _ => (TokenKind::Stray, character_length(first)),
        }
    }

    /// A name, a keyword, or a literal that begins with a letter.
    fn word(&self, rest: &[u8]) -> (TokenKind, usize) {
        let plain = run(rest, continues_name);
        if rest.get(plain) == Some(&b'-') {
            let whole = run(rest, |byte| continues_name(byte) || byte == b'-');
            return (TokenKind::HyphenIdentifier, whole);
        }
        let word = &rest[..plain];
        if plain == 1 && rest.get(1) == Some(&b'\'') {
            let literal = match word[0] {
                b'h' => hex_length(rest).map(|length| (TokenKind::Hex, length)),
                b'b' => binary_length(rest).map(|length| (TokenKind::Binary, length)),
                b't' => timestamp_length(rest).map(|length| (TokenKind::Timestamp, length)),
                _ => None,
            };
            return literal.unwrap_or((TokenKind::Identifier, 1));
        }
        let kind = match Keyword::of(word) {
            // STIX 2.0 has no EXISTS; it is an ordinary name there.
            Some(Keyword::Exists) if self.version == Version::Stix20 => TokenKind::Identifier,
            Some(keyword) => TokenKind::Keyword(keyword),
            None if matches!(word, b"true" | b"false") => TokenKind::Boolean,
            None => TokenKind::Identifier,
        };
        (kind, plain)
    }
}

/// The number of leading bytes that satisfy `test`.
fn run(bytes: &[u8], test: impl Fn(u8) -> bool) -> usize {
    bytes
        .iter()
        .position(|&byte| !test(byte))
        .unwrap_or(bytes.len())
}

/// The length in UTF-8 of a character, by its first byte.
fn character_length(first: u8) -> usize {
    match first {
        0..=0x7f => 1,
        0x80..=0xdf => 2,
        0xe0..=0xef => 3,
        0xf0.. => 4,
    }
}

/// The length of the string at the front, including quotes; `None` if it is not
/// terminated or if a backslash escapes anything but `'` and `\`.
fn string_length(rest: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr2(b'\'', b'\\', &rest[at..])?;
        if rest[at] == b'\'' {
            return Some(at + 1);
        }
        if !matches!(rest.get(at + 1), Some(b'\'' | b'\\')) {
            return None;
        }
        at += 2;
    }
}

/// A number, or a stray sign or dot.
fn number(rest: &[u8]) -> (TokenKind, usize) {
    let sign = usize::from(matches!(rest[0], b'+' | b'-'));
    let negative = rest[0] == b'-';
    let digits = run(&rest[sign..], |byte| byte.is_ascii_digit());
    let point = sign + digits;
    if rest.get(point) == Some(&b'.') {
        let fraction = run(&rest[point + 1..], |byte| byte.is_ascii_digit());
        if fraction > 0 {
            return (TokenKind::Float { negative }, point + 1 + fraction);
        }
    }
    match (digits, rest[0]) {
        (0, b'.') => (TokenKind::Dot, 1),
        (0, _) => (TokenKind::Stray, 1),
        // An integer has no leading zero: `05` is `0` and then `5`.
        _ if rest[sign] == b'0' => (TokenKind::Integer { negative }, sign + 1),
        _ => (TokenKind::Integer { negative }, point),
    }
}

/// The length of `h'…'` with whole bytes.
fn hex_length(rest: &[u8]) -> Option<usize> {
    let digits = run(&rest[2..], |byte| byte.is_ascii_hexdigit());
    let closed = rest.get(2 + digits) == Some(&b'\'');
    (digits % 2 == 0 && closed).then_some(digits + 3)
}

/// The length of `b'…'` with at least one byte of padded base64.
fn binary_length(rest: &[u8]) -> Option<usize> {
    let digits = run(&rest[2..], |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/')
    });
    let padding = run(&rest[2 + digits..], |byte| byte == b'=');
    let length = digits + padding;
    let closed = rest.get(2 + length) == Some(&b'\'');
    (length > 0 && length % 4 == 0 && padding <= 2 && closed).then_some(length + 3)
}

/// The length of `t'2016-05-12T08:17:27.000Z'`: days up to 31 in every month,
/// seconds up to 60, the fraction optional.
fn timestamp_length(rest: &[u8]) -> Option<usize> {
    const SHAPE: &[u8; 19] = b"dddd-dd-ddTdd:dd:dd";
    let stamp = rest.get(2..2 + SHAPE.len())?;
    let shaped = stamp.iter().zip(SHAPE).all(|(&byte, &shape)| match shape {
        b'd' => byte.is_ascii_digit(),
        separator => byte == separator,
    });
    if !shaped {
        return None;
    }
    let two = |at: usize| (stamp[at] - b'0') * 10 + (stamp[at + 1] - b'0');
    let in_range = (1..=12).contains(&two(5))
        && (1..=31).contains(&two(8))
        && two(11) <= 23
        && two(14) <= 59
        && two(17) <= 60;
    let mut at = 2 + SHAPE.len();
    if rest.get(at) == Some(&b'.') {
        let fraction = run(&rest[at + 1..], |byte| byte.is_ascii_digit());
        if fraction == 0 {
            return None;
        }
        at += 1 + fraction;
    }
    (in_range && rest[at..].starts_with(b"Z'")).then_some(at + 2)
}

/// Describes the token for an error message.
pub(super) fn describe(text: &str, token: Token) -> String {
    let source = &text[token.start..token.end];
    let before_quote = text[token.end..].starts_with('\'');
    match (token.kind, source) {
        (TokenKind::End, _) => "the end of the pattern".to_owned(),
        (TokenKind::Stray, "'") => string_fault(&text.as_bytes()[token.start..]).to_owned(),
        (TokenKind::Identifier, "t") if before_quote => {
            "a timestamp unlike t'2016-05-12T08:17:27.000Z'".to_owned()
        }
        (TokenKind::Identifier, "h") if before_quote => {
            "a h'…' that does not hold pairs of hexadecimal digits".to_owned()
        }
        (TokenKind::Identifier, "b") if before_quote => {
            "a b'…' that does not hold padded base64".to_owned()
        }
        _ => {
            const PATTERN_SHOWN: usize = 40;
            let shown: String = source.chars().take(PATTERN_SHOWN).collect();
            let cut = if shown.len() < source.len() {
                "…"
            } else {
                ""
            };
            format!("`{}{cut}`", shown.escape_debug())
        }
    }
}

/// The error in the string at the front, whose end was not found.
fn string_fault(rest: &[u8]) -> &'static str {
    let mut at = 1;
    while let Some(found) = memchr2(b'\'', b'\\', &rest[at..]) {
        match rest.get(at + found + 1) {
            Some(b'\'' | b'\\') => at += found + 2,
            Some(_) => return "a string with a \\ that neither ' nor \\ follows",
            None => break,
        }
    }
    "a string without its closing quote"
}

/// Converts offsets into lines and columns. Offsets have to be in order, so that the text
/// is scanned only once.
pub(super) struct LinePlaces<'a> {
    text: &'a str,
    offset: usize,
    line: u32,
    column: u32,
}

impl<'a> LinePlaces<'a> {
    pub fn new(text: &'a str) -> Self {
        LinePlaces {
            text,
            offset: 0,
            line: 1,
            column: 1,
        }
    }

    /// The position of the bytes `start..end`; `start` must not be less than in the
    /// previous call.
    pub fn position(&mut self, start: usize, end: usize) -> PatternPosition {
        for &byte in &self.text.as_bytes()[self.offset..start] {
            if byte == b'\n' {
                self.line += 1;
                self.column = 1;
            } else if byte & 0xc0 != 0x80 {
                self.column += 1;
            }
        }
        self.offset = start;
        PatternPosition {
            offset: small(start),
            length: small(end - start),
            line: self.line,
            column: self.column,
        }
    }
}

/// An offset in a text that is within [`super::MAX_LENGTH`].
fn small(offset: usize) -> u32 {
    u32::try_from(offset).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(text: &str) -> Vec<(TokenKind, &str)> {
        let mut lexer = Lexer::new(text, Version::Stix21);
        let mut found = Vec::new();
        loop {
            let token = lexer.next();
            if token.kind == TokenKind::End {
                return found;
            }
            found.push((token.kind, &text[token.start..token.end]));
        }
    }

    fn only(text: &str) -> TokenKind {
        match kinds(text).as_slice() {
            [(kind, whole)] if *whole == text => *kind,
            other => panic!("{text:?} is not one token: {other:?}"),
        }
    }

    #[test]
    fn literals_are_recognised_with_their_prefix() {
        assert_eq!(only("h''"), TokenKind::Hex);
        assert_eq!(only("h'00fF'"), TokenKind::Hex);
        assert_eq!(only("b'AAAA'"), TokenKind::Binary);
        assert_eq!(only("b'AA=='"), TokenKind::Binary);
        assert_eq!(only("b'AAAAAAA='"), TokenKind::Binary);
        assert_eq!(only("t'2020-02-31T23:59:60Z'"), TokenKind::Timestamp);
        assert_eq!(
            only("t'2020-02-28T23:59:59.123456789Z'"),
            TokenKind::Timestamp
        );
        assert_eq!(only(r"'it\'s a \\'"), TokenKind::Text);
        assert_eq!(only("'two\nlines'"), TokenKind::Text);
    }

    #[test]
    fn malformed_literals_fall_apart() {
        for text in [
            "h'0'",
            "h'0g'",
            "b''",
            "b'===='",
            "b'A==='",
            "b'AAA'",
            "b'AA=A'",
            "t'2020-13-01T00:00:00Z'",
            "t'2020-00-01T00:00:00Z'",
            "t'2020-01-32T00:00:00Z'",
            "t'2020-01-01T24:00:00Z'",
            "t'2020-01-01T00:60:00Z'",
            "t'2020-01-01T00:00:61Z'",
            "t'2020-01-01T00:00:00.Z'",
            "t'2020-01-01T00:00:00'",
            "t'2020-01-01 00:00:00Z'",
        ] {
            assert_eq!(kinds(text)[0].0, TokenKind::Identifier, "{text}");
        }
        assert_eq!(kinds(r"'a\n'")[0].0, TokenKind::Stray);
        assert_eq!(kinds("'open")[0].0, TokenKind::Stray);
        assert_eq!(kinds(r"'open\")[0].0, TokenKind::Stray);
    }

    #[test]
    fn numbers_follow_the_longest_match() {
        let integer = TokenKind::Integer { negative: false };
        let float = TokenKind::Float { negative: false };
        assert_eq!(only("+0"), integer);
        assert_eq!(only("-17"), TokenKind::Integer { negative: true });
        assert_eq!(only("-.5"), TokenKind::Float { negative: true });
        assert_eq!(only("007.50"), float);
        assert_eq!(kinds("05"), [(integer, "0"), (integer, "5")]);
        assert_eq!(kinds("1."), [(integer, "1"), (TokenKind::Dot, ".")]);
        assert_eq!(
            kinds("1..5"),
            [(integer, "1"), (TokenKind::Dot, "."), (float, ".5")]
        );
        assert_eq!(kinds("a.5"), [(TokenKind::Identifier, "a"), (float, ".5")]);
        assert_eq!(kinds("-"), [(TokenKind::Stray, "-")]);
    }

    #[test]
    fn names_and_keywords_are_distinguished() {
        assert_eq!(only("AND"), TokenKind::Keyword(Keyword::And));
        assert_eq!(only("And"), TokenKind::Identifier);
        assert_eq!(only("AND-x"), TokenKind::HyphenIdentifier);
        assert_eq!(only("true"), TokenKind::Boolean);
        assert_eq!(only("x_1-"), TokenKind::HyphenIdentifier);
        assert_eq!(only("EXISTS"), TokenKind::Keyword(Keyword::Exists));
        let mut older = Lexer::new("EXISTS", Version::Stix20);
        assert_eq!(older.next().kind, TokenKind::Identifier);
    }

    #[test]
    fn blanks_and_comments_are_skipped() {
        let text = " \u{a0}\u{3000}\u{85}/* a * b */ x // c\r\n/**/y";
        let names: Vec<&str> = kinds(text).iter().map(|(_, name)| *name).collect();
        assert_eq!(names, ["x", "y"]);
        assert_eq!(
            kinds("/*/"),
            [
                (TokenKind::Stray, "/"),
                (TokenKind::Asterisk, "*"),
                (TokenKind::Stray, "/")
            ]
        );
    }

    #[test]
    fn strange_characters_are_one_token_each() {
        assert_eq!(kinds("é€😀\u{feff}").len(), 4);
        assert!(
            kinds("é€😀\u{feff}?")
                .iter()
                .all(|t| t.0 == TokenKind::Stray)
        );
    }

    #[test]
    fn positions_count_lines_and_characters() {
        let mut places = LinePlaces::new("é\nab");
        assert_eq!(places.position(0, 2).column, 1);
        let second = places.position(4, 5);
        assert_eq!(
            (second.offset, second.length, second.line, second.column),
            (4, 1, 2, 2)
        );
    }
}
