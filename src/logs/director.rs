//! Gathers indicators and directs the threads that read and look through files.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime};

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded, select};
use log::{debug, error, info, log, warn};

use super::follow::follow;
use super::lines::Block;
use super::read::Feed;
use super::scan::{Chunk, Scanner, Source};
use super::watchlist::{Put, Watchlist};
use super::{Progress, Settings, When};
use crate::indicator::{Indicator, Later, Message, Standing};
use crate::matching::condition::MOST_UNLISTED;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::input;
use crate::process::stop::Stop;
use crate::protocol::MatchType;
use crate::retro::{Account, note_inactive, note_later};
use crate::sighting::report::{Parcel, Reporter, Settings as ReportSettings};
use crate::state::journal::Ticket;

/// A pause in the stream of indicators after which those that came are looked
/// for together: a pass over the files costs the same for one and for many.
const GATHERING: Duration = Duration::from_secs(1);

/// How long a stream without a pause is gathered at the most.
const LONGEST_GATHERING: Duration = Duration::from_secs(30);

/// How long to wait where nothing is due.
const IDLE: Duration = Duration::from_secs(3600);

/// How long what was found may take to be delivered, once all inputs of a run
/// with `--follow` have ended.
const GRACE: Duration = Duration::from_secs(5);

/// Forgets what does not count yet under this id.
fn forget(later: &mut Later, id: &str) {
    for indicator in later.remove(id) {
        indicator.ticket.into_iter().for_each(Ticket::finish);
    }
}

