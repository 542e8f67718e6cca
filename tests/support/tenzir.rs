//! A real Tenzir node, started for one test on its own port, and its expected results.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::bridge::Bridge;
use super::broker::free_ports;
use super::messages::Ioc;
use super::process::Group;
use super::{Scratch, eventually, paths};

/// How long a node may take to start, and a pipeline to end.
const LIMIT: Duration = Duration::from_secs(120);

/// Prevents a process of the engine from listening on all interfaces.
const NO_PORT: &str = "--caf.middleman.enable-automatic-connections=false";

/// The fields of the events in use that hold addresses.
const ADDRESSES: [&str; 6] = [
    "src_ip",
    "dest_ip",
    "id.orig_h",
    "id.resp_h",
    "alert.source.ip",
    "alert.target.ip",
];

/// The indicators for the sample events, each for its own reason.
pub const SAMPLES: [Ioc; 15] = [
    Ioc::Ip("203.0.113.66"),
    Ioc::Ip("2001:DB8:BAD:0:0::1"),
    Ioc::Ip("::ffff:203.0.113.5"),
    // Only in a field of text.
    Ioc::Ip("203.0.113.77"),
    Ioc::Domain("203.0.113.77"),
    Ioc::Domain("evil.example.net"),
    Ioc::Domain("www.example.com."),
    // A different case, and an element of a list.
    Ioc::Domain("Evil.Example.NET"),
    Ioc::Domain("cdn.example.org"),
    Ioc::Url("/payload.exe"),
    Ioc::Url("/größe?ж=☃"),
    // Host and path are stored apart.
    Ioc::Url("http://evil.example.net/payload.exe"),
    Ioc::Url("http://evil.example.net/größe?ж=☃"),
    Ioc::Url("http://www.example.com/"),
    Ioc::Domain("6689635ce0ebe2702e583c57723fe831"),
];

/// A node with its own state directory; killed when dropped.
pub struct Node {
    process: Option<Group>,
    endpoint: String,
    /// Every event that was imported, with the schema's name.
    events: Vec<(String, Value)>,
    scratch: Scratch,
}

impl Node {
    /// A node without events.
    pub fn start() -> Self {
        let [port] = free_ports();
        let mut node = Self {
            process: None,
            endpoint: format!("127.0.0.1:{port}"),
            events: Vec::new(),
            scratch: Scratch::new(),
        };
        node.restart();
        node
    }

    /// A node with the sample events.
    pub fn with_samples() -> Self {
        let mut node = Self::start();
        for (schema, events) in samples() {
            node.import(&schema, events);
        }
        node
    }

    /// The endpoint on which it listens.
    pub fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// The program for its queries.
    pub fn program() -> PathBuf {
        paths::venv("tenzir").join("bin/tenzir")
    }

    /// The bridge's arguments for this node.
    pub fn arguments(&self) -> Vec<String> {
        let program = Self::program().display().to_string();
        let (binary, endpoint) = ("--engine-binary".to_owned(), "--engine-endpoint".to_owned());
        vec![endpoint, self.endpoint.clone(), binary, program]
    }

    /// The bridge with this node, without a bus, for this file of indicators, with equality
    /// as in [`Node::expected`].
    pub fn bridge(&self, indicators: &str) -> Bridge {
        Bridge::bare()
            .file("indicators.jsonl", indicators)
            .args(["--indicators", "indicators.jsonl", "--retro-match"])
            .args(["--match", "exact"])
            .args(["-l", "debug"])
            .args(self.arguments())
    }

