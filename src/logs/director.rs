//! Gathers indicators and directs the threads that read and look through files.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, bounded, select};
use log::{error, info, log, warn};

use super::follow::follow;
use super::lines::Block;
use super::read::Feed;
use super::scan::{Chunk, Scanner, Source};
use super::watchlist::Watchlist;
use super::{Progress, Settings, When};
use crate::intake::{Arrival, Input, Life, Output, Table, Way, note, note_left};
use crate::observe::metrics::Metrics;
use crate::process::input;
use crate::process::stop::Stop;
use crate::protocol::MatchType;
use crate::sighting::report::{Parcel, Reporter, Settings as ReportSettings};

/// A pause in the stream of indicators after which those that came are looked
/// for together: a pass over the files costs the same for one and for many.
const GATHERING: Duration = Duration::from_secs(1);

/// How long a stream without a pause is gathered at the most.
const LONGEST_GATHERING: Duration = Duration::from_secs(30);

/// How long what was found may take to be delivered, once all inputs of a run
/// with `--follow` have ended.
const GRACE: Duration = Duration::from_secs(5);

/// The thread that directs the others.
pub struct Director {
    sources: Vec<Source>,
    settings: Settings,
    report: Arc<ReportSettings>,
    writer: Sender<Parcel>,
    metrics: Arc<Metrics>,
    stop: Stop,
    progress: Arc<Progress>,
}

/// Why gathering ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Gathered {
    /// There was a pause.
    Pause,
    /// No more will come.
    All,
    /// The program stops.
    Stopped,
}

impl Director {
    /// Prepares a director.
    pub fn new(
        settings: Settings,
        report: Arc<ReportSettings>,
        writer: Sender<Parcel>,
        metrics: Arc<Metrics>,
        stop: Stop,
        progress: Arc<Progress>,
    ) -> Self {
        Director {
            sources: settings.files.iter().map(|path| source(path)).collect(),
            settings,
            report,
            writer,
            metrics,
            stop,
            progress,
        }
    }

    /// Runs until no more indicators come and everything is looked through, or
    /// the program stops.
    pub fn run(self, arrivals: &Receiver<Arrival>) {
        let mut life = Life::new(SystemTime::now());
        match self.settings.when {
            When::AtTheEnd => {
                let mut watchlist = Watchlist::new(false);
                match self.gather(arrivals, &mut watchlist, &mut life, None) {
                    Gathered::Stopped => self.drop_unmatched(&watchlist),
                    Gathered::Pause | Gathered::All => self.pass(watchlist),
                }
            }
            When::ForEachBatch => self.batches(arrivals, &mut life),
            When::Following { from_start } => self.follow(arrivals, &mut life, from_start),
        }
        note_left(life.later(), self.way(), &self.metrics);
    }

    fn way(&self) -> Way {
        match self.settings.when {
            When::AtTheEnd | When::ForEachBatch => Way::Files,
            When::Following { .. } => Way::Following,
        }
    }

    fn batches(&self, arrivals: &Receiver<Arrival>, life: &mut Life) {
        loop {
            let mut watchlist = Watchlist::new(true);
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

    /// Takes indicators until no more come, for `pause` if there is one.
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
            let sleep = life.sleep(SystemTime::now());
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            let arrival = select! {
                recv(arrivals) -> arrival => match arrival {
                    Ok(arrival) => Some(arrival),
                    Err(_) => return Gathered::All,
                },
                recv(self.stop.drain_channel()) -> _ => return Gathered::Stopped,
                default(left.map_or(sleep, |left| left.min(sleep))) => None,
            };
            let outputs = self.step(arrival, watchlist, life);
            let is_new = outputs.iter().any(|one| matches!(one, Output::Sought(_)));
            note(outputs, self.way(), &self.metrics);
            if is_new {
                newest = Instant::now();
                first.get_or_insert(newest);
            }
        }
    }

    /// Takes what came, if something did, and what is due.
    fn step(
        &self,
        arrival: Option<Arrival>,
        watchlist: &mut Watchlist,
        life: &mut Life,
    ) -> Vec<Output> {
        let (mut input, _place) = arrival.map_or((Input::Time, None), Arrival::into_input);
        if let (Input::Came(_, ticket), Way::Following) = (&mut input, self.way()) {
            // There is no end that the journal would wait for.
            *ticket = None;
        }
        life.step(SystemTime::now(), input, watchlist)
    }

    /// At the end: says how many indicators were never looked for.
    fn drop_unmatched(&self, watchlist: &Watchlist) {
        let count = watchlist.len();
        if count > 0 {
            self.metrics.indicators_dropped.add(count as u64);
            log!(
                self.stop.level_of_rest(),
                "stopping: {count} indicator(s) were not looked for in all files"
            );
        }
    }

