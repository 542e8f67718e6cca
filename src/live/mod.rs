//! Live matching: indicators against events as they come.
//!
//! [`Intake`] → keeper (owns what expires when) → roster ← watcher (the engine's
//! child) → writer. An engine that matches by itself is told by a pool of
//! threads; after a loss, a mender looks through the events of the gap.

mod keeper;
mod mend;
mod pool;
mod recent;
pub mod roster;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use crossbeam_channel::{Sender, unbounded};
use log::error;

use crate::engine::Engine;
use crate::intake::Intake;
use crate::matching::Meaning;
use crate::observable::EventTime;
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::stop::Stop;
use crate::sighting::report::{Parcel, Reporter, Settings as ReportSettings};

use crate::engine::live::Source;
use keeper::Keeper;
use mend::Mender;
use pool::Pool;
use recent::{Mark, Recent};
use roster::Roster;
use watch::{Refused, Watcher};

/// What live matching needs beside its source.
pub struct Settings {
    /// Who is asked about the events of a gap.
    pub engine: Arc<dyn Engine + Send + Sync>,
    /// Whether live matching is all that is done.
    pub is_alone: bool,
    /// The longest that a query may take.
    pub timeout: Option<Duration>,
    /// What counts as a match where it is found here.
    pub meaning: Meaning,
}

/// What several of the threads use.
pub struct Shared {
    roster: Mutex<Roster>,
    recent: Mutex<Recent>,
    knows_events: bool,
}

impl Shared {
    fn roster(&self) -> MutexGuard<'_, Roster> {
        self.roster.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn recent(&self) -> MutexGuard<'_, Recent> {
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What tells an event from others, on this engine.
    fn mark<'a>(&self, event: &'a str, time: Option<EventTime>) -> Mark<'a> {
        match time.filter(|_| !self.knows_events) {
            Some(time) => Mark::Time(time.utc().unix_timestamp_nanos()),
            None => Mark::Text(event),
        }
    }
}

/// The threads of live matching.
pub struct Live {
    keeper: JoinHandle<()>,
    watcher: JoinHandle<Result<(), Refused>>,
    mender: JoinHandle<()>,
    pool: Option<Pool>,
    /// What people call the engine.
    title: &'static str,
}

impl Live {
    /// Starts. It ends when every [`Intake`] is dropped, or with `stop`; where
    /// the engine refuses from the beginning, it stops the program.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        source: Source,
        settings: Settings,
        report: &Arc<ReportSettings>,
        writer: &Sender<Parcel>,
        metrics: &Arc<Metrics>,
        stop: &Stop,
    ) -> std::io::Result<(Self, Intake)> {
        let (intake, arrivals, _) = Intake::live(metrics.clone());
        // Live matching ends at once where retro matching may finish.
        let ending = Stop::new()?;
        let shared = Arc::new(Shared {
            roster: Mutex::new(Roster::new(
                settings.meaning,
                source.reach,
                SystemTime::now(),
            )),
            recent: Mutex::default(),
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
        let pool = match &source.registrar {
            Some(registrar) => Some(Pool::start(registrar, metrics, &ending, stop)?),
            None => None,
        };
        let forgets = source.registrar.as_ref().is_some_and(|one| one.forgets());
        let (gaps_sender, gaps) = unbounded();
        let title = settings.engine.title();
        let mender = Mender {
            engine: settings.engine,
            shared: shared.clone(),
            forgetful: pool.as_ref().filter(|_| forgets).map(Pool::way),
            reporter: reporter(),
            metrics: metrics.clone(),
            timeout: settings.timeout,
            ending: ending.clone(),
            stop: stop.clone(),
        };
        let keeper = Keeper {
            shared: shared.clone(),
            registrar: source.registrar,
            way: pool.as_ref().map(Pool::way),
            is_alone: settings.is_alone,
            metrics: metrics.clone(),
            ending: ending.clone(),
            stop: stop.clone(),
        };
        let watcher = Watcher {
            feed: source.feed,
            shared,
            reporter: reporter(),
            metrics: metrics.clone(),
            ending,
            mender: gaps_sender,
        };
        let stop = stop.clone();
        let watch = move || {
            let result = watcher.run();
            if result.is_err() {
                stop.now();
            }
            result
        };
        let named = |name: &str| std::thread::Builder::new().name(name.to_owned());
        Ok((
            Live {
                keeper: named("live-keeper").spawn(move || keeper.run(&arrivals))?,
                watcher: named("live").spawn(watch)?,
                mender: named("live-gap").spawn(move || mender.run(&gaps))?,
                pool,
                title,
            },
            intake,
        ))
    }

    /// Waits for the end; says whether the engine did what it was asked.
    pub fn join(self) -> bool {
        let defect = |name| error!("{name} ended by a defect of this program");
        let mut is_good = true;
        match self.watcher.join() {
            Ok(Ok(())) => {}
            Ok(Err(Refused(reason))) => {
                is_good = false;
                error!(
                    "{} answers, but does not take the call for live matching: {}",
                    self.title,
                    printable(&reason, 700)
                );
            }
            Err(_) => defect("live matching"),
        }
        for thread in [self.keeper, self.mender] {
            if thread.join().is_err() {
                defect("a thread of live matching");
            }
        }
        if let Some(pool) = self.pool {
            pool.join();
        }
        is_good
    }
}

#[cfg(test)]
mod tests;