    /// Starts it, or restarts it with its stored events.
    pub fn restart(&mut self) {
        self.process = None;
        let ready = self.scratch.path().join("endpoint");
        let _ = std::fs::remove_file(&ready);
        let program = paths::venv("tenzir").join("bin/tenzir-node");
        let mut command = paths::clean_command(program, self.scratch.path());
        command
            .env("TENZIR_RETENTION__METRICS", "0s")
            .env("TENZIR_RETENTION__DIAGNOSTICS", "0s")
            .arg(NO_PORT)
            .arg(format!("--endpoint={}", self.endpoint))
            .arg(format!("--state-directory={}", self.file("state")))
            .arg(format!("--cache-directory={}", self.file("cache")))
            .arg(format!("--write-endpoint={}", ready.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        self.process = Some(Group::spawn(&mut command).expect("the node can be started"));
        let is_ready = || std::fs::read_to_string(&ready).is_ok_and(|text| !text.is_empty());
        assert!(eventually(LIMIT, is_ready), "the node does not start");
    }

    /// Kills it.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Suspends it (SIGSTOP).
    pub fn freeze(&mut self) {
        self.process.as_mut().expect("it runs").freeze();
    }

    /// Resumes it.
    pub fn thaw(&mut self) {
        let process = self.process.as_mut().expect("it runs");
        process.signal(Signal::CONT);
    }

    /// Stores these events.
    pub fn import(&mut self, schema: &str, events: Vec<Value>) {
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        let file = self.scratch.write("import.json", lines);
        self.run(&format!(
            "from_file \"{}\" {{ read_ndjson schema=\"{schema}\" }} | import",
            file.display()
        ));
        let named = events.into_iter().map(|event| (schema.to_owned(), event));
        self.events.extend(named);
    }

    /// Runs a pipeline; returns its output.
    pub fn run(&self, pipeline: &str) -> String {
        let output = self.command().arg(pipeline).output();
        let output = output.expect("tenzir can be run");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{pipeline}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn command(&self) -> Command {
        let mut command = paths::clean_command(Self::program(), self.scratch.path());
        command
            .args([NO_PORT, "--console-verbosity=quiet", "-e", &self.endpoint])
            .args(["--connection-timeout=30s", "--connection-retry-delay=0s"])
            .stdin(Stdio::null());
        command
    }

    fn file(&self, name: &str) -> String {
        self.scratch.path().join(name).display().to_string()
    }

    /// The imported events in which this indicator should be sighted, by their [`key`]:
    /// each is evaluated separately, by the rules of the README.
    pub fn expected(&self, ioc: Ioc<'_>) -> BTreeMap<String, usize> {
        let mut keys = BTreeMap::new();
        for (_, event) in self.events.iter().filter(|(_, event)| matches(ioc, event)) {
            *keys.entry(key(event)).or_default() += 1;
        }
        keys
    }

    /// All events that were imported.
    pub fn events(&self) -> impl Iterator<Item = &Value> {
        self.events.iter().map(|(_, event)| event)
    }
}

/// Identifies an event, in the file and as the engine prints it.
pub fn key(event: &Value) -> String {
    let part = |name: &str| event[name].to_string();
    let kind = part("event_type");
    if event["uid"].is_string() {
        part("uid") + &part("query") + &part("uri")
    } else {
        part("flow_id") + &kind + &part("pcap_cnt")
    }
}

fn matches(ioc: Ioc<'_>, event: &Value) -> bool {
    let mut fields = Vec::new();
    scalars(event, "", &mut fields);
    let is_address = |path: &str| ADDRESSES.contains(&path);
    let text = |path: &str, wanted: &str| {
        fields
            .iter()
            .any(|(field, value)| field == path && value == wanted)
    };
    let any_text = |wanted: &str| {
        fields
            .iter()
            .any(|(field, value)| !is_address(field) && value == wanted)
    };
    match ioc {
        Ioc::Ip(wanted) => {
            let canonical = |text: &str| text.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
            let wanted = canonical(wanted);
            fields
                .iter()
                .any(|(field, value)| is_address(field) && canonical(value) == wanted)
        }
        Ioc::Domain(name) => any_text(name.strip_suffix('.').unwrap_or(name)),
        Ioc::Program(text) => any_text(text),
        Ioc::Url(url) => {
            let parts = url.strip_prefix("http://").and_then(|rest| {
                let slash = rest.find('/')?;
                Some(rest.split_at(slash))
            });
            let apart = parts.is_some_and(|(host, path)| {
                text("http.hostname", host) && text("http.url", path)
                    || text("host", host) && text("uri", path)
            });
            any_text(url) || apart
        }
    }
}

/// Every text outside lists, with its path.
fn scalars(value: &Value, path: &str, out: &mut Vec<(String, String)>) {
    match value {
        Value::String(text) => out.push((path.to_owned(), text.clone())),
        Value::Object(fields) => {
            for (name, value) in fields {
                let path = match path {
                    "" => name.clone(),
                    _ => format!("{path}.{name}"),
                };
                scalars(value, &path, out);
            }
        }
        _ => {}
    }
}

/// The sample events by schema.
pub fn samples() -> Vec<(String, Vec<Value>)> {
    read(&paths::repository().join("tests/samples/events"))
}

/// The events of a folder of `SCHEMA.json` or `SCHEMA.json.gz`, as the sensor wrote them:
/// nested, and with ports as numbers.
pub fn read(folder: &Path) -> Vec<(String, Vec<Value>)> {
    let mut all = Vec::new();
    let files = std::fs::read_dir(folder).expect("a folder of events");
    for file in files {
        let path = file.expect("an entry").path();
        let name = path.file_name().expect("a name").to_string_lossy();
        let bytes = std::fs::read(&path).expect("a file of events");
        let (schema, bytes) = match name.strip_suffix(".json.gz") {
            Some(schema) => {
                let mut plain = Vec::new();
                let mut reader = flate2::read::MultiGzDecoder::new(bytes.as_slice());
                std::io::Read::read_to_end(&mut reader, &mut plain).expect("a compressed file");
                (schema, plain)
            }
            None => match name.strip_suffix(".json") {
                Some(schema) => (schema, bytes),
                None => continue,
            },
        };
        let text = String::from_utf8_lossy(&bytes);
        let events = text
            .lines()
            .map(|line| natural(serde_json::from_str(line).expect("an event")));
        all.push((schema.to_owned(), events.collect()));
    }
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

fn natural(event: Value) -> Value {
    let Value::Object(fields) = event else {
        panic!("an event is an object");
    };
    let mut nested = serde_json::Map::new();
    for (name, value) in fields {
        let port = value.as_str().and_then(|text| text.split_once('/'));
        let port = port.filter(|(_, protocol)| ["udp", "tcp", "?"].contains(protocol));
        let value = match port.and_then(|(number, _)| number.parse::<u16>().ok()) {
            Some(port) => port.into(),
            None => value,
        };
        match name.split_once('.') {
            Some((parent, name)) => {
                let record = nested
                    .entry(parent)
                    .or_insert_with(|| Value::Object(Default::default()));
                record[name] = value;
            }
            None => {
                nested.insert(name, value);
            }
        }
    }
    Value::Object(nested)
}
