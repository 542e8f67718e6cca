//! Matching compared with the engine's own answers: the recorded queries for one value, over the
//! recorded events of both builds.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::support::paths;
use serde::Deserialize;
use vast_threatbus::matching::{Attribution, Concepts, ExactMatcher, Slot, Verdict};
use vast_threatbus::observable::Observable;

/// One recorded call of the engine.
#[derive(Deserialize)]
struct Recording {
    args: Vec<String>,
    version: String,
    /// Set if no engine was reachable for the call.
    endpoint: Option<String>,
    stdout_lines: Option<usize>,
}

impl Recording {
    /// The observable, if the call was the original bridge's query for one.
    fn observable(&self) -> Option<Observable> {
        let [export, json, query] = self.args.as_slice() else {
            return None;
        };
        if export != "export" || json != "json" || self.endpoint.is_some() {
            return None;
        }
        if let Ok(address) = query.parse() {
            return Some(Observable::address(address));
        }
        let (quoted, rest) = query.split_once(" == ")?;
        let text = quoted.trim_matches('"');
        match rest.split_once(" || ") {
            Some(("net.domain", _)) => Some(Observable::domain(text)),
            None if rest == "net.uri" => Some(Observable::Url(text.into())),
            _ => None,
        }
    }
}

fn recorded() -> Option<PathBuf> {
    Some(paths::shared()?.join("vast"))
}

/// All events of a build; bytes that are not UTF-8 are replaced.
fn events(version: &Path) -> Vec<String> {
    let mut lines = Vec::new();
    for file in fs::read_dir(version.join("events")).expect("a folder of events") {
        let path = file.expect("a file of events").path();
        let mut bytes = Vec::new();
        flate2::read::GzDecoder::new(File::open(path).expect("readable"))
            .read_to_end(&mut bytes)
            .expect("compressed events");
        let text = String::from_utf8_lossy(&bytes);
        lines.extend(text.lines().map(str::to_owned));
    }
    lines
}

#[test]
fn finds_what_the_engine_found() {
    let Some(vast) = recorded() else { return };
    let recordings = fs::read_to_string(vast.join("recordings.jsonl")).expect("recordings");
    let recordings: Vec<Recording> = recordings
        .lines()
        .map(|line| serde_json::from_str(line).expect("a recording"))
        .collect();
    for version in ["2020.12.16", "2021.01.28"] {
        let queried: Vec<(Observable, usize)> = recordings
            .iter()
            .filter(|recording| recording.version == version)
            .filter_map(|recording| Some((recording.observable()?, recording.stdout_lines?)))
            .collect();
        assert!(queried.len() >= 9, "{version}: {} queries", queried.len());
        let table = fs::read_to_string(vast.join(version).join("concepts.json"));
        let concepts = Concepts::parse(&table.expect("a table")).expect("a table of concepts");
        check(&queried, &events(&vast.join(version)), concepts);
    }
}

/// Checks that the live matcher finds as many events as the engine found, and that attribution
/// agrees with it on each event.
fn check(queried: &[(Observable, usize)], events: &[String], concepts: Concepts) {
    let entries: Vec<[Observable; 1]> = queried.iter().map(|(one, _)| [one.clone()]).collect();
    let batch = Attribution::new(&entries);
    let mut matcher = ExactMatcher::new(concepts);
    let slots: Vec<Slot> = queried.iter().map(|(one, _)| matcher.insert(one)).collect();
    let mut counts = vec![0; queried.len()];
    let (mut matched, mut verdict) = (Vec::new(), Verdict::default());
    for line in events {
        matcher.matches(line, &mut matched).expect("an event");
        if matched.is_empty() {
            continue;
        }
        batch.attribute(line, &mut verdict).expect("an event");
        for (entry, slot) in slots.iter().enumerate() {
            let live = matched.contains(slot);
            counts[entry] += usize::from(live);
            let certain = verdict.certain.contains(&entry);
            let doubtful = verdict.doubtful.contains(&entry);
            assert!(!certain || live, "{:?} {line}", queried[entry].0);
            assert!(
                !live || certain || doubtful,
                "{:?} {line}",
                queried[entry].0
            );
        }
    }
    for ((observable, expected), count) in queried.iter().zip(counts) {
        assert_eq!(count, *expected, "{observable:?}");
    }
}
