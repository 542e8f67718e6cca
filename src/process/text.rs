//! Makes external text safe to display.

use std::fmt::{self, Display, Write};

/// External text for a log or a terminal: control characters, and characters that reorder
/// or hide text, are escaped. It is truncated after `max_bytes` bytes, with its full size
/// added.
pub fn printable(text: &str, max_bytes: usize) -> impl Display {
    Printable { text, max_bytes }
}

struct Printable<'a> {
    text: &'a str,
    max_bytes: usize,
}

impl Display for Printable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut end = self.max_bytes.min(self.text.len());
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        for c in self.text[..end].chars() {
            match c {
                '\n' | '\r' | '\t' => write!(f, "{}", c.escape_default())?,
                c if is_unsafe(c) => write!(f, "{}", c.escape_unicode())?,
                c => f.write_char(c)?,
            }
        }
        if end < self.text.len() {
            write!(f, "… ({} bytes)", self.text.len())?;
        }
        Ok(())
    }
}

/// The beginning of a text on one line: each run of line breaks and blanks is one blank. The tabs of
/// a table stay.
pub fn on_one_line(beginning: &[u8]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(beginning.len());
    let mut is_in_blanks = false;
    for &byte in beginning.trim_ascii() {
        match byte {
            b' ' | b'\n' | b'\r' => is_in_blanks = true,
            b'\t' if is_in_blanks => {}
            _ => {
                if std::mem::take(&mut is_in_blanks) {
                    shown.push(b' ');
                }
                shown.push(byte);
            }
        }
    }
    shown
}

/// Characters that move the cursor, break the line, or disguise text: controls (C0, DEL,
/// C1), bidirectional controls, separators, and zero-width characters (Unicode Technical
/// Report 36).
fn is_unsafe(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'
            | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn plain_text_stays_as_it_is() {
        let text = r#"{"ioc": "bücher.example\\", "日本": 1}"#;
        assert_eq!(printable(text, 200).to_string(), text);
        assert_eq!(printable(text, text.len()).to_string(), text);
    }

    #[test]
    fn what_a_terminal_would_obey_is_escaped() {
        assert_eq!(
            printable(
                "a\x1b[31m\r\n\t\u{7f}\u{9b}2J\u{202e}\u{2066}\u{200b}\u{e0041}b\0",
                200
            )
            .to_string(),
            "a\\u{1b}[31m\\r\\n\\t\\u{7f}\\u{9b}2J\\u{202e}\\u{2066}\\u{200b}\\u{e0041}b\\u{0}"
        );
    }

    #[test]
    fn the_beginning_of_a_text_fits_on_a_line() {
        for (text, expected) in [
            ("{\r\n\t\t\"a\":  1\n}\n", "{ \"a\": 1 }"),
            ("\n a\t\tb \tc", "a\t\tb c"),
            (" \n", ""),
        ] {
            assert_eq!(on_one_line(text.as_bytes()), expected.as_bytes());
        }
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        assert_eq!(printable("aé!", 2).to_string(), "a… (4 bytes)");
        assert_eq!(printable("abc", 0).to_string(), "… (3 bytes)");
        assert_eq!(printable("", 0).to_string(), "");
    }

    proptest! {
        #[test]
        fn nothing_unsafe_gets_through_and_nothing_grows(text in any::<String>(), max in 0..50_usize) {
            let shown = printable(&text, max).to_string();
            prop_assert!(!shown.chars().any(is_unsafe));
            prop_assert!(shown.len() <= max * 10 + 40);
            if text.len() > max {
                let size = format!("… ({} bytes)", text.len());
                prop_assert!(shown.ends_with(&size));
            }
        }
    }
}
