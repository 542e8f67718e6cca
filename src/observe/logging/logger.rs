//! The logger: repeated warnings and errors are folded, and the rest is written by
//! simplelog as text, or as JSON, to standard error and to a file.

use std::io::{self, IsTerminal};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use log::{Level, LevelFilter, Log, Metadata, Record};
use simplelog::{
    Color, ColorChoice, CombinedLogger, ConfigBuilder, LevelPadding, SharedLogger, TermLogger,
    TerminalMode, WriteLogger,
};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::fields::RecordFields;
use super::file::LogFile;
use super::fold::{Due, Fold};
use super::json::JsonLogger;
use super::{Format, clear_status};

/// Records with this target are written at any level, since a user requested them.
pub const REQUESTED: &str = "requested";

/// The time format of both formats: RFC 3339, in UTC.
pub(super) const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]Z");

/// Folds records, and passes them on to the writers.
pub struct Logger {
    writers: Box<CombinedLogger>,
    /// The levels for standard error, and for any destination.
    console: LevelFilter,
    level: LevelFilter,
    file: Option<LogFile>,
    state: Mutex<LoggerState>,
}

#[derive(Default)]
struct LoggerState {
    fold: Fold,
    /// Whether the log file could not be reopened; reported once.
    is_lost: bool,
}

impl Logger {
    /// Writes to standard error up to one level, and to a file up to another.
    pub fn new(
        format: Format,
        console: Option<LevelFilter>,
        file: Option<(LevelFilter, LogFile)>,
    ) -> Self {
        let mut writers: Vec<Box<dyn SharedLogger>> = Vec::new();
        if let Some(level) = console {
            match format {
                Format::Json => writers.push(JsonLogger::new(level, io::stderr())),
                Format::Text => writers.extend(both(level, |level, config| {
                    TermLogger::new(level, config, TerminalMode::Stderr, colour())
                })),
            }
        }
        if let Some((level, file)) = &file {
            match format {
                Format::Json => writers.push(JsonLogger::new(*level, file.clone())),
                Format::Text => writers.extend(both(*level, |level, config| {
                    WriteLogger::new(level, config, file.clone())
                })),
            }
        }
        let level = console.into_iter().chain(file.iter().map(|file| file.0));
        Logger {
            writers: CombinedLogger::new(writers),
            console: console.unwrap_or(LevelFilter::Off),
            level: level.max().unwrap_or(LevelFilter::Off),
            file: file.map(|(_, file)| file),
            state: Mutex::default(),
        }
    }

    /// The most verbose level of any destination.
    pub fn level(&self) -> LevelFilter {
        match self.level {
            LevelFilter::Off => LevelFilter::Off,
            // Requested records have this level.
            level => level.max(LevelFilter::Info),
        }
    }

    /// Periodic maintenance: reports the folded warnings whose minute is over, and checks
    /// the log file.
    pub fn tick(&self, now: Instant) {
        self.tell_folded(now, false);
        let Some(Err(error)) = self.file.as_ref().map(LogFile::follow) else {
            self.state().is_lost = false;
            return;
        };
        if !std::mem::replace(&mut self.state().is_lost, true) {
            let message = format!("the log file was moved, and no new one can be opened: {error}");
            self.write(Level::Warn, &message, &RecordFields::default());
        }
    }

    fn state(&self) -> MutexGuard<'_, LoggerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell_folded(&self, now: Instant, all: bool) {
        let due = self.state().fold.take_due(now, all);
        for one in due {
            let Due {
                level,
                text,
                fields,
                count,
            } = one;
            self.write(level, &format!("{count} more time(s): {text}"), &fields);
        }
    }

    fn write(&self, level: Level, message: &str, fields: &RecordFields) {
        self.hand_on(
            &Record::builder()
                .level(level)
                .args(format_args!("{message}"))
                .key_values(fields)
                .build(),
        );
    }

    fn hand_on(&self, record: &Record<'_>) {
        if record.level() <= self.console || record.target() == REQUESTED {
            clear_status();
        }
        self.writers.log(record);
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        let is_requested = metadata.target() == REQUESTED && self.level != LevelFilter::Off;
        metadata.level() <= self.level || is_requested
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let now = Instant::now();
        self.tell_folded(now, false);
        if record.level() <= Level::Warn {
            let message = record.args().to_string();
            let fields = || RecordFields::of(record);
            let mut state = self.state();
            let is_new = state.fold.is_new(record.level(), &message, fields, now);
            drop(state);
            if !is_new {
                return;
            }
        }
        self.hand_on(record);
    }

    /// Reports what is still held back.
    fn flush(&self) {
        self.tell_folded(Instant::now(), true);
        self.writers.flush();
    }
}

