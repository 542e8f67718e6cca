//! Log lines for programs: one JSON object per record.

use std::io::Write;
use std::sync::{Mutex, PoisonError};

use log::{LevelFilter, Log, Metadata, Record};
use serde_json::json;
use simplelog::{Config, SharedLogger};
use time::OffsetDateTime;

use super::fields::RecordFields;
use super::logger::{REQUESTED, TIME};

/// Writes records as JSON up to a level, and requested ones at any level.
pub struct JsonLogger<W> {
    level: LevelFilter,
    to: Mutex<W>,
}

impl<W: Write + Send + 'static> JsonLogger<W> {
    /// Makes a logger that writes to `to`.
    pub fn new(level: LevelFilter, to: W) -> Box<Self> {
        Box::new(JsonLogger {
            level,
            to: Mutex::new(to),
        })
    }
}

impl<W: Write + Send + 'static> Log for JsonLogger<W> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level || metadata.target() == REQUESTED
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let line = line(record, OffsetDateTime::now_utc());
            let mut to = self.to.lock().unwrap_or_else(PoisonError::into_inner);
            // A full disk must not end the program.
            let _ = to.write_all(line.as_bytes());
        }
    }

    fn flush(&self) {}
}

impl<W: Write + Send + 'static> SharedLogger for JsonLogger<W> {
    /// The most verbose level it writes: requested records are at INFO.
    fn level(&self) -> LevelFilter {
        self.level.max(LevelFilter::Info)
    }

    fn config(&self) -> Option<&Config> {
        None
    }

    fn as_log(self: Box<Self>) -> Box<dyn Log> {
        self
    }
}

fn line(record: &Record<'_>, now: OffsetDateTime) -> String {
    let thread = std::thread::current();
    let mut object = json!({
        "time": now.format(TIME).expect("the format fits every time"),
        "level": record.level().as_str(),
        "thread": thread.name().unwrap_or("unnamed"),
        "message": record.args().to_string(),
    });
    for (name, field) in RecordFields::of(record).0 {
        // The standard members are not replaced.
        object[name.as_str()] = match object.get(&name) {
            None => field,
            Some(own) => own.clone(),
        };
    }
    format!("{object}\n")
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    #[test]
    fn the_facts_of_a_message_are_fields() {
        let facts = RecordFields(
            [
                ("line", 7.into()),
                ("reason", "a \"b\"".into()),
                ("level", "x".into()),
            ]
            .map(|(name, value): (&str, serde_json::Value)| (name.to_owned(), value))
            .into_iter()
            .collect(),
        );
        let record = Record::builder()
            .args(format_args!("odd"))
            .level(Level::Warn)
            .key_values(&facts)
            .build();
        let line = line(&record, OffsetDateTime::UNIX_EPOCH);
        let record: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(record["line"], 7);
        assert_eq!(record["reason"], "a \"b\"");
        assert_eq!(record["level"], "WARN");
    }

    #[test]
    fn json_lines_hold_time_level_thread_and_message() {
        let message = "indicator \"a\"\n is odd";
        let line = line(
            &Record::builder()
                .args(format_args!("{message}"))
                .level(Level::Warn)
                .build(),
            OffsetDateTime::UNIX_EPOCH,
        );
        assert_eq!(line.matches('\n').count(), 1);
        let record: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(record["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!(record["level"], "WARN");
        assert_eq!(record["message"], message);
        assert!(record["thread"].is_string());
    }
}
