//! The thread that keeps the engine's child running and reads its output.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use log::{error, info, warn};

use super::backfill::Gap;
use super::dedup::EventKey;
use super::{Matched, SharedLive};
use crate::engine::live::{Ended, EventStream, Match, NOTICED_WITHIN, StreamItem};
use crate::engine::{AnswerItem, EventLine};
use crate::indicator::{Indicator, Protocol};
use crate::intake::TableScratch;
use crate::matching::Clarity;
use crate::observable::{Kind, Observable};
use crate::observe::logging::printable;
use crate::observe::metrics::{Metrics, Peer};
use crate::process::stop::{Backoff, Stop};
use crate::protocol::{Context, MatchType};
use crate::sighting::report::Reporter;

/// How long a child has to run (after its first output, if it greets) to be considered
/// connected: one that cannot connect, or is rejected, ends within 25 ms (measured).
const SETTLED: Duration = Duration::from_secs(1);

/// The number of bad lines that are logged individually.
const BAD_LINES_LOGGED: u64 = 3;

/// The indicator of a sighting whose indicator is unknown, as in the last original.
const UNKNOWN: &str = "note--00000000-0000-4000-8000-000000000000";

/// The state of the thread.
pub struct StreamSupervisor {
    /// The stream of the engine.
    pub stream: Box<dyn EventStream>,
    /// The live indicators.
    pub shared: Arc<SharedLive>,
    /// Where matches are reported.
    pub reporter: Reporter,
    /// The metrics.
    pub metrics: Arc<Metrics>,
    /// The end of live matching.
    pub ending: Stop,
    /// Where gaps are sent.
    pub backfill: Sender<Gap>,
}

/// The human-readable reason why the engine rejects live matching.
pub struct LiveRefused(pub String);

impl StreamSupervisor {
    /// Runs until the end, which comes early if the engine rejects the command from the
    /// beginning.
    ///
    /// # Errors
    /// See [`LiveRefused`].
    pub fn run(mut self) -> Result<(), LiveRefused> {
        let name = self.stream.name();
        let mut backoff = Backoff::new();
        let mut lost: Option<(Instant, SystemTime)> = None;
        let mut was_up = false;
        loop {
            let started = Instant::now();
            let (is_up, ended) = self.run_once(&name, lost);
            if is_up {
                (was_up, lost) = (true, None);
            }
            let (reason, since) = match ended {
                Ended::Stopped => return Ok(()),
                Ended::Refused(reason) if !was_up => return Err(LiveRefused(reason)),
                Ended::Refused(reason) => (reason, SystemTime::now() - NOTICED_WITHIN),
                Ended::Lost { reason, since } => (reason, since),
            };
            if self.ending.is_now() {
                return Ok(());
            }
            if lost.is_none() {
                self.metrics.live_losses.add(1);
                self.metrics.live_gap.at(since);
                self.metrics.engine_up.set(Peer::Down);
                let reason = printable(&reason, 500);
                warn!(
                    engine = self.metrics.engine_name(), reason:% = reason;
                    "the {name} ended ({reason}); starting it again until it stays"
                );
                lost = Some((Instant::now(), since));
                // Events before the gap may form an instance with events in it.
                self.shared.waiting.hold(true);
            }
            if started.elapsed() > Duration::from_secs(60) {
                backoff = Backoff::new();
            }
            if self.ending.sleep(backoff.pause()) {
                return Ok(());
            }
            self.metrics.child_restarts.count("live");
        }
    }

    /// Runs one child; returns whether it was ever connected.
    fn run_once(&mut self, name: &str, lost: Option<(Instant, SystemTime)>) -> (bool, Ended) {
        // One sign of life is queued; it goes away with the child.
        let (sign, signs) = bounded::<()>(1);
        let (backfill, metrics) = (self.backfill.clone(), self.metrics.clone());
        let greets = self.stream.greets();
        std::thread::scope(|scope| {
            let settling = scope.spawn(move || {
                let is_up = (!greets || signs.recv().is_ok()) && stays(&signs);
                if is_up {
                    metrics.engine_up.set(Peer::Up);
                    match lost {
                        Some((at, _)) => info!(
                            "the {name} is back after {:.1} s",
                            at.elapsed().as_secs_f64()
                        ),
                        None => info!("matching new events: {name}"),
                    }
                    // The receiver only goes away when the program ends.
                    let _ = backfill.send(Gap {
                        since: lost.map(|(_, since)| since),
                    });
                }
                is_up
            });
            let ended = self.watch(&sign);
            drop(sign);
            (settling.join().unwrap_or(false), ended)
        })
    }

    fn watch(&mut self, sign: &Sender<()>) -> Ended {
        let StreamSupervisor {
            stream,
            shared,
            reporter,
            metrics,
            ending,
            ..
        } = self;
        let mut handler = LineHandler {
            stream: &**stream,
            shared,
            reporter,
            metrics,
            ending,
            rejected: 0,
            scratch: TableScratch::default(),
            matched: Vec::new(),
        };
        stream.run(ending, &mut |event| {
            // More than one adds nothing.
            let _ = sign.try_send(());
            handler.take(&event);
        })
    }
}

