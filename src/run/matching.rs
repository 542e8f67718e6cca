//! The matching threads of all engines and of log files.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crossbeam_channel::Sender;
use log::warn;

use super::stores::EventStore;
use crate::config::Config;
use crate::engine::{Connection, LiveOptions};
use crate::indicator::MatchExpansion;
use crate::intake::{Budget, Intake};
use crate::live::{self, Live};
use crate::logs::{self, Files};
use crate::matching::Mode;
use crate::process::stop::Stop;
use crate::process::ticker::Ticker;
use crate::retro::{self, Retro};
use crate::sighting::instances::{InstanceBounds, Waiting};
use crate::sighting::message::WriterMessage;
use crate::sighting::report::ReportSettings;
use crate::state::waiting::SavedFile;

/// The matching threads.
#[derive(Default)]
pub struct Matching {
    /// For stored events.
    retro: Retro,
    /// For new events.
    live: Vec<Live>,
    /// For files.
    files: Option<Files>,
    /// The tickers that store waiting events on disk.
    keeping: Vec<Ticker>,
}

/// What is needed to start the threads of a store.
struct Start<'a> {
    config: &'a Config,
    writer: &'a Sender<WriterMessage>,
    stop: &'a Stop,
    /// The limits on what waits for stored events, and for new events.
    stored: Arc<Budget>,
    new: Arc<Budget>,
    /// The number of engines with live matching.
    willing: Arc<AtomicUsize>,
}

impl Matching {
    /// Starts the threads. They end when every [`Intake`] is dropped.
    ///
    /// # Errors
    /// A thread cannot be started.
    pub fn start(
        config: &Config,
        stores: Vec<EventStore>,
        report: &ReportSettings,
        writer: &Sender<WriterMessage>,
        stop: &Stop,
    ) -> std::io::Result<(Self, Intake)> {
        let engines = config.engines.len();
        let start = Start {
            config,
            writer,
            stop,
            stored: Budget::new(stores.len()),
            new: Budget::new(engines),
            willing: Arc::new(AtomicUsize::new(engines)),
        };
        let mut matching = Matching::default();
        let (mut intakes, mut retro_engines) = (Vec::new(), Vec::new());
        for (number, mut store) in (1..).zip(stores) {
            let report = store.report(config, report);
            let waiting = start.waiting(number, &store);
            matching.keeping.push(waiting.keep()?);
            let Some(connection) = store.connection.clone() else {
                let (files, intake) = start.files(store, report, waiting)?;
                matching.files = Some(files);
                intakes.push(intake);
                continue;
            };
            if let Some(wish) = config.live_wish() {
                let (live, intake) = start.live(
                    (number, waiting),
                    &mut store,
                    &connection,
                    wish,
                    report.clone(),
                )?;
                matching.live.push(live);
                intakes.push(intake);
            }
            if config.retro_match {
                let (stored, intake) = start.stored(number, &store, connection, report);
                retro_engines.push(stored);
                intakes.push(intake);
            }
        }
        let workers = config.max_background_tasks.get();
        matching.retro = Retro::start(
            &retro_settings(config),
            workers,
            retro_engines,
            writer,
            stop,
        )?;
        let intake = intakes.into_iter().reduce(Intake::and);
        Ok((matching, intake.expect("one kind of matching is requested")))
    }

    /// The progress on the files, if there are any.
    pub fn progress(&self) -> Option<Arc<logs::Progress>> {
        self.files.as_ref().map(Files::progress)
    }

    /// Waits for the end; returns whether the engines supported what was requested.
    pub fn join(self) -> bool {
        self.retro.join();
        if let Some(files) = self.files {
            files.join();
        }
        let ended: Vec<bool> = self.live.into_iter().map(Live::join).collect();
        // Stores the events that wait at the end.
        drop(self.keeping);
        ended.into_iter().all(|is_good| is_good)
    }
}

