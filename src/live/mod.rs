//! Live matching: indicators against events as they come.
//!
//! [`crate::intake::Intake`] → lifecycle (owns the validity of the indicators) → indicator
//! table ← stream supervisor (the engine's child) → writer. An engine with its own matcher
//! is updated by a pool of threads; after a loss, the backfill searches the events of the
//! gap.

mod backfill;
mod dedup;
mod lifecycle;
mod matcher_updates;
mod stream_supervisor;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Receiver, Sender, select, unbounded};
use log::error;

use crate::engine::{Connection, LiveOptions};
use crate::indicator::{Indicator, MatchExpansion};
use crate::intake::{Arrival, Fates, IndicatorTable, TableMatch, TableScratch};
use crate::matching::{Clarity, Meaning, ScanError};
use crate::observable::EventTime;
use crate::observe::logging::printable;
use crate::process::stop::Stop;
use crate::process::thread;
use crate::protocol::{Context, MatchType};
use crate::sighting::instances::Waiting;
use crate::sighting::message::WriterMessage;
use crate::sighting::report::{ReportSettings, Reporter};

use crate::engine::live::LiveSource;
use backfill::Backfill;
use dedup::{Dedup, EventKey};
use lifecycle::Lifecycle;
use matcher_updates::MatcherUpdates;
use stream_supervisor::{LiveRefused, StreamSupervisor};

/// How far the search for indicators goes beyond equality in the events of a source.
pub type WiderOf = Arc<dyn Fn(&LiveSource) -> MatchExpansion + Send + Sync>;

/// The settings of live matching.
#[derive(Clone)]
pub struct LiveSettings {
    /// The number of the engine among several, from 1.
    pub number: usize,
    /// Whether live matching is the only matching.
    pub is_alone: bool,
    /// The time limit of a query.
    pub timeout: Option<Duration>,
    /// What counts as a match if this program does the matching.
    pub meaning: Meaning,
    /// The number of engines with live matching that have not refused it.
    pub willing: Arc<AtomicUsize>,
    /// How far the search for indicators goes beyond equality.
    pub wider: WiderOf,
    /// The events that wait for others of their patterns.
    pub waiting: Arc<Waiting>,
}

/// The inputs and outputs of live matching on one engine.
pub struct LiveChannels {
    /// Arriving indicators.
    pub arrivals: Receiver<Arrival>,
    /// How matches are reported.
    pub report: Arc<ReportSettings>,
    /// Where they are sent.
    pub writer: Sender<WriterMessage>,
    /// What becomes of the indicators.
    pub fates: Arc<Fates>,
    /// The program's stop.
    pub stop: Stop,
}

/// The state shared by the threads.
pub struct SharedLive {
    table: Mutex<IndicatorTable>,
    recent: Mutex<Dedup>,
    /// Events that wait for others of their patterns.
    waiting: Arc<Waiting>,
    knows_events: bool,
}

/// An indicator that an event matches, for a sighting.
#[derive(Debug)]
struct Matched {
    /// The indicator, without its original message.
    indicator: Arc<Indicator>,
    /// The number of its part, if a single event is not a match.
    part: Option<u16>,
    /// Since when it is matched.
    since: SystemTime,
}

impl From<TableMatch<'_>> for Matched {
    fn from(found: TableMatch<'_>) -> Self {
        Matched {
            indicator: found.indicator(),
            part: found.part(),
            since: found.since(),
        }
    }
}

impl Matched {
    /// What is reported once of an event.
    fn key(&self) -> (&str, Option<u16>) {
        (&self.indicator.id, self.part)
    }
}

impl SharedLive {
    fn table(&self) -> MutexGuard<'_, IndicatorTable> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, Dedup> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds every indicator, or part of one, that an event of this schema matches, each once.
    fn matches(
        &self,
        schema: &str,
        line: &str,
        scratch: &mut TableScratch,
        matched: &mut Vec<Matched>,
    ) -> Result<Clarity, ScanError> {
        matched.clear();
        let add = |found: TableMatch<'_>| matched.push(found.into());
        self.table().matches(schema, line, scratch, add)
    }

