//! The README is true to the program and to the repository.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use vast_threatbus::config::log_forms::LOG_FORMS;
use vast_threatbus::config::texts::Text;
use vast_threatbus::matching::places::{Joined, Sought, TABLE};
use vast_threatbus::observable::{Kind, Property};
use vast_threatbus::protocol::feed::FORMS;
use vast_threatbus::protocol::stix::paths::{PATHS, Target};

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(path).expect(file)
}

/// What stands between two marks, each exactly once there.
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
fn the_options_are_those_of_the_table() {
    let readme = read("README.md");
    let block = between(&readme, "<!-- options:begin -->\n", "<!-- options:end -->");
    assert!(
        block == Text::Markdown.generate(),
        "the options in README.md are out of date: run `make man`"
    );
}

#[test]
fn the_place_of_the_measurements_is_marked() {
    let readme = read("README.md");
    let block = between(
        &readme,
        "<!-- performance:begin -->\n",
        "<!-- performance:end -->",
    );
    assert!(!block.trim().is_empty());
}

#[test]
fn links_lead_somewhere() {
    for file in ["README.md", "CHANGELOG.md", "SECURITY.md"] {
        let text = read(file);
        let anchors = anchors(&text);
        for target in links(&text) {
            if let Some(anchor) = target.strip_prefix('#') {
                assert!(anchors.contains(anchor), "{file}: no heading for {target}");
            } else if !target.starts_with("https://") {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&target);
                assert!(path.exists(), "{file}: no file {target}");
            }
        }
    }
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
    for file in ["README.md", "docs/architecture.md"] {
        for word in code_words(&read(file)) {
            if FOLDERS.iter().any(|folder| word.starts_with(folder)) {
                let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(&word);
                assert!(path.exists(), "{file} names {word}");
            }
        }
    }
}

#[test]
fn targets_of_make_that_are_named_exist() {
    let makefile = read("Makefile");
    let readme = read("README.md");
    let lines = readme.lines().map(|line| line.trim_start_matches("sudo "));
    let words = code_words(&readme);
    let mut met = 0;
    for text in lines.chain(words.iter().map(String::as_str)) {
        let Some(target) = text.strip_prefix("make ") else {
            continue;
        };
        met += 1;
        let rule = format!("\n{target}:");
        assert!(makefile.contains(&rule), "README.md names `make {target}`");
    }
    assert!(met > 0, "README.md shows how to run the demo and the tests");
}

#[test]
fn every_dependency_has_a_row_and_every_row_a_dependency() {
    let readme = read("README.md");
    let (_, rest) = readme
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
    // What is tested is no dependency of the tests.
    wanted.remove("vast-threatbus");
    assert_eq!(rows, wanted);
}

/// The table of the forms of feeds, as the README has it.
fn table_of_forms() -> String {
    let mut table = String::from("| Name | Form | What is taken |\n| --- | --- | --- |\n");
    for form in &FORMS {
        table += &format!("| `{}` | {} | {} |\n", form.name, form.what, form.taken);
    }
    table
}

/// The table of the forms of logs, as the README has it.
fn table_of_log_forms() -> String {
    let mut table = String::from("| Form | What is taken |\n| --- | --- |\n");
    for form in &LOG_FORMS {
        table += &format!("| {} | {} |\n", form.name, form.taken);
    }
    table
}

#[test]
fn the_forms_of_feeds_are_those_of_the_table() {
    let readme = read("README.md");
    let block = between(&readme, "<!-- forms:begin -->\n", "<!-- forms:end -->");
    let table = table_of_forms();
    assert!(block == table, "the forms in README.md are to be:\n{table}");
}

#[test]
fn the_forms_of_logs_are_those_of_the_table() {
    let readme = read("README.md");
    let block = between(&readme, "<!-- logs:begin -->\n", "<!-- logs:end -->");
    let table = table_of_log_forms();
    assert!(
        block == table,
        "the forms of logs in README.md are to be:\n{table}"
    );
}

/// What a field holds, for a person; nothing of the parts of something.
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

/// The table of kinds and places, as the README has it.
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
    let readme = read("README.md");
    let block = between(&readme, "<!-- places:begin -->\n", "<!-- places:end -->");
    let table = table_of_places();
    assert!(
        block == table,
        "the kinds and places in README.md are to be:\n{table}"
    );
}

/// The table of object paths, as the README has it.
fn table_of_paths() -> String {
    let mut table = String::from("| Object path | What it is compared with |\n| --- | --- |\n");
    for row in PATHS {
        let how = match row.target {
            Target::Ipv4 | Target::Ipv6 => "; also networks",
            Target::Host => "; an address, a network or a name",
            Target::HostType => "; `ipv4-addr`, `ipv6-addr` or `domain-name`",
            Target::Number | Target::Time => "; checked here",
            Target::Protocol => "; checked here, any of them, case aside",
            Target::Folder => "; the components at its end",
            Target::Kind(_) | Target::Url => "",
        };
        table.push_str(&format!("| `{}` | {}{how} |\n", row.path, row.place.name()));
    }
    table
}

#[test]
fn every_object_path_is_in_the_table() {
    let readme = read("README.md");
    let block = between(&readme, "<!-- paths:begin -->\n", "<!-- paths:end -->");
    assert_eq!(
        block,
        table_of_paths(),
        "this is what it should be:\n{}",
        table_of_paths()
    );
}
