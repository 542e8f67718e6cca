//! Hashes and fingerprints: lower-case hexadecimal digits.

/// The lengths in digits of the hashes in logs: MD5, SHA-1, SHA-256, SHA-512.
pub const HASH_LENGTHS: [usize; 4] = [32, 40, 64, 128];

/// The longest hash with a `:` between its bytes.
const LONGEST_HASH: usize = 128 + 63;

/// Returns the lower-case digits of a hash of any length: `text`, or what was written to
/// `buffer`. `None` if the text holds anything but digits and `:` between pairs of
/// digits.
pub fn read<'t>(text: &'t str, buffer: &'t mut String) -> Option<&'t str> {
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.len() > LONGEST_HASH {
        return None;
    }
    if bytes
        .iter()
        .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    {
        return Some(text);
    }
    let in_pairs = bytes.get(2) == Some(&b':');
    buffer.clear();
    for (at, byte) in bytes.iter().enumerate() {
        if in_pairs && at % 3 == 2 {
            if *byte != b':' {
                return None;
            }
        } else if byte.is_ascii_hexdigit() {
            buffer.push(char::from(byte.to_ascii_lowercase()));
        } else {
            return None;
        }
    }
    // The last pair is complete.
    (!in_pairs || bytes.len() % 3 == 2).then_some(buffer.as_str())
}

/// Returns the digits of a hash that has one of these lengths.
pub(super) fn of_length(text: &str, lengths: &[usize]) -> Option<String> {
    let mut buffer = String::new();
    let digits = read(text, &mut buffer)?;
    lengths.contains(&digits.len()).then(|| digits.to_owned())
}

/// Returns the digits of a certificate's serial number without leading zeros, which Zeek
/// writes and other sensors do not.
pub fn serial<'t>(text: &'t str, buffer: &'t mut String) -> Option<&'t str> {
    let digits = read(text, buffer)?;
    let short = digits.trim_start_matches('0');
    Some(if short.is_empty() { "0" } else { short })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_its_digits() {
        let mut buffer = String::new();
        for (text, digits) in [
            ("00ff", Some("00ff")),
            ("00FF", Some("00ff")),
            ("00:Ff:1a", Some("00ff1a")),
            ("00:ff:1", None),
            ("00:ff:", None),
            ("0:0ff", None),
            ("00-ff", None),
            ("00fg", None),
            ("", None),
        ] {
            assert_eq!(read(text, &mut buffer), digits, "{text}");
        }
        let long = "ab:".repeat(63) + "AB";
        assert_eq!(read(&long, &mut buffer).map(str::len), Some(128));
        assert_eq!(read(&"a".repeat(200), &mut buffer), None);
        assert_eq!(of_length("00FF", &[4]).as_deref(), Some("00ff"));
        assert_eq!(of_length("00FF", &HASH_LENGTHS), None);
    }

    #[test]
    fn a_serial_number_has_no_zeros_in_front() {
        let mut buffer = String::new();
        for (text, digits) in [("04:AB", "4ab"), ("4AB", "4ab"), ("00", "0")] {
            assert_eq!(serial(text, &mut buffer), Some(digits), "{text}");
        }
    }
}