impl Start<'_> {
    /// The events that wait for others of their patterns, including those of an earlier
    /// run.
    fn waiting(&self, number: usize, store: &EventStore) -> Arc<Waiting> {
        let config = self.config;
        // A run that ends joins all events at its end.
        let is_kept = match store.connection {
            Some(_) => config.live_wish().is_some(),
            None => config.jobs.follow,
        };
        let name = match number {
            1 => "waiting".to_owned(),
            _ => format!("waiting-{number}"),
        };
        let path = config.state_dir.as_ref().map(|path| path.join(name));
        let file = path.filter(|_| is_kept).map(SavedFile::new);
        let bounds = InstanceBounds::waiting(config.observation_memory);
        Arc::new(Waiting::new(bounds, store.fates.metrics().clone(), file))
    }

    fn files(
        &self,
        store: EventStore,
        report: Arc<ReportSettings>,
        waiting: Arc<Waiting>,
    ) -> std::io::Result<(Files, Intake)> {
        let Start {
            config,
            writer,
            stop,
            ..
        } = *self;
        let (intake, arrivals, _) = Intake::stored(&store.name, store.fates.clone(), &self.stored);
        let settings = files_settings(config, waiting);
        let files = Files::start(settings, arrivals, report, writer, store.fates, stop)?;
        Ok((files, intake.widened(wider_here(config))))
    }

    fn live(
        &self,
        (number, waiting): (usize, Arc<Waiting>),
        store: &mut EventStore,
        connection: &Arc<Connection>,
        wish: LiveOptions,
        report: Arc<ReportSettings>,
    ) -> std::io::Result<(Live, Intake)> {
        let config = self.config;
        let (intake, arrivals) = Intake::live(&store.name, store.fates.clone(), &self.new);
        let settings = live::LiveSettings {
            number,
            is_alone: !config.retro_match,
            timeout: config.retro_match_timeout,
            meaning: config.meaning,
            willing: self.willing.clone(),
            waiting,
            wider: wider_live(config, connection),
        };
        let channels = live::LiveChannels {
            arrivals,
            report,
            writer: self.writer.clone(),
            fates: store.fates.clone(),
            stop: self.stop.clone(),
        };
        let live = match store.source.take() {
            Some(source) => Live::start(*source, connection, settings, channels)?,
            None => Live::start_later(wish, connection.clone(), settings, channels)?,
        };
        Ok((live, intake))
    }

    fn stored(
        &self,
        number: usize,
        store: &EventStore,
        connection: Arc<Connection>,
        report: Arc<ReportSettings>,
    ) -> (retro::RetroEngine, Intake) {
        let engine = connection.engine();
        let supports_parts = engine.supports_selections() || engine.returns_superset();
        let wider = wider(self.config, "retro", supports_parts);
        let fates = store.fates.clone();
        let (intake, arrivals, account) = Intake::stored(&store.name, fates.clone(), &self.stored);
        let engine = retro::RetroEngine {
            number,
            connection,
            arrivals,
            account,
            report,
            fates,
        };
        (engine, intake.widened(wider))
    }
}

/// How far the search for indicators goes in the matching done here: DNS answers are
/// ordinary places there, unless matching is by equality.
fn wider_here(config: &Config) -> MatchExpansion {
    let MatchExpansion { answers, .. } = config.wider;
    MatchExpansion {
        answers: answers && config.meaning.mode == Mode::Exact,
        ..config.wider
    }
}

/// How far the search for indicators goes in new events, once their source is known.
fn wider_live(config: &Config, connection: &Arc<Connection>) -> live::WiderOf {
    let (config, engine) = (config.clone(), connection.engine().clone());
    Arc::new(move |source| {
        // Its own matcher, if it has one, compares whole values.
        let supports_parts = source.matcher.is_none() && engine.supports_selections();
        match source.matcher {
            None if config.meaning.mode != Mode::Exact => wider_here(&config),
            _ => wider(&config, "live", supports_parts),
        }
    })
}

/// How far the search for indicators goes, as far as supported. The host of a URL is a
/// whole value.
fn wider(config: &Config, what: &str, supports_parts: bool) -> MatchExpansion {
    let wanted = config.wider;
    let wider = MatchExpansion {
        url_hosts: wanted.url_hosts,
        ends: wanted.ends,
        ..MatchExpansion::default()
    };
    if supports_parts || wider == wanted {
        return wanted;
    }
    warn!(
        "{what} matching searches whole values alone on this engine: --match-answers and \
         --domains-match-subdomains have no effect there"
    );
    wider
}

fn retro_settings(config: &Config) -> retro::RetroSettings {
    retro::RetroSettings {
        batch_size: config.batch_size.get(),
        max_events: config.retro_match_max_events,
        timeout: config.retro_match_timeout,
    }
}

fn files_settings(config: &Config, waiting: Arc<Waiting>) -> logs::LogSettings {
    let jobs = &config.jobs;
    logs::LogSettings {
        files: jobs.events.clone(),
        when: match (jobs.follow, jobs.once) {
            (true, _) => logs::When::Following {
                from_start: !jobs.indicators.is_empty(),
            },
            (false, true) => logs::When::AtTheEnd,
            (false, false) => logs::When::ForEachBatch,
        },
        max_events: config.retro_match_max_events,
        waiting,
        meaning: config.meaning,
        is_alone: config.engines.is_empty(),
    }
}
