//! The object paths that VAST's own concepts cover, checked with events and by equality. The number
//! of events in which each value is sighted has to be the number of events with the value in one of
//! the path's fields, which is counted here without the program. (The other paths are checked with
//! labelled pairs, with constructed pairs, and against OASIS's own matcher.)

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::bridge::Bridge;
use crate::support::messages::{stix_id, stix_indicator};
use crate::support::paths::{self, repository};
use crate::support::standin::Standin;
use serde_json::{Map, Value, json};
use vast_threatbus::protocol::stix::paths::PATHS;

const LIMIT: Duration = Duration::from_secs(120);

/// How many values of each row are queried.
const VALUES: usize = 3;

const SOURCES: &[&str] = &["src_ip", "id.orig_h", "SourceIp", "src"];
const DESTINATIONS: &[&str] = &["dest_ip", "id.resp_h", "DestinationIp", "dst"];

/// Where the values of a row occur.
enum Rule {
    /// In fields of type address.
    Address,
    /// In the fields of these concepts, or with these whole names.
    Text(&'static [&'static str]),
    /// Among the elements of lists with these whole names.
    Elements(&'static [&'static str]),
    /// In fields of these paths, in any type of event.
    End(&'static [&'static str]),
    /// The same, but the value is the family of the address.
    Family(&'static [&'static str]),
    /// Numbers in fields of these paths.
    Number(&'static [&'static str]),
    /// Text in fields of these paths, in any case.
    Protocol(&'static [&'static str]),
}

/// What is expected of a row; `None` if no concept of VAST covers it.
fn rule(path: &str) -> Option<Rule> {
    Some(match path {
        "ipv4-addr:value" | "ipv6-addr:value" => Rule::Address,
        "domain-name:value" | "hostname:value" | "x-opencti-hostname:value" => {
            Rule::Text(&["net.domain", "net.hostname"])
        }
        "domain-name:resolves_to_refs.value" => Rule::Elements(&["zeek.dns.answers"]),
        "url:value" => Rule::Text(&["net.uri"]),
        "file:hashes.MD5" => Rule::Text(&["file.hash.md5"]),
        "file:hashes.'SHA-1'" => Rule::Text(&["file.hash.sha1"]),
        "file:hashes.'SHA-256'" => Rule::Text(&["file.hash.sha256"]),
        "file:name" => Rule::Text(&["file.name"]),
        "mac-addr:value" => Rule::Text(&["net.src.mac"]),
        "email-addr:value" | "email-message:from_ref.value" => {
            Rule::Text(&["zeek.smtp.mailfrom", "suricata.smtp.smtp.mail_from"])
        }
        "network-traffic:extensions.'http-request-ext'.request_header.'User-Agent'"
        | "user-agent:value"
        | "x-opencti-user-agent:value" => {
            Rule::Text(&["zeek.http.user_agent", "suricata.http.http.http_user_agent"])
        }
        "process:name" | "process:image_ref.name" => Rule::Text(&["proc.name"]),
        "process:parent_ref.name" => Rule::Text(&["proc.parent.name"]),
        "process:command_line" => Rule::Text(&["sysmon.ProcessCreation.CommandLine"]),
        "user-account:user_id" | "user-account:account_login" => Rule::Text(&["proc.user_name"]),
        "network-traffic:src_ref.value" => Rule::End(SOURCES),
        "network-traffic:dst_ref.value" => Rule::End(DESTINATIONS),
        "network-traffic:src_ref.type" => Rule::Family(SOURCES),
        "network-traffic:dst_ref.type" => Rule::Family(DESTINATIONS),
        "network-traffic:src_port" => {
            Rule::Number(&["src_port", "id.orig_p", "SourcePort", "sport"])
        }
        "network-traffic:dst_port" => {
            Rule::Number(&["dest_port", "id.resp_p", "DestinationPort", "dport"])
        }
        "file:size" => Rule::Number(&["fileinfo.size"]),
        "network-traffic:protocols" => Rule::Protocol(&[
            "proto",
            "app_proto",
            "alert.app_proto",
            "event_type",
            "service",
            "Protocol",
        ]),
        _ => return None,
    })
}

/// The rows with a rule.
fn rows() -> Vec<(&'static str, Rule)> {
    let rows = PATHS.iter();
    let rows: Vec<_> = rows
        .filter_map(|row| Some((row.path, rule(row.path)?)))
        .collect();
    assert!(rows.len() >= 25, "{} rows have a rule", rows.len());
    rows
}

