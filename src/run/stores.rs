//! The engines of a run, and its log files: each is independent, so that one that is
//! down, slow, or of the wrong version does not delay the others.

use std::fmt;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, bounded, select};
use log::error;

use crate::config::Config;
use crate::engine::live::LiveSource;
use crate::engine::{self, Connection, LOG_FILES, Patience, SharedEngine};
use crate::intake::{FateCounts, Fates};
use crate::observe::logging::printable;
use crate::observe::metrics::Metrics;
use crate::process::exit_code::ExitCode;
use crate::process::limits;
use crate::process::stop::Stop;
use crate::process::thread;
use crate::protocol::Sensor;
use crate::sighting::report::ReportSettings;

/// An engine, or the log files.
pub struct EventStore {
    /// Its name.
    pub name: Arc<str>,
    /// The connection to the engine; `None` for log files.
    pub connection: Option<Arc<Connection>>,
    /// The source of its live matches, if known.
    pub source: Option<Box<LiveSource>>,
    /// What becomes of the indicators on it.
    pub fates: Arc<Fates>,
}

impl EventStore {
    fn of(name: &Arc<str>, connection: Option<Connection>, metrics: Arc<Metrics>) -> Self {
        EventStore {
            name: name.clone(),
            connection: connection.map(Arc::new),
            source: None,
            fates: Fates::new(metrics),
        }
    }

    /// The source of events that are not from a named log.
    fn title(&self) -> &str {
        match &self.connection {
            Some(connection) => connection.engine().title(),
            None => LOG_FILES,
        }
    }

    /// The settings for its reports. If there are several engines, or this bridge has a
    /// name, sightings name their sensor.
    pub fn report(&self, config: &Config, common: &ReportSettings) -> Arc<ReportSettings> {
        let is_one_of_several = config.is_fleet();
        let name = if is_one_of_several {
            Some(self.name.clone())
        } else {
            config.sensor_name.as_deref().map(Into::into)
        };
        let source = name.clone().unwrap_or_else(|| self.title().into());
        Arc::new(ReportSettings {
            source,
            sensor: name.map(|name| Arc::new(Sensor::new(name))),
            is_one_of_several,
            ..common.clone()
        })
    }
}

/// All engines and the log files.
pub struct EventStores {
    /// Each of them.
    pub all: Vec<EventStore>,
    /// The threads that connect to engines.
    pub connecting: Connecting,
}

/// The threads that connect to engines.
#[derive(Default)]
pub struct Connecting(Vec<JoinHandle<()>>);

impl EventStores {
    /// Identifies the engines and waits until one of them responds; `None` if the program
    /// stops first.
    ///
    /// # Errors
    /// The status to end with; the reason is logged.
    pub fn connect(
        config: &Config,
        metrics: &Arc<Metrics>,
        stop: &Stop,
    ) -> std::io::Result<Result<Option<Self>, ExitCode>> {
        if config.is_fleet() {
            return EventStores::connect_several(config, metrics, stop);
        }
        let engine = engine::open_all(&config.engines, stop).pop();
        let (Some(target), Some(engine)) = (config.engines.first(), engine) else {
            let files = EventStore::of(&LOG_FILES.into(), None, metrics.of_engine(LOG_FILES));
            return Ok(Ok(Some(EventStores::of(vec![files]))));
        };
        let connected = connect_one(config, engine, &target.name, metrics, stop);
        Ok(connected.map(|store| store.map(|store| EventStores::of(vec![store]))))
    }

    fn of(all: Vec<EventStore>) -> Self {
        EventStores {
            all,
            connecting: Connecting::default(),
        }
    }

    fn connect_several(
        config: &Config,
        metrics: &Arc<Metrics>,
        stop: &Stop,
    ) -> std::io::Result<Result<Option<Self>, ExitCode>> {
        limits::allow_many_files();
        let engines = engine::open_all(&config.engines, stop);
        let mut stores = EventStores::of(Vec::new());
        for (target, engine) in config.engines.iter().zip(engines) {
            let (name, metrics) = (&target.name, metrics.of_engine(&target.name));
            let connection = Connection::new(engine, Some(name.clone()), metrics.clone());
            stores
                .all
                .push(EventStore::of(name, Some(connection), metrics));
        }
        if !config.jobs.events.is_empty() {
            let metrics = metrics.of_engine(LOG_FILES);
            stores
                .all
                .push(EventStore::of(&LOG_FILES.into(), None, metrics));
        }
        // A run that ends gives up those that do not respond in time.
        let patience = if config.jobs.once {
            Patience::Limited(config.connect_timeout)
        } else {
            Patience::ForEver
        };
        let answers = stores.start_connecting(patience, stop)?;
        let has_files = stores.all.iter().any(|store| store.connection.is_none());
        let limit = match patience {
            Patience::ForEver => config.connect_timeout,
            // They end on their own.
            Patience::Limited(_) => None,
        };
        if has_files || wait_for_one(&answers, limit, stop) {
            return Ok(Ok(Some(stores)));
        }
        if stop.is_draining() {
            stores.connecting.end(stop);
            return Ok(Ok(None));
        }
        stores.log_that_none_answers(config.connect_timeout);
        stores.connecting.end(stop);
        Ok(Err(ExitCode::Unavailable))
    }

