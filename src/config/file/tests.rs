//! What configuration files may contain, and the errors for what they may not.

use proptest::prelude::*;

use super::*;

fn read_text(text: &str) -> Result<Vec<(String, String, usize)>, String> {
    let found = parse(text, Path::new("./c.yaml")).map_err(|error| error.to_string())?;
    let row = |assignment: Assignment| match assignment.place {
        Origin::File { line, key, .. } => (key, assignment.given.text, line),
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
        assert!(message.ends_with(&format!("; did you mean {meant}?")));
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
            "threatbus: [a]",
            "c.yaml, line 1: threatbus: got a list; it accepts HOST:PORT, for example \
             localhost:13370",
        ),
        (
            "\nsnapshot: {a: 1}",
            "c.yaml, line 2: snapshot: got a mapping; it accepts a whole number from 0 to 3650",
        ),
        (
            "metrics: 5",
            "c.yaml, line 1: metrics: got the number 5; it accepts the keys interval, filename",
        ),
        (
            "metrics: ''",
            "c.yaml, line 1: metrics: got the text \"\"; it accepts the keys interval, filename",
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
            "c.yaml, line 1, column 1: invalid type: sequence, expected lines of the form `key: value`",
        ),
        (
            "vast",
            "c.yaml, line 1, column 1: invalid type: string \"vast\", expected lines of the form `key: value`",
        ),
        (
            "vast: a:1\n---\nvast: b:1",
            "c.yaml, line 3, column 1: invalid type: map, expected no second document",
        ),
        (
            "? [a]\n: 1",
            "c.yaml, line 1, column 3: invalid type: sequence, expected a key that is a plain word",
        ),
        (
            "vast: !x a:1",
            "c.yaml, line 1, column 7: vast: tags (`!name`) are not accepted here",
        ),
    ] {
        assert_eq!(error(text), message);
    }
}

#[test]
fn plain_and_quoted_words_are_distinguished_wherever_they_are() {
    use RawType::{Null, Number, Text, Truth};
    for (value, text, raw_type) in [
        ("yes", "yes", Truth),
        ("Off # \"x\"", "Off", Truth),
        ("TRUE", "true", Truth),
        ("'yes'", "yes", Text),
        ("\"off\"", "off", Text),
        ("\"o\\x66f\"", "off", Text),
        ("\n  'no'", "no", Text),
        ("|\n  yes", "yes", Text),
        ("a \"b\" 'c'", "a \"b\" 'c'", Text),
        ("5.", "5.0", Number),
        ("5", "5", Number),
        ("-1", "-1", Number),
        ("99999999999999999999", "99999999999999999999", Number),
        ("'5'", "5", Text),
        ("&x yes", "yes", Truth),
        ("null", "", Null),
        ("", "", Null),
        ("'~'", "~", Text),
    ] {
        for file in [format!("a: 1\nsink: {value}\n"), format!("sink: {value}")] {
            let file = file.replace("a: 1", "metrics: {interval: \"1\"}");
            let all = parse(&file, Path::new("c")).expect(&file);
            let given = &all.iter().find(|one| one.option.title() == "--sink");
            let given = given.expect("it is set").given.clone();
            assert_eq!(given.raw_type, raw_type, "{file:?}");
            assert!(given.text.trim() == text || raw_type == Null, "{given:?}");
        }
    }
    let aliases = read_text("vast: &x 'a:1'\nthreatbus: *x\n");
    let expected = vec![row("vast", "a:1", 1), row("threatbus", "a:1", 2)];
    assert_eq!(aliases, Ok(expected));
}

#[test]
fn a_list_of_files_is_a_value_for_each() {
    let expected = vec![row("events", "a", 1), row("events", "b c", 1)];
    assert_eq!(read_text("events:\n- a\n- \"b c\"\n"), Ok(expected));
    assert_eq!(read_text("events: []"), Ok(vec![]));
    assert_eq!(
        error("events: [a, {b: 1}, [c]]"),
        "c.yaml, line 1: events: got a mapping; it accepts the paths of one or more files"
    );
}

#[test]
fn broken_yaml_is_named_with_line_and_column() {
    let unclosed = error("vast: a:1\nsink: \"x\n");
    assert!(unclosed.starts_with("c.yaml, line "), "{unclosed}");
    assert!(
        unclosed.contains("while scanning a quoted scalar at line 2"),
        "{unclosed}"
    );
    let indented = error("vast: a:1\n  snapshot: 1\n");
    assert!(
        indented.starts_with("c.yaml, line 2, column "),
        "{indented}"
    );
}

#[test]
fn deep_nesting_does_no_harm() {
    for open in ["[", "{a: ", "- ", "? ", "[?"] {
        assert!(parse(&open.repeat(100_000), Path::new("c")).is_err());
        assert!(parse(&format!("vast: {}", open.repeat(100_000)), Path::new("c")).is_err());
        // The deepest nesting that the parser accepts.
        assert!(parse(&open.repeat(1_000), Path::new("c")).is_err());
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
