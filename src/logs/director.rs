//! Collects indicators and directs the threads that read and scan files.

use std::collections::HashSet;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::{Level, error, info, log, warn};

use super::folder::{ListedLog, inputs};
use super::follow::follow;
use super::follow_folder::FolderFollower;
use super::format;
use super::lines::Block;
use super::read::{BlockReader, LogError};
use super::scan::{Chunk, Scanner, report};
use super::source::{LogOutcome, Source};
use super::watchlist::Watchlist;
use super::{LogSettings, Progress, When};
use crate::intake::{self, Arrival, Fate, Fates, Life, Output, Table, Way, note, note_left};
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::input::{is_standard_input, name};
use crate::process::stop::Stop;
use crate::protocol::MatchType;
use crate::sighting::instances::Waiting;
use crate::sighting::message::WriterMessage;
use crate::sighting::report::{ReportSettings, Reporter};

/// A pause in the stream of indicators after which those that arrived are searched
/// together: a pass over the files costs the same for one and for many.
const GATHERING: Duration = Duration::from_secs(1);

/// The longest time for collecting from a stream without a pause.
const LONGEST_GATHERING: Duration = Duration::from_secs(30);

/// How often followed logs are checked for those in which nothing was recognised.
const DOUBT_CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// How long delivering sightings may take once all inputs of a run with `--follow` have
/// ended.
const DELIVERY_GRACE: Duration = Duration::from_secs(5);

/// The thread that directs the others.
pub struct Director {
    /// The logs of this pass, or those that are followed.
    sources: Mutex<Vec<Arc<Source>>>,
    settings: LogSettings,
    report: Arc<ReportSettings>,
    writer: Sender<WriterMessage>,
    metrics: Arc<Metrics>,
    fates: Arc<Fates>,
    stop: Stop,
    progress: Arc<Progress>,
}

/// Why collecting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gathered {
    /// There was a pause.
    Pause,
    /// No more will arrive.
    All,
    /// The program stops.
    Stopped,
}

impl Director {
    /// Makes a director.
    pub fn new(
        settings: LogSettings,
        report: Arc<ReportSettings>,
        writer: Sender<WriterMessage>,
        fates: Arc<Fates>,
        stop: Stop,
        progress: Arc<Progress>,
    ) -> Self {
        Director {
            sources: Mutex::default(),
            settings,
            report,
            writer,
            metrics: fates.metrics().clone(),
            fates,
            stop,
            progress,
        }
    }

    /// Runs until no more indicators arrive and everything is searched, or the program
    /// stops.
    pub fn run(self, arrivals: &Receiver<Arrival>) {
        let mut life = Life::new(SystemTime::now());
        match self.settings.when {
            When::AtTheEnd => {
                let mut watchlist = Watchlist::new(false, self.settings.meaning);
                match self.gather(arrivals, &mut watchlist, &mut life, None) {
                    Gathered::Stopped => self.drop_unmatched(&watchlist),
                    Gathered::Pause | Gathered::All => self.pass(watchlist),
                }
            }
            When::ForEachBatch => self.batches(arrivals, &mut life),
            When::Following { from_start } => self.follow(arrivals, &mut life, from_start),
        }
        note_left(life.not_yet_valid(), self.way(), &self.fates);
    }

    fn way(&self) -> Way {
        match self.settings.when {
            When::AtTheEnd | When::ForEachBatch => Way::Files,
            When::Following { .. } => Way::Following,
        }
    }

    fn batches(&self, arrivals: &Receiver<Arrival>, life: &mut Life) {
        loop {
            let mut watchlist = Watchlist::new(true, self.settings.meaning);
            let gathered = self.gather(arrivals, &mut watchlist, life, Some(GATHERING));
            if gathered == Gathered::Stopped {
                return self.drop_unmatched(&watchlist);
            }
            if !watchlist.is_empty() {
                self.pass(watchlist);
            }
            if gathered == Gathered::All {
                return;
            }
        }
    }

    /// Collects indicators until no more arrive, or until `pause` if there is one.
    fn gather(
        &self,
        arrivals: &Receiver<Arrival>,
        watchlist: &mut Watchlist,
        life: &mut Life,
        pause: Option<Duration>,
    ) -> Gathered {
        let (mut first, mut newest) = (None, Instant::now());
        loop {
            let due = first.zip(pause).map(|(first, pause): (Instant, Duration)| {
                (newest + pause).min(first + LONGEST_GATHERING)
            });
            if due.is_some_and(|due| due <= Instant::now()) {
                return Gathered::Pause;
            }
            let limit = || {
                let sleep = life.sleep(SystemTime::now());
                let left = due.map(|due| due.saturating_duration_since(Instant::now()));
                left.map_or(sleep, |left| left.min(sleep))
            };
            let arrival = match self.next(arrivals, limit) {
                Ok(Some(Arrival::Complete)) if pause.is_none() => return Gathered::All,
                Ok(arrival) => arrival,
                Err(end) => return end,
            };
            let outputs = self.step(arrival, watchlist, life);
            let is_new = outputs.iter().any(|one| matches!(one, Output::Searched(_)));
            note(outputs, self.way(), &self.fates);
            if is_new {
                newest = Instant::now();
                self.metrics.waiting.begin(newest);
                first.get_or_insert(newest);
            }
        }
    }

