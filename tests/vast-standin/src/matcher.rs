//! The matcher plugin of both generations. The processes share what the
//! matchers hold through a file of one change a line, which they only append to.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Seek, SeekFrom};
use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::calls::append_line;
use crate::cli::Command;
use crate::concepts::Concepts;
use crate::config::MatcherPlugin;
use crate::ending::Ending;
use crate::events::Tail;
use crate::output::Output;
use crate::query::canonical_address;
use crate::scan::{Scalar, scan};
use crate::schema::{Kind, Schema};
use crate::session::Session;

/// How often an attached matcher checks for events and IoCs.
const LOOK: Duration = Duration::from_millis(10);

/// The concepts that a matcher looks into for text.
const TEXT_CONCEPTS: [&str; 4] = ["net.domain", "net.hostname", "net.uri", "file.hash.md5"];

/// One change of what the matchers hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "lowercase")]
enum Change {
    /// A value is matched from now on; without a matcher's name by all of them.
    Add {
        matcher: Option<String>,
        value: String,
        reference: Option<String>,
    },
    /// A value is matched no more.
    Remove { matcher: String, value: String },
    /// The node went away, and with it what its matchers held.
    Forget,
}

/// A line of `import json --type=intel.indicator`.
#[derive(Deserialize)]
struct Indicator {
    ioc: String,
    #[serde(rename = "type")]
    kind: String,
    reference: Option<String>,
}

/// Runs one of the matcher's commands.
///
/// # Errors
/// How the call ends, where it does not end well.
pub fn run(session: &Session, command: &Command, endpoint: Option<&str>) -> Result<(), Ending> {
    match command {
        Command::MatcherStart(name) => attach(session, endpoint, vec![name.clone()]),
        Command::MatcherAttach(names) => attach(session, endpoint, names.clone()),
        Command::ImportIndicators => import(session, endpoint),
        Command::MatcherAdd(matcher, value, context) => {
            let change = Change::Add {
                matcher: Some(matcher.clone()),
                value: value.clone(),
                reference: context.clone(),
            };
            change_one(session, endpoint, matcher, &change)
        }
        Command::MatcherRemove(matcher, value) | Command::MatcherIocRemove(matcher, value) => {
            let change = Change::Remove {
                matcher: matcher.clone(),
                value: value.clone(),
            };
            change_one(session, endpoint, matcher, &change)
        }
        _ => Err(Ending::error("logic_error: no command of the matcher")),
    }
}

/// The matchers of the first generation live in the node's memory.
///
/// # Errors
/// When the file of the matchers cannot be written.
pub fn forget(session: &Session) -> Result<(), Ending> {
    match &session.config.state {
        Some(state) if session.config.matcher == MatcherPlugin::Start && state.exists() => {
            write(state, &Change::Forget)
        }
        _ => Ok(()),
    }
}

fn state(session: &Session) -> Result<&Path, Ending> {
    let state = session.config.state.as_deref();
    state.ok_or_else(|| Ending::error("unspecified: no `state` is configured"))
}

fn write(state: &Path, change: &Change) -> Result<(), Ending> {
    let line = serde_json::to_string(change)
        .map_err(|error| Ending::error(&format!("format_error: {error}")))?;
    Ok(append_line(state, &line)?)
}

/// A matcher of the second generation must be one that the node runs.
fn check_name(session: &Session, name: &str) -> Result<(), Ending> {
    let known = session.config.matcher == MatcherPlugin::Start
        || session.config.matchers.iter().any(|known| known == name);
    if known {
        Ok(())
    } else {
        Err(Ending::error(&format!(
            "unspecified: unknown matcher {name}"
        )))
    }
}

fn change_one(
    session: &Session,
    endpoint: Option<&str>,
    matcher: &str,
    change: &Change,
) -> Result<(), Ending> {
    session.log.begin(&session.arguments, None);
    session.node.connect(endpoint)?;
    check_name(session, matcher)?;
    write(state(session)?, change)
}

fn import(session: &Session, endpoint: Option<&str>) -> Result<(), Ending> {
    let text = std::io::read_to_string(std::io::stdin().lock())?;
    session.log.begin(&session.arguments, Some(text.as_bytes()));
    session.node.connect(endpoint)?;
    let state = state(session)?;
    let mut changes = Vec::new();
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let indicator: Indicator = serde_json::from_str(line)
            .map_err(|error| Ending::error(&format!("parse_error: {error}")))?;
        if !matches!(indicator.kind.as_str(), "ip" | "ipv6" | "domain" | "url") {
            return Err(Ending::error(&format!(
                "parse_error: type {}",
                indicator.kind
            )));
        }
        let change = Change::Add {
            matcher: None,
            value: indicator.ioc,
            reference: indicator.reference,
        };
        let line = serde_json::to_string(&change)
            .map_err(|error| Ending::error(&format!("format_error: {error}")))?;
        changes.push(line);
    }
    if changes.is_empty() {
        Ok(())
    } else {
        Ok(append_line(state, &changes.join("\n"))?)
    }
}

/// Prints sightings until the node goes away.
fn attach(session: &Session, endpoint: Option<&str>, names: Vec<String>) -> Result<(), Ending> {
    let mut tail = Tail::new(&session.config.events)?;
    session.log.begin(&session.arguments, None);
    session.node.connect(endpoint)?;
    for name in &names {
        check_name(session, name)?;
    }
    let mut output = Output::new(None, session.log.clone())?;
    let mut held = Held::new(names);
    let state = state(session)?;
    let matching = Matching::new(session)?;
    loop {
        if let Err(ending) = session.node.look() {
            forget(session)?;
            return Err(ending);
        }
        // The state is read after the events are seen to be there, so that a
        // value that was added before an event came is never missed.
        let mut fresh = Vec::new();
        tail.poll::<Ending>(|type_name, line| {
            fresh.push((type_name.to_string(), line.to_vec()));
            Ok(())
        })?;
        held.refresh(state)?;
        for (type_name, line) in fresh {
            for sighting in matching.sightings(&held, &type_name, &line) {
                output.line(&sighting)?;
            }
        }
        output.flush()?;
        std::thread::sleep(LOOK);
    }
}