/// The two text loggers of a destination: one up to its level, and one for requested
/// records.
fn both<L: SharedLogger + 'static>(
    level: LevelFilter,
    logger: impl Fn(LevelFilter, simplelog::Config) -> Box<L>,
) -> [Box<dyn SharedLogger>; 2] {
    let mut config = ConfigBuilder::new();
    config
        .set_time_format_custom(TIME)
        .set_level_padding(LevelPadding::Off)
        .set_thread_level(LevelFilter::Off)
        .set_target_level(LevelFilter::Off)
        .set_location_level(LevelFilter::Off)
        .set_level_color(Level::Error, Some(Color::Red))
        .set_level_color(Level::Warn, Some(Color::Yellow))
        .set_level_color(Level::Info, Some(Color::Blue))
        .set_level_color(Level::Debug, Some(Color::Cyan));
    let requested = config.clone().add_filter_allow_str(REQUESTED).build();
    let usual = config.add_filter_ignore_str(REQUESTED).build();
    [logger(level, usual), logger(LevelFilter::Info, requested)]
}

/// Colours are for terminals, unless the user disables them (<https://no-color.org>).
fn colour() -> ColorChoice {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    if io::stderr().is_terminal() && !unwanted {
        ColorChoice::Always
    } else {
        ColorChoice::Never
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use tempfile::TempDir;

    use super::*;

    /// A logger that writes to a file, and its directory.
    fn to_file(format: Format, level: LevelFilter) -> (Logger, TempDir) {
        let directory = tempfile::tempdir().expect("a directory");
        let file = LogFile::open(&directory.path().join("log")).expect("a new file");
        (Logger::new(format, None, Some((level, file))), directory)
    }

    fn log(logger: &Logger, target: &str, level: Level, message: &str) {
        logger.log(
            &Record::builder()
                .target(target)
                .level(level)
                .args(format_args!("{message}"))
                .build(),
        );
    }

    /// The lines of the log without their times.
    fn lines(directory: &TempDir) -> Vec<String> {
        let text = fs::read_to_string(directory.path().join("log")).expect("it is there");
        let without_time = |line: &str| line.split_once(' ').expect("a time").1.to_owned();
        text.lines().map(without_time).collect()
    }

    #[test]
    fn what_is_requested_is_written_once_at_any_level_but_none() {
        for (level, written) in [
            (LevelFilter::Error, vec!["[INFO] requested"]),
            (LevelFilter::Debug, vec!["[INFO] requested", "[INFO] other"]),
        ] {
            let (logger, directory) = to_file(Format::Text, level);
            assert!(logger.level() >= LevelFilter::Info);
            log(&logger, REQUESTED, Level::Info, "requested");
            log(&logger, "other", Level::Info, "other");
            assert_eq!(lines(&directory), written);
            let (logger, directory) = to_file(Format::Json, level);
            log(&logger, REQUESTED, Level::Info, "requested");
            log(&logger, "other", Level::Info, "other");
            let text = fs::read_to_string(directory.path().join("log")).expect("it is there");
            assert_eq!(text.lines().count(), written.len(), "{text}");
        }
        let silent = Logger::new(Format::Text, None, None);
        let requested = Metadata::builder()
            .level(Level::Info)
            .target(REQUESTED)
            .build();
        assert!(!silent.enabled(&requested));
        assert_eq!(silent.level(), LevelFilter::Off);
    }

    #[test]
    fn folded_warnings_are_reported_after_a_minute_even_if_nothing_is_logged() {
        let (logger, directory) = to_file(Format::Text, LevelFilter::Info);
        let start = Instant::now();
        for _ in 0..5 {
            log(&logger, "", Level::Warn, "odd");
            log(&logger, "", Level::Info, "usual");
        }
        for _ in 0..4 {
            log(&logger, "", Level::Error, "bad");
        }
        let usual = ["[WARN] odd", "[INFO] usual"].repeat(3);
        let rest = [
            "[INFO] usual",
            "[INFO] usual",
            "[ERROR] bad",
            "[ERROR] bad",
            "[ERROR] bad",
        ];
        let written = [&usual[..], &rest].concat();
        logger.tick(start + Duration::from_secs(59));
        assert_eq!(lines(&directory), written);
        logger.tick(start + Duration::from_secs(61));
        let told = ["[ERROR] 1 more time(s): bad", "[WARN] 2 more time(s): odd"];
        assert_eq!(lines(&directory)[written.len()..], told);
    }

    #[test]
    fn a_lost_log_file_is_reported_once() {
        let (logger, directory) = to_file(Format::Text, LevelFilter::Info);
        let (folder, moved) = (directory.path(), directory.path().with_extension("moved"));
        fs::rename(folder, &moved).expect("rename");
        for _ in 0..3 {
            logger.tick(Instant::now());
        }
        let text = fs::read_to_string(moved.join("log")).expect("it is there");
        assert_eq!(
            text.matches("no new one can be opened").count(),
            1,
            "{text}"
        );
        fs::rename(&moved, folder).expect("rename");
        logger.tick(Instant::now());
        assert!(!logger.state().is_lost);
    }
}
