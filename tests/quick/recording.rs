//! The README shows what the program prints: the commands of the recorded run are repeated here.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;

use crate::support::Scratch;
use crate::support::bridge::program;
use crate::support::paths;

/// How many characters of a line are compared: the recording cuts longer lines.
const WIDTH: usize = 80;

/// The commands of the recording, each with the lines that it prints.
fn recorded() -> Vec<(String, Vec<String>)> {
    let readme = fs::read_to_string(paths::repository().join("README.md")).expect("the README");
    let (_, rest) = readme
        .split_once("<!-- recording:begin -->\n```\n")
        .expect("the recording begins");
    let (text, _) = rest
        .split_once("\n```\n<!-- recording:end -->")
        .expect("the recording ends");
    let mut parts: Vec<(String, Vec<String>)> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            parts.push((command.to_owned(), Vec::new()));
        } else if !line.is_empty() {
            let (_, lines) = parts.last_mut().expect("a command comes first");
            lines.push(line.to_owned());
        }
    }
    parts
}

/// The lines sorted, since files are read in parallel, and without what differs from run to run: the
/// times of lines of the log, and how long something took.
fn comparable(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut lines: Vec<String> = lines
        .map(|line| match line.split_once(" [") {
            Some((time, rest)) if time.ends_with('Z') => format!("[{rest}"),
            _ => line,
        })
        .map(|line| {
            if line.starts_with('[') {
                let words = line.split(' ');
                let words = words.filter(|word| word.parse::<f64>().is_err());
                words.collect::<Vec<_>>().join(" ")
            } else {
                line
            }
        })
        .map(|line| match line.char_indices().nth(WIDTH) {
            Some((end, _)) => line[..end].to_owned(),
            None => line,
        })
        .collect();
    lines.sort();
    lines
}

#[test]
fn the_recorded_run_is_what_the_program_prints() {
    if paths::installed("jq").is_none() {
        return;
    }
    let scratch = Scratch::new();
    let samples = paths::repository().join("tests/samples/events");
    for sample in fs::read_dir(samples).expect("the samples") {
        let sample = sample.expect("a sample").path();
        if sample.extension().is_some_and(|end| end == "json") {
            let name = sample.file_name().expect("a file has a name");
            symlink(&sample, scratch.path().join(name)).expect("a link");
        }
    }
    let program = program();
    let folder = program.parent().and_then(Path::to_str).expect("UTF-8");
    let path = format!("{folder}:{}", std::env::var("PATH").expect("a PATH"));
    let recorded = recorded();
    assert!(recorded.len() >= 3, "{recorded:?}");
    for (command, lines) in recorded {
        if command == "cat iocs.txt" {
            scratch.write("iocs.txt", lines.join("\n") + "\n");
        }
        let output = Command::new("bash")
            .args(["-c", &format!("{command} 2>&1")])
            .current_dir(scratch.path())
            .env_clear()
            .envs([("PATH", path.as_str()), ("LC_ALL", "C")])
            .output()
            .expect("bash runs");
        let printed = String::from_utf8(output.stdout).expect("UTF-8");
        let printed = comparable(printed.lines().map(str::to_owned));
        assert_eq!(
            comparable(lines.into_iter()),
            printed,
            "{command}: run `make recording`"
        );
    }
}
