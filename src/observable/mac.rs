//! Hardware addresses: six lower-case bytes separated by `:`.

/// Returns the canonical form: `text`, or what was written to `buffer`. Accepts bytes
/// separated by `:` or `-`, three groups of four digits separated by dots, and twelve
/// digits.
pub fn read<'t>(text: &'t str, buffer: &'t mut String) -> Option<&'t str> {
    let bytes = text.as_bytes();
    let (separator, width) = match bytes.len() {
        17 if matches!(bytes[2], b':' | b'-') => (Some(bytes[2]), 2),
        14 if bytes[4] == b'.' => (Some(b'.'), 4),
        12 => (None, 12),
        _ => return None,
    };
    buffer.clear();
    for (at, byte) in bytes.iter().enumerate() {
        let is_between = at % (width + 1) == width;
        if is_between && separator.is_some() {
            if Some(*byte) != separator {
                return None;
            }
            continue;
        }
        if !byte.is_ascii_hexdigit() {
            return None;
        }
        if buffer.len() % 3 == 2 {
            buffer.push(':');
        }
        buffer.push(char::from(byte.to_ascii_lowercase()));
    }
    Some(buffer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hardware_addresses_have_one_form() {
        let mut buffer = String::new();
        for text in [
            "00:0A:95:9d:68:16",
            "00-0a-95-9D-68-16",
            "000a.959d.6816",
            "000A959D6816",
        ] {
            let form = read(text, &mut buffer);
            assert_eq!(form, Some("00:0a:95:9d:68:16"), "{text}");
        }
        for text in [
            "",
            "00:0a:95:9d:68",
            "00:0a:95:9d:68:1g",
            "00:0a-95:9d:68:16",
            "000a:959d:6816",
            "00a0.959d:6816",
            "é0:0a:95:9d:68:1",
            "ééééééé",
        ] {
            assert_eq!(read(text, &mut buffer), None, "{text}");
        }
    }
}