/// Whether a child, which holds the other end, keeps running until it is settled.
fn stays(signs: &Receiver<()>) -> bool {
    let until = Instant::now() + SETTLED;
    loop {
        match signs.recv_deadline(until) {
            Ok(()) => {}
            Err(error) => return error == RecvTimeoutError::Timeout,
        }
    }
}

/// Processes the lines of one child.
struct LineHandler<'a> {
    stream: &'a dyn EventStream,
    shared: &'a SharedLive,
    reporter: &'a mut Reporter,
    metrics: &'a Metrics,
    ending: &'a Stop,
    rejected: u64,
    scratch: TableScratch,
    matched: Vec<Matched>,
}

impl LineHandler<'_> {
    fn take(&mut self, event: &AnswerItem<'_>) {
        match event {
            AnswerItem::Line(line) => {
                let line = EventLine {
                    text: line.text.trim_ascii(),
                    ..*line
                };
                if line.text.is_empty() {
                    return;
                }
                if let Err(reason) = self.line(&line) {
                    self.reject(line.text, &reason);
                }
            }
            AnswerItem::TooLong(start) => self.reject(start, "a line that is too long"),
            // Nothing is held back.
            AnswerItem::Pause => self.reporter.flush(),
        }
    }

    fn line(&mut self, line: &EventLine<'_>) -> Result<(), String> {
        match self.stream.read(line)? {
            StreamItem::Event(event) => self.event(line.schema, event),
            StreamItem::Match(found) => {
                self.found(&found);
                Ok(())
            }
        }
    }

    /// An event to be matched here.
    fn event(&mut self, schema: &str, line: &str) -> Result<(), String> {
        self.metrics.live_events.add(1);
        let mut matched = std::mem::take(&mut self.matched);
        let mut look = || {
            self.shared
                .matches(schema, line, &mut self.scratch, &mut matched)
        };
        let mut scanned = look();
        if matches!(scanned, Ok(Clarity::Unclear)) && self.stream.learn(schema, self.ending) {
            scanned = look();
        }
        // Reported without the lock, since the writer may be slow.
        let is_new = |one: &&Matched| self.shared.recent().live(one.key(), EventKey::Text(line));
        let new: Vec<&Matched> = matched.iter().filter(is_new).collect();
        self.shared.report(&new, line, self.reporter);
        self.matched = matched;
        scanned.map(|_| ()).map_err(|error| error.to_string())
    }

    /// A match that the engine found.
    fn found(&mut self, found: &Match<'_>) {
        let indicators = self.indicators_of(found);
        let context = Context::already_checked(&found.context);
        let mark = self.shared.mark(&found.context, found.time);
        for indicator in &indicators {
            let key = (&*indicator.id, None::<u16>);
            if self.shared.recent().live(key, mark) {
                self.reporter
                    .report_at(indicator, &context, MatchType::Live, found.time);
            }
        }
    }

    /// The indicators of a match: all with the value, since the matcher stores at most
    /// one of them; else the one it names, which may be from an earlier run; else none.
    fn indicators_of(&self, found: &Match<'_>) -> Vec<Arc<Indicator>> {
        let table = self.shared.table();
        let value = found.value.as_deref();
        let holders = value.map_or_else(Vec::new, |value| table.holders(&readings(value)));
        if !holders.is_empty() {
            return holders;
        }
        let known = found.id.as_deref().and_then(|id| table.with_id(id));
        let protocol = match (&known, &found.id) {
            (Some(known), _) => known.protocol(),
            (None, Some(id)) if id.starts_with("indicator--") => Protocol::Stix2,
            (None, Some(_)) => Protocol::Legacy,
            (None, None) => table.any_protocol().unwrap_or(Protocol::Stix2),
        };
        vec![Arc::new(Indicator {
            ioc: value.map(str::to_owned).into_iter().collect(),
            ..Indicator::new(
                found.id.clone().unwrap_or_else(|| UNKNOWN.into()),
                protocol,
                Vec::new(),
            )
        })]
    }

    /// Counts a line that is neither an event nor a match; the first ones are logged.
    fn reject(&mut self, line: &str, reason: &str) {
        self.metrics.lines_rejected.add(1);
        self.rejected += 1;
        if self.rejected <= BAD_LINES_LOGGED {
            let reason = printable(reason, 300);
            error!(
                engine = self.metrics.engine_name(), reason:% = reason;
                "the {} printed a line that cannot be used: {reason}: {}",
                self.stream.name(),
                printable(line, 200)
            );
        }
    }
}

/// The possible meanings of a value in an engine's output.
fn readings(value: &str) -> Vec<Observable> {
    if let Ok(address) = value.parse() {
        return vec![Observable::address(address)];
    }
    let as_kind = |kind| match kind {
        Kind::Address
        | Kind::Endpoint
        | Kind::Network
        | Kind::Hash
        | Kind::Subdomain
        | Kind::Answer => None,
        Kind::Domain => Some(Observable::domain(value)),
        Kind::Url => Observable::of_url(value).ok(),
        Kind::Text(property) => Observable::text(property, value).ok(),
    };
    Kind::all().filter_map(as_kind).collect()
}
