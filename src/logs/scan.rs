//! Looking through blocks of lines, on several threads.

use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crossbeam_channel::{Receiver, Sender};
use log::warn;

use super::lines::{Block, LONGEST_LINE};
use super::watchlist::{Scratch, Watched, Watchlist};
use crate::matching::ScanError;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::protocol::{Context, MatchType};
use crate::sighting::report::Reporter;

/// How many bad lines of a file are logged one by one.
const SHOWN: u64 = 3;

/// How many matches and bad lines are gathered before they are reported.
const AT_ONCE: usize = 256;

/// A file that lines come from.
#[derive(Debug)]
pub struct Source {
    /// What it is called in logs.
    pub name: String,
    rejected: AtomicU64,
}

impl Source {
    /// A source of which nothing is known.
    pub fn new(name: String) -> Self {
        Source {
            name,
            rejected: AtomicU64::new(0),
        }
    }

    /// Counts a line that is no event; the first ones are logged, and then
    /// every tenth, hundredth and so on.
    fn reject(&self, line: &str, error: &ScanError, metrics: &Metrics) {
        metrics.lines_rejected.add(1);
        let count = 1 + self.rejected.fetch_add(1, Ordering::Relaxed);
        if count <= SHOWN || is_power_of_ten(count) {
            warn!(
                "{}: a line is {error}: {} ({count} such line(s) so far)",
                self.name,
                printable(line, 200)
            );
        }
    }

    /// Counts lines that were too long to be looked at.
    pub fn reject_long(&self, count: u64, metrics: &Metrics) {
        if count > 0 {
            metrics.lines_rejected.add(count);
            self.rejected.fetch_add(count, Ordering::Relaxed);
            warn!(
                "{}: {count} line(s) of more than {LONGEST_LINE} bytes are left out",
                self.name
            );
        }
    }

    /// How many lines were no events.
    pub fn rejected(&self) -> u64 {
        self.rejected.load(Ordering::Relaxed)
    }
}

fn is_power_of_ten(mut number: u64) -> bool {
    while number >= 10 && number % 10 == 0 {
        number /= 10;
    }
    number == 1
}

/// Lines on their way from a file to a thread that looks through them.
pub struct Chunk {
    /// The lines.
    pub block: Block,
    /// The file, as an index into the list of sources.
    pub source: usize,
    /// How a match in them is reported.
    pub match_type: MatchType,
}

/// A thread's own things.
pub struct Scanner<'a> {
    /// What is looked for.
    pub watchlist: &'a RwLock<Watchlist>,
    /// Where lines come from.
    pub sources: &'a [Source],
    /// Where matches go.
    pub reporter: Reporter,
    /// What is counted.
    pub metrics: &'a Metrics,
    /// The most sightings for an indicator in stored events.
    pub max_events: Option<NonZeroU64>,
}

impl Scanner<'_> {
    /// Looks through everything until there is no more; blocks go back through
    /// `spare`.
    pub fn run(mut self, chunks: &Receiver<Chunk>, spare: &Sender<Block>) {
        let mut scratch = Scratch::default();
        for chunk in chunks {
            self.look_through(&chunk, &mut scratch);
            if chunks.is_empty() {
                self.reporter.flush();
            }
            if chunk.block.is_reusable() {
                // A full pool, or nobody who reads: the memory is given back.
                let _ = spare.try_send(chunk.block);
            }
        }
        self.reporter.flush();
    }

    fn look_through(&mut self, chunk: &Chunk, scratch: &mut Scratch) {
        // Checked, and where something is wrong mended, in one go.
        let text = String::from_utf8_lossy(chunk.block.bytes());
        let source = &self.sources[chunk.source];
        let limit = self
            .max_events
            .filter(|_| chunk.match_type == MatchType::Retro);
        let (mut from, mut found) = (0, Vec::new());
        while from < text.len() {
            from = self.find(&text, from, &mut found, scratch);
            for (line, found) in found.drain(..) {
                match found {
                    Ok(watched) if watched.claim(limit) => {
                        let context = Context::already_checked(line);
                        self.reporter
                            .report(&watched.indicator, &context, chunk.match_type);
                    }
                    Ok(_) => {}
                    Err(error) => source.reject(line, &error, self.metrics),
                }
            }
        }
    }

    /// Looks through the lines from this place on until there is enough to report;
    /// gives the place to go on from. The list is held no longer than this takes: a
    /// report may take as long as a command, and who wants to change the list keeps
    /// all others waiting.
    fn find<'t>(
        &self,
        text: &'t str,
        from: usize,
        found: &mut Vec<(&'t str, Result<Arc<Watched>, ScanError>)>,
        scratch: &mut Scratch,
    ) -> usize {
        let watchlist = self.watchlist.read();
        let watchlist = watchlist.unwrap_or_else(PoisonError::into_inner);
        let rest = &text.as_bytes()[from..];
        let ends = memchr::memchr_iter(b'\n', rest).map(|at| from + at);
        let mut start = from;
        for end in ends.chain([text.len()]) {
            let line = text[start..end].trim_ascii();
            start = (end + 1).min(text.len());
            if line.is_empty() {
                continue;
            }
            let matched = watchlist.matches(line, scratch, |watched| {
                found.push((line, Ok(watched.clone())));
            });
            if let Err(error) = matched {
                found.push((line, Err(error)));
            }
            if found.len() >= AT_ONCE {
                return start;
            }
        }
        text.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_warnings_become_rare() {
        let logged: Vec<u64> = (1..=2000)
            .filter(|count| *count <= SHOWN || is_power_of_ten(*count))
            .collect();
        assert_eq!(logged, [1, 2, 3, 10, 100, 1000]);
    }
}
