//! Labelled pairs of an indicator and an event, and which of them are found.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::paths;

/// One pair.
#[derive(Clone, Debug, Deserialize)]
pub struct Case {
    /// The kind of the indicator, in one word.
    pub kind: String,
    /// As in a feed: a line of a list, or a pattern.
    pub indicator: String,
    /// The options of the search: `answers`, `subdomains`, `urls-host`.
    pub options: Vec<String>,
    /// The sensor and the log: `zeek.http`.
    pub log: String,
    /// The event.
    pub event: Value,
    /// Whether the indicator matches the event.
    #[serde(rename = "match")]
    pub is_match: bool,
}

impl Case {
    /// Identifies its event.
    pub fn event_id(&self) -> String {
        event_id(&self.event)
    }

    fn is_pattern(&self) -> bool {
        self.indicator.starts_with('[') && self.indicator.contains(" = ")
    }
}

/// Identifies an event, whether a sensor wrote it or an engine printed it.
pub fn event_id(event: &Value) -> String {
    let id = match &event["uid"] {
        Value::Null => &event["flow_id"],
        uid => uid,
    };
    id.to_string()
}

/// All labelled pairs; `None` where [they are not there](paths::shared).
pub fn cases() -> Option<Vec<Case>> {
    let path = paths::shared()?.join("recall/cases.jsonl");
    let text = std::fs::read_to_string(&path).expect("labelled pairs");
    let lines = text.lines();
    Some(
        lines
            .map(|line| serde_json::from_str(line).expect("a labelled pair"))
            .collect(),
    )
}

/// Cases for one run of the program: their indicators can be in one file, and need the same
/// options.
pub struct Run<'a> {
    /// The indicators, one per line.
    pub indicators: String,
    /// The program's options.
    pub options: Vec<&'static str>,
    /// The cases of the indicators.
    pub cases: Vec<&'a Case>,
}

/// The runs for all cases.
pub fn runs(cases: &[Case]) -> Vec<Run<'_>> {
    let mut groups: BTreeMap<(bool, &[String]), Vec<&Case>> = BTreeMap::new();
    for case in cases {
        let key = (case.is_pattern(), &*case.options);
        groups.entry(key).or_default().push(case);
    }
    let runs = groups.into_iter().map(|((is_pattern, options), cases)| {
        let indicators: BTreeSet<&str> = cases.iter().map(|case| &*case.indicator).collect();
        let lines = indicators.iter().enumerate();
        Run {
            indicators: lines
                .map(|(number, text)| {
                    if is_pattern {
                        stix(number, text) + "\n"
                    } else {
                        format!("{text}\n")
                    }
                })
                .collect(),
            options: options.iter().map(|name| option(name)).collect(),
            cases,
        }
    });
    runs.collect()
}

fn option(name: &str) -> &'static str {
    match name {
        "answers" => "--match-answers",
        "subdomains" => "--domains-match-subdomains",
        "urls-host" => "--urls-match-host",
        _ => panic!("{name} is no option"),
    }
}

/// An indicator of this pattern.
pub fn stix(number: usize, pattern: &str) -> String {
    json!({
        "type": "indicator",
        "spec_version": "2.1",
        "id": format!("indicator--00000000-0000-4000-8000-{number:012}"),
        "created": "2024-01-01T00:00:00Z",
        "modified": "2024-01-01T00:00:00Z",
        "pattern": pattern,
        "pattern_type": "stix",
        "valid_from": "2024-01-01T00:00:00Z",
    })
    .to_string()
}

/// The events of Suricata, as lines of EVE.
pub fn eve(cases: &[Case]) -> String {
    let events = cases.iter().filter(|case| !is_of_zeek(case));
    events.map(|case| format!("{}\n", case.event)).collect()
}

/// The logs of Zeek by their names, as lines of JSON.
pub fn zeek_json(cases: &[Case]) -> BTreeMap<String, String> {
    let mut logs: BTreeMap<String, String> = BTreeMap::new();
    for case in cases.iter().filter(|case| is_of_zeek(case)) {
        let log = logs.entry(case.log.clone()).or_default();
        writeln!(log, "{}", case.event).expect("a string takes all");
    }
    logs
}

/// The logs of Zeek by their names, in its own format.
pub fn zeek_tsv(cases: &[Case]) -> BTreeMap<String, String> {
    let mut logs: BTreeMap<String, Vec<&Map<String, Value>>> = BTreeMap::new();
    for case in cases.iter().filter(|case| is_of_zeek(case)) {
        let event = case.event.as_object().expect("an event is an object");
        logs.entry(case.log.clone()).or_default().push(event);
    }
    let logs = logs.into_iter();
    logs.map(|(log, events)| {
        let text = tsv(&log, &events);
        (log, text)
    })
    .collect()
}

fn is_of_zeek(case: &Case) -> bool {
    case.log.starts_with("zeek.")
}