/// A printed event.
struct Event {
    schema: String,
    /// The values outside of lists.
    values: Vec<(String, Value)>,
    /// The elements of lists.
    elements: Vec<(String, Value)>,
}

impl Event {
    fn new(schema: &str, object: &Map<String, Value>) -> Self {
        let mut event = Event {
            schema: schema.to_owned(),
            values: Vec::new(),
            elements: Vec::new(),
        };
        event.take("", object);
        event
    }

    fn take(&mut self, before: &str, object: &Map<String, Value>) {
        for (key, value) in object {
            let path = match before {
                "" => key.clone(),
                before => format!("{before}.{key}"),
            };
            match value {
                Value::Object(object) => self.take(&path, object),
                Value::Null => {}
                Value::Array(elements) => {
                    let elements = elements.iter().map(|one| (path.clone(), one.clone()));
                    self.elements.extend(elements);
                }
                value => self.values.push((path, value.clone())),
            }
        }
    }

    /// The values that the rule finds, as text.
    fn values(&self, rule: &Rule, concepts: &BTreeMap<String, Vec<String>>) -> Vec<String> {
        let at = |paths: &[&str]| {
            let found = self.values.iter();
            let found = found.filter(|(path, _)| paths.contains(&path.as_str()));
            found.map(|(_, value)| text(value)).collect::<Vec<String>>()
        };
        match rule {
            Rule::Address => {
                let ends = [SOURCES, DESTINATIONS].concat();
                at(&ends)
            }
            Rule::Text(names) => {
                let fields = names.iter().flat_map(|name| fields(name, concepts));
                let fields: BTreeSet<String> = fields.collect();
                let is_one = |path: &str| fields.contains(&format!("{}.{path}", self.schema));
                let found = self.values.iter().filter(|(path, _)| is_one(path));
                let found = found.filter_map(|(_, value)| value.as_str());
                found.map(str::to_owned).collect()
            }
            Rule::Elements(names) => {
                let is_one = |path: &str| names.contains(&&*format!("{}.{path}", self.schema));
                let found = self.elements.iter().filter(|(path, _)| is_one(path));
                found.map(|(_, value)| text(value)).collect()
            }
            // Ports like `53/udp` have a type that is not compared with numbers.
            Rule::Number(paths) => {
                let mut numbers = at(paths);
                numbers.retain(|text| text.parse::<u64>().is_ok());
                numbers
            }
            Rule::End(paths) | Rule::Family(paths) => at(paths),
            Rule::Protocol(paths) => at(paths).iter().map(|one| one.to_lowercase()).collect(),
        }
    }
}

/// A value as text; an address in the form in which it is compared.
fn text(value: &Value) -> String {
    let Some(text) = value.as_str() else {
        return value.to_string();
    };
    match text.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().to_string(),
        Err(_) => text.to_owned(),
    }
}

/// The concepts, each with its fields and those of the concepts that it includes.
fn concepts(file: &Path) -> BTreeMap<String, Vec<String>> {
    let table = std::fs::read_to_string(file).expect("a table of concepts");
    let table: Vec<Value> = serde_json::from_str(&table).expect("JSON");
    let names = |value: &Value| -> Vec<String> {
        let names = value.as_array().expect("a list").iter();
        names.map(text).collect()
    };
    let concepts = table.iter().map(|entry| &entry["concept"]);
    let concepts = concepts.filter(|concept| !concept.is_null());
    let entries = concepts.map(|concept| {
        let all = [names(&concept["fields"]), names(&concept["concepts"])];
        (text(&concept["name"]), all.concat())
    });
    entries.collect()
}

/// The whole names of the fields that the name of a concept or a field stands for.
fn fields(name: &str, concepts: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    match concepts.get(name) {
        Some(parts) => parts.iter().flat_map(|one| fields(one, concepts)).collect(),
        None => vec![name.to_owned()],
    }
}

