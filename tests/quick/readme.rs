//! The README and the documents say what is true of the program and of the repository.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use vast_threatbus::config::log_formats::LOG_FORMATS;
use vast_threatbus::config::texts::GeneratedText;
use vast_threatbus::matching::places::{Joined, Sought, TABLE};
use vast_threatbus::observable::{Kind, Property};
use vast_threatbus::protocol::feed::FORMATS;
use vast_threatbus::protocol::stix::paths::{PATHS, PathTarget};

/// How many lines a newcomer can read in five minutes.
const README_LINES: usize = 250;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join(file)).expect(file)
}

/// Every document, by its path from the root of the repository.
fn documents() -> BTreeMap<PathBuf, String> {
    let mut files = Vec::new();
    for folder in ["", "docs", "tests/vast-standin"] {
        let entries = fs::read_dir(root().join(folder)).expect("a folder of documents");
        for entry in entries {
            let name = entry.expect("an entry of the folder").file_name();
            files.push(Path::new(folder).join(name));
        }
    }
    files.retain(|file| file.extension().is_some_and(|end| end == "md"));
    let texts = files.into_iter().map(|file| {
        let text = fs::read_to_string(root().join(&file)).expect("a document");
        (file, text)
    });
    texts.collect()
}

/// The text between two markers, each of which must occur exactly once.
fn between<'a>(text: &'a str, begin: &str, end: &str) -> &'a str {
    assert_eq!(text.matches(begin).count(), 1, "{begin}");
    assert_eq!(text.matches(end).count(), 1, "{end}");
    let (_, rest) = text.split_once(begin).expect("counted");
    rest.split_once(end).expect("the end comes last").0
}

/// The text without its blocks of code.
fn prose(markdown: &str) -> String {
    let parts = markdown.split("```");
    parts.step_by(2).collect::<Vec<_>>().join("\n")
}

/// The words between backticks.
fn code_words(markdown: &str) -> Vec<String> {
    let prose = prose(markdown);
    let words = prose.split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

/// The targets of `[text](target)`.
fn links(markdown: &str) -> Vec<String> {
    let prose = prose(markdown);
    let targets = prose.split("](").skip(1);
    targets
        .map(|rest| {
            let (target, _) = rest.split_once(')').expect("a link has an end");
            target.to_owned()
        })
        .collect()
}

/// The anchors that GitHub gives to the headings.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let prose = prose(markdown);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|line| {
            let title = line.trim_start_matches('#').trim().to_lowercase();
            let kept = title.chars().filter_map(|c| match c {
                ' ' => Some('-'),
                c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
                _ => None,
            });
            kept.collect()
        })
        .collect()
}

/// The names in the dependency sections of a manifest.
fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines() {
        if line.starts_with('[') {
            inside = line.ends_with("dependencies]");
        } else if let Some((name, _)) = line.split_once('=').filter(|_| inside) {
            names.insert(name.trim().to_owned());
        }
    }
    assert!(!names.is_empty(), "a manifest has dependencies");
    names
}

#[test]
fn the_readme_is_read_in_five_minutes() {
    let lines = read("README.md").lines().count();
    assert!(
        lines <= README_LINES,
        "README.md has {lines} lines and may have {README_LINES}: docs/ has room"
    );
}

#[test]
fn the_readme_leads_to_every_document() {
    let links = links(&read("README.md"));
    for file in documents().keys() {
        let name = file.to_str().expect("documents have plain names");
        if name != "README.md" && !name.starts_with("tests/") {
            assert!(links.iter().any(|link| link == name), "no link to {name}");
        }
    }
}

#[test]
fn the_options_are_those_of_the_table() {
    let document = read("docs/configuration.md");
    let block = between(
        &document,
        "<!-- options:begin -->\n",
        "<!-- options:end -->",
    );
    assert!(
        block == GeneratedText::Markdown.generate(),
        "the options in docs/configuration.md are out of date: run `make man`"
    );
}

#[test]
fn the_place_of_the_measurements_is_marked() {
    for (file, what) in [
        ("docs/performance.md", "performance"),
        ("docs/reliability.md", "torture"),
        ("README.md", "recording"),
    ] {
        let begin = format!("<!-- {what}:begin -->\n");
        let end = format!("<!-- {what}:end -->");
        let document = read(file);
        let block = between(&document, &begin, &end);
        assert!(!block.trim().is_empty(), "{file} has no {what}");
    }
}

#[test]
fn links_lead_somewhere() {
    let mut met = 0;
    for (file, text) in documents() {
        for target in links(&text) {
            if target.starts_with("https://") {
                continue;
            }
            met += 1;
            let (path, anchor) = match target.split_once('#') {
                Some((path, anchor)) => (path, Some(anchor)),
                None => (target.as_str(), None),
            };
            let from = file.parent().expect("a file has a folder");
            let to = if path.is_empty() {
                root().join(&file)
            } else {
                root().join(from).join(path)
            };
            assert!(to.exists(), "{}: no file {target}", file.display());
            if let Some(anchor) = anchor {
                let there = anchors(&fs::read_to_string(&to).expect("a linked document"));
                assert!(
                    there.contains(anchor),
                    "{}: no heading for {target}",
                    file.display()
                );
            }
        }
    }
    assert!(met > 20, "the documents lead to each other");
}

