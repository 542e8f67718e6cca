//! Logs: standard error, and a file where asked. Never standard
//! output, which belongs to the sink.

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
pub use logger::ASKED_FOR;

/// How much is logged; each level holds those below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// Every message and every query.
    Debug,
    /// What the program does.
    Info,
    /// What went wrong and was dealt with.
    Warning,
    /// What could not be done.
    Error,
    /// The same as [`Verbosity::Error`]: no message is above an error.
    Critical,
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Time, level and message, for people.
    #[default]
    Text,
    /// One JSON object, for programs.
    Json,
}

/// Where logs go; `None` is nowhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logging {
    /// How the lines look in both places.
    pub format: Format,
    /// To standard error.
    pub console: Option<Verbosity>,
    /// To the end of a file.
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
    /// There is no thread to look after it.
    #[error("no thread to look after the log: {0}")]
    Thread(io::Error),
    /// The process has a logger already.
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

/// How often the log is looked after: whether folded warnings are due, and
/// whether its file was moved away.
const TICK: Duration = Duration::from_secs(1);

/// The logger of this process, and the thread that looks after it.
static LOGGER: OnceLock<(&Logger, Ticker)> = OnceLock::new();

/// Makes the `log` macros write where `logging` says, for the rest of the
/// process.
///
/// # Errors
/// The log file cannot be opened, the system has no thread left, or this was
/// called before.
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

/// Opens the log file anew, if its path names another, without waiting for the
/// next look at it.
pub fn reopen() {
    if let Some((logger, _)) = LOGGER.get() {
        logger.tick(Instant::now());
    }
}

/// Whether the last line of the terminal is a status that a log line must not
/// be appended to.
static STATUS: Mutex<bool> = Mutex::new(false);

/// To the start of the line, and nothing on it.
const CLEAR_LINE: &str = "\r\x1b[K";

/// Writes a line to the terminal on standard error that the next log line, or
/// the next status, takes the place of.
pub fn show_status(write: impl FnOnce(&mut io::StderrLock<'_>) -> io::Result<()>) {
    let mut shown = STATUS.lock().unwrap_or_else(PoisonError::into_inner);
    let mut terminal = io::stderr().lock();
    // A terminal that is gone cannot be told so.
    let _ = terminal
        .write_all(CLEAR_LINE.as_bytes())
        .and_then(|()| write(&mut terminal))
        .and_then(|()| terminal.flush());
    *shown = true;
}

/// Takes the status away.
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