fn tsv(log: &str, events: &[&Map<String, Value>]) -> String {
    let mut types: BTreeMap<&str, &str> = BTreeMap::new();
    for (name, value) in events.iter().flat_map(|event| event.iter()) {
        types.insert(name, type_of(name, value));
    }
    let path = log.trim_start_matches("zeek.");
    let names: Vec<&str> = types.keys().copied().collect();
    let kinds: Vec<&str> = types.values().copied().collect();
    let mut text = format!(
        "#separator \\x09\n#set_separator\t,\n#empty_field\t(empty)\n#unset_field\t-\n\
         #path\t{path}\n#open\t2024-03-05-10-00-00\n#fields\t{}\n#types\t{}\n",
        names.join("\t"),
        kinds.join("\t")
    );
    for event in events {
        let cells: Vec<String> = names.iter().map(|name| cell(event.get(*name))).collect();
        text += &cells.join("\t");
        text.push('\n');
    }
    text + "#close\t2024-03-05-11-00-00\n"
}

/// Zeek's type of a field.
fn type_of(name: &str, value: &Value) -> &'static str {
    const ADDRESSES: [&str; 4] = ["orig_h", "resp_h", "assigned_addr", "requested_addr"];
    match value {
        _ if name == "ts" => "time",
        _ if name == "TTLs" => "vector[interval]",
        _ if name.ends_with("_p") => "port",
        _ if ADDRESSES.iter().any(|end| name.ends_with(end)) => "addr",
        Value::Array(_) if name.ends_with("_hosts") => "set[addr]",
        Value::Array(_) => "vector[string]",
        Value::Bool(_) => "bool",
        Value::Number(_) => "count",
        _ => "string",
    }
}

fn cell(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::Bool(is_true)) => if *is_true { "T" } else { "F" }.to_owned(),
        Some(Value::Array(elements)) if elements.is_empty() => "(empty)".to_owned(),
        Some(Value::Array(elements)) => {
            let cells: Vec<String> = elements
                .iter()
                .map(|element| cell(Some(element)).replace(',', "\\x2c"))
                .collect();
            cells.join(",")
        }
        Some(Value::String(text)) => text.replace('\\', "\\\\").replace('\t', "\\x09"),
        Some(value) => value.to_string(),
    }
}

/// An event with a record for each name before a dot.
pub fn nested(event: &Value) -> Value {
    let mut nested = Map::new();
    for (name, value) in event.as_object().expect("an event is an object") {
        match name.split_once('.') {
            Some((above, name)) => {
                let record = nested.entry(above).or_insert_with(|| json!({}));
                record[name] = value.clone();
            }
            None => {
                nested.insert(name.clone(), value.clone());
            }
        }
    }
    Value::Object(nested)
}

/// The results for the pairs, by kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    kinds: BTreeMap<String, Counts>,
    /// The missed and the wrong matches, human-readable.
    pub faults: Vec<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Counts {
    there: usize,
    found: usize,
    wrong: usize,
}

impl Tally {
    /// Adds a run that reported these events. Events that are not stored do not count.
    pub fn add(
        &mut self,
        run: &Run<'_>,
        found: &BTreeSet<String>,
        is_stored: impl Fn(&Case) -> bool,
    ) {
        let mut wanted = BTreeSet::new();
        for case in run.cases.iter().filter(|case| is_stored(case)) {
            let id = case.event_id();
            let counts = self.kinds.entry(case.kind.clone()).or_default();
            let (indicator, log) = (&case.indicator, &case.log);
            match (case.is_match, found.contains(&id)) {
                (true, is_found) => {
                    counts.there += 1;
                    counts.found += usize::from(is_found);
                    if !is_found {
                        let fault = format!("missed {indicator} in {log}: {}", case.event);
                        self.faults.push(fault);
                    }
                    wanted.insert(id);
                }
                (false, true) => {
                    counts.wrong += 1;
                    let fault = format!("wrong  {indicator} in {log}: {}", case.event);
                    self.faults.push(fault);
                    wanted.insert(id);
                }
                (false, false) => {}
            }
        }
        for id in found.difference(&wanted) {
            self.kinds.entry("another's".to_owned()).or_default().wrong += 1;
            self.faults.push(format!("wrong  {id}, which is another's"));
        }
    }

    /// The numbers of matches, of found matches, and of wrong ones.
    pub fn total(&self) -> (usize, usize, usize) {
        let counts = self.kinds.values();
        counts.fold((0, 0, 0), |(there, found, wrong), one| {
            (there + one.there, found + one.found, wrong + one.wrong)
        })
    }

    /// The human-readable table.
    pub fn table(&self, title: &str) -> String {
        let mut text = format!("{title}\n");
        for (kind, counts) in &self.kinds {
            let Counts {
                there,
                found,
                wrong,
            } = counts;
            writeln!(
                text,
                "  {kind:<12} found {found:>3} of {there:>3}, wrong {wrong}"
            )
            .expect("a string takes all");
        }
        let (there, found, wrong) = self.total();
        let percent = 100.0 * found as f64 / there.max(1) as f64;
        writeln!(
            text,
            "  together     found {found:>3} of {there:>3} = {percent:.1} %, wrong {wrong}"
        )
        .expect("a string takes all");
        text
    }
}