/// The events in a folder, by type.
fn read(folder: &Path) -> Vec<Event> {
    let mut events = Vec::new();
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        let name = path
            .file_name()
            .expect("a file")
            .to_string_lossy()
            .into_owned();
        let Some((schema, ending)) = name.split_once(".json") else {
            continue;
        };
        let bytes = std::fs::read(&path).expect("events");
        let mut plain = Vec::new();
        match ending {
            ".gz" => flate2::read::GzDecoder::new(&*bytes).read_to_end(&mut plain),
            _ => (&*bytes).read_to_end(&mut plain),
        }
        .expect("events can be read");
        for line in String::from_utf8_lossy(&plain).lines() {
            let object: Map<String, Value> = serde_json::from_str(line).expect("an event");
            events.push(Event::new(schema, &object));
        }
    }
    events
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\\', r"\\").replace('\'', r"\'"))
}

fn family(address: &str) -> Option<&'static str> {
    let address: IpAddr = address.parse().ok()?;
    Some(if address.is_ipv4() {
        "ipv4-addr"
    } else {
        "ipv6-addr"
    })
}

/// Whether a text is a value of this row in canonical form: others are rejected, or mean the same as
/// another.
fn is_value_of(path: &str, text: &str) -> bool {
    let is_name = |text: &str| {
        let is_one = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
        text.contains('.') && text.chars().all(is_one) && !text.ends_with('.')
    };
    match path.split([':', '.']).next() {
        Some("domain-name" | "hostname" | "x-opencti-hostname") => is_name(text),
        Some("url") => text.starts_with('/') && !text.contains(['#', '%', ' ']),
        Some("file") if path == "file:name" => !text.contains(['/', '\\']),
        Some("email-addr" | "email-message") => {
            text.split_once('@').is_some_and(|(_, host)| is_name(host))
        }
        _ => true,
    }
}

/// Some of the values, each with its number of events: the most frequent, the rarest, and one
/// between them.
fn some(path: &str, counts: &BTreeMap<String, u64>) -> Vec<(String, u64)> {
    let is_plain = |text: &str| {
        !text.is_empty()
            && !text.contains(|c: char| c.is_control() || c == '\u{fffd}')
            && is_value_of(path, text)
    };
    let mut all: Vec<(String, u64)> = counts
        .iter()
        .filter(|(value, _)| is_plain(value))
        .map(|(value, count)| (value.clone(), *count))
        .collect();
    all.sort_by_key(|(value, count)| (*count, value.clone()));
    let last = all.len().saturating_sub(1);
    let chosen: BTreeSet<usize> = (0..VALUES).map(|n| n * last / (VALUES - 1)).collect();
    let chosen = chosen.into_iter().filter_map(|at| all.get(at).cloned());
    chosen.collect()
}

/// Patterns for a row, each with the number of events that it has to match.
fn patterns(
    path: &str,
    rule: &Rule,
    events: &[Event],
    concepts: &BTreeMap<String, Vec<String>>,
) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for event in events {
        let values: BTreeSet<String> = event.values(rule, concepts).into_iter().collect();
        for value in values {
            *counts.entry(value).or_default() += 1;
        }
    }
    // Only addresses of the family that the path is about.
    if let Some(family_of_path) = path
        .strip_suffix(":value")
        .filter(|one| one.contains("-addr"))
    {
        if matches!(rule, Rule::Address) {
            counts.retain(|value, _| family(value) == Some(family_of_path));
        }
    }
    let of = |value: &str, count: u64| {
        Some(match rule {
            Rule::Number(_) => (format!("[{path} = {value}]"), count),
            Rule::Family(_) => {
                let end = path.strip_suffix(".type").expect("a path of a family");
                let family = family(value).expect("an address");
                let value = quoted(value);
                (
                    format!("[{path} = '{family}' AND {end}.value = {value}]"),
                    count,
                )
            }
            // A protocol alone gives nothing to look up, so a frequent source is added.
            Rule::Protocol(_) => {
                let sources = Rule::End(SOURCES);
                let met = events
                    .iter()
                    .filter(|event| event.values(rule, concepts).iter().any(|one| one == value));
                let mut sources_met: BTreeMap<String, u64> = BTreeMap::new();
                for event in met {
                    for source in event.values(&sources, concepts) {
                        *sources_met.entry(source).or_default() += 1;
                    }
                }
                let (source, count) = sources_met.into_iter().max_by_key(|(_, count)| *count)?;
                let (name, source) = (quoted(&value.to_uppercase()), quoted(&source));
                let end = "network-traffic:src_ref.value";
                (format!("[{path} = {name} AND {end} = {source}]"), count)
            }
            Rule::Address | Rule::Text(_) | Rule::Elements(_) | Rule::End(_) => {
                (format!("[{path} = {}]", quoted(value)), count)
            }
        })
    };
    some(path, &counts)
        .iter()
        .filter_map(|(value, count)| of(value, *count))
        .collect()
}

