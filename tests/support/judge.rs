//! Checks the bridge's messages with the real `stix2` library.

use std::io::Write;
use std::process::Stdio;

use serde_json::Value;

use super::{Scratch, paths};

/// Parses each message with the `stix2` library as an object of this type (`sighting`),
/// including the indicator in a sighting. Returns the objects as the library serializes
/// them, or the error of the first invalid one.
pub fn judge_stix(expected: &str, messages: &[String]) -> Result<Vec<Value>, String> {
    let scratch = Scratch::new();
    let script = paths::repository().join("tests/judge/stix2_parse.py");
    let mut judge = paths::clean_command(paths::venv("judge").join("bin/python"), scratch.path())
        .arg(script)
        .arg(expected)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the judge's Python can be run");
    let mut stdin = judge.stdin.take().expect("its input is a pipe");
    let input: String = messages.iter().flat_map(|text| [text, "\n"]).collect();
    // On a thread, since the library answers while it reads.
    let feeder = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = judge.wait_with_output().expect("a child can be waited for");
    let fed = feeder.join().expect("writing does not panic");

    let errors = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() || fed.is_err() {
        return Err(format!("the judge ended with {}: {errors}", output.status));
    }
    let verdicts: Vec<Value> = String::from_utf8_lossy(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).expect("a verdict is JSON"))
        .collect();
    if verdicts.len() != messages.len() {
        return Err(format!(
            "{} messages, {} verdicts: {errors}",
            messages.len(),
            verdicts.len()
        ));
    }
    verdicts
        .into_iter()
        .zip(messages)
        .map(|(mut verdict, message)| match verdict["error"].as_str() {
            Some(error) => Err(format!("{error}: {message}")),
            None => Ok(verdict["object"].take()),
        })
        .collect()
}