#[test]
fn files_of_the_repository_that_are_named_exist() {
    const FOLDERS: [&str; 8] = [
        ".ci/",
        "benches/",
        "demo/",
        "docs/",
        "man/",
        "packaging/",
        "src/",
        "tests/",
    ];
    for (file, text) in documents() {
        for word in code_words(&text) {
            if FOLDERS.iter().any(|folder| word.starts_with(folder)) {
                let there = root().join(&word).exists();
                assert!(there, "{} names {word}", file.display());
            }
        }
    }
}

/// A walk needs few files, and these contain the names that it mentions.
#[test]
fn each_walk_through_the_files_is_short_and_true() {
    let architecture = read("docs/architecture.md");
    let (_, walks) = architecture
        .split_once("\n## Walks through the files\n")
        .expect("the section");
    let walks: Vec<&str> = walks.trim().split("\n\n").collect();
    assert_eq!(walks.len(), 8, "a walk for each question");
    for walk in walks {
        let words = code_words(walk);
        let (files, names): (Vec<_>, Vec<_>) =
            words.iter().partition(|word| word.starts_with("src/"));
        assert!(files.len() <= 6, "{} files: {walk}", files.len());
        let paths = files.iter().map(|file| root().join(file));
        let texts: String = paths
            .filter(|path| path.is_file())
            .map(|path| fs::read_to_string(path).expect("a source"))
            .collect();
        let names = names.iter().filter(|name| !name.starts_with("--"));
        for name in names {
            assert!(texts.contains(name.as_str()), "no {name} there: {walk}");
        }
    }
}

/// The table of threads has every name that a thread is started with.
#[test]
fn the_threads_are_those_of_the_table() {
    let architecture = read("docs/architecture.md");
    let (_, table) = architecture
        .split_once("\n## Threads\n")
        .expect("the section");
    let (table, _) = table.split_once("\n## ").expect("the next section");
    let mut sources = Vec::new();
    super::layers::sources(&root().join("src"), &mut sources);
    let mut count = 0;
    for source in sources {
        let text = fs::read_to_string(&source).expect("a source");
        if !text.contains("thread::Builder") && !text.contains("Ticker::start") {
            continue;
        }
        for start in [
            ".name(\"",
            ".name(format!(\"",
            "named(\"",
            "Ticker::start(\"",
        ] {
            for (at, _) in text.match_indices(start) {
                let rest = &text[at + start.len()..];
                let name = rest.split(['"', '{']).next().expect("the name");
                count += 1;
                let is_there = table.contains(&format!("`{name}")) || name == "test";
                assert!(is_there, "{name} of {}", source.display());
            }
        }
    }
    assert!(count > 15, "only {count} threads found");
}

#[test]
fn targets_of_make_that_are_named_exist() {
    let makefile = read("Makefile");
    let mut met = 0;
    for (file, text) in documents() {
        let words = code_words(&text);
        let lines = text.lines().map(|line| line.trim_start_matches("sudo "));
        let lines = lines.chain(words.iter().map(String::as_str));
        for target in lines.filter_map(|text| text.strip_prefix("make ")) {
            met += 1;
            let rule = format!("\n{target}:");
            let there = makefile.contains(&rule);
            assert!(there, "{} names `make {target}`", file.display());
        }
    }
    assert!(
        met > 10,
        "the documents show how to run the demo and the tests"
    );
    let readme = read("README.md");
    assert!(
        readme.contains("\n```sh\nmake test\n"),
        "README.md says how it is tested"
    );
}

#[test]
fn every_dependency_has_a_row_and_every_row_a_dependency() {
    let document = read("CONTRIBUTING.md");
    let (_, rest) = document
        .split_once("\n## Dependencies\n")
        .expect("the section");
    let section = rest.split("\n## ").next().unwrap_or(rest);
    let rows: BTreeSet<String> = section
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once("` | "))
        .map(|(name, reason)| {
            let reason = reason.trim_end_matches('|').trim();
            assert!(reason.len() > 5, "{name} needs a reason");
            name.to_owned()
        })
        .collect();
    let mut wanted = dependencies(&read("Cargo.toml"));
    wanted.extend(dependencies(&read("tests/vast-standin/Cargo.toml")));
    wanted.extend(dependencies(&read("tests/fuzz/Cargo.toml")));
    // The program itself is not a dependency of its tests.
    wanted.remove("vast-threatbus");
    assert_eq!(rows, wanted);
}

