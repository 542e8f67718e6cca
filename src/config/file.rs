//! Values from a configuration file.
//!
//! The file is read event by event, so that every message can name its line.
//! YAML is taken as the originals' library takes it where their files need it
//! (`yes`, `off`, `5.`). Anchors, aliases and tags have no use here and are
//! rejected.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, StrInput};

use super::settings::option_with_key;
use super::{Place, UsageError, nearest};
use crate::config::options::{Assignment, Given, Kind, OPTIONS, Opt};

/// Far more than any configuration holds.
const MAX_BYTES: u64 = 1 << 20;

/// Reads the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<Assignment>, UsageError> {
    let unreadable = |reason: String| UsageError::Unreadable {
        path: path.to_owned(),
        reason,
    };
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| unreadable(error.to_string()))?;
    if bytes.len() as u64 > MAX_BYTES {
        return Err(unreadable(format!("it has more than {MAX_BYTES} bytes")));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        let good = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + good.iter().filter(|byte| **byte == b'\n').count();
        unreadable(format!("line {line} is not UTF-8"))
    })?;
    parse(&text, path)
}

/// Takes the text of a file apart. The assignments are in the order of the
/// table; `path` is what messages call the file.
///
/// # Errors
///
/// What is no YAML, unknown keys, keys that stand there twice, lists and
/// mappings where a single value belongs. Whether a value is a good one is not
/// looked at here.
pub fn parse(text: &str, path: &Path) -> Result<Vec<Assignment>, UsageError> {
    let mut reader = Reader {
        parser: Parser::new_from_str(text.trim_start_matches('\u{feff}')),
        path,
        found: Vec::new(),
    };
    reader.document()?;
    let mut found = reader.found;
    found.sort_by_key(|assignment| position(assignment.option));
    Ok(found)
}

fn position(option: &Opt) -> usize {
    let same = |other: &Opt| std::ptr::eq(other, option);
    OPTIONS.iter().position(same).unwrap_or(OPTIONS.len())
}

struct Reader<'a> {
    parser: Parser<'a, StrInput<'a>>,
    path: &'a Path,
    found: Vec<Assignment>,
}

/// The keys of one mapping that were met, with their lines.
type Met = Vec<(String, usize)>;

/// A value that is not looked into.
enum Value {
    Scalar(Given),
    /// Its elements, or `None` where one of them is no scalar.
    List(Option<Vec<Given>>),
    Mapping,
}

impl Value {
    fn describe(&self) -> String {
        match self {
            Value::Scalar(given) => given.describe(),
            Value::List(_) => "a list".to_owned(),
            Value::Mapping => "a mapping".to_owned(),
        }
    }
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<(Event<'a>, Marker), UsageError> {
        match self.parser.next_event() {
            Some(Ok((event, span))) => Ok((event, span.start)),
            Some(Err(error)) => Err(self.scan_error(&error)),
            None => Ok((Event::StreamEnd, Marker::default())),
        }
    }

    fn scan_error(&self, error: &ScanError) -> UsageError {
        self.syntax(*error.marker(), format!("no valid YAML: {}", error.info()))
    }

    fn syntax(&self, at: Marker, reason: impl Into<String>) -> UsageError {
        UsageError::Syntax {
            path: self.path.to_owned(),
            line: at.line(),
            column: at.col() + 1,
            reason: reason.into(),
        }
    }

    fn document(&mut self) -> Result<(), UsageError> {
        let mut documents = 0;
        loop {
            let (event, at) = self.next()?;
            match event {
                Event::StreamEnd => return Ok(()),
                Event::DocumentStart(_) => documents += 1,
                Event::MappingStart(..) if documents == 1 => self.mapping(None)?,
                Event::Scalar(text, ScalarStyle::Plain, ..) if is_null(&text) => {}
                Event::StreamStart | Event::DocumentEnd | Event::Nothing => {}
                _ if documents > 1 => {
                    return Err(self.syntax(at, "a second document; the file takes one"));
                }
                _ => return Err(self.syntax(at, "the file takes lines of the form `key: value`")),
            }
        }
    }

