//! The engine's table of concepts: which fields of which event types hold a
//! domain, a URL, a hash or a file name.

use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::Deserialize;

/// Concepts whose fields a domain is looked for in.
const DOMAIN: &[&str] = &["net.domain", "net.hostname"];
/// Concepts whose fields a URL is looked for in.
const URL: &[&str] = &["net.uri"];
/// Concepts of text that no observable is looked for in.
const OTHER_TEXT: &[&str] = &[
    "file.hash.md5",
    "file.hash.sha1",
    "file.hash.sha256",
    "file.name",
];

/// The table for engines that have none: concept, fields, concepts that it
/// includes. The same as 2020.12.16 and 2021.01.28 have.
const BUILT_IN: &[(&str, &[&str], &[&str])] = &[
    (
        "net.domain",
        &[
            "suricata.smb.smb.ntlmssp.domain",
            "suricata.dns.dns.rrname",
            "suricata.tls.sni",
            "suricata.http.http.hostname",
            "zeek.dns.answers",
            "zeek.dns.query",
            "zeek.http.domain",
            "zeek.dhcp.domain",
            "zeek.ntlm.domainname",
            "zeek.ssl.server_name",
        ],
        &[],
    ),
    (
        "net.hostname",
        &[
            "suricata.fileinfo.http.hostname",
            "suricata.http.http.hostname",
            "suricata.dhcp.dhcp.hostname",
            "suricata.krb5.host",
            "suricata.smb.host",
            "suricata.smb.smb.ntlmssp.host",
            "suricata.ssh.host",
            "zeek.dhcp.host_name",
            "zeek.ntlm.hostname",
            "zeek.ntlm.server_dns_computer_name",
            "zeek.http.host",
            "zeek.software.host",
        ],
        &["net.dst.hostname", "net.src.hostname"],
    ),
    (
        "net.dst.hostname",
        &["sysmon.NetworkConnection.DestinationHostname"],
        &[],
    ),
    (
        "net.src.hostname",
        &["sysmon.NetworkConnection.SourceHostname"],
        &[],
    ),
    (
        "net.uri",
        &[
            "suricata.http.http.url",
            "zeek.http.uri",
            "zeek.http.referrer",
        ],
        &[],
    ),
    ("file.hash.md5", &["suricata.fileinfo.fileinfo.md5"], &[]),
    ("file.hash.sha1", &["suricata.fileinfo.fileinfo.sha1"], &[]),
    (
        "file.hash.sha256",
        &["suricata.fileinfo.fileinfo.sha256"],
        &[],
    ),
    (
        "file.name",
        &[
            "suricata.ftp_data.ftp_data.filename",
            "suricata.fileinfo.fileinfo.filename",
            "suricata.smb.smb.filename",
            "sysmon.FileCreate.TargetFilename",
            "sysmon.FileCreateStreamHash.TargetFilename",
            "sysmon.FileDelete.TargetFilename",
            "sysmon.ImageLoaded.OriginalFileName",
            "sysmon.ProcessChangedFileCreationTime.TargetFilename",
        ],
        &[],
    ),
];

/// What a field can hold, by the concepts that it belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Uses {
    pub(super) domain: bool,
    pub(super) url: bool,
    /// Any concept of text, the two above included.
    pub(super) text: bool,
}

impl Uses {
    fn add(&mut self, other: Uses) {
        self.domain |= other.domain;
        self.url |= other.url;
        self.text |= other.text;
    }
}

/// Which fields hold a domain or a URL.
///
/// The table names fields with the event's type in front, `zeek.http.host`; a
/// printed event does not tell its type, so fields are known here by their path
/// alone (`host`), whatever the type. Only Suricata events tell theirs, in
/// `event_type`.
#[derive(Clone, Debug)]
pub struct Concepts {
    /// By path, the type's two words taken off.
    paths: HashMap<Box<str>, Uses>,
    /// By Suricata event type, then path.
    suricata: HashMap<Box<str>, HashMap<Box<str>, Uses>>,
    /// By the full name.
    names: HashMap<Box<str>, Uses>,
    /// By the full name and all that is left of it when any number of words are
    /// taken off its front.
    tails: HashMap<Box<str>, Uses>,
}

/// A table of concepts that cannot be used.
#[derive(Debug)]
pub enum ConceptsError {
    /// It is not what `vast dump concepts` prints.
    Malformed(serde_json::Error),
    /// None of the concepts that indicators are matched by has a field.
    NoFields,
}