/// The thread that directs the others.
pub struct Director {
    sources: Vec<Source>,
    settings: Settings,
    report: Arc<ReportSettings>,
    writer: Sender<Parcel>,
    metrics: Arc<Metrics>,
    stop: Stop,
    account: Account,
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
        account: Account,
        progress: Arc<Progress>,
    ) -> Self {
        Director {
            sources: settings.files.iter().map(|path| source(path)).collect(),
            settings,
            report,
            writer,
            metrics,
            stop,
            account,
            progress,
        }
    }

    /// Runs until no more indicators come and everything is looked through, or
    /// the program stops.
    pub fn run(self, messages: &Receiver<Message>) {
        let mut later = Later::default();
        match self.settings.when {
            When::AtTheEnd => {
                let mut watchlist = Watchlist::new(false);
                match self.gather(messages, &mut watchlist, &mut later, None) {
                    Gathered::Stopped => self.drop_unmatched(&watchlist),
                    Gathered::Pause | Gathered::All => self.pass(watchlist),
                }
            }
            When::ForEachBatch => self.batches(messages, &mut later),
            When::Following { from_start } => self.follow(messages, &mut later, from_start),
        }
        self.leave_later(later);
    }

    fn batches(&self, messages: &Receiver<Message>, later: &mut Later) {
        loop {
            let mut watchlist = Watchlist::new(true);
            let gathered = self.gather(messages, &mut watchlist, later, Some(GATHERING));
            if gathered == Gathered::Stopped {
                return self.drop_unmatched(&watchlist);
            }
            if watchlist.len() > 0 {
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
        messages: &Receiver<Message>,
        watchlist: &mut Watchlist,
        later: &mut Later,
        pause: Option<Duration>,
    ) -> Gathered {
        let mut first = None;
        loop {
            if self.take_due(watchlist, later) {
                first.get_or_insert_with(Instant::now);
            }
            let limit = match (pause, first) {
                (Some(pause), Some(first)) => {
                    let longest: Instant = first + LONGEST_GATHERING;
                    longest.saturating_duration_since(Instant::now()).min(pause)
                }
                _ => IDLE,
            };
            let limit = later.sleep().map_or(limit, |sleep| sleep.min(limit));
            let received = select! {
                recv(messages) -> message => message.map_err(|_| RecvTimeoutError::Disconnected),
                recv(self.stop.drain_channel()) -> _ => return Gathered::Stopped,
                default(limit) => Err(RecvTimeoutError::Timeout),
            };
            match received {
                Ok(message) => {
                    first.get_or_insert_with(Instant::now);
                    self.take(message, watchlist, later);
                }
                Err(RecvTimeoutError::Disconnected) => return Gathered::All,
                Err(RecvTimeoutError::Timeout) if first.is_some() && pause.is_some() => {
                    return Gathered::Pause;
                }
                Err(RecvTimeoutError::Timeout) => {}
            }
        }
    }

    fn take(&self, message: Message, watchlist: &mut Watchlist, later: &mut Later) {
        match message {
            Message::Match {
                indicator,
                replaces,
            } => {
                self.account.finished(&indicator);
                let standing = indicator.validity.now();
                if replaces || standing == Standing::Revoked {
                    watchlist.remove(&indicator.id);
                    forget(later, &indicator.id);
                }
                match standing {
                    Standing::Active => self.add(indicator, watchlist),
                    Standing::NotYetValid => {
                        let id = indicator.id.clone();
                        match later.put(indicator) {
                            Ok(()) => note_later(&id),
                            Err(indicator) => self.leave_out(*indicator, standing),
                        }
                    }
                    Standing::Expired | Standing::Revoked => self.leave_out(indicator, standing),
                }
            }
            Message::Withdraw(id) => {
                forget(later, &id);
                let count = watchlist.remove(&id);
                if count > 0 {
                    debug!("indicator {} is withdrawn", printable(&id, 200));
                }
            }
            // Counted and logged where it was read.
            Message::Unsupported { .. } => {}
        }
    }

    fn leave_out(&self, indicator: Indicator, standing: Standing) {
        note_inactive(&indicator, standing, &self.metrics);
        indicator.ticket.into_iter().for_each(Ticket::finish);
    }

    /// Looks for those that have begun to count; says whether there are any.
    fn take_due(&self, watchlist: &mut Watchlist, later: &mut Later) -> bool {
        let mut any = false;
        while let Some(indicator) = later.take_due(SystemTime::now()) {
            match indicator.validity.now() {
                Standing::Active => {
                    any = true;
                    self.add(indicator, watchlist);
                }
                standing => self.leave_out(indicator, standing),
            }
        }
        any
    }

    /// At the end: what does not count yet is not looked for by this run. Where the
    /// program is stopped, the journal keeps it for the next one.
    fn leave_later(&self, mut later: Later) {
        for indicator in later.take_all() {
            self.metrics.indicators_inactive.add(1);
            if !self.stop.is_draining() {
                indicator.ticket.into_iter().for_each(Ticket::finish);
            }
        }
    }

    fn add(&self, indicator: Indicator, watchlist: &mut Watchlist) {
        let id = indicator.id.clone();
        match watchlist.add(indicator) {
            Put::Added => {}
            Put::Repeated => self.metrics.indicators_repeated.add(1),
            Put::Full => {
                self.metrics.indicators_dropped.add(1);
                error!(
                    "indicator {} is dropped: those that are looked for take all the memory that \
                     they may",
                    printable(&id, 200)
                );
            }
            Put::TooMany => {
                self.metrics.indicators_dropped.add(1);
                error!(
                    "indicator {} is dropped: nothing in it is a value to look up, and \
                     {MOST_UNLISTED} such indicators, the most there can be, are checked in every \
                     event already",
                    printable(&id, 200)
                );
            }
        }
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
        watchlist
            .iter()
            .for_each(|indicator| reporter.finish(indicator));
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
    fn follow(&self, messages: &Receiver<Message>, later: &mut Later, from_start: bool) {
        let mut watchlist = Watchlist::new(!from_start);
        if from_start {
            let gathered = self.gather(messages, &mut watchlist, later, None);
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
            self.keep_up(messages, watchlist, later, &has_ended);
        });
        if !self.stop.is_draining() {
            info!("all inputs have ended");
            self.stop.drain(GRACE);
        }
    }

    /// Takes what comes into the list that is in use, until all inputs have
    /// ended.
    fn keep_up(
        &self,
        messages: &Receiver<Message>,
        watchlist: &RwLock<Watchlist>,
        later: &mut Later,
        has_ended: &Receiver<()>,
    ) {
        let never = crossbeam_channel::never();
        let mut messages = messages;
        let list = || watchlist.write().unwrap_or_else(PoisonError::into_inner);
        loop {
            if later.sleep() == Some(Duration::ZERO) {
                self.take_due(&mut list(), later);
            }
            let sleep = later.sleep().unwrap_or(IDLE);
            select! {
                recv(messages) -> message => match message {
                    Ok(message) => self.take(message, &mut list(), later),
                    Err(_) => messages = &never,
                },
                recv(has_ended) -> _ => return,
                default(sleep) => {}
            }
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