/// The table of the formats of feeds, as it has to be in its document.
fn table_of_formats() -> String {
    let mut table = String::from("| Name | Format | What is read |\n| --- | --- | --- |\n");
    for format in &FORMATS {
        table += &format!(
            "| `{}` | {} | {} |\n",
            format.name, format.what, format.accepted
        );
    }
    table
}

/// The table of the formats of logs, as it has to be in its document.
fn table_of_log_formats() -> String {
    let mut table = String::from("| Format | What is read |\n| --- | --- |\n");
    for format in &LOG_FORMATS {
        table += &format!("| {} | {} |\n", format.name, format.accepted);
    }
    table
}

#[test]
fn the_formats_of_feeds_are_those_of_the_table() {
    let document = read("docs/inputs.md");
    let block = between(
        &document,
        "<!-- formats:begin -->\n",
        "<!-- formats:end -->",
    );
    let table = table_of_formats();
    assert!(
        block == table,
        "the formats in docs/inputs.md are to be:\n{table}"
    );
}

#[test]
fn the_formats_of_logs_are_those_of_the_table() {
    let document = read("docs/inputs.md");
    let block = between(&document, "<!-- logs:begin -->\n", "<!-- logs:end -->");
    let table = table_of_log_formats();
    assert!(
        block == table,
        "the formats of logs in docs/inputs.md are to be:\n{table}"
    );
}

/// A human-readable name for what a field holds; `None` for parts of a value.
fn name_of(sought: Sought) -> Option<String> {
    match sought {
        Sought::Kind(Kind::Answer) | Sought::Joined(Joined::RecordType) => None,
        Sought::Kind(kind) => Some(match kind {
            Kind::Address => "address, network".to_owned(),
            Kind::Domain => "domain".to_owned(),
            Kind::Url => "URL, whole".to_owned(),
            Kind::Hash => "hash of a plain list, beside those of files and certificates".to_owned(),
            Kind::Text(Property::EmailSender) => "sender of a mail".to_owned(),
            Kind::Text(Property::EmailRecipient) => "recipient of a mail".to_owned(),
            Kind::Text(property) => property.facts().what.to_owned(),
            other => panic!("no row is of {other:?}"),
        }),
        Sought::Joined(_) => Some("URL, in parts".to_owned()),
        Sought::Field(_) => None,
    }
}

/// The table of kinds and places, as it has to be in its document.
fn table_of_places() -> String {
    let mut kinds: Vec<(String, [BTreeSet<&str>; 3])> = Vec::new();
    for row in TABLE {
        let Some(name) = name_of(row.sought) else {
            continue;
        };
        if kinds.iter().all(|(known, _)| *known != name) {
            kinds.push((name.clone(), Default::default()));
        }
        let known = kinds.iter_mut().find(|(known, _)| *known == name);
        let (_, columns) = known.expect("it was put in");
        for (column, fields) in columns.iter_mut().zip([row.eve, row.zeek, row.ecs]) {
            column.extend(fields);
        }
    }
    let mut table =
        String::from("| Kind | Suricata EVE | Zeek | ECS |\n| --- | --- | --- | --- |\n");
    for (name, columns) in kinds {
        let columns = columns.map(|fields| {
            let fields = fields.iter().map(|field| format!("`{field}`"));
            fields.collect::<Vec<_>>().join(", ")
        });
        let [eve, zeek, ecs] = columns;
        table += &format!("| {name} | {eve} | {zeek} | {ecs} |\n");
    }
    table
}

#[test]
fn the_places_are_those_of_the_table() {
    let document = read("docs/matching.md");
    let block = between(&document, "<!-- places:begin -->\n", "<!-- places:end -->");
    let table = table_of_places();
    assert!(
        block == table,
        "the kinds and places in docs/matching.md are to be:\n{table}"
    );
}

/// The table of object paths, as it has to be in its document.
fn table_of_paths() -> String {
    let mut table = String::from("| Object path | What it is compared with |\n| --- | --- |\n");
    for row in PATHS {
        let how = match row.target {
            PathTarget::Ipv4 | PathTarget::Ipv6 => "; also networks",
            PathTarget::Host => "; an address, a network or a name",
            PathTarget::HostType => "; `ipv4-addr`, `ipv6-addr` or `domain-name`",
            PathTarget::Number | PathTarget::Time => "; checked here",
            PathTarget::Protocol => "; checked here, any of them, case aside",
            PathTarget::Folder => "; the components at its end",
            PathTarget::Kind(_) | PathTarget::Url => "",
        };
        table.push_str(&format!("| `{}` | {}{how} |\n", row.path, row.place.name()));
    }
    table
}

#[test]
fn every_object_path_is_in_the_table() {
    let document = read("docs/matching.md");
    let block = between(&document, "<!-- paths:begin -->\n", "<!-- paths:end -->");
    assert_eq!(
        block,
        table_of_paths(),
        "this is what it should be:\n{}",
        table_of_paths()
    );
}