    /// Looks through all files once.
    fn pass(&self, watchlist: Watchlist) {
        let started = Instant::now();
        self.measure();
        let count = watchlist.len();
        info!(
            "looking for {count} indicator(s) in {} file(s)",
            self.settings.files.len()
        );
        let before = self.progress.get().0;
        let watchlist = RwLock::new(watchlist);
        let next = AtomicUsize::new(0);
        let readers = self.settings.files.len().min(threads());
        self.look_through(&watchlist, readers, |feed, _| {
            loop {
                let source = next.fetch_add(1, Ordering::Relaxed);
                let Some(path) = self.settings.files.get(source) else {
                    return;
                };
                if self.stop.is_draining() {
                    return;
                }
                let result = feed.read(source, path, MatchType::Retro);
                self.conclude(source, result);
            }
        });
        let watchlist = watchlist
            .into_inner()
            .unwrap_or_else(PoisonError::into_inner);
        if self.stop.is_draining() {
            return self.drop_unmatched(&watchlist);
        }
        // Behind the last sighting on the same way.
        let mut reporter = self.reporter();
        for ticket in watchlist.into_tickets() {
            reporter.finish(ticket);
        }
        reporter.flush();
        self.metrics.passes.add(1);
        self.metrics.indicators_matched.add(count as u64);
        let seconds = started.elapsed().as_secs_f64();
        let bytes = self.progress.get().0 - before;
        info!(
            "looked through {:.1} MB in {seconds:.1} s",
            bytes as f64 / 1e6
        );
    }

    /// Looks at what is added to the files until the program ends, or all of
    /// them do.
    fn follow(&self, arrivals: &Receiver<Arrival>, life: &mut Life, from_start: bool) {
        let mut watchlist = Watchlist::new(!from_start);
        if from_start {
            let gathered = self.gather(arrivals, &mut watchlist, life, None);
            if gathered == Gathered::Stopped {
                return self.drop_unmatched(&watchlist);
            }
        }
        let watchlist = RwLock::new(watchlist);
        let (ended, has_ended) = bounded::<()>(0);
        std::thread::scope(|scope| {
            let watchlist = &watchlist;
            scope.spawn(move || {
                self.look_through(watchlist, self.settings.files.len(), |feed, source| {
                    let path = &self.settings.files[source];
                    let result = match input::is_standard_input(path) {
                        true => feed.read(source, path, MatchType::Live),
                        false => follow(feed, source, path, from_start),
                    };
                    self.conclude(source, result);
                });
                drop(ended);
            });
            self.keep_up(arrivals, watchlist, life, &has_ended);
        });
        if !self.stop.is_draining() {
            info!("all inputs have ended");
            self.stop.drain(GRACE);
        }
    }

    /// Takes what comes into the list that is in use, and what expires out of it, until
    /// all inputs have ended.
    fn keep_up(
        &self,
        arrivals: &Receiver<Arrival>,
        watchlist: &RwLock<Watchlist>,
        life: &mut Life,
        has_ended: &Receiver<()>,
    ) {
        let never = crossbeam_channel::never();
        let mut arrivals = arrivals;
        loop {
            let arrival = select! {
                recv(arrivals) -> arrival => match arrival {
                    Ok(arrival) => Some(arrival),
                    Err(_) => {
                        arrivals = &never;
                        continue;
                    }
                },
                recv(has_ended) -> _ => return,
                default(life.sleep(SystemTime::now())) => None,
            };
            let mut list = watchlist.write().unwrap_or_else(PoisonError::into_inner);
            let outputs = self.step(arrival, &mut list, life);
            drop(list);
            note(outputs, self.way(), &self.metrics);
        }
    }

    /// Runs `read` in so many threads, each with its number, and looks through
    /// what they hand over.
    fn look_through(
        &self,
        watchlist: &RwLock<Watchlist>,
        readers: usize,
        read: impl Fn(&Feed<'_>, usize) + Sync,
    ) {
        let scanners = threads();
        let (chunks_sender, chunks) = bounded::<Chunk>(2 * scanners);
        let (spare_sender, spare) = bounded::<Block>(4 * scanners);
        std::thread::scope(|scope| {
            for _ in 0..scanners {
                let scanner = Scanner {
                    watchlist,
                    sources: &self.sources,
                    reporter: self.reporter(),
                    metrics: &self.metrics,
                    max_events: self.settings.max_events,
                };
                let (chunks, spare) = (chunks.clone(), spare_sender.clone());
                scope.spawn(move || scanner.run(&chunks, &spare));
            }
            for number in 0..readers {
                let feed = Feed {
                    sources: &self.sources,
                    spare: &spare,
                    chunks: chunks_sender.clone(),
                    bytes_read: &self.progress.read,
                    metrics: &self.metrics,
                    stop: &self.stop,
                };
                let read = &read;
                scope.spawn(move || read(&feed, number));
            }
            // The scanners end with the last reader.
            drop(chunks_sender);
        });
        // Known only once they have ended.
        for source in self.sources.iter().filter(|source| source.rejected() > 0) {
            let (name, count) = (&source.name, source.rejected());
            warn!("{name}: {count} line(s) are no events");
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

    /// Tells the progress how much there is to read, if that can be known.
    fn measure(&self) {
        let size = |path: &PathBuf| {
            let metadata = path.metadata().ok()?;
            metadata.is_file().then_some(metadata.len())
        };
        let total: Option<u64> = self.settings.files.iter().map(size).sum();
        let before = self.progress.get().0;
        let total = total.map_or(0, |total| before + total);
        self.progress.total.store(total, Ordering::Relaxed);
    }

    fn conclude(&self, source: usize, result: Result<(), super::read::Failure>) {
        if let Err(failure) = result {
            self.metrics.files_failed.add(1);
            let name = &self.sources[source].name;
            error!("{name} could not be read to its end: {failure}");
        }
    }
}

fn source(path: &Path) -> Source {
    Source::new(input::name(path))
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}
