//! The pattern parser, compared with written samples and with the official validator
//! (`stix2-patterns` 1.3.0 in `target/venvs/judge`): the same verdict on every pattern, in both
//! versions of the language.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;

use crate::random::Random;
use crate::random_patterns::{Tokens, damage_text};
use crate::support::paths;
use serde_json::{Value, json};
use vast_threatbus::protocol::stix::pattern::{self, PatternError, Reason, Version};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const VERSIONS: [Version; 2] = [Version::Stix21, Version::Stix20];

/// The patterns of a file of samples, which has one JSON string on each line.
fn samples(name: &str) -> Vec<String> {
    let path = Path::new(ROOT).join("tests/samples/patterns").join(name);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    json_strings(&text)
}

fn json_strings(lines: &str) -> Vec<String> {
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("each line is one JSON string"))
        .collect()
}

/// Why the validator refuses a text, as far as this is known without it.
#[derive(Debug)]
enum Objection {
    /// The parser's reason.
    Parser(PatternError),
    /// One of the validator's own rules.
    Rule(String),
}

impl fmt::Display for Objection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Objection::Parser(error) => error.fmt(f),
            Objection::Rule(why) => f.write_str(why),
        }
    }
}

/// The verdict of the parser and of the validator's own rules.
fn judged(text: &str, version: Version) -> Result<(), Objection> {
    let pattern = pattern::parse_as(text, version).map_err(Objection::Parser)?;
    match crate::validator_rules::objection(text, &pattern) {
        Some(why) => Err(Objection::Rule(why)),
        None => Ok(()),
    }
}

/// In which of the two versions a text is accepted.
fn accepted(text: &str) -> [bool; 2] {
    VERSIONS.map(|version| judged(text, version).is_ok())
}

#[test]
fn samples_are_judged_as_they_are_filed() {
    for (file, expected) in [
        ("both-versions.jsonl", [true, true]),
        ("only-2.1.jsonl", [true, false]),
        ("only-2.0.jsonl", [false, true]),
        ("refused.jsonl", [false, false]),
        ("nothing.jsonl", [false, false]),
        ("malformed.jsonl", [false, false]),
    ] {
        for text in samples(file) {
            assert_eq!(accepted(&text), expected, "{file}: {text:?}");
        }
    }
}

#[test]
fn what_the_validator_refuses_beyond_the_grammar_still_parses() {
    for text in samples("refused.jsonl") {
        let refused = VERSIONS.map(|version| judged(&text, version));
        let by_rule = refused
            .iter()
            .any(|one| matches!(one, Err(Objection::Rule(_))));
        assert!(by_rule, "{text:?}: {refused:?}");
        pattern::parse(&text).unwrap_or_else(|error| panic!("{text:?}: {error}"));
    }
}

#[test]
fn what_is_malformed_does_not_parse_at_all() {
    for text in samples("malformed.jsonl") {
        let error = pattern::parse(&text).expect_err(&text);
        let offset = error.position.offset as usize;
        assert!(text.is_char_boundary(offset), "{text:?}: {error}");
    }
}

const SCRIPT: &str = "pattern_verdicts.py";

/// The interpreter that has the validator, if the set-up made it.
fn judge() -> Option<PathBuf> {
    paths::interpreter("judge")
}

/// The patterns of the validator's own tests.
fn validators_examples(python: &Path) -> Vec<String> {
    let output = paths::judge_command(python, SCRIPT)
        .arg("--examples")
        .output()
        .expect("the validator's interpreter runs");
    assert!(output.status.success(), "{output:?}");
    json_strings(&String::from_utf8(output.stdout).expect("JSON is UTF-8"))
}

/// The recorded patterns in the material that is shared with the project, if it is there.
fn recorded_patterns() -> Vec<String> {
    let Some(shared) = paths::shared() else {
        return Vec::new();
    };
    let path = shared.join("threatbus/samples/stix2/patterns.json");
    let text = fs::read_to_string(path).expect("the recordings have patterns");
    let rows: Vec<Value> = serde_json::from_str(&text).expect("the recording is JSON");
    let pattern = |row: &Value| row["pattern"].as_str().map(str::to_owned);
    rows.iter()
        .map(|row| pattern(row).expect("each row has a pattern"))
        .collect()
}

