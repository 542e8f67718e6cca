//! File names: the trailing components of a path, compared without ASCII case.

use std::borrow::Cow;

use super::not_a_value::NotAValue;
use super::text;

/// The approximate length of the longest path in bytes.
const LONGEST_PATH: usize = 32 * 1024;

/// Calls `show` with the end of a path in its canonical form: the name first, then one
/// more component each time, `most` components at most.
pub fn each_end<'t>(
    text: &'t str,
    most: usize,
    buffer: &'t mut String,
    mut show: impl FnMut(&str),
) {
    if text.len() > LONGEST_PATH {
        return;
    }
    let canonical = read(text, buffer);
    let separators = memchr::memrchr_iter(b'/', canonical.as_bytes());
    let starts = separators.map(|at| at + 1).chain([0]);
    for start in starts.take(most) {
        if start < canonical.len() {
            show(&canonical[start..]);
        }
    }
}

/// Returns a whole path in its canonical form: lower-case components separated by one
/// `/`, with composed characters, since some systems decompose those of names.
pub fn read<'t>(text: &'t str, buffer: &'t mut String) -> &'t str {
    let bytes = text.as_bytes();
    let is_plain = |byte: &u8| !byte.is_ascii_uppercase() && *byte != b'\\';
    let is_one = !bytes.windows(2).any(|pair| pair == b"//");
    let composed = text::nfc(text);
    let is_composed = matches!(composed, Cow::Borrowed(_));
    if bytes.iter().all(is_plain) && is_one && is_composed {
        return text.trim_matches('/');
    }
    buffer.clear();
    for component in composed.split(['/', '\\']).filter(|one| !one.is_empty()) {
        if !buffer.is_empty() {
            buffer.push('/');
        }
        buffer.extend(component.chars().map(|c| c.to_ascii_lowercase()));
    }
    buffer
}

/// The number of components of a canonical name.
pub fn components(canonical: &str) -> usize {
    1 + memchr::memchr_iter(b'/', canonical.as_bytes()).count()
}

/// Reads a file name, or the end of a path, as a feed writes it.
///
/// # Errors
/// The text has no component.
pub fn parse(text: &str) -> Result<String, NotAValue> {
    let mut buffer = String::new();
    let canonical = read(text, &mut buffer);
    if canonical.is_empty() || canonical.len() > LONGEST_PATH {
        return Err(NotAValue::plainly(text, "file name"));
    }
    Ok(canonical.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(text: &str, most: usize) -> Vec<String> {
        let (mut buffer, mut all) = (String::new(), Vec::new());
        each_end(text, most, &mut buffer, |one| all.push(one.to_owned()));
        all
    }

    #[test]
    fn a_path_has_its_ends() {
        for text in ["/a/b/c.exe", "a\\B\\C.EXE", "//a//b/c.exe"] {
            let expected = ["c.exe", "b/c.exe", "a/b/c.exe"];
            assert_eq!(ends(text, 9), expected, "{text}");
            assert_eq!(ends(text, 1), expected[..1], "{text}");
        }
        assert_eq!(ends("c.exe", 9), ["c.exe"]);
        assert_eq!(ends("/a/gru\u{308}n.exe", 1), ["gr\u{fc}n.exe"]);
        assert!(ends("/", 9).is_empty() && ends("", 9).is_empty());
    }

    #[test]
    fn a_feed_names_a_file_or_the_end_of_a_path() {
        assert_eq!(parse("Evil.EXE").as_deref(), Ok("evil.exe"));
        assert_eq!(parse("gru\u{308}n.EXE").as_deref(), Ok("gr\u{fc}n.exe"));
        assert_eq!(parse("C:\\Temp\\x.dll").as_deref(), Ok("c:/temp/x.dll"));
        assert_eq!(components("c:/temp/x.dll"), 3);
        assert!(parse("").is_err() && parse("\\").is_err());
    }
}