    /// Receives what arrives within this time. Most arrivals are queued already, and
    /// receiving one of those costs a tenth of waiting on several channels; the time is not
    /// needed then.
    fn next(
        &self,
        arrivals: &Receiver<Arrival>,
        limit: impl FnOnce() -> Duration,
    ) -> Result<Option<Arrival>, Gathered> {
        if self.stop.is_draining() {
            return Err(Gathered::Stopped);
        }
        if let Ok(arrival) = arrivals.try_recv() {
            return Ok(Some(arrival));
        }
        select! {
            recv(arrivals) -> arrival => arrival.map(Some).map_err(|_| Gathered::All),
            recv(self.stop.drain_channel()) -> _ => Err(Gathered::Stopped),
            default(limit()) => Ok(None),
        }
    }

    /// Processes an arrival, if there is one, and what is due.
    fn step(
        &self,
        arrival: Option<Arrival>,
        watchlist: &mut Watchlist,
        life: &mut Life,
    ) -> Vec<Output> {
        let (mut input, _place) = arrival.map_or((intake::Input::Time, None), Arrival::into_input);
        if let (intake::Input::Came(_, ticket), Way::Following) = (&mut input, self.way()) {
            // The journal cannot wait for an end.
            *ticket = None;
        }
        life.step(SystemTime::now(), input, watchlist)
    }

    /// Logs at the end how many indicators were never searched.
    fn drop_unmatched(&self, watchlist: &Watchlist) {
        let count = watchlist.len();
        if count > 0 {
            self.fates.settle(Fate::Dropped, count as u64);
            log!(
                self.stop.level_of_rest(),
                "stopping: {count} indicator(s) were not searched in all files"
            );
        }
    }

    /// Searches all files once.
    fn pass(&self, watchlist: Watchlist) {
        let started = Instant::now();
        let inputs = self.inputs();
        self.measure(&inputs);
        let count = watchlist.len();
        info!(
            "searching {} file(s) for {count} indicator(s)",
            inputs.len()
        );
        let before = self.progress.get().0;
        let watchlist = RwLock::new(watchlist);
        let next = AtomicUsize::new(0);
        let readers = inputs.len().min(threads());
        self.read_and_scan(&watchlist, None, readers, |reader, _| {
            while let Some(input) = inputs.get(next.fetch_add(1, Ordering::Relaxed)) {
                if self.stop.is_draining() {
                    return;
                }
                let source = self.register(&input.path, input.is_of_folder);
                let result = reader.read(&source, &input.path, MatchType::Retro);
                self.conclude(&source, result);
            }
        });
        self.report_outcomes(true);
        let watchlist = watchlist
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if self.stop.is_draining() {
            return self.drop_unmatched(&watchlist);
        }
        // Sent after the last sighting, on the same channel.
        let mut reporter = self.reporter();
        let failed = self.finish_sequences(&watchlist, &mut reporter);
        for ticket in watchlist.into_tickets() {
            reporter.finish(Some(ticket));
        }
        reporter.flush();
        self.metrics.passes.add(1);
        self.fates.settle(Fate::Queried, (count - failed) as u64);
        for (age, count) in self.metrics.waiting.take(Instant::now()) {
            self.metrics
                .answer_time
                .record_all(age.as_secs_f64(), count);
        }
        let seconds = started.elapsed().as_secs_f64();
        let bytes = self.progress.get().0 - before;
        info!("searched {:.1} MB in {seconds:.1} s", bytes as f64 / 1e6);
    }

    /// Reports what was found of indicators of several events; returns how many of them
    /// are not matched completely.
    fn finish_sequences(&self, watchlist: &Watchlist, reporter: &mut Reporter) -> usize {
        let counts = (self.settings.max_events, &*self.metrics);
        let mut failed = 0;
        for whole in watchlist.begun_sequences() {
            let collected = whole.collected.as_ref();
            let finished = collected.map(|collected| {
                collected.finish(&mut |instance| {
                    report(reporter, &whole, instance, MatchType::Retro, counts);
                })
            });
            if let Some(Err(why)) = finished {
                failed += 1;
                self.fates.settle(Fate::Failed, 1);
                error!(
                    "indicator {} is not matched completely: {why}",
                    printable(&whole.indicator.id, 200)
                );
            }
        }
        failed
    }