/// What the attached matchers hold.
struct Held {
    names: Vec<String>,
    /// How much of the file is known.
    offset: u64,
    /// The reference of each value, by matcher; see [`key`].
    values: HashMap<String, Vec<Value>>,
}

struct Value {
    matcher: String,
    text: String,
    reference: Option<String>,
}

/// Addresses in their one spelling, text as it is.
fn key(value: &str) -> String {
    canonical_address(value).map_or_else(|| value.to_string(), |address| address.to_string())
}

impl Held {
    fn new(names: Vec<String>) -> Self {
        Self {
            names,
            offset: 0,
            values: HashMap::new(),
        }
    }

    /// Applies the changes that are new in the file.
    fn refresh(&mut self, state: &Path) -> std::io::Result<()> {
        let Ok(mut file) = File::open(state) else {
            return Ok(());
        };
        file.seek(SeekFrom::Start(self.offset))?;
        let mut reader = BufReader::new(file);
        let mut line = String::new();
        loop {
            line.clear();
            let length = reader.read_line(&mut line)?;
            if !line.ends_with('\n') {
                return Ok(());
            }
            self.offset += length as u64;
            match serde_json::from_str(&line) {
                Ok(change) => self.apply(change),
                Err(error) => crate::complain(&format!("bad line in the state: {error}")),
            }
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Forget => self.values.clear(),
            Change::Remove { matcher, value } => {
                if let Some(values) = self.values.get_mut(&key(&value)) {
                    values.retain(|known| known.matcher != matcher);
                }
            }
            Change::Add {
                matcher,
                value,
                reference,
            } => {
                let all = matcher.is_none();
                let wanted = |name: &&String| all || Some(*name) == matcher.as_ref();
                for name in self.names.iter().filter(wanted) {
                    let values = self.values.entry(key(&value)).or_default();
                    values.retain(|known| known.matcher != *name);
                    values.push(Value {
                        matcher: name.clone(),
                        text: value.clone(),
                        reference: reference.clone(),
                    });
                }
            }
        }
    }
}

/// How events are matched and sightings printed.
struct Matching {
    concepts: Concepts,
    schema: Schema,
    plugin: MatcherPlugin,
    /// The releases until 2021.03 call the value `ioc`.
    value_key: &'static str,
    probabilistic: bool,
}

impl Matching {
    fn new(session: &Session) -> Result<Self, Ending> {
        Ok(Self {
            concepts: session.concepts()?,
            schema: session.schema(),
            plugin: session.config.matcher,
            value_key: session.version.matcher_value_key(),
            probabilistic: session.config.matcher_probabilistic,
        })
    }

    /// The sightings in an event, one for each value and matcher.
    fn sightings(&self, held: &Held, type_name: &str, line: &[u8]) -> Vec<Vec<u8>> {
        let mut found = BTreeSet::new();
        let mut time = None;
        let text = String::from_utf8_lossy(line);
        let well_formed = scan(&text, |path, value| {
            let Scalar::Text(text) = value else {
                return;
            };
            if matches!(path, "ts" | "timestamp") {
                time.get_or_insert_with(|| text.to_string());
            }
            if let Some(key) = self.key_of(type_name, path, &text) {
                if held.values.contains_key(&key) {
                    found.insert(key);
                }
            }
        });
        if !well_formed {
            return Vec::new();
        }
        let values = found.iter().filter_map(|key| held.values.get(key));
        values
            .flatten()
            .map(|value| self.print(value, type_name, time.as_deref(), line))
            .collect()
    }

    /// What to look up for a field, if the matcher looks at it at all.
    fn key_of(&self, type_name: &str, path: &str, text: &str) -> Option<String> {
        match self.schema.kind(type_name, path) {
            Kind::Address => canonical_address(text).map(|address: IpAddr| address.to_string()),
            Kind::Plain => {
                let field = format!("{type_name}.{path}");
                let mut tables = TEXT_CONCEPTS
                    .into_iter()
                    .filter_map(|name| self.concepts.fields(name))
                    .peekable();
                let covered =
                    tables.peek().is_none() || tables.any(|fields| fields.contains(&*field));
                (covered && canonical_address(text).is_none()).then(|| text.to_string())
            }
            Kind::Enumeration | Kind::Time | Kind::Duration => None,
        }
    }

    fn print(&self, value: &Value, type_name: &str, time: Option<&str>, line: &[u8]) -> Vec<u8> {
        if self.plugin == MatcherPlugin::Start {
            let sighting = json!({
                "ts": time,
                "data_id": 8,
                "indicator_id": 5,
                "matcher": value.matcher,
                self.value_key: value.text,
                "reference": value.reference,
            });
            return sighting.to_string().into_bytes();
        }
        let context = match (&value.reference, self.probabilistic) {
            (Some(reference), false) => json!(format!("\"{reference}\"")),
            _ => serde_json::Value::Null,
        };
        let indicator = json!({"value": value.text, "context": context});
        let mut sighting = format!(
            "{{\"indicator\": {indicator}, \"type\": {}, \"event\": ",
            json!(type_name)
        )
        .into_bytes();
        sighting.extend_from_slice(line);
        sighting.push(b'}');
        sighting
    }
}

#[cfg(test)]
mod tests;
