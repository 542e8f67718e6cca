//! A log that is searched, and its outcome.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use log::{debug, warn};

use super::format::LogFormat;
use super::lines::LONGEST_LINE;
use crate::matching::recogniser::Recognised;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::text::on_one_line;

/// The number of bad lines of a log that are logged individually.
const BAD_LINES_LOGGED: u64 = 3;

/// The characters of a log's beginning that are shown.
const SHOWN_OF_BEGINNING: usize = 60;

/// The number of objects of a followed log of which one has to be an event.
const ENOUGH: u64 = 100;

/// A log as the source of lines.
#[derive(Debug, Default)]
pub struct Source {
    /// Its name in messages.
    pub name: Arc<str>,
    /// Whether its folder was named and not itself.
    pub is_of_folder: bool,
    beginning: OnceLock<String>,
    /// What its events were recognised as.
    recognised: AtomicU8,
    events: AtomicU64,
    /// Objects that were read before.
    unrecognised: AtomicU64,
    rejected: AtomicU64,
    cut: AtomicU64,
    has_failed: AtomicBool,
    /// Whether what was there before it was followed is known, and no log.
    follows_other: AtomicBool,
    /// What was read of a followed log when it was last checked.
    checked: AtomicU64,
    /// Up to which recognition it was reported that nothing can be found.
    reported: AtomicU8,
}

/// The outcome of a log that was read to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogOutcome {
    /// It has events, and this many other lines.
    Read(u64),
    /// It has this many events, and none has a field that is searched. It has this many other
    /// lines.
    Unsearched(u64, u64),
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
        let text = on_one_line(beginning);
        let text = String::from_utf8_lossy(&text);
        let text = text.chars().take(SHOWN_OF_BEGINNING).collect();
        let is_first = self.beginning.set(text);
        if let (Ok(()), Some(format)) = (is_first, format) {
            debug!("{}: {}", self.name, format.name());
        }
    }

    /// What its events were recognised as so far.
    pub fn recognised(&self) -> Recognised {
        let number = self.recognised.load(Ordering::SeqCst);
        [Recognised::Other, Recognised::Event]
            .into_iter()
            .find(|one| *one as u8 == number)
            .unwrap_or(Recognised::Searched)
    }

    /// Records what one of its events was recognised as.
    pub fn recognise(&self, recognised: Recognised) {
        self.recognised
            .fetch_max(recognised as u8, Ordering::SeqCst);
    }

    fn is_log(&self) -> bool {
        self.recognised() > Recognised::Other
    }

    /// Counts events. If none was recognised so far, they wait for one.
    pub fn count(&self, mut events: u64, metrics: &Metrics) {
        if !self.is_log() {
            self.unrecognised.fetch_add(events, Ordering::SeqCst);
            events = 0;
        }
        // Another thread may have recognised one at the same time.
        if self.is_log() {
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

    /// Records that all that was there before it was followed is no log.
    pub fn follow_other(&self, beginning: &[u8]) {
        self.begins(beginning, None);
        self.follows_other.store(true, Ordering::Relaxed);
    }

    /// The outcome so far of a followed log, if it is time to report that nothing can be found in
    /// it: no more was read since the last call, or enough. Returned once.
    pub fn doubt(&self) -> Option<LogOutcome> {
        let outcome = self.outcome();
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (read, may_be_short) = match outcome {
            LogOutcome::Unsearched(events, _) => (events, false),
            LogOutcome::Unrecognised(_) | LogOutcome::NoLog(..) => {
                let lines = of(&self.unrecognised) + of(&self.rejected) + of(&self.cut);
                (lines, true)
            }
            LogOutcome::Read(_) | LogOutcome::Empty | LogOutcome::Failed => return None,
        };
        let is_still = self.checked.swap(read, Ordering::Relaxed) == read;
        let is_due = read >= ENOUGH || is_still && may_be_short;
        (is_due && self.begin_report()).then_some(outcome)
    }

    /// Whether it was not reported yet that nothing can be found in it, as far as it is recognised.
    pub fn begin_report(&self) -> bool {
        let kind = 1 + self.recognised() as u8;
        self.reported.fetch_max(kind, Ordering::Relaxed) < kind
    }

    /// Its outcome, valid after all its lines are searched.
    pub fn outcome(&self) -> LogOutcome {
        let of = |number: &AtomicU64| number.load(Ordering::Relaxed);
        let (rejected, unrecognised) = (of(&self.rejected), of(&self.unrecognised));
        let beginning = || self.beginning.get().cloned().unwrap_or_default();
        if self.has_failed.load(Ordering::Relaxed) {
            LogOutcome::Failed
        } else if of(&self.events) > 0 && self.recognised() < Recognised::Searched {
            LogOutcome::Unsearched(of(&self.events), rejected)
        } else if of(&self.events) > 0 {
            LogOutcome::Read(rejected)
        } else if unrecognised > 0 {
            LogOutcome::NoLog(unrecognised, beginning())
        } else if rejected + of(&self.cut) > 0 || self.follows_other.load(Ordering::Relaxed) {
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
        source.recognise(Recognised::Event);
        source.count(1, &metrics);
        assert_eq!(source.outcome(), LogOutcome::Unsearched(2, 1));
        source.recognise(Recognised::Searched);
        source.recognise(Recognised::Event);
        source.count(1, &metrics);
        assert_eq!(source.outcome(), LogOutcome::Read(1));
        source.fail();
        assert_eq!(source.outcome(), LogOutcome::Failed);
        assert_eq!(
            (metrics.events_read.get(), metrics.lines_rejected.get()),
            (3, 1)
        );
        // A log in which every line is too long.
        let source = Source::new("x".to_owned(), false);
        source.reject_long(1, &metrics);
        assert_eq!(source.outcome(), LogOutcome::Unrecognised(String::new()));
    }
}
