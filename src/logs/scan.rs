//! Scans blocks of lines on several threads.

use std::num::NonZeroU64;
use std::sync::{Arc, PoisonError, RwLock};

use crossbeam_channel::{Receiver, Sender};

use super::format::json_lines::{self, ShippedLine};
use super::format::zeek_tsv::{NoRow, TsvRow, is_like_row};
use super::format::{Event, LineParser, NoEvent};
use super::lines::Block;
use super::source::Source;
use super::watchlist::{Found, Scratch, Watched, Watchlist};
use crate::matching::ScanError;
use crate::matching::recogniser::{Recognised, Recogniser};
use crate::observe::metrics::Metrics;
use crate::protocol::{Context, MatchType};
use crate::sighting::instances::{Observed, Waiting, untimed};
use crate::sighting::report::Reporter;

/// Lines on their way from a file to a scanner.
pub struct Chunk {
    /// The lines.
    pub block: Block,
    /// Their log.
    pub source: Arc<Source>,
    /// How they become events.
    pub parser: LineParser,
    /// The number of the first line in the log, from 1, if known.
    pub first_line: Option<u64>,
    /// The match type of sightings from them.
    pub match_type: MatchType,
}

/// The state of a thread.
pub struct Scanner<'a> {
    /// The indicators.
    pub watchlist: &'a RwLock<Watchlist>,
    /// Where matches are reported.
    pub reporter: Reporter,
    /// The metrics.
    pub metrics: &'a Metrics,
    /// The most sightings per indicator in stored events.
    pub max_events: Option<NonZeroU64>,
    /// Events that wait for others of their patterns, if there is no end of the run at
    /// which they are joined.
    pub waiting: Option<&'a Waiting>,
}

impl Scanner<'_> {
    /// Scans everything until there is no more; blocks are returned through `spare`.
    pub fn run(mut self, chunks: &Receiver<Chunk>, spare: &Sender<Block>) {
        let mut scratch = Scratch::default();
        let mut recogniser = Recogniser::default();
        for chunk in chunks {
            let block = self.scan(chunk, &mut scratch, &mut recogniser);
            if chunks.is_empty() {
                self.reporter.flush();
            }
            if block.is_reusable() {
                // If the pool is full or nobody reads, the memory is freed.
                let _ = spare.try_send(block);
            }
        }
        self.reporter.flush();
    }

    fn scan(&mut self, chunk: Chunk, scratch: &mut Scratch, recogniser: &mut Recogniser) -> Block {
        let mut parser = chunk.parser;
        let from = (chunk.source.clone(), chunk.match_type);
        let limit = self
            .max_events
            .filter(|_| chunk.match_type == MatchType::Retro);
        let bytes = chunk.block.bytes();
        let number = |at: Option<usize>| {
            let before = memchr::memchr_iter(b'\n', bytes.get(..at?)?).count() as u64;
            Some(chunk.first_line? + before)
        };
        let mut start = 0;
        for part in parts(bytes) {
            for finding in self.find(&mut parser, part, &chunk.source, (scratch, recogniser)) {
                match finding {
                    Finding::Matched(event, found) => {
                        self.reporter.come_from(&chunk.source.name);
                        let context = Context::already_checked(&event);
                        let alone = found.iter().filter(|one| one.part.is_none());
                        let alone = alone.map(|one| &one.watched);
                        for watched in alone.filter(|watched| watched.claim(limit, self.metrics)) {
                            self.reporter
                                .report(&watched.indicator, &context, chunk.match_type);
                        }
                        self.join(&event, &found, &from, limit);
                    }
                    Finding::Rejected(line, reason, at) => {
                        let number = number(at.map(|at| start + at));
                        chunk.source.reject(number, &line, &reason, self.metrics);
                    }
                }
            }
            start += part.len();
        }
        chunk.block
    }

    /// Records an event that may match together with others.
    fn join(
        &mut self,
        event: &str,
        found: &[Found],
        (source, match_type): &(Arc<Source>, MatchType),
        limit: Option<NonZeroU64>,
    ) {
        let counts = (limit, self.metrics);
        let mut by_whole: Vec<(&Arc<Watched>, Vec<u16>)> = Vec::new();
        let parts = found
            .iter()
            .filter_map(|one| Some((&one.watched, one.part?)));
        for (whole, part) in parts {
            match by_whole.iter_mut().find(|(of, _)| Arc::ptr_eq(of, whole)) {
                Some((_, parts)) => parts.push(part),
                None => by_whole.push((whole, vec![part])),
            }
        }
        if by_whole.is_empty() {
            return;
        }
        if let Some(waiting) = self.waiting {
            for (whole, parts) in by_whole {
                for instance in waiting.meet(&whole.indicator, &parts, event, &source.name) {
                    report(&mut self.reporter, whole, &instance, *match_type, counts);
                }
            }
            return;
        }
        let Some(observed) = Observed::new(event, &source.name) else {
            return untimed(&by_whole[0].0.indicator, self.metrics);
        };
        for (whole, parts) in by_whole {
            let mut instances = Vec::new();
            if let Some(collected) = &whole.collected {
                collected.add(observed.clone(), &parts, &mut |instance| {
                    instances.push(instance.to_vec());
                });
            }
            for instance in instances {
                report(&mut self.reporter, whole, &instance, *match_type, counts);
            }
        }
    }

    /// Scans some lines. The list is locked no longer than this takes: a report may take
    /// as long as a command, and a pending change of the list blocks all others.
    fn find(
        &self,
        parser: &mut LineParser,
        part: &[u8],
        source: &Source,
        (scratch, recogniser): (&mut Scratch, &mut Recogniser),
    ) -> Vec<Finding> {
        let watchlist = self.watchlist.read();
        scratch.forget_columns();
        let mut look = Look {
            watchlist: &watchlist.unwrap_or_else(PoisonError::into_inner),
            scratch,
            part,
            findings: Vec::new(),
            events: 0,
            recognised: source.recognised(),
            recogniser,
        };
        let mut printed = String::new();
        parser.each(part, |event| {
            let (line, error) = match event {
                Ok(Event::Json(line)) => (line, look.line(line)),
                Ok(Event::Row(row)) => {
                    let error = look.row(&row, &mut printed).err();
                    (&*printed, error)
                }
                Err(NoEvent { line, reason }) => {
                    let at = place_in(part, line);
                    let line = String::from_utf8_lossy(line).into_owned();
                    let rejected = Finding::Rejected(line, reason.to_string(), at);
                    return look.findings.push(rejected);
                }
            };
            if let Some(error) = error {
                let at = place_in(part, line.as_bytes());
                let reason = if is_like_row(line.as_bytes()) {
                    NoRow::NoHeader.to_string()
                } else {
                    error.to_string()
                };
                let rejected = Finding::Rejected(line.to_owned(), reason, at);
                look.findings.push(rejected);
            }
        });
        source.recognise(look.recognised);
        source.count(look.events, self.metrics);
        look.findings
    }
}

