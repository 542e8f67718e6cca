//! What is counted: every message that comes in ends in one of these numbers,
//! so that nothing is lost silently.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    /// The number so far.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Adds `count`.
    pub fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::AcqRel);
    }

    /// Takes away `count`, which was added before.
    pub fn remove(&self, count: u64) {
        self.0.fetch_sub(count, Ordering::AcqRel);
    }

    /// Becomes this number.
    pub fn set(&self, number: u64) {
        self.0.store(number, Ordering::Release);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

/// Whether somebody that this program talks to is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Peer {
    /// This run does without.
    #[default]
    Unused = 0,
    /// It does not answer.
    Down = 1,
    /// It answered when it was last asked.
    Up = 2,
}

/// A [`Peer`] that changes.
#[derive(Debug, Default)]
pub struct PeerGauge(AtomicU8);

impl PeerGauge {
    /// How it is now.
    pub fn set(&self, peer: Peer) {
        self.0.store(peer as u8, Ordering::Relaxed);
    }

    /// How it was last seen.
    pub fn get(&self) -> Peer {
        match self.0.load(Ordering::Relaxed) {
            0 => Peer::Unused,
            1 => Peer::Down,
            _ => Peer::Up,
        }
    }
}

/// Counts by a word.
#[derive(Debug, Default)]
pub struct Tally(Mutex<BTreeMap<&'static str, u64>>);

impl Tally {
    /// Counts one more of these.
    pub fn count(&self, word: &'static str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(word).or_default() += 1;
    }

    /// All that was counted, in the order of the words.
    pub fn get(&self) -> BTreeMap<&'static str, u64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.clone()
    }
}

/// Counts by what a reason for people says, without the text that it quotes.
#[derive(Debug, Default)]
pub struct Reasons(Mutex<BTreeMap<String, u64>>);

impl Reasons {
    /// So many reasons are told apart: text from outside may stand in one.
    const MOST: usize = 32;

    /// Counts one more with this reason.
    pub fn count(&self, reason: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut word = reason_word(reason);
        if counts.len() >= Self::MOST && !counts.contains_key(&word) {
            word = "other".to_owned();
        }
        *counts.entry(word).or_default() += 1;
    }

    /// All that was counted, in the order of the words.
    pub fn get(&self) -> BTreeMap<String, u64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.clone()
    }
}

/// The first words of a reason, in the letters that a name may have.
fn reason_word(reason: &str) -> String {
    let mut quote = None;
    let unquoted = |c: char| match quote {
        Some(mark) => {
            if c == mark {
                quote = None;
            }
            ' '
        }
        None if matches!(c, '"' | '`') => {
            quote = Some(c);
            ' '
        }
        None => c.to_ascii_lowercase(),
    };
    let text: String = reason.chars().map(unquoted).collect();
    let words = text.split(|c: char| !c.is_ascii_lowercase());
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).take(5).collect();
    let mut word = words.join("_");
    word.truncate(48);
    match word.is_empty() {
        true => "other".to_owned(),
        false => word,
    }
}

/// The least, the greatest and the mean of what was measured since the last
/// look.
#[derive(Debug, Default)]
pub struct Spread(Mutex<Measured>);

#[derive(Debug, Default)]
struct Measured {
    count: u64,
    least: f64,
    greatest: f64,
    sum: f64,
    /// Of the whole run: how many, and their sum.
    total: (u64, f64),
}

impl Spread {
    /// Adds one measurement.
    pub fn record(&self, value: f64) {
        let mut measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if measured.count == 0 {
            (measured.least, measured.greatest) = (value, value);
        }
        measured.count += 1;
        measured.least = measured.least.min(value);
        measured.greatest = measured.greatest.max(value);
        measured.sum += value;
        measured.total.0 += 1;
        measured.total.1 += value;
    }

    /// Least, greatest and mean since the last call; `None` where nothing was
    /// measured.
    pub fn take(&self) -> Option<[f64; 3]> {
        let mut measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let emptied = Measured {
            total: measured.total,
            ..Measured::default()
        };
        let measured = std::mem::replace(&mut *measured, emptied);
        let mean = measured.sum / measured.count as f64;
        (measured.count > 0).then_some([measured.least, measured.greatest, mean])
    }

    /// How much was measured in the whole run, and the sum of it.
    pub fn totals(&self) -> (u64, f64) {
        let measured = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        measured.total
    }
}