    /// Reports what an event matches, alone or with earlier events.
    fn report(&self, matched: &[&Matched], line: &str, reporter: &mut Reporter) {
        let context = Context::already_checked(line);
        let mut joined: Vec<(&Arc<Indicator>, Vec<u16>)> = Vec::new();
        for one in matched {
            let (whole, Some(part)) = (&one.indicator, one.part) else {
                reporter.report(&one.indicator, &context, MatchType::Live);
                continue;
            };
            match joined.iter_mut().find(|(of, _)| Arc::ptr_eq(of, whole)) {
                Some((_, parts)) => parts.push(part),
                None => joined.push((whole, vec![part])),
            }
        }
        let source = reporter.source();
        for (whole, parts) in joined {
            for instance in self.waiting.meet(whole, &parts, line, &source) {
                reporter.report_instance(whole, &instance, MatchType::Live);
            }
        }
    }

    /// What identifies an event on this engine.
    fn mark<'a>(&self, event: &'a str, time: Option<EventTime>) -> EventKey<'a> {
        match time.filter(|_| !self.knows_events) {
            Some(time) => EventKey::Time(time.utc().unix_timestamp_nanos()),
            None => EventKey::Text(event),
        }
    }
}

/// Live matching of one engine: a thread, which owns the others.
pub struct Live(JoinHandle<bool>);

/// The other threads.
struct Threads {
    supervisor: JoinHandle<Result<(), LiveRefused>>,
    backfill: JoinHandle<()>,
    pool: Option<MatcherUpdates>,
    /// The engine's name in logs.
    title: String,
}

impl Live {
    /// Starts with a source. It ends when every [`crate::intake::Intake`] is dropped, or
    /// with the stop. If all engines refuse from the beginning, it stops the program.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        source: LiveSource,
        connection: &Arc<Connection>,
        settings: LiveSettings,
        channels: LiveChannels,
    ) -> io::Result<Self> {
        let (lifecycle, threads) = prepare(source, connection, &settings, &channels)?;
        let run = move || {
            lifecycle.run(Vec::new(), &channels.arrivals);
            threads.join()
        };
        named("live-lifecycle", settings.number)
            .spawn(run)
            .map(Live)
    }

    /// The same with a source that is available once the engine has responded. What
    /// arrives before then is stored.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start_later(
        wish: LiveOptions,
        connection: Arc<Connection>,
        settings: LiveSettings,
        channels: LiveChannels,
    ) -> io::Result<Self> {
        let number = settings.number;
        let run = move || {
            let Some(first) = wait(&connection, &channels) else {
                return true;
            };
            let source = connection.engine().live(&wish, &channels.stop);
            let prepared = source.and_then(|source| {
                let prepared = prepare(source, &connection, &settings, &channels);
                prepared.map_err(|error| error.to_string())
            });
            match prepared {
                Ok((lifecycle, threads)) => {
                    lifecycle.run(first, &channels.arrivals);
                    threads.join()
                }
                Err(reason) => {
                    let reason = printable(&reason, 700);
                    error!(
                        "{}: new events are not matched: {reason}",
                        connection.title()
                    );
                    note_refusal(&settings.willing, &channels.stop);
                    drop(first);
                    channels.arrivals.iter().for_each(drop);
                    false
                }
            }
        };
        named("live-lifecycle", number).spawn(run).map(Live)
    }

    /// Waits for the end; returns whether the engine supported live matching.
    pub fn join(self) -> bool {
        thread::join(self.0).unwrap_or(true)
    }
}

/// A thread for the engine with this number.
fn named(name: &str, number: usize) -> std::thread::Builder {
    std::thread::Builder::new().name(match number {
        1 => name.to_owned(),
        _ => format!("{name}-{number}"),
    })
}

