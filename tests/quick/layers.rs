//! A folder of `src/` imports only from those before it in this list, and never from those after
//! it. So there is no circle either.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The folders of `src/`, from the ground up.
const LAYERS: &[&str] = &[
    // The ground: what everything may use.
    "process",
    "observe",
    "state",
    // Pure.
    "observable",
    "matching",
    "indicator",
    "protocol",
    // What happens to indicators and sightings, and what is searched.
    "sighting",
    "intake",
    "engine",
    "config",
    "retro",
    "live",
    "logs",
    "bus",
    "run",
    "cli",
];

/// Those that have no threads, disks or logs: they use only each other.
const PURE: &[&str] = &["observable", "matching"];

/// All files below `folder` that end in `.rs`.
pub fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).expect("a folder of the project");
    for entry in entries {
        let path = entry.expect("an entry of it").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The layer that a file of `src/` belongs to; `None` for `lib.rs` and `main.rs`.
fn layer_of(path: &Path) -> Option<String> {
    let first = path.components().next()?;
    let name = Path::new(first.as_os_str()).file_stem()?.to_str()?;
    (!["lib", "main"].contains(&name)).then(|| name.to_owned())
}

/// The layers that a file names after `crate::`, in imports, code, and docs.
fn used(text: &str) -> BTreeSet<&str> {
    let ends = |c: char| !c.is_ascii_alphanumeric() && c != '_';
    let after = text.split("crate::").skip(1);
    let names = after.flat_map(|rest| match rest.strip_prefix('{') {
        // `use crate::{a, b::c};`
        Some(list) => {
            let list = list.split('}').next().unwrap_or_default();
            list.split(',').map(str::trim).collect::<Vec<_>>()
        }
        None => vec![rest],
    });
    names
        .map(|name| name.split(ends).next().unwrap_or_default())
        .filter(|name| !name.is_empty())
        .collect()
}

/// A file without its tests, which may use anything.
fn without_tests(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text)
}

/// What is wrong with the imports of a file of this layer.
fn faults(layer: &str, text: &str) -> Vec<String> {
    let place = |name: &str| LAYERS.iter().position(|one| *one == name);
    let Some(own) = place(layer) else {
        return vec![format!("the list does not have the folder {layer}")];
    };
    let mut faults = Vec::new();
    for name in used(text) {
        match place(name) {
            None => faults.push(format!("the list does not have {name}")),
            Some(other) if other > own => faults.push(format!("{layer} uses {name}, above it")),
            Some(_) if PURE.contains(&layer) && name != layer && !PURE.contains(&name) => {
                faults.push(format!("{layer} is pure and uses {name}"));
            }
            Some(_) => {}
        }
    }
    faults
}

#[test]
fn imports_run_down() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 50, "only {} files found", files.len());
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for file in &files {
        let path = file.strip_prefix(&root).expect("it is below src");
        let Some(layer) = layer_of(path) else {
            continue;
        };
        if path.ends_with("tests.rs") {
            continue;
        }
        let text = fs::read_to_string(file).expect("source text");
        let faults = faults(&layer, without_tests(&text));
        wrong.extend(
            faults
                .iter()
                .map(|fault| format!("{}: {fault}", path.display())),
        );
        seen.insert(layer);
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let known: BTreeSet<String> = LAYERS.iter().map(|&name| name.to_owned()).collect();
    assert_eq!(seen, known, "the list has a folder that is not there");
}

#[test]
fn an_arrow_up_and_an_unknown_folder_are_faults() {
    assert!(faults("engine", "use crate::indicator::Indicator;").is_empty());
    assert!(faults("engine", "use crate::{indicator, process::stop::Stop};").is_empty());
    assert_eq!(faults("engine", "use crate::config::Config;").len(), 1);
    assert_eq!(faults("engine", "use crate::{config, run};").len(), 2);
    assert_eq!(faults("matching", "use crate::state::journal;").len(), 1);
    assert_eq!(faults("engine", "use crate::nowhere::Thing;").len(), 1);
    assert_eq!(faults("nowhere", "").len(), 1);
}
