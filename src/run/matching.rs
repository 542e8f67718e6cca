//! What indicators are matched by: an engine, or log files.

use std::sync::Arc;

use crossbeam_channel::Sender;
use log::warn;

use crate::config::Config;
use crate::engine::Engine;
use crate::engine::live::Source;
use crate::indicator::Wider;
use crate::intake::Intake;
use crate::live::{self, Live};
use crate::logs::{self, Files};
use crate::matching::Mode;
use crate::observe::metrics::Metrics;
use crate::process::stop::Stop;
use crate::retro::{self, Retro};
use crate::sighting::report::{Parcel, Settings as ReportSettings};

/// What answers, before it is started.
pub enum Choice {
    /// An engine that has answered once.
    Engine {
        /// The way to ask it.
        engine: Arc<dyn Engine + Send + Sync>,
        /// Where live matches come from, if they are asked for.
        live: Option<Box<Source>>,
    },
    /// The files of `--events`.
    Files,
}

impl Choice {
    /// What events are from that no log with a name has.
    pub fn source(&self) -> &str {
        match self {
            Choice::Engine { engine, .. } => engine.title(),
            Choice::Files => "files",
        }
    }
}

/// The threads that match.
#[derive(Default)]
pub struct Matching {
    /// In what the engine has stored.
    retro: Option<Retro>,
    /// In what comes into it.
    live: Option<Live>,
    /// In files.
    files: Option<Files>,
}

impl Matching {
    /// Starts the threads. They end when every [`Intake`] is dropped.
    ///
    /// # Errors
    /// The system has no thread left.
    pub fn start(
        config: &Config,
        choice: Choice,
        report: Arc<ReportSettings>,
        writer: &Sender<Parcel>,
        metrics: &Arc<Metrics>,
        stop: &Stop,
    ) -> std::io::Result<(Self, Intake)> {
        let mut matching = Matching::default();
        let (engine, live) = match choice {
            Choice::Engine { engine, live } => (engine, live),
            Choice::Files => {
                let settings = files_settings(config);
                let (files, intake) = Files::start(settings, report, writer, metrics, stop)?;
                matching.files = Some(files);
                return Ok((matching, intake.widened(wider_here(config))));
            }
        };
        let mut intakes = Vec::new();
        if let Some(source) = live {
            // Its own matcher, where it has one, compares whole values.
            let takes_parts = source.registrar.is_none() && engine.takes_selections();
            let wider = match source.registrar {
                None if config.meaning.mode != Mode::Exact => wider_here(config),
                _ => wider(config, "live", takes_parts),
            };
            let settings = live::Settings {
                engine: engine.clone(),
                is_alone: !config.retro_match,
                timeout: config.retro_match_timeout,
                meaning: config.meaning,
            };
            let (live, intake) = Live::start(*source, settings, &report, writer, metrics, stop)?;
            matching.live = Some(live);
            intakes.push(intake.widened(wider));
        }
        if config.retro_match {
            let settings = retro_settings(config);
            let takes_parts = engine.takes_selections() || engine.gives_more();
            let wider = wider(config, "retro", takes_parts);
            let (retro, intake) = Retro::start(settings, engine, report, writer, metrics, stop)?;
            matching.retro = Some(retro);
            intakes.push(intake.widened(wider));
        }
        let intake = intakes.into_iter().reduce(Intake::and);
        Ok((matching, intake.expect("one kind of matching is asked for")))
    }

    /// How much of the files is read, where there are files.
    pub fn progress(&self) -> Option<Arc<logs::Progress>> {
        self.files.as_ref().map(Files::progress)
    }

    /// Waits for the end; says whether the engine did what it was asked.
    pub fn join(self) -> bool {
        if let Some(retro) = self.retro {
            retro.join();
        }
        if let Some(files) = self.files {
            files.join();
        }
        self.live.is_none_or(Live::join)
    }
}

/// How wide indicators are looked for in what is matched here: answers of DNS are places
/// like others there, unless it is equality that counts.
fn wider_here(config: &Config) -> Wider {
    let Wider { answers, .. } = config.wider;
    Wider {
        answers: answers && config.meaning.mode == Mode::Exact,
        ..config.wider
    }
}

/// How wide indicators are looked for, where that can be. The host of a URL is a
/// whole value.
fn wider(config: &Config, what: &str, takes_parts: bool) -> Wider {
    let wanted = config.wider;
    let wider = Wider {
        url_hosts: wanted.url_hosts,
        ..Wider::default()
    };
    if takes_parts || wider == wanted {
        return wanted;
    }
    warn!(
        "{what} matching looks for whole values alone on this engine: --match-answers and \
         --domains-match-subdomains have no effect there"
    );
    wider
}

fn retro_settings(config: &Config) -> retro::Settings {
    retro::Settings {
        workers: config.max_background_tasks.get(),
        batch_size: config.batch_size.get(),
        max_events: config.retro_match_max_events,
        timeout: config.retro_match_timeout,
    }
}

fn files_settings(config: &Config) -> logs::Settings {
    let jobs = &config.jobs;
    logs::Settings {
        files: jobs.events.clone(),
        when: match (jobs.follow, jobs.once) {
            (true, _) => logs::When::Following {
                from_start: !jobs.indicators.is_empty(),
            },
            (false, true) => logs::When::AtTheEnd,
            (false, false) => logs::When::ForEachBatch,
        },
        max_events: config.retro_match_max_events,
        meaning: config.meaning,
    }
}