/// Reports an instance of an indicator of several events, unless the indicator has
/// reached its limit.
pub fn report(
    reporter: &mut Reporter,
    whole: &Watched,
    instance: &[Observed],
    match_type: MatchType,
    (limit, metrics): (Option<NonZeroU64>, &Metrics),
) {
    if whole.claim(limit, metrics) {
        reporter.report_instance(&whole.indicator, instance, match_type);
    }
}

/// The offset in `text` of a line borrowed from it; `None` for a copy.
fn place_in(text: &[u8], line: &[u8]) -> Option<usize> {
    let at = (line.as_ptr() as usize).checked_sub(text.as_ptr() as usize)?;
    (at < text.len()).then_some(at)
}

/// The bytes that are searched before findings are reported.
const PART: usize = 64 << 10;

/// Splits a block into parts of whole lines.
fn parts(block: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = block;
    std::iter::from_fn(move || {
        let least = rest.len().min(PART);
        let end = memchr::memchr(b'\n', &rest[least..]).map_or(rest.len(), |at| least + at + 1);
        let (part, others) = rest.split_at(end);
        rest = others;
        (!part.is_empty()).then_some(part)
    })
}

/// A finding to report.
enum Finding {
    /// An event as JSON, and the indicators that it matches.
    Matched(String, Vec<Found>),
    /// A line that is not an event, the reason, and its offset in the part if known.
    Rejected(String, String, Option<usize>),
}

/// The most shippers that have read each other's lines.
const MOST_SHIPPERS: usize = 3;

/// Searches events for indicators, one after the other.
struct Look<'a> {
    watchlist: &'a Watchlist,
    scratch: &'a mut Scratch,
    /// The lines.
    part: &'a [u8],
    findings: Vec<Finding>,
    events: u64,
    /// What the events of the log were recognised as. Until something is found to be searched in
    /// one, each is examined.
    recognised: Recognised,
    recogniser: &'a mut Recogniser,
}

