//! `import suricata` and `import zeek`: events from standard input, as the node was
//! measured to store and print them.

use std::io::Read;

use serde_json::Value;
use time::OffsetDateTime;

use crate::calls::append_line;
use crate::ending::Ending;
use crate::flatten::flatten;
use crate::session::Session;

mod suricata;
mod zeek;

/// The sensors whose events can be imported.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// EVE, one JSON object a line.
    Suricata,
    /// Tab-separated logs, of which one may follow another.
    Zeek,
}

/// The result of one line of the input.
#[derive(Debug, PartialEq)]
enum Fate {
    /// It is stored, with this type and event.
    Stored(String, Value),
    /// It is not an event, or has no schema; with the message about it.
    Dropped(String),
    /// It determines how later lines are read.
    Noted,
    /// It kills the node.
    Deadly,
}

/// Imports all of standard input.
///
/// # Errors
/// The node is away, or dies of an event.
pub fn run(session: &Session, format: Format, endpoint: Option<&str>) -> Result<(), Ending> {
    let mut bytes = Vec::new();
    std::io::stdin().lock().read_to_end(&mut bytes)?;
    session.log.begin(&session.arguments, Some(&bytes));
    session.node.connect(endpoint)?;
    let schema = session.schema();
    let mut log = zeek::Log::default();
    for line in String::from_utf8_lossy(&bytes).lines() {
        let fate = match format {
            Format::Suricata => suricata::read(line, &schema),
            Format::Zeek => log.read(line),
        };
        match fate {
            Fate::Stored(type_name, event) => store(session, &type_name, &event)?,
            Fate::Dropped(reason) => crate::complain(&reason),
            Fate::Noted => {}
            Fate::Deadly => {
                session.node.die()?;
                return Err(Ending::error("convert_error"));
            }
        }
    }
    session.shut_down()
}

fn store(session: &Session, type_name: &str, event: &Value) -> Result<(), Ending> {
    let mut line = event.to_string();
    if !session.version.has_flatten() {
        if let Some(flat) = flatten(line.as_bytes()) {
            line = String::from_utf8_lossy(&flat).into_owned();
        }
    }
    let path = session.config.events.join(format!("{type_name}.json"));
    Ok(append_line(&path, &line)?)
}

/// A time as the engine prints it: UTC, without a zone.
fn printed(time: OffsetDateTime) -> String {
    let (date, (hour, minute, second)) = (time.date(), time.to_hms());
    let nanosecond = time.nanosecond();
    format!("{date}T{hour:02}:{minute:02}:{second:02}.{nanosecond:09}")
}
