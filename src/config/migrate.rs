//! Configuration files of the originals: detects their release and the defaults they rely
//! on, and converts them for this program.

use std::fmt::Write as _;
use std::path::Path;

use super::{Origin, Settings, UsageError, file, shown};
use crate::config::options::{Assignment, OPTIONS};

/// The beginning of every comment about a change.
const MARK: &str = "# migrated:";

/// The most unknown keys that are commented out of a file.
const MOST_UNKNOWN: usize = 1000;

/// The defaults of 2022 that differ from those of this program.
const DEFAULTS_OF_2022: [(&str, &str, &str); 2] =
    [("retro_match", "true", "false"), ("snapshot", "30", "0")];

/// Keys of 2020 that 2022 ignored.
const GONE_IN_2022: [&str; 2] = ["loglevel", "unflatten"];

/// Whether a key was introduced in 2022 or shortly before.
fn came_with_2022(key: &str) -> bool {
    let is_in = |group: &str| {
        key.strip_prefix(group)
            .is_some_and(|key| key.starts_with('.'))
    };
    is_in("logging")
        || is_in("metrics")
        || ["live_match", "matcher_name", "retro_match_timeout"].contains(&key)
}

/// The warning about a file of 2022 that omits a key with a different default, unless the
/// key has no effect in this run.
pub(super) fn warning(files: &[Vec<Assignment>], counts: impl Fn(&str) -> bool) -> Option<String> {
    let place = |assignment: &Assignment| match &assignment.place {
        Origin::File { path, line, key } if came_with_2022(key) => {
            Some((path.clone(), *line, key.clone()))
        }
        _ => None,
    };
    let mut new = files.iter().flatten().filter_map(place);
    let (path, _, key) = new.next()?;
    let is_set = |name: &str| files.iter().flatten().any(|one| is(one, name));
    let left_out = DEFAULTS_OF_2022
        .iter()
        .filter(|(name, ..)| !is_set(name) && counts(name));
    let left_out: Vec<String> = left_out
        .map(|(name, there, here)| format!("{name} ({there} there, {here} here)"))
        .collect();
    let path = shown(&path);
    (!left_out.is_empty()).then(|| {
        format!(
            "{path} has {key}, as the vast-threatbus of 2022 did, and leaves out {}: write it into \
             the file if it relied on that; `vast-threatbus --migrate {path}` prints it so",
            left_out.join(" and ")
        )
    })
}

fn is(assignment: &Assignment, key: &str) -> bool {
    assignment.option.key().as_deref() == Some(key)
}

/// Converts the configuration file of one of the originals, with a comment at each
/// change. Whatever means the same is unchanged.
///
/// # Errors
/// The text is not YAML, or has a value that its key does not accept. Line numbers refer
/// to the converted text.
pub fn migrate(text: &str, path: &Path) -> Result<String, UsageError> {
    let (mut text, found) = without_unknown(text.to_owned(), path)?;
    let is_of_2022 = found.iter().any(|one| match &one.place {
        Origin::File { key, .. } => came_with_2022(key),
        _ => false,
    });
    let has = |name: &str| found.iter().any(|one| is(one, name));
    if is_of_2022 {
        for key in GONE_IN_2022 {
            if let Some(line) = line_of(&file::parse(&text, path)?, key) {
                text = comment_out(&text, line, "2022 ignored this key, and here it counts");
            }
        }
        for (key, there, here) in DEFAULTS_OF_2022 {
            if !has(key) {
                let why = format!("the default was {there} in 2022, and is {here} here");
                append(&mut text, &why, &format!("{key}: {there}"));
            }
        }
        let is_off = found
            .iter()
            .any(|one| is(one, "metrics.interval") && one.given.text == "0");
        if has("metrics.interval") && !is_off && !has("metrics.filename") {
            let line = line_of(&file::parse(&text, path)?, "metrics.interval").unwrap_or(1);
            let indent = indent_of(text.lines().nth(line - 1).unwrap_or_default());
            let new = format!(
                "{0}{MARK} this file was the default in 2022; here there is no default\n\
                 {0}filename: metrics.log\n",
                " ".repeat(indent)
            );
            text.insert_str(start_of(&text, line), &new);
        }
    }
    append(
        &mut text,
        "more is found here; with this line the meaning of a match is the original's",
        "# match: exact",
    );
    // The result must be valid here.
    let found = file::parse(&text, path)?;
    let empty = Vec::new();
    Settings::merge(&[&super::defaults(), &found])?.finish(None, empty)?;
    Ok(text)
}

/// The text with every unknown or repeated key commented out.
fn without_unknown(mut text: String, path: &Path) -> Result<(String, Vec<Assignment>), UsageError> {
    for _ in 0..MOST_UNKNOWN {
        match file::parse(&text, path) {
            Ok(found) => return Ok((text, found)),
            Err(UsageError::UnknownKey {
                place: Origin::File { line, key, .. },
                ..
            }) => {
                text = match in_lower_case(&text, line, &key) {
                    Some(renamed) => renamed,
                    None => comment_out(&text, line, "no such key here; the originals ignore it"),
                };
            }
            Err(UsageError::DuplicateKey { first, .. }) => {
                let why = "the key is set again below, and the last one counted";
                text = comment_out(&text, first, why);
            }
            Err(error) => return Err(error),
        }
    }
    let found = file::parse(&text, path)?;
    Ok((text, found))
}

fn line_of(found: &[Assignment], key: &str) -> Option<usize> {
    let one = found.iter().find(|one| is(one, key))?;
    match &one.place {
        Origin::File { line, .. } => Some(*line),
        _ => None,
    }
}

