//! A log that is searched, and its outcome.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use log::{debug, warn};

use super::format::LogFormat;
use super::lines::LONGEST_LINE;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;

/// The number of bad lines of a log that are logged individually.
const BAD_LINES_LOGGED: u64 = 3;

/// A log as the source of lines.
#[derive(Debug, Default)]
pub struct Source {
    /// Its name in messages.
    pub name: Arc<str>,
    /// Whether its folder was named and not itself.
    pub is_of_folder: bool,
    beginning: OnceLock<String>,
    /// Whether one of its events was recognised as one of a log.
    is_log: AtomicBool,
    events: AtomicU64,
    /// Objects that were read before.
    unrecognised: AtomicU64,
    rejected: AtomicU64,
    cut: AtomicU64,
    has_failed: AtomicBool,
}

/// The outcome of a log that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutcome {
    /// It has events, and this many other lines.
    Read(u64),
    /// It is empty, or has only a header.
    Empty,
    /// Nothing in it was recognised; it begins like this.
    Unrecognised(String),
    /// It has this many objects or rows, but none is an event of a log. It begins like this.
    NoLog(u64, String),
    /// A failure to read it was reported before.
    Failed,
}

impl Source {
    /// A log about which nothing is known yet.
    pub fn new(name: String, is_of_folder: bool) -> Self {
        Source {
            name: name.into(),
            is_of_folder,
            ..Source::default()
        }
    }

    /// Records its beginning and its format.
    pub fn begins(&self, beginning: &[u8], format: Option<LogFormat>) {
        let text = String::from_utf8_lossy(beginning).into_owned();
        let is_first = self.beginning.set(text);
        if let (Ok(()), Some(format)) = (is_first, format) {
            debug!("{}: {}", self.name, format.name());
        }
    }

    /// Whether one of its events was recognised as one of a log.
    pub fn is_log(&self) -> bool {
        self.is_log.load(Ordering::Relaxed)
    }

    /// Records that one was.
    pub fn recognise(&self) {
        self.is_log.store(true, Ordering::SeqCst);
    }

    /// Counts events. If none was recognised so far, they wait for one.
    pub fn count(&self, mut events: u64, metrics: &Metrics) {
        if !self.is_log.load(Ordering::SeqCst) {
            self.unrecognised.fetch_add(events, Ordering::SeqCst);
            events = 0;
        }
        // Another thread may have recognised one at the same time.
        if self.is_log.load(Ordering::SeqCst) {
            events += self.unrecognised.swap(0, Ordering::SeqCst);
        }
        if events > 0 {
            metrics.events_read.add(events);
            self.events.fetch_add(events, Ordering::Relaxed);
        }
    }

    /// Counts a line that is not an event. The first ones are logged, and then every
    /// tenth, hundredth and so on.
    pub fn reject(
        &self,
        number: Option<u64>,
        line: &str,
        error: &dyn fmt::Display,
        metrics: &Metrics,
    ) {
        metrics.lines_rejected.add(1);
        let count = 1 + self.rejected.fetch_add(1, Ordering::Relaxed);
        if count > BAD_LINES_LOGGED && !is_power_of_ten(count) {
            return;
        }
        let (file, text) = (&*self.name, printable(line, 200));
        if let Some(number) = number {
            warn!(
                file = file, line = number, reason:% = error;
                "{file}: line {number} is {error}: {text} ({count} such line(s) so far)"
            );
        } else {
            warn!(
                file = file, reason:% = error;
                "{file}: a line is {error}: {text} ({count} such line(s) so far)"
            );
        }
    }

    /// Counts lines that were too long.
    pub fn reject_long(&self, count: u64, metrics: &Metrics) {
        if count > 0 {
            metrics.lines_cut.add(count);
            self.cut.fetch_add(count, Ordering::Relaxed);
            warn!(
                file = &*self.name, reason = "too long";
                "{}: {count} line(s) of more than {LONGEST_LINE} bytes are left out",
                self.name
            );
        }
    }

    /// Records that it could not be read.
    pub fn fail(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }

    /// Its outcome, valid after all its lines are searched.
    pub fn outcome(&self) -> LogOutcome {
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (rejected, unrecognised) = (of(&self.rejected), of(&self.unrecognised));
        let beginning = || self.beginning.get().cloned().unwrap_or_default();
        if self.has_failed.load(Ordering::Relaxed) {
            LogOutcome::Failed
        } else if of(&self.events) > 0 {
            LogOutcome::Read(rejected)
        } else if unrecognised > 0 {
            LogOutcome::NoLog(unrecognised, beginning())
        } else if rejected + of(&self.cut) > 0 {
            LogOutcome::Unrecognised(beginning())
        } else {
            LogOutcome::Empty
        }
    }
}

fn is_power_of_ten(mut number: u64) -> bool {
    while number >= 10 && number % 10 == 0 {
        number /= 10;
    }
    number == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_warnings_become_rare() {
        let logged: Vec<u64> = (1..=2000)
            .filter(|count| *count <= BAD_LINES_LOGGED || is_power_of_ten(*count))
            .collect();
        assert_eq!(logged, [1, 2, 3, 10, 100, 1000]);
    }

    #[test]
    fn the_counts_of_a_log_give_its_outcome() {
        let metrics = Metrics::default();
        let source = Source::new("x".to_owned(), false);
        assert_eq!(source.outcome(), LogOutcome::Empty);
        source.begins(b"text", None);
        source.reject(Some(7), "text", &"none", &metrics);
        assert_eq!(
            source.outcome(),
            LogOutcome::Unrecognised("text".to_owned())
        );
        source.count(1, &metrics);
        assert_eq!(source.outcome(), LogOutcome::NoLog(1, "text".to_owned()));
        source.recognise();
        source.count(1, &metrics);
        assert_eq!(source.outcome(), LogOutcome::Read(1));
        source.fail();
        assert_eq!(source.outcome(), LogOutcome::Failed);
        assert_eq!(
            (metrics.events_read.get(), metrics.lines_rejected.get()),
            (2, 1)
        );
        // A log in which every line is too long.
        let source = Source::new("x".to_owned(), false);
        source.reject_long(1, &metrics);
        assert_eq!(source.outcome(), LogOutcome::Unrecognised(String::new()));
    }
}