/// Checks every row of which the events have values; returns the rows of which they have no value.
fn check(engine: &Standin, events: &Path, concepts_file: &Path) -> Vec<&'static str> {
    let (events, concepts) = (read(events), concepts(concepts_file));
    let (mut expected, mut without) = (Vec::new(), Vec::new());
    for (path, rule) in rows() {
        let patterns = patterns(path, &rule, &events, &concepts);
        if patterns.is_empty() {
            without.push(path);
        }
        expected.extend(patterns);
    }
    let indicators = (0..).zip(&expected);
    let indicators = indicators.map(|(n, (pattern, _))| stix_indicator(n, pattern, None));
    let indicators: String = indicators.map(|one| format!("{one}\n")).collect();
    let mut run = Bridge::between("127.0.0.1:9", engine)
        .file("indicators", indicators)
        .args(["--retro-match", "--indicators", "indicators"])
        .run();
    assert!(run.wait(LIMIT).success(), "{}", run.log());
    let answers: BTreeMap<String, u64> = run.answers().into_iter().collect();
    for (n, (pattern, count)) in (0..).zip(&expected) {
        assert_eq!(answers.get(&stix_id(n)), Some(count), "{pattern}");
    }
    without
}

fn sample_concepts() -> PathBuf {
    repository().join("tests/samples/concepts.json")
}

/// The recorded events of real builds, if they are there.
fn recorded() -> Option<PathBuf> {
    paths::shared().map(|shared| shared.join("vast"))
}

#[test]
fn every_row_finds_what_the_sample_events_hold() {
    let events = repository().join("tests/samples/events");
    let without = check(&Standin::with_samples(), &events, &sample_concepts());
    assert!(without.len() < rows().len() / 2, "{without:?}");
}

#[test]
fn every_row_finds_what_the_recorded_events_hold() {
    let Some(vast) = recorded() else {
        return;
    };
    for version in ["2020.12.16", "2021.01.28"] {
        let (events, concepts) = (
            vast.join(version).join("events"),
            vast.join(version).join("concepts.json"),
        );
        let engine = Standin::new(&events)
            .with("version", json!(version))
            .with("concepts", json!(concepts));
        check(&engine, &events, &concepts);
    }
}

/// One event for each field that any row searches, in the table of concepts of a real build if it is
/// there.
#[test]
fn every_row_finds_its_value_in_each_of_its_fields() {
    let table = recorded().map(|vast| vast.join("2021.01.28/concepts.json"));
    let table = table.unwrap_or_else(sample_concepts);
    let concepts = concepts(&table);
    let mut events: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for (path_of_row, rule) in rows() {
        let Rule::Text(names) = rule else {
            continue;
        };
        for field in names.iter().flat_map(|name| fields(name, &concepts)) {
            let mut words = field.splitn(3, '.');
            let (Some(module), Some(kind), Some(path)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            let digit = format!("{:x}", path_of_row.len() % 16);
            let value = match path_of_row {
                "file:hashes.MD5" => digit.repeat(32),
                "file:hashes.'SHA-1'" => digit.repeat(40),
                "file:hashes.'SHA-256'" => digit.repeat(64),
                "mac-addr:value" => "00:0a:95:9d:68:16".to_owned(),
                "url:value" => "/value".to_owned(),
                path if path.starts_with("email-") => "value@of.example".to_owned(),
                path if path.ends_with("name:value") => "value.example".to_owned(),
                path => format!("value of {path}"),
            };
            let mut event = json!({"ts": "2024-03-05T09:00:00.250000000", path: value});
            if module == "suricata" {
                event["event_type"] = json!(kind);
            }
            let schema = format!("{module}.{kind}");
            events.entry(schema).or_default().push(event);
        }
    }
    let types: Vec<(&str, &[Value])> = events
        .iter()
        .map(|(name, all)| (name.as_str(), &**all))
        .collect();
    let engine = Standin::holding(&types).with("concepts", json!(table));
    let folder = engine.file("events");
    let without = check(&engine, &folder, &table);
    let is_text = |path: &&&str| matches!(rule(path), Some(Rule::Text(_)));
    let without: Vec<&&str> = without.iter().filter(is_text).collect();
    assert!(without.is_empty(), "{without:?}");
}