/// 2022 accepted keys in any case.
fn in_lower_case(text: &str, line: usize, key: &str) -> Option<String> {
    let lower = key.to_lowercase();
    let is_key = |known: &str| known == lower || known.starts_with(&format!("{lower}."));
    let is_known = OPTIONS
        .iter()
        .filter_map(|option| option.key())
        .any(|known| is_key(&known));
    if !is_known || lower == key {
        return None;
    }
    let (name, lower) = (last_part(key), last_part(&lower).to_owned());
    let start = start_of(text, line);
    let rest = text[start..].lines().next()?;
    let place = start + rest.find(name)?;
    let mut text = text.to_owned();
    text.replace_range(place..place + name.len(), &lower);
    let indent = " ".repeat(indent_of(rest));
    text.insert_str(
        start,
        &format!("{indent}{MARK} keys are in lower case here\n"),
    );
    Some(text)
}

fn last_part(key: &str) -> &str {
    key.rsplit_once('.').map_or(key, |(_, name)| name)
}

/// Comments out a key with its whole value.
fn comment_out(text: &str, line: usize, why: &str) -> String {
    let mut out = String::new();
    let mut within = None;
    for (number, content) in (1..).zip(text.lines()) {
        let indent = indent_of(content);
        if number == line {
            within = Some(indent);
            let _ = writeln!(out, "{}{MARK} {why}", " ".repeat(indent));
            let _ = writeln!(out, "# {content}");
            continue;
        }
        let is_element = content.trim_start().starts_with("- ");
        match within {
            Some(of)
                if !content.trim().is_empty() && (indent > of || indent == of && is_element) =>
            {
                let _ = writeln!(out, "# {content}");
            }
            _ => {
                within = None;
                let _ = writeln!(out, "{content}");
            }
        }
    }
    out
}

fn append(text: &mut String, why: &str, line: &str) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    let _ = writeln!(text, "{MARK} {why}\n{line}");
}

fn indent_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// The offset of a line, counted from 1.
fn start_of(text: &str, line: usize) -> usize {
    let before = text.split_inclusive('\n').take(line - 1);
    before.map(str::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn migrated(text: &str) -> String {
        migrate(text, Path::new("c.yaml")).expect(text)
    }

    fn warns(text: &str) -> Option<String> {
        let file = file::parse(text, Path::new("c.yaml")).expect(text);
        warning(&[file], |_| true)
    }

    const HINT: &str = "# migrated: more is found here; with this line the meaning of a match is the \
                        original's\n# match: exact\n";

    #[test]
    fn a_file_of_2020_stays_as_it_is() {
        let text = "# mine\nvast: \"localhost:42000\"\nloglevel: DEBUG\nunflatten: true\n";
        assert_eq!(migrated(text), format!("{text}{HINT}"));
        assert_eq!(warns(text), None);
    }

    #[test]
    fn what_2022_took_without_a_word_is_written_down() {
        let text = "logging:\n  console: true\nloglevel: DEBUG\nmetrics:\n  interval: 10\n\
                    unflatten: true";
        let expected = format!(
            "logging:\n  console: true\n\
             # migrated: 2022 ignored this key, and here it counts\n# loglevel: DEBUG\n\
             metrics:\n  \
             # migrated: this file was the default in 2022; here there is no default\n  \
             filename: metrics.log\n  interval: 10\n\
             # migrated: 2022 ignored this key, and here it counts\n# unflatten: true\n\
             # migrated: the default was true in 2022, and is false here\nretro_match: true\n\
             # migrated: the default was 30 in 2022, and is 0 here\nsnapshot: 30\n{HINT}"
        );
        assert_eq!(migrated(text), expected);
        // The converted file sets everything.
        assert_eq!(warns(&expected), None);
        let again = migrated(&expected);
        assert_eq!(again, format!("{expected}{HINT}"));
    }

    #[test]
    fn keys_that_are_unknown_twice_or_in_capitals_are_dealt_with() {
        let text = "plugins:\n  apps:\n    zmq: {}\nlist:\n- a\n- b\nSnapshot: 3\nvast: \"a:1\"\n\
                    vast: \"b:1\"\n";
        let expected = format!(
            "# migrated: no such key here; the originals ignore it\n# plugins:\n#   apps:\n\
             #     zmq: {{}}\n# migrated: no such key here; the originals ignore it\n# list:\n# - a\n\
             # - b\n# migrated: keys are in lower case here\nsnapshot: 3\n\
             # migrated: the key is set again below, and the last one counted\n# vast: \"a:1\"\n\
             vast: \"b:1\"\n{HINT}"
        );
        assert_eq!(migrated(text), expected);
    }

    #[test]
    fn a_value_that_no_release_accepts_is_an_error() {
        for text in [
            "max_background_tasks: many",
            "vast: [",
            "{snapshot: 3, metrics: {interval: 1}}",
        ] {
            assert!(migrate(text, Path::new("c.yaml")).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_left_out_of_a_file_of_2022_is_named() {
        let text = warns("logging:\n  file: true\n").expect("it leaves out both");
        let start = "c.yaml has logging.file, as the vast-threatbus of 2022 did, and leaves out \
                     retro_match (true there, false here) and snapshot (30 there, 0 here): ";
        assert!(text.starts_with(start), "{text}");
        let one = warns("live_match: true\nsnapshot: 0\n").expect("it leaves out one");
        assert!(one.contains("leaves out retro_match (true there"), "{one}");
        assert!(!one.contains("snapshot"), "{one}");
        assert_eq!(
            warns("live_match: true\nsnapshot: 0\nretro_match: false\n"),
            None
        );
    }
}