/// Waits until the engine has responded; returns what arrived in the meantime and is
/// still needed, or `None` if the program ends first.
fn wait(connection: &Connection, channels: &LiveChannels) -> Option<Vec<Arrival>> {
    let mut wanted: HashMap<Arc<str>, Arrival> = HashMap::new();
    loop {
        let arrival = select! {
            recv(channels.arrivals) -> arrival => arrival.ok()?,
            recv(connection.decided()) -> _ => return Some(wanted.into_values().collect()),
            recv(channels.stop.drain_channel()) -> _ => return None,
        };
        match arrival {
            Arrival::Indicator { ref indicator, .. } => {
                wanted.insert(indicator.id.clone(), arrival);
            }
            Arrival::Withdrawal(id) => {
                wanted.remove(&id);
            }
            Arrival::Complete => {}
        }
    }
}

/// Counts an engine that does not match live. Without any, the program cannot do its job.
fn note_refusal(willing: &AtomicUsize, stop: &Stop) {
    if willing.fetch_sub(1, Ordering::AcqRel) == 1 {
        stop.now();
    }
}

/// Starts all threads except the one that owns them.
fn prepare(
    source: LiveSource,
    connection: &Arc<Connection>,
    settings: &LiveSettings,
    channels: &LiveChannels,
) -> io::Result<(Lifecycle, Threads)> {
    let LiveChannels {
        report,
        writer,
        fates,
        stop,
        ..
    } = channels;
    let metrics = fates.metrics();
    let wider = (settings.wider)(&source);
    // Live matching ends at once while retro matching may finish.
    let ending = Stop::new()?;
    let mut table = IndicatorTable::for_engine(settings.meaning, source.scope, SystemTime::now());
    if source.matcher.is_some() {
        table.keep_changes();
    }
    let shared = Arc::new(SharedLive {
        table: Mutex::new(table),
        recent: Mutex::default(),
        waiting: settings.waiting.clone(),
        knows_events: source.knows_events,
    });
    let reporter = || {
        Reporter::new(
            report.clone(),
            metrics.clone(),
            writer.clone(),
            stop.clone(),
        )
    };
    let pool = match &source.matcher {
        Some(matcher) => Some(MatcherUpdates::start(matcher, metrics, &ending, stop)?),
        None => None,
    };
    let forgets = source.matcher.as_ref().is_some_and(|one| one.forgets());
    let (gaps_sender, gaps) = unbounded();
    let backfill = Backfill {
        engine: connection.engine().clone(),
        shared: shared.clone(),
        forgetful: pool
            .as_ref()
            .filter(|_| forgets)
            .map(MatcherUpdates::change_sender),
        reporter: reporter(),
        metrics: metrics.clone(),
        timeout: settings.timeout,
        ending: ending.clone(),
        stop: stop.clone(),
    };
    let lifecycle = Lifecycle {
        shared: shared.clone(),
        matcher: source.matcher,
        change_sender: pool.as_ref().map(MatcherUpdates::change_sender),
        is_alone: settings.is_alone,
        wider,
        metrics: metrics.clone(),
        fates: fates.clone(),
        ending: ending.clone(),
        stop: stop.clone(),
    };
    let supervisor = StreamSupervisor {
        stream: source.stream,
        shared,
        reporter: reporter(),
        metrics: metrics.clone(),
        ending,
        backfill: gaps_sender,
    };
    let (willing, stop) = (settings.willing.clone(), stop.clone());
    let watch = move || {
        let result = supervisor.run();
        if result.is_err() {
            note_refusal(&willing, &stop);
        }
        result
    };
    let threads = Threads {
        supervisor: named("live", settings.number).spawn(watch)?,
        backfill: named("live-gap", settings.number).spawn(move || backfill.run(&gaps))?,
        pool,
        title: connection.title(),
    };
    Ok((lifecycle, threads))
}

impl Threads {
    /// Waits for the end; returns whether the engine supported live matching.
    fn join(self) -> bool {
        let mut is_good = true;
        if let Some(Err(LiveRefused(reason))) = thread::join(self.supervisor) {
            is_good = false;
            error!(
                "{} answers, but rejects the call for live matching: {}",
                self.title,
                printable(&reason, 700)
            );
        }
        thread::join(self.backfill);
        if let Some(pool) = self.pool {
            pool.join();
        }
        is_good
    }
}

#[cfg(test)]
mod tests;
