//! The stand-in gives the same answers as two real builds of the engine: every recorded call is
//! repeated over the recorded events.

use std::collections::HashMap;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use crate::support::paths;
use crate::support::standin;
use serde::Deserialize;
use sha2::{Digest, Sha256};

/// The endpoint of the node, for calls that were recorded without one.
const ENDPOINT: &str = "localhost:42000";

#[derive(Deserialize)]
struct Recording {
    args: Vec<String>,
    stdin: Option<String>,
    endpoint: Option<String>,
    version: String,
    exit_status: i32,
    stdout_lines: Option<usize>,
    stdout_sorted_sha256: Option<String>,
    stderr_last: String,
}

#[test]
fn every_recorded_call_is_answered_alike() {
    answers_as_recorded("recordings.jsonl", 88);
}

/// Queries in the forms that find everything that is stored, and in forms that are known to fail.
#[test]
fn every_form_that_finds_more_is_answered_alike() {
    answers_as_recorded("recordings-recall.jsonl", 46);
}

/// Repeats every call of a file of recordings, which has at least this many.
fn answers_as_recorded(file: &str, at_least: usize) {
    let Some(shared) = shared(file) else {
        return;
    };
    let text = std::fs::read_to_string(shared.join(file)).expect("recordings");
    let recordings: Vec<Recording> = text
        .lines()
        .map(|line| serde_json::from_str(line).expect("a recording"))
        .collect();
    assert!(
        recordings.len() >= at_least,
        "{} recordings",
        recordings.len()
    );

    let folder = tempfile::tempdir().expect("a folder");
    let mut programs: HashMap<String, PathBuf> = HashMap::new();
    let mut differences = Vec::new();
    for recording in &recordings {
        let program = programs
            .entry(recording.version.clone())
            .or_insert_with(|| install(folder.path(), &shared, &recording.version));
        if let Err(difference) = compare(recording, &call(program, recording)) {
            let query = recording.stdin.clone();
            let query = query.unwrap_or_else(|| recording.args.join(" "));
            let query: String = query.chars().take(200).collect();
            differences.push(format!("{} {query}: {difference}", recording.version));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// The folder of VAST's recordings; if it does not have this file, the test is skipped.
fn shared(file: &str) -> Option<PathBuf> {
    let vast = paths::shared()?.join("vast");
    let recordings = vast.join(file);
    if recordings.is_file() {
        return Some(vast);
    }
    paths::skipped_outside_ci(format_args!("there is no {}", recordings.display()));
    None
}

/// A stand-in for one release, over its recorded events.
fn install(folder: &Path, shared: &Path, version: &str) -> PathBuf {
    let recorded = shared.join(version);
    let program = folder.join(format!("vast-{version}"));
    symlink(standin::binary(), &program).expect("linked");
    let config = serde_json::json!({
        "version": version,
        "endpoint": ENDPOINT,
        "events": recorded.join("events"),
        "concepts": recorded.join("concepts.json"),
    });
    let file = folder.join(format!("vast-{version}.json"));
    std::fs::write(file, config.to_string()).expect("configured");
    program
}

fn call(program: &Path, recording: &Recording) -> Output {
    let endpoint = recording.endpoint.as_deref().unwrap_or(ENDPOINT);
    let mut child = Command::new(program)
        .args(["-e", endpoint])
        .args(&recording.args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the stand-in starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    if let Some(text) = &recording.stdin {
        stdin.write_all(text.as_bytes()).expect("the query is read");
    }
    drop(stdin);
    child.wait_with_output().expect("an answer")
}

fn compare(recording: &Recording, output: &Output) -> Result<(), String> {
    same("status", output.status.code(), Some(recording.exit_status))?;
    let body = output.stdout.strip_suffix(b"\n").unwrap_or(&output.stdout);
    let mut lines: Vec<&[u8]> = body.split(|&byte| byte == b'\n').collect();
    if body.is_empty() {
        lines.clear();
    }
    if let Some(count) = recording.stdout_lines {
        same("lines", lines.len(), count)?;
    } else {
        same("lines", lines.is_empty(), false)?;
    }
    if let Some(hash) = &recording.stdout_sorted_sha256 {
        lines.sort_unstable();
        let digest = Sha256::digest(lines.join(&b'\n'));
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        same("hash", &hex, hash)?;
    }
    same(
        "stderr",
        last_word(&output.stderr),
        recording.stderr_last.clone(),
    )
}

/// The last line of standard error, or nothing after a success, since the recordings have neither
/// log lines nor usage texts that were requested.
fn last_word(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let last = text.lines().last().unwrap_or_default();
    if last.starts_with('[') {
        String::new()
    } else {
        last.to_string()
    }
}

fn same<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what} is {found:?}, not {expected:?}"))
    }
}