impl fmt::Display for ConceptsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ConceptsError::Malformed(error) => {
                write!(
                    f,
                    "cannot read the table of concepts: {error}; expected a list of {{\"concept\": {{\"name\", \"fields\", \"concepts\"}}}}"
                )
            }
            ConceptsError::NoFields => f.write_str(
                "the table of concepts has no field for net.domain, net.hostname or net.uri",
            ),
        }
    }
}

impl std::error::Error for ConceptsError {}

/// One element of the printed table; elements of other kinds have no concept.
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
    /// Reads what `vast dump concepts` prints.
    ///
    /// # Errors
    ///
    /// The text is not such a table, or nothing in it says where to look for
    /// domains and URLs; [`Concepts::built_in`] serves then.
    pub fn parse(json: &str) -> Result<Self, ConceptsError> {
        let printed: Vec<Printed> = serde_json::from_str(json).map_err(ConceptsError::Malformed)?;
        let table: Vec<Concept> = printed.into_iter().filter_map(|one| one.concept).collect();
        let concepts = Concepts::from_table(&table);
        let usable = concepts.names.values().any(|uses| uses.domain || uses.url);
        usable.then_some(concepts).ok_or(ConceptsError::NoFields)
    }

    /// The table for an engine that does not tell its own.
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

    fn from_table(table: &[Concept]) -> Self {
        let mut concepts = Concepts {
            paths: HashMap::new(),
            suricata: HashMap::new(),
            names: HashMap::new(),
            tails: HashMap::new(),
        };
        let domain = Uses {
            domain: true,
            text: true,
            ..Uses::default()
        };
        let url = Uses {
            url: true,
            text: true,
            ..Uses::default()
        };
        let text = Uses {
            text: true,
            ..Uses::default()
        };
        for (names, uses) in [(DOMAIN, domain), (URL, url), (OTHER_TEXT, text)] {
            for field in fields_of(table, names) {
                concepts.add(field, uses);
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
        // A type of one word, as a site's own schema can have.
        let Some((kind, path)) = rest.split_once('.') else {
            join(&mut self.paths, rest, uses);
            return;
        };
        join(&mut self.paths, path, uses);
        if module == "suricata" {
            join(self.suricata.entry(kind.into()).or_default(), path, uses);
        }
    }

    /// What a field of a printed event holds, as well as can be told: with an
    /// `event_type` the field of that Suricata type, else a field of this path
    /// in any type.
    pub(super) fn uses(&self, path: &str, event_type: Option<&str>) -> Uses {
        let paths = match event_type {
            Some(kind) => self.suricata.get(kind),
            None => Some(&self.paths),
        };
        let uses = paths.and_then(|paths| paths.get(path));
        uses.copied().unwrap_or_default()
    }

    /// All that a field of this path can hold, whatever the event's type is and
    /// however many words it has: where this says no, no query by concept
    /// reaches the field. (The engine takes the name of a field for the tail of
    /// the type's name joined with the path.)
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

/// The fields of these concepts and of all that they include; a concept that
/// includes itself, or one that the table lacks, does no harm.
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
        assert!(concepts.uses("host", None).domain);
        assert!(concepts.uses("c.name", None).domain);
        assert!(!concepts.uses("c.name", None).url);
        assert!(!concepts.uses("name", None).domain);
        assert_eq!(concepts.uses("app", None), Uses::default());
    }

    #[test]
    fn an_event_type_selects_the_fields_of_that_type() {
        let concepts = Concepts::built_in();
        assert!(concepts.uses("http.url", Some("http")).url);
        assert!(!concepts.uses("http.url", Some("fileinfo")).url);
        assert!(!concepts.uses("http.url", Some("unknown")).url);
        assert!(concepts.uses("http.url", None).url);
        assert!(concepts.uses("fileinfo.md5", None).text);
        assert!(!concepts.uses("fileinfo.md5", None).domain);
    }

    #[test]
    fn possible_uses_do_not_depend_on_the_words_of_the_type() {
        let concepts = Concepts::built_in();
        for path in ["host", "http.host", "zeek.http.host", "x.zeek.http.host"] {
            assert!(concepts.possible_uses(path).domain, "{path}");
        }
        for path in ["x.host", "xhost", "zeek.http", "user_agent"] {
            assert!(!concepts.possible_uses(path).domain, "{path}");
        }
    }

    #[test]
    fn says_why_a_table_is_of_no_use() {
        let malformed = Concepts::parse("{").expect_err("no table").to_string();
        assert!(malformed.starts_with("cannot read the table of concepts: "));
        let empty = Concepts::parse("[]").expect_err("no field").to_string();
        assert!(empty.contains("net.domain"), "{empty}");
    }

    #[test]
    fn the_built_in_table_is_the_recorded_one() {
        let Some(vast) = shared() else {
            println!("skipped: no recorded tables of concepts");
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
