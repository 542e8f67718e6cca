//! The engine's table of concepts: the fields of each event type that hold a domain, a
//! URL, a hash or a file name.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use serde::Deserialize;
use thiserror::Error;

use crate::observable::Kind;

mod built_in;

use built_in::BUILT_IN;

/// What a field can hold according to its concepts: one bit per kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Uses(u64);

/// Every kind has its bit.
const _: () = assert!(Kind::COUNT <= u64::BITS as usize);

impl Uses {
    fn of(kind: Kind) -> Self {
        Uses(1 << kind.number())
    }

    fn add(&mut self, other: Uses) {
        self.0 |= other.0;
    }

    /// Whether the field is searched for this kind.
    pub(super) fn holds(self, kind: Kind) -> bool {
        self.0 & Uses::of(kind).0 != 0
    }

    /// Whether it belongs to any concept of text.
    pub(super) fn is_text(self) -> bool {
        self.0 != 0
    }
}

/// The fields that hold a domain, a URL, a hash and so on.
///
/// The table prefixes fields with the event's type: `zeek.http.host`. A printed event
/// does not tell its type, so fields are known here by their path alone (`host`). Only
/// Suricata events tell their type, in `event_type`.
#[derive(Clone, Debug)]
pub struct Concepts {
    /// By path, without the two words of the type.
    paths: HashMap<Box<str>, Uses>,
    /// By Suricata event type, then path.
    suricata: HashMap<Box<str>, HashMap<Box<str>, Uses>>,
    /// By full name.
    names: HashMap<Box<str>, Uses>,
    /// By full name and by every tail of it, with any number of leading words removed.
    tails: HashMap<Box<str>, Uses>,
}

/// A table of concepts that cannot be used.
#[derive(Debug, Error)]
pub enum ConceptsError {
    /// Its text is not the output of `vast dump concepts`.
    #[error(
        "cannot read the table of concepts: {0}; expected a list of \
         {{\"concept\": {{\"name\", \"fields\", \"concepts\"}}}}"
    )]
    Malformed(serde_json::Error),
    /// None of the concepts for indicators has a field.
    #[error("the table of concepts has no field for net.domain, net.hostname or net.uri")]
    NoFields,
}

/// An element of the printed table; elements of other kinds have no concept.
#[derive(Deserialize)]
struct Printed {
    concept: Option<Concept>,
}

#[derive(Clone, Deserialize)]
struct Concept {
    name: String,
    #[serde(default)]
    fields: Vec<String>,
    #[serde(default)]
    concepts: Vec<String>,
}

impl Concepts {
    /// Reads the output of `vast dump concepts`.
    ///
    /// # Errors
    ///
    /// The text is not such a table, or it has no fields for domains and URLs. Use
    /// [`Concepts::built_in`] then.
    pub fn parse(json: &str) -> Result<Self, ConceptsError> {
        let printed: Vec<Printed> = serde_json::from_str(json).map_err(ConceptsError::Malformed)?;
        let table: Vec<Concept> = printed.into_iter().filter_map(|one| one.concept).collect();
        let concepts = Concepts::from_table(&table);
        let usable = concepts
            .names
            .values()
            .any(|uses| uses.holds(Kind::Domain) || uses.holds(Kind::Url));
        usable.then_some(concepts).ok_or(ConceptsError::NoFields)
    }

    /// The table for an engine that does not print its own.
    pub fn built_in() -> Self {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let table: Vec<Concept> = BUILT_IN
            .iter()
            .map(|&(name, fields, concepts)| Concept {
                name: name.to_owned(),
                fields: owned(fields),
                concepts: owned(concepts),
            })
            .collect();
        Concepts::from_table(&table)
    }

    /// The built-in table, shared.
    pub fn shared() -> Arc<Self> {
        static SHARED: LazyLock<Arc<Concepts>> = LazyLock::new(|| Arc::new(Concepts::built_in()));
        SHARED.clone()
    }

    fn from_table(table: &[Concept]) -> Self {
        let mut concepts = Concepts {
            paths: HashMap::new(),
            suricata: HashMap::new(),
            names: HashMap::new(),
            tails: HashMap::new(),
        };
        for kind in Kind::all() {
            for &extractor in kind.extractors() {
                let is_concept = table.iter().any(|concept| concept.name == extractor);
                // Anything but a concept is the full name of a field.
                if !is_concept && BUILT_IN.iter().all(|(name, ..)| *name != extractor) {
                    concepts.add(extractor, Uses::of(kind));
                }
            }
            for field in fields_of(table, kind.extractors()) {
                concepts.add(field, Uses::of(kind));
            }
        }
        concepts
    }

    fn add(&mut self, field: &str, uses: Uses) {
        fn join(map: &mut HashMap<Box<str>, Uses>, key: &str, uses: Uses) {
            map.entry(key.into()).or_default().add(uses);
        }
        join(&mut self.names, field, uses);
        join(&mut self.tails, field, uses);
        for (dot, _) in field.match_indices('.') {
            join(&mut self.tails, &field[dot + 1..], uses);
        }
        let Some((module, rest)) = field.split_once('.') else {
            return;
        };
        // A type of one word, which is possible in a site's own schema.
        let Some((kind, path)) = rest.split_once('.') else {
            join(&mut self.paths, rest, uses);
            return;
        };
        join(&mut self.paths, path, uses);
        if module == "suricata" {
            join(self.suricata.entry(kind.into()).or_default(), path, uses);
        }
    }

