//! Indicators from files or standard input, instead of the bus.

use std::cell::{Cell, RefCell};
use std::io::{self, BufReader};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam_channel::Receiver;
use log::{Level, debug, error, info, log, log_enabled, warn};

use crate::config::{Config, RunMode, SinkChoice};
use crate::indicator::{Indicator, Message, Rejection, Versions, tell_of_left_out};
use crate::intake::{Intake, Received};
use crate::logs::decode::decoded;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::input::{self, OpenInput};
use crate::process::stop::Stop;
use crate::protocol::feed::{self, Found, Report};
use crate::sighting::report::Output;
use crate::sighting::tally::Tally;

mod folder;
mod follow;
mod ids;

pub use folder::{FeedFile, Listing, list};
use ids::Ids;

/// The number of rejected entries of a file that are logged: a wrong file can have a
/// million of them.
const NAMED: u64 = 3;

/// Reads the configured files and passes their indicators on, no faster than these are
/// searched. It ends with the files, or with the program. If logs are followed, it ends with
/// the program only: it reads the files again when they change, and on each request of
/// `reloads`. It tells the tally in which file each indicator is, and returns what was received.
pub fn run(
    config: &Config,
    intake: &Intake,
    metrics: &Metrics,
    stop: &Stop,
    reloads: &Receiver<()>,
    tally: Option<&Mutex<Tally>>,
) -> Received {
    let jobs = &config.jobs;
    let listing = list(&jobs.indicators);
    let mut taker = Taker {
        jobs,
        keeps_objects: config.sink == SinkChoice::Bus || config.output == Output::Sighting,
        intake,
        metrics,
        stop,
        versions: RefCell::default(),
        received: Cell::default(),
        tally,
    };
    taker.note_listing(&listing);
    let mut sets = follow::Sets::default();
    let mut usable_of: Vec<(&Path, u64)> = Vec::new();
    for source in &listing.sources {
        if stop.is_draining() {
            return taker.ended(false);
        }
        let seen = follow::FileState::of(&source.path);
        let mut ids = Ids::default();
        let usable = taker.take_all(source, &mut |message| {
            if jobs.follow {
                ids.note(message);
            }
        });
        if jobs.follow {
            sets.taken(source.clone(), seen, ids);
        }
        if let Some(folder) = &source.folder {
            match usable_of.last_mut() {
                Some((last, sum)) if *last == folder => *sum += usable,
                _ => usable_of.push((folder, usable)),
            }
        }
    }
    for (folder, usable) in usable_of {
        if usable == 0 {
            taker.fail();
            let name = input::name(folder);
            metrics.unusable_feeds.set(&name, true);
            error!(
                "{name}: no file in it holds an indicator that can be used. {}",
                feed::ACCEPTED_FORMATS
            );
        }
    }
    info!("read {} indicator(s)", taker.received.get().new);
    // If the program stops, reading ends as at the end of a file.
    let is_whole = !stop.is_draining();
    if jobs.follow {
        intake.complete();
        follow::run(&mut taker, sets, reloads);
    }
    taker.ended(is_whole)
}

/// Reads one file, plain or compressed, and passes on its entries.
///
/// # Errors
/// It cannot be read to its end, or is not a feed.
pub fn read(
    path: &Path,
    options: &feed::Options,
    stop: &Stop,
    each: &mut dyn FnMut(Found),
) -> Result<Report, feed::Error> {
    let input = OpenInput::open(path, stop)?;
    if input.metadata().is_dir() {
        return Err(io::Error::from(io::ErrorKind::IsADirectory).into());
    }
    let (_, reader) = decoded(input)?;
    feed::read(BufReader::with_capacity(64 << 10, reader), options, each)
}

/// Adds the indicators of files.
struct Taker<'a> {
    jobs: &'a RunMode,
    /// Whether sightings contain parts of the indicator's original object.
    keeps_objects: bool,
    intake: &'a Intake,
    metrics: &'a Metrics,
    stop: &'a Stop,
    /// The newest version of each indicator.
    versions: RefCell<Versions>,
    /// What has been received so far.
    received: Cell<Received>,
    tally: Option<&'a Mutex<Tally>>,
}