macro_rules! counters {
    ($($name:ident: $meaning:literal,)*) => {
        /// The counters of one run.
        #[derive(Debug, Default)]
        pub struct Metrics {
            $(#[doc = $meaning] pub $name: Counter,)*
            /// Indicators that wait for a query or are being asked for.
            pub backlog: Gauge,
            /// Values that are matched live, each counted for each indicator
            /// that has it.
            pub live_indicators: Gauge,
            /// Bytes of sightings that stay in the spool at the end.
            pub spooled_bytes: Gauge,
            /// Indicators to match, by kind.
            pub kinds: Tally,
            /// Rejected messages and indicators, by reason.
            pub rejected: Reasons,
            /// Unsupported indicators, by reason.
            pub unsupported: Reasons,
            /// Sightings of one indicator in stored events.
            pub matches_per_indicator: Spread,
            /// What the queries for one indicator took, in seconds.
            pub query_time_per_indicator: Spread,
            /// Indicators that one query asked for.
            pub batch_size: Spread,
            /// Whether the engine answers.
            pub engine_up: PeerGauge,
            /// Whether the subscription at the bus stands.
            pub bus_up: PeerGauge,
        }

        impl Metrics {
            /// Matches of this run that are on their way, or wait for the sink.
            pub fn sightings_waiting(&self) -> u64 {
                let done = self.sightings_sent.get()
                    + self.sightings_failed.get()
                    + self.sightings_lost.get()
                    + self.sightings_withheld.get()
                    + self.sightings_aggregated.get();
                let told = self.sightings_found.get() + self.sightings_of_several.get();
                told.saturating_sub(done)
            }

            /// Every counter: its name, its number, and its meaning.
            pub fn counters(&self) -> Vec<(&'static str, u64, &'static str)> {
                vec![$((stringify!($name), self.$name.get(), $meaning),)*]
            }
        }

        impl fmt::Display for Metrics {
            /// Every counter that is not zero, as `name=number`.
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let all = [$((stringify!($name), self.$name.get()),)*];
                let mut counted = all.iter().filter(|(_, number)| *number > 0).peekable();
                if counted.peek().is_none() {
                    return f.write_str("nothing was counted");
                }
                while let Some((name, number)) = counted.next() {
                    let separator = if counted.peek().is_some() { " " } else { "" };
                    write!(f, "{name}={number}{separator}")?;
                }
                Ok(())
            }
        }
    };
}

counters! {
    messages_received: "Messages from the bus.",
    messages_ignored: "Messages of other types than indicators.",
    indicators_rejected: "Messages that could not be read, and indicators with a wrong value.",
    indicators_unsupported: "Indicators that this program cannot ask the engine about.",
    indicators_allowed: "Indicators that are allowed and not asked for (--allow).",
    indicators_inactive: "Indicators that are expired, revoked or not yet valid, and not asked for.",
    indicators_received: "Indicators to match.",
    indicators_repeated: "Indicators that were known already and are not matched twice.",
    indicators_withdrawn: "Removals that the bus sent.",
    indicators_dropped: "Indicators that found the queue full, or were still waiting at the end.",
    indicators_matched: "Indicators whose retro query is finished.",
    indicators_timed_out: "Indicators whose retro query was ended by its time limit.",
    indicators_failed: "Indicators whose retro query the engine refused or failed at.",
    indicators_expired: "Indicators whose time ended while they were matched live.",
    observables_refused: "Values that the engine refuses, of indicators that have others.",
    queries: "Queries that were put to the engine.",
    queries_interrupted: "Queries that the engine did not finish, asked again.",
    events_unmatched: "Events of the engine's answers that hold no value of their query.",
    lines_rejected: "Lines in the engine's answers, or in log files, that are no event.",
    lines_cut: "Lines of log files that are too long, and left out.",
    events_read: "Events in log files that were looked at.",
    live_events: "Events that were looked at as they came.",
    live_losses: "Times that the engine's child for live matching ended by itself.",
    live_values_rejected: "Values that the engine's own matcher cannot have.",
    live_changes_failed: "Values that the engine's own matcher did not take, or not let go.",
    passes: "Times that all log files were looked through.",
    files_failed: "Log files, or files of indicators, that could not be read to their end, or in which nothing was recognised.",
    events_without_time: "Matched events with neither `ts` nor `timestamp`.",
    transforms_failed: "Contexts that could not be transformed.",
    transforms_repeated: "Contexts that a command which stays did not answer, asked for once more.",
    sink_restarts: "Times that the sink command, which stays, ended by itself.",
    sightings_found: "Matches.",
    sightings_known: "Matches that an earlier run has reported (--report-once).",
    sightings_live: "Matches in events as they came.",
    sightings_allowed: "Matches of networks in events of which every address is allowed (--allow).",
    sightings_aggregated: "Matches that are not told one by one, but in a count.",
    sightings_of_several: "Sightings that stand for several matches.",
    sightings_withheld: "Sightings that a sink did not get, as their contexts were not transformed.",
    sightings_sent: "Sightings handed to the bus, standard output or a command.",
    sightings_repeated: "Sightings sent again, because the broker did not confirm them.",
    sightings_unconfirmed: "Sightings that the broker never confirmed.",
    sightings_failed: "Sightings that a sink command failed at, or that the bus cannot carry.",
    sightings_spooled: "Sightings that a sink command did not take, kept for a later try (--state-dir).",
    sightings_lost: "Sightings that were not delivered when the program ended.",
    subscriptions_lost: "Times that the bus lost this program's subscription.",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_apart_by_their_words_and_not_by_what_they_quote() {
        assert_eq!(reason_word("\"999.1.1.1\" is no address"), "is_no_address");
        assert_eq!(
            reason_word("no STIX-2 indicator: missing field `type` at line 1"),
            "no_stix_indicator_missing_field"
        );
        assert_eq!(reason_word("\u{e9}\"\"7"), "other");
        let reasons = Reasons::default();
        for number in 0..2 * Reasons::MOST {
            let letters: String = format!("{number:02}")
                .bytes()
                .map(|digit| char::from(digit - b'0' + b'a'))
                .collect();
            reasons.count(&letters);
        }
        let counts = reasons.get();
        assert_eq!(counts.len(), Reasons::MOST + 1);
        assert_eq!(counts["other"], Reasons::MOST as u64);
    }

    #[test]
    fn only_what_was_counted_is_shown() {
        let metrics = Metrics::default();
        assert_eq!(metrics.to_string(), "nothing was counted");
        metrics.queries.add(2);
        metrics.sightings_found.add(3);
        assert_eq!(metrics.to_string(), "queries=2 sightings_found=3");
    }
}