    /// Every field with its full name and what it holds.
    pub(super) fn fields(&self) -> impl Iterator<Item = (&str, Uses)> {
        self.names.iter().map(|(name, uses)| (&**name, *uses))
    }

    /// What a field of a printed event holds, as well as can be told: the field of that
    /// Suricata type if there is an `event_type`, or else a field with this path in any
    /// type.
    pub(super) fn uses(&self, path: &str, event_type: Option<&str>) -> Uses {
        let paths = match event_type {
            Some(kind) => self.suricata.get(kind),
            None => Some(&self.paths),
        };
        let uses = paths.and_then(|paths| paths.get(path));
        uses.copied().unwrap_or_default()
    }

    /// Everything that a field with this path can hold, in any event type of any number
    /// of words. If this does not include a kind, no query by concept reaches the field.
    /// (The engine compares field names with the tail of the type's name joined with the
    /// path.)
    pub(super) fn possible_uses(&self, path: &str) -> Uses {
        let mut uses = self.tails.get(path).copied().unwrap_or_default();
        for (dot, _) in path.match_indices('.') {
            if let Some(&more) = self.names.get(&path[dot + 1..]) {
                uses.add(more);
            }
        }
        uses
    }
}

/// The fields of these concepts and of all concepts that they include. Cycles and missing
/// concepts do no harm.
fn fields_of<'a>(table: &'a [Concept], names: &[&'a str]) -> HashSet<&'a str> {
    let mut fields = HashSet::new();
    let mut seen = HashSet::new();
    let mut open: Vec<&str> = names.to_vec();
    while let Some(name) = open.pop() {
        if !seen.insert(name) {
            continue;
        }
        for concept in table.iter().filter(|concept| concept.name == name) {
            fields.extend(concept.fields.iter().map(String::as_str));
            open.extend(concept.concepts.iter().map(String::as_str));
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shared() -> Option<std::path::PathBuf> {
        let default = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared");
        let shared = std::env::var_os("VAST_THREATBUS_SHARED").unwrap_or_else(|| default.into());
        Some(std::path::PathBuf::from(shared).join("vast")).filter(|vast| vast.is_dir())
    }

    #[test]
    fn resolves_concepts_in_concepts_and_survives_circles() {
        let table = r#"[
            {"concept": {"name": "net.hostname", "fields": ["a.b.host"], "concepts": ["net.x", "lost"]}},
            {"concept": {"name": "net.x", "description": "", "fields": ["a.b.c.name"], "concepts": ["net.hostname"]}},
            {"concept": {"name": "net.app", "fields": ["a.b.app"], "concepts": []}},
            {"model": {"name": "m"}}]"#;
        let concepts = Concepts::parse(table).expect("a table");
        assert!(concepts.uses("host", None).holds(Kind::Domain));
        assert!(concepts.uses("c.name", None).holds(Kind::Domain));
        assert!(!concepts.uses("c.name", None).holds(Kind::Url));
        assert!(!concepts.uses("name", None).holds(Kind::Domain));
        assert_eq!(concepts.uses("app", None), Uses::default());
    }

    #[test]
    fn an_event_type_selects_the_fields_of_that_type() {
        let concepts = Concepts::built_in();
        assert!(concepts.uses("http.url", Some("http")).holds(Kind::Url));
        assert!(!concepts.uses("http.url", Some("fileinfo")).holds(Kind::Url));
        assert!(!concepts.uses("http.url", Some("unknown")).holds(Kind::Url));
        assert!(concepts.uses("http.url", None).holds(Kind::Url));
        assert!(concepts.uses("fileinfo.md5", None).is_text());
        assert!(!concepts.uses("fileinfo.md5", None).holds(Kind::Domain));
    }

    #[test]
    fn possible_uses_do_not_depend_on_the_words_of_the_type() {
        let concepts = Concepts::built_in();
        for path in ["host", "http.host", "zeek.http.host", "x.zeek.http.host"] {
            assert!(concepts.possible_uses(path).holds(Kind::Domain), "{path}");
        }
        for path in ["x.host", "xhost", "zeek.http", "user_agent"] {
            assert!(!concepts.possible_uses(path).holds(Kind::Domain), "{path}");
        }
    }

    #[test]
    fn says_why_a_table_cannot_be_used() {
        let malformed = Concepts::parse("{").expect_err("no table").to_string();
        assert!(malformed.starts_with("cannot read the table of concepts: "));
        let empty = Concepts::parse("[]").expect_err("no field").to_string();
        assert!(empty.contains("net.domain"), "{empty}");
    }

    #[test]
    fn the_built_in_table_is_the_recorded_one() {
        let Some(vast) = shared() else {
            eprintln!("skipped: no recorded tables of concepts");
            return;
        };
        let ours = Concepts::built_in();
        for version in ["2020.12.16", "2021.01.28"] {
            let path = vast.join(version).join("concepts.json");
            let table = std::fs::read_to_string(path).expect("a recorded table");
            let recorded = Concepts::parse(&table).expect("a table");
            assert_eq!(ours.names, recorded.names, "{version}");
        }
    }
}