impl Taker<'_> {
    fn note_listing(&self, listing: &Listing) {
        for (path, why) in &listing.left_out {
            info!("{} is left out: {why}", input::name(path));
        }
        for (path, why) in &listing.warnings {
            warn!("{}: {why}", input::name(path));
        }
        for (path, error) in &listing.failed {
            self.fail();
            let name = input::name(path);
            self.metrics.unusable_feeds.set(&name, true);
            error!("{name}: {error}");
        }
    }

    /// Counts a file that cannot be used.
    fn fail(&self) {
        self.count(|received| received.count_failed_file(self.metrics));
    }

    fn count(&self, change: impl FnOnce(&mut Received)) {
        let mut received = self.received.get();
        change(&mut received);
        self.received.set(received);
    }

    /// What was received in all, and whether the files were read to their end.
    fn ended(&self, is_whole: bool) -> Received {
        Received {
            is_unread: !is_whole,
            ..self.received.get()
        }
    }

    /// Reads one file and logs what it contains; returns the number of usable indicators.
    fn take_all(&mut self, source: &FeedFile, note: &mut dyn FnMut(&Message)) -> u64 {
        let name = input::name(&source.path);
        let mut rejected = 0;
        let result = read(
            &source.path,
            &self.jobs.feed,
            self.stop,
            &mut |found| match found {
                // When the program stops, a file may end anywhere, even within a value.
                _ if self.stop.is_draining() => {}
                Found::Message(message) => {
                    note(&message);
                    self.note_file(&message, &name);
                    self.take(message);
                }
                Found::Rejected(line, rejection) => {
                    rejected += 1;
                    self.reject(&rejection, line, &name, rejected);
                    self.withdraw_old(rejection.id.filter(|_| rejection.replaces));
                }
            },
        );
        self.name_more_rejected(rejected, &name);
        self.name_doubt(&result, &name);
        self.metrics
            .unusable_feeds
            .set(&name, self.is_unusable(source, &result));
        match &result {
            // When the program stops, a file may end anywhere.
            _ if self.stop.is_draining() => {}
            Ok(report) if report.is_useless() => {
                let why = useless(report);
                if source.folder.is_some() {
                    warn!(file = name.as_str(), reason = why.as_str(); "{name}: {why}");
                } else {
                    self.fail();
                    error!(
                        file = name.as_str(), reason = why.as_str();
                        "{name}: {why}. {}", feed::ACCEPTED_FORMATS
                    );
                }
            }
            Ok(report) if report.is_empty() => warn!("{name}: it holds no indicators"),
            Ok(report) => info!("{name}: {}: {}", report.format, report.counts()),
            Err(feed::Error::NoFeed(why)) if source.folder.is_some() => warn!("{name}: {why}"),
            Err(error) => {
                self.fail();
                let reason = failed(error);
                error!(file = name.as_str(), reason = reason.as_str(); "{name}: {reason}");
            }
        }
        result.map_or(0, |report| report.usable)
    }

    /// Whether a file that should be usable is not.
    fn is_unusable(&self, source: &FeedFile, result: &Result<Report, feed::Error>) -> bool {
        match result {
            _ if self.stop.is_draining() => false,
            Ok(report) => report.is_useless() && source.folder.is_none(),
            Err(feed::Error::NoFeed(_)) => source.folder.is_none(),
            Err(_) => true,
        }
    }

    fn note_file(&self, message: &Message, name: &str) {
        if let (Some(tally), Message::Match { indicator, .. }) = (self.tally, message) {
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            tally.comes_from(indicator, name);
        }
    }

    fn take(&self, message: Message) {
        let metrics = self.metrics;
        let Some(message) = self.versions.borrow_mut().newest(message) else {
            self.count(|received| received.count_repeated(metrics));
            return;
        };
        match message {
            Message::Match {
                mut indicator,
                left_out,
                ..
            } => {
                tell_of_left_out(&indicator.id, &left_out);
                if !indicator.is_narrow() {
                    warn!(
                        "indicator {}: nothing narrows which events it means: every event is \
                         checked for it",
                        printable(&indicator.id, 200)
                    );
                }
                if !self.keeps_objects {
                    indicator.original = None;
                }
                self.count(|received| received.count_new(&indicator, metrics));
                note_read(&indicator);
                self.intake.wait_for_room(self.stop);
                if !self.intake.add(indicator, None) {
                    self.count(Received::count_allowed);
                }
            }
            Message::Withdraw(id) => {
                self.count(|received| received.count_withdrawn(metrics));
                self.intake.withdraw(&id);
            }
            Message::Unsupported {
                id,
                reason,
                replaces,
                ..
            } => {
                metrics.indicators_unsupported.add(1);
                metrics.unsupported.count(&reason);
                let shown = printable(&id, 200).to_string();
                let reason = printable(&reason, 500);
                info!(
                    indicator = shown.as_str(), reason:% = reason;
                    "indicator {shown} is unsupported: {reason}"
                );
                self.withdraw_old(replaces.then_some(id));
            }
        }
    }

    /// A new version that cannot be used replaces the old one as well.
    fn withdraw_old(&self, id: Option<Arc<str>>) {
        if let Some(id) = id {
            self.intake.withdraw(&id);
        }
    }

    /// Logs how many entries were rejected beyond those that are named.
    fn name_more_rejected(&self, rejected: u64, name: &str) {
        if rejected > NAMED && !log_enabled!(Level::Debug) {
            let more = rejected - NAMED;
            warn!("{name}: rejected: {more} more (--loglevel DEBUG names each)");
        }
    }

    /// Says what may have been read as something else than it is.
    fn name_doubt(&self, result: &Result<Report, feed::Error>, name: &str) {
        let Some(doubt) = result.as_ref().ok().and_then(Report::doubt) else {
            return;
        };
        let doubt = printable(&doubt, 1000);
        warn!(file = name, reason:% = doubt; "{name}: {doubt}");
    }

    /// Counts a rejected entry, and logs it; `nth` is its number in the file, and only the
    /// first ones are warnings.
    fn reject(&self, rejection: &Rejection, line: u64, name: &str, nth: u64) {
        self.metrics.indicators_rejected.add(1);
        self.metrics.rejected.count(&rejection.reason);
        let level = if nth <= NAMED {
            Level::Warn
        } else {
            Level::Debug
        };
        let reason = printable(&rejection.reason, 500);
        match &rejection.id {
            Some(id) => {
                let id = printable(id, 200);
                log!(
                    level,
                    indicator:% = id, file = name, line = line, reason:% = reason;
                    "{name}, line {line}: indicator {id} is rejected: {reason}"
                );
            }
            None => log!(
                level,
                file = name, line = line, reason:% = reason;
                "{name}, line {line}: rejected: {reason}"
            ),
        }
    }
}

fn note_read(indicator: &Indicator) {
    let id = printable(&indicator.id, 200);
    debug!(indicator:% = id, kind = indicator.kind(); "indicator {id} is read");
}

/// The message for a feed that cannot be read to its end.
fn failed(error: &feed::Error) -> String {
    match error {
        feed::Error::Io(error) => format!("the indicators cannot be read to their end: {error}"),
        other => printable(&other.to_string(), 1000).to_string(),
    }
}

/// The message for a file without usable indicators.
pub fn useless(report: &Report) -> String {
    let first = report.rejections.first();
    let first = first.map(|(line, why)| format!("; line {line}: {why}"));
    let format = match &*report.format {
        "" => String::new(),
        format => format!("{format}: "),
    };
    let text = format!(
        "nothing in it is an indicator that can be used: {format}{}{}; it begins with {}",
        report.counts(),
        first.unwrap_or_default(),
        report.beginning
    );
    printable(&text, 1000).to_string()
}