    /// Reads a mapping behind its start: that of the file, or that of a group.
    fn mapping(&mut self, group: Option<&str>) -> Result<(), UsageError> {
        let mut met = Met::new();
        loop {
            let (key, at) = match self.next()? {
                (Event::MappingEnd | Event::StreamEnd, _) => return Ok(()),
                (Event::Scalar(key, _, _, None), at) => (key.into_owned(), at),
                (_, at) => return Err(self.syntax(at, "a key must be a plain word")),
            };
            self.entry(group, &key, at.line(), &mut met)?;
        }
    }

    fn entry(
        &mut self,
        group: Option<&str>,
        key: &str,
        line: usize,
        met: &mut Met,
    ) -> Result<(), UsageError> {
        let place = Place::File {
            path: self.path.to_owned(),
            line,
            key: group.map_or(key.to_owned(), |group| format!("{group}.{key}")),
        };
        if let Some((_, first)) = met.iter().find(|(other, _)| other == key) {
            return Err(UsageError::DuplicateKey {
                place,
                first: *first,
            });
        }
        met.push((key.to_owned(), line));
        if group.is_none() && is_group(key) {
            return self.group(key, place);
        }
        let value = self.value()?;
        let Some(option) = option_with_key(group, key) else {
            return Err(unknown_key(place, group, key, &value));
        };
        match value {
            Value::Scalar(given) => {
                self.found.push(Assignment {
                    option,
                    given,
                    place,
                });
                Ok(())
            }
            Value::List(Some(all)) if matches!(option.kind, Kind::Files(_)) => {
                self.found.extend(all.into_iter().map(|given| Assignment {
                    option,
                    given,
                    place: place.clone(),
                }));
                Ok(())
            }
            value => Err(UsageError::Value {
                place,
                value: value.describe(),
                problem: option.takes(),
            }),
        }
    }

    fn group(&mut self, name: &str, place: Place) -> Result<(), UsageError> {
        let value = match self.next()? {
            (Event::MappingStart(_, None), _) => return self.mapping(Some(name)),
            (event, at) => self.value_from(event, at)?,
        };
        match value {
            // What remains when every line of the group is a comment.
            Value::Scalar(given)
                if given == Given::plain(given.text.clone()) && is_null(&given.text) =>
            {
                Ok(())
            }
            value => Err(UsageError::Value {
                place,
                value: value.describe(),
                problem: format!("takes the keys {}", keys_of(Some(name)).join(", ")),
            }),
        }
    }

    fn value(&mut self) -> Result<Value, UsageError> {
        let (event, at) = self.next()?;
        self.value_from(event, at)
    }

    /// Reads a list behind its start, if it is one of scalars. Of any other the
    /// rest stays unread: it is an error for every option.
    fn list(&mut self) -> Result<Option<Vec<Given>>, UsageError> {
        let mut all = Vec::new();
        loop {
            let (event, at) = self.next()?;
            if matches!(event, Event::SequenceEnd) {
                return Ok(Some(all));
            }
            match event {
                Event::Scalar(..) => match self.value_from(event, at)? {
                    Value::Scalar(given) => all.push(given),
                    Value::List(_) | Value::Mapping => return Ok(None),
                },
                _ => return Ok(None),
            }
        }
    }

    fn value_from(&mut self, event: Event<'a>, at: Marker) -> Result<Value, UsageError> {
        match event {
            Event::Scalar(text, ScalarStyle::Plain, _, None) => {
                Ok(Value::Scalar(Given::plain(text)))
            }
            Event::Scalar(text, _, _, None) => Ok(Value::Scalar(Given::quoted(text))),
            Event::SequenceStart(_, None) => self.list().map(Value::List),
            Event::MappingStart(_, None) => Ok(Value::Mapping),
            Event::Alias(_) => Err(self.syntax(at, "aliases (`*name`) are not taken here")),
            _ => Err(self.syntax(at, "tags (`!name`) are not taken here")),
        }
    }
}

