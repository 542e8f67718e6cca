//! The literals of a pattern: parsing and printing.

use std::fmt;

/// The value of a literal, unescaped.
#[derive(Clone, Debug, PartialEq)]
pub enum LiteralValue {
    /// `'…'`.
    String(String),
    /// `17`, `-5`. Saturates at the limits of 128 bits, beyond any number in an event, so
    /// that comparisons still have the same result.
    Integer(i128),
    /// `7.0`, `.5`; finite. It saturates at the largest `f64`.
    Float(f64),
    /// `true`, `false`.
    Boolean(bool),
    /// `h'ffd8'`.
    Hex(Vec<u8>),
    /// `b'dGVzdA=='`, decoded; never empty.
    Binary(Vec<u8>),
    /// `t'2016-05-12T08:17:27.000Z'`: the text between the quotes. Its fields are
    /// in range, but the grammar allows days that do not exist (February 31).
    Timestamp(String),
}

impl LiteralValue {
    /// The kind of value, with its article, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            LiteralValue::String(_) => "a string",
            LiteralValue::Integer(_) => "an integer",
            LiteralValue::Float(_) => "a floating-point number",
            LiteralValue::Boolean(_) => "a boolean",
            LiteralValue::Hex(_) => "hexadecimal bytes",
            LiteralValue::Binary(_) => "base64 bytes",
            LiteralValue::Timestamp(_) => "a timestamp",
        }
    }
}

impl fmt::Display for LiteralValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LiteralValue::String(text) => quote(text, f),
            LiteralValue::Integer(number) => write!(f, "{number}"),
            LiteralValue::Float(number) if number.fract() == 0.0 => write!(f, "{number:.1}"),
            LiteralValue::Float(number) => write!(f, "{number}"),
            LiteralValue::Boolean(value) => write!(f, "{value}"),
            LiteralValue::Hex(bytes) => {
                f.write_str("h'")?;
                bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?;
                f.write_str("'")
            }
            LiteralValue::Binary(bytes) => {
                f.write_str("b'")?;
                bytes.chunks(3).try_for_each(|group| encode(group, f))?;
                f.write_str("'")
            }
            LiteralValue::Timestamp(stamp) => write!(f, "t'{stamp}'"),
        }
    }
}

/// Writes a string literal.
pub(super) fn quote(text: &str, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    use fmt::Write as _;
    f.write_char('\'')?;
    for part in text.split_inclusive(['\'', '\\']) {
        match part.as_bytes().last() {
            Some(&special @ (b'\'' | b'\\')) => {
                f.write_str(&part[..part.len() - 1])?;
                f.write_char('\\')?;
                f.write_char(char::from(special))?;
            }
            _ => f.write_str(part)?,
        }
    }
    f.write_char('\'')
}

/// The text of a string literal, from its source including quotes.
pub(super) fn unquote(source: &str) -> String {
    let inner = inside(source, 1);
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return inner.to_owned();
    }
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => text.extend(characters.next()),
            other => text.push(other),
        }
    }
    text
}

/// The text between the quotes of a literal whose opening has `opening` bytes.
pub(super) fn inside(source: &str, opening: usize) -> &str {
    &source[opening..source.len() - 1]
}

/// An integer literal that the lexer has validated.
pub(super) fn integer(source: &str) -> i128 {
    source.parse().unwrap_or(if source.starts_with('-') {
        i128::MIN
    } else {
        i128::MAX
    })
}

/// A non-negative integer. It saturates.
pub(super) fn natural(source: &str) -> u64 {
    source.parse().unwrap_or(u64::MAX)
}

/// A floating-point literal that the lexer has validated.
pub(super) fn float(source: &str) -> f64 {
    let number: f64 = source
        .parse()
        .expect("digits with a point and a sign are a number");
    number.clamp(f64::MIN, f64::MAX)
}

