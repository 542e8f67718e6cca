//! The logger: one line a record, as text or as JSON, to standard error and to
//! a file.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use log::{Level, LevelFilter, Log, Metadata, Record};
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::fold::Fold;
use super::{Format, clear_status};

/// Records for this target are written whatever the level: somebody asked for
/// them.
pub const ASKED_FOR: &str = "asked for";

const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Where records go, and how they look there.
pub struct Logger {
    format: Format,
    /// Standard error, and whether it takes colour.
    console: Option<(LevelFilter, bool)>,
    file: Option<(LevelFilter, Mutex<File>)>,
    fold: Mutex<Fold>,
}

impl Logger {
    /// Writes to standard error up to one level, to a file up to another.
    pub fn new(
        format: Format,
        console: Option<LevelFilter>,
        file: Option<(LevelFilter, File)>,
    ) -> Self {
        Logger {
            format,
            console: console.map(|level| (level, wants_colour())),
            file: file.map(|(level, file)| (level, Mutex::new(file))),
            fold: Mutex::default(),
        }
    }

    /// The most that any of its places takes.
    pub fn level(&self) -> LevelFilter {
        let console = self.console.iter().map(|(level, _)| *level);
        let levels = console.chain(self.file.iter().map(|(level, _)| *level));
        let level = levels.max().unwrap_or(LevelFilter::Off);
        match level {
            LevelFilter::Off => level,
            // What is asked for has this level.
            level => level.max(LevelFilter::Info),
        }
    }

    fn write(&self, level: Level, is_asked_for: bool, message: &str) {
        let now = OffsetDateTime::now_utc();
        let takes = |filter: LevelFilter| level <= filter || is_asked_for;
        if let Some((_, colour)) = self.console.filter(|(filter, _)| takes(*filter)) {
            clear_status();
            let line = self.line(now, level, message, colour);
            // There is nobody left to be told.
            let _ = io::stderr().lock().write_all(line.as_bytes());
        }
        if let Some((_, file)) = self.file.as_ref().filter(|(filter, _)| takes(*filter)) {
            let line = self.line(now, level, message, false);
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            // A full disk must not end what is logged about.
            let _ = file.write_all(line.as_bytes());
        }
    }

    fn line(&self, now: OffsetDateTime, level: Level, message: &str, colour: bool) -> String {
        let time = now.format(TIME).expect("the format fits every time");
        match self.format {
            Format::Json => {
                let thread = std::thread::current();
                let thread = thread.name().unwrap_or("unnamed");
                let record = json!({
                    "time": time, "level": level.as_str(), "thread": thread, "message": message,
                });
                format!("{record}\n")
            }
            Format::Text if colour => {
                let code = match level {
                    Level::Error => 31,
                    Level::Warn => 33,
                    Level::Info => 34,
                    Level::Debug | Level::Trace => 36,
                };
                format!("{time} \x1b[{code}m[{level}]\x1b[0m {message}\n")
            }
            Format::Text => format!("{time} [{level}] {message}\n"),
        }
    }

    fn write_folded(&self, all: bool) {
        let mut fold = self.fold.lock().unwrap_or_else(PoisonError::into_inner);
        let due = fold.take_due(Instant::now(), all);
        drop(fold);
        for (message, count) in due {
            let message = format!("{count} more time(s): {message}");
            self.write(Level::Warn, false, &message);
        }
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_asked_for = metadata.target() == ASKED_FOR;
        let console = self.console.iter().map(|(level, _)| *level);
        let mut levels = console.chain(self.file.iter().map(|(level, _)| *level));
        levels.any(|filter| is_asked_for || metadata.level() <= filter)
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        self.write_folded(false);
        let message = record.args().to_string();
        if record.level() == Level::Warn {
            let mut fold = self.fold.lock().unwrap_or_else(PoisonError::into_inner);
            if !fold.is_new(&message, Instant::now()) {
                return;
            }
        }
        let is_asked_for = record.metadata().target() == ASKED_FOR;
        self.write(record.level(), is_asked_for, &message);
    }

    /// Tells what is still held back.
    fn flush(&self) {
        self.write_folded(true);
    }
}

/// Colour is for a terminal, and for people who want it (<https://no-color.org>).
fn wants_colour() -> bool {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    io::stderr().is_terminal() && !unwanted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_lines_hold_time_level_thread_and_message() {
        let logger = Logger::new(Format::Json, None, None);
        let now = OffsetDateTime::UNIX_EPOCH;
        let line = logger.line(now, Level::Warn, "indicator \"a\"\n is odd", true);
        assert_eq!(line.matches('\n').count(), 1);
        let record: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(record["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!(record["level"], "WARN");
        assert_eq!(record["message"], "indicator \"a\"\n is odd");
        assert!(record["thread"].is_string());
    }

    #[test]
    fn text_has_colour_only_where_it_is_wanted() {
        let logger = Logger::new(Format::Text, None, None);
        let line = |colour| logger.line(OffsetDateTime::UNIX_EPOCH, Level::Error, "x", colour);
        assert_eq!(line(false), "1970-01-01T00:00:00.000Z [ERROR] x\n");
        assert_eq!(
            line(true),
            "1970-01-01T00:00:00.000Z \x1b[31m[ERROR]\x1b[0m x\n"
        );
    }

    #[test]
    fn what_is_asked_for_is_written_at_any_level_but_none() {
        let asked = Metadata::builder()
            .level(Level::Info)
            .target(ASKED_FOR)
            .build();
        let other = Metadata::builder().level(Level::Info).build();
        let logger = Logger::new(Format::Text, Some(LevelFilter::Error), None);
        assert!(logger.enabled(&asked) && !logger.enabled(&other));
        assert_eq!(logger.level(), LevelFilter::Info);
        let silent = Logger::new(Format::Text, None, None);
        assert!(!silent.enabled(&asked));
        assert_eq!(silent.level(), LevelFilter::Off);
    }
}
