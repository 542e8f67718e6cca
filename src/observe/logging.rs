//! Logs go to standard error, and to a file if configured. Never to standard output,
//! which belongs to the sink.

mod fields;
mod file;
mod fold;
mod json;
mod logger;

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use log::LevelFilter;
use thiserror::Error;

use crate::process::ticker::{Ticker, Wake};
use file::LogFile;
use logger::Logger;

pub use crate::process::text::printable;
pub use logger::REQUESTED;

/// The log level; each level includes those after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    /// Every message and every query.
    Debug,
    /// Normal operation.
    #[default]
    Info,
    /// Problems that were handled.
    Warning,
    /// Failures.
    Error,
    /// The same as [`Verbosity::Error`]: no message is more severe.
    Critical,
}

/// The format of log lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Time, level and message; human-readable.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Where logs are written; `None` = nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// The format for both destinations.
    pub format: Format,
    /// The level for standard error.
    pub console: Option<Verbosity>,
    /// The file to append to, and its level.
    pub file: Option<(PathBuf, Verbosity)>,
}

/// Why logging could not be set up.
#[derive(Debug, Error)]
pub enum LoggingError {
    /// The log file cannot be opened for writing.
    #[error(
        "cannot open the log file `{}`: {}; name another with logging.filename, or set \
         logging.file to false",
        .0.display(), .1
    )]
    File(PathBuf, io::Error),
    /// The system has no thread left.
    #[error("cannot start the thread that looks after the log: {0}")]
    Thread(io::Error),
    /// The process already has a logger.
    #[error("logging was set up twice")]
    Twice,
}

impl Verbosity {
    fn filter(self) -> LevelFilter {
        match self {
            Self::Debug => LevelFilter::Debug,
            Self::Info => LevelFilter::Info,
            Self::Warning => LevelFilter::Warn,
            Self::Error | Self::Critical => LevelFilter::Error,
        }
    }
}

/// How often the logger checks whether folded warnings are due and whether its file was
/// moved.
const TICK: Duration = Duration::from_secs(1);

/// The logger of this process, and its maintenance thread.
static LOGGER: OnceLock<(&Logger, Ticker)> = OnceLock::new();

/// Makes the `log` macros write where `logging` says, for the rest of the process.
///
/// # Errors
/// The log file cannot be opened, the system has no thread left, or this was called
/// before.
pub fn init(logging: &Logging) -> Result<(), LoggingError> {
    let console = logging.console.map(Verbosity::filter);
    let file = match &logging.file {
        Some((path, verbosity)) => {
            let file = LogFile::open(path);
            let file = file.map_err(|error| LoggingError::File(path.clone(), error))?;
            Some((verbosity.filter(), file))
        }
        None => None,
    };
    let logger: &Logger = Box::leak(Box::new(Logger::new(logging.format, console, file)));
    log::set_logger(logger).map_err(|_| LoggingError::Twice)?;
    log::set_max_level(logger.level());
    let tick = |wake| {
        if wake == Wake::Pause {
            logger.tick(Instant::now());
        }
    };
    let ticker = Ticker::start("log", TICK, tick).map_err(LoggingError::Thread)?;
    LOGGER
        .set((logger, ticker))
        .map_err(|_| LoggingError::Twice)
}

/// Reopens the log file at once if its path now names another file.
pub fn reopen() {
    if let Some((logger, _)) = LOGGER.get() {
        logger.tick(Instant::now());
    }
}

/// Whether the last line of the terminal is a status line, which log lines must not be
/// appended to.
static STATUS: Mutex<bool> = Mutex::new(false);

/// Moves to the start of the line and clears it.
const CLEAR_LINE: &str = "\r\x1b[K";

/// Writes a status line to the terminal on standard error. The next log line or status
/// replaces it.
pub fn show_status(write: impl FnOnce(&mut io::StderrLock<'_>) -> io::Result<()>) {
    let mut shown = STATUS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut terminal = io::stderr().lock();
    // If the terminal is gone, nothing can be reported there.
    let _ = terminal
        .write_all(CLEAR_LINE.as_bytes())
        .and_then(|()| write(&mut terminal))
        .and_then(|()| terminal.flush());
    *shown = true;
}

/// Removes the status line.
pub fn clear_status() {
    let mut shown = STATUS.lock().unwrap_or_else(PoisonError::into_inner);
    if std::mem::take(&mut *shown) {
        let _ = io::stderr().lock().write_all(CLEAR_LINE.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_those_of_the_original() {
        assert_eq!(Verbosity::Critical.filter(), LevelFilter::Error);
        assert_eq!(Verbosity::Warning.filter(), LevelFilter::Warn);
        assert_eq!(Verbosity::Debug.filter(), LevelFilter::Debug);
    }

    #[test]
    fn a_log_file_that_cannot_be_opened_is_named() {
        let path = PathBuf::from("/nonexistent/vast-threatbus.log");
        let file = Some((path, Verbosity::Info));
        let error = init(&Logging {
            format: Format::Text,
            console: None,
            file,
        })
        .expect_err("no such directory");
        assert!(
            error
                .to_string()
                .contains("/nonexistent/vast-threatbus.log")
        );
    }
}