    /// Searches what is appended to the files until the program ends, or all of them do.
    fn follow(&self, arrivals: &Receiver<Arrival>, life: &mut Life, from_start: bool) {
        let mut watchlist = Watchlist::new(!from_start, self.settings.meaning);
        if from_start {
            let gathered = self.gather(arrivals, &mut watchlist, life, None);
            if gathered == Gathered::Stopped {
                return self.drop_unmatched(&watchlist);
            }
            // From now on each event is matched as it arrives.
            self.metrics.waiting.take(Instant::now());
        }
        let watchlist = RwLock::new(watchlist);
        let (ended, has_ended) = bounded::<()>(0);
        std::thread::scope(|scope| {
            let (watchlist, waiting) = (&watchlist, Some(&*self.settings.waiting));
            scope.spawn(move || {
                let paths = self.followed();
                self.read_and_scan(watchlist, waiting, paths.len(), |reader, number| {
                    self.follow_path(reader, &paths[number], from_start);
                });
                self.report_outcomes(false);
                drop(ended);
            });
            self.keep_up(arrivals, watchlist, life, &has_ended);
        });
        if !self.stop.is_draining() {
            info!("all inputs have ended");
            if self.settings.is_alone {
                self.stop.drain(DELIVERY_GRACE);
            }
        }
        // Engines may still be queried for later arrivals.
        arrivals.iter().for_each(drop);
    }

    /// The files to follow, each once.
    fn followed(&self) -> Vec<PathBuf> {
        let mut seen = HashSet::new();
        let paths = self.settings.files.iter();
        let is_new = |path: &&PathBuf| {
            let is_new = seen.insert(path.canonicalize().unwrap_or_else(|_| (*path).clone()));
            if !is_new {
                info!("{} is named twice, and followed once", name(path));
            }
            is_new
        };
        paths.filter(is_new).cloned().collect()
    }

    fn follow_path(&self, reader: &BlockReader<'_>, path: &Path, from_start: bool) {
        if path.is_dir() {
            let folder = FolderFollower {
                reader,
                register: &|path| self.register(path, true),
                conclude: &|source, result| self.conclude(source, result),
            };
            if let Err(error) = folder.run(path, from_start) {
                self.progress.fail(&self.metrics);
                error!("{} could not be searched: {error}", name(path));
            }
            return;
        }
        let source = self.register(path, false);
        let result = if is_standard_input(path) {
            reader.read(&source, path, MatchType::Live)
        } else {
            follow(reader, &source, path, from_start)
        };
        self.conclude(&source, result);
    }

    /// Adds arriving indicators to the list in use, and removes expired ones, until all
    /// inputs have ended.
    fn keep_up(
        &self,
        arrivals: &Receiver<Arrival>,
        watchlist: &RwLock<Watchlist>,
        life: &mut Life,
        has_ended: &Receiver<()>,
    ) {
        let never = crossbeam_channel::never();
        let mut arrivals = arrivals;
        let mut looked = Instant::now();
        loop {
            if looked.elapsed() >= DOUBT_CHECK_INTERVAL {
                looked = Instant::now();
                self.report_doubts();
            }
            let arrival = select! {
                recv(arrivals) -> arrival => match arrival {
                    Ok(arrival) => Some(arrival),
                    Err(_) => {
                        arrivals = &never;
                        continue;
                    }
                },
                recv(has_ended) -> _ => return,
                default(life.sleep(SystemTime::now()).min(DOUBT_CHECK_INTERVAL)) => None,
            };
            let mut list = watchlist.write().unwrap_or_else(PoisonError::into_inner);
            let outputs = self.step(arrival, &mut list, life);
            drop(list);
            note(outputs, self.way(), &self.fates);
        }
    }