    /// Starts a thread for each engine that connects to it and then reports whether it
    /// responds.
    fn start_connecting(
        &mut self,
        patience: Patience,
        stop: &Stop,
    ) -> std::io::Result<Receiver<bool>> {
        let (answers_sender, answers) = bounded(self.all.len());
        let connections = self
            .all
            .iter()
            .filter_map(|store| store.connection.as_ref());
        for (number, connection) in connections.enumerate() {
            let (connection, stop) = (connection.clone(), stop.clone());
            let answers = answers_sender.clone();
            let run = move || {
                let answers_it = connection.open(patience, &stop).is_ok();
                // Nobody waits for it if another one was first.
                let _ = answers.send(answers_it);
            };
            let name = format!("connect-{}", number + 1);
            let thread = std::thread::Builder::new().name(name).spawn(run)?;
            self.connecting.0.push(thread);
        }
        Ok(answers)
    }

    fn log_that_none_answers(&self, limit: Option<Duration>) {
        for connection in self
            .all
            .iter()
            .filter_map(|store| store.connection.as_ref())
        {
            if let Some(reason) = connection.given_up() {
                error!("{reason}");
            }
        }
        let seconds = limit.unwrap_or_default().as_secs_f64();
        error!(
            "none of the {} engines answers within {seconds:.0} s",
            self.all.len()
        );
    }
}

impl Connecting {
    /// Gives up the engines that were not reached.
    pub fn end(self, stop: &Stop) {
        stop.now();
        for thread in self.0 {
            thread::join(thread);
        }
    }
}

/// Whether one engine responds in time.
fn wait_for_one(answers: &Receiver<bool>, limit: Option<Duration>, stop: &Stop) -> bool {
    let timeout = match limit.and_then(|limit| Instant::now().checked_add(limit)) {
        Some(until) => crossbeam_channel::at(until),
        None => crossbeam_channel::never(),
    };
    loop {
        select! {
            recv(answers) -> answer => match answer {
                Ok(true) => return true,
                Ok(false) => {}
                Err(_) => return false,
            },
            recv(timeout) -> _ => return false,
            recv(stop.drain_channel()) -> _ => return false,
        }
    }
}

/// Waits until the only engine responds, and finds the source of its live matches.
fn connect_one(
    config: &Config,
    engine: SharedEngine,
    name: &Arc<str>,
    metrics: &Arc<Metrics>,
    stop: &Stop,
) -> Result<Option<EventStore>, ExitCode> {
    let metrics = metrics.of_engine(engine.title());
    let connection = Connection::new(engine, None, metrics.clone());
    let opened = connection.open(Patience::Limited(config.connect_timeout), stop);
    opened.map_err(|error| {
        error!("{error}");
        ExitCode::Unavailable
    })?;
    if !connection.is_up() {
        return Ok(None);
    }
    let source = match config.live_wish() {
        Some(wish) => {
            let source = connection.engine().live(&wish, stop);
            let source = source.map_err(|reason| {
                error!("{reason}");
                ExitCode::Usage
            })?;
            Some(Box::new(source))
        }
        None => None,
    };
    Ok(Some(EventStore {
        source,
        ..EventStore::of(name, Some(connection), metrics)
    }))
}

/// Reads the outcome of a store, also when its threads have ended.
pub struct OutcomeReader {
    name: Arc<str>,
    connection: Option<Arc<Connection>>,
    fates: Arc<Fates>,
}

impl OutcomeReader {
    /// The reader of this store.
    pub fn of(store: &EventStore) -> Self {
        OutcomeReader {
            name: store.name.clone(),
            connection: store.connection.clone(),
            fates: store.fates.clone(),
        }
    }

    /// The outcome by now.
    pub fn outcome(&self) -> StoreOutcome {
        StoreOutcome {
            name: self.name.clone(),
            given_up: self.connection.as_ref().and_then(|one| one.given_up()),
            fates: self.fates.counts(),
            shown_found: self.fates.metrics().sightings_found.get(),
        }
    }
}

/// The outcome of a store, for the last lines of a run that ends.
#[derive(Clone, Debug)]
pub struct StoreOutcome {
    /// The store's name.
    pub name: Arc<str>,
    /// Why its engine was given up, if it was.
    pub given_up: Option<String>,
    /// What became of its indicators.
    pub fates: FateCounts,
    /// The number of its sightings, which is shown only.
    pub shown_found: u64,
}

impl StoreOutcome {
    /// Why it was not queried, if it was not.
    pub fn not_queried(&self) -> Option<String> {
        let reason = self.given_up.as_ref()?;
        Some(format!(
            "{} was not queried: {reason}",
            printable(&self.name, 200)
        ))
    }

    /// The number of indicators that were not searched, if any.
    pub fn shortfall(&self) -> Option<String> {
        let left = self.fates.left();
        let name = printable(&self.name, 200);
        (left > 0).then(|| format!("{left} indicator(s) were not searched completely in {name}"))
    }
}

impl fmt::Display for StoreOutcome {
    /// What was queried, found, and left.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.fates;
        let queried = counts.queried + counts.timed_out + counts.failed;
        write!(
            f,
            "{}: {queried} indicator(s) queried, {} sighting(s) found, {} indicator(s) left",
            printable(&self.name, 200),
            self.shown_found,
            counts.left()
        )?;
        match self.not_queried() {
            Some(_) => f.write_str("; it was not queried"),
            None => Ok(()),
        }
    }
}
