//! Whatever the size of the batches, the sightings are those of one query for each indicator. The
//! built program runs with a real broker and the stand-in engine, over the recorded events or, if
//! there are none, over the samples.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::Read;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::support::bridge::Bridge;
use crate::support::broker::{Broker, BrokerKind};
use crate::support::messages::Ioc;
use crate::support::peer::{Publisher, Subscriber};
use crate::support::standin::Standin;
use crate::support::{eventually, paths};
use rustix::process::Signal;
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(120);

/// How many values of each kind are queried.
const VALUES: usize = 12;

/// A kind of value, by a letter, and a value; see [`ioc`].
type Target = (char, String);

/// Indicators by the number of their id.
struct Indicators(Vec<Target>);

/// The contexts reported for each indicator, and how often each was.
type Sightings = BTreeMap<u64, BTreeMap<String, usize>>;

fn events_folder() -> PathBuf {
    match paths::shared() {
        Some(shared) => shared.join("vast/2021.01.28/events"),
        None => paths::repository().join("tests/samples/events"),
    }
}

fn read_events(folder: &Path) -> Vec<Value> {
    let mut events = Vec::new();
    let files = std::fs::read_dir(folder).expect("a folder of events");
    let mut files: Vec<PathBuf> = files.map(|file| file.expect("an entry").path()).collect();
    files.sort();
    for file in files {
        let bytes = std::fs::read(&file).expect("a file of events");
        let bytes = if file.extension().is_some_and(|ending| ending == "gz") {
            let mut plain = Vec::new();
            let mut reader = flate2::read::MultiGzDecoder::new(bytes.as_slice());
            reader.read_to_end(&mut plain).expect("a compressed file");
            plain
        } else {
            bytes
        };
        let text = String::from_utf8_lossy(&bytes).into_owned();
        // The folder of samples also has a text about them.
        events.extend(
            text.lines()
                .filter_map(|line| serde_json::from_str(line).ok()),
        );
    }
    events
}

/// The strings of an event, each with the last name of its path and whether it is in a list.
fn strings<'a>(
    value: &'a Value,
    key: &'a str,
    listed: bool,
    out: &mut Vec<(&'a str, &'a str, bool)>,
) {
    match value {
        Value::String(text) => out.push((key, text, listed)),
        Value::Array(values) => values.iter().for_each(|one| strings(one, key, true, out)),
        Value::Object(fields) => {
            for (key, value) in fields {
                let key = key.rsplit('.').next().unwrap_or(key);
                strings(value, key, listed, out);
            }
        }
        _ => {}
    }
}

/// Values that occur in a few events each: addresses (some of them two of one event), names, URLs,
/// and values that occur in lists. Every fifth has two indicators.
fn indicators(events: &[Value]) -> Indicators {
    let mut counts: BTreeMap<Target, usize> = BTreeMap::new();
    let mut pairs: BTreeSet<Target> = BTreeSet::new();
    for event in events {
        let mut found = Vec::new();
        strings(event, "", false, &mut found);
        let mut addresses = Vec::new();
        for (key, text, listed) in found {
            let kind = match key {
                _ if text.is_empty() => continue,
                _ if text.parse::<IpAddr>().is_ok() => 'i',
                _ if listed => 'l',
                "host" | "query" | "rrname" | "hostname" => 'd',
                "uri" | "url" => 'u',
                _ => continue,
            };
            if kind == 'i' && !listed {
                addresses.push(('i', text.to_owned()));
            }
            *counts.entry((kind, text.to_owned())).or_insert(0) += 1;
        }
        if pairs.len() < VALUES {
            pairs.extend(addresses);
        }
    }
    let few = counts.iter().filter(|(_, count)| (2..40).contains(*count));
    let mut by_kind: HashMap<char, Vec<Target>> = HashMap::new();
    for (value, _) in few {
        by_kind.entry(value.0).or_default().push(value.clone());
    }
    let mut chosen: Vec<Target> = pairs
        .into_iter()
        .filter(|pair| counts[pair] < 200)
        .collect();
    for kind in ['i', 'd', 'u', 'l'] {
        let values = by_kind.remove(&kind).unwrap_or_default();
        let step = (values.len() / VALUES).max(1);
        chosen.extend(values.into_iter().step_by(step).take(VALUES));
    }
    let twice: Vec<Target> = chosen.iter().step_by(5).cloned().collect();
    chosen.extend(twice);
    Indicators(chosen)
}

fn ioc((kind, value): &Target) -> Ioc<'_> {
    match kind {
        'i' => Ioc::Ip(value),
        'u' => Ioc::Url(value),
        _ => Ioc::Domain(value),
    }
}

/// One run of the bridge.
struct Run<'a> {
    indicators: &'a Indicators,
    /// How many indicators that match nothing come with the others.
    fillers: u64,
    faults: Value,
    arguments: &'a [&'a str],
}