/// Random patterns, each three times: whole, with one to three damaged tokens, and with one damaged
/// character.
fn random_patterns(count: usize) -> Vec<String> {
    let mut random = Random(0x5717_2021);
    let mut patterns = Vec::new();
    for round in 0..count {
        let mut tokens = Tokens::random(&mut random);
        let text = tokens.text(&mut random);
        patterns.push(damage_text(&text, &mut random));
        patterns.push(text);
        for _ in 0..=round % 3 {
            tokens.damage(&mut random);
        }
        patterns.push(tokens.text(&mut random));
    }
    patterns
}

/// The validator's verdicts on each pattern in each version, in order.
fn ask(python: &Path, cases: &[(&String, Version)]) -> Vec<Value> {
    let mut child = paths::judge_command(python, SCRIPT)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the validator's interpreter runs");
    let requests: String = cases
        .iter()
        .map(|(text, version)| {
            json!({"pattern": text, "version": version.to_string()}).to_string() + "\n"
        })
        .collect();
    let mut stdin = child.stdin.take().expect("standard input is a pipe");
    // In another thread, since the answers would fill their pipe meanwhile.
    let writer = thread::spawn(move || stdin.write_all(requests.as_bytes()));
    let stdout = BufReader::new(child.stdout.take().expect("standard output is a pipe"));
    let answers = stdout
        .lines()
        .map(|line| {
            let line = line.expect("the validator's answer is UTF-8");
            serde_json::from_str(&line).expect("the validator's answer is JSON")
        })
        .collect();
    writer
        .join()
        .expect("the writer does not panic")
        .expect("the validator reads all requests");
    let status = child.wait().expect("the validator ends");
    assert!(status.success(), "{status}");
    answers
}

/// Whether the parser and the validator agree: valid or not, and if not, whether because of the
/// grammar or of another rule. If the validator crashes, the pattern only has to be invalid.
fn agrees(ours: &Result<(), Objection>, judge: &str) -> bool {
    match ours {
        Ok(()) => judge == "valid",
        Err(Objection::Rule(_)) => matches!(judge, "refused" | "crash"),
        Err(Objection::Parser(error)) => match error.reason {
            // The parser stops here, while the validator checks the grammar first.
            Reason::RepeatedQualifier(_) => judge != "valid",
            // The validator accepts it, and only the matcher refuses it.
            Reason::Nothing(_) => true,
            _ => matches!(judge, "syntax" | "crash"),
        },
    }
}

#[test]
fn the_official_validator_says_the_same() {
    let Some(python) = judge() else {
        return;
    };
    let mut patterns: BTreeSet<String> = BTreeSet::new();
    for file in [
        "both-versions.jsonl",
        "only-2.1.jsonl",
        "only-2.0.jsonl",
        "refused.jsonl",
        "malformed.jsonl",
    ] {
        patterns.extend(samples(file));
    }
    let examples = validators_examples(&python);
    assert!(examples.len() >= 100, "only {} examples", examples.len());
    patterns.extend(examples);
    patterns.extend(recorded_patterns());
    patterns.extend(random_patterns(600));

    let mut cases = Vec::new();
    for text in &patterns {
        cases.extend(VERSIONS.map(|version| (text, version)));
    }
    let answers = ask(&python, &cases);
    assert_eq!(answers.len(), cases.len());

    let mut counts = BTreeMap::new();
    let mut differences = Vec::new();
    for ((text, version), answer) in cases.iter().zip(&answers) {
        let verdict = answer["verdict"].as_str().expect("an answer has a verdict");
        *counts.entry((version.to_string(), verdict)).or_insert(0) += 1;
        let ours = judged(text, *version);
        if !agrees(&ours, verdict) {
            let ours = ours.map_or_else(|objection| objection.to_string(), |()| "valid".to_owned());
            let theirs = &answer["why"];
            differences.push(format!("{version} {text:?}: {ours} / {verdict} {theirs}"));
        }
    }
    eprintln!("{} patterns: {counts:?}", patterns.len());
    for version in ["2.1", "2.0"] {
        for verdict in ["valid", "syntax"] {
            let count = counts.get(&(version.to_owned(), verdict)).copied();
            assert!(count.unwrap_or(0) >= 250, "{version} {verdict}: {count:?}");
        }
    }
    assert!(
        differences.is_empty(),
        "{} of {} verdicts differ:\n{}",
        differences.len(),
        cases.len(),
        differences[..differences.len().min(20)].join("\n")
    );
}