impl Look<'_> {
    /// Searches a line of JSON, which may have text around its events. Returns the error if
    /// something in it is no event.
    fn line(&mut self, line: &str) -> Option<ScanError> {
        let Err(error) = self.unwrapped(line) else {
            return None;
        };
        let text = json_lines::quoted(line);
        if text.is_some_and(|object| self.unwrapped(&object).is_ok()) {
            return None;
        }
        let object = json_lines::within(line);
        if object.is_some_and(|object| self.unwrapped(object).is_ok()) {
            return None;
        }
        let (objects, are_all) = json_lines::several(line);
        let read = objects
            .iter()
            .filter(|object| self.unwrapped(object).is_ok());
        let count = read.count();
        let is_whole = are_all && count > 0 && count == objects.len();
        (!is_whole).then_some(error)
    }

    fn unwrapped(&mut self, object: &str) -> Result<(), ScanError> {
        if json_lines::may_be_wrapped(object) {
            self.shipped(&json_lines::unwrapped(object))
        } else {
            self.shipped(object)
        }
    }

    /// An event, and its original text if a log shipper has parsed it, or several have. An
    /// indicator that is found in both is found in the original, once.
    fn shipped(&mut self, object: &str) -> Result<(), ScanError> {
        let mut found = self.found_in(object)?;
        if !self.scratch.table.events.has_escapes()
            && !json_lines::may_have_bytes(object.as_bytes())
        {
            // Nothing else is in its texts.
            self.events += 1;
            self.recognise(object, &found);
            self.matched(object, found);
            return Ok(());
        }
        let mut originals = Vec::new();
        let mut original = json_lines::original(object);
        while let Some(text) = original {
            original = (originals.len() < MOST_SHIPPERS)
                .then(|| json_lines::original(&text))
                .flatten();
            originals.push(text);
        }
        let shipped = json_lines::shipped_line(originals.last().map_or(object, |inner| inner));
        let is_event = shipped.is_none();
        match shipped {
            None => self.events += 1,
            Some(ShippedLine::Header) => {}
            Some(ShippedLine::Row(row)) => {
                let at = place_in(self.part, object.as_bytes());
                let reason = NoRow::Shipped.to_string();
                self.findings.push(Finding::Rejected(row, reason, at));
            }
        }
        let mut reported: Vec<Found> = Vec::new();
        let is_new =
            |one: &Found, reported: &[Found]| !reported.iter().any(|other| one.is_same(other));
        for original in originals.iter().rev() {
            match self.found_in(original) {
                Ok(mut within) => {
                    if is_event {
                        self.recognise(original, &within);
                    }
                    within.retain(|one| is_new(one, &reported));
                    reported.extend_from_slice(&within);
                    self.matched(original, within);
                }
                // A shipper may split a long event.
                Err(error) if json_lines::begins_like_event(original.as_bytes()) => {
                    let rejected = Finding::Rejected(original.clone(), error.to_string(), None);
                    self.findings.push(rejected);
                }
                // The text only begins like an object.
                Err(_) => {}
            }
        }
        if is_event {
            self.recognise(object, &found);
        }
        found.retain(|one| is_new(one, &reported));
        self.matched(object, found);
        Ok(())
    }

    #[inline]
    fn recognise(&mut self, object: &str, found: &[Found]) {
        if self.recognised < Recognised::Searched {
            let recognised = if found.is_empty() {
                self.recogniser.recognise(object)
            } else {
                Recognised::Searched
            };
            self.recognised = self.recognised.max(recognised);
        }
    }

    fn row(&mut self, row: &TsvRow<'_>, printed: &mut String) -> Result<(), ScanError> {
        let mut found = Vec::new();
        self.watchlist
            .matches_row(row, self.scratch, printed, |one| found.push(one))?;
        self.events += 1;
        if self.recognised < Recognised::Searched && !row.is_indicator() {
            self.recognised = self.recognised.max(row.recognised());
        }
        self.matched(printed, found);
        Ok(())
    }

    fn found_in(&mut self, object: &str) -> Result<Vec<Found>, ScanError> {
        let mut found = Vec::new();
        self.watchlist
            .matches(object, self.scratch, |one| found.push(one))?;
        Ok(found)
    }

    fn matched(&mut self, event: &str, found: Vec<Found>) {
        if !found.is_empty() {
            self.findings
                .push(Finding::Matched(event.to_owned(), found));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_whole_lines_and_all_of_them() {
        let line = [&b"x".repeat(PART / 3)[..], b"\n"].concat();
        for (block, count) in [
            (line.repeat(10), 4),
            (b"x".repeat(3 * PART), 1),
            (b"a\nb".to_vec(), 1),
            (vec![], 0),
        ] {
            let parts: Vec<&[u8]> = parts(&block).collect();
            assert_eq!(parts.concat(), block);
            assert_eq!(parts.len(), count);
            let whole = parts.iter().rev().skip(1);
            assert!(whole.clone().all(|part| part.ends_with(b"\n")));
        }
    }
}