fn is_null(text: &str) -> bool {
    Given::plain(text).form == crate::config::options::Form::Null
}

fn is_group(key: &str) -> bool {
    let group_of = |option: &Opt| {
        option
            .key()?
            .split_once('.')
            .map(|(group, _)| group.to_owned())
    };
    OPTIONS
        .iter()
        .any(|option| group_of(option).as_deref() == Some(key))
}

/// The keys that can stand in a group, or at the top (the groups among them).
fn keys_of(group: Option<&str>) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    for key in OPTIONS.iter().filter_map(Opt::key) {
        let name = match (key.split_once('.'), group) {
            (Some((of, name)), Some(group)) if of == group => name,
            (Some((of, _)), None) => of,
            (None, None) => &key,
            _ => continue,
        };
        if !keys.iter().any(|known| known == name) {
            keys.push(name.to_owned());
        }
    }
    keys
}

fn unknown_key(place: Place, group: Option<&str>, key: &str, value: &Value) -> UsageError {
    let known = keys_of(group);
    UsageError::UnknownKey {
        place,
        value: value.describe(),
        nearest: nearest(&key.replace('-', "_"), known.iter().cloned()),
        known: known.into(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read_text(text: &str) -> Result<Vec<(String, String, usize)>, String> {
        let found = parse(text, Path::new("./c.yaml")).map_err(|error| error.to_string())?;
        let row = |assignment: Assignment| match assignment.place {
            Place::File { line, key, .. } => (key, assignment.given.text, line),
            place => panic!("{place} is in no file"),
        };
        Ok(found.into_iter().map(row).collect())
    }

    fn error(text: &str) -> String {
        read_text(text).expect_err(text)
    }

    fn row(key: &str, value: &str, line: usize) -> (String, String, usize) {
        (key.into(), value.into(), line)
    }

    #[test]
    fn keys_are_found_in_block_and_flow_style_in_the_order_of_the_table() {
        let expected = |lines: [usize; 3]| {
            Ok(vec![
                row("vast", "a:1", lines[0]),
                row("snapshot", "30", lines[1]),
                row("logging.console", "true", lines[2]),
            ])
        };
        let block = "---\n# c\nlogging:\n  console: true # c\nsnapshot: 30\n\nvast: \"a:1\"\n...\n";
        assert_eq!(read_text(block), expected([7, 5, 4]));
        let flow = "{\"vast\": 'a:1',\n logging: {console: true}, snapshot: 30}";
        assert_eq!(read_text(flow), expected([1, 2, 2]));
        let windows = "\u{feff}vast: a:1\r\nsnapshot: 30\r\nlogging: {console: true}\r\n";
        assert_eq!(read_text(windows), expected([1, 2, 3]));
    }

    #[test]
    fn a_file_without_keys_is_fine() {
        for text in [
            "",
            "# nothing\n",
            "---\n",
            "~",
            "{}",
            "logging:\n  # console: true\nmetrics: ~",
        ] {
            assert_eq!(read_text(text), Ok(vec![]), "{text:?}");
        }
    }

    #[test]
    fn unknown_keys_are_named_with_those_that_were_meant() {
        for (text, start, meant) in [
            (
                "\nsnapshots: 3",
                "c.yaml, line 2: snapshots: unknown key (got the number 3)",
                "snapshot",
            ),
            (
                "retro-match: true",
                "c.yaml, line 1: retro-match: unknown key (got the truth value true)",
                "retro_match",
            ),
            (
                "Snapshot: [1]",
                "c.yaml, line 1: Snapshot: unknown key (got a list)",
                "snapshot",
            ),
            (
                "loging: {}",
                "c.yaml, line 1: loging: unknown key (got a mapping)",
                "logging",
            ),
            (
                "logging:\n  file: true\n  filenam: 'x'",
                "c.yaml, line 3: logging.filenam: unknown key (got the text \"x\")",
                "filename",
            ),
        ] {
            let message = error(text);
            assert!(message.starts_with(start), "{message}");
            assert!(message.contains(&format!("; did you mean {meant}?; the keys here are ")));
        }
        let far = error("metrics:\n  frobnicate: 1");
        assert!(
            far.ends_with("(got the number 1); the keys here are interval, filename"),
            "{far}"
        );
        assert!(error("logging.console: true").contains("unknown key"));
        assert!(error("console: true").contains("unknown key"));
        assert!(!error("\"a\\e[31m\": 1").contains('\u{1b}'));
    }

    #[test]
    fn a_wrong_shape_is_named() {
        for (text, message) in [
            (
                "vast: [a]",
                "c.yaml, line 1: vast: got a list; it takes HOST:PORT, for example localhost:42000",
            ),
            (
                "\nsnapshot: {a: 1}",
                "c.yaml, line 2: snapshot: got a mapping; it takes a whole number from 0 to 3650",
            ),
            (
                "metrics: 5",
                "c.yaml, line 1: metrics: got the number 5; it takes the keys interval, filename",
            ),
            (
                "metrics: ''",
                "c.yaml, line 1: metrics: got the text \"\"; it takes the keys interval, filename",
            ),
            (
                "vast: a:1\nvast: b:1",
                "c.yaml, line 2: vast: the key is already set in line 1; remove one of them",
            ),
            (
                "metrics:\n  interval: 1\nvast: a:1\nmetrics: {}",
                "c.yaml, line 4: metrics: the key is already set in line 1; remove one of them",
            ),
            (
                "- vast",
                "c.yaml, line 1, column 1: the file takes lines of the form `key: value`",
            ),
            (
                "vast",
                "c.yaml, line 1, column 1: the file takes lines of the form `key: value`",
            ),
            (
                "vast: a:1\n---\nvast: b:1",
                "c.yaml, line 3, column 1: a second document; the file takes one",
            ),
            (
                "? [a]\n: 1",
                "c.yaml, line 1, column 3: a key must be a plain word",
            ),
            (
                "vast: &x a:1\nthreatbus: *x",
                "c.yaml, line 2, column 12: aliases (`*name`) are not taken here",
            ),
            (
                "vast: !x a:1",
                "c.yaml, line 1, column 7: tags (`!name`) are not taken here",
            ),
        ] {
            assert_eq!(error(text), message);
        }
    }

    #[test]
    fn broken_yaml_is_named_with_line_and_column() {
        let unclosed = error("vast: a:1\nsink: \"x\n");
        assert!(unclosed.starts_with("c.yaml, line "), "{unclosed}");
        assert!(unclosed.contains("no valid YAML"), "{unclosed}");
        let indented = error("vast: a:1\n  snapshot: 1\n");
        assert!(
            indented.starts_with("c.yaml, line 2, column "),
            "{indented}"
        );
    }

    #[test]
    fn deep_nesting_does_no_harm() {
        for open in ["[", "{a: ", "- "] {
            assert!(parse(&open.repeat(100_000), Path::new("c")).is_err());
            assert!(parse(&format!("vast: {}", open.repeat(100_000)), Path::new("c")).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "\\PC{0,60}|[-a: \n\t\\[\\]{}&*!|>'\"%@#?,~0-9.]{0,60}") {
            if let Err(error) = parse(&text, Path::new("c")) {
                prop_assert!(error.to_string().starts_with("c, line "), "{}", error);
            }
        }

        #[test]
        fn no_broken_configuration_makes_it_panic(
            cut in 0..300_usize,
            insert in "[-a: \n\t\\[\\]{}&*!|>'\"%@#?,~]{0,4}",
        ) {
            let good = "vast: \"a:1\"\nlogging:\n  console: true\n  filename: 'x'\n\
                        metrics: {interval: 5., filename: m}\nsink: STDOUT\nmatcher_name: ~\n";
            let (head, tail) = good.split_at(cut % good.len());
            match parse(&format!("{head}{insert}{tail}"), Path::new("c")) {
                Ok(found) => prop_assert!(found.len() <= 7),
                Err(error) => prop_assert!(error.to_string().starts_with("c, line "), "{}", error),
            }
        }
    }
}