    /// Runs `read` in this many threads, each with its number, and scans what they pass
    /// on.
    fn read_and_scan(
        &self,
        watchlist: &RwLock<Watchlist>,
        waiting: Option<&Waiting>,
        readers: usize,
        read: impl Fn(&BlockReader<'_>, usize) + Sync,
    ) {
        let scanners = threads();
        let (chunks_sender, chunks) = bounded::<Chunk>(2 * scanners);
        let (spare_sender, spare) = bounded::<Block>(4 * scanners);
        std::thread::scope(|scope| {
            for _ in 0..scanners {
                let scanner = Scanner {
                    watchlist,
                    reporter: self.reporter(),
                    metrics: &self.metrics,
                    max_events: self.settings.max_events,
                    waiting,
                };
                let (chunks, spare) = (chunks.clone(), spare_sender.clone());
                scope.spawn(move || scanner.run(&chunks, &spare));
            }
            for number in 0..readers {
                let reader = BlockReader {
                    spare: &spare,
                    chunks: chunks_sender.clone(),
                    bytes_read: &self.progress.read,
                    metrics: &self.metrics,
                    stop: &self.stop,
                };
                let read = &read;
                scope.spawn(move || read(&reader, number));
            }
            // The scanners end with the last reader.
            drop(chunks_sender);
        });
    }

    /// Reports followed logs in which nothing was recognised so far: they may have no end.
    fn report_doubts(&self) {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let is_one_read = sources
            .iter()
            .any(|source| matches!(source.outcome(), LogOutcome::Read(_)));
        for source in &*sources {
            if let Some(outcome) = source.doubt() {
                self.report_nothing(source, &outcome, is_one_read, " so far");
            }
        }
    }

    /// Reports that nothing can be found in a log.
    fn report_nothing(&self, source: &Source, outcome: &LogOutcome, is_one_read: bool, when: &str) {
        let name = &source.name;
        let is_minor = source.is_of_folder && is_one_read;
        match outcome {
            LogOutcome::NoLog(..) if is_minor => {
                info!("{name} is left out: nothing in it is an event{when}");
            }
            LogOutcome::Unrecognised(beginning) | LogOutcome::NoLog(_, beginning) => {
                self.metrics.files_failed.add(1);
                error!(
                    file = &**name, reason = "nothing in it is an event";
                    "{name}: nothing in it is an event{when}; it begins with \"{}\". What is read: {}",
                    printable(beginning, 200),
                    format::supported()
                );
            }
            LogOutcome::Unsearched(count, _) => {
                let level = if is_minor { Level::Info } else { Level::Warn };
                log!(
                    level,
                    "{name}: nothing can be found in its {count} event(s){when}: none has a field \
                     that is searched, apart from those of a log shipper"
                );
            }
            LogOutcome::Read(_) | LogOutcome::Empty | LogOutcome::Failed => {}
        }
    }

    /// Reports the outcome of each log, which is only known after everything is searched.
    /// A followed log may be empty.
    fn report_outcomes(&self, is_pass: bool) {
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let sources = std::mem::take(&mut *sources);
        if is_pass && self.stop.is_draining() {
            return;
        }
        let outcomes: Vec<LogOutcome> = sources.iter().map(|source| source.outcome()).collect();
        let is_one_read = outcomes
            .iter()
            .any(|one| matches!(one, LogOutcome::Read(_)));
        for (source, outcome) in sources.iter().zip(outcomes) {
            let name = &source.name;
            match outcome {
                LogOutcome::Read(rejected) | LogOutcome::Unsearched(_, rejected)
                    if rejected > 0 =>
                {
                    warn!("{name}: {rejected} line(s) are not events");
                }
                LogOutcome::Empty if is_pass => warn!("{name}: it has no events"),
                LogOutcome::NoLog(count, _) => self.metrics.lines_rejected.add(count),
                _ => {}
            }
            let is_left_out = source.is_of_folder && is_one_read;
            let is_failure = match outcome {
                LogOutcome::Unrecognised(_) => true,
                LogOutcome::NoLog(..) => !is_left_out,
                _ => false,
            };
            if is_failure {
                self.progress.failed.fetch_add(1, Ordering::AcqRel);
            }
            let is_over = is_pass || !self.stop.is_draining() || is_failure;
            if is_over && source.begin_report() {
                self.report_nothing(source, &outcome, is_one_read, "");
            }
        }
    }

    fn reporter(&self) -> Reporter {
        Reporter::new(
            self.report.clone(),
            self.metrics.clone(),
            self.writer.clone(),
            self.stop.clone(),
        )
    }

    /// The inputs of a pass.
    fn inputs(&self) -> Vec<ListedLog> {
        inputs(&self.settings.files, |path, error| {
            self.progress.fail(&self.metrics);
            error!("{} could not be searched: {error}", name(path));
        })
    }

    /// Sets the total size for the progress, if it is known.
    fn measure(&self, inputs: &[ListedLog]) {
        let total: Option<u64> = inputs.iter().map(|input| input.size).sum();
        let before = self.progress.get().0;
        let total = total.map_or(0, |total| before + total);
        self.progress.total.store(total, Ordering::Relaxed);
    }

    fn register(&self, path: &Path, is_of_folder: bool) -> Arc<Source> {
        let source = Arc::new(Source::new(name(path), is_of_folder));
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.push(source.clone());
        source
    }

    fn conclude(&self, source: &Source, result: Result<(), LogError>) {
        if let Err(failure) = result {
            self.progress.fail(&self.metrics);
            source.fail();
            error!(
                file = &*source.name, reason:% = failure;
                "{} could not be read to its end: {failure}", source.name
            );
        }
    }
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