/// The bytes of pairs of hexadecimal digits.
pub(super) fn unhex(digits: &str) -> Vec<u8> {
    digits
        .as_bytes()
        .chunks_exact(2)
        .map(|pair| nibble(pair[0]) << 4 | nibble(pair[1]))
        .collect()
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        b'a'..=b'f' => digit - b'a' + 10,
        _ => digit - b'A' + 10,
    }
}

/// The bytes of padded base64. Excess bits are dropped, since the grammar does not
/// require them to be zero.
pub(super) fn decode(base64: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(base64.len() / 4 * 3);
    for group in base64.as_bytes().chunks_exact(4) {
        let padding = group.iter().filter(|&&byte| byte == b'=').count();
        let bits = group
            .iter()
            .fold(0_u32, |bits, &digit| bits << 6 | u32::from(sextet(digit)));
        bytes.extend_from_slice(&bits.to_be_bytes()[1..4 - padding]);
    }
    bytes
}

fn sextet(digit: u8) -> u8 {
    match digit {
        b'A'..=b'Z' => digit - b'A',
        b'a'..=b'z' => digit - b'a' + 26,
        b'0'..=b'9' => digit - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => 0,
    }
}

/// Writes one to three bytes as four characters of base64.
fn encode(group: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bits = [0; 4];
    bits[1..=group.len()].copy_from_slice(group);
    let bits = u32::from_be_bytes(bits);
    let digit = |at: u32| char::from(DIGITS[(bits >> (18 - 6 * at)) as usize & 63]);
    write!(f, "{}{}", digit(0), digit(1))?;
    match group.len() {
        1 => f.write_str("=="),
        2 => write!(f, "{}=", digit(2)),
        _ => write!(f, "{}{}", digit(2), digit(3)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_lose_and_regain_their_escapes() {
        let source = r"'it\'s C:\\x'";
        let text = unquote(source);
        assert_eq!(text, r"it's C:\x");
        assert_eq!(LiteralValue::String(text).to_string(), source);
        assert_eq!(unquote("'plain'"), "plain");
        assert_eq!(unquote("''"), "");
        assert_eq!(unquote(r"'\\'"), "\\");
    }

    #[test]
    fn base64_agrees_with_the_vectors_of_rfc_4648() {
        for (text, encoded) in [
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(decode(encoded), text.as_bytes());
            let value = LiteralValue::Binary(text.as_bytes().to_vec());
            assert_eq!(value.to_string(), format!("b'{encoded}'"));
        }
        assert_eq!(decode("+/+/"), [0xfb, 0xff, 0xbf]);
        assert_eq!(decode("Zh=="), b"f", "spare bits are dropped");
    }

    #[test]
    fn hexadecimal_digits_may_have_either_case() {
        assert_eq!(unhex("00fFAb"), [0, 0xff, 0xab]);
        assert_eq!(LiteralValue::Hex(vec![0, 0xff]).to_string(), "h'00ff'");
    }

    #[test]
    fn numbers_out_of_range_saturate() {
        let huge = "9".repeat(400);
        assert_eq!(integer(&huge), i128::MAX);
        assert_eq!(integer(&format!("-{huge}")), i128::MIN);
        assert_eq!(natural(&huge), u64::MAX);
        assert_eq!(natural("+5"), 5);
        assert_eq!(float(&format!("{huge}.0")), f64::MAX);
        assert_eq!(float(&format!("-{huge}.0")), f64::MIN);
    }

    #[test]
    fn floats_keep_their_point() {
        assert_eq!(LiteralValue::Float(7.0).to_string(), "7.0");
        assert_eq!(LiteralValue::Float(-0.5).to_string(), "-0.5");
        assert_eq!(float(&LiteralValue::Float(f64::MAX).to_string()), f64::MAX);
        let small = LiteralValue::Float(f64::MIN_POSITIVE).to_string();
        assert_eq!(float(&small), f64::MIN_POSITIVE);
    }
}