impl<'a> Run<'a> {
    fn of(indicators: &'a Indicators, arguments: &'a [&'a str]) -> Self {
        Run {
            indicators,
            fillers: 0,
            faults: json!({}),
            arguments,
        }
    }

    fn sightings(&self) -> Sightings {
        let broker = Broker::start(BrokerKind::Legacy);
        let mut engine = Standin::new(&events_folder()).with("faults", self.faults.clone());
        let concepts = events_folder().join("../concepts.json");
        if concepts.is_file() {
            engine.set("concepts", json!(concepts));
        }
        let subscriber = Subscriber::sightings(&broker);
        let mut publisher = Publisher::connect(&broker);
        let mut bridge = Bridge::start(&broker, &engine, self.arguments);
        bridge.wait_for_log("subscribed to", LIMIT);
        for number in 0..self.fillers {
            let name = format!("{number}.nowhere.example");
            publisher.publish_indicator(1_000_000 + number, Ioc::Domain(&name));
        }
        for (number, value) in self.indicators.0.iter().enumerate() {
            publisher.publish_indicator(number as u64, ioc(value));
        }
        // For each of them, one line says at its end how many sightings it had.
        let all = self.indicators.0.len() + self.fillers as usize;
        let answered = eventually(LIMIT, || bridge.count_logs("sighting(s)") >= all);
        let count = bridge.count_logs("sighting(s)");
        assert!(answered, "{count} of {all} answered:\n{}", bridge.log());
        bridge.signal(Signal::TERM);
        assert!(bridge.wait(LIMIT).success(), "{}", bridge.log());
        let ended = bridge.wait_for_log("ended after", LIMIT);
        let sent = ended
            .split_once("sightings_sent=")
            .map_or("0", |(_, rest)| rest);
        let sent = sent.split(' ').next().expect("a word");
        let sent: usize = sent.parse().expect("a number");
        collect(&subscriber.collect_sightings(sent, LIMIT), sent)
    }

    /// The same with this many fillers.
    fn among(mut self, fillers: u64) -> Self {
        self.fillers = fillers;
        self
    }

    /// The same with an engine that has these faults.
    fn with(mut self, faults: Value) -> Self {
        self.faults = faults;
        self
    }
}

fn collect(messages: &[Value], sent: usize) -> Sightings {
    assert_eq!(messages.len(), sent);
    let mut sightings = Sightings::new();
    for sighting in messages {
        let number = sighting["intel"].as_str().expect("an id");
        let number = number.parse().expect("an id is a number here");
        let contexts = sightings.entry(number).or_default();
        *contexts.entry(sighting["context"].to_string()).or_default() += 1;
    }
    sightings
}

fn assert_same(got: &Sightings, expected: &Sightings, what: &str) {
    let numbers: BTreeSet<&u64> = got.keys().chain(expected.keys()).collect();
    for number in numbers {
        assert_eq!(
            got.get(number),
            expected.get(number),
            "{what}: indicator {number}"
        );
    }
}

/// One query for each indicator.
fn one_by_one(indicators: &Indicators) -> Sightings {
    let sightings = Run::of(indicators, &["--batch-size", "1"]).sightings();
    let all: usize = sightings.values().flat_map(BTreeMap::values).sum();
    println!(
        "{} indicators, {} of them match, {all} sightings",
        indicators.0.len(),
        sightings.len()
    );
    assert!(sightings.len() >= indicators.0.len() / 3 && all > sightings.len());
    sightings
}

#[test]
fn the_size_of_a_batch_changes_no_sighting() {
    let indicators = indicators(&read_events(&events_folder()));
    let expected = one_by_one(&indicators);
    for (size, workers, fillers) in [("7", "8", 0), ("100", "2", 300), ("5000", "1", 6000)] {
        let arguments = ["--batch-size", size, "--max-background-tasks", workers];
        let sightings = Run::of(&indicators, &arguments).among(fillers).sightings();
        assert_same(&sightings, &expected, &format!("batches of {size}"));
    }
    limits(&indicators, &expected);
    refusals(&indicators, &expected);
    hangs(&indicators, &expected);
}

/// With a limit each indicator has as many of its sightings as the limit allows.
fn limits(indicators: &Indicators, expected: &Sightings) {
    for (most, size) in [(1, "5000"), (3, "7"), (3, "100"), (1000, "100")] {
        let limit = most.to_string();
        let arguments = ["--batch-size", size, "--retro-match-max-events", &limit];
        let sightings = Run::of(indicators, &arguments).sightings();
        assert_eq!(sightings.len(), expected.len(), "at most {most}");
        for (number, contexts) in &sightings {
            let all = &expected[number];
            let count: usize = contexts.values().sum();
            assert_eq!(
                count,
                all.values().sum::<usize>().min(most),
                "indicator {number}"
            );
            for (context, count) in contexts {
                assert!(all.get(context) >= Some(count), "indicator {number}");
            }
        }
    }
}

/// Some of the values that match, in steps of `step`, and all indicators that have them.
fn some(indicators: &Indicators, expected: &Sightings, step: usize) -> (Vec<String>, Vec<u64>) {
    let matching = expected.keys().step_by(step);
    let values: Vec<String> = matching
        .map(|number| indicators.0[*number as usize].1.clone())
        .collect();
    let has = |value: &Target| values.contains(&value.1);
    let numbers = indicators.0.iter().enumerate();
    let numbers = numbers.filter(|(_, value)| has(value));
    let numbers = numbers.map(|(number, _)| number as u64).collect();
    (values, numbers)
}

fn refusals(indicators: &Indicators, expected: &Sightings) {
    let (values, numbers) = some(indicators, expected, 7);
    let mut expected = expected.clone();
    expected.retain(|number, _| !numbers.contains(number));
    let run = Run::of(indicators, &["--batch-size", "100"]);
    let sightings = run.with(json!({"refuse_values": values})).sightings();
    assert_same(&sightings, &expected, "with refusals");
}

/// A query that hangs has printed its lines, and loses none of them.
fn hangs(indicators: &Indicators, expected: &Sightings) {
    let (values, _) = some(indicators, expected, expected.len());
    assert_eq!(values.len(), 1);
    let arguments = ["--batch-size", "20", "--retro-match-timeout", "3"];
    let run = Run::of(indicators, &arguments);
    let sightings = run.with(json!({"hang_on": values})).sightings();
    assert_same(&sightings, expected, "with a query that hangs");
}
